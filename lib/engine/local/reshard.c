/* Splitting and merging shards: one replacement of the manifest, before which the parents are open and the children
 * are files that nobody names, and after which the parents are closed and the children open (L1).
 *
 * What takes long is done first, while the parents take puts: the children's logs are made and synced, and the parents
 * are synced. Then the parents' locks are taken, in rising order; what came meanwhile is synced; the manifest, which
 * states their ends, is replaced; the slots are told. So puts wait for two or three syncs, and those that waited find
 * their shard closed, the stream's generation raised and the children there.
 *
 * Of several parents one may be held by a stopped process. It is waited for before anything is locked, and once others
 * are locked only for an instant: then all is given back, and begun anew. So whoever puts to a parent that nobody else
 * holds waits for that instant, and nobody waits for the store's lock.
 *
 *  L5  A shard is closed in its slot only after the manifest that says so is durable, and open in it only while none
 *      does: in between it is CLOSING, which begins after the manifest's generation became odd. So whoever settles the
 *      manifest ends what a dead resharder left (catalog.c), and whoever meets CLOSING sees to it that somebody does.
 *  L6  Children are numbered far above their parents' ends, because their logs are made before the parents' are known.
 *  L7  A shard's directory that no manifest ever named is removed when nothing was appended in it: then a resharder
 *      died. With records in it, it is of a manifest that somebody replaced by an older one: it is kept, renamed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/patience.h"
#include "base/status.h"
#include "base/u128.h"
#include "engine/local/local.h"

#define PARENTS_MAX (2 * LSI_RESHARD_STEPS_MAX)
#define SEQNO_STEP (UINT64_C(1) << 32) /* L6: hours of puts at the highest rate; 2^31 generations fit */
#define TOGETHER_US INT64_C(100000) /* Less than a second, which P1 gives a death; more than a put in turn takes. */

typedef struct resharding {
    lsi_local *local;
    lsi_local_stream *stream;
    bool goes_on;
    bool again;                    /* a parent was held, and there is time to wait for it */
    uint32_t parent_count;
    uint32_t parents[PARENTS_MAX]; /* rising */
    lsi_log *logs[PARENTS_MAX];
    lsi_log_closing ends[PARENTS_MAX];
    uint32_t begun;                /* so many logs are locked and CLOSING */
    lsi_catalog *fresh;
    lsi_catalog_stream *about;     /* the stream in `fresh` */
    uint32_t had;                  /* its shards from here on are the children */
} resharding;

/* ---- who is concerned ---- */

static void add_parent(resharding *of, uint32_t shard)
{
    uint32_t at = of->parent_count;

    for (uint32_t i = 0; i < of->parent_count; i++)
        if (of->parents[i] == shard)
            return; /* The rules refuse it, with a message of their own. */
    while (at > 0 && of->parents[at - 1] > shard) {
        of->parents[at] = of->parents[at - 1];
        at--;
    }
    of->parents[at] = shard;
    of->parent_count++;
}

static uint32_t position_of(const resharding *of, uint32_t shard)
{
    uint32_t at = 0;

    while (of->parents[at] != shard)
        at++;
    return at;
}

/* Finds the parents' logs, recovered. Not under the store lock, which a slot may have to be taken with. */
static ls_status find_logs(resharding *of)
{
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < of->parent_count && st == LS_OK; i++) {
        st = lsi_local_stream_log(of->stream, of->parents[i], &of->logs[i]);
        if (st == LS_OK)
            st = lsi_log_touch(of->logs[i]);
    }
    return st;
}

/* Locks: none held. */
static ls_status wait_for_parents(const resharding *of)
{
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < of->parent_count && st == LS_OK; i++)
        st = lsi_log_closing_wait(of->logs[i]);
    return st;
}

/* So that little is left to be synced when they are locked. */
static ls_status sync_parents(const resharding *of)
{
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < of->parent_count && st == LS_OK; i++)
        st = lsi_log_sync(of->logs[i]);
    return st;
}

/* ---- the new manifest ---- */

/* The stream as the catalog has it, if it may be changed. */
static ls_status find_stream(const resharding *of, const lsi_catalog *catalog, const lsi_catalog_stream **out)
{
    ls_status st = lsi_local_find_mine(of->stream, catalog, out);

    return st != LS_OK || (of->goes_on && (*out)->status == LS_STREAM_UPDATING)
               ? st
               : lsi_local_check_active(of->local, *out);
}

/* The same before any log is looked at: a stream that is DELETING has none. */
static ls_status check_stream(const resharding *of)
{
    const lsi_catalog_stream *found;
    lsi_catalog *catalog;
    ls_status st = lsi_local_catalog(of->local, &catalog);

    if (st != LS_OK)
        return st;
    st = find_stream(of, catalog, &found);
    lsi_catalog_unref(catalog);
    return st;
}

/* `fresh`: the catalog after the steps, but for the parents' ends. */
static ls_status plan(resharding *of, const lsi_catalog *catalog, const lsi_reshard_step *steps, uint32_t count)
{
    const lsi_memory *memory = &of->local->base.env.memory;
    const lsi_catalog_stream *found;
    lsi_catalog_stream after;
    ls_status st = find_stream(of, catalog, &found);

    if (st != LS_OK)
        return st;
    after = *found;
    lsi_local_begin_transition(of->local, &after, LS_STREAM_UPDATING);
    after.shards = lsi_alloc(memory, ((size_t)found->shard_count + PARENTS_MAX) * sizeof(*after.shards));
    if (after.shards == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for %" PRIu32 " shards", found->name,
                        found->shard_count);
    st = lsi_reshard_apply(found->name, found->shards, found->shard_count, steps, count,
                           lsi_wall_us(&of->local->base.env.clock), after.shards, &after.shard_count);
    if (st == LS_OK)
        st = lsi_catalog_copy(catalog, found->id, &after, &of->fresh);
    if (st == LS_OK)
        st = lsi_local_check_limits(of->local, found->name, catalog, of->fresh);
    lsi_free(memory, after.shards);
    if (st != LS_OK)
        return st;
    of->about = &of->fresh->streams[lsi_catalog_find_id(of->fresh, found->id) - of->fresh->streams];
    of->had = found->shard_count;
    return LS_OK;
}

/* L6. `*arrival_us`: no record of the child will be older. */
static ls_status number_child(const resharding *of, lsi_shard *child, int64_t *arrival_us)
{
    uint32_t parents[2] = {child->parent, child->adjacent_parent};

    *arrival_us = lsi_wall_us(&of->local->base.env.clock);
    for (int i = 0; i < 2 && parents[i] != LSI_NO_SHARD; i++) {
        int64_t last_us;
        ls_seqno limit;
        ls_status st = lsi_log_reach(of->logs[position_of(of, parents[i])], &limit, &last_us);

        if (st != LS_OK)
            return st;
        if (limit > LS_SEQNO_MAX - SEQNO_STEP)
            return lsi_fail(LS_ERR_STATE, "stream '%s' shard %" PRIu32 ": its sequence numbers are used up",
                            of->stream->name, parents[i]);
        if (child->first_seqno < limit + SEQNO_STEP)
            child->first_seqno = limit + SEQNO_STEP;
        if (*arrival_us < last_us)
            *arrival_us = last_us;
    }
    return LS_OK;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* States where the parents end and when. A moment belongs to one generation only: a shard is never closed before it
 * was opened by the closing of its own parents, whatever the clock does. */
static ls_status state_ends(const resharding *of)
{
    lsi_shard *shards = of->about->shards;
    int64_t now_us = lsi_wall_us(&of->local->base.env.clock);

    for (uint32_t i = of->had; i < of->about->shard_count; i++) {
        uint32_t indexes[2] = {shards[i].parent, shards[i].adjacent_parent};
        int64_t closed_us = now_us;
        lsi_shard *parents[2];
        int count = indexes[1] == LSI_NO_SHARD ? 1 : 2;

        for (int k = 0; k < count; k++) {
            const lsi_log_closing *end = &of->ends[position_of(of, indexes[k])];
            const lsi_shard *before[2];

            parents[k] = &shards[lsi_shard_find(shards, of->had, indexes[k]) - shards];
            parents[k]->end = end->end;
            /* Of one without records its first number is the last, too: "at least every record's". */
            parents[k]->last_seqno = end->next_seqno > parents[k]->first_seqno ? end->next_seqno - 1
                                                                              : parents[k]->first_seqno;
            if (parents[k]->last_seqno >= shards[i].first_seqno)
                return lsi_fail(LS_ERR_BUSY, "stream '%s' shard %" PRIu32 " gave out %" PRIu64 " numbers while its "
                                "children were made; nothing was changed", of->stream->name, indexes[k], SEQNO_STEP);
            closed_us = later(closed_us, end->last_arrival_us);
            before[0] = lsi_shard_find(shards, of->had, parents[k]->parent);
            before[1] = lsi_shard_find(shards, of->had, parents[k]->adjacent_parent);
            for (int b = 0; b < 2; b++)
                if (before[b] != NULL)
                    closed_us = later(closed_us, before[b]->closed_us);
        }
        for (int k = 0; k < count; k++) /* The second child of a split says the same as the first. */
            parents[k]->closed_us = closed_us;
    }
    return LS_OK;
}

/* ---- the children's logs ---- */

static void shard_dir(const lsi_local_stream *stream, uint32_t shard, char dir[LSI_LOG_DIR_BYTES])
{
    (void)snprintf(dir, LSI_LOG_DIR_BYTES, "%" PRIu64 "/%" PRIu32, stream->id, shard); /* 20 + 1 + 10 */
}

/* L7. Leaves no directory of that name. */
static ls_status clear_unnamed(lsi_local *local, uint64_t stream, const char *entry, const char *dir)
{
    char aside[LSI_LOG_DIR_BYTES * 2];
    uint32_t number;
    bool unused;
    ls_status st = lsi_log_is_unused(&local->root, dir, &unused);
    int result;

    if (st != LS_OK)
        return st;
    if (unused)
        return lsi_log_destroy(&local->base.env, &local->root, dir, INT64_MAX);
    local->base.env.random(local->base.env.random_user, &number, sizeof(number));
    (void)snprintf(aside, sizeof(aside), "%" PRIu64 "/aside-%s-%08" PRIx32, stream, entry, number); /* as the name */
    result = local->root.files->rename(&local->root, dir, aside);
    if (result != 0)
        return lsi_fail_errno(result, "cannot set the directory %s aside", dir);
    lsi_env_log(&local->base.env, LS_LOG_WARNING, "directory %s, which the manifest never named, is set aside as %s",
                dir, aside);
    return LS_OK;
}

static ls_status make_children(const resharding *of)
{
    lsi_local *local = of->local;
    char dir[LSI_LOG_DIR_BYTES], entry[16];
    int result;

    for (uint32_t i = of->had; i < of->about->shard_count; i++) {
        lsi_shard *child = &of->about->shards[i];
        lsi_log_config config;
        int64_t arrival_us;
        ls_status st = number_child(of, child, &arrival_us);

        shard_dir(of->stream, child->index, dir);
        (void)snprintf(entry, sizeof(entry), "%" PRIu32, child->index); /* 10 */
        if (st == LS_OK)
            st = clear_unnamed(local, of->stream->id, entry, dir);
        if (st != LS_OK)
            return st;
        lsi_local_log_config_of(local, of->about, child, &config);
        config.first_arrival_us = arrival_us;
        st = lsi_log_create(&config);
        if (st == LS_OK)
            st = lsi_log_publish_new(&config);
        if (st != LS_OK)
            return st;
    }
    (void)snprintf(dir, sizeof(dir), "%" PRIu64, of->stream->id); /* 20 */
    result = local->root.files->sync_dir(&local->root, dir); /* their names, before the manifest says them (R6) */
    if (result != 0)
        return lsi_fail_errno(result, "stream '%s': cannot sync its directory %s", of->stream->name, dir);
    return LS_OK;
}

/* What make_children made, and nobody names. */
static void unmake_children(const resharding *of)
{
    lsi_error_state why;

    lsi_error_save(&why);
    for (uint32_t i = of->had; of->about != NULL && i < of->about->shard_count; i++) {
        char dir[LSI_LOG_DIR_BYTES];

        shard_dir(of->stream, of->about->shards[i].index, dir);
        (void)lsi_log_destroy(&of->local->base.env, &of->local->root, dir, INT64_MAX); /* upkeep removes what stays */
    }
    lsi_error_restore(&why);
}

/* ---- the step ---- */

static void settle(void *user, bool replaced)
{
    resharding *of = user;

    for (uint32_t i = 0; i < of->begun; i++)
        lsi_log_closing_end(of->logs[i], replaced);
    /* Release: who sees it asks for the shards again. Before the manifest's generation is even, so that a death in
     * between makes somebody settle, who raises it again. */
    if (replaced)
        atomic_fetch_add_explicit(&of->stream->slot->generation, 1, memory_order_release);
}

/* The parents are stopped: what producers put to them their children know, before anybody puts to those. */
static ls_status hand_down(const resharding *of)
{
    ls_status st = LS_OK;

    for (uint32_t i = of->had; i < of->about->shard_count && st == LS_OK; i++) {
        const lsi_shard *child = &of->about->shards[i];
        lsi_log *adjacent = child->adjacent_parent == LSI_NO_SHARD
                                ? NULL
                                : of->logs[position_of(of, child->adjacent_parent)];
        lsi_log_config config;

        lsi_local_log_config_of(of->local, of->about, child, &config);
        st = lsi_log_hand_down(of->logs[position_of(of, child->parent)], adjacent, &config);
    }
    return st;
}

static ls_status stop_parents(resharding *of)
{
    int64_t kept_us = lsi_patience_keep_back(TOGETHER_US);
    ls_status st = LS_OK;

    while (of->begun < of->parent_count && st == LS_OK) {
        st = lsi_log_closing_begin(of->logs[of->begun], &of->ends[of->begun]);
        if (st == LS_OK)
            of->begun++;
    }
    of->again = lsi_patience_give_back(kept_us) && st == LS_ERR_BUSY;
    return st;
}

/* Stops the parents, replaces the manifest, and lets go of them. Locks: store lock held. */
static ls_status commit(resharding *of)
{
    ls_status st;

    lsi_control_manifest_changing(of->local->control); /* L5 */
    st = stop_parents(of);
    if (st == LS_OK)
        st = state_ends(of);
    if (st == LS_OK)
        st = hand_down(of);
    if (st == LS_OK) {
        st = lsi_local_catalog_replace(of->local, of->fresh, settle, of); /* L1 */
    } else {
        settle(of, false);
        lsi_control_manifest_changed(of->local->control);
    }
    for (uint32_t i = 0; i < of->begun; i++)
        lsi_log_closing_release(of->logs[i]);
    return st;
}

/* Once, with what it takes for that. */
static ls_status try_steps(resharding *of, const lsi_reshard_step *steps, uint32_t count, uint32_t *first_child)
{
    lsi_catalog *catalog = NULL;
    ls_status st = wait_for_parents(of);

    of->again = false;
    of->begun = 0;
    of->fresh = NULL;
    of->about = NULL;
    if (st == LS_OK)
        st = sync_parents(of);
    if (st == LS_OK)
        st = lsi_local_catalog_lock(of->local, &catalog);
    if (st != LS_OK)
        return st;
    st = plan(of, catalog, steps, count);
    if (st != LS_OK)
        goto unlock;
    st = make_children(of);
    if (st == LS_OK)
        st = sync_parents(of);
    if (st == LS_OK)
        st = commit(of);
    if (st == LS_OK)
        *first_child = of->about->shards[of->had].index;
    else if (lsi_control_manifest_generation(of->local->control) % 2 == 0)
        unmake_children(of); /* the old manifest counts */
unlock:
    lsi_local_catalog_unlock(of->local);
    lsi_catalog_unref(of->fresh);
    lsi_catalog_unref(catalog);
    return st;
}

ls_status lsi_local_reshard(lsi_engine_stream *base, const lsi_reshard_step *steps, uint32_t count, bool goes_on,
                            uint32_t *first_child)
{
    resharding of = {.local = lsi_local_of_stream(base), .stream = lsi_local_stream_of(base), .goes_on = goes_on};
    ls_status st = lsi_local_check_writable(of.local);

    for (uint32_t i = 0; i < count; i++) {
        add_parent(&of, steps[i].shard);
        if (steps[i].adjacent != LSI_NO_SHARD)
            add_parent(&of, steps[i].adjacent);
    }
    if (st == LS_OK)
        st = lsi_local_stream_check(of.stream);
    if (st == LS_OK)
        st = check_stream(&of);
    if (st == LS_OK)
        st = find_logs(&of);
    if (st == LS_OK)
        do
            st = try_steps(&of, steps, count, first_child);
        while (of.again);
    return lsi_local_stream_explain(of.stream, LSI_NO_SHARD, st);
}

/* ---- upkeep ---- */

typedef struct unnamed {
    const lsi_memory *memory;
    const lsi_catalog_stream *stream;
    uint32_t *shards;
    size_t capacity;
    uint32_t count;
} unnamed;

static int unnamed_note(void *user, const char *entry, bool is_dir)
{
    unnamed *found = user;
    char canonical[16];
    uint32_t index = 0;

    for (const char *at = entry; *at >= '0' && *at <= '9' && index < LSI_SHARD_INDEX_END; at++)
        index = index * 10 + (uint32_t)(*at - '0');
    (void)snprintf(canonical, sizeof(canonical), "%" PRIu32, index); /* 10 digits */
    if (!is_dir || strcmp(canonical, entry) != 0 ||
        lsi_shard_find(found->stream->shards, found->stream->shard_count, index) != NULL)
        return 0;
    if (!lsi_grow(found->memory, (void **)&found->shards, &found->capacity, (size_t)found->count + 1,
                  sizeof(*found->shards)))
        return -ENOMEM;
    found->shards[found->count++] = index;
    return 0;
}

static ls_status list_unnamed(lsi_local *local, const lsi_catalog_stream *stream, unnamed *found)
{
    char dir[LSI_LOG_DIR_BYTES];
    int result;

    *found = (unnamed){.memory = &local->base.env.memory, .stream = stream};
    (void)snprintf(dir, sizeof(dir), "%" PRIu64, stream->id); /* 20 */
    result = local->root.files->list(&local->root, dir, unnamed_note, found);
    if (result == 0)
        return LS_OK;
    lsi_free(found->memory, found->shards);
    return lsi_fail_errno(result, "stream '%s': cannot list its directory %s", stream->name, dir);
}

/* Locks: store lock held. */
static ls_status clear_shards(lsi_local *local, const lsi_catalog_stream *stream, int64_t until_us)
{
    char dir[LSI_LOG_DIR_BYTES], entry[16];
    unnamed found;
    ls_status st = list_unnamed(local, stream, &found);

    if (st != LS_OK)
        return st;
    for (uint32_t k = 0; k < found.count && st == LS_OK; k++) {
        (void)snprintf(dir, sizeof(dir), "%" PRIu64 "/%" PRIu32, stream->id, found.shards[k]); /* 20 + 1 + 10 */
        (void)snprintf(entry, sizeof(entry), "%" PRIu32, found.shards[k]);
        /* One below the highest was named once and is not any more: that is the reason to delete it. */
        if (found.shards[k] < stream->shards[stream->shard_count - 1].index)
            st = lsi_log_destroy(&local->base.env, &local->root, dir, until_us);
        else
            st = clear_unnamed(local, stream->id, entry, dir);
    }
    lsi_free(found.memory, found.shards);
    return st;
}

ls_status lsi_local_clear_shards(lsi_local *local, uint64_t id, int64_t until_us)
{
    const lsi_catalog_stream *stream;
    lsi_error_state before;
    lsi_catalog *catalog;
    unnamed found = {0};
    ls_status st = lsi_local_catalog(local, &catalog);

    if (st != LS_OK)
        return st;
    /* A look without the lock: mostly there is nothing. One that fails may be of a stream that was just deleted. */
    lsi_error_save(&before);
    stream = lsi_catalog_find_id(catalog, id);
    if (stream != NULL)
        st = list_unnamed(local, stream, &found);
    if (st == LS_OK)
        lsi_free(&local->base.env.memory, found.shards);
    lsi_catalog_unref(catalog);
    if (st == LS_OK && found.count == 0)
        return LS_OK;
    lsi_error_restore(&before);
    st = lsi_local_catalog_lock(local, &catalog); /* Nobody names a shard meanwhile. */
    if (st != LS_OK)
        return st;
    stream = lsi_catalog_find_id(catalog, id);
    if (stream != NULL)
        st = clear_shards(local, stream, until_us);
    lsi_local_catalog_unlock(local);
    lsi_catalog_unref(catalog);
    return st;
}
