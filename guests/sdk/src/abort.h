#ifndef MAYFLY_ABORT_H
#define MAYFLY_ABORT_H

#include <stdint.h>

/** Aborts with the bytes {15, vector} and a text, as the host expects of a CPU exception (guest-abi 5.2). */
_Noreturn void mf_abort_exception(uint8_t vector, const char *text);

#endif
