/* Which shards a listing shows: the filters of the service.
 *
 * Shards are cut out of time as they are cut out of the key space: a shard is there from the moment when its parents
 * were closed (the first ones: from ever) until it is closed itself, the first moment included and the last not. So at
 * any moment the shards that are there cover every key exactly once, which is what the AT_ filters are asked for.
 *
 * A listing may go over several pages, and the stream may be resharded meanwhile. What is shown is the stream of the
 * first page: shards with an index not below its `end` are not there yet, and one whose children have such indexes is
 * still open. Indexes rise with every reshard, so this needs no clock. */
#include "stream/stream.h"


/* Positions of a shard's parents that are listed; their number. */
static int find_parents(const lsi_shard *shards, uint32_t count, const lsi_shard *of, uint32_t out[2])
{
    uint32_t indexes[2] = {of->parent, of->adjacent_parent};
    int found = 0;

    for (int i = 0; i < 2; i++) {
        const lsi_shard *parent = indexes[i] == LSI_NO_SHARD ? NULL : lsi_shard_find(shards, count, indexes[i]);

        if (parent != NULL)
            out[found++] = (uint32_t)(parent - shards);
    }
    return found;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* When the shard began. A parent that is not listed any more was over long before. */
static int64_t start_of(const lsi_shard *shards, uint32_t count, const lsi_shard *of)
{
    uint32_t parents[2];
    int64_t start = INT64_MIN;

    for (int i = find_parents(shards, count, of, parents); i-- > 0;)
        start = later(start, shards[parents[i]].closed_us);
    return start;
}

uint32_t lsi_listing_take(const lsi_listing *of, const lsi_shard *shards, uint32_t count, uint32_t limit,
                          uint32_t *positions, bool *closed, bool *more)
{
    uint32_t taken = 0;

    for (uint32_t i = 0; i < count; i++)
        closed[i] = shards[i].closed;
    for (uint32_t i = count; i-- > 0 && shards[i].index >= of->end;) {
        uint32_t parents[2];

        for (int k = find_parents(shards, count, &shards[i], parents); k-- > 0;)
            closed[parents[k]] = false; /* not yet */
    }
    *more = false;
    for (uint32_t i = 0; i < count && shards[i].index < of->end; i++) {
        int64_t end_us = closed[i] ? shards[i].closed_us : INT64_MAX;

        bool is_over = closed[i] && (end_us < of->from_us || (of->is_moment && end_us == of->from_us));

        if (shards[i].index < of->first || is_over ||
            (of->is_moment && start_of(shards, count, &shards[i]) > of->from_us))
            continue;
        if (taken == limit) {
            *more = true;
            break;
        }
        positions[taken++] = i;
    }
    return taken;
}
