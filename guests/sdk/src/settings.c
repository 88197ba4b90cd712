/* Environment values, secrets and the attempt of the running call: host functions that the platform offers every guest. */
#include "mayfly_guest.h"
#include "runtime.h"

/* A name of NULL: the function takes none. */
static bool ask(const char *function, const char *name, hl_ReturnType type, mf_Reply *reply) {
  hl_Parameter parameter = {hl_ParameterType_String, {.String = name}};
  hl_FunctionCall call = {function, &parameter, name == NULL ? 0 : 1, type};
  return mf_host_call(&call, reply) && reply->type == type;
}

char *mayfly_env(const char *name) {
  mf_Reply reply;
  return ask("GetEnv", name, hl_ReturnType_String, &reply) ? strdup(reply.value.String) : NULL;
}

hl_Vec *mayfly_secret(const char *name) {
  mf_Reply reply;
  if (!ask("GetSecret", name, hl_ReturnType_VecBytes, &reply)) return NULL;
  hl_Vec bytes = reply.value.VecBytes;
  hl_Vec *copy = malloc(sizeof *copy + bytes.len);
  *copy = (hl_Vec){(uint8_t *)(copy + 1), bytes.len};
  memcpy(copy->data, bytes.data, bytes.len);
  return copy;
}

int32_t mayfly_attempt(void) {
  mf_Reply reply;
  return ask("GetAttempt", NULL, hl_ReturnType_Int, &reply) ? reply.value.Int : 0;
}

char *mayfly_invocation_id(void) {
  mf_Reply reply;
  return ask("GetInvocationId", NULL, hl_ReturnType_String, &reply) ? strdup(reply.value.String) : NULL;
}
