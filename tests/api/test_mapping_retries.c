/* Running mappings, as mapping.h promises it: what a handler answers and what becomes of its batch then, and the state
 * of windows, which goes with the place. */
#include "api/mapping_support.h"
#include "api/metrics_support.h"
#include "support/one_window.h"

/* ---- failures ---- */

static void a_batch_that_fails_comes_again_until_it_is_done(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;

    put_numbers(stream, 0, 10, 1);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    of->fails = 5;
    of->fail_times = 3;
    run_now(of);
    assert_int_equal(of->invocations, 4);
    assert_int_equal(of->attempts_max, 3);
    assert_all_once_in_order(of, 10, 1);
    assert_int_equal(of->discard_calls, 0);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static uint32_t count_invocations(run *of)
{
    uint32_t count;

    pthread_mutex_lock(&of->mutex);
    count = of->invocations;
    pthread_mutex_unlock(&of->mutex);
    return count;
}

/* Trap 12: the KCL goes on behind what an application failed with, and notes nothing that it was not asked to note.
 * Here what has failed is what the next run begins with, and what was finished before does not come again. */
static void what_failed_is_not_passed_over_and_progress_is_noted_unasked(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    put_numbers(stream, 0, 10, 1);
    options.records_max = 4;
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->fails = 5;
    of->fail_times = UINT32_MAX;
    run_start(of);
    while (count_invocations(of) < 4) /* one good, three that fail */
        usleep(1000);
    run_stop(of);
    assert_int_equal(of->count, 4);
    run_free(of);
    of = run_new(stream, "m");
    run_now(of);
    assert_int_equal(of->count, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(of->numbers[i], 4 + i);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Lambda's rule for invocations that are throttled: no retry is used up. */
static void what_could_not_begin_costs_no_retry(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.retries_max = LS_MAPPING_NO_RETRIES;
    options.records_max = 4;
    put_numbers(stream, 0, 8, 1);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->fails = 5;
    of->fail_times = 1;
    of->fails_with = LS_HANDLER_LATER;
    run_now(of);
    assert_int_equal(of->invocations, 2 + 1);
    assert_int_equal(of->attempts_max, 0);
    assert_all_once_in_order(of, 8, 1);
    assert_int_equal(of->discard_calls, 0);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_batch_is_given_up_when_retries_are_over(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.retries_max = 2;
    options.records_max = 4;
    put_numbers(stream, 0, 12, 1);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->fails = 5;
    of->fail_times = NEVER;
    of->discard_refusals = 1; /* it is asked again, and the place is not stored before */
    run_now(of);
    assert_int_equal(of->invocations, 2 + 3);
    assert_int_equal(of->count, 8);
    assert_int_equal(of->discard_calls, 2);
    assert_int_equal(of->discarded, 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(of->discarded_numbers[i], 4 + i);
    assert_int_equal(of->reason, LS_DISCARD_RETRIES);
    assert_int_equal(of->invoke_count, 3);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* The arithmetic of the service: eight records, one of them bad, no retries: 4 invocations fail, 3 succeed. */
static ls_mapping_result last_result(ls_stream *stream)
{
    ls_mapping_description *description = NULL;
    ls_mapping_result result;

    assert_int_equal(ls_mapping_describe(stream, "m", &description), LS_OK);
    result = ls_mapping_description_last_result(description);
    ls_mapping_description_free(description);
    return result;
}

static void the_last_result_is_told(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.retries_max = LS_MAPPING_NO_RETRIES;
    options.handler_timeout_ms = 1000;
    assert_int_equal(ls_mapping_description_last_result(NULL), LS_MAPPING_RESULT_NONE);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_NONE);
    put_numbers(stream, 0, 1, 1);
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_OK);
    of->fails = 1;
    of->fail_times = 1;
    put_numbers(stream, 1, 2, 1);
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_FAILED);
    put_numbers(stream, 2, 3, 1);
    of->stops_at = 2; /* That is no result. */
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_FAILED);
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_OK);
    of->sleep_us = 1100000;
    put_numbers(stream, 3, 4, 1);
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_FAILED);
    assert_int_equal(ls_mapping_seek(stream, "m", &horizon), LS_OK);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_NONE);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Of several shards the worst one's counts, whichever had a batch last; that of a shard which was worked on to its end
 * counts until another has had one. */
static void the_last_result_is_that_of_the_worst_shard(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 2);
    ls_mapping_options options = defaults();
    uint32_t keys[2] = {NEVER, NEVER};
    run *of;

    options.retries_max = LS_MAPPING_NO_RETRIES;
    make_mapping(stream, &options);
    put_numbers(stream, 0, 16, 16);
    of = run_new(stream, "m");
    run_now(of);
    for (uint32_t i = 0; i < of->count; i++)
        keys[of->shards[i]] = of->numbers[i];
    assert_true(keys[0] != NEVER && keys[1] != NEVER);
    for (uint32_t bad = 0; bad < 2; bad++) {
        of->fails = 16 + 48 * bad + keys[bad];
        of->fail_times = 1;
        put_numbers(stream, of->fails, of->fails + 1, 16);
        run_now(of);
        assert_int_equal(last_result(stream), LS_MAPPING_RESULT_FAILED);
        put_numbers(stream, of->fails + 16 - keys[bad] + keys[1 - bad], of->fails + 17 - keys[bad] + keys[1 - bad], 16);
        run_now(of);
        assert_int_equal(last_result(stream), LS_MAPPING_RESULT_FAILED);
        put_numbers(stream, of->fails + 32, of->fails + 33, 16);
        run_now(of);
        assert_int_equal(last_result(stream), LS_MAPPING_RESULT_OK);
    }
    of->fails = 112;
    of->fail_times = 1;
    put_numbers(stream, 112, 113, 1);
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_FAILED);
    assert_int_equal(ls_stream_merge(stream, 0, 1, NULL), LS_OK);
    run_now(of);
    put_numbers(stream, 113, 114, 1);
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_OK);
    of->fails = 114;
    of->fail_times = 1;
    put_numbers(stream, 114, 115, 1);
    run_now(of);
    assert_int_equal(ls_stream_split(stream, 2, NULL, NULL, NULL), LS_OK);
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_FAILED);
    put_numbers(stream, 115, 116, 1);
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_OK);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A mapping that is moved begins its windows anew. */
static void a_state_goes_when_the_mapping_is_moved(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    wait_for_one_window();
    options.tumbling_window_s = 900;
    make_mapping(stream, &options);
    put_numbers(stream, 0, 3, 1);
    of = run_new(stream, "m");
    of->counts_windows = true;
    run_now(of);
    put_numbers(stream, 3, 4, 1);
    run_now(of);
    assert_int_equal(of->count, 4);
    assert_int_equal(of->first_states, 1); /* It goes on over runs. */
    assert_int_equal(ls_mapping_seek(stream, "m", &horizon), LS_OK);
    run_now(of);
    assert_int_equal(of->count, 8);
    assert_int_equal(of->first_states, 2);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Fills segments, so that those before them can go. */
static void put_large(ls_stream *stream, size_t bytes)
{
    static char nines[10000];
    const ls_bytes data = {nines, sizeof nines};
    ls_producer *producer = NULL;

    memset(nines, '9', sizeof nines);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (size_t put = 0; put < bytes; put += data.size)
        assert_int_equal(ls_producer_put(producer, text("k0"), data, NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

/* A new run could not read it, so a live one does not go on with it for ever either. */
static void what_failed_is_given_up_when_too_many_bytes_are_kept(void **state)
{
    fixture *fx = *state;
    ls_store_options small = LS_STORE_OPTIONS_INIT;
    ls_stream *stream;
    run *of;

    small.segment_bytes = 64 << 10;
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    assert_int_equal(ls_store_open(in_memory ? "memory:" : temp_path(&fx->temp, "small"), &small, &fx->store), LS_OK);
    stream = make_stream(fx, STREAM, 1);
    put_numbers(stream, 0, 3, 1);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    of->fails = 0;
    of->fail_times = NEVER;
    run_start(of);
    for (int i = 0; i < WAIT_S * 100 && count_invocations(of) < 3; i++)
        usleep(10000);
    assert_int_equal(of->discarded, 0); /* It is there, and comes again. */
    assert_int_equal(ls_stream_set_retention_bytes(stream, 1), LS_OK);
    put_large(stream, 200 << 10);
    assert_int_equal(ls_store_maintain(fx->store, -1), LS_OK);
    assert_int_equal(ls_stream_set_retention_bytes(stream, 0), LS_OK);
    put_numbers(stream, 3, 4, 1);
    await(&of->handled, 1);
    run_stop(of);
    assert_int_equal(of->discarded, 3);
    assert_int_equal(of->discard_calls, 1);
    assert_int_equal(of->discarded_numbers[0], 0);
    assert_int_equal(of->reason, LS_DISCARD_AGE);
    assert_true(of->invoke_count >= 3);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void bisecting_gives_up_the_bad_record_alone(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.retries_max = LS_MAPPING_NO_RETRIES;
    options.flags = LS_MAPPING_BISECT;
    put_numbers(stream, 0, 8, 1);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->fails = 5;
    of->fail_times = NEVER;
    run_now(of);
    assert_int_equal(of->invocations, 7);
    assert_int_equal(of->count, 7);
    assert_int_equal(of->discarded, 1);
    assert_int_equal(of->discarded_numbers[0], 5);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* The recorded example of the service: 6 records by 3, the last one is reported always, 3 retries. */
static void a_reported_record_is_retried_alone(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.retries_max = 3;
    options.records_max = 3;
    options.flags = LS_MAPPING_REPORT_FAILURES;
    put_numbers(stream, 0, 6, 1);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->reports = 5;
    run_now(of);
    assert_all_once_in_order(of, 5, 1);
    assert_int_equal(of->invocations, 2 + 4);
    assert_int_equal(of->discarded, 1);
    assert_int_equal(of->discarded_numbers[0], 5);
    assert_int_equal(of->invoke_count, 4);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_report_is_ignored_where_it_is_not_asked_for(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;

    put_numbers(stream, 0, 6, 1);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    of->reports = 3;
    run_now(of);
    assert_int_equal(of->invocations, 1);
    assert_int_equal(of->discarded, 0);
    of->count = 0;
    run_now(of);
    assert_int_equal(of->count, 0);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_handler_that_is_late_is_told_and_has_failed(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.handler_timeout_ms = 5;
    options.retries_max = 1;
    put_numbers(stream, 0, 3, 1);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->sleep_us = 20000;
    run_now(of);
    assert_int_equal(of->invocations, 2);
    assert_int_equal(of->late, 2);
    assert_int_equal(of->discarded, 3);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- windows ---- */

/* Windows of a second: three records, a run that stores their state, and a pause until the window is surely over. Its
 * last invocation has all three, though it is in another run, and comes without another record. */
static void a_windows_state_is_kept_with_the_place(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;
    uint32_t sum = 0;

    options.tumbling_window_s = 1;
    options.records_max = 2;
    put_numbers(stream, 0, 3, 1);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->counts_windows = true;
    run_now(of);
    assert_int_equal(of->count, 3);
    usleep(2300000);
    run_now(of);
    assert_int_equal(of->count, 3);
    assert_true(of->finals >= 1); /* more, when the three were put as a second began */
    for (uint32_t i = 0; i < of->finals; i++)
        sum += of->final_counts[i];
    assert_int_equal(sum, 3);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Windows that were turned off leave no state behind: it goes with the next place, and is not there when they are
 * turned on again. */
static void a_state_goes_when_windows_are_turned_off(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    uint32_t put = 0;

    wait_for_one_window();
    options.tumbling_window_s = 900;
    make_mapping(stream, &options);
    for (int round = 0; round < 3; round++) {
        run *of = run_new(stream, "m");

        options.tumbling_window_s = round == 1 ? 0 : 900;
        assert_int_equal(ls_mapping_update(stream, "m", &options), LS_OK);
        of->counts_windows = round != 1;
        put_numbers(stream, put, put + 3, 1);
        run_now(of);
        assert_int_equal(of->count, 3);
        assert_int_equal(of->numbers[0], put);
        assert_int_equal(of->first_states, round != 1);
        put += 3;
        run_free(of);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A worker without records sleeps, also one of windows, while none is open. How often readers asked for records is told
 * with those that they get. */
static void a_worker_sleeps_while_no_window_is_open(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_mapping_options options = defaults();
    double before;
    run *of;

    options.tumbling_window_s = 1;
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->counts_windows = true;
    run_start(of);
    usleep(4500 * 1000);
    before = sum_of_metric(fx->store, "libstream_get_calls_total");
    put_numbers(stream, 0, 1, 1);
    await(&of->handled, 1);
    assert_true(sum_of_metric(fx->store, "libstream_get_calls_total") > before);
    assert_true(sum_of_metric(fx->store, "libstream_get_calls_total") <= before + 2);
    run_stop(of);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_handler_answer without_state(const ls_batch *batch, ls_handler_context *context, void *user)
{
    ls_handler_window window = LS_HANDLER_WINDOW_INIT;

    (void)user;
    if (ls_handler_get_window(context, &window) == LS_ERR_STATE && ls_handler_set_state(context, text("s")) ==
        LS_ERR_STATE && ls_batch_place(batch, NULL, 0, NULL) == LS_ERR_STATE &&
        ls_handler_takes_answer(context) == 0 && ls_handler_takes_answer(NULL) == 0)
        ((run *)user)->count++;
    window.size = 0;
    if (ls_handler_get_window(context, &window) == LS_ERR_INVALID_ARGUMENT)
        ((run *)user)->late++;
    return LS_HANDLER_DONE;
}

static void without_windows_there_is_no_state(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;

    put_numbers(stream, 0, 1, 1);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    assert_int_equal(ls_mapping_run(of->mapping, &of->options, without_state, of), LS_OK);
    assert_int_equal(of->count, 1);
    assert_int_equal(of->late, 1);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_batch_that_fails_comes_again_until_it_is_done),
        TEST(what_failed_is_not_passed_over_and_progress_is_noted_unasked),
        TEST(what_could_not_begin_costs_no_retry),
        TEST(a_batch_is_given_up_when_retries_are_over),
        TEST(the_last_result_is_told),
        TEST(the_last_result_is_that_of_the_worst_shard),
        TEST(a_state_goes_when_the_mapping_is_moved),
        TEST(what_failed_is_given_up_when_too_many_bytes_are_kept),
        TEST(bisecting_gives_up_the_bad_record_alone),
        TEST(a_reported_record_is_retried_alone),
        TEST(a_report_is_ignored_where_it_is_not_asked_for),
        TEST(a_handler_that_is_late_is_told_and_has_failed),
        TEST(a_windows_state_is_kept_with_the_place),
        TEST(a_state_goes_when_windows_are_turned_off),
        TEST(a_worker_sleeps_while_no_window_is_open),
        TEST(without_windows_there_is_no_state),
    };

    run_everywhere("answers of handlers", tests);
}
