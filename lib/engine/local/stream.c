/* Streams that this process uses: finding them, their logs, what they look like.
 *
 * One object serves all handles of a stream, so that its producers and iterators share descriptors and buffers. It
 * stays when its last handle is closed, since closing must not block and what was put must be synced at the latest when
 * the store is closed; only some dozens of such idle ones are kept (IDLE_MAX), and opening another gives up the oldest.
 * Of one that was deleted nothing is kept: its files would hold their space as long as we have them open. It is given
 * up by who deletes it, by the next one who opens a stream, and by ls_store_maintain.
 *
 * That a stream was deleted shows in its slot, which every call looks at. A process that was killed between replacing
 * the manifest and ending the slots leaves that undone until somebody settles; so a reader that finds nothing looks at
 * the manifest's generation as well, and settles.
 *
 * Shards that a reshard adds are found when they are asked for. What is known here of a shard may be older than its
 * closing: the log goes by its slot, which the closer told. That a slot knows less than what is known here happens only
 * when nobody looked at the shard since somebody was last alone; who then recovers it has read the manifest later. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

#define IDLE_MAX 64u

void lsi_local_log_config(lsi_local *local, const char *name, uint64_t id, uint32_t shard, lsi_slot *stream_slot,
                          lsi_log_config *out)
{
    memset(out, 0, sizeof(*out));
    out->env = &local->base.env;
    out->root = &local->root;
    out->control = local->control;
    out->descriptors = &local->descriptors;
    memcpy(out->store_id, local->store_id, sizeof(out->store_id));
    out->stream = id;
    out->shard = shard;
    out->durability = local->durability;
    out->segment_bytes = local->segment_bytes;
    out->prealloc_bytes = local->prealloc_bytes;
    out->map_tail = local->map_tail;
    out->read_only = local->base.read_only;
    out->stream_slot = stream_slot;
    out->decide = lsi_local_step_decide;
    out->decide_user = local;
    /* Both fit: 20 + 1 + 10 digits; a name of 128. */
    (void)snprintf(out->dir, sizeof(out->dir), "%" PRIu64 "/%" PRIu32, id, shard);
    (void)snprintf(out->label, sizeof(out->label), "stream '%s' shard %" PRIu32, name, shard);
}

/* ---- making and releasing ---- */

/* Accepts a half-built one. The first error of a final sync. */
static ls_status stream_free(lsi_local *local, lsi_local_stream *stream)
{
    const lsi_memory *memory = &local->base.env.memory;
    ls_status st, closed;

    if (stream == NULL)
        return LS_OK;
    st = lsi_local_shards_close(memory, &stream->shards);
    closed = lsi_local_state_free(memory, atomic_load_explicit(&stream->state, memory_order_acquire));
    st = st == LS_OK ? closed : st;
    if (stream->slot != NULL)
        lsi_control_let_go(local->control, stream->slot); /* last: whoever has pointers to its parts is closed */
    lsi_free(memory, stream);
    /* What was put into a stream that is gone is gone with it. */
    return st == LS_ERR_NOT_FOUND ? LS_OK : st;
}

static ls_status stream_new(lsi_local *local, const lsi_catalog_stream *from, lsi_local_stream **out)
{
    const lsi_memory *memory = &local->base.env.memory;
    lsi_local_stream *stream = lsi_alloc_zero(memory, sizeof(*stream));
    ls_status st;

    if (stream == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for stream '%s'", from->name);
    stream->base.engine = &local->base;
    stream->id = from->id;
    memcpy(stream->name, from->name, sizeof(stream->name));
    stream->base.name = stream->name;
    atomic_init(&stream->upkeep_mask, lsi_auto_scaling_is_on(&from->auto_scaling) ? 0 : LSI_UPKEEP_MASK);
    lsi_local_settings_take(stream, from, UINT64_MAX); /* of a generation that is not known yet */
    st = lsi_local_shards_add(memory, &stream->shards, from);
    if (st == LS_OK)
        st = lsi_control_keep(local->control, LSI_SLOT_STREAM, from->id, 0, &stream->slot);
    if (st != LS_OK) {
        (void)stream_free(local, stream); /* no log was opened */
        return st;
    }
    if (!local->base.read_only)
        stream->sync_counts = lsi_local_counts(&stream->base, LSI_COUNTS_PUT_TIMES, LSI_COUNTS_SYNCS);
    *out = stream;
    return LS_OK;
}

/* The stream in use, with one more user. Locks: engine->lock held. */
static lsi_local_stream *find_and_use(lsi_local *local, uint64_t id)
{
    for (lsi_local_stream *stream = local->streams; stream != NULL; stream = stream->next)
        if (stream->id == id) {
            if (stream->users++ == 0)
                local->idle_count--;
            return stream;
        }
    return NULL;
}

/* Acquire pairs with lsi_control_drop_stream. */
static bool is_deleted(const lsi_local_stream *stream)
{
    return atomic_load_explicit(&stream->slot->deleted, memory_order_acquire) != 0 ||
           atomic_load_explicit(&stream->slot->stream, memory_order_acquire) != stream->id;
}

/* An idle stream, taken out of the list: one that was deleted, or when there are too many the one that was opened
 * longest ago. Locks: engine->lock. */
static lsi_local_stream *take_idle(lsi_local *local)
{
    lsi_local_stream **chosen = NULL, *stream;
    bool is_found = false;

    for (lsi_local_stream **at = &local->streams; *at != NULL && !is_found; at = &(*at)->next)
        if ((*at)->users == 0 && ((is_found = is_deleted(*at)) || local->idle_count > IDLE_MAX))
            chosen = at;
    if (chosen == NULL)
        return NULL;
    stream = *chosen;
    *chosen = stream->next;
    local->idle_count--;
    return stream;
}

void lsi_local_give_up_idle(lsi_local *local)
{
    for (;;) {
        lsi_local_stream *stream;
        lsi_error_state before;
        ls_status st;

        lsi_local_lock(local);
        stream = take_idle(local);
        lsi_local_unlock(local);
        if (stream == NULL)
            return;
        lsi_error_save(&before);
        st = stream_free(local, stream);
        lsi_error_restore(&before); /* closing the store says it */
        if (st != LS_OK) {
            lsi_local_lock(local);
            if (local->late_failure == LS_OK)
                local->late_failure = st;
            lsi_local_unlock(local);
        }
    }
}

static ls_status use(lsi_local *local, const lsi_catalog_stream *from, uint64_t seen, lsi_local_stream **out)
{
    lsi_local_stream *stream, *made = NULL;
    ls_status st;

    lsi_local_lock(local);
    stream = find_and_use(local, from->id);
    lsi_local_unlock(local);
    if (stream == NULL) {
        st = stream_new(local, from, &made);
        if (st != LS_OK)
            return st;
        lsi_local_lock(local);
        stream = find_and_use(local, from->id); /* another thread may have been faster */
        if (stream == NULL) {
            stream = made;
            made = NULL;
            stream->users = 1;
            stream->next = local->streams;
            local->streams = stream;
        }
        lsi_local_unlock(local);
        (void)stream_free(local, made); /* no log was opened */
    }
    lsi_local_give_up_idle(local);
    /* The catalog may be older than the slot: then the slot would never be told that the stream is gone. */
    if (lsi_control_manifest_generation(local->control) != seen) {
        st = lsi_local_stream_recheck(stream);
        if (st != LS_OK) {
            lsi_local_stream_close(&stream->base);
            return st;
        }
    }
    *out = stream;
    return LS_OK;
}

ls_status lsi_local_stream_open(lsi_engine *engine, const char *name, lsi_engine_stream **out)
{
    lsi_local *local = lsi_local_of(engine);
    const lsi_catalog_stream *found;
    lsi_local_stream *stream;
    lsi_catalog *catalog;
    ls_status st = lsi_local_catalog(local, &catalog);

    if (st != LS_OK)
        return st;
    st = lsi_local_find(local, catalog, name, &found);
    if (st == LS_OK)
        st = use(local, found, catalog->seen, &stream);
    lsi_catalog_unref(catalog);
    if (st == LS_OK)
        *out = &stream->base;
    return st;
}

ls_status lsi_local_stream_use(lsi_local *local, uint64_t id, lsi_local_stream **out)
{
    const lsi_catalog_stream *found;
    lsi_catalog *catalog;
    ls_status st;

    lsi_local_lock(local);
    *out = find_and_use(local, id);
    lsi_local_unlock(local);
    if (*out != NULL)
        return LS_OK;
    st = lsi_local_catalog(local, &catalog);
    if (st != LS_OK)
        return st;
    found = lsi_catalog_find_id(catalog, id);
    if (found == NULL)
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream %" PRIu64 " does not exist", id);
    else
        st = use(local, found, catalog->seen, out);
    lsi_catalog_unref(catalog);
    return st;
}

void lsi_local_stream_close(lsi_engine_stream *base)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    lsi_local *local = lsi_local_of_stream(base);

    if (lsi_local_check_mine(local) != LS_OK)
        return; /* P9: a lock of the parent's threads may never be free here. Closing the store frees the memory. */
    lsi_local_lock(local);
    assert(stream->users > 0);
    if (--stream->users == 0)
        local->idle_count++;
    lsi_local_unlock(local);
}

ls_status lsi_local_streams_close(lsi_local *local)
{
    ls_status st = local->late_failure;

    while (local->streams != NULL) {
        lsi_local_stream *stream = local->streams;
        ls_status closed;

        local->streams = stream->next;
        closed = stream_free(local, stream);
        st = st == LS_OK ? closed : st;
    }
    return st;
}

/* ---- is it there? ---- */

ls_status lsi_local_stream_check(lsi_local_stream *stream)
{
    ls_status st = lsi_local_check_mine(lsi_local_of_stream(&stream->base));

    if (st != LS_OK)
        return st;
    if (is_deleted(stream))
        return lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' was deleted", stream->name);
    return LS_OK;
}

ls_status lsi_local_stream_recheck(lsi_local_stream *stream)
{
    lsi_local *local = lsi_local_of_stream(&stream->base);
    ls_status st = lsi_local_stream_check(stream);
    const lsi_catalog_stream *found;
    lsi_catalog *catalog;
    uint64_t generation;

    if (st != LS_OK)
        return st;
    generation = lsi_control_manifest_generation(local->control);
    if (generation % 2 != 0 && !local->base.read_only) {
        /* Its process may have died; what it was about to say of a shard is what a reader is waiting for. */
        lsi_error_state before;
        lsi_error_save(&before);
        st = lsi_local_catalog_settle(local, false);
        if (st == LS_ERR_FULL) /* E3: a full disk stops no reader. */
            lsi_error_restore(&before);
        else if (st != LS_OK)
            return st;
        generation = lsi_control_manifest_generation(local->control);
    }
    /* Relaxed: it only saves work. */
    if (generation % 2 == 0 && atomic_load_explicit(&stream->checked, memory_order_relaxed) == generation &&
        !lsi_control_is_private(local->control))
        return LS_OK;
    if (generation % 2 == 0)
        st = lsi_local_catalog(local, &catalog);
    else
        st = lsi_local_catalog_read(local, &catalog); /* without the lock, which may be held for long */
    if (st != LS_OK)
        return st;
    st = lsi_local_find_mine(stream, catalog, &found);
    if (st == LS_OK) /* For who is not told of changes. */
        lsi_local_settings_take_status(stream, found);
    if (st == LS_OK && catalog->seen % 2 == 0)
        atomic_store_explicit(&stream->checked, catalog->seen, memory_order_relaxed);
    lsi_catalog_unref(catalog);
    return st;
}

/* ---- shards ---- */

/* Looks for a shard that is younger than what is known of the stream here. */
static ls_status find_younger(lsi_local_stream *stream, uint32_t index, lsi_local_shard **out)
{
    lsi_local *local = lsi_local_of_stream(&stream->base);
    const lsi_catalog_stream *found;
    lsi_catalog *catalog;
    ls_status st = lsi_local_catalog(local, &catalog);

    if (st != LS_OK)
        return st;
    found = lsi_catalog_find_id(catalog, stream->id);
    if (found == NULL) {
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' was deleted", stream->name);
    } else {
        lsi_local_lock(local);
        st = lsi_local_shards_add(&local->base.env.memory, &stream->shards, found);
        lsi_local_unlock(local);
        *out = lsi_local_shards_find(&stream->shards, index);
        if (st == LS_OK && *out == NULL)
            st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no shard %" PRIu32, stream->name, index);
    }
    lsi_catalog_unref(catalog);
    return st;
}

/* A shard that expired in another process is known here still. */
static ls_status check_shard(lsi_local_stream *stream, lsi_local_shard *shard)
{
    lsi_local_settings_follow(stream);
    return !atomic_load_explicit(&shard->is_gone, memory_order_relaxed)
               ? LS_OK
               : lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' shard %" PRIu32 " is gone: it was closed, and all its records "
                          "were past their age", stream->name, shard->index);
}

bool lsi_local_shard_is_gone(lsi_local_stream *stream, uint32_t shard)
{
    lsi_local_shard *found = lsi_local_shards_find(&stream->shards, shard);

    lsi_local_settings_follow(stream);
    return found != NULL && atomic_load_explicit(&found->is_gone, memory_order_relaxed);
}

ls_status lsi_local_stream_log(lsi_local_stream *stream, uint32_t shard, lsi_log **out)
{
    lsi_local *local = lsi_local_of_stream(&stream->base);
    lsi_local_shard *found = lsi_local_shards_find(&stream->shards, shard);
    lsi_log_config config;
    ls_status st = LS_OK;
    lsi_log *log;

    if (found == NULL)
        st = find_younger(stream, shard, &found);
    if (st != LS_OK)
        return st;
    st = check_shard(stream, found);
    if (st != LS_OK)
        return st;
    /* Acquire pairs with the release below: who sees the log sees it whole. */
    log = atomic_load_explicit(&found->log, memory_order_acquire);
    if (log == NULL) {
        lsi_local_log_config(local, stream->name, stream->id, shard, stream->slot, &config);
        config.first_seqno = found->first_seqno;
        config.is_closed = found->is_closed;
        config.end = found->end;
        config.terms = lsi_local_terms_now;
        config.key = lsi_local_find_key;
        config.terms_user = config.key_user = stream;
        config.expired_before_us = lsi_local_expired_before_us;
        config.expired_user = stream;
        config.sync_counts = stream->sync_counts;
        lsi_local_lock(local);
        log = atomic_load_explicit(&found->log, memory_order_relaxed);
        if (log == NULL) {
            st = lsi_log_open(&config, &log); /* does not touch the disk */
            if (st == LS_OK)
                atomic_store_explicit(&found->log, log, memory_order_release);
        }
        lsi_local_unlock(local);
    }
    if (st == LS_OK)
        *out = log;
    return st;
}

ls_status lsi_local_any_log(lsi_local_stream *stream, uint32_t shard, lsi_log **out)
{
    return shard == LSI_STATE_SHARD ? lsi_local_state_log(stream, out) : lsi_local_stream_log(stream, shard, out);
}

ls_status lsi_local_stream_info(lsi_engine_stream *base, lsi_stream_info *out)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    lsi_local *local = lsi_local_of_stream(base);
    const lsi_catalog_stream *found;
    lsi_catalog *catalog;
    uint64_t generation;
    ls_status st = lsi_local_stream_check(stream);

    if (st != LS_OK)
        return st;
    /* Before the catalog: a snapshot that is newer than its number is only taken once more. */
    generation = lsi_local_stream_generation(base);
    st = lsi_local_catalog(local, &catalog);
    if (st != LS_OK)
        return st;
    st = lsi_local_find_mine(stream, catalog, &found);
    if (st != LS_OK)
        goto out;
    memset(out, 0, sizeof(*out));
    out->memory = local->base.env.memory;
    out->shards = lsi_alloc(&out->memory, found->shard_count * sizeof(*out->shards));
    if (out->shards == NULL) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for %u shards", found->shard_count);
        goto out;
    }
    memcpy(out->shards, found->shards, found->shard_count * sizeof(*out->shards));
    memcpy(out->name, found->name, sizeof(out->name));
    out->id = found->id;
    out->generation = generation;
    out->created_us = found->created_us;
    out->retention_hours = found->retention_hours;
    out->horizon_us = lsi_local_retained_from_us(local, found);
    out->retention_bytes = found->retention_bytes;
    out->status = lsi_catalog_status(found, lsi_wall_us(&local->base.env.clock));
    out->mode = found->mode;
    out->rates = lsi_rates_resolve(found->rates);
    out->auto_scaling = found->auto_scaling;
    out->record_bytes_max = found->record_bytes_max;
    out->codec = found->terms.codec;
    out->recompresses = (found->flags & LSI_STREAM_RECOMPRESSES) != 0;
    memcpy(out->key_id, found->terms.key_id, sizeof(out->key_id));
    out->cuts = lsi_local_cuts_of(stream->slot);
    out->shard_count = found->shard_count;
out:
    lsi_catalog_unref(catalog);
    return st;
}

uint64_t lsi_local_stream_generation(lsi_engine_stream *base)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);

    if (!lsi_control_is_mine(lsi_local_of_stream(base)->control))
        return UINT64_MAX; /* P9: something new, so that the caller asks and is told */
    (void)lsi_control_mirror(lsi_local_of_stream(base)->control, stream->slot);
    /* Acquire pairs with what raises it. */
    return atomic_load_explicit(&stream->slot->generation, memory_order_acquire);
}

ls_status lsi_local_stream_explain(lsi_local_stream *stream, uint32_t shard, ls_status st)
{
    lsi_local_shard *found = shard == LSI_NO_SHARD ? NULL : lsi_local_shards_find(&stream->shards, shard);
    lsi_error_state why;
    ls_status now;

    /* STATE is what the manifest said of the stream. */
    if (st == LS_OK || st == LS_ERR_STATE || (st == LS_ERR_NOT_FOUND && found == NULL))
        return st;
    lsi_error_save(&why);
    now = lsi_local_stream_recheck(stream);
    if (now == LS_OK)
        now = lsi_local_stream_check_usable(stream);
    if (now == LS_OK && found != NULL)
        now = check_shard(stream, found);
    if (now == LS_ERR_NOT_FOUND)
        return now;
    lsi_error_restore(&why);
    return st;
}

_Static_assert(LSI_BUDGET_WORDS <= LSI_SLOT_BUDGET_WORDS, "a slot has room for a shard's budget");

lsi_budget_word *lsi_local_budget(lsi_engine_stream *base, uint32_t shard)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    lsi_error_state before;
    lsi_slot *slot;
    lsi_log *log;

    lsi_error_save(&before);
    if (lsi_local_check_mine(lsi_local_of_stream(base)) == LS_OK &&
        lsi_local_stream_log(stream, shard, &log) == LS_OK && lsi_log_find_slot(log, &slot) == LS_OK)
        return slot->budget;
    lsi_error_restore(&before);
    return NULL;
}

ls_status lsi_local_shard_state(lsi_engine_stream *base, uint32_t shard, lsi_shard_state *out)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    lsi_log_facts facts;
    lsi_log *log;
    ls_status st = lsi_local_stream_check(stream);

    if (st == LS_OK)
        st = lsi_local_stream_log(stream, shard, &log);
    if (st != LS_OK)
        return st;
    st = lsi_log_state(log, &facts);
    if (st != LS_OK)
        return lsi_local_stream_explain(stream, shard, st);
    *out = (lsi_shard_state){.oldest_seqno = facts.oldest, .latest_seqno = facts.latest, .oldest_us = facts.oldest_us,
                             .latest_us = facts.latest_us, .bytes = facts.bytes, .segments = facts.segments,
                             .health = facts.health,
                             .put_alone = facts.put_alone, .put_in_batches = facts.put_in_batches,
                             .put_bytes = facts.put_bytes, .put_more_units = facts.put_more_units};
    return LS_OK;
}

ls_status lsi_local_count_from(lsi_engine_stream *base, uint32_t shard, ls_seqno first, uint64_t *out)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    lsi_log *log;
    ls_status st = lsi_local_stream_check(stream);

    if (st == LS_OK)
        st = lsi_local_stream_log(stream, shard, &log);
    if (st != LS_OK)
        return st;
    st = lsi_log_count_from(log, first, out);
    return st == LS_OK ? LS_OK : lsi_local_stream_explain(stream, shard, st);
}

ls_status lsi_local_reset_shard(lsi_engine_stream *base, uint32_t shard)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    lsi_log *log;
    ls_status st = lsi_local_check_writable(lsi_local_of_stream(base));

    if (st == LS_OK)
        st = lsi_local_stream_check_usable(stream);
    if (st == LS_OK)
        st = lsi_local_any_log(stream, shard, &log);
    if (st != LS_OK)
        return st;
    return lsi_local_stream_explain(stream, shard, lsi_log_reset(log));
}
