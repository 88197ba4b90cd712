/* Sorting and searching of arrays. */
#include <stdlib.h>

static void swap(uint8_t *a, uint8_t *b, size_t size) {
  for (; size > 0; size--, a++, b++) {
    uint8_t byte = *a;
    *a = *b;
    *b = byte;
  }
}

/* Lets item `parent` sink to its place in the heap of `count` items. */
static void sink(uint8_t *items, size_t parent, size_t count, size_t size,
                 int (*compare)(const void *, const void *)) {
  for (size_t child; (child = 2 * parent + 1) < count; parent = child) {
    if (child + 1 < count && compare(items + child * size, items + (child + 1) * size) < 0) child++;
    if (compare(items + parent * size, items + child * size) >= 0) return;
    swap(items + parent * size, items + child * size, size);
  }
}

void qsort(void *items, size_t count, size_t size, int (*compare)(const void *, const void *)) {
  for (size_t parent = count / 2; parent-- > 0;) sink(items, parent, count, size, compare);
  while (count > 1) {
    count--;
    swap(items, (uint8_t *)items + count * size, size);
    sink(items, 0, count, size, compare);
  }
}

void *bsearch(const void *key, const void *items, size_t count, size_t size,
              int (*compare)(const void *, const void *)) {
  const uint8_t *low = items;
  while (count > 0) {
    const uint8_t *middle = low + count / 2 * size;
    int order = compare(key, middle);
    if (order == 0) return (void *)(uintptr_t)middle;
    if (order > 0) {
      low = middle + size;
      count -= count / 2 + 1;
    } else {
      count /= 2;
    }
  }
  return NULL;
}
