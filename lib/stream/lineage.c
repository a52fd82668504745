/* Which shard takes a key: a sorted table of the open shards' first keys, and a binary search in it.
 *
 * The table is built once per change of the shard list, from a list that may come from disk, so it is not believed: the
 * open ranges must cover 0..2^128-1 exactly once, or the list is damaged. The sort is a heapsort, in place over an
 * array of the caller: qsort() may allocate behind the store's allocator, and the order in a damaged list must not
 * decide the time this takes. */
#include "stream/stream.h"

#include <inttypes.h>

#include "base/status.h"
#include "base/u128.h"

/* While building, `indexes` holds positions in `shards`. */
static bool comes_before(const lsi_shard *shards, uint32_t a, uint32_t b)
{
    return lsi_u128_compare(shards[a].range.first, shards[b].range.first) < 0;
}

/* Lets positions[root] sink to its place among the first `count`. */
static void sift_down(const lsi_shard *shards, uint32_t *positions, uint32_t root, uint32_t count)
{
    uint32_t sinking = positions[root];

    while (root < count / 2) {
        uint32_t child = 2 * root + 1;

        if (child + 1 < count && comes_before(shards, positions[child], positions[child + 1]))
            child++;
        if (!comes_before(shards, sinking, positions[child]))
            break;
        positions[root] = positions[child];
        root = child;
    }
    positions[root] = sinking;
}

static void sort_by_first_key(const lsi_shard *shards, uint32_t *positions, uint32_t count)
{
    for (uint32_t root = count / 2; root-- > 0;)
        sift_down(shards, positions, root, count);
    for (uint32_t end = count; end-- > 1;) {
        uint32_t largest = positions[0];

        positions[0] = positions[end];
        positions[end] = largest;
        sift_down(shards, positions, 0, end);
    }
}

ls_status lsi_route_build(const lsi_shard *shards, uint32_t count, ls_hash_key *firsts, uint32_t *indexes,
                          uint32_t *open_count)
{
    ls_hash_key next = {0, 0}; /* the key that the next shard must begin with */
    uint32_t open = 0;

    for (uint32_t i = 0; i < count; i++)
        if (!shards[i].closed)
            indexes[open++] = i;
    if (open == 0)
        return lsi_fail(LS_ERR_CORRUPT, "none of %u shards is open: no key has a place", count);
    sort_by_first_key(shards, indexes, open);
    for (uint32_t i = 0; i < open; i++) {
        const lsi_shard *shard = &shards[indexes[i]];

        /* Once the last key is taken, `next` has wrapped to 0: whatever comes then overlaps. */
        bool is_complete = i > 0 && lsi_u128_compare(next, (ls_hash_key){0, 0}) == 0;

        if (is_complete || lsi_u128_compare(shard->range.first, next) != 0)
            return lsi_fail(LS_ERR_CORRUPT,
                            "shard %u begins at hash key 0x%016" PRIx64 "%016" PRIx64 ", not at 0x%016" PRIx64
                            "%016" PRIx64 ": open shards leave a gap or overlap",
                            shard->index, shard->range.first.high, shard->range.first.low, next.high, next.low);
        if (lsi_u128_compare(shard->range.last, shard->range.first) < 0)
            return lsi_fail(LS_ERR_CORRUPT, "shard %u ends before it begins", shard->index);
        firsts[i] = shard->range.first;
        indexes[i] = shard->index;
        next = lsi_u128_add(shard->range.last, (ls_hash_key){0, 1});
    }
    if (lsi_u128_compare(next, (ls_hash_key){0, 0}) != 0)
        return lsi_fail(LS_ERR_CORRUPT, "open shards end before hash key 0x%016" PRIx64 "%016" PRIx64
                        ", which has no place", next.high, next.low);
    *open_count = open;
    return LS_OK;
}

/* 1 or 0, and without a branch: which shard a key goes to is what no processor foresees. */
static inline uint32_t is_at_most(ls_hash_key first, ls_hash_key key)
{
    return (uint32_t)(first.high < key.high) | ((uint32_t)(first.high == key.high) & (uint32_t)(first.low <= key.low));
}

uint32_t lsi_route_find(const lsi_route *route, ls_hash_key key)
{
    uint32_t low = 0;

    /* firsts[low] <= key < firsts[low + left], taking firsts[count] as 2^128; firsts[0] is 0. */
    for (uint32_t left = route->count, half; left > 1; left -= half) {
        half = left / 2;
        low += is_at_most(route->firsts[low + half], key) * half;
    }
    return route->count == 0 ? LSI_NO_SHARD : route->shards[low];
}
