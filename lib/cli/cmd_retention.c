/* lstream retention: how long, and how much, a stream keeps. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { BYTES, NO_BYTES };
static const lsi_option options[] = {
    [BYTES] = {"bytes", LSI_OPTION_BYTES, "N",
        "Keep no more than so many bytes of segments besides, and a segment for each shard. K, M and G may follow the "
        "number.", 1, UINT64_MAX, 0},
    [NO_BYTES] = {"no-bytes", LSI_OPTION_FLAG, NULL, "Keep all bytes that are young enough.", 0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static ls_status present(ls_stream *stream, uint32_t *hours, uint64_t *bytes)
{
    ls_stream_description *description;
    ls_status st = ls_stream_describe(stream, &description);

    if (st != LS_OK)
        return st;
    *hours = ls_stream_description_retention_hours(description);
    *bytes = ls_stream_description_retention_bytes(description);
    ls_stream_description_free(description);
    return LS_OK;
}

static ls_status set_hours(ls_stream *stream, uint32_t hours)
{
    uint32_t now;
    uint64_t bytes;
    ls_status st = present(stream, &now, &bytes);

    if (st != LS_OK)
        return st;
    return hours > now ? ls_stream_increase_retention(stream, hours) : ls_stream_decrease_retention(stream, hours);
}

static int print(const lsi_call *call, uint32_t hours, uint64_t bytes)
{
    lsi_json_writer json;
    char size[LSI_SIZE_BYTES];

    if (!call->json) {
        lsi_format_size(bytes, size);
        lsi_out_text("%" PRIu32 " h%s%s\n", hours, bytes != 0 ? ", at most " : "", bytes != 0 ? size : "");
        return LSI_EXIT_OK;
    }
    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_member_uint(&json, "retention_hours", hours);
    lsi_json_key(&json, "retention_bytes");
    if (bytes != 0)
        lsi_json_uint(&json, bytes);
    else
        lsi_json_null(&json);
    lsi_json_object_close(&json);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

static int run(lsi_call *call)
{
    const char *text = call->argument_count == 2 ? call->arguments[1] : NULL;
    bool capped = call->values[BYTES].given, uncapped = call->values[NO_BYTES].given;
    unsigned long long hours = 0;
    uint32_t now_hours = 0;
    uint64_t now_bytes = 0;
    ls_status st = LS_OK;
    ls_stream *stream;
    ls_store *store;
    char *end;
    int code;

    if (text != NULL) {
        errno = 0;
        hours = strtoull(text, &end, 10);
        if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || hours < 1 || hours > 8760)
            return lsi_usage(call, "'%s' is no number of hours: it is 1 to 8760", text);
    }
    if (capped && uncapped)
        return lsi_usage(call, "--bytes and --no-bytes exclude each other");
    code = lsi_open_stream(call, call->arguments[0], text != NULL || capped || uncapped, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    if (text != NULL)
        st = set_hours(stream, (uint32_t)hours);
    if (st == LS_OK && (capped || uncapped))
        st = ls_stream_set_retention_bytes(stream, call->values[BYTES].number);
    if (st == LS_OK)
        st = present(stream, &now_hours, &now_bytes);
    code = st == LS_OK ? print(call, now_hours, now_bytes) : lsi_failed(call, st);
    return lsi_close_stream(call, stream, store, code);
}

const lsi_command lsi_command_retention = {
    .name = "retention",
    .summary = "Show or set how long records are kept",
    .arguments = "NAME [HOURS]",
    .help = "With fewer hours than before, records that are older cannot be read from now\n"
            "on; with more, what was past its age does not come back. Files go when whole\n"
            "segments are that old. Prints what counts then; with --json:\n"
            "{\"retention_hours\", \"retention_bytes\"}, the latter null when there is no cap.\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .needs_store = true,
    .options = options,
    .run = run,
};
