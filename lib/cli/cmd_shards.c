/* lstream shards: which shards there are, by the filters of Kinesis. Looks at no shard's files. */
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>

enum { FILTER };
static const lsi_option options[] = {
    [FILTER] = {"filter", LSI_OPTION_TEXT, "F",
        "from-trim-horizon (the default: all), at-trim-horizon, at-latest (the open ones), at:T, from:T or "
        "after:SHARD, with T as 2026-11-20T11:42:18Z or seconds since 1970.", 0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static bool parse_filter(const char *text, ls_shard_list_options *out)
{
    static const struct {
        const char *word;
        ls_shard_filter filter;
    } plain[] = {{"from-trim-horizon", LS_SHARDS_FROM_TRIM_HORIZON},
                 {"at-trim-horizon", LS_SHARDS_AT_TRIM_HORIZON},
                 {"at-latest", LS_SHARDS_AT_LATEST}};

    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (strcmp(text, plain[i].word) == 0) {
            out->filter = plain[i].filter;
            return true;
        }
    if (strncmp(text, "after:", 6) == 0) {
        out->filter = LS_SHARDS_AFTER_SHARD_ID;
        return lsi_parse_shard(text + 6, &out->after_shard);
    }
    if (strncmp(text, "at:", 3) == 0) {
        out->filter = LS_SHARDS_AT_TIMESTAMP;
        return lsi_parse_time(text + 3, &out->timestamp_us);
    }
    if (strncmp(text, "from:", 5) == 0) {
        out->filter = LS_SHARDS_FROM_TIMESTAMP;
        return lsi_parse_time(text + 5, &out->timestamp_us);
    }
    return false;
}

static void print_shard(const ls_shard_info *shard)
{
    char parents[LSI_PARENTS_BYTES], closed[LSI_TIME_BYTES] = "-";

    lsi_parents_text(shard, parents);
    if (!shard->is_open)
        lsi_format_time(shard->closed_us, closed);
    lsi_out_text("%5" PRIu32 " %-6s %08" PRIx64 "..%08" PRIx64 " %-11s %s\n", shard->shard,
                 shard->is_open ? "open" : "closed", shard->first_hash_key.high >> 32, shard->last_hash_key.high >> 32,
                 parents, closed);
}

typedef struct listing {
    ls_stream *stream;
    ls_shard_list_options wanted;
} listing;

static ls_status each_shard(void *user, lsi_json_writer *json)
{
    listing *of = user;
    bool more = true;
    ls_status st = LS_OK;

    while (more && st == LS_OK && !lsi_out_broken()) {
        ls_shard_list *page;

        st = ls_stream_list_shards(of->stream, &of->wanted, &page);
        if (st != LS_OK)
            break;
        for (uint32_t i = 0; i < ls_shard_list_count(page) && st == LS_OK; i++) {
            ls_shard_info shard = LS_SHARD_INFO_INIT;

            st = ls_shard_list_shard(page, i, &shard);
            if (st == LS_OK && json != NULL)
                lsi_shard_json(json, &shard, false);
            else if (st == LS_OK)
                print_shard(&shard);
        }
        more = ls_shard_list_next_page(page, &of->wanted) != 0;
        ls_shard_list_free(page);
    }
    return st;
}

static int run(lsi_call *call)
{
    listing of = {.wanted = LS_SHARD_LIST_OPTIONS_INIT};
    ls_store *store;
    int code;

    if (call->values[FILTER].given && !parse_filter(call->values[FILTER].text, &of.wanted))
        return lsi_usage(call, "--filter is '%s': it is from-trim-horizon, at-trim-horizon, at-latest, at:T, from:T "
                         "or after:SHARD", call->values[FILTER].text);
    code = lsi_open_stream(call, call->arguments[0], false, &store, &of.stream);
    if (code != LSI_EXIT_OK)
        return code;
    code = lsi_out_list(call, "shards", "SHARD STATE  HASH KEYS          FROM        CLOSED\n", each_shard, &of);
    return lsi_close_stream(call, of.stream, store, code);
}

const lsi_command lsi_command_shards = {
    .name = "shards",
    .summary = "List a stream's shards",
    .arguments = "NAME",
    .help = "HASH KEYS are the first 8 of 32 hexadecimal digits of a shard's range; FROM the\n"
            "shards that it was split or merged from. `lstream describe` says what is in\n"
            "them.\n"
            "\n"
            "With --json one object: {\"shards\": [{\"shard\", \"id\", \"open\", \"first_hash_key\",\n"
            "\"last_hash_key\" (decimal text), \"starting_seqno\", \"ending_seqno\", \"created_us\",\n"
            "\"closed_us\", \"parent\", \"adjacent_parent\"}]}; what there is none of is null.\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .needs_store = true,
    .options = options,
    .run = run,
};
