/* Inside the room: a run of a delivery.
 *
 * run.c        the run: which shards are worked on here, when it sleeps and when it ends
 * shard.c      one shard: records are read, transformed and collected
 * partition.c  which object a record goes to, and the lines of the error output
 * buffer.c     an object while it is collected
 * cut.c        an object is closed, named, stored as begun, delivered, and stored as done
 * progress.c   what is stored of a shard
 * counts.c     what is counted
 * pieces.c     records that hold several are taken apart
 * transform.c  what the application makes of records; transform_json.c: by documents
 *
 * All of it is one thread's, but for what the guard renews and lsi_delivery_stop sets. */
#ifndef LSI_DELIVER_INSIDE_H
#define LSI_DELIVER_INSIDE_H

#include "base/compress.h"
#include "base/status.h"
#include "deliver/definition.h"
#include "deliver/document.h"
#include "deliver/marks.h"
#include "deliver/query.h"
#include "deliver/sink.h"

typedef struct lsi_delivery_run lsi_delivery_run_state;
typedef struct lsi_delivery_shard lsi_delivery_shard;

/* ---- buffer.c ---- */

/* A run of ordinals. */
typedef struct lsi_ordinals {
    uint64_t from, to;
} lsi_ordinals;

/* An object that is being collected. */
typedef struct lsi_buffer {
    struct lsi_buffer *next;
    const lsi_memory *memory;
    ls_delivery_kind kind;
    char *target;         /* what of its kind it is: a partition, an error type; "" */
    uint64_t target_sum;  /* of kind and target */
    char *prefix;         /* evaluated */
    char *name;           /* once it was closed, or as it was stored; NULL */
    ls_delivery_compression compression; /* with the name */
    unsigned char *bytes;
    size_t size, capacity;
    lsi_ordinals *ordinals; /* of its records, rising */
    size_t ordinal_count, ordinal_capacity;
    uint64_t record_count;
    uint64_t billed, crowded; /* LSI_DELIVERED_BILLED and _CROWDED of its records */
    ls_seqno first_seqno, last_seqno;
    uint64_t first_ordinal;   /* of the first record */
    uint64_t restart_ordinal; /* where reading begins again to find it: a whole record of the stream, */
    ls_seqno restart_after;   /* and the number before that; NONE: from where the delivery began */
    int64_t opened_us;        /* when its first record was read, as the store's clock passes, */
    int64_t arrived_us;       /* and when that had arrived */
    bool is_replay;           /* what was stored as begun: it gets no other records */
} lsi_buffer;

/* NO_MEMORY. Copies `target` and `prefix`. */
ls_status lsi_buffer_new(const lsi_memory *memory, ls_delivery_kind kind, const char *target, const char *prefix,
                         lsi_buffer **out);
void lsi_buffer_free(lsi_buffer *buffer); /* Accepts NULL. */
uint64_t lsi_buffer_target_sum(ls_delivery_kind kind, const char *target);
/* Room for `size` bytes more. */
bool lsi_buffer_grow(lsi_buffer *buffer, size_t size); /* which leaves the last error alone */
ls_status lsi_buffer_reserve(lsi_buffer *buffer, size_t size);
/* A record is in it. False: no memory. */
bool lsi_buffer_note(lsi_buffer *buffer, uint64_t ordinal, ls_seqno seqno);

/* ---- transform.c ---- */

/* What became of each record of a batch. */
typedef struct lsi_said {
    lsi_verdict verdict;
    uint32_t key_count;
    const char *code; /* of LSI_VERDICT_FAIL, a constant; NULL: the transform failed on it */
    size_t at, size; /* in `arena`: the data, or the reason */
    uint32_t first_key; /* LSI_NO_KEY, or its place in `keys` */
} lsi_said;
#define LSI_NO_KEY UINT32_MAX
typedef struct lsi_transform_key {
    size_t name_at, name_size, value_at, value_size; /* in `arena` */
    uint32_t next;
} lsi_transform_key;

struct ls_transform {
    const lsi_memory *memory;
    const ls_record *const *records; /* [count] */
    size_t count;
    uint32_t attempts;
    int64_t end_us; /* when it is late */
    bool was_late;  /* the last time that it was asked */
    lsi_said *items; /* [count] */
    size_t item_capacity;
    char *arena;
    size_t arena_size, arena_capacity;
    lsi_transform_key *keys;
    size_t key_count, key_capacity;

    /* ---- transform_json.c ---- */
    const lsi_env *env;
    lsi_engine_stream *stream;
    uint32_t shard;         /* whose records these are */
    uint32_t created_of;    /* of which `created_seconds` and `shard_id` are */
    bool has_created;
    bool has_event;         /* `event` is of these records */
    int64_t created_seconds;
    char shard_id[LSI_SHARD_ID_BYTES];
    lsi_json_writer event;
    lsi_transform_record *described; /* [count] */
    char (*numbers)[LSI_SEQNO56_BYTES]; /* [count] */
    size_t described_capacity, number_capacity;
    lsi_transform_reader *reader; /* NULL until it is needed */
};

void lsi_transform_init(ls_transform *batch, const lsi_env *env, lsi_engine_stream *stream);
void lsi_transform_free(ls_transform *batch);
void lsi_transform_free_documents(ls_transform *batch);
/* Nothing was said of any of them. NO_MEMORY. */
ls_status lsi_transform_begin(ls_transform *batch, const ls_record *const *records, size_t count, uint32_t attempts);
static inline ls_bytes lsi_transform_text(const ls_transform *batch, size_t at, size_t size)
{
    return (ls_bytes){batch->arena == NULL ? "" : batch->arena + at, size};
}
/* The keys of a record, into `out` [LSI_PARTITION_KEYS_MAX]; how many. Views. */
uint32_t lsi_transform_keys(const ls_transform *batch, size_t index, lsi_partition_key *out);

/* ---- pieces.c ---- */

/* What records are split into (split.h). */
typedef struct lsi_pieces {
    const lsi_memory *memory;
    ls_record *records;         /* [count] */
    const ls_record **sources;  /* [count]: what a piece is the first of; NULL: it is another one */
    size_t record_capacity, source_capacity;
    uint32_t count;
    uint32_t source, part;      /* where to go on: in the batch, and in what has its sequence number; */
    ls_bytes rest;              /* of that record; */
    bool is_inside;             /* which has begun */
} lsi_pieces;
/* `ls_record.flags`, of ours: the whole record, which cannot be split. */
#define LSI_RECORD_UNSPLIT (UINT32_C(1) << 31)

/* Begins a batch; `part`: so many pieces of its first sequence number were there before. */
void lsi_pieces_begin(lsi_pieces *pieces, uint32_t part);
/* Takes the next pieces of the batch, some thousand at most; none: there are none left. NO_MEMORY. */
ls_status lsi_pieces_next(lsi_pieces *pieces, const ls_batch *batch, const char *delimiter);
void lsi_pieces_free(lsi_pieces *pieces);

/* ---- shard.c ---- */

/* A record's place in the shard, as the ones of a lease count. */
typedef struct lsi_at {
    uint64_t ordinal;
    uint64_t restart_ordinal; /* as of lsi_buffer */
    ls_seqno restart_after;
    uint64_t billed;          /* LSI_DELIVERED_BILLED: of the record, or 0 where it is not the first piece of one */
} lsi_at;

struct lsi_delivery_shard {
    lsi_delivery_shard *next;
    lsi_delivery_run_state *run;
    lsi_lease *lease;
    uint32_t shard;
    lsi_iterator *iterator; /* NULL: it is not open, and nothing below is set */
    lsi_buffer *buffers;
    uint32_t partition_count; /* of buffers of kind DATA */
    /* Ordinals count the records that this run has read, from 0: the first one behind what the lease said. */
    uint64_t next_ordinal;
    uint64_t base;         /* all below are done, and stored as such or about to be */
    ls_seqno done_seqno;   /* the number of the last of them; NONE: there is none */
    ls_seqno saved_seqno;  /* as stored */
    lsi_marks done;        /* behind `base` */
    uint64_t backup_done;  /* all below are in the backup */
    lsi_marks replayed;    /* whose object was begun, */
    lsi_buffer *replay;    /* which is this one; NULL: none */
    ls_seqno seqno;        /* of the record that was read last; as done_seqno when none was, */
    ls_seqno seqno_before; /* of the one before that one, */
    uint64_t seqno_ordinal; /* and the ordinal of its first part, */
    bool is_whole;         /* whose last part was read, too */
    bool is_at_tip, is_at_end, is_lost;
    bool has_entry;        /* beside the lease, */
    bool is_wide;          /* which is large */
    bool is_full;          /* something that is collected has its size */
    bool has_put;          /* an object that is there is not stored as done */
    int64_t unsaved_us;    /* since when something is done and not stored, monotonic; 0: all is stored */
    uint64_t uncounted[LSI_DELIVERED_RETRIES]; /* of what is done and not stored (counts.c) */
    lsi_engine_count *words;                   /* lsi_delivery_shard_words; NULL: nobody was told yet */
};

/* LSI_DELIVERED_BILLED of a record. */
static inline uint64_t lsi_delivery_billed(size_t bytes)
{
    return bytes <= LSI_DELIVERY_UNIT_BYTES
               ? LSI_DELIVERY_UNIT_BYTES /* nearly always, and without a division */
               : (bytes + LSI_DELIVERY_UNIT_BYTES - 1) / LSI_DELIVERY_UNIT_BYTES * LSI_DELIVERY_UNIT_BYTES;
}
/* Nothing is read of it yet. NO_MEMORY. */
ls_status lsi_delivery_shard_new(lsi_delivery_run_state *run, lsi_lease *lease, lsi_delivery_shard **out);
/* Drops what was collected; the next step begins with the shard as it was stored. */
void lsi_delivery_shard_reset(lsi_delivery_shard *shard);
void lsi_delivery_shard_free(lsi_delivery_shard *shard); /* Touches nothing shared. */
/* Reads once, and delivers what is due. `*is_busy`: there may be more. CANCELLED: the run is to end. */
ls_status lsi_delivery_shard_step(lsi_delivery_shard *shard, bool *is_busy);
/* Delivers all that was collected. */
ls_status lsi_delivery_shard_flush(lsi_delivery_shard *shard);
/* After how long something is due again; INT64_MAX: nothing is. */
int64_t lsi_delivery_shard_left_us(const lsi_delivery_shard *shard);

/* ---- partition.c ---- */

/* Collects one record. `keys`: what the transform gave. */
ls_status lsi_delivery_collect(lsi_delivery_shard *shard, const ls_record *record, ls_bytes data, lsi_at at,
                               const lsi_partition_key *keys, uint32_t key_count);
/* The records that begin these, and go into the object that was met last without more ado: how many, of whom all is
 * kept that is kept of a record. 0: the first of them goes the general way. */
uint32_t lsi_delivery_collect_run(lsi_delivery_shard *shard, const ls_record *records, uint32_t count);
/* A line of the error output, of the record as it was put. */
ls_status lsi_delivery_collect_failed(lsi_delivery_shard *shard, const ls_record *record, lsi_at at, uint32_t attempts,
                                      const char *code, const char *message);
/* The record as it was put, into the backup. */
ls_status lsi_delivery_collect_source(lsi_delivery_shard *shard, const ls_record *record, lsi_at at);

/* ---- cut.c ---- */

/* D1-D5 of cut.c. The buffer is gone on LS_OK. CANCELLED: the run is to end. */
ls_status lsi_delivery_cut(lsi_delivery_shard *shard, lsi_buffer *buffer);
bool lsi_delivery_is_put_over(void *run, int64_t quiet_us); /* lsi_sink.is_over */
/* What is done as a prefix: moves `base`. */
void lsi_delivery_advance(lsi_delivery_shard *shard);

/* ---- counts.c ---- */

void lsi_delivery_count(const lsi_delivery_run_state *run, uint32_t word, uint64_t n);
/* These are counted when it is stored that they are done. */
void lsi_delivery_count_dropped(lsi_delivery_shard *shard, uint64_t billed);
void lsi_delivery_count_records(lsi_delivery_shard *shard, const lsi_buffer *buffer); /* that make no object */
void lsi_delivery_count_object(lsi_delivery_shard *shard, const lsi_buffer *buffer, size_t bytes);
void lsi_delivery_count_stored(lsi_delivery_shard *shard);
void lsi_delivery_tell(lsi_delivery_shard *shard); /* how it stands now */
void lsi_delivery_count_read(const lsi_delivery_shard *shard); /* what the iterator has just given */
/* A call of the transform, which has said what it said. */
void lsi_delivery_count_call(lsi_delivery_run_state *run, bool has_failed, int64_t took_us);
void lsi_delivery_count_put(const lsi_delivery_run_state *run, ls_delivery_kind kind, bool is_good);

/* ---- progress.c ---- */

/* Stores what is done, and that `begun` (or NULL) is begun, in one write with the lease. LEASE_LOST. */
ls_status lsi_delivery_save(lsi_delivery_shard *shard, const lsi_buffer *begun);
/* The same, of an object that is there and not stored as such, if there is one. */
ls_status lsi_delivery_save_put(lsi_delivery_shard *shard);
/* Stores that the shard is done to its end. */
ls_status lsi_delivery_save_end(lsi_delivery_shard *shard);
/* Fills `done`, `backup_done`, `replayed` and `replay`. CORRUPT, VERSION, NO_MEMORY. */
ls_status lsi_delivery_restore(lsi_delivery_shard *shard);

/* ---- run.c ---- */

struct lsi_delivery_run {
    lsi_engine_stream *stream;
    const lsi_env *env;
    const lsi_delivery_running *how;
    lsi_delivery *delivery; /* as it was loaded last */
    lsi_naming *names, *backup_names;
    lsi_queries *queries;   /* NULL: there are none */
    lsi_sink *sink;
    lsi_compressor *compressor; /* NULL until it is needed */
    ls_transform transform;
    lsi_group *group;
    lsi_guarded guarded;
    lsi_delivery_shard *shards;
    uint64_t memory_used;   /* by what is collected */
    lsi_pieces pieces;
    const ls_record **batch; /* of a transform */
    size_t batch_capacity;
    unsigned char *spare;   /* the bytes of a buffer that is gone; NULL */
    size_t spare_capacity;
    ls_bytes delimiter;     /* a view */
    lsi_engine_count *counts; /* NULL: nobody can be told */
    lsi_engine_count *transform_times; /* NULL: nobody was told yet */
    uint32_t state_token;   /* as of the last look at the delivery */
    int64_t give_up_at_us;  /* of the object that is put, monotonic; INT64_MAX: never */
    bool is_over;           /* the transform said stop */
    bool is_refused;        /* the destination refused an object, for so long as it may: its error ends the run */
};

static inline uint64_t lsi_delivery_buffer_bytes(const lsi_delivery_run_state *run, ls_delivery_kind kind)
{
    const ls_delivery_options *options = &run->delivery->options;

    return kind == LS_DELIVERY_SOURCE_BACKUP && options->backup_buffer_bytes != 0 ? options->backup_buffer_bytes
                                                                                 : options->buffer_bytes;
}
static inline int64_t lsi_delivery_interval_us(const lsi_delivery_run_state *run, ls_delivery_kind kind)
{
    const ls_delivery_options *options = &run->delivery->options;
    int32_t ms = kind == LS_DELIVERY_SOURCE_BACKUP && options->backup_interval_ms != 0 ? options->backup_interval_ms
                                                                                      : options->interval_ms;

    return ms == LS_DELIVERY_AT_ONCE ? 0 : (int64_t)ms * 1000;
}
static inline int64_t lsi_delivery_now_us(const lsi_delivery_run_state *run)
{
    return lsi_monotonic_us(&run->env->clock);
}
/* Told to end. */
static inline bool lsi_delivery_is_stopped(const lsi_delivery_run_state *run)
{
    return atomic_load_explicit(run->how->is_stopped, memory_order_acquire); /* Pairs with ls_delivery_stop. */
}
/* Sleeps until `until_us`, or until the run is stopped: CANCELLED. */
ls_status lsi_delivery_sleep(lsi_delivery_run_state *run, int64_t until_us);

#endif
