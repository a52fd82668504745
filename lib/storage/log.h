/* Inside storage: one shard's log as this process sees it. The door is storage.h.
 *
 * INVARIANTS, quoted by number in the code and in tests/invariants.
 *  S1  Bytes before committed_end never change; a frame becomes visible by one store of committed_end. Positions are
 *      never used again while anybody has the log open: what a reset gives up stays a gap, which a skip covers.
 *  S2  Whoever holds append_lock and finds write_end != committed_end stands in for a dead process: he looks at what
 *      lies between and, if anything does, goes on in a new segment (R5).
 *  S3  No record is acknowledged in a segment whose file, list entry and directory were not synced before.
 *  S4  durable_end rises only after a sync, which began after the bytes it covers were written, returned 0 through a
 *      descriptor that was open when they were written, or after they were written again through it (E2). Or when a
 *      reset gives up what is below: then no sync that was under way raises it, and given_up_to tells who waits.
 *  S5  A segment is sealed only when all of it is durable, or given up; so durable_end >= the last segment's base.
 *  S6  After a failed sync nothing is appended until lsi_log_reset, in any process (E1).
 *  S7  Numbers are given below seqno_limit only; a segment that follows a torn one begins at the torn one's limit (D4).
 *  S8  A segment's file is removed only when a list that begins behind it, and the list's name, were synced (R6).
 *  S9  A log is closed for good only when all of it is durable, and at an end that is stated outside of it; then
 *      nothing is appended and no segment is begun. What a dead process left beyond that end is never read.
 */
#ifndef LSI_STORAGE_LOG_H
#define LSI_STORAGE_LOG_H

#include "storage/frame.h"
#include "storage/segment.h"
#include "storage/storage.h"

#define LSI_ROLLING UINT64_MAX /* write_end while a roll is under way */

struct lsi_log {
    lsi_log_config config;
    _Atomic(lsi_slot *) slot;    /* shared, in the control file, and kept; NULL: nobody has looked for it */
    lsi_slot *own_slot;          /* read only, and nobody recovered the shard: what this process found by itself */
    void *own_memory;            /* in which it lies, where its alignment is */
    uint32_t epoch;              /* lsi_control_epoch() */
    _Atomic uint32_t looked_epoch; /* read only: what the slot said in this epoch was found to be true */
    lsi_lock local;              /* LSI_RANK_LOCAL: guards the pointers below */
    lsi_segment *current;        /* the last segment as this process has it open for writing; may be an older one */
    lsi_segment *tail;           /* the same for whoever holds append_lock, which guards this one: no second lock */
    lsi_holder holder;           /* of the descriptors of both */
    lsi_segment_list *list;      /* as of list_generation */
    uint32_t list_generation;
    bool has_list;
    _Atomic uint64_t looked_at;  /* recompress.c: list_generation plus 1 of a list in which nothing is to be done */
    const lsi_framer *keeps_terms; /* append_lock: a roll for who cannot stop to ask for a key: see lsi_log_roll */
    _Atomic uint32_t wrote;      /* this process appended, or answered for what others did; close syncs */
    struct lsi_log_memory {      /* append_lock: what it remembers of producers (numbered.h) */
        struct lsi_remembered *of; /* NULL: nobody asked yet */
        uint64_t seen;           /* of every frame before */
        uint64_t given_up;       /* given_up_to of the slot: where a reset changed it, frames that were seen are gone */
        bool has_file;           /* there was a snapshot */
        bool is_begun;           /* N4: the list says it, durably */
    } memory;
    struct lsi_log_step {        /* append_lock: the frame that nobody is shown yet */
        uint64_t position, end;
        ls_seqno first_seqno;
        uint32_t count;
        int64_t arrival_us;
    } step;
};

/* A step that one who is gone left in a log, and what is known of it. */
typedef struct lsi_step_left {
    uint64_t decider;
    ls_seqno first_seqno; /* 0: nothing is left */
    bool is_taken;
} lsi_step_left;

static inline uint64_t lsi_load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

/* Where readers must stop. Pairs with the stores of committed_end and durable_end. */
uint64_t lsi_log_published(const lsi_log *log, const lsi_slot *slot);

/* Whether the stream is gone, and the status that says so. */
bool lsi_log_is_deleted(const lsi_log *log, const lsi_slot *slot);
ls_status lsi_log_deleted(const lsi_log *log);
/* The slot, recovered if need be. CORRUPT, IO ...: it cannot be used at all. */
ls_status lsi_log_ready(lsi_log *log, lsi_slot **out);
/* append_lock, with S2's repair done and the health looked at: FAILED and DAMAGED shards are refused unless `any`. */
ls_status lsi_log_lock(lsi_log *log, lsi_slot *slot, bool any);
/* The same for who holds locks under which nothing can be decided: LSI_PREPARE_FIRST, and it is not held, when a step
 * is left. `left` NULL: nobody wants to know which. */
ls_status lsi_log_lock_settled(lsi_log *log, lsi_slot *slot, bool any, lsi_step_left *left);
/* The same without waiting for whoever has it: BUSY, also when a step is left. */
ls_status lsi_log_try_lock(lsi_log *log, lsi_slot *slot, bool any);
/* The lock alone, if it is free: nothing is repaired, so of the slot's words only the segment list's may be used. */
bool lsi_log_try_bare_lock(lsi_slot *slot);
void lsi_log_lock_repaired(lsi_slot *slot); /* It was LSI_LOCKED_AFTER_DEATH. */
void lsi_log_unlock(lsi_slot *slot);

/* The current list, referenced; reloaded when its generation moved. */
ls_status lsi_log_list(lsi_log *log, const lsi_slot *slot, lsi_segment_list **out);
/* Of a list that nobody else has, loaded from the file: ages as lsi_log_list has them. */
void lsi_log_heed_clock(const lsi_log *log, const lsi_slot *slot, lsi_segment_list *list);
/* G5 of age.c. */
bool lsi_log_clock_is_set_forward(const lsi_log *log, const lsi_slot *slot);
/* lsi_segment_fits_clock of the last segment, and G5. Locks: append_lock held. */
bool lsi_log_fits_clock(lsi_log *log, lsi_slot *slot, const lsi_segment_header *header, int64_t now_us);
/* Puts a new list in the file's and this process's place. Locks: append_lock held. */
ls_status lsi_log_replace_list(lsi_log *log, lsi_slot *slot, lsi_segment_list *list);
/* Says in the slot and in this process that `list` is the file's now. Locks: append_lock held. */
void lsi_log_note_list(lsi_log *log, lsi_slot *slot, lsi_segment_list *list);
/* The next look at the list reads the file: a slot that nobody keeps up does not say that it was replaced. */
void lsi_log_forget_list(lsi_log *log);
/* Whether the file's list begins behind segment `number`, which was named before and is not there. */
ls_status lsi_log_was_trimmed(lsi_log *log, uint32_t number, bool *trimmed);
/* Segment `number` open for writing, referenced. */
ls_status lsi_log_segment(lsi_log *log, lsi_slot *slot, uint32_t number, lsi_segment **out);

/* Makes everything of the last segment up to `end` durable (S4). */
ls_status lsi_log_sync_segment(lsi_log *log, lsi_slot *slot, lsi_segment *segment, uint64_t end);
/* The same for a frame behind committed_end too, of which nobody is told. Then, when it counts, `note`. */
ls_status lsi_log_sync_hidden(lsi_log *log, lsi_slot *slot, lsi_segment *segment);
void lsi_log_note_durable(lsi_log *log, lsi_slot *slot, const lsi_segment *segment, uint64_t end);
/* append.c: what follows when a frame counts: index, writing back. Locks: append_lock held. */
void lsi_log_pass_index_mark(const lsi_log *log, lsi_slot *slot, lsi_segment *segment, const lsi_index_entry *entry);
/* For a reader that found nothing: whether a step lies there that may have been taken, see step.c. */
static inline bool lsi_log_has_step(const lsi_slot *slot)
{
    return atomic_load_explicit(&slot->step, memory_order_acquire) != 0;
}

/* Seals the last segment at committed_end and begins a new one with room for a frame of `bytes`. `abandon`: the old
 * file is not synced again, and readers step over what a reset gives up of it (E1). Heeds and clears roll_first. Locks:
 * append_lock held. FULL, NO_MEMORY: nothing changed. */
ls_status lsi_log_roll(lsi_log *log, lsi_slot *slot, uint64_t bytes, bool abandon);
/* append.c: what the file of a segment takes that ends at `end`, when its space is given back; 0: nobody knows.
 * `is_torn`: bytes behind that end are evidence, and all of them stay (R5). */
uint64_t lsi_log_bytes_kept(const lsi_segment *segment, uint64_t end, bool is_torn);

/* append.c: gives back what was made ahead of it. Nobody appends to it any more, in any process. */
void lsi_log_give_back(const lsi_segment *segment, uint64_t end, bool is_torn);

/* append.c: allocates ahead of `end` and says how far zeros may go with it. */
uint64_t lsi_log_prepare_space(const lsi_log_config *config, lsi_slot *slot, const lsi_segment *segment, uint64_t end,
                               uint64_t pad_bytes);
/* window.c: whether a small frame may be stored into a mapping of the last segment instead of being written; makes the
 * room, and `zeroed_end` rises with it. Then the store itself. Locks: append_lock held. */
#define LSI_WINDOW_BYTES (256u << 10)
#define LSI_WINDOW_FRAME_BYTES_MAX 4096u /* above it a write is as fast */
bool lsi_window_move(const lsi_log_config *config, lsi_slot *slot, lsi_segment *segment, uint64_t position,
                     uint32_t bytes);
static inline bool lsi_window_covers(const lsi_log_config *config, lsi_slot *slot, lsi_segment *segment,
                                     uint64_t position, uint32_t bytes)
{
    uint64_t offset = position - segment->header.base + LSI_SEGMENT_HEADER_BYTES;

    if (!config->map_tail || bytes > LSI_WINDOW_FRAME_BYTES_MAX)
        return false;
    return (segment->window != NULL && offset >= segment->window_at &&
            offset + bytes <= segment->window_at + segment->window_bytes) ||
           lsi_window_move(config, slot, segment, position, bytes);
}
static inline void lsi_window_store(lsi_segment *segment, uint64_t position, const void *frame, uint32_t bytes)
{
    uint64_t offset = position - segment->header.base + LSI_SEGMENT_HEADER_BYTES;
    segment->file.files->store(&segment->file, segment->window + (offset - segment->window_at), frame, bytes);
}

/* closing.c: nothing is appended here any more: gives back what only appends need. Locks: append_lock held. */
void lsi_log_release_tail(lsi_log *log);
/* The same until the next append, for lsi_holder: see descriptors.h. */
bool lsi_log_give_up_tail(lsi_holder *holder, bool sync);

/* Where the reset that is under way begins to give up; `end`, which is committed_end: it gives up nothing. */
static inline uint64_t lsi_log_given_up_from(const lsi_slot *slot, uint64_t end)
{
    uint64_t from = lsi_load(&slot->given_up_from);
    return lsi_load(&slot->given_up_to) > lsi_load(&slot->segment_base) && from < end ? from : end;
}

/* roll.c: the same as lsi_log_create, behind segments that are lost, all of them as `lost`: readers step over those
 * positions. It begins at their seqno_limit; `last_seqno` is the last one that may have been lost. */
ls_status lsi_log_create_behind(const lsi_log_config *config, const lsi_segment_entry *lost, ls_seqno last_seqno,
                                int64_t arrival_us);

/* trim.c: puts `fresh` in the place of `made_from`, without holding append_lock while it syncs. BUSY: somebody else has
 * replaced that meanwhile, or has the lock; nothing was changed. One at a time for one log. */
ls_status lsi_log_exchange_list(lsi_log *log, lsi_slot *slot, const lsi_segment_list *made_from,
                                lsi_segment_list *fresh);

/* E1: marks the shard and returns LS_ERR_IO. */
ls_status lsi_log_fail(lsi_log *log, lsi_slot *slot, int err);
/* E2: writes the segment's bytes from `from` to `to` once more. -errno. */
int lsi_log_write_again(const lsi_log *log, const lsi_segment *segment, uint64_t from, uint64_t to);

/* recovery.c. Locks: append_lock held. */
ls_status lsi_log_recover(lsi_log *log, lsi_slot *slot);
/* `left`: in, a step of which it is known whether it was taken; out, one of which it is not: LSI_PREPARE_FIRST. */
ls_status lsi_log_take_over(lsi_log *log, lsi_slot *slot, lsi_step_left *left);
void lsi_log_publish_empty(const lsi_log_config *config, lsi_slot *slot, const lsi_segment_entry *first,
                           int64_t arrival_us);
/* For a reader that may not write: whether the ends that an earlier process of this boot left may be believed ... */
ls_status lsi_log_ends_hold(lsi_log *log, lsi_slot *slot, bool *hold);
/* ... and, when not, finds them for itself. `as_if`: see below. */
typedef struct lsi_as_if lsi_as_if;
ls_status lsi_log_look(lsi_log *log, const lsi_as_if *as_if, lsi_slot *own);
/* Whether the ends in the slot are true: the list, the last segment's header and the last frames before them agree, and
 * nothing was written where the next one would be. `*is_older`: they are not, for a frame stands there. */
ls_status lsi_log_ends_are_true(const lsi_log *log, const lsi_as_if *as_if, const lsi_slot *slot, bool *true_ends,
                                bool *is_older);

/* For verifying: as if a repair had been here, which makes a list and a header of the last segment. NULL: as it is. */
struct lsi_as_if {
    lsi_segment_list *list;
    const lsi_segment_header *header; /* NULL: the file's */
};

/* ---- walking a segment's frames, for recovery, seeking and verify ---- */

typedef struct lsi_walk {
    const lsi_env *env;
    const lsi_segment *segment; /* borrowed */
    uint64_t at;                /* position of the next frame */
    uint64_t end;               /* look no further */
    bool check_bodies;
    unsigned char *buffer;
    size_t capacity;
    uint64_t buffer_at;         /* position */
    size_t buffer_bytes;
    ls_seqno after;             /* the last number met; the next must be above it */
    uint64_t resume_bytes_left; /* so much of bodies may be checked to find frames behind damage */
} lsi_walk;
void lsi_walk_begin(lsi_walk *walk, const lsi_env *env, const lsi_segment *segment, uint64_t at, uint64_t end,
                    bool check_bodies);
void lsi_walk_end(lsi_walk *walk);
/* The frame at walk->at, checked; then walk->at is behind it. `*result` EMPTY, SHORT or BAD: there is none, and
 * walk->at stays. Fails only when reading fails. */
ls_status lsi_walk_next(lsi_walk *walk, lsi_frame *frame, uint64_t *position, lsi_frame_result *result);
/* Moves walk->at to the next valid frame at or after `from`; false: there is none before the end, or so many headers
 * of frames that are none that somebody made them. */
ls_status lsi_walk_resume(lsi_walk *walk, uint64_t from, bool *found);
/* The frame lsi_walk_next just gave, whole: a view until the next call. */
const unsigned char *lsi_walk_bytes(const lsi_walk *walk, uint64_t position);

/* Position of the last frame below `end` in the shard, and its header. found false: there is none. */
ls_status lsi_log_last_frame(lsi_log *log, const lsi_segment_list *list, uint64_t end, bool *found, lsi_frame *frame);

#endif
