/* QUESTION  How much memory does an open store hold, and each handle of it; does that grow with what is stored?
 * WORKLOAD  Stores of a stream of 1 and of 64 shards, with nothing, 100,000 and 1,000,000 records of 100 bytes. A new
 *           process for each opens one after another the store, the stream, a producer, puts one record (into every
 *           shard), an iterator over all shards, and reads a page; and closes them again.
 * UNIT      KiB of resident memory (Rss of smaps_rollup), over what the process had before the store.
 *
 *   handle_memory [RECORDS_MAX]      1,000,000 by default
 *
 * One line per store and step; `private` is what no other process could share:
 *   MEMORY  shards  records  step  resident_KiB  added_KiB  private_KiB */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PER_CALL 500u

static char data[100];
static char location[4200];

static uint64_t rollup(const char *label)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    uint64_t sum = 0;
    char line[256];

    if (file == NULL)
        bench_fail("/proc/self/smaps_rollup");
    while (fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, label, strlen(label)) == 0)
            sum += strtoull(strchr(line, ':') + 1, NULL, 10);
    (void)fclose(file);
    return sum;
}

static void tell(uint32_t shards, uint64_t records, const char *step)
{
    static uint64_t before, private_before;
    uint64_t now = rollup("Rss:"), private_now = rollup("Private_");

    if (strcmp(step, "before") == 0) {
        before = now;
        private_before = private_now;
    }
    (void)printf("MEMORY\tshards=%u\trecords=%" PRIu64 "\tstep=%s\tresident_KiB=%" PRIu64 "\tadded_KiB=%" PRId64
                 "\tprivate_KiB=%" PRId64 "\n", shards, records, step, now, (int64_t)(now - before),
                 (int64_t)(private_now - private_before));
    (void)fflush(stdout);
}

static void make_store(uint32_t shards, uint64_t records)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options about = LS_STREAM_OPTIONS_INIT;
    static ls_put_entry entries[PER_CALL];
    static char keys[PER_CALL][17];
    ls_producer *producer;
    ls_stream *stream;
    ls_store *store;
    size_t failed;

    options.durability = LS_DURABILITY_KERNEL;
    about.shard_count = shards;
    if (ls_store_open(location, &options, &store) != LS_OK || ls_stream_create(store, "memory", &about) != LS_OK ||
        ls_stream_open(store, "memory", &stream) != LS_OK || ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("make the store");
    for (uint64_t i = 0; i < records; i += PER_CALL) {
        for (unsigned k = 0; k < PER_CALL; k++) {
            entries[k].partition_key = (ls_bytes){keys[k], (size_t)snprintf(keys[k], sizeof(keys[k]), "sensor-%09u",
                                                                            (unsigned)(i + k))};
            entries[k].data = (ls_bytes){data, sizeof(data)};
        }
        if (ls_producer_put_batch(producer, entries, PER_CALL, NULL, NULL, &failed) != LS_OK || failed > 0)
            bench_fail_ls("put");
    }
    if (ls_producer_close(producer) != LS_OK || ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        bench_fail_ls("close");
}

static void put_everywhere(ls_producer *producer, uint32_t shards)
{
    char key[24];

    /* 12 keys per shard: chance leaves hardly a shard out. */
    for (uint32_t i = 0; i < shards * 12; i++)
        if (ls_producer_put(producer, (ls_bytes){key, (size_t)snprintf(key, sizeof(key), "key-%u", i)},
                            (ls_bytes){data, sizeof(data)}, NULL, NULL) != LS_OK)
            bench_fail_ls("put");
}

static void measure(uint32_t shards, uint64_t records)
{
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator;
    const ls_batch *batch;
    ls_producer *producer;
    ls_stream *stream;
    ls_store *store;

    (void)rollup("Rss:"); /* Reading and printing need some memory themselves. */
    tell(shards, records, "before");
    if (ls_store_open(location, NULL, &store) != LS_OK)
        bench_fail_ls("open the store");
    tell(shards, records, "store");
    if (ls_stream_open(store, "memory", &stream) != LS_OK)
        bench_fail_ls("open the stream");
    tell(shards, records, "stream");
    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("open the producer");
    tell(shards, records, "producer");
    put_everywhere(producer, shards);
    tell(shards, records, "puts");
    if (ls_iterator_open_all(stream, NULL, NULL, &iterator) != LS_OK)
        bench_fail_ls("open the iterator");
    tell(shards, records, "iterator");
    if (ls_iterator_next(iterator, &options, &batch) != LS_OK || ls_batch_count(batch) == 0)
        bench_fail_ls("read");
    tell(shards, records, "page");
    ls_iterator_close(iterator);
    tell(shards, records, "iterator_closed");
    if (ls_producer_close(producer) != LS_OK || ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        bench_fail_ls("close");
    tell(shards, records, "closed");
}

int main(int argc, char **argv)
{
    uint64_t most = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    const uint64_t sizes[] = {0, most / 10, most};
    const uint32_t shard_counts[] = {1, 64};

    if (argc > 2 || most < 10 * PER_CALL) {
        (void)fputs("Usage: handle_memory [RECORDS_MAX]   at least 5000, default 1000000\n", stderr);
        return 2;
    }
    bench_json_record(data, sizeof(data), 0);
    (void)snprintf(location, sizeof(location), "%s/store", bench_directory());
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < 3; k++) {
            /* Two processes: what making the store left in the allocator would be counted, or hide what is added. */
            for (int part = 0; part < 2; part++) {
                int status;
                pid_t child = fork();

                if (child < 0)
                    bench_fail("fork");
                if (child == 0) {
                    if (part == 0)
                        make_store(shard_counts[i], sizes[k]);
                    else
                        measure(shard_counts[i], sizes[k]);
                    _exit(0);
                }
                if (waitpid(child, &status, 0) < 0 || status != 0)
                    return 1;
            }
            bench_remove(location);
        }
    return 0;
}
