/* The event document and the failure report: what AWS Lambda sends, member for member in its order, so that a handler
 * written for it reads ours. Sequence numbers have Kinesis's 56 digits. */
#include "consume/mapping/event_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/iso_time.h"
#include "base/status.h"
#include "base/u128.h"
#include "stream/stream.h"

static void number_of(const lsi_event_source *source, const ls_record *record, char text[LSI_SEQNO56_BYTES])
{
    const lsi_seqno56 number = {
        .counter = record->seqno,
        .shard = source->shard,
        .created_seconds = source->shard_created_us / 1000000,
        .record_seconds = record->arrival_us / 1000000,
    };

    lsi_seqno56_format(&number, text);
}

/* ---- the event ---- */

/* Seconds with milliseconds, as in filters. */
static void write_seconds(lsi_json_writer *to, int64_t us)
{
    int64_t ms = us / 1000;
    uint64_t size = ms < 0 ? (uint64_t)0 - (uint64_t)ms : (uint64_t)ms;
    char text[32];
    int bytes = snprintf(text, sizeof text, "%s%" PRIu64 ".%03" PRIu64, ms < 0 ? "-" : "", size / 1000, size % 1000);

    lsi_json_raw(to, text, (size_t)bytes);
}

/* A member whose value is a text; NULL: no such member. */
static void write_text(lsi_json_writer *to, const char *key, const char *text)
{
    if (text == NULL)
        return;
    lsi_json_key(to, key);
    lsi_json_string(to, text);
}

/* What is more to a user record, under the names that aws_kinesis_agg has for it. */
static void write_user(lsi_json_writer *to, const ls_record *record)
{
    char digits[LSI_U128_TEXT_BYTES];

    if ((record->flags & LS_RECORD_EXPLICIT_HASH_KEY) != 0) {
        lsi_u128_to_decimal(record->explicit_hash_key, digits);
        write_text(to, "explicitHashKey", digits);
    }
    lsi_json_key(to, "subSequenceNumber");
    lsi_json_uint(to, record->sub_seqno);
    lsi_json_key(to, "aggregated");
    lsi_json_bool(to, true);
}

static void write_record(lsi_json_writer *to, const lsi_event_source *source, const ls_record *record)
{
    char number[LSI_SEQNO56_BYTES], shard[LSI_SHARD_ID_BYTES], id[LSI_SHARD_ID_BYTES + LSI_SEQNO56_BYTES + 11];
    bool is_user = (record->flags & LS_RECORD_AGGREGATED) != 0;

    number_of(source, record, number);
    lsi_shard_id_format(source->shard, shard);
    (void)snprintf(id, sizeof id, "%s:%s", shard, number); /* Each fits, its point and ten digits included. */
    if (is_user)
        (void)snprintf(id, sizeof id, "%s:%s.%" PRIu32, shard, number, record->sub_seqno);
    lsi_json_object_open(to);
    lsi_json_key(to, "kinesis");
    lsi_json_object_open(to);
    write_text(to, "kinesisSchemaVersion", "1.0");
    lsi_json_key(to, "partitionKey");
    lsi_json_string_sized(to, record->partition_key.data, record->partition_key.size);
    write_text(to, "sequenceNumber", number);
    lsi_json_key(to, "data");
    lsi_json_base64(to, record->data.data, record->data.size);
    lsi_json_key(to, "approximateArrivalTimestamp");
    write_seconds(to, record->arrival_us);
    if (is_user)
        write_user(to, record);
    lsi_json_object_close(to);
    write_text(to, "eventSource", "aws:kinesis");
    write_text(to, "eventVersion", "1.0");
    write_text(to, "eventID", id);
    write_text(to, "eventName", "aws:kinesis:record");
    write_text(to, "invokeIdentityArn", source->names.invoke_identity_arn);
    write_text(to, "awsRegion", source->names.aws_region);
    write_text(to, "eventSourceARN", source->names.event_source_arn);
    lsi_json_object_close(to);
}

/* Everything of a record in a document but its key and data, each as long as it can be. */
#define RECORD_TEXT                                                                                              \
    ",{\"kinesis\":{\"kinesisSchemaVersion\":\"1.0\",\"partitionKey\":\"\",\"sequenceNumber\":\"\",\"data\":\"\","   \
    "\"approximateArrivalTimestamp\":-9223372036854775.807},\"eventSource\":\"aws:kinesis\",\"eventVersion\":\"1.0\"," \
    "\"eventID\":\"shardId-000000000000:\",\"eventName\":\"aws:kinesis:record\",\"invokeIdentityArn\":\"\","        \
    "\"awsRegion\":\"\",\"eventSourceARN\":\"\"}"

static uint32_t name_bytes(const char *name)
{
    return name == NULL ? 0 : (uint32_t)lsi_json_escaped_size(name, strlen(name));
}

uint32_t lsi_event_extra_bytes(const lsi_filter_names *names)
{
    uint32_t bytes = (uint32_t)sizeof RECORD_TEXT + 2 * LSI_SEQNO56_BYTES + name_bytes(names->event_source_arn) +
                     name_bytes(names->invoke_identity_arn) + name_bytes(names->aws_region);

    return bytes < 512 ? 512 : bytes; /* The service's documentation counts on a half of a kibibyte. */
}

static void write_records(lsi_json_writer *to, const lsi_event_source *source, const lsi_invocation *what)
{
    lsi_json_key(to, "Records");
    lsi_json_array_open(to);
    for (uint32_t i = 0; i < what->count; i++)
        write_record(to, source, &what->records[i]);
    lsi_json_array_close(to);
}

static void write_window(lsi_json_writer *to, const lsi_invocation *what)
{
    char text[LSI_ISO_TIME_BYTES];

    lsi_json_key(to, "window");
    lsi_json_object_open(to);
    lsi_iso_time(what->window_start_us, text);
    write_text(to, "start", text);
    lsi_iso_time(what->window_end_us, text);
    write_text(to, "end", text);
    lsi_json_object_close(to);
    lsi_json_key(to, "state");
    lsi_json_raw(to, what->state.size == 0 ? "{}" : what->state.data, what->state.size == 0 ? 2 : what->state.size);
}

static bool is_object(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    (void)text;
    (void)size;
    if (depth == 0)
        *(bool *)user = kind == LSI_JSON_OBJECT_OPEN || kind == LSI_JSON_OBJECT_CLOSE;
    return true;
}

ls_status lsi_event_check_state(const lsi_memory *memory, const lsi_invocation *what)
{
    bool is_good = false;
    ls_status st;

    if (!what->is_windowed || what->state.size == 0)
        return LS_OK;
    st = lsi_json_parse(memory, what->state.data, what->state.size, is_object, &is_good);
    if (st == LS_ERR_INVALID_ARGUMENT || (st == LS_OK && !is_good))
        return lsi_fail(LS_ERR_STATE, "the state of the window is no JSON object, and goes into no event document");
    return st;
}

void lsi_event_write(lsi_json_writer *to, const lsi_event_source *source, const lsi_invocation *what)
{
    lsi_json_object_open(to);
    write_records(to, source, what);
    if (what->is_windowed) {
        char shard[LSI_SHARD_ID_BYTES];

        write_window(to, what);
        lsi_shard_id_format(source->shard, shard);
        write_text(to, "shardId", shard);
        write_text(to, "eventSourceARN", source->names.event_source_arn);
        lsi_json_key(to, "isFinalInvokeForWindow");
        lsi_json_bool(to, what->is_final);
        lsi_json_key(to, "isWindowTerminatedEarly");
        lsi_json_bool(to, what->is_terminated_early);
    }
    lsi_json_object_close(to);
}

/* ---- the report ---- */

/* The first or last record of what is given up; the end of a window has none, and says null. */
static void write_edge(lsi_json_writer *to, const lsi_failure *failure, const char *key, const ls_record *record,
                       bool is_time)
{
    char text[LSI_SEQNO56_BYTES > LSI_ISO_TIME_BYTES ? LSI_SEQNO56_BYTES : LSI_ISO_TIME_BYTES];

    lsi_json_key(to, key);
    if (record == NULL) {
        lsi_json_null(to);
        return;
    }
    if (is_time)
        lsi_iso_time_ms(record->arrival_us, text);
    else
        number_of(&failure->source, record, text);
    lsi_json_string(to, text);
}

/* Of a user record alone. */
static void write_sub_edge(lsi_json_writer *to, const char *key, const ls_record *record)
{
    if (record == NULL || (record->flags & LS_RECORD_AGGREGATED) == 0)
        return;
    lsi_json_key(to, key);
    lsi_json_uint(to, record->sub_seqno);
}

static void write_batch_info(lsi_json_writer *to, const lsi_failure *failure, const lsi_invocation *what)
{
    const ls_record *first = what->count == 0 ? NULL : &what->records[0];
    const ls_record *last = what->count == 0 ? NULL : &what->records[what->count - 1];
    char shard[LSI_SHARD_ID_BYTES];

    lsi_shard_id_format(failure->source.shard, shard);
    lsi_json_key(to, "KinesisBatchInfo");
    lsi_json_object_open(to);
    write_text(to, "shardId", shard);
    write_edge(to, failure, "startSequenceNumber", first, false);
    write_edge(to, failure, "endSequenceNumber", last, false);
    write_edge(to, failure, "approximateArrivalOfFirstRecord", first, true);
    write_edge(to, failure, "approximateArrivalOfLastRecord", last, true);
    write_sub_edge(to, "startSubSequenceNumber", first);
    write_sub_edge(to, "endSubSequenceNumber", last);
    lsi_json_key(to, "batchSize");
    lsi_json_uint(to, what->count);
    write_text(to, "streamArn", failure->source.names.event_source_arn);
    lsi_json_object_close(to);
}

void lsi_failure_write(lsi_json_writer *to, const lsi_failure *failure, const lsi_batcher_action *discard)
{
    bool is_by_retries = discard->reason == LSI_DISCARD_RETRIES;
    char text[LSI_ISO_TIME_BYTES];

    lsi_json_object_open(to);
    lsi_json_key(to, "requestContext");
    lsi_json_object_open(to);
    write_text(to, "requestId", failure->request_id);
    write_text(to, "functionArn", failure->function_arn);
    write_text(to, "condition", is_by_retries ? "RetryAttemptsExhausted" : "RecordAgeExceeded");
    lsi_json_key(to, "approximateInvokeCount");
    lsi_json_uint(to, discard->invoke_count);
    lsi_json_object_close(to);
    if (is_by_retries && !failure->is_short) { /* Of what was too old nobody answered. */
        lsi_json_key(to, "responseContext");
        lsi_json_object_open(to);
        lsi_json_key(to, "statusCode");
        lsi_json_uint(to, 200);
        write_text(to, "executedVersion", "$LATEST");
        lsi_json_key(to, "functionError");
        if (discard->is_unhandled)
            lsi_json_string(to, "Unhandled");
        else
            lsi_json_null(to);
        lsi_json_object_close(to);
    }
    write_text(to, "version", "1.0");
    lsi_iso_time_ms(failure->now_us, text);
    write_text(to, "timestamp", text);
    write_batch_info(to, failure, &discard->invocation);
    if (failure->omitted_bytes > 0) {
        lsi_json_key(to, "omittedBytes");
        lsi_json_uint(to, failure->omitted_bytes);
    }
    if (failure->has_payload) {
        lsi_json_key(to, "payload");
        lsi_event_write(to, &failure->source, &discard->invocation);
    }
    lsi_json_object_close(to);
}
