/* How far the owner of a lease has come since its row was written, noted in the lease's words, which outlive a process
 * that is killed and not the machine: so a run of a mapping notes each batch at no cost, and writes the row, which is
 * durable, now and then.
 *
 * There are two places for it, written in turn, each with a sum over whose it is; a death in between leaves the other.
 *
 *   N1  A place counts only for who had the row as it is: the sum is over the owner's ticket and the row's counter,
 *       which rises with each change of the row but the asking for it. While the owner writes his row it may be the
 *       one before. So nothing that was noted before a move of the mapping, or by somebody who lost the lease, is ever
 *       believed; nor is what was damaged.
 *   N2  It is a hint of what may be written: whoever does so syncs first what the place covers. */
#include "consume/lease/lease.h"

#include "base/hash.h"

#define PLACES 2u
#define PARTS (LSI_LEASE_NOTES + 2 * PLACES) /* the word with the parts of both, 32 bits each */

static uint64_t sum_of(lsi_point place, uint64_t ticket, uint64_t counter, uint32_t shard)
{
    const uint64_t words[] = {place.seqno, place.part, ticket, counter, shard};

    return lsi_sum64(words, sizeof(words), LSI_LEASE_NOTES);
}

lsi_lease_notes lsi_lease_notes_of(const lsi_lease *lease)
{
    const lsi_group *group = lease->group;
    uint32_t shard = lease->row.place.shard;

    return (lsi_lease_notes){.words = lease->words,
                             .tried = lsi_lease_tried_words(group->stream, group->settings.number, shard),
                             .ticket = group->ticket,
                             .counter = lease->row.counter,
                             .shard = shard,
                             .routing = group->routing};
}

void lsi_lease_note(lsi_lease_notes *to, lsi_point place)
{
    lsi_budget_word *at = to->words + LSI_LEASE_NOTES + 2 * to->next;
    uint32_t shift = 32 * to->next;
    uint64_t parts;

    /* Relaxed: the words say nothing of other memory. Another's are his to write. */
    if (atomic_load_explicit(&to->words[LSI_LEASE_HOLDER], memory_order_relaxed) != to->ticket)
        return;
    parts = atomic_load_explicit(&to->words[PARTS], memory_order_relaxed); /* Nobody else writes them. */
    parts = (parts & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)place.part << shift;
    atomic_store_explicit(&to->words[PARTS], parts, memory_order_relaxed);
    atomic_store_explicit(&at[0], place.seqno, memory_order_relaxed);
    /* Release pairs with the acquire below: who sees the sum sees the place, or a newer one that does not fit. */
    atomic_store_explicit(&at[1], sum_of(place, to->ticket, to->counter, to->shard), memory_order_release);
    to->next = (to->next + 1) % PLACES;
}

lsi_point lsi_lease_noted(const lsi_budget_word *words, const lsi_lease_row *row)
{
    lsi_point best = {LS_SEQNO_NONE, 0};

    for (uint32_t i = 0; i < PLACES && row->owner != 0; i++) {
        const lsi_budget_word *at = words + LSI_LEASE_NOTES + 2 * i;
        uint64_t sum = atomic_load_explicit(&at[1], memory_order_acquire);
        uint64_t parts = atomic_load_explicit(&words[PARTS], memory_order_relaxed);
        lsi_point place = {atomic_load_explicit(&at[0], memory_order_relaxed), (uint32_t)(parts >> 32 * i)};

        if (lsi_point_compare(place, best) > 0 && place.seqno <= LS_SEQNO_MAX &&
            (sum == sum_of(place, row->owner, row->counter, row->place.shard) ||
             sum == sum_of(place, row->owner, row->counter - 1, row->place.shard))) /* N1 */
            best = place;
    }
    return best;
}
