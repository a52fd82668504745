/* The exported functions of lease.h: arguments and options are checked, then the room `consume` does it. A lease is the
 * room's own object: it knows its group, and a group here adds the stream alone. */
#include "api/api.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"
#include "base/utf8.h"

#define FAILOVER_MS_MIN 100u
#define TIME_MS_MAX 600000u
#define KNOWN_INFO_BYTES LSI_SIZE_UP_TO(ls_lease_info, owner)

/* ---- options ---- */

static ls_status check_worker(const char *worker)
{
    size_t size = strlen(worker);
    bool is_good = size > 0 && size <= LSI_WORKER_NAME_MAX && lsi_utf8_count(worker, size) != LSI_UTF8_BAD;

    for (size_t i = 0; is_good && i < size; i++)
        is_good = !lsi_utf8_is_control(&worker[i]);
    if (!is_good)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.worker is no name of 1 to %u bytes of UTF-8 without control "
                        "characters", LSI_WORKER_NAME_MAX);
    return LS_OK;
}

static ls_status check_time(const char *name, uint32_t ms, uint32_t least)
{
    return ms == 0 || (ms >= least && ms <= TIME_MS_MAX)
               ? LS_OK
               : lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.%s is %" PRIu32 ": it is %" PRIu32 " to %u", name, ms,
                          least, TIME_MS_MAX);
}

static ls_status take_position(const ls_position *position, lsi_lease_start *out)
{
    *out = (lsi_lease_start){LSI_START_HORIZON, 0};
    if (position == NULL)
        return LS_OK;
    if (position->kind == LS_LATEST)
        out->kind = LSI_START_LATEST;
    else if (position->kind == LS_AT_TIMESTAMP)
        *out = (lsi_lease_start){LSI_START_TIME, position->timestamp_us};
    else if (position->kind != LS_TRIM_HORIZON)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.position.kind is %" PRId32 ": a group begins at "
                        "LS_TRIM_HORIZON, LS_LATEST or LS_AT_TIMESTAMP", position->kind);
    if (position->sub_seqno != 0 || position->seqno != 0 ||
        (out->kind != LSI_START_TIME && position->timestamp_us != 0))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.position has a field set that its kind does not have");
    return LS_OK;
}

/* ---- groups ---- */

static ls_status open_group(ls_group *group, const char *name, const ls_group_options *options)
{
    ls_group_options own;
    lsi_group_config config = {.handle = group};
    ls_status st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_group_options, worker));

    if (st == LS_OK)
        st = lsi_check_group_name(name);
    if (st == LS_OK)
        st = check_time("failover_ms", own.failover_ms, FAILOVER_MS_MIN);
    if (st == LS_OK)
        st = check_time("handover_ms", own.handover_ms, 1);
    if (st == LS_OK && own.worker != NULL)
        st = check_worker(own.worker);
    if (st == LS_OK)
        st = take_position(own.position, &config.start);
    if (st != LS_OK)
        return st;
    config.failover_ms = own.failover_ms;
    config.handover_ms = own.handover_ms;
    config.leases_max = own.leases_max;
    config.worker = own.worker;
    return lsi_group_open(group->stream->stream, name, &config, &group->group);
}

ls_status ls_group_open(ls_stream *stream, const char *name, const ls_group_options *options, ls_group **out)
{
    ls_group *group;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(out);
    LSI_ENTER_TO(LSI_MAY_CONSUME, stream->store);
    group = lsi_alloc_zero(&stream->store->env.memory, sizeof *group);
    if (group == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a worker", stream->name);
    group->stream = stream;
    st = open_group(group, name, options);
    if (st != LS_OK) {
        lsi_free(&stream->store->env.memory, group);
        return st;
    }
    atomic_fetch_add_explicit(&stream->child_count, 1, memory_order_relaxed);
    *out = group;
    return lsi_error_end(LS_OK);
}

ls_status ls_group_close(ls_group *group)
{
    ls_stream *stream;
    lsi_error_state before;
    ls_status st;

    if (group == NULL)
        return LS_OK;
    stream = group->stream;
    lsi_error_save(&before);
    lsi_patience_begin(&stream->store->env);
    st = lsi_store_is_mine(stream->store) ? lsi_group_give_back(group->group) : LS_OK; /* P9 */
    if (st == LS_OK)
        lsi_error_restore(&before);
    lsi_group_free(group->group);
    lsi_free(&stream->store->env.memory, group);
    atomic_fetch_sub_explicit(&stream->child_count, 1, memory_order_release); /* Pairs with ls_stream_close. */
    return st;
}

ls_status ls_group_next(ls_group *group, int64_t timeout_ms, ls_group_event *out)
{
    lsi_group_event event;
    ls_status st;

    LSI_REFUSE_NULL(group);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(group->stream->store);
    if (out->size < LSI_SIZE_UP_TO(ls_group_event, lease))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", out->size);
    if (timeout_ms < -1)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "timeout_ms is %" PRId64 ": it is -1 or more", timeout_ms);
    st = lsi_group_next(group->group, timeout_ms, &event);
    if (st != LS_OK)
        return st;
    out->kind = event.kind;
    out->lease = (ls_lease *)event.lease;
    return lsi_error_end(LS_OK);
}

void ls_group_renew(ls_group *group)
{
    if (group != NULL && lsi_store_is_mine(group->stream->store))
        lsi_group_renew(group->group);
}

void ls_group_cancel(ls_group *group)
{
    if (group != NULL && lsi_store_is_mine(group->stream->store))
        lsi_group_cancel(group->group);
}

ls_status ls_group_delete(ls_stream *stream, const char *name)
{
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    st = lsi_check_group_name(name);
    return lsi_error_end(st == LS_OK ? lsi_group_delete(stream->stream, name) : st);
}

/* ---- leases ---- */

static lsi_lease *inside(ls_lease *lease)
{
    return (lsi_lease *)lease;
}

static const ls_store *store_of(const ls_lease *lease)
{
    return ((const ls_group *)lsi_lease_handle((const lsi_lease *)lease))->stream->store;
}

static void give_info(const ls_lease_info *from, ls_lease_info *out)
{
    uint32_t size = out->size;

    memcpy(out, from, size < sizeof *from ? size : sizeof *from);
    out->size = size;
}

static ls_status check_info(const ls_lease_info *out)
{
    return out->size >= KNOWN_INFO_BYTES
               ? LS_OK : lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", out->size);
}

ls_status ls_lease_describe(const ls_lease *lease, ls_lease_info *out)
{
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_status st;

    LSI_REFUSE_NULL(lease);
    LSI_REFUSE_NULL(out);
    st = check_info(out);
    if (st != LS_OK)
        return st;
    lsi_lease_describe((const lsi_lease *)lease, &info);
    give_info(&info, out);
    return LS_OK;
}

ls_status ls_lease_checkpoint(ls_lease *lease, ls_seqno seqno, uint32_t sub_seqno)
{
    LSI_REFUSE_NULL(lease);
    LSI_ENTER(store_of(lease));
    return lsi_error_end(lsi_lease_checkpoint(inside(lease), seqno, sub_seqno));
}

ls_status ls_lease_prepare(ls_lease *lease, ls_seqno seqno, uint32_t sub_seqno, ls_bytes state)
{
    LSI_REFUSE_NULL(lease);
    LSI_ENTER(store_of(lease));
    if (state.data == NULL && state.size > 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "state of %zu bytes has no address", state.size);
    return lsi_error_end(lsi_lease_prepare(inside(lease), seqno, sub_seqno, state));
}

ls_status ls_lease_end(ls_lease *lease)
{
    LSI_REFUSE_NULL(lease);
    LSI_ENTER(store_of(lease));
    return lsi_error_end(lsi_lease_end(inside(lease)));
}

ls_status ls_lease_close(ls_lease *lease)
{
    if (lease == NULL)
        return LS_OK;
    LSI_ENTER(store_of(lease));
    return lsi_error_end(lsi_lease_close(inside(lease)));
}

/* ---- listing ---- */

struct ls_lease_list {
    lsi_memory memory;
    ls_lease_info *infos;
    uint32_t count;
};

ls_status ls_stream_list_leases(ls_stream *stream, const char *group, ls_lease_list **out)
{
    ls_lease_list *list;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(group);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(stream->store);
    st = lsi_check_group_name(group);
    if (st != LS_OK)
        return st;
    list = lsi_alloc_zero(&stream->store->env.memory, sizeof *list);
    if (list == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a list of leases", stream->name);
    list->memory = stream->store->env.memory;
    st = lsi_lease_list(stream->stream, group, &list->infos, NULL, &list->count);
    if (st != LS_OK) {
        ls_lease_list_free(list);
        return st;
    }
    *out = list;
    return lsi_error_end(LS_OK);
}

uint32_t ls_lease_list_count(const ls_lease_list *list)
{
    return list == NULL ? 0 : list->count;
}

ls_status ls_lease_list_at(const ls_lease_list *list, uint32_t index, ls_lease_info *out)
{
    ls_status st;

    LSI_REFUSE_NULL(list);
    LSI_REFUSE_NULL(out);
    if (index >= list->count)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "index is %" PRIu32 ": the list has %" PRIu32 " leases", index,
                        list->count);
    st = check_info(out);
    if (st == LS_OK)
        give_info(&list->infos[index], out);
    return st;
}

void ls_lease_list_free(ls_lease_list *list)
{
    lsi_memory memory;

    if (list == NULL)
        return;
    memory = list->memory;
    lsi_free(&memory, list->infos);
    lsi_free(&memory, list);
}
