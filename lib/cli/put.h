/* The inside of `lstream put`:
 *
 *     cmd_put.c     options; lines and their keys; the summary
 *     put_batch.c   a batch after the other, waited for
 *     put_async.c   --async and --aggregate: nobody waits for a batch
 *     put_said.c    what is said of lines, and the progress bar */
#ifndef LSI_CLI_PUT_H
#define LSI_CLI_PUT_H

#include "cli/cli.h"

#include <inttypes.h>

typedef struct lsi_put_async lsi_put_async;

typedef struct lsi_put_line {
    size_t key_at, key_size, data_at, data_size; /* in the batch's bytes, which may move while it grows */
    uint64_t line;
} lsi_put_line;

typedef struct lsi_put_run {
    const lsi_call *call;
    ls_producer *producer;
    lsi_put_async *async; /* NULL: a batch after the other */
    uint64_t aggregates;  /* that async stored */
    ls_put_options put;
    const ls_hash_key *explicit_hash_key;
    const char *input; /* its name */
    lsi_lines *lines;
    char delimiter;
    bool key_by_name, no_retry;
    size_t key_column;

    lsi_put_line *records; /* [batch_max] */
    ls_put_entry *entries;
    ls_put_result *results;
    size_t count, batch_max;
    char *bytes;
    size_t bytes_size, bytes_capacity;
    char *scratch; /* a line's worth, for undoing quotes */
    size_t scratch_capacity;

    uint64_t read, stored, refused, data_bytes;
    uint64_t waited_ms;   /* for limits of the stream */
    uint32_t tries;       /* to be let in, in a row */
    int stop_code;        /* not LSI_EXIT_OK: give up */
    char not_stored[72];  /* lines of the last batch that were not, as ranges, and not said yet */
    uint64_t range_first, range_last; /* the one that grows; 0: none */
    bool is_unknown;      /* of one of them the outcome is */
    bool bar;             /* a progress bar is wanted */
    uint64_t input_bytes; /* 0: not known */
    int64_t began_ms, drawn_ms;
} lsi_put_run;

/* ---- put_said.c ---- */

void lsi_put_clear_bar(const lsi_put_run *run);
void lsi_put_draw_bar(lsi_put_run *run);
void lsi_put_refuse(lsi_put_run *run, uint64_t line, const char *reason);
bool lsi_put_is_record_fault(ls_status status);
/* Of a put that a shard refuses since a sync failed the library says so (producer.h). */
bool lsi_put_is_unknown(ls_status status, const char *message);
/* Says that `status` ended the command at `line`. */
void lsi_put_give_up(lsi_put_run *run, uint64_t line, ls_status status, const char *message);
/* The line is not stored because the command ends; lines come rising. Then all of them are said. */
void lsi_put_note(lsi_put_run *run, uint64_t line);
void lsi_put_end_notes(lsi_put_run *run);
/* True: a signal came, and the command ends. */
bool lsi_put_is_interrupted(lsi_put_run *run);

/* ---- put_batch.c ---- */

void lsi_put_batch(lsi_put_run *run); /* what was gathered */

/* ---- put_async.c ---- */

/* `batch_max` 0: the library's. LSI_EXIT_OK, or it was said why not. */
int lsi_put_async_open(lsi_put_run *run, ls_stream *stream, uint32_t batch_max, bool aggregates);
void lsi_put_async_line(lsi_put_run *run, uint64_t line, ls_bytes key, ls_bytes data);
void lsi_put_async_look(lsi_put_run *run); /* how far it is */
/* Waits for all of it, and says what was not stored. `run->async` is NULL then. */
void lsi_put_async_close(lsi_put_run *run);

#endif
