/* One thread that keeps all runs of mappings and deliveries of an open store alive while they have nothing to do, so
 * that a thousand of them sleep: it renews their leases, which takes no system call, and looks for what was changed by
 * those who were killed before they woke anybody (`rouse`). Else each of them would wake for that again and again.
 *
 * It renews whatever has half its time behind it whenever it is awake, so that it need not wake for each.
 *
 * The thread begins with the first run and ends with the store: between runs it sleeps without being woken.
 *
 * It also knows which shards are worked on here: who has lost a lease in the middle of a handler goes on until that
 * returns, and another run of this store that has the lease by then waits for it (lsi_guard_occupy). */
#include "consume/consume.h"

#include "base/lock.h"
#include "base/status.h"
#include "base/thread.h"
#include "consume/lease/lease.h"

#define ROUSE_US INT64_C(500000) /* P1: what is late by a death is noticed within a second */

struct lsi_guard {
    lsi_engine *engine;
    lsi_lock lock; /* LSI_RANK_LOCAL; groups' locks are taken under it */
    lsi_guarded *first;
    lsi_occupied *occupied;
    lsi_thread thread;
    _Atomic uint32_t word; /* rises when there is something new for the thread */
    _Atomic bool is_ending;
};

/* When there is something to do again. */
static int64_t renew(lsi_guard *guard, int64_t now_us, bool *has_any)
{
    int64_t next_us = INT64_MAX;

    lsi_lock_hold(&guard->lock, LSI_RANK_LOCAL);
    *has_any = guard->first != NULL;
    for (lsi_guarded *at = guard->first; at != NULL; at = at->next) {
        int64_t pause_us;

        if (at->group == NULL)
            continue;
        pause_us = lsi_group_renew_us(at->group);
        if (at->due_us - now_us <= pause_us / 2) {
            lsi_group_renew(at->group);
            at->due_us = now_us + pause_us;
        }
        next_us = at->due_us < next_us ? at->due_us : next_us;
    }
    lsi_lock_release(&guard->lock, LSI_RANK_LOCAL);
    return next_us;
}

static void keep(void *user)
{
    lsi_guard *guard = user;
    const lsi_clock *clock = &guard->engine->env.clock;
    int64_t rouse_us = INT64_MIN;

    for (;;) {
        uint32_t seen = atomic_load_explicit(&guard->word, memory_order_acquire); /* Pairs with tell. */
        int64_t now_us = lsi_monotonic_us(clock), next_us;
        bool has_any;

        if (atomic_load_explicit(&guard->is_ending, memory_order_acquire))
            return;
        next_us = renew(guard, now_us, &has_any);
        if (has_any && now_us >= rouse_us) {
            guard->engine->ops->rouse(guard->engine);
            rouse_us = now_us + ROUSE_US;
        }
        if (has_any && rouse_us < next_us)
            next_us = rouse_us;
        now_us = lsi_monotonic_us(clock);
        if (next_us > now_us) /* However it ends. */
            (void)lsi_word_sleep(&guard->word, seen, next_us == INT64_MAX ? -1 : next_us - now_us);
    }
}

static void tell(lsi_guard *guard)
{
    atomic_fetch_add_explicit(&guard->word, 1, memory_order_release);
    lsi_word_wake_all(&guard->word);
}

ls_status lsi_guard_new(lsi_engine *engine, lsi_guard **out)
{
    lsi_guard *guard = lsi_alloc_zero(&engine->env.memory, sizeof(*guard));
    int result;

    if (guard == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a store");
    guard->engine = engine;
    result = lsi_lock_init(&guard->lock);
    if (result != 0) {
        lsi_free(&engine->env.memory, guard);
        return lsi_fail_errno(result, "cannot make a lock");
    }
    *out = guard;
    return LS_OK;
}

void lsi_guard_free(lsi_guard *guard, bool is_mine)
{
    if (guard == NULL)
        return;
    if (is_mine) {
        atomic_store_explicit(&guard->is_ending, true, memory_order_release);
        tell(guard);
        lsi_thread_join(&guard->thread);
    }
    lsi_free(&guard->engine->env.memory, guard);
}

ls_status lsi_guard_join(lsi_guard *guard, lsi_guarded *me)
{
    bool is_first;
    int result = 0;

    *me = (lsi_guarded){0};
    lsi_lock_hold(&guard->lock, LSI_RANK_LOCAL);
    if (!guard->thread.started)
        result = lsi_thread_start(&guard->thread, "ls-guard", keep, guard);
    is_first = guard->first == NULL;
    if (result == 0) {
        me->next = guard->first;
        guard->first = me;
    }
    lsi_lock_release(&guard->lock, LSI_RANK_LOCAL);
    if (result != 0)
        return lsi_fail_errno(result, "cannot start the thread that guards runs");
    if (is_first)
        tell(guard);
    return LS_OK;
}

void lsi_guard_leave(lsi_guard *guard, lsi_guarded *me)
{
    lsi_guarded **at = &guard->first;

    lsi_lock_hold(&guard->lock, LSI_RANK_LOCAL);
    while (*at != me)
        at = &(*at)->next;
    *at = me->next;
    lsi_lock_release(&guard->lock, LSI_RANK_LOCAL);
}

void lsi_guard_renews(lsi_guard *guard, lsi_guarded *me, lsi_group *group)
{
    lsi_lock_hold(&guard->lock, LSI_RANK_LOCAL);
    me->group = group;
    me->due_us = 0; /* at once: what was taken may be old already */
    lsi_lock_release(&guard->lock, LSI_RANK_LOCAL);
    if (group != NULL)
        tell(guard);
}

bool lsi_guard_occupy(lsi_guard *guard, lsi_occupied *me, uint64_t mapping, uint32_t shard)
{
    lsi_occupied *at;

    lsi_lock_hold(&guard->lock, LSI_RANK_LOCAL);
    for (at = guard->occupied; at != NULL && (at->mapping != mapping || at->shard != shard); at = at->next)
        continue;
    if (at != NULL) {
        at->is_wanted = true;
    } else {
        *me = (lsi_occupied){.next = guard->occupied, .mapping = mapping, .shard = shard, .is_held = true};
        guard->occupied = me;
    }
    lsi_lock_release(&guard->lock, LSI_RANK_LOCAL);
    return at == NULL;
}

bool lsi_guard_vacate(lsi_guard *guard, lsi_occupied *me)
{
    lsi_occupied **at = &guard->occupied;

    if (!me->is_held)
        return false;
    lsi_lock_hold(&guard->lock, LSI_RANK_LOCAL);
    while (*at != me)
        at = &(*at)->next;
    *at = me->next;
    me->is_held = false;
    lsi_lock_release(&guard->lock, LSI_RANK_LOCAL);
    return me->is_wanted;
}
