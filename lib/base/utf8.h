/* UTF-8 by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef LSI_BASE_UTF8_H
#define LSI_BASE_UTF8_H

#include <stddef.h>

#define LSI_UTF8_BAD ((size_t)-1)

/* Code points in `size` bytes, or LSI_UTF8_BAD when they are not valid UTF-8. Short ASCII takes a fast path. */
size_t lsi_utf8_count(const void *bytes, size_t size);

/* Bytes of the one code point at the start of `bytes` (1..4); 0 when none is whole and valid there. */
size_t lsi_utf8_first(const void *bytes, size_t size);

#endif
