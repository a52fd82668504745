/* Windows over event time as window.h promises them: the tables of spec/flink-windows.md through streams, options,
 * fields and callbacks, shards, both ways to feed an operator. What is stored is in test_window_store.c. */
#include "api/window_support.h"

#include <math.h>
#include <pthread.h>
#include <time.h>

static sink to;

/* ---- the Bid table ---- */

static const struct {
    const char *time;
    double price;
    const char *supplier;
} bids[] = {
    {"2020-04-15T08:05:00", 4, "s1"}, {"2020-04-15 08:07", 2, "s1"},        {"2020-04-15T08:09:00.000Z", 5, "s2"},
    {"2020-04-15T10:11+02:00", 3, "s2"}, {"2020-04-15T08:13:00Z", 1, "s1"}, {"2020-04-15T08:17:00.000999", 6, "s2"},
};
#define BIDS 6u

static void put_bid(ls_producer *producer, uint32_t i)
{
    char data[256];

    snprintf(data, sizeof data, "{\"bid\": {\"bidtime\": \"%s\", \"price\": %g}, \"supplier\": \"%s\"}", bids[i].time,
             bids[i].price, bids[i].supplier);
    assert_int_equal(ls_producer_put(producer, text(bids[i].time), text(data), NULL, NULL), LS_OK);
}

static const struct {
    ls_window_kind kind;
    int64_t size, step;
    bool has_key;
    const char *results;
} table[] = {
    {LS_WINDOW_TUMBLING, 10, 0, false, "480-490 11; 490-500 10"},
    {LS_WINDOW_SLIDING, 10, 5, false, "480-490 11; 485-495 15; 490-500 10; 495-505 6"},
    {LS_WINDOW_SLIDING, 10, 3, false,
     "477-487 4; 480-490 11; 483-493 14; 486-496 11; 489-499 15; 492-502 7; 495-505 6"},
    {LS_WINDOW_CUMULATING, 10, 2, false,
     "480-486 4; 480-488 6; 480-490 11; 490-492 3; 490-494 4; 490-496 4; 490-498 10; 490-500 10"},
    {LS_WINDOW_SESSION, 3, 0, false, "485-496 15; 497-500 6"},
    {LS_WINDOW_SESSION, 4, 0, false, "485-501 21"},
    {LS_WINDOW_SESSION, 5, 0, true, "s1 485-492 6; s2 489-496 8; s1 493-498 1; s2 497-502 6"},
    {LS_WINDOW_SESSION, 2, 0, true, "s1 485-489 6; s2 489-493 8; s1 493-495 1; s2 497-499 6"},
};

/* Each row of section 2, in order, reversed, and over four shards. */
static void the_bid_table_gives_11_and_10(void **state)
{
    static const uint32_t orders[][BIDS] = {{0, 1, 2, 3, 4, 5}, {5, 4, 3, 2, 1, 0}, {3, 0, 5, 2, 4, 1}};
    fixture *fx = *state;

    for (uint32_t o = 0; o < 3; o++) {
        char name[16];
        ls_stream *stream;
        ls_producer *producer;

        snprintf(name, sizeof name, "bids%u", o);
        stream = make_stream(fx, name, o == 0 ? 1 : 4);
        producer = open_producer(stream);
        for (uint32_t i = 0; i < BIDS; i++)
            put_bid(producer, orders[o][i]);
        for (uint32_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            ls_window_options options = options_of(table[i].kind, table[i].size * MINUTE, &to);
            ls_window *window;

            sink_clear(&to);
            options.step_ms = table[i].step * MINUTE;
            options.time_field = "bid.bidtime";
            options.value_field = "bid.price";
            options.key_field = table[i].has_key ? "supplier" : NULL;
            options.flags = table[i].has_key ? 0 : LS_WINDOW_ONE_KEY;
            options.delay_ms = o == 0 ? 0 : 60 * MINUTE;
            window = open_window(stream, NULL, &options);
            assert_int_equal(catch_up(window), LS_OK);
            if (o > 0)
                assert_string_equal(to.text, ""); /* The delay holds all of it. */
            assert_int_equal(ls_window_finish(window), LS_OK);
            assert_string_equal(said(&to), table[i].results);
            assert_int_equal(info_of(window).added_count, BIDS);
            assert_int_equal(info_of(window).window_count, 0);
            assert_int_equal(ls_window_close(window), LS_OK);
        }
        assert_int_equal(ls_producer_close(producer), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

/* ---- section 4's worked example ---- */

static const char *row_comes(ls_window *window, ls_producer *producer, int64_t time_ms)
{
    put_in(producer, -1, "k", time_ms, 1);
    assert_int_equal(catch_up(window), LS_OK);
    return said(&to);
}

static void a_late_row_is_left_over_or_makes_an_update(void **state)
{
    fixture *fx = *state;
    int64_t at_8 = DAY_MS + 8 * 60 * MINUTE;

    for (int i = 0; i < 2; i++) {
        ls_stream *stream = make_stream(fx, i == 0 ? "none" : "minute", 1);
        ls_producer *producer = open_producer(stream);
        ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10 * MINUTE, &to);
        ls_window *window;

        sink_clear(&to);
        options.delay_ms = 5 * SECOND;
        options.lateness_ms = i == 0 ? 0 : 60 * SECOND;
        window = open_window(stream, NULL, &options);
        assert_int_equal(info_of(window).watermark_ms, LS_WINDOW_WATERMARK_NONE);
        assert_string_equal(row_comes(window, producer, at_8 + 9 * MINUTE + 58 * SECOND), "");
        assert_string_equal(row_comes(window, producer, at_8 + 10 * MINUTE + 3 * SECOND), "");
        assert_int_equal(info_of(window).watermark_ms, at_8 + 9 * MINUTE + 58 * SECOND); /* SQL's: no -1 */
        assert_string_equal(row_comes(window, producer, at_8 + 9 * MINUTE + 50 * SECOND), "");
        assert_string_equal(row_comes(window, producer, at_8 + 10 * MINUTE + 4 * SECOND + 998), "");
        assert_string_equal(row_comes(window, producer, at_8 + 10 * MINUTE + 4 * SECOND + 999), "480-490 2");
        assert_string_equal(row_comes(window, producer, at_8 + 9 * MINUTE + 59 * SECOND), i == 0 ? "" : "480-490 3+");
        assert_int_equal(to.late, i == 0);
        assert_int_equal(to.last_late_ms, i == 0 ? at_8 + 9 * MINUTE + 59 * SECOND : 0);
        assert_int_equal(info_of(window).late_count, i == 0);
        assert_int_equal(info_of(window).update_count, i);
        assert_int_equal(info_of(window).result_count, 1 + i);
        if (i == 1) { /* Until the watermark is at end - 1 + lateness. */
            assert_string_equal(row_comes(window, producer, at_8 + 11 * MINUTE + 4 * SECOND + 998), "");
            assert_string_equal(row_comes(window, producer, at_8 + 9 * MINUTE), "480-490 4+");
            assert_string_equal(row_comes(window, producer, at_8 + 11 * MINUTE + 4 * SECOND + 999), "");
            assert_string_equal(row_comes(window, producer, at_8 + 9 * MINUTE), "");
            assert_int_equal(to.late, 1);
        }
        assert_int_equal(ls_window_close(window), LS_OK);
        assert_int_equal(ls_producer_close(producer), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

/* ---- options ---- */

static int32_t time_callback(const ls_record *record, int64_t *time_ms, void *user)
{
    (void)user;
    if (record->data.size == 0)
        return 0;
    *time_ms = strtoll(record->data.data, NULL, 10);
    return 1;
}

static int32_t key_callback(const ls_record *record, ls_bytes *key, void *user)
{
    static char large[LS_WINDOW_KEY_BYTES_MAX + 1];

    (void)user;
    if (memcmp(record->partition_key.data, "l", 1) == 0)
        *key = (ls_bytes){large, sizeof large};
    else
        *key = (ls_bytes){record->partition_key.data, 1};
    return memcmp(record->partition_key.data, "n", 1) != 0;
}

static int32_t value_callback(const ls_record *record, double *value, void *user)
{
    const char *comma = memchr(record->data.data, ',', record->data.size);

    (void)user;
    if (comma == NULL)
        return 0;
    *value = memcmp(comma, ",nan", 4) == 0 ? NAN : strtod(comma + 1, NULL);
    return 1;
}

static void set_nothing(void *sum, void *user)
{
    (void)user;
    *(int64_t *)sum = 0;
}

static void add_one(void *sum, const ls_record *record, void *user)
{
    (void)record;
    (void)user;
    ++*(int64_t *)sum;
}

static void options_have_limits(void **state)
{
    static const ls_window_fold good_fold = {sizeof good_fold, 8, set_nothing, add_one, NULL, NULL};
    static const ls_window_fold no_bytes = {sizeof good_fold, 0, set_nothing, add_one, NULL, NULL};
    static const ls_window_fold many_bytes = {sizeof good_fold, 65537, set_nothing, add_one, NULL, NULL};
    static const ls_window_fold no_init = {sizeof good_fold, 8, NULL, add_one, NULL, NULL};
    static const ls_window_fold no_add = {sizeof good_fold, 8, set_nothing, NULL, NULL, NULL};
    const ls_window_options good = options_of(LS_WINDOW_TUMBLING, 10, &to);
    const ls_window_options good_session = options_of(LS_WINDOW_SESSION, 10, &to);
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    char long_field[1026];
    ls_window_options options;
    ls_window *window = NULL;

    memset(long_field, 'a', 1025);
    long_field[1025] = '\0';
#define REFUSED(from, field, value, word)                                                          \
    do {                                                                                           \
        options = from;                                                                            \
        options.field = value;                                                                     \
        assert_int_equal(ls_window_open(stream, "n", &options, &window), LS_ERR_INVALID_ARGUMENT); \
        assert_true(says(word));                                                                   \
        assert_null(window);                                                                       \
    } while (0)
    REFUSED(good, size, 3, "size");
    REFUSED(good, kind, 0, "kind");
    REFUSED(good, kind, 5, "kind");
    REFUSED(good, flags, 16, "flags");
    REFUSED(good, size_ms, 0, "size");
    REFUSED(good, size_ms, (INT64_C(1) << 60) + 1, "size");
    REFUSED(good, kind, LS_WINDOW_SLIDING, "step");
    REFUSED(good, kind, LS_WINDOW_CUMULATING, "step");
    REFUSED(good_session, gap_ms, 0, "gap");
    REFUSED(good, offset_ms, 10, "offset");
    REFUSED(good, offset_ms, -10, "offset");
    REFUSED(good, delay_ms, -1, "delay");
    REFUSED(good, lateness_ms, -1, "lateness");
    REFUSED(good, idle_timeout_ms, -2, "idle_timeout_ms");
    REFUSED(good, store_interval_ms, 3600001, "store_interval_ms");
    REFUSED(good, result, NULL, "result");
    REFUSED(good, time_field, "", "time_field");
    REFUSED(good, time_field, ".a", "time_field");
    REFUSED(good, time_field, "a.", "time_field");
    REFUSED(good, value_field, "a..b", "value_field");
    REFUSED(good, value_field, long_field, "value_field");
    REFUSED(good, time_of, time_callback, "time_field");
    REFUSED(good, value_of, value_callback, "value_field");
    REFUSED(good, key_field, "k", "ONE_KEY");
    REFUSED(good, key_of, key_callback, "ONE_KEY");
    REFUSED(good, fold, &no_bytes, "sum_bytes");
    REFUSED(good, fold, &many_bytes, "sum_bytes");
    REFUSED(good, fold, &no_init, "init");
    REFUSED(good, fold, &no_add, "add");
    REFUSED(good_session, fold, &good_fold, "merge");
#undef REFUSED
    long_field[1024] = '\0';
    options = good;
    options.time_field = long_field;
    options.fold = &good_fold; /* Tumbling windows need no merge. */
    assert_int_equal(ls_window_open(stream, NULL, &options, &window), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_ERR_STATE); /* It is open. */
    assert_int_equal(ls_window_close(window), LS_OK);
    window = NULL;
    assert_int_equal(ls_window_open(stream, "a/b", &good, &window), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_window_open(stream, "", &good, &window), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_window_open(NULL, NULL, &good, &window), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_window_open(stream, NULL, NULL, &window), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_window_open(stream, NULL, &good, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_window_close(NULL), LS_OK);
    ls_window_stop(NULL);
    assert_int_equal(ls_window_run(NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void arguments_of_calls_are_checked(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_window_run_options run = LS_WINDOW_RUN_OPTIONS_INIT;
    ls_window *window = open_window(stream, NULL, &options);
    ls_position at = {.kind = LS_AT_SEQUENCE_NUMBER, .seqno = 5};
    ls_window_info info = LS_WINDOW_INFO_INIT;

    run.flags = 2;
    assert_int_equal(ls_window_run(window, &run), LS_ERR_INVALID_ARGUMENT);
    run.flags = LS_WINDOW_UNTIL_CAUGHT_UP;
    run.position = &at;
    assert_int_equal(ls_window_run(window, &run), LS_ERR_INVALID_ARGUMENT);
    run.size = 7;
    assert_int_equal(ls_window_run(window, &run), LS_ERR_INVALID_ARGUMENT);
    info.size = 8;
    assert_int_equal(ls_window_describe(window, &info), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_window_describe(window, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_window_add(window, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_window_position(window, 0, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_window_add_shard(window, 1), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_window_tip(window, 0), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_window_store(window), LS_OK); /* It has no name, and there is nothing to do. */
    assert_int_equal(ls_window_delete(stream, "a/b"), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_window_delete(stream, "a"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- what of a record counts ---- */

/* One record alone: what comes of it. */
static const char *one_record(fixture *fx, const ls_window_options *options, const char *key, const char *data)
{
    static uint32_t number;
    char name[16];
    ls_stream *stream;
    ls_producer *producer;
    ls_window *window;

    snprintf(name, sizeof name, "one%u", number++);
    stream = make_stream(fx, name, 1);
    producer = open_producer(stream);
    sink_clear(&to);
    assert_int_equal(ls_producer_put(producer, text(key), text(data), NULL, NULL), LS_OK);
    window = open_window(stream, NULL, options);
    assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(ls_window_finish(window), LS_OK);
    assert_int_equal(info_of(window).added_count + info_of(window).no_time_count, 1);
    assert_int_equal(to.timeless + to.long_keys, info_of(window).no_time_count);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_stream_delete(fx->store, name), LS_OK);
    return said(&to);
}

static void fields_are_found_in_json(void **state)
{
    static const struct {
        const char *data, *result;
    } cases[] = {
        {"{\"a\":{\"t\":7},\"v\":2.5,\"k\":\"x\"}", "x 0-10 2.5"},
        {"{\"a\":{\"t\":7.999},\"v\":2,\"k\":12.0}", "12.0 0-10 2"},
        {"{\"a\":{\"t\":-0.5},\"v\":2,\"k\":true}", "true -10-0 2"},
        {"{\"a\":{\"t\":-10},\"v\":2,\"k\":\"\"}", "-10-0 2"},
        {"{\"a\":{\"t\":1e1},\"v\":2,\"k\":null}", "10-20 2"},
        {"{\"a\":{\"t\":7},\"v\":2}", "0-10 2"},
        {"{\"a\":{\"t\":7},\"v\":2,\"k\":[\"x\"]}", "0-10 2"},
        {"{\"a\":{\"t\":7},\"v\":2,\"k\":{\"k\":\"x\"}}", "0-10 2"},
        {"{\"a\":{\"t\":7},\"v\":\"2\",\"k\":\"x\"}", "x 0-10 1"}, /* counted alone */
        {"{\"a\":{\"t\":7},\"k\":\"x\"}", "x 0-10 1"},
        {"{\"a\":{\"t\":\"1970-01-01T00:00:00.019\"},\"k\":\"x\"}", "x 10-20 1"},
        {"{\"k\":\"y\",\"a\":{\"b\":{\"t\":5},\"t\":27,\"c\":[{\"t\":1},2]},\"t\":3,\"k\":\"x\"}", "x 20-30 1"},
        {"{\"a\":{\"t\":7},\"a\":{\"t\":17},\"k\":\"x\"}", "x 10-20 1"}, /* The last one counts. */
        {"{\"a\":[{\"t\":7}],\"k\":\"x\"}", ""},
        {"{\"a\":{\"t\":null},\"k\":\"x\"}", ""},
        {"{\"a\":{\"t\":\"soon\"},\"k\":\"x\"}", ""},
        {"{\"a\":{\"t\":true},\"k\":\"x\"}", ""},
        {"{\"a\":{\"t\":1e300},\"k\":\"x\"}", ""},
        {"{\"a\":{\"t\":1e999},\"k\":\"x\"}", ""},
        {"{\"a\":{\"x\":7},\"k\":\"x\"}", ""},
        {"{\"a\":{\"t\":7},\"k\":\"x\"", ""},
        {"[7]", ""},
        {"7", ""},
        {"no JSON", ""},
        {"", ""},
    };
    fixture *fx = *state;
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);

    options.time_field = "a.t";
    options.key_field = "k";
    options.flags = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *result = one_record(fx, &options, "pk", cases[i].data);

        if (strcmp(result, cases[i].result) != 0)
            fail_msg("%s gives '%s', not '%s'", cases[i].data, result, cases[i].result);
        assert_int_equal(to.timeless, cases[i].result[0] == '\0');
    }
    options.flags = LS_WINDOW_TIME_SECONDS;
    assert_string_equal(one_record(fx, &options, "pk", "{\"a\":{\"t\":1609330394.123},\"k\":\"x\"}"),
                        "x 1609330394120-1609330394130 1");
    assert_string_equal(one_record(fx, &options, "pk", "{\"a\":{\"t\":-0.001},\"k\":\"x\"}"), "x -10-0 1");
    options.key_field = NULL; /* The partition key. */
    assert_string_equal(one_record(fx, &options, "pk", "{\"a\":{\"t\":0.01}}"), "pk 10-20 1");
}

static void callbacks_say_what_counts(void **state)
{
    fixture *fx = *state;
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);

    options.time_field = options.value_field = NULL;
    options.time_of = time_callback;
    options.key_of = key_callback;
    options.value_of = value_callback;
    options.flags = 0;
    assert_string_equal(one_record(fx, &options, "key", "12,2.5"), "k 10-20 2.5");
    assert_string_equal(one_record(fx, &options, "none", "12,2.5"), "10-20 2.5");
    assert_string_equal(one_record(fx, &options, "key", "-12"), "k -20--10 1");
    assert_string_equal(one_record(fx, &options, "key", "5,nan"), "k 0-10 1");
    assert_int_equal(to.last.value_count, 0);
    assert_string_equal(one_record(fx, &options, "key", ""), "");
    assert_int_equal(to.timeless, 1);
    assert_string_equal(one_record(fx, &options, "large", "1"), "");
    assert_int_equal(to.long_keys, 1);
}

/* Without a field or a callback a record's time is when it arrived. */
static void time_is_that_of_arrival_by_default(void **state)
{
    fixture *fx = *state;
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 3600000, &to);
    struct timespec now;
    int64_t now_ms;

    options.time_field = options.value_field = NULL;
    options.flags = 0;
    (void)one_record(fx, &options, "pk", "whatever");
    (void)clock_gettime(CLOCK_REALTIME, &now);
    now_ms = (int64_t)now.tv_sec * 1000;
    assert_in_range(now_ms - to.last.start_ms, 0, 7200000);
    assert_int_equal(to.last.start_ms % 3600000, 0);
    assert_int_equal(to.last.count, 1);
    assert_true(to.last.value_count == 0 && to.last.sum == 0 && to.last.mean == 0 && to.last.fold == NULL);
}

/* ---- aggregates ---- */

static void a_result_has_count_sum_least_greatest_and_mean(void **state)
{
    static const double values[] = {1e100, 3, -1e100, 0.5, -7};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_window *window = open_window(stream, NULL, &options);

    sink_clear(&to);
    for (int i = 0; i < 5; i++)
        put_in(producer, -1, "k", i, values[i]);
    assert_int_equal(ls_producer_put(producer, text("k"), text("{\"t\": 5}"), NULL, NULL), LS_OK);
    assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(ls_window_finish(window), LS_OK);
    assert_int_equal(to.calls, 1);
    assert_int_equal(to.last.size, sizeof to.last);
    assert_int_equal(to.last.count, 6);
    assert_int_equal(to.last.value_count, 5);
    assert_true(to.last.sum == -3.5); /* Compensated. */
    assert_true(to.last.least == -1e100 && to.last.greatest == 1e100 && to.last.mean == -0.7);
    assert_int_equal(to.last.pane, LS_WINDOW_ON_TIME);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* The set of first letters of partition keys, and how often sets were joined. */
typedef struct letters {
    uint32_t set, joins;
} letters;

static void letters_init(void *sum, void *user)
{
    assert_int_equal(*(const int *)user, 42);
    assert_int_equal((uintptr_t)sum % _Alignof(max_align_t), 0);
    *(letters *)sum = (letters){0, 0};
}

static void letters_add(void *sum, const ls_record *record, void *user)
{
    assert_int_equal(*(const int *)user, 42);
    ((letters *)sum)->set |= UINT32_C(1) << (*(const char *)record->partition_key.data - 'a');
}

static void letters_merge(void *sum, const void *other, void *user)
{
    const letters *from = other;

    assert_int_equal(*(const int *)user, 42);
    ((letters *)sum)->set |= from->set;
    ((letters *)sum)->joins += from->joins + 1;
}

static letters seen_letters;

static ls_window_answer take_letters(const ls_window_result *result, void *user)
{
    seen_letters = *(const letters *)result->fold;
    return take_result(result, user);
}

/* Test 7 of the spec: three sessions become one by bridges. */
static void an_own_aggregate_is_merged_with_its_sessions(void **state)
{
    static int forty_two = 42;
    fixture *fx = *state;

    for (int with_values = 0; with_values < 2; with_values++) {
        ls_stream *stream = make_stream(fx, with_values ? "with" : "without", 1);
        ls_producer *producer = open_producer(stream);
        ls_window_options options = options_of(LS_WINDOW_SESSION, 10, &to);
        ls_window_fold fold = LS_WINDOW_FOLD_INIT;
        ls_window *window;

        sink_clear(&to);
        fold.sum_bytes = sizeof(letters);
        fold.init = letters_init;
        fold.add = letters_add;
        fold.merge = letters_merge;
        fold.user = &forty_two;
        options.fold = &fold;
        options.result = take_letters;
        options.delay_ms = 1000;
        if (!with_values)
            options.value_field = NULL;
        window = open_window(stream, NULL, &options);
        memset(&fold, 0, sizeof fold); /* It was copied. */
        put_in(producer, -1, "a", 0, 1);
        put_in(producer, -1, "c", 20, 2);
        put_in(producer, -1, "e", 40, 4);
        assert_int_equal(catch_up(window), LS_OK);
        assert_int_equal(info_of(window).window_count, 3);
        put_in(producer, -1, "b", 10, 8); /* touches both */
        put_in(producer, -1, "d", 30, 16);
        assert_int_equal(catch_up(window), LS_OK);
        assert_int_equal(info_of(window).window_count, 1);
        assert_int_equal(ls_window_finish(window), LS_OK);
        assert_string_equal(said(&to), with_values ? "0-50 31" : "0-50 5");
        assert_int_equal(seen_letters.set, 31);
        assert_int_equal(seen_letters.joins, 2);
        assert_int_equal(ls_window_close(window), LS_OK);
        assert_int_equal(ls_producer_close(producer), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

/* ---- traps of spec/traps.md, number 14 ---- */

static void sleep_ms(long ms)
{
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&time, NULL);
}

static void *run_until_stopped(void *window)
{
    static ls_status st;

    st = ls_window_run(window, NULL);
    return &st;
}

static void stop_and_join(ls_window *window, pthread_t thread)
{
    void *st;

    ls_window_stop(window);
    assert_int_equal(pthread_join(thread, &st), 0);
    assert_int_equal(*(ls_status *)st, LS_OK);
}

static void a_silent_shard_blocks_all_windows_unless_idle(void **state)
{
    fixture *fx = *state;

    for (int is_idle = 0; is_idle < 2; is_idle++) {
        ls_stream *stream = make_stream(fx, is_idle ? "idle" : "never", 4);
        ls_producer *producer = open_producer(stream);
        ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
        ls_window *window;
        pthread_t thread;

        sink_clear(&to);
        options.idle_timeout_ms = is_idle ? 50 : LS_WINDOW_NEVER_IDLE;
        window = open_window(stream, NULL, &options);
        for (int i = 0; i < 100; i += 10)
            put_in(producer, 3, "k", i, 1);
        assert_int_equal(pthread_create(&thread, NULL, run_until_stopped, window), 0);
        sleep_ms(is_idle ? 800 : 200);
        stop_and_join(window, thread);
        assert_int_equal(to.calls, is_idle ? 9 : 0);
        if (is_idle) { /* An old record of the idle shard is late, and the watermark stays. */
            assert_int_equal(info_of(window).watermark_ms, 90);
            put_in(producer, 0, "k", 5, 1);
            assert_int_equal(catch_up(window), LS_OK);
            assert_int_equal(to.late, 1);
            assert_int_equal(info_of(window).watermark_ms, 90);
        }
        assert_int_equal(ls_window_close(window), LS_OK);
        assert_int_equal(ls_producer_close(producer), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

/* A shard is not idle because it says nothing while another one is read, but because its reader finds nothing in it. */
static void a_busy_shard_does_not_hide_that_another_is_idle(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 4);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_window *window;
    pthread_t thread;

    sink_clear(&to);
    options.idle_timeout_ms = 100;
    window = open_window(stream, NULL, &options);
    assert_int_equal(pthread_create(&thread, NULL, run_until_stopped, window), 0);
    for (int i = 0; i < 200; i++) {
        put_in(producer, 2, "k", i, 1);
        sleep_ms(5);
    }
    stop_and_join(window, thread);
    assert_true(to.calls >= 10);
    assert_int_equal(to.late, 0);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void touching_sessions_merge(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_SESSION, 10, &to);
    ls_window *window = open_window(stream, NULL, &options);

    sink_clear(&to);
    put_in(producer, -1, "k", 0, 1);
    put_in(producer, -1, "k", 10, 1);
    put_in(producer, -1, "k", 21, 1);
    assert_int_equal(catch_up(window), LS_OK);
    assert_string_equal(said(&to), "0-20 2");
    assert_int_equal(ls_window_flush(window), LS_OK);
    assert_string_equal(said(&to), "21-31 1-");
    assert_int_equal(to.last.pane, LS_WINDOW_EARLY);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- batch by batch ---- */

static ls_iterator *open_shard(ls_stream *stream, uint32_t shard, const ls_position *position)
{
    ls_iterator *iterator = NULL;

    assert_int_equal(ls_iterator_open(stream, shard, position, NULL, &iterator), LS_OK);
    return iterator;
}

static const ls_batch *next_of(ls_iterator *iterator, uint32_t records_max)
{
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch = NULL;

    options.records_max = records_max;
    assert_int_equal(ls_iterator_next(iterator, &options, &batch), LS_OK);
    return batch;
}

static void a_new_shard_holds_back_and_releases(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 4);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_iterator *iterators[2];
    ls_window *window;
    ls_position at;

    sink_clear(&to);
    options.idle_timeout_ms = 30;
    window = open_window(stream, NULL, &options);
    for (uint32_t i = 0; i < 2; i++)
        iterators[i] = open_shard(stream, i, NULL);
    put_in(producer, 0, "k", 5, 1);
    put_in(producer, 0, "k", 15, 1);
    assert_int_equal(ls_window_add(window, next_of(iterators[0], 100)), LS_OK);
    assert_string_equal(said(&to), "0-10 1"); /* The only one that is known. */
    assert_int_equal(ls_window_add_shard(window, 1), LS_OK);
    assert_int_equal(ls_window_add_shard(window, 1), LS_OK); /* twice */
    assert_int_equal(info_of(window).shard_count, 2);
    assert_int_equal(ls_window_position(window, 1, &at), LS_OK);
    assert_int_equal(at.kind, LS_TRIM_HORIZON);
    put_in(producer, 0, "k", 25, 1);
    assert_int_equal(ls_window_add(window, next_of(iterators[0], 100)), LS_OK);
    assert_string_equal(said(&to), "");
    put_in(producer, 1, "k", 16, 1);
    assert_int_equal(ls_window_add(window, next_of(iterators[1], 100)), LS_OK);
    assert_string_equal(said(&to), "");
    put_in(producer, 0, "k", 35, 1);
    assert_int_equal(ls_window_add(window, next_of(iterators[0], 100)), LS_OK);
    assert_int_equal(ls_window_tip(window, 1), LS_OK);
    assert_string_equal(said(&to), "");
    sleep_ms(40);
    assert_int_equal(ls_window_add(window, next_of(iterators[0], 100)), LS_OK); /* empty */
    assert_string_equal(said(&to), "");
    assert_int_equal(ls_window_tip(window, 1), LS_OK); /* It is idle now. */
    assert_string_equal(said(&to), "10-20 2; 20-30 1");
    assert_int_equal(info_of(window).watermark_ms, 35);
    for (uint32_t i = 0; i < 2; i++)
        ls_iterator_close(iterators[i]);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_batch_that_comes_again_is_passed_over(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 100, &to);
    ls_window *window = open_window(stream, NULL, &options);
    ls_iterator *iterator = open_shard(stream, 0, NULL), *again;
    ls_position at = {.kind = LS_TRIM_HORIZON};
    ls_record_id last = {0, 0, 0};

    sink_clear(&to);
    for (int i = 0; i < 10; i++)
        last = put_in(producer, -1, "k", i, 1);
    assert_int_equal(ls_window_add(window, next_of(iterator, 6)), LS_OK);
    assert_int_equal(ls_iterator_seek(iterator, &at), LS_OK);
    assert_int_equal(ls_window_add(window, next_of(iterator, 100)), LS_OK);
    assert_int_equal(info_of(window).added_count, 10);
    assert_int_equal(info_of(window).repeated_count, 6);
    assert_int_equal(ls_window_position(window, 0, &at), LS_OK);
    assert_int_equal(at.kind, LS_AFTER_SEQUENCE_NUMBER);
    assert_int_equal(at.seqno, last.seqno);
    put_in(producer, -1, "k", 100, 1);
    again = open_shard(stream, 0, &at);
    assert_int_equal(ls_window_add(window, next_of(again, 100)), LS_OK);
    assert_string_equal(said(&to), "0-100 10");
    ls_iterator_close(again);
    ls_iterator_close(iterator);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A batch that ends its shard makes inputs of its children, which begin with its watermark. */
static void children_begin_with_the_watermark_of_their_parent(void **state)
{
    fixture *fx = *state;

    for (int anew = 0; anew < 2; anew++) {
        ls_stream *stream = make_stream(fx, anew ? "anew" : "inherits", 1);
        ls_producer *producer = open_producer(stream);
        ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
        ls_iterator *iterator = open_shard(stream, 0, NULL);
        ls_hash_key middle = {UINT64_C(1) << 63, 0};
        ls_window *window;
        const ls_batch *batch;

        sink_clear(&to);
        options.delay_ms = 10;
        options.flags |= anew ? LS_WINDOW_BEGIN_ANEW : 0;
        window = open_window(stream, NULL, &options);
        put_in(producer, -1, "k", 5, 1);
        put_in(producer, -1, "k", 29, 1);
        assert_int_equal(ls_stream_split(stream, 0, &middle, NULL, NULL), LS_OK);
        batch = next_of(iterator, 100);
        assert_int_equal(ls_batch_is_shard_end(batch), 1);
        assert_int_equal(ls_window_add(window, batch), LS_OK);
        assert_string_equal(said(&to), "0-10 1");
        assert_int_equal(info_of(window).shard_count, 2);
        ls_iterator_close(iterator);
        put_in(producer, 0, "k", 60, 1); /* Of one child only. */
        iterator = open_shard(stream, 1, NULL);
        assert_int_equal(ls_window_add(window, next_of(iterator, 100)), LS_OK);
        assert_string_equal(said(&to), "");
        assert_int_equal(info_of(window).watermark_ms, 19);
        ls_iterator_close(iterator);
        put_in(producer, 2, "k", 19, 1); /* The other one's is late, by the parent's. */
        iterator = open_shard(stream, 2, NULL);
        assert_int_equal(ls_window_add(window, next_of(iterator, 100)), LS_OK);
        assert_int_equal(to.late, 1);
        ls_iterator_close(iterator);
        assert_int_equal(ls_window_close(window), LS_OK);
        assert_int_equal(ls_producer_close(producer), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

/* ---- runs ---- */

static void a_run_begins_where_it_is_told_and_goes_on_there(void **state)
{
    static const ls_position latest = {.kind = LS_LATEST};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 2);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_window_run_options run = LS_WINDOW_RUN_OPTIONS_INIT;
    ls_window *window = open_window(stream, NULL, &options);

    sink_clear(&to);
    run.flags = LS_WINDOW_UNTIL_CAUGHT_UP;
    run.position = &latest;
    put_in(producer, 0, "k", 1, 1);
    assert_int_equal(ls_window_run(window, &run), LS_OK);
    assert_int_equal(info_of(window).added_count, 0);
    put_in(producer, 0, "k", 2, 1);
    put_in(producer, 3, "k", 3, 1);
    assert_int_equal(ls_window_run(window, &run), LS_OK); /* Not LATEST again. */
    assert_int_equal(info_of(window).added_count, 2);
    assert_int_equal(ls_window_run(window, &run), LS_OK);
    assert_int_equal(info_of(window).added_count, 2);
    assert_int_equal(info_of(window).repeated_count, 0);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_stop_ends_a_run_from_anywhere(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_window *window = open_window(stream, NULL, &options);
    pthread_t thread;

    sink_clear(&to);
    ls_window_stop(window); /* the next */
    assert_int_equal(ls_window_run(window, NULL), LS_OK);
    assert_int_equal(pthread_create(&thread, NULL, run_until_stopped, window), 0);
    sleep_ms(50);
    assert_int_equal(ls_window_run(window, NULL), LS_ERR_STATE);
    assert_int_equal(ls_window_store(window), LS_ERR_STATE);
    assert_int_equal(ls_window_close(window), LS_ERR_STATE);
    stop_and_join(window, thread);
    to.stops = window; /* from a callback */
    put_in(producer, -1, "k", 1, 1);
    put_in(producer, -1, "k", 11, 1);
    assert_int_equal(ls_window_run(window, NULL), LS_OK);
    assert_string_equal(said(&to), "0-10 1");
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_result_that_is_not_taken_ends_the_handle(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_window *window = open_window(stream, NULL, &options);

    sink_clear(&to);
    to.stop_at = 2;
    for (int i = 0; i < 5; i++)
        put_in(producer, -1, "k", 10 * i, 1);
    assert_int_equal(catch_up(window), LS_ERR_CANCELLED);
    assert_string_equal(said(&to), "0-10 1");
    assert_int_equal(catch_up(window), LS_ERR_STATE);
    assert_int_equal(ls_window_store(window), LS_ERR_STATE);
    assert_int_equal(ls_window_finish(window), LS_ERR_STATE);
    assert_int_equal(ls_window_flush(window), LS_ERR_STATE);
    assert_int_equal(ls_window_add_shard(window, 0), LS_ERR_STATE);
    assert_int_equal(ls_window_tip(window, 0), LS_ERR_STATE);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Test 10 of the spec, and a merge: totals are unchanged. */
static void a_split_and_a_merge_in_a_window_change_no_total(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_hash_key middle = {UINT64_C(1) << 63, 0};
    uint32_t lower, upper, child;
    ls_window *window;

    sink_clear(&to);
    options.idle_timeout_ms = LS_WINDOW_NEVER_IDLE;
    options.delay_ms = 3;
    window = open_window(stream, NULL, &options);
    for (int i = 0; i < 40; i++) {
        if (i == 14)
            assert_int_equal(ls_stream_split(stream, 0, &middle, &lower, &upper), LS_OK);
        if (i == 27)
            assert_int_equal(ls_stream_merge(stream, lower, upper, &child), LS_OK);
        put_in(producer, i % 4, "k", i, 1);
        if (i % 3 == 0)
            assert_int_equal(catch_up(window), LS_OK);
    }
    put_in(producer, 0, "k", 43, 1);
    assert_int_equal(catch_up(window), LS_OK);
    assert_string_equal(said(&to), "0-10 10; 10-20 10; 20-30 10; 30-40 10");
    assert_int_equal(to.late, 0);
    assert_int_equal(info_of(window).shard_count, 1);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void more_state_than_is_allowed_is_an_error_and_no_loss(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_window *window;
    uint64_t added;

    sink_clear(&to);
    options.state_bytes_max = 2000;
    window = open_window(stream, NULL, &options);
    for (int i = 20; i-- > 0;)
        put_in(producer, -1, "k", 10 * i, 1);
    options.delay_ms = 1000;
    assert_int_equal(ls_window_close(window), LS_OK);
    window = open_window(stream, NULL, &options);
    assert_int_equal(catch_up(window), LS_ERR_TOO_LARGE);
    assert_true(says("2000"));
    added = info_of(window).added_count;
    assert_in_range(added, 2, 19);
    assert_int_equal(catch_up(window), LS_ERR_TOO_LARGE);
    assert_int_equal(info_of(window).added_count, added);
    while (info_of(window).added_count < 20) { /* What is flushed makes room. */
        assert_int_equal(ls_window_flush(window), LS_OK);
        if (catch_up(window) == LS_OK)
            assert_int_equal(info_of(window).added_count, 20);
    }
    assert_int_equal(ls_window_flush(window), LS_OK);
    assert_int_equal(to.row_count, 20);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Test 9: with tumbling windows every record is in a result or late. And in any interleaving of shards, when nothing is
 * late, results are the same. */
static void records_are_in_results_or_late(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 4);
    ls_producer *producer = open_producer(stream);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 100, &to);
    uint64_t counted = 0;
    ls_window *window;

    sink_clear(&to);
    srand(7);
    window = open_window(stream, NULL, &options);
    for (int i = 0; i < 2000; i++) {
        put_in(producer, rand() % 4, "k", i + rand() % 200, 1);
        if (rand() % 50 == 0)
            assert_int_equal(catch_up(window), LS_OK);
    }
    assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(ls_window_finish(window), LS_OK);
    for (uint32_t i = 0; i < to.row_count; i++)
        counted += to.rows[i].count;
    assert_true(to.late > 0);
    assert_int_equal(counted + to.late, 2000);
    assert_int_equal(info_of(window).late_count, to.late);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static bool child_cannot_use_it(void *user)
{
    ls_window *window = user;

    return catch_up(window) == LS_ERR_STATE && ls_window_store(window) == LS_ERR_STATE &&
           ls_window_close(window) == LS_OK;
}

static void a_fork_child_can_only_close_it(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 10, &to);
    ls_window *window = open_window(stream, "w", &options);

    in_fork_child(child_cannot_use_it, window);
    assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_bid_table_gives_11_and_10),
        TEST(a_late_row_is_left_over_or_makes_an_update),
        TEST(options_have_limits),
        TEST(arguments_of_calls_are_checked),
        TEST(fields_are_found_in_json),
        TEST(callbacks_say_what_counts),
        TEST(time_is_that_of_arrival_by_default),
        TEST(a_result_has_count_sum_least_greatest_and_mean),
        TEST(an_own_aggregate_is_merged_with_its_sessions),
        TEST(a_silent_shard_blocks_all_windows_unless_idle),
        TEST(a_busy_shard_does_not_hide_that_another_is_idle),
        TEST(touching_sessions_merge),
        TEST(a_new_shard_holds_back_and_releases),
        TEST(a_batch_that_comes_again_is_passed_over),
        TEST(children_begin_with_the_watermark_of_their_parent),
        TEST(a_run_begins_where_it_is_told_and_goes_on_there),
        TEST(a_stop_ends_a_run_from_anywhere),
        TEST(a_result_that_is_not_taken_ends_the_handle),
        TEST(a_split_and_a_merge_in_a_window_change_no_total),
        TEST(more_state_than_is_allowed_is_an_error_and_no_loss),
        TEST(records_are_in_results_or_late),
        TEST(a_fork_child_can_only_close_it),
    };

    run_everywhere("windows", tests);
}
