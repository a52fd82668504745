/* A log's end: after it nothing is appended any more, in any process.
 *
 * Whether a log is closed is decided outside of it, together with other things, in one step that this file knows
 * nothing of. So closing has two halves, and a word in the slot that all appends look at under the lock:
 *
 *     OPEN --(lsi_log_closing_begin)--> CLOSING --(lsi_slot_closing_ended)--> CLOSED, or OPEN again
 *
 * In CLOSING everything is durable and append_lock is held, unless the closer died or could not learn the outcome: then
 * appends find the word and not the lock, write nothing, and send their callers to find out what was decided.
 *
 * An end that was decided is stated where the log's configuration comes from, so it outlives the slot (S9). */
#include "storage/log.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/status.h"
#include "storage/numbered.h"

void lsi_log_release_tail(lsi_log *log)
{
    lsi_segment *current;

    lsi_descriptors_let_go(log->config.descriptors, &log->holder);
    lsi_segment_unref(log->tail);
    log->tail = NULL;
    lsi_lock_hold(&log->local, LSI_RANK_LOCAL);
    current = log->current;
    log->current = NULL;
    lsi_lock_release(&log->local, LSI_RANK_LOCAL);
    lsi_segment_unref(current);
}

/* Whether closing the files of `segment` now loses nothing that a sync has yet to say (E2). Locks: append_lock held. */
static bool is_settled(lsi_log *log, lsi_slot *slot, lsi_segment *segment, bool sync)
{
    uint64_t committed = lsi_load(&slot->committed_end);
    lsi_error_state before;

    if (lsi_log_is_deleted(log, slot) || atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FAILED)
        return true; /* Nothing of it is synced any more. */
    if (lsi_load(&slot->write_end) != committed)
        return false; /* Somebody died: what he left is for who appends next (S2). */
    if (segment == NULL || lsi_load(&slot->durable_end) >= committed ||
        segment->header.number != atomic_load_explicit(&slot->segment, memory_order_relaxed)) /* S5 */
        return true;
    if (!sync)
        return false;
    lsi_error_save(&before);
    if (lsi_log_sync_segment(log, slot, segment, committed) != LS_OK)
        lsi_error_restore(&before); /* E1: whom it concerns is told by the slot. */
    return lsi_load(&slot->durable_end) >= committed;
}

bool lsi_log_give_up_tail(lsi_holder *holder, bool sync)
{
    lsi_log *log = (lsi_log *)((char *)holder - offsetof(lsi_log, holder));
    lsi_slot *slot = lsi_log_slot(log);
    lsi_segment *current, *tail;
    bool given = false;

    lsi_lock_result got = lsi_lock_try_any(&slot->append_lock, LSI_RANK_SHARD);
    if (got == LSI_LOCKED_AFTER_DEATH)
        lsi_log_lock_repaired(slot);
    else if (got != LSI_LOCKED)
        return false;
    if (lsi_lock_try_any(&log->local, LSI_RANK_LOCAL) == LSI_LOCKED) {
        if (is_settled(log, slot, log->current, sync)) {
            current = log->current;
            tail = log->tail;
            log->current = log->tail = NULL;
            given = true;
        }
        lsi_lock_release(&log->local, LSI_RANK_LOCAL);
    }
    lsi_log_unlock(slot);
    if (given) { /* Who is syncing has references of his own. */
        lsi_segment_unref(tail);
        lsi_segment_unref(current);
    }
    return given;
}

ls_status lsi_log_reach(lsi_log *log, ls_seqno *seqno_limit, int64_t *last_arrival_us)
{
    lsi_slot *slot;
    ls_status st = lsi_log_ready(log, &slot);

    if (st != LS_OK)
        return st;
    *seqno_limit = lsi_load(&slot->seqno_limit);
    *last_arrival_us = atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed);
    return LS_OK;
}

ls_status lsi_log_closing_wait(lsi_log *log)
{
    lsi_slot *slot;
    ls_status st = lsi_log_ready(log, &slot);

    if (st == LS_OK)
        st = lsi_log_lock(log, slot, true);
    if (st == LS_OK)
        lsi_log_unlock(slot);
    return st == LS_ERR_BUSY ? st : LS_OK;
}

ls_status lsi_log_closing_begin(lsi_log *log, lsi_log_closing *out)
{
    lsi_segment *segment;
    lsi_slot *slot;
    ls_status st = lsi_log_ready(log, &slot);

    if (st == LS_OK && log->config.read_only)
        st = lsi_fail(LS_ERR_READ_ONLY, "%s: the store was opened for reading", log->config.label);
    if (st == LS_OK)
        st = lsi_log_lock_settled(log, slot, false, NULL);
    if (st == LSI_PREPARE_FIRST)
        st = lsi_fail(LS_ERR_BUSY, "%s: a step of it is not decided: try again", log->config.label);
    if (st != LS_OK)
        return st;
    if (atomic_load_explicit(&slot->closed, memory_order_relaxed) == LSI_LOG_CLOSED) {
        st = lsi_fail(LS_ERR_STATE, "%s is closed", log->config.label);
        goto fail;
    }
    out->end = lsi_load(&slot->committed_end);
    out->next_seqno = (atomic_load_explicit(&slot->roll_first, memory_order_relaxed) & LSI_ROLL_FIRST_NUMBERS) != 0
                          ? lsi_load(&slot->seqno_limit)
                          : lsi_load(&slot->next_seqno);
    out->last_arrival_us = atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed);
    st = lsi_log_segment(log, slot, atomic_load_explicit(&slot->segment, memory_order_relaxed), &segment);
    if (st != LS_OK)
        goto fail;
    st = lsi_log_sync_segment(log, slot, segment, out->end); /* S5 says that the segments before are durable. */
    lsi_segment_unref(segment);
    if (st != LS_OK)
        goto fail;
    /* Release: whoever gets the lock after a death here sees it. */
    atomic_store_explicit(&slot->closed, LSI_LOG_CLOSING, memory_order_release);
    return LS_OK;
fail:
    lsi_log_unlock(slot);
    return st;
}

/* Release: who sees that it is closed sees its last end. Pairs with lsi_log_reader_read. */
static void note_outcome(lsi_slot *slot, bool is_closed)
{
    atomic_store_explicit(&slot->closed, is_closed ? LSI_LOG_CLOSED : LSI_LOG_OPEN, memory_order_release);
}

void lsi_slot_closing_ended(lsi_slot *slot, bool is_closed)
{
    note_outcome(slot, is_closed);
    lsi_slots_wake(slot, NULL);
}

void lsi_log_closing_end(lsi_log *log, bool is_closed)
{
    if (is_closed)
        lsi_log_release_tail(log);
    note_outcome(lsi_log_slot(log), is_closed);
}

/* Nobody puts there any more. What a dead writer left stays (R5), and counts. */
static void give_back_tail(const lsi_log *log, lsi_slot *slot)
{
    uint32_t number = atomic_load_explicit(&slot->segment, memory_order_relaxed);
    uint64_t end = lsi_load(&slot->committed_end);
    lsi_error_state before;
    lsi_segment *segment;

    if ((atomic_load_explicit(&slot->roll_first, memory_order_relaxed) & LSI_ROLL_FIRST_TORN) != 0)
        return;
    lsi_error_save(&before);
    if (lsi_segment_open(&log->config, number, true, &segment) == LS_OK) {
        lsi_log_give_back(segment, end, false);
        atomic_store_explicit(&slot->allocated_end, end, memory_order_relaxed);
        lsi_segment_unref(segment);
    }
    lsi_error_restore(&before);
}

void lsi_log_closing_release(lsi_log *log)
{
    lsi_slot *slot = lsi_log_slot(log);
    bool is_closed = atomic_load_explicit(&slot->closed, memory_order_relaxed) == LSI_LOG_CLOSED;

    lsi_log_unlock(slot);
    lsi_slots_wake(slot, log->config.stream_slot);
    if (is_closed) /* The disk may take its time, and producers wait no longer. */
        give_back_tail(log, slot);
}

/* ---- one that never was used ---- */

typedef struct remains {
    const lsi_root *root;
    const char *dir;
    bool unused;
} remains;

static int look_at(void *user, const char *entry, bool is_dir)
{
    static const char first[] = "00000001.seg";
    remains *of = user;
    char name[LSI_SEGMENT_NAME_BYTES];
    lsi_file file = {0};
    uint64_t size = 0;
    int rc;

    if (!is_dir && (strcmp(entry, LSI_SEGMENT_LIST_NAME) == 0 || strcmp(entry, LSI_SEGMENT_LIST_NAME ".new") == 0 ||
                    strcmp(entry, LSI_PRODUCERS_NAME) == 0 || strcmp(entry, LSI_PRODUCERS_NAME ".new") == 0))
        return 0; /* What parents handed down is theirs, too. */
    if (is_dir || strcmp(entry, first) != 0) {
        of->unused = false;
        return 0;
    }
    lsi_segment_name(of->dir, 1, "seg", name);
    rc = of->root->files->open(of->root, name, 0, &file);
    if (rc < 0)
        return rc;
    rc = of->root->files->size(&file, &size);
    (void)of->root->files->close(&file); /* It was only looked at. */
    of->unused = of->unused && size <= LSI_SEGMENT_HEADER_BYTES;
    return rc;
}

ls_status lsi_log_is_unused(const lsi_root *root, const char *dir, bool *unused)
{
    remains of = {root, dir, true};
    int rc = root->files->list(root, dir, look_at, &of);

    if (rc < 0 && rc != -ENOENT)
        return lsi_fail_errno(-rc, "looking through %s", dir);
    *unused = of.unused;
    return LS_OK;
}
