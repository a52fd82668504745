/* The room's inside: what the public handles are, and what every exported function does first.
 *
 * A handle counts the handles opened from it, so that a parent cannot go before its children. The counts are atomics:
 * children are opened and closed on any thread, and a fork child must not find a lock held.
 *
 * A call that succeeds leaves the last error alone, also when it got over something that failed: what can fail begins
 * with LSI_ENTER or lsi_error_begin(), and ends in lsi_error_end() unless it fails.
 *
 * P9 is kept here: every call but the closes asks whether the handle is of this process. The engine asks again. So is
 * P2's bound: whatever a call meets below, it waits for others no longer than busy_timeout_ms in all (patience.h). */
#ifndef LSI_API_API_H
#define LSI_API_API_H

#include <stdatomic.h>
#include <stddef.h>

#include <libstream/libstream.h>

#include "base/env.h"
#include "base/lock.h"
#include "base/patience.h"
#include "base/status.h"
#include "consume/consume.h"
#include "deliver/deliver.h"
#include "engine/engine.h"
#include "metrics/metrics.h"
#include "produce/produce.h"

/* ---- role.c ---- */

enum {
    LSI_MAY_READ = 1,
    LSI_MAY_PUT = 2,
    LSI_MAY_CHANGE = 4, /* streams, shards, and what is set of their consumers */
    LSI_MAY_CONSUME = 8 /* keep how far one has come: checkpoints, leases, the state of windows */
};

typedef struct lsi_role {
    uint32_t rights;  /* LSI_MAY_ bits */
    const char *word; /* what the store was opened for, when not for all */
} lsi_role;

/* What the flags of the options say; the roles among them become what the engine knows. */
ls_status lsi_role_take(ls_store_options *options, lsi_role *out);
/* READ_ONLY, or STATE when it may put, naming `call`. */
ls_status lsi_store_require(const ls_store *store, uint32_t right, const char *call);

struct ls_store {
    lsi_role role;
    lsi_env env;      /* this store's own: the engine copies it */
    lsi_files *files; /* `memory:` only */
    lsi_fork_mark *mark;
    lsi_engine *engine;
    lsi_guard *guard;
    lsi_registry *registry; /* the application's metrics */
    _Atomic uint32_t stream_count;
    _Atomic bool delivers_in_doubt; /* a sync of a directory of objects has failed (sink_directory.c, W5) */
};

struct ls_stream {
    ls_store *store;
    lsi_engine_stream *stream;
    _Atomic uint32_t child_count; /* producers, iterators, consumers, filters, mappings, deliveries and alerts */
    char name[LSI_STREAM_NAME_MAX + 1];
};

struct ls_producer {
    ls_stream *stream;
    lsi_producer *producer;
};

struct ls_async_producer {
    ls_stream *stream;
    lsi_async *async;
};

struct ls_iterator {
    ls_stream *stream;
    lsi_iterator *iterator;
};

struct ls_consumer {
    ls_stream *stream;
    lsi_subscriber *subscriber;
};

struct ls_mapping {
    ls_stream *stream;
    uint64_t id;
    _Atomic uint32_t running; /* 1 while there is a run; others sleep on it */
    _Atomic bool is_stopped;
    char name[LSI_STREAM_NAME_MAX + 1];
};

struct ls_alerts {
    ls_stream *stream;
    lsi_alerts *alerts;
};

struct ls_delivery {
    ls_stream *stream;
    uint64_t id;
    _Atomic uint32_t running; /* 1 while there is a run; others sleep on it */
    _Atomic bool is_stopped;
    char name[LSI_STREAM_NAME_MAX + 1];
};

struct ls_group {
    ls_stream *stream;
    lsi_group *group;
};

struct ls_window {
    ls_stream *stream;
    lsi_window *window;
    _Atomic bool is_running;
};

/* As ls_store_open, on `env` instead of the system: its memory, clock, files, random numbers. What `options` says of
 * memory, log and time-outs goes before it; `memory:` brings files of its own. For tests. */
ls_status lsi_store_open_env(const char *location, const ls_store_options *options, const lsi_env *env, ls_store **out);

/* ---- options.c ---- */

/* Copies a caller's options into `own`, whichever release the caller was compiled against: what an older caller does
 * not know keeps its default, what a newer one asks for beyond `own_size` is refused. `theirs` NULL: all defaults. */
ls_status lsi_options_import(void *own, uint32_t own_size, const void *theirs, uint32_t oldest_size);

/* The size that a struct had when `last` was its last field. */
#define LSI_SIZE_UP_TO(type, last) ((uint32_t)(offsetof(type, last) + sizeof(((type *)0)->last)))

/* ---- stream.c ---- */

/* A stream shows no shards before it is there and when it is going. */
void lsi_stream_hide_shards(lsi_stream_info *info);
/* What is known of a shard, into as much of `*out` as its `size` says. INVALID_ARGUMENT: the size was not set. */
ls_status lsi_shard_info_fill(const lsi_shard *shard, const lsi_shard_state *state, ls_shard_info *out);

/* ---- txn.c: a transaction without checkpoints of its own ---- */

/* What is put becomes a step that `take` makes, once or again. With LS_OK it is empty; else as it was, but after IO. */
ls_status lsi_txn_commit(ls_txn *txn, lsi_take_step *take, void *user);
uint32_t lsi_txn_count(const ls_txn *txn); /* the next put's number */
/* Drops those whose index is not below. Then it is committed, or aborted: nothing is added. */
void lsi_txn_keep(ls_txn *txn, const uint32_t *indexes, uint32_t below);

/* ---- mapping_outputs.c ---- */

extern const lsi_outputs_ops lsi_mapping_outputs;

/* ---- metrics_gather.c ---- */

/* Adds all metrics of the store and of the application. */
ls_status lsi_metrics_gather(ls_store *store, lsi_snapshot *to);

/* ---- checks ---- */

ls_status lsi_check_rates(lsi_rates rates);
ls_status lsi_check_compression(ls_compression compression);

/* For the head of every function: refuses a NULL argument by its name. */
#define LSI_REFUSE_NULL(argument)                                                     \
    do {                                                                              \
        if ((argument) == NULL)                                                       \
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "argument '" #argument "' is NULL"); \
    } while (0)

static inline bool lsi_store_is_mine(const ls_store *store)
{
    return lsi_fork_mark_is_mine(store->mark);
}

/* LS_ERR_STATE in a fork child; else the call has busy_timeout_ms to wait for others. */
ls_status lsi_store_is_elsewhere(void);
#define LSI_ENTER(store)                                      \
    do {                                                      \
        lsi_error_begin();                                    \
        if (!lsi_store_is_mine(store))                        \
            return lsi_store_is_elsewhere();                  \
        lsi_patience_begin(&(store)->env);                    \
    } while (0)

/* The same, for a function that needs a right. */
#define LSI_ENTER_TO(right, store)                                           \
    do {                                                                     \
        LSI_ENTER(store);                                                    \
        if (lsi_store_require(store, right, __func__) != LS_OK)              \
            return lsi_error_current()->status;                              \
    } while (0)

#endif
