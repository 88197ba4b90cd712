/* Functions of double by the x87 unit: each is one or a few of its instructions. */
#include <math.h>

#ifdef __SSE2__

#include <stdbool.h>
#include <stdint.h>

double fabs(double x) { return __builtin_fabs(x); }
double copysign(double x, double sign) { return __builtin_copysign(x, sign); }
double fmin(double x, double y) { return isnan(x) || y < x ? y : x; }
double fmax(double x, double y) { return isnan(x) || y > x ? y : x; }

/* From here on a double has no fraction. */
static bool is_whole(double x) { return !(fabs(x) < 0x1p52); }

double trunc(double x) { return is_whole(x) ? x : copysign((double)(int64_t)x, x); }

double floor(double x) {
  double whole = trunc(x);
  return whole > x ? whole - 1 : whole;
}

double ceil(double x) {
  double whole = trunc(x);
  return copysign(whole < x ? whole + 1 : whole, x);
}

double round(double x) {
  double whole = trunc(x);
  return copysign(fabs(x - whole) >= 0.5 ? fabs(whole) + 1 : fabs(whole), x);
}

long lround(double x) { return (long)round(x); }

double modf(double x, double *whole) {
  *whole = trunc(x);
  return copysign(isinf(x) ? 0 : x - *whole, x);
}

double fmod(double x, double y) {
  long double rest = x;
  uint16_t status;
  /* Each round takes up to 63 bits off; C2 says that there is more to do. */
  do
    __asm__("fprem; fnstsw %1" : "+t"(rest), "=a"(status) : "u"((long double)y));
  while (status & 0x400);
  return (double)rest;
}

double sqrt(double x) {
  double root;
  __asm__("sqrtsd %1, %0" : "=x"(root) : "x"(x));
  return root;
}

double hypot(double x, double y) {
  if (isinf(x) || isinf(y)) return __builtin_inf();
  long double root = (long double)x * x + (long double)y * y;
  __asm__("fsqrt" : "+t"(root));
  return (double)root;
}

static long double scale(long double x, int exponent) {
  __asm__("fscale" : "+t"(x) : "u"((long double)exponent));
  return x;
}

double scalbn(double x, int exponent) { return (double)scale(x, exponent); }
double ldexp(double x, int exponent) { return scalbn(x, exponent); }

double frexp(double x, int *exponent) {
  *exponent = 0;
  if (x == 0 || !isfinite(x)) return x;
  long double mantissa = x, power;
  __asm__("fxtract" : "+t"(mantissa), "=u"(power));
  /* fxtract leaves the exponent below the mantissa, which is 1 to 2. */
  *exponent = (int)power + 1;
  return (double)(mantissa / 2);
}

/* 2^x for finite x. */
static long double power_of_two(long double x) {
  if (x > 20000) return __builtin_infl();
  if (x < -20000) return 0;
  long double whole = x;
  __asm__("frndint" : "+t"(whole));
  long double rest = x - whole;
  __asm__("f2xm1" : "+t"(rest));
  return scale(rest + 1, (int)whole);
}

static long double times_log2(long double factor, long double x) {
  long double result;
  __asm__("fyl2x" : "=t"(result) : "0"(x), "u"(factor) : "st(1)");
  return result;
}

static const long double LOG2_E = 1.442695040888963407359924681001892137L;
static const long double LN_2 = 0.693147180559945309417232121458176568L;
static const long double LOG10_2 = 0.301029995663981195213738894724493027L;

double exp2(double x) { return isnan(x) ? x : (double)power_of_two(x); }

double exp(double x) {
  if (isnan(x)) return x;
  /* exp(x) = 2^whole * 2^rest; the product is split, so that a large x keeps its digits. */
  long double product = x * LOG2_E;
  if (fabs(x) > 12000) return (double)power_of_two(product);
  long double whole = product;
  __asm__("frndint" : "+t"(whole));
  /* ln 2 in two parts, the first of which times `whole` is exact. */
  const long double high = 0x1.62e42fefa39efp-1L, low = 0x1.abc9e3b39803f2f7p-56L;
  long double rest = ((x - whole * high) - whole * low) * LOG2_E;
  return (double)scale(power_of_two(rest), (int)whole);
}

static double logarithm(double x, long double factor) {
  if (isnan(x) || x < 0) return __builtin_nan("");
  if (x == 0) return -__builtin_inf();
  return isinf(x) ? x : (double)times_log2(factor, x);
}

double log(double x) { return logarithm(x, LN_2); }
double log2(double x) { return logarithm(x, 1); }
double log10(double x) { return logarithm(x, LOG10_2); }

static bool is_odd(double y) { return fabs(y) < 0x1p53 && fmod(y, 2) != 0 && trunc(y) == y; }

double pow(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (isnan(x) || isnan(y)) return __builtin_nan("");
  double size = fabs(x), result;
  if (isinf(y))
    result = size == 1 ? 1 : (size > 1) == (y > 0) ? __builtin_inf() : 0;
  else if (size == 0 || isinf(x))
    result = (size == 0) == (y > 0) ? 0 : __builtin_inf();
  else if (x < 0 && trunc(y) != y)
    return __builtin_nan("");
  else if (trunc(y) == y && fabs(y) <= 64) {
    /* Small whole powers by multiplication: exact where the result is. */
    long double product = 1, factor = size;
    for (unsigned n = (unsigned)fabs(y); n > 0; n >>= 1, factor *= factor)
      if (n & 1) product *= factor;
    result = (double)(y < 0 ? 1 / product : product);
  } else
    result = (double)power_of_two(times_log2(y, size));
  return signbit(x) && is_odd(y) ? -result : result;
}

/* The instructions reduce by a pi of 66 bits only; here whole quarters of a turn are taken off by one of 130.
 * @returns what is left, at most pi / 4 either way; *quarter is how many were taken, modulo 4. */
static long double reduced(double x, int *quarter) {
  /* pi / 2 = high + middle + low; 33 bits each but the last, so that products with up to 2^31 are exact. */
  const long double high = 0x1921fb544p-32L, middle = 0x10b4611a6p-66L, low = 0x98cc51701b839a25p-132L;
  long double quarters = x / high;
  __asm__("frndint" : "+t"(quarters));
  *quarter = fabs((double)quarters) < 0x1p62 ? (int)((int64_t)quarters & 3) : 0;
  return quarters == 0 ? x : ((x - quarters * high) - quarters * middle) - quarters * low;
}

/* The sine of an angle that is `quarter` quarters of a turn further. */
static double sine(long double angle, int quarter) {
  if ((quarter & 1) != 0)
    __asm__("fcos" : "+t"(angle));
  else
    __asm__("fsin" : "+t"(angle));
  return (double)((quarter & 2) != 0 ? -angle : angle);
}

double sin(double x) {
  int quarter;
  if (!isfinite(x)) return __builtin_nan("");
  long double angle = reduced(x, &quarter);
  return sine(angle, quarter);
}

double cos(double x) {
  int quarter;
  if (!isfinite(x)) return __builtin_nan("");
  long double angle = reduced(x, &quarter);
  return sine(angle, quarter + 1);
}

double tan(double x) {
  int quarter;
  if (!isfinite(x)) return __builtin_nan("");
  long double angle = reduced(x, &quarter), one;
  __asm__("fptan" : "=t"(one), "=u"(angle) : "0"(angle));
  return (double)((quarter & 1) != 0 ? -1 / angle : angle);
}

static long double arc(long double y, long double x) {
  long double angle;
  __asm__("fpatan" : "=t"(angle) : "0"(x), "u"(y) : "st(1)");
  return angle;
}

static long double root_of(long double x) {
  __asm__("fsqrt" : "+t"(x));
  return x;
}

double atan2(double y, double x) { return isnan(x) || isnan(y) ? __builtin_nan("") : (double)arc(y, x); }
double atan(double x) { return isnan(x) ? x : (double)arc(x, 1); }

double asin(double x) {
  if (!(fabs(x) <= 1)) return __builtin_nan("");
  return (double)arc(x, root_of((1 - (long double)x) * (1 + (long double)x)));
}

double acos(double x) {
  if (!(fabs(x) <= 1)) return __builtin_nan("");
  return (double)arc(root_of((1 - (long double)x) * (1 + (long double)x)), x);
}

#endif
