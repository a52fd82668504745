/* What an owner notes of the batches that he tries in words beside his lease (N3 to N5): it counts for who has the row
 * as it was, or as he has just written it; whatever is torn, damaged or somebody else's does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "consume/lease/lease.h"
#include "consume/trial_support.h"

#define OWNER UINT64_C(0x1234567890abcd)
#define COUNTER 7u
#define SHARD 3u

typedef struct fixture {
    lsi_budget_word words[LSI_LEASE_WORDS];
    lsi_engine_count tried[LSI_ENGINE_COUNTS];
    lsi_lease_notes notes;
    lsi_lease_row row;
} fixture;

static void begin(fixture *fx)
{
    memset(fx, 0, sizeof *fx);
    atomic_store(&fx->words[LSI_LEASE_HOLDER], OWNER);
    fx->notes = (lsi_lease_notes){.words = fx->words, .tried = fx->tried, .ticket = OWNER, .counter = COUNTER,
                                  .shard = SHARD};
    fx->row = (lsi_lease_row){.place = {SHARD, LSI_LEASE_HORIZON}, .owner = OWNER, .counter = COUNTER};
}

static lsi_trials tried(const fixture *fx, bool is_gone)
{
    lsi_trials out;

    (void)lsi_lease_tried(fx->tried, &fx->row, 0, is_gone, &out);
    return out;
}

/* All that a trial can be, one of each for each lane. */
static lsi_trial trial_of(uint32_t lane)
{
    return (lsi_trial){.first = {100 + lane, lane % 3 == 1 ? 0xabcd0000 + lane : 0},
                       .count = lane == 9 ? 0 : LSI_TRIAL_RECORDS_MAX - lane,
                       .rest = lane * 1000,
                       .attempts = lane * 1001,
                       .is_begun = lane % 2 == 0,
                       .is_unhandled = lane % 3 == 0,
                       .is_reported = lane % 3 == 1};
}

static void each_lane_has_its_place(void **state)
{
    lsi_trials all;
    fixture fx;

    (void)state;
    begin(&fx);
    assert_int_equal(tried(&fx, true).count, 0);
    for (uint32_t lane = 0; lane < LSI_TRIAL_LANES_MAX; lane++) {
        const lsi_trial trial = trial_of(lane);

        lsi_lease_try(&fx.notes, lane, &trial);
    }
    all = tried(&fx, true);
    assert_int_equal(all.count, LSI_TRIAL_LANES_MAX);
    for (uint32_t lane = 0; lane < LSI_TRIAL_LANES_MAX; lane++) {
        const lsi_trial trial = trial_of(lane);

        assert_same_trial(&all.at[lane], &trial);
    }
    for (uint32_t lane = 0; lane < LSI_TRIAL_LANES_MAX; lane++) {
        lsi_lease_try(&fx.notes, lane, NULL);
        assert_int_equal(tried(&fx, true).count, LSI_TRIAL_LANES_MAX - 1 - lane);
    }
    for (uint32_t i = 0; i < LSI_LEASE_TRIED; i++) /* those of running.c */
        assert_int_equal(atomic_load(&fx.tried[i]), 0);
}

/* Goal: N6; and where a row is full, a death counts all the same. */
static void a_death_finds_room_and_other_settings_begin_anew(void **state)
{
    lsi_trial trial = {.first = {5, 0}, .count = 3, .is_begun = true};
    lsi_trials all;
    fixture fx;

    (void)state;
    begin(&fx);
    fx.row.trials.count = LSI_TRIALS_MAX;
    for (uint32_t i = 0; i < LSI_TRIALS_MAX; i++)
        fx.row.trials.at[i] = (lsi_trial){.first = {100 + i, 0}, .count = 1, .attempts = i == 7 ? 1 : 2 + i};
    fx.row.trials.at[9] = (lsi_trial){.first = {300, 0}, .is_over = true, .last = {301, 0}};
    lsi_lease_try(&fx.notes, 0, &trial);
    assert_true(lsi_lease_tried(fx.tried, &fx.row, 0, true, &all));
    assert_int_equal(all.count, LSI_TRIALS_MAX);
    assert_same_trial(&all.at[7], &trial); /* Instead of the one of which least is known. */
    assert_true(all.at[9].is_over);
    assert_false(lsi_lease_tried(fx.tried, &fx.row, 1, true, &all));
    assert_int_equal(all.count, 0);
    fx.row.routing = fx.notes.routing = 1;
    assert_false(lsi_lease_tried(fx.tried, &fx.row, 1, true, &all)); /* The words are of before. */
    assert_int_equal(all.count, LSI_TRIALS_MAX);
    lsi_lease_try(&fx.notes, 0, &trial);
    assert_true(lsi_lease_tried(fx.tried, &fx.row, 1, true, &all));
}

static void more_attempts_than_fit_are_many(void **state)
{
    lsi_trial trial = trial_of(1);
    lsi_trials all;
    fixture fx;

    (void)state;
    begin(&fx);
    trial.attempts = UINT32_MAX;
    lsi_lease_try(&fx.notes, 1, &trial);
    all = tried(&fx, true);
    assert_int_equal(all.count, 1);
    trial.attempts = 16383;
    assert_same_trial(&all.at[0], &trial);
}

static void only_of_the_dead_something_has_failed(void **state)
{
    lsi_trial trial = trial_of(2);
    lsi_trials all = {.count = 0};
    fixture fx;

    (void)state;
    begin(&fx);
    lsi_lease_try(&fx.notes, 2, &trial);
    assert_true(lsi_lease_tried(fx.tried, &fx.row, 0, true, &all));
    assert_false(lsi_lease_tried(fx.tried, &fx.row, 0, false, &all));
    assert_int_equal(all.count, 1);
    trial.is_begun = false;
    assert_same_trial(&all.at[0], &trial);
    lsi_lease_try(&fx.notes, 2, &trial);
    assert_false(lsi_lease_tried(fx.tried, &fx.row, 0, true, &all));
    assert_false(lsi_lease_tried(NULL, &fx.row, 0, true, &all)); /* There are no words. */
}

/* What is noted is newer than the row; what is finished goes. */
static void the_row_has_the_rest(void **state)
{
    const lsi_trial in_row[] = {{.first = {101, 0}, .count = 3, .attempts = 1},
                                {.first = {102, 0}, .count = 4, .attempts = 5},
                                {.first = {90, 0}, .count = 1, .attempts = 2}};
    const lsi_trial noted = {.first = {101, 0}, .count = 3, .attempts = 2};
    lsi_trials all;
    fixture fx;

    (void)state;
    begin(&fx);
    fx.row.trials.count = 3;
    memcpy(fx.row.trials.at, in_row, sizeof in_row);
    fx.row.place.kind = LSI_LEASE_NUMBER;
    fx.row.seqno = 90;
    fx.row.sub_seqno = UINT32_MAX;
    lsi_lease_try(&fx.notes, 0, &noted);
    all = tried(&fx, true);
    assert_int_equal(all.count, 2);
    assert_same_trial(&all.at[0], &noted);
    assert_same_trial(&all.at[1], &in_row[1]);
    fx.row.seqno = 102;
    fx.row.sub_seqno = 0;
    all = tried(&fx, true); /* One of its user records is finished; it begins with the second. */
    assert_int_equal(all.count, 1);
    fx.row.sub_seqno = UINT32_MAX;
    assert_int_equal(tried(&fx, true).count, 0);
}

static void it_counts_while_the_row_is_written_and_not_for_long(void **state)
{
    const lsi_trial trial = trial_of(0);
    fixture fx;

    (void)state;
    begin(&fx);
    lsi_lease_try(&fx.notes, 0, &trial);
    fx.row.counter = COUNTER + 1;
    assert_int_equal(tried(&fx, true).count, 1);
    fx.row.counter = COUNTER + 2; /* Moved, and taken again by the same one. */
    assert_int_equal(tried(&fx, true).count, 0);
    fx.row.counter = COUNTER - 1;
    assert_int_equal(tried(&fx, true).count, 0);
}

static void anothers_counts_for_nobody(void **state)
{
    const lsi_trial trial = trial_of(0), other = trial_of(1);
    fixture fx;

    (void)state;
    begin(&fx);
    lsi_lease_try(&fx.notes, 0, &trial);
    fx.row.owner = OWNER + 1;
    assert_int_equal(tried(&fx, true).count, 0);
    fx.row.owner = 0;
    assert_int_equal(tried(&fx, true).count, 0);
    fx.row.owner = OWNER;
    fx.row.place.shard++;
    assert_int_equal(tried(&fx, true).count, 0);
    fx.row.place.shard--;
    atomic_store(&fx.words[LSI_LEASE_HOLDER], OWNER + 1); /* He has lost it, and knows nothing of that yet. */
    lsi_lease_try(&fx.notes, 0, &other);
    lsi_lease_try(&fx.notes, 0, NULL);
    assert_int_equal(tried(&fx, true).count, 1);
    assert_same_trial(&tried(&fx, true).at[0], &trial);
    fx.notes.tried = NULL;
    lsi_lease_try(&fx.notes, 0, &other);
}

/* Method: every bit of every word is turned, and each word set to 0, as a death between two stores may leave it. A sum
 * of 19 bits does not see everything, but all of these. */
static void a_damaged_one_is_not_believed(void **state)
{
    const lsi_trial trial = trial_of(4);
    fixture fx;

    (void)state;
    begin(&fx);
    lsi_lease_try(&fx.notes, 4, &trial);
    for (uint32_t word = LSI_LEASE_TRIED; word < LSI_LEASE_TRIED_WORDS; word++)
        for (uint32_t bit = 0; bit <= 64; bit++) {
            uint64_t was = atomic_load(&fx.tried[word]);
            bool is_whole = true;

            atomic_store(&fx.tried[word], bit < 64 ? was ^ UINT64_C(1) << bit : 0);
            if (word == LSI_LEASE_TRIED + 8 || word == LSI_LEASE_TRIED + 9)
                is_whole = false;
            else if (word == LSI_LEASE_TRIED_PARTS + 2) /* its halves are of one lane each */
                is_whole = bit >= 32 && (bit < 64 || trial.first.part == 0);
            assert_int_equal(tried(&fx, true).count, is_whole);
            atomic_store(&fx.tried[word], was);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_lane_has_its_place),
        cmocka_unit_test(a_death_finds_room_and_other_settings_begin_anew),
        cmocka_unit_test(more_attempts_than_fit_are_many),
        cmocka_unit_test(only_of_the_dead_something_has_failed),
        cmocka_unit_test(the_row_has_the_rest),
        cmocka_unit_test(it_counts_while_the_row_is_written_and_not_for_long),
        cmocka_unit_test(anothers_counts_for_nobody),
        cmocka_unit_test(a_damaged_one_is_not_believed),
    };

    return cmocka_run_group_tests_name("what is tried of a lease", tests, NULL, NULL);
}
