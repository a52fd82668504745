/* What handlers in any language are told, and what they answer: the documents of AWS Lambda's event source mapping. */
#ifndef LSI_CONSUME_MAPPING_EVENT_JSON_H
#define LSI_CONSUME_MAPPING_EVENT_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "consume/mapping/batcher.h"
#include "consume/consume.h"

/* What documents say that records do not: the names, and the shard. Borrowed. */
typedef struct lsi_event_source {
    lsi_filter_names names; /* NULL: the document has no such field */
    uint32_t shard;
    int64_t shard_created_us;
} lsi_event_source;

/* ---- event_json.c ---- */

/* How many bytes a record takes in the document, reckoned without encoding it: no document is longer than these,
 * LSI_EVENT_AROUND_BYTES, and of a windowed one the state and the stream's ARN. `extra_bytes` as lsi_event_extra_bytes
 * says: 512, but more when the names are long. */
#define LSI_EVENT_AROUND_BYTES 512u
uint32_t lsi_event_extra_bytes(const lsi_filter_names *names);
#define LSI_EVENT_USER_BYTES 128u /* what is more to a user record: 39 and twice 10 digits, and 62 bytes around them */
static inline uint64_t lsi_event_record_bytes(const ls_record *record, uint32_t extra_bytes)
{
    return lsi_json_base64_size(record->data.size) +
           lsi_json_escaped_size(record->partition_key.data, record->partition_key.size) + extra_bytes +
           ((record->flags & LS_RECORD_AGGREGATED) != 0 ? LSI_EVENT_USER_BYTES : 0);
}

/* A state that was set by ls_handler_set_state may be anything, and what is no JSON has no place in a document: STATE.
 * UNSUPPORTED: there is one, and this was built without JSON. */
ls_status lsi_event_check_state(const lsi_memory *memory, const lsi_invocation *what);
/* The document for a handler. The state of a window is JSON, an object; an empty one is {}. */
void lsi_event_write(lsi_json_writer *to, const lsi_event_source *source, const lsi_invocation *what);

/* The report for the destination of what is given up. */
typedef struct lsi_failure {
    lsi_event_source source;
    const char *request_id;
    const char *function_arn;
    int64_t now_us;
    bool has_payload; /* the event itself, as for a bucket; the service keeps nothing else of it */
    bool is_short;          /* it does not say what the function answered, so that the least limit has room for it */
    uint64_t omitted_bytes; /* 0: none */
} lsi_failure;
/* A short one without payload has its place in every stream, with a shard's id as key. */
void lsi_failure_write(lsi_json_writer *to, const lsi_failure *failure, const lsi_batcher_action *discard);

/* ---- response.c ---- */

#define LSI_RESPONSE_REPORTS 1u  /* the mapping has ReportBatchItemFailures */
#define LSI_RESPONSE_WINDOWED 2u /* the mapping has tumbling windows */

/* What a handler's answer to `what` amounts to. Answers that cannot be accepted are LSI_OUTCOME_BAD_RESPONSE, not
 * errors. `state` is a writer for the state, begun and emptied by the caller; `out->state` is a view of it. NO_MEMORY.
 * UNSUPPORTED: built without JSON, and the answer had to be read. */
ls_status lsi_response_read(const lsi_memory *memory, const void *text, size_t size, uint32_t flags,
                            const lsi_event_source *source, const lsi_invocation *what, lsi_json_writer *state,
                            lsi_outcome *out);

#endif
