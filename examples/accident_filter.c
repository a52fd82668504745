/* The handler between the two streams. What it puts is packed in the format of Kinesis's producer library, one
 * aggregate for each severity in the batch: the severity is the partition key, so that all records of an aggregate are
 * of one shard. */
#include "accident_filter.h"
#include "accident_json.h"
#include "pipeline.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define AGGREGATE_BYTES (1u << 20)      /* as large as a record may be */
#define WATERMARK_DELAY_MS 5000         /* WATERMARK FOR Txn_Timestamp AS Txn_Timestamp - INTERVAL '5' SECOND */

/* ---- reading ---- */

#define MARK_BYTES 17 /* ~ and 16 digits */

/* What is cut is cut between characters. */
static void keep(char *to, size_t capacity, const char *value, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    size_t kept = strnlen(value, size);

    if (kept == size && size < capacity) {
        memcpy(to, value, size);
        to[size] = 0;
        return;
    }
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)value[i]) * UINT64_C(0x100000001b3);
    if (kept > capacity - 1 - MARK_BYTES)
        for (kept = capacity - 1 - MARK_BYTES; kept > 0 && ((unsigned char)value[kept] & 0xc0) == 0x80; kept--)
            ;
    memcpy(to, value, kept);
    (void)snprintf(to + kept, capacity - kept, "~%016" PRIx64, hash);
}

struct reading {
    accident *out;
    int wanted; /* fields that have not come yet: when all have, the rest is not looked at */
};

static bool see_field(void *user, const char *name, size_t name_size, json_kind kind, const char *value, size_t size)
{
    static const struct { const char *name; size_t offset, capacity; } fields[] = {
        {"Txn_Timestamp", offsetof(accident, sent), sizeof(((accident *)0)->sent)},
        {"ID", offsetof(accident, id), ACCIDENT_FIELD_BYTES},
        {"Severity", offsetof(accident, severity), 0},
        {"City", offsetof(accident, city), ACCIDENT_FIELD_BYTES},
        {"County", offsetof(accident, county), ACCIDENT_FIELD_BYTES},
    };
    struct reading *reading = user;

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (name[0] == fields[i].name[0] && strlen(fields[i].name) == name_size &&
            memcmp(name, fields[i].name, name_size) == 0 && (kind == JSON_STRING || kind == JSON_NUMBER)) {
            if (fields[i].capacity > 0)
                keep((char *)reading->out + fields[i].offset, fields[i].capacity, value, size);
            else
                reading->out->severity[0] = kind == JSON_NUMBER && accident_is_severity(value, size) ? value[0] : 0;
            reading->wanted--;
        }
    return reading->wanted > 0;
}

bool accident_read(const char *text, size_t size, flat_json *scratch, accident *out)
{
    struct reading reading = {out, 5};

    out->id[0] = out->severity[0] = out->severity[1] = out->city[0] = out->county[0] = out->sent[0] = 0;
    return json_members(text, size, false, scratch, see_field, &reading);
}

bool accident_is_severe(const accident *seen)
{
    return seen->severity[0] > '2';
}

static void add(flat_json *json, const char *name, const char *value)
{
    if (value[0] != 0)
        flat_json_member(json, name, strlen(name), value, strlen(value));
}

/* The projection. TIMESTAMP(3): of the time of sending milliseconds are kept. */
static void project(accident *seen, flat_json *json)
{
    if (strlen(seen->sent) > 23)
        seen->sent[23] = 0;
    flat_json_begin(json);
    add(json, "ID", seen->id);
    flat_json_plain(json, "Severity", seen->severity, strlen(seen->severity));
    add(json, "City", seen->city);
    add(json, "County", seen->county);
    add(json, "Txn_Timestamp", seen->sent);
    flat_json_end(json);
}

/* ---- putting ---- */

/* What of a batch has one severity: for each an aggregate, or NULL. */
typedef ls_aggregate *groups[ACCIDENT_SEVERITIES];

/* Puts what a group has, as one record. `index`: the last record of the batch that it may come of. */
static ls_status put_group(ls_aggregate *group, ls_stream *to, ls_handler_context *context, size_t index)
{
    ls_put_entry entry;
    ls_status status;

    if (ls_aggregate_count(group) == 0)
        return LS_OK;
    status = ls_aggregate_record(group, &entry);
    if (status == LS_OK)
        status = ls_handler_put(context, index, to, entry.partition_key, entry.data, NULL);
    ls_aggregate_clear(group);
    return status;
}

static ls_status put_accident(accident_filter *filter, groups all, ls_handler_context *context, size_t index,
                              const accident *seen, const flat_json *json)
{
    ls_aggregate_options options = LS_AGGREGATE_OPTIONS_INIT;
    ls_put_entry entry = {{seen->severity, 1}, {json->text, json->size}, NULL};
    ls_aggregate **group = &all[seen->severity[0] - '0'];
    ls_status status = LS_OK;
    int32_t fits = 0;

    options.bytes_max = AGGREGATE_BYTES;
    if (*group == NULL)
        status = ls_aggregate_open(&options, group);
    if (status == LS_OK)
        status = ls_aggregate_add(*group, &entry, &fits);
    if (status == LS_OK && !fits) {
        status = put_group(*group, filter->to, context, index);
        if (status == LS_OK)
            status = ls_aggregate_add(*group, &entry, &fits);
    }
    return status;
}

/* What the window asks of a record was read already. */
static int32_t time_of(const ls_record *record, int64_t *time_ms, void *user)
{
    const accident_filter *filter = user;
    const accident *seen = &filter->read[record - filter->batch];

    return accident_is_severe(seen) ? accident_time_ms(seen->sent, time_ms) : 0;
}

static int32_t key_of(const ls_record *record, ls_bytes *key, void *user)
{
    const accident_filter *filter = user;
    const char *severity = filter->read[record - filter->batch].severity;

    *key = (ls_bytes){severity, strlen(severity)};
    return 1;
}

/* The windows' state is stored before the step is done: a batch that comes again is passed over there. */
static ls_status count_batch(accident_filter *filter, const ls_batch *batch, const accident *read)
{
    ls_status status;

    (void)pthread_mutex_lock(&filter->turn);
    filter->batch = ls_batch_records(batch);
    filter->read = read;
    status = ls_window_add(filter->window, batch);
    if (status == LS_OK)
        status = ls_window_store(filter->window);
    (void)pthread_mutex_unlock(&filter->turn);
    return status;
}

ls_handler_answer accident_filter_batch(const ls_batch *batch, ls_handler_context *context, void *user)
{
    accident_filter *filter = user;
    size_t count = ls_batch_count(batch), done = 0;
    flat_json scratch = {0}, json = {0};
    ls_status status = LS_OK;
    accident *seen = malloc(count * sizeof(*seen));
    groups all = {NULL};

    for (; seen != NULL && status == LS_OK && done < count; done++) {
        const ls_record *record = ls_batch_at(batch, done);

        if (!accident_read(record->data.data, record->data.size, &scratch, &seen[done]) ||
            !accident_is_severe(&seen[done]))
            continue;  /* A filter on the key lets more through than one on the data. */
        project(&seen[done], &json);
        if (json.failed || scratch.failed)
            break;
        status = put_accident(filter, all, context, count - 1, &seen[done], &json);
    }
    for (size_t i = 0; i < ACCIDENT_SEVERITIES; i++) {
        if (status == LS_OK && done == count && all[i] != NULL)
            status = put_group(all[i], filter->to, context, count - 1);
        ls_aggregate_close(all[i]);
    }
    if (status == LS_OK && done == count)
        status = count_batch(filter, batch, seen);
    free(seen);
    flat_json_free(&scratch);
    flat_json_free(&json);
    if (status != LS_OK)
        (void)pipeline_fail_ls("put severe accidents");
    else if (done < count)
        (void)pipeline_fail("no memory");
    return status == LS_OK && done == count ? LS_HANDLER_DONE : LS_HANDLER_RETRY;
}

/* ---- windows ---- */

/* A result of a key and a start replaces the one before. */
static ls_window_answer keep_result(const ls_window_result *result, void *user)
{
    accident_filter *filter = user;
    char start[32], count[32];
    int kept = -1;

    (void)snprintf(start, sizeof(start), "%020" PRId64, result->start_ms);
    (void)snprintf(count, sizeof(count), "%" PRIu64, result->count);
    if (tables_begin(filter->file) == 0) {
        kept = table_put(filter->results, (table_text){result->key.data, result->key.size},
                         (table_text){start, strlen(start)}, (table_text){count, strlen(count)});
        if (kept == TABLE_FAILED)
            tables_undo(filter->file);
        else
            kept = tables_commit(filter->file);
    }
    if (kept < 0)
        (void)pipeline_fail("the tables: %s", tables_error(filter->file));
    return kept < 0 ? LS_WINDOW_STOP : LS_WINDOW_GO_ON;
}

int accident_filter_open(accident_filter *filter, ls_stream *from, ls_stream *to, table_file *file, uint64_t window_ms)
{
    ls_window_options options = LS_WINDOW_OPTIONS_INIT;
    ls_stream_description *description = NULL;
    int result = 0;

    memset(filter, 0, sizeof(*filter));
    (void)pthread_mutex_init(&filter->turn, NULL);
    filter->to = to;
    filter->file = file;
    filter->results = tables_table(file, "windows");
    if (filter->results == NULL)
        return pipeline_fail("cannot make a table: %s", tables_error(file));
    options.kind = LS_WINDOW_TUMBLING;
    options.size_ms = (int64_t)window_ms;
    options.delay_ms = WATERMARK_DELAY_MS;
    options.time_of = time_of;
    options.key_of = key_of;
    options.result = keep_result;
    options.user = filter;
    if (ls_window_open(from, "severe-by-time", &options, &filter->window) != LS_OK)
        return pipeline_fail_ls("open windows");
    if (ls_stream_describe(from, &description) != LS_OK)
        return pipeline_fail_ls("describe the stream");
    /* No shard is to be late because another one was first. */
    for (uint32_t i = 0; result == 0 && i < ls_stream_description_shard_count(description); i++) {
        ls_shard_info shard = LS_SHARD_INFO_INIT;

        if (ls_stream_description_shard(description, i, &shard) != LS_OK ||
            (shard.is_open && ls_window_add_shard(filter->window, shard.shard) != LS_OK))
            result = pipeline_fail_ls("tell the windows of a shard");
    }
    ls_stream_description_free(description);
    return result;
}

int accident_filter_finish(accident_filter *filter, uint64_t *late)
{
    ls_window_info info = LS_WINDOW_INFO_INIT;

    if (ls_window_finish(filter->window) != LS_OK || ls_window_describe(filter->window, &info) != LS_OK)
        return pipeline_fail_ls("let the windows fire");
    *late = info.late_count;
    return 0;
}

void accident_filter_close(accident_filter *filter)
{
    if (filter->file == NULL)
        return;
    (void)ls_window_close(filter->window);  /* What is stored stays, whatever it says. */
    (void)pthread_mutex_destroy(&filter->turn);
}
