/* What the three files of the performer share. */
#ifndef PYC_PERFORMER_H
#define PYC_PERFORMER_H

#include "sys.h"
#include "wire.h"

/* monitor.c: carry bytes between a container and its client until the container's first process ends.
 * Descriptors are -1 where there is none. Returns the wait status. */
struct supervision {
  int pid, pidfd;
  int tty;          /* `in` and `out` are both the pty's master */
  int in, out, err; /* the monitor's ends of the container's stdio, non-blocking */
  int client;       /* a SOCK_SEQPACKET socket */
  int exit_file;    /* receives the wait status in decimal, a newline, and the bytes of `counters` */
  int counters;     /* a cgroup file worth keeping, such as memory.events */
};
long supervise(struct supervision *s);

/* init.c: be PID 1 for `child`: forward signals to it, reap orphans, and leave with its exit code. */
long reap(int child);

#endif
