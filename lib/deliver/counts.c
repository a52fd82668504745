/* What runs of a delivery count, in words that all processes share and add to: so the sums of all runs are in one
 * place, and a run that dies leaves what it had done. What becomes of records is counted when it is stored that it is done:
 * so what is done again, after a death or because the settings changed, counts once. */
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

void lsi_delivery_count_dropped(lsi_delivery_shard *shard)
{
    shard->uncounted[LSI_DELIVERED_DROPPED]++;
    if (shard->unsaved_us == 0)
        shard->unsaved_us = lsi_delivery_now_us(shard->run);
}

void lsi_delivery_count_records(lsi_delivery_shard *shard, const lsi_buffer *buffer)
{
    shard->uncounted[LSI_DELIVERED_RECORDS + (uint32_t)buffer->kind - LS_DELIVERY_DATA] += buffer->record_count;
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
