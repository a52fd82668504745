/* Registered consumers as consumer.h promises them: registering, listing, subscribing to one shard and to all, the one
 * subscription that a consumer has to a shard, its own limit, and every error. */
#include "api/support.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "api/api.h"

#define STREAM "orders"
#define WAIT_S 20

/* ---- few words for common calls ---- */

/* A store whose clock is the test's; `fx->store` is another one, which is not used then. */
typedef struct clocked {
    lsi_env env;
    _Atomic int64_t us; /* what both clocks say */
    ls_store *store;
} clocked;

static int64_t clock_now(void *user)
{
    return atomic_load(&((clocked *)user)->us);
}

static void clocked_open(fixture *fx, clocked *of)
{
    memset(of, 0, sizeof *of);
    lsi_env_default(&of->env);
    atomic_init(&of->us, INT64_C(1700000000000000));
    of->env.clock = (lsi_clock){.user = of, .wall_us = clock_now, .monotonic_us = clock_now};
    assert_int_equal(lsi_store_open_env(in_memory ? "memory:" : temp_path(&fx->temp, "clocked"), NULL, &of->env,
                                        &of->store), LS_OK);
}

static void put_text(ls_stream *stream, const char *key, const char *data)
{
    ls_producer *producer = NULL;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text(key), text(data), NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

static void put_numbers(ls_stream *stream, uint32_t from, uint32_t to)
{
    char data[16];

    for (uint32_t i = from; i < to; i++) {
        snprintf(data, sizeof data, "%u", i);
        put_text(stream, "k", data);
    }
}

static ls_consumer *open_consumer(ls_stream *stream, const char *name)
{
    ls_consumer *consumer = NULL;

    assert_int_equal(ls_consumer_open(stream, name, &consumer), LS_OK);
    return consumer;
}

static ls_consumer *make_consumer(ls_stream *stream, const char *name)
{
    assert_int_equal(ls_consumer_register(stream, name, NULL), LS_OK);
    return open_consumer(stream, name);
}

/* ---- a subscription in a thread of its own ---- */

#define SEEN_MAX 4096

typedef struct watch {
    ls_consumer *consumer;
    bool is_all;
    uint32_t shard;
    const ls_position *position;
    const char *from_place;
    ls_subscribe_options options;
    uint32_t stop_after;    /* records; 0: never */
    ls_push_answer answer;  /* from then on; LS_PUSH_STOP unless said otherwise */

    pthread_t thread;
    pthread_t pushed_on;
    sem_t begun;            /* the first batch was pushed */
    sem_t beats;            /* empty batches after it */
    sem_t records;
    ls_status st;
    char message[256];
    char place[1024];       /* behind the last batch */
    uint32_t batches, count, ends, children;
    uint32_t largest;       /* records of a batch */
    uint64_t numbers[SEEN_MAX];
    uint32_t shards[SEEN_MAX];
    bool first_was_empty;
} watch;

static ls_push_answer take(const ls_batch *batch, void *user)
{
    watch *of = user;
    size_t count = ls_batch_count(batch);

    of->pushed_on = pthread_self();
    if (ls_batch_place(batch, of->place, sizeof of->place, NULL) != LS_OK)
        return 99;
    if (of->batches++ == 0) {
        of->first_was_empty = count == 0 && !ls_batch_is_shard_end(batch);
        sem_post(&of->begun);
    } else if (count == 0 && !ls_batch_is_shard_end(batch)) {
        sem_post(&of->beats);
    }
    of->largest = count > of->largest ? (uint32_t)count : of->largest;
    for (size_t i = 0; i < count; i++) {
        const ls_record *record = ls_batch_at(batch, i);
        char data[16] = "";

        memcpy(data, record->data.data, record->data.size < 15 ? record->data.size : 15);
        of->shards[of->count] = ls_batch_shard(batch);
        of->numbers[of->count++] = strtoull(data, NULL, 10);
        sem_post(&of->records);
    }
    if (ls_batch_is_shard_end(batch)) {
        of->ends++;
        of->children += ls_batch_child_count(batch);
    }
    return of->stop_after != 0 && of->count >= of->stop_after ? of->answer : LS_PUSH_DONE;
}

static void watch_init(watch *of, ls_consumer *consumer)
{
    const ls_subscribe_options options = LS_SUBSCRIBE_OPTIONS_INIT;

    memset(of, 0, sizeof *of);
    of->consumer = consumer;
    of->options = options;
    of->answer = LS_PUSH_STOP;
    assert_int_equal(sem_init(&of->begun, 0, 0), 0);
    assert_int_equal(sem_init(&of->beats, 0, 0), 0);
    assert_int_equal(sem_init(&of->records, 0, 0), 0);
}

static void *watch_run(void *user)
{
    watch *of = user;

    if (of->from_place != NULL)
        of->st = ls_consumer_subscribe_place(of->consumer, of->from_place, &of->options, take, of);
    else if (of->is_all)
        of->st = ls_consumer_subscribe_all(of->consumer, of->position, &of->options, take, of);
    else
        of->st = ls_consumer_subscribe(of->consumer, of->shard, of->position, &of->options, take, of);
    if (of->st != LS_OK)
        snprintf(of->message, sizeof of->message, "%s", ls_last_error_message());
    return NULL;
}

static void await(sem_t *what, uint32_t times)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    for (uint32_t i = 0; i < times; i++)
        assert_int_equal(sem_timedwait(what, &until), 0);
}

static void watch_start(watch *of)
{
    assert_int_equal(pthread_create(&of->thread, NULL, watch_run, of), 0);
    await(&of->begun, 1);
    assert_true(of->first_was_empty);
}

static ls_status watch_join(watch *of)
{
    assert_int_equal(pthread_join(of->thread, NULL), 0);
    return of->st;
}

/* On this thread, to its end. */
static ls_status watch_here(watch *of)
{
    (void)watch_run(of);
    return of->st;
}

static void assert_numbers(const watch *of, uint32_t from, uint32_t to)
{
    assert_int_equal(of->count, to - from);
    for (uint32_t i = 0; i < of->count; i++)
        assert_int_equal(of->numbers[i], from + i);
}

/* ---- registering ---- */

static void a_registered_consumer_is_described_and_stays(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer_info made = LS_CONSUMER_INFO_INIT, info = LS_CONSUMER_INFO_INIT;
    struct timespec now;

    assert_int_equal(ls_consumer_describe(stream, "reports", &info), LS_ERR_NOT_FOUND);
    assert_true(says("'reports'"));
    assert_int_equal(ls_consumer_register(stream, "reports", &made), LS_OK);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    assert_int_equal(ls_consumer_describe(stream, "reports", &info), LS_OK);
    assert_memory_equal(&info, &made, sizeof info);
    assert_string_equal(info.name, "reports");
    assert_int_equal(info.status, LS_CONSUMER_ACTIVE);
    assert_in_range(info.created_us / 1000000, now.tv_sec - 10, now.tv_sec);
    assert_int_equal(info.size, sizeof info);
    if (!in_memory) { /* Another handle, and one after all were closed. */
        ls_store *other = NULL;
        ls_stream *there = NULL;

        assert_int_equal(ls_store_open(fx->location, NULL, &other), LS_OK);
        assert_int_equal(ls_stream_open(other, STREAM, &there), LS_OK);
        assert_int_equal(ls_consumer_describe(there, "reports", &info), LS_OK);
        assert_memory_equal(&info, &made, sizeof info);
        assert_int_equal(ls_stream_close(there), LS_OK);
        assert_int_equal(ls_store_close(other), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        assert_int_equal(ls_store_close(fx->store), LS_OK);
        assert_int_equal(ls_store_open(fx->location, NULL, &fx->store), LS_OK);
        assert_int_equal(ls_stream_open(fx->store, STREAM, &stream), LS_OK);
        assert_int_equal(ls_consumer_describe(stream, "reports", &info), LS_OK);
        assert_memory_equal(&info, &made, sizeof info);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void one_that_is_registered_anew_has_another_id(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1), *other = make_stream(fx, "other", 1);
    ls_consumer_info first = LS_CONSUMER_INFO_INIT, second = LS_CONSUMER_INFO_INIT, third = LS_CONSUMER_INFO_INIT;

    assert_int_equal(ls_consumer_register(stream, "a", &first), LS_OK);
    assert_int_equal(ls_consumer_deregister(stream, "a"), LS_OK);
    assert_int_equal(ls_consumer_deregister(stream, "a"), LS_ERR_NOT_FOUND);
    assert_true(says("'a'") && says(STREAM));
    assert_int_equal(ls_consumer_register(stream, "a", &second), LS_OK);
    assert_int_equal(ls_consumer_register(other, "a", &third), LS_OK); /* A name is of its stream. */
    assert_true(second.id > first.id && third.id > second.id);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_stream_close(other), LS_OK);
}

static void names_and_numbers_of_consumers_have_their_limits(void **state)
{
    static const char *const bad[] = {"", "a b", "a/b", "\xc3\xa4", "a\n"};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    char name[140];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(ls_consumer_register(stream, bad[i], NULL), LS_ERR_INVALID_ARGUMENT);
    memset(name, 'x', sizeof name);
    name[129] = '\0';
    assert_int_equal(ls_consumer_register(stream, name, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("128"));
    name[128] = '\0';
    assert_int_equal(ls_consumer_register(stream, name, &info), LS_OK);
    assert_string_equal(info.name, name);
    assert_int_equal(ls_consumer_register(stream, name, NULL), LS_ERR_EXISTS);
    assert_int_equal(ls_consumer_register(stream, "aZ09_.-", NULL), LS_OK);
    assert_int_equal(ls_consumer_register(stream, "aZ09_.-", NULL), LS_ERR_EXISTS);
    assert_true(says("aZ09_.-") && says(STREAM));
    for (int i = 2; i < 20; i++) {
        snprintf(name, sizeof name, "c%d", i);
        assert_int_equal(ls_consumer_register(stream, name, NULL), LS_OK);
    }
    assert_int_equal(ls_consumer_register(stream, "more", NULL), LS_ERR_STATE);
    assert_true(says("20"));
    assert_int_equal(ls_consumer_register(stream, "c2", NULL), LS_ERR_EXISTS); /* also then */
    assert_int_equal(ls_consumer_deregister(stream, "c7"), LS_OK);
    assert_int_equal(ls_consumer_register(stream, "more", NULL), LS_OK);
    /* The size of what is to be filled is looked at before anything is done. */
    assert_int_equal(ls_consumer_deregister(stream, "more"), LS_OK);
    info.size = 0;
    assert_int_equal(ls_consumer_register(stream, "more", &info), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("INIT"));
    assert_int_equal(ls_consumer_describe(stream, "c2", &info), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_consumer_deregister(stream, "more"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void consumers_are_listed_by_name_in_pages(void **state)
{
    static const char *const names[] = {"b", "a", "c", "B", "a.b"};
    static const char *const sorted[] = {"B", "a", "a.b", "b", "c"};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_consumer_list *list = NULL;
    char after[136] = "";
    uint32_t seen = 0;

    assert_int_equal(ls_stream_list_consumers(stream, NULL, 0, &list), LS_OK);
    assert_int_equal(ls_consumer_list_count(list), 0);
    assert_int_equal(ls_consumer_list_has_more(list), 0);
    ls_consumer_list_free(list);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ls_consumer_register(stream, names[i], NULL), LS_OK);
    for (bool more = true; more;) {
        assert_int_equal(ls_stream_list_consumers(stream, after, 2, &list), LS_OK);
        for (uint32_t i = 0; i < ls_consumer_list_count(list); i++) {
            assert_int_equal(ls_consumer_list_at(list, i, &info), LS_OK);
            assert_string_equal(info.name, sorted[seen++]);
            strcpy(after, info.name);
        }
        more = ls_consumer_list_has_more(list) != 0;
        assert_int_equal(more, seen < 5);
        assert_int_equal(ls_consumer_list_at(list, 2, &info), LS_ERR_INVALID_ARGUMENT);
        info.size = 3;
        assert_int_equal(ls_consumer_list_at(list, 0, &info), LS_ERR_INVALID_ARGUMENT);
        info.size = sizeof info;
        ls_consumer_list_free(list);
    }
    assert_int_equal(seen, 5);
    assert_int_equal(ls_stream_list_consumers(stream, NULL, 10000, &list), LS_OK);
    assert_int_equal(ls_consumer_list_count(list), 5);
    ls_consumer_list_free(list);
    assert_int_equal(ls_stream_list_consumers(stream, NULL, 10001, &list), LS_ERR_INVALID_ARGUMENT);
    ls_consumer_list_free(NULL);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_stream_with_consumers_is_deleted_only_with_them(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_consumer_list *list = NULL;

    assert_int_equal(ls_consumer_register(stream, "a", NULL), LS_OK);
    assert_int_equal(ls_stream_delete(fx->store, STREAM), LS_ERR_STATE);
    assert_true(says("1 registered consumer"));
    put_text(stream, "k", "0");
    assert_int_equal(ls_stream_delete_with_consumers(fx->store, STREAM), LS_OK);
    assert_int_equal(ls_consumer_describe(stream, "a", &info), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_consumer_register(stream, "b", NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_consumer_deregister(stream, "a"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_list_consumers(stream, NULL, 0, &list), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_delete_with_consumers(fx->store, STREAM), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    stream = make_stream(fx, STREAM, 1); /* The name again: without them. */
    assert_int_equal(ls_stream_list_consumers(stream, NULL, 0, &list), LS_OK);
    assert_int_equal(ls_consumer_list_count(list), 0);
    ls_consumer_list_free(list);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_stream_delete_with_consumers(fx->store, STREAM), LS_OK); /* also when there are none */
}

static void null_is_refused_by_name(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_consumer_list *list = NULL;
    ls_consumer *consumer = make_consumer(stream, "a");

#define REFUSED(call, argument)                              \
    do {                                                     \
        assert_int_equal(call, LS_ERR_INVALID_ARGUMENT);     \
        assert_true(says("'" argument "'"));                 \
    } while (0)
    REFUSED(ls_consumer_register(NULL, "a", NULL), "stream");
    REFUSED(ls_consumer_register(stream, NULL, NULL), "name");
    REFUSED(ls_consumer_deregister(NULL, "a"), "stream");
    REFUSED(ls_consumer_deregister(stream, NULL), "name");
    REFUSED(ls_consumer_describe(NULL, "a", &info), "stream");
    REFUSED(ls_consumer_describe(stream, NULL, &info), "name");
    REFUSED(ls_consumer_describe(stream, "a", NULL), "out");
    REFUSED(ls_stream_list_consumers(NULL, NULL, 0, &list), "stream");
    REFUSED(ls_stream_list_consumers(stream, NULL, 0, NULL), "out");
    REFUSED(ls_stream_delete_with_consumers(NULL, "a"), "store");
    REFUSED(ls_stream_delete_with_consumers(fx->store, NULL), "name");
    REFUSED(ls_consumer_open(NULL, "a", &consumer), "stream");
    REFUSED(ls_consumer_open(stream, NULL, &consumer), "name");
    REFUSED(ls_consumer_open(stream, "a", NULL), "out");
    REFUSED(ls_consumer_subscribe(NULL, 0, NULL, NULL, take, NULL), "consumer");
    REFUSED(ls_consumer_subscribe(consumer, 0, NULL, NULL, NULL, NULL), "callback");
    REFUSED(ls_consumer_subscribe_all(NULL, NULL, NULL, take, NULL), "consumer");
    REFUSED(ls_consumer_subscribe_place(consumer, NULL, NULL, take, NULL), "place");
    REFUSED(ls_consumer_subscribe_place(NULL, "", NULL, take, NULL), "consumer");
    REFUSED(ls_batch_place(NULL, NULL, 0, NULL), "batch");
    REFUSED(ls_consumer_list_at(NULL, 0, &info), "list");
#undef REFUSED
    ls_consumer_cancel(NULL);
    assert_int_equal(ls_consumer_close(NULL), LS_OK);
    assert_int_equal(ls_consumer_list_count(NULL), 0);
    assert_int_equal(ls_consumer_list_has_more(NULL), 0);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- subscribing to a shard ---- */

static void records_are_pushed_as_they_come(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    watch of;

    put_numbers(stream, 0, 10);
    watch_init(&of, consumer);
    watch_start(&of);
    await(&of.records, 10);
    put_numbers(stream, 10, 30);
    await(&of.records, 20);
    ls_consumer_cancel(consumer);
    assert_int_equal(watch_join(&of), LS_ERR_CANCELLED);
    assert_non_null(strstr(of.message, "cancelled"));
    assert_true(pthread_equal(of.pushed_on, of.thread)); /* on the thread that called */
    assert_numbers(&of, 0, 30);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_subscription_begins_where_its_position_says(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    ls_position position = {.kind = LS_LATEST};
    ls_record_id ids[5];
    ls_producer *producer = NULL;
    watch of;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (int i = 0; i < 5; i++) {
        char data[4];

        snprintf(data, sizeof data, "%d", i);
        assert_int_equal(ls_producer_put(producer, text("k"), text(data), NULL, &ids[i]), LS_OK);
    }
    for (int kind = LS_TRIM_HORIZON; kind <= LS_AT_TIMESTAMP; kind++) {
        uint32_t from = kind == LS_AT_SEQUENCE_NUMBER ? 2 : kind == LS_AFTER_SEQUENCE_NUMBER ? 3 : 0;

        if (kind == LS_LATEST)
            continue;
        watch_init(&of, consumer);
        position = (ls_position){.kind = kind};
        if (from != 0)
            position.seqno = ids[2].seqno;
        if (kind == LS_AT_TIMESTAMP)
            position.timestamp_us = 1;
        of.position = &position;
        of.stop_after = 5 - from;
        assert_int_equal(watch_here(&of), LS_OK);
        assert_numbers(&of, from, 5);
    }
    /* LATEST: what is put once the first batch was pushed. */
    watch_init(&of, consumer);
    position = (ls_position){.kind = LS_LATEST};
    of.position = &position;
    of.stop_after = 1;
    watch_start(&of);
    assert_int_equal(ls_producer_put(producer, text("k"), text("5"), NULL, NULL), LS_OK);
    assert_int_equal(watch_join(&of), LS_OK);
    assert_numbers(&of, 5, 6);
    /* What ls_iterator_open refuses. */
    watch_init(&of, consumer);
    position = (ls_position){.kind = 77};
    of.position = &position;
    assert_int_equal(watch_here(&of), LS_ERR_INVALID_ARGUMENT);
    position = (ls_position){.kind = LS_AT_TIMESTAMP, .timestamp_us = INT64_MAX};
    assert_int_equal(watch_here(&of), LS_ERR_INVALID_ARGUMENT);
    of.position = NULL;
    of.shard = 7;
    assert_int_equal(watch_here(&of), LS_ERR_NOT_FOUND);
    assert_int_equal(of.batches, 0);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_callback_that_says_stop_ends_it(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    watch of, next;

    put_numbers(stream, 0, 20);
    watch_init(&of, consumer);
    of.options.records_max = 4;
    of.stop_after = 10;
    assert_int_equal(watch_here(&of), LS_OK);
    assert_numbers(&of, 0, 12); /* whole batches */
    assert_int_equal(of.largest, 4);
    /* It goes on behind the last batch. */
    watch_init(&next, consumer);
    next.from_place = of.place;
    next.stop_after = 8;
    assert_int_equal(watch_here(&next), LS_OK);
    assert_numbers(&next, 12, 20);
    /* An answer that is none. */
    watch_init(&of, consumer);
    of.stop_after = 1;
    of.answer = 7;
    assert_int_equal(watch_here(&of), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(of.message, "7"));
    assert_int_equal(of.batches, 2);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void batches_keep_to_their_limits(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    watch of;

    put_numbers(stream, 0, 6);
    watch_init(&of, consumer);
    of.options.bytes_max = 5; /* two records of a key and a digit */
    of.stop_after = 6;
    assert_int_equal(watch_here(&of), LS_OK);
    assert_int_equal(of.largest, 2);
    watch_init(&of, consumer);
    of.options.bytes_max = 1; /* always one */
    of.stop_after = 6;
    assert_int_equal(watch_here(&of), LS_OK);
    assert_int_equal(of.largest, 1);
    watch_init(&of, consumer);
    of.options.reserved = 1;
    assert_int_equal(watch_here(&of), LS_ERR_INVALID_ARGUMENT);
    of.options.reserved = 0;
    of.options.size = 1;
    assert_int_equal(watch_here(&of), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(of.batches, 0);
    assert_int_equal(ls_consumer_subscribe(consumer, 9, NULL, NULL, take, &of), LS_ERR_NOT_FOUND); /* NULL: defaults */
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void an_empty_batch_is_pushed_when_nothing_comes(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    ls_position latest = {.kind = LS_LATEST};
    char place[1024];
    watch of, next;

    put_numbers(stream, 0, 3);
    watch_init(&of, consumer);
    of.position = &latest;
    of.options.heartbeat_ms = 10;
    watch_start(&of);
    await(&of.beats, 3);
    ls_consumer_cancel(consumer);
    assert_int_equal(watch_join(&of), LS_ERR_CANCELLED);
    assert_int_equal(of.count, 0);
    strcpy(place, of.place);
    put_numbers(stream, 3, 5);
    /* Behind an empty batch stands where it began: what LATEST meant then. */
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    consumer = open_consumer(stream, "a");
    watch_init(&next, consumer);
    next.from_place = place;
    next.stop_after = 2;
    assert_int_equal(watch_here(&next), LS_OK);
    assert_numbers(&next, 3, 5);
    next.from_place = "nothing that was written";
    assert_int_equal(watch_here(&next), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_push_answer measure_place(const ls_batch *batch, void *user)
{
    size_t *needed = user;
    char small[4] = "abc", whole[512];

    if (ls_batch_place(batch, NULL, 0, needed) == LS_ERR_TOO_LARGE &&
        ls_batch_place(batch, small, sizeof small, NULL) == LS_ERR_TOO_LARGE && strcmp(small, "abc") == 0 &&
        ls_batch_place(batch, whole, *needed, NULL) == LS_OK && strlen(whole) + 1 == *needed)
        return LS_PUSH_STOP;
    return 99;
}

/* Without `heartbeat_ms` none is. */
static void no_empty_batch_is_pushed_by_default(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    int beats = -1;
    watch of;

    watch_init(&of, consumer);
    watch_start(&of);
    (void)usleep(150000);
    assert_int_equal(sem_getvalue(&of.beats, &beats), 0);
    assert_int_equal(beats, 0);
    ls_consumer_cancel(consumer);
    assert_int_equal(watch_join(&of), LS_ERR_CANCELLED);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

typedef struct sizes {
    size_t count, largest;
} sizes;

static ls_push_answer note_size(const ls_batch *batch, void *user)
{
    sizes *of = user;

    of->largest = ls_batch_count(batch) > of->largest ? ls_batch_count(batch) : of->largest;
    of->count -= ls_batch_count(batch);
    return of->count == 0 ? LS_PUSH_STOP : LS_PUSH_DONE;
}

/* Puts `count` records of so many bytes, and subscribes to them: the largest batch. */
static size_t largest_of(ls_stream *stream, ls_consumer *consumer, size_t count, size_t bytes,
                         const ls_subscribe_options *options)
{
    ls_put_entry *entries = calloc(count, sizeof *entries);
    ls_put_result *results = calloc(count, sizeof *results);
    char *data = calloc(1, bytes);
    ls_position from = {.kind = LS_AT_SEQUENCE_NUMBER};
    sizes of = {.count = count};
    ls_producer *producer = NULL;

    for (size_t i = 0; i < count; i++)
        entries[i] = (ls_put_entry){text("k"), {data, bytes - 1}, NULL};
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put_batch(producer, entries, count, NULL, results, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    from.seqno = results[0].seqno;
    assert_int_equal(ls_consumer_subscribe(consumer, 0, &from, options, note_size, &of), LS_OK);
    free(entries);
    free(results);
    free(data);
    return of.largest;
}

/* Goal: 10,000 records and 256 KiB; 10 MiB when a number of records is asked for; keys count. */
static void batches_have_limits_by_default(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    ls_subscribe_options options = LS_SUBSCRIBE_OPTIONS_INIT;

    assert_int_equal(largest_of(stream, consumer, 10001, 2, NULL), 10000);
    assert_int_equal(largest_of(stream, consumer, 300, 1024, &options), 256);
    options.records_max = 20000;
    assert_int_equal(largest_of(stream, consumer, 12, 1u << 20, &options), 10);
    assert_int_equal(largest_of(stream, consumer, 10001, 2, &options), 10001);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Goal: what is pushed is no read of the provisioned stream. Method: one read a second, and a clock that stands. */
static void what_is_pushed_is_not_counted_as_reads(void **state)
{
    fixture *fx = *state;
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_stream *stream = NULL;
    ls_consumer *consumer;
    watch of;
    clocked at;

    clocked_open(fx, &at);
    options.mode = LS_STREAM_PROVISIONED;
    options.read_calls_per_second = 1;
    assert_int_equal(ls_stream_create(at.store, STREAM, &options), LS_OK);
    assert_int_equal(ls_stream_open(at.store, STREAM, &stream), LS_OK);
    consumer = make_consumer(stream, "a");
    watch_init(&of, consumer);
    watch_start(&of);
    for (uint32_t i = 0; i < 5; i++) {
        put_numbers(stream, i, i + 1);
        await(&of.records, 1);
    }
    ls_consumer_cancel(consumer);
    assert_int_equal(watch_join(&of), LS_ERR_CANCELLED);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(at.store), LS_OK);
}

static void a_place_says_how_much_it_needs(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    char one[512], two[512];
    size_t needed = 0;

    put_numbers(stream, 0, 3);
    assert_int_equal(ls_consumer_subscribe(consumer, 0, NULL, NULL, measure_place, &needed), LS_OK);
    assert_true(needed > 10);
    /* Of an iterator's batch it is the iterator's. */
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        assert_int_equal(ls_batch_count(batch), i == 0 ? 3 : 0);
        assert_int_equal(ls_batch_place(batch, one, sizeof one, NULL), LS_OK);
        assert_int_equal(ls_iterator_place(iterator, two, sizeof two, NULL), LS_OK);
        assert_string_equal(one, two);
    }
    ls_iterator_close(iterator);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- ends, and all shards ---- */

static void the_end_of_a_shard_comes_with_its_children_and_ends_it(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    uint32_t lower, upper;
    watch of;

    put_numbers(stream, 0, 5);
    watch_init(&of, consumer);
    watch_start(&of);
    await(&of.records, 5);
    assert_int_equal(ls_stream_split(stream, 0, NULL, &lower, &upper), LS_OK); /* under one who waits */
    assert_int_equal(watch_join(&of), LS_OK);
    assert_int_equal(of.ends, 1);
    assert_int_equal(of.children, 2);
    assert_numbers(&of, 0, 5);
    watch_init(&of, consumer); /* and for one who comes later */
    assert_int_equal(watch_here(&of), LS_OK);
    assert_int_equal(of.ends, 1);
    assert_numbers(&of, 0, 5);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void all_shards_are_read_children_after_their_parents(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 2);
    ls_consumer *consumer = make_consumer(stream, "a");
    ls_position numbered = {.kind = LS_AT_SEQUENCE_NUMBER, .seqno = 1};
    uint32_t lower, upper, child;
    watch of, next;

    put_numbers(stream, 0, 10);
    watch_init(&of, consumer);
    of.is_all = true;
    watch_start(&of);
    await(&of.records, 10);
    assert_int_equal(ls_stream_split(stream, 0, NULL, &lower, &upper), LS_OK);
    assert_int_equal(ls_stream_merge(stream, upper, 1, &child), LS_OK);
    put_numbers(stream, 10, 20);
    await(&of.records, 10);
    ls_consumer_cancel(consumer);
    assert_int_equal(watch_join(&of), LS_ERR_CANCELLED);
    assert_numbers(&of, 0, 20); /* one key: in its order, through both changes */
    assert_true(of.shards[19] > 1);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    consumer = open_consumer(stream, "a");
    put_numbers(stream, 20, 24);
    watch_init(&next, consumer);
    next.from_place = of.place;
    next.stop_after = 4;
    assert_int_equal(watch_here(&next), LS_OK);
    assert_numbers(&next, 20, 24);
    watch_init(&next, consumer);
    next.is_all = true;
    next.position = &numbered;
    assert_int_equal(watch_here(&next), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- one subscription to a shard ---- */

static void a_second_subscription_is_refused_and_later_takes_over(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = NULL;
    ls_consumer *consumer, *again;
    watch first, second;
    clocked of;

    clocked_open(fx, &of);
    assert_int_equal(ls_stream_create(of.store, STREAM, NULL), LS_OK);
    assert_int_equal(ls_stream_open(of.store, STREAM, &stream), LS_OK);
    consumer = make_consumer(stream, "a");
    again = open_consumer(stream, "a");
    watch_init(&first, consumer);
    watch_start(&first);
    atomic_fetch_add(&of.us, 4999000);
    watch_init(&second, again);
    second.shard = 0;
    assert_int_equal(watch_here(&second), LS_ERR_STATE);
    assert_non_null(strstr(second.message, " 1 ms"));
    assert_non_null(strstr(second.message, "'a'"));
    assert_int_equal(second.batches, 0);
    second.is_all = true; /* it would have it too */
    assert_int_equal(watch_here(&second), LS_ERR_STATE);
    second.is_all = false;
    atomic_fetch_add(&of.us, 1000);
    watch_start(&second);
    assert_int_equal(watch_join(&first), LS_ERR_LEASE_LOST); /* who waits is woken */
    assert_non_null(strstr(first.message, "taken over"));
    /* The 5 seconds are those of the second one now. What is put goes to it alone. */
    put_numbers(stream, 0, 3);
    await(&second.records, 3);
    assert_int_equal(first.count, 0);
    watch_init(&first, consumer);
    assert_int_equal(watch_here(&first), LS_ERR_STATE);
    /* One that has ended makes room at once. */
    ls_consumer_cancel(again);
    assert_int_equal(watch_join(&second), LS_ERR_CANCELLED);
    first.stop_after = 3;
    assert_int_equal(watch_here(&first), LS_OK);
    assert_numbers(&first, 0, 3);
    assert_int_equal(ls_consumer_close(again), LS_OK);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(of.store), LS_OK);
}

static void a_bad_argument_takes_no_subscription_over(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = NULL;
    ls_consumer *consumer, *again;
    ls_position future = {.kind = LS_AT_TIMESTAMP, .timestamp_us = INT64_MAX};
    watch first, second;
    clocked of;

    clocked_open(fx, &of);
    assert_int_equal(ls_stream_create(of.store, STREAM, NULL), LS_OK);
    assert_int_equal(ls_stream_open(of.store, STREAM, &stream), LS_OK);
    consumer = make_consumer(stream, "a");
    again = open_consumer(stream, "a");
    watch_init(&first, consumer);
    watch_start(&first);
    atomic_fetch_add(&of.us, 6000000);
    watch_init(&second, again);
    second.position = &future;
    assert_int_equal(watch_here(&second), LS_ERR_INVALID_ARGUMENT);
    put_numbers(stream, 0, 1);
    await(&first.records, 1);
    ls_consumer_cancel(consumer);
    assert_int_equal(watch_join(&first), LS_ERR_CANCELLED);
    assert_int_equal(ls_consumer_close(again), LS_OK);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(of.store), LS_OK);
}

static void consumers_and_shards_do_not_get_in_each_others_way(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 2);
    ls_consumer *a = make_consumer(stream, "a"), *b = make_consumer(stream, "b");
    watch watches[4];

    for (uint32_t i = 0; i < 4; i++) { /* one handle, two shards; one shard, two consumers */
        watch_init(&watches[i], i < 2 ? a : b);
        watches[i].shard = i % 2;
        watch_start(&watches[i]);
    }
    for (uint32_t i = 0; i < 40; i++) {
        char key[8], data[8];

        snprintf(key, sizeof key, "k%u", i);
        snprintf(data, sizeof data, "%u", i);
        put_text(stream, key, data);
    }
    for (uint32_t waited = 0; waited < 400; waited++) {
        struct timespec rest = {0, 10000000};
        int seen[4], sum[2];

        for (int i = 0; i < 4; i++)
            assert_int_equal(sem_getvalue(&watches[i].records, &seen[i]), 0);
        sum[0] = seen[0] + seen[1];
        sum[1] = seen[2] + seen[3];
        if (sum[0] == 40 && sum[1] == 40)
            break;
        (void)nanosleep(&rest, NULL);
    }
    ls_consumer_cancel(a);
    ls_consumer_cancel(b);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(watch_join(&watches[i]), LS_ERR_CANCELLED);
    assert_int_equal(watches[0].count + watches[1].count, 40);
    assert_int_equal(watches[0].count, watches[2].count);
    assert_int_equal(watches[1].count, watches[3].count);
    assert_true(watches[0].count > 0 && watches[1].count > 0);
    assert_int_equal(ls_consumer_close(a), LS_OK);
    assert_int_equal(ls_consumer_close(b), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void deregistering_ends_a_subscription(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 2);
    ls_consumer *consumer = make_consumer(stream, "a");
    watch of, all;

    watch_init(&of, consumer);
    watch_start(&of);
    assert_int_equal(ls_consumer_deregister(stream, "a"), LS_OK);
    assert_int_equal(watch_join(&of), LS_ERR_NOT_FOUND);
    assert_non_null(strstr(of.message, "deregistered"));
    /* The handle is of that one, not of the next one of its name. */
    assert_int_equal(ls_consumer_register(stream, "a", NULL), LS_OK);
    watch_init(&of, consumer);
    assert_int_equal(watch_here(&of), LS_ERR_NOT_FOUND);
    assert_int_equal(of.batches, 0);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    consumer = open_consumer(stream, "a");
    watch_init(&all, consumer);
    all.is_all = true;
    watch_start(&all);
    assert_int_equal(ls_consumer_deregister(stream, "a"), LS_OK);
    assert_int_equal(watch_join(&all), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    /* So does deleting the stream. */
    consumer = make_consumer(stream, "b");
    watch_init(&of, consumer);
    watch_start(&of);
    assert_int_equal(ls_stream_delete_with_consumers(fx->store, STREAM), LS_OK);
    assert_int_equal(watch_join(&of), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    consumer = NULL;
    assert_int_equal(ls_consumer_open(stream, "b", &consumer), LS_ERR_NOT_FOUND);
    assert_null(consumer);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* The states of Kinesis, when they are asked for. */
static void with_a_delay_a_consumer_is_creating_and_deleting(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    fixture *fx = *state;
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    ls_consumer *consumer;
    watch of;

    options.transition_ms = 3600000;
    assert_int_equal(ls_store_open(in_memory ? "memory:" : temp_path(&fx->temp, "delayed"), &options, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, STREAM, NULL), LS_OK);
    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    assert_int_equal(ls_consumer_register(stream, "a", &info), LS_OK);
    assert_int_equal(info.status, LS_CONSUMER_CREATING);
    consumer = open_consumer(stream, "a");
    watch_init(&of, consumer);
    assert_int_equal(watch_here(&of), LS_ERR_STATE);
    assert_non_null(strstr(of.message, "being created"));
    for (char name[] = "b"; *name < 'f'; ++*name)
        assert_int_equal(ls_consumer_register(stream, name, NULL), LS_OK);
    assert_int_equal(ls_consumer_register(stream, "f", NULL), LS_ERR_STATE);
    assert_true(says("5 consumers that are being created"));
    assert_int_equal(ls_consumer_deregister(stream, "a"), LS_OK);
    assert_int_equal(ls_consumer_describe(stream, "a", &info), LS_OK);
    assert_int_equal(info.status, LS_CONSUMER_DELETING);
    assert_int_equal(ls_consumer_deregister(stream, "a"), LS_ERR_STATE);
    assert_int_equal(ls_consumer_register(stream, "a", NULL), LS_ERR_EXISTS);
    assert_int_equal(watch_here(&of), LS_ERR_NOT_FOUND);
    assert_int_equal(of.batches, 0);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

static void a_backup_has_the_consumers(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer_info made = LS_CONSUMER_INFO_INIT, info = LS_CONSUMER_INFO_INIT;
    char copy[TEMP_PATH_BYTES * 2];
    ls_store *store = NULL;

    snprintf(copy, sizeof copy, "%s", temp_path(&fx->temp, "copy"));
    assert_int_equal(ls_consumer_register(stream, "a", &made), LS_OK);
    assert_int_equal(ls_store_backup(fx->store, copy, NULL), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_open(copy, NULL, &store), LS_OK);
    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    assert_int_equal(ls_consumer_describe(stream, "a", &info), LS_OK);
    assert_memory_equal(&info, &made, sizeof info);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* ---- handles ---- */

typedef struct nested {
    ls_consumer *consumer;
    ls_stream *stream;
    ls_store *store;
    ls_status closed[3];
    ls_status registered;
} nested;

static ls_push_answer use_the_library(const ls_batch *batch, void *user)
{
    nested *of = user;

    (void)batch;
    of->closed[0] = ls_consumer_close(of->consumer);
    of->closed[1] = ls_stream_close(of->stream);
    of->closed[2] = ls_store_close(of->store);
    of->registered = ls_consumer_register(of->stream, "inside", NULL);
    ls_consumer_cancel(of->consumer);
    return LS_PUSH_DONE;
}

static void a_callback_may_call_everything_and_closing_is_refused(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    nested of = {.consumer = consumer, .stream = stream, .store = fx->store};
    watch late;

    put_numbers(stream, 0, 3);
    assert_int_equal(ls_consumer_subscribe(consumer, 0, NULL, NULL, use_the_library, &of), LS_ERR_CANCELLED);
    for (int i = 0; i < 3; i++)
        assert_int_equal(of.closed[i], LS_ERR_STATE);
    assert_int_equal(of.registered, LS_OK);
    /* A cancel stays, and other handles know nothing of it. */
    watch_init(&late, consumer);
    assert_int_equal(watch_here(&late), LS_ERR_CANCELLED);
    assert_int_equal(late.batches, 0);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    consumer = open_consumer(stream, "a");
    assert_int_equal(ls_stream_close(stream), LS_ERR_STATE); /* a handle is open */
    watch_init(&late, consumer);
    late.stop_after = 3;
    assert_int_equal(watch_here(&late), LS_OK);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static bool use_in_child(void *user)
{
    nested *of = user;
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_consumer *consumer;
    ls_consumer_list *list;
    watch seen = {0};

    ls_consumer_cancel(of->consumer);
    return ls_consumer_register(of->stream, "b", NULL) == LS_ERR_STATE &&
        ls_consumer_deregister(of->stream, "a") == LS_ERR_STATE &&
        ls_consumer_describe(of->stream, "a", &info) == LS_ERR_STATE &&
        ls_stream_list_consumers(of->stream, NULL, 0, &list) == LS_ERR_STATE &&
        ls_consumer_open(of->stream, "a", &consumer) == LS_ERR_STATE &&
        ls_consumer_subscribe(of->consumer, 0, NULL, NULL, take, &seen) == LS_ERR_STATE &&
        ls_consumer_close(of->consumer) == LS_OK && seen.batches == 0;
}

static void a_fork_child_is_refused(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    nested of = {.consumer = make_consumer(stream, "a"), .stream = stream, .store = fx->store};

    in_fork_child(use_in_child, &of);
    assert_int_equal(ls_consumer_close(of.consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- limits of provisioned streams ---- */

/* Goal: a consumer's own bytes a second, beside what iterators share. Method: the test's clock; heartbeats show that
 * the records which are there are held back. */
static void each_consumer_has_its_own_limit(void **state)
{
    fixture *fx = *state;
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_next_options all = LS_NEXT_OPTIONS_INIT;
    ls_stream *stream = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    ls_consumer *a, *b;
    watch first, second;
    int64_t pushed_at;
    int first_beat = -1;
    clocked of;

    clocked_open(fx, &of);
    pushed_at = atomic_load(&of.us);
    options.mode = LS_STREAM_PROVISIONED;
    options.read_bytes_per_second = 1024;
    options.read_calls_per_second = 1;
    assert_int_equal(ls_stream_create(of.store, STREAM, &options), LS_OK);
    assert_int_equal(ls_stream_open(of.store, STREAM, &stream), LS_OK);
    a = make_consumer(stream, "a");
    b = make_consumer(stream, "b");
    for (int i = 0; i < 12; i++) {
        char data[256];

        memset(data, ' ', sizeof data);
        snprintf(data, sizeof data, "%d", i);
        data[strlen(data)] = ' ';
        {
            ls_producer *producer = NULL;

            assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
            assert_int_equal(ls_producer_put(producer, text("k"), (ls_bytes){data, 255}, NULL, NULL), LS_OK);
            assert_int_equal(ls_producer_close(producer), LS_OK);
        }
    }
    /* The iterators' share is used up. */
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    all.records_max = 8;
    assert_int_equal(ls_iterator_next(iterator, &all, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 8);
    assert_int_equal(ls_iterator_next(iterator, &all, &batch), LS_ERR_THROTTLED);
    /* Eight records of 256 bytes go at once and are two seconds' worth; reads are not counted. */
    watch_init(&first, a);
    first.options.records_max = 8;
    first.options.heartbeat_ms = 5;
    watch_start(&first);
    await(&first.records, 8);
    watch_init(&second, b);
    second.options.records_max = 8;
    watch_start(&second);
    await(&second.records, 8); /* the other's limit is its own */
    /* A heartbeat is due, once it has begun to wait: it comes, although there are records. */
    for (int i = 0; i < 200 && first_beat != 0; i++) {
        struct timespec rest = {0, 20000000};

        atomic_fetch_add(&of.us, 6000);
        (void)nanosleep(&rest, NULL);
        first_beat = sem_trywait(&first.beats);
    }
    assert_int_equal(first_beat, 0);
    atomic_store(&of.us, pushed_at + 1990000);
    for (int i = 0; i < 3; i++) {
        struct timespec rest = {0, 50000000};

        (void)nanosleep(&rest, NULL);
        assert_int_equal(sem_trywait(&first.records), -1);
        assert_int_equal(sem_trywait(&second.records), -1);
    }
    atomic_store(&of.us, pushed_at + 2000001);
    await(&first.records, 4);
    await(&second.records, 4);
    /* One subscription a second. */
    ls_consumer_cancel(a);
    atomic_fetch_add(&of.us, 1000000);
    assert_int_equal(watch_join(&first), LS_ERR_CANCELLED);
    assert_int_equal(ls_consumer_close(a), LS_OK);
    a = open_consumer(stream, "a");
    watch_init(&first, a);
    first.stop_after = 1;
    atomic_fetch_add(&of.us, 5000000);
    assert_int_equal(watch_here(&first), LS_OK);
    atomic_fetch_add(&of.us, 400000);
    assert_int_equal(watch_here(&first), LS_ERR_THROTTLED);
    assert_int_equal(ls_last_error_retry_after_ms(), 600);
    atomic_fetch_add(&of.us, 600000);
    assert_int_equal(watch_here(&first), LS_OK);
    ls_consumer_cancel(b);
    atomic_fetch_add(&of.us, 1000000);
    assert_int_equal(watch_join(&second), LS_ERR_CANCELLED);
    ls_iterator_close(iterator);
    assert_int_equal(ls_consumer_close(a), LS_OK);
    assert_int_equal(ls_consumer_close(b), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(of.store), LS_OK);
}

/* ---- threads ---- */

static void *cancel_soon(void *user)
{
    struct timespec rest = {0, 200000};

    (void)nanosleep(&rest, NULL);
    ls_consumer_cancel(user);
    return NULL;
}

/* Goal: no cancel is lost, whenever it comes. Method: again and again at about the time at which a subscription begins
 * and begins to wait. */
static void a_cancel_is_never_lost(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);

    assert_int_equal(ls_consumer_register(stream, "a", NULL), LS_OK);
    for (int i = 0; i < 200; i++) {
        ls_consumer *consumer = open_consumer(stream, "a");
        pthread_t thread;
        watch of;

        watch_init(&of, consumer);
        of.is_all = i % 2 == 0;
        assert_int_equal(pthread_create(&thread, NULL, cancel_soon, consumer), 0);
        assert_int_equal(watch_here(&of), LS_ERR_CANCELLED);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(ls_consumer_close(consumer), LS_OK);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_registered_consumer_is_described_and_stays),
        TEST(one_that_is_registered_anew_has_another_id),
        TEST(names_and_numbers_of_consumers_have_their_limits),
        TEST(consumers_are_listed_by_name_in_pages),
        TEST(a_stream_with_consumers_is_deleted_only_with_them),
        TEST(null_is_refused_by_name),
        TEST(records_are_pushed_as_they_come),
        TEST(a_subscription_begins_where_its_position_says),
        TEST(a_callback_that_says_stop_ends_it),
        TEST(batches_keep_to_their_limits),
        TEST(an_empty_batch_is_pushed_when_nothing_comes),
        TEST(no_empty_batch_is_pushed_by_default),
        TEST(batches_have_limits_by_default),
        TEST(what_is_pushed_is_not_counted_as_reads),
        TEST(a_place_says_how_much_it_needs),
        TEST(the_end_of_a_shard_comes_with_its_children_and_ends_it),
        TEST(all_shards_are_read_children_after_their_parents),
        TEST(a_second_subscription_is_refused_and_later_takes_over),
        TEST(a_bad_argument_takes_no_subscription_over),
        TEST(consumers_and_shards_do_not_get_in_each_others_way),
        TEST(deregistering_ends_a_subscription),
        TEST(with_a_delay_a_consumer_is_creating_and_deleting),
        TEST(a_backup_has_the_consumers),
        TEST(a_callback_may_call_everything_and_closing_is_refused),
        TEST(a_fork_child_is_refused),
        TEST(each_consumer_has_its_own_limit),
        TEST(a_cancel_is_never_lost),
    };

    run_everywhere("consumers", tests);
}
