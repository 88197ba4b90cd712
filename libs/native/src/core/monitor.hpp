#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backend.hpp"
#include "mapping.hpp"
#include "plan.hpp"
#include "region.hpp"
#include "registers.hpp"

namespace mayfly {

/** An exception frame as the CPU pushed it on the monitor stack, with the vector that the stub named. */
struct ExceptionFrame {
  uint32_t vector;
  uint64_t error_code;
  uint64_t rip;
  uint64_t cs;
  uint64_t rflags;
  uint64_t rsp;
  uint64_t ss;
};

/** Whether the CPU pushes an error code with an exception. */
bool has_error_code(uint32_t vector) noexcept;

/**
 * Ring 0 of a VM: page tables, descriptor tables, 32 stubs of `push; out`, one stack page, and the entry
 * trampoline, in a memory slot of their own that the guest's privilege cannot reach.
 *
 * Guest physical: 4 GiB and up. Guest virtual: PML4 entry 511, supervisor only but for the trampoline's two
 * pages (code: read and execute; data: read). Guest memory itself is identity mapped from address 0 in 4 KiB
 * pages, so that the guest's own dirty bits tell what a call wrote.
 */
class Monitor {
 public:
  /** `with_xsave`: the trampoline resets extended state by xrstor64, else by fxrstor64. @throws KvmError */
  explicit Monitor(bool with_xsave);

  uint8_t* data() const noexcept { return memory_.data(); }
  uint64_t bytes() const noexcept { return memory_.bytes(); }
  static uint64_t guest_physical() noexcept;
  static SystemTables system_tables() noexcept;

  /** Writes the page tables of a plan; all A and D bits are 0. Once per monitor, before the first run. */
  void map_guest(const Plan& plan);

  /**
   * Registers with which the trampoline has to be entered so that the guest then sees exactly `wanted`, with
   * extended state reset.
   */
  GeneralRegisters prepare_entry(const GeneralRegisters& wanted) noexcept;

  /** The extended state with which `prepare_resume` enters (VcpuState::extended). */
  void set_resume_image(std::span<const uint8_t> image) noexcept;
  /** As `prepare_entry`, with the extended state of the resume image. */
  GeneralRegisters prepare_resume(const GeneralRegisters& wanted) noexcept;

  /**
   * Takes the pages that a range lies on away from the guest, or gives them back. After taking away, the backend has
   * to forget its translations. Range checked by the caller.
   */
  void set_present(uint64_t address, uint64_t length_bytes, bool present) noexcept;

  /**
   * Lets the guest read (and execute, as each region has it) the regions at their own addresses, and no others any more.
   * The backend has to forget its translations when there were regions before. @throws KvmError (Hypervisor)
   */
  void map_regions(const Regions& regions);

  /**
   * Gives a guest that was built for ring 0 a page above or beside its identity map, as its own page tables say.
   * `virtual_page` and `physical_page` are page addresses; the physical one lies in guest memory or a
   * mapped region, the virtual one neither in guest memory nor in the monitor's entry. When the room for tables has run out, all pages that were given
   * go first. @returns whether the backend has to forget its translations.
   */
  bool give_page(uint64_t virtual_page, uint64_t physical_page, bool writable, bool executable);
  /** Lets the guest read and write a page of the tables that it believes in, at its own address. */
  void open_table_page(uint64_t page_address);
  /** Notes what was written through given pages as written to the pages behind them. */
  void collect_dirty() noexcept;
  /**
   * Takes given pages back; `tables_too`: opened table pages as well.
   * @returns whether there were any: then the backend has to forget its translations.
   */
  bool take_pages_back(bool tables_too) noexcept;

  /**
   * The frame of an exception, when the exit really is that of a stub: its port, RSP and RIP must be what only a
   * stub can have. `registers`: at the exit.
   */
  std::optional<ExceptionFrame> read_frame(uint16_t port, const GeneralRegisters& registers) const noexcept;
  /** Registers of the guest whose vCPU was interrupted on the way through a stub; unchanged when it was not. */
  GeneralRegisters behind_stub(const GeneralRegisters& registers) const noexcept;

  /** Notes a store of the host into guest memory, so that a restore brings the pages back. Range checked by the caller. */
  void mark_dirty(uint64_t address, uint64_t length_bytes) noexcept;

  /** Clears all A and D bits. The backend has to forget its translations before the next run. */
  void clear_dirty() noexcept;

  /** Calls `visit(page)` for every page written since the bits were cleared, in ascending order. */
  template <typename Visit>
  void for_each_dirty(Visit&& visit) const {
    const uint64_t* directory = page_directory();
    for (uint64_t table = 0; table < tables_; table++) {
      // Only a directory entry that was walked can lead to a written page: the scan follows what was touched.
      if ((directory[table] & kAccessed) == 0) continue;
      const uint64_t* entries = page_table(table);
      const uint64_t last = table + 1 == tables_ ? pages_ - table * kEntries : kEntries;
      for (uint64_t i = 0; i < last; i++)
        if ((entries[i] & kDirty) != 0) visit(table * kEntries + i);
    }
  }

  /** Whether `rip` is where `syscall` ends up on a KVM that follows LSTAR in spite of EFER.SCE = 0. */
  static bool is_syscall_target(uint64_t rip) noexcept;

 private:
  static constexpr uint64_t kEntries = 512;
  static constexpr uint64_t kAccessed = 1 << 5;
  static constexpr uint64_t kDirty = 1 << 6;

  struct GivenPage {
    uint64_t* entry;
    uint64_t physical_page;
  };

  /** Page tables made as they are needed, out of a range of the monitor's pages. */
  struct TablePool {
    uint64_t first_page;
    uint64_t capacity;
    std::vector<uint64_t*> entries;  // of upper tables, that lead to pages of the pool
    void clear() noexcept;
  };

  /** The entry for an address in the table of this level (12: 4 KiB pages, 21: 2 MiB). Null without room. */
  uint64_t* entry_for(uint64_t address, int level_shift, TablePool& pool);
  uint64_t* page_directory() const noexcept;
  uint64_t* page_table(uint64_t index) const noexcept;
  void write_fixed_tables(bool with_xsave);
  GeneralRegisters through_trampoline(uint64_t code_page, const GeneralRegisters& wanted) noexcept;

  Mapping memory_;
  uint64_t pages_ = 0;
  uint64_t tables_ = 0;
  std::vector<GivenPage> given_;
  TablePool given_tables_;
  TablePool region_tables_;
  std::vector<uint64_t*> region_entries_;  // leaves
  std::vector<uint64_t> opened_tables_;  // pages of guest memory
};

}  // namespace mayfly
