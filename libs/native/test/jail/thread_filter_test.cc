// What a thread may do once its filter is in place, shown from outside: a child installs it, makes one call, and
// either returns or ends with SIGSYS.

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <thread>

#include "harness.hpp"
#include "kvm_abi.hpp"
#include "syscall_lists.hpp"
#include "thread_filter.hpp"

namespace mayfly::jail {
namespace {

constexpr int kReturned = 42;
/** Beyond the highest system call of any kernel this is built for. */
constexpr long kHighestCall = 600;
const int kKick = SIGRTMIN;
/** uretprobe, uprobe: the kernel lets them pass every filter and itself refuses who is not its trampoline. */
const std::set<long> kProbeCalls = {335, 336};
/** Of the child that makes the call. */
pid_t own_pid = 0;

/** @returns the wait status of a child that makes the call under the filter of `kind`. */
int status_of(ThreadKind kind, const std::function<void()>& call) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    own_pid = ::getpid();
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (install_thread_filter(kind, kKick) != 0) ::_exit(1);
    call();
    ::syscall(SYS_exit_group, kReturned);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

bool dies(ThreadKind kind, const std::function<void()>& call) {
  const int status = status_of(kind, call);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

bool returns(ThreadKind kind, const std::function<void()>& call) {
  const int status = status_of(kind, call);
  return WIFEXITED(status) && WEXITSTATUS(status) == kReturned;
}

bool listed(ThreadKind kind, long number) {
  for (const ListedCall& call : listed_calls())
    if (call.number == static_cast<uint32_t>(number)) return (call.kinds & kind_bit(kind)) != 0;
  return false;
}

std::string name_of(ThreadKind kind, long number) {
  return "call " + std::to_string(number) + " of kind " + std::to_string(static_cast<int>(kind));
}

TEST("the list of a serving cell is at most 20 calls long, each named once") {
  CHECK(listed_calls().size() <= 20);
  for (const ListedCall& call : listed_calls()) {
    int times = 0;
    for (const ListedCall& other : listed_calls()) times += other.number == call.number ? 1 : 0;
    CHECK_EQ(times, 1);
  }
}

TEST("every call that is not on a kind's list ends the process with SIGSYS") {
  for (const ThreadKind kind : kThreadKinds)
    for (long number = 0; number <= kHighestCall; number++) {
      if (listed(kind, number) || kProbeCalls.contains(number)) continue;
      const auto call = [number] { ::syscall(number, 0, 0, 0, 0, 0, 0); };
      test::check(dies(kind, call), name_of(kind, number).c_str(), __FILE__, __LINE__);
    }
}

TEST("every call that is on a kind's list, and has no checked argument, reaches the kernel") {
  for (const ThreadKind kind : kThreadKinds)
    for (const ListedCall& call : listed_calls()) {
      if (!listed(kind, call.number) || call.check != Check::None) continue;
      // These two do not come back by their nature.
      if (call.number == SYS_exit_group || call.number == SYS_rt_sigreturn) continue;
      // Bad arguments everywhere: what is shown is that the kernel, not the filter, refuses them.
      const bool alive = returns(kind, [&call] { ::syscall(call.number, -1, -1, -1, -1, -1, -1); });
      test::check(alive, call.name, __FILE__, __LINE__);
    }
}

TEST("32-bit and x32 calls are refused whatever their number") {
  CHECK(dies(ThreadKind::Slot, [] {
    long number = 20;  // getpid of the 32-bit table
    asm volatile("int $0x80" : "+a"(number)::"memory");
  }));
  CHECK(dies(ThreadKind::Slot, [] { ::syscall(0x40000000 | SYS_write, -1, 0, 0); }));
}

TEST("of ioctl only the KVM numbers of the kind pass") {
  for (const ThreadKind kind : {ThreadKind::Slot, ThreadKind::ShellMaker})
    for (const ListedIoctl& item : listed_ioctls()) {
      const auto call = [&item] { ::syscall(SYS_ioctl, -1, item.number, 0); };
      const bool expected = (item.kinds & kind_bit(kind)) != 0;
      test::check(expected ? returns(kind, call) : dies(kind, call), item.name, __FILE__, __LINE__);
    }
}

TEST("other numbers of KVM, of terminals and of sockets end the process") {
  std::set<uint32_t> known;
  for (const ListedIoctl& item : listed_ioctls()) known.insert(item.number);
  // The whole of KVM's letter without a size, and what its calls with one are.
  for (uint32_t low = 0; low < 256; low++) {
    const uint32_t number = (uint32_t{KVMIO} << 8) | low;
    if (known.contains(number)) continue;
    test::check(dies(ThreadKind::Slot, [number] { ::syscall(SYS_ioctl, -1, number, 0); }),
                ("ioctl " + std::to_string(number)).c_str(), __FILE__, __LINE__);
  }
  for (const unsigned long number : {(unsigned long)KVM_CREATE_IRQCHIP, (unsigned long)KVM_CREATE_DEVICE,
                                     (unsigned long)KVM_IRQFD, (unsigned long)KVM_IOEVENTFD,
                                     (unsigned long)KVM_ENABLE_CAP, (unsigned long)KVM_CREATE_PIT2,
                                     (unsigned long)KVM_SET_GUEST_DEBUG, 0x5412ul /* TIOCSTI */, 0x8933ul})
    CHECK(dies(ThreadKind::Slot, [number] { ::syscall(SYS_ioctl, -1, number, 0); }));
}

TEST("the upper half of an ioctl number does not hide another one") {
  // The kernel reads 32 bits of it, and so does the filter.
  CHECK(returns(ThreadKind::Slot, [] { ::syscall(SYS_ioctl, -1, 0xffffffff00000000ul | KVM_RUN, 0); }));
  CHECK(dies(ThreadKind::Slot, [] { ::syscall(SYS_ioctl, -1, 0xae8000000000ul | KVM_CREATE_DEVICE, 0); }));
}

TEST("memory is mapped readable and writable, never executable") {
  for (const ThreadKind kind : kThreadKinds) {
    const auto map = [](unsigned long protection) {
      return [protection] { ::syscall(SYS_mmap, 0, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); };
    };
    CHECK(returns(kind, map(PROT_READ | PROT_WRITE)));
    CHECK(returns(kind, map(PROT_READ)));
    CHECK(dies(kind, map(PROT_READ | PROT_EXEC)));
    CHECK(dies(kind, map(PROT_EXEC)));
    CHECK(dies(kind, map(PROT_READ | PROT_WRITE | PROT_GROWSDOWN)));
  }
}

TEST("a futex is waited for and woken, nothing else") {
  static uint32_t word = 0;
  const auto futex = [](long operation) {
    return [operation] { ::syscall(SYS_futex, &word, operation, 1, nullptr, nullptr, UINT32_MAX); };
  };
  for (const long operation : {FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET}) {
    CHECK(returns(ThreadKind::Control, futex(operation)));
    CHECK(returns(ThreadKind::Control, futex(operation | FUTEX_PRIVATE_FLAG)));
  }
  for (const long operation : {FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_LOCK_PI, FUTEX_WAIT_REQUEUE_PI,
                               FUTEX_CMP_REQUEUE_PI, FUTEX_WAKE_OP, FUTEX_UNLOCK_PI})
    CHECK(dies(ThreadKind::Control, futex(operation | FUTEX_PRIVATE_FLAG)));
}

TEST("the kick signal goes to threads of this process, nothing to others") {
  // The child's own pid is read before the filter closes: getpid is on no list.
  const auto kick = [](pid_t offset, int signal) {
    return [offset, signal] { ::syscall(SYS_tgkill, own_pid + offset, 1 << 22, signal); };
  };
  CHECK(returns(ThreadKind::Control, kick(0, kKick)));
  CHECK(dies(ThreadKind::Control, kick(1, kKick)));
  CHECK(dies(ThreadKind::Control, kick(0, SIGKILL)));
  CHECK(dies(ThreadKind::Control, kick(0, kKick + 1)));
}

TEST("a snapshot's file is sealed, closed on exec and of small pages") {
  const auto memfd = [](unsigned flags) { return [flags] { ::syscall(SYS_memfd_create, nullptr, flags); }; };
  CHECK(returns(ThreadKind::Slot, memfd(MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  CHECK(dies(ThreadKind::Slot, memfd(MFD_CLOEXEC)));
  CHECK(dies(ThreadKind::Slot, memfd(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB)));
  CHECK(returns(ThreadKind::Slot, [] { ::syscall(SYS_fcntl, -1, F_ADD_SEALS, 0); }));
  for (const int command : {F_DUPFD, F_SETFL, F_SETOWN, F_SETLK, F_SETPIPE_SZ, F_NOTIFY})
    CHECK(dies(ThreadKind::Slot, [command] { ::syscall(SYS_fcntl, -1, command, 0); }));
}

TEST("memory advice that core and allocator give passes, other advice does not") {
  for (const uint32_t advice : allowed_advice())
    CHECK(returns(ThreadKind::Slot, [advice] { ::syscall(SYS_madvise, 0, 0, advice); }));
  for (const int advice : {MADV_REMOVE, MADV_DOFORK, MADV_MERGEABLE, MADV_DODUMP, MADV_HWPOISON})
    CHECK(dies(ThreadKind::Slot, [advice] { ::syscall(SYS_madvise, 0, 0, advice); }));
}

TEST("the filter of one thread leaves the others alone") {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    std::atomic<int> installed{-1};
    std::thread([&installed] {
      installed = install_thread_filter(ThreadKind::Reaper, kKick);
      installed.notify_one();
      // Stays: the end of a thread is on no list.
      for (uint32_t word = 0;;) ::syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr);
    }).detach();
    installed.wait(-1);
    // On no list of any kind, and made by the thread without a filter.
    ::_exit(installed == 0 && ::getppid() > 0 ? kReturned : 1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == kReturned);
}

}  // namespace
}  // namespace mayfly::jail
