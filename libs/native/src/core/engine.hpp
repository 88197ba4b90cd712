#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include "backend.hpp"
#include "completion.hpp"
#include "inlet.hpp"
#include "reaper.hpp"
#include "recycled_vms.hpp"
#include "shell_pool.hpp"
#include "slot.hpp"
#include "thread_role.hpp"
#include "vm.hpp"

namespace mayfly {

struct EngineOptions {
  /** vCPU threads, and with them calls that run at once: 1 to 256. */
  uint32_t slots = 1;
  /** VM shells made ahead: 0 to 64. */
  uint32_t spare_shells = 2;
  /** Closed VMs kept clean for the next sandbox of their image: 0 to 64. */
  uint32_t recycled_vms = 0;
  /** The kick signal is SIGRTMIN + this. */
  int signal_offset = 0;
  /** A descriptor of /dev/kvm that was opened before, which the engine closes; -1: it opens the device itself. */
  int kvm_fd = -1;
  /** Outlives the engine. Null: the caller's thread posts everything. */
  Inlet* inlet = nullptr;
  ThreadHook thread_ready = {};
};

/**
 * The core as a whole: a backend, slots, spare shells, the reaper, and the VMs between them.
 *
 * All methods are the caller's thread's; completions come from the list, VM by VM and in order of ending.
 */
class Engine {
 public:
  /**
   * Opens KVM and runs a probe guest, which shows that this host can do what the rest builds on and which
   * convention its OUT exits have.
   * @throws KvmError (NoHypervisor, Option)
   */
  Engine(EngineOptions options, std::function<void()> wake);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  struct Load {
    uint64_t address;
    std::span<const uint8_t> bytes;
  };

  /** Places the bytes and posts the creation. @throws KvmError (Plan, DriverClosed) */
  std::shared_ptr<Vm> create_vm(std::shared_ptr<const Plan> plan, std::span<const Load> load);
  /** A VM that starts as the snapshot. @throws KvmError (DriverClosed) */
  std::shared_ptr<Vm> create_vm(std::shared_ptr<const Snapshot> snapshot);

  CompletionList& completions() noexcept { return completions_; }
  OutRip out_rip() const noexcept { return out_rip_; }
  RecycledVms::Counts recycled() const { return recycled_.counts(); }

  /** Cancels all runs, ends all threads, frees all VMs, then completes with EngineClosed. Idempotent. */
  void begin_stop();
  /** Waits for what begin_stop began. */
  void finish_stop();

 private:
  const std::shared_ptr<Slot>& idlest_slot();
  std::shared_ptr<Vm> place(const std::shared_ptr<Slot>& slot, VmBody body,
                            std::shared_ptr<const Snapshot> snapshot = nullptr);
  void run_stop();

  const std::unique_ptr<Backend> backend_;
  const int kick_signal_;
  const OutRip out_rip_;
  CompletionList completions_;
  RecycledVms recycled_;
  Reaper reaper_;
  ShellPool shells_;
  std::vector<std::shared_ptr<Slot>> slots_;
  std::mutex vms_mutex_;
  // Caller's thread adds, the stop thread reads: under vms_mutex_. Weak: a VM belongs to its user.
  std::unordered_map<uint32_t, std::weak_ptr<Vm>> vms_;
  std::size_t sweep_at_ = 64;
  uint32_t next_id_ = 1;
  bool stopping_ = false;
  std::thread stop_thread_;
};

}  // namespace mayfly
