/* stream/throttle.c: what a shard takes and gives in a second, whatever the words held before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "stream/stream.h"

#define START_US INT64_C(5000000000)
#define SECOND_US INT64_C(1000000)

static lsi_rates kinesis;
static lsi_budget_word words[LSI_BUDGET_WORDS];

static int fresh(void **state)
{
    (void)state;
    kinesis = LSI_RATES_DEFAULT;
    memset((void *)words, 0, sizeof words);
    return 0;
}

/* 0: it went in; else how long to wait. */
static int64_t put(uint32_t records, uint64_t bytes, int64_t now_us)
{
    lsi_refusal why = {0};

    if (lsi_rates_admit_write(&kinesis, words, records, bytes, now_us, &why))
        return 0;
    assert_true(why.wait_us > 0);
    return why.wait_us;
}

static int64_t read_one(int64_t now_us)
{
    lsi_refusal why = {0};

    return lsi_rates_admit_read(&kinesis, words, now_us, &why) ? 0 : why.wait_us;
}

static void the_1001st_record_of_a_second_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(put(1, 10, START_US), 0);
    assert_int_equal(put(1, 10, START_US), 1000);
    assert_int_equal(put(1, 10, START_US + 999), 1);
    assert_int_equal(put(1, 10, START_US + 1000), 0);
    assert_int_equal(put(1, 10, START_US + 1000), 1000);
}

static void a_mebibyte_goes_in_per_second(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(put(1, 256 << 10, START_US), 0);
    assert_int_equal(put(1, 256 << 10, START_US), SECOND_US / 4);
    assert_true(put(1, 1, START_US) > 0);
    assert_int_equal(put(1, 256 << 10, START_US + SECOND_US / 4), 0);
}

/* T2. Goal: what is refused for its bytes costs no record. */
static void a_refused_put_has_taken_nothing(void **state)
{
    (void)state;
    assert_int_equal(put(1, 1 << 20, START_US), 0);
    for (int i = 0; i < 5000; i++)
        assert_true(put(1, 1 << 20, START_US) > 0);
    for (int i = 0; i < 999; i++)
        assert_int_equal(put(1, 1, START_US + SECOND_US / 1000 + i), 0);
}

/* T1. Method: every millisecond of 20 s as much as is let in. */
static void over_any_time_no_more_goes_in_than_the_rate_and_one_second_of_it(void **state)
{
    uint64_t records = 0;

    (void)state;
    for (int64_t ms = 0; ms <= 20000; ms++) {
        while (put(1, 100, START_US + ms * 1000) == 0)
            records++;
        assert_true(records <= 1000 + (uint64_t)ms);
    }
    assert_int_equal(records, 1000 + 20000);
}

/* Kinesis: they ride on a bucket of ten seconds' worth and leave the small ones alone. */
static void large_records_have_ten_seconds_worth_of_their_own(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(put(1, 2 << 20, START_US), 0);
    assert_int_equal(put(1, 2 << 20, START_US), 2 * SECOND_US);
    assert_int_equal(put(1, 1 << 20, START_US), 0);
    assert_int_equal(put(1, 2 << 20, START_US + 2 * SECOND_US), 0);
    assert_int_equal(put(1, 10 << 20, START_US + 11 * SECOND_US), SECOND_US);
    assert_int_equal(put(1, 10 << 20, START_US + 12 * SECOND_US), 0);
}

/* T1. Goal: nothing waits for ever. */
static void what_is_larger_than_the_bucket_goes_in_when_that_is_full_and_is_paid_later(void **state)
{
    (void)state;
    kinesis.write_bytes = 1024;
    assert_int_equal(put(1, 20480, START_US), 0); /* twice ten seconds' worth */
    assert_int_equal(put(1, 20480, START_US), 20 * SECOND_US);
    assert_int_equal(put(1, 20480, START_US + 20 * SECOND_US - 1), 1);
    assert_int_equal(put(1, 20480, START_US + 20 * SECOND_US), 0);
    kinesis.write_bytes = 1 << 20;
    assert_int_equal(put(5000, 1000, START_US + 60 * SECOND_US), 0);
    assert_int_equal(put(1, 1, START_US + 60 * SECOND_US), 4 * SECOND_US + 1000);
}

static void the_sixth_read_of_a_second_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(read_one(START_US), 0);
    assert_int_equal(read_one(START_US), SECOND_US / 5);
    assert_int_equal(read_one(START_US + SECOND_US / 5), 0);
}

/* Kinesis: an answer of 10 MiB ends all reading for five seconds, however little was read before. */
static void an_answer_of_10_mib_ends_reading_for_five_seconds(void **state)
{
    (void)state;
    assert_int_equal(read_one(START_US), 0);
    lsi_rates_charge_read(&kinesis, words, 10 << 20, START_US);
    assert_int_equal(read_one(START_US), 5 * SECOND_US);
    assert_int_equal(read_one(START_US + 5 * SECOND_US - 1), 1);
    assert_int_equal(read_one(START_US + 5 * SECOND_US), 0);
}

static void small_answers_share_two_mebibytes_a_second(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(read_one(START_US), 0);
        lsi_rates_charge_read(&kinesis, words, 512 << 10, START_US);
    }
    assert_int_equal(read_one(START_US), 1); /* all is given; any moment more is */
    assert_int_equal(read_one(START_US + 1), 0);
    lsi_rates_charge_read(&kinesis, words, 512 << 10, START_US + 1);
    assert_int_equal(read_one(START_US + 1 + SECOND_US / 4), 0);
}

/* Method: large answers, read as soon as that is allowed, for a minute. */
static void large_answers_come_at_two_mebibytes_a_second_too(void **state)
{
    uint64_t bytes = 0;

    (void)state;
    for (int64_t us = 0; us < 60 * SECOND_US; us += 1000)
        while (read_one(START_US + us) == 0) {
            lsi_rates_charge_read(&kinesis, words, 3 << 20, START_US + us);
            bytes += 3 << 20;
        }
    assert_in_range(bytes, 119 << 20, 123 << 20);
}

/* P10, T3. Goal: whatever the words hold, the shard works within two hours, and at once if it is far off. */
static void garbage_makes_nobody_wait_for_ever(void **state)
{
    static const uint64_t bad[] = {1, UINT64_MAX, UINT64_MAX / 2, (uint64_t)1 << 63, 0xdeadbeefdeadbeef};
    uint64_t seed = 42;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (int k = 0; k < LSI_BUDGET_WORDS; k++)
            words[k] = bad[i];
        assert_int_equal(put(1, 100, START_US), 0);
        assert_int_equal(put(1, 2 << 20, START_US), 0);
        assert_int_equal(read_one(START_US), 0);
        lsi_rates_charge_read(&kinesis, words, 1, START_US);
    }
    for (int i = 0; i < 100000; i++) {
        for (int k = 0; k < LSI_BUDGET_WORDS; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            words[k] = (uint64_t)START_US * 1000 + (seed >> (20 + i % 8)); /* now, and some hours more */
        }
        assert_true(put(1, 100, START_US) <= 7200 * SECOND_US);
        assert_true(put(1, 2 << 20, START_US) <= 7200 * SECOND_US);
        assert_true(read_one(START_US) <= 7200 * SECOND_US);
        lsi_rates_charge_read(&kinesis, words, (uint64_t)1 << 40, START_US);
        assert_true(read_one(START_US) <= 7200 * SECOND_US);
    }
}

static void the_largest_and_the_least_figures_work(void **state)
{
    (void)state;
    kinesis = (lsi_rates){UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(put(65536, 60 << 10, START_US), 0);
    assert_int_equal(read_one(START_US), 0);
    lsi_rates_charge_read(&kinesis, words, UINT64_MAX, START_US);
    assert_in_range(read_one(START_US), 1, 3600 * SECOND_US);
    memset((void *)words, 0, sizeof words);
    kinesis = (lsi_rates){LSI_RATE_BYTES_MIN, 1, LSI_RATE_BYTES_MIN, 1};
    assert_int_equal(put(1, 1024, START_US), 0);
    assert_int_equal(put(1, 1024, START_US), SECOND_US);
    assert_int_equal(put(1, 16 << 20, START_US + SECOND_US), 0);
    assert_int_equal(put(1, 16 << 20, START_US + SECOND_US), SECOND_US); /* for the record */
    assert_int_equal(put(1, 16 << 20, START_US + 2 * SECOND_US), 3599 * SECOND_US); /* T3, not 16,384 s */
}

static void a_refusal_names_the_limit_the_shard_and_the_time(void **state)
{
    lsi_refusal why;

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(put(1, 1, START_US), 0);
    assert_false(lsi_rates_admit_write(&kinesis, words, 20, 1, START_US, &why));
    assert_int_equal(lsi_rates_refuse(&why, "orders", 3), LS_ERR_THROTTLED);
    assert_string_equal(lsi_error_current()->message,
                        "stream 'orders' shard 3: its limit of 1000 records/s in is reached: come again in 20 ms");
    assert_int_equal(lsi_error_current()->retry_after_ms, 20);
    (void)lsi_fail(LS_ERR_STATE, "another");
    assert_int_equal(lsi_error_current()->retry_after_ms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_1001st_record_of_a_second_is_refused, fresh),
        cmocka_unit_test_setup(a_mebibyte_goes_in_per_second, fresh),
        cmocka_unit_test_setup(a_refused_put_has_taken_nothing, fresh),
        cmocka_unit_test_setup(over_any_time_no_more_goes_in_than_the_rate_and_one_second_of_it, fresh),
        cmocka_unit_test_setup(large_records_have_ten_seconds_worth_of_their_own, fresh),
        cmocka_unit_test_setup(what_is_larger_than_the_bucket_goes_in_when_that_is_full_and_is_paid_later, fresh),
        cmocka_unit_test_setup(the_sixth_read_of_a_second_is_refused, fresh),
        cmocka_unit_test_setup(an_answer_of_10_mib_ends_reading_for_five_seconds, fresh),
        cmocka_unit_test_setup(small_answers_share_two_mebibytes_a_second, fresh),
        cmocka_unit_test_setup(large_answers_come_at_two_mebibytes_a_second_too, fresh),
        cmocka_unit_test_setup(garbage_makes_nobody_wait_for_ever, fresh),
        cmocka_unit_test_setup(the_largest_and_the_least_figures_work, fresh),
        cmocka_unit_test_setup(a_refusal_names_the_limit_the_shard_and_the_time, fresh),
    };

    return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
