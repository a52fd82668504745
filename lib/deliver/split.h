/* Records that hold several: JSON values one behind the other, or pieces that a delimiter ends. */
#ifndef LSI_DELIVER_SPLIT_H
#define LSI_DELIVER_SPLIT_H

#include <stddef.h>

#include <libstream/status.h>
#include <libstream/types.h>

#include "base/alloc.h"

#define LSI_DELIMITER_MAX 128u /* bytes */

typedef struct lsi_splitter lsi_splitter; /* one thread at a time */

/* JSON: {"a":1}{"a":2}, white space between them or none, which belongs to no value. Values of any kind count, and an
 * array is one. UNSUPPORTED without JSON, NO_MEMORY. */
ls_status lsi_splitter_open_json(const lsi_memory *memory, lsi_splitter **out);
/* Pieces end before each `delimiter`, which is in none of them, and the last one where the record does. A piece without
 * bytes is none: between two delimiters nothing was sent. INVALID_ARGUMENT: the delimiter is empty or too long. */
ls_status lsi_splitter_open_delimited(const lsi_memory *memory, ls_bytes delimiter, lsi_splitter **out);
void lsi_splitter_close(lsi_splitter *splitter); /* Accepts NULL. */

/* All pieces of `data`, of which they are views, in an array that lives until the next call. There may be none.
 * `*reason` NULL: these are they; else why the record cannot be split, one line that lives as long, and there are none:
 * a record is split as a whole or not at all. NO_MEMORY. */
ls_status lsi_splitter_split(lsi_splitter *splitter, ls_bytes data, const ls_bytes **pieces, size_t *count,
                             const char **reason);

#endif
