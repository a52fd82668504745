/* What a transform in any language is told, and what it answers: the documents of a Firehose transform function.
 *
 *   {"invocationId":...,"deliveryStreamArn":...,"sourceKinesisStreamArn":...,"region":...,"records":[{"recordId":...,
 *    "approximateArrivalTimestamp":ms,"data":base64,"kinesisRecordMetadata":{"sequenceNumber":...,
 *    "subsequenceNumber":n,"partitionKey":...,"shardId":...,"approximateArrivalTimestamp":ms}}]}
 *
 *   {"records":[{"recordId":...,"result":"Ok"|"Dropped"|"ProcessingFailed","data":base64,
 *    "metadata":{"partitionKeys":{"name":"value"}}}]}
 *
 *   T1  Each recordId of the request is in the response exactly once, in any order; else the whole batch has failed.
 *   T2  A response that is not of this form, in one record or around them, has failed as a whole.
 *   T3  What is made of the response is in the order of the request. */
#ifndef LSI_DELIVER_DOCUMENT_H
#define LSI_DELIVER_DOCUMENT_H

#include <stdbool.h>
#include <stdint.h>

#include <libstream/status.h>
#include <libstream/types.h>

#include "base/json.h"
#include "deliver/naming.h"

#define LSI_TRANSFORM_DOCUMENT_MAX 6291456u /* bytes of a response: 6 MiB */

/* One record of a batch. Borrowed. */
typedef struct lsi_transform_record {
    ls_bytes data, partition_key;
    const char *sequence_number; /* of at most LSI_TRANSFORM_NUMBER_MAX characters; not the same for all */
    uint64_t subsequence;        /* of the records that came as one */
    int64_t arrival_us;
    const char *shard_id;
} lsi_transform_record;

#define LSI_TRANSFORM_NUMBER_MAX 64u
#define LSI_TRANSFORM_KEY_NAME_MAX 256u /* bytes of a partition key's name */

typedef struct lsi_transform_batch {
    const char *invocation_id;
    const char *delivery_arn, *stream_arn, *region; /* NULL: no such member */
    const lsi_transform_record *records;
    uint32_t count;
} lsi_transform_batch;

/* ---- the request ---- */

void lsi_transform_request_write(lsi_json_writer *to, const lsi_transform_batch *batch);

/* ---- the response ---- */

/* Why a batch failed: values of errorCode. */
#define LSI_TRANSFORM_MISSING "Lambda.MissingRecordId"
#define LSI_TRANSFORM_DUPLICATED "Lambda.DuplicatedRecordId"
#define LSI_TRANSFORM_MALFORMED "Lambda.JsonProcessingException"
#define LSI_TRANSFORM_TOO_LARGE "Lambda.FunctionError" /* as the service says of it */

typedef enum lsi_transform_result {
    LSI_TRANSFORM_OK,      /* `data` replaces the record's */
    LSI_TRANSFORM_DROPPED,
    LSI_TRANSFORM_FAILED   /* the original is for the error output */
} lsi_transform_result;

typedef struct lsi_transformed {
    lsi_transform_result result;
    ls_bytes data;                 /* of LSI_TRANSFORM_OK, decoded */
    const lsi_partition_key *keys; /* [key_count], at most LSI_PARTITION_KEYS_MAX; no two names are equal */
    uint32_t key_count;
} lsi_transformed;

typedef struct lsi_transform_reader lsi_transform_reader; /* one thread at a time; what one needed is kept */

ls_status lsi_transform_reader_open(const lsi_memory *memory, lsi_transform_reader **out); /* UNSUPPORTED, NO_MEMORY */
void lsi_transform_reader_close(lsi_transform_reader *reader); /* Accepts NULL. */

/* What came of each record: `*out` [batch->count], a view until the next call. A batch that failed as a whole is no
 * error: `*code` is then why, `*message` one line that says more, and there is no `*out`; `*code` NULL: it has not. */
ls_status lsi_transform_response_read(lsi_transform_reader *reader, ls_bytes text, const lsi_transform_batch *batch,
                                      const lsi_transformed **out, const char **code, const char **message);

#endif
