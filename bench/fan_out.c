/* QUESTION  Do several registered consumers slow each other down at a rate that one shard of a provisioned stream
 *           takes? And how long is a record on its way to each of them?
 * WORKLOAD  One process puts records of 1,000 bytes, one per call, at 1,000 a second (a shard's whole limit, nearly) in
 *           KERNEL into one shard with Kinesis's limits; 1 and 5 consumers, each a process of its own, subscribe from
 *           LATEST. For comparison 1 and 5 iterators, which share 2 MiB and 5 reads a second: they are given twice the
 *           time of the puts. A record's lag is from just before its put to its callback.
 * UNIT      microseconds of lag, over the records of all consumers, and for the slowest one by itself; the part of all
 *           records that the slowest one got in its time.
 *
 *   fan_out [SECONDS]      of puts per case, 3 by default
 *
 * One line per case:
 *   FAN_OUT  readers  count  records  got_least  p50_us  p90_us  p99_us  slowest_p50_us  slowest_p99_us  max_us */
#include "bench.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PER_SECOND 1000u
#define READERS_MAX 5u
#define RECORD_BYTES 1000u
#define STREAM "fan-out"

typedef struct shared {
    _Atomic uint32_t ready;
    _Atomic uint32_t got[READERS_MAX];
    uint64_t lag_ns[]; /* [READERS_MAX * records] */
} shared;

typedef struct reader {
    shared *share;
    uint32_t index;
    uint32_t records; /* to come */
    bool has_begun;
} reader;

static char location[4200];
static ls_store *store;
static ls_stream *stream;

static void open_all(bool create)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options provisioned = LS_STREAM_OPTIONS_INIT;

    options.durability = create ? LS_DURABILITY_KERNEL : LS_DURABILITY_DEFAULT;
    provisioned.mode = LS_STREAM_PROVISIONED;
    if (ls_store_open(location, &options, &store) != LS_OK)
        bench_fail_ls("open the store");
    if (create && ls_stream_create(store, STREAM, &provisioned) != LS_OK)
        bench_fail_ls("create the stream");
    if (ls_stream_open(store, STREAM, &stream) != LS_OK)
        bench_fail_ls("open the stream");
}

static void close_all(void)
{
    if (ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        bench_fail_ls("close");
}

static void name_of(uint32_t index, char name[16])
{
    (void)snprintf(name, 16, "reader-%" PRIu32, index);
}

/* ---- reading ---- */

/* True: that was all. */
static bool note(reader *of, const ls_batch *batch)
{
    uint64_t now = bench_now_ns();
    uint32_t got = atomic_load_explicit(&of->share->got[of->index], memory_order_relaxed);

    for (size_t i = 0; i < ls_batch_count(batch) && got < of->records; i++) {
        uint64_t put_at;

        memcpy(&put_at, ls_batch_at(batch, i)->data.data, sizeof(put_at));
        of->share->lag_ns[(size_t)of->index * of->records + got++] = now - put_at;
    }
    atomic_store_explicit(&of->share->got[of->index], got, memory_order_release);
    return got == of->records;
}

static ls_push_answer pushed(const ls_batch *batch, void *user)
{
    reader *of = user;

    if (!of->has_begun) {
        of->has_begun = true;
        (void)atomic_fetch_add(&of->share->ready, 1);
    }
    return note(of, batch) ? LS_PUSH_STOP : LS_PUSH_DONE;
}

static void read_by_subscription(reader *of)
{
    const ls_position latest = {.kind = LS_LATEST};
    ls_consumer *consumer;
    char name[16];

    name_of(of->index, name);
    if (ls_consumer_open(stream, name, &consumer) != LS_OK ||
        ls_consumer_subscribe(consumer, 0, &latest, NULL, pushed, of) != LS_OK)
        bench_fail_ls("subscribe");
    (void)ls_consumer_close(consumer); /* the process ends */
}

static void read_by_iterator(reader *of)
{
    const ls_position latest = {.kind = LS_LATEST};
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator;
    const ls_batch *batch;

    options.timeout_ms = -1; /* waits for its turn too */
    if (ls_iterator_open(stream, 0, &latest, NULL, &iterator) != LS_OK)
        bench_fail_ls("open an iterator");
    (void)atomic_fetch_add(&of->share->ready, 1);
    do {
        if (ls_iterator_next(iterator, &options, &batch) != LS_OK)
            bench_fail_ls("read");
    } while (!note(of, batch));
    ls_iterator_close(iterator);
}

static pid_t start_reader(reader *of, bool subscribes)
{
    pid_t child = fork();

    if (child < 0)
        bench_fail("fork");
    if (child > 0)
        return child;
    open_all(false);
    if (subscribes)
        read_by_subscription(of);
    else
        read_by_iterator(of);
    _exit(0);
}

/* ---- putting ---- */

static void sleep_until(uint64_t due)
{
    const struct timespec at = {(time_t)(due / 1000000000), (long)(due % 1000000000)};

    while (bench_now_ns() < due)
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void put_all(uint32_t records)
{
    char data[RECORD_BYTES] = {0};
    ls_producer *producer;
    uint64_t began;

    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("open a producer");
    began = bench_now_ns();
    for (uint32_t i = 0; i < records; i++) {
        uint64_t now;
        ls_status st;

        sleep_until(began + (uint64_t)i * 1000000000 / PER_SECOND);
        now = bench_now_ns();
        memcpy(data, &now, sizeof(now));
        st = ls_producer_put(producer, (ls_bytes){"key", 3}, (ls_bytes){data, sizeof(data)}, NULL, NULL);
        if (st != LS_OK)
            bench_fail_ls("put");
    }
    if (ls_producer_close(producer) != LS_OK)
        bench_fail_ls("close the producer");
}

/* ---- a case ---- */

/* Waits until all have all, but no longer than until then. */
static void await_readers(const shared *share, uint32_t count, uint32_t records, uint64_t until)
{
    for (uint32_t i = 0; i < count;) {
        if (atomic_load_explicit(&share->got[i], memory_order_acquire) == records)
            i++;
        else if (bench_now_ns() > until)
            return;
        else
            (void)usleep(1000);
    }
}

static void print_case(const char *readers, shared *share, uint32_t count, uint32_t records)
{
    uint64_t *all = bench_memory((size_t)count * records * sizeof(*all));
    double slowest_p50 = 0, slowest_p99 = 0;
    uint32_t least = records;
    size_t got_all = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t got = atomic_load_explicit(&share->got[i], memory_order_acquire);
        uint64_t *own = &all[got_all];
        double p50, p99;

        memcpy(own, &share->lag_ns[(size_t)i * records], got * sizeof(*own));
        bench_sort(own, got);
        p50 = bench_percentile_us(own, got, 0.5);
        p99 = bench_percentile_us(own, got, 0.99);
        slowest_p50 = p50 > slowest_p50 ? p50 : slowest_p50;
        slowest_p99 = p99 > slowest_p99 ? p99 : slowest_p99;
        least = got < least ? got : least;
        got_all += got;
    }
    bench_sort(all, got_all);
    (void)printf("FAN_OUT\treaders=%s\tcount=%" PRIu32 "\trecords=%" PRIu32 "\tgot_least=%.3f\tp50_us=%.1f\t"
                 "p90_us=%.1f\t"
                 "p99_us=%.1f\tslowest_p50_us=%.1f\tslowest_p99_us=%.1f\tmax_us=%.1f\n", readers, count, records,
                 (double)least / records, bench_percentile_us(all, got_all, 0.5),
                 bench_percentile_us(all, got_all, 0.9), bench_percentile_us(all, got_all, 0.99), slowest_p50,
                 slowest_p99, bench_percentile_us(all, got_all, 1));
    (void)fflush(stdout);
    free(all);
}

static void measure(bool subscribes, uint32_t count, uint32_t records)
{
    shared *share = bench_shared(sizeof(*share) + (size_t)count * records * sizeof(share->lag_ns[0]));
    pid_t children[READERS_MAX];
    reader readers[READERS_MAX];
    uint64_t began;

    (void)snprintf(location, sizeof(location), "%s/store", bench_directory());
    open_all(true);
    for (uint32_t i = 0; i < count; i++) {
        char name[16];

        name_of(i, name);
        if (ls_consumer_register(stream, name, NULL) != LS_OK)
            bench_fail_ls("register");
    }
    close_all(); /* A handle is of the process that opened it. */
    for (uint32_t i = 0; i < count; i++) {
        readers[i] = (reader){.share = share, .index = i, .records = records};
        children[i] = start_reader(&readers[i], subscribes);
    }
    while (atomic_load(&share->ready) < count)
        (void)usleep(1000);
    open_all(false);
    began = bench_now_ns();
    put_all(records);
    await_readers(share, count, records, began + (bench_now_ns() - began) * 2);
    print_case(subscribes ? "consumers" : "iterators", share, count, records);
    for (uint32_t i = 0; i < count; i++) {
        (void)kill(children[i], SIGKILL);
        (void)waitpid(children[i], NULL, 0);
    }
    close_all();
    bench_remove(location);
}

int main(int argc, char **argv)
{
    unsigned long seconds = argc > 1 ? strtoul(argv[1], NULL, 10) : 3;

    if (argc > 2 || seconds < 1 || seconds > 600) {
        (void)fputs("Usage: fan_out [SECONDS]   1 to 600, default 3\n", stderr);
        return 2;
    }
    (void)bench_directory();
    for (int subscribes = 1; subscribes >= 0; subscribes--)
        for (uint32_t count = 1; count <= READERS_MAX; count += READERS_MAX - 1)
            measure(subscribes != 0, count, (uint32_t)seconds * PER_SECOND);
    return 0;
}
