/* A queue for each shard, in order of tickets, which nobody but the thread touches.
 *
 * Keys are hashed many at a time, as records arrive. When the stream's shards change, all records are put in one row by
 * their tickets, and from there into lanes again: so a key's records that waited behind a closed shard stay in front of
 * those that come after (A1). */
#include "produce/async/async.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/status.h"

#define HASH_AT_ONCE 64u /* keys; a multiple of the widest lanes */

static void lane_add(lsi_async_lane *lane, lsi_async_record *record)
{
    assert(lane->records.first == NULL || lane->records.last->ticket < record->ticket); /* A1 */
    lsi_async_list_add(&lane->records, record);
    if (lane->count >= LSI_ASYNC_AHEAD) /* Then the one that came so many before is still there. */
        lane->recent[lane->recent_at]->ahead = record;
    lane->recent[lane->recent_at] = record;
    lane->recent_at = (lane->recent_at + 1) % LSI_ASYNC_AHEAD;
    lane->count++;
    lane->bytes += lsi_async_record_bytes(record);
}

void lsi_async_lane_pop(lsi_async_lane *lane, const lsi_async_record *last, uint32_t count, uint64_t bytes)
{
    assert(count <= lane->count && bytes <= lane->bytes);
    lane->records.first = last->next;
    lane->count -= count;
    lane->bytes -= bytes;
}

/* ---- sorting ---- */

/* Both in order of tickets. */
static lsi_async_list merge(lsi_async_list a, lsi_async_list b)
{
    lsi_async_list out = {NULL, NULL};

    while (a.first != NULL && b.first != NULL) {
        lsi_async_list *from = a.first->ticket < b.first->ticket ? &a : &b;
        lsi_async_record *record = from->first;

        from->first = record->next;
        lsi_async_list_add(&out, record);
    }
    if (a.first == NULL)
        a = b;
    if (out.first == NULL)
        return a;
    if (a.first != NULL) {
        out.last->next = a.first;
        out.last = a.last;
    }
    return out;
}

/* The shards changed: nothing is in a lane any more. */
static void take_back(lsi_async *async)
{
    for (uint32_t shard = 0; shard < async->lane_limit; shard++) {
        lsi_async_lane *lane = &async->lanes[shard];

        if (lane->count > 0)
            async->arrivals = merge(async->arrivals, lane->records);
        async->arrival_count += lane->count;
        async->arrival_bytes += lane->bytes;
        *lane = (lsi_async_lane){0};
    }
}

/* A lane for each shard there ever was. */
static bool cover_shards(lsi_async *async)
{
    uint32_t limit = async->producer->shard_limit;
    lsi_async_lane *larger;

    if (limit <= async->lane_limit)
        return true;
    larger = lsi_resize(&async->env->memory, async->lanes, limit * sizeof(*larger));
    if (larger == NULL)
        return false;
    memset(larger + async->lane_limit, 0, (limit - async->lane_limit) * sizeof(*larger));
    async->lanes = larger;
    async->lane_limit = limit;
    return true;
}

static void add_to_only(lsi_async *async)
{
    lsi_async_lane *lane = &async->lanes[async->producer->route.shards[0]];

    assert(lane->count == 0 || lane->records.last->ticket < async->arrivals.first->ticket); /* A1 */
    if (lane->count == 0)
        lane->records.first = async->arrivals.first;
    else
        lane->records.last->next = async->arrivals.first;
    lane->records.last = async->arrivals.last;
    lane->count += async->arrival_count;
    lane->bytes += async->arrival_bytes;
}

static void add_hashed(lsi_async *async, lsi_async_record *const *records, const ls_bytes *keys, uint32_t count)
{
    ls_hash_key hashes[HASH_AT_ONCE];

    lsi_hash_partition_keys(keys, count, hashes);
    for (uint32_t i = 0; i < count; i++)
        lane_add(&async->lanes[lsi_route_find(&async->producer->route, hashes[i])], records[i]);
}

static void add_to_all(lsi_async *async)
{
    lsi_async_record *records[HASH_AT_ONCE];
    ls_bytes keys[HASH_AT_ONCE];
    uint32_t gathered = 0;

    for (lsi_async_record *record = async->arrivals.first, *next; record != NULL; record = next) {
        ls_put_entry entry = lsi_async_record_entry(record);

        next = record->next;
        /* One with a hash of its own goes after those before it: they may be of its lane. */
        if (gathered == HASH_AT_ONCE || (entry.explicit_hash_key != NULL && gathered > 0)) {
            add_hashed(async, records, keys, gathered);
            gathered = 0;
        }
        if (entry.explicit_hash_key != NULL) {
            lane_add(&async->lanes[lsi_route_find(&async->producer->route, *entry.explicit_hash_key)], record);
        } else {
            records[gathered] = record;
            keys[gathered++] = entry.partition_key;
        }
    }
    if (gathered > 0)
        add_hashed(async, records, keys, gathered);
}

void lsi_async_lanes_sort(lsi_async *async, int64_t now_us)
{
    lsi_producer *producer = async->producer;

    (void)lsi_route_refresh(producer); /* With the routes of before the shards will say what is wrong. */
    atomic_store_explicit(&async->record_bytes_max, producer->record_bytes_max, memory_order_relaxed);
    if (producer->generation != async->lanes_generation)
        take_back(async);
    async->lanes_generation = producer->generation;
    async->sort_not_before_us = 0;
    if (async->arrivals.first == NULL)
        return;
    if (!cover_shards(async)) {
        async->sort_not_before_us = now_us + async->settings.backoff_us;
        return;
    }
    if (producer->route.count == 1)
        add_to_only(async);
    else
        add_to_all(async);
    async->arrivals = (lsi_async_list){NULL, NULL};
    async->arrival_count = 0;
    async->arrival_bytes = 0;
}

/* ---- what is due ---- */

int64_t lsi_async_lane_send_at(const lsi_async *async, const lsi_async_lane *lane)
{
    const lsi_async_settings *settings = &async->settings;
    const lsi_async_record *first = lane->records.first;
    int64_t at_us = 0;

    if (lane->count == 0)
        return INT64_MAX;
    if (first->ticket > async->send_until && lane->count < settings->batch_records_max &&
        lane->bytes < settings->batch_bytes_max)
        at_us = first->put_us + settings->linger_us;
    return at_us > lane->not_before_us ? at_us : lane->not_before_us;
}

static int64_t give_up_at(const lsi_async *async, const lsi_async_record *record)
{
    return async->settings.ttl_us == INT64_MAX ? INT64_MAX : record->put_us + async->settings.ttl_us;
}

int64_t lsi_async_lanes_due(const lsi_async *async, uint32_t *wake_records, uint64_t *wake_bytes)
{
    const lsi_async_settings *settings = &async->settings;
    const lsi_route *route = &async->producer->route;
    int64_t due_us = async->sort_not_before_us != 0 ? async->sort_not_before_us : INT64_MAX;

    *wake_records = settings->batch_records_max;
    *wake_bytes = settings->batch_bytes_max;
    for (uint32_t i = 0; i < route->count && route->shards[i] < async->lane_limit; i++) {
        const lsi_async_lane *lane = &async->lanes[route->shards[i]];
        int64_t send_us = lsi_async_lane_send_at(async, lane);
        int64_t drop_us = lane->count > 0 ? give_up_at(async, lane->records.first) : INT64_MAX;

        due_us = send_us < due_us ? send_us : due_us;
        due_us = drop_us < due_us ? drop_us : due_us;
        /* A full lane is due; if it pauses nevertheless, more records do not make it end sooner. */
        if (lane->count < settings->batch_records_max && settings->batch_records_max - lane->count < *wake_records)
            *wake_records = settings->batch_records_max - lane->count;
        if (lane->bytes < settings->batch_bytes_max && settings->batch_bytes_max - lane->bytes < *wake_bytes)
            *wake_bytes = settings->batch_bytes_max - lane->bytes;
    }
    return due_us;
}

uint64_t lsi_async_lanes_oldest(const lsi_async *async)
{
    uint64_t oldest = async->arrivals.first != NULL ? async->arrivals.first->ticket : async->taken + 1;

    for (uint32_t shard = 0; shard < async->lane_limit; shard++) {
        const lsi_async_lane *lane = &async->lanes[shard];

        if (lane->count > 0 && lane->records.first->ticket < oldest)
            oldest = lane->records.first->ticket;
    }
    return oldest;
}

void lsi_async_lane_pause(const lsi_async *async, lsi_async_lane *lane, ls_status st, int64_t now_us)
{
    const lsi_async_settings *settings = &async->settings;
    int64_t pause_us = settings->backoff_us;

    for (uint32_t i = 0; i < lane->failures && pause_us < settings->backoff_max_us; i++)
        pause_us *= 2;
    if (pause_us > settings->backoff_max_us)
        pause_us = settings->backoff_max_us;
    if (pause_us < (int64_t)lane->retry_after_ms * 1000)
        pause_us = (int64_t)lane->retry_after_ms * 1000;
    lane->failures++;
    lane->not_before_us = now_us + pause_us;
    lane->last = st;
}

/* ---- what is given up ---- */

static ls_status why_dropped(const lsi_async *async, const lsi_async_record *record, ls_status last,
                             uint64_t cancel_until, int64_t now_us)
{
    if (record->ticket <= cancel_until)
        return LS_ERR_CANCELLED;
    if (now_us >= give_up_at(async, record))
        return last != LS_OK && record->attempts > 0 ? last : LS_ERR_TIMEOUT; /* A lane of new shards knows none. */
    return LS_OK;
}

void lsi_async_lane_drop(lsi_async *async, lsi_async_lane *lane, uint32_t shard, ls_status st)
{
    const lsi_async_record *first = lane->records.first;
    ls_async_outcome outcome = {.seqno = LS_SEQNO_NONE, .shard = shard, .status = st};

    lsi_async_lane_pop(lane, first, 1, lsi_async_record_bytes(first));
    lsi_async_settle(async, first, &outcome);
}

/* Older ones, by ticket and by time, are in front. */
static void drop_of_lane(lsi_async *async, lsi_async_lane *lane, uint32_t shard, uint64_t cancel_until, int64_t now_us)
{
    while (lane->count > 0) {
        ls_status st = why_dropped(async, lane->records.first, lane->last, cancel_until, now_us);

        if (st == LS_OK)
            return;
        lsi_async_lane_drop(async, lane, shard, st);
    }
}

void lsi_async_lanes_drop(lsi_async *async, uint64_t cancel_until, int64_t now_us)
{
    const lsi_route *route = &async->producer->route;

    for (uint32_t i = 0; i < route->count && route->shards[i] < async->lane_limit; i++)
        drop_of_lane(async, &async->lanes[route->shards[i]], route->shards[i], cancel_until, now_us);
    while (async->arrivals.first != NULL) {
        const lsi_async_record *record = async->arrivals.first;
        ls_status st = why_dropped(async, record, LS_ERR_NO_MEMORY, cancel_until, now_us);
        ls_async_outcome outcome = {.seqno = LS_SEQNO_NONE, .shard = LSI_NO_SHARD, .status = st};

        if (st == LS_OK)
            return;
        async->arrivals.first = record->next;
        async->arrival_count--;
        async->arrival_bytes -= lsi_async_record_bytes(record);
        lsi_async_settle(async, record, &outcome);
    }
}
