/* lstream leases: who works on which shard of a stream in a group, and how far behind it is. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>

static const char *state_word(ls_lease_state state)
{
    return state == LS_LEASE_NOT_BEGUN ? "not begun"
           : state == LS_LEASE_BEGUN   ? "begun"
           : state == LS_LEASE_WAITING ? "waiting"
                                       : "ended";
}

#define PLACE_BYTES 48 /* 20 + 1 + 10, and the end */

static void give_place(ls_seqno seqno, uint32_t sub_seqno, char place[PLACE_BYTES])
{
    if (sub_seqno != UINT32_MAX)
        (void)snprintf(place, PLACE_BYTES, "%" PRIu64 "/%" PRIu32, seqno, sub_seqno);
    else
        (void)snprintf(place, PLACE_BYTES, "%" PRIu64, seqno);
}

static void print_lease(const ls_lease_info *info)
{
    char place[PLACE_BYTES] = "-", behind[24] = "?";

    if (info->state == LS_LEASE_BEGUN)
        give_place(info->seqno, info->sub_seqno, place);
    if (info->millis_behind_latest >= 0)
        (void)snprintf(behind, sizeof(behind), "%" PRId64, info->millis_behind_latest);
    lsi_out_text("%5" PRIu32 " %-9s %20s %12s %s%s\n", info->shard, state_word(info->state), place, behind,
                 info->owner[0] != '\0' ? info->owner : "-",
                 info->owner[0] != '\0' && !info->owner_lives ? " (gone)" : "");
    if (info->pending_seqno == LS_SEQNO_NONE)
        return;
    give_place(info->pending_seqno, info->pending_sub_seqno, place);
    lsi_out_text("      prepared: %20s, with %zu bytes\n", place, info->pending_state.size);
}

static void pending_json(lsi_json_writer *json, const ls_lease_info *info)
{
    lsi_json_object_open(json);
    lsi_json_key(json, "seqno");
    lsi_json_uint(json, info->pending_seqno);
    lsi_json_key(json, "sub_seqno");
    if (info->pending_sub_seqno != UINT32_MAX)
        lsi_json_uint(json, info->pending_sub_seqno);
    else
        lsi_json_null(json);
    lsi_json_key(json, "state_base64");
    lsi_json_base64(json, info->pending_state.data, info->pending_state.size);
    lsi_json_object_close(json);
}

static void lease_json(lsi_json_writer *json, const ls_lease_info *info)
{
    lsi_json_object_open(json);
    lsi_json_key(json, "shard");
    lsi_json_uint(json, info->shard);
    lsi_json_key(json, "state");
    lsi_json_string(json, state_word(info->state));
    lsi_json_key(json, "seqno");
    if (info->state == LS_LEASE_BEGUN)
        lsi_json_uint(json, info->seqno);
    else
        lsi_json_null(json);
    lsi_json_key(json, "sub_seqno");
    if (info->state == LS_LEASE_BEGUN && info->sub_seqno != UINT32_MAX)
        lsi_json_uint(json, info->sub_seqno);
    else
        lsi_json_null(json);
    lsi_json_key(json, "millis_behind_latest");
    if (info->millis_behind_latest >= 0)
        lsi_json_int(json, info->millis_behind_latest);
    else
        lsi_json_null(json);
    lsi_json_key(json, "owner");
    if (info->owner[0] != '\0')
        lsi_json_string(json, info->owner);
    else
        lsi_json_null(json);
    lsi_json_key(json, "owner_lives");
    lsi_json_bool(json, info->owner_lives != 0);
    lsi_json_key(json, "counter");
    lsi_json_uint(json, info->counter);
    lsi_json_key(json, "switches");
    lsi_json_uint(json, info->switches);
    lsi_json_key(json, "pending");
    if (info->pending_seqno != LS_SEQNO_NONE)
        pending_json(json, info);
    else
        lsi_json_null(json);
    lsi_json_object_close(json);
}

static ls_status each_lease(void *list, lsi_json_writer *json)
{
    ls_lease_info info = LS_LEASE_INFO_INIT;

    for (uint32_t i = 0; i < ls_lease_list_count(list); i++) {
        (void)ls_lease_list_at(list, i, &info); /* It is of the list. */
        if (json != NULL)
            lease_json(json, &info);
        else
            print_lease(&info);
    }
    return LS_OK;
}

static int run(lsi_call *call)
{
    ls_lease_list *list;
    ls_stream *stream;
    ls_store *store;
    ls_status st;
    int code = lsi_open_stream(call, call->arguments[0], false, &store, &stream);

    if (code != LSI_EXIT_OK)
        return code;
    st = ls_stream_list_leases(stream, call->arguments[1], &list);
    if (st != LS_OK)
        return lsi_close_stream(call, stream, store, lsi_failed(call, st));
    code = lsi_out_list(call, "leases", "SHARD STATE               CHECKPOINT    BEHIND MS OWNER\n", each_lease, list);
    ls_lease_list_free(list);
    return lsi_close_stream(call, stream, store, code);
}

const lsi_command lsi_command_leases = {
    .name = "leases",
    .summary = "Show who works on which shard, and how far",
    .arguments = "STREAM GROUP",
    .help = "A group's workers, or a mapping's runs, share the shards of a stream; GROUP is\n"
            "the name of either. For each shard that has a lease: whether it was begun, the\n"
            "number up to which it was worked on (and the part of that record), how old the\n"
            "first record is that was not, and the worker that has the lease; `(gone)`: its\n"
            "process has ended, and another worker may take it. `waiting`: the shard came of\n"
            "others by a split or merge, and nobody begins with it before these were worked\n"
            "on to their end. A second line tells of a checkpoint that a worker has prepared\n"
            "and not made.\n"
            "\n"
            "With --json one object: {\"leases\": [{\"shard\", \"state\", \"seqno\", \"sub_seqno\",\n"
            "\"millis_behind_latest\", \"owner\", \"owner_lives\", \"counter\", \"switches\",\n"
            "\"pending\": null or {\"seqno\", \"sub_seqno\", \"state_base64\"}}]}.\n",
    .arguments_min = 2,
    .arguments_max = 2,
    .needs_store = true,
    .run = run,
};
