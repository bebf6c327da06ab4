/* The limit that every start is measured against: what a container costs when nothing but the kernel works.
 *
 *   plain [--net] LOWERDIR[:LOWERDIR...] COMMAND [ARG...]
 *
 * clone3 with new namespaces, an overlay of LOWERDIRs, /proc and /sys, pivot_root, exec, wait. No cgroup, no capability
 * dropped, no seccomp: it is a floor, not a container. Exits as COMMAND did; COMMAND must leave no file behind.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRY(call)                                                                                                      \
  do {                                                                                                                 \
    if ((call) < 0) {                                                                                                  \
      fprintf(stderr, "plain: %s: %s\n", #call, strerror(errno));                                                      \
      _exit(125);                                                                                                      \
    }                                                                                                                  \
  } while (0)

static void enter(const char *scratch, const char *lowers, char **argv) {
  char upper[256], work[256], merged[256], options[65536];
  snprintf(upper, sizeof upper, "%s/upper", scratch);
  snprintf(work, sizeof work, "%s/work", scratch);
  snprintf(merged, sizeof merged, "%s/merged", scratch);
  if (snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", lowers, upper, work) >= 4096) {
    fprintf(stderr, "plain: the lower directories do not fit into a page\n");
    _exit(125);
  }
  TRY(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  TRY(mount("overlay", merged, "overlay", 0, options));
  TRY(chdir(merged));
  TRY(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
  TRY(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL));
  TRY(syscall(SYS_pivot_root, ".", "."));
  TRY(umount2(".", MNT_DETACH));
  TRY(chdir("/"));
  TRY(sethostname("plain", 5));
  execvp(argv[0], argv);
  fprintf(stderr, "plain: %s: %s\n", argv[0], strerror(errno));
  _exit(127);
}

int main(int argc, char **argv) {
  int net = argc > 1 && strcmp(argv[1], "--net") == 0;
  argv += 1 + net;
  if (argc < 3 + net) {
    fprintf(stderr, "usage: plain [--net] LOWERDIR[:LOWERDIR...] COMMAND [ARG...]\n");
    return 125;
  }
  char scratch[] = "/tmp/plain-XXXXXX", path[256];
  if (!mkdtemp(scratch)) {
    perror("plain: mkdtemp");
    return 125;
  }
  const char *const parts[] = {"upper", "work", "merged"};
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "%s/%s", scratch, parts[i]);
    TRY(mkdir(path, 0755));
  }

  struct clone_args args = {.exit_signal = SIGCHLD};
  args.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;
  if (net)
    args.flags |= CLONE_NEWNET;
  long pid = syscall(SYS_clone3, &args, sizeof args);
  TRY(pid);
  if (pid == 0)
    enter(scratch, argv[0], argv + 1);

  int status;
  TRY(waitpid((pid_t)pid, &status, 0));
  snprintf(path, sizeof path, "%s/work/work", scratch); /* overlayfs made it */
  rmdir(path);
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "%s/%s", scratch, parts[i]);
    rmdir(path);
  }
  rmdir(scratch);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
