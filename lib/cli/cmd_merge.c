/* lstream merge: two shards become one. */
#include "cli/cli.h"

#include <inttypes.h>

static int run(lsi_call *call)
{
    uint32_t shards[2], child;
    ls_stream *stream;
    ls_store *store;
    ls_status st;
    int code;

    for (int i = 0; i < 2; i++)
        if (!lsi_parse_shard(call->arguments[1 + i], &shards[i]))
            return lsi_usage(call, "'%s' is no shard: it is a number, as `lstream shards` shows it",
                             call->arguments[1 + i]);
    code = lsi_open_stream(call, call->arguments[0], true, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    st = ls_stream_merge(stream, shards[0], shards[1], &child);
    if (st != LS_OK)
        code = lsi_failed(call, st);
    code = lsi_close_stream(call, stream, store, code);
    if (code == LSI_EXIT_OK && call->json) {
        lsi_json_writer json;

        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        lsi_json_key(&json, "merged");
        lsi_json_array_open(&json);
        lsi_json_uint(&json, shards[0]);
        lsi_json_uint(&json, shards[1]);
        lsi_json_array_close(&json);
        lsi_member_uint(&json, "child", child);
        lsi_json_object_close(&json);
        return lsi_out_json(call, &json, code);
    }
    if (code == LSI_EXIT_OK)
        lsi_out_text("shards %" PRIu32 " and %" PRIu32 " are closed; their keys are those of %" PRIu32 " now\n",
                     shards[0], shards[1], child);
    return code;
}

const lsi_command lsi_command_merge = {
    .name = "merge",
    .summary = "Merge two neighbouring shards",
    .arguments = "NAME SHARD SHARD",
    .help = "Both are closed, with their records, and a new one takes their keys. The keys\n"
            "of the second must follow those of the first. A shard that was split or merged\n"
            "before is exit code 6.\n"
            "\n"
            "With --json one object: {\"merged\": [SHARD, SHARD], \"child\": SHARD}.\n",
    .arguments_min = 3,
    .arguments_max = 3,
    .needs_store = true,
    .run = run,
};
