/* The inside of a run of a mapping.
 *
 * mapping_run.c     the run: which shards are worked on here, by what the rows of the mapping say
 * mapping_worker.c  one shard: its threads, its batch machine, its progress
 * handler.c         what a handler is given, and what its answer amounts to
 * failure.c         what is given up goes to the mapping's failure stream */
#ifndef LSI_CONSUME_MAPPING_RUN_H
#define LSI_CONSUME_MAPPING_RUN_H

#include <stdatomic.h>

#include "base/lock.h"
#include "base/status.h"
#include "base/thread.h"
#include "consume/mapping.h"

typedef struct lsi_worker lsi_worker;

/* What a worker knows of its run; it does not change while there are workers, but for the atomics. */
typedef struct lsi_run {
    lsi_engine_stream *stream;
    const lsi_env *env;
    const lsi_mapping_running *how;
    lsi_mapping *mapping;
    _Atomic int64_t retention_us; /* of the stream */
    _Atomic bool is_stopped;      /* by a handler */

    lsi_mapping_runner_row me; /* this and the rest: the run's thread alone */
    int64_t renew_us;          /* monotonic: when it is to be heard of again */
    lsi_worker *workers;
    struct lsi_seen_runner *seen;
    size_t seen_count, seen_capacity;
    ls_status st; /* the first failure of a worker, or of the run */
    lsi_error_state why;
} lsi_run;

/* A shard that is worked on. Locks: `lock` (LSI_RANK_LOCAL) guards the machine and what is below it. */
struct lsi_worker {
    lsi_run *run;
    lsi_worker *next;
    uint32_t shard;
    int64_t shard_created_us;
    bool is_leaving; /* the run's thread: it was told to stop */
    bool is_over;    /* the run's thread: caught up, and not to begin again */
    lsi_thread threads[LSI_BATCHER_LANES_MAX];
    lsi_iterator *iterator;

    _Atomic bool is_finished; /* all threads are leaving, and all that could be was stored */
    _Atomic bool is_told_to_stop;

    lsi_lock lock;
    _Atomic uint32_t word; /* rises with every change that others may wait for */
    lsi_batcher *machine;
    lsi_filter *filter;
    uint32_t thread_count;
    bool is_reading, is_storing, is_draining, is_done, is_lost, is_caught_up;
    bool *matches;
    size_t matches_capacity;
    lsi_mapping_row row; /* what is stored, or being stored; is_dirty: it is not yet */
    bool is_dirty;
    ls_mapping_result result; /* of the last batch; not the row's: it is not stored yet */
    lsi_progress next_progress; /* has_next: what is to be stored next; its state is a view of `next_bytes` */
    void *next_bytes;
    bool has_next, is_urgent;
    int64_t stored_us; /* monotonic: when it was tried last */
    ls_status st;
    lsi_error_state why;
};

/* Begins to work on a shard whose row, which says so, was written: it is the worker's. On failure too. */
ls_status lsi_worker_start(lsi_run *run, const lsi_shard *shard, lsi_mapping_row *row, lsi_worker **out);
void lsi_worker_stop(lsi_worker *worker); /* Does not wait. */
/* It is finished: waits for its threads' last instructions. */
void lsi_worker_free(lsi_worker *worker);

/* ---- handler.c ---- */

/* Its state is a view of the context's. */
lsi_outcome lsi_handler_outcome(ls_handler_answer answer, const ls_handler_context *context);
void lsi_handler_context_end(ls_handler_context *context);

/* ---- failure.c ---- */

/* Of a mapping that has a failure stream. False: it is to be tried again, and was logged. */
bool lsi_failure_put(const lsi_worker *worker, const lsi_batcher_action *discard);

#endif
