/* The error that the running call answers with, kept until its end. */
#include "error.h"

#include "codec.h"
#include "utf8.h"

static struct {
  hl_ErrorCode code;
  char message[512];
} pending;

void hl_set_error(hl_ErrorCode code, const char *message) {
  size_t length = message == NULL ? 0 : strlen(message);
  if (length >= sizeof pending.message) length = mf_utf8_cut(message, sizeof pending.message - 1);
  pending.code = code == hl_ErrorCode_NoError ? hl_ErrorCode_UnknownError : code;
  memmove(pending.message, message, length);
  pending.message[length] = 0;
  mf_utf8_repair(pending.message, length);
}

hl_ErrorCode hl_get_error(const char **message) {
  if (message != NULL) *message = pending.message;
  return pending.code;
}

void hl_clear_error(void) {
  if (pending.code == hl_ErrorCode_NoError) return;
  pending.code = hl_ErrorCode_NoError;
  pending.message[0] = 0;
}

void mf_error(hl_ErrorCode code, const char *format, ...) {
  char text[sizeof pending.message];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  hl_set_error(code, text);
}

void mf_error_no_room(hl_ReturnType type, const hl_ParameterValue *value, uint64_t room) {
  /* Header and tables of a result take 64 bytes at most. */
  uint64_t length = 64;
  if (type == hl_ReturnType_String && value->String != NULL) length += strlen(value->String);
  if (type == hl_ReturnType_VecBytes) length += value->VecBytes.len;
  mf_error(hl_ErrorCode_GuestError, "Not enough space in shared output buffer. Required: %lu, Available: %lu", length,
           room + 8);
}

const char *mf_type_name(hl_ParameterType type) {
  static const char names[][9] = {"Int", "UInt", "Long", "ULong", "Float", "Double", "String", "Bool", "VecBytes"};
  return (unsigned)type < sizeof names / sizeof *names ? names[type] : "unknown";
}
