/* The history checker itself (harness H5): a right history passes, and each way of being wrong is seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "harness/history.h"

#define COUNT 6

/* Writer 0 puts numbers 0..2, writer 1 puts 0..2, alternately, one after the other, all into shard 0 of two. A reader
 * from the beginning saw the first four; one opened after seqno 20 saw the next two. */
typedef struct fixture {
    history_put puts[COUNT];
    history_read truth[COUNT];
    history_read reads[COUNT];
    history_run runs[2];
    history of;
} fixture;

static int set_up(void **state)
{
    static fixture fx;

    memset(&fx, 0, sizeof fx);
    for (uint32_t i = 0; i < COUNT; i++) {
        fx.puts[i] = (history_put){.writer = i % 2, .number = i / 2, .seqno = 10 * (i + 1), .start_us = 100 * i,
                                   .end_us = 100 * i + 50};
        fx.truth[i] = (history_read){.seqno = 10 * (i + 1), .writer = i % 2, .number = i / 2};
    }
    memcpy(fx.reads, fx.truth, 4 * sizeof fx.truth[0]);
    memcpy(fx.reads + 4, fx.truth + 2, 2 * sizeof fx.truth[0]);
    fx.reads[4].run = fx.reads[5].run = 1;
    fx.runs[0] = (history_run){.run = 0};
    fx.runs[1] = (history_run){.run = 1, .after = 20};
    fx.of = (history){.puts = fx.puts, .put_count = COUNT, .truth = fx.truth, .truth_count = COUNT,
                      .reads = fx.reads, .read_count = COUNT, .runs = fx.runs, .run_count = 2, .shard_count = 2,
                      .quiet = true};
    *state = &fx;
    return 0;
}

static void drop_truth(fixture *fx, size_t index)
{
    memmove(fx->truth + index, fx->truth + index + 1, (COUNT - 1 - index) * sizeof fx->truth[0]);
    fx->of.truth_count--;
}

static void a_right_history_passes(void **state)
{
    fixture *fx = *state;

    assert_int_equal(history_check(&fx->of), 0);
}

static void an_unknown_put_may_be_there_or_not(void **state)
{
    fixture *fx = *state;

    fx->puts[5].seqno = 0;
    fx->puts[5].end_us = 0;
    assert_int_equal(history_check(&fx->of), 0);
    drop_truth(fx, 5);
    assert_int_equal(history_check(&fx->of), 0);
}

static void a_lost_acknowledged_put_is_seen(void **state)
{
    fixture *fx = *state;

    fx->of.read_count = 0;
    drop_truth(fx, 5);
    assert_int_equal(history_check(&fx->of), 1);
}

static void a_put_that_is_there_twice_is_seen(void **state)
{
    fixture *fx = *state;

    fx->of.read_count = 0;
    fx->puts[4].seqno = 0; /* Its outcome was unknown, and it came to be in two places. */
    fx->truth[5].writer = fx->truth[4].writer;
    fx->truth[5].number = fx->truth[4].number;
    fx->of.put_count--;
    assert_true(history_check(&fx->of) > 0);
}

static void a_number_given_twice_is_seen(void **state)
{
    fixture *fx = *state;

    fx->of.read_count = 0;
    fx->truth[5].seqno = fx->truth[4].seqno;
    assert_true(history_check(&fx->of) > 0);
}

static void a_record_nobody_put_is_seen(void **state)
{
    fixture *fx = *state;

    fx->of.read_count = 0;
    fx->puts[5].seqno = 0;
    fx->puts[5].number = 77;
    assert_true(history_check(&fx->of) > 0);
}

/* O2: the put of seqno 30 began after that of seqno 40 had returned. */
static void an_order_against_real_time_is_seen(void **state)
{
    fixture *fx = *state;

    fx->puts[2].start_us = 1000;
    fx->puts[2].end_us = 1050;
    assert_true(history_check(&fx->of) > 0);
}

/* O2 binds puts of unknown outcome too: seqno 10 is read, and its put began when others had returned. */
static void an_unknown_put_against_real_time_is_seen(void **state)
{
    fixture *fx = *state;

    fx->puts[0].seqno = 0;
    fx->puts[0].start_us = 1000;
    fx->puts[0].end_us = 0;
    assert_int_equal(history_check(&fx->of), 1);
}

static void puts_at_the_same_time_may_come_either_way(void **state)
{
    fixture *fx = *state;

    fx->puts[2].start_us = 340;
    fx->puts[2].end_us = 350; /* Beside that of seqno 40, which lasts from 300 to 350. */
    fx->puts[3].end_us = 350;
    assert_int_equal(history_check(&fx->of), 0);
}

static void a_writer_out_of_order_is_seen(void **state)
{
    fixture *fx = *state;

    fx->of.read_count = 0;
    for (size_t i = 0; i < COUNT; i++)
        fx->puts[i].start_us = 0; /* All at the same time, so that real time says nothing. */
    fx->puts[0].number = 1;
    fx->puts[2].number = 0;
    fx->truth[0].number = 1;
    fx->truth[2].number = 0;
    assert_int_equal(history_check(&fx->of), 1);
}

static void a_gap_in_what_a_reader_saw_is_seen(void **state)
{
    fixture *fx = *state;

    fx->reads[1] = fx->reads[2];
    fx->reads[2] = fx->reads[3];
    fx->reads[3] = fx->truth[4];
    assert_int_equal(history_check(&fx->of), 1);
}

static void a_repeat_in_what_a_reader_saw_is_seen(void **state)
{
    fixture *fx = *state;

    fx->reads[3] = fx->reads[2];
    assert_int_equal(history_check(&fx->of), 1);
}

static void a_reader_that_begins_too_late_is_seen(void **state)
{
    fixture *fx = *state;

    fx->runs[1].after = 10;
    assert_int_equal(history_check(&fx->of), 1);
}

/* D3: a reader saw what is gone afterwards. */
static void a_record_that_was_read_and_vanished_is_seen(void **state)
{
    fixture *fx = *state;

    fx->puts[3].seqno = 0;
    fx->puts[3].end_us = 0;
    drop_truth(fx, 3);
    assert_true(history_check(&fx->of) > 0);
}

static void half_of_an_atomic_batch_is_seen(void **state)
{
    fixture *fx = *state;

    fx->of.read_count = 0;
    fx->puts[3].group = fx->puts[5].group = 9; /* Both of writer 1, and not acknowledged. */
    fx->puts[3].seqno = fx->puts[5].seqno = 0;
    assert_int_equal(history_check(&fx->of), 0);
    drop_truth(fx, 5);
    assert_int_equal(history_check(&fx->of), 1);
}

/* Shard 0 was split into 1 and 2 after the first four puts; of the other two one went into each. */
static void split_after_four(fixture *fx)
{
    static history_shard shards[3] = {{{HISTORY_NO_SHARD, HISTORY_NO_SHARD}}, {{0, HISTORY_NO_SHARD}},
                                      {{0, HISTORY_NO_SHARD}}};

    for (uint32_t i = 4; i < COUNT; i++) {
        fx->puts[i].shard = fx->truth[i].shard = i - 3;
        fx->reads[i] = fx->truth[i];
        fx->reads[i].run = 0;
    }
    fx->runs[0].merged = 1;
    fx->of.shards = shards;
    fx->of.shard_count = 3;
}

static void a_right_history_of_a_split_passes(void **state)
{
    fixture *fx = *state;

    split_after_four(fx);
    assert_int_equal(history_check(&fx->of), 0);
}

static void a_child_that_is_shown_before_its_parents_end_is_seen(void **state)
{
    fixture *fx = *state;
    history_read last;

    split_after_four(fx);
    last = fx->reads[3];
    fx->reads[3] = fx->reads[4];
    fx->reads[4] = last;
    assert_int_equal(history_check(&fx->of), 1);
}

/* Number 2 of writer 0 came into the parent, and number 1 with the same key into the child. */
static void a_key_out_of_order_over_a_split_is_seen(void **state)
{
    fixture *fx = *state;

    split_after_four(fx);
    fx->of.read_count = 0;
    for (size_t i = 0; i < COUNT; i++)
        fx->puts[i].start_us = 0;
    fx->puts[2].number = fx->truth[2].number = 2;
    fx->puts[4].number = fx->truth[4].number = 1;
    assert_int_equal(history_check(&fx->of), 1);
    fx->puts[0].route = fx->puts[2].route = fx->puts[4].route = 0;
    for (size_t i = 0; i < COUNT; i++)
        if (fx->puts[i].writer == 0 && fx->puts[i].number == 1)
            fx->puts[i].route = 1; /* With another key it would be right. */
    assert_int_equal(history_check(&fx->of), 0);
}

static void a_child_whose_numbers_are_not_above_its_parents_is_seen(void **state)
{
    fixture *fx = *state;

    split_after_four(fx);
    fx->of.read_count = 0;
    fx->puts[5].seqno = fx->truth[5].seqno = 35;
    assert_int_equal(history_check(&fx->of), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_right_history_passes, set_up),
        cmocka_unit_test_setup(an_unknown_put_may_be_there_or_not, set_up),
        cmocka_unit_test_setup(a_lost_acknowledged_put_is_seen, set_up),
        cmocka_unit_test_setup(a_put_that_is_there_twice_is_seen, set_up),
        cmocka_unit_test_setup(a_number_given_twice_is_seen, set_up),
        cmocka_unit_test_setup(a_record_nobody_put_is_seen, set_up),
        cmocka_unit_test_setup(an_order_against_real_time_is_seen, set_up),
        cmocka_unit_test_setup(an_unknown_put_against_real_time_is_seen, set_up),
        cmocka_unit_test_setup(puts_at_the_same_time_may_come_either_way, set_up),
        cmocka_unit_test_setup(a_writer_out_of_order_is_seen, set_up),
        cmocka_unit_test_setup(a_gap_in_what_a_reader_saw_is_seen, set_up),
        cmocka_unit_test_setup(a_repeat_in_what_a_reader_saw_is_seen, set_up),
        cmocka_unit_test_setup(a_reader_that_begins_too_late_is_seen, set_up),
        cmocka_unit_test_setup(a_record_that_was_read_and_vanished_is_seen, set_up),
        cmocka_unit_test_setup(half_of_an_atomic_batch_is_seen, set_up),
        cmocka_unit_test_setup(a_right_history_of_a_split_passes, set_up),
        cmocka_unit_test_setup(a_child_that_is_shown_before_its_parents_end_is_seen, set_up),
        cmocka_unit_test_setup(a_key_out_of_order_over_a_split_is_seen, set_up),
        cmocka_unit_test_setup(a_child_whose_numbers_are_not_above_its_parents_is_seen, set_up),
    };

    return cmocka_run_group_tests_name("the history checker", tests, NULL, NULL);
}
