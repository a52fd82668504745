/* async_producer.h, through the whole library and with its thread: what tests/produce/test_async.c proves turn by turn
 * is not repeated. Files that can be held up stand for a slow disk. */
#include "api/support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "api/api.h"
#include "support/hooked_files.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What the callbacks say. */
typedef struct heard {
    pthread_mutex_t mutex;
    size_t told, stored;
    uint64_t last_of_key[64]; /* by the key's number: the data of the last one that was told */
    bool is_disordered;
    ls_status last_status;
    ls_async_producer *producer; /* to call from within */
    ls_status within[4];
} heard;

static void hear(const ls_async_outcome *outcome, void *user)
{
    heard *of = user;
    uint64_t number = 0;
    uint32_t key = 0;

    pthread_mutex_lock(&of->mutex);
    of->told++;
    of->stored += outcome->status == LS_OK;
    of->last_status = outcome->status;
    if (outcome->data.size == sizeof number && outcome->partition_key.size == sizeof key) {
        memcpy(&number, outcome->data.data, sizeof number);
        memcpy(&key, outcome->partition_key.data, sizeof key);
        key -= 0x30303030;
        of->is_disordered = of->is_disordered || number <= of->last_of_key[key];
        of->last_of_key[key] = number;
    }
    pthread_mutex_unlock(&of->mutex);
}

static size_t heard_so_far(heard *of)
{
    size_t told;

    pthread_mutex_lock(&of->mutex);
    told = of->told;
    pthread_mutex_unlock(&of->mutex);
    return told;
}

static ls_put_entry entry_of(const char *key, const char *data)
{
    return (ls_put_entry){text(key), text(data), NULL};
}

static ls_status put(ls_async_producer *producer, const char *data, int64_t timeout_ms, uint64_t *ticket)
{
    ls_put_entry entry = entry_of("k", data);

    return ls_async_producer_put(producer, &entry, NULL, timeout_ms, ticket);
}

static ls_async_producer *open_on(ls_stream *stream, const ls_async_options *options, heard *of)
{
    ls_async_producer *producer = NULL;

    if (of != NULL)
        pthread_mutex_init(&of->mutex, NULL);
    assert_int_equal(ls_async_producer_open(stream, options, &producer, of != NULL ? hear : NULL, of), LS_OK);
    return producer;
}

/* How many records the stream shows, as they are stored or as they were put. */
static size_t count_as(ls_stream *stream, uint32_t flags)
{
    ls_iterator_options reading = LS_ITERATOR_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    size_t n = 0, empty = 0;

    reading.flags = flags;
    assert_int_equal(ls_iterator_open_all(stream, NULL, &reading, &iterator), LS_OK);
    while (empty < 3) {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        n += ls_batch_count(batch);
        empty = ls_batch_count(batch) == 0 ? empty + 1 : 0;
    }
    ls_iterator_close(iterator);
    return n;
}

static size_t count_all(ls_stream *stream)
{
    return count_as(stream, 0);
}

/* ---- arguments ---- */

static void null_arguments_are_refused_by_name(void **state)
{
    ls_stream *stream = make_stream(*state, "orders", 1);
    ls_async_producer *producer = NULL;

    assert_int_equal(ls_async_producer_open(NULL, NULL, &producer, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'stream'"));
    assert_int_equal(ls_async_producer_open(stream, NULL, NULL, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'out'"));
    producer = open_on(stream, NULL, NULL);
    assert_int_equal(ls_async_producer_put(producer, NULL, NULL, 0, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'entry'"));
    assert_int_equal(put(NULL, "d", 0, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_async_producer_flush(NULL, 0, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_async_producer_wait(NULL, 1, 0, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_async_producer_cancel(NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_async_producer_close(NULL, 0), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_ERR_STATE); /* It has a producer. */
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void options_out_of_range_are_refused_by_name(void **state)
{
    static const struct {
        const char *name;
        ls_async_options options;
    } wrong[] = {
        {"linger_ms", {.linger_ms = 3600001}},
        {"record_ttl_ms", {.linger_ms = 30000}},
        {"record_ttl_ms", {.linger_ms = 100, .record_ttl_ms = 100}},
        {"batch_bytes_max", {.batch_bytes_max = (64 << 20) + 1}},
        {"batch_records_max", {.batch_records_max = 65537}},
        {"buffered_bytes_max", {.buffered_bytes_max = (1 << 20) - 1}},
        {"buffered_bytes_max", {.buffered_bytes_max = (UINT64_C(64) << 30) + 1}},
        {"retry_backoff_ms", {.retry_backoff_ms = 60001}},
        {"retry_backoff_max_ms", {.retry_backoff_max_ms = 60001}},
        {"retry_backoff_max_ms", {.retry_backoff_ms = 100, .retry_backoff_max_ms = 99}},
        {"outcomes_kept", {.outcomes_kept = (1 << 20) + 1}},
        {"durability", {.durability = 4}},
        {"durability", {.durability = -1}},
        {"flags", {.flags = 4}},
        {"producer", {.producer = {0, 1}}},
        {"first_ticket", {.first_ticket = LS_NUMBER_MAX / 2 + 1}},
        {"aggregate_bytes_max", {.aggregate_bytes_max = 1023}},
        {"aggregate_bytes_max", {.aggregate_bytes_max = (1 << 20) + 1}},
        {"reserved", {.reserved = 1}},
    };
    ls_async_options right = LS_ASYNC_OPTIONS_INIT;
    ls_stream *stream = make_stream(*state, "orders", 1);
    ls_async_producer *producer = NULL;

    for (size_t i = 0; i < COUNT(wrong); i++) {
        ls_async_options options = wrong[i].options;

        options.size = sizeof options;
        assert_int_equal(ls_async_producer_open(stream, &options, &producer, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
        assert_true(says(wrong[i].name));
    }
    right.size = 8;
    assert_int_equal(ls_async_producer_open(stream, &right, &producer, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    right = (ls_async_options){sizeof right, LS_ASYNC_NONE, 64 << 20, 65536, LS_ASYNC_NONE, 1 << 20, UINT32_MAX, 60000,
                               60000, 1 << 20, LS_DURABILITY_SYNC, LS_ASYNC_AGGREGATE, 1 << 20, 0, {0, 0},
                               LS_NUMBER_MAX / 2};
    assert_int_equal(ls_async_producer_open(stream, &right, &producer, NULL, NULL), LS_OK);
    assert_int_equal(ls_async_producer_close(producer, 0), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A record that no batch would take is refused at once, and has no outcome. */
static void bad_records_are_refused_by_the_put(void **state)
{
    static char large[(1 << 20) + 1];
    ls_stream *stream = make_stream(*state, "orders", 1);
    heard of = {.told = 0};
    ls_async_producer *producer = open_on(stream, NULL, &of);
    ls_put_entry entry = {text(""), text("d"), NULL};
    uint64_t ticket = 77;

    assert_int_equal(ls_async_producer_put(producer, &entry, NULL, 0, &ticket), LS_ERR_INVALID_ARGUMENT);
    entry.partition_key = text("\xff");
    assert_int_equal(ls_async_producer_put(producer, &entry, NULL, 0, &ticket), LS_ERR_INVALID_ARGUMENT);
    entry = (ls_put_entry){text("k"), {large, sizeof large}, NULL};
    assert_int_equal(ls_async_producer_put(producer, &entry, NULL, 0, &ticket), LS_ERR_TOO_LARGE);
    assert_int_equal(ticket, 77);
    assert_int_equal(ls_async_producer_flush(producer, -1, NULL), LS_OK);
    assert_int_equal(of.told, 0);
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- what a record comes to ---- */

static ls_async_outcome kept_outcome;
static char kept_text[64];

static void keep(const ls_async_outcome *outcome, void *user)
{
    assert_ptr_equal(user, kept_text);
    kept_outcome = *outcome;
    snprintf(kept_text, sizeof kept_text, "%.*s:%.*s", (int)outcome->partition_key.size,
             (const char *)outcome->partition_key.data, (int)outcome->data.size, (const char *)outcome->data.data);
}

/* The record is copied; its outcome names it, and where it is stored. */
static void a_record_is_copied_stored_and_told(void **state)
{
    ls_stream *stream = make_stream(*state, "orders", 2);
    ls_async_producer *producer = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    char key[] = "key", data[] = "data";
    ls_hash_key last = {UINT64_MAX, UINT64_MAX};
    ls_put_entry entry = {text(key), text(data), &last};
    uint64_t ticket = 0;

    assert_int_equal(ls_async_producer_open(stream, NULL, &producer, keep, kept_text), LS_OK);
    assert_int_equal(ls_async_producer_put(producer, &entry, &ticket, 0, &ticket), LS_OK);
    memset(key, 'X', 3);
    memset(data, 'X', 4);
    last = (ls_hash_key){0, 0};
    assert_int_equal(ticket, 1);
    assert_int_equal(ls_async_producer_flush(producer, -1, NULL), LS_OK);
    assert_string_equal(kept_text, "key:data");
    assert_int_equal(kept_outcome.ticket, 1);
    assert_ptr_equal(kept_outcome.tag, &ticket);
    assert_int_equal(kept_outcome.status, LS_OK);
    assert_int_equal(kept_outcome.shard, 1);
    assert_int_equal(kept_outcome.attempts, 1);
    assert_int_equal(ls_iterator_open(stream, 1, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    assert_int_equal(ls_batch_at(batch, 0)->seqno, kept_outcome.seqno);
    assert_memory_equal(ls_batch_at(batch, 0)->data.data, "data", 4);
    ls_iterator_close(iterator);
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Without a callback outcomes are waited for by their tickets; nothing hurries them but their linger. */
static void a_ticket_can_be_waited_for(void **state)
{
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    ls_stream *stream = make_stream(*state, "orders", 1);
    ls_async_outcome outcome = {0};
    ls_async_producer *producer;
    uint64_t ticket = 0;

    options.linger_ms = 20;
    producer = open_on(stream, &options, NULL);
    assert_int_equal(put(producer, "d", 0, &ticket), LS_OK);
    assert_int_equal(ls_async_producer_wait(producer, ticket, 0, &outcome), LS_ERR_TIMEOUT);
    assert_int_equal(ls_async_producer_wait(producer, ticket + 1, 0, &outcome), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_async_producer_wait(producer, ticket, -1, &outcome), LS_OK);
    assert_int_equal(outcome.status, LS_OK);
    assert_int_equal(outcome.ticket, ticket);
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- order ---- */

#define WRITERS 4
#define KEYS_EACH 4
#define PUTS_EACH 800

typedef struct writer {
    ls_async_producer *producer;
    uint32_t number;
    bool is_ok;
} writer;

static void *write_all(void *user)
{
    writer *of = user;

    of->is_ok = true;
    for (uint64_t i = 1; i <= PUTS_EACH; i++) {
        uint32_t key = 0x30303030 + of->number * KEYS_EACH + (uint32_t)(i % KEYS_EACH);
        ls_put_entry entry = {{&key, sizeof key}, {&i, sizeof i}, NULL};

        of->is_ok = of->is_ok && ls_async_producer_put(of->producer, &entry, NULL, -1, NULL) == LS_OK;
    }
    return NULL;
}

/* Reads everything, children after their parents: each key's records are all there, in order and once. */
static void check_stored(ls_stream *stream)
{
    ls_iterator_options reading = LS_ITERATOR_OPTIONS_INIT;
    uint64_t last[WRITERS * KEYS_EACH] = {0};
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    size_t n = 0, empty = 0;

    reading.flags = LS_ITERATOR_DEAGGREGATE;
    assert_int_equal(ls_iterator_open_all(stream, NULL, &reading, &iterator), LS_OK);
    while (n < WRITERS * PUTS_EACH || empty < 3) {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        for (size_t i = 0; i < ls_batch_count(batch); i++, n++) {
            const ls_record *record = ls_batch_at(batch, i);
            uint64_t number;
            uint32_t key;

            memcpy(&key, record->partition_key.data, sizeof key);
            memcpy(&number, record->data.data, sizeof number);
            key -= 0x30303030;
            assert_true(number > last[key] && number - last[key] <= KEYS_EACH);
            last[key] = number;
        }
        empty = ls_batch_count(batch) == 0 ? empty + 1 : 0;
    }
    assert_int_equal(n, WRITERS * PUTS_EACH);
    ls_iterator_close(iterator);
}

/* Four threads put, puts fail in every way that is tried again, and shards are split and merged meanwhile. */
static void put_through_trouble(ls_store *store, const char *name, uint32_t flags)
{
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    heard of = {.told = 0};
    pthread_t threads[WRITERS];
    writer writers[WRITERS];
    ls_async_producer *producer;
    ls_stream *stream = NULL;
    uint32_t a, b;

    assert_int_equal(ls_stream_create(store, name, NULL), LS_OK);
    assert_int_equal(ls_stream_open(store, name, &stream), LS_OK);
    options.flags = flags;
    options.linger_ms = 1;
    options.batch_records_max = 100;
    options.retry_backoff_ms = 1;
    options.retry_backoff_max_ms = 2;
    options.buffered_bytes_max = 1 << 20;
    producer = open_on(stream, &options, &of);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (writer){producer, i, false};
        pthread_create(&threads[i], NULL, write_all, &writers[i]);
    }
    assert_int_equal(ls_stream_split(stream, 0, NULL, &a, &b), LS_OK);
    assert_int_equal(ls_stream_split(stream, a, NULL, NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_split(stream, b, NULL, &a, &b), LS_OK);
    assert_int_equal(ls_stream_merge(stream, a, b, NULL), LS_OK);
    for (uint32_t i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(writers[i].is_ok);
    }
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    assert_int_equal(of.told, WRITERS * PUTS_EACH);
    assert_int_equal(of.stored, WRITERS * PUTS_EACH);
    assert_false(of.is_disordered);
    check_stored(stream);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Nothing is lost, nothing comes twice, and each key's records are stored and told in order, as they are, packed,
 * numbered or both. */
static void keys_keep_their_order_whatever_happens(void **state)
{
    ls_store_options store_options = LS_STORE_OPTIONS_INIT;
    fixture *fx = *state;
    ls_store *store = NULL;

    ls_store_close(fx->store);
    fx->store = NULL;
    store_options.fault_seed = 7;
    store_options.fault_throttled_per_1000 = 100;
    store_options.fault_failed_per_1000 = 100;
    store_options.fault_partial_per_1000 = 300;
    assert_int_equal(ls_store_open(fx->location, &store_options, &store), LS_OK);
    put_through_trouble(store, "plain", 0);
    put_through_trouble(store, "packed", LS_ASYNC_AGGREGATE);
    put_through_trouble(store, "numbered", LS_ASYNC_IDEMPOTENT);
    put_through_trouble(store, "both", LS_ASYNC_AGGREGATE | LS_ASYNC_IDEMPOTENT);
    assert_int_equal(ls_store_close(store), LS_OK);
    assert_int_equal(ls_store_open(fx->location, NULL, &fx->store), LS_OK);
}

/* Packed, records are read as they were put by who de-aggregates, and count as few for the stream's limits. */
static void aggregates_are_read_as_the_records_that_were_put(void **state)
{
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    ls_iterator_options reading = LS_ITERATOR_OPTIONS_INIT;
    ls_stream *stream = make_stream(*state, "orders", 1);
    heard of = {.told = 0};
    ls_async_producer *producer;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    uint64_t last = 0;

    options.flags = LS_ASYNC_AGGREGATE;
    producer = open_on(stream, &options, &of);
    for (uint64_t i = 1; i <= 1000; i++) {
        uint32_t key = 0x30303030;
        ls_put_entry entry = {{&key, sizeof key}, {&i, sizeof i}, NULL};

        assert_int_equal(ls_async_producer_put(producer, &entry, NULL, -1, NULL), LS_OK);
    }
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    assert_int_equal(of.stored, 1000);
    assert_false(of.is_disordered);
    assert_true(count_all(stream) < 100);
    reading.flags = LS_ITERATOR_DEAGGREGATE;
    assert_int_equal(ls_iterator_open(stream, 0, NULL, &reading, &iterator), LS_OK);
    while (last < 1000) {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            uint64_t number;

            memcpy(&number, ls_batch_at(batch, i)->data.data, sizeof number);
            assert_int_equal(number, ++last);
        }
    }
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- a disk that is held up, or fails ---- */

/* A store on a directory whose segments are synced only while the gate is open. */
typedef struct slow {
    hooked_files files;
    ls_store *store;
    ls_stream *stream;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool is_shut, is_broken;
    int waiting;
} slow;

static int at_the_gate(void *user, const hook_event *event)
{
    slow *of = user;
    int answer;

    if (event->call != HOOK_SYNC || event->target != HOOK_SEGMENT)
        return 0;
    pthread_mutex_lock(&of->mutex);
    of->waiting++;
    pthread_cond_broadcast(&of->changed);
    while (of->is_shut)
        pthread_cond_wait(&of->changed, &of->mutex);
    of->waiting--;
    answer = of->is_broken ? -EIO : 0;
    pthread_mutex_unlock(&of->mutex);
    return answer;
}

static void set_gate(slow *of, bool is_shut)
{
    pthread_mutex_lock(&of->mutex);
    of->is_shut = is_shut;
    pthread_cond_broadcast(&of->changed);
    pthread_mutex_unlock(&of->mutex);
}

static void wait_until_somebody_syncs(slow *of)
{
    pthread_mutex_lock(&of->mutex);
    while (of->waiting == 0)
        pthread_cond_wait(&of->changed, &of->mutex);
    pthread_mutex_unlock(&of->mutex);
}

static void begin_slow(fixture *fx, slow *of)
{
    lsi_env env;

    memset(of, 0, sizeof *of);
    pthread_mutex_init(&of->mutex, NULL);
    pthread_cond_init(&of->changed, NULL);
    lsi_env_default(&env);
    hooked_files_init(&of->files, at_the_gate, NULL, of);
    env.files = &of->files.table;
    assert_int_equal(lsi_store_open_env(temp_path(&fx->temp, "slow"), NULL, &env, &of->store), LS_OK);
    assert_int_equal(ls_stream_create(of->store, "orders", NULL), LS_OK);
    assert_int_equal(ls_stream_open(of->store, "orders", &of->stream), LS_OK);
}

static void end_slow(slow *of)
{
    assert_int_equal(ls_stream_close(of->stream), LS_OK);
    ls_store_close(of->store);
}

/* While one batch is synced, puts go on, as far as the memory reaches; then they wait as long as they were told. */
static void a_full_memory_is_waited_for_as_long_as_was_said(void **state)
{
    static char data[50001];
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    heard of = {.told = 0};
    ls_async_producer *producer;
    size_t put_count = 0, left = 0;
    slow disk;

    begin_slow(*state, &disk);
    memset(data, 'd', sizeof data - 1);
    options.linger_ms = LS_ASYNC_NONE;
    options.buffered_bytes_max = 1 << 20;
    producer = open_on(disk.stream, &options, &of);
    set_gate(&disk, true);
    while (put(producer, data, 0, NULL) == LS_OK)
        put_count++;
    assert_int_equal(ls_last_error_status(), LS_ERR_BUSY);
    assert_true(put_count >= 14 && put_count <= 20);
    wait_until_somebody_syncs(&disk);
    assert_int_equal(put(producer, data, 30, NULL), LS_ERR_BUSY);
    assert_int_equal(ls_async_producer_flush(producer, 30, &left), LS_ERR_TIMEOUT);
    assert_int_equal(left, put_count);
    assert_int_equal(heard_so_far(&of), 0);
    set_gate(&disk, false);
    assert_int_equal(put(producer, data, -1, NULL), LS_OK);
    assert_int_equal(ls_async_producer_flush(producer, -1, &left), LS_OK);
    assert_int_equal(left, 0);
    assert_int_equal(of.stored, put_count + 1);
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    end_slow(&disk);
}

static void *open_gate_soon(void *user)
{
    usleep(50000);
    set_gate(user, false);
    return NULL;
}

/* Closed without time while it is full: what is being written gets its true outcome, the rest is given up, and each
 * record is told exactly once. */
static void a_close_without_time_gives_up_what_waits(void **state)
{
    static char data[50001];
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    heard of = {.told = 0};
    ls_async_producer *producer;
    size_t put_count = 1;
    pthread_t opener;
    slow disk;

    begin_slow(*state, &disk);
    memset(data, 'd', sizeof data - 1);
    options.linger_ms = LS_ASYNC_NONE;
    options.buffered_bytes_max = 1 << 20;
    producer = open_on(disk.stream, &options, &of);
    set_gate(&disk, true);
    assert_int_equal(put(producer, "first", 0, NULL), LS_OK);
    wait_until_somebody_syncs(&disk);
    while (put(producer, data, 0, NULL) == LS_OK)
        put_count++;
    pthread_create(&opener, NULL, open_gate_soon, &disk);
    assert_int_equal(ls_async_producer_close(producer, 0), LS_ERR_TIMEOUT);
    pthread_join(opener, NULL);
    assert_int_equal(of.told, put_count);
    assert_int_equal(of.stored, 1);
    assert_int_equal(of.last_status, LS_ERR_CANCELLED);
    assert_int_equal(count_all(disk.stream), 1);
    end_slow(&disk);
}

/* A cancel frees the memory, so that a put that waits for some goes on. */
static void a_cancel_lets_waiting_puts_go_on(void **state)
{
    static char data[50001];
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    ls_stream *stream = make_stream(*state, "orders", 1);
    heard of = {.told = 0};
    ls_async_producer *producer;
    size_t put_count = 0;

    memset(data, 'd', sizeof data - 1);
    options.linger_ms = 3600000;
    options.record_ttl_ms = LS_ASYNC_NONE;
    options.buffered_bytes_max = 1 << 20;
    producer = open_on(stream, &options, &of);
    while (put(producer, data, 0, NULL) == LS_OK)
        put_count++;
    assert_int_equal(ls_async_producer_cancel(producer), LS_OK);
    assert_int_equal(put(producer, data, -1, NULL), LS_OK);
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK); /* The linger is not waited for. */
    assert_int_equal(of.told, put_count + 1);
    assert_int_equal(of.stored, 1);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A sync that fails: what went with it is told LS_ERR_IO, and so is what comes after it; nothing is sent again. */
static void a_failed_sync_is_told_and_nothing_is_sent_again(void **state)
{
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    heard of = {.told = 0};
    ls_async_producer *producer;
    slow disk;

    begin_slow(*state, &disk);
    options.linger_ms = LS_ASYNC_NONE;
    producer = open_on(disk.stream, &options, &of);
    assert_int_equal(put(producer, "good", 0, NULL), LS_OK);
    assert_int_equal(ls_async_producer_flush(producer, -1, NULL), LS_OK);
    disk.is_broken = true;
    assert_int_equal(put(producer, "lost", 0, NULL), LS_OK);
    assert_int_equal(ls_async_producer_flush(producer, -1, NULL), LS_OK);
    assert_int_equal(of.last_status, LS_ERR_IO);
    disk.is_broken = false;
    assert_int_equal(put(producer, "late", 0, NULL), LS_OK);
    assert_int_equal(ls_async_producer_flush(producer, -1, NULL), LS_OK);
    assert_int_equal(of.last_status, LS_ERR_IO); /* The shard takes nothing any more. */
    assert_int_equal(ls_stream_reset_shard(disk.stream, 0), LS_OK);
    assert_int_equal(put(producer, "new", 0, NULL), LS_OK);
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    assert_int_equal(of.last_status, LS_OK);
    assert_int_equal(of.stored, 2);
    assert_int_equal(of.told, 4);
    end_slow(&disk);
}

/* ---- idempotence ---- */

/* With numbers a sync that failed is tried again, until the shard takes puts: each record is told once, and is there
 * once. */
static void a_failed_sync_is_tried_again_when_puts_are_numbered(void **state)
{
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    heard of = {.told = 0};
    ls_async_producer *producer;
    size_t left = 0;
    slow disk;

    begin_slow(*state, &disk);
    options.flags = LS_ASYNC_IDEMPOTENT;
    options.linger_ms = LS_ASYNC_NONE;
    options.retry_backoff_ms = 1;
    options.retry_backoff_max_ms = 5;
    producer = open_on(disk.stream, &options, &of);
    assert_int_equal(put(producer, "a", 0, NULL), LS_OK);
    assert_int_equal(ls_async_producer_flush(producer, -1, NULL), LS_OK);
    disk.is_broken = true;
    assert_int_equal(put(producer, "b", 0, NULL), LS_OK);
    assert_int_equal(put(producer, "c", 0, NULL), LS_OK);
    assert_int_equal(ls_async_producer_flush(producer, 30, &left), LS_ERR_TIMEOUT);
    assert_int_equal(left, 2);
    disk.is_broken = false;
    assert_int_equal(ls_stream_reset_shard(disk.stream, 0), LS_OK);
    assert_int_equal(ls_async_producer_flush(producer, -1, NULL), LS_OK);
    assert_int_equal(of.told, 3);
    assert_int_equal(of.stored, 3);
    assert_int_equal(count_all(disk.stream), 3);
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    end_slow(&disk);
}

/* Given up while a try may have stored it: the outcome is unknown, not what the last try or the cancel would say. */
static void what_may_be_stored_is_given_up_as_unknown(void **state)
{
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    heard of = {.told = 0};
    ls_async_producer *producer;
    slow disk;

    begin_slow(*state, &disk);
    options.flags = LS_ASYNC_IDEMPOTENT;
    options.linger_ms = LS_ASYNC_NONE;
    options.record_ttl_ms = 300;
    options.retry_backoff_max_ms = 10;
    producer = open_on(disk.stream, &options, &of);
    disk.is_broken = true;
    assert_int_equal(put(producer, "a", 0, NULL), LS_OK);
    assert_int_equal(ls_async_producer_flush(producer, -1, NULL), LS_OK);
    assert_int_equal(of.last_status, LS_ERR_IO);
    assert_int_equal(put(producer, "b", 0, NULL), LS_OK);
    assert_int_equal(ls_async_producer_flush(producer, 150, NULL), LS_ERR_TIMEOUT);
    assert_int_equal(ls_async_producer_close(producer, 0), LS_ERR_TIMEOUT);
    assert_int_equal(of.last_status, LS_ERR_IO);
    assert_int_equal(of.told, 2);
    disk.is_broken = false;
    end_slow(&disk);
}

/* A shard whose records wait is merged with one that has stored many batches since: nothing of it is too old for the
 * child, since a record that was never sent has no number yet. */
static void a_shard_that_was_left_behind_is_not_too_old_when_merged(void **state)
{
    static char data[2000];
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    ls_stream *stream = make_stream(*state, "orders", 2);
    ls_hash_key low = {0, 0}, high = {UINT64_MAX, UINT64_MAX};
    ls_put_entry waits = {text("k"), text("d"), &low}, goes = {text("k"), {data, sizeof data}, &high};
    ls_async_outcome outcome;
    ls_async_producer *producer;
    uint64_t ticket = 0;

    options.flags = LS_ASYNC_IDEMPOTENT;
    options.linger_ms = 3600000;
    options.record_ttl_ms = LS_ASYNC_NONE;
    options.batch_bytes_max = 1000;
    producer = open_on(stream, &options, NULL);
    for (uint32_t i = 0; i < 3 * LS_PRODUCER_PUTS_MAX; i++) {
        assert_int_equal(ls_async_producer_put(producer, &waits, NULL, 0, NULL), LS_OK);
        assert_int_equal(ls_async_producer_put(producer, &goes, NULL, 0, &ticket), LS_OK);
        assert_int_equal(ls_async_producer_wait(producer, ticket, -1, &outcome), LS_OK);
        assert_int_equal(outcome.status, LS_OK);
    }
    assert_int_equal(ls_async_producer_wait(producer, 1, 0, NULL), LS_ERR_TIMEOUT);
    assert_int_equal(ls_stream_merge(stream, 0, 1, NULL), LS_OK);
    assert_int_equal(ls_async_producer_flush(producer, -1, NULL), LS_OK);
    for (uint64_t i = 1; i <= ticket; i++) {
        assert_int_equal(ls_async_producer_wait(producer, i, 0, &outcome), LS_OK);
        assert_int_equal(outcome.status, LS_OK);
    }
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    assert_int_equal(count_all(stream), ticket);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

#define IN_THE_CHILD 20

static _Atomic int syncs_left;
static uint32_t flags_of_the_child;

static void die_after_a_sync(void *user, const hook_event *event)
{
    (void)user;
    if (event->call == HOOK_SYNC && event->target == HOOK_SEGMENT && syncs_left > 0 &&
        atomic_fetch_sub(&syncs_left, 1) == 1)
        _exit(0);
}

static ls_async_producer *open_numbered(ls_stream *stream, uint32_t flags, uint64_t first_ticket, heard *of)
{
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;

    options.flags = flags | LS_ASYNC_IDEMPOTENT;
    options.linger_ms = LS_ASYNC_NONE;
    options.batch_records_max = 4;
    options.producer = (ls_producer_id){7, 7};
    options.first_ticket = first_ticket;
    return open_on(stream, &options, of);
}

/* Puts until it is killed between a sync and the outcomes of what was synced. */
static bool put_and_die(void *user)
{
    heard of = {.told = 0};
    ls_async_producer *producer;
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    hooked_files files;
    lsi_env env;

    lsi_env_default(&env);
    hooked_files_init(&files, NULL, die_after_a_sync, NULL);
    env.files = &files.table;
    if (lsi_store_open_env(user, NULL, &env, &store) != LS_OK || ls_stream_open(store, "orders", &stream) != LS_OK)
        return false;
    producer = open_numbered(stream, flags_of_the_child, 1, &of);
    for (int i = 0; i < IN_THE_CHILD; i++) {
        syncs_left = i == IN_THE_CHILD / 2 ? 1 : syncs_left;
        (void)put(producer, "d", 0, NULL);
        (void)ls_async_producer_flush(producer, i < IN_THE_CHILD / 2 ? -1 : 0, NULL);
    }
    (void)ls_async_producer_flush(producer, -1, NULL);
    return false; /* It lives. */
}

/* Whoever puts the same records again, under the id and the tickets of one who was killed, has each of them once. */
static void kill_and_put_again(fixture *fx, const char *name, uint32_t flags)
{
    char path[TEMP_PATH_BYTES * 2];
    heard of = {.told = 0};
    ls_async_producer *producer;
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    uint64_t ticket = 0;

    snprintf(path, sizeof path, "%s", temp_path(&fx->temp, name));
    flags_of_the_child = flags;
    assert_int_equal(ls_store_open(path, NULL, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, "orders", NULL), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    in_fork_child(put_and_die, path);
    assert_int_equal(ls_store_open(path, NULL, &store), LS_OK);
    assert_int_equal(ls_stream_open(store, "orders", &stream), LS_OK);
    assert_true(count_as(stream, LS_ITERATOR_DEAGGREGATE) > IN_THE_CHILD / 2);
    producer = open_numbered(stream, flags, IN_THE_CHILD / 2, &of); /* one that was told, and those that were not */
    for (uint64_t i = IN_THE_CHILD / 2; i <= IN_THE_CHILD; i++) {
        assert_int_equal(put(producer, "d", 0, &ticket), LS_OK);
        assert_int_equal(ticket, i);
    }
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    assert_int_equal(of.stored, IN_THE_CHILD / 2 + 1);
    assert_int_equal(count_as(stream, LS_ITERATOR_DEAGGREGATE), IN_THE_CHILD);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

static void what_a_kill_took_can_be_put_again(void **state)
{
    kill_and_put_again(*state, "killed", 0);
    kill_and_put_again(*state, "killed-packed", LS_ASYNC_AGGREGATE);
}

/* All of them are put again, in the children of the shards that they went to: they are told where they are, but for
 * those of batches that are not remembered any more (48 bytes each, producer.h); and none is there twice. */
static void aggregates_put_again_are_found_as_long_as_they_are_remembered(void **state)
{
    enum { KNOWN = LS_PRODUCER_BYTES_MAX / 48, BATCHES = KNOWN + 5, EACH = 4 }; /* in the end in fives */
    static ls_async_outcome first[BATCHES * EACH + 1];
    ls_stream *stream = make_stream(*state, "orders", 1);
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    ls_async_outcome outcome;
    ls_async_producer *producer;

    options.flags = LS_ASYNC_AGGREGATE | LS_ASYNC_IDEMPOTENT;
    options.producer = (ls_producer_id){7, 7};
    options.linger_ms = 3600000;
    options.record_ttl_ms = LS_ASYNC_NONE;
    options.batch_records_max = EACH;
    producer = open_on(stream, &options, NULL);
    for (uint64_t k = 1; k <= BATCHES * EACH; k++)
        assert_int_equal(put(producer, "d", -1, NULL), LS_OK);
    for (uint64_t k = 1; k <= BATCHES * EACH; k++) {
        assert_int_equal(ls_async_producer_wait(producer, k, -1, &first[k]), LS_OK);
        assert_int_equal(first[k].status, LS_OK);
        assert_int_equal(first[k].sub_count, EACH);
    }
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    options.batch_records_max = EACH + 1;
    producer = open_on(stream, &options, NULL);
    for (uint64_t k = 1; k <= BATCHES * EACH; k++)
        assert_int_equal(put(producer, "d", -1, NULL), LS_OK);
    for (uint64_t k = 1; k <= BATCHES * EACH; k++) {
        assert_int_equal(ls_async_producer_wait(producer, k, -1, &outcome), LS_OK);
        assert_int_equal(outcome.status, k <= (BATCHES - KNOWN) * EACH ? LS_ERR_EXPIRED : LS_OK);
        if (outcome.status != LS_OK)
            continue;
        assert_true(outcome.seqno == first[k].seqno && outcome.shard == first[k].shard);
        assert_true(outcome.sub_seqno == first[k].sub_seqno && outcome.sub_count == first[k].sub_count);
    }
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    assert_int_equal(count_as(stream, LS_ITERATOR_DEAGGREGATE), BATCHES * EACH);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* What goes in one batch fits a frame, however much more its records take there than by themselves. */
static void a_batch_of_long_keys_fits_a_frame(void **state)
{
    enum { RECORDS = 55000 }; /* 16 MiB as they are, and more in aggregates */
    ls_stream *stream = make_stream(*state, "orders", 1);
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    ls_async_producer *producer;
    heard of = {.told = 0};
    char key[257];

    options.flags = LS_ASYNC_AGGREGATE | LS_ASYNC_IDEMPOTENT;
    options.linger_ms = 3600000;
    options.record_ttl_ms = LS_ASYNC_NONE;
    options.batch_bytes_max = 64 << 20;
    options.batch_records_max = 65536;
    options.aggregate_bytes_max = 1 << 20;
    producer = open_on(stream, &options, &of);
    memset(key, 'k', sizeof key);
    for (int i = 0; i < RECORDS; i++) {
        ls_hash_key hash = {UINT64_MAX - (uint64_t)i, (uint64_t)i};
        ls_put_entry entry = {{key, 256}, {NULL, 0}, &hash};

        snprintf(key, sizeof key, "%08d", i);
        key[8] = 'k';
        assert_int_equal(ls_async_producer_put(producer, &entry, NULL, -1, NULL), LS_OK);
    }
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    assert_int_equal(of.stored, RECORDS);
    assert_int_equal(count_as(stream, LS_ITERATOR_DEAGGREGATE), RECORDS);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void records_of_a_deleted_stream_are_told(void **state)
{
    fixture *fx = *state;
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    heard of = {.told = 0};
    ls_stream *stream = make_stream(fx, "orders", 2);
    ls_async_producer *producer;

    options.linger_ms = LS_ASYNC_NONE;
    producer = open_on(stream, &options, &of);
    assert_int_equal(put(producer, "a", 0, NULL), LS_OK);
    assert_int_equal(ls_async_producer_flush(producer, -1, NULL), LS_OK);
    assert_int_equal(ls_stream_delete(fx->store, "orders"), LS_OK);
    assert_int_equal(put(producer, "b", 0, NULL), LS_OK);
    assert_int_equal(ls_async_producer_flush(producer, -1, NULL), LS_OK);
    assert_int_equal(of.told, 2);
    assert_int_equal(of.stored, 1);
    assert_int_equal(of.last_status, LS_ERR_NOT_FOUND);
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- metrics ---- */

/* Of the stream "orders". */
static uint64_t counted(const ls_metrics_snapshot *snapshot, const char *name, const char *outcome)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < ls_metrics_snapshot_count(snapshot); i++) {
        ls_metric_sample sample = LS_METRIC_SAMPLE_INIT;

        assert_int_equal(ls_metrics_snapshot_at(snapshot, i, &sample), LS_OK);
        if (strcmp(sample.name, name) == 0 && strcmp(sample.labels[0].value, "orders") == 0 &&
            (outcome == NULL || strcmp(sample.labels[1].value, outcome) == 0))
            sum += sample.count;
    }
    return sum;
}

static void what_it_does_is_counted(void **state)
{
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);
    ls_metrics_snapshot *snapshot = NULL;
    ls_async_producer *producer;

    assert_int_equal(ls_metrics_snapshot_take(fx->store, &snapshot), LS_OK);
    for (size_t i = 0; i < ls_metrics_snapshot_count(snapshot); i++) {
        ls_metric_sample sample = LS_METRIC_SAMPLE_INIT;

        assert_int_equal(ls_metrics_snapshot_at(snapshot, i, &sample), LS_OK);
        assert_null(strstr(sample.name, "async")); /* Nobody has used one. */
    }
    ls_metrics_snapshot_free(snapshot);
    options.flags = LS_ASYNC_AGGREGATE;
    options.linger_ms = 3600000;
    options.record_ttl_ms = LS_ASYNC_NONE;
    producer = open_on(stream, &options, NULL);
    for (int i = 0; i < 10; i++)
        assert_int_equal(put(producer, "d", 0, NULL), LS_OK);
    assert_int_equal(ls_async_producer_flush(producer, -1, NULL), LS_OK);
    assert_int_equal(put(producer, "alone", 0, NULL), LS_OK);
    assert_int_equal(ls_async_producer_flush(producer, -1, NULL), LS_OK);
    assert_int_equal(put(producer, "late", 0, NULL), LS_OK);
    (void)ls_async_producer_close(producer, 0); /* Given up, or stored just so. */
    assert_int_equal(ls_metrics_snapshot_take(fx->store, &snapshot), LS_OK);
    assert_int_equal(counted(snapshot, "libstream_async_records_total", NULL), 12);
    assert_int_equal(counted(snapshot, "libstream_async_outcomes_total", NULL), 12);
    assert_int_equal(counted(snapshot, "libstream_async_outcomes_total", "unknown"), 0);
    assert_true(counted(snapshot, "libstream_async_outcomes_total", "stored") >= 11);
    assert_int_equal(counted(snapshot, "libstream_async_retries_total", NULL), 0);
    assert_true(counted(snapshot, "libstream_async_batches_total", NULL) >= 2);
    assert_int_equal(counted(snapshot, "libstream_async_aggregates_total", NULL), 1);
    assert_int_equal(counted(snapshot, "libstream_async_aggregated_records_total", NULL), 10);
    assert_true(counted(snapshot, "libstream_async_duration_seconds", NULL) >= 2);
    ls_metrics_snapshot_free(snapshot);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- callbacks, threads, forks ---- */

static void call_back(const ls_async_outcome *outcome, void *user)
{
    heard *of = user;

    if (of->told++ > 0)
        return;
    assert_int_equal(outcome->status, LS_OK);
    of->within[0] = ls_async_producer_flush(of->producer, -1, NULL);
    of->within[1] = ls_async_producer_wait(of->producer, 1, -1, NULL);
    of->within[2] = ls_async_producer_close(of->producer, -1);
    while ((of->within[3] = put(of->producer, "again", -1, NULL)) == LS_OK) /* It does not wait. */
        of->stored++;
}

static void a_callback_may_put_and_never_waits(void **state)
{
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    ls_stream *stream = make_stream(*state, "orders", 1);
    heard of = {.told = 0};

    options.buffered_bytes_max = 1 << 20;
    assert_int_equal(ls_async_producer_open(stream, &options, &of.producer, call_back, &of), LS_OK);
    assert_int_equal(put(of.producer, "first", 0, NULL), LS_OK);
    assert_int_equal(ls_async_producer_flush(of.producer, -1, NULL), LS_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(of.within[i], LS_ERR_STATE);
    assert_int_equal(of.within[3], LS_ERR_BUSY);
    assert_int_equal(ls_async_producer_close(of.producer, -1), LS_OK);
    assert_int_equal(of.told, of.stored + 1);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void look_at_thread(const ls_async_outcome *outcome, void *user)
{
    sigset_t blocked;
    bool *is_good = user;
    char name[32] = "";

    (void)outcome;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    pthread_getname_np(pthread_self(), name, sizeof name);
    *is_good = sigismember(&blocked, SIGTERM) == 1 && strcmp(name, "ls-async") == 0;
}

static void the_thread_has_a_name_and_takes_no_signals(void **state)
{
    ls_stream *stream = make_stream(*state, "orders", 1);
    ls_async_producer *producer = NULL;
    bool is_good = false;

    assert_int_equal(ls_async_producer_open(stream, NULL, &producer, look_at_thread, &is_good), LS_OK);
    assert_int_equal(put(producer, "d", 0, NULL), LS_OK);
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    assert_true(is_good);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static bool use_in_child(void *user)
{
    ls_async_producer *producer = user;
    uint64_t ticket = 0;

    return put(producer, "d", 0, &ticket) == LS_ERR_STATE &&
           ls_async_producer_flush(producer, -1, NULL) == LS_ERR_STATE &&
           ls_async_producer_wait(producer, 1, -1, NULL) == LS_ERR_STATE &&
           ls_async_producer_cancel(producer) == LS_ERR_STATE && ls_async_producer_close(producer, -1) == LS_OK;
}

/* P9: the child can only close it, also when the thread was at work when it was born; the parent's goes on. */
static void a_fork_child_can_only_close_it(void **state)
{
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    heard of = {.told = 0};
    ls_async_producer *producer;
    pthread_t opener;
    slow disk;

    begin_slow(*state, &disk);
    options.linger_ms = LS_ASYNC_NONE;
    producer = open_on(disk.stream, &options, &of);
    in_fork_child(use_in_child, producer);
    set_gate(&disk, true);
    assert_int_equal(put(producer, "a", 0, NULL), LS_OK);
    wait_until_somebody_syncs(&disk);
    in_fork_child(use_in_child, producer);
    pthread_create(&opener, NULL, open_gate_soon, &disk);
    assert_int_equal(ls_async_producer_close(producer, -1), LS_OK);
    pthread_join(opener, NULL);
    assert_int_equal(of.stored, 1);
    assert_int_equal(of.told, 1);
    end_slow(&disk);
}

static void a_store_for_reading_has_none(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);
    ls_async_producer *producer = NULL;
    ls_store *store = NULL;

    if (!in_memory) {
        options.flags = LS_STORE_READ_ONLY;
        assert_int_equal(ls_stream_close(stream), LS_OK);
        assert_int_equal(ls_store_open(fx->location, &options, &store), LS_OK);
        assert_int_equal(ls_stream_open(store, "orders", &stream), LS_OK);
        assert_int_equal(ls_async_producer_open(stream, NULL, &producer, NULL, NULL), LS_ERR_READ_ONLY);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(null_arguments_are_refused_by_name),
        TEST(options_out_of_range_are_refused_by_name),
        TEST(bad_records_are_refused_by_the_put),
        TEST(a_record_is_copied_stored_and_told),
        TEST(a_ticket_can_be_waited_for),
        TEST(keys_keep_their_order_whatever_happens),
        TEST(aggregates_are_read_as_the_records_that_were_put),
        TEST(a_full_memory_is_waited_for_as_long_as_was_said),
        TEST(a_close_without_time_gives_up_what_waits),
        TEST(a_cancel_lets_waiting_puts_go_on),
        TEST(a_failed_sync_is_told_and_nothing_is_sent_again),
        TEST(a_failed_sync_is_tried_again_when_puts_are_numbered),
        TEST(what_may_be_stored_is_given_up_as_unknown),
        TEST(a_shard_that_was_left_behind_is_not_too_old_when_merged),
        TEST(what_a_kill_took_can_be_put_again),
        TEST(aggregates_put_again_are_found_as_long_as_they_are_remembered),
        TEST(a_batch_of_long_keys_fits_a_frame),
        TEST(records_of_a_deleted_stream_are_told),
        TEST(what_it_does_is_counted),
        TEST(a_callback_may_put_and_never_waits),
        TEST(the_thread_has_a_name_and_takes_no_signals),
        TEST(a_fork_child_can_only_close_it),
        TEST(a_store_for_reading_has_none),
    };

    run_everywhere("asynchronous producer", tests);
}
