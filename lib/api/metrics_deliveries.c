/* What a snapshot has of deliveries. How fresh they are is looked up, so that it is right whether anybody runs or
 * not. */
#include "api/metrics_gather.h"

#include <string.h>

#include "base/status.h"

/* What is kept of a delivery: the rest goes when the list of them does. */
typedef struct kept {
    uint64_t id;
    bool has_partitions, has_transform, has_backup;
    char name[LSI_STREAM_NAME_MAX + 1];
} kept;

typedef struct kept_list {
    const lsi_memory *memory;
    kept *all;
    size_t count, capacity;
} kept_list;

static bool keep(void *user, const lsi_delivery *delivery)
{
    kept_list *of = user;

    if (!lsi_grow(of->memory, (void **)&of->all, &of->capacity, of->count + 1, sizeof *of->all))
        return false;
    of->all[of->count].id = delivery->id;
    of->all[of->count].has_partitions = (delivery->options.flags & LS_DELIVERY_PARTITION) != 0;
    of->all[of->count].has_transform = (delivery->options.flags & LS_DELIVERY_TRANSFORM) != 0;
    of->all[of->count].has_backup = (delivery->options.flags & LS_DELIVERY_BACKUP) != 0;
    memcpy(of->all[of->count++].name, delivery->name, sizeof delivery->name);
    return true;
}

static void gather_puts(lsi_snapshot *to, const lsi_engine_count *counts, const char *stream_name, const kept *of)
{
    static const struct {
        const char *label, *cloudwatch;
    } kinds[] = {{"data", "DeliveryToS3.Success"}, {"errors", NULL}, {"backup", "BackupToS3.Success"}};
    const char *values[4] = {stream_name, of->name};

    for (uint32_t i = 0; i < (of->has_backup ? 3u : 2u); i++) {
        values[2] = kinds[i].label;
        values[3] = "ok";
        lsi_gather_name(lsi_gather_counter(to, DELIVERY_PUTS, values, lsi_counted(&counts[LSI_DELIVERED_PUTS + i])),
                        kinds[i].cloudwatch);
        values[3] = "error";
        (void)lsi_gather_counter(to, DELIVERY_PUTS, values, lsi_counted(&counts[LSI_DELIVERED_BAD_PUTS + i]));
    }
}

static void gather_transform(lsi_snapshot *to, lsi_engine_stream *stream, const lsi_engine_count *counts,
                             const char *stream_name, const kept *of)
{
    static const char *const results[] = {"ok", "error", "timeout"};
    const char *values[3] = {stream_name, of->name};

    for (uint32_t i = 0; i < 3; i++) {
        values[2] = results[i];
        lsi_gather_name(lsi_gather_counter(to, DELIVERY_CALLS, values, lsi_counted(&counts[LSI_DELIVERED_CALLS + i])),
                        i == LSI_TRANSFORMED_OK ? "ExecuteProcessing.Success" : NULL);
    }
    (void)lsi_gather_times(to, DELIVERY_CALL_TIMES, values, lsi_delivery_transform_times(stream, of->id));
    (void)lsi_gather_counter(to, DELIVERY_PROCESSED, values, lsi_counted(&counts[LSI_DELIVERED_PROCESSED_RECORDS]));
    (void)lsi_gather_counter(to, DELIVERY_PROCESSED_BYTES, values,
                             lsi_counted(&counts[LSI_DELIVERED_PROCESSED_BYTES]));
}

static void gather_counts(lsi_snapshot *to, lsi_engine_stream *stream, const char *stream_name, const kept *of)
{
    static const struct {
        const char *label, *cloudwatch[3];
    } results[] = {
        {"delivered", {"DeliveryToS3.ObjectCount", "DeliveryToS3.Records", "DeliveryToS3.Bytes"}},
        {"failed", {NULL, NULL, NULL}},
        {"backup", {NULL, "BackupToS3.Records", "BackupToS3.Bytes"}},
    };
    static const struct {
        int family;
        uint32_t word;
    } counted[] = {{DELIVERY_OBJECTS, LSI_DELIVERED_OBJECTS}, {DELIVERY_RECORDS, LSI_DELIVERED_RECORDS},
                   {DELIVERY_BYTES, LSI_DELIVERED_BYTES}};
    const lsi_engine_count *counts =
        stream->engine->ops->counts(stream, LSI_COUNTS_MAPPING, lsi_delivery_counts_number(of->id));
    const char *values[3] = {stream_name, of->name};

    if (counts == NULL)
        return;
    for (uint32_t i = 0; i < 3; i++) {
        values[2] = results[i].label;
        for (uint32_t k = 0; k < 3; k++)
            lsi_gather_name(lsi_gather_counter(to, counted[k].family, values,
                                               lsi_counted(&counts[counted[k].word + i])),
                            results[i].cloudwatch[k]);
    }
    values[2] = "dropped";
    (void)lsi_gather_counter(to, DELIVERY_RECORDS, values, lsi_counted(&counts[LSI_DELIVERED_DROPPED]));
    (void)lsi_gather_counter(to, DELIVERY_BILLED, values, lsi_counted(&counts[LSI_DELIVERED_BILLED]));
    (void)lsi_gather_counter(to, DELIVERY_RETRIES, values, lsi_counted(&counts[LSI_DELIVERED_RETRIES]));
    (void)lsi_gather_counter(to, DELIVERY_READ_RECORDS, values, lsi_counted(&counts[LSI_DELIVERED_READ_RECORDS]));
    (void)lsi_gather_counter(to, DELIVERY_READ_BYTES, values, lsi_counted(&counts[LSI_DELIVERED_READ_BYTES]));
    (void)lsi_gather_counter(to, DELIVERY_READS_HELD, values, lsi_counted(&counts[LSI_DELIVERED_READS_HELD]));
    (void)lsi_gather_counter(to, DELIVERY_MOVED, values, lsi_counted(&counts[LSI_DELIVERED_MOVED]));
    if (of->has_partitions)
        (void)lsi_gather_counter(to, DELIVERY_CROWDED, values, lsi_counted(&counts[LSI_DELIVERED_CROWDED]));
    gather_puts(to, counts, stream_name, of);
    if (of->has_transform)
        gather_transform(to, stream, counts, stream_name, of);
}

/* How fresh it is, and how far it has read: as the shard that is furthest behind. What nobody works on is read as far
 * as it is delivered. And its partitions. A checkpoint waits for the backup, too: so old is what is not in that at
 * most. */
static void gather_shards(lsi_snapshot *to, lsi_engine_stream *stream, const char *stream_name, const kept *of)
{
    const char *const values[2] = {stream_name, of->name};
    ls_lease_info *infos = NULL;
    int64_t behind_ms = 0, unread_ms = 0;
    uint64_t partitions = 0;
    uint32_t count = 0;

    if (lsi_lease_list(stream, of->name, &infos, NULL, &count) != LS_OK)
        return;
    for (uint32_t i = 0; i < count; i++) {
        const ls_lease_info *at = &infos[i];
        bool has_ended = at->state == LS_LEASE_ENDED;
        const lsi_engine_count *words =
            at->owner_lives != 0 && !has_ended ? lsi_delivery_shard_words(stream, of->id, at->shard) : NULL;
        ls_seqno read = words != NULL ? lsi_counted(&words[LSI_DELIVERING_SEQNO]) : LS_SEQNO_NONE;
        int64_t own_ms = has_ended               ? 0
                         : read != LS_SEQNO_NONE ? lsi_lag_ms(stream, at->shard, read)
                                                 : at->millis_behind_latest;

        partitions += words != NULL ? lsi_counted(&words[LSI_DELIVERING_PARTITIONS]) : 0;
        unread_ms = own_ms > unread_ms ? own_ms : unread_ms;
        if (!has_ended && at->millis_behind_latest > behind_ms)
            behind_ms = at->millis_behind_latest;
    }
    lsi_gather_gauge(to, DELIVERY_FRESHNESS, values, (double)behind_ms / 1000);
    lsi_gather_gauge(to, DELIVERY_READ_LAG, values, (double)unread_ms / 1000);
    if (of->has_backup)
        lsi_gather_gauge(to, DELIVERY_BACKUP_FRESHNESS, values, (double)behind_ms / 1000);
    if (of->has_partitions)
        lsi_gather_gauge(to, DELIVERY_PARTITIONS, values, (double)partitions);
    lsi_free(&stream->engine->env.memory, infos);
}

void lsi_metrics_gather_deliveries(lsi_snapshot *to, lsi_engine_stream *stream, const char *name)
{
    kept_list found = {.memory = &stream->engine->env.memory};
    lsi_error_state before;

    lsi_error_save(&before);
    (void)lsi_delivery_each(stream, keep, &found); /* Of what is damaged nothing is told; of those before it all is. */
    for (size_t i = 0; i < found.count; i++) {
        gather_counts(to, stream, name, &found.all[i]);
        gather_shards(to, stream, name, &found.all[i]);
    }
    lsi_error_restore(&before);
    lsi_free(found.memory, found.all);
}
