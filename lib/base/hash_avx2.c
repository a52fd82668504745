/* Sums by vectors of 32 bytes: of long runs by the package's header once more, compiled for processors with AVX2, of
 * shorter ones by hash_mid.h. A file of its own, since the header can be included once. 64 bytes at once (AVX-512) were
 * no faster on a Zen 4: 48 GB/s each, 29 by SSE2. */
#include "base/hash_wide.h"

#ifdef LSI_HASH_WIDE

/* Everything that others' headers define inline comes before the line below, so that no copy of it is compiled for
 * AVX2 and then taken by the linker for all. */
#include <immintrin.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#define XXH_VECTOR 2 /* XXH_AVX2: clang does not say __AVX2__ here. */
#include "base/hash_mid.h"

uint64_t lsi_sum64_avx2(const void *bytes, size_t size, uint64_t seed)
{
    if (seed == 0 && size >= LSI_SUM64_MID_MIN && size <= LSI_SUM64_MID_MAX)
        return lsi_sum64_mid(bytes, size);
    return XXH3_64bits_withSeed(bytes, size, seed);
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else

typedef int lsi_no_such_vectors; /* A file may not be empty. */

#endif
