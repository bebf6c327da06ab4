/* Feeds files to the performer's loader, under the sanitizers: each file is one plan, exactly as long as it is. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int plan_load(void *base, uint64_t length);

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    FILE *file = fopen(argv[i], "rb");
    if (!file)
      return 2;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *plan = malloc((size_t)size ? (size_t)size : 1);
    if (!plan || fread(plan, 1, (size_t)size, file) != (size_t)size)
      return 2;
    fclose(file);
    printf("%d\n", plan_load(plan, (uint64_t)size));
    free(plan);
  }
  return 0;
}
