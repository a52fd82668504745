/* lstream scale: a stream gets a number of equal shards. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { KINESIS_LIMITS };
static const lsi_option options[] = {
    [KINESIS_LIMITS] = {"kinesis-limits", LSI_OPTION_FLAG, NULL,
        "Refuse what Kinesis refuses: more than double or less than half of the open shards.", 0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static int run(lsi_call *call)
{
    ls_scale_options scale = LS_SCALE_OPTIONS_INIT;
    const char *text = call->arguments[1];
    unsigned long long count;
    ls_stream *stream;
    ls_store *store;
    ls_status st;
    char *end;
    int code;

    errno = 0;
    count = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || count == 0 || count > 65536)
        return lsi_usage(call, "'%s' is no number of shards: it is 1 to 65536", text);
    scale.flags = call->values[KINESIS_LIMITS].given ? LS_SCALE_KINESIS_LIMITS : 0;
    code = lsi_open_stream(call, call->arguments[0], true, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    st = ls_stream_update_shard_count(stream, (uint32_t)count, &scale);
    if (st != LS_OK)
        code = lsi_failed(call, st);
    code = lsi_close_stream(call, stream, store, code);
    if (code == LSI_EXIT_OK && call->json) {
        lsi_json_writer json;

        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        lsi_json_key(&json, "open_shards");
        lsi_json_uint(&json, count);
        lsi_json_object_close(&json);
        return lsi_out_json(call, &json, code);
    }
    if (code == LSI_EXIT_OK)
        lsi_out_text("stream '%s' has %llu open shards of equal width\n", call->arguments[0], count);
    return code;
}

const lsi_command lsi_command_scale = {
    .name = "scale",
    .summary = "Split and merge to a number of equal shards",
    .arguments = "NAME COUNT",
    .help = "A series of splits and merges; producers go on meanwhile. Ended in the middle,\n"
            "it has done some of them, and the same command goes on.\n"
            "\n"
            "With --json one object: {\"open_shards\": COUNT}.\n",
    .arguments_min = 2,
    .arguments_max = 2,
    .needs_store = true,
    .options = options,
    .run = run,
};
