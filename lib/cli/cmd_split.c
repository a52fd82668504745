/* lstream split: one shard becomes two. */
#include "cli/cli.h"

#include <inttypes.h>

enum { AT };
static const lsi_option options[] = {
    [AT] = {"at", LSI_OPTION_TEXT, "KEY",
        "Where the upper half begins: a hash key, decimal, or hexadecimal after 0x; the middle unless told otherwise.",
        0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static int run(lsi_call *call)
{
    ls_hash_key at, *where = NULL;
    uint32_t shard, lower, upper;
    ls_stream *stream;
    ls_store *store;
    ls_status st;
    int code;

    if (!lsi_parse_shard(call->arguments[1], &shard))
        return lsi_usage(call, "'%s' is no shard: it is a number, as `lstream shards` shows it", call->arguments[1]);
    if (call->values[AT].given) {
        if (!lsi_parse_hash_key(call->values[AT].text, &at))
            return lsi_usage(call, "--at is '%s': it takes a hash key, 0 to 2^128-1", call->values[AT].text);
        where = &at;
    }
    code = lsi_open_stream(call, call->arguments[0], true, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    st = ls_stream_split(stream, shard, where, &lower, &upper);
    if (st != LS_OK)
        code = lsi_failed(call, st);
    code = lsi_close_stream(call, stream, store, code);
    if (code == LSI_EXIT_OK && call->json) {
        lsi_json_writer json;

        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        lsi_member_uint(&json, "split", shard);
        lsi_member_uint(&json, "lower", lower);
        lsi_member_uint(&json, "upper", upper);
        lsi_json_object_close(&json);
        return lsi_out_json(call, &json, code);
    }
    if (code == LSI_EXIT_OK)
        lsi_out_text("shard %" PRIu32 " is closed; its keys are those of %" PRIu32 " and %" PRIu32 " now\n", shard,
                     lower, upper);
    return code;
}

const lsi_command lsi_command_split = {
    .name = "split",
    .summary = "Split a shard in two",
    .arguments = "NAME SHARD",
    .help = "SHARD is closed, with its records, and two new shards take its keys. Producers\n"
            "go on meanwhile. A shard that was split or merged before is exit code 6.\n"
            "\n"
            "With --json one object: {\"split\", \"lower\", \"upper\"}, indexes of shards.\n",
    .arguments_min = 2,
    .arguments_max = 2,
    .needs_store = true,
    .options = options,
    .run = run,
};
