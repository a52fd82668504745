/* What one record or look more makes of what is known of a rule. Pure: no files, no clock, no threads.
 *
 * Windows in which nothing passed are not kept; of the others, the last LSI_ALERT_WINDOWS_MAX by their start. One that
 * is older than all of these takes the place of the oldest: so a shard that is far behind begins its windows anew, and
 * rather makes a rule fire twice than not at all. The times at which a rule with a cooldown fired are kept alike. */
#include "consume/alert/alert.h"

#include <string.h>

#include "base/status.h"

/* ---- notes ---- */

void lsi_alert_notes_add(lsi_alert_notes *to, const lsi_alert_notes *more)
{
    if (more->numbers != 0 && (to->numbers == 0 || more->least < to->least))
        to->least = more->least;
    if (more->numbers != 0 && (to->numbers == 0 || more->greatest > to->greatest))
        to->greatest = more->greatest;
    to->observed += more->observed;
    to->values += more->values;
    to->numbers += more->numbers;
}

bool lsi_alert_compares(const ls_alert_options *options, double value)
{
    switch (options->comparison) {
    case LS_ALERT_GREATER:
        return value > options->threshold;
    case LS_ALERT_GREATER_OR_EQUAL:
        return value >= options->threshold;
    case LS_ALERT_LESS:
        return value < options->threshold;
    case LS_ALERT_LESS_OR_EQUAL:
        return value <= options->threshold;
    case LS_ALERT_EQUAL:
        return value == options->threshold;
    default:
        return value != options->threshold;
    }
}

bool lsi_alert_cannot_fire(const lsi_alert_state *state, const ls_alert_options *options)
{
    return state->passed == 0 && state->notes.observed >= options->observed_min;
}

/* ---- counting ---- */

lsi_alert_row *lsi_alert_row_find(lsi_alert_state *state, uint32_t shard)
{
    for (size_t i = 0; i < state->row_count; i++)
        if (state->rows[i].shard == shard)
            return &state->rows[i];
    return NULL;
}

bool lsi_alert_is_new(const lsi_alert_row *row, const lsi_alert_item *item)
{
    if (row == NULL || item->seqno == LS_SEQNO_NONE)
        return true;
    return item->seqno != row->seqno ? item->seqno > row->seqno : item->sub_seqno > row->sub_seqno;
}

static lsi_alert_row *row_of(lsi_alert_state *state, uint32_t shard)
{
    lsi_alert_row *row = lsi_alert_row_find(state, shard);

    if (row != NULL)
        return row;
    if (!lsi_grow(&state->memory, (void **)&state->rows, &state->row_capacity, state->row_count + 1,
                  sizeof *state->rows))
        return NULL;
    row = &state->rows[state->row_count++];
    *row = (lsi_alert_row){.shard = shard};
    return row;
}

/* The start of the window that has the time; before the epoch, too. */
static int64_t start_of(int64_t at_us, uint32_t window_ms)
{
    int64_t size_us = (int64_t)window_ms * 1000, into_us = at_us % size_us;

    return at_us - (into_us < 0 ? into_us + size_us : into_us);
}

/* Made when it is not there. */
static lsi_alert_window *window_of(lsi_alert_state *state, int64_t start_us)
{
    lsi_alert_window *windows = state->windows;
    uint32_t at = state->window_count;

    while (at > 0 && windows[at - 1].start_us > start_us)
        at--;
    if (at > 0 && windows[at - 1].start_us == start_us)
        return &windows[at - 1];
    if (state->window_count < LSI_ALERT_WINDOWS_MAX) {
        memmove(&windows[at + 1], &windows[at], (state->window_count - at) * sizeof *windows);
        state->window_count++;
    } else if (at > 0) { /* The oldest goes. */
        at--;
        memmove(&windows[0], &windows[1], at * sizeof *windows);
    }
    windows[at] = (lsi_alert_window){.start_us = start_us};
    return &windows[at];
}

/* Shards are not of one mind about the time: what is far enough from each time that it has fired, either way, may. */
static bool is_quiet(const lsi_alert_state *state, const ls_alert_options *options, int64_t at_us)
{
    for (uint32_t i = 0; i < state->time_count; i++) {
        uint64_t at = (uint64_t)at_us, then = (uint64_t)state->times_us[i];

        if ((at_us > state->times_us[i] ? at - then : then - at) < (uint64_t)options->cooldown_ms * 1000)
            return true;
    }
    return false;
}

static void note_time(lsi_alert_state *state, int64_t at_us)
{
    int64_t *times_us = state->times_us;
    uint32_t at = state->time_count;

    while (at > 0 && times_us[at - 1] > at_us)
        at--;
    if (state->time_count < LSI_ALERT_TIMES_MAX) {
        memmove(&times_us[at + 1], &times_us[at], (state->time_count - at) * sizeof *times_us);
        state->time_count++;
    } else if (at > 0) { /* The oldest goes. */
        at--;
        memmove(&times_us[0], &times_us[1], at * sizeof *times_us);
    }
    times_us[at] = at_us;
}

ls_status lsi_alert_count(lsi_alert_state *state, const ls_alert_options *options, uint32_t shard,
                          const lsi_alert_item *item, bool *fires)
{
    lsi_alert_row *row = row_of(state, shard);
    lsi_alert_window *window;

    if (row == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for what is known of an alert");
    window = window_of(state, start_of(item->at_us, options->window_ms));
    if (window->count++ == 0)
        window->first = (ls_record_id){item->seqno, shard, 0};
    state->passed++;
    row->seqno = item->seqno;
    row->sub_seqno = item->sub_seqno;
    *fires = !window->has_fired && window->count >= options->count_min && !is_quiet(state, options, item->at_us);
    if (!*fires)
        return LS_OK;
    window->has_fired = true;
    state->last_fired_us = item->at_us;
    if (options->cooldown_ms != 0)
        note_time(state, item->at_us);
    row->is_untold = true;
    row->value = item->value;
    row->count = window->count;
    row->window_start_us = window->start_us;
    row->at_us = item->at_us;
    row->first = window->first;
    return LS_OK;
}
