#include "buffer.h"

enum { HEADER = 8, BACK_POINTER = 8 };

static uint64_t load(const mf_Buffer *buffer, uint64_t offset) {
  uint64_t value;
  memcpy(&value, buffer->data + offset, sizeof value);
  return value;
}

static void store(mf_Buffer *buffer, uint64_t offset, uint64_t value) {
  memcpy(buffer->data + offset, &value, sizeof value);
}

uint64_t mf_buffer_used(const mf_Buffer *buffer) {
  if (buffer->size < HEADER) return 0;
  uint64_t used = load(buffer, 0);
  return used >= HEADER && used <= buffer->size ? used : 0;
}

uint64_t mf_buffer_room(const mf_Buffer *buffer) {
  uint64_t used = mf_buffer_used(buffer);
  if (used == 0 || buffer->size - used < BACK_POINTER) return 0;
  return buffer->size - used - BACK_POINTER;
}

void mf_buffer_commit(mf_Buffer *buffer, uint64_t length) {
  uint64_t used = mf_buffer_used(buffer);
  store(buffer, used + length, used);
  store(buffer, 0, used + length + BACK_POINTER);
}

bool mf_buffer_top(const mf_Buffer *buffer, mf_Element *element) {
  uint64_t used = mf_buffer_used(buffer);
  if (used < HEADER + BACK_POINTER) return false;
  uint64_t end = used - BACK_POINTER;
  uint64_t start = load(buffer, end);
  if (start < HEADER || start > end) return false;
  *element = (mf_Element){buffer->data + start, end - start, start};
  return true;
}

void mf_buffer_unwind(mf_Buffer *buffer, uint64_t used) {
  uint64_t now = mf_buffer_used(buffer);
  if (used >= now) return;
  memset(buffer->data + used, 0, now - used);
  store(buffer, 0, used);
}
