/* lstream compress: what is put from now on, or no more; and segments that are full. */
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>

enum { OFF, SEALED, UPKEEP };
static const lsi_option options[] = {
    [OFF] = {"off", LSI_OPTION_FLAG, NULL, "Compress no more.", 0, 0, 0},
    [SEALED] = {"sealed", LSI_OPTION_FLAG, NULL,
                "Compress the segments that are full, now, and say by how much files got smaller. What is put from now "
                "on is left as it is.", 0, 0, 0},
    [UPKEEP] = {"upkeep", LSI_OPTION_TEXT, "on|off",
                "Whether upkeep does so from now on: `lstream maintain`, and the maintenance thread of programs.", 0, 0,
                0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static int set_codec(lsi_call *call)
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

static int print_saved(const lsi_call *call, uint64_t saved)
{
    char size[LSI_SIZE_BYTES];
    lsi_json_writer json;

    if (!call->json) {
        lsi_format_size(saved, size);
        lsi_out_text("%s less\n", size);
        return LSI_EXIT_OK;
    }
    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_member_uint(&json, "saved_bytes", saved);
    lsi_json_object_close(&json);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

static int press(lsi_call *call)
{
    const char *upkeep = call->values[UPKEEP].text;
    uint64_t saved = 0;
    ls_status st = LS_OK;
    ls_stream *stream;
    ls_store *store;
    int code = lsi_open_stream(call, call->arguments[0], true, &store, &stream);

    if (code != LSI_EXIT_OK)
        return code;
    if (call->values[UPKEEP].given)
        st = ls_stream_set_recompression(stream, strcmp(upkeep, "on") == 0);
    if (st == LS_OK && call->values[SEALED].given)
        st = ls_stream_recompress(stream, -1, &saved);
    if (st != LS_OK)
        code = lsi_failed(call, st);
    else if (call->values[SEALED].given)
        code = print_saved(call, saved);
    code = lsi_close_stream(call, stream, store, code);
    return code == LSI_EXIT_OK && call->json && !call->values[SEALED].given ? lsi_out_change(call, "changed") : code;
}

static int run(lsi_call *call)
{
    const lsi_value *upkeep = &call->values[UPKEEP];

    if (upkeep->given && strcmp(upkeep->text, "on") != 0 && strcmp(upkeep->text, "off") != 0)
        return lsi_usage(call, "--upkeep is '%s': it is on or off", upkeep->text);
    if (!upkeep->given && !call->values[SEALED].given)
        return set_codec(call);
    if (call->values[OFF].given)
        return lsi_usage(call, "--off is of what is put from now on, and excludes --sealed and --upkeep");
    return press(call);
}

const lsi_command lsi_command_compress = {
    .name = "compress",
    .summary = "Compress what is put from now on, or full segments",
    .arguments = "NAME",
    .help = "Without --sealed and --upkeep: batches of 4 KiB and more that are put from now\n"
            "on, with zstd, where that makes them smaller. Records that are there stay as\n"
            "they are. Says nothing when all is well; with --json: {\"compressed\": NAME} or,\n"
            "with --off, {\"not_compressed\": NAME}.\n"
            "\n"
            "With --sealed segment files that no record goes into any more are written anew\n"
            "in compressed blocks of 64 KiB, small records too, but not encrypted ones. They\n"
            "read the same. Prints what that saved; with --json: {\"saved_bytes\"}.\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .needs_store = true,
    .options = options,
    .run = run,
};
