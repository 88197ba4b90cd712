#include "code_guest.hpp"

namespace bench {
namespace {

constexpr std::uint64_t kCode = 0x1000, kData = 0x200000, kPage = 4096;

}  // namespace

// 1: mov %rdi,(%rdi); add %rdx,%rdi; dec %rsi; jnz 1b; out %al,$0x10
const std::vector<std::uint8_t> kWritePages{0x48, 0x89, 0x3f, 0x48, 0x01, 0xd7, 0x48,
                                            0xff, 0xce, 0x75, 0xf5, 0xe6, kDonePort};

std::shared_ptr<mayfly::Vm> code_vm(mayfly::SyncClient& client, const std::vector<std::uint8_t>& code,
                                    std::uint64_t data_pages) {
    auto plan = mayfly::Plan::create(kData + data_pages * kPage,
                                     {{kCode, kPage, mayfly::rights::kRead | mayfly::rights::kExecute},
                                      {kData, data_pages * kPage, mayfly::rights::kRead | mayfly::rights::kWrite}},
                                     {});
    const mayfly::Engine::Load load[] = {{kCode, code}};
    auto vm = client.create_vm(std::move(plan), load);
    client.snapshot(*vm);
    return vm;
}

mayfly::GeneralRegisters at_code() {
    mayfly::GeneralRegisters entry{};
    entry.rip = kCode;
    return entry;
}

mayfly::RequestBuilder write_pages(std::uint64_t dirty, std::uint64_t pages) {
    mayfly::GeneralRegisters entry = at_code();
    entry.rdi = kData;
    entry.rsi = dirty;
    entry.rdx = pages / dirty * kPage;
    mayfly::RequestBuilder request;
    request.restore().entry(entry).starts_call().deadline_us(1'000'000);
    return request;
}

}  // namespace bench
