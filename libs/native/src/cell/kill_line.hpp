#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

namespace mayfly::cell {

/**
 * The way of kills into a cell from threads that do not own its channel: a message of its own on the control socket,
 * whose messages go whole. It waits for nothing: where the socket is full, the kill is left to the channel's owner.
 */
class KillLine {
 public:
  explicit KillLine(int control_fd) noexcept : control_fd_(control_fd) {}
  KillLine(const KillLine&) = delete;
  KillLine& operator=(const KillLine&) = delete;

  /** Any thread. @returns whether it went: not where the socket is full, or gone. */
  bool send(uint32_t seat, uint64_t call) noexcept;
  /** The channel's owner, before the socket closes: its number may then be another's. */
  void shut() noexcept;

 private:
  std::mutex mutex_;
  int control_fd_;  // under mutex_; -1: shut
};

/** Kills of one VM of a cell. Its seat has another VM later, which no late kill may reach. */
class SeatKill {
 public:
  SeatKill(std::shared_ptr<KillLine> line, uint32_t seat) noexcept : line_(std::move(line)), seat_(seat) {}
  SeatKill(const SeatKill&) = delete;
  SeatKill& operator=(const SeatKill&) = delete;

  /** Any thread. @returns whether it went. */
  bool kill(uint64_t call) noexcept;
  /** The channel's owner, before the VM's close is sent: no kill comes behind it. */
  void shut() noexcept;

 private:
  const std::shared_ptr<KillLine> line_;
  const uint32_t seat_;
  std::mutex mutex_;
  bool shut_ = false;  // under mutex_
};

}  // namespace mayfly::cell
