/* Never ends its initialisation. */
#include "mayfly_guest.h"

void hyperlight_main(void) {
  for (;;) __asm__ volatile("pause");
}
