/* Functions that use the stack, and more of it than there is. */
#include "mayfly_guest.h"

/* Each level keeps its array until the levels below it have ended: the compiler may not make a loop of it. */
static __attribute__((noinline)) int32_t descend(int32_t levels) {
  volatile char frame[128];
  frame[0] = (char)levels;
  int32_t below = levels == 0 ? -1 : descend(levels - 1);
  __asm__ volatile("" : "+r"(below) : "r"(frame) : "memory");
  return below + 1;
}

static int32_t depth(int32_t levels) { return descend(levels); }
static int32_t recurse(void) { return descend(INT32_MAX); }

static __attribute__((noinline)) int32_t fill(size_t size) {
  volatile char array[size];
  array[0] = 1;
  array[size - 1] = 2;
  return array[0] + array[size - 1];
}

static int32_t array(uint32_t size) { return fill(size); }

static int32_t large_array(void) {
  volatile char bytes[1 << 20];
  bytes[0] = 1;
  return bytes[0];
}

HYPERLIGHT_WRAP_FUNCTION(depth, Int, 1, Int)
HYPERLIGHT_WRAP_FUNCTION(recurse, Int, 0)
HYPERLIGHT_WRAP_FUNCTION(array, Int, 1, UInt)
HYPERLIGHT_WRAP_FUNCTION(large_array, Int, 0)

void hyperlight_main(void) {
  HYPERLIGHT_REGISTER_FUNCTION("Depth", depth);
  HYPERLIGHT_REGISTER_FUNCTION("Recurse", recurse);
  HYPERLIGHT_REGISTER_FUNCTION("Array", array);
  HYPERLIGHT_REGISTER_FUNCTION("LargeArray", large_array);
}
