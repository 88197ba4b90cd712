// Jails a process of its own as a worker jails a cell, and prints how that turned out, a line a layer:
//   <layer> <in-place | refused | not-asked> <text>
// With `--hold` it then names the jailed process (`pid N`), which stays until standard input ends: so that tests can
// look at it from outside. With `--no-user` the process keeps its spawner's user.
// With `--lists`: the system calls and KVM numbers that a serving cell may use, a line each.
// Exit code: 0 told, 70 the jail contradicts itself, 71 a process cannot be started at all.

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <system_error>
#include <string>
#include <vector>

#include "../core/unique_fd.hpp"
#include "../jail/jail.hpp"
#include "../jail/spawn.hpp"
#include "../jail/syscall_lists.hpp"

namespace {

using namespace mayfly::jail;  // NOLINT: a program of one file
using mayfly::UniqueFd;

constexpr const char* kInside = "--inside";
constexpr int kControl = 0;
constexpr int kTold = 0;
constexpr int kContradiction = 70;
constexpr int kNoProcess = 71;

int inside(uid_t uid_base) {
  static constexpr FdKind kKinds[] = {FdKind::ControlSocket, FdKind::LogPipe, FdKind::LogPipe, FdKind::EventFd,
                                      FdKind::SealedMemory};
  JailPlan plan;
  plan.descriptors = kKinds;
  plan.uid_base = uid_base;
  prepare_allocator();
  JailReport report = enter_jail(plan);
  report[Layer::Seccomp] = install_thread_filter(ThreadKind::Control, SIGRTMIN);
  if (::write(kControl, &report, sizeof report) != sizeof report) return kContradiction;
  // Until the other end is closed.
  char byte;
  iovec part{&byte, sizeof byte};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  static_cast<void>(::recvmsg(kControl, &message, 0));
  ::_exit(kTold);
}

UniqueFd sealed_memory() {
  UniqueFd memory(::memfd_create("mayfly-jail-check", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (::ftruncate(memory.get(), 4096) != 0 ||
      ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    throw std::system_error(errno, std::generic_category(), "sealed memory");
  return memory;
}

int outside(bool hold, uid_t uid_base) {
  char self[4096];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self - 1);
  if (length < 0) throw std::system_error(errno, std::generic_category(), "/proc/self/exe");
  self[length] = 0;

  int sockets[2];
  int log[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0 || ::pipe2(log, O_CLOEXEC) != 0)
    throw std::system_error(errno, std::generic_category(), "socketpair");
  const UniqueFd control(sockets[0]);
  UniqueFd theirs(sockets[1]);
  const UniqueFd log_read(log[0]);
  UniqueFd log_write(log[1]);
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  const UniqueFd memory = sealed_memory();

  const int fds[] = {theirs.get(), log_write.get(), log_write.get(), event.get(), memory.get()};
  const std::string base = std::to_string(uid_base);
  const char* const arguments[] = {"mayfly-jail-check", kInside, base.c_str(), nullptr};
  const Spawned child = spawn_jailed({self, arguments, fds});
  theirs.reset();
  log_write.reset();

  JailReport report;
  const bool told = ::read(control.get(), &report, sizeof report) == sizeof report;
  if (!told) {
    char text[512];
    const ssize_t bytes = ::read(log_read.get(), text, sizeof text);
    std::fprintf(stderr, "the jailed process ended without a report: %.*s\n", static_cast<int>(bytes > 0 ? bytes : 0),
                 text);
    return kContradiction;
  }
  for (uint32_t i = 0; i < kLayers; i++) {
    const auto layer = static_cast<Layer>(i);
    const int32_t state = report[layer];
    const char* word = state == JailReport::kInPlace     ? "in-place"
                       : state == JailReport::kNotAsked ? "not-asked"
                                                        : "refused";
    std::printf("%s %s %s\n", layer_name(layer), word, describe_layer(report, layer).c_str());
  }
  if (hold) {
    std::printf("pid %d\n", child.pid);
    std::fflush(stdout);
    while (std::getchar() != EOF) continue;
  }
  return kTold;
}

int print_lists() {
  for (const ListedCall& call : listed_calls()) std::printf("call %s %u\n", call.name, call.number);
  for (const ListedIoctl& item : listed_ioctls()) std::printf("ioctl %s 0x%08x\n", item.name, item.number);
  return kTold;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto has = [&](const char* word) { return std::find(words.begin(), words.end(), word) != words.end(); };
  try {
    if (words.size() == 2 && words[0] == kInside)
      return inside(static_cast<uid_t>(std::strtoul(words[1].c_str(), nullptr, 10)));
    if (has("--lists")) return print_lists();
    return outside(has("--hold"), has("--no-user") ? 0 : kDefaultUidBase);
  } catch (const JailError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return kContradiction;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return kNoProcess;
  }
}
