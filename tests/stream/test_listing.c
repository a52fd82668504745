/* stream/listing.c: which shards the filters show, at every moment of a long lineage and over several pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/u128.h"
#include "stream/stream.h"

#define SHARDS_MAX 128

typedef struct lineage {
    lsi_shard shards[SHARDS_MAX];
    uint32_t count;
    int64_t now_us;
    uint64_t random;
} lineage;

static uint64_t random_below(lineage *of, uint64_t bound)
{
    uint64_t z = of->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % bound;
}

static lineage begin(uint32_t count, uint64_t seed)
{
    lineage made = {.count = count, .now_us = 1000, .random = seed};

    for (uint32_t i = 0; i < count; i++)
        made.shards[i] = (lsi_shard){.index = i, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD,
                                     .range = lsi_hash_range_of(i, count), .first_seqno = 1, .created_us = 1000};
    return made;
}

/* One step, whose parents end now. Time goes on by 0 to 2 us, so that steps share moments. */
static void step(lineage *of, lsi_reshard_step what)
{
    lsi_shard after[SHARDS_MAX];
    uint32_t count = 0, had = of->count;

    of->now_us += (int64_t)random_below(of, 3);
    assert_int_equal(lsi_reshard_apply("s", of->shards, of->count, &what, 1, of->now_us, after, &count), LS_OK);
    for (uint32_t i = 0; i < had; i++)
        if (after[i].closed && !of->shards[i].closed) {
            after[i].closed_us = of->now_us;
            after[i].last_seqno = 9;
        }
    memcpy(of->shards, after, sizeof after);
    of->count = count;
}

/* Splits an open shard, or merges two neighbours. */
static void random_step(lineage *of)
{
    uint32_t open[SHARDS_MAX], indexes[SHARDS_MAX], count;
    ls_hash_key firsts[SHARDS_MAX];
    lsi_reshard_step what = {.adjacent = LSI_NO_SHARD};
    uint32_t at;

    assert_int_equal(lsi_route_build(of->shards, of->count, firsts, indexes, &count), LS_OK);
    memcpy(open, indexes, sizeof open);
    at = (uint32_t)random_below(of, count);
    what.shard = open[at];
    if (count > 1 && random_below(of, 3) == 0) {
        at = at + 1 == count ? 0 : at;
        what.shard = open[at];
        what.adjacent = open[at + 1];
    } else {
        what.at = lsi_hash_range_middle(lsi_shard_find(of->shards, of->count, what.shard)->range);
    }
    step(of, what);
}

static uint32_t take(const lineage *of, const lsi_listing *listing, uint32_t limit, uint32_t *positions, bool *more)
{
    bool closed[SHARDS_MAX];

    return lsi_listing_take(listing, of->shards, of->count, limit, positions, closed, more);
}

/* The shards at these positions cover every key exactly once. */
static void assert_covers(const lineage *of, const uint32_t *positions, uint32_t count)
{
    lsi_shard chosen[SHARDS_MAX];
    ls_hash_key firsts[SHARDS_MAX];
    uint32_t indexes[SHARDS_MAX], open;

    for (uint32_t i = 0; i < count; i++) {
        chosen[i] = of->shards[positions[i]];
        chosen[i].closed = false;
        assert_true(i == 0 || positions[i] > positions[i - 1]);
    }
    assert_int_equal(lsi_route_build(chosen, count, firsts, indexes, &open), LS_OK);
    assert_int_equal(open, count);
}

/* Goal: what consumers count on. Method: random lineages, every moment from before the first to after the last. */
static void the_shards_of_any_moment_cover_every_key_once(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        lineage of = begin(1 + (uint32_t)(seed % 4), seed);

        while (of.count + 2 < 60)
            random_step(&of);
        for (int64_t t = 990; t < of.now_us + 5; t++) {
            lsi_listing listing = {.end = of.shards[of.count - 1].index + 1, .is_moment = true, .from_us = t};
            uint32_t positions[SHARDS_MAX];
            bool more;

            assert_covers(&of, positions, take(&of, &listing, SHARDS_MAX, positions, &more));
            assert_false(more);
        }
    }
}

static void from_a_moment_on_shows_what_was_there_then_or_later(void **state)
{
    lineage of = begin(1, 7);
    uint32_t positions[SHARDS_MAX], count;
    bool more;

    (void)state;
    of.now_us = 2000;
    while (of.count < 41)
        random_step(&of);
    for (int64_t t = 1990; t < of.now_us + 5; t++) {
        lsi_listing listing = {.end = of.count, .from_us = t};
        uint32_t expected = 0;

        count = take(&of, &listing, SHARDS_MAX, positions, &more);
        for (uint32_t i = 0; i < of.count; i++)
            if (!of.shards[i].closed || of.shards[i].closed_us >= t)
                assert_int_equal(positions[expected++], i);
        assert_int_equal(count, expected);
    }
}

static void open_shards_are_those_of_the_latest_moment(void **state)
{
    lineage of = begin(3, 8);
    lsi_listing listing = {.is_moment = true, .from_us = INT64_MAX};
    uint32_t positions[SHARDS_MAX], count;
    bool more;

    (void)state;
    for (int i = 0; i < 20; i++)
        random_step(&of);
    listing.end = of.count;
    count = take(&of, &listing, SHARDS_MAX, positions, &more);
    assert_covers(&of, positions, count);
    for (uint32_t i = 0; i < count; i++)
        assert_false(of.shards[positions[i]].closed);
}

/* Goal: pages of one listing are of one stream. Method: every kind of listing, by pages of 1, 2 and 5, with a reshard
 * before each page; against the same taken at once before. */
static void pages_show_the_stream_of_the_first_one(void **state)
{
    static const int64_t moments[] = {1000, 1010, 1020, INT64_MAX};

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++)
        for (int kind = 0; kind < 8; kind++)
            for (uint32_t limit = 1; limit <= 5; limit += 1 + limit) {
                lineage of = begin(2, seed);
                uint32_t all[SHARDS_MAX], positions[SHARDS_MAX], count, got = 0;
                lsi_listing listing;
                bool more = true;

                while (of.count < 30)
                    random_step(&of);
                listing = (lsi_listing){.end = of.count, .is_moment = kind < 4, .from_us = moments[kind % 4]};
                if (kind == 7)
                    listing = (lsi_listing){.end = of.count, .from_us = INT64_MIN, .first = 9};
                count = take(&of, &listing, SHARDS_MAX, all, &more);
                more = true;
                while (more) {
                    uint32_t taken = take(&of, &listing, limit, positions, &more);

                    assert_true(taken == limit || !more);
                    assert_true(got + taken <= count);
                    assert_memory_equal(positions, all + got, taken * sizeof *positions);
                    got += taken;
                    if (taken > 0)
                        listing.first = of.shards[positions[taken - 1]].index + 1;
                    if (of.count < SHARDS_MAX - 2)
                        random_step(&of);
                }
                assert_int_equal(got, count);
            }
}

/* A parent that is not listed any more was over before everything that is. */
static void a_shard_whose_parents_are_gone_was_always_there(void **state)
{
    lineage of = begin(1, 3);
    lsi_listing listing = {.is_moment = true, .from_us = 5};
    uint32_t positions[SHARDS_MAX];
    bool more;

    (void)state;
    step(&of, (lsi_reshard_step){0, LSI_NO_SHARD, {7, 7}});
    memmove(of.shards, of.shards + 1, 2 * sizeof *of.shards);
    of.count = 2;
    listing.end = 3;
    assert_int_equal(take(&of, &listing, SHARDS_MAX, positions, &more), 2);
    assert_covers(&of, positions, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shards_of_any_moment_cover_every_key_once),
        cmocka_unit_test(from_a_moment_on_shows_what_was_there_then_or_later),
        cmocka_unit_test(open_shards_are_those_of_the_latest_moment),
        cmocka_unit_test(pages_show_the_stream_of_the_first_one),
        cmocka_unit_test(a_shard_whose_parents_are_gone_was_always_there),
    };

    return cmocka_run_group_tests_name("listing shards", tests, NULL, NULL);
}
