/* Takes the files that are in a directory, and those that are dropped into it, into a stream: the body of each becomes
 * a record. A file is taken once in each version of it, also after who took it was killed: its record and the note of
 * the version are one step. What is larger than a record may be is refused, and said.
 *
 * A file is a name in a directory, by whatever path or link that was given; one that is renamed, or whose directory is,
 * is another. A version is its size and the time at which it was last written, in nanoseconds: what takes its place
 * with both the same is taken for the same, and one that is written again with the same content is another version. */
#ifndef EXAMPLES_FILE_TAKER_H
#define EXAMPLES_FILE_TAKER_H

#include "feed.h"
#include "file_dropper.h"

#define FILE_TAKER_KEY "123" /* The partition key of all, as the seed has it. */

typedef struct file_taker {
    const char *directory, *suffix;
    file_dropper *dropper;     /* Begun, and its end waited for. NULL: others drop files. */
    double idle_s;             /* Without a dropper: ends when no file has come for so long; 0: when a signal does. */
    bool quiet;                /* What is taken is not printed. */
    uint64_t records, refused; /* by this run */
} file_taker;

int file_taker_run(file_taker *taker, row_feed *feed); /* 0, or -1: said. */

#endif
