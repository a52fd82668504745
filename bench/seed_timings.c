/* QUESTION  How long do the two cases take that a published experiment timed on Amazon Kinesis, 212 records on 1 shard
 *           (10.36 s there) and 8,786 on 2 shards (276.68 s), one put_record at a time?
 * WORKLOAD  Records of 350 bytes of JSON, as a book with its description has; keys like titles, all different; in every
 *           durability mode, one record per call and 500 per call. A new store for each repetition. (examples/books
 *           times the same cases on made-up books, one record per call, in SYNC.)
 * UNIT      seconds of all puts (median of the repetitions), microseconds per call.
 *
 *   seed_timings [REPETITIONS]      5 by default; one more comes first and is not counted
 *
 * One line per case, mode and call size:
 *   SEED  mode  records  shards  per_call  seconds  seed_seconds  times_as_fast  p50_us  p99_us  max_us
 * `times_as_fast` is the seed's seconds divided by these. The seed's were spent on one round trip over the network per
 * record; these on one disk flush per call in SYNC, and on none in the other modes. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_MAX 8786u
#define PER_CALL_MAX 500u
#define TITLE_BYTES 64u
#define DATA_BYTES 350u
#define REPETITIONS_MAX 99u

struct seed_case {
    uint32_t records, shards;
    double seconds;
};

static const struct seed_case cases[] = {{212, 1, 10.36}, {8786, 2, 276.68}};
static const ls_durability modes[] = {LS_DURABILITY_SYNC, LS_DURABILITY_INTERVAL, LS_DURABILITY_KERNEL};

static ls_put_entry records[RECORDS_MAX];

static void make_records(void)
{
    char *titles = bench_memory((size_t)RECORDS_MAX * TITLE_BYTES);
    char *texts = bench_memory((size_t)RECORDS_MAX * DATA_BYTES);

    for (size_t i = 0; i < RECORDS_MAX; i++) {
        char *title = titles + i * TITLE_BYTES, *text = texts + i * DATA_BYTES;

        (void)snprintf(title, TITLE_BYTES, "The Collected Letters of Nobody, volume %zu", i);
        bench_json_record(text, DATA_BYTES, i);
        records[i].partition_key = (ls_bytes){title, strlen(title)};
        records[i].data = (ls_bytes){text, DATA_BYTES};
    }
}

/* Seconds of all puts; the time of each call goes to `latencies`. */
static double put_all(ls_stream *stream, uint32_t count, uint32_t per_call, uint64_t *latencies)
{
    ls_producer *producer;
    size_t call = 0;
    uint64_t began;
    double seconds;

    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("open the producer");
    began = bench_now_ns();
    for (uint32_t i = 0; i < count; i += per_call) {
        uint32_t now = count - i < per_call ? count - i : per_call;
        uint64_t call_began = bench_now_ns();
        size_t failed = 0;
        ls_record_id id;
        ls_status status = per_call == 1
            ? ls_producer_put(producer, records[i].partition_key, records[i].data, NULL, &id)
            : ls_producer_put_batch(producer, &records[i], now, NULL, NULL, &failed);

        latencies[call++] = bench_now_ns() - call_began;
        if (status != LS_OK || failed > 0)
            bench_fail_ls("put");
    }
    seconds = (double)(bench_now_ns() - began) / 1e9;
    if (ls_producer_close(producer) != LS_OK)
        bench_fail_ls("close the producer");
    return seconds;
}

static double one_store(const struct seed_case *one, ls_durability mode, uint32_t per_call, uint64_t *latencies)
{
    ls_store_options store_options = LS_STORE_OPTIONS_INIT;
    ls_stream_options stream_options = LS_STREAM_OPTIONS_INIT;
    char location[4200];
    ls_store *store;
    ls_stream *stream;
    double seconds;

    (void)snprintf(location, sizeof(location), "%s/store", bench_directory());
    store_options.durability = mode;
    stream_options.shard_count = one->shards;
    if (ls_store_open(location, &store_options, &store) != LS_OK ||
        ls_stream_create(store, "amazon-books", &stream_options) != LS_OK ||
        ls_stream_open(store, "amazon-books", &stream) != LS_OK)
        bench_fail_ls("open the store");
    seconds = put_all(stream, one->records, per_call, latencies);
    if (ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        bench_fail_ls("close the store");
    bench_remove(location);
    return seconds;
}

static void measure(const struct seed_case *one, ls_durability mode, uint32_t per_call, unsigned repetitions)
{
    size_t calls = (one->records + per_call - 1) / per_call;
    uint64_t *latencies = bench_memory(calls * repetitions * sizeof(*latencies));
    double seconds[REPETITIONS_MAX], median;

    (void)one_store(one, mode, per_call, latencies);
    for (unsigned i = 0; i < repetitions; i++)
        seconds[i] = one_store(one, mode, per_call, latencies + i * calls);
    calls *= repetitions;
    bench_sort(latencies, calls);
    median = bench_median(seconds, repetitions);
    (void)printf("SEED\tmode=%s\trecords=%u\tshards=%u\tper_call=%u\tseconds=%.6f\tseed_seconds=%.2f\t"
                 "times_as_fast=%.0f\tp50_us=%.1f\tp99_us=%.1f\tmax_us=%.1f\n",
                 bench_mode_name(mode), one->records, one->shards, per_call, median, one->seconds,
                 one->seconds / median, bench_percentile_us(latencies, calls, 0.5),
                 bench_percentile_us(latencies, calls, 0.99), bench_percentile_us(latencies, calls, 1));
    (void)fflush(stdout);
    free(latencies);
}

int main(int argc, char **argv)
{
    unsigned long repetitions = argc > 1 ? strtoul(argv[1], NULL, 10) : 5;

    if (argc > 2 || repetitions < 1 || repetitions > REPETITIONS_MAX) {
        (void)fputs("Usage: seed_timings [REPETITIONS]   1 to 99, default 5\n", stderr);
        return 2;
    }
    make_records();
    bench_warm_memory(UINT64_C(512) << 20);
    for (size_t mode = 0; mode < sizeof(modes) / sizeof(modes[0]); mode++)
        for (size_t one = 0; one < sizeof(cases) / sizeof(cases[0]); one++) {
            measure(&cases[one], modes[mode], 1, (unsigned)repetitions);
            measure(&cases[one], modes[mode], PER_CALL_MAX, (unsigned)repetitions);
        }
    return 0;
}
