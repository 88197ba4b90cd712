/* Exact decimal digits of a double, for printf. */
#ifndef MAYFLY_DECIMAL_H
#define MAYFLY_DECIMAL_H

#include <stdint.h>

/** 0.d1d2d3… × 10^point. Zero has no digits and point 1. The smallest doubles have 767 digits. */
typedef struct mf_Decimal {
  char digits[800];
  int count;
  int point;
} mf_Decimal;

/** The finite value mantissa × 2^exponent, mantissa < 2^53, exponent -1074 to 971. */
void mf_decimal_make(mf_Decimal *decimal, uint64_t mantissa, int exponent);
/** Rounds to `keep` digits, half to even; keep may be 0 or less. */
void mf_decimal_round(mf_Decimal *decimal, int keep);
/** Digit number `index` from the first, '0' outside. */
char mf_decimal_digit(const mf_Decimal *decimal, int index);

#endif
