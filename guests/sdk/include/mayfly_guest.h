/*
 * Mayfly guest SDK: write a function in freestanding C, run it in its own micro-VM.
 *
 *     static int32_t add(int32_t a, int32_t b) { return a + b; }
 *     HYPERLIGHT_WRAP_FUNCTION(add, Int, 2, Int, Int)
 *     void hyperlight_main(void) { HYPERLIGHT_REGISTER_FUNCTION("Add", add); }
 *
 * There is no libc, no file and no clock: a guest computes, and asks the host by name for the rest. Names follow
 * the C API of the guest ABI 0.11, so that a guest written for it compiles here too.
 *
 * Memory: what a function gets (strings, bytes) lies in the input buffer and lives until the function returns.
 * What it returns is copied into the output buffer when the result is made. All text is UTF-8.
 *
 * Less common parts of ISO C are in libc/: ctype.h errno.h math.h setjmp.h stdlib.h string.h.
 */
#ifndef MAYFLY_GUEST_H
#define MAYFLY_GUEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Types of values ---------------------------------------------------------------------------------------- */

/** Bytes and their number. */
typedef struct hl_Vec {
  uint8_t *data;
  uintptr_t len;
} hl_Vec;

typedef enum hl_ParameterType {
  hl_ParameterType_Int,
  hl_ParameterType_UInt,
  hl_ParameterType_Long,
  hl_ParameterType_ULong,
  hl_ParameterType_Float,
  hl_ParameterType_Double,
  hl_ParameterType_String,
  hl_ParameterType_Bool,
  hl_ParameterType_VecBytes,
} hl_ParameterType;

typedef enum hl_ReturnType {
  hl_ReturnType_Int,
  hl_ReturnType_UInt,
  hl_ReturnType_Long,
  hl_ReturnType_ULong,
  hl_ReturnType_Float,
  hl_ReturnType_Double,
  hl_ReturnType_String,
  hl_ReturnType_Bool,
  hl_ReturnType_Void,
  hl_ReturnType_VecBytes,
} hl_ReturnType;

typedef union hl_ParameterValue {
  int32_t Int;
  uint32_t UInt;
  int64_t Long;
  uint64_t ULong;
  float Float;
  double Double;
  bool Bool;
  /** Ends in NUL; never NULL in a call that the host makes. */
  const char *String;
  hl_Vec VecBytes;
} hl_ParameterValue;

typedef struct hl_Parameter {
  hl_ParameterType tag;
  hl_ParameterValue value;
} hl_Parameter;

/** A call, of a guest function by the host or of a host function by the guest. */
typedef struct hl_FunctionCall {
  const char *function_name;
  const hl_Parameter *parameters;
  uintptr_t parameters_len;
  hl_ReturnType return_type;
} hl_FunctionCall;

/** Codes of guest errors and of aborts. Own codes are allowed in errors, but the host shows unknown ones as 8. */
typedef enum hl_ErrorCode {
  hl_ErrorCode_NoError = 0,
  hl_ErrorCode_UnsupportedParameterType = 2,
  hl_ErrorCode_GuestFunctionNameNotProvided = 3,
  hl_ErrorCode_GuestFunctionNotFound = 4,
  hl_ErrorCode_GuestFunctionIncorrecNoOfParameters = 5,
  hl_ErrorCode_GispatchFunctionPointerNotSet = 6,
  hl_ErrorCode_OutbError = 7,
  hl_ErrorCode_UnknownError = 8,
  hl_ErrorCode_StackOverflow = 9,
  hl_ErrorCode_GsCheckFailed = 10,
  hl_ErrorCode_TooManyGuestFunctions = 11,
  hl_ErrorCode_FailureInDlmalloc = 12,
  hl_ErrorCode_MallocFailed = 13,
  hl_ErrorCode_GuestFunctionParameterTypeMismatch = 14,
  hl_ErrorCode_GuestError = 15,
  hl_ErrorCode_ArrayLengthParamIsMissing = 16,
  hl_ErrorCode_HostFunctionError = 17,
} hl_ErrorCode;

/* ---- Functions that the host can call ----------------------------------------------------------------------- */

/** Yours: runs once, when the function version is loaded. Register functions here; build tables here, too, for
 *  every call starts from the memory that this leaves. */
void hyperlight_main(void);

/** A guest function without a wrapper: returns what one of the hl_flatbuffer_result_from_… made. */
typedef hl_Vec *(*hl_GuestFunction)(const hl_FunctionCall *call);

/**
 * Makes `function` callable as `name`. Before it runs, number and types of the arguments are checked (errors 5
 * and 14). At most 11 parameters. `name` and `types` must stay valid. A name registered again is replaced.
 */
void hl_register_function_definition(const char *name, hl_GuestFunction function, uintptr_t parameter_count,
                                     const hl_ParameterType *types, hl_ReturnType return_type);

/** Yours, optional: gets calls of names that nobody registered. NULL: not found (error 4). */
hl_Vec *c_guest_dispatch_function(const hl_FunctionCall *call);

/**
 * Makes the result of the running call, in place in the output buffer: one at a time, the last one made counts.
 * One that does not fit becomes error 15. String must end in NUL; NULL is the empty string.
 */
hl_Vec *hl_flatbuffer_result_from_Int(int32_t value);
hl_Vec *hl_flatbuffer_result_from_UInt(uint32_t value);
hl_Vec *hl_flatbuffer_result_from_Long(int64_t value);
hl_Vec *hl_flatbuffer_result_from_ULong(uint64_t value);
#ifdef __SSE2__
hl_Vec *hl_flatbuffer_result_from_Float(float value);
hl_Vec *hl_flatbuffer_result_from_Double(double value);
#endif
hl_Vec *hl_flatbuffer_result_from_Bool(bool value);
hl_Vec *hl_flatbuffer_result_from_String(const char *value);
hl_Vec *hl_flatbuffer_result_from_Bytes(const uint8_t *data, uintptr_t len);
hl_Vec *hl_flatbuffer_result_from_Void(void);

/**
 * HYPERLIGHT_WRAP_FUNCTION(fn, Return, n, Types…) makes a plain C function callable: n is 0 to 11, the types are
 * the words after hl_ParameterType_. VecBytes parameters and returns are `hl_Vec` by value.
 * HYPERLIGHT_REGISTER_FUNCTION("Name", fn) then registers it, inside hyperlight_main.
 */
#define HYPERLIGHT_WRAP_FUNCTION(fn, ret, n, ...)                                                                   \
  enum { hl_count_##fn = n, hl_returns_##fn = hl_ReturnType_##ret };                                                \
  static const hl_ParameterType hl_types_##fn[] = {HL_TYPES_##n(__VA_ARGS__) hl_ParameterType_Int};                 \
  static hl_Vec *hl_wrap_##fn(const hl_FunctionCall *hl_call) {                                                     \
    (void)hl_call;                                                                                                  \
    HL_RETURN_##ret(fn(HL_ARGS_##n(__VA_ARGS__)))                                                                   \
  }

#define HYPERLIGHT_REGISTER_FUNCTION(name, fn)                                                                      \
  hl_register_function_definition(name, hl_wrap_##fn, hl_count_##fn, hl_types_##fn, (hl_ReturnType)hl_returns_##fn)

/* ---- Errors and the end ------------------------------------------------------------------------------------- */

/** Lets the running call answer with this error in place of a result. The guest lives on. Text over 511 bytes is
 *  cut. The last one set counts. */
void hl_set_error(hl_ErrorCode code, const char *message);
/** The code of the error that is set, else hl_ErrorCode_NoError; its text in *message unless that is NULL. */
hl_ErrorCode hl_get_error(const char **message);
/** Takes the error back, once it has been dealt with. */
void hl_clear_error(void);

/** End the guest at once: the host drops this VM's state. Codes above 254 are sent as 8; text over 1000 bytes is
 *  cut. */
_Noreturn void hl_abort_with_code(int32_t code);
_Noreturn void hl_abort_with_code_and_message(int32_t code, const char *message);
_Noreturn void abort(void);

/* ---- The host's functions ----------------------------------------------------------------------------------- */

/**
 * Calls a host function; its value is then taken by the getter of its type, before the next host call (printf is
 * one). If the host refuses or fails, that error is set as by hl_set_error (mostly 17), and getters return zero.
 */
void hl_call_host_function(const hl_FunctionCall *call);

/** A value of another type than asked sets error 2. String and VecBytes are the caller's to free; a String is
 *  never NULL. */
int32_t hl_get_host_return_value_as_Int(void);
uint32_t hl_get_host_return_value_as_UInt(void);
int64_t hl_get_host_return_value_as_Long(void);
uint64_t hl_get_host_return_value_as_ULong(void);
#ifdef __SSE2__
float hl_get_host_return_value_as_Float(void);
double hl_get_host_return_value_as_Double(void);
#endif
bool hl_get_host_return_value_as_Bool(void);
char *hl_get_host_return_value_as_String(void);
/** Struct and bytes are one block: free() the pointer. */
hl_Vec *hl_get_host_return_value_as_VecBytes(void);

/**
 * What the function's settings give it, asked of the host functions GetEnv and GetSecret. NULL when there is none of that
 * name, or the function was not granted it; no error is set by that. Free it. Not inside hyperlight_main: what is learned
 * there would be in the snapshot that every call starts from, so the host tells nothing then.
 */
char *mayfly_env(const char *name);
/** Struct and bytes are one block. It is gone with the call: the next one starts from memory that never held it. */
hl_Vec *mayfly_secret(const char *name);

/**
 * Which try at this invocation the call is, from 1: an async call may be tried again, also after its worker was lost in
 * the middle of it. 0 inside hyperlight_main, and on a host that does not say (GetAttempt).
 */
int32_t mayfly_attempt(void);
/** The invocation's id, the same at each attempt: what a side effect can be keyed with. NULL as above. Free it. */
char *mayfly_invocation_id(void);

/* ---- Output ------------------------------------------------------------------------------------------------- */

typedef enum hl_Level {
  hl_Level_Error = 1,
  hl_Level_Warn = 2,
  hl_Level_Info = 3,
  hl_Level_Debug = 4,
  hl_Level_Trace = 5,
} hl_Level;

/** A log record. Those above the host's level are dropped here; text that does not fit the output buffer is cut. */
void hl_log(hl_Level level, const char *message, int32_t line, const char *file);
#define LOG(level, message) hl_log(level, message, __LINE__, __FILE__)

/**
 * Text for the host's console, by the host function HostPrint: once at the end of the call and every 1000 bytes.
 * Bytes that are not UTF-8 arrive as '?'. Return: bytes printed, or -1 when the host took none.
 * Formats: d i u o x X c s p f F e E g G %, flags "-+ #0", width, precision, *, hh h l ll j z t.
 */
int printf(const char *format, ...) __attribute__((format(__printf__, 1, 2)));
int vprintf(const char *format, va_list arguments) __attribute__((format(__printf__, 1, 0)));
int puts(const char *text);
int putchar(int byte);

/** As in ISO C: at most `size` bytes with NUL, the return value is the length without any limit. */
int snprintf(char *out, size_t size, const char *format, ...) __attribute__((format(__printf__, 3, 4)));
int vsnprintf(char *out, size_t size, const char *format, va_list arguments) __attribute__((format(__printf__, 3, 0)));

/* ---- Spans and events --------------------------------------------------------------------------------------- */

/**
 * What the guest tells of its own work, for the trace of the call. Nothing is recorded unless the host asks for it
 * in this call; recorded, it costs no exit of its own: a batch goes with the next host call, or with the end. Texts
 * are UTF-8, cut at 1000 bytes.
 *
 *     int32_t render(const char *what) {
 *       MAYFLY_SPAN("render");                            // until the end of the block
 *       mayfly_event("parsed", NULL, 0);
 *       …
 */
typedef struct mayfly_Field {
  const char *name;
  const char *value;
} mayfly_Field;

/** Of the running call. 0: none, for nothing is recorded. */
typedef uint64_t mayfly_Span;

/** Whether spans and events of this call are recorded: ask before making a field that is dear. */
bool mayfly_tracing(void);
/** Opens a span inside the one that is open; at most 64 of them are. */
mayfly_Span mayfly_span_open_at(const char *target, const char *name, const mayfly_Field *fields, size_t field_count);
#define mayfly_span_open(name, fields, field_count) mayfly_span_open_at(__FILE__, name, fields, field_count)
/** Closes a span, and those still open inside it. What is open when the call ends is closed then. */
void mayfly_span_close(mayfly_Span span);
/** A moment inside the span that is open. */
void mayfly_event(const char *name, const mayfly_Field *fields, size_t field_count);

/** A span until the end of the block in which this stands. */
#define MAYFLY_SPAN(name) \
  __attribute__((cleanup(mayfly_span_end))) const mayfly_Span HL_UNIQUE(__LINE__) = mayfly_span_open(name, NULL, 0)

/* ---- Chance and time ---------------------------------------------------------------------------------------- */

/**
 * Numbers by chance, of cryptographic quality. Two calls never draw the same ones, although each starts from the
 * same memory: the host leaves a fresh generation id and seed at PEB + 0x100 for every call that starts from a
 * snapshot. A host that leaves none gives all calls the numbers of the seed of the start.
 */
void mayfly_random_bytes(void *out, size_t count);
uint64_t mayfly_random(void);
/** Nanoseconds since 1970 when the host began this call, as exact as the host tells; 0 when it tells none. */
uint64_t mayfly_time_base_ns(void);

/* ---- Heap --------------------------------------------------------------------------------------------------- */

/** Blocks are aligned to 16 bytes. Size 0 gives NULL; nothing else does: when the heap is used up the guest aborts
 *  with code 13. */
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
/** A pointer that is not an allocated block aborts with code 12. */
void free(void *block);

/* ---- Strings, as in ISO C ----------------------------------------------------------------------------------- */

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int byte, size_t count);
int memcmp(const void *a, const void *b, size_t count);
void *memchr(const void *from, int byte, size_t count);
size_t strlen(const char *text);
size_t strnlen(const char *text, size_t limit);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t limit);
char *strchr(const char *text, int byte);
char *strrchr(const char *text, int byte);
char *strstr(const char *text, const char *part);
char *strcpy(char *restrict to, const char *restrict from);
char *strncpy(char *restrict to, const char *restrict from, size_t count);
char *strcat(char *restrict to, const char *restrict from);
char *strdup(const char *text);

/* ---- Inside of the macros ----------------------------------------------------------------------------------- */

#define HL_JOIN(a, b) a##b
#define HL_UNIQUE(line) HL_JOIN(hl_span_, line)
void mayfly_span_end(const mayfly_Span *span);

#define HL_T(t) hl_ParameterType_##t,
#define HL_TYPES_0(...)
#define HL_TYPES_1(a) HL_T(a)
#define HL_TYPES_2(a, ...) HL_T(a) HL_TYPES_1(__VA_ARGS__)
#define HL_TYPES_3(a, ...) HL_T(a) HL_TYPES_2(__VA_ARGS__)
#define HL_TYPES_4(a, ...) HL_T(a) HL_TYPES_3(__VA_ARGS__)
#define HL_TYPES_5(a, ...) HL_T(a) HL_TYPES_4(__VA_ARGS__)
#define HL_TYPES_6(a, ...) HL_T(a) HL_TYPES_5(__VA_ARGS__)
#define HL_TYPES_7(a, ...) HL_T(a) HL_TYPES_6(__VA_ARGS__)
#define HL_TYPES_8(a, ...) HL_T(a) HL_TYPES_7(__VA_ARGS__)
#define HL_TYPES_9(a, ...) HL_T(a) HL_TYPES_8(__VA_ARGS__)
#define HL_TYPES_10(a, ...) HL_T(a) HL_TYPES_9(__VA_ARGS__)
#define HL_TYPES_11(a, ...) HL_T(a) HL_TYPES_10(__VA_ARGS__)

#define HL_A(i, t) hl_call->parameters[i].value.t
#define HL_ARGS_0(...)
#define HL_ARGS_1(a) HL_A(0, a)
#define HL_ARGS_2(a, b) HL_ARGS_1(a), HL_A(1, b)
#define HL_ARGS_3(a, b, c) HL_ARGS_2(a, b), HL_A(2, c)
#define HL_ARGS_4(a, b, c, d) HL_ARGS_3(a, b, c), HL_A(3, d)
#define HL_ARGS_5(a, b, c, d, e) HL_ARGS_4(a, b, c, d), HL_A(4, e)
#define HL_ARGS_6(a, b, c, d, e, f) HL_ARGS_5(a, b, c, d, e), HL_A(5, f)
#define HL_ARGS_7(a, b, c, d, e, f, g) HL_ARGS_6(a, b, c, d, e, f), HL_A(6, g)
#define HL_ARGS_8(a, b, c, d, e, f, g, h) HL_ARGS_7(a, b, c, d, e, f, g), HL_A(7, h)
#define HL_ARGS_9(a, b, c, d, e, f, g, h, i) HL_ARGS_8(a, b, c, d, e, f, g, h), HL_A(8, i)
#define HL_ARGS_10(a, b, c, d, e, f, g, h, i, j) HL_ARGS_9(a, b, c, d, e, f, g, h, i), HL_A(9, j)
#define HL_ARGS_11(a, b, c, d, e, f, g, h, i, j, k) HL_ARGS_10(a, b, c, d, e, f, g, h, i, j), HL_A(10, k)

#define HL_RETURN_Int(x) return hl_flatbuffer_result_from_Int(x);
#define HL_RETURN_UInt(x) return hl_flatbuffer_result_from_UInt(x);
#define HL_RETURN_Long(x) return hl_flatbuffer_result_from_Long(x);
#define HL_RETURN_ULong(x) return hl_flatbuffer_result_from_ULong(x);
#define HL_RETURN_Float(x) return hl_flatbuffer_result_from_Float(x);
#define HL_RETURN_Double(x) return hl_flatbuffer_result_from_Double(x);
#define HL_RETURN_Bool(x) return hl_flatbuffer_result_from_Bool(x);
#define HL_RETURN_String(x) return hl_flatbuffer_result_from_String(x);
#define HL_RETURN_Void(x)                                                                                           \
  x;                                                                                                                \
  return hl_flatbuffer_result_from_Void();
#define HL_RETURN_VecBytes(x)                                                                                       \
  hl_Vec hl_bytes = x;                                                                                              \
  return hl_flatbuffer_result_from_Bytes(hl_bytes.data, hl_bytes.len);

#endif
