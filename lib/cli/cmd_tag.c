/* lstream tag: what a stream is labelled with. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#define TAGS_MAX 50

enum { REMOVE };
static const lsi_option options[] = {
    [REMOVE] = {"remove", LSI_OPTION_FLAG, NULL, "Remove the tags whose keys follow the name.", 0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

/* Cuts the arguments in two, each at its first '='; in place, for they are this process's own. */
static int add(lsi_call *call, ls_stream *stream)
{
    ls_tag tags[TAGS_MAX];
    uint32_t count = 0;
    ls_status st;

    for (int i = 1; i < call->argument_count; i++) {
        char *value = strchr(call->arguments[i], '=');

        *value = '\0'; /* There is one: run() looked. */
        tags[count++] = (ls_tag){call->arguments[i], value + 1};
    }
    st = ls_stream_add_tags(stream, tags, count);
    return st == LS_OK ? LSI_EXIT_OK : lsi_failed(call, st);
}

static int take_away(const lsi_call *call, ls_stream *stream)
{
    const char *keys[TAGS_MAX];
    uint32_t count = 0;
    ls_status st;

    for (int i = 1; i < call->argument_count; i++)
        keys[count++] = call->arguments[i];
    st = ls_stream_remove_tags(stream, keys, count);
    return st == LS_OK ? LSI_EXIT_OK : lsi_failed(call, st);
}

static int show(const lsi_call *call, ls_stream *stream)
{
    ls_tag_list *list;
    ls_status st = ls_stream_list_tags(stream, NULL, 0, &list);
    lsi_json_writer json;

    if (st != LS_OK)
        return lsi_failed(call, st);
    if (call->json) {
        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        lsi_json_key(&json, "tags");
        lsi_json_object_open(&json);
    }
    for (uint32_t i = 0; i < ls_tag_list_count(list); i++) {
        ls_tag tag = ls_tag_list_at(list, i);

        if (call->json) {
            lsi_json_key(&json, tag.key);
            lsi_json_string(&json, tag.value);
        } else {
            lsi_out_text("%s=%s\n", tag.key, tag.value);
        }
    }
    ls_tag_list_free(list);
    if (!call->json)
        return LSI_EXIT_OK;
    lsi_json_object_close(&json);
    lsi_json_object_close(&json);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

static int run(lsi_call *call)
{
    bool changes = call->argument_count > 1, removes = call->values[REMOVE].given;
    ls_stream *stream;
    ls_store *store;
    int code;

    if (removes && !changes)
        return lsi_usage(call, "which tags? Say their keys after the name");
    for (int i = 1; i < call->argument_count && !removes; i++)
        if (strchr(call->arguments[i], '=') == NULL)
            return lsi_usage(call, "'%s' is no tag: it is KEY=VALUE", call->arguments[i]);
    code = lsi_open_stream(call, call->arguments[0], changes, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    if (changes)
        code = removes ? take_away(call, stream) : add(call, stream);
    if (code == LSI_EXIT_OK)
        code = show(call, stream);
    return lsi_close_stream(call, stream, store, code);
}

const lsi_command lsi_command_tag = {
    .name = "tag",
    .summary = "Show, add or remove a stream's tags",
    .arguments = "NAME [KEY=VALUE...]",
    .help = "A tag replaces the one with its key. A key has 1 to 128 characters and a value\n"
            "up to 256: letters, digits, spaces and _ . : / = + - @, no = in the key. Prints\n"
            "the tags that there are then, a line each; with --json: {\"tags\": {KEY: VALUE}}.\n",
    .arguments_min = 1,
    .arguments_max = 1 + TAGS_MAX,
    .needs_store = true,
    .options = options,
    .run = run,
};
