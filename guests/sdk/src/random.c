/*
 * Numbers by chance: ChaCha20 (RFC 8439), keyed by the host's seeds. It is keyed anew when the generation id has
 * changed, which is looked at in every draw: clones of one snapshot draw different numbers, and a call that draws
 * none touches no page for it.
 */
#include <stdlib.h>

#include "generation.h"
#include "random.h"
#include "runtime.h"

enum { BLOCK_BYTES = 64, ROUNDS = 20 };

static struct {
  bool keyed;
  uint8_t id[16];
  uint32_t key[8];
  uint64_t counter;
  uint8_t block[BLOCK_BYTES];
  size_t used;
} state;

static uint32_t rotate(uint32_t word, int by) { return word << by | word >> (32 - by); }

static void quarter(uint32_t *x, int a, int b, int c, int d) {
  x[d] = rotate(x[d] ^ (x[a] += x[b]), 16);
  x[b] = rotate(x[b] ^ (x[c] += x[d]), 12);
  x[d] = rotate(x[d] ^ (x[a] += x[b]), 8);
  x[b] = rotate(x[b] ^ (x[c] += x[d]), 7);
}

void mf_chacha20_block(const uint32_t start[16], uint8_t out[64]) {
  uint32_t x[16];
  memcpy(x, start, sizeof x);
  for (int round = 0; round < ROUNDS; round += 2) {
    for (int i = 0; i < 4; i++) quarter(x, i, 4 + i, 8 + i, 12 + i);
    for (int i = 0; i < 4; i++) quarter(x, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
  }
  for (int i = 0; i < 16; i++) x[i] += start[i];
  memcpy(out, x, sizeof x);
}

static const mf_Generation *generation(void) {
  return (const mf_Generation *)((const uint8_t *)mf_runtime.peb + MF_GENERATION_OFFSET);
}

static void rekey(const mf_Generation *now) {
  state.keyed = true;
  memcpy(state.id, now->id, sizeof state.id);
  memcpy(state.key, now->id, sizeof now->id);
  memcpy(state.key + 4, &now->seed, sizeof now->seed);
  memcpy(state.key + 6, &mf_runtime.seed, sizeof mf_runtime.seed);
  state.counter = 0;
  state.used = BLOCK_BYTES;
}

static void next_block(void) {
  uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  memcpy(start + 4, state.key, sizeof state.key);
  memcpy(start + 12, &state.counter, sizeof state.counter);
  mf_chacha20_block(start, state.block);
  state.counter++;
  state.used = 0;
}

void mayfly_random_bytes(void *out, size_t count) {
  const mf_Generation *now = generation();
  if (!state.keyed || memcmp(state.id, now->id, sizeof state.id) != 0) rekey(now);
  for (uint8_t *to = out; count > 0;) {
    if (state.used == BLOCK_BYTES) next_block();
    size_t piece = BLOCK_BYTES - state.used < count ? BLOCK_BYTES - state.used : count;
    memcpy(to, state.block + state.used, piece);
    memset(state.block + state.used, 0, piece);
    state.used += piece;
    to += piece;
    count -= piece;
  }
}

uint64_t mayfly_random(void) {
  uint64_t value;
  mayfly_random_bytes(&value, sizeof value);
  return value;
}

uint64_t mayfly_time_base_ns(void) { return generation()->time_base_ns; }

/* ---- ISO C ---- */

static bool is_fixed;
static unsigned fixed_state;

int rand_r(unsigned *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  /* The low bits of such a sequence repeat soon; the high ones are mixed in. */
  uint32_t mixed = *seed;
  mixed = (mixed ^ mixed >> 16) * 0x45d9f3bu;
  return (int)((mixed ^ mixed >> 16) & RAND_MAX);
}

void srand(unsigned seed) {
  is_fixed = true;
  fixed_state = seed;
}

int rand(void) { return is_fixed ? rand_r(&fixed_state) : (int)(mayfly_random() & RAND_MAX); }
