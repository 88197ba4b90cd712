// Random instructions against the decoder of privileged ones, under ASan and UBSan.
//   decoder-fuzz SECONDS SEED [FILE]   FILE: kept inputs, a line of hex bytes each; taken first

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "instruction.hpp"
#include "random.hpp"

namespace {

using mayfly::decode_privileged;
using mayfly::Instruction;
using mayfly::kMaxInstructionBytes;
using mayfly::kNoRegister;

/** Prefixes, escapes and opcodes that lead the decoder somewhere. */
constexpr uint8_t kTellingBytes[] = {0x0f, 0x01, 0x00, 0x20, 0x22, 0x21, 0x23, 0x30, 0x32, 0x66, 0x67, 0xf2, 0xf3,
                                     0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x48, 0x40, 0x44, 0x4c, 0x4f, 0xf4, 0xfa,
                                     0xfb, 0x8e, 0xcb, 0xca, 0xcf, 0xcd, 0x06, 0x08, 0x09, 0x35, 0x34, 0xc7, 0xae};

/** A copy of its own size, so that ASan sees a read past the end. */
std::optional<Instruction> decode(std::span<const uint8_t> bytes) {
  const auto exact = std::make_unique<uint8_t[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), exact.get());
  return decode_privileged({exact.get(), bytes.size()});
}

bool is_register(uint8_t number) { return number < 16 || number == kNoRegister; }

const char* problem_of(std::span<const uint8_t> bytes) {
  const auto found = decode(bytes);
  if (!found) return nullptr;
  if (found->length == 0 || found->length > bytes.size()) return "the length is not within the bytes";
  if (found->name == nullptr || *found->name == 0) return "it has no name";
  if (found->reg > 15 || found->rm > 15) return "a register is none";
  if (found->has_memory) {
    const auto& memory = found->memory;
    if (!is_register(memory.base) || !is_register(memory.index)) return "a register of the operand is none";
    if (memory.scale != 1 && memory.scale != 2 && memory.scale != 4 && memory.scale != 8) return "the scale is none";
  }
  const auto alone = decode(bytes.first(found->length));
  if (!alone || alone->kind != found->kind || alone->length != found->length)
    return "bytes behind the instruction change it";
  if (decode(bytes.first(found->length - 1U))) return "it decodes although its last byte is missing";
  return nullptr;
}

bool is_sound(std::span<const uint8_t> bytes) {
  const char* problem = problem_of(bytes);
  if (problem == nullptr) return true;
  std::printf("FINDING %s:", problem);
  for (const uint8_t byte : bytes) std::printf(" %02x", byte);
  std::printf("\n");
  return false;
}

/** @returns how many kept inputs are instructions; -1: a finding, or none. */
int replay(const char* path) {
  std::ifstream file(path);
  int found = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::vector<uint8_t> bytes;
    for (std::string word; words >> word;) bytes.push_back(static_cast<uint8_t>(std::stoul(word, nullptr, 16)));
    if (!is_sound(bytes)) return -1;
    if (decode(bytes)) found++;
  }
  return found > 0 ? found : -1;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 2;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  if (argc > 3 && replay(argv[3]) < 0) return 1;
  fuzz::Random random(seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  uint64_t inputs = 0;
  uint64_t decoded = 0;
  while ((inputs & 1023) != 0 || std::chrono::steady_clock::now() < end) {
    inputs++;
    std::vector<uint8_t> bytes(random.below(kMaxInstructionBytes + 1));
    const uint32_t telling = random.below(6);
    for (std::size_t i = 0; i < bytes.size(); i++)
      bytes[i] = i < telling ? kTellingBytes[random.below(sizeof kTellingBytes)] : static_cast<uint8_t>(random.below(256));
    if (decode(bytes)) decoded++;
    if (!is_sound(bytes)) return 1;
  }
  std::printf("decoder      %llu inputs, %llu of them instructions\n", static_cast<unsigned long long>(inputs),
              static_cast<unsigned long long>(decoded));
  return decoded == 0 ? 1 : 0;
}
