// DESIGN
// The child is made by clone with the caller's memory and the caller waiting (vfork): a worker's memory is large and
// must not be copied. Until it executes, the child therefore runs in the caller's memory, on a stack of its own, with
// all signals blocked, and calls nothing but system calls.
// Who may make namespaces (CAP_SYS_ADMIN) gets the child a pid namespace. Who may not gets it a user namespace as
// well, in which the child is root, outside the caller: so it can make the others, in `enter_jail`.

#include "spawn.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "../core/mapping.hpp"

namespace mayfly::jail {
namespace {

constexpr uint64_t kStackBytes = 64 * 1024;

struct Child {
  const SpawnPlan& plan;
  bool map_user;
  char uid_map[32];
  char gid_map[32];
  /** Set when a step failed, by the child in the caller's memory. */
  const char* failed_step = nullptr;
  int error_number = 0;
};

void write_file(const char* path, const char* text, std::size_t length, Child& child) noexcept {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || ::write(fd, text, length) != static_cast<ssize_t>(length)) {
    child.failed_step = path;
    child.error_number = errno;
  }
  if (fd >= 0) ::close(fd);
}

void place_descriptors(Child& child) noexcept {
  const auto fds = child.plan.fds;
  const int count = static_cast<int>(fds.size());
  // First out of the way of each other, then to their places.
  int moved[kMaxDescriptors];
  for (int i = 0; i < count; i++) moved[i] = ::fcntl(fds[static_cast<std::size_t>(i)], F_DUPFD_CLOEXEC, count);
  for (int i = 0; i < count; i++) {
    if (moved[i] >= 0 && ::dup2(moved[i], i) == i) continue;
    child.failed_step = "dup2";
    child.error_number = errno;
    return;
  }
  if (::syscall(SYS_close_range, static_cast<unsigned>(count), UINT_MAX, CLOSE_RANGE_CLOEXEC) != 0) {
    child.failed_step = "close_range";
    child.error_number = errno;
  }
}

/** exec makes handlers default, but keeps what is ignored (SIGPIPE in Node) and what is blocked. */
void reset_signals() noexcept {
  struct sigaction ignored {};
  for (int number = 1; number < NSIG; number++) {
    if (::sigaction(number, nullptr, &ignored) == 0 && ignored.sa_handler == SIG_IGN) {
      struct sigaction fresh {};
      fresh.sa_handler = SIG_DFL;
      ::sigaction(number, &fresh, nullptr);
    }
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize("thread")))
#endif
int run_child(void* argument) {
  Child& child = *static_cast<Child*>(argument);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::setsid();
  if (child.map_user) {
    write_file("/proc/self/setgroups", "deny", 4, child);
    write_file("/proc/self/gid_map", child.gid_map, std::strlen(child.gid_map), child);
    write_file("/proc/self/uid_map", child.uid_map, std::strlen(child.uid_map), child);
  }
  if (child.failed_step == nullptr) place_descriptors(child);
  if (child.failed_step == nullptr) {
    reset_signals();
    static char* const kEmptyEnvironment[] = {nullptr};
    ::execve(child.plan.executable, const_cast<char* const*>(child.plan.arguments), kEmptyEnvironment);
    child.failed_step = "execve";
    child.error_number = errno;
  }
  ::_exit(127);
}

/** @returns the pid, or -1 with errno */
pid_t clone_child(Child& child, int namespaces, int& pidfd) {
  const Mapping stack = Mapping::anonymous(kStackBytes);
  // SAFETY: the stack grows down from the end of the mapping; the caller waits until the child no longer uses it.
  return ::clone(run_child, stack.data() + stack.bytes(), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD | namespaces,
                 &child, &pidfd);
}

}  // namespace

Spawned spawn_jailed(const SpawnPlan& plan) {
  if (plan.fds.size() > kMaxDescriptors) throw std::system_error(E2BIG, std::generic_category(), "descriptors");
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  Child child{plan, false, {}, {}};
  std::snprintf(child.uid_map, sizeof child.uid_map, "0 %u 1", ::geteuid());
  std::snprintf(child.gid_map, sizeof child.gid_map, "0 %u 1", ::getegid());

  int pidfd = -1;
  int error_number = 0;
  // No handler of the caller may run in the child, whose memory is the caller's.
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = clone_child(child, CLONE_NEWPID, pidfd);
  if (pid < 0) {
    child.map_user = true;
    pid = clone_child(child, CLONE_NEWPID | CLONE_NEWUSER, pidfd);
  }
  if (pid < 0 || (child.failed_step != nullptr && child.map_user)) {
    // No namespaces here: the cell says so in its report.
    if (pid >= 0) {
      ::waitpid(pid, nullptr, 0);
      ::close(pidfd);
    }
    child.map_user = false;
    child.failed_step = nullptr;
    pid = clone_child(child, 0, pidfd);
  }
  if (pid < 0) error_number = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) throw std::system_error(error_number, std::generic_category(), "clone");
  Spawned spawned{pid, UniqueFd(pidfd)};
  if (child.failed_step != nullptr) {
    ::waitpid(pid, nullptr, 0);
    throw std::system_error(child.error_number, std::generic_category(), child.failed_step);
  }
  return spawned;
}

}  // namespace mayfly::jail
