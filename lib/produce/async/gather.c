/* What goes of the lanes in one batch: of each lane that is due what stands in front, as entries that point into the
 * records, or as aggregates of several of them. Those that are numbered are packed later (packed.c).
 *
 * An aggregate is packed for this batch alone. When it is not stored its records stay in their lane one by one, and are
 * packed anew, perhaps for other shards. Its key, and its explicit hash key if it has one, are its first record's, so
 * an entry always leads to the record that it begins with (lsi_async_record_of).
 *
 * Memory that cannot be had makes a batch smaller, or leaves records unpacked; it never fails. */
#include "produce/async/async.h"

#include <assert.h>
#include <string.h>

#include "base/status.h"

#define ENTRIES_AT_FIRST 1024u
#define PARTS_AT_FIRST 16u
/* What a record takes beside its key and data in a numbered frame, which a part has to fit into: its lengths, a hash
 * key, padding, and its number. */
#define NUMBERED_EXTRA_BYTES (8u + 16u + 7u + 10u)
/* And what it may take more in an aggregate, beside its key once more: tags, lengths and indices of its message, the
 * entries of both tables, and of the aggregate the four bytes, the MD5 and how many records it has. */
#define PACKED_EXTRA_BYTES (20u + 44u + 20u + 5u)

/* ---- room ---- */

static bool grow_packed(const lsi_memory *memory, lsi_async_packing *packing, size_t count)
{
    return lsi_grow(memory, (void **)&packing->entries, &packing->entry_capacity, count, sizeof(*packing->entries)) &&
           lsi_grow(memory, (void **)&packing->numbers, &packing->number_capacity, count, sizeof(*packing->numbers));
}

static bool grow_numbers(lsi_async *async, size_t count)
{
    const lsi_memory *memory = &async->env->memory;

    return lsi_grow(memory, (void **)&async->numbers, &async->number_capacity, count, sizeof(*async->numbers)) &&
           lsi_grow(memory, (void **)&async->sub_seqnos, &async->sub_seqno_capacity, count,
                    sizeof(*async->sub_seqnos)) &&
           lsi_grow(memory, (void **)&async->sub_counts, &async->sub_count_capacity, count,
                    sizeof(*async->sub_counts)) &&
           lsi_numbered_make_room(async->producer, count);
}

static bool grow_entries(lsi_async *async, size_t count)
{
    const lsi_memory *memory = &async->env->memory;
    lsi_batch_room *room = &async->producer->batch;
    lsi_async_packing *packing = &async->packing;

    if (lsi_async_is_packed(async) && !grow_packed(memory, packing, count))
        return false;
    if (async->settings.is_idempotent && !grow_numbers(async, count))
        return false;
    return lsi_grow(memory, (void **)&async->entries, &async->entry_capacity, count, sizeof(*async->entries)) &&
           lsi_grow(memory, (void **)&room->picks, &room->picks_capacity, count, sizeof(*room->picks)) &&
           (packing->pack == NULL ||
            lsi_grow(memory, (void **)&packing->users, &packing->user_capacity, count, sizeof(*packing->users)));
}

static bool grow_parts(lsi_async *async, size_t count)
{
    lsi_batch_room *room = &async->producer->batch;

    return lsi_grow(&async->env->memory, (void **)&room->parts, &room->parts_capacity, count, sizeof(*room->parts));
}

bool lsi_async_gather_open(lsi_async *async)
{
    const lsi_async_settings *settings = &async->settings;

    if (settings->aggregate_bytes_max != 0 &&
        lsi_pack_open(&async->env->memory, settings->aggregate_bytes_max, UINT32_MAX, &async->packing.pack) != LS_OK)
        return false;
    return grow_entries(async, ENTRIES_AT_FIRST) && grow_parts(async, PARTS_AT_FIRST);
}

void lsi_async_gather_close(lsi_async *async)
{
    const lsi_memory *memory = &async->env->memory;
    lsi_async_packing *packing = &async->packing;

    for (uint32_t i = 0; i < packing->block_count; i++)
        lsi_free(memory, packing->blocks[i]);
    lsi_free(memory, (void *)packing->blocks);
    lsi_free(memory, packing->users);
    lsi_free(memory, packing->entries);
    lsi_free(memory, packing->numbers);
    lsi_pack_close(packing->pack);
    lsi_free(memory, async->entries);
    lsi_free(memory, async->numbers);
    lsi_free(memory, async->sub_seqnos);
    lsi_free(memory, async->sub_counts);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many more entries there is room for in another part, up to so many. */
static uint32_t make_room(lsi_async_call *call, uint32_t wanted)
{
    lsi_async *async = call->async;
    lsi_batch_room *room = &async->producer->batch;
    size_t fit = call->count + (size_t)wanted;

    (void)grow_entries(async, fit); /* Else it is as large as before. */
    if (!grow_parts(async, call->part_count + (size_t)1))
        return 0;
    fit = least(fit, least(async->entry_capacity, room->picks_capacity));
    if (async->packing.pack != NULL)
        fit = least(fit, async->packing.user_capacity);
    if (lsi_async_is_packed(async))
        fit = least(fit, least(async->packing.entry_capacity, async->packing.number_capacity));
    if (async->settings.is_idempotent) {
        fit = least(fit, least(async->number_capacity, least(room->told_capacity, room->fresh_capacity)));
        fit = least(fit, least(async->sub_seqno_capacity, async->sub_count_capacity));
    }
    while (async->picks_count < fit) {
        room->picks[async->picks_count] = async->picks_count;
        async->picks_count++;
    }
    return (uint32_t)(fit - call->count);
}

/* For the data of another aggregate. NULL: no memory. */
static unsigned char *take_block(lsi_async_call *call)
{
    lsi_async_packing *packing = &call->async->packing;
    const lsi_memory *memory = &call->async->env->memory;
    unsigned char *block;

    if (call->blocks < packing->block_count)
        return packing->blocks[call->blocks++];
    if (!lsi_grow(memory, (void **)&packing->blocks, &packing->block_capacity, packing->block_count + (size_t)1,
                  sizeof(*packing->blocks)))
        return NULL;
    block = lsi_alloc(memory, call->async->settings.aggregate_bytes_max);
    if (block == NULL)
        return NULL;
    packing->blocks[packing->block_count++] = block;
    call->blocks++;
    return block;
}

/* ---- entries ---- */

/* The stream takes only smaller records since this one was put: it is told when it stands in front. */
static bool is_too_large(const lsi_async *async, const lsi_async_record *record)
{
    return lsi_async_record_bytes(record) > async->producer->record_bytes_max;
}

static void refuse_too_large(lsi_async *async, lsi_async_lane *lane, uint32_t shard)
{
    while (lane->count > 0 && is_too_large(async, lane->records.first))
        lsi_async_lane_drop(async, lane, shard, LS_ERR_TOO_LARGE);
}

bool lsi_async_pack_add(lsi_async *async, const ls_put_entry *entry)
{
    uint32_t stream_max = async->producer->record_bytes_max;
    lsi_pack *pack = async->packing.pack;
    bool fits = false;

    if (stream_max < async->settings.aggregate_bytes_max &&
        lsi_pack_bytes_with(pack, entry->partition_key, entry->explicit_hash_key, entry->data.size) > stream_max)
        return false;
    return lsi_pack_add(pack, entry->partition_key, entry->explicit_hash_key, entry->data, &fits) == LS_OK && fits;
}

uint32_t lsi_async_pack_finish(lsi_async_call *call, uint32_t count, ls_put_entry *entry)
{
    unsigned char *block = NULL;
    lsi_packed packed;

    if (count > 1)
        block = take_block(call);
    if (block == NULL || lsi_pack_finish(call->async->packing.pack, &packed) != LS_OK)
        return 1; /* It goes as it is. */
    memcpy(block, packed.data.data, packed.data.size);
    entry->data = (ls_bytes){block, packed.data.size};
    return count;
}

/* The next entry, of records from `record` on, at most so many: of how many it is. */
static uint32_t pack_entry(lsi_async_call *call, const lsi_async_record *record, uint32_t records_max,
                           ls_put_entry *entry)
{
    uint32_t count = 0;

    lsi_pack_clear(call->async->packing.pack);
    for (; count < records_max && !is_too_large(call->async, record); count++, record = record->next) {
        ls_put_entry next = lsi_async_record_entry(record);

        __builtin_prefetch(record->ahead);
        if (!lsi_async_pack_add(call->async, &next))
            break;
    }
    return lsi_async_pack_finish(call, count, entry);
}

/* The number for the next try: of a caller's own id the ticket, which he knows. Else what surely is not in the log gets
 * a new one each time: numbers then rise as they are sent, and a shard that was left behind has none that the child
 * that it is merged into takes for old. */
static uint64_t number_of(lsi_async *async, const lsi_async_record *record)
{
    if (async->settings.producer.high != 0 || async->settings.producer.low != 0)
        return record->ticket;
    return record->is_unknown ? record->number : async->last_number + 1;
}

static void add_lane(lsi_async_call *call, uint32_t shard)
{
    lsi_async *async = call->async;
    const lsi_async_settings *settings = &async->settings;
    lsi_async_lane *lane = &async->lanes[shard];
    lsi_put_part part = {.shard = shard, .begin = call->count};
    uint32_t records_max = settings->batch_records_max;
    uint32_t entries_max, taken = 0;
    lsi_async_record *record;
    uint64_t bytes = 0, frame_bytes = 0, last = 0;
    bool packs = async->packing.pack != NULL && !settings->is_idempotent;

    refuse_too_large(async, lane, shard);
    records_max = (uint32_t)least(records_max, lane->count);
    entries_max = make_room(call, (uint32_t)least(records_max, LSI_BATCH_RECORDS_MAX - call->count));
    record = lane->records.first;
    while (taken < records_max && part.count < entries_max && !is_too_large(async, record)) {
        ls_put_entry *entry = &async->entries[call->count + part.count];
        uint32_t count = 1;
        uint64_t size;

        __builtin_prefetch(record->ahead);
        *entry = lsi_async_record_entry(record);
        if (packs)
            count = pack_entry(call, record, records_max - taken, entry);
        size = entry->partition_key.size + entry->data.size;
        if (async->settings.is_idempotent) {
            uint64_t number = number_of(async, record);

            frame_bytes += size + NUMBERED_EXTRA_BYTES;
            if (async->packing.pack != NULL)
                frame_bytes += entry->partition_key.size + PACKED_EXTRA_BYTES;
            /* Of shards that were merged those that may be stored are not in order of their numbers. */
            if (part.count > 0 && (frame_bytes > LSI_ATOMIC_BATCH_BYTES_MAX || number <= last))
                break;
            async->numbers[call->count + part.count] = record->number = last = number;
        }
        if ((part.count > 0 && bytes + size > settings->batch_bytes_max) ||
            call->bytes + bytes + size > LSI_BATCH_BYTES_MAX)
            break;
        if (packs)
            async->packing.users[call->count + part.count] = count;
        if (last > async->last_number)
            async->last_number = last;
        bytes += size;
        part.count++;
        taken += count;
        while (count-- > 0)
            record = record->next; /* NULL behind the lane's last, and not looked at then. */
    }
    if (part.count == 0)
        return;
    call->count += part.count;
    call->bytes += bytes;
    async->producer->batch.parts[call->part_count++] = part;
}

void lsi_async_gather(lsi_async_call *call)
{
    lsi_async *async = call->async;
    const lsi_route *route = &async->producer->route;

    for (uint32_t i = 0; i < route->count; i++) {
        uint32_t shard = route->shards[(async->lane_first + i) % route->count];

        if (shard >= async->lane_limit || lsi_async_lane_send_at(async, &async->lanes[shard]) > call->now_us)
            continue;
        add_lane(call, shard);
        if (call->count == LSI_BATCH_RECORDS_MAX || call->bytes >= LSI_BATCH_BYTES_MAX)
            break;
    }
    async->lane_first++; /* Each has its turn to be the first. */
}
