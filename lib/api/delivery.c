/* The exported functions of delivery.h: arguments and options are checked, then the room `deliver` keeps the delivery.
 * */
#include "api/api.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

#define LIST_LIMIT_DEFAULT 100u
#define LIST_LIMIT_MAX 10000u
#define KNOWN_INFO_BYTES LSI_SIZE_UP_TO(ls_delivery_info, name)
#define KNOWN_OPTIONS_BYTES LSI_SIZE_UP_TO(ls_delivery_options, s3_region)

_Static_assert(sizeof(((ls_delivery_info *)0)->name) > LSI_STREAM_NAME_MAX, "a name fits with its end");

/* ---- changing ---- */

static ls_status take_options(const ls_delivery_options *options, ls_delivery_options *own)
{
    ls_status st = lsi_options_import(own, sizeof *own, options, KNOWN_OPTIONS_BYTES);

    if (st != LS_OK)
        return st;
    lsi_delivery_options_resolve(own);
    return lsi_delivery_options_check(own);
}

ls_status ls_delivery_create(ls_stream *stream, const char *name, const ls_position *position,
                             const ls_delivery_options *options)
{
    ls_delivery_options own;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(position);
    LSI_REFUSE_NULL(options);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    st = take_options(options, &own);
    return lsi_error_end(st == LS_OK ? lsi_delivery_create(stream->stream, name, position, &own) : st);
}

ls_status ls_delivery_update(ls_stream *stream, const char *name, uint32_t version, const ls_delivery_options *options)
{
    ls_delivery_options own;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(options);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    st = take_options(options, &own);
    return lsi_error_end(st == LS_OK ? lsi_delivery_change(stream->stream, name, version, &own) : st);
}

ls_status ls_delivery_delete(ls_stream *stream, const char *name)
{
    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    return lsi_error_end(lsi_delivery_remove(stream->stream, name));
}

/* ---- looking ---- */

struct ls_delivery_description {
    lsi_delivery delivery; /* never by itself: what ls_delivery_describe gives out is a loaded lsi_delivery */
};

static ls_status check_info(const ls_delivery_info *out)
{
    return out->size >= KNOWN_INFO_BYTES
               ? LS_OK : lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", out->size);
}

static ls_delivery_info info_of(const lsi_delivery *delivery)
{
    ls_delivery_info info = {
        .version = delivery->version,
        .id = delivery->id,
        .created_us = delivery->created_us,
        .modified_us = delivery->modified_us,
        .start_timestamp_us = delivery->start_timestamp_us,
        .start = delivery->start_kind,
    };

    memcpy(info.name, delivery->name, strlen(delivery->name) + 1);
    return info;
}

static void give_info(ls_delivery_info info, ls_delivery_info *out)
{
    info.size = out->size;
    memcpy(out, &info, out->size < sizeof info ? out->size : sizeof info);
}

ls_status ls_delivery_describe(ls_stream *stream, const char *name, ls_delivery_description **out)
{
    lsi_delivery *delivery;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(stream->store);
    st = lsi_delivery_load(stream->stream, name, &delivery);
    if (st != LS_OK)
        return st;
    *out = (ls_delivery_description *)delivery;
    return lsi_error_end(LS_OK);
}

ls_status ls_delivery_description_info(const ls_delivery_description *description, ls_delivery_info *out)
{
    ls_status st;

    LSI_REFUSE_NULL(description);
    LSI_REFUSE_NULL(out);
    st = check_info(out);
    if (st == LS_OK)
        give_info(info_of(&description->delivery), out);
    return st;
}

ls_status ls_delivery_description_options(const ls_delivery_description *description, ls_delivery_options *out)
{
    ls_delivery_options options;

    LSI_REFUSE_NULL(description);
    LSI_REFUSE_NULL(out);
    if (out->size < KNOWN_OPTIONS_BYTES)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", out->size);
    options = description->delivery.options;
    options.size = out->size;
    memcpy(out, &options, out->size < sizeof options ? out->size : sizeof options);
    return LS_OK;
}

void ls_delivery_description_free(ls_delivery_description *description)
{
    lsi_delivery_free((lsi_delivery *)description);
}

/* ---- listing ---- */

struct ls_delivery_list {
    lsi_memory memory;
    const char *after;
    uint32_t limit;
    size_t count, capacity;
    bool has_more, is_short_of_memory;
    ls_delivery_info *infos;
};

static bool keep(void *user, const lsi_delivery *delivery)
{
    ls_delivery_list *list = user;

    if (strcmp(delivery->name, list->after) <= 0)
        return true;
    list->has_more = list->count == list->limit;
    if (list->has_more)
        return false;
    list->is_short_of_memory = !lsi_grow(&list->memory, (void **)&list->infos, &list->capacity, list->count + 1,
                                         sizeof *list->infos);
    if (!list->is_short_of_memory)
        list->infos[list->count++] = info_of(delivery);
    return !list->is_short_of_memory;
}

ls_status ls_stream_list_deliveries(ls_stream *stream, const char *after, uint32_t limit, ls_delivery_list **out)
{
    ls_delivery_list *list;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(stream->store);
    if (limit > LIST_LIMIT_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "limit is %" PRIu32 ": it is at most %u", limit, LIST_LIMIT_MAX);
    list = lsi_alloc_zero(&stream->store->env.memory, sizeof *list);
    if (list == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a list of deliveries", stream->name);
    list->memory = stream->store->env.memory;
    list->after = after != NULL ? after : "";
    list->limit = limit != 0 ? limit : LIST_LIMIT_DEFAULT;
    st = lsi_delivery_each(stream->stream, keep, list);
    list->after = NULL; /* borrowed until return */
    if (st == LS_OK && list->is_short_of_memory)
        st = lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a list of deliveries", stream->name);
    if (st != LS_OK) {
        ls_delivery_list_free(list);
        return st;
    }
    *out = list;
    return lsi_error_end(LS_OK);
}

uint32_t ls_delivery_list_count(const ls_delivery_list *list)
{
    return list == NULL ? 0 : (uint32_t)list->count;
}

ls_status ls_delivery_list_at(const ls_delivery_list *list, uint32_t position, ls_delivery_info *out)
{
    ls_status st;

    LSI_REFUSE_NULL(list);
    LSI_REFUSE_NULL(out);
    if (position >= list->count)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position is %" PRIu32 ": the page has %zu deliveries", position,
                        list->count);
    st = check_info(out);
    if (st == LS_OK)
        give_info(list->infos[position], out);
    return st;
}

int32_t ls_delivery_list_has_more(const ls_delivery_list *list)
{
    return list != NULL && list->has_more;
}

void ls_delivery_list_free(ls_delivery_list *list)
{
    lsi_memory memory;

    if (list == NULL)
        return;
    memory = list->memory;
    lsi_free(&memory, list->infos);
    lsi_free(&memory, list);
}
