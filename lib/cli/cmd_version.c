/* lstream version. */
#include "cli/cli.h"

static int run(lsi_call *call)
{
    lsi_json_writer json;

    if (!call->json) {
        lsi_out_text("lstream %s\nlibrary %s\nformat %d\nfeatures %s\n", LS_VERSION_STRING, ls_version_string(),
                     LS_FORMAT_VERSION, ls_version_features()[0] != '\0' ? ls_version_features() : "-");
        return LSI_EXIT_OK;
    }
    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_member_string(&json, "version", LS_VERSION_STRING);
    lsi_member_string(&json, "library", ls_version_string());
    lsi_member_int(&json, "format", LS_FORMAT_VERSION);
    lsi_member_string(&json, "features", ls_version_features());
    lsi_json_object_close(&json);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

const lsi_command lsi_command_version = {
    .name = "version",
    .summary = "Print the versions of tool, library and on-disk format",
    .arguments = "",
    .help = "With --json: {\"version\", \"library\", \"format\", \"features\"}.\n",
    .arguments_min = 0,
    .arguments_max = 0,
    .run = run,
};
