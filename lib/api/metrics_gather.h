/* What the files that gather a snapshot share: the store's families, in the order in which they are shown, and a word
 * for each kind of sample. */
#ifndef LSI_API_METRICS_GATHER_H
#define LSI_API_METRICS_GATHER_H

#include <inttypes.h>
#include <stdio.h>

#include "api/api.h"

enum {
    PUT_RECORDS, PUT_BYTES, PUT_CALLS, PUT_THROTTLED, PUT_TIMES, PUT_UNITS, PUT_REPEATS, ASYNC_RECORDS, ASYNC_OUTCOMES,
    ASYNC_RETRIES, ASYNC_BATCHES, ASYNC_AGGREGATES, ASYNC_PACKED, ASYNC_TIMES, GET_RECORDS, GET_BYTES, GET_CALLS,
    GET_THROTTLED, GET_TIMES, FAN_OUT_BYTES, FAN_OUT_THROTTLED, LAG_SECONDS, LAG_RECORDS, MAPPING_CALLS,
    MAPPING_ERRORS, MAPPING_THROTTLES, MAPPING_RUNNING, MAPPING_HELD, MAPPING_RECORDS, MAPPING_TIMES, MAPPING_SIZES,
    DELIVERY_OBJECTS, DELIVERY_RECORDS, DELIVERY_BYTES, DELIVERY_BILLED, DELIVERY_RETRIES, DELIVERY_FRESHNESS,
    DELIVERY_BACKUP_FRESHNESS, DELIVERY_PARTITIONS, DELIVERY_CROWDED, DELIVERY_MOVED, DELIVERY_READ_RECORDS,
    DELIVERY_READ_BYTES, DELIVERY_READS_HELD, DELIVERY_READ_LAG, DELIVERY_PUTS, DELIVERY_CALLS, DELIVERY_CALL_TIMES,
    DELIVERY_PROCESSED, DELIVERY_PROCESSED_BYTES,
    LEASES_OWNED, LEASES_TAKEN, LEASES_LOST, CHECKPOINTS, WINDOW_LATE, WINDOW_WATERMARK, LOG_BYTES, LOG_SEGMENTS,
    LOG_SYNC_TIMES, LOG_DAMAGED, SHARD_SECONDS, RETENTION_EXTENDED, SERIES_DROPPED, BUILD_INFO, FAMILIES
};

extern const lsi_family lsi_metric_families[FAMILIES]; /* metrics_names.c */

static inline lsi_sample *lsi_gather_counter(lsi_snapshot *to, int family, const char *const *values, uint64_t count)
{
    return lsi_snapshot_counter(to, &lsi_metric_families[family], (uint32_t)family, values, count);
}

static inline void lsi_gather_gauge(lsi_snapshot *to, int family, const char *const *values, double value)
{
    (void)lsi_snapshot_gauge(to, &lsi_metric_families[family], (uint32_t)family, values, value);
}

/* `words`: a histogram of durations; NULL: none. */
static inline lsi_sample *lsi_gather_times(lsi_snapshot *to, int family, const char *const *values,
                                           const lsi_engine_count *words)
{
    if (words == NULL)
        return NULL;
    return lsi_snapshot_histogram(to, &lsi_metric_families[family], (uint32_t)family, values, words,
                                  (double)lsi_counted(&words[LSI_DURATION_WORDS - 1]) / 1e6);
}

static inline void lsi_gather_name(lsi_sample *sample, const char *name)
{
    if (sample != NULL)
        sample->cloudwatch = name;
}

#define SHARD_ID_BYTES 24

static inline void lsi_gather_shard_id(uint32_t shard, char out[SHARD_ID_BYTES])
{
    (void)snprintf(out, SHARD_ID_BYTES, "shardId-%012" PRIu32, shard); /* 20 characters */
}

/* metrics_deliveries.c */
void lsi_metrics_gather_deliveries(lsi_snapshot *to, lsi_engine_stream *stream, const char *name);

/* metrics_consumers.c: mappings, groups and window operators of a stream. */
void lsi_metrics_gather_consumers(lsi_snapshot *to, lsi_engine_stream *stream, const char *name);

#endif
