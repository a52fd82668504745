/* The error output: a line of JSON for each record that could not be processed, as the service writes it, but with
 * counts and times as numbers. */
#ifndef LSI_DELIVER_FAILED_H
#define LSI_DELIVER_FAILED_H

#include <stdint.h>

#include <libstream/types.h>

#include "base/json.h"

/* Values of errorCode. Those of a transform's answer are in document.h. */
#define LSI_FAILED_FUNCTION "Lambda.FunctionError" /* it failed, or said ProcessingFailed */
#define LSI_FAILED_TIME "Lambda.FunctionTimedOut"
#define LSI_FAILED_PARTITION "DynamicPartitioning.MetadataExtractionFailed"
#define LSI_FAILED_PARTITIONS_FULL "DynamicPartitioning.ActivePartitionLimitExceeded"
#define LSI_FAILED_SPLIT "DeAggregation.RecordFormatError" /* it is no JSON */

typedef struct lsi_failed {
    uint32_t attempts_made; /* calls: 1 and the retries; 0: none was made */
    int64_t arrival_us;     /* of the record */
    const char *code;
    const char *message;
    int64_t ended_us;       /* the last attempt */
    ls_bytes raw;           /* the record as it was before any transform */
    const char *lambda_arn; /* NULL: no such member */
} lsi_failed;

/* Puts the line and its newline behind what `to` has. */
void lsi_failed_write(lsi_json_writer *to, const lsi_failed *failed);

#endif
