// DESIGN
// Threads: control (main), one per slot, shell maker, reaper. A run: the worker fills the seat, counts the slot's ring
// up and rings its bell; the slot's thread wakes, takes the run in its turn, runs the guest without it, and in its next
// turn publishes the answer and signals the eventfd. The control thread has its turn for everything else.
// The turn stands for the engine's one caller. An operation that ends while its own thread has the turn (a close that
// cancels a queued run) is published when that turn ends; `turn_owner_` tells.
// Nobody is woken for nothing: the eventfd is written only when the worker had taken all that was published before, and
// the worker looks again after it has said so.

#include "server.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "../core/clock.hpp"
#include "futex.hpp"
#include "plan_file.hpp"

namespace mayfly::cell {

namespace {

StateKind state_kind(uint64_t number) {
  if (number > static_cast<uint64_t>(StateKind::Fpu)) throw KvmError(ErrorCode::Request, "no such kind of state");
  return static_cast<StateKind>(number);
}

}  // namespace

class Server::Turn {
 public:
  explicit Turn(Server& server) : server_(server), lock_(server.turn_) {
    server_.turn_owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    server_.drain();
    server_.signal();
    server_.turn_owner_.store({}, std::memory_order_relaxed);
  }

 private:
  Server& server_;
  const std::lock_guard<std::mutex> lock_;
};

Server::Server(SharedMemory memory, EngineOptions options, ControlSocket& control, int event_fd)
    : memory_(std::move(memory)),
      control_(control),
      event_fd_(event_fd),
      seats_(memory_.layout().seats),
      taken_(memory_.layout().slots, 0),
      waiting_(memory_.layout().slots),
      scratch_(kMessageDataBytes) {
  options.slots = memory_.layout().slots;
  options.inlet = this;
  // Its slots come for work at once, and wait for their turn until it stands.
  const std::lock_guard lock(turn_);
  engine_ = std::make_unique<Engine>(options, [this] { ended(); });
}

Server::~Server() = default;

void Server::serve() {
  while (auto message = control_.receive()) {
    const Turn turn(*this);
    handle(*message);
  }
}

uint32_t Server::seen(uint32_t slot) noexcept { return memory_.bell(slot).rings.load(std::memory_order_seq_cst); }

void Server::take(uint32_t slot) noexcept {
  const Turn turn(*this);
  take_ring(slot);
  // One at a time: what has not begun can be taken back.
  auto& waiting = waiting_[slot];
  while (!waiting.empty()) {
    const uint32_t seat = waiting.front();
    waiting.pop_front();
    if (begin(seat)) return;
  }
}

void Server::wait(uint32_t slot, uint32_t seen) noexcept {
  Bell& bell = memory_.bell(slot);
  bell.sleeping.store(1, std::memory_order_seq_cst);
  if (bell.rings.load(std::memory_order_seq_cst) == seen) futex_wait(bell.rings, seen);
  bell.sleeping.store(0, std::memory_order_seq_cst);
}

void Server::wake(uint32_t slot) noexcept { ring(memory_.bell(slot)); }

void Server::ended() {
  if (turn_owner_.load(std::memory_order_relaxed) == std::this_thread::get_id()) return;  // published when it ends
  const Turn turn(*this);
}

void Server::take_ring(uint32_t slot) {
  const uint32_t posted = memory_.ring(slot).posted.load(std::memory_order_acquire);
  while (taken_[slot] != posted) {
    const uint32_t seat = memory_.ring_entry(slot, taken_[slot]++).load(std::memory_order_relaxed);
    if (seat >= seats_.size()) throw KvmError(ErrorCode::Request, "a run names a seat that does not exist");
    waiting_[slot].push_back(seat);
  }
}

bool Server::begin(uint32_t seat) {
  const uint32_t claim = memory_.claim(seat).exchange(static_cast<uint32_t>(Claim::Begun), std::memory_order_seq_cst);
  if (claim == static_cast<uint32_t>(Claim::Revoked)) {
    publish_revoked(seat);
    return false;
  }
  const SeatRequest head = memory_.request(seat);
  const auto bytes = memory_.request_bytes(seat);
  post_run(seat, head, bytes.first(std::min<uint64_t>(head.length_bytes, bytes.size())));
  return true;
}

bool Server::is_revoked(uint32_t seat) const {
  return memory_.claim(seat).load(std::memory_order_seq_cst) == static_cast<uint32_t>(Claim::Revoked);
}

bool Server::leave_line(uint32_t seat) {
  const uint32_t slot = seats_[seat].vm->slot_index();
  take_ring(slot);
  return std::erase(waiting_[slot], seat) > 0;
}

void Server::publish_revoked(uint32_t index) {
  Answer answer{};
  answer.exit = ExitKind::Cancelled;
  answer.flags = answer_flags::kByRevoke;
  answer.posted_ns = answer.taken_ns = answer.restored_ns = answer.entered_ns = answer.left_ns =
      answer.answered_ns = static_cast<double>(monotonic_ns());
  std::memcpy(&memory_.answer(index), &answer, sizeof answer);
  const uint32_t tail_bytes = publish_tail(seats_[index], index);
  push({index, memory_.request(index).generation, static_cast<uint32_t>(Op::Run), 0, 0, tail_bytes, 0});
}

void Server::post_run(uint32_t seat, const SeatRequest& head, std::span<const uint8_t> block) {
  post(seat, head.generation, Op::Run, [&](Seat& at) {
    // A call that has ended at the worker's side.
    if (head.call == 0) at.vm->end_call();
    if (head.killed != 0) at.vm->interrupt()->kill();
    at.vm->post_run(block);
    at.call = head.call;
  });
}

Seat& Server::occupied(uint32_t seat) {
  if (seat >= seats_.size()) throw KvmError(ErrorCode::Request, "a message names a seat that does not exist");
  if (seats_[seat].vm == nullptr) throw KvmError(ErrorCode::Closed, "no VM has this seat");
  return seats_[seat];
}

template <typename Post>
void Server::post(uint32_t seat, uint32_t generation, Op op, Post&& body) {
  try {
    Seat& at = occupied(seat);
    at.generation = generation;
    body(at);
  } catch (const KvmError& error) {
    publish_failure(seat, generation, op, error);
  }
}

void Server::handle(const ControlMessage& message) {
  const MessageHeader& head = message.head;
  const auto kind = static_cast<Message>(head.kind);
  if (bound_ == (kind == Message::Bind))
    throw KvmError(ErrorCode::Request, bound_ ? "a cell is bound once" : "the cell is not bound");
  if (head.seat >= seats_.size()) throw KvmError(ErrorCode::Request, "a message names a seat that does not exist");
  switch (kind) {
    case Message::Bind:
      bound_ = true;
      return;
    case Message::Create:
      return create(head.seat, message);
    case Message::CreateFromSnapshot:
      try {
        const KeptSnapshot& from = kept(head.snapshot);
        return seat_vm(head.seat, engine_->create_vm(from.snapshot), from.windows, head.generation);
      } catch (const KvmError& error) {
        return publish_failure(head.seat, head.generation, Op::Create, error);
      }
    case Message::Run:
      return run_file(message);
    case Message::Snapshot:
      return post(head.seat, head.generation, Op::Snapshot, [&](Seat& seat) {
        seat.snapshot = head.snapshot;
        seat.vm->post_snapshot();
      });
    case Message::Restore:
      return post(head.seat, head.generation, Op::Restore,
                  [&](Seat& seat) { seat.vm->post_restore(kept(head.snapshot).snapshot); });
    case Message::Prime:
      return post(head.seat, head.generation, Op::Prime, [&](Seat& seat) { prime(seat, message); });
    case Message::Compare:
      return post(head.seat, head.generation, Op::Compare, [&](Seat& seat) { seat.vm->post_compare(); });
    case Message::Close:
      return close(head.seat, head.generation);
    case Message::Kill:
      return kill(head.seat, head.a);
    case Message::Read:
      return read(head);
    case Message::Write:
      return write(message);
    case Message::DropSnapshot:
      snapshots_.erase(head.snapshot);
      return;
    case Message::Revoke:
      // The run it means may have been met, and answered, in its turn: what waits there now is another.
      if (seats_[head.seat].vm != nullptr && is_revoked(head.seat) && leave_line(head.seat)) publish_revoked(head.seat);
      return;
    case Message::GetState:
      return post(head.seat, head.generation, Op::GetState,
                  [&](Seat& seat) { seat.vm->post_get_state(state_kind(head.a)); });
    case Message::SetState:
      return post(head.seat, head.generation, Op::SetState,
                  [&](Seat& seat) { seat.vm->post_set_state(state_kind(head.a), message.body); });
    default:
      throw KvmError(ErrorCode::Request, "a message of an unknown kind");
  }
}

void Server::create(uint32_t seat, const ControlMessage& message) {
  try {
    const PlanFile file = PlanFile::open(message.file.get(), message.head.a);
    seat_vm(seat, engine_->create_vm(file.plan, file.loads), file.windows, message.head.generation);
  } catch (const KvmError& error) {
    publish_failure(seat, message.head.generation, Op::Create, error);
  }
}

void Server::seat_vm(uint32_t index, std::shared_ptr<Vm> vm, std::shared_ptr<const Windows> windows,
                     uint32_t generation) {
  if (seats_[index].vm != nullptr) throw KvmError(ErrorCode::Request, "the seat is taken");
  seat_of_vm_.emplace(vm->id(), index);
  seats_[index] = Seat{std::move(vm), std::move(windows), generation, 0, 0, 0};
}

KeptSnapshot& Server::kept(uint32_t id) {
  const auto found = snapshots_.find(id);
  if (found == snapshots_.end()) throw KvmError(ErrorCode::Closed, "the snapshot is closed");
  return found->second;
}

void Server::run_file(const ControlMessage& message) {
  const uint64_t length = message.head.a;
  if (length < sizeof(SeatRequest) || length > sizeof(SeatRequest) + sizeof(Request) + kMaxPayloadBytes)
    throw KvmError(ErrorCode::Request, "a request file has an impossible length");
  const Mapping file = Mapping::readonly_of(message.file.get(), length);
  SeatRequest head;
  std::memcpy(&head, file.data(), sizeof head);
  // SAFETY: the mapping has `length` bytes, at least a head.
  post_run(message.head.seat, head, {file.data() + sizeof head, length - sizeof head});
}

void Server::prime(Seat& seat, const ControlMessage& message) {
  const auto [block_bytes, body] = std::pair(message.head.b, message.body);
  if (block_bytes > body.size() || (body.size() - block_bytes) % sizeof(PlanRange) != 0)
    throw KvmError(ErrorCode::Request, "a prime message has no whole ranges");
  Untouched untouched((body.size() - block_bytes) / sizeof(PlanRange));
  for (std::size_t i = 0; i < untouched.size(); i++) {
    PlanRange range;
    std::memcpy(&range, body.data() + block_bytes + i * sizeof range, sizeof range);
    untouched[i] = {range.address, range.length_bytes};
  }
  seat.snapshot = message.head.snapshot;
  seat.vm->post_prime(body.first(block_bytes), std::move(untouched));
}

void Server::close(uint32_t index, uint32_t generation) {
  Seat& seat = seats_[index];
  seat.close_generation = generation;
  if (seat.vm == nullptr) return push({index, generation, static_cast<uint32_t>(Op::Close), 0, 0, 0, 0});
  // A run that has not begun settles as every queued one of a closed VM does.
  if (leave_line(index)) begin(index);
  seat.vm->close(true);
}

void Server::kill(uint32_t index, uint64_t call) {
  Seat& seat = seats_[index];
  if (seat.vm == nullptr) return;
  // The run that it means may not have begun.
  if (leave_line(index)) begin(index);
  if (seat.call == call) seat.vm->interrupt()->kill();
}

void Server::read(const MessageHeader& head) {
  const uint64_t length = std::min(head.b, kMessageDataBytes);
  try {
    occupied(head.seat).vm->read(head.a, {scratch_.data(), length});
    reply(head, ErrorCode::None, {scratch_.data(), length});
  } catch (const KvmError& error) {
    reply(head, error.code(), {});
  }
}

void Server::write(const ControlMessage& message) {
  try {
    occupied(message.head.seat).vm->write(message.head.a, message.body);
    reply(message.head, ErrorCode::None, {});
  } catch (const KvmError& error) {
    reply(message.head, error.code(), {});
  }
}

void Server::reply(const MessageHeader& request, ErrorCode status, std::span<const uint8_t> bytes) {
  MessageHeader head{};
  head.kind = static_cast<uint32_t>(Message::Reply);
  head.seat = request.seat;
  head.generation = request.generation;
  head.status = static_cast<uint32_t>(status);
  control_.send(head, bytes);
}

void Server::drain() {
  Completion completion;
  while (engine_->completions().take(completion)) publish(std::move(completion));
}

void Server::publish(Completion completion) {
  if (completion.vm == nullptr) return;
  completion.vm->settle(completion.op);
  const auto found = seat_of_vm_.find(completion.vm->id());
  if (found == seat_of_vm_.end()) return;
  const uint32_t index = found->second;
  Seat& seat = seats_[index];
  CompletionEntry entry{};
  entry.seat = index;
  entry.generation = completion.op == OpKind::Close ? seat.close_generation : seat.generation;
  entry.op = static_cast<uint32_t>(completion.op);
  entry.status = static_cast<uint32_t>(completion.status);
  entry.error_number = completion.error_number;
  if (completion.status != ErrorCode::None) put_reason(index, completion.text);
  switch (completion.op) {
    case OpKind::Run:
      if (completion.status == ErrorCode::None) entry.tail_bytes = publish_answer(seat, index);
      break;
    case OpKind::Create:
      entry.value = completion.vm->slot_index();
      break;
    case OpKind::Snapshot:
    case OpKind::Prime:
      if (completion.snapshot == nullptr) break;
      snapshots_[seat.snapshot] = {std::move(completion.snapshot), seat.windows};
      entry.value = 1;
      break;
    case OpKind::Compare:
      entry.value = completion.count;
      break;
    case OpKind::GetState:
      // SAFETY: a state has `state_bytes` at most, a tail kTailBytes.
      std::memcpy(memory_.tail(index).data(), completion.state.data(), completion.state.size());
      entry.tail_bytes = static_cast<uint32_t>(completion.state.size());
      break;
    case OpKind::Close:
      entry.value = completion.count;
      seat_of_vm_.erase(found);
      seat = Seat{};
      break;
    default:
      break;
  }
  push(entry);
}

uint32_t Server::publish_answer(const Seat& seat, uint32_t index) {
  const Vm& vm = *seat.vm;
  std::memcpy(&memory_.answer(index), &vm.answer(), sizeof(Answer));
  const auto entries = vm.outbox();
  if (!entries.empty()) std::memcpy(memory_.outbox_entries(index).data(), entries.data(), entries.size());

  return publish_tail(seat, index);
}

uint32_t Server::publish_tail(const Seat& seat, uint32_t index) {
  // A VM that is closing is not read any more.
  if (seat.close_generation != 0) return 0;
  const Vm& vm = *seat.vm;
  const auto tail = memory_.tail(index);
  uint64_t used = 0;
  // SAFETY: watched ranges are kMaxWatchedBytes together at most, and the output's share is what is left.
  for (const PlanRange& range : seat.windows->watched) {
    vm.read(range.address, tail.subspan(used, range.length_bytes));
    used += range.length_bytes;
  }
  const OutputBufferPlace& output = seat.windows->output;
  if (output.length_bytes >= sizeof(uint64_t)) {
    // The buffer's first word is where its used part ends (guest-abi 6), if the guest tells the truth.
    uint64_t end;
    vm.read(output.address, {reinterpret_cast<uint8_t*>(&end), sizeof end});
    const bool plausible = end >= sizeof end && end <= output.length_bytes;
    const uint64_t length = std::min(plausible ? end : sizeof end, tail.size() - used);
    vm.read(output.address, tail.subspan(used, length));
    used += length;
  }
  return static_cast<uint32_t>(used);
}

void Server::publish_failure(uint32_t seat, uint32_t generation, Op op, const KvmError& error) {
  put_reason(seat, error.what());
  push({seat, generation, static_cast<uint32_t>(op), static_cast<uint32_t>(error.code()), error.error_number(), 0, 0});
}

void Server::put_reason(uint32_t seat, const std::string& text) noexcept {
  char* reason = memory_.answer(seat).reason;
  const std::size_t length = std::min(text.size(), kReasonBytes - 1);
  std::memcpy(reason, text.data(), length);
  reason[length] = '\0';
}

void Server::push(const CompletionEntry& entry) noexcept {
  memory_.completion(produced_) = entry;
  produced_++;
  memory_.outbox().produced.store(produced_, std::memory_order_seq_cst);
}

void Server::signal() noexcept {
  if (produced_ == signalled_) return;
  const uint32_t consumed = memory_.inbox().consumed.load(std::memory_order_seq_cst);
  // Behind `signalled_`, the worker is at work and looks again.
  if (static_cast<int32_t>(consumed - signalled_) >= 0) {
    const uint64_t one = 1;
    static_cast<void>(!::write(event_fd_, &one, sizeof one));
  }
  signalled_ = produced_;
}

}  // namespace mayfly::cell
