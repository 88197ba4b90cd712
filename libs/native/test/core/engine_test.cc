#include <dirent.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "guest.hpp"
#include "harness.hpp"

using namespace mayfly;
using namespace mayfly::test;

namespace {

std::size_t count_entries(const char* path) {
  std::size_t count = 0;
  DIR* directory = ::opendir(path);
  while (::readdir(directory) != nullptr) count++;
  ::closedir(directory);
  return count;
}

std::size_t count_vms() {
  std::size_t count = 0;
  DIR* directory = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(directory)) {
    char target[256] = {};
    const std::string path = std::string("/proc/self/fd/") + entry->d_name;
    if (::readlink(path.c_str(), target, sizeof target - 1) > 0 && std::strstr(target, "kvm-vm") != nullptr) count++;
  }
  ::closedir(directory);
  return count;
}

}  // namespace

GUEST(forever, "1: jmp 1b")
GUEST(one_halt, "hlt")

TEST("an engine that stops leaves no thread, file descriptor or mapping behind") {
  { SyncClient warm_up; }
  const std::size_t fds = count_entries("/proc/self/fd");
  const std::size_t threads = count_entries("/proc/self/task");
  for (int i = 0; i < 3; i++) {
    SyncClient client({.slots = 2, .spare_shells = 2});
    auto first = make_vm(client, one_halt());
    const auto snapshot = client.snapshot(*first);
    auto second = client.create_vm(snapshot);
    enter(client, *second);
    client.close(*first);
  }
  CHECK_EQ(count_entries("/proc/self/fd"), fds);
  CHECK_EQ(count_entries("/proc/self/task"), threads);
  CHECK_EQ(count_vms(), std::size_t{0});
}

TEST("an engine stops while guests run without end and others wait") {
  SyncClient client({.slots = 2});
  std::vector<std::shared_ptr<Vm>> vms;
  for (int i = 0; i < 6; i++) vms.push_back(make_vm(client, forever()));
  RequestBuilder request;
  request.entry(entry_at());
  for (const auto& vm : vms) vm->post_run(request.bytes());
  client.engine().begin_stop();
  int cancelled = 0;
  for (;;) {
    const Completion completion = client.next();
    if (completion.op == OpKind::EngineClosed) break;
    if (completion.vm->answer().exit == ExitKind::Cancelled) cancelled++;
  }
  CHECK_EQ(cancelled, 6);
  CHECK(vms[0]->interrupt()->dropped());
  CHECK(code_of([&] { vms[0]->post_run(request.bytes()); }) == ErrorCode::DriverClosed);
  CHECK(code_of([&] { read_u64(*vms[0], 0); }) == ErrorCode::DriverClosed);
  CHECK(code_of([&] { client.engine().create_vm(test_plan(), {}); }) == ErrorCode::DriverClosed);
}

TEST("a close during a run kills it, and both operations complete in order") {
  SyncClient client;
  auto vm = make_vm(client, forever());
  RequestBuilder request;
  request.entry(entry_at());
  vm->post_run(request.bytes());
  CHECK(vm->close(true));
  CHECK(!vm->close(true));
  CHECK(client.next().op == OpKind::Run);
  CHECK(vm->answer().exit == ExitKind::Cancelled);
  CHECK(client.next().op == OpKind::Close);
  CHECK(code_of([&] { vm->post_run(request.bytes()); }) == ErrorCode::Closed);
  CHECK(code_of([&] { read_u64(*vm, 0); }) == ErrorCode::Closed);
}

TEST("a close does not wait for other guests of the slot, nor for its own run in the queue") {
  SyncClient client;
  auto endless = make_vm(client, forever());
  auto queued = make_vm(client, one_halt());
  auto idle = make_vm(client, one_halt());
  RequestBuilder request;
  request.entry(entry_at()).starts_call();
  endless->post_run(request.bytes());
  queued->post_run(request.bytes());
  CHECK(queued->close(true));
  CHECK(idle->close(true));
  const Completion run = client.next();
  CHECK(run.op == OpKind::Run && run.vm == queued);
  CHECK(queued->answer().exit == ExitKind::Cancelled);
  CHECK(client.next().op == OpKind::Close);
  CHECK(client.next().op == OpKind::Close);
  CHECK(endless->interrupt()->kill());
  CHECK(client.next().vm == endless);
}

TEST("a second operation while one is under way is refused") {
  SyncClient client;
  auto vm = make_vm(client, forever());
  RequestBuilder request;
  request.entry(entry_at()).starts_call();
  vm->post_run(request.bytes());
  CHECK(code_of([&] { vm->post_run(request.bytes()); }) == ErrorCode::Busy);
  CHECK(code_of([&] { vm->post_snapshot(); }) == ErrorCode::Busy);
  CHECK(code_of([&] { read_u64(*vm, 0); }) == ErrorCode::Busy);
  CHECK(code_of([&] { write_u64(*vm, 0, 0); }) == ErrorCode::Busy);
  vm->interrupt()->kill();
  client.next();
}

TEST("VMs are spread over the slots, and each slot works through its queue") {
  SyncClient client({.slots = 2});
  std::vector<std::shared_ptr<Vm>> vms;
  for (int i = 0; i < 8; i++) vms.push_back(make_vm(client, one_halt()));
  RequestBuilder request;
  request.entry(entry_at()).starts_call();
  for (int round = 0; round < 50; round++) {
    for (const auto& vm : vms) vm->post_run(request.bytes());
    for (std::size_t i = 0; i < vms.size(); i++) {
      const Completion completion = client.next();
      CHECK(completion.status == ErrorCode::None);
      CHECK(completion.vm->answer().exit == ExitKind::Halt);
      completion.vm->end_call();
    }
  }
}

TEST("a VM that nobody closed goes with its last reference once it is abandoned") {
  SyncClient client;
  make_vm(client, one_halt())->abandon();
  std::weak_ptr<Vm> left = make_vm(client, one_halt());
  auto other = make_vm(client, one_halt());
  enter(client, *other);
  client.close(*other);
  CHECK(left.expired());
}

TEST("engines of one process kick by the same signal or by different ones") {
  SyncClient one({.signal_offset = 3}), same({.signal_offset = 3}), other({.signal_offset = 4});
  for (SyncClient* client : {&one, &same, &other}) {
    auto vm = make_vm(*client, forever());
    RequestBuilder request;
    request.entry(entry_at()).starts_call();
    vm->post_run(request.bytes());
    CHECK(vm->interrupt()->kill());
    CHECK(client->next().vm->answer().exit == ExitKind::Cancelled);
  }
}

TEST("options out of their range are refused by name") {
  CHECK(code_of([] { SyncClient client({.slots = 0}); }) == ErrorCode::Option);
  CHECK(code_of([] { SyncClient client({.slots = 257}); }) == ErrorCode::Option);
  CHECK(code_of([] { SyncClient client({.slots = 1, .spare_shells = 65}); }) == ErrorCode::Option);
  CHECK(code_of([] { SyncClient client({.slots = 1, .signal_offset = 77}); }) == ErrorCode::Option);
}
