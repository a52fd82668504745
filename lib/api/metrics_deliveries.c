/* What a snapshot has of deliveries. How fresh they are is looked up, so that it is right whether anybody runs or
 * not. */
#include "api/metrics_gather.h"

#include <string.h>

#include "base/status.h"

/* What is kept of a delivery: the rest goes when the list of them does. */
typedef struct kept {
    uint64_t id;
    bool has_partitions;
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
    memcpy(of->all[of->count++].name, delivery->name, sizeof delivery->name);
    return true;
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
    if (of->has_partitions)
        (void)lsi_gather_counter(to, DELIVERY_CROWDED, values, lsi_counted(&counts[LSI_DELIVERED_CROWDED]));
}

/* How fresh it is: as the shard that is furthest behind. And its partitions, of shards that somebody works on. */
static void gather_shards(lsi_snapshot *to, lsi_engine_stream *stream, const char *stream_name, const kept *of)
{
    const char *const values[2] = {stream_name, of->name};
    ls_lease_info *infos = NULL;
    int64_t behind_ms = 0;
    uint64_t partitions = 0;
    uint32_t count = 0;

    if (lsi_lease_list(stream, of->name, &infos, NULL, &count) != LS_OK)
        return;
    for (uint32_t i = 0; i < count; i++)
        if (infos[i].state != LS_LEASE_ENDED && infos[i].millis_behind_latest > behind_ms)
            behind_ms = infos[i].millis_behind_latest;
    lsi_gather_gauge(to, DELIVERY_FRESHNESS, values, (double)behind_ms / 1000);
    for (uint32_t i = 0; of->has_partitions && i < count; i++) {
        const lsi_engine_count *word = infos[i].owner_lives != 0 && infos[i].state != LS_LEASE_ENDED
                                           ? lsi_delivery_partition_count(stream, of->id, infos[i].shard) : NULL;

        partitions += word != NULL ? lsi_counted(word) : 0;
    }
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
