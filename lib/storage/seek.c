/* Finding a place in a log: by number, by time, its beginning and its end.
 *
 * The segment list says which segment, the sparse index where to begin in it, and the frames themselves where exactly.
 * The index is a hint: where its entry does not name that very frame, the search begins at the segment's beginning. */
#include "storage/reader.h"

#include "base/status.h"

#define LONG_AGO INT64_C(0) /* Before a stream's first record no stamp was given. */

typedef struct target {
    ls_seqno seqno;       /* the first record with at least this number, */
    int64_t timestamp_us; /* or, seqno 0, that counts as arrived at or after this (age.c) */
} target;

static bool frame_reaches(const lsi_frame *frame, const target *sought)
{
    if (sought->seqno != LS_SEQNO_NONE)
        return frame->first_seqno + frame->count > sought->seqno;
    return frame->arrival_us >= sought->timestamp_us;
}

/* The position of the first frame in segment `entry` that reaches the target, and its number. Damage on the way
 * that may hide the target is where the place is put, so that reading says so; R4 forbids stepping over it silently. */
static ls_status find_in_segment(lsi_log *log, const lsi_segment_list *list, const lsi_segment_entry *entry,
                                 uint64_t stop, const target *target_of_all, uint64_t *at, ls_seqno *next, bool *found)
{
    target here = *target_of_all, *sought = &here; /* its time as the segment's stamps say it */
    lsi_segment *segment;
    lsi_walk walk;
    lsi_index_entry hint;
    ls_status st = lsi_segment_open(&log->config, entry->number, false, &segment);

    *found = false;
    *at = entry->base;
    *next = entry->base_seqno;
    if (st == LS_ERR_NOT_FOUND || st == LS_ERR_CORRUPT) {
        *found = true; /* Reading meets it and says it. */
        return LS_OK;
    }
    if (st != LS_OK)
        return st;
    if (here.seqno == LS_SEQNO_NONE)
        here.timestamp_us = lsi_segment_stamp_sought(entry, &segment->header, here.timestamp_us);
    bool hinted = lsi_index_find(&log->config, segment, stop, sought->seqno, sought->timestamp_us, &hint);
    lsi_walk_begin(&walk, log->config.env, segment, hinted ? hint.position : entry->base, stop, false);
    uint64_t damage_at = 0, noted = 0;
    ls_seqno before_damage = 0;
    bool have_damage = false, fresh = true;
    while (!*found) {
        lsi_frame frame;
        lsi_frame_result result;
        uint64_t position;
        st = lsi_walk_next(&walk, &frame, &position, &result);
        if (st != LS_OK)
            break;
        /* The hint is wrong: it leads to no frame, or to another one, behind which the search would begin too late. */
        if (hinted && fresh && (result != LSI_FRAME_VALID || frame.first_seqno != hint.first_seqno ||
                                frame.arrival_us != hint.arrival_us)) {
            hinted = false;
            walk.at = entry->base;
            walk.after = segment->header.base_seqno - 1;
            continue;
        }
        if (result == LSI_FRAME_VALID) {
            uint64_t block = (position - entry->base) / LSI_INDEX_BLOCK_BYTES + 1;
            if (fresh ? !hinted : block > noted) { /* Entries that are missing are made as they are missed. */
                lsi_index_entry note = {position, frame.first_seqno, frame.arrival_us};
                lsi_index_note(&log->config, segment, &note);
            }
            fresh = false;
            noted = block;
            if (frame_reaches(&frame, sought)) {
                /* Exactly the first of a frame behind damage is not hidden by it; anything else may be. */
                bool exact = sought->seqno != LS_SEQNO_NONE && frame.first_seqno <= sought->seqno;
                *at = have_damage && !exact ? damage_at : position;
                *next = have_damage && !exact ? before_damage : frame.first_seqno;
                *found = true;
            } else {
                have_damage = false;
            }
            continue;
        }
        if (walk.at >= stop)
            break;
        bool more;
        const lsi_skip *skip = lsi_skip_at(list, walk.at);
        if (skip != NULL) {
            walk.at = skip->to;
            continue;
        }
        damage_at = walk.at;
        before_damage = walk.after + 1;
        have_damage = true;
        st = lsi_walk_resume(&walk, walk.at + 8, &more);
        if (st != LS_OK)
            break;
        if (!more) {
            *at = damage_at;
            *next = before_damage;
            *found = true;
        }
    }
    if (st == LS_OK && !*found)
        *at = stop;
    lsi_walk_end(&walk);
    lsi_segment_unref(segment);
    return st;
}

/* The least number that a record at or behind the published end can have. */
static ls_status next_at_end(lsi_log_reader *reader, uint64_t published, ls_seqno *next)
{
    bool found;
    lsi_frame frame;
    ls_status st = lsi_log_last_frame(reader->log, reader->list, published, &found, &frame);

    if (st == LS_OK)
        *next = found ? frame.first_seqno + frame.count : reader->list->entries[0].base_seqno;
    return st;
}

static ls_status seek_target(lsi_log_reader *reader, uint64_t published, const target *sought, uint64_t *at,
                             ls_seqno *next)
{
    const lsi_segment_list *list = reader->list;
    uint32_t i = 0;

    /* The first segment that may hold it: numbers of a segment are below the next one's base, times not above. */
    for (uint32_t high = list->count - 1; i < high;) {
        uint32_t middle = i + (high - i) / 2;
        if (sought->seqno != LS_SEQNO_NONE
                ? list->entries[middle + 1].base_seqno <= sought->seqno
                : lsi_segment_list_newest_us(list, middle, sought->timestamp_us) < sought->timestamp_us)
            i = middle + 1;
        else
            high = middle;
    }
    for (; i < list->count; i++) {
        const lsi_segment_entry *entry = &list->entries[i];
        bool sealed = (entry->flags & LSI_SEGMENT_SEALED) != 0, found;
        uint64_t stop = sealed && entry->end < published ? entry->end : published;
        if (stop <= entry->base)
            continue;
        ls_status st = find_in_segment(reader->log, list, entry, stop, sought, at, next, &found);
        if (st != LS_OK || found)
            return st;
    }
    *at = published;
    return next_at_end(reader, published, next);
}

/* The place of the oldest record that may be shown, which did not arrive before `*from_us`. */
static ls_status find_horizon(lsi_log_reader *reader, uint64_t published, uint64_t *at, ls_seqno *next,
                              int64_t *from_us)
{
    const lsi_segment_entry *first = &reader->list->entries[0];
    target sought = {.timestamp_us = lsi_reader_expired_before_us(reader, INT64_MIN)};

    *at = first->base;
    *next = first->base_seqno;
    *from_us = sought.timestamp_us > first->base_arrival_us ? sought.timestamp_us : first->base_arrival_us;
    if (sought.timestamp_us <= first->base_arrival_us && sought.timestamp_us <= first->newest_us)
        return LS_OK;
    return seek_target(reader, published, &sought, at, next);
}

/* When the record at `at` arrived, though it may be past its age; LONG_AGO: nobody knows, or it is gone. */
static int64_t arrival_at(const lsi_log_reader *reader, uint64_t at, uint64_t published)
{
    const lsi_segment_list *list = reader->list;
    const lsi_segment_entry *entry = &list->entries[lsi_segment_list_find(list, at)];
    uint64_t end = (entry->flags & LSI_SEGMENT_SEALED) != 0 && entry->end < published ? entry->end : published;
    int64_t arrival_us = LONG_AGO;
    lsi_error_state before;
    lsi_segment *segment;

    if (at < list->entries[0].base || at >= end)
        return arrival_us;
    lsi_error_save(&before);
    if (lsi_segment_open(&reader->log->config, entry->number, false, &segment) == LS_OK) {
        lsi_frame_result result;
        uint64_t position;
        lsi_frame frame;
        lsi_walk walk;

        lsi_walk_begin(&walk, reader->log->config.env, segment, at, end, false);
        if (lsi_walk_next(&walk, &frame, &position, &result) == LS_OK && result == LSI_FRAME_VALID)
            arrival_us = frame.arrival_us;
        lsi_walk_end(&walk);
        lsi_segment_unref(segment);
    }
    lsi_error_restore(&before);
    return arrival_us;
}

/* What lies between where the reader stands, no number of which is below the shard's first, and the place it is moved
 * to. */
static lsi_log_cut cut_before(const lsi_log_reader *reader, uint64_t published, uint64_t at, ls_seqno next,
                              int64_t from_us)
{
    ls_seqno first = reader->log->config.first_seqno;
    lsi_log_cut cut = {.records = next - (reader->next_seqno > first ? reader->next_seqno : first)};
    int64_t stood_us = reader->stood_us, span_us;

    if (stood_us == INT64_MIN)
        return cut;
    cut.bytes = at > reader->at ? at - reader->at : 0;
    if (!reader->has_given) {
        int64_t arrival_us = arrival_at(reader, reader->at, published);

        stood_us = arrival_us > stood_us ? arrival_us : stood_us;
    }
    if (stood_us > LONG_AGO && !__builtin_sub_overflow(from_us, stood_us, &span_us) && span_us > 0)
        cut.ms = (uint64_t)span_us / 1000;
    return cut;
}

ls_status lsi_reader_to_horizon(lsi_log_reader *reader, uint64_t published)
{
    bool is_loss = !reader->at_horizon;
    int64_t from_us;
    uint64_t at;
    ls_seqno next;
    ls_status st = find_horizon(reader, published, &at, &next, &from_us);

    if (st != LS_OK)
        return st;
    if (reader->next_seqno > next)
        next = reader->next_seqno;
    /* It had been given all that was there, and what it stood behind was trimmed. */
    if (reader->at <= reader->list->entries[0].base && reader->next_seqno >= reader->list->trimmed &&
        at == reader->list->entries[0].base)
        is_loss = false;
    if (is_loss)
        reader->cut = cut_before(reader, published, at, next, from_us);
    lsi_reader_move_to(reader, at, next);
    reader->at_horizon = true;
    reader->has_given = false;
    reader->stood_us = from_us;
    if (!is_loss)
        return LS_OK;
    lsi_env_log(reader->log->config.env, LS_LOG_WARNING,
                "%s: a reader was overtaken by trimming: up to %llu records from number %llu on, %llu bytes of %llu ms, "
                "were never given to it", reader->log->config.label, (unsigned long long)reader->cut.records,
                (unsigned long long)(next - reader->cut.records), (unsigned long long)reader->cut.bytes,
                (unsigned long long)reader->cut.ms);
    return lsi_fail(LS_ERR_TRIMMED,
                    "%s: the place was trimmed, and up to %llu records with it; the oldest one that is left "
                    "has number %llu or more", reader->log->config.label, (unsigned long long)reader->cut.records,
                    (unsigned long long)next);
}

/* What a reader at `at`, in the list, was not given yet did not arrive before this. */
static int64_t arrived_from_us(const lsi_log_reader *reader, const lsi_slot *slot, const ls_position *position,
                               uint64_t at, uint64_t published)
{
    const lsi_segment_entry *entry = &reader->list->entries[lsi_segment_list_find(reader->list, at)];

    if (position->kind == LS_LATEST)
        return atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed);
    if (position->kind == LS_AT_TIMESTAMP && position->timestamp_us > entry->base_arrival_us)
        return position->timestamp_us;
    if (entry->base_arrival_us == LONG_AGO && !reader->at_horizon)
        return arrival_at(reader, at, published);
    return entry->base_arrival_us;
}

static ls_status seek(lsi_log_reader *reader, const ls_position *position)
{
    lsi_slot *slot;
    ls_seqno next = LS_SEQNO_NONE;
    int64_t from_us;
    uint64_t at;
    ls_status st = lsi_log_ready(reader->log, &slot);

    if (st != LS_OK)
        return st;
    uint64_t published = lsi_log_published(reader->log, slot);
    st = lsi_reader_follow_list(reader, slot);
    if (st != LS_OK)
        return st;
    bool at_horizon = position->kind == LS_TRIM_HORIZON;
    const lsi_segment_entry *first = &reader->list->entries[0];
    target sought = {0, 0};

    switch (position->kind) {
    case LS_TRIM_HORIZON:
        st = find_horizon(reader, published, &at, &next, &from_us);
        if (st != LS_OK)
            return st;
        break;
    case LS_LATEST:
        at = published;
        st = next_at_end(reader, published, &next);
        if (st != LS_OK)
            return st;
        break;
    case LS_AT_SEQUENCE_NUMBER:
    case LS_AFTER_SEQUENCE_NUMBER:
        next = position->seqno + (position->kind == LS_AFTER_SEQUENCE_NUMBER ? 1 : 0);
        sought.seqno = next;
        if (next < first->base_seqno) {
            at = first->base;
        } else {
            ls_seqno met;
            st = seek_target(reader, published, &sought, &at, &met);
            if (st != LS_OK)
                return st;
        }
        break;
    case LS_AT_TIMESTAMP:
        sought.timestamp_us = lsi_reader_expired_before_us(reader, INT64_MIN);
        at_horizon = position->timestamp_us <= sought.timestamp_us;
        if (!at_horizon)
            sought.timestamp_us = position->timestamp_us;
        st = seek_target(reader, published, &sought, &at, &next);
        if (st != LS_OK)
            return st;
        at_horizon = at_horizon || at == first->base; /* older than all there is: the same as TRIM_HORIZON */
        break;
    default:
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "position kind %d is none", position->kind);
    }
    lsi_reader_move_to(reader, at, next);
    reader->at_horizon = at_horizon;
    reader->has_given = false;
    /* Where what was sought is gone already nobody knows how much that was. */
    reader->stood_us = lsi_reader_is_trimmed(reader) || next < first->base_seqno
                           ? INT64_MIN : arrived_from_us(reader, slot, position, at, published);
    return LS_OK;
}

ls_status lsi_log_reader_seek(lsi_log_reader *reader, const ls_position *position)
{
    lsi_reader_enter(reader);
    ls_status st = seek(reader, position);
    lsi_reader_leave(reader);
    return st;
}
