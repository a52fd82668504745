/* The inside of a window operator as window.h has it.
 *
 * element.c  what of a record counts
 * feed.c     batches in, results out
 * rows.c     what is stored of it
 * listing.c  what anybody sees of that
 * run.c      the reader of all shards
 *
 * What it calculates is in window.h and what that names. */
#ifndef LSI_CONSUME_WINDOW_FEED_H
#define LSI_CONSUME_WINDOW_FEED_H

#include <stdatomic.h>

#include "consume/consume.h"
#include "consume/window/window.h"
#include "consume/window/element.h"

/* Its rows in the stream's state, as they were written last. */
typedef struct lsi_window_rows {
    uint64_t version;    /* of the head */
    uint64_t ticket;     /* of who has it: this handle */
    uint64_t first, end; /* the parts that count */
    uint64_t bytes;      /* of them */
    unsigned char *head; /* owned, with its size */
    size_t head_bytes;
} lsi_window_rows;

struct lsi_window {
    lsi_engine_stream *stream;
    const lsi_env *env;
    char name[LSI_STREAM_NAME_MAX + 1]; /* "": nothing is stored */
    ls_window_options options;          /* resolved; its fold is the next */
    ls_window_fold fold;
    size_t tally_bytes;                 /* of a sum, before those of the fold; 0: nothing is summed */
    lsi_window_finder finder;
    lsi_windows *windows;
    bool is_over;                       /* it can only be closed */
    bool has_name;                      /* the name is this handle's, as far as it knows */
    char *place;                        /* owned: where a run goes on. It is never ahead of the inputs. NULL: nowhere */
    lsi_window_rows rows;
    lsi_engine_count *counts;           /* LSI_COUNTS_WINDOW; NULL: nobody can be told */
    uint64_t repeated, cuts, stored_bytes;
    _Atomic bool is_stopped;
};

/* ---- feed.c ---- */
ls_status lsi_window_is_over(const lsi_window *window); /* STATE */
ls_status lsi_window_make_windows(lsi_window *window);  /* In the place of those that it has. */
/* Of a shard that is known. Reckons its watermark, and fires nothing. */
ls_status lsi_window_take(lsi_window *window, const ls_batch *batch);
ls_status lsi_window_fire(lsi_window *window);

/* ---- rows.c: with a name ---- */
#define LSI_WINDOW_PREFIX "window/"
#define LSI_WINDOW_FORMAT 1u
#define LSI_WINDOW_HEAD_BYTES 40u /* then the place, then a snapshot with inputs */
/* Takes what is stored into windows that are new, and the name. */
ls_status lsi_window_rows_claim(lsi_window *window);
ls_status lsi_window_rows_store(lsi_window *window);
ls_status lsi_window_rows_give_up(lsi_window *window);

#endif
