/* QUESTION  How long does a put take at a rate that the store can keep, and how long do the slowest take?
 * WORKLOAD  One producer puts records of 100 bytes, one per call, at a fixed rate, into one shard; alone, and while
 *           another process puts into the same shard as fast as it can. In KERNEL at 100,000 records a second, in
 *           INTERVAL at 100,000, in SYNC at 2,000. A put's time counts from the moment when it was due, so one slow
 *           put is not hidden by the puts that wait behind it; call_ is the call alone.
 * UNIT      microseconds; the producer polls the clock between puts and so has a processor to itself.
 *
 *   latency [SECONDS]      per case, 3 by default; a fifth more comes first and is not counted
 *
 * One line per case, and its histogram, a line for each power of two:
 *   LATENCY  mode  records_per_s  beside  records  p50_us  p90_us  p99_us  p99_9_us  p99_99_us  max_us
 *            call_p50_us  call_p99_us  call_p99_9_us
 *   BAR      mode  beside  below_us  count  part  bar */
#include "bench.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUCKETS 40u
#define BAR_WIDTH 50u

struct pace {
    ls_durability mode;
    uint64_t per_second;
};

static const struct pace paces[] = {{LS_DURABILITY_KERNEL, 100000}, {LS_DURABILITY_INTERVAL, 100000},
                                    {LS_DURABILITY_SYNC, 2000}};

static char data[100];
static char location[4200];
static ls_store *store;
static ls_stream *stream;
static ls_producer *producer;

static void open_all(ls_durability mode, bool create)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.durability = mode;
    if (ls_store_open(location, &options, &store) != LS_OK)
        bench_fail_ls("open the store");
    if (create && ls_stream_create(store, "latency", NULL) != LS_OK)
        bench_fail_ls("create the stream");
    if (ls_stream_open(store, "latency", &stream) != LS_OK || ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("open the stream");
}

static void put(void)
{
    if (ls_producer_put(producer, (ls_bytes){"sensor-000000001", 16}, (ls_bytes){data, sizeof(data)}, NULL,
                        NULL) != LS_OK)
        bench_fail_ls("put");
}

/* The process beside: puts until it is killed. */
static pid_t start_beside(void)
{
    pid_t child = fork();

    if (child < 0)
        bench_fail("fork");
    if (child > 0)
        return child;
    open_all(LS_DURABILITY_DEFAULT, false);
    for (;;)
        put();
}

static void put_at_pace(uint64_t per_second, uint64_t *took, uint64_t *calls, size_t warm_up, size_t count)
{
    uint64_t began = bench_now_ns();

    for (size_t i = 0; i < warm_up + count; i++) {
        uint64_t due = began + (uint64_t)((double)i * 1e9 / (double)per_second), called, done;

        while ((called = bench_now_ns()) < due)
            continue;
        put();
        done = bench_now_ns();
        if (i >= warm_up) {
            took[i - warm_up] = done - due;
            calls[i - warm_up] = done - called;
        }
    }
}

static void print_bars(const struct pace *pace, const char *beside, const uint64_t *sorted, size_t count)
{
    size_t at = 0;

    for (unsigned power = 0; power < BUCKETS && at < count; power++) {
        uint64_t below_ns = UINT64_C(1000) << power;
        size_t from = at;
        char bar[BAR_WIDTH + 1];
        size_t width;

        while (at < count && sorted[at] < below_ns)
            at++;
        if (at == from && from == 0)
            continue;
        /* By the logarithm, or the rare ones could not be seen. */
        width = at == from ? 0 : (size_t)(log2((double)(at - from) + 1) / log2((double)count + 1) * BAR_WIDTH) + 1;
        width = width > BAR_WIDTH ? BAR_WIDTH : width;
        memset(bar, '#', width);
        bar[width] = 0;
        (void)printf("BAR\tmode=%s\tbeside=%s\tbelow_us=%" PRIu64 "\tcount=%zu\tpart=%.6f\tbar=%s\n",
                     bench_mode_name(pace->mode), beside, below_ns / 1000, at - from,
                     (double)(at - from) / (double)count, bar);
    }
}

static void measure(const struct pace *pace, bool beside, unsigned seconds)
{
    size_t count = (size_t)pace->per_second * seconds;
    uint64_t *took = bench_memory(count * sizeof(*took)), *calls = bench_memory(count * sizeof(*calls));
    const char *name = beside ? "writer" : "nothing";
    pid_t child = 0;

    (void)snprintf(location, sizeof(location), "%s/store", bench_directory());
    open_all(pace->mode, true);
    if (beside)
        child = start_beside();
    put_at_pace(pace->per_second, took, calls, count / 5, count);
    if (child > 0) {
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
    }
    bench_sort(took, count);
    bench_sort(calls, count);
    (void)printf("LATENCY\tmode=%s\trecords_per_s=%" PRIu64 "\tbeside=%s\trecords=%zu\tp50_us=%.2f\tp90_us=%.2f\t"
                 "p99_us=%.2f\tp99_9_us=%.2f\tp99_99_us=%.2f\tmax_us=%.1f\t", bench_mode_name(pace->mode),
                 pace->per_second, name, count, bench_percentile_us(took, count, 0.5),
                 bench_percentile_us(took, count, 0.9), bench_percentile_us(took, count, 0.99),
                 bench_percentile_us(took, count, 0.999), bench_percentile_us(took, count, 0.9999),
                 bench_percentile_us(took, count, 1));
    (void)printf("call_p50_us=%.2f\tcall_p99_us=%.2f\tcall_p99_9_us=%.2f\n", bench_percentile_us(calls, count, 0.5),
                 bench_percentile_us(calls, count, 0.99), bench_percentile_us(calls, count, 0.999));
    print_bars(pace, name, took, count);
    (void)fflush(stdout);
    if (ls_producer_close(producer) != LS_OK || ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        bench_fail_ls("close");
    bench_remove(location);
    free(took);
    free(calls);
}

int main(int argc, char **argv)
{
    unsigned long seconds = argc > 1 ? strtoul(argv[1], NULL, 10) : 3;

    if (argc > 2 || seconds < 1 || seconds > 600) {
        (void)fputs("Usage: latency [SECONDS]   1 to 600, default 3\n", stderr);
        return 2;
    }
    bench_json_record(data, sizeof(data), 0);
    (void)bench_directory();
    bench_warm_memory(UINT64_C(1) << 30);
    for (size_t i = 0; i < sizeof(paces) / sizeof(paces[0]); i++)
        for (int beside = 0; beside < 2; beside++)
            measure(&paces[i], beside != 0, (unsigned)seconds);
    return 0;
}
