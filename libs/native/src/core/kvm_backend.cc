// DESIGN
// One KvmBackend per engine holds /dev/kvm and what is the same for all VMs (CPUID, CR4, XCR0). A KvmVm is one
// VM with one vCPU and its run page. Every entry writes registers, special registers and events through the run
// page (synced registers), so that a call costs one ioctl; a resume after an OUT writes nothing.
// Threads: KvmBackend is immutable after construction. A KvmVm belongs to one thread at a time, except
// `immediate_exit`, which the signal handler of the running thread sets.

#include "kvm_backend.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "error.hpp"
#include "kvm_abi.hpp"
#include "mapping.hpp"
#include "unique_fd.hpp"

namespace mayfly {
namespace {

constexpr uint64_t kSyncAll = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
constexpr uint64_t kTssAddress = 0xfffbd000;
constexpr uint32_t kScratchSlot = 2;
constexpr uint64_t kScratchAddress = (1ull << 36) - (32 << 20);
constexpr int kMaxCompletions = 64;

// CR0: PE MP ET NE WP PG. AM stays off: alignment checks never happen in ring 0, where the ABI's guests think they are.
constexpr uint64_t kCr0 = 0x80010033;
constexpr uint64_t kEfer = 0xd00;  // LME LMA NXE; SCE off

namespace cr4 {
constexpr uint64_t kPae = 1 << 5;
constexpr uint64_t kOsfxsr = 1 << 9;
constexpr uint64_t kOsxmmexcpt = 1 << 10;
constexpr uint64_t kUmip = 1 << 11;
constexpr uint64_t kFsgsbase = 1 << 16;
constexpr uint64_t kOsxsave = 1 << 18;
constexpr uint64_t kSmep = 1 << 20;
constexpr uint64_t kSmap = 1 << 21;
}  // namespace cr4

// x87, SSE, AVX, AVX-512. Not AMX, which needs a permission of its own and more than a page of state.
constexpr uint64_t kXcr0Wanted = 0xe7;
constexpr std::size_t kXstateBvOffset = 512;
constexpr uint64_t kLegacyComponents = 3;  // x87 and SSE
constexpr std::size_t kLegacyBytes = 416;  // up to XMM15; software may use what is behind it in an image

constexpr uint32_t kMsrLstar = 0xc0000082;
constexpr uint32_t kMsrKernelGsBase = 0xc0000102;
constexpr uint16_t kInitialFcw = 0x37f;
constexpr uint32_t kInitialMxcsr = 0x1f80;

// Linux selectors: natively read selectors are the host's on a paravirtual KVM, so both agree (kvm-facts C).
constexpr uint16_t kUserCode = 0x33;
constexpr uint16_t kUserData = 0x2b;
constexpr uint16_t kTaskSelector = 0x40;

int call(int fd, unsigned long request, void* argument, const char* name) {
  int result;
  do {
    result = ::ioctl(fd, request, argument);
  } while (result < 0 && errno == EINTR);
  if (result < 0) throw KvmError::from_errno(name, errno);
  return result;
}

int call(int fd, unsigned long request, unsigned long argument, const char* name) {
  // SAFETY: KVM takes this argument as a number; it is never dereferenced.
  return call(fd, request, reinterpret_cast<void*>(argument), name);
}

struct Features {
  uint64_t cr4 = 0;
  uint64_t xcr0 = 0;
  kvm_abi::Cpuid2 cpuid{};
  uint64_t run_bytes = 0;
};

const kvm_cpuid_entry2* find_leaf(const kvm_abi::Cpuid2& cpuid, uint32_t function, uint32_t index) {
  for (uint32_t i = 0; i < cpuid.count; i++) {
    const kvm_cpuid_entry2& entry = cpuid.entries[i];
    if (entry.function != function) continue;
    if ((entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) == 0 || entry.index == index) return &entry;
  }
  return nullptr;
}

/** The CR4 bits that this KVM takes for a vCPU with the supported CPUID, found by setting each. */
uint64_t accepted_cr4(int kvm, const kvm_abi::Cpuid2& supported) {
  // CPUID alone does not tell: a paravirtual KVM lists neither SMEP nor XSAVE, and has both.
  const UniqueFd vm(call(kvm, KVM_CREATE_VM, 0ul, "KVM_CREATE_VM"));
  const UniqueFd vcpu(call(vm.get(), KVM_CREATE_VCPU, 0ul, "KVM_CREATE_VCPU"));
  kvm_abi::Cpuid2 cpuid = supported;
  call(vcpu.get(), kvm_abi::kSetCpuid2, &cpuid, "KVM_SET_CPUID2");
  kvm_sregs sregs{};
  call(vcpu.get(), KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
  uint64_t accepted = cr4::kPae | cr4::kOsfxsr | cr4::kOsxmmexcpt;
  for (const uint64_t bit : {cr4::kUmip, cr4::kFsgsbase, cr4::kOsxsave, cr4::kSmep, cr4::kSmap}) {
    sregs.cr4 = accepted | bit;
    if (::ioctl(vcpu.get(), KVM_SET_SREGS, &sregs) == 0) accepted |= bit;
  }
  return accepted;
}

Features read_features(int kvm) {
  Features features;
  features.cpuid.count = kvm_abi::kMaxCpuidEntries;
  call(kvm, kvm_abi::kGetSupportedCpuid, &features.cpuid, "KVM_GET_SUPPORTED_CPUID");
  features.cr4 = accepted_cr4(kvm, features.cpuid);
  if ((features.cr4 & cr4::kOsxsave) != 0)
    if (const auto* state = find_leaf(features.cpuid, 0xd, 0))
      features.xcr0 = ((uint64_t{state->edx} << 32) | state->eax) & kXcr0Wanted;
  const int run_bytes = call(kvm, KVM_GET_VCPU_MMAP_SIZE, 0ul, "KVM_GET_VCPU_MMAP_SIZE");
  if (static_cast<uint64_t>(run_bytes) < sizeof(kvm_run))
    throw KvmError(ErrorCode::NoHypervisor, "KVM_GET_VCPU_MMAP_SIZE is below the run structure");
  features.run_bytes = static_cast<uint64_t>(run_bytes);
  return features;
}

kvm_segment user_segment(uint16_t selector, bool code) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = code ? 11 : 3;
  segment.present = 1;
  segment.dpl = 3;
  segment.db = code ? 0 : 1;
  segment.s = 1;
  segment.l = code ? 1 : 0;
  segment.g = 1;
  return segment;
}

void fill_special_registers(kvm_sregs& sregs, const SystemTables& tables, const Features& features) {
  sregs.cr0 = kCr0;
  sregs.cr2 = 0;
  sregs.cr3 = tables.page_table_root;
  sregs.cr4 = features.cr4;
  sregs.cr8 = 0;
  sregs.efer = kEfer;
  sregs.cs = user_segment(kUserCode, true);
  sregs.ss = sregs.ds = sregs.es = sregs.fs = sregs.gs = user_segment(kUserData, false);
  sregs.ldt = kvm_segment{};
  sregs.ldt.unusable = 1;
  sregs.ldt.type = 2;
  sregs.tr = kvm_segment{};
  sregs.tr.base = tables.tss_base;
  sregs.tr.limit = tables.tss_limit;
  sregs.tr.selector = kTaskSelector;
  sregs.tr.type = 11;
  sregs.tr.present = 1;
  sregs.gdt.base = tables.gdt_base;
  sregs.gdt.limit = tables.gdt_limit;
  sregs.idt.base = tables.idt_base;
  sregs.idt.limit = tables.idt_limit;
  std::memset(sregs.interrupt_bitmap, 0, sizeof sregs.interrupt_bitmap);
}

/** 0 where this KVM does not tell (Linux before 5.16): guest times are clamped to their call then. */
uint64_t read_tsc_offset(int vcpu) noexcept {
  uint64_t offset = 0;
  kvm_device_attr attribute{};
  attribute.group = KVM_VCPU_TSC_CTRL;
  attribute.attr = KVM_VCPU_TSC_OFFSET;
  attribute.addr = reinterpret_cast<uint64_t>(&offset);
  return ::ioctl(vcpu, KVM_GET_DEVICE_ATTR, &attribute) == 0 ? offset : 0;
}

/** Where a guest of the reference starts with paging (guest-abi 4.1). */
void fill_supervisor_registers(kvm_sregs& sregs) {
  sregs.cr0 = 0x80050033;
  sregs.cr4 = 0x620;
  sregs.efer = 0xd01;
  sregs.cs.type = 11;
  sregs.cs.present = 1;
  sregs.cs.s = 1;
  sregs.cs.l = 1;
  sregs.tr.limit = 0xffff;
  sregs.tr.type = 11;
  sregs.tr.present = 1;
  for (kvm_segment* segment : {&sregs.ds, &sregs.es, &sregs.fs, &sregs.gs, &sregs.ss, &sregs.ldt}) segment->unusable = 1;
}

void put_segment(kvm_segment& to, const SegmentRegister& from) {
  to.base = from.base;
  to.limit = from.limit;
  to.selector = from.selector;
  to.type = from.type & 15;
  to.present = from.present & 1;
  to.dpl = from.privilege_level & 3;
  to.db = from.default_big & 1;
  to.s = from.code_or_data & 1;
  to.l = from.long_mode & 1;
  to.g = from.granularity & 1;
  to.avl = from.available & 1;
  to.unusable = to.present == 0;
}

void put_special_registers(kvm_sregs& to, const SpecialRegisters& from) {
  put_segment(to.cs, from.cs);
  put_segment(to.ds, from.ds);
  put_segment(to.es, from.es);
  put_segment(to.fs, from.fs);
  put_segment(to.gs, from.gs);
  put_segment(to.ss, from.ss);
  put_segment(to.tr, from.tr);
  put_segment(to.ldt, from.ldt);
  to.gdt.base = from.gdt.base;
  to.gdt.limit = from.gdt.limit;
  to.idt.base = from.idt.base;
  to.idt.limit = from.idt.limit;
  to.cr0 = from.cr0;
  to.cr2 = from.cr2;
  to.cr3 = from.cr3;
  to.cr4 = from.cr4;
  to.cr8 = from.cr8;
  to.efer = from.efer;
}

SegmentRegister segment_of(const kvm_segment& from) {
  SegmentRegister to{};
  to.base = from.base;
  to.limit = from.limit;
  to.selector = from.selector;
  to.type = from.type;
  to.present = from.present;
  to.privilege_level = from.dpl;
  to.default_big = from.db;
  to.code_or_data = from.s;
  to.long_mode = from.l;
  to.granularity = from.g;
  to.available = from.avl;
  return to;
}

SpecialRegisters special_registers_of(const kvm_sregs& from) {
  SpecialRegisters to{};
  to.cs = segment_of(from.cs);
  to.ds = segment_of(from.ds);
  to.es = segment_of(from.es);
  to.fs = segment_of(from.fs);
  to.gs = segment_of(from.gs);
  to.ss = segment_of(from.ss);
  to.tr = segment_of(from.tr);
  to.ldt = segment_of(from.ldt);
  to.gdt = {from.gdt.base, from.gdt.limit, {}};
  to.idt = {from.idt.base, from.idt.limit, {}};
  to.cr0 = from.cr0;
  to.cr2 = from.cr2;
  to.cr3 = from.cr3;
  to.cr4 = from.cr4;
  to.cr8 = from.cr8;
  to.efer = from.efer;
  return to;
}

class KvmVm final : public BackendVm {
 public:
  KvmVm(int kvm, const SystemTables& tables, const Features& features) {
    vm_ = UniqueFd(call(kvm, KVM_CREATE_VM, 0ul, "KVM_CREATE_VM"));
    // Only Intel without unrestricted guest needs it, before the vCPU; elsewhere a refusal is harmless.
    ::ioctl(vm_.get(), KVM_SET_TSS_ADDR, kTssAddress);
    vcpu_ = UniqueFd(call(vm_.get(), KVM_CREATE_VCPU, 0ul, "KVM_CREATE_VCPU"));
    run_mapping_ = Mapping::shared_of(vcpu_.get(), features.run_bytes);
    // SAFETY: KVM gives at least sizeof(kvm_run) bytes here (checked when the size was read).
    run_ = reinterpret_cast<kvm_run*>(run_mapping_.data());
    kvm_abi::Cpuid2 cpuid = features.cpuid;
    call(vcpu_.get(), kvm_abi::kSetCpuid2, &cpuid, "KVM_SET_CPUID2");
    call(vcpu_.get(), KVM_GET_SREGS, &sregs_, "KVM_GET_SREGS");
    fill_special_registers(sregs_, tables, features);
    call(vcpu_.get(), KVM_SET_SREGS, &sregs_, "KVM_SET_SREGS");
    if (features.xcr0 != 0) {
      has_xcrs_ = true;
      set_xcr0(features.xcr0);
    }
    set_msr(kMsrLstar, tables.syscall_target);
    call(vcpu_.get(), KVM_GET_VCPU_EVENTS, &events_, "KVM_GET_VCPU_EVENTS");
    tsc_offset_ = read_tsc_offset(vcpu_.get());
    run_->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    run_->s.regs.sregs = sregs_;
  }

  ~KvmVm() override {
    // The run page holds a reference to the VM: it goes first, then the vCPU, then the VM.
    run_mapping_.reset();
    vcpu_.reset();
    vm_.reset();
  }

  void map(uint32_t slot, uint64_t guest_physical, void* host, uint64_t bytes, bool writable) override {
    kvm_userspace_memory_region region{};
    region.slot = slot;
    region.guest_phys_addr = guest_physical;
    region.memory_size = bytes;
    region.flags = writable ? 0 : KVM_MEM_READONLY;
    // SAFETY: the caller keeps `host` mapped for `bytes` until `unmap` or the end of this VM.
    region.userspace_addr = reinterpret_cast<uint64_t>(host);
    call(vm_.get(), KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
  }

  void unmap(uint32_t slot) override { map(slot, 0, nullptr, 0, true); }

  void forget_translations() override {
    // Deleting any slot makes KVM drop all shadow pages and flush, on every kind of host (kvm-facts D).
    if (!scratch_) scratch_ = Mapping::anonymous(kPageBytes);
    map(kScratchSlot, kScratchAddress, scratch_.data(), kPageBytes, true);
    unmap(kScratchSlot);
  }

  void set_entry(const GeneralRegisters& registers) override {
    if (supervisor_) {
      set_supervisor_registers(registers);
      drop_events();
      return;
    }
    std::memcpy(&run_->s.regs.regs, &registers, sizeof registers);
    run_->s.regs.sregs = sregs_;
    run_->s.regs.events = events_;
    run_->kvm_dirty_regs = kSyncAll;
  }

  void set_continue(const GeneralRegisters& registers) override {
    if (supervisor_) {
      set_supervisor_registers(registers);
      return;
    }
    registers_ = registers;
    std::memcpy(&run_->s.regs.regs, &registers, sizeof registers);
    run_->s.regs.sregs.cs = sregs_.cs;
    run_->s.regs.sregs.ss = sregs_.ss;
    run_->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
  }

  uint64_t segment_base(bool gs) const noexcept override {
    return (gs ? run_->s.regs.sregs.gs : run_->s.regs.sregs.fs).base;
  }

  void set_segment_base(bool gs, uint64_t base) override {
    (gs ? run_->s.regs.sregs.gs : run_->s.regs.sregs.fs).base = base;
    run_->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
  }

  void run(ExitInfo& exit) override {
    if (::ioctl(vcpu_.get(), KVM_RUN, 0) < 0) {
      describe_failure(exit, errno);
      return;
    }
    std::memcpy(&registers_, &run_->s.regs.regs, sizeof registers_);
    exit.privilege_level = run_->s.regs.sregs.cs.dpl;
    exit.fault_address = run_->s.regs.sregs.cr2;
    switch (run_->exit_reason) {
      case KVM_EXIT_IO:
        describe_io(exit);
        return;
      case KVM_EXIT_MMIO:
        exit.kind = BackendExit::Mmio;
        exit.address = run_->mmio.phys_addr;
        exit.size_bytes = run_->mmio.len;
        exit.write = run_->mmio.is_write != 0;
        return;
      case KVM_EXIT_HLT:
        exit.kind = BackendExit::Halt;
        return;
      case KVM_EXIT_SHUTDOWN:
        exit.kind = BackendExit::Shutdown;
        return;
      case KVM_EXIT_INTR:
        exit.kind = BackendExit::Interrupted;
        return;
      case KVM_EXIT_INTERNAL_ERROR:
        exit.kind = BackendExit::Unknown;
        exit.reason = "KVM internal error, suberror " + std::to_string(run_->internal.suberror);
        return;
      case KVM_EXIT_FAIL_ENTRY:
        exit.kind = BackendExit::Unknown;
        exit.reason = "KVM failed entry, hardware reason " +
                      std::to_string(run_->fail_entry.hardware_entry_failure_reason);
        return;
      default:
        exit.kind = BackendExit::Unknown;
        exit.reason = "KVM exit reason " + std::to_string(run_->exit_reason);
    }
  }

  const GeneralRegisters& registers() const noexcept override {
    return registers_;
  }

  void complete_pending() override {
    for (int i = 0; i < kMaxCompletions; i++) {
      run_->immediate_exit = 1;
      const int result = ::ioctl(vcpu_.get(), KVM_RUN, 0);
      const int error_number = errno;
      run_->immediate_exit = 0;
      if (result < 0 && error_number != EINTR) throw KvmError::from_errno("KVM_RUN", error_number);
      if (result < 0) {
        std::memcpy(&registers_, &run_->s.regs.regs, sizeof registers_);
        return;
      }
    }
    throw KvmError(ErrorCode::Hypervisor, "an interrupted access of the guest does not complete");
  }

  void become_supervisor() override {
    supervisor_ = true;
    const uint64_t apic_base = sregs_.apic_base;
    sregs_ = kvm_sregs{};
    sregs_.apic_base = apic_base;
    fill_supervisor_registers(sregs_);
    call(vcpu_.get(), KVM_SET_SREGS, &sregs_, "KVM_SET_SREGS");
    run_->s.regs.sregs = sregs_;
    set_msr(kMsrLstar, 0);
    deny_msrs();
  }

  void set_special_registers(const SpecialRegisters& registers) override {
    kvm_sregs sregs = run_->s.regs.sregs;
    put_special_registers(sregs, registers);
    if (::ioctl(vcpu_.get(), KVM_SET_SREGS, &sregs) < 0) {
      if (errno != EINVAL) throw KvmError::from_errno("KVM_SET_SREGS", errno);
      throw KvmError(ErrorCode::Request, "the CPU does not take these special registers");
    }
    run_->s.regs.sregs = sregs;
  }

  void reset_extended() override {
    kvm_abi::Xsave xsave{};
    std::memcpy(&xsave.region[0], &kInitialFcw, sizeof kInitialFcw);
    std::memcpy(&xsave.region[kMxcsrOffset / sizeof xsave.region[0]], &kInitialMxcsr, sizeof kInitialMxcsr);
    call(vcpu_.get(), kvm_abi::kSetXsave, &xsave, "KVM_SET_XSAVE");
  }

  void drop_events() override {
    run_->s.regs.events = events_;
    run_->kvm_dirty_regs |= KVM_SYNC_X86_EVENTS;
  }

  SpecialRegisters special_registers() const override {
    kvm_sregs sregs = run_->s.regs.sregs;
    if (!supervisor_) {
      sregs.cs = sregs_.cs;
      sregs.ss = sregs_.ss;
    }
    return special_registers_of(sregs);
  }

  void fpu(std::span<uint8_t> image) override {
    kvm_abi::Xsave xsave;
    call(vcpu_.get(), kvm_abi::kGetXsave, &xsave, "KVM_GET_XSAVE");
    std::memcpy(image.data(), &xsave, std::min(image.size(), kFxsaveBytes));
  }

  void set_fpu(std::span<const uint8_t> image) override {
    kvm_abi::Xsave xsave;
    call(vcpu_.get(), kvm_abi::kGetXsave, &xsave, "KVM_GET_XSAVE");
    // SAFETY (both): the image of x87 and SSE and the XSAVE header lie in the first 576 of 4096 bytes.
    auto* bytes = reinterpret_cast<uint8_t*>(&xsave);
    std::memcpy(bytes, image.data(), std::min(image.size(), kLegacyBytes));
    uint64_t components;
    std::memcpy(&components, bytes + kXstateBvOffset, sizeof components);
    components |= kLegacyComponents;
    std::memcpy(bytes + kXstateBvOffset, &components, sizeof components);
    call(vcpu_.get(), kvm_abi::kSetXsave, &xsave, "KVM_SET_XSAVE");
  }

  void save(VcpuState& state) override {
    complete_pending();
    kvm_sregs sregs;
    kvm_abi::Xsave xsave;
    call(vcpu_.get(), KVM_GET_REGS, &state.registers, "KVM_GET_REGS");
    call(vcpu_.get(), KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
    call(vcpu_.get(), kvm_abi::kGetXsave, &xsave, "KVM_GET_XSAVE");
    SavedState saved{};
    saved.sregs = sregs;
    if (supervisor_) save_supervisor(saved);
    state.opaque.resize(sizeof saved);
    std::memcpy(state.opaque.data(), &saved, sizeof saved);
    state.extended.resize(sizeof xsave);
    std::memcpy(state.extended.data(), &xsave, sizeof xsave);
    // A component that the guest's XCR0 does not have would make its xrstor64 fault.
    uint64_t components;
    std::memcpy(&components, state.extended.data() + kXstateBvOffset, sizeof components);
    components &= kXcr0Wanted;
    std::memcpy(state.extended.data() + kXstateBvOffset, &components, sizeof components);
  }

  void load(const VcpuState& state, const GeneralRegisters& registers) override {
    SavedState saved;
    if (state.opaque.size() != sizeof saved) throw KvmError(ErrorCode::Hypervisor, "a vCPU state of another backend");
    std::memcpy(&saved, state.opaque.data(), sizeof saved);
    set_entry(registers);
    run_->s.regs.sregs = saved.sregs;
    run_->kvm_dirty_regs = kSyncAll;
    if (supervisor_) load_supervisor(saved);
  }

  void load_extended(const VcpuState& state) override {
    kvm_abi::Xsave xsave;
    if (state.extended.size() != sizeof xsave)
      throw KvmError(ErrorCode::Hypervisor, "a vCPU state of another backend");
    std::memcpy(&xsave, state.extended.data(), sizeof xsave);
    call(vcpu_.get(), kvm_abi::kSetXsave, &xsave, "KVM_SET_XSAVE");
  }

  uint64_t tsc_offset() const noexcept override { return tsc_offset_; }

  volatile uint8_t* kick_flag() noexcept override { return &run_->immediate_exit; }

 private:
  /** What a snapshot keeps of a vCPU; all but the first only of one whose ring 0 is the guest's. */
  struct SavedState {
    kvm_sregs sregs;
    kvm_debugregs debug;
    uint64_t xcr0;
    uint64_t kernel_gs_base;  // `swapgs` reaches it without wrmsr
  };

  void set_supervisor_registers(const GeneralRegisters& registers) {
    registers_ = registers;
    registers_.rflags |= rflags::kFixed;
    std::memcpy(&run_->s.regs.regs, &registers_, sizeof registers_);
    run_->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
  }

  void save_supervisor(SavedState& saved) {
    call(vcpu_.get(), KVM_GET_DEBUGREGS, &saved.debug, "KVM_GET_DEBUGREGS");
    if (has_xcrs_) {
      kvm_xcrs xcrs{};
      call(vcpu_.get(), KVM_GET_XCRS, &xcrs, "KVM_GET_XCRS");
      saved.xcr0 = xcrs.xcrs[0].value;
    }
    kvm_abi::OneMsr msr{1, 0, {kMsrKernelGsBase, 0, 0}};
    call(vcpu_.get(), kvm_abi::kGetMsrs, &msr, "KVM_GET_MSRS");
    saved.kernel_gs_base = msr.entry.data;
  }

  void load_supervisor(SavedState& saved) {
    call(vcpu_.get(), KVM_SET_DEBUGREGS, &saved.debug, "KVM_SET_DEBUGREGS");
    if (has_xcrs_) set_xcr0(saved.xcr0);
    set_msr(kMsrKernelGsBase, saved.kernel_gs_base);
  }

  void set_xcr0(uint64_t value) {
    kvm_xcrs xcrs{};
    xcrs.nr_xcrs = 1;
    xcrs.xcrs[0].value = value;
    call(vcpu_.get(), KVM_SET_XCRS, &xcrs, "KVM_SET_XCRS");
  }

  void set_msr(uint32_t index, uint64_t value) {
    kvm_abi::OneMsr msr{1, 0, {index, 0, value}};
    call(vcpu_.get(), kvm_abi::kSetMsrs, &msr, "KVM_SET_MSRS");
  }

  void deny_msrs() {
    // KVM refuses a filter without a range: this one denies, as the default does.
    uint8_t none = 0;
    kvm_msr_filter filter{};
    filter.flags = KVM_MSR_FILTER_DEFAULT_DENY;
    filter.ranges[0].flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
    filter.ranges[0].nmsrs = 1;
    filter.ranges[0].bitmap = &none;
    call(vm_.get(), KVM_X86_SET_MSR_FILTER, &filter, "KVM_X86_SET_MSR_FILTER");
  }

  void describe_failure(ExitInfo& exit, int error_number) {
    std::memcpy(&registers_, &run_->s.regs.regs, sizeof registers_);
    exit.privilege_level = 3;
    exit.fault_address = 0;
    if (error_number == EINTR || error_number == EAGAIN) {
      exit.kind = BackendExit::Interrupted;
    } else if (error_number == EFAULT) {
      exit.kind = BackendExit::MemoryFault;
      exit.reason = "host memory behind the guest is not accessible (EFAULT)";
    } else {
      throw KvmError::from_errno("KVM_RUN", error_number);
    }
  }

  void describe_io(ExitInfo& exit) {
    const uint32_t size = std::min<uint32_t>(run_->io.size, 4);
    exit.kind = run_->io.direction == KVM_EXIT_IO_OUT ? BackendExit::IoOut : BackendExit::IoIn;
    exit.port = run_->io.port;
    exit.size_bytes = size;
    exit.value = 0;
    const uint64_t offset = run_->io.data_offset;
    if (exit.kind == BackendExit::IoOut && offset <= run_mapping_.bytes() - sizeof exit.value) {
      // SAFETY: `offset` leaves room for 4 bytes in the run mapping, checked above; at most 4 are copied.
      std::memcpy(&exit.value, run_mapping_.data() + offset, size);
    }
  }

  // Destruction order is stated in the destructor.
  UniqueFd vm_;
  UniqueFd vcpu_;
  Mapping run_mapping_;
  kvm_run* run_ = nullptr;
  Mapping scratch_;
  GeneralRegisters registers_{};
  kvm_sregs sregs_{};
  kvm_vcpu_events events_{};
  uint64_t tsc_offset_ = 0;
  bool supervisor_ = false;
  bool has_xcrs_ = false;
};

class KvmBackend final : public Backend {
 public:
  explicit KvmBackend(int fd) : kvm_(fd >= 0 ? fd : ::open("/dev/kvm", O_RDWR | O_CLOEXEC)) {
    if (!kvm_) throw KvmError::from_errno("open /dev/kvm", errno, ErrorCode::NoHypervisor);
    const int version = ::ioctl(kvm_.get(), KVM_GET_API_VERSION, 0);
    if (version != 12)
      throw KvmError(ErrorCode::NoHypervisor, "KVM API version is " + std::to_string(version) + ", not 12");
    require(KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", 1);
    require(KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", 1);
    require(KVM_CAP_SYNC_REGS, "KVM_CAP_SYNC_REGS", static_cast<int>(kSyncAll));
    require(KVM_CAP_XSAVE, "KVM_CAP_XSAVE", 1);
    require(KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM", 1);
    features_ = read_features(kvm_.get());
  }

  std::unique_ptr<BackendVm> create_vm(const SystemTables& tables) override {
    return std::make_unique<KvmVm>(kvm_.get(), tables, features_);
  }

  bool has_xsave() const noexcept override { return (features_.cr4 & cr4::kOsxsave) != 0; }

 private:
  void require(int capability, const char* name, int bits) {
    const int answer = ::ioctl(kvm_.get(), KVM_CHECK_EXTENSION, capability);
    if (answer < 0 || (answer & bits) != bits)
      throw KvmError(ErrorCode::NoHypervisor, std::string("this KVM lacks ") + name);
  }

  UniqueFd kvm_;
  Features features_;
};

}  // namespace

std::unique_ptr<Backend> open_kvm_backend(int fd) { return std::make_unique<KvmBackend>(fd); }

}  // namespace mayfly
