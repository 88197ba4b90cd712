/* printf and its kin are in the SDK's own header. */
#include "mayfly_guest.h"
