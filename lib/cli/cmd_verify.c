/* lstream verify: checks every byte of a store and says what is damaged. */
#include "cli/findings.h"

enum { STREAM, NOTES };
static const lsi_option options[] = {
    [STREAM] = {"stream", LSI_OPTION_TEXT, "NAME", "Only this stream.", 0, 0, 0},
    [NOTES] = {"notes", LSI_OPTION_FLAG, NULL,
        "Also print what needs no action: torn tails, files kept by repairs, skipped damage. With --json they always "
        "are.", 0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static int run(lsi_call *call)
{
    ls_inspect_options inspect = LS_INSPECT_OPTIONS_INIT;
    ls_inspect_summary summary = LS_INSPECT_SUMMARY_INIT;
    lsi_findings findings = {.call = call, .notes = call->values[NOTES].given};
    ls_status st;

    inspect.stream = call->values[STREAM].text;
    inspect.flags = call->network_fs ? LS_INSPECT_NETWORK_FS_ALLOWED : 0;
    st = ls_inspect_verify(call->store, &inspect, lsi_findings_print, &summary, &findings);
    return lsi_findings_end(&findings, &summary, st);
}

const lsi_command lsi_command_verify = {
    .name = "verify",
    .summary = "Check every byte of the store and say what is damaged",
    .arguments = "",
    .help = "Changes nothing and may run beside producers. Exit code 4 when there is damage.\n"
            "\n" LSI_FINDING_JSON_HELP,
    .arguments_min = 0,
    .arguments_max = 0,
    .needs_store = true,
    .options = options,
    .run = run,
};
