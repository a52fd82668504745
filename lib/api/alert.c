/* The exported functions of alert.h that keep rules: arguments and options are checked, then the room `consume` keeps
 * them. */
#include "api/api.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

#define KNOWN_OPTIONS_BYTES LSI_SIZE_UP_TO(ls_alert_options, observed_min)
#define KNOWN_INFO_BYTES LSI_SIZE_UP_TO(ls_alert_info, name)

_Static_assert(sizeof(((ls_alert_info *)0)->name) > LSI_STREAM_NAME_MAX, "a name fits with its end");

/* ---- changing ---- */

static ls_status take_options(const ls_alert_options *options, ls_alert_options *own)
{
    ls_status st = lsi_options_import(own, sizeof *own, options, KNOWN_OPTIONS_BYTES);

    if (st != LS_OK)
        return st;
    lsi_alert_options_resolve(own);
    return lsi_alert_options_check(own);
}

ls_status ls_alert_create(ls_stream *stream, const char *name, const ls_alert_options *options)
{
    ls_alert_options own;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(options);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    st = take_options(options, &own);
    return lsi_error_end(st == LS_OK ? lsi_alert_create(stream->stream, name, &own) : st);
}

ls_status ls_alert_update(ls_stream *stream, const char *name, const ls_alert_options *options)
{
    ls_alert_options own;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(options);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    st = take_options(options, &own);
    return lsi_error_end(st == LS_OK ? lsi_alert_update(stream->stream, name, &own) : st);
}

ls_status ls_alert_delete(ls_stream *stream, const char *name)
{
    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    return lsi_error_end(lsi_alert_remove(stream->stream, name));
}

/* ---- looking ---- */

struct ls_alert_description {
    lsi_memory memory;
    lsi_alert_rule *rule;
    ls_alert_info info;
};

static ls_status give_info(const ls_alert_info *info, ls_alert_info *out)
{
    uint32_t size = out->size;

    if (size < KNOWN_INFO_BYTES)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", size);
    memcpy(out, info, size < sizeof *info ? size : sizeof *info);
    out->size = size;
    return LS_OK;
}

ls_status ls_alert_describe(ls_stream *stream, const char *name, ls_alert_description **out)
{
    ls_alert_description *description;
    lsi_alert_rule *rule;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(stream->store);
    st = lsi_alert_load(stream->stream, name, &rule);
    if (st != LS_OK)
        return st;
    description = lsi_alloc_zero(&rule->memory, sizeof *description);
    st = description == NULL ? lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for an alert", stream->name)
                             : lsi_alert_look(stream->stream, rule, &description->info);
    if (st != LS_OK) {
        lsi_free(&rule->memory, description);
        lsi_alert_rule_free(rule);
        return st;
    }
    description->memory = rule->memory;
    description->rule = rule;
    *out = description;
    return lsi_error_end(LS_OK);
}

ls_status ls_alert_description_info(const ls_alert_description *description, ls_alert_info *out)
{
    LSI_REFUSE_NULL(description);
    LSI_REFUSE_NULL(out);
    return give_info(&description->info, out);
}

ls_status ls_alert_description_options(const ls_alert_description *description, ls_alert_options *out)
{
    ls_alert_options options;

    LSI_REFUSE_NULL(description);
    LSI_REFUSE_NULL(out);
    if (out->size < KNOWN_OPTIONS_BYTES)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", out->size);
    options = description->rule->options;
    options.size = out->size;
    memcpy(out, &options, out->size < sizeof options ? out->size : sizeof options);
    return LS_OK;
}

void ls_alert_description_free(ls_alert_description *description)
{
    lsi_memory memory;

    if (description == NULL)
        return;
    memory = description->memory;
    lsi_alert_rule_free(description->rule);
    lsi_free(&memory, description);
}

/* ---- listing ---- */

struct ls_alert_list {
    lsi_memory memory;
    size_t count;
    ls_alert_info infos[];
};

ls_status ls_stream_list_alerts(ls_stream *stream, ls_alert_list **out)
{
    lsi_alert_rules rules;
    ls_alert_list *list;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(stream->store);
    st = lsi_alert_load_all(stream->stream, &rules);
    if (st != LS_OK)
        return st;
    list = lsi_alloc_zero(&rules.memory, sizeof *list + rules.count * sizeof list->infos[0]);
    if (list == NULL)
        st = lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a list of alerts", stream->name);
    for (size_t i = 0; i < rules.count && st == LS_OK; i++)
        st = lsi_alert_look(stream->stream, rules.rules[i], &list->infos[i]);
    if (st == LS_OK) {
        list->memory = rules.memory;
        list->count = rules.count;
        *out = list;
    } else {
        lsi_free(&rules.memory, list);
    }
    lsi_alert_rules_free(&rules);
    return lsi_error_end(st);
}

uint32_t ls_alert_list_count(const ls_alert_list *list)
{
    return list == NULL ? 0 : (uint32_t)list->count;
}

ls_status ls_alert_list_at(const ls_alert_list *list, uint32_t position, ls_alert_info *out)
{
    LSI_REFUSE_NULL(list);
    LSI_REFUSE_NULL(out);
    if (position >= list->count)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position is %" PRIu32 ": there are %zu alerts", position,
                        list->count);
    return give_info(&list->infos[position], out);
}

void ls_alert_list_free(ls_alert_list *list)
{
    lsi_memory memory;

    if (list == NULL)
        return;
    memory = list->memory;
    lsi_free(&memory, list);
}
