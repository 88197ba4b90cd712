#include "poll.hpp"

#include <vector>

namespace mayfly::binding {
namespace {

constexpr int kUvPoll = 8;  // UV_POLL of libuv 1

}  // namespace

// Outlives its Poll until libuv has closed the handle.
struct Poll::State {
  // First: the handle's address is the state's.
  alignas(std::max_align_t) unsigned char handle[512];
  std::function<void()> on_event;
  std::function<void()> closed;

  // SAFETY: libuv says how large a handle is; the constructor refuses a larger one.
  uv_handle_s* uv() noexcept { return reinterpret_cast<uv_handle_s*>(handle); }
  static State& of(uv_handle_s* handle) noexcept { return *reinterpret_cast<State*>(handle); }
};

Poll::Poll(Napi::Env env, int fd, std::function<void()> on_event) : state_(new State{}) {
  state_->on_event = std::move(on_event);
  uv_loop_s* loop = nullptr;
  if (uv_handle_size(kUvPoll) > sizeof state_->handle || napi_get_uv_event_loop(env, &loop) != napi_ok ||
      uv_poll_init(loop, state_->uv(), fd) != 0) {
    delete state_;
    throw Napi::Error::New(env, "the event loop does not watch file descriptors");
  }
  uv_unref(state_->uv());
}

Poll::~Poll() { close([] {}); }

void Poll::watch(int events) {
  if (state_ == nullptr) return;
  if (events == 0)
    uv_poll_stop(state_->uv());
  else
    uv_poll_start(state_->uv(), events, [](uv_handle_s* handle, int, int) { State::of(handle).on_event(); });
}

void Poll::keep_alive(bool wanted) {
  if (state_ == nullptr) return;
  if (wanted)
    uv_ref(state_->uv());
  else
    uv_unref(state_->uv());
}

void Poll::close(std::function<void()> closed) {
  if (state_ == nullptr) return;
  state_->closed = std::move(closed);
  uv_close(std::exchange(state_, nullptr)->uv(), [](uv_handle_s* handle) {
    const std::unique_ptr<State> state(&State::of(handle));
    state->closed();
  });
}

}  // namespace mayfly::binding
