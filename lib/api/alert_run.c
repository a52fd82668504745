/* The exported functions of alert.h that evaluate rules. What metrics are is taken of one snapshot for each look. */
#include "api/api.h"

#include <string.h>

#include "base/status.h"

ls_status ls_alerts_open(ls_stream *stream, ls_alert_callback callback, void *user, ls_alerts **out)
{
    ls_alerts *alerts;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(callback);
    LSI_REFUSE_NULL(out);
    LSI_ENTER_TO(LSI_MAY_CONSUME, stream->store);
    alerts = lsi_alloc_zero(&stream->store->env.memory, sizeof *alerts);
    if (alerts == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for its alerts", stream->name);
    alerts->stream = stream;
    st = lsi_alerts_open(stream->stream, callback, user, &alerts->alerts);
    if (st != LS_OK) {
        lsi_free(&stream->store->env.memory, alerts);
        return st;
    }
    atomic_fetch_add_explicit(&stream->child_count, 1, memory_order_relaxed);
    *out = alerts;
    return lsi_error_end(LS_OK);
}

ls_status ls_alerts_close(ls_alerts *alerts)
{
    ls_stream *stream;
    ls_status st = LS_OK;

    if (alerts == NULL)
        return LS_OK;
    stream = alerts->stream;
    lsi_error_begin();
    if (lsi_store_is_mine(stream->store)) { /* A fork child frees memory alone. */
        lsi_patience_begin(&stream->store->env);
        st = lsi_alerts_flush(alerts->alerts);
    }
    lsi_alerts_free(alerts->alerts);
    lsi_free(&stream->store->env.memory, alerts);
    atomic_fetch_sub_explicit(&stream->child_count, 1, memory_order_release); /* Pairs with ls_stream_close. */
    return lsi_error_end(st);
}

ls_status ls_alerts_observe(ls_alerts *alerts, const ls_batch *batch)
{
    LSI_REFUSE_NULL(alerts);
    LSI_REFUSE_NULL(batch);
    LSI_ENTER(alerts->stream->store);
    return lsi_error_end(lsi_alerts_observe(alerts->alerts, batch));
}

/* ---- metrics ---- */

typedef struct looking {
    ls_store *store;
    lsi_snapshot *snapshot; /* NULL: no rule has asked yet */
} looking;

static ls_status begin_look(void *user)
{
    looking *of = user;
    ls_status st = lsi_snapshot_new(&of->store->env.memory, &of->snapshot);

    if (st == LS_OK)
        st = lsi_metrics_gather(of->store, of->snapshot);
    return st == LS_OK ? lsi_snapshot_finish(of->snapshot) : st;
}

static bool has_labels(const lsi_sample *sample, const ls_alert_options *options)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < options->label_count; i++)
        for (uint32_t k = 0; k < sample->label_count; k++)
            if (strcmp(sample->labels[k].name, options->labels[i].name) == 0)
                found += strcmp(sample->labels[k].value, options->labels[i].value) == 0;
    return found == options->label_count;
}

static bool take_metric(void *user, const ls_alert_options *options, double *out)
{
    const looking *of = user;
    bool is_there = false;

    *out = 0;
    for (size_t i = 0; i < lsi_snapshot_count(of->snapshot); i++) {
        const lsi_sample *sample = lsi_snapshot_at(of->snapshot, i);

        if (strcmp(sample->family->name, options->metric) != 0 || !has_labels(sample, options))
            continue;
        is_there = true;
        *out += sample->family->type == LS_METRIC_GAUGE ? sample->value : (double)sample->count;
    }
    return is_there;
}

ls_status ls_alerts_check(ls_alerts *alerts)
{
    looking of = {NULL, NULL};
    ls_status st;

    LSI_REFUSE_NULL(alerts);
    LSI_ENTER(alerts->stream->store);
    of.store = alerts->stream->store;
    st = lsi_alerts_check(alerts->alerts, begin_look, take_metric, &of);
    lsi_snapshot_free(of.snapshot);
    return lsi_error_end(st);
}
