/* What the tests of consumers share: a store by a clock of the test's, records that are numbers, and a subscription in
 * a thread of its own that notes what it was pushed. */
#ifndef LST_CONSUMER_SUPPORT_H
#define LST_CONSUMER_SUPPORT_H

#include "api/support.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
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

static inline int64_t clock_now(void *user)
{
    return atomic_load(&((clocked *)user)->us);
}

static inline void clocked_open(fixture *fx, clocked *of)
{
    memset(of, 0, sizeof *of);
    lsi_env_default(&of->env);
    atomic_init(&of->us, INT64_C(1700000000000000));
    of->env.clock = (lsi_clock){.user = of, .wall_us = clock_now, .monotonic_us = clock_now};
    assert_int_equal(lsi_store_open_env(in_memory ? "memory:" : temp_path(&fx->temp, "clocked"), NULL, &of->env,
                                        &of->store), LS_OK);
}

static inline void put_text(ls_stream *stream, const char *key, const char *data)
{
    ls_producer *producer = NULL;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text(key), text(data), NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

static inline void put_numbers(ls_stream *stream, uint32_t from, uint32_t to)
{
    char data[16];

    for (uint32_t i = from; i < to; i++) {
        snprintf(data, sizeof data, "%u", i);
        put_text(stream, "k", data);
    }
}

static inline ls_consumer *open_consumer(ls_stream *stream, const char *name)
{
    ls_consumer *consumer = NULL;

    assert_int_equal(ls_consumer_open(stream, name, &consumer), LS_OK);
    return consumer;
}

static inline ls_consumer *make_consumer(ls_stream *stream, const char *name)
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

static inline ls_push_answer take(const ls_batch *batch, void *user)
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

static inline void watch_init(watch *of, ls_consumer *consumer)
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

static inline void *watch_run(void *user)
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

static inline void await(sem_t *what, uint32_t times)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    for (uint32_t i = 0; i < times; i++)
        assert_int_equal(sem_timedwait(what, &until), 0);
}

static inline void watch_start(watch *of)
{
    assert_int_equal(pthread_create(&of->thread, NULL, watch_run, of), 0);
    await(&of->begun, 1);
    assert_true(of->first_was_empty);
}

static inline ls_status watch_join(watch *of)
{
    assert_int_equal(pthread_join(of->thread, NULL), 0);
    return of->st;
}

/* On this thread, to its end. */
static inline ls_status watch_here(watch *of)
{
    (void)watch_run(of);
    return of->st;
}

static inline void assert_numbers(const watch *of, uint32_t from, uint32_t to)
{
    assert_int_equal(of->count, to - from);
    for (uint32_t i = 0; i < of->count; i++)
        assert_int_equal(of->numbers[i], from + i);
}

#endif
