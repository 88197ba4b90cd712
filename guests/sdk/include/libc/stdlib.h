/* Numbers from text, sorting, numbers by chance; the heap and abort are in the SDK's own header. */
#ifndef MAYFLY_STDLIB_H
#define MAYFLY_STDLIB_H

#include "mayfly_guest.h"

/** Base 0 takes 0x and 0 as prefixes; out of range gives the nearest value and errno ERANGE. */
long strtol(const char *restrict text, char **restrict end, int base);
unsigned long strtoul(const char *restrict text, char **restrict end, int base);
long long strtoll(const char *restrict text, char **restrict end, int base);
unsigned long long strtoull(const char *restrict text, char **restrict end, int base);
int atoi(const char *text);
long atol(const char *text);
long long atoll(const char *text);
#ifdef __SSE2__
/** Decimal only, nan and inf too. The value is exact or one unit in the last place beside it. */
double strtod(const char *restrict text, char **restrict end);
double atof(const char *text);
#endif

int abs(int value);
long labs(long value);
long long llabs(long long value);

/** Heap sort: in place, without recursion, not stable. */
void qsort(void *items, size_t count, size_t size, int (*compare)(const void *, const void *));
void *bsearch(const void *key, const void *items, size_t count, size_t size,
              int (*compare)(const void *, const void *));

#define RAND_MAX 0x7fffffff
/** Until the first srand the numbers are those of mayfly_random, so that clones differ; then a fixed sequence. */
int rand(void);
void srand(unsigned seed);
int rand_r(unsigned *state);

#endif
