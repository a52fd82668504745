/* A turn of a worker of a group: it makes the rows of shards that are new, removes those that are over, and takes, or
 * asks for, what is its share (rules.h). Where somebody was faster it looks again. */
#include "consume/lease/lease.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

#define OLD_FACTOR 3
#define LOAD_LEAST (UINT64_C(64) << 10) /* bytes a second of all shards, below which counts decide */

/* ---- rows of shards ---- */

/* Rows and shards as the rules want them: `places` [count], and room for one pass over the shards. */
typedef struct scratch {
    lsi_lease_place *places;
    lsi_lease_mark *marks;
    bool *waits;
    uint32_t *made;
    lsi_lease_row *changes;
    lsi_lease_seen *seen;
    lsi_lease_worker *workers;
    uint32_t *which;
} scratch;

static void scratch_free(lsi_group *group, scratch *of)
{
    const lsi_memory *memory = &group->stream->engine->env.memory;

    lsi_free(memory, of->places);
    lsi_free(memory, of->marks);
    lsi_free(memory, of->waits);
    lsi_free(memory, of->made);
    lsi_free(memory, of->changes);
    lsi_free(memory, of->seen);
    lsi_free(memory, of->workers);
    lsi_free(memory, of->which);
}

static ls_status scratch_make(lsi_group *group, scratch *of)
{
    const lsi_memory *memory = &group->stream->engine->env.memory;
    size_t shards = (size_t)group->info.shard_count + 1, rows = (size_t)group->count + 1;

    of->places = lsi_alloc(memory, rows * sizeof(*of->places));
    of->marks = lsi_alloc(memory, shards * sizeof(*of->marks));
    of->waits = lsi_alloc(memory, shards * sizeof(*of->waits));
    of->made = lsi_alloc(memory, (shards + rows) * sizeof(*of->made));
    of->changes = lsi_alloc(memory, (shards + rows) * sizeof(*of->changes));
    of->seen = lsi_alloc(memory, rows * sizeof(*of->seen));
    of->workers = lsi_alloc(memory, (rows + 1) * sizeof(*of->workers));
    of->which = lsi_alloc(memory, rows * sizeof(*of->which));
    if (of->places == NULL || of->marks == NULL || of->waits == NULL || of->made == NULL || of->changes == NULL ||
        of->seen == NULL || of->workers == NULL || of->which == NULL) {
        scratch_free(group, of);
        return lsi_group_no_memory(group);
    }
    for (uint32_t i = 0; i < group->count; i++)
        of->places[i] = group->rows[i].place;
    return LS_OK;
}

/* Whether the shard expired before it was worked on to its end. */
static bool is_cut(const lsi_group *group, const lsi_lease_row *row)
{
    return row->place.kind != LSI_LEASE_END &&
        lsi_shard_find(group->info.shards, group->info.shard_count, row->place.shard) == NULL;
}

/* Whether the rows of a shard that expired before it was worked on to its end have left their heirs. */
static uint32_t add_heirs_of_gone(lsi_group *group, scratch *of, uint32_t count)
{
    for (uint32_t i = 0; i < group->count; i++) {
        uint32_t heirs[LSI_LEASE_HEIRS_MAX], made;

        if (!is_cut(group, &group->rows[i]))
            continue;
        made = lsi_lease_heirs(group->info.shards, group->info.shard_count, of->places, group->count,
                               of->places[i].shard, of->waits, heirs);
        for (uint32_t k = 0; k < made; k++) {
            bool is_there = false;

            for (uint32_t n = 0; n < count; n++)
                is_there = is_there || of->changes[n].place.shard == heirs[k];
            if (!is_there)
                of->changes[count++] = lsi_lease_heir(&group->info, heirs[k]);
        }
    }
    return count;
}

/* Who removes such rows tells of it: nobody reads there any more, who could be told. */
static void tell_cuts(const lsi_group *group, const lsi_lease_row *removed, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (removed[i].is_removed && is_cut(group, &removed[i])) {
            lsi_group_ops(group)->count_cut(group->stream, NULL, &(lsi_cut){0}); /* How much went with the shard. */
            lsi_env_log(&group->stream->engine->env, LS_LOG_WARNING, "%s '%s' shard %" PRIu32 ": the shard was trimmed "
                        "whole before it was worked on to its end, and nobody knows how much of it behind number %"
                        PRIu64, group->mapping != 0 ? "mapping" : "group", group->name, removed[i].place.shard,
                        removed[i].seqno);
        }
}

/* Makes the rows that are missing and removes those that are over, in one write. `*is_done` false: there were some, or
 * somebody changed them meanwhile: look again. */
static ls_status sync_shards(lsi_group *group, scratch *of, bool *is_done)
{
    lsi_lease_start start = group->settings.start;
    uint32_t made, count;

    *is_done = true;
    if (start.kind == LSI_START_LATEST && group->count > 0) /* The rest is later than the group. */
        start = (lsi_lease_start){LSI_START_TIME, group->settings.created_us};
    count = add_heirs_of_gone(group, of, 0);
    made = count > 0 ? 0
                     : lsi_lease_missing(group->info.shards, group->info.shard_count, of->places, group->count, start,
                                         of->marks, of->made);
    for (uint32_t i = 0; i < made; i++) {
        ls_status st;

        of->changes[count] = (lsi_lease_row){.place = {of->made[i], LSI_LEASE_HORIZON}};
        st = lsi_lease_find_start(group->stream, start, &of->changes[count]);
        if (st != LS_OK && st != LS_ERR_NOT_FOUND)
            return st;
        count += st == LS_OK; /* Else it expired just now. */
    }
    for (uint32_t i = 0; i < group->count; i++)
        if (lsi_lease_is_over(group->info.shards, group->info.shard_count, of->places, group->count, i)) {
            of->changes[count] = group->rows[i];
            of->changes[count++].is_removed = true;
        }
    if (count == 0)
        return LS_OK;
    ls_status st = lsi_lease_write(group->stream, group->name, &group->settings, of->changes, count,
                                   (lsi_lease_beside){NULL, 0}, is_done);
    if (st == LS_OK && *is_done)
        tell_cuts(group, of->changes, count);
    *is_done = false;
    return st;
}

/* ---- taking ---- */

/* Ours from now on, in this process. */
static ls_status hold(lsi_group *group, const lsi_lease_row *row, lsi_budget_word *words)
{
    lsi_lease *lease = lsi_alloc_zero(&group->stream->engine->env.memory, sizeof(*lease));

    if (lease == NULL)
        return lsi_group_no_memory(group);
    lease->group = group;
    lease->row = *row;
    lease->words = words;
    atomic_store_explicit(&words[LSI_LEASE_HOLDER], group->ticket, memory_order_relaxed);
    atomic_store_explicit(&words[LSI_LEASE_LIMIT], group->leases_max, memory_order_relaxed);
    atomic_fetch_add_explicit(&words[LSI_LEASE_BEAT], 1, memory_order_relaxed);
    lsi_group_add_lease(group, lease);
    lsi_group_count(group, LSI_GROUP_COUNT_TAKEN);
    return LS_OK;
}

/* N2. False: it is not synced, or there is no such record. */
static bool is_durable(const lsi_group *group, uint32_t shard, ls_seqno seqno)
{
    const lsi_engine_ops *ops = group->stream->engine->ops;
    lsi_shard_state state;
    lsi_error_state before;
    ls_status st = LS_OK;

    lsi_error_save(&before);
    if (ops->durability(group->stream->engine) != LS_DURABILITY_SYNC) /* Also what handlers have put elsewhere. */
        st = ops->sync(group->stream->engine);
    if (st == LS_OK)
        st = ops->shard_state(group->stream, shard, &state);
    if (st != LS_OK)
        lsi_error_restore(&before);
    return st == LS_OK && seqno <= state.latest_seqno;
}

/* What who is gone had finished of a mapping's shard counts, though he did not come to write it. */
static void take_notes(const lsi_group *group, uint32_t at, lsi_lease_row *row)
{
    lsi_point noted = {LS_SEQNO_NONE, 0}, written = lsi_point_of(row->seqno, row->sub_seqno);

    if (group->mapping != 0)
        noted = lsi_lease_noted(group->watches[at].words, row);
    if (noted.seqno == LS_SEQNO_NONE ||
        (row->place.kind == LSI_LEASE_NUMBER && lsi_point_compare(noted, written) <= 0) ||
        !is_durable(group, row->place.shard, noted.seqno))
        return;
    row->place.kind = LSI_LEASE_NUMBER;
    row->seqno = noted.seqno;
    row->sub_seqno = lsi_point_sub_seqno(noted);
    row->switches = 0;
}

/* What he had tried of it counts on; what he had begun has failed if his process is gone. */
static void take_trials(const lsi_group *group, lsi_lease_row *row)
{
    const lsi_engine_count *words =
        lsi_lease_tried_words(group->stream, group->settings.number, row->place.shard);

    lsi_trials trials;

    if (group->mapping == 0)
        return;
    if (lsi_lease_tried(words, row, group->routing, row->owner != 0 && lsi_group_is_gone(group, row->owner), &trials))
        row->note = LS_MAPPING_RESULT_FAILED;
    row->trials = trials;
    row->routing = group->routing;
}

/* `is_asking`: beside the owner. Else G1: nobody else can have it afterwards. */
static ls_status change_owner(lsi_group *group, uint32_t at, bool is_asking, bool *is_done)
{
    lsi_lease_row row = group->rows[at];
    ls_status st;

    if (is_asking) {
        row.wanted = group->ticket;
    } else {
        take_notes(group, at, &row);
        take_trials(group, &row);
        row.switches += row.owner != group->ticket;
        row.owner = group->ticket;
        row.wanted = 0;
        row.counter++;
        memcpy(row.name, group->worker, sizeof(row.name));
    }
    st = lsi_lease_write(group->stream, group->name, &group->settings, &row, 1, (lsi_lease_beside){NULL, 0}, is_done);
    if (st != LS_OK || !*is_done)
        return st;
    group->rows[at] = row;
    if (is_asking)
        group->watches[at].asked_us = lsi_group_now_us(group);
    else
        st = hold(group, &row, group->watches[at].words);
    return st;
}

static lsi_lease_seen see(const lsi_group *group, uint32_t at, int64_t now)
{
    const lsi_lease_row *row = &group->rows[at];
    const lsi_lease_watch *watch = &group->watches[at];
    int64_t age_us = now - watch->since_us, failover_us = (int64_t)group->failover_ms * 1000;
    bool is_mine = lsi_group_lease_of(group, row->place.shard) != NULL;
    lsi_lease_seen seen = {.owner = row->owner, .load = watch->load, .limit = watch->limit};

    seen.is_free = !is_mine && (lsi_group_is_gone(group, row->owner) || age_us > failover_us);
    seen.is_old = seen.is_free && row->owner != 0 && age_us > OLD_FACTOR * failover_us;
    if (row->owner == 0 && watch->closed_us != 0 &&
        (watch->closed_us == LSI_LEASE_LEFT || now - watch->closed_us <= failover_us))
        seen.is_free = seen.is_old = false;
    if (seen.is_free || row->owner == 0)
        seen.owner = 0;
    else if (!lsi_group_is_gone(group, row->wanted)) {
        seen.owner = row->wanted; /* G3 */
        seen.limit = 0;           /* of another */
        seen.is_moving = true;
    }
    return seen;
}

/* What was given to us, and what we asked for too long ago. */
static ls_status take_what_is_ours(lsi_group *group, bool *is_done)
{
    for (uint32_t i = 0; i < group->count; i++) {
        const lsi_lease_row *row = &group->rows[i];
        ls_status st = LS_OK;

        if (row->place.kind == LSI_LEASE_END || lsi_group_lease_of(group, row->place.shard) != NULL)
            continue;
        if (row->owner == group->ticket && row->name[0] != '\0') /* An answer was lost. */
            st = hold(group, row, group->watches[i].words);
        else if (row->owner == group->ticket)
            st = change_owner(group, i, false, is_done);
        else if (row->wanted == group->ticket && group->watches[i].asked_us != 0 &&
                 lsi_group_now_us(group) - group->watches[i].asked_us > (int64_t)group->handover_ms * 1000)
            st = change_owner(group, i, false, is_done);
        if (st != LS_OK || !*is_done)
            return st;
    }
    return LS_OK;
}

static ls_status take(lsi_group *group, scratch *of, bool *is_done)
{
    uint32_t count = 0, chosen;
    uint64_t random, load = 0;
    int64_t now = lsi_group_now_us(group);
    bool is_asking;
    ls_status st = take_what_is_ours(group, is_done);

    if (st != LS_OK || !*is_done)
        return st;
    lsi_lease_waiting(group->info.shards, group->info.shard_count, of->places, group->count, of->waits);
    for (uint32_t i = 0; i < group->count; i++) {
        const lsi_shard *shard = lsi_shard_find(group->info.shards, group->info.shard_count, of->places[i].shard);

        group->watches[i].is_waiting = shard == NULL || of->waits[shard - group->info.shards];
        if (of->places[i].kind == LSI_LEASE_END || group->watches[i].is_waiting)
            continue; /* G4 */
        of->which[count] = i;
        of->seen[count] = see(group, i, now);
        load += of->seen[count++].load;
    }
    for (uint32_t i = 0; i < count && load < LOAD_LEAST; i++)
        of->seen[i].load = 0;
    group->stream->engine->env.random(group->stream->engine->env.random_user, &random, sizeof(random));
    chosen = lsi_lease_choose(of->seen, count, group->ticket, group->leases_max, random, of->workers, of->made,
                              &is_asking);
    for (uint32_t i = 0; st == LS_OK && *is_done && i < chosen; i++)
        st = change_owner(group, of->which[of->made[i]], is_asking, is_done);
    return st;
}

/* ---- a turn ---- */

#define TRIES 16

ls_status lsi_group_turn(lsi_group *group)
{
    bool is_done = false;
    ls_status st = LS_OK;

    lsi_group_renew(group);
    for (int tries = 0; st == LS_OK && !is_done && tries < TRIES; tries++) {
        scratch of = {0};

        st = lsi_group_follow_shards(group);
        if (st == LS_OK)
            st = lsi_group_look(group);
        if (st == LS_OK)
            st = scratch_make(group, &of);
        if (st != LS_OK)
            break;
        st = sync_shards(group, &of, &is_done);
        if (st == LS_OK && is_done)
            st = take(group, &of, &is_done);
        scratch_free(group, &of);
    }
    return st;
}
