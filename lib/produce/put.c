/* One record from the caller's hands to the log, and the life of a producer.
 *
 * The path of a put is short on purpose: check, find the shard, append, commit. Nothing is allocated and nothing but
 * the key is hashed; what a put needs was made when the shards were last looked at. A shard that was closed between
 * the look and the append answers `moved`: nothing was written, so the record is routed again.
 *
 * U1 An append that reached a shard is never repeated: only `moved` is, which wrote nothing.
 * U2 `ends` names, per shard, what this producer appended and no sync has covered: flush has nothing else to do. */
#include "produce/producer.h"

#include <assert.h>

#include "base/status.h"

ls_status lsi_producer_open(lsi_engine_stream *stream, lsi_producer **out)
{
    const lsi_env *env = &stream->engine->env;
    lsi_producer *producer;
    ls_status st;

    if (stream->engine->read_only)
        return lsi_fail(LS_ERR_READ_ONLY, "the store was opened for reading: it takes no producer");
    producer = lsi_alloc_zero(&env->memory, sizeof(*producer));
    if (producer == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a producer");
    producer->stream = stream;
    producer->ops = stream->engine->ops;
    producer->env = env;
    producer->durability = producer->ops->durability(stream->engine);
    producer->has_faults = lsi_faults_strike(&stream->engine->faults);
    if (producer->has_faults)
        lsi_fate_begin(producer);
    st = producer->ops->appender_open(stream, &producer->appender);
    if (st != LS_OK) {
        lsi_producer_close(producer);
        return st;
    }
    lsi_put_counts_open(producer);
    *out = producer;
    return LS_OK;
}

void lsi_producer_close(lsi_producer *producer)
{
    const lsi_memory *memory;

    if (producer == NULL)
        return;
    memory = &producer->env->memory;
    if (producer->appender != NULL)
        producer->ops->appender_close(producer->appender);
    lsi_free(memory, producer->known_keys);
    lsi_free(memory, producer->batch.pending);
    lsi_free(memory, producer->batch.shards);
    lsi_free(memory, producer->batch.picks);
    lsi_free(memory, producer->batch.parts);
    lsi_free(memory, producer->batch.told);
    lsi_free(memory, producer->batch.fresh);
    lsi_free(memory, producer->firsts);
    lsi_free(memory, producer->indexes);
    lsi_free(memory, producer->ends);
    lsi_free(memory, producer->counts);
    lsi_free(memory, producer);
}

ls_status lsi_put_commit(lsi_producer *producer, uint32_t shard, uint64_t end, ls_durability asked)
{
    ls_durability durability = lsi_put_durability(producer, asked);
    bool is_synced = producer->durability == LS_DURABILITY_SYNC || durability == LS_DURABILITY_SYNC;
    ls_status st;

    assert(shard < producer->shard_limit);
    if (!is_synced) {
        producer->ends[shard] = end; /* U2 */
        if (durability == LS_DURABILITY_DEFAULT)
            return LS_OK; /* The append has done it all. */
    }
    st = producer->ops->commit(producer->appender, shard, end, durability);
    if (st == LS_OK && is_synced)
        producer->ends[shard] = 0; /* A sync up to here covers what was appended before. */
    return st;
}

/* `*to`: the shard, once it is written there. */
static inline __attribute__((always_inline)) ls_status put(lsi_producer *producer, const ls_put_entry *entry,
                                                           ls_durability durability, uint32_t *to, ls_record_id *out)
{
    const lsi_append batch = {.entries = entry, .picks = NULL, .count = 1, .atomic = false};
    int64_t deadline_us = 0;
    lsi_append_result result; /* Filled by append, whatever that answers. */
    uint32_t shard;
    ls_status st;

    if (producer->has_faults)
        lsi_fate_delay(producer);
    for (;;) {
        st = lsi_route_refresh(producer);
        if (st != LS_OK)
            return st;
        st = lsi_check_record(entry->partition_key, entry->data, producer->record_bytes_max);
        if (st != LS_OK)
            return st;
        shard = lsi_route_of(producer, entry->partition_key, entry->explicit_hash_key);
        if (producer->is_limited) {
            st = lsi_put_admit(producer, shard, 1, entry->partition_key.size + entry->data.size);
            if (st != LS_OK)
                return st;
        }
        st = producer->ops->append(producer->appender, shard, &batch, &result);
        if (st != LS_OK)
            return st;
        if (!result.moved)
            break;
        st = lsi_route_wait(producer, producer->generation, shard, &deadline_us); /* U1 */
        if (st != LS_OK)
            return st;
    }
    st = lsi_put_commit(producer, shard, result.end, durability);
    if (st != LS_OK)
        return st;
    *to = shard;
    if (out != NULL)
        *out = (ls_record_id){.seqno = result.first_seqno, .shard = shard, .reserved = 0};
    return LS_OK;
}

ls_status lsi_producer_put(lsi_producer *producer, ls_bytes key, ls_bytes data, const ls_hash_key *explicit_key,
                           ls_durability durability, ls_record_id *out)
{
    const ls_put_entry entry = {key, data, explicit_key};
    uint32_t shard = LSI_NO_SHARD;
    ls_status st;

    lsi_put_begins(producer, 1);
    st = put(producer, &entry, durability, &shard, out);
    if (__builtin_expect(producer->is_measured || st != LS_OK, 0))
        lsi_put_ended(producer, &entry, shard, st);
    return st;
}

ls_status lsi_producer_flush(lsi_producer *producer)
{
    ls_status first = LS_OK;
    lsi_error_state about;

    for (uint32_t shard = 0; shard < producer->shard_limit; shard++) {
        ls_status st;

        if (producer->ends[shard] == 0)
            continue;
        st = producer->ops->commit(producer->appender, shard, producer->ends[shard], LS_DURABILITY_SYNC);
        if (st == LS_OK) {
            producer->ends[shard] = 0;
        } else if (first == LS_OK) { /* The other shards are synced all the same; the first reason is told. */
            first = st;
            lsi_error_save(&about);
        }
    }
    if (first != LS_OK)
        lsi_error_restore(&about);
    return first;
}
