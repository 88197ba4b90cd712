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

#define CHECK(condition)                                                              \
  do {                                                                                \
    if (!(condition)) {                                                               \
      fprintf(stderr, "%s:%d: %s: not true: %s\n", __FILE__, __LINE__, __func__, #condition); \
      exit(1);                                                                        \
    }                                                                                 \
  } while (0)

/** Runs the tests of a file and says how many there were. */
#define RUN(...)                                                    \
  int main(void) {                                                  \
    void (*tests[])(void) = {__VA_ARGS__};                          \
    size_t count = sizeof tests / sizeof *tests;                    \
    for (size_t i = 0; i < count; i++) tests[i]();                  \
    fprintf(stdout, "%s: %zu tests passed\n", __FILE__, count);     \
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
