/* A secret and an environment value: neither is in the binary, and the secret is in no job, log or snapshot either. */
#include "mayfly_guest.h"

/* Takes the same time wherever the two differ. */
static bool same(const uint8_t *a, const uint8_t *b, size_t count) {
  uint8_t difference = 0;
  for (size_t i = 0; i < count; i++) difference |= (uint8_t)(a[i] ^ b[i]);
  return difference == 0;
}

static bool check(const char *attempt) {
  hl_Vec *password = mayfly_secret("password");
  if (password == NULL) {
    hl_set_error(hl_ErrorCode_GuestError, "the function is not granted the secret \"password\"");
    return false;
  }
  size_t length = strlen(attempt);
  bool is_right = length == password->len && same((const uint8_t *)attempt, password->data, length);
  free(password);
  return is_right;
}
HYPERLIGHT_WRAP_FUNCTION(check, Bool, 1, String)

static const char *hint(void) {
  const char *hint = mayfly_env("HINT");
  return hint == NULL ? "none" : hint;
}
HYPERLIGHT_WRAP_FUNCTION(hint, String, 0)

void hyperlight_main(void) {
  HYPERLIGHT_REGISTER_FUNCTION("Check", check);
  HYPERLIGHT_REGISTER_FUNCTION("Hint", hint);
}
