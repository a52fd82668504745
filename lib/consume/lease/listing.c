/* Listing a group's leases: what their rows say, and how far each shard is behind. What a run of a mapping has finished
 * and not stored yet is noted (noted.c), and is not behind.
 *
 * A shard that came of one which is not worked on to its end has no row yet, and what is put goes there. So it is
 * listed as the row that it will get: else a group that stands still before a split would not be seen to be behind. */
#include "consume/lease/lease.h"

#include <string.h>

#include "base/status.h"

/* To where the lease stands; to the oldest record when that is gone: who only looks loses nothing, and no reader is to
 * say so. */
static ls_status seek(const lsi_engine_ops *ops, lsi_reader *reader, const ls_position *to)
{
    const ls_position oldest = {.kind = LS_TRIM_HORIZON};
    ls_status st = ops->seek(reader, &oldest);

    return st == LS_OK && to->seqno >= ops->place(reader) ? ops->seek(reader, to) : st;
}

/* How old the first record from `place` on is, and, unless `records` is NULL, how many there are. */
static void find_lag(lsi_engine_stream *stream, const ls_position *place, ls_lease_info *of, uint64_t *records)
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
        st = seek(ops, reader, place);
        if (st == LS_OK)
            st = ops->read(reader, 1, 1, &read);
        if (st == LS_ERR_TRIMMED) /* Just now. It stands at the oldest record. */
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

int64_t lsi_lag_ms(lsi_engine_stream *stream, uint32_t shard, ls_seqno seqno)
{
    ls_lease_info info = {.shard = shard, .state = LS_LEASE_BEGUN,
                          .position = {.kind = LS_AFTER_SEQUENCE_NUMBER, .seqno = seqno}};

    find_lag(stream, &info.position, &info, NULL);
    return info.millis_behind_latest;
}

/* What will be rows, between those that are: `*rows` and `*count` become both. `*waits` [*count], the caller's with
 * lsi_free: which of them wait for what came before them. */
static ls_status add_waiting(lsi_engine_stream *stream, const char *group, lsi_lease_row **rows, uint32_t *count,
                             bool **waits)
{
    const lsi_memory *memory = &stream->engine->env.memory;
    lsi_stream_info info = {0};
    lsi_lease_place *places = NULL;
    lsi_lease_row *all = NULL;
    bool *is_waiting = NULL;
    uint32_t made = 0, next = 0;
    ls_status st = stream->engine->ops->info(stream, &info);

    if (st != LS_OK)
        return st;
    places = lsi_alloc(memory, ((size_t)*count + 1) * sizeof(*places));
    is_waiting = lsi_alloc(memory, (size_t)info.shard_count + 1);
    all = lsi_alloc(memory, ((size_t)*count + info.shard_count + 1) * sizeof(*all));
    *waits = lsi_alloc_zero(memory, (size_t)*count + info.shard_count + 1);
    if (places == NULL || is_waiting == NULL || all == NULL || *waits == NULL) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "group '%s': no memory for a list of its leases", group);
        goto done;
    }
    for (uint32_t i = 0; i < *count; i++)
        places[i] = (*rows)[i].place;
    lsi_lease_waiting(info.shards, info.shard_count, places, *count, is_waiting);
    for (uint32_t i = 0; i < info.shard_count; i++) {
        const lsi_shard *shard = &info.shards[i];

        while (next < *count && places[next].shard < shard->index)
            all[made++] = (*rows)[next++];
        if (next < *count && places[next].shard == shard->index)
            all[made] = (*rows)[next++];
        else if (is_waiting[i])
            all[made] = (lsi_lease_row){.place = {shard->index, LSI_LEASE_HORIZON}, .seqno = shard->first_seqno};
        else
            continue;
        (*waits)[made++] = is_waiting[i];
    }
    while (next < *count)
        all[made++] = (*rows)[next++];
    lsi_free(memory, *rows);
    *rows = all;
    *count = made;
    all = NULL;
done:
    lsi_free(memory, places);
    lsi_free(memory, is_waiting);
    lsi_free(memory, all);
    lsi_stream_info_free(&info);
    return st;
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

/* Where the lag of a lease begins: `stored`, or behind what the owner has finished since. Owners of a group without a
 * mapping note nothing. */
static ls_position finished_place(lsi_engine_stream *stream, const lsi_group_settings *settings,
                                  const lsi_lease_row *row, const ls_position *stored)
{
    lsi_point noted = {LS_SEQNO_NONE, 0};
    const lsi_budget_word *words;

    if (settings->mapping == 0 || row->owner == 0)
        return *stored;
    words = stream->engine->ops->find_lease_words(stream, settings->number, row->place.shard);
    if (words != NULL)
        noted = lsi_lease_noted(words, row);
    if (noted.seqno == LS_SEQNO_NONE || (row->place.kind == LSI_LEASE_NUMBER &&
                                         lsi_point_compare(noted, lsi_point_of(row->seqno, row->sub_seqno)) <= 0))
        return *stored;
    return (ls_position){.kind = noted.part == 0 ? LS_AFTER_SEQUENCE_NUMBER : LS_AT_SEQUENCE_NUMBER,
                         .seqno = noted.seqno};
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
    bool *waits = NULL;
    ls_status st = lsi_group_find(stream, group, &settings);

    if (st == LS_OK && settings.version == LSI_STATE_NONE)
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no group '%s'", stream->name, group);
    if (st == LS_OK)
        st = lsi_lease_rows(stream, group, &rows, count);
    if (st == LS_OK)
        st = add_waiting(stream, group, &rows, count, &waits);
    if (st != LS_OK)
        goto fail;
    infos = alloc_infos(memory, rows, *count, &states);
    if (records != NULL)
        lags = lsi_alloc(memory, ((size_t)*count + 1) * sizeof(*lags));
    if (infos == NULL || (records != NULL && lags == NULL)) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "group '%s': no memory for a list of its leases", group);
        goto fail;
    }
    for (uint32_t i = 0; i < *count; i++) {
        ls_position finished;

        lsi_lease_row_describe(&rows[i], &infos[i]);
        if (waits[i] && infos[i].state == LS_LEASE_NOT_BEGUN)
            infos[i].state = LS_LEASE_WAITING;
        states = keep_state(&infos[i], states);
        infos[i].owner_lives =
            rows[i].owner != 0 && !stream->engine->ops->ticket_is_gone(stream->engine, rows[i].owner);
        finished = finished_place(stream, &settings, &rows[i], &infos[i].position);
        find_lag(stream, &finished, &infos[i], lags != NULL ? &lags[i] : NULL);
    }
    lsi_free(memory, rows);
    lsi_free(memory, waits);
    *out = infos;
    if (records != NULL)
        *records = lags;
    return LS_OK;
fail:
    lsi_free(memory, rows);
    lsi_free(memory, waits);
    lsi_free(memory, infos);
    lsi_free(memory, lags);
    return st;
}
