/* lstream compress: what is put from now on, or no more. */
#include "cli/cli.h"

enum { OFF };
static const lsi_option options[] = {
    [OFF] = {"off", LSI_OPTION_FLAG, NULL, "Compress no more.", 0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static int run(lsi_call *call)
{
    bool off = call->values[OFF].given;
    ls_store *store;
    int code = lsi_open_store(call, true, &store);

    if (code != LSI_EXIT_OK)
        return code;
    ls_status st = ls_stream_set_compression(store, call->arguments[0],
                                             off ? LS_COMPRESSION_NONE : LS_COMPRESSION_ZSTD);
    if (st != LS_OK)
        code = lsi_failed(call, st);
    code = lsi_close_stream(call, NULL, store, code);
    return code == LSI_EXIT_OK && call->json ? lsi_out_change(call, off ? "not_compressed" : "compressed") : code;
}

const lsi_command lsi_command_compress = {
    .name = "compress",
    .summary = "Compress what is put from now on",
    .arguments = "NAME",
    .help = "Batches of 4 KiB and more, with zstd, where that makes them smaller. Records\n"
            "that are there stay as they are. Says nothing when all is well; with --json:\n"
            "{\"compressed\": NAME} or, with --off, {\"not_compressed\": NAME}.\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .needs_store = true,
    .options = options,
    .run = run,
};
