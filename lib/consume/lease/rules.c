/* The rules of leases: the Kinesis Client Library's, of its second release, over a catalog that knows all shards.
 *
 * Shards: a parent has a lower index than its children, so what hangs on ancestors is found in one pass upwards.
 *
 * Balance: with no load known every lease weighs the same, and counts differ by one at most in the end. With loads, a
 * lease moves only when it makes its owner's load smaller without making the taker's as large as that was, and by more
 * than a tenth of the mean; so the sum of the squares of loads falls with every move, and moves come to an end. */
#include "consume/lease/rules.h"

#include "base/search.h"

/* ---- looking ---- */

_Static_assert(offsetof(lsi_lease_place, shard) == 0, "it is found by its first field");

static const lsi_lease_place *row_of(const lsi_lease_place *rows, uint32_t count, uint32_t shard)
{
    return lsi_find_u32(rows, count, sizeof(lsi_lease_place), shard);
}

/* Its position; `count`: the stream does not have it, or not any more. */
static uint32_t position_of(const lsi_shard *shards, uint32_t count, uint32_t shard)
{
    const lsi_shard *found = shard != LSI_NO_SHARD ? lsi_shard_find(shards, count, shard) : NULL;

    return found != NULL ? (uint32_t)(found - shards) : count;
}

static bool is_child_of(const lsi_shard *shard, uint32_t parent)
{
    return shard->parent == parent || shard->adjacent_parent == parent;
}

/* ---- which rows there are ---- */

static bool is_alive_at(const lsi_shard *shard, lsi_lease_start start)
{
    return !shard->closed || start.kind == LSI_START_HORIZON ||
        (start.kind == LSI_START_TIME && shard->closed_us >= start.us);
}

static uint32_t first_rows(const lsi_shard *shards, uint32_t count, lsi_lease_start start, uint32_t *out)
{
    uint32_t made = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t parents[2] = {position_of(shards, count, shards[i].parent),
                               position_of(shards, count, shards[i].adjacent_parent)};
        bool is_first = is_alive_at(&shards[i], start);

        for (int k = 0; k < 2; k++)
            is_first = is_first && (parents[k] == count || !is_alive_at(&shards[parents[k]], start));
        if (is_first)
            out[made++] = shards[i].index;
    }
    return made;
}

/* Which shards are looked at: those that are open, and what came before them, up to what has a row. */
static void seek(const lsi_shard *shards, uint32_t count, const lsi_lease_place *rows, uint32_t row_count,
                 lsi_lease_mark *marks)
{
    for (uint32_t i = count; i-- > 0;) {
        uint32_t parents[2] = {position_of(shards, count, shards[i].parent),
                               position_of(shards, count, shards[i].adjacent_parent)};

        if (!shards[i].closed)
            marks[i].is_sought = true;
        if (row_of(rows, row_count, shards[i].index) != NULL)
            marks[i].is_sought = false;
        for (int k = 0; k < 2 && marks[i].is_sought; k++)
            if (parents[k] < count)
                marks[parents[k]].is_sought = true;
    }
}

/* What has a row, or something before it that has one or will get one, comes by itself. */
static void mark(const lsi_shard *shards, uint32_t count, const lsi_lease_place *rows, uint32_t row_count,
                 lsi_lease_start start, lsi_lease_mark *marks)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t parents[2] = {position_of(shards, count, shards[i].parent),
                               position_of(shards, count, shards[i].adjacent_parent)};

        marks[i].is_descendant = row_of(rows, row_count, shards[i].index) != NULL;
        for (int k = 0; k < 2; k++)
            if (parents[k] < count && (marks[parents[k]].is_descendant || marks[parents[k]].is_marked))
                marks[i].is_descendant = true;
        marks[i].is_marked = !marks[i].is_descendant && start.kind != LSI_START_LATEST;
        for (int k = 0; k < 2 && marks[i].is_sought && marks[i].is_descendant; k++)
            if (parents[k] < count && row_of(rows, row_count, shards[parents[k]].index) == NULL &&
                (marks[parents[k]].is_marked || !marks[parents[k]].is_descendant))
                marks[parents[k]].is_made = true;
        if (marks[i].is_sought && !shards[i].closed && !marks[i].is_descendant)
            marks[i].is_made = true;
    }
}

uint32_t lsi_lease_missing(const lsi_shard *shards, uint32_t shard_count, const lsi_lease_place *rows,
                           uint32_t row_count, lsi_lease_start start, lsi_lease_mark *marks, uint32_t *out)
{
    uint32_t made = 0;

    if (row_count == 0)
        return first_rows(shards, shard_count, start, out);
    for (uint32_t i = 0; i < shard_count; i++)
        marks[i] = (lsi_lease_mark){0};
    seek(shards, shard_count, rows, row_count, marks);
    mark(shards, shard_count, rows, row_count, start, marks);
    for (uint32_t i = 0; i < shard_count; i++)
        if (marks[i].is_made)
            out[made++] = shards[i].index;
    return made;
}

static void add_heir(uint32_t shard, uint32_t *out, uint32_t *count)
{
    uint32_t at = *count;

    for (uint32_t i = 0; i < *count; i++)
        if (out[i] == shard)
            return;
    if (*count == LSI_LEASE_HEIRS_MAX)
        return;
    for (; at > 0 && out[at - 1] > shard; at--)
        out[at] = out[at - 1];
    out[at] = shard;
    ++*count;
}

uint32_t lsi_lease_heirs(const lsi_shard *shards, uint32_t shard_count, const lsi_lease_place *rows, uint32_t row_count,
                         uint32_t shard, bool *covered, uint32_t out[LSI_LEASE_HEIRS_MAX])
{
    uint32_t made = 0;

    /* It has a row, or something before it that the stream still has. */
    for (uint32_t i = 0; i < shard_count; i++) {
        uint32_t parents[2] = {position_of(shards, i, shards[i].parent),
                               position_of(shards, i, shards[i].adjacent_parent)};

        covered[i] = row_of(rows, row_count, shards[i].index) != NULL || (parents[0] < i && covered[parents[0]]) ||
            (parents[1] < i && covered[parents[1]]);
    }
    for (uint32_t i = 0; i < shard_count; i++) {
        uint32_t parents[2] = {shards[i].parent, shards[i].adjacent_parent};

        if (!is_child_of(&shards[i], shard))
            continue;
        if (row_of(rows, row_count, shards[i].index) == NULL)
            add_heir(shards[i].index, out, &made);
        for (int k = 0; k < 2; k++) {
            uint32_t other = parents[k] != shard ? position_of(shards, shard_count, parents[k]) : shard_count;

            if (other < shard_count && !covered[other])
                add_heir(shards[other].index, out, &made);
        }
    }
    return made;
}

void lsi_lease_waiting(const lsi_shard *shards, uint32_t shard_count, const lsi_lease_place *rows, uint32_t row_count,
                       bool *out)
{
    for (uint32_t i = 0; i < shard_count; i++) {
        uint32_t parents[2] = {shards[i].parent, shards[i].adjacent_parent};

        out[i] = false;
        for (int k = 0; k < 2; k++) {
            const lsi_lease_place *row = parents[k] != LSI_NO_SHARD ? row_of(rows, row_count, parents[k]) : NULL;
            uint32_t at = position_of(shards, i, parents[k]);

            if (row != NULL ? row->kind != LSI_LEASE_END : at < i && out[at])
                out[i] = true;
        }
    }
}

bool lsi_lease_is_over(const lsi_shard *shards, uint32_t shard_count, const lsi_lease_place *rows, uint32_t row_count,
                       uint32_t at)
{
    uint32_t position = position_of(shards, shard_count, rows[at].shard);

    if (position == shard_count)
        return true;
    if (rows[at].kind != LSI_LEASE_END || row_of(rows, row_count, shards[position].parent) != NULL ||
        row_of(rows, row_count, shards[position].adjacent_parent) != NULL)
        return false;
    for (uint32_t i = position + 1; i < shard_count; i++)
        if (is_child_of(&shards[i], rows[at].shard)) {
            const lsi_lease_place *child = row_of(rows, row_count, shards[i].index);

            if (child == NULL || child->kind == LSI_LEASE_HORIZON)
                return false;
        }
    return true;
}

/* ---- who takes which ---- */

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

/* Everybody who has something, and me, who is the first; their number. */
static uint32_t count_workers(const lsi_lease_seen *seen, uint32_t count, uint64_t me, uint32_t limit,
                              lsi_lease_worker *workers, uint64_t weight_of_unknown)
{
    uint32_t known = 1;

    workers[0] = (lsi_lease_worker){.id = me, .limit = limit};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = 0;

        if (seen[i].is_free || seen[i].owner == 0)
            continue;
        while (k < known && workers[k].id != seen[i].owner)
            k++;
        if (k == known)
            workers[known++] = (lsi_lease_worker){.id = seen[i].owner};
        workers[k].count++;
        if (seen[i].limit != 0)
            workers[k].limit = seen[i].limit;
        workers[k].load = sum(workers[k].load, sum(seen[i].load, weight_of_unknown));
    }
    return known;
}

/* The first `wanted` of those that `is_wanted` says, in an order that chance decides. */
static uint32_t pick(const lsi_lease_seen *seen, uint32_t count, bool old_ones, uint32_t wanted, uint64_t random,
                     uint32_t *picks)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < count; i++)
        if (seen[i].is_free && (!old_ones || seen[i].is_old))
            picks[found++] = i;
    for (uint32_t i = 0; i < wanted && i < found; i++) {
        uint32_t other = i + (uint32_t)(next_random(&random) % (found - i)), mine = picks[i];

        picks[i] = picks[other];
        picks[other] = mine;
    }
    return found < wanted ? found : wanted;
}

/* The lease of the most loaded worker that makes the two most alike; of the next one, when none of his does. */
static uint32_t ask_for(const lsi_lease_seen *seen, uint32_t count, const lsi_lease_worker *workers, uint32_t known,
                        uint64_t weight_of_unknown, bool has_loads, uint64_t random, uint32_t *picks)
{
    uint64_t total = 0, least = 0, best = 0, most = 0;
    uint32_t first = count != 0 ? (uint32_t)(next_random(&random) % count) : 0, found = 0;

    for (uint32_t i = 0; i < known; i++)
        total = sum(total, workers[i].load);
    if (has_loads)
        least = total / known / 10;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (first + i) % count, k = 0;
        uint64_t mine = sum(workers[0].load, sum(seen[at].load, weight_of_unknown)), gain;

        if (seen[at].is_free || seen[at].is_moving || seen[at].owner == workers[0].id)
            continue;
        while (k < known && workers[k].id != seen[at].owner)
            k++;
        if (k == known || mine >= workers[k].load || workers[k].load < most)
            continue;
        /* By so much the larger of the two becomes less. */
        gain = workers[k].load - mine < mine - workers[0].load ? workers[k].load - mine : mine - workers[0].load;
        if (gain > least && (workers[k].load > most || gain > best)) {
            most = workers[k].load;
            best = gain;
            picks[0] = at;
            found = 1;
        }
    }
    return found;
}

/* So many leases each may have that all of them find a worker, though some take fewer. */
static uint32_t share_of_each(const lsi_lease_worker *workers, uint32_t known, uint32_t count)
{
    uint32_t share = (count + known - 1) / known, placed = 0;

    for (share = share > 1 ? share : 1; share < count; share++) {
        placed = 0;
        for (uint32_t i = 0; i < known && placed < count; i++)
            placed += workers[i].limit != 0 && workers[i].limit < share ? workers[i].limit : share;
        if (placed >= count)
            break;
    }
    return share;
}

uint32_t lsi_lease_choose(const lsi_lease_seen *seen, uint32_t count, uint64_t me, uint32_t leases_max,
                          uint64_t random, lsi_lease_worker *workers, uint32_t *picks, bool *is_asking)
{
    uint64_t load = 0, unknown;
    uint32_t known, target, room, free_count = 0, chosen;

    *is_asking = false;
    for (uint32_t i = 0; i < count; i++) {
        load = sum(load, seen[i].load);
        free_count += seen[i].is_free;
    }
    unknown = count != 0 && load != 0 ? load / count / 10 + 1 : 1; /* An idle shard is a little work, too. */
    known = count_workers(seen, count, me, leases_max, workers, unknown);
    room = workers[0].count < leases_max ? leases_max - workers[0].count : 0;
    chosen = pick(seen, count, true, room, random, picks);
    if (chosen > 0)
        return chosen;
    target = share_of_each(workers, known, count);
    if (target > leases_max)
        target = leases_max;
    if (free_count > 0)
        return workers[0].count < target ? pick(seen, count, false, target - workers[0].count, random, picks) : 0;
    if (room == 0)
        return 0;
    *is_asking = true;
    return ask_for(seen, count, workers, known, unknown, load != 0, random, picks);
}
