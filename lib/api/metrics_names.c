/* The store's own metrics: under which names of Prometheus and of CloudWatch, with which labels. */
#include "api/metrics_gather.h"

#define LABELS(...) .labels = (const char *const[]){__VA_ARGS__}, \
    .label_count = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)
#define COUNTER(what, unit_of, help_text) \
    .name = "libstream_" what "_total", .type = LS_METRIC_COUNTER, .unit = unit_of, .scale = 1, .help = help_text
#define GAUGE(what, unit_of, help_text) \
    .name = "libstream_" what, .type = LS_METRIC_GAUGE, .unit = unit_of, .scale = 1, .help = help_text
#define TIMES(what, help_text) \
    .name = "libstream_" what "_duration_seconds", .type = LS_METRIC_HISTOGRAM, .unit = "Milliseconds", .scale = 1000, \
    .help = help_text, .bounds = lsi_duration_bounds, .bound_count = LSI_DURATION_BOUNDS

const lsi_family lsi_metric_families[FAMILIES] = {
    [PUT_RECORDS] = {COUNTER("put_records", "Count", "Records that were put."), LABELS("stream", "shard"),
                     .cloudwatch = "IncomingRecords"},
    [PUT_BYTES] = {COUNTER("put_bytes", "Bytes", "Bytes of keys and data that were put."), LABELS("stream", "shard"),
                   .cloudwatch = "IncomingBytes"},
    [PUT_CALLS] = {COUNTER("put_calls", "Count", "Calls that put, by what became of them."),
                   LABELS("stream", "call", "result")},
    [PUT_THROTTLED] = {COUNTER("put_throttled_records", "Count", "Records that a limit of their shard refused."),
                       LABELS("stream", "shard", "limit"), .cloudwatch = "WriteProvisionedThroughputExceeded"},
    [PUT_TIMES] = {TIMES("put", "How long puts took, of a sample."), LABELS("stream", "call")},
    [PUT_UNITS] = {COUNTER("put_payload_units", "Count", "Units of 25 KB of keys and data, each record rounded up."),
                   LABELS("stream", "shard")},
    [GET_RECORDS] = {COUNTER("get_records", "Count", "Records that were given to readers."), LABELS("stream", "shard"),
                     .cloudwatch = "OutgoingRecords"},
    [GET_BYTES] = {COUNTER("get_bytes", "Bytes", "Bytes of keys and data that were given to readers."),
                   LABELS("stream", "shard"), .cloudwatch = "OutgoingBytes"},
    [GET_CALLS] = {COUNTER("get_calls", "Count", "Calls of readers, by what became of them."),
                   LABELS("stream", "result")},
    [GET_THROTTLED] = {COUNTER("get_throttled_calls", "Count", "Calls of readers that a limit of a shard refused."),
                       LABELS("stream", "shard", "limit"), .cloudwatch = "ReadProvisionedThroughputExceeded"},
    [GET_TIMES] = {TIMES("get", "How long calls of readers took that did not wait, of a sample."), LABELS("stream"),
                   .cloudwatch = "GetRecords.Latency"},
    [FAN_OUT_BYTES] = {COUNTER("fan_out_bytes", "Bytes", "Bytes that were given to registered consumers."),
                       LABELS("stream", "shard"), .cloudwatch = "SubscribeToShardEvent.Bytes"},
    [LAG_SECONDS] = {.name = "libstream_consumer_lag_seconds", .type = LS_METRIC_GAUGE, .unit = "Milliseconds",
                     .scale = 1000, .help = "How old the first record is that is not finished; 0: there is none.",
                     LABELS("stream", "shard", "consumer"), .cloudwatch = "IteratorAge"},
    [LAG_RECORDS] = {GAUGE("consumer_lag_records", "Count", "Records that are not finished."),
                     LABELS("stream", "shard", "consumer")},
    [MAPPING_CALLS] = {COUNTER("mapping_invocations", "Count", "Invocations of handlers, by what became of them."),
                       LABELS("stream", "mapping", "result"), .cloudwatch = "Invocations"},
    [MAPPING_RECORDS] = {COUNTER("mapping_records", "Count", "Records of mappings, by what became of them."),
                         LABELS("stream", "mapping", "outcome")},
    [MAPPING_TIMES] = {TIMES("mapping_handler", "How long handlers took."), LABELS("stream", "mapping"),
                       .cloudwatch = "Duration"},
    [MAPPING_SIZES] = {.name = "libstream_mapping_batch_records", .type = LS_METRIC_HISTOGRAM, .unit = "Count",
                       .scale = 1, .help = "How many records handlers were given at once.", LABELS("stream", "mapping"),
                       .bounds = lsi_size_bounds, .bound_count = LSI_SIZE_BOUNDS},
    [LEASES_OWNED] = {GAUGE("leases_owned", "Count", "Leases that a worker that lives has."),
                      LABELS("stream", "consumer", "worker"), .cloudwatch = "CurrentLeases"},
    [LEASES_TAKEN] = {COUNTER("leases_taken", "Count", "Leases that workers took."), LABELS("stream", "consumer"),
                      .cloudwatch = "TakenLeases"},
    [LEASES_LOST] = {COUNTER("leases_lost", "Count", "Leases that workers had and lost."),
                     LABELS("stream", "consumer"), .cloudwatch = "LostLeases"},
    [CHECKPOINTS] = {COUNTER("checkpoint", "Count", "Checkpoints of leases, by what became of them."),
                     LABELS("stream", "consumer", "result")},
    [WINDOW_LATE] = {COUNTER("window_late_records", "Count", "Records that came when all of their windows were gone."),
                     LABELS("stream", "operator")},
    [WINDOW_WATERMARK] = {GAUGE("window_watermark_timestamp_seconds", "None",
                                "Up to when no more records are expected, by their own time, as it was stored last."),
                          LABELS("stream", "shard", "operator")},
    [LOG_BYTES] = {GAUGE("log_bytes", "Bytes", "Bytes of the log that are kept."), LABELS("stream", "shard")},
    [LOG_SEGMENTS] = {GAUGE("log_segments", "Count", "Segments of the log that are kept."), LABELS("stream", "shard")},
    [LOG_SYNC_TIMES] = {TIMES("log_sync", "How long syncs of logs took."), LABELS("stream")},
    [LOG_DAMAGED] = {COUNTER("log_corrupt_frames", "Count", "How often a reader met a damaged frame."),
                     LABELS("stream", "shard")},
    [SHARD_SECONDS] = {COUNTER("shard_seconds", "Count", "How long the shard has been open, in seconds."),
                       LABELS("stream", "shard")},
    [RETENTION_EXTENDED] = {GAUGE("retention_extended_seconds", "None", "By how much retention exceeds 24 hours."),
                            LABELS("stream")},
    [SERIES_DROPPED] = {COUNTER("metrics_series_dropped", "Count",
                                "How often a series of the application was refused for its metric's cap."),
                        LABELS("metric")},
    [BUILD_INFO] = {GAUGE("build_info", "None", "1; the labels tell which libstream this is."),
                    LABELS("version", "features")},
};
