#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "engine.hpp"
#include "wake.hpp"

namespace mayfly::binding {

/**
 * One engine. It lives until it is closed or its environment ends, whichever is first: the clean-up hook stops all
 * threads before the environment takes away what they call into.
 */
class DriverWrap : public Napi::ObjectWrap<DriverWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  /** (slots, spareShells, signalOffset, onWake) */
  explicit DriverWrap(const Napi::CallbackInfo& info);
  ~DriverWrap() override;

 private:
  static void on_environment_end(void* self);

  Napi::Value create_vm(const Napi::CallbackInfo& info);
  Napi::Value create_vm_from_snapshot(const Napi::CallbackInfo& info);
  Napi::Value drain(const Napi::CallbackInfo& info);
  Napi::Value detail(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  void finish(const Napi::CallbackInfo& info);
  void forget_hook() noexcept;
  /** @throws KvmError (DriverClosed) */
  Engine& engine() const;

  napi_env hook_env_ = nullptr;  // set while the clean-up hook is registered
  // Order of destruction: the engine's threads end before the way that they wake JavaScript by.
  std::shared_ptr<Wake> wake_;
  std::unique_ptr<Engine> engine_;
  std::vector<Completion> drained_;
};

}  // namespace mayfly::binding
