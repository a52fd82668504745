/* What a snapshot has of those who consume: mappings, groups, window operators. What they count is in words that all
 * processes share; how far they are is looked up, so that it is right whoever looks and whether anybody runs. */
#include "api/metrics_gather.h"

#include <string.h>

#include "base/status.h"

typedef struct reading {
    lsi_snapshot *to;
    lsi_engine_stream *stream;
    const char *stream_name, *name;
} reading;

/* The lag of mappings is that of their groups. */
static void add_lag(const reading *of, uint32_t shard, int64_t behind_ms, uint64_t records)
{
    char id[SHARD_ID_BYTES];
    const char *const values[3] = {of->stream_name, id, of->name};

    lsi_gather_shard_id(shard, id);
    if (behind_ms >= 0)
        lsi_gather_gauge(of->to, LAG_SECONDS, values, (double)behind_ms / 1000);
    if (records != UINT64_MAX)
        lsi_gather_gauge(of->to, LAG_RECORDS, values, (double)records);
}

/* ---- mappings ---- */

static void gather_mapping(const reading *at, const lsi_mapping *mapping)
{
    static const struct {
        const char *label, *cloudwatch;
    } results[] = {
        /* CloudWatch's are all results together. */
        [LSI_MAPPED_OK] = {"ok", "Invocations"},       [LSI_MAPPED_PARTIAL] = {"partial", "Invocations"},
        [LSI_MAPPED_ERROR] = {"error", "Invocations"}, [LSI_MAPPED_TIMEOUT] = {"timeout", "Invocations"},
    }, outcomes[] = {
        {"polled", "PolledEventCount"},
        {"filtered", "FilteredOutEventCount"},
        {"invoked", "InvokedEventCount"},
        {"redelivered", "InvokedEventCount"}, /* which counts these as well */
        {"failed", "FailedInvokeEventCount"},
        {"dropped_age", "DroppedEventCount"},
        {"dropped_retries", "DroppedEventCount"},
        {"reported", "OnFailureDestinationDeliveredEventCount"},
    };
    const lsi_engine_ops *ops = at->stream->engine->ops;
    uint32_t number = lsi_mapping_counts_number(mapping);
    const lsi_engine_count *counts = ops->counts(at->stream, LSI_COUNTS_MAPPING, number);
    const char *values[3] = {at->stream_name, mapping->name};
    lsi_error_state before;
    uint64_t running;

    lsi_error_save(&before);
    if (lsi_mapping_executions(at->stream, mapping, &running) == LS_OK)
        lsi_gather_gauge(at->to, MAPPING_RUNNING, values, (double)running);
    else
        lsi_error_restore(&before);
    (void)lsi_gather_times(at->to, MAPPING_TIMES, values, ops->counts(at->stream, LSI_COUNTS_MAPPING_TIMES, number));
    for (uint32_t i = 0; counts != NULL && i <= LSI_MAPPED_TIMEOUT; i++) {
        values[2] = results[i].label;
        lsi_gather_name(lsi_gather_counter(at->to, MAPPING_CALLS, values, lsi_counted(&counts[i])),
                        results[i].cloudwatch);
    }
    for (uint32_t i = 0; counts != NULL && i <= LSI_MAPPED_REPORTED - LSI_MAPPED_POLLED; i++) {
        values[2] = outcomes[i].label;
        lsi_gather_name(lsi_gather_counter(at->to, MAPPING_RECORDS, values,
                                           lsi_counted(&counts[LSI_MAPPED_POLLED + i])),
                        outcomes[i].cloudwatch);
    }
    if (counts == NULL)
        return;
    (void)lsi_gather_counter(at->to, MAPPING_ERRORS, values,
                             lsi_counted(&counts[LSI_MAPPED_ERROR]) + lsi_counted(&counts[LSI_MAPPED_TIMEOUT]));
    (void)lsi_gather_counter(at->to, MAPPING_THROTTLES, values, lsi_counted(&counts[LSI_MAPPED_THROTTLES]));
    (void)lsi_gather_counter(at->to, MAPPING_HELD, values, lsi_counted(&counts[LSI_MAPPED_HELD]));
    (void)lsi_snapshot_histogram(at->to, &lsi_metric_families[MAPPING_SIZES], MAPPING_SIZES, values,
                                 &counts[LSI_MAPPED_SIZES],
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

/* ---- groups ---- */

typedef struct name_list {
    const lsi_memory *memory;
    char (*names)[LSI_STREAM_NAME_MAX + 1];
    size_t count, capacity;
} name_list;

static bool keep_in_list(void *user, const char *name)
{
    name_list *of = user;

    if (!lsi_grow(of->memory, (void **)&of->names, &of->capacity, of->count + 1, sizeof *of->names))
        return false;
    (void)snprintf(of->names[of->count++], sizeof *of->names, "%s", name); /* of 128 bytes at most */
    return true;
}

static void gather_leases(reading *of, const ls_lease_info *infos, const uint64_t *records, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *const values[3] = {of->stream_name, of->name, infos[i].owner};
        uint32_t owned = 0;
        bool is_first = infos[i].owner_lives && infos[i].owner[0] != '\0';

        if (infos[i].state != LS_LEASE_ENDED)
            add_lag(of, infos[i].shard, infos[i].millis_behind_latest, records[i]);
        for (uint32_t k = 0; is_first && k < count; k++)
            if (infos[k].owner_lives && strcmp(infos[k].owner, infos[i].owner) == 0) {
                is_first = k >= i;
                owned++;
            }
        if (is_first)
            lsi_gather_gauge(of->to, LEASES_OWNED, values, owned);
    }
}

/* Not by worker: their names are any, and new ones each time unless the application gives them. */
static void gather_group_counts(const reading *of)
{
    static const char *const results[] = {"ok", "lost", "error"};
    const lsi_engine_ops *ops = of->stream->engine->ops;
    const lsi_engine_count *counts = ops->counts(of->stream, LSI_COUNTS_GROUP, lsi_counts_number(of->name));
    const char *values[3] = {of->stream_name, of->name};

    if (counts == NULL)
        return;
    (void)lsi_gather_counter(of->to, LEASES_TAKEN, values, lsi_counted(&counts[LSI_GROUP_COUNT_TAKEN]));
    (void)lsi_gather_counter(of->to, LEASES_LOST, values, lsi_counted(&counts[LSI_GROUP_COUNT_LOST]));
    for (uint32_t i = 0; i <= LSI_GROUP_COUNT_FAILED - LSI_GROUP_COUNT_SAVED; i++) {
        values[2] = results[i];
        (void)lsi_gather_counter(of->to, CHECKPOINTS, values, lsi_counted(&counts[LSI_GROUP_COUNT_SAVED + i]));
    }
}

static void gather_groups(reading *of)
{
    name_list groups = {.memory = &of->stream->engine->env.memory};
    lsi_error_state before;

    lsi_error_save(&before);
    if (lsi_group_each(of->stream, keep_in_list, &groups) != LS_OK)
        lsi_error_restore(&before);
    for (size_t i = 0; i < groups.count; i++) {
        ls_lease_info *infos = NULL;
        uint64_t *records = NULL;
        uint32_t count = 0;

        of->name = groups.names[i];
        if (lsi_lease_list(of->stream, of->name, &infos, &records, &count) == LS_OK)
            gather_leases(of, infos, records, count);
        else
            lsi_error_restore(&before);
        gather_group_counts(of);
        lsi_free(groups.memory, infos);
        lsi_free(groups.memory, records);
    }
    lsi_free(groups.memory, groups.names);
}

/* ---- windows ---- */

static void add_watermark(void *user, uint32_t shard, int64_t watermark_ms)
{
    const reading *of = user;
    char id[SHARD_ID_BYTES];
    const char *const values[3] = {of->stream_name, id, of->name};

    lsi_gather_shard_id(shard, id);
    lsi_gather_gauge(of->to, WINDOW_WATERMARK, values, (double)watermark_ms / 1000);
}

static void gather_windows(reading *of)
{
    const lsi_engine_ops *ops = of->stream->engine->ops;
    name_list windows = {.memory = &of->stream->engine->env.memory};
    lsi_error_state before;

    lsi_error_save(&before);
    if (lsi_window_each(of->stream, keep_in_list, &windows) != LS_OK)
        lsi_error_restore(&before);
    for (size_t i = 0; i < windows.count; i++) {
        const char *const values[2] = {of->stream_name, windows.names[i]};
        const lsi_engine_count *counts = ops->counts(of->stream, LSI_COUNTS_WINDOW, lsi_counts_number(values[1]));

        of->name = windows.names[i];
        if (lsi_window_watermarks(of->stream, of->name, add_watermark, of) != LS_OK)
            lsi_error_restore(&before);
        if (counts != NULL)
            (void)lsi_gather_counter(of->to, WINDOW_LATE, values, lsi_counted(&counts[LSI_WINDOW_COUNT_LATE]));
    }
    lsi_free(windows.memory, windows.names);
}

/* ---- registered consumers ---- */

static bool keep_consumer(void *user, const lsi_consumer *consumer)
{
    return keep_in_list(user, consumer->name);
}

static void gather_registered(const reading *of)
{
    const lsi_engine_ops *ops = of->stream->engine->ops;
    name_list consumers = {.memory = &of->stream->engine->env.memory};
    lsi_error_state before;

    lsi_error_save(&before);
    if (ops->consumers(of->stream, keep_consumer, &consumers) != LS_OK)
        lsi_error_restore(&before);
    for (size_t i = 0; i < consumers.count; i++) {
        const char *values[3] = {of->stream_name, consumers.names[i], "subscriptions"};
        const lsi_engine_count *counts = ops->counts(of->stream, LSI_COUNTS_CONSUMER, lsi_counts_number(values[1]));

        if (counts == NULL)
            continue;
        lsi_gather_name(lsi_gather_counter(of->to, FAN_OUT_THROTTLED, values,
                                           lsi_counted(&counts[LSI_CONSUMER_COUNT_REFUSED])),
                        "SubscribeToShard.RateExceeded"); /* AWS tells nothing of the other. */
        values[2] = "bytes";
        (void)lsi_gather_counter(of->to, FAN_OUT_THROTTLED, values, lsi_counted(&counts[LSI_CONSUMER_COUNT_HELD]));
    }
    lsi_free(consumers.memory, consumers.names);
}

void lsi_metrics_gather_consumers(lsi_snapshot *to, lsi_engine_stream *stream, const char *name)
{
    reading of = {.to = to, .stream = stream, .stream_name = name};

    gather_mappings(&of);
    gather_groups(&of);
    gather_windows(&of);
    gather_registered(&of);
}
