/* The request. recordIds are opaque to functions: the sequence number and, in six digits, the place in the batch, since
 * records that came as one have one number. */
#include "deliver/document.h"

#include <inttypes.h>
#include <stdio.h>

#include "deliver/record_id.h"

static int64_t ms_of(int64_t us)
{
    return us / 1000 - (us % 1000 < 0);
}

void lsi_record_id_format(const lsi_transform_record *record, uint32_t index, char text[LSI_RECORD_ID_BYTES])
{
    (void)snprintf(text, LSI_RECORD_ID_BYTES, "%.*s%06" PRIu32, (int)LSI_TRANSFORM_NUMBER_MAX, record->sequence_number,
                   index);
}

/* A member whose value is a text; NULL: no such member. */
static void write_text(lsi_json_writer *to, const char *key, const char *text)
{
    if (text == NULL)
        return;
    lsi_json_key(to, key);
    lsi_json_string(to, text);
}

static void write_record(lsi_json_writer *to, const lsi_transform_batch *batch, uint32_t index)
{
    const lsi_transform_record *record = &batch->records[index];
    char id[LSI_RECORD_ID_BYTES];

    lsi_record_id_format(record, index, id);
    lsi_json_object_open(to);
    write_text(to, "recordId", id);
    lsi_json_key(to, "approximateArrivalTimestamp");
    lsi_json_int(to, ms_of(record->arrival_us));
    lsi_json_key(to, "data");
    lsi_json_base64(to, record->data.data, record->data.size);
    lsi_json_key(to, "kinesisRecordMetadata");
    lsi_json_object_open(to);
    write_text(to, "sequenceNumber", record->sequence_number);
    lsi_json_key(to, "subsequenceNumber");
    lsi_json_uint(to, record->subsequence);
    lsi_json_key(to, "partitionKey");
    lsi_json_string_sized(to, record->partition_key.data, record->partition_key.size);
    write_text(to, "shardId", record->shard_id);
    lsi_json_key(to, "approximateArrivalTimestamp");
    lsi_json_int(to, ms_of(record->arrival_us));
    lsi_json_object_close(to);
    lsi_json_object_close(to);
}

void lsi_transform_request_write(lsi_json_writer *to, const lsi_transform_batch *batch)
{
    lsi_json_object_open(to);
    write_text(to, "invocationId", batch->invocation_id);
    write_text(to, "deliveryStreamArn", batch->delivery_arn);
    write_text(to, "sourceKinesisStreamArn", batch->stream_arn);
    write_text(to, "region", batch->region);
    lsi_json_key(to, "records");
    lsi_json_array_open(to);
    for (uint32_t i = 0; i < batch->count; i++)
        write_record(to, batch, i);
    lsi_json_array_close(to);
    lsi_json_object_close(to);
}
