/* QUESTION  How fast does a delivery make files of a stream? What do lines, a transform that keeps all, partitions by a
 *           field and compression cost? And where is the time without a disk: into a callback?
 * WORKLOAD  A stream of one shard with 256 MiB of JSON records, of one size, read from the page cache; objects of
 *           64 MiB; durability KERNEL. A file is synced before it has its name, so `files` is the disk's; on a
 *           tmpfs, or into a callback that does nothing, it is the library's. Each case is a delivery of its
 *           own, from the oldest record to the newest, on one thread.
 * UNIT      megabytes (10^6) of records' data, and records, per second; seconds of processor time. The median of 3
 *           runs, after one that is not counted.
 *
 *   delivery [MIB]                      so much data instead of 256 MiB
 *
 * One line per case and size:
 *   DELIVERY  case  record_bytes  records  objects  mb_per_s  records_per_s  cpu_s */
#include "bench.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define OBJECT_BYTES (UINT64_C(64) << 20)
#define ROUNDS 3
#define BATCH 500u
#define NAME "measured"

typedef struct workload {
    ls_stream *stream;
    size_t record_bytes;
    uint64_t records;
    const char *out; /* where files go */
} workload;

static uint64_t objects; /* of the last run: what the callback was given, or the files that are there */

static int count_file(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)path;
    (void)status;
    (void)place;
    objects += kind == FTW_F;
    return 0;
}

static ls_status take(const ls_delivery_object *object, void *user)
{
    (void)object;
    (void)user;
    objects++;
    return LS_OK;
}

static ls_transform_answer keep_all(ls_transform *batch, void *user)
{
    (void)user;
    for (size_t i = 0; i < ls_transform_count(batch); i++)
        (void)ls_transform_keep(batch, i); /* It cannot be refused. */
    return LS_TRANSFORM_DONE;
}

/* Whole JSON of exactly `size` bytes, of one of 16 sensors. */
static void make_record(char *to, size_t size, uint64_t number)
{
    char head[64];
    int used = snprintf(head, sizeof head, "{\"number\":%llu,\"sensor\":\"s-%02u\",\"trace\":\"",
                        (unsigned long long)number, (unsigned)(bench_random() % 16)); /* At most 55 characters. */

    memcpy(to, head, (size_t)used);
    for (size_t i = (size_t)used; i < size - 2; i++)
        to[i] = (char)('a' + bench_random() % 16);
    memcpy(to + size - 2, "\"}", 2);
}

static void put_all(const workload *of)
{
    ls_put_entry entries[BATCH];
    char *data = bench_memory(BATCH * of->record_bytes);
    ls_producer *producer;
    size_t failed;

    if (ls_producer_open(of->stream, NULL, &producer) != LS_OK)
        bench_fail_ls("ls_producer_open");
    memset(entries, 0, sizeof entries);
    for (uint64_t done = 0; done < of->records; done += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++) {
            char *at = data + i * of->record_bytes;

            make_record(at, of->record_bytes, done + i);
            entries[i].partition_key = (ls_bytes){"k", 1};
            entries[i].data = (ls_bytes){at, of->record_bytes};
        }
        if (ls_producer_put_batch(producer, entries, BATCH, NULL, NULL, &failed) != LS_OK)
            bench_fail_ls("ls_producer_put_batch");
    }
    if (ls_producer_close(producer) != LS_OK)
        bench_fail_ls("ls_producer_close");
    free(data);
}

static void run_once(const workload *of, const ls_delivery_options *options)
{
    const ls_position start = {.kind = LS_TRIM_HORIZON};
    ls_delivery_run_options how = LS_DELIVERY_RUN_OPTIONS_INIT;
    ls_delivery *delivery;

    how.flags = LS_DELIVERY_UNTIL_CAUGHT_UP;
    if ((options->flags & LS_DELIVERY_TRANSFORM) != 0)
        how.transform = keep_all;
    if ((options->flags & LS_DELIVERY_TO_CALLBACK) != 0)
        how.deliver = take;
    if (ls_delivery_create(of->stream, NAME, &start, options) != LS_OK)
        bench_fail_ls("ls_delivery_create");
    if (ls_delivery_open(of->stream, NAME, &delivery) != LS_OK)
        bench_fail_ls("ls_delivery_open");
    if (ls_delivery_run(delivery, &how) != LS_OK)
        bench_fail_ls("ls_delivery_run");
    if (ls_delivery_close(delivery) != LS_OK)
        bench_fail_ls("ls_delivery_close");
    if (ls_delivery_delete(of->stream, NAME) != LS_OK)
        bench_fail_ls("ls_delivery_delete");
}

static void measure(const workload *of, const char *name, const ls_delivery_options *options)
{
    double seconds[ROUNDS], cpu[ROUNDS], median;

    for (int round = -1; round < ROUNDS; round++) {
        double cpu_before = bench_cpu_seconds(RUSAGE_SELF);
        uint64_t before;

        objects = 0;
        before = bench_now_ns();
        run_once(of, options);
        if (round >= 0) {
            seconds[round] = (double)(bench_now_ns() - before) / 1e9;
            cpu[round] = bench_cpu_seconds(RUSAGE_SELF) - cpu_before;
        }
        if ((options->flags & LS_DELIVERY_TO_CALLBACK) == 0)
            (void)nftw(of->out, count_file, 16, FTW_PHYS); /* What is not there has no objects. */
        bench_remove(of->out);
    }
    median = bench_median(seconds, ROUNDS);
    (void)printf("DELIVERY\tcase=%s\trecord_bytes=%zu\trecords=%llu\tobjects=%llu\tmb_per_s=%.0f\t"
                 "records_per_s=%.0f\tcpu_s=%.3f\n", name, of->record_bytes, (unsigned long long)of->records,
                 (unsigned long long)objects, (double)(of->records * of->record_bytes) / median / 1e6,
                 (double)of->records / median, bench_median(cpu, ROUNDS));
    (void)fflush(stdout);
}

static void measure_all(const workload *of)
{
    static const char *const keys[] = {"sensor"}, *const queries[] = {".sensor"};
    ls_delivery_options plain = LS_DELIVERY_OPTIONS_INIT, other;

    plain.buffer_bytes = OBJECT_BYTES;
    plain.directory = of->out;
    measure(of, "files", &plain);
    other = plain;
    other.delimiter = "\n";
    measure(of, "lines", &other);
    other.compression = LS_DELIVERY_ZSTD;
    measure(of, "zstd", &other);
    other = plain;
    other.directory = NULL;
    other.flags = LS_DELIVERY_TO_CALLBACK;
    measure(of, "callback", &other);
    other.flags |= LS_DELIVERY_TRANSFORM;
    measure(of, "transform", &other);
    other.flags = LS_DELIVERY_TO_CALLBACK | LS_DELIVERY_PARTITION;
    other.prefix = "sensor=!{partitionKeyFromQuery:sensor}/";
    other.error_prefix = "bad/!{firehose:error-output-type}/";
    other.partition_key_count = 1;
    other.partition_keys = keys;
    other.partition_queries = queries;
    measure(of, "partitions", &other);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {100, 1000, 10000};
    uint64_t bytes = (argc > 1 ? strtoull(argv[1], NULL, 10) : 256) << 20;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    char path[4096], out[4096];

    if (bytes == 0)
        bench_fail("MIB is a number above 0");
    options.durability = LS_DURABILITY_KERNEL;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        workload of = {.record_bytes = sizes[i], .records = bytes / sizes[i] / BATCH * BATCH + BATCH, .out = out};
        ls_store *store;

        (void)snprintf(path, sizeof path, "%s/store", bench_directory());
        (void)snprintf(out, sizeof out, "%s/out", bench_directory());
        bench_fresh_directory(path);
        if (ls_store_open(path, &options, &store) != LS_OK)
            bench_fail_ls("ls_store_open");
        if (ls_stream_create(store, "s", NULL) != LS_OK || ls_stream_open(store, "s", &of.stream) != LS_OK)
            bench_fail_ls("ls_stream_open");
        put_all(&of);
        measure_all(&of);
        if (ls_stream_close(of.stream) != LS_OK || ls_store_close(store) != LS_OK)
            bench_fail_ls("ls_store_close");
        bench_remove(path);
    }
    return 0;
}
