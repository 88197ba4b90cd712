#include "check.h"

#include "codec.h"
#include "unused_aborts.h"

/* What a scalar's position must be a multiple of, as the host's verifier wants it; the prefix counts. */
static void check_total(size_t length, size_t alignment) { CHECK(length > 0 && length % alignment == 0); }

static uint8_t *exact(const uint8_t *bytes, size_t length) {
  uint8_t *copy = libc_malloc(length);
  memcpy(copy, bytes, length);
  return copy;
}

static mf_Reply round_trip(hl_ReturnType type, hl_ParameterValue value, uint8_t out[4096]) {
  mf_Reply reply;
  size_t length = mf_encode_value(out, 4096, type, &value);
  check_total(length, type == hl_ReturnType_Long || type == hl_ReturnType_ULong || type == hl_ReturnType_Double ? 8 : 4);
  CHECK(mf_decode_reply(out, length, &reply));
  CHECK(!reply.is_error && reply.type == type);
  for (size_t room = 0; room < length; room++) {
    uint8_t *small = libc_malloc(room + 1);
    CHECK(mf_encode_value(small, room, type, &value) == 0);
    libc_free(small);
  }
  return reply;
}

static void values_come_back(void) {
  uint8_t out[4096];
  CHECK(round_trip(hl_ReturnType_Int, (hl_ParameterValue){.Int = INT32_MIN}, out).value.Int == INT32_MIN);
  CHECK(round_trip(hl_ReturnType_Int, (hl_ParameterValue){.Int = 0}, out).value.Int == 0);
  CHECK(round_trip(hl_ReturnType_UInt, (hl_ParameterValue){.UInt = UINT32_MAX}, out).value.UInt == UINT32_MAX);
  CHECK(round_trip(hl_ReturnType_Long, (hl_ParameterValue){.Long = INT64_MIN}, out).value.Long == INT64_MIN);
  CHECK(round_trip(hl_ReturnType_ULong, (hl_ParameterValue){.ULong = UINT64_MAX}, out).value.ULong == UINT64_MAX);
  CHECK(round_trip(hl_ReturnType_Float, (hl_ParameterValue){.Float = 1.5f}, out).value.Float == 1.5f);
  CHECK(round_trip(hl_ReturnType_Double, (hl_ParameterValue){.Double = -1e300}, out).value.Double == -1e300);
  CHECK(round_trip(hl_ReturnType_Double, (hl_ParameterValue){.ULong = 1ull << 63}, out).value.ULong == 1ull << 63);
  CHECK(round_trip(hl_ReturnType_Bool, (hl_ParameterValue){.Bool = true}, out).value.Bool);
  CHECK(!round_trip(hl_ReturnType_Bool, (hl_ParameterValue){.Bool = false}, out).value.Bool);
  CHECK(strcmp(round_trip(hl_ReturnType_String, (hl_ParameterValue){.String = "text"}, out).value.String, "text") == 0);
  CHECK(strcmp(round_trip(hl_ReturnType_String, (hl_ParameterValue){.String = NULL}, out).value.String, "") == 0);
  round_trip(hl_ReturnType_Void, (hl_ParameterValue){.ULong = 0}, out);
  for (uintptr_t size = 0; size < 20; size++) {
    uint8_t bytes[20] = "0123456789abcdefghi";
    hl_Vec vec = round_trip(hl_ReturnType_VecBytes, (hl_ParameterValue){.VecBytes = {bytes, size}}, out).value.VecBytes;
    CHECK(vec.len == size && memcmp(vec.data, bytes, size) == 0);
  }
}

static void errors_come_back(void) {
  uint8_t out[4096];
  mf_Reply reply;
  size_t length = mf_encode_error(out, sizeof out, 17, "went wrong");
  check_total(length, 8);
  CHECK(mf_decode_reply(out, length, &reply) && reply.is_error && reply.code == 17);
  CHECK(reply.message.length == 10 && memcmp(reply.message.data, "went wrong", 11) == 0);
}

/* A call with each type of parameter. */
static size_t put_call(uint8_t *out, size_t room, uintptr_t count) {
  static uint8_t bytes[] = {1, 2, 3};
  static const hl_Parameter parameters[] = {
      {hl_ParameterType_Int, {.Int = -1}},       {hl_ParameterType_UInt, {.UInt = 2}},
      {hl_ParameterType_Long, {.Long = -3}},     {hl_ParameterType_ULong, {.ULong = 4}},
      {hl_ParameterType_Float, {.Float = 5.5}},  {hl_ParameterType_Double, {.Double = 6.5}},
      {hl_ParameterType_String, {.String = "seven"}}, {hl_ParameterType_Bool, {.Bool = true}},
      {hl_ParameterType_VecBytes, {.VecBytes = {bytes, 3}}}, {hl_ParameterType_Int, {.Int = 10}},
      {hl_ParameterType_Int, {.Int = 11}},       {hl_ParameterType_Int, {.Int = 12}},
  };
  hl_FunctionCall call = {"Function", parameters, count, hl_ReturnType_VecBytes};
  return mf_encode_call(out, room, &call);
}

static void calls_come_back(void) {
  uint8_t out[4096];
  mf_Call call;
  CHECK(mf_decode_call(out, put_call(out, sizeof out, 12), &call));
  CHECK(strcmp(call.call.function_name, "Function") == 0 && call.type == MF_CALL_HOST);
  CHECK(call.call.return_type == hl_ReturnType_VecBytes && call.call.parameters_len == 12);
  const hl_Parameter *p = call.call.parameters;
  CHECK(p[0].value.Int == -1 && p[1].value.UInt == 2 && p[2].value.Long == -3 && p[3].value.ULong == 4);
  CHECK(p[4].value.Float == 5.5f && p[5].value.Double == 6.5 && strcmp(p[6].value.String, "seven") == 0);
  CHECK(p[7].value.Bool && p[8].value.VecBytes.len == 3 && p[8].value.VecBytes.data[2] == 3);
  for (int i = 0; i < 9; i++) CHECK(p[i].tag == (hl_ParameterType)i);
  CHECK(p[10].value.Int == 11);
  CHECK(mf_decode_call(out, put_call(out, sizeof out, 0), &call) && call.call.parameters_len == 0);
}

static void a_call_without_room_is_not_written(void) {
  uint8_t out[4096];
  size_t length = put_call(out, sizeof out, 12);
  for (size_t room = 0; room < length; room++) {
    uint8_t *small = libc_malloc(room + 1);
    CHECK(put_call(small, room, 12) == 0);
    libc_free(small);
  }
  hl_Parameter huge = {hl_ParameterType_VecBytes, {.VecBytes = {out, SIZE_MAX - 5}}};
  hl_FunctionCall call = {"F", &huge, 1, hl_ReturnType_Int};
  CHECK(mf_encode_call(out, sizeof out, &call) == 0);
  huge.value.VecBytes.len = 1ull << 32;
  CHECK(mf_encode_call(out, sizeof out, &call) == 0);
}

static void log_text_is_repaired(void) {
  uint8_t out[4096];
  mf_LogRecord record = {"a\xFFz", 3, "guest", "caller", "file.c", 7, 4};
  size_t length = mf_encode_log(out, sizeof out, &record);
  check_total(length, 4);
  mf_Reader reader = {.data = out, .length = length};
  mf_Table root = mf_read_root(&reader);
  mf_Span message = mf_read_string(&reader, root, 0);
  CHECK(message.length == 3 && memcmp(message.data, "a?z", 4) == 0);
  CHECK(memcmp(mf_read_string(&reader, root, 1).data, "guest", 6) == 0);
  CHECK(mf_read_u8(&reader, root, 2, 0) == 4 && mf_read_u32(&reader, root, 5, 0) == 7);
  CHECK(memcmp(mf_read_string(&reader, root, 3).data, "caller", 7) == 0);
  CHECK(memcmp(mf_read_string(&reader, root, 4).data, "file.c", 7) == 0 && !reader.broken);
}

/* Every byte that a decoded message refers to lies in the message: touch them all. */
static uint64_t touch(const void *from, size_t length) {
  uint64_t sum = 0;
  for (size_t i = 0; i < length; i++) sum += ((const volatile uint8_t *)from)[i];
  return sum;
}

static void decode_and_touch(uint8_t *bytes, size_t length) {
  mf_Call call;
  mf_Reply reply;
  if (mf_decode_call(bytes, length, &call)) {
    touch(call.call.function_name, strlen(call.call.function_name) + 1);
    for (uintptr_t i = 0; i < call.call.parameters_len && i < MF_PARAMETERS_MAX; i++) {
      const hl_Parameter *p = &call.call.parameters[i];
      if (p->tag == hl_ParameterType_String) touch(p->value.String, strlen(p->value.String) + 1);
      if (p->tag == hl_ParameterType_VecBytes) touch(p->value.VecBytes.data, p->value.VecBytes.len);
    }
  }
  if (mf_decode_reply(bytes, length, &reply)) {
    if (reply.is_error) touch(reply.message.data, reply.message.length);
    if (!reply.is_error && reply.type == hl_ReturnType_String) touch(reply.value.String, strlen(reply.value.String) + 1);
    if (!reply.is_error && reply.type == hl_ReturnType_VecBytes) touch(reply.value.VecBytes.data, reply.value.VecBytes.len);
  }
}

static void hostile_messages_are_never_read_beyond(void) {
  static const uint32_t words[] = {0, 1, 3, 4, 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFC, 0xFFFF, 0x10000};
  uint8_t out[4096], text[] = "some text";
  for (int round = 0; round < 150000; round++) {
    size_t length;
    hl_ParameterValue value = {.String = (const char *)text};
    switch (round % 4) {
      case 0: length = put_call(out, sizeof out, draw(13)); break;
      case 1: length = mf_encode_error(out, sizeof out, 15, "message"); break;
      case 2: length = mf_encode_value(out, sizeof out, hl_ReturnType_String, &value); break;
      default:
        value.VecBytes = (hl_Vec){text, sizeof text};
        length = mf_encode_value(out, sizeof out, hl_ReturnType_VecBytes, &value);
    }
    for (unsigned change = draw(4); change > 0; change--) {
      uint32_t word = words[draw(sizeof words / sizeof *words)];
      if (draw(2) == 0)
        out[draw((uint32_t)length)] = (uint8_t)draw(256);
      else
        memcpy(out + draw((uint32_t)length - 3), &word, 4);
    }
    if (draw(4) == 0) length = draw((uint32_t)length);
    uint8_t *message = exact(out, length);
    decode_and_touch(message, length);
    libc_free(message);
  }
}

RUN("codec", values_come_back, errors_come_back, calls_come_back, a_call_without_room_is_not_written, log_text_is_repaired,
    hostile_messages_are_never_read_beyond)
