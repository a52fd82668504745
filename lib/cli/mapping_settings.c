/* How the settings of a mapping are shown, as JSON and as text. */
#include "cli/cli.h"

#include <inttypes.h>

void lsi_mapping_settings_json(lsi_json_writer *json, const ls_mapping_options *is)
{
    lsi_member_uint(json, "batch", is->records_max);
    lsi_member_uint(json, "batch_bytes", is->bytes_max);
    lsi_member_uint(json, "window_ms", is->batching_window_ms);
    lsi_member_uint(json, "lanes", is->lane_count);
    lsi_json_key(json, "retries");
    if (is->retries_max == 0)
        lsi_json_null(json);
    else
        lsi_json_uint(json, is->retries_max == LS_MAPPING_NO_RETRIES ? 0 : (uint64_t)is->retries_max);
    lsi_json_key(json, "record_age_s");
    if (is->record_age_s_max == 0)
        lsi_json_null(json);
    else
        lsi_json_uint(json, is->record_age_s_max);
    lsi_member_uint(json, "tumbling_s", is->tumbling_window_s);
    lsi_json_key(json, "timeout_ms");
    if (is->handler_timeout_ms == LS_MAPPING_NO_TIMEOUT)
        lsi_json_null(json);
    else
        lsi_json_int(json, is->handler_timeout_ms);
    lsi_member_bool(json, "bisect", (is->flags & LS_MAPPING_BISECT) != 0);
    lsi_member_bool(json, "report_failures", (is->flags & LS_MAPPING_REPORT_FAILURES) != 0);
    lsi_member_bool(json, "discard_failed_only", (is->flags & LS_MAPPING_DISCARD_FAILED_ONLY) != 0);
    lsi_member_bool(json, "document_bytes", (is->flags & LS_MAPPING_DOCUMENT_BYTES) != 0);
    lsi_member_bool(json, "exactly_once", (is->flags & LS_MAPPING_EXACTLY_ONCE) != 0);
    lsi_member_bool(json, "deaggregate", (is->flags & LS_MAPPING_DEAGGREGATE) != 0);
    lsi_json_key(json, "failures");
    if (is->failure_stream == NULL)
        lsi_json_null(json);
    else
        lsi_json_string(json, is->failure_stream);
    lsi_json_key(json, "consumer");
    if (is->consumer == NULL)
        lsi_json_null(json);
    else
        lsi_json_string(json, is->consumer);
    lsi_json_key(json, "filters");
    lsi_json_array_open(json);
    for (uint32_t i = 0; i < is->filter_count; i++)
        lsi_json_string(json, is->filters[i]);
    lsi_json_array_close(json);
}

void lsi_mapping_settings_text(const ls_mapping_options *is)
{
    lsi_out_text("batch      %" PRIu32 " records, %" PRIu64 " bytes%s, filled for %" PRIu32 " ms\n", is->records_max,
                 is->bytes_max, (is->flags & LS_MAPPING_DOCUMENT_BYTES) != 0 ? " of document" : "",
                 is->batching_window_ms);
    lsi_out_text("lanes      %" PRIu32 "\n", is->lane_count);
    if (is->retries_max == 0)
        lsi_out_text("retries    without end\n");
    else
        lsi_out_text("retries    %" PRId32 "\n", is->retries_max == LS_MAPPING_NO_RETRIES ? 0 : is->retries_max);
    if (is->record_age_s_max != 0)
        lsi_out_text("age        up to %" PRIu32 " s\n", is->record_age_s_max);
    if (is->tumbling_window_s != 0)
        lsi_out_text("windows    of %" PRIu32 " s\n", is->tumbling_window_s);
    if (is->handler_timeout_ms != LS_MAPPING_NO_TIMEOUT)
        lsi_out_text("timeout    %" PRId32 " ms\n", is->handler_timeout_ms);
    if ((is->flags & LS_MAPPING_BISECT) != 0)
        lsi_out_text("bisects\n");
    if ((is->flags & LS_MAPPING_REPORT_FAILURES) != 0)
        lsi_out_text("takes reports of failures\n");
    if ((is->flags & LS_MAPPING_DISCARD_FAILED_ONLY) != 0)
        lsi_out_text("gives up what was reported alone\n");
    if ((is->flags & LS_MAPPING_EXACTLY_ONCE) != 0)
        lsi_out_text("puts exactly once\n");
    if ((is->flags & LS_MAPPING_DEAGGREGATE) != 0)
        lsi_out_text("takes aggregates apart\n");
    if (is->failure_stream != NULL)
        lsi_out_text("failures   to stream %s\n", is->failure_stream);
    if (is->consumer != NULL)
        lsi_out_text("reads      as consumer %s\n", is->consumer);
    for (uint32_t i = 0; i < is->filter_count; i++)
        lsi_out_text("filter     %s\n", is->filters[i]);
}
