/* Functions that use the heap, and more of it than there is. */
#include "mayfly_guest.h"

static int32_t exhaust(void) {
  for (;;) memset(malloc(4096), 1, 4096);
  return 0;
}

static uint64_t allocate(uint64_t size) {
  uint8_t *block = malloc(size);
  if (block == NULL) return 0;
  block[0] = 1;
  block[size - 1] = 1;
  free(block);
  return size;
}

/* Ends only if freed memory is used again. */
static uint32_t churn(uint32_t rounds) {
  void *held[16] = {NULL};
  for (uint32_t i = 0; i < rounds; i++) {
    free(held[i % 16]);
    held[i % 16] = malloc(1 + i * 7919 % 20000);
  }
  for (unsigned i = 0; i < 16; i++) free(held[i]);
  return rounds;
}

static int32_t free_twice(void) {
  void *block = malloc(100);
  free(block);
  free(block);
  return 0;
}

static int32_t free_wild(void) {
  free((void *)0x12345670);
  return 0;
}

HYPERLIGHT_WRAP_FUNCTION(exhaust, Int, 0)
HYPERLIGHT_WRAP_FUNCTION(allocate, ULong, 1, ULong)
HYPERLIGHT_WRAP_FUNCTION(churn, UInt, 1, UInt)
HYPERLIGHT_WRAP_FUNCTION(free_twice, Int, 0)
HYPERLIGHT_WRAP_FUNCTION(free_wild, Int, 0)

void hyperlight_main(void) {
  HYPERLIGHT_REGISTER_FUNCTION("Exhaust", exhaust);
  HYPERLIGHT_REGISTER_FUNCTION("Allocate", allocate);
  HYPERLIGHT_REGISTER_FUNCTION("Churn", churn);
  HYPERLIGHT_REGISTER_FUNCTION("FreeTwice", free_twice);
  HYPERLIGHT_REGISTER_FUNCTION("FreeWild", free_wild);
}
