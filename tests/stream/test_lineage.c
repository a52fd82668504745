/* stream/lineage.c: the routing table, of good shard lists and of damaged ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/u128.h"
#include "stream/stream.h"

#define SHARDS_MAX 600

typedef struct table {
    lsi_shard shards[SHARDS_MAX];
    uint32_t count;
    ls_hash_key firsts[SHARDS_MAX];
    uint32_t indexes[SHARDS_MAX];
    uint32_t open_count;
} table;

static table t; /* too large for a stack, and no test needs two */

static void add(lsi_hash_range range, uint32_t index)
{
    t.shards[t.count++] = (lsi_shard){.index = index, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD,
                                      .range = range};
}

static void add_equal(uint32_t count)
{
    t.count = 0;
    for (uint32_t i = 0; i < count; i++)
        add(lsi_hash_range_of(i, count), i);
}

static ls_status build(void)
{
    t.open_count = 77;
    return lsi_route_build(t.shards, t.count, t.firsts, t.indexes, &t.open_count);
}

static uint32_t find(ls_hash_key key)
{
    lsi_route route = {t.open_count, t.firsts, t.indexes};

    return lsi_route_find(&route, key);
}

/* The only open shard whose range holds the key, by looking at all of them. */
static uint32_t find_slowly(ls_hash_key key)
{
    uint32_t found = LSI_NO_SHARD;

    for (uint32_t i = 0; i < t.count; i++) {
        if (!t.shards[i].closed && lsi_hash_range_contains(t.shards[i].range, key)) {
            assert_int_equal(found, LSI_NO_SHARD);
            found = t.shards[i].index;
        }
    }
    return found;
}

/* Goal: at both ends of every range the search finds its shard. Method: 1 to 40 and 600 shards, listed in an order
 * shuffled by a fixed generator, against looking at all. */
static void each_key_finds_its_shard_in_any_order_of_the_list(void **state)
{
    uint32_t random = 1;

    (void)state;
    for (uint32_t count = 1; count <= SHARDS_MAX; count += count < 40 ? 1 : 560) {
        add_equal(count);
        for (uint32_t i = count; i-- > 1;) {
            lsi_shard swapped = t.shards[i];
            uint32_t other;

            random = random * 1664525u + 1013904223u;
            other = (random >> 8) % (i + 1);
            t.shards[i] = t.shards[other];
            t.shards[other] = swapped;
        }
        assert_int_equal(build(), LS_OK);
        assert_int_equal(t.open_count, count);
        for (uint32_t i = 1; i < count; i++)
            assert_true(lsi_u128_compare(t.firsts[i - 1], t.firsts[i]) < 0);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(find(t.shards[i].range.first), t.shards[i].index);
            assert_int_equal(find(t.shards[i].range.last), t.shards[i].index);
            assert_int_equal(find_slowly(t.shards[i].range.last), t.shards[i].index);
        }
    }
}

/* Goal: closed shards take no keys; their children do. Method: of two shards the first was split, the second is
 * open. */
static void closed_shards_are_left_out(void **state)
{
    lsi_hash_range half = lsi_hash_range_of(0, 2);

    (void)state;
    add_equal(2);
    t.shards[0].closed = true;
    add((lsi_hash_range){half.first, lsi_hash_range_of(0, 4).last}, 2);
    add((lsi_hash_range){lsi_hash_range_of(1, 4).first, half.last}, 3);
    assert_int_equal(build(), LS_OK);
    assert_int_equal(t.open_count, 3);
    assert_int_equal(find((ls_hash_key){0, 0}), 2);
    assert_int_equal(find(half.last), 3);
    assert_int_equal(find(LSI_U128_MAX), 1);
}

/* Goal: a list that leaves a key without a place, or with two, is damage, and is told without a table. Method: each way
 * to break three equal shards. */
static void gaps_and_overlaps_are_damage(void **state)
{
    const ls_hash_key one = {0, 1};

    (void)state;
    add_equal(3);
    t.shards[0].range.first = one;
    assert_int_equal(build(), LS_ERR_CORRUPT); /* 0 has no place */
    add_equal(3);
    t.shards[1].range.first = lsi_u128_add(t.shards[1].range.first, one);
    assert_int_equal(build(), LS_ERR_CORRUPT); /* a gap of one */
    add_equal(3);
    t.shards[1].range.first = lsi_u128_subtract(t.shards[1].range.first, one);
    assert_int_equal(build(), LS_ERR_CORRUPT); /* an overlap of one */
    add_equal(3);
    t.shards[2].range.last = lsi_u128_subtract(LSI_U128_MAX, one);
    assert_int_equal(build(), LS_ERR_CORRUPT); /* 2^128-1 has no place */
    add_equal(3);
    t.shards[1].closed = true;
    assert_int_equal(build(), LS_ERR_CORRUPT);
    add_equal(3);
    t.shards[2].closed = true;
    assert_int_equal(build(), LS_ERR_CORRUPT);
    add_equal(3);
    add(lsi_hash_range_of(1, 3), 3);
    assert_int_equal(build(), LS_ERR_CORRUPT); /* twice the same */
    add_equal(1);
    add(lsi_hash_range_of(0, 1), 1);
    assert_int_equal(build(), LS_ERR_CORRUPT); /* twice the whole */
    add_equal(2);
    t.shards[1].range.last = (ls_hash_key){0, 5};
    assert_int_equal(build(), LS_ERR_CORRUPT); /* ends before it begins */
    assert_int_equal(t.open_count, 77);
}

static void a_list_without_open_shards_is_damage(void **state)
{
    (void)state;
    add_equal(1);
    t.shards[0].closed = true;
    assert_int_equal(build(), LS_ERR_CORRUPT);
    t.count = 0;
    assert_int_equal(build(), LS_ERR_CORRUPT);
}

static void an_empty_table_finds_no_shard(void **state)
{
    lsi_route route = {0, NULL, NULL};

    (void)state;
    assert_int_equal(lsi_route_find(&route, (ls_hash_key){0, 0}), LSI_NO_SHARD);
}

int main(void)
{
    const struct CMUnitTest routing[] = {
        cmocka_unit_test(each_key_finds_its_shard_in_any_order_of_the_list),
        cmocka_unit_test(closed_shards_are_left_out),
        cmocka_unit_test(gaps_and_overlaps_are_damage),
        cmocka_unit_test(a_list_without_open_shards_is_damage),
        cmocka_unit_test(an_empty_table_finds_no_shard),
    };

    return cmocka_run_group_tests(routing, NULL, NULL);
}
