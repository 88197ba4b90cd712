/* Guests that are tried again: what they know of it, and how they fail until then. */
#include "mayfly_guest.h"

/* Answers `<attempt> <invocation id>`; fails before the attempt that the caller names. */
static const char *succeed_at(int32_t wanted) {
  static char text[64];
  int32_t attempt = mayfly_attempt();
  char *id = mayfly_invocation_id();
  snprintf(text, sizeof text, "%d %s", (int)attempt, id == NULL ? "none" : id);
  if (attempt < wanted) hl_set_error(hl_ErrorCode_GuestError, "not yet");
  return text;
}
HYPERLIGHT_WRAP_FUNCTION(succeed_at, String, 1, Int)

/* Spins at its first attempt, so that its worker can be killed in the middle of it. */
static int32_t spin_first(void) {
  int32_t attempt = mayfly_attempt();
  while (attempt == 1) __asm__ volatile("pause");
  return attempt;
}
HYPERLIGHT_WRAP_FUNCTION(spin_first, Int, 0)

void hyperlight_main(void) {
  HYPERLIGHT_REGISTER_FUNCTION("SucceedAt", succeed_at);
  HYPERLIGHT_REGISTER_FUNCTION("SpinFirst", spin_first);
}
