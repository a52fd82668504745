/* The inputs of windows over event time, and the watermark, which is the least of theirs (V1, V4). */
#include "consume/window/inside.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/search.h"
#include "base/status.h"

_Static_assert(offsetof(lsi_window_input, input) == 0, "it is found by its first field");

/* Where it is, or belongs. */
static size_t place_of(const lsi_windows *windows, uint32_t input)
{
    return lsi_place_u32(windows->inputs, windows->input_count, sizeof(lsi_window_input), input);
}

/* NULL: not known. */
static lsi_window_input *find_input(const lsi_windows *windows, uint32_t input)
{
    size_t at = place_of(windows, input);

    return at < windows->input_count && windows->inputs[at].input == input ? &windows->inputs[at] : NULL;
}

/* V1: only upwards. */
static void reckon(lsi_windows *windows)
{
    int64_t least = INT64_MAX;
    bool is_any = false;

    for (size_t i = 0; i < windows->input_count; i++) {
        const lsi_window_input *input = &windows->inputs[i];

        if (input->state != LSI_INPUT_ACTIVE)
            continue;
        is_any = true;
        if (least > input->watermark_ms)
            least = input->watermark_ms;
    }
    if (is_any && least > windows->watermark_ms)
        windows->watermark_ms = least;
    windows->has_input_changed = true;
}

lsi_window_input *lsi_window_input_make(lsi_windows *windows, uint32_t input)
{
    size_t at = place_of(windows, input);
    void *inputs = windows->inputs;

    if (!lsi_grow(&windows->memory, &inputs, &windows->input_capacity, windows->input_count + 1,
                  sizeof *windows->inputs)) {
        (void)lsi_fail(LS_ERR_NO_MEMORY, "no memory for an input of windows");
        return NULL;
    }
    windows->inputs = inputs;
    memmove(windows->inputs + at + 1, windows->inputs + at, (windows->input_count - at) * sizeof *windows->inputs);
    windows->input_count++;
    windows->inputs[at] = (lsi_window_input){
        .input = input,
        .state = LSI_INPUT_ACTIVE,
        .watermark_ms = LSI_WATERMARK_NONE,
        .greatest_ms = INT64_MIN,
    };
    return &windows->inputs[at];
}

ls_status lsi_windows_input(lsi_windows *windows, uint32_t input, const uint32_t *parents, uint32_t parent_count)
{
    int64_t least = INT64_MAX;
    bool has_parent = false;
    lsi_window_input *made;

    if (find_input(windows, input) != NULL)
        return lsi_fail(LS_ERR_EXISTS, "windows: input %" PRIu32 " is known already", input);
    for (uint32_t i = 0; i < parent_count && !windows->settings.begins_anew; i++) {
        const lsi_window_input *parent = find_input(windows, parents[i]);

        if (parent == NULL)
            continue;
        has_parent = true;
        if (least > parent->watermark_ms)
            least = parent->watermark_ms;
    }
    made = lsi_window_input_make(windows, input);
    if (made == NULL)
        return LS_ERR_NO_MEMORY;
    if (has_parent)
        made->watermark_ms = least;
    reckon(windows); /* It may be the only one that is active. */
    return LS_OK;
}

static void show(const lsi_window_input *input, lsi_windows_place *out)
{
    *out = (lsi_windows_place){
        .input = input->input,
        .is_ahead = input->is_ahead,
        .is_idle = input->state == LSI_INPUT_IDLE,
        .has_ended = input->state == LSI_INPUT_ENDED,
        .position = input->position,
        .watermark_ms = input->watermark_ms,
    };
}

bool lsi_windows_input_at(const lsi_windows *windows, size_t index, lsi_windows_place *out)
{
    if (index >= windows->input_count)
        return false;
    show(&windows->inputs[index], out);
    return true;
}

bool lsi_windows_input_find(const lsi_windows *windows, uint32_t input, lsi_windows_place *out)
{
    const lsi_window_input *found = find_input(windows, input);

    if (found == NULL)
        return false;
    show(found, out);
    return true;
}

void lsi_windows_input_forget(lsi_windows *windows, uint32_t input)
{
    lsi_window_input *found = find_input(windows, input);
    size_t behind;

    assert(found != NULL && found->state == LSI_INPUT_ENDED);
    behind = (size_t)(windows->inputs + windows->input_count - found) - 1;
    memmove(found, found + 1, behind * sizeof *found);
    windows->input_count--;
    windows->has_input_changed = true;
}

void lsi_windows_input_end(lsi_windows *windows, uint32_t input)
{
    lsi_window_input *found = find_input(windows, input);

    assert(found != NULL);
    found->state = LSI_INPUT_ENDED;
    reckon(windows);
}

void lsi_windows_input_tip(lsi_windows *windows, uint32_t input, int64_t now_ms)
{
    lsi_window_input *found = find_input(windows, input);

    assert(found != NULL);
    if (found->state != LSI_INPUT_ACTIVE || windows->settings.idle_timeout_ms < 0)
        return;
    if (!found->is_silent) {
        found->is_silent = true;
        found->silent_since_ms = now_ms;
    }
    if (now_ms - found->silent_since_ms >= windows->settings.idle_timeout_ms) {
        found->state = LSI_INPUT_IDLE;
        reckon(windows);
    }
}

lsi_window_input *lsi_window_input_wake(const lsi_windows *windows, uint32_t input)
{
    lsi_window_input *found = find_input(windows, input);

    assert(found != NULL && found->state != LSI_INPUT_ENDED);
    found->state = LSI_INPUT_ACTIVE;
    found->is_silent = false;
    return found;
}

void lsi_windows_timeless(lsi_windows *windows, uint32_t input)
{
    (void)lsi_window_input_wake(windows, input);
    windows->counts.timeless++;
}

void lsi_windows_advance(lsi_windows *windows, uint32_t input, lsi_point position)
{
    lsi_window_input *found = find_input(windows, input);
    int64_t watermark_ms;

    assert(found != NULL);
    watermark_ms = lsi_ms_minus(found->greatest_ms, windows->settings.delay_ms);
    if (found->watermark_ms < watermark_ms)
        found->watermark_ms = watermark_ms;
    found->is_ahead = found->is_ahead || lsi_point_compare(found->position, position) != 0;
    found->position = position;
    reckon(windows);
}
