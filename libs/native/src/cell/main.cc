// DESIGN
// mayfly-cell: the core of one tenant, in a process of its own. A worker spawns it with the descriptors of wire.hpp,
// no environment and no other files, and talks to it by shared memory and one socket. First of all it goes into its
// jail; then its engine starts its threads, each of which closes its own filter, and last the main thread closes its.
// So by the time it says hello, with a report of how the jail turned out, no thread can do more than its list has. It
// serves until the worker is gone, and leaves by _exit: what it owns is memory and VMs, which the kernel frees.

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <span>
#include <string>

#include "../jail/filter_gate.hpp"
#include "server.hpp"
#include "start.hpp"

namespace mayfly::cell {
namespace {

constexpr int kExitHostFault = 1;

jail::ThreadKind kind_of(ThreadRole role) {
  switch (role) {
    case ThreadRole::Slot:
      return jail::ThreadKind::Slot;
    case ThreadRole::ShellMaker:
      return jail::ThreadKind::ShellMaker;
    case ThreadRole::Reaper:
      return jail::ThreadKind::Reaper;
  }
  throw KvmError(ErrorCode::Option, "a thread of no kind");
}

int run(std::span<const char* const> words) {
  ControlSocket control(kControlFd);
  try {
    const Arguments arguments = Arguments::parse(words);
    jail::prepare_allocator();
    jail::JailReport report = enter_jail(arguments);
    // Outlives the threads, as the server does.
    const int kick_signal = SIGRTMIN;
    auto* gate = new jail::FilterGate(kick_signal);
    EngineOptions options;
    options.thread_ready = [gate](ThreadRole role) { gate->pass(kind_of(role)); };
    options.spare_shells = options.recycled_vms = arguments.spare_shells;
    options.kvm_fd = kKvmFd;
    // Never destroyed: the process ends without taking the engine apart.
    auto* server = new Server(map_memory(arguments), options, control, kEventFd);
    const unsigned threads = arguments.slots + 2;  // the maker of shells and the reaper
    report[jail::Layer::Seccomp] = gate->wait(threads);
    const int refused = jail::install_thread_filter(jail::ThreadKind::Control, kick_signal);
    if (report.in_place(jail::Layer::Seccomp)) report[jail::Layer::Seccomp] = refused;
    hello(control, report);
    server->serve();
    return 0;
  } catch (const KvmError& error) {
    std::fprintf(stderr, "mayfly-cell: %s\n", error.what());
    farewell(control, error.code(), error.error_number(), error.what());
  } catch (const jail::JailError& error) {
    std::fprintf(stderr, "mayfly-cell: %s\n", error.what());
    farewell(control, ErrorCode::Hypervisor, 0, error.what());
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
