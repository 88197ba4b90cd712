/* Ring 0 only (guest-abi 9.2, 9.4): own GDT and IDT; an exception aborts with {15, vector} and a text. */
#include "cpu.h"

#include "abort.h"
#include "mayfly_guest.h"

enum { CODE_SELECTOR = 0x08, DATA_SELECTOR = 0x10, INTERRUPT_GATE = 0x8E };
/* Vectors that have a handler: 0 to 20, and 30. */
enum { GATES = 256, VECTORS = 31, LAST_PLAIN_VECTOR = 20, SECURITY_EXCEPTION = 30, ENTRY_BYTES = 16 };

typedef struct Gate {
  uint16_t offset_low, selector;
  uint8_t stack, attributes;
  uint16_t offset_middle;
  uint32_t offset_high, reserved;
} Gate;

typedef struct __attribute__((packed)) TableRegister {
  uint16_t limit;
  const void *base;
} TableRegister;

typedef struct ExceptionFrame {
  uint64_t vector, error_code, rip, cs, rflags, rsp, ss;
} ExceptionFrame;

extern const uint8_t mf_exception_entries[];

/* Not const: loading a segment sets the accessed bit. */
static uint64_t gdt[3] = {0, 0x00A09A0000000000, 0x00C0920000000000};

static void load_gdt(void) {
  TableRegister table = {sizeof gdt - 1, gdt};
  uint64_t scratch;
  __asm__ volatile(
      "lgdt %[table]\n\t"
      "mov %[data], %%ds\n\tmov %[data], %%es\n\tmov %[data], %%fs\n\tmov %[data], %%gs\n\tmov %[data], %%ss\n\t"
      "lea 1f(%%rip), %[scratch]\n\t"
      "push %[code]\n\tpush %[scratch]\n\tlretq\n"
      "1:"
      : [scratch] "=&r"(scratch)
      : [table] "m"(table), [data] "r"(DATA_SELECTOR), [code] "i"(CODE_SELECTOR)
      : "memory");
}

static void load_idt(void) {
  /* On the heap: only ring 0 needs it, and writable data stays within a page. */
  Gate *idt = calloc(GATES, sizeof *idt);
  for (unsigned vector = 0; vector < VECTORS; vector++) {
    if (vector > LAST_PLAIN_VECTOR && vector != SECURITY_EXCEPTION) continue;
    uintptr_t entry = (uintptr_t)mf_exception_entries + vector * ENTRY_BYTES;
    idt[vector] = (Gate){
        .offset_low = (uint16_t)entry,
        .selector = CODE_SELECTOR,
        .attributes = INTERRUPT_GATE,
        .offset_middle = (uint16_t)(entry >> 16),
        .offset_high = (uint32_t)(entry >> 32),
    };
  }
  TableRegister table = {GATES * sizeof *idt - 1, idt};
  __asm__ volatile("lidt %0" : : "m"(table));
}

void mf_cpu_init(void) {
#ifndef MAYFLY_RING0
  uint16_t cs;
  __asm__("mov %%cs, %0" : "=r"(cs));
  if ((cs & 3) != 0) return;
#endif
  load_gdt();
  load_idt();
}

/* Called by entry.S. */
_Noreturn void mf_exception(const ExceptionFrame *frame, uint64_t fault_address);

_Noreturn void mf_exception(const ExceptionFrame *frame, uint64_t fault_address) {
  char text[256];
  snprintf(text, sizeof text,
           "Exception vector: %lu\nFaulting Instruction: 0x%lx\nPage Fault Address: 0x%lx\nError code: 0x%lx\n"
           "Stack Pointer: 0x%lx",
           frame->vector, frame->rip, fault_address, frame->error_code, frame->rsp);
  mf_abort_exception((uint8_t)frame->vector, text);
}
