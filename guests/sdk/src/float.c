/* Functions of float: those of double, rounded once more. */
#include <math.h>

#ifdef __SSE2__

#define ONE(name) \
  float name##f(float x) { return (float)name(x); }
#define TWO(name) \
  float name##f(float x, float y) { return (float)name(x, y); }

ONE(fabs)
ONE(floor)
ONE(ceil)
ONE(trunc)
ONE(round)
ONE(sqrt)
ONE(exp)
ONE(exp2)
ONE(log)
ONE(log2)
ONE(log10)
ONE(sin)
ONE(cos)
ONE(tan)
ONE(asin)
ONE(acos)
ONE(atan)
ONE(expm1)
ONE(log1p)
ONE(sinh)
ONE(cosh)
ONE(tanh)
ONE(asinh)
ONE(acosh)
ONE(atanh)
ONE(rint)
ONE(nearbyint)
ONE(cbrt)
ONE(logb)
ONE(erf)
ONE(erfc)
ONE(tgamma)
ONE(lgamma)
TWO(copysign)
TWO(fmin)
TWO(fmax)
TWO(fmod)
TWO(hypot)
TWO(pow)
TWO(atan2)
TWO(remainder)
TWO(fdim)

float scalbnf(float x, int exponent) { return (float)scalbn(x, exponent); }
float ldexpf(float x, int exponent) { return (float)ldexp(x, exponent); }
float frexpf(float x, int *exponent) { return (float)frexp(x, exponent); }
long lroundf(float x) { return lround(x); }
long lrintf(float x) { return lrint(x); }
int ilogbf(float x) { return ilogb(x); }

float modff(float x, float *whole) {
  double part;
  float rest = (float)modf(x, &part);
  *whole = (float)part;
  return rest;
}

#endif
