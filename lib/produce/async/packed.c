/* Numbered records that go as aggregates.
 *
 * Numbers are the records', and a frame says which of them each aggregate has (FORMAT.md, "Numbers"). So it does not
 * matter how records were cut into aggregates before, by whom, and for which shards: what is in the log is told from
 * what is not record by record. And as an aggregate cannot be cut by who stores it, it is stored when all its records
 * are new; else one looks which are, and packs these.
 *
 * That records are new is believed at first, as it nearly always is so: the shard is asked which are not when it
 * refuses a part for it. Where there is a limit it is asked before, since a repeat is free. */
#include "produce/async/async.h"

#include "base/status.h"

/* Which of the part were put before: in `told`, with their places. */
static ls_status look(lsi_async_call *of, lsi_put_part *part)
{
    lsi_async *async = of->async;
    lsi_producer *producer = async->producer;
    const lsi_append batch = {.entries = async->entries, .picks = producer->batch.picks + part->begin,
                              .count = part->count};
    lsi_numbered numbered = {.options = &async->numbered, .look_only = true, .told = producer->batch.told,
                             .sub_seqnos = async->sub_seqnos, .sub_counts = async->sub_counts};
    lsi_append_result result = {0};
    ls_status st = producer->ops->append_numbered(producer->appender, part->shard, &batch, &numbered, &result);

    part->moved = st == LS_OK && result.moved;
    part->end = result.end;
    return st;
}

/* Those that are new, into `fresh`, and their numbers: how many. */
static uint32_t list_fresh(lsi_async *async, const lsi_put_part *part, bool is_looked_at)
{
    lsi_batch_room *room = &async->producer->batch;
    uint32_t count = 0;

    for (uint32_t i = part->begin; i < part->begin + part->count; i++) {
        if (is_looked_at && room->told[i].status != LS_ERR_NOT_FOUND)
            continue;
        async->packing.numbers[count] = async->numbers[i];
        room->fresh[count++] = i;
    }
    return count;
}

static void pack(lsi_async_call *of, lsi_put_part *packed, uint32_t fresh_count)
{
    lsi_async *async = of->async;
    const uint32_t *fresh = async->producer->batch.fresh;

    for (uint32_t at = 0; at < fresh_count; packed->count++) {
        ls_put_entry *entry = &async->packing.entries[packed->begin + packed->count];
        uint32_t count = 0;

        lsi_pack_clear(async->packing.pack);
        while (at + count < fresh_count && lsi_async_pack_add(async, &async->entries[fresh[at + count]]))
            count++;
        *entry = async->entries[fresh[at]];
        count = lsi_async_pack_finish(of, count, entry);
        async->packing.users[packed->begin + packed->count] = count;
        at += count;
    }
}

/* What of `packed` is not refused. Nothing accepted: not all of it is new. */
static ls_status write(lsi_async_call *of, lsi_put_part *part, const lsi_put_part *packed, lsi_append_result *result)
{
    lsi_async *async = of->async;
    lsi_producer *producer = async->producer;
    const lsi_append batch = {.entries = async->packing.entries + packed->begin,
                              .count = packed->count - packed->refused};
    ls_put_options options = async->numbered;
    lsi_numbered numbered = {.options = &options, .users = async->packing.users + packed->begin};
    ls_status st;

    options.numbers = async->packing.numbers;
    st = producer->ops->append_numbered(producer->appender, part->shard, &batch, &numbered, result);
    part->moved = st == LS_OK && result->moved;
    part->end = result->end;
    return st;
}

/* Each record that was new: where it is, or that it was refused. */
static void tell(lsi_async *async, const lsi_put_part *packed, ls_seqno first_seqno)
{
    lsi_async_packing *packing = &async->packing;
    const uint32_t *fresh = async->producer->batch.fresh;

    for (uint32_t i = 0; i < packed->count; i++) {
        uint32_t users = packing->users[packed->begin + i];
        bool is_stored = i < packed->count - packed->refused;

        for (uint32_t k = 0; k < users; k++, fresh++) {
            async->producer->batch.told[*fresh] =
                (ls_put_result){is_stored ? first_seqno + i : LS_SEQNO_NONE, packed->shard,
                                is_stored ? LS_OK : packed->refused_status};
            async->sub_seqnos[*fresh] = k;
            async->sub_counts[*fresh] = users > 1 ? users : 0;
        }
    }
}

void lsi_async_packed_append(lsi_async_call *of, lsi_put_part *part)
{
    lsi_async *async = of->async;
    lsi_producer *producer = async->producer;
    bool is_looked_at = producer->is_limited;
    uint32_t blocks = of->blocks;
    lsi_put_part packed;
    lsi_append_result result;

    part->accepted = 0;
    part->moved = false;
    part->refused_status = LS_OK;
    for (;; is_looked_at = true) { /* Somebody stores some of them each time that it goes on: so it ends. */
        packed = (lsi_put_part){.shard = part->shard, .begin = of->packed_count};
        result = (lsi_append_result){0};
        of->blocks = blocks;
        part->status = is_looked_at ? look(of, part) : LS_OK;
        if (part->status != LS_OK || part->moved)
            return;
        pack(of, &packed, list_fresh(async, part, is_looked_at));
        if (producer->is_limited)
            lsi_put_admit_part(producer, async->packing.entries, producer->batch.picks + packed.begin, &packed);
        if (packed.refused == packed.count)
            break;
        part->status = write(of, part, &packed, &result);
        if (part->status != LS_OK || part->moved)
            return;
        if (result.accepted > 0)
            break;
    }
    tell(async, &packed, result.first_seqno);
    lsi_numbered_accept(producer, producer->batch.picks + part->begin, part);
    async->lanes[part->shard].packed_begin = packed.begin;
    async->lanes[part->shard].packed_count = result.accepted;
    of->packed_count += result.accepted;
}

void lsi_async_packed_commit(lsi_async_call *of, lsi_put_part *part)
{
    lsi_async *async = of->async;
    lsi_producer *producer = async->producer;
    const lsi_async_lane *lane = &async->lanes[part->shard];
    ls_status st;

    if (part->accepted == 0)
        return;
    st = part->end != 0 ? lsi_put_commit(producer, part->shard, part->end, async->settings.durability) : LS_OK;
    if (st != LS_OK) {
        part->accepted = 0;
        part->status = st;
        return;
    }
    lsi_numbered_count_repeats(producer, producer->batch.picks + part->begin, part);
    if (lane->packed_count > 0 && producer->durability == LS_DURABILITY_SYNC)
        lsi_put_synced(producer, part->shard, async->packing.entries + lane->packed_begin, NULL, lane->packed_count);
}
