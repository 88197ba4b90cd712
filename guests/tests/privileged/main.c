/* Instructions that a guest at CPL 3 may not execute, one function each. */
#include "mayfly_guest.h"

static struct __attribute__((packed)) {
  uint16_t limit;
  uint64_t base;
} table = {0xFFF, 0};

#define PRIVILEGED(fn, ...)                     \
  static int32_t fn(void) {                     \
    __asm__ volatile(__VA_ARGS__);              \
    return 1;                                   \
  }                                             \
  HYPERLIGHT_WRAP_FUNCTION(fn, Int, 0)

PRIVILEGED(cli, "cli" ::: "memory")
PRIVILEGED(sti, "sti" ::: "memory")
PRIVILEGED(lgdt, "lgdt %0" ::"m"(table))
PRIVILEGED(lidt, "lidt %0" ::"m"(table))
PRIVILEGED(lldt, "lldt %w0" ::"r"(0))
PRIVILEGED(ltr, "ltr %w0" ::"r"(0))
PRIVILEGED(read_cr0, "mov %%cr0, %%rax" ::: "rax")
PRIVILEGED(write_cr0, "mov %0, %%cr0" ::"r"(0ul))
PRIVILEGED(write_cr3, "mov %0, %%cr3" ::"r"(0ul))
PRIVILEGED(write_cr4, "mov %0, %%cr4" ::"r"(0ul))
PRIVILEGED(write_cr8, "mov %0, %%cr8" ::"r"(15ul))
PRIVILEGED(write_dr7, "mov %0, %%dr7" ::"r"(0x400ul))
PRIVILEGED(rdmsr, "rdmsr" ::"c"(0xC0000080) : "eax", "edx")
PRIVILEGED(wrmsr, "wrmsr" ::"c"(0xC0000080), "a"(0), "d"(0))
PRIVILEGED(rdpmc, "rdpmc" ::"c"(0) : "eax", "edx")
PRIVILEGED(xsetbv, "xsetbv" ::"c"(0), "a"(7), "d"(0))
PRIVILEGED(swapgs, "swapgs")
PRIVILEGED(invlpg, "invlpg (%0)" ::"r"(0ul))
PRIVILEGED(invd, "invd")
PRIVILEGED(wbinvd, "wbinvd")
PRIVILEGED(clts, "clts")
PRIVILEGED(lmsw, "lmsw %w0" ::"r"(1))
PRIVILEGED(sysretq, "sysretq" ::"c"(0))
PRIVILEGED(iretq, "pushq $0x10; pushq $0; pushq $2; pushq $8; lea 1f(%%rip), %%rax; push %%rax; iretq; 1:" ::: "rax", "memory")
PRIVILEGED(load_segment, "mov %w0, %%ds" ::"r"(0x10))

PRIVILEGED(far_return, "push $8; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:" ::: "rax", "memory")
PRIVILEGED(read_cr2, "mov %%cr2, %%rax" ::: "rax")
PRIVILEGED(read_cr3, "mov %%cr3, %%rax" ::: "rax")
PRIVILEGED(read_dr7, "mov %%dr7, %%rax" ::: "rax")

/* These read what the guest believes in: CR4 as the ABI has it (4.1), flipped as each call in ring 0 flips it (9.2). */
static int32_t toggle_cr4(void) {
  uint64_t before, after;
  __asm__ volatile("mov %%cr4, %0; mov %0, %1; xor $0x80, %1; mov %1, %%cr4; mov %%cr4, %1; mov %0, %%cr4"
                   : "=&r"(before), "=&r"(after));
  return before == 0x620 && after == 0x6A0 ? 1 : 0;
}
HYPERLIGHT_WRAP_FUNCTION(toggle_cr4, Int, 0)

static struct __attribute__((packed)) {
  uint16_t limit;
  uint64_t base;
} stored;
PRIVILEGED(sgdt, "sgdt %0" : "=m"(stored))
PRIVILEGED(sidt, "sidt %0" : "=m"(stored))
PRIVILEGED(sldt, "sldt %%ax" ::: "rax")
PRIVILEGED(str, "str %%ax" ::: "rax")
PRIVILEGED(smsw, "smsw %%ax" ::: "rax")

/* A call that ends where it should go on. */
PRIVILEGED(halt, "hlt")
PRIVILEGED(halt_with_prefix, ".byte 0x66, 0xf4")

#define ENTRIES(X)                                                                                           \
  X("Cli", cli) X("Sti", sti) X("Lgdt", lgdt) X("Lidt", lidt) X("Lldt", lldt) X("Ltr", ltr)                  \
  X("ReadCr0", read_cr0) X("WriteCr0", write_cr0) X("WriteCr3", write_cr3) X("WriteCr4", write_cr4)          \
  X("WriteCr8", write_cr8) X("WriteDr7", write_dr7) X("Rdmsr", rdmsr) X("Wrmsr", wrmsr) X("Rdpmc", rdpmc)    \
  X("Xsetbv", xsetbv) X("Swapgs", swapgs) X("Invlpg", invlpg) X("Invd", invd) X("Wbinvd", wbinvd)            \
  X("Clts", clts) X("Lmsw", lmsw) X("Sysretq", sysretq) X("Iretq", iretq) X("LoadSegment", load_segment) \
  X("FarReturn", far_return) X("ReadCr2", read_cr2) X("ReadCr3", read_cr3) X("ReadDr7", read_dr7)             \
  X("ToggleCr4", toggle_cr4) X("Sgdt", sgdt) X("Sidt", sidt) X("Sldt", sldt) X("Str", str) X("Smsw", smsw)     \
  X("Halt", halt) X("HaltWithPrefix", halt_with_prefix)

void hyperlight_main(void) {
#define REGISTER(name, fn) HYPERLIGHT_REGISTER_FUNCTION(name, fn);
  ENTRIES(REGISTER)
}
