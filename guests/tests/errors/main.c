/* Functions that fail in the ways the ABI has words for. */
#include "mayfly_guest.h"

static int32_t fail(int32_t code, const char *message) {
  hl_set_error((hl_ErrorCode)code, message);
  return 0;
}
HYPERLIGHT_WRAP_FUNCTION(fail, Int, 2, Int, String)

static int32_t abort_plain(void) { abort(); }
HYPERLIGHT_WRAP_FUNCTION(abort_plain, Int, 0)

static int32_t abort_code(int32_t code) { hl_abort_with_code(code); }
HYPERLIGHT_WRAP_FUNCTION(abort_code, Int, 1, Int)

static int32_t abort_message(int32_t code, const char *message) { hl_abort_with_code_and_message(code, message); }
HYPERLIGHT_WRAP_FUNCTION(abort_message, Int, 2, Int, String)

/* Nothing but a size: how large may a result be? */
static hl_Vec make_bytes(uint32_t size) {
  static uint8_t *bytes;
  free(bytes);
  bytes = calloc(size, 1);
  return (hl_Vec){bytes, size};
}
HYPERLIGHT_WRAP_FUNCTION(make_bytes, VecBytes, 1, UInt)

/* Claims more bytes than the output buffer has, from where it lies. */
static hl_Vec oversized_result(void) { return (hl_Vec){(uint8_t *)(uintptr_t)4096, 64u << 20}; }
HYPERLIGHT_WRAP_FUNCTION(oversized_result, VecBytes, 0)

/* Registered as Int, answers a String. */
static hl_Vec *wrong_type(const hl_FunctionCall *call) {
  (void)call;
  return hl_flatbuffer_result_from_String("not a number");
}

static hl_Vec *no_result(const hl_FunctionCall *call) {
  (void)call;
  return NULL;
}

/* The error counts, whatever was returned before it. */
static int32_t error_over_result(void) {
  hl_flatbuffer_result_from_Int(1);
  hl_set_error(hl_ErrorCode_GuestError, "second thoughts");
  return 2;
}
HYPERLIGHT_WRAP_FUNCTION(error_over_result, Int, 0)

static void call_host(const char *name, const hl_Parameter *parameters, uintptr_t count, hl_ReturnType returns) {
  hl_FunctionCall call = {name, parameters, count, returns};
  hl_call_host_function(&call);
}

static int32_t call_unknown(void) {
  call_host("NoSuchFunction", NULL, 0, hl_ReturnType_Int);
  return hl_get_host_return_value_as_Int();
}
HYPERLIGHT_WRAP_FUNCTION(call_unknown, Int, 0)

static int32_t call_without_arguments(void) {
  call_host("HostPrint", NULL, 0, hl_ReturnType_Int);
  return hl_get_host_return_value_as_Int();
}
HYPERLIGHT_WRAP_FUNCTION(call_without_arguments, Int, 0)

static int32_t call_with_wrong_type(void) {
  hl_Parameter number = {hl_ParameterType_Int, {.Int = 1}};
  call_host("HostPrint", &number, 1, hl_ReturnType_Int);
  return hl_get_host_return_value_as_Int();
}
HYPERLIGHT_WRAP_FUNCTION(call_with_wrong_type, Int, 0)

static const char *take_wrong_type(void) {
  hl_Parameter text = {hl_ParameterType_String, {.String = "x"}};
  call_host("HostPrint", &text, 1, hl_ReturnType_String);
  return hl_get_host_return_value_as_String();
}
HYPERLIGHT_WRAP_FUNCTION(take_wrong_type, String, 0)

static int32_t call_too_large(void) {
  hl_Parameter bytes = {hl_ParameterType_VecBytes, {.VecBytes = {(uint8_t *)(uintptr_t)4096, 64u << 20}}};
  call_host("HostPrint", &bytes, 1, hl_ReturnType_Int);
  return hl_get_host_return_value_as_Int();
}
HYPERLIGHT_WRAP_FUNCTION(call_too_large, Int, 0)

/* A host function's error can be dealt with. */
static int32_t recover(void) {
  call_unknown();
  if (hl_get_error(NULL) != hl_ErrorCode_HostFunctionError) return 0;
  hl_clear_error();
  return 1;
}
HYPERLIGHT_WRAP_FUNCTION(recover, Int, 0)

void hyperlight_main(void) {
  HYPERLIGHT_REGISTER_FUNCTION("Fail", fail);
  HYPERLIGHT_REGISTER_FUNCTION("Abort", abort_plain);
  HYPERLIGHT_REGISTER_FUNCTION("AbortCode", abort_code);
  HYPERLIGHT_REGISTER_FUNCTION("AbortMessage", abort_message);
  HYPERLIGHT_REGISTER_FUNCTION("MakeBytes", make_bytes);
  HYPERLIGHT_REGISTER_FUNCTION("OversizedResult", oversized_result);
  hl_register_function_definition("WrongType", wrong_type, 0, NULL, hl_ReturnType_Int);
  hl_register_function_definition("NoResult", no_result, 0, NULL, hl_ReturnType_Int);
  HYPERLIGHT_REGISTER_FUNCTION("ErrorOverResult", error_over_result);
  HYPERLIGHT_REGISTER_FUNCTION("CallUnknown", call_unknown);
  HYPERLIGHT_REGISTER_FUNCTION("CallWithoutArguments", call_without_arguments);
  HYPERLIGHT_REGISTER_FUNCTION("CallWithWrongType", call_with_wrong_type);
  HYPERLIGHT_REGISTER_FUNCTION("TakeWrongType", take_wrong_type);
  HYPERLIGHT_REGISTER_FUNCTION("CallTooLarge", call_too_large);
  HYPERLIGHT_REGISTER_FUNCTION("Recover", recover);
}
