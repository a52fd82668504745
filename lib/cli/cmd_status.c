/* lstream status: who has the store open, who holds its locks, what is wrong, how much space is used. */
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>

#include <libstream/unstable/inspect.h>

enum { ALL };
static const lsi_option options[] = {
    [ALL] = {"all", LSI_OPTION_FLAG, NULL, "Every shard, also those that are well.", 0, 0, 'a'},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

/* Each kind is a section: a table, or an array of the JSON object. They come one after another. */
enum { PROCESSES, STREAMS, SHARDS, SECTIONS, NO_SECTION = SECTIONS };
static const char *const sections[SECTIONS] = {"processes", "streams", "shards"};

typedef struct printer {
    const lsi_call *call;
    lsi_json_writer json; /* the whole object */
    int section;          /* the one that is open */
    bool seen[SECTIONS];
    uint64_t processes, shards, sick_shards;
} printer;

static void end_section(printer *to)
{
    if (to->section != NO_SECTION && to->call->json)
        lsi_json_array_close(&to->json);
    to->section = NO_SECTION;
}

/* True when the section just began: a table's head is due. */
static bool in_section(printer *to, int section)
{
    if (to->section == section)
        return false;
    end_section(to);
    to->section = section;
    to->seen[section] = true;
    if (to->call->json) {
        lsi_json_key(&to->json, sections[section]);
        lsi_json_array_open(&to->json);
    }
    return true;
}

static void print_store(const ls_inspect_store *store, void *user)
{
    printer *to = user;
    char id[33], size[LSI_SIZE_BYTES], free_size[LSI_SIZE_BYTES];

    for (size_t i = 0; i < 16; i++)
        (void)snprintf(id + 2 * i, 3, "%02x", store->store_id[i]);
    if (to->call->json) {
        lsi_member_string(&to->json, "store_id", id);
        lsi_member_string(&to->json, "durability", lsi_durability_word(store->durability));
        lsi_member_uint(&to->json, "segment_bytes", store->segment_bytes);
        lsi_member_uint(&to->json, "stream_count", store->stream_count);
        lsi_member_uint(&to->json, "bytes", store->bytes);
        lsi_member_uint(&to->json, "free_bytes", store->free_bytes);
        lsi_member_uint(&to->json, "store_lock_holder", store->store_lock_holder);
        lsi_member_bool(&to->json, "control_is_current", store->control_is_current != 0);
        return;
    }
    lsi_format_size(store->bytes, size);
    lsi_format_size(store->free_bytes, free_size);
    lsi_out_text("store       %s\ndurability  %s\nstreams     %" PRIu32 "\nspace       %s used, %s free\n", id,
                 lsi_durability_word(store->durability), store->stream_count, size, free_size);
    if (store->store_lock_holder != 0)
        lsi_out_text("store lock  held by thread %" PRIu32 "\n", store->store_lock_holder);
    if (!store->control_is_current)
        lsi_out_text("control     not of this boot: nobody opened the store since the machine started\n");
}

static void print_process(const ls_inspect_process *process, void *user)
{
    printer *to = user;
    char when[LSI_TIME_BYTES];
    bool first = in_section(to, PROCESSES);

    to->processes++;
    if (to->call->json) {
        lsi_json_object_open(&to->json);
        lsi_member_int(&to->json, "pid", process->pid);
        lsi_member_bool(&to->json, "alive", process->alive != 0);
        lsi_member_bool(&to->json, "read_only", process->read_only != 0);
        lsi_member_int(&to->json, "attached_us", process->attached_us);
        lsi_json_object_close(&to->json);
        return;
    }
    if (first)
        lsi_out_text("\n%10s STATE  ACCESS     SINCE\n", "PROCESS");
    lsi_format_time(process->attached_us, when);
    lsi_out_text("%10" PRId32 " %-6s %-10s %s\n", process->pid, process->alive ? "alive" : "dead",
                 process->read_only ? "read only" : "read-write", when);
}

static void print_stream(const ls_inspect_stream *stream, void *user)
{
    printer *to = user;
    char size[LSI_SIZE_BYTES], when[LSI_TIME_BYTES];
    bool first = in_section(to, STREAMS);

    if (to->call->json) {
        lsi_json_object_open(&to->json);
        lsi_member_string(&to->json, "name", stream->stream);
        lsi_member_uint(&to->json, "id", stream->stream_id);
        lsi_member_uint(&to->json, "shards", stream->shards);
        lsi_member_uint(&to->json, "files", stream->files);
        lsi_member_uint(&to->json, "bytes", stream->bytes);
        lsi_member_uint(&to->json, "cuts", stream->cut_count);
        lsi_member_uint(&to->json, "cut_records", stream->cut_records);
        lsi_member_uint(&to->json, "cut_bytes", stream->cut_bytes);
        lsi_member_uint(&to->json, "cut_lag_ms", stream->cut_lag_ms);
        lsi_json_object_close(&to->json);
        return;
    }
    if (first)
        lsi_out_text("\n%12s %6s %7s STREAM\n", "SPACE", "SHARDS", "FILES");
    lsi_format_size(stream->bytes, size);
    lsi_out_text("%12s %6" PRIu32 " %7" PRIu64 " %s\n", size, stream->shards, stream->files, stream->stream);
    if (stream->cut_count == 0)
        return;
    lsi_format_time(stream->cut_last_us, when);
    lsi_format_size(stream->cut_bytes, size);
    lsi_out_text("             trimming overtook readers %" PRIu64 " times, last %s:\n"
                 "             up to %" PRIu64 " records (%s, %" PRIu64 " ms) were not read\n", stream->cut_count, when,
                 stream->cut_records, size, stream->cut_lag_ms);
}

static void print_shard(const ls_inspect_shard *shard, void *user)
{
    printer *to = user;
    bool well = shard->health == LS_OK && shard->append_lock_holder == 0 && shard->sync_lock_holder == 0 &&
                shard->torn_count == 0;
    char name[16];
    bool first;

    to->shards++;
    to->sick_shards += shard->health != LS_OK;
    if (!to->call->json && well && !to->call->values[ALL].given)
        return;
    first = in_section(to, SHARDS);
    if (to->call->json) {
        lsi_json_object_open(&to->json);
        lsi_member_string(&to->json, "stream", shard->stream);
        lsi_member_uint(&to->json, "stream_id", shard->stream_id);
        if (shard->shard == LS_STATE_SHARD) {
            lsi_member_string(&to->json, "shard", "state");
        } else {
            lsi_member_uint(&to->json, "shard", shard->shard);
        }
        lsi_member_string(&to->json, "health", lsi_health_word(shard->health));
        lsi_member_uint(&to->json, "failed_errno", (uint64_t)shard->failed_errno);
        lsi_member_uint(&to->json, "torn_count", shard->torn_count);
        lsi_member_uint(&to->json, "append_lock_holder", shard->append_lock_holder);
        lsi_member_uint(&to->json, "sync_lock_holder", shard->sync_lock_holder);
        lsi_member_uint(&to->json, "committed_end", shard->committed_end);
        lsi_member_uint(&to->json, "durable_end", shard->durable_end);
        lsi_member_uint(&to->json, "next_seqno", shard->next_seqno);
        lsi_json_object_close(&to->json);
        return;
    }
    if (first)
        lsi_out_text("\nSHARD HEALTH   TORN   WRITER   SYNCER  NOT SYNCED STREAM\n");
    (void)snprintf(name, sizeof(name), "%" PRIu32, shard->shard); /* 10 digits */
    lsi_out_text("%5s %-8s %4" PRIu32 " %8" PRIu32 " %8" PRIu32 " %11" PRIu64 " %s\n",
                 shard->shard == LS_STATE_SHARD ? "state" : name, lsi_health_word(shard->health), shard->torn_count,
                 shard->append_lock_holder, shard->sync_lock_holder,
                 shard->committed_end > shard->durable_end ? shard->committed_end - shard->durable_end : 0,
                 shard->stream);
    if (shard->health == LS_ERR_IO)
        lsi_out_text("      a sync failed (%s): it refuses puts until `lstream repair`, or a program that\n"
                     "      calls ls_stream_reset_shard\n", strerror(shard->failed_errno));
    else if (shard->health == LS_ERR_CORRUPT)
        lsi_out_text("      it is damaged: see `lstream verify` and `lstream repair --dry-run`\n");
}

static int run(lsi_call *call)
{
    ls_inspect_callbacks callbacks = LS_INSPECT_CALLBACKS_INIT;
    printer to = {.call = call, .section = NO_SECTION};
    ls_status st;
    int code = LSI_EXIT_OK;

    callbacks.store = print_store;
    callbacks.process = print_process;
    callbacks.stream = print_stream;
    callbacks.shard = print_shard;
    lsi_json_begin(&to.json, &lsi_memory_libc);
    lsi_json_object_open(&to.json);
    st = ls_inspect_status(call->store, &callbacks, &to);
    end_section(&to);
    for (size_t i = 0; call->json && i < SECTIONS; i++)
        if (!to.seen[i]) {
            lsi_json_key(&to.json, sections[i]);
            lsi_json_array_open(&to.json);
            lsi_json_array_close(&to.json);
        }
    lsi_json_object_close(&to.json);
    if (st != LS_OK) {
        lsi_out_flush();
        code = lsi_failed(call, st);
    }
    if (call->json && (st == LS_OK || st == LS_ERR_CORRUPT))
        return lsi_out_json(call, &to.json, code);
    lsi_json_free(&to.json);
    if (!call->json && st == LS_OK) {
        if (to.processes == 0)
            lsi_out_text("\nnobody has the store open\n");
        if (to.sick_shards == 0)
            lsi_out_text("\nno shard refuses records (%" PRIu64 " in use)\n", to.shards);
        else
            lsi_out_text("\n%" PRIu64 " of %" PRIu64 " shards in use refuse records\n", to.sick_shards, to.shards);
    }
    return code;
}

const lsi_command lsi_command_status = {
    .name = "status",
    .summary = "Show who uses the store, locks, errors and space",
    .arguments = "",
    .help = "Looks without opening the store. Shards are shown when something is to be said:\n"
            "they refuse records, had a torn tail, or a lock of theirs is held right now\n"
            "(WRITER and SYNCER are thread ids, 0: nobody). NOT SYNCED is in bytes. What\n"
            "trimming took from readers before they had read it is counted since the machine\n"
            "was started: how often a reader was told, and how much it lost by records,\n"
            "bytes and time.\n"
            "The shard `state` is what groups and mappings remember of the stream.\n"
            "\n"
            "With --json one object: {\"store_id\", \"durability\", \"segment_bytes\",\n"
            "\"stream_count\", \"bytes\", \"free_bytes\", \"store_lock_holder\",\n"
            "\"control_is_current\", \"processes\": [{\"pid\", \"alive\", \"read_only\",\n"
            "\"attached_us\"}], \"streams\": [{\"name\", \"id\", \"shards\", \"files\", \"bytes\",\n"
            "\"cuts\", \"cut_records\", \"cut_bytes\", \"cut_lag_ms\"}],\n"
            "\"shards\": [{\"stream\", \"stream_id\", \"shard\", \"health\", \"failed_errno\",\n"
            "\"torn_count\", \"append_lock_holder\", \"sync_lock_holder\", \"committed_end\",\n"
            "\"durable_end\", \"next_seqno\"}]}.\n",
    .arguments_min = 0,
    .arguments_max = 0,
    .needs_store = true,
    .options = options,
    .run = run,
};
