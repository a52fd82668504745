/* lstream delivery: the deliveries of a stream: list, create, describe, run, delete. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS_DEFAULT 300000 /* the service's */

enum { FROM, DIRECTORY, BUCKET, ENDPOINT, REGION, PREFIX, ERROR_PREFIX, BACKUP_PREFIX, SIZE, INTERVAL_MS, COMPRESSION,
       LINES, SPLIT, KEY, TRANSFORM, RETRIES, UNTIL_CAUGHT_UP, SHARDS, TIMEOUT_MS, GIVE_UP_MS };
static const lsi_option options[] = {
    [FROM] = {"from", LSI_OPTION_TEXT, "P", "create: where to begin: trim-horizon (the oldest, and so without it), "
              "latest, or time:T with T as 2026-11-20T11:42:18Z or seconds since 1970.", 0, 0, 0},
    [DIRECTORY] = {"directory", LSI_OPTION_TEXT, "DIR", "create: objects become files there; a relative one is kept as "
                   "an absolute one.", 0, 0, 0},
    [BUCKET] = {"bucket", LSI_OPTION_TEXT, "NAME", "create: or objects of S3, in this bucket. run has credentials from "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.", 0, 0, 0},
    [ENDPOINT] = {"endpoint", LSI_OPTION_TEXT, "URL", "create: of another service than AWS's.", 0, 0, 0},
    [REGION] = {"region", LSI_OPTION_TEXT, "NAME", "create: of the bucket; AWS_REGION, else us-east-1.", 0, 0, 0},
    [PREFIX] = {"prefix", LSI_OPTION_TEXT, "TEXT", "create: what objects' names begin with, with expressions as "
                "!{timestamp:yyyy/MM/dd}.", 0, 0, 0},
    [ERROR_PREFIX] = {"error-prefix", LSI_OPTION_TEXT, "TEXT", "create: the same of the error output.", 0, 0, 0},
    [BACKUP_PREFIX] = {"backup-prefix", LSI_OPTION_TEXT, "TEXT", "create: the same of all records as they were put, "
                       "which are kept then.", 0, 0, 0},
    [SIZE] = {"size", LSI_OPTION_BYTES, "SIZE", "create: an object has so many bytes; 5M.", 1, UINT64_C(1) << 30, 0},
    [INTERVAL_MS] = {"interval-ms", LSI_OPTION_NUMBER, "MS", "create: or waits so long for more; 300000. 0: not at "
                     "all.", 0, 900000, 0},
    [COMPRESSION] = {"compression", LSI_OPTION_TEXT, "WORD", "create: none, gzip or zstd; none.", 0, 0, 0},
    [LINES] = {"lines", LSI_OPTION_FLAG, NULL, "create: a newline behind each record.", 0, 0, 0},
    [SPLIT] = {"split", LSI_OPTION_TEXT, "TEXT", "create: records hold several, with TEXT between them; '': JSON "
               "values one behind the other.", 0, 0, 0},
    [KEY] = {"key", LSI_OPTION_TEXT, "NAME=QUERY", "create: a partition key that a query of the data gives, as "
             "customer=.customer.id, for !{partitionKeyFromQuery:NAME} in the prefix.", 0, 0, 0},
    [TRANSFORM] = {"transform", LSI_OPTION_FLAG, NULL, "create: records go through the COMMAND of run.", 0, 0, 0},
    [RETRIES] = {"retries", LSI_OPTION_NUMBER, "N", "create: so often COMMAND is tried again when it fails; 3.", 0, 300,
                 0},
    [UNTIL_CAUGHT_UP] = {"until-caught-up", LSI_OPTION_FLAG, NULL, "run: end when all that is there is delivered.", 0,
                         0, 0},
    [SHARDS] = {"shards", LSI_OPTION_NUMBER, "N", "run: at most so many shards at once; without it, as many as there "
                "are for this run.", 1, UINT32_MAX, 0},
    [TIMEOUT_MS] = {"timeout-ms", LSI_OPTION_NUMBER, "MS", "run: COMMAND is killed after so long; 300000.", 1, INT_MAX,
                    0},
    [GIVE_UP_MS] = {"give-up-ms", LSI_OPTION_NUMBER, "MS", "run: end when the destination has failed for so long; "
                    "without it, it is tried again without end.", 1, UINT32_MAX, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static const char *const compressions[] = {"none", "gzip", "zstd", NULL};

static const char *start_word(ls_position_kind kind)
{
    return kind == LS_LATEST ? "latest" : kind == LS_AT_TIMESTAMP ? "time" : "trim-horizon";
}

/* ---- listing ---- */

#define HEADING "VERSION CREATED                     FROM         NAME\n"

static void print_delivery(const ls_delivery_info *info)
{
    char created[LSI_TIME_BYTES];

    lsi_format_time(info->created_us, created);
    lsi_out_text("%7" PRIu32 " %s %-12s %s\n", info->version, created, start_word(info->start), info->name);
}

static void members(lsi_json_writer *json, const ls_delivery_info *info)
{
    lsi_member_string(json, "name", info->name);
    lsi_member_uint(json, "version", info->version);
    lsi_member_int(json, "created_us", info->created_us);
    lsi_member_int(json, "modified_us", info->modified_us);
    lsi_member_string(json, "from", start_word(info->start));
    if (info->start == LS_AT_TIMESTAMP)
        lsi_member_int(json, "from_us", info->start_timestamp_us);
}

/* All pages. */
static ls_status each_delivery(void *stream, lsi_json_writer *json)
{
    ls_delivery_info info = LS_DELIVERY_INFO_INIT;
    bool more = true;
    ls_status st = LS_OK;

    while (more && st == LS_OK && !lsi_out_broken()) {
        ls_delivery_list *page;

        st = ls_stream_list_deliveries(stream, info.name, 0, &page);
        if (st != LS_OK)
            break;
        for (uint32_t i = 0; i < ls_delivery_list_count(page) && st == LS_OK; i++) {
            st = ls_delivery_list_at(page, i, &info);
            if (st == LS_OK && json == NULL)
                print_delivery(&info);
            if (st != LS_OK || json == NULL)
                continue;
            lsi_json_object_open(json);
            members(json, &info);
            lsi_json_object_close(json);
        }
        more = ls_delivery_list_has_more(page) != 0;
        ls_delivery_list_free(page);
    }
    return st;
}

/* ---- one of them ---- */

/* null when there is none. */
static void member_text(lsi_json_writer *json, const char *key, const char *text)
{
    lsi_json_key(json, key);
    if (text == NULL)
        lsi_json_null(json);
    else
        lsi_json_string(json, text);
}

static int in_ms(int32_t interval_ms)
{
    return interval_ms == LS_DELIVERY_AT_ONCE ? 0 : interval_ms;
}

static void settings_json(lsi_json_writer *json, const ls_delivery_options *is)
{
    member_text(json, "directory", is->directory);
    member_text(json, "bucket", is->s3_bucket);
    member_text(json, "endpoint", is->s3_endpoint);
    member_text(json, "region", is->s3_region);
    member_text(json, "prefix", is->prefix);
    member_text(json, "error_prefix", is->error_prefix);
    lsi_member_bool(json, "backup", (is->flags & LS_DELIVERY_BACKUP) != 0);
    member_text(json, "backup_prefix", is->backup_prefix);
    if (is->backup_buffer_bytes != 0)
        lsi_member_uint(json, "backup_size", is->backup_buffer_bytes);
    if (is->backup_interval_ms != 0)
        lsi_member_int(json, "backup_interval_ms", in_ms(is->backup_interval_ms));
    lsi_member_uint(json, "size", is->buffer_bytes);
    lsi_member_int(json, "interval_ms", in_ms(is->interval_ms));
    lsi_member_string(json, "compression", compressions[is->compression]);
    member_text(json, "extension", is->extension);
    member_text(json, "delimiter", is->delimiter);
    member_text(json, "split", is->split);
    lsi_member_bool(json, "transform", (is->flags & LS_DELIVERY_TRANSFORM) != 0);
    lsi_member_int(json, "retries",
                   is->transform_retries_max == LS_DELIVERY_NO_RETRIES ? 0 : is->transform_retries_max);
    lsi_json_key(json, "keys");
    lsi_json_object_open(json);
    for (uint32_t i = 0; i < is->partition_key_count; i++)
        lsi_member_string(json, is->partition_keys[i], is->partition_queries[i]);
    lsi_json_object_close(json);
}

static void line_text(const char *label, const char *text)
{
    if (text != NULL)
        lsi_out_text("%-10s %s\n", label, text);
}

static void settings_text(const ls_delivery_options *is)
{
    line_text("directory", is->directory);
    line_text("bucket", is->s3_bucket);
    line_text("endpoint", is->s3_endpoint);
    line_text("region", is->s3_region);
    if ((is->flags & LS_DELIVERY_TO_CALLBACK) != 0)
        lsi_out_text("to a callback of a program\n");
    line_text("prefix", is->prefix);
    line_text("errors", is->error_prefix);
    if ((is->flags & LS_DELIVERY_BACKUP) != 0)
        line_text("backup", is->backup_prefix != NULL ? is->backup_prefix : "without a prefix");
    lsi_out_text("objects    of %" PRIu64 " bytes, or %d ms; compression %s\n", is->buffer_bytes,
                 in_ms(is->interval_ms), compressions[is->compression]);
    if (is->backup_buffer_bytes != 0 || is->backup_interval_ms != 0)
        lsi_out_text("backups    of %" PRIu64 " bytes, or %d ms\n",
                     is->backup_buffer_bytes != 0 ? is->backup_buffer_bytes : is->buffer_bytes,
                     in_ms(is->backup_interval_ms != 0 ? is->backup_interval_ms : is->interval_ms));
    line_text("extension", is->extension);
    if (is->delimiter != NULL && strcmp(is->delimiter, "\n") == 0)
        lsi_out_text("a newline behind each record\n");
    else
        line_text("delimiter", is->delimiter);
    if (is->split != NULL)
        line_text("splits", is->split[0] != '\0' ? is->split : "JSON values");
    if ((is->flags & LS_DELIVERY_TRANSFORM) != 0)
        lsi_out_text("transform  with %d retries\n",
                     is->transform_retries_max == LS_DELIVERY_NO_RETRIES ? 0 : is->transform_retries_max);
    for (uint32_t i = 0; i < is->partition_key_count; i++)
        lsi_out_text("key        %s=%s\n", is->partition_keys[i], is->partition_queries[i]);
}

static int describe(lsi_call *call, ls_stream *stream, const char *name)
{
    ls_delivery_info info = LS_DELIVERY_INFO_INIT;
    ls_delivery_options is = LS_DELIVERY_OPTIONS_INIT;
    ls_delivery_description *description = NULL;
    lsi_json_writer json;
    int code = LSI_EXIT_OK;
    ls_status st = ls_delivery_describe(stream, name, &description);

    if (st == LS_OK)
        st = ls_delivery_description_info(description, &info);
    if (st == LS_OK)
        st = ls_delivery_description_options(description, &is);
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
        print_delivery(&info);
        settings_text(&is);
    }
    ls_delivery_description_free(description);
    return code;
}

/* ---- creating ---- */

static bool find_compression(const char *word, ls_delivery_compression *out)
{
    *out = LS_DELIVERY_UNCOMPRESSED;
    for (int i = 0; word != NULL && compressions[i] != NULL; i++)
        if (strcmp(compressions[i], word) == 0) {
            *out = i;
            return true;
        }
    return word == NULL;
}

/* What the options say, but for the partition key. */
static ls_delivery_options wanted(const lsi_call *call)
{
    ls_delivery_options to = LS_DELIVERY_OPTIONS_INIT;
    const lsi_value *values = call->values;

    to.directory = values[DIRECTORY].text;
    to.s3_bucket = values[BUCKET].text;
    to.s3_endpoint = values[ENDPOINT].text;
    to.s3_region = values[REGION].text;
    to.prefix = values[PREFIX].text;
    to.error_prefix = values[ERROR_PREFIX].text;
    to.backup_prefix = values[BACKUP_PREFIX].text;
    to.buffer_bytes = values[SIZE].number;
    if (values[INTERVAL_MS].given)
        to.interval_ms = values[INTERVAL_MS].number == 0 ? LS_DELIVERY_AT_ONCE : (int32_t)values[INTERVAL_MS].number;
    to.delimiter = values[LINES].given ? "\n" : NULL;
    to.split = values[SPLIT].text;
    if (values[RETRIES].given)
        to.transform_retries_max =
            values[RETRIES].number == 0 ? LS_DELIVERY_NO_RETRIES : (int32_t)values[RETRIES].number;
    to.flags = (values[TRANSFORM].given ? LS_DELIVERY_TRANSFORM : 0) |
               (values[BACKUP_PREFIX].given ? LS_DELIVERY_BACKUP : 0);
    if (to.prefix != NULL && strstr(to.prefix, "!{partitionKeyFrom") != NULL)
        to.flags |= LS_DELIVERY_PARTITION;
    return to;
}

static int create(lsi_call *call, ls_stream *stream, const char *name, const ls_position *from)
{
    ls_delivery_options to = wanted(call);
    char *key = call->values[KEY].given ? strdup(call->values[KEY].text) : NULL;
    char *query = key != NULL ? strchr(key, '=') : NULL;
    const char *const keys[] = {key}, *const queries[] = {query != NULL ? query + 1 : NULL};
    char *directory = to.directory != NULL ? lsi_path_absolute(to.directory) : NULL; /* run may be somewhere else */
    int code = LSI_EXIT_OK;
    ls_status st;

    if (to.directory != NULL && directory == NULL)
        code = lsi_usage(call, "--directory '%s' is relative to one that has no name: %s", to.directory,
                         strerror(errno));
    else if (call->values[KEY].given && query == NULL)
        code = lsi_usage(call, "--key is '%s': it is NAME=QUERY, as customer=.customer.id", call->values[KEY].text);
    else if (!find_compression(call->values[COMPRESSION].text, &to.compression))
        code = lsi_usage(call, "--compression is '%s': it is none, gzip or zstd", call->values[COMPRESSION].text);
    to.directory = directory;
    if (query != NULL) {
        *query = '\0';
        to.flags |= LS_DELIVERY_PARTITION;
        to.partition_key_count = 1;
        to.partition_keys = keys;
        to.partition_queries = queries;
    }
    if (code == LSI_EXIT_OK) {
        st = ls_delivery_create(stream, name, from, &to);
        if (st == LS_ERR_INVALID_ARGUMENT)
            code = lsi_usage(call, "%s", ls_last_error_message());
        else if (st != LS_OK)
            code = lsi_failed(call, st);
        else if (call->json)
            code = describe(call, stream, name);
    }
    free(directory);
    free(key);
    return code;
}

/* What `lstream apply` has laid beside delivered files: before the delivery, which alone says where that is. */
static int remove_schema(const lsi_call *call, ls_store *store, ls_stream *stream, const char *name)
{
    ls_delivery_options is = LS_DELIVERY_OPTIONS_INIT;
    ls_delivery_description *description = NULL;
    int code = LSI_EXIT_OK;

    /* What cannot be looked at is told by the deletion. */
    if (ls_delivery_describe(stream, name, &description) == LS_OK &&
        ls_delivery_description_options(description, &is) == LS_OK && is.directory != NULL)
        code = lsi_schema_drop(call, store, call->arguments[1], name, is.directory);
    ls_delivery_description_free(description);
    return code;
}

static int delete(const lsi_call *call, ls_store *store, ls_stream *stream, const char *name)
{
    lsi_json_writer json;
    int code = remove_schema(call, store, stream, name);
    ls_status st;

    if (code != LSI_EXIT_OK)
        return code;
    st = ls_delivery_delete(stream, name);
    if (st != LS_OK)
        return lsi_failed(call, st);
    if (!call->json)
        return LSI_EXIT_OK;
    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_member_string(&json, "deleted", name);
    lsi_json_object_close(&json);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

/* ---- the command ---- */

enum { LIST, CREATE, DESCRIBE, RUN, DELETE };
static const char *const acts[] = {"list", "create", "describe", "run", "delete", NULL};

/* Options that the act does not take. Returns an exit code. */
static int check_options(const lsi_call *call, int act)
{
    for (int i = FROM; i <= GIVE_UP_MS; i++)
        if (call->values[i].given && act != (i < UNTIL_CAUGHT_UP ? CREATE : RUN))
            return lsi_usage(call, "%s takes no --%s", acts[act], options[i].name);
    if (act != RUN && call->argument_count > 3)
        return lsi_usage(call, "'%s' is one argument too many", call->arguments[3]);
    if (act == RUN && call->json)
        return lsi_usage(call, "run takes no --json: it prints nothing");
    if (act == CREATE && call->values[DIRECTORY].given == call->values[BUCKET].given)
        return lsi_usage(call, "create needs --directory or --bucket, one of the two");
    return LSI_EXIT_OK;
}

static int run_delivery(const lsi_call *call, ls_stream *stream)
{
    const lsi_value *values = call->values;
    const lsi_delivery_wish how = {
        .name = call->arguments[2],
        .command = call->argument_count > 3 ? call->arguments + 3 : NULL,
        .timeout_ms = values[TIMEOUT_MS].given ? (int)values[TIMEOUT_MS].number : TIMEOUT_MS_DEFAULT,
        .shards_max = (uint32_t)values[SHARDS].number,
        .give_up_ms = (uint32_t)values[GIVE_UP_MS].number,
        .until_caught_up = values[UNTIL_CAUGHT_UP].given,
    };

    return lsi_delivery_run_command(call, stream, &how);
}

/* What a run gets over is told while it goes on, as that its destination fails. What the store gets over is not. */
static void tell(void *user, int32_t level, const char *line)
{
    if (level <= LS_LOG_WARNING && strncmp(line, "delivery '", 10) == 0)
        lsi_say(user, "%s", line);
}

static int run(lsi_call *call)
{
    int act = LIST, code = lsi_take_act(call, acts, "delivery", &act);
    ls_position from = {.kind = LS_TRIM_HORIZON};
    ls_stream *stream;
    ls_store *store;

    if (code == LSI_EXIT_OK)
        code = check_options(call, act);
    if (code == LSI_EXIT_OK && call->values[FROM].given &&
        (!lsi_parse_position(call->values[FROM].text, &from) || from.kind == LS_AT_SEQUENCE_NUMBER ||
         from.kind == LS_AFTER_SEQUENCE_NUMBER))
        code = lsi_usage(call, "--from is '%s': it is trim-horizon, latest or time:T", call->values[FROM].text);
    if (code != LSI_EXIT_OK)
        return code;
    if (act == RUN) {
        call->log = tell;
        lsi_signals_catch();
    }
    code = lsi_open_stream(call, call->arguments[1], act != LIST && act != DESCRIBE, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    code = act == LIST       ? lsi_out_list(call, "deliveries", HEADING, each_delivery, stream)
        : act == CREATE   ? create(call, stream, call->arguments[2], &from)
        : act == DESCRIBE ? describe(call, stream, call->arguments[2])
        : act == RUN      ? run_delivery(call, stream)
                          : delete(call, store, stream, call->arguments[2]);
    return lsi_close_stream(call, stream, store, code);
}

const lsi_command lsi_command_delivery = {
    .name = "delivery",
    .summary = "List, create and run deliveries",
    .arguments = "ACT STREAM [NAME [COMMAND]]",
    .help = "ACT is list, create, describe, run or delete; all but the first take a\n"
            "delivery's NAME. A delivery is what Amazon Data Firehose calls a delivery\n"
            "stream: the stream's records become objects, their data one behind the other,\n"
            "each record once. create needs --directory or --bucket. A name that is taken\n"
            "is exit code 6. `lstream apply` takes more settings. delete takes along what\n"
            "that has laid beside the files: DIRECTORY/_NAME.schema.\n"
            "\n"
            "run delivers until Ctrl+C (exit code 130). Any number of runs share the shards\n"
            "among them. A delivery with --transform needs COMMAND (behind --, if it has\n"
            "options): it is run for some records of a shard at a time, with the document on\n"
            "its standard input that the service hands to functions, {\"records\":\n"
            "[{\"recordId\", \"data\" (base64), ...}]}, and writes what they return: {\"records\":\n"
            "[{\"recordId\", \"result\" (Ok, Dropped or ProcessingFailed), \"data\", \"metadata\":\n"
            "{\"partitionKeys\": {...}}}]}. When it does not end with 0 it is tried again;\n"
            "then, and when what it writes is no such document, these records go to the\n"
            "error output. While the destination fails, an object waits: one line tells\n"
            "why, and another when it is over. An object whose name something stands in the\n"
            "way of, as a file where a directory is to be, goes beneath the error prefix,\n"
            "into directory-failed, with the name that it was to have; that is told, too.\n"
            "\n"
            "With --json one object: {\"deliveries\": [{\"name\", \"version\", \"created_us\",\n"
            "\"modified_us\", \"from\", \"from_us\" (of a time)}]}; of one delivery that, and\n"
            "\"directory\", \"bucket\", \"endpoint\", \"region\", \"prefix\", \"error_prefix\",\n"
            "\"backup\", \"backup_prefix\", \"size\", \"interval_ms\", \"compression\",\n"
            "\"extension\", \"delimiter\", \"transform\", \"retries\", \"keys\" (an object of\n"
            "queries); for delete {\"deleted\": NAME}.\n",
    .arguments_min = 2,
    .arguments_max = INT_MAX,
    .needs_store = true,
    .options = options,
    .run = run,
};
