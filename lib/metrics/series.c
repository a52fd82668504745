/* Series of the application's metrics: a table for each metric, by the values of its labels.
 *
 * Finding a series takes the registry's lock and a hash; counting in one takes neither: an atomic addition to a cell
 * that shares its cache line with no other series.
 *
 *   Q1  A metric has at most `series_max` series besides `other`, which is made with it: so giving it out cannot fail.
 *   Q2  A value is kept as it is shown, mended to UTF-8, and found by that: no two series are the same when shown. */
#include "metrics/inside.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/status.h"

#define TABLE_SIZE_FIRST 16u

/* ---- finding one ---- */

static size_t cell_count(const ls_metric *metric)
{
    return lsi_metric_is(metric, LS_METRIC_HISTOGRAM) ? (size_t)metric->family.bound_count + 2 : 1;
}

/* The bytes by which a series is found: its values, mended, one behind the other. */
static size_t values_size(const ls_metric *metric, const char *const *values)
{
    size_t size = 0;

    for (uint32_t i = 0; i < metric->family.label_count; i++)
        size += lsi_utf8_mended_size(values[i]) + 1;
    return size;
}

/* Q2 */
ls_series *lsi_series_new(const lsi_memory *memory, ls_metric *metric, const char *const *values)
{
    size_t cells = cell_count(metric) * sizeof(lsi_count_word);
    size_t size = values_size(metric, values);
    ls_series *series = lsi_alloc_zero(memory, sizeof(*series) + cells + LSI_CELL_LINE_BYTES + size);
    char *text;

    if (series == NULL)
        return NULL;
    text = (char *)series + sizeof(*series) + cells + LSI_CELL_LINE_BYTES;
    series->metric = metric;
    series->values = text;
    series->values_bytes = size;
    for (uint32_t i = 0; i < metric->family.label_count; i++)
        text = lsi_utf8_mend(values[i], text);
    series->hash = lsi_sum64(series->values, size, 0);
    return series;
}

static bool is_same(const ls_series *a, const ls_series *b)
{
    return a->hash == b->hash && a->values_bytes == b->values_bytes &&
        (a->values_bytes == 0 || memcmp(a->values, b->values, a->values_bytes) == 0);
}

/* Where the series is in the table, or would be. */
static uint32_t place_of(const ls_metric *metric, const ls_series *series)
{
    uint32_t at = (uint32_t)series->hash & (metric->table_size - 1);

    while (metric->table[at] != 0 && !is_same(metric->series[metric->table[at] - 1], series))
        at = (at + 1) & (metric->table_size - 1);
    return at;
}

/* Room for one more in the table, which is at most half full. */
static bool table_grow(const lsi_memory *memory, ls_metric *metric)
{
    uint32_t size = metric->table_size == 0 ? TABLE_SIZE_FIRST : 2 * metric->table_size;
    uint32_t *before = metric->table, *table;

    if (metric->table_size / 2 > metric->series_count)
        return true;
    table = lsi_alloc_zero(memory, size * sizeof(*table));
    if (table == NULL)
        return false;
    metric->table = table;
    metric->table_size = size;
    for (uint32_t i = 0; i < metric->series_count; i++)
        metric->table[place_of(metric, metric->series[i])] = i + 1;
    lsi_free(memory, before);
    return true;
}

/* `made` is used, or freed. Locks: registry->lock held. */
static ls_status find_or_keep(ls_metric *metric, ls_series *made, ls_series **out)
{
    const lsi_memory *memory = &metric->registry->memory;
    uint32_t at;

    *out = NULL;
    if (is_same(metric->other, made)) {
        *out = metric->other;
    } else if (metric->table_size != 0) {
        at = metric->table[place_of(metric, made)];
        *out = at != 0 ? metric->series[at - 1] : NULL;
    }
    if (*out == NULL && metric->series_count == metric->series_max) { /* Q1 */
        metric->dropped++;
        *out = metric->other;
    }
    if (*out != NULL) {
        lsi_free(memory, made);
        (*out)->is_given = true;
        return LS_OK;
    }
    if (!lsi_grow(memory, (void **)&metric->series, &metric->series_capacity, metric->series_count + 1,
                  sizeof(ls_series *)) || !table_grow(memory, metric)) {
        lsi_free(memory, made);
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a series of metric '%s'", metric->family.name);
    }
    at = place_of(metric, made);
    metric->series[metric->series_count++] = made;
    metric->table[at] = (uint32_t)metric->series_count;
    made->is_given = true;
    *out = made;
    return LS_OK;
}

ls_status lsi_metric_series(ls_metric *metric, const char *const *values, ls_series **out)
{
    ls_series *made, *found;
    ls_status st;

    for (uint32_t i = 0; i < metric->family.label_count; i++) {
        if (values == NULL || values[i] == NULL)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': the value of label '%s' is NULL",
                            metric->family.name, metric->family.labels[i]);
        if (strlen(values[i]) > LSI_METRIC_VALUE_BYTES_MAX)
            return lsi_fail(LS_ERR_TOO_LARGE, "metric '%s': the value of label '%s' has %zu bytes: the limit is %u",
                            metric->family.name, metric->family.labels[i], strlen(values[i]),
                            LSI_METRIC_VALUE_BYTES_MAX);
    }
    if (!lsi_fork_mark_is_mine(metric->registry->mark)) /* A thread of the parent may have had the lock. */
        return lsi_fail(LS_ERR_STATE, "metric '%s' was defined before a fork, in another process", metric->family.name);
    made = lsi_series_new(&metric->registry->memory, metric, values);
    if (made == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a series of metric '%s'", metric->family.name);
    lsi_lock_hold(&metric->registry->lock, LSI_RANK_LOCAL);
    st = find_or_keep(metric, made, &found);
    lsi_lock_release(&metric->registry->lock, LSI_RANK_LOCAL);
    if (st == LS_OK)
        *out = found;
    return st;
}

/* ---- counting ---- */

static ls_status refuse(const ls_series *series, const char *what)
{
    return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s' is no %s", series->metric->family.name, what);
}

ls_status lsi_series_add(ls_series *series, uint64_t n)
{
    if (!lsi_metric_is(series->metric, LS_METRIC_COUNTER))
        return refuse(series, "counter");
    lsi_count(&series->cells[0], n);
    return LS_OK;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static double of_bits(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

ls_status lsi_series_set(ls_series *series, double value)
{
    if (!lsi_metric_is(series->metric, LS_METRIC_GAUGE))
        return refuse(series, "gauge");
    atomic_store_explicit(&series->cells[0], bits_of(value), memory_order_relaxed);
    return LS_OK;
}

ls_status lsi_series_observe(ls_series *series, double value)
{
    const lsi_family *family = &series->metric->family;
    lsi_count_word *sum;
    uint64_t before;
    uint32_t at = 0;

    if (!lsi_metric_is(series->metric, LS_METRIC_HISTOGRAM))
        return refuse(series, "histogram");
    if (isnan(value))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': the observation is NaN", family->name);
    while (at < family->bound_count && value > family->bounds[at])
        at++;
    lsi_count(&series->cells[at], 1);
    sum = &series->cells[family->bound_count + 1];
    before = lsi_counted(sum);
    while (!atomic_compare_exchange_weak_explicit(sum, &before, bits_of(of_bits(before) + value),
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
    return LS_OK;
}

/* ---- the snapshot ---- */

static void collect_series(lsi_snapshot *snapshot, const lsi_family *family, uint32_t order, const ls_series *series)
{
    const char *values[LSI_METRIC_LABELS_MAX];
    const char *at = series->values;

    for (uint32_t i = 0; i < family->label_count; i++) {
        values[i] = at;
        at += strlen(at) + 1;
    }
    switch (family->type) {
    case LS_METRIC_COUNTER:
        (void)lsi_snapshot_counter(snapshot, family, order, values, lsi_counted(&series->cells[0]));
        break;
    case LS_METRIC_GAUGE:
        (void)lsi_snapshot_gauge(snapshot, family, order, values, of_bits(lsi_counted(&series->cells[0])));
        break;
    default:
        (void)lsi_snapshot_histogram(snapshot, family, order, values, series->cells,
                                     of_bits(lsi_counted(&series->cells[family->bound_count + 1])));
        break;
    }
}

void lsi_series_collect(const ls_metric *metric, lsi_snapshot *snapshot, const lsi_family *family, uint32_t order)
{
    for (size_t i = 0; i < metric->series_count; i++)
        collect_series(snapshot, family, order, metric->series[i]);
    if (metric->other->is_given)
        collect_series(snapshot, family, order, metric->other);
}
