#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "engine.hpp"
#include "request_builder.hpp"

namespace mayfly {

/**
 * The engine for callers that wait: posts an operation and blocks until it has ended. For C++ programs (tests,
 * benchmarks); JavaScript takes the completion list itself. One thread; all methods throw KvmError, also for what
 * an operation ended with.
 */
class SyncClient {
 public:
  explicit SyncClient(EngineOptions options = {});
  ~SyncClient();

  Engine& engine() noexcept { return *engine_; }

  std::shared_ptr<Vm> create_vm(std::shared_ptr<const Plan> plan, std::span<const Engine::Load> load);
  std::shared_ptr<Vm> create_vm(std::shared_ptr<const Snapshot> snapshot);
  /** Posts and waits. The answer is valid until the VM's next operation. */
  const Answer& run(Vm& vm, RequestBuilder& request);
  std::shared_ptr<const Snapshot> snapshot(Vm& vm);
  /** @returns null when the guest did anything else before it touched a range. */
  std::shared_ptr<const Snapshot> prime(Vm& vm, RequestBuilder& request, Untouched untouched);
  /** Restores, then compares. @returns pages that differ from the base. */
  uint64_t compare(Vm& vm);
  void restore(Vm& vm, std::shared_ptr<const Snapshot> snapshot);
  std::vector<uint8_t> get_state(Vm& vm, StateKind kind);
  void set_state(Vm& vm, StateKind kind, std::span<const uint8_t> bytes);
  void map_region(Vm& vm, std::shared_ptr<const Region> region);
  void unmap_region(Vm& vm, uint64_t address);
  void close(Vm& vm);

  /** Waits for the next completion of any VM and settles it. @throws nothing for a failed operation. */
  Completion next();

 private:
  Completion expect(OpKind op);

  std::mutex mutex_;
  std::condition_variable woken_;
  bool wake_ = false;  // under mutex_
  std::unique_ptr<Engine> engine_;
};

}  // namespace mayfly
