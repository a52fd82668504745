/* consume/throttle.c: what a provisioned stream gives to readers. The clock stands; sleeping moves it. */
#include "consume/support.h"

static void limit(fixture *fx, uint32_t calls, uint32_t bytes)
{
    lsi_rates rates = LSI_RATES_DEFAULT;

    rates.read_calls = calls;
    rates.read_bytes = bytes;
    memory_engine_set_rates(fx->engine, LS_STREAM_PROVISIONED, rates);
}

static void on_demand_throttles_nothing(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1);
    open_one(&fx, 0, NULL);
    for (int i = 0; i < 100; i++)
        assert_int_equal(next_status(&fx, 0), LS_OK);
    end(&fx);
}

static void polling_too_often_is_refused_with_the_time(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1);
    limit(&fx, 5, 2 << 20);
    open_one(&fx, 0, NULL);
    for (int i = 0; i < 5; i++)
        assert_int_equal(next_status(&fx, 0), LS_OK); /* an empty answer is a read too */
    append(&fx, 0, "a");
    assert_int_equal(next_status(&fx, 0), LS_ERR_THROTTLED);
    assert_string_equal(lsi_error_current()->message,
                        "stream 'memory' shard 0: its limit of 5 reads/s is reached: come again in 200 ms");
    assert_int_equal(lsi_error_current()->retry_after_ms, 200);
    memory_engine_advance(fx.engine, 200000);
    assert_string_equal(next(&fx), "a");
    assert_int_equal(next_status(&fx, 0), LS_ERR_THROTTLED);
    end(&fx);
}

static void a_call_that_may_wait_waits_for_its_turn(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1);
    limit(&fx, 5, 2 << 20);
    append(&fx, 0, "a b c d e f g");
    open_one(&fx, 0, NULL);
    for (int i = 0; i < 5; i++)
        (void)next_of(&fx, 1, 0, NULL);
    assert_string_equal(next_of(&fx, 1, 1000, NULL), "f");
    assert_int_equal(memory_engine_slept_us(fx.engine), 200000);
    assert_string_equal(next_of(&fx, 1, -1, NULL), "g");
    assert_int_equal(memory_engine_slept_us(fx.engine), 400000);
    end(&fx);
}

static void a_turn_that_comes_too_late_is_told_when_the_time_is_over(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1);
    limit(&fx, 1, 2 << 20);
    append(&fx, 0, "a b");
    open_one(&fx, 0, NULL);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
    assert_int_equal(next_status(&fx, 300), LS_ERR_THROTTLED);
    assert_int_equal(lsi_error_current()->retry_after_ms, 700);
    assert_int_equal(memory_engine_slept_us(fx.engine), 300000);
    assert_string_equal(next_of(&fx, 1, 700, NULL), "b"); /* Nothing was lost or moved. */
    end(&fx);
}

static void bring_a_record_in_the_tenth(void *user)
{
    fixture *fx = user;

    if (memory_engine_sleep_count(fx->engine) == 10)
        append(fx, 0, "late");
}

/* Goal: however often it looks while it waits, a call is one read. Method: it sleeps ten times. */
static void a_call_that_waits_for_records_is_one_read(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1);
    limit(&fx, 1, 2 << 20);
    open_one(&fx, 0, NULL);
    memory_engine_on_sleep(fx.engine, bring_a_record_in_the_tenth, &fx);
    assert_string_equal(next_of(&fx, 10, -1, NULL), "late");
    memory_engine_on_sleep(fx.engine, NULL, NULL);
    append(&fx, 0, "x");
    memory_engine_advance(fx.engine, 1000000);
    assert_string_equal(next_of(&fx, 10, 0, NULL), "x");
    assert_int_equal(next_status(&fx, 0), LS_ERR_THROTTLED);
    end(&fx);
}

/* Kinesis's rule: an answer of five seconds' worth ends reading for five seconds. */
static void a_large_answer_ends_reading_until_the_average_fits(void **state)
{
    char large[10240]; /* with the key of one byte for the zero at its end: 10 KiB */
    const ls_batch *batch;
    fixture fx;

    (void)state;
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = '\0';
    begin(&fx, 1);
    limit(&fx, 5, 2048);
    (void)memory_engine_append(fx.engine, 0, "k", large);
    append(&fx, 0, "b");
    open_one(&fx, 0, NULL);
    assert_int_equal(lsi_iterator_next(fx.iterator, 1, BYTES_MAX, 0, &batch), LS_OK);
    assert_int_equal(next_status(&fx, 0), LS_ERR_THROTTLED);
    assert_string_equal(lsi_error_current()->message,
                        "stream 'memory' shard 0: its limit of 2048 bytes/s out is reached: come again in 5000 ms");
    memory_engine_advance(fx.engine, 4999000);
    assert_int_equal(next_status(&fx, 0), LS_ERR_THROTTLED);
    memory_engine_advance(fx.engine, 1000);
    assert_string_equal(next(&fx), "b");
    end(&fx);
}

static void all_readers_share_one_budget(void **state)
{
    lsi_iterator *other;
    const ls_batch *batch;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    limit(&fx, 2, 2 << 20);
    open_one(&fx, 0, NULL);
    assert_int_equal(lsi_iterator_open(fx.stream, 0, NULL, 0, &other), LS_OK);
    assert_int_equal(next_status(&fx, 0), LS_OK);
    assert_int_equal(lsi_iterator_next(other, 1, 1, 0, &batch), LS_OK);
    assert_int_equal(next_status(&fx, 0), LS_ERR_THROTTLED);
    assert_int_equal(lsi_iterator_next(other, 1, 1, 0, &batch), LS_ERR_THROTTLED);
    lsi_iterator_close(other);
    end(&fx);
}

/* Goal: a shard that is over its limit does not hold up the others, and looks into empty ones are not wasted. */
static void the_merged_reader_passes_over_shards_that_are_over_their_limit(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 2);
    limit(&fx, 2, 2 << 20);
    open_all(&fx, NULL);
    append(&fx, 0, "a b c d");
    assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
    assert_string_equal(next_of(&fx, 1, 0, NULL), "b");
    append(&fx, 1, "x y z");
    assert_string_equal(next_of(&fx, 1, 0, NULL), "x");
    assert_string_equal(next_of(&fx, 1, 0, NULL), "y");
    assert_int_equal(next_status(&fx, 0), LS_ERR_THROTTLED);
    assert_int_equal(lsi_error_current()->retry_after_ms, 500);
    memory_engine_advance(fx.engine, 500000);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "c");
    assert_string_equal(next_of(&fx, 1, 0, NULL), "z");
    end(&fx);
}

static void the_mode_can_change_while(fixture *opened)
{
    fixture fx = *opened;

    limit(&fx, 1, 2 << 20);
    assert_int_equal(next_status(&fx, 0), LS_OK);
    assert_int_equal(next_status(&fx, 0), LS_ERR_THROTTLED);
    memory_engine_set_rates(fx.engine, LS_STREAM_ON_DEMAND, LSI_RATES_DEFAULT);
    assert_int_equal(next_status(&fx, 0), LS_OK);
    end(&fx);
}

static void the_mode_can_change_while_an_iterator_is_open(void **state)
{
    ls_position first = at(LS_TRIM_HORIZON);
    fixture fx;

    (void)state;
    begin(&fx, 1);
    open_one(&fx, 0, NULL);
    the_mode_can_change_while(&fx);
    begin(&fx, 1);
    open_all(&fx, NULL);
    the_mode_can_change_while(&fx);
    begin(&fx, 1);
    open_all(&fx, NULL);
    limit(&fx, 1, 2 << 20);
    assert_int_equal(lsi_iterator_seek(fx.iterator, &first), LS_OK);
    assert_int_equal(next_status(&fx, 0), LS_OK);
    assert_int_equal(next_status(&fx, 0), LS_ERR_THROTTLED);
    end(&fx);
}

static void a_cancel_ends_the_wait_for_a_turn(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1);
    limit(&fx, 1, 2 << 20);
    append(&fx, 0, "a b");
    open_one(&fx, 0, NULL);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
    lsi_iterator_cancel(fx.iterator);
    assert_int_equal(next_status(&fx, -1), LS_ERR_CANCELLED);
    end(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_demand_throttles_nothing),
        cmocka_unit_test(polling_too_often_is_refused_with_the_time),
        cmocka_unit_test(a_call_that_may_wait_waits_for_its_turn),
        cmocka_unit_test(a_turn_that_comes_too_late_is_told_when_the_time_is_over),
        cmocka_unit_test(a_call_that_waits_for_records_is_one_read),
        cmocka_unit_test(a_large_answer_ends_reading_until_the_average_fits),
        cmocka_unit_test(all_readers_share_one_budget),
        cmocka_unit_test(the_merged_reader_passes_over_shards_that_are_over_their_limit),
        cmocka_unit_test(the_mode_can_change_while_an_iterator_is_open),
        cmocka_unit_test(a_cancel_ends_the_wait_for_a_turn),
    };

    return cmocka_run_group_tests_name("read throttling", tests, NULL, NULL);
}
