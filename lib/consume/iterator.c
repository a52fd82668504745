/* Opening, moving and closing an iterator, and reading one shard.
 *
 * The reader of the engine holds the buffer that records are views into; what the iterator adds is a place of its own.
 * The place moves when a batch is handed to the caller and at no other time, so whatever fails on the way (no memory
 * for the list of children, say) leaves it alone, and the reader is led back before it is used again.
 *
 * C1 `position` of a track is the place after the last record that the caller was given; a record is given once.
 * C2 A batch that carries records or the end of its shard is returned at once, without looking at clocks or cancels. */
#include "consume/iterator.h"

#include <assert.h>
#include <inttypes.h>

#include "base/status.h"

const ls_position lsi_position_first = {.kind = LS_TRIM_HORIZON, .sub_seqno = 0, .seqno = 0, .timestamp_us = 0};

ls_position lsi_position_at(ls_seqno seqno)
{
    /* An engine that names no number yet has given none: the beginning is the same place. */
    if (seqno == LS_SEQNO_NONE)
        return lsi_position_first;
    return (ls_position){.kind = LS_AT_SEQUENCE_NUMBER, .sub_seqno = 0, .seqno = seqno, .timestamp_us = 0};
}

/* A position as a caller may give it. */
static ls_status check_position(const lsi_iterator *iterator, const ls_position *position)
{
    bool takes_seqno = position->kind == LS_AT_SEQUENCE_NUMBER || position->kind == LS_AFTER_SEQUENCE_NUMBER;
    bool takes_timestamp = position->kind == LS_AT_TIMESTAMP;

    if (position->kind < LS_TRIM_HORIZON || position->kind > LS_AT_TIMESTAMP)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.kind is %" PRId32 ": the kinds are %d..%d", position->kind,
                        LS_TRIM_HORIZON, LS_AT_TIMESTAMP);
    if (position->sub_seqno != 0 && (position->kind != LS_AT_SEQUENCE_NUMBER || !iterator->is_deaggregating))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.sub_seqno is %" PRIu32 ": it is for AT_SEQUENCE_NUMBER of "
                        "an iterator that de-aggregates", position->sub_seqno);
    if (!takes_seqno && position->seqno != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.seqno is %" PRIu64 ": kind %" PRId32 " takes none",
                        position->seqno, position->kind);
    if (!takes_timestamp && position->timestamp_us != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.timestamp_us is %" PRId64 ": kind %" PRId32 " takes none",
                        position->timestamp_us, position->kind);
    if (takes_seqno && iterator->is_merged)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT,
                        "position.kind is %" PRId32 ": a number belongs to one shard, this iterator reads all",
                        position->kind);
    if (takes_seqno && (position->seqno == LS_SEQNO_NONE || position->seqno > LS_SEQNO_MAX))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.seqno is %" PRIu64 ": numbers are 1..%" PRIu64,
                        position->seqno, LS_SEQNO_MAX);
    if (takes_timestamp && position->timestamp_us > lsi_wall_us(&iterator->env->clock))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position.timestamp_us is %" PRId64 ": that is in the future",
                        position->timestamp_us);
    return LS_OK;
}

/* ---- tracks ---- */

/* Opens the reader, if need be, and resolves `position`: LATEST and a time become the number they mean now. The engine
 * knows no parts of a record: with a sub_seqno it is led to the record, and whoever unfolds that goes on within it. */
ls_status lsi_track_settle(lsi_iterator *iterator, lsi_track *track, const ls_position *position)
{
    ls_position whole = *position;
    ls_status st;

    whole.sub_seqno = 0;
    if (track->reader == NULL) {
        st = iterator->ops->reader_open(iterator->stream, track->shard, iterator->reader_flags, &track->reader);
        if (st != LS_OK)
            return st;
        track->counts = iterator->ops->counts(iterator->stream, LSI_COUNTS_SHARD, track->shard);
    }
    st = iterator->ops->seek(track->reader, &whole);
    if (st != LS_OK)
        return st;
    track->is_under_way = track->is_under_way || position->kind != LS_TRIM_HORIZON;
    track->position = lsi_position_at(iterator->ops->place(track->reader));
    if (track->position.seqno == position->seqno)
        track->position.sub_seqno = position->sub_seqno;
    track->is_astray = false;
    lsi_unfold_forget(track);
    return LS_OK;
}

void lsi_track_close(const lsi_iterator *iterator, lsi_track *track)
{
    if (track->reader != NULL)
        iterator->ops->reader_close(track->reader);
    track->reader = NULL;
    lsi_unfold_free(iterator, track);
    if (track->hold.budget != NULL)
        iterator->ops->hold_end(iterator->stream, &track->hold);
    track->hold = (lsi_hold){0};
}

ls_status lsi_track_read(lsi_iterator *iterator, lsi_track *track, uint32_t records_max, uint64_t bytes_max,
                         lsi_read *out)
{
    ls_status st;

    if (track->reader == NULL || track->is_astray) {
        ls_position position = track->position;

        st = lsi_track_settle(iterator, track, &position);
        if (st != LS_OK)
            return st;
    }
    *out = (lsi_read){0};
    st = iterator->is_deaggregating ? lsi_unfold_read(iterator, track, records_max, bytes_max, out)
                                    : iterator->ops->read(track->reader, records_max, bytes_max, out);
    if (st == LS_ERR_TRIMMED) {
        track->position = lsi_position_at(iterator->ops->place(track->reader));
        lsi_count_cut(iterator, &out->cut);
    }
    return st;
}

/* The children of `shard`, into the iterator's own array. */
static ls_status find_children(lsi_iterator *iterator, uint32_t shard, uint32_t *count)
{
    lsi_stream_info info = {0};
    ls_status st = iterator->ops->info(iterator->stream, &info);

    *count = 0;
    if (st != LS_OK)
        return st;
    for (uint32_t i = 0; i < info.shard_count && st == LS_OK; i++) {
        if (info.shards[i].parent != shard && info.shards[i].adjacent_parent != shard)
            continue;
        if (lsi_grow(&iterator->env->memory, (void **)&iterator->children, &iterator->children_capacity,
                     (size_t)*count + 1, sizeof(*iterator->children)))
            iterator->children[(*count)++] = info.shards[i].index;
        else
            st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for the children of shard %u", shard);
    }
    lsi_stream_info_free(&info);
    return st;
}

ls_status lsi_track_deliver(lsi_iterator *iterator, lsi_track *track, const lsi_read *read)
{
    ls_batch *batch = &iterator->batch;
    uint32_t child_count = 0;
    ls_status st = LS_OK;

    if (iterator->subscriber != NULL)
        st = lsi_track_hold(iterator, track); /* Reading may have taken long, and a stop of the process longer. */
    if (st == LS_OK && read->shard_end)
        st = find_children(iterator, track->shard, &child_count);
    if (st != LS_OK) {
        track->is_astray = true; /* C1: what was read is read again. */
        return st;
    }
    *batch = (ls_batch){
        .records = read->records,
        .count = read->count,
        .shard = track->shard,
        .is_shard_end = read->shard_end,
        .child_count = child_count,
        .children = iterator->children,
        .iterator = iterator,
    };
    if (read->count > 0 && !read->at_tip && !read->shard_end) {
        int64_t behind_us = lsi_wall_us(&iterator->env->clock) - read->records[read->count - 1].arrival_us;

        batch->millis_behind_latest = behind_us >= 2000 ? behind_us / 1000 : 1; /* Clocks may have been set. */
    }
    if (iterator->is_deaggregating)
        lsi_unfold_deliver(iterator, track);
    else
        track->position = lsi_position_at(iterator->ops->place(track->reader));
    track->is_under_way = true;
    lsi_get_delivered(iterator, track, read);
    if (iterator->is_limited)
        lsi_turn_delivered(iterator, track);
    return LS_OK;
}

/* ---- opening ---- */

ls_status lsi_iterator_new(lsi_engine_stream *stream, bool is_merged, uint32_t flags, lsi_iterator **out)
{
    const lsi_env *env = &stream->engine->env;
    lsi_iterator *iterator;
    lsi_stream_info info = {0};
    ls_status st;

    st = stream->engine->ops->info(stream, &info);
    if (st != LS_OK)
        return st;
    if (info.status == LS_STREAM_CREATING || info.status == LS_STREAM_DELETING) {
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' is being %s", info.name,
                      info.status == LS_STREAM_CREATING ? "created" : "deleted");
        lsi_stream_info_free(&info);
        return st;
    }
    iterator = lsi_alloc_zero(&env->memory, sizeof(*iterator));
    if (iterator == NULL) {
        lsi_stream_info_free(&info);
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for an iterator");
    }
    iterator->stream = stream;
    iterator->ops = stream->engine->ops;
    iterator->env = env;
    iterator->stream_id = info.id;
    iterator->stream_created_us = info.created_us;
    iterator->is_merged = is_merged;
    iterator->is_interruptible = (flags & LS_ITERATOR_INTERRUPTIBLE) != 0;
    iterator->is_deaggregating = (flags & LS_ITERATOR_DEAGGREGATE) != 0;
    /* Aggregates are walked over twice, and must be the same both times: nobody else may be able to write them. */
    iterator->reader_flags = (is_merged ? LSI_READER_ONE_OF_MANY : 0) |
                             ((flags & LS_ITERATOR_MAPPED) != 0 && !iterator->is_deaggregating ? LSI_READER_MAPPED : 0);
    iterator->wait_shard = LSI_NO_SHARD;
    iterator->refused_shard = LSI_NO_SHARD;
    lsi_turn_take_limits(iterator, &info);
    lsi_get_counts_open(iterator);
    atomic_init(&iterator->is_cancelled, false);
    lsi_stream_info_free(&info);
    *out = iterator;
    return LS_OK;
}

/* Only who de-aggregates asks for it. A shard that is not there any more is told of by its reader. */
static ls_status find_range(const lsi_iterator *iterator, lsi_track *track)
{
    lsi_stream_info info = {0};
    const lsi_shard *shard;
    ls_status st;

    track->range = lsi_hash_range_of(0, 1);
    if (!iterator->is_deaggregating)
        return LS_OK;
    st = iterator->ops->info(iterator->stream, &info);
    if (st != LS_OK)
        return st;
    shard = lsi_shard_find(info.shards, info.shard_count, track->shard);
    if (shard != NULL)
        track->range = shard->range;
    lsi_stream_info_free(&info);
    return LS_OK;
}

/* Gives a single iterator its one track. */
static ls_status set_single(lsi_iterator *iterator, uint32_t shard, const ls_position *position)
{
    ls_status st;

    iterator->tracks = lsi_alloc_zero(&iterator->env->memory, sizeof(*iterator->tracks));
    if (iterator->tracks == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for an iterator");
    iterator->track_count = 1;
    iterator->wait_shard = shard;
    iterator->tracks[0] = (lsi_track){.shard = shard, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD};
    st = find_range(iterator, &iterator->tracks[0]);
    return st == LS_OK ? lsi_track_settle(iterator, &iterator->tracks[0], position) : st;
}

/* Gives a merged iterator new tracks, or leaves it as it is. */
static ls_status set_merged(lsi_iterator *iterator, const ls_position *position)
{
    lsi_track *tracks = NULL;
    uint32_t count = 0;
    uint64_t generation = 0;
    ls_status st = lsi_merged_tracks(iterator, position, &tracks, &count, &generation);

    if (st != LS_OK)
        return st;
    lsi_merged_free(iterator, iterator->tracks, iterator->track_count);
    iterator->tracks = tracks;
    iterator->track_count = count;
    iterator->generation = generation;
    iterator->is_stale = false;
    iterator->turn = 0;
    lsi_merged_update_waiting(iterator);
    return LS_OK;
}

ls_status lsi_iterator_open(lsi_engine_stream *stream, uint32_t shard, const ls_position *position, uint32_t flags,
                            lsi_iterator **out)
{
    const ls_position *from = position != NULL ? position : &lsi_position_first;
    lsi_iterator *iterator = NULL;
    ls_status st;

    st = lsi_iterator_new(stream, false, flags, &iterator);
    if (st != LS_OK)
        return st;
    st = check_position(iterator, from);
    if (st == LS_OK)
        st = set_single(iterator, shard, from);
    if (st != LS_OK) {
        lsi_iterator_close(iterator);
        return st;
    }
    *out = iterator;
    return LS_OK;
}

ls_status lsi_iterator_open_all(lsi_engine_stream *stream, const ls_position *position, uint32_t flags,
                                lsi_iterator **out)
{
    const ls_position *from = position != NULL ? position : &lsi_position_first;
    lsi_iterator *iterator = NULL;
    ls_status st;

    st = lsi_iterator_new(stream, true, flags, &iterator);
    if (st != LS_OK)
        return st;
    st = check_position(iterator, from);
    if (st == LS_OK)
        st = set_merged(iterator, from);
    if (st != LS_OK) {
        lsi_iterator_close(iterator);
        return st;
    }
    *out = iterator;
    return LS_OK;
}

/* A text that names shards the stream never had is none of ours. */
static ls_status check_place(const lsi_iterator *iterator, const lsi_place *place)
{
    lsi_stream_info info = {0};
    uint32_t limit;
    ls_status st;

    if (place->stream_id != iterator->stream_id || place->stream_created_us != iterator->stream_created_us)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "place is of stream %" PRIu64 " of another time or store",
                        place->stream_id);
    st = iterator->ops->info(iterator->stream, &info);
    if (st != LS_OK)
        return st;
    limit = info.shard_count > 0 ? info.shards[info.shard_count - 1].index + 1 : 0;
    lsi_stream_info_free(&info);
    if (place->tracks[place->track_count - 1].shard >= limit)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "place names shard %u: stream '%s' has none beyond %u",
                        place->tracks[place->track_count - 1].shard, iterator->stream->name, limit - 1);
    return LS_OK;
}

ls_status lsi_iterator_open_place(lsi_engine_stream *stream, const char *text, uint32_t flags, lsi_iterator **out)
{
    const lsi_memory *memory = &stream->engine->env.memory;
    lsi_iterator *iterator = NULL;
    lsi_place place = {0};
    ls_status st;

    st = lsi_place_parse(memory, text, &place);
    if (st != LS_OK)
        return st;
    st = lsi_iterator_new(stream, place.is_merged, flags, &iterator);
    if (st != LS_OK)
        goto fail;
    st = check_place(iterator, &place);
    if (st != LS_OK)
        goto fail;
    for (uint32_t i = 0; i < place.track_count && !iterator->is_deaggregating; i++)
        place.tracks[i].position.sub_seqno = 0;
    if (place.is_merged) {
        iterator->tracks = place.tracks;
        iterator->track_count = place.track_count;
        iterator->is_stale = true; /* Lineage, and shards that are newer than the place, are found by the first look. */
    } else {
        st = set_single(iterator, place.tracks[0].shard, &place.tracks[0].position);
        if (st != LS_OK)
            goto fail;
        lsi_free(memory, place.tracks);
    }
    *out = iterator;
    return LS_OK;
fail:
    lsi_free(memory, place.tracks);
    lsi_iterator_close(iterator);
    return st;
}

void lsi_iterator_close(lsi_iterator *iterator)
{
    if (iterator == NULL)
        return;
    lsi_event_close(iterator->event); /* First: its thread looks at the stream. */
    lsi_get_counts_close(iterator);
    lsi_merged_free(iterator, iterator->tracks, iterator->track_count);
    lsi_free(&iterator->env->memory, iterator->users);
    lsi_free(&iterator->env->memory, iterator->children);
    lsi_free(&iterator->env->memory, iterator);
}

/* ---- moving ---- */

ls_status lsi_iterator_seek(lsi_iterator *iterator, const ls_position *position)
{
    ls_status st = check_position(iterator, position);

    if (st == LS_OK)
        st = iterator->is_merged ? set_merged(iterator, position)
                                 : lsi_track_settle(iterator, &iterator->tracks[0], position);
    if (st == LS_OK)
        lsi_event_watch(iterator, true);
    return st;
}

uint32_t lsi_iterator_fetched(const lsi_iterator *iterator, uint64_t *bytes)
{
    return lsi_unfold_fetched(&iterator->tracks[0], bytes);
}
