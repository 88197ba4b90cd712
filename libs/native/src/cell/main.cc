// DESIGN
// mayfly-cell: the core of one tenant, in a process of its own. A worker spawns it with the descriptors of wire.hpp,
// no environment and no other files, and talks to it by shared memory and one socket. It says hello once its engine
// stands, serves until the worker is gone, and leaves by _exit: what it owns is memory and VMs, which the kernel frees.

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <span>
#include <string>

#include "arguments.hpp"
#include "control_socket.hpp"
#include "server.hpp"

namespace mayfly::cell {
namespace {

constexpr int kExitHostFault = 1;

SharedMemory map_memory(const Arguments& arguments) {
  const Layout layout{arguments.slots, arguments.seats};
  SharedMemory memory(layout, Mapping::readonly_of(kInboxFd, layout.inbox_bytes()),
                      Mapping::shared_of(kOutboxFd, layout.outbox_bytes()));
  const InboxHeader& head = memory.inbox();
  if (head.magic != kMagic || head.version != kVersion || head.slots != layout.slots || head.seats != layout.seats)
    throw KvmError(ErrorCode::Option, "worker and cell are of different builds");
  return memory;
}

void hello(ControlSocket& control, ErrorCode status, int error_number, const std::string& text) {
  MessageHeader head{};
  head.kind = static_cast<uint32_t>(Message::Hello);
  head.status = static_cast<uint32_t>(status);
  head.a = static_cast<uint64_t>(static_cast<uint32_t>(error_number));
  // SAFETY: the bytes of a string.
  control.send(head, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

int run(std::span<const char* const> words) {
  ControlSocket control(kControlFd);
  try {
    const Arguments arguments = Arguments::parse(words);
    EngineOptions options;
    options.spare_shells = arguments.spare_shells;
    options.kvm_fd = kKvmFd;
    // Never destroyed: the process ends without taking the engine apart.
    auto* server = new Server(map_memory(arguments), options, control, kEventFd);
    hello(control, ErrorCode::None, 0, "");
    server->serve();
    return 0;
  } catch (const KvmError& error) {
    std::fprintf(stderr, "mayfly-cell: %s\n", error.what());
    hello(control, error.code(), error.error_number(), error.what());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mayfly-cell: %s\n", error.what());
  }
  return kExitHostFault;
}

}  // namespace
}  // namespace mayfly::cell

int main(int count, char** words) {
  // A worker that is gone ends the cell by the end of its socket, not by a signal in the middle of a write.
  ::signal(SIGPIPE, SIG_IGN);
  int code = 1;
  try {
    code = mayfly::cell::run({words + 1, static_cast<std::size_t>(count > 0 ? count - 1 : 0)});
  } catch (const std::exception&) {
    // The worker is gone: nobody is left to tell.
  }
  ::_exit(code);
}
