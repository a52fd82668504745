/* What runs of a delivery count, in words that all processes share and add to: so the sums of all runs are in one
 * place, and a run that dies leaves what it had done. What becomes of records is counted when it is stored that it is
 * done: so what is done again, after a death or because the settings changed, counts once. Work is counted when it is
 * done, each time: reads, calls of the transform, puts. */
#include "deliver/inside.h"

#include "metrics/metrics.h"

_Static_assert(LSI_DELIVERED_WORDS <= LSI_ENGINE_COUNTS, "a delivery's words fit");
_Static_assert(LSI_DURATION_WORDS <= LSI_ENGINE_COUNTS, "those of its transform, too");

#define SHARDS (LSI_ENGINE_COUNTS / LSI_DELIVERING_WORDS) /* in one set of words */

uint32_t lsi_delivery_counts_number(uint64_t id)
{
    return (uint32_t)(id ^ id >> 32) & UINT32_C(0x3fffffff); /* as of a mapping, whose words these might have been */
}

void lsi_delivery_count(const lsi_delivery_run_state *run, uint32_t word, uint64_t n)
{
    if (run->counts != NULL)
        lsi_count(&run->counts[word], n);
}

/* Sets of words where a mapping counts its durations. The first is the transform's. */
static lsi_engine_count *words_of(lsi_engine_stream *stream, uint64_t id, uint32_t set)
{
    uint32_t number = (lsi_delivery_counts_number(id) + set) & UINT32_C(0x3fffffff);

    return stream->engine->ops->counts(stream, LSI_COUNTS_MAPPING_TIMES, number);
}

lsi_engine_count *lsi_delivery_transform_times(lsi_engine_stream *stream, uint64_t id)
{
    return words_of(stream, id, 0);
}

lsi_engine_count *lsi_delivery_shard_words(lsi_engine_stream *stream, uint64_t id, uint32_t shard)
{
    lsi_engine_count *words = words_of(stream, id, 1 + shard / SHARDS);

    return words != NULL ? &words[shard % SHARDS * LSI_DELIVERING_WORDS] : NULL;
}

void lsi_delivery_tell(lsi_delivery_shard *shard)
{
    const lsi_delivery_run_state *run = shard->run;

    if (shard->words == NULL && shard->iterator != NULL)
        shard->words = lsi_delivery_shard_words(run->stream, run->how->id, shard->shard);
    if (shard->words == NULL)
        return;
    atomic_store_explicit(&shard->words[LSI_DELIVERING_PARTITIONS], shard->partition_count, memory_order_relaxed);
    atomic_store_explicit(&shard->words[LSI_DELIVERING_SEQNO], shard->seqno, memory_order_relaxed);
}

void lsi_delivery_count_read(const lsi_delivery_shard *shard)
{
    uint64_t bytes;
    uint32_t records = lsi_iterator_fetched(shard->iterator, &bytes);

    if (records == 0) /* The rest of an aggregate. */
        return;
    lsi_delivery_count(shard->run, LSI_DELIVERED_READ_RECORDS, records);
    lsi_delivery_count(shard->run, LSI_DELIVERED_READ_BYTES, bytes);
}

void lsi_delivery_count_call(lsi_delivery_run_state *run, bool has_failed, int64_t took_us)
{
    const ls_transform *batch = &run->transform;
    uint64_t records = 0, bytes = 0;

    if (run->transform_times == NULL)
        run->transform_times = lsi_delivery_transform_times(run->stream, run->how->id);
    if (run->transform_times != NULL)
        lsi_count_duration(run->transform_times, took_us);
    lsi_delivery_count(run, LSI_DELIVERED_CALLS + (!has_failed       ? LSI_TRANSFORMED_OK
                                                   : batch->was_late ? LSI_TRANSFORMED_LATE
                                                                     : LSI_TRANSFORMED_ERROR), 1);
    for (size_t i = 0; !has_failed && i < batch->count; i++) {
        lsi_verdict verdict = batch->items[i].verdict;
        bool is_good = verdict == LSI_VERDICT_KEEP || verdict == LSI_VERDICT_REPLACE || verdict == LSI_VERDICT_DROP;

        records += is_good;
        bytes += is_good ? batch->records[i]->data.size : 0;
    }
    lsi_delivery_count(run, LSI_DELIVERED_PROCESSED_RECORDS, records);
    lsi_delivery_count(run, LSI_DELIVERED_PROCESSED_BYTES, bytes);
}

void lsi_delivery_count_put(const lsi_delivery_run_state *run, ls_delivery_kind kind, bool is_good)
{
    lsi_delivery_count(run, (is_good ? LSI_DELIVERED_PUTS : LSI_DELIVERED_BAD_PUTS) + (uint32_t)kind - LS_DELIVERY_DATA,
                       1);
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
