/* From bytes to codewords: segments, padding, Reed-Solomon blocks, interleaving. */
#include "qr.h"

/* Level M by version (ISO/IEC 18004, table 9): error correction codewords per block, number of blocks. */
static const uint8_t ec_per_block[41] = {0,  10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22,
                                         24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28, 28, 28, 28,
                                         28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28};
static const uint8_t block_count[41] = {0,  1,  1,  1,  2,  2,  4,  4,  4,  5,  5,  5,  8,  9,
                                        9,  10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21, 23, 25,
                                        26, 28, 29, 31, 33, 35, 37, 38, 40, 43, 45, 47, 49};

enum { VERSIONS = 40, EC_MAX = 30, BYTE_MODE = 4, ECI_MODE = 7, ECI_UTF8 = 26 };

/* Modules that no pattern takes, in codewords. */
static int total_codewords(int version) {
  int size = 17 + 4 * version;
  int modules = size * size - 3 * 64 - 2 * (size - 16) - 31; /* finders, timing, format information and dark module */
  if (version >= 2) {
    int per_side = version / 7 + 2;
    modules -= 25 * (per_side * per_side - 3) - 10 * (per_side - 2);
  }
  if (version >= 7) modules -= 36;
  return modules / 8;
}

static int data_codewords(int version) {
  return total_codewords(version) - ec_per_block[version] * block_count[version];
}

/* ---- Bits ---- */

typedef struct Bits {
  uint8_t *bytes;
  size_t count;
} Bits;

static void put_bits(Bits *bits, uint32_t value, int width) {
  for (int i = width - 1; i >= 0; i--, bits->count++)
    if (value >> i & 1) bits->bytes[bits->count / 8] |= (uint8_t)(0x80 >> bits->count % 8);
}

static bool is_ascii(const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (bytes[i] >= 0x80) return false;
  return true;
}

static int count_width(int version) { return version < 10 ? 8 : 16; }

/* Without an ECI header a reader has to guess the encoding of bytes above 127. */
static size_t bits_needed(int version, size_t length, bool ascii) {
  return (ascii ? 0 : 12) + 4 + (size_t)count_width(version) + 8 * length;
}

static void put_data(uint8_t *data, int version, const uint8_t *bytes, size_t length, bool ascii) {
  size_t capacity = 8 * (size_t)data_codewords(version);
  Bits bits = {data, 0};
  if (!ascii) {
    put_bits(&bits, ECI_MODE, 4);
    put_bits(&bits, ECI_UTF8, 8);
  }
  put_bits(&bits, BYTE_MODE, 4);
  put_bits(&bits, (uint32_t)length, count_width(version));
  for (size_t i = 0; i < length; i++) put_bits(&bits, bytes[i], 8);
  put_bits(&bits, 0, capacity - bits.count < 4 ? (int)(capacity - bits.count) : 4);
  bits.count = (bits.count + 7) / 8 * 8;
  for (uint8_t pad = 0xEC; bits.count < capacity; pad ^= 0xEC ^ 0x11) put_bits(&bits, pad, 8);
}

/* ---- Reed-Solomon over GF(256), polynomial x^8 + x^4 + x^3 + x^2 + 1 ---- */

static uint8_t multiply(uint8_t a, uint8_t b) {
  uint32_t product = 0;
  for (int i = 7; i >= 0; i--) {
    product = product << 1 ^ (product >> 7) * 0x11D;
    if (b >> i & 1) product ^= a;
  }
  return (uint8_t)product;
}

/* Coefficients of the product of (x - 2^i), highest first, without the leading 1. */
static void make_generator(uint8_t *generator, int degree) {
  memset(generator, 0, (size_t)degree);
  generator[degree - 1] = 1;
  uint8_t root = 1;
  for (int i = 0; i < degree; i++) {
    for (int j = 0; j < degree; j++) {
      generator[j] = multiply(generator[j], root);
      if (j + 1 < degree) generator[j] ^= generator[j + 1];
    }
    root = multiply(root, 2);
  }
}

static void put_remainder(uint8_t *remainder, int degree, const uint8_t *generator, const uint8_t *data, int length) {
  memset(remainder, 0, (size_t)degree);
  for (int i = 0; i < length; i++) {
    uint8_t factor = data[i] ^ remainder[0];
    memmove(remainder, remainder + 1, (size_t)degree - 1);
    remainder[degree - 1] = 0;
    for (int j = 0; j < degree; j++) remainder[j] ^= multiply(generator[j], factor);
  }
}

/* ---- Blocks: the first ones may be a codeword shorter than the others ---- */

static void interleave(uint8_t *out, int version, const uint8_t *data) {
  int blocks = block_count[version], degree = ec_per_block[version], total = data_codewords(version);
  int short_length = total / blocks, short_blocks = blocks - total % blocks;
  uint8_t generator[EC_MAX], remainder[EC_MAX];
  make_generator(generator, degree);
  for (int block = 0; block < blocks; block++) {
    int extra = block < short_blocks ? 0 : 1;
    int length = short_length + extra;
    for (int i = 0; i < length; i++) {
      int row = i < short_length ? i * blocks + block : short_length * blocks + block - short_blocks;
      out[row] = data[i];
    }
    put_remainder(remainder, degree, generator, data, length);
    for (int i = 0; i < degree; i++) out[total + i * blocks + block] = remainder[i];
    data += length;
  }
}

int qr_codewords(const uint8_t *bytes, size_t length, uint8_t *out, size_t *count) {
  bool ascii = is_ascii(bytes, length);
  int version = 1;
  while (version <= VERSIONS && (length > QR_CODEWORDS_MAX ||
                                 bits_needed(version, length, ascii) > 8 * (size_t)data_codewords(version)))
    version++;
  if (version > VERSIONS) return 0;
  uint8_t *data = calloc(QR_CODEWORDS_MAX, 1);
  put_data(data, version, bytes, length, ascii);
  interleave(out, version, data);
  free(data);
  *count = (size_t)total_codewords(version);
  return version;
}
