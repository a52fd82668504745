/* What others than the thread wait for: memory, the outcome of all records, or of one. They sleep on one word, which
 * the thread advances at the end of a turn in which it told or freed something, while somebody waits. */
#include "produce/async/async.h"

#include "base/status.h"

int64_t lsi_async_until(int64_t now_us, int64_t timeout_ms)
{
    if (timeout_ms < 0 || timeout_ms >= (INT64_MAX - now_us) / 1000)
        return INT64_MAX;
    return timeout_ms == 0 ? 0 : now_us + timeout_ms * 1000;
}

bool lsi_async_wait_for_progress(lsi_async *async, int64_t until_us)
{
    uint32_t seen = atomic_load_explicit(&async->progress, memory_order_relaxed); /* advanced under the lock */
    int64_t now_us = until_us == 0 ? 0 : lsi_monotonic_us(&async->env->clock);

    if (until_us <= now_us)
        return false;
    async->waiting++;
    lsi_lock_release(&async->lock, LSI_RANK_LOCAL);
    (void)lsi_word_sleep(&async->progress, seen, until_us == INT64_MAX ? -1 : until_us - now_us); /* Any end: look. */
    lsi_lock_hold(&async->lock, LSI_RANK_LOCAL);
    async->waiting--;
    return true;
}

static ls_status refuse_in_callback(const lsi_async *async)
{
    return lsi_fail(LS_ERR_STATE, "stream '%s': a callback cannot wait for its own producer", async->producer->name);
}

ls_status lsi_async_flush(lsi_async *async, int64_t timeout_ms, size_t *left)
{
    ls_status st = LS_OK;
    uint64_t until;
    int64_t until_us;

    if (lsi_async_is_telling(async))
        return refuse_in_callback(async);
    until_us = lsi_async_until(lsi_monotonic_us(&async->env->clock), timeout_ms);
    lsi_lock_hold(&async->lock, LSI_RANK_LOCAL);
    until = async->issued;
    if (async->settled_below <= until) {
        async->flush_until = until;
        lsi_async_want(async);
        lsi_async_wake(async);
    }
    while (async->settled_below <= until && st == LS_OK) /* A4 */
        if (!lsi_async_wait_for_progress(async, until_us))
            st = lsi_fail(LS_ERR_TIMEOUT, "stream '%s': %llu records have no outcome yet", async->producer->name,
                          (unsigned long long)(async->issued - async->told));
    if (left != NULL)
        *left = (size_t)(async->issued - async->told);
    lsi_lock_release(&async->lock, LSI_RANK_LOCAL);
    return st;
}

static bool look_up(lsi_async *async, uint64_t ticket, ls_async_outcome *out)
{
    const ls_async_outcome *kept = &async->kept[ticket % async->settings.outcomes_kept];
    bool is_there;

    lsi_lock_hold(&async->kept_lock, LSI_RANK_LOCAL);
    is_there = kept->ticket == ticket;
    if (is_there && out != NULL)
        *out = *kept;
    lsi_lock_release(&async->kept_lock, LSI_RANK_LOCAL);
    return is_there;
}

/* Whether there can be an outcome, now or later. Locks: async->lock held. */
static ls_status check_ticket(const lsi_async *async, uint64_t ticket)
{
    if (ticket < async->settings.first_ticket || ticket > async->issued)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "there was no ticket %llu: the last one is %llu",
                        (unsigned long long)ticket, (unsigned long long)async->issued);
    if (async->issued - ticket >= async->settings.outcomes_kept)
        return lsi_fail(LS_ERR_EXPIRED, "ticket %llu is too old: the last one is %llu, and %u outcomes are kept",
                        (unsigned long long)ticket, (unsigned long long)async->issued, async->settings.outcomes_kept);
    return LS_OK;
}

ls_status lsi_async_wait(lsi_async *async, uint64_t ticket, int64_t timeout_ms, ls_async_outcome *out)
{
    int64_t until_us;
    ls_status st;

    if (lsi_async_is_telling(async))
        return refuse_in_callback(async);
    if (async->kept == NULL)
        return lsi_fail(LS_ERR_STATE, "stream '%s': the producer keeps no outcomes: see outcomes_kept",
                        async->producer->name);
    until_us = lsi_async_until(lsi_monotonic_us(&async->env->clock), timeout_ms);
    for (;;) {
        uint64_t told;

        lsi_lock_hold(&async->lock, LSI_RANK_LOCAL);
        st = check_ticket(async, ticket);
        told = async->told;
        lsi_lock_release(&async->lock, LSI_RANK_LOCAL);
        if (st != LS_OK || look_up(async, ticket, out))
            return st;
        lsi_lock_hold(&async->lock, LSI_RANK_LOCAL);
        /* What was told since it was looked for may be it. */
        if (told == async->told && !lsi_async_wait_for_progress(async, until_us))
            st = lsi_fail(LS_ERR_TIMEOUT, "ticket %llu has no outcome yet", (unsigned long long)ticket);
        lsi_lock_release(&async->lock, LSI_RANK_LOCAL);
        if (st != LS_OK)
            return st;
    }
}

void lsi_async_cancel(lsi_async *async)
{
    lsi_lock_hold(&async->lock, LSI_RANK_LOCAL);
    async->cancel_until = async->issued;
    atomic_store_explicit(&async->is_cancelled, true, memory_order_relaxed);
    lsi_async_want(async);
    lsi_lock_release(&async->lock, LSI_RANK_LOCAL);
    lsi_async_wake(async);
}
