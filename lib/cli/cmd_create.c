/* lstream create: a stream, and the store with it when there is none. */
#include "cli/cli.h"

#include <string.h>

enum { SHARDS, RETENTION_HOURS, MODE, RECORD_BYTES_MAX, DURABILITY, SEGMENT_BYTES, WRITE_BYTES, WRITE_RECORDS,
       READ_BYTES, READ_CALLS, RETENTION_BYTES };
static const lsi_option options[] = {
    [SHARDS] = {"shards", LSI_OPTION_NUMBER, "N", "How many shards; 1 unless told otherwise.", 1, 65536, 0},
    [RETENTION_HOURS] = {"retention-hours", LSI_OPTION_NUMBER, "H",
                         "How long records are kept; 24 unless told otherwise.",
        1, 8760, 0},
    [MODE] = {"mode", LSI_OPTION_TEXT, "MODE", "on-demand (the default) or provisioned.", 0, 0, 0},
    [RECORD_BYTES_MAX] = {"record-bytes-max", LSI_OPTION_BYTES, "N",
        "Largest record, key and data; 1M unless told otherwise. K and M may follow the number.", 1024, 10u << 20, 0},
    [DURABILITY] = {"durability", LSI_OPTION_TEXT, "D",
        "sync (the default), interval or kernel. Of the store: an existing one changes to it when nobody else has it "
        "open.", 0, 0, 0},
    [SEGMENT_BYTES] = {"segment-bytes", LSI_OPTION_BYTES, "N",
        "Size of the store's segment files, for a new store; 64M unless told otherwise.", 64u << 10, 1u << 30, 0},
    [WRITE_BYTES] = {"write-bytes-per-second", LSI_OPTION_BYTES, "N",
        "Provisioned: bytes each shard takes in a second; 1M unless told otherwise.", 1024, UINT32_MAX, 0},
    [WRITE_RECORDS] = {"write-records-per-second", LSI_OPTION_NUMBER, "N",
        "Provisioned: records each shard takes in a second; 1000 unless told otherwise.", 1, UINT32_MAX, 0},
    [READ_BYTES] = {"read-bytes-per-second", LSI_OPTION_BYTES, "N",
        "Provisioned: bytes each shard gives to all its readers in a second; 2M unless told otherwise.", 1024,
        UINT32_MAX, 0},
    [READ_CALLS] = {"reads-per-second", LSI_OPTION_NUMBER, "N",
        "Provisioned: reads of each shard in a second; 5 unless told otherwise.", 1, UINT32_MAX, 0},
    [RETENTION_BYTES] = {"retention-bytes", LSI_OPTION_BYTES, "N",
        "Keep no more than so many bytes of segments, and a segment for each shard; no such cap unless told otherwise.",
        1, UINT64_MAX, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static int run(lsi_call *call)
{
    ls_store_options store_options = LS_STORE_OPTIONS_INIT;
    ls_stream_options stream_options = LS_STREAM_OPTIONS_INIT;
    const lsi_value *values = call->values;
    ls_store *store;
    ls_status st;
    int code = LSI_EXIT_OK;

    if (values[DURABILITY].given && !lsi_parse_durability(values[DURABILITY].text, &store_options.durability))
        return lsi_usage(call, "--durability is '%s': it is sync, interval or kernel", values[DURABILITY].text);
    if (values[MODE].given && strcmp(values[MODE].text, "provisioned") == 0)
        stream_options.mode = LS_STREAM_PROVISIONED;
    else if (values[MODE].given && strcmp(values[MODE].text, "on-demand") != 0)
        return lsi_usage(call, "--mode is '%s': it is on-demand or provisioned", values[MODE].text);
    store_options.segment_bytes = values[SEGMENT_BYTES].number;
    stream_options.shard_count = (uint32_t)values[SHARDS].number;
    stream_options.retention_hours = (uint32_t)values[RETENTION_HOURS].number;
    stream_options.retention_bytes = values[RETENTION_BYTES].number;
    stream_options.record_bytes_max = (uint32_t)values[RECORD_BYTES_MAX].number;
    stream_options.write_bytes_per_second = (uint32_t)values[WRITE_BYTES].number;
    stream_options.write_records_per_second = (uint32_t)values[WRITE_RECORDS].number;
    stream_options.read_bytes_per_second = (uint32_t)values[READ_BYTES].number;
    stream_options.read_calls_per_second = (uint32_t)values[READ_CALLS].number;

    store_options.flags = call->network_fs ? LS_STORE_NETWORK_FS_ALLOWED : 0;
    st = ls_store_open(call->store, &store_options, &store);
    if (st != LS_OK)
        return lsi_failed(call, st);
    st = ls_stream_create(store, call->arguments[0], &stream_options);
    if (st != LS_OK)
        code = lsi_failed(call, st);
    code = lsi_close_stream(call, NULL, store, code);
    if (code == LSI_EXIT_OK && call->json) {
        lsi_json_writer json;

        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        lsi_member_string(&json, "created", call->arguments[0]);
        lsi_json_object_close(&json);
        code = lsi_out_json(call, &json, code);
    }
    return code;
}

const lsi_command lsi_command_create = {
    .name = "create",
    .summary = "Create a stream",
    .arguments = "NAME",
    .help = "The store's directory is made when it is not there. Says nothing when all is\n"
            "well; with --json: {\"created\": NAME}. A name that is taken is exit code 6.\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .needs_store = true,
    .options = options,
    .run = run,
};
