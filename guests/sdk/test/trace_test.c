#include "check.h"

#include "trace_batch.h"
#include "unused_aborts.h"

static const mf_TraceText PLAIN = {"name", "target", NULL, 0};

/* As the host reads it: the event at `index` and its type. */
static mf_Table event_at(mf_Reader *reader, uint32_t index, uint8_t *type) {
  mf_Table envelope = mf_read_element(reader, mf_read_root(reader), 1, index);
  *type = mf_read_u8(reader, envelope, 0, 0);
  return mf_read_table(reader, envelope, 1);
}

static bool text_is(mf_Reader *reader, mf_Table table, unsigned id, const char *expected) {
  mf_Span text = mf_read_string(reader, table, id);
  return text.data != NULL && strcmp((const char *)text.data, expected) == 0;
}

static void events_come_back(void) {
  static mf_TraceBatch batch;
  const mayfly_Field fields[] = {{"key", "value"}, {"bad \xff", NULL}};
  const mf_TraceText with_fields = {"inner", NULL, fields, 2};
  mf_batch_start(&batch, 7);
  CHECK(mf_batch_open(&batch, 1, 0, 10, &PLAIN));
  CHECK(mf_batch_open(&batch, 2, 1, 20, &with_fields));
  CHECK(mf_batch_event(&batch, 2, 30, &with_fields));
  CHECK(mf_batch_close(&batch, 2, 40));
  mf_Reader reader = {.data = batch.bytes, .length = mf_batch_end(&batch)};
  CHECK(reader.length % 8 == 0);

  uint8_t type;
  CHECK(mf_read_u64(&reader, mf_read_root(&reader), 0, 0) == 7);
  CHECK(mf_read_count(&reader, mf_read_root(&reader), 1) == 4);
  mf_Table event = event_at(&reader, 0, &type);
  CHECK(type == 1 && mf_read_u64(&reader, event, 0, 0) == 1 && mf_read_u64(&reader, event, 4, 0) == 10);
  CHECK(mf_read_u64(&reader, event, 1, 99) == 99);
  CHECK(text_is(&reader, event, 2, "name") && text_is(&reader, event, 3, "target"));
  CHECK(mf_read_count(&reader, event, 5) == 0);
  event = event_at(&reader, 1, &type);
  CHECK(type == 1 && mf_read_u64(&reader, event, 1, 99) == 1 && text_is(&reader, event, 3, ""));
  mf_Table pair = mf_read_element(&reader, event, 5, 1);
  CHECK(text_is(&reader, pair, 0, "bad ?") && text_is(&reader, pair, 1, ""));
  event = event_at(&reader, 2, &type);
  CHECK(type == 3 && mf_read_u64(&reader, event, 0, 0) == 2 && mf_read_u64(&reader, event, 2, 0) == 30);
  CHECK(text_is(&reader, event, 1, "inner") && mf_read_count(&reader, event, 3) == 2);
  event = event_at(&reader, 3, &type);
  CHECK(type == 2 && mf_read_u64(&reader, event, 0, 0) == 2 && mf_read_u64(&reader, event, 1, 0) == 40);
  CHECK(!reader.broken);
}

static void a_batch_takes_events_up_to_its_number(void) {
  static mf_TraceBatch batch;
  mf_batch_start(&batch, 0);
  uint32_t taken = 0;
  while (mf_batch_close(&batch, taken, taken)) taken++;
  CHECK(taken == MF_TRACE_BATCH_EVENTS);
  CHECK(!mf_batch_open(&batch, 1, 0, 0, &PLAIN) && !mf_batch_event(&batch, 1, 0, &PLAIN));
  CHECK(mf_batch_end(&batch) > 0);
}

static void what_has_no_room_leaves_the_batch_as_it_was(void) {
  static mf_TraceBatch batch;
  static char text[3000];
  memset(text, 'x', sizeof text - 1);
  const mf_TraceText large = {text, text, NULL, 0};
  mf_batch_start(&batch, 0);
  uint32_t taken = 0;
  while (mf_batch_open(&batch, taken + 1, 0, 0, &large)) taken++;
  CHECK(taken > 3 && taken < MF_TRACE_BATCH_EVENTS && batch.count == taken);
  CHECK(mf_batch_close(&batch, 1, 5));
  static const mayfly_Field many[5000];
  const mf_TraceText too_many = {"n", "t", many, 5000}, beyond = {"n", "t", many, SIZE_MAX};
  CHECK(!mf_batch_event(&batch, 1, 0, &too_many) && !mf_batch_open(&batch, 1, 0, 0, &beyond));

  mf_Reader reader = {.data = batch.bytes, .length = mf_batch_end(&batch)};
  CHECK(reader.length > 0 && reader.length <= MF_TRACE_BATCH_BYTES);
  CHECK(mf_read_count(&reader, mf_read_root(&reader), 1) == taken + 1);
  uint8_t type;
  mf_Table event = event_at(&reader, 0, &type);
  CHECK(mf_read_string(&reader, event, 2).length == MF_TRACE_TEXT_MAX);
  event = event_at(&reader, taken, &type);
  CHECK(type == 2 && mf_read_u64(&reader, event, 1, 0) == 5 && !reader.broken);
}

RUN("trace", events_come_back, a_batch_takes_events_up_to_its_number, what_has_no_room_leaves_the_batch_as_it_was)
