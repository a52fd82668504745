/* A made-up table of books as CSV: the columns of the seed (Title, Author(s), Price, Description), the same bytes for
 * the same seed on every machine. Some prices are missing, some have thousands commas, some a currency sign; some
 * titles are longer than a partition key may be; some cells hold commas, quotes and line ends. */
#ifndef EXAMPLES_BOOK_ROWS_H
#define EXAMPLES_BOOK_ROWS_H

#include <stddef.h>
#include <stdint.h>

#define BOOK_ROWS_DEFAULT UINT64_C(8786) /* As many as the seed's larger case. */
#define BOOK_ROWS_SEED_DEFAULT UINT64_C(1)
#define BOOK_ROW_BYTES_MAX 8192

typedef struct book_rows {
    uint64_t random;    /* the generator's state */
    uint64_t rows_left;
    uint64_t row;       /* the next one, from 0; the header comes before it */
    size_t at, size;    /* what of `text` was not yet given */
    int header_given;
    char text[BOOK_ROW_BYTES_MAX];
} book_rows;

void book_rows_begin(book_rows *rows, uint64_t seed, uint64_t count);

/* The next bytes of the table; 0 at its end. Has the form of csv_source (csv.h), `user` being the book_rows. */
ptrdiff_t book_rows_read(void *user, char *to, size_t capacity);

#endif
