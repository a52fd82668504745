/* Appending: an appender is a framer, in which one producer's frames are made outside all locks. */
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

typedef struct local_appender {
    lsi_appender base;
    lsi_framer *framer;
    lsi_log *log; /* of the shard that was appended to last; NULL: none was. Logs last as long as the stream is open */
    uint32_t shard;
    uint32_t calls; /* for upkeep */
} local_appender;

ls_status lsi_local_appender_open(lsi_engine_stream *stream, lsi_appender **out)
{
    const lsi_env *env = &stream->engine->env;
    local_appender *appender;
    ls_status st = lsi_local_stream_check_usable(lsi_local_stream_of(stream));

    if (st != LS_OK)
        return st;
    appender = lsi_alloc_zero(&env->memory, sizeof(*appender));
    if (appender == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a producer");
    appender->base.stream = stream;
    st = lsi_framer_open(env, &appender->framer);
    if (st != LS_OK) {
        lsi_free(&env->memory, appender);
        return st;
    }
    *out = &appender->base;
    return LS_OK;
}

void lsi_local_appender_close(lsi_appender *base)
{
    local_appender *appender = (local_appender *)base;

    lsi_framer_close(appender->framer);
    lsi_free(&base->stream->engine->env.memory, appender);
}

static ls_status log_of(local_appender *appender, uint32_t shard, lsi_log **out)
{
    lsi_local_stream *stream = lsi_local_stream_of(appender->base.stream);
    ls_status st = lsi_local_check_mine(lsi_local_of_stream(&stream->base));

    if (st != LS_OK)
        return st;
    if (appender->log == NULL || appender->shard != shard) {
        lsi_log *log;

        st = lsi_local_stream_check_usable(stream);
        if (st == LS_OK)
            st = lsi_local_stream_log(stream, shard, &log);
        if (st != LS_OK)
            return st;
        appender->log = log;
        appender->shard = shard;
    }
    *out = appender->log;
    return LS_OK;
}

/* What follows an append that answered `st`. */
static inline __attribute__((always_inline)) ls_status appended(local_appender *appender, uint32_t shard, ls_status st,
                                                                lsi_append_result *out)
{
    lsi_local_stream *stream = lsi_local_stream_of(appender->base.stream);

    /* The shard is closed, or whoever was closing it died: then nothing tells other shards before that is settled. */
    if (st == LS_OK && out->moved)
        return lsi_local_catalog_settle(lsi_local_of_stream(&stream->base), true);
    if (st == LS_OK) {
        if (lsi_local_of_stream(&stream->base)->durability != LS_DURABILITY_SYNC) /* Else when it is synced. */
            lsi_local_upkeep_count(stream, &appender->calls);
        return LS_OK;
    }
    st = lsi_local_stream_explain(stream, shard, st);
    if (st == LS_ERR_NOT_FOUND && out->accepted == 0 && lsi_local_shard_is_gone(stream, shard)) {
        lsi_error_restore(&(lsi_error_state){0});
        out->moved = true; /* Closed so long ago that it has expired since. */
        st = LS_OK;
    }
    return st;
}

ls_status lsi_local_append(lsi_appender *base, uint32_t shard, const lsi_append *batch, lsi_append_result *out)
{
    local_appender *appender = (local_appender *)base;
    lsi_log *log;
    ls_status st = log_of(appender, shard, &log);

    if (st != LS_OK)
        *out = (lsi_append_result){0}; /* Else the log fills it. */
    else
        st = lsi_log_append(log, appender->framer, batch->entries, batch->picks, batch->count, batch->atomic,
                            &out->accepted, &out->first_seqno, &out->end, &out->moved);
    return appended(appender, shard, st, out);
}

ls_status lsi_local_append_numbered(lsi_appender *base, uint32_t shard, const lsi_append *batch,
                                    lsi_numbered *numbered, lsi_append_result *out)
{
    local_appender *appender = (local_appender *)base;
    lsi_log_numbered of = {.options = numbered->options, .users = numbered->users, .atomic = batch->atomic,
                           .look_only = numbered->look_only, .told = numbered->told,
                           .sub_seqnos = numbered->sub_seqnos, .sub_counts = numbered->sub_counts};
    lsi_log *log;
    ls_status st = log_of(appender, shard, &log);

    *out = (lsi_append_result){0};
    if (st == LS_OK)
        st = lsi_log_append_numbered(log, appender->framer, batch->entries, batch->picks, batch->count, &of, &out->end,
                                     &out->moved);
    numbered->fresh = of.fresh;
    out->first_seqno = of.first_seqno;
    st = appended(appender, shard, st, out);
    if (st == LS_OK && !out->moved && (of.users == NULL || of.first_seqno != LS_SEQNO_NONE))
        out->accepted = batch->count;
    return st;
}

ls_status lsi_local_commit(lsi_appender *base, uint32_t shard, uint64_t end, ls_durability durability)
{
    lsi_local_stream *stream = lsi_local_stream_of(base->stream);
    const lsi_local *local = lsi_local_of_stream(base->stream);
    local_appender *appender = (local_appender *)base;
    lsi_log *log;
    ls_status st;

    /* In the kernel is where append left it; and in INTERVAL mode the sweeper does the rest. A store without a sweeper
     * gives a put that asks for INTERVAL more: a sync at once. */
    if (local->durability != LS_DURABILITY_SYNC && durability <= local->durability)
        return LS_OK;
    st = log_of(appender, shard, &log);
    if (st == LS_OK)
        st = lsi_log_commit(log, end);
    if (st != LS_OK)
        st = lsi_local_stream_explain(stream, shard, st);
    if (st == LS_ERR_NOT_FOUND && lsi_local_shard_is_gone(stream, shard)) {
        lsi_error_restore(&(lsi_error_state){0});
        st = LS_OK; /* It was synced before it was closed, and that was long ago. */
    }
    if (st == LS_OK && local->durability == LS_DURABILITY_SYNC)
        lsi_local_upkeep_count(stream, &appender->calls);
    return st;
}
