/* A batch of spans and events for the host: one size-prefixed GuestTraceData (guest-abi 7.3, 11.1). */
#ifndef MAYFLY_TRACE_BATCH_H
#define MAYFLY_TRACE_BATCH_H

#include "flatbuffer.h"

enum { MF_TRACE_BATCH_BYTES = 16 * 1024, MF_TRACE_BATCH_EVENTS = 128, MF_TRACE_TEXT_MAX = 1000 };

typedef struct mf_TraceBatch {
  mf_Writer writer;
  uint32_t slots; /* place of the offset to the first event */
  uint32_t count;
  uint8_t bytes[MF_TRACE_BATCH_BYTES];
} mf_TraceBatch;

/** Name, place in the code, fields: what span and event have in common. Texts over 1000 bytes are cut. */
typedef struct mf_TraceText {
  const char *name;
  const char *target;
  const mayfly_Field *fields;
  size_t field_count;
} mf_TraceText;

void mf_batch_start(mf_TraceBatch *batch, uint64_t start_tsc);
/** All three: false when the batch has no room, and then it is as it was. `parent` 0: none. */
bool mf_batch_open(mf_TraceBatch *batch, uint64_t id, uint64_t parent, uint64_t tsc, const mf_TraceText *text);
bool mf_batch_close(mf_TraceBatch *batch, uint64_t id, uint64_t tsc);
bool mf_batch_event(mf_TraceBatch *batch, uint64_t parent, uint64_t tsc, const mf_TraceText *text);
/** Makes the batch whole. Returns its length. */
size_t mf_batch_end(mf_TraceBatch *batch);

#endif
