/* See key_file.h. The file is looked at through the descriptor that is read, so nothing can be exchanged in between. */
#include "base/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"

#define HEX_BYTES (2 * (size_t)LSI_KEY_BYTES)
#define ROOM (HEX_BYTES + 3) /* CR, LF, and one more that shows that the file goes on */
#define NAME_BYTES_MAX 255
#define WHOLE_BYTES 512

static ls_status refuse(const char *path, const char *why)
{
    return lsi_fail(LS_ERR_KEY, "key file '%s': %s", path, why);
}

static ls_status refuse_errno(const char *path, int err)
{
    if (err == ELOOP)
        return refuse(path, "a link is not followed");
    return lsi_fail(LS_ERR_KEY, "key file '%s': %s", path, strerror(err));
}

static bool is_trusted(const struct stat *of)
{
    return of->st_uid == geteuid() || of->st_uid == 0;
}

static int digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static ls_status parse(const char *path, const unsigned char *text, size_t size, unsigned char key[LSI_KEY_BYTES])
{
    if (size == LSI_KEY_BYTES) {
        memcpy(key, text, LSI_KEY_BYTES);
        return LS_OK;
    }
    if (size > HEX_BYTES && text[size - 1] == '\n')
        size--;
    if (size > HEX_BYTES && text[size - 1] == '\r')
        size--;
    if (size != HEX_BYTES)
        return refuse(path, "it holds neither 32 bytes nor 64 hexadecimal digits");
    for (size_t i = 0; i < LSI_KEY_BYTES; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

        if (high < 0 || low < 0) {
            lsi_wipe(key, LSI_KEY_BYTES);
            return refuse(path, "it has the length of 64 hexadecimal digits, and something else is among them");
        }
        key[i] = (unsigned char)(high << 4 | low);
    }
    return LS_OK;
}

/* `file` is open and regular or not. */
static ls_status read_open(const char *path, int file, unsigned char key[LSI_KEY_BYTES])
{
    unsigned char text[ROOM];
    struct stat of;
    size_t size = 0;

    if (fstat(file, &of) != 0)
        return refuse_errno(path, errno);
    if (!S_ISREG(of.st_mode))
        return refuse(path, "it is no regular file");
    if (!is_trusted(&of))
        return refuse(path, "it belongs neither to this user nor to root");
    if ((of.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return lsi_fail(LS_ERR_KEY, "key file '%s': group or others may use it (mode %04o): chmod 600", path,
                        (unsigned)(of.st_mode & 07777));
    while (size < sizeof text) {
        ssize_t got = read(file, text + size, sizeof text - size);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int err = errno;

            lsi_wipe(text, sizeof text);
            return refuse_errno(path, err);
        }
        if (got == 0)
            break;
        size += (size_t)got;
    }
    ls_status st = parse(path, text, size, key);
    lsi_wipe(text, sizeof text);
    return st;
}

/* Messages name the file, not the directory. */
static ls_status read_in_directory(const char *path, const char *name, int file, unsigned char key[LSI_KEY_BYTES])
{
    char whole[WHOLE_BYTES];

    (void)snprintf(whole, sizeof whole, "%s/%s", path, name); /* A message has no room for more. */
    return read_open(whole, file, key);
}

/* `dir`: AT_FDCWD or a descriptor. Not to hang on a pipe. */
static int open_key(int dir, const char *name)
{
    int file;

    do {
        file = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    } while (file < 0 && errno == EINTR);
    return file;
}

static bool is_file_name(const char *name)
{
    size_t bytes = strlen(name);

    return bytes > 0 && bytes <= NAME_BYTES_MAX && name[0] != '.' && strchr(name, '/') == NULL;
}

ls_status lsi_key_file_read(const char *path, const char *name, unsigned char key[LSI_KEY_BYTES])
{
    int file = open_key(AT_FDCWD, path);
    struct stat of;
    ls_status st;

    if (file < 0)
        return refuse_errno(path, errno);
    if (fstat(file, &of) != 0) {
        st = refuse_errno(path, errno);
    } else if (S_ISDIR(of.st_mode)) {
        int in = -1;

        if (!is_trusted(&of) || (of.st_mode & (S_IWGRP | S_IWOTH)) != 0)
            st = refuse(path, "a directory of keys that others than its owner may change");
        else if (!is_file_name(name))
            st = lsi_fail(LS_ERR_KEY, "key file '%s': it is a directory, and '%s' names no file in it", path, name);
        else if ((in = open_key(file, name)) < 0)
            st = errno == ELOOP ? lsi_fail(LS_ERR_KEY, "key file '%s/%s': a link is not followed", path, name)
                                : lsi_fail(LS_ERR_KEY, "key file '%s/%s': %s", path, name, strerror(errno));
        else
            st = read_in_directory(path, name, in, key);
        if (in >= 0)
            (void)close(in); /* It was only read. */
    } else {
        st = read_open(path, file, key);
    }
    (void)close(file); /* It was only read. */
    return st;
}
