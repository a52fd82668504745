/* A library for LD_PRELOAD: writes down every call that changes a file beneath one directory (H2's second witness).
 *
 *     H2_ROOT=DIRECTORY H2_LOG=FILE LD_PRELOAD=libh2_recorder.so program
 *
 * A lock is held over each call and its note, so that the notes are in the order of what they tell, whatever the
 * program's threads do; a sync alone runs without it, between two notes, so that writes beside it are seen as not
 * covered by it. Calls that fail are not noted: the program is given no faults. What a call is about is asked of the
 * kernel at that moment, so a descriptor may have come from anywhere; what has no name any more is passed over. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "harness/h2_notes.h"

#define PATH_BYTES 2048u

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_BYTES];
static int log_fd = -1;
static uint64_t syncs;

#define FIND(name, result, ...)                                                  \
    static result (*real_##name)(__VA_ARGS__);                                   \
    __attribute__((constructor)) static void find_##name(void)                   \
    {                                                                            \
        void *found = dlsym(RTLD_NEXT, #name);                                   \
                                                                                 \
        memcpy(&real_##name, &found, sizeof found);                              \
    }

FIND(write, ssize_t, int, const void *, size_t)
FIND(pwrite64, ssize_t, int, const void *, size_t, off_t)
FIND(pwritev64, ssize_t, int, const struct iovec *, int, off_t)
FIND(fsync, int, int)
FIND(fdatasync, int, int)
FIND(syncfs, int, int)
FIND(fallocate64, int, int, int, off_t, off_t)
FIND(ftruncate64, int, int, off_t)
FIND(rename, int, const char *, const char *)
FIND(renameat, int, int, const char *, int, const char *)
FIND(unlink, int, const char *)
FIND(unlinkat, int, int, const char *, int)
FIND(linkat, int, int, const char *, int, const char *, int)
FIND(mkdir, int, const char *, mode_t)
FIND(mkdirat, int, int, const char *, mode_t)
FIND(open64, int, const char *, int, ...)
FIND(openat64, int, int, const char *, int, ...)
FIND(mmap64, void *, void *, size_t, int, int, int, off_t)
FIND(syscall, long, long, ...)

__attribute__((constructor)) static void begin(void)
{
    const char *dir = getenv("H2_ROOT"), *log = getenv("H2_LOG");

    if (dir == NULL || log == NULL || real_open64 == NULL)
        return;
    (void)snprintf(root, sizeof root, "%s", dir);
    log_fd = real_open64(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0)
        abort();
}

/* ---- notes. Locks: mutex held. ---- */

static void put_whole(const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size > 0) {
        ssize_t put = real_write(log_fd, at, size);

        if (put <= 0)
            abort(); /* A log with a hole would accuse the library. */
        at += put;
        size -= (size_t)put;
    }
}

static void note(h2_note of, const char *path, const void *bytes)
{
    of.path_bytes = path != NULL ? (uint32_t)strlen(path) : 0;
    put_whole(&of, sizeof of);
    put_whole(path, of.path_bytes);
    put_whole(bytes, (size_t)of.bytes);
}

/* The part of a path that is beneath the root; NULL: it is not. */
static const char *beneath(const char *path)
{
    size_t size = strlen(root);

    if (log_fd < 0 || strncmp(path, root, size) != 0 || (path[size] != '/' && path[size] != '\0'))
        return NULL;
    return path + size + (path[size] == '/');
}

static const char *path_of(int fd, char into[PATH_BYTES])
{
    char link[64];
    ssize_t size;

    if (fd == AT_FDCWD)
        return getcwd(into, PATH_BYTES) != NULL ? into : NULL;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, into, PATH_BYTES - 1);
    if (size <= 0)
        return NULL;
    into[size] = '\0';
    return size > 10 && strcmp(into + size - 10, " (deleted)") == 0 ? NULL : into;
}

static const char *about_fd(int fd, char into[PATH_BYTES])
{
    return log_fd >= 0 && path_of(fd, into) != NULL ? beneath(into) : NULL;
}

static const char *about_name(int fd, const char *name, char into[PATH_BYTES])
{
    size_t size = 0;

    if (log_fd < 0)
        return NULL;
    if (name[0] != '/') {
        if (path_of(fd, into) == NULL)
            return NULL;
        size = strlen(into);
        into[size++] = '/';
    }
    (void)snprintf(into + size, PATH_BYTES - size, "%s", name);
    return beneath(into);
}

__attribute__((visibility("default"))) void h2_recorder_note(const h2_note *of)
{
    pthread_mutex_lock(&mutex);
    if (log_fd >= 0)
        note(*of, NULL, NULL);
    pthread_mutex_unlock(&mutex);
}

/* ---- calls ---- */

/* What the call is about is found before it, under its name of then; noted is what succeeded. */
#define AROUND(find, call, succeeded, ...)            \
    char at_path[PATH_BYTES];                         \
    const char *path;                                 \
    pthread_mutex_lock(&mutex);                       \
    path = (find);                                    \
    __typeof__(call) result = (call);                 \
    int before = errno;                               \
    if ((succeeded) && path != NULL)                  \
        __VA_ARGS__;                                  \
    pthread_mutex_unlock(&mutex);                     \
    errno = before;                                   \
    return result

#define OURS __attribute__((visibility("default")))

OURS ssize_t write(int fd, const void *bytes, size_t size)
{
    off_t at = log_fd >= 0 && fd != log_fd ? lseek(fd, 0, SEEK_CUR) : 0; /* Files of ours are not shared by threads. */

    AROUND(about_fd(fd, at_path), real_write(fd, bytes, size), result > 0,
           note((h2_note){.kind = H2_WRITE, .bytes = (uint64_t)result, .at = (uint64_t)at}, path, bytes));
}

OURS ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at)
{
    AROUND(about_fd(fd, at_path), real_pwrite64(fd, bytes, size, at), result > 0,
           note((h2_note){.kind = H2_WRITE, .bytes = (uint64_t)result, .at = (uint64_t)at}, path, bytes));
}

static void note_vector(const char *path, const struct iovec *parts, int count, size_t size, off_t at)
{
    for (int i = 0; i < count && size > 0; i++) {
        size_t part = parts[i].iov_len < size ? parts[i].iov_len : size;

        if (part > 0)
            note((h2_note){.kind = H2_WRITE, .bytes = part, .at = (uint64_t)at}, path, parts[i].iov_base);
        size -= part;
        at += (off_t)part;
    }
}

OURS ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at)
{
    AROUND(about_fd(fd, at_path), real_pwritev64(fd, parts, count, at), result > 0,
           note_vector(path, parts, count, (size_t)result, at));
}

static int sync_between(int fd, int (*call)(int fd), h2_kind kind)
{
    char at_path[PATH_BYTES];
    const char *path;
    uint64_t id;
    int result, before;

    pthread_mutex_lock(&mutex);
    path = about_fd(fd, at_path);
    id = ++syncs;
    if (path != NULL)
        note((h2_note){.kind = H2_SYNC_BEGINS, .id = id}, NULL, NULL);
    pthread_mutex_unlock(&mutex);
    result = call(fd);
    before = errno;
    pthread_mutex_lock(&mutex);
    if (path != NULL)
        path = about_fd(fd, at_path); /* It may have another name by now. */
    if (result == 0 && path != NULL)
        note((h2_note){.kind = kind, .id = id}, path, NULL);
    pthread_mutex_unlock(&mutex);
    errno = before;
    return result;
}

OURS int fsync(int fd)
{
    return sync_between(fd, real_fsync, H2_SYNC);
}

OURS int fdatasync(int fd)
{
    return sync_between(fd, real_fdatasync, H2_SYNC);
}

OURS int syncfs(int fd)
{
    return sync_between(fd, real_syncfs, H2_SYNC_ALL);
}

OURS int fallocate64(int fd, int mode, off_t at, off_t size)
{
    AROUND(about_fd(fd, at_path), real_fallocate64(fd, mode, at, size), result == 0,
           note((h2_note){.kind = H2_ALLOCATE, .at = (uint64_t)at, .number = (uint64_t)size, .id = (uint64_t)mode},
                path, NULL));
}

OURS int ftruncate64(int fd, off_t size)
{
    AROUND(about_fd(fd, at_path), real_ftruncate64(fd, size), result == 0,
           note((h2_note){.kind = H2_TRUNCATE, .at = (uint64_t)size}, path, NULL));
}

static void note_rename(const char *from, int to_fd, const char *to)
{
    char to_path[PATH_BYTES];
    const char *path = about_name(to_fd, to, to_path);

    if (path == NULL)
        abort(); /* Nothing is moved out of a store. */
    note((h2_note){.kind = H2_RENAME, .bytes = strlen(path)}, from, path);
}

OURS int rename(const char *from, const char *to)
{
    AROUND(about_name(AT_FDCWD, from, at_path), real_rename(from, to), result == 0, note_rename(path, AT_FDCWD, to));
}

OURS int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    AROUND(about_name(from_fd, from, at_path), real_renameat(from_fd, from, to_fd, to), result == 0,
           note_rename(path, to_fd, to));
}

OURS int unlink(const char *name)
{
    AROUND(about_name(AT_FDCWD, name, at_path), real_unlink(name), result == 0,
           note((h2_note){.kind = H2_UNLINK}, path, NULL));
}

OURS int unlinkat(int fd, const char *name, int flags)
{
    AROUND(about_name(fd, name, at_path), real_unlinkat(fd, name, flags), result == 0,
           note((h2_note){.kind = (flags & AT_REMOVEDIR) != 0 ? H2_REMOVE_DIR : H2_UNLINK}, path, NULL));
}

OURS int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    AROUND(about_name(to_fd, to, at_path), real_linkat(from_fd, from, to_fd, to, flags), result == 0,
           note((h2_note){.kind = H2_LINK}, path, NULL));
}

OURS int mkdir(const char *name, mode_t mode)
{
    AROUND(about_name(AT_FDCWD, name, at_path), real_mkdir(name, mode), result == 0,
           note((h2_note){.kind = H2_MAKE_DIR}, path, NULL));
}

OURS int mkdirat(int fd, const char *name, mode_t mode)
{
    AROUND(about_name(fd, name, at_path), real_mkdirat(fd, name, mode), result == 0,
           note((h2_note){.kind = H2_MAKE_DIR}, path, NULL));
}

static bool takes_mode(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

static void note_create(const char *path, uint64_t flags)
{
    if ((flags & O_CREAT) != 0 && (flags & O_TMPFILE) != O_TMPFILE)
        note((h2_note){.kind = H2_CREATE, .number = flags}, path, NULL);
    if ((flags & O_TRUNC) != 0)
        note((h2_note){.kind = H2_TRUNCATE}, path, NULL);
}

OURS int open64(const char *name, int flags, ...)
{
    va_list more;
    mode_t mode;

    va_start(more, flags);
    mode = takes_mode(flags) ? va_arg(more, mode_t) : 0;
    va_end(more);
    AROUND(about_name(AT_FDCWD, name, at_path), real_open64(name, flags, mode), result >= 0,
           note_create(path, (uint64_t)flags));
}

OURS int openat64(int fd, const char *name, int flags, ...)
{
    va_list more;
    mode_t mode;

    va_start(more, flags);
    mode = takes_mode(flags) ? va_arg(more, mode_t) : 0;
    va_end(more);
    AROUND(about_name(fd, name, at_path), real_openat64(fd, name, flags, mode), result >= 0,
           note_create(path, (uint64_t)flags));
}

OURS void *mmap64(void *want, size_t size, int how, int flags, int fd, off_t at)
{
    if (log_fd < 0 || fd < 0 || (how & PROT_WRITE) == 0 || (flags & MAP_SHARED) == 0)
        return real_mmap64(want, size, how, flags, fd, at);
    AROUND(about_fd(fd, at_path), real_mmap64(want, size, how, flags, fd, at), result != MAP_FAILED,
           note((h2_note){.kind = H2_MAP}, path, NULL));
}

/* openat2() and renameat2() have no other wrapper; everything else goes through as it is. */
OURS long syscall(long number, ...)
{
    long of[6];
    va_list more;

    va_start(more, number);
    for (int i = 0; i < 6; i++)
        of[i] = va_arg(more, long);
    va_end(more);
    if (number == SYS_openat2) {
        const struct open_how *how = (const struct open_how *)of[2];
        const char *name = (const char *)of[1];
        int fd = (int)of[0];

        AROUND(about_name(fd, name, at_path), real_syscall(number, of[0], of[1], of[2], of[3]), result >= 0,
               note_create(path, how->flags));
    }
    if (number == SYS_renameat2) {
        const char *from = (const char *)of[1], *to = (const char *)of[3];
        int from_fd = (int)of[0], to_fd = (int)of[2];

        AROUND(about_name(from_fd, from, at_path), real_syscall(number, of[0], of[1], of[2], of[3], of[4]),
               result == 0, note_rename(path, to_fd, to));
    }
    return real_syscall(number, of[0], of[1], of[2], of[3], of[4], of[5]);
}
