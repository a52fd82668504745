/* Whose schema a file is. DIRECTORY/_NAME.schema has the name of its delivery, and not of the stream: two streams may
 * have deliveries of one name, and these one directory. Only one of them can have a schema then: a second one is
 * refused, and while there are two, neither takes the file along. Other stores are not looked at. */
#include "cli/cli.h"

#include <string.h>
#include <sys/stat.h>

bool lsi_is_same_directory(const char *one, const char *other)
{
    struct stat a, b;

    return strcmp(one, other) == 0 ||
           (stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

/* Whether the stream has a delivery of that name there. */
static ls_status has_one(ls_store *store, const char *stream_name, const char *name, const char *directory, bool *out)
{
    ls_delivery_options is = LS_DELIVERY_OPTIONS_INIT;
    ls_delivery_description *description = NULL;
    ls_stream *stream = NULL;
    ls_status st = ls_stream_open(store, stream_name, &stream);

    if (st == LS_OK)
        st = ls_delivery_describe(stream, name, &description);
    if (st == LS_OK)
        st = ls_delivery_description_options(description, &is);
    *out = st == LS_OK && is.directory != NULL && lsi_is_same_directory(is.directory, directory);
    ls_delivery_description_free(description);
    (void)ls_stream_close(stream); /* Nothing was opened of it. */
    return st == LS_ERR_NOT_FOUND ? LS_OK : st;
}

ls_status lsi_schema_sharer(ls_store *store, const char *stream, const char *name, const char *directory,
                            char out[LSI_NAME_BYTES])
{
    bool is_found = false, has_more = true;
    ls_status st = LS_OK;

    out[0] = '\0';
    while (st == LS_OK && has_more && !is_found) {
        ls_stream_list *page;

        st = ls_store_list_streams(store, out, 1000, &page);
        if (st != LS_OK)
            break;
        for (size_t i = 0; i < ls_stream_list_count(page) && st == LS_OK && !is_found; i++) {
            (void)snprintf(out, LSI_NAME_BYTES, "%s", ls_stream_list_at(page, i));
            if (strcmp(out, stream) != 0)
                st = has_one(store, out, name, directory, &is_found);
        }
        has_more = ls_stream_list_has_more(page) != 0;
        ls_stream_list_free(page);
    }
    if (!is_found)
        out[0] = '\0';
    return st;
}

int lsi_schema_drop(const lsi_call *call, ls_store *store, const char *stream, const char *name, const char *directory)
{
    char other[LSI_NAME_BYTES];
    ls_status st = lsi_schema_sharer(store, stream, name, directory, other);

    if (st != LS_OK)
        return lsi_failed(call, st);
    return other[0] != '\0' ? LSI_EXIT_OK : lsi_schema_remove(call, directory, name);
}
