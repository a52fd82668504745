/* A set of ordinals, of which all below its base are in it: which records of a shard were delivered, counted from the
 * one behind its checkpoint. Partitions are delivered at different times, so that what was delivered beyond the
 * checkpoint is no prefix. A bit for each. */
#ifndef LSI_DELIVER_MARKS_H
#define LSI_DELIVER_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/bytes.h"

typedef struct lsi_marks {
    const lsi_memory *memory;
    uint64_t origin; /* of the first word: a multiple of 64, at or below what was forgotten */
    uint64_t end;    /* one behind the last that is in it; what lies at or behind it is not */
    uint64_t *words;
    size_t capacity; /* of words; those that were not used yet are 0 */
} lsi_marks;

void lsi_marks_init(lsi_marks *marks, const lsi_memory *memory);
void lsi_marks_free(lsi_marks *marks); /* It is empty then, and can be used. */
/* [from, to), which lies at or behind what was forgotten. False: no memory, nothing changed. */
bool lsi_marks_add(lsi_marks *marks, uint64_t from, uint64_t to);
void lsi_marks_forget(lsi_marks *marks, uint64_t below); /* They are not asked for any more. */
bool lsi_marks_has(const lsi_marks *marks, uint64_t at);  /* At or behind what was forgotten. */

/* As bytes, counted from `from`: runs of those that are not in it and of those that are, by turns, each a number of 7
 * bits in a byte, low ones first, all but the last byte with 0x80. */
size_t lsi_marks_bytes(const lsi_marks *marks, uint64_t from);
void lsi_marks_write(const lsi_marks *marks, uint64_t from, lsi_writer *to);
/* Adds what `bytes` say, counted from `from`. `*is_bad`: they say nothing, or more than can be. False: no memory. */
bool lsi_marks_read(lsi_marks *marks, uint64_t from, const unsigned char *bytes, size_t size, bool *is_bad);

#endif
