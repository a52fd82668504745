/* The ways to one sum, for long runs and as wide as the processor allows. What the files of the sum share, and for
 * tests; others include base/hash.h. */
#ifndef LSI_BASE_HASH_WIDE_H
#define LSI_BASE_HASH_WIDE_H

#include <stdbool.h>

#include "base/hash.h"

#if defined(__GNUC__) && defined(__x86_64__)
#define LSI_HASH_WIDE 1
/* Whether what is compiled for AVX2 may be called on this processor. */
bool lsi_sum64_has_avx2(void);
uint64_t lsi_sum64_avx2(const void *bytes, size_t size, uint64_t seed);
#endif

/* With what every processor of the kind has. All give the same sums, of any size. */
uint64_t lsi_sum64_plain(const void *bytes, size_t size, uint64_t seed);

#endif
