/* It is not synced: what is shown is written anew every few seconds, and a file that a power loss took is none that
 * anybody misses. The name beside it is one that nobody else has, so two writers of one file do not mix. */
#include "base/file_shown.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENDING ".new-XXXXXX"

int lsi_file_shown_begin(const lsi_memory *memory, const char *path, lsi_file_shown *out)
{
    size_t size = strlen(path);
    lsi_file_shown file = {.memory = memory, .path = path, .beside = lsi_alloc(memory, size + sizeof(ENDING))};
    int err;

    if (file.beside == NULL)
        return -ENOMEM;
    memcpy(file.beside, path, size);
    memcpy(file.beside + size, ENDING, sizeof(ENDING));
    file.fd = mkostemp(file.beside, O_CLOEXEC);
    if (file.fd < 0) {
        err = errno;
        lsi_free(memory, file.beside);
        return -err;
    }
    *out = file;
    return 0;
}

int lsi_file_shown_write(lsi_file_shown *file, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size > 0) {
        ssize_t wrote = write(file->fd, at, size);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return -errno;
        at += wrote;
        size -= (size_t)wrote;
    }
    return 0;
}

int lsi_file_shown_end(lsi_file_shown *file, int is_whole)
{
    int err = 0;

    if (is_whole && fchmod(file->fd, 0644) != 0)
        err = errno;
    if (close(file->fd) != 0 && err == 0)
        err = errno; /* A network's file system tells now what it could not write. */
    if (is_whole && err == 0 && rename(file->beside, file->path) != 0)
        err = errno;
    if (!is_whole || err != 0)
        (void)unlink(file->beside); /* it was ours alone, and there is nothing else to do about it */
    lsi_free(file->memory, file->beside);
    return -err;
}
