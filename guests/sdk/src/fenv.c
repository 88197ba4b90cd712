/* The state of floating point: control and status words of the x87 unit, MXCSR of SSE. */
#include <fenv.h>

#ifdef __SSE2__

#include <stdint.h>

/* Where MXCSR has what the x87 control word has. */
enum { SSE_ROUNDING_SHIFT = 3, SSE_MASK_SHIFT = 7 };
enum { DEFAULT_CONTROL = 0x37f, DEFAULT_MXCSR = 0x1f80 };

static uint32_t mxcsr(void) {
  uint32_t value;
  __asm__ volatile("stmxcsr %0" : "=m"(value));
  return value;
}

static void set_mxcsr(uint32_t value) { __asm__ volatile("ldmxcsr %0" : : "m"(value)); }

static uint16_t status(void) {
  uint16_t value;
  __asm__ volatile("fnstsw %0" : "=a"(value));
  return value;
}

static uint16_t control(void) {
  uint16_t value;
  __asm__ volatile("fnstcw %0" : "=m"(value));
  return value;
}

static void set_control(uint16_t value) { __asm__ volatile("fldcw %0" : : "m"(value)); }

int feclearexcept(int exceptions) {
  exceptions &= FE_ALL_EXCEPT;
  uint32_t sse = mxcsr(), both = status() | sse;
  if ((status() & exceptions) != 0) {
    /* All or none: the others move over to SSE. */
    __asm__ volatile("fnclex");
    sse |= both & FE_ALL_EXCEPT;
  }
  set_mxcsr(sse & ~(uint32_t)exceptions);
  return 0;
}

int feraiseexcept(int exceptions) {
  set_mxcsr(mxcsr() | (uint32_t)(exceptions & FE_ALL_EXCEPT));
  return 0;
}

int fetestexcept(int exceptions) { return (int)((status() | mxcsr()) & (uint32_t)exceptions & FE_ALL_EXCEPT); }

int fegetexceptflag(fexcept_t *flags, int exceptions) {
  *flags = (fexcept_t)fetestexcept(exceptions);
  return 0;
}

int fesetexceptflag(const fexcept_t *flags, int exceptions) {
  feclearexcept(~*flags & exceptions);
  return feraiseexcept(*flags & exceptions);
}

int fegetround(void) { return control() & FE_TOWARDZERO; }

int fesetround(int rounding) {
  if ((rounding & ~FE_TOWARDZERO) != 0) return -1;
  set_control((uint16_t)((control() & ~FE_TOWARDZERO) | rounding));
  const uint32_t mask = (uint32_t)FE_TOWARDZERO << SSE_ROUNDING_SHIFT;
  set_mxcsr((mxcsr() & ~mask) | (uint32_t)rounding << SSE_ROUNDING_SHIFT);
  return 0;
}

int fegetenv(fenv_t *environment) {
  /* Storing it masks all exceptions: what was set is loaded again. */
  __asm__ volatile("fnstenv %0; fldenv %0" : "+m"(environment->x87));
  environment->mxcsr = mxcsr();
  return 0;
}

int feholdexcept(fenv_t *environment) {
  fegetenv(environment);
  set_control(control() | FE_ALL_EXCEPT);
  set_mxcsr(mxcsr() | (uint32_t)FE_ALL_EXCEPT << SSE_MASK_SHIFT);
  return feclearexcept(FE_ALL_EXCEPT);
}

int fesetenv(const fenv_t *environment) {
  if (environment == FE_DFL_ENV) {
    feclearexcept(FE_ALL_EXCEPT);
    set_control(DEFAULT_CONTROL);
    set_mxcsr(DEFAULT_MXCSR);
    return 0;
  }
  __asm__ volatile("fldenv %0" : : "m"(environment->x87));
  set_mxcsr(environment->mxcsr);
  return 0;
}

int feupdateenv(const fenv_t *environment) {
  int raised = fetestexcept(FE_ALL_EXCEPT);
  fesetenv(environment);
  return feraiseexcept(raised);
}

#endif
