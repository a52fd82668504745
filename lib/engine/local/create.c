/* Creating and deleting streams.
 *
 * A stream may have 65,536 shards, and making a log for each takes the disk minutes. So creating is three steps, and
 * only the first and the last, which take moments, hold the store lock:
 *
 *   claim   the name is free, and an id that no stream ever had is claimed (lsi_control_claim)
 *   make    the directory `new-<id>` with an empty log for each shard, everything synced
 *   name    the name is still free; the slots; the directory gets its name `<id>`, which is synced before the manifest
 *           that names the stream is put in place (R6)
 *
 * A creator who dies leaves his claim to the kernel, and a `new-<id>` in which no record ever was: upkeep removes it
 * (strays.c). From the slots on, the manifest's generation is odd: whoever settles it frees them.
 *
 * Deleting replaces the manifest, ends the slots, opens the lock, and only then removes files: that part may die, and
 * the strays are removed by upkeep. With a delay for changes (transition.c) it is two steps: the stream is DELETING,
 * and its shards' slots end; when the time is over somebody buries it, which is the rest. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"
#include "engine/local/step.h"

#define RESERVE_SLOTS_MAX 4096u /* 4 MiB of control file; stores with more shards grow it as they go */
/* From so many shards on everything is synced at once. That writes out what others have left on the file system, too;
 * below, three syncs a shard are the lesser evil. */
#define BULK_SHARDS_MIN 32u
#define REMOVE_TRIES_MAX 1000u
#define CREATING_MAX 5u /* Kinesis */

static void remove_quietly(lsi_local *local, const char *dir)
{
    lsi_error_state why;

    lsi_error_save(&why);
    (void)lsi_local_remove_dir(local, dir, INT64_MAX); /* upkeep removes what stays */
    lsi_error_restore(&why);
}

static void stream_dir(uint64_t id, char dir[LSI_LOG_DIR_BYTES])
{
    (void)snprintf(dir, LSI_LOG_DIR_BYTES, "%" PRIu64, id); /* 20 digits at most */
}

/* ---- limits ---- */

static uint64_t count_open(const lsi_catalog *catalog, int64_t now_us)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < catalog->stream_count; i++) {
        const lsi_catalog_stream *stream = &catalog->streams[i];

        if (lsi_catalog_status(stream, now_us) != LSI_STREAM_GONE)
            for (uint32_t k = 0; k < stream->shard_count; k++)
                count += !stream->shards[k].closed;
    }
    return count;
}

ls_status lsi_local_check_limits(const lsi_local *local, const char *name, const lsi_catalog *before,
                                 const lsi_catalog *after)
{
    uint32_t streams_max = local->base.streams_max, shards_max = local->base.shards_max;
    uint64_t had, would;
    int64_t now_us;

    if (streams_max != 0 && after->stream_count > streams_max && after->stream_count > before->stream_count)
        return lsi_fail(LS_ERR_STATE, "stream '%s': the store has %" PRIu32 " streams, and streams_max is %" PRIu32,
                        name, before->stream_count, streams_max);
    if (shards_max == 0)
        return LS_OK;
    now_us = lsi_wall_us(&local->base.env.clock);
    had = count_open(before, now_us);
    would = count_open(after, now_us);
    if (would > shards_max && would > had)
        return lsi_fail(LS_ERR_STATE, "stream '%s': the store has %" PRIu64 " open shards, %" PRIu64
                        " more would come, and shards_max is %" PRIu32, name, had, would - had, shards_max);
    return LS_OK;
}

static ls_status check_creating(const lsi_local *local, const char *name, const lsi_catalog *catalog)
{
    int64_t now_us = lsi_wall_us(&local->base.env.clock);
    uint32_t count = 0;

    for (uint32_t i = 0; i < catalog->stream_count; i++)
        count += lsi_catalog_status(&catalog->streams[i], now_us) == LS_STREAM_CREATING;
    return count < CREATING_MAX
               ? LS_OK
               : lsi_fail(LS_ERR_STATE, "stream '%s': the store has %" PRIu32 " streams that are being created, as "
                          "many as it can have", name, count);
}

/* ---- creating ---- */

typedef struct creation {
    lsi_local *local;
    lsi_catalog_stream stream;
    lsi_claim claim;
    char made[28];               /* `new-<id>`: 4 + 20, and the end */
    char dir[LSI_LOG_DIR_BYTES]; /* `<id>` */
} creation;

static ls_status plan(creation *of, const lsi_stream_spec *spec)
{
    const lsi_env *env = &of->local->base.env;
    lsi_catalog_stream *stream = &of->stream;
    const lsi_tags no_tags = {0};
    ls_status st;

    *stream = (lsi_catalog_stream){.retention_hours = spec->retention_hours,
                                   .retention_bytes = spec->retention_bytes,
                                   .mode = spec->mode,
                                   .status = LS_STREAM_ACTIVE,
                                   .record_bytes_max = spec->record_bytes_max,
                                   .rates = spec->rates,
                                   .terms = {.codec = spec->codec},
                                   .shard_count = spec->shard_count};
    memcpy(stream->name, spec->name, strlen(spec->name) + 1); /* Fits: it was checked. */
    stream->created_us = lsi_wall_us(&env->clock);
    st = lsi_tags_add(&env->memory, &no_tags, spec->tags, spec->tag_count, &stream->tags);
    if (st != LS_OK)
        return st;
    stream->shards = lsi_alloc_zero(&env->memory, spec->shard_count * sizeof(*stream->shards));
    if (stream->shards == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for %u shards", spec->shard_count);
    for (uint32_t i = 0; i < spec->shard_count; i++)
        stream->shards[i] = (lsi_shard){.index = i,
                                        .parent = LSI_NO_SHARD,
                                        .adjacent_parent = LSI_NO_SHARD,
                                        .range = lsi_hash_range_of(i, spec->shard_count),
                                        .first_seqno = 1,
                                        .created_us = stream->created_us};
    return LS_OK;
}

/* The catalog with the stream, if it may be there. */
static ls_status add_stream(const creation *of, const lsi_catalog *catalog, lsi_catalog **out)
{
    lsi_catalog *fresh = NULL;
    ls_status st = lsi_catalog_find(catalog, of->stream.name) == NULL
                       ? LS_OK
                       : lsi_fail(LS_ERR_EXISTS, "stream '%s' exists", of->stream.name);

    if (st == LS_OK)
        st = check_creating(of->local, of->stream.name, catalog);
    if (st == LS_OK)
        st = lsi_catalog_copy(catalog, 0, &of->stream, &fresh);
    if (st == LS_OK)
        st = lsi_local_check_limits(of->local, of->stream.name, catalog, fresh);
    if (st != LS_OK) {
        lsi_catalog_unref(fresh);
        return st;
    }
    if (fresh->next_id <= of->stream.id)
        fresh->next_id = of->stream.id + 1;
    *out = fresh;
    return LS_OK;
}

/* L2: an id that no manifest named and nobody else is making a stream of. */
static ls_status claim_id(creation *of)
{
    lsi_catalog *catalog, *fresh = NULL;
    ls_status st = lsi_local_catalog_lock(of->local, &catalog);

    if (st != LS_OK)
        return st;
    st = add_stream(of, catalog, &fresh); /* Said now, and not when all was made. */
    lsi_catalog_unref(fresh);
    if (st == LS_OK)
        st = lsi_control_claim(&of->local->base.env, &of->local->root, catalog->next_id, UINT64_MAX, &of->claim);
    if (st == LS_OK) {
        of->stream.id = of->claim.id;
        stream_dir(of->claim.id, of->dir);
        (void)snprintf(of->made, sizeof(of->made), LSI_UNFINISHED_PREFIX "%" PRIu64, of->claim.id);
        /* Now, since from now on no stray may have this name: who clears strays away may have seen it as one. */
        st = lsi_local_set_aside(of->local, of->claim.id);
    }
    lsi_local_catalog_unlock(of->local);
    lsi_catalog_unref(catalog);
    return st;
}

static ls_status make_each(const creation *of, bool synced_later)
{
    const lsi_catalog_stream *stream = &of->stream;
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < stream->shard_count && st == LS_OK; i++) {
        lsi_log_config config;

        lsi_local_log_config_of(of->local, stream, &stream->shards[i], &config);
        config.synced_later = synced_later;
        (void)snprintf(config.dir, sizeof(config.dir), "%s/%" PRIu32, of->made, i);
        st = lsi_log_create(&config);
    }
    return st;
}

/* The directory with an empty log for each shard, all durable but for its own name. */
static ls_status make_logs(const creation *of)
{
    lsi_local *local = of->local;
    const lsi_files *files = local->root.files;
    lsi_file bulk = {0};
    ls_status st;
    int result = files->make_dir(&local->root, of->made);

    if (result == -EEXIST) { /* of a creator who is gone: the claim is ours */
        st = lsi_local_remove_dir(local, of->made, INT64_MAX);
        if (st != LS_OK)
            return st;
        result = files->make_dir(&local->root, of->made);
    }
    if (result != 0)
        return lsi_fail_errno(result, "stream '%s': cannot make its directory %s", of->stream.name, of->made);
    if (of->stream.shard_count >= BULK_SHARDS_MIN && files->bulk_begin(&local->root, &bulk) == 0) {
        st = make_each(of, true);
        result = files->bulk_end(&bulk, st == LS_OK);
    } else {
        st = make_each(of, false);
        if (st == LS_OK)
            result = files->sync_dir(&local->root, of->made);
    }
    if (st == LS_OK && result != 0)
        st = lsi_fail_errno(result, "stream '%s': cannot sync its directory %s", of->stream.name, of->made);
    return st;
}

ls_status lsi_local_slots_reserve(lsi_local *local, const lsi_catalog *catalog)
{
    uint64_t count = 0;
    lsi_error_state before;
    ls_status st;

    lsi_error_save(&before);
    for (uint32_t i = 0; i < catalog->stream_count; i++)
        count += (uint64_t)catalog->streams[i].shard_count + 1 + catalog->streams[i].has_state;
    st = lsi_control_reserve(local->control, count < RESERVE_SLOTS_MAX ? (uint32_t)count : RESERVE_SLOTS_MAX);
    lsi_error_restore(&before);
    return st;
}

static ls_status publish_slots(const creation *of)
{
    const lsi_catalog_stream *stream = &of->stream;
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < stream->shard_count && st == LS_OK; i++) {
        lsi_log_config config;

        lsi_local_log_config_of(of->local, stream, &stream->shards[i], &config);
        st = lsi_log_publish_new(&config);
    }
    return st;
}

static ls_status name_directory(const creation *of)
{
    lsi_local *local = of->local;
    const lsi_files *files = local->root.files;
    int result = files->rename(&local->root, of->made, of->dir);

    if (result != 0)
        return lsi_fail_errno(result, "stream '%s': cannot rename %s to %s", of->stream.name, of->made, of->dir);
    result = files->sync_dir(&local->root, ""); /* before the manifest says it */
    return result == 0 ? LS_OK : lsi_fail_errno(result, "stream '%s': cannot sync the name of its directory %s",
                                                of->stream.name, of->dir);
}

/* Slots, directory and manifest. `fresh`: the catalog with the stream. Locks: store lock held. */
static ls_status put_in_place(const creation *of, lsi_catalog *fresh)
{
    lsi_control *control = of->local->control;
    ls_status st;

    lsi_control_manifest_changing(control);
    st = publish_slots(of);
    if (st == LS_OK)
        st = name_directory(of);
    if (st != LS_OK) {
        lsi_control_drop_stream(control, of->stream.id, of->stream.id);
        lsi_control_manifest_changed(control);
        return st;
    }
    st = lsi_local_catalog_replace(of->local, fresh, NULL, NULL); /* L1 */
    if (st == LS_OK)
        (void)lsi_local_slots_reserve(of->local, fresh); /* Failing now is no worse than not asking. */
    else if (lsi_control_manifest_generation(control) % 2 == 0)
        lsi_control_drop_stream(control, of->stream.id, of->stream.id); /* the old manifest counts */
    return st;
}

static ls_status name_stream(creation *of)
{
    lsi_local *local = of->local;
    lsi_catalog *catalog, *fresh = NULL;
    bool undone = true;
    ls_status st = lsi_local_catalog_lock(local, &catalog);

    lsi_local_begin_transition(local, &of->stream, LS_STREAM_CREATING); /* from now on: making may have taken long */
    if (st == LS_OK) {
        st = add_stream(of, catalog, &fresh);
        if (st == LS_OK) {
            st = put_in_place(of, fresh);
            undone = lsi_control_manifest_generation(local->control) % 2 == 0;
            if (st != LS_OK && undone) /* Back under the name that the claim covers; without this it is set aside. */
                (void)local->root.files->rename(&local->root, of->dir, of->made);
        }
        lsi_local_catalog_unlock(local);
        lsi_catalog_unref(fresh);
        lsi_catalog_unref(catalog);
    }
    if (st != LS_OK && undone)
        remove_quietly(local, of->made);
    return st;
}

ls_status lsi_local_create(lsi_engine *engine, const lsi_stream_spec *spec)
{
    creation of = {.local = lsi_local_of(engine)};
    ls_status st = lsi_local_check_writable(of.local);

    if (st == LS_OK)
        st = lsi_check_stream_name(spec->name);
    if (st == LS_OK)
        st = lsi_local_bury(of.local); /* The name may be of one that is gone. */
    if (st == LS_OK)
        st = plan(&of, spec);
    if (st == LS_OK)
        st = claim_id(&of);
    if (st == LS_OK) {
        st = make_logs(&of);
        if (st == LS_OK)
            st = name_stream(&of);
        else
            remove_quietly(of.local, of.made);
    }
    lsi_control_claim_release(&of.claim);
    lsi_free(&engine->env.memory, of.stream.shards);
    lsi_free(&engine->env.memory, of.stream.tags.text);
    return st;
}

/* ---- deleting ---- */

/* A stream's end: its slots, and those of its consumers. */
typedef struct stream_end {
    lsi_control *control;
    const lsi_catalog_stream *stream;
} stream_end;

static void end_slots(void *user, bool replaced)
{
    const stream_end *of = user;

    if (!replaced)
        return;
    for (uint32_t i = 0; i < of->stream->consumer_count; i++)
        lsi_control_drop_stream(of->control, lsi_consumer_slot_id(of->stream->consumers[i].id), of->stream->id);
    lsi_control_drop_stream(of->control, of->stream->id, of->stream->id); /* last: it wakes who sleeps */
}

/* What nobody names any more. Without a lock: its id comes back to nobody. */
static void remove_files(lsi_local *local, uint64_t id)
{
    char dir[LSI_LOG_DIR_BYTES];

    stream_dir(id, dir);
    remove_quietly(local, dir);
    if (atomic_exchange_explicit(&local->was_full, 0, memory_order_relaxed) != 0)
        lsi_local_space_is_back(local);
    lsi_local_reserve_make(local);
}

/* Locks: store lock held. */
static ls_status unname(lsi_local *local, const lsi_catalog *catalog, const lsi_catalog_stream *stream)
{
    stream_end gone = {.control = local->control, .stream = stream};
    lsi_catalog *fresh = NULL;
    ls_status st = lsi_catalog_copy(catalog, stream->id, NULL, &fresh);

    if (st == LS_OK)
        st = lsi_local_catalog_replace_at_need(local, fresh, end_slots, &gone); /* L1 */
    lsi_catalog_unref(fresh);
    return st;
}

/* A stream that begins to be DELETING. */
typedef struct stream_leave {
    lsi_local *local;
    uint64_t id;
    lsi_catalog *fresh;
} stream_leave;

static void end_shards(void *user, bool replaced)
{
    const stream_leave *of = user;
    lsi_slot *slot;

    if (!replaced)
        return;
    /* First, and released: who finds his shard's slot ended finds this raised, and asks what became of it. */
    if (lsi_control_slot_find(of->local->control, LSI_SLOT_STREAM, of->id, 0, &slot) == LS_OK && slot != NULL) {
        atomic_fetch_add_explicit(&slot->generation, 1, memory_order_release);
        lsi_slots_wake(slot, NULL);
    }
    lsi_local_drop_gone_shards(of->local, of->fresh); /* It wakes who sleeps. */
}

/* Locks: store lock held. */
static ls_status begin_deleting(lsi_local *local, const lsi_catalog *catalog, const lsi_catalog_stream *stream)
{
    stream_leave of = {.local = local, .id = stream->id};
    lsi_catalog_stream after = *stream;
    ls_status st;

    lsi_local_begin_transition(local, &after, LS_STREAM_DELETING);
    st = lsi_catalog_copy(catalog, stream->id, &after, &of.fresh);
    if (st == LS_OK)
        st = lsi_local_catalog_replace_at_need(local, of.fresh, end_shards, &of);
    lsi_catalog_unref(of.fresh);
    return st;
}

static ls_status check_deletable(const lsi_local *local, const lsi_catalog_stream *stream, bool with_consumers)
{
    uint32_t count;

    if (stream->status == LS_STREAM_DELETING)
        return lsi_fail(LS_ERR_STATE, "stream '%s' is being deleted", stream->name);
    count = with_consumers ? 0 : lsi_local_count_consumers(stream, lsi_wall_us(&local->base.env.clock));
    if (count > 0) /* Kinesis: not without EnforceConsumerDeletion. */
        return lsi_fail(LS_ERR_STATE, "stream '%s' has %u registered consumers", stream->name, count);
    return LS_OK;
}

/* `*is_left`: nothing was done, for the stream took a step meanwhile. */
static ls_status try_remove(lsi_engine *engine, const char *name, bool with_consumers, lsi_step_end *steps,
                            bool *is_left)
{
    bool takes_time = engine->stream_transition_ms > 0;
    lsi_local *local = lsi_local_of(engine);
    const lsi_catalog_stream *stream = NULL;
    lsi_catalog *catalog = NULL;
    uint64_t id = 0;
    ls_status st = lsi_local_catalog_lock(local, &catalog);

    *is_left = false;
    if (st != LS_OK)
        return st;
    st = lsi_local_find(local, catalog, name, &stream);
    if (st == LS_OK)
        st = check_deletable(local, stream, with_consumers);
    if (st == LS_OK && stream->has_state) {
        bool is_same = steps->stream != NULL && steps->stream->id == stream->id;

        if (is_same)
            st = lsi_local_step_end_lock(steps, &is_same);
        *is_left = !is_same;
    }
    if (st == LS_OK && !*is_left) {
        id = stream->id;
        st = takes_time ? begin_deleting(local, catalog, stream) : unname(local, catalog, stream);
    }
    lsi_local_step_end_unlock(steps);
    lsi_local_catalog_unlock(local);
    lsi_catalog_unref(catalog);
    if (st == LS_OK && !*is_left && !takes_time) {
        lsi_local_give_up_idle(local); /* Else the files would keep their space. */
        remove_files(local, id);
    }
    return st;
}

static ls_status remove_stream(lsi_engine *engine, const char *name, bool with_consumers)
{
    lsi_local *local = lsi_local_of(engine);
    lsi_step_end steps = {0};
    bool is_left = false;
    ls_status st = lsi_local_check_writable(local);

    if (st == LS_OK)
        st = try_remove(engine, name, with_consumers, &steps, &is_left);
    for (uint32_t tries = 0; st == LS_OK && is_left; tries++) {
        if (tries == REMOVE_TRIES_MAX)
            return lsi_fail(LS_ERR_BUSY, "stream '%s': others change its state all the time", name);
        st = lsi_local_step_end(local, name, &steps);
        if (st == LS_OK)
            st = try_remove(engine, name, with_consumers, &steps, &is_left);
        lsi_local_step_end_release(&steps);
    }
    if (st == LS_OK)
        lsi_local_give_up_idle(local); /* The steps' end had it in use. */
    return st;
}

/* NULL: there is none. */
static const lsi_catalog_stream *find_gone(const lsi_local *local, const lsi_catalog *catalog)
{
    for (uint32_t i = 0; i < catalog->stream_count; i++) {
        const lsi_catalog_stream *stream = &catalog->streams[i];

        if (stream->status == LS_STREAM_DELETING &&
            lsi_catalog_status(stream, lsi_wall_us(&local->base.env.clock)) == LSI_STREAM_GONE)
            return stream;
    }
    return NULL;
}

ls_status lsi_local_bury(lsi_local *local)
{
    const lsi_catalog_stream *gone;
    lsi_catalog *catalog;
    uint64_t id;

    for (;;) {
        ls_status st = lsi_local_catalog(local, &catalog); /* A look without the lock: mostly there is none. */

        if (st != LS_OK)
            return st;
        gone = find_gone(local, catalog);
        lsi_catalog_unref(catalog);
        if (gone == NULL)
            return LS_OK;
        st = lsi_local_catalog_lock(local, &catalog);
        if (st != LS_OK)
            return st;
        gone = find_gone(local, catalog);
        id = gone != NULL ? gone->id : 0;
        if (gone != NULL)
            st = unname(local, catalog, gone);
        lsi_local_catalog_unlock(local);
        lsi_catalog_unref(catalog);
        if (st != LS_OK)
            return st;
        if (id != 0)
            remove_files(local, id);
    }
}

ls_status lsi_local_remove(lsi_engine *engine, const char *name)
{
    return remove_stream(engine, name, false);
}

ls_status lsi_local_remove_with_consumers(lsi_engine *engine, const char *name)
{
    return remove_stream(engine, name, true);
}
