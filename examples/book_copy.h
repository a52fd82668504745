/* The records of one stream put into another one, in the two ways that are faster than one record per call. */
#ifndef EXAMPLES_BOOK_COPY_H
#define EXAMPLES_BOOK_COPY_H

#include "book_report.h"

#include <libstream/libstream.h>

#define BOOK_BATCH_MAX 10000

/* Copies all records of `from` into a new stream `name`, `batch` of them per call, or without waiting for any; `*ns`:
 * how long that took until the last was durable, reading included. Checks that all were stored. 0, or -1: said. */
int book_copy(ls_store *store, ls_stream *from, const char *name, bool is_async, uint32_t batch,
              const book_outcome *outcome, uint64_t *ns);

#endif
