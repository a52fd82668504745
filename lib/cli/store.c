/* Opening what a command works on, and saying why it cannot be opened. */
#include "cli/cli.h"

#include <string.h>

int lsi_open_store(const lsi_call *call, bool to_write, ls_store **out)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_status st;

    options.flags = LS_STORE_NO_CREATE | (call->network_fs ? LS_STORE_NETWORK_FS_ALLOWED : 0);
    options.log = call->log;
    options.log_user = (void *)(uintptr_t)call; /* only read */
    if (call->key_file != NULL) {
        options.key_callback = ls_key_from_file;
        options.key_user = (void *)(uintptr_t)call->key_file; /* only read */
    }
    st = ls_store_open(call->store, &options, out);
    /* CORRUPT: perhaps of the control file, which readers can do without; FULL: there is no room for it. */
    if ((st == LS_ERR_READ_ONLY || st == LS_ERR_CORRUPT || st == LS_ERR_FULL) && !to_write) {
        options.flags = LS_STORE_READ_ONLY | (call->network_fs ? LS_STORE_NETWORK_FS_ALLOWED : 0);
        st = ls_store_open(call->store, &options, out);
    }
    return st == LS_OK ? LSI_EXIT_OK : lsi_failed(call, st);
}

int lsi_open_stream(const lsi_call *call, const char *name, bool to_write, ls_store **store, ls_stream **stream)
{
    ls_status st;
    int code = lsi_open_store(call, to_write, store);

    if (code != LSI_EXIT_OK)
        return code;
    st = ls_stream_open(*store, name, stream);
    if (st != LS_OK) {
        code = lsi_failed(call, st);
        (void)ls_store_close(*store); /* The first failure is the one to tell. */
        *store = NULL;
    }
    return code;
}

int lsi_close_stream(const lsi_call *call, ls_stream *stream, ls_store *store, int code)
{
    ls_status st = ls_stream_close(stream);

    if (st != LS_OK && code == LSI_EXIT_OK)
        code = lsi_failed(call, st);
    st = ls_store_close(store);
    if (st != LS_OK && code == LSI_EXIT_OK)
        code = lsi_failed(call, st);
    return code;
}

static const struct {
    const char *word;
    ls_durability durability;
} durabilities[] = {
    {"sync", LS_DURABILITY_SYNC},
    {"interval", LS_DURABILITY_INTERVAL},
    {"kernel", LS_DURABILITY_KERNEL},
};

bool lsi_parse_durability(const char *text, ls_durability *out)
{
    for (size_t i = 0; i < sizeof(durabilities) / sizeof(durabilities[0]); i++)
        if (strcmp(durabilities[i].word, text) == 0) {
            *out = durabilities[i].durability;
            return true;
        }
    return false;
}

const char *lsi_durability_word(ls_durability durability)
{
    for (size_t i = 0; i < sizeof(durabilities) / sizeof(durabilities[0]); i++)
        if (durabilities[i].durability == durability)
            return durabilities[i].word;
    return "?";
}
