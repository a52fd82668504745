/* A CSV file with a header: rows of as many cells as the header has, and columns by name. */
#ifndef EXAMPLES_COLUMNS_H
#define EXAMPLES_COLUMNS_H

#include "csv.h"

typedef struct csv_columns {
    csv_reader *reader;
    const char *path;   /* for messages */
    char **names;
    size_t count;
} csv_columns;

/* Opens a file, or what `source` gives (then `path` is its name), and reads the header. 0, or -1: said. Both are closed
 * by columns_close, also after a failure; `columns` is zero before. */
int columns_open(csv_columns *columns, const char *path, csv_source source, void *user);
void columns_close(csv_columns *columns);

/* Where the column of that very name is. 0, or -1: there is none, and it was said which there are. */
int columns_find(const csv_columns *columns, const char *name, size_t *at);

/* The next row, whatever it is: 1; 0 at the end; -1: said. */
int columns_next(csv_columns *columns, const csv_cell **cells, size_t *count);

/* NULL, or why the row is none of this table: not as many cells as the header, or a cell that is not UTF-8. */
const char *columns_refuse(const csv_columns *columns, const csv_cell *cells, size_t count);

#endif
