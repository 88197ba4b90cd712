/* A jump out of nested calls, within one guest call: a jmp_buf means nothing once its function has returned. */
#ifndef MAYFLY_SETJMP_H
#define MAYFLY_SETJMP_H

#include <stdint.h>

/** rbx, rbp, r12 to r15, rsp, return address. */
typedef uint64_t jmp_buf[8];

int setjmp(jmp_buf place) __attribute__((returns_twice));
_Noreturn void longjmp(jmp_buf place, int value);

#endif
