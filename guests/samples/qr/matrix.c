/* From codewords to modules: patterns, placement, masks, format and version information. */
#include "qr.h"

enum { MASKS = 8, LEVEL_M = 0 };

static void set(QrCode *code, int x, int y, bool dark) {
  if (x < 0 || y < 0 || x >= code->size || y >= code->size) return;
  code->dark[y][x] = dark;
  code->fixed[y][x] = 1;
}

static int distance(int a, int b) {
  a = a < 0 ? -a : a;
  b = b < 0 ? -b : b;
  return a > b ? a : b;
}

/* ---- Patterns ---- */

static void draw_finder(QrCode *code, int x, int y) {
  for (int dy = -4; dy <= 4; dy++)
    for (int dx = -4; dx <= 4; dx++) {
      int ring = distance(dx, dy);
      set(code, x + dx, y + dy, ring != 2 && ring != 4);
    }
}

static void draw_alignment(QrCode *code, int x, int y) {
  for (int dy = -2; dy <= 2; dy++)
    for (int dx = -2; dx <= 2; dx++) set(code, x + dx, y + dy, distance(dx, dy) != 1);
}

/* Positions run from the far edge to the first, 6, in steps that are as even as even numbers can be. */
static int alignment_position(const QrCode *code, int index, int count) {
  int span = code->size - 13, gaps = count - 1;
  int step = (span + 2 * gaps - 1) / (2 * gaps) * 2;
  if (code->version == 32) step = 26; /* the standard's one exception */
  return index == 0 ? 6 : code->size - 7 - (gaps - index) * step;
}

static void draw_alignments(QrCode *code) {
  if (code->version < 2) return;
  int count = code->version / 7 + 2;
  for (int i = 0; i < count; i++)
    for (int j = 0; j < count; j++) {
      bool on_finder = (i == 0 && j == 0) || (i == 0 && j == count - 1) || (i == count - 1 && j == 0);
      if (!on_finder) draw_alignment(code, alignment_position(code, i, count), alignment_position(code, j, count));
    }
}

/* Check bits of a value under a generator polynomial, both codes of the standard. */
static uint32_t with_check_bits(uint32_t value, int check_bits, uint32_t polynomial) {
  uint32_t rest = value;
  for (int i = 0; i < check_bits; i++) rest = rest << 1 ^ (rest >> (check_bits - 1)) * polynomial;
  return value << check_bits | rest;
}

/* Two copies of 15 bits around the finders, and the module that is always dark. */
static void draw_format(QrCode *code, int mask) {
  uint32_t bits = with_check_bits((uint32_t)(LEVEL_M << 3 | mask), 10, 0x537) ^ 0x5412;
  int last = code->size - 1;
  for (int i = 0; i < 15; i++) {
    bool dark = bits >> i & 1;
    if (i < 8)
      set(code, last - i, 8, dark);
    else
      set(code, 8, last - 14 + i, dark);
    if (i < 6)
      set(code, 8, i, dark);
    else if (i < 8)
      set(code, 8, i + 1, dark);
    else if (i == 8)
      set(code, 7, 8, dark);
    else
      set(code, 14 - i, 8, dark);
  }
  set(code, 8, last - 7, true);
}

static void draw_version(QrCode *code) {
  if (code->version < 7) return;
  uint32_t bits = with_check_bits((uint32_t)code->version, 12, 0x1F25);
  for (int i = 0; i < 18; i++) {
    int far = code->size - 11 + i % 3, near = i / 3;
    set(code, far, near, bits >> i & 1);
    set(code, near, far, bits >> i & 1);
  }
}

static void draw_patterns(QrCode *code) {
  for (int i = 0; i < code->size; i++) {
    set(code, 6, i, i % 2 == 0);
    set(code, i, 6, i % 2 == 0);
  }
  draw_finder(code, 3, 3);
  draw_finder(code, code->size - 4, 3);
  draw_finder(code, 3, code->size - 4);
  draw_alignments(code);
  draw_format(code, 0);
  draw_version(code);
}

/* ---- Data: up and down in columns two wide, from the right ---- */

static void place(QrCode *code, const uint8_t *codewords, size_t count) {
  size_t bit = 0;
  bool upwards = true;
  for (int right = code->size - 1; right > 0; right -= 2, upwards = !upwards) {
    if (right == 6) right = 5; /* the timing column */
    for (int step = 0; step < code->size; step++)
      for (int x = right; x > right - 2; x--) {
        int y = upwards ? code->size - 1 - step : step;
        if (code->fixed[y][x] || bit >= 8 * count) continue;
        code->dark[y][x] = codewords[bit / 8] >> (7 - bit % 8) & 1;
        bit++;
      }
  }
}

/* ---- Masks ---- */

static bool in_mask(int mask, int x, int y) {
  switch (mask) {
    case 0: return (x + y) % 2 == 0;
    case 1: return y % 2 == 0;
    case 2: return x % 3 == 0;
    case 3: return (x + y) % 3 == 0;
    case 4: return (x / 3 + y / 2) % 2 == 0;
    case 5: return x * y % 2 + x * y % 3 == 0;
    case 6: return (x * y % 2 + x * y % 3) % 2 == 0;
    default: return ((x + y) % 2 + x * y % 3) % 2 == 0;
  }
}

/* Its own inverse. */
static void apply_mask(QrCode *code, int mask) {
  for (int y = 0; y < code->size; y++)
    for (int x = 0; x < code->size; x++)
      if (!code->fixed[y][x]) code->dark[y][x] ^= in_mask(mask, x, y);
}

/* Runs of five and more, and what looks like a finder with its white side, in one row or column. */
static int line_penalty(const QrCode *code, int line, bool column) {
  int penalty = 0, run = 0;
  bool before = false;
  uint32_t window = 0; /* the last 11 modules; beyond the edges it is light */
  for (int i = 0; i < code->size + 4; i++) {
    bool inside = i < code->size;
    bool dark = inside && (column ? code->dark[i][line] : code->dark[line][i]);
    if (inside) {
      run = i > 0 && dark == before ? run + 1 : 1;
      if (run == 5) penalty += 3;
      if (run > 5) penalty += 1;
      before = dark;
    }
    window = (window << 1 | dark) & 0x7FF;
    if (window == 0x05D || window == 0x5D0) penalty += 40;
  }
  return penalty;
}

static int penalty(const QrCode *code) {
  int sum = 0, dark = 0, total = code->size * code->size;
  for (int line = 0; line < code->size; line++)
    sum += line_penalty(code, line, false) + line_penalty(code, line, true);
  for (int y = 0; y < code->size; y++)
    for (int x = 0; x < code->size; x++) {
      dark += code->dark[y][x];
      if (x + 1 == code->size || y + 1 == code->size) continue;
      int block = code->dark[y][x] + code->dark[y][x + 1] + code->dark[y + 1][x] + code->dark[y + 1][x + 1];
      if (block == 0 || block == 4) sum += 3;
    }
  int off = dark * 20 - total * 10; /* twentieths away from one half */
  return sum + 10 * ((off < 0 ? -off : off) / total);
}

static int best_mask(QrCode *code) {
  int best = 0, lowest = INT32_MAX;
  for (int mask = 0; mask < MASKS; mask++) {
    apply_mask(code, mask);
    draw_format(code, mask);
    int score = penalty(code);
    if (score < lowest) {
      lowest = score;
      best = mask;
    }
    apply_mask(code, mask);
  }
  return best;
}

bool qr_encode(QrCode *code, const uint8_t *bytes, size_t length) {
  uint8_t *codewords = calloc(QR_CODEWORDS_MAX, 1);
  size_t count = 0;
  memset(code, 0, sizeof *code);
  code->version = qr_codewords(bytes, length, codewords, &count);
  code->size = 17 + 4 * code->version;
  if (code->version > 0) {
    draw_patterns(code);
    place(code, codewords, count);
    int mask = best_mask(code);
    apply_mask(code, mask);
    draw_format(code, mask);
  }
  free(codewords);
  return code->version > 0;
}
