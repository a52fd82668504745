/* What the tests of window.h share: records that say their time, and results as text. */
#ifndef LST_WINDOW_SUPPORT_H
#define LST_WINDOW_SUPPORT_H

#include "api/support.h"

#include <inttypes.h>
#include <time.h>

#define STREAM "bids"
#define MINUTE INT64_C(60000)
#define SECOND INT64_C(1000)
#define DAY_MS (INT64_C(18367) * 24 * 60 * MINUTE) /* 2020-04-15 */
#define TEXT_BYTES 65536
#define ROWS_MAX 4096

/* A result, in the place of an earlier one of the same name. */
typedef struct row {
    char key[64];
    int64_t start_ms, end_ms;
    uint64_t count;
    double sum;
} row;

typedef struct sink {
    char text[TEXT_BYTES]; /* "key start-end sum; ...": minutes of the day if they are on it, else milliseconds */
    size_t used;
    row rows[ROWS_MAX];
    uint32_t row_count;
    uint64_t calls, late, timeless, long_keys;
    uint64_t stop_at; /* the call that is not taken; 0: none */
    ls_window *stops; /* stopped by the first result */
    ls_window_result last;
    int64_t last_late_ms;
} sink;

static inline void sink_clear(sink *of)
{
    memset(of, 0, sizeof *of);
}

static inline void sink_upsert(sink *of, const ls_window_result *result)
{
    row made = {.start_ms = result->start_ms, .end_ms = result->end_ms, .count = result->count, .sum = result->sum};

    assert_true(result->key.size < sizeof made.key);
    memcpy(made.key, result->key.size > 0 ? result->key.data : "", result->key.size);
    for (uint32_t i = 0; i < of->row_count; i++) {
        row *at = &of->rows[i];

        if (strcmp(at->key, made.key) == 0 && at->start_ms == made.start_ms && at->end_ms == made.end_ms) {
            *at = made;
            return;
        }
    }
    assert_true(of->row_count < ROWS_MAX);
    of->rows[of->row_count++] = made;
}

static inline ls_window_answer take_result(const ls_window_result *result, void *user)
{
    sink *of = user;
    bool is_day = result->start_ms >= DAY_MS && result->end_ms < DAY_MS + 24 * 60 * MINUTE &&
                  result->start_ms % MINUTE == 0 && result->end_ms % MINUTE == 0;
    int64_t unit = is_day ? MINUTE : 1, from = is_day ? DAY_MS : 0;

    if (++of->calls == of->stop_at)
        return LS_WINDOW_STOP;
    if (of->stops != NULL)
        ls_window_stop(of->stops);
    of->last = *result;
    sink_upsert(of, result);
    if (of->used < TEXT_BYTES - 200)
        of->used += (size_t)snprintf(of->text + of->used, TEXT_BYTES - of->used, "%s%.*s%s%" PRId64 "-%" PRId64 " %g%s",
                                     of->used == 0 ? "" : "; ", (int)result->key.size, (const char *)result->key.data,
                                     result->key.size == 0 ? "" : " ", (result->start_ms - from) / unit,
                                     (result->end_ms - from) / unit,
                                     result->value_count == 0 ? (double)result->count : result->sum,
                                     result->pane == LS_WINDOW_UPDATE ? "+" : result->pane == LS_WINDOW_EARLY ? "-" : "");
    return LS_WINDOW_GO_ON;
}

static inline void take_left_over(const ls_record *record, ls_window_reason reason, int64_t time_ms, void *user)
{
    sink *of = user;

    assert_non_null(record);
    of->late += reason == LS_WINDOW_LATE;
    of->timeless += reason == LS_WINDOW_NO_TIME;
    of->long_keys += reason == LS_WINDOW_LONG_KEY;
    if (reason == LS_WINDOW_LATE)
        of->last_late_ms = time_ms;
    else
        assert_int_equal(time_ms, 0);
}

/* What came since the last time. */
static inline const char *said(sink *of)
{
    static char text[TEXT_BYTES];

    memcpy(text, of->text, of->used + 1);
    of->used = 0;
    of->text[0] = '\0';
    return text;
}

static inline ls_window_options options_of(ls_window_kind kind, int64_t size_ms, sink *to)
{
    ls_window_options options = LS_WINDOW_OPTIONS_INIT;

    options.kind = kind;
    if (kind == LS_WINDOW_SESSION)
        options.gap_ms = size_ms;
    else
        options.size_ms = size_ms;
    options.time_field = "t";
    options.value_field = "v";
    options.flags = LS_WINDOW_ONE_KEY;
    options.result = take_result;
    options.left_over = take_left_over;
    options.user = to;
    return options;
}

static inline ls_producer *open_producer(ls_stream *stream)
{
    ls_producer *producer = NULL;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    return producer;
}

/* {"t": time, "v": value, "k": key} under a partition key; into a shard of four equal ones, when `quarter` is one. */
static inline ls_record_id put_in(ls_producer *producer, int quarter, const char *key, int64_t time_ms, double value)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_hash_key hash = {(uint64_t)quarter << 62, 0};
    ls_record_id id = {0, 0, 0};
    char data[128];

    if (quarter >= 0)
        options.explicit_hash_key = &hash;
    snprintf(data, sizeof data, "{\"t\": %" PRId64 ", \"v\": %.17g, \"k\": \"%s\"}", time_ms, value, key);
    assert_int_equal(ls_producer_put(producer, text(key), text(data), &options, &id), LS_OK);
    return id;
}

static inline ls_window *open_window(ls_stream *stream, const char *name, const ls_window_options *options)
{
    ls_window *window = NULL;

    assert_int_equal(ls_window_open(stream, name, options, &window), LS_OK);
    return window;
}

static inline ls_status catch_up(ls_window *window)
{
    ls_window_run_options options = LS_WINDOW_RUN_OPTIONS_INIT;

    options.flags = LS_WINDOW_UNTIL_CAUGHT_UP;
    return ls_window_run(window, &options);
}

static inline ls_window_info info_of(const ls_window *window)
{
    ls_window_info info = LS_WINDOW_INFO_INIT;

    assert_int_equal(ls_window_describe(window, &info), LS_OK);
    return info;
}

static inline void sleep_ms(long ms)
{
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&time, NULL);
}

#endif
