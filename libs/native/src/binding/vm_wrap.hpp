#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "shared_kills.hpp"
#include "vm.hpp"
#include "wake.hpp"

namespace mayfly::binding {

/** The interrupt handle of a VM: usable after the VM, from any environment that has it. */
class InterruptWrap : public Napi::ObjectWrap<InterruptWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Value create(Napi::Env env, std::shared_ptr<Interrupt> interrupt);
  explicit InterruptWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

 private:
  Napi::Value kill(const Napi::CallbackInfo& info);
  Napi::Value dropped(const Napi::CallbackInfo& info);
  Napi::Value call_active(const Napi::CallbackInfo& info);
  Napi::Value generation(const Napi::CallbackInfo& info);
  /** @returns the number by which `sharedKill` finds it in any environment of the process, while this wrap lives. */
  Napi::Value share(const Napi::CallbackInfo& info);

  std::shared_ptr<Interrupt> interrupt_;
  std::optional<SharedKillEntry> entry_;
};

class SnapshotWrap : public Napi::ObjectWrap<SnapshotWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Value create(Napi::Env env, std::shared_ptr<const Snapshot> snapshot);
  /** @throws TypeError for anything else, KvmError (Closed) when it was closed. */
  static std::shared_ptr<const Snapshot> unwrap(const Napi::Value& value);
  explicit SnapshotWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

 private:
  Napi::Value memory_bytes(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo&) { snapshot_.reset(); }

  std::shared_ptr<const Snapshot> snapshot_;
};

/** One VM. A wrap that is collected closes its VM. */
class VmWrap : public Napi::ObjectWrap<VmWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Value create(Napi::Env env, std::shared_ptr<Vm> vm, std::shared_ptr<Wake> wake);
  explicit VmWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
  ~VmWrap() override;

 private:
  Napi::Value id(const Napi::CallbackInfo& info);
  Napi::Value slot(const Napi::CallbackInfo& info);
  Napi::Value interrupt(const Napi::CallbackInfo& info);
  Napi::Value outbox(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  void run(const Napi::CallbackInfo& info);
  void snapshot(const Napi::CallbackInfo& info);
  void restore(const Napi::CallbackInfo& info);
  /** (request, length, ranges: address and length of each, flat) */
  void prime(const Napi::CallbackInfo& info);
  void compare(const Napi::CallbackInfo& info);
  /** (StateKind) */
  void get_state(const Napi::CallbackInfo& info);
  /** (StateKind, bytes) */
  void set_state(const Napi::CallbackInfo& info);
  /** (address, length or 0, rights, bytes or descriptor, offset) */
  Napi::Value map_region(const Napi::CallbackInfo& info);
  void unmap_region(const Napi::CallbackInfo& info);
  /** Address, length and rights of each, flat. */
  Napi::Value regions(const Napi::CallbackInfo& info);
  void read(const Napi::CallbackInfo& info);
  void write(const Napi::CallbackInfo& info);
  void end_call(const Napi::CallbackInfo& info) { vm(info).end_call(); }
  Napi::Value revoke(const Napi::CallbackInfo& info);
  /** @throws TypeError for a wrap that a script made by itself. */
  Vm& vm(const Napi::CallbackInfo& info) const;

  std::shared_ptr<Vm> vm_;
  std::shared_ptr<Wake> wake_;
};

}  // namespace mayfly::binding
