/* Delivered files. A directory is gone through by fts, which follows no links. Names that begin with a dot are files
 * that a delivery is writing, and a schema beside the files is none of them. */
#include "delivered.h"
#include "pipeline.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static bool is_schema(const FTSENT *entry)
{
    static const char ending[] = ".schema";
    size_t size = sizeof(ending) - 1;

    return entry->fts_namelen >= size && strcmp(entry->fts_name + entry->fts_namelen - size, ending) == 0;
}

static int read_file(const char *path, const char *shown, delivered_line seen, void *user)
{
    FILE *file = fopen(path, "r");
    size_t capacity = 0;
    char *line = NULL;
    int result = 0;
    ssize_t got;

    if (file == NULL)
        return pipeline_fail("cannot open %s: %s", path, strerror(errno));
    while (result == 0 && (got = getline(&line, &capacity, file)) > 0)
        result = seen(shown, line, (size_t)got - (line[got - 1] == '\n'), user);
    if (result == 0 && ferror(file))
        result = pipeline_fail("cannot read %s: %s", path, strerror(errno));
    free(line);
    (void)fclose(file);  /* Only read. */
    return result;
}

int delivered_read(const char *directory, delivered_line seen, void *user, size_t *files)
{
    char *const roots[] = {(char *)directory, NULL};  /* Not changed by fts. */
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    FTSENT *entry;
    int result = 0;

    *files = 0;
    if (tree == NULL)
        return pipeline_fail("cannot list %s: %s", directory, strerror(errno));
    while (result == 0 && (entry = fts_read(tree)) != NULL) {
        if (entry->fts_info == FTS_F && entry->fts_name[0] != '.' && !is_schema(entry)) {
            ++*files;
            result = read_file(entry->fts_path, entry->fts_path + strlen(directory) + 1, seen, user);
        } else if ((entry->fts_info == FTS_NS && entry->fts_errno != ENOENT) || entry->fts_info == FTS_ERR ||
                   entry->fts_info == FTS_DNR) {
            result = pipeline_fail("cannot list %s: %s", entry->fts_path, strerror(entry->fts_errno));
        }
    }
    (void)fts_close(tree);
    return result;
}
