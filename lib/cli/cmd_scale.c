/* lstream scale: a stream gets a number of equal shards, or is scaled by itself from now on. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { KINESIS_LIMITS, AUTO, HOT_PERCENT, HOT_SECONDS, COLD_PERCENT, COLD_SECONDS, SHARDS_MIN, SHARDS_MAX };
static const lsi_option options[] = {
    [KINESIS_LIMITS] = {"kinesis-limits", LSI_OPTION_FLAG, NULL,
        "Refuse what Kinesis refuses: more than double or less than half of the open shards.", 0, 0, 0},
    [AUTO] = {"auto", LSI_OPTION_TEXT, "on|off",
        "Split hot shards and merge cold ones from now on, while the stream is on-demand; or no more.", 0, 0, 0},
    [HOT_PERCENT] = {"hot-percent", LSI_OPTION_NUMBER, "N",
        "Split what is above this share of the write limit that it would have (80).", 2, 10000, 0},
    [HOT_SECONDS] = {"hot-seconds", LSI_OPTION_NUMBER, "N", "... for so long (60).", 1, 604800, 0},
    [COLD_PERCENT] = {"cold-percent", LSI_OPTION_NUMBER, "N",
        "Merge two neighbours that are together below this share (25).", 1, 9999, 0},
    [COLD_SECONDS] = {"cold-seconds", LSI_OPTION_NUMBER, "N", "... for so long (900).", 1, 604800, 0},
    [SHARDS_MIN] = {"shards-min", LSI_OPTION_NUMBER, "N", "Merge no more when so few are open (1).", 1, 65536, 0},
    [SHARDS_MAX] = {"shards-max", LSI_OPTION_NUMBER, "N", "Split no more when so many are open (200).", 1, 65536, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

void lsi_auto_scaling_json(lsi_json_writer *json, const ls_stream_description *description)
{
    ls_auto_scaling found = LS_AUTO_SCALING_INIT;

    if (ls_stream_description_auto_scaling(description, &found) != LS_OK || found.enabled == 0) {
        lsi_json_null(json);
        return;
    }
    lsi_json_object_open(json);
    lsi_member_uint(json, "hot_percent", found.hot_percent);
    lsi_member_uint(json, "hot_seconds", found.hot_seconds);
    lsi_member_uint(json, "cold_percent", found.cold_percent);
    lsi_member_uint(json, "cold_seconds", found.cold_seconds);
    lsi_member_uint(json, "shards_min", found.shards_min);
    lsi_member_uint(json, "shards_max", found.shards_max);
    lsi_json_object_close(json);
}

void lsi_auto_scaling_text(const ls_stream_description *description)
{
    ls_auto_scaling found = LS_AUTO_SCALING_INIT;

    if (ls_stream_description_auto_scaling(description, &found) != LS_OK || found.enabled == 0)
        return;
    lsi_out_text("auto scaling  splits above %" PRIu32 " %% for %" PRIu32 " s, up to %" PRIu32 " shards\n",
                 found.hot_percent, found.hot_seconds, found.shards_max);
    lsi_out_text("              merges below %" PRIu32 " %% for %" PRIu32 " s, down to %" PRIu32 " shards%s\n",
                 found.cold_percent, found.cold_seconds, found.shards_min,
                 ls_stream_description_mode(description) == LS_STREAM_ON_DEMAND ? "" : "; not while provisioned");
}

static int print_auto(const lsi_call *call, ls_stream *stream)
{
    ls_stream_description *description;
    ls_auto_scaling found = LS_AUTO_SCALING_INIT;
    ls_status st = ls_stream_describe(stream, &description);
    int code = LSI_EXIT_OK;

    if (st != LS_OK)
        return lsi_failed(call, st);
    (void)ls_stream_description_auto_scaling(description, &found); /* cannot fail */
    if (call->json) {
        lsi_json_writer json;

        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        lsi_json_key(&json, "auto_scaling");
        lsi_auto_scaling_json(&json, description);
        lsi_json_object_close(&json);
        code = lsi_out_json(call, &json, code);
    } else if (found.enabled == 0) {
        lsi_out_text("auto scaling  off\n");
    } else {
        lsi_auto_scaling_text(description);
    }
    ls_stream_description_free(description);
    return code;
}

static int set_auto(lsi_call *call)
{
    ls_auto_scaling wanted = LS_AUTO_SCALING_INIT;
    const char *word = call->values[AUTO].text;
    ls_stream *stream;
    ls_store *store;
    ls_status st;
    int code;

    wanted.enabled = strcmp(word, "on") == 0;
    if (wanted.enabled == 0 && strcmp(word, "off") != 0)
        return lsi_usage(call, "--auto is '%s': it is on or off", word);
    wanted.hot_percent = (uint32_t)call->values[HOT_PERCENT].number; /* 0 where it is not given */
    wanted.hot_seconds = (uint32_t)call->values[HOT_SECONDS].number;
    wanted.cold_percent = (uint32_t)call->values[COLD_PERCENT].number;
    wanted.cold_seconds = (uint32_t)call->values[COLD_SECONDS].number;
    wanted.shards_min = (uint32_t)call->values[SHARDS_MIN].number;
    wanted.shards_max = (uint32_t)call->values[SHARDS_MAX].number;
    code = lsi_open_stream(call, call->arguments[0], true, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    st = ls_stream_set_auto_scaling(stream, &wanted);
    code = st == LS_OK ? print_auto(call, stream) : lsi_failed(call, st);
    return lsi_close_stream(call, stream, store, code);
}

static int set_count(lsi_call *call)
{
    ls_scale_options scale = LS_SCALE_OPTIONS_INIT;
    const char *text = call->arguments[1];
    unsigned long long count;
    ls_stream *stream;
    ls_store *store;
    ls_status st;
    char *end;
    int code;

    errno = 0;
    count = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || count == 0 || count > 65536)
        return lsi_usage(call, "'%s' is no number of shards: it is 1 to 65536", text);
    scale.flags = call->values[KINESIS_LIMITS].given ? LS_SCALE_KINESIS_LIMITS : 0;
    code = lsi_open_stream(call, call->arguments[0], true, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    st = ls_stream_update_shard_count(stream, (uint32_t)count, &scale);
    if (st != LS_OK)
        code = lsi_failed(call, st);
    code = lsi_close_stream(call, stream, store, code);
    if (code == LSI_EXIT_OK && call->json) {
        lsi_json_writer json;

        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        lsi_member_uint(&json, "open_shards", count);
        lsi_json_object_close(&json);
        return lsi_out_json(call, &json, code);
    }
    if (code == LSI_EXIT_OK)
        lsi_out_text("stream '%s' has %llu open shards of equal width\n", call->arguments[0], count);
    return code;
}

static int run(lsi_call *call)
{
    bool is_auto = call->values[AUTO].given;

    for (int i = HOT_PERCENT; i <= SHARDS_MAX; i++)
        if (call->values[i].given && (!is_auto || strcmp(call->values[AUTO].text, "on") != 0))
            return lsi_usage(call, "--%s belongs to --auto on", options[i].name);
    if (is_auto == (call->argument_count == 2))
        return lsi_usage(call, is_auto ? "COUNT and --auto exclude each other" : "say COUNT, or --auto on or off");
    if (is_auto && call->values[KINESIS_LIMITS].given)
        return lsi_usage(call, "--kinesis-limits belongs to COUNT");
    return is_auto ? set_auto(call) : set_count(call);
}

const lsi_command lsi_command_scale = {
    .name = "scale",
    .summary = "Split and merge to equal shards, or automatically",
    .arguments = "NAME [COUNT]",
    .help = "With COUNT a series of splits and merges; producers go on meanwhile. Ended in\n"
            "the middle, it has done some of them, and the same command goes on.\n"
            "\n"
            "With --auto, who puts and reads splits shards that are hot and merges those that\n"
            "are cold, of an on-demand stream. It is off at first.\n"
            "\n"
            "With --json one object: {\"open_shards\": COUNT}, or {\"auto_scaling\":\n"
            "{\"hot_percent\", \"hot_seconds\", \"cold_percent\", \"cold_seconds\",\n"
            "\"shards_min\", \"shards_max\"}}, null when it is off.\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .needs_store = true,
    .options = options,
    .run = run,
};
