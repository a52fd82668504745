/* iterator.h, through the whole library: what tests/consume proves of the room on a made-up engine is not repeated. */
#include "api/support.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>


/* A store with one stream and a producer on it. */
typedef struct work {
    fixture *fx;
    ls_stream *stream;
    ls_producer *producer;
    ls_iterator *iterator;
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
    ls_iterator_close(w->iterator);
    assert_int_equal(ls_producer_close(w->producer), LS_OK);
    assert_int_equal(ls_stream_close(w->stream), LS_OK);
}

static ls_seqno put(work *w, const char *data)
{
    ls_record_id id;

    assert_int_equal(ls_producer_put(w->producer, text("k"), text(data), NULL, &id), LS_OK);
    return id.seqno;
}

static void put_into(work *w, uint32_t shard, uint32_t shard_count, const char *data)
{
    const ls_hash_key key = {(UINT64_MAX / shard_count) * shard + shard, 0};
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_record_id id;

    options.explicit_hash_key = &key;
    assert_int_equal(ls_producer_put(w->producer, text("k"), text(data), &options, &id), LS_OK);
    assert_int_equal(id.shard, shard);
}

/* The data of a batch's records, blanks between; a view, until the next call. */
static const char *data_of(const ls_batch *batch)
{
    static char all[4096];
    size_t used = 0;

    all[0] = '\0';
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *r = ls_batch_at(batch, i);

        used += (size_t)snprintf(all + used, sizeof all - used, "%s%.*s", i == 0 ? "" : " ", (int)r->data.size,
                                 (const char *)r->data.data);
    }
    return all;
}

static const char *next_of(ls_iterator *iterator, uint32_t records_max, int64_t timeout_ms, const ls_batch **out)
{
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch = NULL;

    options.records_max = records_max;
    options.timeout_ms = timeout_ms;
    assert_int_equal(ls_iterator_next(iterator, &options, &batch), LS_OK);
    if (out != NULL)
        *out = batch;
    return data_of(batch);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t wall_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void null_arguments_are_refused_by_name(void **state)
{
    const ls_position first = {LS_TRIM_HORIZON, 0, 0, 0};
    work w = start(state, 1);
    const ls_batch *batch = NULL;
    ls_iterator *none = NULL;
    char buffer[8];
    int32_t fd;

    assert_int_equal(ls_iterator_open(NULL, 0, NULL, NULL, &none), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'stream'"));
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_open_all(NULL, NULL, NULL, &none), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_open_all(w.stream, NULL, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_open_place(NULL, "x", NULL, &none), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_open_place(w.stream, NULL, NULL, &none), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'place'"));
    assert_int_equal(ls_iterator_open_place(w.stream, "x", NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_open_place(w.stream, "x", NULL, &none), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_open_place(w.stream, "", NULL, &none), LS_ERR_INVALID_ARGUMENT);
    assert_null(none);
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
    assert_int_equal(ls_iterator_next(NULL, NULL, &batch), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_next(w.iterator, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_seek(NULL, &first), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_seek(w.iterator, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_place(NULL, buffer, sizeof buffer, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_place(w.iterator, NULL, 8, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_event_fd(NULL, &fd), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_event_fd(w.iterator, NULL), LS_ERR_INVALID_ARGUMENT);
    ls_iterator_cancel(NULL);
    assert_int_equal(ls_batch_count(NULL), 0);
    assert_null(ls_batch_records(NULL));
    assert_null(ls_batch_at(NULL, 0));
    assert_int_equal(ls_batch_shard(NULL), LS_NO_SHARD);
    assert_int_equal(ls_batch_millis_behind_latest(NULL), 0);
    assert_int_equal(ls_batch_is_shard_end(NULL), 0);
    assert_int_equal(ls_batch_child_count(NULL), 0);
    assert_int_equal(ls_batch_child_at(NULL, 0), LS_NO_SHARD);
    finish(&w);
}

static void options_out_of_their_range_are_refused(void **state)
{
    ls_iterator_options options = LS_ITERATOR_OPTIONS_INIT;
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    work w = start(state, 1);
    const ls_batch *batch = NULL;

    options.flags = 8;
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, &options, &w.iterator), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_open_all(w.stream, NULL, &options, &w.iterator), LS_ERR_INVALID_ARGUMENT);
    options.flags = 0;
    options.size = 1;
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, &options, &w.iterator), LS_ERR_INVALID_ARGUMENT);
    assert_null(w.iterator);
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
    next.timeout_ms = -2;
    assert_int_equal(ls_iterator_next(w.iterator, &next, &batch), LS_ERR_INVALID_ARGUMENT);
    next.timeout_ms = 0;
    next.size = 8;
    assert_int_equal(ls_iterator_next(w.iterator, &next, &batch), LS_ERR_INVALID_ARGUMENT);
    finish(&w);
}

/* The five positions, on frames of single records and of batches. */
static void each_position_begins_where_it_says(void **state)
{
    const ls_put_entry batch[] = {{text("k"), text("c"), NULL}, {text("k"), text("d"), NULL},
                                  {text("k"), text("e"), NULL}};
    ls_put_result results[3];
    work w = start(state, 1);
    int64_t before = wall_us(), between;
    ls_seqno a, b;

    a = put(&w, "a");
    b = put(&w, "b");
    usleep(2000);
    between = wall_us();
    usleep(2000);
    assert_int_equal(ls_producer_put_batch(w.producer, batch, 3, NULL, results, NULL), LS_OK);
    const struct {
        ls_position position;
        const char *expected;
    } cases[] = {
        {{LS_TRIM_HORIZON, 0, 0, 0}, "a b c d e"},
        {{LS_LATEST, 0, 0, 0}, ""},
        {{LS_AT_SEQUENCE_NUMBER, 0, a, 0}, "a b c d e"},
        {{LS_AT_SEQUENCE_NUMBER, 0, b, 0}, "b c d e"},
        {{LS_AFTER_SEQUENCE_NUMBER, 0, b, 0}, "c d e"},
        {{LS_AT_SEQUENCE_NUMBER, 0, results[1].seqno, 0}, "d e"},
        {{LS_AFTER_SEQUENCE_NUMBER, 0, results[1].seqno, 0}, "e"},
        {{LS_AFTER_SEQUENCE_NUMBER, 0, results[2].seqno, 0}, ""},
        {{LS_AT_SEQUENCE_NUMBER, 0, 1, 0}, "a b c d e"},
        {{LS_AT_SEQUENCE_NUMBER, 0, LS_SEQNO_MAX, 0}, ""},
        {{LS_AT_TIMESTAMP, 0, 0, 0}, "a b c d e"},
        {{LS_AT_TIMESTAMP, 0, 0, before}, "a b c d e"},
        {{LS_AT_TIMESTAMP, 0, 0, between}, "c d e"},
        {{LS_AT_TIMESTAMP, 0, 0, wall_us()}, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(ls_iterator_open(w.stream, 0, &cases[i].position, NULL, &w.iterator), LS_OK);
        assert_string_equal(next_of(w.iterator, 0, 0, NULL), cases[i].expected);
        ls_iterator_close(w.iterator);
    }
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(ls_iterator_seek(w.iterator, &cases[i].position), LS_OK);
        assert_string_equal(next_of(w.iterator, 0, 0, NULL), cases[i].expected);
    }
    finish(&w);
}

static void positions_that_cannot_be_meant_are_refused(void **state)
{
    const ls_position bad[] = {
        {0, 0, 0, 0}, {LS_LATEST, 0, 5, 0}, {LS_AT_SEQUENCE_NUMBER, 0, 0, 0}, {LS_TRIM_HORIZON, 0, 0, 1},
        {LS_AT_TIMESTAMP, 0, 0, wall_us() + 60000000},
    };
    const ls_position number = {LS_AT_SEQUENCE_NUMBER, 0, 1, 0};
    work w = start(state, 1);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ls_iterator_open(w.stream, 0, &bad[i], NULL, &w.iterator), LS_ERR_INVALID_ARGUMENT);
        assert_int_equal(ls_iterator_open_all(w.stream, &bad[i], NULL, &w.iterator), LS_ERR_INVALID_ARGUMENT);
    }
    assert_int_equal(ls_iterator_open_all(w.stream, &number, NULL, &w.iterator), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_iterator_open(w.stream, 1, NULL, NULL, &w.iterator), LS_ERR_NOT_FOUND);
    assert_null(w.iterator);
    finish(&w);
}

/* Defaults: 10,000 records and 256 KiB; 10 MiB when a number of records is asked for; one record always comes. */
static void limits_hold_and_have_defaults(void **state)
{
    enum { MANY = 10001 };
    ls_put_entry *entries = calloc(MANY, sizeof *entries);
    char *megabyte = calloc(1, 1u << 20);
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    work w = start(state, 1);
    const ls_batch *batch = NULL;

    for (size_t i = 0; i < MANY; i++)
        entries[i] = (ls_put_entry){text("k"), text("d"), NULL};
    assert_int_equal(ls_producer_put_batch(w.producer, entries, MANY, NULL, NULL, NULL), LS_OK);
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
    assert_int_equal(ls_iterator_next(w.iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 10000);
    assert_null(ls_batch_at(batch, 10000));
    assert_ptr_equal(ls_batch_at(batch, 9999), ls_batch_records(batch) + 9999);
    assert_int_equal(ls_iterator_next(w.iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    for (size_t i = 0; i < 300; i++)
        entries[i].data = (ls_bytes){megabyte, 1023};
    assert_int_equal(ls_producer_put_batch(w.producer, entries, 300, NULL, NULL, NULL), LS_OK);
    assert_int_equal(ls_iterator_next(w.iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 256); /* KiB, with the keys */
    assert_int_equal(ls_iterator_next(w.iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 44);
    for (size_t i = 0; i < 12; i++)
        entries[i].data = (ls_bytes){megabyte, (1u << 20) - 1};
    assert_int_equal(ls_producer_put_batch(w.producer, entries, 12, NULL, NULL, NULL), LS_OK);
    assert_int_equal(ls_iterator_next(w.iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    options.records_max = 100;
    assert_int_equal(ls_iterator_next(w.iterator, &options, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 10);
    options.bytes_max = 1;
    assert_int_equal(ls_iterator_next(w.iterator, &options, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    free(entries);
    free(megabyte);
    finish(&w);
}

/* Empty batches at the tip, 0 behind; a backlog is behind by its age. */
static void behind_latest_is_told(void **state)
{
    work w = start(state, 1);
    const ls_batch *batch = NULL;

    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
    assert_string_equal(next_of(w.iterator, 0, 0, &batch), "");
    assert_int_equal(ls_batch_millis_behind_latest(batch), 0);
    assert_int_equal(ls_batch_shard(batch), 0);
    assert_int_equal(ls_batch_is_shard_end(batch), 0);
    put(&w, "a");
    put(&w, "b");
    usleep(30000);
    assert_string_equal(next_of(w.iterator, 1, 0, &batch), "a");
    assert_in_range(ls_batch_millis_behind_latest(batch), 30, 10000);
    assert_string_equal(next_of(w.iterator, 1, 0, &batch), "b");
    assert_int_equal(ls_batch_millis_behind_latest(batch), 0);
    assert_int_equal(ls_batch_shard(batch), 0);
    finish(&w);
}

/* All shards through one handle; empty batches are of none. */
static void a_merged_iterator_reads_every_shard(void **state)
{
    const ls_position latest = {LS_LATEST, 0, 0, 0};
    work w = start(state, 4);
    const ls_batch *batch = NULL;
    uint32_t met = 0;

    for (uint32_t shard = 0; shard < 4; shard++) {
        put_into(&w, shard, 4, "a");
        put_into(&w, shard, 4, "b");
    }
    assert_int_equal(ls_iterator_open_all(w.stream, NULL, NULL, &w.iterator), LS_OK);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(next_of(w.iterator, 0, 0, &batch), "a b");
        met |= 1u << ls_batch_shard(batch);
        assert_int_equal(ls_batch_at(batch, 0)->shard, ls_batch_shard(batch));
    }
    assert_int_equal(met, 15);
    assert_string_equal(next_of(w.iterator, 0, 0, &batch), "");
    assert_int_equal(ls_batch_shard(batch), LS_NO_SHARD);
    put_into(&w, 2, 4, "c");
    assert_string_equal(next_of(w.iterator, 0, -1, &batch), "c");
    assert_int_equal(ls_batch_shard(batch), 2);
    assert_int_equal(ls_iterator_seek(w.iterator, &latest), LS_OK);
    put_into(&w, 3, 4, "d");
    assert_string_equal(next_of(w.iterator, 0, 0, &batch), "d");
    finish(&w);
}

/* A place is where the last batch ended, also inside what one call put; no record is lost or repeated over it. */
static void a_place_is_reopened_without_loss_or_repeat(void **state)
{
    const ls_put_entry entries[] = {{text("k"), text("1"), NULL}, {text("k"), text("2"), NULL},
                                    {text("k"), text("3"), NULL}, {text("k"), text("4"), NULL},
                                    {text("k"), text("5"), NULL}};
    ls_put_options atomic = LS_PUT_OPTIONS_INIT;
    work w = start(state, 1);
    char place[512];
    size_t needed = 0;

    atomic.flags = LS_PUT_ATOMIC;
    assert_int_equal(ls_producer_put_batch(w.producer, entries, 5, &atomic, NULL, NULL), LS_OK);
    put(&w, "6");
    for (int merged = 0; merged < 2; merged++) {
        if (merged)
            assert_int_equal(ls_iterator_open_all(w.stream, NULL, NULL, &w.iterator), LS_OK);
        else
            assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
        for (int i = 1; i <= 6; i++) {
            char expected[16];

            assert_int_equal(ls_iterator_place(w.iterator, NULL, 0, &needed), LS_ERR_TOO_LARGE);
            assert_in_range(needed, 2, sizeof place);
            assert_int_equal(ls_iterator_place(w.iterator, place, needed, NULL), LS_OK);
            ls_iterator_close(w.iterator);
            assert_int_equal(ls_iterator_open_place(w.stream, place, NULL, &w.iterator), LS_OK);
            snprintf(expected, sizeof expected, "%d", i);
            assert_string_equal(next_of(w.iterator, 1, 0, NULL), expected);
        }
        assert_string_equal(next_of(w.iterator, 1, 0, NULL), "");
        ls_iterator_close(w.iterator);
        w.iterator = NULL;
    }
    finish(&w);
}

/* A place belongs to its stream: another one, also one of the same name later, refuses it. */
static void a_place_of_another_stream_is_refused(void **state)
{
    work w = start(state, 1);
    ls_iterator *iterator = NULL;
    ls_stream *other;
    char place[512];

    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
    assert_int_equal(ls_iterator_place(w.iterator, place, sizeof place, NULL), LS_OK);
    other = make_stream(w.fx, "other", 1);
    assert_int_equal(ls_iterator_open_place(other, place, NULL, &iterator), LS_ERR_INVALID_ARGUMENT);
    assert_null(iterator);
    assert_int_equal(ls_stream_close(other), LS_OK);
    finish(&w);
    assert_int_equal(ls_stream_delete(w.fx->store, "orders"), LS_OK);
    other = make_stream(w.fx, "orders", 1);
    assert_int_equal(ls_iterator_open_place(other, place, NULL, &iterator), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_close(other), LS_OK);
}

/* A place outlives the store handle. */
static void a_place_outlives_the_store_handle(void **state)
{
    char place[512];
    work w;

    if (in_memory)
        return;
    w = start(state, 2);
    put_into(&w, 0, 2, "a");
    put_into(&w, 0, 2, "b");
    put_into(&w, 1, 2, "c");
    assert_int_equal(ls_iterator_open_all(w.stream, NULL, NULL, &w.iterator), LS_OK);
    assert_string_equal(next_of(w.iterator, 1, 0, NULL), "a");
    assert_int_equal(ls_iterator_place(w.iterator, place, sizeof place, NULL), LS_OK);
    finish(&w);
    assert_int_equal(ls_store_close(w.fx->store), LS_OK);
    assert_int_equal(ls_store_open(w.fx->location, NULL, &w.fx->store), LS_OK);
    assert_int_equal(ls_stream_open(w.fx->store, "orders", &w.stream), LS_OK);
    assert_int_equal(ls_iterator_open_place(w.stream, place, NULL, &w.iterator), LS_OK);
    assert_string_equal(next_of(w.iterator, 1, 0, NULL), "b");
    assert_string_equal(next_of(w.iterator, 1, 0, NULL), "c");
    assert_string_equal(next_of(w.iterator, 1, 0, NULL), "");
    ls_iterator_close(w.iterator);
    assert_int_equal(ls_stream_close(w.stream), LS_OK);
}

/* A wait takes its time and no longer. */
static void a_wait_ends_when_its_time_is_over(void **state)
{
    work w = start(state, 2);
    const ls_batch *batch = NULL;
    int64_t began = now_ms();

    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
    assert_string_equal(next_of(w.iterator, 0, 60, &batch), "");
    assert_in_range(now_ms() - began, 60, 5000);
    ls_iterator_close(w.iterator);
    began = now_ms();
    assert_int_equal(ls_iterator_open_all(w.stream, NULL, NULL, &w.iterator), LS_OK);
    assert_string_equal(next_of(w.iterator, 0, 60, &batch), "");
    assert_in_range(now_ms() - began, 60, 5000);
    finish(&w);
}

/* ---- from other threads and processes ---- */

typedef struct later {
    work *w;
    void (*act)(work *w);
} later;

static void *act_later(void *user)
{
    later *what = user;

    usleep(20000);
    what->act(what->w);
    return NULL;
}

static void act_put(work *w)
{
    put(w, "late");
}

static void act_cancel(work *w)
{
    ls_iterator_cancel(w->iterator);
}

static void act_delete(work *w)
{
    assert_int_equal(ls_stream_delete(w->fx->store, "orders"), LS_OK);
}

/* Waits without end, one iterator and a merged one, while another thread acts. */
static void wait_while(void **state, void (*act)(work *w), ls_status expected, const char *data)
{
    for (int merged = 0; merged < 2; merged++) {
        ls_next_options options = LS_NEXT_OPTIONS_INIT;
        const ls_batch *batch = NULL;
        work w = start(state, 1);
        later what = {&w, act};
        pthread_t thread;
        int64_t began = now_ms();

        options.timeout_ms = -1;
        if (merged)
            assert_int_equal(ls_iterator_open_all(w.stream, NULL, NULL, &w.iterator), LS_OK);
        else
            assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
        assert_int_equal(pthread_create(&thread, NULL, act_later, &what), 0);
        assert_int_equal(ls_iterator_next(w.iterator, &options, &batch), expected);
        assert_int_equal(pthread_join(thread, NULL), 0);
        if (expected == LS_OK)
            assert_string_equal(data_of(batch), data);
        assert_in_range(now_ms() - began, 20, 20000);
        finish(&w);
        (void)ls_stream_delete(w.fx->store, "orders"); /* The next round makes it anew; it may be gone already. */
    }
}

static void a_put_ends_a_wait(void **state)
{
    wait_while(state, act_put, LS_OK, "late");
}

static void a_cancel_ends_a_wait(void **state)
{
    wait_while(state, act_cancel, LS_ERR_CANCELLED, NULL);
}

static void a_deletion_ends_a_wait(void **state)
{
    wait_while(state, act_delete, LS_ERR_NOT_FOUND, NULL);
}

/* A cancel with no wait under way ends the next call that finds nothing, and only that. */
static void a_cancel_before_the_wait_is_not_lost(void **state)
{
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch = NULL;
    work w = start(state, 1);

    options.timeout_ms = -1;
    put(&w, "a");
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
    ls_iterator_cancel(w.iterator);
    assert_string_equal(next_of(w.iterator, 0, -1, NULL), "a");
    assert_int_equal(ls_iterator_next(w.iterator, &options, &batch), LS_ERR_CANCELLED);
    assert_string_equal(next_of(w.iterator, 0, 0, NULL), "");
    ls_iterator_cancel(w.iterator);
    options.timeout_ms = 0;
    assert_int_equal(ls_iterator_next(w.iterator, &options, &batch), LS_ERR_CANCELLED);
    put(&w, "b");
    assert_string_equal(next_of(w.iterator, 0, 0, NULL), "b");
    finish(&w);
}

static void handle_signal(int number)
{
    (void)number;
}

static pthread_t waiting_thread;

static void act_signal(work *w)
{
    (void)w;
    pthread_kill(waiting_thread, SIGUSR1);
}

/* A signal handler that ran on the waiting thread ends the wait where that was asked for, SA_RESTART or not. */
static void a_signal_ends_a_wait_where_asked_for(void **state)
{
    struct sigaction action = {.sa_handler = handle_signal}, before;
    ls_iterator_options options = LS_ITERATOR_OPTIONS_INIT;
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch = NULL;
    work w = start(state, 1);
    later what = {&w, act_signal};
    pthread_t thread;

    waiting_thread = pthread_self();
    for (int restart = 0; restart < 2; restart++) {
        action.sa_flags = restart ? SA_RESTART : 0;
        assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
        options.flags = LS_ITERATOR_INTERRUPTIBLE;
        next.timeout_ms = 20000;
        assert_int_equal(ls_iterator_open(w.stream, 0, NULL, &options, &w.iterator), LS_OK);
        assert_int_equal(pthread_create(&thread, NULL, act_later, &what), 0);
        assert_int_equal(ls_iterator_next(w.iterator, &next, &batch), LS_ERR_CANCELLED);
        assert_int_equal(pthread_join(thread, NULL), 0);
        ls_iterator_close(w.iterator);
        options.flags = 0;
        next.timeout_ms = 100;
        assert_int_equal(ls_iterator_open(w.stream, 0, NULL, &options, &w.iterator), LS_OK);
        assert_int_equal(pthread_create(&thread, NULL, act_later, &what), 0);
        assert_int_equal(ls_iterator_next(w.iterator, &next, &batch), LS_OK);
        assert_int_equal(ls_batch_count(batch), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        ls_iterator_close(w.iterator);
        w.iterator = NULL;
        assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    }
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

    usleep(20000);
    for (int i = 0; i < 50 && done; i++)
        done = ls_producer_put(producer, text("k"), text("child"), NULL, NULL) == LS_OK;
    return done && ls_producer_close(producer) == LS_OK && ls_stream_close(stream) == LS_OK &&
           ls_store_close(store) == LS_OK;
}

/* A reader that waits in this process is woken by a producer in another. */
static void a_put_in_another_process_ends_a_wait(void **state)
{
    size_t read = 0;
    pid_t child;
    int status;
    work w;

    if (in_memory)
        return;
    w = start(state, 1);
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(30);
        _exit(put_as_another_process(w.fx) ? 0 : 1);
    }
    while (read < 50) {
        const ls_batch *batch;

        (void)next_of(w.iterator, 0, 20000, &batch);
        assert_true(ls_batch_count(batch) > 0);
        read += ls_batch_count(batch);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    finish(&w);
}

/* A reader without the right to write waits and is woken too. */
static void a_reader_of_a_read_only_store_waits(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    later what;
    pthread_t thread;
    work w;

    if (in_memory)
        return;
    w = start(state, 1);
    options.flags = LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(w.fx->location, &options, &store), LS_OK);
    assert_int_equal(ls_stream_open(store, "orders", &stream), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &w.iterator), LS_OK);
    what = (later){&w, act_put};
    assert_int_equal(pthread_create(&thread, NULL, act_later, &what), 0);
    assert_string_equal(next_of(w.iterator, 0, 20000, NULL), "late");
    assert_int_equal(pthread_join(thread, NULL), 0);
    ls_iterator_close(w.iterator);
    w.iterator = NULL;
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    finish(&w);
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};

    return poll(&one, 1, timeout_ms) == 1;
}

/* The descriptor for event loops, level, for one shard and for all. */
static void the_descriptor_is_readable_while_there_is_something(void **state)
{
    for (int merged = 0; merged < 2; merged++) {
        work w = start(state, 1);
        int32_t fd = -1, again = -1;

        if (merged)
            assert_int_equal(ls_iterator_open_all(w.stream, NULL, NULL, &w.iterator), LS_OK);
        else
            assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
        assert_int_equal(ls_iterator_event_fd(w.iterator, &fd), LS_OK);
        assert_int_equal(ls_iterator_event_fd(w.iterator, &again), LS_OK);
        assert_int_equal(fd, again);
        assert_false(is_readable(fd, 30));
        for (int round = 0; round < 3; round++) {
            put(&w, "a");
            put(&w, "b");
            assert_true(is_readable(fd, 10000));
            assert_string_equal(next_of(w.iterator, 1, 0, NULL), "a");
            assert_true(is_readable(fd, 0));
            assert_string_equal(next_of(w.iterator, 1, 0, NULL), "b");
            assert_string_equal(next_of(w.iterator, 1, 0, NULL), "");
            assert_false(is_readable(fd, 30));
        }
        assert_int_equal(ls_stream_delete(w.fx->store, "orders"), LS_OK);
        assert_true(is_readable(fd, 10000));
        finish(&w);
    }
}

/* Damage at the place is told with file, offset and numbers, moves nothing, and a seek beyond it goes on. Method: a
 * byte of the middle record's frame is changed in the segment. */
static void damage_is_told_and_may_be_passed(void **state)
{
    ls_position beyond = {LS_AT_SEQUENCE_NUMBER, 0, 0, 0};
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch = NULL;
    char path[TEMP_PATH_BYTES * 2 + 64], bytes[65536];
    ls_seqno last;
    size_t size;
    char *found;
    FILE *file;
    work w;

    if (in_memory)
        return;
    w = start(state, 1);
    put(&w, "first-record");
    put(&w, "middle-record");
    last = put(&w, "last-record");
    finish(&w);
    w.iterator = NULL;
    assert_int_equal(ls_store_close(w.fx->store), LS_OK);
    snprintf(path, sizeof path, "%s/1/0/00000001.seg", w.fx->location);
    file = fopen(path, "r+b");
    assert_non_null(file);
    size = fread(bytes, 1, sizeof bytes, file);
    found = memmem(bytes, size, "middle-record", 13);
    assert_non_null(found);
    assert_int_equal(fseek(file, found - bytes, SEEK_SET), 0);
    assert_int_equal(fputc('M', file), 'M');
    assert_int_equal(fclose(file), 0);
    assert_int_equal(ls_store_open(w.fx->location, NULL, &w.fx->store), LS_OK);
    assert_int_equal(ls_stream_open(w.fx->store, "orders", &w.stream), LS_OK);
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
    assert_string_equal(next_of(w.iterator, 1, 0, NULL), "first-record");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ls_iterator_next(w.iterator, &options, &batch), LS_ERR_CORRUPT);
        assert_true(says("00000001.seg") && says("0x"));
    }
    beyond.seqno = last;
    assert_int_equal(ls_iterator_seek(w.iterator, &beyond), LS_OK);
    assert_string_equal(next_of(w.iterator, 0, 0, NULL), "last-record");
    ls_iterator_close(w.iterator);
    assert_int_equal(ls_stream_close(w.stream), LS_OK);
}

/* Views of a batch stay good until the next call, however much other handles do meanwhile. */
static void views_are_good_until_the_next_call(void **state)
{
    work w = start(state, 1);
    ls_iterator *other = NULL;
    const ls_batch *batch = NULL;

    put(&w, "a");
    put(&w, "b");
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &other), LS_OK);
    assert_string_equal(next_of(w.iterator, 0, 0, &batch), "a b");
    for (int i = 0; i < 50; i++)
        put(&w, "more");
    (void)next_of(other, 0, 0, NULL);
    ls_iterator_close(other);
    assert_string_equal(data_of(batch), "a b");
    finish(&w);
}

static ls_iterator *open_mapped(work *w, const ls_position *position, bool merged)
{
    ls_iterator_options options = LS_ITERATOR_OPTIONS_INIT;
    ls_iterator *mapped = NULL;

    options.flags = LS_ITERATOR_MAPPED;
    assert_int_equal(merged ? ls_iterator_open_all(w->stream, position, &options, &mapped)
                            : ls_iterator_open(w->stream, 0, position, &options, &mapped), LS_OK);
    return mapped;
}

/* A mapped iterator shows what others do: plain and compressed records, of one shard and of all, also those that are
 * put while it stands at the tip; and its views stay good when the files of the stream are gone. */
static void a_mapped_iterator_shows_the_same(void **state)
{
    static char large[3000];
    work w = start(state, 2);
    ls_iterator *mapped;
    const ls_batch *batch;

    memset(large, 'x', sizeof large - 1);
    put_into(&w, 0, 2, "a");
    assert_int_equal(ls_stream_set_compression(w.fx->store, "orders", LS_COMPRESSION_ZSTD), LS_OK);
    put_into(&w, 0, 2, large);
    put_into(&w, 0, 2, "b");
    put_into(&w, 1, 2, "other");
    assert_int_equal(ls_iterator_open(w.stream, 0, NULL, NULL, &w.iterator), LS_OK);
    mapped = open_mapped(&w, NULL, false);
    for (int i = 0; i < 3; i++) {
        char seen[4096];

        snprintf(seen, sizeof seen, "%s", next_of(w.iterator, 1, 0, NULL));
        assert_string_equal(next_of(mapped, 1, 0, NULL), seen);
    }
    put_into(&w, 0, 2, "later");
    assert_string_equal(next_of(mapped, 0, 0, NULL), "later");
    ls_iterator_close(mapped);

    mapped = open_mapped(&w, NULL, true);
    for (size_t seen = 0; seen < 5; seen += ls_batch_count(batch)) {
        batch = NULL;
        (void)next_of(mapped, 1, 0, &batch);
        assert_int_equal(ls_batch_count(batch), 1);
    }
    ls_iterator_close(mapped);

    mapped = open_mapped(&w, NULL, false);
    assert_string_equal(next_of(mapped, 1, 0, &batch), "a");
    assert_int_equal(ls_stream_delete(w.fx->store, "orders"), LS_OK);
    assert_string_equal(data_of(batch), "a");
    ls_iterator_close(mapped);
    finish(&w);
}

/* A file that somebody cut short is damage for it, as for others, and no SIGBUS. */
static void a_mapped_file_that_was_cut_is_damage(void **state)
{
    char path[TEMP_PATH_BYTES * 2 + 64];
    const ls_batch *batch = NULL;
    work w;

    if (in_memory)
        return;
    w = start(state, 1);
    for (int i = 0; i < 300; i++)
        put(&w, "a record of no great length");
    w.iterator = open_mapped(&w, NULL, false);
    snprintf(path, sizeof path, "%s/1/0/00000001.seg", w.fx->location);
    assert_int_equal(truncate(path, 8192), 0);
    assert_int_not_equal(ls_batch_count((next_of(w.iterator, 10, 0, &batch), batch)), 0);
    ls_status st = LS_OK;
    for (int i = 0; i < 100 && st == LS_OK; i++)
        st = ls_iterator_next(w.iterator, NULL, &batch);
    assert_int_equal(st, LS_ERR_CORRUPT);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(null_arguments_are_refused_by_name),
        TEST(options_out_of_their_range_are_refused),
        TEST(each_position_begins_where_it_says),
        TEST(positions_that_cannot_be_meant_are_refused),
        TEST(limits_hold_and_have_defaults),
        TEST(behind_latest_is_told),
        TEST(a_merged_iterator_reads_every_shard),
        TEST(a_place_is_reopened_without_loss_or_repeat),
        TEST(a_place_of_another_stream_is_refused),
        TEST(a_place_outlives_the_store_handle),
        TEST(a_wait_ends_when_its_time_is_over),
        TEST(a_put_ends_a_wait),
        TEST(a_cancel_ends_a_wait),
        TEST(a_deletion_ends_a_wait),
        TEST(a_cancel_before_the_wait_is_not_lost),
        TEST(a_signal_ends_a_wait_where_asked_for),
        TEST(a_put_in_another_process_ends_a_wait),
        TEST(a_reader_of_a_read_only_store_waits),
        TEST(the_descriptor_is_readable_while_there_is_something),
        TEST(damage_is_told_and_may_be_passed),
        TEST(views_are_good_until_the_next_call),
        TEST(a_mapped_iterator_shows_the_same),
        TEST(a_mapped_file_that_was_cut_is_damage),
    };

    run_everywhere("iterator.h", tests);
}
