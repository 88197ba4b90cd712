/* What the rest of the SDK, and tests that lie to the host, know of the running guest. */
#ifndef MAYFLY_RUNTIME_H
#define MAYFLY_RUNTIME_H

#include "buffer.h"
#include "codec.h"
#include "peb.h"

/** What the next exit says of the trace batch; length 0: there is none. */
typedef struct mf_TraceRegisters {
  const void *data;
  uint64_t length;
} mf_TraceRegisters;

typedef struct mf_Runtime {
  /* First: entry.S loads it before the halt. */
  mf_TraceRegisters trace;
  /** The host wants spans and events, and this call has recorded some. */
  bool tracing;
  mf_Peb *peb;
  mf_Buffer input;
  mf_Buffer output;
  uint32_t log_level;
  uint64_t seed;
  /** Name of the function that runs, "hyperlight_main" during initialisation. */
  const char *running;
} mf_Runtime;

extern mf_Runtime mf_runtime;

/** Makes a host call; false when it could not be made or the host failed, which `reply` then tells. Strings and
 *  bytes of the reply live until the next host call. */
bool mf_host_call(const hl_FunctionCall *call, mf_Reply *reply);
/** For the start of a call: no reply lies on the input buffer. */
void mf_host_forget_reply(void);

#endif
