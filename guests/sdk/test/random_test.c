#include "check.h"

#include "generation.h"
#include "random.h"
#include "runtime.h"
#include "unused_aborts.h"

mf_Runtime mf_runtime;

int sdk_rand(void);
void sdk_srand(unsigned seed);

/* The page of the PEB. */
static union {
  mf_Peb peb;
  uint8_t bytes[4096];
} page;

static void new_generation(uint8_t id, uint64_t seed) {
  mf_Generation now = {.seed = seed, .time_base_ns = 77};
  memset(now.id, id, sizeof now.id);
  memcpy(page.bytes + MF_GENERATION_OFFSET, &now, sizeof now);
}

static void a_block_is_that_of_the_standard(void) {
  /* RFC 8439, 2.3.2. */
  uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  for (uint32_t i = 0; i < 8; i++) start[4 + i] = 0x03020100 + 0x04040404 * i;
  start[12] = 1;
  start[13] = 0x09000000;
  start[14] = 0x4a000000;
  uint8_t out[64];
  mf_chacha20_block(start, out);
  static const uint8_t first[] = {0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15};
  static const uint8_t last[] = {0xa2, 0x50, 0x3c, 0x4e};
  CHECK(memcmp(out, first, sizeof first) == 0 && memcmp(out + 60, last, sizeof last) == 0);
}

static void a_host_without_generations_gives_the_numbers_of_the_start(void) {
  mf_runtime = (mf_Runtime){.peb = &page.peb, .seed = 1};
  uint64_t first = mayfly_random(), second = mayfly_random();
  CHECK(first != second && first != 0 && mayfly_time_base_ns() == 0);
}

static void each_generation_draws_its_own_numbers(void) {
  new_generation(1, 5);
  uint64_t first = mayfly_random();
  new_generation(2, 5);
  uint64_t second = mayfly_random();
  new_generation(1, 5);
  CHECK(first != second && mayfly_random() == first);
  new_generation(3, 6);
  uint64_t third = mayfly_random();
  new_generation(2, 5);
  mayfly_random();
  new_generation(3, 7);
  CHECK(mayfly_random() != third && mayfly_time_base_ns() == 77);
}

static void pieces_are_the_same_bytes_as_the_whole(void) {
  uint8_t whole[300], pieces[300];
  new_generation(9, 1);
  mayfly_random_bytes(whole, sizeof whole);
  new_generation(8, 1);
  mayfly_random();
  new_generation(9, 1);
  for (size_t at = 0; at < sizeof pieces; at += 3) mayfly_random_bytes(pieces + at, 3);
  CHECK(memcmp(whole, pieces, sizeof whole) == 0);
}

static void rand_is_by_chance_until_it_is_seeded(void) {
  new_generation(4, 1);
  int first = sdk_rand();
  new_generation(5, 1);
  CHECK(first >= 0 && sdk_rand() != first);
  sdk_srand(42);
  int seeded = sdk_rand();
  sdk_srand(42);
  CHECK(seeded == sdk_rand());
}

RUN("random", a_block_is_that_of_the_standard, a_host_without_generations_gives_the_numbers_of_the_start,
    each_generation_draws_its_own_numbers, pieces_are_the_same_bytes_as_the_whole,
    rand_is_by_chance_until_it_is_seeded)
