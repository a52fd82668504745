/* Numbered puts: what the engine says of each record of a shard's part, and what a limit says of those that are new.
 *
 * The way of a part is that of any other: routed, appended, committed. Only what becomes of a record is the engine's to
 * say, which knows whether it was put before. A repeat is free: so where there is a limit the engine is asked first
 * which records are new, and only these are admitted. Somebody may put one of them in between; then its budget is
 * spent for nothing, and it is not written all the same. */
#include "produce/producer.h"

#include "base/status.h"

bool lsi_numbered_make_room(lsi_producer *producer, size_t count)
{
    const lsi_memory *memory = &producer->env->memory;
    lsi_batch_room *room = &producer->batch;

    return lsi_grow(memory, (void **)&room->told, &room->told_capacity, count, sizeof(*room->told)) &&
           lsi_grow(memory, (void **)&room->fresh, &room->fresh_capacity, count, sizeof(*room->fresh));
}

static uint32_t pick(const uint32_t *picks, uint32_t k)
{
    return picks != NULL ? picks[k] : k;
}

static ls_status append(lsi_producer *producer, const lsi_append *batch, lsi_put_part *part, bool look_only)
{
    lsi_numbered numbered = {.options = producer->batch.options, .look_only = look_only, .told = producer->batch.told,
                             .sub_seqnos = producer->batch.sub_seqnos, .sub_counts = producer->batch.sub_counts};
    lsi_append_result result = {0};
    ls_status st = producer->ops->append_numbered(producer->appender, part->shard, batch, &numbered, &result);

    part->moved = st == LS_OK && result.moved;
    part->end = result.end;
    return st;
}

/* Of those that are new: the first so many that are admitted are in `fresh`; the others are told why not. `*count`: how
 * many are admitted. */
static ls_status admit(lsi_producer *producer, const ls_put_entry *entries, const uint32_t *picks,
                       const lsi_put_part *part, bool atomic, uint32_t *count)
{
    lsi_batch_room *room = &producer->batch;
    lsi_put_part fresh = {.shard = part->shard};
    uint64_t bytes = 0;

    for (uint32_t k = 0; k < part->count; k++) {
        uint32_t entry = pick(picks, k);

        if (room->told[entry].status != LS_ERR_NOT_FOUND)
            continue;
        bytes += entries[entry].partition_key.size + entries[entry].data.size;
        room->fresh[fresh.count++] = entry;
    }
    *count = fresh.count;
    if (fresh.count == 0)
        return LS_OK;
    if (atomic)
        return lsi_put_admit(producer, part->shard, fresh.count, bytes);
    lsi_put_admit_part(producer, entries, room->fresh, &fresh);
    *count -= fresh.refused;
    for (uint32_t k = *count; k < fresh.count; k++)
        room->told[room->fresh[k]].status = fresh.refused_status;
    return LS_OK;
}

void lsi_numbered_accept(const lsi_producer *producer, const uint32_t *picks, lsi_put_part *part)
{
    part->accepted = part->count;
    for (uint32_t k = 0; k < part->count; k++) {
        ls_status told = producer->batch.told[pick(picks, k)].status;

        if (told != LS_OK && told != LS_ERR_EXISTS)
            part->refused_status = told;
    }
}

void lsi_numbered_append(lsi_producer *producer, const ls_put_entry *entries, const uint32_t *picks, lsi_put_part *part,
                         bool atomic)
{
    lsi_batch_room *room = &producer->batch;
    lsi_append batch = {.entries = entries, .picks = picks, .count = part->count, .atomic = atomic};
    ls_status st = LS_OK;

    part->moved = false; /* It may be another try of the same part. */
    part->accepted = 0;
    part->refused_status = LS_OK;
    if (producer->is_limited) {
        uint32_t fresh = 0;

        st = append(producer, &batch, part, true);
        if (st == LS_OK && !part->moved)
            st = admit(producer, entries, picks, part, atomic, &fresh);
        if (picks != NULL)
            batch.picks = room->fresh;
        batch.count = fresh;
    }
    if (st == LS_OK && !part->moved && batch.count > 0)
        st = append(producer, &batch, part, false);
    part->status = st;
    if (st == LS_OK && !part->moved)
        lsi_numbered_accept(producer, picks, part);
}

void lsi_numbered_count_repeats(lsi_producer *producer, const uint32_t *picks, const lsi_put_part *part)
{
    uint32_t repeats = 0;

    for (uint32_t k = 0; k < part->count; k++)
        repeats += producer->batch.told[pick(picks, k)].status == LS_ERR_EXISTS;
    producer->repeats += repeats;
    if (repeats > 0)
        lsi_put_repeated(producer, part->shard, repeats);
}

void lsi_numbered_stored(lsi_producer *producer, const ls_put_entry *entries, const uint32_t *picks,
                         const lsi_put_part *part)
{
    lsi_batch_room *room = &producer->batch;
    uint32_t fresh = 0;

    for (uint32_t k = 0; k < part->count; k++)
        if (room->told[pick(picks, k)].status == LS_OK)
            room->fresh[fresh++] = pick(picks, k);
    lsi_numbered_count_repeats(producer, picks, part);
    if (fresh > 0 && producer->durability == LS_DURABILITY_SYNC)
        lsi_put_synced(producer, part->shard, entries, room->fresh, fresh);
}

size_t lsi_numbered_tell(const lsi_producer *producer, const uint32_t *picks, const lsi_put_part *part,
                         ls_put_result *results)
{
    size_t not_stored = 0;

    for (uint32_t k = 0; k < part->count; k++) {
        uint32_t entry = pick(picks, k);
        ls_put_result told = producer->batch.told[entry];

        if (part->accepted == 0)
            told = (ls_put_result){LS_SEQNO_NONE, part->shard, part->status};
        else if (told.status == LS_ERR_EXISTS)
            told.status = LS_OK;
        not_stored += told.status != LS_OK;
        if (results != NULL)
            results[entry] = told;
    }
    return not_stored;
}

/* ---- a single put ---- */

static ls_status put(lsi_producer *producer, const ls_put_entry *entry, ls_durability durability, lsi_put_part *part)
{
    int64_t deadline_us = 0;
    ls_status st;

    if (producer->has_faults)
        lsi_fate_delay(producer);
    if (!lsi_numbered_make_room(producer, 1))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a numbered put");
    for (;;) {
        st = lsi_route_refresh(producer);
        if (st == LS_OK)
            st = lsi_check_record(entry->partition_key, entry->data, producer->record_bytes_max);
        if (st != LS_OK)
            return st;
        part->shard = lsi_route_of(producer, entry->partition_key, entry->explicit_hash_key);
        lsi_numbered_append(producer, entry, NULL, part, true);
        if (part->status != LS_OK || !part->moved)
            break;
        st = lsi_route_wait(producer, producer->generation, part->shard, &deadline_us);
        if (st != LS_OK)
            return st;
    }
    if (part->status == LS_OK && part->end != 0)
        part->status = lsi_put_commit(producer, part->shard, part->end, durability);
    if (part->status == LS_OK)
        lsi_numbered_stored(producer, entry, NULL, part);
    return part->status;
}

ls_status lsi_producer_put_numbered(lsi_producer *producer, const ls_put_entry *entry, const ls_put_options *options,
                                    ls_record_id *out)
{
    lsi_put_part part = {.shard = LSI_NO_SHARD, .count = 1};
    ls_status st;

    if (producer->ops->append_numbered == NULL)
        return lsi_fail(LS_ERR_UNSUPPORTED, "this store's engine has no numbered puts");
    producer->batch.options = options;
    lsi_put_begins(producer, 1);
    st = put(producer, entry, options->durability, &part);
    producer->batch.options = NULL;
    lsi_put_numbered_ended(producer, st, st == LS_OK && producer->batch.told[0].status == LS_ERR_EXISTS);
    if (st == LS_OK && out != NULL)
        *out = (ls_record_id){.seqno = producer->batch.told[0].seqno, .shard = producer->batch.told[0].shard};
    return st;
}

uint64_t lsi_producer_repeats(const lsi_producer *producer)
{
    return producer->repeats;
}
