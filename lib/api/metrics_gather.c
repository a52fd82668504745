/* What a snapshot has of a store: each stream is opened, and what the engine counts of it, or knows, becomes samples
 * under the names of Prometheus and of CloudWatch.
 *
 * A stream that cannot be opened or looked into is passed over, and so is a shard: metrics are read most when something
 * is wrong. */
#include "api/metrics_gather.h"

#include <string.h>

#include "base/status.h"

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

    lsi_gather_shard_id(shard->index, id);
    counts = counts != NULL ? counts : none;
    lsi_error_save(&before);
    if (ops->shard_state(stream, shard->index, &state) == LS_OK) {
        lsi_gather_gauge(to, LOG_BYTES, values, (double)state.bytes);
        lsi_gather_gauge(to, LOG_SEGMENTS, values, state.segments);
    } else {
        lsi_error_restore(&before);
    }
    *put_alone += state.put_alone;
    records = state.put_alone + state.put_in_batches + lsi_counted(&counts[LSI_COUNT_PUT_RECORDS]);
    (void)lsi_gather_counter(to, PUT_RECORDS, values, records);
    (void)lsi_gather_counter(to, PUT_BYTES, values, state.put_bytes + lsi_counted(&counts[LSI_COUNT_PUT_BYTES]));
    (void)lsi_gather_counter(to, PUT_UNITS, values,
                  records + state.put_more_units + lsi_counted(&counts[LSI_COUNT_PUT_MORE_UNITS]));
    (void)lsi_gather_counter(to, PUT_REPEATS, values, lsi_counted(&counts[LSI_COUNT_PUT_REPEATS]));
    (void)lsi_gather_counter(to, GET_RECORDS, values, lsi_counted(&counts[LSI_COUNT_GET_RECORDS]));
    (void)lsi_gather_counter(to, GET_BYTES, values, lsi_counted(&counts[LSI_COUNT_GET_BYTES]));
    (void)lsi_gather_counter(to, FAN_OUT_BYTES, values, lsi_counted(&counts[LSI_COUNT_FAN_OUT_BYTES]));
    (void)lsi_gather_counter(to, LOG_DAMAGED, values, lsi_counted(&counts[LSI_COUNT_DAMAGED]));
    (void)lsi_gather_counter(to, SHARD_SECONDS, values,
                  until_us > shard->created_us ? (uint64_t)(until_us - shard->created_us) / 1000000 : 0);
    values[2] = "records";
    (void)lsi_gather_counter(to, PUT_THROTTLED, values, lsi_counted(&counts[LSI_COUNT_PUT_OVER_RECORDS]));
    values[2] = "bytes";
    (void)lsi_gather_counter(to, PUT_THROTTLED, values, lsi_counted(&counts[LSI_COUNT_PUT_OVER_BYTES]));
    (void)lsi_gather_counter(to, GET_THROTTLED, values, lsi_counted(&counts[LSI_COUNT_GET_OVER_BYTES]));
    values[2] = "calls";
    (void)lsi_gather_counter(to, GET_THROTTLED, values, lsi_counted(&counts[LSI_COUNT_GET_OVER_CALLS]));
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
            lsi_gather_name(lsi_gather_counter(to, PUT_CALLS, values, count),
                            i == LSI_RESULT_OK ? "PutRecord.Success" : NULL);
    }
    values[1] = "put_batch";
    for (uint32_t i = 0; i < LSI_RESULTS; i++) {
        values[2] = results[i];
        lsi_gather_name(lsi_gather_counter(to, PUT_CALLS, values, lsi_counted(&counts[LSI_COUNT_BATCH_CALLS + i])),
                            i == LSI_RESULT_OK || i == LSI_RESULT_PARTIAL ? "PutRecords.Success" : NULL);
    }
    values[1] = results[LSI_RESULT_OK];
    lsi_gather_name(lsi_gather_counter(to, GET_CALLS, values, lsi_counted(&counts[LSI_COUNT_GET_OK])),
                    "GetRecords.Success");
    values[1] = results[LSI_RESULT_THROTTLED];
    (void)lsi_gather_counter(to, GET_CALLS, values, lsi_counted(&counts[LSI_COUNT_GET_THROTTLED]));
    values[1] = results[LSI_RESULT_ERROR];
    (void)lsi_gather_counter(to, GET_CALLS, values, lsi_counted(&counts[LSI_COUNT_GET_ERROR]));
    (void)lsi_gather_times(to, GET_TIMES, values, &counts[LSI_COUNT_GET_TIMES]);
}

/* Of a stream that no asynchronous producer was ever on there is nothing. */
static void gather_async(lsi_snapshot *to, const char *name, const lsi_engine_count *words)
{
    static const char *const outcomes[] = {"stored", "failed", "unknown"};
    const char *values[2] = {name, NULL};

    if (words == NULL || lsi_counted(&words[LSI_ASYNC_RECORDS]) == 0)
        return;
    (void)lsi_gather_counter(to, ASYNC_RECORDS, values, lsi_counted(&words[LSI_ASYNC_RECORDS]));
    for (uint32_t i = 0; i < 3; i++) {
        values[1] = outcomes[i];
        lsi_gather_name(lsi_gather_counter(to, ASYNC_OUTCOMES, values, lsi_counted(&words[LSI_ASYNC_STORED + i])),
                        i == 0 ? "UserRecordsPut" : NULL);
    }
    (void)lsi_gather_counter(to, ASYNC_RETRIES, values, lsi_counted(&words[LSI_ASYNC_RETRIES]));
    (void)lsi_gather_counter(to, ASYNC_BATCHES, values, lsi_counted(&words[LSI_ASYNC_BATCHES]));
    (void)lsi_gather_counter(to, ASYNC_AGGREGATES, values, lsi_counted(&words[LSI_ASYNC_AGGREGATES]));
    (void)lsi_gather_counter(to, ASYNC_PACKED, values, lsi_counted(&words[LSI_ASYNC_PACKED]));
    (void)lsi_gather_times(to, ASYNC_TIMES, values, words);
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
    lsi_gather_name(lsi_gather_times(to, PUT_TIMES, values,
                                     ops->counts(stream, LSI_COUNTS_PUT_TIMES, LSI_COUNTS_SINGLE_PUTS)),
                    "PutRecord.Latency");
    values[1] = "put_batch";
    lsi_gather_name(lsi_gather_times(to, PUT_TIMES, values,
                                     ops->counts(stream, LSI_COUNTS_PUT_TIMES, LSI_COUNTS_BATCHES)),
                    "PutRecords.Latency");
    gather_async(to, info->name, ops->counts(stream, LSI_COUNTS_PUT_TIMES, LSI_COUNTS_ASYNC));
    (void)lsi_gather_times(to, LOG_SYNC_TIMES, values, ops->counts(stream, LSI_COUNTS_PUT_TIMES, LSI_COUNTS_SYNCS));
    lsi_metrics_gather_consumers(to, stream, info->name);
    lsi_metrics_gather_deliveries(to, stream, info->name);
    lsi_gather_gauge(to, RETENTION_EXTENDED, values,
                     info->retention_hours > 24 ? (info->retention_hours - 24) * 3600.0 : 0);
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
    lsi_gather_gauge(to, BUILD_INFO, build, 1);
    lsi_registry_collect(store->registry, to, FAMILIES, &lsi_metric_families[SERIES_DROPPED], SERIES_DROPPED);
    return LS_OK;
}
