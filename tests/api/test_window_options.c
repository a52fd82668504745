/* The options of windows as window.h promises them: their limits, what of a record counts, and aggregates. */
#include "api/window_support.h"

#include <math.h>

static sink to;

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
    REFUSED(good, flags, 32, "flags");
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
    assert_string_equal(ls_last_error_message(), "window name is empty: it has 1..128 characters");
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
    assert_non_null(strstr(ls_last_error_message(), "window name 'a/b': "));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(options_have_limits),
        TEST(arguments_of_calls_are_checked),
        TEST(fields_are_found_in_json),
        TEST(callbacks_say_what_counts),
        TEST(time_is_that_of_arrival_by_default),
        TEST(a_result_has_count_sum_least_greatest_and_mean),
        TEST(an_own_aggregate_is_merged_with_its_sessions),
    };

    run_everywhere("options of windows", tests);
}
