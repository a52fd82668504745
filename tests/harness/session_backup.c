/* A copy of the store, made while it is in use, on the same disk. See session.h.
 *
 * What was acknowledged before the call is in it from when the call has returned, whatever happens to the store: the
 * copy is opened as a store of its own, for reading, each of its shards is a prefix of the shard, and its checkpoints
 * are of records that it has. */
#include "harness/session_inside.h"

#include <inttypes.h>

#include "api/api.h"
#include "support/sim_inside.h"

#define COPY "sim/copy" /* An earlier copy is one still while it is added to, and after that has failed. */

static bool is_checkpoint(const setting_fact *fact)
{
    return fact->setting >= TRUTH_LEASE && fact->setting < TRUTH_LEASE + TRUTH_LEASES;
}

ls_status session_backup(session *of)
{
    size_t begun = session_here(of);
    ls_status st;

    if (of->store == NULL && session_open(of, of->durability) != LS_OK)
        return of->last;
    st = session_answered(of, ls_store_backup(of->store, COPY, NULL));
    (void)session_look(of);
    for (size_t i = 0; st == LS_OK && i < of->truth->put_count; i++) {
        put_fact *put = &of->truth->puts[i];

        if (put->acked_at <= begun && put->gone_at == NEVER && !put->is_unknown && put->copied_at == NEVER)
            put->copied_at = session_here(of);
    }
    for (size_t i = 0; st == LS_OK && i < of->truth->setting_count; i++) {
        setting_fact *fact = &of->truth->settings[i];

        if (is_checkpoint(fact) && fact->made_at <= begun && fact->gone_at == NEVER && fact->copied_at == NEVER)
            fact->copied_at = session_here(of);
    }
    return st;
}

static bool is_copied(const session *of, uint32_t stream, size_t at)
{
    for (size_t i = 0; i < of->truth->put_count; i++)
        if (of->truth->puts[i].stream == stream && of->truth->puts[i].copied_at <= at)
            return true;
    return false;
}

/* `checkpoint` is the copy's of the shard. */
static void check_shard(session *of, ls_stream *copy, uint32_t stream, uint32_t shard, uint64_t checkpoint, size_t at)
{
    bool covers = checkpoint == 0 || checkpoint == TRUTH_LEASE_ENDED;
    static shown records[SESSION_SHOWN_MAX];
    size_t count = 0, next = 0;

    if (session_read_shard(of, copy, shard, records, &count) != LS_OK) {
        session_complain(of, "shard %u of the copy cannot be read: %s", shard, ls_last_error_message());
        return;
    }
    for (size_t i = 0; i < of->truth->put_count; i++) {
        const put_fact *put = &of->truth->puts[i];

        if (put->stream != stream || put->shard != shard)
            continue;
        covers = covers || (next < count && records[next].put == i + 1 && put->seqno == checkpoint);
        if (next < count && records[next].put == i + 1)
            next++;
        else if (put->copied_at <= at)
            session_complain(of, "put %zu was copied, and is not in the copy", i + 1);
    }
    if (next != count)
        session_complain(of, "record %zu of shard %u of the copy is put %u, which does not belong there", next, shard,
                         records[next].put);
    if (!covers)
        session_complain(of, "the checkpoint of shard %u of the copy is %" PRIu64 ", a record that it lacks", shard,
                         checkpoint);
}

static void check_checkpoints(session *of, uint32_t stream, const truth_shown_setting *found, size_t at)
{
    for (size_t i = 0; i < of->truth->setting_count; i++) {
        const setting_fact *fact = &of->truth->settings[i];

        if (fact->stream == stream && is_checkpoint(fact) && fact->copied_at <= at &&
            found[fact->setting].value < fact->value)
            session_complain(of, "the checkpoint of shard %u was copied at %" PRIu64 ", and is %" PRIu64 " in the copy",
                             fact->setting - TRUTH_LEASE, fact->value, found[fact->setting].value);
    }
}

void session_check_backup(session *of, size_t at)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    bool is_there = false;
    ls_store *copy;

    for (uint32_t i = 0; i < of->truth->stream_count; i++)
        is_there = is_there || is_copied(of, i, at);
    if (!is_there)
        return;
    options.flags = LS_STORE_READ_ONLY;
    options.key_callback = session_key;
    if (session_answered(of, lsi_store_open_env("file:" COPY, &options, &of->env, &copy)) != LS_OK) {
        session_complain(of, "the copy cannot be opened: %s", ls_last_error_message());
        return;
    }
    for (uint32_t i = 0; i < of->truth->stream_count; i++) {
        truth_shown_setting found[TRUTH_SETTINGS] = {{0}};
        ls_stream *stream;
        ls_status st = session_answered(of, ls_stream_open(copy, of->truth->streams[i].name, &stream));

        if (st == LS_ERR_NOT_FOUND && !is_copied(of, i, at))
            continue;
        if (st != LS_OK) {
            session_complain(of, "the copy has no stream '%s': %s", of->truth->streams[i].name,
                             ls_last_error_message());
            continue;
        }
        if (session_show_leases(of, i, stream, found) != LS_OK)
            session_complain(of, "the checkpoints of the copy of stream '%s' cannot be read: %s",
                             of->truth->streams[i].name, ls_last_error_message());
        check_checkpoints(of, i, found, at);
        for (uint32_t shard = 0; shard < of->truth->streams[i].shard_count; shard++)
            check_shard(of, stream, i, shard, shard < TRUTH_LEASES ? found[TRUTH_LEASE + shard].value : 0, at);
        (void)ls_stream_close(stream); /* Nobody has anything of it. */
    }
    if (ls_store_close(copy) != LS_OK)
        session_complain(of, "the copy does not close: %s", ls_last_error_message());
}
