/* libFuzzer's way into the performer's loader, which reads what Python has written and trusts nothing of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int plan_load(void *base, uint64_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *plan = malloc(size ? size : 1); /* exactly as long as it is, so that one byte too far is noticed */
  if (!plan)
    return 0;
  memcpy(plan, data, size);
  if (size > 8) { /* most of what the fuzzer tries would end at the size, and reach nothing behind it */
    uint32_t length = (uint32_t)size;
    memcpy(plan + 4, &length, sizeof length);
  }
  plan_load(plan, size);
  free(plan);
  return 0;
}
