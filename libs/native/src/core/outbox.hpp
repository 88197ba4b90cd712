#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "blocks.hpp"
#include "guest_memory.hpp"

namespace mayfly {

/** Ports of the guest ABI that need nobody outside (guest-abi 5.1). */
namespace ports {
inline constexpr uint16_t kLog = 99;
inline constexpr uint16_t kAbort = 102;
inline constexpr uint16_t kDebugPrint = 103;
}  // namespace ports

/**
 * What the guest sends while nobody outside is needed, kept in order and capped in the VM's block, undecoded:
 * log records popped from its output buffer, debug characters, and abort bytes up to their terminator.
 * Slot thread only.
 */
class Outbox {
 public:
  enum class Served : uint8_t {
    NotMine,   // an OUT for somebody outside
    GoOn,      // taken: enter the guest again
    Aborted,   // the abort has ended: settle
    BadGuest,  // settle as a protocol fault, with `fault`
  };

  /** Begins a run. `fresh`: from an entry, so that an abort begun before it is forgotten. */
  void begin(uint8_t* area, bool fresh) noexcept;
  void forget_abort() noexcept { abort_bytes_ = 0; }
  /** Serves an OUT of the guest. */
  Served serve(uint16_t port, uint32_t value, GuestMemory& memory);
  void report(Answer& answer) const noexcept;
  /** Nothing has been sent since `begin`. */
  bool silent() const noexcept { return entries_ == 0 && dropped_ == 0 && abort_bytes_ == 0; }
  const char* fault() const noexcept { return fault_; }

 private:
  static constexpr std::size_t kAbortBytes = 1024;
  static constexpr uint8_t kAbortEnd = 0xff;
  static constexpr uint32_t kMaxDropped = 65536;

  Served pop_log(GuestMemory& memory);
  Served take_abort(uint32_t value);
  Served finish_abort(std::span<const uint8_t> bytes);
  /** @returns false when so much was dropped that the guest has to stop. */
  bool push(uint16_t port, std::span<const uint8_t> bytes) noexcept;

  uint8_t* area_ = nullptr;
  uint32_t used_bytes_ = 0;
  uint32_t entries_ = 0;
  uint32_t dropped_ = 0;
  const char* fault_ = "";
  std::array<uint8_t, kAbortBytes> abort_{};
  std::size_t abort_bytes_ = 0;
};

}  // namespace mayfly
