/* A window operator: batches in, results out.
 *
 * A record is counted when the position of its shard is at it or behind, and both are stored in one step, so a batch
 * that comes again is passed over up to there. What fails in the middle of a batch leaves the position at the last
 * record that was counted. */
#include "consume/window/feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"
#include "metrics/metrics.h"

/* ---- the fold: a tally, and behind it what the application sums ---- */

static void sum_init(void *user, void *sum)
{
    lsi_window *window = user;

    if (window->tally_bytes != 0)
        lsi_tally_fold.init(NULL, sum);
    if (window->fold.init == NULL)
        return;
    memset((unsigned char *)sum + window->tally_bytes, 0, window->fold.sum_bytes);
    (void)lsi_error_end(LS_OK);
    window->fold.init((unsigned char *)sum + window->tally_bytes, window->fold.user);
    lsi_error_begin();
}

static void sum_add(void *user, void *sum, const void *element)
{
    lsi_window *window = user;
    const lsi_window_element *of = element;

    if (of->has_value)
        lsi_tally_fold.add(NULL, sum, &of->value);
    if (window->fold.add == NULL)
        return;
    (void)lsi_error_end(LS_OK);
    window->fold.add((unsigned char *)sum + window->tally_bytes, of->record, window->fold.user);
    lsi_error_begin();
}

static void sum_merge(void *user, void *sum, const void *other)
{
    lsi_window *window = user;

    if (window->tally_bytes != 0)
        lsi_tally_fold.merge(NULL, sum, other);
    if (window->fold.merge == NULL)
        return;
    (void)lsi_error_end(LS_OK);
    window->fold.merge((unsigned char *)sum + window->tally_bytes,
                       (const unsigned char *)other + window->tally_bytes, window->fold.user);
    lsi_error_begin();
}

/* ---- opening ---- */

static lsi_windows_settings settings_of(lsi_window *window)
{
    const ls_window_options *options = &window->options;

    return (lsi_windows_settings){
        .kind = (lsi_windows_kind)(options->kind - LS_WINDOW_TUMBLING),
        .size_ms = options->size_ms,
        .step_ms = options->step_ms,
        .gap_ms = options->gap_ms,
        .offset_ms = options->offset_ms,
        .delay_ms = options->delay_ms,
        .lateness_ms = options->lateness_ms,
        .idle_timeout_ms = options->idle_timeout_ms,
        .begins_anew = (options->flags & LS_WINDOW_BEGIN_ANEW) != 0,
        .notes_changes = window->name[0] != '\0',
        .state_bytes_max = options->state_bytes_max,
        .fold = {window->tally_bytes + window->fold.sum_bytes, sum_init, sum_add, sum_merge, window},
    };
}

ls_status lsi_window_check(const ls_window_options *options)
{
    lsi_window window = {.options = *options};
    lsi_windows_settings settings = settings_of(&window);

    return lsi_windows_check(&settings);
}

ls_status lsi_window_make_windows(lsi_window *window)
{
    lsi_windows_settings settings = settings_of(window);

    lsi_windows_close(window->windows);
    window->windows = NULL;
    return lsi_windows_open(&window->env->memory, &settings, &window->windows);
}

ls_status lsi_window_open(lsi_engine_stream *stream, const char *name, const ls_window_options *options,
                          lsi_window **out)
{
    const lsi_env *env = &stream->engine->env;
    lsi_window *window = lsi_alloc_zero(&env->memory, sizeof *window);
    bool has_tally = options->value_field != NULL || options->value_of != NULL;
    ls_status st;

    if (window == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a window operator");
    window->stream = stream;
    window->env = env;
    (void)snprintf(window->name, sizeof window->name, "%s", name != NULL ? name : ""); /* It was checked. */
    window->options = *options;
    if (options->fold != NULL)
        window->fold = *options->fold;
    window->options.fold = NULL;
    window->tally_bytes = has_tally ? lsi_round_up(sizeof(lsi_tally), _Alignof(max_align_t)) : 0;
    atomic_init(&window->is_stopped, false);
    st = lsi_window_finder_init(&window->finder, &env->memory, &window->options);
    window->options.time_field = window->options.key_field = window->options.value_field = NULL; /* the caller's */
    if (st == LS_OK)
        st = name != NULL ? lsi_window_rows_claim(window) : lsi_window_make_windows(window);
    if (st == LS_OK && name != NULL)
        window->counts = stream->engine->ops->counts(stream, LSI_COUNTS_WINDOW, lsi_counts_number(name));
    if (st != LS_OK) {
        lsi_window_free(window);
        return st;
    }
    *out = window;
    return LS_OK;
}

ls_status lsi_window_give_back(lsi_window *window)
{
    return window->has_name ? lsi_window_rows_give_up(window) : LS_OK;
}

void lsi_window_free(lsi_window *window)
{
    lsi_memory memory;

    if (window == NULL)
        return;
    memory = window->env->memory;
    lsi_windows_close(window->windows);
    lsi_window_finder_free(&window->finder);
    lsi_free(&memory, window->rows.head);
    lsi_free(&memory, window->place);
    lsi_free(&memory, window);
}

ls_status lsi_window_is_over(const lsi_window *window)
{
    if (!window->is_over)
        return LS_OK;
    return lsi_fail(LS_ERR_STATE, "the window operator%s%s can only be closed: a call before has said why",
                    window->name[0] != '\0' ? " " : "", window->name);
}

/* ---- shards ---- */

/* Makes an input of it, with what it continues. `*is_there` false: the stream does not list it (any more). */
static ls_status make_input(lsi_window *window, uint32_t shard, bool *is_there)
{
    uint32_t parents[2], count = 0;
    lsi_stream_info info = {0};
    ls_status st = window->stream->engine->ops->info(window->stream, &info);

    if (st != LS_OK)
        return st;
    *is_there = false;
    for (uint32_t i = 0; i < info.shard_count; i++) {
        const lsi_shard *at = &info.shards[i];

        if (at->index != shard)
            continue;
        *is_there = true;
        if (at->parent != LSI_NO_SHARD)
            parents[count++] = at->parent;
        if (at->adjacent_parent != LSI_NO_SHARD)
            parents[count++] = at->adjacent_parent;
    }
    lsi_stream_info_free(&info);
    return *is_there ? lsi_windows_input(window->windows, shard, parents, count) : LS_OK;
}

/* A shard of which there is a batch has been, if it is not listed any more. */
static ls_status know(lsi_window *window, uint32_t shard)
{
    lsi_windows_place place;
    bool is_there;
    ls_status st;

    if (lsi_windows_input_find(window->windows, shard, &place))
        return LS_OK;
    st = make_input(window, shard, &is_there);
    return st != LS_OK || is_there ? st : lsi_windows_input(window->windows, shard, NULL, 0);
}

ls_status lsi_window_add_shard(lsi_window *window, uint32_t shard)
{
    lsi_windows_place place;
    bool is_there;
    ls_status st = lsi_window_is_over(window);

    if (st != LS_OK || lsi_windows_input_find(window->windows, shard, &place))
        return st;
    st = make_input(window, shard, &is_there);
    if (st == LS_OK && !is_there)
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no shard %" PRIu32, window->stream->name, shard);
    return st;
}

void lsi_window_position(const lsi_window *window, uint32_t shard, ls_position *out)
{
    lsi_windows_place place;

    *out = (ls_position){.kind = LS_TRIM_HORIZON};
    if (!lsi_windows_input_find(window->windows, shard, &place) || place.position.seqno == LS_SEQNO_NONE)
        return;
    *out = (ls_position){.kind = place.position.part == 0 ? LS_AFTER_SEQUENCE_NUMBER : LS_AT_SEQUENCE_NUMBER,
                         .sub_seqno = place.position.part, .seqno = place.position.seqno};
}

/* ---- records ---- */

static void leave_over(lsi_window *window, const ls_record *record, ls_window_reason reason, int64_t time_ms)
{
    if (window->options.left_over == NULL)
        return;
    (void)lsi_error_end(LS_OK);
    window->options.left_over(record, reason, time_ms, window->options.user);
    lsi_error_begin();
}

static ls_status take_record(lsi_window *window, uint32_t shard, const ls_record *record)
{
    lsi_window_element element;
    lsi_element_fate fate;
    ls_status st = lsi_window_find(&window->finder, record, &element);

    if (st != LS_OK)
        return st;
    if (!element.has_time || element.key.size > LS_WINDOW_KEY_BYTES_MAX) {
        lsi_windows_timeless(window->windows, shard);
        leave_over(window, record, element.has_time ? LS_WINDOW_LONG_KEY : LS_WINDOW_NO_TIME, 0);
        return LS_OK;
    }
    st = lsi_windows_add(window->windows, shard, element.key, element.time_ms, &element, &fate);
    if (st == LS_OK && fate == LSI_ELEMENT_LATE)
        leave_over(window, record, LS_WINDOW_LATE, element.time_ms);
    return st;
}

ls_status lsi_window_take(lsi_window *window, const ls_batch *batch)
{
    lsi_point position = {LS_SEQNO_NONE, 0};
    lsi_windows_counts before, after;
    lsi_windows_place place = {0};
    ls_status st = LS_OK;

    lsi_windows_counts_get(window->windows, &before);
    (void)lsi_windows_input_find(window->windows, batch->shard, &place); /* It is known. */
    for (uint32_t i = 0; i < batch->count && st == LS_OK; i++) {
        const ls_record *record = &batch->records[i];

        if (lsi_point_compare(lsi_point_behind(record), place.position) <= 0 || place.has_ended) {
            window->repeated++;
            continue;
        }
        st = take_record(window, batch->shard, record);
        if (st == LS_OK)
            position = lsi_point_behind(record);
    }
    if (position.seqno != LS_SEQNO_NONE)
        lsi_windows_advance(window->windows, batch->shard, position);
    lsi_windows_counts_get(window->windows, &after);
    if (window->counts != NULL && after.late > before.late)
        lsi_count(&window->counts[LSI_WINDOW_COUNT_LATE], after.late - before.late);
    return st;
}

/* Its children are there before it goes: they begin with its watermark. */
static ls_status end_shard(lsi_window *window, const ls_batch *batch)
{
    lsi_windows_place place;
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < batch->child_count && st == LS_OK; i++)
        st = know(window, batch->children[i]);
    if (st == LS_OK && lsi_windows_input_find(window->windows, batch->shard, &place) && !place.has_ended)
        lsi_windows_input_end(window->windows, batch->shard);
    return st;
}

ls_status lsi_window_add(lsi_window *window, const ls_batch *batch)
{
    ls_status st = lsi_window_is_over(window);

    if (st != LS_OK || (batch->count == 0 && !batch->is_shard_end))
        return st;
    st = know(window, batch->shard);
    if (st == LS_OK)
        st = lsi_window_take(window, batch);
    if (st == LS_OK && batch->is_shard_end)
        st = end_shard(window, batch);
    return st == LS_OK ? lsi_window_fire(window) : st;
}

ls_status lsi_window_tip(lsi_window *window, uint32_t shard)
{
    lsi_windows_place place;
    ls_status st = lsi_window_is_over(window);

    if (st != LS_OK)
        return st;
    if (!lsi_windows_input_find(window->windows, shard, &place))
        return lsi_fail(LS_ERR_NOT_FOUND, "the window operator does not know shard %" PRIu32, shard);
    lsi_windows_input_tip(window->windows, shard, lsi_monotonic_us(&window->env->clock) / 1000);
    return lsi_window_fire(window);
}

/* ---- results ---- */

static ls_window_result result_of(const lsi_window *window, const lsi_windows_result *from)
{
    ls_window_result result = {
        .size = sizeof result,
        .pane = (ls_window_pane)from->pane - LSI_PANE_ON_TIME + LS_WINDOW_ON_TIME,
        .key = from->key,
        .start_ms = from->start_ms,
        .end_ms = from->end_ms,
        .count = from->count,
    };
    const lsi_tally *tally = from->sum;

    if (window->tally_bytes != 0 && tally->count != 0) {
        result.value_count = tally->count;
        result.sum = lsi_tally_sum(tally);
        result.least = tally->least;
        result.greatest = tally->greatest;
        result.mean = result.sum / (double)tally->count;
    }
    if (window->fold.sum_bytes != 0)
        result.fold = (const unsigned char *)from->sum + window->tally_bytes;
    return result;
}

ls_status lsi_window_fire(lsi_window *window)
{
    lsi_windows_result found;

    while (lsi_windows_next(window->windows, &found)) {
        ls_window_result result = result_of(window, &found);
        ls_window_answer answer;

        (void)lsi_error_end(LS_OK);
        answer = window->options.result(&result, window->options.user);
        lsi_error_begin();
        if (answer != LS_WINDOW_GO_ON) {
            window->is_over = true;
            return lsi_fail(LS_ERR_CANCELLED, "the callback for results has answered %" PRId32, answer);
        }
    }
    return LS_OK;
}

ls_status lsi_window_finish(lsi_window *window)
{
    ls_status st = lsi_window_is_over(window);

    if (st != LS_OK)
        return st;
    lsi_windows_finish(window->windows);
    return lsi_window_fire(window);
}

ls_status lsi_window_flush(lsi_window *window)
{
    ls_status st = lsi_window_is_over(window);

    if (st != LS_OK)
        return st;
    lsi_windows_flush(window->windows);
    return lsi_window_fire(window);
}

ls_status lsi_window_store(lsi_window *window)
{
    ls_status st = lsi_window_is_over(window);

    return st != LS_OK || window->name[0] == '\0' ? st : lsi_window_rows_store(window);
}

void lsi_window_describe(const lsi_window *window, ls_window_info *out)
{
    lsi_windows_counts counts;
    lsi_windows_place place;
    uint32_t size = out->size;

    lsi_windows_counts_get(window->windows, &counts);
    *out = (ls_window_info){
        .size = size,
        .watermark_ms = lsi_windows_watermark(window->windows),
        .window_count = lsi_windows_count(window->windows),
        .state_bytes = lsi_windows_state_bytes(window->windows),
        .added_count = counts.added,
        .late_count = counts.late,
        .no_time_count = counts.timeless,
        .between_count = counts.nowhere,
        .repeated_count = window->repeated,
        .result_count = counts.results,
        .update_count = counts.late_results,
        .cut_count = window->cuts,
        .stored_bytes = window->stored_bytes,
    };
    for (size_t i = 0; lsi_windows_input_at(window->windows, i, &place); i++)
        out->shard_count += !place.has_ended;
}
