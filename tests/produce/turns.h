/* An asynchronous producer turn by turn: the thread is never started, and the tests take its turns themselves on a
 * made-up engine whose clock stands still. */
#ifndef LST_PRODUCE_TURNS_H
#define LST_PRODUCE_TURNS_H

#include "produce/support.h"

#include <stdlib.h>

#include "produce/async/async.h"

#define START_US INT64_C(1000000000)
#define LINGER_US INT64_C(5000)
#define TTL_US INT64_C(30000000)

/* "data=ok data=BUSY/2 data=ok:1of3 ": data, what became of it, after how many tries if not the first, and where in an
 * aggregate. */
static char told[4096];

static inline void tell(const ls_async_outcome *outcome, void *user)
{
    size_t used = strlen(told);
    char tries[24] = "", place[24] = "";

    (void)user;
    if (outcome->attempts != 1)
        snprintf(tries, sizeof tries, "/%u", outcome->attempts);
    if (outcome->sub_count != 0)
        snprintf(place, sizeof place, ":%uof%u", outcome->sub_seqno, outcome->sub_count);
    snprintf(told + used, sizeof told - used, "%.*s=%s%s%s ", (int)outcome->data.size, (const char *)outcome->data.data,
             outcome->status == LS_OK ? "ok" : ls_status_name(outcome->status) + strlen("LS_ERR_"), tries, place);
    assert_true((outcome->status == LS_OK) == (outcome->seqno != LS_SEQNO_NONE));
    if (outcome->status != LS_OK)
        assert_int_equal(ls_last_error_status(), outcome->status);
}

typedef struct work {
    memory_engine *engine;
    lsi_async *async;
} work;

static inline int no_thread(void *user, const char *name)
{
    (void)user;
    assert_string_equal(name, "ls-async");
    return 0;
}

static inline lsi_async_settings usual(void)
{
    return (lsi_async_settings){.linger_us = LINGER_US, .ttl_us = TTL_US, .batch_bytes_max = 1000,
                                .buffered_bytes_max = 1 << 20, .batch_records_max = 4, .retries_max = UINT32_MAX,
                                .backoff_us = 10000, .backoff_max_us = 40000, .first_ticket = 1,
                                .callback = tell};
}

static inline work start(uint32_t shard_count, const lsi_async_settings *settings)
{
    lsi_async_settings own = settings != NULL ? *settings : usual();
    work w = {memory_engine_new(shard_count, LS_DURABILITY_SYNC), NULL};

    memory_engine_stop_clock(w.engine, START_US);
    lsi_thread_pretend(no_thread, NULL);
    assert_int_equal(lsi_async_open(memory_engine_stream(w.engine), &own, &w.async), LS_OK);
    told[0] = '\0';
    return w;
}

/* With everything told. */
static inline void finish(work *w)
{
    assert_int_equal(lsi_async_close(w->async, 0), LS_OK);
    lsi_thread_pretend(NULL, NULL);
    memory_engine_free(w->engine);
}

static inline ls_status try_put(work *w, uint32_t part, uint32_t part_count, const char *data)
{
    ls_hash_key hash = key_in(part, part_count);
    ls_put_entry entry = {text("k"), text(data), &hash};

    return lsi_async_put(w->async, &entry, NULL, 0, NULL);
}

static inline void put_in(work *w, uint32_t part, uint32_t part_count, const char *data)
{
    assert_int_equal(try_put(w, part, part_count, data), LS_OK);
}

/* How long until the next turn; -1: there is nothing to do. */
static inline int64_t turn(work *w)
{
    int64_t due_us = lsi_async_turn(w->async);
    int64_t now_us = lsi_monotonic_us(&w->async->env->clock);

    return due_us == INT64_MAX ? -1 : due_us <= now_us ? 0 : due_us - now_us;
}

static inline void assert_trace(work *w, const char *trace)
{
    assert_string_equal(memory_engine_trace(w->engine), trace);
    memory_engine_trace_clear(w->engine);
}

static inline void assert_told(const char *expected)
{
    assert_string_equal(told, expected);
    told[0] = '\0';
}

static inline lsi_async_settings aggregating(void)
{
    lsi_async_settings settings = usual();

    settings.aggregate_bytes_max = 1024;
    settings.batch_bytes_max = 4096;
    settings.batch_records_max = 100;
    return settings;
}

#endif
