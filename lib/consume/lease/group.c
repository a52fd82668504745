/* A worker of a group: looks at the rows, renews, takes, asks, gives over, makes rows of new shards.
 *
 *  G1  Who owns a lease stands in its row, which is changed by compare and swap: the ticket of the worker, and a
 *      counter that rises with each owner. What a worker believes beyond that may be wrong, and is then refused.
 *  G2  An owner is replaced when the kernel says that its process is gone, or when neither its row nor the word by
 *      which it renews has changed for failover_ms of the observer's own clock, which begins when he first looks.
 *  G3  A worker that asks writes its ticket beside the owner's. The owner goes on until he has finished, then writes it
 *      in the place of his own. Who asked and died is forgotten; who is not given it within handover_ms takes it.
 *  G4  A row is worked on only when none of what came before its shard has a row that has not ended (rules.h).
 *
 * Nothing is held over a call of the engine. `lock` guards the list of leases against those who renew only. */
#include "consume/lease/lease.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/patience.h"
#include "base/status.h"

#define FAILOVER_MS_DEFAULT 10000u
#define HANDOVER_MS_DEFAULT 30000u
#define OLD_FACTOR 3
#define DEATHS_US INT64_C(1000000) /* so often the kernel is asked who is gone */
#define LOOK_US INT64_C(100000) /* between two looks of one who calls all the time and was woken by nobody */
#define LOAD_LEAST (UINT64_C(64) << 10) /* bytes a second of all shards, below which counts decide */

static const lsi_engine_ops *ops_of(const lsi_group *group)
{
    return group->stream->engine->ops;
}

static int64_t now_us(const lsi_group *group)
{
    return lsi_monotonic_us(&group->stream->engine->env.clock);
}

int64_t lsi_group_renew_us(const lsi_group *group)
{
    return (int64_t)group->failover_ms * 1000 / 3;
}

/* ---- the list ---- */

static lsi_lease *lease_of(const lsi_group *group, uint32_t shard)
{
    for (lsi_lease *at = group->leases; at != NULL; at = at->next)
        if (at->row.place.shard == shard && !at->is_lost)
            return at;
    return NULL;
}

static void add_lease(lsi_group *group, lsi_lease *lease)
{
    lsi_lease **at = &group->leases;

    lsi_lock_hold(&group->lock, LSI_RANK_LOCAL);
    while (*at != NULL)
        at = &(*at)->next;
    *at = lease;
    lsi_lock_release(&group->lock, LSI_RANK_LOCAL);
}

void lsi_group_forget(lsi_lease *lease)
{
    lsi_group *group = lease->group;
    lsi_lease **at = &group->leases;

    lsi_lock_hold(&group->lock, LSI_RANK_LOCAL);
    while (*at != lease)
        at = &(*at)->next;
    *at = lease->next;
    lsi_lock_release(&group->lock, LSI_RANK_LOCAL);
    lsi_free(&group->stream->engine->env.memory, lease);
}

void lsi_group_renew(lsi_group *group)
{
    lsi_lock_hold(&group->lock, LSI_RANK_LOCAL);
    for (lsi_lease *at = group->leases; at != NULL; at = at->next)
        /* Relaxed: the words say nothing of any other memory. Where another's ticket stands it is his to renew. */
        if (atomic_load_explicit(&at->words[LSI_LEASE_HOLDER], memory_order_relaxed) == group->ticket)
            atomic_fetch_add_explicit(&at->words[LSI_LEASE_BEAT], 1, memory_order_relaxed);
    lsi_lock_release(&group->lock, LSI_RANK_LOCAL);
}

/* ---- looking ---- */

static ls_status no_memory(const lsi_group *group)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "group '%s': no memory for its leases", group->name);
}

static const lsi_lease_watch *watch_of(const lsi_group *group, uint32_t shard)
{
    uint32_t low = 0, high = group->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (group->watches[middle].shard < shard)
            low = middle + 1;
        else
            high = middle;
    }
    return low < group->count && group->watches[low].shard == shard ? &group->watches[low] : NULL;
}

/* What was seen of a row before, and what it is now. */
static ls_status watch(lsi_group *group, const lsi_lease_row *row, int64_t now, lsi_lease_watch *to)
{
    const lsi_lease_watch *before = watch_of(group, row->place.shard);
    uint64_t beat, written;

    *to = before != NULL ? *before : (lsi_lease_watch){.shard = row->place.shard};
    if (to->words == NULL) {
        ls_status st = ops_of(group)->lease_words(group->stream, group->settings.number, row->place.shard, &to->words);

        if (st != LS_OK)
            return st;
    }
    /* Relaxed: see lsi_group_renew. */
    beat = atomic_load_explicit(&to->words[LSI_LEASE_BEAT], memory_order_relaxed);
    if (to->counter != row->counter)
        to->closed_us = 0; /* Somebody has had it since. */
    if (before == NULL || to->owner != row->owner || to->counter != row->counter || to->beat != beat) {
        to->has_renewed = before != NULL && row->owner != 0;
        to->owner = row->owner;
        to->counter = row->counter;
        to->beat = beat;
        to->since_us = now;
    }
    to->limit = atomic_load_explicit(&to->words[LSI_LEASE_HOLDER], memory_order_relaxed) == row->owner
                    ? (uint32_t)atomic_load_explicit(&to->words[LSI_LEASE_LIMIT], memory_order_relaxed) : 0;
    if (row->wanted != group->ticket)
        to->asked_us = 0;
    if (to->measured_us == 0 || now - to->measured_us >= lsi_group_renew_us(group)) {
        written = ops_of(group)->written(group->stream, row->place.shard);
        if (to->measured_us != 0 && written >= to->written && now > to->measured_us)
            to->load = (to->load + (written - to->written) * 1000000 / (uint64_t)(now - to->measured_us)) / 2;
        to->written = written;
        to->measured_us = now;
    }
    return LS_OK;
}

static const lsi_lease_row *row_of(const lsi_group *group, uint32_t shard)
{
    const lsi_lease_watch *found = watch_of(group, shard);

    return found != NULL ? &group->rows[found - group->watches] : NULL;
}

static void see_losses(lsi_group *group)
{
    for (lsi_lease *at = group->leases; at != NULL; at = at->next) {
        const lsi_lease_row *row = row_of(group, at->row.place.shard);

        if (at->is_lost)
            continue;
        /* A counter of our own that is higher is of a change whose answer was lost. */
        if (row == NULL || row->owner != group->ticket || row->counter < at->row.counter)
            at->is_lost = true;
        else
            at->row = *row;
    }
}

ls_status lsi_group_look(lsi_group *group)
{
    const lsi_memory *memory = &group->stream->engine->env.memory;
    lsi_lease_watch *watches = NULL;
    lsi_lease_row *rows = NULL;
    uint32_t count = 0;
    int64_t now;
    ls_status st = lsi_group_find(group->stream, group->name, &group->settings);

    if (st == LS_OK && (group->settings.version == LSI_STATE_NONE || group->settings.mapping != group->mapping)) {
        for (lsi_lease *at = group->leases; at != NULL; at = at->next)
            at->is_lost = true;
        return lsi_fail(LS_ERR_NOT_FOUND, "%s '%s' was deleted", group->mapping != 0 ? "mapping" : "group",
                        group->name);
    }
    if (st == LS_OK)
        st = lsi_lease_rows(group->stream, group->name, &rows, &count);
    if (st != LS_OK)
        return st;
    watches = lsi_alloc(memory, count * sizeof(*watches));
    if (watches == NULL)
        st = no_memory(group);
    now = now_us(group);
    for (uint32_t i = 0; st == LS_OK && i < count; i++)
        st = watch(group, &rows[i], now, &watches[i]);
    if (st != LS_OK) {
        lsi_free(memory, rows);
        lsi_free(memory, watches);
        return st;
    }
    lsi_free(memory, group->rows);
    lsi_free(memory, group->watches);
    group->rows = rows;
    group->watches = watches;
    group->count = count;
    see_losses(group);
    return LS_OK;
}

/* ---- shards ---- */

ls_status lsi_group_follow_shards(lsi_group *group)
{
    lsi_stream_info fresh;
    ls_status st;

    if (group->has_info && group->info.generation == ops_of(group)->generation(group->stream))
        return LS_OK;
    st = ops_of(group)->info(group->stream, &fresh);
    if (st != LS_OK)
        return st;
    if (group->has_info)
        lsi_stream_info_free(&group->info);
    group->info = fresh;
    group->has_info = true;
    return LS_OK;
}

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
        return no_memory(group);
    }
    for (uint32_t i = 0; i < group->count; i++)
        of->places[i] = group->rows[i].place;
    return LS_OK;
}

/* Whether the rows of a shard that expired before it was worked on to its end have left their heirs. */
static uint32_t add_heirs_of_gone(lsi_group *group, scratch *of, uint32_t count)
{
    for (uint32_t i = 0; i < group->count; i++) {
        uint32_t heirs[LSI_LEASE_HEIRS_MAX], made;

        if (of->places[i].kind == LSI_LEASE_END ||
            lsi_shard_find(group->info.shards, group->info.shard_count, of->places[i].shard) != NULL)
            continue;
        made = lsi_lease_heirs(group->info.shards, group->info.shard_count, of->places, group->count,
                               of->places[i].shard, of->waits, heirs);
        for (uint32_t k = 0; k < made; k++) {
            bool is_there = false;

            for (uint32_t n = 0; n < count; n++)
                is_there = is_there || of->changes[n].place.shard == heirs[k];
            if (!is_there)
                of->changes[count++] = (lsi_lease_row){.place = {heirs[k], LSI_LEASE_HORIZON}};
        }
    }
    return count;
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
    *is_done = false;
    return st;
}

/* ---- taking ---- */

static bool is_gone(const lsi_group *group, uint64_t ticket)
{
    return ticket == 0 || (ticket != group->ticket && ops_of(group)->ticket_is_gone(group->stream->engine, ticket));
}

/* Ours from now on, in this process. */
static ls_status hold(lsi_group *group, const lsi_lease_row *row, lsi_budget_word *words)
{
    lsi_lease *lease = lsi_alloc_zero(&group->stream->engine->env.memory, sizeof(*lease));

    if (lease == NULL)
        return no_memory(group);
    lease->group = group;
    lease->row = *row;
    lease->words = words;
    atomic_store_explicit(&words[LSI_LEASE_HOLDER], group->ticket, memory_order_relaxed);
    atomic_store_explicit(&words[LSI_LEASE_LIMIT], group->leases_max, memory_order_relaxed);
    atomic_fetch_add_explicit(&words[LSI_LEASE_BEAT], 1, memory_order_relaxed);
    add_lease(group, lease);
    return LS_OK;
}

/* `is_asking`: beside the owner. Else G1: nobody else can have it afterwards. */
static ls_status change_owner(lsi_group *group, uint32_t at, bool is_asking, bool *is_done)
{
    lsi_lease_row row = group->rows[at];
    ls_status st;

    if (is_asking) {
        row.wanted = group->ticket;
    } else {
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
        group->watches[at].asked_us = now_us(group);
    else
        st = hold(group, &row, group->watches[at].words);
    return st;
}

static lsi_lease_seen see(const lsi_group *group, uint32_t at, int64_t now)
{
    const lsi_lease_row *row = &group->rows[at];
    const lsi_lease_watch *watch = &group->watches[at];
    int64_t age_us = now - watch->since_us, failover_us = (int64_t)group->failover_ms * 1000;
    bool is_mine = lease_of(group, row->place.shard) != NULL;
    lsi_lease_seen seen = {.owner = row->owner, .load = watch->load, .limit = watch->limit};

    seen.is_free = !is_mine && (is_gone(group, row->owner) || age_us > failover_us);
    seen.is_old = seen.is_free && row->owner != 0 && age_us > OLD_FACTOR * failover_us;
    if (row->owner == 0 && watch->closed_us != 0 &&
        (watch->closed_us == LSI_LEASE_LEFT || now - watch->closed_us <= failover_us))
        seen.is_free = seen.is_old = false;
    if (seen.is_free || row->owner == 0)
        seen.owner = 0;
    else if (!is_gone(group, row->wanted)) {
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

        if (row->place.kind == LSI_LEASE_END || lease_of(group, row->place.shard) != NULL)
            continue;
        if (row->owner == group->ticket && row->name[0] != '\0') /* An answer was lost. */
            st = hold(group, row, group->watches[i].words);
        else if (row->owner == group->ticket)
            st = change_owner(group, i, false, is_done);
        else if (row->wanted == group->ticket && group->watches[i].asked_us != 0 &&
                 now_us(group) - group->watches[i].asked_us > (int64_t)group->handover_ms * 1000)
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
    int64_t now = now_us(group);
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

static ls_status turn(lsi_group *group)
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

/* What came and went between two looks: nobody knows of it. */
static void forget_untold(lsi_group *group)
{
    for (lsi_lease *at = group->leases, *next; at != NULL; at = next) {
        next = at->next;
        if (at->is_lost && !at->is_told)
            lsi_group_forget(at);
    }
}

bool lsi_lease_is_wanted(const lsi_lease *lease)
{
    return lease->row.wanted != 0 && !is_gone(lease->group, lease->row.wanted);
}

/* The oldest thing that was not told. */
static bool tell(lsi_group *group, lsi_group_event *out)
{
    forget_untold(group);
    for (lsi_lease *at = group->leases; at != NULL; at = at->next) {
        bool is_wanted = lsi_lease_is_wanted(at);

        *out = (lsi_group_event){.lease = at};
        if (!at->is_told) {
            at->is_told = true;
            out->kind = LS_GROUP_TAKEN;
            return true;
        }
        if (at->is_lost && !at->is_lost_told) {
            at->is_lost_told = true;
            out->kind = LS_GROUP_LOST;
            return true;
        }
        if (!at->is_lost && is_wanted && !at->is_wanted_told) {
            at->is_wanted_told = true;
            out->kind = LS_GROUP_WANTED;
            return true;
        }
        at->is_wanted_told = at->is_wanted_told && is_wanted;
    }
    *out = (lsi_group_event){.kind = LS_GROUP_NOTHING};
    return false;
}

/* Whether something has changed, or something may have of which nobody tells. */
static bool is_due(lsi_group *group, uint32_t token)
{
    int64_t now = now_us(group), pause_us = lsi_group_renew_us(group) < LOOK_US ? lsi_group_renew_us(group) : LOOK_US;

    if (group->has_info && !group->has_failed && token == group->token && now - group->looked_us < pause_us &&
        group->info.generation == ops_of(group)->generation(group->stream))
        return false;
    group->token = token;
    group->looked_us = now;
    return true;
}

ls_status lsi_group_step(lsi_group *group, uint32_t token)
{
    ls_status st = LS_OK;

    forget_untold(group);
    if (is_due(group, token)) {
        st = turn(group);
        group->has_failed = st != LS_OK;
    }
    return st;
}

/* Nobody wakes us for a death; of those of whom nobody else is there nobody dies. */
static bool is_one_gone(const lsi_group *group, bool *has_others)
{
    bool is_so = false;

    *has_others = false;
    for (uint32_t i = 0; i < group->count; i++) {
        uint64_t owner = group->rows[i].owner;

        if (owner == 0 || owner == group->ticket)
            continue;
        *has_others = true;
        is_so = is_so || is_gone(group, owner);
    }
    return is_so;
}

void lsi_group_wait(lsi_group *group, uint32_t token, int64_t timeout_us)
{
    bool has_others;

    (void)is_one_gone(group, &has_others); /* What was so before was looked at. */
    while (timeout_us > 0) {
        int64_t slice_us = has_others && timeout_us > DEATHS_US ? DEATHS_US : timeout_us;

        if ((group->is_guarded ? ops_of(group)->sleep_guarded : ops_of(group)->sleep)(
                group->stream, LSI_STATE_SHARD, token, slice_us) != LSI_SLEPT_OUT ||
            is_one_gone(group, &has_others))
            return;
        timeout_us -= slice_us;
    }
}

bool lsi_group_is_quiet(const lsi_group *group)
{
    if (group->count == 0 || group->has_failed)
        return false;
    for (uint32_t i = 0; i < group->count; i++) {
        const lsi_lease_row *row = &group->rows[i];

        if (row->place.kind != LSI_LEASE_END && !group->watches[i].is_waiting &&
            (row->wanted != 0 || lease_of(group, row->place.shard) == NULL) &&
            !(row->owner == 0 && group->watches[i].closed_us == LSI_LEASE_LEFT))
            return false;
    }
    return true;
}

bool lsi_group_is_settled(lsi_group *group)
{
    if (group->count == 0 || group->has_failed || ops_of(group)->arm(group->stream, LSI_STATE_SHARD) != group->token)
        return false;
    for (uint32_t i = 0; i < group->count; i++) {
        const lsi_lease_row *row = &group->rows[i];

        if (row->place.kind != LSI_LEASE_END && lease_of(group, row->place.shard) == NULL &&
            !(row->owner == 0 && group->watches[i].closed_us == LSI_LEASE_LEFT) &&
            (is_gone(group, row->owner) || row->owner == group->ticket || !group->watches[i].has_renewed) &&
            !group->watches[i].is_waiting)
            return false;
    }
    return true;
}

ls_status lsi_group_next(lsi_group *group, int64_t timeout_ms, lsi_group_event *out)
{
    uint32_t patience_ms = group->stream->engine->env.busy_timeout_ms;
    int64_t from_us = now_us(group);

    for (;;) {
        uint32_t token = ops_of(group)->arm(group->stream, LSI_STATE_SHARD);
        int64_t left_us, sleep_us = lsi_group_renew_us(group);
        ls_status st;

        if (atomic_load_explicit(&group->is_cancelled, memory_order_acquire))
            return lsi_fail(LS_ERR_CANCELLED, "group '%s': the worker was cancelled", group->name);
        if (tell(group, out))
            return LS_OK;
        lsi_patience_begin(patience_ms);
        st = lsi_group_step(group, token);
        if (tell(group, out))
            return LS_OK; /* What failed fails the next time. */
        if (st != LS_OK)
            return st;
        left_us = timeout_ms < 0 ? INT64_MAX : timeout_ms * 1000 - (now_us(group) - from_us);
        if (left_us <= 0)
            return LS_OK;
        if (!atomic_load_explicit(&group->is_cancelled, memory_order_acquire))
            lsi_group_wait(group, token, left_us < sleep_us ? left_us : sleep_us);
    }
}

void lsi_group_cancel(lsi_group *group)
{
    atomic_store_explicit(&group->is_cancelled, true, memory_order_release);
    ops_of(group)->wake(group->stream, LSI_STATE_SHARD);
}

/* ---- the handle ---- */

static ls_status find_or_make(lsi_engine_stream *stream, const char *name, const lsi_group_config *config,
                              lsi_group_settings *out)
{
    ls_status st;

    if (config->mapping != 0) {
        st = lsi_group_find(stream, name, out);
        return st == LS_OK && (out->version == LSI_STATE_NONE || out->mapping != config->mapping)
                   ? lsi_fail(LS_ERR_NOT_FOUND, "mapping '%s' was deleted", name) : st;
    }
    do /* Again when somebody made another one meanwhile. */
        st = lsi_group_make(stream, name, config->start, out);
    while (st == LS_OK && out->version == LSI_STATE_NONE);
    return st == LS_OK && out->mapping != 0
               ? lsi_fail(LS_ERR_STATE, "'%s' is a mapping: ls_mapping_run works on its shards", name) : st;
}

ls_status lsi_group_open(lsi_engine_stream *stream, const char *name, const lsi_group_config *config, lsi_group **out)
{
    const lsi_env *env = &stream->engine->env;
    lsi_group *group = lsi_alloc_zero(&env->memory, sizeof(*group));
    int result;
    ls_status st = LS_OK;

    if (group == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "group '%s': no memory for a worker", name);
    group->stream = stream;
    group->handle = config->handle;
    (void)snprintf(group->name, sizeof(group->name), "%s", name); /* It was checked. */
    group->failover_ms = config->failover_ms != 0 ? config->failover_ms : FAILOVER_MS_DEFAULT;
    group->handover_ms = config->handover_ms != 0 ? config->handover_ms : HANDOVER_MS_DEFAULT;
    group->leases_max = config->leases_max != 0 ? config->leases_max : UINT32_MAX;
    group->ticket = stream->engine->ops->ticket(stream->engine);
    if (config->worker != NULL)
        (void)snprintf(group->worker, sizeof(group->worker), "%s", config->worker); /* It was checked. */
    else
        (void)snprintf(group->worker, sizeof(group->worker), "worker-%016" PRIx64, group->ticket);
    result = lsi_lock_init(&group->lock);
    if (result != 0)
        st = lsi_fail_errno(result, "cannot make a lock");
    group->mapping = config->mapping;
    group->is_guarded = config->is_guarded;
    if (st == LS_OK)
        st = find_or_make(stream, name, config, &group->settings);
    if (st != LS_OK) {
        lsi_free(&env->memory, group);
        return st;
    }
    *out = group;
    return LS_OK;
}

ls_status lsi_group_give_back(lsi_group *group)
{
    ls_status first = LS_OK;
    lsi_error_state why;

    while (group->leases != NULL)
        lsi_error_note_first(lsi_lease_close(group->leases), &first, &why);
    if (first != LS_OK)
        lsi_error_restore(&why);
    return first;
}

void lsi_group_free(lsi_group *group)
{
    const lsi_memory *memory = &group->stream->engine->env.memory;

    for (lsi_lease *at = group->leases, *next; at != NULL; at = next) {
        next = at->next;
        lsi_free(memory, at);
    }
    if (group->has_info)
        lsi_stream_info_free(&group->info);
    lsi_free(memory, group->rows);
    lsi_free(memory, group->watches);
    lsi_free(memory, group);
}
