/* The room's door: everything a writer needs above the engine contract. Which shard takes a record, what to do when
 * that shard was closed meanwhile, and how a batch becomes one append per shard and one wait for all of them.
 *
 * One producer serves one thread at a time. Options were imported and checked by the caller. */
#ifndef LSI_PRODUCE_PRODUCE_H
#define LSI_PRODUCE_PRODUCE_H

#include <stdbool.h>
#include <stddef.h>

#include <libstream/producer.h>

#include "engine/engine.h"

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

/* As ls_producer_flush. */
ls_status lsi_producer_flush(lsi_producer *producer);

#endif
