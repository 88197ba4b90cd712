#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <optional>

namespace mayfly::binding {

/** What ends a call of one VM from any thread of the process. It may outlive the VM, and its driver. */
class SharedKill {
 public:
  virtual ~SharedKill() = default;
  /** Ends this call if it is the active one. Never waits. */
  virtual void kill(uint64_t call) noexcept = 0;
  /** The VM is gone, as far as is known here. */
  virtual bool dropped() const noexcept = 0;
};

/**
 * Its place in the list of all of the process, where other JavaScript environments find it by a number. The list is the
 * addon's one global: its environments share nothing else. Taken out when this goes; whoever found it keeps it.
 */
class SharedKillEntry {
 public:
  explicit SharedKillEntry(std::shared_ptr<SharedKill> kill);
  ~SharedKillEntry();
  SharedKillEntry(const SharedKillEntry&) = delete;
  SharedKillEntry& operator=(const SharedKillEntry&) = delete;

  /** Never used twice. */
  uint64_t id() const noexcept { return id_; }
  SharedKill& kill() const noexcept { return *kill_; }

 private:
  std::shared_ptr<SharedKill> kill_;
  uint64_t id_;
};

/** A SharedKill as another environment has it: `kill(call)`, `dropped()`. */
class SharedKillWrap : public Napi::ObjectWrap<SharedKillWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  /** (id) @returns what has it, or undefined when its VM is gone. */
  static Napi::Value find(const Napi::CallbackInfo& info);
  explicit SharedKillWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

 private:
  void kill(const Napi::CallbackInfo& info);
  Napi::Value dropped(const Napi::CallbackInfo& info);

  std::shared_ptr<SharedKill> kill_;
};

}  // namespace mayfly::binding
