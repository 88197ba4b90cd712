#include "ring0_guest.hpp"

#include <cstring>
#include <stdexcept>
#include <vector>

extern "C" const std::uint8_t ring0_start[], ring0_dispatch[], ring0_end[];
asm(R"(
.pushsection .rodata
.globl ring0_start, ring0_dispatch, ring0_end
.hidden ring0_start, ring0_dispatch, ring0_end
ring0_start:
    lgdt 0x200100
    mov $0x10, %eax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    push $8
    lea 1f(%rip), %rcx
    push %rcx
    lretq
1:  lidt 0x200110
    jmp 2f
ring0_dispatch:
    mov %cr4, %rax
    mov %rax, %rcx
    xor $0x80, %rcx
    mov %rcx, %cr4
    mov %rax, %cr4
    mov 0x203000, %rbx
    add $1, %rbx
    mov %rbx, 0x204000
    mov %rbx, 0x205000
    mov %rbx, 0x206000
    push %rbx
2:  hlt
ring0_end:
.popsection
)");

namespace bench {
namespace {

constexpr std::uint64_t kTables = 0x8000, kCode = 0x10000, kStack = 0x20000, kData = 0x200000;
constexpr std::uint64_t kMemoryBytes = 0x400000;
constexpr std::uint64_t kGdtOperand = kData + 0x100, kIdtOperand = kData + 0x110, kGdt = kData + 0x200;
constexpr std::uint64_t kInput = kData + 0x3000, kResult = kData + 0x4000;
constexpr std::uint64_t kNumber = 41;

template <typename T>
void append(std::vector<std::uint8_t>& bytes, T value) {
    const auto* raw = reinterpret_cast<const std::uint8_t*>(&value);
    for (std::size_t i = 0; i < sizeof value; ++i) bytes.push_back(raw[i]);
}

std::vector<std::uint8_t> table_operand(std::uint16_t limit, std::uint64_t base) {
    std::vector<std::uint8_t> bytes;
    append(bytes, limit);
    append(bytes, base);
    return bytes;
}

mayfly::GeneralRegisters entry_at(std::uint64_t rip) {
    mayfly::GeneralRegisters entry{};
    entry.rip = rip;
    entry.rsp = kStack + 0x1000 - 0x28;
    return entry;
}

}  // namespace

Ring0Guest::Ring0Guest(mayfly::SyncClient& client) : client_(client) {
    using namespace mayfly::rights;
    const auto plan = mayfly::Plan::create(kMemoryBytes,
                                           {{kCode, 0x1000, kRead | kWrite | kExecute},
                                            {kStack, 0x1000, kRead | kWrite},
                                            {kData, 0x100000, kRead | kWrite}},
                                           {}, kTables);
    std::vector<std::uint8_t> gdt;
    for (const std::uint64_t entry : {0ull, 0x00a09a0000000000ull, 0x00c0920000000000ull}) append(gdt, entry);
    const auto gdt_operand = table_operand(23, kGdt), idt_operand = table_operand(4095, kData + 0x10000);
    const mayfly::Engine::Load load[] = {{kCode, {ring0_start, ring0_end}},
                                         {kGdt, gdt},
                                         {kGdtOperand, gdt_operand},
                                         {kIdtOperand, idt_operand}};
    vm_ = client.create_vm(plan, load);
    mayfly::RequestBuilder start;
    start.entry(entry_at(kCode));
    if (client.run(*vm_, start).exit != mayfly::ExitKind::Halt) throw std::runtime_error("the ring-0 guest did not start");
    client.snapshot(*vm_);
    mayfly::RequestBuilder prime;
    prime.entry(entry_at(kCode + static_cast<std::uint64_t>(ring0_dispatch - ring0_start)));
    if (client.prime(*vm_, prime, {{kInput, 8}}) == nullptr) throw std::runtime_error("no warm snapshot of the ring-0 guest");
    std::vector<std::uint8_t> input;
    append(input, kNumber);
    request_.restore().starts_call().deadline_us(1'000'000).write(kInput, input);
}

Ring0Guest::~Ring0Guest() {
    try {
        client_.close(*vm_);
    } catch (const std::exception&) {
        // The client's engine frees it at its end.
    }
}

const mayfly::Answer& Ring0Guest::call() {
    const mayfly::Answer& answer = client_.run(*vm_, request_);
    vm_->end_call();
    return answer;
}

void Ring0Guest::check() {
    std::uint64_t result = 0;
    vm_->read(kResult, {reinterpret_cast<std::uint8_t*>(&result), sizeof result});
    if (result != kNumber + 1) throw std::runtime_error("the ring-0 guest's result is wrong");
    if (client_.compare(*vm_) != 0) throw std::runtime_error("the ring-0 guest's reset is not complete");
}

}  // namespace bench
