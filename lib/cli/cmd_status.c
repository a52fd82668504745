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

static void put_number(printer *to, const char *key, uint64_t n)
{
    lsi_json_key(&to->json, key);
    lsi_json_uint(&to->json, n);
}

static void print_store(const ls_inspect_store *store, void *user)
{
    printer *to = user;
    char id[33], size[LSI_SIZE_BYTES], free_size[LSI_SIZE_BYTES];

    for (size_t i = 0; i < 16; i++)
        (void)snprintf(id + 2 * i, 3, "%02x", store->store_id[i]);
    if (to->call->json) {
        lsi_json_key(&to->json, "store_id");
        lsi_json_string(&to->json, id);
        lsi_json_key(&to->json, "durability");
        lsi_json_string(&to->json, lsi_durability_word(store->durability));
        put_number(to, "segment_bytes", store->segment_bytes);
        put_number(to, "stream_count", store->stream_count);
        put_number(to, "bytes", store->bytes);
        put_number(to, "free_bytes", store->free_bytes);
        put_number(to, "store_lock_holder", store->store_lock_holder);
        lsi_json_key(&to->json, "control_is_current");
        lsi_json_bool(&to->json, store->control_is_current != 0);
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
        lsi_json_key(&to->json, "pid");
        lsi_json_int(&to->json, process->pid);
        lsi_json_key(&to->json, "alive");
        lsi_json_bool(&to->json, process->alive != 0);
        lsi_json_key(&to->json, "read_only");
        lsi_json_bool(&to->json, process->read_only != 0);
        lsi_json_key(&to->json, "attached_us");
        lsi_json_int(&to->json, process->attached_us);
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
        lsi_json_key(&to->json, "name");
        lsi_json_string(&to->json, stream->stream);
        put_number(to, "id", stream->stream_id);
        put_number(to, "shards", stream->shards);
        put_number(to, "files", stream->files);
        put_number(to, "bytes", stream->bytes);
        put_number(to, "cuts", stream->cut_count);
        put_number(to, "cut_records", stream->cut_records);
        put_number(to, "cut_bytes", stream->cut_bytes);
        put_number(to, "cut_lag_ms", stream->cut_lag_ms);
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
        lsi_json_key(&to->json, "stream");
        lsi_json_string(&to->json, shard->stream);
        put_number(to, "stream_id", shard->stream_id);
        if (shard->shard == LS_STATE_SHARD) {
            lsi_json_key(&to->json, "shard");
            lsi_json_string(&to->json, "state");
        } else {
            put_number(to, "shard", shard->shard);
        }
        lsi_json_key(&to->json, "health");
        lsi_json_string(&to->json, lsi_health_word(shard->health));
        put_number(to, "failed_errno", (uint64_t)shard->failed_errno);
        put_number(to, "torn_count", shard->torn_count);
        put_number(to, "append_lock_holder", shard->append_lock_holder);
        put_number(to, "sync_lock_holder", shard->sync_lock_holder);
        put_number(to, "committed_end", shard->committed_end);
        put_number(to, "durable_end", shard->durable_end);
        put_number(to, "next_seqno", shard->next_seqno);
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
