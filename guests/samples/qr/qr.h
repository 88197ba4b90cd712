#ifndef SAMPLE_QR_H
#define SAMPLE_QR_H

#include "mayfly_guest.h"

enum { QR_SIZE_MAX = 177 };

typedef struct QrCode {
  int version; /* 1 to 40 */
  int size;    /* modules on a side: 17 + 4 * version */
  uint8_t dark[QR_SIZE_MAX][QR_SIZE_MAX];
  /** Patterns and information, which no data and no mask touches. */
  uint8_t fixed[QR_SIZE_MAX][QR_SIZE_MAX];
} QrCode;

static inline bool qr_module(const QrCode *code, int x, int y) { return code->dark[y][x] != 0; }

/** False when `length` bytes do not fit into any version. */
bool qr_encode(QrCode *code, const uint8_t *bytes, size_t length);

/** codewords.c: data and error correction, interleaved; returns the version, 0 when nothing fits. */
int qr_codewords(const uint8_t *bytes, size_t length, uint8_t *out, size_t *count);

enum { QR_CODEWORDS_MAX = 3706 };

#endif
