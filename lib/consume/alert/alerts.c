/* The handle that evaluates a stream's rules: it shows a batch to all of them, and takes looks at metrics.
 *
 * Rules are read anew each time, from the table that the engine keeps: so a change counts at once. Of what was noted
 * without anything having passed the handle keeps a little in memory, since a durable write for each batch would cost
 * more than the batch. */
#include "consume/alert/alert.h"

#include <math.h>

#include "base/json.h"
#include "base/status.h"

#define MEMOS_MAX (2 * LS_ALERTS_MAX) /* of rules that were changed since, too */

ls_status lsi_alerts_open(lsi_engine_stream *stream, ls_alert_callback callback, void *user, lsi_alerts **out)
{
    const lsi_memory *memory = &stream->engine->env.memory;
    lsi_json_reader *reader;
    lsi_alerts *alerts;
    ls_status st = lsi_json_reader_open(memory, 0, &reader);

    if (st != LS_OK)
        return st;
    lsi_json_reader_close(reader);
    alerts = lsi_alloc_zero(memory, sizeof *alerts);
    if (alerts == NULL || lsi_lock_init(&alerts->lock) != 0) {
        lsi_free(memory, alerts);
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for its alerts", stream->name);
    }
    alerts->memory = *memory;
    alerts->stream = stream;
    alerts->callback = callback;
    alerts->user = user;
    *out = alerts;
    return LS_OK;
}

void lsi_alerts_free(lsi_alerts *alerts)
{
    lsi_memory memory = alerts->memory;

    lsi_free(&memory, alerts->memos);
    lsi_free(&memory, alerts);
}

/* ---- memos: with the lock held ---- */

/* Made when there is none; NULL: no memory. */
static lsi_alert_memo *memo_of(lsi_alerts *alerts, uint64_t version)
{
    for (size_t i = 0; i < alerts->memo_count; i++)
        if (alerts->memos[i].of == version)
            return &alerts->memos[i];
    if (alerts->memo_count == MEMOS_MAX) /* Most are of rules that are no more. */
        alerts->memo_count = 0;
    if (!lsi_grow(&alerts->memory, (void **)&alerts->memos, &alerts->memo_capacity, alerts->memo_count + 1,
                  sizeof *alerts->memos))
        return NULL;
    alerts->memos[alerts->memo_count] = (lsi_alert_memo){.of = version};
    return &alerts->memos[alerts->memo_count++];
}

static void take_notes(lsi_alerts *alerts, uint64_t version, lsi_alert_notes *to)
{
    lsi_alert_memo *memo;

    lsi_lock_hold(&alerts->lock, LSI_RANK_LOCAL);
    memo = memo_of(alerts, version);
    if (memo != NULL) {
        lsi_alert_notes_add(to, &memo->notes);
        memo->notes = (lsi_alert_notes){.observed = 0};
    }
    lsi_lock_release(&alerts->lock, LSI_RANK_LOCAL);
}

static void keep_notes(lsi_alerts *alerts, uint64_t version, const lsi_alert_notes *notes)
{
    lsi_alert_memo *memo;

    lsi_lock_hold(&alerts->lock, LSI_RANK_LOCAL);
    memo = memo_of(alerts, version);
    if (memo != NULL)
        lsi_alert_notes_add(&memo->notes, notes);
    lsi_lock_release(&alerts->lock, LSI_RANK_LOCAL);
}

/* ---- records ---- */

/* Without anything that passes, notes of so many records are kept in memory. */
static uint64_t notes_max(const ls_alert_options *options)
{
    return options->observed_min < LSI_ALERT_NOTES_MAX ? options->observed_min : LSI_ALERT_NOTES_MAX;
}

/* `is_last`: whatever was noted is stored, and what another was to report is told. */
static ls_status settle(lsi_alerts *alerts, const lsi_alert_rule *rule, lsi_alert_findings *findings, bool is_last)
{
    bool is_noted = false;
    ls_status st = LS_OK;

    take_notes(alerts, rule->version, &findings->notes);
    if (findings->item_count != 0 || findings->notes.observed >= notes_max(&rule->options) || is_last)
        st = lsi_alert_settle(alerts, rule, findings, &is_noted);
    if (!is_noted)
        keep_notes(alerts, rule->version, &findings->notes);
    return st;
}

/* What the batch has for each rule. */
static ls_status find_values(const lsi_alerts *alerts, const lsi_alert_rules *rules, const ls_batch *batch,
                             lsi_alert_findings *findings)
{
    lsi_alert_values *values;
    ls_status st = lsi_alert_values_open(&alerts->memory, rules->rules, rules->count, &values);

    if (st != LS_OK)
        return st;
    for (size_t i = 0; i < rules->count; i++)
        findings[i].shard = batch->shard;
    for (uint32_t i = 0; i < batch->count && st == LS_OK; i++)
        st = lsi_alert_values_find(values, &batch->records[i], findings);
    lsi_alert_values_close(values);
    return st;
}

ls_status lsi_alerts_observe(lsi_alerts *alerts, const ls_batch *batch)
{
    lsi_alert_findings *findings = NULL;
    lsi_error_state why;
    lsi_alert_rules rules;
    ls_status st, first = LS_OK;

    if (batch->count == 0)
        return LS_OK;
    st = lsi_alert_load_all(alerts->stream, &rules);
    if (st != LS_OK || rules.count == 0)
        return st;
    findings = lsi_alloc_zero(&alerts->memory, rules.count * sizeof *findings);
    st = findings == NULL ? lsi_fail(LS_ERR_NO_MEMORY, "no memory for what is found of %zu alerts", rules.count)
                          : find_values(alerts, &rules, batch, findings);
    for (size_t i = 0; i < rules.count && st == LS_OK; i++) /* One that fails does not silence the others. */
        if (rules.rules[i]->options.field != NULL)
            lsi_error_note_first(settle(alerts, rules.rules[i], &findings[i], false), &first, &why);
    if (st == LS_OK && first != LS_OK) {
        lsi_error_restore(&why);
        st = first;
    }
    for (size_t i = 0; i < rules.count && findings != NULL; i++)
        lsi_free(&alerts->memory, findings[i].items);
    lsi_free(&alerts->memory, findings);
    lsi_alert_rules_free(&rules);
    return st;
}

/* ---- looks ---- */

/* What has the metric grown by in a second since the look before? False: nobody knows. */
static bool take_rate(lsi_alerts *alerts, uint64_t version, double *value)
{
    int64_t now_us = lsi_monotonic_us(&alerts->stream->engine->env.clock);
    lsi_alert_memo *memo;
    double now = *value;
    bool is_known = false;

    lsi_lock_hold(&alerts->lock, LSI_RANK_LOCAL);
    memo = memo_of(alerts, version);
    if (memo != NULL) {
        is_known = memo->has_last && now >= memo->last && now_us > memo->last_us;
        if (is_known)
            *value = (now - memo->last) * 1e6 / (double)(now_us - memo->last_us);
        memo->has_last = true;
        memo->last = now;
        memo->last_us = now_us;
    }
    lsi_lock_release(&alerts->lock, LSI_RANK_LOCAL);
    return is_known;
}

static ls_status look(lsi_alerts *alerts, const lsi_alert_rule *rule, lsi_alert_metric *metric, void *user)
{
    const ls_alert_options *options = &rule->options;
    lsi_alert_findings findings = {.shard = LS_NO_SHARD, .notes = {.observed = 1}};
    lsi_alert_item item = {.at_us = lsi_wall_us(&alerts->stream->engine->env.clock)};
    double value = 0;
    bool has_value = metric(user, options, &value), is_noted;

    if (has_value && (options->flags & LS_ALERT_RATE) != 0 && !take_rate(alerts, rule->version, &value))
        return LS_OK; /* There is no look to judge yet. */
    if (has_value && isfinite(value)) {
        lsi_alert_notes notes = {0, 1, 1, value, value};

        lsi_alert_notes_add(&findings.notes, &notes);
        item.value = value;
        findings.items = &item;
        findings.item_count = lsi_alert_compares(options, value);
    }
    return lsi_alert_settle(alerts, rule, &findings, &is_noted);
}

static ls_status store_notes(lsi_alerts *alerts, const lsi_alert_rule *rule)
{
    lsi_alert_findings findings = {.shard = LS_NO_SHARD};

    return settle(alerts, rule, &findings, true);
}

ls_status lsi_alerts_check(lsi_alerts *alerts, ls_status (*begin)(void *user), lsi_alert_metric *metric, void *user)
{
    bool has_begun = false;
    lsi_error_state why;
    lsi_alert_rules rules;
    ls_status first = LS_OK, st = lsi_alert_load_all(alerts->stream, &rules);

    for (size_t i = 0; st == LS_OK && i < rules.count; i++) {
        const lsi_alert_rule *rule = rules.rules[i];

        if (rule->options.metric != NULL && !has_begun) {
            st = begin(user);
            has_begun = true;
        }
        if (st == LS_OK)
            lsi_error_note_first(rule->options.metric != NULL ? look(alerts, rule, metric, user)
                                                              : store_notes(alerts, rule), &first, &why);
    }
    if (st == LS_OK && first != LS_OK) {
        lsi_error_restore(&why);
        st = first;
    }
    lsi_alert_rules_free(&rules);
    return st;
}

ls_status lsi_alerts_flush(lsi_alerts *alerts)
{
    lsi_alert_rules rules;
    ls_status st = lsi_alert_load_all(alerts->stream, &rules);

    for (size_t i = 0; st == LS_OK && i < rules.count; i++)
        if (rules.rules[i]->options.field != NULL)
            st = store_notes(alerts, rules.rules[i]);
    lsi_alert_rules_free(&rules);
    return st;
}
