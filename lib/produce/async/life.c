/* The life of an asynchronous producer: made with all it needs for small batches, so that later only large ones can
 * meet a lack of memory; and closed when the last record was told. */
#include "produce/async/async.h"

#include <errno.h>

#include "base/status.h"

/* All of it but the thread. */
static void release(lsi_async *async, bool with_what_the_thread_uses)
{
    const lsi_memory *memory = &async->env->memory;

    lsi_async_room_close(&async->room);
    lsi_free(memory, async->kept);
    if (with_what_the_thread_uses) {
        lsi_async_gather_close(async);
        lsi_producer_close(async->producer);
        lsi_free(memory, async->lanes);
    }
    lsi_free(memory, async);
}

/* Numbers are tickets, of an id that the caller has or that nobody else has. */
static ls_status begin_numbers(lsi_async *async)
{
    const lsi_env *env = async->env;

    if (!async->settings.is_idempotent)
        return LS_OK;
    if (async->producer->ops->append_numbered == NULL)
        return lsi_fail(LS_ERR_UNSUPPORTED, "this store's engine has no numbered puts");
    async->numbered = (ls_put_options)LS_PUT_OPTIONS_INIT;
    async->numbered.producer = async->settings.producer;
    if (async->numbered.producer.high == 0 && async->numbered.producer.low == 0) {
        env->random(env->random_user, &async->numbered.producer, sizeof(async->numbered.producer));
        async->numbered.producer.low |= 1; /* not zero */
    }
    return LS_OK;
}

ls_status lsi_async_open(lsi_engine_stream *stream, const lsi_async_settings *settings, lsi_async **out)
{
    const lsi_env *env = &stream->engine->env;
    lsi_async *async = lsi_alloc_zero(&env->memory, sizeof(*async));
    ls_status st;
    int err;

    if (async == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for an asynchronous producer");
    async->env = env;
    async->settings = *settings;
    async->issued = async->told = async->taken = settings->first_ticket - 1;
    async->settled_below = settings->first_ticket;
    st = lsi_producer_open(stream, &async->producer);
    if (st == LS_OK)
        st = begin_numbers(async);
    if (st == LS_OK)
        st = lsi_route_refresh(async->producer);
    if (st == LS_OK)
        st = lsi_async_room_open(&async->room, &env->memory, settings->buffered_bytes_max);
    if (st == LS_OK)
        st = lsi_async_outcomes_open(async);
    if (st != LS_OK)
        goto fail;
    lsi_async_counts_open(async);
    atomic_store_explicit(&async->record_bytes_max, async->producer->record_bytes_max, memory_order_relaxed);
    err = lsi_async_gather_open(async) ? lsi_lock_init(&async->lock) : -ENOMEM;
    if (err == 0)
        err = lsi_lock_init(&async->kept_lock);
    if (err == 0) /* Last: it finds everything in place. */
        err = lsi_thread_start(&async->thread, "ls-async", lsi_async_run, async);
    if (err != 0) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory or no thread for an asynchronous producer (error %d)",
                      async->producer->name, -err);
        goto fail;
    }
    *out = async;
    return LS_OK;
fail:
    release(async, true);
    return st;
}

ls_status lsi_async_close(lsi_async *async, int64_t timeout_ms)
{
    ls_status st;

    if (lsi_async_is_telling(async))
        return lsi_fail(LS_ERR_STATE, "stream '%s': a callback cannot close its own producer", async->producer->name);
    lsi_lock_hold(&async->lock, LSI_RANK_LOCAL);
    async->is_closing = true;
    lsi_async_want(async);
    lsi_lock_release(&async->lock, LSI_RANK_LOCAL);
    lsi_async_wake(async);
    st = lsi_async_flush(async, timeout_ms, NULL);
    if (st != LS_OK)
        lsi_async_cancel(async);
    lsi_lock_hold(&async->lock, LSI_RANK_LOCAL);
    async->is_ending = true;
    lsi_async_want(async);
    lsi_lock_release(&async->lock, LSI_RANK_LOCAL);
    lsi_async_wake(async);
    lsi_thread_join(&async->thread);
    release(async, true);
    return st;
}

void lsi_async_abandon(lsi_async *async)
{
    /* What the thread was in the middle of when the child was born is in no state to be freed. */
    release(async, !atomic_load_explicit(&async->is_at_work, memory_order_relaxed));
}
