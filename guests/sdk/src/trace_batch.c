/*
 * Events are written where they stay, into a vector whose offsets are laid out beforehand; its count is stored at the
 * end.
 */
#include "trace_batch.h"

#include "utf8.h"

enum { EVENT_OPEN = 1, EVENT_CLOSE = 2, EVENT_LOG = 3 };

/* Field ids. */
enum { START_TSC, EVENTS };
enum { ENVELOPE_TYPE, ENVELOPE_EVENT };
enum { OPEN_ID, OPEN_PARENT, OPEN_NAME, OPEN_TARGET, OPEN_TSC, OPEN_FIELDS };
enum { CLOSE_ID, CLOSE_TSC };
enum { LOG_PARENT, LOG_NAME, LOG_TSC, LOG_FIELDS };
enum { PAIR_KEY, PAIR_VALUE };

static const mf_Shape SHAPE_BATCH = {.size = 16, .alignment = 8, .count = 2, .fields = {8, 4}};
static const mf_Shape SHAPE_ENVELOPE = {.size = 12, .alignment = 4, .count = 2, .fields = {8, 4}};
static const mf_Shape SHAPE_OPEN = {.size = 40, .alignment = 8, .count = 6, .fields = {8, 16, 4, 32, 24, 36}};
static const mf_Shape SHAPE_OPEN_ROOT = {.size = 32, .alignment = 8, .count = 6, .fields = {8, 0, 4, 24, 16, 28}};
static const mf_Shape SHAPE_CLOSE = {.size = 24, .alignment = 8, .count = 2, .fields = {8, 16}};
static const mf_Shape SHAPE_LOG = {.size = 28, .alignment = 8, .count = 4, .fields = {8, 4, 16, 24}};
static const mf_Shape SHAPE_PAIR = {.size = 12, .alignment = 4, .count = 2, .fields = {4, 8}};

/* The end pads to 8. */
enum { PADDING = 8 };

static void put64(mf_Writer *writer, uint32_t place, uint64_t value) { mf_put(writer, place, &value, sizeof value); }

static void write_text(mf_Writer *writer, uint32_t reference, const char *text) {
  if (text == NULL) text = "";
  size_t length = strnlen(text, MF_TRACE_TEXT_MAX + 1);
  if (length > MF_TRACE_TEXT_MAX) length = mf_utf8_cut(text, MF_TRACE_TEXT_MAX);
  mf_write_string(writer, reference, text, length);
  if (!writer->full) mf_utf8_repair((char *)writer->data + writer->length - 1 - length, length);
}

static void write_fields(mf_Writer *writer, uint32_t reference, const mf_TraceText *text) {
  if (text->field_count > writer->room) {
    writer->full = true;
    return;
  }
  uint32_t slot = mf_write_vector(writer, reference, (uint32_t)text->field_count);
  for (size_t i = 0; i < text->field_count && !writer->full; i++) {
    uint32_t pair = mf_write_table(writer, slot + 4 * (uint32_t)i, &SHAPE_PAIR);
    write_text(writer, pair + SHAPE_PAIR.fields[PAIR_KEY], text->fields[i].name);
    write_text(writer, pair + SHAPE_PAIR.fields[PAIR_VALUE], text->fields[i].value);
  }
}

void mf_batch_start(mf_TraceBatch *batch, uint64_t start_tsc) {
  batch->writer = mf_write_start(batch->bytes, sizeof batch->bytes - PADDING);
  batch->count = 0;
  uint32_t root = mf_write_table(&batch->writer, MF_ROOT, &SHAPE_BATCH);
  put64(&batch->writer, root + SHAPE_BATCH.fields[START_TSC], start_tsc);
  batch->slots = mf_write_vector(&batch->writer, root + SHAPE_BATCH.fields[EVENTS], MF_TRACE_BATCH_EVENTS);
}

/* Appends the table of an event, in its envelope. `mark`: how long the batch was. */
static uint32_t begin_event(mf_TraceBatch *batch, uint8_t type, const mf_Shape *shape, size_t *mark) {
  *mark = batch->writer.length;
  uint32_t envelope = mf_write_table(&batch->writer, batch->slots + 4 * batch->count, &SHAPE_ENVELOPE);
  mf_put(&batch->writer, envelope + SHAPE_ENVELOPE.fields[ENVELOPE_TYPE], &type, sizeof type);
  return mf_write_table(&batch->writer, envelope + SHAPE_ENVELOPE.fields[ENVELOPE_EVENT], shape);
}

static bool end_event(mf_TraceBatch *batch, size_t mark) {
  if (batch->writer.full) {
    batch->writer.full = false;
    batch->writer.length = mark;
    return false;
  }
  batch->count++;
  return true;
}

bool mf_batch_open(mf_TraceBatch *batch, uint64_t id, uint64_t parent, uint64_t tsc, const mf_TraceText *text) {
  size_t mark;
  if (batch->count == MF_TRACE_BATCH_EVENTS) return false;
  const mf_Shape *shape = parent == 0 ? &SHAPE_OPEN_ROOT : &SHAPE_OPEN;
  uint32_t table = begin_event(batch, EVENT_OPEN, shape, &mark);
  put64(&batch->writer, table + shape->fields[OPEN_ID], id);
  if (parent != 0) put64(&batch->writer, table + shape->fields[OPEN_PARENT], parent);
  put64(&batch->writer, table + shape->fields[OPEN_TSC], tsc);
  write_text(&batch->writer, table + shape->fields[OPEN_NAME], text->name);
  write_text(&batch->writer, table + shape->fields[OPEN_TARGET], text->target);
  write_fields(&batch->writer, table + shape->fields[OPEN_FIELDS], text);
  return end_event(batch, mark);
}

bool mf_batch_close(mf_TraceBatch *batch, uint64_t id, uint64_t tsc) {
  size_t mark;
  if (batch->count == MF_TRACE_BATCH_EVENTS) return false;
  uint32_t table = begin_event(batch, EVENT_CLOSE, &SHAPE_CLOSE, &mark);
  put64(&batch->writer, table + SHAPE_CLOSE.fields[CLOSE_ID], id);
  put64(&batch->writer, table + SHAPE_CLOSE.fields[CLOSE_TSC], tsc);
  return end_event(batch, mark);
}

bool mf_batch_event(mf_TraceBatch *batch, uint64_t parent, uint64_t tsc, const mf_TraceText *text) {
  size_t mark;
  if (batch->count == MF_TRACE_BATCH_EVENTS) return false;
  uint32_t table = begin_event(batch, EVENT_LOG, &SHAPE_LOG, &mark);
  put64(&batch->writer, table + SHAPE_LOG.fields[LOG_PARENT], parent);
  put64(&batch->writer, table + SHAPE_LOG.fields[LOG_TSC], tsc);
  write_text(&batch->writer, table + SHAPE_LOG.fields[LOG_NAME], text->name);
  write_fields(&batch->writer, table + SHAPE_LOG.fields[LOG_FIELDS], text);
  return end_event(batch, mark);
}

size_t mf_batch_end(mf_TraceBatch *batch) {
  batch->writer.room += PADDING;
  mf_put(&batch->writer, batch->slots - 4, &batch->count, sizeof batch->count);
  return mf_write_end(&batch->writer);
}
