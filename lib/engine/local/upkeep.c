/* Upkeep without a daemon: whoever opens the store, puts or reads does a piece of what is due (trimming.c, and for
 * streams that scale by themselves autoscale.c), and ls_store_maintain, or a thread of the store, does all of it.
 *
 * What killed creators and deleters left is looked for once a minute, and by whoever opens the store and is alone; a
 * piece of it is removed at a time.
 *
 * One at a time does the upkeep of a stream, and nobody waits for him but who came for that. When it is due stands in
 * the stream's slot: a second after the last look, or at once after a roll. Who opens the store looks at a few streams,
 * in turn, so that those that nobody uses get theirs too. */
#include "base/patience.h"
#include "base/status.h"
#include "engine/local/local.h"

#define LOOK_US INT64_C(1000000) /* between two looks, of passing time */
#define LEFT_US INT64_C(5000)    /* when something is left */
#define PIECE_US INT64_C(10000)
#define PIECE_STREAMS 4u         /* of an open */
#define STRAYS_US INT64_C(60000000) /* between two looks for what killed processes left */
#define AGAIN_US INT64_C(1000)   /* who does all of it: somebody else is at it, or holds a lock; at first, */
#define AGAIN_US_MAX INT64_C(32000) /* and in the end */

/* A clock that a user sets may have gone back: then what is due in the far future is due. */
static bool is_over(int64_t due_us, int64_t passing_us, int64_t pause_us)
{
    return passing_us >= due_us || due_us - passing_us > pause_us;
}

static bool is_due(const lsi_slot *slot, int64_t passing_us)
{
    return atomic_load_explicit(&slot->upkeep_wanted, memory_order_relaxed) != 0 ||
        is_over(atomic_load_explicit(&slot->upkeep_due_us, memory_order_relaxed), passing_us, LOOK_US);
}

/* ---- a stream ---- */

/* What a dead one left half done shows in the lists; only the words in the slots may be of another list. */
static bool forget_words(void *user, lsi_slot *slot)
{
    const lsi_local_stream *stream = user;

    if (atomic_load_explicit(&slot->kind, memory_order_acquire) == LSI_SLOT_SHARD &&
        atomic_load_explicit(&slot->stream, memory_order_relaxed) == stream->id)
        atomic_store_explicit(&slot->sealed_bytes, 0, memory_order_relaxed);
    return true;
}

static bool take_lock(lsi_local_stream *stream)
{
    lsi_lock *lock = &stream->slot->append_lock;
    lsi_lock_result got = lsi_lock_try(lock, LSI_RANK_UPKEEP);

    if (got == LSI_LOCKED_AFTER_DEATH) {
        lsi_control_each(lsi_local_of_stream(&stream->base)->control, forget_words, stream);
        lsi_lock_repaired(lock);
    }
    return got == LSI_LOCKED || got == LSI_LOCKED_AFTER_DEATH;
}

/* Does the upkeep of a stream, or a piece of it, unless somebody else is at it: then all of it is left. `has_time`:
 * also what would hold up who came for something else. */
static ls_status keep(lsi_local_stream *stream, bool is_all, bool has_time, int64_t until_us, bool *is_left)
{
    const lsi_clock *clock = &stream->base.engine->env.clock;
    lsi_slot *slot = stream->slot;
    ls_status st;

    *is_left = true;
    if (!take_lock(stream))
        return LS_OK;
    /* Before the look: what is rolled while we look is looked at once more. */
    atomic_store_explicit(&slot->upkeep_wanted, 0, memory_order_relaxed);
    st = lsi_local_trim_stream(stream, is_all, until_us, is_left);
    if (st == LS_OK && has_time) {
        bool more;

        st = lsi_local_recompress_if_asked(stream, is_all, is_all ? until_us : INT64_MAX, &more);
        *is_left = *is_left || more;
    }
    lsi_local_auto_scale(stream);
    atomic_store_explicit(&slot->upkeep_due_us, lsi_passing_us(clock) + (*is_left && st == LS_OK ? LEFT_US : LOOK_US),
                          memory_order_relaxed);
    lsi_lock_release(&slot->append_lock, LSI_RANK_UPKEEP);
    return st;
}

/* A piece, by one who came for something else: that it fails is not his failure. */
static void keep_aside(lsi_local_stream *stream, bool has_time)
{
    const lsi_env *env = &stream->base.engine->env;
    lsi_error_state before;
    bool is_left;

    lsi_error_save(&before);
    if (keep(stream, false, has_time, lsi_monotonic_us(&env->clock) + PIECE_US, &is_left) != LS_OK)
        lsi_env_log(env, LS_LOG_WARNING, "stream '%s': upkeep failed: %s", stream->name, ls_last_error_message());
    lsi_error_restore(&before);
}

/* Who came for something else does not wait for one who stopped with the store's lock. */
static bool store_lock_is_free(lsi_local *local)
{
    if (!lsi_control_try_lock(local->control))
        return false;
    lsi_control_unlock(local->control);
    return true;
}

/* ---- what killed processes left ---- */

static void clear_some(lsi_local *local, bool at_once)
{
    lsi_upkeep_words *words = lsi_control_upkeep_words(local->control);
    const lsi_env *env = &local->base.env;
    int64_t now_us = lsi_passing_us(&env->clock);
    int64_t due_us = atomic_load_explicit(&words->strays_due_us, memory_order_relaxed);
    uint64_t id = atomic_load_explicit(&words->strays_stream, memory_order_relaxed);
    lsi_error_state before;
    ls_status st;

    if (!at_once && !is_over(due_us, now_us, STRAYS_US))
        return;
    if (!store_lock_is_free(local))
        return;
    if (!atomic_compare_exchange_strong_explicit(&words->strays_due_us, &due_us, now_us + STRAYS_US,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    lsi_error_save(&before);
    st = lsi_local_clear_strays(local, &id, PIECE_STREAMS, lsi_monotonic_us(&env->clock) + PIECE_US);
    if (st != LS_OK && st != LS_ERR_TIMEOUT)
        lsi_env_log(env, LS_LOG_WARNING, "upkeep failed: %s", ls_last_error_message());
    atomic_store_explicit(&words->strays_stream, id, memory_order_relaxed);
    if (st == LS_ERR_TIMEOUT || (st == LS_OK && id != 0)) /* Something is left. */
        atomic_store_explicit(&words->strays_due_us, now_us + LOOK_US, memory_order_relaxed);
    lsi_error_restore(&before);
}

bool lsi_local_upkeep_is_due(const lsi_local_stream *stream, int64_t passing_us)
{
    return is_due(stream->slot, passing_us);
}

void lsi_local_upkeep_turn(lsi_local_stream *stream)
{
    lsi_local *local = lsi_local_of_stream(&stream->base);

    if (local->base.read_only || !lsi_control_is_mine(local->control) ||
        !is_due(stream->slot, lsi_passing_us(&local->base.env.clock)))
        return;
    keep_aside(stream, false);
    clear_some(local, false);
}

/* ---- several streams ---- */

/* The stream with the next id above `*id`; `*slot` NULL when it has none. False: there is none. */
static bool next_stream(lsi_local *local, const lsi_catalog *catalog, uint64_t *id, lsi_slot **slot)
{
    const lsi_catalog_stream *next = lsi_catalog_after_id(catalog, *id);

    if (next == NULL)
        return false;
    *id = next->id;
    if (lsi_control_slot_find(local->control, LSI_SLOT_STREAM, *id, 0, slot) != LS_OK)
        *slot = NULL;
    return true;
}

/* The first PIECE_STREAMS that are due, beginning behind the one that was looked at last. */
static void keep_some(lsi_local *local, const lsi_catalog *catalog, lsi_upkeep_words *words)
{
    uint64_t id = atomic_load_explicit(&words->stream, memory_order_relaxed);
    int64_t now_us = lsi_passing_us(&local->base.env.clock);
    uint32_t left = PIECE_STREAMS;
    lsi_slot *slot;

    for (uint32_t i = 0; i < catalog->stream_count && left > 0; i++) {
        lsi_local_stream *stream;

        if (!next_stream(local, catalog, &id, &slot)) {
            id = 0;
            if (!next_stream(local, catalog, &id, &slot))
                return;
        }
        if (slot != NULL && !is_due(slot, now_us))
            continue;
        left--;
        if (lsi_local_stream_use(local, id, &stream) == LS_OK) {
            keep_aside(stream, false);
            lsi_local_stream_close(&stream->base);
        }
    }
    atomic_store_explicit(&words->stream, id, memory_order_relaxed);
}

void lsi_local_upkeep_of_open(lsi_local *local, bool is_alone)
{
    lsi_upkeep_words *words = lsi_control_upkeep_words(local->control);
    int64_t now_us = lsi_passing_us(&local->base.env.clock);
    int64_t due_us = atomic_load_explicit(&words->due_us, memory_order_relaxed);
    lsi_error_state before;
    lsi_catalog *catalog;

    lsi_local_look_at_clock(local);
    if (lsi_control_manifest_generation(local->control) % 2 != 0)
        return; /* Opening need not wait for who is changing it, or settle what he left. */
    clear_some(local, is_alone);
    if (!is_over(due_us, now_us, LOOK_US) || !store_lock_is_free(local) ||
        !atomic_compare_exchange_strong_explicit(&words->due_us, &due_us, now_us + LOOK_US, memory_order_relaxed,
                                                 memory_order_relaxed))
        return;
    lsi_error_save(&before);
    if (lsi_local_catalog(local, &catalog) == LS_OK) {
        keep_some(local, catalog, words);
        lsi_catalog_unref(catalog);
    }
    lsi_error_restore(&before);
}

void lsi_local_upkeep_of_thread(lsi_local *local)
{
    lsi_catalog *catalog;
    uint64_t id = 0;
    lsi_slot *slot;

    lsi_local_look_at_clock(local);
    clear_some(local, false);
    if (lsi_local_catalog(local, &catalog) != LS_OK)
        return; /* The next round finds out more. */
    while (next_stream(local, catalog, &id, &slot)) {
        lsi_local_stream *stream;

        if ((slot != NULL && !is_due(slot, lsi_passing_us(&local->base.env.clock))) ||
            lsi_local_stream_use(local, id, &stream) != LS_OK)
            continue;
        keep_aside(stream, true);
        lsi_local_stream_close(&stream->base);
    }
    lsi_catalog_unref(catalog);
}

/* What somebody who does all of it waits for others. */
typedef struct waiting {
    int64_t pause_us;
    int64_t since_us;    /* of the last pause's end; 0: there was none */
    int64_t patience_us; /* that was left then */
} waiting;

/* Something is left that somebody else holds: sleeps for a while, out of the call's patience (P2). So is what was tried
 * once more since the last pause, and was of no use: on a slow disk that takes longer than all pauses. */
static ls_status wait_for_others(const lsi_local_stream *stream, waiting *of)
{
    uint32_t timeout_ms = stream->base.engine->env.busy_timeout_ms;
    int64_t from_us = lsi_monotonic_us(&lsi_clock_system), left_us;
    _Atomic uint32_t never = 0;

    if (of->since_us != 0) /* But for what its waits at locks have taken already. */
        lsi_patience_spend(from_us - of->since_us - (of->patience_us - lsi_patience_us(timeout_ms)));
    left_us = lsi_patience_us(timeout_ms);
    if (left_us <= 0)
        return lsi_fail(LS_ERR_BUSY, "stream '%s': another process is at its upkeep or holds a lock, and the call has "
                        "waited %s", stream->name, lsi_patience_waited(timeout_ms));
    (void)lsi_word_sleep(&never, 0, of->pause_us < left_us ? of->pause_us : left_us); /* However it ends. */
    of->since_us = lsi_monotonic_us(&lsi_clock_system);
    lsi_patience_spend(of->since_us - from_us);
    of->patience_us = lsi_patience_us(timeout_ms);
    of->pause_us = of->pause_us < AGAIN_US_MAX ? of->pause_us * 2 : AGAIN_US_MAX;
    return LS_OK;
}

/* All of one stream: again and again, while something is left that somebody else holds. */
static ls_status keep_all(lsi_local *local, uint64_t id, int64_t until_us, bool *is_left)
{
    const lsi_clock *clock = &local->base.env.clock;
    waiting others = {.pause_us = AGAIN_US};
    lsi_local_stream *stream;
    ls_status st = lsi_local_stream_use(local, id, &stream);

    *is_left = false;
    if (st != LS_OK)
        return st == LS_ERR_NOT_FOUND ? LS_OK : st; /* It was deleted. */
    do {
        st = keep(stream, true, true, until_us, is_left);
        if (st != LS_OK || !*is_left || lsi_monotonic_us(clock) >= until_us)
            break;
        st = wait_for_others(stream, &others);
    } while (st == LS_OK);
    lsi_local_stream_close(&stream->base);
    return st;
}

ls_status lsi_local_upkeep_all(lsi_local *local, int64_t until_us)
{
    lsi_error_state before, why;
    uint64_t id = 0;
    uint32_t left_count = 0;
    lsi_catalog *catalog;
    lsi_slot *slot;
    ls_status st = lsi_local_catalog(local, &catalog), first = LS_OK;

    if (st != LS_OK)
        return st;
    lsi_error_save(&before);
    lsi_local_look_at_clock(local);
    lsi_local_give_up_idle(local);
    while (next_stream(local, catalog, &id, &slot)) {
        bool is_left;

        st = keep_all(local, id, until_us, &is_left);
        left_count += is_left;
        if (st != LS_OK && first == LS_OK) {
            first = st;
            lsi_error_save(&why);
        }
    }
    lsi_catalog_unref(catalog);
    lsi_error_restore(first == LS_OK ? &before : &why);
    if (first == LS_OK && left_count > 0)
        first = lsi_fail(LS_ERR_TIMEOUT, "the time is over, and upkeep of %u streams is not done", left_count);
    return first;
}

ls_status lsi_local_recompress(lsi_engine_stream *base, int64_t timeout_ms, uint64_t *saved_bytes)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    const lsi_clock *clock = &base->engine->env.clock;
    int64_t now_us = lsi_monotonic_us(clock), until_us = INT64_MAX;
    ls_status st = lsi_local_check_writable(lsi_local_of_stream(base));
    waiting others = {.pause_us = AGAIN_US};
    uint64_t saved;
    bool is_left = true;

    *saved_bytes = 0;
    if (timeout_ms >= 0 && timeout_ms < (INT64_MAX - now_us) / 1000)
        until_us = now_us + timeout_ms * 1000;
    if (st == LS_OK)
        st = lsi_local_stream_check_usable(stream);
    while (st == LS_OK && is_left) {
        if (take_lock(stream)) {
            st = lsi_local_recompress_stream(stream, UINT32_MAX, until_us, &saved, &is_left);
            lsi_lock_release(&stream->slot->append_lock, LSI_RANK_UPKEEP);
            *saved_bytes += saved;
        }
        if (st == LS_OK && is_left && lsi_monotonic_us(clock) >= until_us)
            return lsi_fail(LS_ERR_TIMEOUT, "stream '%s': the time is over, and some segments are not looked at",
                            stream->name);
        if (st == LS_OK && is_left)
            st = wait_for_others(stream, &others);
        if (st == LS_OK)
            st = lsi_local_stream_check(stream);
    }
    return st;
}
