#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "../cell/kill_line.hpp"
#include "shared_kills.hpp"

namespace mayfly::binding {

/** The owner's end of kills of one VM of a cell from other threads: `share()`, `shut()`, `drop()`. */
class SeatKillWrap : public Napi::ObjectWrap<SeatKillWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Value create(Napi::Env env, std::shared_ptr<cell::KillLine> line, uint32_t seat);
  explicit SeatKillWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

 private:
  class Kill;

  Napi::Value share(const Napi::CallbackInfo& info);
  void shut(const Napi::CallbackInfo& info);
  void drop(const Napi::CallbackInfo& info);

  std::shared_ptr<Kill> kill_;
  std::optional<SharedKillEntry> entry_;
};

}  // namespace mayfly::binding
