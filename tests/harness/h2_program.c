/* The program that h2_recorded.c runs with the recorder before it: the library as it ships, with real threads.
 *
 *     h2_program STORE sync|interval|kernel
 *
 * Each of some threads puts into a shard of its own, alone and in atomic batches, into several segments; one more syncs
 * all, again and again; and one reads what there is. Each says to the recorder what it asks and what it is answered. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libstream/libstream.h>

#include "harness/h2_notes.h"
#include "harness/truth.h"

#define DATA_BYTES_MAX 16384u

static ls_store *store;
static ls_stream *stream;
static ls_shard_info shards[H2_THREADS];
static _Atomic bool has_ended;

static void tell(h2_kind kind, uint64_t id, uint64_t number)
{
    const h2_note note = {.kind = kind, .id = id, .number = number};

    if (h2_recorder_note != NULL)
        h2_recorder_note(&note);
}

static void must(ls_status st, const char *what)
{
    if (st == LS_OK)
        return;
    fprintf(stderr, "h2_program: %s: %s\n", what, ls_last_error_message());
    exit(1);
}

typedef struct put_bytes {
    char key[16];
    unsigned char data[DATA_BYTES_MAX];
} put_bytes;

static void *produce(void *user)
{
    uint32_t which = (uint32_t)(uintptr_t)user, first = which * H2_PUTS + 1;
    put_bytes *of = calloc(H2_BATCH, sizeof(*of));
    ls_producer *producer;

    if (of == NULL)
        abort();
    must(ls_producer_open(stream, NULL, &producer), "opening a producer");
    for (uint32_t done = 0; done < H2_PUTS;) {
        uint32_t count = done % 8 == 2 ? H2_BATCH : 1; /* 2 alone, 6 together */
        ls_put_options options = LS_PUT_OPTIONS_INIT;
        ls_put_entry entries[H2_BATCH];
        ls_put_result results[H2_BATCH];
        ls_status st;

        memset(entries, 0, sizeof entries);
        memset(results, 0, sizeof results);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t put = first + done + i;

            entries[i].partition_key = (ls_bytes){of[i].key, truth_key(put, of[i].key)};
            truth_data(put, of[i].data, h2_bytes_of(put));
            entries[i].data = (ls_bytes){of[i].data, h2_bytes_of(put)};
            entries[i].explicit_hash_key = &shards[which].first_hash_key;
            tell(H2_PUT_BEGINS, put, 0);
        }
        options.flags = count > 1 ? LS_PUT_ATOMIC : 0;
        st = ls_producer_put_batch(producer, entries, count, &options, results, NULL);
        for (uint32_t i = 0; i < count; i++) {
            ls_status of_it = st != LS_OK ? st : results[i].status;

            tell(of_it == LS_OK ? H2_PUT : H2_PUT_FAILS, first + done + i,
                 of_it == LS_OK ? results[i].seqno : (uint64_t)of_it);
        }
        done += count;
    }
    must(ls_producer_close(producer), "closing a producer");
    free(of);
    return NULL;
}

static void *sync_all(void *user)
{
    (void)user;
    for (uint64_t id = 1; !atomic_load(&has_ended); id++) {
        tell(H2_ALL_BEGINS, id, 0);
        must(ls_store_sync(store), "syncing");
        tell(H2_ALL, id, 0);
    }
    return NULL;
}

static void *consume(void *user)
{
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator;

    (void)user;
    options.timeout_ms = 5;
    must(ls_iterator_open_all(stream, NULL, NULL, &iterator), "opening an iterator");
    for (bool is_last = false; !is_last;) {
        const ls_batch *batch;

        is_last = atomic_load(&has_ended);
        must(ls_iterator_next(iterator, &options, &batch), "reading");
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);
            uint32_t put;

            if (record->data.size < TRUTH_MARK_BYTES)
                continue; /* The judge will see it. */
            memcpy(&put, (const char *)record->data.data + 4, sizeof put);
            tell(H2_SEEN, put, 0);
        }
    }
    ls_iterator_close(iterator);
    return NULL;
}

int main(int argc, char **argv)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options about = LS_STREAM_OPTIONS_INIT;
    ls_stream_description *description;
    pthread_t threads[H2_THREADS + 2];

    if (argc != 3)
        return 2;
    options.durability = strcmp(argv[2], "sync") == 0       ? LS_DURABILITY_SYNC
                         : strcmp(argv[2], "interval") == 0 ? LS_DURABILITY_INTERVAL
                                                            : LS_DURABILITY_KERNEL;
    options.segment_bytes = 64u << 10;
    options.flags = LS_STORE_NO_MAPPED_WRITES; /* What is stored into a mapping, nobody sees. */
    options.sync_interval_ms = 20;
    about.shard_count = H2_THREADS;
    about.write_bytes_per_second = 1u << 30;
    about.write_records_per_second = 1000000;
    must(ls_store_open(argv[1], &options, &store), "opening the store");
    tell(H2_STREAM_BEGINS, 0, 0);
    must(ls_stream_create(store, H2_STREAM_NAME, &about), "making the stream");
    must(ls_stream_open(store, H2_STREAM_NAME, &stream), "opening the stream");
    must(ls_stream_describe(stream, &description), "describing the stream");
    tell(H2_STREAM, 0, ls_stream_description_id(description));
    for (uint32_t i = 0; i < H2_THREADS; i++) {
        shards[i] = (ls_shard_info)LS_SHARD_INFO_INIT;
        must(ls_stream_description_shard(description, i, &shards[i]), "describing a shard");
    }
    ls_stream_description_free(description);
    for (uint32_t i = 0; i < H2_THREADS + 2; i++)
        if (pthread_create(&threads[i], NULL, i < H2_THREADS ? produce : i == H2_THREADS ? sync_all : consume,
                           (void *)(uintptr_t)i) != 0)
            abort();
    for (uint32_t i = 0; i < H2_THREADS + 2; i++) {
        if (i == H2_THREADS)
            atomic_store(&has_ended, true);
        (void)pthread_join(threads[i], NULL);
    }
    must(ls_stream_close(stream), "closing the stream");
    tell(H2_ALL_BEGINS, UINT64_MAX, 0);
    must(ls_store_close(store), "closing the store");
    tell(H2_ALL, UINT64_MAX, 0);
    return 0;
}
