/* The block function, for its test. */
#ifndef MAYFLY_RANDOM_H
#define MAYFLY_RANDOM_H

#include <stdint.h>

/** ChaCha20 of RFC 8439, 2.3. */
void mf_chacha20_block(const uint32_t start[16], uint8_t out[64]);

#endif
