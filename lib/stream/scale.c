/* The way from the open shards of a stream to a number of equal ones: which splits and merges come next.
 *
 * The bounds of equal shards are computed as for a new stream. A bound that lies within a shard is split at; neighbours
 * that no bound divides are merged. A bound is taken to be there already when a shard begins next to it (SNAP): the
 * bounds of 3 and of 6 equal shards differ by rounding, which would cost two reshards for every one and gain nothing.
 *
 * W1 A step is always legal: bounds lie further than SNAP from where a shard begins or ends, and so two keys at least.
 * W2 It ends: a split adds a bound that is wanted, a merge takes away one that is not, and neither is ever undone.
 * W3 There are never more open shards than there may be: at the limit, unwanted bounds go before wanted ones come.
 *    Below it, steps are taken from the low end of the keys, whose shards are so done before the others are begun. */
#include "stream/stream.h"

#include "base/u128.h"

/* Rounding moves the bounds of equal shards by less than their number, and both numbers are at most 65,536. */
#define SNAP ((ls_hash_key){0, 2 * LSI_SHARD_COUNT_MAX})

static ls_hash_key distance(ls_hash_key a, ls_hash_key b)
{
    return lsi_u128_compare(a, b) < 0 ? lsi_u128_subtract(b, a) : lsi_u128_subtract(a, b);
}

static bool is_near(ls_hash_key a, ls_hash_key b)
{
    return lsi_u128_compare(distance(a, b), SNAP) <= 0;
}

/* Whether the shard at `i` of the route begins at the bound, or nearer to it than its neighbours do. */
static bool stands_for(const lsi_route *route, uint32_t i, ls_hash_key bound)
{
    ls_hash_key mine = distance(route->firsts[i], bound);

    return lsi_u128_compare(mine, SNAP) <= 0 && lsi_u128_compare(distance(route->firsts[i - 1], bound), mine) > 0 &&
           (i + 1 == route->count || lsi_u128_compare(distance(route->firsts[i + 1], bound), mine) >= 0);
}

uint32_t lsi_scale_steps(const lsi_route *route, uint32_t target, lsi_reshard_step *steps)
{
    ls_hash_key width = target > 1 ? lsi_u128_whole_divided_by(target) : LSI_U128_MAX; /* as lsi_hash_range_of */
    uint32_t room = LSI_SHARD_COUNT_MAX - route->count; /* W3 */
    uint32_t count = 0, j = 1; /* the first bound, 1..target-1, that no shard before this one has dealt with */
    bool was_used = true;      /* the shard before has a step, or there is none */

    for (uint32_t i = 0; i < route->count && count < LSI_RESHARD_STEPS_MAX; i++) {
        ls_hash_key first = route->firsts[i];
        bool is_last = i + 1 == route->count, is_bound = false;
        uint32_t inside;

        /* Those that the shard's beginning may stand for. One near the next shard's, too, is left to that one. */
        for (; j < target; j++) {
            ls_hash_key bound = lsi_u128_multiply(width, j);

            if (lsi_u128_compare(bound, first) > 0 && !is_near(bound, first))
                break;
            is_bound = is_bound || (i > 0 && stands_for(route, i, bound));
            if (!is_last && is_near(bound, route->firsts[i + 1]))
                break;
        }
        for (inside = 0; j + inside < target; inside++) {
            ls_hash_key bound = lsi_u128_multiply(width, j + inside);

            if (!is_last && (lsi_u128_compare(bound, route->firsts[i + 1]) >= 0 ||
                             is_near(bound, route->firsts[i + 1])))
                break;
        }
        if (inside > 0 && room > 0) {
            steps[count++] = (lsi_reshard_step){.shard = route->shards[i],
                                                .adjacent = LSI_NO_SHARD,
                                                .at = lsi_u128_multiply(width, j + inside / 2)};
            room--;
            was_used = true;
        } else if (!is_bound && !was_used) {
            steps[count++] = (lsi_reshard_step){.shard = route->shards[i - 1], .adjacent = route->shards[i]};
            was_used = true;
        } else {
            was_used = false;
        }
        j += inside;
    }
    return count;
}
