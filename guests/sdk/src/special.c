/* Error and gamma functions by the x87 unit with 64-bit mantissas, and the product that is rounded once. */
#include <math.h>

#ifdef __SSE2__

#include <stdbool.h>
#include <stdint.h>

static const long double LOG2_E = 0xb8aa3b295c17f0bcp-63L;
static const long double LN_2 = 0xb17217f7d1cf79acp-64L;
static const long double PI = 0xc90fdaa22168c235p-62L;
static const long double ROOT_OF_PI = 0xe2dfc48da77b553dp-63L;
static const long double LOG2_OF_ROOT_OF_2_PI = 0xa9b21cd26377dd6cp-63L;
static const long double ONE_LESS_EULER = 0xd8773039049e70b6p-65L;

int signgam;

static long double scaled(long double x, int exponent) {
  __asm__("fscale" : "+t"(x) : "u"((long double)exponent));
  return x;
}

static long double binary_logarithm(long double x) {
  long double result;
  __asm__("fyl2x" : "=t"(result) : "0"(x), "u"(1.0L) : "st(1)");
  return result;
}

/* 2^x for finite x whose power a long double holds. */
static long double power_of_two(long double x) {
  long double whole = x;
  __asm__("frndint" : "+t"(whole));
  long double rest = x - whole;
  __asm__("f2xm1" : "+t"(rest));
  return scaled(rest + 1, (int)whole);
}

/* e^(-x * x); the square is split, so that a large one keeps its digits. */
static long double bell(double x) {
  long double square = (long double)x * x, product = square * LOG2_E, whole = product;
  __asm__("frndint" : "+t"(whole));
  const long double high = 0x1.62e42fefa39efp-1L, low = 0x1.abc9e3b39803f2f7p-56L;
  long double rest = ((square - whole * high) - whole * low) * LOG2_E;
  return scaled(power_of_two(-rest), -(int)whole);
}

/* The series of e^(x * x) erf x, whose terms have one sign. For x below 3. */
static long double error_by_series(double x) {
  long double square = (long double)x * x, term = x, sum = x;
  for (int odd = 3; __builtin_fabsl(term) > __builtin_fabsl(sum) * 0x1p-66L; odd += 2) {
    term *= 2 * square / odd;
    sum += term;
  }
  return 2 / ROOT_OF_PI * bell(x) * sum;
}

/* The continued fraction of 1 - erf x. For x from 2. */
static long double rest_by_fraction(double x) {
  long double fraction = x;
  for (int k = 120; k > 0; k--) fraction = x + k / (2 * fraction);
  return bell(x) / (ROOT_OF_PI * fraction);
}

double erf(double x) {
  if (isnan(x)) return x;
  if (fabs(x) > 6) return copysign(1, x);
  return (double)error_by_series(x);
}

double erfc(double x) {
  if (isnan(x)) return x;
  if (x > 28) return 0;
  if (x < -6) return 2;
  return (double)(x < 2 ? 1 - error_by_series(x) : rest_by_fraction(x));
}

/* What Stirling's formula leaves out of ln(gamma(x)). For x from 20. */
static long double stirling_rest(long double x) {
  static const long double terms[] = {
    0xaaaaaaaaaaaaaaabp-67L, -0xb60b60b60b60b60bp-72L, 0xd00d00d00d00d00dp-74L, -0x9c09c09c09c09c0ap-74L,
    0xdca8f158c7f91ab8p-74L, -0xfb5586ccc9e3e410p-73L, 0xd20d20d20d20d20dp-71L, -0xf21436587a9cbee1p-69L,
    0xb7f4b1c0f033ffd1p-66L};
  long double sum = 0, square = x * x;
  for (int i = sizeof terms / sizeof *terms; i-- > 0;) sum = sum / square + terms[i];
  return sum / x;
}

/* log2(gamma(x)). For x from 20. */
static long double log2_of_gamma(long double x) {
  return ((x - 0.5L) * binary_logarithm(x) - x * LOG2_E) + LOG2_OF_ROOT_OF_2_PI + stirling_rest(x) * LOG2_E;
}

/* For x above 0, below 1000. */
static long double gamma_of(long double x) {
  long double product = 1;
  while (x < 20) product *= x++;
  return power_of_two(log2_of_gamma(x)) / product;
}

/* sin(pi x) for finite x. */
static long double sine_of_turns(double x) {
  long double rest = remainder(x, 2);
  if (rest > 0.5L) rest = 1 - rest;
  if (rest < -0.5L) rest = -1 - rest;
  rest *= PI;
  __asm__("fsin" : "+t"(rest));
  return rest;
}

double tgamma(double x) {
  if (isnan(x)) return x;
  if (x == 0) return copysign(__builtin_inf(), x);
  if (x < 0 && floor(x) == x) return __builtin_nan("");
  if (x > 172) return __builtin_inf();
  if (x > 0 && x <= 24 && floor(x) == x) {
    double product = 1;
    for (int i = 2; i < (int)x; i++) product *= i;
    return product;
  }
  if (x > 0) return (double)gamma_of(x);
  if (x < -190) return remainder(floor(x), 2) != 0 ? -0.0 : 0.0;
  return (double)(PI / (sine_of_turns(x) * gamma_of(1 - (long double)x)));
}

/* ln(gamma(2 + x)) for x from -1/2 to 1/2. */
static long double log_of_gamma_around_2(long double x) {
  /* (zeta(k) - 1) / k, with alternating signs, from k = 2. */
  static const long double terms[] = {
    0xa51a6625307d3231p-65L, -0x89f000d2abb03409p-67L, 0xa8991563ec241b60p-69L, -0xf2027e10c7af8c37p-71L,
    0xbd6eb756db617ea5p-72L, -0x9c562e15fc703e76p-73L, 0x859b57c31cb745f3p-74L, -0xe9fea63b697e3e38p-76L,
    0xd093d878beb2d19dp-77L, -0xbc6f2debe40f7797p-78L, 0xac06e77337581126p-79L, -0x9e5e4b1e7112142bp-80L,
    0x92cbd1cf9a555c81p-81L, -0x88d975bb3caa08e4p-82L, 0x803266f5917879d0p-83L, -0xf13006c9e7e975dap-85L,
    0xe3b5dd9f83d26bb3p-86L, -0xd7ad365dfc54bb2cp-87L, 0xccdc9e1038587a06p-88L, -0xc31639a6f9f56366p-89L,
    0xba34ed667d6e6593p-90L, -0xb21a54223d75681bp-91L, 0xaaad43bffe9614f1p-92L, -0xa3d8b3c92c68720ap-93L,
    0x9d8ae9597e085e28p-94L, -0x97b4d4fd5f1efcbdp-95L, 0x92499519ba1a620cp-96L, -0x8d3e13761291e29fp-97L,
    0x8888b7349f6cbc72p-98L, -0x8421265e2a1ec141p-99L, 0x80001371fb227a6bp-100L, -0xf83e28a7e4f8505dp-102L,
    0xf0f1013557e6bd3bp-103L, -0xea0eab72f7170ebcp-104L};
  long double sum = 0;
  for (int i = sizeof terms / sizeof *terms; i-- > 0;) sum = (sum + terms[i]) * x;
  return (sum + ONE_LESS_EULER) * x;
}

double lgamma(double x) {
  signgam = 1;
  if (isnan(x)) return x;
  if (isinf(x) || (x <= 0 && floor(x) == x)) {
    if (x == 0 && signbit(x)) signgam = -1;
    return __builtin_inf();
  }
  if (x < 0) {
    long double sine = sine_of_turns(x);
    if (sine < 0) signgam = -1;
    long double other = 1 - (long double)x;
    long double above = other < 20 ? binary_logarithm(gamma_of(other)) : log2_of_gamma(other);
    return (double)(LN_2 * (binary_logarithm(PI / __builtin_fabsl(sine)) - above));
  }
  if (x >= 0.5 && x < 1.5) {
    long double rest = (long double)x - 1, logarithm;
    if (__builtin_fabsl(rest) < 0.29L)
      __asm__("fyl2xp1" : "=t"(logarithm) : "0"(rest), "u"(LN_2) : "st(1)");
    else
      logarithm = LN_2 * binary_logarithm(x);
    return (double)(log_of_gamma_around_2(rest) - logarithm);
  }
  if (x >= 1.5 && x < 2.5) return (double)log_of_gamma_around_2((long double)x - 2);
  return (double)(LN_2 * (x < 20 ? binary_logarithm(gamma_of(x)) : log2_of_gamma(x)));
}

typedef unsigned __int128 wide;

/* The top bit of a number that is not 0. */
static int top_of(wide number) {
  uint64_t high = (uint64_t)(number >> 64);
  return high != 0 ? 127 - __builtin_clzll(high) : 63 - __builtin_clzll((uint64_t)number);
}

/* A number that is not 0, as `mantissa` with its top bit at 125, times 2^exponent. */
struct parts {
  wide mantissa;
  int exponent;
};

static struct parts parts_of(wide mantissa, int exponent) {
  int shift = 125 - top_of(mantissa);
  return (struct parts){mantissa << shift, exponent - shift};
}

static uint64_t whole_mantissa(double x, int *exponent) {
  double mantissa = frexp(fabs(x), exponent);
  *exponent -= 53;
  return (uint64_t)(mantissa * 0x1p53);
}

/* x * y + z for finite numbers that are not 0: 62 bits, the last of them set when more would follow. Whatever it is
 * converted to, it is rounded once. */
static long double sum_of_product(double x, double y, double z) {
  int x_exponent, y_exponent, z_exponent;
  wide product = (wide)whole_mantissa(x, &x_exponent) * whole_mantissa(y, &y_exponent);
  wide addend = whole_mantissa(z, &z_exponent);
  struct parts large = parts_of(product, x_exponent + y_exponent);
  struct parts small = parts_of(addend, z_exponent);
  bool large_below_0 = signbit(x) != signbit(y), small_below_0 = signbit(z);
  if (small.exponent > large.exponent || (small.exponent == large.exponent && small.mantissa > large.mantissa)) {
    struct parts kept = large;
    large = small;
    small = kept;
    large_below_0 = small_below_0;
    small_below_0 = signbit(x) != signbit(y);
  }
  int shift = large.exponent - small.exponent;
  wide lost = shift > 125 ? small.mantissa : small.mantissa & (((wide)1 << shift) - 1);
  wide added = (shift > 125 ? 0 : small.mantissa >> shift) | (lost != 0);
  wide sum = large_below_0 == small_below_0 ? large.mantissa + added : large.mantissa - added;
  /* By the hardware, whose rounding decides of the sign. */
  if (sum == 0) return x * y + z;
  int exponent = large.exponent, surplus = top_of(sum) - 61;
  if (surplus > 0) {
    sum = (sum >> surplus) | ((sum & (((wide)1 << surplus) - 1)) != 0);
    exponent += surplus;
  }
  long double size = (long double)(int64_t)sum;
  return scaled(large_below_0 ? -size : size, exponent);
}

double fma(double x, double y, double z) {
  if (!isfinite(x) || !isfinite(y) || x == 0 || y == 0) return x * y + z;
  /* The product by itself may be beyond all numbers, or too small for any. */
  if (!isfinite(z)) return z;
  return z == 0 ? x * y : (double)sum_of_product(x, y, z);
}

float fmaf(float x, float y, float z) {
  if (!isfinite(x) || !isfinite(y) || x == 0 || y == 0) return x * y + z;
  if (!isfinite(z)) return z;
  return z == 0 ? x * y : (float)sum_of_product(x, y, z);
}

#endif
