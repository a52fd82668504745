/* See sim_memory.h. Each block has a header that links it to the others: so what leaks can be counted, and what a
 * killed process left can be kept reachable, where the leak checker does not mind it. */
#include "support/sim_memory.h"

#include <stdlib.h>
#include <string.h>

#define SPOILED_BYTES 4096u

typedef struct sim_block {
    struct sim_block *next, **at;
    size_t bytes;
    max_align_t room[];
} sim_block;

static sim_block *graveyard;
static pthread_mutex_t graveyard_mutex = PTHREAD_MUTEX_INITIALIZER;

static sim_block *block_of(void *p)
{
    return (sim_block *)(void *)((char *)p - offsetof(sim_block, room));
}

/* Bytes that nobody should read: both ends of a large block, whose middle may then never be touched. */
static void spoil(void *room, size_t bytes, int with)
{
    size_t part = bytes < 2 * SPOILED_BYTES ? bytes : SPOILED_BYTES;

    memset(room, with, part);
    if (part < bytes)
        memset((unsigned char *)room + bytes - SPOILED_BYTES, with, SPOILED_BYTES);
}

static void *resize(void *user, void *old, size_t bytes)
{
    sim_memory *memory = user;
    sim_block *block = NULL;
    size_t kept;

    if (bytes > 0 && memory->hook != NULL)
        memory->hook(memory->hook_user);
    pthread_mutex_lock(&memory->mutex);
    if (bytes > 0) {
        memory->calls++;
        if (memory->fail_at != 0 &&
            (memory->calls == memory->fail_at || (memory->sticky && memory->calls > memory->fail_at))) {
            memory->failed++;
            goto done;
        }
        if (bytes > SIZE_MAX / 2 - sizeof(*block))
            goto done;
        /* Always another block, so that a pointer kept across a growth is found out. */
        block = malloc(sizeof(*block) + bytes);
        if (block == NULL)
            goto done;
        spoil(block->room, bytes, 0xA7);
        block->bytes = bytes;
        block->next = memory->blocks;
        block->at = &memory->blocks;
        if (block->next != NULL)
            block->next->at = &block->next;
        memory->blocks = block;
        memory->live++;
        memory->live_bytes += bytes;
    }
    if (old != NULL) {
        sim_block *gone = block_of(old);

        kept = gone->bytes < bytes ? gone->bytes : bytes;
        if (block != NULL)
            memcpy(block->room, old, kept);
        *gone->at = gone->next;
        if (gone->next != NULL)
            gone->next->at = gone->at;
        memory->live--;
        memory->live_bytes -= gone->bytes;
        spoil(gone->room, gone->bytes, 0xDD);
        free(gone);
    }
done:
    pthread_mutex_unlock(&memory->mutex);
    return block != NULL ? (void *)block->room : NULL;
}

lsi_memory sim_memory_table(sim_memory *memory)
{
    lsi_memory table = {resize, memory};

    return table;
}

void sim_memory_fail(sim_memory *memory, uint64_t nth, bool sticky)
{
    pthread_mutex_lock(&memory->mutex);
    memory->fail_at = nth == 0 ? 0 : memory->calls + nth;
    memory->sticky = sticky;
    memory->failed = 0;
    pthread_mutex_unlock(&memory->mutex);
}

void sim_memory_bury(sim_memory *memory)
{
    pthread_mutex_lock(&memory->mutex);
    pthread_mutex_lock(&graveyard_mutex);
    while (memory->blocks != NULL) {
        sim_block *block = memory->blocks;

        memory->blocks = block->next;
        block->next = graveyard;
        graveyard = block;
    }
    memory->live = 0;
    memory->live_bytes = 0;
    pthread_mutex_unlock(&graveyard_mutex);
    pthread_mutex_unlock(&memory->mutex);
}

void sim_memory_scrap(sim_memory *memory)
{
    pthread_mutex_lock(&memory->mutex);
    while (memory->blocks != NULL) {
        sim_block *block = memory->blocks;

        memory->blocks = block->next;
        free(block);
    }
    memory->live = 0;
    memory->live_bytes = 0;
    pthread_mutex_unlock(&memory->mutex);
}
