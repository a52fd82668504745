/* stream/autoscale.c: which shard is split and which two are merged, to the last second and byte; and that garbage in
 * what is remembered never makes a step that is not legal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "base/u128.h"
#include "stream/stream.h"

#define SECOND INT64_C(1000000)
#define START (5000 * SECOND)
#define PAUSE (10 * SECOND)
#define SHARDS 4u
#define LIMIT (UINT64_C(1) << 20)

static lsi_auto_scaling by;
static lsi_rates rates;
static lsi_load_of_shard shards[SHARDS];
static int64_t now;

static int fresh(void **state)
{
    (void)state;
    by = LSI_AUTO_SCALING_DEFAULT;
    rates = LSI_RATES_DEFAULT;
    memset(shards, 0, sizeof shards);
    for (uint32_t i = 0; i < SHARDS; i++) {
        shards[i].shard = 7 + i;
        shards[i].range = lsi_hash_range_of(i, SHARDS);
    }
    now = START;
    return 0;
}

/* A look after `us` in which each shard was written so many percent of its bytes. */
static bool look(int64_t us, const unsigned percent[SHARDS], lsi_auto_step *out)
{
    now += us;
    for (uint32_t i = 0; i < SHARDS; i++)
        shards[i].bytes += LIMIT * (uint64_t)(us / 1000) / 1000 * percent[i] / 100;
    return lsi_auto_scale(&by, &rates, shards, SHARDS, now, out);
}

static const unsigned still[SHARDS] = {30, 30, 30, 30};

/* ---- splitting ---- */

static void what_is_hot_for_60_seconds_is_split_in_the_middle(void **state)
{
    static const unsigned hot[SHARDS] = {30, 81, 30, 30};
    lsi_auto_step step;

    (void)state;
    assert_int_equal(lsi_auto_scaling_pause_us(&by), PAUSE);
    assert_false(look(0, still, &step));
    for (int i = 0; i < 5; i++)
        assert_false(look(PAUSE, hot, &step));
    assert_false(look(PAUSE - 1, hot, &step));
    assert_true(look(PAUSE, hot, &step)); /* and again chosen if it is not done */
    assert_true(look(PAUSE, hot, &step));
    assert_int_equal(step.step.shard, 8);
    assert_int_equal(step.step.adjacent, LSI_NO_SHARD);
    assert_int_equal(lsi_u128_compare(step.step.at, lsi_hash_range_middle(shards[1].range)), 0);
    assert_int_equal(step.position, 1);
    assert_in_range(step.percent, 80, 81);
    assert_int_equal(step.since_us, START);
}

static void exactly_at_the_threshold_is_not_above_it(void **state)
{
    lsi_auto_step step;

    (void)state;
    for (int over = 0; over < 2; over++) {
        bool chosen = false;

        (void)fresh(NULL);
        (void)look(0, still, &step);
        for (int i = 0; i < 8; i++) {
            shards[2].records += 8000 + 10 * (uint64_t)over; /* 800 or 801 of 1,000 a second */
            chosen = look(PAUSE, still, &step);
        }
        assert_int_equal(chosen, over);
    }
}

static void records_count_as_bytes_do(void **state)
{
    static const unsigned half[SHARDS] = {50, 50, 50, 50};
    lsi_auto_step step;

    (void)state;
    (void)look(0, still, &step);
    for (int i = 0; i < 6; i++) {
        shards[3].records += 9000;
        assert_int_equal(look(PAUSE, half, &step), i == 5);
    }
    assert_int_equal(step.step.shard, 10);
    assert_int_equal(step.percent, 90);
}

static void a_pause_in_the_heat_begins_it_anew(void **state)
{
    static const unsigned hot[SHARDS] = {30, 30, 30, 300}, less[SHARDS] = {30, 30, 30, 79};
    lsi_auto_step step;

    (void)state;
    (void)look(0, still, &step);
    for (int i = 0; i < 5; i++)
        assert_false(look(PAUSE, hot, &step));
    assert_false(look(PAUSE, less, &step));
    for (int i = 0; i < 5; i++)
        assert_false(look(PAUSE, hot, &step));
    assert_true(look(PAUSE, hot, &step));
}

static void the_hottest_goes_first(void **state)
{
    static const unsigned hot[SHARDS] = {90, 30, 170, 95};
    lsi_auto_step step;

    (void)state;
    (void)look(0, still, &step);
    for (int i = 0; i < 6; i++)
        (void)look(PAUSE, hot, &step);
    assert_int_equal(step.step.shard, 9);
}

/* A4: however much was written meanwhile. */
static void a_time_that_nobody_looked_at_makes_nobody_hot(void **state)
{
    static const unsigned hot[SHARDS] = {30, 30, 30, 5000};
    lsi_auto_step step;

    (void)state;
    (void)look(0, still, &step);
    for (int i = 0; i < 10; i++)
        assert_false(look(30 * SECOND + 1000, hot, &step));
    assert_false(look(30 * SECOND, hot, &step));
    assert_true(look(30 * SECOND, hot, &step));
}

static void nothing_is_split_beyond_the_most(void **state)
{
    static const unsigned hot[SHARDS] = {90, 90, 90, 90};
    lsi_auto_step step;

    (void)state;
    by.shards_max = SHARDS;
    (void)look(0, still, &step);
    for (int i = 0; i < 20; i++)
        assert_false(look(PAUSE, hot, &step));
    by.shards_max = SHARDS + 1;
    assert_true(look(PAUSE, hot, &step));
}

/* A child has two keys at least. */
static void what_is_too_narrow_is_not_split(void **state)
{
    static const unsigned hot[SHARDS] = {30, 30, 200, 90};
    lsi_auto_step step;

    (void)state;
    for (uint64_t keys = 1; keys <= 4; keys++) {
        (void)fresh(NULL);
        shards[2].range.last = lsi_u128_add(shards[2].range.first, (ls_hash_key){0, keys - 1});
        (void)look(0, still, &step);
        for (int i = 0; i < 6; i++)
            (void)look(PAUSE, hot, &step);
        assert_int_equal(step.step.shard, keys < 4 ? 10 : 9);
    }
}

/* ---- merging ---- */

static void what_is_cold_for_15_minutes_is_merged(void **state)
{
    static const unsigned cold[SHARDS] = {30, 12, 12, 30};
    lsi_auto_step step;

    (void)state;
    (void)look(0, still, &step);
    for (int i = 0; i < 89; i++)
        assert_false(look(PAUSE, cold, &step));
    assert_false(look(PAUSE - 1, cold, &step));
    assert_true(look(1 * SECOND, cold, &step));
    assert_int_equal(step.step.shard, 8);
    assert_int_equal(step.step.adjacent, 9);
    assert_int_equal(step.position, 1);
    assert_in_range(step.percent, 23, 24);
}

static void both_together_count(void **state)
{
    static const unsigned each[2][SHARDS] = {{20, 6, 20, 20}, {20, 4, 20, 20}};
    lsi_auto_step step;

    (void)state;
    for (int k = 0; k < 2; k++) {
        bool chosen = false;

        (void)fresh(NULL);
        (void)look(0, still, &step);
        for (int i = 0; i < 100; i++)
            chosen = look(PAUSE, each[k], &step);
        assert_int_equal(chosen, k);
    }
}

static void the_coldest_pair_goes_first_and_a_split_before_it(void **state)
{
    static const unsigned cold[SHARDS] = {10, 10, 3, 0}, hot[SHARDS] = {90, 10, 3, 0};
    lsi_auto_step step;

    (void)state;
    (void)look(0, still, &step);
    for (int i = 0; i < 90; i++)
        (void)look(PAUSE, cold, &step);
    assert_int_equal(step.step.shard, 9);
    assert_int_equal(step.step.adjacent, 10);
    for (int i = 0; i < 6; i++)
        assert_true(look(PAUSE, hot, &step));
    assert_int_equal(step.step.shard, 7);
    assert_int_equal(step.step.adjacent, LSI_NO_SHARD);
}

static void nothing_is_merged_below_the_fewest(void **state)
{
    static const unsigned cold[SHARDS] = {0, 0, 0, 0};
    lsi_auto_step step;

    (void)state;
    by.shards_min = SHARDS;
    (void)look(0, still, &step);
    for (int i = 0; i < 200; i++)
        assert_false(look(PAUSE, cold, &step));
    by.shards_min = SHARDS - 1;
    assert_true(look(PAUSE, cold, &step));
}

static void another_neighbour_begins_anew(void **state)
{
    static const unsigned cold[SHARDS] = {30, 30, 1, 1};
    lsi_auto_step step;

    (void)state;
    (void)look(0, still, &step);
    for (int i = 0; i < 89; i++)
        assert_false(look(PAUSE, cold, &step));
    shards[3].shard = 44; /* a child of the one that was there */
    shards[3].load = (lsi_shard_load){0};
    for (int i = 0; i < 90; i++)
        assert_false(look(PAUSE, cold, &step));
    assert_true(look(PAUSE, cold, &step));
    assert_int_equal(step.step.adjacent, 44);
}

/* Who has not been recovered since somebody was alone is one that nobody writes to. */
static void an_untouched_shard_is_cold(void **state)
{
    static const unsigned none[SHARDS] = {30, 0, 0, 30};
    lsi_auto_step step;

    (void)state;
    for (int i = 0; i < 91; i++) {
        shards[1].bytes = shards[2].bytes = LSI_LOAD_UNTOUCHED;
        now += i == 0 ? 0 : PAUSE;
        shards[0].bytes += LIMIT * 3;
        shards[3].bytes += LIMIT * 3;
        assert_int_equal(lsi_auto_scale(&by, &rates, shards, SHARDS, now, &step), i == 90);
    }
    assert_int_equal(step.step.shard, 8);
    shards[1].bytes = shards[2].bytes = UINT64_C(1) << 40; /* It is touched: that is no load. */
    assert_false(look(PAUSE, none, &step));
}

/* ---- A3 ---- */

/* Two halves of what was just hot are not cold, the child of what was cold is not hot. */
static void neither_undoes_the_other(void **state)
{
    static const unsigned halves[SHARDS] = {41, 41, 41, 41};
    lsi_auto_step step;

    (void)state;
    (void)look(0, still, &step);
    for (int i = 0; i < 500; i++)
        assert_false(look(PAUSE, halves, &step));
}

/* ---- A1 ---- */

static uint64_t random_next(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t garbage(uint64_t *seed)
{
    static const uint64_t odd[] = {0, 1, UINT64_MAX, UINT64_C(1) << 63, INT64_MAX, START, START - 1, START + 1};

    switch (random_next(seed) % 3) {
    case 0:
        return odd[random_next(seed) % 8];
    case 1:
        return (uint64_t)START - random_next(seed) % (uint64_t)(2000 * SECOND);
    default:
        return random_next(seed);
    }
}

static void whatever_is_remembered_what_is_chosen_is_legal(void **state)
{
    lsi_shard list[SHARDS], after[SHARDS + 2];
    uint64_t seed = 20261121;
    uint32_t chosen = 0, count;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        lsi_auto_step step;

        (void)fresh(NULL);
        by.shards_max = 3 + (uint32_t)(random_next(&seed) % 3);
        by.shards_min = 1 + (uint32_t)(random_next(&seed) % by.shards_max);
        for (uint32_t i = 0; i < SHARDS; i++) {
            shards[i].bytes = garbage(&seed);
            shards[i].records = garbage(&seed);
            shards[i].load = (lsi_shard_load){(int64_t)garbage(&seed), garbage(&seed), garbage(&seed),
                                        (int64_t)garbage(&seed), (int64_t)garbage(&seed), (uint32_t)garbage(&seed)};
            list[i] = (lsi_shard){.index = 7 + i, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD,
                                  .range = shards[i].range, .first_seqno = 1};
        }
        if (!lsi_auto_scale(&by, &rates, shards, SHARDS, now, &step))
            continue;
        chosen++;
        assert_int_equal(lsi_reshard_apply("s", list, SHARDS, &step.step, 1, 0, after, &count), LS_OK);
        assert_true(step.step.adjacent == LSI_NO_SHARD ? SHARDS < by.shards_max : SHARDS > by.shards_min);
        assert_int_equal(shards[step.position].shard, step.step.shard);
    }
    assert_true(chosen > 100);
}

/* ---- the figures ---- */

static void figures_out_of_range_are_refused_by_name(void **state)
{
    static const struct {
        lsi_auto_scaling of;
        const char *word; /* NULL: it is accepted */
    } cases[] = {
        {{0}, NULL},
        {{.hot_percent = 1}, "hot_percent is 1"},
        {{.hot_percent = 2, .cold_percent = 1}, NULL},
        {{.hot_percent = 25}, "cold_percent is 25"},
        {{.hot_percent = 26}, NULL},
        {{.hot_percent = 10000}, NULL},
        {{.hot_percent = 10001}, "hot_percent is 10001"},
        {{.cold_percent = 79}, NULL},
        {{.cold_percent = 80}, "cold_percent is 80"},
        {{.hot_seconds = 604800, .cold_seconds = 604800}, NULL},
        {{.hot_seconds = 604801}, "hot_seconds is 604801"},
        {{.cold_seconds = 604801}, "cold_seconds 604801"},
        {{.shards_min = 65536}, NULL},
        {{.shards_min = 65537}, "shards_min is 65537"},
        {{.shards_max = 65537}, "shards_max 65537"},
        {{.shards_min = 5, .shards_max = 4}, "shards_min is 5"},
        {{.shards_min = 4, .shards_max = 4}, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lsi_auto_scaling all = lsi_auto_scaling_resolve(cases[i].of);
        ls_status st = lsi_check_auto_scaling(&all);

        assert_true(lsi_auto_scaling_is_on(&all));
        assert_int_equal(st, cases[i].word == NULL ? LS_OK : LS_ERR_INVALID_ARGUMENT);
        if (cases[i].word != NULL && strstr(ls_last_error_message(), cases[i].word) == NULL)
            fail_msg("'%s' does not say '%s'", ls_last_error_message(), cases[i].word);
    }
}

static void looks_are_a_sixth_of_the_shorter_time_apart(void **state)
{
    static const struct {
        uint32_t hot, cold;
        int64_t us;
    } cases[] = {{60, 900, PAUSE}, {1, 900, SECOND}, {6, 900, SECOND}, {7, 900, 7 * SECOND / 6}, {600, 60, PAUSE}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        by.hot_seconds = cases[i].hot;
        by.cold_seconds = cases[i].cold;
        assert_int_equal(lsi_auto_scaling_pause_us(&by), cases[i].us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_hot_for_60_seconds_is_split_in_the_middle, fresh),
        cmocka_unit_test_setup(exactly_at_the_threshold_is_not_above_it, fresh),
        cmocka_unit_test_setup(records_count_as_bytes_do, fresh),
        cmocka_unit_test_setup(a_pause_in_the_heat_begins_it_anew, fresh),
        cmocka_unit_test_setup(the_hottest_goes_first, fresh),
        cmocka_unit_test_setup(a_time_that_nobody_looked_at_makes_nobody_hot, fresh),
        cmocka_unit_test_setup(nothing_is_split_beyond_the_most, fresh),
        cmocka_unit_test_setup(what_is_too_narrow_is_not_split, fresh),
        cmocka_unit_test_setup(what_is_cold_for_15_minutes_is_merged, fresh),
        cmocka_unit_test_setup(both_together_count, fresh),
        cmocka_unit_test_setup(the_coldest_pair_goes_first_and_a_split_before_it, fresh),
        cmocka_unit_test_setup(nothing_is_merged_below_the_fewest, fresh),
        cmocka_unit_test_setup(another_neighbour_begins_anew, fresh),
        cmocka_unit_test_setup(an_untouched_shard_is_cold, fresh),
        cmocka_unit_test_setup(neither_undoes_the_other, fresh),
        cmocka_unit_test_setup(whatever_is_remembered_what_is_chosen_is_legal, fresh),
        cmocka_unit_test_setup(figures_out_of_range_are_refused_by_name, fresh),
        cmocka_unit_test_setup(looks_are_a_sixth_of_the_shorter_time_apart, fresh),
    };

    return cmocka_run_group_tests_name("automatic scaling", tests, NULL, NULL);
}
