/* Stream 2 into a metric, and past the rules of alerts. */
#include "accident_metrics.h"
#include "accident_filter.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The second one is the seed's, which never fires on the table's 1 to 4. That is judged after as few accidents as the
 * smallest published file has with room to spare; the first one's turn, one accident in a thousand, needs more. */
static const struct {
    const char *name;
    ls_alert_comparison comparison;
    uint32_t observed_min;
} rules[ACCIDENT_RULES] = {
    {"severity-4", LS_ALERT_GREATER_OR_EQUAL, 1000},
    {"severity-above-4", LS_ALERT_GREATER, 100},
};

static ls_handler_answer count_batch(const ls_batch *batch, ls_handler_context *context, void *user)
{
    accident_metrics *to = user;
    flat_json scratch = {0};
    accident seen = {0};
    int result = ls_alerts_observe(to->alerts, batch) == LS_OK ? 0 : pipeline_fail_ls("look for alerts");

    (void)context;
    /* Nothing that was counted may come again: all that can fail is done before. */
    for (size_t i = 0; result == 0 && i < ls_batch_count(batch); i++) {
        const ls_record *record = ls_batch_at(batch, i);
        const char *labels[] = {seen.severity, seen.city, seen.county};
        ls_series *series = NULL;

        if (!accident_read(record->data.data, record->data.size, &scratch, &seen) ||
            ls_metric_series(to->metric, labels, &series) != LS_OK || ls_series_add(series, 1) != LS_OK)
            continue;
        (void)__atomic_add_fetch(&to->very_severe, seen.severity[0] > '3', __ATOMIC_RELAXED);
        (void)__atomic_add_fetch(&to->handled, 1, __ATOMIC_RELAXED);
    }
    flat_json_free(&scratch);
    return result == 0 ? LS_HANDLER_DONE : LS_HANDLER_RETRY;
}

static int32_t tell_alert(const ls_alert *alert, void *user)
{
    accident_metrics *to = user;

    if (to->quiet)
        return 0;
    if (alert->kind == LS_ALERT_FIRED)
        (void)printf("alert %s: severity %g, record %" PRIu64 "\n", alert->name, alert->value, alert->record.seqno);
    else
        (void)printf("alert %s cannot fire: of %" PRIu64 " severities the greatest was %g\n", alert->name,
                     alert->value_count, alert->greatest);
    return 0;
}

static int make_rule(accident_metrics *to, int rule)
{
    ls_alert_options options = LS_ALERT_OPTIONS_INIT;

    options.field = "Severity";
    options.comparison = rules[rule].comparison;
    options.threshold = 4;
    options.window_ms = 86400000; /* Once a day. */
    options.observed_min = rules[rule].observed_min;
    if (ls_alert_create(to->stream, rules[rule].name, &options) == LS_OK || ls_last_error_status() == LS_ERR_EXISTS)
        return 0;
    return pipeline_fail_ls("make an alert");
}

/* The metric belongs to this process, and begins at 0: so the mapping that counts begins with it. Alerts do not: which
 * records they have seen is stored. */
int accident_metrics_begin(accident_metrics *to, ls_store *store, ls_stream *stream)
{
    static const char *const labels[] = {"severity_accident", "city_accident", "county_accident"};
    static const ls_position oldest = {.kind = LS_TRIM_HORIZON};
    ls_mapping_options settings = LS_MAPPING_OPTIONS_INIT;
    ls_metric_options options = LS_METRIC_OPTIONS_INIT;

    to->stream = stream;
    options.labels = labels;
    options.label_count = 3;
    options.series_max = to->series_max;
    if (ls_metric_define(store, ACCIDENT_METRIC, LS_METRIC_COUNTER, "Accidents of a high severity.", &options,
                         &to->metric) != LS_OK)
        return pipeline_fail_ls("define a metric");
    for (int i = 0; i < ACCIDENT_RULES; i++)
        if (make_rule(to, i) != 0)
            return -1;
    if (ls_alerts_open(to->stream, tell_alert, to, &to->alerts) != LS_OK)
        return pipeline_fail_ls("open the alerts");
    settings.flags = LS_MAPPING_DEAGGREGATE;
    settings.records_max = 10000;
    settings.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT; /* A batch that comes again would be counted twice. */
    if (ls_mapping_create(to->stream, "metrics", &oldest, &settings) != LS_OK &&
        (ls_last_error_status() != LS_ERR_EXISTS || ls_mapping_seek(to->stream, "metrics", &oldest) != LS_OK))
        return pipeline_fail_ls("make a mapping");
    to->worker = pipeline_work(to->stream, "metrics", &settings, count_batch, to);
    return to->worker == NULL ? -1 : 0;
}

/* No severity is called so. */
static bool is_other(const ls_metric_sample *sample)
{
    return sample->label_count > 0 && strcmp(sample->labels[0].value, "other") == 0;
}

int accident_metrics_count(ls_store *store, accident_series *out)
{
    ls_metrics_snapshot *snapshot = NULL;

    memset(out, 0, sizeof(*out));
    if (ls_metrics_snapshot_take(store, &snapshot) != LS_OK)
        return pipeline_fail_ls("look at the metrics");
    for (size_t i = 0; i < ls_metrics_snapshot_count(snapshot); i++) {
        ls_metric_sample sample = LS_METRIC_SAMPLE_INIT;

        if (ls_metrics_snapshot_at(snapshot, i, &sample) == LS_OK && strcmp(sample.name, ACCIDENT_METRIC) == 0) {
            out->count += !is_other(&sample);
            out->other += is_other(&sample) ? sample.count : 0;
            out->sum += sample.count;
        }
    }
    ls_metrics_snapshot_free(snapshot);
    return 0;
}

static int look_at_alert(ls_stream *stream, const char *name, ls_alert_info *out)
{
    ls_alert_description *description = NULL;
    int result = 0;

    if (ls_alert_describe(stream, name, &description) != LS_OK ||
        ls_alert_description_info(description, out) != LS_OK)
        result = pipeline_fail_ls("look at an alert");
    ls_alert_description_free(description);
    return result;
}

int accident_metrics_alerts(const accident_metrics *of, uint64_t *fired, const char *cannot_fire[ACCIDENT_RULES + 1])
{
    int count = 0;

    *fired = 0;
    for (int i = 0; i < ACCIDENT_RULES; i++) {
        ls_alert_info rule = LS_ALERT_INFO_INIT;

        if (look_at_alert(of->stream, rules[i].name, &rule) != 0)
            return -1;
        *fired += rule.fired_count;
        if (rule.cannot_fire)
            cannot_fire[count++] = rules[i].name;
    }
    cannot_fire[count] = NULL;
    return 0;
}

int accident_metrics_end(accident_metrics *of, bool caught_up)
{
    int result = pipeline_work_end(of->worker, caught_up);

    of->worker = NULL;
    if (ls_alerts_close(of->alerts) != LS_OK && result == 0)
        result = pipeline_fail_ls("close the alerts");
    of->alerts = NULL;
    return result;
}
