/* The memory of records that have no outcome yet: chunks, filled from one end, each freed when the last of its records
 * was given back. Records of one chunk mostly go together, so a chunk is as good as a record, and there is one
 * allocation for a thousand of them; what a stubborn shard keeps of each chunk is counted with all of it.
 *
 * A record that does not fit an empty chunk has one of its own, as large as it is. Free chunks are kept for the next
 * records: the pages of a new one cost more than filling it. */
#include "produce/async/async.h"

#include <assert.h>

#include "base/status.h"

#define ROOM_OF_CHUNK ((uint32_t)(LSI_ASYNC_CHUNK_BYTES - sizeof(lsi_async_chunk)))
#define FREE_KEPT 16u /* 2 MiB: while nothing waits to be sent */

ls_status lsi_async_room_open(lsi_async_room *room, const lsi_memory *memory, uint64_t bytes_max)
{
    room->memory = memory;
    room->bytes_max = bytes_max;
    room->slot_count = (uint32_t)(bytes_max / LSI_ASYNC_CHUNK_BYTES); /* No chunk is smaller. */
    room->slots = lsi_alloc_zero(memory, room->slot_count * sizeof(*room->slots));
    if (room->slots == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory to keep account of %u chunks", room->slot_count);
    return LS_OK;
}

void lsi_async_room_close(lsi_async_room *room)
{
    for (uint32_t i = 0; room->slots != NULL && i < room->slot_count; i++)
        lsi_free(room->memory, atomic_load_explicit(&room->slots[i], memory_order_relaxed));
    lsi_free(room->memory, (void *)room->slots);
    room->slots = NULL;
}

bool lsi_async_room_fits(const lsi_async_room *room, uint64_t bytes)
{
    return bytes <= room->bytes_max - sizeof(lsi_async_chunk);
}

static void release(lsi_async_room *room, lsi_async_chunk *chunk)
{
    atomic_store_explicit(&room->slots[chunk->slot], NULL, memory_order_relaxed); /* relaxed: for this thread's fork */
    room->bytes -= sizeof(*chunk) + chunk->size;
    lsi_free(room->memory, chunk);
}

static lsi_async_chunk *take_free(lsi_async_room *room)
{
    lsi_async_chunk *chunk = room->free;

    if (chunk != NULL) {
        room->free = chunk->next;
        room->free_count--;
    }
    return chunk;
}

/* Free chunks make way. `*out` NULL with LS_OK: the room is full. */
static ls_status make(lsi_async_room *room, uint32_t size, lsi_async_chunk **out)
{
    uint64_t bytes = sizeof(lsi_async_chunk) + (uint64_t)size;
    lsi_async_chunk *chunk;

    *out = NULL;
    while (room->bytes + bytes > room->bytes_max && room->free != NULL)
        release(room, take_free(room));
    if (room->bytes + bytes > room->bytes_max)
        return LS_OK;
    chunk = lsi_alloc(room->memory, bytes);
    if (chunk == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for records that are to be put: %llu bytes",
                        (unsigned long long)bytes);
    *chunk = (lsi_async_chunk){.size = size};
    /* As every chunk has its share of bytes_max, one is free. */
    while (atomic_load_explicit(&room->slots[room->slot_next], memory_order_relaxed) != NULL)
        room->slot_next = (room->slot_next + 1) % room->slot_count;
    chunk->slot = room->slot_next;
    atomic_store_explicit(&room->slots[chunk->slot], chunk, memory_order_relaxed);
    room->bytes += bytes;
    *out = chunk;
    return LS_OK;
}

static void *take_of(lsi_async_chunk *chunk, uint32_t bytes)
{
    void *at = chunk->bytes + chunk->used;

    assert(chunk->size - chunk->used >= bytes);
    chunk->used += bytes;
    chunk->live++;
    return at;
}

ls_status lsi_async_room_take(lsi_async_room *room, uint32_t bytes, lsi_async_chunk **chunk, void **out)
{
    lsi_async_chunk *next = room->current;
    ls_status st = LS_OK;

    *out = NULL;
    if (bytes > ROOM_OF_CHUNK) {
        st = make(room, bytes, &next);
    } else if (next == NULL || next->size - next->used < bytes) {
        next = take_free(room);
        if (next == NULL)
            st = make(room, ROOM_OF_CHUNK, &next);
        if (next != NULL)
            room->current = next; /* What was current has records: who gives them back finds it no longer is. */
    }
    if (st != LS_OK || next == NULL)
        return st;
    *chunk = next;
    *out = take_of(next, bytes);
    return LS_OK;
}

void lsi_async_room_give_back(lsi_async_room *room, lsi_async_chunk *told)
{
    for (lsi_async_chunk *chunk = told, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        assert(chunk->live >= chunk->told);
        chunk->live -= chunk->told;
        chunk->told = 0;
        if (chunk->live > 0)
            continue;
        chunk->used = 0;
        if (chunk->size != ROOM_OF_CHUNK) {
            release(room, chunk);
        } else if (chunk != room->current) {
            chunk->next = room->free;
            room->free = chunk;
            room->free_count++;
        }
    }
}

void lsi_async_room_shrink(lsi_async_room *room)
{
    while (room->free_count > FREE_KEPT)
        release(room, take_free(room));
}
