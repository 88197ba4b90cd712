/* Uses up the heap before it is ready. */
#include "mayfly_guest.h"

void hyperlight_main(void) {
  for (;;) malloc(65536);
}
