/* clock_guard.h: time that follows the wall clock but for a jump ahead, which it believes when it lasted (E8). The
 * clocks are the test's own; a period is 60 s. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock_guard.h"

#define SECOND INT64_C(1000000)
#define PERIOD (60 * SECOND)
#define HOUR (3600 * SECOND)
#define BEGIN (INT64_C(1700000000) * SECOND)

typedef struct fixture {
    lsi_clock clock;
    lsi_clock_guard guard;
    int64_t wall, monotonic;
} fixture;

static int64_t wall_us(void *user)
{
    return ((fixture *)user)->wall;
}

static int64_t monotonic_us(void *user)
{
    return ((fixture *)user)->monotonic;
}

static fixture begin(void)
{
    return (fixture){.wall = BEGIN, .monotonic = 5000 * SECOND};
}

static void look(fixture *fx)
{
    fx->clock = (lsi_clock){wall_us, monotonic_us, fx, NULL};
    lsi_clock_guard_look(&fx->guard, &fx->clock, PERIOD);
}

static int64_t time_of(fixture *fx)
{
    fx->clock = (lsi_clock){wall_us, monotonic_us, fx, NULL};
    return lsi_clock_guard_time(&fx->guard, &fx->clock, fx->wall);
}

/* Time goes on for `us`, with a look each second. */
static void pass(fixture *fx, int64_t us)
{
    for (; us > 0; us -= SECOND) {
        fx->wall += SECOND;
        fx->monotonic += SECOND;
        look(fx);
    }
}

static void without_a_jump_it_is_the_wall_clock(void **state)
{
    fixture fx = begin();

    (void)state;
    assert_int_equal(time_of(&fx), BEGIN);
    assert_false(lsi_clock_guard_is_proven(&fx.guard));
    look(&fx);
    assert_int_equal(time_of(&fx), BEGIN);
    assert_false(lsi_clock_guard_is_proven(&fx.guard));
    for (int i = 0; i < 200; i++) {
        pass(&fx, SECOND);
        assert_int_equal(time_of(&fx), fx.wall);
        assert_int_equal(lsi_clock_guard_is_proven(&fx.guard), i >= 59);
    }
    fx.wall += 5 * HOUR; /* Nobody looked for five hours that passed. */
    fx.monotonic += 5 * HOUR;
    assert_int_equal(time_of(&fx), fx.wall);
    look(&fx);
    assert_int_equal(time_of(&fx), fx.wall);
}

/* A clock that is slewed by 500 ppm for an hour. */
static void a_slewed_clock_is_followed(void **state)
{
    fixture fx = begin();

    (void)state;
    look(&fx);
    for (int i = 0; i < 3600; i++) {
        fx.wall += 500;
        pass(&fx, SECOND);
        assert_int_equal(time_of(&fx), fx.wall);
    }
}

static void a_jump_ahead_and_back_is_never_believed(void **state)
{
    fixture fx = begin();

    (void)state;
    pass(&fx, 10 * PERIOD);
    for (int64_t stays = 0; stays < PERIOD; stays += 7 * SECOND) {
        int64_t before = fx.wall;

        fx.wall += 1000 * HOUR;
        assert_in_range(time_of(&fx), before, before + SECOND);
        look(&fx);
        pass(&fx, stays);
        assert_in_range(time_of(&fx), before + stays, before + stays + SECOND);
        fx.wall -= 1000 * HOUR;
        assert_int_equal(time_of(&fx), fx.wall);
        pass(&fx, stays);
    }
}

static void a_jump_ahead_that_lasts_is_believed(void **state)
{
    fixture fx = begin();
    int64_t took = 0;

    (void)state;
    pass(&fx, 10 * PERIOD);
    fx.wall += 1000 * HOUR;
    for (; time_of(&fx) < fx.wall; took += SECOND)
        pass(&fx, SECOND);
    assert_in_range(took, PERIOD, 2 * PERIOD);
}

/* As after a sleep of the machine, which the monotonic clock does not count, with nobody there to look. */
static void looks_that_are_far_apart_believe_it_the_second_time(void **state)
{
    fixture fx = begin();

    (void)state;
    pass(&fx, 10 * PERIOD);
    fx.wall += 1000 * HOUR;
    fx.monotonic += HOUR;
    look(&fx);
    assert_true(time_of(&fx) < fx.wall - 900 * HOUR);
    fx.wall += HOUR;
    fx.monotonic += HOUR;
    look(&fx);
    assert_int_equal(time_of(&fx), fx.wall);
}

static void a_jump_back_is_believed_at_once(void **state)
{
    fixture fx = begin();

    (void)state;
    pass(&fx, 10 * PERIOD);
    fx.wall -= HOUR;
    assert_int_equal(time_of(&fx), fx.wall);
    look(&fx);
    pass(&fx, 3 * PERIOD);
    assert_int_equal(time_of(&fx), fx.wall);
}

/* A clock that a user sets judges itself: what it skips has passed. */
static void a_set_clock_is_believed(void **state)
{
    fixture fx = begin();

    (void)state;
    fx.clock = (lsi_clock){wall_us, monotonic_us, &fx, wall_us};
    lsi_clock_guard_look(&fx.guard, &fx.clock, PERIOD);
    fx.wall += 25 * HOUR;
    assert_int_equal(lsi_clock_guard_time(&fx.guard, &fx.clock, fx.wall), fx.wall);
    lsi_clock_guard_look(&fx.guard, &fx.clock, PERIOD);
    assert_true(lsi_clock_guard_is_proven(&fx.guard));
    fx.wall -= 100 * HOUR; /* and back */
    lsi_clock_guard_look(&fx.guard, &fx.clock, PERIOD);
    assert_int_equal(lsi_clock_guard_time(&fx.guard, &fx.clock, fx.wall), fx.wall);
}

/* Whatever stands in the file: the time is not ahead of the wall clock, and three periods later it is the wall
 * clock. */
static void any_bytes_do(void **state)
{
    static const int64_t words[] = {0, 1, -1, 2, INT64_MAX, INT64_MIN, INT64_MIN + 1, INT64_MAX - 1, BEGIN, -BEGIN};
    const size_t count = sizeof words / sizeof words[0];

    (void)state;
    for (size_t a = 0; a < count; a++)
        for (size_t b = 0; b < count; b++)
            for (size_t c = 0; c < count; c++) {
                fixture fx = begin();

                atomic_store(&fx.guard.began_us, words[a]);
                atomic_store(&fx.guard.least_us, words[b]);
                atomic_store(&fx.guard.least_before_us, words[c]);
                assert_true(time_of(&fx) <= fx.wall);
                for (int i = 0; i < 4; i++) {
                    look(&fx);
                    assert_true(time_of(&fx) <= fx.wall);
                    pass(&fx, PERIOD);
                }
                assert_int_equal(time_of(&fx), fx.wall);
                assert_true(lsi_clock_guard_is_proven(&fx.guard));
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_jump_it_is_the_wall_clock),
        cmocka_unit_test(a_slewed_clock_is_followed),
        cmocka_unit_test(a_jump_ahead_and_back_is_never_believed),
        cmocka_unit_test(a_jump_ahead_that_lasts_is_believed),
        cmocka_unit_test(looks_that_are_far_apart_believe_it_the_second_time),
        cmocka_unit_test(a_jump_back_is_believed_at_once),
        cmocka_unit_test(a_set_clock_is_believed),
        cmocka_unit_test(any_bytes_do),
    };

    return cmocka_run_group_tests_name("a clock that is not believed when it jumps (E8)", tests, NULL, NULL);
}
