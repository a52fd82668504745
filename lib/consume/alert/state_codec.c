/* What is known of a rule, as a value of its stream's state, both ways. FORMAT.md ("State") has the table of its
 * fields. What is read may be anything (X1). */
#include "consume/alert/alert.h"

#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

#define FORMAT 2u /* 1: without times; one is `last_fired_us` */
#define HEAD_BYTES 96u
#define TIME_BYTES 8u
#define WINDOW_BYTES 32u
#define ROW_BYTES 64u
#define REPORTED 1u /* flags: one of these */
#define REPORTING 2u
#define FIRED 1u    /* of a window */
#define UNTOLD 1u   /* of a row */

void lsi_alert_state_clear(lsi_alert_state *state)
{
    lsi_memory memory = state->memory;

    lsi_free(&memory, state->rows);
    *state = (lsi_alert_state){.memory = memory};
}

/* ---- writing ---- */

static void put_double(lsi_writer *to, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    lsi_put_u64(to, bits);
}

static void put_window(lsi_writer *to, const lsi_alert_window *window)
{
    lsi_put_u64(to, (uint64_t)window->start_us);
    lsi_put_u64(to, window->count);
    lsi_put_u64(to, window->first.seqno);
    lsi_put_u32(to, window->first.shard);
    lsi_put_u32(to, window->has_fired ? FIRED : 0);
}

static void put_row(lsi_writer *to, const lsi_alert_row *row)
{
    lsi_put_u64(to, row->seqno);
    lsi_put_u32(to, row->shard);
    lsi_put_u32(to, row->sub_seqno);
    put_double(to, row->value);
    lsi_put_u64(to, row->count);
    lsi_put_u64(to, (uint64_t)row->window_start_us);
    lsi_put_u64(to, (uint64_t)row->at_us);
    lsi_put_u64(to, row->first.seqno);
    lsi_put_u32(to, row->first.shard);
    lsi_put_u32(to, row->is_untold ? UNTOLD : 0);
}

ls_status lsi_alert_state_encode(const lsi_memory *memory, const lsi_alert_state *state, ls_bytes *out)
{
    uint32_t times = state->time_count > 1 ? state->time_count : 0;
    size_t size = HEAD_BYTES + (size_t)state->window_count * WINDOW_BYTES + state->row_count * ROW_BYTES +
        (size_t)times * TIME_BYTES;
    unsigned char *bytes = lsi_alloc(memory, size);
    lsi_writer to = {bytes, bytes + size};

    if (bytes == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for what is known of an alert, %zu bytes", size);
    lsi_put_u32(&to, times != 0 ? FORMAT : 1);
    lsi_put_u32(&to, state->is_reported ? REPORTED : state->is_reporting ? REPORTING : 0);
    lsi_put_u64(&to, state->of);
    lsi_put_u64(&to, state->notes.observed);
    lsi_put_u64(&to, state->notes.values);
    lsi_put_u64(&to, state->notes.numbers);
    put_double(&to, state->notes.least);
    put_double(&to, state->notes.greatest);
    lsi_put_u64(&to, state->passed);
    lsi_put_u64(&to, state->fired);
    lsi_put_u64(&to, (uint64_t)state->last_fired_us);
    lsi_put_u32(&to, state->window_count);
    lsi_put_u32(&to, (uint32_t)state->row_count); /* no more than there are shards */
    lsi_put_u32(&to, state->is_reporting ? state->reporting_shard : 0);
    lsi_put_u32(&to, times);
    for (uint32_t i = 0; i < state->window_count; i++)
        put_window(&to, &state->windows[i]);
    for (size_t i = 0; i < state->row_count; i++)
        put_row(&to, &state->rows[i]);
    for (uint32_t i = 0; i < times; i++)
        lsi_put_u64(&to, (uint64_t)state->times_us[i]);
    *out = (ls_bytes){bytes, size};
    return LS_OK;
}

/* ---- reading ---- */

static double take_double(lsi_cursor *from)
{
    uint64_t bits = lsi_take_u64(from);
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A word of one flag that is known. */
static bool take_flag(lsi_cursor *from)
{
    uint32_t flags = lsi_take_u32(from);

    if (flags > 1)
        from->bad = true;
    return flags == 1;
}

static void take_window(lsi_cursor *from, lsi_alert_window *to)
{
    to->start_us = (int64_t)lsi_take_u64(from);
    to->count = lsi_take_u64(from);
    to->first.seqno = lsi_take_u64(from);
    to->first.shard = lsi_take_u32(from);
    to->has_fired = take_flag(from);
}

static void take_row(lsi_cursor *from, lsi_alert_row *to)
{
    to->seqno = lsi_take_u64(from);
    to->shard = lsi_take_u32(from);
    to->sub_seqno = lsi_take_u32(from);
    to->value = take_double(from);
    to->count = lsi_take_u64(from);
    to->window_start_us = (int64_t)lsi_take_u64(from);
    to->at_us = (int64_t)lsi_take_u64(from);
    to->first.seqno = lsi_take_u64(from);
    to->first.shard = lsi_take_u32(from);
    to->is_untold = take_flag(from);
}

/* NO_MEMORY; else `from->bad` says what is to be said. The times are behind them. */
static ls_status take_rows(lsi_alert_state *state, lsi_cursor *from, uint32_t count)
{
    size_t times = (size_t)state->time_count * TIME_BYTES;

    if (from->bad || (size_t)(from->end - from->at) != (size_t)count * ROW_BYTES + times) {
        from->bad = true;
        return LS_OK;
    }
    if (!lsi_grow(&state->memory, (void **)&state->rows, &state->row_capacity, count, sizeof *state->rows))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for what is known of an alert");
    for (uint32_t i = 0; i < count; i++)
        take_row(from, &state->rows[state->row_count++]);
    return LS_OK;
}

static void take_times(lsi_alert_state *state, lsi_cursor *from)
{
    for (uint32_t i = 0; i < state->time_count; i++)
        state->times_us[i] = (int64_t)lsi_take_u64(from);
    if (state->time_count == 0 && state->last_fired_us != 0)
        state->times_us[state->time_count++] = state->last_fired_us;
}

static bool is_valid(const lsi_alert_state *state)
{
    for (uint32_t i = 1; i < state->window_count; i++)
        if (state->windows[i].start_us <= state->windows[i - 1].start_us)
            return false;
    for (uint32_t i = 1; i < state->time_count; i++)
        if (state->times_us[i] <= state->times_us[i - 1])
            return false;
    return isfinite(state->notes.least) && isfinite(state->notes.greatest);
}

ls_status lsi_alert_state_decode(lsi_alert_state *state, const lsi_state_entry *entry)
{
    lsi_cursor from = {entry->value.data, (const unsigned char *)entry->value.data + entry->value.size, false};
    uint32_t format = lsi_take_u32(&from), flags, row_count;
    ls_status st;

    if (format > FORMAT)
        return lsi_fail(LS_ERR_VERSION, "what is known of an alert is of format %u: this release knows %u", format,
                        FORMAT);
    state->version = entry->version;
    flags = lsi_take_u32(&from);
    state->is_reported = flags == REPORTED;
    state->is_reporting = flags == REPORTING;
    state->of = lsi_take_u64(&from);
    state->notes.observed = lsi_take_u64(&from);
    state->notes.values = lsi_take_u64(&from);
    state->notes.numbers = lsi_take_u64(&from);
    state->notes.least = take_double(&from);
    state->notes.greatest = take_double(&from);
    state->passed = lsi_take_u64(&from);
    state->fired = lsi_take_u64(&from);
    state->last_fired_us = (int64_t)lsi_take_u64(&from);
    state->window_count = lsi_take_u32(&from);
    row_count = lsi_take_u32(&from);
    state->reporting_shard = lsi_take_u32(&from);
    state->time_count = lsi_take_u32(&from);
    if ((format == 1 ? state->time_count != 0 : state->time_count < 2) || flags > REPORTING ||
        (state->reporting_shard != 0 && !state->is_reporting) || state->window_count > LSI_ALERT_WINDOWS_MAX ||
        state->time_count > LSI_ALERT_TIMES_MAX)
        from.bad = true;
    for (uint32_t i = 0; i < state->window_count && !from.bad; i++)
        take_window(&from, &state->windows[i]);
    st = take_rows(state, &from, row_count);
    if (!from.bad)
        take_times(state, &from);
    if (st == LS_OK && (format == 0 || from.bad || !is_valid(state)))
        st = lsi_fail(LS_ERR_CORRUPT, "the state's value of what is known of an alert, %zu bytes, is none",
                      entry->value.size);
    return st;
}
