/* What Python lacks to start a performer: calls that its `os` module does not have. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int pyc_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
  long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);
  return fd < 0 ? -errno : (int)fd;
}

static int pyc_pidfd_send_signal(int pidfd, int signal) {
  return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

static int pyc_socketpair(int kind, int *ends) {
  return socketpair(AF_UNIX, kind | SOCK_CLOEXEC, 0, ends) < 0 ? -errno : 0;
}

static int pyc_fsopen(const char *type) {
  long fd = syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
  return fd < 0 ? -errno : (int)fd;
}

static int pyc_fsconfig(int fs, unsigned command, const char *key, const char *value) {
  return syscall(SYS_fsconfig, fs, command, key, value, 0) < 0 ? -errno : 0;
}

static int pyc_fsmount(int fs, unsigned attributes) {
  long fd = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
  return fd < 0 ? -errno : (int)fd;
}

#define STACK_BYTES 65536
#define FIRST_FD 3

struct start {
  int executable, null;
  const int *descriptors;
  int n_descriptors;
  char **argv;
  int error;
};

/* The child: it runs on the parent's memory until execveat, so it touches nothing of it but `start` and its stack. */
static int child(void *argument) {
  struct start *s = argument;
  char *no_environment[] = {NULL};
  struct sigaction by_default = {.sa_handler = SIG_DFL};
  sigset_t none;
  int moved[64];

  for (int signal = 1; signal < NSIG; signal++)
    sigaction(signal, &by_default, NULL);
  for (int i = 0; i < s->n_descriptors; i++)
    moved[i] = fcntl(s->descriptors[i], F_DUPFD_CLOEXEC, FIRST_FD + s->n_descriptors);
  s->executable = fcntl(s->executable, F_DUPFD_CLOEXEC, FIRST_FD + s->n_descriptors);
  for (int i = 0; i < FIRST_FD; i++)
    dup2(s->null, i);
  for (int i = 0; i < s->n_descriptors; i++)
    dup2(moved[i], FIRST_FD + i);
  syscall(SYS_close_range, FIRST_FD + s->n_descriptors, ~0u, CLOSE_RANGE_CLOEXEC);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  syscall(SYS_execveat, s->executable, "", s->argv, no_environment, AT_EMPTY_PATH);
  s->error = errno;
  _exit(127);
}

/* Start `executable` with exactly `descriptors` as 3, 4, ... and /dev/null as 0 to 2.
 *
 * The process is made with CLONE_VM|CLONE_VFORK: nothing of Python's memory is copied, and the parent sleeps until
 * execveat. Returns the pid and stores a pidfd, or minus an error number. */
static int pyc_spawn(int executable, const int *descriptors, int n_descriptors, char **argv, int *pidfd) {
  struct start start = {
      .executable = executable, .descriptors = descriptors, .n_descriptors = n_descriptors, .argv = argv};
  sigset_t all, before;
  char *stack;
  int pid;

  if (n_descriptors > 64)
    return -EMFILE;
  start.null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (start.null < 0)
    return -errno;
  stack = malloc(STACK_BYTES);
  if (!stack) {
    close(start.null);
    return -ENOMEM;
  }
  /* A handler of Python's must not run in the child, on shared memory. */
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  pid = clone(child, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &start, pidfd);
  if (pid < 0)
    pid = -errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  free(stack);
  close(start.null);
  if (pid > 0 && start.error) {
    syscall(SYS_wait4, pid, NULL, 0, NULL);
    close(*pidfd);
    return -start.error;
  }
  return pid;
}
