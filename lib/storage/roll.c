/* From one segment to the next, and a log's first and last moment.
 *
 * A roll seals the last segment when all of it is durable (S5), makes the next one, names it in the list, and only then
 * lets the slot say so: a death anywhere in between is found by the list being ahead of the slot, or by a file that no
 * list names (lsi_log_take_over). */
#include "storage/log.h"

#include <errno.h>
#include <string.h>

#include "base/status.h"
#include "storage/numbered.h"
#include "storage/seal.h"

#define RECORD_BYTES_LEAST 16u       /* a header of 8 and a key of 1, padded: how many numbers a segment can use */
#define STRAYS_MAX 1000u

/* Everything but the terms, which are there. */
static void fill_header(const lsi_log_config *config, const lsi_segment_entry *previous, uint64_t base,
                        ls_seqno base_seqno, int64_t base_arrival_us, uint64_t bytes, lsi_segment_header *out)
{
    int64_t now_us = lsi_wall_us(&config->env->clock);

    *out = (lsi_segment_header){.terms = out->terms};
    /* From here on the clock may be right: what lies before counts as arrived now (G2, G3). */
    if (previous != NULL && (previous->flags & (LSI_SEGMENT_DOUBTFUL | LSI_SEGMENT_AHEAD)) != 0 &&
        now_us >= LSI_CLOCK_FLOOR_US && now_us > base_arrival_us)
        base_arrival_us = now_us;
    out->number = previous != NULL ? previous->number + 1 : 1;
    out->base = base;
    out->base_seqno = base_seqno;
    out->base_arrival_us = base_arrival_us;
    out->created_us = now_us;
    out->frames_bytes_max = config->segment_bytes - LSI_SEGMENT_HEADER_BYTES;
    if (out->frames_bytes_max < bytes) /* One that does not fit a whole segment gets its own. */
        out->frames_bytes_max = bytes;
    uint64_t numbers = out->frames_bytes_max / RECORD_BYTES_LEAST + 1;
    out->seqno_limit = numbers > LS_SEQNO_END - base_seqno ? LS_SEQNO_END : base_seqno + numbers;
    if (previous != NULL) {
        out->previous = previous->number;
        out->previous_end = base;
        out->chain = previous->header_sum;
    }
}

/* The list could not be replaced. If the old one is still there nothing happened; if the new one is, a crash may take
 * it back, and nothing may be acknowledged on it (E1). `*is_left`: no sync has failed, for there was no descriptor for
 * it (E4); so it is as if we had died here, and who comes next takes over and syncs. */
static ls_status list_failed(lsi_log *log, lsi_slot *slot, uint32_t old_number, lsi_segment *segment, ls_status st,
                             bool *is_left)
{
    lsi_error_state why;
    lsi_segment_list *list = NULL;

    lsi_error_save(&why);
    *is_left = st == LS_ERR_IO && why.err == EINPROGRESS;
    if (*is_left)
        return lsi_fail_errno(EMFILE, "%s: syncing the directory %s; nothing was written", log->config.label,
                              log->config.dir);
    /* lsi_file_replace() answers EIO alone when the new one may be there. */
    bool unchanged = st != LS_ERR_IO;
    if (!unchanged)
        unchanged = lsi_segment_list_load(&log->config, &list) == LS_OK &&
                    lsi_segment_list_last(list)->number == old_number;
    lsi_segment_list_unref(list);
    if (!unchanged)
        return lsi_log_fail(log, slot, why.err != 0 ? why.err : EIO);
    (void)log->config.root->files->unlink(log->config.root, segment->name); /* Never named. */
    lsi_error_restore(&why);
    return st;
}

static ls_status terms_now(const lsi_log_config *config, lsi_log_terms *out)
{
    memset(out, 0, sizeof *out);
    return config->terms != NULL ? config->terms(config->terms_user, out) : LS_OK;
}

/* The terms of the segment that follows `old` (NULL: that is abandoned). In the middle of a batch its numbers must stay
 * together, so the lock cannot be left to ask for a key or to make other drafts: the rest of it goes by the old
 * terms. */
static ls_status next_terms(lsi_log *log, const lsi_segment *old, lsi_log_terms *out, bool *is_kept)
{
    ls_status st = terms_now(&log->config, out);

    if (st != LS_OK || log->keeps_terms == NULL || old == NULL ||
        (log->keeps_terms->seals == (out->key_id_bytes != 0) &&
         (out->key_id_bytes == 0 || lsi_key_is_at_hand(&log->config, out))))
        return st;
    *out = old->header.terms;
    *is_kept = true;
    return LS_OK;
}

void lsi_log_take_terms(lsi_slot *slot)
{
    (void)atomic_fetch_or_explicit(&slot->roll_first, LSI_ROLL_FIRST_TERMS, memory_order_release);
}

/* E1: readers step over what a reset gives up, up to the `end` of the segment that is sealed; the list has room for it.
 * The numbers are for messages, so what cannot be read for them does not matter. */
static void skip_given_up(lsi_log *log, const lsi_slot *slot, lsi_segment_list *list, uint64_t end)
{
    const lsi_segment_entry *sealed = lsi_segment_list_last(list);
    lsi_skip *skip = &list->skips[list->skip_count];
    lsi_error_state before;
    lsi_frame frame;
    bool found;

    *skip = (lsi_skip){lsi_log_given_up_from(slot, end), end, sealed->base_seqno, lsi_load(&slot->next_seqno) - 1};
    /* Or a reset got so far that its list is there, and failed to sync that. */
    if (skip->from == end || lsi_skip_at(list, skip->from) != NULL)
        return;
    lsi_error_save(&before);
    if (lsi_log_last_frame(log, list, skip->from, &found, &frame) != LS_OK)
        lsi_error_restore(&before);
    else if (found && frame.first_seqno + frame.count > skip->first_seqno)
        skip->first_seqno = frame.first_seqno + frame.count;
    list->skip_count++;
}

/* What the header of the next segment, `entry`, does not say of the clock. The slot knows it before the list does: who
 * died in between has only begun one segment more. */
static void add_age(lsi_log *log, lsi_slot *slot, const lsi_segment *old, const lsi_segment_entry *last,
                    lsi_segment_entry *entry)
{
    bool is_ahead = (entry->flags & LSI_SEGMENT_AHEAD) != 0;

    if (is_ahead && (last->flags & LSI_SEGMENT_AHEAD) != 0 && lsi_log_clock_is_set_forward(log, slot))
        entry->flags |= LSI_SEGMENT_CORRECTED;
    else if (old != NULL)
        lsi_segment_entry_follow(entry, last, &old->header,
                                 atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed));
    atomic_store_explicit(&slot->clock_offset_us, is_ahead ? lsi_clock_offset_us(log->config.env) : 0,
                          memory_order_relaxed);
}

ls_status lsi_log_roll(lsi_log *log, lsi_slot *slot, uint64_t bytes, bool abandon)
{
    const lsi_log_config *config = &log->config;
    lsi_segment_list *list = NULL, *fresh = NULL;
    lsi_segment *old = NULL, *segment = NULL;
    lsi_segment_header header;
    uint64_t end = lsi_load(&slot->committed_end);
    /* Before the terms, so that a change behind them is still to be heeded. Acquire pairs with lsi_log_take_terms. */
    uint32_t why = atomic_load_explicit(&slot->roll_first, memory_order_acquire);
    bool is_torn = (why & LSI_ROLL_FIRST_TORN) != 0, is_kept = false, is_left = false;
    ls_status st;

    atomic_store_explicit(&slot->write_end, LSI_ROLLING, memory_order_release);
    st = lsi_log_list(log, slot, &list);
    if (st != LS_OK)
        goto out;
    lsi_segment_entry *last = lsi_segment_list_last(list);
    if (!abandon) { /* S5 */
        st = lsi_log_segment(log, slot, last->number, &old);
        if (st == LS_OK)
            st = lsi_log_sync_segment(log, slot, old, end);
        if (st != LS_OK)
            goto out;
    }
    if (end > LSI_POSITION_MAX) {
        st = lsi_fail(LS_ERR_STATE, "%s: its positions are used up", config->label);
        goto out;
    }
    st = next_terms(log, old, &header.terms, &is_kept);
    if (st != LS_OK)
        goto out;
    if (bytes != 0 && header.terms.key_id_bytes != 0)
        bytes += LSI_SEAL_BYTES;
    ls_seqno next = (why & ~LSI_ROLL_FIRST_TERMS) != 0 ? last->seqno_limit : lsi_load(&slot->next_seqno); /* S7 */
    int64_t last_us = atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed);
    fill_header(config, last, end, next, last_us, bytes, &header);
    for (uint32_t strays = 0; strays < STRAYS_MAX; strays++, header.number++) {
        st = lsi_segment_create(config, &header, &segment);
        if (st != LS_ERR_EXISTS) /* A dead process got so far and no further: its file stays, its number is skipped. */
            break;
    }
    if (st != LS_OK)
        goto out;
    /* Its name, before the list that names it: names reach the disk in any order, and a list that names a file that is
     * not there is damage (R6). */
    int rc = config->root->files->sync_dir(config->root, config->dir);
    if (rc < 0) {
        (void)config->root->files->unlink(config->root, segment->name); /* Never named. */
        /* E4: without a descriptor nothing was synced, so no sync has failed. */
        st = rc == -EMFILE || rc == -ENFILE
                 ? lsi_fail_errno(-rc, "%s: syncing the directory %s; nothing was written", config->label, config->dir)
                 : lsi_log_fail(log, slot, -rc);
        goto out;
    }
    st = lsi_segment_list_copy(list, &fresh);
    if (st != LS_OK) {
        (void)config->root->files->unlink(config->root, segment->name); /* Never named. */
        goto out;
    }
    if (abandon)
        skip_given_up(log, slot, fresh, end);
    /* N2: of what is durable, whatever becomes of the list. */
    st = lsi_log_snapshot_numbers(log, slot, fresh, abandon ? lsi_log_given_up_from(slot, end) : end);
    if (st != LS_OK) {
        (void)config->root->files->unlink(config->root, segment->name); /* Never named. */
        goto out;
    }
    last = lsi_segment_list_last(fresh);
    last->flags |= LSI_SEGMENT_SEALED | (is_torn ? LSI_SEGMENT_TORN : 0);
    last->end = end;
    last->file_bytes = old != NULL ? lsi_log_bytes_kept(old, end, is_torn) : 0;
    lsi_segment_entry_begin(config->env, &header, &fresh->entries[fresh->count]);
    add_age(log, slot, old, last, &fresh->entries[fresh->count]);
    fresh->entries[fresh->count].flags |= last->flags & LSI_SEGMENT_NUMBERED;
    fresh->count++;
    st = lsi_log_replace_list(log, slot, fresh); /* S3 */
    if (st != LS_OK) {
        st = list_failed(log, slot, lsi_segment_list_last(list)->number, segment, st, &is_left);
        goto out;
    }

    /* From here on a death is found by the list being ahead of the slot (lsi_log_take_over). Release: pairs with
     * lsi_slot_kept_end. */
    atomic_store_explicit(&slot->segment_base, end, memory_order_release);
    atomic_store_explicit(&slot->seqno_limit, header.seqno_limit, memory_order_relaxed);
    atomic_store_explicit(&slot->next_seqno, next, memory_order_relaxed);
    atomic_store_explicit(&slot->last_arrival_us, header.base_arrival_us, memory_order_relaxed);
    atomic_store_explicit(&slot->allocated_end, end, memory_order_relaxed);
    atomic_store_explicit(&slot->zeroed_end, end, memory_order_relaxed);
    atomic_store_explicit(&slot->indexed_end, end, memory_order_relaxed);
    (void)atomic_fetch_and_explicit(&slot->roll_first, ~(is_kept ? why & ~LSI_ROLL_FIRST_TERMS : why),
                                    memory_order_relaxed);
    if (is_kept)
        (void)atomic_fetch_or_explicit(&slot->roll_first, LSI_ROLL_FIRST_TERMS, memory_order_relaxed);
    atomic_store_explicit(&slot->segment, header.number, memory_order_release); /* Pairs with lead(). */
    lsi_descriptors_hold(config->descriptors, &log->holder);
    lsi_lock_hold(&log->local, LSI_RANK_LOCAL);
    lsi_segment_unref(log->current);
    log->current = lsi_segment_ref(segment);
    lsi_lock_release(&log->local, LSI_RANK_LOCAL);
    if (old != NULL)
        lsi_log_give_back(old, end, is_torn);
    if (config->stream_slot != NULL) /* There is one more to be counted, and perhaps one too many. */
        atomic_store_explicit(&config->stream_slot->upkeep_wanted, 1, memory_order_relaxed);
    lsi_env_log(config->env, LS_LOG_INFO, "%s: goes on in segment %u at position %llu", config->label, header.number,
            (unsigned long long)end);
out:
    if (!is_left)
        atomic_store_explicit(&slot->write_end, end, memory_order_release);
    lsi_segment_unref(old);
    lsi_segment_unref(segment);
    lsi_segment_list_unref(list);
    lsi_segment_list_unref(fresh);
    return st;
}

/* ---- making and removing a log ---- */

typedef struct removal {
    const lsi_root *root;
    const char *dir;
    const lsi_clock *clock;
    int64_t until_us;
} removal;

static int remove_entry(void *user, const char *entry, bool is_dir)
{
    const removal *what = user;
    char name[LSI_SEGMENT_NAME_BYTES * 4];

    if (what->until_us != INT64_MAX && lsi_monotonic_us(what->clock) >= what->until_us)
        return -ETIMEDOUT;
    if (strlen(entry) + strlen(what->dir) + 2 > sizeof name)
        return 0; /* Not ours; the directory will not go and the caller hears of it. */
    size_t dir_bytes = strlen(what->dir);
    memcpy(name, what->dir, dir_bytes);
    name[dir_bytes] = '/';
    memcpy(name + dir_bytes + 1, entry, strlen(entry) + 1);
    if (is_dir) { /* Kept by a repair. One with something in it will not go either. */
        (void)what->root->files->remove_dir(what->root, name);
        return 0;
    }
    int rc = what->root->files->unlink(what->root, name);
    return rc == -ENOENT ? 0 : rc; /* Somebody else does the same. */
}

/* A listing that is changed while it runs, here by us and perhaps by somebody else, may leave a name out. */
#define DESTROY_TRIES 8

ls_status lsi_log_destroy(const lsi_env *env, const lsi_root *root, const char *dir, int64_t until_us)
{
    removal what = {root, dir, &env->clock, until_us};
    int rc = -ENOTEMPTY;

    for (int tries = 0; rc == -ENOTEMPTY && tries < DESTROY_TRIES; tries++) {
        rc = root->files->list(root, dir, remove_entry, &what);
        if (rc >= 0)
            rc = root->files->remove_dir(root, dir);
    }
    if (rc == -ETIMEDOUT)
        return lsi_fail(LS_ERR_TIMEOUT, "the time is over, and %s is not removed", dir);
    return rc < 0 && rc != -ENOENT ? lsi_fail_errno(-rc, "removing %s", dir) : LS_OK;
}

/* The first segment of a log, behind `before` (NULL: nothing), and the list. */
static ls_status make_files(const lsi_log_config *config, const lsi_segment_entry *before, ls_seqno base_seqno,
                            int64_t base_arrival_us, lsi_skip *skip)
{
    lsi_segment_entry entries[2];
    lsi_segment_header header;
    lsi_segment *segment = NULL;
    uint32_t count = 0;
    ls_status st = terms_now(config, &header.terms);

    if (st != LS_OK)
        return st;
    fill_header(config, before, before != NULL ? before->end : 0, base_seqno, base_arrival_us, 0, &header);
    st = lsi_segment_create(config, &header, &segment);
    if (st != LS_OK)
        return st;
    lsi_segment_unref(segment);
    if (before != NULL)
        entries[count++] = *before;
    lsi_segment_entry_begin(config->env, &header, &entries[count++]);
    lsi_segment_list list = {.env = config->env, .head.generation = 1, .count = count, .entries = entries,
                             .skip_count = skip != NULL ? 1 : 0, .skips = skip};
    return lsi_segment_list_store(config, &list);
}

ls_status lsi_log_create(const lsi_log_config *config)
{
    ls_status st = lsi_log_destroy(config->env, config->root, config->dir, INT64_MAX);

    if (st != LS_OK)
        return st;
    int rc = config->root->files->make_dir(config->root, config->dir);
    if (rc < 0)
        return lsi_fail_errno(-rc, "%s: making the directory %s", config->label, config->dir);
    return make_files(config, NULL, config->first_seqno, config->first_arrival_us, NULL);
}

ls_status lsi_log_create_behind(const lsi_log_config *config, const lsi_segment_entry *lost, ls_seqno last_seqno,
                                int64_t arrival_us)
{
    lsi_skip skip = {lost->base, lost->end, lost->base_seqno, last_seqno};
    int rc = config->root->files->make_dir(config->root, config->dir);

    if (rc < 0)
        return lsi_fail_errno(-rc, "%s: making the directory %s", config->label, config->dir);
    return make_files(config, lost, lost->seqno_limit, arrival_us, skip.from < skip.to ? &skip : NULL);
}

ls_status lsi_log_publish_new(const lsi_log_config *config)
{
    lsi_segment_header header;
    lsi_segment_entry entry;
    lsi_slot *slot;
    ls_status st = lsi_control_slot_locked(config->control, LSI_SLOT_SHARD, config->stream, config->shard, &slot);

    if (st != LS_OK)
        return st;
    fill_header(config, NULL, 0, config->first_seqno, config->first_arrival_us, 0, &header); /* as lsi_log_create did */
    lsi_segment_entry_begin(config->env, &header, &entry);
    lsi_log_publish_empty(config, slot, &entry, header.base_arrival_us);
    return LS_OK;
}
