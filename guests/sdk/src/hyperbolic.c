/* Exponentials near 1, and what follows from them, by the x87 unit with 64-bit mantissas. */
#include <math.h>

#ifdef __SSE2__

static const long double LOG2_E = 1.442695040888963407359924681001892137L;
static const long double LN_2 = 0.693147180559945309417232121458176568L;

/* e^x - 1 for finite x below 12000: exact near 0, where the difference would lose its digits. */
static long double exp_minus_1(long double x) {
  long double product = x * LOG2_E, whole = product, power;
  __asm__("frndint" : "+t"(whole));
  long double rest = product - whole;
  __asm__("f2xm1" : "+t"(rest));
  __asm__("fscale" : "=t"(power) : "0"(1.0L), "u"(whole));
  return rest * power + (power - 1);
}

/* ln(1 + x) for x above -1, finite. */
static long double log_of_1_plus(long double x) {
  long double result;
  /* The instruction for it takes arguments below 1 - sqrt(1/2). */
  if (__builtin_fabsl(x) < 0.29L)
    __asm__("fyl2xp1" : "=t"(result) : "0"(x), "u"(LN_2) : "st(1)");
  else
    __asm__("fyl2x" : "=t"(result) : "0"(1 + x), "u"(LN_2) : "st(1)");
  return result;
}

static long double root_of(long double x) {
  __asm__("fsqrt" : "+t"(x));
  return x;
}

double expm1(double x) {
  if (isnan(x) || x == 0) return x;
  if (x > 1000) return __builtin_inf();
  return x < -1000 ? -1 : (double)exp_minus_1(x);
}

double log1p(double x) {
  if (isnan(x) || x < -1) return __builtin_nan("");
  if (x == -1) return -__builtin_inf();
  return isinf(x) || x == 0 ? x : (double)log_of_1_plus(x);
}

double sinh(double x) {
  if (x == 0 || !isfinite(x)) return x;
  if (fabs(x) > 1000) return copysign(__builtin_inf(), x);
  long double e = exp_minus_1(fabs(x));
  return copysign((double)((e + e / (e + 1)) / 2), x);
}

double cosh(double x) {
  if (isnan(x)) return x;
  if (fabs(x) > 1000) return __builtin_inf();
  long double power = exp_minus_1(fabs(x)) + 1;
  return (double)((power + 1 / power) / 2);
}

double tanh(double x) {
  if (isnan(x) || x == 0) return x;
  if (fabs(x) > 30) return copysign(1, x);
  long double e = exp_minus_1(2 * (long double)fabs(x));
  return copysign((double)(e / (e + 2)), x);
}

double asinh(double x) {
  if (x == 0 || !isfinite(x)) return x;
  long double size = fabs(x), square = size * size;
  return copysign((double)log_of_1_plus(size + square / (1 + root_of(square + 1))), x);
}

double acosh(double x) {
  if (!(x >= 1)) return __builtin_nan("");
  if (isinf(x)) return x;
  long double above = (long double)x - 1;
  return (double)log_of_1_plus(above + root_of(above * (above + 2)));
}

double atanh(double x) {
  if (!(fabs(x) <= 1)) return __builtin_nan("");
  if (fabs(x) == 1) return copysign(__builtin_inf(), x);
  if (x == 0) return x;
  long double size = fabs(x);
  return copysign((double)(log_of_1_plus(2 * size / (1 - size)) / 2), x);
}

#endif
