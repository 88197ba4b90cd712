#include "check.h"

#include "heap.h"

static jmp_buf aborted;
static int abort_code;

void hl_abort_with_code(int32_t code) {
  abort_code = code;
  longjmp(aborted, 1);
}
void hl_abort_with_code_and_message(int32_t code, const char *message) {
  (void)message;
  hl_abort_with_code(code);
}

/* The code that an expression aborts with, -1 when it does not. */
#define ABORTS(expression) (setjmp(aborted) == 0 ? ((void)(expression), -1) : abort_code)

/* In functions of their own, so that setjmp cannot clobber the caller's variables. */
static int malloc_code(size_t size) { return ABORTS(memset(malloc(size), 1, size)); }

static int realloc_code(uint8_t **block, size_t size) {
  uint8_t *volatile moved = NULL;
  int code = ABORTS(moved = realloc(*block, size));
  if (code == -1) *block = moved;
  return code;
}

enum { HEAP_BYTES = 1 << 16, HEADER_BYTES = 16 };

static uint8_t *memory;

static void fresh(size_t size) {
  libc_free(memory);
  memory = libc_malloc(size); /* of this size exactly, so that ASan sees a step outside */
  mf_heap_init(memory, size);
}

static void blocks_are_aligned_and_apart(void) {
  fresh(HEAP_BYTES);
  uint8_t *a = malloc(1), *b = malloc(17), *c = malloc(100);
  CHECK((uintptr_t)a % 16 == 0 && (uintptr_t)b % 16 == 0 && (uintptr_t)c % 16 == 0);
  memset(a, 1, 1);
  memset(b, 2, 17);
  memset(c, 3, 100);
  CHECK(a[0] == 1 && b[0] == 2 && b[16] == 2 && c[99] == 3);
}

static void size_zero_is_null(void) {
  fresh(HEAP_BYTES);
  CHECK(malloc(0) == NULL);
  CHECK(calloc(0, 8) == NULL);
  free(NULL);
}

static void everything_freed_is_one_block_again(void) {
  fresh(HEAP_BYTES);
  void *blocks[8];
  for (int order = 0; order < 4; order++) {
    for (int i = 0; i < 8; i++) blocks[i] = malloc(1000);
    for (int i = 0; i < 8; i++) free(blocks[order == 0 ? i : order == 1 ? 7 - i : order == 2 ? (i * 3) % 8 : (i * 5) % 8]);
    void *all = malloc(HEAP_BYTES - HEADER_BYTES);
    memset(all, 7, HEAP_BYTES - HEADER_BYTES);
    free(all);
  }
}

static void exhaustion_aborts_with_13(void) {
  fresh(HEAP_BYTES);
  CHECK(ABORTS(malloc(HEAP_BYTES)) == 13);
  CHECK(ABORTS(malloc(SIZE_MAX)) == 13);
  CHECK(ABORTS(malloc(SIZE_MAX - 20)) == 13);
  CHECK(ABORTS(calloc(SIZE_MAX / 2, 3)) == 13);
  CHECK(ABORTS(calloc(1ul << 33, 1ul << 33)) == 13);
  uint8_t *kept = malloc(10);
  CHECK(ABORTS(realloc(kept, SIZE_MAX)) == 13);
  CHECK(ABORTS(malloc(HEAP_BYTES - 2 * HEADER_BYTES)) == 13);
}

static void tiny_and_unaligned_heaps_work(void) {
  for (size_t size = 0; size < 80; size++) {
    fresh(size + 5);
    mf_heap_init(memory + 5, size);
    int code = malloc_code(1);
    CHECK(code == -1 || code == 13);
  }
}

static void wrong_pointers_abort_with_12(void) {
  fresh(HEAP_BYTES);
  uint8_t *a = malloc(100), *b = malloc(100), *c = malloc(100);
  memset(a, 0, 100);
  CHECK(ABORTS(free(a + 16)) == 12);
  CHECK(ABORTS(free(a + 1)) == 12);
  CHECK(ABORTS(free((void *)16)) == 12);
  CHECK(ABORTS(free(memory)) == 12);
  CHECK(ABORTS(free(memory + HEAP_BYTES + 64)) == 12);
  free(b);
  CHECK(ABORTS(free(b)) == 12);
  free(a);
  CHECK(ABORTS(free(b)) == 12); /* by now inside a larger free block */
  CHECK(ABORTS(realloc(a, 5)) == 12);
  free(c);
  CHECK(ABORTS(free(c)) == 12);
}

static void realloc_keeps_bytes(void) {
  fresh(HEAP_BYTES);
  uint8_t *block = realloc(NULL, 10);
  memset(block, 9, 10);
  void *in_the_way = malloc(10);
  block = realloc(block, 1000);
  for (int i = 0; i < 10; i++) CHECK(block[i] == 9);
  uint8_t *smaller = realloc(block, 5);
  CHECK(smaller == block && smaller[4] == 9);
  CHECK(realloc(smaller, 900) == smaller); /* what was given back is still there */
  CHECK(realloc(smaller, 0) == NULL);
  free(in_the_way);
  free(malloc(HEAP_BYTES - HEADER_BYTES));
}

static void calloc_clears(void) {
  fresh(HEAP_BYTES);
  uint8_t *dirty = malloc(5000);
  memset(dirty, 0xFF, 5000);
  free(dirty);
  uint8_t *clean = calloc(50, 100);
  for (int i = 0; i < 5000; i++) CHECK(clean[i] == 0);
}

static void random_use_never_overlaps(void) {
  enum { BLOCKS = 64 };
  struct {
    uint8_t *at;
    size_t size;
    uint8_t mark;
  } held[BLOCKS] = {0};
  fresh(HEAP_BYTES);
  for (int step = 0; step < 200000; step++) {
    unsigned i = draw(BLOCKS);
    for (size_t k = 0; k < held[i].size; k += 1 + held[i].size / 7) CHECK(held[i].at[k] == held[i].mark);
    if (held[i].at != NULL && draw(3) != 0) {
      free(held[i].at);
      held[i].at = NULL;
      held[i].size = 0;
      continue;
    }
    size_t size = 1 + draw(draw(2) == 0 ? 40 : 3000);
    if (realloc_code(&held[i].at, size) != -1) continue;
    size_t kept = size < held[i].size ? size : held[i].size;
    for (size_t k = 0; k < kept; k++) CHECK(held[i].at[k] == held[i].mark);
    held[i].size = size;
    held[i].mark = (uint8_t)step;
    memset(held[i].at, held[i].mark, size);
  }
  for (int i = 0; i < BLOCKS; i++) free(held[i].at);
  free(malloc(HEAP_BYTES - HEADER_BYTES));
}

RUN("heap", blocks_are_aligned_and_apart, size_zero_is_null, everything_freed_is_one_block_again, exhaustion_aborts_with_13,
    tiny_and_unaligned_heaps_work, wrong_pointers_abort_with_12, realloc_keeps_bytes, calloc_clears,
    random_use_never_overlaps)
