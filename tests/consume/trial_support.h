/* What is known of a batch that was tried, compared: all of it. */
#ifndef LST_CONSUME_TRIAL_SUPPORT_H
#define LST_CONSUME_TRIAL_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consume/lease/trial.h"

static inline void assert_same_trial(const lsi_trial *a, const lsi_trial *b)
{
    assert_int_equal(lsi_point_compare(a->first, b->first), 0);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->rest, b->rest);
    assert_int_equal(a->attempts, b->attempts);
    assert_int_equal(a->is_begun, b->is_begun);
    assert_int_equal(a->is_unhandled, b->is_unhandled);
    assert_int_equal(a->is_reported, b->is_reported);
    assert_int_equal(a->is_over, b->is_over);
    assert_int_equal(a->lane, b->lane);
    assert_int_equal(lsi_point_compare(a->last, b->last), 0);
}

#endif
