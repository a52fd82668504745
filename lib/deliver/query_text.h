/* One query as it is written, and as it is kept. Inside the room; others use query.h. */
#ifndef LSI_DELIVER_QUERY_TEXT_H
#define LSI_DELIVER_QUERY_TEXT_H

#include <stdbool.h>

#include "deliver/query.h"

#define LSI_QUERY_PARTS_MAX 64u /* as many levels as JSON may have */

/* A step down: into a member of an object, or an element of an array. */
typedef struct lsi_query_part {
    char *name; /* its own; NULL: an element */
    size_t size;
    size_t index;
} lsi_query_part;

typedef struct lsi_query {
    lsi_query_part *parts; /* [part_count] */
    size_t part_count, part_capacity;
    char *time; /* strftime's format, its own; NULL: the value itself is asked for */
    size_t time_size;
} lsi_query;

/* Where a text is read. */
typedef struct lsi_query_reading {
    const lsi_memory *memory;
    const char *start, *at;
    char label[96]; /* what messages begin with */
} lsi_query_reading;

/* Reads one query into a zeroed `query`, up to where it ends, white space behind it included. */
ls_status lsi_query_read(lsi_query_reading *from, lsi_query *query);
void lsi_query_free(const lsi_memory *memory, lsi_query *query); /* The contents; accepts a zeroed one. */

void lsi_query_skip_space(lsi_query_reading *from);
/* A string in double quotes, or a word of letters, digits and _ that begins with no digit: its own, terminated. */
ls_status lsi_query_read_string(lsi_query_reading *from, char **out, size_t *size);
ls_status lsi_query_read_word(lsi_query_reading *from, char **out, size_t *size);
/* INVALID_ARGUMENT, with the column of `at`. */
ls_status lsi_query_refuse(const lsi_query_reading *from, const char *at, const char *why);

#endif
