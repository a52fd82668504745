/* A run of a mapping: which shards are worked on here.
 *
 * All runs of a mapping, in all processes, see the same rows of the stream's state and wait for their changes. Each
 * has a row of its own, which it changes three times in `failover_ms`; whose row stands still for as long as it
 * states, by the looker's own monotonic clock, or is gone, is dead; so is at once whose process is gone by the
 * kernel's word. A shard is worked on by the run that its row names.
 *
 *   M6  A shard can be had when it is not finished, its parents are finished or gone, and its row names nobody, or
 *       somebody dead. It is taken by one swap of its row, and given back by another: a run that was dead for others is
 *       refused by the version of the row (W2).
 *   M7  Each run has at most its share, rounded up, of the shards that can be worked on; who has more gives one back.
 *   M8  Other settings, a pause and the end stop all workers first; what they stored is where the next ones begin. */
#include "consume/mapping_run.h"

#include <inttypes.h>

#include "base/patience.h"

#define PAUSE_US 100000
#define DEATHS_US 1000000 /* so often it is asked whether the others' processes are gone */

typedef struct lsi_seen_runner {
    uint64_t id, version, ticket;
    int64_t since_us; /* monotonic: so long it has this version */
    bool is_there, has_changed;
} lsi_seen_runner;

/* What a look found. */
typedef struct found {
    lsi_stream_info info;
    lsi_mapping_row *rows;
    uint32_t row_count;
    lsi_mapping_runner_row *runners;
    uint32_t runner_count;
} found;

void lsi_mapping_wake(lsi_engine_stream *stream)
{
    stream->engine->ops->wake(stream, LSI_STATE_SHARD);
}

/* ---- the run's own row ---- */

static ls_status renew(lsi_run *run, bool *is_mine)
{
    int64_t now_us = lsi_monotonic_us(&run->env->clock);
    ls_status st;

    *is_mine = true;
    if (now_us < run->renew_us)
        return LS_OK;
    run->me.beat++;
    st = lsi_mapping_runner_write(run->stream, run->how->name, run->how->id, &run->me, false, is_mine);
    if (st == LS_OK)
        run->renew_us = now_us + (int64_t)run->me.failover_ms * 1000 / 3;
    return st;
}

/* Under a new name: whoever knew the last one has given it up. */
static void become_new(lsi_run *run)
{
    do
        run->env->random(run->env->random_user, &run->me.id, sizeof(run->me.id));
    while (run->me.id == 0);
    run->me.version = LSI_STATE_NONE;
    run->me.ticket = run->stream->engine->ops->ticket(run->stream->engine);
    run->me.failover_ms = run->how->failover_ms;
    run->me.shards_max = run->how->shards_max;
    run->renew_us = 0;
}

/* ---- who lives ---- */

static lsi_seen_runner *seen_of(lsi_run *run, uint64_t id)
{
    for (size_t i = 0; i < run->seen_count; i++)
        if (run->seen[i].id == id)
            return &run->seen[i];
    return NULL;
}

static ls_status see(lsi_run *run, const lsi_mapping_runner_row *row, int64_t now_us)
{
    lsi_seen_runner *seen = seen_of(run, row->id);

    if (seen == NULL) {
        if (!lsi_grow(&run->env->memory, (void **)&run->seen, &run->seen_capacity, run->seen_count + 1,
                      sizeof(*run->seen)))
            return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the runs of mapping '%s'", run->how->name);
        seen = &run->seen[run->seen_count++];
        *seen = (lsi_seen_runner){.id = row->id, .version = row->version, .ticket = row->ticket, .since_us = now_us};
    }
    if (seen->version != row->version) {
        seen->version = row->version;
        seen->since_us = now_us;
        seen->has_changed = true;
    }
    seen->is_there = true;
    return LS_OK;
}

static bool is_gone(const lsi_run *run, uint64_t ticket)
{
    return run->stream->engine->ops->ticket_is_gone(run->stream->engine, ticket);
}

/* Looks at the runners; those that are dead are removed, for everybody. */
static ls_status see_all(lsi_run *run, found *of)
{
    int64_t now_us = lsi_monotonic_us(&run->env->clock);
    ls_status st = LS_OK;
    size_t kept = 0;

    for (size_t i = 0; i < run->seen_count; i++)
        run->seen[i].is_there = false;
    for (uint32_t i = 0; st == LS_OK && i < of->runner_count; i++) {
        lsi_mapping_runner_row *row = &of->runners[i];
        const lsi_seen_runner *seen;
        bool is_done;

        if (row->id != run->me.id)
            st = see(run, row, now_us);
        seen = seen_of(run, row->id);
        row->is_dead = st == LS_OK && seen != NULL &&
            (now_us - seen->since_us >= (int64_t)row->failover_ms * 1000 || is_gone(run, row->ticket));
        if (row->is_dead)
            st = lsi_mapping_runner_write(run->stream, run->how->name, run->how->id, row, true, &is_done);
        /* If that was refused it lives: the next look sees it. */
    }
    for (size_t i = 0; i < run->seen_count; i++)
        if (run->seen[i].is_there)
            run->seen[kept++] = run->seen[i];
    run->seen_count = kept;
    return st;
}

/* `*is_proven`: it was seen to change, and does not only look alive to who has just come. */
static bool lives(const lsi_run *run, const found *of, uint64_t id, bool *is_proven)
{
    int64_t now_us = lsi_monotonic_us(&run->env->clock);

    *is_proven = id == run->me.id;
    if (*is_proven)
        return true;
    for (uint32_t i = 0; i < of->runner_count; i++)
        for (size_t k = 0; of->runners[i].id == id && k < run->seen_count; k++)
            if (run->seen[k].id == id) {
                *is_proven = run->seen[k].has_changed;
                return !of->runners[i].is_dead &&
                    now_us - run->seen[k].since_us < (int64_t)of->runners[i].failover_ms * 1000;
            }
    return false;
}

/* ---- shards ---- */

static const lsi_mapping_row *row_of(const found *of, uint32_t shard)
{
    for (uint32_t i = 0; i < of->row_count; i++)
        if (of->rows[i].shard == shard)
            return &of->rows[i];
    return NULL;
}

/* The last number that is finished, of a shard without a row. */
static ls_seqno start_of(const lsi_mapping *mapping, uint32_t shard)
{
    for (uint32_t i = 0; i < mapping->start_count; i++)
        if (mapping->starts[i].shard == shard)
            return mapping->starts[i].seqno == LS_SEQNO_END ? LS_SEQNO_END : mapping->starts[i].seqno - 1;
    return LS_SEQNO_NONE;
}

static bool is_finished(const lsi_run *run, const found *of, uint32_t shard)
{
    const lsi_mapping_row *row = row_of(of, shard);

    if (shard == LSI_NO_SHARD || lsi_shard_find(of->info.shards, of->info.shard_count, shard) == NULL)
        return true;
    return (row != NULL ? row->progress.position : start_of(run->mapping, shard)) == LS_SEQNO_END;
}

static lsi_worker *worker_of(const lsi_run *run, uint32_t shard)
{
    for (lsi_worker *at = run->workers; at != NULL; at = at->next)
        if (at->shard == shard)
            return at;
    return NULL;
}

static bool is_workable(const lsi_run *run, const found *of, const lsi_shard *shard)
{
    return !is_finished(run, of, shard->index) && is_finished(run, of, shard->parent) &&
        is_finished(run, of, shard->adjacent_parent);
}

/* M6 */
static ls_status take(lsi_run *run, const found *of, const lsi_shard *shard)
{
    const lsi_mapping_row *seen = row_of(of, shard->index);
    lsi_worker *worker;
    lsi_mapping_row row;
    bool is_done = false;
    ls_status st = lsi_mapping_row_load(run->stream, run->mapping, shard->index, &row);

    if (st != LS_OK)
        return st;
    if (seen == NULL)
        row.progress.position = start_of(run->mapping, shard->index);
    row.owner = run->me.id;
    /* One that was changed since the look, or made, is looked at anew. */
    if (seen != NULL ? row.version == seen->version : !row.is_known)
        st = lsi_mapping_row_write(run->stream, run->how->name, &row, false, &is_done);
    if (!is_done) {
        lsi_free(&run->env->memory, row.bytes);
        return st;
    }
    st = lsi_worker_start(run, shard, &row, &worker);
    if (st != LS_OK)
        return st;
    worker->next = run->workers;
    run->workers = worker;
    return LS_OK;
}

/* How many shards a run may have, so that all of them find one: each up to its own limit. */
static uint32_t share_of_each(const lsi_run *run, const found *of, uint32_t workable)
{
    uint32_t most = 0, placed = 0;

    while (placed < workable && most < workable) {
        placed = 0;
        most++;
        for (uint32_t i = 0; i < of->runner_count; i++) {
            uint32_t limit = of->runners[i].shards_max;
            bool is_proven;

            if (lives(run, of, of->runners[i].id, &is_proven))
                placed += limit != 0 && limit < most ? limit : most;
        }
    }
    return run->how->shards_max != 0 && most > run->how->shards_max ? run->how->shards_max : most;
}

/* M7. `*is_waiting`: there is a shard that this run may still come to have. */
static ls_status share(lsi_run *run, const found *of, bool *is_waiting)
{
    uint32_t workable = 0, mine = 0, leaving = 0, most;
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < of->info.shard_count; i++) {
        const lsi_worker *worker = worker_of(run, of->info.shards[i].index);

        workable += is_workable(run, of, &of->info.shards[i]) && (worker == NULL || !worker->is_over);
        mine += worker != NULL && !worker->is_over;
        leaving += worker != NULL && !worker->is_over && worker->is_leaving;
    }
    most = share_of_each(run, of, workable);
    for (uint32_t i = 0; st == LS_OK && i < of->info.shard_count; i++) {
        const lsi_shard *shard = &of->info.shards[i];
        const lsi_mapping_row *row = row_of(of, shard->index);
        bool is_proven;

        if (!is_workable(run, of, shard) || worker_of(run, shard->index) != NULL)
            continue;
        if (row != NULL && row->owner != 0 && row->owner != run->me.id && lives(run, of, row->owner, &is_proven)) {
            *is_waiting = *is_waiting || !is_proven;
            continue;
        }
        *is_waiting = true;
        if (mine < most) {
            st = take(run, of, shard);
            mine++;
        }
    }
    for (lsi_worker *at = run->workers; at != NULL && mine - leaving > most; at = at->next)
        if (!at->is_over && !at->is_leaving) {
            at->is_leaving = true;
            lsi_worker_stop(at);
            leaving++;
        }
    return st;
}

/* Rows of shards that the stream has no longer say nothing. */
static ls_status forget_gone(lsi_run *run, found *of)
{
    ls_status st = LS_OK;

    for (uint32_t i = 0; st == LS_OK && i < of->row_count; i++) {
        bool is_done;

        if (lsi_shard_find(of->info.shards, of->info.shard_count, of->rows[i].shard) == NULL &&
            worker_of(run, of->rows[i].shard) == NULL)
            st = lsi_mapping_row_write(run->stream, run->how->name, &of->rows[i], true, &is_done);
    }
    return st;
}

/* ---- the workers ---- */

static void stop_all(lsi_run *run)
{
    for (lsi_worker *at = run->workers; at != NULL; at = at->next)
        if (!at->is_over && !at->is_leaving) {
            at->is_leaving = true;
            lsi_worker_stop(at);
        }
}

/* Those that have finished go, but for what is caught up. True: none works any more. */
static bool reap(lsi_run *run)
{
    lsi_worker **link = &run->workers;
    bool is_idle = true;

    while (*link != NULL) {
        lsi_worker *worker = *link;

        if (worker->is_over || !atomic_load_explicit(&worker->is_finished, memory_order_acquire)) {
            is_idle = is_idle && worker->is_over;
            link = &worker->next;
            continue;
        }
        if (worker->st != LS_OK && run->st == LS_OK) {
            run->st = worker->st;
            run->why = worker->why;
        }
        worker->is_over = worker->is_caught_up && !worker->is_lost;
        if (worker->is_over)
            continue;
        *link = worker->next;
        lsi_worker_free(worker);
    }
    return is_idle;
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
    while (run->workers != NULL) { /* Those that are over; what they were over with may be different now. */
        lsi_worker *worker = run->workers;

        run->workers = worker->next;
        lsi_worker_free(worker);
    }
    lsi_mapping_free(run->mapping);
    run->mapping = now;
    *is_same = true;
    return LS_OK;
}

static ls_status look_at_shards(lsi_run *run, bool *is_waiting)
{
    found of = {.row_count = 0};
    ls_status st = run->stream->engine->ops->info(run->stream, &of.info);

    if (st == LS_OK)
        st = lsi_mapping_rows(run->stream, run->mapping, &of.rows, &of.row_count, &of.runners, &of.runner_count);
    if (st == LS_OK)
        st = see_all(run, &of);
    if (st == LS_OK) {
        /* Relaxed: a number by itself. */
        atomic_store_explicit(&run->retention_us, (int64_t)of.info.retention_hours * 3600 * 1000000,
                              memory_order_relaxed);
        st = forget_gone(run, &of);
    }
    if (st == LS_OK)
        st = share(run, &of, is_waiting);
    lsi_free(&run->env->memory, of.rows);
    lsi_free(&run->env->memory, of.runners);
    lsi_stream_info_free(&of.info);
    return st;
}

/* `*is_over`: there is nothing to do any more. */
static ls_status look(lsi_run *run, bool is_idle, bool is_ending, bool *is_over)
{
    bool is_mine, is_same, is_waiting = false;
    ls_status st = renew(run, &is_mine);

    if (st == LS_OK && !is_mine) { /* We were taken for dead; our workers will see it of their rows (W2). */
        stop_all(run);
        become_new(run);
        return LS_OK;
    }
    if (st != LS_OK || is_ending)
        return st;
    st = look_at_mapping(run, is_idle, &is_same);
    if (st != LS_OK)
        return st;
    if (!is_same || run->mapping->status != LS_MAPPING_ENABLED) {
        stop_all(run);
        return LS_OK;
    }
    st = look_at_shards(run, &is_waiting);
    *is_over = st == LS_OK && !is_waiting && (run->how->flags & LS_RUN_UNTIL_CAUGHT_UP) != 0 && reap(run) &&
        is_idle;
    return st;
}

static bool is_told_to_end(const lsi_run *run)
{
    /* Pairs with ls_mapping_stop, and with invoke. */
    return atomic_load_explicit(run->how->is_stopped, memory_order_acquire) ||
        atomic_load_explicit(&run->is_stopped, memory_order_acquire);
}

static bool is_one_gone(const lsi_run *run)
{
    for (size_t i = 0; i < run->seen_count; i++)
        if (is_gone(run, run->seen[i].ticket))
            return true;
    return false;
}

/* Until the state or a worker has changed, another's process is gone, or the time is over: the run looks anew. */
static void wait_for_change(lsi_run *run, uint32_t token, int64_t pause_us)
{
    const lsi_engine_ops *ops = run->stream->engine->ops;

    while (pause_us > 0) {
        int64_t slice_us = run->seen_count > 0 && pause_us > DEATHS_US ? DEATHS_US : pause_us;

        if (ops->sleep(run->stream, LSI_STATE_SHARD, token, slice_us) != LSI_SLEPT_OUT || is_one_gone(run))
            return;
        pause_us -= slice_us;
    }
}

static void run_on(lsi_run *run)
{
    const lsi_engine_ops *ops = run->stream->engine->ops;
    bool is_over = false;

    for (;;) {
        uint32_t token = ops->arm(run->stream, LSI_STATE_SHARD); /* What changes behind it ends the sleep. */
        bool is_idle = reap(run);
        bool is_ending = is_over || run->st != LS_OK || is_told_to_end(run);
        int64_t pause_us;
        ls_status st;

        lsi_patience_begin(run->env->busy_timeout_ms);
        if (is_ending)
            stop_all(run);
        if (is_ending && is_idle)
            return;
        st = look(run, is_idle, is_ending, &is_over);
        pause_us = run->renew_us - lsi_monotonic_us(&run->env->clock);
        if (st == LS_ERR_BUSY || st == LS_ERR_NO_MEMORY || (st != LS_OK && is_ending))
            pause_us = PAUSE_US; /* Others do not know yet that we live; they wait for a while. */
        else
            lsi_error_note_first(st, &run->st, &run->why);
        if (run->st == LS_OK && !is_over && pause_us > 0)
            wait_for_change(run, token, pause_us);
        else if (is_ending)
            (void)ops->sleep(run->stream, LSI_STATE_SHARD, token, PAUSE_US);
    }
}

ls_status lsi_mapping_run(lsi_engine_stream *stream, const lsi_mapping_running *how)
{
    lsi_run run = {.stream = stream, .env = &stream->engine->env, .how = how};
    bool is_done;

    atomic_init(&run.is_stopped, false);
    atomic_init(&run.retention_us, 0);
    become_new(&run);
    run_on(&run);
    while (run.workers != NULL) {
        lsi_worker *worker = run.workers;

        run.workers = worker->next;
        lsi_worker_free(worker);
    }
    if (run.me.version != LSI_STATE_NONE) /* If it cannot be removed, others see in time that it stands still. */
        (void)lsi_mapping_runner_write(stream, how->name, how->id, &run.me, true, &is_done);
    lsi_mapping_free(run.mapping);
    lsi_free(&run.env->memory, run.seen);
    if (run.st != LS_OK)
        lsi_error_restore(&run.why);
    return run.st;
}
