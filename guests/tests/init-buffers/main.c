/* Ruins the headers of both buffers: the host must set them up itself before a call. */
#include "runtime.h"

static int32_t ping(void) { return 1; }
HYPERLIGHT_WRAP_FUNCTION(ping, Int, 0)

void hyperlight_main(void) {
  memset(mf_runtime.input.data, 0xFF, 64);
  memset(mf_runtime.output.data, 0xFF, 64);
  HYPERLIGHT_REGISTER_FUNCTION("Ping", ping);
}
