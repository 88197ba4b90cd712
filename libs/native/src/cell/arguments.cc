#include "arguments.hpp"

#include <charconv>
#include <limits>
#include <string>
#include <string_view>

#include "../core/error.hpp"
#include "wire.hpp"

namespace mayfly::cell {
namespace {

template <typename T>
void set(T& target, std::string_view text, uint64_t least, uint64_t most, std::string_view word) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most)
    throw KvmError(ErrorCode::Option, "not a number in its range: " + std::string(word));
  target = static_cast<T>(value);
}

}  // namespace

Arguments Arguments::parse(std::span<const char* const> words) {
  constexpr uint64_t kMost32 = std::numeric_limits<uint32_t>::max();
  constexpr uint64_t kMost64 = std::numeric_limits<uint64_t>::max();
  Arguments result;
  for (const std::string_view word : words) {
    const std::size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const std::string_view text = equals == std::string_view::npos ? "" : word.substr(equals + 1);
    if (name == "--slots") set(result.slots, text, 1, kMaxSlots, word);
    else if (name == "--seats") set(result.seats, text, 1, kMaxSeats, word);
    else if (name == "--spare-shells") set(result.spare_shells, text, 0, 64, word);
    else if (name == "--uid-base") set(result.uid_base, text, 0, kMost32 - jail::kUids, word);
    else if (name == "--max-tasks") set(result.max_tasks, text, 1, kMost64, word);
    else if (name == "--max-files") set(result.max_files, text, 1, kMost64, word);
    else if (name == "--max-file-bytes") set(result.max_file_bytes, text, 0, kMost64, word);
    else throw KvmError(ErrorCode::Option, "an unknown argument: " + std::string(word));
  }
  return result;
}

}  // namespace mayfly::cell
