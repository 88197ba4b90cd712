/* The name under which guests written for the C API of the guest ABI 0.11 include it. */
#include "mayfly_guest.h"
