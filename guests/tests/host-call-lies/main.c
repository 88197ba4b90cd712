/* Functions that call the host, or log, with what the host cannot decode (guest-abi 8.3, 8.6). */
#include "../lies.h"

static void call_host(void) { mf_out(MF_PORT_CALL, 0); }
static void log_record(void) { mf_out(MF_PORT_LOG, 0); }

/* After these the guest tries to answer as if all were well: the host must have stopped it before. */
#define THEN_ANSWER(port, ...) \
  __VA_ARGS__;                 \
  port();                      \
  lie_start();

static void garbage(void) {
  memset(lie_output() + 8, 0xA5, 64);
  lie_put32(8, 60);
  lie_push(64);
}

/* A call of HostPrint with one String; returns its length. */
static size_t put_call(const char *name, const char *text) {
  hl_Parameter parameter = {hl_ParameterType_String, {.String = text}};
  hl_FunctionCall call = {name, &parameter, 1, hl_ReturnType_Int};
  size_t length = mf_encode_call(lie_output() + 8, 65536, &call);
  lie_push(length);
  return length;
}

LYING(call_nothing) { THEN_ANSWER(call_host, lie_header(8)) }
LYING(call_garbage) { THEN_ANSWER(call_host, garbage()) }
LYING(call_header_huge) { THEN_ANSWER(call_host, put_call("HostPrint", "x"); lie_header(UINT64_MAX)) }
LYING(call_back_beyond) {
  THEN_ANSWER(call_host, size_t length = put_call("HostPrint", "x"); lie_put64(8 + length, 1 << 30))
}
LYING(call_length_huge) { THEN_ANSWER(call_host, put_call("HostPrint", "x"); lie_put32(8, UINT32_MAX)) }
LYING(call_is_result) { THEN_ANSWER(call_host, lie_start()) }

/* A vector that claims four billion parameters: right after the vtable (12 bytes at 8) and the table (16 at 20)
 * of the call comes the name "HostPrint" with its length, then the vector. */
LYING(call_parameters_huge) {
  THEN_ANSWER(call_host, put_call("HostPrint", "x"); lie_put32(8 + 52, UINT32_MAX))
}

/* More parameters than any host function takes. */
LYING(call_many_parameters) {
  enum { COUNT = 1000 };
  static hl_Parameter parameters[COUNT];
  hl_FunctionCall call = {"HostPrint", parameters, COUNT, hl_ReturnType_Int};
  lie_push(mf_encode_call(lie_output() + 8, lie_output_size() - 16, &call));
  call_host();
  lie_start();
}

LYING(call_name_not_utf8) { THEN_ANSWER(call_host, put_call("Host\xC3(rint", "x")) }
LYING(call_text_not_utf8) { THEN_ANSWER(call_host, put_call("HostPrint", "\xED\xA0\x80")) }
LYING(call_name_long) {
  static char name[40000];
  memset(name, 'n', sizeof name - 1);
  THEN_ANSWER(call_host, put_call(name, "x"))
}
LYING(call_name_of_object) { THEN_ANSWER(call_host, put_call("__proto__", "x")) }

/* The host's answer does not fit: the guest has filled its input buffer. */
LYING(call_input_full) {
  uint64_t size = mf_runtime.input.size;
  memcpy(mf_runtime.input.data, &size, 8);
  THEN_ANSWER(call_host, put_call("HostPrint", "x"))
}
LYING(call_input_header_huge) {
  memset(mf_runtime.input.data, 0xFF, 8);
  THEN_ANSWER(call_host, put_call("HostPrint", "x"))
}
LYING(call_input_header_zero) {
  memset(mf_runtime.input.data, 0, 8);
  THEN_ANSWER(call_host, put_call("HostPrint", "x"))
}

/* A narrow operand still names the port. */
LYING(call_by_byte) {
  put_call("HostPrint", "x");
  __asm__ volatile("outb %b0, %w1" : : "a"(0), "d"(MF_PORT_CALL) : "memory");
  lie_start();
}
LYING(call_by_word) {
  put_call("HostPrint", "x");
  __asm__ volatile("outw %w0, %w1" : : "a"(0), "d"(MF_PORT_CALL) : "memory");
  lie_start();
}

LYING(log_nothing) { THEN_ANSWER(log_record, lie_header(8)) }
LYING(log_garbage) { THEN_ANSWER(log_record, garbage()) }
LYING(log_is_call) { THEN_ANSWER(log_record, put_call("HostPrint", "x")) }
LYING(log_header_huge) { THEN_ANSWER(log_record, lie_start(); lie_header(UINT64_MAX)) }
LYING(log_back_after) { THEN_ANSWER(log_record, lie_start(); lie_put64(8 + LIE_LENGTH, 8 + LIE_LENGTH + 8)) }
LYING(log_length_huge) { THEN_ANSWER(log_record, lie_start(); lie_put32(8, UINT32_MAX)) }

/* Never answers, never rests. */
LYING(log_nothing_for_ever) {
  for (;;) {
    lie_header(8);
    log_record();
  }
}

#define ENTRIES(X)                                                                                            \
  X("CallNothing", call_nothing) X("CallGarbage", call_garbage) X("CallHeaderHuge", call_header_huge)         \
  X("CallBackBeyond", call_back_beyond) X("CallLengthHuge", call_length_huge) X("CallIsResult", call_is_result) \
  X("CallParametersHuge", call_parameters_huge) X("CallManyParameters", call_many_parameters)                 \
  X("CallNameNotUtf8", call_name_not_utf8) X("CallTextNotUtf8", call_text_not_utf8)                           \
  X("CallNameLong", call_name_long) X("CallNameOfObject", call_name_of_object)                                \
  X("CallInputFull", call_input_full) X("CallInputHeaderHuge", call_input_header_huge)                        \
  X("CallInputHeaderZero", call_input_header_zero) X("CallByByte", call_by_byte)                              \
  X("CallByWord", call_by_word) X("LogNothing", log_nothing) X("LogGarbage", log_garbage)                     \
  X("LogIsCall", log_is_call) X("LogHeaderHuge", log_header_huge) X("LogBackAfter", log_back_after)           \
  X("LogLengthHuge", log_length_huge) X("LogNothingForEver", log_nothing_for_ever)

void hyperlight_main(void) { ENTRIES(REGISTER_LIE) }
