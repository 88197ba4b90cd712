#include "check.h"

#include "buffer.h"
#include "unused_aborts.h"

static uint8_t *bytes;

static mf_Buffer fresh(uint64_t size) {
  libc_free(bytes);
  bytes = libc_malloc(size);
  memset(bytes, 0xEE, size);
  uint64_t empty = 8;
  if (size >= 8) memcpy(bytes, &empty, 8);
  return (mf_Buffer){bytes, size};
}

static void header(mf_Buffer *buffer, uint64_t value) { memcpy(buffer->data, &value, 8); }

static void push(mf_Buffer *buffer, const char *text) {
  CHECK(strlen(text) <= mf_buffer_room(buffer));
  memcpy(buffer->data + mf_buffer_used(buffer), text, strlen(text));
  mf_buffer_commit(buffer, strlen(text));
}

static void elements_come_back_newest_first(void) {
  mf_Buffer buffer = fresh(64);
  mf_Element element;
  CHECK(!mf_buffer_top(&buffer, &element));
  push(&buffer, "abcd");
  push(&buffer, "xy");
  CHECK(mf_buffer_top(&buffer, &element) && element.length == 2 && memcmp(element.data, "xy", 2) == 0);
  mf_buffer_unwind(&buffer, element.start);
  CHECK(mf_buffer_top(&buffer, &element) && element.length == 4 && element.start == 8);
  mf_buffer_unwind(&buffer, element.start);
  CHECK(mf_buffer_used(&buffer) == 8 && !mf_buffer_top(&buffer, &element));
}

static void what_is_dropped_is_wiped(void) {
  mf_Buffer buffer = fresh(64);
  push(&buffer, "secret");
  mf_buffer_unwind(&buffer, 8);
  for (int i = 8; i < 22; i++) CHECK(buffer.data[i] == 0);
}

static void the_largest_element_is_size_less_16(void) {
  mf_Buffer buffer = fresh(64);
  CHECK(mf_buffer_room(&buffer) == 48);
  memset(buffer.data + 8, 1, 48);
  mf_buffer_commit(&buffer, 48);
  CHECK(mf_buffer_used(&buffer) == 64 && mf_buffer_room(&buffer) == 0);
  mf_Element element;
  CHECK(mf_buffer_top(&buffer, &element) && element.length == 48);
}

static void bad_headers_have_no_room_and_no_element(void) {
  mf_Buffer buffer = fresh(64);
  push(&buffer, "abcd");
  mf_Element element;
  uint64_t bad[] = {0, 7, 65, 1 << 20, UINT64_MAX, 1ull << 63};
  for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
    header(&buffer, bad[i]);
    CHECK(mf_buffer_used(&buffer) == 0 && mf_buffer_room(&buffer) == 0 && !mf_buffer_top(&buffer, &element));
    mf_buffer_unwind(&buffer, 8);
  }
  for (uint64_t small = 0; small < 8; small++) {
    buffer = fresh(small);
    CHECK(mf_buffer_used(&buffer) == 0 && mf_buffer_room(&buffer) == 0 && !mf_buffer_top(&buffer, &element));
  }
}

static void bad_back_pointers_are_no_element(void) {
  mf_Buffer buffer = fresh(64);
  push(&buffer, "abcd");
  mf_Element element;
  uint64_t bad[] = {0, 7, 13, 20, 64, UINT64_MAX};
  for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
    memcpy(buffer.data + 12, &bad[i], 8);
    CHECK(!mf_buffer_top(&buffer, &element));
  }
}

RUN("buffer", elements_come_back_newest_first, what_is_dropped_is_wiped, the_largest_element_is_size_less_16,
    bad_headers_have_no_room_and_no_element, bad_back_pointers_are_no_element)
