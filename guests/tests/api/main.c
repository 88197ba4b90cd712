/*
 * Every name of the C API of the guest ABI 0.11 (guest-abi, Appendix C 9), with the type and the number that it has there:
 * what a guest written for that API needs in order to compile. What the names do is tested elsewhere.
 */
#include "hyperlight_guest.h"

#include <complex.h>
#include <ctype.h>
#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* ---- Numbers (guest-abi 7.2, 7.4) ---- */

#define NUMBERED(prefix, name, number) _Static_assert(prefix##name == (number), #prefix #name)
#define TYPE(name, number)                           \
  NUMBERED(hl_ParameterType_, name, number);         \
  NUMBERED(hl_ReturnType_, name, number)
TYPE(Int, 0);
TYPE(UInt, 1);
TYPE(Long, 2);
TYPE(ULong, 3);
TYPE(Float, 4);
TYPE(Double, 5);
TYPE(String, 6);
TYPE(Bool, 7);
NUMBERED(hl_ParameterType_, VecBytes, 8);
NUMBERED(hl_ReturnType_, Void, 8);
NUMBERED(hl_ReturnType_, VecBytes, 9);
NUMBERED(hl_Level_, Error, 1);
NUMBERED(hl_Level_, Warn, 2);
NUMBERED(hl_Level_, Info, 3);
NUMBERED(hl_Level_, Debug, 4);
NUMBERED(hl_Level_, Trace, 5);
#define CODE(name, number) NUMBERED(hl_ErrorCode_, name, number)
CODE(NoError, 0);
CODE(UnsupportedParameterType, 2);
CODE(GuestFunctionNameNotProvided, 3);
CODE(GuestFunctionNotFound, 4);
CODE(GuestFunctionIncorrecNoOfParameters, 5);
CODE(GispatchFunctionPointerNotSet, 6);
CODE(OutbError, 7);
CODE(UnknownError, 8);
CODE(StackOverflow, 9);
CODE(GsCheckFailed, 10);
CODE(TooManyGuestFunctions, 11);
CODE(FailureInDlmalloc, 12);
CODE(MallocFailed, 13);
CODE(GuestFunctionParameterTypeMismatch, 14);
CODE(GuestError, 15);
CODE(ArrayLengthParamIsMissing, 16);
CODE(HostFunctionError, 17);

/* ---- Types ---- */

#define MEMBER(type, member, member_type) \
  _Static_assert(__builtin_types_compatible_p(__typeof__(((type *)0)->member), member_type), #type "." #member)
MEMBER(hl_Vec, data, uint8_t *);
MEMBER(hl_Vec, len, uintptr_t);
MEMBER(hl_ParameterValue, Int, int32_t);
MEMBER(hl_ParameterValue, UInt, uint32_t);
MEMBER(hl_ParameterValue, Long, int64_t);
MEMBER(hl_ParameterValue, ULong, uint64_t);
MEMBER(hl_ParameterValue, Float, float);
MEMBER(hl_ParameterValue, Double, double);
MEMBER(hl_ParameterValue, Bool, bool);
MEMBER(hl_ParameterValue, VecBytes, hl_Vec);
_Static_assert(sizeof(((hl_ParameterValue *)0)->String) == sizeof(char *), "String");
MEMBER(hl_Parameter, tag, hl_ParameterType);
MEMBER(hl_Parameter, value, hl_ParameterValue);
MEMBER(hl_FunctionCall, function_name, const char *);
MEMBER(hl_FunctionCall, parameters, const hl_Parameter *);
MEMBER(hl_FunctionCall, parameters_len, uintptr_t);
MEMBER(hl_FunctionCall, return_type, hl_ReturnType);

/* ---- Functions ---- */

#define EACH(X)                                                                                            \
  X(hl_call_host_function) X(hl_get_host_return_value_as_Int) X(hl_get_host_return_value_as_UInt)          \
  X(hl_get_host_return_value_as_Long) X(hl_get_host_return_value_as_ULong)                                 \
  X(hl_get_host_return_value_as_Bool) X(hl_get_host_return_value_as_Float)                                 \
  X(hl_get_host_return_value_as_Double) X(hl_get_host_return_value_as_String)                              \
  X(hl_get_host_return_value_as_VecBytes) X(hl_flatbuffer_result_from_Int)                                 \
  X(hl_flatbuffer_result_from_UInt) X(hl_flatbuffer_result_from_Long) X(hl_flatbuffer_result_from_ULong)   \
  X(hl_flatbuffer_result_from_Float) X(hl_flatbuffer_result_from_Double) X(hl_flatbuffer_result_from_Void) \
  X(hl_flatbuffer_result_from_String) X(hl_flatbuffer_result_from_Bytes) X(hl_flatbuffer_result_from_Bool) \
  X(hl_set_error) X(hl_abort_with_code) X(hl_abort_with_code_and_message) X(hl_log)                        \
  X(hl_register_function_definition) X(malloc) X(calloc) X(realloc) X(free) X(abort) X(printf) X(vprintf)  \
  X(puts) X(putchar) X(snprintf) X(vsnprintf) X(isalnum) X(isalpha) X(isblank) X(iscntrl) X(isdigit)       \
  X(isgraph) X(islower) X(isprint) X(ispunct) X(isspace) X(isupper) X(isxdigit) X(tolower) X(toupper)      \
  X(memcpy) X(memmove) X(memset) X(memcmp) X(memchr) X(strlen) X(strnlen) X(strcmp) X(strncmp) X(strchr)   \
  X(strrchr) X(strstr) X(strcpy) X(strncpy) X(strcat) X(strncat) X(strdup) X(strndup) X(strspn)            \
  X(strcspn) X(strpbrk) X(strtok) X(strtok_r) X(strcasecmp) X(strncasecmp) X(strtol) X(strtoul)            \
  X(strtoll) X(strtoull) X(strtod) X(atoi) X(atol) X(atoll) X(atof) X(abs) X(labs) X(llabs) X(qsort)       \
  X(bsearch) X(rand) X(srand) X(rand_r) X(longjmp) X(acos) X(acosh) X(asin) X(asinh) X(atan) X(atan2)      \
  X(atanh) X(cbrt) X(ceil) X(copysign) X(cos) X(cosh) X(exp) X(exp2) X(expm1) X(fabs) X(fdim) X(floor)     \
  X(fmax) X(fmin) X(fmod) X(frexp) X(hypot) X(ilogb) X(ldexp) X(log) X(log10) X(log1p) X(log2) X(logb)     \
  X(lrint) X(lround) X(llrint) X(llround) X(modf) X(nearbyint) X(nextafter) X(pow) X(remainder) X(rint)    \
  X(round) X(scalbn) X(sin) X(sinh) X(sqrt) X(tan) X(tanh) X(trunc) X(sinf) X(powf) X(tanhf) X(modff)      \
  X(cabs) X(carg) X(cimag) X(creal) X(conj) X(cproj) X(cexp) X(clog) X(cpow) X(csqrt) X(csin) X(ccos)      \
  X(ctan) X(csinh) X(ccosh) X(ctanh) X(casin) X(cacos) X(catan) X(casinh) X(cacosh) X(catanh) X(cabsf)     \
  X(cexpf) X(feclearexcept) X(fegetexceptflag) X(feraiseexcept) X(fesetexceptflag) X(fetestexcept)         \
  X(fegetround) X(fesetround) X(fegetenv) X(feholdexcept) X(fesetenv) X(feupdateenv)

/* Their addresses: they are there to be linked. */
#define ADDRESS(name) (uintptr_t)name,
static const uintptr_t addresses[] = {EACH(ADDRESS)};

/* The shapes that guests depend on. */
static hl_Vec *(*const registered)(const hl_FunctionCall *) = c_guest_dispatch_function;
static void (*const call_host)(const hl_FunctionCall *) = hl_call_host_function;
static hl_Vec *(*const from_bytes)(const uint8_t *, uintptr_t) = hl_flatbuffer_result_from_Bytes;
static hl_Vec *(*const from_string)(const char *) = hl_flatbuffer_result_from_String;
static hl_Vec *(*const from_void)(void) = hl_flatbuffer_result_from_Void;
static void (*const set_error)(hl_ErrorCode, const char *) = hl_set_error;
static void (*const log_at)(hl_Level, const char *, int32_t, const char *) = hl_log;

static int32_t count_names(void) {
  int32_t count = 0;
  for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) count += addresses[i] != 0;
  return count == sizeof addresses / sizeof *addresses && call_host && from_bytes && from_string && from_void &&
                 set_error && log_at
             ? 1
             : 0;
}
HYPERLIGHT_WRAP_FUNCTION(count_names, Int, 0)

/* ---- Wrapping: 0 to 11 parameters, each type, each return ---- */

static uint32_t p1(int32_t a) { return (uint32_t)a; }
static int64_t p2(int32_t a, uint32_t b) { return (int64_t)a + b; }
static uint64_t p3(uint64_t a, int64_t b, bool c) { return a + (uint64_t)b + c; }
static float p4(float a, double b, float c, double d) { return a + (float)b + c + (float)d; }
static double p5(double a, double b, double c, double d, double e) { return a + b + c + d + e; }
static bool p6(bool a, bool b, bool c, bool d, bool e, bool f) { return a && b && c && d && e && f; }
static const char *p7(const char *a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f, const char *g) {
  return b + c + d + e + f == 15 ? g : a;
}
static void p8(hl_Vec a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f, int32_t g, int32_t h) {
  if (a.len != 3 || b + c + d + e + f + g + h != 28) hl_set_error(hl_ErrorCode_GuestError, "other values");
}
static int32_t p9(int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f, int32_t g, int32_t h, int32_t i) {
  return a + b + c + d + e + f + g + h + i;
}
static int32_t p10(int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f, int32_t g, int32_t h, int32_t i,
                   int32_t j) {
  return p9(a, b, c, d, e, f, g, h, i) + j;
}
static int32_t p11(int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f, int32_t g, int32_t h, int32_t i,
                   int32_t j, int32_t k) {
  return p10(a, b, c, d, e, f, g, h, i, j) + k;
}
HYPERLIGHT_WRAP_FUNCTION(p1, UInt, 1, Int)
HYPERLIGHT_WRAP_FUNCTION(p2, Long, 2, Int, UInt)
HYPERLIGHT_WRAP_FUNCTION(p3, ULong, 3, ULong, Long, Bool)
HYPERLIGHT_WRAP_FUNCTION(p4, Float, 4, Float, Double, Float, Double)
HYPERLIGHT_WRAP_FUNCTION(p5, Double, 5, Double, Double, Double, Double, Double)
HYPERLIGHT_WRAP_FUNCTION(p6, Bool, 6, Bool, Bool, Bool, Bool, Bool, Bool)
HYPERLIGHT_WRAP_FUNCTION(p7, String, 7, String, Int, Int, Int, Int, Int, String)
HYPERLIGHT_WRAP_FUNCTION(p8, Void, 8, VecBytes, Int, Int, Int, Int, Int, Int, Int)
HYPERLIGHT_WRAP_FUNCTION(p9, Int, 9, Int, Int, Int, Int, Int, Int, Int, Int, Int)
HYPERLIGHT_WRAP_FUNCTION(p10, Int, 10, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int)
HYPERLIGHT_WRAP_FUNCTION(p11, Int, 11, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int)

/* Products and quotients of complex numbers call into the compiler's own library, which a guest does not have. */
static double turn(double quarters) {
  double complex z = 1;
  for (int i = 0; i < (int)quarters; i++) z = z * I / CMPLX(1, 0);
  fesetround(FE_UPWARD);
  double up = rint(creal(z) + 0.5);
  fesetenv(FE_DFL_ENV);
  return up;
}
HYPERLIGHT_WRAP_FUNCTION(turn, Double, 1, Double)

/* As in the sample of the C API: an unknown name is looked at by the guest, and a log has its macro. */
hl_Vec *c_guest_dispatch_function(const hl_FunctionCall *call) {
  if (strcmp(call->function_name, "Unregistered") != 0) return NULL;
  LOG(hl_Level_Warn, "not registered, answered all the same");
  return registered == c_guest_dispatch_function ? hl_flatbuffer_result_from_Int(4) : NULL;
}

void hyperlight_main(void) {
  HYPERLIGHT_REGISTER_FUNCTION("CountNames", count_names);
  HYPERLIGHT_REGISTER_FUNCTION("P1", p1);
  HYPERLIGHT_REGISTER_FUNCTION("P2", p2);
  HYPERLIGHT_REGISTER_FUNCTION("P3", p3);
  HYPERLIGHT_REGISTER_FUNCTION("P4", p4);
  HYPERLIGHT_REGISTER_FUNCTION("P5", p5);
  HYPERLIGHT_REGISTER_FUNCTION("P6", p6);
  HYPERLIGHT_REGISTER_FUNCTION("P7", p7);
  HYPERLIGHT_REGISTER_FUNCTION("P8", p8);
  HYPERLIGHT_REGISTER_FUNCTION("P9", p9);
  HYPERLIGHT_REGISTER_FUNCTION("P10", p10);
  HYPERLIGHT_REGISTER_FUNCTION("P11", p11);
  HYPERLIGHT_REGISTER_FUNCTION("Turn", turn);
}
