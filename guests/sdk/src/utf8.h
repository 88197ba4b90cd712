/* UTF-8: the host refuses text that is not. */
#ifndef MAYFLY_UTF8_H
#define MAYFLY_UTF8_H

#include "mayfly_guest.h"

/** Length of the character that starts here (1 to 4), 0 when `length` bytes end inside it, -1 when it is none. */
int mf_utf8_length(const char *text, size_t length);
/** Replaces each byte that belongs to no character by '?'. */
void mf_utf8_repair(char *text, size_t length);
/** The largest count up to `limit` that does not cut a character of `text` in two. `text` has more than `limit`
 *  bytes. */
size_t mf_utf8_cut(const char *text, size_t limit);

#endif
