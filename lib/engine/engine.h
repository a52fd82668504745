/* The engine contract: what every driver (local, Kafka) does for the rooms above. One store, open, behind a table.
 *
 * A put is two steps, so that a batch over several shards pays one wait: `append` gives numbers and writes, `commit`
 * waits until what was appended is as durable as asked. A read is `seek` once and `read` again and again. Waiting is an
 * eventcount: `arm`, look once more, `sleep`; whoever publishes wakes all who armed.
 *
 * What a driver cannot do answers LS_ERR_UNSUPPORTED, plainly. Every failure sets the thread's last error.
 * Threads: everything from any thread, but one appender and one reader serve one thread at a time. */
#ifndef LSI_ENGINE_ENGINE_H
#define LSI_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/consumer.h>
#include <libstream/iterator.h>
#include <libstream/producer.h>
#include <libstream/status.h>
#include <libstream/store.h>
#include <libstream/stream.h>

#include "base/env.h"
#include "base/lock.h"
#include "stream/stream.h"

typedef struct lsi_engine lsi_engine;               /* an open store */
typedef struct lsi_engine_stream lsi_engine_stream; /* an open stream of it */
typedef struct lsi_appender lsi_appender;           /* buffers of one producer */
typedef struct lsi_reader lsi_reader;               /* buffers and place of one reader of one shard */

/* What a stream is created with; already checked and defaulted. */
typedef struct lsi_stream_spec {
    const char *name;
    uint32_t shard_count;
    uint32_t retention_hours;
    ls_stream_mode mode;
    uint32_t record_bytes_max;
    lsi_rates rates; /* valid, and not resolved */
    uint32_t codec; /* LS_COMPRESSION_ */
    uint64_t retention_bytes; /* 0: no cap */
    const ls_tag *tags;       /* [tag_count], not checked yet */
    uint32_t tag_count;
} lsi_stream_spec;

/* One change of a stream's settings or tags. Its value is in its range; what depends on the present one is not
 * checked. */
typedef enum {
    LSI_CHANGE_RETENTION_UP, /* value: hours */
    LSI_CHANGE_RETENTION_DOWN,
    LSI_CHANGE_RETENTION_BYTES,
    LSI_CHANGE_MODE,
    LSI_CHANGE_RATES, /* rates */
    LSI_CHANGE_RECORD_BYTES_MAX,
    LSI_CHANGE_AUTO_SCALING, /* auto_scaling */
    LSI_CHANGE_RECOMPRESSION, /* value: 1 on */
    LSI_CHANGE_TAGS_ADD,   /* tags, count */
    LSI_CHANGE_TAGS_REMOVE /* keys, count */
} lsi_change_kind;
typedef struct lsi_stream_change {
    lsi_change_kind kind;
    uint64_t value;
    const ls_tag *tags;
    const char *const *keys;
    uint32_t count;
    lsi_auto_scaling auto_scaling; /* resolved, or off */
    lsi_rates rates; /* valid, and not resolved */
} lsi_stream_change;

/* What trimming took from readers before they had read it: of one, and of all since the machine was started. `records`
 * is an upper bound; bytes and milliseconds (by arrival) where the engine knows them. */
typedef struct lsi_cut {
    uint64_t records, bytes, ms;
} lsi_cut;
typedef struct lsi_cuts {
    uint64_t count;
    lsi_cut sum;
    int64_t last_us; /* when it was noticed last; 0: never */
} lsi_cuts;

/* A snapshot of a stream's settings and shards, in order of index. Release with lsi_stream_info_free. */
typedef struct lsi_stream_info {
    lsi_memory memory; /* a copy: it may be released when the engine is closed */
    char name[LSI_STREAM_NAME_MAX + 1];
    uint64_t id;
    uint64_t generation; /* changes when settings or shards do */
    int64_t created_us;
    uint32_t retention_hours;
    int64_t horizon_us; /* as long ago as that, by a clock that is believed (E8) */
    uint64_t retention_bytes;
    ls_stream_mode mode;
    lsi_rates rates; /* resolved; of each shard; they count in PROVISIONED */
    lsi_auto_scaling auto_scaling; /* all 0: off; it counts in ON_DEMAND */
    uint32_t record_bytes_max;
    uint32_t codec;       /* LS_COMPRESSION_ */
    char key_id[257];     /* "": it is not encrypted */
    bool recompresses;    /* upkeep compresses sealed segments */
    ls_stream_status status;
    lsi_cuts cuts;        /* of all readers */
    uint32_t shard_count;
    lsi_shard *shards; /* [shard_count] */
} lsi_stream_info;
void lsi_stream_info_free(lsi_stream_info *info); /* the contents; accepts a zeroed one */

typedef struct lsi_shard_state {
    ls_seqno oldest_seqno; /* 0: nothing can be read */
    ls_seqno latest_seqno;
    int64_t oldest_us, latest_us; /* arrival; 0: not known */
    uint64_t bytes;   /* stored, as the engine counts them */
    uint32_t segments; /* parts that they are stored in */
    ls_status health; /* LS_OK, LS_ERR_IO, LS_ERR_CORRUPT */
    /* Counted by `append` itself, where no put waits for a sync by itself (else by who knows what was acknowledged, in
     * LSI_COUNT_PUT_): records put alone and in batches, the bytes of keys and data, and payload units above one for
     * each record. */
    uint64_t put_alone, put_in_batches, put_bytes, put_more_units;
} lsi_shard_state;

/* What is counted by who puts and reads, in words that all processes share and add to. They begin at 0 with the
 * machine, outlive processes, and go with the stream. */
typedef _Atomic uint64_t lsi_engine_count;
#define LSI_ENGINE_COUNTS 35u /* words of each of these */
typedef enum {
    LSI_COUNTS_STREAM,      /* LSI_COUNT_PUT_CALLS ... */
    LSI_COUNTS_SHARD,       /* LSI_COUNT_PUT_RECORDS ...; number: of the shard */
    LSI_COUNTS_PUT_TIMES,   /* a histogram of durations; number: LSI_COUNTS_SINGLE_PUTS ... */
    LSI_COUNTS_MAPPING,     /* of a mapping or a delivery; number: a part of its id that is as good as any */
    LSI_COUNTS_MAPPING_TIMES,
    LSI_COUNTS_GROUP,       /* consume's, as the next; number: made of the name, below LSI_COUNTS_NAMED */
    LSI_COUNTS_WINDOW,
    LSI_COUNTS_CONSUMER,
    LSI_COUNTS_LEASE /* consume's, where there are words of a lease; number: LSI_LEASE_NUMBER */
} lsi_counts_kind;
#define LSI_COUNTS_NAMED (UINT32_C(1) << 29)
enum { LSI_COUNTS_SINGLE_PUTS, LSI_COUNTS_BATCHES, LSI_COUNTS_SYNCS,
       LSI_COUNTS_ASYNC /* behind the durations: produce's, of asynchronous producers */ };
enum { LSI_RESULT_OK, LSI_RESULT_PARTIAL, LSI_RESULT_THROTTLED, LSI_RESULT_ERROR, LSI_RESULTS };
enum { /* of a stream */
    /* By result. Single puts that are OK only where `append` does not count them, and of shards that are gone. */
    LSI_COUNT_PUT_CALLS,
    LSI_COUNT_BATCH_CALLS = LSI_COUNT_PUT_CALLS + LSI_RESULTS,
    LSI_COUNT_GET_OK = LSI_COUNT_BATCH_CALLS + LSI_RESULTS,
    LSI_COUNT_GET_THROTTLED,
    LSI_COUNT_GET_ERROR,
    LSI_COUNT_GET_TIMES /* a histogram of durations, up to the last word */
};
enum { /* of a shard */
    LSI_COUNT_PUT_RECORDS, LSI_COUNT_PUT_BYTES, LSI_COUNT_PUT_MORE_UNITS, /* where `append` does not count them */
    LSI_COUNT_PUT_OVER_RECORDS, LSI_COUNT_PUT_OVER_BYTES, /* records that were throttled, by limit */
    LSI_COUNT_GET_RECORDS, LSI_COUNT_GET_BYTES,
    LSI_COUNT_GET_OVER_CALLS, LSI_COUNT_GET_OVER_BYTES,   /* calls that were throttled, by limit */
    LSI_COUNT_FAN_OUT_BYTES, /* of LSI_COUNT_GET_BYTES: to registered consumers */
    LSI_COUNT_DAMAGED,       /* reads that met a damaged frame */
    LSI_COUNT_PUT_REPEATS    /* records of numbered puts that had been put before */
};

/* A registered consumer of a stream. */
typedef struct lsi_consumer {
    uint64_t id; /* 1..2^63-1, never used again in the store */
    int64_t created_us;
    ls_consumer_status status; /* until that time; afterwards ACTIVE, or gone */
    int64_t status_until_us;
    lsi_cuts cuts; /* of its subscriptions; filled by `consumers` */
    char name[LSI_STREAM_NAME_MAX + 1];
} lsi_consumer;

/* A named value of a stream's state: what groups and mappings remember. Views. */
typedef struct lsi_state_entry {
    ls_bytes key;
    uint64_t version; /* of this value: no other value of this key ever has it */
    ls_bytes value;
} lsi_state_entry;
#define LSI_STATE_NONE UINT64_C(0) /* there is no value */
#define LSI_STATE_ANY UINT64_MAX   /* whatever there is */
#define LSI_STATE_KEY_BYTES_MAX 1024u
#define LSI_STATE_CHANGE_BYTES_MAX (15u << 20) /* keys and values of one write */
typedef struct lsi_state_change {
    ls_bytes key;      /* as a partition key; the first byte is above 0x1f */
    uint64_t expected; /* the version it must have */
    ls_bytes value;    /* without bytes: it is removed */
    uint64_t version;  /* out: what it has now */
} lsi_state_change;
#define LSI_STATE_SHARD LS_STATE_SHARD /* in the place of a shard, for arm, sleep and reset_shard: the state */

/* What the owner of a lease tells others, without touching the disk; zeros after a boot. */
enum {
    LSI_LEASE_HOLDER, /* the ticket of the worker that has the lease, or had it last */
    LSI_LEASE_BEAT,   /* rises while he lives */
    LSI_LEASE_LIMIT,  /* so many leases of the group he takes at most */
    LSI_LEASE_NOTES,  /* how far he has come, twice a place and its sum, and a word for both: consume's */
    LSI_LEASE_WORDS = LSI_LEASE_NOTES + 5
};
#define LSI_GROUPS_MAX 4096u /* of a stream */
#define LSI_LEASE_SHARD_BITS 20u
#define LSI_LEASE_NUMBER(group, shard) ((group) << LSI_LEASE_SHARD_BITS | (shard)) /* fits, where there are words */

/* What a step puts into one shard, as one frame. */
typedef struct lsi_step_put {
    lsi_engine_stream *stream;
    uint32_t shard;
    const ls_put_entry *entries; /* borrowed, as of lsi_append */
    const uint32_t *picks;
    uint32_t count;              /* from 1 */
    ls_seqno first_seqno;        /* out: of the first; the others follow by one */
    bool moved;                  /* out: as of lsi_append_result */
} lsi_step_put;
#define LSI_STEP_PUTS_MAX 256u

/* A consumer's subscription to a shard. It ends with its process at the latest. */
typedef struct lsi_hold {
    lsi_budget_word *budget; /* of the consumer in this shard, shared by all processes. NULL: no hold */
    uint64_t ticket;         /* the engine's */
} lsi_hold;
#define LSI_HOLD_MS 5000u /* from its beginning: as long nobody takes it over */

/* Records for one shard, in order. `picks` NULL: entries[0..count-1], else entries[picks[0..count-1]]. Borrowed. One
 * without picks is counted as put alone. */
typedef struct lsi_append {
    const ls_put_entry *entries;
    const uint32_t *picks;
    uint32_t count;
    bool atomic; /* one frame: all or nothing */
} lsi_append;

typedef struct lsi_append_result {
    uint32_t accepted;  /* the first so many were written; numbers are first_seqno, first_seqno + 1, ... */
    ls_seqno first_seqno;
    uint64_t end;       /* for commit() */
    bool moved;         /* with `accepted` 0: the shard is closed; take the routes anew and append elsewhere */
} lsi_append_result;

/* What becomes of records that carry numbers of a producer: `told[index of entry]`: OK, EXISTS of those that were put
 * before, which are not written, both with shard and number; or EXPIRED. */
typedef struct lsi_numbered {
    const ls_put_options *options; /* producer, and number or numbers: by index of entry, rising */
    /* NULL, or record i has users[i] numbers, one at least, which follow each other by index in `options`; without
     * picks. All of them are new and written then, or nothing is accepted; none is told, what was written has
     * out->first_seqno and on. */
    const uint32_t *users;
    bool look_only;      /* nothing is written: what is new is told NOT_FOUND; entries are not looked at */
    ls_put_result *told;
    uint32_t *sub_seqnos, *sub_counts; /* NULL, or where the number of one that EXISTS is in a record with several */
    uint32_t fresh;      /* out: so many numbers were new */
} lsi_numbered;

typedef struct lsi_read {
    const ls_record *records; /* a view, until the next call on the reader */
    uint32_t count;
    bool at_tip;      /* nothing that can be read lies behind the last of them */
    bool shard_end;   /* the shard is closed and this reaches its end */
    uint64_t bytes;   /* of keys and data; as far as there are words to count them in */
    lsi_cut cut;      /* TRIMMED: what the reader lost */
} lsi_read;

#define LSI_READER_ONE_OF_MANY 1u /* it should spend less memory than speed */
#define LSI_READER_MAPPED 2u      /* its views may be of mapped files: LS_ITERATOR_MAPPED */
/* False: stop. */
typedef bool (*lsi_copy_progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);

typedef struct lsi_engine_ops {
    ls_status (*close)(lsi_engine *engine); /* releases always */
    ls_durability (*durability)(const lsi_engine *engine);
    ls_status (*sync)(lsi_engine *engine);
    /* Upkeep, all that is due, beginning nothing more when the time is over (-1: it has no end): LS_ERR_TIMEOUT. */
    ls_status (*maintain)(lsi_engine *engine, int64_t timeout_ms);
    /* Copies the store into the directory `path` of `files`, as ls_store_backup says. */
    ls_status (*backup)(lsi_engine *engine, const lsi_files *files, const char *path, lsi_copy_progress progress,
                        void *user);

    /* Names after `after` ("" from the first) in byte order, until `each` answers false. */
    ls_status (*list)(lsi_engine *engine, const char *after, bool (*each)(void *user, const char *name), void *user);
    ls_status (*create)(lsi_engine *engine, const lsi_stream_spec *spec);
    ls_status (*remove)(lsi_engine *engine, const char *name);
    ls_status (*remove_with_consumers)(lsi_engine *engine, const char *name); /* `remove` refuses those that have any */
    /* ls_stream_start_encryption, _stop_encryption, _set_compression. */
    ls_status (*start_encryption)(lsi_engine *engine, const char *name, const char *key_id);
    ls_status (*stop_encryption)(lsi_engine *engine, const char *name);
    ls_status (*set_compression)(lsi_engine *engine, const char *name, uint32_t codec);
    ls_status (*stream_open)(lsi_engine *engine, const char *name, lsi_engine_stream **out);
    void (*stream_close)(lsi_engine_stream *stream);

    ls_status (*info)(lsi_engine_stream *stream, lsi_stream_info *out);
    /* Durable when it returns; every process goes by it from its next call on. A change to what is there is LS_OK. */
    ls_status (*update)(lsi_engine_stream *stream, const lsi_stream_change *change);
    /* The tags by key, views, until `each` answers false. */
    ls_status (*tags)(lsi_engine_stream *stream, bool (*each)(void *user, const ls_tag *tag), void *user);
    uint64_t (*generation)(lsi_engine_stream *stream); /* cheap: one atomic load. Of lsi_stream_info. */
    ls_status (*shard_state)(lsi_engine_stream *stream, uint32_t shard, lsi_shard_state *out);
    /* How many records readers see in the shard from number `first` on, which one of them has. */
    ls_status (*count_from)(lsi_engine_stream *stream, uint32_t shard, ls_seqno first, uint64_t *out);
    ls_status (*reset_shard)(lsi_engine_stream *stream, uint32_t shard);
    /* As ls_stream_recompress; the time as `maintain`. */
    ls_status (*recompress)(lsi_engine_stream *stream, int64_t timeout_ms, uint64_t *saved_bytes);
    /* Splits and merges, 1..LSI_RESHARD_STEPS_MAX of them, in one durable step or not at all; refused as
     * lsi_reshard_apply says. `goes_on`: they continue a change, which may have left the stream UPDATING.
     * `*first_child`: the children have the indexes from here on, in the order of the steps. */
    ls_status (*reshard)(lsi_engine_stream *stream, const lsi_reshard_step *steps, uint32_t count, bool goes_on,
                         uint32_t *first_child);
    /* Words of LSI_COUNTS_, good while the stream is open. NULL: there are none, and nothing is counted. Leaves the
     * last error alone. */
    lsi_engine_count *(*counts)(lsi_engine_stream *stream, lsi_counts_kind kind, uint32_t number);
    /* The shard's words for lsi_rates_, shared by all processes; good while the stream is open. NULL: there are none,
     * since the shard cannot be reached; whoever uses it will be told. Leaves the last error alone. */
    lsi_budget_word *(*budget)(lsi_engine_stream *stream, uint32_t shard);

    /* As the functions of consumer.h. `consumers` gives views, in byte order of name, until `each` answers false. */
    ls_status (*register_consumer)(lsi_engine_stream *stream, const char *name, lsi_consumer *out);
    ls_status (*deregister_consumer)(lsi_engine_stream *stream, const char *name);
    ls_status (*consumers)(lsi_engine_stream *stream, bool (*each)(void *user, const lsi_consumer *consumer),
                           void *user);
    /* Begins a subscription; STATE, THROTTLED (`is_limited`), NOT_FOUND as ls_consumer_subscribe. Whoever sleeps on the
     * shard is woken when it was taken from another. */
    ls_status (*hold)(lsi_engine_stream *stream, const lsi_consumer *consumer, uint32_t shard, bool is_limited,
                      lsi_hold *out);
    /* Cheap. LEASE_LOST: somebody took it over; NOT_FOUND: the consumer is gone. */
    ls_status (*hold_check)(lsi_engine_stream *stream, const lsi_consumer *consumer, uint32_t shard,
                            const lsi_hold *hold);
    void (*hold_end)(lsi_engine_stream *stream, const lsi_hold *hold);

    /* The values whose keys begin with `prefix`, in byte order of key, until `each` answers false; it calls nothing of
     * the engine. Every change that was acknowledged before is in it. */
    ls_status (*state_read)(lsi_engine_stream *stream, ls_bytes prefix,
                            bool (*each)(void *user, const lsi_state_entry *entry), void *user);
    /* All of the changes, durable when it returns, or none. LS_OK with `*conflict` below `count`: that one's version is
     * not the expected one, and nothing was changed. LS_ERR_IO: outcome unknown. */
    ls_status (*state_write)(lsi_engine_stream *stream, lsi_state_change *changes, uint32_t count, uint32_t *conflict);

    /* All of the changes and all of the puts, to streams of the same store, become durable and are shown as one step,
     * or none does, whoever dies. The puts are in rising order of stream id and shard, one for a shard. LS_OK with
     * `*conflict` below the count of changes, as `state_write`, or with a put that `moved`: nothing was done.
     * LS_ERR_IO: outcome unknown, but for all of it the same. Other failures: nothing was done. */
    ls_status (*step)(lsi_engine_stream *stream, lsi_state_change *changes, uint32_t change_count, lsi_step_put *puts,
                      uint32_t put_count, uint32_t *conflict);

    /* The words of a shard's lease in the group of that number; good while the stream is open. */
    ls_status (*lease_words)(lsi_engine_stream *stream, uint32_t group, uint32_t shard, lsi_budget_word **out);
    /* The same for who only reads them: NULL when there are none, since nobody wanted to write them. Leaves the last
     * error alone. */
    const lsi_budget_word *(*find_lease_words)(lsi_engine_stream *stream, uint32_t group, uint32_t shard);
    /* A number for a worker of this process that no other one ever has; not 0. Whether the process is known to be gone
     * that drew it; any number may be asked about. */
    uint64_t (*ticket)(lsi_engine *engine);
    bool (*ticket_is_gone)(lsi_engine *engine, uint64_t ticket);
    /* What readers of the shard have been shown is durable when it returns. */
    ls_status (*sync_shard)(lsi_engine_stream *stream, uint32_t shard);
    /* Bytes that were ever written into it, about; cheap. Leaves the last error alone. */
    uint64_t (*written)(lsi_engine_stream *stream, uint32_t shard);

    ls_status (*appender_open)(lsi_engine_stream *stream, lsi_appender **out);
    void (*appender_close)(lsi_appender *appender);
    /* LS_OK with accepted == count or moved; else the reason why the rest was not written: `out` is filled even then,
     * and the first `accepted` are in the log. On LS_ERR_IO what lies beyond them is unknown. */
    ls_status (*append)(lsi_appender *appender, uint32_t shard, const lsi_append *batch, lsi_append_result *out);
    /* The same for a numbered put (producer.h): those records that are new, as one frame. All is accepted or nothing
     * (with LS_OK as well, where `users` says how), and `told` good with LS_OK alone; of `atomic` they are all new or
     * none is, else INVALID_ARGUMENT. `out->end` covers the first ones of those that were put before, too; 0: all of it
     * is durable. NULL: the engine has none. */
    ls_status (*append_numbered)(lsi_appender *appender, uint32_t shard, const lsi_append *batch,
                                 lsi_numbered *numbered, lsi_append_result *out);
    /* Waits until everything before `end` is as durable as `durability` (DEFAULT: the store's). LS_ERR_IO: unknown. Of
     * a store whose mode is not SYNC there is nothing to wait for, and no need to ask, unless `durability` is more. */
    ls_status (*commit)(lsi_appender *appender, uint32_t shard, uint64_t end, ls_durability durability);

    /* `flags`: LSI_READER_ bits, all of them hints. */
    ls_status (*reader_open)(lsi_engine_stream *stream, uint32_t shard, uint32_t flags, lsi_reader **out);
    void (*reader_close)(lsi_reader *reader);
    ls_status (*seek)(lsi_reader *reader, const ls_position *position); /* LATEST is resolved here. Failing: unmoved. */
    /* What can be read now, up to the limits but at least one record if there is one. TRIMMED moves to the oldest. */
    ls_status (*read)(lsi_reader *reader, uint32_t records_max, uint64_t bytes_max, lsi_read *out);
    /* A reader was told TRIMMED: adds it to what info() shows of the stream and consumers() of the consumer, in every
     * process. `consumer` NULL: the reader is none's. Leaves the last error alone; what cannot be counted is logged. */
    void (*count_cut)(lsi_engine_stream *stream, const lsi_consumer *consumer, const lsi_cut *cut);
    /* The next record to be read has at least this number: AT_SEQUENCE_NUMBER with it comes back here. */
    ls_seqno (*place)(const lsi_reader *reader);

    /* Waiting on one shard, or on all of a stream (LSI_NO_SHARD). `arm` never fails; its token goes to `sleep`. */
    uint32_t (*arm)(lsi_engine_stream *stream, uint32_t shard);
    lsi_sleep_result (*sleep)(lsi_engine_stream *stream, uint32_t shard, uint32_t token, int64_t timeout_us);
    void (*wake)(lsi_engine_stream *stream, uint32_t shard); /* ends the sleeps of all who armed: for cancelling */
    /* Who changes what others wait for may be killed before he wakes them. So `sleep` ends by itself after a second,
     * and `sleep_guarded` does not: it is for those on whose behalf somebody calls `rouse` twice a second, which ends
     * the sleeps of all who wait in this process for what has changed since the last call. Quick; touches no disk. */
    lsi_sleep_result (*sleep_guarded)(lsi_engine_stream *stream, uint32_t shard, uint32_t token, int64_t timeout_us);
    void (*rouse)(lsi_engine *engine);
} lsi_engine_ops;

/* The `fault_` options of store.h. */
typedef struct lsi_faults {
    uint64_t seed;
    uint32_t throttled_per_1000; /* the three together: 1000 at most */
    uint32_t failed_per_1000;
    uint32_t partial_per_1000;
    uint32_t latency_ms;
} lsi_faults;
static inline bool lsi_faults_strike(const lsi_faults *faults)
{
    return (faults->throttled_per_1000 | faults->failed_per_1000 | faults->partial_per_1000 | faults->latency_ms) != 0;
}

struct lsi_engine {
    const lsi_engine_ops *ops;
    lsi_env env; /* everything above and below points here */
    bool read_only;
    /* What the rooms above want of this handle; set once, before anything else is opened. */
    lsi_faults faults;
    _Atomic uint64_t faults_producers; /* opened so far */
    uint32_t streams_max;              /* 0: no limit; for create */
    uint32_t shards_max;               /* open ones, of all streams; for create and reshard */
    uint32_t transition_ms;            /* how long changes of consumers take */
    uint32_t stream_transition_ms;     /* and of streams: create, remove, reshard, encryption, LSI_CHANGE_MODE */
};
struct lsi_engine_stream {
    lsi_engine *engine;
    const char *name; /* for messages; as long as it is open */
};
struct lsi_appender {
    lsi_engine_stream *stream;
};
struct lsi_reader {
    lsi_engine_stream *stream;
    uint32_t shard;
};

/* Opens the local engine: the reference. `root_path` is a directory; with env->files of lsi_files_memory_new any name
 * does. Options are checked; zero means default, as in store.h. Copies `env`. */
ls_status lsi_local_open(const char *root_path, const ls_store_options *options, const lsi_env *env, lsi_engine **out);

#endif
