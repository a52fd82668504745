/* Making a store what a template says, kind by kind: streams, then what belongs to them.
 *
 * All of it is read first, compared with what there is, and made once in a store in memory, whose calls find whatever
 * is wrong with it: only then something is changed. What a template does not say of a thing that is there stays as it
 * is; of one that is made it is the default. */
#ifndef LSI_CLI_APPLY_H
#define LSI_CLI_APPLY_H

#include "cli/template.h"

/* So often what another process undoes in between is done. */
#define LSI_APPLY_TRIES 16

typedef struct lsi_apply_kind lsi_apply_kind;

typedef enum { LSI_THING_NEW, LSI_THING_CHANGED, LSI_THING_SAME } lsi_thing_state;

/* Something that the template declares. */
typedef struct lsi_thing {
    const lsi_apply_kind *kind;
    const lsi_node *node;
    const char *stream; /* its stream's name, or its own */
    const char *name;   /* NULL: of a stream */
    lsi_thing_state state;
    bool is_told;       /* what became of it */
    void *wanted;       /* the kind's own */
    struct lsi_thing *next;
} lsi_thing;

typedef struct lsi_apply {
    const lsi_call *call;
    lsi_template template;
    lsi_thing *things; /* in the order of kinds, and in that of the template */
    ls_store *store;   /* the store, opened for reading at first; NULL: there is none */
    ls_store *trial;   /* in memory */
    bool is_outdated;  /* what was found of a thing: another process has made it meanwhile */
} lsi_apply;

struct lsi_apply_kind {
    const char *section, *noun;
    size_t wanted_bytes;
    /* Names and defaults; then what the node says. Both return an exit code, having said what is wrong. */
    int (*begin)(lsi_apply *apply, lsi_thing *thing);
    int (*fill)(lsi_apply *apply, lsi_thing *thing);
    /* What is there instead of the defaults; `*is_there`. `stream` is that of the store. */
    ls_status (*look)(lsi_thing *thing, ls_stream *stream, bool *is_there);
    /* Whether what was filled in differs, and may. Returns an exit code. `stream` NULL: there is none. */
    int (*compare)(lsi_apply *apply, lsi_thing *thing, ls_stream *stream);
    /* Whether something that is there may be removed. Returns an exit code, having said why not. NULL: always. */
    int (*check_removal)(lsi_apply *apply, const lsi_thing *thing, ls_stream *stream);
    ls_status (*make)(const lsi_thing *thing, ls_store *store, ls_stream *stream); /* `stream` NULL: of streams */
    ls_status (*change)(const lsi_thing *thing, ls_store *store, ls_stream *stream);
    ls_status (*remove)(const lsi_thing *thing, ls_store *store, ls_stream *stream);
    /* What it needs besides its stream, in the trial. Returns an exit code. NULL: nothing. */
    int (*prepare)(lsi_apply *apply, const lsi_thing *thing, ls_stream *trial);
    /* What it has outside of the store: after it was made, but before it is changed or removed, as long as the store
     * says where that is: whoever is killed in between is finished by the next one. Both return an exit code, having
     * said what is wrong. NULL: nothing. */
    int (*make_beside)(lsi_apply *apply, const lsi_thing *thing);
    int (*remove_beside)(lsi_apply *apply, const lsi_thing *thing);
    void (*end)(lsi_thing *thing); /* frees what `wanted` points to. NULL: nothing */
};

extern const lsi_apply_kind lsi_apply_streams, lsi_apply_mappings, lsi_apply_deliveries, lsi_apply_alerts;

/* Makes a stand-in for a stream in the trial, if the template does not declare it; it must be in the store then. `node`
 * names it. Returns an exit code. */
int lsi_apply_need_stream(lsi_apply *apply, const lsi_node *node, const char *name);
/* Refuses a thing that is new and whose name a group of its stream has already; `stream` NULL: there is none. If it is
 * there by now, that is `is_outdated`. */
int lsi_apply_need_name(lsi_apply *apply, lsi_thing *thing, ls_stream *stream);

/* ---- apply_schema.c: a delivery's schema, DIRECTORY/_NAME.schema ---- */
bool lsi_schema_is(const char *directory, const char *name, const lsi_node *schema); /* it is there, as it is said */
/* These return an exit code, having said what is wrong; one that is not there is moved and removed already (cli.h). */
int lsi_schema_write(const lsi_call *call, const char *directory, const char *name, const lsi_node *schema);
int lsi_schema_move(const lsi_call *call, const char *from, const char *to, const char *name);
/* Removes it from one of them, if they are not the same directory. */
int lsi_schema_leave(const lsi_call *call, const char *from, const char *to, const char *name);
/* What would keep the above from writing, from moving it away and from removing it, as far as that shows without doing
 * so: 0 or an errno. */
int lsi_schema_write_trouble(const char *directory, const char *name);
int lsi_schema_move_trouble(const char *from, const char *to, const char *name);
int lsi_schema_remove_trouble(const char *directory, const char *name);

/* ---- apply_processors.c: the processors of a delivery ---- */
#define LSI_PROCESSOR_KEYS_MAX 50
typedef struct lsi_processors {
    ls_delivery_options *to;
    const char *keys[LSI_PROCESSOR_KEYS_MAX], *queries[LSI_PROCESSOR_KEYS_MAX];
    char *query_text, *delimiter, *split; /* its own */
} lsi_processors;
/* Sets what `list` (NULL: there are none) says of `to`, whose texts are then those of `own`. Returns an exit code. */
int lsi_processors_take(lsi_apply *apply, lsi_processors *own, const lsi_node *list, ls_delivery_options *to);
void lsi_processors_free(lsi_processors *own);

/* ---- fields that are not said ---- */
#define LSI_NOT_SAID INT64_MIN
#define LSI_NO_WORD (-1)

/* Where the thing begins, for kinds that read. */
typedef struct lsi_start {
    int32_t position;     /* a place among lsi_start_words, or LSI_NO_WORD */
    int64_t timestamp_us; /* or LSI_NOT_SAID */
} lsi_start;
extern const char *const lsi_start_words[];
/* Of one that is there `kind` and `timestamp_us` are where it began; of one that is new `is_new`, and the position is
 * needed. Returns an exit code. */
int lsi_start_check(lsi_apply *apply, const lsi_thing *thing, const lsi_start *start, ls_position_kind kind,
                    int64_t timestamp_us);
ls_position lsi_start_position(const lsi_start *start);

#endif
