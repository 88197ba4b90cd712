#include "utf8.h"

int mf_utf8_length(const char *text, size_t length) {
  const uint8_t *bytes = (const uint8_t *)text;
  if (length == 0) return 0;
  uint8_t lead = bytes[0];
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return -1;
  int wanted = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  /* The second byte also rules out overlong forms, surrogates and values above U+10FFFF. */
  uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (int i = 1; i < wanted; i++) {
    if ((size_t)i == length) return 0;
    if (bytes[i] < low || bytes[i] > high) return -1;
    low = 0x80;
    high = 0xBF;
  }
  return wanted;
}

void mf_utf8_repair(char *text, size_t length) {
  for (size_t at = 0; at < length;) {
    int step = mf_utf8_length(text + at, length - at);
    if (step <= 0) {
      text[at] = '?';
      step = 1;
    }
    at += (size_t)step;
  }
}

size_t mf_utf8_cut(const char *text, size_t limit) {
  size_t cut = limit;
  while (cut > 0 && limit - cut < 3 && ((uint8_t)text[cut] & 0xC0) == 0x80) cut--;
  return ((uint8_t)text[cut] & 0xC0) == 0x80 ? limit : cut;
}
