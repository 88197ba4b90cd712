#include "decimal.h"

#include "mayfly_guest.h"

/* A natural number in base 10^9, lowest limb first; 767 digits need 86. */
enum { BASE = 1000000000, BASE_DIGITS = 9, LIMBS = 88 };

typedef struct Natural {
  uint32_t limbs[LIMBS];
  int count;
} Natural;

static void multiply(Natural *number, uint32_t factor) {
  uint64_t carry = 0;
  for (int i = 0; i < number->count; i++) {
    carry += (uint64_t)number->limbs[i] * factor;
    number->limbs[i] = (uint32_t)(carry % BASE);
    carry /= BASE;
  }
  for (; carry > 0 && number->count < LIMBS; carry /= BASE)
    number->limbs[number->count++] = (uint32_t)(carry % BASE);
}

static void multiply_power(Natural *number, uint32_t base, int exponent, uint32_t step, int step_exponent) {
  for (; exponent >= step_exponent; exponent -= step_exponent) multiply(number, step);
  for (; exponent > 0; exponent--) multiply(number, base);
}

void mf_decimal_make(mf_Decimal *decimal, uint64_t mantissa, int exponent) {
  Natural number = {.limbs = {(uint32_t)(mantissa % BASE), (uint32_t)(mantissa / BASE)}, .count = 2};
  /* m × 2^-k is m × 5^k, its decimal point moved by k. */
  if (exponent >= 0)
    multiply_power(&number, 2, exponent, 1u << 29, 29);
  else
    multiply_power(&number, 5, -exponent, 1220703125, 13);
  while (number.count > 0 && number.limbs[number.count - 1] == 0) number.count--;
  decimal->count = 0;
  decimal->point = 1;
  if (number.count == 0) return;
  for (int i = number.count - 1; i >= 0; i--) {
    uint32_t limb = number.limbs[i];
    for (uint32_t unit = BASE / 10; unit > 0; unit /= 10) {
      char digit = (char)('0' + limb / unit % 10);
      if (decimal->count > 0 || digit != '0') decimal->digits[decimal->count++] = digit;
    }
  }
  decimal->point = decimal->count + (exponent < 0 ? exponent : 0);
  while (decimal->digits[decimal->count - 1] == '0') decimal->count--;
}

void mf_decimal_round(mf_Decimal *decimal, int keep) {
  if (keep >= decimal->count) return;
  bool up = false;
  if (keep >= 0) {
    char next = decimal->digits[keep];
    bool odd = keep > 0 && (decimal->digits[keep - 1] - '0') % 2 == 1;
    up = next > '5' || (next == '5' && (keep + 1 < decimal->count || odd));
  }
  decimal->count = keep < 0 ? 0 : keep;
  if (up) {
    while (decimal->count > 0 && decimal->digits[decimal->count - 1] == '9') decimal->count--;
    if (decimal->count > 0) {
      decimal->digits[decimal->count - 1]++;
    } else {
      decimal->digits[decimal->count++] = '1';
      decimal->point++;
    }
  }
  while (decimal->count > 0 && decimal->digits[decimal->count - 1] == '0') decimal->count--;
  if (decimal->count == 0) decimal->point = 1;
}

char mf_decimal_digit(const mf_Decimal *decimal, int index) {
  return index >= 0 && index < decimal->count ? decimal->digits[index] : '0';
}
