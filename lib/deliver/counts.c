/* What runs of a delivery count, in words that all processes share and add to: so the sums of all runs are in one
 * place, and a run that dies leaves what it had done. What becomes of records is counted when it is stored that it is
 * done: so what is done again, after a death or because the settings changed, counts once. */
#include "deliver/inside.h"

#include "metrics/metrics.h"

_Static_assert(LSI_DELIVERED_RETRIES < LSI_ENGINE_COUNTS, "a delivery's words fit");

uint32_t lsi_delivery_counts_number(uint64_t id)
{
    return (uint32_t)(id ^ id >> 32) & UINT32_C(0x3fffffff); /* as of a mapping, whose words these might have been */
}

void lsi_delivery_count(const lsi_delivery_run_state *run, uint32_t word, uint64_t n)
{
    if (run->counts != NULL)
        lsi_count(&run->counts[word], n);
}

lsi_engine_count *lsi_delivery_partition_count(lsi_engine_stream *stream, uint64_t id, uint32_t shard)
{
    /* A word for each shard, where a mapping counts its durations. */
    uint32_t number = (lsi_delivery_counts_number(id) + shard / LSI_ENGINE_COUNTS) & UINT32_C(0x3fffffff);
    lsi_engine_count *words = stream->engine->ops->counts(stream, LSI_COUNTS_MAPPING_TIMES, number);

    return words != NULL ? &words[shard % LSI_ENGINE_COUNTS] : NULL;
}

void lsi_delivery_tell_partitions(lsi_delivery_shard *shard)
{
    const lsi_delivery_run_state *run = shard->run;

    if (shard->partition_words == NULL && shard->partition_count != 0 && run->delivery != NULL &&
        (run->delivery->options.flags & LS_DELIVERY_PARTITION) != 0)
        shard->partition_words = lsi_delivery_partition_count(run->stream, run->how->id, shard->shard);
    if (shard->partition_words != NULL)
        atomic_store_explicit(shard->partition_words, shard->partition_count, memory_order_relaxed);
}

void lsi_delivery_count_dropped(lsi_delivery_shard *shard, uint64_t billed)
{
    shard->uncounted[LSI_DELIVERED_DROPPED]++;
    shard->uncounted[LSI_DELIVERED_BILLED] += billed;
    if (shard->unsaved_us == 0)
        shard->unsaved_us = lsi_delivery_now_us(shard->run);
}

void lsi_delivery_count_records(lsi_delivery_shard *shard, const lsi_buffer *buffer)
{
    shard->uncounted[LSI_DELIVERED_RECORDS + (uint32_t)buffer->kind - LS_DELIVERY_DATA] += buffer->record_count;
    shard->uncounted[LSI_DELIVERED_BILLED] += buffer->billed;
    shard->uncounted[LSI_DELIVERED_CROWDED] += buffer->crowded;
}

void lsi_delivery_count_object(lsi_delivery_shard *shard, const lsi_buffer *buffer, size_t bytes)
{
    uint32_t kind = (uint32_t)buffer->kind - LS_DELIVERY_DATA;

    shard->uncounted[LSI_DELIVERED_OBJECTS + kind]++;
    shard->uncounted[LSI_DELIVERED_BYTES + kind] += bytes;
    lsi_delivery_count_records(shard, buffer);
}

void lsi_delivery_count_stored(lsi_delivery_shard *shard)
{
    for (uint32_t i = 0; i < LSI_DELIVERED_RETRIES; i++) {
        if (shard->uncounted[i] != 0)
            lsi_delivery_count(shard->run, i, shard->uncounted[i]);
        shard->uncounted[i] = 0;
    }
}
