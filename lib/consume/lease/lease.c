/* What the owner of a lease does with it: checkpoints, its end, giving it back. Each is one compare and swap of the row
 * (G1), or of several where a shard leaves heirs. Another's change of a row that is ours still is that he asks for it:
 * then the row is read again, and the change made again. */
#include "consume/lease/lease.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/status.h"

#define TRIES 64
#define CHANGES_MAX LSI_LEASE_CHANGES_MAX

/* ---- looking at one ---- */

void lsi_lease_row_describe(const lsi_lease_row *row, ls_lease_info *out)
{
    uint32_t size = out->size;

    *out = (ls_lease_info){.size = size, .shard = row->place.shard, .counter = row->counter,
                           .switches = row->switches, .millis_behind_latest = -1};
    out->state = row->place.kind == LSI_LEASE_END      ? LS_LEASE_ENDED
                 : row->place.kind == LSI_LEASE_NUMBER ? LS_LEASE_BEGUN
                                                       : LS_LEASE_NOT_BEGUN;
    out->position.kind = LS_TRIM_HORIZON;
    if (row->place.kind == LSI_LEASE_HORIZON && row->seqno != LS_SEQNO_NONE) {
        out->position.kind = LS_AT_SEQUENCE_NUMBER;
        out->position.seqno = row->seqno;
    } else if (row->place.kind != LSI_LEASE_HORIZON) {
        out->seqno = row->seqno;
        out->sub_seqno = row->sub_seqno;
        out->position.kind = row->sub_seqno == UINT32_MAX ? LS_AFTER_SEQUENCE_NUMBER : LS_AT_SEQUENCE_NUMBER;
        out->position.seqno = row->seqno;
    }
    memcpy(out->owner, row->name, sizeof(row->name));
    out->pending_seqno = row->pending.seqno;
    out->pending_sub_seqno = row->pending.sub_seqno;
    out->pending_state = (ls_bytes){row->pending.state, row->pending.state_bytes};
}

_Static_assert(sizeof(((ls_lease_info *)0)->owner) > LSI_WORKER_NAME_MAX, "a name fits with its end");

const void *lsi_lease_handle(const lsi_lease *lease)
{
    return lease->group->handle;
}

void lsi_lease_describe(const lsi_lease *lease, ls_lease_info *out)
{
    lsi_lease_row_describe(&lease->row, out);
    out->owner_lives = !lease->is_lost;
}

/* ---- changing one ---- */

static ls_status lost(lsi_lease *lease)
{
    lsi_group_lose(lease);
    return lsi_fail(LS_ERR_LEASE_LOST, "group '%s': another worker has the lease of shard %" PRIu32, lease->group->name,
                    lease->row.place.shard);
}

static bool is_before(const lsi_lease_row *row, ls_seqno seqno, uint32_t sub_seqno)
{
    return row->place.kind == LSI_LEASE_NUMBER &&
        (seqno < row->seqno || (seqno == row->seqno && sub_seqno < row->sub_seqno));
}

static ls_status is_changed_again_and_again(const lsi_lease *lease)
{
    return lsi_fail(LS_ERR_BUSY, "group '%s': the lease of shard %" PRIu32 " is changed again and again",
                    lease->group->name, lease->row.place.shard);
}

static ls_status alter_with(lsi_lease *lease, lsi_lease_decide *decide, const void *user, lsi_lease_beside beside)
{
    lsi_group *group = lease->group;

    for (int tries = 0; tries < TRIES; tries++) {
        lsi_lease_row changes[CHANGES_MAX];
        uint32_t count = 1;
        bool is_done;
        ls_status st;

        if (lease->is_lost)
            return lost(lease);
        changes[0] = lease->row;
        st = decide(lease, changes, &count, user);
        if (st != LS_OK || count == 0)
            return st;
        st = lsi_lease_write(group->stream, group->name, &group->settings, changes, count, beside, &is_done);
        if (st == LS_OK && is_done) {
            lease->row = changes[0];
            return LS_OK;
        }
        if (st == LS_OK)
            st = lsi_group_look(group); /* It sees whether the lease is ours still. */
        if (st != LS_OK)
            return st;
    }
    return is_changed_again_and_again(lease);
}

ls_status lsi_lease_alter(lsi_lease *lease, lsi_lease_decide *decide, const void *user)
{
    return alter_with(lease, decide, user, (lsi_lease_beside){NULL, 0});
}

ls_status lsi_lease_check_place(const lsi_lease *lease, const lsi_lease_row *row, ls_seqno seqno, uint32_t sub_seqno)
{
    if (row->place.kind == LSI_LEASE_END)
        return lsi_fail(LS_ERR_STATE, "group '%s': shard %" PRIu32 " was worked on to its end", lease->group->name,
                        row->place.shard);
    if (is_before(row, seqno, sub_seqno))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "group '%s': the checkpoint of shard %" PRIu32 " is at %" PRIu64
                        " and does not go back to %" PRIu64, lease->group->name, row->place.shard, row->seqno, seqno);
    return LS_OK;
}

typedef struct place {
    ls_seqno seqno;
    uint32_t sub_seqno;
} place;

static ls_status decide_checkpoint(lsi_lease *lease, lsi_lease_row changes[CHANGES_MAX], uint32_t *count,
                                   const void *user)
{
    const place *to = user;
    lsi_lease_row *row = &changes[0];
    ls_status st = lsi_lease_check_place(lease, row, to->seqno, to->sub_seqno);

    if (st != LS_OK)
        return st;
    if (row->place.kind == LSI_LEASE_NUMBER && row->seqno == to->seqno && row->sub_seqno == to->sub_seqno &&
        row->pending.seqno == LS_SEQNO_NONE)
        *count = 0;
    row->pending = (lsi_lease_pending){0};
    row->place.kind = LSI_LEASE_NUMBER;
    row->seqno = to->seqno;
    row->sub_seqno = to->sub_seqno;
    row->switches = 0;
    row->counter++;
    return LS_OK;
}

/* The last number that a record of the shard has, or had: what is trimmed may still be checkpointed. */
static ls_status last_given(const lsi_lease *lease, ls_seqno *out)
{
    const lsi_engine_ops *ops = lsi_group_ops(lease->group);
    lsi_engine_stream *stream = lease->group->stream;
    const ls_position end = {.kind = LS_LATEST};
    uint32_t shard = lease->row.place.shard;
    lsi_shard_state state;
    lsi_reader *reader;
    ls_status st = ops->shard_state(stream, shard, &state);

    *out = state.latest_seqno;
    if (st != LS_OK || state.latest_seqno != LS_SEQNO_NONE)
        return st;
    st = ops->reader_open(stream, shard, LSI_READER_ONE_OF_MANY, &reader);
    if (st != LS_OK)
        return st;
    st = ops->seek(reader, &end);
    if (st == LS_OK)
        *out = ops->place(reader) - 1;
    ops->reader_close(reader);
    return st;
}

ls_status lsi_lease_cover(lsi_lease *lease, ls_seqno seqno)
{
    uint32_t shard = lease->row.place.shard;
    ls_seqno last;
    ls_status st;

    if (lease->is_lost)
        return lost(lease);
    st = last_given(lease, &last);
    if (st == LS_OK && (seqno == LS_SEQNO_NONE || seqno > last))
        st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "group '%s': shard %" PRIu32 " has no record %" PRIu64 " yet: its last "
                      "number is %" PRIu64, lease->group->name, shard, seqno, last);
    if (st == LS_OK)
        st = lsi_group_ops(lease->group)->sync_shard(lease->group->stream, shard);
    return st;
}

/* What became of a checkpoint, which is counted. */
static ls_status counted(const lsi_lease *lease, ls_status st)
{
    lsi_group_count(lease->group, st == LS_OK                ? LSI_GROUP_COUNT_SAVED
                                  : st == LS_ERR_LEASE_LOST ? LSI_GROUP_COUNT_REFUSED
                                                             : LSI_GROUP_COUNT_FAILED);
    return st;
}

ls_status lsi_lease_checkpoint(lsi_lease *lease, ls_seqno seqno, uint32_t sub_seqno)
{
    const place to = {seqno, sub_seqno};
    ls_status st = lsi_lease_cover(lease, seqno);

    return counted(lease, st == LS_OK ? lsi_lease_alter(lease, decide_checkpoint, &to) : st);
}

lsi_engine_stream *lsi_lease_stream(const lsi_lease *lease)
{
    return lease->group->stream;
}

/* A try. `*conflict`: as of the engine's step. Also a checkpoint that stands where it
 * is to stand is written: the row's version is what fences the puts. */
static ls_status try_step(const lsi_checkpoint *marks, uint32_t count, lsi_step_put *puts, uint32_t put_count,
                          lsi_lease_row *rows, lsi_lease_room *rooms, lsi_state_change *changes, uint32_t *conflict)
{
    lsi_engine_stream *stream = lsi_lease_stream(marks[0].lease);

    for (uint32_t i = 0; i < count; i++) {
        const place to = {marks[i].seqno, marks[i].sub_seqno};
        uint32_t one = 1;
        ls_status st;

        if (marks[i].lease->is_lost)
            return lost(marks[i].lease);
        rows[i] = marks[i].lease->row;
        st = decide_checkpoint(marks[i].lease, &rows[i], &one, &to);
        if (st != LS_OK)
            return st;
        changes[i] = lsi_lease_change(marks[i].lease->group->name, &rows[i], &rooms[i]);
    }
    return stream->engine->ops->step(stream, changes, count, puts, put_count, conflict);
}

static bool has_moved(const lsi_step_put *puts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (puts[i].moved)
            return true;
    return false;
}

ls_status lsi_lease_step(const lsi_checkpoint *marks, uint32_t count, lsi_step_put *puts, uint32_t put_count)
{
    const lsi_memory *memory = &lsi_lease_stream(marks[0].lease)->engine->env.memory;
    lsi_lease_row *rows = lsi_alloc(memory, count * sizeof(*rows));
    lsi_lease_room *rooms = lsi_alloc(memory, count * sizeof(*rooms));
    lsi_state_change *changes = lsi_alloc(memory, count * sizeof(*changes));
    uint32_t conflict = 0;
    ls_status st = LS_OK;

    if (rows == NULL || rooms == NULL || changes == NULL)
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for checkpoints of %" PRIu32 " leases", count);
    for (uint32_t i = 0; st == LS_OK && i < count; i++)
        st = lsi_lease_cover(marks[i].lease, marks[i].seqno);
    for (int tries = 0; st == LS_OK && conflict < count; tries++) {
        st = try_step(marks, count, puts, put_count, rows, rooms, changes, &conflict);
        if (st == LS_OK && conflict == count) {
            for (uint32_t i = 0; !has_moved(puts, put_count) && i < count; i++) {
                marks[i].lease->row = rows[i];
                marks[i].lease->row.version = changes[i].version;
            }
        } else if (st == LS_OK) { /* Another asks for it, or has it: as in alter_with. */
            st = tries < TRIES ? lsi_group_look(marks[conflict].lease->group)
                               : lsi_fail(LS_ERR_BUSY, "leases are changed again and again");
        }
    }
    for (uint32_t i = 0; i < count && !(st == LS_OK && has_moved(puts, put_count)); i++)
        (void)counted(marks[i].lease, st);
    lsi_free(memory, rows);
    lsi_free(memory, rooms);
    lsi_free(memory, changes);
    return st;
}

static ls_status decide_end(lsi_lease *lease, lsi_lease_row changes[CHANGES_MAX], uint32_t *count, const void *user)
{
    lsi_group *group = lease->group;
    const lsi_memory *memory = &group->stream->engine->env.memory;
    const lsi_stream_info *info = &group->info;
    uint32_t heirs[LSI_LEASE_HEIRS_MAX], made;
    lsi_lease_place *places = lsi_alloc(memory, ((size_t)group->count + 1) * sizeof(*places));
    bool *covered = lsi_alloc(memory, (size_t)info->shard_count + 1);

    (void)user;
    if (changes[0].place.kind == LSI_LEASE_END) {
        *count = 0;
    } else if (places != NULL && covered != NULL) {
        for (uint32_t i = 0; i < group->count; i++)
            places[i] = group->rows[i].place;
        made = lsi_lease_heirs(info->shards, info->shard_count, places, group->count, changes[0].place.shard, covered,
                               heirs);
        for (uint32_t i = 0; i < made; i++)
            changes[(*count)++] = lsi_lease_heir(info, heirs[i]);
        changes[0].pending = (lsi_lease_pending){0};
        changes[0].trials.count = 0;
        changes[0].place.kind = LSI_LEASE_END;
        changes[0].switches = 0;
        changes[0].counter++;
    }
    lsi_free(memory, places);
    lsi_free(memory, covered);
    return places != NULL && covered != NULL
               ? LS_OK : lsi_group_no_memory(group);
}

/* What a closed shard holds was synced before it was closed. */
static ls_status prepare_end(lsi_lease *lease)
{
    lsi_group *group = lease->group;
    uint32_t shard = lease->row.place.shard;
    const lsi_shard *found;
    ls_status st = lease->is_lost ? lost(lease) : lsi_group_follow_shards(group);

    if (st == LS_OK)
        st = lsi_group_look(group);
    if (st != LS_OK)
        return st;
    found = lsi_shard_find(group->info.shards, group->info.shard_count, shard);
    if (found != NULL && !found->closed)
        return lsi_fail(LS_ERR_STATE, "group '%s': shard %" PRIu32 " is open: it has no end yet", group->name, shard);
    return LS_OK;
}

ls_status lsi_lease_end(lsi_lease *lease)
{
    ls_status st = prepare_end(lease);

    return counted(lease, st == LS_OK ? lsi_lease_alter(lease, decide_end, NULL) : st);
}

/* ---- what a mapping saves ---- */

typedef struct saved {
    lsi_point place;
    uint32_t note;
    const lsi_trials *trials; /* NULL: as they are */
} saved;

static ls_status decide_save(lsi_lease *lease, lsi_lease_row changes[CHANGES_MAX], uint32_t *count, const void *user)
{
    const saved *to = user;
    const place at = {to->place.seqno, lsi_point_sub_seqno(to->place)};
    ls_status st = LS_OK;

    if (to->place.seqno == LS_SEQNO_END)
        st = decide_end(lease, changes, count, NULL);
    else if (to->place.seqno != LS_SEQNO_NONE)
        st = decide_checkpoint(lease, changes, count, &at);
    if (*count == 0) /* The place is the same; what goes with it may not be. */
        *count = 1;
    if (to->trials != NULL && changes[0].place.kind != LSI_LEASE_END) {
        changes[0].trials = *to->trials;
        changes[0].routing = lease->group->routing;
    }
    changes[0].note = to->note;
    return st;
}

ls_status lsi_lease_save(lsi_lease *lease, lsi_point point, uint32_t note, const lsi_trials *trials,
                         lsi_lease_beside beside)
{
    const saved to = {point, note, trials};
    ls_status st = point.seqno == LS_SEQNO_END ? prepare_end(lease) : LS_OK;

    if (st == LS_OK)
        st = alter_with(lease, decide_save, &to, beside);
    return point.seqno != LS_SEQNO_NONE ? counted(lease, st) : st;
}

static ls_status save_step(lsi_lease *lease, lsi_point point, uint32_t note, lsi_lease_beside beside,
                           lsi_step_put *puts, uint32_t put_count)
{
    const saved to = {point, note, NULL}; /* What is behind the place is passed by who reads it. */
    lsi_group *group = lease->group;
    lsi_state_change changes[1 + LSI_LEASE_BESIDE_MAX];
    lsi_lease_room room;

    assert(point.seqno != LS_SEQNO_END && beside.count <= LSI_LEASE_BESIDE_MAX);
    for (int tries = 0; tries < TRIES; tries++) {
        lsi_lease_row rows[CHANGES_MAX];
        uint32_t count = 1, conflict = 0;
        ls_status st;

        if (lease->is_lost)
            return lost(lease);
        rows[0] = lease->row;
        st = decide_save(lease, rows, &count, &to);
        if (st != LS_OK)
            return st;
        changes[0] = lsi_lease_change(group->name, &rows[0], &room);
        for (uint32_t i = 0; i < beside.count; i++)
            changes[1 + i] = beside.changes[i];
        st = lsi_group_ops(group)->step(group->stream, changes, 1 + beside.count, puts, put_count, &conflict);
        if (st == LS_OK && conflict == 1 + beside.count) {
            if (!has_moved(puts, put_count)) {
                lease->row = rows[0];
                lease->row.version = changes[0].version;
            }
            return LS_OK;
        }
        if (st == LS_OK)
            st = lsi_group_look(group); /* Another asks for it, or has it: as in alter_with. */
        if (st != LS_OK)
            return st;
    }
    return is_changed_again_and_again(lease);
}

ls_status lsi_lease_save_step(lsi_lease *lease, lsi_point point, uint32_t note, lsi_lease_beside beside,
                              lsi_step_put *puts, uint32_t put_count)
{
    ls_status st = save_step(lease, point, note, beside, puts, put_count);

    return point.seqno == LS_SEQNO_NONE || (st == LS_OK && has_moved(puts, put_count)) ? st : counted(lease, st);
}

/* ---- giving it back ---- */

static ls_status decide_close(lsi_lease *lease, lsi_lease_row changes[CHANGES_MAX], uint32_t *count, const void *user)
{
    const lsi_group *group = lease->group;
    lsi_lease_row *row = &changes[0];
    bool is_wanted = row->wanted != 0 && !group->is_leaving &&
        !lsi_group_ops(group)->ticket_is_gone(group->stream->engine, row->wanted);

    (void)user;
    (void)count; /* one */
    row->owner = is_wanted && row->place.kind != LSI_LEASE_END ? row->wanted : 0; /* G3 */
    row->switches += row->owner != 0;
    row->wanted = 0;
    row->name[0] = '\0';
    row->counter++;
    return LS_OK;
}

static ls_status give_back(lsi_lease *lease, int64_t closed_us)
{
    lsi_group *group = lease->group;
    lsi_error_state before;
    ls_status st = LS_OK;

    lsi_error_save(&before);
    if (!lease->is_lost)
        st = lsi_lease_alter(lease, decide_close, NULL);
    for (uint32_t i = 0; i < group->count; i++)
        if (group->watches[i].shard == lease->row.place.shard) {
            group->watches[i].closed_us = closed_us;
            group->watches[i].counter = lease->row.counter;
            group->rows[i] = lease->row;
        }
    if (lease->is_lost) {
        st = LS_OK;
        lsi_error_restore(&before);
    }
    lsi_group_forget(lease);
    return st;
}

ls_status lsi_lease_close(lsi_lease *lease)
{
    return lease != NULL ? give_back(lease, lsi_monotonic_us(&lease->group->stream->engine->env.clock)) : LS_OK;
}

ls_status lsi_lease_leave(lsi_lease *lease)
{
    return give_back(lease, LSI_LEASE_LEFT);
}
