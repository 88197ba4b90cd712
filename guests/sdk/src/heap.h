#ifndef MAYFLY_HEAP_H
#define MAYFLY_HEAP_H

#include <stddef.h>

/** Gives the heap its memory; before that every allocation fails. */
void mf_heap_init(void *start, size_t size);

#endif
