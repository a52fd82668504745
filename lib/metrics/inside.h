/* The inside of the room: what its files share. */
#ifndef LSI_METRICS_INSIDE_H
#define LSI_METRICS_INSIDE_H

#include "metrics/metrics.h"

/* ---- names.c ---- */

/* [a-zA-Z_][a-zA-Z0-9_]*: without the colons that are kept for recording rules. */
bool lsi_metric_name_is_valid(const char *name);
/* Whether two names, one of them a histogram's, would meet in the text: "a" and "a_sum". */
bool lsi_metric_name_is_derived(const char *histogram, const char *name);
bool lsi_ends_with(const char *text, const char *end);

/* How many bytes lsi_utf8_mend writes, without the end. */
size_t lsi_utf8_mended_size(const char *text);
/* Copies a text, each byte that is no UTF-8 as U+FFFD; terminated. Returns what is behind the end. */
char *lsi_utf8_mend(const char *text, char *out);

/* ---- registry.c and series.c ---- */

#define LSI_CELL_LINE_BYTES 64 /* what a processor takes for itself: cells of two series are that far apart */

struct ls_series {
    ls_metric *metric;
    uint64_t hash;
    const char *values;   /* one after another, each terminated, behind the cells */
    size_t values_bytes;
    bool is_given;        /* registry->lock */
    unsigned char room[LSI_CELL_LINE_BYTES];
    lsi_count_word cells[]; /* a counter or a gauge's bits; of a histogram its buckets, then its sum's bits */
};

struct ls_metric {
    lsi_registry *registry;
    ls_metric *next; /* in the order of definition */
    lsi_family family; /* its own copies */
    uint32_t series_max;
    ls_series *other;
    ls_series **series; /* [series_count], in the order of making; registry->lock */
    size_t series_count, series_capacity;
    uint32_t *table;    /* index + 1 by hash, open addressing; registry->lock */
    uint32_t table_size;
    uint64_t dropped;   /* registry->lock */
};

struct lsi_registry {
    lsi_memory memory;
    const lsi_fork_mark *mark;
    lsi_lock lock; /* LSI_RANK_LOCAL */
    ls_metric *metrics, **last;
};

static inline bool lsi_metric_is(const ls_metric *metric, ls_metric_type type)
{
    return metric->family.type == type;
}

/* NULL: no memory. One value for each label. */
ls_series *lsi_series_new(const lsi_memory *memory, ls_metric *metric, const char *const *values);
/* Adds all series of a metric, as samples of `family`, a copy of its own. Locks: registry->lock held. */
void lsi_series_collect(const ls_metric *metric, lsi_snapshot *snapshot, const lsi_family *family, uint32_t order);

#endif
