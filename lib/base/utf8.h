/* UTF-8 by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef LSI_BASE_UTF8_H
#define LSI_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#define LSI_UTF8_BAD ((size_t)-1)

/* Code points in `size` bytes, or LSI_UTF8_BAD when they are not valid UTF-8. Short ASCII takes a fast path. */
size_t lsi_utf8_count(const void *bytes, size_t size);

/* Bytes of the one code point at the start of `bytes` (1..4); 0 when none is whole and valid there. */
size_t lsi_utf8_first(const void *bytes, size_t size);

/* Whether valid UTF-8 goes on with a control character: U+0000..U+001F, U+007F..U+009F. */
static inline bool lsi_utf8_is_control(const char *at)
{
    const unsigned char *byte = (const unsigned char *)at;

    return byte[0] < 0x20 || byte[0] == 0x7f || (byte[0] == 0xc2 && byte[1] < 0xa0);
}

#endif
