/* Shows what the host tells of environment values and secrets, as it tells it; a host without them answers error 17. */
#include "mayfly_guest.h"

static char at_start[64];

static void ask(const char *function, const char *name, hl_ReturnType type) {
  hl_Parameter parameter = {hl_ParameterType_String, {.String = name}};
  hl_FunctionCall call = {function, &parameter, 1, type};
  hl_call_host_function(&call);
}

static const char *env(const char *name) {
  ask("GetEnv", name, hl_ReturnType_String);
  return hl_get_error(NULL) == hl_ErrorCode_NoError ? hl_get_host_return_value_as_String() : NULL;
}
HYPERLIGHT_WRAP_FUNCTION(env, String, 1, String)

static hl_Vec secret(const char *name) {
  ask("GetSecret", name, hl_ReturnType_VecBytes);
  return hl_get_error(NULL) == hl_ErrorCode_NoError ? *hl_get_host_return_value_as_VecBytes() : (hl_Vec){NULL, 0};
}
HYPERLIGHT_WRAP_FUNCTION(secret, VecBytes, 1, String)

/* Keeps copies in the heap, on the stack and in the data, and answers how many bytes it got; -1 for none. */
static char kept[4096];
static int32_t keep(const char *name) {
  hl_Vec *bytes = mayfly_secret(name);
  if (bytes == NULL) return -1;
  volatile char deep[sizeof kept];
  int32_t got = 0;
  for (size_t i = 0; i < bytes->len && i < sizeof kept; i++) {
    deep[i] = kept[i] = (char)bytes->data[i];
    got += deep[i] == kept[i];
  }
  return got;
}
HYPERLIGHT_WRAP_FUNCTION(keep, Int, 1, String)

static int32_t nothing(void) { return 0; }
HYPERLIGHT_WRAP_FUNCTION(nothing, Int, 0)

static const char *start(void) { return at_start; }
HYPERLIGHT_WRAP_FUNCTION(start, String, 0)

void hyperlight_main(void) {
  char *early = mayfly_env("STAGE");
  hl_Vec *secret_early = mayfly_secret("password");
  snprintf(at_start, sizeof at_start, "%s %s", early == NULL ? "none" : early, secret_early == NULL ? "none" : "some");
  HYPERLIGHT_REGISTER_FUNCTION("Env", env);
  HYPERLIGHT_REGISTER_FUNCTION("Secret", secret);
  HYPERLIGHT_REGISTER_FUNCTION("Keep", keep);
  HYPERLIGHT_REGISTER_FUNCTION("Nothing", nothing);
  HYPERLIGHT_REGISTER_FUNCTION("Start", start);
}
