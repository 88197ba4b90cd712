/*
 * Spans and events cost no VM exit of their own: they gather in a batch, which goes with the next host call or with the
 * halt, in R8 to R10 (guest-abi 11.1). Only a batch that is full goes at once.
 *
 * A call that records nothing touches no page for it: whether the host wants anything stands on the page of the PEB,
 * which is read when the first span or event is there.
 */
#include "trace.h"

#include "cpu.h"
#include "generation.h"
#include "trace_batch.h"

enum { DEPTH_MAX = 64 };

static struct {
  uint64_t next_id;
  uint64_t start_tsc;
  uint32_t depth;
  uint64_t open[DEPTH_MAX]; /* ids of the spans that are open, outermost first */
  mf_TraceBatch batch;
} state;

static uint64_t now(void) { return __builtin_ia32_rdtsc(); }

bool mayfly_tracing(void) {
  if (mf_runtime.tracing) return true;
  const mf_Generation *generation = (const mf_Generation *)((const uint8_t *)mf_runtime.peb + MF_GENERATION_OFFSET);
  if ((generation->flags & MF_FLAG_TRACE) == 0) return false;
  mf_runtime.tracing = true;
  state.depth = 0;
  state.start_tsc = now();
  mf_batch_start(&state.batch, state.start_tsc);
  return true;
}

void mf_trace_begin_call(void) {
  mf_runtime.tracing = false;
  mf_runtime.trace = (mf_TraceRegisters){NULL, 0};
}

void mf_trace_attach(void) {
  if (!mf_runtime.tracing || state.batch.count == 0) return;
  mf_runtime.trace.length = mf_batch_end(&state.batch);
  mf_runtime.trace.data = state.batch.bytes;
}

void mf_trace_sent(void) {
  if (mf_runtime.trace.length == 0) return;
  mf_runtime.trace = (mf_TraceRegisters){NULL, 0};
  mf_batch_start(&state.batch, state.start_tsc);
}

static void send_batch(void) {
  mf_trace_attach();
  mf_out_traced(MF_PORT_TRACE_BATCH, mf_runtime.trace.data, mf_runtime.trace.length);
  mf_trace_sent();
}

/* After a batch that had no room: whether an empty one is worth a try. */
static bool made_room(void) {
  if (state.batch.count == 0) return false;
  send_batch();
  return true;
}

static void close_innermost(void) {
  uint64_t id = state.open[--state.depth], tsc = now();
  while (!mf_batch_close(&state.batch, id, tsc) && made_room()) {
  }
}

void mf_trace_finish(void) {
  if (!mf_runtime.tracing) return;
  while (state.depth > 0) close_innermost();
  mf_trace_attach();
}

void mf_trace_flush(void) {
  if (!mf_runtime.tracing) return;
  while (state.depth > 0) close_innermost();
  if (state.batch.count > 0) send_batch();
  mf_runtime.tracing = false;
}

static uint64_t innermost(void) { return state.depth == 0 ? 0 : state.open[state.depth - 1]; }

mayfly_Span mayfly_span_open_at(const char *target, const char *name, const mayfly_Field *fields, size_t field_count) {
  if (!mayfly_tracing() || state.depth == DEPTH_MAX) return 0;
  const mf_TraceText text = {name, target, fields, field_count};
  uint64_t id = ++state.next_id, tsc = now();
  while (!mf_batch_open(&state.batch, id, innermost(), tsc, &text))
    if (!made_room()) return 0;
  state.open[state.depth++] = id;
  return id;
}

void mayfly_span_close(mayfly_Span span) {
  if (span == 0 || !mf_runtime.tracing) return;
  uint32_t at = state.depth;
  while (at > 0 && state.open[at - 1] != span) at--;
  if (at == 0) return;
  while (state.depth >= at) close_innermost();
}

void mayfly_span_end(const mayfly_Span *span) { mayfly_span_close(*span); }

void mayfly_event(const char *name, const mayfly_Field *fields, size_t field_count) {
  if (!mayfly_tracing()) return;
  const mf_TraceText text = {name, NULL, fields, field_count};
  uint64_t tsc = now();
  while (!mf_batch_event(&state.batch, innermost(), tsc, &text) && made_room()) {
  }
}
