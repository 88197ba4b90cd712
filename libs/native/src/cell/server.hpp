#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "../core/engine.hpp"
#include "control_socket.hpp"
#include "seat.hpp"
#include "shared_memory.hpp"

namespace mayfly::cell {

/**
 * The engine of a cell, served to a worker. What an engine's caller does on one thread is done here by whichever
 * thread has it at hand, under one lock (`Turn`): a slot's thread takes runs out of its ring and publishes what it has
 * ended, the control thread does the rest. So a call crosses no thread of the cell but its slot's.
 */
class Server final : private Inlet {
 public:
  /** @throws KvmError when this host cannot run guests. */
  Server(SharedMemory memory, EngineOptions options, ControlSocket& control, int event_fd);
  ~Server() override;

  /** The control thread, for good: returns when the worker is gone. @throws KvmError for what no worker sends */
  void serve();

 private:
  class Turn;

  uint32_t seen(uint32_t slot) noexcept override;
  void take(uint32_t slot) noexcept override;
  void wait(uint32_t slot, uint32_t seen) noexcept override;
  void wake(uint32_t slot) noexcept override;
  /** Any thread: operations have ended. */
  void ended();

  // Under the turn.
  /** Takes the seats out of a slot's ring, in order. */
  void take_ring(uint32_t slot);
  /** Begins the run of a seat, unless it was taken back. @returns whether it did. */
  bool begin(uint32_t seat);
  /** Whether the run that a seat has now was taken back. */
  bool is_revoked(uint32_t seat) const;
  /** Takes a seat out of the line of its slot. @returns whether it stood there. */
  bool leave_line(uint32_t seat);
  void publish_revoked(uint32_t seat);
  void post_run(uint32_t seat, const SeatRequest& head, std::span<const uint8_t> block);
  void handle(const ControlMessage& message);
  void create(uint32_t seat, const ControlMessage& message);
  void run_file(const ControlMessage& message);
  void read(const MessageHeader& head);
  void write(const ControlMessage& message);
  void prime(Seat& seat, const ControlMessage& message);
  void close(uint32_t index, uint32_t generation);
  void kill(uint32_t seat, uint64_t call);
  template <typename Post>
  void post(uint32_t seat, uint32_t generation, Op op, Post&& body);
  void seat_vm(uint32_t seat, std::shared_ptr<Vm> vm, std::shared_ptr<const Windows> windows, uint32_t generation);
  KeptSnapshot& kept(uint32_t id);
  Seat& occupied(uint32_t seat);

  void drain();
  void publish(Completion completion);
  uint32_t publish_answer(const Seat& seat, uint32_t index);
  /** Guest memory that goes with an answer. @returns its bytes */
  uint32_t publish_tail(const Seat& seat, uint32_t index);
  void publish_failure(uint32_t seat, uint32_t generation, Op op, const KvmError& error);
  void put_reason(uint32_t seat, const std::string& text) noexcept;
  void push(const CompletionEntry& entry) noexcept;
  void signal() noexcept;
  void reply(const MessageHeader& request, ErrorCode status, std::span<const uint8_t> bytes);

  const SharedMemory memory_;
  ControlSocket& control_;
  const int event_fd_;
  std::mutex turn_;
  // Written under turn_; a thread that finds itself in it has the turn.
  std::atomic<std::thread::id> turn_owner_{};
  // All below: under turn_.
  bool bound_ = false;
  std::vector<Seat> seats_;
  std::vector<uint32_t> taken_;                // by slot: how many of its ring
  std::vector<std::deque<uint32_t>> waiting_;  // by slot: seats whose runs have not begun
  std::unordered_map<uint32_t, uint32_t> seat_of_vm_;
  std::unordered_map<uint32_t, KeptSnapshot> snapshots_;
  std::vector<uint8_t> scratch_;
  uint32_t produced_ = 0;
  uint32_t signalled_ = 0;
  std::unique_ptr<Engine> engine_;
};

}  // namespace mayfly::cell
