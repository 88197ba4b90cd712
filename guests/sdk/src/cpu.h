/* What touches the processor: ports, the end of a run, and, in ring 0 only, descriptor tables. */
#ifndef MAYFLY_CPU_H
#define MAYFLY_CPU_H

#include <stdint.h>

/** Ports of the guest ABI (guest-abi 5.1). */
enum {
  MF_PORT_LOG = 99,
  MF_PORT_CALL = 101,
  MF_PORT_ABORT = 102,
  MF_PORT_DEBUG_PRINT = 103,
  MF_PORT_TRACE_BATCH = 104,
};

/** `out` with a 32-bit operand: the only form that the ABI knows. */
static inline void mf_out(uint16_t port, uint32_t value) {
  __asm__ volatile("outl %0, %1" : : "a"(value), "d"(port) : "memory");
}

/** `out` that carries a trace batch (guest-abi 11.1); with length 0 it carries none. */
static inline void mf_out_traced(uint16_t port, const void *batch, uint64_t length) {
  register uint64_t action __asm__("r8") = length == 0 ? 0 : MF_PORT_TRACE_BATCH;
  register const void *data __asm__("r9") = batch;
  register uint64_t size __asm__("r10") = length;
  __asm__ volatile("outl %0, %1" : : "a"(0), "d"(port), "r"(action), "r"(data), "r"(size) : "memory");
}

/** entry.S: the one `hlt` of the guest. */
_Noreturn void mf_halt(void);

/** entry.S: what the host calls for each function call. */
void mf_dispatch(void);

/** Loads GDT and IDT when the guest runs in ring 0; at CPL 3 the host's monitor has its own. */
void mf_cpu_init(void);

#endif
