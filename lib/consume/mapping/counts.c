/* What running a mapping counts: what its batch machine has counted since it was asked last, added to words that all
 * processes share. So the sums of all runs are in one place, and a run that dies leaves what it had done. */
#include "consume/mapping/run.h"

#include "metrics/metrics.h"

_Static_assert(LSI_MAPPED_SIZES + LSI_SIZE_WORDS <= LSI_ENGINE_COUNTS, "a mapping's words fit");

uint32_t lsi_mapping_counts_number(const lsi_mapping *mapping)
{
    return (uint32_t)(mapping->id ^ mapping->id >> 32) & UINT32_C(0x3fffffff); /* one bit and the kind's are the slot's */
}

void lsi_worker_counts_open(lsi_worker *worker)
{
    const lsi_run *run = worker->run;
    uint32_t number = lsi_mapping_counts_number(run->mapping);

    worker->counts = run->stream->engine->ops->counts(run->stream, LSI_COUNTS_MAPPING, number);
    worker->times = run->stream->engine->ops->counts(run->stream, LSI_COUNTS_MAPPING_TIMES, number);
}

void lsi_worker_count(lsi_worker *worker)
{
    lsi_batcher_counts now, *told = &worker->told;
    lsi_engine_count *counts = worker->counts;

    lsi_batcher_counts_get(worker->machine, &now);
    if (counts != NULL) {
        lsi_count(&counts[LSI_MAPPED_POLLED], now.polled - told->polled);
        lsi_count(&counts[LSI_MAPPED_FILTERED], now.filtered - told->filtered);
        lsi_count(&counts[LSI_MAPPED_INVOKED], now.delivered - told->delivered);
        lsi_count(&counts[LSI_MAPPED_REDELIVERED],
                  (now.invoked - now.delivered) - (told->invoked - told->delivered));
        lsi_count(&counts[LSI_MAPPED_THROTTLES], now.throttles - told->throttles);
        lsi_count(&counts[LSI_MAPPED_FAILED], now.failed - told->failed);
        lsi_count(&counts[LSI_MAPPED_ERROR], now.deaths - told->deaths);
        lsi_count(&counts[LSI_MAPPED_DROPPED_AGE], now.dropped_by_age - told->dropped_by_age);
        lsi_count(&counts[LSI_MAPPED_DROPPED_RETRIES], now.dropped_by_retries - told->dropped_by_retries);
    }
    *told = now;
}

void lsi_worker_count_reported(lsi_worker *worker, uint32_t records)
{
    const lsi_run *run = worker->run;

    if (worker->counts != NULL && (run->how->discard != NULL || run->mapping->options.failure_stream != NULL))
        lsi_count(&worker->counts[LSI_MAPPED_REPORTED], records);
}

void lsi_worker_count_invocation(lsi_worker *worker, const lsi_outcome *outcome, uint32_t records, int64_t took_us)
{
    const lsi_batcher_counts before = worker->told;
    uint32_t result = LSI_MAPPED_OK;

    lsi_worker_count(worker);
    if (worker->told.invocations == before.invocations)
        return; /* It is as if it had not been. */
    if (worker->told.overruns > before.overruns)
        result = LSI_MAPPED_TIMEOUT;
    else if (worker->told.errors > before.errors)
        result = LSI_MAPPED_ERROR;
    else if (outcome->kind == LSI_OUTCOME_PARTIAL)
        result = LSI_MAPPED_PARTIAL;
    if (worker->counts != NULL) {
        lsi_count(&worker->counts[result], 1);
        lsi_count_size(&worker->counts[LSI_MAPPED_SIZES], records);
    }
    if (worker->times != NULL)
        lsi_count_duration(worker->times, took_us);
}
