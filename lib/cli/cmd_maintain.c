/* lstream maintain: the upkeep that is due, all of it and now. */
#include "cli/cli.h"

enum { TIMEOUT };
static const lsi_option options[] = {
    [TIMEOUT] = {"timeout", LSI_OPTION_NUMBER, "MS",
        "Begin nothing more when so many milliseconds are over; what is left is exit code 5.", 0, INT32_MAX, 't'},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static int run(lsi_call *call)
{
    int64_t timeout_ms = call->values[TIMEOUT].given ? (int64_t)call->values[TIMEOUT].number : -1;
    ls_store *store;
    ls_status st;
    int code = lsi_open_store(call, true, &store);

    if (code != LSI_EXIT_OK)
        return code;
    st = ls_store_maintain(store, timeout_ms);
    if (st != LS_OK)
        code = lsi_failed(call, st);
    code = lsi_close_stream(call, NULL, store, code);
    if (code == LSI_EXIT_OK && call->json) {
        lsi_json_writer json;

        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        lsi_member_bool(&json, "maintained", true);
        lsi_json_object_close(&json);
        code = lsi_out_json(call, &json, code);
    }
    return code;
}

const lsi_command lsi_command_maintain = {
    .name = "maintain",
    .summary = "Trim, and remove what killed processes left",
    .arguments = "",
    .help = "Whoever opens the store, puts or reads does a piece of it as he goes; this does\n"
            "the rest now, beside whoever uses the store: it deletes what is past its\n"
            "retention and what killed processes left of streams that they were making or\n"
            "deleting. Says nothing when all is done; with --json: {\"maintained\": true}.\n",
    .arguments_min = 0,
    .arguments_max = 0,
    .needs_store = true,
    .options = options,
    .run = run,
};
