/* Filters: which records a mapping's handler is to see.
 *
 * The language is that of Lambda's event filters and of the rules of the event bus. Patterns are compiled once, to a
 * tree; a record is reduced to the values at the paths that patterns ask for, in memory that the filter keeps; the tree
 * is walked over those. So a record costs no allocation once the largest kind has been seen, and what no pattern asks
 * for costs its reading alone.
 *
 *   F1  A record's value is a set of leaves, (path, value): an object or array without members has none.
 *   F2  A list of matchers holds when one of its leaves matches, or when it has none and `{"exists": false}` is there.
 *   F3  Two fields of one object of a pattern that lie under one array lie in one element of it. A field that is absent
 *       is looked for where the others lie; when all of a pattern's fields below an array are absent, in all of it.
 *   F4  A key with dots is nesting, on both sides. Of one key the last is meant, in patterns and in data.
 *   F5  Where data spells one path in two ways of which one is an array,
     a pattern's object matches in an element of the
 *       array, or in what lies outside of it, not in both together. (Which elements go with what lies outside is a
 *       question whose answer may take longer than anybody waits.)
 *
 * Work is bounded by the size of the patterns times that of the record, recursion by 64 levels. */
#include "consume/filter/filter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "stream/stream.h"

#define KEPT_BYTES (UINT64_C(1) << 20) /* of the memory for one record: what a larger one needed is given back */

typedef struct lsi_filter_block {
    struct lsi_filter_block *next;
    _Alignas(16) unsigned char bytes[];
} lsi_filter_block;

static const char *const field_names[LSI_FIELD_COUNT] = {
    [LSI_FIELD_PARTITION_KEY] = "partitionKey",
    [LSI_FIELD_SEQUENCE_NUMBER] = "sequenceNumber",
    [LSI_FIELD_SCHEMA_VERSION] = "kinesisSchemaVersion",
    [LSI_FIELD_ARRIVAL] = "approximateArrivalTimestamp",
    [LSI_FIELD_EVENT_SOURCE] = "eventSource",
    [LSI_FIELD_EVENT_VERSION] = "eventVersion",
    [LSI_FIELD_EVENT_ID] = "eventID",
    [LSI_FIELD_EVENT_NAME] = "eventName",
    [LSI_FIELD_IDENTITY_ARN] = "invokeIdentityArn",
    [LSI_FIELD_REGION] = "awsRegion",
    [LSI_FIELD_SOURCE_ARN] = "eventSourceARN",
    [LSI_FIELD_DATA] = "data",
};

void *lsi_filter_keep(lsi_filter *filter, size_t bytes)
{
    lsi_filter_block *block = lsi_alloc_zero(&filter->memory, sizeof *block + bytes);

    if (block == NULL) {
        (void)lsi_fail(LS_ERR_NO_MEMORY, "no memory for a filter pattern");
        return NULL;
    }
    block->next = filter->blocks;
    filter->blocks = block;
    return block->bytes;
}

/* ---- opening ---- */

/* A constant of the event, copied. */
static ls_status keep_name(lsi_filter *filter, uint32_t field, const char *name)
{
    char *copy;

    if (name == NULL)
        return LS_OK;
    copy = lsi_filter_keep(filter, strlen(name) + 1);
    if (copy == NULL)
        return LS_ERR_NO_MEMORY;
    memcpy(copy, name, strlen(name) + 1);
    filter->constants[field] = copy;
    return LS_OK;
}

static ls_status prepare(lsi_filter *filter, const char *const *patterns, size_t count, const lsi_filter_names *names)
{
    ls_status st = LS_OK;

    filter->constants[LSI_FIELD_SCHEMA_VERSION] = "1.0";
    filter->constants[LSI_FIELD_EVENT_SOURCE] = "aws:kinesis";
    filter->constants[LSI_FIELD_EVENT_VERSION] = "1.0";
    filter->constants[LSI_FIELD_EVENT_NAME] = "aws:kinesis:record";
    if (names != NULL) {
        st = keep_name(filter, LSI_FIELD_SOURCE_ARN, names->event_source_arn);
        if (st == LS_OK)
            st = keep_name(filter, LSI_FIELD_IDENTITY_ARN, names->invoke_identity_arn);
        if (st == LS_OK)
            st = keep_name(filter, LSI_FIELD_REGION, names->aws_region);
        if (st != LS_OK)
            return st;
    }
    st = lsi_json_reader_open(&filter->memory, LSI_JSON_KEYS_MAY_REPEAT, &filter->reader);
    if (st != LS_OK)
        return st;
    filter->record = lsi_filter_keep(filter, sizeof *filter->record);
    filter->patterns = lsi_filter_keep(filter, count * sizeof *filter->patterns);
    if (filter->record == NULL || filter->patterns == NULL)
        return LS_ERR_NO_MEMORY;
    for (filter->pattern_count = 0; filter->pattern_count < count; filter->pattern_count++) {
        st = lsi_filter_compile(filter, patterns[filter->pattern_count], &filter->patterns[filter->pattern_count]);
        if (st != LS_OK)
            return st;
    }
    return lsi_paths_finish(filter, filter->record);
}

ls_status lsi_filter_open(const lsi_memory *memory, const char *const *patterns, size_t count,
                          const lsi_filter_names *names, lsi_filter **out)
{
    lsi_filter *filter = lsi_alloc_zero(memory, sizeof *filter);
    ls_status st;

    if (filter == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a filter");
    filter->memory = *memory;
    st = prepare(filter, patterns, count, names);
    if (st != LS_OK) {
        lsi_filter_close(filter);
        return st;
    }
    for (uint32_t i = 0; i < LSI_FIELD_COUNT; i++)
        filter->fields[i] = lsi_path_find(filter->record, field_names[i], strlen(field_names[i]));
    *out = filter;
    return LS_OK;
}

void lsi_filter_close(lsi_filter *filter)
{
    lsi_memory memory;

    if (filter == NULL)
        return;
    memory = filter->memory;
    while (filter->blocks != NULL) {
        lsi_filter_block *next = filter->blocks->next;

        lsi_free(&memory, filter->blocks);
        filter->blocks = next;
    }
    lsi_json_reader_close(filter->reader);
    lsi_free(&memory, filter->values);
    lsi_free(&memory, filter->texts);
    lsi_free(&memory, filter);
}

bool lsi_filter_asks_number(const lsi_filter *filter)
{
    return filter->fields[LSI_FIELD_SEQUENCE_NUMBER] != NULL || filter->fields[LSI_FIELD_EVENT_ID] != NULL;
}

uint64_t lsi_filter_not_json(const lsi_filter *filter)
{
    return filter->not_json_count;
}

/* ---- a record ---- */

/* The texts that are made for a record. */
typedef struct own_texts {
    char number[LSI_SEQNO56_BYTES];
    char id[LSI_SHARD_ID_BYTES + LSI_SEQNO56_BYTES + 11]; /* a point and ten digits */
    char arrival[32];
} own_texts;

static ls_status add_text(lsi_filter *filter, uint32_t field, const char *text)
{
    lsi_value_kind kind = field == LSI_FIELD_ARRIVAL ? LSI_VALUE_NUMBER : LSI_VALUE_STRING;

    if (filter->fields[field] == NULL || text == NULL)
        return LS_OK;
    return lsi_filter_values_add(filter, filter->fields[field], kind, text, strlen(text));
}

/* Everything but the data. */
static ls_status add_fields(lsi_filter *filter, const ls_record *record, int64_t shard_created_us, own_texts *texts)
{
    ls_status st = LS_OK;

    if (filter->fields[LSI_FIELD_PARTITION_KEY] != NULL)
        st = lsi_filter_values_add(filter, filter->fields[LSI_FIELD_PARTITION_KEY], LSI_VALUE_STRING,
                                   record->partition_key.data, record->partition_key.size);
    if (st == LS_OK && lsi_filter_asks_number(filter)) {
        const lsi_seqno56 number = {
            .counter = record->seqno,
            .shard = record->shard,
            .created_seconds = shard_created_us / 1000000,
            .record_seconds = record->arrival_us / 1000000,
        };
        char shard[LSI_SHARD_ID_BYTES];

        lsi_seqno56_format(&number, texts->number);
        lsi_shard_id_format(record->shard, shard);
        if ((record->flags & LS_RECORD_AGGREGATED) != 0) /* as in event documents */
            (void)snprintf(texts->id, sizeof texts->id, "%s:%s.%" PRIu32, shard, texts->number, record->sub_seqno);
        else
            (void)snprintf(texts->id, sizeof texts->id, "%s:%s", shard, texts->number);
        st = add_text(filter, LSI_FIELD_SEQUENCE_NUMBER, texts->number);
        if (st == LS_OK)
            st = add_text(filter, LSI_FIELD_EVENT_ID, texts->id);
    }
    if (st == LS_OK && filter->fields[LSI_FIELD_ARRIVAL] != NULL) {
        int64_t ms = record->arrival_us / 1000;
        uint64_t size = ms < 0 ? (uint64_t)0 - (uint64_t)ms : (uint64_t)ms;

        (void)snprintf(texts->arrival, sizeof texts->arrival, "%s%" PRIu64 ".%03" PRIu64, ms < 0 ? "-" : "",
                       size / 1000, size % 1000);
        st = add_text(filter, LSI_FIELD_ARRIVAL, texts->arrival);
    }
    for (uint32_t i = 0; st == LS_OK && i < LSI_FIELD_COUNT; i++)
        st = add_text(filter, i, filter->constants[i]);
    return st;
}

/* Whether one of the patterns matches that ask for the data, or else of those that do not. */
static bool any_matches(lsi_filter *filter, bool asks_data)
{
    for (size_t i = 0; i < filter->pattern_count; i++)
        if (filter->patterns[i].asks_data == asks_data && lsi_filter_part_matches(filter, filter->patterns[i].part))
            return true;
    return false;
}

static ls_status look(lsi_filter *filter, const ls_record *record, int64_t shard_created_us, bool *out)
{
    own_texts texts;
    bool is_json;
    ls_status st = lsi_filter_values_begin(filter);

    if (st == LS_OK)
        st = add_fields(filter, record, shard_created_us, &texts);
    if (st != LS_OK)
        return st;
    *out = any_matches(filter, false);
    if (*out || filter->fields[LSI_FIELD_DATA] == NULL)
        return LS_OK;
    st = lsi_filter_values_read(filter, record->data.data, record->data.size, &is_json);
    if (st != LS_OK)
        return st;
    if (is_json)
        *out = any_matches(filter, true);
    else
        filter->not_json_count++;
    return LS_OK;
}

static void give_back(lsi_filter *filter)
{
    if (filter->value_capacity > KEPT_BYTES / sizeof *filter->values) {
        lsi_free(&filter->memory, filter->values);
        filter->values = NULL;
        filter->value_capacity = 0;
    }
    if (filter->text_capacity > KEPT_BYTES) {
        lsi_free(&filter->memory, filter->texts);
        filter->texts = NULL;
        filter->text_capacity = 0;
    }
}

ls_status lsi_filter_matches(lsi_filter *filter, const ls_record *record, int64_t shard_created_us, bool *out)
{
    bool matches = true;
    ls_status st = LS_OK;

    if (filter->pattern_count != 0) {
        st = look(filter, record, shard_created_us, &matches);
        give_back(filter);
    }
    if (st == LS_OK)
        *out = matches;
    return st;
}
