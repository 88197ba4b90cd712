#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "../core/unique_fd.hpp"
#include "arguments.hpp"
#include "kill_line.hpp"
#include "shared_memory.hpp"

namespace mayfly::cell {

/** A completion as it was copied out of the outbox: nothing in it is checked but that its seat exists. */
struct TakenCompletion {
  CompletionEntry entry;
  Answer answer;
};

/**
 * The worker's end of one cell: spawns it, posts to it, and copies out what it says, once. Nothing here believes the
 * cell; what the numbers mean is checked by whoever takes the copies. One thread, which also has to live as long as the
 * cell (the kernel ends a cell with the thread that spawned it).
 */
class Channel {
 public:
  /**
   * @param executable path of mayfly-cell
   * @throws KvmError (NoHypervisor) when /dev/kvm does not open, (Hypervisor) when the cell cannot be started.
   */
  Channel(const std::string& executable, const Arguments& arguments);
  /** Kills the process and does not wait for it: `reap`. */
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  const Layout& layout() const noexcept { return memory_.layout(); }
  int event_fd() const noexcept { return event_.get(); }
  int control_fd() const noexcept { return control_.get(); }
  int log_fd() const noexcept { return log_.get(); }
  int pidfd() const noexcept { return process_.get(); }
  int pid() const noexcept { return pid_; }
  /** Stays when the channel goes, and then leads nowhere. */
  const std::shared_ptr<KillLine>& kill_line() const noexcept { return kill_line_; }

  /** A run through the seat: block of at most kSeatRequestBytes, seat and slot in range, the seat not in a ring. */
  void post_run(uint32_t slot, uint32_t seat, uint32_t generation, uint64_t call, bool killed,
                bool revocable, std::span<const uint8_t> block);
  /** Takes a revocable run back. @returns false when it has begun. */
  bool revoke(uint32_t seat) noexcept;
  /**
   * Sends a message, or keeps it while the socket is full (`flush`). Never waits.
   * @param file bytes that go along as a sealed memfd, its length in `a`; nothing: none
   * @throws KvmError (Hypervisor) when no file can be made; a cell that is gone is no error
   */
  void send(MessageHeader head, std::span<const uint8_t> body, const std::vector<std::span<const uint8_t>>& file = {});
  /** Whether messages wait for room in the socket. */
  bool backlog() const noexcept { return !backlog_.empty(); }
  void flush();

  enum class Receive { Message, Nothing, Gone };
  /** The next message of the cell, without waiting. Valid until the next call. */
  Receive receive(MessageHeader& head, std::span<const uint8_t>& body);
  /** Waits until `receive` has something. @returns false when nothing came in time. */
  bool wait_message(int timeout_ms) const noexcept;

  /** Takes the eventfd back to 0. */
  void clear_event() const noexcept;
  /**
   * The next completion; copies its answer too. Once it returns nothing, the cell wakes the worker for the next.
   * @throws KvmError (Request) when the cell claims more completions than there can be, or a seat that does not exist.
   */
  std::optional<TakenCompletion> take();
  /** Copies a part of what the last operation of the seat left. @throws KvmError (Range) */
  void copy_outbox(uint32_t seat, std::span<uint8_t> target) const;
  void copy_tail(uint32_t seat, std::span<uint8_t> target) const;
  /** Gives the pages of the seat's answers back. */
  void forget(uint32_t seat) noexcept;

  /** SIGKILL. Idempotent. */
  void kill() noexcept;
  /** Collects the process if it has ended. @returns whether it has, with its status as waitid's si_code and si_status. */
  bool reap(int& code, int& status) noexcept;

 private:
  struct Pending {
    std::vector<uint8_t> bytes;
    UniqueFd file;
  };

  /** @returns whether it went; false: the socket is full. */
  bool try_send(const Pending& message) noexcept;

  UniqueFd inbox_file_;
  UniqueFd outbox_file_;
  SharedMemory memory_;
  UniqueFd control_;
  std::shared_ptr<KillLine> kill_line_;
  UniqueFd event_;
  UniqueFd log_;
  UniqueFd process_;
  int pid_ = -1;
  bool reaped_ = false;
  uint32_t consumed_ = 0;
  std::vector<uint32_t> posted_;  // by slot
  std::deque<Pending> backlog_;
  std::vector<uint8_t> incoming_;
};

}  // namespace mayfly::cell
