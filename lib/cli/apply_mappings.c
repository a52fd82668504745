/* Mappings of a template: in the words of AWS::Lambda::EventSourceMapping, whose function's name is the mapping's. */
#include "cli/apply.h"

#include <stdlib.h>
#include <string.h>

typedef struct mapping_plan {
    ls_mapping_options is, to;
    int32_t is_enabled, wants_enabled;
    lsi_start start;
    ls_position_kind began; /* of one that is there */
    int64_t began_us;
    const char *filters[LS_MAPPING_FILTERS_MAX];
    ls_mapping_description *description; /* what `is` points into */
} mapping_plan;

/* ---- where it begins, of deliveries too ---- */

const char *const lsi_start_words[] = {"TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", NULL};
static const ls_position_kind start_kinds[] = {LS_TRIM_HORIZON, LS_LATEST, LS_AT_TIMESTAMP};

ls_position lsi_start_position(const lsi_start *start)
{
    return (ls_position){.kind = start_kinds[start->position],
                         .timestamp_us = start->timestamp_us == LSI_NOT_SAID ? 0 : start->timestamp_us};
}

int lsi_start_check(lsi_apply *apply, const lsi_thing *thing, const lsi_start *start, ls_position_kind kind,
                    int64_t timestamp_us)
{
    const lsi_node *node = lsi_node_member(thing->node, "StartingPosition");
    const lsi_node *time = lsi_node_member(thing->node, "StartingPositionTimestamp");
    bool has_time = start->timestamp_us != LSI_NOT_SAID;

    if (node == NULL && time != NULL)
        return lsi_template_refuse(&apply->template, time, "it is for StartingPosition AT_TIMESTAMP");
    if (node != NULL && has_time != (start_kinds[start->position] == LS_AT_TIMESTAMP))
        return lsi_template_refuse(&apply->template, node, has_time ? "only AT_TIMESTAMP takes a "
                                   "StartingPositionTimestamp" : "AT_TIMESTAMP needs StartingPositionTimestamp");
    if (thing->state == LSI_THING_NEW)
        return node != NULL ? LSI_EXIT_OK
                            : lsi_template_refuse(&apply->template, thing->node, "it needs \"StartingPosition\"");
    if (node == NULL || (start_kinds[start->position] == kind && (!has_time || start->timestamp_us == timestamp_us)))
        return LSI_EXIT_OK;
    return lsi_template_refuse(&apply->template, node, "it cannot be changed: the %s '%s' is there and began elsewhere",
                               thing->kind->noun, thing->name);
}

/* ---- what the template says ---- */

typedef struct mapping_said {
    const char *name, *stream, *consumer, *destination;
    int64_t batch, bytes, window_s, lanes, retries, age_s, tumbling_s, state_bytes, timeout_ms, sync_ms;
    int32_t bisect, once, failed_only, document_bytes, deaggregate, enabled;
    lsi_start start;
    const lsi_node *destination_config, *on_failure, *criteria, *filters, *responses;
} mapping_said;

#define AT(field) offsetof(mapping_said, field)
static const lsi_take takes[] = {
    {"FunctionName", LSI_TAKE_TEXT, AT(name), true, 0, 0, NULL},
    {"StreamName", LSI_TAKE_TEXT, AT(stream), true, 0, 0, NULL},
    {"StartingPosition", LSI_TAKE_WORD, AT(start.position), false, 0, 0, lsi_start_words},
    {"StartingPositionTimestamp", LSI_TAKE_TIME, AT(start.timestamp_us), false, 0, 0, NULL},
    {"Enabled", LSI_TAKE_BOOL, AT(enabled), false, 0, 0, NULL},
    {"BatchSize", LSI_TAKE_NUMBER, AT(batch), false, 1, 10000, NULL},
    {"MaximumBatchBytes", LSI_TAKE_NUMBER, AT(bytes), false, 1, 1 << 30, NULL},
    {"MaximumBatchingWindowInSeconds", LSI_TAKE_NUMBER, AT(window_s), false, 0, 300, NULL},
    {"ParallelizationFactor", LSI_TAKE_NUMBER, AT(lanes), false, 1, 10, NULL},
    {"MaximumRetryAttempts", LSI_TAKE_NUMBER, AT(retries), false, -1, 10000, NULL},
    {"MaximumRecordAgeInSeconds", LSI_TAKE_NUMBER, AT(age_s), false, -1, 604800, NULL},
    {"BisectBatchOnFunctionError", LSI_TAKE_BOOL, AT(bisect), false, 0, 0, NULL},
    {"TumblingWindowInSeconds", LSI_TAKE_NUMBER, AT(tumbling_s), false, 0, 900, NULL},
    {"WindowStateBytes", LSI_TAKE_NUMBER, AT(state_bytes), false, 0, 6 << 20, NULL},
    {"FunctionResponseTypes", LSI_TAKE_LIST, AT(responses), false, 0, 0, NULL},
    {"FilterCriteria", LSI_TAKE_OBJECT, AT(criteria), false, 0, 0, NULL},
    {"DestinationConfig", LSI_TAKE_OBJECT, AT(destination_config), false, 0, 0, NULL},
    {"ConsumerName", LSI_TAKE_TEXT, AT(consumer), false, 0, 0, NULL},
    {"HandlerTimeoutMilliseconds", LSI_TAKE_NUMBER, AT(timeout_ms), false, -1, 900000, NULL},
    {"SyncIntervalMilliseconds", LSI_TAKE_NUMBER, AT(sync_ms), false, 1, 60000, NULL},
    {"ExactlyOnce", LSI_TAKE_BOOL, AT(once), false, 0, 0, NULL},
    {"DiscardFailedOnly", LSI_TAKE_BOOL, AT(failed_only), false, 0, 0, NULL},
    {"DeAggregate", LSI_TAKE_BOOL, AT(deaggregate), false, 0, 0, NULL},
    {"DocumentBytes", LSI_TAKE_BOOL, AT(document_bytes), false, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};
static const lsi_take criteria_takes[] = {
    {"Filters", LSI_TAKE_LIST, AT(filters), false, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};
static const lsi_take destination_takes[] = {
    {"OnFailure", LSI_TAKE_OBJECT, AT(on_failure), true, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};
static const lsi_take failure_takes[] = {
    {"Destination", LSI_TAKE_TEXT, AT(destination), true, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};
static const lsi_take filter_takes[] = {
    {"Pattern", LSI_TAKE_TEXT, 0, true, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};

static int begin(lsi_apply *apply, lsi_thing *thing)
{
    const lsi_node *name = lsi_node_member(thing->node, "FunctionName");
    const lsi_node *stream = lsi_node_member(thing->node, "StreamName");
    mapping_plan *plan = thing->wanted;

    (void)apply;
    plan->is = (ls_mapping_options)LS_MAPPING_OPTIONS_INIT;
    plan->is_enabled = 1;
    thing->name = name != NULL ? name->text : NULL;
    thing->stream = stream != NULL ? stream->text : NULL;
    return LSI_EXIT_OK;
}

static int fill_filters(lsi_apply *apply, mapping_plan *plan, const lsi_node *list)
{
    int code = LSI_EXIT_OK;

    if (list == NULL)
        return LSI_EXIT_OK;
    plan->to.filter_count = 0;
    plan->to.filters = plan->filters;
    for (const lsi_node *at = list->first; at != NULL && code == LSI_EXIT_OK; at = at->next) {
        if (plan->to.filter_count == LS_MAPPING_FILTERS_MAX)
            return lsi_template_refuse(&apply->template, at, "there are at most %u filters", LS_MAPPING_FILTERS_MAX);
        code = lsi_take_fields(&apply->template, at, filter_takes, &plan->filters[plan->to.filter_count++]);
    }
    return code;
}

static int fill_responses(lsi_apply *apply, mapping_plan *plan, const lsi_node *list)
{
    if (list == NULL)
        return LSI_EXIT_OK;
    plan->to.flags &= ~LS_MAPPING_REPORT_FAILURES;
    for (const lsi_node *at = list->first; at != NULL; at = at->next) {
        if (at->kind != LSI_JSON_STRING || strcmp(at->text, "ReportBatchItemFailures") != 0)
            return lsi_template_refuse(&apply->template, at, "it is \"ReportBatchItemFailures\"");
        plan->to.flags |= LS_MAPPING_REPORT_FAILURES;
    }
    return LSI_EXIT_OK;
}

static void say_number(int64_t said, uint32_t scale, uint32_t *to)
{
    if (said != LSI_NOT_SAID)
        *to = said < 0 ? 0 : (uint32_t)said * scale;
}

static void say_flag(int32_t said, uint32_t flag, uint32_t *to)
{
    if (said >= 0)
        *to = said != 0 ? *to | flag : *to & ~flag;
}

static void fill_settings(mapping_plan *plan, const mapping_said *said)
{
    ls_mapping_options *to = &plan->to;

    say_number(said->batch, 1, &to->records_max);
    if (said->bytes != LSI_NOT_SAID)
        to->bytes_max = (uint64_t)said->bytes;
    say_number(said->window_s, 1000, &to->batching_window_ms);
    say_number(said->lanes, 1, &to->lane_count);
    if (said->retries != LSI_NOT_SAID)
        to->retries_max = said->retries == 0 ? LS_MAPPING_NO_RETRIES : said->retries < 0 ? 0 : (int32_t)said->retries;
    say_number(said->age_s, 1, &to->record_age_s_max);
    say_number(said->tumbling_s, 1, &to->tumbling_window_s);
    say_number(said->state_bytes, 1, &to->window_state_bytes_max);
    if (said->timeout_ms != LSI_NOT_SAID)
        to->handler_timeout_ms = (int32_t)said->timeout_ms;
    say_number(said->sync_ms, 1, &to->sync_interval_ms);
    say_flag(said->bisect, LS_MAPPING_BISECT, &to->flags);
    say_flag(said->once, LS_MAPPING_EXACTLY_ONCE, &to->flags);
    say_flag(said->failed_only, LS_MAPPING_DISCARD_FAILED_ONLY, &to->flags);
    say_flag(said->deaggregate, LS_MAPPING_DEAGGREGATE, &to->flags);
    say_flag(said->document_bytes, LS_MAPPING_DOCUMENT_BYTES, &to->flags);
    if (said->destination != NULL)
        to->failure_stream = said->destination;
    if (said->consumer != NULL)
        to->consumer = said->consumer;
    plan->wants_enabled = said->enabled >= 0 ? said->enabled : plan->is_enabled;
    plan->start = said->start;
}

static int fill(lsi_apply *apply, lsi_thing *thing)
{
    const lsi_template *template = &apply->template;
    mapping_plan *plan = thing->wanted;
    mapping_said said = {.batch = LSI_NOT_SAID, .bytes = LSI_NOT_SAID, .window_s = LSI_NOT_SAID,
                         .lanes = LSI_NOT_SAID, .retries = LSI_NOT_SAID, .age_s = LSI_NOT_SAID,
                         .tumbling_s = LSI_NOT_SAID, .state_bytes = LSI_NOT_SAID, .timeout_ms = LSI_NOT_SAID,
                         .sync_ms = LSI_NOT_SAID, .bisect = -1, .once = -1, .failed_only = -1, .document_bytes = -1,
                         .deaggregate = -1, .enabled = -1, .start = {LSI_NO_WORD, LSI_NOT_SAID}};
    int code = lsi_take_fields(template, thing->node, takes, &said);

    if (code == LSI_EXIT_OK && said.criteria != NULL)
        code = lsi_take_fields(template, said.criteria, criteria_takes, &said);
    if (code == LSI_EXIT_OK && said.destination_config != NULL)
        code = lsi_take_fields(template, said.destination_config, destination_takes, &said);
    if (code == LSI_EXIT_OK && said.on_failure != NULL)
        code = lsi_take_fields(template, said.on_failure, failure_takes, &said);
    if (code != LSI_EXIT_OK)
        return code;
    plan->to = plan->is;
    fill_settings(plan, &said);
    code = fill_filters(apply, plan, said.filters);
    return code == LSI_EXIT_OK ? fill_responses(apply, plan, said.responses) : code;
}

/* ---- what is there ---- */

static ls_status look(lsi_thing *thing, ls_stream *stream, bool *is_there)
{
    mapping_plan *plan = thing->wanted;
    ls_mapping_info info = LS_MAPPING_INFO_INIT;
    ls_status st = ls_mapping_describe(stream, thing->name, &plan->description);

    *is_there = st == LS_OK;
    if (st == LS_OK)
        st = ls_mapping_description_options(plan->description, &plan->is);
    if (st == LS_OK)
        st = ls_mapping_description_info(plan->description, &info);
    plan->is_enabled = info.status == LS_MAPPING_ENABLED || !*is_there;
    plan->began = info.start;
    plan->began_us = info.start_timestamp_us;
    return st;
}

static bool is_same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool has_same_settings(const ls_mapping_options *a, const ls_mapping_options *b)
{
    bool is_same = a->flags == b->flags && a->bytes_max == b->bytes_max && a->records_max == b->records_max &&
        a->batching_window_ms == b->batching_window_ms && a->lane_count == b->lane_count &&
        a->retries_max == b->retries_max && a->record_age_s_max == b->record_age_s_max &&
        a->tumbling_window_s == b->tumbling_window_s && a->window_state_bytes_max == b->window_state_bytes_max &&
        a->handler_timeout_ms == b->handler_timeout_ms && a->sync_interval_ms == b->sync_interval_ms &&
        a->filter_count == b->filter_count && is_same_text(a->failure_stream, b->failure_stream) &&
        is_same_text(a->consumer, b->consumer);

    for (uint32_t i = 0; i < a->filter_count && is_same; i++)
        is_same = strcmp(a->filters[i], b->filters[i]) == 0;
    return is_same;
}

static int compare(lsi_apply *apply, lsi_thing *thing, ls_stream *stream)
{
    mapping_plan *plan = thing->wanted;
    int code = lsi_start_check(apply, thing, &plan->start, plan->began, plan->began_us);

    if (code != LSI_EXIT_OK)
        return code;
    code = lsi_apply_need_name(apply, thing, stream);
    if (code != LSI_EXIT_OK)
        return code;
    if (thing->state != LSI_THING_NEW && plan->is_enabled == plan->wants_enabled &&
        has_same_settings(&plan->is, &plan->to))
        thing->state = LSI_THING_SAME;
    return LSI_EXIT_OK;
}

/* ---- changing ---- */

static int prepare(lsi_apply *apply, const lsi_thing *thing, ls_stream *trial)
{
    const mapping_plan *plan = thing->wanted;
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_stream *stream = NULL;
    int code = LSI_EXIT_OK;

    if (plan->to.failure_stream != NULL)
        code = lsi_apply_need_stream(apply, thing->node, plan->to.failure_stream);
    if (code != LSI_EXIT_OK || plan->to.consumer == NULL || apply->store == NULL ||
        ls_stream_open(apply->store, thing->stream, &stream) != LS_OK)
        return code;
    if (ls_consumer_describe(stream, plan->to.consumer, &info) == LS_OK)
        (void)ls_consumer_register(trial, plan->to.consumer, NULL); /* That there is none is for the mapping to say. */
    (void)ls_stream_close(stream);
    return code;
}

static ls_status enable(const lsi_thing *thing, ls_stream *stream)
{
    const mapping_plan *plan = thing->wanted;

    if (plan->is_enabled == plan->wants_enabled)
        return LS_OK;
    return plan->wants_enabled ? ls_mapping_resume(stream, thing->name) : ls_mapping_pause(stream, thing->name);
}

static ls_status make(const lsi_thing *thing, ls_store *store, ls_stream *stream)
{
    const mapping_plan *plan = thing->wanted;
    ls_position position = {.kind = LS_TRIM_HORIZON};
    ls_status st;

    (void)store;
    if (plan->start.position != LSI_NO_WORD) /* Of one that is there it need not be said: the trial begins anywhere. */
        position = lsi_start_position(&plan->start);
    st = ls_mapping_create(stream, thing->name, &position, &plan->to);
    return st == LS_OK ? enable(thing, stream) : st;
}

static ls_status change(const lsi_thing *thing, ls_store *store, ls_stream *stream)
{
    const mapping_plan *plan = thing->wanted;
    ls_status st = has_same_settings(&plan->is, &plan->to) ? LS_OK : ls_mapping_update(stream, thing->name, &plan->to);

    (void)store;
    return st == LS_OK ? enable(thing, stream) : st;
}

static ls_status remove_mapping(const lsi_thing *thing, ls_store *store, ls_stream *stream)
{
    (void)store;
    return ls_mapping_delete(stream, thing->name);
}

static void end(lsi_thing *thing)
{
    mapping_plan *plan = thing->wanted;

    ls_mapping_description_free(plan->description);
}

const lsi_apply_kind lsi_apply_mappings = {
    .section = "Mappings",
    .noun = "mapping",
    .wanted_bytes = sizeof(mapping_plan),
    .begin = begin,
    .fill = fill,
    .look = look,
    .compare = compare,
    .prepare = prepare,
    .make = make,
    .change = change,
    .remove = remove_mapping,
    .end = end,
};
