#include "seat_kill_wrap.hpp"

#include <atomic>

#include "arguments.hpp"
#include "module.hpp"

namespace mayfly::binding {

class SeatKillWrap::Kill final : public SharedKill {
 public:
  Kill(std::shared_ptr<cell::KillLine> line, uint32_t seat) noexcept : seat_(std::move(line), seat) {}

  void kill(uint64_t call) noexcept override { seat_.kill(call); }
  bool dropped() const noexcept override { return dropped_.load(std::memory_order_acquire); }
  void shut() noexcept { seat_.shut(); }
  void drop() noexcept {
    seat_.shut();
    dropped_.store(true, std::memory_order_release);
  }

 private:
  cell::SeatKill seat_;
  std::atomic<bool> dropped_{false};
};

Napi::Function SeatKillWrap::define(Napi::Env env) {
  return DefineClass(env, "SeatKill",
                     {
                         InstanceMethod("share", &SeatKillWrap::share),
                         InstanceMethod("shut", &SeatKillWrap::shut),
                         InstanceMethod("drop", &SeatKillWrap::drop),
                     });
}

Napi::Value SeatKillWrap::create(Napi::Env env, std::shared_ptr<cell::KillLine> line, uint32_t seat) {
  Napi::Object object = module_of(env).seat_kill_class.New({});
  SeatKillWrap* wrap = Unwrap(object);
  wrap->kill_ = std::make_shared<Kill>(std::move(line), seat);
  wrap->entry_.emplace(wrap->kill_);
  return object;
}

Napi::Value SeatKillWrap::share(const Napi::CallbackInfo& info) {
  if (!entry_) refuse(info.Env(), "not a kill of a cell");
  return Napi::Number::New(info.Env(), static_cast<double>(entry_->id()));
}

void SeatKillWrap::shut(const Napi::CallbackInfo&) {
  if (kill_ != nullptr) kill_->shut();
}

void SeatKillWrap::drop(const Napi::CallbackInfo&) {
  if (kill_ != nullptr) kill_->drop();
}

}  // namespace mayfly::binding
