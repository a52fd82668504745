/* Four characters make three bytes. Values come from a table, since documents of handlers hold megabytes of them. */
#include "base/base64.h"

#include <stdint.h>

#define BAD 64

/* The value of a character, BAD for one that is none. */
static const unsigned char values[256] = {
#define X4 BAD, BAD, BAD, BAD
#define X16 X4, X4, X4, X4
    X16, X16,                                                       /* 0x00 */
    X4, X4, BAD, BAD, BAD, 62, BAD, BAD, BAD, 63,                   /* 0x20: + / */
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, BAD, BAD, X4,           /* 0x30: 0..9 */
    BAD, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,          /* 0x40: A.. */
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, BAD, X4,            /* 0x50 */
    BAD, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, /* 0x60: a.. */
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, BAD, X4,            /* 0x70 */
    X16, X16, X16, X16, X16, X16, X16, X16,                         /* 0x80 */
#undef X16
#undef X4
};

bool lsi_base64_decode(const char *text, size_t size, void *out, size_t *out_size)
{
    const unsigned char *from = (const unsigned char *)text, *end = from + size;
    unsigned char *to = out, *start = out;

    if (size % 4 != 0)
        return false;
    for (; from != end; from += 4) {
        bool is_last = end - from == 4;
        unsigned padding = is_last && from[3] == '=' ? (from[2] == '=' ? 2 : 1) : 0;
        unsigned a = values[from[0]], b = values[from[1]];
        unsigned c = padding == 2 ? 0 : values[from[2]], d = padding > 0 ? 0 : values[from[3]];
        uint32_t n = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | d;

        if (((a | b | c | d) & BAD) != 0 || (padding == 2 && (b & 15) != 0) || (padding == 1 && (c & 3) != 0))
            return false;
        *to++ = (unsigned char)(n >> 16);
        if (padding < 2)
            *to++ = (unsigned char)(n >> 8);
        if (padding < 1)
            *to++ = (unsigned char)n;
    }
    *out_size = (size_t)(to - start);
    return true;
}
