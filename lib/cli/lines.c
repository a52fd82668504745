/* Reading lines, and fields of CSV lines, in bounded memory.
 *
 * Not stdio: `put` fed by a slow pipe must send what it has before it waits for more, and only the one who fills the
 * buffer knows whether reading would wait. A line over the limit is read over and told, instead of held. */
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES ((size_t)256 << 10)
#define SLICE_MS 500 /* A signal between the caller's look and the wait costs one. */

struct lsi_lines {
    int fd;
    char delimiter; /* 0: plain lines */
    bool ended;
    size_t line_bytes_max;
    char *buffer;
    size_t capacity;
    size_t start;   /* of the line being looked for */
    size_t scanned; /* the line's end is not before here */
    size_t end;     /* of what was read */
    enum { FIELD_START, UNQUOTED, QUOTED, QUOTE_IN_QUOTED } state; /* CSV: at `scanned` */
    bool skipping;  /* the line is too long: its bytes are dropped */
    uint64_t number, next_number, feeds; /* feeds: line feeds within the line being looked for */
    uint64_t bytes;
};

lsi_lines *lsi_lines_open(int fd, char delimiter, size_t line_bytes_max)
{
    lsi_lines *lines = calloc(1, sizeof *lines);

    if (lines == NULL)
        return NULL;
    lines->fd = fd;
    lines->delimiter = delimiter;
    lines->line_bytes_max = line_bytes_max;
    lines->next_number = 1;
    lines->capacity = READ_BYTES;
    lines->buffer = malloc(lines->capacity);
    if (lines->buffer == NULL) {
        free(lines);
        return NULL;
    }
    return lines;
}

void lsi_lines_close(lsi_lines *lines)
{
    if (lines != NULL)
        free(lines->buffer);
    free(lines);
}

/* Makes room behind `end` for READ_BYTES / 2 at least, moving or growing. False: no memory. */
static bool make_room(lsi_lines *lines)
{
    if (lines->start != 0) {
        memmove(lines->buffer, lines->buffer + lines->start, lines->end - lines->start);
        lines->end -= lines->start;
        lines->scanned -= lines->start;
        lines->start = 0;
    }
    if (lines->capacity - lines->end < READ_BYTES / 2) {
        char *grown = realloc(lines->buffer, lines->capacity * 2);

        if (grown == NULL)
            return false;
        lines->buffer = grown;
        lines->capacity *= 2;
    }
    return true;
}

/* Nothing can be read after so many milliseconds, or a signal came. */
static bool would_wait(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {fd, POLLIN, 0};
    int ready = poll(&poll_fd, 1, timeout_ms);

    return ready == 0 || (ready < 0 && errno == EINTR);
}

/* Looks for the line's end in what was read; the offset of its line feed, or SIZE_MAX. */
static size_t find_end(lsi_lines *lines)
{
    const char *at = lines->buffer + lines->scanned;
    const char *end = lines->buffer + lines->end;

    if (lines->delimiter == 0) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));

        lines->scanned = lines->end;
        return feed != NULL ? (size_t)(feed - lines->buffer) : SIZE_MAX;
    }
    for (; at < end; at++) {
        if (lines->state == QUOTED) {
            if (*at == '"')
                lines->state = QUOTE_IN_QUOTED;
            else if (*at == '\n')
                lines->feeds++;
        } else if (*at == '\n') {
            lines->scanned = (size_t)(at - lines->buffer) + 1;
            return (size_t)(at - lines->buffer);
        } else if (*at == lines->delimiter) {
            lines->state = FIELD_START;
        } else if (*at == '"' && lines->state != UNQUOTED) {
            lines->state = QUOTED; /* A field begins with a quote, or a quoted one has two of them. */
        } else {
            lines->state = UNQUOTED;
        }
    }
    lines->scanned = lines->end;
    return SIZE_MAX;
}

/* Gives the line that ends at `at` (its line feed, or the end of the input). */
static lsi_line_result give(lsi_lines *lines, size_t at, size_t next, char **line, size_t *size)
{
    bool skipped = lines->skipping || at - lines->start > lines->line_bytes_max;

    *line = lines->buffer + lines->start;
    *size = at - lines->start;
    if (lines->delimiter != 0 && *size != 0 && (*line)[*size - 1] == '\r')
        (*size)--;
    lines->number = lines->next_number;
    lines->next_number += 1 + lines->feeds;
    lines->feeds = 0;
    lines->state = FIELD_START;
    lines->skipping = false;
    lines->start = next;
    lines->scanned = next;
    return skipped ? LSI_LINE_TOO_LONG : LSI_LINE;
}

lsi_line_result lsi_lines_next(lsi_lines *lines, bool may_wait, char **line, size_t *size)
{
    for (;;) {
        size_t at = find_end(lines);
        ssize_t got;

        if (at != SIZE_MAX)
            return give(lines, at, at + 1, line, size);
        if (lines->ended) {
            if (lines->start == lines->end && !lines->skipping)
                return LSI_LINES_END;
            if (lines->state == QUOTED) {
                /* What follows the quote may be any number of lines, and no field of this one. */
                (void)give(lines, lines->end, lines->end, line, size);
                return LSI_LINE_UNCLOSED;
            }
            return give(lines, lines->end, lines->end, line, size);
        }
        if (lines->end - lines->start > lines->line_bytes_max || lines->skipping) {
            lines->skipping = true;
            lines->start = lines->scanned = lines->end;
        }
        if (!make_room(lines)) {
            errno = ENOMEM;
            return LSI_LINES_FAILED;
        }
        if (would_wait(lines->fd, may_wait ? SLICE_MS : 0))
            return LSI_LINE_WOULD_WAIT;
        do
            got = read(lines->fd, lines->buffer + lines->end, lines->capacity - lines->end);
        while (got < 0 && errno == EINTR);
        if (got < 0)
            return LSI_LINES_FAILED;
        if (got == 0)
            lines->ended = true;
        lines->end += (size_t)got;
        lines->bytes += (uint64_t)got;
    }
}

uint64_t lsi_lines_number(const lsi_lines *lines)
{
    return lines->number;
}

uint64_t lsi_lines_bytes(const lsi_lines *lines)
{
    return lines->bytes;
}

/* Undoes one field's quotes and gives where the next field begins, NULL behind the last one. */
static const char *next_field(const char *at, const char *end, char delimiter, char *into, size_t *into_size)
{
    bool quoted = false;

    *into_size = 0;
    if (at < end && *at == '"') {
        quoted = true;
        at++;
    }
    for (; at < end; at++) {
        if (quoted && *at == '"') {
            if (at + 1 < end && at[1] == '"')
                at++; /* Two quotes are one. */
            else {
                quoted = false;
                continue;
            }
        } else if (!quoted && *at == delimiter) {
            return at + 1;
        }
        into[(*into_size)++] = *at;
    }
    return NULL;
}

bool lsi_csv_field(const char *line, size_t size, char delimiter, size_t column, char *into, size_t *into_size)
{
    const char *at = line;

    for (; at != NULL; column--) {
        at = next_field(at, line + size, delimiter, into, into_size);
        if (column == 0)
            return true;
    }
    return false;
}

bool lsi_csv_find(const char *line, size_t size, char delimiter, const char *name, char *scratch, size_t *column)
{
    const char *at = line;
    size_t field_size;

    if (size >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) /* A byte order mark is no part of the first name. */
        at += 3;
    for (*column = 0; at != NULL; (*column)++) {
        at = next_field(at, line + size, delimiter, scratch, &field_size);
        if (field_size == strlen(name) && memcmp(scratch, name, field_size) == 0)
            return true;
    }
    return false;
}
