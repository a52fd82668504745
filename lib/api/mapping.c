/* The exported functions of mapping.h: arguments and options are checked, then the room `consume` keeps the mapping. */
#include "api/api.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

#define LIST_LIMIT_DEFAULT 100u
#define LIST_LIMIT_MAX 10000u
#define KNOWN_INFO_BYTES LSI_SIZE_UP_TO(ls_mapping_info, name)
#define KNOWN_OPTIONS_BYTES LSI_SIZE_UP_TO(ls_mapping_options, consumer)

_Static_assert(sizeof(((ls_mapping_info *)0)->name) > LSI_STREAM_NAME_MAX, "a name fits with its end");

/* ---- changing ---- */

static ls_status take_options(const ls_mapping_options *options, ls_mapping_options *own)
{
    ls_status st = lsi_options_import(own, sizeof *own, options, KNOWN_OPTIONS_BYTES);

    if (st == LS_OK)
        lsi_mapping_options_resolve(own);
    return st;
}

/* What states of windows may take goes with the windows, when it is what the mapping has. */
static ls_status end_windows(ls_stream *stream, const char *name, ls_mapping_options *own)
{
    lsi_mapping *mapping = NULL;
    ls_status st;

    if (own->tumbling_window_s != 0 || own->window_state_bytes_max == 0)
        return LS_OK;
    st = lsi_mapping_load(stream->stream, name, &mapping);
    if (st == LS_OK && mapping->options.window_state_bytes_max == own->window_state_bytes_max)
        own->window_state_bytes_max = 0;
    lsi_mapping_free(mapping);
    return st;
}

ls_status ls_mapping_create(ls_stream *stream, const char *name, const ls_position *position,
                            const ls_mapping_options *options)
{
    ls_mapping_options own;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(position);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    st = take_options(options, &own);
    if (st == LS_OK)
        st = lsi_mapping_options_check(&own);
    return lsi_error_end(st == LS_OK ? lsi_mapping_create(stream->stream, name, position, &own) : st);
}

ls_status ls_mapping_update(ls_stream *stream, const char *name, const ls_mapping_options *options)
{
    ls_mapping_options own;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    st = take_options(options, &own);
    if (st == LS_OK)
        st = end_windows(stream, name, &own);
    if (st == LS_OK)
        st = lsi_mapping_options_check(&own);
    return lsi_error_end(st == LS_OK ? lsi_mapping_change(stream->stream, name, &own, 0) : st);
}

ls_status ls_mapping_pause(ls_stream *stream, const char *name)
{
    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    return lsi_error_end(lsi_mapping_change(stream->stream, name, NULL, LS_MAPPING_DISABLED));
}

ls_status ls_mapping_resume(ls_stream *stream, const char *name)
{
    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    return lsi_error_end(lsi_mapping_change(stream->stream, name, NULL, LS_MAPPING_ENABLED));
}

ls_status ls_mapping_seek(ls_stream *stream, const char *name, const ls_position *position)
{
    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(position);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    return lsi_error_end(lsi_mapping_seek(stream->stream, name, position));
}

ls_status ls_mapping_delete(ls_stream *stream, const char *name)
{
    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    return lsi_error_end(lsi_mapping_remove(stream->stream, name));
}

/* ---- looking ---- */

struct ls_mapping_description {
    lsi_mapping mapping; /* never by itself: what ls_mapping_describe gives out is a loaded lsi_mapping */
};

static ls_status check_info(const ls_mapping_info *out)
{
    return out->size >= KNOWN_INFO_BYTES
               ? LS_OK : lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", out->size);
}

static ls_mapping_info info_of(const lsi_mapping *mapping)
{
    ls_mapping_info info = {
        .status = mapping->status,
        .id = mapping->id,
        .created_us = mapping->created_us,
        .modified_us = mapping->modified_us,
        .start_timestamp_us = mapping->start_timestamp_us,
        .start = mapping->start_kind,
    };

    memcpy(info.name, mapping->name, strlen(mapping->name) + 1);
    return info;
}

static void give_info(ls_mapping_info info, ls_mapping_info *out)
{
    info.size = out->size;
    memcpy(out, &info, out->size < sizeof info ? out->size : sizeof info);
}

ls_status ls_mapping_describe(ls_stream *stream, const char *name, ls_mapping_description **out)
{
    lsi_mapping *mapping;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(stream->store);
    st = lsi_mapping_load(stream->stream, name, &mapping);
    if (st != LS_OK)
        return st;
    st = lsi_mapping_last_result(stream->stream, mapping, &mapping->last_result);
    if (st == LS_OK)
        *out = (ls_mapping_description *)mapping;
    else
        lsi_mapping_free(mapping);
    return lsi_error_end(st);
}

ls_mapping_result ls_mapping_description_last_result(const ls_mapping_description *description)
{
    return description == NULL ? LS_MAPPING_RESULT_NONE : ((const lsi_mapping *)description)->last_result;
}

ls_status ls_mapping_description_info(const ls_mapping_description *description, ls_mapping_info *out)
{
    ls_status st;

    LSI_REFUSE_NULL(description);
    LSI_REFUSE_NULL(out);
    st = check_info(out);
    if (st == LS_OK)
        give_info(info_of(&description->mapping), out);
    return st;
}

ls_status ls_mapping_description_options(const ls_mapping_description *description, ls_mapping_options *out)
{
    ls_mapping_options options;

    LSI_REFUSE_NULL(description);
    LSI_REFUSE_NULL(out);
    if (out->size < KNOWN_OPTIONS_BYTES)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", out->size);
    options = description->mapping.options;
    options.size = out->size;
    memcpy(out, &options, out->size < sizeof options ? out->size : sizeof options);
    return LS_OK;
}

void ls_mapping_description_free(ls_mapping_description *description)
{
    lsi_mapping_free((lsi_mapping *)description);
}

/* ---- listing ---- */

struct ls_mapping_list {
    lsi_memory memory;
    const char *after;
    uint32_t limit;
    size_t count, capacity;
    bool has_more, is_short_of_memory;
    ls_mapping_info *infos;
};

static bool keep(void *user, const lsi_mapping *mapping)
{
    ls_mapping_list *list = user;

    if (strcmp(mapping->name, list->after) <= 0)
        return true;
    list->has_more = list->count == list->limit;
    if (list->has_more)
        return false;
    list->is_short_of_memory = !lsi_grow(&list->memory, (void **)&list->infos, &list->capacity, list->count + 1,
                                         sizeof *list->infos);
    if (!list->is_short_of_memory)
        list->infos[list->count++] = info_of(mapping);
    return !list->is_short_of_memory;
}

ls_status ls_stream_list_mappings(ls_stream *stream, const char *after, uint32_t limit, ls_mapping_list **out)
{
    ls_mapping_list *list;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(stream->store);
    if (limit > LIST_LIMIT_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "limit is %" PRIu32 ": it is at most %u", limit, LIST_LIMIT_MAX);
    list = lsi_alloc_zero(&stream->store->env.memory, sizeof *list);
    if (list == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a list of mappings", stream->name);
    list->memory = stream->store->env.memory;
    list->after = after != NULL ? after : "";
    list->limit = limit != 0 ? limit : LIST_LIMIT_DEFAULT;
    st = lsi_mapping_each(stream->stream, keep, list);
    list->after = NULL; /* borrowed until return */
    if (st == LS_OK && list->is_short_of_memory)
        st = lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a list of mappings", stream->name);
    if (st != LS_OK) {
        ls_mapping_list_free(list);
        return st;
    }
    *out = list;
    return lsi_error_end(LS_OK);
}

uint32_t ls_mapping_list_count(const ls_mapping_list *list)
{
    return list == NULL ? 0 : (uint32_t)list->count;
}

ls_status ls_mapping_list_at(const ls_mapping_list *list, uint32_t position, ls_mapping_info *out)
{
    ls_status st;

    LSI_REFUSE_NULL(list);
    LSI_REFUSE_NULL(out);
    if (position >= list->count)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position is %" PRIu32 ": the page has %zu mappings", position,
                        list->count);
    st = check_info(out);
    if (st == LS_OK)
        give_info(list->infos[position], out);
    return st;
}

int32_t ls_mapping_list_has_more(const ls_mapping_list *list)
{
    return list != NULL && list->has_more;
}

void ls_mapping_list_free(ls_mapping_list *list)
{
    lsi_memory memory;

    if (list == NULL)
        return;
    memory = list->memory;
    lsi_free(&memory, list->infos);
    lsi_free(&memory, list);
}
