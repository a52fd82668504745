/* The exported functions of metrics.h. What a snapshot has of the store is gathered in metrics_gather.c; what the
 * application defined is the registry's of the room `metrics`. */
#include "api/api.h"

#include <inttypes.h>
#include <string.h>

#include "base/file_shown.h"
#include "base/status.h"
#include "metrics/metrics.h"

/* ---- the application's ---- */

ls_status ls_metric_define(ls_store *store, const char *name, ls_metric_type type, const char *help,
                           const ls_metric_options *options, ls_metric **out)
{
    ls_metric_options own;
    ls_status st;

    LSI_REFUSE_NULL(store);
    LSI_REFUSE_NULL(name);
    LSI_REFUSE_NULL(help);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(store);
    st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_metric_options, bound_count));
    if (st == LS_OK)
        st = lsi_metric_define(store->registry, name, type, help, &own, out);
    return lsi_error_end(st);
}

ls_status ls_metric_series(ls_metric *metric, const char *const *values, ls_series **out)
{
    LSI_REFUSE_NULL(metric);
    LSI_REFUSE_NULL(out);
    return lsi_metric_series(metric, values, out);
}

ls_status ls_series_add(ls_series *series, uint64_t n)
{
    LSI_REFUSE_NULL(series);
    return lsi_series_add(series, n);
}

ls_status ls_series_set(ls_series *series, double value)
{
    LSI_REFUSE_NULL(series);
    return lsi_series_set(series, value);
}

ls_status ls_series_observe(ls_series *series, double value)
{
    LSI_REFUSE_NULL(series);
    return lsi_series_observe(series, value);
}

/* ---- snapshots ---- */

static ls_status take(ls_store *store, lsi_snapshot **out)
{
    lsi_snapshot *snapshot;
    ls_status st = lsi_snapshot_new(&store->env.memory, &snapshot);

    if (st != LS_OK)
        return st;
    st = lsi_metrics_gather(store, snapshot);
    if (st == LS_OK)
        st = lsi_snapshot_finish(snapshot);
    if (st != LS_OK) {
        lsi_snapshot_free(snapshot);
        return st;
    }
    *out = snapshot;
    return LS_OK;
}

ls_status ls_metrics_snapshot_take(ls_store *store, ls_metrics_snapshot **out)
{
    LSI_REFUSE_NULL(store);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(store);
    return lsi_error_end(take(store, out));
}

size_t ls_metrics_snapshot_count(const ls_metrics_snapshot *snapshot)
{
    return snapshot == NULL ? 0 : lsi_snapshot_count(snapshot);
}

ls_status ls_metrics_snapshot_at(const ls_metrics_snapshot *snapshot, size_t index, ls_metric_sample *out)
{
    const lsi_sample *sample;
    ls_metric_sample filled;

    LSI_REFUSE_NULL(snapshot);
    LSI_REFUSE_NULL(out);
    if (out->size < LSI_SIZE_UP_TO(ls_metric_sample, bucket_count))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", out->size);
    if (index >= lsi_snapshot_count(snapshot))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "index is %zu: the snapshot has %zu samples", index,
                        lsi_snapshot_count(snapshot));
    sample = lsi_snapshot_at(snapshot, index);
    filled = (ls_metric_sample){
        .size = out->size,
        .type = sample->family->type,
        .name = sample->family->name,
        .help = sample->family->help,
        .cloudwatch_name = sample->cloudwatch,
        .cloudwatch_unit = sample->family->unit,
        .cloudwatch_scale = sample->family->scale,
        .labels = sample->labels,
        .value = sample->value,
        .count = sample->count,
        .sum = sample->sum,
        .bounds = sample->family->bounds,
        .buckets = sample->buckets,
        .label_count = sample->label_count,
        .bucket_count = sample->buckets != NULL ? sample->family->bound_count + 1 : 0,
    };
    memcpy(out, &filled, out->size < sizeof filled ? out->size : sizeof filled);
    return LS_OK;
}

void ls_metrics_snapshot_free(ls_metrics_snapshot *snapshot)
{
    lsi_snapshot_free(snapshot);
}

ls_status ls_metrics_write_text(ls_store *store, ls_metrics_writer write, void *user)
{
    lsi_snapshot *snapshot;
    ls_status st;

    LSI_REFUSE_NULL(store);
    LSI_REFUSE_NULL(write);
    LSI_ENTER(store);
    st = take(store, &snapshot);
    if (st == LS_OK) {
        st = lsi_snapshot_write_text(snapshot, write, user);
        lsi_snapshot_free(snapshot);
    }
    return lsi_error_end(st);
}

typedef struct text_file {
    lsi_file_shown shown;
    int result;
} text_file;

static ls_status write_piece(const char *bytes, size_t size, void *user)
{
    text_file *file = user;

    file->result = lsi_file_shown_write(&file->shown, bytes, size);
    return file->result == 0 ? LS_OK : LS_ERR_IO;
}

ls_status ls_metrics_write_file(ls_store *store, const char *path)
{
    text_file file = {.result = 0};
    lsi_snapshot *snapshot;
    ls_status st;
    int result;

    LSI_REFUSE_NULL(store);
    LSI_REFUSE_NULL(path);
    LSI_ENTER(store);
    st = take(store, &snapshot);
    if (st != LS_OK)
        return st;
    result = lsi_file_shown_begin(&store->env.memory, path, &file.shown);
    if (result == 0) {
        (void)lsi_snapshot_write_text(snapshot, write_piece, &file); /* it says no more than file.result */
        result = lsi_file_shown_end(&file.shown, file.result == 0);
        result = file.result != 0 ? file.result : result;
    }
    lsi_snapshot_free(snapshot);
    if (result != 0)
        return lsi_fail_errno(result, "cannot write metrics to '%s'", path);
    return lsi_error_end(LS_OK);
}
