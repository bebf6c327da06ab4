/* System calls without a C library.
 *
 * The performer links nothing: it starts in a fraction of the time, a thousand monitors cost little memory, and no
 * code of the host's libc is ever mapped into a container. A call returns what the kernel returns: a value, or minus
 * an error number between 1 and 4095.
 */
#ifndef PYC_SYS_H
#define PYC_SYS_H

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
static inline long sys6(long nr, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
/* What the kernel put on the stack is handed on: the number of arguments, and pointers to them. */
#define PYC_START                                                                                                      \
  __asm__(".globl _start\n"                                                                                            \
          "_start: xor %ebp, %ebp\n"                                                                                   \
          "mov %rsp, %rdi\n"                                                                                           \
          "and $-16, %rsp\n"                                                                                           \
          "call performer_main\n"                                                                                      \
          "hlt\n")
#elif defined(__aarch64__)
static inline long sys6(long nr, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = nr;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
#define PYC_START                                                                                                      \
  __asm__(".globl _start\n"                                                                                            \
          "_start: mov x29, #0\n"                                                                                      \
          "mov x0, sp\n"                                                                                               \
          "bl performer_main\n")
#else
#error "pycontainer: this architecture has no system call stub in sys.h yet"
#endif

#define SYS(name, ...) SYS_ARGS(__NR_##name, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define SYS_ARGS(nr, a, b, c, d, e, f, ...) sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#endif
