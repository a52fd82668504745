/* Rules as they are kept: what they may say, and values of their stream's state, changed by compare and swap. What is
 * known of a rule goes in the same write in which the rule is made, changed or removed. */
#include "consume/alert/alert.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"

#define FIELD_BYTES_MAX 1024u
#define TEXT_BYTES_MAX 1024u
#define METRIC_BYTES_MAX 256u
#define LABELS_MAX 30u
#define COUNT_LIMIT 1000000000u
#define WINDOW_MS_DEFAULT 60000u
#define WINDOW_MS_LIMIT 86400000u
#define COOLDOWN_MS_LIMIT 604800000u
#define OBSERVED_MIN_DEFAULT 1000u

ls_bytes lsi_alert_key(const char *prefix, const char *name, char text[LSI_ALERT_KEY_BYTES])
{
    int size = snprintf(text, LSI_ALERT_KEY_BYTES, "%s%s", prefix, name); /* fits: the name was checked */

    return (ls_bytes){text, (size_t)size};
}

/* ---- what it says ---- */

void lsi_alert_options_resolve(ls_alert_options *options)
{
    options->size = (uint32_t)sizeof(*options);
    if (options->count_min == 0)
        options->count_min = 1;
    if (options->window_ms == 0)
        options->window_ms = WINDOW_MS_DEFAULT;
    if (options->observed_min == 0)
        options->observed_min = OBSERVED_MIN_DEFAULT;
}

static ls_status check_range(const char *field, uint32_t value, uint32_t least, uint32_t most)
{
    return value >= least && value <= most
               ? LS_OK
               : lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.%s is %" PRIu32 ": it is %" PRIu32 "..%" PRIu32, field,
                          value, least, most);
}

static ls_status check_size(const char *field, const char *text, size_t least, size_t most)
{
    size_t size = strlen(text);

    return size >= least && size <= most
               ? LS_OK
               : lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.%s has %zu bytes: it has %zu..%zu", field, size, least,
                          most);
}

static ls_status check_text(const ls_alert_options *options)
{
    if (options->field == NULL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.text is set: that is for a field, not for a metric");
    if (options->comparison != LS_ALERT_EQUAL && options->comparison != LS_ALERT_NOT_EQUAL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.comparison is %" PRId32 ": a text is compared by EQUAL (%d) "
                        "or NOT_EQUAL (%d)", options->comparison, LS_ALERT_EQUAL, LS_ALERT_NOT_EQUAL);
    if (options->threshold != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.threshold is set besides options.text");
    return check_size("text", options->text, 0, TEXT_BYTES_MAX);
}

static ls_status check_labels(const ls_alert_options *options)
{
    ls_status st = check_range("label_count", options->label_count, 0, LABELS_MAX);

    if (st != LS_OK || options->label_count == 0)
        return st;
    if (options->metric == NULL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.label_count is %" PRIu32 ": labels are for a metric",
                        options->label_count);
    if (options->labels == NULL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.labels is NULL, and options.label_count %" PRIu32,
                        options->label_count);
    for (uint32_t i = 0; i < options->label_count && st == LS_OK; i++) {
        if (options->labels[i].name == NULL || options->labels[i].value == NULL)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.labels[%" PRIu32 "] has no name or no value", i);
        st = check_size("labels[].name", options->labels[i].name, 1, METRIC_BYTES_MAX);
        if (st == LS_OK)
            st = check_size("labels[].value", options->labels[i].value, 0, TEXT_BYTES_MAX);
        for (uint32_t k = 0; k < i && st == LS_OK; k++)
            if (strcmp(options->labels[i].name, options->labels[k].name) == 0)
                return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.labels has '%s' twice", options->labels[i].name);
    }
    return st;
}

ls_status lsi_alert_options_check(const ls_alert_options *options)
{
    ls_status st;

    if ((options->field == NULL) == (options->metric == NULL))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "a rule is on a field or on a metric: options has %s",
                        options->field == NULL ? "neither" : "both");
    if (options->comparison < LS_ALERT_GREATER || options->comparison > LS_ALERT_NOT_EQUAL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.comparison is %" PRId32 ": it is %d..%d",
                        options->comparison, LS_ALERT_GREATER, LS_ALERT_NOT_EQUAL);
    if ((options->flags & ~LS_ALERT_RATE) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags has the unknown bits 0x%" PRIx32,
                        options->flags & ~LS_ALERT_RATE);
    if ((options->flags & LS_ALERT_RATE) != 0 && options->metric == NULL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags has LS_ALERT_RATE: a field has no rate");
    if (!isfinite(options->threshold))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.threshold is not a finite number");
    st = options->field != NULL ? check_size("field", options->field, 1, FIELD_BYTES_MAX)
                                : check_size("metric", options->metric, 1, METRIC_BYTES_MAX);
    if (st == LS_OK && options->text != NULL)
        st = check_text(options);
    if (st == LS_OK)
        st = check_labels(options);
    if (st == LS_OK)
        st = check_range("count_min", options->count_min, 1, COUNT_LIMIT);
    if (st == LS_OK)
        st = check_range("window_ms", options->window_ms, 1, WINDOW_MS_LIMIT);
    if (st == LS_OK)
        st = check_range("cooldown_ms", options->cooldown_ms, 0, COOLDOWN_MS_LIMIT);
    if (st == LS_OK)
        st = check_range("observed_min", options->observed_min, 1, COUNT_LIMIT);
    return st;
}

/* ---- finding ---- */

static ls_status take_rule(void *user, const lsi_state_entry *entry, bool *goes_on)
{
    lsi_alert_rules *rules = user;
    ls_status st;

    (void)goes_on;
    if (!lsi_grow(&rules->memory, (void **)&rules->rules, &rules->capacity, rules->count + 1, sizeof *rules->rules))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for %zu alert rules", rules->count + 1);
    st = lsi_alert_rule_decode(&rules->memory, entry, &rules->rules[rules->count]);
    if (st == LS_OK)
        rules->count++;
    return st;
}

static ls_status find(lsi_engine_stream *stream, ls_bytes key, bool is_whole, lsi_alert_rules *out)
{
    ls_status st;

    *out = (lsi_alert_rules){.memory = stream->engine->env.memory};
    st = is_whole ? lsi_kept_find(stream, key, take_rule, out) : lsi_kept_each(stream, key, take_rule, out);
    if (st != LS_OK)
        lsi_alert_rules_free(out);
    return st;
}

ls_status lsi_alert_load_all(lsi_engine_stream *stream, lsi_alert_rules *out)
{
    return find(stream, (ls_bytes){LSI_ALERT_PREFIX, sizeof(LSI_ALERT_PREFIX) - 1}, false, out);
}

void lsi_alert_rules_free(lsi_alert_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        lsi_alert_rule_free(rules->rules[i]);
    lsi_free(&rules->memory, rules->rules);
    *rules = (lsi_alert_rules){.memory = rules->memory};
}

ls_status lsi_alert_load(lsi_engine_stream *stream, const char *name, lsi_alert_rule **out)
{
    char text[LSI_ALERT_KEY_BYTES];
    lsi_alert_rules found;
    ls_status st = lsi_check_alert_name(name);

    if (st == LS_OK)
        st = find(stream, lsi_alert_key(LSI_ALERT_PREFIX, name, text), true, &found);
    if (st != LS_OK)
        return st;
    if (found.count == 0)
        return lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no alert '%s'", stream->name, name);
    *out = found.rules[0];
    found.count = 0;
    lsi_alert_rules_free(&found);
    return LS_OK;
}

/* ---- changing ---- */

/* Makes `rule` what it says, or takes it away, with what is known of it. `*is_done` false: somebody was faster. */
static ls_status write(lsi_engine_stream *stream, const lsi_alert_rule *rule, bool is_removed, bool *is_done)
{
    const lsi_memory *memory = &stream->engine->env.memory;
    char text[LSI_ALERT_KEY_BYTES], known[LSI_ALERT_KEY_BYTES];
    lsi_state_change changes[2] = {
        {.key = lsi_alert_key(LSI_ALERT_PREFIX, rule->name, text), .expected = rule->version},
        {.key = lsi_alert_key(LSI_ALERTED_PREFIX, rule->name, known), .expected = LSI_STATE_ANY},
    };
    uint32_t at;
    ls_status st = is_removed ? LS_OK : lsi_alert_rule_encode(memory, rule, &changes[0].value);

    if (st != LS_OK)
        return st;
    st = stream->engine->ops->state_write(stream, changes, 2, &at);
    *is_done = st == LS_OK && at == 2;
    lsi_free(memory, (void *)(uintptr_t)changes[0].value.data);
    return st;
}

static ls_status check_json(const ls_alert_options *options, const lsi_memory *memory)
{
    lsi_json_reader *reader;
    ls_status st = options->field == NULL ? LS_OK : lsi_json_reader_open(memory, 0, &reader);

    if (st == LS_OK && options->field != NULL)
        lsi_json_reader_close(reader);
    return st;
}

static ls_status check_room(lsi_engine_stream *stream, const char *name)
{
    lsi_alert_rules all;
    ls_status st = lsi_alert_load_all(stream, &all);

    if (st != LS_OK)
        return st;
    for (size_t i = 0; i < all.count && st == LS_OK; i++)
        if (strcmp(all.rules[i]->name, name) == 0)
            st = lsi_fail(LS_ERR_EXISTS, "stream '%s' has an alert '%s'", stream->name, name);
    if (st == LS_OK && all.count >= LS_ALERTS_MAX)
        st = lsi_fail(LS_ERR_STATE, "stream '%s' has %zu alerts, and no more are possible", stream->name, all.count);
    lsi_alert_rules_free(&all);
    return st;
}

ls_status lsi_alert_create(lsi_engine_stream *stream, const char *name, const ls_alert_options *options)
{
    lsi_alert_rule rule = {.version = LSI_STATE_NONE, .options = *options};
    bool is_done = false;
    ls_status st = lsi_check_alert_name(name);

    if (st == LS_OK)
        st = check_json(options, &stream->engine->env.memory);
    if (st != LS_OK)
        return st;
    memcpy(rule.name, name, strlen(name) + 1); /* fits: it was checked */
    rule.created_us = rule.modified_us = lsi_wall_us(&stream->engine->env.clock);
    while (st == LS_OK && !is_done) {
        st = check_room(stream, name);
        if (st == LS_OK)
            st = write(stream, &rule, false, &is_done);
    }
    return st;
}

/* `options` NULL: it goes. */
static ls_status change(lsi_engine_stream *stream, const char *name, const ls_alert_options *options)
{
    bool is_done = false;
    ls_status st = LS_OK;

    while (st == LS_OK && !is_done) {
        lsi_alert_rule *rule;

        st = lsi_alert_load(stream, name, &rule);
        if (st != LS_OK)
            return st;
        if (options != NULL) {
            rule->options = *options; /* Borrowed for as long. */
            rule->modified_us = lsi_wall_us(&stream->engine->env.clock);
        }
        st = write(stream, rule, options == NULL, &is_done);
        lsi_alert_rule_free(rule);
    }
    return st;
}

ls_status lsi_alert_update(lsi_engine_stream *stream, const char *name, const ls_alert_options *options)
{
    ls_status st = check_json(options, &stream->engine->env.memory);

    return st == LS_OK ? change(stream, name, options) : st;
}

ls_status lsi_alert_remove(lsi_engine_stream *stream, const char *name)
{
    return change(stream, name, NULL);
}
