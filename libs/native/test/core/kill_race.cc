#include "kill_race.hpp"

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "clock.hpp"
#include "guest.hpp"

namespace mayfly::test {

GUEST(mixed,
      "test %rsi, %rsi; jz 1f; cmp $2, %rsi; je 2f; mov $0x200000, %eax;"
      "3: pushfq; orl $0x40000, (%rsp); popfq; movl $1, 1(%rax); jmp 3b; 1: jmp 1b; 2: dec %rdi; jnz 2b; hlt")

namespace {

/** Kills, from a thread of its own, whatever call is active a random time after it is told to. */
class Killer {
 public:
  explicit Killer(std::size_t calls) : touched_(calls), thread_([this] { main(); }) {}
  ~Killer() { stop(); }

  void aim(Vm& vm) {
    vm_.store(&vm);
    order_.fetch_add(1);
    order_.notify_one();
  }
  void wait_until_shot() const {
    const uint64_t order = order_.load();
    for (uint64_t shot = shot_.load(); shot != order; shot = shot_.load()) shot_.wait(shot);
  }
  void stop() {
    if (!thread_.joinable()) return;
    stop_.store(true);
    order_.fetch_add(1);
    order_.notify_one();
    thread_.join();
  }
  /** Whether a kill may have been meant for this generation: it was active while kill() ran. */
  bool touched(uint64_t generation) const { return touched_[generation].load(); }

 private:
  void main() {
    std::mt19937 random(8);
    for (uint64_t seen = 0;;) {
      order_.wait(seen);
      seen = order_.load();
      if (stop_.load()) return;
      const Interrupt& interrupt = *vm_.load()->interrupt();
      const uint64_t until = monotonic_ns() + random() % 60'000;
      while (monotonic_ns() < until) {
      }
      // Marked before the stamp can be seen, and after it, since a new call may have begun in between.
      touched_[interrupt.generation()].store(true);
      vm_.load()->interrupt()->kill();
      touched_[interrupt.generation()].store(true);
      shot_.store(seen);
      shot_.notify_one();
    }
  }

  std::vector<std::atomic<bool>> touched_;
  std::atomic<Vm*> vm_{nullptr};
  std::atomic<uint64_t> order_{0};
  std::atomic<uint64_t> shot_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace

KillRace race_kills(SyncClient& client, uint64_t kills) {
  std::mt19937 random(7);
  auto vm = make_vm(client, mixed());
  Killer killer(3 * kills + 1);
  KillRace race;
  std::vector<uint64_t> cancelled;
  for (uint64_t i = 0; i < kills; i++) {
    // 0: spins, 1: faults without end, 2: short. The first two end by their kill or not at all.
    const uint64_t kind = random() % 3;
    RequestBuilder request;
    request.entry(entry_with(1 + random() % 20'000, kind)).starts_call().deadline_us(5'000'000);
    const int calls = kind == 2 ? 2 : 1;
    for (int call = 0; call < calls; call++) {
      vm->post_run(request.bytes());
      if (call == 0) killer.aim(*vm);  // the call is active from here on: its kill must end it
      client.next();
      const Answer& answer = vm->answer();
      if (answer.exit == ExitKind::Cancelled) {
        if (answer.flags == answer_flags::kByDeadline) race.lost++;
        cancelled.push_back(vm->interrupt()->generation());
      } else if (answer.exit != ExitKind::Halt || kind != 2) {
        race.stray++;
      }
      vm->end_call();
    }
    killer.wait_until_shot();
  }
  killer.stop();
  race.cancelled = cancelled.size();
  for (const uint64_t generation : cancelled)
    if (!killer.touched(generation)) race.foreign++;
  client.close(*vm);
  return race;
}

}  // namespace mayfly::test
