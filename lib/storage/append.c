/* Writing: frames into the last segment. Everything here holds append_lock.
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
#include "storage/numbered.h"
#include "storage/seal.h"

#define SMALL_PAD_BYTES (64u << 10)
#define LARGE_PAD_BYTES (256u << 10)
/* Large frames in SYNC: a sync into blocks that are written already needs no journal. */
#define DURABLE_PAD_BYTES (1u << 20)
#define LARGE_FRAME_BYTES (16u << 10)
#define ALLOCATE_FIRST_BYTES (64u << 10)
/* What is given back when a segment ends early: blocks of a file system. Less is not worth a moment of the disk (0.2 to
 * 0.4 ms), which who rolls waits for: usual frames leave less behind them when a segment is full. */
#define GIVE_BACK_UNIT 4096u
#define GIVE_BACK_BYTES_LEAST (64u << 10)
/* What is not synced at once begins to be written back in such steps. By 4 MiB the roll waits longer for the last one,
 * and batches of 50 KB went in a fifth slower; by 256 KiB the disk gets too little at once, and it is the same. */
#define WRITEBACK_BYTES (1u << 20)

static const unsigned char zeros[16 << 10];

/* ---- stamps ---- */

/* E8: stamps never decrease. A clock that stepped back is held at the last stamp; when it is more than an hour behind
 * (a store that was once used in 2099) a segment was begun from which on stamps are ahead of it by so much (G1), and go
 * on at its pace, not frozen. */
static int64_t next_arrival(const lsi_slot *slot, const lsi_segment *segment, int64_t now)
{
    int64_t last = atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed), stamp;

    if (__builtin_add_overflow(now, segment->lead_us, &stamp))
        return last;
    return stamp > last ? stamp : last;
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

/* How far the file goes, 0: nobody knows; and how far it is needed. */
static uint64_t file_extent(const lsi_segment *segment, uint64_t end, bool is_torn, uint64_t *kept)
{
    const lsi_files *files = segment->file.files;
    uint64_t bytes;

    *kept = lsi_round_up(file_offset(segment, end), GIVE_BACK_UNIT);
    if (files->size(&segment->file, &bytes) < 0)
        bytes = 0;
    if (is_torn || files->give_back == NULL || bytes <= *kept || bytes - *kept < GIVE_BACK_BYTES_LEAST)
        *kept = bytes;
    return bytes;
}

uint64_t lsi_log_bytes_kept(const lsi_segment *segment, uint64_t end, bool is_torn)
{
    uint64_t kept;

    (void)file_extent(segment, end, is_torn, &kept);
    return kept;
}

void lsi_log_give_back(const lsi_segment *segment, uint64_t end, bool is_torn)
{
    uint64_t kept, bytes = file_extent(segment, end, is_torn, &kept);

    if (kept < bytes)
        segment->file.files->give_back(&segment->file, kept, bytes - kept);
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
     * stays behind it, the next append begins a new segment (R5). E3 asks for E1 there; this is as safe, for no sync
     * has failed and nobody takes the piece for a record, and it needs no reset. */
    if (restore_zeros(segment, committed, committed + bytes) < 0)
        (void)atomic_fetch_or_explicit(&slot->roll_first, LSI_ROLL_FIRST_TORN, memory_order_relaxed);
    atomic_store_explicit(&slot->write_end, committed, memory_order_release);
    return lsi_fail_errno(err, "%s: writing to %s; nothing was written", log->config.label, segment->name);
}

/* Up to what multiple zeros go with a frame. One that crosses the edge of a window brings those of the next: then the
 * page cache holds it in one piece, which is mapped by one fault. */
static uint64_t pad_bytes(const lsi_log_config *config, uint32_t bytes)
{
    bool is_durable = config->durability == LS_DURABILITY_SYNC;

    if (bytes >= LARGE_FRAME_BYTES)
        return is_durable ? DURABLE_PAD_BYTES : LARGE_PAD_BYTES;
    return config->map_tail && !is_durable ? LSI_WINDOW_BYTES : SMALL_PAD_BYTES;
}

/* Writes what a frame has before its last one to two MiB, which of most is nothing: in one call a large one wants the
 * page cache's largest folios, which are the dearest to come by, and the disk stands still meanwhile. `*ahead`: so much
 * was written. */
static int write_ahead(const lsi_log *log, const lsi_segment *segment, const void *frame, uint32_t bytes, uint64_t at,
                       uint32_t *ahead)
{
    bool is_durable = log->config.durability == LS_DURABILITY_SYNC; /* Else lsi_log_pass_index_mark begins it. */
    const lsi_files *files = segment->file.files;
    int rc = 0;

    for (*ahead = 0; rc == 0 && bytes - *ahead >= 2 * WRITEBACK_BYTES;) {
        rc = lsi_file_write_one(&segment->file, (const unsigned char *)frame + *ahead, WRITEBACK_BYTES, at + *ahead);
        if (rc == 0 && is_durable && files->start_writeback != NULL)
            files->start_writeback(&segment->file, at + *ahead, WRITEBACK_BYTES);
        *ahead += rc == 0 ? WRITEBACK_BYTES : 0;
    }
    return rc;
}

/* By a write, with the zeros that come with it. Not inlined: its spans would burden the frame of a put that is
 * stored. */
static __attribute__((noinline)) ls_status write_frame(lsi_log *log, lsi_slot *slot, lsi_segment *segment,
                                                       const void *frame, uint32_t bytes, uint64_t position)
{
    lsi_span spans[2 + DURABLE_PAD_BYTES / sizeof zeros];
    uint64_t end = position + bytes, zeroed = lsi_load(&slot->zeroed_end), at = file_offset(segment, position);
    uint32_t ahead;
    int count = 1;

    if (end > zeroed) {
        zeroed = lsi_log_prepare_space(&log->config, slot, segment, end, pad_bytes(&log->config, bytes));
        for (uint64_t left = zeroed - end; left > 0; count++) {
            spans[count].data = zeros;
            spans[count].size = left < sizeof zeros ? (size_t)left : sizeof zeros;
            left -= spans[count].size;
        }
    }
    /* S2: noted before the first byte. A store that is released before the system call is seen by whoever takes
     * over. */
    atomic_store_explicit(&slot->write_end, end, memory_order_release);
    int rc = write_ahead(log, segment, frame, bytes, at, &ahead);
    spans[0] = (lsi_span){(const unsigned char *)frame + ahead, bytes - ahead};
    if (rc == 0)
        rc = segment->file.files->write(&segment->file, spans, count, at + ahead);
    if (rc < 0 && count > 1) { /* Perhaps there is room for the frame and not for the zeros. */
        rc = segment->file.files->write(&segment->file, spans, 1, at + ahead);
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

/* A frame that begins a block of the index has gone in. What is not synced by each put begins to be written back from
 * time to time: else all of a segment would be written at its end, while everybody waits for the roll. Up to a round
 * offset of the file, where a window ends, and before this frame: what is being written back is taken from whoever has
 * it mapped, page by page. */
__attribute__((noinline)) void lsi_log_pass_index_mark(const lsi_log *log, lsi_slot *slot, lsi_segment *segment,
                                                       const lsi_index_entry *entry)
{
    uint64_t block = (entry->position - segment->header.base) / LSI_INDEX_BLOCK_BYTES;
    uint64_t before = lsi_load(&slot->indexed_end) - segment->header.base;
    uint64_t from = before > 0 ? (before - 1) / WRITEBACK_BYTES * WRITEBACK_BYTES : 0;
    uint64_t to = (entry->position - segment->header.base) / WRITEBACK_BYTES * WRITEBACK_BYTES;

    lsi_index_note(&log->config, segment, entry);
    atomic_store_explicit(&slot->indexed_end, segment->header.base + (block + 1) * LSI_INDEX_BLOCK_BYTES,
                          memory_order_relaxed);
    if (from < to && log->config.durability != LS_DURABILITY_SYNC && segment->file.files->start_writeback != NULL)
        segment->file.files->start_writeback(&segment->file, from, to - from);
}

/* As it will be in that segment. */
static inline uint32_t frame_bytes(const lsi_segment *segment, const lsi_draft *draft)
{
    return draft->bytes + (lsi_segment_is_sealed(segment) ? LSI_SEAL_BYTES : 0);
}

/* Locks: append_lock held, so that no addition need be atomic; readers see each word whole. */
static inline void add(_Atomic uint64_t *word, uint64_t n)
{
    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n, memory_order_relaxed);
}

static __attribute__((noinline)) void count_odd(lsi_slot *slot, const lsi_draft *draft)
{
    add((draft->odd & LSI_DRAFT_OF_BATCH) != 0 ? &slot->put_in_batches : &slot->put_alone, draft->count);
    add(&slot->put_more_units, draft->odd & ~LSI_DRAFT_OF_BATCH);
}

/* `is_step`: it is written, and that is all; see step.c. `is_numbered`: see numbered.h. */
static inline __attribute__((always_inline)) ls_status append_frame(lsi_log *log, lsi_slot *slot, lsi_segment *segment,
                                                                    lsi_framer *framer, const lsi_draft *draft,
                                                                    bool is_step, bool is_numbered)
{
    uint32_t bytes = frame_bytes(segment, draft);
    uint64_t position = lsi_load(&slot->committed_end), end = position + bytes;
    ls_seqno seqno = lsi_load(&slot->next_seqno);
    int64_t arrival_us = next_arrival(slot, segment, framer->drafted_us);
    bool is_durable = log->config.durability == LS_DURABILITY_SYNC;

    const unsigned char *frame = lsi_draft_at(framer, draft);
    if (lsi_segment_is_sealed(segment)) {
        ls_status st = lsi_framer_seal(framer, draft, segment, position, seqno, arrival_us,
                                       lsi_load(&slot->durable_end), &frame);
        if (st != LS_OK)
            return st;
    } else if (is_numbered) {
        lsi_framer_place_numbered(framer, draft, segment->seed, position, seqno, arrival_us,
                                  lsi_load(&slot->durable_end));
    } else {
        lsi_framer_place(framer, draft, segment->seed, position, seqno, arrival_us, lsi_load(&slot->durable_end));
    }
    if (is_step) /* Before write_end, which is released: who takes over and sees that sees this. */
        atomic_store_explicit(&slot->step, 1, memory_order_relaxed);
    if (!is_step && !is_durable && lsi_window_covers(&log->config, slot, segment, position, bytes)) {
        /* W3. The stores of the frame must not pass this one: a death in between would hide them from whoever takes
         * over. */
        atomic_store_explicit(&slot->write_end, end, memory_order_relaxed);
        atomic_thread_fence(memory_order_release);
        lsi_window_store(segment, position, frame, bytes);
    } else {
        ls_status st = write_frame(log, slot, segment, frame, bytes, position);
        if (st != LS_OK && is_step)
            atomic_store_explicit(&slot->step, 0, memory_order_release);
        if (st != LS_OK)
            return st;
    }
    if (is_step) {
        log->step = (struct lsi_log_step){position, end, seqno, draft->count, arrival_us};
        return LS_OK;
    }

    atomic_store_explicit(&slot->last_arrival_us, arrival_us, memory_order_relaxed);
    /* Before the end: a number skipped by a death in between is harmless, one given twice is not. */
    atomic_store_explicit(&slot->next_seqno, seqno + draft->count, memory_order_release);
    atomic_store_explicit(&slot->committed_end, end, memory_order_release); /* S1; pairs with lsi_log_published. */
    if (!is_durable) {
        add(&slot->put_bytes, draft->payload_bytes);
        if (draft->odd == 0)
            add(&slot->put_alone, 1);
        else
            count_odd(slot, draft);
    }

    if (position >= lsi_load(&slot->indexed_end))
        lsi_log_pass_index_mark(log, slot, segment, &(lsi_index_entry){position, seqno, arrival_us});
    return LS_OK;
}

/* The last segment, without taking a lock when it is still the same. Locks: append_lock held. */
static ls_status tail_segment(lsi_log *log, lsi_slot *slot)
{
    uint32_t number = atomic_load_explicit(&slot->segment, memory_order_relaxed);
    lsi_segment *segment;

    lsi_holder_note_use(&log->holder);
    if (log->tail != NULL && log->tail->header.number == number)
        return LS_OK;
    ls_status st = lsi_log_segment(log, slot, number, &segment);
    if (st != LS_OK)
        return st;
    lsi_segment_unref(log->tail);
    log->tail = segment;
    return LS_OK;
}

/* In the middle of a batch other terms are not heeded: they wait for the next append. */
static bool has_room(const lsi_slot *slot, const lsi_segment *segment, const lsi_draft *draft, bool is_first)
{
    uint64_t used = lsi_load(&slot->committed_end) - segment->header.base;
    uint32_t bytes = frame_bytes(segment, draft);
    ls_seqno next = lsi_load(&slot->next_seqno);
    uint32_t why = atomic_load_explicit(&slot->roll_first, memory_order_relaxed);

    return (is_first ? why : why & ~LSI_ROLL_FIRST_TERMS) == 0 &&
           bytes <= segment->header.frames_bytes_max && used <= segment->header.frames_bytes_max - bytes &&
           next <= segment->header.seqno_limit && draft->count <= segment->header.seqno_limit - next; /* S7 */
}

/* Once a put: in the middle of a batch, and where a roll has just looked at the clock, stamps are held if need be. */
static inline bool fits_clock(lsi_log *log, lsi_slot *slot, const lsi_framer *framer)
{
    int64_t last_us = atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed), now_us = framer->drafted_us;

    return (now_us >= last_us && now_us >= log->tail->fits_from_us) ||
           lsi_log_fits_clock(log, slot, &log->tail->header, now_us);
}

/* Whether the drafts are what the segment's terms ask for. */
static inline bool fits_terms(const lsi_segment *segment, const lsi_framer *framer)
{
    return framer->codec == lsi_segment_codec(segment) && framer->seals == lsi_segment_is_sealed(segment);
}

static inline bool can_seal_for(const lsi_segment *segment, const lsi_framer *framer)
{
    return !lsi_segment_is_sealed(segment) || (segment->key != NULL && framer->cipher != NULL);
}

/* Makes it so. What takes time, or may ask the application, is done without the lock: `*left`. In the middle of a batch
 * (`may_leave` false) nothing of that is needed: lsi_log_roll saw to it.
 * Locks: append_lock held, and released when `*left`. */
static __attribute__((noinline)) ls_status make_sealing(lsi_log *log, lsi_slot *slot, lsi_framer *framer,
                                                        bool may_leave, bool *left)
{
    lsi_segment *segment = log->tail;
    ls_status st = lsi_segment_find_key(&log->config, segment, false);

    *left = st == LS_OK && may_leave && !can_seal_for(segment, framer);
    if (!*left)
        return st;
    lsi_log_terms terms = segment->header.terms;
    lsi_log_unlock(slot);
    st = lsi_framer_make_sealing(framer);
    return st == LS_OK ? lsi_log_ask_for_key(&log->config, &terms) : st;
}

/* `is_step`: all are one frame that is written and not shown, and then the lock is kept. `numbered` not NULL: those
 * that were not put before are one frame. */
static inline __attribute__((always_inline)) ls_status append_all(lsi_log *log, lsi_framer *framer,
                                                                  const ls_put_entry *entries, const uint32_t *picks,
                                                                  uint32_t count, bool atomic, bool is_step,
                                                                  lsi_log_numbered *numbered, uint32_t *accepted,
                                                                  ls_seqno *first_seqno, uint64_t *end, bool *closed)
{
    lsi_slot *slot = lsi_log_slot(log);
    lsi_pending pending = {picks, count};
    ls_status st;

    *accepted = 0;
    *first_seqno = LS_SEQNO_NONE;
    *closed = false;
    *end = 0;
    if (log->config.read_only)
        return lsi_fail(LS_ERR_READ_ONLY, "%s: the store was opened for reading", log->config.label);
    if (slot == NULL) { /* What else being ready means is seen with the lock. */
        st = lsi_log_ready(log, &slot);
        if (st != LS_OK)
            return st;
    }
    if (numbered != NULL && numbered->look_only)
        goto lock;
draft:
    st = numbered != NULL ? lsi_framer_draft_numbered(framer, entries, pending.picks, pending.count, numbered->options,
                                                      numbered->users)
                          : lsi_framer_draft(framer, entries, picks, count, atomic);
    if (st != LS_OK)
        return st;

lock:
    st = is_step ? lsi_log_lock_settled(log, slot, false, NULL) : lsi_log_lock(log, slot, false);
    if (st != LS_OK)
        return st;
    if (atomic_load_explicit(&slot->closed, memory_order_relaxed) != LSI_LOG_OPEN) { /* S9 */
        *closed = true;
        lsi_log_release_tail(log);
        goto out;
    }
    if (numbered != NULL) { /* N3 */
        bool is_drafted;
        st = lsi_log_sort_numbers(log, slot, framer, picks, count, numbered, &pending, &is_drafted);
        if (st != LS_OK || numbered->look_only)
            goto out;
        if (pending.count == 0) { /* Whoever wrote them may be dead: they are acknowledged by this process, too. */
            atomic_store_explicit(&log->wrote, 1, memory_order_relaxed);
            goto out;
        }
        if (!is_drafted) {
            lsi_log_unlock(slot);
            goto draft;
        }
        st = lsi_log_begin_numbers(log, slot);
        if (st != LS_OK)
            goto out;
    }
    atomic_store_explicit(&log->wrote, 1, memory_order_relaxed);
    for (size_t i = 0; i < framer->draft_count; i++) {
        const lsi_draft *draft = &framer->drafts[i];
        for (int tries = 0;; tries++) {
            st = tail_segment(log, slot);
            if (st != LS_OK)
                goto out;
            if (*accepted == 0 && !fits_terms(log->tail, framer)) { /* Made anew, without the lock. */
                framer->codec = lsi_segment_codec(log->tail);
                framer->seals = lsi_segment_is_sealed(log->tail);
                lsi_log_unlock(slot);
                goto draft;
            }
            if (has_room(slot, log->tail, draft, *accepted == 0) &&
                (tries > 0 || *accepted > 0 || fits_clock(log, slot, framer)))
                break;
            /* Whoever settles a manifest may ask for another segment while this one is made. */
            if (tries > 0 && atomic_load_explicit(&slot->roll_first, memory_order_relaxed) == 0) {
                st = lsi_fail(LS_ERR_STATE, "%s: its sequence numbers are used up", log->config.label);
                goto out;
            }
            log->keeps_terms = *accepted > 0 ? framer : NULL;
            st = lsi_log_roll(log, slot, draft->bytes, false);
            log->keeps_terms = NULL;
            if (st != LS_OK)
                goto out;
        }
        if (!can_seal_for(log->tail, framer)) {
            bool left;
            if (is_step) { /* Under the locks that he holds nobody is asked for a key. */
                st = lsi_segment_find_key(&log->config, log->tail, false);
                if (st == LS_OK && !can_seal_for(log->tail, framer))
                    st = LSI_PREPARE_FIRST;
                if (st != LS_OK)
                    goto out;
                left = false;
            } else {
                st = make_sealing(log, slot, framer, *accepted == 0, &left);
            }
            if (left && st == LS_OK)
                goto lock;
            if (left)
                return st;
            if (st != LS_OK)
                goto out;
        }
        ls_seqno seqno = lsi_load(&slot->next_seqno);
        st = append_frame(log, slot, log->tail, framer, draft, is_step, numbered != NULL);
        if (st != LS_OK)
            goto out;
        if (numbered != NULL)
            lsi_log_note_numbers(log, slot, framer, draft, seqno, numbered, &pending);
        if (*accepted == 0)
            *first_seqno = seqno;
        assert(seqno == *first_seqno + *accepted);
        *accepted += draft->count;
    }
    if (is_step)
        return LS_OK;
out:
    *end = lsi_load(&slot->committed_end);
    if (st != LS_OK && *accepted == 0 && lsi_log_is_deleted(log, slot)) /* Its files may go meanwhile: no damage. */
        st = lsi_log_deleted(log);
    /* Where nothing was put since a reset, nothing is left that is not durable. */
    if (numbered != NULL && *end <= lsi_load(&slot->given_up_to))
        *end = 0;
    lsi_log_unlock(slot);
    if (*accepted > 0 && log->config.durability != LS_DURABILITY_SYNC)
        lsi_slots_wake(slot, log->config.stream_slot);
    return st;
}

ls_status lsi_log_append(lsi_log *log, lsi_framer *framer, const ls_put_entry *entries, const uint32_t *picks,
                         uint32_t count, bool atomic, uint32_t *accepted, ls_seqno *first_seqno, uint64_t *end,
                         bool *closed)
{
    return append_all(log, framer, entries, picks, count, atomic, false, NULL, accepted, first_seqno, end, closed);
}

ls_status lsi_log_step_write(lsi_log *log, lsi_framer *framer, const ls_put_entry *entries, const uint32_t *picks,
                             uint32_t count, uint64_t decider, ls_seqno *first_seqno, bool *closed)
{
    uint32_t accepted;
    uint64_t end;

    framer->decider = decider;
    ls_status st = append_all(log, framer, entries, picks, count, true, true, NULL, &accepted, first_seqno, &end,
                              closed);
    framer->decider = 0;
    return st;
}

ls_status lsi_log_append_numbered(lsi_log *log, lsi_framer *framer, const ls_put_entry *entries, const uint32_t *picks,
                                  uint32_t count, lsi_log_numbered *numbered, uint64_t *end, bool *closed)
{
    uint32_t accepted;

    numbered->fresh = 0;
    ls_status st = append_all(log, framer, entries, picks, count, true, false, numbered, &accepted,
                              &numbered->first_seqno, end, closed);
    framer->tail_bytes = 0; /* Others have none. */
    return st;
}
