/* Files into a stream. */
#include "file_taker.h"
#include "source_name.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BODY_BYTES_MAX ((size_t)1048576 - (sizeof(FILE_TAKER_KEY) - 1)) /* A record has 1 MiB, its key included. */

/* A file's body, which the caller frees. NULL: it is gone or no file, or `*reason` says why it is refused. */
static char *read_body(const char *path, size_t *size, char version[64], const char **reason)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);  /* Neither waits for a pipe's writer. */
    char *body = NULL;
    struct stat status;
    ssize_t got = 1;

    *size = 0;
    *reason = NULL;
    if (file < 0 && errno != ENOENT && errno != ELOOP && errno != ENXIO) /* gone; a symbolic link; a socket */
        *reason = strerror(errno);
    if (file < 0 || fstat(file, &status) != 0 || !S_ISREG(status.st_mode))
        goto done;
    source_version(&status, version);
    if (status.st_size > (off_t)BODY_BYTES_MAX) {
        *reason = "larger than a record may be, 1 MiB with its key";
        goto done;
    }
    body = malloc(BODY_BYTES_MAX);
    if (body == NULL)
        *reason = "no memory";
    while (body != NULL && got > 0 && *size < BODY_BYTES_MAX) {
        got = read(file, body + *size, BODY_BYTES_MAX - *size);
        *size += got > 0 ? (size_t)got : 0;
    }
    if (got < 0) {
        *reason = "it cannot be read";
        free(body);
        body = NULL;
    }
done:
    if (file >= 0)
        (void)close(file);
    return body;
}

/* What notes call a file: its path, without links, since other directories have files of this name. It need not be
 * UTF-8. */
static void note_name(const char *real, const char *name, char source[SOURCE_KEY_BYTES])
{
    char path[PATH_MAX + NAME_MAX + 2];

    (void)snprintf(path, sizeof(path), "%s/%s", real, name);
    source_key(path, source);
}

static int take(file_taker *taker, row_feed *feed, const char *real, const char *name)
{
    char path[PIPELINE_PATH_BYTES + NAME_MAX + 2], version[64] = "";
    char source[SOURCE_KEY_BYTES];
    const char *reason, *noted;
    int result = 0;
    size_t size;
    char *body;

    note_name(real, name, source);
    noted = feed_note(feed, source);
    (void)snprintf(path, sizeof(path), "%s/%s", taker->directory, name);
    body = read_body(path, &size, version, &reason);
    if (reason != NULL && (noted == NULL || strcmp(noted, version) != 0)) {
        (void)pipeline_fail("%s is refused: %s", path, reason);
        taker->refused++;
    } else if (body != NULL && (noted == NULL || strcmp(noted, version) != 0)) {
        if (feed_add(feed, (ls_bytes){FILE_TAKER_KEY, sizeof(FILE_TAKER_KEY) - 1}, (ls_bytes){body, size}) != LS_OK ||
            feed_step(feed, source, version) != 0)
            result = -1;
        taker->records += result == 0;
        if (!taker->quiet && result == 0)
            (void)printf("%s: %zu bytes\n", path, size);
    }
    free(body);
    return result;
}

/* That all that was to be dropped was taken, by this run or by one before. */
static int check_dropped(const file_taker *taker, const row_feed *feed, const char *real)
{
    uint64_t due = 0, came = 0;
    char name[32], source[SOURCE_KEY_BYTES];

    for (uint64_t number = 1; number <= taker->dropper->files; number++) {
        file_dropper_name(number, name);
        if (!watch_is_wanted(taker->suffix, name))
            continue;
        note_name(real, name, source);
        due++;
        came += feed_note(feed, source) != NULL;
    }
    if (came == due)
        return 0;
    return pipeline_fail("%" PRIu64 " of %" PRIu64 " made-up files have not come", due - came, due);
}

int file_taker_run(file_taker *taker, row_feed *feed)
{
    dir_watch *watch = watch_open(taker->directory, taker->suffix);
    file_dropper *dropper = taker->dropper;
    uint64_t last = pipeline_now_ns();
    char name[NAME_MAX + 1], real[PATH_MAX];
    bool is_last = false;
    int result = 0;

    if (watch == NULL || realpath(taker->directory, real) == NULL) {
        result = pipeline_fail("cannot watch %s: %s", taker->directory, strerror(errno));
        watch_close(watch);
        return result;
    }
    if (dropper != NULL && file_dropper_begin(dropper) != 0) {
        watch_close(watch);
        return -1;
    }
    while (result == 0 && !pipeline_interrupted) {
        bool dropping = dropper != NULL && !file_dropper_has_ended(dropper);
        int got = watch_next(watch, 20, name);

        if (got < 0) {
            result = pipeline_fail("cannot watch %s: %s", taker->directory, strerror(errno));
        } else if (got == 1) {
            result = take(taker, feed, real, name);
            last = pipeline_now_ns();
            is_last = false;
        } else if (dropper != NULL ? !dropping : taker->idle_s > 0 &&
                   (double)(pipeline_now_ns() - last) > taker->idle_s * 1e9) {
            if (is_last)
                break;  /* What was dropped by ourselves is told at once: nothing means all. */
            watch_look_now(watch);
            is_last = true;
        }
    }
    if (dropper != NULL && file_dropper_wait(dropper) != 0)
        result = -1;
    if (dropper != NULL && result == 0 && !pipeline_interrupted)
        result = check_dropped(taker, feed, real);
    watch_close(watch);
    if (taker->idle_s <= 0)
        pipeline_interrupted = 0;  /* The signal was the end that was asked for; another one ends what follows. */
    return result;
}
