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
    lsi_patience_begin_own(500, NULL, NULL);
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
    lsi_patience_begin_own(1000, NULL, NULL);
    assert_int_equal(lsi_patience_us(5000), 1000000);
    assert_int_equal(lsi_patience_us(300), 300000);
    lsi_patience_spend(400000);
    assert_int_equal(lsi_patience_us(5000), 600000);
    lsi_patience_spend(-7); /* of a clock that a test moved back */
    assert_int_equal(lsi_patience_us(5000), 600000);
    lsi_patience_spend(600001);
    assert_int_equal(lsi_patience_us(5000), 0);
    lsi_patience_begin_own(50, NULL, NULL);
    assert_int_equal(lsi_patience_us(5000), 50000);
}

static void a_part_is_used_up_and_the_rest_is_given_back(void **state)
{
    int64_t kept;

    (void)state;
    lsi_patience_begin_own(1000, NULL, NULL);
    kept = lsi_patience_keep_back(100000);
    assert_int_equal(lsi_patience_us(5000), 100000);
    assert_string_equal(lsi_patience_waited(1000), "100 ms");
    lsi_patience_spend(30000);
    assert_false(lsi_patience_give_back(kept));
    assert_int_equal(lsi_patience_us(5000), 970000);
    assert_string_equal(lsi_patience_waited(1000), "its 1000 ms");
    kept = lsi_patience_keep_back(100000);
    lsi_patience_spend(100001);
    assert_int_equal(lsi_patience_us(5000), 0);
    assert_true(lsi_patience_give_back(kept));
    assert_int_equal(lsi_patience_us(5000), 870000);
    lsi_patience_spend(800000);
    kept = lsi_patience_keep_back(100000); /* There is less: nothing is kept back. */
    assert_int_equal(lsi_patience_us(5000), 70000);
    lsi_patience_spend(70000);
    assert_false(lsi_patience_give_back(kept));
    assert_int_equal(lsi_patience_us(5000), 0);
}

static void use_up_a_part_without_a_call(void *user)
{
    int64_t *seen = user, kept = lsi_patience_keep_back(100000);

    seen[0] = lsi_patience_us(700);
    lsi_patience_spend(100000);
    seen[1] = lsi_patience_give_back(kept) ? -1 : lsi_patience_us(700);
}

static void outside_of_calls_nothing_is_left_of_a_part(void **state)
{
    int64_t seen[2] = {-1, -1};

    (void)state;
    in_a_thread(use_up_a_part_without_a_call, seen);
    assert_int_equal(seen[0], 100000);
    assert_int_equal(seen[1], 700000);
}

static lsi_lock locks[40];

static void wait_for_all(void *user)
{
    int64_t *took = user, from;

    lsi_patience_begin_own(100, NULL, NULL);
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
    lsi_patience_begin_own(0, NULL, NULL); /* What is free needs no patience. */
    assert_int_equal(lsi_patience_lock(&locks[0], LSI_RANK_SHARD, 100), LSI_LOCKED);
    lsi_lock_release(&locks[0], LSI_RANK_SHARD);
}

/* ---- who is asked ---- */

static int asked;

static int after_three(void *user)
{
    assert_ptr_equal(user, locks);
    return ++asked == 3;
}

static void who_is_asked_now_and_then_ends_the_waiting(void **state)
{
    lsi_env env = {.busy_timeout_ms = 10000, .wait = after_three, .wait_user = locks};

    (void)state;
    asked = 0;
    lsi_patience_begin(&env);
    lsi_patience_spend(5000);
    assert_string_equal(lsi_patience_waited(10000), "its 10000 ms");
    lsi_patience_spend(14999);
    assert_int_equal(asked, 0);
    lsi_patience_spend(1);
    assert_int_equal(asked, 1);
    lsi_patience_spend(300000);
    assert_int_equal(asked, 2);
    assert_int_equal(lsi_patience_us(20000), 10000000 - 320000);
    lsi_patience_spend(20000);
    assert_int_equal(asked, 3);
    assert_true(lsi_patience_us(20000) <= 0);
    assert_string_equal(lsi_patience_waited(10000), "until it was told to wait no longer");
    lsi_patience_spend(500000); /* He is not asked any more, and it stays as he said, until the next call. */
    assert_int_equal(asked, 3);
    assert_true(lsi_patience_us(20000) <= 0);
    lsi_patience_begin(&env);
    assert_int_equal(lsi_patience_us(20000), 10000000);
    asked = 2;
    int64_t kept = lsi_patience_keep_back(50000);
    lsi_patience_spend(20000);
    assert_false(lsi_patience_give_back(kept)); /* What he said of a part he said of all. */
    assert_true(lsi_patience_us(20000) <= 0);
}

static void wait_for_one(void *user)
{
    lsi_env env = {.busy_timeout_ms = 10000, .wait = after_three, .wait_user = locks};
    int64_t *took = user, from = now_ms();

    lsi_patience_begin(&env);
    took[1] = lsi_patience_lock(&locks[0], LSI_RANK_SHARD, 10000);
    took[0] = now_ms() - from;
}

static void a_lock_is_waited_for_until_he_says_no(void **state)
{
    int64_t took[2] = {0, 0};

    (void)state;
    asked = 0;
    assert_int_equal(lsi_lock_init(&locks[0]), 0);
    assert_int_equal(lsi_lock_try(&locks[0], LSI_RANK_SHARD), LSI_LOCKED);
    in_a_thread(wait_for_one, took);
    lsi_lock_release(&locks[0], LSI_RANK_SHARD);
    assert_int_equal(took[1], LSI_LOCK_BUSY);
    assert_int_equal(asked, 3);
    assert_in_range(took[0], 58, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outside_of_calls_each_wait_has_its_own_time),
        cmocka_unit_test(a_call_has_what_its_waits_have_left),
        cmocka_unit_test(a_part_is_used_up_and_the_rest_is_given_back),
        cmocka_unit_test(outside_of_calls_nothing_is_left_of_a_part),
        cmocka_unit_test(many_locks_take_the_time_of_one),
        cmocka_unit_test(who_is_asked_now_and_then_ends_the_waiting),
        cmocka_unit_test(a_lock_is_waited_for_until_he_says_no),
    };

    return cmocka_run_group_tests_name("patience", tests, NULL, NULL);
}
