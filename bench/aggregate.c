/* QUESTION  What does aggregating cost a record, and what de-aggregating, beside the MD5 that the format asks for?
 * WORKLOAD  4,096 records of 100 bytes, key and data together, in aggregates of 51,200 bytes, the producer library's:
 *           with 1,024 keys in turn, and with a key of their own each. `pack` adds them and makes the records to put;
 *           `unpack` looks at each of them; `unpack_shard` also hashes their keys, as the reader of one of several
 *           shards does, to flag those of another. By one thread, in the processor's caches.
 * UNIT      nanoseconds per record; the best of 201 rounds, each without the best of `md5`, which is the message's hash
 *           by itself; after 3 rounds that are not counted. Not the median: a busy machine adds and never takes away.
 *
 *   aggregate
 *
 * One line per kind of keys:
 *   AGGREGATE  keys  records  aggregates  pack_ns  unpack_ns  unpack_shard_ns  md5_ns */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "stream/stream.h"

#define RECORD_BYTES 100u
#define AGGREGATE_BYTES 51200u
#define RECORDS 4096u
#define KEY_BYTES 8u
#define AGGREGATES_MAX 64u
#define ROUNDS 201u
#define WARM_UP 3u

static char keys[RECORDS][KEY_BYTES + 1], data[RECORDS][RECORD_BYTES];
static unsigned char packed[AGGREGATES_MAX][AGGREGATE_BYTES];
static ls_bytes aggregates[AGGREGATES_MAX];
static uint32_t aggregate_count;
static volatile uint64_t sink;

static void keep(lsi_pack *pack)
{
    lsi_packed one;

    if (lsi_pack_finish(pack, &one) != LS_OK || aggregate_count == AGGREGATES_MAX)
        bench_fail("packing");
    memcpy(packed[aggregate_count], one.data.data, one.data.size);
    aggregates[aggregate_count] = (ls_bytes){packed[aggregate_count], one.data.size};
    aggregate_count++;
    lsi_pack_clear(pack);
}

/* Of all records; `keeps`: for the rounds to come. */
static void pack_all(lsi_pack *pack, bool keeps)
{
    lsi_packed last;

    for (uint32_t i = 0; i < RECORDS; i++) {
        ls_bytes key = {keys[i], KEY_BYTES}, bytes = {data[i], RECORD_BYTES - KEY_BYTES};
        lsi_packed one;
        bool fits;

        if (lsi_pack_add(pack, key, NULL, bytes, &fits) != LS_OK)
            bench_fail("packing");
        if (fits)
            continue;
        i--;
        if (keeps) {
            keep(pack);
            continue;
        }
        if (lsi_pack_finish(pack, &one) != LS_OK)
            bench_fail("packing");
        sink += one.data.size;
        lsi_pack_clear(pack);
    }
    if (keeps) {
        keep(pack);
        return;
    }
    if (lsi_pack_finish(pack, &last) != LS_OK)
        bench_fail("packing");
    sink += last.data.size;
    lsi_pack_clear(pack);
}

static void unpack_all(lsi_unpack *unpack, const lsi_hash_range *range)
{
    ls_record records[256];

    for (uint32_t i = 0; i < aggregate_count; i++) {
        ls_record outer = {.data = aggregates[i]};
        bool is_aggregate;
        uint32_t count;

        if (lsi_unpack_begin(unpack, &outer, range, &is_aggregate) != LS_OK || !is_aggregate)
            bench_fail("unpacking");
        while ((count = lsi_unpack_next(unpack, records, 256, NULL)) != 0)
            for (uint32_t k = 0; k < count; k++)
                sink += records[k].data.size + records[k].flags;
    }
}

static void md5_all(void)
{
    unsigned char digest[16];

    for (uint32_t i = 0; i < aggregate_count; i++) {
        const unsigned char *at = aggregates[i].data;

        lsi_md5(at + 4, aggregates[i].size - LSI_AGGREGATE_EXTRA_BYTES, digest);
        sink += digest[0];
    }
}

static double best_of(const double *values)
{
    double best = values[0];

    for (uint32_t i = 1; i < ROUNDS; i++)
        best = values[i] < best ? values[i] : best;
    return best;
}

static void measure(const char *name)
{
    static double pack_ns[ROUNDS], unpack_ns[ROUNDS], shard_ns[ROUNDS], md5_ns[ROUNDS];
    lsi_hash_range half = lsi_hash_range_of(0, 2);
    lsi_unpack unpack = {.memory = &lsi_memory_libc};
    lsi_pack *pack;
    double md5;

    if (lsi_pack_open(&lsi_memory_libc, AGGREGATE_BYTES, UINT32_MAX, &pack) != LS_OK)
        bench_fail("packing");
    aggregate_count = 0;
    pack_all(pack, true);
    for (uint32_t i = 0; i < ROUNDS + WARM_UP; i++) {
        uint32_t round = i < WARM_UP ? 0 : i - WARM_UP;
        uint64_t at[5] = {bench_now_ns()};

        pack_all(pack, false);
        at[1] = bench_now_ns();
        unpack_all(&unpack, NULL);
        at[2] = bench_now_ns();
        unpack_all(&unpack, &half);
        at[3] = bench_now_ns();
        md5_all();
        at[4] = bench_now_ns();
        pack_ns[round] = (double)(at[1] - at[0]) / RECORDS;
        unpack_ns[round] = (double)(at[2] - at[1]) / RECORDS;
        shard_ns[round] = (double)(at[3] - at[2]) / RECORDS;
        md5_ns[round] = (double)(at[4] - at[3]) / RECORDS;
    }
    md5 = best_of(md5_ns);
    (void)printf("AGGREGATE\tkeys=%s\trecords=%u\taggregates=%u\tpack_ns=%.1f\tunpack_ns=%.1f\tunpack_shard_ns=%.1f\t"
                 "md5_ns=%.1f\n", name, RECORDS, aggregate_count, best_of(pack_ns) - md5, best_of(unpack_ns) - md5,
                 best_of(shard_ns) - md5, md5);
    (void)fflush(stdout);
    lsi_unpack_free(&unpack);
    lsi_pack_close(pack);
}

int main(void)
{
    for (uint32_t i = 0; i < RECORDS; i++)
        bench_json_record(data[i], RECORD_BYTES, i);
    for (int distinct = 0; distinct < 2; distinct++) {
        for (uint32_t i = 0; i < RECORDS; i++)
            (void)snprintf(keys[i], sizeof keys[i], "k%07u", distinct ? i : i % 1024); /* 8 characters: they fit. */
        measure(distinct ? "distinct" : "1024");
    }
    return 0;
}
