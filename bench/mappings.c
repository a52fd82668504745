/* QUESTION  How fast does a mapping hand records to a handler that does nothing, what does it cost that its progress is
 *           kept, and that it goes with what a handler puts, how long is a record on its way from a put to the handler,
 *           and what do mappings cost that have nothing to do?
 * WORKLOAD  throughput: 100-byte records in 4 shards, put before, handled by one run in INTERVAL, in batches of 10,000
 *           and of 1,000, with progress saved every 60 s (never, that is) and every 1 ms. exactly once: a tenth of
 *           them in batches of 1,000, each record put to a second stream of 4 shards: by ls_handler_put as one step
 *           with its batch, and by ls_producer_put_batch, at least once, with progress saved every 1 ms. latency: one
 *           process puts a record into one shard each 5 ms in KERNEL, another runs the mapping: from just before the
 *           put to the handler's start. idle: 1,000 mappings of one stream of one shard, then one of each of 1,000
 *           streams, run by as many threads of one process, for so many seconds after the first ones.
 * UNIT      records a second; microseconds; parts of one processor.
 *
 *   mappings [MILLIONS [SECONDS]]      records to hand over, 8 by default, 0: none; of latency and of idling, 5
 *
 * Lines:
 *   HANDED   batch  sync_ms  records  seconds  records_per_s
 *   PUT      how  batch  records  seconds  records_per_s
 *   LATENCY  records  p50_us  p90_us  p99_us  max_us
 *   IDLE     mappings  streams  seconds  cpu_seconds  cpu_part  switches_per_s */
#include "bench.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHARDS 4u
#define RECORD_BYTES 100u
#define PUT_AT_ONCE 10000u
#define IDLE 1000u

static char location[4200];
static _Atomic uint64_t idlers_handled;
static ls_store *store;
static ls_stream *stream;
static const ls_position horizon = {.kind = LS_TRIM_HORIZON};

static void open_all(ls_durability mode, uint32_t shards)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options of_stream = LS_STREAM_OPTIONS_INIT;

    options.durability = mode;
    of_stream.shard_count = shards;
    if (ls_store_open(location, &options, &store) != LS_OK)
        bench_fail_ls("open the store");
    if (shards != 0 && ls_stream_create(store, "s", &of_stream) != LS_OK)
        bench_fail_ls("create the stream");
    if (ls_stream_open(store, "s", &stream) != LS_OK)
        bench_fail_ls("open the stream");
}

static void close_all(void)
{
    if (ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        bench_fail_ls("close");
}

static void make_mapping(const char *name, uint32_t batch, uint32_t sync_ms)
{
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;

    options.records_max = batch;
    options.sync_interval_ms = sync_ms;
    options.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT;
    if (ls_mapping_create(stream, name, &horizon, &options) != LS_OK)
        bench_fail_ls("create the mapping");
}

static void run_mapping(const char *name, uint32_t flags, ls_batch_handler handler, void *user)
{
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping *mapping;

    how.flags = flags;
    if (ls_mapping_open(stream, name, &mapping) != LS_OK || ls_mapping_run(mapping, &how, handler, user) != LS_OK ||
        ls_mapping_close(mapping) != LS_OK)
        bench_fail_ls("run the mapping");
}

/* ---- throughput ---- */

static void fill(uint64_t count)
{
    static char data[RECORD_BYTES - 8];
    static char keys[PUT_AT_ONCE][9];
    ls_put_entry *entries = bench_memory(PUT_AT_ONCE * sizeof(*entries));
    ls_producer *producer;
    size_t failed;

    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("open a producer");
    for (uint32_t i = 0; i < PUT_AT_ONCE; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "%08" PRIu32, i);
        entries[i].partition_key = (ls_bytes){keys[i], 8};
        entries[i].data = (ls_bytes){data, sizeof(data)};
    }
    for (uint64_t put = 0; put < count; put += PUT_AT_ONCE)
        if (ls_producer_put_batch(producer, entries, PUT_AT_ONCE, NULL, NULL, &failed) != LS_OK)
            bench_fail_ls("put");
    ls_producer_close(producer);
    free(entries);
}

static ls_handler_answer count(const ls_batch *batch, ls_handler_context *context, void *user)
{
    (void)context;
    atomic_fetch_add_explicit((_Atomic uint64_t *)user, ls_batch_count(batch), memory_order_relaxed);
    return LS_HANDLER_DONE;
}

static void hand_over(const char *name, uint32_t batch, uint32_t sync_ms, uint64_t expected)
{
    _Atomic uint64_t handled = 0;
    uint64_t from;
    double seconds;

    make_mapping(name, batch, sync_ms);
    from = bench_now_ns();
    run_mapping(name, LS_RUN_UNTIL_CAUGHT_UP, count, &handled);
    seconds = (double)(bench_now_ns() - from) / 1e9;
    if (atomic_load(&handled) != expected)
        bench_fail("a mapping did not handle every record once");
    printf("HANDED\tbatch=%" PRIu32 "\tsync_ms=%" PRIu32 "\trecords=%" PRIu64 "\tseconds=%.3f\trecords_per_s=%.0f\n",
           batch, sync_ms, expected, seconds, (double)expected / seconds);
    (void)fflush(stdout);
}

static void measure_throughput(uint64_t records)
{
    open_all(LS_DURABILITY_INTERVAL, SHARDS);
    fill(records);
    hand_over("warm", 10000, 60000, records);
    hand_over("large", 10000, 60000, records);
    hand_over("large-saved", 10000, 1, records);
    hand_over("small", 1000, 60000, records);
    hand_over("small-saved", 1000, 1, records);
    close_all();
}

/* ---- exactly once ---- */

typedef struct putting {
    ls_stream *out;
    ls_producer *producers[SHARDS]; /* of the shard that is read; NULL: exactly once */
    _Atomic uint64_t handled;
} putting;

static ls_handler_answer put_on(const ls_batch *batch, ls_handler_context *context, void *user)
{
    putting *of = user;
    ls_producer *producer = of->producers[ls_batch_shard(batch)];
    size_t records = ls_batch_count(batch), failed;
    ls_put_entry entries[1000];

    for (size_t i = 0; i < records; i++) {
        const ls_record *record = ls_batch_at(batch, i);

        entries[i] = (ls_put_entry){.partition_key = record->partition_key, .data = record->data};
        if (producer == NULL &&
            ls_handler_put(context, i, of->out, record->partition_key, record->data, NULL) != LS_OK)
            bench_fail_ls("put by a handler");
    }
    if (producer != NULL && ls_producer_put_batch(producer, entries, records, NULL, NULL, &failed) != LS_OK)
        bench_fail_ls("put beside a handler");
    atomic_fetch_add_explicit(&of->handled, records, memory_order_relaxed);
    return LS_HANDLER_DONE;
}

static void put_over(const char *name, bool once, uint64_t expected)
{
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    ls_stream_options of_stream = LS_STREAM_OPTIONS_INIT;
    putting of = {.out = NULL};
    uint64_t from;
    double seconds;

    of_stream.shard_count = SHARDS;
    options.records_max = 1000;
    options.sync_interval_ms = 1;
    options.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT;
    options.flags = once ? LS_MAPPING_EXACTLY_ONCE : 0;
    if (ls_stream_create(store, name, &of_stream) != LS_OK || ls_stream_open(store, name, &of.out) != LS_OK ||
        ls_mapping_create(stream, name, &horizon, &options) != LS_OK)
        bench_fail_ls("create a mapping that puts");
    for (uint32_t i = 0; !once && i < SHARDS; i++)
        if (ls_producer_open(of.out, NULL, &of.producers[i]) != LS_OK)
            bench_fail_ls("open a producer");
    from = bench_now_ns();
    run_mapping(name, LS_RUN_UNTIL_CAUGHT_UP, put_on, &of);
    seconds = (double)(bench_now_ns() - from) / 1e9;
    if (atomic_load(&of.handled) != expected)
        bench_fail("a mapping that puts did not handle every record once");
    printf("PUT\thow=%s\tbatch=1000\trecords=%" PRIu64 "\tseconds=%.3f\trecords_per_s=%.0f\n", name, expected,
           seconds, (double)expected / seconds);
    (void)fflush(stdout);
    for (uint32_t i = 0; i < SHARDS; i++)
        ls_producer_close(of.producers[i]);
    if (ls_stream_close(of.out) != LS_OK)
        bench_fail_ls("close what was put to");
}

static void measure_putting(uint64_t records)
{
    open_all(LS_DURABILITY_INTERVAL, SHARDS);
    fill(records);
    put_over("at-least-once", false, records);
    put_over("exactly-once", true, records);
    close_all();
}

/* ---- latency ---- */

typedef struct shared {
    _Atomic uint32_t got;
    uint64_t lag_ns[];
} shared;

static ls_handler_answer note_lag(const ls_batch *batch, ls_handler_context *context, void *user)
{
    uint64_t now = bench_now_ns();
    shared *to = user;

    (void)context;
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        uint32_t at = atomic_fetch_add(&to->got, 1);
        uint64_t put_at;

        memcpy(&put_at, ls_batch_at(batch, i)->data.data, sizeof(put_at));
        to->lag_ns[at] = now - put_at;
    }
    return LS_HANDLER_DONE;
}

static void measure_latency(uint32_t seconds)
{
    uint32_t records = seconds * 200;
    shared *of = bench_shared(sizeof(*of) + ((size_t)records + 1) * sizeof(of->lag_ns[0]));
    ls_producer *producer;
    pid_t runner;

    open_all(LS_DURABILITY_KERNEL, 1);
    make_mapping("lag", 100, 1000);
    close_all();
    runner = fork();
    if (runner < 0)
        bench_fail("fork");
    if (runner == 0) {
        open_all(LS_DURABILITY_DEFAULT, 0);
        run_mapping("lag", 0, note_lag, of);
        _exit(0);
    }
    open_all(LS_DURABILITY_DEFAULT, 0);
    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("open a producer");
    for (uint32_t i = 0; i <= records; i++) { /* The first one waits for the run to begin. */
        uint64_t now = bench_now_ns();

        if (ls_producer_put(producer, (ls_bytes){"k", 1}, (ls_bytes){&now, sizeof(now)}, NULL, NULL) != LS_OK)
            bench_fail_ls("put");
        while (i == 0 && atomic_load(&of->got) == 0)
            (void)usleep(1000);
        (void)usleep(5000);
    }
    while (atomic_load(&of->got) <= records)
        (void)usleep(1000);
    (void)kill(runner, SIGKILL);
    (void)waitpid(runner, NULL, 0);
    ls_producer_close(producer);
    close_all();
    bench_sort(of->lag_ns + 1, records);
    printf("LATENCY\trecords=%" PRIu32 "\tp50_us=%.1f\tp90_us=%.1f\tp99_us=%.1f\tmax_us=%.1f\n", records,
           bench_percentile_us(of->lag_ns + 1, records, 0.5), bench_percentile_us(of->lag_ns + 1, records, 0.9),
           bench_percentile_us(of->lag_ns + 1, records, 0.99), bench_percentile_us(of->lag_ns + 1, records, 1));
    (void)fflush(stdout);
}

/* ---- idling ---- */

typedef struct idler {
    char stream[16], mapping[16];
} idler;

static void *idle(void *user)
{
    const idler *who = user;
    ls_mapping *mapping;
    ls_stream *own;

    if (ls_stream_open(store, who->stream, &own) != LS_OK || ls_mapping_open(own, who->mapping, &mapping) != LS_OK ||
        ls_mapping_run(mapping, NULL, count, &idlers_handled) != LS_OK)
        bench_fail_ls("run a mapping");
    return NULL;
}

static void begin_idling(uint32_t streams)
{
    static idler who[IDLE];
    pthread_t thread;

    open_all(LS_DURABILITY_KERNEL, 1);
    for (uint32_t i = 0; i < IDLE; i++) {
        (void)snprintf(who[i].stream, sizeof(who[i].stream), i < streams ? "s-%" PRIu32 : "s-0", i);
        (void)snprintf(who[i].mapping, sizeof(who[i].mapping), "idle-%" PRIu32, i);
        if (i < streams) {
            if (ls_stream_close(stream) != LS_OK || ls_stream_create(store, who[i].stream, NULL) != LS_OK ||
                ls_stream_open(store, who[i].stream, &stream) != LS_OK)
                bench_fail_ls("create a stream");
        }
        make_mapping(who[i].mapping, 100, 1000);
    }
    for (uint32_t i = 0; i < IDLE; i++)
        if (pthread_create(&thread, NULL, idle, &who[i]) != 0)
            bench_fail("begin a thread");
}

/* In a child, which is killed: ending them is not what is measured. */
static void measure_idling(uint32_t streams, uint32_t seconds)
{
    struct rusage from, to;
    double cpu_seconds;
    pid_t child;

    child = fork();
    if (child < 0)
        bench_fail("fork");
    if (child > 0) {
        (void)waitpid(child, NULL, 0);
        return;
    }
    begin_idling(streams);
    (void)sleep(seconds * 3); /* Each beginning wakes all that are there. */
    cpu_seconds = bench_cpu_seconds(RUSAGE_SELF);
    (void)getrusage(RUSAGE_SELF, &from);
    (void)sleep(seconds);
    cpu_seconds = bench_cpu_seconds(RUSAGE_SELF) - cpu_seconds;
    (void)getrusage(RUSAGE_SELF, &to);
    printf("IDLE\tmappings=%u\tstreams=%" PRIu32 "\tseconds=%" PRIu32 "\tcpu_seconds=%.4f\tcpu_part=%.5f\t"
           "switches_per_s=%.1f\n", IDLE, streams, seconds, cpu_seconds, cpu_seconds / seconds,
           (double)(to.ru_nvcsw - from.ru_nvcsw) / seconds);
    (void)fflush(stdout);
    _exit(0);
}

static void fresh(void)
{
    bench_fresh_directory(location);
}

int main(int argc, char **argv)
{
    uint64_t millions = argc > 1 ? strtoull(argv[1], NULL, 10) : 8;
    uint32_t seconds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 5;

    if (seconds == 0)
        bench_fail("usage: mappings [MILLIONS [SECONDS]]");
    (void)snprintf(location, sizeof(location), "%s/mappings", bench_directory());
    if (millions > 0) {
        fresh();
        measure_throughput(millions * 1000000);
    }
    fresh();
    measure_putting(millions * 100000);
    fresh();
    measure_latency(seconds);
    fresh();
    measure_idling(1, seconds);
    fresh();
    measure_idling(IDLE, seconds);
    bench_remove(location);
    return 0;
}
