/* stamp.h: the wall clock for one stamp after another. Looks at a clock are made up, but for the system's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/stamp.h"

#define UNIT(us) ((uint64_t)(us) << LSI_STAMP_SHIFT)
#define BEGIN_US UINT64_C(1700000000000000)
#define TICKS_PER_US 3000u

/* Looks every 100 us of a clock and a counter that go on together, until `us` after the beginning. */
static void look_until(lsi_stamps *stamps, uint64_t *us, uint64_t until_us, uint64_t ahead_us)
{
    for (; *us <= until_us; *us += 100)
        lsi_stamps_note(stamps, 1 + *us * TICKS_PER_US, UNIT(BEGIN_US + ahead_us + *us));
}

static void the_counter_is_gone_on_from_when_two_measures_of_its_pace_agree(void **state)
{
    lsi_stamps stamps = {0};
    uint64_t us = 0;

    (void)state;
    look_until(&stamps, &us, 1900, 0);
    assert_int_equal(stamps.good_ticks, 0);
    look_until(&stamps, &us, 2000, 0);
    assert_int_not_equal(stamps.good_ticks, 0);
    /* For 100 us, and 99 us later it is right to less than a tenth of one. */
    assert_true(stamps.good_ticks > 99 * TICKS_PER_US && stamps.good_ticks < 101 * TICKS_PER_US);
    uint64_t later = stamps.at + (99 * TICKS_PER_US * stamps.pace >> LSI_STAMP_PACE_SHIFT);
    uint64_t true_at = stamps.at + UNIT(99);
    assert_true(later <= true_at && true_at - later < UNIT(1) / 10);
}

static void a_clock_that_is_set_is_followed_at_the_next_look_and_its_pace_forgotten(void **state)
{
    static const int64_t steps_us[] = {INT64_C(3600000000), -INT64_C(3600000000), 500, -500, 20};

    (void)state;
    for (size_t i = 0; i < sizeof steps_us / sizeof steps_us[0]; i++) {
        lsi_stamps stamps = {0};
        uint64_t us = 0, ahead_us = (uint64_t)steps_us[i];

        look_until(&stamps, &us, 2500, 0);
        assert_int_not_equal(stamps.good_ticks, 0);
        look_until(&stamps, &us, us, ahead_us);
        assert_true(stamps.at == UNIT(BEGIN_US + ahead_us + us - 100));
        /* The measure that the step fell into agrees with none; or it was given up, and none was made. */
        uint64_t pace = stamps.pace;
        look_until(&stamps, &us, 3700, ahead_us);
        assert_true(stamps.good_ticks == 0 || stamps.pace == pace);
        look_until(&stamps, &us, 7000, ahead_us);
        assert_int_not_equal(stamps.good_ticks, 0);
        assert_true(stamps.pace > (UINT64_C(4090) << LSI_STAMP_PACE_SHIFT) / TICKS_PER_US &&
                    stamps.pace < (UINT64_C(4100) << LSI_STAMP_PACE_SHIFT) / TICKS_PER_US);
    }
}

static void a_clock_that_is_set_while_its_pace_is_first_measured_is_not_gone_on_from(void **state)
{
    lsi_stamps stamps = {0};
    uint64_t us = 0;

    (void)state;
    look_until(&stamps, &us, 500, 0);
    look_until(&stamps, &us, 1900, 900000);
    assert_int_equal(stamps.good_ticks, 0);
    look_until(&stamps, &us, 2500, 900000);
    assert_int_equal(stamps.good_ticks, 0);
    look_until(&stamps, &us, 4500, 900000);
    assert_int_not_equal(stamps.good_ticks, 0);
}

static void a_counter_that_stands_still_or_runs_wild_is_not_gone_on_from(void **state)
{
    static const uint64_t ticks_per_us[] = {0, 1, 100000};

    (void)state;
    for (size_t i = 0; i < sizeof ticks_per_us / sizeof ticks_per_us[0]; i++) {
        lsi_stamps stamps = {0};

        for (uint64_t us = 0; us < 10000; us += 100) {
            lsi_stamps_note(&stamps, 1 + us * ticks_per_us[i], UNIT(BEGIN_US + us));
            assert_int_equal(stamps.good_ticks, 0);
        }
    }
}

static void stamps_are_the_systems_time_to_a_microsecond(void **state)
{
    lsi_stamps stamps = {0};
    int64_t end_us = lsi_monotonic_us(&lsi_clock_system) + 5000000;
    unsigned gone_on = 0;

    (void)state;
    while (gone_on < 200000 && lsi_monotonic_us(&lsi_clock_system) < end_us) {
        bool goes_on = stamps.good_ticks != 0;
        int64_t before_us = lsi_wall_us(&lsi_clock_system);
        int64_t stamp_us = lsi_stamp_us(&stamps, &lsi_clock_system);
        int64_t after_us = lsi_wall_us(&lsi_clock_system);

        if (after_us < before_us)
            continue; /* Somebody sets it. */
        assert_true(stamp_us >= before_us - 1 && stamp_us <= after_us + 1);
        gone_on += goes_on;
    }
    if (stamps.counter == 1 && gone_on == 0) /* Under a simulator a look takes too long. */
        skip();
}

typedef struct hands {
    int64_t us;
    unsigned asked;
} hands;

static int64_t ask(void *user)
{
    hands *clock = user;

    clock->asked++;
    return clock->us;
}

static void a_clock_that_a_user_set_is_asked_each_time(void **state)
{
    hands set = {.us = 5};
    const lsi_clock clock = {ask, ask, &set, NULL};
    lsi_stamps stamps = {0};

    (void)state;
    for (unsigned i = 1; i <= 1000; i++) {
        set.us += i % 3 == 0 ? -2 : 7;
        assert_true(lsi_stamp_us(&stamps, &clock) == set.us);
        assert_int_equal(set.asked, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counter_is_gone_on_from_when_two_measures_of_its_pace_agree),
        cmocka_unit_test(a_clock_that_is_set_is_followed_at_the_next_look_and_its_pace_forgotten),
        cmocka_unit_test(a_clock_that_is_set_while_its_pace_is_first_measured_is_not_gone_on_from),
        cmocka_unit_test(a_counter_that_stands_still_or_runs_wild_is_not_gone_on_from),
        cmocka_unit_test(stamps_are_the_systems_time_to_a_microsecond),
        cmocka_unit_test(a_clock_that_a_user_set_is_asked_each_time),
    };

    return cmocka_run_group_tests_name("stamps by the processor's counter", tests, NULL, NULL);
}
