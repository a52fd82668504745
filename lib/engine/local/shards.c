/* The shards of a stream in use: a table that only grows, at its end, and is read without a lock.
 *
 * A stream may be split a thousand times while a thousand threads put into it. So a shard stays where it is for as long
 * as the stream is in use, and what is added becomes visible by one store of the count. */
#include "engine/local/local.h"

#include "base/status.h"

/* Chunk k begins at position 2^k - 1. */
lsi_local_shard *lsi_local_shards_at(const lsi_local_shards *shards, uint32_t position)
{
    uint32_t k = 0;

    while (((position + 1) >> (k + 1)) != 0)
        k++;
    return &shards->chunks[k][position + 1 - (UINT32_C(1) << k)];
}

lsi_local_shard *lsi_local_shards_find(const lsi_local_shards *shards, uint32_t index)
{
    /* Acquire pairs with lsi_local_shards_add. */
    uint32_t count = atomic_load_explicit(&shards->count, memory_order_acquire);
    uint32_t low = 0, high = count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (lsi_local_shards_at(shards, middle)->index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && lsi_local_shards_at(shards, low)->index == index ? lsi_local_shards_at(shards, low) : NULL;
}

ls_status lsi_local_shards_add(const lsi_memory *memory, lsi_local_shards *shards, const lsi_catalog_stream *from)
{
    uint32_t count = atomic_load_explicit(&shards->count, memory_order_relaxed);

    for (uint32_t i = 0; i < from->shard_count; i++) {
        const lsi_shard *shard = &from->shards[i];
        uint32_t k = 0;

        if (count > 0 && shard->index <= lsi_local_shards_at(shards, count - 1)->index)
            continue;
        while (((count + 1) >> (k + 1)) != 0)
            k++;
        if (shards->chunks[k] == NULL)
            shards->chunks[k] = lsi_alloc_zero(memory, sizeof(lsi_local_shard) << k);
        if (shards->chunks[k] == NULL)
            return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for %u shards", from->name, from->shard_count);
        *lsi_local_shards_at(shards, count) = (lsi_local_shard){
            .index = shard->index, .is_closed = shard->closed, .first_seqno = shard->first_seqno, .end = shard->end};
        count++;
        atomic_store_explicit(&shards->count, count, memory_order_release);
    }
    return LS_OK;
}

void lsi_local_shards_mark_gone(lsi_local_shards *shards, const lsi_catalog_stream *from)
{
    uint32_t count = atomic_load_explicit(&shards->count, memory_order_relaxed), next = 0;

    for (uint32_t i = 0; i < count; i++) {
        lsi_local_shard *shard = lsi_local_shards_at(shards, i);

        while (next < from->shard_count && from->shards[next].index < shard->index)
            next++;
        /* One above all that are named is younger than this list. */
        if (next < from->shard_count && from->shards[next].index != shard->index)
            atomic_store_explicit(&shard->is_gone, true, memory_order_relaxed);
    }
}

ls_status lsi_local_shards_close(const lsi_memory *memory, lsi_local_shards *shards)
{
    uint32_t count = atomic_load_explicit(&shards->count, memory_order_relaxed);
    ls_status st = LS_OK;

    for (uint32_t i = 0; i < count; i++) {
        lsi_log *log = atomic_load_explicit(&lsi_local_shards_at(shards, i)->log, memory_order_acquire);
        ls_status closed = lsi_log_close(log);

        st = st == LS_OK ? closed : st;
    }
    for (uint32_t k = 0; k < LSI_LOCAL_CHUNKS; k++)
        lsi_free(memory, shards->chunks[k]);
    return st;
}
