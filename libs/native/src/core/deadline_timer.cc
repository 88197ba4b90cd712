#include "deadline_timer.hpp"

#include <signal.h>

#include <cerrno>

#include "clock.hpp"
#include "error.hpp"

namespace mayfly {

DeadlineTimer::DeadlineTimer(pid_t thread_id, int signal_number) {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = signal_number;
  event._sigev_un._tid = thread_id;
  if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) < 0) throw KvmError::from_errno("timer_create", errno);
}

DeadlineTimer::~DeadlineTimer() { ::timer_delete(timer_); }

void DeadlineTimer::ensure(uint64_t deadline_ns, uint64_t now_ns) {
  if (armed_until_ns_ > now_ns && armed_until_ns_ <= deadline_ns) return;
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(deadline_ns / kNsPerSecond);
  when.it_value.tv_nsec = static_cast<long>(deadline_ns % kNsPerSecond);
  if (::timer_settime(timer_, TIMER_ABSTIME, &when, nullptr) < 0) throw KvmError::from_errno("timer_settime", errno);
  armed_until_ns_ = deadline_ns;
}

}  // namespace mayfly
