/* lstream limits: what each shard of a provisioned stream takes and gives in a second. */
#include "cli/cli.h"

#include <inttypes.h>

enum { WRITE_BYTES, WRITE_RECORDS, READ_BYTES, READ_CALLS, KINESIS };
static const lsi_option options[] = {
    [WRITE_BYTES] = {"write-bytes-per-second", LSI_OPTION_BYTES, "N",
        "Bytes each shard takes. K, M and G may follow the number.", 1024, UINT32_MAX, 0},
    [WRITE_RECORDS] = {"write-records-per-second", LSI_OPTION_NUMBER, "N", "Records each shard takes.", 1, UINT32_MAX,
                       0},
    [READ_BYTES] = {"read-bytes-per-second", LSI_OPTION_BYTES, "N", "Bytes each shard gives to all its readers.", 1024,
                    UINT32_MAX, 0},
    [READ_CALLS] = {"reads-per-second", LSI_OPTION_NUMBER, "N", "Reads of each shard.", 1, UINT32_MAX, 0},
    [KINESIS] = {"kinesis", LSI_OPTION_FLAG, NULL, "Those that are not named become Kinesis's: 1M, 1000, 2M and 5.", 0,
                 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static void json_figures(lsi_json_writer *json, const ls_stream_description *description)
{
    ls_stream_limits limits = LS_STREAM_LIMITS_INIT;

    if (ls_stream_description_limits(description, &limits) != LS_OK) {
        lsi_json_null(json);
        return;
    }
    lsi_json_object_open(json);
    lsi_member_uint(json, "write_bytes_per_second", limits.write_bytes_per_second);
    lsi_member_uint(json, "write_records_per_second", limits.write_records_per_second);
    lsi_member_uint(json, "read_bytes_per_second", limits.read_bytes_per_second);
    lsi_member_uint(json, "read_calls_per_second", limits.read_calls_per_second);
    lsi_json_object_close(json);
}

static void print_figures(const ls_stream_description *description)
{
    ls_stream_limits limits = LS_STREAM_LIMITS_INIT;
    char in[LSI_SIZE_BYTES], out[LSI_SIZE_BYTES];

    if (ls_stream_description_limits(description, &limits) != LS_OK)
        return;
    lsi_format_size(limits.write_bytes_per_second, in);
    lsi_format_size(limits.read_bytes_per_second, out);
    lsi_out_text("limits        a shard takes %s and %" PRIu32 " records a second\n", in,
                 limits.write_records_per_second);
    lsi_out_text("              and gives %s in %" PRIu32 " reads\n", out, limits.read_calls_per_second);
}

static bool is_limited(const ls_stream_description *description)
{
    return ls_stream_description_mode(description) == LS_STREAM_PROVISIONED;
}

void lsi_limits_json(lsi_json_writer *json, const ls_stream_description *description)
{
    if (is_limited(description))
        json_figures(json, description);
    else
        lsi_json_null(json);
}

void lsi_limits_text(const ls_stream_description *description)
{
    if (is_limited(description))
        print_figures(description);
}

static int print(const lsi_call *call, const ls_stream_description *description)
{
    lsi_json_writer json;

    if (!call->json) {
        print_figures(description);
        if (!is_limited(description))
            lsi_out_text("              but not while it is on-demand\n");
        return LSI_EXIT_OK;
    }
    lsi_json_begin(&json, &lsi_memory_libc);
    json_figures(&json, description);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

/* Those that were named; the others stay, or become Kinesis's. */
static ls_status change(const lsi_call *call, ls_stream *stream)
{
    const lsi_value *values = call->values;
    ls_stream_limits limits = LS_STREAM_LIMITS_INIT;
    ls_stream_description *description;
    ls_status st = LS_OK;

    if (!values[KINESIS].given) {
        st = ls_stream_describe(stream, &description);
        if (st == LS_OK) {
            st = ls_stream_description_limits(description, &limits);
            ls_stream_description_free(description);
        }
    }
    if (values[WRITE_BYTES].given)
        limits.write_bytes_per_second = (uint32_t)values[WRITE_BYTES].number;
    if (values[WRITE_RECORDS].given)
        limits.write_records_per_second = (uint32_t)values[WRITE_RECORDS].number;
    if (values[READ_BYTES].given)
        limits.read_bytes_per_second = (uint32_t)values[READ_BYTES].number;
    if (values[READ_CALLS].given)
        limits.read_calls_per_second = (uint32_t)values[READ_CALLS].number;
    return st == LS_OK ? ls_stream_set_limits(stream, &limits) : st;
}

static int run(lsi_call *call)
{
    ls_stream_description *description = NULL;
    bool is_change = false;
    ls_status st = LS_OK;
    ls_stream *stream;
    ls_store *store;
    int code;

    for (int i = WRITE_BYTES; i <= KINESIS; i++)
        is_change = is_change || call->values[i].given;
    code = lsi_open_stream(call, call->arguments[0], is_change, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    if (is_change)
        st = change(call, stream);
    if (st == LS_OK)
        st = ls_stream_describe(stream, &description);
    code = st == LS_OK ? print(call, description) : lsi_failed(call, st);
    ls_stream_description_free(description);
    return lsi_close_stream(call, stream, store, code);
}

const lsi_command lsi_command_limits = {
    .name = "limits",
    .summary = "Show or set what a provisioned shard takes",
    .arguments = "NAME",
    .help = "The figures count for each shard and second while the stream is provisioned\n"
            "(`lstream mode`). Processes that use the stream go by them from their next call\n"
            "on. Prints what counts then; with --json: {\"write_bytes_per_second\",\n"
            "\"write_records_per_second\", \"read_bytes_per_second\", \"read_calls_per_second\"}.\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .needs_store = true,
    .options = options,
    .run = run,
};
