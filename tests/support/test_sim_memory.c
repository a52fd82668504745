/* The tests' memory does what sim_memory.h says: a harness that cannot fail proves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/sim_memory.h"

static void the_nth_allocation_fails_and_only_that(void **state)
{
    sim_memory memory = SIM_MEMORY_INIT;
    lsi_memory table = sim_memory_table(&memory);
    char *p;

    (void)state;
    sim_memory_fail(&memory, 2, false);
    p = lsi_alloc(&table, 10);
    assert_non_null(p);
    p[0] = 'a';
    p[9] = 'z';
    assert_null(lsi_resize(&table, p, 100));
    assert_int_equal(memory.failed, 1);
    assert_int_equal(p[9], 'z'); /* still there */
    p = lsi_resize(&table, p, 100);
    assert_non_null(p);
    assert_int_equal(p[0], 'a');
    assert_int_equal(p[9], 'z');
    assert_int_equal(memory.live, 1);
    assert_int_equal(memory.live_bytes, 100);
    lsi_free(&table, p);
    lsi_free(&table, NULL);
    assert_int_equal(memory.live, 0);
    assert_int_equal(memory.live_bytes, 0);
}

static void a_sticky_failure_stays_until_it_is_lifted(void **state)
{
    sim_memory memory = SIM_MEMORY_INIT;
    lsi_memory table = sim_memory_table(&memory);
    void *p;

    (void)state;
    sim_memory_fail(&memory, 1, true);
    assert_null(lsi_alloc(&table, 1));
    assert_null(lsi_alloc(&table, 1));
    sim_memory_fail(&memory, 0, false);
    p = lsi_alloc(&table, 1);
    assert_non_null(p);
    lsi_free(&table, p);
}

static void what_is_buried_is_no_leak(void **state)
{
    sim_memory memory = SIM_MEMORY_INIT;
    lsi_memory table = sim_memory_table(&memory);

    (void)state;
    assert_non_null(lsi_alloc(&table, 10));
    assert_non_null(lsi_alloc(&table, 20));
    assert_int_equal(memory.live, 2);
    sim_memory_bury(&memory);
    assert_int_equal(memory.live, 0);
}

int main(void)
{
    static const struct CMUnitTest memory_for_tests[] = {
        cmocka_unit_test(the_nth_allocation_fails_and_only_that),
        cmocka_unit_test(a_sticky_failure_stays_until_it_is_lifted),
        cmocka_unit_test(what_is_buried_is_no_leak),
    };

    return cmocka_run_group_tests(memory_for_tests, NULL, NULL);
}
