/* Windows over event time, after Apache Flink: elements with a key and a time of their own come in from several inputs
 * (shards), results come out when no more elements of their window are expected. Pure: no threads, files or clocks.
 *
 *     for each batch of an input:
 *         lsi_windows_add for each of its elements     LATE: it belongs to the late output
 *         lsi_windows_advance                          after them, not before: the batch's own older ones are in time
 *         lsi_windows_next until it gives nothing      results
 *
 * Times are milliseconds since the epoch, of either sign. A window is [start, end).
 *
 *   V1  The watermark w says that no element with a time <= w is expected. Of an input it is its greatest time less
 *       `delay_ms`; of all the least of the inputs that are neither idle nor ended. It never goes back.
 *   V2  A window fires when w >= end - 1. It is kept until w >= end - 1 + lateness; an element of one that is not kept
 *       any more is late. One for a window that has fired makes it fire again.
 *   V3  An element is in all of its windows or, when adding fails, in none.
 *   V4  A new input has no watermark, and holds everything back until its first element or until it is idle; but one
 *       that continues ended ones begins with the least of theirs.
 *   V5  Results come in the order of their time, then of end, start and key. */
#ifndef LSI_CONSUME_WINDOW_WINDOW_H
#define LSI_CONSUME_WINDOW_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/status.h>
#include <libstream/types.h>

#include "base/alloc.h"
#include "stream/stream.h"

typedef struct lsi_windows lsi_windows;

#define LSI_WATERMARK_NONE INT64_MIN
#define LSI_WINDOW_MS_MAX (INT64_C(1) << 60) /* of sizes, steps, gaps, delay and lateness */
#define LSI_WINDOWS_OF_ELEMENT_MAX 10000u    /* size / step */

typedef enum {
    LSI_WINDOWS_TUMBLING,   /* size */
    LSI_WINDOWS_SLIDING,    /* size; one begins every `step_ms`, and if that is more, some elements are in none */
    LSI_WINDOWS_CUMULATING, /* size, and results of what there is of it at every `step_ms`, of which it is a multiple */
    LSI_WINDOWS_SESSION     /* `gap_ms`: elements at most that far apart are in one window of their key */
} lsi_windows_kind;

/* What is kept of a window: `bytes` of the caller's form, aligned for anything. `element` is what was given to
 * lsi_windows_add. */
typedef struct lsi_windows_fold {
    size_t bytes;
    void (*init)(void *user, void *sum);
    void (*add)(void *user, void *sum, const void *element);
    void (*merge)(void *user, void *sum, const void *other); /* sessions only; `other` is not used again */
    void *user;
} lsi_windows_fold;

/* Checked by the caller with lsi_windows_check. */
typedef struct lsi_windows_settings {
    lsi_windows_kind kind;
    int64_t size_ms, step_ms, gap_ms;
    int64_t offset_ms;           /* of the start of windows from the epoch; less than the size (of sliding: the step) */
    int64_t delay_ms;            /* how far elements may be out of order; Flink's DataStream form has one more */
    int64_t lateness_ms;
    int64_t idle_timeout_ms;     /* -1: never idle */
    bool begins_anew;            /* inputs that continue others begin without a watermark */
    bool notes_changes;          /* for lsi_windows_save; the caller says lsi_windows_saved from time to time */
    uint64_t state_bytes_max;    /* of all that is kept */
    lsi_windows_fold fold;
} lsi_windows_settings;

typedef enum {
    LSI_PANE_ON_TIME, /* the first result of its window */
    LSI_PANE_LATE,    /* what came since the first, as well; the result stands for the earlier one */
    LSI_PANE_EARLY    /* flushed before its time */
} lsi_pane_kind;

/* Views, until the next call. */
typedef struct lsi_windows_result {
    ls_bytes key;
    int64_t start_ms, end_ms;
    const void *sum;
    uint64_t count; /* elements */
    lsi_pane_kind pane;
} lsi_windows_result;

typedef enum {
    LSI_ELEMENT_ADDED,
    LSI_ELEMENT_LATE,    /* for all of its windows */
    LSI_ELEMENT_NOWHERE  /* sliding windows with gaps between them */
} lsi_element_fate;

typedef struct lsi_windows_counts {
    uint64_t added, late, nowhere, timeless; /* elements */
    uint64_t results, late_results;
} lsi_windows_counts;

ls_status lsi_windows_check(const lsi_windows_settings *settings); /* INVALID_ARGUMENT, and why */
ls_status lsi_windows_open(const lsi_memory *memory, const lsi_windows_settings *settings, lsi_windows **out);
void lsi_windows_close(lsi_windows *windows); /* Accepts NULL. */

/* ---- inputs ---- */

typedef struct lsi_windows_place {
    uint32_t input;
    bool is_idle, has_ended;
    bool is_ahead;        /* its position is another one than when lsi_windows_saved was called last */
    lsi_point position;   /* as advance was told last; 0: never */
    int64_t watermark_ms; /* LSI_WATERMARK_NONE: it has none */
} lsi_windows_place;
/* The `index`th input, ascending. False: there are no more. */
bool lsi_windows_input_at(const lsi_windows *windows, size_t index, lsi_windows_place *out);

/* `parents` are inputs that it continues, and which end only after this call; those that are not known do not count.
 * EXISTS, NO_MEMORY. */
ls_status lsi_windows_input(lsi_windows *windows, uint32_t input, const uint32_t *parents, uint32_t parent_count);
/* Nothing more comes of it. */
void lsi_windows_input_end(lsi_windows *windows, uint32_t input);
/* It has ended, and no new one will continue it. */
void lsi_windows_input_forget(lsi_windows *windows, uint32_t input);
/* False: it is not known. */
bool lsi_windows_input_find(const lsi_windows *windows, uint32_t input, lsi_windows_place *out);
/* Its reader is at the end of what there is, and found nothing, at `now_ms` of a monotonic clock. Idle once that is so
 * for the timeout. Backlog is not idleness: a reader that is behind does not say this. */
void lsi_windows_input_tip(lsi_windows *windows, uint32_t input, int64_t now_ms);

/* `key` as long as 2^31 bytes. TOO_LARGE: state_bytes_max would be passed; NO_MEMORY; the element was not added. */
ls_status lsi_windows_add(lsi_windows *windows, uint32_t input, ls_bytes key, int64_t time_ms, const void *element,
                          lsi_element_fate *fate);
/* An element without a time: the input is not idle. */
void lsi_windows_timeless(lsi_windows *windows, uint32_t input);
/* The batch of this input is all added, up to `position`, which is the caller's to choose and goes with the snapshot:
 * the input's watermark is reckoned. */
void lsi_windows_advance(lsi_windows *windows, uint32_t input, lsi_point position);
/* No element comes any more, from anywhere: all windows fire. */
void lsi_windows_finish(lsi_windows *windows);
/* All windows that have not fired fire now, EARLY, and are gone: the application ends. */
void lsi_windows_flush(lsi_windows *windows);

/* ---- results ---- */

/* False: none is due. */
bool lsi_windows_next(lsi_windows *windows, lsi_windows_result *out);
int64_t lsi_windows_watermark(const lsi_windows *windows);
void lsi_windows_counts_get(const lsi_windows *windows, lsi_windows_counts *out);
uint64_t lsi_windows_state_bytes(const lsi_windows *windows);

/* ---- snapshot.c: what outlives the process ----
 *
 * Inputs with their positions and watermarks, and what is kept of keys, as bytes. They may be saved in parts: one with
 * all keys, then others with those that have changed since; restored in this order they are the last state. All of a
 * save is to be stored in one step. After a crash the inputs are read on from the positions of the last snapshot;
 * results that were taken since then come again, with the same key, start and end. The fold's sums are kept as they lie
 * in memory: they hold no pointers, and are read by a machine of the same kind. */

typedef enum { LSI_KEYS_NONE, LSI_KEYS_CHANGED, LSI_KEYS_ALL } lsi_windows_keys;

/* Zeroed but for the first three, it begins a save; nothing else is done with the windows before that ends. */
typedef struct lsi_windows_part {
    lsi_windows_keys keys;
    bool has_inputs;
    size_t bytes_max;   /* of a part, if that is enough for one more key */
    bool is_last;       /* out: nothing is left for another part */
    uint32_t key_count; /* out: of this part */
    size_t place;       /* this and the next: where the next part begins */
    const void *next;
} lsi_windows_part;

/* `*out` is owned by the caller (lsi_free). NO_MEMORY; TOO_LARGE: a key takes more than bytes_max by itself. The same
 * part can be tried again. */
ls_status lsi_windows_save(const lsi_windows *windows, lsi_windows_part *part, void **out, size_t *out_size);
/* All that has changed is stored. */
void lsi_windows_saved(lsi_windows *windows);
/* Into windows that were just opened, part after part. STATE: saved under other settings of kind, sizes or fold;
 * CORRUPT: no snapshot; TOO_LARGE, NO_MEMORY. After a failure they can only be closed. */
ls_status lsi_windows_restore(lsi_windows *windows, const void *bytes, size_t size);
/* The inputs of a part that has them, as they were saved: position and watermark. Of bytes that are no snapshot those
 * that could be read. */
void lsi_windows_each_input(const void *bytes, size_t size, void (*each)(void *user, const lsi_windows_place *place),
                            void *user);
/* How many bytes a save of all keys has, about. */
uint64_t lsi_windows_save_bytes(const lsi_windows *windows);
bool lsi_windows_have_changed(const lsi_windows *windows); /* keys, or positions of inputs, since they were saved */
size_t lsi_windows_count(const lsi_windows *windows);      /* windows that are kept */

/* ---- tally.c: the fold of numbers ---- */

/* Count, sum, least and greatest. The sum is compensated (Neumaier), so that the order of addition does not show. */
typedef struct lsi_tally {
    uint64_t count;
    double sum, compensation; /* lsi_tally_sum has both */
    double least, greatest;   /* of none: infinite, the wrong way round */
} lsi_tally;
extern const lsi_windows_fold lsi_tally_fold; /* `element` is a const double * */
double lsi_tally_sum(const lsi_tally *tally);

#endif
