/* What the tests of iterators share: an engine, an iterator on it, and ways to read in few words. */
#ifndef LST_CONSUME_SUPPORT_H
#define LST_CONSUME_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <libstream/stream.h>

#include "base/status.h"
#include "consume/consume.h"
#include "support/memory_engine.h"

#define RECORDS_MAX 10000u
#define BYTES_MAX (UINT64_C(10) << 20)
#define WALL_US INT64_C(1700000000000000)
#define SEEN_BYTES 4096

typedef struct fixture {
    memory_engine *engine;
    lsi_engine_stream *stream;
    lsi_iterator *iterator;
    char seen[SEEN_BYTES]; /* the data of the last batch's records, each with a blank behind */
} fixture;

static inline ls_position at(ls_position_kind kind)
{
    return (ls_position){kind, 0, 0, 0};
}

static inline ls_position at_seqno(ls_position_kind kind, ls_seqno seqno)
{
    return (ls_position){kind, 0, seqno, 0};
}

static inline ls_position at_time(int64_t timestamp_us)
{
    return (ls_position){LS_AT_TIMESTAMP, 0, 0, timestamp_us};
}

/* An engine with a clock that stands, so that tests decide about time. */
static inline void begin(fixture *fx, uint32_t shard_count)
{
    memset(fx, 0, sizeof *fx);
    fx->engine = memory_engine_new(shard_count, LS_DURABILITY_SYNC);
    fx->stream = memory_engine_stream(fx->engine);
    memory_engine_stop_clock(fx->engine, WALL_US);
}

static inline void open_one(fixture *fx, uint32_t shard, const ls_position *position)
{
    assert_int_equal(lsi_iterator_open(fx->stream, shard, position, 0, &fx->iterator), LS_OK);
}

static inline void open_all(fixture *fx, const ls_position *position)
{
    assert_int_equal(lsi_iterator_open_all(fx->stream, position, 0, &fx->iterator), LS_OK);
}

static inline void reopen(fixture *fx, const char *place)
{
    lsi_iterator_close(fx->iterator);
    fx->iterator = NULL;
    assert_int_equal(lsi_iterator_open_place(fx->stream, place, 0, &fx->iterator), LS_OK);
}

static inline void end(fixture *fx)
{
    lsi_iterator_close(fx->iterator);
    memory_engine_free(fx->engine);
}

/* Appends records with these data, which blanks divide. */
static inline void append(fixture *fx, uint32_t shard, const char *data)
{
    char all[256], *rest = all;

    snprintf(all, sizeof all, "%s", data);
    for (char *one; (one = strsep(&rest, " ")) != NULL;)
        (void)memory_engine_append(fx->engine, shard, "k", one);
}

static inline const char *note(fixture *fx, const ls_batch *batch)
{
    size_t used = 0;

    fx->seen[0] = '\0';
    for (uint32_t i = 0; i < batch->count; i++)
        used += (size_t)snprintf(fx->seen + used, sizeof fx->seen - used, "%s%.*s", i == 0 ? "" : " ",
                                 (int)batch->records[i].data.size, (const char *)batch->records[i].data.data);
    return fx->seen;
}

/* The next batch's data; `out` may be NULL. */
static inline const char *next_of(fixture *fx, uint32_t records_max, int64_t timeout_ms, const ls_batch **out)
{
    const ls_batch *batch = NULL;

    assert_int_equal(lsi_iterator_next(fx->iterator, records_max, BYTES_MAX, timeout_ms, &batch), LS_OK);
    assert_non_null(batch);
    if (out != NULL)
        *out = batch;
    return note(fx, batch);
}

static inline const char *next(fixture *fx)
{
    return next_of(fx, RECORDS_MAX, 0, NULL);
}

static inline ls_status next_status(fixture *fx, int64_t timeout_ms)
{
    const ls_batch *batch = NULL;

    return lsi_iterator_next(fx->iterator, RECORDS_MAX, BYTES_MAX, timeout_ms, &batch);
}

static inline void keep_place(fixture *fx, char *text, size_t capacity)
{
    size_t needed = 0;

    assert_int_equal(lsi_iterator_place(fx->iterator, text, capacity, &needed), LS_OK);
    assert_int_equal(needed, strlen(text) + 1);
}

/* The iterator's place; a view, until the next call. */
static inline const char *place(fixture *fx)
{
    static char text[2048];

    keep_place(fx, text, sizeof text);
    return text;
}

/* How often the engine was told that a reader lost something. */
static inline uint64_t cuts_of(fixture *fx)
{
    lsi_stream_info info = {0};

    assert_int_equal(fx->stream->engine->ops->info(fx->stream, &info), LS_OK);
    lsi_stream_info_free(&info);
    return info.cuts.count;
}

#endif
