/* Writing: frames into the last segment, and rolling to the next one. Everything here holds append_lock.
 *
 * A frame goes out in one write together with the zeros up to the next 64 KiB (256 KiB for large frames) of the file:
 * the page cache then holds large folios and the file's extents are written, which makes the writes and syncs that
 * follow cheaper than appending alone. Space is allocated ahead in steps that double, so an idle shard stays small. */
#include "storage/log.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

#define SMALL_PAD_BYTES (64u << 10)
#define LARGE_PAD_BYTES (256u << 10)
#define DURABLE_PAD_BYTES (1u << 20) /* large frames in SYNC: a sync into blocks that are written already needs no journal */
#define LARGE_FRAME_BYTES (16u << 10)
#define ALLOCATE_FIRST_BYTES (64u << 10)
#define WRITEBACK_BYTES (4u << 20)   /* what is not synced at once begins to be written back in such steps */
#define RECORD_BYTES_LEAST 16u       /* a header of 8 and a key of 1, padded: how many numbers a segment can use */
#define CLOCK_STEP_US INT64_C(3600000000) /* a stamp further ahead than this is not waited for */
#define STRAYS_MAX 1000u

static const unsigned char zeros[16 << 10];

/* ---- stamps ---- */

/* E8: stamps never decrease. A clock that stepped back is held at the last stamp; when it is more than an hour behind
 * (a store that was once used in 2099) stamps go on from there at the pace of the monotonic clock, not frozen. */
static int64_t next_arrival(const lsi_log *log, lsi_slot *slot, int64_t *monotonic_us)
{
    const lsi_clock *clock = &log->config.env->clock;
    int64_t now = lsi_wall_us(clock);
    int64_t last = atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed);

    *monotonic_us = 0;
    if (now >= last)
        return now;
    if (last - now > CLOCK_STEP_US) {
        int64_t before = atomic_load_explicit(&slot->last_monotonic_us, memory_order_relaxed);
        *monotonic_us = lsi_monotonic_us(clock);
        if (before != 0 && *monotonic_us > before)
            return last + (*monotonic_us - before);
    }
    return last;
}

/* ---- space ---- */

static uint64_t file_offset(const lsi_segment *segment, uint64_t position)
{
    return position - segment->header.base + LSI_SEGMENT_HEADER_BYTES;
}

uint64_t lsi_log_prepare_space(const lsi_log_config *config, lsi_slot *slot, const lsi_segment *segment, uint64_t end,
                               uint64_t pad_bytes)
{
    uint64_t limit = segment->header.base + segment->header.frames_bytes_max;
    uint64_t to = lsi_round_up(file_offset(segment, end), pad_bytes) - LSI_SEGMENT_HEADER_BYTES + segment->header.base;
    uint64_t allocated = lsi_load(&slot->allocated_end);

    if (config->prealloc_bytes == LS_PREALLOC_NONE)
        return end;
    if (to > limit)
        to = limit;
    if (to <= allocated)
        return to;
    uint64_t step = allocated - segment->header.base;
    if (step < ALLOCATE_FIRST_BYTES)
        step = ALLOCATE_FIRST_BYTES;
    if (step > config->prealloc_bytes)
        step = config->prealloc_bytes;
    uint64_t want = allocated + step < to ? to : allocated + step;
    if (want > limit)
        want = limit;
    int rc = segment->file.files->allocate(&segment->file, file_offset(segment, allocated), want - allocated);
    if (rc < 0 && rc != -EOPNOTSUPP)
        return end; /* Not having any is found out by the write. */
    atomic_store_explicit(&slot->allocated_end, want, memory_order_relaxed);
    return to;
}

/* E3: a write that failed may have left bytes; what is not zero becomes zero again. */
static int restore_zeros(const lsi_segment *segment, uint64_t from, uint64_t to)
{
    unsigned char page[4096];

    while (from < to) {
        uint64_t offset = file_offset(segment, from);
        size_t size = (size_t)(sizeof page - offset % sizeof page);
        if (size > to - from)
            size = (size_t)(to - from);
        int64_t got = segment->file.files->read(&segment->file, page, size, offset);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return 0; /* The end of the file. */
        if (!lsi_is_zero(page, (size_t)got)) {
            int rc = lsi_file_write_one(&segment->file, zeros, (size_t)got, offset);
            if (rc < 0)
                return rc;
        }
        from += (uint64_t)got;
    }
    return 0;
}

/* ---- one frame ---- */

/* Whether the file holds all of the frame: 1, 0, or below 0 when it cannot be read. */
static int holds_frame(const lsi_segment *segment, uint64_t position, const unsigned char *frame, size_t bytes)
{
    unsigned char page[4096];

    for (size_t at = 0; at < bytes;) {
        size_t size = bytes - at > sizeof page ? sizeof page : bytes - at;
        int64_t got = segment->file.files->read(&segment->file, page, size, file_offset(segment, position + at));
        if (got < 0)
            return (int)got;
        if (got < (int64_t)size || memcmp(page, frame + at, size) != 0)
            return 0;
        at += size;
    }
    return 1;
}

/* The write gave an error: what did it do? LS_OK when it did all it was for, and only the zeros behind it are missing:
 * taking that back could not be relied on, for a crash may keep the frame and lose the zeros written over it (D7). */
static ls_status write_failed(lsi_log *log, lsi_slot *slot, const lsi_segment *segment, const unsigned char *frame,
                              size_t bytes, int err)
{
    uint64_t committed = lsi_load(&slot->committed_end);
    int held = holds_frame(segment, committed, frame, bytes);

    if (held > 0)
        return LS_OK;
    if (held < 0) {
        ls_status st = lsi_log_fail(log, slot, err);
        atomic_store_explicit(&slot->write_end, committed, memory_order_release);
        return st;
    }
    /* What was acknowledged is still there and is read on, also on a disk that stays full; but when a piece of a frame
     * stays behind it, the next append begins a new segment (R5). */
    if (restore_zeros(segment, committed, committed + bytes) < 0)
        (void)atomic_fetch_or_explicit(&slot->roll_first, LSI_ROLL_FIRST_TORN, memory_order_relaxed);
    atomic_store_explicit(&slot->write_end, committed, memory_order_release);
    return lsi_fail_errno(err, "%s: writing to %s; nothing was written", log->config.label, segment->name);
}

/* Else all of a segment would be written at its end, while everybody waits for the roll. */
static void begin_writeback(const lsi_segment *segment, uint64_t position, uint64_t end)
{
    uint64_t mark = (end - segment->header.base) / WRITEBACK_BYTES * WRITEBACK_BYTES;

    if (mark > position - segment->header.base && segment->file.files->start_writeback != NULL)
        segment->file.files->start_writeback(&segment->file, LSI_SEGMENT_HEADER_BYTES + mark - WRITEBACK_BYTES,
                                             WRITEBACK_BYTES);
}

/* By a write, with the zeros that come with it. */
static ls_status write_frame(lsi_log *log, lsi_slot *slot, lsi_segment *segment, const void *frame, uint32_t bytes,
                             uint64_t position)
{
    uint64_t pad = bytes < LARGE_FRAME_BYTES                          ? SMALL_PAD_BYTES
                   : log->config.durability == LS_DURABILITY_SYNC ? DURABLE_PAD_BYTES
                                                                  : LARGE_PAD_BYTES;
    lsi_span spans[2 + DURABLE_PAD_BYTES / sizeof zeros] = {{frame, bytes}};
    uint64_t end = position + bytes, zeroed = lsi_load(&slot->zeroed_end);
    int count = 1;

    if (end > zeroed) {
        zeroed = lsi_log_prepare_space(&log->config, slot, segment, end, pad);
        for (uint64_t left = zeroed - end; left > 0; count++) {
            spans[count].data = zeros;
            spans[count].size = left < sizeof zeros ? (size_t)left : sizeof zeros;
            left -= spans[count].size;
        }
    }
    /* S2: noted before the first byte. A store that is released before the system call is seen by whoever takes over. */
    atomic_store_explicit(&slot->write_end, end, memory_order_release);
    int rc = segment->file.files->write(&segment->file, spans, count, file_offset(segment, position));
    if (rc < 0 && count > 1) { /* Perhaps there is room for the frame and not for the zeros. */
        rc = segment->file.files->write(&segment->file, spans, 1, file_offset(segment, position));
        zeroed = end;
    }
    ls_status st = LS_OK;
    if (rc < 0) {
        st = write_failed(log, slot, segment, frame, bytes, -rc);
        zeroed = end;
    }
    if (st == LS_OK)
        atomic_store_explicit(&slot->zeroed_end, zeroed, memory_order_relaxed);
    return st;
}

static ls_status append_frame(lsi_log *log, lsi_slot *slot, lsi_segment *segment, lsi_framer *framer,
                              const lsi_draft *draft)
{
    uint64_t position = lsi_load(&slot->committed_end), end = position + draft->bytes;
    ls_seqno seqno = lsi_load(&slot->next_seqno);
    int64_t monotonic_us;
    int64_t arrival_us = next_arrival(log, slot, &monotonic_us);
    bool is_durable = log->config.durability == LS_DURABILITY_SYNC;

    lsi_framer_place(framer, draft, segment->seed, position, seqno, arrival_us, lsi_load(&slot->durable_end));
    if (!is_durable && lsi_window_covers(&log->config, slot, segment, position, draft->bytes)) {
        /* W3. A compiler must not move the stores of the frame before this one; pairs with lsi_log_take_over. */
        atomic_store_explicit(&slot->write_end, end, memory_order_seq_cst);
        lsi_window_store(segment, position, framer->buffer + draft->at, draft->bytes);
    } else {
        ls_status st = write_frame(log, slot, segment, framer->buffer + draft->at, draft->bytes, position);
        if (st != LS_OK)
            return st;
    }

    atomic_store_explicit(&slot->last_arrival_us, arrival_us, memory_order_relaxed);
    atomic_store_explicit(&slot->last_monotonic_us, monotonic_us, memory_order_relaxed);
    /* Before the end: a number skipped by a death in between is harmless, one given twice is not. */
    atomic_store_explicit(&slot->next_seqno, seqno + draft->count, memory_order_release);
    atomic_store_explicit(&slot->committed_end, end, memory_order_seq_cst); /* S1; pairs with lsi_log_published. */

    if (!is_durable)
        begin_writeback(segment, position, end);
    if (position >= lsi_load(&slot->indexed_end)) {
        lsi_index_entry entry = {position, seqno, arrival_us};
        uint64_t block = (position - segment->header.base) / LSI_INDEX_BLOCK_BYTES;
        lsi_index_note(&log->config, segment, &entry);
        atomic_store_explicit(&slot->indexed_end, segment->header.base + (block + 1) * LSI_INDEX_BLOCK_BYTES,
                              memory_order_relaxed);
    }
    return LS_OK;
}

/* The last segment, without taking a lock when it is still the same. Locks: append_lock held. */
static ls_status tail_segment(lsi_log *log, lsi_slot *slot)
{
    uint32_t number = atomic_load_explicit(&slot->segment, memory_order_relaxed);
    lsi_segment *segment;

    if (log->tail != NULL && log->tail->header.number == number)
        return LS_OK;
    ls_status st = lsi_log_segment(log, slot, number, &segment);
    if (st != LS_OK)
        return st;
    lsi_segment_unref(log->tail);
    log->tail = segment;
    return LS_OK;
}

static bool has_room(const lsi_slot *slot, const lsi_segment *segment, const lsi_draft *draft)
{
    uint64_t used = lsi_load(&slot->committed_end) - segment->header.base;
    ls_seqno next = lsi_load(&slot->next_seqno);

    return atomic_load_explicit(&slot->roll_first, memory_order_relaxed) == 0 &&
           draft->bytes <= segment->header.frames_bytes_max && used <= segment->header.frames_bytes_max - draft->bytes &&
           next <= segment->header.seqno_limit && draft->count <= segment->header.seqno_limit - next; /* S7 */
}

ls_status lsi_log_append(lsi_log *log, lsi_framer *framer, const ls_put_entry *entries, const uint32_t *picks,
                         uint32_t count, bool atomic, uint32_t *accepted, ls_seqno *first_seqno, uint64_t *end,
                         bool *closed)
{
    lsi_slot *slot;
    ls_status st;

    *accepted = 0;
    *first_seqno = LS_SEQNO_NONE;
    *closed = false;
    *end = 0;
    if (log->config.read_only)
        return lsi_fail(LS_ERR_READ_ONLY, "%s: the store was opened for reading", log->config.label);
    st = lsi_log_ready(log, &slot);
    if (st != LS_OK)
        return st;
    st = lsi_framer_draft(framer, entries, picks, count, atomic);
    if (st != LS_OK)
        return st;

    st = lsi_log_lock(log, slot, false);
    if (st != LS_OK)
        return st;
    if (atomic_load_explicit(&slot->closed, memory_order_relaxed) != 0) {
        *closed = true;
        goto out;
    }
    atomic_store_explicit(&log->wrote, 1, memory_order_relaxed);
    for (size_t i = 0; i < framer->draft_count; i++) {
        const lsi_draft *draft = &framer->drafts[i];
        for (int tries = 0;; tries++) {
            st = tail_segment(log, slot);
            if (st != LS_OK)
                goto out;
            if (has_room(slot, log->tail, draft))
                break;
            if (tries > 0) {
                st = lsi_fail(LS_ERR_STATE, "%s: its sequence numbers are used up", log->config.label);
                goto out;
            }
            st = lsi_log_roll(log, slot, draft->bytes, false);
            if (st != LS_OK)
                goto out;
        }
        ls_seqno seqno = lsi_load(&slot->next_seqno);
        st = append_frame(log, slot, log->tail, framer, draft);
        if (st != LS_OK)
            goto out;
        if (*accepted == 0)
            *first_seqno = seqno;
        assert(seqno == *first_seqno + *accepted);
        *accepted += draft->count;
    }
out:
    *end = lsi_load(&slot->committed_end);
    lsi_log_unlock(slot);
    if (*accepted > 0 && log->config.durability != LS_DURABILITY_SYNC) {
        lsi_slot_wake(slot);
        if (log->config.stream_slot != NULL)
            lsi_slot_wake(log->config.stream_slot);
    }
    return st;
}

/* ---- rolling ---- */

static void fill_header(const lsi_log_config *config, const lsi_segment_entry *previous, uint64_t base,
                        ls_seqno base_seqno, int64_t base_arrival_us, uint64_t bytes, lsi_segment_header *out)
{
    memset(out, 0, sizeof *out);
    out->number = previous != NULL ? previous->number + 1 : 1;
    out->base = base;
    out->base_seqno = base_seqno;
    out->base_arrival_us = base_arrival_us;
    out->created_us = lsi_wall_us(&config->env->clock);
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

static void fill_entry(const lsi_segment_header *header, lsi_segment_entry *out)
{
    *out = (lsi_segment_entry){.number = header->number,
                               .base = header->base,
                               .base_seqno = header->base_seqno,
                               .seqno_limit = header->seqno_limit,
                               .base_arrival_us = header->base_arrival_us,
                               .header_sum = header->sum};
}

/* The list could not be replaced. If the old one is still there nothing happened; if the new one is, a crash may take
 * it back, and nothing may be acknowledged on it (E1). */
static ls_status list_failed(lsi_log *log, lsi_slot *slot, uint32_t old_number, lsi_segment *segment, ls_status st)
{
    lsi_error_state why;
    lsi_segment_list *list = NULL;

    lsi_error_save(&why);
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

ls_status lsi_log_roll(lsi_log *log, lsi_slot *slot, uint64_t bytes, bool abandon)
{
    const lsi_log_config *config = &log->config;
    lsi_segment_list *list = NULL, *fresh = NULL;
    lsi_segment *old = NULL, *segment = NULL;
    lsi_segment_header header;
    uint64_t end = lsi_load(&slot->committed_end);
    uint32_t why = atomic_load_explicit(&slot->roll_first, memory_order_relaxed);
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
    ls_seqno next = why != 0 ? last->seqno_limit : lsi_load(&slot->next_seqno); /* S7 */
    fill_header(config, last, end, next, atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed), bytes,
                &header);
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
    last = lsi_segment_list_last(fresh);
    last->flags |= LSI_SEGMENT_SEALED | ((why & LSI_ROLL_FIRST_TORN) != 0 ? LSI_SEGMENT_TORN : 0);
    last->end = end;
    fill_entry(&header, &fresh->entries[fresh->count++]);
    st = lsi_log_replace_list(log, slot, fresh); /* S3 */
    if (st != LS_OK) {
        st = list_failed(log, slot, lsi_segment_list_last(list)->number, segment, st);
        goto out;
    }

    /* From here on a death is found by the list being ahead of the slot (lsi_log_take_over). */
    atomic_store_explicit(&slot->segment_base, end, memory_order_relaxed);
    atomic_store_explicit(&slot->seqno_limit, header.seqno_limit, memory_order_relaxed);
    atomic_store_explicit(&slot->next_seqno, next, memory_order_relaxed);
    atomic_store_explicit(&slot->allocated_end, end, memory_order_relaxed);
    atomic_store_explicit(&slot->zeroed_end, end, memory_order_relaxed);
    atomic_store_explicit(&slot->indexed_end, end, memory_order_relaxed);
    atomic_store_explicit(&slot->roll_first, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->segment, header.number, memory_order_release); /* Pairs with lead(). */
    lsi_lock_hold(&log->local, LSI_RANK_LOCAL);
    lsi_segment_unref(log->current);
    log->current = lsi_segment_ref(segment);
    lsi_lock_release(&log->local, LSI_RANK_LOCAL);
    lsi_env_log(config->env, LS_LOG_INFO, "%s: goes on in segment %u at position %llu", config->label, header.number,
            (unsigned long long)end);
out:
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
} removal;

static int remove_entry(void *user, const char *entry, bool is_dir)
{
    const removal *what = user;
    char name[LSI_SEGMENT_NAME_BYTES * 4];

    if (is_dir || strlen(entry) + strlen(what->dir) + 2 > sizeof name)
        return 0; /* Not ours; the directory will not go and the caller hears of it. */
    size_t dir_bytes = strlen(what->dir);
    memcpy(name, what->dir, dir_bytes);
    name[dir_bytes] = '/';
    memcpy(name + dir_bytes + 1, entry, strlen(entry) + 1);
    return what->root->files->unlink(what->root, name);
}

ls_status lsi_log_destroy(const lsi_env *env, const lsi_root *root, const char *dir)
{
    removal what = {root, dir};

    (void)env;
    int rc = root->files->list(root, dir, remove_entry, &what);
    if (rc == -ENOENT)
        return LS_OK;
    if (rc >= 0)
        rc = root->files->remove_dir(root, dir);
    return rc < 0 && rc != -ENOENT ? lsi_fail_errno(-rc, "removing %s", dir) : LS_OK;
}

ls_status lsi_log_create(const lsi_log_config *config)
{
    lsi_segment_header header;
    lsi_segment *segment = NULL;
    lsi_segment_entry entry;
    ls_status st = lsi_log_destroy(config->env, config->root, config->dir);

    if (st != LS_OK)
        return st;
    int rc = config->root->files->make_dir(config->root, config->dir);
    if (rc < 0)
        return lsi_fail_errno(-rc, "%s: making the directory %s", config->label, config->dir);
    fill_header(config, NULL, 0, config->first_seqno, 0, 0, &header);
    st = lsi_segment_create(config, &header, &segment);
    if (st != LS_OK)
        return st;
    lsi_segment_unref(segment);
    fill_entry(&header, &entry);
    lsi_segment_list list = {.env = config->env, .generation = 1, .count = 1, .entries = &entry};
    st = lsi_segment_list_store(config, &list);
    if (st != LS_OK)
        return st;
    return lsi_log_publish_new(config, &entry);
}
