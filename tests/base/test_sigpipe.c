/* base/sigpipe.h: what is raised in between is gone, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sigpipe.h"

static volatile sig_atomic_t handled;

static void handle(int number)
{
    (void)number;
    handled++;
}

static void write_to_nobody(void)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(write(ends[1], "x", 1), -1);
    assert_int_equal(close(ends[1]), 0);
}

static int catch_it(void **state)
{
    (void)state;
    return signal(SIGPIPE, handle) == SIG_ERR;
}

static void what_is_raised_in_between_is_gone(void **state)
{
    lsi_sigpipe held;

    (void)state;
    handled = 0;
    for (int i = 0; i < 2; i++) {
        lsi_sigpipe_hold(&held);
        write_to_nobody();
        lsi_sigpipe_let_go(&held);
        assert_int_equal(handled, 0);
    }
    write_to_nobody(); /* Outside it is as ever. */
    assert_int_equal(handled, 1);
}

static void the_applications_own_stays(void **state)
{
    sigset_t set, pending;
    lsi_sigpipe held;

    (void)state;
    handled = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    write_to_nobody();
    lsi_sigpipe_hold(&held);
    write_to_nobody();
    lsi_sigpipe_let_go(&held);
    assert_int_equal(sigpending(&pending), 0);
    assert_true(sigismember(&pending, SIGPIPE)); /* pending, and blocked */
    assert_int_equal(handled, 0);
    assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
    assert_int_equal(handled, 1);
}

int main(void)
{
    const struct CMUnitTest sigpipe[] = {
        cmocka_unit_test_setup(what_is_raised_in_between_is_gone, catch_it),
        cmocka_unit_test_setup(the_applications_own_stays, catch_it),
    };

    return cmocka_run_group_tests_name("sigpipe", sigpipe, NULL, NULL);
}
