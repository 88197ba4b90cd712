/* Uses up the stack before it is ready. */
#include "mayfly_guest.h"

static __attribute__((noinline)) int descend(int levels) {
  volatile char frame[512];
  frame[0] = (char)levels;
  int below = levels == 0 ? -1 : descend(levels - 1);
  __asm__ volatile("" : "+r"(below) : "r"(frame) : "memory");
  return below + 1;
}

void hyperlight_main(void) { descend(INT32_MAX); }
