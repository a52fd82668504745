/* Unsigned 128-bit numbers without a compiler's 128-bit type, which 32-bit processors lack. Only the division and the
 * decimal forms take more than a few instructions, and neither is on the path of a put. */
#include "base/u128.h"

#include <string.h>

int lsi_u128_compare(ls_hash_key a, ls_hash_key b)
{
    if (a.high != b.high)
        return a.high < b.high ? -1 : 1;
    if (a.low != b.low)
        return a.low < b.low ? -1 : 1;
    return 0;
}

ls_hash_key lsi_u128_add(ls_hash_key a, ls_hash_key b)
{
    uint64_t low = a.low + b.low;

    return (ls_hash_key){a.high + b.high + (low < a.low), low};
}

ls_hash_key lsi_u128_subtract(ls_hash_key a, ls_hash_key b)
{
    return (ls_hash_key){a.high - b.high - (a.low < b.low), a.low - b.low};
}

ls_hash_key lsi_u128_multiply(ls_hash_key a, uint64_t b)
{
    uint64_t a0 = a.low & UINT32_MAX, a1 = a.low >> 32;
    uint64_t b0 = b & UINT32_MAX, b1 = b >> 32;
    uint64_t low = a0 * b0;
    /* At most (2^32-1)^2 + 2^32-1 each: neither sum overflows 64 bits. */
    uint64_t middle = a1 * b0 + (low >> 32);
    uint64_t middle2 = a0 * b1 + (middle & UINT32_MAX);
    uint64_t high = a1 * b1 + (middle >> 32) + (middle2 >> 32);

    return (ls_hash_key){high + a.high * b, (middle2 << 32) | (low & UINT32_MAX)};
}

ls_hash_key lsi_u128_whole_divided_by(uint64_t n)
{
    ls_hash_key quotient = {0, 0};
    uint64_t rest = 1; /* the dividend's leading 1; 128 zero bits follow */

    /* Schoolbook, one bit at a time. `rest` < n, so the doubled one may need a 65th bit: `carry`. */
    for (int bit = 0; bit < 128; bit++) {
        uint64_t carry = rest >> 63;

        rest <<= 1;
        quotient.high = quotient.high << 1 | quotient.low >> 63;
        quotient.low <<= 1;
        if (carry != 0 || rest >= n) {
            rest -= n;
            quotient.low |= 1;
        }
    }
    return quotient;
}

void lsi_u128_to_decimal(ls_hash_key n, char text[LSI_U128_TEXT_BYTES])
{
    uint32_t limbs[4] = {(uint32_t)(n.high >> 32), (uint32_t)n.high, (uint32_t)(n.low >> 32), (uint32_t)n.low};
    char digits[45]; /* 5 times 9 */
    size_t at = sizeof digits;

    /* Nine digits per division by 10^9, from the right; 5 * 9 >= 39. */
    for (int group = 0; group < 5; group++) {
        uint64_t rest = 0;

        for (int i = 0; i < 4; i++) {
            uint64_t part = rest << 32 | limbs[i];

            limbs[i] = (uint32_t)(part / 1000000000u);
            rest = part % 1000000000u;
        }
        for (int i = 0; i < 9; i++) {
            digits[--at] = (char)('0' + rest % 10);
            rest /= 10;
        }
    }
    while (at < sizeof digits - 1 && digits[at] == '0')
        at++;
    memcpy(text, digits + at, sizeof digits - at);
    text[sizeof digits - at] = '\0';
}

bool lsi_u128_from_decimal(const char *text, size_t size, ls_hash_key *out)
{
    const ls_hash_key max_tenth = {UINT64_C(0x1999999999999999), UINT64_C(0x9999999999999999)};
    ls_hash_key n = {0, 0};

    if (size == 0 || size > 39 || (text[0] == '0' && size > 1))
        return false;
    for (size_t i = 0; i < size; i++) {
        ls_hash_key next;

        if (text[i] < '0' || text[i] > '9')
            return false;
        /* Only the 39th digit can pass 2^128, as 10^38 < 2^128; above floor((2^128-1) / 10) ten times n would wrap. */
        if (i == 38 && lsi_u128_compare(n, max_tenth) > 0)
            return false;
        n = lsi_u128_multiply(n, 10);
        next = lsi_u128_add(n, (ls_hash_key){0, (uint64_t)(text[i] - '0')});
        if (lsi_u128_compare(next, n) < 0)
            return false;
        n = next;
    }
    *out = n;
    return true;
}
