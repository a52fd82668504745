/* What a store was asked and what it answered, and what that obliges it to after a crash: the oracle of H1 and H2.
 *
 * A fact holds from a place in the log of a sim on (sim_files.h): a put was *begun* there, *acknowledged* there. So one
 * history serves every prefix of the log: `truth_check` asks what the disk must show after the first `at` operations.
 *
 *   D1  what was durable by then is there
 *   D2  what is there has everything before it
 *   D3  what a reader had been shown stays (R8 as well: what the first recovery showed)
 *   D4  a number that was given is never given again
 *   A1  an atomic batch is there whole or not at all
 *   O1  one order, that of the puts, with rising numbers and arrival times
 *   R6  what is neither old nor over a cap is not trimmed, and what is trimmed goes from the beginning
 *   O4  a shard that was split or merged has what was acknowledged in it before, and its children are there
 *   D6  what was set of a stream is as it was set, whole (truth_settings.c); a checkpoint covers what is there
 *   O5  a checkpoint does not go back, what was put with it is there if it is, and nothing is skipped (truth_work.c)
 *   K1-K3, V1-V4  an object is whole, never another one, and stays; each record is in one of them (truth_delivery.c)
 *
 * Records carry their put's number, so that a record can be told from any other, and their bytes follow from it. */
#ifndef LST_TRUTH_H
#define LST_TRUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/libstream.h>

#define NEVER SIZE_MAX
#define TRUTH_MARK "PUT:"    /* how it begins; then comes its put's number */
#define TRUTH_MARK_BYTES 12u /* the least a record's data has */
#define TRUTH_SHARDS_MAX 64u
#define TRUTH_NAME_BYTES 24u

/* What a delivery's objects are of. */
enum { TRUTH_DATA, TRUTH_ERRORS, TRUTH_SOURCE, TRUTH_OBJECT_KINDS };
/* How a stream is delivered: not; all of it; some records dropped, some failed, others parted, and all backed up. */
enum { TRUTH_NOT_DELIVERED, TRUTH_DELIVERED, TRUTH_SORTED };

typedef struct put_fact {
    uint32_t stream, shard; /* `stream` counts creations: a name that is used again is another stream */
    uint32_t group;         /* puts of one atomic batch; 0: alone */
    uint32_t data_bytes;
    ls_seqno seqno;         /* 0: nobody was told */
    size_t begun_at;
    size_t given_at;        /* the number stood in a file or in an answer */
    size_t acked_at;        /* no kill takes it back */
    size_t durable_at;      /* no loss of power either */
    size_t gone_at;         /* it was said that nothing was written, or recovery did not find it: it never appears */
    size_t sealed_at;       /* acknowledged, it was in a shard that was begun to be closed: there, or still open */
    size_t expired_at;      /* from here on it may be trimmed: gone, if all before it in its shard are */
    int64_t begun_us;       /* by the session's clock */
    uint32_t step;          /* puts, and a checkpoint, of one transaction; 0: of none */
    uint32_t key_number;    /* what its hash key was chosen with */
    uint32_t number;        /* of its stream's producer; 0: it is not numbered. That of another put, if it repeats it */
    uint32_t source;        /* the put whose record a mapping's handler was given when it made this one; 0: none */
    size_t copied_at;       /* from here on it is in the copy */
    size_t delivered_at;    /* from here on it is where its delivery sends it, and no loss of power takes it back */
    uint32_t in[TRUTH_OBJECT_KINDS]; /* so often it was found there when objects were looked at last */
    bool is_shown;          /* when its shard was read last */
    bool is_unknown;        /* it failed so that it may be there or not, whatever follows */
} put_fact;

/* What can be set of a stream; values are numbers. A tag's or a key's is what its text says; 0: none. */
#define TRUTH_TAGS 4u
#define TRUTH_CONSUMERS 4u
#define TRUTH_STATES 3u
#define TRUTH_LEASES 6u /* of one group */
#define TRUTH_LEASE_ENDED UINT64_MAX
enum {
    TRUTH_HOURS, TRUTH_BYTES, TRUTH_MODE, TRUTH_RECORD_BYTES, TRUTH_SCALING, TRUTH_KEY, TRUTH_COMPRESSION,
    TRUTH_TAG, /* the first of them */
    TRUTH_CONSUMER = TRUTH_TAG + TRUTH_TAGS, /* 1: registered */
    TRUTH_STATE = TRUTH_CONSUMER + TRUTH_CONSUMERS, /* values of its state; so many bytes */
    TRUTH_LEASE = TRUTH_STATE + TRUTH_STATES, /* checkpoints, shard by shard: a record's number; 0: none yet */
    TRUTH_PENDING = TRUTH_LEASE + TRUTH_LEASES, /* those that were prepared, likewise; 0: nothing is */
    TRUTH_SETTINGS = TRUTH_PENDING + TRUTH_LEASES
};

typedef struct stream_fact {
    char name[TRUTH_NAME_BYTES];
    uint64_t id; /* 0: nobody was told */
    uint32_t shard_count;
    uint64_t retention_bytes; /* 0: no cap */
    uint32_t retention_hours; /* 0: the default, which no session lives to see */
    size_t begun_at, made_at, gone_at; /* gone_at: its creation failed and changed nothing */
    size_t drop_begun_at, dropped_at;
    uint64_t settings[TRUTH_SETTINGS]; /* as it was created */
    uint32_t maps_to;  /* its mapping's handler puts there; the stream itself: it has none */
    size_t mapped_at;  /* it is there from here on */
    uint32_t delivers; /* TRUTH_NOT_DELIVERED .. TRUTH_SORTED */
    size_t delivery_at; /* its delivery is there from here on */
    bool moves;         /* ... and was to go to another directory, through a transform that changes nothing, or back */
    bool is_windowed;  /* its records are counted in windows */
    bool is_numbered;  /* its puts carry numbers, and may be repeated */
} stream_fact;

typedef struct setting_fact {
    uint32_t stream, setting;
    uint32_t group; /* set by one call; 0: alone */
    uint32_t step;  /* as of a put */
    uint64_t value;
    uint64_t id;    /* a consumer's; 0: nobody was told */
    size_t begun_at, made_at, gone_at; /* as of a stream */
    size_t copied_at; /* a backup has it from here on; NEVER: none */
} setting_fact;

/* As it was read. */
typedef struct truth_shown_setting {
    uint64_t value, id;
} truth_shown_setting;

/* Shards that were split or merged, in one step. */
typedef struct reshard_fact {
    uint32_t stream;
    uint64_t parents; /* bit i: shard i */
    size_t begun_at, made_at, gone_at; /* as of a stream */
    bool is_maybe; /* nobody asked for it: the stream scales by itself */
} reshard_fact;

/* What a reader of a whole shard was shown. */
typedef struct seen_fact {
    uint32_t stream, shard;
    size_t at;
    bool stays; /* after a loss of power too */
    uint32_t count;
    uint32_t *puts;
} seen_fact;

/* What a window operator handed out: how many records window number `window` has. */
typedef struct result_fact {
    uint32_t stream, window;
    uint64_t count;
    size_t at;
} result_fact;

/* An object that was seen where a delivery puts them. It is never another one (K2). */
#define TRUTH_OBJECT_NAME_BYTES 160u
#define TRUTH_ERRORS_PREFIX "errors/"
typedef struct object_fact {
    uint32_t stream;
    char name[TRUTH_OBJECT_NAME_BYTES];
    uint64_t content;  /* a sum of it */
    size_t seen_at;    /* no kill takes it back */
    size_t durable_at; /* no loss of power either */
} object_fact;

typedef struct truth {
    put_fact *puts; /* number n is puts[n - 1] */
    size_t put_count, put_capacity;
    stream_fact *streams;
    size_t stream_count, stream_capacity;
    seen_fact *seen;
    size_t seen_count, seen_capacity;
    reshard_fact *reshards;
    size_t reshard_count, reshard_capacity;
    setting_fact *settings;
    size_t setting_count, setting_capacity;
    result_fact *results;
    size_t result_count, result_capacity;
    object_fact *objects;
    size_t object_count, object_capacity;
    uint32_t group_count; /* of groups, and of steps */
} truth;

/* A record as it was read. */
typedef struct shown {
    uint32_t put; /* number */
    ls_seqno seqno;
    int64_t arrival_us;
} shown;

void truth_free(truth *of);
/* The same history as a disk shows it that was made from its first `at` operations: what was not begun is forgotten,
 * what was true is true from 0 on. */
truth truth_after(const truth *of, size_t at);
/* How many facts hold at `at`: disks that are equal but owe different things are not the same case. */
uint64_t truth_count(const truth *of, size_t at);

uint32_t truth_put_begin(truth *of, uint32_t stream, uint32_t shard, uint32_t group, uint32_t bytes, size_t at);
uint32_t truth_stream_begin(truth *of, const char *name, uint32_t shard_count, size_t at);
uint32_t truth_reshard_begin(truth *of, uint32_t stream, uint64_t parents, size_t at);
/* The shards may be split or merged from now on without anybody's asking, and what was acknowledged in the stream may
 * be in a shard that is closed. */
void truth_reshard_expect(truth *of, uint32_t stream, uint64_t parents, size_t at);
void truth_seal(truth *of, uint32_t stream, size_t at);
uint32_t truth_setting_begin(truth *of, uint32_t stream, uint32_t setting, uint64_t value, uint32_t group, size_t at);
/* Whether a consumer other than that of this fact has or had the id. */
bool truth_is_id_of_another(const truth *of, size_t index, uint64_t id);
bool truth_may_scale(const truth *of, uint32_t stream);
bool truth_has_state(const truth *of, uint32_t stream); /* somebody wanted to change it */
bool truth_has_consumers(const truth *of, uint32_t stream);
bool truth_has_leases(const truth *of, uint32_t stream); /* somebody works on it */
bool truth_has_pending(const truth *of, uint32_t stream, uint32_t shard); /* a checkpoint was prepared, ever */
void truth_seen(truth *of, uint32_t stream, uint32_t shard, const shown *records, size_t count, bool stays, size_t at);

void truth_result(truth *of, uint32_t stream, uint32_t window, uint64_t count, size_t at);

/* The bytes of a put's record, and which put a record is of. 0: of none, or its bytes are not right. */
void truth_data(uint32_t put, unsigned char *into, size_t bytes);
size_t truth_key(uint32_t put, char into[16]);
uint32_t truth_identify(const truth *of, const ls_record *record);
/* Which put's data begin here and are whole. 0: no put's. */
uint32_t truth_begins(const truth *of, const void *bytes, size_t size);
/* Whether these bytes of a file hold the beginning of the put's record. */
bool truth_is_in(uint32_t put, const unsigned char *bytes, size_t size);

/* Checks what a reader of a whole shard was shown, of a disk after the first `at` operations; `power` says that it lost
 * power. True: all is as promised; else `what` (256 bytes) says what is not. */
bool truth_check(const truth *of, uint32_t stream, uint32_t shard, const shown *records, size_t count, size_t at,
                 bool power, char what[256]);
/* Holds the shards that are closed on a disk after the first `at` operations (bit i: shard i) against what was asked
 * for, and notes what follows from them. */
bool truth_check_closed(truth *of, uint32_t stream, uint64_t closed, size_t at, bool power, size_t now, char what[256]);
/* The same of what was set. */
bool truth_check_settings(truth *of, uint32_t stream, const truth_shown_setting as_read[TRUTH_SETTINGS], size_t at,
                          bool power, size_t now, char what[256]);
/* Holds transactions and checkpoints against each other, and checkpoints against the records that they cover, when all
 * was read (`is_shown`). `as_read`: of the stream. */
bool truth_check_work(const truth *of, uint32_t stream, const truth_shown_setting as_read[TRUTH_SETTINGS], size_t at,
                      char what[256]);
/* Whether all that is in `stream` was handled: some put of each is there. */
bool truth_check_handled(const truth *of, uint32_t stream, char what[256]);

/* Where the put's record goes: TRUTH_OBJECT_KINDS, nowhere. All of a sorted stream are in TRUTH_SOURCE, too. */
uint32_t truth_goes_to(const truth *of, uint32_t put);
/* An object was found; `is_durable`: it stays. False: under its name there was another one. */
bool truth_object(truth *of, uint32_t stream, const char *name, uint64_t content, bool is_durable, size_t at,
                  char what[256]);
/* Holds what was found last, objects (by `found`, who answers whether there is one of that name and content) and
 * records (`in`), against what was there before. */
bool truth_check_objects(const truth *of, uint32_t stream, bool (*found)(void *user, const object_fact *fact),
                         void *user, size_t at, bool power, char what[256]);
/* The delivery had all of the stream, and all of it was read: `is_shown`. */
bool truth_check_delivered(const truth *of, uint32_t stream, char what[256]);

/* The windows of records whose numbers are `size` times the window's, and up to below that of the next one: `rest` has
 * those that have not come yet, [TRUTH_WINDOWS]. `exact`: none may ever have been handed out with another count. */
#define TRUTH_WINDOWS 64u
bool truth_check_windows(const truth *of, uint32_t stream, uint32_t size, const uint64_t *rest, bool exact,
                         char what[256]);
/* The highest number that was ever given in the shard. */
ls_seqno truth_highest(const truth *of, uint32_t stream, uint32_t shard, size_t at);

#endif
