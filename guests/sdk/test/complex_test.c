#include "check.h"

#include <complex.h>
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime.h"
#include "unused_aborts.h"

mf_Runtime mf_runtime;

#define EACH_COMPLEX(X)                                                                                     \
  X(cexp) X(clog) X(csqrt) X(csin) X(ccos) X(ctan) X(csinh) X(ccosh) X(ctanh) X(casin) X(cacos) X(catan)    \
  X(casinh) X(cacosh) X(catanh) X(conj) X(cproj)
#define DECLARE(name) double complex sdk_##name(double complex z);
EACH_COMPLEX(DECLARE)
double complex sdk_cpow(double complex z, double complex w);
double sdk_cabs(double complex z);
double sdk_carg(double complex z);
double complex sdk___muldc3(double a, double b, double c, double d);
double complex sdk___divdc3(double a, double b, double c, double d);
int sdk_fesetround(int rounding);
int sdk_fegetround(void);
int sdk_feraiseexcept(int exceptions);
int sdk_feclearexcept(int exceptions);
int sdk_fetestexcept(int exceptions);
int sdk_fegetenv(fenv_t *environment);
int sdk_fesetenv(const fenv_t *environment);
int sdk_feholdexcept(fenv_t *environment);
int sdk_feupdateenv(const fenv_t *environment);
long sdk_lrint(double x);

static double within(double range) { return ((double)draw(1u << 24) / (1 << 23) - 1) * range; }

static void close_to(const char *name, double complex z, double complex ours, double complex theirs) {
  double distance = cabs(ours - theirs), size = cabs(theirs);
  if (distance <= 1e-12 * size + 1e-13) return;
  fprintf(stderr, "%s(%a + %ai) is %.17g + %.17gi, not %.17g + %.17gi\n", name, creal(z), cimag(z), creal(ours),
          cimag(ours), creal(theirs), cimag(theirs));
  fail();
}

static void functions_are_those_of_libc(void) {
  for (int round = 0; round < 20000; round++) {
    double range = round % 3 == 0 ? 0.01 : round % 3 == 1 ? 2 : 20;
    double complex z = CMPLX(within(range), within(range));
#define COMPARE(name) close_to(#name, z, sdk_##name(z), name(z));
    EACH_COMPLEX(COMPARE)
    double complex w = CMPLX(within(2), within(2));
    close_to("cpow", z, sdk_cpow(z, w), cpow(z, w));
    close_to("product", z, sdk___muldc3(creal(z), cimag(z), creal(w), cimag(w)), z * w);
    close_to("quotient", z, sdk___divdc3(creal(z), cimag(z), creal(w), cimag(w)), z / w);
    CHECK(fabs(sdk_cabs(z) - cabs(z)) <= 1e-15 * cabs(z) && fabs(sdk_carg(z) - carg(z)) <= 1e-15);
  }
}

static void both_sides_of_a_cut_differ(void) {
  static const double complex points[] = {CMPLX(-2, 0.0), CMPLX(-2, -0.0), CMPLX(2, 0.0), CMPLX(2, -0.0)};
  for (int i = 0; i < 4; i++) {
    close_to("csqrt", points[i], sdk_csqrt(points[i]), csqrt(points[i]));
    close_to("clog", points[i], sdk_clog(points[i]), clog(points[i]));
    close_to("casin", points[i], sdk_casin(points[i]), casin(points[i]));
    close_to("cacos", points[i], sdk_cacos(points[i]), cacos(points[i]));
    close_to("cacosh", points[i], sdk_cacosh(points[i]), cacosh(points[i]));
  }
}

static void products_with_infinity_are_infinite(void) {
  double complex product = sdk___muldc3(INFINITY, NAN, 1, 1), quotient = sdk___divdc3(1, 1, INFINITY, NAN);
  CHECK(isinf(creal(product)) || isinf(cimag(product)));
  CHECK(creal(quotient) == 0 && cimag(quotient) == 0);
  quotient = sdk___divdc3(1, 0, 0, 0);
  CHECK(isinf(creal(quotient)));
}

static void rounding_and_flags_are_kept(void) {
  fenv_t start;
  CHECK(sdk_fegetenv(&start) == 0 && sdk_fegetround() == FE_TONEAREST);
  volatile double tenth = 0.1, three = 3, zero = 0, one = 1;
  static const int roundings[] = {FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
  static const long of_minus_2_5[] = {-3, -2, -2};
  for (int i = 0; i < 3; i++) {
    CHECK(sdk_fesetround(roundings[i]) == 0 && sdk_fegetround() == roundings[i] && fegetround() == roundings[i]);
    volatile double half = -2.5;
    CHECK(sdk_lrint(half) == of_minus_2_5[i]);
  }
  CHECK(sdk_fesetround(1) != 0);
  CHECK(sdk_fesetenv(&start) == 0 && sdk_fegetround() == FE_TONEAREST);

  sdk_feclearexcept(FE_ALL_EXCEPT);
  CHECK(sdk_fetestexcept(FE_ALL_EXCEPT) == 0);
  volatile double quotient = one / zero;
  CHECK(isinf(quotient) && sdk_fetestexcept(FE_ALL_EXCEPT) == FE_DIVBYZERO);
  quotient = tenth * three;
  CHECK(sdk_fetestexcept(FE_INEXACT) == FE_INEXACT);
  sdk_feclearexcept(FE_DIVBYZERO);
  CHECK(sdk_fetestexcept(FE_ALL_EXCEPT) == FE_INEXACT);
  fenv_t held;
  sdk_feholdexcept(&held);
  CHECK(sdk_fetestexcept(FE_ALL_EXCEPT) == 0);
  sdk_feraiseexcept(FE_OVERFLOW);
  sdk_feupdateenv(&held);
  CHECK(sdk_fetestexcept(FE_ALL_EXCEPT) == (FE_INEXACT | FE_OVERFLOW));
  sdk_fesetenv(&start);
}

RUN("complex", functions_are_those_of_libc, both_sides_of_a_cut_differ, products_with_infinity_are_infinite,
    rounding_and_flags_are_kept)
