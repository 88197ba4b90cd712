#pragma once

#include <optional>
#include <span>
#include <vector>

#include "../core/unique_fd.hpp"
#include "wire.hpp"

namespace mayfly::cell {

/** One message as it came, its numbers unchecked but for the lengths. */
struct ControlMessage {
  MessageHeader head;
  std::span<const uint8_t> body;  // until the next `receive`
  UniqueFd file;                  // of Create and of a large Run
};

/** The cell's end: whole messages, copied by the kernel. */
class ControlSocket {
 public:
  explicit ControlSocket(int fd) : fd_(fd), buffer_(sizeof(MessageHeader) + kMessageBytes) {}

  /** Waits. @returns nothing when the worker is gone. @throws KvmError (Request) for a malformed message */
  std::optional<ControlMessage> receive();
  /** Waits while the worker does not read. @throws KvmError (DriverClosed) when it is gone. */
  void send(MessageHeader head, std::span<const uint8_t> body);

 private:
  const int fd_;
  std::vector<uint8_t> buffer_;
  std::vector<uint8_t> outgoing_;
};

}  // namespace mayfly::cell
