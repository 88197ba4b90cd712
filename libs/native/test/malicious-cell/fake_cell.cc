#include "fake_cell.hpp"

#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "../../src/cell/futex.hpp"
#include "../../src/cell/plan_file.hpp"
#include "../../src/core/clock.hpp"
#include "attacks.hpp"

namespace mayfly::cell {

void FakeCell::serve_messages() {
  while (auto message = control_.receive()) {
    const MessageHeader& head = message->head;
    switch (static_cast<Message>(head.kind)) {
      case Message::Create:
        create(*message);
        break;
      case Message::Close:
        publish({head.seat, head.generation, static_cast<uint32_t>(Op::Close), 0, 0, 0, 0});
        break;
      case Message::Read:
      case Message::Write: {
        MessageHeader reply{};
        reply.kind = static_cast<uint32_t>(Message::Reply);
        reply.seat = head.seat;
        reply.generation = head.generation;
        const std::vector<uint8_t> bytes(static_cast<Message>(head.kind) == Message::Read ? head.b : 0);
        if (!attack_read(attack_, *this, reply)) control_.send(reply, bytes);
        break;
      }
      default:
        break;
    }
  }
}

void FakeCell::create(const ControlMessage& message) {
  const PlanFile file = PlanFile::open(message.file.get(), message.head.a);
  const auto bytes = file.loads.empty() ? std::span<const uint8_t>{} : file.loads[0].bytes;
  const std::string text(bytes.begin(), bytes.end());
  const std::size_t space = text.find(' ');
  attack_ = text.substr(0, space);
  number_ = space == std::string::npos ? 0 : std::strtol(text.c_str() + space + 1, nullptr, 0);
  CompletionEntry entry{};
  entry.seat = message.head.seat;
  entry.generation = message.head.generation;
  entry.op = static_cast<uint32_t>(Op::Create);
  if (attack_ == "create-on-no-slot") entry.value = 7;
  publish(entry);
}

void FakeCell::serve_runs() {
  uint32_t taken = 0;
  for (;;) {
    Bell& bell = memory_.bell(0);
    const uint32_t seen = bell.rings.load();
    while (taken != memory_.ring(0).posted.load()) {
      const uint32_t seat = memory_.ring_entry(0, taken++).load();
      attack_run(attack_, number_, *this, {seat, memory_.request(seat).generation});
    }
    bell.sleeping.store(1);
    if (bell.rings.load() == seen) futex_wait(bell.rings, seen);
    bell.sleeping.store(0);
  }
}

void FakeCell::accomplice() {
  while (accomplice_word_.load() == 0) futex_wait(accomplice_word_, 0);
  for (;;) accomplice_work_(*this);
}

void FakeCell::call_accomplice(void (*work)(FakeCell&)) {
  if (accomplice_word_.load() != 0) return;
  accomplice_work_ = work;
  accomplice_word_.store(1);
  futex_wake_one(accomplice_word_);
}

CompletionEntry FakeCell::completion(const RunAt& run) {
  return {run.seat, run.generation, static_cast<uint32_t>(Op::Run), 0, 0, 0, 0};
}

Answer FakeCell::answer() {
  Answer answer{};
  answer.exit = ExitKind::Halt;
  answer.exits = 1;
  const auto now = static_cast<double>(monotonic_ns());
  answer.posted_ns = answer.taken_ns = answer.restored_ns = answer.entered_ns = answer.left_ns = answer.answered_ns = now;
  return answer;
}

void FakeCell::publish(const CompletionEntry& entry, const Answer& answer) {
  std::memcpy(&memory_.answer(entry.seat), &answer, sizeof answer);
  publish(entry);
}

void FakeCell::publish(const CompletionEntry& entry) {
  const std::lock_guard lock(mutex_);
  memory_.completion(produced_) = entry;
  produced_++;
  memory_.outbox().produced.store(produced_);
  wake();
}

void FakeCell::wake() noexcept {
  const uint64_t one = 1;
  static_cast<void>(!::write(kEventFd, &one, sizeof one));
}

void FakeCell::say(Message kind, std::size_t body_bytes) {
  MessageHeader head{};
  head.kind = static_cast<uint32_t>(kind);
  control_.send(head, std::vector<uint8_t>(body_bytes, 0xaa));
}

}  // namespace mayfly::cell
