/* The two byte stacks between host and guest (guest-abi 6): header u64 sp; elements, each followed by its start. */
#ifndef MAYFLY_BUFFER_H
#define MAYFLY_BUFFER_H

#include "mayfly_guest.h"

typedef struct mf_Buffer {
  uint8_t *data;
  uint64_t size;
} mf_Buffer;

/** The newest element, in place. */
typedef struct mf_Element {
  uint8_t *data;
  uint64_t length;
  uint64_t start; /* offset in the buffer: what the header becomes once it is dropped */
} mf_Element;

/** Offset of the next free byte; 0 when the header is out of bounds. */
uint64_t mf_buffer_used(const mf_Buffer *buffer);
/** Bytes that the next element may have; 0 when there is no room for one. */
uint64_t mf_buffer_room(const mf_Buffer *buffer);
/** Makes the `length` bytes at the next free byte, at most the room, an element. */
void mf_buffer_commit(mf_Buffer *buffer, uint64_t length);
/** False when there is none or its back pointer is bad. */
bool mf_buffer_top(const mf_Buffer *buffer, mf_Element *element);
/** Returns to an earlier state of the stack and wipes what was above. */
void mf_buffer_unwind(mf_Buffer *buffer, uint64_t used);

#endif
