/* Initialisation, and one call from its pop to its push (guest-abi 8.4, 9.1). */
#include "runtime.h"

#include "cpu.h"
#include "error.h"
#include "heap.h"
#include "trace.h"
#include "utf8.h"

mf_Runtime mf_runtime;

/* ---- Registered functions ---- */

typedef struct Function {
  const char *name;
  hl_GuestFunction function;
  uintptr_t parameter_count;
  const hl_ParameterType *types;
} Function;

static Function *functions;
static size_t function_count, function_capacity;

static Function *find(const char *name) {
  for (size_t i = 0; i < function_count; i++)
    if (strcmp(functions[i].name, name) == 0) return &functions[i];
  return NULL;
}

void hl_register_function_definition(const char *name, hl_GuestFunction function, uintptr_t parameter_count,
                                     const hl_ParameterType *types, hl_ReturnType return_type) {
  (void)return_type; /* nobody enforces it: the host checks the value that comes */
  Function *slot = find(name);
  if (slot == NULL) {
    if (function_count == function_capacity) {
      function_capacity = function_capacity == 0 ? 16 : 2 * function_capacity;
      functions = realloc(functions, function_capacity * sizeof *functions);
    }
    slot = &functions[function_count++];
  }
  *slot = (Function){name, function, parameter_count, types};
}

__attribute__((weak)) hl_Vec *c_guest_dispatch_function(const hl_FunctionCall *call) {
  (void)call;
  return NULL;
}

/* ---- Results: made in place, on the output buffer ---- */

static struct {
  hl_Vec vec;
  uint64_t below; /* used bytes of the output buffer under it */
} result;

static hl_Vec *make_result(hl_ReturnType type, const hl_ParameterValue *value) {
  if (result.vec.data != NULL) mf_buffer_unwind(&mf_runtime.output, result.below);
  result.below = mf_buffer_used(&mf_runtime.output);
  result.vec = (hl_Vec){mf_runtime.output.data + result.below, 0};
  uint64_t room = mf_buffer_room(&mf_runtime.output);
  result.vec.len = mf_encode_value(result.vec.data, room, type, value);
  if (result.vec.len == 0) {
    result.vec.data = NULL;
    mf_error_no_room(type, value, room);
  } else {
    mf_buffer_commit(&mf_runtime.output, result.vec.len);
  }
  return &result.vec;
}

#define RESULT(Type, c_type)                                          \
  hl_Vec *hl_flatbuffer_result_from_##Type(c_type value) {            \
    hl_ParameterValue wide = {.Type = value};                         \
    return make_result(hl_ReturnType_##Type, &wide);                  \
  }
RESULT(Int, int32_t)
RESULT(UInt, uint32_t)
RESULT(Long, int64_t)
RESULT(ULong, uint64_t)
RESULT(Bool, bool)
RESULT(String, const char *)
#ifdef __SSE2__
RESULT(Float, float)
RESULT(Double, double)
#endif

hl_Vec *hl_flatbuffer_result_from_Bytes(const uint8_t *data, uintptr_t len) {
  hl_ParameterValue value = {.VecBytes = {(uint8_t *)(uintptr_t)data, len}};
  return make_result(hl_ReturnType_VecBytes, &value);
}

hl_Vec *hl_flatbuffer_result_from_Void(void) {
  hl_ParameterValue none = {.ULong = 0};
  return make_result(hl_ReturnType_Void, &none);
}

/* ---- One call ---- */

static hl_Vec *call_function(const hl_FunctionCall *call) {
  const char *name = call->function_name;
  if (call->parameters_len > MF_PARAMETERS_MAX) {
    mf_error(hl_ErrorCode_GuestError, "Function %s has too many parameters: %lu (max allowed is %d).", name,
             call->parameters_len, MF_PARAMETERS_MAX);
    return NULL;
  }
  const Function *function = find(name);
  if (function == NULL) {
    hl_Vec *answer = c_guest_dispatch_function(call);
    if (answer == NULL && hl_get_error(NULL) == hl_ErrorCode_NoError)
      hl_set_error(hl_ErrorCode_GuestFunctionNotFound, name);
    return answer;
  }
  if (call->parameters_len != function->parameter_count) {
    mf_error(hl_ErrorCode_GuestFunctionIncorrecNoOfParameters,
             "Called function %s with %lu parameters but it takes %lu.", name, call->parameters_len,
             function->parameter_count);
    return NULL;
  }
  for (uintptr_t i = 0; i < call->parameters_len; i++) {
    if (call->parameters[i].tag == function->types[i]) continue;
    mf_error(hl_ErrorCode_GuestFunctionParameterTypeMismatch,
             "Expected parameter type %s for parameter index %lu of function %s but got %s.",
             mf_type_name(function->types[i]), i, name, mf_type_name(call->parameters[i].tag));
    return NULL;
  }
  return function->function(call);
}

/* Leaves exactly one element above `below`: the answer. */
static void answer(const hl_Vec *vec, uint64_t below) {
  mf_Buffer *output = &mf_runtime.output;
  const char *message;
  hl_ErrorCode code = hl_get_error(&message);
  if (code == hl_ErrorCode_NoError && vec == &result.vec && vec->data != NULL) return;
  if (code == hl_ErrorCode_NoError && vec != NULL && vec != &result.vec) {
    mf_buffer_unwind(output, below);
    uint64_t room = mf_buffer_room(output);
    if (vec->len > 0 && vec->len <= room) {
      memcpy(output->data + below, vec->data, vec->len);
      mf_buffer_commit(output, vec->len);
      return;
    }
    mf_error(hl_ErrorCode_GuestError, "Not enough space in shared output buffer. Required: %lu, Available: %lu",
             vec->len + 8, room + 8);
    code = hl_get_error(&message);
  }
  mf_buffer_unwind(output, below);
  if (code == hl_ErrorCode_NoError) {
    code = hl_ErrorCode_GuestError;
    message = "the function returned no result";
  }
  size_t length = mf_encode_error(output->data + below, mf_buffer_room(output), (uint64_t)code, message);
  if (length == 0) hl_abort_with_code_and_message(hl_ErrorCode_UnknownError, "no room for an error");
  mf_buffer_commit(output, length);
}

/* Called by entry.S for each call from the host. */
void mf_serve(void);

void mf_serve(void) {
  mf_Element element;
  mf_Call call;
  uint64_t below = mf_buffer_used(&mf_runtime.output);
  hl_clear_error();
  mf_host_forget_reply();
  mf_trace_begin_call();
  result.vec.data = NULL;
  if (below == 0 || !mf_buffer_top(&mf_runtime.input, &element) ||
      !mf_decode_call(element.data, element.length, &call))
    hl_abort_with_code_and_message(hl_ErrorCode_UnknownError, "the call could not be decoded");
  hl_Vec *vec = NULL;
  mf_runtime.running = call.call.function_name;
  if (call.type == MF_CALL_GUEST)
    vec = call_function(&call.call);
  else
    mf_error(hl_ErrorCode_GuestError, "Invalid function call type: %d, should be Guest.", call.type);
  answer(vec, below);
  mf_buffer_unwind(&mf_runtime.input, element.start);
  mf_trace_finish();
}

/* ---- Initialisation ---- */

/* Called by entry.S. */
void mf_initialise(mf_Peb *peb, uint64_t seed, uint64_t page_size, uint64_t log_level);

void mf_initialise(mf_Peb *peb, uint64_t seed, uint64_t page_size, uint64_t log_level) {
  (void)page_size; /* 4096 everywhere in the ABI */
  mf_runtime = (mf_Runtime){
      .peb = peb,
      .input = {(uint8_t *)peb->input.address, peb->input.size},
      .output = {(uint8_t *)peb->output.address, peb->output.size},
      .log_level = (uint32_t)log_level,
      .seed = seed,
      .running = "hyperlight_main",
  };
  mf_heap_init((void *)peb->heap.address, peb->heap.size);
  mf_cpu_init();
  peb->dispatch = (uint64_t)mf_dispatch;
  hyperlight_main();
}
