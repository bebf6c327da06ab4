/* The encoded plan: what pycontainer/core/wire.py writes and the performer reads.
 *
 * One flat memory image: a header, the slots of the descriptors that were handed over, then the calls one after the
 * other. A call is a fixed record, its patches, and its data; every offset in it is from its own start, so that the
 * encoding of a call does not depend on what is around it. All of them are checked before anything is performed; after
 * that the performer follows the list and nothing else. Numbers are in the machine's own byte order: the image never
 * leaves the machine.
 */
#ifndef PYC_WIRE_H
#define PYC_WIRE_H

#include <stdint.h>

#define PLAN_MAGIC 0x31435950u /* "PYC1" */
#define MAX_SLOTS 4096u
#define MAX_CALLS 16384u
#define MAX_PLAN_BYTES (8u << 20)
#define NO_SLOT 0xffffu
#define REPORTS 0u /* the slot of the descriptor that reports go to */
#define MAX_GIVEN 256u

/* Descriptors that the performer is started with, by number. */
#define PLAN_FD 3
#define STATUS_FD 4 /* a stream socket; where it is later says the slot REPORTS, so that a plan may move it */
#define GATE_FD 5 /* + role; /dev/null where the plan is not gated */

enum role { ROLE_MONITOR, ROLE_INIT, ROLE_PROGRAM, ROLE_KEEPER, ROLES };

enum plan_flags {
  PLAN_GATED = 1,      /* before each call, wait for one byte on GATE_FD + role */
  PLAN_REPORT_ALL = 2, /* a record for each call, not only for failures and calls that ask for one */
};

enum call_flags {
  CALL_REPORT = 1, /* always write a record */
  CALL_EXPECT = 2, /* a result that is not `expect` is a failure (EPROTO) */
  CALL_PATIENT = 4, /* EBUSY is tried again, up to PATIENCE times */
};

/* The kernel needs a moment to let go of what an ended process was in. */
#define PATIENCE 400
#define PATIENCE_NS 50000

/* System call numbers are >= 0; these are the performer's own, for the two loops that outlive the list. */
enum { CALL_SUPERVISE = -1, CALL_REAP = -2 };

enum arg_kind {
  ARG_INT,  /* value */
  ARG_SLOT, /* the descriptor in slot `value`; if it was never opened the call is skipped */
  ARG_DATA, /* a pointer to the data at offset `value` of the call */
};

enum patch_kind {
  PATCH_POINTER, /* store a 64-bit pointer to the data at offset `value`, once, when the plan is loaded */
  PATCH_SLOT,    /* store the 32-bit descriptor in slot `value`, when the call is performed */
};

struct plan_header {
  uint32_t magic, size, flags, n_calls, n_slots, n_given;
  uint16_t given[MAX_GIVEN]; /* the slots of the descriptors that follow the gates */
};

struct plan_arg {
  uint64_t kind, value;
};

struct plan_call {
  uint32_t size; /* of all that belongs to the call, a multiple of 8 */
  int32_t nr;
  uint16_t role, flags;
  uint16_t out;        /* slot for the result, or NO_SLOT */
  uint16_t child_role; /* role of the child where the call returns 0 in one; 0 for none */
  uint16_t n_args, n_tolerated;
  uint32_t n_patches;
  int32_t expect;
  int32_t tolerated[4];
  uint32_t reserved;
  struct plan_arg args[6];
};

struct plan_patch {
  uint32_t kind, at; /* offset of the bytes to patch */
  uint64_t value;
};

/* What the performer writes to the descriptor in REPORTS, in batches of whole records. */
struct status_record {
  uint32_t index;
  int32_t error; /* 0, an error number, or RECORD_SKIPPED */
  int64_t value; /* what the call returned */
  uint64_t ns;   /* how long it took */
};
#define RECORD_SKIPPED (-1)

#endif
