/* The catalog: what the manifest says, cached; creating, deleting and listing streams.
 *
 * A cached catalog is good while the manifest's generation in the control file is the even number it was read under.
 * An odd number says that a replacement is under way, or that its process died or its sync failed. Whoever gets the
 * store lock and still finds it odd *settles*: he writes what he reads once more, so that no crash can take it back
 * (L3), and frees the slots of streams it does not name.
 *
 * Creating holds the store lock from the check of the name to the new manifest. Directories are synced before, so a
 * manifest never names what a crash can take away (R6). Deleting replaces the manifest, ends the slots, opens the lock,
 * and only then removes files: that part may die, and the strays are removed by upkeep. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

#define RESERVE_SLOTS_MAX 4096u /* 4 MiB of control file; stores with more shards grow it as they go */
#define RECONCILE_MAX 64u       /* ids per round */

/* ---- reading and writing ---- */

ls_status lsi_local_catalog_load(const lsi_env *env, const lsi_root *root, lsi_catalog **out)
{
    uint64_t generation;
    void *payload;
    size_t size;
    ls_status st = lsi_checked_load(env, root, LSI_MANIFEST_NAME, LSI_CHECKED_MANIFEST, 0, &generation, &payload,
                                    &size);

    if (st != LS_OK)
        return st;
    st = lsi_catalog_decode(&env->memory, payload, size, out);
    lsi_free(&env->memory, payload);
    if (st == LS_OK)
        (*out)->generation = generation;
    return st;
}

ls_status lsi_local_catalog_write(const lsi_env *env, const lsi_root *root, const lsi_catalog *catalog)
{
    void *payload;
    size_t size;
    ls_status st = lsi_catalog_encode(catalog, &payload, &size);

    if (st != LS_OK)
        return st;
    st = lsi_checked_store(env, root, "", LSI_MANIFEST_NAME, LSI_CHECKED_MANIFEST, 0, catalog->generation, payload,
                           size);
    lsi_free(catalog->memory, payload);
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

/* A shard whose closing was left half done is closed or not by what the manifest says. A stream's readers and producers
 * are told to look again, whatever became of it. */
static bool closing_note(void *user, lsi_slot *slot)
{
    const lsi_catalog *catalog = user;
    const lsi_catalog_stream *stream;
    const lsi_shard *shard;

    if (atomic_load_explicit(&slot->kind, memory_order_acquire) == LSI_SLOT_STREAM) {
        atomic_fetch_add_explicit(&slot->generation, 1, memory_order_release);
        lsi_slots_wake(slot, NULL);
    } else if (atomic_load_explicit(&slot->closed, memory_order_acquire) == LSI_LOG_CLOSING) {
        stream = lsi_catalog_find_id(catalog, atomic_load_explicit(&slot->stream, memory_order_acquire));
        shard = stream != NULL ? lsi_shard_find(stream->shards, stream->shard_count, slot->shard) : NULL;
        lsi_slot_closing_ended(slot, shard != NULL && shard->closed);
    }
    return true;
}

typedef struct orphans {
    const lsi_catalog *catalog;
    uint64_t ids[RECONCILE_MAX];
    uint32_t count;
} orphans;

static bool orphan_note(void *user, lsi_slot *slot)
{
    orphans *found = user;
    uint64_t id = atomic_load_explicit(&slot->stream, memory_order_acquire);

    if (id == 0 || lsi_catalog_find_id(found->catalog, id) != NULL)
        return true;
    for (uint32_t i = 0; i < found->count; i++)
        if (found->ids[i] == id)
            return true;
    found->ids[found->count++] = id;
    return found->count < RECONCILE_MAX;
}

/* Frees the slots of streams that are gone. Locks: store lock held. */
static void reconcile(lsi_local *local, const lsi_catalog *catalog)
{
    orphans found = {.catalog = catalog};

    do {
        found.count = 0;
        lsi_control_each(local->control, orphan_note, &found);
        for (uint32_t i = 0; i < found.count; i++)
            lsi_control_drop_stream(local->control, found.ids[i]);
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
    catalog->generation++;
    st = lsi_local_catalog_write(&local->base.env, &local->root, catalog);
    if (st == LS_ERR_FULL && local->root.files->sync_dir(&local->root, "") == 0) {
        /* No room to write it again. The file itself was synced before it got its name, and now the name is. */
        lsi_error_restore(&before);
        st = LS_OK;
    }
    if (st != LS_OK) {
        lsi_catalog_unref(catalog);
        return st;
    }
    reconcile(local, catalog);
    lsi_control_each(local->control, closing_note, catalog);
    lsi_control_manifest_changed(local->control);
    lsi_catalog_unref(catalog);
    lsi_env_log(&local->base.env, LS_LOG_WARNING, "a manifest that was being replaced was found and settled");
    return lsi_local_catalog_read(local, out);
}

ls_status lsi_local_catalog_lock(lsi_local *local, lsi_catalog **out)
{
    ls_status st = lsi_control_lock(local->control);
    uint64_t generation;

    if (st != LS_OK)
        return st;
    generation = lsi_control_manifest_generation(local->control);
    *out = cached(local, generation);
    if (generation % 2 != 0)
        st = settle(local, out);
    else if (*out == NULL)
        st = lsi_local_catalog_read(local, out);
    if (st != LS_OK)
        lsi_control_unlock(local->control);
    return st;
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
    unchanged = there->generation == old_generation;
    lsi_catalog_unref(there);
    lsi_error_restore(&why);
    return unchanged;
}

ls_status lsi_local_catalog_replace(lsi_local *local, lsi_catalog *catalog, lsi_local_settle settle_slots, void *user)
{
    uint64_t old_generation = catalog->generation;
    ls_status st;

    catalog->generation = old_generation + 1;
    lsi_control_manifest_changing(local->control);
    st = lsi_local_catalog_write(&local->base.env, &local->root, catalog);
    /* lsi_file_replace() answers EIO alone when the new one may be there. */
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

/* ---- listing, creating, deleting ---- */

ls_status lsi_local_list(lsi_engine *engine, const char *after, bool (*each)(void *user, const char *name), void *user)
{
    lsi_catalog *catalog;
    ls_status st = lsi_local_catalog(lsi_local_of(engine), &catalog);

    if (st != LS_OK)
        return st;
    for (uint32_t i = lsi_catalog_after(catalog, after); i < catalog->stream_count; i++)
        if (!each(user, catalog->streams[i].name))
            break;
    lsi_catalog_unref(catalog);
    return LS_OK;
}

static void stream_dir(uint64_t id, char dir[LSI_LOG_DIR_BYTES])
{
    (void)snprintf(dir, LSI_LOG_DIR_BYTES, "%" PRIu64, id); /* 20 digits at most */
}

/* Makes the stream's directory with an empty log for each shard, all synced. Locks: store lock held. */
static ls_status make_logs(lsi_local *local, const lsi_catalog_stream *stream)
{
    const lsi_files *files = local->root.files;
    char dir[LSI_LOG_DIR_BYTES];
    lsi_log_config config;
    ls_status st = LS_OK;
    int result;

    stream_dir(stream->id, dir);
    result = files->make_dir(&local->root, dir);
    if (result == -EEXIST) {
        st = lsi_local_set_aside(local, stream->id);
        if (st != LS_OK)
            return st;
        result = files->make_dir(&local->root, dir);
    }
    if (result != 0)
        return lsi_fail_errno(result, "stream '%s': cannot make its directory %s", stream->name, dir);
    for (uint32_t i = 0; i < stream->shard_count && st == LS_OK; i++) {
        lsi_local_log_config_of(local, stream, &stream->shards[i], &config);
        st = lsi_log_create(&config);
    }
    if (st != LS_OK)
        return st;
    result = files->sync_dir(&local->root, dir);
    if (result == 0)
        result = files->sync_dir(&local->root, ""); /* the directory's own name, before the manifest says it */
    if (result != 0)
        return lsi_fail_errno(result, "stream '%s': cannot sync its directory %s", stream->name, dir);
    return LS_OK;
}

static void unmake_logs(lsi_local *local, uint64_t id)
{
    char dir[LSI_LOG_DIR_BYTES];
    lsi_error_state why;

    stream_dir(id, dir);
    lsi_error_save(&why);
    (void)lsi_local_remove_dir(local, dir); /* upkeep removes what stays */
    lsi_error_restore(&why);
}

/* The stream that was to be, files and slots. Locks: store lock held. */
static void give_up_creating(lsi_local *local, uint64_t id)
{
    lsi_control_drop_stream(local->control, id);
    unmake_logs(local, id);
}

/* So that a full disk stops nobody from reading the new stream (E3). */
static void reserve_slots(lsi_local *local, const lsi_catalog *catalog)
{
    uint64_t count = 0;
    lsi_error_state before;

    for (uint32_t i = 0; i < catalog->stream_count; i++)
        count += (uint64_t)catalog->streams[i].shard_count + 1;
    lsi_error_save(&before);
    /* Failing now is no worse than not asking. */
    if (lsi_control_reserve(local->control, count < RESERVE_SLOTS_MAX ? (uint32_t)count : RESERVE_SLOTS_MAX) != LS_OK)
        lsi_error_restore(&before);
}

ls_status lsi_local_create(lsi_engine *engine, const lsi_stream_spec *spec)
{
    lsi_local *local = lsi_local_of(engine);
    lsi_catalog *catalog = NULL, *fresh = NULL;
    lsi_catalog_stream stream = {.retention_hours = spec->retention_hours,
                                 .mode = spec->mode,
                                 .status = LS_STREAM_ACTIVE,
                                 .record_bytes_max = spec->record_bytes_max,
                                 .shard_count = spec->shard_count};
    ls_status st = lsi_local_check_writable(local);

    if (st != LS_OK)
        return st;
    st = lsi_check_stream_name(spec->name);
    if (st != LS_OK)
        return st;
    stream.shards = lsi_alloc_zero(&engine->env.memory, spec->shard_count * sizeof(*stream.shards));
    if (stream.shards == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for %u shards", spec->shard_count);
    memcpy(stream.name, spec->name, strlen(spec->name) + 1);
    stream.created_us = lsi_wall_us(&engine->env.clock);
    for (uint32_t i = 0; i < spec->shard_count; i++)
        stream.shards[i] = (lsi_shard){.index = i,
                                       .parent = LSI_NO_SHARD,
                                       .adjacent_parent = LSI_NO_SHARD,
                                       .range = lsi_hash_range_of(i, spec->shard_count),
                                       .first_seqno = 1,
                                       .created_us = stream.created_us};
    st = lsi_local_catalog_lock(local, &catalog);
    if (st != LS_OK)
        goto out;
    if (lsi_catalog_find(catalog, spec->name) != NULL) {
        st = lsi_fail(LS_ERR_EXISTS, "stream '%s' exists", spec->name);
        goto unlock;
    }
    stream.id = catalog->next_id; /* L2 */
    st = lsi_catalog_copy(catalog, 0, &stream, &fresh);
    if (st != LS_OK)
        goto unlock;
    fresh->next_id = stream.id + 1;
    lsi_control_drop_stream(local->control, stream.id); /* the slots of a creator who died before he named it */
    st = make_logs(local, &stream);
    if (st != LS_OK) {
        give_up_creating(local, stream.id);
        goto unlock;
    }
    st = lsi_local_catalog_replace(local, fresh, NULL, NULL); /* L1 */
    if (st == LS_OK)
        reserve_slots(local, fresh);
    else if (lsi_control_manifest_generation(local->control) % 2 == 0)
        give_up_creating(local, stream.id); /* the old manifest counts */
unlock:
    lsi_local_catalog_unlock(local);
out:
    lsi_catalog_unref(fresh);
    lsi_catalog_unref(catalog);
    lsi_free(&engine->env.memory, stream.shards);
    return st;
}

/* A stream's end: its slots. */
typedef struct stream_end {
    lsi_control *control;
    uint64_t id;
} stream_end;

static void end_slots(void *user, bool replaced)
{
    const stream_end *of = user;

    if (replaced)
        lsi_control_drop_stream(of->control, of->id);
}

ls_status lsi_local_remove(lsi_engine *engine, const char *name)
{
    lsi_local *local = lsi_local_of(engine);
    lsi_catalog *catalog = NULL, *fresh = NULL;
    const lsi_catalog_stream *stream;
    stream_end gone = {.control = local->control};
    ls_status st = lsi_local_check_writable(local);

    if (st != LS_OK)
        return st;
    st = lsi_local_catalog_lock(local, &catalog);
    if (st != LS_OK)
        return st;
    stream = lsi_catalog_find(catalog, name);
    if (stream == NULL) {
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' does not exist", name);
        goto unlock;
    }
    gone.id = stream->id;
    st = lsi_catalog_copy(catalog, gone.id, NULL, &fresh);
    if (st == LS_OK)
        st = lsi_local_catalog_replace(local, fresh, end_slots, &gone); /* L1 */
    if (st == LS_ERR_FULL && lsi_local_reserve_spend(local)) {
        fresh->generation = catalog->generation; /* The old manifest counts: once more, with what was kept for this. */
        st = lsi_local_catalog_replace(local, fresh, end_slots, &gone);
    }
unlock:
    lsi_local_catalog_unlock(local);
    lsi_catalog_unref(fresh);
    lsi_catalog_unref(catalog);
    if (st == LS_OK) {
        unmake_logs(local, gone.id); /* without the lock: its id comes back to nobody */
        lsi_local_reserve_make(local);
    }
    return st;
}
