/* The life of a batch in its lane of the batch machine.
 *
 *   L1  A failed batch of several records is split before its retries are counted, if it may be split: splitting costs
 *       no retry.
 *   L2  Attempts begin again only when the position advances: after records that succeeded, or with a part of a split.
 *   L3  Age is looked at before each invocation, the first one too. Only records that are too old are given up; a final
 *       invocation of a window, which has none, only after it was tried.
 *   L4  What was given up stands at the front of its lane until the destination has it.
 *   L5  Between failures of one batch the pause doubles from 0.1 s to 10 s, less up to a half by chance, so that lanes
 *       which failed together do not come back together.
 *   L6  What remains of a batch, after a part of it succeeded, is cut again when the window's state has grown: no
 *       document of several records is longer than its limit.
 *   L7  What was tried before is found by its first record, which a batch begins with then. What has failed more often
 *       than may be is given up without being tried again, be it that fewer retries are wanted by now. */
#include "consume/mapping/batcher_inside.h"

#include <assert.h>
#include <string.h>

#include "base/status.h"
#include "consume/mapping/event_json.h"

#define PAUSE_US_FIRST INT64_C(100000)
#define PAUSE_US_MAX INT64_C(10000000)
#define TIP_US INT64_C(100000) /* how long the end of a window waits for word from the shard's tip, at least */

/* ---- states of a batch ---- */

static lsi_batch_part *top(lsi_lane *lane)
{
    assert(lane->part_count > 0);
    return &lane->parts[lane->part_count - 1];
}

static void push_part(lsi_lane *lane, uint32_t count, bool is_final)
{
    assert(lane->part_count < LSI_PARTS_MAX);
    lane->parts[lane->part_count++] = (lsi_batch_part){count, is_final};
}

/* The topmost part is as if it had never been tried. */
static void become_ready(lsi_lane *lane, lsi_moment now)
{
    lane->state = LSI_LANE_READY;
    lane->attempts = 0;
    lane->failures = 0;
    lane->was_unhandled = lane->was_reported = false;
    lane->is_discarding = false;
    lane->not_before_us = now.mono_us;
}

static void finish_part(lsi_lane *lane, lsi_moment now)
{
    lane->part_count--;
    become_ready(lane, now);
    if (lane->part_count > 0)
        return;
    lane->state = LSI_LANE_COLLECTING;
    lane->is_tried = false;
    lane->scanned = 0;
    lane->is_cut = false;
    lane->opened_us = now.mono_us;
}

static void back_off(lsi_batcher *machine, lsi_lane *lane, lsi_moment now)
{
    int64_t pause = PAUSE_US_FIRST;
    uint64_t z = machine->chance += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

    for (uint32_t i = 0; i < lane->failures && pause < PAUSE_US_MAX; i++)
        pause *= 2;
    if (pause > PAUSE_US_MAX)
        pause = PAUSE_US_MAX;
    lane->failures++;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    lane->not_before_us = now.mono_us + pause - (int64_t)(z % (uint64_t)(pause / 2 + 1)); /* L5 */
    lane->state = LSI_LANE_READY;
}

/* ---- forming ---- */

/* What is in the event document besides records; 0 when bytes are not those of documents. */
static uint64_t cost_around(const lsi_batcher *machine)
{
    return machine->settings.tumbling_us != 0 && machine->settings.record_extra_bytes != 0
               ? LSI_EVENT_AROUND_BYTES + machine->window.state_bytes : 0;
}

/* Where others have tried the batch that begins with a record; NULL: nowhere. */
static const lsi_trial *tried_at(const lsi_batcher *machine, const ls_record *record)
{
    lsi_point first = lsi_point_behind(record);

    for (uint32_t i = 0; i < machine->waiting.count; i++)
        if (machine->waiting.at[i].count > 0 && lsi_point_compare(machine->waiting.at[i].first, first) == 0)
            return &machine->waiting.at[i];
    return NULL;
}

/* Whether it was given up in this lane. */
static bool is_over(const lsi_batcher *machine, const lsi_lane *lane, const ls_record *record)
{
    lsi_point point = lsi_point_behind(record);

    for (uint32_t i = 0; i < machine->over.count; i++) {
        const lsi_trial *at = &machine->over.at[i];

        if (&machine->lanes[at->lane] == lane && lsi_point_compare(at->first, point) <= 0 &&
            lsi_point_compare(point, at->last) <= 0)
            return true;
    }
    return false;
}

void lsi_lane_pass_over(lsi_batcher *machine, lsi_lane *lane)
{
    while (lane->scanned == 0 && lane->count > 0 && is_over(machine, lane, lsi_held_at(lane, 0)->record)) {
        machine->counts.dropped_undelivered++;
        lsi_held_pop(machine, lane, 1);
    }
}

static uint32_t most_of(const lsi_batcher *machine, const ls_record *first)
{
    const lsi_trial *trial = machine->waiting.count > 0 ? tried_at(machine, first) : NULL;
    uint32_t most = machine->settings.records_max;

    return trial != NULL && trial->count + trial->rest < most ? trial->count + trial->rest : most;
}

/* Takes what has come since the last look into the batch. */
static void scan(lsi_batcher *machine, lsi_lane *lane)
{
    const lsi_batcher_settings *settings = &machine->settings;
    int64_t end_us = INT64_MAX;

    if (lane->count == 0)
        return;
    if (lane->scanned == 0) {
        lane->scanned_cost = cost_around(machine);
        lane->most = most_of(machine, lsi_held_at(lane, 0)->record);
    }
    if (settings->tumbling_us != 0)
        end_us = lsi_tumbling_of(machine, lsi_held_at(lane, 0)->record).end_us;
    while (!lane->is_cut && lane->scanned < lane->count) {
        const lsi_held *held = lsi_held_at(lane, lane->scanned);

        lane->is_cut = lane->scanned > 0 && (held->record->arrival_us >= end_us ||
                                             lane->scanned_cost + held->cost > settings->bytes_max ||
                                             (machine->waiting.count > 0 && tried_at(machine, held->record) != NULL) ||
                                             (machine->over.count > 0 && is_over(machine, lane, held->record)));
        if (lane->is_cut)
            break;
        lane->scanned++;
        lane->scanned_cost += held->cost;
        lane->is_cut = lane->scanned == lane->most;
    }
}

static void resume(lsi_batcher *machine, lsi_lane *lane, lsi_moment now);

void lsi_lane_form(lsi_batcher *machine, lsi_lane *lane, lsi_moment now, int64_t *until_us)
{
    int64_t window_us = machine->settings.batching_window_us;
    bool is_final = lsi_tumbling_is_over(machine, lane);
    int64_t due_us = INT64_MAX;

    assert(lane->state == LSI_LANE_COLLECTING);
    /* An empty one sends nothing, opens again. Before what came is looked at: the machine may have slept till then. */
    if (lane->scanned == 0 && window_us > 0 && now.mono_us - lane->opened_us >= window_us)
        lane->opened_us = now.mono_us - (now.mono_us - lane->opened_us) % window_us;
    if (!is_final)
        scan(machine, lane);
    if (!is_final && lane->scanned == 0) {
        if (machine->window.is_open) { /* What comes then is word from the tip. */
            int64_t left_us = machine->window.end_us > now.wall_us ? machine->window.end_us - now.wall_us : 0;

            left_us = left_us < TIP_US ? TIP_US : left_us;
            due_us = left_us > INT64_MAX - now.mono_us ? INT64_MAX : now.mono_us + left_us;
        }
    } else if (is_final || lane->is_cut || machine->is_ended || machine->is_hurried ||
               now.mono_us - lane->opened_us >= window_us || lsi_batcher_is_full(machine)) {
        push_part(lane, is_final ? 0 : lane->scanned, is_final);
        become_ready(lane, now);
        if (machine->waiting.count > 0)
            resume(machine, lane, now);
    } else {
        due_us = lane->opened_us + window_us;
    }
    if (*until_us > due_us)
        *until_us = due_us;
}

/* ---- starting ---- */

/* How many records at the front are too old, or failed and then went from the shard (L3). */
static uint32_t count_old(const lsi_batcher *machine, const lsi_lane *lane, uint32_t count, lsi_moment now,
                          lsi_discard_reason *reason)
{
    int64_t age = machine->settings.record_age_us_max, retention = machine->settings.retention_us;
    bool may_expire = retention >= 0 && (age < 0 || retention < age);
    uint32_t old = 0;

    for (; old < count; old++) {
        const ls_record *record = lsi_held_at(lane, old)->record;
        bool is_gone = record->seqno < machine->horizon;
        bool is_expired = may_expire && record->arrival_us < now.wall_us - retention && is_gone;
        bool is_aged = age >= 0 && record->arrival_us < now.wall_us - age;

        if (!is_expired && !is_aged && !(is_gone && lane->failures > 0))
            break;
        if (old == 0)
            *reason = is_aged && !is_expired ? LSI_DISCARD_AGE : LSI_DISCARD_EXPIRED;
    }
    return old;
}

static void look_at_age(lsi_batcher *machine, lsi_lane *lane, lsi_moment now)
{
    lsi_batch_part *part = top(lane);
    int64_t age = machine->settings.record_age_us_max;
    lsi_discard_reason reason = LSI_DISCARD_AGE;
    uint32_t old = 0;
    bool is_old;

    if (part->is_final) {
        is_old = age >= 0 && lane->failures > 0 && machine->window.end_us < now.wall_us - age;
    } else {
        old = count_old(machine, lane, part->count, now, &reason);
        is_old = old > 0;
    }
    if (is_old) {
        lane->is_discarding = true;
        lane->discard_count = old;
        lane->discard_reason = reason;
    }
}

/* L6: what no longer fits goes with the part below, or waits to be collected anew. */
static void fit(const lsi_batcher *machine, lsi_lane *lane)
{
    uint64_t around = cost_around(machine), cost = around;
    lsi_batch_part *part = top(lane);
    uint32_t count = 0;

    if (around == 0)
        return;
    for (; count < part->count; count++) {
        cost += lsi_held_at(lane, count)->cost;
        if (count > 0 && cost > machine->settings.bytes_max)
            break;
    }
    if (lane->part_count > 1)
        part[-1].count += part->count - count; /* Of a split: none below is a window's end, which is always on top. */
    part->count = count;
}

ls_status lsi_lane_start(lsi_batcher *machine, lsi_lane *lane, lsi_moment now, lsi_batcher_action *out)
{
    lsi_invocation what = {0};
    ls_status st;

    assert(lane->state == LSI_LANE_READY);
    if (!lane->is_discarding && !top(lane)->is_final && lsi_tumbling_is_too_large(machine)) {
        assert(lane->attempts == 0); /* The state has just come, with records that succeeded (L2). */
        push_part(lane, 0, true);
    }
    if (!lane->is_discarding)
        look_at_age(machine, lane, now);
    if (!lane->is_discarding)
        fit(machine, lane);
    what.count = lane->is_discarding ? lane->discard_count : top(lane)->count;
    what.attempts = lane->attempts;
    what.is_final = top(lane)->is_final;
    what.is_terminated_early = what.is_final && lsi_tumbling_is_too_large(machine);
    st = lsi_held_gather(machine, lane, what.count, &what.records);
    if (st != LS_OK)
        return st;
    lsi_tumbling_describe(machine, lane, &what);
    out->invocation = what;
    if (lane->is_discarding) {
        out->kind = LSI_BATCHER_DISCARD;
        out->reason = lane->discard_reason;
        out->invoke_count = lane->attempts == 0 ? 1 : lane->attempts;
        out->is_unhandled = lane->was_unhandled;
        lane->state = LSI_LANE_DISCARDING;
    } else {
        out->kind = LSI_BATCHER_INVOKE;
        lane->state = LSI_LANE_RUNNING;
        lane->started_us = now.mono_us;
        lane->is_overrun_told = false;
    }
    return LS_OK;
}

/* ---- outcomes ---- */

/* What an outcome amounts to, all rules applied. PARTIAL: at `failed_at`, which is in range. */
static lsi_outcome_kind judge(lsi_batcher *machine, lsi_lane *lane, const lsi_outcome *outcome, lsi_moment now)
{
    const lsi_batcher_settings *settings = &machine->settings;
    lsi_outcome_kind kind = outcome->kind;

    if (kind == LSI_OUTCOME_STOPPED)
        return kind;
    if (settings->handler_timeout_us >= 0 && now.mono_us - lane->started_us > settings->handler_timeout_us)
        return LSI_OUTCOME_FAILED; /* Whatever it answers, and be it that it could not begin. */
    if (kind == LSI_OUTCOME_SYSTEM)
        return kind;
    if (kind == LSI_OUTCOME_PARTIAL && !settings->reports_failures)
        kind = LSI_OUTCOME_SUCCESS;
    if (kind == LSI_OUTCOME_PARTIAL && outcome->failed_at >= top(lane)->count)
        return LSI_OUTCOME_BAD_RESPONSE;
    if (settings->tumbling_us != 0 && (kind == LSI_OUTCOME_SUCCESS || kind == LSI_OUTCOME_PARTIAL) &&
        (!outcome->has_state || outcome->state.size > LSI_WINDOW_STATE_BYTES_LIMIT))
        return LSI_OUTCOME_BAD_RESPONSE;
    return kind;
}

static void count_outcome(lsi_batcher *machine, lsi_lane *lane, lsi_outcome_kind kind, const lsi_outcome *outcome,
                          lsi_moment now)
{
    const lsi_batcher_settings *settings = &machine->settings;
    lsi_batcher_counts *counts = &machine->counts;
    uint32_t count = top(lane)->count;

    if (kind == LSI_OUTCOME_SYSTEM) {
        counts->throttles++;
        return;
    }
    counts->invocations++;
    counts->invoked += count;
    if (lane->delivered < count) {
        counts->delivered += count - lane->delivered;
        lane->delivered = count;
    }
    if (kind == LSI_OUTCOME_FAILED || kind == LSI_OUTCOME_BAD_RESPONSE) {
        counts->errors++;
        counts->failed += count;
        if (settings->handler_timeout_us >= 0 && now.mono_us - lane->started_us > settings->handler_timeout_us)
            counts->overruns++;
        else if (outcome->kind == LSI_OUTCOME_PARTIAL && outcome->failed_at >= count)
            counts->bad_indices++;
    } else if (kind == LSI_OUTCOME_PARTIAL) {
        counts->failed += count - outcome->failed_at;
    }
}

/* Retries are over. */
static void give_up(const lsi_batcher *machine, lsi_lane *lane, lsi_moment now)
{
    lane->is_discarding = true;
    lane->discard_reason = LSI_DISCARD_RETRIES;
    lane->discard_count = machine->settings.discards_failed_only && lane->was_reported ? 1 : top(lane)->count;
    lane->not_before_us = now.mono_us;
    lane->state = LSI_LANE_READY;
}

/* A function error, or a report whose lowest number is that of the first record. */
static void fail(lsi_batcher *machine, lsi_lane *lane, lsi_outcome_kind kind, lsi_moment now)
{
    const lsi_batcher_settings *settings = &machine->settings;
    lsi_batch_part *part = top(lane);

    lane->is_tried = true;
    if (settings->bisects && part->count > 1) { /* L1 */
        uint32_t left = part->count / 2;

        part->count -= left;
        push_part(lane, left, false);
        become_ready(lane, now);
        return;
    }
    lane->attempts++;
    lane->was_unhandled = kind == LSI_OUTCOME_FAILED;
    lane->was_reported = kind == LSI_OUTCOME_PARTIAL;
    if (settings->retries_max < 0 || lane->attempts <= (uint32_t)settings->retries_max)
        back_off(machine, lane, now);
    else
        give_up(machine, lane, now);
}

/* ---- what others have tried ---- */

/* The batch of an invocation that others had begun and died in. */
static void count_death(lsi_batcher *machine, lsi_lane *lane)
{
    lsi_batcher_counts *counts = &machine->counts;
    uint32_t count = top(lane)->count;

    counts->deaths++;
    counts->invoked += count;
    counts->failed += count;
    if (lane->delivered < count) {
        counts->delivered += count - lane->delivered;
        lane->delivered = count;
    }
}

/* The batch that was just formed goes on as others have left it (L7). */
static void resume(lsi_batcher *machine, lsi_lane *lane, lsi_moment now)
{
    lsi_batch_part *part = top(lane);
    lsi_trial here, trial;
    uint32_t i = 0;

    (void)lsi_lane_trial(machine, lane, &here);
    while (i < machine->waiting.count && ((machine->waiting.at[i].count == 0) != part->is_final ||
                                          lsi_point_compare(machine->waiting.at[i].first, here.first) != 0))
        i++;
    if (i == machine->waiting.count)
        return;
    trial = machine->waiting.at[i];
    lsi_trials_remove(&machine->waiting, i);
    if (trial.count < part->count) {
        part->count -= trial.count;
        push_part(lane, trial.count, false);
    }
    lane->is_tried = true;
    lane->attempts = lane->failures = trial.attempts;
    lane->was_unhandled = trial.is_unhandled;
    lane->was_reported = trial.is_reported;
    if (trial.is_begun) {
        count_death(machine, lane);
        fail(machine, lane, LSI_OUTCOME_FAILED, now);
    } else if (machine->settings.retries_max >= 0 && trial.attempts > (uint32_t)machine->settings.retries_max) {
        give_up(machine, lane, now);
    }
}

/* ---- the answer to an invocation ---- */

/* The first `count` records of the topmost part are finished. */
static void advance(lsi_batcher *machine, lsi_lane *lane, uint32_t count, lsi_moment now)
{
    lsi_held_pop(machine, lane, count);
    top(lane)->count -= count;
    if (top(lane)->count == 0)
        finish_part(lane, now);
    else
        become_ready(lane, now);
}

ls_status lsi_lane_complete(lsi_batcher *machine, lsi_lane *lane, const lsi_outcome *outcome, lsi_moment now)
{
    lsi_outcome_kind kind = judge(machine, lane, outcome, now);
    bool has_progress = kind == LSI_OUTCOME_SUCCESS || (kind == LSI_OUTCOME_PARTIAL && outcome->failed_at > 0);

    assert(lane->state == LSI_LANE_RUNNING);
    if (has_progress && machine->settings.tumbling_us != 0 && !top(lane)->is_final) {
        ls_status st = lsi_tumbling_keep(machine, lane, outcome->state); /* M3: what it covers is popped below. */

        if (st != LS_OK)
            return st;
    }
    count_outcome(machine, lane, kind, outcome, now);
    switch (kind) {
    case LSI_OUTCOME_SUCCESS:
        if (top(lane)->is_final)
            lsi_tumbling_close(machine);
        advance(machine, lane, top(lane)->count, now);
        break;
    case LSI_OUTCOME_PARTIAL:
        if (has_progress)
            advance(machine, lane, outcome->failed_at, now); /* L2: what remains is a new batch. */
        else
            fail(machine, lane, kind, now);
        break;
    case LSI_OUTCOME_FAILED:
    case LSI_OUTCOME_BAD_RESPONSE:
        fail(machine, lane, kind, now);
        break;
    case LSI_OUTCOME_SYSTEM:
        back_off(machine, lane, now);
        break;
    case LSI_OUTCOME_STOPPED:
        machine->is_draining = true;
        lane->state = LSI_LANE_READY;
        break;
    }
    return LS_OK;
}

bool lsi_lane_trial(const lsi_batcher *machine, const lsi_lane *lane, lsi_trial *out)
{
    const lsi_batch_part *part;

    if (lane->part_count == 0)
        return false;
    part = &lane->parts[lane->part_count - 1];
    *out = (lsi_trial){.count = part->count, .attempts = lane->attempts, .is_unhandled = lane->was_unhandled,
                       .is_reported = lane->was_reported};
    out->first = part->is_final ? (lsi_point){(ls_seqno)machine->window.start_us, 0}
                                : lsi_point_behind(lsi_held_at(lane, 0)->record);
    for (uint32_t i = 0; i + 1 < lane->part_count; i++)
        out->rest += lane->parts[i].count;
    return true;
}

uint32_t lsi_lane_foresee(lsi_batcher *machine, lsi_lane *lane, const lsi_outcome *outcome, lsi_moment now,
                          lsi_progress *out)
{
    lsi_outcome_kind kind = judge(machine, lane, outcome, now);
    bool is_whole = kind == LSI_OUTCOME_SUCCESS;
    uint32_t count = is_whole ? top(lane)->count : kind == LSI_OUTCOME_PARTIAL ? outcome->failed_at : 0;

    assert(lane->state == LSI_LANE_RUNNING);
    *out = (lsi_progress){.position = lane->count > count ? lsi_held_at(lane, count)->before : machine->read};
    if (machine->settings.tumbling_us != 0 && count > 0) { /* as lsi_tumbling_keep */
        lsi_tumbling window = lsi_tumbling_of(machine, lsi_held_at(lane, 0)->record);

        out->has_window = true;
        out->window_start_us = window.start_us;
        out->window_end_us = window.end_us;
        out->state = outcome->state;
    }
    return is_whole ? UINT32_MAX : count;
}

/* Others are to know of it, as long as the position is not behind it: with one lane it soon is. */
static void remember_over(lsi_batcher *machine, lsi_lane *lane, uint32_t count)
{
    lsi_trial over = {.is_over = true, .lane = (uint32_t)(lane - machine->lanes)};

    if (machine->settings.lane_count == 1)
        return;
    over.first = lsi_point_behind(lsi_held_at(lane, 0)->record);
    over.last = lsi_point_behind(lsi_held_at(lane, count - 1)->record);
    lsi_trials_add(&machine->over, &over);
}

void lsi_lane_discarded(lsi_batcher *machine, lsi_lane *lane, bool is_written, lsi_moment now)
{
    uint32_t count = lane->discard_count, attempts = lane->attempts, failures = lane->failures;
    bool is_by_retries = lane->discard_reason == LSI_DISCARD_RETRIES;
    bool is_rest_the_same = !is_by_retries && top(lane)->count > count;

    assert(lane->state == LSI_LANE_DISCARDING);
    if (!is_written) { /* L4 */
        back_off(machine, lane, now);
        return;
    }
    *(is_by_retries ? &machine->counts.dropped_by_retries : &machine->counts.dropped_by_age) += count;
    if (lane->delivered < count)
        machine->counts.dropped_undelivered += count - lane->delivered;
    if (top(lane)->is_final)
        lsi_tumbling_close(machine);
    else
        remember_over(machine, lane, count);
    advance(machine, lane, count, now);
    if (is_rest_the_same) { /* A batch that lost its oldest records is still that batch. */
        lane->attempts = attempts;
        lane->failures = failures;
    }
}
