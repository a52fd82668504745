/* Read a CSV file row by row, as RFC 4180 has it: quoted cells that hold commas, line ends and doubled quotes; CR LF,
 * LF or CR at the end of a line; a byte order mark in front. Memory is bounded by the largest row, whatever the
 * file's size. An error names the file and the line. The bytes come from a file or from any function that gives
 * bytes. */
#ifndef EXAMPLES_CSV_H
#define EXAMPLES_CSV_H

#include <stddef.h>
#include <stdint.h>

#define CSV_ROW_BYTES_MAX ((size_t)16 << 20) /* A quote that is never closed must not read the rest of a huge file. */
#define CSV_CELLS_MAX ((size_t)4096)

typedef struct csv_reader csv_reader;

/* One cell, its quotes removed. It may hold any byte, and ends with a NUL that `size` does not count. */
typedef struct csv_cell {
    const char *text;
    size_t size;
} csv_cell;

/* Gives the next bytes: at most `capacity`, 0 at the end, -1 with errno set when it cannot. */
typedef ptrdiff_t (*csv_source)(void *user, char *to, size_t capacity);

/* Both return NULL with errno set. The path `-` is standard input. `name` is copied; it is what errors call the source.
 * When reading from a pipe waits, a signal handler installed without SA_RESTART ends that with an error. */
csv_reader *csv_open_file(const char *path);
csv_reader *csv_open_source(const char *name, csv_source source, void *user);
void csv_close(csv_reader *reader); /* NULL is accepted. */

/* The next row. Blank lines are passed over. 1: `*cells` and `*count` show it, until the next call. 0: the end. -1:
 * the file cannot be read or is no CSV; csv_error says why, and every later call says the same. */
int csv_next(csv_reader *reader, const csv_cell **cells, size_t *count);

const char *csv_error(const csv_reader *reader); /* "books.csv:17: a quote is opened here and never closed" */
uint64_t csv_line(const csv_reader *reader);     /* The line, from 1, on which the last row began. */
uint64_t csv_cut_at(const csv_reader *reader);   /* Where the source ended if its last row has no line end; else 0. */
uint64_t csv_bytes_read(const csv_reader *reader);

#endif
