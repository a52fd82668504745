/* The sum of a long run by vectors of 32 bytes: the package's header once more, compiled for processors with AVX2. A
 * file of its own, since the header can be included once. 64 bytes at once (AVX-512) were no faster on a Zen 4:
 * 48 GB/s each, 29 by SSE2. */
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

#define XXH_INLINE_ALL
#define XXH_VECTOR 2 /* XXH_AVX2: clang does not say __AVX2__ here. */
#include <xxhash.h>

uint64_t lsi_sum64_avx2(const void *bytes, size_t size, uint64_t seed)
{
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
