/* What Python lacks to start a performer: calls that its `os` module does not have. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
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

/* A socket of AF_UNIX for `path`: one that somebody may connect to, or one that is connected. */
static int at_path(const char *path, int (*use)(int, const struct sockaddr *, socklen_t)) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd, error = 0;
  if (strlen(path) >= sizeof address.sun_path)
    return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  if (use(fd, (struct sockaddr *)&address, sizeof address) < 0 || (use == bind && listen(fd, 1) < 0))
    error = errno;
  if (error)
    close(fd);
  return error ? -error : fd;
}

static int pyc_listen(const char *path) { return at_path(path, bind); }

static int pyc_connect(const char *path) { return at_path(path, connect); }

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

/* Make files as the user and group `id`, with all capabilities kept; as root again with 0. For this thread only. */
static int pyc_make_files_as(unsigned id) {
  if (id && prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0)
    return -errno;
  syscall(SYS_setfsgid, id);
  syscall(SYS_setfsuid, id);
  return id || prctl(PR_SET_SECUREBITS, 0) == 0 ? 0 : -errno;
}

#define STACK_BYTES 65536
#define FIRST_FD 3
#define MAX_DESCRIPTORS 320 /* wire.h: as many as can be given, and the performer's own */

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
  int moved[MAX_DESCRIPTORS];

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

/* clone3(2) for a child that calls `function(argument)` on a stack of its own, and must not return from it. The library
 * has no such call. All registers are the same in both processes but the stack pointer and the result; so both values
 * are in registers with a name, since for any register ("r") a compiler may take the stack pointer where that has the
 * value, and Debian 13's does. */
static long clone_and_call(struct clone_args *args, int (*function)(void *), void *argument) {
#if defined __x86_64__
  long result;
  __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tmov %%rdx, %%rdi\n\tcall *%%rbx\n1:"
                   : "=a"(result)
                   : "a"(SYS_clone3), "D"(args), "S"(sizeof *args), "b"(function), "d"(argument)
                   : "rcx", "r11", "memory");
  return result;
#elif defined __aarch64__
  register long number __asm__("x8") = SYS_clone3;
  register long result __asm__("x0") = (long)args;
  register long size __asm__("x1") = sizeof *args;
  register void *given __asm__("x2") = argument;
  register int (*called)(void *) __asm__("x3") = function;
  __asm__ volatile("svc #0\n\tcbnz x0, 1f\n\tmov x0, x2\n\tblr x3\n1:"
                   : "+r"(result)
                   : "r"(number), "r"(size), "r"(given), "r"(called)
                   : "x30", "memory");
  return result;
#else
  (void)args, (void)function, (void)argument;
  return -ENOSYS;
#endif
}

/* Start `executable` with exactly `descriptors` as 3, 4, ... and /dev/null as 0 to 2, in the v2 cgroup whose directory
 * `cgroup` is open on, or with -1 where this process is.
 *
 * The process is made with CLONE_VM|CLONE_VFORK: nothing of Python's memory is copied, and the parent sleeps until
 * execveat. Returns the pid and stores a pidfd, or minus an error number. */
static int pyc_spawn(int executable, const int *descriptors, int n_descriptors, char **argv, int cgroup, int *pidfd) {
  struct start start = {
      .executable = executable, .descriptors = descriptors, .n_descriptors = n_descriptors, .argv = argv};
  sigset_t all, before;
  char *stack;
  int pid;

  if (n_descriptors > MAX_DESCRIPTORS)
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
  if (cgroup >= 0) {
    struct clone_args into = {.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_INTO_CGROUP,
                              .exit_signal = SIGCHLD,
                              .pidfd = (uintptr_t)pidfd,
                              .stack = (uintptr_t)stack,
                              .stack_size = STACK_BYTES,
                              .cgroup = (unsigned)cgroup};
    pid = (int)clone_and_call(&into, child, &start);
  } else {
    pid = clone(child, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &start, pidfd);
    if (pid < 0)
      pid = -errno;
  }
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
