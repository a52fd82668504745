/* What came of the book pipeline, and how it is shown: a line that says how far it is, a report, JSON. */
#ifndef EXAMPLES_BOOK_REPORT_H
#define EXAMPLES_BOOK_REPORT_H

#include "decimal.h"

#include <stdbool.h>
#include <stdint.h>

/* One run: how much of what, and what the seed needed for it. */
typedef struct book_job {
    uint32_t shards;
    uint64_t rows;        /* at most */
    double seed_seconds;  /* 0: no case of the seed */
    uint64_t seed_rows;   /* made up, without files */
} book_job;

/* Why a row is refused. */
enum { BOOK_TITLE_TOO_LONG, BOOK_NO_TITLE, BOOK_NOT_UTF8, BOOK_TOO_LARGE, BOOK_WRONG_CELL_COUNT, BOOK_REASONS };

typedef struct book_shard {
    uint64_t put_count, put_hash;
    uint64_t read_count, read_hash;
} book_shard;

typedef struct book_outcome {
    uint64_t records, accepted;
    uint64_t refused[BOOK_REASONS];
    uint64_t put_ns, page_ns, async_ns; /* one record per call; a page per call; without waiting */
    book_shard *shards;
    uint32_t shard_count;
    uint64_t books, priced; /* read back */
    decimal sum;
} book_outcome;

void book_print_json(const book_job *job, const book_outcome *outcome); /* without a line end */
void book_print_report(const book_job *job, const book_outcome *outcome);

/* A line on the terminal that says how far it is, ten times a second; nothing when standard error is no terminal. */
typedef struct book_progress {
    bool shown;
    uint64_t next_ns;
    uint64_t bytes_total; /* of the files; 0: unknown */
} book_progress;

void book_progress_show(book_progress *progress, uint64_t now_ns, const char *what, uint64_t done, uint64_t bytes);
void book_progress_end(book_progress *progress);

#endif
