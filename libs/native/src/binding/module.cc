#include "module.hpp"

#include "cell_wrap.hpp"
#include "driver_wrap.hpp"
#include "seat_kill_wrap.hpp"
#include "shared_kills.hpp"
#include "vm_wrap.hpp"

namespace mayfly::binding {
namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* module = new Module();  // owned by the environment, which deletes it at its end
  env.SetInstanceData(module);
  module->vm_class = Napi::Persistent(VmWrap::define(env));
  module->snapshot_class = Napi::Persistent(SnapshotWrap::define(env));
  module->interrupt_class = Napi::Persistent(InterruptWrap::define(env));
  module->shared_kill_class = Napi::Persistent(SharedKillWrap::define(env));
  module->seat_kill_class = Napi::Persistent(SeatKillWrap::define(env));
  exports.Set("sharedKill", Napi::Function::New(env, SharedKillWrap::find, "sharedKill"));
  exports.Set("Driver", DriverWrap::define(env));
  exports.Set("Cell", CellWrap::define(env));
  return exports;
}

}  // namespace
}  // namespace mayfly::binding

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) {
  return mayfly::binding::init(env, exports);
}
NODE_API_MODULE(mayfly, init_addon)
