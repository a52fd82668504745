/* What a log remembers of producers (numbered.h): from its snapshot and the frames behind that, and back.
 *
 * A process looks when a numbered put comes, at what was written since it looked last; so plain puts cost nothing, and
 * who puts alone finds nothing to look at. Who rolls looks at the rest of the segment that ends. */
#include "storage/numbered.h"

#include <errno.h>
#include <stdio.h>

#include "base/status.h"
#include "storage/log.h"

static void name_of(const lsi_log_config *config, char name[LSI_SEGMENT_NAME_BYTES])
{
    (void)snprintf(name, LSI_SEGMENT_NAME_BYTES, "%s/" LSI_PRODUCERS_NAME, config->dir);
}

ls_status lsi_producers_load(const lsi_log_config *config, uint64_t *position, lsi_remembered **out)
{
    char name[LSI_SEGMENT_NAME_BYTES];
    lsi_checked_head head;
    void *payload;
    size_t size;
    ls_status st;

    name_of(config, name);
    st = lsi_checked_load(config->env, config->root, name, LSI_CHECKED_PRODUCERS, lsi_segment_list_salt(config), &head,
                          &payload, &size);
    if (st == LS_OK) {
        st = lsi_remembered_decode(config->env, name, payload, size, position, out);
        lsi_free(&config->env->memory, payload);
    }
    return st == LS_OK || st == LS_ERR_NOT_FOUND ? st : lsi_fail_within(config->label);
}

ls_status lsi_producers_store(const lsi_log_config *config, uint64_t position, const lsi_remembered *of)
{
    char name[LSI_SEGMENT_NAME_BYTES];
    void *payload;
    size_t size;
    ls_status st = lsi_remembered_encode(of, position, &payload, &size);

    if (st != LS_OK)
        return st;
    name_of(config, name);
    st = lsi_checked_store(config->env, config->root, config->dir, name, LSI_CHECKED_PRODUCERS,
                           lsi_segment_list_salt(config), (lsi_checked_head){0}, payload, size);
    lsi_free(&config->env->memory, payload);
    return st;
}

void lsi_log_forget_numbers(lsi_log *log)
{
    lsi_remembered_free(log->memory.of);
    log->memory = (struct lsi_log_memory){0};
}

/* ---- looking at frames ---- */

static ls_status damaged(const lsi_log *log, const lsi_segment *segment, uint64_t position)
{
    return lsi_fail(LS_ERR_CORRUPT, "%s: damage at 0x%llx of %s: what producers put there is not known; verify and "
                    "repair", log->config.label,
                    (unsigned long long)(position - segment->header.base + LSI_SEGMENT_HEADER_BYTES), segment->name);
}

static ls_status look_at(const lsi_log *log, lsi_remembered *of, const lsi_segment *segment, uint64_t from, uint64_t to)
{
    lsi_walk walk;
    ls_status st = LS_OK;

    lsi_walk_begin(&walk, log->config.env, segment, from, to, true);
    while (st == LS_OK && walk.at < to) {
        lsi_frame frame;
        lsi_frame_result result;
        uint64_t position;
        lsi_tail tail;

        st = lsi_walk_next(&walk, &frame, &position, &result);
        if (st == LS_OK && result != LSI_FRAME_VALID)
            st = damaged(log, segment, position);
        if (st != LS_OK || (frame.flags & LSI_FRAME_NUMBERED) == 0)
            continue;
        if (lsi_tail_read(lsi_walk_bytes(&walk, position), &frame, &tail))
            st = lsi_remember(of, &tail, log->config.shard, frame.first_seqno, frame.arrival_us);
        else
            st = damaged(log, segment, position);
    }
    lsi_walk_end(&walk);
    return st;
}

static ls_status open_segment(lsi_log *log, const lsi_segment_entry *entry, lsi_segment **out)
{
    ls_status st;

    if (log->tail != NULL && log->tail->header.number == entry->number) {
        *out = lsi_segment_ref(log->tail);
        return LS_OK;
    }
    st = lsi_segment_open(&log->config, entry->number, false, out);
    if (st == LS_ERR_NOT_FOUND)
        return lsi_fail(LS_ERR_CORRUPT, "%s: segment %u is named by the list and not there", log->config.label,
                        entry->number);
    if (st == LS_OK && !lsi_segment_is_named(*out, entry)) {
        st = lsi_fail(LS_ERR_CORRUPT, "%s: %s is not the file that the segment list names", log->config.label,
                      (*out)->name);
        lsi_segment_unref(*out);
    }
    return st;
}

/* Every frame of [*seen, end) that the list has. Those that were trimmed before anybody looked are forgotten. */
static ls_status look_on(lsi_log *log, lsi_remembered *of, const lsi_segment_list *list, uint64_t end, uint64_t *seen)
{
    ls_status st = LS_OK;

    if (*seen < list->entries[0].base)
        *seen = list->entries[0].base;
    while (st == LS_OK && *seen < end) {
        const lsi_segment_entry *entry = &list->entries[lsi_segment_list_find(list, *seen)];
        const lsi_skip *skip = lsi_skip_at(list, *seen);
        uint64_t stop = (entry->flags & LSI_SEGMENT_SEALED) != 0 && entry->end < end ? entry->end : end;
        lsi_segment *segment;

        if (skip != NULL) {
            *seen = skip->to < end ? skip->to : end;
            continue;
        }
        stop = lsi_skip_next(list, *seen, stop);
        st = open_segment(log, entry, &segment);
        if (st != LS_OK)
            return st;
        st = look_at(log, of, segment, *seen, stop);
        lsi_segment_unref(segment);
        *seen = stop;
    }
    return st;
}

/* ---- a log's memory ---- */

/* The snapshot; of a log that never had a numbered put, nothing, as of the beginning of its last segment. */
static ls_status load(lsi_log *log, const lsi_slot *slot, const lsi_segment_list *list, uint64_t end)
{
    struct lsi_log_memory *memory = &log->memory;
    bool is_promised = (list->entries[list->count - 1].flags & LSI_SEGMENT_NUMBERED) != 0;
    lsi_error_state before;
    ls_status st;

    lsi_error_save(&before);
    st = lsi_producers_load(&log->config, &memory->seen, &memory->of);
    if (st == LS_OK && memory->seen > end) {
        lsi_log_forget_numbers(log);
        if (is_promised)
            return lsi_fail(LS_ERR_CORRUPT, "%s: %s/" LSI_PRODUCERS_NAME " is of a log that went further; verify and "
                            "repair", log->config.label, log->config.dir);
        st = LS_ERR_NOT_FOUND; /* Of a copy that was not finished (copy.c). */
    }
    memory->has_file = st == LS_OK;
    if (st == LS_OK)
        return LS_OK;
    if (st != LS_ERR_NOT_FOUND)
        return st;
    if (is_promised) /* N4 */
        return lsi_fail(LS_ERR_CORRUPT, "%s: %s/" LSI_PRODUCERS_NAME " is not there: what producers put before is not "
                        "known; verify and repair", log->config.label, log->config.dir);
    lsi_error_restore(&before);
    memory->of = lsi_remembered_new(log->config.env);
    if (memory->of == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: remembering producers: no memory", log->config.label);
    memory->seen = lsi_load(&slot->segment_base); /* S5: durable, as N2 wants it */
    return LS_OK;
}

static ls_status recall(lsi_log *log, lsi_slot *slot, lsi_segment_list *list, uint64_t end)
{
    struct lsi_log_memory *memory = &log->memory;
    uint64_t given_up = lsi_load(&slot->given_up_to);
    ls_status st = LS_OK;

    if (memory->of != NULL && (memory->given_up != given_up || memory->seen > end))
        lsi_log_forget_numbers(log);
    if (memory->of != NULL && memory->seen == end)
        return LS_OK;
    if (list == NULL)
        st = lsi_log_list(log, slot, &list);
    else
        (void)lsi_segment_list_ref(list);
    if (st != LS_OK)
        return st;
    if (memory->of == NULL) {
        st = load(log, slot, list, end);
        memory->given_up = given_up;
    }
    if (st == LS_OK)
        st = look_on(log, memory->of, list, end, &memory->seen);
    if (st != LS_OK)
        lsi_log_forget_numbers(log);
    lsi_segment_list_unref(list);
    return st;
}

ls_status lsi_log_recall(lsi_log *log, lsi_slot *slot)
{
    return recall(log, slot, NULL, lsi_load(&slot->committed_end));
}

/* A replacement failed. E1, where the new file may be in place and a crash may take it back. */
static ls_status replace_failed(lsi_log *log, lsi_slot *slot, ls_status st)
{
    int err = lsi_error_current()->err;

    return st == LS_ERR_IO && err != EINPROGRESS ? lsi_log_fail(log, slot, err != 0 ? err : EIO) : st;
}

/* Both the old snapshot and the new one are right; so where no descriptor was left to sync its name, the sync that
 * follows will do. */
static ls_status store(lsi_log *log, lsi_slot *slot, uint64_t position)
{
    lsi_error_state before;
    ls_status st;

    lsi_error_save(&before);
    st = lsi_producers_store(&log->config, position, log->memory.of);
    if (st == LS_ERR_IO && lsi_error_current()->err == EINPROGRESS) {
        lsi_error_restore(&before);
        return LS_OK;
    }
    return st == LS_OK ? LS_OK : replace_failed(log, slot, st);
}

/* N4: the name of the snapshot, before a list that says that it is there, and of that list, before a frame with
 * numbers. Names reach the disk in any order, and who made these files may have died before he synced theirs, or had no
 * descriptor left for that. */
static ls_status sync_names(lsi_log *log, lsi_slot *slot)
{
    const lsi_log_config *config = &log->config;
    int rc = config->root->files->sync_dir(config->root, config->dir);

    if (rc == -EMFILE || rc == -ENFILE) /* E4: nothing was synced, so no sync has failed. */
        return lsi_fail_errno(-rc, "%s: syncing the directory %s; nothing was written", config->label, config->dir);
    return rc < 0 ? lsi_log_fail(log, slot, -rc) : LS_OK;
}

ls_status lsi_log_begin_numbers(lsi_log *log, lsi_slot *slot)
{
    lsi_segment_list *list, *fresh = NULL;
    ls_status st;

    if (log->memory.is_begun)
        return LS_OK;
    st = lsi_log_list(log, slot, &list);
    if (st != LS_OK)
        return st;
    if ((lsi_segment_list_last(list)->flags & LSI_SEGMENT_NUMBERED) != 0) { /* Another process did, or died there. */
        st = sync_names(log, slot);
        log->memory.is_begun = st == LS_OK;
        lsi_segment_list_unref(list);
        return st;
    }
    /* There is no frame with numbers yet. Where there is a snapshot, nobody set the flag: a list that was made anew, or
     * a process that died here. */
    if (!log->memory.has_file)
        st = store(log, slot, lsi_load(&slot->segment_base));
    if (st == LS_OK)
        st = sync_names(log, slot);
    if (st == LS_OK)
        st = lsi_segment_list_copy(list, &fresh);
    if (st == LS_OK) {
        lsi_segment_list_last(fresh)->flags |= LSI_SEGMENT_NUMBERED;
        st = lsi_log_replace_list(log, slot, fresh);
        if (st != LS_OK) { /* Whichever is there, everybody looks. */
            (void)atomic_fetch_add_explicit(&slot->list_generation, 1, memory_order_acq_rel); /* lsi_log_list */
            lsi_log_forget_list(log);
            st = replace_failed(log, slot, st);
        }
    }
    log->memory.is_begun = st == LS_OK;
    lsi_segment_list_unref(list);
    lsi_segment_list_unref(fresh);
    return st;
}

ls_status lsi_log_snapshot_numbers(lsi_log *log, lsi_slot *slot, lsi_segment_list *list, uint64_t end)
{
    lsi_error_state before;
    ls_status st;

    if ((lsi_segment_list_last(list)->flags & LSI_SEGMENT_NUMBERED) == 0)
        return LS_OK;
    lsi_error_save(&before);
    st = recall(log, slot, list, end);
    if (st != LS_OK) {
        if (st == LS_ERR_NO_MEMORY)
            return st;
        lsi_error_restore(&before); /* Who puts a number next is told. */
        return LS_OK;
    }
    return store(log, slot, end);
}

ls_status lsi_log_make_snapshot(lsi_log *log, lsi_slot *slot)
{
    uint64_t seen = 0, base = lsi_load(&slot->segment_base);
    lsi_remembered *of = lsi_remembered_new(log->config.env);
    lsi_segment_list *list = NULL;
    ls_status st = of == NULL ? lsi_fail(LS_ERR_NO_MEMORY, "%s: remembering producers: no memory", log->config.label)
                              : lsi_log_list(log, slot, &list);

    if (st == LS_OK)
        st = look_on(log, of, list, base, &seen);
    if (st == LS_OK)
        st = lsi_producers_store(&log->config, base, of);
    lsi_log_forget_numbers(log);
    lsi_remembered_free(of);
    lsi_segment_list_unref(list);
    return st;
}

/* ---- a put ---- */

static ls_status refuse_mixture(const lsi_log *log, const lsi_log_numbered *numbered, uint32_t before, uint32_t new)
{
    return lsi_fail(LS_ERR_INVALID_ARGUMENT, "%s: number %llu of an atomic batch was put before and %llu was not: it "
                    "is repeated whole", log->config.label,
                    (unsigned long long)lsi_number_of(numbered->options, before),
                    (unsigned long long)lsi_number_of(numbered->options, new));
}

static ls_status expired(const lsi_log *log, uint64_t number)
{
    return lsi_fail(LS_ERR_EXPIRED, "%s: number %llu is older than what is remembered of its producer; nothing was "
                    "written", log->config.label, (unsigned long long)number);
}

/* The records that are new, into framer->now. */
static ls_status sort(lsi_log *log, lsi_framer *framer, const uint32_t *picks, uint32_t count,
                      lsi_log_numbered *numbered, uint32_t *new_count)
{
    const ls_put_options *options = numbered->options;
    lsi_number_cursor cursor = {.run = NULL};
    uint32_t before = UINT32_MAX; /* the first that was put before */
    void *now = framer->now;

    if (!lsi_grow(&framer->env->memory, &now, &framer->now_capacity, count, sizeof *framer->now))
        return lsi_fail(LS_ERR_NO_MEMORY, "sorting %u numbers: no memory", count);
    framer->now = now;
    *new_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t entry = picks != NULL ? picks[i] : i;
        ls_put_result *told = &numbered->told[entry];
        uint64_t number = lsi_number_of(options, entry);

        told->seqno = LS_SEQNO_NONE;
        told->shard = log->config.shard;
        switch (lsi_remembered_find(log->memory.of, options->producer, number, &cursor, &told->shard, &told->seqno)) {
        case LSI_NUMBER_NEW:
            told->status = LS_ERR_NOT_FOUND;
            told->seqno = LS_SEQNO_NONE;
            framer->now[(*new_count)++] = entry;
            break;
        case LSI_NUMBER_REPEATED:
            told->status = LS_ERR_EXISTS;
            before = before == UINT32_MAX ? entry : before;
            if (numbered->sub_counts != NULL) {
                numbered->sub_seqnos[entry] = cursor.sub_seqno;
                numbered->sub_counts[entry] = cursor.sub_count;
            }
            break;
        default:
            told->status = expired(log, number);
            told->seqno = LS_SEQNO_NONE;
            if (numbered->atomic)
                return told->status;
        }
    }
    return numbered->atomic && *new_count > 0 && before != UINT32_MAX
               ? refuse_mixture(log, numbered, before, framer->now[0])
               : LS_OK;
}

static void tell_new(const lsi_log *log, const uint32_t *picks, uint32_t count, lsi_log_numbered *numbered)
{
    for (uint32_t i = 0; i < count; i++)
        numbered->told[picks != NULL ? picks[i] : i] =
            (ls_put_result){LS_SEQNO_NONE, log->config.shard, LS_ERR_NOT_FOUND};
}

/* Of records that have several numbers each: they are written as they are or not at all. */
static void count_new(const lsi_log *log, uint32_t count, lsi_log_numbered *numbered, lsi_pending *pending)
{
    uint32_t numbers = lsi_numbers_of(numbered->users, count);
    lsi_number_cursor cursor = {.run = NULL};

    if (lsi_remembered_is_new_from(log->memory.of, numbered->options->producer, lsi_number_of(numbered->options, 0))) {
        numbered->fresh = numbers;
        return;
    }
    for (uint32_t i = 0; i < numbers; i++) {
        ls_put_result at;

        numbered->fresh += lsi_remembered_find(log->memory.of, numbered->options->producer,
                                               lsi_number_of(numbered->options, i), &cursor, &at.shard,
                                               &at.seqno) == LSI_NUMBER_NEW;
    }
    if (numbered->fresh < numbers)
        pending->count = 0;
}

static bool is_same(const lsi_pending *pending, const uint32_t *picks, uint32_t count)
{
    if (pending->count != count)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if ((pending->picks != NULL ? pending->picks[i] : i) != picks[i])
            return false;
    return true;
}

ls_status lsi_log_sort_numbers(lsi_log *log, lsi_slot *slot, lsi_framer *framer, const uint32_t *picks, uint32_t count,
                               lsi_log_numbered *numbered, lsi_pending *pending, bool *is_drafted)
{
    uint64_t first = lsi_number_of(numbered->options, picks != NULL ? picks[0] : 0);
    ls_status st = lsi_log_recall(log, slot);
    uint32_t *left, new_count = 0;
    size_t capacity;

    *is_drafted = true;
    numbered->fresh = 0;
    if (st != LS_OK)
        return st;
    if (numbered->users != NULL) {
        count_new(log, count, numbered, pending);
        return LS_OK;
    }
    if (lsi_remembered_is_new_from(log->memory.of, numbered->options->producer, first)) {
        tell_new(log, picks, count, numbered);
        numbered->fresh = count;
        *is_drafted = pending->count == count; /* Nothing was left out. */
        *pending = (lsi_pending){picks, count};
        return LS_OK;
    }
    st = sort(log, framer, picks, count, numbered, &new_count);
    numbered->fresh = new_count;
    if (st != LS_OK || is_same(pending, framer->now, new_count))
        return st;
    *is_drafted = false;
    left = framer->left;
    framer->left = framer->now;
    framer->now = left;
    capacity = framer->left_capacity;
    framer->left_capacity = framer->now_capacity;
    framer->now_capacity = capacity;
    *pending = (lsi_pending){framer->left, new_count};
    return LS_OK;
}

void lsi_log_note_numbers(lsi_log *log, lsi_slot *slot, const lsi_framer *framer, const lsi_draft *draft,
                          ls_seqno first_seqno, lsi_log_numbered *numbered, const lsi_pending *pending)
{
    struct lsi_log_memory *memory = &log->memory;
    const ls_put_options *options = numbered->options;
    const uint32_t *picks = pending->picks;
    const unsigned char *end = lsi_draft_at(framer, draft) + draft->bytes;
    uint32_t last = lsi_numbers_of(numbered->users, pending->count) - 1;
    lsi_tail tail = {
        .producer = options->producer,
        .first = lsi_number_of(options, picks != NULL ? picks[0] : 0),
        .last = lsi_number_of(options, picks != NULL ? picks[last] : last),
        .list = end - framer->tail_bytes,
        .list_bytes = lsi_read_u32le(end - 8),
        .counts_bytes = lsi_read_u32le(end - 4),
    };
    lsi_error_state before;

    for (uint32_t i = 0; numbered->users == NULL && i < pending->count; i++)
        numbered->told[picks != NULL ? picks[i] : i] =
            (ls_put_result){first_seqno + i, log->config.shard, LS_OK};
    lsi_error_save(&before);
    if (lsi_remember(memory->of, &tail, log->config.shard, first_seqno,
                     atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed)) == LS_OK) {
        memory->seen = lsi_load(&slot->committed_end);
    } else {
        lsi_error_restore(&before); /* It is in the log: the next one looks there. */
        lsi_log_forget_numbers(log);
    }
}

/* ---- those that follow ---- */

/* Locks: append_lock held. `*of` NULL: it never had a numbered put. */
static ls_status recall_closing(lsi_log *log, const lsi_remembered **of)
{
    lsi_slot *slot = lsi_log_slot(log);
    lsi_segment_list *list;
    ls_status st = lsi_log_list(log, slot, &list);
    bool is_begun;

    *of = NULL;
    if (st != LS_OK)
        return st;
    is_begun = (lsi_segment_list_last(list)->flags & LSI_SEGMENT_NUMBERED) != 0;
    lsi_segment_list_unref(list);
    if (!is_begun)
        return LS_OK;
    st = lsi_log_recall(log, slot);
    *of = log->memory.of;
    return st;
}

ls_status lsi_log_hand_down(lsi_log *a, lsi_log *b, const lsi_log_config *child)
{
    const lsi_remembered *of_a, *of_b = NULL;
    lsi_segment_list *list = NULL, *fresh = NULL;
    lsi_remembered *merged = NULL;
    ls_status st = recall_closing(a, &of_a);

    if (st == LS_OK && b != NULL)
        st = recall_closing(b, &of_b);
    if (of_a == NULL) {
        of_a = of_b;
        of_b = NULL;
    }
    if (st != LS_OK || of_a == NULL)
        return st;
    st = lsi_remembered_merge(of_a, of_b, &merged);
    if (st == LS_OK)
        st = lsi_producers_store(child, 0, merged); /* positions of a log begin with 0 */
    if (st == LS_OK)
        st = lsi_segment_list_load(child, &list);
    if (st == LS_OK)
        st = lsi_segment_list_copy(list, &fresh);
    if (st == LS_OK) {
        lsi_segment_list_last(fresh)->flags |= LSI_SEGMENT_NUMBERED;
        st = lsi_segment_list_store(child, fresh);
    }
    lsi_segment_list_unref(list);
    lsi_segment_list_unref(fresh);
    lsi_remembered_free(merged);
    return st;
}
