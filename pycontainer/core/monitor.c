/* The monitor's loop: one per container, its parent.
 *
 * It holds the container's pipes or pty and its client's socket, so that killing the `pyc` that started the container
 * loses nothing. A message on the socket is one byte of kind and then its bytes.
 */
#include "performer.h"

enum { EAGAIN_ = 11, EINTR_ = 4, POLLIN_ = 1, POLLOUT_ = 4, POLLHUP_ = 16, POLLERR_ = 8 };
enum { F_SETFL_ = 4, O_NONBLOCK_ = 04000, MSG_DONTWAIT_ = 0x40, MSG_NOSIGNAL_ = 0x4000 };
enum { TIOCSWINSZ_ = 0x5414, SIG_BLOCK_ = 0, SIGPIPE_BIT = 1 << 12 };

/* kinds of message; the first three come from the client, the others go to it */
enum { TO_STDIN, RESIZE, SIGNAL, FROM_STDOUT, FROM_STDERR };

#define CHUNK 32768

struct pollfd {
  int fd;
  short events, revents;
};

/* Bytes read and not yet delivered. */
struct buffer {
  char kind; /* directly before `bytes`: the two leave as one message */
  char bytes[CHUNK];
  int start, end; /* of what is still to be delivered */
};

static struct buffer input, output;

static void discard(int *fd) {
  if (*fd >= 0)
    SYS(close, *fd);
  *fd = -1;
}

static int pending(const struct buffer *b) { return b->end > b->start; }

/* Deliver what waits for the container's stdin. */
static void push_input(struct supervision *s) {
  long n = SYS(write, s->in, input.bytes + input.start, input.end - input.start);
  if (n > 0)
    input.start += (int)n;
  else if (n != -EAGAIN_ && n != -EINTR_) { /* nobody reads it any more */
    input.start = input.end;
    if (!s->tty)
      discard(&s->in);
  }
}

/* One message from the client. */
static void pull_client(struct supervision *s) {
  long n = SYS(recvfrom, s->client, &input.kind, 1 + CHUNK, MSG_DONTWAIT_, 0, 0);

  if (n == -EAGAIN_ || n == -EINTR_)
    return;
  if (n <= 0) {
    discard(&s->client);
    output.start = output.end; /* nobody to deliver it to */
  } else if (input.kind == TO_STDIN && n == 1) { /* end of file */
    if (!s->tty)
      discard(&s->in);
  } else if (input.kind == TO_STDIN && s->in >= 0) {
    input.start = 0;
    input.end = (int)n - 1;
    push_input(s);
  } else if (input.kind == RESIZE && n == 1 + 8 && s->tty) {
    SYS(ioctl, s->in, TIOCSWINSZ_, input.bytes); /* a struct winsize */
  } else if (input.kind == SIGNAL && n == 1 + 1) {
    SYS(pidfd_send_signal, s->pidfd, input.bytes[0], 0, 0);
  }
}

static void push_output(struct supervision *s) {
  long n = SYS(sendto, s->client, &output.kind, 1 + output.end, MSG_DONTWAIT_ | MSG_NOSIGNAL_, 0, 0);
  if (n == -EAGAIN_ || n == -EINTR_)
    return;
  if (n < 0)
    discard(&s->client);
  output.start = output.end = 0;
}

/* Read once from one of the container's streams. */
static void pull_output(struct supervision *s, int *fd, char kind) {
  long n = SYS(read, *fd, output.bytes, CHUNK);

  if (n == -EAGAIN_ || n == -EINTR_)
    return;
  if (n <= 0) { /* end of file, or EIO: the last descriptor of the terminal's other side is closed */
    if (s->tty)
      s->out = -1; /* the same descriptor as `in` */
    else
      discard(fd);
    return;
  }
  output.kind = kind;
  output.start = 0;
  output.end = s->client >= 0 ? (int)n : 0;
  if (pending(&output))
    push_output(s);
}

static int ready(const struct pollfd *p) { return p->fd >= 0 && (p->revents & (POLLIN_ | POLLHUP_ | POLLERR_)); }

/* Wait for something and carry it; returns how many descriptors were ready. */
static long turn(struct supervision *s, struct pollfd *ended, int wait) {
  const struct {
    int64_t sec, nsec;
  } at_once = {0, 0};
  int full = pending(&output), held = pending(&input);
  struct pollfd p[] = {
      {ended->fd, POLLIN_, 0},          {s->client, (short)((held ? 0 : POLLIN_) | (full ? POLLOUT_ : 0)), 0},
      {full ? -1 : s->out, POLLIN_, 0}, {full ? -1 : s->err, POLLIN_, 0},
      {held ? s->in : -1, POLLOUT_, 0},
  };
  long n = SYS(ppoll, p, 5, wait ? 0 : &at_once, 0, 8);

  if (n <= 0)
    return n;
  ended->revents = p[0].revents;
  if (p[4].revents)
    push_input(s);
  if (full && (p[1].revents & (POLLOUT_ | POLLHUP_ | POLLERR_)))
    push_output(s);
  if (!held && ready(&p[1]) && s->client >= 0)
    pull_client(s);
  if (ready(&p[2]))
    pull_output(s, &s->out, FROM_STDOUT);
  if (ready(&p[3]) && !pending(&output))
    pull_output(s, &s->err, FROM_STDERR);
  return n;
}

/* What the container wrote before it ended. A stream that stays open and silent belongs to a process outside of the
 * container's pid namespace; it is not waited for. */
static void drain(struct supervision *s) {
  struct pollfd none = {-1, 0, 0};

  while (s->out >= 0 || s->err >= 0 || pending(&output))
    if (turn(s, &none, pending(&output)) <= 0)
      break;
}

static char *decimal(char *end, unsigned n) {
  do
    *--end = (char)('0' + n % 10);
  while (n /= 10);
  return end;
}

/* The end of the record of a life: the wait status as text, then what the kernel counted. */
static void record_exit(const struct supervision *s, unsigned status) {
  char text[16], counters[4096];
  char *end = text + sizeof text;
  long n = s->counters >= 0 ? SYS(pread64, s->counters, counters, sizeof counters, 0) : 0;

  if (s->exit_file < 0)
    return;
  *--end = '\n';
  end = decimal(end, status);
  SYS(write, s->exit_file, end, text + sizeof text - end);
  if (n > 0)
    SYS(write, s->exit_file, counters, n);
}

long supervise(struct supervision *s) {
  const uint64_t sigpipe = SIGPIPE_BIT;
  struct pollfd ended = {s->pidfd, POLLIN_, 0};
  int status = 0;

  SYS(rt_sigprocmask, SIG_BLOCK_, &sigpipe, 0, 8);
  while (!ended.revents)
    turn(s, &ended, 1);
  while (SYS(wait4, s->pid, &status, 0, 0) == -EINTR_)
    continue;
  drain(s);
  record_exit(s, (unsigned)status);
  return status;
}
