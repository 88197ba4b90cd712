#include <atomic>
#include <random>
#include <thread>

#include "clock.hpp"
#include "guest.hpp"
#include "harness.hpp"
#include "kill_race.hpp"

using namespace mayfly;
using namespace mayfly::test;

GUEST(spin, "1: jmp 1b")
GUEST(count_down, "1: dec %rdi; jnz 1b; hlt")
GUEST(count_up, "mov $0x200000, %eax; incq (%rax); hlt")
GUEST(out_then_halt, "out %al, $0x65; hlt")
// Faults without end: #AC is cleared and resumed each time.
GUEST(fault_loop, "mov $0x200000, %eax; 1: pushfq; orl $0x40000, (%rsp); popfq; movl $1, 1(%rax); jmp 1b")

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

TEST("a kill of a call that waits behind another settles it at once, and its VM goes on") {
  SyncClient client;
  auto busy = make_vm(client, spin());
  auto waiting = make_vm(client, count_up());
  RequestBuilder request;
  request.entry(entry_at()).starts_call();
  busy->post_run(request.bytes());
  waiting->post_run(request.bytes());
  CHECK(waiting->interrupt()->kill());
  CHECK(client.next().vm == waiting);  // the other one still spins
  CHECK(waiting->answer().exit == ExitKind::Cancelled);
  CHECK_EQ(waiting->answer().flags, 0u);
  CHECK_EQ(waiting->answer().exits, 0u);
  CHECK(waiting->answer().posted_ns > 0 && waiting->answer().taken_ns >= waiting->answer().posted_ns);
  waiting->end_call();
  CHECK(busy->interrupt()->kill());
  CHECK(client.next().vm == busy);
  CHECK_EQ(read_u64(*waiting, kData), 0u);
  CHECK(enter(client, *waiting).exit == ExitKind::Halt);
  CHECK_EQ(read_u64(*waiting, kData), 1u);
}

TEST("a kill of an earlier call leaves the run alone that waits now") {
  SyncClient client;
  auto busy = make_vm(client, spin());
  auto waiting = make_vm(client, count_up());
  enter(client, *waiting);
  RequestBuilder request;
  request.entry(entry_at()).starts_call();
  busy->post_run(request.bytes());
  waiting->post_run(request.bytes());
  waiting->slot().cancel_waiting(*waiting->interrupt(), waiting->interrupt()->generation() - 1);
  CHECK(busy->interrupt()->kill());
  for (int i = 0; i < 2; i++) client.next();
  CHECK(waiting->answer().exit == ExitKind::Halt);
}

TEST("revoke takes back a call that waits, and its VM is as it was") {
  SyncClient client;
  auto busy = make_vm(client, spin());
  auto waiting = make_vm(client, count_up());
  CHECK(!waiting->revoke());
  RequestBuilder request;
  request.entry(entry_at()).starts_call();
  busy->post_run(request.bytes());
  waiting->post_run(request.bytes());
  CHECK(waiting->revoke());
  CHECK(!waiting->revoke());
  CHECK(client.next().vm == waiting);
  CHECK(waiting->answer().exit == ExitKind::Cancelled);
  CHECK_EQ(waiting->answer().flags, answer_flags::kByRevoke);
  waiting->end_call();
  CHECK(busy->interrupt()->kill());
  client.next();
  CHECK(enter(client, *waiting).exit == ExitKind::Halt);
  CHECK_EQ(read_u64(*waiting, kData), 1u);
}

TEST("revoke refuses a run that goes on with a call, and one outside a call") {
  SyncClient client;
  auto busy = make_vm(client, spin());
  auto in_call = make_vm(client, out_then_halt());
  auto outside = make_vm(client, count_up());
  RequestBuilder request;
  request.entry(entry_at()).starts_call();
  CHECK(client.run(*in_call, request).exit == ExitKind::IoOut);
  busy->post_run(request.bytes());
  in_call->post_run(RequestBuilder().bytes());
  RequestBuilder no_call;
  outside->post_run(no_call.entry(entry_at()).bytes());
  CHECK(!in_call->revoke());
  CHECK(!outside->revoke());
  CHECK(busy->interrupt()->kill());
  for (int i = 0; i < 3; i++) client.next();
  CHECK(in_call->answer().exit == ExitKind::Halt);
  CHECK(outside->answer().exit == ExitKind::Halt);
}

TEST("a revoke at any moment takes the call back whole or not at all") {
  SyncClient client;
  auto vm = make_vm(client, count_up());
  std::mt19937 random(9);
  uint64_t ran = 0, taken_back = 0;
  RequestBuilder request;
  request.entry(entry_at()).starts_call();
  for (int i = 0; i < 20'000; i++) {
    vm->post_run(request.bytes());
    const uint64_t until = monotonic_ns() + random() % 20'000;
    while (monotonic_ns() < until) {
    }
    const bool revoked = vm->revoke();
    client.next();
    CHECK(vm->answer().exit == (revoked ? ExitKind::Cancelled : ExitKind::Halt));
    (revoked ? taken_back : ran)++;
    vm->end_call();
  }
  CHECK_EQ(read_u64(*vm, kData), ran);
  CHECK(ran > 0 && taken_back > 0);
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

TEST("of many kills at random moments none is lost, none reaches another call, none leaves an exception") {
  SyncClient client;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr uint64_t kKills = 10'000;
#else
  constexpr uint64_t kKills = 100'000;
#endif
  const KillRace race = race_kills(client, kKills);
  CHECK_EQ(race.lost, 0u);
  CHECK_EQ(race.stray, 0u);
  CHECK_EQ(race.foreign, 0u);
  CHECK(race.cancelled > kKills / 2);
}

TEST("a kill that names its call ends that one and no other") {
  SyncClient client;
  auto vm = make_vm(client, spin());
  const auto interrupt = vm->interrupt();
  CHECK(!interrupt->kill(0));
  RequestBuilder request;
  request.entry(entry_at()).starts_call().deadline_us(5'000'000);
  vm->post_run(request.bytes());
  CHECK(!interrupt->kill(0));
  CHECK(!interrupt->kill(2));
  CHECK(interrupt->kill(1));
  client.next();
  CHECK(vm->answer().exit == ExitKind::Cancelled);
  CHECK_EQ(vm->answer().flags, 0u);
  vm->end_call();
  CHECK(!interrupt->kill(1));
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
