/* The application's metrics: definitions, by name, in the order in which they came. Their series are series.c's.
 *
 * Nothing is removed while the registry lives, so handles are pointers. */
#include "metrics/inside.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/status.h"

#define SERIES_MAX_DEFAULT 1000u
#define OTHER "other"

/* ---- the registry ---- */

ls_status lsi_registry_new(const lsi_memory *memory, const lsi_fork_mark *mark, lsi_registry **out)
{
    lsi_registry *registry = lsi_alloc_zero(memory, sizeof(*registry));
    int result;

    if (registry == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for metrics");
    registry->memory = *memory;
    registry->mark = mark;
    registry->last = &registry->metrics;
    result = lsi_lock_init(&registry->lock);
    if (result != 0) {
        lsi_free(memory, registry);
        return lsi_fail_errno(result, "cannot make a lock");
    }
    *out = registry;
    return LS_OK;
}

/* Accepts a half-built one. */
static void metric_free(const lsi_memory *memory, ls_metric *metric)
{
    if (metric == NULL)
        return;
    for (size_t i = 0; i < metric->series_count; i++)
        lsi_free(memory, metric->series[i]);
    for (uint32_t i = 0; metric->family.labels != NULL && i < metric->family.label_count; i++)
        lsi_free(memory, (void *)(uintptr_t)metric->family.labels[i]);
    lsi_free(memory, (void *)(uintptr_t)metric->family.labels);
    lsi_free(memory, (void *)(uintptr_t)metric->family.bounds);
    lsi_free(memory, (void *)(uintptr_t)metric->family.name);
    lsi_free(memory, (void *)(uintptr_t)metric->family.help);
    lsi_free(memory, metric->series);
    lsi_free(memory, metric->table);
    lsi_free(memory, metric->other);
    lsi_free(memory, metric);
}

void lsi_registry_free(lsi_registry *registry)
{
    lsi_memory memory;

    if (registry == NULL)
        return;
    memory = registry->memory;
    while (registry->metrics != NULL) {
        ls_metric *next = registry->metrics->next;

        metric_free(&memory, registry->metrics);
        registry->metrics = next;
    }
    lsi_free(&memory, registry);
}

/* ---- metrics ---- */

static ls_status check_name(const char *name, ls_metric_type type)
{
    bool is_total = lsi_ends_with(name, "_total");

    if (!lsi_metric_name_is_valid(name))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': names are [a-zA-Z_][a-zA-Z0-9_]*", name);
    if (strlen(name) > LSI_METRIC_NAME_BYTES_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s' has a name of %zu bytes: the limit is %u", name,
                        strlen(name), LSI_METRIC_NAME_BYTES_MAX);
    if (strncmp(name, "libstream_", 10) == 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': libstream_ begins the store's own names", name);
    if (type < LS_METRIC_COUNTER || type > LS_METRIC_HISTOGRAM)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': type is %" PRId32 ": types are %d..%d", name, type,
                        LS_METRIC_COUNTER, LS_METRIC_HISTOGRAM);
    if (is_total != (type == LS_METRIC_COUNTER))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': the names of counters end in _total%s", name,
                        is_total ? ", and no others do" : "");
    return LS_OK;
}

static ls_status check_labels(const char *name, ls_metric_type type, const ls_metric_options *options)
{
    if (options->label_count > LSI_METRIC_LABELS_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': %" PRIu32 " labels: the limit is %u", name,
                        options->label_count, LSI_METRIC_LABELS_MAX);
    if (options->labels == NULL && options->label_count != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': options.labels is NULL", name);
    for (uint32_t i = 0; i < options->label_count; i++) {
        const char *label = options->labels[i];

        if (label == NULL)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': label %" PRIu32 " is NULL", name, i);
        if (!lsi_metric_name_is_valid(label) || strncmp(label, "__", 2) == 0 ||
            strlen(label) > LSI_METRIC_NAME_BYTES_MAX)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT,
                            "metric '%s': label '%s': labels are [a-zA-Z_][a-zA-Z0-9_]*, do not begin with __ and have "
                            "at most %u bytes", name, label, LSI_METRIC_NAME_BYTES_MAX);
        if (type == LS_METRIC_HISTOGRAM && strcmp(label, "le") == 0)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': label 'le' is that of a histogram's bounds", name);
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(label, options->labels[k]) == 0)
                return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': label '%s' is there twice", name, label);
    }
    return LS_OK;
}

static ls_status check_bounds(const char *name, ls_metric_type type, const ls_metric_options *options)
{
    if ((options->bounds == NULL) != (options->bound_count == 0) || options->bound_count > LSI_METRIC_BOUNDS_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': %" PRIu32 " bounds%s: the limit is %u", name,
                        options->bound_count, options->bounds == NULL ? " and options.bounds is NULL" : "",
                        LSI_METRIC_BOUNDS_MAX);
    if (options->bounds != NULL && type != LS_METRIC_HISTOGRAM)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': only a histogram has bounds", name);
    for (uint32_t i = 0; i < options->bound_count; i++)
        if (!isfinite(options->bounds[i]) || (i > 0 && !(options->bounds[i] > options->bounds[i - 1])))
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': bound %" PRIu32 " is not above the one before it, "
                            "or not finite", name, i);
    return LS_OK;
}

/* A copy of everything that was given. NULL: no memory. */
static ls_metric *metric_new(lsi_registry *registry, const char *name, ls_metric_type type, const char *help,
                             const ls_metric_options *options)
{
    const char *others[LSI_METRIC_LABELS_MAX];
    const lsi_memory *memory = &registry->memory;
    ls_metric *metric = lsi_alloc_zero(memory, sizeof(*metric));
    bool has_own_bounds = options->bounds != NULL;
    lsi_family *family;
    const char **labels;
    double *bounds;
    char *own_help;

    if (metric == NULL)
        return NULL;
    family = &metric->family;
    metric->registry = registry;
    metric->series_max = options->series_max != 0 ? options->series_max : SERIES_MAX_DEFAULT;
    *family = (lsi_family){.type = type, .unit = "None", .scale = 1};
    family->label_count = options->label_count;
    family->name = lsi_strdup(memory, name);
    family->help = own_help = lsi_alloc(memory, lsi_utf8_mended_size(help) + 1);
    family->labels = labels = lsi_alloc_zero(memory, family->label_count * sizeof(*labels));
    if (type == LS_METRIC_HISTOGRAM)
        family->bound_count = has_own_bounds ? options->bound_count : LSI_DURATION_BOUNDS;
    family->bounds = bounds = lsi_alloc(memory, family->bound_count * sizeof(*bounds));
    if (family->name == NULL || own_help == NULL || labels == NULL || bounds == NULL)
        goto fail;
    (void)lsi_utf8_mend(help, own_help);
    if (family->bound_count > 0)
        memcpy(bounds, has_own_bounds ? options->bounds : lsi_duration_bounds, family->bound_count * sizeof(*bounds));
    for (uint32_t i = 0; i < family->label_count; i++) {
        others[i] = OTHER;
        labels[i] = lsi_strdup(memory, options->labels[i]);
        if (labels[i] == NULL)
            goto fail;
    }
    metric->other = lsi_series_new(memory, metric, others);
    if (metric->other != NULL)
        return metric;
fail:
    metric_free(memory, metric);
    return NULL;
}

static bool is_as_before(const ls_metric *a, const ls_metric *b)
{
    const lsi_family *one = &a->family, *two = &b->family;

    if (one->type != two->type || strcmp(one->help, two->help) != 0 || a->series_max != b->series_max ||
        one->label_count != two->label_count || one->bound_count != two->bound_count)
        return false;
    for (uint32_t i = 0; i < one->label_count; i++)
        if (strcmp(one->labels[i], two->labels[i]) != 0)
            return false;
    for (uint32_t i = 0; i < one->bound_count; i++)
        if (one->bounds[i] < two->bounds[i] || one->bounds[i] > two->bounds[i])
            return false;
    return true;
}

/* `made` is used, or freed. Locks: registry->lock held. */
static ls_status find_or_define(lsi_registry *registry, ls_metric *made, ls_metric **out)
{
    const char *name = made->family.name;
    ls_status st = LS_OK;
    ls_metric *at;

    for (at = registry->metrics; at != NULL && st == LS_OK; at = at->next) {
        if (strcmp(at->family.name, name) == 0)
            break;
        if ((lsi_metric_is(at, LS_METRIC_HISTOGRAM) && lsi_metric_name_is_derived(at->family.name, name)) ||
            (lsi_metric_is(made, LS_METRIC_HISTOGRAM) && lsi_metric_name_is_derived(name, at->family.name)))
            st = lsi_fail(LS_ERR_EXISTS, "metric '%s' would be confused with metric '%s'", name, at->family.name);
    }
    if (st == LS_OK && at != NULL && !is_as_before(at, made))
        st = lsi_fail(LS_ERR_EXISTS, "metric '%s' is defined in another way", name);
    if (st == LS_OK && at == NULL) {
        *registry->last = made;
        registry->last = &made->next;
        *out = made;
        return LS_OK;
    }
    metric_free(&registry->memory, made);
    if (st == LS_OK)
        *out = at;
    return st;
}

ls_status lsi_metric_define(lsi_registry *registry, const char *name, ls_metric_type type, const char *help,
                            const ls_metric_options *options, ls_metric **out)
{
    ls_metric *made;
    ls_status st = check_name(name, type);

    if (st == LS_OK && help[0] == '\0')
        st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s' has no help: say in one sentence what it counts", name);
    if (st == LS_OK && options->series_max > LSI_METRIC_SERIES_MAX)
        st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "metric '%s': options.series_max is %" PRIu32 ": at most %u", name,
                      options->series_max, LSI_METRIC_SERIES_MAX);
    if (st == LS_OK)
        st = check_labels(name, type, options);
    if (st == LS_OK)
        st = check_bounds(name, type, options);
    if (st != LS_OK)
        return st;
    made = metric_new(registry, name, type, help, options);
    if (made == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for metric '%s'", name);
    lsi_lock_hold(&registry->lock, LSI_RANK_LOCAL);
    st = find_or_define(registry, made, out);
    lsi_lock_release(&registry->lock, LSI_RANK_LOCAL);
    return st;
}

/* ---- the snapshot ---- */

void lsi_registry_collect(lsi_registry *registry, lsi_snapshot *snapshot, uint32_t order, const lsi_family *dropped,
                          uint32_t dropped_order)
{
    lsi_lock_hold(&registry->lock, LSI_RANK_LOCAL);
    for (ls_metric *metric = registry->metrics; metric != NULL; metric = metric->next, order++) {
        const lsi_family *family = lsi_snapshot_family(snapshot, &metric->family);

        if (family != NULL)
            lsi_series_collect(metric, snapshot, family, order);
        (void)lsi_snapshot_counter(snapshot, dropped, dropped_order, &metric->family.name, metric->dropped);
    }
    lsi_lock_release(&registry->lock, LSI_RANK_LOCAL);
}
