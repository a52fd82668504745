/* Many threads on one store: producers with handles of their own, readers of one shard, a merged reader on its event
 * descriptor, one who cancels them, two who open, describe, create and delete. Worth most under the thread sanitizer.
 * At the end every record is there once, in its producer's order, and each reader saw it so (O1, O3). */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <libstream/libstream.h>

#include "support/temp.h"

#define SHARDS 2u
#define PRODUCERS 5u
#define READERS 3u /* one per shard, and a merged one */
#define RUN_MS 1500
#define PUTS_MAX 4000u

typedef struct room {
    ls_store *store;
    ls_stream *stream;
    _Atomic uint32_t producers_done;
    _Atomic uint32_t stop;
    _Atomic uint32_t failures;
    uint64_t put_counts[PRODUCERS];
    ls_iterator *iterators[READERS];
    uint64_t read_counts[READERS];
} room;

typedef struct worker {
    pthread_t thread;
    room *of;
    uint32_t index;
} worker;

/* Threads must not use cmocka's assertions. */
#define check(of, what)                                                                                        \
    do {                                                                                                       \
        if (!(what) && atomic_fetch_add(&(of)->failures, 1) < 10)                                              \
            fprintf(stderr, "thread, line %d: " #what " (%s)\n", __LINE__, ls_last_error_message());           \
    } while (0)

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void *produce(void *user)
{
    worker *self = user;
    room *of = self->of;
    ls_producer *producer = NULL;
    int64_t until = now_ms() + RUN_MS;
    uint64_t count = 0;

    check(of, ls_producer_open(of->stream, NULL, &producer) == LS_OK);
    while (producer != NULL && now_ms() < until && count < PUTS_MAX) {
        char key[32];
        uint64_t data[2] = {self->index, count};

        /* Keys change, so that both shards are used; a producer's records keep their order in each. */
        ls_bytes key_bytes = {key, (size_t)snprintf(key, sizeof key, "%u-%" PRIu64, self->index, count % 13)};
        if (count % 10 == 9) {
            ls_put_entry entries[3];
            ls_put_result results[3];
            uint64_t batch[3][2];
            size_t failed;

            for (uint64_t i = 0; i < 3; i++) {
                batch[i][0] = self->index;
                batch[i][1] = count + i;
                entries[i] = (ls_put_entry){key_bytes, {batch[i], sizeof batch[i]}, NULL};
            }
            check(of, ls_producer_put_batch(producer, entries, 3, NULL, results, &failed) == LS_OK && failed == 0);
            count += 3;
        } else {
            check(of, ls_producer_put(producer, key_bytes, (ls_bytes){data, sizeof data}, NULL, NULL) == LS_OK);
            count++;
        }
    }
    of->put_counts[self->index] = count;
    check(of, ls_producer_close(producer) == LS_OK);
    atomic_fetch_add(&of->producers_done, 1);
    return NULL;
}

/* Reads until the producers are done and nothing is left. */
static void *consume(void *user)
{
    worker *self = user;
    room *of = self->of;
    bool merged = self->index == SHARDS;
    ls_iterator *iterator = of->iterators[self->index];
    uint64_t next[SHARDS][PRODUCERS] = {{0}};
    ls_next_options limits = LS_NEXT_OPTIONS_INIT;
    int32_t fd = -1;

    if (merged)
        check(of, ls_iterator_event_fd(iterator, &fd) == LS_OK);
    limits.timeout_ms = 50;
    limits.records_max = 100;
    for (;;) {
        bool done = atomic_load(&of->producers_done) == PRODUCERS; /* Before the look that finds nothing. */
        const ls_batch *batch = NULL;

        if (merged) {
            struct pollfd wanted = {.fd = fd, .events = POLLIN};
            check(of, poll(&wanted, 1, 50) >= 0);
            limits.timeout_ms = 0;
        }
        ls_status st = ls_iterator_next(iterator, &limits, &batch);
        if (st == LS_ERR_CANCELLED)
            continue;
        check(of, st == LS_OK);
        if (st != LS_OK || (ls_batch_count(batch) == 0 && done))
            break;
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);
            uint64_t data[2] = {PRODUCERS, 0};

            if (record->data.size == sizeof data)
                memcpy(data, record->data.data, sizeof data);
            check(of, record->shard < SHARDS && data[0] < PRODUCERS);
            if (record->shard >= SHARDS || data[0] >= PRODUCERS)
                continue;
            check(of, data[1] >= next[record->shard][data[0]]);
            next[record->shard][data[0]] = data[1] + 1;
        }
        of->read_counts[self->index] += ls_batch_count(batch);
    }
    return NULL;
}

/* Ends with the producers: cancelled all the time, a reader would never be told that nothing is left. */
static void *cancel(void *user)
{
    worker *self = user;
    room *of = self->of;

    while (atomic_load(&of->producers_done) < PRODUCERS) {
        for (uint32_t i = 0; i < READERS; i++)
            ls_iterator_cancel(of->iterators[i]);
        (void)usleep(3000);
    }
    return NULL;
}

/* The catalog changes under everybody's feet. */
static void *create_and_delete(void *user)
{
    worker *self = user;
    room *of = self->of;

    for (int i = 0; atomic_load(&of->stop) == 0; i++) {
        char name[32];
        ls_stream *stream = NULL;
        ls_stream_list *list = NULL;
        ls_stream_description *about = NULL;

        (void)snprintf(name, sizeof name, "made-%u-%d", self->index, i % 3);
        check(of, ls_stream_create(of->store, name, NULL) == LS_OK);
        check(of, ls_stream_open(of->store, name, &stream) == LS_OK);
        check(of, ls_stream_describe(of->stream, &about) == LS_OK);
        check(of, ls_stream_description_shard_count(about) == SHARDS);
        check(of, ls_store_list_streams(of->store, "", 0, &list) == LS_OK);
        check(of, ls_stream_list_count(list) >= 2);
        check(of, ls_store_sync(of->store) == LS_OK);
        check(of, ls_stream_delete(of->store, name) == LS_OK);
        check(of, ls_stream_close(stream) == LS_OK);
        ls_stream_description_free(about);
        ls_stream_list_free(list);
        (void)usleep(2000);
    }
    return NULL;
}

static void start(worker *of, void *(*run)(void *))
{
    assert_int_equal(pthread_create(&of->thread, NULL, run, of), 0);
}

static void run_all(const char *location, ls_durability durability)
{
    static room of;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options about = LS_STREAM_OPTIONS_INIT;
    worker producers[PRODUCERS], readers[READERS], others[3];
    uint64_t put = 0;

    memset(&of, 0, sizeof of);
    options.durability = durability;
    options.segment_bytes = 64u << 10;
    options.sync_interval_ms = 5;
    about.shard_count = SHARDS;
    assert_int_equal(ls_store_open(location, &options, &of.store), LS_OK);
    assert_int_equal(ls_stream_create(of.store, "threads", &about), LS_OK);
    assert_int_equal(ls_stream_open(of.store, "threads", &of.stream), LS_OK);
    for (uint32_t i = 0; i < SHARDS; i++)
        assert_int_equal(ls_iterator_open(of.stream, i, NULL, NULL, &of.iterators[i]), LS_OK);
    assert_int_equal(ls_iterator_open_all(of.stream, NULL, NULL, &of.iterators[SHARDS]), LS_OK);

    for (uint32_t i = 0; i < READERS; i++) {
        readers[i] = (worker){.of = &of, .index = i};
        start(&readers[i], consume);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (worker){.of = &of, .index = i};
        start(&producers[i], produce);
    }
    for (uint32_t i = 0; i < 3; i++) {
        others[i] = (worker){.of = &of, .index = i};
        start(&others[i], i == 0 ? cancel : create_and_delete);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_join(producers[i].thread, NULL), 0);
    for (uint32_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
    atomic_store(&of.stop, 1);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(pthread_join(others[i].thread, NULL), 0);

    for (uint32_t i = 0; i < READERS; i++)
        ls_iterator_close(of.iterators[i]);
    assert_int_equal(ls_stream_close(of.stream), LS_OK);
    assert_int_equal(ls_store_close(of.store), LS_OK);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        put += of.put_counts[i];
    assert_int_equal(atomic_load(&of.failures), 0);
    assert_true(put > PRODUCERS);
    assert_int_equal(of.read_counts[0] + of.read_counts[1], put);
    assert_int_equal(of.read_counts[SHARDS], put);
}

static void threads_share_a_store_in_memory(void **state)
{
    (void)state;
    run_all("memory:", LS_DURABILITY_SYNC);
}

static void share_a_directory(ls_durability durability)
{
    temp_dir temp;

    temp_make(&temp);
    run_all(temp_path(&temp, "store"), durability);
    temp_remove(&temp);
}

static void threads_share_a_directory_in_sync_mode(void **state)
{
    (void)state;
    share_a_directory(LS_DURABILITY_SYNC);
}

static void threads_share_a_directory_in_kernel_mode(void **state)
{
    (void)state;
    share_a_directory(LS_DURABILITY_KERNEL);
}

/* Besides, the library's own thread syncs. */
static void threads_share_a_directory_in_interval_mode(void **state)
{
    (void)state;
    share_a_directory(LS_DURABILITY_INTERVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_a_store_in_memory),
        cmocka_unit_test(threads_share_a_directory_in_sync_mode),
        cmocka_unit_test(threads_share_a_directory_in_kernel_mode),
        cmocka_unit_test(threads_share_a_directory_in_interval_mode),
    };

    return cmocka_run_group_tests_name("many threads on one store", tests, NULL, NULL);
}
