/*
 * First fit over a list of free blocks; neighbours that are free are joined at once.
 *
 * Blocks lie side by side from `first` to `end`, each behind a header of 16 bytes that holds its own size and that
 * of the block before it, so both neighbours are found without a search. The head of the list takes what was freed
 * last, and a block is split at its front: calls that allocate little touch few pages, and a restore copies back
 * what was touched.
 */
#include "heap.h"

#include "mayfly_guest.h"

enum { ALIGNMENT = 16, USED = 1, SMALLEST = 32 };

typedef struct Block {
  size_t size;     /* with this header, a multiple of 16; bit 0: in use */
  size_t previous; /* size of the block before, 0 for the first */
  /* Only in a free block, where the caller's bytes would be: */
  struct Block *next_free;
  struct Block *previous_free;
} Block;

enum { HEADER = offsetof(Block, next_free) };
_Static_assert((int)HEADER == (int)ALIGNMENT && sizeof(Block) == SMALLEST, "blocks stay aligned");

static uint8_t *first, *end;
static Block *free_list;

static size_t size_of(const Block *block) { return block->size & ~(size_t)USED; }

static Block *after(const Block *block) {
  uint8_t *next = (uint8_t *)(uintptr_t)block + size_of(block);
  return next < end ? (Block *)next : NULL;
}

static void insert(Block *block) {
  block->size = size_of(block);
  block->previous_free = NULL;
  block->next_free = free_list;
  if (free_list != NULL) free_list->previous_free = block;
  free_list = block;
}

static void take_out(Block *block) {
  if (block->previous_free != NULL)
    block->previous_free->next_free = block->next_free;
  else
    free_list = block->next_free;
  if (block->next_free != NULL) block->next_free->previous_free = block->previous_free;
}

static void resize(Block *block, size_t size) {
  block->size = size | (block->size & USED);
  Block *next = after(block);
  if (next != NULL) next->previous = size;
}

/* Cuts what `block`, which is in use, does not need, and gives it back. */
static void trim(Block *block, size_t size) {
  size_t rest = size_of(block) - size;
  if (rest < SMALLEST) return;
  block->size = size | USED;
  Block *tail = (Block *)((uint8_t *)block + size);
  tail->size = 0;
  tail->previous = size;
  resize(tail, rest);
  Block *next = after(tail);
  if (next != NULL && (next->size & USED) == 0) {
    take_out(next);
    resize(tail, rest + size_of(next));
  }
  insert(tail);
}

/* Size of the block for a request, 0 when no heap could hold it. */
static size_t block_size(size_t wanted) {
  if (wanted > SIZE_MAX / 2) return 0;
  size_t size = (wanted + HEADER + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
  return size < SMALLEST ? SMALLEST : size;
}

static Block *block_of(void *pointer) {
  uint8_t *at = (uint8_t *)pointer - HEADER;
  if ((uintptr_t)pointer % ALIGNMENT == 0 && at >= first && at < end) {
    Block *block = (Block *)at;
    size_t size = size_of(block);
    if ((block->size & USED) != 0 && size >= SMALLEST && size <= (size_t)(end - at)) return block;
  }
  hl_abort_with_code_and_message(hl_ErrorCode_FailureInDlmalloc, "not an allocated block");
}

void mf_heap_init(void *start, size_t size) {
  uintptr_t aligned = ((uintptr_t)start + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1);
  size_t lost = aligned - (uintptr_t)start;
  size_t usable = size > lost ? (size - lost) & ~(size_t)(ALIGNMENT - 1) : 0;
  free_list = NULL;
  first = end = (uint8_t *)aligned;
  if (usable < SMALLEST) return;
  end = first + usable;
  Block *block = (Block *)first;
  block->size = usable;
  block->previous = 0;
  insert(block);
}

void *malloc(size_t wanted) {
  if (wanted == 0) return NULL;
  size_t size = block_size(wanted);
  for (Block *block = size == 0 ? NULL : free_list; block != NULL; block = block->next_free) {
    if (size_of(block) < size) continue;
    take_out(block);
    block->size |= USED;
    trim(block, size);
    return (uint8_t *)block + HEADER;
  }
  hl_abort_with_code(hl_ErrorCode_MallocFailed);
}

void *calloc(size_t count, size_t size) {
  size_t total;
  if (__builtin_mul_overflow(count, size, &total)) hl_abort_with_code(hl_ErrorCode_MallocFailed);
  void *pointer = malloc(total);
  return pointer == NULL ? NULL : memset(pointer, 0, total);
}

void free(void *pointer) {
  if (pointer == NULL) return;
  Block *block = block_of(pointer);
  size_t size = size_of(block);
  Block *next = after(block);
  if (next != NULL && (next->size & USED) == 0) {
    take_out(next);
    size += size_of(next);
  }
  Block *before = (Block *)((uint8_t *)block - block->previous);
  if (block->previous != 0 && (before->size & USED) == 0) {
    take_out(before);
    size += size_of(before);
    /* A second free of this pointer must not find it in use. */
    block->size = 0;
    block = before;
  }
  resize(block, size);
  insert(block);
}

void *realloc(void *pointer, size_t wanted) {
  if (pointer == NULL) return malloc(wanted);
  if (wanted == 0) {
    free(pointer);
    return NULL;
  }
  Block *block = block_of(pointer);
  size_t size = block_size(wanted);
  if (size == 0) hl_abort_with_code(hl_ErrorCode_MallocFailed);
  Block *next = after(block);
  if (size_of(block) < size && next != NULL && (next->size & USED) == 0 && size_of(block) + size_of(next) >= size) {
    take_out(next);
    resize(block, size_of(block) + size_of(next));
  }
  if (size_of(block) >= size) {
    trim(block, size);
    return pointer;
  }
  void *moved = malloc(wanted);
  memcpy(moved, pointer, size_of(block) - HEADER);
  free(pointer);
  return moved;
}
