/* An iterator's records, unfolded: where the engine's reader gives an aggregate, its user records.
 *
 * The reader is asked for records as they were put, which stay where they are until it is asked again. They are given
 * piece by piece, as many user records as a call may have, and the reader is asked again when the last one was given.
 * Where the track stands is then the record that is not given whole, and how many of its user records were: whoever
 * begins there reads the record again and passes them over. Where no record can be an aggregate, as its first bytes
 * tell, they are given as they were fetched.
 *
 *   F1  A batch is user records of records that were fetched together, in order, none twice.
 *   F2  Only lsi_unfold_deliver moves the track. If what was read is not delivered, the reader is led back (C1). */
#include <string.h>

#include "base/status.h"
#include "consume/iterator.h"

struct lsi_unfold {
    lsi_unpack unpack;
    lsi_read fetched; /* the reader's answer */
    uint32_t at;      /* of its records, the one that is to be given, or to be gone on with */
    bool is_entered;  /* the latter */
    bool is_within;   /* and it is an aggregate, which `unpack` is of */
    bool is_plain;    /* none of the reader's answer is one */
    uint32_t records; /* for lsi_unfold_fetched */
    uint64_t bytes;
};

bool lsi_unfold_has_more(const lsi_track *track)
{
    return track->unfold != NULL && !track->is_astray && track->unfold->at < track->unfold->fetched.count;
}

uint32_t lsi_unfold_fetched(const lsi_track *track, uint64_t *bytes)
{
    *bytes = track->unfold->bytes;
    return track->unfold->records;
}

void lsi_unfold_forget(lsi_track *track)
{
    if (track->unfold == NULL)
        return;
    track->unfold->fetched = (lsi_read){0};
    track->unfold->at = 0;
    track->unfold->is_entered = track->unfold->is_within = false;
}

void lsi_unfold_free(const lsi_iterator *iterator, lsi_track *track)
{
    if (track->unfold != NULL)
        lsi_unpack_free(&track->unfold->unpack);
    lsi_free(&iterator->env->memory, track->unfold);
    track->unfold = NULL;
}

/* What the reader has next. Failing: `out` says what was cut off. */
static ls_status fetch(lsi_iterator *iterator, lsi_track *track, uint32_t records_max, uint64_t bytes_max,
                       lsi_read *out)
{
    lsi_unfold *unfold = track->unfold;
    ls_status st;

    lsi_unfold_forget(track);
    st = iterator->ops->read(track->reader, records_max, bytes_max, out);
    unfold->records = 0;
    unfold->bytes = 0;
    if (st != LS_OK)
        return st;
    unfold->fetched = *out;
    unfold->records = out->count;
    unfold->is_plain = true;
    for (uint32_t i = 0; i < out->count; i++) {
        const ls_record *record = &out->records[i];

        unfold->bytes += (uint64_t)record->partition_key.size + record->data.size;
        unfold->is_plain = unfold->is_plain && !lsi_unpack_may_begin(record->data);
    }
    return LS_OK;
}

/* How many user records of the one that begins now were given before, or are not wanted. */
static uint32_t given_before(const lsi_track *track, const ls_record *outer)
{
    return track->position.kind == LS_AT_SEQUENCE_NUMBER && track->position.seqno == outer->seqno
               ? track->position.sub_seqno
               : 0;
}

/* Begins with the record at `at`, behind what was given of it. `*is_over`: all of it was. */
static ls_status enter(lsi_track *track, bool *is_over)
{
    lsi_unfold *unfold = track->unfold;
    const ls_record *outer = &unfold->fetched.records[unfold->at];
    uint32_t before = given_before(track, outer);
    bool is_aggregate;
    ls_status st = lsi_unpack_begin(&unfold->unpack, outer, &track->range, &is_aggregate);

    if (st != LS_OK)
        return st;
    lsi_unpack_skip(&unfold->unpack, before);
    *is_over = is_aggregate ? lsi_unpack_left(&unfold->unpack) == 0 : before != 0;
    unfold->is_within = is_aggregate;
    unfold->is_entered = true;
    return LS_OK;
}

static void leave(lsi_unfold *unfold)
{
    unfold->at++;
    unfold->is_entered = unfold->is_within = false;
}

/* What a call may still be given. */
typedef struct room {
    uint32_t records;
    uint64_t bytes;
} room;

/* Of the record that was entered as much as there is room for, behind the `count` user records that are there. */
static ls_status take(lsi_iterator *iterator, lsi_unfold *unfold, room *left, uint32_t *count)
{
    const ls_record *outer = &unfold->fetched.records[unfold->at];
    uint64_t bytes = (uint64_t)outer->partition_key.size + outer->data.size;
    uint32_t wanted = unfold->is_within ? lsi_unpack_left(&unfold->unpack) : 1, taken = 0;
    ls_record *to;

    if (wanted > left->records)
        wanted = left->records;
    if (!lsi_grow(&iterator->env->memory, (void **)&iterator->users, &iterator->users_capacity, (size_t)*count + wanted,
                  sizeof(*iterator->users)))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for %u user records", *count + wanted);
    to = iterator->users + *count;
    if (unfold->is_within) {
        if (*count == 0 && lsi_unpack_next(&unfold->unpack, to, 1, NULL) == 1) { /* one always */
            bytes = (uint64_t)to->partition_key.size + to->data.size;
            left->bytes -= bytes < left->bytes ? bytes : left->bytes;
            taken = 1;
        }
        taken += lsi_unpack_next(&unfold->unpack, to + taken, wanted - taken, &left->bytes);
        if (lsi_unpack_left(&unfold->unpack) == 0)
            leave(unfold);
    } else if (*count == 0 || bytes <= left->bytes) {
        *to = *outer;
        left->bytes -= bytes < left->bytes ? bytes : left->bytes;
        taken = 1;
        leave(unfold);
    }
    *count += taken;
    left->records = taken == 0 ? 0 : left->records - taken;
    return LS_OK;
}

/* User records into the iterator's own array. */
static ls_status unfold_piece(lsi_iterator *iterator, lsi_track *track, room *left, uint32_t *count)
{
    lsi_unfold *unfold = track->unfold;
    ls_status st = LS_OK;

    while (st == LS_OK && left->records != 0 && unfold->at < unfold->fetched.count) {
        bool is_over = false;

        if (!unfold->is_entered)
            st = enter(track, &is_over);
        if (st == LS_OK && is_over)
            leave(unfold);
        else if (st == LS_OK)
            st = take(iterator, unfold, left, count);
        if (unfold->is_entered && st == LS_OK)
            break; /* There was no room for the rest of it. */
    }
    return st;
}

ls_status lsi_unfold_read(lsi_iterator *iterator, lsi_track *track, uint32_t records_max, uint64_t bytes_max,
                          lsi_read *out)
{
    lsi_unfold *unfold = track->unfold;
    room left = {records_max, bytes_max};
    uint32_t count = 0;
    ls_status st = LS_OK;

    if (unfold == NULL) {
        unfold = lsi_alloc_zero(&iterator->env->memory, sizeof(*unfold));
        if (unfold == NULL)
            return lsi_fail(LS_ERR_NO_MEMORY, "no memory to de-aggregate records");
        unfold->unpack.memory = &iterator->env->memory;
        track->unfold = unfold;
    }
    if (unfold->at < unfold->fetched.count) {
        unfold->records = 0;
        unfold->bytes = 0;
    } else {
        st = fetch(iterator, track, records_max, bytes_max, out);
    }
    if (st != LS_OK)
        return st;
    if (unfold->is_plain && unfold->at == 0 && track->position.sub_seqno == 0) {
        unfold->at = unfold->fetched.count;
        *out = unfold->fetched;
        return LS_OK;
    }
    st = unfold_piece(iterator, track, &left, &count);
    if (st != LS_OK) {
        track->is_astray = true; /* What was taken so far is read again. */
        return st;
    }
    if (count == 0 && unfold->fetched.count != 0) /* All of it had been given. */
        track->position = lsi_position_at(iterator->ops->place(track->reader));
    *out = (lsi_read){.records = iterator->users, .count = count};
    if (unfold->at == unfold->fetched.count) {
        out->at_tip = unfold->fetched.at_tip;
        out->shard_end = unfold->fetched.shard_end;
    }
    return LS_OK;
}

void lsi_unfold_deliver(const lsi_iterator *iterator, lsi_track *track)
{
    const lsi_unfold *unfold = track->unfold;

    if (unfold->at == unfold->fetched.count) {
        track->position = lsi_position_at(iterator->ops->place(track->reader));
        return;
    }
    track->position = lsi_position_at(unfold->fetched.records[unfold->at].seqno);
    track->position.sub_seqno = unfold->is_within ? unfold->unpack.next : 0;
}
