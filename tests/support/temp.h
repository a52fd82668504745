/* A directory of its own for a test, gone with everything in it afterwards.
 *
 *     temp_dir temp;
 *     temp_make(&temp);                       beneath $TMPDIR, or /tmp
 *     ls_store_open(temp_path(&temp, "store"), ...);
 *     temp_remove(&temp); */
#ifndef LST_TEMP_H
#define LST_TEMP_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEMP_PATH_BYTES 512

typedef struct temp_dir {
    char path[TEMP_PATH_BYTES];
    char made[TEMP_PATH_BYTES * 2]; /* what temp_path() answers */
} temp_dir;

static inline void temp_make(temp_dir *temp)
{
    const char *base = getenv("TMPDIR");

    if (base == NULL || base[0] == '\0')
        base = "/tmp";
    if (snprintf(temp->path, sizeof temp->path, "%s/libstream-test-XXXXXX", base) >= (int)sizeof temp->path ||
        mkdtemp(temp->path) == NULL) {
        perror("a temporary directory");
        abort();
    }
}

/* A path inside; a view, until the next call. */
static inline const char *temp_path(temp_dir *temp, const char *name)
{
    if (snprintf(temp->made, sizeof temp->made, "%s/%s", temp->path, name) >= (int)sizeof temp->made) {
        fprintf(stderr, "a temporary path is too long\n");
        abort();
    }
    return temp->made;
}

static inline int temp_remove_one(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about;
    (void)where;
    return kind == FTW_DP ? rmdir(path) : unlink(path);
}

static inline void temp_remove(temp_dir *temp)
{
    if (temp->path[0] != '\0')
        (void)nftw(temp->path, temp_remove_one, 16, FTW_DEPTH | FTW_PHYS); /* What stays harms no test. */
    temp->path[0] = '\0';
}

#endif
