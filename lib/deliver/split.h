/* Records that hold several: JSON values one behind the other, or pieces with a delimiter between them
 * (RecordDeAggregation of the service).
 *
 *   L1  The same data has the same pieces in every release: places in a shard count them.
 *   L2  Whatever the data is, there is at least one. White space around JSON values, and delimiters, are in none; nor
 *       are pieces without a byte, unless all are.
 *   L3  What is not JSON by its brackets and quotes, to the end, has no pieces: it is one, which is refused. What is
 *       between them is not looked at. */
#ifndef LSI_DELIVER_SPLIT_H
#define LSI_DELIVER_SPLIT_H

#include <stdbool.h>

#include <libstream/types.h>

/* Whether all of it can be split. `delimiter` "": into JSON values. */
bool lsi_split_check(ls_bytes data, const char *delimiter);
/* The next piece of `*rest`, which was checked; `*rest` is then what is behind it, without a byte at the end. */
ls_bytes lsi_split_next(ls_bytes *rest, const char *delimiter);

#endif
