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

/* As lsi_sum64. Best with a size or a seed that the compiler knows. */
static inline uint64_t lsi_sum64_inline(const void *bytes, size_t size, uint64_t seed)
{
    return size <= LSI_SUM64_MID_MAX ? XXH3_64bits_withSeed(bytes, size, seed) : lsi_sum64(bytes, size, seed);
}

#endif
