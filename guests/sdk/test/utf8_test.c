#include "check.h"

#include "unused_aborts.h"
#include "utf8.h"

static void repaired(const char *from, const char *to) {
  char text[32] = {0};
  memcpy(text, from, strlen(from));
  mf_utf8_repair(text, strlen(from));
  CHECK(strcmp(text, to) == 0);
}

static void text_that_is_utf8_stays(void) {
  repaired("", "");
  repaired("plain", "plain");
  repaired("\xC3\xA9\xE2\x98\x83\xF0\x9D\x84\x9E", "\xC3\xA9\xE2\x98\x83\xF0\x9D\x84\x9E");
  repaired("\xEF\xBF\xBF\xF4\x8F\xBF\xBF", "\xEF\xBF\xBF\xF4\x8F\xBF\xBF");
}

static void bytes_of_no_character_become_question_marks(void) {
  repaired("a\xFF z", "a? z");
  repaired("\x80", "?");
  repaired("\xC3", "?");
  repaired("\xC3(", "?(");
  repaired("\xC0\x80", "??");
  repaired("\xE0\x80\x80", "???");
  repaired("\xED\xA0\x80", "???");
  repaired("\xF4\x90\x80\x80", "????");
  repaired("\xF5\x80\x80\x80", "????");
  repaired("\xE2\x98", "??");
}

static void a_cut_leaves_characters_whole(void) {
  const char *text = "ab\xE2\x98\x83yz";
  CHECK(mf_utf8_cut(text, 2) == 2);
  CHECK(mf_utf8_cut(text, 3) == 2);
  CHECK(mf_utf8_cut(text, 4) == 2);
  CHECK(mf_utf8_cut(text, 5) == 5);
  CHECK(mf_utf8_cut("\x80\x80\x80\x80\x80\x80", 5) == 5);
}

RUN("utf8", text_that_is_utf8_stays, bytes_of_no_character_become_question_marks, a_cut_leaves_characters_whole)
