/* Queries that give the keys of dynamic partitioning: a small part of jq 1.6, over a record's data, which is one JSON
 * value.
 *
 *     .customer_id    .type.device    .["a key"]    .tags[0].name    .at | strftime("%Y")    .ok | tostring
 *
 * A query gives text: a string as it is; a number as jq prints it, but one without point and exponent as it is written,
 * whatever its length; true or false. What is null, not there, or an object or array gives none, and the record cannot
 * be partitioned. Q1: with a name twice in an object, the last one counts. */
#ifndef LSI_DELIVER_QUERY_H
#define LSI_DELIVER_QUERY_H

#include <stddef.h>
#include <stdint.h>

#include <libstream/status.h>
#include <libstream/types.h>

#include "base/alloc.h"

#define LSI_QUERY_VALUE_MAX 1024u /* bytes of what a query gives: no name holds more */
#define LSI_QUERIES_MAX 50u

typedef struct lsi_query_text {
    const char *name; /* of the key */
    const char *text;
} lsi_query_text;

typedef struct lsi_queries lsi_queries; /* one thread at a time */

/* INVALID_ARGUMENT: a query is none (the message has its name and the column), a name is empty or there twice, or there
 * are too many; UNSUPPORTED without JSON; NO_MEMORY. */
ls_status lsi_queries_open(const lsi_memory *memory, const lsi_query_text *texts, uint32_t count, lsi_queries **out);
/* The same of one text, as the service has it: {customer_id: .customer_id, "device": .type.device}. Columns are the
 * text's. */
ls_status lsi_queries_open_object(const lsi_memory *memory, const char *text, lsi_queries **out);
void lsi_queries_close(lsi_queries *queries); /* Accepts NULL. */

/* The keys' names, in order: a view until it is closed. */
const char *const *lsi_queries_names(const lsi_queries *queries, uint32_t *count);

/* Asks all of them, in one pass over the data: `values` [count] are views until the next call. `*reason` NULL: each is
 * there; else why not, one line, a view until the next call, and no value is set. NO_MEMORY. */
ls_status lsi_queries_apply(lsi_queries *queries, ls_bytes data, ls_bytes *values, const char **reason);

#endif
