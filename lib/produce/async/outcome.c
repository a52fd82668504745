/* What became of records: told to the callback, one after another, and kept for a while for those who ask by ticket.
 *
 * Outcomes are gathered and told 64 at a time, so that the lock of those that are kept is taken once for them. A kept
 * outcome has its place by its ticket, so a later ticket takes it from one that is older by as many as are kept. */
#include "produce/async/async.h"

#include "base/status.h"

/* The producer whose callback this thread is in. */
static _Thread_local const lsi_async *telling;

bool lsi_async_is_telling(const lsi_async *async)
{
    return telling == async;
}

ls_status lsi_async_outcomes_open(lsi_async *async)
{
    size_t bytes = (size_t)async->settings.outcomes_kept * sizeof(*async->kept);

    if (bytes == 0)
        return LS_OK;
    async->kept = lsi_alloc_zero(&async->env->memory, bytes);
    if (async->kept == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory to keep %u outcomes", async->settings.outcomes_kept);
    return LS_OK;
}

void lsi_async_settle(lsi_async *async, const lsi_async_record *record, ls_async_outcome *outcome)
{
    ls_put_entry entry = lsi_async_record_entry(record);
    lsi_async_chunk *chunk = record->chunk;

    if (record->is_unknown && outcome->status != LS_OK)
        outcome->status = LS_ERR_IO; /* A try before the last may have stored it. */
    outcome->ticket = record->ticket;
    outcome->tag = record->tag;
    outcome->attempts = record->attempts;
    outcome->partition_key = entry.partition_key;
    outcome->data = entry.data;
    async->outcomes[async->outcome_count++] = *outcome;
    lsi_async_count_outcome(async, record, outcome);
    if (chunk->told++ == 0) {
        chunk->next = async->told_chunks;
        async->told_chunks = chunk;
    }
    if (async->outcome_count == LSI_ASYNC_TOLD_AT_ONCE)
        lsi_async_tell(async);
}

/* The last error, for the callback. */
static void explain(const lsi_async *async, const ls_async_outcome *outcome)
{
    bool is_known = async->why.status == outcome->status;

    (void)lsi_fail(outcome->status, "stream '%s': record %llu of the producer was not stored after %u tries%s%s",
                   async->producer->name, (unsigned long long)outcome->ticket, outcome->attempts,
                   is_known ? ": " : "", is_known ? async->why.message : "");
}

void lsi_async_tell(lsi_async *async)
{
    if (async->outcome_count == 0)
        return;
    if (async->kept != NULL) {
        lsi_lock_hold(&async->kept_lock, LSI_RANK_LOCAL);
        for (uint32_t i = 0; i < async->outcome_count; i++) {
            ls_async_outcome *kept = &async->kept[async->outcomes[i].ticket % async->settings.outcomes_kept];

            if (kept->ticket > async->outcomes[i].ticket)
                continue; /* Nobody is told of this one any more. */
            *kept = async->outcomes[i];
            kept->partition_key = kept->data = (ls_bytes){NULL, 0};
        }
        lsi_lock_release(&async->kept_lock, LSI_RANK_LOCAL);
    }
    telling = async;
    for (uint32_t i = 0; async->settings.callback != NULL && i < async->outcome_count; i++) {
        if (async->outcomes[i].status != LS_OK)
            explain(async, &async->outcomes[i]);
        async->settings.callback(&async->outcomes[i], async->settings.user);
    }
    telling = NULL;
    async->told_in_turn += async->outcome_count;
    async->outcome_count = 0;
}
