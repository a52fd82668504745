/* What a producer counts, beyond what the engine counts of each append: calls that failed, records that were refused,
 * and how long calls take.
 *
 * A single put that succeeds adds nothing here: it is counted under the shard's lock, by additions that need not be
 * atomic, where nobody waits for a sync; where each put does, by lsi_put_ended, which is nothing beside the sync. The
 * clock is looked at for one call of those that put 64 records, or for each in SYNC. */
#include "produce/producer.h"

#include <string.h>

#define MEASURED_EVERY 64 /* two looks at the clock are 50 ns: less than one for each record */

void lsi_put_counts_open(lsi_producer *producer)
{
    const lsi_engine_ops *ops = producer->ops;

    producer->call_counts = ops->counts(producer->stream, LSI_COUNTS_STREAM, 0);
    for (uint32_t i = 0; i < LSI_COUNTS_SYNCS; i++)
        producer->times[i] = ops->counts(producer->stream, LSI_COUNTS_PUT_TIMES, i);
    producer->measured_every = producer->durability == LS_DURABILITY_SYNC ? 1 : MEASURED_EVERY;
    producer->until_measured = producer->measured_every;
}

/* The two are not inlined: they would burden the puts that do without. */
__attribute__((noinline)) void lsi_put_measure(lsi_producer *producer)
{
    producer->until_measured = producer->measured_every;
    producer->is_measured = true;
    producer->began_us = lsi_monotonic_us(&producer->env->clock);
}

static void take_time(lsi_producer *producer, uint32_t which)
{
    if (producer->is_measured && producer->times[which] != NULL)
        lsi_count_duration(producer->times[which], lsi_monotonic_us(&producer->env->clock) - producer->began_us);
    producer->is_measured = false;
}

void lsi_put_numbered_ended(lsi_producer *producer, ls_status st, bool is_repeat)
{
    uint32_t result = st == LS_OK ? LSI_RESULT_OK : st == LS_ERR_THROTTLED ? LSI_RESULT_THROTTLED : LSI_RESULT_ERROR;

    take_time(producer, LSI_COUNTS_SINGLE_PUTS);
    if (producer->call_counts != NULL &&
        (st != LS_OK || is_repeat || producer->durability == LS_DURABILITY_SYNC)) /* Else the engine counted it. */
        lsi_count(&producer->call_counts[LSI_COUNT_PUT_CALLS + result], 1);
}

__attribute__((noinline)) void lsi_put_ended(lsi_producer *producer, const ls_put_entry *entry, uint32_t shard,
                                             ls_status st)
{
    if (st == LS_OK && producer->durability == LS_DURABILITY_SYNC)
        lsi_put_synced(producer, shard, entry, NULL, 1);
    lsi_put_numbered_ended(producer, st, false);
}

void lsi_batch_ended(lsi_producer *producer, size_t stored, size_t count, ls_status st)
{
    uint32_t result = stored == count ? LSI_RESULT_OK
        : stored > 0                  ? LSI_RESULT_PARTIAL
        : st == LS_ERR_THROTTLED      ? LSI_RESULT_THROTTLED
                                      : LSI_RESULT_ERROR;

    take_time(producer, LSI_COUNTS_BATCHES);
    if (producer->call_counts != NULL)
        lsi_count(&producer->call_counts[LSI_COUNT_BATCH_CALLS + result], 1);
}

static lsi_engine_count *counts_of(const lsi_producer *producer, uint32_t shard)
{
    return producer->ops->counts(producer->stream, LSI_COUNTS_SHARD, shard);
}

void lsi_put_repeated(const lsi_producer *producer, uint32_t shard, uint32_t records)
{
    lsi_engine_count *counts = counts_of(producer, shard);

    if (counts != NULL)
        lsi_count(&counts[LSI_COUNT_PUT_REPEATS], records);
}

void lsi_put_over(const lsi_producer *producer, uint32_t shard, const char *limit, uint32_t records)
{
    lsi_engine_count *counts = counts_of(producer, shard);

    if (counts != NULL)
        lsi_count(&counts[strncmp(limit, "records", 7) == 0 ? LSI_COUNT_PUT_OVER_RECORDS : LSI_COUNT_PUT_OVER_BYTES],
                  records);
}

void lsi_put_synced(const lsi_producer *producer, uint32_t shard, const ls_put_entry *entries, const uint32_t *picks,
                    uint32_t count)
{
    lsi_engine_count *counts = counts_of(producer, shard);
    uint64_t bytes = 0, more_units = 0;

    for (uint32_t i = 0; i < count; i++) {
        const ls_put_entry *entry = &entries[picks != NULL ? picks[i] : i];
        uint64_t size = entry->partition_key.size + entry->data.size;

        bytes += size;
        more_units += (size - 1) / LSI_PAYLOAD_UNIT_BYTES; /* A key has a byte at least. */
    }
    if (counts == NULL)
        return;
    lsi_count(&counts[LSI_COUNT_PUT_RECORDS], count);
    lsi_count(&counts[LSI_COUNT_PUT_BYTES], bytes);
    if (more_units > 0)
        lsi_count(&counts[LSI_COUNT_PUT_MORE_UNITS], more_units);
}
