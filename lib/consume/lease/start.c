/* Where a group begins: the word becomes a number in each shard that was open there, and what a number stands for is
 * synced first, so that no crash lets a group begin behind a record that was put after it. */
#include "consume/lease/lease.h"

#include <inttypes.h>

#include "base/status.h"

/* The first record that arrived at `us` or later; NONE: there is none. */
static ls_status read_first(lsi_engine_stream *stream, uint32_t shard, int64_t us, ls_seqno *out)
{
    const lsi_engine_ops *ops = stream->engine->ops;
    const ls_position position = {LS_AT_TIMESTAMP, 0, 0, us};
    lsi_reader *reader;
    lsi_read read = {0};
    ls_status st = ops->reader_open(stream, shard, LSI_READER_ONE_OF_MANY, &reader);

    if (st != LS_OK)
        return st;
    st = ops->seek(reader, &position);
    if (st == LS_OK)
        st = ops->read(reader, 1, 1, &read);
    *out = read.count > 0 ? read.records[0].seqno : LS_SEQNO_NONE;
    ops->reader_close(reader);
    return st;
}

lsi_lease_row lsi_lease_heir(const lsi_stream_info *info, uint32_t shard)
{
    const lsi_shard *found = lsi_shard_find(info->shards, info->shard_count, shard);

    return (lsi_lease_row){.place = {shard, LSI_LEASE_HORIZON},
                           .seqno = found != NULL ? found->first_seqno : LS_SEQNO_NONE};
}

/* The number of the oldest record, or below it; of the next one, when there is none. NONE: it is not known now, which
 * is no reason to refuse a group. */
static ls_seqno find_oldest(lsi_engine_stream *stream, uint32_t shard)
{
    const lsi_engine_ops *ops = stream->engine->ops;
    const ls_position oldest = {.kind = LS_TRIM_HORIZON};
    ls_seqno found = LS_SEQNO_NONE;
    lsi_error_state before;
    lsi_reader *reader;
    ls_status st;

    lsi_error_save(&before);
    st = ops->reader_open(stream, shard, LSI_READER_ONE_OF_MANY, &reader);
    if (st == LS_OK) {
        st = ops->seek(reader, &oldest);
        found = st == LS_OK ? ops->place(reader) : LS_SEQNO_NONE;
        ops->reader_close(reader);
    }
    if (st != LS_OK)
        lsi_error_restore(&before);
    return found;
}

ls_status lsi_lease_find_start(lsi_engine_stream *stream, lsi_lease_start start, lsi_lease_row *row)
{
    const lsi_engine_ops *ops = stream->engine->ops;
    int64_t wall_us = lsi_wall_us(&stream->engine->env.clock);
    ls_seqno first = LS_SEQNO_NONE;
    lsi_shard_state state;
    ls_status st;

    if (start.kind == LSI_START_HORIZON) {
        row->seqno = find_oldest(stream, row->place.shard);
        return LS_OK;
    }
    st = ops->shard_state(stream, row->place.shard, &state);
    if (st == LS_OK && start.kind == LSI_START_TIME)
        st = read_first(stream, row->place.shard, start.us < wall_us ? start.us : wall_us, &first);
    if (st == LS_OK)
        st = ops->sync_shard(stream, row->place.shard);
    if (st != LS_OK)
        return st;
    first = first != LS_SEQNO_NONE ? first - 1 : state.latest_seqno; /* the last one that does not count */
    if (first != LS_SEQNO_NONE && state.oldest_seqno != LS_SEQNO_NONE && first >= state.oldest_seqno) {
        row->place.kind = LSI_LEASE_NUMBER;
        row->seqno = first;
        row->sub_seqno = UINT32_MAX;
    } else {
        row->seqno = find_oldest(stream, row->place.shard);
    }
    return LS_OK;
}

static ls_status no_memory(const lsi_stream_info *info)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for leases of %" PRIu32 " shards", info->name,
                    info->shard_count);
}

ls_status lsi_lease_first_rows(lsi_engine_stream *stream, lsi_lease_start start, lsi_lease_row **out, uint32_t *count)
{
    const lsi_memory *memory = &stream->engine->env.memory;
    lsi_stream_info info = {0};
    lsi_lease_row *rows = NULL;
    uint32_t *shards = NULL, made;
    ls_status st = stream->engine->ops->info(stream, &info);

    *count = 0;
    if (st != LS_OK)
        return st;
    if (info.status == LS_STREAM_CREATING || info.status == LS_STREAM_DELETING)
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' is being %s", info.name,
                      info.status == LS_STREAM_CREATING ? "created" : "deleted");
    if (st == LS_OK) {
        shards = lsi_alloc(memory, ((size_t)info.shard_count + 1) * sizeof(*shards));
        rows = lsi_alloc(memory, ((size_t)info.shard_count + 1) * sizeof(*rows));
        if (shards == NULL || rows == NULL)
            st = no_memory(&info);
    }
    made = st == LS_OK ? lsi_lease_missing(info.shards, info.shard_count, NULL, 0, start, NULL, shards) : 0;
    for (uint32_t i = 0; st == LS_OK && i < made; i++) {
        lsi_lease_row row = {.place = {shards[i], LSI_LEASE_HORIZON}};

        st = lsi_lease_find_start(stream, start, &row);
        if (st == LS_OK)
            rows[(*count)++] = row;
    }
    lsi_free(memory, shards);
    lsi_stream_info_free(&info);
    if (st == LS_OK)
        *out = rows;
    else
        lsi_free(memory, rows);
    return st;
}
