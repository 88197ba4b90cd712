/* Memory and string functions; the compiler itself calls memcpy, memmove, memset and memcmp. */
#include "mayfly_guest.h"

/* Below this a byte loop is quicker than the start-up of a string instruction. */
enum { SHORT = 16 };

void *memcpy(void *restrict to, const void *restrict from, size_t count) {
  uint8_t *target = to;
  const uint8_t *source = from;
  if (count < SHORT)
    while (count-- > 0) *target++ = *source++;
  else
    __asm__ volatile("rep movsb" : "+D"(target), "+S"(source), "+c"(count) : : "memory");
  return to;
}

void *memmove(void *to, const void *from, size_t count) {
  uint8_t *target = to;
  const uint8_t *source = from;
  if ((uintptr_t)target - (uintptr_t)source >= count) return memcpy(to, from, count);
  while (count-- > 0) target[count] = source[count];
  return to;
}

void *memset(void *to, int byte, size_t count) {
  uint8_t *target = to;
  if (count < SHORT)
    while (count-- > 0) *target++ = (uint8_t)byte;
  else
    __asm__ volatile("rep stosb" : "+D"(target), "+c"(count) : "a"(byte) : "memory");
  return to;
}

int memcmp(const void *a, const void *b, size_t count) {
  const uint8_t *left = a, *right = b;
  for (; count > 0; count--, left++, right++)
    if (*left != *right) return *left - *right;
  return 0;
}

void *memchr(const void *from, int byte, size_t count) {
  for (const uint8_t *at = from; count > 0; count--, at++)
    if (*at == (uint8_t)byte) return (void *)(uintptr_t)at;
  return NULL;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length] != 0) length++;
  return length;
}

size_t strnlen(const char *text, size_t limit) {
  size_t length = 0;
  while (length < limit && text[length] != 0) length++;
  return length;
}

int strcmp(const char *a, const char *b) {
  for (; *a != 0 && *a == *b; a++, b++) {
  }
  return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t limit) {
  for (; limit > 0; limit--, a++, b++)
    if (*a != *b || *a == 0) return (uint8_t)*a - (uint8_t)*b;
  return 0;
}

char *strchr(const char *text, int byte) {
  for (;; text++) {
    if (*text == (char)byte) return (char *)(uintptr_t)text;
    if (*text == 0) return NULL;
  }
}

char *strrchr(const char *text, int byte) {
  const char *last = NULL;
  for (;; text++) {
    if (*text == (char)byte) last = text;
    if (*text == 0) return (char *)(uintptr_t)last;
  }
}

char *strstr(const char *text, const char *part) {
  size_t length = strlen(part);
  for (;; text++) {
    if (strncmp(text, part, length) == 0) return (char *)(uintptr_t)text;
    if (*text == 0) return NULL;
  }
}

char *strcpy(char *restrict to, const char *restrict from) { return memcpy(to, from, strlen(from) + 1); }

char *strncpy(char *restrict to, const char *restrict from, size_t count) {
  size_t length = strnlen(from, count);
  memcpy(to, from, length);
  memset(to + length, 0, count - length);
  return to;
}

char *strcat(char *restrict to, const char *restrict from) {
  strcpy(to + strlen(to), from);
  return to;
}

char *strdup(const char *text) {
  size_t size = strlen(text) + 1;
  return memcpy(malloc(size), text, size);
}
