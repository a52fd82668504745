/* Keeping originals (R4): what a repair replaces is kept beside it first, as NAME.damaged-1 or a higher number. */
#include <errno.h>
#include <stdio.h>

#include "base/status.h"
#include "storage/inspect.h"

#define COPY_BYTES (256u << 10)
#define KEPT_MAX 10000u

ls_status lsi_keep_aside(const lsi_env *env, const lsi_root *root, const char *dir, const char *name,
                         uint64_t bytes_max,
                         char kept[LSI_KEPT_NAME_BYTES])
{
    const lsi_files *files = root->files;
    lsi_file from = {0}, to = {0};
    unsigned char *buffer = NULL;
    ls_status st = LS_OK;
    int rc = files->open(root, name, 0, &from);

    if (rc == -ENOENT)
        return lsi_fail(LS_ERR_NOT_FOUND, "%s is not there", name);
    if (rc < 0)
        return lsi_fail_errno(-rc, "opening %s", name);
    for (unsigned n = 1;; n++) {
        (void)snprintf(kept, LSI_KEPT_NAME_BYTES, "%s.damaged-%u", name, n);
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
