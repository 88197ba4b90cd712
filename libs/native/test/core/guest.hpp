#pragma once

#include <memory>
#include <span>
#include <vector>

#include "sync_client.hpp"

// Guest code stands beside the test that runs it, as assembly; it has to be position independent.
#define GUEST(name, code)                                                                          \
  asm(".pushsection .rodata\n.hidden guest_" #name "\n.globl guest_" #name "\nguest_" #name ":\n" code "\n" \
      ".hidden guest_" #name "_end\n.globl guest_" #name "_end\nguest_" #name "_end:\n.popsection\n");      \
  extern "C" const uint8_t guest_##name[];                                                         \
  extern "C" const uint8_t guest_##name##_end[];                                                   \
  static std::span<const uint8_t> name() {                                                         \
    return {guest_##name, static_cast<std::size_t>(guest_##name##_end - guest_##name)};            \
  }

namespace mayfly::test {

// A guest of a few code pages, one stack and some data pages.
inline constexpr uint64_t kCode = 0x10000;      // 4 pages, read and execute
inline constexpr uint64_t kReadOnly = 0x18000;  // 1 page
inline constexpr uint64_t kOutput = 0x19000;    // 1 page, the output buffer
inline constexpr uint64_t kGuard = 0x1f000;     // 1 page
inline constexpr uint64_t kStack = 0x20000;     // 1 page
inline constexpr uint64_t kStackTop = 0x21000;
inline constexpr uint64_t kData = 0x200000;     // 256 pages
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

inline GeneralRegisters entry_with(uint64_t rdi, uint64_t rsi = 0) {
  GeneralRegisters registers = entry_at();
  registers.rdi = rdi;
  registers.rsi = rsi;
  return registers;
}

/** A VM of `test_plan` with this machine code at kCode. */
inline std::shared_ptr<Vm> make_vm(SyncClient& client, std::span<const uint8_t> code) {
  const Engine::Load load[] = {{kCode, code}};
  return client.create_vm(test_plan(), load);
}

/** Runs one call from its entry to the exit that settles it. */
inline const Answer& enter(SyncClient& client, Vm& vm, const GeneralRegisters& registers = entry_at(),
                           bool restore = false) {
  RequestBuilder request;
  request.entry(registers).starts_call();
  if (restore) request.restore();
  const Answer& answer = client.run(vm, request);
  vm.end_call();
  return answer;
}

/** Goes on where the guest stands. */
inline const Answer& go_on(SyncClient& client, Vm& vm) {
  RequestBuilder request;
  return client.run(vm, request);
}

inline std::vector<uint8_t> read_bytes(Vm& vm, uint64_t address, uint64_t length) {
  std::vector<uint8_t> bytes(length);
  vm.read(address, bytes);
  return bytes;
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

/** The code of the KvmError that `body` throws; None when it throws nothing. */
template <typename Body>
ErrorCode code_of(Body&& body) {
  try {
    body();
  } catch (const KvmError& error) {
    return error.code();
  }
  return ErrorCode::None;
}

}  // namespace mayfly::test
