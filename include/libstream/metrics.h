/**
 * @file metrics.h
 * What a store counts and measures, and an application's own counters, gauges and histograms beside it.
 *
 * COUNTERS OF THE STORE begin with `libstream_`. They live in memory that all processes share which have the store
 * open: each adds to the same words, so that any of them sees the sum, and a process that ends, or is killed, leaves
 * what it counted. They begin at 0 when the machine is started, or when the store's control file is made anew; a stream
 * that is deleted takes its own along, and whoever makes a group or a window operator again under its name counts on.
 * A counter is exact once the call that it counts has returned; a snapshot is no cut through all of them at one moment.
 * Leases are counted by group, not by worker, whose names are any; windows, of operators that have a name. Times of
 * puts and reads are measured of a sample: of each call that stores or gives 64 records, and of one call for each 64
 * records otherwise; in a store whose mode is SYNC, of each put.
 *
 * Of Amazon Data Firehose's metrics those have no counterpart that are of what there is not here: direct puts, format
 * conversion, throttled looks at streams, quotas. Nor have two of dynamic partitioning: JQProcessing.Duration, as each
 * record would cost two looks at the clock, and PerPartitionThroughput, as partitions are whatever the data says, up to
 * 5,000 of a shard at once, and each would be a series.
 *
 * A store that was opened for reading and may not write the control file counts by itself, and sees no other's
 * counters; gauges, which are looked up (what a log takes, how far a consumer is behind), are right there, too, though
 * what a mapping's run has finished counts there once it is stored.
 *
 * METRICS OF THE APPLICATION are defined once per open store, with the names of their labels; each combination of
 * values is a *series* with a handle of its own, so that counting looks nothing up. They belong to this process and
 * this open store. Each metric has at most `series_max` series, since users' data in labels would otherwise take all
 * memory: what comes beyond is counted in one series whose labels are all "other", and how often that was given stands
 * in `libstream_metrics_series_dropped_total`.
 *
 * READING THEM: a snapshot, sample by sample, with the names that Amazon CloudWatch has for the same things (where that
 * tells which share of calls succeeded, the counter of those that did has the name: GetRecords.Success); or as text
 * in Prometheus's format 0.0.4 (content type `text/plain; version=0.0.4; charset=utf-8`), in pieces to a callback or
 * into a file for a node exporter's collector of text files. The library opens no socket.
 *
 * ALERTS, rules on metrics and on records, are in alert.h.
 */
#ifndef LIBSTREAM_METRICS_H
#define LIBSTREAM_METRICS_H

#include <libstream/status.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a metric is. */
typedef int32_t ls_metric_type;
#define LS_METRIC_COUNTER 1   /**< A whole number that only grows. */
#define LS_METRIC_GAUGE 2     /**< A number. */
#define LS_METRIC_HISTOGRAM 3 /**< How many observations were at most each of some bounds, and the sum of all. */

/** A metric of the application. Lives as long as the store is open. */
typedef struct ls_metric ls_metric;
/** One of its series. Lives as long as the store is open. */
typedef struct ls_series ls_series;

/** Options of a metric. Zero means the default everywhere. */
typedef struct ls_metric_options {
    uint32_t size;             /**< Set by the INIT macro. */
    uint32_t series_max;       /**< 1..1,000,000, default 1,000; the series "other" is not counted. */
    const char *const *labels; /**< Names, `label_count` of them: [a-zA-Z_][a-zA-Z0-9_]*, not beginning with "__",
                                    different; not "le" of a histogram. Copied. */
    const double *bounds;      /**< Of a histogram: `bound_count` rising, finite numbers. Copied. Default: 10
                                    microseconds to 10 seconds, in seconds. */
    uint32_t label_count;      /**< 0..30 */
    uint32_t bound_count;      /**< 0..100; 0 without `bounds`. */
} ls_metric_options;
#define LS_METRIC_OPTIONS_INIT {(uint32_t)sizeof(ls_metric_options), 0, NULL, NULL, 0, 0}

/**
 * Define a metric of the application. Defining it again as it is gives the same one.
 *
 * @param name     Copied. [a-zA-Z_][a-zA-Z0-9_]*, at most 200 characters, not beginning with "libstream_". That of a
 *                 counter ends in "_total", those of others do not; so Prometheus's own check wants it.
 * @param type     LS_METRIC_.
 * @param help     Copied. One sentence that says what it counts; not empty. Bytes that are no UTF-8 become U+FFFD.
 * @param options  Borrowed until return. NULL: all defaults, no labels.
 * @param out      Set on LS_OK only. Owned by the store.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  A name, type or option breaks a rule.
 * @retval LS_ERR_EXISTS            The name is another metric's, or is that of a histogram with `_bucket`, `_count` or
 *                                  `_sum` behind it, or it would be the other way round.
 * @retval LS_ERR_NO_MEMORY         An allocation failed. Nothing was defined.
 * @retval LS_ERR_STATE             This is another process than opened the store (fork).
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_metric_define(ls_store *store, const char *name, ls_metric_type type, const char *help,
                                  const ls_metric_options *options, ls_metric **out);

/**
 * The series with these values of the labels: made when it is not there. Beyond the metric's cap: the series "other".
 *
 * @param values  Borrowed until return: one terminated text of at most 1,024 bytes for each label, in the order of the
 *                definition. Bytes that are no UTF-8 become U+FFFD. NULL when there are no labels.
 * @param out     Set on LS_OK only. Owned by the store.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  A value is NULL.
 * @retval LS_ERR_TOO_LARGE         A value is longer.
 * @retval LS_ERR_NO_MEMORY         An allocation failed.
 * @retval LS_ERR_STATE             This is another process than opened the store (fork).
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_metric_series(ls_metric *metric, const char *const *values, ls_series **out);

/**
 * Add to a counter.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The series is not a counter's.
 *
 * Threads: any thread. Never blocks: one atomic addition. Since 0.1.
 */
LS_API ls_status ls_series_add(ls_series *series, uint64_t n);

/**
 * Set a gauge.
 *
 * @param value  Any number, infinities and NaN too.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The series is not a gauge's.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_series_set(ls_series *series, double value);

/**
 * Note an observation in a histogram.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The series is not a histogram's, or `value` is NaN.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_series_observe(ls_series *series, double value);

/** A label of a sample. Views. */
typedef struct ls_label {
    const char *name;
    const char *value;
} ls_label;

/** What everything was at some moment; the moments of two samples may differ. */
typedef struct ls_metrics_snapshot ls_metrics_snapshot;

/** One series of a snapshot. All pointers are views, valid until the snapshot is freed. */
typedef struct ls_metric_sample {
    uint32_t size;               /**< Set by the INIT macro. */
    ls_metric_type type;         /**< LS_METRIC_. */
    const char *name;            /**< Prometheus's. */
    const char *help;            /**< One sentence. */
    const char *cloudwatch_name; /**< What Amazon CloudWatch calls it, or NULL. */
    const char *cloudwatch_unit; /**< "Count", "Bytes", "Milliseconds" or "None". */
    double cloudwatch_scale;     /**< `value`, or `sum`, times this is in that unit. */
    const ls_label *labels;      /**< `label_count` of them. */
    double value;                /**< Of a counter or gauge. */
    uint64_t count;              /**< Of a counter, exactly; of a histogram, how many observations. */
    double sum;                  /**< Of a histogram. */
    const double *bounds;        /**< Of a histogram: `bucket_count` - 1 upper bounds; the last bucket has none. */
    const uint64_t *buckets;     /**< Of a histogram: observations up to each bound, and in the end all. */
    uint32_t label_count;
    uint32_t bucket_count;
} ls_metric_sample;
#define LS_METRIC_SAMPLE_INIT \
    {(uint32_t)sizeof(ls_metric_sample), 0, NULL, NULL, NULL, NULL, 0, NULL, 0, 0, 0, NULL, NULL, 0, 0}

/**
 * Take a snapshot of the store's and the application's metrics, those of one name together.
 *
 * A stream that cannot be looked into, because it is being deleted or is damaged, gives what it has.
 *
 * @param out  Owned by the caller, release with ls_metrics_snapshot_free. Set on LS_OK only.
 *
 * @retval LS_ERR_NO_MEMORY  An allocation failed.
 * @retval LS_ERR_BUSY, LS_ERR_IO, LS_ERR_CORRUPT  The store could not be read.
 * @retval LS_ERR_STATE      This is another process than opened the store (fork).
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_metrics_snapshot_take(ls_store *store, ls_metrics_snapshot **out);

/** How many samples it has. Threads: any thread. Never blocks. Since 0.1. */
LS_API size_t ls_metrics_snapshot_count(const ls_metrics_snapshot *snapshot);

/**
 * The sample at `index`.
 *
 * @param out  Filled as far as its `size` says, which the INIT macro sets.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  There is none at `index`, or the size was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_metrics_snapshot_at(const ls_metrics_snapshot *snapshot, size_t index, ls_metric_sample *out);

/** Release a snapshot. NULL is accepted. Threads: any thread. Never blocks. Since 0.1. */
LS_API void ls_metrics_snapshot_free(ls_metrics_snapshot *snapshot);

/** Takes a piece of text; called in the thread of the call, under no lock. `bytes` are a view until it returns. Answers
    LS_OK to go on; anything else ends the call. It may call anything but ls_store_close. */
typedef ls_status (*ls_metrics_writer)(const char *bytes, size_t size, void *user);

/**
 * Write a snapshot as Prometheus text, format 0.0.4. The document is never in memory as a whole, and is the same
 * whatever locale the program has set.
 *
 * @retval LS_ERR_CANCELLED  `write` said so.
 * @retval                   Others as ls_metrics_snapshot_take; `write` was not called.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_metrics_write_text(ls_store *store, ls_metrics_writer write, void *user);

/**
 * Write the same text into a file: beside it first, under its name and ".new", then by a rename; so who reads it sees
 * the old text or the new one, whole. Anybody may read it (mode 0644). It is not synced. What a process that is killed
 * meanwhile leaves there is used up by the next one that writes the file. One that finds another at work, or a file of
 * somebody else's, adds a "-" and six characters to that name: what a kill leaves then stays, and may be removed.
 *
 * @param path  Borrowed until return. A node exporter reads the names that end in ".prom" of one directory.
 *
 * @retval LS_ERR_FULL, LS_ERR_IO, LS_ERR_READ_ONLY, LS_ERR_NO_MEMORY  As their names say. The old file is there.
 * @retval  Others as ls_metrics_snapshot_take.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_metrics_write_file(ls_store *store, const char *path);

#ifdef __cplusplus
}
#endif
#endif
