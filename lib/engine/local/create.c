/* Creating and deleting streams.
 *
 * Creating holds the store lock from the check of the name to the new manifest. Directories are synced before, so a
 * manifest never names what a crash can take away (R6). Deleting replaces the manifest, ends the slots, opens the lock,
 * and only then removes files: that part may die, and the strays are removed by upkeep. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

#define RESERVE_SLOTS_MAX 4096u /* 4 MiB of control file; stores with more shards grow it as they go */

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

static uint64_t count_open(const lsi_catalog *catalog)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < catalog->stream_count; i++)
        for (uint32_t k = 0; k < catalog->streams[i].shard_count; k++)
            count += !catalog->streams[i].shards[k].closed;
    return count;
}

ls_status lsi_local_check_limits(const lsi_local *local, const char *name, const lsi_catalog *before,
                                 const lsi_catalog *after)
{
    uint32_t streams_max = local->base.streams_max, shards_max = local->base.shards_max;
    uint64_t had, would;

    if (streams_max != 0 && after->stream_count > streams_max && after->stream_count > before->stream_count)
        return lsi_fail(LS_ERR_STATE, "stream '%s': the store has %" PRIu32 " streams, and streams_max is %" PRIu32,
                        name, before->stream_count, streams_max);
    if (shards_max == 0)
        return LS_OK;
    had = count_open(before);
    would = count_open(after);
    if (would > shards_max && would > had)
        return lsi_fail(LS_ERR_STATE, "stream '%s': the store has %" PRIu64 " open shards, %" PRIu64
                        " more would come, and shards_max is %" PRIu32, name, had, would - had, shards_max);
    return LS_OK;
}

ls_status lsi_local_create(lsi_engine *engine, const lsi_stream_spec *spec)
{
    lsi_local *local = lsi_local_of(engine);
    lsi_catalog *catalog = NULL, *fresh = NULL;
    lsi_catalog_stream stream = {.retention_hours = spec->retention_hours,
                                 .mode = spec->mode,
                                 .status = LS_STREAM_ACTIVE,
                                 .record_bytes_max = spec->record_bytes_max,
                                 .rates = spec->rates,
                                 .terms = {.codec = spec->codec},
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
    if (st == LS_OK)
        st = lsi_local_check_limits(local, stream.name, catalog, fresh);
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
