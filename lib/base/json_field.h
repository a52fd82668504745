/* A member of JSON documents, named by the way to it through objects ("bid.price"), and found while a document is read
 * (json.h), in one pass that builds nothing, any number of them at once. Of equal names each is found: the last
 * counts. */
#ifndef LSI_BASE_JSON_FIELD_H
#define LSI_BASE_JSON_FIELD_H

#include <stdbool.h>
#include <stddef.h>

#include <libstream/types.h>

#include "base/alloc.h"
#include "base/json.h"

typedef struct lsi_json_field {
    char *path;      /* its own */
    ls_bytes *parts; /* [part_count], views of `path` */
    unsigned part_count; /* 0: none is asked for */
    unsigned level;  /* while a document is read: so many of the objects that are open are on the way */
} lsi_json_field;

/* `path` is copied; NULL: the field is never found. NO_MEMORY; then, too, it is for lsi_json_field_free. */
int32_t lsi_json_field_init(const lsi_memory *memory, lsi_json_field *field, const char *path);
void lsi_json_field_free(const lsi_memory *memory, lsi_json_field *field); /* The contents; accepts a zeroed one. */

/* Before each document. */
static inline void lsi_json_field_begin(lsi_json_field *field)
{
    field->level = 0;
}
/* For each token of it: whether it is the field's value, or opens it. */
bool lsi_json_field_is(lsi_json_field *field, lsi_json_kind kind, const char *text, size_t size, unsigned depth);

#endif
