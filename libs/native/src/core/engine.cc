// DESIGN
// Threads: the caller's (JavaScript's), one per slot, `mf-shells`, `mf-reaper`, and for a moment `mf-stop`.
// Way of an operation: caller -> slot's queue -> slot thread -> completion list -> caller; a close passes the
// reaper before its completion. Members are declared in the order in which the threads need each other, so that
// destruction ends slots before what they use.

#include "engine.hpp"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "kick.hpp"
#include "kvm_backend.hpp"
#include "probe.hpp"

namespace mayfly {
namespace {

constexpr uint32_t kMaxSlots = 256;
constexpr uint32_t kMaxSpareShells = 64;
constexpr std::size_t kMinSweep = 64;

EngineOptions checked(EngineOptions options) {
  if (options.slots < 1 || options.slots > kMaxSlots) throw KvmError(ErrorCode::Option, "slots must be 1 to 256");
  if (options.spare_shells > kMaxSpareShells) throw KvmError(ErrorCode::Option, "spareShells must be 0 to 64");
  if (options.recycled_vms > kMaxSpareShells) throw KvmError(ErrorCode::Option, "recycledVms must be 0 to 64");
  return options;
}

}  // namespace

Engine::Engine(EngineOptions options, std::function<void()> wake)
    : backend_((checked(options), open_kvm_backend(options.kvm_fd))),
      kick_signal_(install_kick_signal(options.signal_offset)),
      out_rip_(probe_backend(*backend_)),
      completions_(std::move(wake)),
      recycled_(options.recycled_vms),
      reaper_(completions_, recycled_, options.thread_ready),
      shells_(*backend_, options.spare_shells, options.thread_ready) {
  for (uint32_t i = 0; i < options.slots; i++)
    slots_.push_back(
        std::make_shared<Slot>(i, SlotServices{completions_, shells_, reaper_, out_rip_, kick_signal_, options.inlet,
                                               options.thread_ready}));
}

Engine::~Engine() {
  begin_stop();
  finish_stop();
}

std::shared_ptr<Vm> Engine::create_vm(std::shared_ptr<const Plan> plan, std::span<const Load> load) {
  auto memory = std::make_unique<GuestMemory>(std::move(plan));
  for (const Load& item : load) {
    if (!memory->plan().contains(item.address, item.bytes.size()))
      throw KvmError(ErrorCode::Plan, "bytes to load end outside guest memory");
    memory->write(item.address, item.bytes);
  }
  return place(idlest_slot(), {std::move(memory), nullptr, std::nullopt});
}

std::shared_ptr<Vm> Engine::create_vm(std::shared_ptr<const Snapshot> snapshot) {
  const auto& slot = idlest_slot();
  VmBody recycled = recycled_.take(*snapshot->plan(), slot->index());
  if (recycled.shell != nullptr) return place(slot, std::move(recycled), std::move(snapshot));
  return place(slot, {std::make_unique<GuestMemory>(std::move(snapshot)), nullptr, std::nullopt});
}

const std::shared_ptr<Slot>& Engine::idlest_slot() {
  if (stopping_) throw KvmError(ErrorCode::DriverClosed, "the driver is closed");
  const auto pressure = [](const Slot& slot) { return std::pair(slot.backlog(), slot.load()); };
  return *std::min_element(slots_.begin(), slots_.end(), [&](const auto& a, const auto& b) {
    return pressure(*a) < pressure(*b);
  });
}

std::shared_ptr<Vm> Engine::place(const std::shared_ptr<Slot>& slot, VmBody body,
                                  std::shared_ptr<const Snapshot> snapshot) {
  auto vm = std::make_shared<Vm>(next_id_++, slot, std::move(body));
  {
    const std::lock_guard lock(vms_mutex_);
    // Swept whenever it has doubled, so that a creation stays cheap on the average.
    if (vms_.size() >= sweep_at_) {
      std::erase_if(vms_, [](const auto& entry) { return entry.second.expired(); });
      sweep_at_ = std::max(kMinSweep, 2 * vms_.size());
    }
    vms_.emplace(vm->id(), vm);
  }
  vm->post_create(std::move(snapshot));
  return vm;
}

void Engine::begin_stop() {
  if (stopping_) return;
  stopping_ = true;
  // Here, not on the stop thread: from now on the caller's methods of every VM refuse, and their memory can go.
  for (const auto& slot : slots_) slot->request_stop();
  stop_thread_ = std::thread([this] { run_stop(); });
}

void Engine::finish_stop() {
  if (stop_thread_.joinable()) stop_thread_.join();
}

void Engine::run_stop() {
  ::pthread_setname_np(::pthread_self(), "mf-stop");
  block_signals(0);
  for (const auto& slot : slots_) slot->stop();
  shells_.stop();
  {
    const std::lock_guard lock(vms_mutex_);
    for (const auto& [id, weak] : vms_)
      if (const auto vm = weak.lock()) reaper_.free(vm->release(), Completion{});
  }
  reaper_.stop();
  recycled_.clear();
  completions_.push({nullptr, OpKind::EngineClosed, ErrorCode::None, 0, {}, nullptr, 0});
}

}  // namespace mayfly
