/* The inside of a producer: its files share it. */
#ifndef LSI_PRODUCE_PRODUCER_H
#define LSI_PRODUCE_PRODUCER_H

#include "metrics/metrics.h"
#include "produce/produce.h"

/* What a batch is taken apart in (batch.c). It grows to the largest batch and stays. */
typedef struct lsi_put_part {
    uint32_t shard;
    uint32_t begin; /* in picks */
    uint32_t count;
    uint32_t accepted;
    uint32_t refused; /* the last so many are not to be appended ... */
    ls_status refused_status; /* ... and are told this */
    ls_seqno first_seqno;
    uint64_t end;
    ls_status status; /* of the records that were not accepted and not refused; once committed, of all but the latter */
    bool moved;
} lsi_put_part;

typedef struct lsi_batch_room {
    uint32_t *pending;  /* indexes of the records to place in this round, ascending */
    uint32_t *shards;   /* by record: where it goes */
    uint32_t *picks;    /* the same indexes, sorted by shard */
    lsi_put_part *parts;
    size_t pending_capacity, shards_capacity, picks_capacity, parts_capacity;
    /* Of a numbered batch: */
    const ls_put_options *options; /* NULL: it is not */
    ls_put_result *told;           /* by record: what the engine says of it; EXISTS: it was put before */
    uint32_t *sub_seqnos, *sub_counts; /* NULL, or with `told`, as of lsi_numbered: somebody else's */
    uint32_t *fresh;               /* of the part under way: records that are to be written, or were */
    size_t told_capacity, fresh_capacity;
} lsi_batch_room;

struct lsi_producer {
    lsi_engine_stream *stream;
    const lsi_engine_ops *ops;
    const lsi_env *env;
    lsi_appender *appender;
    ls_durability durability; /* the store's */

    /* What is known of the stream, as of `generation`. */
    bool is_routed; /* there is a table */
    uint64_t generation;
    uint64_t stream_id;
    uint32_t record_bytes_max;
    bool is_limited; /* lsi_put_admit is to be asked before a shard is given something */
    bool is_provisioned;
    bool has_faults;
    uint64_t fate; /* faults.c's */
    lsi_rates rates;
    char name[LSI_STREAM_NAME_MAX + 1];
    lsi_route route;
    ls_hash_key *firsts; /* [route.count], the table's own */
    uint32_t *indexes;   /* [route.count], the table's own */
    uint32_t shard_limit; /* above every shard's index */

    uint64_t *ends;   /* [shard_limit]: what is appended and not known to be synced ends there; 0: nothing is */
    uint32_t *counts; /* [shard_limit]: batch.c's; all 0 between batches */
    lsi_batch_room batch;
    /* counts.c's. NULL: nobody can be told. */
    lsi_engine_count *call_counts;               /* LSI_COUNTS_STREAM */
    lsi_engine_count *times[LSI_COUNTS_SYNCS];   /* LSI_COUNTS_PUT_TIMES */
    int32_t until_measured; /* so many records more, then a call is measured */
    int32_t measured_every;
    bool is_measured;       /* the call under way */
    int64_t began_us;       /* if it is */
    uint64_t repeats;       /* ls_producer_repeats */
    struct lsi_known_key *known_keys; /* key_cache.c's; NULL: no key was hashed alone yet */
};

/* key_cache.c: lsi_hash_partition_key(), remembered. */
ls_hash_key lsi_key_hash(lsi_producer *producer, ls_bytes key);

/* Takes the stream's shards and settings anew if they changed; else costs one load. After a failure the old table, if
 * there was one, is still there. */
ls_status lsi_route_rebuild(lsi_producer *producer);
static inline ls_status lsi_route_refresh(lsi_producer *producer)
{
    if (producer->is_routed && producer->ops->generation(producer->stream) == producer->generation)
        return LS_OK;
    return lsi_route_rebuild(producer);
}

/* The shard that takes a record. One open shard owns every key, so nothing is hashed. */
static inline uint32_t lsi_route_of(lsi_producer *producer, ls_bytes key, const ls_hash_key *explicit_key)
{
    if (producer->route.count == 1)
        return producer->route.shards[0];
    return lsi_route_find(&producer->route, explicit_key != NULL ? *explicit_key : lsi_key_hash(producer, key));
}

/* An append found its shard closed: waits until the stream shows other shards than `generation` had. `*deadline_us` is
 * monotonic, 0 before the first wait; LS_ERR_BUSY when it is over. */
ls_status lsi_route_wait(lsi_producer *producer, uint64_t generation, uint32_t shard, int64_t *deadline_us);

/* batch.c. Room for `count` records; then their parts, of pending[0..count-1], from parts[first] on, which take `picks`
 * from `pick_at` on. */
bool lsi_batch_make_room(lsi_producer *producer, size_t count);
uint32_t lsi_batch_group(lsi_producer *producer, const ls_put_entry *entries, uint32_t count, uint32_t pick_at,
                         uint32_t first);
/* Appends a part, but for what was refused; its status, `accepted` and `moved` say what became of it. */
void lsi_batch_append(lsi_producer *producer, const ls_put_entry *entries, lsi_put_part *part, bool atomic);
/* Waits for what was accepted of a part. Failing, nothing of it was, as far as one knows. */
void lsi_batch_commit(lsi_producer *producer, const ls_put_entry *entries, lsi_put_part *part,
                      ls_durability durability);

/* faults.c: for producers of a store with faults. */
void lsi_fate_begin(lsi_producer *producer);
void lsi_fate_delay(const lsi_producer *producer); /* once per call */
/* How many of `count` records, from the first on, are spared; `*st`: what the others are told. All or none of them
 * unless they may be divided. */
uint32_t lsi_fate_of(lsi_producer *producer, uint32_t shard, uint32_t count, bool is_divisible, ls_status *st);

/* throttle.c: for producers that are limited. May `records` records of `bytes` bytes go to the shard together? LS_OK:
 * yes, and its budget is the less for it. THROTTLED, or what a fault says: no. */
ls_status lsi_put_admit(lsi_producer *producer, uint32_t shard, uint32_t records, uint64_t bytes);
/* The same for each record of a part, whose own `picks` are, from the first on; sets `refused`. */
void lsi_put_admit_part(lsi_producer *producer, const ls_put_entry *entries, const uint32_t *picks, lsi_put_part *part);

/* ---- numbered.c: parts of a numbered batch, whose options are in the batch's room ---- */

bool lsi_numbered_make_room(lsi_producer *producer, size_t count);
/* `picks`: the part's own; NULL: as of lsi_append. As an append: sets `status`, `moved`, `accepted`, all or nothing,
 * and `end`; what a limit or its age refuses is told in `told`, and `refused_status` is that of one of them. */
void lsi_numbered_append(lsi_producer *producer, const ls_put_entry *entries, const uint32_t *picks, lsi_put_part *part,
                         bool atomic);
/* The engine took the part, and `told` is good: sets `accepted` and `refused_status`. */
void lsi_numbered_accept(const lsi_producer *producer, const uint32_t *picks, lsi_put_part *part);
/* It is as durable as was asked: the records that were put now, and those that had been, are counted. The latter alone
 * by the other one. */
void lsi_numbered_count_repeats(lsi_producer *producer, const uint32_t *picks, const lsi_put_part *part);
void lsi_numbered_stored(lsi_producer *producer, const ls_put_entry *entries, const uint32_t *picks,
                         const lsi_put_part *part);
/* Tells each record what became of it; returns how many were not stored. */
size_t lsi_numbered_tell(const lsi_producer *producer, const uint32_t *picks, const lsi_put_part *part,
                         ls_put_result *results);

/* ---- counts.c ---- */

void lsi_put_counts_open(lsi_producer *producer);
void lsi_put_measure(lsi_producer *producer);
/* The beginning of a call that puts so many records: of some its time is taken. */
static inline void lsi_put_begins(lsi_producer *producer, uint32_t records)
{
    producer->until_measured -= (int32_t)records;
    if (__builtin_expect(producer->until_measured <= 0, 0))
        lsi_put_measure(producer);
}
/* Of a single put that is measured, each of a store whose mode is SYNC among them, or that failed. `shard`: where it is
 * stored. */
void lsi_put_ended(lsi_producer *producer, const ls_put_entry *entry, uint32_t shard, ls_status st);
/* The same of each numbered one, whose record is counted elsewhere, if it wrote one. */
void lsi_put_numbered_ended(lsi_producer *producer, ls_status st, bool is_repeat);
/* Of every batch: it stored `stored` of `count` records. `st`: of what was not. */
void lsi_batch_ended(lsi_producer *producer, size_t stored, size_t count, ls_status st);
void lsi_put_repeated(const lsi_producer *producer, uint32_t shard, uint32_t records); /* that had been put before */
/* Records that a limit refused. */
void lsi_put_over(const lsi_producer *producer, uint32_t shard, const char *limit, uint32_t records);
/* Acknowledged after a sync of their own, or by a step: entries[0..count-1], or those of `picks`. */
void lsi_put_synced(const lsi_producer *producer, uint32_t shard, const ls_put_entry *entries, const uint32_t *picks,
                    uint32_t count);

/* What commit() is asked for, and whether everything is on the device after it. */
static inline ls_durability lsi_put_durability(const lsi_producer *producer, ls_durability asked)
{
    return asked > producer->durability ? asked : LS_DURABILITY_DEFAULT;
}

/* Appends and waits as asked, noting for flush what a power loss could take. */
ls_status lsi_put_commit(lsi_producer *producer, uint32_t shard, uint64_t end, ls_durability asked);

#endif
