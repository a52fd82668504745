/* Made-up rows: a table of CSV, or lines of any kind, row by row from a seed; the same bytes for the same seed on every
 * machine, and no more memory than one row, however many there are. Who makes a table writes the function that makes
 * one row, by made_up_draw and made_up_say. */
#ifndef EXAMPLES_MADE_UP_H
#define EXAMPLES_MADE_UP_H

#include <stddef.h>
#include <stdint.h>

#define MADE_UP_ROW_BYTES_MAX 4096

typedef struct made_up made_up;

/* Makes row `row`, from 0: says all of it, with its line end. */
typedef void (*made_up_row)(made_up *rows, uint64_t row);

struct made_up {
    uint64_t random;      /* the generator's state */
    uint64_t row, count;  /* the next one, and how many there are */
    const char *header;   /* NULL: none, or it was given */
    made_up_row make;
    size_t at, size;      /* what of `text` was not yet given */
    char text[MADE_UP_ROW_BYTES_MAX];
};

/* `header` is what comes first, with its line end, or NULL. It lives as long as the rows. */
void made_up_begin(made_up *rows, uint64_t seed, uint64_t count, const char *header, made_up_row make);

uint64_t made_up_draw(made_up *rows, uint64_t bound); /* A number below `bound`. */

/* Adds to the row. */
__attribute__((format(printf, 2, 3))) void made_up_say(made_up *rows, const char *format, ...);

/* The next row alone, which ends with a NUL as well; NULL behind the last one. A view until the next call. */
const char *made_up_next(made_up *rows, size_t *size);

/* The next bytes; 0 at the end. Has the form of csv_source (csv.h), `user` being the made_up. */
ptrdiff_t made_up_read(void *user, char *to, size_t capacity);

#endif
