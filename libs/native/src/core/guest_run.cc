// DESIGN
// The vCPU thread's loop. What needs nobody outside stays here: interrupted entries without a kill, #AC, the
// halt and its patched site, the outbox, and what ring 0 would do for a guest that was built for it. Order before each entry: clear `immediate_exit`, THEN look at kill, stop
// and deadline, THEN enter. A signal that comes after the clearing ends the entry; one before it is seen by the look.
// Everything read from the guest (frame, registers, bytes at RIP, buffers) is taken as hostile.

#include "guest_run.hpp"

#include <algorithm>
#include <cstring>

#include "clock.hpp"

namespace mayfly {
namespace {

constexpr uint32_t kInvalidOpcode = 6;
constexpr uint32_t kGeneralProtection = 13;
constexpr uint32_t kPageFault = 14;
constexpr uint32_t kAlignmentCheck = 17;
constexpr uint64_t kFaultPresent = 1 << 0;
constexpr uint64_t kFaultFetch = 1 << 4;

constexpr bool is_string_out(uint8_t opcode) noexcept { return opcode == 0x6e || opcode == 0x6f; }
constexpr bool is_out_immediate(uint8_t opcode) noexcept { return opcode == 0xe6 || opcode == 0xe7; }
constexpr bool is_out_dx(uint8_t opcode) noexcept { return opcode == 0xee || opcode == 0xef; }
/** Legacy and REX prefixes, those that mean nothing to an OUT, too. */
constexpr bool is_prefix(uint8_t byte) noexcept {
  switch (byte) {
    case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x66: case 0x67:
    case 0xf0: case 0xf2: case 0xf3:
      return true;
    default:
      return (byte & 0xf0) == 0x40;
  }
}

/** Publishes the vCPU to the thread's signal handler for the length of a run. */
class KickFlagScope {
 public:
  explicit KickFlagScope(volatile uint8_t* flag) noexcept { set_kick_flag(flag); }
  ~KickFlagScope() { set_kick_flag(nullptr); }
  KickFlagScope(const KickFlagScope&) = delete;
  KickFlagScope& operator=(const KickFlagScope&) = delete;
};

class RunningScope {
 public:
  explicit RunningScope(Interrupt& interrupt) noexcept : interrupt_(interrupt) { interrupt_.enter_run(); }
  ~RunningScope() { interrupt_.leave_run(); }
  RunningScope(const RunningScope&) = delete;
  RunningScope& operator=(const RunningScope&) = delete;

 private:
  Interrupt& interrupt_;
};

void put_reason(Answer& answer, const char* text) noexcept {
  std::strncpy(answer.reason, text, kReasonBytes - 1);
  answer.reason[kReasonBytes - 1] = '\0';
}

}  // namespace

void GuestRun::until_settled() {
  BackendVm& vm = parts_.shell.vm();
  volatile uint8_t* const kick_flag = vm.kick_flag();
  const KickFlagScope kick_scope(kick_flag);
  const RunningScope running_scope(parts_.interrupt);
  ExitInfo exit{};
  answer_.entered_ns = static_cast<double>(monotonic_ns());
  answer_.entered_tsc = guest_tsc();
  for (;;) {
    *kick_flag = 0;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (stopped()) break;
    access_pending_ = false;
    vm.run(exit);
    entered_ = true;
    if (exit.kind == BackendExit::Interrupted) continue;
    answer_.exits++;
    if (handle(exit) == Next::Settle) break;
  }
  *kick_flag = 0;
  answer_.left_tsc = guest_tsc();
  answer_.left_ns = static_cast<double>(monotonic_ns());
  parts_.outbox.report(answer_);
}

uint64_t GuestRun::guest_tsc() const noexcept {
  return limits_.traces ? host_tsc() + parts_.shell.vm().tsc_offset() : 0;
}

bool GuestRun::stopped() {
  uint32_t flags = 0;
  if (limits_.deadline_ns != 0) {
    const uint64_t now = monotonic_ns();
    if (now >= limits_.deadline_ns)
      flags = answer_flags::kByDeadline;
    else
      parts_.timer.ensure(limits_.deadline_ns, now);
  }
  const bool killed = parts_.interrupt.must_stop(limits_.generation) ||
                      parts_.slot_stopping.load(std::memory_order_seq_cst);
  if (!killed && flags == 0) return false;
  answer_.exit = ExitKind::Cancelled;
  answer_.flags = killed ? 0 : flags;
  if (entered_) {
    answer_.registers = parts_.shell.vm().registers();
    if (!parts_.memory.plan().supervisor())
      answer_.registers = parts_.shell.monitor().behind_stub(answer_.registers);
  }
  return true;
}

GuestRun::Next GuestRun::handle(const ExitInfo& exit) {
  const bool supervisor = parts_.memory.plan().supervisor();
  if (!supervisor && exit.kind == BackendExit::IoOut && exit.privilege_level != 3) return handle_exception(exit);
  answer_.registers = parts_.shell.vm().registers();
  switch (exit.kind) {
    case BackendExit::IoOut: {
      const uint64_t rip = answer_.registers.rip;
      const Next next = handle_out(exit);
      // Half done: what is loaded over a string OUT would be stepped on when KVM goes on with it.
      access_pending_ = next == Next::Settle && !is_plain_out(rip, exit.port);
      return next;
    }
    case BackendExit::IoIn:
      answer_.exit = ExitKind::IoIn;
      answer_.number = exit.port;
      answer_.size_bytes = exit.size_bytes;
      access_pending_ = true;
      return Next::Settle;
    case BackendExit::Mmio:
      answer_.exit = ExitKind::Mmio;
      answer_.address = exit.address;
      answer_.size_bytes = exit.size_bytes;
      answer_.flags = exit.write ? answer_flags::kMmioWrite : 0;
      access_pending_ = true;
      return Next::Settle;
    case BackendExit::Shutdown:
      answer_.exit = ExitKind::Shutdown;
      return Next::Settle;
    case BackendExit::Halt:
      if (supervisor) {
        answer_.exit = ExitKind::Halt;
        return Next::Settle;
      }
      return settle_unknown("a hlt that did not fault");
    default:
      return settle_unknown(exit.reason.c_str());
  }
}

GuestRun::Next GuestRun::handle_out(const ExitInfo& exit) {
  uint64_t site = 0;
  if (is_patched_halt(exit, &site)) return settle_halt(answer_.registers, site);
  parts_.outbox.take_trace(answer_.registers, parts_.memory);
  switch (parts_.outbox.serve(exit.port, exit.value, parts_.memory)) {
    case Outbox::Served::GoOn:
      return Next::Enter;
    case Outbox::Served::BadGuest:
      answer_.exit = ExitKind::Protocol;
      put_reason(answer_, parts_.outbox.fault());
      return Next::Settle;
    case Outbox::Served::NotMine:
      resumable_ = true;
      break;
    case Outbox::Served::Aborted:
      break;
  }
  answer_.exit = ExitKind::IoOut;
  answer_.number = exit.port;
  answer_.size_bytes = exit.size_bytes;
  answer_.value = exit.value;
  return Next::Settle;
}

GuestRun::Next GuestRun::handle_exception(const ExitInfo& exit) {
  BackendVm& vm = parts_.shell.vm();
  GeneralRegisters registers = vm.registers();
  answer_.registers = registers;
  const auto frame = parts_.shell.monitor().read_frame(exit.port, registers);
  if (!frame) return settle_unknown("an exit from ring 0 that is no exception stub");

  registers.rip = frame->rip;
  registers.rsp = frame->rsp;
  registers.rflags = frame->rflags & ~rflags::kResume;
  if (frame->vector == kAlignmentCheck && (frame->rflags & rflags::kAlignmentCheck) != 0) {
    // Ring 0, where the guest may think it runs, never sees #AC: the flag goes, the instruction runs again.
    registers.rflags = user_rflags(frame->rflags & ~rflags::kAlignmentCheck);
    vm.set_continue(registers);
    return Next::Enter;
  }
  if (frame->vector == kGeneralProtection && frame->error_code == 0 && byte_is(frame->rip, kHaltByte)) {
    patch_halt(frame->rip);
    return settle_halt(registers, frame->rip);
  }
  if (untouched_ != nullptr && frame->vector == kPageFault && (frame->error_code & kFaultPresent) == 0)
    touched_ = on_page_of(*untouched_, exit.fault_address);
  const bool is_syscall = frame->vector == kPageFault && Monitor::is_syscall_target(frame->rip) &&
                          byte_is(registers.rcx - 2, 0x0f) && byte_is(registers.rcx - 1, 0x05);
  if (parts_.memory.plan().ring0() && !touched_) {
    ExceptionFrame seen = *frame;
    uint64_t fault_address = exit.fault_address;
    if (is_syscall) {
      // Ring 0 has SCE on and LSTAR 0: `syscall` goes to address 0, which it may not execute.
      seen.error_code = kFaultFetch;
      seen.rip = registers.rip = fault_address = 0;
    }
    return handle_in_ring0(seen, fault_address, registers);
  }
  answer_.exit = ExitKind::Exception;
  answer_.number = frame->vector;
  answer_.error_code = frame->error_code;
  answer_.address = frame->vector == kPageFault ? exit.fault_address : 0;
  if (is_syscall) {
    // What `syscall` with EFER.SCE = 0 is on other hosts: #UD at the instruction.
    answer_.number = kInvalidOpcode;
    answer_.error_code = 0;
    answer_.address = 0;
    registers.rip = registers.rcx - 2;
    registers.rflags = registers.r11;
  }
  answer_.rip = registers.rip;
  answer_.registers = registers;
  return Next::Settle;
}

GuestRun::Next GuestRun::handle_in_ring0(ExceptionFrame frame, uint64_t fault_address, GeneralRegisters registers) {
  const uint64_t rip = registers.rip;
  const Ring0Outcome outcome =
      Ring0(parts_.virtual_cpu, parts_.memory, parts_.shell).handle(frame, fault_address, registers);
  answer_.registers = registers;
  answer_.rip = rip;
  switch (outcome.kind) {
    case Ring0Outcome::Kind::GoOn:
      registers.rflags = user_rflags(registers.rflags);
      parts_.shell.vm().set_continue(registers);
      return Next::Enter;
    case Ring0Outcome::Kind::Halt:
      return settle_halt(registers, rip);
    case Ring0Outcome::Kind::Exception:
      answer_.exit = ExitKind::Exception;
      answer_.number = outcome.vector;
      answer_.error_code = outcome.error_code;
      answer_.address = outcome.address;
      return Next::Settle;
    case Ring0Outcome::Kind::TripleFault:
      answer_.exit = ExitKind::Shutdown;
      return Next::Settle;
    case Ring0Outcome::Kind::BadAccess:
      answer_.exit = ExitKind::Mmio;
      answer_.address = outcome.address;
      answer_.size_bytes = 1;
      answer_.flags = outcome.write ? answer_flags::kMmioWrite : 0;
      return Next::Settle;
    case Ring0Outcome::Kind::Refused:
      answer_.exit = ExitKind::UnsupportedInstruction;
      answer_.size_bytes = outcome.length;
      std::memcpy(&answer_.error_code, outcome.bytes.data(), sizeof answer_.error_code);
      std::memcpy(&answer_.address, outcome.bytes.data() + sizeof answer_.error_code,
                  outcome.bytes.size() - sizeof answer_.error_code);
      put_reason(answer_, outcome.name);
      return Next::Settle;
  }
  return settle_unknown("an outcome of ring 0 that does not exist");
}

GuestRun::Next GuestRun::settle_halt(const GeneralRegisters& registers, uint64_t site) {
  parts_.outbox.take_trace(registers, parts_.memory);
  answer_.exit = ExitKind::Halt;
  answer_.registers = registers;
  answer_.registers.rip = site;
  return Next::Settle;
}

GuestRun::Next GuestRun::settle_unknown(const char* reason) {
  answer_.exit = ExitKind::Unknown;
  put_reason(answer_, reason);
  return Next::Settle;
}

std::optional<uint8_t> GuestRun::byte_at(uint64_t address) const noexcept {
  const GuestMemory& memory = parts_.memory;
  // SAFETY: `contains` bounds the address by guest memory before the byte is read.
  if (memory.plan().contains(address, 1)) return memory.data()[address];
  // A guest that was built for ring 0 has other addresses there than physical ones.
  if (memory.plan().ring0() || !memory.is_backed(address, 1)) return std::nullopt;
  uint8_t byte = 0;
  memory.read_physical(address, {&byte, 1});
  return byte;
}

bool GuestRun::byte_is(uint64_t address, uint8_t value) const noexcept { return byte_at(address) == value; }

// An OUT leaves RIP behind it or at it, by kind of KVM; a string OUT behind it or, with more to come, at its first
// prefix. So the bytes before RIP must not be the end of a string OUT, nor those at RIP the beginning of one, and the
// place where this host's RIP stands must show a plain one. A guest's bytes are as it executed them: it stands still, and
// its addresses below the end of its memory are physical.
bool GuestRun::is_plain_out(uint64_t rip, uint16_t port) const noexcept {
  // There a call may be entered without the trampoline, at the very OUT that KVM has yet to step over.
  if (parts_.memory.plan().supervisor()) return false;
  const auto last = byte_at(rip - 1);
  if (!last || is_string_out(*last)) return false;
  uint64_t opcode_at = rip;
  auto opcode = byte_at(opcode_at);
  while (opcode && is_prefix(*opcode)) {
    if (++opcode_at - rip == kMaxInstructionBytes) return false;
    opcode = byte_at(opcode_at);
  }
  if (!opcode || is_string_out(*opcode)) return false;
  if (parts_.out_rip == OutRip::AtInstruction) return is_out_immediate(*opcode) || is_out_dx(*opcode);
  if (is_out_dx(*last)) return true;
  const auto before = byte_at(rip - 2);
  return before && is_out_immediate(*before) && *last == port;
}

bool GuestRun::is_patched_halt(const ExitInfo& exit, uint64_t* site) const noexcept {
  if (exit.size_bytes != 1 || parts_.halt_sites.size() == 0) return false;
  // Exactly this host's convention: accepting both would take an OUT that stands before a hlt for the hlt.
  *site = answer_.registers.rip - (parts_.out_rip == OutRip::AfterInstruction ? 1 : 0);
  return parts_.halt_sites.contains(*site) && byte_is(*site, kPatchedByte);
}

void GuestRun::patch_halt(uint64_t site) {
  if (!parts_.memory.plan().contains(site, 1) || !parts_.halt_sites.add(site)) return;
  parts_.memory.write(site, {&kPatchedByte, 1});
}

}  // namespace mayfly
