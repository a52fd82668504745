/* Alert rules as pure steps: windows, cooldown, what comes behind what; and what is known, written and read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "consume/alert/alert.h"

#define SECOND INT64_C(1000000)

static lsi_alert_state empty(void)
{
    return (lsi_alert_state){.memory = lsi_memory_libc, .of = 7};
}

static ls_alert_options options_of(uint32_t window_ms, uint32_t count_min, uint32_t cooldown_ms)
{
    ls_alert_options options = LS_ALERT_OPTIONS_INIT;

    options.window_ms = window_ms;
    options.count_min = count_min;
    options.cooldown_ms = cooldown_ms;
    return options;
}

/* Counts one; whether the rule fires. */
static bool count(lsi_alert_state *state, const ls_alert_options *options, uint32_t shard, ls_seqno seqno,
                  int64_t at_us)
{
    lsi_alert_item item = {seqno, 0, at_us, 5};
    bool fires = false;

    assert_int_equal(lsi_alert_count(state, options, shard, &item, &fires), LS_OK);
    return fires;
}

static void windows_begin_at_multiples_before_the_epoch_too(void **state)
{
    static const struct {
        int64_t at_us, start_us;
    } rows[] = {{0, 0}, {9999999, 0}, {10 * SECOND, 10 * SECOND}, {-1, -10 * SECOND}, {-10 * SECOND, -10 * SECOND},
                {-10 * SECOND - 1, -20 * SECOND}};
    const ls_alert_options options = options_of(10000, 1, 0);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lsi_alert_state known = empty();

        assert_true(count(&known, &options, 0, 1, rows[i].at_us));
        assert_int_equal(known.windows[0].start_us, rows[i].start_us);
        assert_int_equal(known.rows[0].window_start_us, rows[i].start_us);
        lsi_alert_state_clear(&known);
    }
}

static void windows_stay_in_order_whoever_comes_first(void **state)
{
    const ls_alert_options options = options_of(1000, 1, 0);
    lsi_alert_state known = empty();

    (void)state;
    for (uint32_t i = 0; i < 40; i++)
        assert_true(count(&known, &options, i % 3, 1 + i, (int64_t)(i * 7 % 40) * SECOND));
    assert_int_equal(known.window_count, 40);
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(known.windows[i].start_us, i * SECOND);
    assert_int_equal(known.row_count, 3);
    lsi_alert_state_clear(&known);
}

/* The oldest goes; and what is older than all begins anew, in the place of the oldest. */
static void the_last_windows_are_known(void **state)
{
    const ls_alert_options options = options_of(1000, 2, 0);
    lsi_alert_state known = empty();
    int64_t most = LSI_ALERT_WINDOWS_MAX;

    (void)state;
    for (int64_t i = 0; i < most; i++)
        assert_false(count(&known, &options, 0, (ls_seqno)(1 + i), (10 + i) * SECOND));
    assert_int_equal(known.windows[0].start_us, 10 * SECOND);
    assert_false(count(&known, &options, 0, 100, (10 + most) * SECOND));
    assert_int_equal(known.window_count, most);
    assert_int_equal(known.windows[0].start_us, 11 * SECOND);
    assert_false(count(&known, &options, 1, 1, 10 * SECOND)); /* It was counted, and is forgotten: one alone. */
    assert_int_equal(known.windows[0].start_us, 10 * SECOND);
    assert_int_equal(known.windows[1].start_us, 12 * SECOND);
    assert_true(count(&known, &options, 1, 2, 10 * SECOND));
    assert_true(count(&known, &options, 1, 3, 40 * SECOND)); /* One that is known goes on. */
    lsi_alert_state_clear(&known);
}

static void a_cooldown_is_quiet_either_way(void **state)
{
    const ls_alert_options options = options_of(1000, 1, 10000);
    lsi_alert_state known = empty();

    (void)state;
    assert_true(count(&known, &options, 0, 1, 100 * SECOND));
    assert_false(count(&known, &options, 0, 2, 110 * SECOND - 1));
    assert_false(count(&known, &options, 1, 1, 90 * SECOND + 1));
    assert_true(count(&known, &options, 1, 2, 90 * SECOND - 1));
    assert_true(count(&known, &options, 0, 3, 110 * SECOND));
    lsi_alert_state_clear(&known);
}

/* A shard that lies behind makes a rule fire far before the other one did, which is no reason to forget that. */
static void a_cooldown_is_of_each_time_that_a_rule_fired(void **state)
{
    const ls_alert_options options = options_of(1000, 1, 10000);
    lsi_alert_state known = empty();

    (void)state;
    for (ls_seqno i = 0; i < 5; i++)
        assert_true(count(&known, &options, 0, 1 + i, (100 + 10 * (int64_t)i) * SECOND));
    assert_true(count(&known, &options, 1, 1, 50 * SECOND));
    assert_int_equal(known.last_fired_us, 50 * SECOND);
    for (ls_seqno i = 0; i < 60; i++)
        assert_int_equal(count(&known, &options, 1, 2 + i, (91 + (int64_t)i) * SECOND), i == 59); /* 150 s */
    assert_false(count(&known, &options, 0, 6, 149 * SECOND));
    assert_false(count(&known, &options, 0, 7, 151 * SECOND));
    assert_true(count(&known, &options, 0, 8, 160 * SECOND));
    lsi_alert_state_clear(&known);
}

/* Of more than are kept the oldest goes; and what is older than all takes its place. */
static void the_last_times_are_known(void **state)
{
    const ls_alert_options options = options_of(1, 1, 1000);
    lsi_alert_state known = empty();
    int64_t most = LSI_ALERT_TIMES_MAX;

    (void)state;
    for (int64_t i = 0; i <= most; i++)
        assert_true(count(&known, &options, 0, (ls_seqno)(1 + i), (10 + i) * SECOND));
    assert_int_equal(known.time_count, most);
    assert_int_equal(known.times_us[0], 11 * SECOND);
    assert_false(count(&known, &options, 1, 1, 11 * SECOND + 1));
    assert_true(count(&known, &options, 1, 2, 10 * SECOND)); /* It fired, and that is forgotten. */
    assert_int_equal(known.times_us[0], 10 * SECOND);
    assert_int_equal(known.times_us[1], 12 * SECOND);
    assert_int_equal(known.time_count, most);
    lsi_alert_state_clear(&known);
}

/* What was too soon may fire later in its window. */
static void a_quiet_window_may_fire_when_it_has_cooled_down(void **state)
{
    const ls_alert_options options = options_of(60000, 1, 10000);
    lsi_alert_state known = empty();

    (void)state;
    assert_true(count(&known, &options, 0, 1, 59 * SECOND));
    assert_false(count(&known, &options, 0, 2, 61 * SECOND));
    assert_true(count(&known, &options, 0, 3, 69 * SECOND));
    assert_false(count(&known, &options, 0, 4, 90 * SECOND)); /* once */
    assert_int_equal(known.rows[0].count, 2);
    assert_int_equal(known.rows[0].first.seqno, 2);
    lsi_alert_state_clear(&known);
}

static void what_was_counted_is_told_by_number_and_place(void **state)
{
    static const struct {
        ls_seqno seqno;
        uint32_t sub_seqno;
        bool is_new;
    } rows[] = {{4, 9, false}, {5, 0, false}, {5, 2, false}, {5, 3, true}, {6, 0, true}};
    lsi_alert_row row = {.seqno = 5, .sub_seqno = 2};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lsi_alert_item item = {rows[i].seqno, rows[i].sub_seqno, 0, 0};

        assert_int_equal(lsi_alert_is_new(&row, &item), rows[i].is_new);
        assert_true(lsi_alert_is_new(NULL, &item));
    }
    assert_true(lsi_alert_is_new(&row, &(lsi_alert_item){.seqno = LS_SEQNO_NONE})); /* a look */
}

static void notes_add_up(void **state)
{
    const lsi_alert_notes parts[] = {{3, 0, 0, 0, 0}, {2, 2, 2, -4, 9}, {5, 1, 0, 0, 0}, {1, 1, 1, 20, 20}};
    lsi_alert_notes sum = {.observed = 0};

    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        lsi_alert_notes_add(&sum, &parts[i]);
    assert_int_equal(sum.observed, 11);
    assert_int_equal(sum.values, 4);
    assert_int_equal(sum.numbers, 3);
    assert_true(sum.least == -4 && sum.greatest == 20); /* and no 0 of those without a number */
}

/* ---- writing and reading ---- */

static void assert_same(const lsi_alert_state *a, const lsi_alert_state *b)
{
    ls_bytes first, second;

    assert_int_equal(lsi_alert_state_encode(&lsi_memory_libc, a, &first), LS_OK);
    assert_int_equal(lsi_alert_state_encode(&lsi_memory_libc, b, &second), LS_OK);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    free((void *)(uintptr_t)first.data);
    free((void *)(uintptr_t)second.data);
}

/* Method: states that random records make; what is read is what was written, and goes on alike. */
static void what_is_known_is_read_as_it_was_written(void **state)
{
    unsigned seed = (unsigned)time(NULL);

    (void)state;
    printf("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 200; round++) {
        const ls_alert_options options = options_of(1 + (uint32_t)(rand() % 5000), 1 + (uint32_t)(rand() % 4),
                                                    (uint32_t)(rand() % 3000));
        lsi_alert_state known = empty(), read = {.memory = lsi_memory_libc};
        lsi_state_entry entry = {.version = 12};
        int records = rand() % 200;

        known.notes = (lsi_alert_notes){(uint64_t)rand(), (uint64_t)rand(), (uint64_t)rand(), -rand() / 3.0, rand()};
        known.is_reported = rand() % 2;
        known.is_reporting = !known.is_reported && rand() % 2;
        known.reporting_shard = known.is_reporting ? (uint32_t)(rand() % 4) - 1 : 0;
        known.fired = (uint64_t)rand();
        for (int i = 1; i <= records; i++)
            if (count(&known, &options, (uint32_t)(rand() % 4), (ls_seqno)i, rand() % 100 * SECOND) && rand() % 2)
                for (size_t k = 0; k < known.row_count; k++)
                    known.rows[k].is_untold = false;
        assert_int_equal(lsi_alert_state_encode(&lsi_memory_libc, &known, &entry.value), LS_OK);
        assert_int_equal(lsi_alert_state_decode(&read, &entry), LS_OK);
        assert_int_equal(read.version, 12);
        assert_int_equal(read.of, 7);
        assert_same(&known, &read);
        for (int i = 0; i < 20; i++) {
            uint32_t shard = (uint32_t)(rand() % 5);
            int64_t at_us = rand() % 100 * SECOND;

            assert_int_equal(count(&known, &options, shard, 1000, at_us), count(&read, &options, shard, 1000, at_us));
        }
        assert_same(&known, &read);
        free((void *)(uintptr_t)entry.value.data);
        lsi_alert_state_clear(&known);
        lsi_alert_state_clear(&read);
    }
}

static void assert_none(const lsi_alert_state *state, size_t at, unsigned char byte)
{
    lsi_alert_state read = {.memory = lsi_memory_libc};
    lsi_state_entry entry = {.version = 1};

    assert_int_equal(lsi_alert_state_encode(&lsi_memory_libc, state, &entry.value), LS_OK);
    ((unsigned char *)(uintptr_t)entry.value.data)[at] = byte;
    assert_int_equal(lsi_alert_state_decode(&read, &entry), LS_ERR_CORRUPT);
    free((void *)(uintptr_t)entry.value.data);
    lsi_alert_state_clear(&read);
}

/* Without times, or with one, it is as it was written before there were any; and that one is known from it. */
static void times_are_read_or_refused(void **state)
{
    const ls_alert_options options = options_of(1000, 1, 10000);
    lsi_alert_state known = empty(), read = {.memory = lsi_memory_libc};
    lsi_state_entry entry = {.version = 1};

    (void)state;
    assert_true(count(&known, &options, 0, 1, 100 * SECOND));
    assert_int_equal(lsi_alert_state_encode(&lsi_memory_libc, &known, &entry.value), LS_OK);
    assert_int_equal(*(const unsigned char *)entry.value.data, 1);
    assert_int_equal(lsi_alert_state_decode(&read, &entry), LS_OK);
    assert_false(count(&read, &options, 0, 2, 109 * SECOND));
    free((void *)(uintptr_t)entry.value.data);
    lsi_alert_state_clear(&read);
    assert_none(&known, 92, 1); /* how many times */
    assert_none(&known, 0, 2);  /* the format */
    assert_true(count(&known, &options, 0, 2, 110 * SECOND));
    assert_none(&known, 92, 0);
    assert_none(&known, 92, 1);
    assert_none(&known, 92, 3);
    assert_none(&known, 92, 200);
    assert_none(&known, 0, 1);
    assert_none(&known, 0, 0);
    known.times_us[1] = known.times_us[0];
    assert_none(&known, 8, 7); /* which is as it was: times that do not rise */
    lsi_alert_state_clear(&known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_begin_at_multiples_before_the_epoch_too),
        cmocka_unit_test(windows_stay_in_order_whoever_comes_first),
        cmocka_unit_test(the_last_windows_are_known),
        cmocka_unit_test(a_cooldown_is_quiet_either_way),
        cmocka_unit_test(a_cooldown_is_of_each_time_that_a_rule_fired),
        cmocka_unit_test(the_last_times_are_known),
        cmocka_unit_test(a_quiet_window_may_fire_when_it_has_cooled_down),
        cmocka_unit_test(what_was_counted_is_told_by_number_and_place),
        cmocka_unit_test(notes_add_up),
        cmocka_unit_test(what_is_known_is_read_as_it_was_written),
        cmocka_unit_test(times_are_read_or_refused),
    };

    return cmocka_run_group_tests_name("alert windows", tests, NULL, NULL);
}
