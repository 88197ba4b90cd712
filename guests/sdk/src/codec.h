/* The messages of the guest ABI (guest-abi 7.3) in and out of FlatBuffers. */
#ifndef MAYFLY_CODEC_H
#define MAYFLY_CODEC_H

#include "flatbuffer.h"
#include "mayfly_guest.h"

enum { MF_PARAMETERS_MAX = 11 };

typedef enum mf_CallType { MF_CALL_GUEST = 1, MF_CALL_HOST = 2 } mf_CallType;

/** A decoded FunctionCall; strings and bytes point into the message. */
typedef struct mf_Call {
  hl_FunctionCall call; /* parameters_len may exceed what `parameters` holds */
  hl_Parameter parameters[MF_PARAMETERS_MAX];
  uint8_t type;
} mf_Call;

/** A decoded FunctionCallResult; strings and bytes point into the message. */
typedef struct mf_Reply {
  bool is_error;
  hl_ReturnType type;
  hl_ParameterValue value;
  uint64_t code;
  mf_Span message;
} mf_Reply;

typedef struct mf_LogRecord {
  const char *message;
  size_t message_length;
  const char *source;
  const char *caller;
  const char *source_file;
  uint32_t line;
  uint8_t level; /* as on the wire: Trace 0 … Error 4 */
} mf_LogRecord;

/** False when the message is malformed. The message must outlive `call`. */
bool mf_decode_call(uint8_t *message, size_t length, mf_Call *call);
bool mf_decode_reply(uint8_t *message, size_t length, mf_Reply *reply);

/** Each returns the message's length, 0 when `room` does not suffice. */
size_t mf_encode_value(uint8_t *out, size_t room, hl_ReturnType type, const hl_ParameterValue *value);
size_t mf_encode_error(uint8_t *out, size_t room, uint64_t code, const char *message);
size_t mf_encode_call(uint8_t *out, size_t room, const hl_FunctionCall *call);
size_t mf_encode_log(uint8_t *out, size_t room, const mf_LogRecord *record);

#endif
