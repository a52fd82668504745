/* Steps: frames in several logs that count together or not at all.
 *
 * Whether a step is taken is decided elsewhere, by one durable write in a place that each of its frames names, after
 * all of them are durable. Until then a frame is behind committed_end, where nobody looks, and append_lock is held. So
 * of each log only the last frame can be one of which this is open: behind it something is written only when it counts.
 *
 *     (nothing) --write--> hidden --sync--> hidden, durable --+--show--> a frame like others
 *                                                             +--drop--> nobody's; a new segment follows (R5)
 *                                                             +--leave--> left
 *
 * Who dies leaves it, too. Then it lies between committed_end and write_end, as whatever the dead were writing (S2); a
 * recovery finds it where the log ends, and leaves it the same way. Who needs to know asks `decide` of lsi_log_config,
 * and shows or drops it. Numbers are not given twice: what is dropped has used up those of its segment (D4). */
#include "storage/log.h"

#include <assert.h>

#include "base/patience.h"
#include "base/status.h"
#include "storage/seal.h"

ls_status lsi_log_step_prepare(lsi_log *log, lsi_framer *framer)
{
    lsi_segment *segment;
    lsi_log_terms terms;
    lsi_slot *slot;
    ls_status st = lsi_log_ready(log, &slot);

    if (st == LS_OK && log->config.read_only)
        st = lsi_fail(LS_ERR_READ_ONLY, "%s: the store was opened for reading", log->config.label);
    if (st == LS_OK)
        st = lsi_log_lock(log, slot, false);
    if (st != LS_OK)
        return st;
    st = lsi_log_segment(log, slot, atomic_load_explicit(&slot->segment, memory_order_relaxed), &segment);
    bool rolls = (atomic_load_explicit(&slot->roll_first, memory_order_relaxed) & LSI_ROLL_FIRST_TERMS) != 0;
    if (st == LS_OK) {
        terms = segment->header.terms;
        lsi_segment_unref(segment);
    }
    lsi_log_unlock(slot);
    if (st == LS_OK && rolls && log->config.terms != NULL)
        st = log->config.terms(log->config.terms_user, &terms);
    if (st != LS_OK || terms.key_id_bytes == 0)
        return st;
    st = lsi_framer_make_sealing(framer);
    return st == LS_OK ? lsi_log_ask_for_key(&log->config, &terms) : st;
}

/* Locks: append_lock held. */
static ls_status segment_of(lsi_log *log, lsi_slot *slot, lsi_segment **out)
{
    return lsi_log_segment(log, slot, atomic_load_explicit(&slot->segment, memory_order_relaxed), out);
}

ls_status lsi_log_step_sync(lsi_log *log)
{
    return lsi_log_sync_hidden(log, lsi_log_slot(log), log->tail); /* through what it was written through (S4) */
}

void lsi_log_step_show(lsi_log *log)
{
    const struct lsi_log_step *step = &log->step;
    lsi_slot *slot = lsi_log_slot(log);

    assert(lsi_load(&slot->write_end) == step->end);
    atomic_store_explicit(&slot->last_arrival_us, step->arrival_us, memory_order_relaxed);
    atomic_store_explicit(&slot->next_seqno, step->first_seqno + step->count, memory_order_release);
    atomic_store_explicit(&slot->committed_end, step->end, memory_order_release); /* S1 */
    /* S4: it was synced, unless a sync failed since. */
    if (atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_HEALTHY)
        lsi_log_note_durable(log, slot, log->tail, step->end);
    atomic_store_explicit(&slot->step, 0, memory_order_release); /* Who copies waits for it. */
    if (step->position >= lsi_load(&slot->indexed_end))
        lsi_log_pass_index_mark(log, slot, log->tail,
                                &(lsi_index_entry){step->position, step->first_seqno, step->arrival_us});
    lsi_log_unlock(slot);
    if (log->config.durability != LS_DURABILITY_SYNC)
        lsi_slots_wake(slot, log->config.stream_slot);
}

void lsi_log_step_drop(lsi_log *log)
{
    lsi_slot *slot = lsi_log_slot(log);

    (void)atomic_fetch_or_explicit(&slot->roll_first, LSI_ROLL_FIRST_NUMBERS | LSI_ROLL_FIRST_TORN,
                                   memory_order_relaxed);
    atomic_store_explicit(&slot->step, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->write_end, lsi_load(&slot->committed_end), memory_order_release);
    lsi_log_unlock(slot);
}

void lsi_log_step_leave(lsi_log *log)
{
    lsi_log_unlock(lsi_log_slot(log));
}

/* For one's own eyes. */
static ls_status look(lsi_log *log, lsi_slot *slot)
{
    uint64_t end = lsi_load(&slot->write_end);
    lsi_segment *segment = NULL;
    bool is_taken = false;
    lsi_frame frame = {0};
    lsi_frame_result result;
    uint64_t position;
    lsi_walk walk;
    ls_status st = lsi_segment_open(&log->config, atomic_load_explicit(&slot->segment, memory_order_relaxed), false,
                                    &segment);

    if (st != LS_OK)
        return st;
    lsi_walk_begin(&walk, log->config.env, segment, lsi_load(&slot->committed_end), end, true);
    st = lsi_walk_next(&walk, &frame, &position, &result);
    lsi_walk_end(&walk);
    lsi_segment_unref(segment);
    if (st == LS_OK && result == LSI_FRAME_VALID && log->config.decide != NULL)
        st = log->config.decide(log->config.decide_user, frame.decider, &log->config, frame.first_seqno, true,
                                &is_taken);
    if (st != LS_OK || !is_taken)
        return st;
    atomic_store_explicit(&slot->committed_end, end, memory_order_seq_cst);
    atomic_store_explicit(&slot->durable_end, end, memory_order_seq_cst);
    atomic_store_explicit(&slot->step, 0, memory_order_release);
    return LS_OK;
}

/* Who showed it died before he noted that it is durable, and in SYNC nobody sees it before that is noted. Locks:
 * append_lock held. */
static ls_status finish(lsi_log *log, lsi_slot *slot)
{
    lsi_segment *segment;
    ls_status st = LS_OK;

    if (atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_HEALTHY) {
        st = segment_of(log, slot, &segment);
        if (st != LS_OK)
            return st;
        st = lsi_log_sync_segment(log, slot, segment, lsi_load(&slot->committed_end));
        lsi_segment_unref(segment);
    }
    if (st == LS_OK)
        atomic_store_explicit(&slot->step, 0, memory_order_release);
    return st;
}

ls_status lsi_log_step_settle(lsi_log *log)
{
    lsi_error_state before;
    lsi_slot *slot;
    ls_status st = lsi_log_ready(log, &slot);

    if (st != LS_OK || !lsi_log_has_step(slot))
        return st;
    if (log->config.read_only)
        return look(log, slot);
    lsi_error_save(&before);
    if (!lsi_log_try_bare_lock(slot))
        return LS_OK; /* Somebody is at it. */
    bool is_left = lsi_load(&slot->write_end) != lsi_load(&slot->committed_end);
    if (!is_left)
        st = finish(log, slot);
    lsi_log_unlock(slot);
    if (is_left) {
        st = lsi_log_lock(log, slot, true);
        if (st == LS_OK)
            lsi_log_unlock(slot);
        else if (st == LS_ERR_BUSY) {
            lsi_error_restore(&before);
            st = LS_OK;
        }
    }
    return st;
}

ls_status lsi_log_step_seal(lsi_log *log, ls_seqno first_seqno)
{
    lsi_slot *slot;
    ls_status st = lsi_log_ready(log, &slot);

    if (st == LS_OK)
        st = lsi_log_lock(log, slot, true);
    if (st != LS_OK)
        return st;
    /* A frame behind it may not be durable yet, and a roll makes it so. */
    if (atomic_load_explicit(&slot->closed, memory_order_relaxed) == LSI_LOG_OPEN &&
        atomic_load_explicit(&slot->health, memory_order_relaxed) == LSI_SHARD_HEALTHY) {
        lsi_segment *segment;
        st = segment_of(log, slot, &segment);
        bool is_in_last = st == LS_OK && first_seqno >= segment->header.base_seqno;
        if (st == LS_OK)
            lsi_segment_unref(segment);
        if (is_in_last)
            st = lsi_log_roll(log, slot, 0, false);
    }
    lsi_log_unlock(slot);
    return st;
}
