/* Numbered puts once more. See session_repeat() in session.h.
 *
 * One that is there is put as it was: a library that did not know it would write the same record again, which the truth
 * finds out of its place. One that is not there is put as a new record under the old number: a library that thinks it
 * knows it would acknowledge a record that nobody finds. */
#include "harness/session_inside.h"

#include <stdlib.h>

#include "base/u128.h"
#include "support/sim_inside.h"

/* The put that is there with the number of put `index`; NULL: there is none. */
static const put_fact *find_shown(session *of, const put_fact *put)
{
    const put_fact *found = NULL;

    for (size_t i = 0; i < of->truth->put_count; i++) {
        const put_fact *other = &of->truth->puts[i];

        if (other->stream != put->stream || other->number != put->number || !other->is_shown)
            continue;
        if (found != NULL)
            session_complain(of, "number %u is there twice, in shards %u and %u", put->number, found->shard,
                             other->shard);
        found = other;
    }
    return found;
}

/* The open shard that has the key. */
static uint32_t find_open(const session *of, uint32_t stream, ls_hash_key key)
{
    for (uint32_t i = 0; i < of->shards[stream].count; i++) {
        const ls_shard_info *info = &of->shards[stream].at[i];

        if (info->is_open && lsi_u128_compare(info->first_hash_key, key) <= 0 &&
            lsi_u128_compare(key, info->last_hash_key) <= 0)
            return i;
    }
    return LS_NO_SHARD;
}

/* With the data and key of `data_of`. */
static ls_status put_again(session *of, const put_fact *put, uint32_t data_of, const ls_hash_key *key,
                           ls_record_id *id)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    uint32_t bytes = of->truth->puts[data_of - 1].data_bytes;
    char name[16];
    ls_bytes partition_key = {name, truth_key(data_of, name)};

    options.producer = session_producer_id(put->stream);
    options.number = put->number;
    options.explicit_hash_key = key;
    of->data = sim_must(realloc(of->data, bytes));
    truth_data(data_of, of->data, bytes);
    return session_answered(of, ls_producer_put(of->producers[put->stream], partition_key,
                                                (ls_bytes){of->data, bytes}, &options, id));
}

static ls_status repeat(session *of, put_fact put)
{
    const put_fact *found = find_shown(of, &put);
    ls_hash_key key = session_key_of(of, put.stream, put.shard, put.key_number);
    uint32_t shard = find_open(of, put.stream, key), again = 0;
    put_fact was = found != NULL ? *found : put;
    ls_record_id id = {0};
    size_t from = session_here(of);
    bool doubted;
    ls_status st;

    if (shard == LS_NO_SHARD)
        return LS_OK; /* What it says is for others to judge. */
    if (found != NULL) {
        st = put_again(of, &put, (uint32_t)(found - of->truth->puts) + 1, &key, &id);
        if (st == LS_OK && (id.seqno != was.seqno || id.shard != was.shard))
            session_complain(of, "number %u was put as %llu of shard %u; its repeat is told %llu of shard %u",
                             put.number, (unsigned long long)was.seqno, was.shard, (unsigned long long)id.seqno,
                             id.shard);
    } else {
        again = truth_put_begin(of->truth, put.stream, shard, 0, put.data_bytes, from);
        of->truth->puts[again - 1].number = put.number;
        of->truth->puts[again - 1].key_number = put.key_number;
        of->truth->puts[again - 1].begun_us = atomic_load_explicit(&of->now_us, memory_order_relaxed);
        st = put_again(of, &put, again, &key, &id);
        if (st == LS_OK && id.shard != shard)
            session_complain(of, "number %u, which is not there, is told that it is in shard %u", put.number, id.shard);
    }
    if (st == LS_ERR_EXPIRED) /* No workload puts so much. */
        session_complain(of, "number %u is said to be expired: %s", put.number, ls_last_error_message());
    of->written[put.stream][shard] = true;
    doubted = session_look(of);
    if (again != 0)
        session_put_answered(of, again, st, id.seqno);
    if (doubted && of->durability != LS_DURABILITY_SYNC)
        session_sync_failed(of);
    of->put_io = of->put_io || st == LS_ERR_IO;
    return st;
}

ls_status session_repeat(session *of, uint32_t stream)
{
    size_t count = of->truth->put_count;
    ls_status st = session_read_all(of, stream);

    if (st == LS_OK)
        st = session_want_producer(of, stream);
    for (uint32_t shard = 0; st == LS_OK && shard < of->shards[stream].count; shard++)
        if (of->failed[stream][shard])
            return LS_OK; /* What is there is to be seen when it was reset. */
    for (size_t i = 0; st == LS_OK && i < count; i++) {
        put_fact put = of->truth->puts[i];

        if (put.stream == stream && put.number == i + 1 && put.begun_at != NEVER &&
            put.shard < of->shards[stream].count)
            st = repeat(of, put);
    }
    return st == LS_OK ? session_read_all(of, stream) : st;
}
