/* Checksums.
 *
 * XXH3 is compiled in from the package's header: for the short runs that frames are made of, a call into the shared
 * library costs ten times the hash. A build for every x86-64 may use only 16 bytes of a vector at once; long runs go
 * faster where the processor has 32 (hash_avx2.c), which is found out at run time, as in md5_lanes.c. */
#include "base/hash_wide.h"

#include <stdatomic.h>

#include "base/hash_short.h"

uint64_t lsi_sum64_plain(const void *bytes, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}

#ifdef LSI_HASH_WIDE

typedef uint64_t (*sum_function)(const void *bytes, size_t size, uint64_t seed);

/* NULL until the first use. Relaxed everywhere: every thread that chooses makes the same choice. */
static _Atomic(sum_function) chosen;

bool lsi_sum64_has_avx2(void)
{
    __builtin_cpu_init(); /* For a call out of somebody's constructor. */
    return __builtin_cpu_supports("avx2");
}

static __attribute__((noinline)) uint64_t choose_and_sum(const void *bytes, size_t size, uint64_t seed)
{
    sum_function sum = lsi_sum64_has_avx2() ? lsi_sum64_avx2 : lsi_sum64_plain;

    atomic_store_explicit(&chosen, sum, memory_order_relaxed);
    return sum(bytes, size, seed);
}

uint64_t lsi_sum64(const void *bytes, size_t size, uint64_t seed)
{
    sum_function sum;

    if (size < LSI_SUM64_MID_MIN || (size <= LSI_SUM64_MID_MAX && seed != 0)) /* No vectors for these. */
        return XXH3_64bits_withSeed(bytes, size, seed);
    sum = atomic_load_explicit(&chosen, memory_order_relaxed);
    return sum != NULL ? sum(bytes, size, seed) : choose_and_sum(bytes, size, seed);
}

#else

uint64_t lsi_sum64(const void *bytes, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}

#endif
