#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "blocks.hpp"
#include "deadline_timer.hpp"
#include "guest_memory.hpp"
#include "halt_sites.hpp"
#include "interrupt.hpp"
#include "outbox.hpp"
#include "shell.hpp"
#include "ring0.hpp"
#include "untouched.hpp"

namespace mayfly {

/** Where RIP stands at an OUT exit: differs between kinds of KVM, so each engine finds out once (kvm-facts B.5). */
enum class OutRip : uint8_t { AtInstruction, AfterInstruction };

/** One run on the slot's thread: enters the guest until an exit that somebody outside must see. */
class GuestRun {
 public:
  struct Parts {
    Shell& shell;
    GuestMemory& memory;
    Outbox& outbox;
    HaltSites& halt_sites;
    VirtualCpu& virtual_cpu;
    Interrupt& interrupt;
    const std::atomic<bool>& slot_stopping;
    DeadlineTimer& timer;
    OutRip out_rip;
  };
  struct Limits {
    uint64_t generation;   // of the call; 0 outside one
    uint64_t deadline_ns;  // CLOCK_MONOTONIC; 0: none
    bool traces = false;   // the guest's time is of interest
  };

  /** `untouched`: a touch of these not-present ranges settles as a page fault, whatever the guest would do with one. */
  GuestRun(Parts parts, Limits limits, Answer& answer, const Untouched* untouched = nullptr) noexcept
      : parts_(parts), limits_(limits), answer_(answer), untouched_(untouched) {}

  /**
   * The vCPU's state is set. Fills the answer's exit and outbox, and its registers unless the guest was stopped before it
   * was entered. @throws KvmError for host faults.
   */
  void until_settled();

  /** The guest stands at an OUT, from which a run without an entry goes on. */
  bool resumable() const noexcept { return resumable_; }
  /** The guest stands in a string OUT, an IN or an MMIO access, which has to be completed before memory and registers are set. */
  bool access_pending() const noexcept { return access_pending_; }
  /** The guest stands at an instruction that touches an `untouched` range, and has not executed it. */
  bool touched() const noexcept { return touched_; }

 private:
  enum class Next : bool { Enter, Settle };

  uint64_t guest_tsc() const noexcept;
  bool stopped();
  Next handle(const ExitInfo& exit);
  Next handle_out(const ExitInfo& exit);
  Next handle_exception(const ExitInfo& exit);
  Next handle_in_ring0(ExceptionFrame frame, uint64_t fault_address, GeneralRegisters registers);
  Next settle_halt(const GeneralRegisters& registers, uint64_t site);
  Next settle_unknown(const char* reason);
  std::optional<uint8_t> byte_at(uint64_t address) const noexcept;
  bool byte_is(uint64_t address, uint8_t value) const noexcept;
  /** Whether the OUT at which the guest stands is surely no string OUT. In doubt it is not. */
  bool is_plain_out(uint64_t rip, uint16_t port) const noexcept;
  bool is_patched_halt(const ExitInfo& exit, uint64_t* site) const noexcept;
  void patch_halt(uint64_t site);

  Parts parts_;
  Limits limits_;
  Answer& answer_;
  const Untouched* untouched_;
  bool touched_ = false;
  bool entered_ = false;
  bool resumable_ = false;
  bool access_pending_ = false;
};

}  // namespace mayfly
