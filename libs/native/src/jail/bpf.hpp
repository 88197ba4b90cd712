#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

// As much of classic BPF as a system-call filter needs: pieces of program that are joined end to end.

namespace mayfly::jail::bpf {

using Program = std::vector<sock_filter>;

inline sock_filter load(uint32_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset); }
inline sock_filter mask(uint32_t bits) { return BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits); }
inline sock_filter answer(uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }
/** Goes on with the next instruction when the accumulator has the value, else skips `skip` of them. */
inline sock_filter if_equal(uint32_t value, uint8_t skip) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip);
}
inline sock_filter if_at_least(uint32_t value, uint8_t skip) {
  return BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, value, 0, skip);
}

inline sock_filter load_number() { return load(offsetof(seccomp_data, nr)); }
inline sock_filter load_architecture() { return load(offsetof(seccomp_data, arch)); }
/** The lower half of an argument: all that the kernel reads of an `int` or `unsigned int`. */
inline sock_filter load_argument(uint32_t index) {
  return load(static_cast<uint32_t>(offsetof(seccomp_data, args)) + 8 * index);
}

inline void append(Program& program, const Program& more) {
  program.insert(program.end(), more.begin(), more.end());
}

/** Kills unless the masked argument is one of the values. */
inline Program require_one_of(uint32_t argument, uint32_t bits, std::span<const uint32_t> values) {
  Program program{load_argument(argument)};
  if (bits != UINT32_MAX) program.push_back(mask(bits));
  // Each comparison that hits jumps over the rest and the kill behind it.
  for (std::size_t i = 0; i < values.size(); i++) {
    const auto to_end = static_cast<uint8_t>(values.size() - i);
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, values[i], to_end, 0));
  }
  program.push_back(answer(SECCOMP_RET_KILL_PROCESS));
  return program;
}

inline Program require(uint32_t argument, uint32_t bits, uint32_t value) {
  return require_one_of(argument, bits, std::span(&value, 1));
}

}  // namespace mayfly::jail::bpf
