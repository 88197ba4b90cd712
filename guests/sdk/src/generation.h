/*
 * An extension of the ABI by this host: on the page of the PEB, at 0x100 behind its start, the host leaves what makes
 * this call of this clone differ from every other. A host without it leaves zeroes, and then nothing here changes.
 */
#ifndef MAYFLY_GENERATION_H
#define MAYFLY_GENERATION_H

#include <stdint.h>

enum { MF_GENERATION_OFFSET = 0x100 };

typedef struct mf_Generation {
  uint8_t id[16];
  uint64_t seed;
  uint64_t time_base_ns;
} mf_Generation;

_Static_assert(sizeof(mf_Generation) == 32, "as the host writes it");

#endif
