/* lstream help: what there is, or one command's own help. */
#include "cli/cli.h"

#include <string.h>

static const struct {
    int code;
    const char *meaning;
} exit_codes[] = {
    {LSI_EXIT_OK, "done"},
    {LSI_EXIT_FAILED, "failed; put: some records were refused"},
    {LSI_EXIT_USAGE, "the command line cannot be meant"},
    {LSI_EXIT_NOT_FOUND, "no such store, stream, shard or file"},
    {LSI_EXIT_DAMAGE, "damage was found"},
    {LSI_EXIT_LATER, "busy, throttled or full: the same may succeed later"},
    {LSI_EXIT_STATE, "exists already, in use, read only or of another version"},
    {130, "ended by Ctrl+C (and 143 by SIGTERM)"},
};

static int print_json(const lsi_call *call)
{
    lsi_json_writer json;

    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_json_key(&json, "commands");
    lsi_json_array_open(&json);
    for (const lsi_command *const *c = lsi_commands; *c != NULL; c++) {
        lsi_json_object_open(&json);
        lsi_member_string(&json, "name", (*c)->name);
        lsi_member_string(&json, "arguments", (*c)->arguments);
        lsi_member_string(&json, "summary", (*c)->summary);
        lsi_json_object_close(&json);
    }
    lsi_json_array_close(&json);
    lsi_json_key(&json, "exit_codes");
    lsi_json_array_open(&json);
    for (size_t i = 0; i < sizeof(exit_codes) / sizeof(exit_codes[0]); i++) {
        lsi_json_object_open(&json);
        lsi_member_int(&json, "code", exit_codes[i].code);
        lsi_member_string(&json, "meaning", exit_codes[i].meaning);
        lsi_json_object_close(&json);
    }
    lsi_json_array_close(&json);
    lsi_json_object_close(&json);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

static int run(lsi_call *call)
{
    const char *meant;

    if (call->argument_count == 1) {
        for (const lsi_command *const *c = lsi_commands; *c != NULL; c++)
            if (strcmp((*c)->name, call->arguments[0]) == 0)
                return lsi_print_command_help(call, *c);
        meant = lsi_command_meant(call->arguments[0]);
        if (meant != NULL)
            return lsi_usage(call, "there is no command '%s'; did you mean '%s'?", call->arguments[0], meant);
        return lsi_usage(call, "there is no command '%s'", call->arguments[0]);
    }
    if (call->json)
        return print_json(call);
    lsi_out_text("Usage: lstream COMMAND ... [-s STORE] [OPTION...]\n\n"
                 "Durable, sharded, replayable streams in a directory, from the command line.\n\nCommands:\n");
    for (const lsi_command *const *c = lsi_commands; *c != NULL; c++) {
        char left[64];

        (void)snprintf(left, sizeof left, "%s %s", (*c)->name, (*c)->arguments);
        lsi_out_text("  %-23s %s\n", left, (*c)->summary);
    }
    lsi_out_text("\nThe store is the directory given by -s or --store, else by the environment\n"
                 "variable LIBSTREAM_STORE. `lstream COMMAND --help` says more; every command that\n"
                 "prints has --json. Messages go to standard error, results to standard output.\n\nExit codes:\n");
    for (size_t i = 0; i < sizeof(exit_codes) / sizeof(exit_codes[0]); i++)
        lsi_out_text("  %3d  %s\n", exit_codes[i].code, exit_codes[i].meaning);
    lsi_out_text("\nA first stream:\n"
                 "  export LIBSTREAM_STORE=/tmp/store\n"
                 "  lstream create words\n"
                 "  printf 'one\\ntwo\\n' | lstream put words --key demo\n"
                 "  lstream get words\n");
    return LSI_EXIT_OK;
}

const lsi_command lsi_command_help = {
    .name = "help",
    .summary = "Print this, or the help of one command",
    .arguments = "[COMMAND]",
    .help = "With --json: {\"commands\": [{\"name\", \"arguments\", \"summary\"}], \"exit_codes\":\n"
            "[{\"code\", \"meaning\"}]}; of one command: {\"name\", \"arguments\", \"summary\",\n"
            "\"help\", \"options\": [{\"name\", \"letter\", \"value\", \"help\"}]}, letter and value\n"
            "where there are such.\n",
    .arguments_min = 0,
    .arguments_max = 1,
    .run = run,
};
