/* producer.h, through the whole library: what tests/produce proves of the room on a made-up engine is not repeated. */
#include "api/support.h"

#include <errno.h>
#include <pthread.h>

#include "api/api.h"
#include "base/hash.h"
#include "base/u128.h"
#include "support/sim_files.h"

/* A store with one stream and a producer on it. */
typedef struct work {
    fixture *fx;
    ls_stream *stream;
    ls_producer *producer;
} work;

static work start(void **state, uint32_t shard_count)
{
    work w = {.fx = *state};

    w.stream = make_stream(w.fx, "orders", shard_count);
    assert_int_equal(ls_producer_open(w.stream, NULL, &w.producer), LS_OK);
    return w;
}

static void finish(work *w)
{
    assert_int_equal(ls_producer_close(w->producer), LS_OK);
    assert_int_equal(ls_stream_close(w->stream), LS_OK);
}

/* How many records shard `shard` shows. */
static size_t count(ls_stream *stream, uint32_t shard)
{
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    size_t n = 0;

    assert_int_equal(ls_iterator_open(stream, shard, NULL, NULL, &iterator), LS_OK);
    do {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        n += ls_batch_count(batch);
    } while (ls_batch_count(batch) > 0);
    ls_iterator_close(iterator);
    return n;
}

static void null_arguments_are_refused_by_name(void **state)
{
    work w = start(state, 1);
    ls_producer *producer = NULL;

    assert_int_equal(ls_producer_open(NULL, NULL, &producer), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'stream'"));
    assert_int_equal(ls_producer_open(w.stream, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_producer_put(NULL, text("k"), text("d"), NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_producer_put_batch(NULL, NULL, 0, NULL, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_producer_put_batch(w.producer, NULL, 1, NULL, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'entries'"));
    assert_int_equal(ls_producer_flush(NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_producer_put(w.producer, (ls_bytes){NULL, 3}, text("d"), NULL, NULL),
                     LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_producer_put(w.producer, text("k"), (ls_bytes){NULL, 3}, NULL, NULL),
                     LS_ERR_INVALID_ARGUMENT);
    finish(&w);
}

static void options_out_of_their_range_are_refused(void **state)
{
    const ls_put_entry entry = {text("k"), text("d"), NULL};
    const ls_put_options init = LS_PUT_OPTIONS_INIT;
    ls_producer_options producer_options = LS_PRODUCER_OPTIONS_INIT;
    const ls_hash_key key = {0, 0};
    work w = start(state, 1);
    ls_producer *producer = NULL;
    ls_put_options options;

    producer_options.reserved = 1;
    assert_int_equal(ls_producer_open(w.stream, &producer_options, &producer), LS_ERR_INVALID_ARGUMENT);
    assert_null(producer);
#define REFUSED(set, batch_too)                                                                               \
    do {                                                                                                      \
        options = init;                                                                                       \
        set;                                                                                                  \
        assert_int_equal(ls_producer_put(w.producer, text("k"), text("d"), &options, NULL),                   \
                         LS_ERR_INVALID_ARGUMENT);                                                            \
        if (batch_too)                                                                                        \
            assert_int_equal(ls_producer_put_batch(w.producer, &entry, 1, &options, NULL, NULL),              \
                             LS_ERR_INVALID_ARGUMENT);                                                        \
    } while (0)
    REFUSED(options.size = 3, true);
    REFUSED(options.durability = -1, true);
    REFUSED(options.durability = 4, true);
    REFUSED(options.flags = 2, true);
    REFUSED(options.flags = LS_PUT_ATOMIC, false); /* for batches only */
    REFUSED(options.reserved = 1, true);
#undef REFUSED
    options = init;
    options.explicit_hash_key = &key; /* for single puts only */
    assert_int_equal(ls_producer_put_batch(w.producer, &entry, 1, &options, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(count(w.stream, 0), 0);
    finish(&w);
}

/* What is put is read: key, data, number, shard; a key may hold U+0000 and data may be empty. */
static void what_is_put_is_read(void **state)
{
    work w = start(state, 1);
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    const ls_record *r;
    ls_record_id a, b;

    assert_int_equal(ls_producer_put(w.producer, (ls_bytes){"a\0b", 3}, text("data"), NULL, &a), LS_OK);
    assert_int_equal(ls_producer_put(w.producer, text("\xc3\xa9"), (ls_bytes){NULL, 0}, NULL, &b), LS_OK);
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 2);
    r = ls_batch_records(batch);
    assert_int_equal(r[0].partition_key.size, 3);
    assert_memory_equal(r[0].partition_key.data, "a\0b", 3);
    assert_int_equal(r[0].data.size, 4);
    assert_memory_equal(r[0].data.data, "data", 4);
    assert_int_equal(r[0].seqno, a.seqno);
    assert_int_equal(r[0].shard, 0);
    assert_int_equal(r[0].flags, 0);
    assert_true(r[0].arrival_us > INT64_C(1600000000000000));
    assert_int_equal(r[1].data.size, 0);
    assert_int_equal(r[1].seqno, b.seqno);
    assert_true(r[1].arrival_us >= r[0].arrival_us);
    ls_iterator_close(iterator);
    finish(&w);
}

/* Trap 15: keys of 1 to 256 code points of UTF-8, whatever their bytes; the record's limit counts key and data. */
static void keys_and_records_have_their_limits(void **state)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    work w = start(state, 1);
    ls_stream *small = NULL;
    ls_producer *producer = NULL;
    char key[257 * 4], *large = calloc(1, 1u << 20);

    for (size_t i = 0; i < 257; i++)
        memcpy(key + 4 * i, "\xf0\x9f\x93\x96", 4);
    assert_int_equal(ls_producer_put(w.producer, (ls_bytes){key, 256 * 4}, text("d"), NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_put(w.producer, (ls_bytes){key, 257 * 4}, text("d"), NULL, NULL), LS_ERR_TOO_LARGE);
    memset(key, 'k', 257);
    assert_int_equal(ls_producer_put(w.producer, (ls_bytes){key, 256}, text("d"), NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_put(w.producer, (ls_bytes){key, 257}, text("d"), NULL, NULL), LS_ERR_TOO_LARGE);
    assert_int_equal(ls_producer_put(w.producer, text(""), text("d"), NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_producer_put(w.producer, text("\xc0\x80"), text("d"), NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_producer_put(w.producer, text("k"), (ls_bytes){large, (1u << 20) - 1}, NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_put(w.producer, text("k"), (ls_bytes){large, 1u << 20}, NULL, NULL),
                     LS_ERR_TOO_LARGE);
    options.record_bytes_max = 1024;
    assert_int_equal(ls_stream_create(w.fx->store, "small", &options), LS_OK);
    assert_int_equal(ls_stream_open(w.fx->store, "small", &small), LS_OK);
    assert_int_equal(ls_producer_open(small, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("kk"), (ls_bytes){large, 1022}, NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("kk"), (ls_bytes){large, 1023}, NULL, NULL), LS_ERR_TOO_LARGE);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(small), LS_OK);
    assert_int_equal(count(w.stream, 0), 3);
    free(large);
    finish(&w);
}

/* MD5 of the key as a big-endian number chooses; the hash of "1" to "4" is known to lie in the upper half. */
static void the_hash_of_the_key_chooses_the_shard(void **state)
{
    static const char *const upper[] = {"1", "2", "3", "4"};
    work w = start(state, 2);
    ls_record_id id;

    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(ls_producer_put(w.producer, text(upper[i]), text("d"), NULL, &id), LS_OK);
        assert_int_equal(id.shard, 1);
    }
    /* MD5("a") is 0cc175b9c0f1b6a831c399e269772661. */
    assert_int_equal(ls_producer_put(w.producer, text("a"), text("d"), NULL, &id), LS_OK);
    assert_int_equal(id.shard, 0);
    finish(&w);
}

/* An explicit hash key decides, at both ends of each range, and is stored with the record. */
static void an_explicit_hash_key_decides_and_is_kept(void **state)
{
    const ls_hash_key keys[] = {{0, 0}, {UINT64_MAX >> 1, UINT64_MAX}, {UINT64_C(1) << 63, 0},
                                {UINT64_MAX, UINT64_MAX}};
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    work w = start(state, 2);

    for (size_t i = 0; i < 4; i++) {
        ls_iterator *iterator = NULL;
        const ls_batch *batch = NULL;
        ls_position position = {LS_AT_SEQUENCE_NUMBER, 0, 0, 0};
        const ls_record *r;
        ls_record_id id;

        options.explicit_hash_key = &keys[i];
        assert_int_equal(ls_producer_put(w.producer, text("k"), text("d"), &options, &id), LS_OK);
        assert_int_equal(id.shard, i / 2);
        position.seqno = id.seqno;
        assert_int_equal(ls_iterator_open(w.stream, id.shard, &position, NULL, &iterator), LS_OK);
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        r = ls_batch_at(batch, 0);
        assert_int_equal(r->flags, LS_RECORD_EXPLICIT_HASH_KEY);
        assert_int_equal(lsi_u128_compare(r->explicit_hash_key, keys[i]), 0);
        ls_iterator_close(iterator);
        iterator = NULL;

        /* Of a record without one there is none. */
        assert_int_equal(ls_producer_put(w.producer, text("k"), text("d"), NULL, &id), LS_OK);
        position.seqno = id.seqno;
        assert_int_equal(ls_iterator_open(w.stream, id.shard, &position, NULL, &iterator), LS_OK);
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        r = ls_batch_at(batch, 0);
        assert_int_equal(r->flags, 0);
        assert_int_equal(lsi_u128_compare(r->explicit_hash_key, (ls_hash_key){0, 0}), 0);
        assert_int_equal(r->sub_seqno, 0);
        assert_int_equal(r->sub_count, 0);
        ls_iterator_close(iterator);
    }
    finish(&w);
}

/* Each durability may be asked for in each mode, and flush works in all. */
static void every_durability_may_be_asked_for_in_every_mode(void **state)
{
    fixture *fx = *state;

    for (ls_durability mode = LS_DURABILITY_KERNEL; mode <= LS_DURABILITY_SYNC; mode++) {
        ls_store_options store_options = LS_STORE_OPTIONS_INIT;
        ls_producer *producer = NULL;
        ls_stream *stream = NULL;
        ls_store *store = NULL;
        char name[24];

        snprintf(name, sizeof name, "mode-%d", mode);
        store_options.durability = mode;
        assert_int_equal(ls_store_open(in_memory ? "memory:" : temp_path(&fx->temp, name), &store_options, &store),
                         LS_OK);
        assert_int_equal(ls_stream_create(store, "orders", NULL), LS_OK);
        assert_int_equal(ls_stream_open(store, "orders", &stream), LS_OK);
        assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
        for (ls_durability asked = LS_DURABILITY_DEFAULT; asked <= LS_DURABILITY_SYNC; asked++) {
            ls_put_options options = LS_PUT_OPTIONS_INIT;

            options.durability = asked;
            assert_int_equal(ls_producer_put(producer, text("k"), text("d"), &options, NULL), LS_OK);
            assert_int_equal(ls_producer_flush(producer), LS_OK);
        }
        assert_int_equal(count(stream, 0), 4);
        assert_int_equal(ls_producer_close(producer), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        assert_int_equal(ls_store_close(store), LS_OK);
    }
}

/* A batch over several shards: each record its result, in order per shard, read back as told. */
static void a_batch_is_read_as_its_results_say(void **state)
{
    enum { MANY = 500 };
    ls_put_entry *entries = calloc(MANY, sizeof *entries);
    ls_put_result *results = calloc(MANY, sizeof *results);
    char (*keys)[24] = calloc(MANY, sizeof *keys);
    ls_seqno last[4] = {0};
    work w = start(state, 4);
    size_t failed = 9, total = 0;

    for (size_t i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof keys[i], "key-%zu", i);
        entries[i] = (ls_put_entry){text(keys[i]), text(keys[i]), NULL};
    }
    assert_int_equal(ls_producer_put_batch(w.producer, entries, MANY, NULL, results, &failed), LS_OK);
    assert_int_equal(failed, 0);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(results[i].status, LS_OK);
        assert_true(results[i].seqno > last[results[i].shard]);
        last[results[i].shard] = results[i].seqno;
    }
    for (uint32_t shard = 0; shard < 4; shard++) {
        ls_iterator *iterator = NULL;
        const ls_batch *batch = NULL;
        size_t at = 0;

        assert_int_equal(ls_iterator_open(w.stream, shard, NULL, NULL, &iterator), LS_OK);
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        for (size_t i = 0; i < MANY; i++) {
            const ls_record *r = ls_batch_at(batch, at);

            if (results[i].shard != shard)
                continue;
            assert_non_null(r);
            assert_int_equal(r->seqno, results[i].seqno);
            assert_int_equal(r->data.size, strlen(keys[i]));
            assert_memory_equal(r->data.data, keys[i], r->data.size);
            at++;
        }
        assert_int_equal(at, ls_batch_count(batch));
        total += at;
        ls_iterator_close(iterator);
    }
    assert_int_equal(total, MANY);
    assert_int_equal(ls_producer_put_batch(w.producer, entries, 0, NULL, NULL, &failed), LS_OK);
    entries[7].partition_key = text("");
    assert_int_equal(ls_producer_put_batch(w.producer, entries, MANY, NULL, results, &failed),
                     LS_ERR_INVALID_ARGUMENT);
    assert_true(says("record 7"));
    assert_int_equal(count(w.stream, 0) + count(w.stream, 1) + count(w.stream, 2) + count(w.stream, 3), MANY);
    free(entries);
    free(results);
    free(keys);
    finish(&w);
}

/* All or nothing, for one shard: consecutive numbers, one time; refused over several shards. */
static void an_atomic_batch_is_of_one_shard(void **state)
{
    const ls_hash_key low = {0, 0}, high = {UINT64_MAX, 0};
    ls_put_entry entries[] = {{text("k"), text("1"), &low}, {text("k"), text("2"), &low}, {text("k"), text("3"), &low}};
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_put_result results[3];
    work w = start(state, 2);
    size_t failed;

    options.flags = LS_PUT_ATOMIC;
    assert_int_equal(ls_producer_put_batch(w.producer, entries, 3, &options, results, &failed), LS_OK);
    assert_int_equal(failed, 0);
    assert_true(results[0].seqno < results[1].seqno && results[1].seqno < results[2].seqno);
    assert_int_equal(count(w.stream, 0), 3);
    entries[2].explicit_hash_key = &high;
    assert_int_equal(ls_producer_put_batch(w.producer, entries, 3, &options, results, &failed),
                     LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(count(w.stream, 0) + count(w.stream, 1), 3);
    finish(&w);
}

/* The largest batches there may be: 65,536 records; an atomic one near 16 MiB. One more is refused. */
static void the_largest_batches_fit(void **state)
{
    enum { MOST = 65536 };
    ls_put_entry *entries = calloc(MOST + 1, sizeof *entries);
    char *megabyte = calloc(1, 1u << 20);
    ls_put_options atomic = LS_PUT_OPTIONS_INIT;
    work w = start(state, 1);
    size_t failed = 9;

    atomic.flags = LS_PUT_ATOMIC;
    for (size_t i = 0; i <= MOST; i++)
        entries[i] = (ls_put_entry){text("k"), text("d"), NULL};
    assert_int_equal(ls_producer_put_batch(w.producer, entries, MOST + 1, NULL, NULL, &failed), LS_ERR_TOO_LARGE);
    assert_int_equal(ls_producer_put_batch(w.producer, entries, MOST, NULL, NULL, &failed), LS_OK);
    assert_int_equal(failed, 0);
    assert_int_equal(count(w.stream, 0), MOST);
    for (size_t i = 0; i < 16; i++)
        entries[i].data = (ls_bytes){megabyte, (1u << 20) - 1};
    assert_int_equal(ls_producer_put_batch(w.producer, entries, 15, &atomic, NULL, &failed), LS_OK);
    assert_int_equal(ls_producer_put_batch(w.producer, entries, 16, &atomic, NULL, &failed), LS_ERR_TOO_LARGE);
    assert_int_equal(ls_producer_put_batch(w.producer, entries, 16, NULL, NULL, &failed), LS_OK);
    assert_int_equal(failed, 0);
    assert_int_equal(count(w.stream, 0), MOST + 31);
    /* To the byte: few records are bounded by 16 MiB less 4 KiB of keys and data, many by the frame. */
    for (size_t more = 0; more < 2; more++) {
        entries[15].data.size = (1u << 20) - 4097 + more;
        assert_int_equal(ls_producer_put_batch(w.producer, entries, 16, &atomic, NULL, &failed),
                         more == 0 ? LS_OK : LS_ERR_TOO_LARGE);
    }
    for (size_t more = 0; more < 2; more++) {
        for (size_t i = 0; i < 1024; i++) /* 16 KiB each in the frame, of which 48 bytes are its own. */
            entries[i] = (ls_put_entry){text("k"), {megabyte, (16u << 10) - 9 - (i == 0 ? 48 : 0) + more}, NULL};
        assert_int_equal(ls_producer_put_batch(w.producer, entries, 1024, &atomic, NULL, &failed),
                         more == 0 ? LS_OK : LS_ERR_TOO_LARGE);
    }
    for (size_t more = 0; more < 2; more++) {
        for (size_t i = 0; i < 1024; i++)
            entries[i] = (ls_put_entry){
                text("k"), {megabyte, (16u << 10) - 25 - (i == 0 ? 48 : 0) + more}, &(ls_hash_key){1, 2}};
        assert_int_equal(ls_producer_put_batch(w.producer, entries, 1024, &atomic, NULL, &failed),
                         more == 0 ? LS_OK : LS_ERR_TOO_LARGE);
    }
    assert_int_equal(count(w.stream, 0), MOST + 31 + 16 + 2048);
    free(entries);
    free(megabyte);
    finish(&w);
}

/* A full disk: FULL, nothing was written, reading goes on, and a later put succeeds. Method: files that refuse one
 * write, the first, the second, ... of a put; those that only prepare space may be refused without harm. */
static void a_full_disk_is_said_and_passes(void **state)
{
    static char large[100000];
    sim_files *sim = sim_files_new();
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    ls_store *store = NULL;
    ls_record_id id = {.seqno = 99};
    int refused = 0;
    lsi_env env;

    (void)state;
    memset(large, 'x', sizeof large); /* A piece of zeros would be there already, and the write have done its work. */
    lsi_env_default(&env);
    env.files = sim_files_table(sim);
    assert_int_equal(lsi_store_open_env("/sim", NULL, &env, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, "orders", NULL), LS_OK);
    assert_int_equal(ls_stream_open(store, "orders", &stream), LS_OK);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("kept"), NULL, NULL), LS_OK);
    for (uint64_t i = 0, stored = 1; i < 12; i++) {
        ls_status st;

        sim_faults_clear(sim);
        sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .name = ".seg", .nth = 1 + i % 3,
                                       .err = ENOSPC, .short_bytes = 1000});
        st = ls_producer_put(producer, text("k"), (ls_bytes){large, sizeof large}, NULL, &id);
        if (st != LS_OK) {
            assert_int_equal(st, LS_ERR_FULL);
            assert_int_equal(ls_last_error_errno(), ENOSPC);
            assert_int_equal(id.seqno, 99);
            refused++;
        }
        stored += st == LS_OK;
        id.seqno = 99;
        assert_int_equal(count(stream, 0), stored);
    }
    assert_true(refused > 0);
    sim_faults_clear(sim);
    assert_int_equal(ls_producer_put(producer, text("k"), text("later"), NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    sim_files_free(sim);
}

/* ---- many producers ---- */

enum { THREADS = 4, EACH = 200 };

typedef struct one_thread {
    ls_stream *stream;
    int number;
    ls_seqno seqnos[EACH];
    bool failed;
} one_thread;

static void *put_many(void *user)
{
    one_thread *me = user;
    ls_producer *producer = NULL;
    char data[32];

    me->failed = ls_producer_open(me->stream, NULL, &producer) != LS_OK;
    for (int i = 0; i < EACH && !me->failed; i++) {
        ls_record_id id;

        snprintf(data, sizeof data, "%d-%d", me->number, i);
        me->failed = ls_producer_put(producer, text("k"), text(data), NULL, &id) != LS_OK;
        me->seqnos[i] = id.seqno;
    }
    me->failed = ls_producer_close(producer) != LS_OK || me->failed;
    return NULL;
}

/* Any number of handles and threads: every record once, each thread's in its order, numbers as told. */
static void many_threads_put_into_one_shard(void **state)
{
    one_thread *threads = calloc(THREADS, sizeof *threads);
    int next[THREADS] = {0};
    pthread_t ids[THREADS];
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    ls_seqno last = 0;
    size_t total = 0;
    work w = start(state, 1);

    for (int i = 0; i < THREADS; i++) {
        threads[i] = (one_thread){.stream = w.stream, .number = i};
        assert_int_equal(pthread_create(&ids[i], NULL, put_many, &threads[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(ids[i], NULL), 0);
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &iterator), LS_OK);
    do {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *r = ls_batch_at(batch, i);
            int number, index;
            char data[32];

            snprintf(data, sizeof data, "%.*s", (int)r->data.size, (const char *)r->data.data);
            assert_int_equal(sscanf(data, "%d-%d", &number, &index), 2);
            assert_in_range(number, 0, THREADS - 1);
            assert_int_equal(index, next[number]++);
            assert_int_equal(r->seqno, threads[number].seqnos[index]);
            assert_true(r->seqno > last);
            last = r->seqno;
            total++;
        }
    } while (ls_batch_count(batch) > 0);
    for (int i = 0; i < THREADS; i++)
        assert_false(threads[i].failed);
    assert_int_equal(total, THREADS * EACH);
    ls_iterator_close(iterator);
    free(threads);
    finish(&w);
}

static bool put_as_another_process(void *user)
{
    fixture *fx = user;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    bool done = ls_store_open(fx->location, NULL, &store) == LS_OK &&
                ls_stream_open(store, "orders", &stream) == LS_OK &&
                ls_producer_open(stream, NULL, &producer) == LS_OK;

    for (int i = 0; i < EACH && done; i++)
        done = ls_producer_put(producer, text("k"), text("child"), NULL, NULL) == LS_OK;
    return done && ls_producer_close(producer) == LS_OK && ls_stream_close(stream) == LS_OK &&
           ls_store_close(store) == LS_OK;
}

/* Processes share a stream: what another one put is read here. */
static void another_process_puts_into_the_same_stream(void **state)
{
    work w;

    if (in_memory)
        return;
    w = start(state, 1);
    assert_int_equal(ls_producer_put(w.producer, text("k"), text("before"), NULL, NULL), LS_OK);
    in_fork_child(put_as_another_process, w.fx);
    assert_int_equal(ls_producer_put(w.producer, text("k"), text("after"), NULL, NULL), LS_OK);
    assert_int_equal(count(w.stream, 0), EACH + 2);
    finish(&w);
}

/* Method: a batch of 65,536 takes less than a minute anywhere, so most of it is over 1,000 records a second. */
static void a_provisioned_stream_stores_what_fits_and_says_when_to_come_again(void **state)
{
    static ls_put_entry entries[65536];
    static ls_put_result results[65536];
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    fixture *fx = *state;
    work w = {.fx = fx};
    size_t failed = 0;

    options.mode = LS_STREAM_PROVISIONED;
    assert_int_equal(ls_stream_create(fx->store, "orders", &options), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "orders", &w.stream), LS_OK);
    assert_int_equal(ls_producer_open(w.stream, NULL, &w.producer), LS_OK);
    for (size_t i = 0; i < 65536; i++)
        entries[i] = (ls_put_entry){text("k"), text("d"), NULL};
    assert_int_equal(ls_producer_put_batch(w.producer, entries, 65536, NULL, results, &failed), LS_OK);
    assert_in_range(failed, 1, 65536 - 1000);
    for (size_t i = 0; i < 65536; i++)
        assert_int_equal(results[i].status, i < 65536 - failed ? LS_OK : LS_ERR_THROTTLED);
    assert_true(says("stream 'orders' shard 0: its limit of 1000 records/s in"));
    assert_in_range(ls_last_error_retry_after_ms(), 1, 1);
    assert_int_equal(count(w.stream, 0), 65536 - failed);
    finish(&w);
}

/* The figures are the stream's own, wherever it is opened again. */
static void other_figures_than_the_usual_are_kept_with_the_stream(void **state)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    fixture *fx = *state;
    work w = {.fx = fx};

    options.mode = LS_STREAM_PROVISIONED;
    options.write_records_per_second = 2;
    options.read_calls_per_second = 1;
    assert_int_equal(ls_stream_create(fx->store, "orders", &options), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "orders", &w.stream), LS_OK);
    assert_int_equal(ls_producer_open(w.stream, NULL, &w.producer), LS_OK);
    for (int i = 0; i < 100 && ls_producer_put(w.producer, text("k"), text("d"), NULL, NULL) == LS_OK; i++)
        continue;
    assert_int_equal(ls_last_error_status(), LS_ERR_THROTTLED);
    assert_true(says("its limit of 2 records/s in"));
    assert_in_range(ls_last_error_retry_after_ms(), 1, 500);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(null_arguments_are_refused_by_name),
        TEST(options_out_of_their_range_are_refused),
        TEST(what_is_put_is_read),
        TEST(keys_and_records_have_their_limits),
        TEST(the_hash_of_the_key_chooses_the_shard),
        TEST(an_explicit_hash_key_decides_and_is_kept),
        TEST(every_durability_may_be_asked_for_in_every_mode),
        TEST(a_batch_is_read_as_its_results_say),
        TEST(an_atomic_batch_is_of_one_shard),
        TEST(the_largest_batches_fit),
        TEST(a_full_disk_is_said_and_passes),
        TEST(many_threads_put_into_one_shard),
        TEST(another_process_puts_into_the_same_stream),
        TEST(a_provisioned_stream_stores_what_fits_and_says_when_to_come_again),
        TEST(other_figures_than_the_usual_are_kept_with_the_stream),
    };

    run_everywhere("producer.h", tests);
}
