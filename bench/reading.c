/* QUESTION  How fast are records read back, and what is it worth to read them where they lie?
 * WORKLOAD  100-byte records (8 of them key) in one shard of a KERNEL store, put in batches of 500 or one by one, then
 *           read from the oldest on, one byte of each looked at, by an iterator of its own each time: one that copies
 *           and one with LS_ITERATOR_MAPPED. Checksums are verified by both. A round has all four; the files are in the
 *           page cache.
 * UNIT      million records per second, the median of the rounds and the lowest and highest; ratio: mapped to copied,
 *           the median of those of the rounds.
 *
 *   reading [MILLIONS [ROUNDS]]     4 and 9 by default
 *
 * Lines:  READ put way median lowest highest   and   MAPPED put ratio */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define BATCH 500u
#define ROUNDS_MAX 101

static const char *const names[] = {"batches", "one-by-one"};

static void fill(ls_stream *stream, bool one_by_one, uint64_t records)
{
    static unsigned char data[92];
    const ls_bytes key = {"the-keys", 8}, value = {data, sizeof data};
    static ls_put_entry entries[BATCH];
    ls_producer *producer;

    for (unsigned i = 0; i < BATCH; i++)
        entries[i] = (ls_put_entry){key, value, NULL};
    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("producer");
    for (uint64_t i = 0; i < records; i += one_by_one ? 1 : BATCH)
        if ((one_by_one ? ls_producer_put(producer, key, value, NULL, NULL)
                        : ls_producer_put_batch(producer, entries, BATCH, NULL, NULL, NULL)) != LS_OK)
            bench_fail_ls("put");
    (void)ls_producer_close(producer); /* each put was complete */
}

static double read_once(ls_stream *stream, bool mapped, uint64_t records)
{
    ls_iterator_options options = LS_ITERATOR_OPTIONS_INIT;
    static volatile unsigned seen;
    uint64_t count = 0, from = bench_now_ns();
    const ls_batch *batch;
    ls_iterator *iterator;
    unsigned sum = 0;

    options.flags = mapped ? LS_ITERATOR_MAPPED : 0;
    if (ls_iterator_open(stream, 0, NULL, &options, &iterator) != LS_OK)
        bench_fail_ls("iterator");
    while (count < records) {
        if (ls_iterator_next(iterator, NULL, &batch) != LS_OK)
            bench_fail_ls("read");
        const ls_record *record = ls_batch_records(batch);
        size_t got = ls_batch_count(batch);
        if (got == 0)
            bench_fail("records are missing");
        for (size_t i = 0; i < got; i++)
            sum += ((const unsigned char *)record[i].data.data)[0];
        count += got;
    }
    double seconds = (double)(bench_now_ns() - from) / 1e9;
    ls_iterator_close(iterator);
    seen = sum;
    (void)seen;
    return (double)count / seconds / 1e6;
}

int main(int count, char **arguments)
{
    uint64_t records = (count > 1 ? strtoull(arguments[1], NULL, 10) : 4) * 1000000;
    int rounds = count > 2 ? atoi(arguments[2]) : 9;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    double rates[2][2][ROUNDS_MAX], ratios[2][ROUNDS_MAX];
    ls_stream *streams[2];
    char path[4096];
    ls_store *store;

    if (count > 3 || records == 0 || rounds < 1 || rounds > ROUNDS_MAX)
        bench_fail("usage: reading [MILLIONS [ROUNDS]]");
    (void)snprintf(path, sizeof path, "%s/reading", bench_directory());
    bench_fresh_directory(path);
    options.durability = LS_DURABILITY_KERNEL;
    if (ls_store_open(path, &options, &store) != LS_OK)
        bench_fail_ls("store");
    for (int put = 0; put < 2; put++) {
        if (ls_stream_create(store, names[put], NULL) != LS_OK ||
            ls_stream_open(store, names[put], &streams[put]) != LS_OK)
            bench_fail_ls("stream");
        fill(streams[put], put == 1, records);
        (void)read_once(streams[put], false, records);
    }
    for (int round = 0; round < rounds; round++)
        for (int put = 0; put < 2; put++) {
            for (int mapped = 0; mapped < 2; mapped++)
                rates[put][mapped][round] = read_once(streams[put], mapped == 1, records);
            ratios[put][round] = rates[put][1][round] / rates[put][0][round];
        }
    for (int put = 0; put < 2; put++) {
        for (int mapped = 0; mapped < 2; mapped++) {
            double median = bench_median(rates[put][mapped], (size_t)rounds);
            printf("READ\tput=%s\tway=%s\tmedian=%.1f\tlowest=%.1f\thighest=%.1f\n", names[put],
                   mapped == 1 ? "mapped" : "copied", median, rates[put][mapped][0], rates[put][mapped][rounds - 1]);
        }
        printf("MAPPED\tput=%s\tratio=%.2f\n", names[put], bench_median(ratios[put], (size_t)rounds));
        if (ls_stream_close(streams[put]) != LS_OK)
            bench_fail_ls("close");
    }
    if (ls_store_close(store) != LS_OK)
        bench_fail_ls("close");
    bench_remove(path);
    return 0;
}
