/*
 * FlatBuffers, as far as the guest ABI needs them (guest-abi 7): size-prefixed, tables, strings, byte vectors and
 * vectors of tables.
 *
 * Both sides keep a flag in place of a check after each step: a reader that met a bad offset is `broken` and gives
 * defaults from then on, a writer whose room is used up is `full` and drops what follows.
 */
#ifndef MAYFLY_FLATBUFFER_H
#define MAYFLY_FLATBUFFER_H

#include "mayfly_guest.h"

/* ---- Reader: never reads outside [data, data + length) ---- */

typedef struct mf_Reader {
  const uint8_t *data; /* the size prefix is its first word */
  size_t length;
  bool broken;
} mf_Reader;

/** Position of a table in the buffer; 0: absent. */
typedef uint32_t mf_Table;

/** Bytes of a string (without its NUL) or a byte vector; data is NULL when it is absent. */
typedef struct mf_Span {
  const uint8_t *data;
  uint32_t length;
} mf_Span;

mf_Table mf_read_root(mf_Reader *reader);
uint8_t mf_read_u8(mf_Reader *reader, mf_Table table, unsigned id, uint8_t fallback);
uint32_t mf_read_u32(mf_Reader *reader, mf_Table table, unsigned id, uint32_t fallback);
uint64_t mf_read_u64(mf_Reader *reader, mf_Table table, unsigned id, uint64_t fallback);
mf_Table mf_read_table(mf_Reader *reader, mf_Table table, unsigned id);
/** The byte after a string is checked to be NUL. */
mf_Span mf_read_string(mf_Reader *reader, mf_Table table, unsigned id);
mf_Span mf_read_bytes(mf_Reader *reader, mf_Table table, unsigned id);
/** Number of tables in a vector, 0 when it is absent. */
uint32_t mf_read_count(mf_Reader *reader, mf_Table table, unsigned id);
mf_Table mf_read_element(mf_Reader *reader, mf_Table table, unsigned id, uint32_t index);

/* ---- Writer: front to back, a table before what it refers to ---- */

typedef struct mf_Writer {
  uint8_t *data;
  size_t room;
  size_t length;
  uint32_t alignment; /* largest used so far */
  bool full;
} mf_Writer;

/** Shape of a table: offsets of its fields, 0 for an absent one. Fields are zero until they are put. */
typedef struct mf_Shape {
  uint8_t size;      /* of the table, a multiple of 4 */
  uint8_t alignment; /* 4 or 8 */
  uint8_t count;     /* of fields */
  uint8_t fields[6];
} mf_Shape;

mf_Writer mf_write_start(void *data, size_t room);
/** Appends a table; `reference` is the place of the offset to it. Returns its position. */
uint32_t mf_write_table(mf_Writer *writer, uint32_t reference, const mf_Shape *shape);
void mf_write_string(mf_Writer *writer, uint32_t reference, const char *text, size_t length);
void mf_write_bytes(mf_Writer *writer, uint32_t reference, const void *bytes, size_t length);
/** Appends a vector of `count` offsets; returns the place of the first. */
uint32_t mf_write_vector(mf_Writer *writer, uint32_t reference, uint32_t count);
void mf_put(mf_Writer *writer, uint32_t position, const void *value, size_t size);
/** Pads and writes the prefix. Returns the length of all, 0 when there was not room enough. */
size_t mf_write_end(mf_Writer *writer);

/** Where the root's offset goes. */
enum { MF_ROOT = 4 };

#endif
