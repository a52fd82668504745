/* What was found of one rule becomes part of what is known of it, and the callback is told what comes of that.
 *
 *     read what is known -> tell what is untold in this shard -> count what is new, up to where the rule fires
 *          ^                                                                    |
 *          |------------ somebody was faster, or it fired <--------- write all of it, if nobody was faster
 *
 * A1  What makes a rule fire is stored, as untold, before the callback is told; and that it was told, afterwards.
 *     So a process that is killed in between leaves an alert that is untold, and not one that nobody hears of. The same
 *     holds of the report that a rule cannot fire.
 * A2  Only who is shown the shard's batch tells what is untold there; of such a report who looks does, too, since the
 *     shard may have no batch any more in which there is anything to note. Shards are shown in order, one batch at a
 *     time, so whoever meets an untold alert comes behind a process that is gone, or after a refusal: nobody else is
 *     telling it.
 * A3  A record is counted in the write that moves the shard's row behind it: once, however often it is shown.
 * A4  What is known belongs to the rule's words as they were when it began: of others it is nothing. */
#include "consume/alert/alert.h"

#include <string.h>

#include "base/status.h"

/* ---- reading and writing ---- */

typedef struct reading {
    lsi_alert_state *state;
    size_t key_size;
    ls_status st;
    lsi_error_state error; /* when it is not LS_OK: a reading that succeeds leaves the last one alone */
} reading;

static bool take_state(void *user, const lsi_state_entry *entry)
{
    reading *of = user;

    if (entry->key.size == of->key_size)
        of->st = lsi_alert_state_decode(of->state, entry);
    if (of->st != LS_OK)
        lsi_error_save(&of->error);
    return false; /* It is the first of those that begin like it. */
}

/* `out` is for lsi_alert_state_clear, whatever comes of it. */
static ls_status load(lsi_engine_stream *stream, const lsi_alert_rule *rule, lsi_alert_state *out)
{
    char text[LSI_ALERT_KEY_BYTES];
    ls_bytes key = lsi_alert_key(LSI_ALERTED_PREFIX, rule->name, text);
    reading of = {.state = out, .key_size = key.size, .st = LS_OK};
    ls_status st;

    *out = (lsi_alert_state){.memory = stream->engine->env.memory, .version = LSI_STATE_NONE};
    st = stream->engine->ops->state_read(stream, key, take_state, &of);
    if (st == LS_OK && of.st != LS_OK) {
        lsi_error_restore(&of.error);
        st = of.st;
    }
    if (st == LS_OK && out->of != rule->version) { /* A4 */
        uint64_t version = out->version;

        lsi_alert_state_clear(out);
        out->version = version;
        out->of = rule->version;
    }
    return st;
}

static ls_status write(lsi_engine_stream *stream, const lsi_alert_rule *rule, const lsi_alert_state *state,
                       bool *is_done)
{
    const lsi_memory *memory = &stream->engine->env.memory;
    char text[LSI_ALERT_KEY_BYTES];
    lsi_state_change change = {.key = lsi_alert_key(LSI_ALERTED_PREFIX, rule->name, text),
                               .expected = state->version};
    uint32_t at;
    ls_status st = lsi_alert_state_encode(memory, state, &change.value);

    if (st != LS_OK)
        return st;
    st = stream->engine->ops->state_write(stream, &change, 1, &at);
    *is_done = st == LS_OK && at == 1;
    lsi_free(memory, (void *)(uintptr_t)change.value.data);
    return st;
}

/* Whether the rule still says what it said. */
static ls_status is_current(lsi_engine_stream *stream, const lsi_alert_rule *rule, bool *out)
{
    lsi_alert_rule *now;
    ls_status st = lsi_alert_load(stream, rule->name, &now);

    *out = st == LS_OK && now->version == rule->version;
    if (st == LS_OK)
        lsi_alert_rule_free(now);
    return st == LS_ERR_NOT_FOUND ? LS_OK : st;
}

/* ---- telling ---- */

static ls_status tell(const lsi_alerts *alerts, const lsi_alert_rule *rule, ls_alert *what,
                      const lsi_alert_notes *notes)
{
    int32_t answer;

    what->size = (uint32_t)sizeof *what;
    what->name = rule->name;
    what->stream = alerts->stream->name;
    what->observed_count = notes->observed;
    what->value_count = notes->values;
    what->least = notes->least;
    what->greatest = notes->greatest;
    (void)lsi_error_end(LS_OK);
    answer = alerts->callback(what, alerts->user);
    lsi_error_begin();
    return answer == 0 ? LS_OK : lsi_fail(LS_ERR_CANCELLED, "stream '%s' alert '%s': the callback refused it",
                                             alerts->stream->name, rule->name);
}

static ls_status tell_fired(const lsi_alerts *alerts, const lsi_alert_rule *rule, const lsi_alert_state *state,
                            const lsi_alert_row *row)
{
    ls_alert what = {
        .kind = LS_ALERT_FIRED,
        .value = row->value,
        .count = row->count,
        .window_start_us = row->window_start_us,
        .window_end_us = row->window_start_us + (int64_t)rule->options.window_ms * 1000,
        .at_us = row->at_us,
        .first = row->first,
        .record = {row->seqno, row->shard, 0},
    };

    return tell(alerts, rule, &what, &state->notes);
}

/* ---- the loop ---- */

/* What is found of a rule, and how far that has become part of what is known. */
typedef struct settling {
    const lsi_alerts *alerts;
    const lsi_alert_rule *rule;
    const lsi_alert_findings *findings;
    size_t done;   /* so many items are counted, and that is stored */
    bool is_noted; /* the notes are stored */
    bool was_told; /* what is untold in the shard: that is not stored yet */
    bool was_reported; /* the same of the report that it cannot fire */
} settling;

static ls_status tell_untold(settling *of, lsi_alert_state *state, bool *is_changed)
{
    lsi_alert_row *row = lsi_alert_row_find(state, of->findings->shard);
    ls_status st = LS_OK;

    if (row == NULL || !row->is_untold)
        return LS_OK;
    if (!of->was_told)
        st = tell_fired(of->alerts, of->rule, state, row); /* A2 */
    of->was_told = st == LS_OK;
    if (of->was_told) {
        row->is_untold = false;
        state->fired++;
        *is_changed = true;
    }
    return st;
}

static ls_status tell_report(settling *of, lsi_alert_state *state, bool *is_changed)
{
    uint32_t shard = of->findings->shard;
    ls_alert what = {.kind = LS_ALERT_CANNOT_FIRE};
    bool still_holds = of->findings->item_count == 0 && lsi_alert_cannot_fire(state, &of->rule->options);
    ls_status st = LS_OK;

    if (!state->is_reporting || (shard != state->reporting_shard && shard != LS_NO_SHARD))
        return LS_OK;
    if (still_holds && !of->was_reported)
        st = tell(of->alerts, of->rule, &what, &state->notes);
    if (st != LS_OK)
        return st;
    of->was_reported = still_holds;
    state->is_reporting = false;
    state->reporting_shard = 0;
    state->is_reported = of->was_reported;
    *is_changed = true;
    return LS_OK;
}

/* Counts items from `*at` on, up to where the rule fires. */
static ls_status count_items(const settling *of, lsi_alert_state *state, size_t *at, bool *is_changed, bool *fires)
{
    const lsi_alert_findings *findings = of->findings;
    ls_status st = LS_OK;

    *fires = false;
    for (; *at < findings->item_count && st == LS_OK && !*fires; (*at)++) {
        if (!lsi_alert_is_new(lsi_alert_row_find(state, findings->shard), &findings->items[*at]))
            continue;
        st = lsi_alert_count(state, &of->rule->options, findings->shard, &findings->items[*at], fires);
        *is_changed = *is_changed || st == LS_OK;
    }
    return st;
}

/* Once around. `*again`: somebody was faster, or it fired and has to be told. */
static ls_status go_round(settling *of, lsi_alert_state *state, bool *again)
{
    bool is_changed = false, is_done = true, reports = false, fires = false;
    size_t at = of->done;
    ls_status st = tell_untold(of, state, &is_changed);

    if (st == LS_OK)
        st = tell_report(of, state, &is_changed);
    if (st == LS_OK && !of->is_noted) {
        lsi_alert_notes_add(&state->notes, &of->findings->notes);
        is_changed = true;
    }
    if (st == LS_OK)
        st = count_items(of, state, &at, &is_changed, &fires);
    if (st == LS_OK && !state->is_reported && !state->is_reporting &&
        lsi_alert_cannot_fire(state, &of->rule->options)) {
        state->is_reporting = reports = is_changed = true;
        state->reporting_shard = of->findings->shard;
    }
    if (st == LS_OK && is_changed)
        st = write(of->alerts->stream, of->rule, state, &is_done); /* A1, A3 */
    *again = fires || reports || !is_done;
    if (st != LS_OK || !is_done)
        return st;
    of->done = at;
    of->is_noted = true;
    of->was_told = of->was_reported = false;
    return LS_OK;
}

ls_status lsi_alert_settle(const lsi_alerts *alerts, const lsi_alert_rule *rule, const lsi_alert_findings *findings,
                           bool *is_noted)
{
    settling of = {alerts, rule, findings, 0, findings->notes.observed == 0, false, false};
    bool again = true;
    ls_status st = LS_OK;

    while (st == LS_OK && again) {
        lsi_alert_state state;

        st = load(alerts->stream, rule, &state);
        if (st == LS_OK)
            st = is_current(alerts->stream, rule, &again); /* Of one that has changed nothing is worth keeping. */
        if (st == LS_OK && again)
            st = go_round(&of, &state, &again);
        lsi_alert_state_clear(&state);
    }
    *is_noted = of.is_noted;
    return st;
}

/* ---- looking ---- */

ls_status lsi_alert_look(lsi_engine_stream *stream, const lsi_alert_rule *rule, ls_alert_info *out)
{
    lsi_alert_state state;
    ls_status st = load(stream, rule, &state);

    if (st == LS_OK) {
        *out = (ls_alert_info){
            .cannot_fire = lsi_alert_cannot_fire(&state, &rule->options),
            .created_us = rule->created_us,
            .modified_us = rule->modified_us,
            .observed_count = state.notes.observed,
            .value_count = state.notes.values,
            .passed_count = state.passed,
            .fired_count = state.fired,
            .least = state.notes.least,
            .greatest = state.notes.greatest,
            .last_fired_us = state.last_fired_us,
        };
        memcpy(out->name, rule->name, strlen(rule->name) + 1);
    }
    lsi_alert_state_clear(&state);
    return st;
}
