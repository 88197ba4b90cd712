#include "codec.h"

#include "utf8.h"

/* Discriminants of the unions ParameterValue and ReturnValue are one above the enum (guest-abi 7.2). */
enum { RESULT_VALUE = 1, RESULT_ERROR = 2 };

/* Field ids and the shapes that we write. A union takes two ids: type, value. */
enum { VALUE = 0 };
enum { UNION_TYPE = 0, UNION_VALUE = 1 };
enum { CALL_NAME, CALL_PARAMETERS, CALL_TYPE, CALL_RETURNS };
enum { ERROR_CODE, ERROR_MESSAGE };
enum { BUFFER_SIZE, BUFFER_VALUE };

static const mf_Shape SHAPE_EMPTY = {.size = 4, .alignment = 4};
static const mf_Shape SHAPE_4 = {.size = 8, .alignment = 4, .count = 1, .fields = {4}};
static const mf_Shape SHAPE_8 = {.size = 16, .alignment = 8, .count = 1, .fields = {8}};
static const mf_Shape SHAPE_UNION = {.size = 12, .alignment = 4, .count = 2, .fields = {8, 4}};
static const mf_Shape SHAPE_BUFFER = {.size = 12, .alignment = 4, .count = 2, .fields = {4, 8}};
static const mf_Shape SHAPE_ERROR = {.size = 16, .alignment = 8, .count = 2, .fields = {8, 4}};
static const mf_Shape SHAPE_CALL = {.size = 16, .alignment = 4, .count = 4, .fields = {4, 8, 12, 13}};
static const mf_Shape SHAPE_CALL_BARE = {.size = 12, .alignment = 4, .count = 4, .fields = {4, 0, 8, 9}};
static const mf_Shape SHAPE_LOG = {.size = 28, .alignment = 4, .count = 6, .fields = {4, 8, 24, 12, 16, 20}};

/* ---- Reading ---- */

/* A value table; `tag` is the parameter type, which numbers scalars, String and Bool as the return type does. */
static void read_value(mf_Reader *reader, mf_Table table, hl_ParameterType tag, hl_ParameterValue *value) {
  uint32_t word;
  uint64_t wide;
  mf_Span span;
  if (table == 0) reader->broken = true;
  switch (tag) {
    case hl_ParameterType_Int:
    case hl_ParameterType_UInt:
    case hl_ParameterType_Float:
      word = mf_read_u32(reader, table, VALUE, 0);
      memcpy(value, &word, sizeof word);
      return;
    case hl_ParameterType_Long:
    case hl_ParameterType_ULong:
    case hl_ParameterType_Double:
      wide = mf_read_u64(reader, table, VALUE, 0);
      memcpy(value, &wide, sizeof wide);
      return;
    case hl_ParameterType_Bool:
      value->Bool = mf_read_u8(reader, table, VALUE, 0) != 0;
      return;
    case hl_ParameterType_String:
      span = mf_read_string(reader, table, VALUE);
      value->String = span.data == NULL ? "" : (const char *)span.data;
      return;
    case hl_ParameterType_VecBytes:
      span = mf_read_bytes(reader, table, VALUE);
      value->VecBytes = (hl_Vec){(uint8_t *)(uintptr_t)span.data, span.length};
      return;
  }
  reader->broken = true;
}

bool mf_decode_call(uint8_t *message, size_t length, mf_Call *out) {
  mf_Reader reader = {.data = message, .length = length};
  mf_Table root = mf_read_root(&reader);
  mf_Span name = mf_read_string(&reader, root, CALL_NAME);
  if (name.data == NULL) return false;
  out->type = mf_read_u8(&reader, root, CALL_TYPE, 0);
  out->call = (hl_FunctionCall){
      .function_name = (const char *)name.data,
      .parameters = out->parameters,
      .parameters_len = mf_read_count(&reader, root, CALL_PARAMETERS),
      .return_type = (hl_ReturnType)mf_read_u8(&reader, root, CALL_RETURNS, hl_ReturnType_Int),
  };
  for (uint32_t i = 0; i < out->call.parameters_len && i < MF_PARAMETERS_MAX; i++) {
    mf_Table parameter = mf_read_element(&reader, root, CALL_PARAMETERS, i);
    out->parameters[i].tag = (hl_ParameterType)(mf_read_u8(&reader, parameter, UNION_TYPE, 0) - 1);
    read_value(&reader, mf_read_table(&reader, parameter, UNION_VALUE), out->parameters[i].tag,
               &out->parameters[i].value);
  }
  return !reader.broken;
}

static void read_returned(mf_Reader *reader, mf_Table table, mf_Reply *reply) {
  if (table == 0) reader->broken = true;
  switch (reply->type) {
    case hl_ReturnType_Void:
      return;
    case hl_ReturnType_VecBytes: {
      mf_Span bytes = mf_read_bytes(reader, table, BUFFER_VALUE);
      reply->value.VecBytes = (hl_Vec){(uint8_t *)(uintptr_t)bytes.data, bytes.length};
      return;
    }
    default:
      read_value(reader, table, (hl_ParameterType)reply->type, &reply->value);
  }
}

bool mf_decode_reply(uint8_t *message, size_t length, mf_Reply *reply) {
  mf_Reader reader = {.data = message, .length = length};
  mf_Table root = mf_read_root(&reader);
  uint8_t kind = mf_read_u8(&reader, root, UNION_TYPE, 0);
  mf_Table result = mf_read_table(&reader, root, UNION_VALUE);
  memset(reply, 0, sizeof *reply);
  if (kind == RESULT_VALUE) {
    uint8_t type = mf_read_u8(&reader, result, UNION_TYPE, 0);
    if (type < 1 || type > hl_ReturnType_VecBytes + 1) return false;
    reply->type = (hl_ReturnType)(type - 1);
    read_returned(&reader, mf_read_table(&reader, result, UNION_VALUE), reply);
  } else if (kind == RESULT_ERROR && result != 0) {
    reply->is_error = true;
    reply->code = mf_read_u64(&reader, result, ERROR_CODE, hl_ErrorCode_NoError);
    reply->message = mf_read_string(&reader, result, ERROR_MESSAGE);
  } else {
    return false;
  }
  return !reader.broken;
}

/* ---- Writing ---- */

/* A table with a union in it; returns the place of the offset to the value. */
static uint32_t write_union(mf_Writer *writer, uint32_t reference, uint8_t type) {
  uint32_t table = mf_write_table(writer, reference, &SHAPE_UNION);
  mf_put(writer, table + SHAPE_UNION.fields[UNION_TYPE], &type, 1);
  return table + SHAPE_UNION.fields[UNION_VALUE];
}

static void write_scalar(mf_Writer *writer, uint32_t reference, const mf_Shape *shape, const void *value,
                         size_t size) {
  uint32_t table = mf_write_table(writer, reference, shape);
  mf_put(writer, table + shape->fields[VALUE], value, size);
}

static void write_text(mf_Writer *writer, uint32_t reference, const char *text) {
  if (text == NULL) text = "";
  mf_write_string(writer, reference, text, strlen(text));
}

/* The value of a parameter, or of a result, but for Void and result bytes. */
static void write_value(mf_Writer *writer, uint32_t reference, hl_ParameterType tag,
                        const hl_ParameterValue *value) {
  switch (tag) {
    case hl_ParameterType_Int:
    case hl_ParameterType_UInt:
    case hl_ParameterType_Float:
      write_scalar(writer, reference, &SHAPE_4, value, 4);
      return;
    case hl_ParameterType_Long:
    case hl_ParameterType_ULong:
    case hl_ParameterType_Double:
      write_scalar(writer, reference, &SHAPE_8, value, 8);
      return;
    case hl_ParameterType_Bool:
      write_scalar(writer, reference, &SHAPE_4, value, 1);
      return;
    case hl_ParameterType_String:
      write_text(writer, mf_write_table(writer, reference, &SHAPE_4) + SHAPE_4.fields[VALUE], value->String);
      return;
    case hl_ParameterType_VecBytes:
      mf_write_bytes(writer, mf_write_table(writer, reference, &SHAPE_4) + SHAPE_4.fields[VALUE],
                     value->VecBytes.data, value->VecBytes.len);
      return;
  }
}

size_t mf_encode_value(uint8_t *out, size_t room, hl_ReturnType type, const hl_ParameterValue *value) {
  mf_Writer writer = mf_write_start(out, room);
  uint32_t box = write_union(&writer, MF_ROOT, RESULT_VALUE);
  uint32_t place = write_union(&writer, box, (uint8_t)(type + 1));
  if (type == hl_ReturnType_Void) {
    mf_write_table(&writer, place, &SHAPE_EMPTY);
  } else if (type == hl_ReturnType_VecBytes) {
    uint32_t table = mf_write_table(&writer, place, &SHAPE_BUFFER);
    uint32_t size = (uint32_t)value->VecBytes.len;
    mf_put(&writer, table + SHAPE_BUFFER.fields[BUFFER_SIZE], &size, sizeof size);
    mf_write_bytes(&writer, table + SHAPE_BUFFER.fields[BUFFER_VALUE], value->VecBytes.data,
                   value->VecBytes.len);
  } else {
    write_value(&writer, place, (hl_ParameterType)type, value);
  }
  return mf_write_end(&writer);
}

size_t mf_encode_error(uint8_t *out, size_t room, uint64_t code, const char *message) {
  mf_Writer writer = mf_write_start(out, room);
  uint32_t place = write_union(&writer, MF_ROOT, RESULT_ERROR);
  uint32_t table = mf_write_table(&writer, place, &SHAPE_ERROR);
  mf_put(&writer, table + SHAPE_ERROR.fields[ERROR_CODE], &code, sizeof code);
  write_text(&writer, table + SHAPE_ERROR.fields[ERROR_MESSAGE], message);
  return mf_write_end(&writer);
}

size_t mf_encode_call(uint8_t *out, size_t room, const hl_FunctionCall *call) {
  mf_Writer writer = mf_write_start(out, room);
  const mf_Shape *shape = call->parameters_len == 0 ? &SHAPE_CALL_BARE : &SHAPE_CALL;
  uint8_t type = MF_CALL_HOST, returns = (uint8_t)call->return_type;
  uint32_t table = mf_write_table(&writer, MF_ROOT, shape);
  mf_put(&writer, table + shape->fields[CALL_TYPE], &type, 1);
  mf_put(&writer, table + shape->fields[CALL_RETURNS], &returns, 1);
  write_text(&writer, table + shape->fields[CALL_NAME], call->function_name);
  if (call->parameters_len == 0) return mf_write_end(&writer);
  uint32_t count = (uint32_t)call->parameters_len;
  uint32_t slot = mf_write_vector(&writer, table + shape->fields[CALL_PARAMETERS], count);
  for (uint32_t i = 0; i < count && !writer.full; i++) {
    const hl_Parameter *parameter = &call->parameters[i];
    uint32_t place = write_union(&writer, slot + 4 * i, (uint8_t)(parameter->tag + 1));
    write_value(&writer, place, parameter->tag, &parameter->value);
  }
  return mf_write_end(&writer);
}

size_t mf_encode_log(uint8_t *out, size_t room, const mf_LogRecord *record) {
  enum { MESSAGE, SOURCE, LEVEL, CALLER, SOURCE_FILE, LINE };
  mf_Writer writer = mf_write_start(out, room);
  uint32_t table = mf_write_table(&writer, MF_ROOT, &SHAPE_LOG);
  const uint8_t *at = SHAPE_LOG.fields;
  mf_put(&writer, table + at[LEVEL], &record->level, 1);
  mf_put(&writer, table + at[LINE], &record->line, 4);
  write_text(&writer, table + at[SOURCE], record->source);
  write_text(&writer, table + at[CALLER], record->caller);
  write_text(&writer, table + at[SOURCE_FILE], record->source_file);
  /* Last, so that its length alone decides whether the record fits. */
  mf_write_string(&writer, table + at[MESSAGE], record->message, record->message_length);
  if (!writer.full) mf_utf8_repair((char *)out + writer.length - 1 - record->message_length, record->message_length);
  return mf_write_end(&writer);
}
