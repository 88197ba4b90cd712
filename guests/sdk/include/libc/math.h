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

float fabsf(float x);
float floorf(float x);
float ceilf(float x);
float roundf(float x);
float sqrtf(float x);
float sinf(float x);
float cosf(float x);
float expf(float x);
float logf(float x);
float powf(float x, float y);

#endif
#endif
