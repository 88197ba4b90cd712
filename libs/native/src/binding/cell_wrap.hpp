#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "../cell/channel.hpp"
#include "poll.hpp"

namespace mayfly::binding {

/**
 * The worker's end of one cell, for JavaScript: copies in and out of the shared memory, and events. What the numbers of
 * the cell mean is checked in TypeScript. It stays until the process has ended and was collected, or its environment
 * ends, which kills it.
 */
class CellWrap : public Napi::ObjectWrap<CellWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  /** (executable, numbers: slots, seats, spareShells, uid, maxTasks, maxFiles, maxFileBytes; onEvent) */
  explicit CellWrap(const Napi::CallbackInfo& info);
  ~CellWrap() override;

 private:
  // What `onEvent` is told (`src/cell.ts`).
  enum class Event : uint32_t { Completions = 0, Message = 1, Log = 2, Ended = 3 };

  static void on_environment_end(napi_async_cleanup_hook_handle handle, void* self);

  void run(const Napi::CallbackInfo& info);
  /** (seat) @returns a SeatKill */
  Napi::Value seat_kill(const Napi::CallbackInfo& info);
  Napi::Value revoke(const Napi::CallbackInfo& info);
  void send(const Napi::CallbackInfo& info);
  Napi::Value receive(const Napi::CallbackInfo& info);
  Napi::Value take(const Napi::CallbackInfo& info);
  void copy_outbox(const Napi::CallbackInfo& info);
  void copy_tail(const Napi::CallbackInfo& info);
  void forget(const Napi::CallbackInfo& info);
  Napi::Value read_log(const Napi::CallbackInfo& info);
  void keep_alive(const Napi::CallbackInfo& info);
  void kill(const Napi::CallbackInfo& info);
  Napi::Value pid(const Napi::CallbackInfo& info);
  Napi::Value ending(const Napi::CallbackInfo& info);

  cell::Channel& channel() const { return *channel_; }
  void emit(Event event);
  void on_control();
  void on_process();
  /** Stops watching; the channel stays for what is still in it. */
  void shut();
  void watch_control();

  std::unique_ptr<cell::Channel> channel_;
  std::unique_ptr<Poll> event_;
  std::unique_ptr<Poll> control_;
  std::unique_ptr<Poll> log_;
  std::unique_ptr<Poll> process_;
  Napi::FunctionReference on_event_;
  std::unique_ptr<Napi::AsyncContext> context_;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  uint32_t open_polls_ = 0;
  bool environment_ends_ = false;
  bool ended_ = false;
  int end_code_ = 0;
  int end_status_ = 0;
};

}  // namespace mayfly::binding
