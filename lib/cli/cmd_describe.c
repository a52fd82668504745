/* lstream describe: a stream's settings, a table of its shards, and a picture of them.
 *
 * Hash keys have 32 hexadecimal digits; the table shows the first 8 of both ends, which is enough to tell 65,536 shards
 * apart and leaves room for two sequence numbers in 80 columns. JSON has them whole. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void seqno_text(ls_seqno seqno, char text[24])
{
    if (seqno == LS_SEQNO_NONE)
        (void)strcpy(text, "-");
    else
        (void)snprintf(text, 24, "%" PRIu64, seqno);
}

static const char *status_word(ls_stream_status status)
{
    switch (status) {
    case LS_STREAM_ACTIVE:
        return "ACTIVE";
    case LS_STREAM_CREATING:
        return "CREATING";
    case LS_STREAM_UPDATING:
        return "UPDATING";
    case LS_STREAM_DELETING:
        return "DELETING";
    default:
        return "?"; /* of a later release */
    }
}

static const char *mode_word(ls_stream_mode mode)
{
    return mode == LS_STREAM_PROVISIONED ? "provisioned" : "on-demand";
}

static const char *compression_word(const ls_stream_description *description)
{
    return ls_stream_description_compression(description) == LS_COMPRESSION_ZSTD ? "zstd" : "none";
}

static ls_stream_cuts cuts_of(const ls_stream_description *description)
{
    ls_stream_cuts cuts = LS_STREAM_CUTS_INIT;

    (void)ls_stream_description_cuts(description, &cuts); /* cannot fail */
    return cuts;
}

static void cuts_json(lsi_json_writer *json, const ls_stream_description *description)
{
    ls_stream_cuts cuts = cuts_of(description);

    lsi_json_object_open(json);
    lsi_member_uint(json, "count", cuts.count);
    lsi_member_uint(json, "records", cuts.records);
    lsi_member_uint(json, "bytes", cuts.bytes);
    lsi_member_uint(json, "lag_ms", cuts.lag_ms);
    lsi_json_key(json, "last_us");
    if (cuts.count != 0)
        lsi_json_int(json, cuts.last_us);
    else
        lsi_json_null(json);
    lsi_json_object_close(json);
}

static void cuts_text(const ls_stream_description *description)
{
    ls_stream_cuts cuts = cuts_of(description);
    char size[LSI_SIZE_BYTES], when[LSI_TIME_BYTES];

    if (cuts.count == 0)
        return;
    lsi_format_size(cuts.bytes, size);
    lsi_format_time(cuts.last_us, when);
    lsi_out_text("cut           %" PRIu64 " times a reader, last %s\n"
                 "              up to %" PRIu64 " records (%s, %" PRIu64 " ms) were not read\n", cuts.count, when,
                 cuts.records, size, cuts.lag_ms);
}

static int print_json(const lsi_call *call, const ls_stream_description *description, ls_durability durability)
{
    lsi_json_writer json;

    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_member_string(&json, "name", ls_stream_description_name(description));
    lsi_member_uint(&json, "id", ls_stream_description_id(description));
    lsi_member_string(&json, "status", status_word(ls_stream_description_status(description)));
    lsi_member_string(&json, "mode", mode_word(ls_stream_description_mode(description)));
    lsi_member_string(&json, "durability", lsi_durability_word(durability));
    lsi_member_int(&json, "created_us", ls_stream_description_created_us(description));
    lsi_member_uint(&json, "retention_hours", ls_stream_description_retention_hours(description));
    lsi_json_key(&json, "retention_bytes");
    if (ls_stream_description_retention_bytes(description) != 0)
        lsi_json_uint(&json, ls_stream_description_retention_bytes(description));
    else
        lsi_json_null(&json);
    lsi_member_uint(&json, "record_bytes_max", ls_stream_description_record_bytes_max(description));
    lsi_json_key(&json, "encryption_key_id");
    if (ls_stream_description_key_id(description)[0] != '\0')
        lsi_json_string(&json, ls_stream_description_key_id(description));
    else
        lsi_json_null(&json);
    lsi_member_string(&json, "compression", compression_word(description));
    lsi_member_bool(&json, "recompression", ls_stream_description_recompression(description) != 0);
    lsi_json_key(&json, "cuts");
    cuts_json(&json, description);
    lsi_json_key(&json, "limits");
    lsi_limits_json(&json, description);
    lsi_json_key(&json, "auto_scaling");
    lsi_auto_scaling_json(&json, description);
    lsi_json_key(&json, "shards");
    lsi_json_array_open(&json);
    for (uint32_t i = 0; i < ls_stream_description_shard_count(description); i++) {
        ls_shard_info shard = LS_SHARD_INFO_INIT;

        if (ls_stream_description_shard(description, i, &shard) == LS_OK)
            lsi_shard_json(&json, &shard, true);
    }
    lsi_json_array_close(&json);
    lsi_json_object_close(&json);
    return lsi_out_json(call, &json, LSI_EXIT_OK);
}

/* The picture of all of them, below their table. */
static void draw(const ls_stream_description *description)
{
    uint32_t count = ls_stream_description_shard_count(description);
    ls_shard_info *shards = calloc(count, sizeof *shards);
    struct timespec now;

    if (shards == NULL)
        return; /* The table has been printed, and says all of it. */
    (void)clock_gettime(CLOCK_REALTIME, &now); /* there is one */
    for (uint32_t i = 0; i < count; i++) {
        shards[i].size = sizeof *shards;
        (void)ls_stream_description_shard(description, i, &shards[i]); /* cannot fail */
    }
    lsi_out_text("\n");
    lsi_shards_draw(shards, count, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    free(shards);
}

static void print_text(const ls_stream_description *description, ls_durability durability)
{
    uint32_t count = ls_stream_description_shard_count(description), open_count = 0;
    char created[LSI_TIME_BYTES], size[LSI_SIZE_BYTES], cap[LSI_SIZE_BYTES], oldest[24], latest[24];

    for (uint32_t i = 0; i < count; i++) {
        ls_shard_info shard = LS_SHARD_INFO_INIT;

        if (ls_stream_description_shard(description, i, &shard) == LS_OK && shard.is_open)
            open_count++;
    }
    lsi_format_time(ls_stream_description_created_us(description), created);
    lsi_format_size(ls_stream_description_record_bytes_max(description), size);
    lsi_out_text("stream        %s\n", ls_stream_description_name(description));
    lsi_out_text("id            %" PRIu64 "\n", ls_stream_description_id(description));
    lsi_out_text("status        %s\n", status_word(ls_stream_description_status(description)));
    lsi_out_text("mode          %s\n", mode_word(ls_stream_description_mode(description)));
    lsi_limits_text(description);
    lsi_auto_scaling_text(description);
    lsi_out_text("durability    %s\n", lsi_durability_word(durability));
    lsi_out_text("created       %s\n", created);
    lsi_format_size(ls_stream_description_retention_bytes(description), cap);
    lsi_out_text("retention     %" PRIu32 " h%s%s\n", ls_stream_description_retention_hours(description),
                 ls_stream_description_retention_bytes(description) != 0 ? ", at most " : "",
                 ls_stream_description_retention_bytes(description) != 0 ? cap : "");
    lsi_out_text("records up to %s\n", size);
    cuts_text(description);
    if (ls_stream_description_key_id(description)[0] != '\0')
        lsi_out_text("encrypted     key %s\n", ls_stream_description_key_id(description));
    if (ls_stream_description_compression(description) != LS_COMPRESSION_NONE)
        lsi_out_text("compressed    %s\n", compression_word(description));
    if (ls_stream_description_recompression(description) != 0)
        lsi_out_text("recompressed  by upkeep, once segments are full\n");
    lsi_out_text("shards        %" PRIu32 ", open: %" PRIu32 "\n\n", count, open_count);
    lsi_out_text("SHARD STATE  HASH KEYS          %19s %19s HEALTH\n", "OLDEST", "LATEST");
    for (uint32_t i = 0; i < count && !lsi_out_broken(); i++) {
        ls_shard_info shard = LS_SHARD_INFO_INIT;

        if (ls_stream_description_shard(description, i, &shard) != LS_OK)
            continue;
        seqno_text(shard.oldest_seqno, oldest);
        seqno_text(shard.latest_seqno, latest);
        lsi_out_text("%5" PRIu32 " %-6s %08" PRIx64 "..%08" PRIx64 " %19s %19s %s\n", shard.shard,
                     shard.is_open ? "open" : "closed", shard.first_hash_key.high >> 32, shard.last_hash_key.high >> 32,
                     oldest, latest, lsi_health_word(shard.health));
    }
    draw(description);
}

static int run(lsi_call *call)
{
    ls_stream_description *description;
    ls_store *store;
    ls_stream *stream;
    ls_status st;
    int code = lsi_open_stream(call, call->arguments[0], false, &store, &stream);

    if (code != LSI_EXIT_OK)
        return code;
    st = ls_stream_describe(stream, &description);
    if (st != LS_OK) {
        code = lsi_failed(call, st);
    } else {
        if (call->json)
            code = print_json(call, description, ls_store_durability(store));
        else
            print_text(description, ls_store_durability(store));
        ls_stream_description_free(description);
    }
    return lsi_close_stream(call, stream, store, code);
}

const lsi_command lsi_command_describe = {
    .name = "describe",
    .summary = "Show a stream's settings and shards",
    .arguments = "NAME",
    .help = "HASH KEYS are the first 8 of 32 hexadecimal digits of a shard's range; OLDEST\n"
            "and LATEST the sequence numbers that can be read; HEALTH is ok, failed (a sync\n"
            "failed) or damaged, and then the shard takes no records.\n"
            "\n"
            "Below, each shard is drawn over its hash keys, younger ones under those that\n"
            "they were split or merged from (FROM); open ones in brackets. The darker (. : -\n"
            "= + * # % @), the more comes in per key; DATA is what is stored, PER SECOND its\n"
            "average over the time it covers.\n"
            "\n"
            "With --json one object: {\"name\", \"id\", \"status\", \"mode\", \"durability\",\n"
            "\"created_us\", \"retention_hours\", \"retention_bytes\" (a cap), \"record_bytes_max\",\n"
            "\"encryption_key_id\", \"compression\", \"recompression\" (by upkeep), \"cuts\":\n"
            "{\"count\", \"records\", \"bytes\", \"lag_ms\", \"last_us\"} (what trimming took from\n"
            "readers since the machine was started), \"limits\" (of a provisioned stream, as\n"
            "`lstream limits` prints it), \"auto_scaling\" (as `lstream scale` does),\n"
            "\"shards\": [{\"shard\", \"id\", \"open\", \"first_hash_key\", \"last_hash_key\"\n"
            "(decimal text), \"starting_seqno\",\n"
            "\"ending_seqno\", \"created_us\", \"closed_us\", \"parent\", \"adjacent_parent\",\n"
            "\"oldest_seqno\", \"latest_seqno\", \"oldest_arrival_us\", \"latest_arrival_us\",\n"
            "\"stored_bytes\", \"health\"}]}; what there is none of is null.\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .needs_store = true,
    .run = run,
};
