/* A delivery's schema: a JSON Schema that the template gives, as a file beside the delivered ones, for whoever reads
 * these: DIRECTORY/_NAME.schema, one line. It appears whole, by a rename, and is durable then. That it is there is all
 * that is known of it: a file of that name is the delivery's, and goes where that goes.
 *
 * Objects of JSON are read as `*.json` and the like, or as all of a directory but for what begins with an underscore or
 * a point: its name is such that it is not taken for one of them. */
#include "cli/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES_MAX (INT64_C(64) << 20) /* A template is of 16 MiB at most; written, a byte of a text may become six. */

/* ---- its text ---- */

static void write_opening(lsi_json_writer *to, const lsi_node *node)
{
    if (node->key != NULL && node->above->kind == LSI_JSON_OBJECT_OPEN)
        lsi_json_key(to, node->key);
    switch (node->kind) {
    case LSI_JSON_OBJECT_OPEN:
        lsi_json_object_open(to);
        break;
    case LSI_JSON_ARRAY_OPEN:
        lsi_json_array_open(to);
        break;
    case LSI_JSON_STRING:
        lsi_json_string(to, node->text);
        break;
    default: /* null, true, false and numbers stay as they are written */
        lsi_json_raw(to, node->text, strlen(node->text));
    }
}

static void write_closing(lsi_json_writer *to, const lsi_node *node)
{
    if (node->kind == LSI_JSON_OBJECT_OPEN)
        lsi_json_object_close(to);
    else if (node->kind == LSI_JSON_ARRAY_OPEN)
        lsi_json_array_close(to);
}

/* The object `schema`, which is the member of another, alone. */
static void write_tree(lsi_json_writer *to, const lsi_node *schema)
{
    const lsi_node *node = schema->first;

    lsi_json_object_open(to);
    while (node != NULL && node != schema) {
        write_opening(to, node);
        if (node->first != NULL) {
            node = node->first;
            continue;
        }
        write_closing(to, node);
        while (node != schema && node->next == NULL) {
            node = node->above;
            write_closing(to, node);
        }
        if (node != schema)
            node = node->next;
    }
    if (schema->first == NULL)
        lsi_json_object_close(to);
}

/* ---- whether it could be done ---- */

/* "DIRECTORY/_NAME.schema" and `end`; free it. NULL: no memory. */
static char *path_of(const char *directory, const char *name, const char *end)
{
    size_t size = strlen(directory) + strlen(name) + strlen(end) + sizeof "/_.schema";
    char *path = malloc(size);

    if (path != NULL)
        (void)snprintf(path, size, "%s/_%s.schema%s", directory, name, end);
    return path;
}

/* The directory above; free it. NULL: no memory. */
static char *above_of(const char *directory)
{
    size_t size = strlen(directory);
    char *above;

    while (size > 1 && directory[size - 1] == '/')
        size--;
    while (size > 0 && directory[size - 1] != '/')
        size--;
    while (size > 1 && directory[size - 1] == '/')
        size--;
    above = malloc(size + sizeof ".");
    if (above != NULL)
        (void)snprintf(above, size + sizeof ".", "%.*s", size != 0 ? (int)size : 1, size != 0 ? directory : ".");
    return above;
}

static int access_trouble(const char *path, int how)
{
    return faccessat(AT_FDCWD, path, how, AT_EACCESS) != 0 ? errno : 0;
}

static int directory_trouble(const char *directory)
{
    struct stat is;

    return stat(directory, &is) != 0 ? errno : !S_ISDIR(is.st_mode) ? ENOTDIR : access_trouble(directory, W_OK | X_OK);
}

/* Nothing is at the path of the directory; or it is a link to nothing, where none can be made. */
static int make_trouble(const char *directory)
{
    struct stat is;
    char *above = above_of(directory);
    int err = above == NULL ? ENOMEM : lstat(directory, &is) == 0 ? ENOENT : directory_trouble(above);

    free(above);
    return err;
}

/* Of the two files, in a directory that is there. */
static int files_trouble(const char *path, const char *beside)
{
    struct stat is;

    if (lstat(path, &is) == 0 && S_ISDIR(is.st_mode))
        return EISDIR;
    if (lstat(beside, &is) != 0)
        return 0;
    return S_ISLNK(is.st_mode) ? ELOOP : !S_ISREG(is.st_mode) ? EEXIST : access_trouble(beside, W_OK);
}

int lsi_schema_write_trouble(const char *directory, const char *name)
{
    char *path = path_of(directory, name, ""), *beside = path_of(directory, name, ".new");
    struct stat is;
    int err;

    if (path == NULL || beside == NULL)
        err = ENOMEM;
    else if (stat(directory, &is) != 0)
        err = errno == ENOENT ? make_trouble(directory) : errno;
    else if ((err = directory_trouble(directory)) == 0 && (err = access_trouble(directory, R_OK)) == 0)
        err = files_trouble(path, beside);
    free(path);
    free(beside);
    return err;
}

int lsi_schema_move_trouble(const char *from, const char *to, const char *name)
{
    char *path = path_of(from, name, "");
    struct stat is;
    int err = path == NULL ? ENOMEM : 0;

    if (err == 0 && !lsi_is_same_directory(from, to) && lstat(path, &is) == 0) {
        err = S_ISLNK(is.st_mode) ? ELOOP
            : !S_ISREG(is.st_mode) || is.st_size > BYTES_MAX ? EFBIG : access_trouble(path, R_OK);
        if (err == 0)
            err = lsi_schema_remove_trouble(from, name);
        if (err == 0)
            err = lsi_schema_write_trouble(to, name);
    }
    free(path);
    return err;
}

int lsi_schema_remove_trouble(const char *directory, const char *name)
{
    char *path = path_of(directory, name, "");
    struct stat is;
    int err = path == NULL ? ENOMEM
        : lstat(path, &is) != 0 ? (errno != ENOENT && errno != ENOTDIR ? errno : 0)
        : S_ISDIR(is.st_mode) ? EISDIR : access_trouble(directory, W_OK | X_OK);

    free(path);
    return err;
}

/* ---- the file ---- */

/* The object's text and a line feed; free it. NULL: no memory. */
static char *text_of(const lsi_node *schema, size_t *size)
{
    lsi_json_writer json;
    char *text = NULL;

    lsi_json_begin(&json, &lsi_memory_libc);
    write_tree(&json, schema);
    if (!json.failed)
        text = malloc(json.size + 1);
    if (text != NULL) {
        memcpy(text, json.text, json.size);
        text[json.size] = '\n';
        *size = json.size + 1;
    }
    lsi_json_free(&json);
    return text;
}

/* 0 or an errno. `*text`: free it. */
static int read_all(const char *path, char **text, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), err = 0;
    struct stat is;

    *text = NULL;
    *size = 0;
    if (fd < 0)
        return errno;
    if (fstat(fd, &is) != 0)
        err = errno;
    else if (!S_ISREG(is.st_mode) || is.st_size > BYTES_MAX)
        err = EFBIG; /* It is none that was written here. */
    else if ((*text = malloc((size_t)is.st_size + 1)) == NULL)
        err = ENOMEM;
    while (err == 0 && *size < (size_t)is.st_size) {
        ssize_t got = read(fd, *text + *size, (size_t)is.st_size - *size);

        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            err = errno;
        *size += got > 0 ? (size_t)got : 0;
    }
    (void)close(fd); /* It was only read. */
    return err;
}

bool lsi_schema_is(const char *directory, const char *name, const lsi_node *schema)
{
    size_t size = 0, found_size = 0;
    char *path = path_of(directory, name, ""), *text = text_of(schema, &size), *found = NULL;
    bool is_same = path != NULL && text != NULL && read_all(path, &found, &found_size) == 0 && found_size == size &&
        memcmp(found, text, size) == 0;

    free(found);
    free(text);
    free(path);
    return is_same;
}

static int write_all(int fd, const char *text, size_t size)
{
    while (size != 0) {
        ssize_t got = write(fd, text, size);

        if (got < 0 && errno != EINTR)
            return errno;
        text += got > 0 ? got : 0;
        size -= got > 0 ? (size_t)got : 0;
    }
    return 0;
}

/* 0 or an errno. While it is there it is locked: two runs do not write into one file, nor is one moved that is half
 * written; what a killed one left is written over. */
static int open_beside(const char *beside, int *out)
{
    struct stat is, there;

    for (;;) {
        int fd = open(beside, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644), err = 0;

        if (fd < 0)
            return errno;
        while (flock(fd, LOCK_EX) != 0 && errno == EINTR)
            ; /* Where there are no locks, as on some networks' file systems, nobody is kept away. */
        if (fstat(fd, &is) != 0)
            err = errno;
        else if (!S_ISREG(is.st_mode))
            err = EEXIST;
        else if (stat(beside, &there) == 0 && there.st_ino == is.st_ino && there.st_dev == is.st_dev) {
            *out = fd;
            return 0;
        }
        (void)close(fd); /* Nothing was written. */
        if (err != 0)
            return err;
    }
}

static int sync_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

    if (fd < 0)
        return errno;
    err = fsync(fd) != 0 ? errno : 0;
    (void)close(fd); /* It was only synced. */
    return err;
}

/* 0 or an errno: then nothing is at `beside`. */
static int write_and_move(const char *beside, const char *path, const char *text, size_t size)
{
    int fd = -1, err = open_beside(beside, &fd);

    if (err != 0)
        return err;
    err = ftruncate(fd, 0) != 0 ? errno : write_all(fd, text, size);
    if (err == 0 && (fsync(fd) != 0 || rename(beside, path) != 0))
        err = errno;
    if (err != 0)
        (void)unlink(beside);
    (void)close(fd); /* It was synced. The lock goes with it. */
    return err;
}

/* Returns an exit code, having said what is wrong. */
static int place(const lsi_call *call, const char *directory, const char *name, const char *text, size_t size)
{
    char *path = path_of(directory, name, ""), *beside = path_of(directory, name, ".new");
    int err;

    err = path == NULL || beside == NULL || text == NULL ? ENOMEM
        : mkdir(directory, 0700) != 0 && errno != EEXIST ? errno /* as the delivery makes it */
        : write_and_move(beside, path, text, size);
    if (err == 0)
        err = sync_directory(directory);
    if (err != 0)
        lsi_say(call, "%s: %s", path != NULL ? path : directory, strerror(err));
    free(path);
    free(beside);
    return err == 0 ? LSI_EXIT_OK : LSI_EXIT_FAILED;
}

int lsi_schema_write(const lsi_call *call, const char *directory, const char *name, const lsi_node *schema)
{
    size_t size = 0;
    char *text = text_of(schema, &size);
    int code = place(call, directory, name, text, size);

    free(text);
    return code;
}

int lsi_schema_move(const lsi_call *call, const char *from, const char *to, const char *name)
{
    char *path = path_of(from, name, ""), *text = NULL;
    size_t size = 0;
    int code = LSI_EXIT_OK, err = path != NULL ? read_all(path, &text, &size) : ENOMEM;

    if (err != 0 && err != ENOENT && err != ENOTDIR) {
        lsi_say(call, "%s: %s", path != NULL ? path : from, strerror(err));
        code = LSI_EXIT_FAILED;
    } else if (err == 0 && !lsi_is_same_directory(from, to)) {
        code = place(call, to, name, text, size);
        if (code == LSI_EXIT_OK)
            code = lsi_schema_leave(call, from, to, name);
    }
    free(text);
    free(path);
    return code;
}

int lsi_schema_leave(const lsi_call *call, const char *from, const char *to, const char *name)
{
    return lsi_is_same_directory(from, to) ? LSI_EXIT_OK : lsi_schema_remove(call, from, name);
}

int lsi_schema_remove(const lsi_call *call, const char *directory, const char *name)
{
    char *path = path_of(directory, name, "");
    int err = path == NULL ? ENOMEM : unlink(path) != 0 && errno != ENOENT && errno != ENOTDIR ? errno : 0;

    if (err != 0)
        lsi_say(call, "%s: %s", path != NULL ? path : directory, strerror(err));
    free(path);
    return err == 0 ? LSI_EXIT_OK : LSI_EXIT_FAILED;
}
