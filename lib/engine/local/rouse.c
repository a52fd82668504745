/* Waking those whom one who was killed should have woken.
 *
 * Who changes what others wait for wakes them afterwards, and may be killed in between. Everybody who sleeps could look
 * again after a while for that, and does when he is alone; where a process has a thousand sleepers, one thread looks
 * for all of them, at the words alone: what has changed since its last look, of the slots of the streams in use here,
 * ends the sleeps of those who say that they sleep there. Mostly nobody does any more, for he was woken.
 *
 * Readers that look for records in vain do the upkeep of their stream. So of a few streams whose upkeep is due, in
 * turn, one sleeper each is woken, too. */
#include "engine/local/local.h"

#define UPKEEP_STREAMS 8u /* of a look */

/* Locks: engine->lock held. */
static void rouse_stream(lsi_local_stream *stream, uint64_t mark)
{
    uint32_t count = atomic_load_explicit(&stream->shards.count, memory_order_acquire); /* as lsi_local_shards_find */
    uint64_t generation = atomic_load_explicit(&stream->slot->generation, memory_order_acquire), of_all = mark;
    lsi_slot *slot;

    for (uint32_t i = 0; i < count; i++) {
        lsi_local_shard *shard = lsi_local_shards_at(&stream->shards, i);
        /* Acquire: as lsi_local_stream_log. */
        lsi_log *log = atomic_load_explicit(&shard->log, memory_order_acquire);

        slot = log != NULL ? lsi_log_slot(log) : NULL;
        if (slot != NULL)
            lsi_slot_rouse(slot, mark, &shard->roused);
        of_all += shard->roused;
    }
    lsi_slot_rouse(stream->slot, of_all, &stream->roused);
    slot = lsi_local_state_slot(stream);
    if (slot != NULL)
        lsi_slot_rouse(slot, mark ^ generation, &stream->roused_state);
}

/* Wakes one who waits for records of it. Locks: engine->lock held. */
static void wake_for_upkeep(lsi_local_stream *stream)
{
    uint32_t count = atomic_load_explicit(&stream->shards.count, memory_order_acquire); /* as lsi_local_shards_find */

    for (uint32_t i = 0; i < count; i++) {
        lsi_log *log = atomic_load_explicit(&lsi_local_shards_at(&stream->shards, i)->log, memory_order_acquire);
        lsi_slot *slot = log != NULL ? lsi_log_slot(log) : NULL;

        if (slot != NULL && lsi_slot_wake_one(slot))
            return;
    }
}

void lsi_local_rouse(lsi_engine *engine)
{
    lsi_local *local = lsi_local_of(engine);
    uint64_t mark;
    uint32_t woken = 0, at = 0;
    int64_t now_us = lsi_passing_us(&engine->env.clock);

    if (engine->read_only || !lsi_control_is_mine(local->control))
        return;
    mark = lsi_control_manifest_generation(local->control);
    lsi_local_lock(local);
    if (mark % 2 != 0) /* Who is replacing it may have died: whoever looks settles that, so all look each time. */
        mark += ++local->rouse_count << 32;
    for (lsi_local_stream *stream = local->streams; stream != NULL; stream = stream->next, at++) {
        rouse_stream(stream, mark);
        if (at < local->rouse_from || woken == UPKEEP_STREAMS || !lsi_local_upkeep_is_due(stream, now_us))
            continue;
        wake_for_upkeep(stream);
        if (++woken == UPKEEP_STREAMS)
            local->rouse_from = at + 1;
    }
    if (woken < UPKEEP_STREAMS)
        local->rouse_from = 0;
    lsi_local_unlock(local);
}
