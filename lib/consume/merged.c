/* All shards of a stream through one iterator.
 *
 * Shards take turns: a look begins behind the shard that gave the last batch, so a busy one does not starve the others,
 * and neither does one whose place is damaged. Children wait for their parents: a shard is read only when each parent
 * was read to its end and handed out, so that the records of a key stay in order across a reshard (M1). A parent that
 * is not listed any more was trimmed whole and counts as finished.
 *
 * Shards that show up later are read from their first records, wherever the iterator began: they are the continuation
 * of shards that were there. So are the children of a shard that something was given of. What was trimmed of either
 * before the iterator came to it is said as of any shard (M2). A batch is of one reader, so its views stay good while
 * the others are not touched.
 *
 * Costs: one reader per shard that is being read, one read per shard and look.
 *
 * M1 No record of a child is given before every record of its listed parents.
 * M2 Between two records of a key there is either no record of it that was trimmed, or LS_ERR_TRIMMED. */
#include "consume/iterator.h"

#include <string.h>

#include "base/search.h"
#include "base/status.h"

void lsi_merged_free(const lsi_iterator *iterator, lsi_track *tracks, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        lsi_track_close(iterator, &tracks[i]);
    lsi_free(&iterator->env->memory, tracks);
}

_Static_assert(offsetof(lsi_track, shard) == 0, "it is found by its first field");

lsi_track *lsi_merged_find(const lsi_iterator *iterator, uint32_t shard)
{
    size_t at = lsi_place_u32(iterator->tracks, iterator->track_count, sizeof(lsi_track), shard);

    return at < iterator->track_count && iterator->tracks[at].shard == shard ? &iterator->tracks[at] : NULL;
}

static bool is_finished(const lsi_iterator *iterator, uint32_t shard)
{
    const lsi_track *track = shard == LSI_NO_SHARD ? NULL : lsi_merged_find(iterator, shard);

    return track == NULL || track->is_finished;
}

void lsi_merged_update_waiting(lsi_iterator *iterator)
{
    for (uint32_t i = 0; i < iterator->track_count; i++) {
        lsi_track *track = &iterator->tracks[i];

        track->is_waiting = !is_finished(iterator, track->parent) || !is_finished(iterator, track->adjacent_parent);
    }
}

static lsi_track track_of(const lsi_shard *shard)
{
    return (lsi_track){
        .shard = shard->index,
        .parent = shard->parent,
        .adjacent_parent = shard->adjacent_parent,
        .first_seqno = shard->first_seqno,
        .is_waiting = shard->parent != LSI_NO_SHARD || shard->adjacent_parent != LSI_NO_SHARD,
        .position = lsi_position_first,
        .range = shard->range,
    };
}

/* A closed shard whose last record lies before the position has nothing to show. Asking its reader would say the same;
 * but a stream that was split a thousand times has a thousand of them. */
static bool lies_before(const lsi_shard *shard, const ls_position *position)
{
    return shard->closed && (position->kind == LS_LATEST ||
                             (position->kind == LS_AT_TIMESTAMP && shard->closed_us < position->timestamp_us));
}

static ls_status make_tracks(lsi_iterator *iterator, const ls_position *position, lsi_track **out, uint32_t *count,
                             uint64_t *generation)
{
    lsi_stream_info info = {0};
    lsi_track *tracks;
    ls_status st = iterator->ops->info(iterator->stream, &info);

    if (st != LS_OK)
        return st;
    *generation = info.generation;
    tracks = lsi_alloc(&iterator->env->memory, info.shard_count * sizeof(*tracks));
    if (tracks == NULL) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory to read %u shards", info.name, info.shard_count);
        goto done;
    }
    for (uint32_t i = 0; i < info.shard_count; i++) {
        tracks[i] = track_of(&info.shards[i]);
        tracks[i].is_finished = lies_before(&info.shards[i], position);
    }
    /* LATEST and a time mean the moment of this call, in every shard, also in those that wait. */
    for (uint32_t i = 0; i < info.shard_count && position->kind != LS_TRIM_HORIZON && st == LS_OK; i++)
        if (!tracks[i].is_finished)
            st = lsi_track_settle(iterator, &tracks[i], position);
    if (st != LS_OK) {
        lsi_merged_free(iterator, tracks, info.shard_count);
        goto done;
    }
    lsi_turn_take_limits(iterator, &info);
    *out = tracks;
    *count = info.shard_count;
done:
    lsi_stream_info_free(&info);
    return st;
}

/* A shard that was listed a moment ago has expired, or the stream is gone: listing the shards once more tells. */
static bool has_changed(const lsi_iterator *iterator, ls_status st, uint64_t generation)
{
    return st == LS_ERR_NOT_FOUND && iterator->ops->generation(iterator->stream) != generation;
}

ls_status lsi_merged_tracks(lsi_iterator *iterator, const ls_position *position, lsi_track **out, uint32_t *count,
                            uint64_t *generation)
{
    ls_status st;

    do {
        *generation = iterator->ops->generation(iterator->stream);
        st = make_tracks(iterator, position, out, count, generation);
    } while (has_changed(iterator, st, *generation));
    return st;
}

/* The shard of the track is gone. One that was to be begun with whatever was oldest by then has lost nothing by that:
 * nothing was given of it, nor is it what something goes on with, nor was it read to its tip and grew since. */
static bool is_lost(const lsi_track *track)
{
    bool is_placed = track->position.kind != LS_TRIM_HORIZON && track->reader == NULL;

    return !track->is_finished && (track->is_under_way || track->was_at_tip || is_placed);
}

/* A parent that came and went since the shards were listed last. LSI_NO_SHARD: there is none. */
static uint32_t unseen_parent(const lsi_iterator *iterator, const lsi_stream_info *info, const lsi_shard *shard)
{
    const uint32_t parents[2] = {shard->parent, shard->adjacent_parent};

    for (int i = 0; i < 2; i++)
        if (parents[i] != LSI_NO_SHARD && lsi_merged_find(iterator, parents[i]) == NULL &&
            lsi_shard_find(info->shards, info->shard_count, parents[i]) == NULL)
            return parents[i];
    return LSI_NO_SHARD;
}

ls_status lsi_merged_refresh(lsi_iterator *iterator)
{
    lsi_stream_info info = {0};
    lsi_track *tracks;
    uint32_t had = 0, lost = LSI_NO_SHARD;
    ls_status st;

    if (!iterator->is_stale && iterator->ops->generation(iterator->stream) == iterator->generation)
        return LS_OK;
    st = iterator->ops->info(iterator->stream, &info);
    if (st != LS_OK)
        return st;
    tracks = lsi_alloc(&iterator->env->memory, info.shard_count * sizeof(*tracks));
    if (tracks == NULL) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory to read %u shards", info.name, info.shard_count);
        lsi_stream_info_free(&info);
        return st;
    }
    for (uint32_t i = 0; i < info.shard_count; i++) {
        for (; had < iterator->track_count && iterator->tracks[had].shard < info.shards[i].index; had++) {
            if (is_lost(&iterator->tracks[had]))
                lost = iterator->tracks[had].shard;
            lsi_track_close(iterator, &iterator->tracks[had]);
        }
        tracks[i] = track_of(&info.shards[i]);
        if (had < iterator->track_count && iterator->tracks[had].shard == info.shards[i].index) {
            lsi_track fresh = tracks[i];

            tracks[i] = iterator->tracks[had];
            tracks[i].parent = fresh.parent;
            tracks[i].adjacent_parent = fresh.adjacent_parent;
            tracks[i].first_seqno = fresh.first_seqno;
            tracks[i].range = fresh.range;
            had++;
        } else { /* M2 */
            uint32_t unseen = unseen_parent(iterator, &info, &info.shards[i]);

            if (unseen != LSI_NO_SHARD)
                lost = unseen;
            tracks[i].position = lsi_position_at(tracks[i].first_seqno);
        }
    }
    for (; had < iterator->track_count; had++) {
        if (is_lost(&iterator->tracks[had]))
            lost = iterator->tracks[had].shard;
        lsi_track_close(iterator, &iterator->tracks[had]);
    }
    lsi_free(&iterator->env->memory, iterator->tracks);
    iterator->tracks = tracks;
    iterator->track_count = info.shard_count;
    iterator->generation = info.generation;
    iterator->is_stale = false;
    lsi_turn_take_limits(iterator, &info);
    if (iterator->turn >= iterator->track_count)
        iterator->turn = 0;
    lsi_merged_update_waiting(iterator);
    if (lost != LSI_NO_SHARD) {
        lsi_count_cut(iterator, &(lsi_cut){0}); /* How much it was went with the shard. */
        lsi_env_log(iterator->env, LS_LOG_WARNING, "stream '%s' shard %u: a reader was overtaken by trimming: the "
                    "shard is gone, and nobody knows how much of it was never given to it", info.name, lost);
        st = lsi_fail(LS_ERR_TRIMMED, "stream '%s' shard %u was trimmed whole before it was read to its end", info.name,
                      lost);
    }
    lsi_stream_info_free(&info);
    return st;
}

static void finish(lsi_iterator *iterator, lsi_track *track)
{
    track->is_finished = true;
    for (uint32_t i = 0; i < iterator->track_count && track->is_under_way; i++) { /* M2 */
        lsi_track *child = &iterator->tracks[i];

        if ((child->parent == track->shard || child->adjacent_parent == track->shard) &&
            child->position.kind == LS_TRIM_HORIZON)
            child->position = lsi_position_at(child->first_seqno);
    }
    iterator->is_stale = true; /* Its children may be younger than the list. */
    lsi_merged_update_waiting(iterator);
}

ls_status lsi_merged_look(lsi_iterator *iterator, uint32_t records_max, uint64_t bytes_max, bool *found)
{
    uint32_t seen = 0;
    ls_status st = lsi_merged_refresh(iterator);

    while (st == LS_OK && seen < iterator->track_count) {
        lsi_track *track = &iterator->tracks[iterator->turn];
        lsi_read read;

        if (track->is_finished || track->is_waiting) {
            iterator->turn = (iterator->turn + 1) % iterator->track_count;
            seen++;
            continue;
        }
        if (iterator->subscriber != NULL) {
            st = lsi_track_hold(iterator, track);
            if (st != LS_OK)
                return st;
        }
        if (iterator->is_limited && !lsi_turn_take(iterator, track)) {
            iterator->turn = (iterator->turn + 1) % iterator->track_count;
            seen++;
            continue;
        }
        st = lsi_track_read(iterator, track, records_max, bytes_max, &read);
        track->is_at_tip = st == LS_OK && read.count == 0 && read.at_tip;
        track->was_at_tip = track->was_at_tip || track->is_at_tip;
        if (st == LS_OK && read.count == 0 && !read.at_tip && !read.shard_end)
            continue; /* The reader passed over something: it goes on. */
        if (has_changed(iterator, st, iterator->generation)) {
            st = lsi_merged_refresh(iterator);
            seen = 0;
            continue;
        }
        iterator->turn = (iterator->turn + 1) % iterator->track_count;
        seen++;
        if (st != LS_OK)
            return st;
        if (read.count > 0) {
            st = lsi_track_deliver(iterator, track, &read);
            if (st != LS_OK)
                return st;
            *found = true;
            if (read.shard_end)
                finish(iterator, track); /* M1: its reader stays, the batch is a view of it. */
            return LS_OK;
        }
        if (read.shard_end) { /* Nothing was left in it. That is no batch; its children are looked at now. */
            lsi_track_close(iterator, track);
            finish(iterator, track);
            st = lsi_merged_refresh(iterator);
            seen = 0;
        }
    }
    return st;
}
