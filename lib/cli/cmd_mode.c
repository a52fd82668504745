/* lstream mode: whether a stream has limits. */
#include "cli/cli.h"

#include <string.h>

static const char *word_of(ls_stream_mode mode)
{
    return mode == LS_STREAM_PROVISIONED ? "provisioned" : "on-demand";
}

static int run(lsi_call *call)
{
    const char *wanted = call->argument_count == 2 ? call->arguments[1] : NULL;
    bool provisioned = wanted != NULL && strcmp(wanted, "provisioned") == 0;
    ls_stream_description *description = NULL;
    ls_status st = LS_OK;
    ls_stream *stream;
    ls_store *store;
    int code;

    if (wanted != NULL && !provisioned && strcmp(wanted, "on-demand") != 0)
        return lsi_usage(call, "'%s' is no mode: it is on-demand or provisioned", wanted);
    code = lsi_open_stream(call, call->arguments[0], wanted != NULL, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    if (wanted != NULL)
        st = ls_stream_set_mode(stream, provisioned ? LS_STREAM_PROVISIONED : LS_STREAM_ON_DEMAND);
    if (st == LS_OK)
        st = ls_stream_describe(stream, &description);
    if (st != LS_OK) {
        code = lsi_failed(call, st);
    } else if (call->json) {
        lsi_json_writer json;

        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        lsi_member_string(&json, "mode", word_of(ls_stream_description_mode(description)));
        lsi_json_object_close(&json);
        code = lsi_out_json(call, &json, LSI_EXIT_OK);
    } else {
        lsi_out_text("%s\n", word_of(ls_stream_description_mode(description)));
    }
    ls_stream_description_free(description);
    return lsi_close_stream(call, stream, store, code);
}

const lsi_command lsi_command_mode = {
    .name = "mode",
    .summary = "Show or set the capacity mode",
    .arguments = "NAME [MODE]",
    .help = "MODE is on-demand (no limits) or provisioned (so much for each shard in a\n"
            "second: see `lstream limits`). Processes that use the stream go by\n"
            "it from their next call on. Prints what counts then; with --json: {\"mode\"}.\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .needs_store = true,
    .run = run,
};
