/*
 * Complex functions, each by the real ones. Products and quotients are here, too: the compiler calls a library of its own
 * for them, which a guest does not have.
 */
#include <complex.h>

#ifdef __SSE2__

#include <math.h>
#include <stdbool.h>

double creal(double complex z) { return __real__ z; }
double cimag(double complex z) { return __imag__ z; }
double cabs(double complex z) { return hypot(creal(z), cimag(z)); }
double carg(double complex z) { return atan2(cimag(z), creal(z)); }
double complex conj(double complex z) { return CMPLX(creal(z), -cimag(z)); }

double complex cproj(double complex z) {
  if (!isinf(creal(z)) && !isinf(cimag(z))) return z;
  return CMPLX(__builtin_inf(), copysign(0, cimag(z)));
}

/* ---- Products and quotients (ISO C, annex G) ---- */

/* An infinite part becomes a unit, any other a zero, with its sign. */
static double boxed(double part) { return copysign(isinf(part) ? 1 : 0, part); }
static double zero_for_nan(double part) { return isnan(part) ? copysign(0, part) : part; }

double complex __muldc3(double a, double b, double c, double d);
double complex __muldc3(double a, double b, double c, double d) {
  double re = a * c - b * d, im = a * d + b * c;
  if (!isnan(re) || !isnan(im)) return CMPLX(re, im);
  bool again = false;
  if (isinf(a) || isinf(b)) {
    a = boxed(a), b = boxed(b), c = zero_for_nan(c), d = zero_for_nan(d);
    again = true;
  }
  if (isinf(c) || isinf(d)) {
    c = boxed(c), d = boxed(d), a = zero_for_nan(a), b = zero_for_nan(b);
    again = true;
  }
  if (!again && (isinf(a * c) || isinf(b * d) || isinf(a * d) || isinf(b * c))) {
    a = zero_for_nan(a), b = zero_for_nan(b), c = zero_for_nan(c), d = zero_for_nan(d);
    again = true;
  }
  if (!again) return CMPLX(re, im);
  return CMPLX(__builtin_inf() * (a * c - b * d), __builtin_inf() * (a * d + b * c));
}

double complex __divdc3(double a, double b, double c, double d);
double complex __divdc3(double a, double b, double c, double d) {
  /* In 64-bit mantissas with their wide exponents nothing overflows on the way. */
  long double size = (long double)c * c + (long double)d * d;
  double re = (double)(((long double)a * c + (long double)b * d) / size);
  double im = (double)(((long double)b * c - (long double)a * d) / size);
  if (!isnan(re) || !isnan(im)) return CMPLX(re, im);
  if (size == 0 && (!isnan(a) || !isnan(b)))
    return CMPLX(copysign(__builtin_inf(), c) * a, copysign(__builtin_inf(), c) * b);
  if ((isinf(a) || isinf(b)) && isfinite(c) && isfinite(d))
    return CMPLX(__builtin_inf() * (boxed(a) * c + boxed(b) * d), __builtin_inf() * (boxed(b) * c - boxed(a) * d));
  if ((isinf(c) || isinf(d)) && isfinite(a) && isfinite(b))
    return CMPLX(0 * (a * boxed(c) + b * boxed(d)), 0 * (b * boxed(c) - a * boxed(d)));
  return CMPLX(re, im);
}

float complex __mulsc3(float a, float b, float c, float d);
float complex __mulsc3(float a, float b, float c, float d) {
  double complex product = __muldc3(a, b, c, d);
  return CMPLXF(creal(product), cimag(product));
}

float complex __divsc3(float a, float b, float c, float d);
float complex __divsc3(float a, float b, float c, float d) {
  double complex quotient = __divdc3(a, b, c, d);
  return CMPLXF(creal(quotient), cimag(quotient));
}

/* ---- Functions ---- */

double complex cexp(double complex z) {
  double x = creal(z), y = cimag(z);
  if (y == 0) return CMPLX(exp(x), y);
  /* e^-inf is 0 whatever the angle. */
  if (isinf(x) && x < 0 && !isfinite(y)) return CMPLX(0, copysign(0, y));
  if (isinf(x) && !isfinite(y)) return CMPLX(x, __builtin_nan(""));
  return CMPLX(exp(x) * cos(y), exp(x) * sin(y));
}

/* ln |z|: near the unit circle its square's distance from 1 counts. */
static double log_of_size(double x, double y) {
  double big = fmax(fabs(x), fabs(y)), small = fmin(fabs(x), fabs(y));
  if (big > 0.5 && big < 2) {
    long double above = ((long double)big - 1) * ((long double)big + 1) + (long double)small * small;
    if (above > -0.5L) return log1p((double)above) / 2;
  }
  return log(hypot(x, y));
}

double complex clog(double complex z) { return CMPLX(log_of_size(creal(z), cimag(z)), carg(z)); }

double complex csqrt(double complex z) {
  double x = creal(z), y = cimag(z);
  if (x == 0 && y == 0) return CMPLX(0, y);
  if (isinf(y)) return CMPLX(__builtin_inf(), y);
  if (isnan(x)) return CMPLX(x, x);
  if (isinf(x)) return x > 0 ? CMPLX(x, isnan(y) ? y : copysign(0, y)) : CMPLX(isnan(y) ? y : 0, copysign(x, y));
  long double size = (long double)x * x + (long double)y * y, root;
  __asm__("fsqrt" : "+t"(size));
  root = (size + __builtin_fabsl(x)) / 2;
  __asm__("fsqrt" : "+t"(root));
  double large = (double)root, other = (double)(y / (2 * root));
  return x >= 0 ? CMPLX(large, other) : CMPLX(fabs(other), copysign(large, y));
}

double complex cpow(double complex z, double complex w) {
  if (w == 0) return 1;
  if (z == 0) return 0;
  return cexp(w * clog(z));
}

double complex csinh(double complex z) {
  double x = creal(z), y = cimag(z);
  if (y == 0) return CMPLX(sinh(x), y);
  if (x == 0) return CMPLX(x, sin(y));
  return CMPLX(sinh(x) * cos(y), cosh(x) * sin(y));
}

double complex ccosh(double complex z) {
  double x = creal(z), y = cimag(z);
  if (y == 0) return CMPLX(cosh(x), x * y);
  if (x == 0) return CMPLX(cos(y), x * y);
  return CMPLX(cosh(x) * cos(y), sinh(x) * sin(y));
}

double complex ctanh(double complex z) {
  double x = creal(z), y = cimag(z);
  if (y == 0) return CMPLX(tanh(x), y);
  if (x == 0) return CMPLX(x, tan(y));
  if (fabs(x) > 30) return CMPLX(copysign(1, x), copysign(0, sin(2 * y)));
  /* By t = tan y: no difference of nearly equal terms is left. */
  double t = tan(y), square = 1 + t * t, s = sinh(x);
  if (isinf(t)) return CMPLX(1 / tanh(x), 1 / t);
  double below = 1 + square * s * s;
  return CMPLX(square * cosh(x) * s / below, t / below);
}

/* Multiplied by i, and by -i. */
static double complex turned(double complex z) { return CMPLX(-cimag(z), creal(z)); }
static double complex turned_back(double complex z) { return CMPLX(cimag(z), -creal(z)); }

double complex csin(double complex z) { return turned_back(csinh(turned(z))); }
double complex ccos(double complex z) { return ccosh(turned(z)); }
double complex ctan(double complex z) { return turned_back(ctanh(turned(z))); }

double complex casin(double complex z) {
  double x = creal(z), y = cimag(z);
  /* Kahan: 1 - z and 1 + z have their roots taken apart, which keeps the cuts' sides. */
  double complex less = csqrt(CMPLX(1 - x, -y)), more = csqrt(CMPLX(1 + x, y));
  double re = atan2(x, creal(less * more));
  return CMPLX(re, asinh(creal(less) * cimag(more) - cimag(less) * creal(more)));
}

double complex cacos(double complex z) {
  double x = creal(z), y = cimag(z);
  double complex less = csqrt(CMPLX(1 - x, -y)), more = csqrt(CMPLX(1 + x, y));
  double re = 2 * atan2(creal(less), creal(more));
  return CMPLX(re, asinh(creal(more) * cimag(less) - cimag(more) * creal(less)));
}

double complex casinh(double complex z) { return turned_back(casin(turned(z))); }

double complex cacosh(double complex z) {
  double complex angle = cacos(z);
  return signbit(cimag(z)) ? turned_back(angle) : CMPLX(-cimag(angle), creal(angle));
}

double complex catanh(double complex z) {
  double x = creal(z), y = cimag(z);
  double re = log1p(4 * x / ((1 - x) * (1 - x) + y * y)) / 4;
  return CMPLX(re, atan2(2 * y, (1 - x) * (1 + x) - y * y) / 2);
}

double complex catan(double complex z) { return turned_back(catanh(turned(z))); }

/* ---- float ---- */

float crealf(float complex z) { return __real__ z; }
float cimagf(float complex z) { return __imag__ z; }
float cabsf(float complex z) { return (float)cabs(z); }
float cargf(float complex z) { return (float)carg(z); }
float complex cpowf(float complex z, float complex w) { return (float complex)cpow(z, w); }

#define ONE(name) \
  float complex name##f(float complex z) { return (float complex)name(z); }
ONE(cexp)
ONE(clog)
ONE(csqrt)
ONE(csin)
ONE(ccos)
ONE(ctan)
ONE(csinh)
ONE(ccosh)
ONE(ctanh)
ONE(casin)
ONE(cacos)
ONE(catan)
ONE(casinh)
ONE(cacosh)
ONE(catanh)
ONE(conj)
ONE(cproj)

#endif
