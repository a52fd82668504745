/* A batch: every record is checked, then each shard gets its part in one append, then each shard is waited for. So a
 * batch over several shards pays one wait, since their syncs run after all writes are in.
 *
 * Records are grouped by a counting sort over the shards they meet, in order of first meeting, so the work is that of
 * the batch and not of the stream, and records of one shard keep the order of the call (B2).
 *
 * A part whose shard was closed meanwhile goes into another round, with the routes taken anew. Its records are taken in
 * order of the call, since the parts of two merged shards may now meet in one.
 *
 * B1 Nothing is appended before every record was checked.
 * B2 Per shard, records are appended in the order of the call: a part that moved goes to shards that no earlier round
 *    could have known.
 * B3 A result is OK only after the commit of its shard. */
#include "produce/producer.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/status.h"

#define HASH_AT_ONCE 64u /* keys; a multiple of the widest lanes */

/* B1. The message names the first bad record. */
static ls_status check(const lsi_producer *producer, const ls_put_entry *entries, size_t count, bool atomic)
{
    uint64_t bytes_max = atomic ? LSI_ATOMIC_BATCH_BYTES_MAX : LSI_BATCH_BYTES_MAX;
    uint64_t bytes = 0;

    if (count > LSI_BATCH_RECORDS_MAX)
        return lsi_fail(LS_ERR_TOO_LARGE, "batch has %zu records: the limit is %u", count, LSI_BATCH_RECORDS_MAX);
    for (size_t i = 0; i < count; i++) {
        ls_status st = lsi_check_record(entries[i].partition_key, entries[i].data, producer->record_bytes_max);

        if (st != LS_OK)
            return lsi_fail(st, "record %zu of %zu: %s", i, count, lsi_error_current()->message);
        bytes += entries[i].partition_key.size + entries[i].data.size; /* At most 65,536 times 10 MiB. */
    }
    if (bytes > bytes_max)
        return lsi_fail(LS_ERR_TOO_LARGE, "batch of %zu records has %llu bytes: the limit is %llu", count,
                        (unsigned long long)bytes, (unsigned long long)bytes_max);
    return LS_OK;
}

bool lsi_batch_make_room(lsi_producer *producer, size_t count)
{
    const lsi_memory *memory = &producer->env->memory;
    lsi_batch_room *room = &producer->batch;

    /* A part has at least one record, so there are never more parts than records. */
    return lsi_grow(memory, (void **)&room->pending, &room->pending_capacity, count, sizeof(*room->pending)) &&
           lsi_grow(memory, (void **)&room->shards, &room->shards_capacity, count, sizeof(*room->shards)) &&
           lsi_grow(memory, (void **)&room->picks, &room->picks_capacity, count, sizeof(*room->picks)) &&
           lsi_grow(memory, (void **)&room->parts, &room->parts_capacity, count, sizeof(*room->parts));
}

/* Fills `shards` for pending[0..count-1]. Keys are hashed many at a time, in the lanes of the processor. */
static void route_all(lsi_producer *producer, const ls_put_entry *entries, uint32_t count)
{
    lsi_batch_room *room = &producer->batch;
    ls_bytes keys[HASH_AT_ONCE];
    ls_hash_key hashes[HASH_AT_ONCE];
    uint32_t indexes[HASH_AT_ONCE];
    uint32_t gathered = 0;

    for (uint32_t i = 0; i < count; i++) {
        const ls_put_entry *entry = &entries[room->pending[i]];

        if (entry->explicit_hash_key != NULL) {
            room->shards[room->pending[i]] = lsi_route_of(producer, entry->partition_key, entry->explicit_hash_key);
        } else {
            keys[gathered] = entry->partition_key;
            indexes[gathered++] = room->pending[i];
        }
        if (gathered == HASH_AT_ONCE || (i == count - 1 && gathered > 0)) {
            lsi_hash_partition_keys(keys, gathered, hashes);
            for (uint32_t k = 0; k < gathered; k++)
                room->shards[indexes[k]] = lsi_route_find(&producer->route, hashes[k]);
            gathered = 0;
        }
    }
}

/* Routes pending[0..count-1] and sorts them into parts from parts[first] on; returns how many parts there are then. */
uint32_t lsi_batch_group(lsi_producer *producer, const ls_put_entry *entries, uint32_t count, uint32_t pick_at,
                         uint32_t first)
{
    lsi_batch_room *room = &producer->batch;
    uint32_t part_count = first;
    uint32_t at = pick_at;

    if (producer->route.count == 1) { /* One part, as it is. */
        room->parts[first] = (lsi_put_part){.shard = producer->route.shards[0], .begin = at, .count = count};
        memcpy(room->picks + at, room->pending, count * sizeof(*room->picks));
        return first + 1;
    }
    route_all(producer, entries, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t shard = room->shards[room->pending[i]];

        assert(shard < producer->shard_limit);
        if (producer->counts[shard]++ == 0)
            room->parts[part_count++] = (lsi_put_part){.shard = shard};
    }
    for (uint32_t i = first; i < part_count; i++) {
        lsi_put_part *part = &room->parts[i];

        part->begin = at;
        part->count = producer->counts[part->shard];
        at += part->count;
        producer->counts[part->shard] = part->begin; /* from here on: where its next record goes */
    }
    for (uint32_t i = 0; i < count; i++)
        room->picks[producer->counts[room->shards[room->pending[i]]]++] = room->pending[i];
    for (uint32_t i = first; i < part_count; i++)
        producer->counts[room->parts[i].shard] = 0;
    return part_count;
}

void lsi_batch_append(lsi_producer *producer, const ls_put_entry *entries, lsi_put_part *part, bool atomic)
{
    const lsi_append batch = {
        .entries = entries, .picks = producer->batch.picks + part->begin, .count = part->count - part->refused,
        .atomic = atomic};
    lsi_append_result result = {0};

    if (producer->batch.options != NULL) {
        lsi_numbered_append(producer, entries, batch.picks, part, atomic);
        return;
    }
    part->status = producer->ops->append(producer->appender, part->shard, &batch, &result);
    part->moved = part->status == LS_OK && result.moved;
    part->accepted = part->moved ? 0 : result.accepted;
    part->first_seqno = result.first_seqno;
    part->end = result.end;
    assert(part->accepted <= batch.count);
    assert(part->status != LS_OK || part->moved || part->accepted == batch.count);
}

/* The records of the parts that moved become the next pending list, in order of the call. Their places in `picks` are
 * given back: a part that moved is dropped, and what follows it closes up. */
static uint32_t take_back(lsi_producer *producer, uint32_t first, uint32_t *part_count, uint32_t *pick_at,
                          uint32_t pending_count)
{
    lsi_batch_room *room = &producer->batch;
    uint32_t kept = first, at = *pick_at, pending = 0;

    for (uint32_t i = first; i < *part_count; i++) {
        lsi_put_part part = room->parts[i];

        if (part.moved) {
            for (uint32_t k = 0; k < part.count; k++)
                room->shards[room->picks[part.begin + k]] = LSI_NO_SHARD;
            continue;
        }
        for (uint32_t k = 0; k < part.count; k++)
            room->picks[at + k] = room->picks[part.begin + k]; /* never to the right: nothing is overwritten */
        part.begin = at;
        at += part.count;
        room->parts[kept++] = part;
    }
    for (uint32_t i = 0; i < pending_count; i++)
        if (room->shards[room->pending[i]] == LSI_NO_SHARD)
            room->pending[pending++] = room->pending[i];
    *part_count = kept;
    *pick_at = at;
    return pending;
}

/* No place was found in time for pending[0..count-1]: they become parts that failed with `st`. */
static uint32_t give_up(lsi_producer *producer, const ls_put_entry *entries, uint32_t count, uint32_t pick_at,
                        uint32_t first, ls_status st)
{
    uint32_t part_count = lsi_batch_group(producer, entries, count, pick_at, first);

    for (uint32_t i = first; i < part_count; i++)
        producer->batch.parts[i].status = st;
    return part_count;
}

/* Appends everything, in as many rounds as shards move. Returns the number of parts; each has its status. */
static uint32_t append_all(lsi_producer *producer, const ls_put_entry *entries, uint32_t count)
{
    lsi_batch_room *room = &producer->batch;
    int64_t deadline_us = 0;
    uint32_t part_count = 0, pick_at = 0, pending_count = count;

    for (uint32_t i = 0; i < count; i++)
        room->pending[i] = i;
    for (;;) {
        uint32_t first = part_count;
        uint64_t generation = producer->generation;
        uint32_t moved_from = LSI_NO_SHARD;
        ls_status st;

        part_count = lsi_batch_group(producer, entries, pending_count, pick_at, first);
        for (uint32_t i = first; i < part_count; i++) {
            if (producer->is_limited && room->options == NULL) {
                lsi_put_admit_part(producer, entries, room->picks + room->parts[i].begin, &room->parts[i]);
                if (room->parts[i].refused == room->parts[i].count)
                    continue;
            }
            lsi_batch_append(producer, entries, &room->parts[i], false);
            if (room->parts[i].moved)
                moved_from = room->parts[i].shard;
        }
        if (moved_from == LSI_NO_SHARD)
            return part_count;
        pending_count = take_back(producer, first, &part_count, &pick_at, pending_count);
        st = lsi_route_wait(producer, generation, moved_from, &deadline_us);
        if (st == LS_OK)
            st = lsi_route_rebuild(producer);
        if (st != LS_OK)
            return give_up(producer, entries, pending_count, pick_at, part_count, st);
    }
}

void lsi_batch_commit(lsi_producer *producer, const ls_put_entry *entries, lsi_put_part *part, ls_durability durability)
{
    ls_status st;

    if (part->accepted == 0)
        return;
    st = part->end != 0 ? lsi_put_commit(producer, part->shard, part->end, durability) : LS_OK;
    if (st != LS_OK) {
        part->accepted = 0;
        part->status = st;
    } else if (producer->batch.options != NULL) {
        lsi_numbered_stored(producer, entries, producer->batch.picks + part->begin, part);
    } else if (producer->durability == LS_DURABILITY_SYNC) {
        lsi_put_synced(producer, part->shard, entries, producer->batch.picks + part->begin, part->accepted);
    }
}

/* Tells each record what became of it; returns how many were not stored. */
static size_t tell(const lsi_put_part *part, const uint32_t *picks, ls_put_result *results)
{
    for (uint32_t k = 0; results != NULL && k < part->count; k++) {
        ls_put_result *result = &results[picks == NULL ? k : picks[part->begin + k]];
        bool is_stored = k < part->accepted;

        result->shard = part->shard;
        result->status = is_stored ? LS_OK : k < part->count - part->refused ? part->status : part->refused_status;
        result->seqno = is_stored ? part->first_seqno + k : LS_SEQNO_NONE;
    }
    return part->count - part->accepted;
}

static uint64_t bytes_of(const ls_put_entry *entries, uint32_t count)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < count; i++)
        bytes += entries[i].partition_key.size + entries[i].data.size;
    return bytes;
}

static ls_status put_atomic(lsi_producer *producer, const ls_put_entry *entries, uint32_t count,
                            ls_durability durability, ls_put_result *results, size_t *failed, size_t *stored)
{
    static const uint32_t first = 0; /* One record without picks is a single put's. */
    const lsi_append batch = {.entries = entries, .picks = count == 1 ? &first : NULL, .count = count, .atomic = true};
    lsi_put_part part = {.count = count};
    int64_t deadline_us = 0;
    lsi_append_result result;
    size_t not_stored;

    for (;;) {
        part.shard = lsi_route_of(producer, entries[0].partition_key, entries[0].explicit_hash_key);
        for (uint32_t i = 1; producer->route.count > 1 && i < count; i++) {
            uint32_t shard = lsi_route_of(producer, entries[i].partition_key, entries[i].explicit_hash_key);

            if (shard != part.shard)
                return lsi_fail(LS_ERR_INVALID_ARGUMENT,
                                "record 0 belongs to shard %u and record %u to shard %u: an atomic batch is of one",
                                part.shard, i, shard);
        }
        if (producer->is_limited && producer->batch.options == NULL) {
            part.status = lsi_put_admit(producer, part.shard, count, bytes_of(entries, count));
            if (part.status != LS_OK)
                return part.status;
        }
        result = (lsi_append_result){0};
        if (producer->batch.options != NULL) {
            lsi_numbered_append(producer, entries, batch.picks, &part, true);
            result = (lsi_append_result){.end = part.end, .moved = part.moved};
        } else {
            part.status = producer->ops->append(producer->appender, part.shard, &batch, &result);
        }
        if (part.status != LS_OK || !result.moved)
            break;
        part.status = lsi_route_wait(producer, producer->generation, part.shard, &deadline_us);
        if (part.status == LS_OK)
            part.status = lsi_route_rebuild(producer);
        if (part.status != LS_OK)
            return part.status;
    }
    part.first_seqno = result.first_seqno;
    if (part.status == LS_OK && result.end != 0)
        part.status = lsi_put_commit(producer, part.shard, result.end, durability);
    part.accepted = part.status == LS_OK ? count : 0;
    if (part.status == LS_OK && producer->batch.options != NULL)
        lsi_numbered_stored(producer, entries, batch.picks, &part);
    else if (part.status == LS_OK && producer->durability == LS_DURABILITY_SYNC)
        lsi_put_synced(producer, part.shard, entries, NULL, count);
    *stored = part.accepted;
    if (part.status != LS_OK && part.status != LS_ERR_IO)
        return part.status;
    not_stored = producer->batch.options != NULL ? lsi_numbered_tell(producer, batch.picks, &part, results)
                                                 : tell(&part, NULL, results);
    if (failed != NULL)
        *failed = not_stored;
    return part.status;
}

/* Of the first record that was not stored; LS_OK: there is none. */
static ls_status first_failure(const lsi_producer *producer, uint32_t part_count)
{
    for (uint32_t i = 0; i < part_count; i++) {
        const lsi_put_part *part = &producer->batch.parts[i];

        if (part->accepted < part->count - part->refused)
            return part->status;
        if (producer->batch.options != NULL && part->refused_status != LS_OK)
            return part->refused_status;
        if (part->refused > 0)
            return part->refused_status;
    }
    return LS_OK;
}

/* `*stored`, `*why`: for the counts. */
static ls_status put_batch(lsi_producer *producer, const ls_put_entry *entries, size_t count, ls_durability durability,
                           bool atomic, ls_put_result *results, size_t *failed, size_t *stored, ls_status *why)
{
    lsi_batch_room *room = &producer->batch;
    size_t not_stored = 0;
    uint32_t part_count;
    ls_status st;

    if (producer->has_faults)
        lsi_fate_delay(producer);
    st = lsi_route_refresh(producer);
    /* The stream's own troubles are each record's result, as if it had been put by itself: with the routes of before
     * the shards will say it again. Without any there is nothing to try. */
    if (st != LS_OK && (!producer->is_routed || atomic || st == LS_ERR_NO_MEMORY || st == LS_ERR_STATE))
        return st;
    st = check(producer, entries, count, atomic || room->options != NULL);
    if (st != LS_OK)
        return st;
    if (room->options != NULL && !lsi_numbered_make_room(producer, count))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for what becomes of %zu records", count);
    if (atomic)
        return put_atomic(producer, entries, (uint32_t)count, durability, results, failed, stored);
    if (!lsi_batch_make_room(producer, count))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory to sort a batch of %zu records", count);
    part_count = append_all(producer, entries, (uint32_t)count);
    for (uint32_t i = 0; i < part_count; i++) /* B3: waits for each part, when all are written. */
        lsi_batch_commit(producer, entries, &producer->batch.parts[i], durability);
    for (uint32_t i = 0; i < part_count; i++)
        not_stored += room->options != NULL
                          ? lsi_numbered_tell(producer, room->picks + room->parts[i].begin, &room->parts[i], results)
                          : tell(&room->parts[i], room->picks, results);
    if (failed != NULL)
        *failed = not_stored;
    *stored = count - not_stored;
    *why = first_failure(producer, part_count);
    return LS_OK;
}

static ls_status count_and_put(lsi_producer *producer, const ls_put_entry *entries, size_t count,
                               ls_durability durability, bool atomic, ls_put_result *results, size_t *failed)
{
    ls_status st, why = LS_OK;
    size_t stored = 0;

    if (count == 0) {
        if (failed != NULL)
            *failed = 0;
        return LS_OK;
    }
    lsi_put_begins(producer, count < LSI_BATCH_RECORDS_MAX ? (uint32_t)count : LSI_BATCH_RECORDS_MAX);
    st = put_batch(producer, entries, count, durability, atomic, results, failed, &stored, &why);
    lsi_batch_ended(producer, stored, count, st != LS_OK ? st : why);
    return st;
}

ls_status lsi_producer_put_batch(lsi_producer *producer, const ls_put_entry *entries, size_t count,
                                 ls_durability durability, bool atomic, ls_put_result *results, size_t *failed)
{
    return count_and_put(producer, entries, count, durability, atomic, results, failed);
}

ls_status lsi_producer_put_numbered_batch(lsi_producer *producer, const ls_put_entry *entries, size_t count,
                                          const ls_put_options *options, ls_put_result *results, size_t *failed)
{
    if (producer->ops->append_numbered == NULL)
        return lsi_fail(LS_ERR_UNSUPPORTED, "this store's engine has no numbered puts");
    producer->batch.options = options;
    ls_status st = count_and_put(producer, entries, count, options->durability, (options->flags & LS_PUT_ATOMIC) != 0,
                                 results, failed);
    producer->batch.options = NULL;
    return st;
}
