/* Inside of filters: what patterns are compiled to, shared by the files that compile it and match it.
 *
 * filter.c          opening and closing; a record's own fields
 * compile.c  the text of a pattern into a tree of parts
 * choices.c  choices whose alternatives cannot be tried one by one
 * paths.c    the places in records that patterns ask for
 * value_tests.c    what stands in a list of matchers, compiled, and a value held against it
 * values.c   a record's data, reduced to the values that some pattern asks for
 * match.c    a tree of parts against those values
 *
 * Keys with dots are the same as nesting, so both sides are cut at their dots: a *path* is a place in records that some
 * pattern asks for, and each has one entry here, however patterns and records spell it. */
#ifndef LSI_CONSUME_FILTER_FILTER_H
#define LSI_CONSUME_FILTER_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/types.h>

#include "base/address.h"
#include "base/json.h"
#include "consume/consume.h"

#define LSI_FILTER_DEPTH_MAX 64u /* of a path, and of what is open at once in patterns and data */
#define LSI_FILTER_TEXT_MAX 65536u
#define LSI_FILTER_OR "$or"

/* ---- what patterns become ---- */

/* The last key of a record that led to a path; see values.c. */
typedef struct lsi_filter_seen {
    uint64_t object;
    uint32_t value;
} lsi_filter_seen;

typedef struct lsi_path {
    const char *step; /* from the path above to here */
    size_t step_size;
    struct lsi_path *above; /* NULL: the record itself */
    struct lsi_path *first, *next; /* those below, while patterns are compiled */
    struct lsi_path **below;       /* and afterwards: [below_count], by size, then by bytes */
    uint64_t first_bytes;          /* of their steps: a bit for the lower six of each; all when one is empty */
    uint32_t below_count;
    uint32_t depth;                /* 0: the record itself */
    bool is_leaf;                  /* some list of matchers stands here */
    lsi_filter_seen *seen;         /* [depth]: by how many steps less one the key had */
} lsi_path;

typedef struct lsi_matchers lsi_matchers;

typedef enum {
    LSI_TEST_PREFIX, LSI_TEST_SUFFIX, LSI_TEST_FOLDED, LSI_TEST_FOLDED_PREFIX, LSI_TEST_FOLDED_SUFFIX,
    LSI_TEST_WILDCARD, LSI_TEST_NUMERIC, LSI_TEST_CIDR, LSI_TEST_ANYTHING_BUT
} lsi_test_kind;

/* A matcher that is no literal. */
typedef struct lsi_test {
    lsi_test_kind kind;
    ls_bytes text;
    ls_bytes *pieces; /* WILDCARD: what stands between the stars, [piece_count], at least one */
    size_t piece_count;
    double low, high; /* NUMERIC */
    bool is_low_in, is_high_in;
    lsi_address block; /* CIDR */
    uint32_t bits;
    lsi_matchers *but; /* ANYTHING_BUT */
} lsi_test;

/* A list of matchers, of which one must match. Literals are ascending. */
struct lsi_matchers {
    bool exists, absent; /* {"exists": true}, {"exists": false} */
    bool is_null, is_true, is_false;
    ls_bytes *strings;
    size_t string_count;
    double *numbers; /* those that survive being a double */
    size_t number_count;
    ls_bytes *texts; /* the other numbers */
    size_t text_count;
    lsi_test *tests;
    size_t test_count;
};

/* What an object of a pattern asks for: every field, and of each choice ("$or") one part. */
typedef struct lsi_part {
    struct lsi_filter_field *fields;
    struct lsi_choice *choices;
    bool may_be_absent; /* it can match where there is nothing */
    bool is_resolved, is_finished; /* while it is compiled */
} lsi_part;

typedef struct lsi_filter_field {
    lsi_path *at; /* directly below the part's */
    lsi_matchers *matchers; /* NULL: none; both must match, if there are both */
    lsi_part *part;
    struct lsi_filter_field *next;
} lsi_filter_field;

typedef struct lsi_choice {
    struct lsi_alternative *alternatives;
    struct lsi_choice *next;
} lsi_choice;

typedef struct lsi_alternative {
    lsi_part *part;
    struct lsi_alternative *next;
} lsi_alternative;

typedef struct lsi_pattern {
    lsi_part *part;
    bool asks_data;
} lsi_pattern;

/* ---- what records become ---- */

typedef enum {
    LSI_VALUE_DEAD, /* a later one under the same key took its place */
    LSI_VALUE_OBJECT, LSI_VALUE_ARRAY,
    LSI_VALUE_NULL, LSI_VALUE_TRUE, LSI_VALUE_FALSE, LSI_VALUE_NUMBER, LSI_VALUE_STRING /* the leaves */
} lsi_value_kind;

/* Named by its place in `values`, of which the first is not used: 0 is none. */
typedef struct lsi_filter_value {
    const lsi_path *at;
    const char *text; /* STRING, NUMBER */
    uint32_t text_size;
    uint32_t first;  /* of an object or array */
    uint32_t next;   /* in the same object or array */
    uint32_t in_set; /* the next one of the set that is being matched */
    lsi_value_kind kind;
} lsi_filter_value;

static inline bool lsi_value_is_leaf(const lsi_filter_value *value)
{
    return value->kind >= LSI_VALUE_NULL;
}

/* An object or array of the data that is open. */
typedef struct lsi_filter_frame {
    uint32_t container, last; /* values: itself, and the last one in it */
    bool is_array;
    const lsi_path *at;
    uint64_t object;    /* a number of its own */
    lsi_path *key_path; /* of an object: where its last key led, NULL: nobody asks for it */
    uint32_t key_steps;
} lsi_filter_frame;

enum {
    LSI_FIELD_PARTITION_KEY, LSI_FIELD_SEQUENCE_NUMBER, LSI_FIELD_SCHEMA_VERSION, LSI_FIELD_ARRIVAL,
    LSI_FIELD_EVENT_SOURCE, LSI_FIELD_EVENT_VERSION, LSI_FIELD_EVENT_ID, LSI_FIELD_EVENT_NAME,
    LSI_FIELD_IDENTITY_ARN, LSI_FIELD_REGION, LSI_FIELD_SOURCE_ARN, LSI_FIELD_DATA, LSI_FIELD_COUNT
};

struct lsi_filter {
    lsi_memory memory;
    struct lsi_filter_block *blocks; /* all of what patterns became */
    lsi_pattern *patterns;
    size_t pattern_count;
    uint32_t combination_count; /* choices.c */
    lsi_path *record;
    lsi_path *fields[LSI_FIELD_COUNT]; /* NULL: nobody asks for it */
    const char *constants[LSI_FIELD_COUNT];
    uint64_t not_json_count;

    /* Of the record at hand; the memory is kept. */
    lsi_json_reader *reader;
    lsi_filter_value *values;
    size_t value_capacity;
    uint32_t value_count;
    char *texts; /* of strings with escapes */
    size_t text_capacity, text_used;
    const char *data;
    size_t data_size;
    uint64_t object_count; /* numbers given so far, to all records */
    uint32_t level, skipped;
    ls_status st;
    lsi_filter_frame frames[LSI_FILTER_DEPTH_MAX + 1];
};

/* ---- filter.c ---- */
void *lsi_filter_keep(lsi_filter *filter, size_t bytes); /* cleared, until the filter is closed; NULL: no memory */

/* ---- paths.c ---- */
/* The path one step below; made when there is none. NULL: no memory. While patterns are compiled. */
lsi_path *lsi_path_make(lsi_filter *filter, lsi_path *above, const char *step, size_t size);
/* Sorts what was made, from `path` on; afterwards it can be found. */
ls_status lsi_paths_finish(lsi_filter *filter, lsi_path *path);
/* NULL: nobody asks for it. */
lsi_path *lsi_path_find(const lsi_path *above, const char *step, size_t size);
/* The same for a key of any number of steps, which is `*steps` then. */
lsi_path *lsi_path_find_key(const lsi_path *above, const char *key, size_t size, uint32_t *steps);

/* ---- compile.c ---- */
ls_status lsi_filter_compile(lsi_filter *filter, const char *text, lsi_pattern *out);
/* INVALID_ARGUMENT with the text that the service has before its reasons. */
ls_status lsi_filter_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A pattern as JSON, while it is compiled: members of one key were reduced to the last of them. */
typedef struct lsi_filter_node {
    lsi_json_kind kind; /* never KEY or CLOSE */
    ls_bytes text, key;
    struct lsi_filter_node *above, *first, *last, *next;
} lsi_filter_node;

/* ---- choices.c ---- */
ls_status lsi_choices_resolve(lsi_filter *filter, lsi_part *part);

/* ---- value_tests.c ---- */
ls_status lsi_matchers_compile(lsi_filter *filter, const lsi_filter_node *array, lsi_matchers **out);
bool lsi_matchers_match(const lsi_matchers *matchers, const lsi_filter_value *leaf);

/* ---- values.c ---- */
/* A new record: one object without members. */
ls_status lsi_filter_values_begin(lsi_filter *filter);
ls_status lsi_filter_values_add(lsi_filter *filter, lsi_path *at, lsi_value_kind kind, const char *text, size_t size);
/* Its data. `*is_json` false: it is none, and nothing was added. */
ls_status lsi_filter_values_read(lsi_filter *filter, const void *data, size_t size, bool *is_json);

/* ---- match.c ---- */
bool lsi_filter_part_matches(lsi_filter *filter, const lsi_part *part); /* against the record's values */

#endif
