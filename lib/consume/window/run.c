/* The reader of a window operator: all shards of the stream, through a merged iterator, whose tracks say what no batch
 * says: which shards there are, which are at their tips, and which have ended.
 *
 *   U1  A shard is an input from when it may be read: at once, or when its parents have been read. A parent ends only
 *       when all its children are inputs, so that these begin with its watermark, and that of all goes by none of them.
 *   U2  The place that is stored is never ahead of the inputs. Where it is behind, records come again and are passed
 *       over; so it need not be moved back after a failure. */
#include "consume/window/feed.h"

#include <inttypes.h>

#include "base/patience.h"
#include "base/status.h"
#include "consume/iterator.h"

#define RECORDS_MAX 10000u
#define BYTES_MAX (UINT64_C(256) << 10) /* what stays in a processor's cache */
#define WAIT_MS INT64_C(500)
#define WAIT_MS_LEAST INT64_C(5)        /* between looks whether a shard is idle */
#define THROTTLED_WAIT_MS INT64_C(100)

typedef struct run {
    lsi_window *window;
    lsi_iterator *iterator;
    bool is_until_caught_up;
    bool was_throttled, has_failed; /* has_failed: in the middle of a batch */
    int64_t stored_ms;              /* monotonic, as all */
} run;

static int64_t now_ms(const run *of)
{
    return lsi_monotonic_us(&of->window->env->clock) / 1000;
}

/* ---- inputs ---- */

static bool is_input(const run *of, uint32_t shard)
{
    lsi_windows_place place;

    return lsi_windows_input_find(of->window->windows, shard, &place);
}

static ls_status make_input(const run *of, const lsi_track *track)
{
    uint32_t parents[2], count = 0;

    if (track->parent != LSI_NO_SHARD)
        parents[count++] = track->parent;
    if (track->adjacent_parent != LSI_NO_SHARD)
        parents[count++] = track->adjacent_parent;
    return lsi_windows_input(of->window->windows, track->shard, parents, count);
}

/* U1. Of a track that is gone nothing comes any more. */
static bool may_end(const run *of, const lsi_track *track)
{
    const lsi_iterator *iterator = of->iterator;

    if (track == NULL)
        return true;
    for (uint32_t i = 0; i < iterator->track_count && track->is_finished; i++) {
        const lsi_track *child = &iterator->tracks[i];

        if ((child->parent == track->shard || child->adjacent_parent == track->shard) && !child->is_finished &&
            !is_input(of, child->shard))
            return false;
    }
    /* What its children are is not known yet. */
    return track->is_finished && !iterator->is_stale;
}

static ls_status follow_tracks(const run *of)
{
    lsi_windows *windows = of->window->windows;
    lsi_windows_place place;
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < of->iterator->track_count && st == LS_OK; i++) {
        const lsi_track *track = &of->iterator->tracks[i];

        if (!track->is_finished && !track->is_waiting && !is_input(of, track->shard))
            st = make_input(of, track);
    }
    for (size_t i = 0; st == LS_OK && lsi_windows_input_at(windows, i, &place); i++) {
        const lsi_track *track = lsi_merged_find(of->iterator, place.input);

        if (!place.has_ended && may_end(of, track)) {
            lsi_windows_input_end(windows, place.input);
            place.has_ended = true;
        }
        if (place.has_ended && track == NULL) {
            lsi_windows_input_forget(windows, place.input);
            i--; /* The next one is here now: around 0 and back. */
        }
    }
    return st;
}

static void look_at_tips(const run *of)
{
    int64_t at_ms = now_ms(of);

    for (uint32_t i = 0; i < of->iterator->track_count; i++) {
        const lsi_track *track = &of->iterator->tracks[i];

        if (track->is_at_tip && is_input(of, track->shard))
            lsi_windows_input_tip(of->window->windows, track->shard, at_ms);
    }
}

static bool is_caught_up(const run *of)
{
    for (uint32_t i = 0; i < of->iterator->track_count; i++)
        if (!of->iterator->tracks[i].is_finished && !of->iterator->tracks[i].is_at_tip)
            return false;
    return !of->iterator->is_stale;
}

/* ---- opening and storing ---- */

static ls_status note_place(const run *of)
{
    lsi_window *window = of->window;
    size_t bytes = 0;
    char *place;
    ls_status st;

    (void)lsi_iterator_place(of->iterator, NULL, 0, &bytes); /* It says how much it needs. */
    place = lsi_alloc(&window->env->memory, bytes);
    if (place == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the place of a window operator, %zu bytes", bytes);
    st = lsi_iterator_place(of->iterator, place, bytes, NULL);
    if (st != LS_OK) {
        lsi_free(&window->env->memory, place);
        return st;
    }
    lsi_free(&window->env->memory, window->place);
    window->place = place;
    return LS_OK;
}

static ls_status store(run *of)
{
    ls_status st = note_place(of);

    of->stored_ms = now_ms(of);
    return st == LS_OK ? lsi_window_store(of->window) : st;
}

static void note_cut(const run *of)
{
    of->window->cuts++;
    lsi_env_log(of->window->env, LS_LOG_WARNING, "the window operator%s%s goes on behind records that it has not read: "
                "%s", of->window->name[0] != '\0' ? " " : "", of->window->name, ls_last_error_message());
}

/* The iterator, with all its tracks. */
static ls_status open_iterator(run *of, const ls_position *position)
{
    lsi_window *window = of->window;
    uint32_t flags = (window->options.flags & LS_WINDOW_DEAGGREGATE) != 0 ? LS_ITERATOR_DEAGGREGATE : 0;
    ls_status st = window->place != NULL
                       ? lsi_iterator_open_place(window->stream, window->place, flags, &of->iterator)
                       : lsi_iterator_open_all(window->stream, position, flags, &of->iterator);

    if (st != LS_OK)
        return st;
    of->iterator->is_stopped = &window->is_stopped;
    st = lsi_merged_refresh(of->iterator);
    while (st == LS_ERR_TRIMMED) {
        note_cut(of);
        st = lsi_merged_refresh(of->iterator);
    }
    return st;
}

/* ---- reading ---- */

static int64_t wait_ms(const run *of)
{
    const lsi_window *window = of->window;
    int64_t idle_ms = window->options.idle_timeout_ms / 4, store_ms, wait = WAIT_MS;
    lsi_windows_place place;
    bool is_any_active = false;

    if (of->is_until_caught_up)
        return of->was_throttled ? THROTTLED_WAIT_MS : 0;
    for (size_t i = 0; lsi_windows_input_at(window->windows, i, &place); i++)
        is_any_active = is_any_active || (!place.is_idle && !place.has_ended);
    if (is_any_active && window->options.idle_timeout_ms >= 0 && idle_ms < wait)
        wait = idle_ms > WAIT_MS_LEAST ? idle_ms : WAIT_MS_LEAST;
    if (window->name[0] != '\0' && lsi_windows_have_changed(window->windows)) {
        store_ms = of->stored_ms + (int64_t)window->options.store_interval_ms - now_ms(of);
        wait = store_ms < 0 ? 0 : store_ms < wait ? store_ms : wait;
    }
    return wait;
}

static ls_status take_batch(run *of, const ls_batch *batch)
{
    ls_status st = LS_OK;

    if (!is_input(of, batch->shard))
        st = make_input(of, lsi_merged_find(of->iterator, batch->shard));
    if (st == LS_OK)
        st = lsi_window_take(of->window, batch);
    of->has_failed = st != LS_OK;
    return st;
}

/* One batch, or the news that there is none. `*is_over`: the run ends. */
static ls_status step(run *of, bool *is_over)
{
    lsi_window *window = of->window;
    const ls_batch *batch = NULL;
    ls_status st = lsi_iterator_next(of->iterator, RECORDS_MAX, BYTES_MAX, wait_ms(of), &batch);
    uint32_t count = st == LS_OK ? batch->count : 0;

    if (st == LS_ERR_TRIMMED)
        note_cut(of);
    else if (st != LS_OK && st != LS_ERR_THROTTLED && st != LS_ERR_CANCELLED)
        return st;
    of->was_throttled = st == LS_ERR_THROTTLED;
    *is_over = st == LS_ERR_CANCELLED || (of->is_until_caught_up && st == LS_OK && count == 0 && is_caught_up(of));
    st = count > 0 ? take_batch(of, batch) : LS_OK;
    if (st == LS_OK)
        st = follow_tracks(of);
    look_at_tips(of);
    if (st == LS_OK)
        st = lsi_window_fire(window);
    lsi_patience_begin(window->env); /* Each step has its own, and callbacks may have used it up. */
    if (st == LS_OK && !*is_over && window->name[0] != '\0' &&
        now_ms(of) - of->stored_ms >= (int64_t)window->options.store_interval_ms)
        st = store(of);
    return st;
}

ls_status lsi_window_run(lsi_window *window, bool is_until_caught_up, const ls_position *position)
{
    run of = {.window = window, .is_until_caught_up = is_until_caught_up};
    ls_status st = lsi_window_is_over(window), stored;
    bool is_over = false;
    lsi_error_state why;

    if (st != LS_OK)
        return st;
    st = open_iterator(&of, position);
    if (st == LS_OK)
        st = follow_tracks(&of);
    if (st == LS_OK && window->place == NULL)
        st = store(&of); /* What was to be read from LATEST on is known from now on. */
    of.stored_ms = now_ms(&of);
    while (st == LS_OK && !is_over) {
        /* Pairs with lsi_window_stop. */
        is_over = atomic_load_explicit(&window->is_stopped, memory_order_acquire);
        if (!is_over)
            st = step(&of, &is_over);
    }
    lsi_error_save(&why);
    if (of.iterator != NULL && !of.has_failed && !window->is_over) {
        stored = store(&of);
        if (st != LS_OK)
            lsi_error_restore(&why);
        else
            st = stored;
    }
    lsi_iterator_close(of.iterator);
    atomic_store_explicit(&window->is_stopped, false, memory_order_release);
    return st;
}

void lsi_window_stop(lsi_window *window)
{
    /* Pairs with the loads in lsi_iterator_next, as lsi_iterator_cancel does (C3). */
    atomic_store_explicit(&window->is_stopped, true, memory_order_seq_cst);
    window->stream->engine->ops->wake(window->stream, LSI_NO_SHARD);
}
