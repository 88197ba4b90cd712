#pragma once

#include <initializer_list>
#include <memory>
#include <vector>

#include "sync_client.hpp"

namespace mayfly::test {

// A guest of one code page, one stack and some data pages, small enough to write its machine code by hand.
inline constexpr uint64_t kCode = 0x10000;        // 4 pages, read and execute
inline constexpr uint64_t kReadOnly = 0x18000;    // 1 page
inline constexpr uint64_t kOutput = 0x19000;      // 1 page, the output buffer
inline constexpr uint64_t kGuard = 0x1f000;       // 1 page
inline constexpr uint64_t kStack = 0x20000;       // 1 page
inline constexpr uint64_t kStackTop = 0x21000;
inline constexpr uint64_t kData = 0x200000;       // 256 pages
inline constexpr uint64_t kDataPages = 256;
inline constexpr uint64_t kMemoryBytes = 0x400000;

inline std::shared_ptr<const Plan> test_plan() {
  using namespace rights;
  return Plan::create(kMemoryBytes,
                      {
                          {kCode, 4 * kPageBytes, kRead | kExecute},
                          {kReadOnly, kPageBytes, kRead},
                          {kOutput, kPageBytes, kRead | kWrite},
                          {kGuard, kPageBytes, kRead | kStackGuard},
                          {kStack, kPageBytes, kRead | kWrite},
                          {kData, kDataPages * kPageBytes, kRead | kWrite},
                      },
                      {kOutput, kPageBytes});
}

inline GeneralRegisters entry_at(uint64_t rip = kCode) {
  GeneralRegisters registers{};
  registers.rip = rip;
  registers.rsp = kStackTop - 8;
  registers.rflags = 2;
  return registers;
}

/** A VM of `test_plan` with this machine code at kCode. */
inline std::shared_ptr<Vm> make_vm(SyncClient& client, std::initializer_list<uint8_t> code) {
  const std::vector<uint8_t> bytes(code);
  const Engine::Load load[] = {{kCode, bytes}};
  return client.create_vm(test_plan(), load);
}

/** Enters at `rip` as a call and returns the answer. */
inline const Answer& enter(SyncClient& client, Vm& vm, const GeneralRegisters& registers, bool restore = false) {
  RequestBuilder request;
  request.entry(registers).starts_call();
  if (restore) request.restore();
  const Answer& answer = client.run(vm, request);
  vm.end_call();
  return answer;
}

inline uint64_t read_u64(Vm& vm, uint64_t address) {
  uint64_t value = 0;
  // SAFETY: the bytes of a local of 8 bytes.
  vm.read(address, {reinterpret_cast<uint8_t*>(&value), sizeof value});
  return value;
}

inline void write_u64(Vm& vm, uint64_t address, uint64_t value) {
  // SAFETY: the bytes of a local of 8 bytes.
  vm.write(address, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
}

}  // namespace mayfly::test
