/* lstream alert: the alert rules of a stream: list, create, describe, delete; run evaluates them (alert_run.c). */
#include "cli/cli.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD, METRIC, LABELS, RATE, WHEN, COUNT, WINDOW_MS, COOLDOWN_MS, OBSERVED_MIN, FROM, INTERVAL_MS,
       UNTIL_CAUGHT_UP };
static const lsi_option options[] = {
    [FIELD] = {"field", LSI_OPTION_TEXT, "F", "create: a field of the records' data; points lead into objects.", 0, 0,
               0},
    [METRIC] = {"metric", LSI_OPTION_TEXT, "M", "create: instead, a counter or gauge, as `lstream metrics` names it.",
                0, 0, 0},
    [LABELS] = {"labels", LSI_OPTION_TEXT, "K=V,...", "create: of the metric, only series with these labels; the sum "
                "of them.", 0, 0, 0},
    [RATE] = {"rate", LSI_OPTION_FLAG, NULL, "create: what the metric grows by in a second.", 0, 0, 0},
    [WHEN] = {"when", LSI_OPTION_TEXT, "TEST", "create: '> 3', also with >=, <, <=, = and !=; of a field also '= "
              "\"text\"' and '!= \"text\"'.", 0, 0, 0},
    [COUNT] = {"count", LSI_OPTION_NUMBER, "N", "create: so many must pass in a window; 1.", 1, 1000000000, 0},
    [WINDOW_MS] = {"window-ms", LSI_OPTION_NUMBER, "MS", "create: how long a window is; 60000.", 1, 86400000, 0},
    [COOLDOWN_MS] = {"cooldown-ms", LSI_OPTION_NUMBER, "MS", "create: how long the rule is quiet after it fired; 0.", 0,
                     604800000, 0},
    [OBSERVED_MIN] = {"observed-min", LSI_OPTION_NUMBER, "N", "create: after so many records or looks it is judged "
                      "whether it can fire; 1000.", 1, 1000000000, 0},
    [FROM] = {"from", LSI_OPTION_TEXT, "P", "run: create MAPPING there if there is none: trim-horizon (the oldest), "
              "latest, or time:T.", 0, 0, 0},
    [INTERVAL_MS] = {"interval-ms", LSI_OPTION_NUMBER, "MS", "run: how often metrics are looked at; 1000.", 10, 3600000,
                     0},
    [UNTIL_CAUGHT_UP] = {"until-caught-up", LSI_OPTION_FLAG, NULL, "run: end when all records were looked at, and "
                         "metrics once.", 0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static const char *const signs[] = {"", ">", ">=", "<", "<=", "=", "!="};

/* ---- showing ---- */

#define HEADING "STATE        FIRED  PASSED OBSERVED LAST FIRED                  NAME\n"

static const char *state_word(const ls_alert_info *info)
{
    return info->cannot_fire ? "cannot-fire" : info->fired_count != 0 ? "fired" : "quiet";
}

static void print_alert(const ls_alert_info *info)
{
    char last[LSI_TIME_BYTES] = "-";

    if (info->last_fired_us != 0)
        lsi_format_time(info->last_fired_us, last);
    lsi_out_text("%-11s %6" PRIu64 " %7" PRIu64 " %8" PRIu64 " %-27s %s\n", state_word(info), info->fired_count,
                 info->passed_count, info->observed_count, last, info->name);
}

static void members(lsi_json_writer *json, const ls_alert_info *info)
{
    lsi_member_string(json, "name", info->name);
    lsi_member_string(json, "state", state_word(info));
    lsi_member_int(json, "created_us", info->created_us);
    lsi_member_int(json, "modified_us", info->modified_us);
    lsi_member_uint(json, "observed", info->observed_count);
    lsi_member_uint(json, "values", info->value_count);
    lsi_member_uint(json, "passed", info->passed_count);
    lsi_member_uint(json, "fired", info->fired_count);
    lsi_json_key(json, "least");
    lsi_json_double(json, info->least);
    lsi_json_key(json, "greatest");
    lsi_json_double(json, info->greatest);
    lsi_json_key(json, "last_fired_us");
    if (info->last_fired_us != 0)
        lsi_json_int(json, info->last_fired_us);
    else
        lsi_json_null(json);
}

static ls_status each_alert(void *stream, lsi_json_writer *json)
{
    ls_alert_info info = LS_ALERT_INFO_INIT;
    ls_alert_list *list;
    ls_status st = ls_stream_list_alerts(stream, &list);

    if (st != LS_OK)
        return st;
    for (uint32_t i = 0; i < ls_alert_list_count(list) && st == LS_OK; i++) {
        st = ls_alert_list_at(list, i, &info);
        if (st == LS_OK && json == NULL)
            print_alert(&info);
        if (st != LS_OK || json == NULL)
            continue;
        lsi_json_object_open(json);
        members(json, &info);
        lsi_json_object_close(json);
    }
    ls_alert_list_free(list);
    return st;
}

static void settings_json(lsi_json_writer *json, const ls_alert_options *is)
{
    lsi_member_string(json, is->field != NULL ? "field" : "metric", is->field != NULL ? is->field : is->metric);
    if (is->field == NULL) {
        lsi_json_key(json, "labels");
        lsi_json_object_open(json);
        for (uint32_t i = 0; i < is->label_count; i++)
            lsi_member_string(json, is->labels[i].name, is->labels[i].value);
        lsi_json_object_close(json);
        lsi_member_bool(json, "rate", (is->flags & LS_ALERT_RATE) != 0);
    }
    lsi_member_string(json, "comparison", signs[is->comparison]);
    lsi_json_key(json, "threshold");
    if (is->text != NULL)
        lsi_json_string(json, is->text);
    else
        lsi_json_double(json, is->threshold);
    lsi_member_uint(json, "count", is->count_min);
    lsi_member_uint(json, "window_ms", is->window_ms);
    lsi_member_uint(json, "cooldown_ms", is->cooldown_ms);
    lsi_member_uint(json, "observed_min", is->observed_min);
}

static void settings_text(const ls_alert_options *is, const ls_alert_info *info)
{
    lsi_out_text("when       %s%s%s", is->field != NULL ? "field " : (is->flags & LS_ALERT_RATE) != 0 ? "rate of " : "",
                 is->field != NULL ? is->field : is->metric, is->label_count != 0 ? "{" : "");
    for (uint32_t i = 0; i < is->label_count; i++)
        lsi_out_text("%s%s=%s%s", i > 0 ? "," : "", is->labels[i].name, is->labels[i].value,
                     i + 1 == is->label_count ? "}" : "");
    if (is->text != NULL)
        lsi_out_text(" %s \"%s\"\n", signs[is->comparison], is->text);
    else
        lsi_out_text(" %s %.15g\n", signs[is->comparison], is->threshold);
    lsi_out_text("window     %" PRIu32 " ms, %" PRIu32 " in it\n", is->window_ms, is->count_min);
    if (is->cooldown_ms != 0)
        lsi_out_text("cooldown   %" PRIu32 " ms\n", is->cooldown_ms);
    lsi_out_text("observed   %" PRIu64 ", %" PRIu64 " with a value, %.15g..%.15g\n", info->observed_count,
                 info->value_count, info->least, info->greatest);
    if (info->cannot_fire)
        lsi_out_text("It cannot fire on what was observed.\n");
}

static int describe(const lsi_call *call, ls_stream *stream, const char *name)
{
    ls_alert_info info = LS_ALERT_INFO_INIT;
    ls_alert_options is = LS_ALERT_OPTIONS_INIT;
    ls_alert_description *description = NULL;
    lsi_json_writer json;
    int code = LSI_EXIT_OK;
    ls_status st = ls_alert_describe(stream, name, &description);

    if (st == LS_OK)
        st = ls_alert_description_info(description, &info);
    if (st == LS_OK)
        st = ls_alert_description_options(description, &is);
    if (st != LS_OK) {
        code = lsi_failed(call, st);
    } else if (call->json) {
        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        members(&json, &info);
        settings_json(&json, &is);
        lsi_json_object_close(&json);
        code = lsi_out_json(call, &json, LSI_EXIT_OK);
    } else {
        lsi_out_text(HEADING);
        print_alert(&info);
        settings_text(&is, &info);
    }
    ls_alert_description_free(description);
    return code;
}

/* ---- creating ---- */

/* "> 3", "= \"text\"": `text` is changed in place and pointed into. */
static bool parse_test(char *text, ls_alert_options *to)
{
    size_t sign_size = strspn(text, "<>=!");
    char *value = text + sign_size + strspn(text + sign_size, " "), *end;
    size_t size = strlen(value);

    for (int32_t i = LS_ALERT_GREATER; i <= LS_ALERT_NOT_EQUAL; i++)
        if (strlen(signs[i]) == sign_size && strncmp(text, signs[i], sign_size) == 0)
            to->comparison = i;
    if (to->comparison == 0 || size == 0)
        return false;
    if (value[0] == '"') {
        if (size < 2 || value[size - 1] != '"')
            return false;
        value[size - 1] = '\0';
        to->text = value + 1;
        return true;
    }
    to->threshold = strtod(value, &end);
    return *end == '\0';
}

#define LABELS_MAX 30

/* "k=v,k=v": changed in place and pointed into. */
static bool parse_labels(char *text, ls_label labels[LABELS_MAX], uint32_t *count)
{
    for (char *at = text, *next; at != NULL; at = next) {
        char *comma = strchr(at, ','), *equals = strchr(at, '=');

        if (equals == NULL || (comma != NULL && equals > comma) || *count == LABELS_MAX)
            return false;
        next = comma != NULL ? comma + 1 : NULL;
        if (comma != NULL)
            *comma = '\0';
        *equals = '\0';
        labels[(*count)++] = (ls_label){at, equals + 1};
    }
    return true;
}

static int create_from(const lsi_call *call, ls_stream *stream, char *test, char *label_text)
{
    const lsi_value *values = call->values;
    ls_alert_options to = LS_ALERT_OPTIONS_INIT;
    ls_label labels[LABELS_MAX];
    ls_status st;

    to.field = values[FIELD].text;
    to.metric = values[METRIC].text;
    to.labels = labels;
    to.flags = values[RATE].given ? LS_ALERT_RATE : 0;
    to.count_min = (uint32_t)values[COUNT].number;
    to.window_ms = (uint32_t)values[WINDOW_MS].number;
    to.cooldown_ms = (uint32_t)values[COOLDOWN_MS].number;
    to.observed_min = (uint32_t)values[OBSERVED_MIN].number;
    if (!parse_test(test, &to))
        return lsi_usage(call, "--when is '%s': it is >, >=, <, <=, = or != and a number or \"text\"",
                         values[WHEN].text);
    if (label_text != NULL && !parse_labels(label_text, labels, &to.label_count))
        return lsi_usage(call, "--labels is '%s': it is NAME=VALUE,NAME=VALUE", values[LABELS].text);
    st = ls_alert_create(stream, call->arguments[2], &to);
    if (st == LS_ERR_INVALID_ARGUMENT)
        return lsi_usage(call, "%s", ls_last_error_message());
    if (st != LS_OK)
        return lsi_failed(call, st);
    return call->json ? describe(call, stream, call->arguments[2]) : LSI_EXIT_OK;
}

static int create(const lsi_call *call, ls_stream *stream)
{
    char *test = strdup(call->values[WHEN].text);
    char *label_text = call->values[LABELS].given ? strdup(call->values[LABELS].text) : NULL;
    int code = LSI_EXIT_FAILED;

    if (test == NULL || (label_text == NULL && call->values[LABELS].given))
        lsi_say(call, "out of memory");
    else
        code = create_from(call, stream, test, label_text);
    free(test);
    free(label_text);
    return code;
}

static int delete(const lsi_call *call, ls_stream *stream)
{
    lsi_json_writer json;
    ls_status st = ls_alert_delete(stream, call->arguments[2]);

    if (st != LS_OK)
        return lsi_failed(call, st);
    if (!call->json)
        return LSI_EXIT_OK;
    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_member_string(&json, "deleted", call->arguments[2]);
    lsi_json_object_close(&json);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

/* ---- the command ---- */

enum { LIST, CREATE, DESCRIBE, RUN, DELETE };
static const char *const acts[] = {"list", "create", "describe", "run", "delete", NULL};

/* Options that the act does not take, or lacks. Returns an exit code. */
static int check_options(const lsi_call *call, int act)
{
    for (int i = FIELD; i <= UNTIL_CAUGHT_UP; i++)
        if (call->values[i].given && act != (i < FROM ? CREATE : RUN))
            return lsi_usage(call, "%s takes no --%s", acts[act], options[i].name);
    if (act != RUN && call->argument_count > 3)
        return lsi_usage(call, "'%s' is one argument too many", call->arguments[3]);
    if (act == CREATE && !call->values[WHEN].given)
        return lsi_usage(call, "create needs --when");
    if (act == CREATE && call->values[FIELD].given == call->values[METRIC].given)
        return lsi_usage(call, "create needs --field or --metric, one of the two");
    return LSI_EXIT_OK;
}

static int run_rules(const lsi_call *call, ls_stream *stream)
{
    lsi_alert_running how = {
        .mapping = call->arguments[2],
        .command = call->argument_count > 3 ? call->arguments + 3 : NULL,
        .interval_ms = call->values[INTERVAL_MS].given ? (int)call->values[INTERVAL_MS].number : 1000,
        .until_caught_up = call->values[UNTIL_CAUGHT_UP].given,
        .creates = call->values[FROM].given,
    };

    if (how.creates && (!lsi_parse_position(call->values[FROM].text, &how.from) ||
                        how.from.kind == LS_AT_SEQUENCE_NUMBER || how.from.kind == LS_AFTER_SEQUENCE_NUMBER))
        return lsi_usage(call, "--from is '%s': it is trim-horizon, latest or time:T", call->values[FROM].text);
    return lsi_alerts_run(call, stream, &how);
}

static int run(lsi_call *call)
{
    int act = LIST, code = lsi_take_act(call, acts, "alert", &act);
    ls_stream *stream;
    ls_store *store;

    if (code == LSI_EXIT_OK)
        code = check_options(call, act);
    if (code != LSI_EXIT_OK)
        return code;
    if (act == RUN)
        lsi_signals_catch();
    code = lsi_open_stream(call, call->arguments[1], act != LIST && act != DESCRIBE, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    code = act == LIST       ? lsi_out_list(call, "alerts", HEADING, each_alert, stream)
        : act == CREATE   ? create(call, stream)
        : act == DESCRIBE ? describe(call, stream, call->arguments[2])
        : act == RUN      ? run_rules(call, stream)
                          : delete(call, stream);
    return lsi_close_stream(call, stream, store, code);
}

const lsi_command lsi_command_alert = {
    .name = "alert",
    .summary = "List, create and run alert rules",
    .arguments = "ACT STREAM [NAME [COMMAND]]",
    .help = "ACT is list, create, describe, run or delete; all but the first take a rule's\n"
            "NAME, and run that of a mapping. A rule looks at a field of the stream's\n"
            "records, or at a counter or gauge, and fires when that was so --count times\n"
            "in a window; once for a window.\n"
            "\n"
            "run evaluates all rules of the stream, until Ctrl+C (exit code 130): it works\n"
            "on the records as MAPPING says (`lstream mapping`), which has one lane, and\n"
            "looks at metrics every --interval-ms. Each alert is a line:\n"
            "{\"kind\": \"fired\" or \"cannot-fire\", \"alert\", \"stream\", \"value\", \"count\",\n"
            "\"window_start_us\", \"window_end_us\", \"at_us\", \"shard\", \"seqno\" (of the record\n"
            "that made it fire; null of a metric), \"first_shard\", \"first_seqno\",\n"
            "\"observed\", \"values\", \"least\", \"greatest\"}. With COMMAND it is run for each\n"
            "alert, with that line on its standard input; when it does not end with 0, the\n"
            "alert comes again. cannot-fire is told once: nothing that was observed passes.\n"
            "\n"
            "With --json: {\"alerts\": [{\"name\", \"state\" (quiet, fired or cannot-fire),\n"
            "\"created_us\", \"modified_us\", \"observed\", \"values\", \"passed\", \"fired\",\n"
            "\"least\", \"greatest\", \"last_fired_us\"}]}; of one rule that, and \"field\" or\n"
            "\"metric\" with \"labels\" and \"rate\", \"comparison\", \"threshold\", \"count\",\n"
            "\"window_ms\", \"cooldown_ms\", \"observed_min\"; for delete {\"deleted\": NAME}.\n",
    .arguments_min = 2,
    .arguments_max = INT_MAX,
    .needs_store = true,
    .options = options,
    .run = run,
};
