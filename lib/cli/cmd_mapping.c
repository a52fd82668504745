/* lstream mapping: the mappings of a stream: list, create, update, describe, seek, pause, resume, delete. */
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>

enum { FROM, BATCH, BATCH_BYTES, WINDOW_MS, LANES, RETRIES, RECORD_AGE, TUMBLING, TIMEOUT, BISECT, REPORT, ONCE,
       DEAGGREGATE, FAILED_ONLY, DOCUMENT, FAILURES, CONSUMER, FILTER, RESET };
static const lsi_option options[] = {
    [FROM] = {"from", LSI_OPTION_TEXT, "P", "create, seek: where to begin: trim-horizon (the oldest), latest, or "
              "time:T with T as 2026-11-20T11:42:18Z or seconds since 1970.", 0, 0, 0},
    [BATCH] = {"batch", LSI_OPTION_NUMBER, "N", "At most so many records in a batch; 100.", 1, 10000, 0},
    [BATCH_BYTES] = {"batch-bytes", LSI_OPTION_BYTES, "SIZE", "And so many bytes of keys and data; 6M.", 1,
                     UINT64_C(1) << 30, 0},
    [WINDOW_MS] = {"window-ms", LSI_OPTION_NUMBER, "MS", "How long a batch is filled; 0.", 0, 300000, 0},
    [LANES] = {"lanes", LSI_OPTION_NUMBER, "N", "Batches of a shard worked on at once, in order per key; 1.", 1,
               10, 0},
    [RETRIES] = {"retries", LSI_OPTION_NUMBER, "N", "A batch that fails is given up after so many retries; "
                 "without it, never.", 0, 10000, 0},
    [RECORD_AGE] = {"record-age", LSI_OPTION_NUMBER, "S", "Older records are given up; without it, none.", 60,
                    604800, 0},
    [TUMBLING] = {"tumbling", LSI_OPTION_NUMBER, "S", "Tumbling windows of so many seconds; without it, none.",
                  1, 900, 0},
    [TIMEOUT] = {"timeout-ms", LSI_OPTION_NUMBER, "MS", "After which a handler has failed; 3000.", 1, 900000,
                 0},
    [BISECT] = {"bisect", LSI_OPTION_FLAG, NULL, "A batch that fails is split in two.", 0, 0, 0},
    [REPORT] = {"report-failures", LSI_OPTION_FLAG, NULL, "Handlers may report from which record on a batch "
                "failed.", 0, 0, 0},
    [ONCE] = {"exactly-once", LSI_OPTION_FLAG, NULL, "What handlers put is one step with their batch.", 0, 0,
              0},
    [DEAGGREGATE] = {"deaggregate", LSI_OPTION_FLAG, NULL, "Aggregated records are handled as the records in "
                     "them.", 0, 0, 0},
    [FAILED_ONLY] = {"discard-failed-only", LSI_OPTION_FLAG, NULL, "With --report-failures: when retries are "
                     "over, the record that was reported goes alone.", 0, 0, 0},
    [DOCUMENT] = {"document-bytes", LSI_OPTION_FLAG, NULL, "--batch-bytes counts the event document, as "
                  "Lambda's limit of 6 MiB does, also for handlers that do not get it.", 0, 0, 0},
    [FAILURES] = {"failures", LSI_OPTION_TEXT, "STREAM", "The stream that gets what is given up, and why; "
                  "without it, it is dropped.", 0, 0, 0},
    [CONSUMER] = {"consumer", LSI_OPTION_TEXT, "NAME", "The registered consumer to read as; without it, by the "
                  "limits of the stream.", 0, 0, 0},
    [FILTER] = {"filter", LSI_OPTION_TEXTS, "PATTERN", "Only records that match it, as for `lstream filter`; it may "
                "come ten times, and one that matches is enough.", 0, 0, 0},
    [RESET] = {"reset", LSI_OPTION_TEXTS, "OPTION", "update: this setting becomes what it is when create is not told; "
               "may come several times.", 0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

enum { LIST, CREATE, UPDATE, DESCRIBE, SEEK, PAUSE, RESUME, DELETE };
static const char *const acts[] = {"list", "create", "update", "describe", "seek", "pause", "resume", "delete", NULL};

static const char *status_word(ls_mapping_status status)
{
    return status == LS_MAPPING_ENABLED ? "enabled" : "disabled";
}

static const char *start_word(ls_position_kind kind)
{
    return kind == LS_LATEST ? "latest" : kind == LS_AT_TIMESTAMP ? "time" : "trim-horizon";
}

#define HEADING "STATUS   CREATED                     FROM         NAME\n"

static void print_mapping(const ls_mapping_info *info)
{
    char created[LSI_TIME_BYTES];

    lsi_format_time(info->created_us, created);
    lsi_out_text("%-8s %s %-12s %s\n", status_word(info->status), created, start_word(info->start), info->name);
}

static void members(lsi_json_writer *json, const ls_mapping_info *info)
{
    lsi_member_string(json, "name", info->name);
    lsi_member_string(json, "status", status_word(info->status));
    lsi_member_int(json, "created_us", info->created_us);
    lsi_member_int(json, "modified_us", info->modified_us);
    lsi_member_string(json, "from", start_word(info->start));
    if (info->start == LS_AT_TIMESTAMP)
        lsi_member_int(json, "from_us", info->start_timestamp_us);
}

/* All pages. */
static ls_status each_mapping(void *stream, lsi_json_writer *json)
{
    ls_mapping_info info = LS_MAPPING_INFO_INIT;
    bool more = true;
    ls_status st = LS_OK;

    while (more && st == LS_OK && !lsi_out_broken()) {
        ls_mapping_list *page;

        st = ls_stream_list_mappings(stream, info.name, 0, &page);
        if (st != LS_OK)
            break;
        for (uint32_t i = 0; i < ls_mapping_list_count(page) && st == LS_OK; i++) {
            st = ls_mapping_list_at(page, i, &info);
            if (st == LS_OK && json == NULL)
                print_mapping(&info);
            if (st != LS_OK || json == NULL)
                continue;
            lsi_json_object_open(json);
            members(json, &info);
            lsi_json_object_close(json);
        }
        more = ls_mapping_list_has_more(page) != 0;
        ls_mapping_list_free(page);
    }
    return st;
}

/* ---- one of them ---- */

static const char *result_word(const ls_mapping_description *description)
{
    static const char *const words[] = {"none", "ok", "failed"};

    return words[ls_mapping_description_last_result(description)];
}

static int describe(lsi_call *call, ls_stream *stream, const char *name)
{
    ls_mapping_info info = LS_MAPPING_INFO_INIT;
    ls_mapping_options is = LS_MAPPING_OPTIONS_INIT;
    ls_mapping_description *description = NULL;
    lsi_json_writer json;
    int code = LSI_EXIT_OK;
    ls_status st = ls_mapping_describe(stream, name, &description);

    if (st == LS_OK)
        st = ls_mapping_description_info(description, &info);
    if (st == LS_OK)
        st = ls_mapping_description_options(description, &is);
    if (st != LS_OK) {
        code = lsi_failed(call, st);
    } else if (call->json) {
        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        members(&json, &info);
        lsi_member_string(&json, "last_result", result_word(description));
        lsi_mapping_settings_json(&json, &is);
        lsi_json_object_close(&json);
        code = lsi_out_json(call, &json, LSI_EXIT_OK);
    } else {
        lsi_out_text(HEADING);
        print_mapping(&info);
        lsi_out_text("last       %s\n", result_word(description));
        lsi_mapping_settings_text(&is);
    }
    ls_mapping_description_free(description);
    return code;
}

/* ---- settings ---- */

static const struct {
    int option;
    uint32_t flag;
} flags[] = {
    {BISECT, LS_MAPPING_BISECT},
    {REPORT, LS_MAPPING_REPORT_FAILURES},
    {ONCE, LS_MAPPING_EXACTLY_ONCE},
    {FAILED_ONLY, LS_MAPPING_DISCARD_FAILED_ONLY},
    {DOCUMENT, LS_MAPPING_DOCUMENT_BYTES},
    {DEAGGREGATE, LS_MAPPING_DEAGGREGATE},
};

/* One setting becomes what `value` says, or its default when that was not given. */
static void set(ls_mapping_options *to, int option, const lsi_value *value)
{
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (flags[i].option == option)
            to->flags = value->given ? to->flags | flags[i].flag : to->flags & ~flags[i].flag;
    switch (option) {
    case BATCH:
        to->records_max = (uint32_t)value->number;
        break;
    case BATCH_BYTES:
        to->bytes_max = value->number;
        break;
    case WINDOW_MS:
        to->batching_window_ms = (uint32_t)value->number;
        break;
    case LANES:
        to->lane_count = (uint32_t)value->number;
        break;
    case RETRIES:
        to->retries_max = value->given && value->number == 0 ? LS_MAPPING_NO_RETRIES : (int32_t)value->number;
        break;
    case RECORD_AGE:
        to->record_age_s_max = (uint32_t)value->number;
        break;
    case TUMBLING:
        to->tumbling_window_s = (uint32_t)value->number;
        break;
    case TIMEOUT:
        to->handler_timeout_ms = (int32_t)value->number;
        break;
    case FAILURES:
        to->failure_stream = value->text;
        break;
    case CONSUMER:
        to->consumer = value->text;
        break;
    case FILTER:
        to->filter_count = (uint32_t)value->text_count;
        to->filters = value->texts;
        break;
    default:
        break;
    }
}

/* The option of a setting; -1: there is none of that name. */
static int setting_of(const char *name)
{
    for (int i = BATCH; i <= FILTER; i++)
        if (strcmp(options[i].name, name) == 0)
            return i;
    return -1;
}

/* What was given; on top of what `to` has. */
static void set_all(const lsi_call *call, ls_mapping_options *to)
{
    static const lsi_value not_given;

    for (size_t i = 0; i < call->values[RESET].text_count; i++)
        set(to, setting_of(call->values[RESET].texts[i]), &not_given);
    for (int i = BATCH; i <= FILTER; i++)
        if (call->values[i].given)
            set(to, i, &call->values[i]);
}

static ls_status update(const lsi_call *call, ls_stream *stream, const char *name)
{
    ls_mapping_options to = LS_MAPPING_OPTIONS_INIT;
    ls_mapping_description *description = NULL;
    ls_status st = ls_mapping_describe(stream, name, &description);

    if (st == LS_OK)
        st = ls_mapping_description_options(description, &to);
    if (st == LS_OK) {
        set_all(call, &to);
        st = ls_mapping_update(stream, name, &to);
    }
    ls_mapping_description_free(description);
    return st;
}

/* Whether the settings can be asked for so. Returns an exit code. */
static int check_settings(const lsi_call *call, int act)
{
    const lsi_value *reset = &call->values[RESET];

    for (size_t i = 0; i < reset->text_count; i++)
        if (setting_of(reset->texts[i]) < 0)
            return lsi_usage(call, "--reset is '%s': it is the name of a setting, as batch or filter", reset->texts[i]);
    if (call->values[FILTER].text_count > LS_MAPPING_FILTERS_MAX)
        return lsi_usage(call, "--filter comes more than %u times", LS_MAPPING_FILTERS_MAX);
    if (act == CREATE && call->values[FAILED_ONLY].given && !call->values[REPORT].given)
        return lsi_usage(call, "--discard-failed-only needs --report-failures");
    return LSI_EXIT_OK;
}

/* ---- the command ---- */

/* Of CREATE and SEEK the position. Returns an exit code. */
static int take_position(const lsi_call *call, int act, ls_position *out)
{
    *out = (ls_position){.kind = LS_TRIM_HORIZON};
    if (act != CREATE && act != SEEK)
        return LSI_EXIT_OK;
    if (!call->values[FROM].given)
        return lsi_usage(call, "%s needs --from", acts[act]);
    if (!lsi_parse_position(call->values[FROM].text, out) || out->kind == LS_AT_SEQUENCE_NUMBER ||
        out->kind == LS_AFTER_SEQUENCE_NUMBER)
        return lsi_usage(call, "--from is '%s': it is trim-horizon, latest or time:T", call->values[FROM].text);
    return LSI_EXIT_OK;
}

static ls_status change(const lsi_call *call, int act, ls_stream *stream, const char *name, const ls_position *from)
{
    ls_mapping_options to = LS_MAPPING_OPTIONS_INIT;

    switch (act) {
    case CREATE:
        set_all(call, &to);
        return ls_mapping_create(stream, name, from, &to);
    case UPDATE:
        return update(call, stream, name);
    case SEEK:
        return ls_mapping_seek(stream, name, from);
    case PAUSE:
        return ls_mapping_pause(stream, name);
    case RESUME:
        return ls_mapping_resume(stream, name);
    default:
        return ls_mapping_delete(stream, name);
    }
}

static int change_and_show(lsi_call *call, int act, ls_stream *stream, const char *name, const ls_position *from)
{
    lsi_json_writer json;
    ls_status st = change(call, act, stream, name, from);

    if (st == LS_ERR_INVALID_ARGUMENT)
        return lsi_usage(call, "%s", ls_last_error_message());
    if (st != LS_OK)
        return lsi_failed(call, st);
    if (act != DELETE)
        return call->json ? describe(call, stream, name) : LSI_EXIT_OK;
    if (!call->json)
        return LSI_EXIT_OK;
    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_member_string(&json, "deleted", name);
    lsi_json_object_close(&json);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

static bool takes(int act, int option)
{
    return option == FROM    ? act == CREATE || act == SEEK
           : option == RESET ? act == UPDATE
                             : act == CREATE || act == UPDATE;
}

/* Options that the act does not take. Returns an exit code. */
static int refuse_others(const lsi_call *call, int act)
{
    for (int i = FROM; i <= RESET; i++)
        if (call->values[i].given && !takes(act, i))
            return lsi_usage(call, "%s takes no --%s", acts[act], options[i].name);
    return LSI_EXIT_OK;
}

static int run(lsi_call *call)
{
    int act = LIST, code;
    ls_position from;
    ls_stream *stream;
    ls_store *store;

    code = lsi_take_act(call, acts, "mapping", &act);
    if (code == LSI_EXIT_OK)
        code = refuse_others(call, act);
    if (code == LSI_EXIT_OK)
        code = take_position(call, act, &from);
    if (code == LSI_EXIT_OK)
        code = check_settings(call, act);
    if (code != LSI_EXIT_OK)
        return code;
    code = lsi_open_stream(call, call->arguments[1], act != LIST && act != DESCRIBE, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    code = act == LIST       ? lsi_out_list(call, "mappings", HEADING, each_mapping, stream)
        : act == DESCRIBE ? describe(call, stream, call->arguments[2])
                          : change_and_show(call, act, stream, call->arguments[2], &from);
    return lsi_close_stream(call, stream, store, code);
}

const lsi_command lsi_command_mapping = {
    .name = "mapping",
    .summary = "Create, change, move, pause, delete mappings",
    .arguments = "ACT STREAM [NAME]",
    .help = "ACT is list, create, update, describe, seek, pause, resume or delete; all but\n"
            "the first take a mapping's NAME. A mapping is what AWS Lambda calls an event\n"
            "source mapping: how the stream's records become the batches of a handler, and\n"
            "how far that has come. Programs run one with ls_mapping_run, or `lstream\n"
            "consume` does.\n"
            "\n"
            "The options but --from are settings, for create and update; update leaves those\n"
            "as they are that it is not told of. With several --filter a record is wanted\n"
            "that matches one; update takes them in place of all that there were.\n"
            "\n"
            "create and seek need --from. seek forgets how far the mapping has come; whoever\n"
            "runs it goes on there. A name that is taken is exit code 6.\n"
            "\n"
            "With --json one object: {\"mappings\": [{\"name\", \"status\", \"created_us\",\n"
            "\"modified_us\", \"from\", \"from_us\" (of a time)}]}; of one mapping that, and\n"
            "\"last_result\" (none, ok, failed: of the last batch), \"batch\", \"batch_bytes\",\n"
            "\"window_ms\", \"lanes\", \"retries\", \"record_age_s\", \"tumbling_s\", \"timeout_ms\"\n"
            "(null: no end), \"bisect\", \"report_failures\", \"discard_failed_only\",\n"
            "\"document_bytes\", \"exactly_once\", \"deaggregate\", \"failures\", \"consumer\",\n"
            "\"filters\"; for delete {\"deleted\": NAME}.\n",
    .arguments_min = 2,
    .arguments_max = 3,
    .needs_store = true,
    .options = options,
    .run = run,
};
