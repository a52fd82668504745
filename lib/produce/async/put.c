/* What any thread does: check a record, copy it, number it. The lock is held for the copy and a few additions; the
 * thread that sends is woken for the first record of a pause and for a batch that is full, not for each. */
#include "produce/async/async.h"

#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

/* Locks: async->lock held. Whether the thread has to be woken for this record. */
static bool append(lsi_async *async, lsi_async_record *record)
{
    bool is_first = async->inbox.first == NULL;

    record->ticket = ++async->issued;
    lsi_async_list_add(&async->inbox, record);
    async->inbox_records++;
    async->inbox_bytes += lsi_async_record_bytes(record);
    return async->asleep_until_us != 0 &&
           (async->inbox_records >= async->wake_records || async->inbox_bytes >= async->wake_bytes ||
            (is_first && record->put_us + async->settings.linger_us < async->asleep_until_us));
}

static void fill(lsi_async_record *record, const ls_put_entry *entry)
{
    unsigned char *at = (unsigned char *)(record + 1);

    if (entry->explicit_hash_key != NULL) {
        memcpy(at, entry->explicit_hash_key, sizeof(ls_hash_key));
        at += sizeof(ls_hash_key);
    }
    memcpy(at, entry->partition_key.data, entry->partition_key.size);
    if (entry->data.size > 0)
        memcpy(at + entry->partition_key.size, entry->data.data, entry->data.size);
}

static ls_status full(const lsi_async *async)
{
    return lsi_fail(LS_ERR_BUSY, "stream '%s': %llu bytes of records wait to be stored: buffered_bytes_max is %llu",
                    async->producer->name, (unsigned long long)async->room.bytes,
                    (unsigned long long)async->settings.buffered_bytes_max);
}

/* Locks: async->lock held. Room for a record, waited for; `*out` is set with LS_OK. */
static ls_status take_room(lsi_async *async, uint32_t bytes, int64_t until_us, lsi_async_chunk **chunk, void **out)
{
    for (;;) {
        ls_status st;

        if (async->is_closing)
            return lsi_fail(LS_ERR_STATE, "stream '%s': the asynchronous producer is being closed",
                            async->producer->name);
        st = lsi_async_room_take(&async->room, bytes, chunk, out);
        if (st != LS_OK || *out != NULL)
            return st;
        if (!lsi_async_wait_for_progress(async, until_us))
            return full(async);
    }
}

ls_status lsi_async_put(lsi_async *async, const ls_put_entry *entry, void *tag, int64_t timeout_ms, uint64_t *ticket)
{
    const lsi_clock *clock = &async->env->clock;
    bool has_hash = entry->explicit_hash_key != NULL;
    uint64_t bytes = lsi_round_up(sizeof(lsi_async_record) + (has_hash ? sizeof(ls_hash_key) : 0) +
                                  entry->partition_key.size + entry->data.size, 8);
    lsi_async_chunk *chunk;
    lsi_async_record *record;
    int64_t now_us, until_us;
    bool is_wanted;
    void *at;
    ls_status st;

    st = lsi_check_record(entry->partition_key, entry->data,
                          atomic_load_explicit(&async->record_bytes_max, memory_order_relaxed)); /* a number alone */
    if (st != LS_OK)
        return st;
    if (!lsi_async_room_fits(&async->room, bytes))
        return lsi_fail(LS_ERR_TOO_LARGE, "record takes %llu bytes of memory: buffered_bytes_max is %llu",
                        (unsigned long long)bytes, (unsigned long long)async->settings.buffered_bytes_max);
    now_us = lsi_monotonic_us(clock);
    until_us = lsi_async_until(now_us, lsi_async_is_telling(async) ? 0 : timeout_ms);
    lsi_lock_hold(&async->lock, LSI_RANK_LOCAL);
    st = take_room(async, (uint32_t)bytes, until_us, &chunk, &at);
    if (st != LS_OK) {
        lsi_lock_release(&async->lock, LSI_RANK_LOCAL);
        return st;
    }
    record = at;
    *record = (lsi_async_record){.chunk = chunk, .tag = tag, .put_us = now_us, .has_hash = has_hash,
                                 .data_bytes = (uint32_t)entry->data.size,
                                 .key_bytes = (uint32_t)entry->partition_key.size & 0xfffu};
    fill(record, entry);
    is_wanted = append(async, record);
    if (is_wanted)
        lsi_async_want(async);
    if (ticket != NULL)
        *ticket = record->ticket;
    lsi_lock_release(&async->lock, LSI_RANK_LOCAL);
    if (is_wanted)
        lsi_async_wake(async);
    return LS_OK;
}
