/* QUESTION  What does placing a key cost: by itself, and many at once in each width of lanes that this processor has?
 * WORKLOAD  500 distinct keys, as of one large put, of 16 and of 40 bytes; their MD5 as numbers. Keys and results stay
 *           in the first caches, so this is the hash alone.
 * UNIT      nanoseconds per key; the median, and the best, of 101 runs of 100 times 500 keys, after 10 that are not
 *           counted.
 *
 *   hash_keys
 *
 * One line per way and size; lanes=1 is one key after the other:
 *   HASH  lanes  key_bytes  ns_per_key  best_ns_per_key */
#include "bench.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/md5.h"

#define KEYS 500u
#define TIMES 100u
#define RUNS 101u
#define WARM_UP 10u

static char text[KEYS][64];
static ls_bytes keys[KEYS];
static ls_hash_key places[KEYS];

static void hash_one_by_one(void)
{
    for (uint32_t i = 0; i < KEYS; i++)
        places[i] = lsi_hash_partition_key(keys[i]);
}

static void measure(unsigned lanes, size_t key_bytes)
{
    double ns_per_key[RUNS], median;

    for (uint32_t i = 0; i < KEYS; i++)
        keys[i] = (ls_bytes){text[i], key_bytes};
    for (unsigned run = 0; run < RUNS + WARM_UP; run++) {
        uint64_t began = bench_now_ns();

        for (unsigned time = 0; time < TIMES; time++)
            if (lanes == 1)
                hash_one_by_one();
            else
                lsi_hash_partition_keys(keys, KEYS, places);
        ns_per_key[run < WARM_UP ? 0 : run - WARM_UP] = (double)(bench_now_ns() - began) / (KEYS * TIMES);
    }
    median = bench_median(ns_per_key, RUNS); /* Sorts them. */
    (void)printf("HASH\tlanes=%u\tkey_bytes=%zu\tns_per_key=%.1f\tbest_ns_per_key=%.1f\n", lanes, key_bytes, median,
                 ns_per_key[0]);
    (void)fflush(stdout);
}

int main(void)
{
    static const unsigned widths[] = {1, 4, 8, 16};
    static const size_t sizes[] = {16, 40};

    for (uint32_t i = 0; i < KEYS; i++)
        (void)snprintf(text[i], sizeof(text[i]), "sensor-%09u of the plant at the river", i);
    for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++)
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
            if (lsi_md5_lanes_force(widths[w]))
                measure(widths[w], sizes[s]);
    return 0;
}
