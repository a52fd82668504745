/* The thread: turn after turn it takes what was put, sorts it into lanes, drops what was given up, sends one batch of
 * what is due, and gives the memory back. Between turns it sleeps until a lane is due, or until a put, a flush, a
 * cancel or a close wants it.
 *
 * One batch a turn: what is put while it is synced is taken before the next one, and goes with it. */
#include "produce/async/async.h"

#include "base/patience.h"
#include "base/status.h"

/* What the others want, as of the beginning of a turn. */
typedef struct wishes {
    uint64_t flush_until, cancel_until;
    bool is_closing;
} wishes;

static wishes wishes_of(const lsi_async *async)
{
    return (wishes){async->flush_until, async->cancel_until, async->is_closing};
}

static bool are_equal(const wishes *a, const wishes *b)
{
    return a->flush_until == b->flush_until && a->cancel_until == b->cancel_until && a->is_closing == b->is_closing;
}

/* The inbox becomes arrivals. */
static wishes take(lsi_async *async)
{
    wishes now;

    lsi_lock_hold(&async->lock, LSI_RANK_LOCAL);
    async->asleep_until_us = 0;
    now = wishes_of(async);
    atomic_store_explicit(&async->is_cancelled, false, memory_order_relaxed);
    if (async->inbox.first != NULL) {
        if (async->arrivals.first == NULL)
            async->arrivals.first = async->inbox.first;
        else
            async->arrivals.last->next = async->inbox.first;
        async->arrivals.last = async->inbox.last;
        lsi_async_count(async, LSI_ASYNC_RECORDS, async->inbox_records);
        async->arrival_count += async->inbox_records;
        async->arrival_bytes += async->inbox_bytes;
        async->inbox = (lsi_async_list){NULL, NULL};
        async->inbox_records = 0;
        async->inbox_bytes = 0;
    }
    async->taken = async->issued;
    lsi_lock_release(&async->lock, LSI_RANK_LOCAL);
    async->send_until = now.is_closing ? UINT64_MAX : now.flush_until;
    return now;
}

/* When the inbox is to be taken, if nobody comes. Locks: async->lock held. */
static int64_t inbox_due(const lsi_async *async)
{
    if (async->inbox.first == NULL)
        return INT64_MAX;
    if (async->inbox_records >= async->wake_records || async->inbox_bytes >= async->wake_bytes)
        return 0;
    return async->inbox.first->put_us + async->settings.linger_us;
}

/* Gives back and tells the others; then when the next turn is due. */
static int64_t end(lsi_async *async, const wishes *seen, int64_t due_us, uint32_t wake_records, uint64_t wake_bytes)
{
    uint64_t oldest = lsi_async_lanes_oldest(async);
    bool is_progress = async->told_in_turn > 0;
    wishes now;
    int64_t inbox_us;

    lsi_lock_hold(&async->lock, LSI_RANK_LOCAL);
    lsi_async_room_give_back(&async->room, async->told_chunks);
    async->told += async->told_in_turn;
    async->settled_below = oldest;
    async->wake_records = wake_records;
    async->wake_bytes = wake_bytes;
    now = wishes_of(async);
    inbox_us = are_equal(seen, &now) ? inbox_due(async) : 0;
    due_us = inbox_us < due_us ? inbox_us : due_us;
    if (due_us == INT64_MAX)
        lsi_async_room_shrink(&async->room);
    async->asleep_until_us = due_us;
    async->wanted_seen = atomic_load_explicit(&async->wanted, memory_order_relaxed); /* advanced under the lock */
    is_progress = is_progress && async->waiting > 0;
    if (is_progress)
        atomic_fetch_add_explicit(&async->progress, 1, memory_order_release); /* Pairs with lsi_word_sleep. */
    lsi_lock_release(&async->lock, LSI_RANK_LOCAL);
    if (is_progress)
        lsi_word_wake_all(&async->progress);
    async->told_chunks = NULL;
    async->told_in_turn = 0;
    return due_us;
}

/* An ls_wait_callback. */
static int waits_no_longer(void *user)
{
    const lsi_async *async = user;

    if (atomic_load_explicit(&async->is_cancelled, memory_order_relaxed))
        return 1;
    return async->env->wait != NULL ? async->env->wait(async->env->wait_user) : 0;
}

int64_t lsi_async_turn(lsi_async *async)
{
    int64_t now_us = lsi_monotonic_us(&async->env->clock);
    uint64_t wake_bytes;
    uint32_t wake_records;
    int64_t due_us;
    wishes seen;

    /* Before anything is changed, and until nothing is any more: for lsi_async_abandon. */
    atomic_store_explicit(&async->is_at_work, true, memory_order_seq_cst);
    seen = take(async);
    lsi_patience_begin_own(async->env->busy_timeout_ms, waits_no_longer, async);
    lsi_async_lanes_sort(async, now_us);
    lsi_async_lanes_drop(async, seen.cancel_until, now_us);
    (void)lsi_async_send(async, now_us);
    lsi_async_tell(async);
    lsi_async_counts_add(async); /* before who waits for outcomes is woken */
    due_us = lsi_async_lanes_due(async, &wake_records, &wake_bytes);
    due_us = end(async, &seen, due_us, wake_records, wake_bytes);
    atomic_store_explicit(&async->is_at_work, false, memory_order_release);
    return due_us;
}

/* Nothing is left that could be told, and nobody can put. */
static bool is_over(lsi_async *async)
{
    bool is_over;

    lsi_lock_hold(&async->lock, LSI_RANK_LOCAL);
    is_over = async->is_ending && async->settled_below > async->issued;
    lsi_lock_release(&async->lock, LSI_RANK_LOCAL);
    return is_over;
}

void lsi_async_run(void *user)
{
    lsi_async *async = user;

    for (;;) {
        int64_t due_us = lsi_async_turn(async);
        int64_t now_us = lsi_monotonic_us(&async->env->clock);

        if (is_over(async))
            return;
        if (due_us > now_us)
            (void)lsi_word_sleep(&async->wanted, async->wanted_seen,
                                 due_us == INT64_MAX ? -1 : due_us - now_us); /* Any end: look again. */
    }
}
