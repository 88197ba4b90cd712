// DESIGN
// A cell that an attacker has taken over: the honest cell's jail, memory and messages, and nothing else of it. What it
// does is the text that it is given as its first bytes to load, `<attack> [number]`, done at each run, on a thread that
// has a slot's filter. Without an attack it is a poor but honest cell: every run halts at once.
// An attack on the start itself is the name of the executable (`hello-…`), since nothing has been loaded by then.

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <thread>

#include "../../src/cell/start.hpp"
#include "../../src/jail/filter_gate.hpp"
#include "attacks.hpp"
#include "fake_cell.hpp"

namespace mayfly::cell {
namespace {

std::string executable_name() {
  char path[PATH_MAX] = {};
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path - 1);
  const std::string text(path, static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
  return text.substr(text.rfind('/') + 1);
}

int run(std::span<const char* const> words) {
  const std::string name = executable_name();
  ControlSocket control(kControlFd);
  const Arguments arguments = Arguments::parse(words);
  jail::prepare_allocator();
  jail::JailReport report = enter_jail(arguments);
  auto* cell = new FakeCell(map_memory(arguments), control);
  auto* gate = new jail::FilterGate(SIGRTMIN);
  for (int i = 0; i < 2; i++)
    std::thread([cell, gate, i] {
      gate->pass(jail::ThreadKind::Slot);
      if (i == 0) cell->serve_runs();
      cell->accomplice();
    }).detach();
  report[jail::Layer::Seccomp] = gate->wait(2);
  const int refused = jail::install_thread_filter(jail::ThreadKind::Control, SIGRTMIN);
  if (refused != 0) report[jail::Layer::Seccomp] = refused;
  if (!attack_hello(name, *cell, report)) hello(control, report);
  cell->serve_messages();
  return 0;
}

}  // namespace
}  // namespace mayfly::cell

int main(int count, char** words) {
  ::signal(SIGPIPE, SIG_IGN);
  int code = 1;
  try {
    code = mayfly::cell::run({words + 1, static_cast<std::size_t>(count > 0 ? count - 1 : 0)});
  } catch (const std::exception& error) {
    const char* text = error.what();
    static_cast<void>(!::write(mayfly::cell::kLogFd, text, std::strlen(text)));
  }
  ::_exit(code);
}
