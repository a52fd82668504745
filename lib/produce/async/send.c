/* One batch: what is due in some lanes, written shard by shard and then waited for, as batch.c does it; but no record
 * goes to another shard than that of its lane. What was not stored stays in front of its lane (A1, A2): a shard that
 * was closed costs a pause, and the next turn sorts its records anew.
 *
 * N1 What may be in the log is never sent again: neither what LS_ERR_IO was said of, nor what was appended and could
 *    not be synced.
 * N2 Of a lane goes what stands in front, and what follows a record that was not stored was not stored either. */
#include "produce/async/async.h"

#include <assert.h>

#include "base/status.h"

/* Until a shard that was closed shows its successors; as route.c looks. */
#define LOOK_AGAIN_US 2000

/* A part of the call, and the lane it is of. */
typedef struct sending {
    lsi_async *async;
    uint32_t part_count;
    uint32_t count; /* of entries */
    uint64_t bytes;
    int64_t now_us;
} sending;

/* ---- what goes ---- */

/* Room for so many more entries and another part; without memory for all of them, for as many as there is. */
static uint32_t make_room(sending *of, uint32_t wanted)
{
    lsi_async *async = of->async;
    lsi_batch_room *room = &async->producer->batch;
    const lsi_memory *memory = &async->env->memory;
    size_t count = of->count + (size_t)wanted;
    size_t fit;

    (void)lsi_grow(memory, (void **)&async->entries, &async->entry_capacity, count, sizeof(*async->entries));
    (void)lsi_grow(memory, (void **)&room->picks, &room->picks_capacity, count, sizeof(*room->picks));
    (void)lsi_grow(memory, (void **)&room->parts, &room->parts_capacity, of->part_count + 1, sizeof(*room->parts));
    fit = async->entry_capacity < room->picks_capacity ? async->entry_capacity : room->picks_capacity;
    if (room->parts_capacity <= of->part_count)
        return 0;
    fit = fit < count ? fit : count;
    while (async->picks_count < fit) {
        room->picks[async->picks_count] = async->picks_count;
        async->picks_count++;
    }
    return (uint32_t)(fit - of->count);
}

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

static void add_lane(sending *of, uint32_t shard)
{
    lsi_async *async = of->async;
    const lsi_async_settings *settings = &async->settings;
    lsi_async_lane *lane = &async->lanes[shard];
    lsi_put_part part = {.shard = shard, .begin = of->count};
    uint32_t records_max = LSI_BATCH_RECORDS_MAX - of->count;
    uint64_t bytes = 0;

    refuse_too_large(async, lane, shard);
    records_max = records_max < settings->batch_records_max ? records_max : settings->batch_records_max;
    records_max = make_room(of, records_max < lane->count ? records_max : lane->count);
    for (const lsi_async_record *record = lane->records.first; part.count < records_max; record = record->next) {
        __builtin_prefetch(record->ahead);
        bytes += lsi_async_record_bytes(record);
        if ((part.count > 0 && bytes > settings->batch_bytes_max) || of->bytes + bytes > LSI_BATCH_BYTES_MAX ||
            is_too_large(async, record))
            break;
        async->entries[of->count + part.count++] = lsi_async_record_entry(record);
        if (part.count == records_max || part.count == lane->count)
            break;
    }
    if (part.count == 0)
        return;
    of->count += part.count;
    of->bytes += bytes;
    async->producer->batch.parts[of->part_count++] = part;
}

/* Lanes that are due, each after the other its turn to be the first. */
static void gather(sending *of)
{
    lsi_async *async = of->async;
    const lsi_route *route = &async->producer->route;

    for (uint32_t i = 0; i < route->count; i++) {
        uint32_t shard = route->shards[(async->lane_first + i) % route->count];

        if (shard >= async->lane_limit || lsi_async_lane_send_at(async, &async->lanes[shard]) > of->now_us)
            continue;
        add_lane(of, shard);
        if (of->count == LSI_BATCH_RECORDS_MAX || of->bytes >= LSI_BATCH_BYTES_MAX)
            break;
    }
    async->lane_first++;
}

/* ---- the call ---- */

static void note_failure(lsi_async *async)
{
    lsi_error_save(&async->why);
}

static void append_all(sending *of)
{
    lsi_async *async = of->async;
    lsi_producer *producer = async->producer;

    for (uint32_t i = 0; i < of->part_count; i++) {
        lsi_put_part *part = &producer->batch.parts[i];
        lsi_async_lane *lane = &async->lanes[part->shard];

        lane->retry_after_ms = 0;
        if (producer->is_limited) {
            lsi_put_admit_part(producer, async->entries, producer->batch.picks + part->begin, part);
            if (part->refused > 0) {
                lane->retry_after_ms = lsi_error_current()->retry_after_ms;
                note_failure(async);
            }
        }
        if (part->refused < part->count)
            lsi_batch_append(producer, async->entries, part, false);
        lane->appended = part->accepted;
        lane->append_status = part->status;
        if (part->status != LS_OK)
            note_failure(async);
    }
}

static void commit_all(sending *of)
{
    lsi_async *async = of->async;
    lsi_put_part *parts = async->producer->batch.parts;

    for (uint32_t i = 0; i < of->part_count; i++) {
        ls_status before = parts[i].status;

        lsi_batch_commit(async->producer, async->entries, &parts[i], async->settings.durability);
        if (parts[i].status != before)
            note_failure(async);
    }
}

/* ---- what became of it ---- */

static bool may_try_again(ls_status st)
{
    switch (st) {
    case LS_ERR_THROTTLED:
    case LS_ERR_BUSY:
    case LS_ERR_FULL:
    case LS_ERR_NO_MEMORY:
        return true;
    default:
        return false;
    }
}

static void count_attempt(lsi_async_record *record)
{
    if (record->attempts < LSI_ASYNC_ATTEMPTS_MAX)
        record->attempts = (record->attempts + 1u) & LSI_ASYNC_ATTEMPTS_MAX; /* The mask is for the compiler. */
}

/* The next `count` records of a part, in front of its lane, have their outcome; `*at` goes past them. */
static void settle(sending *of, const lsi_put_part *part, uint32_t *at, uint32_t count, ls_status st)
{
    const ls_put_entry *entries = of->async->entries + part->begin + *at;
    lsi_async_record *record = NULL;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < count; i++) {
        record = lsi_async_record_of(&entries[i]);
        if (i + LSI_ASYNC_AHEAD < count)
            __builtin_prefetch(lsi_async_record_of(&entries[i + LSI_ASYNC_AHEAD]));
        bytes += entries[i].partition_key.size + entries[i].data.size;
        count_attempt(record);
        lsi_async_settle(of->async, record, part->shard, st == LS_OK ? part->first_seqno + *at + i : LS_SEQNO_NONE, st);
    }
    if (count > 0)
        lsi_async_lane_pop(&of->async->lanes[part->shard], record, count, bytes);
    *at += count;
}

/* The next `count` were told `st`, and nothing of them was written: true if they stay in the lane, but for those in
 * front that were tried as often as they are. */
static bool settle_or_keep(sending *of, const lsi_put_part *part, uint32_t *at, uint32_t count, ls_status st)
{
    const ls_put_entry *entries = of->async->entries + part->begin;
    uint32_t given_up = 0;

    if (!may_try_again(st))
        given_up = count;
    /* Whoever stands further in front was tried more often. */
    while (given_up < count && lsi_async_record_of(&entries[*at + given_up])->attempts >= of->async->settings.retries_max)
        given_up++;
    settle(of, part, at, given_up, st);
    count -= given_up;
    for (uint32_t i = 0; i < count; i++)
        count_attempt(lsi_async_record_of(&entries[*at + i]));
    return count > 0;
}

static void finish_part(sending *of, const lsi_put_part *part)
{
    lsi_async_lane *lane = &of->async->lanes[part->shard];
    uint32_t tried = part->count - part->refused; /* handed to the log */
    uint32_t at = 0;

    if (part->moved) { /* Nothing was written, and that is nobody's failure. */
        lane->not_before_us = of->now_us + LOOK_AGAIN_US;
        return;
    }
    lane->not_before_us = 0;
    lane->failures = part->accepted > 0 ? 0 : lane->failures;
    settle(of, part, &at, part->accepted, LS_OK);
    settle(of, part, &at, lane->appended - part->accepted, LS_ERR_IO); /* N1: not synced */
    if (settle_or_keep(of, part, &at, tried - lane->appended, lane->append_status))
        lsi_async_lane_pause(of->async, lane, lane->append_status, of->now_us); /* N2: so the refused stay, too */
    else if (settle_or_keep(of, part, &at, part->refused, part->refused_status))
        lsi_async_lane_pause(of->async, lane, part->refused_status, of->now_us);
}

static ls_status first_failure(const sending *of)
{
    const lsi_put_part *parts = of->async->producer->batch.parts;

    for (uint32_t i = 0; i < of->part_count; i++)
        if (parts[i].status != LS_OK || parts[i].refused > 0)
            return parts[i].status != LS_OK ? parts[i].status : parts[i].refused_status;
    return LS_OK;
}

bool lsi_async_send(lsi_async *async, int64_t now_us)
{
    lsi_producer *producer = async->producer;
    sending of = {.async = async, .now_us = now_us};
    size_t stored = 0;

    gather(&of);
    if (of.part_count == 0)
        return false;
    lsi_put_begins(producer, of.count);
    if (producer->has_faults)
        lsi_fate_delay(producer);
    append_all(&of);
    commit_all(&of);
    for (uint32_t i = 0; i < of.part_count; i++)
        stored += producer->batch.parts[i].accepted;
    lsi_batch_ended(producer, stored, of.count, first_failure(&of));
    of.now_us = lsi_monotonic_us(&async->env->clock);
    for (uint32_t i = 0; i < of.part_count; i++)
        finish_part(&of, &producer->batch.parts[i]);
    return true;
}
