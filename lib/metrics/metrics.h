/* The room's door: counting, measuring, and taking snapshots of what was counted.
 *
 * Three things, which know nothing of stores and streams:
 *   - *words*: counters and histograms as plain 64-bit words that anybody may own, those of the control file too, which
 *     all processes add to (histogram.c);
 *   - a *registry* of the application's own metrics, with labels and a cap on series (registry.c);
 *   - a *snapshot*: samples of named families, put in order and written as Prometheus text (snapshot.c, text.c). */
#ifndef LSI_METRICS_METRICS_H
#define LSI_METRICS_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libstream/metrics.h>

#include "base/alloc.h"
#include "base/lock.h"

/* ---- histogram.c: words ---- */

typedef _Atomic uint64_t lsi_count_word;

/* Relaxed: each number stands for itself. */
static inline void lsi_count(lsi_count_word *word, uint64_t n)
{
    (void)atomic_fetch_add_explicit(word, n, memory_order_relaxed);
}
static inline uint64_t lsi_counted(const lsi_count_word *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* What a put is billed in elsewhere: each record by so many bytes of key and data, rounded up. */
#define LSI_PAYLOAD_UNIT_BYTES 25600u

/* Durations: how many took at most 10 us, 25 us, ... 10 s, and longer; then their sum in microseconds. */
#define LSI_DURATION_BOUNDS 22u
#define LSI_DURATION_WORDS (LSI_DURATION_BOUNDS + 2)
extern const double lsi_duration_bounds[LSI_DURATION_BOUNDS]; /* seconds */
void lsi_count_duration(lsi_count_word words[LSI_DURATION_WORDS], int64_t us); /* below 0: the clock stepped, 0 */

/* Numbers of records: how many were at most 1, 2, 5, ... 10,000, and more; then their sum. */
#define LSI_SIZE_BOUNDS 13u
#define LSI_SIZE_WORDS (LSI_SIZE_BOUNDS + 2)
extern const double lsi_size_bounds[LSI_SIZE_BOUNDS];
void lsi_count_size(lsi_count_word words[LSI_SIZE_WORDS], uint64_t n);

/* ---- snapshot.c ---- */

/* What all samples of one name have in common. */
typedef struct lsi_family {
    const char *name;
    const char *help;
    ls_metric_type type;
    uint32_t label_count;
    const char *const *labels; /* names */
    const double *bounds;      /* of a histogram; rising */
    uint32_t bound_count;
    const char *cloudwatch; /* NULL: it has none */
    const char *unit;       /* CloudWatch's */
    double scale;           /* the value, or sum, in that unit */
} lsi_family;

typedef ls_metrics_snapshot lsi_snapshot;
typedef struct lsi_sample {
    const lsi_family *family;
    uint32_t order;         /* of the family: samples of lower ones come first */
    uint32_t serial;        /* in order of adding */
    uint32_t label_count;
    const ls_label *labels; /* the family's names, in their order */
    const char *cloudwatch; /* the family's, or of this sample */
    double value;           /* of a gauge */
    uint64_t count;         /* of a counter, or observations */
    double sum;
    const uint64_t *buckets; /* [bound_count + 1], cumulative; the last is `count` */
} lsi_sample;

ls_status lsi_snapshot_new(const lsi_memory *memory, lsi_snapshot **out);
void lsi_snapshot_free(lsi_snapshot *snapshot); /* Accepts NULL. */
/* A copy of `family` that lasts as long as the snapshot. NULL: no memory. */
const lsi_family *lsi_snapshot_family(lsi_snapshot *snapshot, const lsi_family *family);
/* Each adds a sample; `values` are those of the labels, copied. `family` lasts as long as the snapshot. What there is
 * no memory for is told by lsi_snapshot_finish. The sample may be changed until the next is added; NULL: no memory. */
lsi_sample *lsi_snapshot_counter(lsi_snapshot *snapshot, const lsi_family *family, uint32_t order,
                                 const char *const *values, uint64_t count);
lsi_sample *lsi_snapshot_gauge(lsi_snapshot *snapshot, const lsi_family *family, uint32_t order,
                               const char *const *values, double value);
/* `words`: how many fell into each bucket, [bound_count + 1]. The count is their sum, whatever is added meanwhile. */
lsi_sample *lsi_snapshot_histogram(lsi_snapshot *snapshot, const lsi_family *family, uint32_t order,
                                   const char *const *values, const lsi_count_word *words, double sum);
/* Puts the samples in order. NO_MEMORY: some could not be added. */
ls_status lsi_snapshot_finish(lsi_snapshot *snapshot);
size_t lsi_snapshot_count(const lsi_snapshot *snapshot);
const lsi_sample *lsi_snapshot_at(const lsi_snapshot *snapshot, size_t index);

/* ---- text.c ---- */

/* Prometheus text, format 0.0.4, in pieces. CANCELLED: `write` answered something else than LS_OK. */
ls_status lsi_snapshot_write_text(const lsi_snapshot *snapshot, ls_metrics_writer write, void *user);

/* ---- registry.c: the application's metrics ---- */

#define LSI_METRIC_LABELS_MAX 30u
#define LSI_METRIC_BOUNDS_MAX 100u
#define LSI_METRIC_SERIES_MAX 1000000u
#define LSI_METRIC_NAME_BYTES_MAX 200u
#define LSI_METRIC_VALUE_BYTES_MAX 1024u

typedef struct lsi_registry lsi_registry;

/* `mark` lasts as long. */
ls_status lsi_registry_new(const lsi_memory *memory, const lsi_fork_mark *mark, lsi_registry **out);
void lsi_registry_free(lsi_registry *registry); /* Accepts NULL. Frees the metrics and series too. */
/* As ls_metric_define; the options are imported. */
ls_status lsi_metric_define(lsi_registry *registry, const char *name, ls_metric_type type, const char *help,
                            const ls_metric_options *options, ls_metric **out);
/* As ls_metric_series. */
ls_status lsi_metric_series(ls_metric *metric, const char *const *values, ls_series **out);
/* As the functions of metrics.h. */
ls_status lsi_series_add(ls_series *series, uint64_t n);
ls_status lsi_series_set(ls_series *series, double value);
ls_status lsi_series_observe(ls_series *series, double value);
/* Adds everything to a snapshot, from `order` on, and what the cap refused as samples of `dropped`, whose one label is
 * the metric's name. */
void lsi_registry_collect(lsi_registry *registry, lsi_snapshot *snapshot, uint32_t order, const lsi_family *dropped,
                          uint32_t dropped_order);

#endif
