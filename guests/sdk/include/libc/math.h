/*
 * A subset of ISO C for double, computed by the x87 unit with 64-bit mantissas: results are within two units in the
 * last place, those of sin, cos and tan for arguments below 1e9. Sets no errno. Not there with SSE=0.
 */
#ifndef MAYFLY_MATH_H
#define MAYFLY_MATH_H

#ifdef __SSE2__

#define HUGE_VAL __builtin_huge_val()
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define FP_ILOGB0 (-__INT_MAX__ - 1)
#define FP_ILOGBNAN (-__INT_MAX__ - 1)
#define M_E 2.71828182845904523536
#define M_PI 3.14159265358979323846
#define M_SQRT2 1.41421356237309504880

#define isnan(x) __builtin_isnan(x)
#define isinf(x) __builtin_isinf(x)
#define isfinite(x) __builtin_isfinite(x)
#define signbit(x) __builtin_signbit(x)

double fabs(double x);
double copysign(double x, double sign);
double fmin(double x, double y);
double fmax(double x, double y);
double floor(double x);
double ceil(double x);
double trunc(double x);
/** Halves away from zero. */
double round(double x);
long lround(double x);
double fmod(double x, double y);
double modf(double x, double *whole);
double sqrt(double x);
double hypot(double x, double y);
double scalbn(double x, int exponent);
double ldexp(double x, int exponent);
double frexp(double x, int *exponent);
double exp(double x);
double exp2(double x);
double log(double x);
double log2(double x);
double log10(double x);
double pow(double x, double y);
double sin(double x);
double cos(double x);
double tan(double x);
double asin(double x);
double acos(double x);
double atan(double x);
double atan2(double y, double x);
double expm1(double x);
double log1p(double x);
double sinh(double x);
double cosh(double x);
double tanh(double x);
double asinh(double x);
double acosh(double x);
double atanh(double x);
/** By the rounding of fenv.h. */
double rint(double x);
double nearbyint(double x);
long lrint(double x);
long long llrint(double x);
long long llround(double x);
double remainder(double x, double y);
double fdim(double x, double y);
double cbrt(double x);
double logb(double x);
int ilogb(double x);
double nextafter(double x, double y);
/** Rounded once. */
double fma(double x, double y, double z);
double erf(double x);
double erfc(double x);
double tgamma(double x);
/** ln of the size of gamma, whose sign goes to signgam; between whole numbers below 0 to 1e-14 of its largest part. */
double lgamma(double x);
extern int signgam;

float fabsf(float x);
float floorf(float x);
float ceilf(float x);
float truncf(float x);
float roundf(float x);
float sqrtf(float x);
float expf(float x);
float exp2f(float x);
float logf(float x);
float log2f(float x);
float log10f(float x);
float sinf(float x);
float cosf(float x);
float tanf(float x);
float asinf(float x);
float acosf(float x);
float atanf(float x);
float expm1f(float x);
float log1pf(float x);
float sinhf(float x);
float coshf(float x);
float tanhf(float x);
float asinhf(float x);
float acoshf(float x);
float atanhf(float x);
float rintf(float x);
float nearbyintf(float x);
float cbrtf(float x);
float logbf(float x);
float copysignf(float x, float y);
float fminf(float x, float y);
float fmaxf(float x, float y);
float fmodf(float x, float y);
float hypotf(float x, float y);
float powf(float x, float y);
float atan2f(float x, float y);
float remainderf(float x, float y);
float fdimf(float x, float y);
float scalbnf(float x, int exponent);
float ldexpf(float x, int exponent);
float frexpf(float x, int *exponent);
float modff(float x, float *whole);
long lroundf(float x);
long lrintf(float x);
int ilogbf(float x);
float fmaf(float x, float y, float z);
float erff(float x);
float erfcf(float x);
float tgammaf(float x);
float lgammaf(float x);

#endif
#endif
