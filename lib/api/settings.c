/* The exported functions of stream.h that change a stream's settings, and its tags. */
#include "api/api.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

/* ---- changing ---- */

/* `call`: the function that was called. */
static ls_status update(ls_stream *stream, const char *call, const lsi_stream_change *change)
{
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_ENTER(stream->store);
    st = lsi_store_require(stream->store, LSI_MAY_CHANGE, call);
    return lsi_error_end(st == LS_OK ? stream->store->engine->ops->update(stream->stream, change) : st);
}

ls_status ls_stream_increase_retention(ls_stream *stream, uint32_t hours)
{
    return update(stream, __func__, &(lsi_stream_change){.kind = LSI_CHANGE_RETENTION_UP, .value = hours});
}

ls_status ls_stream_decrease_retention(ls_stream *stream, uint32_t hours)
{
    return update(stream, __func__, &(lsi_stream_change){.kind = LSI_CHANGE_RETENTION_DOWN, .value = hours});
}

ls_status ls_stream_set_retention_bytes(ls_stream *stream, uint64_t bytes)
{
    return update(stream, __func__, &(lsi_stream_change){.kind = LSI_CHANGE_RETENTION_BYTES, .value = bytes});
}

ls_status ls_stream_set_mode(ls_stream *stream, ls_stream_mode mode)
{
    if (mode != LS_STREAM_ON_DEMAND && mode != LS_STREAM_PROVISIONED)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "mode is %" PRId32 ": it is %d or %d", mode, LS_STREAM_ON_DEMAND,
                        LS_STREAM_PROVISIONED);
    return update(stream, __func__, &(lsi_stream_change){.kind = LSI_CHANGE_MODE, .value = (uint64_t)mode});
}

ls_status lsi_check_rates(lsi_rates rates)
{
    return lsi_rates_are_valid(rates)
               ? LS_OK
               : lsi_fail(LS_ERR_INVALID_ARGUMENT, "write_bytes_per_second is %" PRIu32 " and read_bytes_per_second %"
                          PRIu32 ": the least is %u", rates.write_bytes, rates.read_bytes, LSI_RATE_BYTES_MIN);
}

ls_status ls_stream_set_limits(ls_stream *stream, const ls_stream_limits *limits)
{
    lsi_stream_change change = {.kind = LSI_CHANGE_RATES};
    ls_stream_limits own;
    ls_status st = lsi_options_import(&own, sizeof own, limits,
                                      LSI_SIZE_UP_TO(ls_stream_limits, read_calls_per_second));

    if (st != LS_OK)
        return st;
    change.rates = (lsi_rates){own.write_bytes_per_second, own.write_records_per_second, own.read_bytes_per_second,
                               own.read_calls_per_second};
    st = lsi_check_rates(change.rates);
    return st == LS_OK ? update(stream, __func__, &change) : st;
}

ls_status ls_stream_set_record_bytes_max(ls_stream *stream, uint32_t bytes)
{
    if (bytes < LSI_RECORD_BYTES_MIN_LIMIT || bytes > LSI_RECORD_BYTES_MAX_LIMIT)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "bytes is %" PRIu32 ": it is %u..%u", bytes,
                        LSI_RECORD_BYTES_MIN_LIMIT, LSI_RECORD_BYTES_MAX_LIMIT);
    return update(stream, __func__, &(lsi_stream_change){.kind = LSI_CHANGE_RECORD_BYTES_MAX, .value = bytes});
}

ls_status ls_stream_set_auto_scaling(ls_stream *stream, const ls_auto_scaling *options)
{
    lsi_stream_change change = {.kind = LSI_CHANGE_AUTO_SCALING};
    ls_auto_scaling own;
    ls_status st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_auto_scaling, shards_max));

    if (st == LS_OK && own.enabled != 0 && own.enabled != 1)
        st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "enabled is %" PRId32 ": it is 0 or 1", own.enabled);
    if (st == LS_OK && own.enabled == 1) {
        change.auto_scaling = lsi_auto_scaling_resolve((lsi_auto_scaling){
            .hot_percent = own.hot_percent, .hot_seconds = own.hot_seconds, .cold_percent = own.cold_percent,
            .cold_seconds = own.cold_seconds, .shards_min = own.shards_min, .shards_max = own.shards_max});
        st = lsi_check_auto_scaling(&change.auto_scaling);
    }
    return st == LS_OK ? update(stream, __func__, &change) : st;
}

ls_status ls_stream_set_recompression(ls_stream *stream, int32_t enabled)
{
    if (enabled != 0 && enabled != 1)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "enabled is %" PRId32 ": it is 0 or 1", enabled);
    return update(stream, __func__, &(lsi_stream_change){.kind = LSI_CHANGE_RECOMPRESSION, .value = (uint64_t)enabled});
}

ls_status ls_stream_recompress(ls_stream *stream, int64_t timeout_ms, uint64_t *saved_bytes)
{
    uint64_t saved = 0;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    if (timeout_ms < -1)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "timeout_ms is %" PRId64 ": it is -1 or more", timeout_ms);
    st = stream->store->engine->ops->recompress(stream->stream, timeout_ms, &saved);
    if (saved_bytes != NULL)
        *saved_bytes = saved;
    return lsi_error_end(st);
}

ls_status ls_stream_add_tags(ls_stream *stream, const ls_tag *tags, uint32_t count)
{
    if (count > 0)
        LSI_REFUSE_NULL(tags);
    return update(stream, __func__, &(lsi_stream_change){.kind = LSI_CHANGE_TAGS_ADD, .tags = tags, .count = count});
}

ls_status ls_stream_remove_tags(ls_stream *stream, const char *const *keys, uint32_t count)
{
    if (count > 0)
        LSI_REFUSE_NULL(keys);
    return update(stream, __func__, &(lsi_stream_change){.kind = LSI_CHANGE_TAGS_REMOVE, .keys = keys, .count = count});
}

/* ---- listing ---- */

struct ls_tag_list {
    lsi_memory memory; /* A list may outlive its store's env, not its allocator. */
    const char *after;
    uint32_t limit, count;
    bool has_more, is_out_of_memory;
    ls_tag tags[LSI_TAGS_MAX]; /* each key is the beginning of one allocation, its value follows */
};

static bool keep_tag(void *user, const ls_tag *tag)
{
    ls_tag_list *list = user;
    size_t key_bytes = strlen(tag->key) + 1, value_bytes = strlen(tag->value) + 1;
    char *text;

    if (strcmp(tag->key, list->after) <= 0)
        return true;
    if (list->count == list->limit) {
        list->has_more = true;
        return false;
    }
    text = lsi_alloc(&list->memory, key_bytes + value_bytes);
    if (text == NULL) {
        list->is_out_of_memory = true;
        return false;
    }
    memcpy(text, tag->key, key_bytes);
    memcpy(text + key_bytes, tag->value, value_bytes);
    list->tags[list->count++] = (ls_tag){text, text + key_bytes};
    return true;
}

ls_status ls_stream_list_tags(ls_stream *stream, const char *after, uint32_t limit, ls_tag_list **out)
{
    ls_tag_list *list;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(stream->store);
    if (limit > LSI_TAGS_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "limit is %" PRIu32 ": it is at most %u", limit, LSI_TAGS_MAX);
    list = lsi_alloc_zero(&stream->store->env.memory, sizeof *list);
    if (list == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a list of tags");
    list->memory = stream->store->env.memory;
    list->after = after == NULL ? "" : after;
    list->limit = limit == 0 ? LSI_TAGS_MAX : limit;
    st = stream->store->engine->ops->tags(stream->stream, keep_tag, list);
    if (st == LS_OK && list->is_out_of_memory)
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for a list of tags");
    if (st != LS_OK) {
        ls_tag_list_free(list);
        return st;
    }
    *out = list;
    return lsi_error_end(LS_OK);
}

uint32_t ls_tag_list_count(const ls_tag_list *list)
{
    return list == NULL ? 0 : list->count;
}

ls_tag ls_tag_list_at(const ls_tag_list *list, uint32_t index)
{
    return list == NULL || index >= list->count ? (ls_tag){NULL, NULL} : list->tags[index];
}

int32_t ls_tag_list_has_more(const ls_tag_list *list)
{
    return list != NULL && list->has_more;
}

void ls_tag_list_free(ls_tag_list *list)
{
    lsi_memory memory;

    if (list == NULL)
        return;
    memory = list->memory;
    for (uint32_t i = 0; i < list->count; i++)
        lsi_free(&memory, (void *)(uintptr_t)list->tags[i].key); /* It was not const when it was made. */
    lsi_free(&memory, list);
}
