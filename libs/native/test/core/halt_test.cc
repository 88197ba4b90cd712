#include "guest.hpp"
#include "harness.hpp"

using namespace mayfly;
using namespace mayfly::test;

GUEST(halts, "mov $0x77, %ebx; mov $0x99, %edx; hlt; mov $1, %ebx; hlt")
TEST("hlt settles as a halt with the guest's registers at the instruction") {
  SyncClient client;
  auto vm = make_vm(client, halts());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.registers.rbx, 0x77u);
  CHECK_EQ(answer.registers.rsp, kStackTop - 8);
  CHECK_EQ(answer.registers.rip, kCode + 10);
}

TEST("a halt site that trapped is patched, and settles the same way from then on") {
  SyncClient client;
  auto vm = make_vm(client, halts());
  enter(client, *vm);
  CHECK_EQ(read_bytes(*vm, kCode + 10, 1)[0], kPatchedByte);
  // Never by scanning: the second hlt was not executed.
  CHECK_EQ(read_bytes(*vm, kCode + 16, 1)[0], kHaltByte);
  for (int i = 0; i < 3; i++) {
    const Answer& answer = enter(client, *vm);
    CHECK(answer.exit == ExitKind::Halt);
    CHECK_EQ(answer.registers.rbx, 0x77u);
    CHECK_EQ(answer.registers.rip, kCode + 10);
  }
}

TEST("the patched sites go into the snapshot, and VMs made from it know them") {
  SyncClient client;
  auto vm = make_vm(client, halts());
  enter(client, *vm);
  const auto snapshot = client.snapshot(*vm);
  auto clone = client.create_vm(snapshot);
  CHECK(enter(client, *clone, entry_at(), true).exit == ExitKind::Halt);
  CHECK(enter(client, *clone, entry_at(), true).exit == ExitKind::Halt);
}

TEST("a restore takes back a patch made after the snapshot, in memory and in the list") {
  SyncClient client;
  auto vm = make_vm(client, halts());
  const auto snapshot = client.snapshot(*vm);
  for (int i = 0; i < 3; i++) {
    CHECK(enter(client, *vm, entry_at(), true).exit == ExitKind::Halt);
    CHECK_EQ(read_bytes(*vm, kCode + 10, 1)[0], kPatchedByte);
    client.restore(*vm, snapshot);
    CHECK_EQ(read_bytes(*vm, kCode + 10, 1)[0], kHaltByte);
  }
}

GUEST(adjacent, "mov $0x33, %edx; test %rdi, %rdi; jnz 1f; out %al, (%dx); 1: hlt")
TEST("a byte OUT that stands right before a patched halt is still an OUT") {
  SyncClient client;
  auto vm = make_vm(client, adjacent());
  CHECK(enter(client, *vm, entry_with(1)).exit == ExitKind::Halt);
  const Answer& out = enter(client, *vm, entry_with(0));
  CHECK(out.exit == ExitKind::IoOut);
  CHECK_EQ(out.number, 0x33u);
  CHECK(go_on(client, *vm).exit == ExitKind::Halt);
}

// Before and behind: each is where one of the two RIP conventions would look.
GUEST(adjacent_byte, "mov $0x33, %edx; test %rdi, %rdi; jz 2f; hlt; 2: out %al, (%dx); nop; nop")
TEST("a byte OUT that stands right behind a patched halt is still an OUT") {
  SyncClient client;
  auto vm = make_vm(client, adjacent_byte());
  CHECK(enter(client, *vm, entry_with(1)).exit == ExitKind::Halt);
  const Answer& out = enter(client, *vm, entry_with(0));
  CHECK(out.exit == ExitKind::IoOut);
  CHECK_EQ(out.number, 0x33u);
}

GUEST(own_code, "mov $0x200000, %eax; jmp *%rax")
TEST("a patched site whose byte the guest rewrote is no halt") {
  SyncClient client;
  using namespace rights;
  const auto plan = Plan::create(kMemoryBytes,
                                 {{kCode, kPageBytes, kRead | kExecute},
                                  {kStack, kPageBytes, kRead | kWrite},
                                  {kData, kPageBytes, kRead | kWrite | kExecute}},
                                 {});
  const uint8_t halt[] = {kHaltByte, 0x90, 0x90, 0x90};
  const Engine::Load load[] = {{kCode, own_code()}, {kData, halt}};
  auto vm = client.create_vm(plan, load);
  CHECK(enter(client, *vm).exit == ExitKind::Halt);
  const uint8_t out[] = {0xe6, 0x44};  // out %al, $0x44: leaves with RIP at neither convention's site
  vm->write(kData, out);
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::IoOut);
  CHECK_EQ(answer.number, 0x44u);
}

GUEST(many_halts, ".rept 8; hlt; nop; .endr")
TEST("halts beyond the list of patched sites still settle as halts") {
  SyncClient client;
  auto vm = make_vm(client, many_halts());
  for (int round = 0; round < 2; round++)
    for (uint64_t i = 0; i < 8; i++) {
      const Answer& answer = enter(client, *vm, entry_at(kCode + 2 * i));
      CHECK(answer.exit == ExitKind::Halt);
      CHECK_EQ(answer.registers.rip, kCode + 2 * i);
    }
}
