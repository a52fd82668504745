/* What the pipelines share: signals, a place for the store, messages, waiting at a pace, and a mapping or a delivery
 * that is run on a thread of its own while others put.
 *
 * The place is the store's directory with what belongs to the pipeline beside it, under the same name with an ending:
 * DIR, DIR.tables, DIR.key ... Without `--store` all of it lies in a temporary directory that is removed at the end. */
#ifndef EXAMPLES_PIPELINE_H
#define EXAMPLES_PIPELINE_H

#include "temporary.h"

#include <libstream/libstream.h>

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define PIPELINE_PATH_BYTES (TEMPORARY_PATH_BYTES + 64)

extern volatile sig_atomic_t pipeline_interrupted; /* The number of the signal that came, or 0. */
extern const char *pipeline_name;                  /* What messages begin with. */

/* Notes SIGINT, SIGTERM and SIGHUP, and lets a closed pipe be a failed write. */
void pipeline_begin(const char *name);

/* Each says one line on standard error, and is -1. */
int pipeline_fail_ls(const char *doing); /* "NAME: cannot DOING: " and libstream's last error */
__attribute__((format(printf, 1, 2))) int pipeline_fail(const char *format, ...);

/* A whole number from `least` to `most`, or else a line that says so. */
int pipeline_number(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *out);

/* ---- the place ---- */

typedef struct pipeline_place {
    char temporary[TEMPORARY_PATH_BYTES]; /* empty: the place is kept */
    char store[PIPELINE_PATH_BYTES - 32];
    int held;                             /* the store's directory, which no other run has then; 0: not yet */
} pipeline_place;

int pipeline_place_make(pipeline_place *place, const char *kept); /* `kept`: as `--store` gave it, or NULL. */
int pipeline_place_leave(pipeline_place *place);                  /* Removes it, if it is temporary. */

/* Opens the store there, for this run alone: two that read one source would both put its rows. 0, or -1: said. */
int pipeline_place_open(pipeline_place *place, const ls_store_options *options, ls_store **store);
const char *pipeline_path(const pipeline_place *place, const char *ending, char path[PIPELINE_PATH_BYTES]);

/* A stream that is there, or is made now. `options` may be NULL. */
ls_stream *pipeline_stream(ls_store *store, const char *name, const ls_stream_options *options);

/* ---- pace ---- */

typedef struct pipeline_pace {
    double per_second; /* 0: as fast as it goes */
    uint64_t began_ns, given;
} pipeline_pace;

/* Waits until `count` more are due, or a signal came. */
void pipeline_wait(pipeline_pace *pace, uint64_t count);
uint64_t pipeline_now_ns(void);
void pipeline_sleep_ms(uint64_t ms); /* Shorter when a signal comes. */

/* ---- a mapping, or a delivery, that runs meanwhile ---- */

typedef struct pipeline_worker pipeline_worker;

/* Makes the mapping from the stream's beginning on unless it is there, and begins to run it. NULL: failed, and said. */
pipeline_worker *pipeline_work(ls_stream *stream, const char *mapping, const ls_mapping_options *settings,
                               ls_batch_handler handler, void *user);

/* The same with a delivery. `how` is copied; its flags are 0. */
pipeline_worker *pipeline_deliver(ls_stream *stream, const char *delivery, const ls_delivery_options *settings,
                                  const ls_delivery_run_options *how);

/* Gives a delivery that is there what a run was asked for; 0: nothing was said of it. 0, or -1: said. */
int pipeline_delivery_change(ls_stream *stream, const char *delivery, uint64_t buffer_bytes, int32_t interval_ms);

/* The store was moved, and what lies beside it: a delivery to `was` goes on in `now`. 0, or -1: said. */
int pipeline_delivery_move(ls_stream *stream, const char *delivery, const char *was, const char *now);

/* Begins its end: from now on it works off what is in the stream, and what still comes, until it has caught up. Several
 * may do that at once; pipeline_work_end waits for each. NULL is accepted. */
void pipeline_work_ending(pipeline_worker *worker);

/* Ends it, when all that is in the stream is worked on if `caught_up`; otherwise when handlers that run have returned.
 * A signal ends the wait. NULL is accepted. 0, or -1 when the run has failed, and said. */
int pipeline_work_end(pipeline_worker *worker, bool caught_up);

#endif
