/* Kinds of bytes, ASCII only. */
#include <ctype.h>

static int between(int byte, int low, int high) { return byte >= low && byte <= high; }

int isdigit(int byte) { return between(byte, '0', '9'); }
int islower(int byte) { return between(byte, 'a', 'z'); }
int isupper(int byte) { return between(byte, 'A', 'Z'); }
int isalpha(int byte) { return islower(byte) || isupper(byte); }
int isalnum(int byte) { return isalpha(byte) || isdigit(byte); }
int isblank(int byte) { return byte == ' ' || byte == '\t'; }
int iscntrl(int byte) { return between(byte, 0, 31) || byte == 127; }
int isgraph(int byte) { return between(byte, 33, 126); }
int isprint(int byte) { return between(byte, 32, 126); }
int ispunct(int byte) { return isgraph(byte) && !isalnum(byte); }
int isspace(int byte) { return byte == ' ' || between(byte, '\t', '\r'); }
int isxdigit(int byte) { return isdigit(byte) || between(byte, 'a', 'f') || between(byte, 'A', 'F'); }
int tolower(int byte) { return isupper(byte) ? byte + ('a' - 'A') : byte; }
int toupper(int byte) { return islower(byte) ? byte - ('a' - 'A') : byte; }
