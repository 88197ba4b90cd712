/* Functions whose answer is not what the ABI allows: one lie each (guest-abi 6, 7). */
#include "../lies.h"

/* ---- The stack of elements ---- */

LYING(honest) { lie_start(); }
LYING(nothing) {}
LYING(two_results) {
  lie_start();
  lie_result(8 + LIE_LENGTH + 8, 2);
  lie_put64(8 + 2 * LIE_LENGTH + 8, 8 + LIE_LENGTH + 8);
  lie_header(8 + 2 * (LIE_LENGTH + 8));
}

LYING(header_zero) { lie_start(); lie_header(0); }
LYING(header_seven) { lie_start(); lie_header(7); }
LYING(header_fifteen) { lie_start(); lie_header(15); }
LYING(header_one_past) { lie_start(); lie_header(lie_output_size() + 1); }
LYING(header_huge) { lie_start(); lie_header(UINT64_MAX); }
LYING(header_negative) { lie_start(); lie_header((uint64_t)INT64_MIN); }
LYING(header_at_end) { lie_start(); lie_header(lie_output_size()); }

static void back_pointer(uint64_t value) {
  lie_start();
  lie_put64(8 + LIE_LENGTH, value);
}

LYING(back_zero) { back_pointer(0); }
LYING(back_before) { back_pointer(7); }
LYING(back_self) { back_pointer(8 + LIE_LENGTH); }
LYING(back_after) { back_pointer(8 + LIE_LENGTH + 8); }
LYING(back_beyond) { back_pointer(lie_output_size() + 4096); }
LYING(back_huge) { back_pointer(UINT64_MAX); }
LYING(back_wraps) { back_pointer(UINT64_MAX - 3); }
LYING(back_inside) { back_pointer(9); }
LYING(back_last_word) { back_pointer(8 + LIE_LENGTH - 4); }
LYING(back_last_byte) { back_pointer(8 + LIE_LENGTH - 1); }

static void put32(uint64_t at, uint32_t value) {
  lie_start();
  lie_put32(8 + at, value);
}

LYING(length_zero) { put32(LIE_PREFIX, 0); }
LYING(length_short) { put32(LIE_PREFIX, 8); }
LYING(length_one_short) { put32(LIE_PREFIX, LIE_LENGTH - 5); }
LYING(length_one_over) { put32(LIE_PREFIX, LIE_LENGTH - 3); }
LYING(length_over) { put32(LIE_PREFIX, 1 << 20); }
LYING(length_negative) { put32(LIE_PREFIX, 0x80000000); }
LYING(length_huge) { put32(LIE_PREFIX, UINT32_MAX); }
LYING(length_wraps) { put32(LIE_PREFIX, UINT32_MAX - 3); }

/* ---- The message ---- */

LYING(garbage) { lie_start(); memset(lie_output() + 12, 0xA5, LIE_LENGTH - 4); }
LYING(zeros) { lie_start(); memset(lie_output() + 12, 0, LIE_LENGTH - 4); }
LYING(root_zero) { put32(LIE_ROOT, 0); }
LYING(root_beyond) { put32(LIE_ROOT, LIE_LENGTH); }
LYING(root_huge) { put32(LIE_ROOT, UINT32_MAX); }
LYING(root_last_byte) { put32(LIE_ROOT, LIE_LENGTH - LIE_ROOT - 1); }
LYING(vtable_before) { put32(LIE_RESULT, 4096); }
LYING(vtable_after) { put32(LIE_RESULT, (uint32_t)-4096); }
LYING(vtable_far) { put32(LIE_RESULT, 0x80000000); }
LYING(vtable_long) { put32(LIE_RESULT_VTABLE, 0x000CFFFE); }
LYING(vtable_empty) { put32(LIE_RESULT_VTABLE, 0x000C0000); }
LYING(vtable_odd) { put32(LIE_RESULT_VTABLE, 0x000C0007); }
LYING(field_beyond) { put32(LIE_RESULT_VTABLE + 4, 0xFFFFFFFC); }
LYING(value_self) { put32(LIE_RESULT_VALUE, 0); }
LYING(value_beyond) { put32(LIE_RESULT_VALUE, UINT32_MAX); }
LYING(box_beyond) { put32(LIE_BOX_VALUE, LIE_LENGTH); }
LYING(result_none) { put32(LIE_RESULT_TYPE, 0); }
LYING(result_unknown) { put32(LIE_RESULT_TYPE, 99); }
LYING(result_is_error) { put32(LIE_RESULT_TYPE, 2); }
LYING(value_none) { put32(LIE_BOX_TYPE, 0); }
LYING(value_unknown) { put32(LIE_BOX_TYPE, 200); }
LYING(value_is_string) { put32(LIE_BOX_TYPE, hl_ReturnType_String + 1); }

static void other_type(hl_ReturnType type, hl_ParameterValue value) {
  size_t length = mf_encode_value(lie_output() + 8, lie_output_size() - 16, type, &value);
  lie_push(length);
}

/* All of these are asked for an Int. */
LYING(type_string) { other_type(hl_ReturnType_String, (hl_ParameterValue){.String = "7"}); }
LYING(type_long) { other_type(hl_ReturnType_Long, (hl_ParameterValue){.Long = 7}); }
LYING(type_uint) { other_type(hl_ReturnType_UInt, (hl_ParameterValue){.UInt = 7}); }
LYING(type_void) { other_type(hl_ReturnType_Void, (hl_ParameterValue){.Long = 0}); }

/* Is asked for a String: the text's length, NUL and encoding are the lies. The text is the last part. */
static void text(const char *value, uint32_t length, const char *bytes) {
  hl_ParameterValue wide = {.String = value};
  size_t size = mf_encode_value(lie_output() + 8, lie_output_size() - 16, hl_ReturnType_String, &wide);
  lie_push(size);
  uint8_t *place = lie_output() + 8 + size - 12; /* "abcdefg" and NUL, behind its length */
  memcpy(place, &length, 4);
  memcpy(place + 4, bytes, 8);
}

LYING(text_honest) { text("abcdefg", 7, "abcdefg"); }
LYING(text_without_nul) { text("abcdefg", 7, "abcdefgh"); }
LYING(text_long) { text("abcdefg", 8, "abcdefg"); }
LYING(text_huge) { text("abcdefg", UINT32_MAX, "abcdefg"); }
LYING(text_not_utf8) { text("abcdefg", 7, "abc\xC3(fg"); }
LYING(text_surrogate) { text("abcdefg", 7, "abc\xED\xA0\x80g"); }
LYING(text_with_nul) { text("abcdefg", 7, "abc\0efg"); }

LYING(error_unknown_code) {
  lie_push(mf_encode_error(lie_output() + 8, 4096, 999, "code 999"));
}
LYING(error_zero_code) {
  lie_push(mf_encode_error(lie_output() + 8, 4096, 0, "no error"));
}
LYING(error_huge_code) {
  lie_push(mf_encode_error(lie_output() + 8, 4096, UINT64_MAX, "huge"));
}
LYING(error_not_utf8) {
  size_t size = mf_encode_error(lie_output() + 8, 4096, 15, "abcdefg");
  lie_push(size);
  memset(memchr(lie_output() + 8, 'a', size), 0xFF, 1);
}
/* Error 9 poisons as a stack overflow does. */
LYING(error_stack_overflow) {
  lie_push(mf_encode_error(lie_output() + 8, 4096, hl_ErrorCode_StackOverflow, "so"));
}

/* ---- Other memory of the host's ---- */

/* What the host needs of the PEB it must have read before the first call. */
LYING(peb_overwritten) {
  memset(mf_runtime.peb, 0xFF, sizeof *mf_runtime.peb);
  lie_start();
}
LYING(dispatch_overwritten) {
  mf_runtime.peb->dispatch = 0;
  lie_start();
}
LYING(input_overwritten) {
  memset(mf_runtime.input.data, 0xFF, 4096);
  lie_start();
}
LYING(cookie_overwritten) {
  memset((void *)mf_runtime.peb->stack_lowest, 0xFF, 16);
  lie_start();
}
LYING(halt_in_host_call) {
  hl_FunctionCall call = {"HostPrint", NULL, 0, hl_ReturnType_Int};
  lie_push(mf_encode_call(lie_output() + 8, 4096, &call));
}
LYING(whole_buffer) {
  memset(lie_output(), 0xFF, lie_output_size());
}

#define ENTRIES(X)                                                                                                 \
  X("Honest", honest) X("Nothing", nothing) X("TwoResults", two_results) X("HeaderZero", header_zero)              \
  X("HeaderSeven", header_seven) X("HeaderFifteen", header_fifteen) X("HeaderOnePast", header_one_past)            \
  X("HeaderHuge", header_huge) X("HeaderNegative", header_negative) X("HeaderAtEnd", header_at_end)                \
  X("BackZero", back_zero) X("BackBefore", back_before) X("BackSelf", back_self) X("BackAfter", back_after)        \
  X("BackBeyond", back_beyond) X("BackHuge", back_huge) X("BackWraps", back_wraps) X("BackInside", back_inside)    \
  X("BackLastWord", back_last_word) X("BackLastByte", back_last_byte) X("LengthZero", length_zero)                 \
  X("LengthShort", length_short) X("LengthOneShort", length_one_short) X("LengthOneOver", length_one_over)         \
  X("LengthOver", length_over) X("LengthNegative", length_negative) X("LengthHuge", length_huge)                   \
  X("LengthWraps", length_wraps) X("Garbage", garbage) X("Zeros", zeros) X("RootZero", root_zero)                  \
  X("RootBeyond", root_beyond) X("RootHuge", root_huge) X("RootLastByte", root_last_byte)                          \
  X("VtableBefore", vtable_before) X("VtableAfter", vtable_after) X("VtableFar", vtable_far)                       \
  X("VtableLong", vtable_long) X("VtableEmpty", vtable_empty) X("VtableOdd", vtable_odd)                           \
  X("FieldBeyond", field_beyond) X("ValueSelf", value_self) X("ValueBeyond", value_beyond)                         \
  X("BoxBeyond", box_beyond) X("ResultNone", result_none) X("ResultUnknown", result_unknown)                       \
  X("ResultIsError", result_is_error) X("ValueNone", value_none) X("ValueUnknown", value_unknown)                  \
  X("ValueIsString", value_is_string) X("TypeString", type_string) X("TypeLong", type_long)                        \
  X("TypeUInt", type_uint) X("TypeVoid", type_void) X("TextHonest", text_honest)                                   \
  X("TextWithoutNul", text_without_nul) X("TextLong", text_long) X("TextHuge", text_huge)                          \
  X("TextNotUtf8", text_not_utf8) X("TextSurrogate", text_surrogate) X("TextWithNul", text_with_nul)               \
  X("ErrorUnknownCode", error_unknown_code) X("ErrorZeroCode", error_zero_code)                                    \
  X("ErrorHugeCode", error_huge_code) X("ErrorNotUtf8", error_not_utf8)                                            \
  X("ErrorStackOverflow", error_stack_overflow) X("PebOverwritten", peb_overwritten)                               \
  X("DispatchOverwritten", dispatch_overwritten) X("InputOverwritten", input_overwritten)                          \
  X("CookieOverwritten", cookie_overwritten) X("HaltInHostCall", halt_in_host_call) X("WholeBuffer", whole_buffer)

void hyperlight_main(void) { ENTRIES(REGISTER_LIE) }
