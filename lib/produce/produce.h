/* The room's door: everything a writer needs above the engine contract. Which shard takes a record, what to do when
 * that shard was closed meanwhile, and how a batch becomes one append per shard and one wait for all of them.
 *
 * One producer serves one thread at a time; an asynchronous one serves any, with a thread of its own. Options were
 * imported and checked by the caller. */
#ifndef LSI_PRODUCE_PRODUCE_H
#define LSI_PRODUCE_PRODUCE_H

#include <stdbool.h>
#include <stddef.h>

#include <libstream/async_producer.h>
#include <libstream/producer.h>

#include "engine/engine.h"
#include "metrics/metrics.h"

typedef struct lsi_producer lsi_producer;

/* Touches no disk: the shards are looked at by the first put. */
ls_status lsi_producer_open(lsi_engine_stream *stream, lsi_producer **out);
void lsi_producer_close(lsi_producer *producer); /* Accepts NULL. */

/* As ls_producer_put. `explicit_key` may be NULL. `durability`: LS_DURABILITY_DEFAULT, or what this call asks for;
 * only more than the store's counts. `*out` is set on LS_OK only. */
ls_status lsi_producer_put(lsi_producer *producer, ls_bytes key, ls_bytes data, const ls_hash_key *explicit_key,
                           ls_durability durability, ls_record_id *out);

/* As ls_producer_put_batch; `results` and `failed` may be NULL. */
ls_status lsi_producer_put_batch(lsi_producer *producer, const ls_put_entry *entries, size_t count,
                                 ls_durability durability, bool atomic, ls_put_result *results, size_t *failed);

/* The same, numbered. */
ls_status lsi_producer_put_numbered_batch(lsi_producer *producer, const ls_put_entry *entries, size_t count,
                                          const ls_put_options *options, ls_put_result *results, size_t *failed);
ls_status lsi_producer_put_numbered(lsi_producer *producer, const ls_put_entry *entry, const ls_put_options *options,
                                    ls_record_id *out);
uint64_t lsi_producer_repeats(const lsi_producer *producer);

/* ---- step.c: the puts of a step, of which the engine makes one ---- */

/* Whether a record may be put. */
ls_status lsi_producer_check(lsi_producer *producer, ls_bytes key, ls_bytes data);
/* The records by shard, at most `puts_max` of them. `puts` are views: until the producer is used again. */
ls_status lsi_producer_plan(lsi_producer *producer, const ls_put_entry *entries, uint32_t count, lsi_step_put *puts,
                            uint32_t puts_max, uint32_t *put_count);
ls_status lsi_producer_admit(lsi_producer *producer, const lsi_step_put *put); /* THROTTLED, or what a fault says */
void lsi_producer_stepped(const lsi_producer *producer, const lsi_step_put *put); /* It is done: it is counted. */
/* A put of the plan met a closed shard: waits until there are others. `*deadline_us`: 0 before the first wait. */
ls_status lsi_producer_plan_again(lsi_producer *producer, uint32_t shard, int64_t *deadline_us);
uint64_t lsi_producer_stream_id(const lsi_producer *producer); /* once there was a plan */

/* As ls_producer_flush. */
ls_status lsi_producer_flush(lsi_producer *producer);

/* ---- async/: puts that nobody waits for ---- */

/* Words of LSI_COUNTS_ASYNC. Before them: a histogram of durations, of a sample, from the put to the outcome. */
enum {
    LSI_ASYNC_RECORDS = LSI_DURATION_WORDS, /* that were put */
    LSI_ASYNC_STORED, LSI_ASYNC_FAILED, LSI_ASYNC_UNKNOWN, /* outcomes */
    LSI_ASYNC_RETRIES,    /* tries of records, but for the first of each */
    LSI_ASYNC_BATCHES,    /* of one shard each */
    LSI_ASYNC_AGGREGATES, /* stored, */
    LSI_ASYNC_PACKED,     /* and records in them */
    LSI_ASYNC_WORDS,
    LSI_ASYNC_COUNTS = LSI_ASYNC_WORDS - LSI_ASYNC_RECORDS
};
_Static_assert(LSI_ASYNC_WORDS <= LSI_ENGINE_COUNTS, "they fit");

/* In range, and resolved. */
typedef struct lsi_async_settings {
    int64_t linger_us;
    int64_t ttl_us; /* INT64_MAX: no end */
    uint64_t batch_bytes_max, buffered_bytes_max;
    uint32_t batch_records_max;
    uint32_t retries_max;
    int64_t backoff_us, backoff_max_us;
    uint32_t outcomes_kept;
    uint32_t aggregate_bytes_max; /* 0: each record goes alone */
    bool is_idempotent;
    ls_producer_id producer;      /* zero: one is drawn */
    uint64_t first_ticket;
    ls_durability durability;
    ls_outcome_callback callback;
    void *user;
} lsi_async_settings;

typedef struct lsi_async lsi_async;

/* As the functions of async_producer.h. The first begins a thread. */
ls_status lsi_async_open(lsi_engine_stream *stream, const lsi_async_settings *settings, lsi_async **out);
ls_status lsi_async_put(lsi_async *async, const ls_put_entry *entry, void *tag, int64_t timeout_ms, uint64_t *ticket);
ls_status lsi_async_flush(lsi_async *async, int64_t timeout_ms, size_t *left);
ls_status lsi_async_wait(lsi_async *async, uint64_t ticket, int64_t timeout_ms, ls_async_outcome *out);
void lsi_async_cancel(lsi_async *async);
/* Released, but with LS_ERR_STATE. */
ls_status lsi_async_close(lsi_async *async, int64_t timeout_ms);
void lsi_async_abandon(lsi_async *async); /* the same in a fork child: there is no thread, and a lock may be held */

#endif
