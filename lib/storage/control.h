/* The control file: what the processes that share a store know of each other, in mapped memory. It is a cache, never
 * the truth (P10): deleted, stale or damaged it is made anew and the shards are recovered from their segments. What
 * outlives a reboot of it are the watermarks (R2), which are hints that can only prove damage.
 *
 * Layout: a header, a table of attached processes, then slots of 1 KiB: one per shard that was touched, one per stream.
 * The file only grows, is allocated before it is touched (E5) and is mapped once at a fixed size of address space, so a
 * pointer to a slot stays good while the store is open. Host byte order: it is for one machine and one boot.
 *
 * Liveness is the kernel's (P6): every open holds an OFD lock shared on byte 0, and exclusively its process table
 * entry's byte. Whoever finds himself alone on byte 0 may start over: the boot id says whether the ends are still true.
 */
#ifndef LSI_STORAGE_CONTROL_H
#define LSI_STORAGE_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock_guard.h"
#include "base/env.h"
#include "base/lock.h"

#define LSI_CONTROL_NAME "control"
#define LSI_CONTROL_LAYOUT 3u /* another number: LS_ERR_VERSION while somebody is alive, else made anew */
/* The same, of features. A lock is its libc's, and those of others would not even see that it is taken. */
#ifdef __GLIBC__
#define LSI_CONTROL_FEATURES 0u
#else
#define LSI_CONTROL_FEATURES 1u
#endif

/* A place known to be synced, valid if `sum` is right; two of them, written in turn, so one is always whole. */
typedef struct lsi_watermark {
    _Atomic uint64_t end;     /* position */
    _Atomic uint64_t segment; /* number of the segment `end` lies in */
    _Atomic uint64_t serial;  /* rises; the higher valid one counts */
    _Atomic uint64_t sum;     /* of the three and the slot's identity, by lsi_sum64 */
} lsi_watermark;

/* COUNTS: only `counts` is used; its `shard` is whatever who counts makes of it.
 * CONSUMER: a reader's part of a shard; its `stream` is an id of the reader that no stream has. LEASE: a group's lease
 * of a shard; its `shard` is the group's number in the upper 12 bits and the shard's index in the others. */
enum { LSI_SLOT_FREE = 0, LSI_SLOT_SHARD = 1, LSI_SLOT_STREAM = 2, LSI_SLOT_CONSUMER = 3, LSI_SLOT_LEASE = 4,
       LSI_SLOT_COUNTS = 5 };

/* `health` of a shard slot. FRESH: nothing here is true yet but the watermarks; recovery fills the rest. */
enum { LSI_SHARD_FRESH = 0, LSI_SHARD_HEALTHY, LSI_SHARD_FAILED, LSI_SHARD_DAMAGED };

/* `closed` of a shard slot. CLOSED: the log takes no more records, committed_end is its end for ever. CLOSING: it takes
 * none until somebody who can know says which of the two it is: its closing was under way, or its closer died. */
enum { LSI_LOG_OPEN = 0, LSI_LOG_CLOSED, LSI_LOG_CLOSING };

/* `roll_first` of a shard slot: why the last segment must not be appended to. */
#define LSI_ROLL_FIRST_NUMBERS 1u /* numbers may have been given that nobody knows of */
#define LSI_ROLL_FIRST_TORN 2u    /* and there are bytes beyond the end */
#define LSI_ROLL_FIRST_TERMS 4u   /* the stream's terms are others than the segment's. Set without append_lock too */

#define LSI_SLOT_BUDGET_WORDS 8
#define LSI_SLOT_LOAD_WORDS 8
#define LSI_SLOT_COUNT_WORDS 35
#define LSI_SLOT_KEEPER_WORDS 4 /* a bit for each entry of the process table */

typedef struct lsi_slot {
    /* Identity. Written under the store lock (and the slot's own, when it is used again after a deletion). */
    _Atomic uint32_t kind;
    _Atomic uint32_t shard;  /* LSI_SLOT_SHARD, _CONSUMER, _LEASE */
    _Atomic uint64_t stream; /* id; ids are never used again, so a holder of an old slot notices: 0 after deletion */
    _Atomic uint32_t epoch;  /* == header's attach_epoch: the ends were looked at since somebody was last alone */
    _Atomic uint32_t deleted;
    _Atomic uint32_t locks_epoch; /* == header's attach_epoch: its locks were made since somebody was last alone */
    _Atomic uint32_t use;    /* rises with each identity */
    _Atomic uint64_t keepers[LSI_SLOT_KEEPER_WORDS]; /* processes that keep pointers to it: see lsi_control_keep */
    _Alignas(64) lsi_lock append_lock; /* LSI_RANK_SHARD */
    /* LSI_SLOT_SHARD: what was appended where nobody waits for a sync (else it is counted when it is acknowledged), by
     * who has append_lock: records that were put alone, here where the line is his already; then those of batches, and
     * the bytes of keys and data of both. All are 0 in a new slot, and were in slots of releases without them. */
    _Atomic uint64_t put_alone;

    /* Where the log ends. Written under append_lock only; single words, so that a reader needs no lock. */
    _Alignas(64) _Atomic uint64_t committed_end; /* frames before it are whole in the kernel's cache */
    _Atomic uint64_t write_end;    /* end of the write under way; equal to committed_end when none is */
    _Atomic uint64_t next_seqno;
    _Atomic int64_t last_arrival_us;
    uint32_t freed_of;       /* of a slot that is free, under the store lock: the index + 1 of the stream's that it */
    uint32_t freed_use;      /* was a part of, 0 when there was none, and that one's `use` then */
    _Atomic uint64_t segment_base; /* position of the last segment's first frame */
    _Atomic uint64_t seqno_limit;  /* numbers below it are covered by the last segment's header (D4) */
    _Atomic uint32_t segment;      /* number of the last segment */
    _Atomic uint32_t health;
    _Alignas(64) _Atomic uint64_t allocated_end; /* the last segment's file is allocated up to here */
    _Atomic uint64_t zeroed_end;   /* ... and was written, with data or zeros, up to here */
    _Atomic uint64_t indexed_end;  /* the index has an entry for the frame at or before here */
    _Atomic uint32_t failed_errno; /* FAILED: what the sync said; else, not 0: one of recovery's failed */
    _Atomic uint32_t list_generation; /* rises with each replacement of the segment list or death in the lock */
    _Atomic uint32_t closed;       /* LSI_LOG_OPEN ... */
    _Atomic uint32_t torn_count;   /* torn tails found since this control file was made */
    _Atomic uint32_t roll_first;   /* LSI_ROLL_FIRST_ bits: the next append begins a new segment (R5, D4) */
    _Atomic uint64_t put_in_batches;
    _Atomic uint64_t put_bytes;

    /* Group commit. */
    _Alignas(64) lsi_lock sync_lock; /* LSI_RANK_SYNC: elects who syncs; correctness does not hang on it */
    _Alignas(64) _Atomic uint64_t durable_end; /* rises only */
    _Atomic uint32_t sync_word;    /* generation: followers sleep on it */
    _Atomic uint32_t sync_wanted;  /* 1: somebody sleeps on it */
    _Atomic uint32_t sync_arrived; /* who came to commit since the last sync began; a hint */
    _Atomic uint32_t sync_group;   /* how many the last sync served, and who came meanwhile; a hint */
    /* E1: what the last reset gave up, positions [from, to). While to > segment_base it is under way, or died or
     * failed. Written under append_lock; see lsi_slot_kept_end. */
    _Atomic uint64_t given_up_from; /* UINT64_MAX: not known yet */
    _Atomic uint64_t given_up_to;   /* 0: none was yet */
    /* LSI_SLOT_SHARD: 1 while a frame of a step lies between committed_end and write_end, of which it is not said yet,
     * or not known, whether it counts (step.c). Written under append_lock; named later, as `load`. */
    _Atomic uint32_t step;

    /* Readers (an eventcount; a killed waiter costs one needless wake). */
    _Alignas(64) _Atomic uint32_t wake_word;
    _Atomic uint32_t wake_wanted;
    _Atomic uint64_t put_more_units; /* beside put_bytes: payload units of records above their first one each */

    _Alignas(64) lsi_watermark watermark[2];

    /* LSI_SLOT_STREAM: `wake_word` is that of readers of all shards, and this is lsi_stream_info.generation. */
    _Alignas(64) _Atomic uint64_t generation;

    /* Upkeep. LSI_SLOT_SHARD: what its sealed segments take and hold, as of the last replacement of the list; they say
     * where to look, never what may go. Written under append_lock. */
    _Atomic uint64_t sealed_bytes;  /* plus 1; 0: not known */
    _Atomic int64_t oldest_us;      /* no record of the first of them arrived later; INT64_MAX: there is none */
    _Atomic uint32_t removed_below; /* files with lower numbers are known to be gone */
    /* LSI_SLOT_STREAM: `append_lock` is that of who does its upkeep (LSI_RANK_UPKEEP). */
    _Atomic uint32_t upkeep_wanted; /* 1: do not wait until it is due */
    _Atomic int64_t upkeep_due_us;  /* passing time */
    /* LSI_SLOT_SHARD: lsi_clock_offset_us() at the last put to a segment that is AHEAD (G5 of age.c); 0: not known.
     * Named later, as `load`. */
    _Atomic int64_t clock_offset_us;

    /* LSI_SLOT_SHARD, _CONSUMER, _LEASE: for the rooms above, which share them between processes; zero when the slot
     * is new. What they hold is nothing to storage. */
    _Alignas(64) _Atomic uint64_t budget[LSI_SLOT_BUDGET_WORDS];

    /* LSI_SLOT_SHARD, _STREAM: the same, written by who does the stream's upkeep. Bytes that were 0 in all slots before
     * they were named: the layout is no other. */
    _Alignas(64) _Atomic uint64_t load[LSI_SLOT_LOAD_WORDS];

    /* LSI_SLOT_STREAM, _CONSUMER: what trimming took from readers before they had read it, for the rooms above. Zero
     * when the slot is new; named later, as `load`. */
    _Alignas(64) _Atomic uint64_t cut_count;
    _Atomic uint64_t cut_records;
    _Atomic uint64_t cut_bytes;
    _Atomic uint64_t cut_ms;
    _Atomic int64_t cut_last_us;

    /* What is counted, for the rooms above: words that anybody adds to and storage never looks at. So who still adds
     * when the slot has become another's, long after a deletion, makes a number wrong and breaks nothing. Zero when the
     * slot is new; named later, as `load`. */
    _Atomic uint64_t counts[LSI_SLOT_COUNT_WORDS];
} lsi_slot;

/* Up to where all is durable and is kept. A reset raises durable_end over what it gives up, so that no sync that is
 * under way does, before the list says that readers step over that; until then they stop before it. The loads are in
 * this order: who sees durable_end raised sees why, and who sees segment_base behind it sees the new list. */
static inline uint64_t lsi_slot_kept_end(const lsi_slot *slot)
{
    uint64_t durable = atomic_load_explicit(&slot->durable_end, memory_order_seq_cst);
    uint64_t to = atomic_load_explicit(&slot->given_up_to, memory_order_acquire);

    if (durable > to || to <= atomic_load_explicit(&slot->segment_base, memory_order_acquire))
        return durable;
    uint64_t from = atomic_load_explicit(&slot->given_up_from, memory_order_acquire);
    return from < durable ? from : durable;
}
#define LSI_SLOT_BYTES 1024u
_Static_assert(sizeof(lsi_slot) <= LSI_SLOT_BYTES, "a slot fits its place");

typedef struct lsi_control lsi_control;

/* Opens, or makes, the control file of the store `store_id` beneath `root` and attaches this process.
 *
 * Alone (nobody else has the store open): a wrong magic, layout, store or boot id makes every slot FRESH (watermarks of
 * this store are kept when the slot's checksum allows it); in any case attach_epoch rises. Not alone: a wrong layout or
 * boot id is LS_ERR_VERSION. `read_only` where nothing may be written (E6): private memory stands in and
 * lsi_control_is_private() says so; `root` must then last as long as `*out`. `exclusive` in `*alone` tells whether
 * nobody else was attached at that moment. The open is serialised against others by an exclusive lock on byte 1, waited
 * for up to env->busy_timeout_ms. */
ls_status lsi_control_open(const lsi_env *env, const lsi_root *root, const unsigned char store_id[16], bool read_only,
                           lsi_control **out, bool *alone);
/* Of one that was opened to read and has given no slot yet: private memory stands in from here on, as above. After an
 * error it can only be closed. */
ls_status lsi_control_stand_in(lsi_control *control, const lsi_root *root, const unsigned char store_id[16]);
/* Detaches; syncs the file, so that the watermarks are on the disk. Never fails. In a fork child: frees memory only. */
void lsi_control_close(lsi_control *control);
bool lsi_control_is_private(const lsi_control *control);
/* Private: takes over into `slot`, of this control, what the file says of it now, if it can be read; else nothing.
 * True: the ends of a shard were taken over that nobody alive vouches for. */
bool lsi_control_mirror(lsi_control *control, lsi_slot *slot);
bool lsi_control_is_mine(const lsi_control *control); /* false in a fork child (P9) */
uint32_t lsi_control_epoch(const lsi_control *control); /* the same as long as it is open */
/* What lsi_control_is_mine looks at, for those who look at every put; lasts as long as `control`. */
const lsi_fork_mark *lsi_control_mark(const lsi_control *control);

/* The same lock on byte 1 by itself, also before there is a store id: for making a store, and for what only he may do
 * who is alone. While it is held nobody attaches; lsi_control_open waits for it. The file is
 * made when it is not there. */
typedef struct lsi_gate lsi_gate;
ls_status lsi_control_gate(const lsi_env *env, const lsi_root *root, lsi_gate **gate);
void lsi_control_gate_release(lsi_gate *gate); /* Accepts NULL. */
bool lsi_control_is_alone(const lsi_control *control); /* to be believed while the gate is held */

/* A stream's id claimed by whoever makes that stream, before any manifest names it, or removes what such a one left. By
 * a lock of an own open of the file, so it holds against other threads too, and ends with the process (P6). Takes the
 * first of [first, last] that nobody has; LS_ERR_BUSY: there is none. Does not wait. */
typedef struct lsi_claim {
    lsi_gate *gate;
    uint64_t id;
} lsi_claim;
ls_status lsi_control_claim(const lsi_env *env, const lsi_root *root, uint64_t first, uint64_t last, lsi_claim *out);
void lsi_control_claim_release(lsi_claim *claim); /* Accepts a zeroed one. */

/* The slot of a shard (LSI_SLOT_SHARD, _CONSUMER) or a stream (shard 0, LSI_SLOT_STREAM): found, or a free one taken,
 * growing the file under the store lock, which the caller does not hold. A new one is FRESH with zeroed words and
 * initialised locks. */
ls_status lsi_control_slot(lsi_control *control, uint32_t kind, uint64_t stream, uint32_t shard, lsi_slot **out);
/* The same. Locks: store lock held. */
ls_status lsi_control_slot_locked(lsi_control *control, uint32_t kind, uint64_t stream, uint32_t shard, lsi_slot **out);
/* The same, if there is one: `*out` NULL when there is none. Takes and makes nothing. */
ls_status lsi_control_slot_find(lsi_control *control, uint32_t kind, uint64_t stream, uint32_t shard, lsi_slot **out);
/* As lsi_control_slot, for those who keep the pointer: until it is let go, as often as it was kept, the slot is not
 * used for anything else, even when it was dropped. The same is true of all slots that are parts of a stream while the
 * stream's own is kept. Who keeps nothing may use a slot only as long as he has the store lock, or only to read words
 * of it that may be another's. Ends with the process. */
ls_status lsi_control_keep(lsi_control *control, uint32_t kind, uint64_t stream, uint32_t shard, lsi_slot **out);
void lsi_control_let_go(lsi_control *control, lsi_slot *slot);
/* Whether this is, at one moment, the slot's identity. Of one that is not kept. */
bool lsi_slot_is(const lsi_slot *slot, uint32_t kind, uint64_t stream, uint32_t shard);
/* Makes room for `count` slots in all, so that a disk that is full later stops no reader. Locks: store lock held. */
ls_status lsi_control_reserve(lsi_control *control, uint32_t count);
/* The stream is gone: marks its slots deleted, wakes everybody who sleeps on them, frees them for other streams, though
 * not before nobody keeps them any more: a kept slot never comes to mean another shard. `of`: the stream that they are
 * parts of, itself or that of a reader; 0: it is not known. Locks: store lock held. */
void lsi_control_drop_stream(lsi_control *control, uint64_t stream, uint64_t of);
/* The same for each shard of which `is_gone` says so. */
void lsi_control_drop_shards(lsi_control *control, bool (*is_gone)(void *user, uint64_t stream, uint32_t shard),
                             void *user);
/* Calls `each` for every used slot, until it answers false. For syncing all and for status. */
void lsi_control_each(lsi_control *control, bool (*each)(void *user, lsi_slot *slot), void *user);

/* The store lock (rank STORE): the manifest is replaced under it. LS_ERR_BUSY after env->busy_timeout_ms. After a death
 * inside it there is nothing to repair: files are replaced whole. */
ls_status lsi_control_lock(lsi_control *control);
bool lsi_control_try_lock(lsi_control *control); /* false: somebody has it */
void lsi_control_unlock(lsi_control *control);
/* The control file was made anew, and not for another boot: bytes that earlier processes left unsynced may lie in
 * shards whose slots say nothing of them. Until somebody has synced every shard. */
bool lsi_control_is_unsure(const lsi_control *control);
void lsi_control_is_sure(lsi_control *control);
/* Rises with each replacement of the manifest; read before using a cached one. Odd from `changing` to `changed`: a
 * replacement is under way, or died or failed, and the next one who has the lock writes the manifest once more. */
#define LSI_CONTROL_GENERATION_FIRST 2u /* none since the control file was made anew */
uint64_t lsi_control_manifest_generation(const lsi_control *control);
void lsi_control_manifest_changing(lsi_control *control); /* store lock held; before the file is replaced */
void lsi_control_manifest_changed(lsi_control *control);  /* store lock held; after it is durable */

/* Upkeep by those who open the store: when it is due, and the id of the stream that was looked at last. The
 * same for what killed processes left. */
typedef struct lsi_upkeep_words {
    _Atomic int64_t due_us; /* passing time */
    _Atomic uint64_t stream;
    _Atomic int64_t strays_due_us;
    _Atomic uint64_t strays_stream;
} lsi_upkeep_words;
lsi_upkeep_words *lsi_control_upkeep_words(lsi_control *control);

/* The guard of all processes' wall clock (E8), for retention. */
lsi_clock_guard *lsi_control_clock_guard(lsi_control *control);

/* Attached processes, for status. `alive` is the kernel's word. */
typedef struct lsi_attached {
    int32_t pid; /* as the process itself sees it: another PID namespace has other numbers */
    bool alive, read_only, is_this;
    int64_t attached_us;
} lsi_attached;
void lsi_control_each_process(lsi_control *control, bool (*each)(void *user, const lsi_attached *process), void *user);

/* This attached process in a number of LSI_PROCESS_TAG_BITS bits, for words in which it says that it has something. 0:
 * it is not in the table of processes, and nobody will know when it is gone. Words of the control file itself are of
 * the same table, and do with the low LSI_PROCESS_TAG_SHORT_BITS; what is on the disk may be of a table before this
 * one, in which who was there had the same low bits by chance. */
#define LSI_PROCESS_TAG_BITS 41u
#define LSI_PROCESS_TAG_SHORT_BITS 21u
#define LSI_PROCESS_PLACE_BITS 9u /* the lowest: the place in the table; 0: none */
uint64_t lsi_control_process_tag(const lsi_control *control);
/* True: the process that this was the tag of, or its low `bits`, has detached or died. The word may hold anything. */
bool lsi_control_is_gone(lsi_control *control, uint64_t tag, unsigned bits);

/* The eventcount of a slot. */
uint32_t lsi_slot_arm(lsi_slot *slot);
lsi_sleep_result lsi_slot_sleep(lsi_slot *slot, uint32_t token, int64_t timeout_us);
void lsi_slot_wake_armed(lsi_slot *slot);
/* After publishing: wakes whoever sleeps on a shard or on its stream (NULL: there is none). Costs a fence and two loads
 * when nobody armed. The fence pairs with that of lsi_slot_arm: without it the loads could pass the publishing store,
 * and a reader who armed in between would sleep on. */
static inline void lsi_slots_wake(lsi_slot *shard, lsi_slot *stream)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&shard->wake_wanted, memory_order_relaxed) != 0)
        lsi_slot_wake_armed(shard);
    if (stream != NULL && atomic_load_explicit(&stream->wake_wanted, memory_order_relaxed) != 0)
        lsi_slot_wake_armed(stream);
}

/* Ends the sleeps on a slot if something that is waited for there has changed since the last call, or `more` has: he
 * who changed it may have been killed before he woke. `*seen` is the caller's, for the next call; 0 at first. */
void lsi_slot_rouse(lsi_slot *slot, uint64_t more, uint64_t *seen);
bool lsi_slot_wake_one(lsi_slot *slot); /* of those who sleep, if there are any: he finds nothing new */

/* How a closing ended: makes CLOSING what it is now, and wakes who sleeps on the slot. Locks: what decided it, held. */
void lsi_slot_closing_ended(lsi_slot *slot, bool is_closed);

/* Watermarks (R2). Noting one may lag behind the sync it follows and never leads it. */
void lsi_watermark_note(lsi_slot *slot, uint32_t segment, uint64_t end);
/* The highest valid one; false: none. */
bool lsi_watermark_read(const lsi_slot *slot, uint32_t *segment, uint64_t *end);

#endif
