/* The settings of a mapping: defaults, ranges, and what goes with what. Checked when a caller gives them, and again
 * when they are read from the state, which may hold anything (X1). */
#include "consume/consume.h"

#include <inttypes.h>

#include "base/status.h"
#include "consume/mapping/batcher.h"

#define FLAGS (LS_MAPPING_BISECT | LS_MAPPING_REPORT_FAILURES | LS_MAPPING_DISCARD_FAILED_ONLY | \
               LS_MAPPING_DOCUMENT_BYTES | LS_MAPPING_EXACTLY_ONCE | LS_MAPPING_DEAGGREGATE)
#define RECORDS_DEFAULT 100u
#define RAW_BYTES_LIMIT (UINT64_C(1) << 30)
#define BATCHING_WINDOW_MS_LIMIT 300000u
#define RETRIES_LIMIT 10000
#define RECORD_AGE_S_LEAST 60u
#define RECORD_AGE_S_LIMIT 604800u
#define TUMBLING_WINDOW_S_LIMIT 900u
#define HANDLER_TIMEOUT_MS_DEFAULT 3000
#define HANDLER_TIMEOUT_MS_LIMIT 900000
#define SYNC_INTERVAL_MS_DEFAULT 1000u
#define SYNC_INTERVAL_MS_LIMIT 60000u

void lsi_mapping_options_resolve(ls_mapping_options *options)
{
    options->size = (uint32_t)sizeof(*options);
    if (options->bytes_max == 0)
        options->bytes_max = LSI_BATCHER_BYTES_DEFAULT;
    if (options->records_max == 0)
        options->records_max = RECORDS_DEFAULT;
    if (options->lane_count == 0)
        options->lane_count = 1;
    if (options->tumbling_window_s != 0 && options->window_state_bytes_max == 0)
        options->window_state_bytes_max = LSI_WINDOW_STATE_BYTES_DEFAULT;
    if (options->handler_timeout_ms == 0)
        options->handler_timeout_ms = HANDLER_TIMEOUT_MS_DEFAULT;
    if (options->sync_interval_ms == 0)
        options->sync_interval_ms = SYNC_INTERVAL_MS_DEFAULT;
}

static ls_status check_range(const char *field, int64_t value, int64_t least, int64_t most)
{
    return value >= least && value <= most
               ? LS_OK
               : lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.%s is %" PRId64 ": it is %" PRId64 "..%" PRId64, field,
                          value, least, most);
}

/* What each may be by itself. */
static ls_status check_ranges(const ls_mapping_options *options)
{
    bool of_document = (options->flags & LS_MAPPING_DOCUMENT_BYTES) != 0;
    uint64_t bytes_limit = of_document ? LSI_BATCHER_BYTES_DEFAULT : RAW_BYTES_LIMIT;
    ls_status st;

    if (options->bytes_max > bytes_limit)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.bytes_max is %" PRIu64 ": it is 1..%" PRIu64 "%s",
                        options->bytes_max, bytes_limit, of_document ? " with LS_MAPPING_DOCUMENT_BYTES" : "");
    st = check_range("records_max", options->records_max, 1, LSI_BATCHER_RECORDS_MAX);
    if (st == LS_OK)
        st = check_range("batching_window_ms", options->batching_window_ms, 0, BATCHING_WINDOW_MS_LIMIT);
    if (st == LS_OK)
        st = check_range("lane_count", options->lane_count, 1, LSI_BATCHER_LANES_MAX);
    if (st == LS_OK)
        st = check_range("retries_max", options->retries_max, LS_MAPPING_NO_RETRIES, RETRIES_LIMIT);
    if (st == LS_OK && options->record_age_s_max != 0)
        st = check_range("record_age_s_max", options->record_age_s_max, RECORD_AGE_S_LEAST, RECORD_AGE_S_LIMIT);
    if (st == LS_OK)
        st = check_range("tumbling_window_s", options->tumbling_window_s, 0, TUMBLING_WINDOW_S_LIMIT);
    if (st == LS_OK)
        st = check_range("window_state_bytes_max", options->window_state_bytes_max, 0, LSI_WINDOW_STATE_BYTES_LIMIT);
    if (st == LS_OK && options->handler_timeout_ms != LS_MAPPING_NO_TIMEOUT)
        st = check_range("handler_timeout_ms", options->handler_timeout_ms, 1, HANDLER_TIMEOUT_MS_LIMIT);
    if (st == LS_OK)
        st = check_range("sync_interval_ms", options->sync_interval_ms, 1, SYNC_INTERVAL_MS_LIMIT);
    if (st == LS_OK)
        st = check_range("filter_count", options->filter_count, 0, LS_MAPPING_FILTERS_MAX);
    return st;
}

/* What the filters say is for those who compile them. */
static ls_status check_filters(const ls_mapping_options *options)
{
    if (options->filter_count != 0 && options->filters == NULL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.filters is NULL, and options.filter_count %" PRIu32,
                        options->filter_count);
    for (uint32_t i = 0; i < options->filter_count; i++)
        if (options->filters[i] == NULL)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.filters[%" PRIu32 "] is NULL", i);
    return LS_OK;
}

ls_status lsi_mapping_options_check(const ls_mapping_options *options)
{
    ls_status st;

    if ((options->flags & ~FLAGS) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags has the unknown bits 0x%" PRIx32,
                        options->flags & ~FLAGS);
    st = check_ranges(options);
    if (st == LS_OK)
        st = check_filters(options);
    if (st != LS_OK)
        return st;
    if (options->tumbling_window_s != 0 && options->lane_count != 1)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.tumbling_window_s is %" PRIu32 " and options.lane_count %"
                        PRIu32 ": windows need one lane, which has their state", options->tumbling_window_s,
                        options->lane_count);
    if ((options->flags & LS_MAPPING_EXACTLY_ONCE) != 0 && options->lane_count != 1)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags has LS_MAPPING_EXACTLY_ONCE and options.lane_count is %"
                        PRIu32 ": the place that goes with a batch is that of one lane", options->lane_count);
    if (options->tumbling_window_s == 0 && options->window_state_bytes_max != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.window_state_bytes_max is %" PRIu32 ", and there are no "
                        "windows (options.tumbling_window_s)", options->window_state_bytes_max);
    if ((options->flags & LS_MAPPING_DISCARD_FAILED_ONLY) != 0 && (options->flags & LS_MAPPING_REPORT_FAILURES) == 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags has LS_MAPPING_DISCARD_FAILED_ONLY without "
                        "LS_MAPPING_REPORT_FAILURES");
    if (options->failure_stream != NULL && lsi_check_stream_name(options->failure_stream) != LS_OK)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.failure_stream is no name of a stream");
    if (options->consumer != NULL && lsi_check_consumer_name(options->consumer) != LS_OK)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.consumer is no name of a consumer");
    return LS_OK;
}
