/* stream/scale.c: from any shards to any number of equal ones, by steps that are legal, few, and come to an end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/u128.h"
#include "stream/stream.h"

typedef struct stream {
    lsi_shard *shards;
    ls_hash_key *firsts;
    uint32_t *indexes;
    uint32_t count, capacity;
    uint32_t open;
    uint32_t splits, merges, most_open;
} stream;

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void make_room(stream *of, uint32_t more)
{
    if (of->count + more > of->capacity) {
        of->capacity = 2 * (of->count + more);
        of->shards = realloc(of->shards, of->capacity * sizeof *of->shards);
        of->firsts = realloc(of->firsts, of->capacity * sizeof *of->firsts);
        of->indexes = realloc(of->indexes, of->capacity * sizeof *of->indexes);
        assert_true(of->shards != NULL && of->firsts != NULL && of->indexes != NULL);
    }
}

static lsi_route route_of(stream *of)
{
    assert_int_equal(lsi_route_build(of->shards, of->count, of->firsts, of->indexes, &of->open), LS_OK);
    return (lsi_route){of->open, of->firsts, of->indexes};
}

static stream begin(uint32_t count)
{
    stream made = {.count = 0};

    make_room(&made, count);
    for (uint32_t i = 0; i < count; i++)
        made.shards[made.count++] = (lsi_shard){.index = i, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD,
                                                .range = lsi_hash_range_of(i, count)};
    return made;
}

static void end(stream *of)
{
    free(of->shards);
    free(of->firsts);
    free(of->indexes);
}

/* Applies them; every step must be legal (W1), and all together. Closed shards are forgotten: only the open ones count,
 * and a stream of 65,536 would take long otherwise. */
static void apply(stream *of, const lsi_reshard_step *steps, uint32_t count)
{
    lsi_shard *after;
    uint32_t kept = 0, now;

    make_room(of, 2 * count);
    after = malloc(of->capacity * sizeof *after);
    assert_non_null(after);
    assert_int_equal(lsi_reshard_apply("s", of->shards, of->count, steps, count, 0, after, &now), LS_OK);
    for (uint32_t i = 0; i < now; i++)
        if (!after[i].closed)
            of->shards[kept++] = after[i];
    of->count = kept;
    free(after);
    for (uint32_t i = 0; i < count; i++) {
        of->splits += steps[i].adjacent == LSI_NO_SHARD;
        of->merges += steps[i].adjacent != LSI_NO_SHARD;
    }
    if (kept > of->most_open)
        of->most_open = kept;
}

/* Goes all the way; then the shards are as good as equal. */
static void scale(stream *of, uint32_t target)
{
    lsi_reshard_step steps[LSI_RESHARD_STEPS_MAX];
    uint32_t rounds = 0, count;

    of->splits = of->merges = 0;
    of->most_open = of->count;
    for (;;) {
        lsi_route route = route_of(of);

        count = lsi_scale_steps(&route, target, steps);
        if (count == 0)
            break;
        apply(of, steps, count);
        assert_true(++rounds <= target + 2 * 70000); /* W2 */
    }
    assert_int_equal(of->open, target);
    for (uint32_t i = 0; i < target; i++) {
        ls_hash_key wanted = lsi_hash_range_of(i, target).first, is = of->firsts[i];
        ls_hash_key off = lsi_u128_compare(wanted, is) < 0 ? lsi_u128_subtract(is, wanted)
                                                           : lsi_u128_subtract(wanted, is);

        assert_true(off.high == 0 && off.low <= 2 * LSI_SHARD_COUNT_MAX);
    }
}

static void every_number_is_reached_from_every_other(void **state)
{
    (void)state;
    for (uint32_t from = 1; from <= 24; from++)
        for (uint32_t to = 1; to <= 24; to++) {
            stream of = begin(from);

            scale(&of, to);
            if (to == from)
                assert_int_equal(of.splits + of.merges, 0);
            /* Every bound that is wanted and not there is a split, every one that is there and not wanted a merge. */
            if (to % from == 0)
                assert_true(of.splits == to - from && of.merges == 0);
            if (from % to == 0)
                assert_true(of.merges == from - to && of.splits == 0);
            assert_true(of.splits <= to - 1 && of.merges <= from - 1);
            end(&of);
        }
}

/* Rounding is no reason to reshard: 3 equal shards become 6 by three splits, and 3 again by three merges. */
static void doubling_and_halving_again_and_again_costs_no_more_each_time(void **state)
{
    stream of = begin(3);

    (void)state;
    for (int i = 0; i < 5; i++) {
        scale(&of, 6);
        assert_true(of.splits == 3 && of.merges == 0);
        scale(&of, 12);
        assert_true(of.splits == 6 && of.merges == 0);
        scale(&of, 3);
        assert_true(of.splits == 0 && of.merges == 9);
    }
    end(&of);
}

/* Goal: shards that people made. Method: random bounds, some next to each other, to a wanted bound, or to an end of the
 * keys; every number up to 12. */
static void uneven_shards_become_equal(void **state)
{
    uint64_t random = 5;

    (void)state;
    for (int round = 0; round < 400; round++) {
        uint32_t target = 1 + (uint32_t)(random_next(&random) % 12);
        stream of = begin(1);

        for (int i = 0; i < 12; i++) {
            lsi_route route = route_of(&of);
            ls_hash_key at = {random_next(&random), random_next(&random)};
            lsi_reshard_step step = {.adjacent = LSI_NO_SHARD};
            const lsi_shard *parent;

            if (random_next(&random) % 2 == 0) /* by a wanted bound, or by 0 */
                at = lsi_u128_add(lsi_hash_range_of((uint32_t)(random_next(&random) % target), target).first,
                                  (ls_hash_key){0, random_next(&random) % 40});
            if (random_next(&random) % 4 == 0)
                at = lsi_u128_subtract(at, (ls_hash_key){0, random_next(&random) % 200000});
            step.shard = lsi_route_find(&route, at);
            step.at = at;
            parent = lsi_shard_find(of.shards, of.count, step.shard);
            if (lsi_u128_compare(at, parent->range.last) < 0 &&
                lsi_u128_compare(lsi_u128_subtract(at, parent->range.first), (ls_hash_key){0, 1}) > 0)
                apply(&of, &step, 1);
        }
        scale(&of, target);
        assert_true(of.splits <= target - 1);
        end(&of);
    }
}

/* W3. Method: numbers at and near the limit that share no bounds, the first steps of the way. */
static void the_limit_is_kept_on_the_way(void **state)
{
    static const uint32_t ways[][2] = {{65521, 65536}, {65536, 65521}, {65536, 60000}, {65530, 65536}};

    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        stream of = begin(ways[i][0]);
        lsi_reshard_step steps[LSI_RESHARD_STEPS_MAX];

        for (int round = 0; round < 20; round++) {
            lsi_route route = route_of(&of);
            uint32_t count = lsi_scale_steps(&route, ways[i][1], steps);

            assert_true(count > 0);
            apply(&of, steps, count); /* refused beyond the limit */
        }
        assert_true(of.splits > 100 && of.merges > 100);
        end(&of);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_is_reached_from_every_other),
        cmocka_unit_test(doubling_and_halving_again_and_again_costs_no_more_each_time),
        cmocka_unit_test(uneven_shards_become_equal),
        cmocka_unit_test(the_limit_is_kept_on_the_way),
    };

    return cmocka_run_group_tests_name("the way to equal shards", tests, NULL, NULL);
}
