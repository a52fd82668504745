/* A directory watched by inotify. The watch begins before the directory is listed, so that no file falls between. */
#include "pipeline.h"
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

/* Between two looks at a file that is written: twice as long each time, up to the second one. */
#define LOOK_LEAST_NS (UINT64_C(100) * 1000000)
#define LOOK_MOST_NS (UINT64_C(1000) * 1000000)

/* A name that was passed over because the file was open for writing. Of one that was linked then, as a file of
 * O_TMPFILE is, it is not told under this name when it is closed. */
struct passed {
    struct passed *next;
    uint64_t due_ns, wait_ns;
    char name[];
};

struct dir_watch {
    const char *path, *suffix;
    int events;
    DIR *listing;     /* while those are told that were there already */
    struct passed *passed;
    uint64_t soonest_ns; /* when the first of them is due; not later */
    size_t at, size;  /* of what was read of `events` */
    _Alignas(struct inotify_event) char bytes[16384];
};

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

enum about {
    NO_FILE,  /* or one that cannot be opened */
    WHOLE,    /* nobody has it open for writing */
    WRITTEN,  /* somebody has */
    UNKNOWN   /* there is no lease of it: it is somebody else's, or lies on a network's file system */
};

/* A file that is open for writing has no lease for reading. On a network's file systems there may be none though nobody
 * writes. */
static enum about look_at(const dir_watch *watch, const char *name, struct stat *status)
{
    int file = open_file(watch, name);
    enum about about = NO_FILE;
    struct statfs where;

    if (file >= 0 && fstat(file, status) == 0 && S_ISREG(status->st_mode) && fstatfs(file, &where) == 0) {
        if (fcntl(file, F_SETSIG, SIGURG) == 0 && fcntl(file, F_SETLEASE, F_RDLCK) == 0) /* Ignored, if it is broken. */
            about = WHOLE;
        else if (errno == EAGAIN && where.f_type != NFS_SUPER_MAGIC && where.f_type != SMB_SUPER_MAGIC &&
                 where.f_type != CIFS_SUPER_MAGIC && where.f_type != SMB2_SUPER_MAGIC)
            about = WRITTEN;
        else
            about = UNKNOWN;
    }
    if (file >= 0)
        (void)close(file);  /* The lease with it. */
    return about;
}

/* ---- files that are passed over because they are written ---- */

static int remember(dir_watch *watch, const char *name)
{
    size_t size = strlen(name) + 1;
    struct passed *passed, **end = &watch->passed;

    for (; *end != NULL; end = &(*end)->next)
        if (strcmp((*end)->name, name) == 0)
            return 0;
    passed = malloc(sizeof(*passed) + size);
    if (passed == NULL)
        return -1;
    memcpy(passed->name, name, size);
    passed->next = NULL;
    passed->wait_ns = LOOK_LEAST_NS;
    passed->due_ns = pipeline_now_ns() + passed->wait_ns;
    *end = passed;
    if (watch->passed == passed || passed->due_ns < watch->soonest_ns)
        watch->soonest_ns = passed->due_ns;
    return 0;
}

static void drop_passed(struct passed **at)
{
    struct passed *passed = *at;

    *at = passed->next;
    free(passed);
}

static void forget(dir_watch *watch, const char *name)
{
    for (struct passed **at = &watch->passed; *at != NULL; at = &(*at)->next)
        if (strcmp((*at)->name, name) == 0) {
            drop_passed(at);
            return;
        }
}

/* 1: one of those whose turn it is became whole; 0: none. */
static int look_again(dir_watch *watch, char name[NAME_MAX + 1])
{
    uint64_t now = pipeline_now_ns(), soonest = UINT64_MAX;
    struct passed **at = &watch->passed;

    while (*at != NULL && now >= watch->soonest_ns) {
        struct passed *passed = *at;
        struct stat status;
        enum about about = passed->due_ns > now ? WRITTEN : look_at(watch, passed->name, &status);

        if (about == WRITTEN) {
            if (passed->due_ns <= now) {
                passed->wait_ns = passed->wait_ns * 2 < LOOK_MOST_NS ? passed->wait_ns * 2 : LOOK_MOST_NS;
                passed->due_ns = now + passed->wait_ns;
            }
            soonest = passed->due_ns < soonest ? passed->due_ns : soonest;
            at = &passed->next;
            continue;
        }
        (void)snprintf(name, NAME_MAX + 1, "%s", passed->name);
        drop_passed(at);
        if (about == WHOLE)
            return 1;  /* The others in the next call: `soonest_ns` is as it was. */
    }
    if (now >= watch->soonest_ns)
        watch->soonest_ns = soonest;
    return 0;
}

/* ---- the watch ---- */

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
    while (watch->passed != NULL)
        drop_passed(&watch->passed);
    free(watch);
    errno = kept;
}

void watch_look_now(dir_watch *watch)
{
    for (struct passed *passed = watch->passed; passed != NULL; passed = passed->next)
        passed->due_ns = 0;
    watch->soonest_ns = 0;
}

/* ---- what is told ---- */

/* A name that was made just now: 1 if it is told. A file that somebody opens to make it may have no writer yet, and has
 * no content. Without a lease a link is whole, and what is written is told when it is closed; a link whose other name
 * is gone already is missed then. */
static int is_told(dir_watch *watch, const char *name)
{
    struct stat status;

    switch (look_at(watch, name, &status)) {
    case WHOLE: return status.st_size > 0 || status.st_nlink > 1 ? 1 : remember(watch, name);
    case WRITTEN: return remember(watch, name);
    case UNKNOWN: return status.st_nlink > 1;
    default: return 0;
    }
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
        if (event->len == 0 || event->mask & IN_ISDIR || !watch_is_wanted(watch->suffix, event->name))
            continue;
        if (event->mask & IN_CREATE) {
            int told = is_told(watch, event->name);

            if (told < 0)
                return -1;
            if (told == 0)
                continue;
        }
        forget(watch, event->name);
        (void)snprintf(name, NAME_MAX + 1, "%s", event->name);
        return 1;
    }
}

/* 1: the next of those that were there already. */
static int next_listed(dir_watch *watch, char name[NAME_MAX + 1])
{
    struct dirent *entry;
    struct stat status;
    int kept;

    while (errno = 0, (entry = readdir(watch->listing)) != NULL) {
        if (!watch_is_wanted(watch->suffix, entry->d_name))
            continue;
        if (look_at(watch, entry->d_name, &status) != WRITTEN) {
            (void)snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
            return 1;
        }
        if (remember(watch, entry->d_name) != 0)
            return -1;
    }
    kept = errno;
    (void)closedir(watch->listing);
    watch->listing = NULL;
    errno = kept;
    return kept == 0 ? 0 : -1;
}

int watch_next(dir_watch *watch, int timeout_ms, char name[NAME_MAX + 1])
{
    uint64_t end = pipeline_now_ns() + (uint64_t)timeout_ms * 1000000;

    for (;;) {
        struct pollfd events = {.fd = watch->events, .events = POLLIN};
        int got = watch->listing == NULL ? 0 : next_listed(watch, name);
        uint64_t now, until;

        if (got == 0)
            got = look_again(watch, name);
        if (got != 0)
            return got;
        got = next_event(watch, name);
        if (got < 0 || (got == 1 && name[0] != 0))
            return got;
        if (got == 1)
            continue;
        now = pipeline_now_ns();
        if (now >= end)
            return 0;
        until = watch->passed != NULL && watch->soonest_ns < end ? watch->soonest_ns : end;
        if (poll(&events, 1, until > now ? (int)((until - now) / 1000000) + 1 : 0) < 0)
            return errno == EINTR ? 0 : -1;
    }
}
