/* Functions that leave traces, and functions that look for them: a clean invocation finds none. */
#include "runtime.h"

static int32_t in_data = 100;
static int32_t in_bss;
static uint8_t *in_heap;

static int32_t count(void) { return ++in_data - 100; }
HYPERLIGHT_WRAP_FUNCTION(count, Int, 0)

/* In .bss and in two pages of the heap. */
static int32_t count_everywhere(void) {
  if (in_heap == NULL) in_heap = calloc(3, 4096);
  in_bss++;
  for (unsigned page = 0; page < 3; page++) in_heap[page * 4096]++;
  return in_bss + in_heap[0] + in_heap[8192];
}
HYPERLIGHT_WRAP_FUNCTION(count_everywhere, Int, 0)

/* Writes `pages` pages: the restore that follows has that many to copy. */
static uint32_t touch(uint32_t pages) {
  static uint8_t bytes[200][4096];
  for (uint32_t i = 0; i < pages && i < 200; i++) bytes[i][0]++;
  return bytes[0][0];
}
HYPERLIGHT_WRAP_FUNCTION(touch, UInt, 1, UInt)

/* Everything that a register can carry into the next call. */
static int32_t soil_registers(void) {
  uint32_t mxcsr = 0x1F80 | 0x8040; /* flush to zero, denormals are zero */
  uint16_t control = 0x0C7F;        /* round towards zero */
  __asm__ volatile(
      "ldmxcsr %0; fldcw %1; fld1; fldpi; pcmpeqd %%xmm15, %%xmm15; pcmpeqd %%xmm8, %%xmm8; mov $0x5A5A, %%r15d"
      :
      : "m"(mxcsr), "m"(control)
      : "xmm8", "xmm15", "r15");
  return 1;
}
HYPERLIGHT_WRAP_FUNCTION(soil_registers, Int, 0)

/* "mxcsr,fcw,fsw,xmm8,xmm15,flags" in hex. */
static const char *show_registers(void) {
  static char text[128];
  uint32_t mxcsr;
  uint16_t control, status;
  uint64_t low8, low15, flags;
  __asm__ volatile("stmxcsr %0; fnstcw %1; fnstsw %2; movq %%xmm8, %3; movq %%xmm15, %4; pushfq; popq %5"
                   : "=m"(mxcsr), "=m"(control), "=m"(status), "=r"(low8), "=r"(low15), "=r"(flags));
  /* Arithmetic flags change all the time, and IF is the host's: direction, trap and such are the rest. */
  snprintf(text, sizeof text, "%x,%x,%x,%lx,%lx,%lx", mxcsr, control, status, low8, low15, flags & ~0xAD5ul);
  return text;
}
HYPERLIGHT_WRAP_FUNCTION(show_registers, String, 0)

/* The whole output buffer but the header, as this call found it, summed up: 0 when nothing was left there. */
static uint64_t read_leftovers(void) {
  uint64_t sum = 0;
  for (uint64_t i = 8; i < mf_runtime.output.size; i++) sum += mf_runtime.output.data[i];
  return sum;
}
HYPERLIGHT_WRAP_FUNCTION(read_leftovers, ULong, 0)

void hyperlight_main(void) {
  HYPERLIGHT_REGISTER_FUNCTION("Count", count);
  HYPERLIGHT_REGISTER_FUNCTION("CountEverywhere", count_everywhere);
  HYPERLIGHT_REGISTER_FUNCTION("Touch", touch);
  HYPERLIGHT_REGISTER_FUNCTION("SoilRegisters", soil_registers);
  HYPERLIGHT_REGISTER_FUNCTION("ShowRegisters", show_registers);
  HYPERLIGHT_REGISTER_FUNCTION("ReadLeftovers", read_leftovers);
}
