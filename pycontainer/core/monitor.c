/* The monitor's loop: one per container, its parent.
 *
 * It holds the container's pipes or pty, the log, and the socket on which clients come and go, so that killing the
 * `pyc` that started the container loses nothing. A message on a client's socket is one byte of kind and then its
 * bytes.
 *
 * What the container writes goes first to the log and then to every client, one piece at a time: the container waits
 * for the slowest of them. But a visitor that takes nothing for SLOW_MS is let go.
 */
#include "performer.h"

enum { EAGAIN_ = 11, EINTR_ = 4, POLLIN_ = 1, POLLOUT_ = 4, POLLHUP_ = 16, POLLERR_ = 8 };
enum { MSG_DONTWAIT_ = 0x40, MSG_NOSIGNAL_ = 0x4000, SOCK_NONBLOCK_CLOEXEC = 02004000 };
enum { TIOCSWINSZ_ = 0x5414, SIG_BLOCK_ = 0, SIGKILL_ = 9, SIGCHLD_ = 17, SIG_UNBLOCK_ = 1, CLONE_PIDFD_ = 0x1000 };
enum { SIGHUP_BIT = 1 << 0, SIGINT_BIT = 1 << 1, SIGPIPE_BIT = 1 << 12, SIGTERM_BIT = 1 << 14 };
enum { AT_FDCWD_ = -100, SEEK_END_ = 2, CLOCK_REALTIME_ = 0, CLOCK_MONOTONIC_ = 1 };
enum { O_APPEND_NEW = 02002101 }; /* O_WRONLY|O_CREAT|O_APPEND|O_CLOEXEC */

enum { O_TRUNC_NEW = 02001101 };                      /* O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC */
enum { P_PID_ = 1, WEXITED_NOWAIT = 0x1000004, CLD_EXITED_ = 1, CLD_DUMPED_ = 3 };

/* kinds of message: from a client, then to it, then from it again */
enum { TO_STDIN, RESIZE, SIGNAL, FROM_STDOUT, FROM_STDERR, EXITED, MUTE, TOLD };

#define CHUNK 32768
#define MAX_CLIENTS 64
#define LINES 64 /* of the log in one write */
#define SLOW_MS 3000
#define OTHERS 7 /* that are polled beside the clients */

struct pollfd {
  int fd;
  short events, revents;
};

struct iovec {
  const void *base;
  size_t length;
};

struct timespec {
  int64_t sec, nsec;
};

/* Bytes read and not yet delivered. */
struct buffer {
  char kind; /* directly before `bytes`: the two leave as one message */
  char bytes[CHUNK];
  int start, end; /* of what is still to be delivered */
};

struct client {
  int fd;     /* -1: this place is free */
  int muted;  /* wants to know about the end only */
  int behind; /* has not got what is in `output` */
  int64_t since;
};

static struct buffer input, output;
static struct client clients[MAX_CLIENTS];
static uint64_t log_size;
static int open_lines; /* a bit for each stream whose last record is a piece of a line */
static int terminated; /* a signalfd for SIGTERM */
static int told; /* the start of the container is in the file of events */
static int64_t kill_at; /* when a container that was asked to end is killed; 0 for never */
static const uint64_t shielded = SIGHUP_BIT | SIGINT_BIT | SIGPIPE_BIT | SIGTERM_BIT;
static struct {
  long pid;
  int pidfd;    /* of the check that is being made, else -1 */
  int64_t next; /* when to begin another; 0 while one is being made, or none is wanted */
} check = {0, -1, 0};

static void discard(int *fd) {
  if (*fd >= 0)
    SYS(close, *fd);
  *fd = -1;
}

static int64_t now_ms(void) {
  struct timespec t = {0, 0};
  SYS(clock_gettime, CLOCK_MONOTONIC_, &t);
  return t.sec * 1000 + t.nsec / 1000000;
}

static int passes(long error) { return error == -EAGAIN_ || error == -EINTR_; }

/* --- text -------------------------------------------------------------------------------------------------------- */

static char *digits(char *at, uint64_t n, int width) {
  for (int i = width; i-- > 0; n /= 10)
    at[i] = (char)('0' + n % 10);
  return at + width;
}

static char *decimal(char *end, unsigned n) {
  do
    *--end = (char)('0' + n % 10);
  while (n /= 10);
  return end;
}

#define TIMESTAMP 30 /* 2026-11-24T19:24:45.123456789Z */

/* Now, in UTC (RFC 3339). The calendar counts years from March, so that a leap day is the last day of one. */
static char *timestamp(char *at) {
  struct timespec t = {0, 0};
  uint64_t days, era, day, year, month;

  SYS(clock_gettime, CLOCK_REALTIME_, &t);
  days = (uint64_t)t.sec / 86400 + 719468; /* since 0000-03-01 */
  era = days / 146097;
  day = days % 146097;
  year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
  day -= 365 * year + year / 4 - year / 100;
  month = (5 * day + 2) / 153;
  day = day - (153 * month + 2) / 5 + 1;
  month = month < 10 ? month + 3 : month - 9;
  at = digits(at, year + era * 400 + (month <= 2), 4);
  *at++ = '-';
  at = digits(at, month, 2);
  *at++ = '-';
  at = digits(at, day, 2);
  *at++ = 'T';
  at = digits(at, (uint64_t)t.sec % 86400 / 3600, 2);
  *at++ = ':';
  at = digits(at, (uint64_t)t.sec % 3600 / 60, 2);
  *at++ = ':';
  at = digits(at, (uint64_t)t.sec % 60, 2);
  *at++ = '.';
  at = digits(at, (uint64_t)t.nsec, 9);
  *at++ = 'Z';
  return at;
}

/* --- the log: <time> stdout|stderr F|P <line>, where P is a line that goes on in the next record ------------------ */

/* log.1 becomes log.2, log becomes log.1, and a new log begins. */
static void rotate(struct supervision *s) {
  char from[] = "log.0", to[] = "log.0";
  long fd;

  for (int i = s->log_files - 1; i > 0; i--) {
    from[4] = (char)('0' + i - 1);
    to[4] = (char)('0' + i);
    SYS(renameat2, s->log_directory, i == 1 ? "log" : from, s->log_directory, to, 0);
  }
  if (s->log_files <= 1)
    SYS(unlinkat, s->log_directory, "log", 0);
  fd = SYS(openat, s->log_directory, "log", O_APPEND_NEW, 0600);
  if (fd < 0)
    return; /* the old file goes on */
  SYS(close, s->log);
  s->log = (int)fd;
  log_size = 0;
}

/* Whole records or nothing: what the disk has no room for is lost, and no line is torn. */
static void write_log(struct supervision *s, const struct iovec *v, int n, size_t total) {
  int full = s->log_bytes && log_size && log_size + total > s->log_bytes;

  /* Not in the middle of a line, whose beginning would be gone before its end; unless it has no end. */
  if (full && (!open_lines || log_size > 2 * (uint64_t)s->log_bytes))
    rotate(s);
  if (SYS(writev, s->log, v, n) == (long)total)
    log_size += total;
  else
    SYS(ftruncate, s->log, log_size);
}

static void log_output(struct supervision *s, const char *at, long left) {
  static const char stream[2][8] = {" stdout ", " stderr "};
  char prefix[2][TIMESTAMP + 10];
  struct iovec v[2 * LINES + 1];
  const int stream_bit = 1 << (output.kind == FROM_STDERR);
  size_t total = 0;
  int n = 0;

  char *end = timestamp(prefix[0]);
  memcpy(end, stream[output.kind == FROM_STDERR], 8);
  memcpy(prefix[1], prefix[0], TIMESTAMP + 8);
  memcpy(prefix[0] + TIMESTAMP + 8, "F ", 2);
  memcpy(prefix[1] + TIMESTAMP + 8, "P ", 2);
  while (left > 0) {
    long length = 0;
    int whole;
    while (length < left && at[length] != '\n')
      length++;
    whole = length < left;
    v[n++] = (struct iovec){prefix[!whole], TIMESTAMP + 10};
    v[n++] = (struct iovec){at, (size_t)(length + whole)};
    total += TIMESTAMP + 10 + (size_t)(length + whole);
    at += length + whole;
    left -= length + whole;
    if (!whole) {
      v[n++] = (struct iovec){"\n", 1};
      total++;
    }
    if (n >= 2 * LINES || left == 0 || (whole && (open_lines & stream_bit))) {
      write_log(s, v, n, total);
      open_lines = whole ? open_lines & ~stream_bit : open_lines | stream_bit;
      n = 0;
      total = 0;
    }
  }
}

/* --- clients ----------------------------------------------------------------------------------------------------- */

static int pending(const struct buffer *b) { return b->end > b->start; }

/* Deliver what waits for the container's stdin. */
static void push_input(struct supervision *s) {
  long n = SYS(write, s->in, input.bytes + input.start, input.end - input.start);
  if (n > 0)
    input.start += (int)n;
  else if (!passes(n)) { /* nobody reads it any more */
    input.start = input.end;
    if (!s->tty)
      discard(&s->in);
  }
}

static void let_go(struct supervision *s, struct client *c) {
  discard(&c->fd);
  c->behind = 0;
  if (s->once && c == clients && !s->tty && !pending(&input))
    discard(&s->in); /* its input was this client's, which is gone */
}

static void pull_client(struct supervision *s, struct client *c) {
  long n = SYS(recvfrom, c->fd, &input.kind, 1 + CHUNK, MSG_DONTWAIT_, 0, 0);

  if (passes(n))
    return;
  if (n <= 0) {
    let_go(s, c);
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
  } else if (input.kind == MUTE) {
    c->muted = 1;
    c->behind = 0;
  } else if (input.kind == TOLD) {
    told = 1;
  }
}

static void push_output(struct supervision *s, struct client *c) {
  long n = SYS(sendto, c->fd, &output.kind, 1 + output.end, MSG_DONTWAIT_ | MSG_NOSIGNAL_, 0, 0);
  if (passes(n))
    return;
  c->behind = 0;
  if (n < 0)
    let_go(s, c);
}

static int someone_is_behind(void) {
  for (int i = 0; i < MAX_CLIENTS; i++)
    if (clients[i].behind)
      return 1;
  return 0;
}

static struct client *free_place(void) {
  for (int i = 1; i < MAX_CLIENTS; i++) /* the first one is for whoever started the container */
    if (clients[i].fd < 0)
      return &clients[i];
  return 0;
}

static void welcome(struct supervision *s, struct client *c) {
  long fd = SYS(accept4, s->listener, 0, 0, SOCK_NONBLOCK_CLOEXEC);
  if (fd >= 0)
    *c = (struct client){(int)fd, 0, 0, 0};
}

/* Let go of those that keep the container waiting; whoever started it may do that, as the reader of a pipe may, as
 * long as nobody else is there. */
static void be_strict(struct supervision *s, int64_t now) {
  int there = 0;

  for (int i = 0; i < MAX_CLIENTS; i++)
    there += clients[i].fd >= 0 && !clients[i].muted;
  for (int i = MAX_CLIENTS; i-- > 0;)
    if ((i || there > 1) && clients[i].behind && now - clients[i].since > SLOW_MS) {
      let_go(s, &clients[i]);
      there--;
    }
}

/* Somebody wants the monitor to end, most likely since the host goes down: so does the container. The file says that no
 * policy is to start it again, and is lost when the host boots. */
static void ask_to_end(const struct supervision *s) {
  char information[128];

  if (SYS(read, terminated, information, sizeof information) <= 0)
    return;
  if (s->id[0])
    SYS(close, SYS(openat, AT_FDCWD_, "halted", O_TRUNC_NEW, 0600));
  SYS(pidfd_send_signal, s->pidfd, s->stop_signal, 0, 0);
  if (s->stop_ms >= 0 && !kill_at)
    kill_at = now_ms() + s->stop_ms;
}

/* Kill what has had its time; else how much of it is left, in milliseconds, or -1 for ever. */
static int64_t until_kill(const struct supervision *s) {
  int64_t left = kill_at - now_ms();

  if (!kill_at)
    return -1;
  if (left > 0)
    return left;
  kill_at = 0;
  SYS(pidfd_send_signal, s->pidfd, SIGKILL_, 0, 0);
  return -1;
}

/* --- checks of its health ----------------------------------------------------------------------------------------- */

/* Start the command that makes a check. */
static void begin_check(const struct command *c) {
  check.next = 0;
  check.pid = SYS(clone, CLONE_PIDFD_ | SIGCHLD_, 0, &check.pidfd, 0, 0);
  if (check.pid == 0) {
    SYS(rt_sigprocmask, SIG_UNBLOCK_, &shielded, 0, 8);
    SYS(close_range, 3, ~0u, 0);
    SYS(execve, c->path, c->argv, c->envp);
    SYS(exit_group, 127);
  }
}

/* It has ended, with 0 once the container has settled; from then on checks are further apart. */
static void end_check(const struct supervision *s) {
  int status = 1;

  SYS(wait4, check.pid, &status, 0, 0);
  discard(&check.pidfd);
  check.next = now_ms() + (status ? s->early_ms : s->interval_ms);
}

/* How long until the next one, in milliseconds; -1 for ever. */
static int64_t until_check(const struct supervision *s, const struct command *c) {
  int64_t left = check.next - now_ms();

  if (!check.next)
    return -1;
  if (left > 0)
    return left;
  begin_check(c);
  if (check.pid > 0)
    return -1;
  check.next = now_ms() + s->interval_ms; /* no process can be made just now */
  return s->interval_ms;
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

/* Of two times to wait, where -1 is for ever. */
static int64_t sooner(int64_t a, int64_t b) { return a < 0 || (b >= 0 && b < a) ? b : a; }

/* Read once from one of the container's streams. */
static void pull_output(struct supervision *s, int *fd, char kind) {
  long n = SYS(read, *fd, output.bytes, CHUNK);
  int64_t now = 0;

  if (passes(n))
    return;
  if (n <= 0) { /* end of file, or EIO: the last descriptor of the terminal's other side is closed */
    if (s->tty)
      s->out = -1; /* the same descriptor as `in` */
    else
      discard(fd);
    return;
  }
  output.kind = kind;
  output.end = (int)n;
  if (s->log >= 0)
    log_output(s, output.bytes, n);
  for (int i = 0; i < MAX_CLIENTS; i++)
    if (clients[i].fd >= 0 && !clients[i].muted) {
      clients[i].behind = 1;
      push_output(s, &clients[i]);
      if (clients[i].behind)
        clients[i].since = now = now ? now : now_ms();
    }
}

static int ready(const struct pollfd *p) { return p->fd >= 0 && (p->revents & (POLLIN_ | POLLHUP_ | POLLERR_)); }

/* Wait for something, at most `wait` milliseconds (-1: for ever), and carry it; returns how many were ready. */
static long turn(struct supervision *s, struct pollfd *ended, int64_t wait) {
  int full = someone_is_behind(), held = pending(&input);
  struct timespec limit;
  struct client *place = free_place();
  struct pollfd p[OTHERS + MAX_CLIENTS] = {
      {ended->fd, POLLIN_, 0},          {full ? -1 : s->out, POLLIN_, 0},       {full ? -1 : s->err, POLLIN_, 0},
      {held ? s->in : -1, POLLOUT_, 0}, {place ? s->listener : -1, POLLIN_, 0}, {check.pidfd, POLLIN_, 0},
      {terminated, POLLIN_, 0},
  };
  long n;

  for (int i = 0; i < MAX_CLIENTS; i++)
    p[OTHERS + i] =
        (struct pollfd){clients[i].fd, (short)((held ? 0 : POLLIN_) | (clients[i].behind ? POLLOUT_ : 0)), 0};
  if (full && (wait < 0 || wait > 500))
    wait = 500;
  limit = (struct timespec){wait / 1000, wait % 1000 * 1000000};
  n = SYS(ppoll, p, OTHERS + MAX_CLIENTS, wait < 0 ? 0 : &limit, 0, 8);
  if (n < 0)
    return n;
  ended->revents = p[0].revents;
  if (p[3].revents)
    push_input(s);
  for (int i = 0; i < MAX_CLIENTS; i++) {
    if (clients[i].behind && (p[OTHERS + i].revents & (POLLOUT_ | POLLHUP_ | POLLERR_)))
      push_output(s, &clients[i]);
    if (!pending(&input) && !held && clients[i].fd >= 0 && ready(&p[OTHERS + i]))
      pull_client(s, &clients[i]);
  }
  if (full)
    be_strict(s, now_ms());
  if (place && ready(&p[4]))
    welcome(s, place);
  if (ready(&p[5]))
    end_check(s);
  if (ready(&p[6]))
    ask_to_end(s);
  if (ready(&p[1]))
    pull_output(s, &s->out, FROM_STDOUT);
  if (ready(&p[2]) && !someone_is_behind())
    pull_output(s, &s->err, FROM_STDERR);
  return n;
}

/* What the container wrote before it ended. A stream that stays open and silent belongs to a process outside of the
 * container's pid namespace; it is not waited for. */
static void drain(struct supervision *s) {
  struct pollfd none = {-1, 0, 0};

  while (s->out >= 0 || s->err >= 0 || someone_is_behind()) {
    int waits = someone_is_behind();
    long n = turn(s, &none, waits ? -1 : 0);
    if ((n < 0 && n != -EINTR_) || (n == 0 && !waits))
      break;
  }
}

/* For whoever wants to signal it or enter its namespaces. */
static void record_pid(const struct supervision *s) {
  char text[16], *end = text + sizeof text, *begin = decimal(end, (unsigned)s->pid);
  long file = s->id[0] ? SYS(openat, AT_FDCWD_, "pid", O_TRUNC_NEW, 0600) : -1;

  if (file >= 0) {
    SYS(write, file, begin, end - begin);
    SYS(close, file);
  }
}

/* How the first process ended. It stays a zombie until that is recorded, so that nobody gets its number who reads in
 * the record that it lives. */
static int wait_status(const struct supervision *s) {
  struct {
    int signo, error, code, pad, pid, uid, status, rest[25];
  } info = {.code = 0};

  while (SYS(waitid, P_PID_, s->pid, &info, WEXITED_NOWAIT, 0) == -EINTR_)
    continue;
  if (info.code == CLD_EXITED_)
    return (info.status & 0xff) << 8;
  return info.status | (info.code == CLD_DUMPED_ ? 0x80 : 0);
}

/* The end of the record of a life: the wait status as text, then what the kernel counted. */
static void record_exit(const struct supervision *s, unsigned status, const char *counters, long n) {
  char text[16];
  char *end = text + sizeof text;

  if (s->exit_file < 0)
    return;
  *--end = '\n';
  end = decimal(end, status);
  SYS(write, s->exit_file, end, text + sizeof text - end);
  if (n > 0)
    SYS(write, s->exit_file, counters, n);
}

/* Whether the memory counters have a line "oom_kill N" whose N is not 0. */
static int out_of_memory(const char *counters, long n) {
  static const char name[] = "\noom_kill ";
  int at = 1; /* of what is to match next; the text begins as after a newline */

  for (long i = 0; i < n; i++) {
    if (!name[at])
      return counters[i] != '0';
    at = counters[i] == name[at] ? at + 1 : counters[i] == '\n';
  }
  return 0;
}

/* Tell the world, in a line of the file of events: `code` is text, or 0 for what has none. */
static void announce(const struct supervision *s, const char *action, size_t length, const char *code, size_t size) {
  static const char middle[] = " {\"Action\":\"", id[] = "\",\"id\":\"", exit_code[] = "\",\"exitCode\":\"";
  char time[TIMESTAMP];
  struct iovec v[] = {{time, TIMESTAMP},     {middle, sizeof middle - 1},
                      {action, length},      {id, sizeof id - 1},
                      {s->id, sizeof s->id}, {exit_code, code ? sizeof exit_code - 1 : 0},
                      {code, size},          {"\"}\n", 3}};
  long events = s->id[0] ? SYS(openat, AT_FDCWD_, "../../events", O_APPEND_NEW, 0600) : -1;

  timestamp(time);
  if (events >= 0) {
    SYS(writev, events, v, sizeof v / sizeof *v);
    SYS(close, events);
  }
}

/* A program may end before its start has been told. Who tells that is the first client: wait for it, unless it has
 * gone, or was stopped. */
static void await_start(struct supervision *s) {
  const int64_t limit = now_ms() + SLOW_MS;
  struct pollfd nothing = {-1, 0, 0};

  for (int64_t left = SLOW_MS; s->id[0] && !told && clients->fd >= 0 && left > 0; left = limit - now_ms())
    turn(s, &nothing, left);
}

/* How it ended, for all who want to know. */
static void tell_end(struct supervision *s, int status) {
  char number[16], message[1 + sizeof status] = {EXITED}, counters[4096];
  char *end = number + sizeof number, *begin = decimal(end, (unsigned)exit_code_of(status));
  long n = s->counters >= 0 ? SYS(pread64, s->counters, counters, sizeof counters, 0) : 0;

  record_exit(s, (unsigned)status, counters, n);
  await_start(s);
  if (out_of_memory(counters, n))
    announce(s, "oom", 3, 0, 0);
  announce(s, "die", 3, begin, (size_t)(end - begin));
  memcpy(message + 1, &status, sizeof status);
  for (int i = 0; i < MAX_CLIENTS; i++)
    if (clients[i].fd >= 0)
      SYS(sendto, clients[i].fd, message, sizeof message, MSG_DONTWAIT_ | MSG_NOSIGNAL_, 0, 0);
}

/* Who writes to a container that has closed its stdin gets a SIGPIPE, to say one. Let through, what came meanwhile
 * would end the monitor before it has reported and cleared up. */
static void forget_signals(void) {
  const struct timespec at_once = {0, 0};

  while (SYS(rt_sigtimedwait, &shielded, 0, &at_once, 8) > 0)
    continue;
}

long supervise(struct supervision *s, const struct command *checker) {
  const uint64_t sigterm = SIGTERM_BIT;
  struct pollfd ended = {s->pidfd, POLLIN_, 0};
  int status = 0;

  SYS(rt_sigprocmask, SIG_BLOCK_, &shielded, 0, 8);
  terminated = (int)SYS(signalfd4, -1, &sigterm, 8, SOCK_NONBLOCK_CLOEXEC);
  record_pid(s);
  for (int i = 0; i < MAX_CLIENTS; i++)
    clients[i] = (struct client){i ? -1 : s->client, 0, 0, 0};
  if (s->log >= 0) {
    long size = SYS(lseek, s->log, 0, SEEK_END_);
    log_size = size > 0 ? (uint64_t)size : 0;
  }
  if (s->interval_ms)
    check.next = now_ms() + s->early_ms;
  while (!ended.revents)
    turn(s, &ended, sooner(until_check(s, checker), until_kill(s)));
  status = wait_status(s);
  if (s->exit_file < 0) /* a process that came in later: its container can't end before it has been waited for */
    SYS(wait4, s->pid, 0, 0, 0);
  drain(s);
  tell_end(s, status);
  SYS(wait4, s->pid, 0, 0, 0);
  SYS(close, terminated);
  forget_signals();
  SYS(rt_sigprocmask, SIG_UNBLOCK_, &shielded, 0, 8);
  return status;
}
