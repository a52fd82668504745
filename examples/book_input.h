/* The rows of several tables of books, one table after the other, each with its own header; or a made-up table. */
#ifndef EXAMPLES_BOOK_INPUT_H
#define EXAMPLES_BOOK_INPUT_H

#include "book_rows.h"
#include "columns.h"

#include <stdbool.h>

typedef struct book_input {
    const char *title, *price; /* the columns that each table has: by exactly that name, or else in either case */
    char **files;
    int file_count;            /* 0: what is made up */
    book_rows *rows;

    int file;                  /* the next one */
    bool is_open;
    csv_columns table;         /* of the current one; the names of its columns differ */
    size_t title_at;
    uint64_t bytes_before;     /* of the files that were read */
} book_input;

/* The next row, whatever it is: 1; 0 at the end of the last table; -1: said. */
int book_input_next(book_input *input, const csv_cell **cells, size_t *count);
uint64_t book_input_bytes(const book_input *input); /* How many were read. */
void book_input_close(book_input *input);

#endif
