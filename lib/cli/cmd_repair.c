/* lstream repair: makes what lies outside of damage readable again, keeping the original bytes. */
#include "cli/findings.h"

enum { DRY_RUN, STREAM, NOTES };
static const lsi_option options[] = {
    [DRY_RUN] = {"dry-run", LSI_OPTION_FLAG, NULL, "Change nothing; say what would be lost and done.", 0, 0, 'n'},
    [STREAM] = {"stream", LSI_OPTION_TEXT, "NAME", "Only this stream.", 0, 0, 0},
    [NOTES] = {"notes", LSI_OPTION_FLAG, NULL,
        "Also print what needs no action: torn tails, files kept by repairs, skipped damage.", 0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static int run(lsi_call *call)
{
    ls_inspect_options inspect = LS_INSPECT_OPTIONS_INIT;
    ls_inspect_summary summary = LS_INSPECT_SUMMARY_INIT;
    bool dry = call->values[DRY_RUN].given;
    lsi_findings findings = {.call = call, .notes = call->values[NOTES].given, .repairing = !dry};
    ls_status st;

    inspect.stream = call->values[STREAM].text;
    inspect.flags = call->network_fs ? LS_INSPECT_NETWORK_FS_ALLOWED : 0;
    st = ls_inspect_repair(call->store, &inspect, dry ? 1 : 0, lsi_findings_print, &summary, &findings);
    return lsi_findings_end(&findings, &summary, st);
}

const lsi_command lsi_command_repair = {
    .name = "repair",
    .summary = "Repair damage, keeping the original bytes",
    .arguments = "",
    .help = "Readers step over damaged records and missing segments from then on, and shards\n"
            "take records again; one whose directory is lost begins again, empty, with\n"
            "numbers it never gave. A damaged manifest is replaced by its copy. What is lost\n"
            "was lost before; `--dry-run` lists it. No byte is deleted: files with damaged\n"
            "records stay as they are; any other is kept beside as NAME.damaged-N before it\n"
            "is replaced or, if it is a hint (an index, the control file), set aside. Needs\n"
            "the store for itself: stop what uses it.\n"
            "Exit code 0 when no damage is left, 4 when some is (a dry run: when there is\n"
            "any).\n"
            "\n" LSI_FINDING_JSON_HELP,
    .arguments_min = 0,
    .arguments_max = 0,
    .needs_store = true,
    .options = options,
    .run = run,
};
