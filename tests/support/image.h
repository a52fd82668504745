/* A directory as bytes in memory: taken from one table of files, changed, put into another; packed into one run of
 * bytes, so that a fuzzer can have a whole store for an input.
 *
 *     image of = image_take(files, "store");
 *     image_find(&of, "1/0/00000001.seg")->bytes[5000] ^= 1;
 *     image_put(&of, other_files, "store");
 *     image_free(&of);
 *
 * PACKED: for each file its name and a zero byte, its size in 4 bytes (little-endian), its bytes. Unpacking takes any
 * bytes: a size that is too large is cut, names that a table refuses are the table's to refuse. */
#ifndef LST_IMAGE_H
#define LST_IMAGE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"

#define IMAGE_NAME_BYTES 96
#define IMAGE_FILES_MAX 64

typedef struct image_file {
    char name[IMAGE_NAME_BYTES]; /* beneath the root */
    unsigned char *bytes;        /* of its own, for bounds checkers */
    size_t size;
} image_file;

typedef struct image {
    image_file files[IMAGE_FILES_MAX];
    size_t count;
} image;

static inline void *image_must(void *p)
{
    if (p == NULL) {
        fputs("no memory for an image\n", stderr);
        abort();
    }
    return p;
}

static inline image_file *image_add(image *to, const char *name, const void *bytes, size_t size)
{
    image_file *file;

    if (to->count == IMAGE_FILES_MAX || strlen(name) >= IMAGE_NAME_BYTES)
        return NULL;
    file = &to->files[to->count++];
    memcpy(file->name, name, strlen(name) + 1);
    file->bytes = image_must(malloc(size != 0 ? size : 1));
    file->size = size;
    if (size != 0)
        memcpy(file->bytes, bytes, size);
    return file;
}

static inline image_file *image_find(image *in, const char *name)
{
    for (size_t i = 0; i < in->count; i++)
        if (strcmp(in->files[i].name, name) == 0)
            return &in->files[i];
    return NULL;
}

static inline void image_free(image *of)
{
    for (size_t i = 0; i < of->count; i++)
        free(of->files[i].bytes);
    of->count = 0;
}

/* ---- from and to a table of files ---- */

typedef struct image_names {
    char names[IMAGE_FILES_MAX][IMAGE_NAME_BYTES];
    bool is_dir[IMAGE_FILES_MAX];
    size_t count;
} image_names;

static inline int image_note_name(void *user, const char *entry, bool is_dir)
{
    image_names *names = user;

    if (names->count == IMAGE_FILES_MAX || strlen(entry) >= IMAGE_NAME_BYTES)
        return -EFBIG;
    (void)snprintf(names->names[names->count], IMAGE_NAME_BYTES, "%s", entry); /* fits, see above */
    names->is_dir[names->count++] = is_dir;
    return 0;
}

static inline int image_name_compare(const void *a, const void *b)
{
    return strcmp(((const image_file *)a)->name, ((const image_file *)b)->name);
}

static inline void image_take_dir(image *to, const lsi_root *root, const char *dir)
{
    image_names *names = image_must(calloc(1, sizeof *names));

    if (root->files->list(root, dir, image_note_name, names) != 0)
        abort();
    for (size_t i = 0; i < names->count; i++) {
        char name[IMAGE_NAME_BYTES * 2];
        void *bytes;
        size_t size;

        (void)snprintf(name, sizeof name, "%s%s%s", dir, dir[0] != '\0' ? "/" : "", names->names[i]); /* fits */
        if (names->is_dir[i]) {
            image_take_dir(to, root, name);
            continue;
        }
        if (lsi_file_load(root, name, 64u << 20, &lsi_memory_libc, &bytes, &size) != 0 ||
            image_add(to, name, bytes, size) == NULL)
            abort();
        lsi_free(&lsi_memory_libc, bytes);
    }
    free(names);
}

/* All files beneath the root, in byte order of their names. */
static inline image image_take(const lsi_files *files, const char *path)
{
    image of = {.count = 0};
    lsi_root root;

    if (files->root_open(files, path, 0, &root) != 0)
        abort();
    image_take_dir(&of, &root, "");
    files->root_close(&root);
    qsort(of.files, of.count, sizeof *of.files, image_name_compare);
    return of;
}

static inline int image_put_file(const image_file *from, const lsi_root *root)
{
    char dir[IMAGE_NAME_BYTES];
    lsi_file file = {0};
    int result;

    for (const char *at = strchr(from->name, '/'); at != NULL; at = strchr(at + 1, '/')) {
        (void)snprintf(dir, sizeof dir, "%.*s", (int)(at - from->name), from->name); /* shorter than a name */
        (void)root->files->make_dir(root, dir); /* there already, or the open below fails */
    }
    result = root->files->open(root, from->name, LSI_OPEN_WRITE | LSI_OPEN_CREATE, &file);
    if (result != 0)
        return result;
    result = from->size != 0 ? lsi_file_write_one(&file, from->bytes, from->size, 0) : 0;
    (void)root->files->close(&file); /* nothing hangs on its durability */
    return result;
}

/* The first error; files that cannot be made are left out. */
static inline int image_put(const image *from, const lsi_files *files, const char *path)
{
    lsi_root root;
    int result = files->root_open(files, path, LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root);

    if (result != 0)
        return result;
    for (size_t i = 0; i < from->count; i++) {
        int one = image_put_file(&from->files[i], &root);

        if (result == 0)
            result = one;
    }
    files->root_close(&root);
    return result;
}

/* ---- packed ---- */

static inline unsigned char *image_pack(const image *from, size_t *size)
{
    unsigned char *bytes, *at;

    *size = 0;
    for (size_t i = 0; i < from->count; i++)
        *size += strlen(from->files[i].name) + 1 + 4 + from->files[i].size;
    at = bytes = image_must(malloc(*size + 1));
    for (size_t i = 0; i < from->count; i++) {
        const image_file *file = &from->files[i];
        size_t name_bytes = strlen(file->name) + 1;

        memcpy(at, file->name, name_bytes);
        lsi_write_u32le(at + name_bytes, (uint32_t)file->size);
        memcpy(at + name_bytes + 4, file->bytes, file->size);
        at += name_bytes + 4 + file->size;
    }
    return bytes;
}

static inline image image_unpack(const unsigned char *bytes, size_t size)
{
    image to = {.count = 0};
    const unsigned char *end = bytes + size;

    while (bytes < end) {
        const unsigned char *name = bytes, *name_end = memchr(bytes, 0, (size_t)(end - bytes));
        size_t left, wanted;

        if (name_end == NULL || end - name_end < 5 || name_end - name >= IMAGE_NAME_BYTES)
            break;
        bytes = name_end + 5;
        left = (size_t)(end - bytes);
        wanted = lsi_read_u32le(name_end + 1);
        if (wanted > left)
            wanted = left;
        if (image_add(&to, (const char *)name, bytes, wanted) == NULL)
            break;
        bytes += wanted;
    }
    return to;
}

#endif
