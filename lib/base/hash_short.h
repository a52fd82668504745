/* The sum of a short run, inline: a frame with one record is checked by two sums of little more than a hundred bytes,
 * where finding out the length and the call cost as much as the sum. For the few places that check frame after frame;
 * all others include base/hash.h. */
#ifndef LSI_BASE_HASH_SHORT_H
#define LSI_BASE_HASH_SHORT_H

#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Between these XXH3 takes ways of its own, for which the package has no vectors; hash_mid.h has, where there is no
 * seed. */
#define LSI_SUM64_MID_MIN 33u
#define LSI_SUM64_MID_MAX 240u

/* XXH3's secret, as far as it is used here. */
static const uint64_t lsi_sum64_secret[17] = {
    UINT64_C(0xbe4ba423396cfeb8), UINT64_C(0x1cad21f72c81017c), UINT64_C(0xdb979083e96dd4de),
    UINT64_C(0x1f67b3b7a4a44072), UINT64_C(0x78e5c0cc4ee679cb), UINT64_C(0x2172ffcc7dd05a82),
    UINT64_C(0x8e2443f7744608b8), UINT64_C(0x4c263a81e69035e0), UINT64_C(0xcb00c391bb52283c),
    UINT64_C(0xa32e531b8b65d088), UINT64_C(0x4ef90da297486471), UINT64_C(0xd8acdea946ef1938),
    UINT64_C(0x3f349ce33f76faa8), UINT64_C(0x1d4f0bc7c7bbdcf9), UINT64_C(0x3159b4cd4be0518a),
    UINT64_C(0x647378d9c97e9fc8), UINT64_C(0xc3ebd33483acc5ea),
};

/* How a sum of up to 240 bytes ends. */
static inline uint64_t lsi_sum64_mixed(uint64_t sum)
{
    sum = (sum ^ sum >> 37) * UINT64_C(0x165667919e3779f9);
    return sum ^ sum >> 32;
}

/* As lsi_sum64. Best with a size or a seed that the compiler knows. */
static inline uint64_t lsi_sum64_inline(const void *bytes, size_t size, uint64_t seed)
{
    return size <= LSI_SUM64_MID_MAX ? XXH3_64bits_withSeed(bytes, size, seed) : lsi_sum64(bytes, size, seed);
}

/* One step: 16 bytes, and 16 of the secret from word `i` on. */
static inline uint64_t lsi_sum64_step(uint64_t low, uint64_t high, unsigned i, uint64_t seed)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)(low ^ (lsi_sum64_secret[i] + seed)) * (high ^ (lsi_sum64_secret[i + 1] - seed));

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Of the 44 bytes that these words are in little-endian order, the last one's upper half left out. For words just
 * made: XXH3 reads such a run at odd places as well, and a processor waits to read across what it has just stored. */
static inline uint64_t lsi_sum64_44(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f,
                                    uint64_t seed)
{
    return lsi_sum64_mixed(44 * UINT64_C(0x9e3779b185ebca87) + lsi_sum64_step(c, d, 4, seed) +
                           lsi_sum64_step(b >> 32 | c << 32, c >> 32 | d << 32, 6, seed) +
                           lsi_sum64_step(a, b, 0, seed) +
                           lsi_sum64_step(d >> 32 | e << 32, e >> 32 | f << 32, 2, seed));
}

#endif
