/* Inside the local engine: joins stream and storage into a store on disk. The door is engine/engine.h.
 *
 * What there is, from the outside in: an engine (an open store) holds a catalog (what the manifest said when it was
 * last read) and the streams this process uses; a stream holds its slot and a log for each shard that was touched.
 * Streams and logs are shared by all handles of the process.
 *
 * INVARIANTS, quoted by number in the code and in the tests.
 *  L1  A stream is there if and only if the manifest names it: replacing the manifest is the moment of creating and
 *      deleting. Directories come before it and go after it.
 *  L2  A stream's id is one that no stream had before: it is not below the manifest's next one when it is claimed, and
 *      nobody else gets it while it is. A directory of an id not below the next one was never named: it is set aside,
 *      not used (R6). `new-<id>` is of a stream that is being made; no record is in it before it is `<id>`.
 *  L3  Nobody acknowledges anything in a stream whose manifest may yet be taken back by a crash: while the manifest's
 *      generation is odd, streams are not opened before the manifest was written once more.
 *  L4  The settings that decide what readers see (durability) are read after attaching, and are changed only by one who
 *      is alone behind the gate.
 *
 * Locks: engine->lock (LSI_RANK_LOCAL) guards the catalog pointer, the list of streams and the log tables; it is held
 * for moments only and never while the disk is used. */
#ifndef LSI_ENGINE_LOCAL_LOCAL_H
#define LSI_ENGINE_LOCAL_LOCAL_H

#include "base/bytes.h"
#include "base/lock.h"
#include "base/thread.h"
#include "engine/engine.h"
#include "storage/storage.h"

#define LSI_MANIFEST_NAME "manifest"
#define LSI_MANIFEST_COPY_NAME "manifest.copy"
#define LSI_RESERVE_NAME "reserve"
#define LSI_UNFINISHED_PREFIX "new-" /* + id: the directory of a stream that is being made */
#define LSI_SYNC_INTERVAL_MS_DEFAULT 100u
#define LSI_SYNC_INTERVAL_MS_MAX 60000u
#define LSI_SEGMENT_BYTES_MIN (UINT64_C(64) << 10)
#define LSI_SEGMENT_BYTES_MAX (UINT64_C(1) << 30)
#define LSI_SEGMENT_BYTES_DEFAULT (UINT64_C(64) << 20)
#define LSI_SEGMENT_BYTES_UNIT (UINT64_C(4) << 10)
#define LSI_PREALLOC_BYTES_DEFAULT (UINT64_C(8) << 20)

/* ---- manifest_codec.c: what the manifest says, and its bytes ---- */

#define LSI_STREAM_RECOMPRESSES UINT32_C(1) /* upkeep compresses its sealed segments */

typedef struct lsi_catalog_stream {
    char name[LSI_STREAM_NAME_MAX + 1];
    uint64_t id;
    int64_t created_us;
    uint32_t flags;           /* LSI_STREAM_, and what a later release set and this one may ignore */
    uint32_t retention_hours;
    uint64_t retention_bytes; /* 0: no cap */
    int64_t horizon_us;       /* records that arrived before it are past their age, however long retention is now */
    ls_stream_mode mode;
    int64_t mode_changed_us[2]; /* the last change and the one before; 0: none */
    uint32_t record_bytes_max;
    lsi_rates rates;          /* not resolved */
    lsi_auto_scaling auto_scaling; /* resolved; all 0: off */
    ls_stream_status status;  /* until that time; afterwards see lsi_catalog_status */
    int64_t status_until_us;
    lsi_tags tags;
    lsi_log_terms terms; /* bytes that say nothing are 0 */
    bool has_state; /* state.c: there is a log of it */
    uint32_t consumer_count;
    lsi_consumer *consumers; /* in byte order of name */
    uint32_t shard_count;
    lsi_shard *shards; /* in rising order of index */
} lsi_catalog_stream;

typedef struct lsi_catalog_ids lsi_catalog_ids;

/* Immutable once it can be seen by others; goes with its last reference. */
typedef struct lsi_catalog {
    const lsi_memory *memory;
    atomic_uint refs;
    uint64_t seen;       /* lsi_control_manifest_generation() before the file was read */
    lsi_checked_head head; /* the file's */
    unsigned char store_id[16];
    ls_durability durability;
    uint32_t sync_interval_ms;
    uint64_t segment_bytes;
    uint64_t next_id;
    uint64_t consumer_id; /* the last one that a consumer was given; 0: none was */
    uint32_t stream_count;
    lsi_catalog_stream *streams; /* in byte order of name */
    _Atomic(lsi_catalog_ids *) ids; /* catalog_object.c */
} lsi_catalog;

/* catalog_object.c */
lsi_catalog *lsi_catalog_new(const lsi_memory *memory); /* empty, one reference; NULL: no memory */
lsi_catalog *lsi_catalog_ref(lsi_catalog *catalog);
void lsi_catalog_unref(lsi_catalog *catalog); /* accepts NULL */
const lsi_catalog_stream *lsi_catalog_find(const lsi_catalog *catalog, const char *name); /* NULL: none */
const lsi_catalog_stream *lsi_catalog_find_id(const lsi_catalog *catalog, uint64_t id);
const lsi_catalog_stream *lsi_catalog_after_id(const lsi_catalog *catalog, uint64_t id); /* the next one; NULL: none */
uint32_t lsi_catalog_after(const lsi_catalog *catalog, const char *name); /* index of the first name above `name` */
const lsi_consumer *lsi_catalog_find_consumer(const lsi_catalog *catalog, uint64_t id); /* of any stream */
/* A copy without stream `without` (0: none) and with `with` (NULL: none); what that points to is copied too. */
ls_status lsi_catalog_copy(const lsi_catalog *from, uint64_t without, const lsi_catalog_stream *with,
                           lsi_catalog **out);
/* manifest_codec.c */
/* The payload of the manifest; `*out` is the caller's (lsi_free). */
ls_status lsi_catalog_encode(const lsi_catalog *catalog, void **out, size_t *size);
ls_status lsi_catalog_decode(const lsi_memory *memory, const void *payload, size_t size, lsi_catalog **out);
/* consumer_codec.c: a stream's consumers in it */
size_t lsi_consumers_room(const lsi_catalog_stream *stream); /* 0: there are none */
void lsi_consumers_encode(lsi_writer *to, const lsi_catalog_stream *stream);
/* Fills `stream->consumers`, freed with the catalog whatever this answers. No id is above `last_id`. */
ls_status lsi_consumers_decode(lsi_cursor *from, const lsi_memory *memory, uint64_t last_id,
                               lsi_catalog_stream *stream);

/* ---- the engine ---- */

typedef struct lsi_local lsi_local;

/* A shard of a stream in use, as the catalog had it when it came to be known here. */
typedef struct lsi_local_shard {
    uint32_t index;
    bool is_closed; /* it may be by now, all the same: the log knows */
    ls_seqno first_seqno;
    uint64_t end;
    _Atomic bool is_gone;   /* no manifest names it any more, nor ever will */
    uint64_t roused;        /* engine->lock; rouse.c */
    _Atomic(lsi_log *) log; /* opened when first used, closed with the stream */
} lsi_local_shard;

/* The shards of a stream in use, by rising index. They only get more, and none ever moves, so finding one takes no
 * lock: chunk k holds 2^k of them. */
#define LSI_LOCAL_CHUNKS 21u
typedef struct lsi_local_shards {
    _Atomic uint32_t count;
    lsi_local_shard *chunks[LSI_LOCAL_CHUNKS];
} lsi_local_shards;

/* What the manifest says of a stream's retention, as of a generation of the stream. */
typedef struct lsi_local_settings {
    _Atomic uint64_t seen; /* that generation plus 1; 0: read it before you use them */
    _Atomic int64_t retention_us;
    _Atomic int64_t horizon_us;
    _Atomic ls_stream_status status; /* until that time; afterwards see lsi_catalog_status */
    _Atomic int64_t status_until_us;
} lsi_local_settings;

/* A stream this process uses. `base` is what the rooms above hold; one for all who opened it. */
typedef struct lsi_local_stream {
    lsi_engine_stream base;
    struct lsi_local_stream *next; /* engine->lock */
    uint32_t users;                /* engine->lock: opens that were not closed */
    uint64_t id;
    char name[LSI_STREAM_NAME_MAX + 1];
    lsi_slot *slot;
    lsi_engine_count *sync_counts; /* may be NULL */
    uint32_t trim_from;       /* upkeep lock: position of the shard with which the next piece begins */
    _Atomic uint32_t upkeep_mask; /* of the calls of who puts or reads: those without these bits ask if upkeep is due */
    _Atomic uint64_t checked; /* manifest generation at which it was last found in the catalog; even */
    lsi_local_settings settings;
    lsi_local_shards shards;
    _Atomic(struct lsi_local_state *) state; /* NULL: not asked for yet */
    uint64_t roused, roused_state; /* engine->lock; rouse.c */
} lsi_local_stream;

struct lsi_local {
    lsi_engine base;
    lsi_root root;
    lsi_descriptors descriptors; /* what can be closed when there are too few */
    lsi_control *control;
    const lsi_fork_mark *mark; /* the control's */
    lsi_lock lock;
    lsi_catalog *catalog; /* engine->lock */
    lsi_local_stream *streams; /* engine->lock; most recently opened first */
    uint32_t idle_count;       /* engine->lock: streams without users */
    ls_status late_failure;    /* engine->lock: the first sync that failed when an idle stream was given up */
    unsigned char store_id[16];
    ls_durability durability;
    uint32_t sync_interval_ms;
    uint64_t segment_bytes;
    uint64_t prealloc_bytes;
    _Atomic uint32_t was_full; /* the reserve was spent since a stream was deleted last */
    bool map_tail; /* small buffered frames go through a mapping */
    ls_key_callback key_callback; /* NULL: nobody can be asked for keys */
    void *key_user;
    _Atomic(struct lsi_local_key *) keys; /* keys.c */
    bool keeps_up; /* the thread does the upkeep */
    bool looked_at_clock;      /* engine->lock; retention.c, when somebody wants to hear of steps */
    int64_t clock_lead_us;     /* engine->lock: of wall over passing time when it was last looked at */
    int64_t clock_looked_us;   /* engine->lock: passing time of that */
    _Atomic uint32_t step_count; /* step.c: taken so far */
    _Atomic uint32_t hold_count; /* holds.c: begun so far */
    _Atomic uint32_t ticket_count; /* leases.c: from a number that was drawn */
    uint64_t rouse_count;      /* engine->lock; rouse.c: calls that met a manifest that is being replaced */
    uint32_t rouse_from;       /* engine->lock; rouse.c: how many streams are passed over for upkeep's sake */

    /* sweep.c */
    lsi_thread sweeper;
    _Atomic uint32_t sweeper_stop;
};

static inline lsi_local *lsi_local_of(const lsi_engine *engine)
{
    return (lsi_local *)(uintptr_t)engine;
}
static inline lsi_local_stream *lsi_local_stream_of(lsi_engine_stream *stream)
{
    return (lsi_local_stream *)stream;
}
static inline lsi_local *lsi_local_of_stream(const lsi_engine_stream *stream)
{
    return lsi_local_of(stream->engine);
}

/* open.c */
void lsi_local_lock(lsi_local *local); /* engine->lock */
void lsi_local_unlock(lsi_local *local);
ls_status lsi_local_is_elsewhere(void); /* says that this is a fork child */
static inline ls_status lsi_local_check_mine(const lsi_local *local) /* P9: LS_ERR_STATE in a fork child */
{
    return lsi_fork_mark_is_mine(local->mark) ? LS_OK : lsi_local_is_elsewhere();
}
ls_status lsi_local_check_writable(const lsi_local *local);

/* counts.c */
lsi_engine_count *lsi_local_counts(lsi_engine_stream *base, lsi_counts_kind kind, uint32_t number);
/* A shard is about to go: what its stream's sums have of it is kept in the stream's words. Locks: store lock held. */
void lsi_local_keep_counts(lsi_local *local, uint64_t stream, uint32_t shard);

/* catalog.c */
/* What the manifest says now; the caller gives the reference back. A writer settles what a dead one left (L3). */
ls_status lsi_local_catalog(lsi_local *local, lsi_catalog **out);
/* The same without settling and without the store lock, for who holds a shard's. */
ls_status lsi_local_catalog_look(lsi_local *local, lsi_catalog **out);
/* Reads the file, whatever is cached, and takes no lock. */
ls_status lsi_local_catalog_read(lsi_local *local, lsi_catalog **out);
ls_status lsi_local_catalog_load(const lsi_env *env, const lsi_root *root, lsi_catalog **out); /* before attaching */
ls_status lsi_local_catalog_load_from(const lsi_env *env, const lsi_root *root, const char *name, lsi_catalog **out);
/* The store lock, and the catalog under it, settled. */
ls_status lsi_local_catalog_lock(lsi_local *local, lsi_catalog **out);
ls_status lsi_local_catalog_try_lock(lsi_local *local, lsi_catalog **out); /* BUSY: somebody has it */
void lsi_local_catalog_unlock(lsi_local *local);
/* Ends the slots of shards that the catalog no longer names, or of streams that are DELETING. Locks: store lock held,
 * in a replacement. */
void lsi_local_drop_gone_shards(lsi_local *local, lsi_catalog *catalog);
/* Makes `catalog` the manifest. Once it is known which one counts, and before others are told that it changed, the
 * slots are made to agree by `settle` (NULL: nothing to do). Locks: store lock held. LS_ERR_IO: the old one or the new
 * one counts, the next who locks finds out, and `settle` was perhaps not called. Others: nothing was changed. */
typedef void (*lsi_local_settle)(void *user, bool replaced);
ls_status lsi_local_catalog_replace(lsi_local *local, lsi_catalog *catalog, lsi_local_settle settle, void *user);
/* The same for what must not fail on a full disk (E3): space is kept for it. */
ls_status lsi_local_catalog_replace_at_need(lsi_local *local, lsi_catalog *catalog, lsi_local_settle settle,
                                            void *user);
/* Lets a replacement that was left behind be settled, if there is one. `wait` false: not when the store is locked. */
ls_status lsi_local_catalog_settle(lsi_local *local, bool wait);
/* The manifest and then its copy, for a store that nobody can open yet: while it is made. LS_ERR_IO: either may be the
 * old one or the new one, or the copy is the old one and cannot be removed. */
ls_status lsi_local_catalog_write(const lsi_env *env, const lsi_root *root, const lsi_catalog *catalog);
ls_status lsi_local_list(lsi_engine *engine, const char *after, bool (*each)(void *user, const char *name), void *user);

/* manifest_copy.c */
/* Makes the copy these bytes, which the manifest has become, or removes it where that fails. LS_ERR_IO: an older one
 * may be there still, or come back after a crash. */
ls_status lsi_local_copy_write(const lsi_env *env, const lsi_root *root, const void *bytes, size_t size);
/* Of reading a checked file: bytes that are not as written, or that the disk does not give back. */
bool lsi_local_is_damage(ls_status st);
/* Writes the copy again where it is not what the manifest is, or not there. What cannot be written is missing, and no
 * failure. For who can change the store. */
ls_status lsi_local_copy_refresh(lsi_local *local);
/* Says that it is missing or differs, and writes it again (`repair`: nobody else has the store open). `beside`:
 * somebody may be at it. */
ls_status lsi_local_copy_verify(const lsi_env *env, const lsi_root *root, bool beside, bool repair,
                                lsi_inspection *inspection);
/* Of a store whose manifest cannot be used: what the copy says, if it is whole and of this store. CORRUPT,
 * NOT_FOUND. */
ls_status lsi_local_copy_find(const lsi_env *env, const lsi_root *root, lsi_catalog **out);
/* Puts it in the manifest's place. `kept`: as what the damaged one is kept, "" when there was none. Locks: gate held,
 * and nobody else attached. */
ls_status lsi_local_copy_restore(const lsi_env *env, const lsi_root *root, lsi_catalog *catalog,
                                 char kept[LSI_KEPT_NAME_BYTES]);

/* create.c */
ls_status lsi_local_create(lsi_engine *engine, const lsi_stream_spec *spec);
ls_status lsi_local_remove(lsi_engine *engine, const char *name);
ls_status lsi_local_remove_with_consumers(lsi_engine *engine, const char *name);
/* STATE: `after` has more streams or open shards than this handle may make, and more than `before`. `name` is of the
 * stream that would be the reason. */
ls_status lsi_local_check_limits(const lsi_local *local, const char *name, const lsi_catalog *before,
                                 const lsi_catalog *after);

/* Makes room for the slots of all streams of the catalog, so that a disk that is full later stops nobody from reading
 * them (E3). Leaves the last error alone. Locks: store lock held. */
ls_status lsi_local_slots_reserve(lsi_local *local, const lsi_catalog *catalog);
/* Ends the streams that have been DELETING for their time. */
ls_status lsi_local_bury(lsi_local *local);

/* transition.c: what a stream is doing, by a time that the manifest states */
#define LSI_STREAM_GONE 0
ls_stream_status lsi_catalog_status(const lsi_catalog_stream *of, int64_t now_us); /* LSI_STREAM_GONE: as if deleted */
/* The stream of the catalog. NOT_FOUND: it has none, or it is gone. */
ls_status lsi_local_find(lsi_local *local, const lsi_catalog *catalog, const char *name,
                         const lsi_catalog_stream **out);
ls_status lsi_local_find_mine(const lsi_local_stream *stream, const lsi_catalog *catalog,
                              const lsi_catalog_stream **out);
/* STATE: it is not ACTIVE, so nothing of it is changed. */
ls_status lsi_local_check_active(lsi_local *local, const lsi_catalog_stream *found);
/* With a delay for changes a stream that is about to be `after` is UPDATING for so long, or what `status` says. */
void lsi_local_begin_transition(lsi_local *local, lsi_catalog_stream *after, ls_stream_status status);
/* lsi_local_stream_check for who puts or reads: NOT_FOUND also while it is CREATING or DELETING. */
ls_status lsi_local_stream_check_usable(lsi_local_stream *stream);

/* strays.c */
/* Removes a stream's directory with all its logs, as far as it can. TIMEOUT: that monotonic time is over. */
ls_status lsi_local_remove_dir(lsi_local *local, const char *dir, int64_t until_us);
ls_status lsi_local_remove_tree(const lsi_env *env, const lsi_root *root, const char *dir,
                                int64_t until_us); /* the same in another root */
/* Renames the directory of a stream that was never named, so that its id can be used (L2). LS_OK when there is none. */
ls_status lsi_local_set_aside(lsi_local *local, uint64_t id);
/* Looks for directories that the manifest does not name: in the root, and in the directories of `streams_max` streams,
 * beginning behind the one of `*id`, which becomes that of the last one looked at; 0 when there is none behind it.
 * TIMEOUT: that monotonic time is over, and something is left. */
ls_status lsi_local_clear_strays(lsi_local *local, uint64_t *id, uint32_t streams_max, int64_t until_us);

/* reshard.c */
ls_status lsi_local_reshard(lsi_engine_stream *stream, const lsi_reshard_step *steps, uint32_t count, bool goes_on,
                            uint32_t *first_child);
/* Removes the logs of a stream's shards that no manifest names. TIMEOUT: as above. */
ls_status lsi_local_clear_shards(lsi_local *local, uint64_t id, int64_t until_us);

/* shards.c. Locks: engine->lock held, but for `find`, which needs none, and `close`, when nobody uses the stream. */
/* Adds those that are above all known ones. LS_ERR_NO_MEMORY: some may have been added. */
ls_status lsi_local_shards_add(const lsi_memory *memory, lsi_local_shards *shards, const lsi_catalog_stream *from);
void lsi_local_shards_mark_gone(lsi_local_shards *shards, const lsi_catalog_stream *from); /* those it does not name */
lsi_local_shard *lsi_local_shards_find(const lsi_local_shards *shards, uint32_t index); /* NULL: not known */
lsi_local_shard *lsi_local_shards_at(const lsi_local_shards *shards, uint32_t position); /* below their count */
ls_status lsi_local_shards_close(const lsi_memory *memory, lsi_local_shards *shards); /* the first error of a log */

/* terms.c. For lsi_log_config: of an lsi_catalog_stream, and of an lsi_local_stream. */
ls_status lsi_local_terms_of(void *user, lsi_log_terms *out);
ls_status lsi_local_terms_now(void *user, lsi_log_terms *out);
ls_status lsi_local_start_encryption(lsi_engine *engine, const char *name, const char *key_id);
ls_status lsi_local_stop_encryption(lsi_engine *engine, const char *name);
ls_status lsi_local_set_compression(lsi_engine *engine, const char *name, uint32_t codec);

/* consumers.c */
/* A consumer's slots are found by this in the place of a stream's id, which never is so high. */
static inline uint64_t lsi_consumer_slot_id(uint64_t consumer)
{
    return consumer | UINT64_C(1) << 63;
}
uint32_t lsi_local_count_consumers(const lsi_catalog_stream *stream, int64_t now_us);
ls_status lsi_local_register_consumer(lsi_engine_stream *stream, const char *name, lsi_consumer *out);
ls_status lsi_local_deregister_consumer(lsi_engine_stream *stream, const char *name);
ls_status lsi_local_consumers(lsi_engine_stream *stream, bool (*each)(void *user, const lsi_consumer *consumer),
                              void *user);

/* holds.c */
ls_status lsi_local_hold(lsi_engine_stream *stream, const lsi_consumer *consumer, uint32_t shard, bool is_limited,
                         lsi_hold *out);
ls_status lsi_local_hold_check(lsi_engine_stream *stream, const lsi_consumer *consumer, uint32_t shard,
                               const lsi_hold *hold);
void lsi_local_hold_end(lsi_engine_stream *stream, const lsi_hold *hold);
/* The consumer's slot in the shard, which is there no longer than the consumer. */
ls_status lsi_local_consumer_slot(const lsi_local_stream *stream, const lsi_consumer *consumer, uint32_t shard,
                                  lsi_slot **out);

/* cuts.c */
void lsi_local_count_cut(lsi_engine_stream *stream, const lsi_consumer *consumer, const lsi_cut *cut);
lsi_cuts lsi_local_cuts_of(const lsi_slot *slot); /* a stream's, or what lsi_local_consumer_cuts finds */
lsi_cuts lsi_local_consumer_cuts(lsi_local *local, uint64_t consumer);

/* keys.c */
/* For lsi_log_config, of an lsi_local_stream. */
ls_status lsi_local_find_key(void *user, const lsi_log_terms *terms, bool ask, const lsi_key **out);
/* Asks the application; `*out` is the caller's. No lock is held. */
ls_status lsi_local_ask_for_key(lsi_local *local, const char *key_id, lsi_key **out);
ls_status lsi_local_keep_key(lsi_local *local, const char *key_id, lsi_key *key); /* Given, on LS_OK. */
void lsi_local_free_keys(lsi_local *local);

/* stream.c */
/* The rest is the shard's: see lsi_log_config. */
void lsi_local_log_config(lsi_local *local, const char *name, uint64_t id, uint32_t shard, lsi_slot *stream_slot,
                          lsi_log_config *out);
static inline void lsi_local_log_config_of(lsi_local *local, const lsi_catalog_stream *stream, const lsi_shard *shard,
                                           lsi_log_config *out)
{
    lsi_local_log_config(local, stream->name, stream->id, shard->index, NULL, out);
    out->first_seqno = shard->first_seqno;
    out->is_closed = shard->closed;
    out->end = shard->end;
    out->terms = lsi_local_terms_of;
    out->terms_user = (void *)(uintptr_t)stream; /* borrowed; only read */
}
ls_status lsi_local_stream_open(lsi_engine *engine, const char *name, lsi_engine_stream **out);
void lsi_local_stream_close(lsi_engine_stream *stream);
/* By id, for the sweeper; NOT_FOUND when it is gone. Close it with lsi_local_stream_close. */
ls_status lsi_local_stream_use(lsi_local *local, uint64_t id, lsi_local_stream **out);
/* Frees streams without users: those that were deleted, and the oldest ones when there are too many. Blocks on disk.
 * Locks: none held. */
void lsi_local_give_up_idle(lsi_local *local);
ls_status lsi_local_streams_close(lsi_local *local); /* all of them, at the engine's end; the first error */
/* LS_ERR_STATE in a fork child, LS_ERR_NOT_FOUND when it was deleted. */
ls_status lsi_local_stream_check(lsi_local_stream *stream);
/* The same, looking at the manifest too if that has changed: for a reader that finds nothing. */
ls_status lsi_local_stream_recheck(lsi_local_stream *stream);
/* `st`, or NOT_FOUND when it came of the stream having been deleted meanwhile, or of the shard (LSI_NO_SHARD: of none)
 * having been removed: that is no damage. */
ls_status lsi_local_stream_explain(lsi_local_stream *stream, uint32_t shard, ls_status st);
ls_status lsi_local_stream_log(lsi_local_stream *stream, uint32_t shard, lsi_log **out);
ls_status lsi_local_any_log(lsi_local_stream *stream, uint32_t shard, lsi_log **out); /* also that of LSI_STATE_SHARD */
bool lsi_local_shard_is_gone(lsi_local_stream *stream, uint32_t shard); /* it was there, and expired */
ls_status lsi_local_stream_info(lsi_engine_stream *stream, lsi_stream_info *out);
uint64_t lsi_local_stream_generation(lsi_engine_stream *stream);
lsi_budget_word *lsi_local_budget(lsi_engine_stream *stream, uint32_t shard);
ls_status lsi_local_shard_state(lsi_engine_stream *stream, uint32_t shard, lsi_shard_state *out);
ls_status lsi_local_count_from(lsi_engine_stream *stream, uint32_t shard, ls_seqno first, uint64_t *out);
ls_status lsi_local_reset_shard(lsi_engine_stream *stream, uint32_t shard);

/* state.c */
ls_status lsi_local_state_read(lsi_engine_stream *stream, ls_bytes prefix,
                               bool (*each)(void *user, const lsi_state_entry *entry), void *user);
ls_status lsi_local_state_write(lsi_engine_stream *stream, lsi_state_change *changes, uint32_t count,
                                uint32_t *conflict);
void lsi_local_state_place(const char *name, uint64_t id, lsi_log_config *out); /* its directory and label */
void lsi_local_state_config_of(lsi_local *local, const lsi_catalog_stream *stream, lsi_log_config *out);
ls_status lsi_local_state_log(lsi_local_stream *stream, lsi_log **out); /* NOT_FOUND: it has none */
lsi_slot *lsi_local_state_slot(const lsi_local_stream *stream); /* NULL: nobody has used it here */
ls_status lsi_local_state_free(const lsi_memory *memory, struct lsi_local_state *state); /* accepts NULL */

/* step.c */
ls_status lsi_local_step(lsi_engine_stream *stream, lsi_state_change *changes, uint32_t change_count,
                         lsi_step_put *puts, uint32_t put_count, uint32_t *conflict);
/* For lsi_log_config, of an lsi_local. */
ls_status lsi_local_step_decide(void *user, uint64_t decider, const lsi_log_config *of, ls_seqno first_seqno,
                                bool look_only, bool *is_taken);

/* leases.c */
ls_status lsi_local_lease_words(lsi_engine_stream *stream, uint32_t group, uint32_t shard, lsi_budget_word **out);
const lsi_budget_word *lsi_local_find_lease_words(lsi_engine_stream *stream, uint32_t group, uint32_t shard);
uint64_t lsi_local_ticket(lsi_engine *engine);
bool lsi_local_ticket_is_gone(lsi_engine *engine, uint64_t ticket);
ls_status lsi_local_sync_shard(lsi_engine_stream *stream, uint32_t shard);
uint64_t lsi_local_written(lsi_engine_stream *stream, uint32_t shard);

/* append.c */
ls_status lsi_local_appender_open(lsi_engine_stream *stream, lsi_appender **out);
void lsi_local_appender_close(lsi_appender *appender);
ls_status lsi_local_append(lsi_appender *appender, uint32_t shard, const lsi_append *batch, lsi_append_result *out);
ls_status lsi_local_append_numbered(lsi_appender *appender, uint32_t shard, const lsi_append *batch,
                                    lsi_numbered *numbered, lsi_append_result *out);
ls_status lsi_local_commit(lsi_appender *appender, uint32_t shard, uint64_t end, ls_durability durability);

/* read.c */
ls_status lsi_local_reader_open(lsi_engine_stream *stream, uint32_t shard, uint32_t flags, lsi_reader **out);
void lsi_local_reader_close(lsi_reader *reader);
ls_status lsi_local_seek(lsi_reader *reader, const ls_position *position);
ls_status lsi_local_read(lsi_reader *reader, uint32_t records_max, uint64_t bytes_max, lsi_read *out);
ls_seqno lsi_local_place(const lsi_reader *reader);
uint32_t lsi_local_arm(lsi_engine_stream *stream, uint32_t shard);
lsi_sleep_result lsi_local_sleep(lsi_engine_stream *stream, uint32_t shard, uint32_t token, int64_t timeout_us);
lsi_sleep_result lsi_local_sleep_guarded(lsi_engine_stream *stream, uint32_t shard, uint32_t token, int64_t timeout_us);
void lsi_local_wake(lsi_engine_stream *stream, uint32_t shard);

/* rouse.c */
void lsi_local_rouse(lsi_engine *engine);

/* backup.c */
ls_status lsi_local_backup(lsi_engine *engine, const lsi_files *files, const char *path, lsi_copy_progress progress,
                           void *user);
/* settings.c */
ls_status lsi_local_update(lsi_engine_stream *stream, const lsi_stream_change *change);
ls_status lsi_local_tags(lsi_engine_stream *stream, bool (*each)(void *user, const ls_tag *tag), void *user);

/* retention.c */
void lsi_local_look_at_clock(lsi_local *local); /* E8: the more often, the more is known of it */
void lsi_local_settings_follow(lsi_local_stream *stream); /* what the manifest says now, of settings and shards */
/* Notes what the catalog of that generation says of the stream. */
void lsi_local_settings_take(lsi_local_stream *stream, const lsi_catalog_stream *from, uint64_t generation);
void lsi_local_settings_take_status(lsi_local_stream *stream, const lsi_catalog_stream *from); /* its part of that */
int64_t lsi_local_expired_before_us(void *stream, int64_t arrival_us); /* of lsi_log_config */
/* Records that arrived before may be deleted. */
int64_t lsi_local_trim_before_us(lsi_local_stream *stream);
/* The time of day, unless the clock has just jumped ahead (E8). */
int64_t lsi_local_time_us(lsi_local *local);
/* As long ago as the stream's retention by that time: what listings of shards begin at. */
int64_t lsi_local_retained_from_us(lsi_local *local, const lsi_catalog_stream *of);
/* Records that arrived before are past their age by what the catalog says, for good. */
int64_t lsi_local_horizon_us(lsi_local *local, const lsi_catalog_stream *of);

/* expire.c: the shard at position `i` is closed, and all its records arrived before. */
bool lsi_local_shard_is_over(const lsi_catalog_stream *of, uint32_t i, int64_t before_us);
/* Removes the closed shards whose records all arrived before: all, or a piece of them, and then without
 * waiting for the store lock (BUSY). `*is_left`: some are left. */
ls_status lsi_local_expire_shards(lsi_local_stream *stream, int64_t before_us, bool is_all, bool *is_left);

/* trimming.c: `is_all`, or a piece of it. `*is_left`: something is due still. Locks: the stream's upkeep lock held. */
ls_status lsi_local_trim_stream(lsi_local_stream *stream, bool is_all, int64_t until_us, bool *is_left);

/* recompressing.c: `pieces` segments at most. `*is_left`: there are more, or one could not be done now. Locks: the
 * stream's upkeep lock held. */
ls_status lsi_local_recompress_stream(lsi_local_stream *stream, uint32_t pieces, int64_t until_us,
                                      uint64_t *saved_bytes, bool *is_left);
/* The same when the stream asks for it (ls_stream_set_recompression): all, or one. */
ls_status lsi_local_recompress_if_asked(lsi_local_stream *stream, bool is_all, int64_t until_us, bool *is_left);

/* autoscale.c: looks at the loads of an on-demand stream's shards, when that is due, and splits or merges at most once.
 * Waits for no store lock that somebody has. Never fails; what went wrong is logged. Locks: the stream's upkeep
 * lock. */
void lsi_local_auto_scale(lsi_local_stream *stream);

/* upkeep.c: a piece, if it is due and nobody else is at it, by whoever puts or reads; by who opened the store, of some
 * streams; by the thread, of all that are due. They never fail, and leave the last error alone. */
void lsi_local_upkeep_turn(lsi_local_stream *stream);
bool lsi_local_upkeep_is_due(const lsi_local_stream *stream, int64_t passing_us);
void lsi_local_upkeep_of_open(lsi_local *local, bool is_alone);
void lsi_local_upkeep_of_thread(lsi_local *local);
/* All there is, whoever is at it; until that monotonic time. LS_ERR_TIMEOUT: something is left. */
ls_status lsi_local_upkeep_all(lsi_local *local, int64_t until_us);
ls_status lsi_local_recompress(lsi_engine_stream *stream, int64_t timeout_ms, uint64_t *saved_bytes);
/* For who puts or reads again and again: a turn at the first time, then now and then, and when a roll asks for it. */
#define LSI_UPKEEP_MASK 63u /* 0 where shards' loads are looked at: who puts rarely may put much */
static inline void lsi_local_upkeep_count(lsi_local_stream *stream, uint32_t *calls)
{
    if (((*calls)++ & atomic_load_explicit(&stream->upkeep_mask, memory_order_relaxed)) == 0 ||
        atomic_load_explicit(&stream->slot->upkeep_wanted, memory_order_relaxed) != 0)
        lsi_local_upkeep_turn(stream);
}

/* sweep.c */
/* Every open shard of the catalog that no slot knows; `known_too`: those as well. One error, and the others all the
 * same: CORRUPT only where there is no other. `sweeping`: until the sweeper is told to stop, LS_ERR_STATE then. */
ls_status lsi_local_sync_catalog(lsi_local *local, const lsi_catalog *catalog, bool known_too, bool sweeping);
ls_status lsi_local_sync(lsi_engine *engine); /* every shard that has something to sync, whoever wrote it */
ls_status lsi_local_sweeper_start(lsi_local *local);
void lsi_local_sweeper_stop(lsi_local *local);

/* inspect.c, for unstable/inspect.h: `path` is the store's directory; nothing is opened but for a repair. */
ls_status lsi_local_inspect(const lsi_env *env, const char *path, const ls_inspect_options *options, bool repair,
                            lsi_inspection *inspection);
ls_status lsi_local_inspect_status(const lsi_env *env, const char *path, const ls_inspect_callbacks *callbacks,
                                   void *user);
/* no_manifest.c: verify all the same. `why`: what reading it answered; its message is this thread's last error.
 * LS_ERR_NOT_FOUND when this is no store at all. */
ls_status lsi_local_inspect_no_manifest(const lsi_env *env, const lsi_root *root, const char *path, ls_status why,
                                        lsi_inspection *inspection);
/* Whether what is there, whatever the manifest is, is of the store `store_id`, or could be. */
ls_status lsi_local_is_of_store(const lsi_env *env, const lsi_root *root, const unsigned char store_id[16], bool *out);
/* `path` is a file. */
/* unnamed.c. Tells of the directories of shards, or of the stream `id`'s, that are younger than the manifest and have
 * records. The second: whether it was told. Nobody has the store open: who has is about to name what he makes. */
void lsi_local_unnamed_shards(const lsi_root *root, const lsi_catalog *catalog, lsi_inspection *inspection);
bool lsi_local_unnamed_stream(const lsi_root *root, const lsi_catalog *catalog, const char *entry, uint64_t id,
                              lsi_inspection *inspection);

ls_status lsi_local_dump(const lsi_env *env, const char *path, ls_inspect_line_callback line, void *user);

/* ---- reserve.c: never fails, and leaves the last error alone ---- */
void lsi_local_reserve_make(lsi_local *local);
/* True: some space may have become free. */
bool lsi_local_reserve_spend(lsi_local *local);
/* Waits until what was removed can be used again: some file systems free it with their next transaction only. */
void lsi_local_space_is_back(lsi_local *local);
/* Says what is wrong with it, and sets it aside when that is to be repaired. */
void lsi_local_reserve_verify(const lsi_root *root, bool repair, lsi_inspection *inspection);

#endif
