#pragma once

#include <cstring>
#include <string>

#include "guest.hpp"

// A guest built for ring 0: the page tables of guest-abi 1.3 as plain data, a GDT and an IDT of guest-abi 9.2 and 9.4
// in its own memory, and code that may use them.
namespace mayfly::test::ring0 {

inline constexpr uint64_t kTables = 0x8000;
inline constexpr uint64_t kHandlers = kCode + 0x1000;  // of vector n at + 16 n: mov $n, %r15d; hlt
inline constexpr uint64_t kResumeHandler = kCode + 0x2000;
inline constexpr uint64_t kGdtOperand = kData + 0x100;
inline constexpr uint64_t kIdtOperand = kData + 0x110;
inline constexpr uint64_t kGdt = kData + 0x200;
inline constexpr uint64_t kIdt = kData + 0x1000;
inline constexpr uint64_t kScratch = kData + 0x400;
inline constexpr uint64_t kMapped = 0x40000000;  // 1 GiB: where guests map regions

inline std::shared_ptr<const Plan> plan() {
  using namespace rights;
  return Plan::create(kMemoryBytes,
                      {
                          {kCode, 4 * kPageBytes, kRead | kWrite | kExecute},
                          {kReadOnly, kPageBytes, kRead},
                          {kOutput, kPageBytes, kRead | kWrite},
                          {kGuard, kPageBytes, kRead | kStackGuard},
                          {kStack, kPageBytes, kRead | kWrite},
                          {kData, kDataPages * kPageBytes, kRead | kWrite},
                      },
                      {kOutput, kPageBytes}, kTables);
}

template <typename T>
void append(std::vector<uint8_t>& bytes, T value) {
  // SAFETY: the bytes of a local of this size.
  const auto* raw = reinterpret_cast<const uint8_t*>(&value);
  bytes.insert(bytes.end(), raw, raw + sizeof value);
}

inline std::vector<uint8_t> table_operand(uint16_t limit, uint64_t base) {
  std::vector<uint8_t> bytes;
  append(bytes, limit);
  append(bytes, base);
  return bytes;
}

inline std::vector<uint8_t> gate(uint64_t target, uint64_t attributes = 0x8e00) {
  std::vector<uint8_t> bytes;
  append(bytes, (target & 0xffff) | (0x08ull << 16) | (attributes << 32) | ((target & 0xffff0000) << 32));
  append(bytes, target >> 32);
  return bytes;
}

inline std::vector<uint8_t> page_tables() {
  std::vector<uint64_t> entries(kTables / 8);
  entries[0] = 0x1003;
  entries[512] = 0x2003;
  for (uint64_t table = 0; table < 2; table++) {
    entries[1024 + table] = (0x3000 + table * 0x1000) | 3;
    for (uint64_t i = 0; i < 512; i++) entries[1536 + table * 512 + i] = ((table * 512 + i) << 12) | 7;
  }
  std::vector<uint8_t> bytes(kTables);
  std::memcpy(bytes.data(), entries.data(), bytes.size());
  return bytes;
}

inline std::shared_ptr<Vm> make_vm(SyncClient& client, std::span<const uint8_t> code,
                                   std::span<const uint8_t> resume_handler = {}) {
  std::vector<uint8_t> handlers;
  std::vector<uint8_t> idt;
  for (uint8_t vector = 0; vector < 32; vector++) {
    handlers.insert(handlers.end(), {0x41, 0xbf, vector, 0, 0, 0, 0xf4});
    handlers.resize(handlers.size() + 9);
    const auto entry = gate(vector == 6 && !resume_handler.empty() ? kResumeHandler : kHandlers + vector * 16);
    idt.insert(idt.end(), entry.begin(), entry.end());
  }
  std::vector<uint8_t> gdt;
  for (const uint64_t entry : {0ull, 0x00a09a0000000000ull, 0x00c0920000000000ull, 0x12c0920034560000ull,
                               0x00c0120000000000ull, 0x00a0fa0000000000ull})
    append(gdt, entry);
  const auto tables = page_tables();
  const auto gdt_operand = table_operand(static_cast<uint16_t>(gdt.size() - 1), kGdt);
  const auto idt_operand = table_operand(32 * 16 - 1, kIdt);
  const Engine::Load load[] = {{0, tables},         {kCode, code},  {kHandlers, handlers}, {kResumeHandler, resume_handler},
                               {kGdtOperand, gdt_operand}, {kIdtOperand, idt_operand}, {kGdt, gdt}, {kIdt, idt}};
  return client.create_vm(plan(), load);
}

inline std::string reason(const Answer& answer) { return answer.reason; }

}  // namespace mayfly::test::ring0

// guest-abi 9.2: what every guest does at its start. Selector 0x10 in %ax afterwards.
#define RING0_TABLES                                                                                   \
  "lgdt 0x200100; mov $0x10, %eax; mov %ax, %ds; mov %ax, %es; mov %ax, %fs; mov %ax, %gs; mov %ax, %ss; " \
  "push $8; lea 9f(%rip), %rcx; push %rcx; lretq; 9: lidt 0x200110; "
