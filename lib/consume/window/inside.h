/* Inside of windows over event time.
 *
 * window.c    settings, which windows an element is in, firing
 * inputs.c    inputs and watermarks
 * panes.c     what is kept: the panes of each key, and the heap that says which is due
 * snapshot.c  all of it as bytes
 * tally.c     the fold of numbers */
#ifndef LSI_CONSUME_WINDOW_INSIDE_H
#define LSI_CONSUME_WINDOW_INSIDE_H

#include <stdalign.h>

#include "consume/window/window.h"

typedef struct lsi_pane_key lsi_pane_key;

/* One window of one key. */
typedef struct lsi_pane {
    lsi_pane_key *key;
    int64_t start_ms, end_ms;
    int64_t due_ms;     /* the watermark at which something is to be done with it; the heap's order */
    size_t heap_at;
    uint64_t count;     /* elements; 0 only while it is being made */
    bool has_fired;
    bool wants_again;   /* it got an element when its end had passed */
    alignas(max_align_t) unsigned char sum[];
} lsi_pane;

struct lsi_pane_key {
    lsi_pane_key *next; /* of the same place in the table */
    uint64_t hash;
    lsi_pane **panes;   /* ascending by start, then end; `only`, as long as that is enough */
    lsi_pane *only;
    size_t pane_count, pane_capacity;
    lsi_pane_key *changed_next, *changed_before; /* of those that have changed since they were saved */
    bool is_changed;
    bool is_saved;      /* a snapshot has it. Without panes it stays until one was saved that says so */
    size_t size;
    unsigned char bytes[];
};

typedef enum { LSI_INPUT_ACTIVE, LSI_INPUT_IDLE, LSI_INPUT_ENDED } lsi_input_state;

/*     ACTIVE ── tip, for the timeout ──▶ IDLE
 *       ▲ │ ◀───────── element ────────── │
 *       │ └──────── input_end ────────────┴──▶ ENDED  */
typedef struct lsi_window_input {
    uint32_t input;
    lsi_input_state state;
    int64_t watermark_ms;
    int64_t greatest_ms;   /* of the elements, those not yet in the watermark too */
    lsi_point position;
    bool is_ahead;
    bool is_silent;
    int64_t silent_since_ms; /* monotonic */
} lsi_window_input;

struct lsi_windows {
    lsi_memory memory;
    lsi_windows_settings settings;
    int64_t watermark_ms;
    lsi_window_input *inputs; /* ascending */
    size_t input_count, input_capacity;

    lsi_pane_key **table; /* of a power of two places */
    size_t place_count, key_count; /* with those that only wait to be saved as gone: */
    size_t gone_count;
    lsi_pane_key *changed;
    bool has_input_changed;
    lsi_pane **heap;
    size_t pane_count, heap_capacity;
    bool is_flushing;
    uint64_t state_bytes;
    lsi_windows_counts counts;
};

/* Times are of any size: they stop at the ends of what there is. `span_ms` is 0 or more. */
static inline int64_t lsi_ms_plus(int64_t time_ms, int64_t span_ms)
{
    return time_ms > INT64_MAX - span_ms ? INT64_MAX : time_ms + span_ms;
}
static inline int64_t lsi_ms_minus(int64_t time_ms, int64_t span_ms)
{
    return time_ms < INT64_MIN + span_ms ? INT64_MIN : time_ms - span_ms;
}

/* ---- window.c ---- */
/* When something is to be done with a pane, by what has happened to it (V2). */
int64_t lsi_pane_due(const lsi_windows *windows, const lsi_pane *pane);

/* ---- inputs.c ---- */
/* A new one, at its place. Not known yet. NULL: no memory. */
lsi_window_input *lsi_window_input_make(lsi_windows *windows, uint32_t input);
/* Of which something has come: it is active. It is known, and has not ended. */
lsi_window_input *lsi_window_input_wake(const lsi_windows *windows, uint32_t input);

/* ---- panes.c ---- */

/* NULL: there is none. */
lsi_pane_key *lsi_pane_key_find(const lsi_windows *windows, ls_bytes key);
/* Made when there is none, without panes. NO_MEMORY, TOO_LARGE. */
ls_status lsi_pane_key_make(lsi_windows *windows, ls_bytes key, lsi_pane_key **out);
/* Where the first pane is that does not come before [start, end). */
size_t lsi_pane_place(const lsi_pane_key *key, int64_t start_ms, int64_t end_ms);
/* A new pane, without elements. NO_MEMORY, TOO_LARGE. */
ls_status lsi_pane_make(lsi_windows *windows, lsi_pane_key *key, int64_t start_ms, int64_t end_ms, lsi_pane **out);
/* Frees it; its key goes too, when that was its last pane. */
void lsi_pane_drop(lsi_windows *windows, lsi_pane *pane);
/* One without panes: frees it, or keeps it until that was saved. */
void lsi_pane_key_drop(lsi_windows *windows, lsi_pane_key *key);
void lsi_pane_key_changed(lsi_windows *windows, lsi_pane_key *key);
uint64_t lsi_pane_bytes(const lsi_windows *windows); /* of the bound; this and the next */
uint64_t lsi_pane_key_bytes(size_t size);
/* Its `due_ms`, start or end is another one. */
void lsi_pane_moved(lsi_windows *windows, lsi_pane *pane);
void lsi_panes_free(lsi_windows *windows);

#endif
