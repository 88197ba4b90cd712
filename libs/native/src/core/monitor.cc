#include "monitor.hpp"

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "error.hpp"

namespace mayfly {
namespace {

// Pages of the monitor slot.
enum Page : uint64_t {
  kPml4Page = 0,
  kLowPdptPage = 1,
  kLowDirectoryPage = 2,
  kHighPdptPage = 3,
  kHighDirectoryPage = 4,
  kHighTablePage = 5,
  kDescriptorPage = 6,  // GDT at 0, IDT at kIdtOffset
  kTssPage = 7,         // TSS and I/O bitmap: three pages
  kStubPage = 10,
  kStackPage = 11,
  kEntryCodePage = 12,
  kEntryDataPage = 13,
  kResumeCodePage = 14,  // the same for entries into a snapshot's extended state
  kResumeDataPage = 15,
  kFirstTablePage = 16,  // page tables of guest memory: up to 512
};
constexpr uint64_t kFirstGivenTablePage = kFirstTablePage + 512;  // page tables of given pages
constexpr uint64_t kGivenTablePages = 64;
constexpr std::size_t kMaxGivenPages = 4096;
constexpr uint64_t kFirstRegionTablePage = kFirstGivenTablePage + kGivenTablePages;  // page tables of regions
constexpr uint64_t kRegionTablePages = 4 * kMaxMappedRegions;  // at most a directory and a table at each end of a region
constexpr uint64_t kMonitorBytes = (kFirstRegionTablePage + kRegionTablePages) * kPageBytes;

// Near the end of what every x86-64 can address, above all that a guest may have mapped.
constexpr uint64_t kGuestPhysical = (1ull << 36) - (16 << 20);
constexpr uint64_t kHighEntry = 511;
constexpr uint64_t kGuestVirtual = 0xffffff8000000000;  // PML4[511]

constexpr uint64_t kPresent = 1 << 0;
constexpr uint64_t kWritable = 1 << 1;
constexpr uint64_t kUser = 1 << 2;
constexpr uint64_t kAccessedBit = 1 << 5;
constexpr uint64_t kDirtyBit = 1 << 6;
constexpr uint64_t kLargeBit = 1 << 7;
constexpr uint64_t kNoExecute = 1ull << 63;

constexpr int kPageShift = 12;
constexpr int kLargePageShift = 21;
constexpr uint64_t kLargePageBytes = 1ull << kLargePageShift;

constexpr uint64_t kIdtOffset = 0x800;
constexpr uint16_t kVectors = 32;
constexpr uint64_t kStubBytes = 16;
constexpr uint16_t kPortBase = 0xc0;  // not 0x80: old Intel KVM lets that one through
constexpr uint16_t kKernelCode = 0x10;

constexpr uint64_t kTssHeaderBytes = 0x68;
constexpr uint64_t kIoBitmapBytes = 8192;
constexpr uint32_t kTssLimit = kTssHeaderBytes + kIoBitmapBytes;

// Entry data page: the XSAVE image, then the words that the trampoline loads.
constexpr uint64_t kImageOffset = 0;
constexpr uint64_t kWordsOffset = 0xf80;  // above any image of x87, SSE, AVX and AVX-512
constexpr uint32_t kInitialMxcsr = 0x1f80;
constexpr uint16_t kInitialFcw = 0x37f;

struct EntryWords {
  uint64_t rax;
  uint64_t rdx;
  uint64_t rip;
};

constexpr uint64_t physical(uint64_t page) { return kGuestPhysical + page * kPageBytes; }
constexpr uint64_t address_of(uint64_t page) { return kGuestVirtual + page * kPageBytes; }

}  // namespace

bool has_error_code(uint32_t vector) noexcept {
  switch (vector) {
    case 8:
    case 10:
    case 11:
    case 12:
    case 13:
    case 14:
    case 17:
    case 21:
    case 29:
    case 30:
      return true;
    default:
      return false;
  }
}

namespace {

uint64_t guest_flags(uint32_t region_rights) {
  if (region_rights == 0 || (region_rights & rights::kStackGuard) != 0) return 0;
  uint64_t flags = kPresent | kUser;
  if ((region_rights & rights::kWrite) != 0) flags |= kWritable;
  if ((region_rights & rights::kExecute) == 0) flags |= kNoExecute;
  return flags;
}

/** Appends machine code into a page that is known to be large enough. */
class CodeWriter {
 public:
  CodeWriter(uint8_t* page, uint64_t offset) : page_(page), offset_(offset) {}
  void bytes(std::initializer_list<uint8_t> code) {
    for (const uint8_t byte : code) page_[offset_++] = byte;
  }
  /** A RIP-relative displacement to an offset in the page that follows this one. */
  void to_next_page(uint64_t target_offset) {
    const auto displacement = static_cast<uint32_t>(kPageBytes + target_offset - (offset_ + 4));
    std::memcpy(page_ + offset_, &displacement, sizeof displacement);
    offset_ += sizeof displacement;
  }

 private:
  uint8_t* page_;
  uint64_t offset_;
};

void write_stubs(uint8_t* page) {
  for (uint32_t vector = 0; vector < kVectors; vector++) {
    CodeWriter code(page, vector * kStubBytes);
    if (!has_error_code(vector)) code.bytes({0x6a, 0x00});                  // push 0
    code.bytes({0xe6, static_cast<uint8_t>(kPortBase + vector)});           // out %al, $port
    code.bytes({0x0f, 0x0b});                                               // ud2: the host never resumes here
  }
}

void write_trampoline(uint8_t* page, bool with_xsave) {
  static_assert(kEntryDataPage == kEntryCodePage + 1 && kResumeDataPage == kResumeCodePage + 1,
                "the displacements below count on it");
  CodeWriter code(page, 0);
  code.bytes({0xb8, 0xff, 0xff, 0xff, 0xff});  // mov $-1, %eax
  code.bytes({0xba, 0xff, 0xff, 0xff, 0xff});  // mov $-1, %edx
  if (with_xsave)
    code.bytes({0x48, 0x0f, 0xae, 0x2d});  // xrstor64 image(%rip)
  else
    code.bytes({0x48, 0x0f, 0xae, 0x0d});  // fxrstor64 image(%rip)
  code.to_next_page(kImageOffset);
  code.bytes({0x48, 0x8b, 0x05});  // mov rax_word(%rip), %rax
  code.to_next_page(kWordsOffset + offsetof(EntryWords, rax));
  code.bytes({0x48, 0x8b, 0x15});  // mov rdx_word(%rip), %rdx
  code.to_next_page(kWordsOffset + offsetof(EntryWords, rdx));
  code.bytes({0xff, 0x25});  // jmp *rip_word(%rip)
  code.to_next_page(kWordsOffset + offsetof(EntryWords, rip));
}

void write_descriptors(uint8_t* page) {
  // Accessed bits are set, so that the CPU never has a reason to write here. Entry 1 stays empty: a ring-0 guest's
  // own code selector faults on it (ring0-guests 5).
  const uint64_t tss = address_of(kTssPage);
  uint64_t gdt[10] = {};
  gdt[2] = 0x00af9b000000ffff;  // 0x10 ring 0 code
  gdt[3] = 0x00cf93000000ffff;  // 0x18 ring 0 data
  gdt[5] = 0x00cff3000000ffff;  // 0x28 user data
  gdt[6] = 0x00affb000000ffff;  // 0x30 user code
  gdt[8] = 0x0000890000000000 | (kTssLimit & 0xffff) | ((tss & 0xffffff) << 16) | (((tss >> 24) & 0xff) << 56);
  gdt[9] = tss >> 32;
  std::memcpy(page, gdt, sizeof gdt);

  for (uint32_t vector = 0; vector < kVectors; vector++) {
    const uint64_t stub = address_of(kStubPage) + vector * kStubBytes;
    const uint64_t dpl = vector == 1 || vector == 3 ? 3 : 0;  // int1 and int3 are the guest's to use
    const uint64_t gate[2] = {
        (stub & 0xffff) | (uint64_t{kKernelCode} << 16) | ((0x8e | (dpl << 5)) << 40) | (((stub >> 16) & 0xffff) << 48),
        stub >> 32,
    };
    std::memcpy(page + kIdtOffset + vector * sizeof gate, gate, sizeof gate);
  }
}

void write_tss(uint8_t* pages) {
  // Every port is open: an OUT leaves the VM at once, whichever port it names. The bitmap's zeros say so, those of
  // the byte behind it for a wide OUT to the last ports.
  const uint64_t stack_top = address_of(kStackPage) + kPageBytes;
  const uint16_t bitmap_offset = kTssHeaderBytes;
  std::memcpy(pages + 4, &stack_top, sizeof stack_top);
  std::memcpy(pages + 102, &bitmap_offset, sizeof bitmap_offset);
}

}  // namespace

Monitor::Monitor(bool with_xsave)
    : memory_(Mapping::anonymous(kMonitorBytes)),
      given_tables_{kFirstGivenTablePage, kGivenTablePages, {}},
      region_tables_{kFirstRegionTablePage, kRegionTablePages, {}} { write_fixed_tables(with_xsave); }

uint64_t Monitor::guest_physical() noexcept { return kGuestPhysical; }

SystemTables Monitor::system_tables() noexcept {
  SystemTables tables{};
  tables.page_table_root = physical(kPml4Page);
  tables.gdt_base = address_of(kDescriptorPage);
  tables.gdt_limit = 10 * 8 - 1;
  tables.idt_base = address_of(kDescriptorPage) + kIdtOffset;
  tables.idt_limit = kVectors * 16 - 1;
  tables.tss_base = address_of(kTssPage);
  tables.tss_limit = kTssLimit;
  tables.syscall_target = address_of(kStackPage);
  return tables;
}

bool Monitor::is_syscall_target(uint64_t rip) noexcept { return rip == address_of(kStackPage); }

// SAFETY (both): the monitor mapping holds kFirstTablePage + 512 pages, and `index` is below tables_ <= 512.
uint64_t* Monitor::page_directory() const noexcept {
  return reinterpret_cast<uint64_t*>(memory_.data() + kLowDirectoryPage * kPageBytes);
}
uint64_t* Monitor::page_table(uint64_t index) const noexcept {
  return reinterpret_cast<uint64_t*>(memory_.data() + (kFirstTablePage + index) * kPageBytes);
}

void Monitor::write_fixed_tables(bool with_xsave) {
  const auto page = [this](uint64_t index) { return memory_.data() + index * kPageBytes; };
  const auto put = [&page](uint64_t table_page, uint64_t entry, uint64_t value) {
    std::memcpy(page(table_page) + entry * 8, &value, sizeof value);
  };
  constexpr uint64_t kDirectory = kPresent | kWritable | kUser;  // the leaves decide
  put(kPml4Page, 0, physical(kLowPdptPage) | kDirectory);
  put(kPml4Page, kHighEntry, physical(kHighPdptPage) | kDirectory);
  put(kLowPdptPage, 0, physical(kLowDirectoryPage) | kDirectory);
  put(kHighPdptPage, 0, physical(kHighDirectoryPage) | kDirectory);
  put(kHighDirectoryPage, 0, physical(kHighTablePage) | kDirectory);

  // Leaves carry A and D from the start, so that no walk has to write them.
  constexpr uint64_t kLeaf = kPresent | kAccessedBit | kDirtyBit;
  put(kHighTablePage, kDescriptorPage, physical(kDescriptorPage) | kLeaf | kNoExecute);
  for (uint64_t i = 0; i < 3; i++) put(kHighTablePage, kTssPage + i, physical(kTssPage + i) | kLeaf | kNoExecute);
  put(kHighTablePage, kStubPage, physical(kStubPage) | kLeaf);
  put(kHighTablePage, kStackPage, physical(kStackPage) | kLeaf | kWritable | kNoExecute);
  for (const uint64_t code : {kEntryCodePage, kResumeCodePage}) {
    put(kHighTablePage, code, physical(code) | kLeaf | kUser);
    put(kHighTablePage, code + 1, physical(code + 1) | kLeaf | kUser | kNoExecute);
  }

  write_descriptors(page(kDescriptorPage));
  write_tss(page(kTssPage));
  write_stubs(page(kStubPage));
  write_trampoline(page(kEntryCodePage), with_xsave);
  write_trampoline(page(kResumeCodePage), with_xsave);
  // XSTATE_BV = 0: every component takes its initial state; MXCSR alone is read from the image.
  std::memcpy(page(kEntryDataPage) + kImageOffset, &kInitialFcw, sizeof kInitialFcw);
  std::memcpy(page(kEntryDataPage) + kImageOffset + 24, &kInitialMxcsr, sizeof kInitialMxcsr);
}

void Monitor::map_guest(const Plan& plan) {
  pages_ = plan.pages();
  tables_ = (pages_ + kEntries - 1) / kEntries;
  uint64_t* directory = page_directory();
  for (uint64_t i = 0; i < tables_; i++) directory[i] = physical(kFirstTablePage + i) | kPresent | kWritable | kUser;
  for (const PlannedRegion& region : plan.regions()) {
    const uint64_t flags = guest_flags(region.rights);
    if (flags == 0) continue;
    const uint64_t end = (region.address + region.length_bytes) / kPageBytes;
    for (uint64_t i = region.address / kPageBytes; i < end; i++)
      page_table(i / kEntries)[i % kEntries] = (i * kPageBytes) | flags;
  }
}

GeneralRegisters Monitor::prepare_entry(const GeneralRegisters& wanted) noexcept {
  return through_trampoline(kEntryCodePage, wanted);
}

void Monitor::set_resume_image(std::span<const uint8_t> image) noexcept {
  std::memcpy(memory_.data() + kResumeDataPage * kPageBytes + kImageOffset, image.data(),
              std::min<std::size_t>(image.size(), kWordsOffset));
}

GeneralRegisters Monitor::prepare_resume(const GeneralRegisters& wanted) noexcept {
  return through_trampoline(kResumeCodePage, wanted);
}

GeneralRegisters Monitor::through_trampoline(uint64_t code_page, const GeneralRegisters& wanted) noexcept {
  const EntryWords words{wanted.rax, wanted.rdx, wanted.rip};
  std::memcpy(memory_.data() + (code_page + 1) * kPageBytes + kWordsOffset, &words, sizeof words);
  GeneralRegisters registers = wanted;
  registers.rip = address_of(code_page);
  registers.rflags = user_rflags(wanted.rflags);
  return registers;
}

void Monitor::set_present(uint64_t address, uint64_t length_bytes, bool present) noexcept {
  if (length_bytes == 0) return;
  const uint64_t last = (address + length_bytes - 1) / kPageBytes;
  for (uint64_t page = address / kPageBytes; page <= last && page < pages_; page++) {
    uint64_t& entry = page_table(page / kEntries)[page % kEntries];
    // Only the plan's own pages have the user bit: what it left out stays out.
    if ((entry & kUser) == 0) continue;
    entry = present ? entry | kPresent : entry & ~kPresent;
  }
}

void Monitor::TablePool::clear() noexcept {
  for (uint64_t* entry : entries) *entry = 0;
  entries.clear();
}

uint64_t* Monitor::entry_for(uint64_t address, int level_shift, TablePool& pool) {
  constexpr uint64_t kDirectory = kPresent | kWritable | kUser;
  constexpr uint64_t kAddressMask = 0x000ffffffffff000;
  // SAFETY: every present entry above the leaves leads to a page of the monitor slot: write_fixed_tables, map_guest and
  // the lines below write no others, and the guest cannot reach them.
  uint64_t* table = reinterpret_cast<uint64_t*>(memory_.data() + kPml4Page * kPageBytes);
  for (int shift = 39; shift > level_shift; shift -= 9) {
    uint64_t& entry = table[(address >> shift) % kEntries];
    if ((entry & kPresent) == 0) {
      if (pool.entries.size() == pool.capacity) return nullptr;
      const uint64_t page = pool.first_page + pool.entries.size();
      std::memset(memory_.data() + page * kPageBytes, 0, kPageBytes);
      entry = physical(page) | kDirectory;
      pool.entries.push_back(&entry);
    }
    table = reinterpret_cast<uint64_t*>(memory_.data() + ((entry & kAddressMask) - kGuestPhysical));
  }
  return &table[(address >> level_shift) % kEntries];
}

void Monitor::map_regions(const Regions& regions) {
  for (uint64_t* entry : region_entries_) *entry = 0;
  region_entries_.clear();
  region_tables_.clear();
  for (const auto& region : regions) {
    const PlannedRegion& place = region->place();
    const uint64_t end = place.address + place.length_bytes;
    // A and D from the start, as in the monitor's own leaves: nothing is ever restored here.
    const uint64_t flags = guest_flags(place.rights) | kAccessedBit | kDirtyBit;
    for (uint64_t address = place.address; address < end;) {
      const bool large = address % kLargePageBytes == 0 && end - address >= kLargePageBytes;
      uint64_t* entry = entry_for(address, large ? kLargePageShift : kPageShift, region_tables_);
      if (entry == nullptr) throw KvmError(ErrorCode::Hypervisor, "no room for the page tables of a region");
      *entry = address | flags | (large ? kLargeBit : 0);
      region_entries_.push_back(entry);
      address += large ? kLargePageBytes : kPageBytes;
    }
  }
}

bool Monitor::give_page(uint64_t virtual_page, uint64_t physical_page, bool writable, bool executable) {
  bool forget = false;
  uint64_t* entry = entry_for(virtual_page, kPageShift, given_tables_);
  if (entry == nullptr || given_.size() >= kMaxGivenPages) {
    forget = take_pages_back(false);
    entry = entry_for(virtual_page, kPageShift, given_tables_);
  }
  const auto same = [entry](const GivenPage& page) { return page.entry == entry; };
  if (const auto before = std::find_if(given_.begin(), given_.end(), same); before != given_.end()) {
    collect_dirty();
    given_.erase(before);
    forget = true;
  }
  given_.push_back({entry, physical_page});
  *entry = physical_page | kPresent | kUser | (writable ? kWritable : 0) | (executable ? 0 : kNoExecute);
  return forget;
}

void Monitor::open_table_page(uint64_t page_address) {
  const uint64_t page = page_address / kPageBytes;
  opened_tables_.push_back(page);
  page_table(page / kEntries)[page % kEntries] |= page_address | kPresent | kUser | kWritable | kNoExecute;
}

void Monitor::collect_dirty() noexcept {
  for (const GivenPage& page : given_)
    if ((*page.entry & kDirty) != 0) mark_dirty(page.physical_page, 1);
}

bool Monitor::take_pages_back(bool tables_too) noexcept {
  bool any = !given_.empty();
  collect_dirty();
  for (const GivenPage& page : given_) *page.entry = 0;
  given_.clear();
  given_tables_.clear();
  if (tables_too) {
    any = any || !opened_tables_.empty();
    // The dirty bit stays: a restore goes by it.
    for (const uint64_t page : opened_tables_) page_table(page / kEntries)[page % kEntries] &= kAccessed | kDirty;
    opened_tables_.clear();
  }
  return any;
}

std::optional<ExceptionFrame> Monitor::read_frame(uint16_t port, const GeneralRegisters& registers) const noexcept {
  struct {
    uint64_t error_code, rip, cs, rflags, rsp, ss;
  } pushed;
  const uint64_t stack_top = address_of(kStackPage) + kPageBytes;
  if (port < kPortBase || port >= kPortBase + kVectors) return std::nullopt;
  if (registers.rsp != stack_top - sizeof pushed) return std::nullopt;
  if (registers.rip < address_of(kStubPage) || registers.rip >= address_of(kStubPage) + kPageBytes) return std::nullopt;
  std::memcpy(&pushed, memory_.data() + (kStackPage + 1) * kPageBytes - sizeof pushed, sizeof pushed);
  if ((pushed.cs & 3) != 3) return std::nullopt;
  return ExceptionFrame{static_cast<uint32_t>(port - kPortBase),
                        pushed.error_code,
                        pushed.rip,
                        pushed.cs,
                        pushed.rflags,
                        pushed.rsp,
                        pushed.ss};
}

GeneralRegisters Monitor::behind_stub(const GeneralRegisters& registers) const noexcept {
  struct {
    uint64_t rip, cs, rflags, rsp, ss;
  } pushed;
  const uint64_t stack_top = address_of(kStackPage) + kPageBytes;
  const uint64_t depth = stack_top - registers.rsp;  // with the error code, or before it
  const bool in_stub = registers.rip >= address_of(kStubPage) && registers.rip < address_of(kStubPage) + kPageBytes &&
                       (depth == sizeof pushed || depth == sizeof pushed + sizeof(uint64_t));
  if (!in_stub) return registers;
  std::memcpy(&pushed, memory_.data() + (kStackPage + 1) * kPageBytes - sizeof pushed, sizeof pushed);
  GeneralRegisters guest = registers;
  guest.rip = pushed.rip;
  guest.rsp = pushed.rsp;
  guest.rflags = pushed.rflags & ~rflags::kResume;
  return guest;
}

void Monitor::mark_dirty(uint64_t address, uint64_t length_bytes) noexcept {
  if (length_bytes == 0) return;
  const uint64_t last = (address + length_bytes - 1) / kPageBytes;
  for (uint64_t page = address / kPageBytes; page <= last && page < pages_; page++) {
    page_directory()[page / kEntries] |= kAccessed;
    page_table(page / kEntries)[page % kEntries] |= kDirty;
  }
}

void Monitor::clear_dirty() noexcept {
  uint64_t* directory = page_directory();
  for (uint64_t table = 0; table < tables_; table++) {
    if ((directory[table] & kAccessed) == 0) continue;
    directory[table] &= ~kAccessed;
    uint64_t* entries = page_table(table);
    for (uint64_t i = 0; i < kEntries; i++) entries[i] &= ~(kAccessed | kDirty);
  }
}

}  // namespace mayfly
