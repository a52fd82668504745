/* Copying a log into another directory while it is written to: a prefix of it, for backups.
 *
 *  C1 What the copy holds is what readers could see at one moment after the call began: bytes before that end never
 *     change (S1), and the list is read after the end.
 *  C2 The copy's list is replaced when all files that it names are there, checked and synced: at any moment, also after
 *     a crash, it is a whole log, the earlier one or this one.
 *  C3 A file that the copy has sealed under the same header is not copied again. Any other file is copied whole, to a
 *     name of its own, and takes its place by a rename.
 *     What is remembered of producers (numbered.h) is read before the end, and so is of a place before it; it is put in
 *     place behind a list that knows of such a file already, and before one that is the first to.
 *  C4 Damage is no backup: every copied frame is checked, in the copy. What a repair made readers step over is copied
 *     as it is.
 *
 * The copy keeps store, stream, shard and segment ids, since every sum is salted with them. It has no index and no
 * control file: both are hints. Who opens it to write goes on in a new segment, with a new salt. */
#include "storage/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "storage/numbered.h"

#define COPY_BYTES (1u << 20)
#define TRIES_MAX 100u /* trimming under way moves the list on */

/* Where the bytes end that anybody reads of a segment that ends at `end`: what a reset gave up, or a repair, is at the
 * end of one, and after a crash the file need not have it. */
static uint64_t read_end(const lsi_segment_list *list, const lsi_segment_entry *entry, uint64_t end)
{
    const lsi_skip *skip;

    while (end > entry->base && (skip = lsi_skip_at(list, end - 1)) != NULL)
        end = skip->from > entry->base ? skip->from : entry->base;
    return end;
}

/* C4. The frames of [base, stop) in `file`, a copy of `from` that has no place yet. */
static ls_status check_copy(const lsi_log *log, const lsi_segment_list *list, const lsi_segment *from,
                            const lsi_file *file, const char *name, uint64_t stop)
{
    lsi_segment copy = {.env = from->env, .file = *file, .header = from->header, .seed = from->seed};
    lsi_walk walk;
    ls_status st = LS_OK;

    memcpy(copy.name, name, sizeof copy.name);
    lsi_walk_begin(&walk, log->config.env, &copy, copy.header.base, stop, true);
    while (st == LS_OK && walk.at < stop) {
        lsi_frame frame;
        lsi_frame_result result;
        uint64_t position;
        const lsi_skip *skip = lsi_skip_at(list, walk.at);

        if (skip != NULL) {
            walk.at = skip->to;
            continue;
        }
        st = lsi_walk_next(&walk, &frame, &position, &result);
        if (st == LS_OK && result != LSI_FRAME_VALID)
            st = lsi_fail(LS_ERR_CORRUPT, "%s: damage at 0x%llx of %s: it was not copied; verify and repair the store",
                          log->config.label,
                          (unsigned long long)(position - from->header.base + LSI_SEGMENT_HEADER_BYTES), from->name);
    }
    lsi_walk_end(&walk);
    return st;
}

/* The first `bytes` bytes of `from` into the open `to`. */
static ls_status copy_bytes(const lsi_log *log, const lsi_segment *from, const lsi_file *to, const char *to_name,
                            uint64_t bytes, lsi_copy *copy)
{
    const lsi_memory *memory = &log->config.env->memory;
    unsigned char *buffer = lsi_alloc(memory, COPY_BYTES);
    ls_status st = LS_OK;

    if (buffer == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: copying: no memory", log->config.label);
    for (uint64_t at = 0; st == LS_OK && at < bytes;) {
        size_t size = bytes - at < COPY_BYTES ? (size_t)(bytes - at) : COPY_BYTES;
        int64_t got = from->file.files->read(&from->file, buffer, size, at);
        int rc;

        if (got < 0)
            st = lsi_fail_errno((int)-got, "%s: reading %s at 0x%llx", log->config.label, from->name,
                                (unsigned long long)at);
        else if (got < (int64_t)size)
            st = lsi_fail(LS_ERR_CORRUPT, "%s: %s ends at 0x%llx and should go on to 0x%llx: it was not copied",
                          log->config.label, from->name, (unsigned long long)at + (unsigned long long)got,
                          (unsigned long long)bytes);
        if (st != LS_OK)
            break;
        rc = lsi_file_write_one(to, buffer, size, at);
        if (rc < 0)
            st = lsi_fail_errno(-rc, "%s: writing %s of the copy", log->config.label, to_name);
        at += size;
        copy->done_bytes += size;
        if (st == LS_OK && copy->progress != NULL && !copy->progress(copy->user, copy->done_bytes, copy->total_bytes))
            st = lsi_fail(LS_ERR_CANCELLED, "the copy was cancelled; what was copied before is as it was");
    }
    lsi_free(memory, buffer);
    return st;
}

/* C3, C4. */
static ls_status copy_segment(const lsi_log *log, const lsi_log_config *there, const lsi_segment_list *list,
                              const lsi_segment_entry *entry, uint64_t stop, lsi_copy *copy)
{
    const lsi_files *files = there->root->files;
    char name[LSI_SEGMENT_NAME_BYTES], fresh[LSI_SEGMENT_NAME_BYTES];
    lsi_segment *from;
    lsi_file to = {0};
    int rc, closed;
    ls_status st = lsi_segment_open(&log->config, entry->number, false, &from);

    if (st != LS_OK)
        return st;
    if (!lsi_segment_is_named(from, entry)) {
        st = lsi_fail(LS_ERR_CORRUPT, "%s: %s is not the file that the segment list names", log->config.label,
                      from->name);
        goto out;
    }
    lsi_segment_name(there->dir, entry->number, "seg", name);
    lsi_segment_name(there->dir, entry->number, "new", fresh);
    rc = files->unlink(there->root, fresh); /* an earlier copy that was not finished */
    if (rc == 0 || rc == -ENOENT)
        rc = files->open(there->root, fresh, LSI_OPEN_WRITE | LSI_OPEN_CREATE | LSI_OPEN_EXCLUSIVE, &to);
    if (rc < 0) {
        st = lsi_fail_errno(-rc, "%s: making %s of the copy", log->config.label, fresh);
        goto out;
    }
    stop = read_end(list, entry, stop);
    st = copy_bytes(log, from, &to, fresh, LSI_SEGMENT_HEADER_BYTES + (stop - entry->base), copy);
    if (st == LS_OK)
        st = check_copy(log, list, from, &to, fresh, stop);
    rc = st == LS_OK ? files->sync(&to, false) : 0;
    closed = files->close(&to);
    if (st == LS_OK && (rc < 0 || closed < 0))
        st = lsi_fail_errno(rc < 0 ? -rc : -closed, "%s: syncing %s of the copy", log->config.label, fresh);
    if (st == LS_OK) {
        rc = files->rename(there->root, fresh, name);
        if (rc < 0)
            st = lsi_fail_errno(-rc, "%s: renaming %s of the copy", log->config.label, fresh);
    }
    if (st != LS_OK)
        (void)files->unlink(there->root, fresh); /* the next copy does it if this cannot */
out:
    lsi_segment_unref(from);
    return st;
}

/* Whether the copy there is one of this log: every segment it names is named here too, or was trimmed here. */
static ls_status check_earlier(const lsi_log *log, const lsi_segment_list *list, const lsi_segment_list *earlier)
{
    for (uint32_t i = 0; i < earlier->count; i++) {
        const lsi_segment_entry *entry = &earlier->entries[i];
        uint32_t k = 0;

        if (entry->number < list->entries[0].number)
            continue;
        while (k < list->count && list->entries[k].number != entry->number)
            k++;
        if (k == list->count || list->entries[k].header_sum != entry->header_sum)
            return lsi_fail(LS_ERR_STATE,
                            "%s: the copy has a segment %u that this log never had: somebody wrote to it; "
                            "copy into another directory", log->config.label, entry->number);
    }
    return LS_OK;
}

/* C3 */
static bool is_there(const lsi_log_config *there, const lsi_segment_list *list, const lsi_segment_list *earlier,
                     const lsi_segment_entry *entry)
{
    if (earlier == NULL || (entry->flags & LSI_SEGMENT_SEALED) == 0)
        return false;
    for (uint32_t i = 0; i < earlier->count; i++) {
        const lsi_segment_entry *old = &earlier->entries[i];
        lsi_segment *segment;
        uint64_t size;
        bool whole;

        if (old->number != entry->number || (old->flags & LSI_SEGMENT_SEALED) == 0 || old->end != entry->end)
            continue;
        if (lsi_segment_open(there, entry->number, false, &segment) != LS_OK)
            return false; /* Copied again: the file may have been lost. */
        whole = lsi_segment_is_named(segment, entry) && segment->file.files->size(&segment->file, &size) == 0 &&
                size >= LSI_SEGMENT_HEADER_BYTES + (read_end(list, entry, entry->end) - entry->base);
        lsi_segment_unref(segment);
        return whole;
    }
    return false;
}

/* C2. What is in blocks here was copied as it was before. */
static ls_status store_list(const lsi_log_config *there, const lsi_segment_list *list)
{
    lsi_segment_list *copy;
    ls_status st = lsi_segment_list_copy(list, &copy);

    if (st != LS_OK)
        return st;
    copy->head = list->head;
    for (uint32_t i = 0; i < copy->count; i++) {
        lsi_segment_entry *entry = &copy->entries[i];

        if ((entry->flags & LSI_SEGMENT_LOOKED_AT) == 0)
            continue;
        entry->flags &= ~LSI_SEGMENT_LOOKED_AT;
        entry->file_bytes = 0;
    }
    st = lsi_segment_list_store(there, copy);
    lsi_segment_list_unref(copy);
    return st;
}

/* C2. `*bytes` NULL: there is nothing remembered. It is checked: C4. */
static ls_status read_producers(const lsi_log *log, void **bytes, size_t *size)
{
    const lsi_log_config *config = &log->config;
    char name[LSI_SEGMENT_NAME_BYTES];
    lsi_error_state before;
    const unsigned char *payload;
    lsi_remembered *of = NULL;
    size_t payload_size;
    lsi_checked_head head;
    uint64_t position;
    ls_status st;

    *bytes = NULL;
    lsi_error_save(&before);
    (void)snprintf(name, sizeof name, "%s/" LSI_PRODUCERS_NAME, config->dir);
    st = lsi_checked_read(config->env, config->root, name, bytes, size);
    if (st == LS_ERR_NOT_FOUND) {
        lsi_error_restore(&before);
        return LS_OK;
    }
    if (st == LS_OK)
        st = lsi_checked_decode(name, LSI_CHECKED_PRODUCERS, lsi_segment_list_salt(config), *bytes, *size, &head,
                                &payload, &payload_size);
    if (st == LS_OK)
        st = lsi_remembered_decode(config->env, name, payload, payload_size, &position, &of);
    lsi_remembered_free(of);
    if (st == LS_OK)
        return LS_OK;
    lsi_free(&config->env->memory, *bytes);
    *bytes = NULL;
    return lsi_fail_within(config->label);
}

static ls_status put_producers(const lsi_log_config *there, const void *bytes, size_t size)
{
    char name[LSI_SEGMENT_NAME_BYTES];

    (void)snprintf(name, sizeof name, "%s/" LSI_PRODUCERS_NAME, there->dir);
    return bytes != NULL ? lsi_checked_put(there->root, there->dir, name, bytes, size) : LS_OK;
}

static bool is_numbered(lsi_segment_list *list)
{
    return list != NULL && (lsi_segment_list_last(list)->flags & LSI_SEGMENT_NUMBERED) != 0;
}

static ls_status copy_once(lsi_log *log, lsi_slot *slot, const lsi_log_config *there, lsi_segment_list *earlier,
                           lsi_copy *copy)
{
    lsi_segment_list *list = NULL;
    size_t producers_size = 0;
    void *producers;
    ls_status st = read_producers(log, &producers, &producers_size);
    uint64_t published = lsi_log_published(log, slot); /* C1: before the list */
    int rc;

    if (st == LS_OK)
        st = lsi_log_list(log, slot, &list);
    if (st != LS_OK)
        goto out;
    if (is_numbered(list) && producers == NULL && !log->config.is_closed) {
        st = lsi_fail(LS_ERR_CORRUPT, "%s: %s/" LSI_PRODUCERS_NAME " is not there: it was not copied; verify and "
                      "repair the store", log->config.label, log->config.dir);
        goto out;
    }
    if (earlier != NULL)
        st = check_earlier(log, list, earlier);
    for (uint32_t i = 0; st == LS_OK && i < list->count; i++) {
        const lsi_segment_entry *entry = &list->entries[i];
        bool sealed = (entry->flags & LSI_SEGMENT_SEALED) != 0;
        uint64_t stop = sealed ? entry->end : published > entry->base ? published : entry->base;
        const lsi_skip *skip = lsi_skip_at(list, entry->base);

        if (sealed && skip != NULL && skip->to >= entry->end)
            continue; /* A repair gave up all of it: the file may be gone, and nobody reads it. */
        if (!is_there(there, list, earlier, entry))
            st = copy_segment(log, there, list, entry, stop, copy);
    }
    if (st == LS_OK) {
        rc = there->root->files->sync_dir(there->root, there->dir);
        st = rc < 0 ? lsi_fail_errno(-rc, "%s: syncing the directory %s of the copy", log->config.label, there->dir)
                    : LS_OK;
    }
    if (st == LS_OK && !is_numbered(earlier))
        st = put_producers(there, producers, producers_size);
    if (st == LS_OK)
        st = store_list(there, list);
    if (st == LS_OK && is_numbered(earlier))
        st = put_producers(there, producers, producers_size);
    for (uint32_t i = 0; st == LS_OK && earlier != NULL && i < earlier->count; i++) {
        char name[LSI_SEGMENT_NAME_BYTES];

        if (earlier->entries[i].number >= list->entries[0].number)
            break;
        lsi_segment_name(there->dir, earlier->entries[i].number, "seg", name);
        (void)there->root->files->unlink(there->root, name); /* Trimmed; what stays is nobody's. */
    }
out:
    lsi_free(&log->config.env->memory, producers);
    lsi_segment_list_unref(list);
    return st;
}

ls_status lsi_log_copy(lsi_log *log, const lsi_root *root, lsi_copy *copy)
{
    lsi_log_config there = log->config;
    lsi_segment_list *earlier = NULL;
    char name[LSI_SEGMENT_NAME_BYTES];
    lsi_file probe = {0};
    lsi_slot *slot;
    ls_status st = lsi_log_ready(log, &slot);
    int rc;

    /* What a stream remembers was copied before, and it may say that a step was taken whose frame is not shown yet. */
    if (st == LS_OK && lsi_log_has_step(slot) && !log->config.read_only) {
        st = lsi_log_lock(log, slot, true);
        if (st == LS_OK)
            lsi_log_unlock(slot);
    }
    if (st == LS_OK)
        st = lsi_log_step_settle(log);
    if (st != LS_OK)
        return st;
    there.root = root;
    (void)snprintf(name, sizeof name, "%s/%s", there.dir, LSI_SEGMENT_LIST_NAME);
    rc = root->files->open(root, name, 0, &probe);
    if (rc == 0) {
        (void)root->files->close(&probe); /* opened to read */
        st = lsi_segment_list_load(&there, &earlier);
    } else if (rc != -ENOENT) {
        st = lsi_fail_errno(-rc, "%s: opening %s of the copy", log->config.label, name);
    }
    for (unsigned tries = 0; st == LS_OK; tries++) {
        uint64_t done = copy->done_bytes;

        st = copy_once(log, slot, &there, earlier, copy);
        if (st != LS_ERR_NOT_FOUND || lsi_log_is_deleted(log, slot) || tries == TRIES_MAX)
            break;
        lsi_log_forget_list(log); /* A segment was trimmed since the list was read. */
        copy->done_bytes = done;
        st = LS_OK;
    }
    lsi_segment_list_unref(earlier);
    if (st == LS_ERR_NOT_FOUND && !lsi_log_is_deleted(log, slot))
        return lsi_fail(LS_ERR_CORRUPT, "%s: a segment is named by the list and not there", log->config.label);
    return st;
}

ls_status lsi_log_copy_bytes(lsi_log *log, uint64_t *out)
{
    lsi_slot *slot;
    lsi_segment_list *list;
    ls_status st = lsi_log_ready(log, &slot);

    if (st == LS_OK)
        st = lsi_log_list(log, slot, &list);
    if (st != LS_OK)
        return st;
    uint64_t end = lsi_log_published(log, slot), base = list->entries[0].base;
    *out = list->count * (uint64_t)LSI_SEGMENT_HEADER_BYTES + (end > base ? end - base : 0);
    lsi_segment_list_unref(list);
    return LS_OK;
}
