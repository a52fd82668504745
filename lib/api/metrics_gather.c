/* What a snapshot has of a store: each stream is opened, and what the engine counts of it, or knows, becomes samples
 * under the names of Prometheus and of CloudWatch.
 *
 * A stream that cannot be opened or looked into is passed over, and so is a shard: metrics are read most when something
 * is wrong. */
#include "api/api.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"

enum {
    PUT_RECORDS, PUT_BYTES, PUT_CALLS, PUT_THROTTLED, PUT_TIMES, PUT_UNITS, GET_RECORDS, GET_BYTES, GET_CALLS,
    GET_THROTTLED, GET_TIMES, FAN_OUT_BYTES, LAG_SECONDS, MAPPING_CALLS, MAPPING_RECORDS, MAPPING_TIMES, MAPPING_SIZES,
    LEASES_OWNED, LOG_BYTES, LOG_SYNC_TIMES, LOG_DAMAGED, SHARD_SECONDS, RETENTION_EXTENDED,
    SERIES_DROPPED, BUILD_INFO, FAMILIES
};

#define LABELS(...) .labels = (const char *const[]){__VA_ARGS__}, \
    .label_count = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)
#define COUNTER(what, unit_of, help_text) \
    .name = "libstream_" what "_total", .type = LS_METRIC_COUNTER, .unit = unit_of, .scale = 1, .help = help_text
#define GAUGE(what, unit_of, help_text) \
    .name = "libstream_" what, .type = LS_METRIC_GAUGE, .unit = unit_of, .scale = 1, .help = help_text
#define TIMES(what, help_text) \
    .name = "libstream_" what "_duration_seconds", .type = LS_METRIC_HISTOGRAM, .unit = "Milliseconds", .scale = 1000, \
    .help = help_text, .bounds = lsi_duration_bounds, .bound_count = LSI_DURATION_BOUNDS

static const lsi_family families[FAMILIES] = {
    [PUT_RECORDS] = {COUNTER("put_records", "Count", "Records that were put."), LABELS("stream", "shard"),
                     .cloudwatch = "IncomingRecords"},
    [PUT_BYTES] = {COUNTER("put_bytes", "Bytes", "Bytes of keys and data that were put."), LABELS("stream", "shard"),
                   .cloudwatch = "IncomingBytes"},
    [PUT_CALLS] = {COUNTER("put_calls", "Count", "Calls that put, by what became of them."),
                   LABELS("stream", "call", "result")},
    [PUT_THROTTLED] = {COUNTER("put_throttled_records", "Count", "Records that a limit of their shard refused."),
                       LABELS("stream", "shard", "limit"), .cloudwatch = "WriteProvisionedThroughputExceeded"},
    [PUT_TIMES] = {TIMES("put", "How long puts took, of a sample."), LABELS("stream", "call")},
    [PUT_UNITS] = {COUNTER("put_payload_units", "Count", "Units of 25 KB of keys and data, each record rounded up."),
                   LABELS("stream", "shard")},
    [GET_RECORDS] = {COUNTER("get_records", "Count", "Records that were given to readers."), LABELS("stream", "shard"),
                     .cloudwatch = "OutgoingRecords"},
    [GET_BYTES] = {COUNTER("get_bytes", "Bytes", "Bytes of keys and data that were given to readers."),
                   LABELS("stream", "shard"), .cloudwatch = "OutgoingBytes"},
    [GET_CALLS] = {COUNTER("get_calls", "Count", "Calls of readers, by what became of them."),
                   LABELS("stream", "result")},
    [GET_THROTTLED] = {COUNTER("get_throttled_calls", "Count", "Calls of readers that a limit of a shard refused."),
                       LABELS("stream", "shard", "limit"), .cloudwatch = "ReadProvisionedThroughputExceeded"},
    [GET_TIMES] = {TIMES("get", "How long calls of readers took that did not wait, of a sample."), LABELS("stream"),
                   .cloudwatch = "GetRecords.Latency"},
    [FAN_OUT_BYTES] = {COUNTER("fan_out_bytes", "Bytes", "Bytes that were given to registered consumers."),
                       LABELS("stream", "shard"), .cloudwatch = "SubscribeToShardEvent.Bytes"},
    [LAG_SECONDS] = {.name = "libstream_consumer_lag_seconds", .type = LS_METRIC_GAUGE, .unit = "Milliseconds",
                     .scale = 1000, .help = "How old the first record is that is not finished; 0: there is none.",
                     LABELS("stream", "shard", "consumer"), .cloudwatch = "IteratorAge"},
    [MAPPING_CALLS] = {COUNTER("mapping_invocations", "Count", "Invocations of handlers, by what became of them."),
                       LABELS("stream", "mapping", "result"), .cloudwatch = "Invocations"},
    [MAPPING_RECORDS] = {COUNTER("mapping_records", "Count", "Records of mappings, by what became of them."),
                         LABELS("stream", "mapping", "outcome")},
    [MAPPING_TIMES] = {TIMES("mapping_handler", "How long handlers took."), LABELS("stream", "mapping"),
                       .cloudwatch = "Duration"},
    [MAPPING_SIZES] = {.name = "libstream_mapping_batch_records", .type = LS_METRIC_HISTOGRAM, .unit = "Count",
                       .scale = 1, .help = "How many records handlers were given at once.", LABELS("stream", "mapping"),
                       .bounds = lsi_size_bounds, .bound_count = LSI_SIZE_BOUNDS},
    [LEASES_OWNED] = {GAUGE("leases_owned", "Count", "Leases that a worker that lives has."),
                      LABELS("stream", "consumer", "worker"), .cloudwatch = "CurrentLeases"},
    [LOG_BYTES] = {GAUGE("log_bytes", "Bytes", "Bytes of the log that are kept."), LABELS("stream", "shard")},
    [LOG_SYNC_TIMES] = {TIMES("log_sync", "How long syncs of logs took."), LABELS("stream")},
    [LOG_DAMAGED] = {COUNTER("log_corrupt_frames", "Count", "How often a reader met a damaged frame."),
                     LABELS("stream", "shard")},
    [SHARD_SECONDS] = {COUNTER("shard_seconds", "Count", "How long the shard has been open, in seconds."),
                       LABELS("stream", "shard")},
    [RETENTION_EXTENDED] = {GAUGE("retention_extended_seconds", "None", "By how much retention exceeds 24 hours."),
                            LABELS("stream")},
    [SERIES_DROPPED] = {COUNTER("metrics_series_dropped", "Count",
                                "How often a series of the application was refused for its metric's cap."),
                        LABELS("metric")},
    [BUILD_INFO] = {GAUGE("build_info", "None", "1; the labels tell which libstream this is."),
                    LABELS("version", "features")},
};

static lsi_sample *counter(lsi_snapshot *to, int family, const char *const *values, uint64_t count)
{
    return lsi_snapshot_counter(to, &families[family], (uint32_t)family, values, count);
}

static void gauge(lsi_snapshot *to, int family, const char *const *values, double value)
{
    (void)lsi_snapshot_gauge(to, &families[family], (uint32_t)family, values, value);
}

/* `words`: a histogram of durations; NULL: none. */
static lsi_sample *times(lsi_snapshot *to, int family, const char *const *values, const lsi_engine_count *words)
{
    if (words == NULL)
        return NULL;
    return lsi_snapshot_histogram(to, &families[family], (uint32_t)family, values, words,
                                  (double)lsi_counted(&words[LSI_DURATION_WORDS - 1]) / 1e6);
}

static void name_for_cloudwatch(lsi_sample *sample, const char *name)
{
    if (sample != NULL)
        sample->cloudwatch = name;
}

#define SHARD_ID_BYTES 24

static void shard_id(uint32_t shard, char out[SHARD_ID_BYTES])
{
    (void)snprintf(out, SHARD_ID_BYTES, "shardId-%012" PRIu32, shard); /* 20 characters */
}

/* ---- a shard ---- */

static void gather_shard(lsi_snapshot *to, lsi_engine_stream *stream, const lsi_stream_info *info,
                         const lsi_shard *shard, uint64_t *put_alone)
{
    static const lsi_engine_count none[LSI_ENGINE_COUNTS];
    const lsi_engine_ops *ops = stream->engine->ops;
    const lsi_engine_count *counts = ops->counts(stream, LSI_COUNTS_SHARD, shard->index);
    int64_t until_us = shard->closed ? shard->closed_us : lsi_wall_us(&stream->engine->env.clock);
    char id[SHARD_ID_BYTES];
    const char *values[3] = {info->name, id};
    lsi_shard_state state = {0};
    lsi_error_state before;
    uint64_t records;

    shard_id(shard->index, id);
    counts = counts != NULL ? counts : none;
    lsi_error_save(&before);
    if (ops->shard_state(stream, shard->index, &state) == LS_OK)
        gauge(to, LOG_BYTES, values, (double)state.bytes);
    else
        lsi_error_restore(&before);
    *put_alone += state.put_alone;
    records = state.put_alone + state.put_in_batches + lsi_counted(&counts[LSI_COUNT_PUT_RECORDS]);
    (void)counter(to, PUT_RECORDS, values, records);
    (void)counter(to, PUT_BYTES, values, state.put_bytes + lsi_counted(&counts[LSI_COUNT_PUT_BYTES]));
    (void)counter(to, PUT_UNITS, values,
                  records + state.put_more_units + lsi_counted(&counts[LSI_COUNT_PUT_MORE_UNITS]));
    (void)counter(to, GET_RECORDS, values, lsi_counted(&counts[LSI_COUNT_GET_RECORDS]));
    (void)counter(to, GET_BYTES, values, lsi_counted(&counts[LSI_COUNT_GET_BYTES]));
    (void)counter(to, FAN_OUT_BYTES, values, lsi_counted(&counts[LSI_COUNT_FAN_OUT_BYTES]));
    (void)counter(to, LOG_DAMAGED, values, lsi_counted(&counts[LSI_COUNT_DAMAGED]));
    (void)counter(to, SHARD_SECONDS, values,
                  until_us > shard->created_us ? (uint64_t)(until_us - shard->created_us) / 1000000 : 0);
    values[2] = "records";
    (void)counter(to, PUT_THROTTLED, values, lsi_counted(&counts[LSI_COUNT_PUT_OVER_RECORDS]));
    values[2] = "bytes";
    (void)counter(to, PUT_THROTTLED, values, lsi_counted(&counts[LSI_COUNT_PUT_OVER_BYTES]));
    (void)counter(to, GET_THROTTLED, values, lsi_counted(&counts[LSI_COUNT_GET_OVER_BYTES]));
    values[2] = "calls";
    (void)counter(to, GET_THROTTLED, values, lsi_counted(&counts[LSI_COUNT_GET_OVER_CALLS]));
}

/* ---- mappings and groups ---- */

typedef struct reading {
    lsi_snapshot *to;
    lsi_engine_stream *stream;
    const char *stream_name, *name;
} reading;

static void add_lag(const reading *of, uint32_t shard, int64_t behind_ms)
{
    char id[SHARD_ID_BYTES];
    const char *const values[3] = {of->stream_name, id, of->name};

    shard_id(shard, id);
    if (behind_ms >= 0)
        gauge(of->to, LAG_SECONDS, values, (double)behind_ms / 1000);
}

static void gather_mapping(const reading *at, const lsi_mapping *mapping)
{
    static const struct {
        const char *label, *cloudwatch;
    } results[] = {
        [LSI_MAPPED_OK] = {"ok", NULL},         [LSI_MAPPED_PARTIAL] = {"partial", NULL},
        [LSI_MAPPED_ERROR] = {"error", NULL},   [LSI_MAPPED_TIMEOUT] = {"timeout", NULL},
    }, outcomes[] = {
        {"polled", "PolledEventCount"},
        {"filtered", "FilteredOutEventCount"},
        {"invoked", "InvokedEventCount"},
        {"redelivered", NULL},
        {"failed", "FailedInvokeEventCount"},
        {"dropped_age", "DroppedEventCount"},
        {"dropped_retries", "DroppedEventCount"},
        {"reported", "OnFailureDestinationDeliveredEventCount"},
    };
    const lsi_engine_ops *ops = at->stream->engine->ops;
    uint32_t number = lsi_mapping_counts_number(mapping);
    const lsi_engine_count *counts = ops->counts(at->stream, LSI_COUNTS_MAPPING, number);
    const char *values[3] = {at->stream_name, mapping->name};

    (void)times(at->to, MAPPING_TIMES, values, ops->counts(at->stream, LSI_COUNTS_MAPPING_TIMES, number));
    for (uint32_t i = 0; counts != NULL && i <= LSI_MAPPED_TIMEOUT; i++) {
        values[2] = results[i].label;
        (void)counter(at->to, MAPPING_CALLS, values, lsi_counted(&counts[i]));
    }
    for (uint32_t i = 0; counts != NULL && i <= LSI_MAPPED_REPORTED - LSI_MAPPED_POLLED; i++) {
        values[2] = outcomes[i].label;
        name_for_cloudwatch(counter(at->to, MAPPING_RECORDS, values, lsi_counted(&counts[LSI_MAPPED_POLLED + i])),
                            outcomes[i].cloudwatch);
    }
    if (counts != NULL)
        (void)lsi_snapshot_histogram(at->to, &families[MAPPING_SIZES], MAPPING_SIZES, values, &counts[LSI_MAPPED_SIZES],
                                     (double)lsi_counted(&counts[LSI_MAPPED_SIZES + LSI_SIZE_WORDS - 1]));
}

/* What is kept of a mapping is what names it: the rest goes when the list of them does. */
typedef struct mappings {
    const lsi_memory *memory;
    lsi_mapping *all;
    size_t count, capacity;
} mappings;

static bool keep_mapping(void *user, const lsi_mapping *mapping)
{
    mappings *of = user;
    lsi_mapping *kept;

    if (!lsi_grow(of->memory, (void **)&of->all, &of->capacity, of->count + 1, sizeof *of->all))
        return false;
    kept = &of->all[of->count++];
    *kept = (lsi_mapping){.id = mapping->id};
    memcpy(kept->name, mapping->name, sizeof kept->name);
    return true;
}

static void gather_mappings(const reading *of)
{
    mappings found = {.memory = &of->stream->engine->env.memory};
    lsi_error_state before;

    lsi_error_save(&before);
    if (lsi_mapping_each(of->stream, keep_mapping, &found) != LS_OK)
        lsi_error_restore(&before);
    for (size_t i = 0; i < found.count; i++)
        gather_mapping(of, &found.all[i]);
    lsi_free(found.memory, found.all);
}

typedef struct group_names {
    const lsi_memory *memory;
    char (*names)[LSI_STREAM_NAME_MAX + 1];
    size_t count, capacity;
} group_names;

static bool keep_group(void *user, const char *name)
{
    group_names *of = user;

    if (!lsi_grow(of->memory, (void **)&of->names, &of->capacity, of->count + 1, sizeof *of->names))
        return false;
    (void)snprintf(of->names[of->count++], sizeof *of->names, "%s", name); /* of 128 bytes at most */
    return true;
}

static void gather_leases(reading *of, const ls_lease_info *infos, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *const values[3] = {of->stream_name, of->name, infos[i].owner};
        uint32_t owned = 0;
        bool is_first = infos[i].owner_lives && infos[i].owner[0] != '\0';

        if (infos[i].state != LS_LEASE_ENDED)
            add_lag(of, infos[i].shard, infos[i].millis_behind_latest);
        for (uint32_t k = 0; is_first && k < count; k++)
            if (infos[k].owner_lives && strcmp(infos[k].owner, infos[i].owner) == 0) {
                is_first = k >= i;
                owned++;
            }
        if (is_first)
            gauge(of->to, LEASES_OWNED, values, owned);
    }
}

static void gather_groups(reading *of)
{
    group_names groups = {.memory = &of->stream->engine->env.memory};
    lsi_error_state before;

    lsi_error_save(&before);
    if (lsi_group_each(of->stream, keep_group, &groups) != LS_OK)
        lsi_error_restore(&before);
    for (size_t i = 0; i < groups.count; i++) {
        ls_lease_info *infos = NULL;
        uint32_t count = 0;

        of->name = groups.names[i];
        if (lsi_lease_list(of->stream, of->name, &infos, &count) == LS_OK)
            gather_leases(of, infos, count);
        else
            lsi_error_restore(&before);
        lsi_free(groups.memory, infos);
    }
    lsi_free(groups.memory, groups.names);
}

/* ---- a stream ---- */

static void gather_calls(lsi_snapshot *to, const char *name, const lsi_engine_count *counts, uint64_t put_alone)
{
    static const char *const results[LSI_RESULTS] = {"ok", "partial", "throttled", "error"};
    const char *values[3] = {name, "put"};

    for (uint32_t i = 0; i < LSI_RESULTS; i++) {
        uint64_t count = lsi_counted(&counts[LSI_COUNT_PUT_CALLS + i]) + (i == LSI_RESULT_OK ? put_alone : 0);

        values[2] = results[i];
        if (i != LSI_RESULT_PARTIAL) /* One record has no parts. */
            name_for_cloudwatch(counter(to, PUT_CALLS, values, count), i == LSI_RESULT_OK ? "PutRecord.Success" : NULL);
    }
    values[1] = "put_batch";
    for (uint32_t i = 0; i < LSI_RESULTS; i++) {
        values[2] = results[i];
        name_for_cloudwatch(counter(to, PUT_CALLS, values, lsi_counted(&counts[LSI_COUNT_BATCH_CALLS + i])),
                            i == LSI_RESULT_OK || i == LSI_RESULT_PARTIAL ? "PutRecords.Success" : NULL);
    }
    values[1] = results[LSI_RESULT_OK];
    name_for_cloudwatch(counter(to, GET_CALLS, values, lsi_counted(&counts[LSI_COUNT_GET_OK])), "GetRecords.Success");
    values[1] = results[LSI_RESULT_THROTTLED];
    (void)counter(to, GET_CALLS, values, lsi_counted(&counts[LSI_COUNT_GET_THROTTLED]));
    values[1] = results[LSI_RESULT_ERROR];
    (void)counter(to, GET_CALLS, values, lsi_counted(&counts[LSI_COUNT_GET_ERROR]));
    (void)times(to, GET_TIMES, values, &counts[LSI_COUNT_GET_TIMES]);
}

static void gather_consumers(lsi_snapshot *to, lsi_engine_stream *stream, const char *name)
{
    reading of = {.to = to, .stream = stream, .stream_name = name};

    gather_mappings(&of);
    gather_groups(&of);
}

static void gather_info(lsi_snapshot *to, lsi_engine_stream *stream, const lsi_stream_info *info)
{
    const lsi_engine_ops *ops = stream->engine->ops;
    const lsi_engine_count *counts = ops->counts(stream, LSI_COUNTS_STREAM, 0);
    const char *values[2] = {info->name, "put"};
    uint64_t put_alone = 0;

    for (uint32_t i = 0; i < info->shard_count; i++)
        gather_shard(to, stream, info, &info->shards[i], &put_alone);
    if (counts != NULL)
        gather_calls(to, info->name, counts, put_alone);
    name_for_cloudwatch(times(to, PUT_TIMES, values, ops->counts(stream, LSI_COUNTS_PUT_TIMES, LSI_COUNTS_SINGLE_PUTS)),
                        "PutRecord.Latency");
    values[1] = "put_batch";
    name_for_cloudwatch(times(to, PUT_TIMES, values, ops->counts(stream, LSI_COUNTS_PUT_TIMES, LSI_COUNTS_BATCHES)),
                        "PutRecords.Latency");
    (void)times(to, LOG_SYNC_TIMES, values, ops->counts(stream, LSI_COUNTS_PUT_TIMES, LSI_COUNTS_SYNCS));
    gather_consumers(to, stream, info->name);
    gauge(to, RETENTION_EXTENDED, values, info->retention_hours > 24 ? (info->retention_hours - 24) * 3600.0 : 0);
}

static void gather_stream(lsi_snapshot *to, lsi_engine *engine, const char *name)
{
    lsi_engine_stream *stream;
    lsi_stream_info info = {0};
    lsi_error_state before;

    lsi_error_save(&before);
    if (engine->ops->stream_open(engine, name, &stream) != LS_OK) {
        lsi_error_restore(&before);
        return;
    }
    if (engine->ops->info(stream, &info) == LS_OK)
        gather_info(to, stream, &info);
    else
        lsi_error_restore(&before);
    lsi_stream_info_free(&info);
    engine->ops->stream_close(stream);
}

/* ---- all of it ---- */

#define NAMES_AT_ONCE 64u

typedef struct name_page {
    char names[NAMES_AT_ONCE][LSI_STREAM_NAME_MAX + 1];
    uint32_t count;
} name_page;

static bool keep_name(void *user, const char *name)
{
    name_page *page = user;

    (void)snprintf(page->names[page->count++], sizeof page->names[0], "%s", name); /* of 128 bytes at most */
    return page->count < NAMES_AT_ONCE;
}

static ls_status gather_streams(lsi_snapshot *to, lsi_engine *engine)
{
    name_page page = {.count = 0};
    ls_status st;

    do {
        char after[LSI_STREAM_NAME_MAX + 1];

        memcpy(after, page.count > 0 ? page.names[page.count - 1] : "", page.count > 0 ? sizeof after : 1);
        page.count = 0;
        st = engine->ops->list(engine, after, keep_name, &page);
        for (uint32_t i = 0; st == LS_OK && i < page.count; i++)
            gather_stream(to, engine, page.names[i]);
    } while (st == LS_OK && page.count == NAMES_AT_ONCE);
    return st;
}

ls_status lsi_metrics_gather(ls_store *store, lsi_snapshot *to)
{
    const char *const build[2] = {ls_version_string(), ls_version_features()};
    ls_status st = gather_streams(to, store->engine);

    if (st != LS_OK)
        return st;
    gauge(to, BUILD_INFO, build, 1);
    lsi_registry_collect(store->registry, to, FAMILIES, &families[SERIES_DROPPED], SERIES_DROPPED);
    return LS_OK;
}
