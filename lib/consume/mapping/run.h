/* The inside of a run of a mapping.
 *
 * run.c      the run: which shards are worked on here, and what is saved of their progress
 * worker.c   one shard: its threads and its batch machine
 * handler.c  what a handler is given, and what its answer amounts to
 * failure.c  what is given up goes to the mapping's failure stream
 * step.c     what a batch has put is one step with the place behind it
 * running.c  how many handlers run now */
#ifndef LSI_CONSUME_MAPPING_RUN_H
#define LSI_CONSUME_MAPPING_RUN_H

#include <stdatomic.h>

#include "base/lock.h"
#include "base/status.h"
#include "base/thread.h"
#include "consume/lease/lease.h"
#include "consume/mapping/event_json.h"
#include "consume/mapping/mapping.h"
#include "stream/stream.h"

/* Before what failed for want of memory or space, or for a lock, is tried again. */
#define LSI_RUN_PAUSE_US 20000

typedef struct lsi_worker lsi_worker;

/* What a worker knows of its run; it does not change while there are workers, but for the atomics. */
typedef struct lsi_run {
    lsi_engine_stream *stream;
    const lsi_env *env;
    const lsi_mapping_running *how;
    char arn[LSI_STREAM_ARN_BYTES];
    lsi_filter_names names; /* for events and filters */
    lsi_mapping *mapping;
    _Atomic int64_t retention_us; /* of the stream */
    _Atomic bool is_stopped;      /* by a handler */

    lsi_guarded guarded;
    lsi_group *group; /* this and the rest: the run's thread alone. NULL: the mapping is paused */
    lsi_worker *workers;
    ls_status st; /* the first failure of a worker, or of the run */
    lsi_error_state why;
} lsi_run;

/* Any thread of the run. */
static inline bool lsi_run_is_told_to_end(const lsi_run *run)
{
    /* Pairs with ls_mapping_stop, and with invoke. */
    return atomic_load_explicit(run->how->is_stopped, memory_order_acquire) ||
           atomic_load_explicit(&run->is_stopped, memory_order_acquire);
}

/* How far a shard was worked on, with what its state points to. */
typedef struct lsi_worker_progress {
    lsi_progress progress; /* the state of a window is a view of `bytes` */
    void *bytes;
    ls_mapping_result result; /* of the last batch */
    lsi_trials trials;        /* batches that failed and are not finished */
} lsi_worker_progress;

/* What a batch has put, on its way. */
typedef struct lsi_worker_step {
    lsi_worker_progress progress; /* where it comes to */
    bool is_wanted;               /* the run is to make it */
    bool is_done;                 /* and the machine has not told of it yet */
    ls_status st;                 /* how that went, and why */
    lsi_error_state why;
} lsi_worker_step;

/* A shard that is worked on. Locks: `lock` (LSI_RANK_LOCAL) guards the machine and what is below it. */
struct lsi_worker {
    lsi_run *run;
    lsi_worker *next;
    uint32_t shard;
    int64_t shard_created_us;
    lsi_thread threads[LSI_BATCHER_LANES_MAX];
    lsi_iterator *iterator;
    lsi_subscriber *subscriber; /* whose subscription the iterator is; NULL: nobody's */

    lsi_occupied occupied; /* this to `saving`: the run's thread alone */
    lsi_lease *lease;
    bool is_leaving;  /* it was told to stop */
    bool is_lost;     /* another worker has the lease */
    bool is_unsaved;  /* `saving` was not saved yet */
    bool has_saved_window;
    int64_t saved_us; /* monotonic: when it was tried last */
    lsi_worker_progress saving; /* what is saved, or is to be */
    lsi_outputs *outputs; /* with one lane: its thread's; the run's while `step.is_wanted`. NULL: nothing was put yet */

    _Atomic bool is_finished; /* all threads are leaving */
    _Atomic bool is_told_to_stop;

    lsi_lock lock;
    _Atomic uint32_t word; /* rises with every change that others may wait for */
    lsi_batcher *machine;
    lsi_filter *filter;
    lsi_engine_count *counts, *times; /* the mapping's; NULL: nobody can be told */
    lsi_batcher_counts told;          /* what of the machine's is in them */
    lsi_engine_count *running;        /* handlers of ours that run now, with whose they are; NULL: nobody can be told */
    uint32_t thread_count;
    int64_t horizon_due_us; /* monotonic: when it may be asked for again */
    bool is_held_up; /* another subscription of the consumer has the shard, and that was logged */
    bool is_reading, is_draining, is_done, is_caught_up;
    bool *matches;
    size_t matches_capacity;
    lsi_lease_notes notes;             /* of the lease */
    lsi_worker_progress next_progress; /* has_next: what is to be saved next */
    bool has_next, has_result, has_trials; /* it is to be saved, or its result is, or what has failed */
    uint32_t handling;         /* a bit for each lane whose handler runs */
    bool is_urgent;            /* a window or the shard has ended */
    bool is_told;              /* the run knows that there is something */
    lsi_worker_step step;
    ls_status st;
    lsi_error_state why;
};

/* Begins to work on the shard of a lease that this worker of the group has. LS_OK with NULL: a handler of another run
 * of this store still has a batch of it (M7). */
ls_status lsi_worker_start(lsi_run *run, const lsi_shard *shard, lsi_lease *lease, lsi_worker **out);
void lsi_worker_stop(lsi_worker *worker); /* Does not wait. */
/* It is finished: waits for its threads' last instructions. */
void lsi_worker_free(lsi_worker *worker);
/* What there is to be saved moves into `saving`. False: there is nothing. */
bool lsi_worker_take_progress(lsi_worker *worker);
/* When there is something to save; INT64_MAX: there is nothing. */
int64_t lsi_worker_due_us(lsi_worker *worker);
/* `out` is another's, or zero. Locks: worker->lock held. */
void lsi_worker_copy_progress(lsi_worker *worker, const lsi_progress *progress, lsi_worker_progress *out);

/* What documents of its records say besides. */
static inline lsi_event_source lsi_worker_source(const lsi_worker *worker)
{
    return (lsi_event_source){worker->run->names, worker->shard, worker->shard_created_us};
}

/* ---- counts.c. Locks: but for the first, worker->lock held ---- */
void lsi_worker_counts_open(lsi_worker *worker);
void lsi_worker_count(lsi_worker *worker); /* what the machine has counted since */
void lsi_worker_count_reported(lsi_worker *worker, uint32_t records); /* given up, and whoever is to be told was */
void lsi_worker_count_invocation(lsi_worker *worker, const lsi_outcome *outcome, uint32_t records, int64_t took_us);

/* ---- running.c: by the run's thread, and around each call of a handler ---- */
void lsi_worker_running_open(lsi_worker *worker);
void lsi_worker_running_close(lsi_worker *worker);
static inline void lsi_worker_enters(lsi_worker *worker)
{
    if (worker->running != NULL)
        atomic_fetch_add_explicit(worker->running, 1, memory_order_relaxed); /* A number by itself. */
}
static inline void lsi_worker_leaves(lsi_worker *worker)
{
    if (worker->running != NULL)
        atomic_fetch_sub_explicit(worker->running, 1, memory_order_relaxed);
}

/* ---- handler.c ---- */

/* Its state is a view of the context's. */
lsi_outcome lsi_handler_outcome(ls_handler_answer answer, const ls_handler_context *context);
void lsi_handler_context_end(ls_handler_context *context);

/* ---- step.c ---- */

/* What a failure of a step means for the batch. */
typedef enum { LSI_STEP_DONE, LSI_STEP_LATER, LSI_STEP_FAILED, LSI_STEP_OVER } lsi_step_meaning;
lsi_step_meaning lsi_step_mean(ls_status st);
/* Makes the step that the worker wants, if it wants one. By the run's thread. */
ls_status lsi_worker_make_step(lsi_worker *worker);
/* The handler's thread: what was put is made a step, if it counts. True: it was, and `outcome` came true; false:
 * nothing was done, and `outcome` may be another one. Locks: worker->lock held, not while it waits. */
bool lsi_worker_commit(lsi_worker *worker, lsi_outcome *outcome, lsi_moment now);
/* Whether a step saved what is told now. Locks: worker->lock held. */
bool lsi_worker_has_stepped_to(lsi_worker *worker, const lsi_progress *progress);

/* ---- failure.c ---- */

/* Of a mapping that has a failure stream. False: it is to be tried again, and was logged. */
bool lsi_failure_put(const lsi_worker *worker, const lsi_batcher_action *discard);

#endif
