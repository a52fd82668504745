/* lstream metrics: what is counted and measured, as Prometheus text, as JSON, or into a file for a collector. */
#include "cli/cli.h"

#include <time.h>

#define SLICE_MS 500 /* so often it is looked whether there is a reader */

enum { FILE_PATH, EVERY };
static const lsi_option options[] = {
    [FILE_PATH] = {"file", LSI_OPTION_TEXT, "PATH",
        "Write the text into this file instead, which is replaced as a whole and which anybody may read: for the "
        "collector of text files of a node exporter, which reads the names that end in .prom.", 0, 0, 'o'},
    [EVERY] = {"every", LSI_OPTION_NUMBER, "SECONDS", "Do it again and again, until a signal comes or nobody reads it "
        "any more. A file that cannot be written is said, and tried again the next time.", 1, 86400, 'n'},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static ls_status print_text(const char *bytes, size_t size, void *user)
{
    (void)user;
    lsi_out(bytes, size);
    return LS_OK;
}

static void sample_json(lsi_json_writer *json, const ls_metric_sample *sample)
{
    static const char *const types[] = {"", "counter", "gauge", "histogram"};

    lsi_json_object_open(json);
    lsi_member_string(json, "name", sample->name);
    lsi_member_string(json, "type", types[sample->type]);
    lsi_json_key(json, "labels");
    lsi_json_object_open(json);
    for (uint32_t i = 0; i < sample->label_count; i++)
        lsi_member_string(json, sample->labels[i].name, sample->labels[i].value);
    lsi_json_object_close(json);
    if (sample->type == LS_METRIC_GAUGE) {
        lsi_json_key(json, "value");
        lsi_json_double(json, sample->value);
    } else {
        lsi_json_key(json, sample->type == LS_METRIC_COUNTER ? "value" : "count");
        lsi_json_uint(json, sample->count);
    }
    if (sample->type == LS_METRIC_HISTOGRAM) {
        lsi_json_key(json, "sum");
        lsi_json_double(json, sample->sum);
        lsi_json_key(json, "buckets");
        lsi_json_array_open(json);
        for (uint32_t i = 0; i < sample->bucket_count; i++)
            lsi_json_uint(json, sample->buckets[i]);
        lsi_json_array_close(json);
        lsi_json_key(json, "bounds");
        lsi_json_array_open(json);
        for (uint32_t i = 0; i + 1 < sample->bucket_count; i++)
            lsi_json_double(json, sample->bounds[i]);
        lsi_json_array_close(json);
    }
    if (sample->cloudwatch_name != NULL) {
        lsi_member_string(json, "cloudwatch_name", sample->cloudwatch_name);
        lsi_member_string(json, "cloudwatch_unit", sample->cloudwatch_unit);
        lsi_json_key(json, "cloudwatch_scale");
        lsi_json_double(json, sample->cloudwatch_scale);
    }
    lsi_json_object_close(json);
}

static int print_json(const lsi_call *call, ls_store *store)
{
    ls_metric_sample sample = LS_METRIC_SAMPLE_INIT;
    ls_metrics_snapshot *snapshot;
    lsi_json_writer json;
    ls_status st = ls_metrics_snapshot_take(store, &snapshot);

    if (st != LS_OK)
        return lsi_failed(call, st);
    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_json_key(&json, "metrics");
    lsi_json_array_open(&json);
    for (size_t i = 0; i < ls_metrics_snapshot_count(snapshot); i++) {
        (void)ls_metrics_snapshot_at(snapshot, i, &sample); /* It is of the snapshot. */
        sample_json(&json, &sample);
    }
    lsi_json_array_close(&json);
    lsi_json_object_close(&json);
    ls_metrics_snapshot_free(snapshot);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

static int tell(const lsi_call *call, ls_store *store)
{
    ls_status st;

    if (call->values[FILE_PATH].given)
        st = ls_metrics_write_file(store, call->values[FILE_PATH].text);
    else if (call->json)
        return print_json(call, store);
    else
        st = ls_metrics_write_text(store, print_text, NULL);
    return st == LS_OK ? LSI_EXIT_OK : lsi_failed(call, st);
}

/* Waits for the next time. False: a signal came, or what is printed is of no use to anybody. */
static bool wait_for_next(const lsi_call *call)
{
    const int64_t until_ms = lsi_now_ms() + (int64_t)call->values[EVERY].number * 1000;
    const bool is_printed = !call->values[FILE_PATH].given;

    while (lsi_signal_number() == 0 && !(is_printed && (lsi_out_broken() || lsi_out_reader_is_gone()))) {
        const int64_t left_ms = until_ms - lsi_now_ms(), ms = left_ms < SLICE_MS ? left_ms : SLICE_MS;
        const struct timespec pause = {.tv_nsec = ms * 1000000};

        if (left_ms <= 0)
            return true;
        (void)nanosleep(&pause, NULL); /* A signal ends it. */
    }
    return false;
}

/* A directory that is away for a moment, or a full disk, is no end of what is repeated. */
static bool may_go_on(const lsi_call *call, int code)
{
    return call->values[EVERY].given && (code == LSI_EXIT_OK || call->values[FILE_PATH].given);
}

static int run(lsi_call *call)
{
    ls_store *store;
    int code;

    if (call->json && call->values[FILE_PATH].given)
        return lsi_usage(call, "--file is for text, and excludes --json");
    code = lsi_open_store(call, false, &store);
    if (code != LSI_EXIT_OK)
        return code;
    if (call->values[EVERY].given)
        lsi_signals_catch();
    code = tell(call, store);
    lsi_out_flush();
    while (may_go_on(call, code) && wait_for_next(call)) {
        code = tell(call, store);
        lsi_out_flush();
    }
    if (may_go_on(call, code) && lsi_signal_number() != 0)
        code = 128 + lsi_signal_number();
    return lsi_close_stream(call, NULL, store, code);
}

const lsi_command lsi_command_metrics = {
    .name = "metrics",
    .summary = "Show what is counted and measured",
    .arguments = "",
    .help = "What all processes that use the store have counted since the machine was\n"
            "started, as Prometheus text: records and bytes put and read, calls by result,\n"
            "how long they took, what limits refused, how far consumers are behind, what\n"
            "mappings did, what the logs take. `libstream/metrics.h` says what each figure is\n"
            "worth.\n"
            "\n"
            "With --json one object: {\"metrics\": [{\"name\", \"type\", \"labels\", \"value\"}]}; a\n"
            "histogram has \"count\", \"sum\", \"buckets\" and \"bounds\" instead of \"value\"; and\n"
            "\"cloudwatch_name\", \"cloudwatch_unit\" and \"cloudwatch_scale\" are there where\n"
            "Amazon CloudWatch has the same: the value times the scale is in that unit.\n",
    .arguments_min = 0,
    .arguments_max = 0,
    .needs_store = true,
    .options = options,
    .run = run,
};
