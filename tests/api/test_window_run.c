/* ls_window_run as window.h promises it: silent and busy shards, where a run begins, what ends it, and what becomes of
 * the stream meanwhile. */
#include "api/window_support.h"

#include <pthread.h>

static sink to;

/* ---- traps of spec/traps.md, number 14 ---- */

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
        TEST(a_silent_shard_blocks_all_windows_unless_idle),
        TEST(a_busy_shard_does_not_hide_that_another_is_idle),
        TEST(a_run_begins_where_it_is_told_and_goes_on_there),
        TEST(a_stop_ends_a_run_from_anywhere),
        TEST(a_result_that_is_not_taken_ends_the_handle),
        TEST(a_split_and_a_merge_in_a_window_change_no_total),
        TEST(more_state_than_is_allowed_is_an_error_and_no_loss),
        TEST(records_are_in_results_or_late),
        TEST(a_fork_child_can_only_close_it),
    };

    run_everywhere("runs of windows", tests);
}
