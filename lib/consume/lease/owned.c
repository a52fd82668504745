/* Groups that belong to what is kept beside them in the stream's state, a mapping or a delivery: they are made and
 * removed with it. */
#include "consume/lease/lease.h"

#include <inttypes.h>

#include "base/status.h"

ls_status lsi_lease_start_of(const lsi_env *env, const char *what, const ls_position *position, lsi_lease_start *out)
{
    bool takes_timestamp = position->kind == LS_AT_TIMESTAMP;

    if (position->kind != LS_TRIM_HORIZON && position->kind != LS_LATEST && !takes_timestamp)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.kind is %" PRId32 ": %s begins at TRIM_HORIZON (%d), "
                        "LATEST (%d) or AT_TIMESTAMP (%d)", position->kind, what, LS_TRIM_HORIZON, LS_LATEST,
                        LS_AT_TIMESTAMP);
    if (position->sub_seqno != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.sub_seqno is %" PRIu32 ", not 0", position->sub_seqno);
    if (position->seqno != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.seqno is %" PRIu64 ": kind %" PRId32 " takes none",
                        position->seqno, position->kind);
    if (!takes_timestamp && position->timestamp_us != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.timestamp_us is %" PRId64 ": kind %" PRId32 " takes none",
                        position->timestamp_us, position->kind);
    if (takes_timestamp && position->timestamp_us > lsi_wall_us(&env->clock))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.timestamp_us is %" PRId64 ": that is in the future",
                        position->timestamp_us);
    *out = takes_timestamp ? (lsi_lease_start){LSI_START_TIME, position->timestamp_us}
                           : (lsi_lease_start){position->kind == LS_LATEST ? LSI_START_LATEST : LSI_START_HORIZON, 0};
    return LS_OK;
}

ls_status lsi_group_make_owned(lsi_engine_stream *stream, const char *name, uint64_t id, lsi_lease_start start,
                               lsi_lease_beside beside, bool *is_done)
{
    lsi_group_settings settings = {.start = start, .mapping = id};
    lsi_lease_row *rows;
    uint32_t count;
    ls_status st = lsi_lease_first_rows(stream, start, &rows, &count);

    if (st != LS_OK)
        return st;
    st = lsi_group_make_mapping(stream, name, &settings, rows, count, beside, is_done);
    lsi_free(&stream->engine->env.memory, rows);
    return st;
}

ls_status lsi_group_remove_owned(lsi_engine_stream *stream, const char *name, uint64_t id, lsi_lease_beside beside,
                                 bool *is_done)
{
    lsi_group_settings settings;
    ls_status st = lsi_group_find(stream, name, &settings);

    *is_done = false;
    if (st != LS_OK || settings.version == LSI_STATE_NONE || settings.mapping != id)
        return st;
    return lsi_group_remove(stream, name, &settings, beside, is_done);
}
