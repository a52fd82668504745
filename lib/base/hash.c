/* Checksums.
 *
 * XXH3 is compiled in from the package's header: for the short runs that frames are made of, a call into the shared
 * library costs ten times the hash. */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t lsi_sum64(const void *bytes, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}
