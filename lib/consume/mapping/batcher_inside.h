/* Inside of the batch machine, shared by the files that make it up.
 *
 * batcher.c        opening, what comes in, what is to be done next, how far it is
 * batcher_queue.c  the records that are held: blocks of memory, and the queue of each lane
 * batcher_lane.c   the life of a batch in its lane
 * batcher_window.c tumbling windows and their state */
#ifndef LSI_CONSUME_MAPPING_BATCHER_INSIDE_H
#define LSI_CONSUME_MAPPING_BATCHER_INSIDE_H

#include "consume/mapping/batcher.h"

/* Memory of records, freed when the last of them is finished. */
typedef struct lsi_held_block {
    uint32_t live;    /* entries that point here */
    uint32_t records;
    uint64_t bytes;   /* of keys and data */
} lsi_held_block;

typedef struct lsi_held {
    const ls_record *record;
    lsi_held_block *block;
    lsi_point before; /* the record before it in the shard, filtered out or not: the checkpoint while this one is the
                        first that is not finished */
    uint64_t cost;   /* of the batch's bytes */
} lsi_held;

/* A batch is what stands at the front of its lane's queue. Split, it is a pile of parts, of which the topmost is at the
 * front. A split puts at most 5,000 of 10,000 on top, then 2,500, ... and 1: fourteen upon the first; one more for the
 * end of a window whose state has grown too large. */
#define LSI_PARTS_MAX 16u

typedef struct lsi_batch_part {
    uint32_t count;
    bool is_final; /* of the window: no records */
} lsi_batch_part;

/*        ┌──────────────── the last part is finished ────────────────┐
 *        ▼                                                           │
 *     COLLECTING ── form ──▶ READY ── INVOKE ──▶ RUNNING ── complete ┤
 *                             ▲ │                                    │
 *                             │ └── DISCARD ──▶ DISCARDING ─ discarded
 *                             └───────── it is left, or a part of it ┘  */
typedef enum { LSI_LANE_COLLECTING, LSI_LANE_READY, LSI_LANE_RUNNING, LSI_LANE_DISCARDING } lsi_lane_state;

typedef struct lsi_lane {
    lsi_lane_state state;

    lsi_held *held; /* the queue: [head .. head + count) of `capacity` */
    size_t head, count, capacity;
    size_t delivered; /* how many at its front were in an invocation */
    ls_record *gathered; /* of a batch whose records do not lie side by side */
    size_t gathered_capacity;

    /* COLLECTING: the batch so far. */
    uint32_t scanned;
    uint64_t scanned_cost;
    uint32_t most;     /* records in it: as many as it had when it was tried before */
    bool is_cut;       /* no further record belongs to it */
    int64_t opened_us; /* monotonic */

    /* READY and later */
    lsi_batch_part parts[LSI_PARTS_MAX];
    uint32_t part_count;
    uint32_t attempts;      /* invocations of the topmost part that failed */
    uint32_t failures;      /* of any kind in a row, for the back-off */
    int64_t not_before_us;  /* monotonic */
    int64_t started_us;     /* RUNNING, monotonic */
    bool is_overrun_told;
    bool is_tried;          /* the batch, or what it was a part of, has failed */
    bool was_unhandled;     /* the last failure */
    bool was_reported;      /* or that its first record was reported */
    uint32_t discard_count; /* records to give up; the part's end when it `is_discarding` with 0 */
    bool is_discarding;     /* given up, but not confirmed */
    lsi_discard_reason discard_reason;
} lsi_lane;

/* The open tumbling window: there is one from the first success in it to its final one. */
typedef struct lsi_open_window {
    bool is_open;
    int64_t start_us, end_us;
    unsigned char *state;
    size_t state_bytes;
} lsi_open_window;

struct lsi_batcher {
    lsi_memory memory;
    lsi_batcher_settings settings;
    lsi_held_block borrowed; /* of the records given last, with one lane */
    uint64_t held_records, held_bytes; /* of all blocks */
    lsi_point read;          /* the last record given */
    int64_t tip_us;
    ls_seqno horizon;        /* the shard has no record below any more */
    bool is_ended, is_draining;
    bool is_hurried;         /* what is collected goes without waiting for more */
    lsi_trials waiting;      /* what others have tried and no lane has met yet */
    lsi_trials over;         /* what was given up, here or by others, and `told` has not passed yet */
    lsi_open_window window;
    uint64_t window_version; /* changes with the window */
    lsi_point told;
    uint64_t told_version;
    uint64_t chance;
    lsi_batcher_counts counts;
    lsi_lane lanes[];
};

/* ---- batcher_queue.c ---- */
ls_status lsi_held_copy(lsi_batcher *machine, const ls_record *records, uint32_t count, const bool *matches);
ls_status lsi_held_borrow(lsi_batcher *machine, const ls_record *records, uint32_t count, const bool *matches);
ls_status lsi_held_own(lsi_batcher *machine);
void lsi_held_pop(lsi_batcher *machine, lsi_lane *lane, size_t count);
void lsi_held_free(lsi_batcher *machine); /* all */
/* The first `count` of a lane side by side. NO_MEMORY: nothing changed. */
ls_status lsi_held_gather(lsi_batcher *machine, lsi_lane *lane, uint32_t count, const ls_record **out);

static inline const lsi_held *lsi_held_at(const lsi_lane *lane, size_t index)
{
    return &lane->held[lane->head + index];
}

/* ---- batcher_lane.c ---- */
/* COLLECTING: becomes READY when its batch is complete, or the window is to be ended. Else `*until_us` is lowered to
 * when time alone completes it. */
void lsi_lane_form(lsi_batcher *machine, lsi_lane *lane, lsi_moment now, int64_t *until_us);
/* READY and due: what is to be done with it, which is in `out` then. */
ls_status lsi_lane_start(lsi_batcher *machine, lsi_lane *lane, lsi_moment now, lsi_batcher_action *out);
ls_status lsi_lane_complete(lsi_batcher *machine, lsi_lane *lane, const lsi_outcome *outcome, lsi_moment now);
/* COLLECTING: drops what was given up before (M13). */
void lsi_lane_pass_over(lsi_batcher *machine, lsi_lane *lane);
bool lsi_lane_trial(const lsi_batcher *machine, const lsi_lane *lane, lsi_trial *out); /* False: it has no batch. */
uint32_t lsi_lane_foresee(lsi_batcher *machine, lsi_lane *lane, const lsi_outcome *outcome, lsi_moment now,
                          lsi_progress *out);
void lsi_lane_discarded(lsi_batcher *machine, lsi_lane *lane, bool is_written, lsi_moment now);

/* ---- batcher_window.c ---- */
typedef struct lsi_tumbling {
    int64_t start_us, end_us;
} lsi_tumbling;
/* The window of the next record, which is the open one if there is one; `record` counts only when there is none. */
lsi_tumbling lsi_tumbling_of(const lsi_batcher *machine, const ls_record *record);
bool lsi_tumbling_is_too_large(const lsi_batcher *machine);
bool lsi_tumbling_is_over(const lsi_batcher *machine, const lsi_lane *lane); /* its last invocation is due */
/* What a success returned, or a partial one for the records before those that failed; these are still in the lane.
 * NO_MEMORY: nothing changed. */
ls_status lsi_tumbling_keep(lsi_batcher *machine, const lsi_lane *lane, ls_bytes state);
void lsi_tumbling_close(lsi_batcher *machine);
ls_status lsi_tumbling_restore(lsi_batcher *machine, const lsi_progress *from); /* NO_MEMORY */
void lsi_tumbling_describe(const lsi_batcher *machine, const lsi_lane *lane, lsi_invocation *out);

/* ---- batcher.c ---- */
/* There is no room for another record, with several lanes. */
bool lsi_batcher_is_full(const lsi_batcher *machine);

#endif
