/* Functions that need a host function of each type; a host without them answers error 17. */
#include "mayfly_guest.h"

static void call_host(const char *name, hl_ParameterType tag, hl_ParameterValue value, hl_ReturnType returns) {
  hl_Parameter parameter = {tag, value};
  hl_FunctionCall call = {name, &parameter, 1, returns};
  hl_call_host_function(&call);
}

/* `count` calls of Tick(int) -> int, which answers its argument. Returns how many did. */
static int32_t call_many(int32_t count) {
  int32_t right = 0;
  for (int32_t i = 0; i < count && hl_get_error(NULL) == hl_ErrorCode_NoError; i++) {
    call_host("Tick", hl_ParameterType_Int, (hl_ParameterValue){.Int = i}, hl_ReturnType_Int);
    if (hl_get_host_return_value_as_Int() == i) right++;
  }
  return right;
}
HYPERLIGHT_WRAP_FUNCTION(call_many, Int, 1, Int)

/* RelayX(x) answers with what the host function HostX answers to x. */
#define RELAY(Type, c_type)                                                                                   \
  static c_type relay_##Type(c_type value) {                                                                  \
    call_host("Host" #Type, hl_ParameterType_##Type, (hl_ParameterValue){.Type = value}, hl_ReturnType_##Type); \
    return hl_get_host_return_value_as_##Type();                                                              \
  }                                                                                                           \
  HYPERLIGHT_WRAP_FUNCTION(relay_##Type, Type, 1, Type)

RELAY(Int, int32_t)
RELAY(UInt, uint32_t)
RELAY(Long, int64_t)
RELAY(ULong, uint64_t)
RELAY(Float, float)
RELAY(Double, double)
RELAY(Bool, bool)
RELAY(String, const char *)

static hl_Vec relay_VecBytes(hl_Vec value) {
  call_host("HostVecBytes", hl_ParameterType_VecBytes, (hl_ParameterValue){.VecBytes = value}, hl_ReturnType_VecBytes);
  return *hl_get_host_return_value_as_VecBytes();
}
HYPERLIGHT_WRAP_FUNCTION(relay_VecBytes, VecBytes, 1, VecBytes)

/* A host function may answer nothing: then there is no value to take. */
static void relay_void(void) {
  hl_FunctionCall call = {"HostVoid", NULL, 0, hl_ReturnType_Void};
  hl_call_host_function(&call);
}
HYPERLIGHT_WRAP_FUNCTION(relay_void, Void, 0)

void hyperlight_main(void) {
  HYPERLIGHT_REGISTER_FUNCTION("CallHost", call_many);
  HYPERLIGHT_REGISTER_FUNCTION("RelayInt", relay_Int);
  HYPERLIGHT_REGISTER_FUNCTION("RelayUInt", relay_UInt);
  HYPERLIGHT_REGISTER_FUNCTION("RelayLong", relay_Long);
  HYPERLIGHT_REGISTER_FUNCTION("RelayULong", relay_ULong);
  HYPERLIGHT_REGISTER_FUNCTION("RelayFloat", relay_Float);
  HYPERLIGHT_REGISTER_FUNCTION("RelayDouble", relay_Double);
  HYPERLIGHT_REGISTER_FUNCTION("RelayBool", relay_Bool);
  HYPERLIGHT_REGISTER_FUNCTION("RelayString", relay_String);
  HYPERLIGHT_REGISTER_FUNCTION("RelayBytes", relay_VecBytes);
  HYPERLIGHT_REGISTER_FUNCTION("RelayVoid", relay_void);
}
