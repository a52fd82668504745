/* Processes that share memory, played by threads, so that the thread sanitizer sees what they do to it: each has a
 * store of its own on one directory, opened and closed again and again, and on files that are mapped once
 * (mapped_once.h). Producers put, one of them with numbers; readers follow, one in mapped files; two have records
 * pushed; two run a mapping; others hold leases of a group and make checkpoints, one of them in transactions with what
 * he puts elsewhere, split and merge, trim, sync, compress, copy, count, create and delete. Segments are small, so they
 * are rolled all the time.
 *
 * Under the sanitizer a word of the control file, a byte of a mapped window or of a file that one reads while another
 * may write it, with nothing that orders the two (P7), ends the test. Anywhere it ends unless each reader saw the
 * records of each producer in their order (O1, O3, O4), without a gap but where it was told of one. */
#include <inttypes.h>
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

#include "api/api.h"
#include "support/mapped_once.h"
#include "support/temp.h"

MAPPED_ONCE_SANITIZER_OPTIONS

#define PRODUCERS 3u
#define READERS 2u
#define WORKERS 2u
#define SUBSCRIBERS 2u
#define RUNS 2u
#define PROCESSES (PRODUCERS + READERS + WORKERS + SUBSCRIBERS + RUNS + 5u)
#define RUN_MS 1500
#define RUN_MS_MAX 60000 /* on a busy machine, until all of it has happened at least once */
#define LIFE_MS 120 /* of a process, about */
#define PUTS_MAX 20000u
#define RETAINED_BYTES (UINT64_C(1) << 20)

/* Threads of the test must not order each other where processes would not: what they share is relaxed. */
typedef struct room {
    char path[TEMP_PATH_BYTES * 2], copy[TEMP_PATH_BYTES * 2];
    ls_store_options options;
    _Atomic bool is_over;
    _Atomic bool is_put; /* all of it */
    _Atomic uint32_t failures;
    _Atomic uint64_t put_counts[PRODUCERS]; /* acknowledged */
    _Atomic uint64_t read_counts[READERS];
    _Atomic uint64_t checkpoints, steps, changes, pushes, invocations, copies, compressions;
} room;

typedef struct process {
    pthread_t thread;
    room *of;
    uint32_t index; /* among its like */
    ls_store *store;
    ls_stream *stream;
    int64_t until;
} process;

/* Threads must not use cmocka's assertions. */
#define check(of, what)                                                                                             \
    do {                                                                                                            \
        if (!(what) && atomic_fetch_add_explicit(&(of)->failures, 1, memory_order_relaxed) < 10)                    \
            fprintf(stderr, "process, line %d: " #what " (%s)\n", __LINE__, ls_last_error_message());               \
    } while (0)

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_set(const _Atomic bool *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void count(_Atomic uint64_t *word, uint64_t by)
{
    atomic_fetch_add_explicit(word, by, memory_order_relaxed);
}

static bool is_any_of(ls_status st, ls_status a, ls_status b, ls_status c)
{
    return st == LS_OK || st == a || st == b || st == c;
}

/* ---- a process ---- */

static bool begin(process *self)
{
    lsi_env env;
    ls_status st;

    lsi_env_default(&env);
    env.files = &mapped_once_files;
    self->store = NULL;
    self->stream = NULL;
    st = lsi_store_open_env(self->of->path, &self->of->options, &env, &self->store);
    check(self->of, st == LS_OK);
    if (st == LS_OK) {
        st = ls_stream_open(self->store, "shared", &self->stream);
        check(self->of, st == LS_OK);
    }
    return st == LS_OK;
}

static void end(process *self)
{
    check(self->of, ls_stream_close(self->stream) == LS_OK);
    check(self->of, ls_store_close(self->store) == LS_OK);
}

/* ---- what they do ---- */

#define DATA_BYTES_MAX 3000u

static void fill(unsigned char *data, size_t size, uint64_t who, uint64_t number)
{
    memset(data, (int)(number & 0xff), size);
    memcpy(data, &who, sizeof who);
    memcpy(data + sizeof who, &number, sizeof number);
}

static size_t size_of(uint64_t who, uint64_t number)
{
    return 16 + (size_t)((number * 7919 + who * 104729) % (number % 8 == 0 ? DATA_BYTES_MAX - 16 : 200));
}

/* Each a key, so all that a producer puts has one order, through splits and merges (O4). */
static void *produce(void *user)
{
    process *self = user;
    room *of = self->of;
    uint64_t number = 0;
    unsigned char data[3][DATA_BYTES_MAX];

    while (!is_set(&of->is_over) && begin(self)) {
        int64_t until = now_ms() + LIFE_MS;
        char key[16];
        ls_bytes key_bytes = {key, (size_t)snprintf(key, sizeof key, "of-%u", self->index)};
        ls_producer *producer = NULL;

        check(of, ls_producer_open(self->stream, NULL, &producer) == LS_OK);
        while (producer != NULL && now_ms() < until && number < PUTS_MAX) {
            ls_put_options options = LS_PUT_OPTIONS_INIT;
            ls_put_entry entries[3];
            ls_put_result results[3];
            uint32_t many = number % 10 < 7 ? 1 : 3;
            size_t failed = 0;

            if (self->index == 0)
                options.producer = (ls_producer_id){7, 7};
            options.number = self->index == 0 ? number + 1 : 0;
            for (uint32_t i = 0; i < many; i++) {
                size_t size = size_of(self->index, number + i);

                fill(data[i], size, self->index, number + i);
                entries[i] = (ls_put_entry){key_bytes, {data[i], size}, NULL};
            }
            if (many == 1)
                check(of, ls_producer_put(producer, key_bytes, entries[0].data, &options, NULL) == LS_OK);
            else
                check(of, ls_producer_put_batch(producer, entries, many, &options, results, &failed) == LS_OK &&
                              failed == 0);
            number += many;
            atomic_store_explicit(&of->put_counts[self->index], number, memory_order_relaxed);
        }
        check(of, ls_producer_close(producer) == LS_OK);
        end(self);
    }
    return NULL;
}

typedef struct follower {
    uint64_t next[PRODUCERS];
    bool may_miss[PRODUCERS]; /* some before the next one: it begins, or was told that they were trimmed */
    char place[65536];
    uint64_t read_count;
} follower;

static void missed(follower *reader)
{
    for (uint32_t i = 0; i < PRODUCERS; i++)
        reader->may_miss[i] = true;
}

static void look_at(room *of, follower *reader, const ls_batch *batch)
{
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *record = ls_batch_at(batch, i);
        unsigned char right[DATA_BYTES_MAX];
        uint64_t said[2] = {PRODUCERS, 0};

        if (record->data.size >= sizeof said)
            memcpy(said, record->data.data, sizeof said);
        check(of, said[0] < PRODUCERS && record->data.size == size_of(said[0], said[1]));
        if (said[0] >= PRODUCERS || record->data.size > sizeof right)
            continue;
        fill(right, record->data.size, said[0], said[1]);
        check(of, memcmp(record->data.data, right, record->data.size) == 0);
        check(of, said[1] == reader->next[said[0]] || (reader->may_miss[said[0]] && said[1] > reader->next[said[0]]));
        reader->next[said[0]] = said[1] + 1;
        reader->may_miss[said[0]] = false;
    }
    reader->read_count += ls_batch_count(batch);
}

/* Until `until`, or, once all is put, until nothing comes. True: nothing came. */
static bool follow(process *self, follower *reader, ls_iterator *iterator, int64_t until)
{
    ls_next_options limits = LS_NEXT_OPTIONS_INIT;

    limits.timeout_ms = 20;
    limits.records_max = 50;
    while (now_ms() < until) {
        bool is_all = is_set(&self->of->is_put); /* Before the look that finds nothing. */
        const ls_batch *batch = NULL;
        ls_status st = ls_iterator_next(iterator, &limits, &batch);

        if (st == LS_ERR_TRIMMED) {
            missed(reader);
            continue;
        }
        check(self->of, st == LS_OK);
        if (st != LS_OK || (ls_batch_count(batch) == 0 && is_all))
            return true;
        look_at(self->of, reader, batch);
    }
    return false;
}

static void *read_on(void *user)
{
    process *self = user;
    room *of = self->of;
    follower reader = {0};
    ls_iterator_options options = LS_ITERATOR_OPTIONS_INIT;
    bool is_done = false;

    missed(&reader); /* It begins with the oldest that is there. */
    options.flags = self->index == 0 ? 0 : LS_ITERATOR_MAPPED;
    while (!is_done && begin(self)) {
        ls_iterator *iterator = NULL;

        check(of, (reader.place[0] == 0 ? ls_iterator_open_all(self->stream, NULL, &options, &iterator)
                                        : ls_iterator_open_place(self->stream, reader.place, &options, &iterator)) ==
                      LS_OK);
        is_done = iterator == NULL || follow(self, &reader, iterator, now_ms() + LIFE_MS);
        if (iterator != NULL)
            check(of, ls_iterator_place(iterator, reader.place, sizeof reader.place, NULL) == LS_OK);
        ls_iterator_close(iterator);
        end(self);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++) { /* is_put came after these. */
        uint64_t put = atomic_load_explicit(&of->put_counts[i], memory_order_relaxed);

        check(of, reader.next[i] == put || (reader.may_miss[i] && reader.next[i] < put));
    }
    atomic_store_explicit(&of->read_counts[self->index], reader.read_count, memory_order_relaxed);
    return NULL;
}

/* The checkpoint, and a record for each of two shards of another stream, all or nothing. */
static ls_status checkpoint_with_records(process *self, ls_lease *lease, ls_seqno seqno)
{
    ls_stream *aside = NULL;
    ls_txn *txn = NULL;
    ls_status st = ls_stream_open(self->store, "aside", &aside);

    if (st == LS_OK)
        st = ls_txn_begin(self->store, NULL, &txn);
    for (uint32_t i = 0; i < 2 && st == LS_OK; i++) {
        ls_put_options options = LS_PUT_OPTIONS_INIT;
        ls_hash_key at = {i == 0 ? 0 : UINT64_MAX, 0};

        options.explicit_hash_key = &at;
        st = ls_txn_put(txn, aside, (ls_bytes){"key", 3}, (ls_bytes){&seqno, sizeof seqno}, &options);
    }
    if (st == LS_OK)
        st = ls_txn_checkpoint(txn, lease, seqno, UINT32_MAX);
    if (st == LS_OK)
        st = ls_txn_commit(txn, NULL, 0);
    count(&self->of->steps, st == LS_OK);
    ls_txn_close(txn);
    check(self->of, ls_stream_close(aside) == LS_OK);
    return st;
}

/* Works on a shard for a moment: some batches, each noted. */
static void work_on(process *self, ls_lease *lease)
{
    ls_lease_info about = LS_LEASE_INFO_INIT;
    ls_iterator *iterator = NULL;
    ls_next_options limits = LS_NEXT_OPTIONS_INIT;
    ls_status st = ls_lease_describe(lease, &about);

    limits.records_max = 40;
    check(self->of, st == LS_OK);
    if (st != LS_OK || about.state == LS_LEASE_ENDED)
        return;
    st = ls_iterator_open(self->stream, about.shard, &about.position, NULL, &iterator);
    check(self->of, is_any_of(st, LS_ERR_NOT_FOUND, LS_ERR_TRIMMED, LS_OK));
    for (int i = 0; st == LS_OK && i < 4; i++) {
        const ls_batch *batch = NULL;

        st = ls_iterator_next(iterator, &limits, &batch);
        check(self->of, is_any_of(st, LS_ERR_NOT_FOUND, LS_ERR_TRIMMED, LS_OK));
        if (st == LS_ERR_TRIMMED) { /* It is told, and goes on with the oldest. */
            st = LS_OK;
            continue;
        }
        if (st != LS_OK)
            break;
        bool is_end = ls_batch_is_shard_end(batch) != 0;
        size_t records = ls_batch_count(batch);
        if (records > 0) {
            ls_seqno last = ls_batch_at(batch, records - 1)->seqno;

            st = i % 2 == 0 ? ls_lease_checkpoint(lease, last, UINT32_MAX)
                            : checkpoint_with_records(self, lease, last);
        }
        if (st == LS_OK && is_end)
            st = ls_lease_end(lease);
        check(self->of, is_any_of(st, LS_ERR_LEASE_LOST, LS_ERR_NOT_FOUND, LS_OK));
        count(&self->of->checkpoints, st == LS_OK && (records > 0 || is_end));
        if (is_end)
            break;
    }
    ls_iterator_close(iterator);
}

static void *work(void *user)
{
    process *self = user;
    room *of = self->of;

    while (!is_set(&of->is_over) && begin(self)) {
        int64_t until = now_ms() + LIFE_MS;
        ls_group_options options = LS_GROUP_OPTIONS_INIT;
        ls_group *group = NULL;

        options.failover_ms = 1000;
        check(of, ls_group_open(self->stream, "workers", &options, &group) == LS_OK);
        while (group != NULL && now_ms() < until) {
            ls_group_event event = LS_GROUP_EVENT_INIT;
            ls_status st = ls_group_next(group, 10, &event);

            check(of, st == LS_OK);
            if (st != LS_OK)
                break;
            if (event.kind == LS_GROUP_TAKEN)
                work_on(self, event.lease);
            if (event.kind != LS_GROUP_NOTHING && event.kind != LS_GROUP_TAKEN)
                check(of, ls_lease_close(event.lease) == LS_OK);
        }
        check(of, ls_group_close(group) == LS_OK);
        end(self);
    }
    return NULL;
}

/* Records are looked at as they come, from the oldest on each time. */
static ls_push_answer take(const ls_batch *batch, void *user)
{
    process *self = user;

    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *record = ls_batch_at(batch, i);

        check(self->of, record->data.size >= 16 && record->data.size < DATA_BYTES_MAX);
    }
    count(&self->of->pushes, 1);
    return now_ms() < self->until ? LS_PUSH_DONE : LS_PUSH_STOP;
}

static void *subscribe(void *user)
{
    process *self = user;
    room *of = self->of;

    while (!is_set(&of->is_over) && begin(self)) {
        ls_subscribe_options options = LS_SUBSCRIBE_OPTIONS_INIT;
        ls_consumer *consumer = NULL;

        options.heartbeat_ms = 10;
        options.records_max = 50;
        self->until = now_ms() + LIFE_MS;
        check(of, ls_consumer_open(self->stream, self->index == 0 ? "one" : "other", &consumer) == LS_OK);
        if (consumer != NULL) {
            ls_status st = ls_consumer_subscribe_all(consumer, NULL, &options, take, self);

            /* STATE: the one before began less than 5 s ago. */
            check(of, is_any_of(st, LS_ERR_STATE, LS_ERR_LEASE_LOST, LS_ERR_TRIMMED));
        }
        check(of, ls_consumer_close(consumer) == LS_OK);
        (void)usleep(5000);
        end(self);
    }
    return NULL;
}

static ls_handler_answer handle(const ls_batch *batch, ls_handler_context *context, void *user)
{
    process *self = user;

    (void)context;
    check(self->of, ls_batch_count(batch) > 0);
    count(&self->of->invocations, 1);
    return now_ms() < self->until ? LS_HANDLER_DONE : LS_HANDLER_STOP;
}

static void *run_mapping(void *user)
{
    process *self = user;
    room *of = self->of;

    while (!is_set(&of->is_over) && begin(self)) {
        ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;
        ls_mapping *mapping = NULL;

        options.flags = LS_RUN_UNTIL_CAUGHT_UP;
        options.failover_ms = 1000;
        self->until = now_ms() + LIFE_MS;
        check(of, ls_mapping_open(self->stream, "handled", &mapping) == LS_OK);
        if (mapping != NULL)
            check(of, ls_mapping_run(mapping, &options, handle, self) == LS_OK);
        check(of, ls_mapping_close(mapping) == LS_OK);
        end(self);
    }
    return NULL;
}

/* Two shards become one and three again, by turns. */
static void *reshard(void *user)
{
    process *self = user;
    room *of = self->of;
    uint32_t round = 0;

    for (; !is_set(&of->is_over) && begin(self); round++) {
        ls_status st = ls_stream_update_shard_count(self->stream, 1 + round % 3, NULL);

        check(of, st == LS_OK);
        count(&of->changes, 1);
        (void)usleep(30000);
        end(self);
    }
    return NULL;
}

static void *keep_up(void *user)
{
    process *self = user;
    room *of = self->of;

    for (uint32_t round = 0; !is_set(&of->is_over) && begin(self); round++) {
        ls_stream_description *about = NULL;

        check(of, ls_store_maintain(self->store, -1) == LS_OK);
        check(of, ls_stream_set_retention_bytes(self->stream, RETAINED_BYTES + (round & 1) * 65536) == LS_OK);
        check(of, ls_stream_describe(self->stream, &about) == LS_OK);
        ls_stream_description_free(about);
        check(of, ls_store_sync(self->store) == LS_OK);
        (void)usleep(20000);
        end(self);
    }
    return NULL;
}

static void *create_and_delete(void *user)
{
    process *self = user;
    room *of = self->of;

    for (uint32_t round = 0; !is_set(&of->is_over) && begin(self); round++) {
        ls_stream *made = NULL;
        ls_producer *producer = NULL;
        char name[16];

        (void)snprintf(name, sizeof name, "made-%u", round % 3);
        check(of, ls_stream_create(self->store, name, NULL) == LS_OK);
        check(of, ls_stream_open(self->store, name, &made) == LS_OK);
        check(of, ls_producer_open(made, NULL, &producer) == LS_OK);
        check(of, ls_producer_put(producer, (ls_bytes){"key", 3}, (ls_bytes){"data", 4}, NULL, NULL) == LS_OK);
        check(of, ls_producer_close(producer) == LS_OK);
        check(of, ls_stream_close(made) == LS_OK);
        check(of, ls_stream_delete(self->store, name) == LS_OK);
        (void)usleep(10000);
        end(self);
    }
    return NULL;
}

static ls_status forget(const char *bytes, size_t size, void *user)
{
    (void)bytes;
    (void)size;
    (void)user;
    return LS_OK;
}

static void *copy_and_count(void *user)
{
    process *self = user;
    room *of = self->of;

    while (!is_set(&of->is_over) && begin(self)) {
        check(of, ls_metrics_write_text(self->store, forget, NULL) == LS_OK);
        check(of, ls_store_backup(self->store, of->copy, NULL) == LS_OK);
        count(&of->copies, 1);
        (void)usleep(20000);
        end(self);
    }
    return NULL;
}

static void *compress(void *user)
{
    process *self = user;
    room *of = self->of;

    for (uint32_t round = 0; !is_set(&of->is_over) && begin(self); round++) {
        check(of, ls_stream_set_compression(self->store, "shared", (round & 1) == 0 ? LS_COMPRESSION_ZSTD
                                                                                 : LS_COMPRESSION_NONE) == LS_OK);
        check(of, ls_stream_recompress(self->stream, -1, NULL) == LS_OK);
        count(&of->compressions, 1);
        (void)usleep(20000);
        end(self);
    }
    return NULL;
}

/* ---- the tests ---- */

static void start(process *of, room *in, uint32_t index, void *(*run)(void *))
{
    *of = (process){.of = in, .index = index};
    assert_int_equal(pthread_create(&of->thread, NULL, run, of), 0);
}

static bool has_happened(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed) > 0;
}

static bool has_all_happened(const room *of)
{
    bool all = has_happened(&of->checkpoints) && has_happened(&of->changes) && has_happened(&of->pushes) &&
               has_happened(&of->steps) && has_happened(&of->invocations) && has_happened(&of->copies) &&
               has_happened(&of->compressions);

    for (uint32_t i = 0; i < PRODUCERS; i++)
        all = all && has_happened(&of->put_counts[i]);
    return all;
}

/* One by one, for the line that says which did not. */
static void assert_all_happened(const room *of)
{
    assert_true(has_happened(&of->checkpoints));
    assert_true(has_happened(&of->changes));
    assert_true(has_happened(&of->pushes));
    assert_true(has_happened(&of->steps));
    assert_true(has_happened(&of->invocations));
    assert_true(has_happened(&of->copies));
    assert_true(has_happened(&of->compressions));
    assert_true(has_all_happened(of));
}

static void wait_for_all(const room *of)
{
    int64_t from = now_ms(), took;

    do {
        (void)usleep(10000);
        took = now_ms() - from;
    } while (took < RUN_MS || (took < RUN_MS_MAX && !has_all_happened(of)));
}

static void run_all(ls_durability durability)
{
    static room of;
    const ls_position oldest = {.kind = LS_TRIM_HORIZON};
    process all[PROCESSES], first = {.of = &of};
    ls_stream_options about = LS_STREAM_OPTIONS_INIT;
    uint32_t started = READERS;
    lsi_env env;
    temp_dir temp;

    memset(&of, 0, sizeof of);
    temp_make(&temp);
    memcpy(of.path, temp_path(&temp, "store"), sizeof of.path);
    memcpy(of.copy, temp_path(&temp, "copy"), sizeof of.copy);
    of.options = (ls_store_options)LS_STORE_OPTIONS_INIT;
    of.options.durability = durability;
    of.options.segment_bytes = 64u << 10;
    of.options.sync_interval_ms = 5;
    of.options.busy_timeout_ms = 120000; /* A busy machine under a sanitizer is slow, and nobody is stopped here. */
    about.shard_count = 2;
    about.retention_bytes = RETAINED_BYTES;
    mapped_once_begin();
    lsi_env_default(&env);
    env.files = &mapped_once_files;
    assert_int_equal(lsi_store_open_env(of.path, &of.options, &env, &first.store), LS_OK);
    assert_int_equal(ls_stream_create(first.store, "shared", &about), LS_OK);
    assert_int_equal(ls_stream_open(first.store, "shared", &first.stream), LS_OK);
    assert_int_equal(ls_consumer_register(first.stream, "one", NULL), LS_OK);
    assert_int_equal(ls_consumer_register(first.stream, "other", NULL), LS_OK);
    assert_int_equal(ls_mapping_create(first.stream, "handled", &oldest, NULL), LS_OK);
    assert_int_equal(ls_stream_create(first.store, "aside", &about), LS_OK);
    end(&first);

    for (uint32_t i = 0; i < READERS; i++)
        start(&all[i], &of, i, read_on);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        start(&all[started++], &of, i, produce);
    for (uint32_t i = 0; i < WORKERS; i++)
        start(&all[started++], &of, i, work);
    for (uint32_t i = 0; i < SUBSCRIBERS; i++)
        start(&all[started++], &of, i, subscribe);
    for (uint32_t i = 0; i < RUNS; i++)
        start(&all[started++], &of, i, run_mapping);
    start(&all[started++], &of, 0, reshard);
    start(&all[started++], &of, 0, keep_up);
    start(&all[started++], &of, 0, create_and_delete);
    start(&all[started++], &of, 0, copy_and_count);
    start(&all[started++], &of, 0, compress);
    wait_for_all(&of);
    atomic_store_explicit(&of.is_over, true, memory_order_relaxed);
    while (started-- > READERS)
        assert_int_equal(pthread_join(all[started].thread, NULL), 0);
    atomic_store_explicit(&of.is_put, true, memory_order_relaxed);
    for (uint32_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(all[i].thread, NULL), 0);

    mapped_once_end();
    temp_remove(&temp);
    assert_int_equal(atomic_load(&of.failures), 0);
    assert_all_happened(&of);
    for (uint32_t i = 0; i < READERS; i++)
        assert_true(has_happened(&of.read_counts[i]));
}

static void in_sync_mode_what_processes_share_is_ordered(void **state)
{
    (void)state;
    run_all(LS_DURABILITY_SYNC);
}

/* Small records are stored into mapped windows. */
static void in_kernel_mode_what_processes_share_is_ordered(void **state)
{
    (void)state;
    run_all(LS_DURABILITY_KERNEL);
}

static void in_interval_mode_what_processes_share_is_ordered(void **state)
{
    (void)state;
    run_all(LS_DURABILITY_INTERVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_sync_mode_what_processes_share_is_ordered),
        cmocka_unit_test(in_kernel_mode_what_processes_share_is_ordered),
        cmocka_unit_test(in_interval_mode_what_processes_share_is_ordered),
    };

    return cmocka_run_group_tests_name("processes that share memory, as threads", tests, NULL, NULL);
}
