/* Keeping originals (R4): what a repair replaces or removes is kept beside it, as NAME.damaged-1 or a higher number.
 * Only what must not be missing for a moment is copied; the rest is renamed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "storage/inspect.h"

#define COPY_BYTES (256u << 10)
#define KEPT_MAX 10000u
#define KEPT ".damaged-"

bool lsi_is_kept(const char *entry)
{
    const char *number = strstr(entry, KEPT);

    if (number == NULL)
        return false;
    number += sizeof KEPT - 1;
    return *number != '\0' && number[strspn(number, "0123456789")] == '\0';
}

typedef struct highest {
    const char *base; /* without the directory */
    unsigned long number;
} highest;

static int note_highest(void *user, const char *entry, bool is_dir)
{
    highest *of = user;
    size_t size = strlen(of->base);

    (void)is_dir;
    if (lsi_is_kept(entry) && strncmp(entry, of->base, size) == 0 &&
        strncmp(entry + size, KEPT, sizeof KEPT - 1) == 0) {
        unsigned long number = strtoul(entry + size + sizeof KEPT - 1, NULL, 10);

        of->number = number > of->number ? number : of->number;
    }
    return 0;
}

ls_status lsi_set_aside(const lsi_root *root, const char *dir, const char *name, char kept[LSI_KEPT_NAME_BYTES])
{
    const char *slash = strrchr(name, '/');
    highest of = {.base = slash != NULL ? slash + 1 : name};
    int rc = root->files->list(root, dir, note_highest, &of);

    (void)snprintf(kept, LSI_KEPT_NAME_BYTES, "%s" KEPT "%lu", name, of.number + 1);
    if (rc >= 0)
        rc = root->files->rename(root, name, kept);
    if (rc >= 0)
        rc = root->files->sync_dir(root, dir);
    return rc < 0 ? lsi_fail_errno(-rc, "setting %s aside as %s", name, kept) : LS_OK;
}

ls_status lsi_keep_aside(const lsi_env *env, const lsi_root *root, const char *dir, const char *name,
                         uint64_t bytes_max, char kept[LSI_KEPT_NAME_BYTES])
{
    const lsi_files *files = root->files;
    lsi_file from = {0}, to = {0};
    unsigned char *buffer = NULL;
    ls_status st = LS_OK;
    int rc = files->open(root, name, 0, &from);

    if (rc == -ENOENT)
        return lsi_fail(LS_ERR_NOT_FOUND, "%s is not there", name);
    if (lsi_file_misfit(rc) != NULL)
        return lsi_set_aside(root, dir, name, kept);
    if (rc < 0)
        return lsi_fail_errno(-rc, "opening %s", name);
    for (unsigned n = 1;; n++) {
        (void)snprintf(kept, LSI_KEPT_NAME_BYTES, "%s" KEPT "%u", name, n);
        rc = files->open(root, kept, LSI_OPEN_WRITE | LSI_OPEN_CREATE | LSI_OPEN_EXCLUSIVE, &to);
        if (rc != -EEXIST || n == KEPT_MAX)
            break;
    }
    if (rc < 0) {
        st = lsi_fail_errno(-rc, "keeping %s as %s", name, kept);
        goto out;
    }
    buffer = lsi_alloc(&env->memory, COPY_BYTES);
    if (buffer == NULL) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "keeping %s: no memory", name);
        goto out;
    }
    for (uint64_t at = 0; at < bytes_max && rc >= 0;) {
        size_t size = bytes_max - at < COPY_BYTES ? (size_t)(bytes_max - at) : COPY_BYTES;
        int64_t got = files->read(&from, buffer, size, at);

        if (got <= 0) {
            rc = (int)got;
            break;
        }
        rc = lsi_file_write_one(&to, buffer, (size_t)got, at);
        at += (uint64_t)got;
    }
    if (rc >= 0)
        rc = files->sync(&to, false);
    if (rc >= 0)
        rc = files->sync_dir(root, dir);
    if (rc < 0)
        st = lsi_fail_errno(-rc, "keeping %s as %s", name, kept);
out:
    lsi_free(&env->memory, buffer);
    if (lsi_file_is_open(&to)) {
        (void)files->close(&to); /* Synced, or it failed already. */
        if (st != LS_OK)
            (void)files->unlink(root, kept); /* Half a copy would be taken for the original. */
    }
    (void)files->close(&from); /* It was only read. */
    return st;
}
