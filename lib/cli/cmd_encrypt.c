/* lstream encrypt: what is put from now on, with a key. */
#include "cli/cli.h"

enum { KEY_ID };
static const lsi_option options[] = {
    [KEY_ID] = {"key-id", LSI_OPTION_TEXT, "ID", "What the key is called from now on. Another key, another id.", 0, 0,
                0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static int run(lsi_call *call)
{
    if (!call->values[KEY_ID].given)
        return lsi_usage(call, "which key? Say --key-id ID");
    if (call->key_file == NULL)
        return lsi_usage(call, "which key? Say --key-file FILE, or set LIBSTREAM_KEY_FILE");
    ls_store *store;
    int code = lsi_open_store(call, true, &store);

    if (code != LSI_EXIT_OK)
        return code;
    ls_status st = ls_stream_start_encryption(store, call->arguments[0], call->values[KEY_ID].text);
    if (st != LS_OK)
        code = lsi_failed(call, st);
    code = lsi_close_stream(call, NULL, store, code);
    return code == LSI_EXIT_OK && call->json ? lsi_out_change(call, "encrypted") : code;
}

const lsi_command lsi_command_encrypt = {
    .name = "encrypt",
    .summary = "Encrypt what is put from now on",
    .arguments = "NAME",
    .help = "With AES-256-GCM and the key in --key-file; again with another --key-id to\n"
            "change the key. Processes that use the stream go on, if they have the key.\n"
            "Records that are there stay as they are: keep the keys of all that is kept.\n"
            "Without them the stream can be described, verified, repaired and deleted. Says\n"
            "nothing when all is well; with --json: {\"encrypted\": NAME}.\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .needs_store = true,
    .options = options,
    .run = run,
};
