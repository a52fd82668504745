/* One shard of a run of a mapping: an iterator, the batch machine, and as many threads as it has lanes.
 *
 * All threads do the same (work): they ask the machine what is next, under the worker's lock, and do it without the
 * lock: call a handler, tell of a discard, read on. One at a time reads, and waits for records in its iterator; who
 * finds nothing to do sleeps on the worker's word, which rises with every change. What the machine tells of progress
 * is noted; the run saves it (run.c).
 *
 *   W1  Whatever ends it, the machine is drained: who has begun a handler waits for it, and no other is begun. The last
 *       thread tells the run. */
#include "consume/mapping/run.h"

#include <inttypes.h>
#include <string.h>

#include "base/patience.h"
#include "consume/mapping/event_json.h"
#include "consume/iterator.h"

#define READ_RECORDS_MAX 65536u
#define AHEAD_RECORDS LSI_BATCHER_RECORDS_MAX /* as many as a call of Kinesis's GetRecords has */
#define AHEAD_BYTES (UINT64_C(1) << 20)
#define CAUGHT_UP_WAIT_MS 20 /* for records, while handlers have the last ones */
#define TIP_WAIT_MS 1000   /* while a tumbling window is open: so often the tip is noticed */
#define RETENTION_SLACK_US 60000000
#define HORIZON_LOOK_US 1000000 /* so often it is asked for, while records seem past retention or fail */
#define TIP_SLACK_US 1000000 /* a record may be stamped so long before it can be read */

static lsi_moment moment(const lsi_worker *worker)
{
    const lsi_clock *clock = &worker->run->env->clock;

    return (lsi_moment){lsi_wall_us(clock), lsi_monotonic_us(clock)};
}

/* The run looks at the stream's now and then; who raises it in time must not lose what it was raised for. */
static int64_t retention_us(const lsi_run *run)
{
    int64_t slack_us = (int64_t)run->how->failover_ms * 1000;

    return atomic_load_explicit(&run->retention_us, memory_order_relaxed) +
        (slack_us > RETENTION_SLACK_US ? slack_us : RETENTION_SLACK_US);
}

/* Locks: worker->lock held. */
static void tell_others(lsi_worker *worker)
{
    /* Release pairs with the acquire in step: who sees the new word sees what was changed before it. */
    atomic_fetch_add_explicit(&worker->word, 1, memory_order_release);
    lsi_word_wake_all(&worker->word);
}

/* Locks: worker->lock held; not while it sleeps. */
static void sleep_inside(lsi_worker *worker, uint32_t seen, int64_t timeout_us)
{
    lsi_lock_release(&worker->lock, LSI_RANK_LOCAL);
    (void)lsi_word_sleep(&worker->word, seen, timeout_us); /* The loop looks anew, however it ended. */
    lsi_lock_hold(&worker->lock, LSI_RANK_LOCAL);
}

static void drain(lsi_worker *worker)
{
    if (worker->is_draining)
        return;
    worker->is_draining = true;
    lsi_batcher_drain(worker->machine);
    tell_others(worker);
    lsi_iterator_cancel(worker->iterator);
}

/* The call that failed has just set the last error. Locks: worker->lock held. */
static void fail(lsi_worker *worker, ls_status st)
{
    lsi_error_note_first(st, &worker->st, &worker->why);
    drain(worker);
}

/* ---- progress ---- */

/* Locks: worker->lock held. */
static void tell_run(lsi_worker *worker)
{
    if (worker->is_told)
        return;
    worker->is_told = true;
    lsi_mapping_wake(worker->run->stream);
}

void lsi_worker_copy_progress(lsi_worker *worker, const lsi_progress *progress, lsi_worker_progress *out)
{
    const lsi_memory *memory = &worker->run->env->memory;
    void *bytes = NULL;

    if (progress->has_window && progress->state.size > 0) {
        /* It is a view until the machine is asked again, which the lock keeps everybody from. */
        while ((bytes = lsi_alloc(memory, progress->state.size)) == NULL) {
            _Atomic uint32_t never = 0;

            (void)lsi_word_sleep(&never, 0, LSI_RUN_PAUSE_US);
        }
        memcpy(bytes, progress->state.data, progress->state.size);
    }
    lsi_free(memory, out->bytes);
    out->bytes = bytes;
    out->progress = *progress;
    out->progress.state.data = bytes;
}

/* What there is to be stored is stored at once. Locks: worker->lock held. */
static void hurry(lsi_worker *worker)
{
    if (worker->is_urgent)
        return;
    worker->is_urgent = true;
    worker->is_told = false;
}

/* Locks: worker->lock held. */
static void note_progress(lsi_worker *worker, const lsi_progress *progress)
{
    const lsi_progress *before = &worker->next_progress.progress;
    bool has_ended = progress->position.seqno == LS_SEQNO_END ||
        (before->has_window && (!progress->has_window || progress->window_start_us != before->window_start_us));

    if (lsi_worker_has_stepped_to(worker, progress))
        return;
    lsi_worker_copy_progress(worker, progress, &worker->next_progress);
    worker->has_next = true;
    /* M12 */
    if (worker->run->mapping->options.tumbling_window_s == 0 && progress->position.seqno != LS_SEQNO_END &&
        progress->position.seqno != LS_SEQNO_NONE)
        lsi_lease_note(&worker->notes, progress->position);
    if (has_ended)
        hurry(worker);
    tell_run(worker);
}

/* M14. Locks: worker->lock held. */
static bool note_trial(lsi_worker *worker, uint32_t lane)
{
    lsi_trial trial;
    bool has_one = lsi_batcher_trial(worker->machine, lane, (worker->handling >> lane & 1) != 0, &trial);

    lsi_lease_try(&worker->notes, lane, has_one ? &trial : NULL);
    return has_one;
}

/* What has failed is to be stored, too. Locks: worker->lock held. */
static void note_outcome(lsi_worker *worker, uint32_t lane)
{
    if (!note_trial(worker, lane))
        return;
    worker->has_trials = true;
    tell_run(worker);
}

bool lsi_worker_take_progress(lsi_worker *worker)
{
    lsi_worker_progress *next = &worker->next_progress;

    lsi_lock_hold(&worker->lock, LSI_RANK_LOCAL);
    if (worker->has_next) {
        lsi_free(&worker->run->env->memory, worker->saving.bytes);
        worker->saving = *next;
        next->bytes = NULL; /* The rest stays, to be compared with. */
        next->progress.state = (ls_bytes){NULL, 0};
        worker->has_next = false;
        worker->is_unsaved = true;
    }
    if (worker->has_result) {
        worker->saving.result = next->result;
        worker->has_result = false;
        worker->is_unsaved = true;
    }
    worker->is_unsaved = worker->is_unsaved || worker->has_trials;
    worker->has_trials = worker->is_urgent = false;
    if (worker->is_unsaved)
        lsi_batcher_trials(worker->machine, &worker->saving.trials);
    worker->is_told = false;
    lsi_lock_release(&worker->lock, LSI_RANK_LOCAL);
    return worker->is_unsaved;
}

int64_t lsi_worker_due_us(lsi_worker *worker)
{
    int64_t due_us = worker->saved_us + (int64_t)worker->run->mapping->options.sync_interval_ms * 1000;

    lsi_lock_hold(&worker->lock, LSI_RANK_LOCAL);
    if (worker->notes.counter != worker->lease->row.counter) {
        worker->notes.counter = worker->lease->row.counter;
        for (uint32_t lane = 0; lane < worker->run->mapping->options.lane_count; lane++)
            note_trial(worker, lane);
    }
    if (worker->is_lost || (!worker->has_next && !worker->has_result && !worker->has_trials && !worker->is_unsaved))
        due_us = INT64_MAX;
    else if (worker->is_urgent)
        due_us = 0; /* Long past; times are taken from it. */
    lsi_lock_release(&worker->lock, LSI_RANK_LOCAL);
    return due_us;
}

static bool passes_by_itself(ls_status st)
{
    return st == LS_ERR_BUSY || st == LS_ERR_FULL || st == LS_ERR_NO_MEMORY;
}

/* ---- handlers ---- */

/* Whether that was a failure is for the machine to say, which knows of late answers, too. Locks: worker->lock held. */
static void note_result(lsi_worker *worker, const lsi_outcome *outcome, uint64_t errors_before)
{
    lsi_batcher_counts counts;
    ls_mapping_result result;

    lsi_batcher_counts_get(worker->machine, &counts);
    result = counts.errors > errors_before ? LS_MAPPING_RESULT_FAILED : LS_MAPPING_RESULT_OK;
    if (outcome->kind == LSI_OUTCOME_STOPPED || outcome->kind == LSI_OUTCOME_SYSTEM ||
        result == worker->next_progress.result)
        return;
    worker->next_progress.result = result;
    worker->has_result = true;
    tell_run(worker);
}

/* Locks: worker->lock held, not while the handler runs. */
static void invoke(lsi_worker *worker, const lsi_batcher_action *action, lsi_moment now)
{
    lsi_run *run = worker->run;
    int32_t timeout_ms = run->mapping->options.handler_timeout_ms;
    const lsi_invocation *what = &action->invocation;
    const lsi_event_source source = lsi_worker_source(worker);
    ls_handler_context context = {
        .env = run->env,
        .what = what,
        .source = &source,
        .late_us = timeout_ms < 0 ? INT64_MAX : now.mono_us + (int64_t)timeout_ms * 1000,
        .reports_failures = (run->mapping->options.flags & LS_MAPPING_REPORT_FAILURES) != 0,
        .handle = run->how->handle,
        .outputs = (run->mapping->options.flags & LS_MAPPING_EXACTLY_ONCE) != 0 ? &worker->outputs : NULL,
    };
    ls_batch batch = {.records = what->records, .count = what->count, .shard = worker->shard};
    ls_handler_answer answer;
    lsi_batcher_counts before;
    lsi_outcome outcome;
    lsi_moment after;
    bool is_stepped;

    worker->handling |= UINT32_C(1) << action->lane;
    (void)note_trial(worker, action->lane);
    lsi_lock_release(&worker->lock, LSI_RANK_LOCAL);
    lsi_worker_enters(worker);
    answer = run->how->handler(&batch, &context, run->how->user);
    lsi_worker_leaves(worker);
    lsi_lock_hold(&worker->lock, LSI_RANK_LOCAL);
    worker->handling &= ~(UINT32_C(1) << action->lane);
    (void)note_trial(worker, action->lane);
    outcome = lsi_handler_outcome(answer, &context);
    lsi_batcher_counts_get(worker->machine, &before);
    after = moment(worker);
    is_stepped = lsi_worker_commit(worker, &outcome, after);
    while (lsi_batcher_complete(worker->machine, action->lane, &outcome, after) != LS_OK) { /* No memory for state. */
        if (is_stepped) /* M9 */
            sleep_inside(worker, atomic_load_explicit(&worker->word, memory_order_relaxed), LSI_RUN_PAUSE_US);
        else
            outcome = (lsi_outcome){.kind = LSI_OUTCOME_SYSTEM}; /* It comes again; and that needs none. */
    }
    note_outcome(worker, action->lane);
    note_result(worker, &outcome, before.errors);
    lsi_worker_count_invocation(worker, &outcome, what->count, after.mono_us - now.mono_us);
    lsi_handler_context_end(&context);
    tell_others(worker);
    if (answer == LS_HANDLER_STOP) {
        atomic_store_explicit(&run->is_stopped, true, memory_order_release); /* Pairs with the run's loop. */
        lsi_mapping_wake(run->stream);
    }
}

/* Locks: as invoke. */
static void discard(lsi_worker *worker, const lsi_batcher_action *action)
{
    const lsi_run *run = worker->run;
    const lsi_invocation *what = &action->invocation;
    ls_batch batch = {.records = what->records, .count = what->count, .shard = worker->shard};
    bool is_by_retries = action->reason == LSI_DISCARD_RETRIES;
    bool is_written = true;

    lsi_lock_release(&worker->lock, LSI_RANK_LOCAL);
    if (run->how->discard != NULL)
        is_written = run->how->discard(&batch, is_by_retries ? LS_DISCARD_RETRIES : LS_DISCARD_AGE,
                                       action->invoke_count, run->how->user) == 0;
    else if (what->count > 0 && run->mapping->options.failure_stream == NULL)
        lsi_env_log(run->env, LS_LOG_WARNING, "mapping '%s' shard %" PRIu32 ": %" PRIu32 " records are given up, %"
                    PRIu64 "..%" PRIu64 ": %s", run->mapping->name, worker->shard, what->count,
                    what->records[0].seqno, what->records[what->count - 1].seqno,
                    is_by_retries ? "retries are over" : "they are too old");
    if (is_written && run->mapping->options.failure_stream != NULL)
        is_written = lsi_failure_put(worker, action);
    lsi_lock_hold(&worker->lock, LSI_RANK_LOCAL);
    lsi_batcher_discarded(worker->machine, action->lane, is_written, moment(worker));
    note_outcome(worker, action->lane);
    if (is_written && run->mapping->options.lane_count > 1) { /* It may be above the position: others are to know. */
        worker->has_trials = true;
        hurry(worker);
        tell_run(worker);
    }
    tell_others(worker);
    lsi_worker_count(worker);
    if (is_written)
        lsi_worker_count_reported(worker, what->count);
}

/* ---- reading ---- */

/* NO_MEMORY: nothing was given. Locks: worker->lock held. */
static ls_status give(lsi_worker *worker, const ls_batch *batch)
{
    ls_status st = LS_OK;

    if (batch->count == 0)
        return LS_OK;
    if (worker->filter == NULL)
        return lsi_batcher_give(worker->machine, batch->records, batch->count, NULL);
    if (!lsi_grow(&worker->run->env->memory, (void **)&worker->matches, &worker->matches_capacity, batch->count,
                  sizeof(*worker->matches)))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for %" PRIu32 " records", batch->count);
    for (uint32_t i = 0; st == LS_OK && i < batch->count; i++)
        st = lsi_filter_matches(worker->filter, &batch->records[i], worker->shard_created_us, &worker->matches[i]);
    return st == LS_OK ? lsi_batcher_give(worker->machine, batch->records, batch->count, worker->matches) : st;
}

/* Locks: worker->lock held; `is_reading` is ours, so the batch stays while it sleeps. */
static void take_batch(lsi_worker *worker, const ls_batch *batch, int64_t read_us)
{
    ls_status st = LS_ERR_NO_MEMORY;

    while (!worker->is_draining && (st = give(worker, batch)) == LS_ERR_NO_MEMORY)
        sleep_inside(worker, atomic_load_explicit(&worker->word, memory_order_relaxed), LSI_RUN_PAUSE_US);
    if (worker->is_draining)
        return; /* It is read again by whoever comes next. */
    if (st != LS_OK) {
        fail(worker, st);
        return;
    }
    lsi_worker_count(worker);
    if (batch->is_shard_end)
        lsi_batcher_end(worker->machine);
    if (batch->count > 0 || batch->is_shard_end)
        return;
    if (worker->run->mapping->options.tumbling_window_s != 0)
        lsi_batcher_tip(worker->machine, read_us - TIP_SLACK_US);
    if ((worker->run->how->flags & LS_RUN_UNTIL_CAUGHT_UP) == 0)
        return;
    lsi_batcher_hurry(worker->machine);
    if (lsi_batcher_is_idle(worker->machine)) {
        worker->is_caught_up = true;
        drain(worker);
    }
}

/* Whether records are past retention is for the store to say, which knows of wrong clocks, and of how many bytes may be
 * kept: what it still has is not given up. Locks: worker->lock held, not while it asks. */
static void look_at_horizon(lsi_worker *worker)
{
    const lsi_engine_ops *ops = worker->run->stream->engine->ops;
    lsi_moment now = moment(worker);
    lsi_error_state before;
    lsi_shard_state state;
    ls_status st;

    if (!lsi_batcher_wants_horizon(worker->machine, now) || now.mono_us < worker->horizon_due_us)
        return;
    worker->horizon_due_us = now.mono_us + HORIZON_LOOK_US; /* Others need not ask meanwhile. */
    lsi_lock_release(&worker->lock, LSI_RANK_LOCAL);
    lsi_error_save(&before);
    st = ops->shard_state(worker->run->stream, worker->shard, &state);
    lsi_error_restore(&before); /* It is not known, then; and asked again. */
    lsi_lock_hold(&worker->lock, LSI_RANK_LOCAL);
    if (st == LS_OK && state.oldest_seqno != LS_SEQNO_NONE)
        lsi_batcher_set_horizon(worker->machine, state.oldest_seqno);
    else if (st == LS_OK && state.latest_seqno != LS_SEQNO_NONE)
        lsi_batcher_set_horizon(worker->machine, state.latest_seqno + 1);
}

/* How long to wait for records. Locks: worker->lock held. */
static int64_t wait_ms(const lsi_worker *worker, int64_t until_us, int64_t now_us)
{
    int64_t ms = until_us == INT64_MAX ? INT64_MAX : until_us <= now_us ? 0 : (until_us - now_us + 999) / 1000;

    if (ms > TIP_WAIT_MS && lsi_batcher_has_window(worker->machine))
        ms = TIP_WAIT_MS;
    if ((worker->run->how->flags & LS_RUN_UNTIL_CAUGHT_UP) != 0 && ms > CAUGHT_UP_WAIT_MS)
        ms = lsi_batcher_is_idle(worker->machine) ? 0 : CAUGHT_UP_WAIT_MS;
    return ms == INT64_MAX ? -1 : ms;
}

/* Whether another subscription of the consumer has the shard: one that began just now, or that took it over. It is
 * waited for as long as the shard is ours. Locks: worker->lock held; `is_reading` is ours. */
static bool is_held_up(lsi_worker *worker, ls_status st)
{
    if (worker->subscriber == NULL || (st != LS_ERR_STATE && st != LS_ERR_LEASE_LOST))
        return false;
    if (!worker->is_held_up)
        lsi_env_log(worker->run->env, LS_LOG_WARNING, "mapping '%s': %s", worker->run->mapping->name,
                    lsi_error_current()->message);
    worker->is_held_up = true;
    lsi_subscription_forget(worker->iterator);
    return true;
}

/* Whether reads are counted against a limit, as those of a registered consumer are not. */
static bool has_few_reads(const lsi_iterator *iterator)
{
    return iterator->is_limited && iterator->subscriber == NULL;
}

/* Where reads are few, one brings many batches: else small ones would come no faster than reads do. But no more than a
 * second's worth of what may be read, which others then wait for, too. With several lanes the machine wants enough by
 * itself (settings_of). Locks: worker->lock held; `is_reading` is ours. */
static void read_ahead(const lsi_worker *worker, uint32_t *records_max, uint64_t *bytes_max)
{
    const lsi_iterator *iterator = worker->iterator;
    uint64_t ahead_bytes = iterator->rates.read_bytes < AHEAD_BYTES ? iterator->rates.read_bytes : AHEAD_BYTES;

    if (!has_few_reads(iterator) || worker->run->mapping->options.lane_count > 1)
        return;
    if (*records_max < AHEAD_RECORDS)
        *records_max = AHEAD_RECORDS;
    if (*bytes_max < ahead_bytes)
        *bytes_max = ahead_bytes;
}

/* Locks: worker->lock held, not while it reads. */
static void read_more(lsi_worker *worker, const lsi_batcher_action *action, lsi_moment now)
{
    uint32_t records_max = action->records_wanted < READ_RECORDS_MAX ? (uint32_t)action->records_wanted
                                                                     : READ_RECORDS_MAX;
    uint64_t bytes_max = action->bytes_wanted;
    int64_t timeout_ms = wait_ms(worker, action->until_us, now.mono_us);
    const ls_batch *batch;
    uint32_t seen;
    ls_status st;

    if (lsi_batcher_own(worker->machine) != LS_OK) {
        sleep_inside(worker, atomic_load_explicit(&worker->word, memory_order_relaxed), LSI_RUN_PAUSE_US);
        return;
    }
    worker->is_reading = true;
    read_ahead(worker, &records_max, &bytes_max);
    lsi_lock_release(&worker->lock, LSI_RANK_LOCAL);
    st = lsi_iterator_next(worker->iterator, records_max, bytes_max, timeout_ms, &batch);
    if (worker->counts != NULL && lsi_iterator_was_held(worker->iterator))
        lsi_count(&worker->counts[LSI_MAPPED_HELD], 1);
    if (st == LS_ERR_TRIMMED)
        lsi_env_log(worker->run->env, LS_LOG_WARNING, "mapping '%s': %s", worker->run->mapping->name,
                    lsi_error_current()->message);
    lsi_lock_hold(&worker->lock, LSI_RANK_LOCAL);
    seen = atomic_load_explicit(&worker->word, memory_order_relaxed);
    if (st == LS_OK) {
        worker->is_held_up = false;
        take_batch(worker, batch, now.wall_us);
    } else if (passes_by_itself(st) || st == LS_ERR_THROTTLED || is_held_up(worker, st)) {
        sleep_inside(worker, seen, LSI_RUN_PAUSE_US);
    } else if (st != LS_ERR_CANCELLED && st != LS_ERR_TRIMMED) { /* The one is why we look again, the other goes on. */
        fail(worker, st);
    }
    worker->is_reading = false;
    tell_others(worker);
}

/* ---- the threads ---- */

/* Locks: worker->lock held. */
static void step(lsi_worker *worker)
{
    uint32_t seen;
    lsi_batcher_action action;
    lsi_moment now;

    lsi_batcher_set_retention(worker->machine, retention_us(worker->run));
    look_at_horizon(worker);
    /* Before anything else is looked at: what changes afterwards ends the sleep. */
    seen = atomic_load_explicit(&worker->word, memory_order_acquire);
    now = moment(worker);
    if (atomic_load_explicit(&worker->is_told_to_stop, memory_order_acquire) || /* Pairs with lsi_worker_stop. */
        lsi_run_is_told_to_end(worker->run)) /* Its thread may take a while to say so: until then no handler begins. */
        drain(worker);
    if (lsi_batcher_next(worker->machine, now, &action) != LS_OK) {
        sleep_inside(worker, seen, LSI_RUN_PAUSE_US);
        return;
    }
    switch (action.kind) {
    case LSI_BATCHER_INVOKE:
        invoke(worker, &action, now);
        break;
    case LSI_BATCHER_DISCARD:
        discard(worker, &action);
        break;
    case LSI_BATCHER_CHECKPOINT:
        note_progress(worker, &action.progress);
        break;
    case LSI_BATCHER_OVERRUN: /* The handler's context says it by the clock. */
        break;
    case LSI_BATCHER_DONE:
        worker->is_done = true;
        tell_others(worker);
        lsi_iterator_cancel(worker->iterator);
        break;
    case LSI_BATCHER_WAIT:
        if (action.records_wanted > 0 && !worker->is_reading)
            read_more(worker, &action, now);
        else
            sleep_inside(worker, seen, action.until_us == INT64_MAX   ? -1
                             : action.until_us > now.mono_us ? action.until_us - now.mono_us
                                                             : 0);
        break;
    }
}

static void work(void *user)
{
    lsi_worker *worker = user;
    bool is_last;

    lsi_lock_hold(&worker->lock, LSI_RANK_LOCAL);
    while (!worker->is_done) {
        lsi_patience_begin(worker->run->env);
        step(worker);
    }
    is_last = --worker->thread_count == 0;
    lsi_lock_release(&worker->lock, LSI_RANK_LOCAL);
    if (!is_last)
        return;
    atomic_store_explicit(&worker->is_finished, true, memory_order_release); /* Pairs with the run's look. */
    lsi_mapping_wake(worker->run->stream); /* It is freed once its threads were joined. */
}

/* ---- beginning and ending ---- */

static lsi_batcher_settings settings_of(const lsi_run *run, bool has_few_reads)
{
    const ls_mapping_options *options = &run->mapping->options;
    bool is_of_document =
        (options->flags & LS_MAPPING_DOCUMENT_BYTES) != 0 || (run->how->flags & LS_RUN_DOCUMENT_BYTES) != 0;
    lsi_batcher_settings settings = {
        .records_max = options->records_max,
        .bytes_max = is_of_document && options->bytes_max > LSI_BATCHER_BYTES_DEFAULT ? LSI_BATCHER_BYTES_DEFAULT
                                                                                      : options->bytes_max,
        .record_extra_bytes = is_of_document ? lsi_event_extra_bytes(&run->names) : 0,
        .batching_window_us = (int64_t)options->batching_window_ms * 1000,
        .lane_count = options->lane_count,
        .retries_max = options->retries_max == 0 ? -1
            : options->retries_max == LS_MAPPING_NO_RETRIES ? 0 : options->retries_max,
        .record_age_us_max = options->record_age_s_max == 0 ? -1 : (int64_t)options->record_age_s_max * 1000000,
        .retention_us = retention_us(run),
        .bisects = (options->flags & LS_MAPPING_BISECT) != 0,
        .reports_failures = (options->flags & LS_MAPPING_REPORT_FAILURES) != 0,
        .discards_failed_only = (options->flags & LS_MAPPING_DISCARD_FAILED_ONLY) != 0,
        .tumbling_us = (int64_t)options->tumbling_window_s * 1000000,
        .window_state_bytes_max = options->window_state_bytes_max,
        .handler_timeout_us = options->handler_timeout_ms < 0 ? -1 : (int64_t)options->handler_timeout_ms * 1000,
    };

    if (has_few_reads && UINT64_C(2) * options->lane_count * options->records_max < AHEAD_RECORDS)
        settings.held_records_max = AHEAD_RECORDS;
    if (has_few_reads && settings.bytes_max < AHEAD_BYTES / (options->lane_count + 1))
        settings.held_bytes_max = AHEAD_BYTES;
    run->env->random(run->env->random_user, &settings.seed, sizeof(settings.seed));
    return settings;
}

/* Where to go on. A mapping that does not de-aggregate any more begins the aggregate anew: else the rest of it would be
 * lost. */
static ls_position position_behind(lsi_point at, const lsi_lease_row *row, uint32_t flags)
{
    ls_position position = {.kind = LS_AFTER_SEQUENCE_NUMBER, .seqno = at.seqno};

    if (at.seqno == LS_SEQNO_NONE)
        return lsi_position_at(row->seqno); /* What was trimmed since the lease was made is told. */
    if (at.part != 0) {
        position.kind = LS_AT_SEQUENCE_NUMBER;
        position.sub_seqno = (flags & LS_ITERATOR_DEAGGREGATE) != 0 ? at.part : 0;
    }
    return position;
}

static ls_status open_parts(lsi_worker *worker)
{
    lsi_run *run = worker->run;
    const lsi_memory *memory = &run->env->memory;
    const ls_mapping_options *options = &run->mapping->options;
    lsi_batcher_settings settings;
    uint32_t flags = (options->flags & LS_MAPPING_DEAGGREGATE) != 0 ? LS_ITERATOR_DEAGGREGATE : 0;
    const ls_position position = position_behind(worker->saving.progress.position, &worker->lease->row,
                                                 flags);
    lsi_progress from = worker->saving.progress;
    int result = lsi_lock_init(&worker->lock);
    ls_status st;

    if (options->tumbling_window_s == 0) /* There were windows once: their state is of no use any more. */
        from.has_window = false;
    if (result != 0)
        return lsi_fail_errno(result, "cannot make a lock");
    st = lsi_iterator_open(run->stream, worker->shard, &position, flags, &worker->iterator);
    if (st == LS_OK) /* A consumer's subscription may be taken over, and that is looked for. */
        worker->iterator->is_guarded = options->consumer == NULL;
    if (st == LS_OK && options->consumer != NULL) {
        st = lsi_subscriber_open(run->stream, options->consumer, &worker->subscriber);
        worker->iterator->subscriber = worker->subscriber;
    }
    if (st == LS_OK) {
        settings = settings_of(run, has_few_reads(worker->iterator));
        st = lsi_batcher_open(memory, &settings, &from, moment(worker), &worker->machine);
    }
    if (st == LS_OK)
        lsi_batcher_resume(worker->machine, &worker->saving.trials);
    if (st == LS_OK && options->filter_count > 0)
        st = lsi_filter_open(memory, options->filters, options->filter_count, &run->names, &worker->filter);
    return st;
}

/* The threads wait for the lock until all are there. */
static ls_status start_threads(lsi_worker *worker)
{
    uint32_t wanted = worker->run->mapping->options.lane_count;
    int result = 0;

    lsi_lock_hold(&worker->lock, LSI_RANK_LOCAL);
    for (uint32_t i = 0; i < wanted && result == 0; i++) {
        result = lsi_thread_start(&worker->threads[i], "ls-map", work, worker);
        worker->thread_count += result == 0;
    }
    if (result != 0)
        fail(worker, lsi_fail_errno(result, "cannot start a thread for shard %" PRIu32, worker->shard));
    lsi_lock_release(&worker->lock, LSI_RANK_LOCAL);
    return worker->st;
}

/* What was saved last: of the lease, and of the window beside it. */
static ls_status load_progress(lsi_worker *worker)
{
    const lsi_lease_row *row = &worker->lease->row;
    lsi_worker_progress *to = &worker->saving;

    if (row->place.kind == LSI_LEASE_NUMBER)
        to->progress.position = lsi_point_of(row->seqno, row->sub_seqno);
    /* With what we came to note ourselves. */
    (void)lsi_lease_tried(worker->notes.tried, row, worker->notes.routing, false, &to->trials);
    to->result = row->note <= LS_MAPPING_RESULT_FAILED ? (ls_mapping_result)row->note : LS_MAPPING_RESULT_NONE;
    return lsi_window_load(worker->run->stream, worker->run->mapping->name, worker->shard, &to->progress, &to->bytes);
}

ls_status lsi_worker_start(lsi_run *run, const lsi_shard *shard, lsi_lease *lease, lsi_worker **out)
{
    lsi_worker *worker = lsi_alloc_zero(&run->env->memory, sizeof(*worker));
    ls_status st;

    if (worker == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for shard %" PRIu32 " of mapping '%s'", shard->index,
                        run->mapping->name);
    if (!lsi_guard_occupy(run->how->guard, &worker->occupied, run->how->id, shard->index)) {
        lsi_free(&run->env->memory, worker);
        *out = NULL;
        return LS_OK;
    }
    worker->run = run;
    worker->shard = shard->index;
    worker->shard_created_us = shard->created_us;
    worker->lease = lease;
    worker->notes = lsi_lease_notes_of(lease);
    worker->saved_us = lsi_monotonic_us(&run->env->clock);
    st = load_progress(worker);
    if (st == LS_OK) {
        worker->next_progress = worker->saving;
        worker->has_saved_window = worker->saving.progress.has_window;
        worker->next_progress.bytes = NULL;
        worker->next_progress.progress.state = (ls_bytes){NULL, 0};
        st = open_parts(worker);
    }
    lsi_worker_counts_open(worker);
    lsi_worker_running_open(worker);
    if (st == LS_OK)
        st = start_threads(worker);
    if (st != LS_OK && !worker->threads[0].started) {
        lsi_worker_free(worker);
        return st;
    }
    *out = worker; /* With an error of its own, when only some threads could be had. */
    return LS_OK;
}

void lsi_worker_stop(lsi_worker *worker)
{
    atomic_store_explicit(&worker->is_told_to_stop, true, memory_order_release);
    tell_others(worker); /* The word is an atomic. */
    lsi_iterator_cancel(worker->iterator);
}

void lsi_worker_free(lsi_worker *worker)
{
    const lsi_memory *memory = &worker->run->env->memory;

    for (uint32_t i = 0; i < LSI_BATCHER_LANES_MAX; i++)
        lsi_thread_join(&worker->threads[i]);
    lsi_worker_running_close(worker);
    if (lsi_guard_vacate(worker->run->how->guard, &worker->occupied))
        lsi_mapping_wake(worker->run->stream);
    lsi_iterator_close(worker->iterator); /* It ends the subscription. */
    (void)lsi_subscriber_close(worker->subscriber); /* Nothing else runs by it. */
    lsi_filter_close(worker->filter);
    lsi_batcher_close(worker->machine);
    lsi_free(memory, worker->matches);
    lsi_free(memory, worker->saving.bytes);
    lsi_free(memory, worker->next_progress.bytes);
    lsi_free(memory, worker->step.progress.bytes);
    worker->run->how->outputs->close(worker->outputs);
    lsi_free(memory, worker);
}
