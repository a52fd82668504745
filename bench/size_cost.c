/* QUESTION  Do putting, opening and finding a place cost the same however much is stored?
 * WORKLOAD  One stream of one shard, records of 100 bytes with keys of 16, in KERNEL mode, default segments. The store
 *           grows tenfold from 10,000 records; at each size: 2,000 puts of one record, openings of store and stream,
 *           iterators at random numbers and at random times, each with the first record read and checked.
 * UNIT      microseconds; medians of 2,000 puts, 21 openings and 401 seeks. A seek is the opening of the iterator and
 *           the read of one record.
 *
 *   size_cost [RECORDS_MAX]      10,000,000 by default (1.4 GB of disk); 100000000 takes 14 GB
 *
 * One line per size, and one that compares the largest store with the smallest:
 *   SIZE  records  file_bytes  grow_records_per_s  put_us  open_us  seek_number_us  seek_time_us
 *   FLAT  put_x  open_x  seek_number_x  seek_time_x */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PER_CALL 500u
#define PUTS 2000u
#define OPENINGS 21u
#define SEEKS 401u
#define SMALLEST 10000u

struct cost {
    double put_us, open_us, number_us, time_us;
};

static char location[4200];
static char data[100];
static ls_store *store;
static ls_stream *stream;
static ls_seqno first_seqno, last_seqno;

static void open_all(void)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.durability = LS_DURABILITY_KERNEL;
    if (ls_store_open(location, &options, &store) != LS_OK || ls_stream_open(store, "size", &stream) != LS_OK)
        bench_fail_ls("open");
}

static void close_all(void)
{
    if (ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        bench_fail_ls("close");
}

static void make_store(void)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.durability = LS_DURABILITY_KERNEL;
    if (ls_store_open(location, &options, &store) != LS_OK || ls_stream_create(store, "size", NULL) != LS_OK ||
        ls_store_close(store) != LS_OK)
        bench_fail_ls("make the store");
}

/* Records per second. */
static double grow(uint64_t count)
{
    static ls_put_entry entries[PER_CALL];
    static ls_put_result results[PER_CALL];
    ls_producer *producer;
    uint64_t began = bench_now_ns();
    size_t failed;

    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("open the producer");
    for (unsigned k = 0; k < PER_CALL; k++) {
        entries[k].partition_key = (ls_bytes){"sensor-000000001", 16};
        entries[k].data = (ls_bytes){data, sizeof(data)};
    }
    for (uint64_t i = 0; i < count; i += PER_CALL) {
        if (ls_producer_put_batch(producer, entries, PER_CALL, NULL, results, &failed) != LS_OK || failed > 0)
            bench_fail_ls("put");
        if (first_seqno == 0)
            first_seqno = results[0].seqno;
    }
    last_seqno = results[PER_CALL - 1].seqno;
    if (ls_producer_close(producer) != LS_OK)
        bench_fail_ls("close the producer");
    return (double)count / ((double)(bench_now_ns() - began) / 1e9);
}

static double put_us(void)
{
    static uint64_t took[PUTS];
    ls_producer *producer;
    ls_record_id id;

    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("open the producer");
    for (unsigned i = 0; i < PUTS; i++) {
        uint64_t began = bench_now_ns();

        if (ls_producer_put(producer, (ls_bytes){"sensor-000000001", 16}, (ls_bytes){data, sizeof(data)}, NULL,
                            &id) != LS_OK)
            bench_fail_ls("put");
        took[i] = bench_now_ns() - began;
    }
    last_seqno = id.seqno;
    if (ls_producer_close(producer) != LS_OK)
        bench_fail_ls("close the producer");
    bench_sort(took, PUTS);
    return bench_percentile_us(took, PUTS, 0.5);
}

static double open_us(void)
{
    double took[OPENINGS];

    for (unsigned i = 0; i < OPENINGS; i++) {
        uint64_t began;

        close_all();
        began = bench_now_ns();
        open_all();
        took[i] = (double)(bench_now_ns() - began) / 1e3;
    }
    return bench_median(took, OPENINGS);
}

/* Opens at the position and reads one record; its time. */
static int64_t read_one(const ls_position *position, double *us)
{
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    uint64_t began = bench_now_ns();
    ls_iterator *iterator;
    const ls_batch *batch;
    const ls_record *record;
    int64_t arrival_us;

    options.records_max = 1;
    if (ls_iterator_open(stream, 0, position, NULL, &iterator) != LS_OK ||
        ls_iterator_next(iterator, &options, &batch) != LS_OK)
        bench_fail_ls("read");
    *us = (double)(bench_now_ns() - began) / 1e3;
    if (ls_batch_count(batch) != 1)
        bench_fail("no record at a position that has one");
    record = ls_batch_at(batch, 0);
    if (position->kind == LS_AT_SEQUENCE_NUMBER && record->seqno < position->seqno)
        bench_fail("a record before its position");
    if (position->kind == LS_AT_TIMESTAMP && record->arrival_us < position->timestamp_us)
        bench_fail("a record before its time");
    arrival_us = record->arrival_us;
    ls_iterator_close(iterator);
    return arrival_us;
}

static double seek_us(ls_position_kind kind)
{
    ls_position position = {.kind = LS_AT_SEQUENCE_NUMBER, .seqno = first_seqno};
    int64_t from_us, to_us;
    double took[SEEKS];

    from_us = read_one(&position, &took[0]);
    position.seqno = last_seqno;
    to_us = read_one(&position, &took[0]);
    for (unsigned i = 0; i < SEEKS; i++) {
        position = (ls_position){.kind = kind};
        if (kind == LS_AT_TIMESTAMP)
            position.timestamp_us = from_us + (int64_t)(bench_random() % (uint64_t)(to_us - from_us + 1));
        else
            position.seqno = first_seqno + bench_random() % (last_seqno - first_seqno + 1);
        (void)read_one(&position, &took[i]);
    }
    return bench_median(took, SEEKS);
}

int main(int argc, char **argv)
{
    uint64_t most = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000, records = 0;
    struct cost smallest = {0, 0, 0, 0}, cost = {0, 0, 0, 0};

    if (argc > 2 || most < SMALLEST) {
        (void)fputs("Usage: size_cost [RECORDS_MAX]   at least 10000, default 10000000\n", stderr);
        return 2;
    }
    bench_json_record(data, sizeof(data), 0);
    (void)snprintf(location, sizeof(location), "%s/store", bench_directory());
    bench_warm_memory(most * 150 + (UINT64_C(512) << 20));
    make_store();
    open_all();
    for (uint64_t next = SMALLEST; next <= most; next *= 10) {
        double rate = grow(next - records);

        records = next;
        (void)put_us();  /* warms up */
        cost.put_us = put_us();
        cost.open_us = open_us();
        cost.number_us = seek_us(LS_AT_SEQUENCE_NUMBER);
        cost.time_us = seek_us(LS_AT_TIMESTAMP);
        if (next == SMALLEST)
            smallest = cost;
        (void)printf("SIZE\trecords=%" PRIu64 "\tfile_bytes=%" PRIu64 "\tgrow_records_per_s=%.0f\tput_us=%.2f\t"
                     "open_us=%.1f\tseek_number_us=%.1f\tseek_time_us=%.1f\n", records, bench_file_bytes(location),
                     rate, cost.put_us, cost.open_us, cost.number_us, cost.time_us);
        (void)fflush(stdout);
    }
    (void)printf("FLAT\tput_x=%.2f\topen_x=%.2f\tseek_number_x=%.2f\tseek_time_x=%.2f\n",
                 cost.put_us / smallest.put_us, cost.open_us / smallest.open_us, cost.number_us / smallest.number_us,
                 cost.time_us / smallest.time_us);
    close_all();
    return 0;
}
