/* Rows of accidents, of files or made up, into a stream: as JSON, each once, however often who does it is killed. A row
 * that is none of the table is refused: it has not as many cells as the header, is not UTF-8, its severity is no digit,
 * or it is no record that the stream takes. The first ones of a run are said with their place. */
#ifndef EXAMPLES_ACCIDENT_PUT_H
#define EXAMPLES_ACCIDENT_PUT_H

#include "feed.h"

typedef struct accident_put {
    const char *key;                     /* the column that becomes the partition key */
    uint64_t rows, seed;                 /* of made-up ones, */
    char **files;                        /* without files */
    int file_count;
    uint64_t repeat, rate, batch;

    uint64_t read, records;              /* rows of these sources, and records of them, also of earlier runs */
    uint64_t noted;                      /* records of all sources that there ever were */
    uint64_t told;                       /* rows that this run has refused */
} accident_put;

/* That the files, of those that are no pipe, have the columns that are needed. 0, or -1: said. */
int accident_put_check(const accident_put *put);

/* All of them, unless a signal comes. The last step may be on its way: feed_wait. 0, or -1: said. */
int accident_put_all(accident_put *put, row_feed *feed);

#endif
