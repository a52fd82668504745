/* The exported functions of stream.h that change a stream's shards. */
#include "api/api.h"

#include <inttypes.h>

#include "base/status.h"

/* What every one of them asks first. */
static ls_status check_change(const ls_stream *stream, const char *call)
{
    LSI_REFUSE_NULL(stream);
    LSI_ENTER(stream->store);
    return lsi_store_require(stream->store, LSI_MAY_CHANGE, call);
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
    ls_status st = check_change(stream, __func__);

    if (st == LS_OK && new_starting_hash_key != NULL)
        step.at = *new_starting_hash_key;
    else if (st == LS_OK)
        st = find_middle(stream, shard, &step.at);
    if (st == LS_OK)
        st = stream->store->engine->ops->reshard(stream->stream, &step, 1, false, &first);
    if (st != LS_OK)
        return st;
    if (lower != NULL)
        *lower = first;
    if (upper != NULL)
        *upper = first + 1;
    return lsi_error_end(LS_OK);
}

ls_status ls_stream_merge(ls_stream *stream, uint32_t shard, uint32_t adjacent_shard, uint32_t *child)
{
    lsi_reshard_step step = {.shard = shard, .adjacent = adjacent_shard};
    uint32_t first;
    ls_status st = check_change(stream, __func__);

    if (st == LS_OK && adjacent_shard == LSI_NO_SHARD) /* The engine would take it for a split. */
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no shard %" PRIu32, stream->name, adjacent_shard);
    if (st == LS_OK)
        st = stream->store->engine->ops->reshard(stream->stream, &step, 1, false, &first);
    if (st == LS_OK && child != NULL)
        *child = first;
    return lsi_error_end(st);
}

/* ---- scaling ---- */

#define KINESIS_SHARD_COUNT_MAX 10000u
#define TRIES_MAX 100u /* rounds in which somebody else was faster */

/* The open shards, sorted, of a snapshot. Release with route_free. */
typedef struct open_shards {
    lsi_stream_info info;
    ls_hash_key *firsts;
    uint32_t *indexes;
    lsi_route route;
} open_shards;

static void open_shards_free(const lsi_memory *memory, open_shards *of)
{
    lsi_free(memory, of->firsts);
    lsi_free(memory, of->indexes);
    lsi_stream_info_free(&of->info);
    *of = (open_shards){.firsts = NULL};
}

static ls_status open_shards_take(ls_stream *stream, open_shards *out)
{
    const lsi_memory *memory = &stream->store->env.memory;
    uint32_t count;
    ls_status st;

    *out = (open_shards){.firsts = NULL};
    st = stream->store->engine->ops->info(stream->stream, &out->info);
    if (st != LS_OK)
        return st;
    out->firsts = lsi_alloc(memory, out->info.shard_count * sizeof *out->firsts);
    out->indexes = lsi_alloc(memory, out->info.shard_count * sizeof *out->indexes);
    if (out->firsts == NULL || out->indexes == NULL)
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for the %" PRIu32 " shards of stream '%s'", out->info.shard_count,
                      stream->name);
    if (st == LS_OK)
        st = lsi_route_build(out->info.shards, out->info.shard_count, out->firsts, out->indexes, &count);
    if (st != LS_OK) {
        open_shards_free(memory, out);
        return st;
    }
    out->route = (lsi_route){.count = count, .firsts = out->firsts, .shards = out->indexes};
    return LS_OK;
}

static ls_status check_target(const ls_stream *stream, uint32_t target, uint32_t now, uint32_t flags)
{
    if (target == 0 || target > LSI_SHARD_COUNT_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "shard_count is %" PRIu32 ": it is 1..%u", target,
                        LSI_SHARD_COUNT_MAX);
    if ((flags & LS_SCALE_KINESIS_LIMITS) == 0)
        return LS_OK;
    if (target > KINESIS_SHARD_COUNT_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "shard_count is %" PRIu32 ": Kinesis allows %u", target,
                        KINESIS_SHARD_COUNT_MAX);
    /* Half of an odd number is rounded up: 5 may become 3. */
    if (target > 2 * (uint64_t)now || target < now / 2 + now % 2)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "shard_count is %" PRIu32 ": stream '%s' has %" PRIu32 " open shards, "
                        "and Kinesis allows from half to double of that", target, stream->name, now);
    return LS_OK;
}

ls_status ls_stream_update_shard_count(ls_stream *stream, uint32_t shard_count, const ls_scale_options *options)
{
    lsi_reshard_step steps[LSI_RESHARD_STEPS_MAX];
    ls_scale_options own;
    open_shards open;
    uint32_t count = 1, first, tries = 0;
    bool has_begun = false;
    ls_status st = check_change(stream, __func__);

    if (st == LS_OK)
        st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_scale_options, flags));
    if (st == LS_OK && (own.flags & ~LS_SCALE_KINESIS_LIMITS) != 0)
        st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "unknown flags 0x%" PRIx32, own.flags);
    for (bool is_first = true; st == LS_OK && count > 0; is_first = false) {
        lsi_patience_begin(&stream->store->env); /* Each round is a call of its own. */
        st = open_shards_take(stream, &open);
        if (st != LS_OK)
            break;
        if (is_first && open.info.status != LS_STREAM_ACTIVE) /* also when there is nothing to do */
            st = lsi_fail(LS_ERR_STATE, "stream '%s' is not ACTIVE: only then is it scaled", stream->name);
        if (st == LS_OK && is_first)
            st = check_target(stream, shard_count, open.route.count, own.flags);
        count = st == LS_OK ? lsi_scale_steps(&open.route, shard_count, steps) : 0;
        if (count > 0) {
            st = stream->store->engine->ops->reshard(stream->stream, steps, count, has_begun, &first);
            has_begun = has_begun || st == LS_OK;
            /* Somebody else resharded meanwhile: what is to be done is seen anew. */
            if ((st == LS_ERR_STATE || st == LS_ERR_NOT_FOUND) && ++tries < TRIES_MAX &&
                stream->store->engine->ops->generation(stream->stream) != open.info.generation)
                st = LS_OK;
        }
        open_shards_free(&stream->store->env.memory, &open);
    }
    return lsi_error_end(st);
}
