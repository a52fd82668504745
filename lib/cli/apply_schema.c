/* A delivery's schema: a JSON Schema that the template gives, as a file beside the delivered ones, for whoever reads
 * these: DIRECTORY/_NAME.schema, one line. It appears whole, by a rename, and is durable then.
 *
 * Objects of JSON are read as `*.json` and the like, or as all of a directory but for what begins with an underscore or
 * a point: its name is such that it is not taken for one of them. */
#include "cli/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* ---- the file ---- */

/* "DIRECTORY/_NAME.schema" and `end`; free it. NULL: no memory. */
static char *path_of(const char *directory, const char *name, const char *end)
{
    size_t size = strlen(directory) + strlen(name) + strlen(end) + sizeof "/_.schema";
    char *path = malloc(size);

    if (path != NULL)
        (void)snprintf(path, size, "%s/_%s.schema%s", directory, name, end);
    return path;
}

static bool has_text(const char *path, const lsi_json_writer *text)
{
    FILE *file = fopen(path, "rb");
    char *found = malloc(text->size + 2);
    bool is_same = file != NULL && found != NULL && fread(found, 1, text->size + 2, file) == text->size + 1 &&
        memcmp(found, text->text, text->size) == 0 && found[text->size] == '\n';

    if (file != NULL)
        (void)fclose(file); /* It was only read. */
    free(found);
    return is_same;
}

bool lsi_schema_is(const char *directory, const char *name, const lsi_node *schema)
{
    char *path = path_of(directory, name, "");
    lsi_json_writer text;
    bool is_same;

    lsi_json_begin(&text, &lsi_memory_libc);
    write_tree(&text, schema);
    is_same = path != NULL && !text.failed && has_text(path, &text);
    lsi_json_free(&text);
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

/* 0 or an errno: then nothing is at `beside`. */
static int write_beside(const char *beside, const lsi_json_writer *text)
{
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644), err;

    if (fd < 0)
        return errno;
    err = write_all(fd, text->text, text->size);
    if (err == 0)
        err = write_all(fd, "\n", 1);
    if (err == 0 && fsync(fd) != 0)
        err = errno;
    if (close(fd) != 0 && err == 0)
        err = errno;
    if (err != 0)
        (void)unlink(beside);
    return err;
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

int lsi_schema_write(const lsi_call *call, const char *directory, const char *name, const lsi_node *schema)
{
    char *path = path_of(directory, name, ""), *beside = path_of(directory, name, ".new");
    lsi_json_writer text;
    int err;

    lsi_json_begin(&text, &lsi_memory_libc);
    write_tree(&text, schema);
    err = path == NULL || beside == NULL || text.failed ? ENOMEM
        : mkdir(directory, 0700) != 0 && errno != EEXIST ? errno /* as the delivery makes it */
        : write_beside(beside, &text);
    if (err == 0 && rename(beside, path) != 0)
        err = errno;
    if (err == 0)
        err = sync_directory(directory);
    if (err != 0)
        lsi_say(call, "%s: %s", path != NULL ? path : directory, strerror(err));
    lsi_json_free(&text);
    free(path);
    free(beside);
    return err == 0 ? LSI_EXIT_OK : LSI_EXIT_FAILED;
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
