#include "shared_kills.hpp"

#include <mutex>
#include <unordered_map>

#include "arguments.hpp"
#include "module.hpp"

namespace mayfly::binding {
namespace {

struct List {
  std::mutex mutex;
  uint64_t last_id = 0;                                         // under mutex
  std::unordered_map<uint64_t, std::shared_ptr<SharedKill>> by_id;  // under mutex
};

List& list() {
  // Never destroyed: threads of other environments may still look while the process ends.
  static List* const all = new List();
  return *all;
}

}  // namespace

SharedKillEntry::SharedKillEntry(std::shared_ptr<SharedKill> kill) : kill_(std::move(kill)) {
  const std::lock_guard lock(list().mutex);
  id_ = ++list().last_id;
  list().by_id.emplace(id_, kill_);
}

SharedKillEntry::~SharedKillEntry() {
  const std::lock_guard lock(list().mutex);
  list().by_id.erase(id_);
}

Napi::Function SharedKillWrap::define(Napi::Env env) {
  return DefineClass(env, "SharedKill",
                     {
                         InstanceMethod("kill", &SharedKillWrap::kill),
                         InstanceMethod("dropped", &SharedKillWrap::dropped),
                     });
}

Napi::Value SharedKillWrap::find(const Napi::CallbackInfo& info) {
  const uint64_t id = to_u64(info[0]);
  std::shared_ptr<SharedKill> kill;
  {
    const std::lock_guard lock(list().mutex);
    const auto found = list().by_id.find(id);
    if (found == list().by_id.end()) return info.Env().Undefined();
    kill = found->second;
  }
  Napi::Object object = module_of(info.Env()).shared_kill_class.New({});
  Unwrap(object)->kill_ = std::move(kill);
  return object;
}

void SharedKillWrap::kill(const Napi::CallbackInfo& info) {
  const uint64_t call = to_u64(info[0]);
  if (kill_ != nullptr) kill_->kill(call);
}

Napi::Value SharedKillWrap::dropped(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), kill_ == nullptr || kill_->dropped());
}

}  // namespace mayfly::binding
