/* lstream dump: prints every structure of one file, so that a bug report can show bytes. */
#include "cli/cli.h"

#include <libstream/unstable/inspect.h>

static ls_inspect_act print_line(const char *line, void *user)
{
    const lsi_call *call = user;

    if (call->json) {
        lsi_json_writer json;

        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        lsi_member_string(&json, "line", line);
        lsi_json_object_close(&json);
        (void)lsi_out_json(call, &json, LSI_EXIT_OK); /* It says it when memory runs out. */
    } else {
        lsi_out_text("%s\n", line);
    }
    return lsi_out_broken() ? LS_INSPECT_STOP : LS_INSPECT_GO_ON;
}

static int run(lsi_call *call)
{
    ls_status st = ls_inspect_dump(call->arguments[0], print_line, call);

    if (st == LS_OK)
        return LSI_EXIT_OK;
    lsi_out_flush();
    lsi_say(call, "%s", ls_last_error_message());
    return lsi_exit_code(st);
}

const lsi_command lsi_command_dump = {
    .name = "dump",
    .summary = "Print every structure of one file of a store",
    .arguments = "FILE",
    .help = "FILE is a manifest, a segment list (segments), a segment (.seg), an index (.idx)\n"
            "or a control file. Damage is printed where it is, and is exit code 4. With\n"
            "--json each line is one object: {\"line\"}.\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
