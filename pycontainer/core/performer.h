/* What the three files of the performer share. */
#ifndef PYC_PERFORMER_H
#define PYC_PERFORMER_H

#include "sys.h"
#include "wire.h"

void *memcpy(void *to, const void *from, size_t n); /* performer.c has it: there is no libc */

/* What the monitor watches over, and how. Descriptors are -1 where there is none. */
struct supervision {
  int pid, pidfd;
  int tty;           /* `in` and `out` are both the pty's master */
  int in, out, err;  /* the monitor's ends of the container's stdio, non-blocking */
  int client;        /* a SOCK_SEQPACKET socket: whoever started the container */
  int exit_file;     /* receives the wait status in decimal, a newline, and the bytes of `counters` */
  int counters;      /* a cgroup file worth keeping, such as memory.events */
  int listener;      /* a SOCK_SEQPACKET socket on which other clients come */
  int log;           /* opened for appending */
  int log_directory; /* where it is rotated: `log`, `log.1`, ... */
  int log_files;     /* how many of them, at most 10 */
  unsigned log_bytes; /* of one file; 0 for no limit */
  int once;          /* stdin ends when `client` does */
  int interval_ms;   /* between checks of its health; 0 for none */
  int early_ms;      /* the same until one has ended with 0 */
  int stop_signal;   /* for the container when the monitor gets a SIGTERM */
  int stop_ms;       /* until it is killed then; -1 for never */
  char id[64];       /* of the container, for the file of events two directories above; "" for none */
};

/* A command to be executed, as execve takes it. */
struct command {
  const char *path;
  char *const *argv, *const *envp;
};

/* monitor.c: carry bytes between a container, its log and its clients until the container's first process ends, and
 * execute `checker`, which looks how the container is, every `interval_ms`. Returns the wait status. */
long supervise(struct supervision *s, const struct command *checker);

/* End this process. A filter of the container's may refuse that; then a trap ends it, which no filter sees. */
__attribute__((noreturn)) static inline void leave(int code) {
  SYS(exit_group, code);
  __builtin_trap();
}

/* The exit code as a shell gives it. */
static inline int exit_code_of(int status) {
  int signal = status & 0x7f;
  return signal ? 128 + signal : (status >> 8) & 0xff;
}

extern char **own_argv; /* what the performer was started with, which ps(1) shows */

/* init.c: be PID 1 for `child`: forward signals to it, reap orphans, and leave with its exit code. */
long reap(int child);

#endif
