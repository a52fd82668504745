/* Puts, and what of them may be trimmed. See session.h. */
#include "harness/session_inside.h"

#include <stdlib.h>

#include "support/sim_inside.h"

#define BATCH_MAX 16u

/* ---- trimming ---- */

/* Of a stream with a cap so much stays at least: less than the cap by the segment that went last, by the last one,
 * which takes its place on the disk before it is full, and by one that a loss of power took; and segments are nine
 * tenths full. */
static uint64_t kept_bytes(uint64_t cap)
{
    return (cap - 3 * SESSION_SEGMENT_BYTES) / 10 * 9;
}

/* A call takes less by the session's clock. */
#define MOMENT_US INT64_C(10000000)
void session_note_expired(session *of, size_t at)
{
    int64_t now_us = atomic_load_explicit(&of->now_us, memory_order_relaxed) + MOMENT_US;
    uint64_t after[SESSION_STREAMS_MAX] = {0};

    for (size_t i = of->truth->put_count; i-- > 0;) {
        put_fact *put = &of->truth->puts[i];
        const stream_fact *stream = &of->truth->streams[put->stream];

        if ((stream->retention_bytes != 0 && after[put->stream] >= kept_bytes(stream->retention_bytes)) ||
            (stream->retention_hours != 0 && put->begun_us + stream->retention_hours * INT64_C(3600000000) <= now_us))
            put->expired_at = put->expired_at < at ? put->expired_at : at;
        after[put->stream] += put->data_bytes;
    }
}

void session_all_over_cap(session *of)
{
    for (size_t i = 0; i < of->truth->put_count; i++) {
        put_fact *put = &of->truth->puts[i];

        if (of->truth->streams[put->stream].retention_bytes != 0 && put->expired_at > session_here(of))
            put->expired_at = session_here(of);
    }
}

void session_pass(session *of, int64_t us)
{
    (void)atomic_fetch_add_explicit(&of->now_us, us, memory_order_relaxed);
    session_note_expired(of, session_here(of));
}

ls_status session_maintain(session *of)
{
    if (of->store == NULL && session_open(of, of->durability) != LS_OK)
        return of->last;
    for (uint32_t i = 0; i < of->truth->stream_count; i++)
        if (truth_may_scale(of->truth, i) && of->truth->streams[i].gone_at == NEVER &&
            of->truth->streams[i].drop_begun_at == NEVER && session_want_stream(of, i) != LS_OK)
            return of->last; /* What this does to its shards would not be known. */
    session_note_expired(of, session_here(of));
    ls_status st = session_answered(of, ls_store_maintain(of->store, -1));
    (void)session_look(of);
    return st;
}

/* ---- puts ---- */

ls_status session_want_producer(session *of, uint32_t stream)
{
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK || of->producers[stream] != NULL)
        return st;
    st = session_answered(of, ls_producer_open(of->streams[stream], NULL, &of->producers[stream]));
    if (st != LS_OK)
        of->producers[stream] = NULL;
    return st;
}

void session_put_answered(session *of, uint32_t number, ls_status st, ls_seqno seqno)
{
    put_fact *put = &of->truth->puts[number - 1];
    size_t written = session_written_at(of, number, put->begun_at);

    if (of->is_sealed[put->stream] && written < session_here(of))
        session_complain(of, "X5: put %u was written as it is, and its stream is encrypted", number);
    if (st == LS_OK) {
        put->seqno = seqno;
        put->given_at = written;
        put->acked_at = session_here(of);
        if (of->durability == LS_DURABILITY_SYNC)
            put->durable_at = session_here(of);
    } else if (session_is_unknown(st)) {
        put->is_unknown = true;
    } else {
        put->gone_at = session_here(of);
    }
}

/* The puts of this call, numbers [first, first + count), are about to be answered: what the call says by its deeds. */
static void put_done(session *of, uint32_t stream, uint32_t shard, uint32_t first, size_t from)
{
    bool rolled = session_rolled_since(of, stream, shard, from);

    for (uint32_t i = 0; rolled && i + 1 < first; i++) {
        put_fact *put = &of->truth->puts[i];

        if (put->stream == stream && put->shard == shard && put->acked_at != NEVER && put->durable_at == NEVER)
            put->durable_at = session_here(of);
    }
}

ls_status session_batch(session *of, uint32_t stream, uint32_t shard, uint32_t count, uint32_t bytes, bool atomic)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_put_entry entries[BATCH_MAX];
    ls_put_result results[BATCH_MAX] = {{0}};
    char keys[BATCH_MAX][16];
    unsigned char *data; /* the session's, for a process may be killed in here */
    ls_hash_key hash_key;
    uint32_t first = (uint32_t)of->truth->put_count + 1, group = atomic ? ++of->truth->group_count : 0;
    size_t failed = 0, from;
    bool was_failed = of->failed[stream][shard], doubted;
    ls_status st = session_want_producer(of, stream);

    if (st != LS_OK)
        return st;
    if (!session_is_open(of, stream, shard)) /* What should have made it failed. */
        return LS_ERR_STATE;
    if (count > BATCH_MAX)
        abort();
    hash_key = session_key_of(of, stream, shard, first);
    bytes = bytes < TRUTH_MARK_BYTES ? TRUTH_MARK_BYTES : bytes;
    data = of->data = sim_must(realloc(of->data, (size_t)count * bytes));
    from = session_here(of);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = truth_put_begin(of->truth, stream, shard, group, bytes, from);

        truth_data(number, data + (size_t)i * bytes, bytes);
        entries[i] = (ls_put_entry){.partition_key = {keys[i], truth_key(number, keys[i])},
                                    .data = {data + (size_t)i * bytes, bytes},
                                    .explicit_hash_key = &hash_key};
        of->truth->puts[number - 1].key_number = first;
        of->truth->puts[number - 1].number = of->truth->streams[stream].is_numbered ? number : 0;
        of->truth->puts[number - 1].begun_us = atomic_load_explicit(&of->now_us, memory_order_relaxed);
    }
    session_note_expired(of, from);
    options.flags = atomic ? LS_PUT_ATOMIC : 0;
    if (of->truth->streams[stream].is_numbered) {
        options.producer = session_producer_id(stream);
        options.number = first;
    }
    if (count == 1 && !atomic) {
        ls_record_id id = {0};

        options.explicit_hash_key = &hash_key;
        st = ls_producer_put(of->producers[stream], entries[0].partition_key, entries[0].data, &options, &id);
        results[0] = (ls_put_result){id.seqno, id.shard, st};
    } else {
        st = ls_producer_put_batch(of->producers[stream], entries, count, &options, results, &failed);
        for (uint32_t i = 0; i < count && st != LS_OK; i++)
            results[i].status = st;
    }
    of->written[stream][shard] = of->written[stream][shard] || session_written_at(of, first, from) < session_here(of);
    doubted = session_look(of);
    if (!doubted)
        put_done(of, stream, shard, first, from);
    if (was_failed && st == LS_OK && failed < count)
        session_complain(of, "E1: put %u is acknowledged by a shard whose sync failed", first);
    if (was_failed && st != LS_OK && st != LS_ERR_IO && st != LS_ERR_NO_MEMORY)
        session_complain(of, "E1: a shard whose sync failed refuses a put with %s", ls_status_name(st));
    for (uint32_t i = 0; i < count; i++) {
        if (results[i].status == LS_OK && results[i].shard != shard)
            session_complain(of, "put %u went to shard %u instead of %u", first + i, results[i].shard, shard);
        session_put_answered(of, first + i, results[i].status, results[i].seqno);
        st = st == LS_OK ? results[i].status : st;
    }
    if (doubted && of->durability != LS_DURABILITY_SYNC) /* Before or after the answer: nobody knows. */
        session_sync_failed(of);
    of->put_io = of->put_io || st == LS_ERR_IO;
    return session_answered(of, st);
}

ls_status session_put(session *of, uint32_t stream, uint32_t shard, uint32_t bytes)
{
    return session_batch(of, stream, shard, 1, bytes, false);
}

ls_status session_sync(session *of)
{
    ls_status st;

    if (of->store == NULL && session_open(of, of->durability) != LS_OK)
        return of->last;
    st = session_answered(of, ls_store_sync(of->store));
    session_synced(of, st);
    return st;
}

ls_status session_reset(session *of, uint32_t stream, uint32_t shard)
{
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK)
        return st;
    st = session_answered(of, ls_stream_reset_shard(of->streams[stream], shard));
    if (st == LS_OK)
        of->failed[stream][shard] = false;
    for (size_t i = 0; st == LS_OK && i < of->truth->put_count; i++) {
        put_fact *put = &of->truth->puts[i];

        /* What reading does not show now is given up. */
        if (put->stream == stream && put->shard == shard && put->is_unknown)
            put->gone_at = put->gone_at != NEVER ? put->gone_at : NEVER - 1;
    }
    return st;
}
