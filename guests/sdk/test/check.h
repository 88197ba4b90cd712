/* A test harness of one page. Include it first: it brings libc under names that hosted.h leaves free. */
#ifndef MAYFLY_CHECK_H
#define MAYFLY_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libc's own, before hosted.h takes the names. */
static inline void *libc_malloc(size_t size) { return malloc(size); }
static inline void libc_free(void *block) { free(block); }
static inline int libc_vsnprintf(char *out, size_t size, const char *format, va_list arguments) {
  return vsnprintf(out, size, format, arguments);
}

/** Tests of this file that have passed. */
static int passed;

#define CHECK(condition)                                                                        \
  do {                                                                                          \
    if (!(condition)) {                                                                         \
      fprintf(stderr, "%s:%d: %s: not true: %s\n", __FILE__, __LINE__, __func__, #condition);   \
      fail();                                                                                   \
    }                                                                                           \
  } while (0)

/** The first failure ends the file's tests. */
static inline _Noreturn void fail(void);

/** Runs the tests of a part and says how many there were, in the words that `npm test` counts. */
#define RUN(part, ...)                                              \
  static inline _Noreturn void fail(void) {                         \
    fprintf(stdout, "sdk " part ": %d passed, 1 failed\n", passed); \
    exit(1);                                                        \
  }                                                                 \
  int main(void) {                                                  \
    void (*tests[])(void) = {__VA_ARGS__};                          \
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {     \
      tests[i]();                                                   \
      passed++;                                                     \
    }                                                               \
    fprintf(stdout, "sdk " part ": %d passed, 0 failed\n", passed); \
    return 0;                                                       \
  }

/** A fixed sequence: the same run every time. */
static inline uint32_t draw(uint32_t below) {
  static uint64_t state = 88172645463325252;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 16) % below;
}

#include "hosted.h"

#include "mayfly_guest.h"

#endif
