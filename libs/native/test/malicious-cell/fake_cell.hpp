#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "../../src/cell/control_socket.hpp"
#include "../../src/cell/shared_memory.hpp"

namespace mayfly::cell {

/** What a run looks like to an attack. */
struct RunAt {
  uint32_t seat;
  uint32_t generation;
};

/** The protocol of a cell without an engine behind it, and without scruples. */
class FakeCell {
 public:
  FakeCell(SharedMemory memory, ControlSocket& control) : memory_(std::move(memory)), control_(control) {}

  /** Control thread: answers each message as an honest cell would. Returns when the worker is gone. */
  void serve_messages();
  /** Slot thread: takes each run to its attack. For good. */
  [[noreturn]] void serve_runs();
  /** Second slot thread: sleeps until an attack calls for it, then runs what that gave it, for good. */
  [[noreturn]] void accomplice();
  void call_accomplice(void (*work)(FakeCell&));

  const SharedMemory& memory() const noexcept { return memory_; }
  ControlSocket& control() noexcept { return control_; }

  /** An entry that says the run has ended, and an answer that it halted. */
  static CompletionEntry completion(const RunAt& run);
  static Answer answer();
  /** Writes answer and entry, and wakes the worker. */
  void publish(const CompletionEntry& entry, const Answer& answer);
  /** Without an answer. */
  void publish(const CompletionEntry& entry);
  void wake() noexcept;
  /** A message with a body, straight to the socket. */
  void say(Message kind, std::size_t body_bytes);

 private:
  void create(const ControlMessage& message);

  const SharedMemory memory_;
  ControlSocket& control_;
  std::mutex mutex_;
  uint32_t produced_ = 0;  // under mutex_
  Word accomplice_word_{0};
  void (*accomplice_work_)(FakeCell&) = nullptr;  // written before the word
  // Written by the control thread before it completes the creation, read by the slot thread at a run, which follows.
  std::string attack_;
  long number_ = 0;
};

}  // namespace mayfly::cell
