/* Reading, beside puts too, and examining a whole store. See session.h. */
#include "harness/session_inside.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "support/sim_inside.h"

/* ---- reading ---- */

/* What was not found will never come: said after a reset, and after every recovery. */
static void lost(session *of, uint32_t stream, uint32_t shard, const shown *records, size_t count, bool recovered)
{
    for (size_t i = 0; i < of->truth->put_count; i++) {
        put_fact *put = &of->truth->puts[i];
        bool found = false;

        if (put->stream != stream || put->shard != shard || put->begun_at == NEVER ||
            (put->gone_at != NEVER - 1 && !(recovered && put->gone_at == NEVER)))
            continue;
        for (size_t k = 0; k < count; k++)
            found = found || records[k].put == i + 1;
        put->gone_at = found ? NEVER : session_here(of);
    }
}

ls_status session_read_shard(session *of, ls_stream *stream, uint32_t shard, shown *records, size_t *count)
{
    ls_iterator *iterator;
    const ls_batch *batch;
    ls_status st = session_answered(of, ls_iterator_open(stream, shard, NULL, NULL, &iterator));

    *count = 0;
    if (st != LS_OK)
        return st;
    for (;;) {
        st = session_answered(of, ls_iterator_next(iterator, NULL, &batch));
        if (st != LS_OK || ls_batch_count(batch) == 0)
            break;
        for (size_t i = 0; i < ls_batch_count(batch) && *count < SESSION_SHOWN_MAX; i++) {
            const ls_record *record = ls_batch_at(batch, i);
            uint32_t put = truth_identify(of->truth, record);

            if (put == 0) {
                session_complain(of, "number %llu of shard %u was never put", (unsigned long long)record->seqno, shard);
                break;
            }
            records[(*count)++] = (shown){put, record->seqno, record->arrival_us};
        }
    }
    ls_iterator_close(iterator);
    return st;
}

static ls_status read_and_check(session *of, uint32_t stream, uint32_t shard, size_t at, bool power, bool recovered)
{
    static shown records[SESSION_SHOWN_MAX];
    char what[256];
    size_t count;
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK)
        return st;
    st = session_read_shard(of, of->streams[stream], shard, records, &count);
    if (st != LS_OK)
        return st;
    (void)session_look(of);
    if (!truth_check(of->truth, stream, shard, records, count, at, power, what))
        session_complain(of, "stream '%s' shard %u: %s", of->truth->streams[stream].name, shard, what);
    for (size_t i = 0; i < of->truth->put_count; i++)
        if (of->truth->puts[i].stream == stream && of->truth->puts[i].shard == shard)
            of->truth->puts[i].is_shown = false;
    /* A number that was shown was given, also when its put was never answered. */
    for (size_t i = 0; i < count; i++) {
        put_fact *put = &of->truth->puts[records[i].put - 1];

        put->is_shown = true;
        put->seqno = put->seqno != 0 ? put->seqno : records[i].seqno;
        put->given_at = put->given_at != NEVER ? put->given_at : session_here(of);
    }
    lost(of, stream, shard, records, count, recovered);
    truth_seen(of->truth, stream, shard, records, count, of->stays || of->durability == LS_DURABILITY_SYNC,
               session_here(of));
    return st;
}

ls_status session_read(session *of, uint32_t stream, uint32_t shard, bool power)
{
    return read_and_check(of, stream, shard, NEVER - 2, power, false);
}

ls_status session_read_all(session *of, uint32_t stream)
{
    ls_status st = session_want_stream(of, stream);

    for (uint32_t shard = 0; st == LS_OK && shard < of->shards[stream].count; shard++)
        st = session_read(of, stream, shard, false);
    return st;
}

static void *look(void *user)
{
    static shown records[SESSION_SHOWN_MAX];
    session *of = user;
    char what[256];
    size_t count;

    if (session_read_shard(of, of->watched_stream, 0, records, &count) != LS_OK)
        session_complain(of, "the watcher cannot read: %s", ls_last_error_message());
    else if (!truth_check(of->truth, of->watched, 0, records, count, NEVER - 2, false, what))
        session_complain(of, "the watcher of stream '%s': %s", of->truth->streams[of->watched].name, what);
    else
        truth_seen(of->truth, of->watched, 0, records, count, of->durability == LS_DURABILITY_SYNC, session_here(of));
    return NULL;
}

/* On a thread of its own: the one that syncs holds locks, and the watcher, as another process would, holds none. */
static void watch(void *user, sim_call call, const char *name)
{
    session *of = user;
    pthread_t watcher;

    if (call != SIM_SYNC || !session_name_ends(name, ".seg") || of->is_watching)
        return;
    of->is_watching = true;
    if (pthread_create(&watcher, NULL, look, of) != 0 || pthread_join(watcher, NULL) != 0)
        session_complain(of, "no thread for the watcher");
    of->is_watching = false;
}

void session_unwatch(session *of)
{
    if (of->watcher == NULL)
        return;
    sim_hook_set(of->sim, NULL, NULL);
    if (ls_stream_close(of->watched_stream) != LS_OK || ls_store_close(of->watcher) != LS_OK)
        session_complain(of, "the watcher does not close: %s", ls_last_error_message());
    of->watcher = NULL;
}

void session_watch(session *of, uint32_t stream)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    if (of->watcher != NULL || of->streams[stream] == NULL)
        return;
    const char *name = of->truth->streams[stream].name;
    /* It looks while a call that holds locks waits for it, so it must do no upkeep. */
    options.flags = LS_STORE_READ_ONLY;
    options.key_callback = session_key;
    if (session_answered(of, lsi_store_open_env("file:sim", &options, &of->env, &of->watcher)) != LS_OK ||
        session_answered(of, ls_stream_open(of->watcher, name, &of->watched_stream)) != LS_OK) {
        session_complain(of, "no watcher: %s", ls_last_error_message());
        return;
    }
    of->watched = stream;
    sim_hook_set(of->sim, watch, of);
}

/* ---- examining ---- */

/* Which stream the name is now: SESSION_STREAMS_MAX for none, with the reason complained about if one is owed. */
static uint32_t find_stream(session *of, const char *name, size_t at, bool power)
{
    ls_stream *handle;
    ls_stream_description *description;
    uint64_t id;
    uint64_t failed = 0;
    ls_status st = session_answered(of, ls_stream_open(of->store, name, &handle));

    if (st == LS_ERR_NOT_FOUND) {
        for (size_t i = 0; i < of->truth->stream_count; i++) {
            stream_fact *fact = &of->truth->streams[i];

            if (strcmp(fact->name, name) != 0 || fact->begun_at >= at)
                continue;
            if (fact->made_at <= at && fact->drop_begun_at >= at)
                session_complain(of, "D6: stream '%s' is lost", name);
            if (power) /* Else it may come yet, if that was left open. */
                fact->gone_at = fact->gone_at < session_here(of) ? fact->gone_at : session_here(of);
        }
        return SESSION_STREAMS_MAX;
    }
    if (st != LS_OK) {
        session_complain(of, "stream '%s' cannot be opened: %s", name, ls_last_error_message());
        return SESSION_STREAMS_MAX;
    }
    st = session_answered(of, ls_stream_describe(handle, &description));
    if (st != LS_OK) {
        session_complain(of, "stream '%s' cannot be described: %s", name, ls_last_error_message());
        (void)ls_stream_close(handle);
        return SESSION_STREAMS_MAX;
    }
    id = ls_stream_description_id(description);
    for (uint32_t i = 0; i < ls_stream_description_shard_count(description); i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;

        if (ls_stream_description_shard(description, i, &info) != LS_OK || info.health == LS_OK)
            continue;
        if (info.health == LS_ERR_IO && of->may_have_failed)
            failed |= UINT64_C(1) << i;
        else
            session_complain(of, "R3: stream '%s' shard %u says that it is %s", name, i, ls_status_name(info.health));
    }
    ls_stream_description_free(description);
    if (ls_stream_close(handle) != LS_OK)
        session_complain(of, "a stream does not close: %s", ls_last_error_message());
    /* The one with this id; else one whose id nobody was told, and which may be there; else any of those. */
    for (uint32_t pass = 0; pass < 3; pass++)
        for (uint32_t i = 0; i < of->truth->stream_count; i++) {
            stream_fact *fact = &of->truth->streams[i];

            if (strcmp(fact->name, name) != 0 || fact->begun_at >= at || (pass == 0 ? fact->id != id : fact->id != 0) ||
                (pass == 1 && (fact->dropped_at <= at || fact->gone_at <= at)))
                continue;
            if (fact->dropped_at <= at)
                session_complain(of, "D6: stream '%s' is there, although it was deleted", name);
            if (fact->gone_at <= at)
                session_complain(of, "D7: stream '%s' is there, although it could not be created", name);
            fact->id = id;
            fact->made_at = fact->made_at < session_here(of) ? fact->made_at : session_here(of);
            fact->drop_begun_at = fact->drop_begun_at >= at ? fact->drop_begun_at : NEVER;
            for (uint32_t shard = 0; shard < TRUTH_SHARDS_MAX; shard++)
                if ((failed >> shard & 1) != 0 && session_reset(of, i, shard) != LS_OK)
                    session_complain(of, "E1: stream '%s' shard %u cannot be reset: %s", name, shard,
                                     ls_last_error_message());
            return i;
        }
    session_complain(of, "stream '%s' with id %llu was never created", name, (unsigned long long)id);
    return SESSION_STREAMS_MAX;
}

void session_examine(session *of, ls_durability durability, size_t at, bool power, size_t *shown_at)
{
    uint32_t alive[SESSION_STREAMS_MAX];
    size_t alive_count = 0;
    bool stayed = of->stays;

    if (session_open(of, durability) != LS_OK) {
        session_complain(of, "the store cannot be opened: %s", ls_last_error_message());
        return;
    }
    for (size_t i = 0; i < of->truth->stream_count; i++) {
        const char *name = of->truth->streams[i].name;
        bool is_first = true;
        uint32_t found;

        for (size_t k = 0; k < i; k++)
            is_first = is_first && strcmp(of->truth->streams[k].name, name) != 0;
        if (!is_first)
            continue;
        found = find_stream(of, name, at, power);
        if (found >= SESSION_STREAMS_MAX)
            continue;
        if (session_want_stream(of, found) == LS_OK) {
            session_check_shards(of, found, at, power);
            if (of->may_have_failed) /* E1; mostly it is healthy, or there is none. */
                (void)ls_stream_reset_shard(of->streams[found], LS_STATE_SHARD);
            session_check_settings(of, found, at, power);
            session_check_objects(of, found, at, power);
        } else {
            session_complain(of, "stream '%s' cannot be described: %s", name, ls_last_error_message());
        }
        alive[alive_count++] = found;
    }
    session_check_backup(of, at);
    of->stays = of->stays || power; /* R8: what the first recovery shows, no later crash takes back. */
    for (size_t i = 0; i < alive_count; i++)
        for (uint32_t shard = 0; shard < of->shards[alive[i]].count; shard++)
            if (read_and_check(of, alive[i], shard, at, power, power) != LS_OK)
                session_complain(of, "stream '%s' shard %u cannot be read: %s", of->truth->streams[alive[i]].name,
                                 shard, ls_last_error_message());
    for (size_t i = 0; i < alive_count; i++)
        session_check_work(of, alive[i], at);
    /* After a kill what nobody was answered may yet appear, or never. */
    for (size_t i = 0; i < of->truth->put_count && !power; i++)
        if (of->truth->puts[i].acked_at == NEVER && of->truth->puts[i].gone_at == NEVER)
            of->truth->puts[i].is_unknown = true;
    of->stays = stayed;
    if (shown_at != NULL)
        *shown_at = session_here(of);
    for (size_t i = 0; i < alive_count; i++)
        if (of->truth->streams[alive[i]].is_numbered && session_repeat(of, alive[i]) != LS_OK)
            session_complain(of, "stream '%s' does not take what is repeated: %s", of->truth->streams[alive[i]].name,
                             ls_last_error_message());
    session_all_over_cap(of);
    for (size_t i = 0; i < alive_count; i++)
        for (uint32_t shard = 0; shard < of->shards[alive[i]].count; shard++) {
            ls_seqno highest = truth_highest(of->truth, alive[i], shard, NEVER - 1);

            (void)session_want_stream(of, alive[i]); /* Which are open now, if it scales: the put complains. */
            if (!session_is_open(of, alive[i], shard))
                continue;
            if (session_put(of, alive[i], shard, 100) != LS_OK) {
                session_complain(of, "stream '%s' shard %u takes no puts: %s", of->truth->streams[alive[i]].name, shard,
                                 ls_last_error_message());
                continue;
            }
            if (of->truth->puts[of->truth->put_count - 1].seqno <= highest)
                session_complain(of, "D4: number %llu is given again: %llu was given before",
                                 (unsigned long long)of->truth->puts[of->truth->put_count - 1].seqno,
                                 (unsigned long long)highest);
            if (session_read(of, alive[i], shard, false) != LS_OK)
                session_complain(of, "stream '%s' shard %u cannot be read after a put: %s",
                                 of->truth->streams[alive[i]].name, shard, ls_last_error_message());
        }
    for (size_t i = 0; i < alive_count; i++)
        if (truth_has_state(of->truth, alive[i]) && session_set(of, alive[i], TRUTH_STATE, 130) != LS_OK)
            session_complain(of, "stream '%s': its state cannot be changed: %s", of->truth->streams[alive[i]].name,
                             ls_last_error_message());
    for (size_t i = 0; i < alive_count; i++) {
        session_work_on(of, alive[i]);
        session_flow_on(of, alive[i]);
        session_deliver_on(of, alive[i]);
    }
}
