/* Counting and checking UTF-8 as RFC 3629 has it.
 *
 * The first byte fixes the length and the range of the second, and those ranges alone exclude overlong forms,
 * surrogates and everything above U+10FFFF (the RFC's table in section 4). Eight ASCII bytes at once are the fast path:
 * keys are checked on every put and most of them are short and ASCII. */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

size_t lsi_utf8_first(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    unsigned char second_min = 0x80;
    unsigned char second_max = 0xbf;
    size_t length;

    if (size == 0)
        return 0;
    if (at[0] < 0x80)
        return 1;
    if (at[0] < 0xc2 || at[0] > 0xf4) /* A continuation, an overlong two-byte form, or above U+10FFFF. */
        return 0;
    length = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (size < length)
        return 0;
    switch (at[0]) {
    case 0xe0: /* below U+0800 is overlong */
        second_min = 0xa0;
        break;
    case 0xed: /* U+D800..U+DFFF are surrogates */
        second_max = 0x9f;
        break;
    case 0xf0: /* below U+10000 is overlong */
        second_min = 0x90;
        break;
    case 0xf4: /* U+10FFFF is the last */
        second_max = 0x8f;
        break;
    default:
        break;
    }
    if (at[1] < second_min || at[1] > second_max)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

size_t lsi_utf8_count(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    size_t count = 0;

    while (size > 0) {
        size_t step;

        if (size >= 8) {
            uint64_t eight;

            memcpy(&eight, at, sizeof eight);
            if ((eight & HIGH_BITS) == 0) {
                at += 8;
                size -= 8;
                count += 8;
                continue;
            }
        }
        step = lsi_utf8_first(at, size);
        if (step == 0)
            return LSI_UTF8_BAD;
        at += step;
        size -= step;
        count++;
    }
    return count;
}
