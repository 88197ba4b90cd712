/* Answers calls of any name from its own dispatcher. */
#include "mayfly_guest.h"

hl_Vec *c_guest_dispatch_function(const hl_FunctionCall *call) {
  if (strcmp(call->function_name, "Ping") == 0) return hl_flatbuffer_result_from_Int((int32_t)call->parameters_len);
  return NULL;
}

void hyperlight_main(void) {}
