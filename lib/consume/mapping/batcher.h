/* The batch machine: what one shard of one mapping does with its records, as the event source mapping of AWS Lambda
 * does it. Pure: no threads, files or clocks. Time, records and outcomes come in; `next` says what to do now.
 *
 *     read ── give ──▶ a lane's queue ──▶ batch ── INVOKE ──▶ complete ──▶ CHECKPOINT
 *                                          ▲  │                  │
 *                                          │  └── DISCARD ──▶ discarded
 *                                          └──── back-off, a part of it ─┘
 *
 * It belongs to the worker of one shard, which calls it under one lock of its own. Its loop:
 *
 *     for (;;) {
 *         lsi_batcher_next(machine, now, &action);
 *         INVOKE      call the handler, here or in a thread, without the lock; then _complete
 *         DISCARD     write to the destination, if there is one, without the lock; then _discarded
 *         CHECKPOINT  note position and window, together
 *         OVERRUN     tell the handler of that lane that its time is over; it is waited for
 *         WAIT        when records are wanted: _own, read so many, filter, _give (_tip at the shard's tip, _end at its
 *                     end); when there are none sleep, until `until_us` or until a handler returns
 *         DONE        the shard is finished, or the drain is
 *     }
 *
 *   M1  A lane has one invocation or discard at a time, and its records go in order. A partition key has one lane.
 *   M2  A position is told by CHECKPOINT only when every record up to it was filtered out, succeeded, or was discarded
 *       and the discard was confirmed. It never goes back.
 *   M3  The state of a window is told with the position up to which its records are in it.
 *   M4  An invocation is given the state from before its first record, however often it is repeated.
 *   M5  With several lanes, what is held is at most what was wanted, and one record more. With one it is what was
 *       given, which may be more, and of which the next batches come before more is wanted; what is copied of it is
 *       less than a batch.
 *
 *   M13 A batch that was tried before counts on, whoever has tried it (_resume): it begins with the same record, and
 *       has at most the records that it had. What precedes it goes by itself. What was given up, and comes again for
 *       another lane holds the position back, is passed over. */
#ifndef LSI_CONSUME_MAPPING_BATCHER_H
#define LSI_CONSUME_MAPPING_BATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/status.h>
#include <libstream/types.h>

#include "base/alloc.h"
#include "consume/lease/trial.h"
#include "stream/stream.h"

typedef struct lsi_batcher lsi_batcher;

#define LSI_BATCHER_LANES_MAX 10u
#define LSI_BATCHER_RECORDS_MAX 10000u
#define LSI_BATCHER_BYTES_DEFAULT (UINT64_C(6) << 20)
#define LSI_WINDOW_STATE_BYTES_DEFAULT (UINT32_C(1) << 20)
#define LSI_WINDOW_STATE_BYTES_LIMIT (UINT32_C(6) << 20) /* a larger one has failed the invocation that returned it */

/* Checked by the caller; asserted here. */
typedef struct lsi_batcher_settings {
    uint32_t records_max;           /* of a batch, 1..LSI_BATCHER_RECORDS_MAX */
    uint64_t bytes_max;             /* of a batch, 1 or more; a record that is larger goes alone */
    uint32_t record_extra_bytes;    /* not 0: bytes are those of the event document (lsi_event_record_bytes); 0: of key
                                       and data */
    int64_t batching_window_us;     /* 0: whatever was read is sent at once */
    uint32_t lane_count;            /* 1..LSI_BATCHER_LANES_MAX; 1 with tumbling windows */
    int32_t retries_max;            /* -1: no end */
    int64_t record_age_us_max;      /* -1: none */
    int64_t retention_us;           /* -1: none; records that seem older are given up when the horizon says so, too */
    bool bisects;
    bool reports_failures;          /* false: LSI_OUTCOME_PARTIAL is a success */
    bool discards_failed_only;      /* of a batch whose first record was reported: that record alone */
    int64_t tumbling_us;            /* 0: no windows */
    uint32_t window_state_bytes_max; /* a larger state ends its window early */
    int64_t handler_timeout_us;     /* -1: none */
    uint64_t held_records_max;      /* over all lanes, when there are several; 0: twice lanes * records_max */
    uint64_t held_bytes_max;        /* of keys and data; 0: (lanes + 1) * bytes_max */
    uint64_t seed;                  /* of the jitter */
} lsi_batcher_settings;

/* The wall clock, for the age of records and the end of windows; the monotonic one, for everything that waits. */
typedef struct lsi_moment {
    int64_t wall_us;
    int64_t mono_us;
} lsi_moment;

/* Where a mapping is in a shard: what its checkpoint holds. */
typedef struct lsi_progress {
    lsi_point position;  /* all up to here is finished; LS_SEQNO_END: the shard is; LS_SEQNO_NONE: nothing yet */
    bool has_window;     /* a tumbling window is open, and its state is: */
    int64_t window_start_us, window_end_us;
    ls_bytes state;      /* a view */
} lsi_progress;

/* `records` and `state` are views, until _complete or _discarded. */
typedef struct lsi_invocation {
    const ls_record *records;
    uint32_t count;          /* 0: only when `is_final` */
    uint32_t attempts;       /* how often this batch has failed: 0 at first */
    bool is_windowed;
    bool is_final;           /* the window's last invocation, without records */
    bool is_terminated_early; /* final because its state is too large */
    int64_t window_start_us, window_end_us;
    ls_bytes state;          /* empty in the first invocation of a window */
} lsi_invocation;

typedef enum {
    LSI_DISCARD_RETRIES, /* RetryAttemptsExhausted */
    LSI_DISCARD_AGE,     /* RecordAgeExceeded */
    LSI_DISCARD_EXPIRED  /* retention took it, by time or by bytes: RecordAgeExceeded, too */
} lsi_discard_reason;

typedef enum {
    LSI_BATCHER_WAIT,
    LSI_BATCHER_INVOKE,
    LSI_BATCHER_DISCARD,
    LSI_BATCHER_CHECKPOINT,
    LSI_BATCHER_OVERRUN,
    LSI_BATCHER_DONE
} lsi_batcher_kind;

typedef struct lsi_batcher_action {
    lsi_batcher_kind kind;
    uint32_t lane;             /* INVOKE, DISCARD, OVERRUN */
    lsi_invocation invocation; /* INVOKE; DISCARD: what is given up */
    lsi_discard_reason reason; /* DISCARD: */
    uint32_t invoke_count;     /* how often that batch was invoked, at least 1 */
    bool is_unhandled;         /* the last of these did not return an answer; false: its answer was not accepted */
    lsi_progress progress;     /* CHECKPOINT: a view, until the next call */
    int64_t until_us;          /* WAIT: monotonic; INT64_MAX: nothing comes by time alone */
    uint64_t records_wanted;   /* WAIT: to be read and given now; with several lanes no more than these; 0: none */
    uint64_t bytes_wanted;     /* of keys and data; a record that is larger may come alone */
} lsi_batcher_action;

typedef enum {
    LSI_OUTCOME_SUCCESS,
    LSI_OUTCOME_PARTIAL,      /* from `failed_at` on; out of range: as BAD_RESPONSE */
    LSI_OUTCOME_FAILED,       /* threw, crashed, took too long */
    LSI_OUTCOME_BAD_RESPONSE, /* returned what cannot be accepted */
    LSI_OUTCOME_SYSTEM,       /* could not be started: costs no retry */
    LSI_OUTCOME_STOPPED       /* asks to stop: the batch is not finished, and the machine drains */
} lsi_outcome_kind;

typedef struct lsi_outcome {
    lsi_outcome_kind kind;
    uint32_t failed_at;
    bool has_state;  /* SUCCESS, PARTIAL of a windowed invocation must have one; a final one's is not kept */
    ls_bytes state;  /* borrowed */
} lsi_outcome;

/* In records, but for those that name something else. polled = filtered + delivered + dropped_undelivered + those held
 * that were not delivered yet. */
typedef struct lsi_batcher_counts {
    uint64_t polled, filtered;
    uint64_t delivered;              /* to a handler, each once */
    uint64_t invoked, failed;        /* redeliveries count again */
    uint64_t dropped_by_retries, dropped_by_age;
    uint64_t dropped_undelivered;    /* by age, or once more, of what was given up before: in neither of those two */
    uint64_t invocations, errors, throttles; /* invocations; throttles are not in `invocations` */
    uint64_t overruns, bad_indices;  /* of `errors`: time was over; `failed_at` was out of range */
    uint64_t deaths;                 /* invocations that others had begun and died in; in none of these three lines */
} lsi_batcher_counts;

/* `from`: what the last checkpoint says, or with position only what precedes the first record that will be read.
 * Borrowed until return. NO_MEMORY. */
ls_status lsi_batcher_open(const lsi_memory *memory, const lsi_batcher_settings *settings, const lsi_progress *from,
                           lsi_moment now, lsi_batcher **out);
void lsi_batcher_close(lsi_batcher *machine); /* Nothing is with the caller any more. Accepts NULL. */

/* What others have tried of the shard behind the position: once, before anything is given. Of what had begun a failure
 * is counted. */
void lsi_batcher_resume(lsi_batcher *machine, const lsi_trials *trials);
/* What is to be known of the batch of a lane. False: nothing, since it has none, or its batch did not fail, and
 * `is_begun`, which goes into `out`, is false. */
bool lsi_batcher_trial(const lsi_batcher *machine, uint32_t lane, bool is_begun, lsi_trial *out);
/* All of these, as if nothing had begun, what _resume was told of and was not met yet, and what was given up above the
 * position. */
void lsi_batcher_trials(const lsi_batcher *machine, lsi_trials *out);

/* The next records of the shard, ascending. `matches` NULL: all pass the filters. With one lane they are borrowed until
 * _own, else copied. NO_MEMORY: none was taken; the same may be given again. */
ls_status lsi_batcher_give(lsi_batcher *machine, const ls_record *records, uint32_t count, const bool *matches);
/* Before each read when records are wanted: copies what is left of those given last. NO_MEMORY: they are still
 * borrowed. */
ls_status lsi_batcher_own(lsi_batcher *machine);
/* The shard was read to its tip, and no record that arrived before `wall_us` comes any more. Never goes back. A record
 * that is given says the same of those before it. */
void lsi_batcher_tip(lsi_batcher *machine, int64_t wall_us);
/* What was given so far goes to handlers without waiting for more, whatever the batching window. */
void lsi_batcher_hurry(lsi_batcher *machine);
void lsi_batcher_end(lsi_batcher *machine); /* The shard is closed, and all of it was given. */
/* Invoke and discard nothing more; DONE once nothing is with the caller. */
void lsi_batcher_drain(lsi_batcher *machine);
void lsi_batcher_set_retention(lsi_batcher *machine, int64_t retention_us);
/* Records may seem past retention only because a clock is or was wrong, so nothing is given up for it that the shard
 * still has. And what failed is not tried again once the shard has it no more, whatever took it away: its age, or how
 * many bytes may be kept. Whether any seems past retention or has failed, and the lowest number that the shard has (at
 * first 0). */
bool lsi_batcher_wants_horizon(const lsi_batcher *machine, lsi_moment now);
void lsi_batcher_set_horizon(lsi_batcher *machine, ls_seqno horizon);

/* NO_MEMORY: nothing changed, ask again. */
ls_status lsi_batcher_next(lsi_batcher *machine, lsi_moment now, lsi_batcher_action *out);
/* The answer to INVOKE. NO_MEMORY (for the state): nothing changed, answer again or with SYSTEM. */
ls_status lsi_batcher_complete(lsi_batcher *machine, uint32_t lane, const lsi_outcome *outcome, lsi_moment now);
/* What _complete with the same would come to: from which of the batch's records on nothing is finished (0: nothing at
 * all; UINT32_MAX: all is), and how far the shard is then, but for END, with the state of its window, a view of
 * `outcome`. With one lane. */
uint32_t lsi_batcher_foresee(lsi_batcher *machine, const lsi_outcome *outcome, lsi_moment now, lsi_progress *out);
/* The answer to DISCARD. False: the destination failed; it is asked again later. */
void lsi_batcher_discarded(lsi_batcher *machine, uint32_t lane, bool is_written, lsi_moment now);

void lsi_batcher_counts_get(const lsi_batcher *machine, lsi_batcher_counts *out);
uint64_t lsi_batcher_held(const lsi_batcher *machine); /* records that are not finished */
bool lsi_batcher_has_window(const lsi_batcher *machine); /* A tumbling window is open, which word from the tip ends. */
/* Nothing is held, and no window waits for its last invocation that is due already. */
bool lsi_batcher_is_idle(const lsi_batcher *machine);

#endif
