// DESIGN
// kill() and deadlines reach a thread in KVM_RUN by a signal. The handler sets `immediate_exit` of the run page
// that the thread published in a thread-local, so a signal that arrives just before KVM_RUN ends that KVM_RUN,
// too: nothing is lost, whenever it arrives. A signal that comes late hits no vCPU or a later run, which then
// looks at its own state and goes on.
// The handler and its installation are the only process-wide state of the core: signal dispositions are so.

#include "kick.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <thread>

#include "error.hpp"

namespace mayfly {
namespace {

// Written and read by one thread and its own signal handler. Initial-exec: the access allocates nothing, which a
// handler may not do.
__attribute__((tls_model("initial-exec"))) thread_local volatile uint8_t* kick_flag = nullptr;

#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize("thread")))
#endif
void on_kick(int) {
  volatile uint8_t* flag = kick_flag;
  if (flag != nullptr) *flag = 1;
}

#if defined(__SANITIZE_THREAD__)
// ThreadSanitizer's own sigaction defers handlers to its next safe point, by which time the thread would sit in
// KVM_RUN. The kernel's call does not.
extern "C" void mayfly_signal_return();
asm(".text\n.hidden mayfly_signal_return\n.globl mayfly_signal_return\nmayfly_signal_return:\n"
    "  mov $15, %eax\n  syscall\n");
struct KernelSigaction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)();
  unsigned long mask;
};
int set_handler(int signal_number) {
  constexpr unsigned long kRestorer = 0x04000000;
  const KernelSigaction action{on_kick, kRestorer, mayfly_signal_return, 0};
  return static_cast<int>(::syscall(SYS_rt_sigaction, signal_number, &action, nullptr, 8));
}
#else
int set_handler(int signal_number) {
  struct sigaction action {};
  action.sa_handler = on_kick;
  sigemptyset(&action.sa_mask);
  return ::sigaction(signal_number, &action, nullptr);
}
#endif

}  // namespace

int install_kick_signal(int offset) {
  static std::mutex mutex;
  static bool installed[65] = {};
  const int signal_number = SIGRTMIN + offset;
  if (offset < 0 || signal_number > SIGRTMAX)
    throw KvmError(ErrorCode::Option, "signal SIGRTMIN+" + std::to_string(offset) + " does not exist");
  const std::lock_guard lock(mutex);
  if (installed[signal_number]) return signal_number;
  struct sigaction present {};
  if (::sigaction(signal_number, nullptr, &present) < 0) throw KvmError::from_errno("sigaction", errno);
  if ((present.sa_flags & SA_SIGINFO) != 0 || present.sa_handler != SIG_DFL)
    throw KvmError(ErrorCode::Option, "signal SIGRTMIN+" + std::to_string(offset) +
                                          " is handled by another part of this process; choose another signalOffset");
  if (set_handler(signal_number) < 0) throw KvmError::from_errno("sigaction", errno);
  installed[signal_number] = true;
  return signal_number;
}

void set_kick_flag(volatile uint8_t* flag) noexcept { kick_flag = flag; }

void block_signals(int open_signal) noexcept {
  sigset_t set;
  sigfillset(&set);
  // Faults of this thread itself stay deliverable.
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) sigdelset(&set, fault);
  if (open_signal != 0) sigdelset(&set, open_signal);
  ::pthread_sigmask(SIG_SETMASK, &set, nullptr);
}

KickTarget::KickTarget(int signal_number) noexcept : signal_number_(signal_number), process_id_(::getpid()) {}

void KickTarget::attach(pid_t thread_id) noexcept { thread_id_.store(thread_id, std::memory_order_seq_cst); }

void KickTarget::detach() noexcept {
  thread_id_.store(0, std::memory_order_seq_cst);
  while (kickers_.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
}

void KickTarget::kick() noexcept {
  kickers_.fetch_add(1, std::memory_order_seq_cst);
  const pid_t thread_id = thread_id_.load(std::memory_order_seq_cst);
  if (thread_id != 0) ::syscall(SYS_tgkill, process_id_, thread_id, signal_number_);
  kickers_.fetch_sub(1, std::memory_order_seq_cst);
}

}  // namespace mayfly
