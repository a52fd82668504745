/* QUESTION  None by itself: the work that `instructions` has a simulator count.
 * WORKLOAD  RECORDS records of 100 bytes with keys of 16, put as WORK says into a new store; then PASSES times read
 *           from first to last, every 8-byte word looked at.
 * UNIT      none; prints what was read.
 *
 *   fixed_work WORK RECORDS PASSES     WORK is put1, put500, shards4 (500 per call, keys all different) or sync1;
 *                                      numbered1, numbered500: as put1 and put500, numbered; async, async_packed,
 *                                      async_numbered, async_both: asynchronously, and read as they were put */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PER_CALL 500u
#define KEY_BYTES 16u

static char data[100];
static char keys[PER_CALL][KEY_BYTES];
static ls_put_entry entries[PER_CALL];
static ls_put_result results[PER_CALL];

static void fill_key(char *key, uint64_t number)
{
    memcpy(key, &number, sizeof(number));
    for (unsigned byte = 0; byte < sizeof(number); byte++)
        key[byte] = (char)('0' + (key[byte] & 63)); /* any key, but UTF-8 */
}

static void put_all(ls_stream *stream, unsigned per_call, uint64_t count, bool distinct, bool is_numbered)
{
    ls_put_options numbered = LS_PUT_OPTIONS_INIT, *options = is_numbered ? &numbered : NULL;
    ls_producer *producer;
    size_t failed;

    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("open the producer");
    for (unsigned k = 0; k < PER_CALL; k++) {
        memcpy(keys[k], "sensor-000000000", KEY_BYTES);
        entries[k].partition_key = (ls_bytes){keys[k], KEY_BYTES};
        entries[k].data = (ls_bytes){data, sizeof(data)};
    }
    if (is_numbered)
        numbered.producer.low = 1;
    for (uint64_t i = 0; i < count; i += per_call) {
        if (is_numbered)
            numbered.number = i + 1;
        for (unsigned k = 0; k < per_call; k++)
            fill_key(keys[k], distinct ? i + k : (i + k) & 1023);
        if (per_call == 1
                ? ls_producer_put(producer, entries[0].partition_key, entries[0].data, options, NULL) != LS_OK
                : ls_producer_put_batch(producer, entries, per_call, options, results, &failed) != LS_OK || failed > 0)
            bench_fail_ls("put");
    }
    if (ls_producer_close(producer) != LS_OK)
        bench_fail_ls("close the producer");
}

static void check_stored(const ls_async_outcome *outcome, void *user)
{
    (void)user;
    if (outcome->status != LS_OK)
        bench_fail_ls("put");
}

static void put_async(ls_stream *stream, uint64_t count, uint32_t flags)
{
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    char key[KEY_BYTES + 1] = "sensor-000000000";
    const ls_put_entry entry = {{key, KEY_BYTES}, {data, sizeof(data)}, NULL};
    ls_async_producer *producer;

    options.flags = flags;
    if (ls_async_producer_open(stream, &options, &producer, check_stored, NULL) != LS_OK)
        bench_fail_ls("open the producer");
    for (uint64_t i = 0; i < count; i++) {
        fill_key(key, i & 1023);
        if (ls_async_producer_put(producer, &entry, NULL, -1, NULL) != LS_OK)
            bench_fail_ls("put");
    }
    if (ls_async_producer_close(producer, -1) != LS_OK)
        bench_fail_ls("close the producer");
}

static uint64_t read_all(ls_stream *stream, uint64_t count, bool is_packed)
{
    ls_iterator_options reading = LS_ITERATOR_OPTIONS_INIT;
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator;
    uint64_t seen = 0, sum = 0;

    reading.flags = is_packed ? LS_ITERATOR_DEAGGREGATE : 0;
    if (ls_iterator_open_all(stream, NULL, &reading, &iterator) != LS_OK)
        bench_fail_ls("open the iterator");
    while (seen < count) {
        const ls_batch *batch;
        const ls_record *records;

        if (ls_iterator_next(iterator, &options, &batch) != LS_OK)
            bench_fail_ls("read");
        records = ls_batch_records(batch);
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const char *at = records[i].data.data;
            uint64_t word;

            for (size_t left = records[i].data.size; left >= sizeof(word); left -= sizeof(word), at += sizeof(word)) {
                memcpy(&word, at, sizeof(word));
                sum += word;
            }
        }
        seen += ls_batch_count(batch);
    }
    ls_iterator_close(iterator);
    return sum;
}

/* LS_ASYNC_ bits; UINT32_MAX: it does not put asynchronously. */
static uint32_t async_flags(const char *work)
{
    static const char *const names[] = {"async", "async_packed", "async_numbered", "async_both"};

    for (uint32_t flags = 0; flags < 4; flags++) /* LS_ASYNC_AGGREGATE is 1, LS_ASYNC_IDEMPOTENT 2. */
        if (strcmp(work, names[flags]) == 0)
            return flags;
    return UINT32_MAX;
}

int main(int argc, char **argv)
{
    const char *work = argc == 4 ? argv[1] : "";
    uint64_t count = argc == 4 ? strtoull(argv[2], NULL, 10) / PER_CALL * PER_CALL : 0, sum = 0;
    unsigned long passes = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options about = LS_STREAM_OPTIONS_INIT;
    bool is_numbered = strncmp(work, "numbered", 8) == 0, shards4 = strcmp(work, "shards4") == 0;
    bool batched = strcmp(work, "put500") == 0 || strcmp(work, "numbered500") == 0 || shards4;
    uint32_t flags = async_flags(work);
    char location[4200];
    ls_store *store;
    ls_stream *stream;

    if (count == 0 || (!batched && strcmp(work, "put1") != 0 && strcmp(work, "sync1") != 0 &&
                       strcmp(work, "numbered1") != 0 && flags == UINT32_MAX)) {
        (void)fputs("Usage: fixed_work put1|put500|shards4|sync1|numbered1|numbered500|async|async_packed|"
                    "async_numbered|async_both RECORDS PASSES\n", stderr);
        return 2;
    }
    bench_json_record(data, sizeof(data), 0);
    (void)snprintf(location, sizeof(location), "%s/store", bench_directory());
    options.durability = strcmp(work, "sync1") == 0 ? LS_DURABILITY_SYNC : LS_DURABILITY_KERNEL;
    about.shard_count = shards4 ? 4 : 1;
    if (ls_store_open(location, &options, &store) != LS_OK || ls_stream_create(store, "work", &about) != LS_OK ||
        ls_stream_open(store, "work", &stream) != LS_OK)
        bench_fail_ls("open");
    if (flags != UINT32_MAX)
        put_async(stream, count, flags);
    else
        put_all(stream, batched ? PER_CALL : 1, count, shards4, is_numbered);
    for (unsigned long pass = 0; pass < passes; pass++)
        sum += read_all(stream, count, flags != UINT32_MAX && (flags & LS_ASYNC_AGGREGATE) != 0);
    if (ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        bench_fail_ls("close");
    (void)printf("WORK\twork=%s\trecords=%" PRIu64 "\tpasses=%lu\tsum=%" PRIx64 "\n", work, count, passes, sum);
    return 0;
}
