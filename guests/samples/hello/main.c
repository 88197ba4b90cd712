#include "mayfly_guest.h"

static char greeting[300];

static const char *hello(const char *name) {
  snprintf(greeting, sizeof greeting, "Hello, %.256s!", *name == 0 ? "world" : name);
  return greeting;
}
HYPERLIGHT_WRAP_FUNCTION(hello, String, 1, String)

void hyperlight_main(void) { HYPERLIGHT_REGISTER_FUNCTION("Hello", hello); }
