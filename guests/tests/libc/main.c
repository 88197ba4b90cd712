/* The parts of libc and chance, in a guest: written as for the C API of the ABI 0.11, with its header's name. */
#include "hyperlight_guest.h"

#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b) {
  long left = *(const long *)a, right = *(const long *)b;
  return (left > right) - (left < right);
}

static jmp_buf bad_number;

static long number_of(const char *word) {
  char *end;
  long value = strtol(word, &end, 0);
  if (*end != 0) longjmp(bad_number, 1);
  return value;
}

/* "7, 0x10 -3" as "-3 7 16". */
static const char *sort(const char *text) {
  enum { MOST = 64, OUT = 1024 };
  if (setjmp(bad_number) != 0) {
    hl_set_error(hl_ErrorCode_GuestError, "that is no number");
    return NULL;
  }
  char *copy = strdup(text), *out = calloc(OUT, 1);
  long numbers[MOST];
  size_t count = 0, length = 0;
  for (char *word = strtok(copy, ", "); word != NULL && count < MOST; word = strtok(NULL, ", "))
    numbers[count++] = number_of(word);
  qsort(numbers, count, sizeof *numbers, by_value);
  for (size_t i = 0; i < count && length < OUT; i++)
    length += (size_t)snprintf(out + length, OUT - length, i == 0 ? "%ld" : " %ld", numbers[i]);
  return out;
}
HYPERLIGHT_WRAP_FUNCTION(sort, String, 1, String)

static const char *shout(const char *text) {
  char *loud = strdup(text);
  for (char *at = loud; *at != 0; at++) *at = (char)toupper((uint8_t)*at);
  return loud;
}
HYPERLIGHT_WRAP_FUNCTION(shout, String, 1, String)

/* 0 when the identity holds to a few units. */
static double identity(double x) {
  double off = sin(x) * sin(x) + cos(x) * cos(x) - 1 + log(exp(x)) / x - 1 + pow(x, 0.5) / sqrt(x) - 1;
  return fabs(off) < 1e-14 ? 0 : off;
}
HYPERLIGHT_WRAP_FUNCTION(identity, Double, 1, Double)

static uint64_t draw(void) { return mayfly_random(); }
HYPERLIGHT_WRAP_FUNCTION(draw, ULong, 0)

static int32_t draw_rand(void) { return rand(); }
HYPERLIGHT_WRAP_FUNCTION(draw_rand, Int, 0)

static uint64_t time_base(void) { return mayfly_time_base_ns(); }
HYPERLIGHT_WRAP_FUNCTION(time_base, ULong, 0)

void hyperlight_main(void) {
  /* Numbers drawn before the snapshot must not be the reason that clones agree. */
  mayfly_random();
  HYPERLIGHT_REGISTER_FUNCTION("Sort", sort);
  HYPERLIGHT_REGISTER_FUNCTION("Shout", shout);
  HYPERLIGHT_REGISTER_FUNCTION("Identity", identity);
  HYPERLIGHT_REGISTER_FUNCTION("Draw", draw);
  HYPERLIGHT_REGISTER_FUNCTION("DrawRand", draw_rand);
  HYPERLIGHT_REGISTER_FUNCTION("TimeBase", time_base);
}
