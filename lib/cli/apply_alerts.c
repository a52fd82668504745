/* Alert rules of a template: in the words of AWS::CloudWatch::Alarm, with fields of records besides metrics. */
#include "cli/apply.h"

#include <stdlib.h>
#include <string.h>

#define LABELS_MAX 30

typedef struct alert_plan {
    ls_alert_options is, to;
    ls_label labels[LABELS_MAX];
    ls_alert_description *description; /* what `is` points into */
} alert_plan;

/* ---- what the template says ---- */

typedef struct alert_said {
    const char *name, *stream, *field, *metric;
    int32_t comparison, rate;
    int64_t count, window_ms, cooldown_ms, observed;
    const lsi_node *threshold, *dimensions;
} alert_said;

#define AT(field) offsetof(alert_said, field)
/* In the order of LS_ALERT_ comparisons, which begin at 1. */
static const char *const comparisons[] = {"GreaterThanThreshold", "GreaterThanOrEqualToThreshold", "LessThanThreshold",
                                          "LessThanOrEqualToThreshold", "EqualToThreshold", "NotEqualToThreshold",
                                          NULL};
static const lsi_take takes[] = {
    {"AlarmName", LSI_TAKE_TEXT, AT(name), true, 0, 0, NULL},
    {"StreamName", LSI_TAKE_TEXT, AT(stream), true, 0, 0, NULL},
    {"Field", LSI_TAKE_TEXT, AT(field), false, 0, 0, NULL},
    {"MetricName", LSI_TAKE_TEXT, AT(metric), false, 0, 0, NULL},
    {"Dimensions", LSI_TAKE_LIST, AT(dimensions), false, 0, 0, NULL},
    {"Rate", LSI_TAKE_BOOL, AT(rate), false, 0, 0, NULL},
    {"ComparisonOperator", LSI_TAKE_WORD, AT(comparison), true, 0, 0, comparisons},
    {"Threshold", LSI_TAKE_NODE, AT(threshold), true, 0, 0, NULL},
    {"DatapointsToAlarm", LSI_TAKE_NUMBER, AT(count), false, 1, 1000000000, NULL},
    {"PeriodMilliseconds", LSI_TAKE_NUMBER, AT(window_ms), false, 1, 86400000, NULL},
    {"CooldownMilliseconds", LSI_TAKE_NUMBER, AT(cooldown_ms), false, 0, 604800000, NULL},
    {"ObservedMinimum", LSI_TAKE_NUMBER, AT(observed), false, 1, 1000000000, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};
static const lsi_take dimension_takes[] = {
    {"Name", LSI_TAKE_TEXT, offsetof(ls_label, name), true, 0, 0, NULL},
    {"Value", LSI_TAKE_STRING, offsetof(ls_label, value), true, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};

static int begin(lsi_apply *apply, lsi_thing *thing)
{
    const lsi_node *name = lsi_node_member(thing->node, "AlarmName");
    const lsi_node *stream = lsi_node_member(thing->node, "StreamName");
    alert_plan *plan = thing->wanted;

    (void)apply;
    plan->is = (ls_alert_options)LS_ALERT_OPTIONS_INIT;
    thing->name = name != NULL ? name->text : NULL;
    thing->stream = stream != NULL ? stream->text : NULL;
    return LSI_EXIT_OK;
}

static int fill_dimensions(lsi_apply *apply, alert_plan *plan, const lsi_node *list)
{
    int code = LSI_EXIT_OK;

    if (list == NULL)
        return LSI_EXIT_OK;
    plan->to.label_count = 0;
    plan->to.labels = plan->labels;
    for (const lsi_node *at = list->first; at != NULL && code == LSI_EXIT_OK; at = at->next) {
        if (plan->to.label_count == LABELS_MAX)
            return lsi_template_refuse(&apply->template, at, "there are at most %d dimensions", LABELS_MAX);
        code = lsi_take_fields(&apply->template, at, dimension_takes, &plan->labels[plan->to.label_count++]);
    }
    return code;
}

static int fill_threshold(lsi_apply *apply, alert_plan *plan, const lsi_node *threshold)
{
    plan->to.text = threshold->kind == LSI_JSON_STRING ? threshold->text : NULL;
    plan->to.threshold = 0;
    if (plan->to.text != NULL)
        return LSI_EXIT_OK;
    if (threshold->kind != LSI_JSON_NUMBER)
        return lsi_template_refuse(&apply->template, threshold, "it is a number or a text");
    plan->to.threshold = strtod(threshold->text, NULL);
    return LSI_EXIT_OK;
}

static void say_number(int64_t said, uint32_t *to)
{
    if (said != LSI_NOT_SAID)
        *to = (uint32_t)said;
}

static int fill(lsi_apply *apply, lsi_thing *thing)
{
    alert_plan *plan = thing->wanted;
    alert_said said = {.rate = -1, .count = LSI_NOT_SAID, .window_ms = LSI_NOT_SAID, .cooldown_ms = LSI_NOT_SAID,
                       .observed = LSI_NOT_SAID};
    int code = lsi_take_fields(&apply->template, thing->node, takes, &said);

    if (code != LSI_EXIT_OK)
        return code;
    plan->to = plan->is;
    if (said.field != NULL || said.metric != NULL) { /* the one takes the other's place */
        plan->to.field = said.field;
        plan->to.metric = said.metric;
    }
    if (plan->to.metric == NULL)
        plan->to.label_count = plan->to.flags = 0;
    plan->to.comparison = said.comparison + 1;
    if (said.rate >= 0)
        plan->to.flags = said.rate != 0 ? LS_ALERT_RATE : 0;
    say_number(said.count, &plan->to.count_min);
    say_number(said.window_ms, &plan->to.window_ms);
    say_number(said.cooldown_ms, &plan->to.cooldown_ms);
    say_number(said.observed, &plan->to.observed_min);
    code = fill_threshold(apply, plan, said.threshold);
    return code == LSI_EXIT_OK ? fill_dimensions(apply, plan, said.dimensions) : code;
}

/* ---- what is there ---- */

static ls_status look(lsi_thing *thing, ls_stream *stream, bool *is_there)
{
    alert_plan *plan = thing->wanted;
    ls_status st = ls_alert_describe(stream, thing->name, &plan->description);

    *is_there = st == LS_OK;
    return st == LS_OK ? ls_alert_description_options(plan->description, &plan->is) : st;
}

static bool is_same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_same(const ls_alert_options *a, const ls_alert_options *b)
{
    bool same = a->comparison == b->comparison && is_same_text(a->field, b->field) &&
        is_same_text(a->metric, b->metric) && is_same_text(a->text, b->text) &&
        !(a->threshold < b->threshold) && !(a->threshold > b->threshold) && a->label_count == b->label_count &&
        a->flags == b->flags && a->count_min == b->count_min && a->window_ms == b->window_ms &&
        a->cooldown_ms == b->cooldown_ms && a->observed_min == b->observed_min;

    for (uint32_t i = 0; i < a->label_count && same; i++)
        same = strcmp(a->labels[i].name, b->labels[i].name) == 0 &&
            strcmp(a->labels[i].value, b->labels[i].value) == 0;
    return same;
}

static int compare(lsi_apply *apply, lsi_thing *thing, ls_stream *stream)
{
    const alert_plan *plan = thing->wanted;

    (void)apply;
    (void)stream;
    if (thing->state != LSI_THING_NEW && is_same(&plan->is, &plan->to))
        thing->state = LSI_THING_SAME;
    return LSI_EXIT_OK;
}

/* ---- changing ---- */

static ls_status make(const lsi_thing *thing, ls_store *store, ls_stream *stream)
{
    const alert_plan *plan = thing->wanted;

    (void)store;
    return ls_alert_create(stream, thing->name, &plan->to);
}

static ls_status change(const lsi_thing *thing, ls_store *store, ls_stream *stream)
{
    const alert_plan *plan = thing->wanted;

    (void)store;
    return ls_alert_update(stream, thing->name, &plan->to);
}

static ls_status remove_alert(const lsi_thing *thing, ls_store *store, ls_stream *stream)
{
    (void)store;
    return ls_alert_delete(stream, thing->name);
}

static void end(lsi_thing *thing)
{
    alert_plan *plan = thing->wanted;

    ls_alert_description_free(plan->description);
}

const lsi_apply_kind lsi_apply_alerts = {
    .section = "Alerts",
    .noun = "alert",
    .wanted_bytes = sizeof(alert_plan),
    .begin = begin,
    .fill = fill,
    .look = look,
    .compare = compare,
    .make = make,
    .change = change,
    .remove = remove_alert,
    .end = end,
};
