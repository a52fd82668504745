/* Trimming a log: its oldest segments go, whole.
 *
 * The list is truth, so it comes first (S8): a list that begins later is written and synced beside the old one, takes
 * its place by a rename, and the directory is synced; only then files are removed. A death before the rename leaves a
 * file that is nobody's, one after it leaves segments that no list names; both are removed by who comes next. There is
 * no moment at which a list names what is gone.
 *
 * Puts hold append_lock, and a roll replaces the list under it. Trimming holds it for a look and the rename, not for
 * the syncs, and only when it is free. What was written beside is used only if the list is still the one it was made
 * from. Readers hold nothing: an open file stays readable when its name is gone (P8).
 *
 * What is deleted needs a reason that was read and checked (R6): the age of the newest record that goes is read from
 * its frame, whatever the list says. */
#include "storage/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "storage/verify.h"

#define FRESH_NAME "trimmed.new" /* not that of a roll, which may be under way */

/* ---- looking ---- */

static uint64_t last_bytes(const lsi_log_config *config, uint32_t number)
{
    char name[LSI_SEGMENT_NAME_BYTES];
    uint64_t bytes = LSI_SEGMENT_HEADER_BYTES;
    lsi_file file;

    lsi_segment_name(config->dir, number, "seg", name);
    if (config->root->files->open(config->root, name, 0, &file) < 0)
        return bytes; /* It is not there yet or no more; or reading says what is wrong with it. */
    if (file.files->size(&file, &bytes) < 0)
        bytes = LSI_SEGMENT_HEADER_BYTES;
    (void)file.files->close(&file); /* It was only asked for its size. */
    return bytes;
}

ls_status lsi_log_each_piece(lsi_log *log, int64_t before_us, bool (*each)(void *user, const lsi_log_piece *piece),
                             void *user)
{
    lsi_segment_list *list;
    lsi_slot *slot;
    ls_status st = lsi_log_find_slot(log, &slot);

    if (st == LS_OK)
        st = lsi_log_list(log, slot, &list);
    if (st != LS_OK)
        return st;
    for (uint32_t i = 0; i < list->count; i++) {
        const lsi_segment_entry *entry = &list->entries[i];
        bool is_last = i == list->count - 1;
        lsi_log_piece piece = {.number = entry->number,
                               .is_last = is_last,
                               .is_odd = (entry->flags & (LSI_SEGMENT_AHEAD | LSI_SEGMENT_DOUBTFUL)) != 0,
                               .bytes = is_last ? last_bytes(&log->config, entry->number)
                                                : lsi_segment_entry_bytes(entry),
                               .oldest_us = entry->base_arrival_us,
                               .newest_us = lsi_segment_list_newest_us(list, i, before_us)};
        if (!each(user, &piece))
            break;
    }
    if (atomic_load_explicit(&slot->sealed_bytes, memory_order_relaxed) == 0 && !log->config.read_only &&
        lsi_log_try_bare_lock(slot)) {
        /* Nobody knows what it keeps: the next look need not read the list. */
        lsi_segment_list *now;
        lsi_error_state before;
        lsi_error_save(&before);
        if (lsi_segment_list_load(&log->config, &now) == LS_OK) {
            lsi_log_note_list(log, slot, now);
            lsi_segment_list_unref(now);
        } else {
            lsi_error_restore(&before); /* Then nobody knows it the next time either. */
        }
        lsi_log_unlock(slot);
    }
    lsi_segment_list_unref(list);
    return LS_OK;
}

/* ---- the list ---- */

/* What of a log may go: the newest record before entry `first`, of which the next one's number is above `*trimmed`. */
static ls_status newest_before(lsi_log *log, const lsi_segment_list *list, uint32_t first, int64_t *newest_us,
                               ls_seqno *trimmed)
{
    const lsi_segment_entry *entry = &list->entries[first];
    lsi_error_state before;
    lsi_frame frame;
    bool found;
    ls_status st;

    lsi_error_save(&before);
    st = lsi_log_last_frame(log, list, entry->base, &found, &frame);
    *newest_us = INT64_MIN;
    *trimmed = list->trimmed != 0 ? list->trimmed : list->entries[0].base_seqno; /* They hold nothing. */
    if (st == LS_OK && found) {
        /* Where stamps are ahead, or were once, only the list says when they count as arrived. */
        *newest_us = !entry[-1].is_stamped || entry[-1].newest_us < frame.arrival_us ? entry[-1].newest_us
                                                                                     : frame.arrival_us;
        *trimmed = frame.first_seqno + frame.count;
    } else if (st == LS_ERR_CORRUPT || st == LS_ERR_IO || st == LS_ERR_VERSION) {
        /* It cannot be read. The list, which can, says when the next segment began. */
        lsi_error_restore(&before);
        *newest_us = entry[-1].newest_us;
        *trimmed = entry->base_seqno;
        st = LS_OK;
    }
    if (*trimmed > entry->base_seqno)
        *trimmed = entry->base_seqno;
    return st;
}

static ls_status make_shorter(const lsi_segment_list *list, uint32_t go, ls_seqno trimmed, lsi_segment_list **out)
{
    lsi_segment_list *fresh;
    uint32_t skips = 0;
    ls_status st = lsi_segment_list_copy(list, &fresh);

    if (st != LS_OK)
        return st;
    fresh->count -= go;
    memmove(fresh->entries, fresh->entries + go, fresh->count * sizeof *fresh->entries);
    for (uint32_t i = 0; i < fresh->skip_count; i++)
        if (fresh->skips[i].to > fresh->entries[0].base)
            fresh->skips[skips++] = fresh->skips[i];
    fresh->skip_count = skips;
    fresh->trimmed = trimmed;
    *out = fresh;
    return LS_OK;
}

/* Writes `list` under another name, synced. */
static ls_status write_beside(const lsi_log_config *config, const char *name, const lsi_segment_list *list)
{
    const lsi_files *files = config->root->files;
    lsi_file file = {0};
    void *bytes;
    size_t size;
    int rc, closed;
    ls_status st = lsi_segment_list_encode(config, list, &bytes, &size);

    if (st != LS_OK)
        return st;
    rc = files->unlink(config->root, name); /* A dead trimmer's. */
    if (rc == 0 || rc == -ENOENT)
        rc = files->open(config->root, name, LSI_OPEN_WRITE | LSI_OPEN_CREATE | LSI_OPEN_EXCLUSIVE, &file);
    if (rc == 0) {
        rc = lsi_file_write_one(&file, bytes, size, 0);
        if (rc == 0)
            rc = files->sync(&file, false);
        closed = files->close(&file);
        rc = rc == 0 ? closed : rc;
        if (rc != 0)
            (void)files->unlink(config->root, name); /* The next one does it if this one cannot. */
    }
    lsi_free(&config->env->memory, bytes);
    return rc == 0 ? LS_OK : lsi_fail_errno(rc, "%s: writing %s", config->label, name);
}

/* Two lists that follow one and the same have one number: somebody who went on from an older one than he should have.
 * So what they name counts as well. */
static bool is_same_list(const lsi_segment_list *a, const lsi_segment_list *b)
{
    const lsi_segment_entry *x = &a->entries[a->count - 1], *y = &b->entries[b->count - 1];

    return a->head.generation == b->head.generation && a->count == b->count &&
           a->entries[0].number == b->entries[0].number && x->number == y->number && x->header_sum == y->header_sum;
}

/* Puts what was written beside, if `name` is not NULL, in the place of the list it was made from. Without a name: says
 * that the file's list is `fresh`, which a dead trimmer may have put there and told nobody. */
static ls_status put_in_place(lsi_log *log, lsi_slot *slot, const char *name, const lsi_segment_list *made_from,
                              lsi_segment_list *fresh)
{
    const lsi_log_config *config = &log->config;
    char list_name[LSI_SEGMENT_NAME_BYTES];
    lsi_segment_list *now;
    ls_status st;

    (void)snprintf(list_name, sizeof list_name, "%s/%s", config->dir, LSI_SEGMENT_LIST_NAME);
    if (!lsi_log_try_bare_lock(slot))
        return lsi_fail(LS_ERR_BUSY, "%s: its lock is taken", config->label);
    if (lsi_log_is_deleted(log, slot)) {
        st = lsi_log_deleted(log);
        goto out;
    }
    if (atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FAILED) {
        /* What failed may have been the directory, whose next sync cannot be believed (E1). */
        st = lsi_fail(LS_ERR_BUSY, "%s is not trimmed since a sync failed", config->label);
        goto out;
    }
    st = lsi_segment_list_load(config, &now);
    if (st != LS_OK)
        goto out;
    if (!is_same_list(now, made_from))
        st = lsi_fail(LS_ERR_BUSY, "%s: its list was replaced meanwhile", config->label);
    lsi_segment_list_unref(now);
    if (st == LS_OK && name != NULL) {
        int rc = config->root->files->rename(config->root, name, list_name);
        if (rc != 0)
            st = lsi_fail_errno(rc, "%s: replacing %s", config->label, list_name);
    }
    if (st == LS_OK)
        lsi_log_note_list(log, slot, fresh); /* Also one who rolls must not begin with an older one. */
out:
    lsi_log_unlock(slot);
    return st;
}

ls_status lsi_log_exchange_list(lsi_log *log, lsi_slot *slot, const lsi_segment_list *made_from,
                                lsi_segment_list *fresh)
{
    const lsi_log_config *config = &log->config;
    char name[LSI_SEGMENT_NAME_BYTES];
    lsi_error_state why;
    ls_status st;

    if (!lsi_log_try_bare_lock(slot)) /* Who holds it now saves the writing and the sync; see put_in_place. */
        return lsi_fail(LS_ERR_BUSY, "%s: its lock is taken", config->label);
    lsi_log_unlock(slot);
    (void)snprintf(name, sizeof name, "%s/%s", config->dir, FRESH_NAME);
    st = write_beside(config, name, fresh);
    if (st != LS_OK)
        return st;
    st = put_in_place(log, slot, name, made_from, fresh);
    if (st != LS_OK) {
        lsi_error_save(&why);
        (void)config->root->files->unlink(config->root, name); /* Or the next one does it. */
        lsi_error_restore(&why);
        return st;
    }
    int rc = config->root->files->sync_dir(config->root, config->dir);
    if (rc == -EMFILE || rc == -ENFILE) /* E4: nothing was synced, so no sync has failed. */
        return lsi_fail_errno(-rc, "%s: syncing the directory %s", config->label, config->dir);
    return rc < 0 ? lsi_log_fail(log, slot, -rc) : LS_OK;
}

/* ---- the files ---- */

static const char *const kinds[] = {"seg", "idx", "new" /* one that recompresses died */};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

typedef struct old_file {
    uint32_t number;
    int kind;
} old_file;

typedef struct old_files {
    const lsi_memory *memory;
    uint32_t below;
    old_file *of;
    size_t count, capacity;
} old_files;

/* Collected first: a listing that is changed while it runs may leave a name out. */
static int note_old(void *user, const char *entry, bool is_dir)
{
    old_files *found = user;
    uint32_t number = 0;
    int kind = 0;

    while (kind < KINDS && (number = lsi_segment_number_of(entry, kinds[kind])) == 0)
        kind++;
    if (is_dir || number == 0 || number >= found->below)
        return 0;
    if (!lsi_grow(found->memory, (void **)&found->of, &found->capacity, found->count + 1, sizeof *found->of))
        return -ENOMEM;
    found->of[found->count++] = (old_file){number, kind};
    return 0;
}

/* Removes all before the list's first, whose being the first is on the disk. */
static ls_status remove_files(lsi_log *log, lsi_slot *slot, uint32_t below, uint32_t *removed)
{
    const lsi_log_config *config = &log->config;
    old_files found = {.memory = &config->env->memory, .below = below};
    int rc = config->root->files->list(config->root, config->dir, note_old, &found);

    for (size_t i = 0; i < found.count; i++) {
        char name[LSI_SEGMENT_NAME_BYTES];
        lsi_segment_name(config->dir, found.of[i].number, kinds[found.of[i].kind], name);
        int gone = config->root->files->unlink(config->root, name);
        if (gone != 0 && gone != -ENOENT)
            rc = gone;
        *removed += gone == 0 && found.of[i].kind == 0;
    }
    lsi_free(found.memory, found.of);
    if (rc < 0)
        return lsi_fail_errno(rc, "%s: removing the files of trimmed segments", config->label);
    atomic_store_explicit(&slot->removed_below, below, memory_order_relaxed);
    return LS_OK;
}

/* A directory's sync that follows one that failed cannot be believed (E1). Who met that one, in a roll, has said so by
 * the time he gives the lock back. */
static ls_status look_at_health(const lsi_log *log, lsi_slot *slot)
{
    if (!lsi_log_try_bare_lock(slot))
        return lsi_fail(LS_ERR_BUSY, "%s: its lock is taken; no file was removed", log->config.label);
    bool is_failed = atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FAILED;
    lsi_log_unlock(slot);
    return is_failed ? lsi_fail(LS_ERR_IO, "%s: a sync failed meanwhile; no file was removed", log->config.label)
                     : LS_OK;
}

ls_status lsi_log_trim(lsi_log *log, uint32_t keep, int64_t before_us, uint32_t *removed)
{
    const lsi_log_config *config = &log->config;
    lsi_segment_list *list = NULL, *fresh = NULL;
    char name[LSI_SEGMENT_NAME_BYTES];
    lsi_slot *slot;
    ls_seqno trimmed = 0;
    uint32_t go = 0;
    ls_status st;

    *removed = 0;
    if (config->read_only)
        return lsi_fail(LS_ERR_READ_ONLY, "%s: the store was opened for reading", config->label);
    st = lsi_log_find_slot(log, &slot);
    if (st == LS_OK && atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FAILED)
        return LS_OK; /* Its directory's syncs may not be believed (E1): left as it is until a reset. */
    if (st == LS_OK)
        st = lsi_segment_list_load(config, &list); /* The file: what is cached may be a dead trimmer's predecessor. */
    if (st != LS_OK)
        goto out;
    lsi_log_heed_clock(log, slot, list);
    while (go + 1 < list->count && list->entries[go].number < keep)
        go++;
    if (go > 0) {
        int64_t newest_us;
        st = newest_before(log, list, go, &newest_us, &trimmed);
        if (st != LS_OK)
            goto out;
        if (newest_us >= before_us)
            go = 0; /* R6 */
    }
    if (go == 0)
        trimmed = list->trimmed;
    uint32_t first = list->entries[go].number;
    if (go == 0 &&
        (list->trimmed == 0 || atomic_load_explicit(&slot->removed_below, memory_order_relaxed) >= first))
        goto out; /* What is before the first was not trimmed; it may be what a repair left for somebody to look at. */

    st = make_shorter(list, go, trimmed, &fresh);
    if (st != LS_OK)
        goto out;
    (void)snprintf(name, sizeof name, "%s/%s", config->dir, FRESH_NAME);
    if (go > 0)
        st = write_beside(config, name, fresh);
    else
        fresh->head = list->head; /* It is the same list. */
    if (st != LS_OK)
        goto out;
    st = put_in_place(log, slot, go > 0 ? name : NULL, list, fresh);
    if (st != LS_OK) {
        lsi_error_state why;
        lsi_error_save(&why);
        if (go > 0)
            (void)config->root->files->unlink(config->root, name); /* Or the next one does it. */
        lsi_error_restore(&why);
        goto out;
    }
    int rc = config->root->files->sync_dir(config->root, config->dir);
    if (rc < 0) {
        /* E4: without a descriptor nothing was synced, so no sync has failed. The files stay for the next one. */
        st = rc == -EMFILE || rc == -ENFILE
                 ? lsi_fail_errno(-rc, "%s: syncing the directory %s; no file was removed", config->label, config->dir)
                 : lsi_log_fail(log, slot, -rc);
        goto out;
    }
    st = look_at_health(log, slot);
    if (st != LS_OK)
        goto out;
    st = remove_files(log, slot, first, removed); /* S8 */
    if (go > 0)
        lsi_env_log(config->env, LS_LOG_INFO, "%s: trimmed up to segment %u: records below number %llu are gone",
                    config->label, first - 1, (unsigned long long)trimmed);
out:
    lsi_segment_list_unref(list);
    lsi_segment_list_unref(fresh);
    return st;
}

/* Whether the last segment holds records and all are old, or the clock no longer fits it. Locks: append_lock held. */
static ls_status last_is_over(lsi_log *log, lsi_slot *slot, int64_t before_us, bool *is_over)
{
    const lsi_env *env = log->config.env;
    int64_t last_us = atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed), lead_us, arrived_us;
    lsi_segment *segment;
    ls_status st = lsi_log_segment(log, slot, atomic_load_explicit(&slot->segment, memory_order_relaxed), &segment);

    if (st != LS_OK)
        return st;
    lead_us = before_us >= LSI_CLOCK_FLOOR_US ? lsi_segment_lead_us(&segment->header) : 0;
    *is_over = !lsi_log_fits_clock(log, slot, &segment->header, lsi_wall_us(&env->clock)) ||
               (lsi_load(&slot->committed_end) > lsi_load(&slot->segment_base) &&
                (__builtin_sub_overflow(last_us, lead_us, &arrived_us) || arrived_us < before_us));
    lsi_segment_unref(segment);
    return LS_OK;
}

ls_status lsi_log_retire(lsi_log *log, int64_t before_us, bool *rolled)
{
    lsi_slot *slot;
    ls_status st = lsi_log_find_slot(log, &slot);

    *rolled = false;
    if (st != LS_OK)
        return st;
    if (log->config.read_only)
        return lsi_fail(LS_ERR_READ_ONLY, "%s: the store was opened for reading", log->config.label);
    st = lsi_log_try_lock(log, slot, true);
    if (st != LS_OK)
        return st;
    if (atomic_load_explicit(&slot->closed, memory_order_relaxed) == LSI_LOG_OPEN &&
        atomic_load_explicit(&slot->health, memory_order_relaxed) == LSI_SHARD_HEALTHY &&
        lsi_load(&slot->committed_end) > 0) { /* Else it never held a record. */
        bool is_over;
        st = last_is_over(log, slot, before_us, &is_over);
        if (st == LS_OK && is_over) {
            st = lsi_log_roll(log, slot, 0, false);
            *rolled = st == LS_OK;
        }
    }
    lsi_log_unlock(slot);
    return st;
}
