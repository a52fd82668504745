/* lstream list: all names, page by page, each printed as its page comes. */
#include "cli/cli.h"

#include <string.h>

static int run(lsi_call *call)
{
    char after[256] = "";
    lsi_json_writer json;
    ls_store *store;
    bool more = true;
    int code = lsi_open_store(call, false, &store);

    if (code != LSI_EXIT_OK)
        return code;
    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_json_key(&json, "streams");
    lsi_json_array_open(&json);
    while (more && code == LSI_EXIT_OK && !lsi_out_broken()) {
        ls_stream_list *page;
        ls_status st = ls_store_list_streams(store, after, 1000, &page);

        if (st != LS_OK) {
            code = lsi_failed(call, st);
            break;
        }
        for (size_t i = 0; i < ls_stream_list_count(page); i++) {
            const char *name = ls_stream_list_at(page, i);

            if (call->json)
                lsi_json_string(&json, name);
            else
                lsi_out_text("%s\n", name);
            (void)snprintf(after, sizeof after, "%s", name); /* Names have at most 128 bytes. */
        }
        more = ls_stream_list_has_more(page) != 0;
        ls_stream_list_free(page);
    }
    lsi_json_array_close(&json);
    lsi_json_object_close(&json);
    if (call->json && code == LSI_EXIT_OK)
        code = lsi_out_json(call, &json, code);
    else
        lsi_json_free(&json);
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
