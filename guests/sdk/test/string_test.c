#include "check.h"

#include "unused_aborts.h"

/* The SDK's, under the names that hosted.h gives them in string.c. */
void *sdk_memcpy(void *to, const void *from, size_t count);
void *sdk_memmove(void *to, const void *from, size_t count);
void *sdk_memset(void *to, int byte, size_t count);
int sdk_memcmp(const void *a, const void *b, size_t count);
void *sdk_memchr(const void *from, int byte, size_t count);
size_t sdk_strlen(const char *text);
size_t sdk_strnlen(const char *text, size_t limit);
int sdk_strcmp(const char *a, const char *b);
int sdk_strncmp(const char *a, const char *b, size_t limit);
char *sdk_strchr(const char *text, int byte);
char *sdk_strrchr(const char *text, int byte);
char *sdk_strstr(const char *text, const char *part);
char *sdk_strcpy(char *to, const char *from);
char *sdk_strncpy(char *to, const char *from, size_t count);
char *sdk_strcat(char *to, const char *from);

static int sign(int value) { return (value > 0) - (value < 0); }

static void blocks_move_as_libc_moves_them(void) {
  uint8_t ours[256], theirs[256];
  for (int round = 0; round < 20000; round++) {
    for (int i = 0; i < 256; i++) ours[i] = theirs[i] = (uint8_t)draw(256);
    size_t count = draw(100), from = draw(150), to = draw(150);
    if (from + count <= to || to + count <= from) {
      CHECK(sdk_memcpy(ours + to, ours + from, count) == ours + to);
      memcpy(theirs + to, theirs + from, count);
      CHECK(memcmp(ours, theirs, 256) == 0);
    }
    CHECK(sdk_memmove(ours + to, ours + from, count) == ours + to);
    memmove(theirs + to, theirs + from, count);
    CHECK(memcmp(ours, theirs, 256) == 0);
    CHECK(sdk_memset(ours + to, round, count) == ours + to);
    memset(theirs + to, round, count);
    CHECK(memcmp(ours, theirs, 256) == 0);
    CHECK(sign(sdk_memcmp(ours + from, ours + to, count)) == sign(memcmp(ours + from, ours + to, count)));
    CHECK(sdk_memchr(ours, round & 255, count) == memchr(ours, round & 255, count));
  }
}

static void texts_compare_and_search_as_in_libc(void) {
  static const char *texts[] = {"", "a", "ab", "abc", "b", "abcabc", "bca", "\x80", "aab", "abab", "cab"};
  enum { COUNT = sizeof texts / sizeof *texts };
  for (int i = 0; i < COUNT; i++) {
    CHECK(sdk_strlen(texts[i]) == strlen(texts[i]) && sdk_strnlen(texts[i], 2) == strnlen(texts[i], 2));
    for (int byte = 0; byte < 256; byte += byte == 0 ? 'a' : 1) {
      CHECK(sdk_strchr(texts[i], byte) == strchr(texts[i], byte));
      CHECK(sdk_strrchr(texts[i], byte) == strrchr(texts[i], byte));
    }
    for (int j = 0; j < COUNT; j++) {
      CHECK(sign(sdk_strcmp(texts[i], texts[j])) == sign(strcmp(texts[i], texts[j])));
      for (size_t limit = 0; limit < 5; limit++)
        CHECK(sign(sdk_strncmp(texts[i], texts[j], limit)) == sign(strncmp(texts[i], texts[j], limit)));
      CHECK(sdk_strstr(texts[i], texts[j]) == strstr(texts[i], texts[j]));
    }
  }
}

static void texts_are_copied(void) {
  char out[16];
  CHECK(sdk_strcpy(out, "abc") == out && strcmp(out, "abc") == 0);
  CHECK(sdk_strcat(out, "de") == out && strcmp(out, "abcde") == 0);
  memset(out, 'z', sizeof out);
  CHECK(sdk_strncpy(out, "ab", 5) == out && memcmp(out, "ab\0\0\0z", 6) == 0);
  sdk_strncpy(out, "abcdef", 3);
  CHECK(memcmp(out, "abc\0\0z", 6) == 0);
}

RUN("string", blocks_move_as_libc_moves_them, texts_compare_and_search_as_in_libc, texts_are_copied)
