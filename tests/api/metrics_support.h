/* What tests of metrics share: the sum of a name over all of its series. */
#ifndef LST_METRICS_SUPPORT_H
#define LST_METRICS_SUPPORT_H

#include "api/support.h"

/* `name` is libstream's, or CloudWatch's and then in its unit; of a duration, how many there were. -1: nothing has that
 * name. */
static inline double sum_of_metric(ls_store *store, const char *name)
{
    bool is_own = strncmp(name, "libstream_", 10) == 0;
    ls_metrics_snapshot *snapshot = NULL;
    double sum = -1;

    assert_int_equal(ls_metrics_snapshot_take(store, &snapshot), LS_OK);
    for (size_t i = 0; i < ls_metrics_snapshot_count(snapshot); i++) {
        ls_metric_sample sample = LS_METRIC_SAMPLE_INIT;
        const char *named;

        assert_int_equal(ls_metrics_snapshot_at(snapshot, i, &sample), LS_OK);
        named = is_own ? sample.name : sample.cloudwatch_name;
        if (named == NULL || strcmp(named, name) != 0)
            continue;
        sum = sum < 0 ? 0 : sum;
        sum += sample.type == LS_METRIC_HISTOGRAM ? (double)sample.count
                                                  : sample.value * (is_own ? 1 : sample.cloudwatch_scale);
    }
    ls_metrics_snapshot_free(snapshot);
    return sum;
}

#endif
