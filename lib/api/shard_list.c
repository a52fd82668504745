/* The exported functions of stream.h that list a stream's shards: what is asked for, and pages of it. Which shards that
 * are is said by stream/listing.c. */
#include "api/api.h"

#include <inttypes.h>

#include "base/status.h"

#define LIST_LIMIT 1000u
#define LIST_LIMIT_MAX 10000u

struct ls_shard_list {
    lsi_memory memory;
    lsi_listing listing;
    bool has_more;
    uint32_t count;
    lsi_shard shards[]; /* [count] */
};

static bool takes_time(ls_shard_filter filter)
{
    return filter == LS_SHARDS_AT_TIMESTAMP || filter == LS_SHARDS_FROM_TIMESTAMP;
}

static ls_status check_list_options(const ls_stream *stream, const ls_shard_list_options *options)
{
    int64_t now_us = lsi_wall_us(&stream->store->env.clock);

    if (options->filter < LS_SHARDS_FROM_TRIM_HORIZON || options->filter > LS_SHARDS_AFTER_SHARD_ID)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.filter is %" PRId32 ": the filters are %d..%d",
                        options->filter, LS_SHARDS_FROM_TRIM_HORIZON, LS_SHARDS_AFTER_SHARD_ID);
    if (options->limit > LIST_LIMIT_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.limit is %" PRIu32 ": it is 1..%u", options->limit,
                        LIST_LIMIT_MAX);
    if (options->page_end != 0)
        return LS_OK; /* ls_shard_list_next_page wrote it: the moment may be the end of time. */
    if (options->page_first != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.page_first is %" PRIu32 " without a page_end",
                        options->page_first);
    if (!takes_time(options->filter) && options->timestamp_us != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.timestamp_us is %" PRId64 ": filter %" PRId32 " takes none",
                        options->timestamp_us, options->filter);
    if (takes_time(options->filter) && options->timestamp_us > now_us)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.timestamp_us is %" PRId64 ": that is in the future",
                        options->timestamp_us);
    if (options->filter != LS_SHARDS_AFTER_SHARD_ID && options->after_shard != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.after_shard is %" PRIu32 ": filter %" PRId32 " takes none",
                        options->after_shard, options->filter);
    return LS_OK;
}

/* What the options ask for, of the stream as it is now or, for a page behind the first, as it was then. */
static lsi_listing listing_of(const lsi_stream_info *info, const ls_shard_list_options *options)
{
    lsi_listing made = {.end = info->shard_count > 0 ? info->shards[info->shard_count - 1].index + 1 : 0,
                        .from_us = info->horizon_us};

    made.is_moment = options->filter == LS_SHARDS_AT_TRIM_HORIZON || options->filter == LS_SHARDS_AT_LATEST ||
                     options->filter == LS_SHARDS_AT_TIMESTAMP;
    if (options->page_end != 0) {
        made.first = options->page_first;
        made.end = options->page_end;
        made.from_us = options->timestamp_us;
        return made;
    }
    if (options->filter == LS_SHARDS_AT_LATEST)
        made.from_us = INT64_MAX;
    else if (takes_time(options->filter) && options->timestamp_us > info->horizon_us)
        made.from_us = options->timestamp_us;
    if (options->filter == LS_SHARDS_AFTER_SHARD_ID)
        made.first = options->after_shard < UINT32_MAX ? options->after_shard + 1 : UINT32_MAX;
    return made;
}

/* The page, from a snapshot of the stream. */
static ls_status make_list(ls_stream *stream, const lsi_stream_info *info, const ls_shard_list_options *options,
                           ls_shard_list **out)
{
    const lsi_memory *memory = &stream->store->env.memory;
    uint32_t limit = options->limit != 0 ? options->limit : LIST_LIMIT;
    uint32_t *positions = lsi_alloc(memory, info->shard_count * sizeof *positions);
    bool *closed = lsi_alloc(memory, info->shard_count * sizeof *closed);
    lsi_listing listing = listing_of(info, options);
    ls_shard_list *list = NULL;

    if (positions != NULL && closed != NULL) {
        bool more;
        uint32_t count = lsi_listing_take(&listing, info->shards, info->shard_count, limit, positions, closed, &more);

        list = lsi_alloc(memory, sizeof *list + count * sizeof *list->shards);
        if (list != NULL) {
            *list = (ls_shard_list){.memory = *memory, .listing = listing, .has_more = more, .count = count};
            for (uint32_t i = 0; i < count; i++) {
                lsi_shard *shard = &list->shards[i];

                *shard = info->shards[positions[i]];
                if (!closed[positions[i]]) { /* Split since the first page, perhaps. */
                    shard->closed = false;
                    shard->closed_us = 0;
                    shard->last_seqno = LS_SEQNO_NONE;
                }
            }
        }
    }
    lsi_free(memory, positions);
    lsi_free(memory, closed);
    if (list == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory to list %" PRIu32 " shards of stream '%s'", info->shard_count,
                        stream->name);
    *out = list;
    return LS_OK;
}

ls_status ls_stream_list_shards(ls_stream *stream, const ls_shard_list_options *options, ls_shard_list **out)
{
    ls_shard_list_options own;
    lsi_stream_info info = {0};
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(stream->store);
    st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_shard_list_options, page_end));
    if (st == LS_OK)
        st = check_list_options(stream, &own);
    if (st == LS_OK)
        st = stream->store->engine->ops->info(stream->stream, &info);
    if (st == LS_OK)
        lsi_stream_hide_shards(&info);
    if (st == LS_OK)
        st = make_list(stream, &info, &own, out);
    lsi_stream_info_free(&info);
    return lsi_error_end(st);
}

uint32_t ls_shard_list_count(const ls_shard_list *list)
{
    return list == NULL ? 0 : list->count;
}

ls_status ls_shard_list_shard(const ls_shard_list *list, uint32_t position, ls_shard_info *out)
{
    const lsi_shard_state unknown = {.health = LS_OK};

    LSI_REFUSE_NULL(list);
    LSI_REFUSE_NULL(out);
    if (position >= list->count)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position is %" PRIu32 ": the page has %" PRIu32 " shards", position,
                        list->count);
    return lsi_shard_info_fill(&list->shards[position], &unknown, out);
}

int32_t ls_shard_list_next_page(const ls_shard_list *list, ls_shard_list_options *options)
{
    if (list == NULL || options == NULL || !list->has_more)
        return 0;
    options->page_first = list->shards[list->count - 1].index + 1;
    options->page_end = list->listing.end;
    options->timestamp_us = list->listing.from_us; /* What the first page took for it; a horizon moves on. */
    return 1;
}

void ls_shard_list_free(ls_shard_list *list)
{
    lsi_memory memory;

    if (list == NULL)
        return;
    memory = list->memory;
    lsi_free(&memory, list);
}
