#pragma once

#include <napi.h>

namespace mayfly::binding {

/** State of the addon in one JavaScript environment. */
struct Module {
  Napi::FunctionReference vm_class;
  Napi::FunctionReference snapshot_class;
  Napi::FunctionReference interrupt_class;
  Napi::FunctionReference shared_kill_class;
  Napi::FunctionReference seat_kill_class;
};

inline Module& module_of(Napi::Env env) { return *env.GetInstanceData<Module>(); }

}  // namespace mayfly::binding
