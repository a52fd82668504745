/* The inside of an asynchronous producer: its files share it.
 *
 *     put.c       any thread: checks a record, copies it into the room, appends it to the inbox
 *     room.c      the memory of records that have no outcome yet
 *     life.c      open and close
 *     turn.c      the thread: takes the inbox, sorts it into lanes, sends what is due, sleeps until the next is
 *     lanes.c     a queue per shard; which of them are due, and what is too old
 *     gather.c    what goes of them in one batch, record by record or many in one
 *     packed.c    numbered records on their way into aggregates
 *     send.c      the batch: appended, waited for, and settled record by record
 *     outcome.c   tells what became of records, and remembers it for those who ask
 *     counts.c    what metrics show of it
 *     wait.c      any thread: flush, wait for a ticket, cancel, close
 *
 * What a record goes through:
 *
 *     put -> inbox -> arrivals -> lane -> told, its memory given back
 *             lock     thread     ^  |
 *                                 +--+  not stored: it stays in front (send.c); other shards: sorted anew (lanes.c)
 *
 * A1 A lane holds records in rising order of tickets, and what is sent of it is what stands in front. So is each key's
 *    order: a key has one lane at a time.
 * A2 A record leaves its lane when it is told, and only then; a record that is in none is in the inbox or in arrivals.
 * A3 No lock is held while a callback runs.
 * A4 Every ticket below `settled_below` was told, and its callback has returned. */
#ifndef LSI_PRODUCE_ASYNC_ASYNC_H
#define LSI_PRODUCE_ASYNC_ASYNC_H

#include "base/status.h"
#include "base/thread.h"
#include "produce/producer.h"

/* ---- room.c ---- */

#define LSI_ASYNC_CHUNK_BYTES (128u << 10)

/* Records lie one after another in chunks, which are freed or used again when the last of them was told. */
typedef struct lsi_async_chunk {
    struct lsi_async_chunk *next; /* free ones; or those of which the thread told some in this turn */
    uint32_t slot;
    uint32_t size, used; /* of `bytes` */
    uint32_t live;       /* records in it that the thread has not given back */
    uint32_t told;       /* the thread's: to be given back at the end of this turn */
    _Alignas(uint64_t) unsigned char bytes[];
} lsi_async_chunk;
_Static_assert(offsetof(lsi_async_chunk, bytes) == sizeof(lsi_async_chunk), "records are aligned, and nothing is lost");

typedef struct lsi_async_record {
    struct lsi_async_record *next;
    /* In a lane: one that comes some records later, or did once. To be fetched into the processor's cache meanwhile,
     * and never to be looked at: it may be gone. */
    const void *ahead;
    lsi_async_chunk *chunk;
    void *tag;
    uint64_t ticket;
    uint64_t number; /* under which it was tried last, if puts are numbered */
    int64_t put_us;
    uint32_t data_bytes;
    uint32_t key_bytes : 12;
    uint32_t has_hash : 1; /* behind the record: an explicit hash key, the key, the data */
    uint32_t is_unknown : 1; /* a try of it may have stored it */
    uint32_t attempts : 18;
} lsi_async_record;
_Static_assert(sizeof(lsi_async_record) == 64, "as async_producer.h says");
#define LSI_ASYNC_ATTEMPTS_MAX ((1u << 18) - 1u)

typedef struct lsi_async_list {
    lsi_async_record *first, *last;
} lsi_async_list;

/* Locks: the producer's, for all of it. */
typedef struct lsi_async_room {
    const lsi_memory *memory;
    /* Each chunk there is, set and cleared by one store: a fork child finds them here, whoever held the lock. */
    lsi_async_chunk *_Atomic *slots;
    uint32_t slot_count, slot_next;
    lsi_async_chunk *current, *free;
    uint32_t free_count;
    uint64_t bytes, bytes_max; /* of all chunks */
} lsi_async_room;

ls_status lsi_async_room_open(lsi_async_room *room, const lsi_memory *memory, uint64_t bytes_max);
void lsi_async_room_close(lsi_async_room *room);
/* Whether `bytes` of a record ever fit. */
bool lsi_async_room_fits(const lsi_async_room *room, uint64_t bytes);
/* Room for `bytes`, a multiple of 8 that fits. `*out` NULL with LS_OK: there is none now. NO_MEMORY. */
ls_status lsi_async_room_take(lsi_async_room *room, uint32_t bytes, lsi_async_chunk **chunk, void **out);
/* The records that were told of these chunks are gone. */
void lsi_async_room_give_back(lsi_async_room *room, lsi_async_chunk *told);
/* Nothing waits to be sent: most of what is free goes back to the allocator. */
void lsi_async_room_shrink(lsi_async_room *room);

/* ---- lanes.c ---- */

#define LSI_ASYNC_AHEAD 8u /* records: to fetch one takes as long as to work on so many; a power of two */

typedef struct lsi_async_lane {
    lsi_async_list records;
    lsi_async_record *recent[LSI_ASYNC_AHEAD]; /* the last ones that came, from `recent_at` on */
    uint32_t recent_at;
    uint64_t bytes; /* of keys and data */
    uint32_t count;
    uint32_t failures;     /* tries in a row that stored nothing */
    int64_t not_before_us; /* the pause after the last one; 0: none */
    ls_status last;        /* what the last one said */
    /* Of the call under way: */
    uint32_t appended;       /* so many of its records are in the log, and perhaps not synced */
    ls_status append_status;
    uint32_t retry_after_ms; /* what a limit said */
    uint32_t packed_begin, packed_count; /* packed.c's: what of packing.entries was written */
} lsi_async_lane;

/* Records on their way into aggregates. */
typedef struct lsi_async_packing {
    lsi_pack *pack;         /* NULL: each record goes alone */
    uint32_t *users;        /* by entry, below where puts are numbered: how many records it is of */
    unsigned char **blocks; /* [block_count]: the data of an aggregate each, settings.aggregate_bytes_max */
    size_t user_capacity, block_capacity;
    uint32_t block_count;
    /* Where puts are numbered, as `entries` of the call are the records by themselves: */
    ls_put_entry *entries; /* what is put for them */
    uint64_t *numbers;     /* of the part under way, of those that are new */
    size_t entry_capacity, number_capacity;
} lsi_async_packing;

/* What a turn adds to the words of the stream that all asynchronous producers of it share. */
typedef struct lsi_async_tally {
    uint64_t counts[LSI_ASYNC_COUNTS]; /* LSI_ASYNC_RECORDS ..., produce.h */
    int64_t sample_us; /* how long one of the records took that were told; -1: none was */
} lsi_async_tally;

#define LSI_ASYNC_TOLD_AT_ONCE 64u

struct lsi_async {
    lsi_async_settings settings;
    const lsi_env *env;
    lsi_producer *producer; /* the thread's */
    lsi_thread thread;
    _Atomic bool is_at_work; /* the thread may be changing what only it uses: a fork child leaves that alone */
    _Atomic bool is_cancelled; /* since the turn began: it waits for no lock any more */
    _Atomic uint32_t record_bytes_max; /* the stream's, as far as the thread knows */

    /* ---- any thread: under `lock` (LSI_RANK_LOCAL) ---- */
    lsi_lock lock;
    lsi_async_room room;
    lsi_async_list inbox;
    uint32_t inbox_records;
    uint64_t inbox_bytes;
    uint64_t issued;        /* the last ticket */
    uint64_t told;          /* how many records have had their outcome */
    uint64_t settled_below; /* A4 */
    uint64_t flush_until, cancel_until; /* tickets up to here are to be sent at once, are given up */
    bool is_closing, is_ending;
    uint32_t waiting;        /* threads that sleep on `progress` */
    /* When the thread has to be woken: as it said when it went to sleep. */
    uint64_t wake_bytes;
    uint32_t wake_records;
    int64_t asleep_until_us; /* 0: it is not asleep */
    uint32_t wanted_seen;    /* `wanted`, when it found nothing more to do */
    _Atomic uint32_t wanted;   /* the thread sleeps on it */
    _Atomic uint32_t progress; /* the others */

    /* ---- the thread's ---- */
    lsi_async_list arrivals; /* not in a lane yet */
    lsi_async_lane *lanes;   /* [lane_limit], by shard */
    uint32_t lane_limit;
    uint64_t lanes_generation;
    uint32_t arrival_count;
    uint64_t arrival_bytes;
    int64_t sort_not_before_us; /* 0: whenever something arrives */
    uint64_t taken;      /* the last ticket that left the inbox */
    uint64_t send_until; /* flush_until, as it was at the beginning of the turn; closing: all */
    uint32_t lane_first; /* where the next call begins to look for lanes, so that each has its turn */
    ls_put_entry *entries;
    size_t entry_capacity;
    lsi_async_packing packing;
    ls_put_options numbered; /* of each call, when puts are; by entry: */
    uint64_t *numbers;
    uint32_t *sub_seqnos, *sub_counts; /* by entry: its place in an aggregate, once it is told */
    uint64_t last_number; /* that was given */
    size_t number_capacity, sub_seqno_capacity, sub_count_capacity;
    uint32_t picks_count; /* of producer->batch.picks: each is its own index */
    lsi_async_chunk *told_chunks;
    uint64_t told_in_turn;
    lsi_engine_count *words; /* NULL: nobody can be told */
    lsi_async_tally tally;
    ls_async_outcome outcomes[LSI_ASYNC_TOLD_AT_ONCE];
    uint32_t outcome_count;
    lsi_error_state why; /* the last failure */

    /* ---- outcome.c: under `kept_lock` (LSI_RANK_LOCAL) ---- */
    lsi_lock kept_lock;
    ls_async_outcome *kept; /* [settings.outcomes_kept], by ticket; NULL: none is kept */
};

static inline void lsi_async_list_add(lsi_async_list *list, lsi_async_record *record)
{
    record->next = NULL;
    if (list->first == NULL)
        list->first = record;
    else
        list->last->next = record;
    list->last = record;
}

static inline uint64_t lsi_async_record_bytes(const lsi_async_record *record)
{
    return (uint64_t)record->key_bytes + record->data_bytes;
}

static inline ls_put_entry lsi_async_record_entry(const lsi_async_record *record)
{
    const unsigned char *at = (const unsigned char *)(record + 1);
    const ls_hash_key *hash = record->has_hash ? (const ls_hash_key *)(const void *)at : NULL;
    const unsigned char *key = at + (record->has_hash ? sizeof *hash : 0);

    return (ls_put_entry){{key, record->key_bytes}, {key + record->key_bytes, record->data_bytes}, hash};
}

/* The record that an entry was made of. */
static inline lsi_async_record *lsi_async_record_of(const ls_put_entry *entry)
{
    const unsigned char *at = entry->explicit_hash_key != NULL ? (const unsigned char *)entry->explicit_hash_key
                                                               : entry->partition_key.data;

    return (lsi_async_record *)((uintptr_t)at - sizeof(lsi_async_record));
}

/* Puts what arrived into lanes, and what is in lanes into others when the stream has other shards now. What there is no
 * memory to sort stays in `arrivals` for a while. */
void lsi_async_lanes_sort(lsi_async *async, int64_t now_us);
/* Settles and drops what was cancelled, and what is too old. */
void lsi_async_lanes_drop(lsi_async *async, uint64_t cancel_until, int64_t now_us);
/* When the lane is to be sent; INT64_MAX: it is empty. */
int64_t lsi_async_lane_send_at(const lsi_async *async, const lsi_async_lane *lane);
/* When a turn has something to do, new puts apart; INT64_MAX: it never has. Sets `wake_records` and `wake_bytes`: with
 * so much more some lane may be full. */
int64_t lsi_async_lanes_due(const lsi_async *async, uint32_t *wake_records, uint64_t *wake_bytes);
/* The lowest ticket that is not settled, of those that left the inbox. */
uint64_t lsi_async_lanes_oldest(const lsi_async *async);
/* The lane's first `count` records, of so many bytes, leave it; `last` is the last of them. */
void lsi_async_lane_pop(lsi_async_lane *lane, const lsi_async_record *last, uint32_t count, uint64_t bytes);
/* Gives up the lane's first record. */
void lsi_async_lane_drop(lsi_async *async, lsi_async_lane *lane, uint32_t shard, ls_status st);
/* A try stored nothing of the lane, or not all: it said `st`. */
void lsi_async_lane_pause(const lsi_async *async, lsi_async_lane *lane, ls_status st, int64_t now_us);

/* ---- gather.c ---- */

/* A batch, in producer->batch.parts and async->entries. */
typedef struct lsi_async_call {
    lsi_async *async;
    uint32_t part_count;
    uint32_t count;  /* of entries */
    uint32_t packed_count; /* of packing.entries */
    uint32_t blocks; /* that are used */
    uint64_t bytes;
    int64_t now_us;
} lsi_async_call;

bool lsi_async_gather_open(lsi_async *async); /* false: no memory for small batches */
void lsi_async_gather_close(lsi_async *async);
/* What is due, of each lane that has some; what the stream no longer takes is settled. */
void lsi_async_gather(lsi_async_call *call);
/* Adds one to the pack, if it fits; then, of how many records in the pack the entry is that was their first: its data
 * are all of them, or where that cannot be it is as it was, and 1. */
bool lsi_async_pack_add(lsi_async *async, const ls_put_entry *entry);
uint32_t lsi_async_pack_finish(lsi_async_call *call, uint32_t count, ls_put_entry *entry);
static inline bool lsi_async_is_packed(const lsi_async *async)
{
    return async->settings.is_idempotent && async->packing.pack != NULL;
}

/* ---- packed.c: as lsi_batch_append, of a part that is to go in aggregates, and lsi_batch_commit ---- */

void lsi_async_packed_append(lsi_async_call *of, lsi_put_part *part);
void lsi_async_packed_commit(lsi_async_call *of, lsi_put_part *part);

/* ---- send.c ---- */

/* Sends lanes that are due, one batch; true: it found some. */
bool lsi_async_send(lsi_async *async, int64_t now_us);

/* ---- outcome.c ---- */

ls_status lsi_async_outcomes_open(lsi_async *async);
/* What became of a record that leaves its lane: where and how, the rest is the record's. It is told at the next
 * lsi_async_tell(), at the latest. */
void lsi_async_settle(lsi_async *async, const lsi_async_record *record, ls_async_outcome *outcome);
void lsi_async_tell(lsi_async *async);
/* Whether the calling thread is the producer's, in a callback. */
bool lsi_async_is_telling(const lsi_async *async);

/* ---- counts.c ---- */

void lsi_async_counts_open(lsi_async *async);
void lsi_async_count_outcome(lsi_async *async, const lsi_async_record *record, const ls_async_outcome *outcome);
void lsi_async_counts_add(lsi_async *async); /* the turn's */
static inline void lsi_async_count(lsi_async *async, uint32_t which, uint64_t n)
{
    async->tally.counts[which - LSI_ASYNC_RECORDS] += n;
}

/* ---- turn.c ---- */

/* One turn of the thread: when the next is due, by the monotonic clock; 0: at once. For tests, without the thread. */
int64_t lsi_async_turn(lsi_async *async);
void lsi_async_run(void *async); /* the thread */
/* Wakes the thread: both, one after the other. Locks: async->lock held for the first. */
static inline void lsi_async_want(lsi_async *async)
{
    async->asleep_until_us = 0; /* Nobody else needs to wake it. */
    atomic_fetch_add_explicit(&async->wanted, 1, memory_order_release); /* Pairs with lsi_word_sleep. */
}
static inline void lsi_async_wake(lsi_async *async)
{
    lsi_word_wake_all(&async->wanted);
}
/* `timeout_ms` as callers give it, from now on. */
int64_t lsi_async_until(int64_t now_us, int64_t timeout_ms);
/* Sleeps until the thread says that there was progress, or until then. Locks: async->lock held, and given up while it
 * sleeps. False: the time is over. */
bool lsi_async_wait_for_progress(lsi_async *async, int64_t until_us);

#endif
