/* The door of storage: one shard's log. Bytes that survive a crash; what a stream is, is not known here. */
#ifndef LSI_STORAGE_STORAGE_H
#define LSI_STORAGE_STORAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <libstream/iterator.h>
#include <libstream/producer.h>
#include <libstream/store.h>

#include "base/crypto.h"
#include "base/env.h"
#include "storage/control.h"
#include "storage/descriptors.h"
#include "storage/manifest.h"

typedef struct lsi_log lsi_log;               /* this process's view of one shard's log; any thread */
struct lsi_framer; /* frame.h */
typedef struct lsi_framer lsi_framer;         /* a private buffer in which frames are made; one thread at a time */
typedef struct lsi_log_reader lsi_log_reader; /* one thread at a time */

#define LSI_LOG_DIR_BYTES 64

/* What a segment takes from its stream when it is begun: its header states it. */
#define LSI_KEY_ID_BYTES_MAX 256u
#define LSI_KEY_MARK_BYTES 16u
typedef struct lsi_log_terms {
    uint32_t codec;        /* LSI_CODEC_: what frames are compressed with, where it gains */
    uint32_t key_id_bytes; /* 0: it is not encrypted */
    unsigned char key_mark[LSI_KEY_MARK_BYTES]; /* lsi_seal_mark */
    char key_id[LSI_KEY_ID_BYTES_MAX + 1];      /* ends with a zero byte */
} lsi_log_terms;
/* What tells a stream's keys apart and says nothing about them. */
ls_status lsi_seal_mark(const unsigned char store_id[16], uint64_t stream, const lsi_key *key,
                        unsigned char mark[LSI_KEY_MARK_BYTES]);

#define LSI_CLOCK_FLOOR_US INT64_C(1577836800000000) /* 2020-01-01: a clock that says less is wrong (age.c) */

/* Everything a log needs to know. Borrowed pointers live as long as the store is open. */
typedef struct lsi_log_config {
    const lsi_env *env;
    const lsi_root *root;
    lsi_control *control;
    lsi_descriptors *descriptors; /* NULL: files stay open, however many there are */
    unsigned char store_id[16];
    uint64_t stream;             /* id */
    uint32_t shard;
    ls_durability durability;    /* the store's; decides what readers see (D3) */
    uint64_t segment_bytes;
    uint64_t prealloc_bytes;     /* LS_PREALLOC_NONE: none */
    ls_seqno first_seqno;        /* the shard's first */
    int64_t first_arrival_us;    /* no record is older; for lsi_log_create only */
    bool synced_later;           /* for lsi_log_create only: the caller makes all it wrote durable (bulk_end) */
    bool is_closed;              /* it takes no more records, and ends at `end`: what lies beyond is nobody's */
    uint64_t end;
    bool read_only;
    bool map_tail;               /* small buffered frames may be stored into a mapping (LSI_FS_IN_PLACE) */
    lsi_slot *stream_slot;       /* readers of all shards sleep here; woken with the shard's own. May be NULL. */
    _Atomic uint64_t *sync_counts; /* how long syncs take (lsi_count_duration). May be NULL. */
    /* Records that count as arrived (age.c) before what this answers are past their age: no reader is shown them. It
     * is asked about one that arrived at `arrival_us` (INT64_MIN: about none), and any answer that is not above says
     * that it is not; so there is no need to know exactly. NULL: none are. */
    int64_t (*expired_before_us)(void *user, int64_t arrival_us);
    void *expired_user;
    /* What the stream's terms are now. Called while append_lock is held. NULL: plain ones. */
    ls_status (*terms)(void *user, lsi_log_terms *out);
    void *terms_user;
    /* The key that `terms` name, which lasts as long as the store is open. `ask`: the application may be asked, so no
     * lock is held; else `*out` stays NULL when it is not at hand. KEY: there is none, or another one. NULL: none
     * is. */
    ls_status (*key)(void *user, const lsi_log_terms *terms, bool ask, const lsi_key **out);
    void *key_user;
    /* Whether the step was taken whose frame begins with that number in this log: what the stream `decider` remembers.
     * No lock is held. Once it said no it never says yes. `look_only`: no may become yes. NULL: nobody knows. */
    ls_status (*decide)(void *user, uint64_t decider, const struct lsi_log_config *of, ls_seqno first_seqno,
                        bool look_only, bool *is_taken);
    void *decide_user;
    char dir[LSI_LOG_DIR_BYTES]; /* "<stream>/<shard>" beneath the root */
    char label[192];             /* for messages: "stream 'orders' shard 3" */
} lsi_log_config;

/* Makes a log's directory (its parent is there), first segment and segment list, all synced. Nothing is there before
 * or what is there is a half-made one of a dead process, which is made anew. The caller then names it in the
 * manifest. */
ls_status lsi_log_create(const lsi_log_config *config);
/* The slot of a log that was just made and that no manifest names yet, so that its first append need not look for what
 * might have been given before. Locks: store lock held. */
ls_status lsi_log_publish_new(const lsi_log_config *config);
/* Removes a log's directory with everything in it. The manifest no longer names it. LS_ERR_TIMEOUT: that monotonic time
 * is over, and something is left. */
ls_status lsi_log_destroy(const lsi_env *env, const lsi_root *root, const char *dir, int64_t until_us);

/* Whether the directory holds no more than lsi_log_create makes: nothing was ever appended. LS_OK and true when there
 * is no such directory. */
ls_status lsi_log_is_unused(const lsi_root *root, const char *dir, bool *unused);

/* Opens without touching the disk; the first use finds the slot and, when it must, recovers. */
ls_status lsi_log_open(const lsi_log_config *config, lsi_log **out);
/* Syncs what this process appended, or found to be a repeat (KERNEL, INTERVAL), then releases, always. */
ls_status lsi_log_close(lsi_log *log);

ls_status lsi_framer_open(const lsi_env *env, lsi_framer **out);
void lsi_framer_close(lsi_framer *framer);

/* See lsi_engine_ops.append and .commit, which these serve. */
ls_status lsi_log_append(lsi_log *log, lsi_framer *framer, const ls_put_entry *entries, const uint32_t *picks,
                         uint32_t count, bool atomic, uint32_t *accepted, ls_seqno *first_seqno, uint64_t *end,
                         bool *closed);
ls_status lsi_log_commit(lsi_log *log, uint64_t end);
/* The same for records that carry numbers of a producer, rising: `told[index of entry]` is what became of each: OK,
 * EXISTS of those that were put before, which are not written, both with number and shard; or EXPIRED. What is written
 * is one frame; it was not where the status is not LS_OK: then `told` is not to be looked at. */
typedef struct lsi_log_numbered {
    const ls_put_options *options; /* producer, and number or numbers: by index of entry */
    /* NULL: each record has one number. Else record i has users[i] of them, one at least, which follow each other by
     * index in `options`; there are no picks. They are written when all numbers are new, else nothing is; nothing is
     * told either: what was written has `first_seqno` and on. */
    const uint32_t *users;
    bool atomic;    /* all were put before, or none was: else INVALID_ARGUMENT */
    bool look_only; /* nothing is written: records that are new are told NOT_FOUND; entries are not looked at */
    ls_put_result *told;
    uint32_t *sub_seqnos, *sub_counts; /* NULL, or of those that are EXISTS: the number's place in a record that has
                                          several, and how many; else 0 */
    uint32_t fresh;       /* out: so many numbers were new */
    ls_seqno first_seqno; /* out: of what was written */
} lsi_log_numbered;
ls_status lsi_log_append_numbered(lsi_log *log, lsi_framer *framer, const ls_put_entry *entries, const uint32_t *picks,
                                  uint32_t count, lsi_log_numbered *numbered, uint64_t *end, bool *closed);
/* What `parents` remember is what the log of `child` begins with, which has no frame yet; `b` may be NULL. Locks:
 * append_lock of the parents held, lsi_log_closing_begin. */
ls_status lsi_log_hand_down(lsi_log *a, lsi_log *b, const lsi_log_config *child);

/* ---- steps (step.c): frames in several logs that count together or not at all ---- */

/* To be done for each log of a step before any of their locks is taken, and again when one answered LSI_PREPARE_FIRST:
 * what an earlier step left is decided, and what takes a key has it. */
#define LSI_PREPARE_FIRST ((ls_status)-1)
ls_status lsi_log_step_prepare(lsi_log *log, lsi_framer *framer);
/* Writes all entries as one frame that nobody is shown. LS_OK, and not `*closed`: append_lock is held until one of the
 * functions below that give it back. Else nothing was written, and it is not. Locks: state lock held, and append_lock
 * of logs before this one in the order of stream and shard. */
ls_status lsi_log_step_write(lsi_log *log, lsi_framer *framer, const ls_put_entry *entries, const uint32_t *picks,
                             uint32_t count, uint64_t decider, ls_seqno *first_seqno, bool *closed);
ls_status lsi_log_step_sync(lsi_log *log); /* makes it durable. IO: the shard is failed */
void lsi_log_step_show(lsi_log *log);      /* it was taken: readers see it. Gives the lock back */
void lsi_log_step_drop(lsi_log *log);      /* it was not, and never will be. Gives the lock back */
void lsi_log_step_leave(lsi_log *log);     /* nobody knows: who comes next asks `decide`. Gives the lock back */
/* Decides what a step left that nobody is at any more. LS_OK as well when somebody is, or there is nothing. */
ls_status lsi_log_step_settle(lsi_log *log);
/* A step's frame may be the last one of the log, so that nothing in it says yet that it was taken: begins a new segment
 * behind it, unless the log is closed or failed. `first_seqno`: of that frame. */
ls_status lsi_log_step_seal(lsi_log *log, ls_seqno first_seqno);
ls_status lsi_log_sync(lsi_log *log); /* everything committed before the call, whoever wrote it */
ls_status lsi_log_reset(lsi_log *log);  /* ls_stream_reset_shard */
typedef struct lsi_log_facts {
    ls_seqno oldest, latest;      /* LS_SEQNO_NONE: there is no record */
    int64_t oldest_us, latest_us; /* their arrival; 0 where it is not known: no record, or one that cannot be read */
    uint64_t bytes;               /* of frames, from the first that was not trimmed to the end that readers see */
    uint32_t segments;
    ls_status health;
    uint64_t put_alone, put_in_batches, put_bytes, put_more_units; /* of the slot (control.h) */
} lsi_log_facts;
ls_status lsi_log_state(lsi_log *log, lsi_log_facts *out);
/* backlog.c: how many records readers see from number `first` on, which one of them has. */
ls_status lsi_log_count_from(lsi_log *log, ls_seqno first, uint64_t *out);

/* Closing a log for good. `begin` takes append_lock, makes everything durable and lets appends know that they must wait
 * for the outcome; the caller then decides, where lsi_log_config comes from; `end` notes what was decided, and
 * `release` gives the lock back and wakes readers. A caller who dies, or who releases without knowing, leaves CLOSING
 * in the slot: it is his to end who finds out. LS_ERR_STATE: it is closed. */
typedef struct lsi_log_closing {
    uint64_t end;
    ls_seqno next_seqno; /* above every number that was ever given */
    int64_t last_arrival_us;
} lsi_log_closing;
ls_status lsi_log_closing_begin(lsi_log *log, lsi_log_closing *out);
/* Before that, for who closes several at once: waits until its lock was free. BUSY: it was not; no more is said. */
ls_status lsi_log_closing_wait(lsi_log *log);
void lsi_log_closing_end(lsi_log *log, bool is_closed);
void lsi_log_closing_release(lsi_log *log);
/* How far its last segment's numbers go, which more than it was given are below until it rolls, and its last stamp. */
ls_status lsi_log_reach(lsi_log *log, ls_seqno *seqno_limit, int64_t *last_arrival_us);

/* The stream's terms have changed: the next append, whoever makes it, begins a segment by the new ones. */
void lsi_log_take_terms(lsi_slot *slot);

lsi_slot *lsi_log_slot(lsi_log *log); /* NULL before the first use succeeded */
ls_status lsi_log_find_slot(lsi_log *log, lsi_slot **out); /* as it is; recovers nothing */
ls_status lsi_log_touch(lsi_log *log); /* finds the slot and recovers; everything else does so by itself */

/* ---- trimming (trim.c): from the oldest on, by whole segments ---- */

/* A segment as upkeep sees it. */
typedef struct lsi_log_piece {
    uint32_t number;
    bool is_last;      /* records go into it; it can be trimmed after a roll only */
    uint64_t bytes;    /* of its file */
    bool is_odd;       /* begun when the clock did not fit the stamps (age.c) */
    int64_t oldest_us; /* no record of it arrived before */
    int64_t newest_us; /* and none later; INT64_MAX: not known */
} lsi_log_piece;
/* The segments, oldest first, until `each` answers false. Their times are for who asks what arrived before
 * `before_us`. Reads the list alone, and recovers nothing. */
ls_status lsi_log_each_piece(lsi_log *log, int64_t before_us, bool (*each)(void *user, const lsi_log_piece *piece),
                             void *user);
/* Removes the segments before number `keep`, never the last one, if their records all arrived before `before_us`, and
 * the files that a dead trimmer left. Neither waits for a put or a reader nor stops one. One at a time for one log. A
 * failed log is left as it is, LS_OK.
 * BUSY: the log was changed meanwhile or its lock is taken; nothing was changed, come again later. Others: nothing was
 * changed, or files are left that the next one removes; on IO the shard may be failed. */
ls_status lsi_log_trim(lsi_log *log, uint32_t keep, int64_t before_us, uint32_t *removed);
/* Begins a new segment when the last one holds records and all of them arrived before `before_us`, or when the clock
 * no longer fits it, so that their age counts from now on. Recovers the log if nobody did; leaves a damaged or failed
 * one as it is. BUSY as above. */
ls_status lsi_log_retire(lsi_log *log, int64_t before_us, bool *rolled);

/* ---- compressing sealed segments (recompress.c) ---- */

/* The first sealed segment that was not looked at yet: compresses it if that gains, and remembers that it was looked
 * at. `*found` false: there is none, or the log is failed; `look_only`: it is left as it is. One at a time for one log,
 * and not while it is trimmed. BUSY: the log was changed meanwhile or its lock is taken, come again; others: the
 * segment is as it was, or is compressed and will be looked at once more; on IO the shard may be failed. */
ls_status lsi_log_recompress(lsi_log *log, bool look_only, bool *found, uint64_t *saved_bytes);

/* ---- copying (copy.c): a prefix of a log that is being written, for backups ---- */

typedef struct lsi_copy {
    bool (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes); /* NULL: none; false: cancel */
    void *user;
    uint64_t done_bytes, total_bytes; /* over all logs */
} lsi_copy;
/* Copies everything that readers can see into the same directory beneath `root`, which is there. What an earlier
 * copy has of it already is kept. STATE: what is there is no copy of this log. CORRUPT: the log is damaged. Whatever it
 * answers, what is there is a whole log or nothing. CANCELLED: `progress` said so. */
ls_status lsi_log_copy(lsi_log *log, const lsi_root *root, lsi_copy *copy);
ls_status lsi_log_copy_bytes(lsi_log *log, uint64_t *out); /* about what a first copy takes */

typedef enum {
    LSI_READ_FAST,   /* up to 1 MiB of memory, and more for batches that are larger */
    LSI_READ_SPARING, /* a quarter of that: one of many */
    LSI_READ_MAPPED   /* views are of the files themselves, where they can be mapped: no copy, and SIGBUS for who looks
                         at one that a device cannot read or that somebody cut short. It keeps the descriptor of each
                         segment that it maps. */
} lsi_read_way;
ls_status lsi_log_reader_open(lsi_log *log, lsi_read_way way, lsi_log_reader **out);
void lsi_log_reader_close(lsi_log_reader *reader);
ls_status lsi_log_reader_seek(lsi_log_reader *reader, const ls_position *position);
ls_status lsi_log_reader_read(lsi_log_reader *reader, uint32_t records_max, uint64_t bytes_max,
                              const ls_record **records, uint32_t *count, bool *at_tip, bool *end);
ls_seqno lsi_log_reader_place(const lsi_log_reader *reader);
/* What the reader lost when it was told TRIMMED the last time. `records` is an upper bound: numbers are not
 * consecutive. `bytes` and `ms`, by arrival, from where it stood to the oldest that is left; 0 of a place that was gone
 * already when it was sought, of which nobody knows. */
typedef struct lsi_log_cut {
    uint64_t records, bytes, ms;
} lsi_log_cut;
lsi_log_cut lsi_log_reader_cut(const lsi_log_reader *reader);
uint64_t lsi_log_reader_bytes(const lsi_log_reader *reader); /* of keys and data, of the last read */

/* Looking from outside: verify, repair, dump. */
#include "storage/inspect.h"

#endif
