/* Opening a store: options, directory, manifest, control file; and the table of the local engine.
 *
 * The order carries the promises. The manifest is read first, because it says whose control file this is; then the
 * control file is attached; then the manifest is read again, and only what it says now counts: whoever changes a
 * store's durability is alone behind the gate, and nobody who attached before the gate opened can have missed it (L4).
 * A store is made behind the same gate, so two who make it at once make one.
 *
 * A directory with streams but without a manifest is damage, never an empty store (R6). */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"
#include "engine/local/local.h"

/* ---- options ---- */

typedef struct settings {
    uint32_t flags;
    ls_durability durability; /* DEFAULT: not asked for */
    uint32_t sync_interval_ms; /* 0: not asked for */
    uint64_t segment_bytes;    /* 0: not asked for */
    uint64_t prealloc_bytes;
    ls_key_callback key_callback;
    void *key_user;
} settings;

static ls_status settings_take(const ls_store_options *options, lsi_env *env, settings *out)
{
    const uint32_t known = LS_STORE_READ_ONLY | LS_STORE_NO_CREATE | LS_STORE_NETWORK_FS_ALLOWED |
                           LS_STORE_NO_MAPPED_WRITES | LS_STORE_MAINTENANCE_THREAD;

    memset(out, 0, sizeof(*out));
    out->prealloc_bytes = LSI_PREALLOC_BYTES_DEFAULT;
    if (options == NULL)
        return LS_OK;
    if ((options->flags & ~known) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "unknown store flags 0x%x", options->flags & ~known);
    if (options->reserved != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.reserved is %u, not 0", options->reserved);
    if (options->durability < LS_DURABILITY_DEFAULT || options->durability > LS_DURABILITY_SYNC)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "durability is %d, not one of LS_DURABILITY_", options->durability);
    if (options->sync_interval_ms > LSI_SYNC_INTERVAL_MS_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "sync_interval_ms is %u, the most is %u", options->sync_interval_ms,
                        LSI_SYNC_INTERVAL_MS_MAX);
    if (options->segment_bytes != 0 &&
        (options->segment_bytes < LSI_SEGMENT_BYTES_MIN || options->segment_bytes > LSI_SEGMENT_BYTES_MAX))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "segment_bytes is %llu, not in %llu..%llu",
                        (unsigned long long)options->segment_bytes, (unsigned long long)LSI_SEGMENT_BYTES_MIN,
                        (unsigned long long)LSI_SEGMENT_BYTES_MAX);
    out->flags = options->flags;
    out->key_callback = options->key_callback;
    out->key_user = options->key_user;
    out->durability = options->durability;
    out->sync_interval_ms = options->sync_interval_ms;
    out->segment_bytes = lsi_round_up(options->segment_bytes, LSI_SEGMENT_BYTES_UNIT);
    if (options->prealloc_bytes != 0)
        out->prealloc_bytes = options->prealloc_bytes;
    if (options->busy_timeout_ms != 0)
        env->busy_timeout_ms = options->busy_timeout_ms;
    if (options->log != NULL) {
        env->log = options->log;
        env->log_user = options->log_user;
    }
    if (options->resize != NULL) {
        env->memory.resize = options->resize;
        env->memory.user = options->resize_user;
    }
    return LS_OK;
}

/* ---- the directory ---- */

static ls_status root_open(lsi_local *local, const char *path, const settings *wanted)
{
    const lsi_files *files = local->base.env.files;
    unsigned flags = 0;
    lsi_fs_kind kind;
    int result;

    if (!local->base.read_only)
        flags = LSI_ROOT_WRITE | ((wanted->flags & LS_STORE_NO_CREATE) != 0 ? 0 : LSI_ROOT_CREATE);
    result = files->root_open(files, path, flags, &local->root);
    if (result == -ENOENT || result == -ENOTDIR)
        return lsi_fail(LS_ERR_NOT_FOUND, "'%s' is no directory%s", path,
                        (flags & LSI_ROOT_CREATE) != 0 ? ", and neither is its parent" : "");
    if (result != 0)
        return lsi_fail_errno(result, "cannot open the directory '%s'%s", path,
                              (flags & LSI_ROOT_WRITE) != 0 ? " for writing" : "");
    result = files->root_kind(&local->root, &kind);
    if (result != 0)
        return lsi_fail_errno(result, "cannot tell the file system of '%s'", path);
    if (kind == LSI_FS_NETWORK && (wanted->flags & LS_STORE_NETWORK_FS_ALLOWED) == 0)
        return lsi_fail(LS_ERR_UNSUPPORTED, "'%s' is on a network file system, or one that is not known to be local, "
                        "whose locks may not hold: LS_STORE_NETWORK_FS_ALLOWED is at your own risk", path);
    local->map_tail = kind == LSI_FS_IN_PLACE && (wanted->flags & LS_STORE_NO_MAPPED_WRITES) == 0;
    return LS_OK;
}

static int stream_dir_note(void *user, const char *entry, bool is_dir)
{
    bool *found = user;

    *found = *found || strcmp(entry, LSI_MANIFEST_COPY_NAME) == 0 ||
        (is_dir && *entry >= '1' && *entry <= '9' && entry[strspn(entry, "0123456789")] == '\0');
    return 0;
}

/* R6: streams without a manifest are damage, not emptiness, and so is its copy. But they are looked for after it, and
 * somebody may have made the store in between: then it is in `out`. */
static ls_status no_store(const lsi_local *local, const char *path, lsi_catalog **out)
{
    bool has_streams = false;
    ls_status st;

    if (local->root.files->list(&local->root, "", stream_dir_note, &has_streams) != 0 || !has_streams)
        return lsi_fail(LS_ERR_NOT_FOUND, "there is no store in '%s'", path);
    st = lsi_local_catalog_load(&local->base.env, &local->root, out);
    return st != LS_ERR_NOT_FOUND
               ? st : lsi_fail(LS_ERR_CORRUPT, "'%s' holds streams, but its manifest is missing", path);
}

/* What can be done about a manifest that cannot be used. Whose the copy is, the repair finds out. */
static ls_status advise_repair(const lsi_local *local)
{
    lsi_error_state why, advised;
    lsi_catalog *copy;

    lsi_error_save(&why);
    if (lsi_local_catalog_load_from(&local->base.env, &local->root, LSI_MANIFEST_COPY_NAME, &copy) == LS_OK) {
        lsi_catalog_unref(copy);
        (void)lsi_fail(why.status, "%s; `lstream repair` puts its copy, %s, in its place", why.message,
                       LSI_MANIFEST_COPY_NAME); /* `why` with more words */
        lsi_error_save(&advised);
        advised.err = why.err;
        lsi_error_restore(&advised);
    } else {
        lsi_error_restore(&why);
    }
    return why.status;
}

/* Makes the manifest, unless somebody else does at the same time. */
static ls_status make_store(lsi_local *local, const char *path, const settings *wanted, lsi_catalog **out)
{
    const lsi_env *env = &local->base.env;
    lsi_gate *gate = NULL;
    lsi_catalog *catalog = NULL;
    lsi_root named;
    bool has_streams = false;
    ls_status st = lsi_control_gate(env, &local->root, &gate);
    int result;

    if (st != LS_OK)
        return st;
    st = lsi_local_catalog_load(env, &local->root, out);
    if (st != LS_ERR_NOT_FOUND)
        goto out;
    result = local->root.files->list(&local->root, "", stream_dir_note, &has_streams);
    if (result != 0) {
        st = lsi_fail_errno(result, "cannot list the directory '%s'", path);
        goto out;
    }
    if (has_streams) {
        st = lsi_fail(LS_ERR_CORRUPT, "'%s' holds streams, but its manifest is missing", path);
        goto out;
    }
    /* Before there is anything to be lost (D6). Whoever made the directory may have died before he synced its name, or
     * never meant to. */
    result = env->files->root_open(env->files, path, LSI_ROOT_WRITE | LSI_ROOT_SYNC_NAME, &named);
    if (result != 0) {
        st = lsi_fail_errno(result, "cannot sync the directory that holds '%s'", path);
        goto out;
    }
    env->files->root_close(&named);
    catalog = lsi_catalog_new(&env->memory);
    if (catalog == NULL) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for the manifest");
        goto out;
    }
    env->random(env->random_user, catalog->store_id, sizeof(catalog->store_id));
    catalog->head.generation = 1;
    catalog->durability = wanted->durability != LS_DURABILITY_DEFAULT ? wanted->durability : LS_DURABILITY_SYNC;
    catalog->sync_interval_ms =
        wanted->sync_interval_ms != 0 ? wanted->sync_interval_ms : LSI_SYNC_INTERVAL_MS_DEFAULT;
    catalog->segment_bytes = wanted->segment_bytes != 0 ? wanted->segment_bytes : LSI_SEGMENT_BYTES_DEFAULT;
    st = lsi_local_catalog_write(env, &local->root, catalog);
    if (st == LS_OK) {
        lsi_local_reserve_make(local);
        *out = catalog;
        catalog = NULL;
    }
out:
    lsi_catalog_unref(catalog);
    lsi_control_gate_release(gate);
    return st;
}

/* ---- settings that an open may change ---- */

static ls_status settings_change(lsi_local *local, ls_durability durability, uint32_t sync_interval_ms)
{
    lsi_catalog *catalog, *fresh = NULL;
    ls_status st = lsi_local_catalog_lock(local, &catalog);

    if (st != LS_OK)
        return st;
    st = lsi_catalog_copy(catalog, 0, NULL, &fresh);
    if (st == LS_OK) {
        fresh->durability = durability != LS_DURABILITY_DEFAULT ? durability : fresh->durability;
        fresh->sync_interval_ms = sync_interval_ms != 0 ? sync_interval_ms : fresh->sync_interval_ms;
        st = lsi_local_catalog_replace(local, fresh, NULL, NULL);
    }
    lsi_local_catalog_unlock(local);
    lsi_catalog_unref(fresh);
    lsi_catalog_unref(catalog);
    return st;
}

static const char *durability_name(ls_durability durability)
{
    return durability == LS_DURABILITY_SYNC ? "SYNC" : durability == LS_DURABILITY_INTERVAL ? "INTERVAL" : "KERNEL";
}

static void settings_use(lsi_local *local, const lsi_catalog *catalog)
{
    local->durability = catalog->durability;
    local->sync_interval_ms = catalog->sync_interval_ms;
    local->segment_bytes = catalog->segment_bytes;
}

/* L4 */
static ls_status durability_change(lsi_local *local, ls_durability wanted)
{
    lsi_gate *gate = NULL;
    lsi_catalog *catalog = NULL;
    ls_status st = lsi_control_gate(&local->base.env, &local->root, &gate);

    if (st != LS_OK)
        return st;
    st = lsi_local_catalog(local, &catalog); /* somebody else may have changed it to what we want */
    if (st != LS_OK || catalog->durability == wanted)
        goto out;
    if (!lsi_control_is_alone(local->control)) {
        st = lsi_fail(LS_ERR_STATE, "the store's durability is %s; it can become %s when nobody else has it open",
                      durability_name(catalog->durability), durability_name(wanted));
        goto out;
    }
    settings_use(local, catalog);
    /* Whatever was put under the old durability, by whomever. */
    st = lsi_local_sync_catalog(local, catalog, true, false);
    if (st == LS_OK)
        st = settings_change(local, wanted, 0);
out:
    lsi_catalog_unref(catalog);
    lsi_control_gate_release(gate);
    return st;
}

/* Makes the store's settings and the wanted ones agree, and uses them. */
static ls_status settings_agree(lsi_local *local, const settings *wanted)
{
    lsi_catalog *catalog;
    ls_status st = lsi_local_catalog(local, &catalog);
    bool other_durability, other_interval;

    if (st != LS_OK)
        return st;
    other_durability = wanted->durability != LS_DURABILITY_DEFAULT && wanted->durability != catalog->durability;
    other_interval = wanted->sync_interval_ms != 0 && wanted->sync_interval_ms != catalog->sync_interval_ms;
    if (wanted->segment_bytes != 0 && wanted->segment_bytes != catalog->segment_bytes)
        st = lsi_fail(LS_ERR_STATE, "the store's segments have %llu bytes, which cannot become %llu",
                      (unsigned long long)catalog->segment_bytes, (unsigned long long)wanted->segment_bytes);
    else if (other_durability && local->base.read_only)
        st = lsi_fail(LS_ERR_STATE, "the store's durability is %s, and an open for reading does not change it",
                      durability_name(catalog->durability));
    lsi_catalog_unref(catalog);
    if (st == LS_OK && other_durability)
        st = durability_change(local, wanted->durability);
    if (st == LS_OK && other_interval && !local->base.read_only)
        st = settings_change(local, LS_DURABILITY_DEFAULT, wanted->sync_interval_ms);
    if (st == LS_OK)
        st = lsi_local_catalog(local, &catalog);
    if (st != LS_OK)
        return st;
    settings_use(local, catalog);
    lsi_catalog_unref(catalog);
    return LS_OK;
}

/* With the control file went the word whether a replaced manifest had got its name synced. Where a sync of the
 * directory failed then, one that succeeds now says nothing (E1): whoever reads the manifest next settles (L3).
 * `is_new`: it was made here, and synced. */
static ls_status doubt_manifest(lsi_local *local, bool is_new)
{
    ls_status st;

    if (!lsi_control_is_unsure(local->control) ||
        lsi_control_manifest_generation(local->control) != LSI_CONTROL_GENERATION_FIRST)
        return LS_OK;
    st = lsi_control_lock(local->control);
    if (st != LS_OK)
        return st;
    if (lsi_control_manifest_generation(local->control) == LSI_CONTROL_GENERATION_FIRST) {
        lsi_control_manifest_changing(local->control);
        if (is_new)
            lsi_control_manifest_changed(local->control);
    }
    lsi_control_unlock(local->control);
    return LS_OK;
}

/* E3: a control file that was made anew has room for few slots. Who reads does without it where a full disk has none
 * for more; for others, failing now is no worse than not asking. Nobody is waited for: who holds the lock uses it. */
static ls_status reserve_slots(lsi_local *local, const lsi_catalog *catalog)
{
    ls_status st;

    if (lsi_control_is_private(local->control) || !lsi_control_try_lock(local->control))
        return LS_OK;
    st = lsi_local_slots_reserve(local, catalog);
    lsi_control_unlock(local->control);
    return st == LS_ERR_FULL && local->base.read_only
               ? lsi_control_stand_in(local->control, &local->root, local->store_id) : LS_OK;
}

/* ---- locks and checks ---- */

void lsi_local_lock(lsi_local *local)
{
    lsi_lock_result result;

    /* Held for moments only, and by threads of this process: an hour never passes. */
    do {
        result = lsi_lock_take(&local->lock, LSI_RANK_LOCAL, 3600000);
    } while (result == LSI_LOCK_BUSY);
    if (result == LSI_LOCKED_AFTER_DEATH)
        lsi_lock_repaired(&local->lock); /* a thread that ended in a callback; what it guards is changed by one store */
}

void lsi_local_unlock(lsi_local *local)
{
    lsi_lock_release(&local->lock, LSI_RANK_LOCAL);
}

ls_status lsi_local_is_elsewhere(void)
{
    return lsi_fail(LS_ERR_STATE, "the store was opened before a fork: this process has to open it itself");
}

ls_status lsi_local_check_writable(const lsi_local *local)
{
    ls_status st = lsi_local_check_mine(local);

    if (st == LS_OK && local->base.read_only)
        st = lsi_fail(LS_ERR_READ_ONLY, "the store was opened for reading");
    return st;
}

/* ---- the table ---- */

static void release(lsi_local *local)
{
    const lsi_memory memory = local->base.env.memory;

    lsi_control_close(local->control);
    lsi_catalog_unref(local->catalog);
    lsi_local_free_keys(local);
    if (local->root.files != NULL)
        local->root.files->root_close(&local->root);
    lsi_free(&memory, local);
}

static ls_status local_close(lsi_engine *engine)
{
    lsi_local *local = lsi_local_of(engine);
    ls_status st;

    if (lsi_control_is_mine(local->control))
        lsi_local_sweeper_stop(local);
    st = lsi_local_streams_close(local);
    release(local);
    return st;
}

static ls_durability local_durability(const lsi_engine *engine)
{
    return lsi_local_of(engine)->durability;
}

static ls_status local_maintain(lsi_engine *engine, int64_t timeout_ms)
{
    lsi_local *local = lsi_local_of(engine);
    int64_t now_us = lsi_monotonic_us(&engine->env.clock), until_us = INT64_MAX;
    lsi_error_state why;
    uint64_t id = 0;
    ls_status st = lsi_local_check_mine(local), first = LS_OK;

    if (st != LS_OK || local->base.read_only)
        return st; /* changes nothing */
    if (timeout_ms >= 0 && timeout_ms < (INT64_MAX - now_us) / 1000)
        until_us = now_us + timeout_ms * 1000;
    lsi_error_note_first(lsi_local_clear_strays(local, &id, UINT32_MAX, until_us), &first, &why);
    lsi_local_reserve_make(local);
    lsi_error_note_first(lsi_local_copy_refresh(local), &first, &why);
    if (local->durability == LS_DURABILITY_INTERVAL && lsi_monotonic_us(&engine->env.clock) < until_us)
        lsi_error_note_first(lsi_local_sync(engine), &first, &why);
    lsi_error_note_first(lsi_local_upkeep_all(local, until_us), &first, &why);
    if (first != LS_OK)
        lsi_error_restore(&why);
    return first;
}

static const lsi_engine_ops local_ops = {
    .close = local_close,
    .durability = local_durability,
    .sync = lsi_local_sync,
    .maintain = local_maintain,
    .backup = lsi_local_backup,
    .list = lsi_local_list,
    .create = lsi_local_create,
    .remove = lsi_local_remove,
    .remove_with_consumers = lsi_local_remove_with_consumers,
    .start_encryption = lsi_local_start_encryption,
    .stop_encryption = lsi_local_stop_encryption,
    .set_compression = lsi_local_set_compression,
    .stream_open = lsi_local_stream_open,
    .stream_close = lsi_local_stream_close,
    .info = lsi_local_stream_info,
    .update = lsi_local_update,
    .tags = lsi_local_tags,
    .generation = lsi_local_stream_generation,
    .shard_state = lsi_local_shard_state,
    .count_from = lsi_local_count_from,
    .reset_shard = lsi_local_reset_shard,
    .recompress = lsi_local_recompress,
    .reshard = lsi_local_reshard,
    .counts = lsi_local_counts,
    .budget = lsi_local_budget,
    .register_consumer = lsi_local_register_consumer,
    .deregister_consumer = lsi_local_deregister_consumer,
    .consumers = lsi_local_consumers,
    .hold = lsi_local_hold,
    .hold_check = lsi_local_hold_check,
    .hold_end = lsi_local_hold_end,
    .state_read = lsi_local_state_read,
    .state_write = lsi_local_state_write,
    .step = lsi_local_step,
    .lease_words = lsi_local_lease_words,
    .find_lease_words = lsi_local_find_lease_words,
    .ticket = lsi_local_ticket,
    .ticket_is_gone = lsi_local_ticket_is_gone,
    .sync_shard = lsi_local_sync_shard,
    .written = lsi_local_written,
    .appender_open = lsi_local_appender_open,
    .appender_close = lsi_local_appender_close,
    .append = lsi_local_append,
    .append_numbered = lsi_local_append_numbered,
    .commit = lsi_local_commit,
    .reader_open = lsi_local_reader_open,
    .reader_close = lsi_local_reader_close,
    .seek = lsi_local_seek,
    .read = lsi_local_read,
    .count_cut = lsi_local_count_cut,
    .place = lsi_local_place,
    .arm = lsi_local_arm,
    .sleep = lsi_local_sleep,
    .sleep_guarded = lsi_local_sleep_guarded,
    .rouse = lsi_local_rouse,
    .wake = lsi_local_wake,
};

ls_status lsi_local_open(const char *root_path, const ls_store_options *options, const lsi_env *env, lsi_engine **out)
{
    lsi_env own = *env;
    settings wanted;
    lsi_catalog *catalog = NULL;
    lsi_local *local;
    bool alone, is_new = false;
    ls_status st = settings_take(options, &own, &wanted);
    uint32_t number;
    int result;

    if (st != LS_OK)
        return st;
    local = lsi_alloc_zero(&own.memory, sizeof(*local));
    if (local == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a store");
    local->base.ops = &local_ops;
    local->base.env = own;
    local->base.read_only = (wanted.flags & LS_STORE_READ_ONLY) != 0;
    local->prealloc_bytes = wanted.prealloc_bytes;
    local->key_callback = wanted.key_callback;
    local->key_user = wanted.key_user;
    own.random(own.random_user, &number, sizeof(number));
    atomic_init(&local->ticket_count, number);
    result = lsi_lock_init(&local->lock);
    if (result != 0) {
        st = lsi_fail_errno(result, "cannot make a lock");
        goto fail;
    }
    result = lsi_descriptors_init(&local->descriptors, own.files);
    if (result != 0) {
        st = lsi_fail_errno(result, "cannot make a lock");
        goto fail;
    }
    st = root_open(local, root_path, &wanted);
    if (st != LS_OK)
        goto fail;
    local->root.make_room = lsi_descriptors_make_room;
    local->root.room_user = &local->descriptors;
    st = lsi_local_catalog_load(&local->base.env, &local->root, &catalog);
    if (st == LS_ERR_NOT_FOUND) {
        is_new = (wanted.flags & (LS_STORE_READ_ONLY | LS_STORE_NO_CREATE)) == 0;
        st = is_new ? make_store(local, root_path, &wanted, &catalog) : no_store(local, root_path, &catalog);
    }
    if (lsi_local_is_damage(st))
        st = advise_repair(local);
    if (st != LS_OK)
        goto fail;
    memcpy(local->store_id, catalog->store_id, sizeof(local->store_id));
    settings_use(local, catalog);
    st = lsi_control_open(&local->base.env, &local->root, local->store_id, local->base.read_only, &local->control,
                          &alone);
    if (st == LS_OK)
        st = reserve_slots(local, catalog);
    lsi_catalog_unref(catalog);
    if (st != LS_OK)
        goto fail;
    local->mark = lsi_control_mark(local->control);
    if (alone && !local->base.read_only)
        st = doubt_manifest(local, is_new);
    if (st == LS_OK && alone && !local->base.read_only && !is_new)
        st = lsi_local_copy_refresh(local);
    if (st != LS_OK)
        goto fail;
    st = settings_agree(local, &wanted);
    if (st != LS_OK)
        goto fail;
    if (!local->base.read_only) {
        local->keeps_up = (wanted.flags & LS_STORE_MAINTENANCE_THREAD) != 0;
        if (local->durability == LS_DURABILITY_INTERVAL || local->keeps_up)
            st = lsi_local_sweeper_start(local);
        if (st != LS_OK)
            goto fail;
        lsi_local_upkeep_of_open(local, alone); /* Last: it opens streams. */
    }
    *out = &local->base;
    return LS_OK;
fail:
    release(local); /* accepts a half-built one */
    return st;
}
