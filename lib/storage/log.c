/* One shard's log: its place in shared memory, its lock, its segment list, its reset, and what can be read of it. */
#include "storage/numbered.h"
#include "storage/reader.h"

#include "base/bytes.h"
#include "base/patience.h"
#include "base/status.h"

#define BARE_TRIES 200 /* some hundred puts fit in between; who wants the lock without waiting comes again later */
#define BARE_US 1000   /* and so long at most, as far as the scheduler lets it */

/* ---- opening and closing ---- */

ls_status lsi_log_open(const lsi_log_config *config, lsi_log **out)
{
    lsi_log *log = lsi_alloc_zero(&config->env->memory, sizeof *log);
    if (log == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: no memory", config->label);
    log->config = *config;
    log->epoch = lsi_control_epoch(config->control);
    log->holder.give_up = lsi_log_give_up_tail;
    log->holder.count = 2; /* segment and index */
    int rc = lsi_lock_init(&log->local);
    if (rc < 0) {
        lsi_free(&config->env->memory, log);
        return lsi_fail_errno(-rc, "%s: a lock", config->label);
    }
    *out = log;
    return LS_OK;
}

ls_status lsi_log_close(lsi_log *log)
{
    ls_status st = LS_OK;

    if (log == NULL)
        return LS_OK;
    if (lsi_control_is_mine(log->config.control) && atomic_load_explicit(&log->wrote, memory_order_relaxed) != 0) {
        lsi_slot *slot = atomic_load_explicit(&log->slot, memory_order_acquire);
        if (!lsi_log_is_deleted(log, slot))
            st = lsi_log_sync(log);
    }
    if (lsi_control_is_mine(log->config.control)) /* In a fork child nobody is asked any more (P9). */
        lsi_descriptors_let_go(log->config.descriptors, &log->holder);
    lsi_segment_unref(log->current);
    lsi_segment_unref(log->tail);
    lsi_segment_list_unref(log->list);
    lsi_remembered_free(log->memory.of);
    if (atomic_load_explicit(&log->slot, memory_order_acquire) != NULL)
        lsi_control_let_go(log->config.control, atomic_load_explicit(&log->slot, memory_order_acquire));
    lsi_free(&log->config.env->memory, log->own_memory);
    lsi_free(&log->config.env->memory, log);
    return st;
}

lsi_slot *lsi_log_slot(lsi_log *log)
{
    return atomic_load_explicit(&log->slot, memory_order_acquire);
}

uint64_t lsi_log_published(const lsi_log *log, const lsi_slot *slot)
{
    /* SYNC: D3. FAILED: what was not synced may be gone, so nobody is shown it (E1). */
    if (log->config.durability == LS_DURABILITY_SYNC ||
        atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FAILED)
        return lsi_slot_kept_end(slot);
    return atomic_load_explicit(&slot->committed_end, memory_order_seq_cst);
}

/* ---- readiness and the append lock ---- */

bool lsi_log_is_deleted(const lsi_log *log, const lsi_slot *slot)
{
    return atomic_load_explicit(&slot->deleted, memory_order_acquire) != 0 ||
           atomic_load_explicit(&slot->stream, memory_order_acquire) != log->config.stream;
}

static bool is_recovered(const lsi_log *log, const lsi_slot *slot)
{
    return atomic_load_explicit(&slot->health, memory_order_acquire) != LSI_SHARD_FRESH &&
           atomic_load_explicit(&slot->epoch, memory_order_acquire) == log->epoch;
}

ls_status lsi_log_deleted(const lsi_log *log)
{
    return lsi_fail(LS_ERR_NOT_FOUND, "%s is gone: its stream was deleted, or it was closed and past its age",
                    log->config.label);
}

/* A reader that may not write does not recover; it believes a recovered slot, else its own look at the files. */
static ls_status ready_to_look(lsi_log *log, lsi_slot *slot, lsi_slot **out)
{
    ls_status st = LS_OK;

    if (lsi_control_mirror(log->config.control, slot))
        atomic_store_explicit(&log->looked_epoch, 0, memory_order_release);
    if (is_recovered(log, slot) || (atomic_load_explicit(&slot->health, memory_order_acquire) != LSI_SHARD_FRESH &&
                                    atomic_load_explicit(&log->looked_epoch, memory_order_acquire) == log->epoch)) {
        *out = slot;
        return LS_OK;
    }
    lsi_lock_hold(&log->local, LSI_RANK_LOCAL);
    if (log->own_slot == NULL && atomic_load_explicit(&slot->health, memory_order_acquire) != LSI_SHARD_FRESH) {
        bool hold;
        st = lsi_log_ends_hold(log, slot, &hold);
        if (st == LS_OK && hold) {
            atomic_store_explicit(&log->looked_epoch, log->epoch, memory_order_release);
            lsi_lock_release(&log->local, LSI_RANK_LOCAL);
            *out = slot;
            return LS_OK;
        }
    }
    if (st == LS_OK && log->own_slot == NULL) {
        void *memory = lsi_alloc_zero(&log->config.env->memory, sizeof(lsi_slot) + _Alignof(lsi_slot));
        lsi_slot *own = (lsi_slot *)(((uintptr_t)memory + _Alignof(lsi_slot) - 1) & ~(_Alignof(lsi_slot) - 1));
        if (memory == NULL) {
            st = lsi_fail(LS_ERR_NO_MEMORY, "%s: no memory", log->config.label);
        } else {
            own->shard = log->config.shard;
            atomic_store_explicit(&own->stream, log->config.stream, memory_order_relaxed);
            /* What an earlier process vouched for is a witness for us too (R3). */
            uint32_t number;
            uint64_t marked;
            if (lsi_watermark_read(slot, &number, &marked))
                lsi_watermark_note(own, number, marked);
            st = lsi_log_look(log, NULL, own);
            if (st == LS_OK) {
                log->own_slot = own;
                log->own_memory = memory;
            } else {
                lsi_free(&log->config.env->memory, memory);
            }
        }
    }
    *out = log->own_slot;
    lsi_lock_release(&log->local, LSI_RANK_LOCAL);
    return st;
}

ls_status lsi_log_find_slot(lsi_log *log, lsi_slot **out)
{
    lsi_slot *slot = atomic_load_explicit(&log->slot, memory_order_acquire);

    if (slot == NULL) {
        lsi_slot *kept;
        ls_status st = lsi_control_keep(log->config.control, LSI_SLOT_SHARD, log->config.stream, log->config.shard,
                                        &kept);
        if (st != LS_OK)
            return st;
        if (atomic_compare_exchange_strong_explicit(&log->slot, &slot, kept, memory_order_acq_rel,
                                                    memory_order_acquire))
            slot = kept;
        else
            lsi_control_let_go(log->config.control, kept); /* Another thread was faster. */
    }
    if (lsi_log_is_deleted(log, slot))
        return lsi_log_deleted(log);
    *out = slot;
    return LS_OK;
}

ls_status lsi_log_ready(lsi_log *log, lsi_slot **out)
{
    lsi_slot *slot;
    ls_status st = lsi_log_find_slot(log, &slot);

    if (st != LS_OK)
        return st;
    if (log->config.read_only)
        return ready_to_look(log, slot, out);
    if (!is_recovered(log, slot)) { /* A step that is left may stay so: the caller may have locks, or only look. */
        st = lsi_log_lock_settled(log, slot, true, NULL);
        if (st == LS_OK)
            lsi_log_unlock(slot);
        else if (st != LSI_PREPARE_FIRST)
            return st;
    }
    *out = slot;
    return LS_OK;
}

ls_status lsi_log_touch(lsi_log *log)
{
    lsi_slot *slot;
    return lsi_log_ready(log, &slot);
}

/* What the one before left is repaired, and whether the shard takes puts is looked at. Locks: append_lock held; on
 * failure it is released. */
static __attribute__((noinline)) ls_status look_closely(lsi_log *log, lsi_slot *slot, bool any, lsi_step_left *left)
{
    ls_status st = LS_OK;

    if (lsi_log_is_deleted(log, slot)) {
        st = lsi_log_deleted(log);
        goto fail;
    }
    if (!is_recovered(log, slot))
        st = lsi_log_recover(log, slot);
    if (st == LS_OK && lsi_load(&slot->write_end) != lsi_load(&slot->committed_end))
        st = lsi_log_take_over(log, slot, left);
    if (st != LS_OK)
        goto fail;
    uint32_t health = atomic_load_explicit(&slot->health, memory_order_acquire);
    /* One that is closed is told so, and its end is durable (S9): nobody could reset it. */
    if (!any && health == LSI_SHARD_FAILED &&
        atomic_load_explicit(&slot->closed, memory_order_relaxed) == LSI_LOG_OPEN) {
        int err = (int)atomic_load_explicit(&slot->failed_errno, memory_order_relaxed);
        st = lsi_fail_errno(err, "%s refuses puts since a sync failed; nothing was written", log->config.label);
        if (st != LS_ERR_IO) /* Whatever the errno was, from a sync it is an I/O error (E3). */
            st = lsi_fail(LS_ERR_IO, "%s refuses puts since a sync failed; nothing was written: errno %d",
                         log->config.label, err);
        goto fail;
    }
    if (!any && health == LSI_SHARD_DAMAGED) {
        st = lsi_fail(LS_ERR_CORRUPT, "%s: the end of its last segment is damaged, it takes no puts: verify and repair",
                      log->config.label);
        goto fail;
    }
    return LS_OK;
fail:
    lsi_log_unlock(slot);
    return lsi_log_is_deleted(log, slot) ? lsi_log_deleted(log) : st; /* Its files may go meanwhile: no damage. */
}

/* The same: nearly always there is nothing. */
static inline ls_status enter(lsi_log *log, lsi_slot *slot, bool any, lsi_step_left *left)
{
    if (atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_HEALTHY &&
        atomic_load_explicit(&slot->epoch, memory_order_acquire) == log->epoch && !lsi_log_is_deleted(log, slot) &&
        lsi_load(&slot->write_end) == lsi_load(&slot->committed_end))
        return LS_OK;
    return look_closely(log, slot, any, left);
}

/* What the dead left shows in the words themselves (S2), so a repairer's death needs no memory of the first. Only the
 * list he may have replaced and told nobody: what everybody kept of it, and of its sums, may be of the one before. Who
 * went on from that would put back what was trimmed, and make a list with the number of the one that is there. */
void lsi_log_lock_repaired(lsi_slot *slot)
{
    atomic_store_explicit(&slot->sealed_bytes, 0, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&slot->list_generation, 1, memory_order_acq_rel); /* Pairs with lsi_log_list. */
    lsi_lock_repaired(&slot->append_lock);
}

static inline ls_status lock_and_enter(lsi_log *log, lsi_slot *slot, bool any, lsi_step_left *left)
{
    const lsi_env *env = log->config.env;

    switch (lsi_patience_lock(&slot->append_lock, LSI_RANK_SHARD, env->busy_timeout_ms)) {
    case LSI_LOCKED:
        break;
    case LSI_LOCKED_AFTER_DEATH:
        lsi_log_lock_repaired(slot);
        break;
    case LSI_LOCK_BUSY:
        return lsi_fail(LS_ERR_BUSY, "%s: another process holds its lock, and the call has waited %s",
                        log->config.label, lsi_patience_waited(env->busy_timeout_ms));
    case LSI_LOCK_BROKEN:
    default:
        return lsi_fail(LS_ERR_IO, "%s: its lock in the control file is broken", log->config.label);
    }
    return enter(log, slot, any, left);
}

ls_status lsi_log_lock_settled(lsi_log *log, lsi_slot *slot, bool any, lsi_step_left *left)
{
    lsi_step_left ignored = {0};

    return lock_and_enter(log, slot, any, left != NULL ? left : &ignored);
}

/* What a step left is decided without any lock, and the lock then taken once more. */
static __attribute__((noinline)) ls_status decide_and_lock(lsi_log *log, lsi_slot *slot, bool any, lsi_step_left *left)
{
    ls_status st = LSI_PREPARE_FIRST;

    while (st == LSI_PREPARE_FIRST) { /* Again only when others decided it meanwhile, and left one themselves. */
        if (log->config.decide == NULL)
            return lsi_fail(LS_ERR_STATE, "%s: nobody can say whether its last step was taken", log->config.label);
        st = log->config.decide(log->config.decide_user, left->decider, &log->config, left->first_seqno, false,
                                &left->is_taken);
        if (st == LS_OK)
            st = lock_and_enter(log, slot, any, left);
    }
    return st;
}

ls_status lsi_log_lock(lsi_log *log, lsi_slot *slot, bool any)
{
    lsi_step_left left = {0};
    ls_status st = lock_and_enter(log, slot, any, &left);

    return st == LSI_PREPARE_FIRST ? decide_and_lock(log, slot, any, &left) : st;
}

bool lsi_log_try_bare_lock(lsi_slot *slot)
{
    lsi_lock_result got = lsi_lock_try(&slot->append_lock, LSI_RANK_SHARD);
    int64_t from_us, us = 0;

    if (got == LSI_LOCK_BUSY) {
        from_us = lsi_monotonic_us(&lsi_clock_system);
        for (int tries = 1; got == LSI_LOCK_BUSY && tries < BARE_TRIES && us < BARE_US && lsi_patience_us(1) > us;
             tries++) {
            lsi_lock_pause(); /* Where all processors have work it lasts as long as theirs may run on. */
            got = lsi_lock_try(&slot->append_lock, LSI_RANK_SHARD);
            us = lsi_monotonic_us(&lsi_clock_system) - from_us;
        }
        lsi_patience_spend(us);
    }
    if (got == LSI_LOCKED_AFTER_DEATH)
        lsi_log_lock_repaired(slot);
    return got == LSI_LOCKED || got == LSI_LOCKED_AFTER_DEATH;
}

ls_status lsi_log_try_lock(lsi_log *log, lsi_slot *slot, bool any)
{
    if (!lsi_log_try_bare_lock(slot))
        return lsi_fail(LS_ERR_BUSY, "%s: its lock is taken", log->config.label);
    lsi_step_left left = {0};
    ls_status st = enter(log, slot, any, &left);
    return st == LSI_PREPARE_FIRST ? lsi_fail(LS_ERR_BUSY, "%s: a step of it is not decided", log->config.label) : st;
}

void lsi_log_unlock(lsi_slot *slot)
{
    lsi_lock_release(&slot->append_lock, LSI_RANK_SHARD);
}

/* ---- list and current segment ---- */

bool lsi_log_clock_is_set_forward(const lsi_log *log, const lsi_slot *slot)
{
    return lsi_clock_is_set_forward(log->config.env,
                                    atomic_load_explicit(&slot->clock_offset_us, memory_order_relaxed));
}

bool lsi_log_fits_clock(lsi_log *log, lsi_slot *slot, const lsi_segment_header *header, int64_t now_us)
{
    int64_t last_us = atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed);
    bool is_ahead = lsi_segment_lead_us(header) != 0;

    if ((is_ahead && lsi_log_clock_is_set_forward(log, slot)) ||
        !lsi_segment_fits_clock(log->config.env, header, last_us, now_us))
        return false;
    if (is_ahead)
        atomic_store_explicit(&slot->clock_offset_us, lsi_clock_offset_us(log->config.env), memory_order_relaxed);
    return true;
}

/* G4 and G5 of age.c. While nobody knows the last stamp, which is a hint until the log was recovered, it hides
 * nothing. */
static bool is_late(const lsi_log *log, const lsi_slot *slot, const lsi_segment_list *list)
{
    int64_t last_us = INT64_MIN;

    if (log->config.read_only || is_recovered(log, slot))
        last_us = atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed);
    return lsi_segment_list_is_late(list, last_us, lsi_wall_us(&log->config.env->clock)) ||
           ((lsi_segment_list_last(list)->flags & LSI_SEGMENT_AHEAD) != 0 && lsi_log_clock_is_set_forward(log, slot));
}

void lsi_log_heed_clock(const lsi_log *log, const lsi_slot *slot, lsi_segment_list *list)
{
    lsi_segment_list_find_ages(list, is_late(log, slot, list));
}

/* Others may have the list that is kept: they are given another one when the clock says so. Locks: log->local held. */
static ls_status keep_ages(lsi_log *log, const lsi_slot *slot)
{
    lsi_segment_list *copy;
    ls_status st = LS_OK;

    if ((lsi_segment_list_last(log->list)->flags & (LSI_SEGMENT_AHEAD | LSI_SEGMENT_DOUBTFUL)) == 0 ||
        is_late(log, slot, log->list) == log->list->is_late)
        return LS_OK;
    st = lsi_segment_list_copy(log->list, &copy);
    if (st != LS_OK)
        return st;
    copy->head = log->list->head;
    lsi_segment_list_find_ages(copy, !log->list->is_late);
    lsi_segment_list_unref(log->list);
    log->list = copy;
    return LS_OK;
}

ls_status lsi_log_list(lsi_log *log, const lsi_slot *slot, lsi_segment_list **out)
{
    ls_status st = LS_OK;

    lsi_lock_hold(&log->local, LSI_RANK_LOCAL);
    /* Loaded before the file: a list that is newer than its generation is only loaded once more. Pairs with the
     * increment in lsi_log_replace_list, which follows the replacement. */
    uint32_t generation = atomic_load_explicit(&slot->list_generation, memory_order_acquire);
    if (!log->has_list || generation != log->list_generation) {
        lsi_segment_list *list;
        st = lsi_segment_list_load(&log->config, &list);
        if (st == LS_OK) {
            lsi_segment_list_unref(log->list);
            log->list = list;
            log->list_generation = generation;
            log->has_list = true;
        }
    }
    if (st == LS_OK)
        st = keep_ages(log, slot);
    if (st == LS_OK)
        *out = lsi_segment_list_ref(log->list);
    lsi_lock_release(&log->local, LSI_RANK_LOCAL);
    if (st == LS_ERR_CORRUPT && lsi_log_is_deleted(log, slot))
        return lsi_log_deleted(log);
    return st;
}

void lsi_log_forget_list(lsi_log *log)
{
    lsi_lock_hold(&log->local, LSI_RANK_LOCAL);
    log->has_list = false;
    lsi_lock_release(&log->local, LSI_RANK_LOCAL);
}

void lsi_log_note_list(lsi_log *log, lsi_slot *slot, lsi_segment_list *list)
{
    lsi_segment_list_find_ages(list, false);
    /* By any clock: who looks closely knows whose it is. */
    int64_t oldest_us = lsi_segment_list_newest_us(list, 0, INT64_MIN);
    if (oldest_us > list->entries[0].newest_us)
        oldest_us = list->entries[0].newest_us;
    atomic_store_explicit(&slot->oldest_us, oldest_us, memory_order_relaxed);
    atomic_store_explicit(&slot->sealed_bytes, lsi_segment_list_sealed_bytes(list) + 1, memory_order_relaxed);
    lsi_lock_hold(&log->local, LSI_RANK_LOCAL);
    lsi_segment_list_unref(log->list);
    log->list = lsi_segment_list_ref(list);
    log->has_list = true;
    log->list_generation = atomic_fetch_add_explicit(&slot->list_generation, 1, memory_order_acq_rel) + 1;
    lsi_lock_release(&log->local, LSI_RANK_LOCAL);
}

ls_status lsi_log_replace_list(lsi_log *log, lsi_slot *slot, lsi_segment_list *list)
{
    ls_status st = lsi_segment_list_store(&log->config, list);
    if (st == LS_OK)
        lsi_log_note_list(log, slot, list);
    return st;
}

ls_status lsi_log_segment(lsi_log *log, lsi_slot *slot, uint32_t number, lsi_segment **out)
{
    ls_status st = LS_OK;

    lsi_lock_hold(&log->local, LSI_RANK_LOCAL);
    if (log->current == NULL || log->current->header.number != number) {
        lsi_segment *segment;
        lsi_descriptors_hold(log->config.descriptors, &log->holder);
        st = lsi_segment_open(&log->config, number, true, &segment);
        if (st == LS_OK) {
            /* Looked at after opening: whatever was written before may have failed to reach the disk unseen (E2). */
            uint64_t under_way = lsi_load(&slot->write_end), committed = lsi_load(&slot->committed_end);
            segment->held_from = under_way != LSI_ROLLING && under_way > committed ? under_way : committed;
            if (log->current == NULL || log->current->header.number < number) {
                lsi_segment_unref(log->current);
                log->current = lsi_segment_ref(segment);
            }
            *out = segment;
        }
    } else {
        *out = lsi_segment_ref(log->current);
    }
    lsi_lock_release(&log->local, LSI_RANK_LOCAL);
    if (st == LS_ERR_NOT_FOUND)
        return lsi_log_is_deleted(log, slot) ? lsi_log_deleted(log)
                                             : lsi_fail(LS_ERR_CORRUPT,
                                                        "%s: segment %u is named by the list and not there",
                                                        log->config.label, number);
    return st;
}

/* ---- reset ---- */

/* What was not synced is given up: readers have not been shown it since the failure. Nobody stops the syncs that are
 * under way, which may have returned 0 and not said so yet; so durable_end is raised over all of it, and none of them
 * finds anything left to raise. First of all it is said what for: who sees durable_end behind his put looks there
 * (lsi_log_commit), so whatever he was told before is in what is kept. A reset that died or failed is gone on with.
 * Locks: append_lock held, the shard is FAILED. */
static void give_up(lsi_slot *slot)
{
    uint64_t end = lsi_load(&slot->committed_end);

    if (lsi_load(&slot->given_up_to) <= lsi_load(&slot->segment_base)) {
        atomic_store_explicit(&slot->given_up_from, UINT64_MAX, memory_order_seq_cst);
        atomic_store_explicit(&slot->given_up_to, end, memory_order_seq_cst);
    }
    uint64_t durable = atomic_load_explicit(&slot->durable_end, memory_order_seq_cst);
    while (durable < end) { /* A sync that ends just now still counts: then it is tried again. */
        atomic_store_explicit(&slot->given_up_from, durable, memory_order_seq_cst);
        if (atomic_compare_exchange_strong_explicit(&slot->durable_end, &durable, end, memory_order_seq_cst,
                                                    memory_order_seq_cst))
            break;
    }
}

ls_status lsi_log_reset(lsi_log *log)
{
    lsi_slot *slot;
    ls_status st = lsi_log_ready(log, &slot);
    if (st != LS_OK)
        return st;
    if (log->config.read_only)
        return lsi_fail(LS_ERR_READ_ONLY, "%s: the store was opened for reading", log->config.label);
    st = lsi_log_lock(log, slot, true);
    if (st != LS_OK)
        return st;
    uint32_t health = atomic_load_explicit(&slot->health, memory_order_acquire);
    if (atomic_load_explicit(&slot->closed, memory_order_relaxed) != LSI_LOG_OPEN) { /* S9 */
        st = lsi_fail(LS_ERR_STATE, "%s is closed: it takes no puts anyway", log->config.label);
    } else if (health == LSI_SHARD_HEALTHY) {
        st = lsi_fail(LS_ERR_STATE, "%s is healthy: there is nothing to reset", log->config.label);
    } else {
        uint64_t end = lsi_load(&slot->committed_end), from;
        lsi_log_forget_list(log); /* What failed may have been the list's replacement. */
        if (health == LSI_SHARD_FAILED)
            give_up(slot);
        from = lsi_log_given_up_from(slot, end);
        (void)atomic_fetch_or_explicit(&slot->roll_first,
                                       LSI_ROLL_FIRST_NUMBERS | (health == LSI_SHARD_FAILED ? 0 : LSI_ROLL_FIRST_TORN),
                                       memory_order_relaxed);
        st = lsi_log_roll(log, slot, 0, true);
        if (st == LS_OK) {
            atomic_store_explicit(&slot->failed_errno, 0, memory_order_relaxed);
            atomic_store_explicit(&slot->health, LSI_SHARD_HEALTHY, memory_order_release);
            lsi_env_log(log->config.env, LS_LOG_WARNING, "%s: reset; goes on in segment %u; %llu bytes were given up",
                    log->config.label, atomic_load_explicit(&slot->segment, memory_order_relaxed),
                    (unsigned long long)(end - from));
        }
    }
    lsi_log_unlock(slot);
    return st;
}

/* ---- what can be read ---- */

ls_status lsi_log_was_trimmed(lsi_log *log, uint32_t number, bool *trimmed)
{
    const lsi_slot *slot = lsi_log_slot(log);
    lsi_segment_list *list;
    ls_status st = lsi_segment_list_load(&log->config, &list);

    if (st != LS_OK)
        return slot != NULL && lsi_log_is_deleted(log, slot) ? lsi_log_deleted(log) : st;
    *trimmed = number < list->entries[0].number;
    lsi_segment_list_unref(list);
    return LS_OK;
}

/* A repair made readers step over all of it; its file may be gone. */
static bool is_skipped(const lsi_segment_list *list, uint64_t from, uint64_t to)
{
    const lsi_skip *skip = lsi_skip_at(list, from);
    return skip != NULL && to <= skip->to;
}

ls_status lsi_log_last_frame(lsi_log *log, const lsi_segment_list *list, uint64_t end, bool *found, lsi_frame *frame)
{
    *found = false;
    for (uint32_t i = lsi_segment_list_find(list, end) + 1; i-- > 0 && !*found;) {
        const lsi_segment_entry *entry = &list->entries[i];
        uint64_t stop = (entry->flags & LSI_SEGMENT_SEALED) != 0 && entry->end < end ? entry->end : end;
        if (stop <= entry->base || is_skipped(list, entry->base, stop))
            continue;
        lsi_segment *segment;
        lsi_error_state before;
        lsi_error_save(&before);
        ls_status st = lsi_segment_open(&log->config, entry->number, false, &segment);
        if (st == LS_ERR_NOT_FOUND) {
            bool trimmed = false;
            st = lsi_log_was_trimmed(log, entry->number, &trimmed);
            if (st == LS_OK && trimmed) { /* And so were all before it. */
                lsi_error_restore(&before);
                return LS_OK;
            }
            if (st == LS_OK)
                st = lsi_fail(LS_ERR_CORRUPT, "%s: segment %u is named by the list and not there", log->config.label,
                              entry->number);
        }
        if (st != LS_OK)
            return st;
        lsi_index_entry hint;
        lsi_walk walk;
        bool hinted = lsi_index_find(&log->config, segment, stop, LS_SEQNO_NONE, LSI_NO_TIME, &hint);
        lsi_walk_begin(&walk, log->config.env, segment, hinted ? hint.position : entry->base, stop, false);
        for (;;) {
            lsi_frame met;
            lsi_frame_result result;
            uint64_t position;
            const lsi_skip *skip;
            while (walk.at < stop && (skip = lsi_skip_at(list, walk.at)) != NULL)
                walk.at = skip->to < stop ? skip->to : stop; /* Frames may be there that a reset gave up. */
            st = lsi_walk_next(&walk, &met, &position, &result);
            if (st == LS_OK && result == LSI_FRAME_VALID) {
                *frame = met;
                *found = true;
                continue;
            }
            if (st != LS_OK)
                break;
            if (hinted && !*found) { /* The hint was wrong, or of a frame that is stepped over. */
                hinted = false;
                walk.at = entry->base;
                walk.after = segment->header.base_seqno - 1;
                continue;
            }
            if (walk.at >= stop)
                break;
            bool more;
            st = lsi_walk_resume(&walk, walk.at + 8, &more);
            if (st != LS_OK || !more)
                break;
        }
        lsi_walk_end(&walk);
        lsi_segment_unref(segment);
        if (st != LS_OK)
            return st;
    }
    return LS_OK;
}

ls_status lsi_log_state(lsi_log *log, lsi_log_facts *out)
{
    lsi_slot *slot;
    lsi_segment_list *list = NULL;
    lsi_log_reader *reader = NULL;
    ls_status st = lsi_log_step_settle(log);

    if (st == LS_OK)
        st = lsi_log_ready(log, &slot);

    *out = (lsi_log_facts){.health = LS_OK};
    if (st != LS_OK)
        return st;
    out->put_alone = atomic_load_explicit(&slot->put_alone, memory_order_relaxed);
    out->put_in_batches = atomic_load_explicit(&slot->put_in_batches, memory_order_relaxed);
    out->put_bytes = atomic_load_explicit(&slot->put_bytes, memory_order_relaxed);
    out->put_more_units = atomic_load_explicit(&slot->put_more_units, memory_order_relaxed);
    switch (atomic_load_explicit(&slot->health, memory_order_acquire)) {
    case LSI_SHARD_FAILED:
        out->health = LS_ERR_IO;
        break;
    case LSI_SHARD_DAMAGED:
        out->health = LS_ERR_CORRUPT;
        break;
    default:
        break;
    }
    uint64_t end = lsi_log_published(log, slot);
    st = lsi_log_list(log, slot, &list);
    if (st != LS_OK)
        return st;
    out->bytes = end > list->entries[0].base ? end - list->entries[0].base : 0;
    out->segments = list->count;
    bool found;
    lsi_frame frame;
    st = lsi_log_last_frame(log, list, end, &found, &frame);
    if (st == LS_OK && found) {
        out->latest = frame.first_seqno + frame.count - 1;
        out->latest_us = frame.arrival_us;
        /* The oldest is what a reader from the horizon would meet first. */
        const ls_record *records;
        uint32_t count = 0;
        bool at_tip, at_end;
        lsi_error_state before;
        lsi_error_save(&before);
        st = lsi_log_reader_open(log, LSI_READ_SPARING, &reader);
        if (st == LS_OK)
            st = lsi_log_reader_read(reader, 1, 1, &records, &count, &at_tip, &at_end);
        if (st == LS_ERR_CORRUPT) { /* Damage at the very beginning: said by reading, not by describing. */
            out->oldest = list->entries[0].base_seqno;
            lsi_error_restore(&before);
            st = LS_OK;
        } else if (st == LS_ERR_KEY) { /* Its frame's header says which it is; only its data need a key. */
            out->oldest = lsi_reader_met(reader);
            lsi_error_restore(&before);
            st = LS_OK;
        } else if (count > 0) {
            out->oldest = records[0].seqno;
            out->oldest_us = records[0].arrival_us;
        }
    }
    lsi_log_reader_close(reader);
    lsi_segment_list_unref(list);
    return st;
}
