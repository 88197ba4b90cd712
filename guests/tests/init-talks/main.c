/* Calls the host and logs during initialisation, which it may. */
#include "mayfly_guest.h"

static int32_t printed;

static int32_t ping(void) { return printed; }
HYPERLIGHT_WRAP_FUNCTION(ping, Int, 0)

void hyperlight_main(void) {
  printed = printf("ready\n");
  LOG(hl_Level_Error, "initialised");
  HYPERLIGHT_REGISTER_FUNCTION("Ping", ping);
}
