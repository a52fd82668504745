/* What an iterator counts: calls, records and bytes that went out, calls that a limit kept from a shard, and how long
 * calls take.
 *
 * A call that a limit kept from a shard is counted once for that shard, when it happens, whether it waits then or is
 * refused: somebody who asked again and again instead would be refused. What keeps a subscription is its consumer's.
 *
 * Records are counted with the batch that carries them, so that what others see is exact. Calls that found nothing are
 * counted with the next batch, or 64 at once: who polls an idle stream would else write to memory that all its
 * producers share. A call that slept took as long as there was nothing to read, which is no measure of anything. */
#include "consume/iterator.h"

#include <string.h>

#include "base/hash.h"
#include "base/status.h"

uint32_t lsi_counts_number(const char *name)
{
    return (uint32_t)(lsi_sum64(name, strlen(name), 0) % LSI_COUNTS_NAMED);
}

#define CALLS_AT_ONCE 64u
#define MEASURED_EVERY 64u /* records; a call that gives none counts as one */
#define NOT_MEASURED INT64_MIN

void lsi_get_counts_open(lsi_iterator *iterator)
{
    iterator->counts = iterator->ops->counts(iterator->stream, LSI_COUNTS_STREAM, 0);
    iterator->until_measured = MEASURED_EVERY;
}

static void tell_calls(lsi_iterator *iterator)
{
    if (iterator->counts != NULL)
        lsi_count(&iterator->counts[LSI_COUNT_GET_OK], iterator->calls);
    iterator->calls = 0;
}

void lsi_get_counts_close(lsi_iterator *iterator)
{
    /* In a fork child the words are gone (P9); what was counted here is the parent's to tell. */
    if (iterator->calls > 0 && iterator->ops->counts(iterator->stream, LSI_COUNTS_STREAM, 0) != NULL)
        tell_calls(iterator);
}

int64_t lsi_get_begins(lsi_iterator *iterator)
{
    iterator->has_slept = false;
    iterator->call++;
    return iterator->until_measured == 0 ? lsi_monotonic_us(&iterator->env->clock) : NOT_MEASURED;
}

static void count_of_consumer(const lsi_iterator *iterator, uint32_t word)
{
    lsi_engine_count *counts = iterator->ops->counts(iterator->stream, LSI_COUNTS_CONSUMER,
                                                     lsi_counts_number(lsi_subscriber_name(iterator->subscriber)));

    if (counts != NULL)
        lsi_count(&counts[word], 1);
}

void lsi_count_refused_subscription(const lsi_iterator *iterator)
{
    count_of_consumer(iterator, LSI_CONSUMER_COUNT_REFUSED);
}

void lsi_get_held(lsi_iterator *iterator, lsi_track *track, const lsi_refusal *why)
{
    lsi_engine_count *counts;
    bool is_first = iterator->held_in != iterator->call;

    if (track->held_in == iterator->call)
        return;
    track->held_in = iterator->held_in = iterator->call;
    if (iterator->subscriber != NULL) {
        if (is_first)
            count_of_consumer(iterator, LSI_CONSUMER_COUNT_HELD);
        return;
    }
    counts = iterator->ops->counts(iterator->stream, LSI_COUNTS_SHARD, track->shard);
    if (counts != NULL)
        lsi_count(&counts[strncmp(why->limit, "bytes", 5) == 0 ? LSI_COUNT_GET_OVER_BYTES : LSI_COUNT_GET_OVER_CALLS],
                  1);
}

bool lsi_iterator_was_held(const lsi_iterator *iterator)
{
    return iterator->held_in != 0 && iterator->held_in == iterator->call;
}

void lsi_get_ended(lsi_iterator *iterator, ls_status st, int64_t began_us)
{
    uint32_t records = st == LS_OK ? iterator->batch.count : 0;

    if (st == LS_OK && (++iterator->calls == CALLS_AT_ONCE || records > 0))
        tell_calls(iterator);
    else if (st == LS_ERR_THROTTLED && iterator->counts != NULL)
        lsi_count(&iterator->counts[LSI_COUNT_GET_THROTTLED], 1);
    else if (st != LS_OK && st != LS_ERR_THROTTLED && st != LS_ERR_CANCELLED && st != LS_ERR_STATE &&
             iterator->counts != NULL)
        lsi_count(&iterator->counts[LSI_COUNT_GET_ERROR], 1);
    if (began_us != NOT_MEASURED) {
        iterator->until_measured = MEASURED_EVERY;
        if (iterator->counts != NULL && st == LS_OK && !iterator->has_slept)
            lsi_count_duration(&iterator->counts[LSI_COUNT_GET_TIMES],
                               lsi_monotonic_us(&iterator->env->clock) - began_us);
    }
    records += records == 0;
    iterator->until_measured -= records < iterator->until_measured ? records : iterator->until_measured;
}

void lsi_get_delivered(const lsi_iterator *iterator, const lsi_track *track, const lsi_read *read)
{
    uint32_t records = read->count;
    uint64_t bytes = read->bytes;

    if (iterator->is_deaggregating) /* What the stream counts are records as they were put. */
        records = lsi_unfold_fetched(track, &bytes);
    if (track->counts == NULL || records == 0)
        return;
    lsi_count(&track->counts[LSI_COUNT_GET_RECORDS], records);
    lsi_count(&track->counts[LSI_COUNT_GET_BYTES], bytes);
    if (iterator->subscriber != NULL)
        lsi_count(&track->counts[LSI_COUNT_FAN_OUT_BYTES], bytes);
}
