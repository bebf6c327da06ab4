/* The performer: carries out a list of kernel operations, one by one, and reports each.
 *
 * It is started from a sealed memfd with the plan on PLAN_FD. It holds no policy, parses no text, builds no path, and
 * loops over nothing but its list. When a call makes a new process, parent and child go on down the same list, each
 * performing only the calls that carry its role. A call that fails and may not fail ends the process; the list says
 * what may.
 */
#include "performer.h"

enum { EINTR_ = 4, EBUSY_ = 16, EINVAL_ = 22, EPROTO_ = 71 };
enum { MSG_NOSIGNAL_ = 0x4000, PROT_READ_WRITE = 3, MAP_PRIVATE_ = 2, CLOCK_MONOTONIC_ = 1 };
enum { EXIT_REFUSED = 120, EXIT_FAILED = 121 };

#define BATCH 64

struct plan {
  const struct plan_header *header;
  int slots[MAX_SLOTS];
};

char **own_argv;
static struct plan plan;
static struct status_record batch[BATCH];
static unsigned batched;

#ifndef PYC_FUZZ /* the compiler may call these two, and there is no libc to have them */
void *memset(void *to, int byte, size_t n) {
  for (size_t i = 0; i < n; i++)
    ((volatile char *)to)[i] = (char)byte;
  return to;
}

void *memcpy(void *to, const void *from, size_t n) {
  for (size_t i = 0; i < n; i++)
    ((volatile char *)to)[i] = ((const char *)from)[i];
  return to;
}
#else
#include <string.h>
#endif

static uint64_t now_ns(void) {
  struct {
    int64_t sec, nsec;
  } t = {0, 0};
  SYS(clock_gettime, CLOCK_MONOTONIC_, &t);
  return (uint64_t)t.sec * 1000000000u + (uint64_t)t.nsec;
}

static void pause_ns(int64_t ns) {
  const struct {
    int64_t sec, nsec;
  } t = {0, ns};
  SYS(nanosleep, &t, 0);
}

/* Stay until whoever reads our reports has gone, or kills us: the monitor would take our end for the program's. */
static void await_reader(void) {
  char none;
  while (SYS(read, plan.slots[REPORTS], &none, 1) == -EINTR_)
    continue;
}

/* --- loading: after this, every offset, slot and count in the plan is inside its bounds ------------------------- */

static struct plan_call *first_call(void) { return (struct plan_call *)(plan.header + 1); }

static struct plan_call *next_call(const struct plan_call *c) { return (struct plan_call *)((char *)c + c->size); }

static struct plan_patch *patches_of(const struct plan_call *c) { return (struct plan_patch *)(c + 1); }

/* Whether `length` bytes at `offset` are data of the call. */
static int inside(const struct plan_call *c, uint64_t offset, uint64_t length) {
  uint64_t start = sizeof *c + c->n_patches * sizeof(struct plan_patch);
  return offset >= start && offset <= c->size && length <= c->size - offset;
}

/* The structure, and where there is something to execute, three pointers. */
static int supervision_is_sound(const struct plan_call *c) {
  for (unsigned i = 0; i < c->n_args; i++)
    if (c->args[i].kind != ARG_DATA)
      return 0;
  return (c->n_args == 1 || c->n_args == 4) && inside(c, c->args[0].value, sizeof(struct supervision));
}

static int args_are_sound(const struct plan_call *c) {
  for (unsigned i = 0; i < c->n_args; i++) {
    const struct plan_arg *arg = &c->args[i];
    if (arg->kind > ARG_DATA || (arg->kind == ARG_SLOT && arg->value >= plan.header->n_slots))
      return 0;
    if (arg->kind == ARG_DATA && !inside(c, arg->value, 1))
      return 0;
  }
  if (c->nr == CALL_SUPERVISE)
    return supervision_is_sound(c);
  return c->nr >= CALL_REAP; /* the kernel's calls, which have numbers from 0 on, and our own (wire.h) */
}

static int patches_are_sound(const struct plan_call *c) {
  for (unsigned i = 0; i < c->n_patches; i++) {
    const struct plan_patch *p = &patches_of(c)[i];
    if (p->kind == PATCH_POINTER ? !inside(c, p->at, 8) || !inside(c, p->value, 1)
                                 : p->kind != PATCH_SLOT || !inside(c, p->at, 4) || p->value >= plan.header->n_slots)
      return 0;
  }
  return 1;
}

/* Whether the call, of which `left` bytes may be read, is whole and every number in it inside its bounds. */
static int call_is_sound(const struct plan_call *c, uint64_t left) {
  if (left < sizeof *c || c->size > left || c->size % 8 != 0 || c->n_patches > c->size / sizeof(struct plan_patch) ||
      sizeof *c + c->n_patches * sizeof(struct plan_patch) > c->size)
    return 0;
  if (c->role >= ROLES || c->child_role >= ROLES || c->n_args > 6 || c->n_tolerated > 4)
    return 0;
  if (c->out != NO_SLOT && c->out >= plan.header->n_slots)
    return 0;
  return args_are_sound(c) && patches_are_sound(c);
}

static void set_pointers(struct plan_call *c) {
  for (unsigned i = 0; i < c->n_patches; i++) {
    const struct plan_patch *p = &patches_of(c)[i];
    uint64_t pointer = (uint64_t)(uintptr_t)((char *)c + p->value);
    if (p->kind == PATCH_POINTER)
      memcpy((char *)c + p->at, &pointer, sizeof pointer);
  }
}

int plan_load(void *base, uint64_t length) {
  const struct plan_header *h = plan.header = base;
  struct plan_call *c;

  if (length < sizeof *h || h->magic != PLAN_MAGIC || h->size != length || length > MAX_PLAN_BYTES)
    return -EINVAL_;
  if (h->n_calls > MAX_CALLS || h->n_slots > MAX_SLOTS || h->n_given > MAX_GIVEN)
    return -EINVAL_;
  for (unsigned i = 0; i < h->n_given; i++)
    if (h->given[i] >= h->n_slots)
      return -EINVAL_;
  c = first_call();
  for (unsigned i = 0; i < h->n_calls; i++, c = next_call(c))
    if (!call_is_sound(c, (uint64_t)((char *)base + length - (char *)c)))
      return -EINVAL_;
  c = first_call();
  for (unsigned i = 0; i < h->n_calls; i++, c = next_call(c))
    set_pointers(c);
  for (unsigned i = REPORTS + 1; i < h->n_slots; i++) /* no more: a page that is not touched costs nothing */
    plan.slots[i] = -1;
  for (unsigned i = 0; i < h->n_given; i++)
    plan.slots[h->given[i]] = (int)(GATE_FD + ROLES + i);
  return 0;
}

/* --- reporting --------------------------------------------------------------------------------------------------- */

static void flush(void) {
  const char *at = (const char *)batch;
  size_t left = batched * sizeof *batch;

  while (left > 0) {
    long n = SYS(sendto, plan.slots[REPORTS], at, left, MSG_NOSIGNAL_, 0, 0);
    if (n <= 0)
      break; /* nobody reads any more: the engine is gone, the container goes on */
    at += n;
    left -= (size_t)n;
  }
  batched = 0;
}

static void report(unsigned index, int32_t error, int64_t value, uint64_t ns, int at_once) {
  batch[batched++] = (struct status_record){index, error, value, ns};
  if (at_once || batched == BATCH)
    flush();
}

/* --- performing -------------------------------------------------------------------------------------------------- */

static int tolerated(const struct plan_call *c, long error) {
  for (unsigned i = 0; i < c->n_tolerated; i++)
    if (c->tolerated[i] == error)
      return 1;
  return 0;
}

/* Fill `a` with the call's arguments; 0 if one of them is a descriptor that was never opened. */
static int arguments(struct plan_call *c, long a[6]) {
  for (unsigned i = 0; i < c->n_args; i++) {
    uint64_t value = c->args[i].value;
    if (c->args[i].kind == ARG_SLOT) {
      a[i] = plan.slots[value];
      if (a[i] < 0)
        return 0;
    } else {
      a[i] = c->args[i].kind == ARG_DATA ? (long)((char *)c + value) : (long)value;
    }
  }
  for (unsigned i = 0; i < c->n_patches; i++) {
    const struct plan_patch *p = &patches_of(c)[i];
    if (p->kind != PATCH_SLOT)
      continue;
    if (plan.slots[p->value] < 0)
      return 0;
    memcpy((char *)c + p->at, &plan.slots[p->value], sizeof(int));
  }
  return 1;
}

static long watch(struct supervision *s, const long a[6]) {
  const struct command check = {(const char *)a[1], (char *const *)a[2], (char *const *)a[3]};
  if (!a[1])
    s->interval_ms = 0;
  return supervise(s, &check);
}

static long perform(const struct plan_call *c, const long a[6]) {
  if (c->nr == CALL_SUPERVISE)
    return watch((struct supervision *)a[0], a);
  if (c->nr == CALL_REAP)
    return reap((int)a[0]);
  return sys6(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Perform one call; the return value is the role the process goes on with, or -1 to stop. */
static int step(struct plan_call *c, unsigned index, int role) {
  unsigned flags = plan.header->flags;
  int loud = (c->flags & CALL_REPORT) || (flags & PLAN_REPORT_ALL), at_once;
  long a[6] = {0}, result, error = 0;
  uint64_t began;
  char go;

  if ((flags & PLAN_GATED) && SYS(read, GATE_FD + role, &go, 1) != 1)
    return -1; /* whoever steps through the plan has left */
  if (!arguments(c, a)) {
    if (loud)
      report(index, RECORD_SKIPPED, 0, 0, flags & PLAN_GATED);
    return role;
  }
  if (c->child_role)
    flush(); /* or the child would inherit, and repeat, our pending records */
  began = loud ? now_ns() : 0;
  result = perform(c, a);
  for (int tries = 0; result == -EBUSY_ && (c->flags & CALL_PATIENT) && tries < PATIENCE; tries++) {
    pause_ns(PATIENCE_NS);
    result = perform(c, a);
  }
  if (c->child_role && result == 0)
    return c->child_role;
  if (result < 0 && result >= -4095)
    error = -result;
  else if ((c->flags & CALL_EXPECT) && result != c->expect)
    error = EPROTO_;
  if (c->out != NO_SLOT && !(error && c->out == REPORTS)) /* a failure must have where to be told */
    plan.slots[c->out] = error ? -1 : (int)result;
  if (error && !tolerated(c, error)) {
    report(index, (int32_t)error, result, began ? now_ns() - began : 0, 1);
    if (role != ROLE_MONITOR)
      await_reader();
    return -1;
  }
  /* That the program is not in one place is of interest only when it is in none of the others either. */
  at_once = ((c->flags & CALL_REPORT) && c->nr != __NR_execve) || (flags & PLAN_GATED);
  if (loud)
    report(index, (int32_t)error, result, now_ns() - began, at_once);
  return role;
}

static void perform_all(void) {
  struct plan_call *c = first_call();
  int role = ROLE_MONITOR, tried = 0;

  for (unsigned i = 0; i < plan.header->n_calls; i++, c = next_call(c)) {
    if (c->role != role && role != ROLE_MONITOR && c->child_role == role)
      break; /* from here on, this is the role of another process */
    if (c->role != role)
      continue;
    if (c->nr == __NR_execve && !tried)
      flush(); /* what comes after is somebody else's program */
    tried = c->nr == __NR_execve;
    role = step(c, i, role);
    if (role < 0)
      leave(EXIT_FAILED);
  }
  flush();
  leave(0);
}

#ifndef PYC_FUZZ
/* The size of the plan, from where its end is. */
static long plan_size(void) { return SYS(lseek, PLAN_FD, 0, 2); }

__attribute__((noreturn, used)) void performer_main(char **stack) {
  long size = plan_size();
  long base = size <= 0 ? -1 : SYS(mmap, 0, size, PROT_READ_WRITE, MAP_PRIVATE_, PLAN_FD, 0);

  own_argv = stack + 1;
  plan.slots[REPORTS] = STATUS_FD;
  if (size <= 0 || (base < 0 && base >= -4095) || plan_load((void *)base, (uint64_t)size) != 0) {
    report(UINT32_MAX, EINVAL_, 0, 0, 1);
    leave(EXIT_REFUSED);
  }
  SYS(close, PLAN_FD);
  perform_all();
  __builtin_unreachable();
}
PYC_START;
#endif
