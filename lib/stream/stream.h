/* What a stream is: pure rules. No files, no clock reads, no threads; time comes in as an argument. The room's door. */
#ifndef LSI_STREAM_STREAM_H
#define LSI_STREAM_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <libstream/status.h>
#include <libstream/types.h>

#include "base/alloc.h"

/* ---- limits.c: every number of design.md section 2, in one place ---- */
#define LSI_STREAM_NAME_MAX 128u
#define LSI_KEY_CODE_POINTS_MAX 256u
#define LSI_KEY_BYTES_MAX (LSI_KEY_CODE_POINTS_MAX * 4u)
#define LSI_RECORD_BYTES_MIN_LIMIT 1024u        /* least `record_bytes_max` of a stream */
#define LSI_RECORD_BYTES_DEFAULT (1u << 20)
#define LSI_RECORD_BYTES_MAX_LIMIT (10u << 20)
#define LSI_BATCH_RECORDS_MAX 65536u
#define LSI_BATCH_BYTES_MAX (64u << 20)
#define LSI_ATOMIC_BATCH_BYTES_MAX ((16u << 20) - 4096u) /* a frame is 16 MiB with its header */
#define LSI_SHARD_COUNT_MAX 65536u           /* open ones */
#define LSI_SHARD_INDEX_END (UINT32_C(1) << 20) /* what is looked up by index is an array, which this makes some MiB */
#define LSI_RETENTION_HOURS_DEFAULT 24u
#define LSI_RETENTION_HOURS_MAX 8760u

#define LSI_RETENTION_HOURS_MIN 1u
#define LSI_CONSUMERS_MAX 20u /* of a stream */
#define LSI_TAGS_MAX 50u
#define LSI_TAGS_ADDED_MAX 200u
#define LSI_TAG_KEYS_REMOVED_MAX 50u
#define LSI_TAG_KEY_CODE_POINTS_MAX 128u
#define LSI_TAG_VALUE_CODE_POINTS_MAX 256u

/* Each returns LS_OK or fails with one line that names the thing. */
ls_status lsi_check_partition_key(ls_bytes key);
bool lsi_partition_key_is_valid(ls_bytes key); /* the same rule; what is not valid UTF-8 counts as too long */
ls_status lsi_check_record(ls_bytes key, ls_bytes data, uint32_t record_bytes_max); /* the key's rule, then the sum */

/* What an increase (`up`) or decrease of retention may ask for. The same as before is accepted. */
ls_status lsi_check_retention_change(const char *stream, uint32_t present_hours, uint32_t hours, bool up);

/* ---- tags.c ---- */
ls_status lsi_check_tag_key(const char *key); /* 1..128 characters; not beginning with "aws:" */
ls_status lsi_check_tag_value(const char *value); /* NULL or 0..256 characters */
/* A stream's tags, rising by key as bytes, no two keys equal. */
typedef struct lsi_tags {
    uint32_t count;
    uint32_t bytes; /* of `text` */
    char *text;     /* key, 0, value, 0 and so on; the owner's (lsi_free). NULL: none */
} lsi_tags;
/* The tags of `from` with others added, which replace equal keys, or without `keys`. `*out` is the caller's.
 * INVALID_ARGUMENT names the tag that breaks a rule, or says that there would be too many. */
ls_status lsi_tags_add(const lsi_memory *memory, const lsi_tags *from, const ls_tag *tags, uint32_t count,
                       lsi_tags *out);
ls_status lsi_tags_remove(const lsi_memory *memory, const lsi_tags *from, const char *const *keys, uint32_t count,
                          lsi_tags *out);
/* The tag at `*at`, which begins as NULL and moves on: views. False: there are no more. */
bool lsi_tags_next(const lsi_tags *tags, const char **at, ls_tag *out);

/* ---- name.c ---- */
ls_status lsi_check_stream_name(const char *name); /* [a-zA-Z0-9_.-]{1,128}; NULL is refused */
ls_status lsi_check_consumer_name(const char *name); /* the same */
ls_status lsi_check_mapping_name(const char *name);  /* the same */
ls_status lsi_check_alert_name(const char *name);    /* the same */
ls_status lsi_check_delivery_name(const char *name); /* the same */
ls_status lsi_check_group_name(const char *name);    /* the same */
ls_status lsi_check_window_name(const char *name);   /* the same */
#define LSI_SHARD_ID_BYTES 24
void lsi_shard_id_format(uint32_t shard, char text[LSI_SHARD_ID_BYTES]); /* shardId-000000000005 */
/* Lenient as the service: what follows the first '-' (or all of it), digits, at most 2147483647. */
ls_status lsi_shard_id_parse(const char *text, uint32_t *out);

/* The name by which programs written for Kinesis know a stream, where no other region or account is asked for. */
#define LSI_STREAM_REGION "us-east-1"
#define LSI_STREAM_ARN_PREFIX "arn:aws:kinesis:" LSI_STREAM_REGION ":000000000000:stream/"
#define LSI_STREAM_ROLE_ARN "arn:aws:iam::000000000000:role/libstream" /* who its functions are called by */
#define LSI_STREAM_ARN_BYTES (sizeof(LSI_STREAM_ARN_PREFIX) + LSI_STREAM_NAME_MAX)
void lsi_stream_arn(const char *name, char text[LSI_STREAM_ARN_BYTES]); /* of a stream that there is */

/* ---- seqno.c: Kinesis's 56-digit text, both ways without a table ---- */
#define LSI_SEQNO56_BYTES 57
typedef struct lsi_seqno56 {
    ls_seqno counter;        /* 0 (start of shard) .. LS_SEQNO_END (end of a closed one) */
    uint32_t shard;
    int64_t created_seconds; /* of the shard */
    int64_t record_seconds;
} lsi_seqno56;
void lsi_seqno56_format(const lsi_seqno56 *from, char text[LSI_SEQNO56_BYTES]);
ls_status lsi_seqno56_parse(const char *text, lsi_seqno56 *out); /* INVALID_ARGUMENT: not of this form */

/* ---- hash_range.c ---- */
typedef struct lsi_hash_range {
    ls_hash_key first; /* inclusive */
    ls_hash_key last;  /* inclusive */
} lsi_hash_range;
/* Shard `index` of `count` equal ones: width floor(2^128 / count), the last one reaches 2^128-1. */
lsi_hash_range lsi_hash_range_of(uint32_t index, uint32_t count);
/* Where the upper half begins; of an odd number of keys the lower half has one more. */
ls_hash_key lsi_hash_range_middle(lsi_hash_range range);
bool lsi_hash_range_contains(lsi_hash_range range, ls_hash_key key);

/* ---- lineage.c: the shards of a stream and which of them takes a key ---- */
#define LSI_NO_SHARD UINT32_MAX
typedef struct lsi_shard {
    uint32_t index;
    uint32_t parent;          /* LSI_NO_SHARD: none */
    uint32_t adjacent_parent; /* LSI_NO_SHARD: none; set by a merge */
    bool closed;              /* takes no more records */
    lsi_hash_range range;
    ls_seqno first_seqno;     /* every record's number is at least this */
    int64_t created_us;       /* its second goes into 56-digit numbers; never decreases along a lineage */
    int64_t closed_us;        /* 0 while open; not before any of its records */
    ls_seqno last_seqno;      /* LS_SEQNO_NONE while open; then no record's number is above it */
    uint64_t end;             /* the engine's: where a closed shard's log ends; 0 while open */
} lsi_shard;

/* Sorted table of the open shards for routing. Built once per change of the shard list. */
typedef struct lsi_route {
    uint32_t count;
    const ls_hash_key *firsts; /* [count], ascending: the first key of each open shard */
    const uint32_t *shards;    /* [count], its index */
} lsi_route;
/* Fills caller-given arrays of `count` elements from the open ones of `shards`; LS_ERR_CORRUPT when they leave a gap
 * or overlap. `*open_count` is how many were filled. */
ls_status lsi_route_build(const lsi_shard *shards, uint32_t count, ls_hash_key *firsts, uint32_t *indexes,
                          uint32_t *open_count);
uint32_t lsi_route_find(const lsi_route *route, ls_hash_key key); /* the shard's index; binary search */

/* ---- reshard.c: the rules of splitting and merging ---- */
typedef struct lsi_reshard_step {
    uint32_t shard;
    uint32_t adjacent; /* a merge: the shard whose keys follow those of `shard`; LSI_NO_SHARD: a split */
    ls_hash_key at;    /* a split: the first key of the upper child */
} lsi_reshard_step;
#define LSI_RESHARD_STEPS_MAX 16u /* at once: all their parents stop together */
/* The shards as they are after the steps, of which none may use a shard that another one closes: `out`, with room for
 * `count` and two per step. Parents are closed, but when, at which number and where is still to be said; so is the
 * first number of the children, which follow in the order of the steps, a split's lower one first. NOT_FOUND, STATE
 * (closed, or a limit), INVALID_ARGUMENT. `stream` is for messages. */
ls_status lsi_reshard_apply(const char *stream, const lsi_shard *shards, uint32_t count, const lsi_reshard_step *steps,
                            uint32_t step_count, int64_t now_us, lsi_shard *out, uint32_t *out_count);
const lsi_shard *lsi_shard_find(const lsi_shard *shards, uint32_t count, uint32_t index); /* ascending; NULL: none */

/* ---- scale.c: the way to equal shards ---- */
/* The next steps from the open shards of `route` to `target` equal ones, of which each uses shards of its own: at most
 * LSI_RESHARD_STEPS_MAX. 0: they are there. `target` is 1..LSI_SHARD_COUNT_MAX. */
uint32_t lsi_scale_steps(const lsi_route *route, uint32_t target, lsi_reshard_step *steps);

/* ---- listing.c: which shards a listing shows ---- */
typedef struct lsi_listing {
    uint32_t first;   /* shards from this index on */
    uint32_t end;     /* as they were when there was none from this index on */
    bool is_moment;   /* those that were there at `from_us`; else those that were there then or later */
    int64_t from_us;  /* INT64_MAX, with is_moment: those that are open */
} lsi_listing;
/* Positions in `shards` of the first `limit` ones, and whether there are more. `closed` is for [count] and says of each
 * whether it was closed when the listing began. */
uint32_t lsi_listing_take(const lsi_listing *of, const lsi_shard *shards, uint32_t count, uint32_t limit,
                          uint32_t *positions, bool *closed, bool *more);

/* ---- throttle.c: what a shard of a provisioned stream takes and gives in a second ---- */
typedef struct lsi_rates { /* 0 where nobody said otherwise: LSI_RATES_DEFAULT's; none is, once resolved */
    uint32_t write_bytes; /* keys and data */
    uint32_t write_records;
    uint32_t read_bytes;
    uint32_t read_calls;
} lsi_rates;
#define LSI_RATES_DEFAULT ((lsi_rates){1u << 20, 1000, 2u << 20, 5}) /* Kinesis's */
#define LSI_RATE_BYTES_MIN 1024u /* least of the two in bytes */
lsi_rates lsi_rates_resolve(lsi_rates rates);
bool lsi_rates_are_valid(lsi_rates rates); /* before that */

/* The shard's part of the rules: words in memory that all processes share, zeroed when new. What else they may hold
 * makes nobody wait for long (throttle.c). */
typedef _Atomic uint64_t lsi_budget_word;
enum {
    LSI_BUDGET_WRITE_RECORDS,
    LSI_BUDGET_WRITE_BYTES,
    LSI_BUDGET_WRITE_LARGE,
    LSI_BUDGET_READ_CALLS,
    LSI_BUDGET_READ_BYTES,
    LSI_BUDGET_WORDS
};
/* A consumer's part of a shard has words of its own, of which it uses READ_BYTES and these. */
enum {
    LSI_BUDGET_SUBSCRIBES = LSI_BUDGET_WORDS,
    LSI_BUDGET_HOLDER, /* the engine's: who has the subscription */
    LSI_BUDGET_CONSUMER_WORDS
};

typedef struct lsi_refusal {
    const char *limit; /* its unit, for the message */
    uint32_t per_second;
    int64_t wait_us; /* until it may be tried again; at least 1 */
} lsi_refusal;

/* `now_us` is monotonic time, the same for all processes. True: it was taken. False: nothing was, and `*why` says it.
 * What is written together is taken together; more than a bucket holds is let through when that is full. */
bool lsi_rates_admit_write(const lsi_rates *rates, lsi_budget_word *budget, uint32_t records, uint64_t bytes,
                           int64_t now_us, lsi_refusal *why);
/* One read, whose answer is charged when its size is known; until what was charged too much is paid for none is
 * admitted. */
bool lsi_rates_admit_read(const lsi_rates *rates, lsi_budget_word *budget, int64_t now_us, lsi_refusal *why);
/* The same for a consumer's own words: bytes alone, as many as all reads have together. */
bool lsi_rates_admit_push(const lsi_rates *rates, lsi_budget_word *budget, int64_t now_us, lsi_refusal *why);
/* One subscription a second of a consumer to a shard. */
bool lsi_rates_admit_subscribe(lsi_budget_word *budget, int64_t now_us, lsi_refusal *why);
void lsi_rates_charge_read(const lsi_rates *rates, lsi_budget_word *budget, uint64_t bytes, int64_t now_us);
/* THROTTLED, with limit, shard and milliseconds in the message, and the latter as a number. */
ls_status lsi_rates_refuse(const lsi_refusal *why, const char *stream, uint32_t shard);

/* ---- autoscale.c: when a shard of an on-demand stream is split by itself, and two are merged ---- */
typedef struct lsi_auto_scaling { /* all 0: off. Before it is resolved: 0 where nobody said otherwise */
    uint32_t hot_percent, hot_seconds;
    uint32_t cold_percent, cold_seconds;
    uint32_t shards_min, shards_max; /* open ones */
} lsi_auto_scaling;
#define LSI_AUTO_SCALING_DEFAULT ((lsi_auto_scaling){80, 60, 25, 900, 1, 200})
#define LSI_AUTO_PERCENT_MAX 10000u
#define LSI_AUTO_SECONDS_MAX 604800u /* a week */
lsi_auto_scaling lsi_auto_scaling_resolve(lsi_auto_scaling of);
bool lsi_auto_scaling_is_on(const lsi_auto_scaling *of); /* of a resolved one, or of all 0 */
ls_status lsi_check_auto_scaling(const lsi_auto_scaling *of); /* of a resolved one. INVALID_ARGUMENT */
int64_t lsi_auto_scaling_pause_us(const lsi_auto_scaling *of); /* between two looks; at least a second */

/* What is remembered of an open shard between looks; all 0: nothing. What else it may hold does no harm. */
typedef struct lsi_shard_load {
    int64_t at_us; /* of the last look; 0: there was none */
    uint64_t bytes, records;
    int64_t hot_since_us;  /* 0: it is not */
    int64_t cold_since_us; /* with its upper neighbour; 0: it is not */
    uint32_t cold_with;    /* that one */
} lsi_shard_load;
typedef struct lsi_load_of_shard {
    uint32_t shard;
    lsi_hash_range range;
    uint64_t bytes, records; /* written since the shard is there; only differences count */
    lsi_shard_load load;
} lsi_load_of_shard;
#define LSI_LOAD_UNTOUCHED UINT64_MAX /* `bytes`: not known, for nobody has written since the look before */
typedef struct lsi_auto_step {
    lsi_reshard_step step;
    uint32_t position; /* of the shard to split, or of the lower one to merge */
    uint64_t percent;  /* its load, or that of both */
    int64_t since_us;
} lsi_auto_step;
/* A look at the open shards, by rising keys, which changes what is remembered. `now_us` is the same clock's for all
 * looks. True: `*out` is to be done now, and again chosen by the next look if it is not. */
bool lsi_auto_scale(const lsi_auto_scaling *of, const lsi_rates *rates, lsi_load_of_shard *shards, uint32_t count,
                    int64_t now_us, lsi_auto_step *out);

/* ---- how far a shard was worked on: all up to a record, or within one ---- */
typedef struct lsi_point {
    ls_seqno seqno; /* NONE: nothing yet; END: the shard is over */
    uint32_t part;  /* 0: all of that record; else only so many of its user records, the first ones */
} lsi_point;
/* < 0, 0, > 0. Subtracting makes the whole of a record the last of its parts. */
static inline int lsi_point_compare(lsi_point a, lsi_point b)
{
    if (a.seqno != b.seqno)
        return a.seqno < b.seqno ? -1 : 1;
    return (a.part - 1 > b.part - 1) - (a.part - 1 < b.part - 1);
}
/* With this record, and with all before it. */
static inline lsi_point lsi_point_behind(const ls_record *record)
{
    bool is_last = record->sub_seqno + 1 >= record->sub_count; /* so is a plain one */

    return (lsi_point){record->seqno, is_last ? 0 : record->sub_seqno + 1};
}
/* As leases have it: which part is the last one that was worked on. */
static inline uint32_t lsi_point_sub_seqno(lsi_point at) { return at.part - 1; }
static inline lsi_point lsi_point_of(ls_seqno seqno, uint32_t sub_seqno) { return (lsi_point){seqno, sub_seqno + 1}; }

/* ---- pack.c: many records in one, the format of Kinesis's producer library (kinesis-api.md section 13) ---- */
#define LSI_AGGREGATE_MAGIC UINT32_C(0xc29a89f3) /* F3 89 9A C2 */
#define LSI_AGGREGATE_EXTRA_BYTES 20u            /* those four, and the MD5 at the end */
/* A pack takes records one after another, all of one shard, and gives the one record to put for them: with a single one
 * in it that one as it is, with more an aggregate. Sizes are those that the store counts, key and data of the record to
 * put; memory grows to about that, and the keys' again, and is kept. Keys that come again take a byte or two. */
typedef struct lsi_pack lsi_pack;
typedef struct lsi_packed {
    ls_bytes partition_key; /* the first record's */
    ls_bytes data;
    bool has_explicit;
    ls_hash_key explicit_hash_key; /* the first record's, when it had one */
    uint32_t count;                /* of records within; 1: it is no aggregate */
} lsi_packed;
ls_status lsi_pack_open(const lsi_memory *memory, uint32_t bytes_max, uint32_t records_max, lsi_pack **out);
void lsi_pack_close(lsi_pack *pack); /* NULL is accepted. */
/* Adds a copy when it fits, which `*fits` says: it does not when records_max are in, or when the record to put would
 * get more than bytes_max. The key's rule was checked by the caller. LS_OK, or NO_MEMORY; then, and when it does not
 * fit, nothing changed. */
ls_status lsi_pack_add(lsi_pack *pack, ls_bytes key, const ls_hash_key *explicit_hash_key, ls_bytes data, bool *fits);
uint32_t lsi_pack_count(const lsi_pack *pack);
size_t lsi_pack_bytes(const lsi_pack *pack); /* of the record to put; 0 when it is empty */
/* How many it would be with this record too. */
size_t lsi_pack_bytes_with(const lsi_pack *pack, ls_bytes key, const ls_hash_key *explicit_hash_key, size_t data_bytes);
/* The record to put, of a pack that is not empty: views until the next call that changes the pack, which only
 * lsi_pack_clear may be. NO_MEMORY: the pack is as it was. */
ls_status lsi_pack_finish(lsi_pack *pack, lsi_packed *out);
void lsi_pack_clear(lsi_pack *pack); /* It is empty again, and keeps its memory. */

/* ---- unpack.c: the way back ---- */
typedef struct lsi_packed_key {
    uint32_t at, size; /* in the message */
} lsi_packed_key;
/* An aggregate's user records, one piece after another. All zero but `memory`: nothing is begun. */
typedef struct lsi_unpack {
    const lsi_memory *memory;
    ls_record outer;
    const unsigned char *end;      /* of the message: where the MD5 is */
    const unsigned char *at;       /* of the field to look at next */
    uint32_t count, next;          /* user records; the one at `at` or behind it */
    uint32_t key_count, hash_key_count;
    const unsigned char *start;    /* of the message: what the tables count from */
    lsi_packed_key *keys;          /* [key_count] */
    ls_hash_key *hash_keys;        /* [hash_key_count] */
    uint64_t *outside;             /* a bit for each key: it is not of the shard; not used without a range */
    bool has_range, has_groups;
    lsi_hash_range range;
    size_t keys_room, hash_keys_room, outside_room;
} lsi_unpack;
/* Begins with a record. `*is_aggregate` is false for a plain one: no magic at its start, no right MD5 at its end, no
 * message between them, a record in it without key or data or with an index past its table, a key or hash key in the
 * tables that no record may have, or no records at all. Nothing of it is then begun. What is read are only the record's
 * bytes, each a bounded number of times. The records are views into them, to be left where they are until the last one
 * was given. `range` is the shard's: those are flagged that do not belong there; NULL: none is. NO_MEMORY. */
ls_status lsi_unpack_begin(lsi_unpack *unpack, const ls_record *outer, const lsi_hash_range *range, bool *is_aggregate);
bool lsi_unpack_may_begin(ls_bytes data); /* false: it is a plain one, by its first bytes and its size */
/* The next `max` user records at most; 0 after the last. `room`: of keys and data they have at most so many bytes,
 * which are taken from it; NULL: any. */
uint32_t lsi_unpack_next(lsi_unpack *unpack, ls_record *out, uint32_t max, uint64_t *room);
void lsi_unpack_skip(lsi_unpack *unpack, uint32_t count); /* passes over the next ones */
static inline uint32_t lsi_unpack_left(const lsi_unpack *unpack) { return unpack->count - unpack->next; }
void lsi_unpack_free(lsi_unpack *unpack); /* Its memory; nothing is begun then. */

#endif
