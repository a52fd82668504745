/* Subscriptions of a registered consumer: an iterator of its own, run on the caller's thread, whose batches go to a
 * callback; and the holds that make it the consumer's only one in each shard that it reads.
 *
 * A hold is begun when a shard is first looked at, and looked at again with every look (lsi_track_hold), so whoever
 * takes it over, or deregisters the consumer, only has to wake who sleeps. The shards that can be read at the
 * beginning are held before the first batch is pushed; a hold that cannot be had then means that nothing was pushed.
 *
 * A handle (lsi_subscriber) knows which of its subscriptions run, so that a cancel can wake them. The cancel is a flag
 * that stays: one that comes before its subscription has begun is not lost.
 *
 * Locks: subscriber->lock (LSI_RANK_LOCAL) guards the list; it is held for moments, and nothing is called under it. */
#include "consume/iterator.h"

#include <string.h>

#include "base/patience.h"
#include "base/status.h"

/* A subscription that runs: on the stack of its thread. */
typedef struct running {
    struct running *next;
    uint32_t shard; /* what is slept on */
    bool is_woken;
} running;

struct lsi_subscriber {
    lsi_engine_stream *stream;
    lsi_consumer consumer;
    lsi_lock lock;
    running *running;
    _Atomic bool is_cancelled;
};

/* ---- the handle ---- */

typedef struct finding {
    const char *name;
    lsi_consumer *out;
    bool found;
} finding;

static bool look_at(void *user, const lsi_consumer *consumer)
{
    finding *of = user;

    of->found = strcmp(consumer->name, of->name) == 0;
    if (of->found)
        *of->out = *consumer;
    return !of->found;
}

ls_status lsi_consumer_find(lsi_engine_stream *stream, const char *name, lsi_consumer *out)
{
    finding of = {name, out, false};
    ls_status st = stream->engine->ops->consumers(stream, look_at, &of);

    if (st == LS_OK && !of.found)
        st = lsi_fail(LS_ERR_NOT_FOUND, "no consumer '%s' is registered with the stream", name);
    return st;
}

ls_status lsi_subscriber_open(lsi_engine_stream *stream, const char *name, lsi_subscriber **out)
{
    const lsi_memory *memory = &stream->engine->env.memory;
    lsi_subscriber *subscriber = lsi_alloc_zero(memory, sizeof(*subscriber));
    ls_status st;
    int result;

    if (subscriber == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a consumer");
    subscriber->stream = stream;
    atomic_init(&subscriber->is_cancelled, false);
    result = lsi_lock_init(&subscriber->lock);
    st = result != 0 ? lsi_fail_errno(result, "cannot make a lock")
                     : lsi_consumer_find(stream, name, &subscriber->consumer);
    if (st != LS_OK) {
        lsi_free(memory, subscriber);
        return st;
    }
    *out = subscriber;
    return LS_OK;
}

ls_status lsi_subscriber_close(lsi_subscriber *subscriber)
{
    bool is_running;

    if (subscriber == NULL)
        return LS_OK;
    lsi_lock_hold(&subscriber->lock, LSI_RANK_LOCAL);
    is_running = subscriber->running != NULL;
    lsi_lock_release(&subscriber->lock, LSI_RANK_LOCAL);
    if (is_running)
        return lsi_fail(LS_ERR_STATE, "consumer '%s': a subscription of this handle is running",
                        subscriber->consumer.name);
    lsi_free(&subscriber->stream->engine->env.memory, subscriber);
    return LS_OK;
}

/* One that was not woken yet by the cancel; false: there is none. */
static bool take_unwoken(lsi_subscriber *subscriber, uint32_t *shard)
{
    running *at;

    lsi_lock_hold(&subscriber->lock, LSI_RANK_LOCAL);
    for (at = subscriber->running; at != NULL && at->is_woken; at = at->next)
        continue;
    if (at != NULL) {
        at->is_woken = true;
        *shard = at->shard;
    }
    lsi_lock_release(&subscriber->lock, LSI_RANK_LOCAL);
    return at != NULL;
}

const char *lsi_subscriber_name(const lsi_subscriber *subscriber)
{
    return subscriber->consumer.name;
}

void lsi_subscriber_cancel(lsi_subscriber *subscriber)
{
    uint32_t shard;

    /* Pairs with the load below. One that joins the list after this store sees it before it sleeps. */
    atomic_store_explicit(&subscriber->is_cancelled, true, memory_order_seq_cst);
    while (take_unwoken(subscriber, &shard))
        subscriber->stream->engine->ops->wake(subscriber->stream, shard);
}

bool lsi_subscriber_is_cancelled(const lsi_subscriber *subscriber)
{
    return atomic_load_explicit(&subscriber->is_cancelled, memory_order_seq_cst);
}

static void join(lsi_subscriber *subscriber, running *me)
{
    lsi_lock_hold(&subscriber->lock, LSI_RANK_LOCAL);
    me->next = subscriber->running;
    subscriber->running = me;
    lsi_lock_release(&subscriber->lock, LSI_RANK_LOCAL);
}

static void leave(lsi_subscriber *subscriber, running *me)
{
    running **at;

    lsi_lock_hold(&subscriber->lock, LSI_RANK_LOCAL);
    for (at = &subscriber->running; *at != me; at = &(*at)->next)
        continue;
    *at = me->next;
    lsi_lock_release(&subscriber->lock, LSI_RANK_LOCAL);
}

/* ---- holds ---- */

ls_status lsi_track_hold(lsi_iterator *iterator, lsi_track *track)
{
    const lsi_consumer *consumer = &iterator->subscriber->consumer;
    ls_status st;

    if (track->hold.budget != NULL)
        return iterator->ops->hold_check(iterator->stream, consumer, track->shard, &track->hold);
    st = iterator->ops->hold(iterator->stream, consumer, track->shard, iterator->is_limited, &track->hold);
    if (st == LS_ERR_THROTTLED || st == LS_ERR_STATE)
        lsi_count_refused_subscription(iterator);
    return st;
}

void lsi_subscription_forget(lsi_iterator *iterator)
{
    lsi_track *track = &iterator->tracks[0];

    if (track->hold.budget != NULL)
        iterator->ops->hold_end(iterator->stream, &track->hold);
    track->hold = (lsi_hold){0};
}

void lsi_count_cut(const lsi_iterator *iterator, const lsi_cut *cut)
{
    iterator->ops->count_cut(iterator->stream, iterator->subscriber != NULL ? &iterator->subscriber->consumer : NULL,
                             cut);
}

/* All shards that can be read now. */
static ls_status hold_all(lsi_iterator *iterator)
{
    ls_status st = iterator->is_merged ? lsi_merged_refresh(iterator) : LS_OK;

    for (uint32_t i = 0; i < iterator->track_count && st == LS_OK; i++)
        if (!iterator->tracks[i].is_finished && !iterator->tracks[i].is_waiting)
            st = lsi_track_hold(iterator, &iterator->tracks[i]);
    return st;
}

/* ---- running ---- */

static ls_status push(const lsi_subscription *what, const ls_batch *batch, bool *stop)
{
    ls_push_answer answer;

    (void)lsi_error_end(LS_OK);
    answer = what->callback(batch, what->user);
    lsi_error_begin();
    *stop = answer == LS_PUSH_STOP;
    if (answer == LS_PUSH_DONE || answer == LS_PUSH_STOP)
        return LS_OK;
    return lsi_fail(LS_ERR_INVALID_ARGUMENT, "the callback of a subscription answered %d: it is LS_PUSH_DONE or _STOP",
                    (int)answer);
}

static ls_status run(lsi_iterator *iterator, const lsi_subscription *what)
{
    int64_t timeout_ms = what->heartbeat_ms != 0 ? (int64_t)what->heartbeat_ms : -1;
    const ls_batch *batch = &iterator->batch;
    bool stop = false;
    ls_status st;

    iterator->batch = (ls_batch){.shard = iterator->wait_shard, .iterator = iterator};
    do {
        st = push(what, batch, &stop);
        if (st != LS_OK || stop || (batch->is_shard_end && !iterator->is_merged))
            return st;
        /* C2: who finds records does not look. */
        if (lsi_subscriber_is_cancelled(iterator->subscriber))
            return lsi_fail(LS_ERR_CANCELLED, "the subscription was cancelled");
        lsi_patience_begin(iterator->env); /* Hours may have passed. */
        st = lsi_iterator_next(iterator, what->records_max, what->bytes_max, timeout_ms, &batch);
    } while (st == LS_OK);
    return st;
}

static ls_status open_iterator(lsi_engine_stream *stream, const lsi_subscription *what, lsi_iterator **out)
{
    if (what->place != NULL)
        return lsi_iterator_open_place(stream, what->place, what->flags, out);
    return what->is_merged ? lsi_iterator_open_all(stream, what->position, what->flags, out)
                           : lsi_iterator_open(stream, what->shard, what->position, what->flags, out);
}

ls_status lsi_subscribe(lsi_subscriber *subscriber, const lsi_subscription *what)
{
    lsi_iterator *iterator;
    running me = {0};
    ls_status st = open_iterator(subscriber->stream, what, &iterator);

    if (st != LS_OK)
        return st;
    iterator->subscriber = subscriber;
    me.shard = iterator->wait_shard;
    join(subscriber, &me);
    st = lsi_subscriber_is_cancelled(subscriber) ? lsi_fail(LS_ERR_CANCELLED, "the subscription was cancelled")
                                                 : hold_all(iterator);
    if (st == LS_OK)
        st = run(iterator, what);
    leave(subscriber, &me);
    lsi_iterator_close(iterator);
    return st;
}
