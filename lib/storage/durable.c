/* Making a log durable: syncing its last segment, for one's own put and for those of others.
 *
 * Group commit: whoever finds sync_lock free leads, and syncs for all that was committed before; the others sleep on
 * sync_word. The lock only elects. Several syncs at once would be right too, merely wasteful, so a follower whose
 * leader was stopped (not killed) syncs by itself after a second, or when its call has no patience left. */
#include "storage/log.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/patience.h"
#include "base/status.h"
#include "metrics/metrics.h"

#define FOLLOW_US 20000         /* a follower looks again at least this often: a dead leader says nothing */
#define IMPATIENT_MS 1000u      /* after this long, or its call's patience, a follower leads, whoever holds the lock */
#define GATHER_US 80            /* a leader waits this long at most for those who put a moment ago */
#define REWRITE_BYTES (256u << 10)
#define REWRITE_BYTES_FEW 4096u /* on the stack */

/* E1. The first errno stays. */
ls_status lsi_log_fail(lsi_log *log, lsi_slot *slot, int err)
{
    uint32_t healthy = LSI_SHARD_HEALTHY;

    atomic_store_explicit(&slot->failed_errno, (uint32_t)err, memory_order_relaxed);
    (void)atomic_compare_exchange_strong_explicit(&slot->health, &healthy, LSI_SHARD_FAILED, memory_order_acq_rel,
                                                  memory_order_acquire); /* Pairs with the loads of health. */
    (void)atomic_fetch_add_explicit(&slot->sync_word, 1, memory_order_seq_cst);
    lsi_word_wake_all(&slot->sync_word);
    lsi_env_log(log->config.env, LS_LOG_ERROR, "%s: a sync failed (errno %d): it refuses puts from now on",
            log->config.label, err);
    ls_status st = lsi_fail_errno(err, "%s: syncing; the outcome of what was not durable yet is unknown",
                                  log->config.label);
    return st == LS_ERR_IO ? st : lsi_fail(LS_ERR_IO, "%s: syncing failed: errno %d", log->config.label, err);
}

static ls_status already_failed(lsi_log *log, lsi_slot *slot)
{
    return lsi_fail(LS_ERR_IO, "%s: a sync failed (errno %u); the outcome of what was not durable yet is unknown",
                    log->config.label, atomic_load_explicit(&slot->failed_errno, memory_order_relaxed));
}

/* A put that waited, or was stopped while it did, finds durable_end behind it: did a reset raise that? The list knows
 * what was given up, and a reset that is under way will, for better or worse. */
static ls_status was_given_up(lsi_log *log, lsi_slot *slot, uint64_t end)
{
    lsi_segment_list *list;

    if (atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FAILED)
        return already_failed(log, slot);
    bool is_kept = false;
    if (!lsi_log_is_deleted(log, slot)) {
        ls_status st = lsi_log_list(log, slot, &list);
        if (st != LS_OK)
            return st;
        is_kept = end > list->entries[0].base && lsi_skip_at(list, end - 1) == NULL;
        lsi_segment_list_unref(list);
    }
    if (!is_kept) /* Or it is trimmed or deleted since, and nobody knows any more. */
        return lsi_fail(LS_ERR_IO, "%s: a sync failed, and a reset gave up what was not durable", log->config.label);
    return LS_OK;
}

/* E2: bytes somebody else wrote before this descriptor was open may have failed to reach the disk without this
 * descriptor ever hearing of it. Writing them again makes the next sync tell the truth. Without memory it is slower. */
int lsi_log_write_again(const lsi_log *log, const lsi_segment *segment, uint64_t from, uint64_t to)
{
    const lsi_memory *memory = &log->config.env->memory;
    unsigned char few[REWRITE_BYTES_FEW], *many = lsi_alloc(memory, REWRITE_BYTES), *buffer = many != NULL ? many : few;
    size_t most = many != NULL ? REWRITE_BYTES : sizeof few;
    int rc = 0;

    while (from < to && rc >= 0) {
        size_t size = to - from > most ? most : (size_t)(to - from);
        uint64_t offset = from - segment->header.base + LSI_SEGMENT_HEADER_BYTES;
        int64_t got = segment->file.files->read(&segment->file, buffer, size, offset);
        if (got != (int64_t)size)
            rc = got < 0 ? (int)got : -EIO;
        else
            rc = lsi_file_write_one(&segment->file, buffer, size, offset);
        from += size;
    }
    lsi_free(memory, many);
    return rc;
}

/* A repair may have made readers step over what is there. */
static uint64_t skipped_to(const lsi_log *log, uint64_t position)
{
    lsi_segment_list *list;
    uint64_t to = position;

    if (lsi_segment_list_load(&log->config, &list) != LS_OK)
        return to;
    for (const lsi_skip *skip; (skip = lsi_skip_at(list, to)) != NULL;)
        to = skip->to;
    lsi_segment_list_unref(list);
    return to;
}

/* E2: whether they are still what was written. The kernel forgets pages that it could not write, and reads what the
 * disk has then: nobody may be told that this is durable. `end` is the end of a frame. Without memory to look they
 * count as right: whoever reads them finds out. */
static bool are_whole(const lsi_log *log, const lsi_segment *segment, uint64_t from, uint64_t to, uint64_t end)
{
    lsi_error_state before;
    lsi_walk walk;
    ls_status st = LS_OK;
    bool whole = true;

    lsi_error_save(&before);
    lsi_walk_begin(&walk, log->config.env, segment, from, end, true);
    while (st == LS_OK && whole && walk.at < to) {
        lsi_frame frame;
        lsi_frame_result result;
        uint64_t position;

        st = lsi_walk_next(&walk, &frame, &position, &result);
        if (st != LS_OK || result == LSI_FRAME_VALID)
            continue;
        walk.at = skipped_to(log, position);
        whole = walk.at > position;
    }
    lsi_walk_end(&walk);
    lsi_error_restore(&before);
    return whole && (st == LS_OK || st == LS_ERR_NO_MEMORY);
}

/* The kernel tells a lost write once to each descriptor. Of two threads that sync through one, the other would be told
 * that all is well, and could raise durable_end before the first has said what he heard (E1). */
static int sync_alone(lsi_segment *segment)
{
    int rc;

    lsi_lock_hold(&segment->sync_lock, LSI_RANK_FILE);
    rc = segment->sync_failed;
    if (rc == 0)
        rc = segment->sync_failed = segment->file.files->sync(&segment->file, true);
    lsi_lock_release(&segment->sync_lock, LSI_RANK_FILE);
    return rc;
}

/* `end`: of what others may have written and this descriptor not seen. */
static ls_status sync_bytes(lsi_log *log, lsi_slot *slot, lsi_segment *segment, uint64_t durable, uint64_t end)
{
    uint64_t from = durable > segment->header.base ? durable : segment->header.base;

    if (from < segment->held_from && from < end) {
        uint64_t to = end < segment->held_from ? end : segment->held_from;
        int rc = are_whole(log, segment, from, to, end) ? lsi_log_write_again(log, segment, from, to) : -EIO;
        if (rc < 0)
            return lsi_log_fail(log, slot, -rc);
    }
    int rc = sync_alone(segment);
    if (rc < 0)
        return lsi_log_fail(log, slot, -rc);
    if (atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FAILED)
        return already_failed(log, slot); /* Somebody else's sync met what ours no longer sees. */
    return LS_OK;
}

void lsi_log_note_durable(lsi_log *log, lsi_slot *slot, const lsi_segment *segment, uint64_t end)
{
    uint64_t durable = lsi_load(&slot->durable_end);

    /* First the watermark: when all processes are gone it alone says what of a shard that FAILED is durable, and who
     * sees durable_end raised acknowledges what is below. Unless a reset was faster: then it is another segment's. */
    if (end > lsi_load(&slot->given_up_to))
        lsi_watermark_note(slot, segment->header.number, end);
    /* S4. Several may raise it; it never falls. Release pairs with lsi_load. */
    while (durable < end && !atomic_compare_exchange_weak_explicit(&slot->durable_end, &durable, end,
                                                                   memory_order_seq_cst, memory_order_acquire)) {
    }
    if (log->config.durability == LS_DURABILITY_SYNC)
        lsi_slots_wake(slot, log->config.stream_slot);
}

ls_status lsi_log_sync_segment(lsi_log *log, lsi_slot *slot, lsi_segment *segment, uint64_t end)
{
    uint64_t durable = lsi_load(&slot->durable_end);

    if (atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FAILED)
        return already_failed(log, slot);
    if (durable >= end)
        return LS_OK;
    ls_status st = sync_bytes(log, slot, segment, durable, end);
    if (st == LS_OK)
        lsi_log_note_durable(log, slot, segment, end);
    return st;
}

ls_status lsi_log_sync_hidden(lsi_log *log, lsi_slot *slot, lsi_segment *segment)
{
    uint64_t durable = lsi_load(&slot->durable_end), end = lsi_load(&slot->committed_end);

    if (atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FAILED)
        return already_failed(log, slot);
    ls_status st = sync_bytes(log, slot, segment, durable, end);
    if (st == LS_OK && durable < end)
        lsi_log_note_durable(log, slot, segment, end);
    return st;
}

static ls_status sync_measured(lsi_log *log, lsi_slot *slot, lsi_segment *segment, uint64_t end)
{
    const lsi_clock *clock = &log->config.env->clock;
    int64_t began_us = lsi_monotonic_us(clock);
    ls_status st = lsi_log_sync_segment(log, slot, segment, end);

    if (st == LS_OK && log->config.sync_counts != NULL)
        lsi_count_duration(log->config.sync_counts, lsi_monotonic_us(clock) - began_us);
    return st;
}

/* Syncs all that is committed now. */
static ls_status lead(lsi_log *log, lsi_slot *slot)
{
    for (;;) {
        /* An end that was read between two equal numbers lies in that segment: a roll changes the number before
         * anything is committed in the new one. */
        uint32_t number = atomic_load_explicit(&slot->segment, memory_order_acquire);
        uint64_t end = lsi_load(&slot->committed_end);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&slot->segment, memory_order_acquire) != number)
            continue;
        if (lsi_load(&slot->durable_end) >= end)
            return LS_OK;
        lsi_segment *segment;
        ls_status st = lsi_log_segment(log, slot, number, &segment);
        if (st != LS_OK) {
            if (atomic_load_explicit(&slot->segment, memory_order_acquire) != number)
                continue; /* Rolled, and trimmed, meanwhile. */
            return st;
        }
        st = sync_measured(log, slot, segment, end);
        lsi_segment_unref(segment);
        return st;
    }
}

/* Those of the last group have just been told, and most of them are about to append again; who came while it was synced
 * is here. A sync that begins a moment later serves them all, where else two halves would take turns. It yields: with
 * fewer processors than producers they need this one. A producer that is alone never waits. Gives how many came. */
static uint32_t gather(const lsi_log *log, lsi_slot *slot)
{
    uint32_t expected = atomic_load_explicit(&slot->sync_group, memory_order_relaxed);

    if (expected > 1) {
        const lsi_clock *clock = &log->config.env->clock;
        int64_t until = lsi_monotonic_us(clock) + GATHER_US;
        while (atomic_load_explicit(&slot->sync_arrived, memory_order_relaxed) < expected &&
               lsi_monotonic_us(clock) < until)
            lsi_lock_pause();
    }
    return atomic_exchange_explicit(&slot->sync_arrived, 0, memory_order_relaxed);
}

/* Sleeps until the leader has synced, or a little. False: it is time to lead beside him. `*waited_us`: so long
 * already. */
static bool follow(lsi_log *log, lsi_slot *slot, uint32_t seen, uint64_t end, int64_t *waited_us)
{
    const lsi_env *env = log->config.env;
    int64_t left_us = (int64_t)IMPATIENT_MS * 1000 - *waited_us, call_us = lsi_patience_us(env->busy_timeout_ms);
    int64_t from_us = lsi_monotonic_us(&env->clock), took_us;

    if (left_us > call_us)
        left_us = call_us;
    if (left_us <= 0)
        return false;
    atomic_store_explicit(&slot->sync_wanted, 1, memory_order_seq_cst);
    if (lsi_load(&slot->durable_end) >= end)
        return true;
    /* The caller looks again. */
    (void)lsi_word_sleep(&slot->sync_word, seen, left_us < FOLLOW_US ? left_us : FOLLOW_US);
    took_us = lsi_monotonic_us(&env->clock) - from_us;
    *waited_us += took_us;
    lsi_patience_spend(took_us);
    return true;
}

/* `given_up_before`: what resets had given up when `end` was committed. */
static ls_status commit(lsi_log *log, lsi_slot *slot, uint64_t end, uint64_t given_up_before)
{
    int64_t waited_us = 0;

    (void)atomic_fetch_add_explicit(&slot->sync_arrived, 1, memory_order_relaxed);
    while (lsi_load(&slot->durable_end) < end) {
        if (atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FAILED)
            return already_failed(log, slot);
        if (lsi_log_is_deleted(log, slot))
            return lsi_log_deleted(log);
        uint32_t seen = atomic_load_explicit(&slot->sync_word, memory_order_seq_cst);
        lsi_lock_result got = lsi_lock_try(&slot->sync_lock, LSI_RANK_SYNC);
        if (got == LSI_LOCKED || got == LSI_LOCKED_AFTER_DEATH) {
            if (got == LSI_LOCKED_AFTER_DEATH)
                /* The dead leader left nothing half done: durable_end is one word. */
                lsi_lock_repaired(&slot->sync_lock);
            uint32_t served = gather(log, slot);
            ls_status st = lead(log, slot);
            atomic_store_explicit(&slot->sync_group,
                                  served + atomic_load_explicit(&slot->sync_arrived, memory_order_relaxed),
                                  memory_order_relaxed);
            lsi_lock_release(&slot->sync_lock, LSI_RANK_SYNC);
            /* After the release: who finds the lock taken has seen the word before this, and sleeps only if it is still
             * the same. Pairs with the follower's store of sync_wanted, which comes before its sleep. */
            (void)atomic_fetch_add_explicit(&slot->sync_word, 1, memory_order_seq_cst);
            if (atomic_exchange_explicit(&slot->sync_wanted, 0, memory_order_seq_cst) != 0) {
                /* Once more: who has seen it as it is now, found the next leader at work and said that he will sleep
                 * may have been counted here before he does. Nobody would wake him: he must see another one. */
                (void)atomic_fetch_add_explicit(&slot->sync_word, 1, memory_order_seq_cst);
                lsi_word_wake_all(&slot->sync_word);
            }
            if (st != LS_OK)
                return st;
            continue;
        }
        if (got == LSI_LOCK_BROKEN || !follow(log, slot, seen, end, &waited_us)) {
            ls_status st = lead(log, slot);
            if (st != LS_OK)
                return st;
        }
    }
    /* Sequentially consistent, behind durable_end: see give_up in log.c. */
    uint64_t given_up = atomic_load_explicit(&slot->given_up_to, memory_order_seq_cst);
    return end <= given_up && given_up != given_up_before ? was_given_up(log, slot, end) : LS_OK;
}

ls_status lsi_log_commit(lsi_log *log, uint64_t end)
{
    /* What is put ends behind all that was given up before. */
    ls_status st = commit(log, atomic_load_explicit(&log->slot, memory_order_acquire), end, 0);
    lsi_error_state why;

    if (st == LS_OK || st == LS_ERR_IO || st == LS_ERR_NOT_FOUND)
        return st;
    /* D7: it was written, and the next sync may make it durable; any other status says that nothing was. */
    lsi_error_save(&why);
    return lsi_fail(LS_ERR_IO, "%s: it was not synced, and whether it will be is not known: %s", log->config.label,
                    why.message);
}

ls_status lsi_log_sync(lsi_log *log)
{
    lsi_slot *slot;
    ls_status st = lsi_log_ready(log, &slot);
    if (st != LS_OK || log->config.read_only)
        return st;
    if (atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_DAMAGED)
        return LS_OK; /* Nothing was appended since it was found. */
    uint64_t given_up = atomic_load_explicit(&slot->given_up_to, memory_order_seq_cst);
    uint64_t end = lsi_load(&slot->committed_end);
    if (lsi_slot_kept_end(slot) < end && atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FAILED)
        return already_failed(log, slot); /* Also when a reset failed half way. */
    return commit(log, slot, end, given_up);
}
