/* give.h for processors with AVX2. */
#include "storage/reader.h"

#include "base/hash_wide.h"

#ifdef LSI_HASH_WIDE

/* What needs no AVX2 comes before the line below, and may be inlined behind it; also so that no copy of an inline
 * function of others' headers is compiled for AVX2 and then taken by the linker for all. */
#include <immintrin.h>

#include "storage/frame_read.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#define LSI_GIVE_AVX2
#include "storage/give.h"

void lsi_give_frames_avx2(lsi_log_reader *reader, uint64_t stop, lsi_read_batch *to)
{
    give_frames(reader, stop, to);
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
