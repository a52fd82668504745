/* The rules of leases: the table of the Kinesis Client Library's specification, random histories of splits and merges
 * that are worked through to their end, and workers that come, go and balance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consume/lease/rules.h"

#define MOST 64u

/* ---- the specification's graph ---- */

/*  0 1 2 3 4   5       up to epoch 102
 *  \ / \ / |   |
 *   6   7  4   5       103..205
 *    \ /   |  / \
 *     8    4 9  10     from 206, open */
static const lsi_shard graph[] = {
    {.index = 0, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD, .closed = true, .closed_us = 102},
    {.index = 1, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD, .closed = true, .closed_us = 102},
    {.index = 2, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD, .closed = true, .closed_us = 102},
    {.index = 3, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD, .closed = true, .closed_us = 102},
    {.index = 4, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD},
    {.index = 5, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD, .closed = true, .closed_us = 205},
    {.index = 6, .parent = 0, .adjacent_parent = 1, .closed = true, .created_us = 103, .closed_us = 205},
    {.index = 7, .parent = 2, .adjacent_parent = 3, .closed = true, .created_us = 103, .closed_us = 205},
    {.index = 8, .parent = 6, .adjacent_parent = 7, .created_us = 206},
    {.index = 9, .parent = 5, .adjacent_parent = LSI_NO_SHARD, .created_us = 206},
    {.index = 10, .parent = 5, .adjacent_parent = LSI_NO_SHARD, .created_us = 206},
};
#define GRAPH_COUNT (uint32_t)(sizeof graph / sizeof graph[0])

static uint32_t rows_of(const char *text, lsi_lease_place *rows)
{
    uint32_t count = 0;

    for (const char *at = text; *at != '\0'; at += *at == ' ') {
        char *end;

        rows[count++] = (lsi_lease_place){.shard = (uint32_t)strtoul(at, &end, 10), .kind = LSI_LEASE_NUMBER};
        at = end;
    }
    return count;
}

static const char *told(const uint32_t *shards, uint32_t count)
{
    static char text[256];

    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%u", i > 0 ? " " : "", shards[i]);
    return text;
}

/* Goal: the table of spec/kcl.md, section 6, and what it says of a group without rows. */
static void rows_are_made_as_the_specification_says(void **state)
{
    static const struct {
        const char *rows;
        lsi_lease_start start;
        const char *made;
    } cases[] = {
        {"4 5 7", {LSI_START_LATEST, 0}, "6"},
        {"4 5 7", {LSI_START_HORIZON, 0}, "0 1"},
        {"4 5 7", {LSI_START_TIME, 200}, "0 1"},
        {"", {LSI_START_HORIZON, 0}, "0 1 2 3 4 5"},
        {"", {LSI_START_LATEST, 0}, "4 8 9 10"},
        {"", {LSI_START_TIME, 50}, "0 1 2 3 4 5"},
        {"", {LSI_START_TIME, 200}, "4 5 6 7"},
        {"", {LSI_START_TIME, 206}, "4 8 9 10"},
        {"4 8 9 10", {LSI_START_HORIZON, 0}, ""},
        {"4 6 7 9", {LSI_START_LATEST, 0}, "10"},
        {"0 1 2 3 4 5", {LSI_START_HORIZON, 0}, ""},
        {"4 9", {LSI_START_LATEST, 0}, "8 10"},
        {"0 1 4 5", {LSI_START_HORIZON, 0}, "2 3"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lsi_lease_place rows[MOST];
        lsi_lease_mark marks[MOST];
        uint32_t made[MOST], count = rows_of(cases[i].rows, rows);

        count = lsi_lease_missing(graph, GRAPH_COUNT, rows, count, cases[i].start, marks, made);
        if (strcmp(told(made, count), cases[i].made) != 0)
            fail_msg("with rows '%s' case %zu makes '%s', not '%s'", cases[i].rows, i, told(made, count),
                     cases[i].made);
    }
}

/* Trap 11: a merged child waits for both parents, also for one whose own row is still to come. */
static void what_came_before_is_worked_on_first(void **state)
{
    lsi_lease_place rows[] = {{0, LSI_LEASE_NUMBER}, {1, LSI_LEASE_END}, {5, LSI_LEASE_END},
                              {7, LSI_LEASE_END},    {8, LSI_LEASE_HORIZON}};
    bool waits[MOST];

    (void)state;
    lsi_lease_waiting(graph, GRAPH_COUNT, rows, 5, waits);
    assert_false(waits[0]);
    assert_true(waits[6]);
    assert_true(waits[8]); /* 6 has no row, and 0 is under way */
    assert_false(waits[9]);
    rows[0].kind = LSI_LEASE_END;
    lsi_lease_waiting(graph, GRAPH_COUNT, rows, 5, waits);
    assert_false(waits[6]);
    assert_false(waits[8]);
}

static void an_ended_shard_leaves_its_work_to_its_heirs(void **state)
{
    lsi_lease_place rows[MOST];
    uint32_t out[LSI_LEASE_HEIRS_MAX];
    bool covered[MOST];

    (void)state;
    assert_string_equal(told(out, lsi_lease_heirs(graph, GRAPH_COUNT, rows, rows_of("4 5 7", rows), 5, covered, out)),
                        "9 10");
    assert_string_equal(told(out, lsi_lease_heirs(graph, GRAPH_COUNT, rows, rows_of("5 9", rows), 5, covered, out)),
                        "10");
    assert_string_equal(told(out, lsi_lease_heirs(graph, GRAPH_COUNT, rows, rows_of("0 1 7", rows), 7, covered, out)),
                        "8"); /* 6 comes when 0 or 1 ends */
    assert_string_equal(told(out, lsi_lease_heirs(graph, GRAPH_COUNT, rows, rows_of("7", rows), 7, covered, out)),
                        "6 8");
    assert_string_equal(told(out, lsi_lease_heirs(graph, GRAPH_COUNT, rows, rows_of("4", rows), 4, covered, out)), "");
}

/* Trap 11: parent rows go only once every child has progressed. */
static void rows_go_when_every_child_was_begun(void **state)
{
    lsi_lease_place rows[] = {{5, LSI_LEASE_END}, {9, LSI_LEASE_NUMBER}, {10, LSI_LEASE_HORIZON},
                              {11, LSI_LEASE_NUMBER}};

    (void)state;
    assert_false(lsi_lease_is_over(graph, GRAPH_COUNT, rows, 4, 0));
    assert_false(lsi_lease_is_over(graph, GRAPH_COUNT, rows, 4, 1));
    assert_true(lsi_lease_is_over(graph, GRAPH_COUNT, rows, 4, 3)); /* the stream has no such shard any more */
    rows[2].kind = LSI_LEASE_NUMBER;
    assert_true(lsi_lease_is_over(graph, GRAPH_COUNT, rows, 4, 0));
    rows[0].kind = LSI_LEASE_NUMBER;
    assert_false(lsi_lease_is_over(graph, GRAPH_COUNT, rows, 4, 0));
}

/* ---- whole histories ---- */

static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % below;
}

static uint32_t pick_open(const lsi_shard *shards, uint32_t count)
{
    uint32_t at = draw(count);

    while (shards[at].closed)
        at = (at + 1) % count;
    return at;
}

/* A split or a merge, at `now`. */
static uint32_t reshard(lsi_shard *shards, uint32_t count, int64_t now)
{
    uint32_t a = pick_open(shards, count), b = pick_open(shards, count);

    shards[a].closed = shards[b].closed = true;
    shards[a].closed_us = shards[b].closed_us = now;
    shards[count] = (lsi_shard){.index = count, .parent = a, .adjacent_parent = a != b ? b : LSI_NO_SHARD,
                                .created_us = now};
    if (a != b)
        return count + 1;
    shards[count + 1] = shards[count];
    shards[count + 1].index = count + 1;
    return count + 2;
}

static void add_row(lsi_lease_place *rows, uint32_t *count, uint32_t shard, lsi_lease_kind kind)
{
    uint32_t at = *count;

    for (; at > 0 && rows[at - 1].shard > shard; at--)
        rows[at] = rows[at - 1];
    assert_true(at == 0 || rows[at - 1].shard != shard);
    rows[at] = (lsi_lease_place){shard, kind};
    ++*count;
}

/* Works on one shard that need not wait; ends it if it is closed. False: there is nothing to do. */
static bool work(const lsi_shard *shards, uint32_t count, lsi_lease_place *rows, uint32_t *row_count, uint32_t *ended,
                 uint32_t *order)
{
    bool waits[MOST], covered[MOST];
    uint32_t heirs[LSI_LEASE_HEIRS_MAX], heir_count, first = *row_count != 0 ? draw(*row_count) : 0;

    lsi_lease_waiting(shards, count, rows, *row_count, waits);
    for (uint32_t i = 0; i < *row_count; i++) {
        lsi_lease_place *row = &rows[(first + i) % *row_count];
        uint32_t shard = row->shard;

        if (row->kind == LSI_LEASE_END || waits[shard] || (!shards[shard].closed && row->kind == LSI_LEASE_NUMBER))
            continue;
        if (row->kind == LSI_LEASE_HORIZON) {
            row->kind = LSI_LEASE_NUMBER; /* It is begun, once. */
            assert_int_equal(ended[shard], 0);
            ended[shard] = ++*order;
            for (uint32_t p = 0; p < 2; p++) {
                uint32_t parent = p == 0 ? shards[shard].parent : shards[shard].adjacent_parent;

                assert_true(parent == LSI_NO_SHARD || ended[parent] < ended[shard]);
            }
            return true;
        }
        heir_count = lsi_lease_heirs(shards, count, rows, *row_count, shard, covered, heirs);
        row->kind = LSI_LEASE_END;
        for (uint32_t k = 0; k < heir_count; k++)
            add_row(rows, row_count, heirs[k], LSI_LEASE_HORIZON);
        return true;
    }
    return false;
}

/* Goal: with whatever history and beginning, each shard that was alive at the beginning or later is worked on once,
 * after its parents, and none before. Method: random splits and merges, before and while a group works; rows that are
 * over go, and the look for missing rows never finds any. */
static void every_shard_is_worked_on_once_after_its_parents(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        lsi_shard shards[MOST];
        lsi_lease_place rows[MOST];
        lsi_lease_mark marks[MOST];
        uint32_t made[MOST], begun[MOST] = {0}, order = 0, row_count = 0, count;
        lsi_lease_start start = {LSI_START_HORIZON, 0};
        int64_t now = 1;

        random_state = seed;
        count = 1 + draw(3);
        for (uint32_t i = 0; i < count; i++)
            shards[i] = (lsi_shard){.index = i, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD};
        for (uint32_t left = draw(8); left > 0; left--)
            count = reshard(shards, count, now += 10);
        start.kind = (lsi_lease_start_kind)draw(3);
        start.us = 1 + draw((uint32_t)now + 10);
        for (uint32_t left = 4 + draw(8);;) {
            uint32_t missing;

            if (left > 0 && draw(6) == 0) {
                count = reshard(shards, count, now += 10);
                left--;
            }
            missing = lsi_lease_missing(shards, count, rows, row_count, start, marks, made);
            if (row_count != 0 && missing != 0)
                fail_msg("seed %u: shard %u has no row", (unsigned)seed, made[0]);
            if (row_count == 0) {
                for (uint32_t i = 0; i < missing; i++)
                    add_row(rows, &row_count, made[i], LSI_LEASE_HORIZON);
                start.us = start.kind == LSI_START_LATEST ? now + 1 : start.us;
            }
            if (!work(shards, count, rows, &row_count, begun, &order) && left == 0)
                break;
            for (uint32_t i = 0; i < row_count; i++)
                if (lsi_lease_is_over(shards, count, rows, row_count, i)) {
                    memmove(&rows[i], &rows[i + 1], (row_count - i - 1) * sizeof rows[0]);
                    row_count--;
                    break;
                }
        }
        for (uint32_t i = 0; i < count; i++) {
            bool is_due = !shards[i].closed || start.kind == LSI_START_HORIZON || shards[i].closed_us >= start.us;

            if ((begun[i] != 0) != is_due)
                fail_msg("seed %u: shard %u was %sworked on", (unsigned)seed, i, is_due ? "not " : "");
        }
    }
}

/* ---- who takes which ---- */

typedef struct world {
    lsi_lease_seen seen[MOST];
    uint32_t count;
} world;

/* A turn of one worker; whom it asks gives at once. How many it took or was given. */
static uint32_t turn(world *of, uint64_t me, uint32_t most)
{
    lsi_lease_worker workers[MOST + 1];
    uint32_t picks[MOST], chosen;
    bool is_asking;

    chosen = lsi_lease_choose(of->seen, of->count, me, most, draw(1u << 30), workers, picks, &is_asking);
    for (uint32_t i = 0; i < chosen; i++) {
        assert_true(is_asking != of->seen[picks[i]].is_free);
        assert_true(of->seen[picks[i]].owner != me || of->seen[picks[i]].is_free);
        of->seen[picks[i]].owner = me;
        of->seen[picks[i]].is_free = of->seen[picks[i]].is_old = false;
    }
    return chosen;
}

static uint32_t count_of(const world *of, uint64_t worker)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < of->count; i++)
        count += of->seen[i].owner == worker && !of->seen[i].is_free;
    return count;
}

static void settle(world *of, uint32_t workers)
{
    uint32_t quiet = 0;

    for (uint32_t round = 0; quiet < workers; round++) {
        quiet = turn(of, 1 + round % workers, UINT32_MAX) == 0 ? quiet + 1 : 0;
        assert_true(round < 10000);
    }
}

/* Goal: with stable membership counts differ by one at most, however workers came and went; and then nothing moves. */
static void counts_differ_by_one_at_most(void **state)
{
    (void)state;
    random_state = 7;
    for (uint32_t leases = 0; leases <= 13; leases++) {
        world of = {.count = leases};

        for (uint32_t i = 0; i < leases; i++)
            of.seen[i].is_free = true;
        for (uint32_t workers = 1; workers <= 6; workers++) {
            settle(&of, workers);
            for (uint64_t w = 1; w <= workers; w++)
                assert_in_range(count_of(&of, w), leases / workers, (leases + workers - 1) / workers);
        }
        for (uint32_t workers = 5; workers >= 1; workers--) { /* the last one goes */
            for (uint32_t i = 0; i < leases; i++)
                of.seen[i].is_free = of.seen[i].is_free || of.seen[i].owner == workers + 1;
            settle(&of, workers);
            for (uint64_t w = 1; w <= workers; w++)
                assert_in_range(count_of(&of, w), leases / workers, (leases + workers - 1) / workers);
        }
    }
}

/* kcl.md 3.1: a worker takes no more than its share, nor more than its limit, but the old ones whatever its share. */
static void a_worker_takes_its_share_and_what_is_old(void **state)
{
    world of = {.count = 10};

    (void)state;
    for (uint32_t i = 0; i < 10; i++)
        of.seen[i] = i < 4 ? (lsi_lease_seen){.owner = 2} : (lsi_lease_seen){.is_free = true};
    assert_int_equal(turn(&of, 1, UINT32_MAX), 5);
    of.seen[9] = (lsi_lease_seen){.is_free = true};
    assert_int_equal(turn(&of, 3, 0), 0);
    for (uint32_t i = 0; i < 10; i++)
        of.seen[i] = (lsi_lease_seen){.owner = i < 5 ? 1 : 2};
    of.seen[8] = (lsi_lease_seen){.owner = 2, .is_free = true, .is_old = true};
    assert_int_equal(turn(&of, 1, UINT32_MAX), 1); /* more than its share, as nobody else did */
    assert_int_equal(count_of(&of, 1), 6);
    of.seen[9] = (lsi_lease_seen){.is_free = true, .is_old = true};
    assert_int_equal(turn(&of, 1, 6), 0);
    of.count = 0;
    assert_int_equal(turn(&of, 1, UINT32_MAX), 0);
}

/* What those cannot take who have a limit the others do, beyond their share. */
static void others_take_what_limits_leave(void **state)
{
    world of = {.count = 8};

    (void)state;
    for (uint32_t i = 0; i < 8; i++)
        of.seen[i] = i == 0 ? (lsi_lease_seen){.owner = 2} : (lsi_lease_seen){.is_free = true};
    assert_int_equal(turn(&of, 1, UINT32_MAX), 4); /* Nothing is known of 2's. */
    of.seen[0].limit = 1;
    assert_int_equal(turn(&of, 1, UINT32_MAX), 3);
    assert_int_equal(count_of(&of, 1), 7);
    for (uint32_t i = 0; i < 8; i++)
        of.seen[i] = i < 2 ? (lsi_lease_seen){.owner = 2 + i, .limit = 1 + i} : (lsi_lease_seen){.is_free = true};
    assert_int_equal(turn(&of, 1, UINT32_MAX), 5); /* and one is left to 3 */
    for (uint32_t i = 0; i < 8; i++)
        of.seen[i] = i < 2 ? (lsi_lease_seen){.owner = 2 + i, .limit = 1} : (lsi_lease_seen){.is_free = true};
    assert_int_equal(turn(&of, 1, 4), 4); /* My own limit holds, though nobody takes the other two. */
}

static uint64_t load_of(const world *of, uint64_t worker)
{
    uint64_t load = 0;

    for (uint32_t i = 0; i < of->count; i++)
        load += of->seen[i].owner == worker ? of->seen[i].load : 0;
    return load;
}

/* Goal: loads are balanced, moves come to an end, and tiny differences move nothing (kcl.md 7, #1814). */
static void loads_are_balanced(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 300; seed++) {
        world of = {.count = 12};
        uint64_t largest = 0, most = 0, least = UINT64_MAX, total = 0;

        random_state = seed;
        for (uint32_t i = 0; i < of.count; i++) {
            of.seen[i] = (lsi_lease_seen){.owner = 1, .load = 1 + draw(1000) * (draw(4) == 0 ? 10 : 1)};
            largest = of.seen[i].load > largest ? of.seen[i].load : largest;
            total += of.seen[i].load;
        }
        settle(&of, 3);
        for (uint64_t w = 1; w <= 3; w++) {
            most = load_of(&of, w) > most ? load_of(&of, w) : most;
            least = load_of(&of, w) < least ? load_of(&of, w) : least;
        }
        assert_true(most - least <= largest + total / 3 / 5); /* else one more would have moved */
    }
    world even = {.count = 4, .seen = {{.owner = 1, .load = 1000}, {.owner = 1, .load = 20},
                                       {.owner = 2, .load = 1000}, {.owner = 2, .load = 5}}};
    assert_int_equal(turn(&even, 2, UINT32_MAX), 0);
    assert_int_equal(turn(&even, 1, UINT32_MAX), 0);
}

/* The one lease that makes a worker the most loaded would only move the load; the next one has some to give. */
static void who_is_idle_asks_the_next_when_the_most_loaded_has_nothing_to_give(void **state)
{
    world of = {.count = 6, .seen = {{.owner = 1, .load = 1000000}, {.owner = 1}, {.owner = 2, .load = 300000},
                                     {.owner = 2, .load = 300000}, {.owner = 3}, {.owner = 3}}};

    (void)state;
    settle(&of, 3);
    assert_int_equal(of.seen[0].owner, 1);
    assert_int_equal(load_of(&of, 2), 300000);
    assert_int_equal(load_of(&of, 3), 300000);
}

static void what_is_being_handed_over_is_not_asked_for_again(void **state)
{
    world of = {.count = 3, .seen = {{.owner = 1, .is_moving = true}, {.owner = 1, .is_moving = true},
                                     {.owner = 1, .is_moving = true}}};

    (void)state;
    assert_int_equal(turn(&of, 2, UINT32_MAX), 0);
    of.seen[1].is_moving = false;
    assert_int_equal(turn(&of, 2, UINT32_MAX), 1);
    assert_int_equal(of.seen[1].owner, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_made_as_the_specification_says),
        cmocka_unit_test(what_came_before_is_worked_on_first),
        cmocka_unit_test(an_ended_shard_leaves_its_work_to_its_heirs),
        cmocka_unit_test(rows_go_when_every_child_was_begun),
        cmocka_unit_test(every_shard_is_worked_on_once_after_its_parents),
        cmocka_unit_test(counts_differ_by_one_at_most),
        cmocka_unit_test(a_worker_takes_its_share_and_what_is_old),
        cmocka_unit_test(others_take_what_limits_leave),
        cmocka_unit_test(loads_are_balanced),
        cmocka_unit_test(who_is_idle_asks_the_next_when_the_most_loaded_has_nothing_to_give),
        cmocka_unit_test(what_is_being_handed_over_is_not_asked_for_again),
    };

    return cmocka_run_group_tests_name("consume/test_lease_rules", tests, NULL, NULL);
}
