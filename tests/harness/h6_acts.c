/* What the processes of a simulation do: open the store, put, read and change it through the public calls, and note
 * each question before it is asked, and its answer. A process that is killed is started again and goes on with what is
 * left to do. */
#include "harness/h6.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"

#define KEYS 5u

static const ls_hash_key end_keys[2] = {{0, 0}, {UINT64_MAX, UINT64_MAX}};

uint64_t h6_act_below(uint64_t bound)
{
    return sim_random() % bound;
}

/* ---- a process's surroundings ---- */

static int64_t clock_wall(void *user)
{
    (void)user;
    sim_point(SIM_POINT_CLOCK);
    return sim_wall_us();
}

static int64_t clock_monotonic(void *user)
{
    (void)user;
    sim_point(SIM_POINT_CLOCK);
    return sim_uptime_us();
}

static void random_bytes(void *user, void *bytes, size_t size)
{
    unsigned char *at = bytes;

    (void)user;
    for (; size > 0; size--)
        *at++ = (unsigned char)sim_random();
}

static void log_line(void *user, int32_t level, const char *line)
{
    const h6_run *run = user;

    if (run->is_loud)
        fprintf(stderr, "        process %u log %d: %s\n", sim_process_current(), level, line);
}

static lsi_env env_of(h6_run *run)
{
    lsi_env env;

    lsi_env_default(&env);
    env.memory = sim_memory_table(sim_process_memory());
    env.files = sim_files_table(run->sim);
    env.clock = (lsi_clock){.wall_us = clock_wall, .monotonic_us = clock_monotonic};
    env.random = random_bytes;
    env.log = log_line;
    env.log_user = run;
    return env;
}

/* ---- calls ---- */

h6_call h6_begins(h6_run *run, const char *what)
{
    return (h6_call){run, what, sim_now_us(), sim_stopped_us()};
}

bool h6_ends(const h6_call *of, ls_status st, int64_t allowed_us)
{
    int64_t took_us = sim_now_us() - of->from_us, excused_us = sim_stopped_us() - of->stopped_us;

    sim_machine_note((uint64_t)st);
    if (of->run->is_loud)
        fprintf(stderr, "        %8" PRId64 " process %u fiber %u: %s: %s\n", sim_now_us(), sim_process_current(),
                sim_fiber_current(), of->what, st == LS_OK ? "OK" : ls_last_error_message());
    if (took_us > H6_WAIT_US + allowed_us + excused_us)
        h6_violation(of->run, "P1: %s takes %" PRId64 " ms", of->what, took_us / 1000);
    if (st == LS_OK)
        return true;
    if (st == LS_ERR_IO && sim_machine_tally()->failed_syncs > 0)
        return false; /* E1: it may be told, to whoever comes. */
    h6_violation(of->run, "%s: %s: %s", of->what, ls_status_name(st), ls_last_error_message());
    return false;
}

bool h6_open_store(h6_process *process)
{
    h6_run *run = process->run;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    h6_call of = h6_begins(run, "opening the store");

    process->env = env_of(run);
    options.durability = run->durability;
    options.segment_bytes = H6_SEGMENT_BYTES;
    options.sync_interval_ms = run->durability == LS_DURABILITY_INTERVAL ? H6_INTERVAL_MS : 0;
    options.flags = run->maps ? 0 : LS_STORE_NO_MAPPED_WRITES;
    return h6_ends(&of, lsi_store_open_env("file:sim", &options, &process->env, &process->store), 0);
}

bool h6_open_stream(h6_process *process)
{
    h6_run *run = process->run;
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    h6_call of = h6_begins(run, "opening the stream");
    ls_status st = ls_stream_open(process->store, H6_STREAM, &process->stream);

    if (st == LS_ERR_NOT_FOUND) { /* Nobody made it yet, or all at once. */
        options.shard_count = run->shard_count;
        of = h6_begins(run, "creating the stream");
        st = ls_stream_create(process->store, H6_STREAM, &options);
        if (!h6_ends(&of, st == LS_ERR_EXISTS ? LS_OK : st, 0))
            return false;
        of = h6_begins(run, "opening the stream that was created");
        st = ls_stream_open(process->store, H6_STREAM, &process->stream);
    }
    return h6_ends(&of, st, 0);
}

/* ---- producers ---- */

/* The call that is to be made: what it puts is noted before. */
static void begin_put(h6_place *place, uint64_t kind)
{
    uint32_t count = kind < 2 ? 2 + (uint32_t)h6_act_below(H6_BATCH_MAX - 1) : 1;

    place->is_atomic = kind == 0;
    place->end = (uint32_t)h6_act_below(2);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = place->next_number + i, group = place->is_atomic ? place->next_number + 1 : 0;
        size_t note = h6_note_put(place->run, place->index, number,
                                  place->is_atomic ? KEYS + place->end : (uint32_t)(number % KEYS), group);

        place->note = i == 0 ? note : place->note;
    }
    place->next_number += count;
    place->pending = count;
}

static ls_status put(h6_place *place, ls_producer *producer)
{
    h6_run *run = place->run;
    static unsigned char data[H6_PLACES_MAX][H6_BATCH_MAX][H6_DATA_BYTES_MAX];
    char keys[H6_BATCH_MAX][16];
    ls_put_entry entries[H6_BATCH_MAX];
    ls_put_result results[H6_BATCH_MAX];
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    uint64_t kind = h6_act_below(8), first;
    bool is_again = place->pending > 0;
    size_t failed = 0;
    uint32_t count;
    ls_status st;

    if (!is_again)
        begin_put(place, kind);
    count = place->pending;
    first = run->puts[place->note].put.number;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = first + i, group = run->puts[place->note + i].put.group;

        (void)snprintf(keys[i], sizeof keys[i], "k%u-%u", place->index, (uint32_t)(number % KEYS)); /* fits */
        entries[i] = (ls_put_entry){.partition_key = {keys[i], strlen(keys[i])}};
        entries[i].data = (ls_bytes){data[place->index][i],
                                     h6_make_data(run, data[place->index][i], place->index, number, group)};
        /* One shard for an atomic batch, and one per key elsewhere. */
        entries[i].explicit_hash_key = place->is_atomic ? &end_keys[place->end] : NULL;
    }
    if (place->is_numbered) {
        options.producer = (ls_producer_id){place->index + 1, run->seed + 1};
        options.number = first + 1;
    }
    h6_call of = h6_begins(run, is_again ? "a put, again" : count == 1 ? "a put" : place->is_atomic ? "an atomic batch"
                                                                                             : "a batch");
    if (count == 1 && !place->is_atomic) {
        ls_record_id id = {0};

        options.durability = kind == 2 ? LS_DURABILITY_SYNC : LS_DURABILITY_DEFAULT;
        st = ls_producer_put(producer, entries[0].partition_key, entries[0].data, &options, &id);
        results[0] = (ls_put_result){id.seqno, id.shard, st};
    } else {
        options.flags = place->is_atomic ? LS_PUT_ATOMIC : 0;
        st = ls_producer_put_batch(producer, entries, count, &options, results, &failed);
        for (uint32_t i = 0; i < count && st == LS_OK && failed > 0; i++)
            if (results[i].status != LS_OK)
                st = results[i].status; /* As one: what part of it is there is unknown. */
    }
    if (!h6_ends(&of, st, 0))
        return st;
    h6_note_answer(run, place->note, count, results);
    if (options.durability == LS_DURABILITY_SYNC)
        run->puts[place->note].is_synced = true;
    place->pending = 0;
    return LS_OK;
}

/* Lets shards whose sync failed take puts again. */
static void reset_all(h6_process *process)
{
    for (uint32_t shard = 0; shard < process->run->shard_count + H6_RESHARDS_MAX; shard++) {
        h6_call of = h6_begins(process->run, "resetting a shard");
        ls_status st = ls_stream_reset_shard(process->stream, shard);

        (void)h6_ends(&of, st == LS_ERR_STATE || st == LS_ERR_NOT_FOUND ? LS_OK : st, 0);
    }
}

static void produce(h6_place *place, h6_process *process)
{
    ls_producer *producer = NULL;
    h6_call of = h6_begins(place->run, "opening a producer");

    if (!h6_ends(&of, ls_producer_open(process->stream, NULL, &producer), 0))
        return;
    if (!place->is_numbered)
        place->pending = 0;
    while (place->calls_left > 0 || place->pending > 0) {
        ls_status st;

        place->calls_left -= place->calls_left > 0;
        st = put(place, producer);
        if (st == LS_ERR_IO && place->resets++ < H6_RESETS_MAX)
            reset_all(process);
        else if (st != LS_OK)
            break;
        if (!place->is_numbered)
            place->pending = 0;
        if (h6_act_below(4) == 0)
            sim_fiber_sleep((int64_t)h6_act_below(3000));
    }
    of = h6_begins(place->run, "closing a producer");
    (void)h6_ends(&of, ls_producer_close(producer), 0);
    place->run->writers_left -= !place->is_done;
    place->is_done = true;
}

/* ---- consumers ---- */

static void read_on(h6_place *place, ls_iterator *iterator, uint32_t shard)
{
    h6_run *run = place->run;
    uint32_t number = h6_note_run(run, shard == LS_NO_SHARD, 0);
    uint64_t last[H6_SHARDS_MAX] = {0};
    uint32_t runs = 2 + (uint32_t)h6_act_below(20);
    bool is_end = false, was_over = false;

    while (!is_end && !was_over && runs-- > 0) {
        ls_next_options limits = LS_NEXT_OPTIONS_INIT;
        const ls_batch *batch = NULL;
        h6_call of;

        was_over = run->writers_left == 0;
        limits.timeout_ms = was_over ? 0 : (int64_t)h6_act_below(2) * (int64_t)h6_act_below(3000);
        limits.records_max = 1 + (uint32_t)h6_act_below(20);
        of = h6_begins(run, "a read");
        if (!h6_ends(&of, ls_iterator_next(iterator, &limits, &batch), limits.timeout_ms * 1000))
            return;
        if (!run->reshards)
            h6_check_notice(run, shard, last, of.from_us, of.stopped_us);
        h6_note_batch(run, number, batch);
        if (ls_batch_count(batch) > 0 && ls_batch_shard(batch) < H6_SHARDS_MAX)
            last[ls_batch_shard(batch)] = ls_batch_at(batch, ls_batch_count(batch) - 1)->seqno;
        is_end = shard != LS_NO_SHARD && ls_batch_is_shard_end(batch) != 0;
    }
}

static void consume(h6_place *place, h6_process *process)
{
    h6_run *run = place->run;

    while (place->calls_left > 0 && run->writers_left > 0) {
        uint32_t shard = h6_act_below(2) == 0 ? LS_NO_SHARD : (uint32_t)h6_act_below(run->shard_count);
        ls_iterator *iterator = NULL;
        h6_call of = h6_begins(run, "opening an iterator");

        place->calls_left--;
        if (!h6_ends(&of, shard == LS_NO_SHARD ? ls_iterator_open_all(process->stream, NULL, NULL, &iterator)
                                            : ls_iterator_open(process->stream, shard, NULL, NULL, &iterator), 0))
            break;
        read_on(place, iterator, shard);
        ls_iterator_close(iterator);
    }
    place->is_done = true;
}

/* ---- lives ---- */

static void act(h6_place *place, h6_process *process)
{
    if (place->is_done)
        return;
    if (place->kind == H6_PRODUCER)
        produce(place, process);
    else if (place->kind == H6_CONSUMER)
        consume(place, process);
    else
        h6_keep(place, process);
}

static void act_second(void *user)
{
    h6_process *process = user;

    act(&process->run->places[process->places[1]], process);
}

void h6_live(void *user)
{
    h6_process *process = user;
    h6_run *run = process->run;
    uint32_t second = 0;
    h6_call of;

    if (!h6_open_store(process))
        return;
    if (h6_open_stream(process)) {
        if (process->place_count > 1)
            second = sim_fiber_start(act_second, process);
        act(&run->places[process->places[0]], process);
        if (second != 0)
            sim_fiber_join(second);
        of = h6_begins(run, "closing the stream");
        (void)h6_ends(&of, ls_stream_close(process->stream), 0);
    }
    of = h6_begins(run, "closing the store");
    if (h6_ends(&of, ls_store_close(process->store), 0))
        h6_note_synced(run, 0, sim_process_current());
}
