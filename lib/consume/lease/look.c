/* What a worker of a group sees: the group's rows and shards, who of the owners still lives (G2), and which leases it
 * has itself. What it does about that is take.c's.
 *
 * `lock` guards the list of leases against those who renew only: one thread changes it. */
#include "consume/lease/lease.h"

#include <string.h>

#include "base/search.h"
#include "base/status.h"

ls_status lsi_group_no_memory(const lsi_group *group)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "group '%s': no memory for its leases", group->name);
}

bool lsi_group_is_gone(const lsi_group *group, uint64_t ticket)
{
    return ticket == 0 ||
        (ticket != group->ticket && lsi_group_ops(group)->ticket_is_gone(group->stream->engine, ticket));
}

/* ---- the list ---- */

lsi_lease *lsi_group_lease_of(const lsi_group *group, uint32_t shard)
{
    for (lsi_lease *at = group->leases; at != NULL; at = at->next)
        if (at->row.place.shard == shard && !at->is_lost)
            return at;
    return NULL;
}

void lsi_group_add_lease(lsi_group *group, lsi_lease *lease)
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

void lsi_group_lose(lsi_lease *lease)
{
    if (!lease->is_lost)
        lsi_group_count(lease->group, LSI_GROUP_COUNT_LOST);
    lease->is_lost = true;
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

_Static_assert(offsetof(lsi_lease_watch, shard) == 0, "it is found by its first field");

static const lsi_lease_watch *watch_of(const lsi_group *group, uint32_t shard)
{
    return lsi_find_u32(group->watches, group->count, sizeof(lsi_lease_watch), shard);
}

/* What was seen of a row before, and what it is now. */
static ls_status watch(lsi_group *group, const lsi_lease_row *row, int64_t now, lsi_lease_watch *to)
{
    const lsi_lease_watch *before = watch_of(group, row->place.shard);
    uint64_t beat, written;

    *to = before != NULL ? *before : (lsi_lease_watch){.shard = row->place.shard};
    if (to->words == NULL) {
        ls_status st = lsi_group_ops(group)->lease_words(group->stream, group->settings.number, row->place.shard,
                                                         &to->words);

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
        written = lsi_group_ops(group)->written(group->stream, row->place.shard);
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
            lsi_group_lose(at);
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
            lsi_group_lose(at);
        return lsi_fail(LS_ERR_NOT_FOUND, "%s '%s' was deleted", group->mapping != 0 ? "mapping" : "group",
                        group->name);
    }
    if (st == LS_OK)
        st = lsi_lease_rows(group->stream, group->name, &rows, &count);
    if (st != LS_OK)
        return st;
    watches = lsi_alloc(memory, count * sizeof(*watches));
    if (watches == NULL)
        st = lsi_group_no_memory(group);
    now = lsi_group_now_us(group);
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

    if (group->has_info && group->info.generation == lsi_group_ops(group)->generation(group->stream))
        return LS_OK;
    st = lsi_group_ops(group)->info(group->stream, &fresh);
    if (st != LS_OK)
        return st;
    if (group->has_info)
        lsi_stream_info_free(&group->info);
    group->info = fresh;
    group->has_info = true;
    return LS_OK;
}
