/* Running mappings, as mapping.h promises it: which records a handler is given, in which order, and when: of lanes, of
 * filters, across reshards. */
#include "api/mapping_support.h"

/* ---- batches and progress ---- */

static void every_record_is_handled_once_and_in_order(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 3);
    run *of;

    put_numbers(stream, 0, 1000, 20);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_now(of);
    assert_all_once_in_order(of, 1000, 20);
    assert_int_equal(of->largest, 100);
    assert_int_equal(of->overlaps, 0);
    of->count = 0;
    put_numbers(stream, 1000, 1010, 20);
    run_now(of); /* and goes on where it was */
    assert_int_equal(of->count, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_true(of->numbers[i] >= 1000);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void records_that_come_later_are_handled_as_they_come(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 2);
    run *of;

    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_start(of);
    for (uint32_t i = 0; i < 20; i++) {
        put_numbers(stream, i, i + 1, 5);
        await(&of->handled, 1);
    }
    run_stop(of);
    assert_all_once_in_order(of, 20, 5);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_mapping_from_latest_misses_nothing_that_was_put_after_it(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 2);
    const ls_position latest = {.kind = LS_LATEST};
    run *of;

    put_numbers(stream, 0, 50, 7);
    assert_int_equal(ls_mapping_create(stream, "m", &latest, NULL), LS_OK);
    put_numbers(stream, 50, 60, 7);
    of = run_new(stream, "m");
    run_now(of);
    assert_int_equal(of->count, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_true(of->numbers[i] >= 50);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void lanes_keep_the_order_of_each_key(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.lane_count = 10;
    options.records_max = 5;
    put_numbers(stream, 0, 1000, 37);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->random_sleep = 1;
    run_now(of);
    assert_all_once_in_order(of, 1000, 37);
    assert_true(of->overlaps > 0);
    assert_true(of->largest <= 5);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void only_records_that_match_a_filter_are_handled(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    static const char *const filters[] = {"{\"partitionKey\":[\"k1\"]}", "{\"data\":[\"7\"]}"};
    ls_mapping_options options = defaults();
    run *of;

    options.filters = filters;
    options.filter_count = 1;
    if (strstr(ls_version_features(), "json") == NULL) {
        assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_ERR_UNSUPPORTED);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        return;
    }
    put_numbers(stream, 0, 100, 10);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    run_now(of);
    assert_int_equal(of->count, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(of->numbers[i] % 10, 1);
    assert_int_equal(of->invocations, 1); /* what does not match does not count towards a batch */
    options.filter_count = 0;
    assert_int_equal(ls_mapping_update(stream, "m", &options), LS_OK);
    of->count = 0;
    run_now(of);
    assert_int_equal(of->count, 0); /* the filtered tail was passed */
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- shards ---- */

/* A shard is split twice, and two are merged, while it is worked on: everything once, each key in its order. */
static void children_follow_their_parents(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;

    put_numbers(stream, 0, 300, 13);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    of->sleep_us = 1000;
    run_start(of);
    await(&of->handled, 1);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    put_numbers(stream, 300, 600, 13);
    assert_int_equal(ls_stream_split(stream, 1, NULL, NULL, NULL), LS_OK);
    put_numbers(stream, 600, 900, 13);
    assert_int_equal(ls_stream_merge(stream, 3, 4, NULL), LS_OK);
    put_numbers(stream, 900, 1200, 13);
    await(&of->handled, 1199);
    run_stop(of);
    assert_all_once_in_order(of, 1200, 13);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* It would be five minutes. */
static void a_run_that_catches_up_waits_for_no_full_batch(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.batching_window_ms = 300000;
    put_numbers(stream, 0, 7, 2);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->options.flags = LS_RUN_UNTIL_CAUGHT_UP;
    run_now(of);
    assert_all_once_in_order(of, 7, 2);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Windows follow each other from the end of the last invocation on. A worker that slept through one still hands over
 * together what comes within the next. */
static void a_batching_window_is_kept_after_it_was_idle(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    bool was_in_time = false;
    uint32_t number = 0;
    run *of;

    options.batching_window_ms = 1000;
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    run_start(of);
    put_numbers(stream, number, number + 1, 1);
    await(&of->handled, 1);
    number++;
    for (uint32_t tries = 0; !was_in_time && tries < 20; tries++) { /* The machine may be busy elsewhere. */
        int64_t opened_ms = now_ms();
        uint32_t before = of->invocations;

        usleep(1400 * 1000); /* amid the second */
        for (uint32_t i = 0; i < 5; i++, number++) {
            put_numbers(stream, number, number + 1, 1);
            usleep(5000);
        }
        was_in_time = now_ms() < opened_ms + 1900;
        await(&of->handled, 5);
        if (was_in_time)
            assert_int_equal(of->invocations, before + 1);
        assert_true(!was_in_time || now_ms() >= opened_ms + 1950);
    }
    assert_true(was_in_time);
    run_stop(of);
    assert_all_once_in_order(of, number, 1);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_run_that_catches_up_follows_into_children(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;

    put_numbers(stream, 0, 50, 5);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    put_numbers(stream, 50, 100, 5);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    of->options.shards_max = 1;
    run_now(of);
    assert_all_once_in_order(of, 100, 5);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_record_is_handled_once_and_in_order),
        TEST(records_that_come_later_are_handled_as_they_come),
        TEST(a_mapping_from_latest_misses_nothing_that_was_put_after_it),
        TEST(lanes_keep_the_order_of_each_key),
        TEST(only_records_that_match_a_filter_are_handled),
        TEST(children_follow_their_parents),
        TEST(a_run_that_catches_up_waits_for_no_full_batch),
        TEST(a_batching_window_is_kept_after_it_was_idle),
        TEST(a_run_that_catches_up_follows_into_children),
    };

    run_everywhere("runs of mappings", tests);
}
