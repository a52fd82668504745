/* It is not synced: what is shown is written anew every few seconds, and a file that a power loss took is none that
 * anybody misses.
 *
 * The name beside it is the file's and ".new", always the same one, so that the next writer uses up what a killed one
 * left. Whoever has it locked writes it, and lets go only when it has another name. A writer that finds it taken, by
 * another one or by a file that is not its own, takes a name that nobody else has: two do not mix. */
#include "base/file_shown.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENDING ".new"
#define OWN_ENDING ".new-XXXXXX"
#define TRIES 3 /* each time another writer was done in between */

/* The file of that name, locked and empty; or -1: it is taken. */
static int open_shared(const char *path)
{
    struct stat is, named;
    int fd;

    for (int i = 0; i < TRIES; i++) {
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        if (fd < 0)
            return -1;
        if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &is) != 0 || !S_ISREG(is.st_mode) || is.st_nlink > 1 ||
            is.st_uid != geteuid())
            break;
        if (lstat(path, &named) == 0 && named.st_dev == is.st_dev && named.st_ino == is.st_ino) {
            if (ftruncate(fd, 0) == 0 && fchmod(fd, 0600) == 0)
                return fd;
            break;
        }
        (void)close(fd); /* It was shown meanwhile: it is not to be touched. */
        fd = -1;
    }
    if (fd >= 0)
        (void)close(fd); /* Nothing was written. */
    return -1;
}

int lsi_file_shown_begin(const lsi_memory *memory, const char *path, lsi_file_shown *out)
{
    size_t size = strlen(path);
    lsi_file_shown file = {.memory = memory, .path = path, .beside = lsi_alloc(memory, size + sizeof(OWN_ENDING))};
    int err;

    if (file.beside == NULL)
        return -ENOMEM;
    memcpy(file.beside, path, size);
    memcpy(file.beside + size, ENDING, sizeof(ENDING));
    file.fd = open_shared(file.beside);
    if (file.fd < 0) {
        memcpy(file.beside + size, OWN_ENDING, sizeof(OWN_ENDING));
        file.fd = mkostemp(file.beside, O_CLOEXEC);
    }
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
    int locked = dup(file->fd), err = 0; /* The lock is of both, until it has its name. */

    if (locked < 0)
        err = errno;
    if (is_whole && err == 0 && fchmod(file->fd, 0644) != 0)
        err = errno;
    if (close(file->fd) != 0 && err == 0)
        err = errno; /* A network's file system tells now what it could not write. */
    if (is_whole && err == 0 && rename(file->beside, file->path) != 0)
        err = errno;
    if (!is_whole || err != 0)
        (void)unlink(file->beside); /* it was ours alone, and there is nothing else to do about it */
    if (locked >= 0)
        (void)close(locked); /* What there was to tell, the other one has told. */
    lsi_free(file->memory, file->beside);
    return -err;
}
