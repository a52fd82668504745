/* A worker of a group: what it looks at (look.c), what it takes (take.c), and here what it tells of that, when, and how
 * long it sleeps.
 *
 *  G1  Who owns a lease stands in its row, which is changed by compare and swap: the ticket of the worker, and a
 *      counter that rises with each owner. What a worker believes beyond that may be wrong, and is then refused.
 *  G2  An owner is replaced when the kernel says that its process is gone, or when neither its row nor the word by
 *      which it renews has changed for failover_ms of the observer's own clock, which begins when he first looks.
 *  G3  A worker that asks writes its ticket beside the owner's. The owner goes on until he has finished, then writes it
 *      in the place of his own. Who asked and died is forgotten; who is not given it within handover_ms takes it.
 *  G4  A row is worked on only when none of what came before its shard has a row that has not ended (rules.h).
 *
 * Nothing is held over a call of the engine. */
#include "consume/lease/lease.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/patience.h"
#include "base/status.h"

#define FAILOVER_MS_DEFAULT 10000u
#define HANDOVER_MS_DEFAULT 30000u
#define DEATHS_US INT64_C(1000000) /* so often the kernel is asked who is gone */
#define LOOK_US INT64_C(100000) /* between two looks of one who calls all the time and was woken by nobody */

int64_t lsi_group_renew_us(const lsi_group *group)
{
    return (int64_t)group->failover_ms * 1000 / 3;
}

/* ---- telling ---- */

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
    return lease->row.wanted != 0 && !lsi_group_is_gone(lease->group, lease->row.wanted);
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
    int64_t now = lsi_group_now_us(group), renew_us = lsi_group_renew_us(group);
    int64_t pause_us = renew_us < LOOK_US ? renew_us : LOOK_US;

    if (group->has_info && !group->has_failed && token == group->token && now - group->looked_us < pause_us &&
        group->info.generation == lsi_group_ops(group)->generation(group->stream))
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
        st = lsi_group_turn(group);
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
        is_so = is_so || lsi_group_is_gone(group, owner);
    }
    return is_so;
}

void lsi_group_wait(lsi_group *group, uint32_t token, int64_t timeout_us)
{
    bool has_others;

    (void)is_one_gone(group, &has_others); /* What was so before was looked at. */
    while (timeout_us > 0) {
        int64_t slice_us = has_others && timeout_us > DEATHS_US ? DEATHS_US : timeout_us;

        if ((group->is_guarded ? lsi_group_ops(group)->sleep_guarded : lsi_group_ops(group)->sleep)(
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
            (row->wanted != 0 || lsi_group_lease_of(group, row->place.shard) == NULL) &&
            !(row->owner == 0 && group->watches[i].closed_us == LSI_LEASE_LEFT))
            return false;
    }
    return true;
}

bool lsi_group_is_current(lsi_group *group)
{
    return lsi_group_ops(group)->arm(group->stream, LSI_STATE_SHARD) == group->token;
}

bool lsi_group_is_settled(lsi_group *group)
{
    if (group->count == 0 || group->has_failed || !lsi_group_is_current(group))
        return false;
    for (uint32_t i = 0; i < group->count; i++) {
        const lsi_lease_row *row = &group->rows[i];

        if (row->place.kind != LSI_LEASE_END && lsi_group_lease_of(group, row->place.shard) == NULL &&
            !(row->owner == 0 && group->watches[i].closed_us == LSI_LEASE_LEFT) &&
            (lsi_group_is_gone(group, row->owner) || row->owner == group->ticket || !group->watches[i].has_renewed) &&
            !group->watches[i].is_waiting)
            return false;
    }
    return true;
}

ls_status lsi_group_next(lsi_group *group, int64_t timeout_ms, lsi_group_event *out)
{
    int64_t from_us = lsi_group_now_us(group);

    for (;;) {
        uint32_t token = lsi_group_ops(group)->arm(group->stream, LSI_STATE_SHARD);
        int64_t left_us, sleep_us = lsi_group_renew_us(group);
        ls_status st;

        if (atomic_load_explicit(&group->is_cancelled, memory_order_acquire))
            return lsi_fail(LS_ERR_CANCELLED, "group '%s': the worker was cancelled", group->name);
        if (tell(group, out))
            return LS_OK;
        lsi_patience_begin(&group->stream->engine->env);
        st = lsi_group_step(group, token);
        if (tell(group, out))
            return LS_OK; /* What failed fails the next time. */
        if (st != LS_OK)
            return st;
        left_us = timeout_ms < 0 ? INT64_MAX : timeout_ms * 1000 - (lsi_group_now_us(group) - from_us);
        if (left_us <= 0)
            return LS_OK;
        if (!atomic_load_explicit(&group->is_cancelled, memory_order_acquire))
            lsi_group_wait(group, token, left_us < sleep_us ? left_us : sleep_us);
    }
}

void lsi_group_cancel(lsi_group *group)
{
    atomic_store_explicit(&group->is_cancelled, true, memory_order_release);
    lsi_group_ops(group)->wake(group->stream, LSI_STATE_SHARD);
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
               ? lsi_fail(LS_ERR_STATE, "'%s' is a mapping or a delivery, whose runs work on its shards", name) : st;
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
    group->routing = config->routing;
    group->is_guarded = config->is_guarded;
    if (st == LS_OK)
        st = find_or_make(stream, name, config, &group->settings);
    if (st == LS_OK)
        group->counts = stream->engine->ops->counts(stream, LSI_COUNTS_GROUP, lsi_counts_number(name));
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

    group->is_leaving = true;
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
