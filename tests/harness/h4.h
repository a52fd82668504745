/* The kill storm: what its files share. h4_storm.c kills and respawns; h4_records.c, h4_changes.c and h4_settings.c are
 * what its children do, with the tools of h4_child.c; h4_oracle.c is what they note outside the store, and h4_judge.c
 * judges it at the end. */
#ifndef LST_H4_H
#define LST_H4_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/libstream.h>

#include "support/hooked_files.h"
#include "support/temp.h"

#define STORM_SHARDS 2u        /* at the beginning */
#define STORM_SHARDS_MAX 8192u /* ever */
#define STORM_OPEN_MAX 6u      /* that the resharder makes */
#define STORM_PRODUCERS 6u
#define STORM_CONSUMERS 6u     /* the second half is merged; the last of each half is a registered one, and subscribes */
#define STORM_TRIMMERS 2u      /* one is trimming while another one puts */
#define STORM_MAKER (STORM_PRODUCERS + STORM_CONSUMERS)
#define STORM_RESHARDER (STORM_MAKER + 1)
#define STORM_SETTER (STORM_RESHARDER + 1)
#define STORM_TRIMMER (STORM_SETTER + 1)
#define STORM_CHILDREN (STORM_TRIMMER + STORM_TRIMMERS)
#define STORM_SEGMENT_BYTES (64u << 10)
#define STORM_STREAM "storm"
#define STORM_KEPT_STREAM "kept"
/* Its cap: a death costs a segment, and not so many die between two puts. */
#define STORM_KEPT_BYTES (16 * STORM_SEGMENT_BYTES)
#define STORM_READER "reader" /* and the number of the place: the consumers that subscribe */
#define STORM_KEPT_RECORD_BYTES 5000u
#define STORM_KEPT_MAX (1u << 20) /* records ever, of each trimmer */
#define STORM_KEPT_FEW 60u        /* so many, and some deaths, do not fill the cap */
#define STORM_MADE 8u             /* streams the maker makes and deletes */
#define STORM_REGISTERED 6u       /* consumers the setter registers and deregisters */
#define STORM_KEYS 5u
#define STORM_BATCH_MAX 8u
#define STORM_DATA_BYTES_MAX (100u << 10)

#define STORM_MESSAGE_BYTES 400
#define STORM_MESSAGES_MAX 20u

enum { STORM_ABSENT, STORM_PRESENT, STORM_CREATING, STORM_DELETING };

enum { STORM_HOURS, STORM_MODE, STORM_TAGS, STORM_SETTINGS };

/* Both are the same but while somebody is about it, or died of it. */
typedef struct storm_setting {
    _Atomic uint64_t made, begun;
} storm_setting;

/* What a child is doing, for the watchdog. */
typedef struct storm_child {
    _Atomic int64_t busy_since_us; /* 0: in no call */
    _Atomic int64_t allowed_us;    /* what the watchdog allows this call */
    _Atomic int64_t excused_us;    /* storm_excuses() when it began */
    _Atomic uint64_t next_number;  /* producers */
    _Atomic uint32_t shard;        /* consumers of one: which one the last one of this place read, */
    _Atomic uint64_t last_seqno;   /* and how far */
    _Atomic uint32_t incarnation;
} storm_child;

/* Memory that outlives the children. */
typedef struct storm_shared {
    storm_child child[STORM_CHILDREN];
    _Atomic uint32_t stop;
    int64_t began_us;
    _Atomic uint64_t hooked_kills;
    _Atomic uint64_t holders;      /* kills of a process that held a lock in shared memory */
    _Atomic uint64_t append_holders;
    _Atomic int64_t stopped_us;    /* how long children were stopped, summed */
    _Atomic int64_t slow_disk_us;  /* how long syncs took, of those that took 50 ms and more */
    _Atomic int64_t longest_us;    /* the longest call, less what it was allowed for stops and the disk */
    _Atomic uint64_t puts, acknowledged, repeated, read, pushed, reshards, new_keys, compressed;
    _Atomic uint32_t runs;
    _Atomic uint32_t made[STORM_MADE];          /* STORM_ABSENT .. STORM_DELETING */
    _Atomic uint32_t registered[STORM_REGISTERED]; /* STORM_ABSENT .. STORM_DELETING */
    _Atomic uint64_t registered_id[STORM_REGISTERED], consumer_id; /* told; the highest */
    storm_setting settings[STORM_SETTINGS];
    _Atomic uint64_t changes, scaled;           /* of what is set; shards split and merged by nobody */
    _Atomic uint32_t kept_next[STORM_TRIMMERS]; /* numbers of a trimmer's records, */
    _Atomic unsigned char kept[STORM_TRIMMERS][STORM_KEPT_MAX]; /* and which were acknowledged */
    _Atomic uint64_t kept_newest;               /* trimmer << 32 | number, acknowledged last; UINT64_MAX: none yet */
    _Atomic uint64_t trimmed;                   /* readings that began behind a trimmer's first record */
    _Atomic uint64_t violations;
    char messages[STORM_MESSAGES_MAX][STORM_MESSAGE_BYTES];
} storm_shared;

typedef struct storm_settings {
    uint64_t seed;
    uint64_t kills;
    int64_t wait_us;
    ls_durability durability;
    const char *dir; /* of the store */
    const char *oracle;
} storm_settings;

extern storm_shared *storm;
extern storm_settings storm_set;

/* ---- h4_child.c ---- */

/* When a child dies of itself: at the call that `countdown` reaches. */
typedef struct storm_plan {
    hooked_files files;
    uint64_t random;
    int64_t countdown; /* calls until it strikes; below 0: never */
    int where;         /* 0 before, 1 behind, 2 in the middle of a write, if the call is one */
} storm_plan;

typedef struct storm_call {
    storm_child *state;
    int64_t from_us, excused_us;
} storm_call;

int64_t storm_now_us(void);
uint64_t storm_random(uint64_t *state);
uint64_t storm_random_below(uint64_t *state, uint64_t bound);
void storm_violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Of a child: what it cannot do without cannot be done. */
_Noreturn void storm_fail(const char *what, ls_status st);
/* The number that a record of four bytes is; `none`: it is no such record. */
uint32_t storm_number_of(const ls_record *record, uint32_t none);
/* Of the parent, when all have ended: shows what was broken, removes the directory or says where it is kept, and gives
 * back what all have shared. How much was broken. */
uint64_t storm_end(temp_dir *temp, bool keep);

/* For how long somebody was stopped (P2), and the device was slow: no call is blamed for that. */
int64_t storm_excuses(void);
storm_call storm_call_begins(storm_child *state, int64_t allowed_us);
void storm_call_ends(const storm_call *of, const char *what, int64_t allowed_us);

/* For some seconds of every few the shard with the lowest keys is left to the automatic scaling, and not all die at
 * once: it goes by how the last seconds were. */
bool storm_is_calm(void);

void storm_plan_init(storm_plan *plan, uint64_t *random);
/* Keys follow from their ids. */
ls_status storm_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES]);
ls_store *storm_open_store(storm_plan *plan, storm_child *state);
ls_stream *storm_open_stream(ls_store *store, storm_child *state);
void storm_close(ls_store *store, ls_stream *stream, ls_producer *producer, ls_iterator *iterator);

/* ---- h4_oracle.c ---- */

typedef struct storm_record {
    uint32_t writer;
    uint32_t size; /* of the whole data */
    uint64_t number;
    uint64_t group;
} storm_record;

uint32_t storm_make_data(uint32_t writer, uint64_t number, uint64_t group, unsigned char *into);
size_t storm_make_key(uint32_t writer, uint64_t number, char into[32]);
/* Whether a record is, byte by byte, what its writer put. */
bool storm_read_record(const ls_record *record, storm_record *head);

/* One file per place; entries of one kind. */
int storm_oracle_open(const char *kind, uint32_t place, int flags);
void storm_oracle_note(int fd, const void *entries, size_t bytes);
void *storm_oracle_load(const char *kind, uint32_t place, size_t entry_bytes, size_t *count);

/* ---- what children do, until the storm is over ---- */

void storm_produce(uint32_t place, uint64_t *random, storm_plan *plan);
void storm_consume(uint32_t place, uint64_t *random, storm_plan *plan);
void storm_reshard(uint64_t *random, storm_plan *plan);
void storm_make_streams(uint64_t *random, storm_plan *plan);
void storm_change_settings(uint64_t *random, storm_plan *plan);
void storm_trim(uint32_t place, uint64_t *random, storm_plan *plan);
bool storm_is_subscriber(uint32_t place);

/* The open shards by rising keys. */
uint32_t storm_open_shards(const ls_stream_description *about, ls_shard_info *into, uint32_t most);
/* Whether what is set of the stream is what was set. */
void storm_check_settings(ls_stream *stream);
/* Reads what a stream with a cap has left: of each trimmer the end of what was acknowledged before, without a gap. */
void storm_check_kept(ls_stream *stream);

/* ---- h4_judge.c ---- */

void storm_judge(void);

#endif
