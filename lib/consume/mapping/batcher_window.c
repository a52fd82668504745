/* Tumbling windows of the batch machine: which one a record is in, and the state that goes from invocation to
 * invocation.
 *
 *   W1  A window is open from the first success in it to its final invocation. What has no state has nothing to finish:
 *       a window of which all records were given up was never open.
 *   W2  While one is open, it has every record that arrived before its end, whatever the length of windows is now.
 *   W3  A state that has grown too large goes to no further invocation but the window's last one.
 *
 * Time of a record is its arrival, which never decreases within a shard; so one window is open at most. A record that
 * shows after the clock has ended its window opens it again, with an empty state: nothing is lost, and both of its
 * final invocations together have all. */
#include "consume/mapping/batcher_inside.h"

#include <string.h>

#include "base/status.h"

/* Aligned to the epoch. */
static lsi_tumbling around(int64_t arrival_us, int64_t size_us)
{
    int64_t within = arrival_us % size_us;
    lsi_tumbling window;

    if (within < 0)
        within += size_us;
    window.start_us = arrival_us < INT64_MIN + within ? INT64_MIN : arrival_us - within;
    window.end_us = window.start_us > INT64_MAX - size_us ? INT64_MAX : window.start_us + size_us;
    return window;
}

lsi_tumbling lsi_tumbling_of(const lsi_batcher *machine, const ls_record *record)
{
    const lsi_open_window *open = &machine->window;

    if (open->is_open) /* W2 */
        return (lsi_tumbling){open->start_us, open->end_us};
    return around(record->arrival_us, machine->settings.tumbling_us);
}

bool lsi_tumbling_is_too_large(const lsi_batcher *machine)
{
    return machine->window.is_open && machine->window.state_bytes > machine->settings.window_state_bytes_max;
}

bool lsi_tumbling_is_over(const lsi_batcher *machine, const lsi_lane *lane)
{
    if (!machine->window.is_open)
        return false;
    if (lsi_tumbling_is_too_large(machine)) /* W3 */
        return true;
    if (lane->count > 0)
        return lsi_held_at(lane, 0)->record->arrival_us >= machine->window.end_us;
    return machine->is_ended || machine->tip_us >= machine->window.end_us;
}

ls_status lsi_tumbling_keep(lsi_batcher *machine, const lsi_lane *lane, ls_bytes state)
{
    lsi_open_window *window = &machine->window;
    unsigned char *copy = lsi_alloc(&machine->memory, state.size);

    if (copy == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the state of a window, %zu bytes", state.size);
    if (state.size != 0)
        memcpy(copy, state.data, state.size);
    if (!window->is_open) {
        lsi_tumbling now = lsi_tumbling_of(machine, lsi_held_at(lane, 0)->record);

        window->is_open = true;
        window->start_us = now.start_us;
        window->end_us = now.end_us;
    }
    lsi_free(&machine->memory, window->state);
    window->state = copy;
    window->state_bytes = state.size;
    machine->window_version++;
    return LS_OK;
}

void lsi_tumbling_close(lsi_batcher *machine)
{
    for (uint32_t i = machine->waiting.count; i-- > 0;) /* What others have tried of ends that are over. */
        if (machine->waiting.at[i].count == 0 &&
            (int64_t)machine->waiting.at[i].first.seqno <= machine->window.start_us)
            lsi_trials_remove(&machine->waiting, i);
    lsi_free(&machine->memory, machine->window.state);
    machine->window = (lsi_open_window){.is_open = false};
    machine->window_version++;
}

ls_status lsi_tumbling_restore(lsi_batcher *machine, const lsi_progress *from)
{
    lsi_open_window *window = &machine->window;

    if (!from->has_window)
        return LS_OK;
    if (machine->settings.tumbling_us == 0) {
        machine->window_version++; /* Windows were turned off: the next checkpoint has none. */
        return LS_OK;
    }
    window->state = lsi_alloc(&machine->memory, from->state.size);
    if (window->state == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the state of a window, %zu bytes", from->state.size);
    if (from->state.size != 0)
        memcpy(window->state, from->state.data, from->state.size);
    window->state_bytes = from->state.size;
    window->is_open = true;
    window->start_us = from->window_start_us;
    window->end_us = from->window_end_us;
    return LS_OK;
}

void lsi_tumbling_describe(const lsi_batcher *machine, const lsi_lane *lane, lsi_invocation *out)
{
    lsi_tumbling window;

    if (machine->settings.tumbling_us == 0)
        return;
    window = lsi_tumbling_of(machine, lane->count == 0 ? NULL : lsi_held_at(lane, 0)->record);
    out->is_windowed = true;
    out->window_start_us = window.start_us;
    out->window_end_us = window.end_us;
    out->state = (ls_bytes){machine->window.state, machine->window.state_bytes};
}
