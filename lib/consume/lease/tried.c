/* Which batches the owner of a lease tries, noted in words beside those of the lease (noted.c), which outlive a process
 * that is killed and not the machine. So that a batch has failed which killed its process, and another one counts on,
 * what is noted says of each lane: where its batch begins, how often that failed, and whether an invocation has begun.
 *
 * A place is two words, and half of one that two lanes share. It is written once before an invocation and once behind
 * it, where nothing failed one word each: a mapping that does well does not notice.
 *
 *   N3  As N1: it counts for who had the row as it is, or as he was just writing it. A death within the three stores
 *       leaves what does not fit its sum; then what the row says of that batch counts.
 *   N4  That an invocation has begun counts as a failure only of a process that is gone, as the kernel has it. Who is
 *       only slow, or gives its shards over, has not failed.
 *   N5  Attempts are noted up to 16,383, more than any limit of them.
 *   N6  By other settings other records are in a lane and in a batch: what was tried by those counts for nothing. */
#include "consume/lease/lease.h"

#include "base/hash.h"

_Static_assert(LSI_LEASE_TRIED_WORDS <= LSI_ENGINE_COUNTS, "the words of a lease have room for what is tried");
_Static_assert(LSI_TRIAL_RECORDS_MAX < 1u << 14, "numbers of records fit");

#define BITS 14u
#define MASK ((UINT64_C(1) << BITS) - 1)
#define BEGUN (UINT64_C(1) << 3 * BITS)
#define UNHANDLED (BEGUN << 1)
#define REPORTED (BEGUN << 2)
#define SUM_AT (3 * BITS + 3)
#define SUM_SEED 64u

static uint64_t sum_of(lsi_point first, uint64_t tally, uint64_t ticket, uint64_t counter, uint32_t shard,
                       uint32_t routing, uint32_t lane)
{
    const uint64_t words[] = {first.seqno, (uint64_t)first.part << 32 | lane, tally, ticket, counter,
                              (uint64_t)routing << 32 | shard};

    return lsi_sum64(words, sizeof(words), SUM_SEED) >> SUM_AT << SUM_AT;
}

lsi_engine_count *lsi_lease_tried_words(lsi_engine_stream *stream, uint32_t group, uint32_t shard)
{
    return stream->engine->ops->counts(stream, LSI_COUNTS_LEASE, LSI_LEASE_NUMBER(group, shard));
}

static uint64_t tally_of(const lsi_trial *trial)
{
    uint64_t attempts = trial->attempts < MASK ? trial->attempts : MASK; /* N5 */

    return trial->count | (uint64_t)trial->rest << BITS | attempts << 2 * BITS | (trial->is_begun ? BEGUN : 0) |
        (trial->is_unhandled ? UNHANDLED : 0) | (trial->is_reported ? REPORTED : 0);
}

void lsi_lease_try(const lsi_lease_notes *to, uint32_t lane, const lsi_trial *trial)
{
    lsi_engine_count *at, *parts;
    uint32_t shift = 32 * (lane % 2);
    uint64_t tally, both;

    /* Relaxed, as in noted.c. Another's are his to write. */
    if (to->tried == NULL || atomic_load_explicit(&to->words[LSI_LEASE_HOLDER], memory_order_relaxed) != to->ticket)
        return;
    at = to->tried + LSI_LEASE_TRIED + 2 * lane;
    parts = to->tried + LSI_LEASE_TRIED_PARTS + lane / 2;
    if (trial == NULL) {
        atomic_store_explicit(&at[1], 0, memory_order_relaxed);
        return;
    }
    tally = tally_of(trial);
    both = atomic_load_explicit(parts, memory_order_relaxed); /* Nobody else writes them. */
    both = (both & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)trial->first.part << shift;
    atomic_store_explicit(parts, both, memory_order_relaxed);
    atomic_store_explicit(&at[0], trial->first.seqno, memory_order_relaxed);
    /* Release pairs with the acquire below. */
    tally |= sum_of(trial->first, tally, to->ticket, to->counter, to->shard, to->routing, lane);
    atomic_store_explicit(&at[1], tally, memory_order_release);
}

/* False: nothing that counts. */
static bool read_lane(const lsi_engine_count *words, const lsi_lease_row *row, uint32_t routing, uint32_t lane,
                      lsi_trial *out)
{
    const lsi_engine_count *at = words + LSI_LEASE_TRIED + 2 * lane;
    uint64_t tally = atomic_load_explicit(&at[1], memory_order_acquire);
    uint64_t sum = tally >> SUM_AT << SUM_AT;
    uint64_t parts = atomic_load_explicit(&words[LSI_LEASE_TRIED_PARTS + lane / 2], memory_order_relaxed);
    lsi_point first = {atomic_load_explicit(&at[0], memory_order_relaxed), (uint32_t)(parts >> 32 * (lane % 2))};

    if (tally == 0)
        return false;
    tally &= ~(UINT64_MAX << SUM_AT);
    *out = (lsi_trial){
        .first = first,
        .count = (uint32_t)(tally & MASK),
        .rest = (uint32_t)(tally >> BITS & MASK),
        .attempts = (uint32_t)(tally >> 2 * BITS & MASK),
        .is_begun = (tally & BEGUN) != 0,
        .is_unhandled = (tally & UNHANDLED) != 0,
        .is_reported = (tally & REPORTED) != 0,
    };
    return (sum == sum_of(first, tally, row->owner, row->counter, row->place.shard, routing, lane) ||
            sum == sum_of(first, tally, row->owner, row->counter - 1, row->place.shard, routing, lane)) && /* N3 */
        out->count <= LSI_TRIAL_RECORDS_MAX && out->rest <= LSI_TRIAL_RECORDS_MAX;
}

bool lsi_lease_tried(const lsi_engine_count *words, const lsi_lease_row *row, uint32_t routing, bool is_gone,
                     lsi_trials *to)
{
    lsi_point position = {LS_SEQNO_NONE, 0};
    bool has_failed = false;

    if (row->place.kind == LSI_LEASE_NUMBER)
        position = lsi_point_of(row->seqno, row->sub_seqno);
    *to = row->routing == routing ? row->trials : (lsi_trials){0};
    lsi_trials_pass(to, position);
    for (uint32_t lane = 0; words != NULL && row->owner != 0 && lane < LSI_TRIAL_LANES_MAX; lane++) {
        lsi_trial trial;

        if (!read_lane(words, row, routing, lane, &trial) || lsi_trial_is_passed(&trial, position))
            continue;
        trial.is_begun = trial.is_begun && is_gone; /* N4 */
        has_failed = has_failed || trial.is_begun;
        lsi_trials_add(to, &trial);
    }
    return has_failed;
}
