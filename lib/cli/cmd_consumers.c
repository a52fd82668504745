/* lstream consumers: the registered consumers of a stream: list, register, deregister, describe. */
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>

static const char *status_word(ls_consumer_status status)
{
    return status == LS_CONSUMER_ACTIVE ? "active" : status == LS_CONSUMER_CREATING ? "creating" : "deleting";
}

static void print_consumer(const ls_consumer_info *info)
{
    char registered[LSI_TIME_BYTES];

    lsi_format_time(info->created_us, registered);
    lsi_out_text("%-8s %s %6" PRIu64 " %s\n", status_word(info->status), registered, info->id, info->name);
    if (info->cut_count != 0)
        lsi_out_text("         trimming overtook it %" PRIu64 " times: up to %" PRIu64 " records (%" PRIu64
                     " ms) lost\n", info->cut_count, info->cut_records, info->cut_lag_ms);
}

static void consumer_json(lsi_json_writer *json, const ls_consumer_info *info)
{
    lsi_json_object_open(json);
    lsi_member_string(json, "name", info->name);
    lsi_member_uint(json, "id", info->id);
    lsi_member_string(json, "status", status_word(info->status));
    lsi_member_int(json, "created_us", info->created_us);
    lsi_member_uint(json, "cuts", info->cut_count);
    lsi_member_uint(json, "cut_records", info->cut_records);
    lsi_member_uint(json, "cut_bytes", info->cut_bytes);
    lsi_member_uint(json, "cut_lag_ms", info->cut_lag_ms);
    lsi_json_object_close(json);
}

#define HEADING "STATUS   REGISTERED                      ID NAME\n"

static int show(lsi_call *call, const ls_consumer_info *info)
{
    lsi_json_writer json;

    if (!call->json) {
        lsi_out_text(HEADING);
        print_consumer(info);
        return LSI_EXIT_OK;
    }
    lsi_json_begin(&json, &lsi_memory_libc);
    consumer_json(&json, info);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

/* All pages. */
static ls_status each_consumer(void *stream, lsi_json_writer *json)
{
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    bool more = true;
    ls_status st = LS_OK;

    while (more && st == LS_OK && !lsi_out_broken()) {
        ls_consumer_list *page;

        st = ls_stream_list_consumers(stream, info.name, 0, &page);
        if (st != LS_OK)
            break;
        for (uint32_t i = 0; i < ls_consumer_list_count(page) && st == LS_OK; i++) {
            st = ls_consumer_list_at(page, i, &info);
            if (st == LS_OK && json != NULL)
                consumer_json(json, &info);
            else if (st == LS_OK)
                print_consumer(&info);
        }
        more = ls_consumer_list_has_more(page) != 0;
        ls_consumer_list_free(page);
    }
    return st;
}

static int deregister(lsi_call *call, ls_stream *stream, const char *name)
{
    lsi_json_writer json;
    ls_status st = ls_consumer_deregister(stream, name);

    if (st != LS_OK)
        return lsi_failed(call, st);
    if (!call->json)
        return LSI_EXIT_OK;
    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_member_string(&json, "deregistered", name);
    lsi_json_object_close(&json);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

enum { LIST, REGISTER, DEREGISTER, DESCRIBE };
static const char *const acts[] = {"list", "register", "deregister", "describe", NULL};

static int run(lsi_call *call)
{
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    int act = LIST, code;
    const char *name;
    ls_stream *stream;
    ls_store *store;
    ls_status st;

    if (lsi_take_act(call, acts, "consumer", &act) != LSI_EXIT_OK)
        return LSI_EXIT_USAGE;
    name = call->arguments[2]; /* NULL: list */
    code = lsi_open_stream(call, call->arguments[1], act == REGISTER || act == DEREGISTER, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    if (act == LIST) {
        code = lsi_out_list(call, "consumers", HEADING, each_consumer, stream);
    } else if (act == DEREGISTER) {
        code = deregister(call, stream, name);
    } else {
        st = act == REGISTER ? ls_consumer_register(stream, name, &info) : ls_consumer_describe(stream, name, &info);
        code = st == LS_OK ? show(call, &info) : lsi_failed(call, st);
    }
    return lsi_close_stream(call, stream, store, code);
}

const lsi_command lsi_command_consumers = {
    .name = "consumers",
    .summary = "List, register and deregister consumers",
    .arguments = "ACT STREAM [NAME]",
    .help = "ACT is list, register, deregister or describe; all but the first take a\n"
            "consumer's NAME. A registered consumer has a read limit of its own in each shard\n"
            "of a provisioned stream, as Kinesis's enhanced fan-out. A stream has up to 20.\n"
            "Deregistering ends what a consumer is reading, in every process; a name that is\n"
            "taken is exit code 6.\n"
            "\n"
            "With --json one object: {\"consumers\": [{\"name\", \"id\", \"status\", \"created_us\",\n"
            "\"cuts\", \"cut_records\", \"cut_bytes\", \"cut_lag_ms\" (what trimming took)}]},\n"
            "for register and describe one such consumer, for deregister {\"deregistered\":\n"
            "NAME}.\n",
    .arguments_min = 2,
    .arguments_max = 3,
    .needs_store = true,
    .run = run,
};
