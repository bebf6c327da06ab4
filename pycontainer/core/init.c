/* PID 1 for a program that is not written to be one (`--init`).
 *
 * The kernel gives PID 1 two duties: adopt and reap every orphan of its namespace, and survive signals it has no
 * handler for. Here both are done with one loop and no handlers.
 */
#include "performer.h"

enum { SIG_SETMASK_ = 2, SIGCHLD_ = 17, WNOHANG_ = 1, ECHILD_ = 10 };

/* Our memory is a copy of the monitor's, so ps(1) would show us as that. It shows what argv's bytes are now. */
static void be_called(const char *name) {
  for (char **argument = own_argv; *argument; argument++)
    for (char *at = *argument; *at; at++)
      *at = *name ? *name++ : 0;
}

long reap(int child) {
  const uint64_t all = ~0ull;
  int status, signal;
  long pid;

  be_called("pyc-init");
  SYS(rt_sigprocmask, SIG_SETMASK_, &all, 0, 8);
  SYS(close_range, 0, ~0u, 0); /* the container's streams end with the program, not with us */
  for (;;) {
    while ((pid = SYS(wait4, -1, &status, WNOHANG_, 0)) > 0)
      if (pid == child)
        leave(exit_code_of(status));
    if (pid == -ECHILD_)
      leave(0);
    signal = (int)SYS(rt_sigtimedwait, &all, 0, 0, 8);
    if (signal > 0 && signal != SIGCHLD_)
      SYS(kill, child, signal);
  }
}
