/* lstream list: all names, page by page, each printed as its page comes. */
#include "cli/cli.h"

#include <string.h>

static ls_status each_stream(void *store, lsi_json_writer *json)
{
    char after[256] = "";
    bool more = true;
    ls_status st = LS_OK;

    while (more && !lsi_out_broken()) {
        ls_stream_list *page;

        st = ls_store_list_streams(store, after, 1000, &page);
        if (st != LS_OK)
            break;
        for (size_t i = 0; i < ls_stream_list_count(page); i++) {
            const char *name = ls_stream_list_at(page, i);

            if (json != NULL)
                lsi_json_string(json, name);
            else
                lsi_out_text("%s\n", name);
            (void)snprintf(after, sizeof after, "%s", name); /* Names have at most 128 bytes. */
        }
        more = ls_stream_list_has_more(page) != 0;
        ls_stream_list_free(page);
    }
    return st;
}

static int run(lsi_call *call)
{
    ls_store *store;
    int code = lsi_open_store(call, false, &store);

    if (code != LSI_EXIT_OK)
        return code;
    code = lsi_out_list(call, "streams", NULL, each_stream, store);
    return lsi_close_stream(call, NULL, store, code);
}

const lsi_command lsi_command_list = {
    .name = "list",
    .summary = "List the store's streams",
    .arguments = "",
    .help = "One name per line, in byte order. With --json: {\"streams\": [NAME, ...]}.\n",
    .arguments_min = 0,
    .arguments_max = 0,
    .needs_store = true,
    .run = run,
};
