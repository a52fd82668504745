/* The exported functions of stream.h that change or list a stream's shards. */
#include "api/api.h"

#include <inttypes.h>

#include "base/status.h"

/* What every one of them asks first. */
static ls_status check_writable(const ls_stream *stream)
{
    LSI_REFUSE_NULL(stream);
    LSI_ENTER(stream->store);
    return stream->store->engine->read_only
               ? lsi_fail(LS_ERR_READ_ONLY, "the store was opened for reading: it does not split or merge shards")
               : LS_OK;
}

/* The first key of the upper half. */
static ls_status find_middle(ls_stream *stream, uint32_t shard, ls_hash_key *out)
{
    lsi_stream_info info = {0};
    const lsi_shard *found;
    ls_status st = stream->store->engine->ops->info(stream->stream, &info);

    if (st != LS_OK)
        return st;
    found = lsi_shard_find(info.shards, info.shard_count, shard);
    if (found != NULL)
        *out = lsi_hash_range_middle(found->range);
    else
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no shard %" PRIu32, stream->name, shard);
    lsi_stream_info_free(&info);
    return st;
}

ls_status ls_stream_split(ls_stream *stream, uint32_t shard, const ls_hash_key *new_starting_hash_key, uint32_t *lower,
                          uint32_t *upper)
{
    lsi_reshard_step step = {.shard = shard, .adjacent = LSI_NO_SHARD};
    uint32_t first;
    ls_status st = check_writable(stream);

    if (st == LS_OK && new_starting_hash_key != NULL)
        step.at = *new_starting_hash_key;
    else if (st == LS_OK)
        st = find_middle(stream, shard, &step.at);
    if (st == LS_OK)
        st = stream->store->engine->ops->reshard(stream->stream, &step, 1, &first);
    if (st != LS_OK)
        return st;
    if (lower != NULL)
        *lower = first;
    if (upper != NULL)
        *upper = first + 1;
    return LS_OK;
}

ls_status ls_stream_merge(ls_stream *stream, uint32_t shard, uint32_t adjacent_shard, uint32_t *child)
{
    lsi_reshard_step step = {.shard = shard, .adjacent = adjacent_shard};
    uint32_t first;
    ls_status st = check_writable(stream);

    if (st == LS_OK && adjacent_shard == LSI_NO_SHARD) /* The engine would take it for a split. */
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no shard %" PRIu32, stream->name, adjacent_shard);
    if (st == LS_OK)
        st = stream->store->engine->ops->reshard(stream->stream, &step, 1, &first);
    if (st == LS_OK && child != NULL)
        *child = first;
    return st;
}
