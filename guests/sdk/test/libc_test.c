#include "check.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <strings.h>

#include "runtime.h"
#include "unused_aborts.h"

mf_Runtime mf_runtime;

/* The SDK's, under the names that hosted.h gives them. */
#define EACH_KIND(X) \
  X(isalnum) X(isalpha) X(isblank) X(iscntrl) X(isdigit) X(isgraph) X(islower) X(isprint) X(ispunct) X(isspace) \
  X(isupper) X(isxdigit)
#define DECLARE_KIND(name) int sdk_##name(int byte);
EACH_KIND(DECLARE_KIND)
int sdk_tolower(int byte);
int sdk_toupper(int byte);
char *sdk_strncat(char *to, const char *from, size_t limit);
size_t sdk_strspn(const char *text, const char *bytes);
size_t sdk_strcspn(const char *text, const char *bytes);
char *sdk_strpbrk(const char *text, const char *bytes);
char *sdk_strtok_r(char *text, const char *separators, char **rest);
int sdk_strncasecmp(const char *a, const char *b, size_t limit);
long sdk_strtol(const char *text, char **end, int base);
unsigned long sdk_strtoul(const char *text, char **end, int base);
double sdk_strtod(const char *text, char **end);
extern int sdk_errno;
void sdk_qsort(void *items, size_t count, size_t size, int (*compare)(const void *, const void *));
void *sdk_bsearch(const void *key, const void *items, size_t count, size_t size,
                  int (*compare)(const void *, const void *));
int sdk_setjmp(uint64_t place[8]) __attribute__((returns_twice));
_Noreturn void sdk_longjmp(uint64_t place[8], int value);

static int sign(int value) { return (value > 0) - (value < 0); }

static void bytes_have_their_kinds(void) {
  for (int byte = -1; byte < 256; byte++) {
#define CHECK_KIND(name) CHECK((sdk_##name(byte) != 0) == ((name)(byte) != 0));
    EACH_KIND(CHECK_KIND)
    CHECK(sdk_tolower(byte) == tolower(byte) && sdk_toupper(byte) == toupper(byte));
  }
}

static void text_is_searched_and_split(void) {
  static const char *texts[] = {"", "a", "a,b", ",,a,;b;", "abc", "ABC", "aBd", "ab"};
  static const char *sets[] = {"", ",", ",;", "ab"};
  for (size_t i = 0; i < 8; i++) {
    for (size_t j = 0; j < 4; j++) {
      CHECK(sdk_strspn(texts[i], sets[j]) == strspn(texts[i], sets[j]));
      CHECK(sdk_strcspn(texts[i], sets[j]) == strcspn(texts[i], sets[j]));
      CHECK(sdk_strpbrk(texts[i], sets[j]) == strpbrk(texts[i], sets[j]));
      char ours[16], theirs[16], *our_rest = NULL, *their_rest = NULL;
      strcpy(ours, texts[i]);
      strcpy(theirs, texts[i]);
      char *our = sdk_strtok_r(ours, sets[j], &our_rest), *their = strtok_r(theirs, sets[j], &their_rest);
      while (our != NULL && their != NULL) {
        CHECK(our - ours == their - theirs && strcmp(our, their) == 0);
        our = sdk_strtok_r(NULL, sets[j], &our_rest);
        their = strtok_r(NULL, sets[j], &their_rest);
      }
      CHECK(our == NULL && their == NULL);
    }
    for (size_t j = 0; j < 8; j++)
      for (size_t limit = 0; limit < 5; limit++)
        CHECK(sign(sdk_strncasecmp(texts[i], texts[j], limit)) == sign(strncasecmp(texts[i], texts[j], limit)));
  }
  char out[8] = "ab";
  CHECK(strcmp(sdk_strncat(out, "cdef", 2), "abcd") == 0);
}

static void whole_numbers_are_read_as_in_libc(void) {
  static const char *texts[] = {"",     "0",    " -17x", "+5",   "0x1F", "0x",   "0xg", "077",
                                "08",   "zz",   "-0x10", "- 1",  "--1",  "\t\n9", "9223372036854775807",
                                "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
                                "18446744073709551615", "18446744073709551616", "99999999999999999999999"};
  static const int bases[] = {0, 2, 8, 10, 16, 36};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    for (size_t j = 0; j < 6; j++) {
      char *our_end, *their_end;
      errno = sdk_errno = 0;
      CHECK(sdk_strtol(texts[i], &our_end, bases[j]) == strtol(texts[i], &their_end, bases[j]));
      CHECK(our_end == their_end && (sdk_errno == ERANGE) == (errno == ERANGE));
      errno = sdk_errno = 0;
      CHECK(sdk_strtoul(texts[i], &our_end, bases[j]) == strtoul(texts[i], &their_end, bases[j]));
      CHECK(our_end == their_end && (sdk_errno == ERANGE) == (errno == ERANGE));
    }
}

/* Distance in units in the last place. */
static uint64_t units(double a, double b) {
  if (isnan(a) || isnan(b)) return isnan(a) && isnan(b) ? 0 : UINT64_MAX;
  int64_t x, y;
  memcpy(&x, &a, sizeof x);
  memcpy(&y, &b, sizeof y);
  if ((x < 0) != (y < 0)) return a == b ? 0 : UINT64_MAX;
  return x > y ? (uint64_t)(x - y) : (uint64_t)(y - x);
}

static void decimals_are_read_as_in_libc(void) {
  static const char *texts[] = {"0",     "-0",    ".5",     "5.",    ".",        "1e",      "1e+",    "1.5e3x",
                                "1e308", "1e309", "-1e400", "5e-324", "1e-400",  "inf",     "-Infinity", "nan",
                                "  3.25", "0.1",  "123456789012345678901234567890", "0.000000000000000000000000001",
                                "1e99999999999", "0e99999999999", "2.2250738585072014e-308", "e5"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    char *our_end, *their_end;
    double ours = sdk_strtod(texts[i], &our_end), theirs = strtod(texts[i], &their_end);
    CHECK(our_end == their_end && units(ours, theirs) <= 1 && (isnan(ours) || signbit(ours) == signbit(theirs)));
  }
  for (int round = 0; round < 20000; round++) {
    char text[64];
    snprintf(text, sizeof text, "%u.%06ue%d", draw(1000000), draw(1000000), (int)draw(600) - 300);
    CHECK(units(sdk_strtod(text, NULL), strtod(text, NULL)) <= 1);
  }
}

static int by_value(const void *a, const void *b) {
  int32_t left, right;
  memcpy(&left, a, sizeof left);
  memcpy(&right, b, sizeof right);
  return (left > right) - (left < right);
}

static void arrays_are_sorted_and_searched(void) {
  int32_t items[200], same[200];
  for (uint32_t count = 0; count <= 200; count += 1 + count / 3) {
    for (uint32_t i = 0; i < count; i++) items[i] = same[i] = (int32_t)draw(100) - 50;
    sdk_qsort(items, count, sizeof *items, by_value);
    qsort(same, count, sizeof *same, by_value);
    CHECK(memcmp(items, same, count * sizeof *items) == 0);
    for (int32_t key = -52; key < 52; key++) {
      int32_t *found = sdk_bsearch(&key, items, count, sizeof *items, by_value);
      CHECK((found != NULL) == (bsearch(&key, items, count, sizeof *items, by_value) != NULL));
      CHECK(found == NULL || *found == key);
    }
  }
}

static uint64_t place[8];

static _Noreturn void leap(void) { sdk_longjmp(place, 0); }

static void a_jump_comes_back_where_it_was_set(void) {
  volatile int visits = 0;
  int value = sdk_setjmp(place);
  if (++visits == 1) leap();
  CHECK(visits == 2 && value == 1);
}

#define EACH_FUNCTION(X)                                                                                            \
  X(fabs, 0) X(floor, 0) X(ceil, 0) X(trunc, 0) X(round, 0) X(sqrt, 0) X(exp, 2) X(exp2, 2) X(log, 2) X(log2, 2)    \
  X(log10, 2) X(sin, 2) X(cos, 2) X(tan, 2) X(asin, 2) X(acos, 2) X(atan, 2)           \
  X(expm1, 2) X(log1p, 2) X(sinh, 2) X(cosh, 2) X(tanh, 2) X(asinh, 2) X(acosh, 2) X(atanh, 2) X(rint, 0)   \
  X(nearbyint, 0) X(logb, 0)
#define EACH_PAIR(X) X(fmin, 0) X(fmax, 0) X(copysign, 0) X(fmod, 0) X(hypot, 2) X(pow, 2) X(atan2, 2)        \
  X(remainder, 0) X(fdim, 0) X(nextafter, 0)
#define DECLARE_FUNCTION(name, most) double sdk_##name(double x);
#define DECLARE_PAIR(name, most) double sdk_##name(double x, double y);
EACH_FUNCTION(DECLARE_FUNCTION)
EACH_PAIR(DECLARE_PAIR)
double sdk_cbrt(double x);
double sdk_erf(double x);
double sdk_erfc(double x);
double sdk_tgamma(double x);
double sdk_lgamma(double x);
extern int sdk_signgam;
double sdk_fma(double x, double y, double z);
float sdk_fmaf(float x, float y, float z);
double sdk_frexp(double x, int *exponent);
double sdk_modf(double x, double *whole);
double sdk_ldexp(double x, int exponent);

#define CHECK_UNITS(name, ours, theirs, most, x, y)                                                       \
  if (units(ours, theirs) > most) {                                                                       \
    fprintf(stderr, #name "(%a, %a) is %a, not %a\n", x, y, (double)(ours), (double)(theirs));            \
    fail();                                                                                               \
  }

static void check_all(double x, double y) {
#define CHECK_FUNCTION(name, most) CHECK_UNITS(name, sdk_##name(x), name(x), most, x, 0.0)
  EACH_FUNCTION(CHECK_FUNCTION)
#define CHECK_PAIR(name, most) CHECK_UNITS(name, sdk_##name(x, y), name(x, y), most, x, y)
  EACH_PAIR(CHECK_PAIR)
  /* libc's own cbrt is up to four units off. */
  CHECK_UNITS(cbrt, sdk_cbrt(x), (double)cbrtl(x), 1, x, 0.0)
  int ours = 0, theirs = 0;
  double our_whole, their_whole;
  CHECK(units(sdk_frexp(x, &ours), frexp(x, &theirs)) == 0 && (!isfinite(x) || ours == theirs));
  CHECK(units(sdk_modf(x, &our_whole), modf(x, &their_whole)) == 0 && units(our_whole, their_whole) == 0);
  CHECK(units(sdk_ldexp(x, 7), ldexp(x, 7)) == 0);
}

/* Against libc's long double: its own double is up to nine units off. */
static void check_special(double x) {
  CHECK_UNITS(erf, sdk_erf(x), (double)erfl(x), 1, x, 0.0)
  CHECK_UNITS(erfc, sdk_erfc(x), (double)erfcl(x), 2, x, 0.0)
  CHECK_UNITS(tgamma, sdk_tgamma(x), (double)tgammal(x), 2, x, 0.0)
  double ours = sdk_lgamma(x), theirs = (double)lgammal(x);
  int sign = signgam;
  if (x > 0 || !isfinite(theirs)) CHECK_UNITS(lgamma, ours, theirs, 2, x, 0.0)
  /* Below 0 it is a difference, which has zeros. */
  CHECK(!isfinite(theirs) || fabs(ours - theirs) <= 1e-14 * fabs(fmax(1, theirs)) + 1e-14 * fabs(lgamma(1 - x)));
  if (isfinite(theirs)) CHECK(sdk_signgam == sign);
}

static void error_and_gamma_functions_are_within_two_units(void) {
  static const double corners[] = {0.0, -0.0, 1, 2, 3, 24, 25, 170.5, 171.7, 172.5, -1, -2, -170.5, -184.3, -1e16, 1e300, 27.3, -0.5,
                                   0.5, 1.5, 2.5, 1e-300, 5e-324, 1 - 1e-15, 1 + 1e-15, 2 - 1e-15, 2 + 1e-15, INFINITY, -INFINITY, NAN};
  for (size_t i = 0; i < sizeof corners / sizeof *corners; i++) check_special(corners[i]);
  for (int round = 0; round < 20000; round++)
    check_special(((double)draw(1u << 30) / (1u << 29) - 1) * pow(10, (int)draw(7) - 3));
}

/* A double of random digits, its exponent from -most to most. */
static double draw_double(int most) {
  double digits = (double)((uint64_t)draw(1u << 30) << 23 | draw(1u << 23));
  return (draw(2) ? digits : -digits) * pow(2, (int)draw(2 * (unsigned)most + 1) - most - 52);
}

static void a_product_and_a_sum_are_rounded_once(void) {
  static const double corners[] = {0.0, -0.0, 1, -1, 1 + 0x1p-52, 1 - 0x1p-53, 0x1p-1022, 5e-324, -5e-324, 0x1p-537, 0x1.8p-538,
                                   0x1.fffffffffffffp1023, 0x1p600, INFINITY, -INFINITY, NAN};
  enum { COUNT = sizeof corners / sizeof *corners };
  for (int i = 0; i < COUNT; i++)
    for (int j = 0; j < COUNT; j++)
      for (int k = 0; k < COUNT; k++) {
        double ours = sdk_fma(corners[i], corners[j], corners[k]), theirs = fma(corners[i], corners[j], corners[k]);
        CHECK(units(ours, theirs) == 0 && (isnan(ours) || signbit(ours) == signbit(theirs)));
      }
  for (int round = 0; round < 100000; round++) {
    double x = draw_double(40), y = draw_double(40);
    /* Now and then nearly all of it cancels out, and what is left is small. */
    double z = draw(2) ? draw_double(100) : -x * y * (1 + (int)draw(3) * 0x1p-52);
    double scale = draw(4) == 0 ? 0x1p-1040 : 1;
    CHECK(units(sdk_fma(x, y * scale, z * scale), fma(x, y * scale, z * scale)) == 0);
    float f = (float)x, g = (float)y, h = (float)z;
    float ours = sdk_fmaf(f, g, h), theirs = fmaf(f, g, h);
    CHECK(memcmp(&ours, &theirs, sizeof ours) == 0);
  }
}

static void functions_are_within_two_units_of_libc(void) {
  static const double corners[] = {0.0,  -0.0, 0.5,  -0.5, 1,     -1,    1.5,      2.5,    -2.5,     3,         -3,
                                   0.75, 10,   100,  1e-5, 1e300, 1e-300, 709.5,   -745.2, INFINITY, -INFINITY, NAN,
                                   1e9,  1e15, 4.5e15, 0x1p52, -0x1p52, 5e-324};
  enum { COUNT = sizeof corners / sizeof *corners };
  for (int i = 0; i < COUNT; i++)
    for (int j = 0; j < COUNT; j++)
      if (!(fabs(corners[i]) > 1e9 && isfinite(corners[i]))) check_all(corners[i], corners[j]);
  for (int round = 0; round < 20000; round++) {
    double x = ((double)draw(1u << 30) / (1u << 29) - 1) * pow(10, (int)draw(12) - 4);
    double y = ((double)draw(1u << 30) / (1u << 29) - 1) * pow(10, (int)draw(4) - 2);
    check_all(x, y);
  }
}

RUN("libc", bytes_have_their_kinds, text_is_searched_and_split, whole_numbers_are_read_as_in_libc,
    decimals_are_read_as_in_libc, arrays_are_sorted_and_searched, a_jump_comes_back_where_it_was_set,
    functions_are_within_two_units_of_libc, error_and_gamma_functions_are_within_two_units,
    a_product_and_a_sum_are_rounded_once)
