/* Inside storage: segment files in blocks, compressed when the segment was sealed. FORMAT.md, "Segments in blocks". */
#ifndef LSI_STORAGE_BLOCKS_H
#define LSI_STORAGE_BLOCKS_H

#include "storage/segment.h"

#define LSI_BLOCK_BYTES 65536u

/* Lets `file`, the open file `name` of a segment with that seed, be read as the segment was before: every offset has
 * the byte that it had. What cannot be unpacked reads as zeros, which are no frame, and so is damage of just that
 * place.
 * `must`: CORRUPT when there are no blocks in it; else it is then left as it is. */
ls_status lsi_blocks_attach(const lsi_env *env, const char *name, uint64_t seed, bool must, lsi_file *file);
/* The segment's first `bytes` bytes into the empty file `to`, in blocks. `*made`: what that takes. */
ls_status lsi_blocks_write(const lsi_env *env, const lsi_segment *from, uint64_t bytes, const lsi_file *to,
                           const char *to_name, uint64_t *made);

#endif
