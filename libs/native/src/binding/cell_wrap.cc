#include "cell_wrap.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "../core/clock.hpp"
#include "arguments.hpp"
#include "seat_kill_wrap.hpp"

namespace mayfly::binding {
namespace {

// A record of `take`: this header, then the answer, as `CompletionRecords` of src/answer.ts reads it. A batch has all
// records, all entries, the beginnings of all tails, and the moment at which it was complete.
struct RecordHeader {
  uint32_t seat;
  uint32_t op;
  uint32_t status;
  uint32_t reserved;
};
constexpr std::size_t kRecordBytes = sizeof(RecordHeader) + sizeof(Answer);
static_assert(kRecordBytes == 512);
constexpr std::size_t kTailPrefixBytes = 2048;
constexpr std::size_t kPlaceBytes = kRecordBytes + sizeof(cell::CompletionEntry) + kTailPrefixBytes;
constexpr std::size_t kArguments = 7;

}  // namespace

Napi::Function CellWrap::define(Napi::Env env) {
  return DefineClass(env, "Cell",
                     {
                         InstanceMethod("run", &CellWrap::run),
                         InstanceMethod("seatKill", &CellWrap::seat_kill),
                         InstanceMethod("revoke", &CellWrap::revoke),
                         InstanceMethod("send", &CellWrap::send),
                         InstanceMethod("receive", &CellWrap::receive),
                         InstanceMethod("take", &CellWrap::take),
                         InstanceMethod("copyOutbox", &CellWrap::copy_outbox),
                         InstanceMethod("copyTail", &CellWrap::copy_tail),
                         InstanceMethod("forget", &CellWrap::forget),
                         InstanceMethod("readLog", &CellWrap::read_log),
                         InstanceMethod("keepAlive", &CellWrap::keep_alive),
                         InstanceMethod("kill", &CellWrap::kill),
                         InstanceMethod("pid", &CellWrap::pid),
                         InstanceMethod("ending", &CellWrap::ending),
                     });
}

CellWrap::CellWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString() || !info[2].IsFunction()) refuse(env, "expected a path, numbers and a function");
  const std::span<const double> numbers = to_doubles(info[1]);
  if (numbers.size() != kArguments) refuse(env, "expected seven numbers");
  cell::Arguments arguments;
  const auto number = [&](std::size_t index, uint64_t most) { return std::min(to_u64(env, numbers[index]), most); };
  arguments.slots = static_cast<uint32_t>(number(0, cell::kMaxSlots));
  arguments.seats = static_cast<uint32_t>(number(1, cell::kMaxSeats));
  arguments.spare_shells = static_cast<uint32_t>(number(2, 64));
  arguments.uid_base = static_cast<uint32_t>(number(3, UINT32_MAX - jail::kUids));
  arguments.max_tasks = number(4, UINT64_MAX);
  arguments.max_files = number(5, UINT64_MAX);
  arguments.max_file_bytes = number(6, UINT64_MAX);
  if (arguments.slots == 0 || arguments.seats == 0) refuse(env, "a cell has at least one slot and one seat");
  translated(env, [&] { channel_ = std::make_unique<cell::Channel>(info[0].As<Napi::String>().Utf8Value(), arguments); });

  on_event_ = Napi::Persistent(info[2].As<Napi::Function>());
  context_ = std::make_unique<Napi::AsyncContext>(env, "mayfly-cell");
  event_ = std::make_unique<Poll>(env, channel_->event_fd(), [this] {
    channel_->clear_event();
    emit(Event::Completions);
  });
  control_ = std::make_unique<Poll>(env, channel_->control_fd(), [this] { on_control(); });
  log_ = std::make_unique<Poll>(env, channel_->log_fd(), [this] { emit(Event::Log); });
  process_ = std::make_unique<Poll>(env, channel_->pidfd(), [this] { on_process(); });
  open_polls_ = 4;
  for (const auto& poll : {event_.get(), control_.get(), log_.get(), process_.get()}) poll->watch(Poll::kReadable);
  napi_add_async_cleanup_hook(env, on_environment_end, this, &hook_);
  // It stays for as long as the event loop watches its descriptors.
  Ref();
}

CellWrap::~CellWrap() = default;

void CellWrap::on_environment_end(napi_async_cleanup_hook_handle, void* self) {
  auto* cell = static_cast<CellWrap*>(self);
  cell->environment_ends_ = true;
  cell->channel_->kill();
  cell->shut();
}

void CellWrap::shut() {
  for (const auto& poll : {&event_, &control_, &log_, &process_}) {
    if (*poll == nullptr) continue;
    (*poll)->close([this] {
      if (--open_polls_ > 0) return;
      napi_remove_async_cleanup_hook(hook_);
      if (!environment_ends_) {
        const Napi::HandleScope scope(Env());
        Unref();
      }
    });
    poll->reset();
  }
}

void CellWrap::emit(Event event) {
  const Napi::HandleScope scope(Env());
  on_event_.MakeCallback(Env().Global(), {Napi::Number::New(Env(), static_cast<double>(event))}, *context_);
}

void CellWrap::on_control() {
  channel_->flush();
  watch_control();
  emit(Event::Message);
}

void CellWrap::watch_control() {
  if (control_ != nullptr) control_->watch(Poll::kReadable | (channel_->backlog() ? Poll::kWritable : 0));
}

void CellWrap::on_process() {
  if (!channel_->reap(end_code_, end_status_)) return;
  ended_ = true;
  emit(Event::Ended);
  shut();
}

void CellWrap::run(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const uint32_t slot = to_u32(info[0]);
  const uint32_t seat = to_u32(info[1]);
  const std::span<uint8_t> bytes = to_bytes(info[6]);
  const uint64_t length = to_u64(info[7]);
  const auto& layout = channel().layout();
  if (slot >= layout.slots || seat >= layout.seats || length > bytes.size() || length > cell::kSeatRequestBytes)
    refuse(env, "a run outside its slots, seats or bytes");
  channel().post_run(slot, seat, to_u32(info[2]), to_u64(info[3]), info[4].ToBoolean(), info[5].ToBoolean(), bytes.first(length));
}

Napi::Value CellWrap::seat_kill(const Napi::CallbackInfo& info) {
  const uint32_t seat = to_u32(info[0]);
  if (seat >= channel().layout().seats) refuse(info.Env(), "no such seat");
  return SeatKillWrap::create(info.Env(), channel().kill_line(), seat);
}

Napi::Value CellWrap::revoke(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), channel().revoke(to_u32(info[0])));
}

void CellWrap::send(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::span<uint8_t> head = to_bytes(info[0]);
  const std::span<uint8_t> body = to_bytes(info[1]);
  if (head.size() != sizeof(cell::MessageHeader) || body.size() > cell::kMessageBytes - sizeof(cell::MessageHeader))
    refuse(env, "a message of an impossible length");
  cell::MessageHeader header;
  std::memcpy(&header, head.data(), sizeof header);
  std::vector<std::span<const uint8_t>> file;
  if (info[2].IsArray()) {
    const auto parts = info[2].As<Napi::Array>();
    for (uint32_t i = 0; i < parts.Length(); i++) file.push_back(to_bytes(parts.Get(i)));
  }
  translated(env, [&] { channel().send(header, body, file); });
  watch_control();
}

Napi::Value CellWrap::receive(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int timeout_ms = static_cast<int>(std::min<uint32_t>(to_u32(info[0]), 60'000));
  if (timeout_ms > 0 && !channel().wait_message(timeout_ms)) return env.Undefined();
  cell::MessageHeader head;
  std::span<const uint8_t> body;
  const auto outcome = translated(env, [&] { return channel().receive(head, body); });
  if (outcome == cell::Channel::Receive::Nothing) return env.Undefined();
  if (outcome == cell::Channel::Receive::Gone) {
    // The end of the socket stays readable: nothing more is heard from this cell but its end.
    if (control_ != nullptr) control_->watch(0);
    return env.Null();
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("kind", Napi::Number::New(env, head.kind));
  result.Set("seat", Napi::Number::New(env, head.seat));
  result.Set("generation", Napi::Number::New(env, head.generation));
  result.Set("status", Napi::Number::New(env, head.status));
  result.Set("a", Napi::Number::New(env, static_cast<double>(head.a)));
  Napi::Uint8Array copy = Napi::Uint8Array::New(env, body.size());
  if (!body.empty()) std::memcpy(copy.Data(), body.data(), body.size());
  result.Set("body", copy);
  return result;
}

Napi::Value CellWrap::take(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::span<uint8_t> batch = to_bytes(info[0]);
  if (batch.size() < sizeof(double)) refuse(env, "a batch without a place for its moment");
  const std::size_t capacity = (batch.size() - sizeof(double)) / kPlaceBytes;
  // SAFETY (all): `capacity` whole places and a moment are within the batch.
  uint8_t* const entries = batch.data() + capacity * kRecordBytes;
  uint8_t* const tails = entries + capacity * sizeof(cell::CompletionEntry);
  uint8_t* const moment = tails + capacity * kTailPrefixBytes;
  std::size_t count = 0;
  translated(env, [&] {
    while (count < capacity) {
      const auto taken = channel().take();
      if (!taken) return;
      const RecordHeader header{taken->entry.seat, taken->entry.op, taken->entry.status, 0};
      // SAFETY (all): `count` is below the number of places.
      uint8_t* record = batch.data() + count * kRecordBytes;
      std::memcpy(record, &header, sizeof header);
      std::memcpy(record + sizeof header, &taken->answer, sizeof taken->answer);
      std::memcpy(entries + count * sizeof taken->entry, &taken->entry, sizeof taken->entry);
      const auto prefix = std::min<std::size_t>(taken->entry.tail_bytes, kTailPrefixBytes);
      channel().copy_tail(taken->entry.seat, {tails + count * kTailPrefixBytes, prefix});
      count++;
    }
  });
  const auto now = static_cast<double>(monotonic_ns());
  std::memcpy(moment, &now, sizeof now);
  return Napi::Number::New(env, static_cast<double>(count));
}

void CellWrap::copy_outbox(const Napi::CallbackInfo& info) {
  translated(info.Env(), [&] { channel().copy_outbox(to_u32(info[0]), to_bytes(info[1])); });
}

void CellWrap::copy_tail(const Napi::CallbackInfo& info) {
  translated(info.Env(), [&] { channel().copy_tail(to_u32(info[0]), to_bytes(info[1])); });
}

void CellWrap::forget(const Napi::CallbackInfo& info) { channel().forget(to_u32(info[0])); }

Napi::Value CellWrap::read_log(const Napi::CallbackInfo& info) {
  const std::span<uint8_t> target = to_bytes(info[0]);
  // Nothing to read into: nobody wants to hear more.
  if (target.empty()) {
    if (log_ != nullptr) log_->watch(0);
    return Napi::Number::New(info.Env(), 0);
  }
  const ssize_t length = ::read(channel().log_fd(), target.data(), target.size());
  if (length == 0 && log_ != nullptr) log_->watch(0);
  return Napi::Number::New(info.Env(), static_cast<double>(std::max<ssize_t>(length, 0)));
}

void CellWrap::keep_alive(const Napi::CallbackInfo& info) {
  if (event_ != nullptr) event_->keep_alive(info[0].ToBoolean());
}

void CellWrap::kill(const Napi::CallbackInfo&) { channel().kill(); }

Napi::Value CellWrap::pid(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), channel().pid()); }

Napi::Value CellWrap::ending(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!ended_) return env.Undefined();
  Napi::Object result = Napi::Object::New(env);
  result.Set("code", Napi::Number::New(env, end_code_));
  result.Set("status", Napi::Number::New(env, end_status_));
  return result;
}

}  // namespace mayfly::binding
