/* Environment values and secrets of the running call: host functions that the platform offers every guest. */
#include "mayfly_guest.h"
#include "runtime.h"

static bool ask(const char *function, const char *name, hl_ReturnType type, mf_Reply *reply) {
  hl_Parameter parameter = {hl_ParameterType_String, {.String = name}};
  hl_FunctionCall call = {function, &parameter, 1, type};
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
