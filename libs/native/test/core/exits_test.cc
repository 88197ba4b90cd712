#include "guest.hpp"
#include "harness.hpp"

using namespace mayfly;
using namespace mayfly::test;

TEST("an OUT settles with port, size and value, and a run without entry goes on after it") {
  SyncClient client;
  // mov $0x11223344,%eax; mov $0x65,%edx; out %eax,(%dx); mov $7,%ebx; out %al,(%dx)
  auto vm = make_vm(client, {0xb8, 0x44, 0x33, 0x22, 0x11, 0xba, 0x65, 0, 0, 0, 0xef, 0xbb, 7, 0, 0, 0, 0xee});
  const Answer& first = enter(client, *vm, entry_at());
  CHECK(first.exit == ExitKind::IoOut);
  CHECK_EQ(first.number, 0x65u);
  CHECK_EQ(first.size_bytes, 4u);
  CHECK_EQ(first.value, 0x11223344u);
  CHECK_EQ(first.registers.rbx, 0u);
  RequestBuilder go_on;
  const Answer& second = client.run(*vm, go_on);
  CHECK(second.exit == ExitKind::IoOut);
  CHECK_EQ(second.size_bytes, 1u);
  CHECK_EQ(second.value, 0x44u);
  CHECK_EQ(second.registers.rbx, 7u);
  client.close(*vm);
}
