/* How long a call may wait in all: lib/base/patience.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/patience.h"
#include "base/thread.h"

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Threads begin without a call, whatever came before on the test's own. */
static void in_a_thread(void (*run)(void *user), void *user)
{
    lsi_thread thread = {0};

    assert_int_equal(lsi_thread_start(&thread, "ls-test", run, user), 0);
    lsi_thread_join(&thread);
}

static void look_without_a_call(void *user)
{
    int64_t *seen = user;

    lsi_patience_spend(1000000);
    seen[0] = lsi_patience_us(700);
    lsi_patience_begin(500);
    seen[1] = lsi_patience_us(700);
}

static void outside_of_calls_each_wait_has_its_own_time(void **state)
{
    int64_t seen[2] = {-1, -1};

    (void)state;
    in_a_thread(look_without_a_call, seen);
    assert_int_equal(seen[0], 700000);
    assert_int_equal(seen[1], 500000);
}

static void a_call_has_what_its_waits_have_left(void **state)
{
    (void)state;
    lsi_patience_begin(1000);
    assert_int_equal(lsi_patience_us(5000), 1000000);
    assert_int_equal(lsi_patience_us(300), 300000);
    lsi_patience_spend(400000);
    assert_int_equal(lsi_patience_us(5000), 600000);
    lsi_patience_spend(-7); /* of a clock that a test moved back */
    assert_int_equal(lsi_patience_us(5000), 600000);
    lsi_patience_spend(600001);
    assert_int_equal(lsi_patience_us(5000), 0);
    lsi_patience_begin(50);
    assert_int_equal(lsi_patience_us(5000), 50000);
}

static lsi_lock locks[40];

static void wait_for_all(void *user)
{
    int64_t *took = user, from;

    lsi_patience_begin(100);
    from = now_ms();
    for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++)
        took[1] += lsi_patience_lock(&locks[i], LSI_RANK_SHARD, 100) == LSI_LOCK_BUSY;
    took[0] = now_ms() - from;
}

static void many_locks_take_the_time_of_one(void **state)
{
    int64_t took[2] = {0, 0}; /* milliseconds, and how many were busy */

    (void)state;
    for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++) {
        assert_int_equal(lsi_lock_init(&locks[i]), 0);
        assert_int_equal(lsi_lock_try(&locks[i], LSI_RANK_SHARD), LSI_LOCKED);
    }
    in_a_thread(wait_for_all, took);
    assert_int_equal(took[1], 40);
    assert_in_range(took[0], 99, 2000); /* and not 40 times 100 */
    for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++)
        lsi_lock_release(&locks[i], LSI_RANK_SHARD);
    lsi_patience_begin(0); /* What is free needs no patience. */
    assert_int_equal(lsi_patience_lock(&locks[0], LSI_RANK_SHARD, 100), LSI_LOCKED);
    lsi_lock_release(&locks[0], LSI_RANK_SHARD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outside_of_calls_each_wait_has_its_own_time),
        cmocka_unit_test(a_call_has_what_its_waits_have_left),
        cmocka_unit_test(many_locks_take_the_time_of_one),
    };

    return cmocka_run_group_tests_name("patience", tests, NULL, NULL);
}
