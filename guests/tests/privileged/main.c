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

#define ENTRIES(X)                                                                                           \
  X("Cli", cli) X("Sti", sti) X("Lgdt", lgdt) X("Lidt", lidt) X("Lldt", lldt) X("Ltr", ltr)                  \
  X("ReadCr0", read_cr0) X("WriteCr0", write_cr0) X("WriteCr3", write_cr3) X("WriteCr4", write_cr4)          \
  X("WriteCr8", write_cr8) X("WriteDr7", write_dr7) X("Rdmsr", rdmsr) X("Wrmsr", wrmsr) X("Rdpmc", rdpmc)    \
  X("Xsetbv", xsetbv) X("Swapgs", swapgs) X("Invlpg", invlpg) X("Invd", invd) X("Wbinvd", wbinvd)            \
  X("Clts", clts) X("Lmsw", lmsw) X("Sysretq", sysretq) X("Iretq", iretq) X("LoadSegment", load_segment)

void hyperlight_main(void) {
#define REGISTER(name, fn) HYPERLIGHT_REGISTER_FUNCTION(name, fn);
  ENTRIES(REGISTER)
}
