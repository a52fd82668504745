/* What a batch has put, and the place behind it, as one step.
 *
 *     worker's thread   the handler has returned: what of its puts counts, and how far that comes ── is_wanted ──▶
 *     run's thread      makes the step, since it alone touches leases                           ◀── st ──
 *     worker's thread   done: the machine is told. Refused for now: waits, and asks again. It cannot be done: the batch
 *                       has failed. Else it is not finished, and the shard is left
 *
 *   M9   The machine is told of a success behind its step only, and then whatever happens: else the batch would come
 *        again, and be put twice. Between foreseeing and telling nobody asks it: there is one lane.
 *   M10  What was noted of progress before a step is behind it, and is not saved any more.
 *   M11  When it is not known whether a step was done, this run saves nothing more of the shard: who has it next reads
 *        where it stands. */
#include "consume/mapping/run.h"

#include <inttypes.h>
#include <string.h>

#include "base/patience.h"

lsi_step_meaning lsi_step_mean(ls_status st)
{
    switch (st) {
    case LS_OK:
        return LSI_STEP_DONE;
    case LS_ERR_THROTTLED:
    case LS_ERR_BUSY:
    case LS_ERR_FULL:
    case LS_ERR_NO_MEMORY:
        return LSI_STEP_LATER;
    case LS_ERR_TOO_LARGE:
    case LS_ERR_NOT_FOUND: /* a stream that was put to */
        return LSI_STEP_FAILED;
    default:
        return LSI_STEP_OVER;
    }
}

/* ---- the run's thread ---- */

typedef struct taking {
    lsi_worker *worker;
    lsi_lease_beside beside;
    ls_status st; /* of the step itself */
} taking;

static ls_status take(void *user, lsi_step_put *puts, uint32_t count)
{
    taking *of = user;
    const lsi_worker_progress *to = &of->worker->step.progress;

    of->st = lsi_lease_save_step(of->worker->lease, to->progress.position, (uint32_t)to->result, of->beside, puts,
                                 count);
    return of->st;
}

static ls_status make(lsi_worker *worker)
{
    const lsi_run *run = worker->run;
    const lsi_engine_ops *ops = run->stream->engine->ops;
    const lsi_progress *progress = &worker->step.progress.progress;
    bool has_change = progress->has_window || worker->has_saved_window;
    taking of = {.worker = worker, .st = LS_OK};
    char key[LSI_WINDOW_KEY_BYTES];
    lsi_state_change window;
    ls_status st = LS_OK;

    if (worker->is_lost)
        return lsi_fail(LS_ERR_LEASE_LOST, "mapping '%s': another run has shard %" PRIu32, run->mapping->name,
                        worker->shard);
    if (ops->durability(run->stream->engine) != LS_DURABILITY_SYNC) /* M6 */
        st = ops->sync(run->stream->engine);
    if (st == LS_OK)
        st = lsi_window_change(&run->env->memory, run->mapping->name, worker->shard, progress, key, &window);
    if (st != LS_OK)
        return st;
    of.beside = (lsi_lease_beside){&window, has_change ? 1 : 0};
    st = run->how->outputs->commit(worker->outputs, take, &of);
    lsi_free(&run->env->memory, (void *)(uintptr_t)window.value.data);
    /* Not a stream that was put to, or it went just now: then the next try says so. */
    return st == LS_ERR_NOT_FOUND && of.st == st ? LS_ERR_LEASE_LOST : st;
}

/* M10. Locks: worker->lock held. */
static void become_saved(lsi_worker *worker)
{
    const lsi_memory *memory = &worker->run->env->memory;
    lsi_worker_progress *next = &worker->next_progress;

    lsi_free(memory, worker->saving.bytes);
    worker->saving = worker->step.progress;
    worker->step.progress.bytes = NULL;
    worker->is_unsaved = false;
    worker->has_saved_window = worker->saving.progress.has_window;
    worker->saved_us = lsi_monotonic_us(&worker->run->env->clock);
    lsi_free(memory, next->bytes);
    *next = worker->saving;
    next->bytes = NULL;
    next->progress.state = (ls_bytes){NULL, 0};
    worker->has_next = worker->has_result = worker->is_urgent = worker->is_told = false;
    worker->step.is_done = true;
}

ls_status lsi_worker_make_step(lsi_worker *worker)
{
    ls_status st;
    bool is_wanted;

    lsi_lock_hold(&worker->lock, LSI_RANK_LOCAL);
    is_wanted = worker->step.is_wanted;
    lsi_lock_release(&worker->lock, LSI_RANK_LOCAL);
    if (!is_wanted)
        return LS_OK;
    lsi_patience_begin(worker->run->env);
    st = make(worker);
    lsi_lock_hold(&worker->lock, LSI_RANK_LOCAL);
    worker->step.is_wanted = false;
    worker->step.st = st;
    if (st == LS_OK)
        become_saved(worker);
    else
        lsi_error_save(&worker->step.why);
    atomic_fetch_add_explicit(&worker->word, 1, memory_order_release); /* Pairs with sleep_until. */
    lsi_word_wake_all(&worker->word);
    lsi_lock_release(&worker->lock, LSI_RANK_LOCAL);
    return st;
}

/* ---- the worker's thread ---- */

/* Or until the word rises from `seen`. Locks: worker->lock held, not while it sleeps. */
static void sleep_until(lsi_worker *worker, uint32_t seen, int64_t until_us)
{
    int64_t now_us = lsi_monotonic_us(&worker->run->env->clock);

    lsi_lock_release(&worker->lock, LSI_RANK_LOCAL);
    if (until_us > now_us) /* Who sleeps looks, however it ends. */
        (void)lsi_word_sleep(&worker->word, seen, until_us == INT64_MAX ? -1 : until_us - now_us);
    lsi_lock_hold(&worker->lock, LSI_RANK_LOCAL);
}

/* Acquire pairs with the release of those who change what is waited for. */
static uint32_t look(const lsi_worker *worker)
{
    return atomic_load_explicit(&worker->word, memory_order_acquire);
}

/* Locks: worker->lock held, not while it waits. */
static ls_status ask(lsi_worker *worker)
{
    worker->step.is_wanted = true;
    lsi_mapping_wake(worker->run->stream);
    while (worker->step.is_wanted)
        sleep_until(worker, look(worker), INT64_MAX);
    return worker->step.st;
}

static bool is_told_to_stop(const lsi_worker *worker)
{
    return atomic_load_explicit(&worker->is_told_to_stop, memory_order_acquire); /* Pairs with lsi_worker_stop. */
}

/* Locks: worker->lock held, not while it waits. */
static void wait_to_ask_again(lsi_worker *worker)
{
    const lsi_clock *clock = &worker->run->env->clock;
    int64_t told_us = worker->step.st == LS_ERR_THROTTLED ? (int64_t)worker->step.why.retry_after_ms * 1000 : 0;
    int64_t until_us = lsi_monotonic_us(clock) + (told_us != 0 ? told_us : LSI_RUN_PAUSE_US);
    uint32_t seen = look(worker);

    while (!is_told_to_stop(worker) && lsi_monotonic_us(clock) < until_us) {
        sleep_until(worker, seen, until_us);
        seen = look(worker);
    }
}

static void complain(const lsi_worker *worker, const char *what)
{
    lsi_env_log(worker->run->env, LS_LOG_WARNING, "mapping '%s' shard %" PRIu32 ": what a handler has put %s: %s",
                worker->run->mapping->name, worker->shard, what, worker->step.why.message);
}

bool lsi_worker_commit(lsi_worker *worker, lsi_outcome *outcome, lsi_moment now)
{
    const lsi_outputs_ops *outputs = worker->run->how->outputs;
    lsi_step_meaning meaning = LSI_STEP_LATER;
    lsi_progress to;

    if (worker->outputs == NULL ||
        outputs->keep(worker->outputs, lsi_batcher_foresee(worker->machine, outcome, now, &to)) == 0)
        return false;
    lsi_worker_copy_progress(worker, &to, &worker->step.progress);
    worker->step.progress.result = LS_MAPPING_RESULT_OK;
    for (bool is_first = true; meaning == LSI_STEP_LATER; is_first = false) {
        meaning = lsi_step_mean(ask(worker));
        if (meaning != LSI_STEP_LATER)
            break;
        if (is_first)
            complain(worker, "cannot be stored yet");
        wait_to_ask_again(worker);
        if (is_told_to_stop(worker))
            meaning = LSI_STEP_OVER;
    }
    if (meaning == LSI_STEP_DONE)
        return true;
    if (meaning == LSI_STEP_FAILED)
        complain(worker, "cannot be stored");
    (void)outputs->keep(worker->outputs, 0);
    outcome->kind = meaning == LSI_STEP_FAILED ? LSI_OUTCOME_FAILED : LSI_OUTCOME_STOPPED;
    return false;
}

bool lsi_worker_has_stepped_to(lsi_worker *worker, const lsi_progress *progress)
{
    bool is_done = worker->step.is_done;

    worker->step.is_done = false;
    return is_done && lsi_point_compare(progress->position, worker->next_progress.progress.position) == 0;
}
