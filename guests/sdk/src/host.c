/* Calls of host functions, and log records (guest-abi 8.3, 8.6). */
#include "cpu.h"
#include "error.h"
#include "runtime.h"
#include "trace.h"
#include "utf8.h"

/* What the host answered last. Its strings and bytes stay on the input buffer, above the call that runs, until the
 * next host call. */
static mf_Reply reply;
static uint64_t reply_start;

void mf_host_forget_reply(void) { reply_start = 0; }

bool mf_host_call(const hl_FunctionCall *call, mf_Reply *out) {
  mf_Buffer *output = &mf_runtime.output, *input = &mf_runtime.input;
  *out = (mf_Reply){.is_error = true, .code = hl_ErrorCode_GuestError};
  if (reply_start != 0) {
    mf_buffer_unwind(input, reply_start);
    reply_start = 0;
  }
  uint64_t used = mf_buffer_used(output);
  size_t length = mf_encode_call(output->data + used, mf_buffer_room(output), call);
  if (length == 0) {
    static const char text[] = "Not enough space in shared output buffer.";
    out->message = (mf_Span){(const uint8_t *)text, sizeof text - 1};
    return false;
  }
  mf_buffer_commit(output, length);
  mf_trace_attach();
  mf_out_traced(MF_PORT_CALL, mf_runtime.trace.data, mf_runtime.trace.length);
  mf_trace_sent();
  mf_Element element;
  if (!mf_buffer_top(input, &element) || !mf_decode_reply(element.data, element.length, out))
    hl_abort_with_code_and_message(hl_ErrorCode_UnknownError, "the host's answer could not be decoded");
  reply_start = element.start;
  return !out->is_error;
}

void hl_call_host_function(const hl_FunctionCall *call) {
  if (mf_host_call(call, &reply)) return;
  mf_error((hl_ErrorCode)reply.code, "%.*s", (int)reply.message.length, (const char *)reply.message.data);
}

/* False, with error 2 set, when the last reply is no value of this type. */
static bool take(hl_ReturnType type, const char *name) {
  if (!reply.is_error && reply.type == type) return true;
  if (!reply.is_error)
    mf_error(hl_ErrorCode_UnsupportedParameterType,
             "Host return value could not be converted to expected %s", name);
  return false;
}

#define GETTER(Type, c_type, name)                                                    \
  c_type hl_get_host_return_value_as_##Type(void) {                                   \
    return take(hl_ReturnType_##Type, name) ? reply.value.Type : (c_type)0;           \
  }
GETTER(Int, int32_t, "i32")
GETTER(UInt, uint32_t, "u32")
GETTER(Long, int64_t, "i64")
GETTER(ULong, uint64_t, "u64")
GETTER(Bool, bool, "bool")
#ifdef __SSE2__
GETTER(Float, float, "f32")
GETTER(Double, double, "f64")
#endif

char *hl_get_host_return_value_as_String(void) {
  return strdup(take(hl_ReturnType_String, "String") ? reply.value.String : "");
}

hl_Vec *hl_get_host_return_value_as_VecBytes(void) {
  hl_Vec bytes = {NULL, 0};
  if (take(hl_ReturnType_VecBytes, "Vec<u8>")) bytes = reply.value.VecBytes;
  hl_Vec *copy = malloc(sizeof *copy + bytes.len);
  *copy = (hl_Vec){(uint8_t *)(copy + 1), bytes.len};
  memcpy(copy->data, bytes.data, bytes.len);
  return copy;
}

void hl_log(hl_Level level, const char *message, int32_t line, const char *file) {
  /* Room for the tables and the other texts, which are cut too. */
  enum { OVERHEAD = 1024, NAME_MAX_BYTES = 255, WIRE_LEVELS = 5 };
  mf_Buffer *output = &mf_runtime.output;
  uint64_t room = mf_buffer_room(output);
  if ((uint32_t)level > mf_runtime.log_level || level < hl_Level_Error || level > hl_Level_Trace) return;
  if (room <= OVERHEAD) return;
  char caller[NAME_MAX_BYTES + 1], source_file[NAME_MAX_BYTES + 1];
  snprintf(caller, sizeof caller, "%s", mf_runtime.running);
  snprintf(source_file, sizeof source_file, "%s", file == NULL ? "Unknown" : file);
  mf_utf8_repair(caller, strlen(caller));
  mf_utf8_repair(source_file, strlen(source_file));
  size_t length = message == NULL ? 0 : strlen(message);
  if (length > room - OVERHEAD) length = mf_utf8_cut(message, room - OVERHEAD);
  mf_LogRecord record = {
      .message = message,
      .message_length = length,
      .source = "guest",
      .caller = caller,
      .source_file = source_file,
      .line = (uint32_t)line,
      .level = (uint8_t)(WIRE_LEVELS - level),
  };
  length = mf_encode_log(output->data + mf_buffer_used(output), room, &record);
  if (length == 0) return;
  mf_buffer_commit(output, length);
  mf_out(MF_PORT_LOG, 0);
}
