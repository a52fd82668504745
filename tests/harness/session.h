/* One process's use of a store on a sim, through the public calls, with every question and answer noted in a truth.
 *
 * No call stops at a failure: what a status says is true afterwards (nothing was written, or the outcome is unknown) is
 * what goes into the truth. A handle that could not be opened is tried again by the next call that wants it. Time and
 * random numbers follow from the seed, so that a run can be repeated. For the same reason no thread of the library ever
 * gets a processor: what the one of INTERVAL mode would do is done where session_sync() is called. But for those of a
 * mapping (session_flow.c).
 *
 * What is wrong at once (a reader is shown something else than was put) is a complaint; so is what the harness says by
 * session_complain(). */
#ifndef LST_SESSION_H
#define LST_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "harness/truth.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define SESSION_STREAMS_MAX 16u
#define SESSION_SEGMENT_BYTES (64u << 10)

/* The shards that a stream was last described with. */
typedef struct session_shards {
    uint32_t count; /* 0: not known */
    ls_shard_info at[TRUTH_SHARDS_MAX];
} session_shards;

/* Of the group of one stream. */
#define SESSION_WORKERS 2u
typedef struct session_worker {
    ls_group *group;
    ls_lease *leases[TRUTH_LEASES]; /* that it has, or had when it listened last; by shard */
} session_worker;

typedef struct session {
    sim_files *sim;
    truth *truth;
    sim_memory memory;
    uint64_t threads, threads_failed; /* the library asked for */
    uint64_t thread_fails;            /* this one cannot be had; 0: none */
    bool threads_stay_away;           /* nor those after it */
    lsi_env env;
    uint64_t random; /* state */
    _Atomic int64_t now_us;
    ls_delivery *delivery; /* that runs, */
    int64_t deliver_until_us; /* and is stopped then; 0: none does */
    ls_durability durability;
    ls_store *store;
    ls_stream *streams[SESSION_STREAMS_MAX];
    ls_producer *producers[SESSION_STREAMS_MAX];
    session_shards shards[SESSION_STREAMS_MAX];
    session_worker workers[SESSION_WORKERS];
    ls_window *window;
    uint32_t worked_on; /* the stream of both */
    uint64_t rest[TRUTH_WINDOWS]; /* what windows have that did not fire by themselves */
    bool is_finishing;            /* they are made to fire now */
    bool is_sealed[SESSION_STREAMS_MAX]; /* it was said that what is put now is encrypted */
    ls_store *watcher; /* a reader's store, see session_watch */
    ls_stream *watched_stream;
    uint32_t watched;
    bool is_watching;
    unsigned char *data; /* of the records being put */
    bool stays;        /* what is read now may not be taken back by a loss of power, whatever the mode */
    bool damage_is_wrong; /* LS_ERR_CORRUPT is a complaint: there was nothing but loss of power, and kills */
    bool io_is_wrong;     /* so is LS_ERR_IO: no call of the system fails */
    bool may_have_failed; /* faults were set: examining resets shards that failed */
    bool failed[SESSION_STREAMS_MAX][TRUTH_SHARDS_MAX]; /* syncs of theirs failed: they refuse puts (E1) */
    bool written[SESSION_STREAMS_MAX][TRUTH_SHARDS_MAX]; /* since the store was opened, so they are recovered */
    size_t looked_at;  /* up to here the log was looked through for failed syncs */
    uint32_t write_bytes_per_second; /* of streams that are created from now on; 0: the default */
    uint64_t retention_bytes; /* of streams that are created from now on, as in stream_fact; with a cap: of one shard */
    uint32_t retention_hours;
    bool numbers;                    /* puts to streams that are created from now on are numbered */
    size_t workload;   /* its index, for who runs it as a process */
    ls_status last;    /* of the call before */
    bool put_io;       /* a put was answered with LS_ERR_IO */
    unsigned complaints;
    char complaint[256]; /* the first */
} session;

void session_init(session *of, sim_files *sim, truth *history, uint64_t seed);
void session_free(session *of); /* Complains about what was not freed. Closes nothing. */
/* After its process was killed: what it had allocated is nobody's. */
void session_bury(session *of);

void session_complain(session *of, const char *format, ...) __attribute__((format(printf, 2, 3)));

ls_status session_open(session *of, ls_durability durability);
ls_status session_close(session *of);
ls_status session_create(session *of, const char *name, uint32_t shard_count, uint32_t *out);
ls_status session_delete(session *of, uint32_t stream);
ls_status session_put(session *of, uint32_t stream, uint32_t shard, uint32_t bytes);
ls_status session_batch(session *of, uint32_t stream, uint32_t shard, uint32_t count, uint32_t bytes, bool atomic);
/* Each does nothing, LS_ERR_STATE, with a shard that is not there or not open, because what should have made it failed.
 * Doubling closes every open shard, and is done only when all have the same width. */
ls_status session_split(session *of, uint32_t stream, uint32_t shard);
ls_status session_merge(session *of, uint32_t stream, uint32_t shard, uint32_t adjacent);
ls_status session_double(session *of, uint32_t stream);
/* With the key called `key_id`; NULL: no more. Keys follow from their ids. From then on no byte of a record may be
 * written as it is (X5). */
ls_status session_encrypt(session *of, uint32_t stream, const char *key_id);
ls_status session_compress(session *of, uint32_t stream, ls_compression compression);
/* Compresses the full segments, now. */
ls_status session_press(session *of, uint32_t stream);
/* Sets one of TRUTH_HOURS .. TRUTH_SCALING, registers (1) or deregisters (0) a consumer, or changes one value of the
 * state. A stream that scales, with the value as `shards_max`, does so within seconds of the session's clock. */
ls_status session_set(session *of, uint32_t stream, uint32_t setting, uint64_t value);
/* The first `count` values of the state, by one change. */
ls_status session_state(session *of, uint32_t stream, uint32_t count, uint64_t value);
/* `count` tags from the one called `first` on, by one call; the value 0 removes them. */
ls_status session_tag(session *of, uint32_t stream, uint32_t first, uint32_t count, uint64_t value);
/* Worker `which` of the stream's group looks, with the others, until they are at rest: it takes what it can, and gives
 * over what another one wants. */
ls_status session_work(session *of, uint32_t stream, uint32_t which);
/* A checkpoint at the last record of the shard that was acknowledged, by who has its lease; at the end of one that was
 * split or merged. LS_ERR_STATE: nobody has it, or there is no record. */
ls_status session_checkpoint(session *of, uint32_t stream, uint32_t shard);
ls_status session_end(session *of, uint32_t stream, uint32_t shard);
/* The same checkpoint is prepared; one that is made, or the end, settles it. */
ls_status session_prepare(session *of, uint32_t stream, uint32_t shard);
/* Who has the lease stands still until the other one has it, and is refused when it goes on (O5). */
void session_outlast(session *of, uint32_t stream, uint32_t shard);
/* The same checkpoint, and a record in each open shard of all other streams, by one transaction. */
ls_status session_step(session *of, uint32_t stream, uint32_t shard, uint32_t bytes);
/* Makes a mapping of the stream; works on all of it that was not yet: of each record its handler makes one in `to`. */
ls_status session_map(session *of, uint32_t stream, uint32_t to);
ls_status session_drain(session *of, uint32_t stream);
/* Counts the stream's records in windows, under a name, up to the last one; what is counted is stored. */
ls_status session_count(session *of, uint32_t stream);
/* Copies the store into a directory of the same disk, or what is new of it. */
ls_status session_backup(session *of);
/* Makes a delivery of the stream to a directory of the same disk (`how`: TRUTH_DELIVERED or TRUTH_SORTED); runs it
 * until all is delivered; gives it other settings. */
ls_status session_delivery(session *of, uint32_t stream, uint32_t how);
ls_status session_deliver(session *of, uint32_t stream);
ls_status session_redirect(session *of, uint32_t stream);
/* The same of one that is TRUTH_DELIVERED: another directory and a transform, or `back` to the first and none. */
ls_status session_move(session *of, uint32_t stream, bool back);
/* The open shard that has the lowest hash key; 0 if that is not known. */
uint32_t session_lowest(session *of, uint32_t stream);
/* Every numbered put of the stream once more, when all of it was read: one that is there is answered as it was, or
 * would have been, and is not there twice; one that is not is put now. Only the last ones may not be too old for it. */
ls_status session_repeat(session *of, uint32_t stream);
ls_status session_sync(session *of);
ls_status session_reset(session *of, uint32_t stream, uint32_t shard);
ls_status session_maintain(session *of);
void session_pass(session *of, int64_t us); /* Time goes on, and records grow old. */
/* Reads the shard from its horizon, and checks it against the truth: `power` as truth_check has it. */
ls_status session_read(session *of, uint32_t stream, uint32_t shard, bool power);
ls_status session_read_all(session *of, uint32_t stream);
/* From now until the session is closed another reader looks at shard 0 of the stream whenever a segment is about to be
 * synced, when readers may be shown what is not durable yet (D3). Not with faults or kills. */
void session_watch(session *of, uint32_t stream);
/* LS_OK, and what ls_shard_info says of the shard's health. */
ls_status session_health(session *of, uint32_t stream, uint32_t shard, ls_status *health);

/* The session is closed, and another process does `work` and dies at its `nth` call of files; false: it has ended
 * before that. Not with faults or kills. */
bool session_die(session *of, void (*work)(session *of), uint64_t nth);

/* ---- after a crash, a kill or a fault ---- */

/* Opens the store and holds all of it against the truth as of `at` operations of the log: streams, records, health.
 * Then puts a record into every shard and reads it back. The session stays open.
 * `shown_at` (may be NULL) is the place in the log where everything had been read and nothing new was put. */
void session_examine(session *of, ls_durability durability, size_t at, bool power, size_t *shown_at);

#endif
