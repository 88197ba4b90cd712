#include "kill_line.hpp"

#include <sys/socket.h>

#include <cerrno>

#include "wire.hpp"

namespace mayfly::cell {

bool KillLine::send(uint32_t seat, uint64_t call) noexcept {
  MessageHeader head{};
  head.kind = static_cast<uint32_t>(Message::Kill);
  head.seat = seat;
  head.a = call;
  const std::lock_guard lock(mutex_);
  if (control_fd_ < 0) return false;
  ssize_t sent;
  do sent = ::send(control_fd_, &head, sizeof head, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  return sent == sizeof head;
}

void KillLine::shut() noexcept {
  const std::lock_guard lock(mutex_);
  control_fd_ = -1;
}

bool SeatKill::kill(uint64_t call) noexcept {
  const std::lock_guard lock(mutex_);
  return !shut_ && line_->send(seat_, call);
}

void SeatKill::shut() noexcept {
  const std::lock_guard lock(mutex_);
  shut_ = true;
}

}  // namespace mayfly::cell
