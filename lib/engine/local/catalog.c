/* The catalog: what the manifest says, cached; listing streams.
 *
 * A cached catalog is good while the manifest's generation in the control file is the even number it was read under.
 * An odd number says that a replacement is under way, or that its process died or its sync failed. Whoever gets the
 * store lock and still finds it odd *settles*: he writes what he reads once more, so that no crash can take it back
 * (L3), and frees the slots of streams and shards it does not name. */
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

#define RECONCILE_MAX 64u       /* ids per round */

/* ---- reading and writing ---- */

ls_status lsi_local_catalog_load_from(const lsi_env *env, const lsi_root *root, const char *name, lsi_catalog **out)
{
    lsi_checked_head head;
    void *payload;
    size_t size;
    ls_status st = lsi_checked_load(env, root, name, LSI_CHECKED_MANIFEST, 0, &head, &payload, &size);

    if (st != LS_OK)
        return st;
    st = lsi_catalog_decode(&env->memory, payload, size, out);
    lsi_free(&env->memory, payload);
    if (st == LS_OK)
        (*out)->head = head;
    return st;
}

ls_status lsi_local_catalog_load(const lsi_env *env, const lsi_root *root, lsi_catalog **out)
{
    return lsi_local_catalog_load_from(env, root, LSI_MANIFEST_NAME, out);
}

ls_status lsi_local_catalog_write(const lsi_env *env, const lsi_root *root, const lsi_catalog *catalog)
{
    void *payload, *bytes;
    size_t payload_size, size;
    ls_status st = lsi_catalog_encode(catalog, &payload, &payload_size);

    if (st != LS_OK)
        return st;
    st = lsi_checked_encode(env, LSI_CHECKED_MANIFEST, 0, catalog->head, payload, payload_size, &bytes, &size);
    lsi_free(catalog->memory, payload);
    if (st != LS_OK)
        return st;
    st = lsi_checked_put(root, "", LSI_MANIFEST_NAME, bytes, size);
    if (st == LS_OK) /* Not before: it is never newer than what it is a copy of (M1). */
        st = lsi_local_copy_write(env, root, bytes, size);
    lsi_free(&env->memory, bytes);
    return st;
}

/* Takes a reference of its own. A newer one that another thread cached meanwhile stays. */
static void cache(lsi_local *local, lsi_catalog *catalog)
{
    lsi_catalog *old = NULL;

    lsi_local_lock(local);
    if (local->catalog == NULL || local->catalog->seen <= catalog->seen) {
        old = local->catalog;
        local->catalog = lsi_catalog_ref(catalog);
    }
    lsi_local_unlock(local);
    lsi_catalog_unref(old);
}

static lsi_catalog *cached(lsi_local *local, uint64_t generation)
{
    lsi_catalog *catalog = NULL;

    if (generation % 2 != 0 || lsi_control_is_private(local->control))
        return NULL;
    lsi_local_lock(local);
    if (local->catalog != NULL && local->catalog->seen == generation)
        catalog = lsi_catalog_ref(local->catalog);
    lsi_local_unlock(local);
    return catalog;
}

ls_status lsi_local_catalog_read(lsi_local *local, lsi_catalog **out)
{
    /* Before the file: one that is newer than its number is only read once more. */
    uint64_t seen = lsi_control_manifest_generation(local->control);
    lsi_catalog *catalog;
    ls_status st = lsi_local_catalog_load(&local->base.env, &local->root, &catalog);

    if (st == LS_ERR_NOT_FOUND)
        return lsi_fail(LS_ERR_CORRUPT, "the manifest has vanished while the store is open");
    if (st != LS_OK)
        return st;
    if (memcmp(catalog->store_id, local->store_id, sizeof(local->store_id)) != 0) {
        lsi_catalog_unref(catalog);
        return lsi_fail(LS_ERR_CORRUPT, "the manifest was exchanged for another store's while the store is open");
    }
    catalog->seen = seen;
    cache(local, catalog);
    *out = catalog;
    return LS_OK;
}

/* ---- settling (L3) ---- */

/* A shard whose closing was left half done is closed or not by what the manifest says, and its segments are written by
 * what that says from the next one on. */
static bool closing_note(void *user, lsi_slot *slot)
{
    const lsi_catalog *catalog = user;
    const lsi_catalog_stream *stream;
    const lsi_shard *shard;

    if (atomic_load_explicit(&slot->kind, memory_order_acquire) != LSI_SLOT_SHARD)
        return true;
    lsi_log_take_terms(slot);
    if (atomic_load_explicit(&slot->closed, memory_order_acquire) == LSI_LOG_CLOSING) {
        stream = lsi_catalog_find_id(catalog, atomic_load_explicit(&slot->stream, memory_order_acquire));
        shard = stream != NULL ? lsi_shard_find(stream->shards, stream->shard_count, slot->shard) : NULL;
        lsi_slot_closing_ended(slot, shard != NULL && shard->closed);
    }
    return true;
}

/* A stream's readers and producers are told to look again, whatever became of its shards; behind closing_note: a
 * producer who has looked finds none of them closing any more, for which it would wait until somebody tells it
 * again. */
static bool look_again(void *user, lsi_slot *slot)
{
    (void)user;
    if (atomic_load_explicit(&slot->kind, memory_order_acquire) == LSI_SLOT_STREAM) {
        atomic_fetch_add_explicit(&slot->generation, 1, memory_order_release);
        lsi_slots_wake(slot, NULL);
    }
    return true;
}

typedef struct orphans {
    const lsi_catalog *catalog;
    uint64_t ids[RECONCILE_MAX];
    uint32_t count;
} orphans;

/* `id`: of a slot. */
static bool is_named(const lsi_catalog *catalog, uint64_t id)
{
    return id > INT64_MAX ? lsi_catalog_find_consumer(catalog, id & INT64_MAX) != NULL
                          : lsi_catalog_find_id(catalog, id) != NULL;
}

static bool orphan_note(void *user, lsi_slot *slot)
{
    orphans *found = user;
    uint64_t id = atomic_load_explicit(&slot->stream, memory_order_acquire);

    if (id == 0 || is_named(found->catalog, id))
        return true;
    for (uint32_t i = 0; i < found->count; i++)
        if (found->ids[i] == id)
            return true;
    found->ids[found->count++] = id;
    return found->count < RECONCILE_MAX;
}

typedef struct shards_there {
    lsi_local *local;
    const lsi_catalog *catalog;
} shards_there;

/* Whether a shard was removed, or nobody may use it any more. One above the highest that is named may be what a dead
 * resharder was making. */
static bool is_shard_gone(void *user, uint64_t id, uint32_t shard)
{
    const shards_there *of = user;
    const lsi_catalog_stream *stream = lsi_catalog_find_id(of->catalog, id);

    if (stream != NULL && stream->status == LS_STREAM_DELETING)
        return true;
    if (stream == NULL || shard >= stream->shards[stream->shard_count - 1].index ||
        lsi_shard_find(stream->shards, stream->shard_count, shard) != NULL)
        return false;
    lsi_local_keep_counts(of->local, id, shard);
    return true;
}

void lsi_local_drop_gone_shards(lsi_local *local, lsi_catalog *catalog)
{
    lsi_control_drop_shards(local->control, is_shard_gone, &(shards_there){local, catalog});
}

/* Frees the slots of streams and consumers that are gone. Locks: store lock held. */
static void reconcile(lsi_local *local, const lsi_catalog *catalog)
{
    orphans found = {.catalog = catalog};

    do {
        found.count = 0;
        lsi_control_each(local->control, orphan_note, &found);
        for (uint32_t i = 0; i < found.count; i++)
            lsi_control_drop_stream(local->control, found.ids[i], found.ids[i] > INT64_MAX ? 0 : found.ids[i]);
    } while (found.count == RECONCILE_MAX);
}

/* Locks: store lock held. */
static ls_status settle(lsi_local *local, lsi_catalog **out)
{
    lsi_catalog *catalog;
    lsi_error_state before;
    ls_status st = lsi_local_catalog_load(&local->base.env, &local->root, &catalog);

    if (st != LS_OK)
        return st;
    lsi_error_save(&before);
    catalog->head.generation++;
    st = lsi_local_catalog_write(&local->base.env, &local->root, catalog);
    if (st == LS_ERR_FULL && lsi_local_reserve_spend(local)) {
        st = lsi_local_catalog_write(&local->base.env, &local->root, catalog);
        lsi_local_reserve_make(local);
        if (st == LS_OK)
            lsi_error_restore(&before);
    }
    /* Without room nothing settles it: the directory's sync may have failed, and one that succeeds today says nothing
     * of what that one was for (E1). */
    if (st != LS_OK) {
        lsi_catalog_unref(catalog);
        return st;
    }
    reconcile(local, catalog);
    lsi_control_each(local->control, closing_note, catalog);
    lsi_control_each(local->control, look_again, NULL); /* First: who finds his shard gone finds this raised. */
    lsi_local_drop_gone_shards(local, catalog);
    lsi_control_manifest_changed(local->control);
    lsi_catalog_unref(catalog);
    lsi_env_log(&local->base.env, LS_LOG_WARNING,
                "the manifest was written once more: nobody knew whether it was durable");
    return lsi_local_catalog_read(local, out);
}

/* Locks: store lock held; given back unless LS_OK. */
static ls_status locked_catalog(lsi_local *local, lsi_catalog **out)
{
    uint64_t generation = lsi_control_manifest_generation(local->control);
    ls_status st = LS_OK;

    *out = cached(local, generation);
    if (generation % 2 != 0)
        st = settle(local, out);
    else if (*out == NULL)
        st = lsi_local_catalog_read(local, out);
    if (st != LS_OK)
        lsi_control_unlock(local->control);
    return st;
}

ls_status lsi_local_catalog_lock(lsi_local *local, lsi_catalog **out)
{
    ls_status st = lsi_control_lock(local->control);

    return st == LS_OK ? locked_catalog(local, out) : st;
}

ls_status lsi_local_catalog_try_lock(lsi_local *local, lsi_catalog **out)
{
    if (!lsi_control_try_lock(local->control))
        return lsi_fail(LS_ERR_BUSY, "the store's lock is taken");
    return locked_catalog(local, out);
}

void lsi_local_catalog_unlock(lsi_local *local)
{
    lsi_control_unlock(local->control);
}

ls_status lsi_local_catalog_settle(lsi_local *local, bool wait)
{
    lsi_catalog *catalog;
    ls_status st = LS_OK;

    if (lsi_control_manifest_generation(local->control) % 2 == 0)
        return LS_OK;
    if (wait)
        st = lsi_control_lock(local->control);
    else if (!lsi_control_try_lock(local->control))
        return LS_OK;
    if (st != LS_OK)
        return st;
    if (lsi_control_manifest_generation(local->control) % 2 != 0) {
        st = settle(local, &catalog);
        if (st == LS_OK)
            lsi_catalog_unref(catalog);
    }
    lsi_control_unlock(local->control);
    return st;
}

ls_status lsi_local_catalog_look(lsi_local *local, lsi_catalog **out)
{
    *out = cached(local, lsi_control_manifest_generation(local->control));
    return *out != NULL ? LS_OK : lsi_local_catalog_read(local, out);
}

ls_status lsi_local_catalog(lsi_local *local, lsi_catalog **out)
{
    ls_status st = lsi_local_check_mine(local);
    uint64_t generation;

    if (st != LS_OK)
        return st;
    generation = lsi_control_manifest_generation(local->control);
    *out = cached(local, generation);
    if (*out != NULL)
        return LS_OK;
    if (generation % 2 == 0 || local->base.read_only)
        return lsi_local_catalog_read(local, out);
    st = lsi_local_catalog_lock(local, out);
    if (st == LS_OK)
        lsi_local_catalog_unlock(local);
    return st;
}

/* After a replacement that failed: whether the old manifest is what counts, for certain. */
static bool old_one_counts(lsi_local *local, uint64_t old_generation)
{
    lsi_catalog *there;
    lsi_error_state why;
    bool unchanged;

    lsi_error_save(&why);
    if (lsi_local_catalog_load(&local->base.env, &local->root, &there) != LS_OK) {
        lsi_error_restore(&why);
        return false;
    }
    unchanged = there->head.generation == old_generation;
    lsi_catalog_unref(there);
    lsi_error_restore(&why);
    return unchanged;
}

ls_status lsi_local_catalog_replace(lsi_local *local, lsi_catalog *catalog, lsi_local_settle settle_slots, void *user)
{
    uint64_t old_generation = catalog->head.generation;
    ls_status st;

    catalog->head.generation = old_generation + 1;
    lsi_control_manifest_changing(local->control);
    st = lsi_local_catalog_write(&local->base.env, &local->root, catalog);
    /* lsi_file_replace() answers EIO alone when the new one may be there; so does who cannot part with the old copy. */
    if (st == LS_ERR_IO && !old_one_counts(local, old_generation))
        /* E1: it has its name, and a crash may take that back. The generation stays odd (L3). */
        return st;
    if (settle_slots != NULL)
        settle_slots(user, st == LS_OK);
    lsi_control_manifest_changed(local->control);
    if (st != LS_OK)
        return st;
    catalog->seen = lsi_control_manifest_generation(local->control);
    cache(local, catalog);
    return LS_OK;
}

ls_status lsi_local_catalog_replace_at_need(lsi_local *local, lsi_catalog *catalog, lsi_local_settle settle_slots,
                                            void *user)
{
    uint64_t old_generation = catalog->head.generation;
    ls_status st = lsi_local_catalog_replace(local, catalog, settle_slots, user);

    if (st == LS_ERR_FULL && lsi_local_reserve_spend(local)) {
        catalog->head.generation = old_generation; /* The old one counts: once more, with what was kept for this. */
        st = lsi_local_catalog_replace(local, catalog, settle_slots, user);
        lsi_local_reserve_make(local);
    }
    return st;
}

/* ---- listing ---- */

ls_status lsi_local_list(lsi_engine *engine, const char *after, bool (*each)(void *user, const char *name), void *user)
{
    int64_t now_us = lsi_wall_us(&engine->env.clock);
    lsi_catalog *catalog;
    ls_status st = lsi_local_catalog(lsi_local_of(engine), &catalog);

    if (st != LS_OK)
        return st;
    for (uint32_t i = lsi_catalog_after(catalog, after); i < catalog->stream_count; i++)
        if (lsi_catalog_status(&catalog->streams[i], now_us) != LSI_STREAM_GONE &&
            !each(user, catalog->streams[i].name))
            break;
    lsi_catalog_unref(catalog);
    return LS_OK;
}
