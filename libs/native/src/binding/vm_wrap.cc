#include "vm_wrap.hpp"

#include <cstring>

#include "arguments.hpp"
#include "module.hpp"

namespace mayfly::binding {
namespace {

constexpr napi_type_tag kSnapshotTag = {0x6d61796c79736e61, 0x70686f7400000001};

constexpr std::size_t kRegionNumbers = 3;

StateKind to_state_kind(const Napi::Value& value) {
  const uint32_t kind = to_u32(value);
  if (kind > static_cast<uint32_t>(StateKind::Fpu)) refuse(value.Env(), "no such kind of state");
  return static_cast<StateKind>(kind);
}

class VmKill final : public SharedKill {
 public:
  explicit VmKill(std::shared_ptr<Interrupt> interrupt) noexcept : interrupt_(std::move(interrupt)) {}
  void kill(uint64_t call) noexcept override { interrupt_->kill(call); }
  bool dropped() const noexcept override { return interrupt_->dropped(); }

 private:
  const std::shared_ptr<Interrupt> interrupt_;
};

}  // namespace

Napi::Function InterruptWrap::define(Napi::Env env) {
  return DefineClass(env, "Interrupt",
                     {
                         InstanceMethod("kill", &InterruptWrap::kill),
                         InstanceMethod("dropped", &InterruptWrap::dropped),
                         InstanceMethod("callActive", &InterruptWrap::call_active),
                         InstanceMethod("generation", &InterruptWrap::generation),
                         InstanceMethod("share", &InterruptWrap::share),
                     });
}

Napi::Value InterruptWrap::create(Napi::Env env, std::shared_ptr<Interrupt> interrupt) {
  Napi::Object object = module_of(env).interrupt_class.New({});
  Unwrap(object)->interrupt_ = std::move(interrupt);
  return object;
}

Napi::Value InterruptWrap::kill(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), interrupt_ != nullptr && interrupt_->kill());
}
Napi::Value InterruptWrap::dropped(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), interrupt_ == nullptr || interrupt_->dropped());
}
Napi::Value InterruptWrap::call_active(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), interrupt_ != nullptr && interrupt_->call_active());
}
Napi::Value InterruptWrap::generation(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), interrupt_ == nullptr ? uint64_t{0} : interrupt_->generation());
}

Napi::Value InterruptWrap::share(const Napi::CallbackInfo& info) {
  if (interrupt_ == nullptr) refuse(info.Env(), "not an interrupt of a VM");
  if (!entry_) entry_.emplace(std::make_shared<VmKill>(interrupt_));
  return Napi::Number::New(info.Env(), static_cast<double>(entry_->id()));
}

Napi::Function SnapshotWrap::define(Napi::Env env) {
  return DefineClass(env, "Snapshot",
                     {
                         InstanceMethod("memoryBytes", &SnapshotWrap::memory_bytes),
                         InstanceMethod("close", &SnapshotWrap::close),
                     });
}

Napi::Value SnapshotWrap::create(Napi::Env env, std::shared_ptr<const Snapshot> snapshot) {
  Napi::Object object = module_of(env).snapshot_class.New({});
  object.TypeTag(&kSnapshotTag);
  Unwrap(object)->snapshot_ = std::move(snapshot);
  return object;
}

std::shared_ptr<const Snapshot> SnapshotWrap::unwrap(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kSnapshotTag))
    refuse(value.Env(), "expected a snapshot");
  std::shared_ptr<const Snapshot> snapshot = Unwrap(value.As<Napi::Object>())->snapshot_;
  if (snapshot == nullptr) throw KvmError(ErrorCode::Closed, "the snapshot is closed");
  return snapshot;
}

Napi::Value SnapshotWrap::memory_bytes(const Napi::CallbackInfo& info) {
  const double bytes = snapshot_ == nullptr ? 0 : static_cast<double>(snapshot_->plan()->memory_bytes());
  return Napi::Number::New(info.Env(), bytes);
}

Napi::Function VmWrap::define(Napi::Env env) {
  return DefineClass(env, "Vm",
                     {
                         InstanceMethod("id", &VmWrap::id),
                         InstanceMethod("slot", &VmWrap::slot),
                         InstanceMethod("interrupt", &VmWrap::interrupt),
                         InstanceMethod("run", &VmWrap::run),
                         InstanceMethod("snapshot", &VmWrap::snapshot),
                         InstanceMethod("restore", &VmWrap::restore),
                         InstanceMethod("prime", &VmWrap::prime),
                         InstanceMethod("compare", &VmWrap::compare),
                         InstanceMethod("getState", &VmWrap::get_state),
                         InstanceMethod("setState", &VmWrap::set_state),
                         InstanceMethod("mapRegion", &VmWrap::map_region),
                         InstanceMethod("unmapRegion", &VmWrap::unmap_region),
                         InstanceMethod("regions", &VmWrap::regions),
                         InstanceMethod("read", &VmWrap::read),
                         InstanceMethod("write", &VmWrap::write),
                         InstanceMethod("outbox", &VmWrap::outbox),
                         InstanceMethod("endCall", &VmWrap::end_call),
                         InstanceMethod("revoke", &VmWrap::revoke),
                         InstanceMethod("close", &VmWrap::close),
                     });
}

Napi::Value VmWrap::create(Napi::Env env, std::shared_ptr<Vm> vm, std::shared_ptr<Wake> wake) {
  Napi::Object object = module_of(env).vm_class.New({});
  VmWrap* wrap = Unwrap(object);
  wrap->vm_ = std::move(vm);
  wrap->wake_ = std::move(wake);
  return object;
}

VmWrap::~VmWrap() {
  // Frees what nobody closed. At the end of the environment the engine has stopped, and there is nothing to post.
  if (vm_ != nullptr) vm_->abandon();
}

Vm& VmWrap::vm(const Napi::CallbackInfo& info) const {
  if (vm_ == nullptr) refuse(info.Env(), "not a VM of a driver");
  return *vm_;
}

Napi::Value VmWrap::id(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), vm(info).id()); }

Napi::Value VmWrap::slot(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), vm(info).slot_index());
}

Napi::Value VmWrap::interrupt(const Napi::CallbackInfo& info) {
  return InterruptWrap::create(info.Env(), vm(info).interrupt());
}

void VmWrap::run(const Napi::CallbackInfo& info) {
  const std::span<uint8_t> bytes = to_bytes(info[0]);
  const uint64_t length = to_u64(info[1]);
  if (length > bytes.size()) refuse(info.Env(), "the request is longer than its array");
  translated(info.Env(), [&] { vm(info).post_run(bytes.first(length)); });
  wake_->pending();
}

void VmWrap::snapshot(const Napi::CallbackInfo& info) {
  translated(info.Env(), [&] { vm(info).post_snapshot(); });
  wake_->pending();
}

void VmWrap::restore(const Napi::CallbackInfo& info) {
  translated(info.Env(), [&] { vm(info).post_restore(SnapshotWrap::unwrap(info[0])); });
  wake_->pending();
}

void VmWrap::prime(const Napi::CallbackInfo& info) {
  const std::span<uint8_t> bytes = to_bytes(info[0]);
  const uint64_t length = to_u64(info[1]);
  const std::span<const double> numbers = to_doubles(info[2]);
  if (length > bytes.size()) refuse(info.Env(), "the request is longer than its array");
  if (numbers.size() % 2 != 0) refuse(info.Env(), "a range has two numbers");
  Untouched untouched;
  for (std::size_t i = 0; i < numbers.size(); i += 2)
    untouched.push_back({to_u64(info.Env(), numbers[i]), to_u64(info.Env(), numbers[i + 1])});
  translated(info.Env(), [&] { vm(info).post_prime(bytes.first(length), std::move(untouched)); });
  wake_->pending();
}

void VmWrap::compare(const Napi::CallbackInfo& info) {
  translated(info.Env(), [&] { vm(info).post_compare(); });
  wake_->pending();
}

void VmWrap::get_state(const Napi::CallbackInfo& info) {
  const StateKind kind = to_state_kind(info[0]);
  translated(info.Env(), [&] { vm(info).post_get_state(kind); });
  wake_->pending();
}

void VmWrap::set_state(const Napi::CallbackInfo& info) {
  const StateKind kind = to_state_kind(info[0]);
  const std::span<const uint8_t> bytes = to_bytes(info[1]);
  translated(info.Env(), [&] { vm(info).post_set_state(kind, bytes); });
  wake_->pending();
}

Napi::Value VmWrap::map_region(const Napi::CallbackInfo& info) {
  const PlannedRegion place{to_u64(info[0]), to_u64(info[1]), to_u32(info[2])};
  const auto region = translated(info.Env(), [&] {
    if (!info[3].IsNumber()) return Region::of_bytes(place, to_bytes(info[3]));
    const uint32_t fd = to_u32(info[3]);
    if (fd > INT32_MAX) refuse(info.Env(), "no descriptor");
    return Region::of_file(place, static_cast<int>(fd), to_u64(info[4]));
  });
  translated(info.Env(), [&] { vm(info).post_map_region(region); });
  wake_->pending();
  return Napi::Number::New(info.Env(), static_cast<double>(region->place().length_bytes));
}

void VmWrap::unmap_region(const Napi::CallbackInfo& info) {
  const uint64_t address = to_u64(info[0]);
  translated(info.Env(), [&] { vm(info).post_unmap_region(address); });
  wake_->pending();
}

Napi::Value VmWrap::regions(const Napi::CallbackInfo& info) {
  const Regions& regions = translated(info.Env(), [&]() -> const Regions& { return vm(info).regions(); });
  Napi::Float64Array numbers = Napi::Float64Array::New(info.Env(), regions.size() * kRegionNumbers);
  for (std::size_t i = 0; i < regions.size(); i++) {
    const PlannedRegion& place = regions[i]->place();
    numbers[i * kRegionNumbers] = static_cast<double>(place.address);
    numbers[i * kRegionNumbers + 1] = static_cast<double>(place.length_bytes);
    numbers[i * kRegionNumbers + 2] = place.rights;
  }
  return numbers;
}

void VmWrap::read(const Napi::CallbackInfo& info) {
  const uint64_t address = to_u64(info[0]);
  const std::span<uint8_t> target = to_bytes(info[1]);
  translated(info.Env(), [&] { vm(info).read(address, target); });
}

void VmWrap::write(const Napi::CallbackInfo& info) {
  const uint64_t address = to_u64(info[0]);
  const std::span<uint8_t> bytes = to_bytes(info[1]);
  translated(info.Env(), [&] { vm(info).write(address, bytes); });
}

Napi::Value VmWrap::outbox(const Napi::CallbackInfo& info) {
  const std::span<const uint8_t> bytes = translated(info.Env(), [&] { return vm(info).outbox(); });
  Napi::Uint8Array copy = Napi::Uint8Array::New(info.Env(), bytes.size());
  if (!bytes.empty()) std::memcpy(copy.Data(), bytes.data(), bytes.size());
  return copy;
}

Napi::Value VmWrap::revoke(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), translated(info.Env(), [&] { return vm(info).revoke(); }));
}

Napi::Value VmWrap::close(const Napi::CallbackInfo& info) {
  const bool notified = translated(info.Env(), [&] { return vm(info).close(true); });
  if (notified) wake_->pending();
  return Napi::Boolean::New(info.Env(), notified);
}

}  // namespace mayfly::binding
