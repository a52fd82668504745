/* What trimming took from readers before they had read it, counted for all processes together.
 *
 * Nobody is waited for when a stream is trimmed, so somebody must be able to see what that cost. Who notices is the
 * reader that is told; so what is counted is what was told, once for each that was. The sums are in the stream's slot,
 * and, of a registered consumer, in one slot of its own, made when there is something to count. They go with the
 * control file: the next boot begins at nothing. Single words, each right by itself; who reads them meanwhile may see a
 * part of one cut. */
#include "base/status.h"
#include "engine/local/local.h"

#define NO_SHARD_OF_ITS_OWN UINT32_MAX /* in the place of a shard's index: the consumer's slot for all of them */

static void add(lsi_slot *slot, const lsi_cut *cut, int64_t now_us)
{
    (void)atomic_fetch_add_explicit(&slot->cut_count, 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&slot->cut_records, cut->records, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&slot->cut_bytes, cut->bytes, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&slot->cut_ms, cut->ms, memory_order_relaxed);
    atomic_store_explicit(&slot->cut_last_us, now_us, memory_order_relaxed);
}

lsi_cuts lsi_local_cuts_of(const lsi_slot *slot)
{
    return (lsi_cuts){
        .count = atomic_load_explicit(&slot->cut_count, memory_order_relaxed),
        .sum.records = atomic_load_explicit(&slot->cut_records, memory_order_relaxed),
        .sum.bytes = atomic_load_explicit(&slot->cut_bytes, memory_order_relaxed),
        .sum.ms = atomic_load_explicit(&slot->cut_ms, memory_order_relaxed),
        .last_us = atomic_load_explicit(&slot->cut_last_us, memory_order_relaxed),
    };
}

void lsi_local_count_cut(lsi_engine_stream *base, const lsi_consumer *consumer, const lsi_cut *cut)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    int64_t now_us = lsi_wall_us(&base->engine->env.clock);
    lsi_error_state before;
    lsi_slot *slot;

    lsi_error_save(&before);
    if (lsi_local_check_mine(lsi_local_of_stream(base)) == LS_OK) { /* P9: a child's memory is not mapped any more */
        add(stream->slot, cut, now_us);
        if (consumer != NULL && lsi_local_consumer_slot(stream, consumer, NO_SHARD_OF_ITS_OWN, &slot) == LS_OK)
            add(slot, cut, now_us);
    }
    lsi_error_restore(&before);
}

lsi_cuts lsi_local_consumer_cuts(lsi_local *local, uint64_t consumer)
{
    lsi_error_state before;
    lsi_slot *slot = NULL;
    lsi_cuts none = {0};

    lsi_error_save(&before);
    if (lsi_control_slot_find(local->control, LSI_SLOT_CONSUMER, lsi_consumer_slot_id(consumer), NO_SHARD_OF_ITS_OWN,
                              &slot) != LS_OK)
        lsi_error_restore(&before);
    return slot != NULL ? lsi_local_cuts_of(slot) : none;
}
