#include "mayfly_guest.h"

enum { NAME_BYTES_MAX = 1024 };

static char greeting[NAME_BYTES_MAX + 16];

static const char *hello(const char *name) {
  if (strlen(name) > NAME_BYTES_MAX) {
    hl_set_error(hl_ErrorCode_GuestError, "a name has at most 1024 bytes");
    return NULL;
  }
  snprintf(greeting, sizeof greeting, "Hello, %s!", *name == 0 ? "world" : name);
  return greeting;
}
HYPERLIGHT_WRAP_FUNCTION(hello, String, 1, String)

void hyperlight_main(void) { HYPERLIGHT_REGISTER_FUNCTION("Hello", hello); }
