/* A directory watched by inotify. The watch begins before the directory is listed, so that no file falls between. */
#include "watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

struct dir_watch {
    const char *path, *suffix;
    int events;
    DIR *listing;     /* while those are told that were there already */
    size_t at, size;  /* of what was read of `events` */
    _Alignas(struct inotify_event) char bytes[16384];
};

dir_watch *watch_open(const char *path, const char *suffix)
{
    dir_watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL)
        return NULL;
    watch->path = path;
    watch->suffix = suffix;
    watch->events = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->events >= 0 &&
        inotify_add_watch(watch->events, path, IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVE_SELF | IN_ONLYDIR) >=
            0 &&
        (watch->listing = opendir(path)) != NULL)
        return watch;
    watch_close(watch);
    return NULL;
}

void watch_close(dir_watch *watch)
{
    int kept = errno;

    if (watch == NULL)
        return;
    if (watch->listing != NULL)
        (void)closedir(watch->listing);
    if (watch->events >= 0)
        (void)close(watch->events);
    free(watch);
    errno = kept;
}

bool watch_is_wanted(const char *suffix, const char *name)
{
    size_t size = strlen(name), suffix_size = strlen(suffix);

    return size >= suffix_size && strcmp(name + size - suffix_size, suffix) == 0 && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* The directory is not kept open: of one that is, the system does not tell that it was removed. */
static int open_file(const dir_watch *watch, const char *name)
{
    char path[PATH_MAX];

    if ((size_t)snprintf(path, sizeof(path), "%s/%s", watch->path, name) >= sizeof(path))
        return -1;
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
}

/* Whether a name that was made just now is that of a whole file: a link, or one that nobody writes. One that is opened
 * for writing is told when that ends, and until then has no content or no lease for reading. A link whose other name is
 * gone already, of somebody else's file, for which there is no lease either, is missed. */
static bool is_whole(const dir_watch *watch, const char *name)
{
    int file = open_file(watch, name);
    struct stat status;
    bool is_it = file >= 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode) &&
                 (status.st_nlink > 1 ||
                  (status.st_size > 0 && fcntl(file, F_SETSIG, SIGURG) == 0 && /* Ignored, if somebody breaks it. */
                   fcntl(file, F_SETLEASE, F_RDLCK) == 0));

    if (file >= 0)
        (void)close(file);  /* The lease with it. */
    return is_it;
}

/* Whether somebody has a file open for writing: then it is told when that ends. On a network's file systems there may be
 * no leases though nobody writes. */
static bool is_being_written(const dir_watch *watch, const char *name)
{
    int file = open_file(watch, name);
    struct statfs where;
    struct stat status;
    bool is_it = file >= 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode) && fstatfs(file, &where) == 0 &&
                 where.f_type != NFS_SUPER_MAGIC && where.f_type != SMB_SUPER_MAGIC &&
                 where.f_type != CIFS_SUPER_MAGIC && where.f_type != SMB2_SUPER_MAGIC &&
                 fcntl(file, F_SETSIG, SIGURG) == 0 && fcntl(file, F_SETLEASE, F_RDLCK) != 0 && errno == EAGAIN;

    if (file >= 0)
        (void)close(file);  /* The lease with it. */
    return is_it;
}

/* 1: an event was taken that is one of a wanted file, or that began the listing anew; 0: there is none now. */
static int next_event(dir_watch *watch, char name[NAME_MAX + 1])
{
    for (;;) {
        const struct inotify_event *event;
        ssize_t got;

        if (watch->at == watch->size) {
            got = read(watch->events, watch->bytes, sizeof(watch->bytes));
            if (got < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -1;
            watch->at = 0;
            watch->size = (size_t)got;
        }
        event = (const struct inotify_event *)(const void *)(watch->bytes + watch->at);
        watch->at += sizeof(*event) + event->len;
        if (event->mask & IN_Q_OVERFLOW) {
            watch->listing = opendir(watch->path);
            name[0] = 0;
            return watch->listing == NULL ? -1 : 1;
        }
        if (event->mask & (IN_IGNORED | IN_MOVE_SELF)) {  /* The directory itself is gone. */
            errno = ENOENT;
            return -1;
        }
        if (event->len > 0 && !(event->mask & IN_ISDIR) && watch_is_wanted(watch->suffix, event->name) &&
            (!(event->mask & IN_CREATE) || is_whole(watch, event->name))) {
            (void)snprintf(name, NAME_MAX + 1, "%s", event->name);
            return 1;
        }
    }
}

int watch_next(dir_watch *watch, int timeout_ms, char name[NAME_MAX + 1])
{
    for (;;) {
        struct pollfd events = {.fd = watch->events, .events = POLLIN};
        struct dirent *entry;
        int got;

        while (watch->listing != NULL) {
            errno = 0;
            entry = readdir(watch->listing);
            if (entry == NULL) {
                int kept = errno;

                (void)closedir(watch->listing);
                watch->listing = NULL;
                errno = kept;
                if (kept != 0)
                    return -1;
            } else if (watch_is_wanted(watch->suffix, entry->d_name) && !is_being_written(watch, entry->d_name)) {
                (void)snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
                return 1;
            }
        }
        got = next_event(watch, name);
        if (got < 0)
            return -1;
        if (got == 1) {
            if (name[0] != 0)
                return 1;
            continue;
        }
        got = poll(&events, 1, timeout_ms);
        if (got <= 0)
            return got == 0 || errno == EINTR ? 0 : -1;
    }
}
