/* The records that the batch machine holds.
 *
 * With several lanes, records are copied as they come, a block for each lane, so that a lane which fails for hours
 * keeps nobody else's memory. With one lane they are borrowed: in the common case the whole of what was read is one
 * batch, which is finished before the next read, and is never copied. What is left of it then is copied by
 * lsi_held_own. */
#include "consume/mapping/batcher_inside.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/status.h"
#include "consume/mapping/event_json.h"

static uint64_t cost_of(const lsi_batcher *machine, const ls_record *record)
{
    if (machine->settings.record_extra_bytes != 0)
        return lsi_event_record_bytes(record, machine->settings.record_extra_bytes);
    return record->partition_key.size + record->data.size;
}

static uint32_t lane_of(const lsi_batcher *machine, const ls_record *record)
{
    if (machine->settings.lane_count == 1)
        return 0;
    return (uint32_t)(lsi_sum64(record->partition_key.data, record->partition_key.size, 0) %
                      machine->settings.lane_count);
}

/* Room for `more` entries behind the queue of a lane. */
static ls_status reserve(lsi_batcher *machine, lsi_lane *lane, size_t more)
{
    void *held = lane->held;

    if (lane->head + lane->count + more <= lane->capacity)
        return LS_OK;
    if (lane->head > lane->count) { /* Moved at most once for each entry that left. */
        memmove(lane->held, lane->held + lane->head, lane->count * sizeof *lane->held);
        lane->head = 0;
    }
    if (!lsi_grow(&machine->memory, &held, &lane->capacity, lane->head + lane->count + more, sizeof *lane->held))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for %zu records of a mapping", lane->count + more);
    lane->held = held;
    return LS_OK;
}

static void push(lsi_batcher *machine, lsi_lane *lane, const ls_record *record, lsi_held_block *block, lsi_point before)
{
    lane->held[lane->head + lane->count++] =
        (lsi_held){.record = record, .block = block, .before = before, .cost = cost_of(machine, record)};
    block->live++;
}

/* ---- blocks ---- */

/* Freed with its last record. */
static lsi_held_block *block_new(lsi_batcher *machine, uint32_t records, uint64_t bytes)
{
    lsi_held_block *block =
        lsi_alloc(&machine->memory, sizeof *block + records * sizeof(ls_record) + (size_t)bytes);

    if (block == NULL) {
        (void)lsi_fail(LS_ERR_NO_MEMORY, "no memory for %u records of a mapping, %llu bytes", records,
                       (unsigned long long)bytes);
        return NULL;
    }
    *block = (lsi_held_block){.records = records, .bytes = bytes};
    return block;
}

static ls_record *block_records(lsi_held_block *block)
{
    return (ls_record *)(block + 1);
}

/* Copies a record to its place in a block; its bytes to `*at`, which moves on. */
static const ls_record *block_put(lsi_held_block *block, uint32_t index, const ls_record *record, unsigned char **at)
{
    ls_record *copy = block_records(block) + index;

    *copy = *record;
    if (record->partition_key.size != 0)
        memcpy(*at, record->partition_key.data, record->partition_key.size);
    copy->partition_key.data = *at;
    *at += record->partition_key.size;
    if (record->data.size != 0)
        memcpy(*at, record->data.data, record->data.size);
    copy->data.data = *at;
    *at += record->data.size;
    return copy;
}

static unsigned char *block_bytes(lsi_held_block *block)
{
    return (unsigned char *)(block_records(block) + block->records);
}

static void block_hold(lsi_batcher *machine, const lsi_held_block *block)
{
    machine->held_records += block->records;
    machine->held_bytes += block->bytes;
}

static void block_release(lsi_batcher *machine, lsi_held_block *block)
{
    if (--block->live != 0 || block == &machine->borrowed)
        return;
    machine->held_records -= block->records;
    machine->held_bytes -= block->bytes;
    lsi_free(&machine->memory, block);
}

/* ---- what comes in ---- */

ls_status lsi_held_copy(lsi_batcher *machine, const ls_record *records, uint32_t count, const bool *matches)
{
    lsi_held_block *blocks[LSI_BATCHER_LANES_MAX] = {NULL};
    unsigned char *at[LSI_BATCHER_LANES_MAX] = {NULL};
    uint32_t counts[LSI_BATCHER_LANES_MAX] = {0}, filled[LSI_BATCHER_LANES_MAX] = {0};
    uint64_t bytes[LSI_BATCHER_LANES_MAX] = {0};

    for (uint32_t i = 0; i < count; i++) {
        uint32_t lane;

        if (matches != NULL && !matches[i])
            continue;
        lane = lane_of(machine, &records[i]);
        counts[lane]++;
        bytes[lane] += records[i].partition_key.size + records[i].data.size;
    }
    for (uint32_t lane = 0; lane < machine->settings.lane_count; lane++) {
        if (counts[lane] == 0)
            continue;
        if (reserve(machine, &machine->lanes[lane], counts[lane]) == LS_OK)
            blocks[lane] = block_new(machine, counts[lane], bytes[lane]);
        if (blocks[lane] == NULL)
            goto fail;
        at[lane] = block_bytes(blocks[lane]);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (matches == NULL || matches[i]) {
            uint32_t lane = lane_of(machine, &records[i]);
            const ls_record *copy = block_put(blocks[lane], filled[lane]++, &records[i], &at[lane]);

            push(machine, &machine->lanes[lane], copy, blocks[lane], machine->read);
        }
        machine->read = lsi_point_behind(&records[i]);
    }
    for (uint32_t lane = 0; lane < machine->settings.lane_count; lane++)
        if (blocks[lane] != NULL)
            block_hold(machine, blocks[lane]);
    return LS_OK;
fail:
    for (uint32_t lane = 0; lane < machine->settings.lane_count; lane++)
        lsi_free(&machine->memory, blocks[lane]);
    return LS_ERR_NO_MEMORY;
}

ls_status lsi_held_borrow(lsi_batcher *machine, const ls_record *records, uint32_t count, const bool *matches)
{
    lsi_lane *lane = &machine->lanes[0];
    ls_status st;

    assert(machine->borrowed.live == 0); /* lsi_held_own came before. */
    st = reserve(machine, lane, count);
    if (st != LS_OK)
        return st;
    for (uint32_t i = 0; i < count; i++) {
        if (matches == NULL || matches[i])
            push(machine, lane, &records[i], &machine->borrowed, machine->read);
        machine->read = lsi_point_behind(&records[i]);
    }
    return LS_OK;
}

ls_status lsi_held_own(lsi_batcher *machine)
{
    lsi_lane *lane = &machine->lanes[0];
    uint32_t count = machine->borrowed.live;
    lsi_held_block *block;
    unsigned char *at;
    uint64_t bytes = 0;
    lsi_held *held;

    if (count == 0)
        return LS_OK;
    held = lane->held + lane->head + lane->count - count; /* They came last. */
    assert(lane->state == LSI_LANE_COLLECTING || lane->state == LSI_LANE_READY); /* Nobody is reading them. */
    for (uint32_t i = 0; i < count; i++)
        bytes += held[i].record->partition_key.size + held[i].record->data.size;
    block = block_new(machine, count, bytes);
    if (block == NULL)
        return LS_ERR_NO_MEMORY;
    at = block_bytes(block);
    for (uint32_t i = 0; i < count; i++) {
        assert(held[i].block == &machine->borrowed);
        held[i].record = block_put(block, i, held[i].record, &at);
        held[i].block = block;
    }
    block->live = count;
    machine->borrowed.live = 0;
    block_hold(machine, block);
    return LS_OK;
}

/* ---- what goes out ---- */

void lsi_held_pop(lsi_batcher *machine, lsi_lane *lane, size_t count)
{
    assert(count <= lane->count);
    for (size_t i = 0; i < count; i++)
        block_release(machine, lane->held[lane->head + i].block);
    lane->head += count;
    lane->count -= count;
    lane->delivered -= lane->delivered < count ? lane->delivered : count;
    if (lane->count == 0)
        lane->head = 0;
}

void lsi_held_free(lsi_batcher *machine)
{
    for (uint32_t i = 0; i < machine->settings.lane_count; i++) {
        lsi_held_pop(machine, &machine->lanes[i], machine->lanes[i].count);
        lsi_free(&machine->memory, machine->lanes[i].held);
        lsi_free(&machine->memory, machine->lanes[i].gathered);
    }
    assert(machine->held_records == 0 && machine->held_bytes == 0);
}

ls_status lsi_held_gather(lsi_batcher *machine, lsi_lane *lane, uint32_t count, const ls_record **out)
{
    void *gathered = lane->gathered;
    const lsi_held *held;
    uint32_t i = 1;

    if (count == 0) {
        *out = NULL;
        return LS_OK;
    }
    held = lane->held + lane->head;
    /* Of one block, and none filtered out between them: they lie side by side already. */
    while (i < count && held[i].block == held[0].block && held[i].record == held[0].record + i)
        i++;
    if (i == count) {
        *out = held[0].record;
        return LS_OK;
    }
    if (!lsi_grow(&machine->memory, &gathered, &lane->gathered_capacity, count, sizeof *lane->gathered))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a batch of %u records", count);
    lane->gathered = gathered;
    for (i = 0; i < count; i++)
        lane->gathered[i] = *held[i].record;
    *out = lane->gathered;
    return LS_OK;
}
