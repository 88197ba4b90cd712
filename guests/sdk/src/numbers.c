/* Numbers from text. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

int errno;

static int digit_of(char byte) {
  int digit = isdigit((uint8_t)byte) ? byte - '0' : isalpha((uint8_t)byte) ? tolower((uint8_t)byte) - 'a' + 10 : 36;
  return digit;
}

/* Sign and magnitude; `text` stays where it was when there is no number. */
static const char *read_whole(const char *text, int base, bool *negative, unsigned long long *magnitude,
                              bool *overflow) {
  const char *at = text;
  *negative = *overflow = false;
  *magnitude = 0;
  if (base < 0 || base == 1 || base > 36) {
    errno = EINVAL;
    return text;
  }
  while (isspace((uint8_t)*at)) at++;
  if (*at == '-' || *at == '+') *negative = *at++ == '-';
  if ((base == 0 || base == 16) && at[0] == '0' && (at[1] | 0x20) == 'x' && digit_of(at[2]) < 16) {
    at += 2;
    base = 16;
  }
  if (base == 0) base = *at == '0' ? 8 : 10;
  const char *digits = at;
  for (; digit_of(*at) < base; at++) {
    if (__builtin_mul_overflow(*magnitude, (unsigned long long)base, magnitude)) *overflow = true;
    if (__builtin_add_overflow(*magnitude, (unsigned long long)digit_of(*at), magnitude)) *overflow = true;
  }
  return at == digits ? text : at;
}

unsigned long long strtoull(const char *restrict text, char **restrict end, int base) {
  bool negative, overflow;
  unsigned long long magnitude;
  const char *stop = read_whole(text, base, &negative, &magnitude, &overflow);
  if (end != NULL) *end = (char *)(uintptr_t)stop;
  if (overflow) {
    errno = ERANGE;
    return ULLONG_MAX;
  }
  return negative ? 0 - magnitude : magnitude;
}

long long strtoll(const char *restrict text, char **restrict end, int base) {
  bool negative, overflow;
  unsigned long long magnitude;
  const char *stop = read_whole(text, base, &negative, &magnitude, &overflow);
  if (end != NULL) *end = (char *)(uintptr_t)stop;
  if (overflow || magnitude > (unsigned long long)LLONG_MAX + negative) {
    errno = ERANGE;
    return negative ? LLONG_MIN : LLONG_MAX;
  }
  return (long long)(negative ? 0 - magnitude : magnitude);
}

unsigned long strtoul(const char *restrict text, char **restrict end, int base) { return strtoull(text, end, base); }
long strtol(const char *restrict text, char **restrict end, int base) { return (long)strtoll(text, end, base); }
int atoi(const char *text) { return (int)strtoll(text, NULL, 10); }
long atol(const char *text) { return (long)strtoll(text, NULL, 10); }
long long atoll(const char *text) { return strtoll(text, NULL, 10); }

int abs(int value) { return value < 0 ? -value : value; }
long labs(long value) { return value < 0 ? -value : value; }
long long llabs(long long value) { return value < 0 ? -value : value; }

#ifdef __SSE2__

/* Past these the value is 0 or infinite, whatever the digits are. */
enum { EXPONENT_MAX = 5000, MANTISSA_DIGITS = 19 };

static long double power_of_ten(int exponent) {
  long double power = 1, factor = 10;
  for (; exponent > 0; exponent >>= 1, factor *= factor)
    if (exponent & 1) power *= factor;
  return power;
}

/* Whether `text` begins with `word`, in any case. */
static bool begins(const char *text, const char *word) {
  for (; *word != 0; text++, word++)
    if (tolower((uint8_t)*text) != *word) return false;
  return true;
}

static const char *read_decimal(const char *at, double *value) {
  const char *start = at;
  uint64_t mantissa = 0;
  int digits = 0, exponent = 0;
  bool any = false, point = false;
  for (;; at++) {
    if (*at == '.' && !point) {
      point = true;
      continue;
    }
    if (!isdigit((uint8_t)*at)) break;
    any = true;
    if (digits < MANTISSA_DIGITS) {
      mantissa = 10 * mantissa + (uint64_t)(*at - '0');
      if (mantissa != 0) digits++;
      if (point && exponent > -EXPONENT_MAX) exponent--;
    } else if (!point && exponent < EXPONENT_MAX) {
      exponent++;
    }
  }
  if (!any) return start;
  if ((*at | 0x20) == 'e') {
    const char *digit = at + 1 + (at[1] == '-' || at[1] == '+');
    if (isdigit((uint8_t)*digit)) {
      int written = 0;
      for (; isdigit((uint8_t)*digit); digit++)
        if (written < EXPONENT_MAX) written = 10 * written + (*digit - '0');
      exponent += at[1] == '-' ? -written : written;
      at = digit;
    }
  }
  if (exponent > EXPONENT_MAX) exponent = EXPONENT_MAX;
  long double exact = mantissa;
  /* Two steps: a power beyond the range of long double would make 0 / inf of what fits. */
  if (exponent < 0) {
    int first = exponent < -4000 ? 4000 : -exponent;
    exact = exact / power_of_ten(first) / power_of_ten(-exponent - first > 4000 ? 4000 : -exponent - first);
  } else if (mantissa != 0) {
    exact *= power_of_ten(exponent);
  }
  *value = (double)exact;
  if (__builtin_isinf(*value) || (*value == 0 && mantissa != 0)) errno = ERANGE;
  return at;
}

double strtod(const char *restrict text, char **restrict end) {
  const char *at = text;
  double value = 0;
  while (isspace((uint8_t)*at)) at++;
  bool negative = *at == '-';
  if (*at == '-' || *at == '+') at++;
  const char *stop = at;
  if (begins(at, "inf")) {
    value = __builtin_inf();
    stop = at + (begins(at, "infinity") ? 8 : 3);
  } else if (begins(at, "nan")) {
    value = __builtin_nan("");
    stop = at + 3;
  } else {
    stop = read_decimal(at, &value);
  }
  if (end != NULL) *end = (char *)(uintptr_t)(stop == at ? text : stop);
  return negative ? -value : value;
}

double atof(const char *text) { return strtod(text, NULL); }

#endif
