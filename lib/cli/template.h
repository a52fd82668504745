/* Files that say what a store is to have: JSON as a tree that knows its lines, parameters put in, and fields taken by
 * tables. What is wrong is told as "FILE:LINE: Streams[0].ShardCount: ...". */
#ifndef LSI_CLI_TEMPLATE_H
#define LSI_CLI_TEMPLATE_H

#include "cli/cli.h"

typedef struct lsi_node {
    lsi_json_kind kind; /* never KEY or a CLOSE */
    char *text;         /* of a scalar, as lsi_json_event has it, terminated */
    char *key;          /* of a member; NULL: an element */
    uint32_t index;     /* of an element */
    uint32_t line;
    struct lsi_node *above, *first, *last, *next;
    struct lsi_node *made_before; /* the list of all */
} lsi_node;

typedef struct lsi_template {
    const lsi_call *call;
    const char *path;
    char *text; /* the file */
    size_t size;
    lsi_node *root;
    lsi_node *made; /* all nodes, the last one first */
} lsi_template;

/* Reads the file "-": standard input; `settings` [count] are NAME=VALUE, which take the place of its parameters'
 * defaults. Says what is wrong and returns an exit code. `out` is for lsi_template_free, whatever comes of it. */
int lsi_template_load(const lsi_call *call, const char *path, const char *const *settings, size_t count,
                      lsi_template *out);
void lsi_template_free(lsi_template *template);

/* Says what is wrong at a node, and returns LSI_EXIT_USAGE. */
int lsi_template_refuse(const lsi_template *template, const lsi_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The member of an object; NULL: it has none of that name. */
const lsi_node *lsi_node_member(const lsi_node *object, const char *key);

/* ---- fields of an object ---- */

typedef enum {
    LSI_TAKE_TEXT,   /* const char *; not empty */
    LSI_TAKE_STRING, /* the same, which may be empty */
    LSI_TAKE_NUMBER, /* int64_t, min..max */
    LSI_TAKE_BOOL,   /* int32_t: 0 or 1 */
    LSI_TAKE_WORD,   /* int32_t: the place among `words` */
    LSI_TAKE_TIME,   /* int64_t: microseconds; seconds since 1970, or a text as lsi_parse_time has it */
    LSI_TAKE_LIST,   /* const lsi_node *: an array */
    LSI_TAKE_OBJECT, /* const lsi_node *: an object */
    LSI_TAKE_NODE    /* const lsi_node *: anything but null */
} lsi_take_kind;

typedef struct lsi_take {
    const char *name; /* NULL: the end */
    lsi_take_kind kind;
    size_t at;        /* of the place in the struct that is filled */
    bool is_needed;
    int64_t min, max;
    const char *const *words; /* NULL at the end */
} lsi_take;

/* Fills `to` with what the object says; what it does not say stays as it is. Says what is wrong and returns an exit
 * code. */
int lsi_take_fields(const lsi_template *template, const lsi_node *object, const lsi_take *takes, void *to);

#endif
