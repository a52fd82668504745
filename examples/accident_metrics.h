/* What becomes of the severe accidents in stream 2: a handler that unpacks them counts each in a series by severity,
 * city and county, and shows it to two alert rules, of which one can never fire. */
#ifndef EXAMPLES_ACCIDENT_METRICS_H
#define EXAMPLES_ACCIDENT_METRICS_H

#include "pipeline.h"

#define ACCIDENT_METRIC "us_accidents_severity_high_total"

#define ACCIDENT_RULES 2

typedef struct accident_metrics {
    bool quiet;                    /* Alerts are not printed. */
    uint32_t series_max;           /* So many combinations are counted apart, the rest as one. */
    ls_stream *stream;             /* stream 2 */
    ls_metric *metric;
    ls_alerts *alerts;
    pipeline_worker *worker;
    uint64_t handled, very_severe; /* records, and those with Severity > 3: atomically */
} accident_metrics;

/* Begins to count, on a thread. 0, or -1: said; then accident_metrics_end is called all the same. */
int accident_metrics_begin(accident_metrics *to, ls_store *store, ls_stream *stream);
/* As pipeline_work_end. One that is zero is accepted. */
int accident_metrics_end(accident_metrics *of, bool caught_up);

typedef struct accident_series {
    uint64_t count, sum;           /* how many combinations are counted apart, and what all series count */
    uint64_t other;                /* of that what is counted as "other", since there are more than `series_max` */
} accident_series;

int accident_metrics_count(ls_store *store, accident_series *out); /* 0, or -1: said. */

/* How often rules have fired since they were made, and which ones cannot, ended by NULL. 0, or -1: said. */
int accident_metrics_alerts(const accident_metrics *of, uint64_t *fired, const char *cannot_fire[ACCIDENT_RULES + 1]);

#endif
