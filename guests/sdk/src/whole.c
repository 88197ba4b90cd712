/* Doubles to whole numbers by the rounding that is set, remainders, exponents, neighbours. */
#include <math.h>

#ifdef __SSE2__

#include <stdint.h>
#include <string.h>

double rint(double x) {
  long double whole = x;
  __asm__("frndint" : "+t"(whole));
  return copysign((double)whole, x);
}

/* The same but for the flag `inexact`, which nobody here is told of. */
double nearbyint(double x) { return rint(x); }

long lrint(double x) {
  long whole;
  __asm__("cvtsd2si %1, %0" : "=r"(whole) : "x"(x));
  return whole;
}

long long llrint(double x) { return lrint(x); }
long long llround(double x) { return lround(x); }

double remainder(double x, double y) {
  if (isnan(x) || isnan(y)) return __builtin_nan("");
  long double rest = x;
  uint16_t status;
  do
    __asm__("fprem1; fnstsw %1" : "+t"(rest), "=a"(status) : "u"((long double)y));
  while (status & 0x400);
  return (double)rest;
}

double fdim(double x, double y) {
  if (isnan(x) || isnan(y)) return __builtin_nan("");
  return x > y ? x - y : 0;
}

double cbrt(double x) {
  if (x == 0 || !isfinite(x)) return x;
  int exponent;
  double mantissa = frexp(fabs(x), &exponent);
  int rest = exponent % 3;
  if (rest < 0) rest += 3;
  /* The root of the mantissa, 1/2 to 4, by Newton: each round doubles its digits. */
  long double part = ldexp(mantissa, rest), root = pow((double)part, 1.0 / 3);
  for (int round = 0; round < 2; round++) root -= (root * root * root - part) / (3 * root * root);
  return copysign(ldexp((double)root, (exponent - rest) / 3), x);
}

double logb(double x) {
  if (isnan(x)) return x;
  if (x == 0) return -__builtin_inf();
  if (isinf(x)) return __builtin_inf();
  int exponent;
  frexp(x, &exponent);
  return exponent - 1;
}

int ilogb(double x) {
  if (x == 0) return FP_ILOGB0;
  if (isnan(x)) return FP_ILOGBNAN;
  return isinf(x) ? INT32_MAX : (int)logb(x);
}

double nextafter(double x, double y) {
  if (isnan(x) || isnan(y)) return __builtin_nan("");
  if (x == y) return y;
  int64_t bits = 1;
  if (x != 0) {
    memcpy(&bits, &x, sizeof bits);
    bits += (x < y) == (x > 0) ? 1 : -1;
  }
  double next;
  memcpy(&next, &bits, sizeof next);
  return x == 0 ? copysign(next, y) : next;
}

#endif
