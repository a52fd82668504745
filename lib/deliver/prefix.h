/* One prefix: text and expressions. Inside the room; others use naming.h. */
#ifndef LSI_DELIVER_PREFIX_H
#define LSI_DELIVER_PREFIX_H

#include "deliver/naming.h"

typedef enum lsi_prefix_part_kind {
    LSI_PART_TEXT,
    LSI_PART_TIME,
    LSI_PART_RANDOM,
    LSI_PART_ERROR_TYPE,
    LSI_PART_FROM_QUERY,
    LSI_PART_FROM_TRANSFORM
} lsi_prefix_part_kind;

typedef struct lsi_prefix_part {
    lsi_prefix_part_kind kind;
    const char *text; /* the text, the time's pattern, or the key's name: a view of the prefix's copy, or constant */
    size_t size;
    uint32_t index;   /* of the query key */
} lsi_prefix_part;

typedef struct lsi_prefix {
    lsi_memory memory;
    char *text;
    lsi_prefix_part *parts; /* [part_count] */
    size_t part_count, part_capacity;
    uint32_t kinds; /* 1 << kind of each that is in it */
} lsi_prefix;

static inline bool lsi_prefix_has(const lsi_prefix *prefix, lsi_prefix_part_kind kind)
{
    return (prefix->kinds & 1u << kind) != 0;
}

/* Reads `text` into a zeroed `prefix`; what was read when it fails is for lsi_prefix_free, too. */
ls_status lsi_prefix_read(lsi_prefix *prefix, const lsi_memory *memory, const lsi_naming_rules *rules,
                          lsi_prefix_use use, const char *text);
/* Puts a constant, or a view of the prefix's text, behind what there is. */
ls_status lsi_prefix_add(lsi_prefix *prefix, lsi_prefix_part_kind kind, const char *text, size_t size);
void lsi_prefix_free(lsi_prefix *prefix); /* The contents; accepts a zeroed one. */

/* Puts all parts one behind the other, or the values of keys alone, each with a slash behind it: INVALID_ARGUMENT for a
 * key that is missing or empty, TOO_LARGE. */
ls_status lsi_prefix_evaluate(const lsi_prefix *prefix, const lsi_naming_values *values, bool is_path,
                              char out[LSI_PREFIX_BYTES]);
ls_status lsi_prefix_evaluate_keys(const lsi_prefix *prefix, const lsi_naming_values *values,
                                   char out[LSI_PREFIX_BYTES]);

/* "prefix" or "error prefix". */
const char *lsi_prefix_use_name(lsi_prefix_use use);

#endif
