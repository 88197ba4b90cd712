/* Gives functions of the SDK names of their own, so that a test can have them beside those of libc. */
#ifndef MAYFLY_HOSTED_H
#define MAYFLY_HOSTED_H

#define malloc sdk_malloc
#define calloc sdk_calloc
#define realloc sdk_realloc
#define free sdk_free
#define abort sdk_abort
#define printf sdk_printf
#define vprintf sdk_vprintf
#define puts sdk_puts
#define putchar sdk_putchar
#define snprintf sdk_snprintf
#define vsnprintf sdk_vsnprintf

#ifdef HOSTED_STRINGS
#define memcpy sdk_memcpy
#define memmove sdk_memmove
#define memset sdk_memset
#define memcmp sdk_memcmp
#define memchr sdk_memchr
#define strlen sdk_strlen
#define strnlen sdk_strnlen
#define strcmp sdk_strcmp
#define strncmp sdk_strncmp
#define strchr sdk_strchr
#define strrchr sdk_strrchr
#define strstr sdk_strstr
#define strcpy sdk_strcpy
#define strncpy sdk_strncpy
#define strcat sdk_strcat
#define strdup sdk_strdup
#endif

#ifdef HOSTED_LIBC
#define isalnum sdk_isalnum
#define isalpha sdk_isalpha
#define isblank sdk_isblank
#define iscntrl sdk_iscntrl
#define isdigit sdk_isdigit
#define isgraph sdk_isgraph
#define islower sdk_islower
#define isprint sdk_isprint
#define ispunct sdk_ispunct
#define isspace sdk_isspace
#define isupper sdk_isupper
#define isxdigit sdk_isxdigit
#define tolower sdk_tolower
#define toupper sdk_toupper
#define strncat sdk_strncat
#define strndup sdk_strndup
#define strspn sdk_strspn
#define strcspn sdk_strcspn
#define strpbrk sdk_strpbrk
#define strtok_r sdk_strtok_r
#define strtok sdk_strtok
#define strcasecmp sdk_strcasecmp
#define strncasecmp sdk_strncasecmp
#define strtol sdk_strtol
#define strtoul sdk_strtoul
#define strtoll sdk_strtoll
#define strtoull sdk_strtoull
#define atoi sdk_atoi
#define atol sdk_atol
#define atoll sdk_atoll
#define strtod sdk_strtod
#define atof sdk_atof
#define abs sdk_abs
#define labs sdk_labs
#define llabs sdk_llabs
#define qsort sdk_qsort
#define bsearch sdk_bsearch
#define rand sdk_rand
#define srand sdk_srand
#define rand_r sdk_rand_r
#define setjmp sdk_setjmp
#define longjmp sdk_longjmp
#define fabs sdk_fabs
#define copysign sdk_copysign
#define fmin sdk_fmin
#define fmax sdk_fmax
#define floor sdk_floor
#define ceil sdk_ceil
#define trunc sdk_trunc
#define round sdk_round
#define lround sdk_lround
#define fmod sdk_fmod
#define modf sdk_modf
#define sqrt sdk_sqrt
#define hypot sdk_hypot
#define scalbn sdk_scalbn
#define ldexp sdk_ldexp
#define frexp sdk_frexp
#define exp sdk_exp
#define exp2 sdk_exp2
#define log sdk_log
#define log2 sdk_log2
#define log10 sdk_log10
#define pow sdk_pow
#define sin sdk_sin
#define cos sdk_cos
#define tan sdk_tan
#define asin sdk_asin
#define acos sdk_acos
#define atan sdk_atan
#define atan2 sdk_atan2
#define fabsf sdk_fabsf
#define floorf sdk_floorf
#define ceilf sdk_ceilf
#define roundf sdk_roundf
#define sqrtf sdk_sqrtf
#define sinf sdk_sinf
#define cosf sdk_cosf
#define expf sdk_expf
#define logf sdk_logf
#define powf sdk_powf
#define errno sdk_errno
#endif

#endif
