/* The less common functions on text; the others are in the SDK's own header. */
#ifndef MAYFLY_STRING_H
#define MAYFLY_STRING_H

#include "mayfly_guest.h"

char *strncat(char *restrict to, const char *restrict from, size_t limit);
char *strndup(const char *text, size_t limit);
size_t strspn(const char *text, const char *bytes);
size_t strcspn(const char *text, const char *bytes);
char *strpbrk(const char *text, const char *bytes);
char *strtok_r(char *restrict text, const char *restrict separators, char **restrict rest);
char *strtok(char *restrict text, const char *restrict separators);
/** Case of ASCII letters only. */
int strcasecmp(const char *a, const char *b);
int strncasecmp(const char *a, const char *b, size_t limit);

#endif
