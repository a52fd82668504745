/* The batch machine: what comes in, what is to be done next, and how far a shard is. The rules of a batch are those of
 * batcher_lane.c. */
#include "consume/mapping/batcher_inside.h"

#include <assert.h>
#include <string.h>

#include "base/status.h"

/* Asserts what holds between calls. */
static void check(const lsi_batcher *machine)
{
#ifndef NDEBUG
    for (uint32_t i = 0; i < machine->settings.lane_count; i++) {
        const lsi_lane *lane = &machine->lanes[i];
        uint64_t in_parts = 0;

        for (uint32_t k = 0; k < lane->part_count; k++) {
            in_parts += lane->parts[k].count;
            assert(lane->parts[k].is_final == (lane->parts[k].count == 0));
        }
        assert(in_parts <= lane->count && lane->delivered <= lane->count);
        assert((lane->state == LSI_LANE_COLLECTING) == (lane->part_count == 0));
        assert(lane->state != LSI_LANE_DISCARDING || lane->is_discarding);
        assert(lane->state != LSI_LANE_COLLECTING || lane->scanned <= lane->count);
    }
    assert(lsi_point_compare(machine->told, machine->read) <= 0 || machine->told.seqno == LS_SEQNO_END);
#else
    (void)machine;
#endif
}

/* ---- opening ---- */

static void check_settings(const lsi_batcher_settings *settings)
{
    assert(settings->records_max >= 1 && settings->records_max <= LSI_BATCHER_RECORDS_MAX && settings->bytes_max >= 1);
    assert(settings->lane_count >= 1 && settings->lane_count <= LSI_BATCHER_LANES_MAX);
    assert(settings->batching_window_us >= 0 && settings->tumbling_us >= 0 && settings->retries_max >= -1);
    assert(settings->tumbling_us == 0 || settings->lane_count == 1);
    (void)settings; /* Without assertions nothing asks. */
}

ls_status lsi_batcher_open(const lsi_memory *memory, const lsi_batcher_settings *settings, const lsi_progress *from,
                           lsi_moment now, lsi_batcher **out)
{
    size_t bytes = sizeof(lsi_batcher) + settings->lane_count * sizeof(lsi_lane);
    lsi_batcher *machine;
    ls_status st;

    check_settings(settings);
    machine = lsi_alloc_zero(memory, bytes);
    if (machine == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the batches of a mapping");
    machine->memory = *memory;
    machine->settings = *settings;
    if (settings->held_records_max == 0)
        machine->settings.held_records_max = UINT64_C(2) * settings->lane_count * settings->records_max;
    if (settings->held_bytes_max == 0)
        machine->settings.held_bytes_max =
            settings->bytes_max > (UINT64_C(1) << 40) ? UINT64_MAX : (settings->lane_count + 1) * settings->bytes_max;
    machine->read = from->position;
    machine->told = from->position;
    machine->tip_us = INT64_MIN;
    machine->is_ended = from->position.seqno == LS_SEQNO_END;
    machine->chance = settings->seed;
    for (uint32_t i = 0; i < settings->lane_count; i++)
        machine->lanes[i].opened_us = now.mono_us;
    st = lsi_tumbling_restore(machine, from);
    if (st != LS_OK) {
        lsi_batcher_close(machine);
        return st;
    }
    *out = machine;
    return LS_OK;
}

void lsi_batcher_resume(lsi_batcher *machine, const lsi_trials *trials)
{
    machine->waiting.count = machine->over.count = 0;
    for (uint32_t i = 0; i < trials->count; i++) {
        const lsi_trial *trial = &trials->at[i];
        bool is_final = trial->count == 0 && !trial->is_over;

        if (!lsi_trial_is_passed(trial, machine->told) && (!is_final || machine->settings.tumbling_us != 0))
            lsi_trials_add(trial->is_over ? &machine->over : &machine->waiting, trial);
    }
}

void lsi_batcher_close(lsi_batcher *machine)
{
    lsi_memory memory;

    if (machine == NULL)
        return;
    memory = machine->memory;
    lsi_held_free(machine);
    lsi_free(&memory, machine->window.state);
    lsi_free(&memory, machine);
}

/* ---- what comes in ---- */

ls_status lsi_batcher_give(lsi_batcher *machine, const ls_record *records, uint32_t count, const bool *matches)
{
    uint64_t filtered = 0;
    ls_status st;

    assert(!machine->is_ended || count == 0);
    for (uint32_t i = 0; i < count; i++) {
        assert(lsi_point_compare(lsi_point_behind(&records[i]),
                                 i == 0 ? machine->read : lsi_point_behind(&records[i - 1])) > 0);
        filtered += matches != NULL && !matches[i];
    }
    st = machine->settings.lane_count == 1 ? lsi_held_borrow(machine, records, count, matches)
                                           : lsi_held_copy(machine, records, count, matches);
    if (st == LS_OK) {
        machine->counts.polled += count;
        machine->counts.filtered += filtered;
        machine->is_hurried = machine->is_hurried && count == 0;
        if (count > 0) /* Filtered or not: arrival never decreases within a shard. */
            lsi_batcher_tip(machine, records[count - 1].arrival_us);
    }
    check(machine);
    return st;
}

ls_status lsi_batcher_own(lsi_batcher *machine)
{
    return lsi_held_own(machine);
}

void lsi_batcher_tip(lsi_batcher *machine, int64_t wall_us)
{
    if (machine->tip_us < wall_us)
        machine->tip_us = wall_us;
}

void lsi_batcher_hurry(lsi_batcher *machine)
{
    machine->is_hurried = true;
}

void lsi_batcher_end(lsi_batcher *machine)
{
    machine->is_ended = true;
}

void lsi_batcher_drain(lsi_batcher *machine)
{
    machine->is_draining = true;
}

void lsi_batcher_set_retention(lsi_batcher *machine, int64_t retention_us)
{
    machine->settings.retention_us = retention_us;
}

bool lsi_batcher_wants_horizon(const lsi_batcher *machine, lsi_moment now)
{
    int64_t retention = machine->settings.retention_us;

    for (uint32_t i = 0; i < machine->settings.lane_count; i++) {
        const lsi_lane *lane = &machine->lanes[i];

        if (lane->count > 0 && (lane->failures > 0 || (retention >= 0 &&
            lsi_held_at(lane, 0)->record->arrival_us < now.wall_us - retention)))
            return true;
    }
    return false;
}

void lsi_batcher_set_horizon(lsi_batcher *machine, ls_seqno horizon)
{
    machine->horizon = horizon;
}

/* ---- how far it is ---- */

/* M2 */
static lsi_point position_of(const lsi_batcher *machine)
{
    lsi_point lowest = machine->read;
    bool is_empty = true;

    for (uint32_t i = 0; i < machine->settings.lane_count; i++) {
        const lsi_lane *lane = &machine->lanes[i];

        if (lane->count == 0)
            continue;
        is_empty = false;
        if (lsi_point_compare(lowest, lsi_held_at(lane, 0)->before) > 0)
            lowest = lsi_held_at(lane, 0)->before;
    }
    return machine->is_ended && is_empty && !machine->window.is_open ? (lsi_point){LS_SEQNO_END, 0} : lowest;
}

static bool tell_progress(lsi_batcher *machine, lsi_batcher_action *out)
{
    const lsi_open_window *window = &machine->window;
    lsi_point position = position_of(machine);

    if (lsi_point_compare(position, machine->told) == 0 && machine->window_version == machine->told_version)
        return false;
    assert(lsi_point_compare(position, machine->told) >= 0); /* M2 */
    machine->told = position;
    lsi_trials_pass(&machine->waiting, position);
    lsi_trials_pass(&machine->over, position);
    machine->told_version = machine->window_version;
    out->kind = LSI_BATCHER_CHECKPOINT;
    out->progress.position = position;
    if (window->is_open)
        out->progress = (lsi_progress){
            .position = position,
            .has_window = true,
            .window_start_us = window->start_us,
            .window_end_us = window->end_us,
            .state = {window->state, window->state_bytes},
        };
    return true;
}

/* ---- what is next ---- */

bool lsi_batcher_is_full(const lsi_batcher *machine)
{
    return machine->settings.lane_count > 1 && (machine->held_records >= machine->settings.held_records_max ||
                                                machine->held_bytes >= machine->settings.held_bytes_max);
}

/* How much may be read now. With one lane what its batch lacks, so that a batch is one read where it can be; with
 * several, which must not wait for one of them, whatever there is room for (M5). */
static void tell_wanted(const lsi_batcher *machine, lsi_batcher_action *out)
{
    const lsi_batcher_settings *settings = &machine->settings;
    const lsi_lane *first = &machine->lanes[0];

    if (machine->is_ended || machine->is_draining)
        return;
    if (settings->lane_count > 1) {
        if (lsi_batcher_is_full(machine))
            return;
        out->records_wanted = settings->held_records_max - machine->held_records;
        out->bytes_wanted = settings->held_bytes_max - machine->held_bytes;
    } else if (first->state == LSI_LANE_COLLECTING) {
        assert(first->scanned == first->count && first->count < settings->records_max);
        out->records_wanted = settings->records_max - first->count;
        out->bytes_wanted = first->count > 0 && first->scanned_cost >= settings->bytes_max
                                ? 1 : settings->bytes_max - (first->count > 0 ? first->scanned_cost : 0);
    }
}

/* An overrun of this lane that was not told yet; else `*until_us` is lowered to when there may be one. */
static bool tell_overrun(const lsi_batcher *machine, lsi_lane *lane, lsi_moment now, int64_t *until_us)
{
    int64_t timeout_us = machine->settings.handler_timeout_us;

    if (lane->state != LSI_LANE_RUNNING || timeout_us < 0 || lane->is_overrun_told)
        return false;
    if (now.mono_us - lane->started_us > timeout_us) {
        lane->is_overrun_told = true;
        return true;
    }
    if (timeout_us < INT64_MAX - lane->started_us && *until_us > lane->started_us + timeout_us + 1)
        *until_us = lane->started_us + timeout_us + 1;
    return false;
}

static bool is_finished(const lsi_batcher *machine)
{
    for (uint32_t i = 0; i < machine->settings.lane_count; i++)
        if (machine->lanes[i].state == LSI_LANE_RUNNING || machine->lanes[i].state == LSI_LANE_DISCARDING)
            return false;
    return machine->is_draining || machine->told.seqno == LS_SEQNO_END;
}

ls_status lsi_batcher_next(lsi_batcher *machine, lsi_moment now, lsi_batcher_action *out)
{
    lsi_batcher_action action = {.kind = LSI_BATCHER_WAIT, .until_us = INT64_MAX};

    check(machine);
    for (uint32_t i = 0; machine->over.count > 0 && i < machine->settings.lane_count; i++)
        if (machine->lanes[i].state == LSI_LANE_COLLECTING)
            lsi_lane_pass_over(machine, &machine->lanes[i]);
    if (tell_progress(machine, &action)) {
        *out = action;
        return LS_OK;
    }
    for (uint32_t i = 0; i < machine->settings.lane_count; i++) {
        lsi_lane *lane = &machine->lanes[i];

        action.lane = i;
        if (tell_overrun(machine, lane, now, &action.until_us)) {
            action.kind = LSI_BATCHER_OVERRUN;
            *out = action;
            return LS_OK;
        }
        if (machine->is_draining)
            continue;
        if (lane->state == LSI_LANE_COLLECTING)
            lsi_lane_form(machine, lane, now, &action.until_us);
        if (lane->state != LSI_LANE_READY)
            continue;
        if (lane->not_before_us <= now.mono_us) {
            ls_status st = lsi_lane_start(machine, lane, now, &action);

            if (st == LS_OK)
                *out = action;
            check(machine);
            return st;
        }
        if (action.until_us > lane->not_before_us)
            action.until_us = lane->not_before_us;
    }
    action.lane = 0;
    if (is_finished(machine))
        action.kind = LSI_BATCHER_DONE;
    else
        tell_wanted(machine, &action);
    *out = action;
    return LS_OK;
}

ls_status lsi_batcher_complete(lsi_batcher *machine, uint32_t lane, const lsi_outcome *outcome, lsi_moment now)
{
    ls_status st;

    assert(lane < machine->settings.lane_count);
    st = lsi_lane_complete(machine, &machine->lanes[lane], outcome, now);
    check(machine);
    return st;
}

uint32_t lsi_batcher_foresee(lsi_batcher *machine, const lsi_outcome *outcome, lsi_moment now, lsi_progress *out)
{
    assert(machine->settings.lane_count == 1);
    return lsi_lane_foresee(machine, &machine->lanes[0], outcome, now, out);
}

void lsi_batcher_discarded(lsi_batcher *machine, uint32_t lane, bool is_written, lsi_moment now)
{
    assert(lane < machine->settings.lane_count);
    lsi_lane_discarded(machine, &machine->lanes[lane], is_written, now);
    check(machine);
}

bool lsi_batcher_trial(const lsi_batcher *machine, uint32_t lane, bool is_begun, lsi_trial *out)
{
    if ((!machine->lanes[lane].is_tried && !is_begun) || !lsi_lane_trial(machine, &machine->lanes[lane], out))
        return false;
    out->is_begun = is_begun;
    return true;
}

void lsi_batcher_trials(const lsi_batcher *machine, lsi_trials *out)
{
    lsi_trial trial;

    out->count = 0;
    for (uint32_t i = 0; i < machine->settings.lane_count; i++)
        if (lsi_batcher_trial(machine, i, false, &trial))
            lsi_trials_add(out, &trial);
    for (uint32_t i = 0; i < machine->waiting.count; i++)
        lsi_trials_add(out, &machine->waiting.at[i]);
    for (uint32_t i = 0; i < machine->over.count; i++)
        lsi_trials_add(out, &machine->over.at[i]);
}

void lsi_batcher_counts_get(const lsi_batcher *machine, lsi_batcher_counts *out)
{
    *out = machine->counts;
}

bool lsi_batcher_is_idle(const lsi_batcher *machine)
{
    return lsi_batcher_held(machine) == 0 && !lsi_tumbling_is_over(machine, &machine->lanes[0]);
}

bool lsi_batcher_has_window(const lsi_batcher *machine)
{
    return machine->window.is_open;
}

uint64_t lsi_batcher_held(const lsi_batcher *machine)
{
    uint64_t held = 0;

    for (uint32_t i = 0; i < machine->settings.lane_count; i++)
        held += machine->lanes[i].count;
    return held;
}
