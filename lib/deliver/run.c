/* A run of a delivery: a worker of its group (consume/lease/), which reads the shards that it has by turns, on one
 * thread.
 *
 *   Y1  Who has lost a lease stores nothing more: what is stored is stored with the lease (progress.c). What was
 *       collected is dropped, as when a shard is given over to another run, or the settings were changed: it is read
 *       again.
 *   Y2  A shard that fails for a reason that passes is dropped, too, and opened again as it was stored.
 *   Y3  While the destination or the transform takes its time, the store's guard renews the leases.
 *   Y4  A run that is to catch up, and may not have all shards at once, leaves those that it has when they are caught
 *       up, and does not come back to them. */
#include "deliver/inside.h"

#include <inttypes.h>
#include <string.h>

#include "base/patience.h"
#include "deliver/sink_s3.h"

#define LOOK_US INT64_C(500000) /* nobody wakes us for a lease, nor when who would have was killed */
#define LEAST_US INT64_C(500)   /* a clock that somebody sets may stand still */
#define PAUSE_US INT64_C(20000) /* before what failed for a reason that passes is tried again */

void lsi_delivery_wake(lsi_engine_stream *stream)
{
    stream->engine->ops->wake(stream, LSI_NO_SHARD);
}

/* Of the store's; the destination's errors were waited for (cut.c). */
static bool passes_by_itself(const lsi_delivery_run_state *run, ls_status st)
{
    return !run->is_refused && (st == LS_ERR_BUSY || st == LS_ERR_FULL || st == LS_ERR_NO_MEMORY);
}

ls_status lsi_delivery_sleep(lsi_delivery_run_state *run, int64_t until_us)
{
    const lsi_engine_ops *ops = run->stream->engine->ops;

    for (;;) {
        uint32_t token = ops->arm(run->stream, LSI_NO_SHARD);
        int64_t left_us = until_us - lsi_delivery_now_us(run);

        if (lsi_delivery_is_stopped(run))
            return lsi_fail(LS_ERR_CANCELLED, "the run of delivery '%s' was stopped", run->how->name);
        if (left_us <= 0)
            break;
        (void)ops->sleep(run->stream, LSI_NO_SHARD, token, left_us < LOOK_US ? left_us : LOOK_US);
    }
    lsi_patience_begin(run->env); /* Who slept has used up nothing. */
    return LS_OK;
}

/* ---- shards ---- */

static void drop(lsi_delivery_run_state *run, lsi_delivery_shard *shard)
{
    lsi_delivery_shard **link = &run->shards;

    while (*link != shard)
        link = &(*link)->next;
    *link = shard->next;
    lsi_delivery_shard_free(shard);
}

static lsi_delivery_shard *shard_of(const lsi_delivery_run_state *run, const lsi_lease *lease)
{
    for (lsi_delivery_shard *at = run->shards; at != NULL; at = at->next)
        if (at->lease == lease)
            return at;
    return NULL;
}

/* What is done is stored before what is known of the shard is dropped: else it would be done again. */
static ls_status store_done(lsi_delivery_shard *shard)
{
    ls_status st = shard->unsaved_us != 0 && shard->replay == NULL ? lsi_delivery_save(shard, NULL) : LS_OK;

    return st == LS_ERR_LEASE_LOST ? LS_OK : st;
}

static void give_over(const lsi_delivery_run_state *run, lsi_lease *lease, bool for_good)
{
    if ((for_good ? lsi_lease_leave(lease) : lsi_lease_close(lease)) != LS_OK) /* Others take over in time. */
        lsi_env_log(run->env, LS_LOG_WARNING, "delivery '%s': a shard is not given over: %s", run->how->name,
                    lsi_error_current()->message);
}

static ls_status add_shard(lsi_delivery_run_state *run, lsi_lease *lease)
{
    lsi_delivery_shard *shard;
    ls_status st = lsi_delivery_shard_new(run, lease, &shard);

    if (st != LS_OK) { /* Nobody tells of it again before it is another's, or ours once more. */
        give_over(run, lease, false);
        return lsi_fail(st, "delivery '%s': no memory for a shard", run->how->name);
    }
    shard->next = run->shards;
    run->shards = shard;
    return LS_OK;
}

/* ---- leases ---- */

static ls_status follow_leases(lsi_delivery_run_state *run)
{
    for (;;) {
        lsi_group_event event;
        lsi_delivery_shard *shard;
        ls_status st = lsi_group_next(run->group, 0, &event);

        if (st != LS_OK || event.kind == LS_GROUP_NOTHING)
            return st;
        if (event.kind == LS_GROUP_TAKEN) {
            st = add_shard(run, event.lease);
            if (st != LS_OK)
                return st;
            continue;
        }
        shard = shard_of(run, event.lease);
        if (shard != NULL && store_done(shard) != LS_OK)
            lsi_env_log(run->env, LS_LOG_WARNING, "delivery '%s': what was done is not stored: %s", run->how->name,
                        lsi_error_current()->message);
        if (shard != NULL)
            drop(run, shard);
        give_over(run, event.lease, false);
    }
}

/* ---- the delivery ---- */

static void close_settings(lsi_delivery_run_state *run)
{
    lsi_delivery_free(run->delivery);
    lsi_naming_close(run->names);
    lsi_naming_close(run->backup_names);
    lsi_queries_close(run->queries);
    lsi_sink_close(run->sink);
    run->delivery = NULL;
    run->names = run->backup_names = NULL;
    run->queries = NULL;
    run->sink = NULL;
}

static ls_status check_callbacks(const lsi_delivery_run_state *run)
{
    uint32_t flags = run->delivery->options.flags;
    bool wants_transform = (flags & LS_DELIVERY_TRANSFORM) != 0, wants_deliver = (flags & LS_DELIVERY_TO_CALLBACK) != 0;

    if (wants_transform != (run->how->transform != NULL))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.transform is %s NULL: delivery '%s' has %s transform",
                        wants_transform ? "" : "not", run->how->name, wants_transform ? "a" : "no");
    if (wants_deliver != (run->how->deliver != NULL))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.deliver is %s NULL: delivery '%s' goes to %s",
                        wants_deliver ? "" : "not", run->how->name, wants_deliver ? "a callback" : "no callback");
    return LS_OK;
}

static ls_status open_settings(lsi_delivery_run_state *run)
{
    const ls_delivery_options *options = &run->delivery->options;
    ls_status st = check_callbacks(run);

    if (st == LS_OK)
        st = lsi_delivery_naming(run->delivery, &run->names, &run->backup_names);
    if (st == LS_OK)
        st = lsi_delivery_queries(run->delivery, &run->queries);
    if (st == LS_OK && options->directory != NULL)
        st = lsi_sink_directory_open(run->env, run->how->files, options->directory, run->how->doubt, &run->sink);
    if (st == LS_OK && options->s3_bucket != NULL) {
        const lsi_s3_options s3 = {.bucket = options->s3_bucket, .endpoint = options->s3_endpoint,
                                   .region = options->s3_region}; /* credentials: the environment's */

        st = lsi_sink_s3_open(run->env, &s3, &run->sink);
    }
    if (st == LS_OK && run->sink != NULL) {
        run->sink->is_over = lsi_delivery_is_put_over;
        run->sink->user = run;
    }
    run->delimiter = (ls_bytes){options->delimiter, options->delimiter == NULL ? 0 : strlen(options->delimiter)};
    return st;
}

/* What is collected goes by the settings that it was begun with: it is dropped when they change. */
static ls_status look_at_delivery(lsi_delivery_run_state *run)
{
    uint32_t token = run->stream->engine->ops->arm(run->stream, LSI_STATE_SHARD);
    lsi_delivery *now;
    ls_status st;

    if (run->delivery != NULL && token == run->state_token)
        return LS_OK;
    st = lsi_delivery_load(run->stream, run->how->name, &now);
    if (st == LS_OK && now->id != run->how->id) {
        lsi_delivery_free(now);
        st = lsi_fail(LS_ERR_NOT_FOUND, "delivery '%s' was deleted, and made anew", run->how->name);
    }
    if (st != LS_OK)
        return st;
    if (run->delivery != NULL && now->state_version == run->delivery->state_version) {
        run->state_token = token;
        lsi_delivery_free(now);
        return LS_OK;
    }
    for (lsi_delivery_shard *at = run->shards; at != NULL && st == LS_OK; at = at->next)
        st = store_done(at);
    if (st != LS_OK) {
        lsi_delivery_free(now);
        return st;
    }
    run->state_token = token;
    close_settings(run);
    run->delivery = now;
    st = open_settings(run);
    if (st != LS_OK) /* If that passes, it is tried again. */
        close_settings(run);
    for (lsi_delivery_shard *at = run->shards; at != NULL; at = at->next)
        lsi_delivery_shard_reset(at);
    return st;
}

/* ---- turns ---- */

/* One turn of one shard. */
static ls_status turn(lsi_delivery_run_state *run, lsi_delivery_shard *shard, bool *is_busy)
{
    lsi_lease *lease = shard->lease;
    ls_status st = lsi_delivery_shard_step(shard, is_busy);

    if (st == LS_OK && shard->is_at_end) {
        drop(run, shard);
        give_over(run, lease, false);
        *is_busy = true; /* There may be heirs. */
    } else if (st == LS_ERR_LEASE_LOST) { /* Y1. The group tells of it. */
        drop(run, shard);
        st = LS_OK;
    } else if (passes_by_itself(run, st)) { /* Y2 */
        lsi_env_log(run->env, LS_LOG_WARNING, "delivery '%s' shard %" PRIu32 " is tried again: %s", run->how->name,
                    shard->shard, lsi_error_current()->message);
        lsi_delivery_shard_reset(shard);
        st = lsi_delivery_sleep(run, lsi_delivery_now_us(run) + PAUSE_US);
        *is_busy = true;
    }
    return st;
}

/* A turn of each. `*left_us`: after how long something is due again. */
static ls_status turn_all(lsi_delivery_run_state *run, int64_t *left_us, bool *is_at_tip)
{
    ls_status st = LS_OK;

    *left_us = INT64_MAX;
    *is_at_tip = true;
    for (lsi_delivery_shard *at = run->shards, *next; at != NULL && st == LS_OK; at = next) {
        bool is_busy = false;

        next = at->next; /* `at` may go. */
        st = turn(run, at, &is_busy);
        if (is_busy)
            *left_us = 0;
    }
    for (lsi_delivery_shard *at = run->shards; at != NULL && st == LS_OK; at = at->next) {
        int64_t own_us = lsi_delivery_shard_left_us(at);

        *left_us = own_us < *left_us ? own_us : *left_us;
        *is_at_tip = *is_at_tip && at->is_at_tip;
    }
    return st;
}

static ls_status flush_all(lsi_delivery_run_state *run)
{
    ls_status st = LS_OK;

    for (lsi_delivery_shard *at = run->shards, *next; at != NULL && st == LS_OK; at = next) {
        next = at->next;
        st = lsi_delivery_shard_flush(at);
        if (st == LS_ERR_LEASE_LOST) {
            drop(run, at);
            st = LS_OK;
        }
    }
    return st;
}

static bool has_as_many_as_it_may(const lsi_delivery_run_state *run)
{
    uint32_t count = 0;

    for (const lsi_delivery_shard *at = run->shards; at != NULL; at = at->next)
        count++;
    return run->how->shards_max != 0 && count >= run->how->shards_max;
}

/* Y4. What is caught up makes room for the rest. */
static ls_status leave_all(lsi_delivery_run_state *run)
{
    ls_status st = flush_all(run);

    while (st == LS_OK && run->shards != NULL) {
        lsi_lease *lease = run->shards->lease;

        drop(run, run->shards);
        give_over(run, lease, true);
    }
    return st;
}

static ls_status open_group(lsi_delivery_run_state *run)
{
    const lsi_group_config config = {.failover_ms = run->how->failover_ms, .leases_max = run->how->shards_max,
                                     .mapping = run->how->id, .is_guarded = true};
    ls_status st = lsi_group_open(run->stream, run->how->name, &config, &run->group);

    if (st == LS_OK)
        lsi_guard_renews(run->how->guard, &run->guarded, run->group);
    return st;
}

static ls_status run_on(lsi_delivery_run_state *run)
{
    const lsi_engine_ops *ops = run->stream->engine->ops;
    bool until_caught_up = (run->how->flags & LS_DELIVERY_UNTIL_CAUGHT_UP) != 0;

    for (;;) {
        uint32_t token = ops->arm(run->stream, LSI_NO_SHARD); /* What comes behind it ends the sleep. */
        int64_t left_us = INT64_MAX;
        bool is_at_tip = false;
        ls_status st;

        if (lsi_delivery_is_stopped(run))
            return LS_OK;
        lsi_patience_begin(run->env);
        st = look_at_delivery(run);
        if (st == LS_OK && run->group == NULL)
            st = open_group(run);
        if (st == LS_OK)
            st = follow_leases(run);
        if (st == LS_OK)
            st = turn_all(run, &left_us, &is_at_tip);
        if (st == LS_OK && until_caught_up && is_at_tip && lsi_group_is_settled(run->group)) {
            st = flush_all(run);
            if (st == LS_OK)
                return LS_OK;
        } else if (st == LS_OK && until_caught_up && is_at_tip && has_as_many_as_it_may(run)) {
            st = leave_all(run);
            left_us = 0;
        } else if (st == LS_OK && until_caught_up && !lsi_group_is_current(run->group)) {
            left_us = 0; /* What was just stored changed the group, too: to be looked at before it is settled. */
        }
        if (passes_by_itself(run, st)) {
            left_us = 0;
            st = lsi_delivery_sleep(run, lsi_delivery_now_us(run) + PAUSE_US);
        }
        if (st != LS_OK)
            return st;
        if (left_us > 0)
            (void)ops->sleep(run->stream, LSI_NO_SHARD, token, left_us < LEAST_US ? LEAST_US
                             : left_us < LOOK_US ? left_us : LOOK_US);
    }
}

/* Shards that cannot be given back now are taken by others in time: nothing is lost by it, and the run has not
 * failed. */
static ls_status give_back(const lsi_delivery_run_state *run)
{
    lsi_error_state before;
    ls_status st;

    lsi_error_save(&before);
    st = lsi_group_give_back(run->group);
    if (st != LS_ERR_BUSY && st != LS_ERR_FULL && st != LS_ERR_NO_MEMORY)
        return st;
    lsi_env_log(run->env, LS_LOG_WARNING, "delivery '%s': shards are not given back, and others take them when nothing "
                "was heard of this run for %" PRIu32 " ms: %s", run->how->name, run->how->failover_ms,
                lsi_error_current()->message);
    lsi_error_restore(&before);
    return LS_OK;
}

/* What is done is stored, if that is possible. */
static ls_status end(lsi_delivery_run_state *run, bool is_good)
{
    ls_status first = LS_OK, st;
    lsi_error_state why;

    lsi_patience_begin(run->env);
    while (run->shards != NULL) {
        lsi_delivery_shard *shard = run->shards;

        if (is_good) {
            st = store_done(shard);
            if (st != LS_ERR_NOT_FOUND)
                lsi_error_note_first(st, &first, &why);
        }
        drop(run, shard);
    }
    if (run->group != NULL) {
        lsi_group_event event = {.kind = LS_GROUP_TAKEN};

        /* What another has just given over to us is given back, too. */
        while (event.kind != LS_GROUP_NOTHING && lsi_group_next(run->group, 0, &event) == LS_OK)
            ;
        st = give_back(run);
        if (st != LS_ERR_NOT_FOUND) /* What is gone need not be given back. */
            lsi_error_note_first(st, &first, &why);
        lsi_guard_renews(run->how->guard, &run->guarded, NULL);
        lsi_group_free(run->group);
    }
    if (first != LS_OK)
        lsi_error_restore(&why);
    return first;
}

ls_status lsi_delivery_run(lsi_engine_stream *stream, const lsi_delivery_running *how)
{
    lsi_delivery_run_state run = {.stream = stream, .env = &stream->engine->env, .how = how};
    lsi_error_state why;
    ls_status st = lsi_guard_join(how->guard, &run.guarded), ended;

    if (st != LS_OK)
        return st;
    run.pieces.memory = &run.env->memory;
    lsi_transform_init(&run.transform, run.env, run.stream);
    run.counts = stream->engine->ops->counts(stream, LSI_COUNTS_MAPPING, lsi_delivery_counts_number(how->id));
    st = run_on(&run);
    if (st == LS_ERR_CANCELLED && (run.is_over || lsi_delivery_is_stopped(&run)))
        st = LS_OK;
    lsi_error_save(&why);
    ended = end(&run, st == LS_OK);
    lsi_guard_leave(how->guard, &run.guarded);
    close_settings(&run);
    lsi_compressor_free(run.compressor);
    lsi_transform_free(&run.transform);
    lsi_free(&run.env->memory, run.batch);
    lsi_free(&run.env->memory, run.spare);
    lsi_pieces_free(&run.pieces);
    if (st == LS_OK)
        return ended;
    lsi_error_restore(&why);
    return st;
}
