/* Make and remove a temporary directory. */
#include "temporary.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

int temporary_make(const char *name, char path[TEMPORARY_PATH_BYTES])
{
    const char *parent = getenv("TMPDIR");
    int length;

    if (parent == NULL || *parent == 0)
        parent = "/var/tmp";
    length = snprintf(path, TEMPORARY_PATH_BYTES, "%s/%s-XXXXXX", parent, name);
    if (length < 0 || length >= TEMPORARY_PATH_BYTES) {
        path[0] = 0;
        errno = ENAMETOOLONG;
        return -1;
    }
    if (mkdtemp(path) == NULL) {
        path[0] = 0;
        return -1;
    }
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

int temporary_remove(const char *path)
{
    return path[0] == 0 ? 0 : nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
