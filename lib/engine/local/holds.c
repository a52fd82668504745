/* Who has a consumer's subscription to a shard: one word, shared by all processes, in a slot of the consumer's own.
 *
 * The word is a ticket: which process, when, and a number that tells one subscription of that process from the next.
 * To begin is to put a ticket there in one swap, to end is to take it away if it is there still; so a process may be
 * killed at any instruction and there is no lock. Whose process is gone is the kernel's word (P6), so that a killed
 * subscriber makes room at once. A stopped one is passed over as any other after LSI_HOLD_MS: he finds another ticket
 * when he goes on, and pushes no more than what he had read.
 *
 *     bits 0-31   when: monotonic milliseconds (of 49 days: as old a ticket may look new once, for LSI_HOLD_MS)
 *     bits 32-52  the process's tag (control.h), its low bits
 *     bits 53-63  1..2047, in turn
 *
 * The words may hold anything (P10): garbage is a ticket of a process that is gone, or one that is taken over
 * in time. */
#include <inttypes.h>

#include "base/status.h"
#include "engine/local/local.h"

#define TAG_SHIFT 32u
#define TURN_SHIFT (TAG_SHIFT + LSI_PROCESS_TAG_SHORT_BITS)
#define TAG_MASK ((UINT64_C(1) << LSI_PROCESS_TAG_SHORT_BITS) - 1)
#define TURNS ((1u << (64u - TURN_SHIFT)) - 1)

_Static_assert((int)LSI_BUDGET_CONSUMER_WORDS <= LSI_SLOT_BUDGET_WORDS, "a slot has room for a consumer's words");

static uint64_t ticket_new(lsi_local *local, int64_t now_us)
{
    uint64_t turn = 1 + atomic_fetch_add_explicit(&local->hold_count, 1, memory_order_relaxed) % TURNS;

    return turn << TURN_SHIFT | (lsi_control_process_tag(local->control) & TAG_MASK) << TAG_SHIFT |
        (uint32_t)(now_us / 1000);
}

/* For how long it holds against others, in milliseconds. 0: it may be replaced. */
static uint32_t holds_for_ms(lsi_local *local, uint64_t ticket, int64_t now_us)
{
    uint32_t age_ms = (uint32_t)(now_us / 1000) - (uint32_t)ticket;

    if (ticket == 0 || age_ms >= LSI_HOLD_MS ||
        lsi_control_is_gone(local->control, ticket >> TAG_SHIFT & TAG_MASK, LSI_PROCESS_TAG_SHORT_BITS))
        return 0;
    return LSI_HOLD_MS - age_ms;
}

static ls_status was_deregistered(const lsi_local_stream *stream, const lsi_consumer *consumer)
{
    return lsi_fail(LS_ERR_NOT_FOUND, "consumer '%s' of stream '%s' was deregistered", consumer->name, stream->name);
}

/* Whether the manifest has it, and it may subscribe. */
static ls_status check_consumer(const lsi_local_stream *stream, const lsi_consumer *consumer)
{
    lsi_local *local = lsi_local_of_stream(&stream->base);
    const lsi_consumer *found;
    lsi_catalog *catalog;
    ls_status st = lsi_local_catalog(local, &catalog);

    if (st != LS_OK)
        return st;
    found = lsi_catalog_find_consumer(catalog, consumer->id);
    if (found == NULL || found->status == LS_CONSUMER_DELETING)
        st = was_deregistered(stream, consumer);
    else if (found->status == LS_CONSUMER_CREATING &&
             lsi_wall_us(&local->base.env.clock) < found->status_until_us)
        st = lsi_fail(LS_ERR_STATE, "consumer '%s' of stream '%s' is being created", consumer->name, stream->name);
    lsi_catalog_unref(catalog);
    return st;
}

ls_status lsi_local_consumer_slot(const lsi_local_stream *stream, const lsi_consumer *consumer, uint32_t shard,
                                  lsi_slot **out)
{
    lsi_local *local = lsi_local_of_stream(&stream->base);
    ls_status st = lsi_control_slot(local->control, LSI_SLOT_CONSUMER, lsi_consumer_slot_id(consumer->id), shard, out);

    /* After the slot: who deregisters ends those that are there by then, and this one would never be told. */
    if (st == LS_OK)
        st = check_consumer(stream, consumer);
    if (st == LS_ERR_NOT_FOUND && lsi_control_try_lock(local->control)) {
        /* Else it stays until a boot. */
        lsi_control_drop_stream(local->control, lsi_consumer_slot_id(consumer->id), stream->id);
        lsi_control_unlock(local->control);
    }
    return st;
}

ls_status lsi_local_hold(lsi_engine_stream *base, const lsi_consumer *consumer, uint32_t shard, bool is_limited,
                         lsi_hold *out)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    lsi_local *local = lsi_local_of_stream(base);
    const lsi_clock *clock = &local->base.env.clock;
    lsi_budget_word *holder;
    uint64_t before, ticket;
    lsi_error_state error;
    lsi_refusal why;
    lsi_slot *slot;
    ls_status st = lsi_local_stream_check_usable(stream);

    if (st == LS_OK)
        st = lsi_local_consumer_slot(stream, consumer, shard, &slot);
    if (st != LS_OK)
        return st;
    holder = &slot->budget[LSI_BUDGET_HOLDER];
    before = atomic_load_explicit(holder, memory_order_relaxed);
    do {
        uint32_t wait_ms = holds_for_ms(local, before, lsi_monotonic_us(clock));

        if (wait_ms > 0)
            return lsi_fail(LS_ERR_STATE, "consumer '%s' has a subscription to stream '%s' shard %" PRIu32
                            ": another one may take it over in %" PRIu32 " ms", consumer->name, stream->name, shard,
                            wait_ms);
        if (is_limited && !lsi_rates_admit_subscribe(slot->budget, lsi_monotonic_us(clock), &why))
            return lsi_rates_refuse(&why, stream->name, shard);
        is_limited = false; /* It was paid for. */
        ticket = ticket_new(local, lsi_monotonic_us(clock));
        /* Relaxed: what was read is checked by itself; the word says nothing of any other memory. */
    } while (!atomic_compare_exchange_strong_explicit(holder, &before, ticket, memory_order_relaxed,
                                                      memory_order_relaxed));
    *out = (lsi_hold){slot->budget, ticket};
    if (before == 0)
        return LS_OK;
    /* Its owner may sleep: on the shard, which nobody may have looked at here, or on all. */
    lsi_error_save(&error);
    if (lsi_control_slot_find(local->control, LSI_SLOT_SHARD, stream->id, shard, &slot) != LS_OK)
        lsi_error_restore(&error); /* He looks by himself, a little later. */
    else if (slot != NULL)
        lsi_slots_wake(slot, NULL);
    lsi_slots_wake(stream->slot, NULL);
    return LS_OK;
}

static lsi_slot *slot_of_hold(const lsi_hold *hold)
{
    return (lsi_slot *)(void *)((unsigned char *)hold->budget - offsetof(lsi_slot, budget));
}

ls_status lsi_local_hold_check(lsi_engine_stream *base, const lsi_consumer *consumer, uint32_t shard,
                               const lsi_hold *hold)
{
    const lsi_local_stream *stream = lsi_local_stream_of(base);
    const lsi_slot *slot = slot_of_hold(hold);
    ls_status st = lsi_local_check_mine(lsi_local_of_stream(base));

    if (st != LS_OK)
        return st;
    /* Acquire pairs with lsi_control_drop_stream, which also ends it when the slot is another's by now. */
    if (atomic_load_explicit(&slot->stream, memory_order_acquire) != lsi_consumer_slot_id(consumer->id))
        return was_deregistered(stream, consumer);
    if (atomic_load_explicit(&hold->budget[LSI_BUDGET_HOLDER], memory_order_relaxed) != hold->ticket)
        return lsi_fail(LS_ERR_LEASE_LOST, "consumer '%s': another subscription to stream '%s' shard %" PRIu32
                        " has taken over", consumer->name, stream->name, shard);
    /* Nobody ends slots that only stand in for the file's (E6). */
    return lsi_control_is_private(lsi_local_of_stream(base)->control) ? check_consumer(stream, consumer) : LS_OK;
}

void lsi_local_hold_end(lsi_engine_stream *base, const lsi_hold *hold)
{
    uint64_t mine = hold->ticket;

    if (lsi_local_check_mine(lsi_local_of_stream(base)) == LS_OK) /* P9: a child's memory is not mapped any more */
        (void)atomic_compare_exchange_strong_explicit(&hold->budget[LSI_BUDGET_HOLDER], &mine, 0, memory_order_relaxed,
                                                      memory_order_relaxed); /* lost already: nothing to end */
}
