#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "completion.hpp"
#include "dirty_decay.hpp"
#include "guest_run.hpp"
#include "interrupt.hpp"
#include "untouched.hpp"
#include "vcpu_access.hpp"
#include "vm_block.hpp"
#include "vm_body.hpp"

namespace mayfly {

class Slot;

/** What the slot's thread lends to an operation. */
struct SlotTools {
  DeadlineTimer& timer;
  const std::atomic<bool>& stopping;
  OutRip out_rip;
};

/**
 * One VM, from the caller's side and from its slot's.
 *
 * Caller's thread: post_*, close, settle, read, write, answer. One operation at a time: `busy_` is set when it is
 * posted and cleared by `settle`, which the caller calls for each completion it takes. Between the two, everything
 * but `interrupt()` belongs to the slot's thread; the queue's and the list's mutexes order the hand-overs.
 */
class Vm : public std::enable_shared_from_this<Vm> {
 public:
  /** `body`: memory of a new guest, or all of one that was recycled for the snapshot that its creation is posted with. */
  Vm(uint32_t id, std::shared_ptr<Slot> slot, VmBody body);
  Vm(const Vm&) = delete;
  Vm& operator=(const Vm&) = delete;
  ~Vm();

  uint32_t id() const noexcept { return id_; }
  /** Of the slot that all of its operations run on. */
  uint32_t slot_index() const noexcept;
  Slot& slot() const noexcept { return *slot_; }
  const Plan& plan() const noexcept { return *plan_; }
  const std::shared_ptr<Interrupt>& interrupt() const noexcept { return interrupt_; }

  // Caller's thread. All throw KvmError (Busy, Closed, DriverClosed).
  /** `snapshot`: what a recycled VM starts as; absent for a new one, whose memory knows. */
  void post_create(std::shared_ptr<const Snapshot> snapshot = nullptr);
  /** A request block with its writes (blocks.hpp). @throws also Request, Range. */
  void post_run(std::span<const uint8_t> request);
  void post_snapshot();
  /** A request block with an entry and perhaps a deadline, no flags but kEntry. @throws also Request, Range. */
  void post_prime(std::span<const uint8_t> request, Untouched untouched);
  /** @throws also Request without a base. */
  void post_compare();
  /** @throws also SnapshotMismatch. */
  void post_restore(std::shared_ptr<const Snapshot> snapshot);
  void post_get_state(StateKind kind);
  /** @throws also Request for bytes that are no state of this kind. */
  void post_set_state(StateKind kind, std::span<const uint8_t> bytes);
  /** @throws also Region. */
  void post_map_region(std::shared_ptr<const Region> region);
  void post_unmap_region(uint64_t address);
  void end_call() noexcept { interrupt_->end_call(); }
  /**
   * Takes back a run that begins a call and has not begun itself: it settles as cancelled (kByRevoke), the VM as it
   * was. @returns false when it has begun, or when there is none: then nothing changes.
   */
  bool revoke();
  /**
   * Kills what runs and frees the VM. Idempotent. `notify`: whether a Close completion is wanted.
   * @returns whether one will come: not for a second close, nor when the engine is stopping and frees all itself.
   */
  bool close(bool notify);
  /** Frees the VM when nobody is left to wait for it. Never throws. */
  void abandon() noexcept;
  /** The completion of an operation was taken. */
  void settle(OpKind op) noexcept;
  /** @throws also Range. */
  void read(uint64_t address, std::span<uint8_t> bytes) const;
  void write(uint64_t address, std::span<const uint8_t> bytes);
  /** What is mapped beside guest memory. */
  const Regions& regions() const;
  /** Of the last run, valid until the next operation. */
  const Answer& answer() const noexcept { return block_->answer(); }
  /** Entries of the last run (blocks.hpp), valid until the next operation; empty while one is under way. */
  std::span<const uint8_t> outbox() const noexcept;

  // Slot's thread.
  Completion create(std::unique_ptr<Shell> shell);
  /** Instead of `create`: the body was recycled. */
  Completion create_recycled(std::shared_ptr<const Snapshot> snapshot);
  bool has_shell() const noexcept { return body_.shell != nullptr; }
  Completion run(const SlotTools& tools);
  Completion take_snapshot();
  /** The warm snapshot; none in the completion when the guest did anything else first. */
  Completion prime(const SlotTools& tools);
  Completion compare();
  Completion restore(std::shared_ptr<const Snapshot> snapshot);
  Completion get_state();
  Completion set_state();
  Completion set_regions();

  // Whoever took the VM's job from the slot's queue, or found none there.
  /** How an operation ends that never began. `flags`: of a run's answer. */
  Completion cancel_queued(OpKind op, uint32_t flags);
  /** Whether the run that is posted belongs to this call. */
  bool is_run_of(uint64_t generation) const noexcept { return run_generation_ == generation; }
  /** Takes the body out; the VM is dropped. */
  VmBody release() noexcept;
  bool wants_close_notice() const noexcept { return close_notice_; }

 private:
  void require_idle() const;
  void require_created() const;
  void adopt_vcpu(const Snapshot::Vcpu& vcpu);
  std::shared_ptr<const Snapshot> snapshot_here(bool resumable);
  void restore_base();
  /** What a snapshot keeps beside memory and the vCPU. Memory has been restored. */
  void adopt_bookkeeping(const Snapshot::Vcpu& vcpu);
  /** Takes back what the guest's own page tables were given; written pages are noted. */
  void take_given_pages();
  void apply_regions(const Regions& regions);
  void start_as(std::shared_ptr<const Snapshot> snapshot);
  void complete_access();
  /** Afterwards the vCPU itself holds the guest's state, with nothing half done, and `registers_` are the guest's. */
  void settle_vcpu();
  void load_vcpu(const VcpuState& state);
  void prepare(const Request& request);
  void prepare_supervisor(const Request& request);
  void run_request(const SlotTools& tools);
  uint64_t deadline_for(const Request& request);
  template <typename Operation>
  Completion guarded(OpKind op, Operation&& operation);

  const uint32_t id_;
  const std::shared_ptr<Slot> slot_;
  const std::shared_ptr<const Plan> plan_;
  const std::shared_ptr<Interrupt> interrupt_;
  // Apart from the body: the answer of a run may be read after the body went to the reaper.
  std::unique_ptr<VmBlock> block_;
  VmBody body_;

  // Caller's thread.
  bool busy_ = false;
  bool created_ = false;
  bool closed_ = false;
  bool close_notice_ = false;

  // Whoever owns the VM at the moment (see above).
  Untouched untouched_;
  uint64_t posted_ns_ = 0;
  uint64_t run_generation_ = 0;
  uint64_t deadline_generation_ = 0;
  uint64_t call_deadline_ns_ = 0;
  Outbox outbox_;
  HaltSites halt_sites_;
  VirtualCpu virtual_cpu_;
  DirtyDecay dirty_decay_;
  // Of the guest at its last exit; behind an OUT only after `settle_vcpu`.
  GeneralRegisters registers_ = kInitialRegisters;
  // A run without an entry may go on.
  bool resumable_ = false;
  // The vCPU has left an OUT, and has not been settled since.
  bool at_out_ = false;
  // The base's state waits behind the trampoline: the vCPU has not run since it was loaded.
  bool loaded_ = false;
  bool access_pending_ = false;
  StateKind state_kind_ = StateKind::General;
  std::vector<uint8_t> state_;  // to set
  Regions wanted_regions_;
  // Its caller has set registers: what they did to the vCPU may outlast an entry.
  bool state_set_ = false;
  // A host fault left the VM in a state that nobody can vouch for: it only closes.
  bool failed_ = false;
};

}  // namespace mayfly
