#include "driver_wrap.hpp"

#include <cstring>

#include "arguments.hpp"
#include "vm_wrap.hpp"

namespace mayfly::binding {
namespace {

// A record of `drain`: this header, then the answer of a run. `src/blocks.ts` reads it.
struct CompletionHeader {
  uint32_t vm;
  uint32_t op;
  uint32_t status;
  uint32_t reserved;
};
constexpr std::size_t kRecordBytes = sizeof(CompletionHeader) + sizeof(Answer);
static_assert(kRecordBytes == 512);

constexpr std::size_t kRegionNumbers = 3;

std::shared_ptr<const Plan> read_plan(Napi::Env env, const Napi::Value& memory_bytes, const Napi::Value& regions,
                                      const Napi::Value& output, const Napi::Value& ring0_table_bytes, bool supervisor) {
  const std::span<const double> numbers = to_doubles(regions);
  const std::span<const double> place = to_doubles(output);
  if (numbers.size() % kRegionNumbers != 0 || place.size() != 2) refuse(env, "malformed plan numbers");
  std::vector<PlannedRegion> list;
  for (std::size_t i = 0; i < numbers.size(); i += kRegionNumbers) {
    const uint64_t region_rights = to_u64(env, numbers[i + 2]);
    if (region_rights > rights::kAll) refuse(env, "unknown rights");
    list.push_back({to_u64(env, numbers[i]), to_u64(env, numbers[i + 1]), static_cast<uint32_t>(region_rights)});
  }
  std::optional<uint64_t> tables;
  if (!ring0_table_bytes.IsUndefined()) tables = to_u64(ring0_table_bytes);
  return Plan::create(to_u64(memory_bytes), std::move(list), {to_u64(env, place[0]), to_u64(env, place[1])}, tables,
                      supervisor);
}

}  // namespace

Napi::Function DriverWrap::define(Napi::Env env) {
  return DefineClass(env, "Driver",
                     {
                         InstanceMethod("createVm", &DriverWrap::create_vm),
                         InstanceMethod("createVmFromSnapshot", &DriverWrap::create_vm_from_snapshot),
                         InstanceMethod("drain", &DriverWrap::drain),
                         InstanceMethod("detail", &DriverWrap::detail),
                         InstanceMethod("close", &DriverWrap::close),
                         InstanceMethod("finish", &DriverWrap::finish),
                     });
}

DriverWrap::DriverWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Env env = info.Env();
  EngineOptions options;
  options.slots = to_u32(info[0]);
  options.spare_shells = options.recycled_vms = to_u32(info[1]);
  options.signal_offset = static_cast<int>(std::min<uint32_t>(to_u32(info[2]), 1000));
  if (!info[3].IsFunction()) refuse(env, "expected a function");
  wake_ = std::make_shared<Wake>(env, info[3].As<Napi::Function>());
  try {
    translated(env, [&] { engine_ = std::make_unique<Engine>(options, [wake = wake_.get()] { wake->call(); }); });
  } catch (...) {
    wake_->release();
    throw;
  }
  // Hooks run last in, first out: registered after the threadsafe function, ours stops the threads before Node
  // takes that function down.
  napi_add_env_cleanup_hook(env, on_environment_end, this);
  hook_env_ = env;
}

DriverWrap::~DriverWrap() { forget_hook(); }

void DriverWrap::forget_hook() noexcept {
  if (hook_env_ != nullptr) napi_remove_env_cleanup_hook(hook_env_, on_environment_end, this);
  hook_env_ = nullptr;
}

void DriverWrap::on_environment_end(void* self) {
  auto* driver = static_cast<DriverWrap*>(self);
  driver->hook_env_ = nullptr;  // a hook must not remove itself
  if (driver->engine_ == nullptr) return;
  try {
    driver->engine_->begin_stop();
    driver->engine_->finish_stop();
  } catch (const std::exception&) {
    // No thread for stopping could be made: the destructor of the engine has nothing better to try either.
  }
}

Engine& DriverWrap::engine() const {
  if (engine_ == nullptr) throw KvmError(ErrorCode::DriverClosed, "the driver is closed");
  return *engine_;
}

Napi::Value DriverWrap::create_vm(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::span<const double> addresses = to_doubles(info[3]);
  if (!info[4].IsArray()) refuse(env, "expected an array");
  const auto arrays = info[4].As<Napi::Array>();
  if (arrays.Length() != addresses.size()) refuse(env, "one address for each array of bytes");
  return translated(env, [&]() -> Napi::Value {
    const auto plan = read_plan(env, info[0], info[1], info[2], info[5], info[6].ToBoolean());
    std::vector<Engine::Load> load;
    for (uint32_t i = 0; i < arrays.Length(); i++)
      load.push_back({to_u64(env, addresses[i]), to_bytes(arrays.Get(i))});
    auto vm = engine().create_vm(plan, load);
    wake_->pending();
    return VmWrap::create(env, std::move(vm), wake_);
  });
}

Napi::Value DriverWrap::create_vm_from_snapshot(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&]() -> Napi::Value {
    auto vm = engine().create_vm(SnapshotWrap::unwrap(info[0]));
    wake_->pending();
    return VmWrap::create(info.Env(), std::move(vm), wake_);
  });
}

Napi::Value DriverWrap::drain(const Napi::CallbackInfo& info) {
  const std::span<uint8_t> records = to_bytes(info[0]);
  drained_.clear();
  std::size_t offset = 0;
  while (engine_ != nullptr && records.size() - offset >= kRecordBytes) {
    Completion completion;
    if (!engine_->completions().take(completion)) break;
    const bool answered = completion.op == OpKind::Run && completion.status == ErrorCode::None;
    const CompletionHeader header{completion.vm == nullptr ? 0 : completion.vm->id(),
                                  static_cast<uint32_t>(completion.op), static_cast<uint32_t>(completion.status), 0};
    // SAFETY: kRecordBytes are left behind `offset`, and a record is header and answer together.
    std::memcpy(records.data() + offset, &header, sizeof header);
    if (answered) std::memcpy(records.data() + offset + sizeof header, &completion.vm->answer(), sizeof(Answer));
    if (completion.vm != nullptr) completion.vm->settle(completion.op);
    wake_->done();
    drained_.push_back(std::move(completion));
    offset += kRecordBytes;
  }
  return Napi::Number::New(info.Env(), static_cast<double>(offset / kRecordBytes));
}

Napi::Value DriverWrap::detail(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const uint32_t index = to_u32(info[0]);
  Napi::Object result = Napi::Object::New(env);
  if (index >= drained_.size()) return result;
  Completion& completion = drained_[index];
  result.Set("text", Napi::String::New(env, completion.text));
  result.Set("errno", Napi::Number::New(env, completion.error_number));
  result.Set("count", Napi::Number::New(env, static_cast<double>(completion.count)));
  if (!completion.state.empty()) {
    Napi::Uint8Array state = Napi::Uint8Array::New(env, completion.state.size());
    std::memcpy(state.Data(), completion.state.data(), completion.state.size());
    result.Set("state", state);
  }
  if (completion.snapshot != nullptr)
    result.Set("snapshot", SnapshotWrap::create(env, std::move(completion.snapshot)));
  return result;
}

void DriverWrap::close(const Napi::CallbackInfo& info) {
  translated(info.Env(), [&] { engine().begin_stop(); });
  wake_->pending();
}

void DriverWrap::finish(const Napi::CallbackInfo&) {
  if (engine_ == nullptr) return;
  engine_->finish_stop();
  drained_.clear();
  // VMs that a script still holds are empty by now, and refuse by their stopped slot.
  engine_.reset();
  forget_hook();
  wake_->release();
}

}  // namespace mayfly::binding
