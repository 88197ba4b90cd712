#include <atomic>
#include <random>
#include <thread>

#include "clock.hpp"
#include "guest.hpp"
#include "harness.hpp"

using namespace mayfly;
using namespace mayfly::test;

GUEST(spin, "1: jmp 1b")
GUEST(count_down, "1: dec %rdi; jnz 1b; hlt")
// Faults without end: #AC is cleared and resumed each time.
GUEST(fault_loop, "mov $0x200000, %eax; 1: pushfq; orl $0x40000, (%rsp); popfq; movl $1, 1(%rax); jmp 1b")
GUEST(mixed,
      "test %rsi, %rsi; jz 1f; cmp $2, %rsi; je 2f; mov $0x200000, %eax;"
      "3: pushfq; orl $0x40000, (%rsp); popfq; movl $1, 1(%rax); jmp 3b; 1: jmp 1b; 2: dec %rdi; jnz 2b; hlt")
GUEST(out_then_halt, "out %al, $0x65; hlt")

TEST("kill ends a spinning guest, and the next call runs") {
  SyncClient client;
  auto vm = make_vm(client, spin());
  for (int i = 0; i < 20; i++) {
    RequestBuilder request;
    request.entry(entry_at()).starts_call();
    vm->post_run(request.bytes());
    CHECK(vm->interrupt()->call_active());
    CHECK(vm->interrupt()->kill());
    CHECK(client.next().op == OpKind::Run);
    CHECK(vm->answer().exit == ExitKind::Cancelled);
    CHECK_EQ(vm->answer().flags, 0u);
    vm->end_call();
    CHECK(!vm->interrupt()->call_active());
    CHECK(!vm->interrupt()->kill());
  }
}

TEST("kill before the run is taken cancels it") {
  SyncClient client;
  auto busy = make_vm(client, spin());
  auto queued = make_vm(client, spin());
  RequestBuilder request;
  request.entry(entry_at()).starts_call();
  busy->post_run(request.bytes());
  queued->post_run(request.bytes());
  CHECK(queued->interrupt()->kill());
  CHECK(busy->interrupt()->kill());
  for (int i = 0; i < 2; i++) CHECK(client.next().vm->answer().exit == ExitKind::Cancelled);
  CHECK_EQ(queued->answer().exits, 0u);
}

TEST("kill during a host function cancels the next entry of the call, at once") {
  SyncClient client;
  auto vm = make_vm(client, out_then_halt());
  RequestBuilder request;
  request.entry(entry_at()).starts_call();
  CHECK(client.run(*vm, request).exit == ExitKind::IoOut);
  CHECK(vm->interrupt()->kill());
  const Answer& answer = go_on(client, *vm);
  CHECK(answer.exit == ExitKind::Cancelled);
  CHECK_EQ(answer.exits, 0u);
  vm->end_call();
  CHECK(enter(client, *vm).exit == ExitKind::IoOut);
}

TEST("a run outside a call is not cancelled by kill") {
  SyncClient client;
  auto vm = make_vm(client, count_down());
  RequestBuilder request;
  request.entry(entry_with(1000));
  vm->post_run(request.bytes());
  CHECK(!vm->interrupt()->kill());
  client.next();
  CHECK(vm->answer().exit == ExitKind::Halt);
}

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

TEST("of ten thousand kills at random moments none is lost, none reaches another call, none leaves an exception") {
  SyncClient client;
  std::mt19937 random(7);
  constexpr int kKills = 10'000;
  auto vm = make_vm(client, mixed());
  Killer killer(3 * kKills + 1);
  std::vector<uint64_t> cancelled;
  int lost = 0;
  int stray = 0;
  for (int i = 0; i < kKills; i++) {
    // 0: spins, 1: faults without end, 2: short. The first two end by their kill or not at all.
    const uint64_t kind = random() % 3;
    RequestBuilder request;
    request.entry(entry_with(1 + random() % 20'000, kind)).starts_call().deadline_us(5'000'000);
    // Short calls one after another: kills fall into them, between them and late.
    const int calls = kind == 2 ? 2 : 1;
    for (int call = 0; call < calls; call++) {
      vm->post_run(request.bytes());
      if (call == 0) killer.aim(*vm);  // the call is active from here on: its kill must end it
      client.next();
      const Answer& answer = vm->answer();
      if (answer.exit == ExitKind::Cancelled) {
        if (answer.flags == answer_flags::kByDeadline) lost++;
        cancelled.push_back(vm->interrupt()->generation());
      } else if (answer.exit != ExitKind::Halt || kind != 2) {
        stray++;
      }
      vm->end_call();
    }
    killer.wait_until_shot();
  }
  killer.stop();
  int foreign = 0;
  for (const uint64_t generation : cancelled)
    if (!killer.touched(generation)) foreign++;
  CHECK_EQ(lost, 0);
  CHECK_EQ(stray, 0);
  CHECK_EQ(foreign, 0);
  CHECK(cancelled.size() > kKills / 2);
}

TEST("the generation goes up by one with each call") {
  SyncClient client;
  auto vm = make_vm(client, count_down());
  CHECK_EQ(vm->interrupt()->generation(), 0u);
  for (uint64_t i = 1; i < 4; i++) {
    enter(client, *vm, entry_with(1));
    CHECK_EQ(vm->interrupt()->generation(), i);
  }
}

TEST("a deadline ends a spinning guest, and one fault loop, but not before its time") {
  SyncClient client;
  for (const auto code : {spin(), fault_loop()}) {
    auto vm = make_vm(client, code);
    for (int i = 0; i < 10; i++) {
      RequestBuilder request;
      request.entry(entry_at()).starts_call().deadline_us(300 + 100 * i);
      const Answer& answer = client.run(*vm, request);
      CHECK(answer.exit == ExitKind::Cancelled);
      CHECK_EQ(answer.flags, answer_flags::kByDeadline);
      CHECK(answer.left_ns - answer.entered_ns >= (300 + 100 * i) * 1000);
      vm->end_call();
    }
  }
}

TEST("a deadline far away leaves calls alone, and a near one after it still fires") {
  SyncClient client;
  auto counter = make_vm(client, count_down());
  auto spinner = make_vm(client, spin());
  for (int i = 0; i < 50; i++) {
    RequestBuilder request;
    request.entry(entry_with(10)).starts_call().deadline_us(1'000'000 * (1 + i % 7));
    CHECK(client.run(*counter, request).exit == ExitKind::Halt);
    counter->end_call();
    RequestBuilder endless;
    endless.entry(entry_at()).starts_call().deadline_us(200);
    CHECK(client.run(*spinner, endless).exit == ExitKind::Cancelled);
    spinner->end_call();
  }
}

TEST("a deadline counts while the guest waits on a host function") {
  SyncClient client;
  auto vm = make_vm(client, out_then_halt());
  RequestBuilder request;
  request.entry(entry_at()).starts_call().deadline_us(50'000);
  CHECK(client.run(*vm, request).exit == ExitKind::IoOut);
  const uint64_t until = monotonic_ns() + 60'000'000;
  while (monotonic_ns() < until) {
  }
  const Answer& answer = go_on(client, *vm);
  CHECK(answer.exit == ExitKind::Cancelled);
  CHECK_EQ(answer.flags, answer_flags::kByDeadline);
  CHECK_EQ(answer.exits, 0u);
  vm->end_call();
  // The next call has no deadline of its own, and none of the last one.
  CHECK(enter(client, *vm).exit == ExitKind::IoOut);
}

TEST("a run outside a call has its deadline, too") {
  SyncClient client;
  auto vm = make_vm(client, spin());
  RequestBuilder request;
  request.entry(entry_at()).deadline_us(500);
  CHECK(client.run(*vm, request).exit == ExitKind::Cancelled);
  RequestBuilder again;
  again.entry(entry_at()).deadline_us(500);
  CHECK(client.run(*vm, again).exit == ExitKind::Cancelled);
}

TEST("an interrupt handle outlives its VM and its engine") {
  std::shared_ptr<Interrupt> interrupt;
  {
    SyncClient client;
    auto vm = make_vm(client, spin());
    interrupt = vm->interrupt();
    CHECK(!interrupt->dropped());
    client.close(*vm);
    CHECK(interrupt->dropped());
  }
  CHECK(!interrupt->kill());
  CHECK(interrupt->dropped());
}
