/* What a container may do, asked from inside: one line for each thing, "name value". See bench/security.py. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a child, which may end or hang by it: 1 if what it tries is within reach. */
static int tried(int (*try)(long), long what) {
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    alarm(1);
    setpgid(0, 0);
    _exit(try(what));
  }
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) != SIGSYS : WEXITSTATUS(status);
}

static int call(long number) {
  /* Arguments that no call takes: who gets as far as to refuse them has been reached. */
  long result = syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
  return !(result == -1 && (errno == EPERM || errno == ENOSYS));
}

static int family(long number) {
  for (int kind = 1; kind <= 5; kind++)
    for (int protocol = 0; protocol < 2; protocol++)
      if (socket((int)number, kind, protocol) >= 0)
        return 1;
  return 0;
}

static int raw(long protocol) { return socket(AF_INET, SOCK_RAW, (int)protocol) >= 0; }

static int packet(long unused) {
  (void)unused;
  return socket(AF_PACKET, SOCK_RAW, 0x0300) >= 0;
}

static int i386(long unused) {
  long result;
  (void)unused;
  __asm__ volatile("int $0x80" : "=a"(result) : "0"(20L) : "memory"); /* getpid */
  return result > 0;
}

static int x32(long unused) {
  (void)unused;
  return syscall(0x40000000 | SYS_getpid) > 0 || errno != ENOSYS;
}

static int node(long unused) {
  (void)unused;
  return mknod("/node", S_IFCHR | 0600, makedev(1, 3)) == 0;
}

static int count(int (*try)(long), long from, long to) {
  int reached = 0;
  for (long number = from; number <= to; number++)
    reached += tried(try, number);
  return reached;
}

/* Those that end or stop whoever calls them whatever the arguments are, or that wait for disks. */
static int skipped(long number) {
  static const long never[] = {
      SYS_rt_sigreturn, SYS_pause,   SYS_clone,           SYS_fork,   SYS_vfork, SYS_exit, SYS_exit_group,
      SYS_sync,         SYS_vhangup, SYS_restart_syscall, SYS_syncfs, 435 /* clone3 */};
  for (unsigned i = 0; i < sizeof never / sizeof *never; i++)
    if (number == never[i])
      return 1;
  return 0;
}

static int calls(void) {
  int reached = 0;
  for (long number = 0; number <= 467; number++)
    if ((number < 335 || number > 423) && !skipped(number))
      reached += tried(call, number);
  return reached;
}

static void status(void) {
  char line[256];
  FILE *file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof line, file))
    if (!strncmp(line, "CapBnd", 6))
      printf("capabilities %d\n", __builtin_popcountll(strtoull(line + 7, NULL, 16)));
    else if (!strncmp(line, "NoNewPrivs", 10))
      printf("gains %d\n", 1 - atoi(line + 11));
}

/* How many of the paths in argv tell something: a file that has a byte, a directory that has a name. */
static int telling(char **paths) {
  int found = 0;
  for (; *paths; paths++) {
    char byte;
    DIR *directory = opendir(*paths);
    if (directory) {
      struct dirent *entry;
      while ((entry = readdir(directory)) && entry->d_name[0] == '.')
        ;
      found += entry != NULL;
      closedir(directory);
      continue;
    }
    int file = open(*paths, O_RDONLY | O_NONBLOCK);
    found += file >= 0 && read(file, &byte, 1) == 1;
    if (file >= 0)
      close(file);
  }
  return found;
}

static void ids(void) {
  unsigned long inside = 0, outside = 0, size = 0;
  FILE *file = fopen("/proc/self/uid_map", "r");
  if (file && fscanf(file, "%lu %lu %lu", &inside, &outside, &size) == 3)
    printf("host_root %d\nids %lu\n", outside == 0, size);
}

static void namespaces(void) {
  static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"};
  char path[64], link[64];
  for (unsigned i = 0; i < 7; i++) {
    snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
    ssize_t n = readlink(path, link, sizeof link - 1);
    printf("ns %.*s\n", (int)n, link);
  }
}

int main(int argc, char **argv) {
  struct rlimit core, files;
  (void)argc;
  signal(SIGALRM, SIG_DFL);
  status();
  ids();
  namespaces();
  printf("calls %d\n", calls());
  printf("families %d\n", count(family, 1, 45));
  printf("raw_tcp %d\n", tried(raw, 6));
  printf("raw_icmp %d\n", tried(raw, 1));
  printf("packet %d\n", tried(packet, 0));
  printf("i386 %d\n", tried(i386, 0));
  printf("x32 %d\n", tried(x32, 0));
  printf("mknod %d\n", tried(node, 0));
  printf("telling %d\n", telling(argv + 1));
  getrlimit(RLIMIT_CORE, &core);
  getrlimit(RLIMIT_NOFILE, &files);
  printf("core %d\nfiles %lu\n", core.rlim_cur != 0, (unsigned long)files.rlim_cur);
  return 0;
}
