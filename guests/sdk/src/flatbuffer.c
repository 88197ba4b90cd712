#include "flatbuffer.h"

/* ---- Reader ---- */

static bool inside(mf_Reader *reader, uint64_t position, uint64_t size) {
  if (position + size <= reader->length) return true;
  reader->broken = true;
  return false;
}

static uint16_t load16(const mf_Reader *reader, uint64_t position) {
  uint16_t value;
  memcpy(&value, reader->data + position, sizeof value);
  return value;
}

static uint32_t load32(const mf_Reader *reader, uint64_t position) {
  uint32_t value;
  memcpy(&value, reader->data + position, sizeof value);
  return value;
}

/* Where the offset at `position` points to; 0 when that has no room for a word. */
static uint32_t follow(mf_Reader *reader, uint64_t position) {
  if (!inside(reader, position, 4)) return 0;
  uint64_t target = position + load32(reader, position);
  return inside(reader, target, 4) ? (uint32_t)target : 0;
}

/* Position of a field of `size` bytes; 0 when it is absent. */
static uint32_t field(mf_Reader *reader, mf_Table table, unsigned id, unsigned size) {
  if (reader->broken || table == 0) return 0;
  int64_t vtable = (int64_t)table - (int32_t)load32(reader, table);
  if (vtable < 0 || !inside(reader, (uint64_t)vtable, 4)) {
    reader->broken = true;
    return 0;
  }
  uint16_t bytes = load16(reader, (uint64_t)vtable);
  if (!inside(reader, (uint64_t)vtable, bytes)) return 0;
  if (4 + 2 * id + 2 > bytes) return 0;
  uint16_t offset = load16(reader, (uint64_t)vtable + 4 + 2 * id);
  if (offset == 0) return 0;
  return inside(reader, (uint64_t)table + offset, size) ? table + offset : 0;
}

mf_Table mf_read_root(mf_Reader *reader) {
  /* The prefix may be shorter than the bytes at hand, never longer. */
  if (!inside(reader, 0, 4) || !inside(reader, 4, load32(reader, 0))) return 0;
  reader->length = 4 + (size_t)load32(reader, 0);
  return follow(reader, MF_ROOT);
}

uint8_t mf_read_u8(mf_Reader *reader, mf_Table table, unsigned id, uint8_t fallback) {
  uint32_t at = field(reader, table, id, 1);
  return at == 0 ? fallback : reader->data[at];
}

uint32_t mf_read_u32(mf_Reader *reader, mf_Table table, unsigned id, uint32_t fallback) {
  uint32_t at = field(reader, table, id, 4);
  return at == 0 ? fallback : load32(reader, at);
}

uint64_t mf_read_u64(mf_Reader *reader, mf_Table table, unsigned id, uint64_t fallback) {
  uint32_t at = field(reader, table, id, 8);
  return at == 0 ? fallback : load32(reader, at) | (uint64_t)load32(reader, (uint64_t)at + 4) << 32;
}

mf_Table mf_read_table(mf_Reader *reader, mf_Table table, unsigned id) {
  uint32_t at = field(reader, table, id, 4);
  return at == 0 ? 0 : follow(reader, at);
}

static mf_Span vector(mf_Reader *reader, mf_Table table, unsigned id, unsigned element, unsigned tail) {
  mf_Span none = {NULL, 0};
  uint32_t at = field(reader, table, id, 4);
  uint32_t start = at == 0 ? 0 : follow(reader, at);
  if (start == 0) return none;
  uint32_t length = load32(reader, start);
  if (!inside(reader, (uint64_t)start + 4, (uint64_t)length * element + tail)) return none;
  return (mf_Span){reader->data + start + 4, length};
}

mf_Span mf_read_string(mf_Reader *reader, mf_Table table, unsigned id) {
  mf_Span text = vector(reader, table, id, 1, 1);
  if (text.data == NULL || text.data[text.length] == 0) return text;
  reader->broken = true;
  return (mf_Span){NULL, 0};
}

mf_Span mf_read_bytes(mf_Reader *reader, mf_Table table, unsigned id) { return vector(reader, table, id, 1, 0); }

uint32_t mf_read_count(mf_Reader *reader, mf_Table table, unsigned id) {
  return vector(reader, table, id, 4, 0).length;
}

mf_Table mf_read_element(mf_Reader *reader, mf_Table table, unsigned id, uint32_t index) {
  mf_Span offsets = vector(reader, table, id, 4, 0);
  if (index >= offsets.length) return 0;
  return follow(reader, (uint64_t)(offsets.data - reader->data) + 4 * (uint64_t)index);
}

/* ---- Writer ---- */

/* Appends zeros; returns where they are, 0 when there is no room. */
static uint32_t append(mf_Writer *writer, size_t size) {
  if (writer->full || size > writer->room - writer->length) {
    writer->full = true;
    return 0;
  }
  uint32_t at = (uint32_t)writer->length;
  memset(writer->data + at, 0, size);
  writer->length += size;
  return at;
}

static void align(mf_Writer *writer, size_t ahead, uint32_t alignment) {
  if (alignment > writer->alignment) writer->alignment = alignment;
  append(writer, -(writer->length + ahead) & (alignment - 1));
}

void mf_put(mf_Writer *writer, uint32_t position, const void *value, size_t size) {
  if (!writer->full) memcpy(writer->data + position, value, size);
}

static void put32(mf_Writer *writer, uint32_t position, uint32_t value) { mf_put(writer, position, &value, 4); }

mf_Writer mf_write_start(void *data, size_t room) {
  /* Offsets are 31 bits wide. */
  mf_Writer writer = {.data = data, .room = room > INT32_MAX ? INT32_MAX : room, .alignment = 4};
  append(&writer, 8);
  return writer;
}

uint32_t mf_write_table(mf_Writer *writer, uint32_t reference, const mf_Shape *shape) {
  uint16_t vtable[2 + 6] = {(uint16_t)(4 + 2 * shape->count), shape->size};
  for (unsigned i = 0; i < shape->count; i++) vtable[2 + i] = shape->fields[i];
  align(writer, vtable[0], shape->alignment);
  uint32_t start = append(writer, vtable[0]);
  mf_put(writer, start, vtable, vtable[0]);
  uint32_t table = append(writer, shape->size);
  put32(writer, table, vtable[0]);
  put32(writer, reference, table - reference);
  return table;
}

uint32_t mf_write_vector(mf_Writer *writer, uint32_t reference, uint32_t count) {
  align(writer, 0, 4);
  uint32_t start = append(writer, 4 + 4 * (size_t)count);
  put32(writer, start, count);
  put32(writer, reference, start - reference);
  return start + 4;
}

static void write_array(mf_Writer *writer, uint32_t reference, const void *bytes, size_t length, size_t tail) {
  if (length > writer->room) {
    writer->full = true;
    return;
  }
  align(writer, 0, 4);
  if (writer->full || 4 + length + tail > writer->room - writer->length) {
    writer->full = true;
    return;
  }
  uint32_t start = append(writer, 4);
  put32(writer, start, (uint32_t)length);
  put32(writer, reference, start - reference);
  memcpy(writer->data + writer->length, bytes, length);
  writer->length += length;
  append(writer, tail);
}

void mf_write_string(mf_Writer *writer, uint32_t reference, const char *text, size_t length) {
  write_array(writer, reference, text, length, 1);
}

void mf_write_bytes(mf_Writer *writer, uint32_t reference, const void *bytes, size_t length) {
  write_array(writer, reference, bytes, length, 0);
}

size_t mf_write_end(mf_Writer *writer) {
  align(writer, 0, writer->alignment);
  put32(writer, 0, (uint32_t)writer->length - 4);
  return writer->full ? 0 : writer->length;
}
