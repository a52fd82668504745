/* The simulator (H6): what its files share. h6_sim.c makes a scenario out of a seed and runs it on a machine of
 * support/sim_fibers.h; h6_acts.c and h6_keep.c are what its processes do; h6_judge.c notes it, and judges at the
 * end. */
#ifndef LST_H6_H
#define LST_H6_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/libstream.h>

#include "base/env.h"
#include "harness/history.h"
#include "support/sim_fibers.h"
#include "support/sim_files.h"

#define H6_STREAM "s"
#define H6_PLACES_MAX 8u
#define H6_PROCESSES_MAX H6_PLACES_MAX
#define H6_SHARDS_MAX 32u
#define H6_RESHARDS_MAX 8u /* shards that are reset, of those that are made */
#define H6_RESETS_MAX 5u
#define H6_BATCH_MAX 4u
#define H6_DATA_BYTES_MAX (24u << 10)
#define H6_SEGMENT_BYTES (64u << 10)
#define H6_INTERVAL_MS 4u  /* INTERVAL: syncs begin so soon, */
#define H6_SYNCED_US INT64_C(40000) /* and have ended in this time */
#define H6_WAIT_US INT64_C(1000000)    /* P1: what a death may cost */
#define H6_NOTICE_US INT64_C(100000)   /* who waits for records is not told of one later than this */

typedef enum { H6_PRODUCER, H6_CONSUMER, H6_KEEPER } h6_kind;

/* Whether a keeper's own stream is there. */
typedef enum { H6_ABSENT, H6_PRESENT, H6_UNKNOWN } h6_made;

/* What one thread of a process does, in all its lives. */
typedef struct h6_place {
    struct h6_run *run;
    h6_kind kind;
    uint32_t index;       /* a producer's: its writer */
    uint32_t calls_left;
    bool is_done;

    /* A producer's. Every second one numbers its puts, and puts again what was not answered. */
    uint64_t next_number;
    size_t note;          /* the first of the call under way, */
    uint32_t pending;     /* and of how many records it is; 0: there is none */
    uint32_t end;         /* an atomic batch's: by which of two keys */
    bool is_numbered, is_atomic;
    uint32_t resets;

    h6_made made;         /* a keeper's */
} h6_place;

/* A process, in all its lives. */
typedef struct h6_process {
    struct h6_run *run;
    uint32_t places[2], place_count;
    uint32_t lives;
    unsigned number; /* of the present one */
    lsi_env env;
    ls_store *store;
    ls_stream *stream;
} h6_process;

typedef struct h6_put {
    history_put put;
    uint64_t serial;      /* of its acknowledgement, from 1; 0: there is none */
    uint64_t lost_seqno;  /* what it had when the power took it */
    uint32_t lost_shard;
    unsigned process;     /* whose handle it was */
    bool is_synced;       /* no loss of power may take it */
} h6_put;

typedef struct h6_run {
    uint64_t seed, random;
    ls_durability durability;
    uint32_t shard_count;   /* at the beginning */
    bool reshards, maps, is_wide; /* some split and merge; small records go into mapped windows; many are large */
    sim_files *sim;
    h6_place places[H6_PLACES_MAX];
    uint32_t place_count;
    h6_process processes[H6_PROCESSES_MAX];
    uint32_t process_count;
    uint32_t writers_left;

    h6_put *puts;
    size_t put_count, put_capacity;
    history_read *reads;
    size_t read_count, read_capacity;
    history_run *runs;
    size_t run_count, run_capacity;
    history_read *truth;
    size_t truth_count, truth_capacity;
    history_shard shards[H6_SHARDS_MAX];
    uint32_t shards_now;
    uint64_t serial;        /* the last acknowledgement's */
    int64_t power_us;       /* when the power went last */
    uint64_t powers, lost;  /* how often the power went; what it took */
    bool is_loud;
    uint64_t violations;
    char first[400];        /* the first of them */
} h6_run;

uint64_t h6_below(h6_run *run, uint64_t bound); /* of the scenario, drawn outside of the machine */
void h6_violation(h6_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- h6_acts.c ---- */

void h6_live(void *process); /* a process's body */

typedef struct h6_call {
    h6_run *run;
    const char *what;
    int64_t from_us, stopped_us;
} h6_call;

/* Around each public call: it answers what it may, in time. */
h6_call h6_begins(h6_run *run, const char *what);
bool h6_ends(const h6_call *of, ls_status st, int64_t allowed_us);
uint64_t h6_act_below(uint64_t bound); /* of the processes' own choices */
bool h6_open_store(h6_process *process);
bool h6_open_stream(h6_process *process); /* makes it when nobody did */

/* ---- h6_keep.c ---- */

void h6_keep(h6_place *place, h6_process *process);
void h6_look(void *run); /* another body: reads all there is, as `truth` */

/* ---- h6_judge.c ---- */

size_t h6_note_put(h6_run *run, uint32_t writer, uint64_t number, uint32_t route, uint64_t group);
void h6_note_answer(h6_run *run, size_t first, size_t count, const ls_put_result *results);
uint32_t h6_note_run(h6_run *run, bool merged, uint64_t after);
void h6_note_batch(h6_run *run, uint32_t number, const ls_batch *batch);
void h6_note_synced(h6_run *run, uint64_t serial, unsigned process); /* up to that; or what that process put */
/* The call began at `from_us`, and what it read ended behind `last[shard]` before. */
void h6_check_notice(h6_run *run, uint32_t shard, const uint64_t *last, int64_t from_us, int64_t stopped_us);

size_t h6_make_data(const h6_run *run, unsigned char *into, uint32_t writer, uint64_t number, uint64_t group);

/* The power was gone, and `truth` is what is there now. */
void h6_judge_power(h6_run *run);
void h6_judge(h6_run *run); /* at the end */

#endif
