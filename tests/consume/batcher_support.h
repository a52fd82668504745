/* What the tests of the batch machine share: a machine with a clock of its own, records by number, and each action as a
 * short text, so that a test reads as the log of a shard's worker:
 *
 *     invoke 1 2 3          lane 0; "invoke/4 ..." lane 4; " again 2" after two failures; " [60,120) final early {..}"
 *     discard retries x4 6  reason, invocations, records
 *     at 5                  the checkpoint; "at end"; "at 5 [60,120) {..}" with an open window
 *     overrun               " /4" lane 4
 *     wait 100              milliseconds; "wait" has no end
 *     done */
#ifndef LST_CONSUME_BATCHER_SUPPORT_H
#define LST_CONSUME_BATCHER_SUPPORT_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "consume/mapping/batcher.h"
#include "support/sim_memory.h"

#define SECOND INT64_C(1000000)
#define LOG_BYTES 16384
#define RECORDS 1024

typedef struct fixture {
    sim_memory memory;
    lsi_batcher_settings settings;
    lsi_batcher *machine;
    lsi_moment now;
    lsi_batcher_action action; /* the last one */
    ls_record records[RECORDS]; /* [i] has the number i + 1 */
    char keys[RECORDS][24];
    char text[4096];
    char log[LOG_BYTES];
} fixture;

/* All defaults of a mapping, and a clock that stands at 1,000 s. Records have arrived then, each has a key of its own
 * and its number as data. */
static inline fixture *begin(void)
{
    fixture *fx = calloc(1, sizeof *fx);

    assert_non_null(fx);
    fx->memory = (sim_memory)SIM_MEMORY_INIT;
    fx->now = (lsi_moment){.wall_us = 1000 * SECOND, .mono_us = 5 * SECOND};
    fx->settings = (lsi_batcher_settings){
        .records_max = 100,
        .bytes_max = LSI_BATCHER_BYTES_DEFAULT,
        .lane_count = 1,
        .retries_max = -1,
        .record_age_us_max = -1,
        .retention_us = -1,
        .window_state_bytes_max = LSI_WINDOW_STATE_BYTES_DEFAULT,
        .handler_timeout_us = -1,
    };
    for (uint32_t i = 0; i < RECORDS; i++) {
        int size = snprintf(fx->keys[i], sizeof fx->keys[i], "k%u", i + 1);

        fx->records[i] = (ls_record){
            .partition_key = {fx->keys[i], (size_t)size},
            .data = {fx->keys[i] + 1, (size_t)size - 1},
            .seqno = i + 1,
            .arrival_us = fx->now.wall_us,
        };
    }
    return fx;
}

static inline void open_from(fixture *fx, const lsi_progress *from)
{
    lsi_memory memory = sim_memory_table(&fx->memory);

    assert_int_equal(lsi_batcher_open(&memory, &fx->settings, from, fx->now, &fx->machine), LS_OK);
}

static inline void open_machine(fixture *fx)
{
    const lsi_progress start = {.position = {LS_SEQNO_NONE, 0}};

    open_from(fx, &start);
}

static inline void end(fixture *fx)
{
    lsi_batcher_close(fx->machine);
    assert_int_equal(fx->memory.live, 0);
    free(fx);
}

static inline void pass_ms(fixture *fx, int64_t ms)
{
    fx->now.wall_us += ms * 1000;
    fx->now.mono_us += ms * 1000;
}

/* Gives the records with the numbers `first` to `last`; those that `filtered` names (NULL: none) do not match. */
static inline void give_filtered(fixture *fx, uint32_t first, uint32_t last, const char *filtered)
{
    bool matches[RECORDS];

    for (uint32_t n = first; n <= last; n++) {
        char one[16];

        snprintf(one, sizeof one, " %u ", n);
        matches[n - first] = filtered == NULL || strstr(filtered, one) == NULL;
    }
    assert_int_equal(lsi_batcher_own(fx->machine), LS_OK);
    assert_int_equal(lsi_batcher_give(fx->machine, &fx->records[first - 1], last - first + 1, matches), LS_OK);
}

static inline void give(fixture *fx, uint32_t first, uint32_t last)
{
    give_filtered(fx, first, last, NULL);
}

/* ---- actions as text ---- */

static inline void say(fixture *fx, const char *format, ...)
{
    size_t used = strlen(fx->text);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(fx->text + used, sizeof fx->text - used, format, args);
    va_end(args);
}

static inline void say_records(fixture *fx, const lsi_invocation *what)
{
    for (uint32_t i = 0; i < what->count; i++) {
        const ls_record *record = &what->records[i];

        say(fx, " %" PRIu64, record->seqno);
        assert_memory_equal(record->data.data, fx->keys[record->seqno - 1] + 1, record->data.size);
    }
}

static inline void say_window(fixture *fx, int64_t start_us, int64_t end_us, ls_bytes state)
{
    say(fx, " [%" PRId64 ",%" PRId64 ") {%.*s}", start_us / SECOND, end_us / SECOND, (int)state.size,
        state.size == 0 ? "" : (const char *)state.data);
}

static inline void say_action(fixture *fx)
{
    const lsi_batcher_action *action = &fx->action;
    const lsi_invocation *what = &action->invocation;
    char lane[16] = "";

    if (action->lane != 0)
        snprintf(lane, sizeof lane, "/%u", action->lane);
    switch (action->kind) {
    case LSI_BATCHER_WAIT:
        say(fx, "wait");
        if (action->until_us != INT64_MAX)
            say(fx, " %" PRId64, (action->until_us - fx->now.mono_us) / 1000);
        break;
    case LSI_BATCHER_INVOKE:
        say(fx, "invoke%s", lane);
        say_records(fx, what);
        if (what->attempts > 0)
            say(fx, " again %u", what->attempts);
        if (what->is_windowed)
            say_window(fx, what->window_start_us, what->window_end_us, what->state);
        if (what->is_final)
            say(fx, " final");
        if (what->is_terminated_early)
            say(fx, " early");
        break;
    case LSI_BATCHER_DISCARD:
        say(fx, "discard%s %s x%u", lane,
            action->reason == LSI_DISCARD_RETRIES ? "retries" : action->reason == LSI_DISCARD_AGE ? "age" : "expired",
            action->invoke_count);
        say_records(fx, what);
        if (what->is_final)
            say(fx, " final");
        break;
    case LSI_BATCHER_CHECKPOINT:
        say(fx, "at");
        if (action->progress.position.seqno == LS_SEQNO_END)
            say(fx, " end");
        else
            say(fx, " %" PRIu64, action->progress.position.seqno);
        if (action->progress.has_window)
            say_window(fx, action->progress.window_start_us, action->progress.window_end_us, action->progress.state);
        break;
    case LSI_BATCHER_OVERRUN: say(fx, "overrun%s", lane); break;
    case LSI_BATCHER_DONE: say(fx, "done"); break;
    }
}

/* The next action, as text. */
static inline const char *next(fixture *fx)
{
    fx->text[0] = '\0';
    assert_int_equal(lsi_batcher_next(fx->machine, fx->now, &fx->action), LS_OK);
    say_action(fx);
    return fx->text;
}

static inline void answer(fixture *fx, uint32_t lane, lsi_outcome outcome)
{
    assert_int_equal(lsi_batcher_complete(fx->machine, lane, &outcome, fx->now), LS_OK);
}

static inline void answer_ok(fixture *fx)
{
    answer(fx, fx->action.lane, (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS});
}

static inline void answer_state(fixture *fx, const char *state)
{
    answer(fx, fx->action.lane,
           (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS, .has_state = true, .state = {state, strlen(state)}});
}

static inline void answer_failed(fixture *fx)
{
    answer(fx, fx->action.lane, (lsi_outcome){.kind = LSI_OUTCOME_FAILED});
}

static inline void answer_partial(fixture *fx, uint32_t failed_at)
{
    answer(fx, fx->action.lane, (lsi_outcome){.kind = LSI_OUTCOME_PARTIAL, .failed_at = failed_at});
}

/* ---- whole runs ---- */

typedef lsi_outcome (*handler)(const lsi_invocation *what);

static inline lsi_outcome succeed(const lsi_invocation *what)
{
    (void)what;
    return (lsi_outcome){.kind = LSI_OUTCOME_SUCCESS};
}

/* The log of all actions but waiting, which passes the time, until the machine is done or waits for what nobody will
 * bring. The destination takes everything. */
static inline const char *play(fixture *fx, handler handle)
{
    fx->log[0] = '\0';
    for (size_t used = 0;;) {
        const char *text = next(fx);

        if (fx->action.kind == LSI_BATCHER_WAIT &&
            (fx->action.until_us == INT64_MAX || lsi_batcher_held(fx->machine) == 0))
            return fx->log;
        if (fx->action.kind == LSI_BATCHER_WAIT) {
            assert_true(fx->action.until_us > fx->now.mono_us);
            fx->now.wall_us += fx->action.until_us - fx->now.mono_us;
            fx->now.mono_us = fx->action.until_us;
            continue;
        }
        used += (size_t)snprintf(fx->log + used, sizeof fx->log - used, "%s%s", used == 0 ? "" : "; ", text);
        assert_true(used < sizeof fx->log);
        if (fx->action.kind == LSI_BATCHER_DONE)
            return fx->log;
        if (fx->action.kind == LSI_BATCHER_INVOKE)
            answer(fx, fx->action.lane, handle(&fx->action.invocation));
        if (fx->action.kind == LSI_BATCHER_DISCARD)
            lsi_batcher_discarded(fx->machine, fx->action.lane, true, fx->now);
    }
}

static inline lsi_batcher_counts counts(const fixture *fx)
{
    lsi_batcher_counts out;

    lsi_batcher_counts_get(fx->machine, &out);
    return out;
}

#endif
