/*
 * Tools for guests that lie to the host. They write into the output buffer themselves and halt before the SDK could
 * answer for them.
 */
#ifndef MAYFLY_TEST_LIES_H
#define MAYFLY_TEST_LIES_H

#include "cpu.h"
#include "runtime.h"

/** Where the one Int result that lie_result writes has its parts, from its first byte. */
enum {
  LIE_PREFIX = 0,
  LIE_ROOT = 4,
  LIE_RESULT_VTABLE = 8,
  LIE_RESULT = 16,
  LIE_RESULT_VALUE = 20,
  LIE_RESULT_TYPE = 24,
  LIE_BOX = 36,
  LIE_BOX_VALUE = 40,
  LIE_BOX_TYPE = 44,
  LIE_VALUE = 56,
  LIE_LENGTH = 64,
};

static inline uint8_t *lie_output(void) { return mf_runtime.output.data; }
static inline uint64_t lie_output_size(void) { return mf_runtime.output.size; }

static inline void lie_put32(uint64_t offset, uint32_t value) { memcpy(lie_output() + offset, &value, 4); }
static inline void lie_put64(uint64_t offset, uint64_t value) { memcpy(lie_output() + offset, &value, 8); }

/** The header: offset of the next free byte. */
static inline void lie_header(uint64_t used) { lie_put64(0, used); }

/** Writes an Int result at `offset`, without making it an element; `at` in lie_put is from there. */
static inline void lie_result(uint64_t offset, int32_t number) {
  hl_ParameterValue value = {.Int = number};
  mf_encode_value(lie_output() + offset, lie_output_size() - offset - 8, hl_ReturnType_Int, &value);
}

/** Writes back pointer and header for `length` bytes at offset 8. */
static inline void lie_push(uint64_t length) {
  lie_put64(8 + length, 8);
  lie_header(8 + length + 8);
}

/** A valid result on the output buffer, which the lie then changes. */
static inline void lie_start(void) {
  lie_result(8, 1);
  lie_push(LIE_LENGTH);
}

/** Ends the call as it is. */
static inline _Noreturn hl_Vec *lie_end(void) { mf_halt(); }

#define LIE(fn)                                  \
  static hl_Vec *fn(const hl_FunctionCall *call) { \
    (void)call;                                  \
    fn##_lie();                                  \
    lie_end();                                   \
  }
/** Defines function `fn` whose body is what follows; it never returns to the SDK. */
#define LYING(fn)             \
  static void fn##_lie(void); \
  LIE(fn)                     \
  static void fn##_lie(void)

#define REGISTER_LIE(name, fn) hl_register_function_definition(name, fn, 0, NULL, hl_ReturnType_Int);

#endif
