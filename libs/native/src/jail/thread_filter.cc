#include "thread_filter.hpp"

#include <linux/audit.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "bpf.hpp"
#include "syscall_lists.hpp"

namespace mayfly::jail {
namespace {

constexpr uint32_t kX32Bit = 0x40000000;
constexpr uint32_t kAddSeals = 1033;  // F_ADD_SEALS of linux/fcntl.h, which clashes with fcntl.h
constexpr uint32_t kMemfdFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;

struct FilterOptions {
  ThreadKind kind;
  uint32_t process;
  uint32_t kick_signal;
};

/** The check of a call's arguments: falls through when they are allowed. */
bpf::Program argument_check(Check check, const FilterOptions& options) {
  switch (check) {
    case Check::None:
      return {};
    case Check::Ioctl: {
      std::vector<uint32_t> numbers;
      for (const ListedIoctl& item : listed_ioctls())
        if ((item.kinds & kind_bit(options.kind)) != 0) numbers.push_back(item.number);
      return bpf::require_one_of(1, UINT32_MAX, numbers);
    }
    case Check::Futex:
      return bpf::require_one_of(1, ~futex_flags(), allowed_futex_operations());
    case Check::Mmap:
      return bpf::require(2, ~uint32_t{PROT_READ | PROT_WRITE}, 0);
    case Check::Madvise:
      return bpf::require_one_of(2, UINT32_MAX, allowed_advice());
    case Check::Tgkill: {
      bpf::Program program = bpf::require(0, UINT32_MAX, options.process);
      bpf::append(program, bpf::require(2, UINT32_MAX, options.kick_signal));
      return program;
    }
    case Check::Fcntl:
      return bpf::require(1, UINT32_MAX, kAddSeals);
    case Check::MemfdCreate:
      return bpf::require(1, UINT32_MAX, kMemfdFlags);
  }
  return {bpf::answer(SECCOMP_RET_KILL_PROCESS)};
}

bpf::Program filter_program(const FilterOptions& options) {
  const sock_filter kill = bpf::answer(SECCOMP_RET_KILL_PROCESS);
  // 32-bit calls have another architecture, x32 calls the same one and a bit in the number.
  bpf::Program program{bpf::load_architecture(),
                       bpf::if_equal(AUDIT_ARCH_X86_64, 2),  // else the kill below
                       bpf::load_number(),
                       bpf::if_at_least(kX32Bit, 1),
                       kill};
  for (const ListedCall& call : listed_calls()) {
    if ((call.kinds & kind_bit(options.kind)) == 0) continue;
    bpf::Program body = argument_check(call.check, options);
    body.push_back(bpf::answer(SECCOMP_RET_ALLOW));
    program.push_back(bpf::if_equal(call.number, static_cast<uint8_t>(body.size())));
    bpf::append(program, body);
  }
  program.push_back(kill);
  return program;
}

}  // namespace

int install_thread_filter(ThreadKind kind, int kick_signal) noexcept {
  try {
    bpf::Program program = filter_program(
        {kind, static_cast<uint32_t>(::getpid()), static_cast<uint32_t>(kick_signal)});
    const sock_fprog handle{static_cast<unsigned short>(program.size()), program.data()};
    if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &handle) == 0) return 0;
    return errno;
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  }
}

void prepare_allocator() noexcept {
  // A second heap would grow by mprotect, which no list has.
  ::mallopt(M_ARENA_MAX, 1);
}

}  // namespace mayfly::jail
