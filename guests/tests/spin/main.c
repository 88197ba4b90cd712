/* Guests that take time: for deadlines, kills and benchmarks. */
#include "mayfly_guest.h"

static void spin(void) {
  for (;;) __asm__ volatile("pause");
}

/* Ends after a number of steps: a call whose length the caller chooses. */
static uint32_t work(uint32_t steps) {
  uint32_t state = 1;
  for (uint32_t i = 0; i < steps; i++) {
    state = state * 1664525 + 1013904223;
    __asm__ volatile("" : "+r"(state));
  }
  return state;
}

static void call_host_for_ever(void) {
  for (;;) printf("x");
}

HYPERLIGHT_WRAP_FUNCTION(spin, Void, 0)
HYPERLIGHT_WRAP_FUNCTION(work, UInt, 1, UInt)
HYPERLIGHT_WRAP_FUNCTION(call_host_for_ever, Void, 0)

void hyperlight_main(void) {
  HYPERLIGHT_REGISTER_FUNCTION("Spin", spin);
  HYPERLIGHT_REGISTER_FUNCTION("Work", work);
  HYPERLIGHT_REGISTER_FUNCTION("CallHostForEver", call_host_for_ever);
}
