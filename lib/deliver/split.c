#include "deliver/split.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t space_bytes(const char *at, size_t size)
{
    size_t i = 0;

    while (i < size && is_space(at[i]))
        i++;
    return i;
}

/* ---- JSON ---- */

/* Of the string that begins at `at`; 0: it has no end. */
static size_t string_bytes(const char *at, size_t size)
{
    for (size_t i = 1; i < size; i++) {
        if (at[i] == '\\')
            i++;
        else if (at[i] == '"')
            return i + 1;
    }
    return 0;
}

/* Of the object or array that begins at `at`; 0: it has no end. */
static size_t nest_bytes(const char *at, size_t size)
{
    size_t depth = 0, i = 0;

    while (i < size) {
        size_t bytes = at[i] == '"' ? string_bytes(at + i, size - i) : 1;

        if (bytes == 0)
            return 0;
        if (at[i] == '{' || at[i] == '[')
            depth++;
        else if ((at[i] == '}' || at[i] == ']') && --depth == 0)
            return i + 1;
        i += bytes;
    }
    return 0;
}

/* A number or a word. */
static size_t plain_bytes(const char *at, size_t size)
{
    static const char those[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.";
    size_t i = 0;

    while (i < size && at[i] != '\0' && strchr(those, at[i]) != NULL)
        i++;
    return i;
}

/* Of the value that begins at `at`; 0: none does. */
static size_t value_bytes(const char *at, size_t size)
{
    return size == 0 ? 0 : at[0] == '{' || at[0] == '[' ? nest_bytes(at, size)
                         : at[0] == '"' ? string_bytes(at, size) : plain_bytes(at, size);
}

/* ---- delimiters ---- */

static size_t delimiters_bytes(const char *at, size_t size, const char *delimiter, size_t delimiter_size)
{
    size_t i = 0;

    while (size - i >= delimiter_size && memcmp(at + i, delimiter, delimiter_size) == 0)
        i += delimiter_size;
    return i;
}

static size_t piece_bytes(const char *at, size_t size, const char *delimiter, size_t delimiter_size)
{
    const char *end = memmem(at, size, delimiter, delimiter_size);

    return end == NULL ? size : (size_t)(end - at);
}

/* ---- either ---- */

static size_t between(const char *at, size_t size, const char *delimiter)
{
    return delimiter[0] == '\0' ? space_bytes(at, size) : delimiters_bytes(at, size, delimiter, strlen(delimiter));
}

bool lsi_split_check(ls_bytes data, const char *delimiter)
{
    const char *at = data.data;
    size_t i;

    if (delimiter[0] != '\0' || data.size == 0)
        return true;
    i = space_bytes(at, data.size);
    while (i < data.size) {
        size_t bytes = value_bytes(at + i, data.size - i);

        if (bytes == 0)
            return false;
        i += bytes;
        i += space_bytes(at + i, data.size - i);
    }
    return true;
}

ls_bytes lsi_split_next(ls_bytes *rest, const char *delimiter)
{
    const char *at = rest->data;
    size_t from = rest->size == 0 ? 0 : between(at, rest->size, delimiter), left = rest->size - from, bytes, to;

    if (left == 0) {
        *rest = (ls_bytes){from == 0 ? at : at + from, 0};
        return *rest;
    }
    bytes = delimiter[0] == '\0' ? value_bytes(at + from, left)
                                 : piece_bytes(at + from, left, delimiter, strlen(delimiter));
    to = from + bytes;
    to += between(at + to, rest->size - to, delimiter);
    *rest = (ls_bytes){at + to, rest->size - to};
    return (ls_bytes){at + from, bytes};
}
