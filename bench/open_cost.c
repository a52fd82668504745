/* QUESTION  Does opening a store, and reading a first record from it, cost the same however much is stored?
 * WORKLOAD  One stream of one shard, records of 100 bytes, in KERNEL mode; segments of 1 MiB, so that a store of a
 *           million records has more than a hundred files. At 1,000, 10,000, 100,000 and 1,000,000 records: open the
 *           store and the stream, and an iterator at the oldest record; read one record; also from the newest: an
 *           iterator behind the last number, which must find the end.
 * UNIT      microseconds; medians of 51 openings, after 5 that are not counted.
 *
 *   open_cost [RECORDS_MAX]      1,000,000 by default
 *
 * One line per size, and one that compares the largest store with the smallest:
 *   OPEN  records  file_bytes  open_us  first_read_us  end_read_us
 *   FLAT  open_x  first_read_x  end_read_x */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define OPENINGS 51u
#define WARM_UP 5u
#define PER_CALL 500u

struct cost {
    double open_us, first_us, end_us;
};

static char location[4200];
static char data[100];

static void open_stream(ls_store **store, ls_stream **stream)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.durability = LS_DURABILITY_KERNEL;
    options.segment_bytes = 1 << 20;
    if (ls_store_open(location, &options, store) != LS_OK)
        bench_fail_ls("open the store");
    if (ls_stream_open(*store, "open", stream) != LS_OK &&
        (ls_last_error_status() != LS_ERR_NOT_FOUND || ls_stream_create(*store, "open", NULL) != LS_OK ||
         ls_stream_open(*store, "open", stream) != LS_OK))
        bench_fail_ls("open the stream");
}

static void close_stream(ls_store *store, ls_stream *stream)
{
    if (ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        bench_fail_ls("close the store");
}

/* The last number that was given. */
static ls_seqno grow(uint64_t from, uint64_t to)
{
    static ls_put_entry entries[PER_CALL];
    static ls_put_result results[PER_CALL];
    ls_producer *producer;
    ls_stream *stream;
    ls_store *store;
    size_t failed;

    open_stream(&store, &stream);
    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("open the producer");
    for (uint64_t i = from; i < to; i += PER_CALL) {
        for (unsigned k = 0; k < PER_CALL; k++) {
            entries[k].partition_key = (ls_bytes){"sensor-000000001", 16};
            entries[k].data = (ls_bytes){data, sizeof(data)};
        }
        if (ls_producer_put_batch(producer, entries, PER_CALL, NULL, results, &failed) != LS_OK || failed > 0)
            bench_fail_ls("put");
    }
    if (ls_producer_close(producer) != LS_OK)
        bench_fail_ls("close the producer");
    close_stream(store, stream);
    return results[PER_CALL - 1].seqno;
}

/* Microseconds from `began` until an iterator at `position` has read `wanted` records. */
static double read_us(ls_stream *stream, const ls_position *position, size_t wanted, uint64_t began)
{
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator;
    const ls_batch *batch;
    double us;

    options.records_max = 1;
    if (ls_iterator_open(stream, 0, position, NULL, &iterator) != LS_OK ||
        ls_iterator_next(iterator, &options, &batch) != LS_OK)
        bench_fail_ls("read");
    us = (double)(bench_now_ns() - began) / 1e3;
    if (ls_batch_count(batch) != wanted) {
        (void)fprintf(stderr, "bench: read %zu records, wanted %zu\n", ls_batch_count(batch), wanted);
        exit(1);
    }
    ls_iterator_close(iterator);
    return us;
}

static struct cost measure(ls_seqno last)
{
    const ls_position oldest = {.kind = LS_TRIM_HORIZON}, end = {.kind = LS_AFTER_SEQUENCE_NUMBER, .seqno = last};
    double opening[OPENINGS], first[OPENINGS], at_end[OPENINGS];

    for (unsigned i = 0; i < OPENINGS + WARM_UP; i++) {
        unsigned slot = i < WARM_UP ? 0 : i - WARM_UP;
        ls_stream *stream;
        ls_store *store;
        uint64_t began = bench_now_ns();

        open_stream(&store, &stream);
        opening[slot] = (double)(bench_now_ns() - began) / 1e3;
        first[slot] = read_us(stream, &oldest, 1, bench_now_ns());
        at_end[slot] = read_us(stream, &end, 0, bench_now_ns());
        close_stream(store, stream);
    }
    return (struct cost){bench_median(opening, OPENINGS), bench_median(first, OPENINGS),
                         bench_median(at_end, OPENINGS)};
}

int main(int argc, char **argv)
{
    uint64_t most = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000, records = 0;
    struct cost smallest = {0, 0, 0}, cost = {0, 0, 0};

    if (argc > 2 || most < 1000) {
        (void)fputs("Usage: open_cost [RECORDS_MAX]   at least 1000, default 1000000\n", stderr);
        return 2;
    }
    bench_json_record(data, sizeof(data), 0);
    (void)snprintf(location, sizeof(location), "%s/store", bench_directory());
    bench_warm_memory(UINT64_C(512) << 20);
    for (uint64_t next = 1000; next <= most; next *= 10) {
        ls_seqno last = grow(records, next);

        records = next;
        cost = measure(last);
        if (next == 1000)
            smallest = cost;
        (void)printf("OPEN\trecords=%" PRIu64 "\tfile_bytes=%" PRIu64 "\topen_us=%.1f\tfirst_read_us=%.1f\t"
                     "end_read_us=%.1f\n", records, bench_file_bytes(location), cost.open_us, cost.first_us,
                     cost.end_us);
        (void)fflush(stdout);
    }
    (void)printf("FLAT\topen_x=%.2f\tfirst_read_x=%.2f\tend_read_x=%.2f\n", cost.open_us / smallest.open_us,
                 cost.first_us / smallest.first_us, cost.end_us / smallest.end_us);
    return 0;
}
