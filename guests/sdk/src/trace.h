/* Spans and events of the running call, from the calls of the guest to the registers that the host reads. */
#ifndef MAYFLY_TRACE_H
#define MAYFLY_TRACE_H

#include "runtime.h"

/** For the start of a call: nothing has been recorded. */
void mf_trace_begin_call(void);
/** Makes the batch ready: the OUT that follows carries it, `mf_trace_sent` then empties it. */
void mf_trace_attach(void);
void mf_trace_sent(void);
/** For the end of a call: closes what is open and makes the batch ready for the halt. */
void mf_trace_finish(void);
/** For an abort: closes what is open and sends it, by an exit of its own. */
void mf_trace_flush(void);

#endif
