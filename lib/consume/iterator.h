/* The inside of an iterator: its files share it. */
#ifndef LSI_CONSUME_ITERATOR_H
#define LSI_CONSUME_ITERATOR_H

#include <stdatomic.h>

#include "consume/consume.h"
#include "metrics/metrics.h"

/* No sleep is longer: a writer that was killed after publishing and before waking is noticed after this time (P1). */
#define LSI_WAIT_US_MAX 500000
#define LSI_WAIT_US_GUARDED_MAX 60000000 /* where somebody calls the engine's `rouse` */

typedef struct lsi_unfold lsi_unfold; /* deaggregate.c's */

/* Where an iterator stands in one shard.
 *
 *     waiting --(its parents are finished)--> read --(its end was reached and delivered)--> finished
 *
 * merged.c makes the moves; a single iterator's one track is always read. `position` is the truth about the place (C1):
 * it moves when a batch is handed out, and the reader can be brought back to it. */
typedef struct lsi_track {
    uint32_t shard;
    uint32_t parent;          /* LSI_NO_SHARD: none */
    uint32_t adjacent_parent; /* LSI_NO_SHARD: none */
    ls_seqno first_seqno;     /* merged: of the shard's first record, or below it */
    bool is_finished;
    bool is_waiting;          /* for its parents */
    bool is_under_way;        /* something of it was given, or it was begun elsewhere than at the oldest record */
    bool has_turn;            /* limited: it may be read once */
    uint64_t held_in;         /* limited: the last call in which it could not be */
    bool is_astray;           /* the reader is not at `position`: seek first */
    bool is_at_tip;           /* merged: the last look found nothing, and nothing lay behind */
    bool was_at_tip;          /* merged: some look before found so */
    ls_position position;     /* TRIM_HORIZON or AT_SEQUENCE_NUMBER, de-aggregating also of a user record */
    lsi_hash_range range;     /* de-aggregating: the shard's */
    lsi_unfold *unfold;       /* de-aggregating: what was read and not given; NULL until something is */
    lsi_reader *reader;       /* NULL until it is needed */
    lsi_hold hold;            /* of a subscription: since the track was first read */
    lsi_engine_count *counts; /* LSI_COUNTS_SHARD, with the reader; NULL: nobody can be told */
} lsi_track;

typedef struct lsi_event lsi_event;

struct lsi_iterator {
    lsi_engine_stream *stream;
    const lsi_engine_ops *ops;
    const lsi_env *env;
    uint64_t stream_id;
    int64_t stream_created_us;
    bool is_merged;
    uint32_t reader_flags; /* LSI_READER_ */
    bool is_interruptible;
    bool is_deaggregating;
    bool is_guarded; /* whoever has it calls the engine's `rouse`, too */
    uint32_t wait_shard; /* what is slept on: the shard, or LSI_NO_SHARD */

    lsi_track *tracks; /* [track_count], ascending by shard; a single iterator has one */
    uint32_t track_count;
    uint32_t turn;       /* merged: where the next look begins */
    uint64_t generation; /* merged: of the stream, when `tracks` were compared with it */
    bool is_stale;       /* merged: compare them whatever the generation says */

    bool is_limited; /* the stream's limits count, as of `limits_generation` (throttle.c) */
    uint64_t limits_generation;
    lsi_rates rates;
    char name[LSI_STREAM_NAME_MAX + 1];
    uint32_t refused_shard; /* of the last look: the one that gets its turn first; LSI_NO_SHARD: none was refused */
    lsi_refusal refusal;    /* why it was */

    const lsi_subscriber *subscriber; /* whose subscription this is (subscribe.c); NULL: an iterator as any */

    /* counts.c's. */
    lsi_engine_count *counts; /* LSI_COUNTS_STREAM; NULL: nobody can be told */
    uint64_t call;            /* which one this is, from 1 */
    uint64_t held_in;         /* the last one in which a limit kept it from a shard */
    uint32_t calls;           /* that were OK and are not counted yet */
    uint32_t until_measured;  /* so many records more, then a call is measured */
    bool has_slept;           /* in this call */

    ls_batch batch;
    ls_record *users;   /* de-aggregating: the batch's records */
    size_t users_capacity;
    uint32_t *children; /* the batch's */
    size_t children_capacity;

    _Atomic bool is_cancelled;
    const _Atomic bool *is_stopped; /* NULL, or true: cancelled. Who sets it wakes `wait_shard` */
    lsi_event *event; /* NULL until a descriptor was asked for */
};

/* ---- iterator.c ---- */
extern const ls_position lsi_position_first; /* TRIM_HORIZON */
ls_status lsi_iterator_new(lsi_engine_stream *stream, bool is_merged, uint32_t flags, lsi_iterator **out);
ls_position lsi_position_at(ls_seqno seqno); /* of a reader's place */
ls_status lsi_track_settle(lsi_iterator *iterator, lsi_track *track, const ls_position *position);
void lsi_track_close(const lsi_iterator *iterator, lsi_track *track);
/* Reads on; `position` stays. After TRIMMED it is the oldest. */
ls_status lsi_track_read(lsi_iterator *iterator, lsi_track *track, uint32_t records_max, uint64_t bytes_max,
                         lsi_read *out);
/* What was read goes to the caller: fills the batch and moves `position`. Failing: the track is as before the read. */
ls_status lsi_track_deliver(lsi_iterator *iterator, lsi_track *track, const lsi_read *read);

/* ---- deaggregate.c: for iterators that de-aggregate ---- */
/* As lsi_track_read, but for the reader's place, which the track is at: `out` has user records. */
ls_status lsi_unfold_read(lsi_iterator *iterator, lsi_track *track, uint32_t records_max, uint64_t bytes_max,
                          lsi_read *out);
/* What was read goes to the caller: where the track is then. */
void lsi_unfold_deliver(const lsi_iterator *iterator, lsi_track *track);
bool lsi_unfold_has_more(const lsi_track *track); /* that was read, and is still to be given */
/* Of the records, as they were put, that were read for the last batch: 0 when it was the rest of some. */
uint32_t lsi_unfold_fetched(const lsi_track *track, uint64_t *bytes);
void lsi_unfold_forget(lsi_track *track); /* The reader is moved. */
void lsi_unfold_free(const lsi_iterator *iterator, lsi_track *track);

void lsi_get_held(lsi_iterator *iterator, lsi_track *track, const lsi_refusal *why); /* counts.c */
void lsi_count_refused_subscription(const lsi_iterator *iterator); /* counts.c */
const char *lsi_subscriber_name(const lsi_subscriber *subscriber); /* subscribe.c: of its consumer */

/* ---- throttle.c: but for the first two, for iterators that are limited ---- */
void lsi_turn_take_limits(lsi_iterator *iterator, const lsi_stream_info *info);
void lsi_turn_refresh_limits(lsi_iterator *iterator); /* merged.c does it with its list of shards */
/* False: not yet, `refusal` says when. True: the track may be read until it delivers or the call ends. */
bool lsi_turn_take(lsi_iterator *iterator, lsi_track *track);
void lsi_turn_delivered(lsi_iterator *iterator, lsi_track *track); /* `batch` is of this track */
void lsi_turns_end(lsi_iterator *iterator);                        /* the call found nothing */

/* ---- subscribe.c: for iterators with a subscriber ---- */
/* Before each look at a track, and before what it gave goes to the caller: begins the hold, or sees that it is still
 * there. */
ls_status lsi_track_hold(lsi_iterator *iterator, lsi_track *track);
/* Pairs with lsi_subscriber_cancel as lsi_iterator_next does with lsi_iterator_cancel (C3). */
void lsi_subscription_forget(lsi_iterator *iterator); /* Of one shard: the next look subscribes anew. */
bool lsi_subscriber_is_cancelled(const lsi_subscriber *subscriber);
/* A reader of the iterator, which may be no subscription's, was told TRIMMED. */
void lsi_count_cut(const lsi_iterator *iterator, const lsi_cut *cut);

/* ---- counts.c ---- */
void lsi_get_counts_open(lsi_iterator *iterator);
void lsi_get_counts_close(lsi_iterator *iterator);
/* Before a call's work, and after it; `began_us` is what the former answered. */
int64_t lsi_get_begins(lsi_iterator *iterator);
void lsi_get_ended(lsi_iterator *iterator, ls_status st, int64_t began_us);
/* The batch goes to the caller. */
void lsi_get_delivered(const lsi_iterator *iterator, const lsi_track *track, const lsi_read *read);

/* ---- merged.c: all functions are for merged iterators ---- */
/* Tracks for all shards of the stream, at `position`; owned by the caller. Who waits is not said yet. */
ls_status lsi_merged_tracks(lsi_iterator *iterator, const ls_position *position, lsi_track **out, uint32_t *count,
                            uint64_t *generation);
void lsi_merged_update_waiting(lsi_iterator *iterator); /* who waits, after tracks came or finished */
void lsi_merged_free(const lsi_iterator *iterator, lsi_track *tracks, uint32_t count);
lsi_track *lsi_merged_find(const lsi_iterator *iterator, uint32_t shard); /* NULL: it is not listed (any more) */
/* Compares the tracks with the stream's shards: new ones join, those that are no longer listed leave. TRIMMED: one that
 * left was not read to its end. */
ls_status lsi_merged_refresh(lsi_iterator *iterator);
/* Looks at every shard that may be read until one has something, which is delivered: `*found`. */
ls_status lsi_merged_look(lsi_iterator *iterator, uint32_t records_max, uint64_t bytes_max, bool *found);

/* ---- place.c ---- */
typedef struct lsi_place {
    bool is_merged;
    uint64_t stream_id;
    int64_t stream_created_us;
    lsi_track *tracks; /* shard, position and is_finished are set; owned by the caller */
    uint32_t track_count;
} lsi_place;
ls_status lsi_place_parse(const lsi_memory *memory, const char *text, lsi_place *out);

/* ---- event.c ---- */
/* The iterator found nothing (or moved): lowers the descriptor and watches from its place on. No descriptor:
 * nothing. */
void lsi_event_watch(lsi_iterator *iterator, bool has_moved);
void lsi_event_close(lsi_event *event); /* Accepts NULL. */

#endif
