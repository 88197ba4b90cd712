#pragma once

#include <napi.h>

#include <cstdint>

namespace mayfly::binding {

/**
 * The way from the engine's threads to one JavaScript function, and what keeps the process alive meanwhile: the
 * event loop waits only while operations are pending.
 * JavaScript thread only, but for `call`.
 */
class Wake {
 public:
  Wake(Napi::Env env, Napi::Function on_wake)
      : env_(env), function_(Napi::ThreadSafeFunction::New(env, on_wake, "mayfly", 0, 1)) {
    function_.Unref(env_);
  }
  Wake(const Wake&) = delete;
  Wake& operator=(const Wake&) = delete;

  /** Any thread, until `release`. */
  void call() noexcept { napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking); }

  void pending() {
    if (pending_++ == 0) function_.Ref(env_);
  }
  void done() {
    if (--pending_ == 0) function_.Unref(env_);
  }
  void release() noexcept { function_.Release(); }

 private:
  Napi::Env env_;
  Napi::ThreadSafeFunction function_;
  uint32_t pending_ = 0;
};

}  // namespace mayfly::binding
