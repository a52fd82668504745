/* Compressing a log's sealed segments (blocks.h), one at a time.
 *
 *  B1 The file in blocks is written beside the plain one, synced, read back and compared byte for byte, and only then
 *     takes its name, by a rename; the directory is synced. At any moment, also after a crash, there is one or the
 *     other under that name, whole, and both are the same segment to who reads it. Who has the plain file open reads
 *     on.
 *  B2 The list's mark comes last, with what the file takes: a death before it makes the next one find the file in
 *     blocks and set the mark. A mark is a hint: without it a segment is looked at once more.
 *  B3 Left as they are, and marked: encrypted segments, since what is encrypted does not get smaller; those with a torn
 *     tail, whose bytes beyond their end are kept for who wants to look; those with damage, so that nothing of it is
 *     lost; and those that it does not make smaller by an eighth.
 *
 * Nobody trims the log meanwhile: who trims and who recompresses a stream hold one lock, its upkeep's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "storage/blocks.h"
#include "storage/log.h"
#include "storage/seal.h"

#define GAIN_PART 8u
#define COMPARE_BYTES LSI_BLOCK_BYTES

/* The first sealed one that nobody looked at. */
static bool find_candidate(const lsi_segment_list *list, uint32_t *at)
{
    for (uint32_t i = 0; i + 1 < list->count; i++)
        if ((list->entries[i].flags & LSI_SEGMENT_LOOKED_AT) == 0) {
            *at = i;
            return true;
        }
    return false;
}

/* B3. Whether all of it is valid frames. */
static ls_status is_whole(const lsi_log *log, const lsi_segment *segment, uint64_t end, bool *whole)
{
    lsi_frame_result result = LSI_FRAME_VALID;
    ls_status st = LS_OK;
    lsi_frame frame;
    uint64_t position;
    lsi_walk walk;

    lsi_walk_begin(&walk, log->config.env, segment, segment->header.base, end, true);
    while (st == LS_OK && result == LSI_FRAME_VALID && walk.at < end)
        st = lsi_walk_next(&walk, &frame, &position, &result);
    *whole = walk.at == end;
    lsi_walk_end(&walk);
    return st;
}

static bool has_skip(const lsi_segment_list *list, const lsi_segment_entry *entry)
{
    for (uint32_t i = 0; i < list->skip_count; i++)
        if (list->skips[i].from < entry->end && list->skips[i].to > entry->base)
            return true;
    return false;
}

static ls_status compare(const lsi_log *log, const lsi_file *a, const lsi_file *b, uint64_t bytes, const char *name)
{
    const lsi_memory *memory = &log->config.env->memory;
    unsigned char *buffer = lsi_alloc(memory, 2 * (size_t)COMPARE_BYTES);
    ls_status st = LS_OK;

    if (buffer == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: no memory to compare", log->config.label);
    for (uint64_t at = 0; st == LS_OK && at < bytes; at += COMPARE_BYTES) {
        size_t size = bytes - at < COMPARE_BYTES ? (size_t)(bytes - at) : COMPARE_BYTES;
        int64_t first = a->files->read(a, buffer, size, at);
        int64_t second = b->files->read(b, buffer + COMPARE_BYTES, size, at);

        if (first < 0 || second < 0)
            st = lsi_fail_errno((int)(first < 0 ? -first : -second), "%s: comparing %s", log->config.label, name);
        else if (first != (int64_t)size || second != first || memcmp(buffer, buffer + COMPARE_BYTES, size) != 0)
            st = lsi_fail(LS_ERR_IO, "%s: %s does not read as what was written: it was not used", log->config.label,
                          name);
    }
    lsi_free(memory, buffer);
    return st;
}

/* The synced file in blocks beside the plain one. `*made` 0: it is not worth it, and there is none. */
static ls_status make_file(const lsi_log *log, const lsi_segment *segment, uint64_t bytes, const char *name,
                           uint64_t *made)
{
    const lsi_files *files = log->config.root->files;
    lsi_file file = {0};
    int rc = files->unlink(log->config.root, name), closed; /* a dead one's */
    ls_status st;

    if (rc == 0 || rc == -ENOENT)
        rc = files->open(log->config.root, name, LSI_OPEN_WRITE | LSI_OPEN_CREATE | LSI_OPEN_EXCLUSIVE, &file);
    if (rc < 0)
        return lsi_fail_errno(-rc, "%s: making %s", log->config.label, name);
    st = lsi_blocks_write(log->config.env, segment, bytes, &file, name, made);
    if (st == LS_OK && *made > bytes - bytes / GAIN_PART)
        *made = 0;
    if (st == LS_OK && *made != 0) {
        rc = files->sync(&file, false);
        if (rc < 0)
            st = lsi_fail_errno(-rc, "%s: syncing %s", log->config.label, name);
    }
    if (st == LS_OK && *made != 0)
        st = lsi_blocks_attach(log->config.env, name, segment->seed, true, &file);
    if (st == LS_OK && *made != 0)
        st = compare(log, &segment->file, &file, bytes, name);
    closed = file.files->close(&file);
    if (st == LS_OK && *made != 0 && closed < 0)
        st = lsi_fail_errno(-closed, "%s: closing %s", log->config.label, name);
    if (st != LS_OK || *made == 0) {
        lsi_error_state why;

        lsi_error_save(&why);
        (void)files->unlink(log->config.root, name); /* Or the next one does it. */
        lsi_error_restore(&why);
    }
    return st;
}

/* B1 */
static ls_status exchange(lsi_log *log, lsi_slot *slot, const lsi_segment *segment, const char *fresh)
{
    const lsi_log_config *config = &log->config;
    int rc = config->root->files->rename(config->root, fresh, segment->name);

    if (rc < 0) {
        (void)config->root->files->unlink(config->root, fresh); /* Or the next one does it. */
        return lsi_fail_errno(-rc, "%s: renaming %s", config->label, fresh);
    }
    rc = config->root->files->sync_dir(config->root, config->dir);
    if (rc == -EMFILE || rc == -ENFILE) /* E4: nothing was synced, so no sync has failed; both files are right. */
        return lsi_fail_errno(-rc, "%s: syncing the directory %s", config->label, config->dir);
    return rc < 0 ? lsi_log_fail(log, slot, -rc) : LS_OK;
}

/* What its file takes, in blocks or not. */
static ls_status file_bytes_of(const lsi_log *log, const char *name, uint64_t *out)
{
    lsi_file file = {0};
    int rc = log->config.root->files->open(log->config.root, name, 0, &file);

    if (rc >= 0) {
        rc = file.files->size(&file, out);
        (void)file.files->close(&file); /* It was only asked for its size. */
    }
    return rc < 0 ? lsi_fail_errno(-rc, "%s: the size of %s", log->config.label, name) : LS_OK;
}

/* Compresses the segment, if that is to be done. `*file_bytes`: what its file takes then; 0: not known. */
static ls_status compress_one(lsi_log *log, lsi_slot *slot, const lsi_segment_list *list,
                              const lsi_segment_entry *entry, uint64_t *file_bytes)
{
    uint64_t bytes = LSI_SEGMENT_HEADER_BYTES + (entry->end - entry->base), made = 0;
    char fresh[LSI_SEGMENT_NAME_BYTES];
    lsi_error_state before;
    lsi_segment *segment;
    bool whole = false;
    ls_status st;

    *file_bytes = entry->file_bytes;
    if ((entry->flags & LSI_SEGMENT_TORN) != 0 || has_skip(list, entry) || entry->end == entry->base)
        return LS_OK; /* B3 */
    lsi_error_save(&before);
    st = lsi_segment_open(&log->config, entry->number, false, &segment);
    if (st == LS_ERR_CORRUPT || st == LS_ERR_VERSION) { /* Who reads it is told. */
        lsi_error_restore(&before);
        return LS_OK;
    }
    if (st != LS_OK)
        return st;
    if (segment->header.is_packed) {
        st = file_bytes_of(log, segment->name, file_bytes); /* B2 */
    } else if (!lsi_segment_is_sealed(segment) && lsi_segment_is_named(segment, entry)) {
        st = is_whole(log, segment, entry->end, &whole);
        lsi_segment_name(log->config.dir, entry->number, "new", fresh);
        if (st == LS_OK && whole)
            st = make_file(log, segment, bytes, fresh, &made);
        if (st == LS_OK && made != 0)
            st = exchange(log, slot, segment, fresh);
        if (st == LS_OK && made != 0)
            *file_bytes = made;
    }
    lsi_segment_unref(segment);
    return st;
}

ls_status lsi_log_recompress(lsi_log *log, bool look_only, bool *found, uint64_t *saved_bytes)
{
    const lsi_log_config *config = &log->config;
    lsi_segment_list *list = NULL, *fresh = NULL;
    uint64_t file_bytes, before, generation;
    lsi_slot *slot;
    uint32_t at = 0;
    ls_status st;

    *found = false;
    *saved_bytes = 0;
    if (config->read_only)
        return lsi_fail(LS_ERR_READ_ONLY, "%s: the store was opened for reading", config->label);
    st = lsi_log_find_slot(log, &slot);
    if (st != LS_OK)
        return st;
    if (atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FAILED)
        return LS_OK; /* Its directory's syncs may not be believed (E1): left as it is until a reset. */
    /* Before the list: one that is newer than its number is only looked at once more. Relaxed: it only saves work. */
    generation = atomic_load_explicit(&slot->list_generation, memory_order_acquire) + UINT64_C(1);
    if (atomic_load_explicit(&log->looked_at, memory_order_relaxed) == generation)
        return LS_OK;
    st = lsi_segment_list_load(config, &list);
    if (st != LS_OK)
        return st;
    *found = find_candidate(list, &at);
    if (!*found)
        atomic_store_explicit(&log->looked_at, generation, memory_order_relaxed);
    if (*found && !look_only) {
        before = lsi_segment_entry_bytes(&list->entries[at]);
        st = compress_one(log, slot, list, &list->entries[at], &file_bytes);
        if (st == LS_OK)
            st = lsi_segment_list_copy(list, &fresh);
        if (st == LS_OK) {
            fresh->entries[at].flags |= LSI_SEGMENT_LOOKED_AT;
            fresh->entries[at].file_bytes = file_bytes;
            st = lsi_log_exchange_list(log, slot, list, fresh);
        }
        if (st == LS_OK && lsi_segment_entry_bytes(&fresh->entries[at]) < before)
            *saved_bytes = before - lsi_segment_entry_bytes(&fresh->entries[at]);
    }
    lsi_segment_list_unref(fresh);
    lsi_segment_list_unref(list);
    return st;
}
