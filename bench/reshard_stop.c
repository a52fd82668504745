/* QUESTION  How long do producers stop when their shard is split or merged under full load?
 * WORKLOAD  Producers, each a process, put records of 100 bytes, one per call, as fast as they can, all with the
 *           highest hash key. Another process splits the shard that takes them, merges the halves again, and so on; so
 *           the stream has three more shards after each round. A stop is the longest put of any producer that overlaps
 *           the call: it waits for the parent's last sync and the new manifest, is told that its shard is closed, reads
 *           the new shards, hashes, and puts into the child. For comparison the same is asked of moments of equal
 *           length without a reshard: scheduling, and in SYNC the device.
 * UNIT      milliseconds
 *
 *   reshard_stop [SPLITS [PRODUCERS]]   per mode, 1,000 and 2 by default; a tenth more comes first and is not counted
 *
 * One line per mode and act:
 *   RESHARD  mode  act  count  producers  stop_p50_ms  stop_p99_ms  stop_max_ms  call_p50_ms  call_p99_ms
 *            puts_per_s
 * `call_` is what the one who reshards waits. `act` none: the comparison. */
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

#define PRODUCERS_MAX 64u

enum act { NONE, SPLIT, MERGE, ACTS };

static const char *const act_names[ACTS] = {"none", "split", "merge"};

/* Shared with the producers. */
struct progress {
    _Atomic uint64_t puts;
    _Atomic uint64_t longest_ns; /* of the puts that ended since somebody made it 0 */
    char room[48];
};

static char data[100];
static char location[4200];
static struct progress *progress;
static ls_store *store;
static ls_stream *stream;

static void open_all(ls_durability mode, bool create)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.durability = mode;
    if (ls_store_open(location, &options, &store) != LS_OK)
        bench_fail_ls("open the store");
    if (create && ls_stream_create(store, "reshard", NULL) != LS_OK)
        bench_fail_ls("create the stream");
    if (ls_stream_open(store, "reshard", &stream) != LS_OK)
        bench_fail_ls("open the stream");
}

static pid_t start_producer(struct progress *mine)
{
    static const ls_hash_key top = {UINT64_MAX, UINT64_MAX};
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_producer *producer;
    pid_t child = fork();

    if (child < 0)
        bench_fail("fork");
    if (child > 0)
        return child;
    open_all(LS_DURABILITY_DEFAULT, false);
    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("open a producer");
    options.explicit_hash_key = &top;
    for (;;) {
        uint64_t from = bench_now_ns(), took, longest;

        if (ls_producer_put(producer, (ls_bytes){"sensor-000000001", 16}, (ls_bytes){data, sizeof(data)}, &options,
                            NULL) != LS_OK)
            bench_fail_ls("put");
        took = bench_now_ns() - from;
        longest = atomic_load_explicit(&mine->longest_ns, memory_order_relaxed);
        while (took > longest && !atomic_compare_exchange_weak(&mine->longest_ns, &longest, took))
            continue;
        atomic_fetch_add(&mine->puts, 1);
    }
}

/* Until every producer has ended a put that it began after now. */
static void await_puts(unsigned producers)
{
    for (unsigned i = 0; i < producers; i++) {
        uint64_t from = atomic_load(&progress[i].puts);

        while (atomic_load(&progress[i].puts) < from + 2)
            (void)usleep(50);
    }
}

/* What the act costs the producers; `*call_ns`: the one who does it. */
static uint64_t stop_of(enum act act, unsigned producers, uint32_t shards[2], uint64_t pause_ns, uint64_t *call_ns)
{
    struct timespec pause = {0, (long)pause_ns};
    uint64_t from, longest = 0;
    ls_status st = LS_OK;

    await_puts(producers);
    for (unsigned i = 0; i < producers; i++)
        atomic_store(&progress[i].longest_ns, 0);
    from = bench_now_ns();
    if (act == SPLIT)
        st = ls_stream_split(stream, shards[0], NULL, &shards[0], &shards[1]);
    else if (act == MERGE)
        st = ls_stream_merge(stream, shards[0], shards[1], &shards[0]);
    else
        (void)nanosleep(&pause, NULL); /* However it ends, it was about as long. */
    *call_ns = bench_now_ns() - from;
    if (st != LS_OK)
        bench_fail_ls(act_names[act]);
    await_puts(producers);
    for (unsigned i = 0; i < producers; i++)
        if (atomic_load(&progress[i].longest_ns) > longest)
            longest = atomic_load(&progress[i].longest_ns);
    return longest;
}

static void measure(ls_durability mode, size_t count, unsigned producers)
{
    uint64_t *stops[ACTS], *calls[ACTS], pause_ns = 1000000, puts = 0, began;
    size_t warm_up = count / 10 + 1;
    pid_t children[PRODUCERS_MAX];
    uint32_t shards[2] = {0, 0};
    double seconds;

    for (int act = 0; act < ACTS; act++) {
        stops[act] = bench_memory(count * sizeof(uint64_t));
        calls[act] = bench_memory(count * sizeof(uint64_t));
    }
    (void)snprintf(location, sizeof(location), "%s/reshard_stop", bench_directory());
    bench_fresh_directory(location);
    progress = bench_shared(producers * sizeof(*progress));
    open_all(mode, true);
    for (unsigned i = 0; i < producers; i++)
        children[i] = start_producer(&progress[i]);
    await_puts(producers);
    for (unsigned i = 0; i < producers; i++)
        puts -= atomic_load(&progress[i].puts);
    began = bench_now_ns();
    for (size_t i = 0; i < warm_up + count; i++)
        for (int turn = 0; turn < ACTS; turn++) {
            enum act act = (enum act)((turn + 1) % ACTS); /* split, merge, none */
            uint64_t call, stop = stop_of(act, producers, shards, pause_ns, &call);

            pause_ns = act == SPLIT ? call : pause_ns;
            if (i >= warm_up) {
                stops[act][i - warm_up] = stop;
                calls[act][i - warm_up] = call;
            }
        }
    seconds = (double)(bench_now_ns() - began) / 1e9;
    for (unsigned i = 0; i < producers; i++) {
        puts += atomic_load(&progress[i].puts);
        (void)kill(children[i], SIGKILL);
        (void)waitpid(children[i], NULL, 0);
    }
    if (ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        bench_fail_ls("close");
    for (int act = 0; act < ACTS; act++) {
        bench_sort(stops[act], count);
        bench_sort(calls[act], count);
        (void)printf("RESHARD\tmode=%s\tact=%s\tcount=%zu\tproducers=%u\tstop_p50_ms=%.3f\tstop_p99_ms=%.3f"
                     "\tstop_max_ms=%.3f\tcall_p50_ms=%.3f\tcall_p99_ms=%.3f\tputs_per_s=%.0f\n",
                     bench_mode_name(mode), act_names[act], count, producers,
                     bench_percentile_us(stops[act], count, 0.5) / 1e3,
                     bench_percentile_us(stops[act], count, 0.99) / 1e3,
                     bench_percentile_us(stops[act], count, 1) / 1e3, bench_percentile_us(calls[act], count, 0.5) / 1e3,
                     bench_percentile_us(calls[act], count, 0.99) / 1e3, (double)puts / seconds);
        free(stops[act]);
        free(calls[act]);
    }
    (void)fflush(stdout);
    bench_remove(location);
}

int main(int argc, char **argv)
{
    static const ls_durability modes[] = {LS_DURABILITY_SYNC, LS_DURABILITY_INTERVAL, LS_DURABILITY_KERNEL};
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    unsigned producers = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2;

    if (argc > 3 || count == 0 || producers == 0 || producers > PRODUCERS_MAX) {
        (void)fprintf(stderr, "usage: reshard_stop [SPLITS [PRODUCERS]]\n");
        return 2;
    }
    memset(data, 'x', sizeof(data));
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
        measure(modes[i], count, producers);
    return 0;
}
