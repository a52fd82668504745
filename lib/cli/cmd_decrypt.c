/* lstream decrypt: no more encryption from now on. */
#include "cli/cli.h"

static int run(lsi_call *call)
{
    ls_store *store;
    int code = lsi_open_store(call, true, &store);

    if (code != LSI_EXIT_OK)
        return code;
    ls_status st = ls_stream_stop_encryption(store, call->arguments[0]);
    if (st != LS_OK)
        code = lsi_failed(call, st);
    code = lsi_close_stream(call, NULL, store, code);
    return code == LSI_EXIT_OK && call->json ? lsi_out_change(call, "decrypted") : code;
}

const lsi_command lsi_command_decrypt = {
    .name = "decrypt",
    .summary = "Encrypt no more from now on",
    .arguments = "NAME",
    .help = "Records that are there stay encrypted, and need their key. Says nothing when all\n"
            "is well; with --json: {\"decrypted\": NAME}.\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .needs_store = true,
    .run = run,
};
