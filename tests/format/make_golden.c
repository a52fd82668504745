/* Makes a golden store:
 *
 *     make_golden tests/format/golden/v0
 *
 * writes the directory, which must not be there, and beside it NAME.records. Four streams with eight shards; shard 0 of
 * `alpha` has rolled; `beta` has two registered consumers; `gamma` has tags, was split, and its halves were merged;
 * `delta` has segments that are plain, encrypted, compressed and both, with two keys; frames of one record and of many,
 * explicit hash keys, empty data, a batch that is one frame. Until release 1.0 format 0 may change, and then the
 * directory is deleted and made again; from then on no golden store is ever made again, and a new format gets one of
 * its own. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "format/golden.h"
#include "support/still_env.h"

static void must(ls_status st)
{
    if (st == LS_OK)
        return;
    fprintf(stderr, "make_golden: %s\n", ls_last_error_message());
    exit(1);
}

static void write_line(void *user, const char *line)
{
    if (fputs(line, user) == EOF)
        exit(1);
}

static void fill(ls_stream *stream, unsigned batches, size_t bytes)
{
    const ls_hash_key low = {0, 77}, high = {UINT64_MAX, 1};
    ls_put_options atomic = LS_PUT_OPTIONS_INIT;
    ls_producer *producer;
    char data[1024], keys[8][32];

    must(ls_producer_open(stream, NULL, &producer));
    for (unsigned i = 0; i < batches; i++) {
        ls_put_entry entries[8];
        size_t count = 1 + i % 8, failed;

        for (size_t k = 0; k < sizeof data; k++)
            data[k] = (char)('a' + (i + k / 16) % 26);
        for (size_t k = 0; k < count; k++) {
            int key_bytes = snprintf(keys[k], sizeof keys[k], "key-%u-%zu", i, k);

            entries[k] = (ls_put_entry){{keys[k], (size_t)key_bytes}, {data, (bytes + 13 * k) * (k % 5 != 4)},
                                        i % 3 == 0 ? (k % 4 == 3 ? &high : &low) : NULL};
        }
        must(ls_producer_put_batch(producer, entries, count, NULL, NULL, &failed));
        if (failed != 0)
            exit(1);
    }
    ls_put_entry together[3] = {
        {{"one", 3}, {"1", 1}, &low}, {{"two", 3}, {"22", 2}, &low}, {{"three", 5}, {"", 0}, &low}};
    atomic.flags = LS_PUT_ATOMIC;
    must(ls_producer_put_batch(producer, together, 3, &atomic, NULL, NULL));
    must(ls_producer_close(producer));
}

int main(int argc, char **argv)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options two = LS_STREAM_OPTIONS_INIT;
    const ls_tag tags[2] = {{"owner", "orders"}, {"cost centre", ""}};
    char name[4096];
    still_env still;
    ls_store *store;
    ls_stream *stream;
    FILE *list;

    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    if (access(argv[1], F_OK) == 0) {
        fprintf(stderr, "make_golden: %s is there already\n", argv[1]);
        return 1;
    }
    still_env_make(&still, &lsi_files_system, 1);
    options.segment_bytes = 64u << 10;
    options.prealloc_bytes = LS_PREALLOC_NONE;
    options.key_callback = golden_key;
    two.shard_count = 2;
    must(lsi_store_open_env(argv[1], &options, &still.env, &store));
    must(ls_stream_create(store, "alpha", &two));
    must(ls_stream_open(store, "alpha", &stream));
    fill(stream, 98, 200);
    must(ls_stream_close(stream));
    must(ls_stream_create(store, "beta", NULL));
    must(ls_stream_open(store, "beta", &stream));
    fill(stream, 8, 40);
    must(ls_consumer_register(stream, "reports", NULL));
    must(ls_consumer_register(stream, "gone", NULL));
    must(ls_consumer_register(stream, "alerts-of.today_1", NULL));
    must(ls_consumer_deregister(stream, "gone"));
    must(ls_stream_close(stream));
    must(ls_stream_create(store, "gamma", NULL));
    must(ls_stream_open(store, "gamma", &stream));
    fill(stream, 8, 40);
    must(ls_stream_split(stream, 0, NULL, NULL, NULL));
    fill(stream, 8, 40);
    must(ls_stream_merge(stream, 1, 2, NULL));
    fill(stream, 8, 40);
    must(ls_stream_add_tags(stream, tags, 2));
    must(ls_stream_close(stream));
    must(ls_stream_create(store, "delta", NULL));
    must(ls_stream_open(store, "delta", &stream));
    fill(stream, 4, 40);
    must(ls_stream_start_encryption(store, "delta", "first"));
    fill(stream, 4, 40);
    must(ls_stream_set_compression(store, "delta", LS_COMPRESSION_ZSTD));
    must(ls_stream_start_encryption(store, "delta", "second"));
    fill(stream, 16, 400);
    must(ls_stream_stop_encryption(store, "delta"));
    fill(stream, 16, 400);
    must(ls_stream_close(stream));
    (void)snprintf(name, sizeof name, "%s.records", argv[1]); /* too long a name cannot be opened */
    list = fopen(name, "w");
    if (list == NULL) {
        perror(name);
        return 1;
    }
    must(golden_each(store, write_line, list));
    if (fclose(list) != 0) {
        perror(name);
        return 1;
    }
    must(ls_store_close(store));
    (void)snprintf(name, sizeof name, "%s/control", argv[1]); /* as above */
    if (unlink(name) != 0) { /* for one machine and one boot: no part of the format */
        perror(name);
        return 1;
    }
    return 0;
}
