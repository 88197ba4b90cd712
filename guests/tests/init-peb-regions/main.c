/* Overwrites what the host wrote into the PEB: the host must go by its own layout, and calls work. */
#include "runtime.h"

static int32_t ping(void) { return 1; }
HYPERLIGHT_WRAP_FUNCTION(ping, Int, 0)

void hyperlight_main(void) {
  uint64_t dispatch = mf_runtime.peb->dispatch;
  memset(mf_runtime.peb, 0xFF, sizeof *mf_runtime.peb);
  mf_runtime.peb->dispatch = dispatch;
  HYPERLIGHT_REGISTER_FUNCTION("Ping", ping);
}
