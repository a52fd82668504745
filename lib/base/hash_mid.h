/* The sum of 33 to 240 bytes without a seed, by vectors of 32 bytes: XXH3 takes such runs by products of 64 by 64
 * bits, 16 bytes of input each, one after another. Four products at once, made of products of 32 by 32 bits, take half
 * the time of the package's code, which has no vectors for them; a frame of one small record is checked twice as fast.
 *
 * To be included where functions are compiled for AVX2 (hash_avx2.c shows how). XXH3 is frozen, so its constants are
 * too; a test compares every length with the package's. */
#ifndef LSI_BASE_HASH_MID_H
#define LSI_BASE_HASH_MID_H

#include <immintrin.h>
#include <string.h>

#include "base/hash_short.h"

static inline uint64_t lsi_sum64_mid_word(const void *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

/* One step of XXH3: 16 bytes and 16 of the secret. */
static inline uint64_t lsi_sum64_mid_step(const unsigned char *at, const unsigned char *secret)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)(lsi_sum64_mid_word(at) ^ lsi_sum64_mid_word(secret)) *
                   (lsi_sum64_mid_word(at + 8) ^ lsi_sum64_mid_word(secret + 8));

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Four steps: two at `a` and two at `b`; words `i` to `l` of the secret are theirs, each with the one behind it. The
 * sum of each of the four. */
static inline __m256i lsi_sum64_mid_steps(const unsigned char *a, const unsigned char *b, unsigned i, unsigned j,
                                          unsigned k, unsigned l)
{
    const uint64_t *s = lsi_sum64_secret;
    __m256i secret_a = _mm256_set_epi64x((int64_t)s[j + 1], (int64_t)s[j], (int64_t)s[i + 1], (int64_t)s[i]);
    __m256i secret_b = _mm256_set_epi64x((int64_t)s[l + 1], (int64_t)s[l], (int64_t)s[k + 1], (int64_t)s[k]);
    __m256i in_a = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(const void *)a), secret_a);
    __m256i in_b = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(const void *)b), secret_b);
    __m256i x = _mm256_unpacklo_epi64(in_a, in_b), y = _mm256_unpackhi_epi64(in_a, in_b);
    __m256i x_high = _mm256_srli_epi64(x, 32), y_high = _mm256_srli_epi64(y, 32);
    __m256i low = _mm256_mul_epu32(x, y), high = _mm256_mul_epu32(x_high, y_high);
    __m256i cross = _mm256_mul_epu32(x_high, y), other = _mm256_mul_epu32(x, y_high);
    /* Neither sum passes 64 bits. */
    __m256i middle = _mm256_add_epi64(_mm256_add_epi64(_mm256_srli_epi64(low, 32), other),
                                      _mm256_blend_epi32(cross, _mm256_setzero_si256(), 0xaa));
    __m256i upper = _mm256_add_epi64(_mm256_add_epi64(_mm256_srli_epi64(cross, 32), _mm256_srli_epi64(middle, 32)),
                                     high);

    return _mm256_xor_si256(upper, _mm256_blend_epi32(low, _mm256_slli_epi64(middle, 32), 0xaa));
}

static inline uint64_t lsi_sum64_mid_total(__m256i sums)
{
    __m128i two = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));

    return (uint64_t)_mm_cvtsi128_si64(_mm_add_epi64(two, _mm_unpackhi_epi64(two, two)));
}

/* `size` is LSI_SUM64_MID_MIN to LSI_SUM64_MID_MAX. */
static inline uint64_t lsi_sum64_mid(const void *bytes, size_t size)
{
    const unsigned char *at = bytes, *end = at + size, *secret = (const unsigned char *)lsi_sum64_secret;
    uint64_t sum = size * UINT64_C(0x9e3779b185ebca87);

    if (size <= 128) { /* Steps from both ends towards the middle. */
        __m256i sums = lsi_sum64_mid_steps(at, end - 32, 0, 4, 6, 2);

        if (size > 96)
            sums = _mm256_add_epi64(sums, lsi_sum64_mid_steps(at + 32, end - 64, 8, 12, 14, 10));
        else if (size > 64)
            sum += lsi_sum64_mid_step(at + 32, secret + 64) + lsi_sum64_mid_step(end - 48, secret + 80);
        return lsi_sum64_mixed(sum + lsi_sum64_mid_total(sums));
    }
    sum += lsi_sum64_mid_total(_mm256_add_epi64(lsi_sum64_mid_steps(at, at + 32, 0, 2, 4, 6),
                                                lsi_sum64_mid_steps(at + 64, at + 96, 8, 10, 12, 14)));
    sum = lsi_sum64_mixed(sum);
    secret += 3;
    for (at += 128; at + 16 <= end; at += 16, secret += 16)
        sum += lsi_sum64_mid_step(at, secret);
    secret = (const unsigned char *)lsi_sum64_secret + 136 - 17;
    return lsi_sum64_mixed(sum + lsi_sum64_mid_step(end - 16, secret));
}

#endif
