/* The CSV reader. It goes through the bytes once, with one state per place in the grammar, and puts the row's cells
 * one after the other into a buffer that is reused for the next row.
 *
 * It is strict where a lenient reader would guess: what follows a closing quote must be a comma or the end of the
 * line, and a quote that is opened must be closed. It is lenient in one point, as everybody is: a quote in the middle
 * of an unquoted cell stands for itself. */
#include "csv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)64 << 10)

enum state {
    CELL_START,   /* nothing of the cell was seen yet */
    PLAIN,        /* in an unquoted cell */
    QUOTED,       /* between quotes */
    QUOTE_SEEN    /* after a quote in a quoted cell: the end of it, or the first of a doubled quote */
};

struct csv_reader {
    csv_source source;
    void *user;
    int fd;              /* -1 unless csv_open_file opened it */
    char *name;
    char buffer[BUFFER_BYTES];
    size_t at, end;
    bool source_ended;
    bool started;        /* the byte order mark was looked for */
    bool failed;
    bool is_cut;         /* the last row was ended by the end of the source */
    bool cr_seen;        /* the last line ended with CR: an LF now belongs to it */
    uint64_t line;       /* of the next byte, from 1 */
    uint64_t row_line;
    uint64_t quote_line; /* where the open quote is */
    uint64_t bytes_read;
    char *text;          /* the row's cells, each with a NUL behind */
    size_t text_size, text_capacity;
    size_t *starts;      /* where each cell begins in `text` */
    csv_cell *cells;
    size_t count, cells_capacity;
    char error[512];
};

static ptrdiff_t read_file(void *user, char *to, size_t capacity)
{
    csv_reader *reader = user;

    return read(reader->fd, to, capacity);  /* EINTR too is an error: whoever handles signals may want to stop. */
}

csv_reader *csv_open_source(const char *name, csv_source source, void *user)
{
    csv_reader *reader = calloc(1, sizeof(*reader));

    if (reader == NULL)
        return NULL;
    reader->source = source;
    reader->user = user;
    reader->fd = -1;
    reader->line = 1;
    reader->row_line = 1;
    reader->name = strdup(name);
    if (reader->name == NULL) {
        free(reader);
        return NULL;
    }
    return reader;
}

csv_reader *csv_open_file(const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    csv_reader *reader = csv_open_source(is_stdin ? "standard input" : path, read_file, NULL);

    if (reader == NULL)
        return NULL;
    reader->user = reader;
    reader->fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC);
    if (reader->fd < 0) {
        int saved = errno;

        csv_close(reader);
        errno = saved;
        return NULL;
    }
    return reader;
}

void csv_close(csv_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->fd >= 0)
        (void)close(reader->fd);  /* Nothing was written to it. */
    free(reader->name);
    free(reader->text);
    free(reader->starts);
    free(reader->cells);
    free(reader);
}

__attribute__((format(printf, 3, 4)))
static int fail(csv_reader *reader, uint64_t line, const char *format, ...)
{
    va_list arguments;
    int used = line == 0 ? snprintf(reader->error, sizeof(reader->error), "%s: ", reader->name)
                         : snprintf(reader->error, sizeof(reader->error), "%s:%llu: ", reader->name,
                                    (unsigned long long)line);

    if (used > 0 && (size_t)used < sizeof(reader->error)) {
        va_start(arguments, format);
        (void)vsnprintf(reader->error + used, sizeof(reader->error) - (size_t)used, format, arguments);
        va_end(arguments);
    }
    reader->failed = true;
    return -1;
}

/* 1: there is a byte at `at`. 0: the end. -1: failed. */
static int fill(csv_reader *reader)
{
    ptrdiff_t got;

    if (reader->at < reader->end)
        return 1;
    if (reader->source_ended)
        return 0;
    got = reader->source(reader->user, reader->buffer, BUFFER_BYTES);
    if (got < 0)
        return fail(reader, 0, "cannot read: %s", strerror(errno));
    reader->at = 0;
    reader->end = (size_t)got;
    reader->bytes_read += (uint64_t)got;
    reader->source_ended = got == 0;
    return got == 0 ? 0 : 1;
}

/* The mark is three bytes, and a source may give them one at a time. */
static int skip_byte_order_mark(csv_reader *reader)
{
    static const char mark[3] = {'\xef', '\xbb', '\xbf'};
    int more = fill(reader);

    reader->started = true;
    if (more != 1 || reader->buffer[0] != mark[0])
        return more;
    while (reader->end < sizeof(mark)) {
        ptrdiff_t got = reader->source(reader->user, reader->buffer + reader->end, sizeof(mark) - reader->end);

        if (got < 0)
            return fail(reader, 0, "cannot read: %s", strerror(errno));
        if (got == 0)
            break;
        reader->end += (size_t)got;
        reader->bytes_read += (uint64_t)got;
    }
    if (reader->end >= sizeof(mark) && memcmp(reader->buffer, mark, sizeof(mark)) == 0)
        reader->at = sizeof(mark);
    return 1;
}

static int grow_text(csv_reader *reader, size_t more)
{
    size_t capacity = reader->text_capacity == 0 ? 4096 : reader->text_capacity;
    char *text;

    if (reader->text_size + more <= reader->text_capacity)
        return 0;
    if (reader->text_size + more > CSV_ROW_BYTES_MAX)
        return fail(reader, reader->row_line, "the row that begins here is longer than %zu MiB; is a quote not closed?",
                    CSV_ROW_BYTES_MAX >> 20);
    while (capacity < reader->text_size + more)
        capacity *= 2;
    text = realloc(reader->text, capacity);
    if (text == NULL)
        return fail(reader, reader->row_line, "no memory for the row that begins here");
    reader->text = text;
    reader->text_capacity = capacity;
    return 0;
}

static int add_bytes(csv_reader *reader, const char *bytes, size_t size)
{
    if (grow_text(reader, size) != 0)
        return -1;
    memcpy(reader->text + reader->text_size, bytes, size);
    reader->text_size += size;
    return 0;
}

static int begin_cell(csv_reader *reader)
{
    if (reader->count == reader->cells_capacity) {
        size_t capacity = reader->cells_capacity == 0 ? 32 : reader->cells_capacity * 2;
        size_t *starts;
        csv_cell *cells;

        if (reader->count >= CSV_CELLS_MAX)
            return fail(reader, reader->row_line, "the row that begins here has more than %zu cells", CSV_CELLS_MAX);
        starts = realloc(reader->starts, capacity * sizeof(*starts));
        if (starts != NULL)
            reader->starts = starts;
        cells = realloc(reader->cells, capacity * sizeof(*cells));
        if (cells != NULL)
            reader->cells = cells;
        if (starts == NULL || cells == NULL)
            return fail(reader, reader->row_line, "no memory for the row that begins here");
        reader->cells_capacity = capacity;
    }
    reader->starts[reader->count++] = reader->text_size;
    return 0;
}

/* Addresses are taken last: the text may have moved while it grew. */
static int finish_row(csv_reader *reader, const csv_cell **cells, size_t *count)
{
    for (size_t i = 0; i < reader->count; i++) {
        size_t end = (i + 1 < reader->count ? reader->starts[i + 1] : reader->text_size) - 1;

        reader->cells[i].text = reader->text + reader->starts[i];
        reader->cells[i].size = end - reader->starts[i];
    }
    *cells = reader->cells;
    *count = reader->count;
    return 1;
}

/* How many of the bytes at hand are the cell's own, with nothing to decide about them. */
static size_t run_of(const csv_reader *reader, enum state state)
{
    size_t at = reader->at;

    if (state == QUOTED)
        while (at < reader->end && reader->buffer[at] != '"' && reader->buffer[at] != '\n')
            at++;
    else
        while (at < reader->end && reader->buffer[at] != ',' && reader->buffer[at] != '\n' &&
               reader->buffer[at] != '\r')
            at++;
    return at - reader->at;
}

/* Of eight bytes, the first one lowest: the highest bit of each that is a comma. */
static inline uint64_t find_commas(uint64_t eight)
{
    const uint64_t lows = UINT64_C(0x7f7f7f7f7f7f7f7f);

    eight ^= UINT64_C(0x2c2c2c2c2c2c2c2c);
    return ~(((eight & lows) + lows) | eight | lows);
}

/* A row that lies in the buffer whole and has no quote, as most have, is taken at once: 1. 0: it is another one, and
 * nothing was done. -1: failed. */
static int take_plain_row(csv_reader *reader)
{
    const char *from = reader->buffer + reader->at;
    const char *line_end = memchr(from, '\n', reader->end - reader->at);
    size_t size = line_end == NULL ? 0 : (size_t)(line_end - from);

    if (size > 0 && from[size - 1] == '\r')
        size--;
    if (size == 0 || memchr(from, '"', size) != NULL || memchr(from, '\r', size) != NULL)
        return 0;
    if (grow_text(reader, size + 8) != 0)
        return -1;
    memcpy(reader->text, from, size);
    reader->text[size] = ',';  /* So that each cell ends with one. */
    memset(reader->text + size + 1, 0, 7);
    reader->text_size = 0;
    for (size_t at = 0; at <= size; at += 8) {
        uint64_t commas;

        memcpy(&commas, reader->text + at, 8);
        for (commas = find_commas(commas); commas != 0; commas &= commas - 1) {
            size_t comma = at + (size_t)__builtin_ctzll(commas) / 8;

            if (begin_cell(reader) != 0)
                return -1;
            reader->text[comma] = 0;
            reader->text_size = comma + 1;
        }
    }
    reader->at += (size_t)(line_end - from) + 1;
    reader->line++;
    return 1;
}

/* Reads one line of cells; 1 with a row, also one of a single empty cell; 0 at the end; -1. */
static int read_row(csv_reader *reader)
{
    enum state state = CELL_START;

    reader->text_size = 0;
    reader->count = 0;
    for (;;) {
        int more = fill(reader);
        char c;

        if (more < 0)
            return -1;
        if (more == 0) {
            if (state == QUOTED)
                return fail(reader, reader->quote_line, "a quote is opened here and never closed");
            if (reader->count == 0)
                return 0;
            reader->is_cut = true;
            return add_bytes(reader, "", 1) == 0 ? 1 : -1;
        }
        if (reader->cr_seen) {  /* A row's end is given back at CR; what is left of CR LF is dropped here. */
            reader->cr_seen = false;
            if (reader->buffer[reader->at] == '\n') {
                reader->at++;
                continue;
            }
        }
        if (reader->count == 0) {
            int taken;

            reader->row_line = reader->line;
            taken = take_plain_row(reader);
            if (taken != 0)
                return taken;
            if (begin_cell(reader) != 0)
                return -1;
        }
        if (state == PLAIN || state == QUOTED) {
            size_t run = run_of(reader, state);

            if (run > 0) {
                if (add_bytes(reader, reader->buffer + reader->at, run) != 0)
                    return -1;
                reader->at += run;
                continue;
            }
        }
        c = reader->buffer[reader->at];
        if (state == QUOTED) {
            if (c == '\n')
                reader->line++;
            if (c == '"')
                state = QUOTE_SEEN;
            else if (add_bytes(reader, &c, 1) != 0)
                return -1;
        } else if (c == '"' && state == QUOTE_SEEN) {
            if (add_bytes(reader, &c, 1) != 0)
                return -1;
            state = QUOTED;
        } else if (c == '"' && state == CELL_START) {
            reader->quote_line = reader->line;
            state = QUOTED;
        } else if (c == ',') {
            if (add_bytes(reader, "", 1) != 0 || begin_cell(reader) != 0)
                return -1;
            state = CELL_START;
        } else if (c == '\n' || c == '\r') {
            reader->at++;
            reader->line++;
            reader->cr_seen = c == '\r';
            return add_bytes(reader, "", 1) == 0 ? 1 : -1;
        } else if (state == QUOTE_SEEN) {
            return fail(reader, reader->line, "after a closing quote comes byte 0x%02x, where only a comma or the end "
                        "of the line can be (a quote inside a quoted cell is doubled)", (unsigned)(unsigned char)c);
        } else {
            state = PLAIN;
            continue;  /* The run of plain bytes begins with this one. */
        }
        reader->at++;
    }
}

int csv_next(csv_reader *reader, const csv_cell **cells, size_t *count)
{
    if (reader->failed)
        return -1;
    if (!reader->started && skip_byte_order_mark(reader) < 0)
        return -1;
    for (;;) {
        int row = read_row(reader);

        if (row != 1)
            return row;
        if (reader->count > 1 || reader->text_size > 1)
            return finish_row(reader, cells, count);
        /* A blank line; in a file of one column an empty cell is written as "" and then is passed over as well. */
    }
}

uint64_t csv_cut_at(const csv_reader *reader)
{
    return reader->is_cut ? reader->bytes_read : 0;
}

const char *csv_error(const csv_reader *reader)
{
    return reader->error;
}

uint64_t csv_line(const csv_reader *reader)
{
    return reader->row_line;
}

uint64_t csv_bytes_read(const csv_reader *reader)
{
    return reader->bytes_read;
}
