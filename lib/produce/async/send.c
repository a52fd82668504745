/* One batch: what gather.c took of some lanes, written shard by shard and then waited for, as batch.c does it; but no
 * record goes to another shard than that of its lane. What was not stored stays in front of its lane (A1, A2): a shard
 * that was closed costs a pause, and the next turn sorts its records anew.
 *
 * N1 What may be in the log is never sent again without a number: neither what LS_ERR_IO was said of, nor what was
 *    appended and could not be synced. With one it is, with the same.
 * N2 Of a lane goes what stands in front, and what follows a record that was not stored was not stored either. */
#include "produce/async/async.h"

#include <assert.h>

#include "base/status.h"

/* Until a shard that was closed shows its successors; as route.c looks. */
#define LOOK_AGAIN_US 2000

/* ---- the call ---- */

static void note_failure(lsi_async *async)
{
    lsi_error_save(&async->why);
}

/* What a limit or a fault refuses of a part. */
static void admit(lsi_async_call *of, lsi_put_part *part)
{
    lsi_async *async = of->async;
    lsi_producer *producer = async->producer;

    lsi_put_admit_part(producer, async->entries, producer->batch.picks + part->begin, part);
    if (part->refused == 0)
        return;
    async->lanes[part->shard].retry_after_ms = lsi_error_current()->retry_after_ms;
    note_failure(async);
}

static void append_all(lsi_async_call *of)
{
    lsi_async *async = of->async;
    lsi_producer *producer = async->producer;

    for (uint32_t i = 0; i < of->part_count; i++) {
        lsi_put_part *part = &producer->batch.parts[i];
        lsi_async_lane *lane = &async->lanes[part->shard];

        lane->retry_after_ms = 0;
        if (producer->is_limited && !async->settings.is_idempotent) /* Else repeats are told from what is new first. */
            admit(of, part);
        if (lsi_async_is_packed(async))
            lsi_async_packed_append(of, part);
        else if (part->refused < part->count)
            lsi_batch_append(producer, async->entries, part, false);
        lane->appended = part->accepted;
        lane->append_status = part->status;
        if (part->refused_status == LS_ERR_THROTTLED)
            lane->retry_after_ms = lsi_error_current()->retry_after_ms;
        if (part->status != LS_OK || part->refused_status != LS_OK)
            note_failure(async);
    }
}

static void commit_all(lsi_async_call *of)
{
    lsi_async *async = of->async;
    lsi_put_part *parts = async->producer->batch.parts;

    for (uint32_t i = 0; i < of->part_count; i++) {
        ls_status before = parts[i].status;

        if (lsi_async_is_packed(async))
            lsi_async_packed_commit(of, &parts[i]);
        else
            lsi_batch_commit(async->producer, async->entries, &parts[i], async->settings.durability);
        if (parts[i].status != before)
            note_failure(async);
    }
}

/* ---- what became of it ---- */

static bool may_try_again(const lsi_async *async, ls_status st)
{
    switch (st) {
    case LS_ERR_THROTTLED:
    case LS_ERR_BUSY:
    case LS_ERR_FULL:
    case LS_ERR_NO_MEMORY:
        return true;
    case LS_ERR_IO:
        return async->settings.is_idempotent; /* N1 */
    default:
        return false;
    }
}

static void count_attempt(lsi_async_record *record)
{
    if (record->attempts < LSI_ASYNC_ATTEMPTS_MAX)
        record->attempts = (record->attempts + 1u) & LSI_ASYNC_ATTEMPTS_MAX; /* The mask is for the compiler. */
}

static void settle_one(lsi_async *async, lsi_async_record *record, ls_async_outcome *outcome)
{
    count_attempt(record);
    lsi_async_settle(async, record, outcome);
}

/* Where a numbered record is: a repeat, perhaps in a shard that is closed by now, or in an aggregate though records go
 * by themselves now. */
static void take_told(const lsi_async *async, uint32_t entry, ls_async_outcome *outcome)
{
    const ls_put_result *told = &async->producer->batch.told[entry];

    outcome->seqno = told->seqno;
    outcome->shard = told->shard;
    if (lsi_async_is_packed(async) || told->status == LS_ERR_EXISTS) {
        outcome->sub_seqno = async->sub_seqnos[entry];
        outcome->sub_count = async->sub_counts[entry];
    }
}

/* Of how many records an entry is. */
static uint32_t users_of(const lsi_async *async, uint32_t entry)
{
    return async->packing.pack != NULL && !async->settings.is_idempotent ? async->packing.users[entry] : 1;
}

/* The next `count` entries of a part, in front of its lane, have their outcome; `*at` goes past them. */
static void settle(lsi_async_call *of, const lsi_put_part *part, uint32_t *at, uint32_t count, ls_status st)
{
    lsi_async *async = of->async;
    const ls_put_entry *entries = async->entries + part->begin + *at;
    lsi_async_record *record = NULL;
    uint32_t records = 0;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < count; i++) {
        ls_async_outcome outcome = {.shard = part->shard, .status = st, .seqno = LS_SEQNO_NONE};

        record = lsi_async_record_of(&entries[i]);
        if (i + LSI_ASYNC_AHEAD < count)
            __builtin_prefetch(lsi_async_record_of(&entries[i + LSI_ASYNC_AHEAD]));
        if (st == LS_OK && async->settings.is_idempotent)
            take_told(async, part->begin + *at + i, &outcome);
        else if (st == LS_OK)
            outcome.seqno = part->first_seqno + *at + i;
        uint32_t users = users_of(async, part->begin + *at + i);
        if (users > 1)
            outcome.sub_count = users;
        bytes += lsi_async_record_bytes(record);
        settle_one(async, record, &outcome);
        for (uint32_t k = 1; k < users; k++) { /* the others of an aggregate */
            record = record->next;
            outcome.sub_seqno = k;
            bytes += lsi_async_record_bytes(record);
            settle_one(async, record, &outcome);
        }
        records += users;
    }
    if (count > 0)
        lsi_async_lane_pop(&async->lanes[part->shard], record, records, bytes);
    *at += count;
}

/* The next `count` entries were told `st`, and nothing of them was written: true if they stay in the lane, but for
 * those in front that were tried as often as they are. */
static bool settle_or_keep(lsi_async_call *of, const lsi_put_part *part, uint32_t *at, uint32_t count, ls_status st)
{
    const lsi_async *async = of->async;
    const ls_put_entry *entries = async->entries + part->begin;
    uint32_t given_up = 0;

    if (!may_try_again(async, st))
        given_up = count;
    /* Whoever stands further in front was tried more often. So the last of an aggregate may be given up too early. */
    while (given_up < count && lsi_async_record_of(&entries[*at + given_up])->attempts >= async->settings.retries_max)
        given_up++;
    settle(of, part, at, given_up, st);
    count -= given_up;
    for (uint32_t i = 0; i < count; i++) {
        lsi_async_record *record = lsi_async_record_of(&entries[*at + i]);

        count_attempt(record);
        for (uint32_t k = 1; k < users_of(async, part->begin + *at + i); k++)
            count_attempt(record = record->next);
    }
    return count > 0;
}

/* A numbered part was taken whole or not at all; taken, each record was told by itself. Those that were refused come
 * last; a repeat among them is found again. */
static void finish_numbered(lsi_async_call *of, const lsi_put_part *part)
{
    lsi_async_lane *lane = &of->async->lanes[part->shard];
    const ls_put_result *told = of->async->producer->batch.told + part->begin;
    bool is_unknown = part->status == LS_ERR_IO || lane->appended > part->accepted;
    uint32_t at = 0;

    while (part->accepted > 0 && at < part->count && !may_try_again(of->async, told[at].status))
        settle(of, part, &at, 1, told[at].status == LS_ERR_EXISTS ? LS_OK : told[at].status);
    if (at == part->count)
        return;
    for (uint32_t i = at; is_unknown && i < part->count; i++)
        lsi_async_record_of(&of->async->entries[part->begin + i])->is_unknown = 1;
    if (settle_or_keep(of, part, &at, part->count - at, part->accepted > 0 ? told[at].status : part->status))
        lsi_async_lane_pause(of->async, lane, part->accepted > 0 ? part->refused_status : part->status, of->now_us);
}

static void finish_part(lsi_async_call *of, const lsi_put_part *part)
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
    if (of->async->settings.is_idempotent) {
        finish_numbered(of, part);
        return;
    }
    settle(of, part, &at, part->accepted, LS_OK);
    settle(of, part, &at, lane->appended - part->accepted, LS_ERR_IO); /* N1: not synced */
    if (settle_or_keep(of, part, &at, tried - lane->appended, lane->append_status))
        lsi_async_lane_pause(of->async, lane, lane->append_status, of->now_us); /* N2: so the refused stay, too */
    else if (settle_or_keep(of, part, &at, part->refused, part->refused_status))
        lsi_async_lane_pause(of->async, lane, part->refused_status, of->now_us);
}

static ls_status first_failure(const lsi_async_call *of)
{
    const lsi_put_part *parts = of->async->producer->batch.parts;

    for (uint32_t i = 0; i < of->part_count; i++)
        if (parts[i].status != LS_OK || parts[i].refused_status != LS_OK)
            return parts[i].status != LS_OK ? parts[i].status : parts[i].refused_status;
    return LS_OK;
}

/* How many entries a part stored. */
static uint32_t stored_of(const lsi_async_call *of, const lsi_put_part *part)
{
    const ls_put_result *told = of->async->producer->batch.told;
    uint32_t count = 0;

    if (!of->async->settings.is_idempotent || part->accepted == 0)
        return part->accepted;
    for (uint32_t i = 0; i < part->count; i++)
        count += told[part->begin + i].status == LS_OK || told[part->begin + i].status == LS_ERR_EXISTS;
    return count;
}

bool lsi_async_send(lsi_async *async, int64_t now_us)
{
    lsi_producer *producer = async->producer;
    lsi_async_call of = {.async = async, .now_us = now_us};
    size_t stored = 0;

    lsi_async_gather(&of);
    if (of.part_count == 0)
        return false;
    lsi_async_count(async, LSI_ASYNC_BATCHES, of.part_count);
    lsi_put_begins(producer, of.count);
    if (producer->has_faults)
        lsi_fate_delay(producer);
    producer->batch.options = async->settings.is_idempotent ? &async->numbered : NULL;
    async->numbered.numbers = async->numbers; /* They may have grown. */
    producer->batch.sub_seqnos = async->sub_seqnos;
    producer->batch.sub_counts = async->sub_counts;
    append_all(&of);
    commit_all(&of);
    producer->batch.options = NULL;
    for (uint32_t i = 0; i < of.part_count; i++)
        stored += stored_of(&of, &producer->batch.parts[i]);
    lsi_batch_ended(producer, stored, of.count, first_failure(&of));
    of.now_us = lsi_monotonic_us(&async->env->clock);
    for (uint32_t i = 0; i < of.part_count; i++)
        finish_part(&of, &producer->batch.parts[i]);
    return true;
}
