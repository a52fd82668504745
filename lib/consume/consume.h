/* The room's door: everything a reader needs above the engine contract. An iterator over one shard or over all of a
 * stream, its waits, its place as text, its descriptor for event loops.
 *
 * One iterator serves one thread at a time; only lsi_iterator_cancel may come from another at any moment. Options were
 * imported and checked by the caller. */
#ifndef LSI_CONSUME_CONSUME_H
#define LSI_CONSUME_CONSUME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/alert.h>
#include <libstream/consumer.h>
#include <libstream/iterator.h>
#include <libstream/lease.h>
#include <libstream/mapping.h>
#include <libstream/window.h>
#include <libstream/producer.h>

#include "consume/lease/rules.h"
#include "consume/lease/trial.h"
#include "engine/engine.h"

typedef struct lsi_iterator lsi_iterator;
typedef struct lsi_subscriber lsi_subscriber;

/* What ls_batch_ functions show. Lives in its iterator. */
struct ls_batch {
    const ls_record *records;
    uint32_t count;
    uint32_t shard; /* LSI_NO_SHARD: an empty one of a merged iterator */
    int64_t millis_behind_latest;
    bool is_shard_end;
    uint32_t child_count;
    const uint32_t *children;
    lsi_iterator *iterator;
};

/* As ls_iterator_open, _open_all and _open_place. `position` NULL: TRIM_HORIZON. `flags`: LS_ITERATOR_ bits. */
ls_status lsi_iterator_open(lsi_engine_stream *stream, uint32_t shard, const ls_position *position, uint32_t flags,
                            lsi_iterator **out);
ls_status lsi_iterator_open_all(lsi_engine_stream *stream, const ls_position *position, uint32_t flags,
                                lsi_iterator **out);
ls_status lsi_iterator_open_place(lsi_engine_stream *stream, const char *place, uint32_t flags, lsi_iterator **out);
void lsi_iterator_close(lsi_iterator *iterator); /* Accepts NULL. */

/* As ls_iterator_next. The limits are none of them 0; `timeout_ms` is -1 or more. */
ls_status lsi_iterator_next(lsi_iterator *iterator, uint32_t records_max, uint64_t bytes_max, int64_t timeout_ms,
                            const ls_batch **out);

/* Whether a limit of the stream, or of its consumer, kept the last call from a shard, if only for a while. */
bool lsi_iterator_was_held(const lsi_iterator *iterator);

/* How many records the last call fetched, as they were put, of an iterator that reads one shard and de-aggregates; 0:
 * it gave the rest of what was there. Bytes of keys and data. */
uint32_t lsi_iterator_fetched(const lsi_iterator *iterator, uint64_t *bytes);

/* As the functions of iterator.h with these names. */
ls_status lsi_iterator_seek(lsi_iterator *iterator, const ls_position *position);
void lsi_iterator_cancel(lsi_iterator *iterator);
ls_status lsi_iterator_place(lsi_iterator *iterator, char *buffer, size_t capacity, size_t *needed);
ls_status lsi_iterator_event_fd(lsi_iterator *iterator, int32_t *out);

/* ---- counts.c ---- */

/* The number by which something of that name is counted, LSI_COUNTS_GROUP, _WINDOW or _CONSUMER: whoever makes the name
 * again counts on. */
uint32_t lsi_counts_number(const char *name);
enum { /* the words of LSI_COUNTS_CONSUMER */
    LSI_CONSUMER_COUNT_REFUSED, /* subscriptions */
    LSI_CONSUMER_COUNT_HELD     /* waits for records in which its limit kept it from some */
};

/* ---- subscribe.c: any thread ---- */

ls_status lsi_consumer_find(lsi_engine_stream *stream, const char *name, lsi_consumer *out);
/* As ls_consumer_open, _close, _cancel. */
ls_status lsi_subscriber_open(lsi_engine_stream *stream, const char *name, lsi_subscriber **out);
ls_status lsi_subscriber_close(lsi_subscriber *subscriber); /* STATE: a subscription is running. Accepts NULL. */
void lsi_subscriber_cancel(lsi_subscriber *subscriber);

/* As ls_consumer_subscribe and its sisters. The limits are none of them 0. */
typedef struct lsi_subscription {
    bool is_merged;              /* all shards */
    uint32_t shard;
    const ls_position *position; /* NULL: TRIM_HORIZON */
    const char *place;           /* not NULL: the three above do not count */
    uint32_t records_max;
    uint64_t bytes_max;
    uint32_t heartbeat_ms;       /* 0: none */
    uint32_t flags;              /* of the iterator */
    ls_push_callback callback;
    void *user;
} lsi_subscription;
ls_status lsi_subscribe(lsi_subscriber *subscriber, const lsi_subscription *what);

/* ---- group.c, lease.c: as the functions of lease.h. One thread at a time for a group and its leases, but for _renew
 * and _cancel ---- */

typedef struct lsi_group lsi_group;
typedef struct lsi_lease lsi_lease;

#define LSI_WORKER_NAME_MAX 63u
typedef struct lsi_group_config {
    const void *handle; /* whatever lsi_lease_handle is to give */
    uint32_t failover_ms, handover_ms, leases_max; /* 0: the default */
    lsi_lease_start start; /* of a group that is made */
    const char *worker;    /* checked; NULL: a random name */
    uint64_t mapping;      /* not 0: its id, whose group it is and is there, or NOT_FOUND */
    uint32_t routing;      /* of a mapping: by which settings records come into lanes and batches; else 0 */
    bool is_guarded;       /* somebody renews for it, and calls the engine's `rouse` */
} lsi_group_config;
/* `name` was checked. */
ls_status lsi_group_open(lsi_engine_stream *stream, const char *name, const lsi_group_config *config, lsi_group **out);
ls_status lsi_group_give_back(lsi_group *group); /* All leases; the first error. */
void lsi_group_free(lsi_group *group);           /* Touches nothing shared. */
typedef struct lsi_group_event {
    ls_group_event_kind kind;
    lsi_lease *lease;
} lsi_group_event;
ls_status lsi_group_next(lsi_group *group, int64_t timeout_ms, lsi_group_event *out);
void lsi_group_renew(lsi_group *group);
void lsi_group_cancel(lsi_group *group);
ls_status lsi_group_delete(lsi_engine_stream *stream, const char *name);
const void *lsi_lease_handle(const lsi_lease *lease);
void lsi_lease_describe(const lsi_lease *lease, ls_lease_info *out); /* all of it but the size */
ls_status lsi_lease_checkpoint(lsi_lease *lease, ls_seqno seqno, uint32_t sub_seqno);
ls_status lsi_lease_prepare(lsi_lease *lease, ls_seqno seqno, uint32_t sub_seqno, ls_bytes state); /* pending.c */
/* Checkpoints of leases of one stream, each once, and puts, as one step. As the engine's
 * step, but for LEASE_LOST. LS_OK with a put that moved: nothing was done. */
typedef struct lsi_checkpoint {
    lsi_lease *lease;
    ls_seqno seqno;
    uint32_t sub_seqno;
} lsi_checkpoint;
ls_status lsi_lease_step(const lsi_checkpoint *marks, uint32_t count, lsi_step_put *puts, uint32_t put_count);
lsi_engine_stream *lsi_lease_stream(const lsi_lease *lease);
ls_status lsi_lease_end(lsi_lease *lease);
ls_status lsi_lease_close(lsi_lease *lease); /* Accepts NULL. */
/* The same of one that is there; this worker does not take it again unless somebody else had it meanwhile. */
ls_status lsi_lease_leave(lsi_lease *lease);
/* For what has a group of its own, as a mapping has: `id` is whose it is. More values are written with it, or none of
 * all. */
typedef struct lsi_lease_beside {
    const lsi_state_change *changes;
    uint32_t count;
} lsi_lease_beside;
/* Where a group begins. INVALID_ARGUMENT: it is no position for that; `what` begins there, for the message. */
ls_status lsi_lease_start_of(const lsi_env *env, const char *what, const ls_position *position, lsi_lease_start *out);
/* The group, with a lease for each shard in which it begins. EXISTS; `*is_done` false: something was changed meanwhile,
 * and nothing was done, as with the next. */
ls_status lsi_group_make_owned(lsi_engine_stream *stream, const char *name, uint64_t id, lsi_lease_start start,
                               lsi_lease_beside beside, bool *is_done);
ls_status lsi_group_remove_owned(lsi_engine_stream *stream, const char *name, uint64_t id, lsi_lease_beside beside,
                                 bool *is_done);
/* Notes that all up to `point` is finished (NONE: nothing is; END: the shard is, and the leases of its heirs are made),
 * and what goes with that, in one step. What it covers was synced. `trials` NULL: as they are. Else as
 * lsi_lease_checkpoint. */
ls_status lsi_lease_save(lsi_lease *lease, lsi_point point, uint32_t note, const lsi_trials *trials,
                         lsi_lease_beside beside);
/* Whether each lease that can be worked on is this worker's, or was left by it, or is another's who was seen to live,
 * as of the last look, and nothing has changed since. */
bool lsi_group_is_settled(lsi_group *group);
/* Whether nothing of the group has changed since the last look. */
bool lsi_group_is_current(lsi_group *group);

/* How old the first record behind that one is; 0: there is none; -1: not known. */
int64_t lsi_lag_ms(lsi_engine_stream *stream, uint32_t shard, ls_seqno seqno);
/* As ls_stream_list_leases: the caller's with lsi_free. And of each lease, unless `records` is NULL, how many records
 * are not finished, UINT64_MAX: not known; the caller's too. */
ls_status lsi_lease_list(lsi_engine_stream *stream, const char *group, ls_lease_info **out, uint64_t **records,
                         uint32_t *count);
enum { /* the words of LSI_COUNTS_GROUP: of leases, and checkpoints by what became of them */
    LSI_GROUP_COUNT_TAKEN, LSI_GROUP_COUNT_LOST,
    LSI_GROUP_COUNT_SAVED, LSI_GROUP_COUNT_REFUSED, LSI_GROUP_COUNT_FAILED
};
/* The names of the stream's groups, those of mappings among them, in byte order, until `each` answers false; it calls
 * nothing of the stream. */
ls_status lsi_group_each(lsi_engine_stream *stream, bool (*each)(void *user, const char *name), void *user);

/* ---- alert/: rules that call back. Any thread ---- */

/* A rule as it is kept. */
typedef struct lsi_alert_rule {
    lsi_memory memory;
    char name[LSI_STREAM_NAME_MAX + 1];
    uint64_t version; /* of its value in the state */
    int64_t created_us, modified_us;
    ls_alert_options options; /* resolved and valid */
    char *texts; /* this and the next: what it points to */
    ls_label *labels;
} lsi_alert_rule;
void lsi_alert_rule_free(lsi_alert_rule *rule); /* Accepts NULL. */

/* What was seen of a field or metric. */
typedef struct lsi_alert_notes {
    uint64_t observed, values; /* records or looks; those that had a value */
    uint64_t numbers;          /* of these; 0: the next two are 0, too */
    double least, greatest;
} lsi_alert_notes;
typedef struct lsi_alert_state lsi_alert_state;

/* Defaults; then whether it may be, also of what was read (X1). */
void lsi_alert_options_resolve(ls_alert_options *options);
ls_status lsi_alert_options_check(const ls_alert_options *options);
/* As the functions of alert.h. Options are resolved and valid. */
ls_status lsi_alert_create(lsi_engine_stream *stream, const char *name, const ls_alert_options *options);
ls_status lsi_alert_update(lsi_engine_stream *stream, const char *name, const ls_alert_options *options);
ls_status lsi_alert_remove(lsi_engine_stream *stream, const char *name);
ls_status lsi_alert_load(lsi_engine_stream *stream, const char *name, lsi_alert_rule **out);
typedef struct lsi_alert_rules {
    lsi_memory memory;
    lsi_alert_rule **rules; /* [count], in byte order of name */
    size_t count, capacity;
} lsi_alert_rules;
ls_status lsi_alert_load_all(lsi_engine_stream *stream, lsi_alert_rules *out);
void lsi_alert_rules_free(lsi_alert_rules *rules); /* The contents. */
/* What is known of it, all of the info but its size. */
ls_status lsi_alert_look(lsi_engine_stream *stream, const lsi_alert_rule *rule, ls_alert_info *out);

typedef struct lsi_alerts lsi_alerts;
ls_status lsi_alerts_open(lsi_engine_stream *stream, ls_alert_callback callback, void *user, lsi_alerts **out);
ls_status lsi_alerts_observe(lsi_alerts *alerts, const ls_batch *batch);
/* What a metric is now: false: it is not there. Called only if a rule asks for it. */
typedef bool lsi_alert_metric(void *user, const ls_alert_options *options, double *out);
/* `begin` is called before the first metric is asked for; its failure ends the look. */
ls_status lsi_alerts_check(lsi_alerts *alerts, ls_status (*begin)(void *user), lsi_alert_metric *metric, void *user);
ls_status lsi_alerts_flush(lsi_alerts *alerts); /* what was noted is stored */
void lsi_alerts_free(lsi_alerts *alerts);

/* ---- filter.c: which records pass the filters of a mapping. One thread at a time ---- */

typedef struct lsi_filter lsi_filter;

#define LSI_FILTERS_DEFAULT 5u
#define LSI_FILTERS_MAX 10u

/* The fields of an event that no record says. NULL: the event has no such field. Borrowed. */
typedef struct lsi_filter_names {
    const char *event_source_arn;
    const char *invoke_identity_arn;
    const char *aws_region;
} lsi_filter_names;

/* As ls_filter_open: `count` patterns, of which a record must match one; 0: every record matches. UNSUPPORTED when
 * built without JSON. `names` NULL: none. */
ls_status lsi_filter_open(const lsi_memory *memory, const char *const *patterns, size_t count,
                          const lsi_filter_names *names, lsi_filter **out);
void lsi_filter_close(lsi_filter *filter); /* Accepts NULL. */
/* Whether a pattern asks for the record's number in 56 digits, in which the shard's creation is. */
bool lsi_filter_asks_number(const lsi_filter *filter);
/* Does not touch the last error on LS_OK. NO_MEMORY, TOO_LARGE (data of 4 GiB): nothing is known of the record. */
ls_status lsi_filter_matches(lsi_filter *filter, const ls_record *record, int64_t shard_created_us, bool *out);
/* How many records did not match while their data, which a pattern asks for, is not JSON. */
uint64_t lsi_filter_not_json(const lsi_filter *filter);

/* ---- mapping.c: mappings as they are kept in their stream's state. Any thread ---- */

typedef struct lsi_mapping {
    lsi_memory memory;
    char name[LSI_STREAM_NAME_MAX + 1];
    uint64_t id;
    uint64_t version;     /* of its value in the state */
    ls_mapping_status status;
    int64_t created_us, modified_us;
    ls_position_kind start_kind;
    int64_t start_timestamp_us;
    ls_mapping_options options; /* resolved and valid */
    ls_mapping_result last_result; /* for a description; else 0 */
    char own_failure_stream[LSI_STREAM_NAME_MAX + 1], own_consumer[LSI_STREAM_NAME_MAX + 1];
    char *texts; /* this and the next: what it points to */
    const char **filters;
} lsi_mapping;
void lsi_mapping_free(lsi_mapping *mapping); /* Accepts NULL. */

/* As the functions of mapping.h. Options are resolved and valid; filters are checked here. */
ls_status lsi_mapping_create(lsi_engine_stream *stream, const char *name, const ls_position *position,
                             const ls_mapping_options *options);
/* `options` NULL, `status` 0: as they are. */
ls_status lsi_mapping_change(lsi_engine_stream *stream, const char *name, const ls_mapping_options *options,
                             ls_mapping_status status);
ls_status lsi_mapping_seek(lsi_engine_stream *stream, const char *name, const ls_position *position);
ls_status lsi_mapping_remove(lsi_engine_stream *stream, const char *name);
ls_status lsi_mapping_load(lsi_engine_stream *stream, const char *name, lsi_mapping **out);
/* mapping/window.c: the worst of its shards' last ones. */
ls_status lsi_mapping_last_result(lsi_engine_stream *stream, const lsi_mapping *mapping, ls_mapping_result *out);
/* In byte order of name, until `each` answers false; views. It calls nothing of the engine. */
ls_status lsi_mapping_each(lsi_engine_stream *stream, bool (*each)(void *user, const lsi_mapping *mapping), void *user);

/* ---- mapping/run.c ---- */

/* What a handler has put to be one step with its batch. This room writes nothing: `api` keeps it. One thread at a time
 * for one of them. */
typedef struct lsi_outputs lsi_outputs;
/* Makes the step. LS_OK with a put that moved: nothing was done, and it is asked again with others. */
typedef ls_status lsi_take_step(void *user, lsi_step_put *puts, uint32_t count);
typedef struct lsi_outputs_ops {
    uint32_t (*keep)(lsi_outputs *outputs, uint32_t below); /* what comes of records below; how much that is */
    ls_status (*commit)(lsi_outputs *outputs, lsi_take_step *take, void *user); /* empty with LS_OK, else as it was */
    void (*close)(lsi_outputs *outputs); /* Accepts NULL. */
} lsi_outputs_ops;

/* What ls_handler_ functions show and set. Lives as long as the handler's call. */
struct ls_handler_context {
    const lsi_env *env;
    const struct lsi_invocation *what;
    const struct lsi_event_source *source;
    int64_t late_us; /* monotonic; INT64_MAX: never */
    bool reports_failures;
    void *handle;          /* of lsi_mapping_running */
    lsi_outputs **outputs; /* the first put makes it. NULL: the mapping keeps none */
    void *event; /* once it was asked for: the event document, the context's own */
    size_t event_bytes;
    bool is_bad, has_failed_at, has_state; /* this and the rest: the handler's answer; is_bad: no answer at all */
    size_t failed_at;
    void *state; /* the context's own */
    size_t state_bytes;
};

/* ---- handler.c ---- */
uint32_t lsi_handler_attempts(const ls_handler_context *context);
uint32_t lsi_handler_records(const ls_handler_context *context); /* of the batch */
bool lsi_handler_window(const ls_handler_context *context, ls_handler_window *out); /* false: there are none */
bool lsi_handler_takes_answer(const ls_handler_context *context);
ls_status lsi_handler_event_json(ls_handler_context *context, ls_bytes *out);
ls_status lsi_handler_answer_json(ls_handler_context *context, ls_bytes document, ls_handler_answer *out);

/* ---- guard.c: one for all runs of an open store ---- */
typedef struct lsi_guard lsi_guard;
ls_status lsi_guard_new(lsi_engine *engine, lsi_guard **out);
/* Nobody is guarded any more. In a fork child it frees memory alone. Accepts NULL. */
void lsi_guard_free(lsi_guard *guard, bool is_mine);
/* The caller's, from lsi_guard_join to lsi_guard_leave. */
typedef struct lsi_guarded {
    struct lsi_guarded *next; /* this and the rest: the guard's lock */
    lsi_group *group;         /* whose leases are renewed; NULL: nobody's */
    int64_t due_us;           /* when they are to be, at the latest */
} lsi_guarded;
/* Begins the thread, if this is the first. */
ls_status lsi_guard_join(lsi_guard *guard, lsi_guarded *me);
void lsi_guard_leave(lsi_guard *guard, lsi_guarded *me);
/* From now on its leases are renewed. NULL: none are, nor are they when this returns. */
void lsi_guard_renews(lsi_guard *guard, lsi_guarded *me, lsi_group *group);
/* That a run of this open store works on a shard of a mapping. The caller's, at first zero; no copy of it counts. */
typedef struct lsi_occupied {
    struct lsi_occupied *next; /* this and the rest: the guard's lock */
    uint64_t mapping;          /* its id */
    uint32_t shard;
    bool is_held;
    bool is_wanted; /* somebody was refused */
} lsi_occupied;
/* False: another run works on it, and whoever asked asks again when that has gone. */
bool lsi_guard_occupy(lsi_guard *guard, lsi_occupied *me, uint64_t mapping, uint32_t shard);
/* Whether somebody was refused meanwhile, who is to be woken then. What is not occupied: false. */
bool lsi_guard_vacate(lsi_guard *guard, lsi_occupied *me);

/* How a mapping is run; options were checked, none is 0 but `shards_max` and `flags`. */
typedef struct lsi_mapping_running {
    const char *name;
    uint64_t id; /* of the mapping */
    uint32_t flags, failover_ms, shards_max;
    ls_batch_handler handler;
    ls_discard_callback discard;
    void *user;
    const _Atomic bool *is_stopped;
    lsi_guard *guard;
    /* Puts records to a stream of the same store, all of them into one shard, or none: this room writes nothing.
     * TOO_LARGE: a record is too large for that stream, or all are together. */
    ls_status (*put)(lsi_engine *engine, const char *stream, const ls_put_entry *entries, size_t count);
    void *handle; /* whatever the context of a handler is to have */
    const lsi_outputs_ops *outputs;
} lsi_mapping_running;
ls_status lsi_mapping_run(lsi_engine_stream *stream, const lsi_mapping_running *how);
void lsi_mapping_wake(lsi_engine_stream *stream); /* whoever runs a mapping of the stream looks what is to be done */


/* ---- mapping/counts.c ---- */
enum { /* the words of LSI_COUNTS_MAPPING */
    LSI_MAPPED_OK, LSI_MAPPED_PARTIAL, LSI_MAPPED_ERROR, LSI_MAPPED_TIMEOUT, /* invocations */
    /* Records: INVOKED each once, REDELIVERED each time after that; REPORTED to the failure stream
     * or to the run's callback. */
    LSI_MAPPED_POLLED, LSI_MAPPED_FILTERED, LSI_MAPPED_INVOKED, LSI_MAPPED_REDELIVERED, LSI_MAPPED_FAILED,
    LSI_MAPPED_DROPPED_AGE, LSI_MAPPED_DROPPED_RETRIES, LSI_MAPPED_REPORTED,
    LSI_MAPPED_THROTTLES, /* invocations that could not begin */
    LSI_MAPPED_HELD,      /* reads that a limit kept waiting */
    LSI_MAPPED_SIZES /* a histogram of numbers of records */
};
uint32_t lsi_mapping_counts_number(const lsi_mapping *mapping);

/* ---- mapping/running.c ---- */
/* How many of its handlers run now, in all processes that live. Of the mapping name and id are used. */
ls_status lsi_mapping_executions(lsi_engine_stream *stream, const lsi_mapping *mapping, uint64_t *out);

/* ---- mapping/settings.c ---- */
void lsi_mapping_options_resolve(ls_mapping_options *options);
/* Of resolved ones; filters as texts alone. INVALID_ARGUMENT, UNSUPPORTED. */
ls_status lsi_mapping_options_check(const ls_mapping_options *options);

/* ---- window/feed.c, window/run.c, window/rows.c: as the functions of window.h. One thread at a time, but for _stop,
 * which any may call ---- */

typedef struct lsi_window lsi_window;
/* Options are resolved and checked. `name` NULL: nothing is stored. */
ls_status lsi_window_open(lsi_engine_stream *stream, const char *name, const ls_window_options *options,
                          lsi_window **out);
ls_status lsi_window_check(const ls_window_options *options); /* Kind, sizes and spans, of resolved ones. */
ls_status lsi_window_give_back(lsi_window *window);
void lsi_window_free(lsi_window *window); /* Touches nothing shared. Accepts NULL. */
ls_status lsi_window_run(lsi_window *window, bool is_until_caught_up, const ls_position *position);
void lsi_window_stop(lsi_window *window);
ls_status lsi_window_add_shard(lsi_window *window, uint32_t shard);
void lsi_window_position(const lsi_window *window, uint32_t shard, ls_position *out);
ls_status lsi_window_add(lsi_window *window, const ls_batch *batch);
ls_status lsi_window_tip(lsi_window *window, uint32_t shard);
ls_status lsi_window_store(lsi_window *window);
ls_status lsi_window_finish(lsi_window *window);
ls_status lsi_window_flush(lsi_window *window);
void lsi_window_describe(const lsi_window *window, ls_window_info *out);
ls_status lsi_window_remove(lsi_engine_stream *stream, const char *name);

/* ---- window/listing.c: any thread ---- */

enum { LSI_WINDOW_COUNT_LATE }; /* the words of LSI_COUNTS_WINDOW, of those with a name */
/* The names of the stream's window operators, in byte order, until `each` answers false; it calls nothing of the
 * stream. */
ls_status lsi_window_each(lsi_engine_stream *stream, bool (*each)(void *user, const char *name), void *user);
/* The watermarks of one, as they were stored last, of each shard that has one and has not ended. `each` calls nothing
 * of the stream. */
ls_status lsi_window_watermarks(lsi_engine_stream *stream, const char *name,
                                void (*each)(void *user, uint32_t shard, int64_t watermark_ms), void *user);

/* ---- kept.c: any thread ---- */

/* Looks at a value of the state, and calls nothing of the stream. `*goes_on`, at first true of several: whether it is
 * to see the next one. What is not LS_OK ends the looking, and is its answer. */
typedef ls_status (*lsi_kept_take)(void *user, const lsi_state_entry *entry, bool *goes_on);
/* The value of that key, if there is one. */
ls_status lsi_kept_find(lsi_engine_stream *stream, ls_bytes key, lsi_kept_take take, void *user);
/* All whose keys begin so, in byte order. */
ls_status lsi_kept_each(lsi_engine_stream *stream, ls_bytes prefix, lsi_kept_take take, void *user);

#endif
