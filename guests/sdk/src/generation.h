/*
 * An extension of the ABI by this host: on the page of the PEB, at 0x100 behind its start, the host leaves what makes
 * this call of this clone differ from every other. A host without it leaves zeroes, and then nothing here changes.
 */
#ifndef MAYFLY_GENERATION_H
#define MAYFLY_GENERATION_H

#include <stdint.h>

enum { MF_GENERATION_OFFSET = 0x100 };

/** In `flags`: the host gathers what the guest tells of its own work. */
enum { MF_FLAG_TRACE = 1 };

typedef struct mf_Generation {
  uint8_t id[16];
  uint64_t seed;
  uint64_t time_base_ns;
  uint64_t flags;
} mf_Generation;

_Static_assert(sizeof(mf_Generation) == 40, "as the host writes it");

#endif
