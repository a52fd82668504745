/* Windows over event time: which windows an element is in, and when these fire. */
#include "consume/window/inside.h"

#include <inttypes.h>

#include "base/status.h"

/* How far `time_ms` is behind the last multiple of `unit_ms` from the offset: 0..unit - 1, before the epoch too. */
static int64_t within(int64_t time_ms, int64_t offset_ms, int64_t unit_ms)
{
    int64_t rest = (time_ms % unit_ms - offset_ms) % unit_ms;

    return rest < 0 ? rest + unit_ms : rest;
}

/* ---- opening ---- */

static ls_status refuse(const char *what, int64_t is, const char *rule)
{
    return lsi_fail(LS_ERR_INVALID_ARGUMENT, "windows: %s is %" PRId64 " ms: %s", what, is, rule);
}

static bool is_span(int64_t ms)
{
    return ms >= 1 && ms <= LSI_WINDOW_MS_MAX;
}

ls_status lsi_windows_check(const lsi_windows_settings *settings)
{
    bool has_step = settings->kind == LSI_WINDOWS_SLIDING || settings->kind == LSI_WINDOWS_CUMULATING;
    int64_t offset_bound = settings->kind == LSI_WINDOWS_SLIDING ? settings->step_ms : settings->size_ms;

    if (settings->kind == LSI_WINDOWS_SESSION) {
        if (!is_span(settings->gap_ms))
            return refuse("the gap", settings->gap_ms, "1 to 2^60 are possible");
    } else if (!is_span(settings->size_ms)) {
        return refuse("the size", settings->size_ms, "1 to 2^60 are possible");
    }
    if (has_step && !is_span(settings->step_ms))
        return refuse("the step", settings->step_ms, "1 to 2^60 are possible");
    if (has_step && settings->size_ms / settings->step_ms > LSI_WINDOWS_OF_ELEMENT_MAX)
        return refuse("the step", settings->step_ms, "an element is in 10,000 windows at most");
    if (settings->kind == LSI_WINDOWS_CUMULATING && settings->size_ms % settings->step_ms != 0)
        return refuse("the step", settings->step_ms, "the size is no multiple of it");
    if (settings->kind != LSI_WINDOWS_SESSION &&
        (settings->offset_ms <= -offset_bound || settings->offset_ms >= offset_bound))
        return refuse("the offset", settings->offset_ms, "it is less than a size, or of sliding windows a step");
    if (settings->delay_ms < 0 || settings->delay_ms > LSI_WINDOW_MS_MAX)
        return refuse("the delay", settings->delay_ms, "0 to 2^60 are possible");
    if (settings->lateness_ms < 0 || settings->lateness_ms > LSI_WINDOW_MS_MAX)
        return refuse("the lateness", settings->lateness_ms, "0 to 2^60 are possible");
    return LS_OK;
}

ls_status lsi_windows_open(const lsi_memory *memory, const lsi_windows_settings *settings, lsi_windows **out)
{
    lsi_windows *windows = lsi_alloc_zero(memory, sizeof *windows);

    if (windows == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for windows");
    windows->memory = *memory;
    windows->settings = *settings;
    windows->watermark_ms = LSI_WATERMARK_NONE;
    *out = windows;
    return LS_OK;
}

void lsi_windows_close(lsi_windows *windows)
{
    lsi_memory memory;

    if (windows == NULL)
        return;
    memory = windows->memory;
    lsi_panes_free(windows);
    lsi_free(&memory, windows->inputs);
    lsi_free(&memory, windows);
}

/* ---- ends ---- */

void lsi_windows_finish(lsi_windows *windows)
{
    windows->watermark_ms = INT64_MAX;
    windows->has_input_changed = true;
}

void lsi_windows_flush(lsi_windows *windows)
{
    windows->is_flushing = true;
}

/* ---- which windows ---- */

typedef struct span {
    int64_t start_ms, end_ms;
} span;

/* The `n`th window of an element, but of sessions. False: it has no more. */
static bool window_of(const lsi_windows_settings *settings, int64_t time_ms, uint32_t n, span *out)
{
    int64_t size = settings->size_ms, step = settings->step_ms, before, length = size;

    switch (settings->kind) {
    case LSI_WINDOWS_TUMBLING:
        if (n > 0)
            return false;
        before = within(time_ms, settings->offset_ms, size);
        break;
    case LSI_WINDOWS_SLIDING:
        before = within(time_ms, settings->offset_ms, step) + (int64_t)n * step;
        if (before >= size)
            return false;
        break;
    default:
        before = within(time_ms, settings->offset_ms, size);
        length = (before / step + 1 + (int64_t)n) * step;
        if (length > size)
            return false;
        break;
    }
    *out = (span){lsi_ms_minus(time_ms, before), lsi_ms_plus(time_ms, length - before)};
    return true;
}

/* V2: the watermark at which it is not kept any more. */
static int64_t kept_until(const lsi_windows *windows, int64_t end_ms)
{
    return lsi_ms_plus(end_ms - 1, windows->settings.lateness_ms);
}

static bool has_passed(const lsi_windows *windows, int64_t time_ms)
{
    return windows->watermark_ms != LSI_WATERMARK_NONE && time_ms <= windows->watermark_ms;
}

int64_t lsi_pane_due(const lsi_windows *windows, const lsi_pane *pane)
{
    if (pane->wants_again)
        return INT64_MIN; /* at once */
    return pane->has_fired ? kept_until(windows, pane->end_ms) : pane->end_ms - 1;
}

static bool is_late(const lsi_windows *windows, span window)
{
    return has_passed(windows, kept_until(windows, window.end_ms));
}

/* ---- adding ---- */

static void fold(lsi_windows *windows, lsi_pane *pane, const void *element)
{
    int64_t due_ms;

    windows->settings.fold.add(windows->settings.fold.user, pane->sum, element);
    pane->count++;
    pane->wants_again = has_passed(windows, pane->end_ms - 1); /* V2 */
    if (!pane->wants_again)
        pane->has_fired = false; /* A session that fired may have a later end now. */
    due_ms = lsi_pane_due(windows, pane);
    /* Most stay where they are; to look at their neighbours in the heap costs more than all the rest. */
    if (due_ms != pane->due_ms || windows->settings.kind == LSI_WINDOWS_SESSION) {
        pane->due_ms = due_ms;
        lsi_pane_moved(windows, pane);
    }
    lsi_pane_key_changed(windows, pane->key);
}

/* NULL: there is none. */
static lsi_pane *pane_at(const lsi_pane_key *key, span window)
{
    size_t at = lsi_pane_place(key, window.start_ms, window.end_ms);
    lsi_pane *pane = at < key->pane_count ? key->panes[at] : NULL;

    return pane != NULL && pane->start_ms == window.start_ms && pane->end_ms == window.end_ms ? pane : NULL;
}

/* V3: those that this element has made go, and its key if it made that. */
static void take_back(lsi_windows *windows, lsi_pane_key *key)
{
    for (size_t i = key->pane_count; i-- > 0;) {
        bool is_last = key->pane_count == 1;

        if (key->panes[i]->count != 0)
            continue;
        lsi_pane_drop(windows, key->panes[i]);
        if (is_last)
            return;
    }
    if (key->pane_count == 0)
        lsi_pane_key_drop(windows, key);
}

static ls_status add_to_panes(lsi_windows *windows, ls_bytes bytes, int64_t time_ms, const void *element,
                              lsi_element_fate *fate)
{
    const lsi_windows_settings *settings = &windows->settings;
    lsi_pane_key *key = NULL;
    ls_status st = LS_OK;
    span window;

    *fate = LSI_ELEMENT_NOWHERE;
    for (uint32_t n = 0; window_of(settings, time_ms, n, &window); n++) {
        lsi_pane *pane;

        if (*fate == LSI_ELEMENT_NOWHERE)
            *fate = LSI_ELEMENT_LATE;
        if (is_late(windows, window))
            continue;
        *fate = LSI_ELEMENT_ADDED;
        if (key == NULL)
            st = lsi_pane_key_make(windows, bytes, &key);
        if (st == LS_OK && pane_at(key, window) == NULL)
            st = lsi_pane_make(windows, key, window.start_ms, window.end_ms, &pane);
        if (st != LS_OK) {
            if (key != NULL)
                take_back(windows, key);
            return st;
        }
    }
    for (uint32_t n = 0; key != NULL && window_of(settings, time_ms, n, &window); n++)
        if (!is_late(windows, window))
            fold(windows, pane_at(key, window), element);
    return LS_OK;
}

/* Sessions of a key are apart from each other by more than nothing. An element's own window joins all that it meets or
 * touches; their ends are the end of the whole, or its own is, which meets no further one. */
static ls_status add_to_session(lsi_windows *windows, ls_bytes bytes, int64_t time_ms, const void *element,
                                lsi_element_fate *fate)
{
    const lsi_windows_fold *how = &windows->settings.fold;
    span own = {time_ms, lsi_ms_plus(time_ms, windows->settings.gap_ms)};
    lsi_pane_key *key = lsi_pane_key_find(windows, bytes);
    lsi_pane *pane = NULL;
    size_t at = 0;
    ls_status st;

    *fate = LSI_ELEMENT_ADDED;
    while (key != NULL && at < key->pane_count && key->panes[at]->end_ms < own.start_ms)
        at++;
    if (key != NULL && at < key->pane_count && key->panes[at]->start_ms <= own.end_ms)
        pane = key->panes[at];
    if (pane == NULL) {
        if (is_late(windows, own)) { /* What would have rescued it is not kept any more. */
            *fate = LSI_ELEMENT_LATE;
            return LS_OK;
        }
        st = lsi_pane_key_make(windows, bytes, &key);
        if (st == LS_OK)
            st = lsi_pane_make(windows, key, own.start_ms, own.end_ms, &pane);
        if (st != LS_OK) {
            if (key != NULL)
                take_back(windows, key);
            return st;
        }
    }
    while (at + 1 < key->pane_count && key->panes[at + 1]->start_ms <= own.end_ms) {
        lsi_pane *other = key->panes[at + 1];

        how->merge(how->user, pane->sum, other->sum);
        pane->count += other->count;
        if (own.end_ms < other->end_ms)
            own.end_ms = other->end_ms;
        lsi_pane_drop(windows, other);
    }
    if (pane->start_ms > own.start_ms)
        pane->start_ms = own.start_ms;
    if (pane->end_ms < own.end_ms)
        pane->end_ms = own.end_ms;
    fold(windows, pane, element);
    return LS_OK;
}

ls_status lsi_windows_add(lsi_windows *windows, uint32_t input, ls_bytes key, int64_t time_ms, const void *element,
                          lsi_element_fate *fate)
{
    lsi_window_input *from = lsi_window_input_wake(windows, input);
    lsi_element_fate found;
    ls_status st = windows->settings.kind == LSI_WINDOWS_SESSION
                       ? add_to_session(windows, key, time_ms, element, &found)
                       : add_to_panes(windows, key, time_ms, element, &found);

    if (st != LS_OK)
        return st;
    if (from->greatest_ms < time_ms)
        from->greatest_ms = time_ms;
    windows->counts.added += found == LSI_ELEMENT_ADDED;
    windows->counts.late += found == LSI_ELEMENT_LATE;
    windows->counts.nowhere += found == LSI_ELEMENT_NOWHERE;
    *fate = found;
    return LS_OK;
}

/* ---- firing (V2) ---- */

static void show(lsi_windows *windows, lsi_pane *pane, lsi_pane_kind kind, lsi_windows_result *out)
{
    *out = (lsi_windows_result){
        .key = {pane->key->bytes, pane->key->size},
        .start_ms = pane->start_ms,
        .end_ms = pane->end_ms,
        .sum = pane->sum,
        .count = pane->count,
        .pane = kind,
    };
    pane->has_fired = true;
    pane->wants_again = false;
    pane->due_ms = windows->is_flushing ? INT64_MIN : lsi_pane_due(windows, pane);
    lsi_pane_moved(windows, pane);
    lsi_pane_key_changed(windows, pane->key);
    windows->counts.results++;
    windows->counts.late_results += kind == LSI_PANE_LATE;
}

bool lsi_windows_next(lsi_windows *windows, lsi_windows_result *out)
{
    while (windows->pane_count > 0) {
        lsi_pane *pane = windows->heap[0];
        bool has_ended = has_passed(windows, pane->end_ms - 1);

        if (!windows->is_flushing && !has_passed(windows, pane->due_ms))
            return false;
        if (pane->wants_again || !pane->has_fired) {
            show(windows, pane, pane->wants_again ? LSI_PANE_LATE : has_ended ? LSI_PANE_ON_TIME : LSI_PANE_EARLY, out);
            return true;
        }
        lsi_pane_drop(windows, pane); /* It was kept as long as is allowed, or is flushed. */
    }
    windows->is_flushing = false;
    return false;
}

int64_t lsi_windows_watermark(const lsi_windows *windows)
{
    return windows->watermark_ms;
}

void lsi_windows_counts_get(const lsi_windows *windows, lsi_windows_counts *out)
{
    *out = windows->counts;
}

size_t lsi_windows_count(const lsi_windows *windows)
{
    return windows->pane_count;
}

uint64_t lsi_windows_state_bytes(const lsi_windows *windows)
{
    return windows->state_bytes;
}
