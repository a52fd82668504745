/* A run of a mapping: which shards are worked on here, and what is saved of their progress.
 *
 * A run is a worker of the mapping's group (group.c): what it has a lease of it works on, with threads for each shard
 * (worker.c). The run's own thread alone touches group and leases; workers only tell it that there is something
 * to be saved. While nothing changes all of them sleep, and the store's guard (guard.c) renews their leases.
 *
 *   M6  What is saved was synced before, with all that handlers have put: place, last result and the window's state in
 *       one step, fenced by the lease (G1).
 *   M7  Who has lost a lease saves nothing more; in this open store its shard has a worker again, of whatever run, only
 *       when the one that is there has finished: until then the lease is kept idle, and the end of the one wakes the
 *       other. A lease that another worker asks for is given over once the handlers have returned, and what is
 *       finished is saved.
 *   M8  Other settings, a pause and the end stop all workers first; what they saved is where the next ones begin.
 *   M12 What is finished is noted in the lease's words before the next batch is begun, where a kill does not reach it
 *       (noted.c); who takes the lease over begins there. With tumbling windows it is not: their state lies nowhere but
 *       in the run until both are saved.
 *   M14 What has failed, how often, and in which parts it is tried now, is noted there as well, and that a handler has
 *       begun before it has (tried.c); and stored with the place. So attempts are of a batch, whoever makes them: after
 *       a death in a handler, which is a failure, and after whatever else gives the shard to another worker. */
#include "consume/mapping/run.h"

#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "base/patience.h"

void lsi_mapping_wake(lsi_engine_stream *stream)
{
    stream->engine->ops->wake(stream, LSI_STATE_SHARD);
}

static int64_t now_us(const lsi_run *run)
{
    return lsi_monotonic_us(&run->env->clock);
}

static bool passes_by_itself(ls_status st)
{
    return st == LS_ERR_BUSY || st == LS_ERR_FULL || st == LS_ERR_NO_MEMORY;
}

/* ---- workers ---- */

static void stop(lsi_worker *worker)
{
    if (worker->is_leaving)
        return;
    worker->is_leaving = true;
    lsi_worker_stop(worker);
}

static void stop_all(lsi_run *run)
{
    for (lsi_worker *at = run->workers; at != NULL; at = at->next)
        stop(at);
}

static void forget(lsi_run *run, lsi_worker *worker)
{
    lsi_worker **link = &run->workers;

    while (*link != worker)
        link = &(*link)->next;
    *link = worker->next;
    lsi_worker_free(worker);
}

static lsi_worker *worker_of(const lsi_run *run, uint32_t shard)
{
    for (lsi_worker *at = run->workers; at != NULL; at = at->next)
        if (at->shard == shard)
            return at;
    return NULL;
}

static ls_status begin(lsi_run *run, lsi_lease *lease)
{
    const lsi_shard *shard =
        lsi_shard_find(run->group->info.shards, run->group->info.shard_count, lease->row.place.shard);
    lsi_worker *worker;
    ls_status st;

    if (shard == NULL)
        return LS_OK; /* It expired just now: its lease goes with it. */
    st = lsi_worker_start(run, shard, lease, &worker);
    if (st != LS_OK || worker == NULL)
        return st;
    worker->next = run->workers;
    run->workers = worker;
    return LS_OK;
}

/* ---- progress ---- */

/* M6. What was handled may have been put elsewhere. */
static ls_status save_now(lsi_run *run, lsi_worker *worker)
{
    const lsi_engine_ops *ops = run->stream->engine->ops;
    const lsi_progress *progress = &worker->saving.progress;
    char key[LSI_WINDOW_KEY_BYTES];
    lsi_state_change window;
    bool has_change = progress->has_window || worker->has_saved_window;
    ls_status st = LS_OK;

    if (ops->durability(run->stream->engine) != LS_DURABILITY_SYNC)
        st = ops->sync(run->stream->engine);
    if (st == LS_OK)
        st = lsi_window_change(&run->env->memory, run->mapping->name, worker->shard, progress, key, &window);
    if (st != LS_OK)
        return st;
    st = lsi_lease_save(worker->lease, progress->position, (uint32_t)worker->saving.result, &worker->saving.trials,
                        (lsi_lease_beside){&window, has_change ? 1 : 0});
    lsi_free(&run->env->memory, (void *)(uintptr_t)window.value.data);
    if (st == LS_OK)
        worker->has_saved_window = progress->has_window;
    return st;
}

/* What is not saved for a reason that passes is saved in time, unless it `is_last`. */
static void save(lsi_run *run, lsi_worker *worker, bool is_last)
{
    ls_status st;

    if (worker->is_lost || !lsi_worker_take_progress(worker))
        return;
    lsi_patience_begin(run->env);
    st = save_now(run, worker);
    worker->saved_us = now_us(run);
    worker->is_unsaved = st != LS_OK;
    if (st == LS_OK)
        return;
    if (st == LS_ERR_LEASE_LOST || st == LS_ERR_NOT_FOUND) { /* If the mapping is gone, a look will say so. */
        worker->is_lost = true;
        stop(worker);
    } else if (passes_by_itself(st) && !is_last) {
        lsi_env_log(run->env, LS_LOG_WARNING, "mapping '%s' shard %" PRIu32 ": progress is not stored yet: %s",
                    run->mapping->name, worker->shard, lsi_error_current()->message);
    } else {
        lsi_error_note_first(st, &run->st, &run->why);
    }
}

/* M11 */
static void make_step(lsi_run *run, lsi_worker *worker)
{
    ls_status st = lsi_worker_make_step(worker);

    if (lsi_step_mean(st) != LSI_STEP_OVER)
        return;
    worker->is_lost = true;
    stop(worker);
    if (st != LS_ERR_LEASE_LOST)
        lsi_error_note_first(st, &run->st, &run->why);
}

/* When the next of them is due. */
static int64_t save_due(lsi_run *run)
{
    int64_t next_us = INT64_MAX;

    for (lsi_worker *at = run->workers; at != NULL; at = at->next) {
        int64_t due_us;

        make_step(run, at);
        due_us = lsi_worker_due_us(at);
        if (due_us <= now_us(run)) {
            save(run, at, false);
            due_us = lsi_worker_due_us(at);
        }
        next_us = due_us < next_us ? due_us : next_us;
    }
    return next_us;
}

/* ---- leases ---- */

/* Errors: others then take over in time. */
static void give_over(lsi_run *run, lsi_lease *lease, bool for_good)
{
    if ((for_good ? lsi_lease_leave(lease) : lsi_lease_close(lease)) != LS_OK)
        lsi_env_log(run->env, LS_LOG_WARNING, "mapping '%s': a shard is not given over: %s", run->how->name,
                    lsi_error_current()->message);
}

/* M7. Those that have finished are saved and go. True: none works any more. */
static bool reap(lsi_run *run)
{
    bool is_idle = true;

    for (lsi_worker *at = run->workers, *next; at != NULL; at = next) {
        lsi_lease *caught_up = NULL;

        next = at->next;
        if (!atomic_load_explicit(&at->is_finished, memory_order_acquire)) {
            is_idle = false;
            continue;
        }
        save(run, at, true);
        if (at->st != LS_OK && run->st == LS_OK) {
            run->st = at->st;
            run->why = at->why;
        }
        if (at->is_caught_up && !at->is_lost && !at->is_leaving)
            caught_up = at->lease;
        forget(run, at);
        if (caught_up != NULL)
            give_over(run, caught_up, true);
    }
    return is_idle;
}

/* M7. What this worker of the group has, and no longer has. `begins`: what it has is worked on. */
static ls_status follow_leases(lsi_run *run, bool begins)
{
    ls_status st = LS_OK;

    for (lsi_lease *at = run->group->leases, *next; at != NULL; at = next) {
        lsi_worker *worker = worker_of(run, at->row.place.shard);
        bool is_leaving = at->is_lost || at->row.place.kind == LSI_LEASE_END || lsi_lease_is_wanted(at);

        next = at->next;
        at->is_told = true;
        if (worker != NULL && worker->lease == at && is_leaving) {
            worker->is_lost = worker->is_lost || at->is_lost;
            stop(worker);
        } else if (is_leaving) {
            give_over(run, at, false);
        } else if (worker == NULL && begins && st == LS_OK) {
            st = begin(run, at);
        }
    }
    return st;
}

/* ---- looking ---- */

/* M8. `*is_same`: what the workers were begun with still holds. */
static ls_status look_at_mapping(lsi_run *run, bool is_idle, bool *is_same)
{
    lsi_mapping *now;
    ls_status st = lsi_mapping_load(run->stream, run->how->name, &now);

    if (st == LS_OK && now->id != run->how->id) {
        lsi_mapping_free(now);
        st = lsi_fail(LS_ERR_NOT_FOUND, "mapping '%s' was deleted, and made anew", run->how->name);
    }
    if (st != LS_OK)
        return st;
    *is_same = run->mapping != NULL && run->mapping->version == now->version;
    if (*is_same || !is_idle) {
        lsi_mapping_free(now);
        return LS_OK;
    }
    lsi_mapping_free(run->mapping);
    run->mapping = now;
    *is_same = true;
    return LS_OK;
}

/* Which records are in a lane, and so in a batch, depends on these (N6). */
static uint32_t routing_of(const ls_mapping_options *options)
{
    uint64_t sum = options->lane_count | (uint64_t)(options->flags & LS_MAPPING_DEAGGREGATE) << 32;

    for (uint32_t i = 0; i < options->filter_count; i++)
        sum = lsi_sum64(options->filters[i], strlen(options->filters[i]), sum);
    return (uint32_t)(sum ^ sum >> 32);
}

static ls_status open_group(lsi_run *run)
{
    /* Nobody is robbed of a shard for the sake of balance: a handler takes the time that it takes. */
    const lsi_group_config config = {.failover_ms = run->how->failover_ms, .handover_ms = UINT32_MAX,
                                     .leases_max = run->how->shards_max, .mapping = run->how->id,
                                     .routing = routing_of(&run->mapping->options), .is_guarded = true};
    ls_status st;

    if (run->group != NULL)
        return LS_OK;
    st = lsi_group_open(run->stream, run->how->name, &config, &run->group);
    if (st == LS_OK)
        lsi_guard_renews(run->how->guard, &run->guarded, run->group);
    return st;
}

/* All leases are given back; others take them at once. When that cannot be done now, they take them in time: nothing is
 * lost by it, and the run has not failed. */
static ls_status leave_group(lsi_run *run)
{
    lsi_error_state before;
    ls_status st;

    if (run->group == NULL)
        return LS_OK;
    lsi_patience_begin(run->env);
    lsi_error_save(&before);
    st = lsi_group_give_back(run->group);
    if (passes_by_itself(st)) {
        lsi_env_log(run->env, LS_LOG_WARNING, "mapping '%s': shards are not given back, and others take them when "
                    "nothing was heard of this run for %" PRIu32 " ms: %s", run->how->name, run->how->failover_ms,
                    lsi_error_current()->message);
        lsi_error_restore(&before);
        st = LS_OK;
    }
    lsi_guard_renews(run->how->guard, &run->guarded, NULL);
    lsi_group_free(run->group);
    run->group = NULL;
    return st;
}

/* `*is_over`: there is nothing to do any more. */
static ls_status look(lsi_run *run, uint32_t token, bool is_idle, bool *is_over)
{
    bool is_same;
    ls_status st = look_at_mapping(run, is_idle, &is_same);

    if (st != LS_OK)
        return st;
    if (!is_same || run->mapping->status != LS_MAPPING_ENABLED) {
        stop_all(run);
        if (is_idle)
            return is_same ? leave_group(run) : LS_OK;
    } else {
        st = open_group(run);
    }
    if (st != LS_OK || run->group == NULL)
        return st;
    st = lsi_group_step(run->group, token);
    if (run->group->has_info) /* Relaxed: a number by itself. */
        atomic_store_explicit(&run->retention_us, (int64_t)run->group->info.retention_hours * 3600 * 1000000,
                              memory_order_relaxed);
    if (st == LS_OK)
        st = follow_leases(run, is_same && run->mapping->status == LS_MAPPING_ENABLED);
    *is_over = st == LS_OK && (run->how->flags & LS_RUN_UNTIL_CAUGHT_UP) != 0 && run->group->leases == NULL &&
        lsi_group_is_settled(run->group);
    return st;
}

static void wait_for_change(lsi_run *run, uint32_t token, int64_t pause_us)
{
    if (pause_us <= 0)
        return;
    if (run->group != NULL)
        lsi_group_wait(run->group, token, pause_us);
    else
        (void)run->stream->engine->ops->sleep_guarded(run->stream, LSI_STATE_SHARD, token, pause_us);
}

/* Nothing comes by time alone: the guard renews, and what changes wakes us. Who is to catch up sees to it himself. */
static bool may_sleep_on(const lsi_run *run)
{
    return (run->how->flags & LS_RUN_UNTIL_CAUGHT_UP) == 0 &&
        (run->group != NULL ? lsi_group_is_quiet(run->group) : run->workers == NULL);
}

static void run_on(lsi_run *run)
{
    const lsi_engine_ops *ops = run->stream->engine->ops;
    bool is_over = false;

    for (;;) {
        uint32_t token = ops->arm(run->stream, LSI_STATE_SHARD); /* What changes behind it ends the sleep. */
        bool is_ending, is_idle;
        int64_t pause_us = (int64_t)run->how->failover_ms * 1000 / 3, due_us;
        ls_status st = LS_OK;

        lsi_patience_begin(run->env);
        due_us = save_due(run);
        is_idle = reap(run);
        /* Asked behind it: a worker that has finished, for its handler said stop or it failed, has said so before, and
         * no other begins in its place. */
        is_ending = is_over || run->st != LS_OK || lsi_run_is_told_to_end(run);
        if (is_ending) {
            stop_all(run);
            if (is_idle)
                return;
        } else {
            st = look(run, token, is_idle, &is_over);
            if (st == LS_OK && may_sleep_on(run))
                pause_us = INT64_MAX;
        }
        if (st == LS_ERR_BUSY || st == LS_ERR_NO_MEMORY)
            pause_us = LSI_RUN_PAUSE_US; /* Others wait for a while before they take us for dead. */
        else
            lsi_error_note_first(st, &run->st, &run->why);
        if (due_us != INT64_MAX && due_us - now_us(run) < pause_us)
            pause_us = due_us - now_us(run);
        if ((run->st == LS_OK && !is_over) || is_ending)
            wait_for_change(run, token, pause_us);
    }
}

ls_status lsi_mapping_run(lsi_engine_stream *stream, const lsi_mapping_running *how)
{
    lsi_run run = {.stream = stream, .env = &stream->engine->env, .how = how};
    ls_status st;

    lsi_stream_arn(stream->name, run.arn);
    run.names = (lsi_filter_names){run.arn, LSI_STREAM_ROLE_ARN, LSI_STREAM_REGION};
    atomic_init(&run.is_stopped, false);
    atomic_init(&run.retention_us, 0);
    st = lsi_guard_join(how->guard, &run.guarded);
    if (st != LS_OK)
        return st;
    run_on(&run);
    while (run.workers != NULL)
        forget(&run, run.workers);
    st = leave_group(&run);
    lsi_guard_leave(how->guard, &run.guarded);
    if (st != LS_ERR_NOT_FOUND) /* What is gone need not be given back. */
        lsi_error_note_first(st, &run.st, &run.why);
    lsi_mapping_free(run.mapping);
    if (run.st != LS_OK)
        lsi_error_restore(&run.why);
    return run.st;
}
