/* The limits of a provisioned stream on what goes out (the rules and the words they share are stream/throttle.c's).
 *
 * A call of ls_iterator_next is one read of each shard it looks into, however often it looks while it waits. So a track
 * gets its *turn* once, keeps it while there is nothing to read, and gives it up when it delivered, or when the call
 * came back with nothing. A look that gets no turn passes the shard over; the call then waits for the turn as it waits
 * for records, and is THROTTLED when its time is over first.
 *
 * A subscription of a registered consumer has words of its own, in which bytes alone count.
 *
 * N1 What a batch delivers is charged once, whoever delivers it. */
#include "consume/iterator.h"

#include <string.h>

#include "base/status.h"

void lsi_turn_take_limits(lsi_iterator *iterator, const lsi_stream_info *info)
{
    iterator->limits_generation = info->generation;
    iterator->is_limited = info->mode == LS_STREAM_PROVISIONED;
    iterator->rates = info->rates;
    memcpy(iterator->name, info->name, sizeof(iterator->name));
}

void lsi_turn_refresh_limits(lsi_iterator *iterator)
{
    lsi_stream_info info = {0};
    lsi_error_state before;

    lsi_error_save(&before);
    if (iterator->ops->info(iterator->stream, &info) == LS_OK) {
        lsi_turn_take_limits(iterator, &info);
        lsi_stream_info_free(&info);
    } else {
        lsi_error_restore(&before); /* Whatever it is, reading will tell. */
    }
}

/* The words that count: the shard's, which all iterators share, or the consumer's own. */
static lsi_budget_word *budget_of(const lsi_iterator *iterator, const lsi_track *track)
{
    return iterator->subscriber != NULL ? track->hold.budget : iterator->ops->budget(iterator->stream, track->shard);
}

bool lsi_turn_take(lsi_iterator *iterator, lsi_track *track)
{
    lsi_budget_word *budget;
    lsi_refusal why;
    int64_t now_us;

    if (track->has_turn || lsi_unfold_has_more(track)) /* What was read once is not read again. */
        return true;
    budget = budget_of(iterator, track);
    now_us = lsi_monotonic_us(&iterator->env->clock);
    if (budget == NULL || (iterator->subscriber != NULL
                               ? lsi_rates_admit_push(&iterator->rates, budget, now_us, &why)
                               : lsi_rates_admit_read(&iterator->rates, budget, now_us, &why))) {
        track->has_turn = true;
        return true;
    }
    lsi_get_held(iterator, track, &why);
    if (iterator->refused_shard == LSI_NO_SHARD || why.wait_us < iterator->refusal.wait_us) {
        iterator->refused_shard = track->shard;
        iterator->refusal = why;
    }
    return false;
}

void lsi_turn_delivered(lsi_iterator *iterator, lsi_track *track)
{
    lsi_budget_word *budget = budget_of(iterator, track);
    uint64_t bytes = 0;

    track->has_turn = false;
    if (iterator->is_deaggregating)
        (void)lsi_unfold_fetched(track, &bytes);
    for (uint32_t i = 0; i < iterator->batch.count && !iterator->is_deaggregating; i++)
        bytes += iterator->batch.records[i].partition_key.size + iterator->batch.records[i].data.size;
    if (budget != NULL && bytes > 0) /* N1 */
        lsi_rates_charge_read(&iterator->rates, budget, bytes, lsi_monotonic_us(&iterator->env->clock));
}

void lsi_turns_end(lsi_iterator *iterator)
{
    for (uint32_t i = 0; i < iterator->track_count; i++)
        iterator->tracks[i].has_turn = false;
}
