/* Divides by zero before it is ready. */
#include "mayfly_guest.h"

void hyperlight_main(void) { __asm__ volatile("div %0" : : "r"(0u), "a"(1), "d"(0) : "cc"); }
