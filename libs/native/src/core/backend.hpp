#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "registers.hpp"

namespace mayfly {

/** Where the monitor's tables are: what a vCPU's system registers point at. */
struct SystemTables {
  uint64_t page_table_root;
  uint64_t gdt_base;
  uint16_t gdt_limit;
  uint64_t idt_base;
  uint16_t idt_limit;
  uint64_t tss_base;
  uint32_t tss_limit;
  /** Target of `syscall` where the host's KVM follows it in spite of EFER.SCE = 0 (kvm-facts 0.3). */
  uint64_t syscall_target;
};

enum class BackendExit : uint8_t {
  IoOut,
  IoIn,
  Mmio,
  Halt,
  Shutdown,
  Interrupted,  // a kick or a signal: nothing happened in the guest
  MemoryFault,  // host memory behind the guest is not accessible
  Unknown,
};

/** One exit of a vCPU. Fields that do not belong to `kind` are 0. */
struct ExitInfo {
  BackendExit kind;
  uint8_t privilege_level;
  bool write;
  uint16_t port;
  uint32_t size_bytes;
  uint32_t value;
  uint64_t address;
  uint64_t fault_address;  // CR2
  std::string reason;      // for Unknown and MemoryFault
};

/** State of a vCPU that a snapshot keeps beside memory. `opaque` is the backend's own. */
struct VcpuState {
  GeneralRegisters registers;
  std::vector<uint8_t> opaque;
  /** x87, SSE, AVX: an image for xrstor64, standard format. */
  std::vector<uint8_t> extended;
};

/**
 * One VM with one vCPU, as a hypervisor offers it. Used from one thread at a time; `kick_flag` is written by a
 * signal handler of the thread that is in `run`.
 */
class BackendVm {
 public:
  virtual ~BackendVm() = default;

  /** Makes host memory appear at a guest physical address; a store to what is not writable is an Mmio exit. */
  virtual void map(uint32_t slot, uint64_t guest_physical, void* host, uint64_t bytes, bool writable = true) = 0;
  virtual void unmap(uint32_t slot) = 0;
  /** Forgets cached translations, after the host lowered a right or cleared an A or D bit in guest tables. */
  virtual void forget_translations() = 0;

  /** The next run starts from these registers and the power-on user state; pending events are dropped. */
  virtual void set_entry(const GeneralRegisters& registers) = 0;
  /** The next run goes on at CPL 3 with these registers; data segments, FS and GS bases stay the guest's. */
  virtual void set_continue(const GeneralRegisters& registers) = 0;
  /** Base of FS (or GS) at the last exit. */
  virtual uint64_t segment_base(bool gs) const noexcept = 0;
  /** Unless the next run begins with an entry. */
  virtual void set_segment_base(bool gs, uint64_t base) = 0;
  /** Enters the guest until its next exit. */
  virtual void run(ExitInfo& exit) = 0;
  /** Registers at the last exit, or of the continuation that was prepared since. */
  virtual const GeneralRegisters& registers() const noexcept = 0;
  /**
   * Finishes an interrupted IN or MMIO access, which would else overwrite registers set later; `registers()` of a guest
   * at an OUT then stand behind it on every host.
   */
  virtual void complete_pending() = 0;
  /** The continuation that was prepared starts without an exception that an interrupted run left pending. */
  virtual void drop_events() = 0;

  /**
   * Ring 0 of the VM is the guest's from now on: it starts in the registers of guest-abi 4.1, MSRs are denied, and entries
   * and continuations leave special registers alone. Once, before the first run. @throws KvmError
   */
  virtual void become_supervisor() = 0;
  /** For a supervisor. @throws KvmError (Request) what the CPU does not take; nothing is changed then. */
  virtual void set_special_registers(const SpecialRegisters& registers) = 0;
  /** x87, SSE and AVX state as at power-on. */
  virtual void reset_extended() = 0;

  /** As the guest has them at the last exit, or as they were set since: never the monitor's code or stack segment. */
  virtual SpecialRegisters special_registers() const = 0;
  /** x87 and SSE state (`kFxsaveBytes`). */
  virtual void fpu(std::span<uint8_t> image) = 0;
  /** The rest of the extended state stays. The caller has looked at the reserved bits of MXCSR. */
  virtual void set_fpu(std::span<const uint8_t> image) = 0;

  virtual void save(VcpuState& state) = 0;
  /** The next run starts with the state's segments and control registers, but these general registers. */
  virtual void load(const VcpuState& state, const GeneralRegisters& registers) = 0;
  /** Extended state by the hypervisor's own call: dearer than the guest's xrstor64. */
  virtual void load_extended(const VcpuState& state) = 0;

  /** What the guest's time stamp counter is ahead of the host's, modulo 2^64. */
  virtual uint64_t tsc_offset() const noexcept = 0;

  /** Non-zero makes the next or current `run` return Interrupted. */
  virtual volatile uint8_t* kick_flag() noexcept = 0;
};

/** A hypervisor of this host. Thread-safe. */
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::unique_ptr<BackendVm> create_vm(const SystemTables& tables) = 0;
  /** Whether guests may use XSAVE state; decides how the trampoline resets extended state. */
  virtual bool has_xsave() const noexcept = 0;
};

}  // namespace mayfly
