/* Functions that the processor stops. */
#include "runtime.h"

/* Keeps the compiler from knowing a value, so that it cannot see the fault coming. */
static uintptr_t hidden(uintptr_t value) {
  __asm__("" : "+r"(value));
  return value;
}

static int32_t read_at(uintptr_t address) { return *(volatile int32_t *)hidden(address); }
static int32_t write_at(uintptr_t address) { return *(volatile int32_t *)hidden(address) = 1; }
static int32_t jump_to(uintptr_t address) { return ((int32_t(*)(void))hidden(address))(); }

static uintptr_t end_of_memory(void) { return mf_runtime.peb->stack_highest; }
static uintptr_t guard_page(void) { return mf_runtime.peb->stack_lowest - 4096; }
static uintptr_t host_functions(void) { return mf_runtime.peb->host_functions.address; }

/* Addresses: unmapped below 1 GiB, unmapped in the lower half, not canonical, in the host's part. */
static const uintptr_t LOW = 0x3FFFF000, FAR = 0x400000000000, NOT_CANONICAL = 0x4141414141414141,
                       UPPER = 0xFFFFFF8000001000;

/* In assembly: to the compiler these have no meaning that it must keep. */
static int32_t divide(int32_t dividend, int32_t divisor) {
  int32_t quotient, rest;
  __asm__ volatile("cltd; idivl %2" : "=a"(quotient), "=&d"(rest) : "r"(divisor), "0"(dividend) : "cc");
  return quotient;
}
static int32_t divide_by_zero(void) { return divide(1, 0); }
static int32_t divide_overflow(void) { return divide(INT32_MIN, -1); }

static int32_t read_null(void) { return read_at(0); }
static int32_t write_null(void) { return write_at(0); }
static int32_t jump_null(void) { return jump_to(0); }
static int32_t read_low(void) { return read_at(LOW); }
static int32_t read_beyond(void) { return read_at(end_of_memory()); }
static int32_t write_beyond(void) { return write_at(end_of_memory()); }
static int32_t read_far(void) { return read_at(FAR); }
static int32_t write_far(void) { return write_at(FAR); }
static int32_t jump_far(void) { return jump_to(FAR); }
static int32_t read_not_canonical(void) { return read_at(NOT_CANONICAL); }
static int32_t jump_not_canonical(void) { return jump_to(NOT_CANONICAL); }
static int32_t read_upper(void) { return read_at(UPPER); }
static int32_t write_upper(void) { return write_at(UPPER); }
static int32_t jump_upper(void) { return jump_to(UPPER); }
static int32_t read_guard(void) { return read_at(guard_page() + 8); }
static int32_t write_guard(void) { return write_at(guard_page() + 4088); }
static int32_t write_host_functions(void) { return write_at(host_functions()); }

static const uint8_t return_42[] = {0xB8, 42, 0, 0, 0, 0xC3}; /* mov $42, %eax; ret */

static int32_t run_heap(void) { return jump_to((uintptr_t)memcpy(malloc(sizeof return_42), return_42, sizeof return_42)); }
static int32_t run_stack(void) {
  uint8_t code[sizeof return_42];
  return jump_to((uintptr_t)memcpy(code, return_42, sizeof code));
}

/* Code is writable: a function may change itself, which ends with its call. */
static __attribute__((noinline)) int32_t constant(void) {
  int32_t value;
  __asm__ volatile("movl $41, %0" : "=a"(value));
  return value;
}
static int32_t modify_code(void) {
  uint8_t *code = (uint8_t *)hidden((uintptr_t)constant);
  for (unsigned i = 0; i < 16; i++)
    if (code[i] == 41) code[i] = 42;
  return constant();
}

static int32_t invalid_opcode(void) { __asm__ volatile("ud2"); return 0; }
static int32_t breakpoint(void) { __asm__ volatile("int3"); return 0; }
static int32_t interrupt(void) { __asm__ volatile("int $0x80"); return 0; }
static int32_t interrupt_page_fault(void) { __asm__ volatile("int $14"); return 0; }
static int32_t system_call(void) { __asm__ volatile("syscall" : : "a"(60), "D"(0) : "rcx", "r11", "memory"); return 0; }
static int32_t trap_flag(void) { __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop" : : : "memory", "cc"); return 0; }
static int32_t wild_stack(void) { __asm__ volatile("mov %0, %%rsp; push %%rax" : : "r"(NOT_CANONICAL)); return 0; }

/* The reference never delivers #AC, for it runs guests in ring 0; a host at CPL 3 makes up for the difference. */
static int32_t alignment_check(void) {
  uint64_t words[2] = {0x0000000000000700, 0};
  int32_t value;
  __asm__ volatile("pushfq; orq $0x40000, (%%rsp); popfq; movl 1(%1), %0; pushfq; andq $~0x40000, (%%rsp); popfq"
                   : "=r"(value)
                   : "r"(words)
                   : "memory", "cc");
  return value;
}

static int32_t x87_fault(void) {
  uint16_t unmasked = 0x0340;
  __asm__ volatile("fldcw %0; fld1; fldz; fdivrp; fwait" : : "m"(unmasked));
  return 0;
}

static int32_t simd_fault(void) {
  uint32_t unmasked = 0;
  double zero = 0, one = 1;
  __asm__ volatile("ldmxcsr %1; divsd %2, %0" : "+x"(one) : "m"(unmasked), "x"(zero));
  return (int32_t)one;
}

#define ENTRIES(X)                                                                                               \
  X("DivideByZero", divide_by_zero) X("DivideOverflow", divide_overflow) X("ReadNull", read_null)                \
  X("WriteNull", write_null) X("JumpNull", jump_null) X("ReadLow", read_low) X("ReadBeyond", read_beyond)        \
  X("WriteBeyond", write_beyond) X("ReadFar", read_far) X("WriteFar", write_far) X("JumpFar", jump_far)          \
  X("ReadNotCanonical", read_not_canonical) X("JumpNotCanonical", jump_not_canonical) X("ReadUpper", read_upper) \
  X("WriteUpper", write_upper) X("JumpUpper", jump_upper) X("ReadGuard", read_guard)                             \
  X("WriteGuard", write_guard) X("WriteHostFunctions", write_host_functions) X("RunHeap", run_heap)              \
  X("RunStack", run_stack) X("ModifyCode", modify_code) X("InvalidOpcode", invalid_opcode)                       \
  X("Breakpoint", breakpoint) X("Interrupt", interrupt) X("InterruptPageFault", interrupt_page_fault)            \
  X("SystemCall", system_call) X("TrapFlag", trap_flag) X("WildStack", wild_stack)                               \
  X("AlignmentCheck", alignment_check) X("X87Fault", x87_fault) X("SimdFault", simd_fault)

#define WRAP(name, fn) HYPERLIGHT_WRAP_FUNCTION(fn, Int, 0)
ENTRIES(WRAP)

void hyperlight_main(void) {
#define REGISTER(name, fn) HYPERLIGHT_REGISTER_FUNCTION(name, fn);
  ENTRIES(REGISTER)
}
