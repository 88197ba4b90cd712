/* The SDK's snprintf against libc's. */
#include "check.h"

#include "unused_aborts.h"

#include <math.h>

static void same(const char *format, ...) {
  char ours[3000], theirs[3000];
  va_list arguments;
  va_start(arguments, format);
  va_list again;
  va_copy(again, arguments);
  int our_length = vsnprintf(ours, sizeof ours, format, arguments);
  int their_length = libc_vsnprintf(theirs, sizeof theirs, format, again);
  va_end(again);
  va_end(arguments);
  if (our_length == their_length && strcmp(ours, theirs) == 0) return;
  fprintf(stderr, "%s: \"%s\" (%d) instead of \"%s\" (%d)\n", format, ours, our_length, theirs, their_length);
  fail();
}

static int formatted(char *out, size_t size, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(out, size, format, arguments);
  va_end(arguments);
  return length;
}

static void integers(void) {
  static const char *formats[] = {"%d", "%5d", "%-5d|", "%05d", "%+d", "% d", "%.3d", "%8.3d", "%-8.3d|", "%u",
                                  "%x", "%#x", "%X", "%#X", "%o", "%#o", "%.0d", "%08x", "%+05d", "%hd", "%hhd",
                                  "%hu", "%hhu", "%#010x", "%+.5i"};
  static const int values[] = {0, 1, -1, 7, 8, 255, -255, 12345, INT32_MAX, INT32_MIN, 65535, 128};
  for (unsigned f = 0; f < sizeof formats / sizeof *formats; f++)
    for (unsigned v = 0; v < sizeof values / sizeof *values; v++) same(formats[f], values[v]);
  same("%ld %li %lu %lx %lo", INT64_MIN, INT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX);
  same("%lld %zu %jd %td", INT64_MIN, SIZE_MAX, (intmax_t)-5, (ptrdiff_t)-6);
}

static void text_and_the_rest(void) {
  same("%s|%5s|%-5s|%.2s|%5.1s|%s", "abc", "abc", "abc", "abc", "abc", "");
  same("%c%5c%-5c|", 'a', 'b', 'c');
  same("%%|%p|%*d|%-*d|%.*f|%.*s", (void *)0x1234, 5, 42, 5, 42, 2, 1.5, 2, "abcdef");
  same("%*d|%.*d", -6, 42, -1, 42);
  same("plain");
  same("");
}

static void results_are_cut_but_counted(void) {
  char out[8] = "zzzzzzz";
  CHECK(snprintf(out, 4, "%d", 123456) == 6 && strcmp(out, "123") == 0 && out[4] == 'z');
  CHECK(snprintf(out, 0, "abc") == 3 && out[0] == '1');
  CHECK(snprintf(NULL, 0, "%100000000d", 1) == 100000);
  /* Formats that a compiler would object to. */
  const char *volatile bad = "a%";
  CHECK(formatted(out, sizeof out, bad) == 1 && strcmp(out, "a") == 0);
  CHECK(formatted(out, sizeof out, bad + 1) == 0);
  CHECK(formatted(out, sizeof out, "%s", NULL) == 6 && strcmp(out, "(null)") == 0);
}

static void number(double value) {
  static const char *formats[] = {"%f", "%.0f", "%.1f", "%.3f", "%10.2f|", "%-10.2f|", "%010.2f", "%+f", "% f", "%#.0f",
                                  "%e", "%.0e", "%.3e", "%E", "%g", "%.3g", "%.10g", "%.17g", "%G", "%.0g",
                                  "%012g", "%-12g|", "%.30f", "%.25e"};
  for (unsigned f = 0; f < sizeof formats / sizeof *formats; f++) same(formats[f], value);
}

static void floating_point(void) {
  static const double values[] = {0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, 0.125, 9.5, 99.5, 0.05, 0.95, 9.995, 999999.5,
                                  9999995.0, 1e5, 1e6, 123456789.0, 1e-4, 1e-5, 0.1, 0.2, 0.3, 1e21, 1e22, 1e23,
                                  1.7976931348623157e308, 2.2250738585072014e-308, 4.9406564584124654e-324, 3.14159265358979,
                                  INFINITY, -INFINITY, NAN, 1e100, 6.02214076e23, 0.000123456};
  for (unsigned v = 0; v < sizeof values / sizeof *values; v++) number(values[v]);
  same("%#g %#g %#g %#.3g %#g", 1.0, 0.5, 123456.0, 1e10, 1e-7);
  /* Here libc of Debian 12 answers 1.e+06. */
  char out[16];
  CHECK(snprintf(out, sizeof out, "%#g", 999999.5) == 11 && strcmp(out, "1.00000e+06") == 0);
}

static void random_floating_point(void) {
  for (int i = 0; i < 3000; i++) {
    uint64_t bits = (uint64_t)draw(UINT32_MAX) << 32 | draw(UINT32_MAX);
    double value;
    memcpy(&value, &bits, sizeof value);
    if (!isnan(value)) number(value);
    number((double)draw(1000000) / 1000);
  }
}

RUN("format", integers, text_and_the_rest, results_are_cut_but_counted, floating_point, random_floating_point)
