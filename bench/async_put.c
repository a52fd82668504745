/* QUESTION  How many durable records a second does one asynchronous producer take, and how long is it until a record
 *           has its outcome? Next to one record a call, 500 a call, and the bare file.
 * WORKLOAD  Records of 100 bytes with one of 1,000 keys of 7, in SYNC, by one thread. `flood`: as fast as it can, with
 *           the memory that is usual; then the queue is as long as that, and the time until an outcome says nothing.
 *           `paced`: RATE a second, polling the clock between puts. On 1 shard and on 4; packed into aggregates;
 *           numbered; both. `floor` writes 16,384 times 128 bytes to a file that is there already, and syncs it, again
 *           and again. A new store for each case.
 * UNIT      records per second from the first put to the last outcome; microseconds from a put to its outcome, and for
 *           the others from the beginning of a call to its end.
 *
 *   async_put [SECONDS [RATE]]     about so long per case, 2 by default; a fifth as many more come first and are not
 *                                  counted. 1,000,000 a second by default
 *
 * One line per case:
 *   ASYNC   case  shards  how  records  records_per_s  p50_us  p99_us  p99_9_us  max_us  cpu_us_per_record
 *   BESIDE  case  records  records_per_s  p50_us  p99_us */
#include "bench.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define RATE 1000000.0
#define KEYS 1000u
#define FLOOR_RECORDS 16384u
#define FLOOR_BYTES ((size_t)FLOOR_RECORDS * 128u)
#define FLOOR_ROUND 64u

static char keys[KEYS][8];
static char data[100];
static char location[4200];
static ls_store *store;
static ls_stream *stream;
static double rate = RATE;
static uint64_t *put_at, *took; /* by ticket - 1 */

static void open_all(uint32_t shards)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;

    bench_fresh_directory(location);
    options.shard_count = shards;
    if (ls_store_open(location, NULL, &store) != LS_OK || ls_stream_create(store, "async", &options) != LS_OK ||
        ls_stream_open(store, "async", &stream) != LS_OK)
        bench_fail_ls("open the store");
}

static void close_all(void)
{
    if (ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        bench_fail_ls("close the store");
    bench_remove(location);
}

static ls_put_entry entry_of(size_t i)
{
    return (ls_put_entry){{keys[i % KEYS], 7}, {data, sizeof(data)}, NULL};
}

static void tell(const ls_async_outcome *outcome, void *user)
{
    (void)user;
    if (outcome->status != LS_OK)
        bench_fail_ls("a record was not stored");
    took[outcome->ticket - 1] = bench_now_ns() - put_at[outcome->ticket - 1];
}

static void put_all(ls_async_producer *producer, size_t first, size_t count, bool is_paced)
{
    uint64_t began = bench_now_ns();

    for (size_t i = first; i < first + count; i++) {
        ls_put_entry entry = entry_of(i);
        uint64_t due = is_paced ? began + (uint64_t)((double)(i - first) * 1e9 / rate) : 0;

        do /* A put's time counts from the moment when it was due. */
            put_at[i] = bench_now_ns();
        while (put_at[i] < due);
        put_at[i] = is_paced ? due : put_at[i];
        if (ls_async_producer_put(producer, &entry, NULL, -1, NULL) != LS_OK)
            bench_fail_ls("put");
    }
    if (ls_async_producer_flush(producer, -1, NULL) != LS_OK)
        bench_fail_ls("flush");
}

static const char *how_of(uint32_t flags)
{
    static const char *const names[] = {"plain", "packed", "numbered", "both"};

    return names[flags]; /* LS_ASYNC_AGGREGATE is 1, LS_ASYNC_IDEMPOTENT 2. */
}

static void measure(const char *name, uint32_t shards, uint32_t flags, size_t count)
{
    bool is_paced = strcmp(name, "paced") == 0;
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    ls_async_producer *producer;
    size_t warm_up = count / 5;
    double seconds, cpu;
    uint64_t began;

    open_all(shards);
    options.flags = flags;
    if (ls_async_producer_open(stream, &options, &producer, tell, NULL) != LS_OK)
        bench_fail_ls("open the producer");
    put_all(producer, 0, warm_up, is_paced);
    cpu = bench_cpu_seconds(RUSAGE_SELF);
    began = bench_now_ns();
    put_all(producer, warm_up, count, is_paced);
    seconds = (double)(bench_now_ns() - began) / 1e9;
    cpu = bench_cpu_seconds(RUSAGE_SELF) - cpu;
    if (ls_async_producer_close(producer, -1) != LS_OK)
        bench_fail_ls("close the producer");
    close_all();
    bench_sort(took + warm_up, count);
    (void)printf("ASYNC\tcase=%s\tshards=%" PRIu32 "\thow=%s\trecords=%zu\trecords_per_s=%.0f\tp50_us=%.0f"
                 "\tp99_us=%.0f\tp99_9_us=%.0f\tmax_us=%.0f\tcpu_us_per_record=%.3f\n",
                 name, shards, how_of(flags), count, (double)count / seconds,
                 bench_percentile_us(took + warm_up, count, 0.5), bench_percentile_us(took + warm_up, count, 0.99),
                 bench_percentile_us(took + warm_up, count, 0.999), bench_percentile_us(took + warm_up, count, 1),
                 cpu * 1e6 / (double)count);
    (void)fflush(stdout);
}

static void print_beside(const char *name, size_t calls, size_t per_call, uint64_t began)
{
    double seconds = (double)(bench_now_ns() - began) / 1e9;

    bench_sort(took, calls);
    (void)printf("BESIDE\tcase=%s\trecords=%zu\trecords_per_s=%.0f\tp50_us=%.0f\tp99_us=%.0f\n", name, calls * per_call,
                 (double)(calls * per_call) / seconds, bench_percentile_us(took, calls, 0.5),
                 bench_percentile_us(took, calls, 0.99));
    (void)fflush(stdout);
}

static void measure_calls(const char *name, size_t per_call, double for_seconds)
{
    static ls_put_entry entries[500];
    ls_producer *producer;
    uint64_t began;
    size_t calls = 0;

    open_all(1);
    for (size_t i = 0; i < per_call; i++)
        entries[i] = entry_of(i);
    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("open the producer");
    for (began = bench_now_ns(); (double)(bench_now_ns() - began) < for_seconds * 1e9; calls++) {
        uint64_t called = bench_now_ns();
        size_t failed = 1;

        if (ls_producer_put_batch(producer, entries, per_call, NULL, NULL, &failed) != LS_OK || failed != 0)
            bench_fail_ls("put a batch");
        took[calls] = bench_now_ns() - called;
    }
    print_beside(name, calls, per_call, began);
    if (ls_producer_close(producer) != LS_OK)
        bench_fail_ls("close the producer");
    close_all();
}

static void measure_floor(double for_seconds)
{
    char *bytes = bench_memory(FLOOR_BYTES);
    int file = open(location, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint64_t began;
    size_t calls = 0;

    memset(bytes, 'f', FLOOR_BYTES);
    for (size_t i = 0; i < FLOOR_ROUND; i++)
        if (file < 0 || pwrite(file, bytes, FLOOR_BYTES, (off_t)(i * FLOOR_BYTES)) != (ssize_t)FLOOR_BYTES)
            bench_fail("write a file");
    if (fsync(file) != 0)
        bench_fail("fsync");
    for (began = bench_now_ns(); (double)(bench_now_ns() - began) < for_seconds * 1e9; calls++) {
        uint64_t called = bench_now_ns();

        if (pwrite(file, bytes, FLOOR_BYTES, (off_t)(calls % FLOOR_ROUND * FLOOR_BYTES)) != (ssize_t)FLOOR_BYTES ||
            fdatasync(file) != 0)
            bench_fail("write a file");
        took[calls] = bench_now_ns() - called;
    }
    print_beside("floor", calls, FLOOR_RECORDS, began);
    (void)close(file);
    (void)unlink(location);
    free(bytes);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
    size_t count;

    rate = argc > 2 ? strtod(argv[2], NULL) : RATE;
    if (seconds <= 0 || seconds > 3600 || rate < 1 || rate > 1e9) {
        (void)fprintf(stderr, "usage: async_put [SECONDS [RATE]]\n");
        return 2;
    }
    count = (size_t)(seconds * rate);
    put_at = bench_memory((count + count / 5) * sizeof(*put_at));
    took = bench_memory((count + count / 5) * sizeof(*took));
    memset(data, 'd', sizeof(data));
    for (unsigned i = 0; i < KEYS; i++)
        (void)snprintf(keys[i], sizeof(keys[i]), "key-%03u", i);
    (void)snprintf(location, sizeof(location), "%s/async", bench_directory());
    measure_floor(seconds);
    measure_calls("one", 1, seconds);
    measure_calls("batch500", 500, seconds);
    measure("flood", 1, 0, count);
    measure("flood", 4, 0, count);
    measure("paced", 1, 0, count);
    measure("paced", 4, 0, count);
    measure("paced", 1, LS_ASYNC_AGGREGATE, count);
    measure("paced", 1, LS_ASYNC_IDEMPOTENT, count);
    measure("paced", 1, LS_ASYNC_AGGREGATE | LS_ASYNC_IDEMPOTENT, count);
    free(put_at);
    free(took);
    return 0;
}
