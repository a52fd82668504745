/* Splitting a shard in two, and merging two into one: who may, and what comes of it.
 *
 * The rules are the service's: a shard is split strictly inside, so that each child has two keys at least; two are
 * merged when the keys of the second follow those of the first; both must be open. Indexes count on from the highest
 * one, which is never that of a shard no longer listed: whatever is closed has children above it.
 *
 * H1 The open shards cover every key exactly once, before and after.
 * H2 A child is created in a later second than its parents, since the second stands above the counter in the 56-digit
 *    numbers of the service, where a child must begin above its parents' ends. */
#include "stream/stream.h"

#include <inttypes.h>
#include <string.h>

#include "base/search.h"
#include "base/status.h"
#include "base/u128.h"

#define SECOND_US INT64_C(1000000)

_Static_assert(offsetof(lsi_shard, index) == 0, "it is found by its first field");

const lsi_shard *lsi_shard_find(const lsi_shard *shards, uint32_t count, uint32_t index)
{
    return lsi_find_u32(shards, count, sizeof(lsi_shard), index);
}

/* What is being made. */
typedef struct plan {
    const char *stream;
    lsi_shard *shards;
    uint32_t had; /* the children follow these */
    uint32_t count;
    uint32_t next_index;
    uint32_t open_count;
    int64_t now_us;
} plan;

/* The parent at `index`, which is closed from here on. */
static ls_status take_parent(plan *of, uint32_t index, lsi_shard **out)
{
    const lsi_shard *found = lsi_shard_find(of->shards, of->had, index);

    if (found == NULL)
        return lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no shard %" PRIu32, of->stream, index);
    *out = &of->shards[found - of->shards];
    if ((*out)->closed)
        return lsi_fail(LS_ERR_STATE, "stream '%s' shard %" PRIu32 " has been merged or split already", of->stream,
                        index);
    (*out)->closed = true;
    of->open_count--;
    return LS_OK;
}

static int64_t second_of(int64_t us)
{
    return us / SECOND_US - (us % SECOND_US < 0); /* A store may be used before 1970, by its clock. */
}

/* H2 */
static int64_t later_second(int64_t now_us, const lsi_shard *parent)
{
    int64_t second = second_of(parent->created_us);

    return second_of(now_us) > second ? now_us : (second + 1) * SECOND_US;
}

static ls_status add_child(plan *of, lsi_hash_range range, const lsi_shard *parent, const lsi_shard *adjacent)
{
    if (of->next_index >= LSI_SHARD_INDEX_END)
        return lsi_fail(LS_ERR_STATE, "stream '%s' has had %u shards, and no more can be told apart", of->stream,
                        LSI_SHARD_INDEX_END);
    of->shards[of->count] = (lsi_shard){
        .index = of->next_index++,
        .parent = parent->index,
        .adjacent_parent = adjacent != NULL ? adjacent->index : LSI_NO_SHARD,
        .range = range,
        .created_us = later_second(adjacent != NULL ? later_second(of->now_us, adjacent) : of->now_us, parent),
    };
    of->count++;
    of->open_count++;
    return LS_OK;
}

static ls_status split(plan *of, const lsi_reshard_step *step)
{
    const ls_hash_key one = {0, 1};
    lsi_shard *parent;
    ls_status st = take_parent(of, step->shard, &parent);
    lsi_hash_range lower, upper;

    if (st != LS_OK)
        return st;
    lower = upper = parent->range;
    /* Above S + 1, which does not wrap: for S = 2^128-1 nothing is below E. */
    if (lsi_u128_compare(step->at, lower.last) >= 0 || lsi_u128_compare(step->at, lower.first) <= 0 ||
        lsi_u128_compare(step->at, lsi_u128_add(lower.first, one)) == 0) {
        char at[LSI_U128_TEXT_BYTES], first[LSI_U128_TEXT_BYTES], last[LSI_U128_TEXT_BYTES];

        lsi_u128_to_decimal(step->at, at);
        lsi_u128_to_decimal(lower.first, first);
        lsi_u128_to_decimal(lower.last, last);
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "stream '%s' shard %" PRIu32 ": the new starting hash key %s is not "
                        "both greater than one plus its first key %s and less than its last key %s", of->stream,
                        step->shard, at, first, last);
    }
    lower.last = lsi_u128_subtract(step->at, one);
    upper.first = step->at;
    st = add_child(of, lower, parent, NULL);
    return st == LS_OK ? add_child(of, upper, parent, NULL) : st;
}

static ls_status merge(plan *of, const lsi_reshard_step *step)
{
    lsi_shard *lower, *upper;
    lsi_hash_range range;
    ls_status st;

    if (step->adjacent == step->shard)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "stream '%s': shard %" PRIu32 " cannot be merged with itself",
                        of->stream, step->shard);
    st = take_parent(of, step->shard, &lower);
    if (st == LS_OK)
        st = take_parent(of, step->adjacent, &upper);
    if (st != LS_OK)
        return st;
    /* The keys of the first do not end at 2^128-1 then, which would seem to be followed by 0. */
    if (lsi_u128_compare(lower->range.last, upper->range.first) >= 0 ||
        lsi_u128_compare(lsi_u128_add(lower->range.last, (ls_hash_key){0, 1}), upper->range.first) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "stream '%s': shards %" PRIu32 " and %" PRIu32 " are not an adjacent "
                        "pair: the keys of the second do not follow those of the first", of->stream, step->shard,
                        step->adjacent);
    range = (lsi_hash_range){lower->range.first, upper->range.last};
    return add_child(of, range, lower, upper);
}

ls_status lsi_reshard_apply(const char *stream, const lsi_shard *shards, uint32_t count, const lsi_reshard_step *steps,
                            uint32_t step_count, int64_t now_us, lsi_shard *out, uint32_t *out_count)
{
    plan made = {.stream = stream, .shards = out, .had = count, .count = count, .now_us = now_us};

    memcpy(out, shards, count * sizeof(*out));
    made.next_index = count > 0 ? shards[count - 1].index + 1 : 0;
    for (uint32_t i = 0; i < count; i++)
        made.open_count += shards[i].closed ? 0 : 1;
    for (uint32_t i = 0; i < step_count; i++) {
        ls_status st = steps[i].adjacent == LSI_NO_SHARD ? split(&made, &steps[i]) : merge(&made, &steps[i]);

        if (st != LS_OK)
            return st;
    }
    if (made.open_count > LSI_SHARD_COUNT_MAX)
        return lsi_fail(LS_ERR_STATE, "stream '%s' would have %" PRIu32 " open shards: the most is %u", stream,
                        made.open_count, LSI_SHARD_COUNT_MAX);
    *out_count = made.count;
    return LS_OK;
}
