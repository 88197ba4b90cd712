/* Uses up the stack before it is ready. */
#include "mayfly_guest.h"

static __attribute__((noinline)) int descend(int levels) {
  volatile char frame[512];
  frame[0] = (char)levels;
  return levels == 0 ? 0 : descend(levels - 1) + frame[0];
}

void hyperlight_main(void) { descend(INT32_MAX); }
