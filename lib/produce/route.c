/* Which shard takes a record: the open shards of the stream, sorted, kept per producer until the stream's generation
 * says that they changed.
 *
 * The table is rebuilt beside the old one and swapped in whole, so a failure leaves a producer as it was. The arrays by
 * shard index (`ends`, `counts`) only grow: indexes are never used again, and what was appended to a closed shard still
 * has to be flushed. */
#include "produce/producer.h"

#include <string.h>

#include "base/patience.h"
#include "base/status.h"

/* Between looks while no other shards show yet; whoever publishes them may not wake those who wait for records. */
#define LOOK_AGAIN_US 2000

/* Grows an array by shard index to `limit` elements, the new ones zero. */
static bool grow_by_shard(const lsi_memory *memory, void **array, uint32_t had, uint32_t limit, size_t element_bytes)
{
    void *larger = lsi_resize(memory, *array, (size_t)limit * element_bytes);

    if (larger == NULL)
        return false;
    memset((unsigned char *)larger + (size_t)had * element_bytes, 0, (size_t)(limit - had) * element_bytes);
    *array = larger;
    return true;
}

/* `ends` and `counts` reach every shard of `info`. */
static bool cover_shards(lsi_producer *producer, const lsi_stream_info *info)
{
    const lsi_memory *memory = &producer->env->memory;
    uint32_t had = producer->shard_limit;
    uint32_t limit = had;

    for (uint32_t i = 0; i < info->shard_count; i++)
        if (info->shards[i].index >= limit)
            limit = info->shards[i].index + 1;
    if (limit == had)
        return true;
    /* When the second fails the first is longer than shard_limit says, which harms nobody. */
    if (!grow_by_shard(memory, (void **)&producer->ends, had, limit, sizeof(*producer->ends)) ||
        !grow_by_shard(memory, (void **)&producer->counts, had, limit, sizeof(*producer->counts)))
        return false;
    producer->shard_limit = limit;
    return true;
}

ls_status lsi_route_rebuild(lsi_producer *producer)
{
    const lsi_memory *memory = &producer->env->memory;
    lsi_stream_info info = {0};
    ls_hash_key *firsts = NULL;
    uint32_t *indexes = NULL;
    uint32_t open_count;
    ls_status st;

    st = producer->ops->info(producer->stream, &info);
    if (st != LS_OK)
        return st;
    firsts = lsi_alloc(memory, info.shard_count * sizeof(*firsts));
    indexes = lsi_alloc(memory, info.shard_count * sizeof(*indexes));
    if (firsts == NULL || indexes == NULL || !cover_shards(producer, &info)) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for the routes to %u shards", info.name,
                      info.shard_count);
        goto fail;
    }
    st = lsi_route_build(info.shards, info.shard_count, firsts, indexes, &open_count);
    if (st != LS_OK)
        goto fail;
    lsi_free(memory, producer->firsts);
    lsi_free(memory, producer->indexes);
    producer->firsts = firsts;
    producer->indexes = indexes;
    producer->route = (lsi_route){.count = open_count, .firsts = firsts, .shards = indexes};
    producer->record_bytes_max = info.record_bytes_max;
    producer->is_provisioned = info.mode == LS_STREAM_PROVISIONED;
    producer->is_limited = producer->is_provisioned || producer->has_faults;
    producer->rates = info.rates;
    memcpy(producer->name, info.name, sizeof(producer->name));
    producer->stream_id = info.id;
    producer->generation = info.generation; /* of what was read, not of now: a change since is seen next time */
    producer->is_routed = true;
    lsi_stream_info_free(&info);
    return LS_OK;
fail:
    lsi_free(memory, firsts);
    lsi_free(memory, indexes);
    lsi_stream_info_free(&info);
    return st;
}

ls_status lsi_route_wait(lsi_producer *producer, uint64_t generation, uint32_t shard, int64_t *deadline_us)
{
    const lsi_clock *clock = &producer->env->clock;
    uint32_t limit_ms = producer->env->busy_timeout_ms;

    if (*deadline_us == 0)
        *deadline_us = lsi_monotonic_us(clock) + (int64_t)limit_ms * 1000;
    for (;;) {
        uint32_t token = producer->ops->arm(producer->stream, LSI_NO_SHARD);

        if (producer->ops->generation(producer->stream) != generation)
            return LS_OK;
        int64_t now_us = lsi_monotonic_us(clock);
        if (now_us >= *deadline_us || lsi_patience_us(limit_ms) <= 0)
            return lsi_fail(LS_ERR_BUSY, "shard %u is closed and its successors did not show within %u ms", shard,
                            limit_ms);
        (void)producer->ops->sleep(producer->stream, LSI_NO_SHARD, token, LOOK_AGAIN_US); /* Any end: look again. */
        lsi_patience_spend(lsi_monotonic_us(clock) - now_us);
    }
}
