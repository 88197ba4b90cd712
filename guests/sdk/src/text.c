/* Searching and splitting of text. */
#include <ctype.h>
#include <string.h>

char *strncat(char *restrict to, const char *restrict from, size_t limit) {
  size_t length = strnlen(from, limit);
  char *end = to + strlen(to);
  memcpy(end, from, length);
  end[length] = 0;
  return to;
}

char *strndup(const char *text, size_t limit) {
  size_t length = strnlen(text, limit);
  char *copy = malloc(length + 1);
  memcpy(copy, text, length);
  copy[length] = 0;
  return copy;
}

/* Length of the start that is made of bytes which are (or are not) in `bytes`. */
static size_t span(const char *text, const char *bytes, bool inside) {
  size_t length = 0;
  while (text[length] != 0 && (strchr(bytes, text[length]) != NULL) == inside) length++;
  return length;
}

size_t strspn(const char *text, const char *bytes) { return span(text, bytes, true); }
size_t strcspn(const char *text, const char *bytes) { return span(text, bytes, false); }

char *strpbrk(const char *text, const char *bytes) {
  text += strcspn(text, bytes);
  return *text == 0 ? NULL : (char *)(uintptr_t)text;
}

char *strtok_r(char *restrict text, const char *restrict separators, char **restrict rest) {
  char *start = text == NULL ? *rest : text;
  if (start == NULL) return NULL;
  start += strspn(start, separators);
  if (*start == 0) {
    *rest = NULL;
    return NULL;
  }
  char *end = start + strcspn(start, separators);
  *rest = *end == 0 ? NULL : end + 1;
  *end = 0;
  return start;
}

char *strtok(char *restrict text, const char *restrict separators) {
  static char *rest;
  return strtok_r(text, separators, &rest);
}

int strncasecmp(const char *a, const char *b, size_t limit) {
  for (; limit > 0; limit--, a++, b++) {
    int difference = tolower((uint8_t)*a) - tolower((uint8_t)*b);
    if (difference != 0 || *a == 0) return difference;
  }
  return 0;
}

int strcasecmp(const char *a, const char *b) { return strncasecmp(a, b, SIZE_MAX); }
