/* What metrics show of asynchronous producers: added to the stream's words, which all processes share, once a turn, so
 * that a record costs an addition. Of each turn one record's time is taken. */
#include "produce/async/async.h"

void lsi_async_counts_open(lsi_async *async)
{
    lsi_producer *producer = async->producer;

    async->words = producer->ops->counts(producer->stream, LSI_COUNTS_PUT_TIMES, LSI_COUNTS_ASYNC);
    async->tally.sample_us = -1;
}

void lsi_async_count_outcome(lsi_async *async, const lsi_async_record *record, const ls_async_outcome *outcome)
{
    lsi_async_count(async, outcome->status == LS_OK    ? LSI_ASYNC_STORED
                           : outcome->status == LS_ERR_IO ? LSI_ASYNC_UNKNOWN
                                                          : LSI_ASYNC_FAILED, 1);
    if (outcome->attempts > 1)
        lsi_async_count(async, LSI_ASYNC_RETRIES, outcome->attempts - 1);
    if (outcome->status == LS_OK && outcome->sub_count > 0) {
        lsi_async_count(async, LSI_ASYNC_PACKED, 1);
        lsi_async_count(async, LSI_ASYNC_AGGREGATES, outcome->sub_seqno == 0);
    }
    if (async->tally.sample_us < 0 && async->words != NULL)
        async->tally.sample_us = lsi_monotonic_us(&async->env->clock) - record->put_us;
}

void lsi_async_counts_add(lsi_async *async)
{
    for (uint32_t i = 0; async->words != NULL && i < LSI_ASYNC_COUNTS; i++)
        if (async->tally.counts[i] > 0)
            lsi_count(&async->words[LSI_ASYNC_RECORDS + i], async->tally.counts[i]);
    if (async->tally.sample_us >= 0)
        lsi_count_duration(async->words, async->tally.sample_us);
    async->tally = (lsi_async_tally){.sample_us = -1};
}
