/* The next batch: look, and when there is nothing, wait and look again.
 *
 * Waiting is the engine's eventcount: arm, look once more, sleep. Whoever publishes after the arming ends the sleep, so
 * nothing that comes between the look and the sleep is missed. A cancel is a flag and a wake: the flag is looked at
 * after every look that found nothing, the last time behind the arming, so the wake cannot be missed either (C3). Time
 * is measured by the monotonic clock.
 *
 * A sleep has a bound of its own: a writer may be killed between publishing and waking (P1), unless a guard looks for
 * that on behalf of many (guard.c). */
#include "consume/iterator.h"

#include "base/patience.h"
#include "base/status.h"

/* Monotonic time at which waiting is over. */
static int64_t deadline_of(const lsi_iterator *iterator, int64_t timeout_ms)
{
    int64_t now_us;

    if (timeout_ms == 0)
        return INT64_MIN; /* Over before it begins, and no clock is read. */
    now_us = lsi_monotonic_us(&iterator->env->clock);
    if (timeout_ms < 0 || timeout_ms > (INT64_MAX - now_us) / 1000)
        return INT64_MAX;
    return now_us + timeout_ms * 1000;
}

/* How long may be slept now; 0: the time is over. */
static int64_t sleep_us(const lsi_iterator *iterator, int64_t deadline_us)
{
    int64_t left_us, most_us = iterator->is_guarded ? LSI_WAIT_US_GUARDED_MAX : LSI_WAIT_US_MAX;

    if (deadline_us == INT64_MIN)
        return 0;
    if (deadline_us == INT64_MAX)
        return most_us;
    left_us = deadline_us - lsi_monotonic_us(&iterator->env->clock);
    if (left_us <= 0)
        return 0;
    return left_us < most_us ? left_us : most_us;
}

static ls_status look(lsi_iterator *iterator, uint32_t records_max, uint64_t bytes_max, bool *found)
{
    lsi_read read;
    ls_status st;

    *found = false;
    iterator->refused_shard = LSI_NO_SHARD;
    if (iterator->is_merged)
        return lsi_merged_look(iterator, records_max, bytes_max, found);
    if (iterator->subscriber != NULL) {
        st = lsi_track_hold(iterator, &iterator->tracks[0]);
        if (st != LS_OK)
            return st;
    }
    if (iterator->is_limited && !lsi_turn_take(iterator, &iterator->tracks[0]))
        return LS_OK;
    do {
        st = lsi_track_read(iterator, &iterator->tracks[0], records_max, bytes_max, &read);
        if (st != LS_OK)
            return st;
    } while (read.count == 0 && !read.at_tip && !read.shard_end); /* The reader passed over something: go on. */
    if (read.count == 0 && !read.shard_end)
        return LS_OK;
    *found = true;
    return lsi_track_deliver(iterator, &iterator->tracks[0], &read);
}

static ls_status next(lsi_iterator *iterator, uint32_t records_max, uint64_t bytes_max, int64_t timeout_ms)
{
    int64_t deadline_us = deadline_of(iterator, timeout_ms);
    bool is_armed = false;
    uint32_t token = 0;

    if (!iterator->is_merged && iterator->ops->generation(iterator->stream) != iterator->limits_generation)
        lsi_turn_refresh_limits(iterator);
    for (;;) {
        int64_t timeout_us;
        bool found;
        ls_status st = look(iterator, records_max, bytes_max, &found);

        if (st != LS_OK)
            return st;
        if (found)
            break; /* C2 */
        /* Pairs with the store in lsi_iterator_cancel: of it and the arming, one comes first and is seen (C3). */
        if (atomic_exchange_explicit(&iterator->is_cancelled, false, memory_order_seq_cst))
            return lsi_fail(LS_ERR_CANCELLED, "the wait for records was cancelled");
        if (iterator->subscriber != NULL && lsi_subscriber_is_cancelled(iterator->subscriber))
            return lsi_fail(LS_ERR_CANCELLED, "the subscription was cancelled");
        if (iterator->is_stopped != NULL && atomic_load_explicit(iterator->is_stopped, memory_order_seq_cst))
            return lsi_fail(LS_ERR_CANCELLED, "the reader was stopped");
        timeout_us = sleep_us(iterator, deadline_us);
        if (timeout_us == 0 && iterator->refused_shard != LSI_NO_SHARD && iterator->subscriber == NULL)
            return lsi_rates_refuse(&iterator->refusal, iterator->name, iterator->refused_shard);
        if (timeout_us == 0) {
            if (iterator->is_limited)
                lsi_turns_end(iterator);
            iterator->batch = (ls_batch){.shard = iterator->wait_shard, .iterator = iterator};
            lsi_event_watch(iterator, false);
            break;
        }
        if (!is_armed) {
            token = iterator->ops->arm(iterator->stream, iterator->wait_shard);
            is_armed = true;
            continue;
        }
        is_armed = false;
        iterator->has_slept = true;
        if (iterator->refused_shard != LSI_NO_SHARD && iterator->refusal.wait_us < timeout_us)
            timeout_us = iterator->refusal.wait_us;
        if ((iterator->is_guarded ? iterator->ops->sleep_guarded : iterator->ops->sleep)(
                iterator->stream, iterator->wait_shard, token, timeout_us) == LSI_INTERRUPTED &&
            iterator->is_interruptible)
            return lsi_fail(LS_ERR_CANCELLED, "a signal handler ran during the wait for records");
        lsi_patience_begin(iterator->env); /* Hours may have passed: each look has its own. */
    }
    return LS_OK;
}

ls_status lsi_iterator_next(lsi_iterator *iterator, uint32_t records_max, uint64_t bytes_max, int64_t timeout_ms,
                            const ls_batch **out)
{
    int64_t began_us = lsi_get_begins(iterator);
    ls_status st = next(iterator, records_max, bytes_max, timeout_ms);

    lsi_get_ended(iterator, st, began_us);
    if (st == LS_OK)
        *out = &iterator->batch;
    return st;
}

void lsi_iterator_cancel(lsi_iterator *iterator)
{
    /* Pairs with the exchange in lsi_iterator_next. */
    atomic_store_explicit(&iterator->is_cancelled, true, memory_order_seq_cst);
    iterator->ops->wake(iterator->stream, iterator->wait_shard);
}
