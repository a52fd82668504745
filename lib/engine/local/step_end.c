/* The end of a decider (U3 of step.c): a stream that is deleted takes with it what it remembers of steps, so before
 * that each shard whose last frame may be one of its steps begins a new segment. Then the log itself says that it was
 * taken.
 *
 * That is done without locks; then, under the store lock and the stream's state lock, it is made sure that nothing was
 * added meanwhile, and until the manifest is replaced nothing is. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/patience.h"
#include "base/status.h"
#include "engine/local/local.h"
#include "engine/local/step.h"

#define STALE_MAX 256u /* forgotten at once */

typedef struct place {
    uint64_t stream;
    uint32_t shard;
    ls_seqno first_seqno;
    uint64_t version; /* of the value */
} place;

typedef struct places {
    const lsi_memory *memory;
    place *at; /* [count] */
    size_t count, capacity;
    bool is_short; /* of memory */
} places;

static bool note_place(void *user, const lsi_state_entry *entry)
{
    places *to = user;
    lsi_step_value value;
    place found;
    void *at = to->at;

    if (!lsi_step_read_key(entry->key, &found.stream, &found.shard) || !lsi_step_read_value(entry->value, &value) ||
        !value.is_taken)
        return true; /* Nobody is told by it that a step was taken. */
    if (!lsi_grow(to->memory, &at, &to->capacity, to->count + 1, sizeof(place))) {
        to->is_short = true;
        return false;
    }
    found.first_seqno = value.first_seqno;
    found.version = entry->version;
    to->at = at;
    to->at[to->count++] = found;
    return true;
}

/* Of which shards it remembers that a step was taken there. */
static ls_status read_places(lsi_local_stream *stream, places *found)
{
    const ls_bytes prefix = {LSI_STEP_PREFIX "/", sizeof(LSI_STEP_PREFIX)};
    ls_status st = lsi_local_state_read(&stream->base, prefix, note_place, found);

    if (st == LS_OK && found->is_short)
        st = lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for what it remembers of steps", stream->name);
    return st;
}

/* No log asks any more: it is closed, so its end is in the manifest, or it is gone. */
static bool is_stale(const lsi_catalog *catalog, const place *of)
{
    const lsi_catalog_stream *stream = lsi_catalog_find_id(catalog, of->stream);
    const lsi_shard *shard = stream != NULL ? lsi_shard_find(stream->shards, stream->shard_count, of->shard) : NULL;

    return shard == NULL || shard->closed;
}

static ls_status forget(lsi_local_stream *stream, const places *found, const lsi_catalog *catalog)
{
    lsi_state_change *changes = lsi_alloc_zero(found->memory, STALE_MAX * (sizeof(*changes) + LSI_STEP_KEY_BYTES));
    char *keys = (char *)(changes + STALE_MAX);
    uint32_t count = 0, conflict;
    ls_status st = LS_OK;

    if (changes == NULL)
        return LS_ERR_NO_MEMORY;
    for (size_t i = 0; i < found->count && count < STALE_MAX; i++)
        if (is_stale(catalog, &found->at[i])) {
            changes[count] = (lsi_state_change){
                .key = lsi_step_key(found->at[i].stream, found->at[i].shard, keys + (size_t)count * LSI_STEP_KEY_BYTES),
                .expected = found->at[i].version};
            count++;
        }
    if (count > 0)
        st = lsi_local_state_write(&stream->base, changes, count, &conflict);
    lsi_free(found->memory, changes);
    return st;
}

void lsi_local_step_forget(lsi_local_stream *stream)
{
    lsi_local *local = lsi_local_of_stream(&stream->base);
    places found = {.memory = &local->base.env.memory};
    lsi_error_state before;
    lsi_catalog *catalog;

    lsi_error_save(&before);
    if (lsi_local_catalog(local, &catalog) == LS_OK) {
        if (read_places(stream, &found) == LS_OK)
            (void)forget(stream, &found, catalog); /* Else another time. */
        lsi_catalog_unref(catalog);
    }
    lsi_free(found.memory, found.at);
    lsi_error_restore(&before);
}

static ls_status seal(lsi_local *local, const place *of)
{
    lsi_local_stream *stream;
    lsi_error_state before;
    lsi_log *log;
    ls_status st;

    lsi_error_save(&before);
    st = lsi_local_stream_use(local, of->stream, &stream);
    if (st == LS_OK) {
        st = lsi_local_stream_check(stream);
        if (st == LS_OK)
            st = lsi_local_stream_log(stream, of->shard, &log);
        if (st == LS_OK)
            st = lsi_log_step_seal(log, of->first_seqno);
        if (st == LS_ERR_FULL && lsi_local_reserve_spend(local)) /* A full disk stops no deletion (E3). */
            st = lsi_log_step_seal(log, of->first_seqno);
        if (st != LS_OK)
            st = lsi_local_stream_explain(stream, of->shard, st);
        lsi_local_stream_close(&stream->base);
    }
    if (st == LS_ERR_NOT_FOUND) { /* It is gone, and all that was put there. */
        lsi_error_restore(&before);
        st = LS_OK;
    }
    return st;
}

/* The end of the state log; 0: there is none. */
static ls_status end_of(lsi_local_stream *stream, uint64_t *end)
{
    lsi_error_state before;
    lsi_slot *slot;
    lsi_log *log;
    ls_status st;

    *end = 0;
    lsi_error_save(&before);
    st = lsi_local_state_log(stream, &log);
    if (st == LS_OK)
        st = lsi_log_find_slot(log, &slot);
    if (st == LS_OK)
        *end = atomic_load_explicit(&slot->committed_end, memory_order_acquire);
    if (st != LS_ERR_NOT_FOUND)
        return st;
    lsi_error_restore(&before);
    return LS_OK;
}

ls_status lsi_local_step_end(lsi_local *local, const char *name, lsi_step_end *of)
{
    places found = {.memory = &local->base.env.memory};
    lsi_engine_stream *base;
    lsi_lock_result got;
    ls_status st;

    if (of->stream == NULL) {
        st = lsi_local_stream_open(&local->base, name, &base);
        if (st != LS_OK)
            return st;
        of->stream = lsi_local_stream_of(base);
    }
    /* Waiting is done here, where it stops nobody else. */
    got = lsi_patience_lock(&of->stream->slot->sync_lock, LSI_RANK_STATE, local->base.env.busy_timeout_ms);
    if (got == LSI_LOCKED_AFTER_DEATH)
        lsi_lock_repaired(&of->stream->slot->sync_lock);
    if (got != LSI_LOCKED && got != LSI_LOCKED_AFTER_DEATH)
        return lsi_fail(LS_ERR_BUSY, "stream '%s': another process is changing its state", name);
    lsi_lock_release(&of->stream->slot->sync_lock, LSI_RANK_STATE);
    /* Read once before: it recovers, and makes the end true. */
    st = read_places(of->stream, &found);
    found.count = 0;
    if (st == LS_OK)
        st = end_of(of->stream, &of->end);
    if (st == LS_OK)
        st = read_places(of->stream, &found);
    for (size_t i = 0; st == LS_OK && i < found.count; i++)
        st = seal(local, &found.at[i]);
    lsi_free(found.memory, found.at);
    if (st == LS_ERR_KEY || st == LS_ERR_CORRUPT) { /* It must be possible to delete what cannot be read any more. */
        lsi_env_log(&local->base.env, LS_LOG_WARNING, "stream '%s': what it remembers of steps cannot be read: %s",
                    name, ls_last_error_message());
        of->is_unreadable = true;
        st = LS_OK;
    }
    return st;
}

ls_status lsi_local_step_end_lock(lsi_step_end *of, bool *is_same)
{
    lsi_lock_result got;
    uint64_t end;
    ls_status st;

    *is_same = true;
    if (of->stream == NULL)
        return LS_OK;
    got = lsi_lock_try(&of->stream->slot->sync_lock, LSI_RANK_STATE); /* The store lock does not wait for it. */
    if (got == LSI_LOCKED_AFTER_DEATH)
        lsi_lock_repaired(&of->stream->slot->sync_lock);
    of->is_locked = got == LSI_LOCKED || got == LSI_LOCKED_AFTER_DEATH;
    *is_same = of->is_locked;
    if (!of->is_locked || of->is_unreadable)
        return LS_OK;
    st = end_of(of->stream, &end);
    *is_same = st == LS_OK && end == of->end;
    return st;
}

void lsi_local_step_end_unlock(lsi_step_end *of)
{
    if (of->is_locked)
        lsi_lock_release(&of->stream->slot->sync_lock, LSI_RANK_STATE);
    of->is_locked = false;
}

void lsi_local_step_end_release(lsi_step_end *of)
{
    if (of->stream != NULL)
        lsi_local_stream_close(&of->stream->base);
    of->stream = NULL;
}
