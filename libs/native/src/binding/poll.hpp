#pragma once

#include <napi.h>

#include <cstddef>
#include <functional>
#include <memory>

// The part of libuv that a wake-up by a file descriptor needs. Node exports it and keeps its ABI over a major version
// of libuv; its header does not come with the Node-API headers.
extern "C" {
struct uv_loop_s;
struct uv_handle_s;
using uv_poll_cb = void (*)(uv_handle_s* handle, int status, int events);
using uv_close_cb = void (*)(uv_handle_s* handle);
int uv_poll_init(uv_loop_s* loop, uv_handle_s* handle, int fd);
int uv_poll_start(uv_handle_s* handle, int events, uv_poll_cb callback);
int uv_poll_stop(uv_handle_s* handle);
void uv_close(uv_handle_s* handle, uv_close_cb callback);
void uv_ref(uv_handle_s* handle);
void uv_unref(uv_handle_s* handle);
size_t uv_handle_size(int type);
}

namespace mayfly::binding {

/**
 * A file descriptor that the event loop watches. It does not keep the process alive unless `keep_alive` says so.
 * JavaScript thread only.
 */
class Poll {
 public:
  static constexpr int kReadable = 1;
  static constexpr int kWritable = 2;

  /** `on_event` runs on the event loop, without a handle scope. @throws Napi::Error */
  Poll(Napi::Env env, int fd, std::function<void()> on_event);
  ~Poll();
  Poll(const Poll&) = delete;
  Poll& operator=(const Poll&) = delete;

  /** Which events to wait for; 0: none. */
  void watch(int events);
  void keep_alive(bool wanted);
  /** Lets go of the descriptor, which may be closed at once; `closed` runs later on the event loop. Once. */
  void close(std::function<void()> closed);

 private:
  struct State;
  State* state_;
};

}  // namespace mayfly::binding
