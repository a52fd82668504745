/* Listing a group's leases: what their rows say, and how far each shard is behind. */
#include "consume/lease/lease.h"

#include <string.h>

#include "base/status.h"

/* How old the first record is that is not covered, and, unless `records` is NULL, how many there are from it on. */
static void find_lag(lsi_engine_stream *stream, ls_lease_info *of, uint64_t *records)
{
    const lsi_engine_ops *ops = stream->engine->ops;
    int64_t now_us = lsi_wall_us(&stream->engine->env.clock);
    bool has_ended = of->state == LS_LEASE_ENDED;
    lsi_error_state before;
    lsi_reader *reader;
    lsi_read read = {0};
    uint64_t count;
    ls_status st;

    of->millis_behind_latest = has_ended ? 0 : -1;
    if (records != NULL)
        *records = has_ended ? 0 : UINT64_MAX;
    if (has_ended)
        return;
    lsi_error_save(&before);
    st = ops->reader_open(stream, of->shard, LSI_READER_ONE_OF_MANY, &reader);
    if (st == LS_OK) {
        st = ops->seek(reader, &of->position);
        if (st == LS_OK)
            st = ops->read(reader, 1, 1, &read);
        if (st == LS_ERR_TRIMMED) /* It stands at the oldest record now. */
            st = ops->read(reader, 1, 1, &read);
        if (st == LS_OK)
            of->millis_behind_latest = read.count == 0 || read.records[0].arrival_us >= now_us
                                           ? 0 : (now_us - read.records[0].arrival_us + 999) / 1000;
        if (st == LS_OK && records != NULL && read.count == 0)
            *records = 0;
        else if (st == LS_OK && records != NULL &&
                 ops->count_from(stream, of->shard, read.records[0].seqno, &count) == LS_OK)
            *records = count;
        ops->reader_close(reader);
    }
    lsi_error_restore(&before); /* It is not known, then. */
}

/* With room behind them for what is said with what was prepared. */
static ls_lease_info *alloc_infos(const lsi_memory *memory, const lsi_lease_row *rows, uint32_t count,
                                  unsigned char **states)
{
    size_t bytes = 0;
    ls_lease_info *infos;

    for (uint32_t i = 0; i < count; i++)
        bytes += rows[i].pending.state_bytes;
    infos = lsi_alloc_zero(memory, count * sizeof(*infos) + bytes);
    *states = infos != NULL ? (unsigned char *)(infos + count) : NULL;
    return infos;
}

/* Takes the state, which lies in a row, over to `at`. Where the next one goes. */
static unsigned char *keep_state(ls_lease_info *of, unsigned char *at)
{
    memcpy(at, of->pending_state.data, of->pending_state.size);
    of->pending_state.data = at;
    return at + of->pending_state.size;
}

ls_status lsi_lease_list(lsi_engine_stream *stream, const char *group, ls_lease_info **out, uint64_t **records,
                         uint32_t *count)
{
    const lsi_memory *memory = &stream->engine->env.memory;
    lsi_group_settings settings;
    lsi_lease_row *rows = NULL;
    ls_lease_info *infos = NULL;
    unsigned char *states = NULL;
    uint64_t *lags = NULL;
    ls_status st = lsi_group_find(stream, group, &settings);

    if (st == LS_OK && settings.version == LSI_STATE_NONE)
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no group '%s'", stream->name, group);
    if (st == LS_OK)
        st = lsi_lease_rows(stream, group, &rows, count);
    if (st != LS_OK)
        return st;
    infos = alloc_infos(memory, rows, *count, &states);
    if (records != NULL)
        lags = lsi_alloc(memory, ((size_t)*count + 1) * sizeof(*lags));
    for (uint32_t i = 0; infos != NULL && (records == NULL || lags != NULL) && i < *count; i++) {
        lsi_lease_row_describe(&rows[i], &infos[i]);
        states = keep_state(&infos[i], states);
        infos[i].owner_lives =
            rows[i].owner != 0 && !stream->engine->ops->ticket_is_gone(stream->engine, rows[i].owner);
        find_lag(stream, &infos[i], lags != NULL ? &lags[i] : NULL);
    }
    lsi_free(memory, rows);
    if (infos != NULL && (records == NULL || lags != NULL)) {
        *out = infos;
        if (records != NULL)
            *records = lags;
        return LS_OK;
    }
    lsi_free(memory, infos);
    lsi_free(memory, lags);
    return lsi_fail(LS_ERR_NO_MEMORY, "group '%s': no memory for a list of its leases", group);
}
