/* lstream delete. */
#include "cli/cli.h"

enum { WITH_CONSUMERS };
static const lsi_option options[] = {
    [WITH_CONSUMERS] = {"with-consumers", LSI_OPTION_FLAG, NULL, "Its registered consumers too.", 0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static int run(lsi_call *call)
{
    ls_store *store;
    ls_status st;
    int code = lsi_open_store(call, true, &store);

    if (code != LSI_EXIT_OK)
        return code;
    st = call->values[WITH_CONSUMERS].given ? ls_stream_delete_with_consumers(store, call->arguments[0])
                                            : ls_stream_delete(store, call->arguments[0]);
    if (st != LS_OK)
        code = lsi_failed(call, st);
    code = lsi_close_stream(call, NULL, store, code);
    if (code == LSI_EXIT_OK && call->json) {
        lsi_json_writer json;

        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        lsi_member_string(&json, "deleted", call->arguments[0]);
        lsi_json_object_close(&json);
        code = lsi_out_json(call, &json, code);
    }
    return code;
}

const lsi_command lsi_command_delete = {
    .name = "delete",
    .summary = "Delete a stream with its records",
    .arguments = "NAME",
    .help = "It does not ask. Processes that use the stream are told that it is gone. One\n"
            "that has registered consumers (see `lstream consumers`) is exit code 6. Says\n"
            "nothing when all is well; with --json: {\"deleted\": NAME}.\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .needs_store = true,
    .options = options,
    .run = run,
};
