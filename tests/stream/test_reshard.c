/* stream/reshard.c: the rules of splitting and merging, at their edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "base/u128.h"
#include "stream/stream.h"

#define SHARDS_MAX 64
#define NOW_US INT64_C(1700000000500000)

typedef struct shards {
    lsi_shard at[SHARDS_MAX];
    uint32_t count;
} shards;

static const ls_hash_key zero = {0, 0};

static ls_hash_key key(uint64_t low)
{
    return (ls_hash_key){0, low};
}

static void add(shards *to, ls_hash_key first, ls_hash_key last)
{
    to->at[to->count] = (lsi_shard){.index = to->count, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD,
                                    .range = {first, last}, .first_seqno = 1, .created_us = 5000000};
    to->count++;
}

static shards equal(uint32_t count)
{
    shards made = {.count = 0};

    for (uint32_t i = 0; i < count; i++) {
        lsi_hash_range range = lsi_hash_range_of(i, count);

        add(&made, range.first, range.last);
    }
    return made;
}

static ls_status apply_at(shards *to, const lsi_reshard_step *steps, uint32_t count, int64_t now_us)
{
    shards after = {.count = 0};
    ls_status st = lsi_reshard_apply("s", to->at, to->count, steps, count, now_us, after.at, &after.count);

    if (st == LS_OK)
        *to = after;
    return st;
}

static ls_status split(shards *to, uint32_t shard, ls_hash_key at)
{
    lsi_reshard_step step = {shard, LSI_NO_SHARD, at};

    return apply_at(to, &step, 1, NOW_US);
}

static ls_status merge(shards *to, uint32_t a, uint32_t b)
{
    lsi_reshard_step step = {a, b, zero};

    return apply_at(to, &step, 1, NOW_US);
}

static void assert_range(const lsi_shard *shard, ls_hash_key first, ls_hash_key last)
{
    assert_int_equal(lsi_u128_compare(shard->range.first, first), 0);
    assert_int_equal(lsi_u128_compare(shard->range.last, last), 0);
}

/* H1 */
static void assert_covered(const shards *of)
{
    ls_hash_key firsts[SHARDS_MAX];
    uint32_t indexes[SHARDS_MAX], open;

    assert_int_equal(lsi_route_build(of->at, of->count, firsts, indexes, &open), LS_OK);
}

static void a_split_closes_the_parent_and_opens_two_children(void **state)
{
    shards of = equal(1);
    ls_hash_key half = {UINT64_C(1) << 63, 0};

    (void)state;
    assert_int_equal(split(&of, 0, half), LS_OK);
    assert_int_equal(of.count, 3);
    assert_true(of.at[0].closed);
    for (uint32_t i = 1; i < 3; i++) {
        assert_int_equal(of.at[i].index, i);
        assert_int_equal(of.at[i].parent, 0);
        assert_int_equal(of.at[i].adjacent_parent, LSI_NO_SHARD);
        assert_false(of.at[i].closed);
        assert_int_equal(of.at[i].created_us, NOW_US);
    }
    assert_range(&of.at[1], zero, lsi_u128_subtract(half, key(1)));
    assert_range(&of.at[2], half, LSI_U128_MAX);
    assert_covered(&of);
}

static void a_merge_makes_one_child_of_two(void **state)
{
    shards of = equal(3);

    (void)state;
    assert_int_equal(merge(&of, 1, 2), LS_OK);
    assert_int_equal(of.count, 4);
    assert_true(of.at[1].closed);
    assert_true(of.at[2].closed);
    assert_int_equal(of.at[3].parent, 1);
    assert_int_equal(of.at[3].adjacent_parent, 2);
    assert_range(&of.at[3], of.at[1].range.first, LSI_U128_MAX);
    assert_covered(&of);
    assert_int_equal(merge(&of, 0, 3), LS_OK);
    assert_range(&of.at[4], zero, LSI_U128_MAX);
    assert_covered(&of);
}

/* Goal: the service's bounds, S + 1 < N < E. Method: a shard [10, 14] among others, every N around it. */
static void a_split_leaves_two_keys_to_each_child(void **state)
{
    (void)state;
    for (uint64_t at = 0; at < 20; at++) {
        shards of = {.count = 0};

        add(&of, zero, key(9));
        add(&of, key(10), key(14));
        add(&of, key(15), LSI_U128_MAX);
        if (at == 12 || at == 13) {
            assert_int_equal(split(&of, 1, key(at)), LS_OK);
            assert_range(&of.at[3], key(10), key(at - 1));
            assert_range(&of.at[4], key(at), key(14));
            assert_covered(&of);
        } else {
            assert_int_equal(split(&of, 1, key(at)), LS_ERR_INVALID_ARGUMENT);
            assert_non_null(strstr(lsi_error_current()->message, "first key 10 and less than its last key 14"));
            assert_int_equal(of.count, 3);
        }
    }
}

/* Goal: narrow shards, at both ends of the key space. Method: ranges of one to four keys, every N in and around. */
static void a_narrow_range_is_split_only_when_four_wide(void **state)
{
    (void)state;
    for (uint64_t width = 1; width <= 4; width++)
        for (int at_top = 0; at_top < 2; at_top++)
            for (uint64_t at = 0; at <= width + 1; at++) {
                shards of = {.count = 0};
                ls_hash_key base = at_top ? lsi_u128_subtract(zero, key(width)) : zero;
                bool fits = width == 4 && at == 2;

                if (at_top)
                    add(&of, zero, lsi_u128_subtract(base, key(1)));
                add(&of, base, lsi_u128_add(base, key(width - 1)));
                if (!at_top)
                    add(&of, key(width), LSI_U128_MAX);
                assert_int_equal(split(&of, at_top ? 1 : 0, lsi_u128_add(base, key(at))),
                                 fits ? LS_OK : LS_ERR_INVALID_ARGUMENT);
                assert_covered(&of);
            }
}

static void the_ends_of_the_key_space_are_no_place_to_split(void **state)
{
    ls_hash_key last_but_one = {UINT64_MAX, UINT64_MAX - 1};
    shards of = equal(1);

    (void)state;
    assert_int_equal(split(&of, 0, zero), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(split(&of, 0, key(1)), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(split(&of, 0, LSI_U128_MAX), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(split(&of, 0, key(2)), LS_OK);
    assert_range(&of.at[1], zero, key(1));
    assert_int_equal(split(&of, 2, last_but_one), LS_OK);
    assert_range(&of.at[4], last_but_one, LSI_U128_MAX);
    assert_covered(&of);
}

static void only_neighbours_in_order_are_merged(void **state)
{
    shards of = equal(4);

    (void)state;
    for (uint32_t a = 0; a < 4; a++)
        for (uint32_t b = 0; b < 4; b++) {
            shards tried = of;

            assert_int_equal(merge(&tried, a, b), b == a + 1 ? LS_OK : LS_ERR_INVALID_ARGUMENT);
            assert_covered(&tried);
        }
    /* 2^128-1 is not followed by 0. */
    assert_int_equal(merge(&of, 3, 0), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(lsi_error_current()->message, "not an adjacent pair"));
}

static void a_closed_shard_is_neither_split_nor_merged(void **state)
{
    shards of = equal(2);

    (void)state;
    assert_int_equal(split(&of, 0, key(500)), LS_OK);
    assert_int_equal(split(&of, 0, key(500)), LS_ERR_STATE);
    assert_int_equal(merge(&of, 0, 1), LS_ERR_STATE);
    assert_non_null(strstr(lsi_error_current()->message, "shard 0 has been merged or split already"));
    assert_int_equal(merge(&of, 3, 1), LS_OK);
    assert_int_equal(merge(&of, 2, 1), LS_ERR_STATE);
    assert_covered(&of);
}

static void an_unknown_shard_is_not_found(void **state)
{
    shards of = equal(2);

    (void)state;
    assert_int_equal(split(&of, 2, key(500)), LS_ERR_NOT_FOUND);
    assert_int_equal(merge(&of, 1, 2), LS_ERR_NOT_FOUND);
    assert_int_equal(merge(&of, LSI_NO_SHARD - 1, 1), LS_ERR_NOT_FOUND);
}

/* Goal: several steps are one: all or none, and children of one are not parents of another. */
static void several_steps_are_one(void **state)
{
    shards of = equal(4), before = of;
    lsi_reshard_step steps[3] = {{2, 3, {0, 0}}, {0, LSI_NO_SHARD, {0, 77}}, {1, LSI_NO_SHARD, {0, 0}}};

    (void)state;
    steps[2].at = lsi_hash_range_middle(of.at[1].range);
    assert_int_equal(apply_at(&of, steps, 3, NOW_US), LS_OK);
    assert_int_equal(of.count, 9);
    assert_int_equal(of.at[4].parent, 2);
    assert_int_equal(of.at[4].adjacent_parent, 3);
    assert_int_equal(of.at[5].parent, 0);
    assert_int_equal(of.at[6].parent, 0);
    assert_int_equal(of.at[8].parent, 1);
    assert_covered(&of);

    of = before;
    steps[2] = (lsi_reshard_step){0, LSI_NO_SHARD, {0, 88}}; /* twice the same parent */
    assert_int_equal(apply_at(&of, steps, 3, NOW_US), LS_ERR_STATE);
    steps[2] = (lsi_reshard_step){4, LSI_NO_SHARD, {0, 88}}; /* the first one's child */
    assert_int_equal(apply_at(&of, steps, 3, NOW_US), LS_ERR_NOT_FOUND);
    assert_memory_equal(&of, &before, sizeof of);
}

static int64_t second_of(const lsi_shard *shard)
{
    return (shard->created_us - (shard->created_us < 0 ? 999999 : 0)) / 1000000; /* downwards */
}

/* H2. Method: merge and split again and again, within one second and with clocks that stand still and step back. */
static void a_child_is_created_in_a_later_second_than_its_parents(void **state)
{
    static const int64_t clocks[] = {NOW_US, NOW_US, NOW_US - 900000000, -3500000, NOW_US + 1000000};
    shards of = equal(2);

    (void)state;
    of.at[0].created_us = -1500000; /* second -2 */
    of.at[1].created_us = -4000000;
    assert_int_equal(apply_at(&of, &(lsi_reshard_step){0, 1, {0, 0}}, 1, -1400000), LS_OK);
    assert_int_equal(of.at[2].created_us, -1000000);
    assert_int_equal(apply_at(&of, &(lsi_reshard_step){2, LSI_NO_SHARD, {1, 0}}, 1, NOW_US), LS_OK);
    assert_int_equal(of.at[3].created_us, NOW_US);
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        uint32_t child = of.count;
        lsi_reshard_step step = {child - 2, child - 1, {0, 0}};

        assert_int_equal(apply_at(&of, &step, 1, clocks[i]), LS_OK);
        assert_true(second_of(&of.at[child]) > second_of(&of.at[child - 1]));
        step = (lsi_reshard_step){child, LSI_NO_SHARD, {1, 0}};
        assert_int_equal(apply_at(&of, &step, 1, clocks[i]), LS_OK);
        assert_true(second_of(&of.at[child + 1]) > second_of(&of.at[child]));
        assert_int_equal(of.at[child + 1].created_us, of.at[child + 2].created_us);
    }
    assert_covered(&of);
}

/* Goal: the limits. Method: a stream whose newest shard has the last index there is. */
static void indexes_are_never_used_again(void **state)
{
    shards of = equal(2);

    (void)state;
    of.at[1].index = LSI_SHARD_INDEX_END - 2;
    assert_int_equal(split(&of, 0, key(500)), LS_ERR_STATE);
    assert_int_equal(merge(&of, 0, LSI_SHARD_INDEX_END - 2), LS_OK);
    assert_int_equal(of.at[2].index, LSI_SHARD_INDEX_END - 1);
    assert_int_equal(split(&of, LSI_SHARD_INDEX_END - 1, key(500)), LS_ERR_STATE);
}

static void no_more_than_65536_shards_are_open(void **state)
{
    lsi_shard *many = calloc(LSI_SHARD_COUNT_MAX + 2, sizeof *many), *after;
    lsi_reshard_step step = {7, LSI_NO_SHARD, {0, 0}};
    uint32_t count;

    (void)state;
    after = calloc(LSI_SHARD_COUNT_MAX + 2, sizeof *after);
    assert_non_null(many);
    assert_non_null(after);
    for (uint32_t i = 0; i < LSI_SHARD_COUNT_MAX; i++)
        many[i] = (lsi_shard){.index = i, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD,
                              .range = lsi_hash_range_of(i, LSI_SHARD_COUNT_MAX)};
    step.at = lsi_hash_range_middle(many[7].range);
    assert_int_equal(lsi_reshard_apply("s", many, LSI_SHARD_COUNT_MAX, &step, 1, 0, after, &count), LS_ERR_STATE);
    assert_int_equal(lsi_reshard_apply("s", many, LSI_SHARD_COUNT_MAX - 1, &step, 1, 0, after, &count), LS_OK);
    assert_int_equal(count, LSI_SHARD_COUNT_MAX + 1);
    free(many);
    free(after);
}

static void the_middle_halves_a_range(void **state)
{
    lsi_hash_range whole = {{0, 0}, LSI_U128_MAX}, odd = {{0, 10}, {0, 14}}, across = {{0, UINT64_MAX}, {1, 4}};
    ls_hash_key middle = lsi_hash_range_middle(whole);

    (void)state;
    assert_true(middle.high == UINT64_C(1) << 63 && middle.low == 0);
    middle = lsi_hash_range_middle(odd);
    assert_true(middle.high == 0 && middle.low == 13);
    middle = lsi_hash_range_middle(across); /* six keys: three and three */
    assert_true(middle.high == 1 && middle.low == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_split_closes_the_parent_and_opens_two_children),
        cmocka_unit_test(a_merge_makes_one_child_of_two),
        cmocka_unit_test(a_split_leaves_two_keys_to_each_child),
        cmocka_unit_test(a_narrow_range_is_split_only_when_four_wide),
        cmocka_unit_test(the_ends_of_the_key_space_are_no_place_to_split),
        cmocka_unit_test(only_neighbours_in_order_are_merged),
        cmocka_unit_test(a_closed_shard_is_neither_split_nor_merged),
        cmocka_unit_test(an_unknown_shard_is_not_found),
        cmocka_unit_test(several_steps_are_one),
        cmocka_unit_test(a_child_is_created_in_a_later_second_than_its_parents),
        cmocka_unit_test(indexes_are_never_used_again),
        cmocka_unit_test(no_more_than_65536_shards_are_open),
        cmocka_unit_test(the_middle_halves_a_range),
    };

    return cmocka_run_group_tests_name("the rules of splitting and merging", tests, NULL, NULL);
}
