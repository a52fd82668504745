/* Syncing what puts left in the kernel: on demand, and in INTERVAL mode by a thread of each open store. The thread does
 * the upkeep as well where the store's options ask for that, in every mode.
 *
 * The slots say what is to be done, whoever wrote it, so what a killed process acknowledged is synced by those who live
 * on; when nobody does, by the first who opens the store. Where the slots were lost with the control file, every shard
 * is looked at once. Who syncs a shard is elected by its sync lock, so several sweepers cost little more than one.
 *
 * The thread looks every half interval: what is put just after a look is met by the next one, and half an interval is
 * left for the shards that come before it. */
#include <string.h>

#include "base/patience.h"
#include "base/status.h"
#include "engine/local/local.h"

#define UPKEEP_US INT64_C(1000000)

typedef struct dirty_shard {
    uint64_t stream;
    uint32_t shard;
} dirty_shard;

typedef struct dirty_list {
    const lsi_memory *memory;
    dirty_shard *shards;
    size_t capacity, count;
    bool failed_ones; /* also those whose sync failed once: they answer with their error */
    bool no_memory;
} dirty_list;

static bool dirty_note(void *user, lsi_slot *slot)
{
    dirty_list *list = user;

    if (atomic_load_explicit(&slot->kind, memory_order_acquire) != LSI_SLOT_SHARD ||
        atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FRESH)
        return true;
    if (!list->failed_ones && atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FAILED)
        return true;
    /* durable_end first: both only rise, so equal means that all was synced that was committed at the first load. */
    uint64_t durable = lsi_slot_kept_end(slot);
    if (atomic_load_explicit(&slot->committed_end, memory_order_acquire) <= durable)
        return true;
    if (!lsi_grow(list->memory, (void **)&list->shards, &list->capacity, list->count + 1, sizeof(*list->shards))) {
        list->no_memory = true;
        return false;
    }
    dirty_shard dirty = {.stream = atomic_load_explicit(&slot->stream, memory_order_relaxed), .shard = slot->shard};
    if (lsi_slot_is(slot, LSI_SLOT_SHARD, dirty.stream, dirty.shard)) /* Else it has gone, and is another's. */
        list->shards[list->count++] = dirty;
    return true;
}

static ls_status sync_one(lsi_local *local, const dirty_shard *dirty)
{
    lsi_local_stream *stream;
    lsi_log *log;
    ls_status st = lsi_local_stream_use(local, dirty->stream, &stream);

    if (st != LS_OK)
        return st;
    st = lsi_local_any_log(stream, dirty->shard, &log);
    if (st == LS_OK)
        st = lsi_local_stream_explain(stream, dirty->shard, lsi_log_sync(log));
    lsi_local_stream_close(&stream->base);
    return st;
}

static bool is_stopping(lsi_local *local)
{
    /* Acquire pairs with the release of lsi_local_sweeper_stop. */
    return atomic_load_explicit(&local->sweeper_stop, memory_order_acquire) != 0;
}

/* Whether a slot knows what of a shard is synced: it was recovered since the control file was made. */
static bool is_known(lsi_local *local, uint64_t stream, uint32_t shard)
{
    lsi_slot *slot;

    return lsi_control_slot_find(local->control, LSI_SLOT_SHARD, stream, shard, &slot) == LS_OK && slot != NULL &&
        atomic_load_explicit(&slot->health, memory_order_acquire) != LSI_SHARD_FRESH;
}

/* Whether the manifest still names it. One that was deleted meanwhile leaves nothing to sync, and its files may look
 * like damage while they go. */
static bool is_named(lsi_local *local, uint64_t stream, const lsi_shard *shard)
{
    const lsi_catalog_stream *found;
    lsi_catalog *catalog;
    bool is = false;

    if (lsi_local_catalog(local, &catalog) != LS_OK)
        return true;
    found = lsi_catalog_find_id(catalog, stream);
    if (found != NULL && found->status != LS_STREAM_DELETING) {
        is = shard == NULL;
        for (uint32_t i = 0; i < found->shard_count && !is; i++)
            is = found->shards[i].index == shard->index;
    }
    lsi_catalog_unref(catalog);
    return is;
}

ls_status lsi_local_sync_catalog(lsi_local *local, const lsi_catalog *catalog, bool known_too, bool sweeping)
{
    lsi_error_state why, of_one;
    ls_status st = LS_OK;

    lsi_error_save(&why);
    for (uint32_t i = 0; i < catalog->stream_count; i++) {
        const lsi_catalog_stream *stream = &catalog->streams[i];

        for (uint32_t k = 0; stream->status != LS_STREAM_DELETING && k < stream->shard_count + stream->has_state; k++) {
            const lsi_shard *shard = k < stream->shard_count ? &stream->shards[k] : NULL; /* NULL: the state */
            lsi_log_config config;
            lsi_log *log;
            ls_status one, closed;

            if (sweeping && is_stopping(local))
                return LS_ERR_STATE; /* Not all were looked at. */
            if (shard != NULL && shard->closed)
                continue; /* It was synced before it was closed. */
            if (!known_too && is_known(local, stream->id, shard != NULL ? shard->index : LSI_STATE_SHARD))
                continue;
            if (shard != NULL)
                lsi_local_log_config_of(local, stream, shard, &config);
            else
                lsi_local_state_config_of(local, stream, &config);
            one = lsi_log_open(&config, &log);
            if (one == LS_OK) {
                one = lsi_log_sync(log);
                closed = lsi_log_close(log);
                one = one == LS_OK ? closed : one;
            }
            if (one == LS_OK || one == LS_ERR_NOT_FOUND) /* deleted: nothing of it is left to sync */
                continue;
            if (st != LS_OK && (st != LS_ERR_CORRUPT || one == LS_ERR_CORRUPT))
                continue;
            lsi_error_save(&of_one);
            if (!is_named(local, stream->id, shard))
                continue;
            lsi_error_restore(&of_one);
            st = one;
            lsi_error_save(&why);
        }
    }
    lsi_error_restore(&why);
    return st;
}

/* Nobody knows what earlier processes left unsynced: their slots are gone. */
static ls_status sync_unknown(lsi_local *local, bool sweeping)
{
    lsi_error_state before;
    lsi_catalog *catalog;
    ls_status st;

    lsi_error_save(&before);
    st = lsi_local_catalog(local, &catalog);
    if (st != LS_OK)
        return st;
    st = lsi_local_sync_catalog(local, catalog, false, sweeping);
    lsi_catalog_unref(catalog);
    if (st == LS_ERR_CORRUPT) { /* Who reads or puts there is told; it cannot be synced the next time either. */
        lsi_error_restore(&before);
        st = LS_OK;
    }
    if (st == LS_OK)
        lsi_control_is_sure(local->control);
    return st;
}

static ls_status sync_all(lsi_local *local, bool sweeping)
{
    dirty_list list = {.memory = &local->base.env.memory, .failed_ones = !sweeping};
    lsi_error_state before, why;
    ls_status st = LS_OK;

    lsi_control_each(local->control, dirty_note, &list);
    lsi_error_save(&before);
    if (list.no_memory)
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for a list of %zu shards", list.count);
    lsi_error_save(&why);
    for (size_t i = 0; i < list.count && !(sweeping && is_stopping(local)); i++) {
        ls_status one = sync_one(local, &list.shards[i]);

        if (one == LS_OK || one == LS_ERR_NOT_FOUND || st != LS_OK)
            continue; /* deleted: nothing of it is left to sync */
        st = one;
        lsi_error_save(&why);
    }
    lsi_error_restore(st == LS_OK ? &before : &why);
    lsi_free(list.memory, list.shards);
    return st;
}

ls_status lsi_local_sync(lsi_engine *engine)
{
    lsi_local *local = lsi_local_of(engine);
    ls_status st = lsi_local_check_writable(local), first = LS_OK;
    lsi_error_state why;

    if (st != LS_OK)
        return st;
    if (lsi_control_is_unsure(local->control))
        lsi_error_note_first(sync_unknown(local, false), &first, &why);
    lsi_error_note_first(sync_all(local, false), &first, &why); /* Whatever became of those. */
    if (first != LS_OK)
        lsi_error_restore(&why);
    return first;
}

/* ---- the thread ---- */

static int stops_waiting(void *user)
{
    return is_stopping(user);
}

static void sweep(void *user)
{
    lsi_local *local = user;
    const lsi_clock *clock = &local->base.env.clock;
    bool syncs = local->durability == LS_DURABILITY_INTERVAL;
    int64_t pause_us = syncs ? (int64_t)local->sync_interval_ms * 500 : UPKEEP_US, upkeep_us = INT64_MIN;
    uint32_t patience_ms;

    if (local->keeps_up && pause_us > UPKEEP_US)
        pause_us = UPKEEP_US;
    patience_ms = (uint32_t)(pause_us / 1000);
    if (patience_ms > local->base.env.busy_timeout_ms)
        patience_ms = local->base.env.busy_timeout_ms;
    while (!is_stopping(local)) {
        /* Who is stopped in one shard must not make the others late, nor who closes the store. */
        lsi_patience_begin_own(patience_ms, stops_waiting, local);
        if (syncs && lsi_control_is_unsure(local->control))
            (void)sync_unknown(local, true);
        if (syncs)
            (void)sync_all(local, true); /* A failed sync has marked its shard; all else is tried again. */
        if (local->keeps_up && lsi_monotonic_us(clock) >= upkeep_us) {
            lsi_local_upkeep_of_thread(local);
            upkeep_us = lsi_monotonic_us(clock) + UPKEEP_US;
        }
        (void)lsi_word_sleep(&local->sweeper_stop, 0, pause_us);
    }
}

ls_status lsi_local_sweeper_start(lsi_local *local)
{
    int result = lsi_thread_start(&local->sweeper, "ls-sweep", sweep, local);

    return result == 0 ? LS_OK : lsi_fail_errno(result, "cannot start the thread of the store");
}

void lsi_local_sweeper_stop(lsi_local *local)
{
    atomic_store_explicit(&local->sweeper_stop, 1, memory_order_release);
    lsi_word_wake_all(&local->sweeper_stop);
    /* It ends after the shard it is at, and has no more patience than the call that closes the store. */
    int64_t from_us = lsi_monotonic_us(&lsi_clock_system);
    lsi_thread_join(&local->sweeper);
    lsi_patience_spend(lsi_monotonic_us(&lsi_clock_system) - from_us);
}
