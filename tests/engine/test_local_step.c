/* Steps in a store on disk: puts to several shards and streams and changes of a state, all or none of them; the same
 * under failures, deaths and losses of power, with and without others who have the store open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/status.h"
#include "engine/engine.h"
#include "engine/local/local.h"
#include "engine/local/step.h"
#include "support/image.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define STEPS 4u       /* of changes() */
#define LARGE_STEP 2u  /* this one's records do not fit into the segments that there are */
#define PLAIN_BEFORE 1u /* before this one a record is put by itself, behind the step before */
#define SEGMENT_BYTES (64u << 10)
#define LARGE_BYTES (40u << 10)

/* A process of the simulated machine: its store, and what became of its calls. */
typedef struct process {
    sim_files *sim;
    sim_memory memory;
    lsi_env env;
    lsi_engine *engine;
    const lsi_engine_ops *ops;
    lsi_engine_stream *decider, *other; /* "s" of two shards, "t" of one */
    ls_status answers[STEPS];           /* of changes(); -1: not returned */
    size_t returned_at[STEPS];          /* places in the log when they had */
    uint32_t asked;                     /* for keys */
    size_t plain_at;                    /* the same of the record that is put by itself; 0: not acknowledged */
} process;

static void process_begin(process *who, sim_files *sim)
{
    memset(who, 0, sizeof *who);
    who->sim = sim;
    who->memory = (sim_memory)SIM_MEMORY_INIT;
    lsi_env_default(&who->env);
    if (sim != NULL)
        who->env.files = sim_files_table(sim);
    who->env.memory = sim_memory_table(&who->memory);
    who->env.busy_timeout_ms = 3000;
    for (uint32_t i = 0; i < STEPS; i++)
        who->answers[i] = -1;
}

static ls_status process_open_as(process *who, const char *name, ls_store_options *options)
{
    ls_status st = lsi_local_open(name, options, &who->env, &who->engine);

    if (st != LS_OK)
        return st;
    who->ops = who->engine->ops;
    st = who->ops->stream_open(who->engine, "s", &who->decider);
    if (st == LS_OK) {
        st = who->ops->stream_open(who->engine, "t", &who->other);
        if (st != LS_OK)
            who->ops->stream_close(who->decider);
    }
    if (st != LS_OK) {
        (void)who->ops->close(who->engine);
        who->engine = NULL;
    }
    return st;
}

static ls_status process_open(process *who)
{
    return process_open_as(who, "store", NULL);
}

static ls_status process_end(process *who)
{
    ls_status st;

    who->ops->stream_close(who->decider);
    who->ops->stream_close(who->other);
    st = who->ops->close(who->engine);
    return st;
}

static void process_close(process *who)
{
    assert_int_equal(process_end(who), LS_OK);
    assert_int_equal(who->memory.live, 0);
}

static void create(lsi_engine *engine, const char *name, uint32_t shard_count)
{
    lsi_stream_spec spec = {.name = name, .shard_count = shard_count, .retention_hours = 24,
                            .record_bytes_max = 1 << 20};

    assert_int_equal(engine->ops->create(engine, &spec), LS_OK);
}

static sim_files *make_disk(ls_durability durability)
{
    sim_files *sim = sim_files_new();
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    process who;

    process_begin(&who, sim);
    options.durability = durability;
    options.segment_bytes = SEGMENT_BYTES;
    assert_int_equal(lsi_local_open("store", &options, &who.env, &who.engine), LS_OK);
    create(who.engine, "s", 2);
    create(who.engine, "t", 1);
    assert_int_equal(who.engine->ops->close(who.engine), LS_OK);
    assert_int_equal(who.memory.live, 0);
    return sim;
}

/* ---- saying it short ---- */

static ls_bytes text(const char *of)
{
    return (ls_bytes){of, strlen(of)};
}

static ls_status put_plain(process *who, lsi_engine_stream *stream, uint32_t shard, const char *data)
{
    ls_put_entry entry = {.partition_key = text("k"), .data = text(data)};
    lsi_append batch = {.entries = &entry, .count = 1};
    lsi_append_result result;
    lsi_appender *appender;
    ls_status st = who->ops->appender_open(stream, &appender);

    if (st != LS_OK)
        return st;
    st = who->ops->append(appender, shard, &batch, &result);
    if (st == LS_OK)
        st = who->ops->commit(appender, shard, result.end, LS_DURABILITY_DEFAULT);
    who->ops->appender_close(appender);
    return st;
}

/* What can be read of a shard now, a letter for each record: the first of its data. */
typedef struct shown {
    char letters[64];
    ls_seqno seqnos[64];
    uint32_t count;
    bool shard_end;
} shown;

static ls_status read_shard(process *who, lsi_engine_stream *stream, uint32_t shard, shown *out)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    lsi_reader *reader;
    lsi_read batch = {0};
    ls_status st = who->ops->reader_open(stream, shard, 0, &reader);

    memset(out, 0, sizeof *out);
    if (st != LS_OK)
        return st;
    st = who->ops->seek(reader, &horizon);
    do {
        if (st == LS_OK)
            st = who->ops->read(reader, 10, 1 << 20, &batch);
        for (uint32_t i = 0; st == LS_OK && i < batch.count; i++) {
            assert_true(out->count < sizeof(out->letters) - 1);
            out->seqnos[out->count] = batch.records[i].seqno;
            out->letters[out->count++] = *(const char *)batch.records[i].data.data;
        }
        out->shard_end = batch.shard_end;
    } while (st == LS_OK && !batch.at_tip);
    who->ops->reader_close(reader);
    return st;
}

static const char *letters_of(process *who, lsi_engine_stream *stream, uint32_t shard)
{
    static shown now;

    assert_int_equal(read_shard(who, stream, shard, &now), LS_OK);
    return now.letters;
}

static bool note_position(void *user, const lsi_state_entry *entry)
{
    assert_int_equal(entry->value.size, 1);
    *(char *)user = *(const char *)entry->value.data;
    return true;
}

static char position_of(process *who)
{
    char position = '0';

    assert_int_equal(who->ops->state_read(who->decider, text("position"), note_position, &position), LS_OK);
    return position;
}

/* Two records go to "s", shard 1, one to "t". */
static ls_status step_to(process *who, char position, uint64_t expected, uint32_t bytes, uint32_t *conflict)
{
    /* A process that is killed in here frees nothing. */
    static char data[LARGE_BYTES];
    ls_put_entry entries[3];
    const uint32_t picks[2] = {0, 2};
    lsi_state_change change = {.key = text("position"), .expected = expected, .value = {&position, 1}};
    lsi_step_put puts[2] = {{.stream = who->decider, .shard = 1, .entries = entries, .picks = picks, .count = 2},
                            {.stream = who->other, .shard = 0, .entries = entries + 1, .count = 1}};
    ls_status st;

    memset(data, position, sizeof data);
    for (int i = 0; i < 3; i++)
        entries[i] = (ls_put_entry){.partition_key = text("k"), .data = {data, bytes}};
    entries[2].data.size = 1;
    st = who->ops->step(who->decider, &change, 1, puts, 2, conflict);
    if (st == LS_OK && *conflict == 1)
        assert_true(puts[0].first_seqno > 0 && puts[1].first_seqno > 0 && change.version > 0 && !puts[0].moved);
    return st;
}

/* Step `index`, from 0. */
static ls_status step(process *who, uint32_t index)
{
    uint32_t conflict;
    ls_status st = LS_OK;

    st = step_to(who, (char)('1' + index), LSI_STATE_ANY, index == LARGE_STEP ? LARGE_BYTES : 1, &conflict);
    if (st == LS_OK)
        assert_int_equal(conflict, 1);
    return st;
}

/* How many steps show; all of each of them, once, and nothing of others. `plain`: the record by itself shows too. */
static uint32_t stage_of(process *who, bool *plain)
{
    char here[2 * STEPS + 1] = "", there[STEPS + 2] = "";
    uint32_t stage;
    const char *now;

    /* What a dead one had written of the state, and nobody synced, shows when somebody asks. */
    (void)letters_of(who, who->decider, 1);
    (void)letters_of(who, who->other, 0);
    stage = (uint32_t)(position_of(who) - '0');
    assert_in_range(stage, 0, STEPS);
    for (uint32_t i = 0; i < stage; i++) {
        here[2 * i] = here[2 * i + 1] = (char)('1' + i);
        there[i] = (char)('1' + i);
    }
    assert_string_equal(letters_of(who, who->decider, 1), here);
    assert_string_equal(letters_of(who, who->decider, 0), "");
    now = letters_of(who, who->other, 0);
    *plain = stage >= PLAIN_BEFORE && now[PLAIN_BEFORE] == 'p';
    if (*plain) {
        memmove(there + PLAIN_BEFORE + 1, there + PLAIN_BEFORE, STEPS - PLAIN_BEFORE);
        there[PLAIN_BEFORE] = 'p';
    }
    assert_string_equal(now, there);
    return stage;
}

static void changes(void *user)
{
    process *who = user;

    if (process_open(who) != LS_OK)
        return;
    for (uint32_t i = 0; i < STEPS && (i == 0 || who->answers[i - 1] == LS_OK); i++) {
        if (i == PLAIN_BEFORE && put_plain(who, who->other, 0, "p") == LS_OK)
            who->plain_at = sim_log_count(who->sim);
        who->answers[i] = step(who, i);
        who->returned_at[i] = sim_log_count(who->sim);
    }
    (void)process_end(who);
}

static void reset_if_failed(process *who, lsi_engine_stream *stream, uint32_t shard)
{
    lsi_shard_state now;

    assert_int_equal(who->ops->shard_state(stream, shard, &now), LS_OK);
    if (now.health == LS_ERR_IO)
        assert_int_equal(who->ops->reset_shard(stream, shard), LS_OK);
}

/* What a dead one wrote and nobody synced may show with the next change; what could not be synced takes a reset. */
static void settle(process *who)
{
    lsi_state_change nothing = {.key = text("none"), .expected = LSI_STATE_ANY};
    uint32_t conflict;

    if (who->ops->state_write(who->decider, &nothing, 1, &conflict) == LS_ERR_IO) {
        assert_int_equal(who->ops->reset_shard(who->decider, LSI_STATE_SHARD), LS_OK);
        assert_int_equal(who->ops->state_write(who->decider, &nothing, 1, &conflict), LS_OK);
    }
    reset_if_failed(who, who->decider, 1);
    reset_if_failed(who, who->other, 0);
}

static uint32_t stage_at_least(const process *who)
{
    uint32_t stage = 0;

    while (stage < STEPS && who->answers[stage] == LS_OK)
        stage++;
    return stage;
}

static void go_on(process *who, uint32_t stage)
{
    bool plain;

    for (uint32_t i = stage; i < STEPS; i++) {
        assert_int_equal(step(who, i), LS_OK);
        assert_int_equal(stage_of(who, &plain), i + 1);
    }
}

/* What is on the disk, looked at by one who comes later and is alone; and that all can still be done. */
static uint32_t check_disk(sim_files *sim, bool *plain)
{
    uint32_t stage;
    process who;

    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    settle(&who);
    stage = stage_of(&who, plain);
    go_on(&who, stage);
    process_close(&who);
    return stage;
}

/* ---- what a step does ---- */

static void a_step_shows_all_that_it_did(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    process who;
    bool plain;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    assert_int_equal(stage_of(&who, &plain), 0);
    go_on(&who, 0);
    process_close(&who);
    assert_int_equal(check_disk(sim, &plain), STEPS);
    sim_files_free(sim);
}

/* Goal: the comparison comes before anything is written. Method: a step with another version than the one that is
 * there, between two that are taken. */
static void a_step_whose_state_is_another_one_does_nothing(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    uint32_t conflict;
    process who;
    shown now;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    assert_int_equal(step_to(&who, '1', LSI_STATE_NONE, 1, &conflict), LS_OK);
    assert_int_equal(conflict, 1);
    assert_int_equal(step_to(&who, '2', LSI_STATE_NONE, 1, &conflict), LS_OK);
    assert_int_equal(conflict, 0);
    assert_int_equal(position_of(&who), '1');
    assert_int_equal(step_to(&who, '3', LSI_STATE_ANY, 1, &conflict), LS_OK);
    assert_int_equal(read_shard(&who, who.decider, 1, &now), LS_OK);
    assert_string_equal(now.letters, "1133");
    assert_int_equal(now.seqnos[3], now.seqnos[2] + 1);
    assert_string_equal(letters_of(&who, who.other, 0), "13");
    process_close(&who);
    sim_files_free(sim);
}

static void a_step_of_puts_or_of_changes_alone_is_one_too(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_KERNEL);
    ls_put_entry entry = {.partition_key = text("k"), .data = text("x")};
    lsi_state_change change = {.key = text("position"), .expected = LSI_STATE_NONE, .value = text("1")};
    uint32_t conflict;
    process who;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    lsi_step_put put = {.stream = who.other, .entries = &entry, .count = 1};
    assert_int_equal(who.ops->step(who.decider, NULL, 0, &put, 1, &conflict), LS_OK);
    assert_int_equal(conflict, 0);
    assert_string_equal(letters_of(&who, who.other, 0), "x");
    assert_int_equal(who.ops->step(who.decider, &change, 1, NULL, 0, &conflict), LS_OK);
    assert_int_equal(conflict, 1);
    assert_int_equal(position_of(&who), '1');
    assert_int_equal(who.ops->step(who.decider, NULL, 0, NULL, 0, &conflict), LS_OK);
    process_close(&who);
    sim_files_free(sim);
}

static void puts_that_are_out_of_order_are_refused(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    ls_put_entry entry = {.partition_key = text("k"), .data = text("x")};
    uint32_t conflict;
    process who;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    lsi_step_put puts[2] = {{.stream = who.other, .entries = &entry, .count = 1},
                            {.stream = who.decider, .entries = &entry, .count = 1}};
    assert_int_equal(who.ops->step(who.decider, NULL, 0, puts, 2, &conflict), LS_ERR_INVALID_ARGUMENT);
    puts[0] = puts[1];
    assert_int_equal(who.ops->step(who.decider, NULL, 0, puts, 2, &conflict), LS_ERR_INVALID_ARGUMENT);
    assert_string_equal(letters_of(&who, who.decider, 0), "");
    process_close(&who);
    sim_files_free(sim);
}

static void a_step_that_is_too_large_does_nothing(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    char *data = calloc(1, 1 << 20);
    ls_put_entry entries[17], small = {.partition_key = text("k"), .data = text("x")};
    uint32_t conflict;
    process who;

    (void)state;
    assert_non_null(data);
    for (int i = 0; i < 17; i++)
        entries[i] = (ls_put_entry){.partition_key = text("k"), .data = {data, 1 << 20}};
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    lsi_step_put puts[2] = {{.stream = who.decider, .entries = &small, .count = 1},
                            {.stream = who.other, .entries = entries, .count = 17}};
    assert_int_equal(who.ops->step(who.decider, NULL, 0, puts, 2, &conflict), LS_ERR_TOO_LARGE);
    assert_string_equal(letters_of(&who, who.decider, 0), "");
    assert_int_equal(put_plain(&who, who.decider, 0, "y"), LS_OK);
    assert_string_equal(letters_of(&who, who.decider, 0), "y");
    process_close(&who);
    free(data);
    sim_files_free(sim);
}

/* Goal: a closed shard is said to be so, and the other ones of the step are as they were. */
static void a_step_into_a_closed_shard_moves_on(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    ls_put_entry entry = {.partition_key = text("k"), .data = text("x")};
    lsi_reshard_step split = {.shard = 0, .adjacent = LSI_NO_SHARD, .at = {1, 0}};
    uint32_t conflict, child;
    process who;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    lsi_step_put puts[2] = {{.stream = who.decider, .entries = &entry, .count = 1},
                            {.stream = who.other, .entries = &entry, .count = 1}};
    assert_int_equal(who.ops->step(who.decider, NULL, 0, puts, 2, &conflict), LS_OK);
    assert_int_equal(who.ops->reshard(who.other, &split, 1, false, &child), LS_OK);
    assert_int_equal(who.ops->step(who.decider, NULL, 0, puts, 2, &conflict), LS_OK);
    assert_true(puts[1].moved && !puts[0].moved);
    assert_string_equal(letters_of(&who, who.decider, 0), "x");
    assert_string_equal(letters_of(&who, who.other, 0), "x");
    puts[1].shard = child;
    assert_int_equal(who.ops->step(who.decider, NULL, 0, puts, 2, &conflict), LS_OK);
    assert_true(!puts[1].moved);
    assert_string_equal(letters_of(&who, who.decider, 0), "xx");
    assert_string_equal(letters_of(&who, who.other, child), "x");
    process_close(&who);
    sim_files_free(sim);
}

static bool count_value(void *user, const lsi_state_entry *entry)
{
    (void)entry;
    ++*(uint32_t *)user;
    return true;
}

/* Goal: U3, what is remembered of steps is bounded by the shards that there are. Method: steps into shards that are
 * split, many of them. */
static void what_no_shard_needs_is_forgotten(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_KERNEL);
    ls_put_entry entry = {.partition_key = text("k"), .data = text("x")};
    uint32_t conflict, shard = 0, values = 0;
    process who;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    for (uint32_t i = 0; i < 8; i++) {
        lsi_step_put put = {.stream = who.other, .shard = shard, .entries = &entry, .count = 1};
        lsi_reshard_step split = {.shard = shard, .adjacent = LSI_NO_SHARD, .at = {UINT64_C(1) << (62 - i), 0}};

        assert_int_equal(who.ops->step(who.decider, NULL, 0, &put, 1, &conflict), LS_OK);
        assert_int_equal(who.ops->reshard(who.other, &split, 1, false, &shard), LS_OK);
    }
    assert_int_equal(who.ops->state_read(who.decider, text("step/"), count_value, &values), LS_OK);
    assert_int_equal(values, 8);
    for (uint32_t i = 0; i < 60; i++) {
        lsi_step_put put = {.stream = who.other, .shard = shard, .entries = &entry, .count = 1};

        assert_int_equal(who.ops->step(who.decider, NULL, 0, &put, 1, &conflict), LS_OK);
    }
    values = 0;
    assert_int_equal(who.ops->state_read(who.decider, text("step/"), count_value, &values), LS_OK);
    assert_int_equal(values, 1);
    process_close(&who);
    sim_files_free(sim);
}

static void a_store_opened_for_reading_takes_no_step(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    uint32_t conflict;
    process who;

    (void)state;
    options.flags = LS_STORE_READ_ONLY;
    process_begin(&who, sim);
    assert_int_equal(process_open_as(&who, "store", &options), LS_OK);
    assert_int_equal(step_to(&who, '1', LSI_STATE_ANY, 1, &conflict), LS_ERR_READ_ONLY);
    process_close(&who);
    sim_files_free(sim);
}

/* ---- the decider's end ---- */

static uint32_t segments_of(process *who, lsi_engine_stream *stream, uint32_t shard)
{
    (void)who;
    lsi_log *log;
    lsi_slot *slot;

    assert_int_equal(lsi_local_stream_log(lsi_local_stream_of(stream), shard, &log), LS_OK);
    assert_int_equal(lsi_log_find_slot(log, &slot), LS_OK);
    return atomic_load_explicit(&slot->segment, memory_order_relaxed);
}

/* Goal: U3. Method: a step is the last thing in a shard, its decider is deleted, and power fails. What was acknowledged
 * stays; and a shard that is past its step is left alone. */
static void what_was_taken_outlives_its_decider(void **state)
{
    (void)state;
    for (int is_last = 0; is_last < 2; is_last++) {
        sim_files *sim = make_disk(LS_DURABILITY_KERNEL), *crashed;
        lsi_engine_stream *other;
        uint32_t segment;
        process who;

        process_begin(&who, sim);
        assert_int_equal(process_open(&who), LS_OK);
        assert_int_equal(step(&who, 0), LS_OK);
        if (!is_last)
            assert_int_equal(put_plain(&who, who.other, 0, "p"), LS_OK);
        segment = segments_of(&who, who.other, 0);
        assert_int_equal(who.ops->remove(who.engine, "s"), LS_OK);
        assert_int_equal(segments_of(&who, who.other, 0), segment + 1);
        crashed = sim_crash_state(sim, sim_log_count(sim), SIM_SEED_NOTHING);
        process_close(&who);

        process_begin(&who, crashed);
        assert_int_equal(lsi_local_open("store", NULL, &who.env, &who.engine), LS_OK);
        who.ops = who.engine->ops;
        assert_int_equal(who.ops->stream_open(who.engine, "t", &other), LS_OK);
        assert_string_equal(letters_of(&who, other, 0), is_last ? "1" : "1p");
        assert_int_equal(put_plain(&who, other, 0, "q"), LS_OK);
        assert_string_equal(letters_of(&who, other, 0), is_last ? "1q" : "1pq");
        who.ops->stream_close(other);
        assert_int_equal(who.ops->close(who.engine), LS_OK);
        assert_int_equal(who.memory.live, 0);
        sim_files_free(crashed);
        sim_files_free(sim);
    }
}

static void die_in_a_step(void *user)
{
    process *who = user;

    if (process_open(who) == LS_OK)
        (void)step(who, 0);
    sim_kill_here();
}

static void kill_at_sync_of_state(void *user, sim_call call, const char *name)
{
    (void)user;
    if (call == SIM_SYNC && strstr(name, "/state/") != NULL && strstr(name, ".seg") != NULL &&
        strstr(name, ".new") == NULL)
        sim_kill_here();
}

/* Goal: a step that was left, of a decider that is gone, was not taken, and stops nobody. Method: die before anything
 * of it is in the state log. */
static void what_was_left_goes_with_its_decider(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    process who, dead;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    assert_int_equal(who.ops->state_write(who.decider, &(lsi_state_change){.key = text("none"), .value = text("x")}, 1,
                                          &(uint32_t){0}), LS_OK);
    process_begin(&dead, sim);
    sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .name = "/state/", .nth = 1, .kill = true});
    assert_true(sim_run(sim, die_in_a_step, &dead));
    sim_memory_bury(&dead.memory);
    sim_faults_clear(sim);
    assert_int_equal(who.ops->remove(who.engine, "s"), LS_OK);
    assert_string_equal(letters_of(&who, who.other, 0), "");
    assert_int_equal(put_plain(&who, who.other, 0, "q"), LS_OK);
    assert_string_equal(letters_of(&who, who.other, 0), "q");
    process_close(&who);
    sim_files_free(sim);
}

/* ---- encrypted, compressed, copied, read only ---- */

static ls_status give_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    process *who = user;

    /* Whoever asks holds no lock of the step's: else this would not come back. */
    who->asked++;
    if (who->asked == 1 && who->other != NULL) {
        (void)put_plain(who, who->decider, 0, "k");
        (void)position_of(who);
    }
    memset(key, key_id[0], LS_KEY_BYTES);
    return LS_OK;
}

/* Goal: X4; nobody is asked for a key under a lock. Method: steps into streams whose keys change, some of them in
 * another process, which has none at hand; the disk shows nothing of it; then lose power at every place. */
static void steps_into_encrypted_streams_are_sealed(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    size_t first, last;
    process who;

    (void)state;
    if (!lsi_crypto_is_built())
        skip();
    process_begin(&who, sim);
    options.key_callback = give_key;
    options.key_user = &who;
    assert_int_equal(process_open_as(&who, "store", &options), LS_OK);
    assert_int_equal(who.ops->start_encryption(who.engine, "t", "A"), LS_OK);
    assert_int_equal(who.ops->set_compression(who.engine, "s", LS_COMPRESSION_ZSTD), LS_OK);
    assert_int_equal(step(&who, 0), LS_OK);
    process_close(&who);
    process_begin(&who, sim);
    assert_int_equal(process_open_as(&who, "store", &options), LS_OK);
    first = sim_log_count(sim);
    assert_int_equal(step(&who, 1), LS_OK);
    assert_int_equal(who.ops->start_encryption(who.engine, "t", "B"), LS_OK);
    assert_int_equal(who.ops->start_encryption(who.engine, "s", "C"), LS_OK);
    assert_int_equal(step(&who, LARGE_STEP), LS_OK);
    last = sim_log_count(sim);
    assert_string_equal(letters_of(&who, who.other, 0), "123");
    assert_string_equal(letters_of(&who, who.decider, 1), "112233");
    process_close(&who);
    for (size_t prefix = first; prefix <= last; prefix++)
        for (uint64_t seed = prefix % SIM_STRIDE; seed < SIM_SEED_RANDOM + 1; seed += SIM_STRIDE) {
            sim_files *crashed = sim_crash_state(sim, prefix, seed);
            uint32_t stage;
            const char *there;

            process_begin(&who, crashed);
            who.asked = 1;
            assert_int_equal(process_open_as(&who, "store", &options), LS_OK);
            there = letters_of(&who, who.other, 0);
            stage = (uint32_t)strlen(there);
            assert_in_range(stage, 1, 3);
            assert_int_equal(strlen(letters_of(&who, who.decider, 1)), 2 * stage);
            assert_int_equal(position_of(&who), '0' + (char)stage);
            process_close(&who);
            sim_files_free(crashed);
        }
    sim_files_free(sim);
}

/* Goal: B1 with A1. Method: a copy in the middle of steps has all of each step or nothing. */
static void a_backup_has_whole_steps(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_KERNEL);
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    process who;
    bool plain;

    (void)state;
    assert_non_null(files);
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    for (uint32_t i = 0; i < STEPS; i++) {
        process copy;

        assert_int_equal(step(&who, i), LS_OK);
        assert_int_equal(who.ops->backup(who.engine, files, "copy", NULL, NULL), LS_OK);
        process_begin(&copy, NULL);
        copy.env.files = files;
        assert_int_equal(process_open_as(&copy, "copy", NULL), LS_OK);
        assert_int_equal(stage_of(&copy, &plain), i + 1);
        process_close(&copy);
    }
    process_close(&who);
    lsi_files_memory_free(files);
    sim_files_free(sim);
}

/* Goal: E6. Method: power is lost when a step was taken and nothing is behind it; who only reads sees it, and leaves it
 * to others to say so. */
static void who_only_reads_sees_what_was_taken(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    (void)state;
    options.flags = LS_STORE_READ_ONLY;
    for (int is_taken = 0; is_taken < 2; is_taken++) {
        sim_files *sim = make_disk(LS_DURABILITY_SYNC), *crashed;
        process who;
        bool plain;

        process_begin(&who, sim);
        if (!is_taken)
            sim_hook_set(sim, kill_at_sync_of_state, NULL);
        assert_int_equal(sim_run(sim, die_in_a_step, &who), true);
        sim_hook_set(sim, NULL, NULL);
        sim_memory_bury(&who.memory);
        crashed = sim_crash_state(sim, sim_log_count(sim), SIM_SEED_NOTHING);
        process_begin(&who, crashed);
        assert_int_equal(process_open_as(&who, "store", &options), LS_OK);
        assert_int_equal(stage_of(&who, &plain), is_taken);
        process_close(&who);
        assert_int_equal(check_disk(crashed, &plain), is_taken);
        sim_files_free(crashed);
        sim_files_free(sim);
    }
}

/* ---- walks ---- */

/* Goal: D7. Method: fail the Nth file call with EIO, with ENOSPC, with EMFILE, or the Nth allocation. What answered OK
 * happened, what answered anything but IO did not. */
static void a_failing_call_is_reported_as_it_is(void **state)
{
    sim_files *start = make_disk(LS_DURABILITY_SYNC);
    static const int errors[] = {EIO, ENOSPC, EMFILE};

    (void)state;
    for (int kind = 0; kind < 4; kind++)
        for (uint64_t n = 1;; n++) {
            sim_files *sim = sim_clone(start);
            uint32_t least, stage;
            bool met, plain;
            process who;

            process_begin(&who, sim);
            if (kind < 3)
                sim_fault_add(sim, (sim_fault){.nth = n, .err = errors[kind]});
            else
                sim_memory_fail(&who.memory, n, false);
            changes(&who);
            met = kind < 3 ? sim_faults_met(sim) > 0 : who.memory.failed > 0;
            assert_int_equal(who.memory.live, 0);
            sim_faults_clear(sim);
            least = stage_at_least(&who);
            stage = check_disk(sim, &plain);
            assert_in_range(stage, least, least + (least < STEPS && who.answers[least] == LS_ERR_IO));
            assert_true(plain || who.plain_at == 0);
            sim_files_free(sim);
            if (!met) {
                assert_int_equal(least, STEPS);
                break;
            }
            assert_true(n < 3000);
        }
    sim_files_free(start);
}

/* Goal: D1. What was taken was durable, so no failure of who finds it left makes it less. Method: lose power when the
 * first step has returned; fail the Nth call of who then reads and takes the next one; give up what a failed sync
 * leaves in doubt. */
static void what_was_taken_outlives_failures_of_who_finds_it(void **state)
{
    static const sim_call calls[] = {SIM_OPEN, SIM_READ, SIM_WRITE, SIM_SYNC};
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    process who;

    (void)state;
    process_begin(&who, sim);
    changes(&who);
    assert_int_equal(stage_at_least(&who), STEPS);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (uint64_t n = 1, met = 1; met != 0; n++) {
            sim_files *crashed = sim_crash_state(sim, who.returned_at[0], SIM_SEED_NOTHING);
            process looker;
            shown now;
            bool plain;

            process_begin(&looker, crashed);
            sim_fault_add(crashed, (sim_fault){.call = calls[i], .nth = n, .err = EIO});
            if (process_open(&looker) == LS_OK) {
                (void)read_shard(&looker, looker.decider, 1, &now);
                (void)read_shard(&looker, looker.other, 0, &now);
                (void)step(&looker, 1);
                (void)process_end(&looker);
            }
            assert_int_equal(looker.memory.live, 0);
            met = sim_faults_met(crashed);
            sim_faults_clear(crashed);
            assert_in_range(check_disk(crashed, &plain), 1, 2);
            sim_files_free(crashed);
            assert_true(n < 1000);
        }
    sim_files_free(sim);
}

/* Goal: P1, U2. Method: kill at the Nth file call; whoever comes later, alone, finds a step taken or not, and so does
 * one who has had the store open all the time and only reads, or writes. */
static void a_death_leaves_a_step_taken_or_not(void **state)
{
    (void)state;
    for (ls_durability durability = LS_DURABILITY_KERNEL; durability <= LS_DURABILITY_SYNC; durability += 2) {
        sim_files *start = make_disk(durability);
        bool killed = true, plain;

        for (uint64_t n = 1; killed; n++) {
            sim_files *sim = sim_clone(start);
            process who, beside;
            uint32_t least;

            if (n % 2 == 0) {
                process_begin(&beside, sim);
                assert_int_equal(process_open(&beside), LS_OK);
            }
            process_begin(&who, sim);
            sim_fault_add(sim, (sim_fault){.nth = n, .kill = true});
            killed = sim_run(sim, changes, &who);
            sim_memory_bury(&who.memory);
            sim_faults_clear(sim);
            least = stage_at_least(&who);
            if (n % 2 == 0) {
                uint32_t stage;

                if (n % 4 == 0)
                    settle(&beside);
                stage = stage_of(&beside, &plain);
                assert_in_range(stage, least, least < STEPS ? least + 1 : STEPS);
                if (stage >= PLAIN_BEFORE) /* The shards that were left take puts, too. */
                    assert_int_equal(put_plain(&beside, beside.decider, 0, "") == LS_OK, true);
                process_close(&beside);
            }
            if (n % 2 != 0)
                assert_in_range(check_disk(sim, &plain), least, least < STEPS ? least + 1 : STEPS);
            sim_files_free(sim);
            assert_true(n < 3000);
        }
        sim_files_free(start);
    }
}

/* Goal: D6, U1, U3. Method: lose power after every change of the disk, in every corner and some random ways, in each
 * mode; then once more, when all was looked at. */
static void a_crash_keeps_what_had_returned(void **state)
{
    (void)state;
    for (ls_durability durability = LS_DURABILITY_KERNEL; durability <= LS_DURABILITY_SYNC; durability += 2) {
        sim_files *sim = make_disk(durability);
        size_t first = sim_log_count(sim), last;
        process who;

        process_begin(&who, sim);
        changes(&who);
        assert_int_equal(stage_at_least(&who), STEPS);
        last = sim_log_count(sim);
        for (size_t prefix = first; prefix <= last; prefix++)
            for (uint64_t seed = prefix % SIM_STRIDE; seed < SIM_SEED_RANDOM + 2; seed += SIM_STRIDE) {
                sim_files *crashed = sim_crash_state(sim, prefix, seed), *again;
                uint32_t least = 0, stage;
                process looker;
                bool plain;

                while (least < STEPS && prefix >= who.returned_at[least])
                    least++;
                process_begin(&looker, crashed);
                assert_int_equal(process_open(&looker), LS_OK);
                stage = stage_of(&looker, &plain);
                again = sim_crash_state(crashed, sim_log_count(crashed), SIM_SEED_NOTHING);
                process_close(&looker);
                assert_in_range(stage, least, STEPS);
                if (durability == LS_DURABILITY_SYNC)
                    assert_true(plain || prefix < who.plain_at);
                assert_int_equal(check_disk(again, &plain), stage);
                sim_files_free(again);
                assert_int_equal(check_disk(crashed, &plain), stage);
                sim_files_free(crashed);
            }
        sim_files_free(sim);
    }
}

/* X1: what a state holds for a step may be anybody's. */
static void what_is_none_of_a_step_is_not_read(void **state)
{
    static const char *const none[] = {
        "/00000000000000000001/000000000", "/00000000000000000001/00000000020", "-00000000000000000001/0000000002",
        "/00000000000000000001-0000000002", "/0000000000000000000x/0000000002", "/0000000000000000000 /0000000002",
        "/99999999999999999999/0000000002", "/18446744073709551616/0000000002", "/00000000000000000001/4294967296",
        "/00000000000000000001/00000000:2", "",
    };
    char key[LSI_STEP_KEY_BYTES + 8];
    unsigned char value[LSI_STEP_VALUE_BYTES + 1] = {1, 0, 0, 0, 1, 0, 0, 0, 77};
    lsi_step_value read;
    uint64_t stream;
    uint32_t shard;

    (void)state;
    assert_true(lsi_step_read_key(lsi_step_key(UINT64_MAX, UINT32_MAX, key), &stream, &shard));
    assert_true(stream == UINT64_MAX && shard == UINT32_MAX);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        int size = snprintf(key, sizeof key, "%s%s", LSI_STEP_PREFIX, none[i]);

        if (lsi_step_read_key((ls_bytes){key, (size_t)size}, &stream, &shard))
            fail_msg("%s is read", key);
    }
    assert_true(lsi_step_read_value((ls_bytes){value, LSI_STEP_VALUE_BYTES}, &read));
    assert_true(read.is_taken && read.first_seqno == 77);
    assert_false(lsi_step_read_value((ls_bytes){value, LSI_STEP_VALUE_BYTES - 1}, &read));
    assert_false(lsi_step_read_value((ls_bytes){value, LSI_STEP_VALUE_BYTES + 1}, &read));
    value[0] = 2; /* of a later release */
    assert_false(lsi_step_read_value((ls_bytes){value, LSI_STEP_VALUE_BYTES}, &read));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_none_of_a_step_is_not_read),
        cmocka_unit_test(a_step_shows_all_that_it_did),
        cmocka_unit_test(a_step_whose_state_is_another_one_does_nothing),
        cmocka_unit_test(a_step_of_puts_or_of_changes_alone_is_one_too),
        cmocka_unit_test(puts_that_are_out_of_order_are_refused),
        cmocka_unit_test(a_step_that_is_too_large_does_nothing),
        cmocka_unit_test(a_step_into_a_closed_shard_moves_on),
        cmocka_unit_test(what_no_shard_needs_is_forgotten),
        cmocka_unit_test(a_store_opened_for_reading_takes_no_step),
        cmocka_unit_test(what_was_taken_outlives_its_decider),
        cmocka_unit_test(what_was_left_goes_with_its_decider),
        cmocka_unit_test(steps_into_encrypted_streams_are_sealed),
        cmocka_unit_test(a_backup_has_whole_steps),
        cmocka_unit_test(who_only_reads_sees_what_was_taken),
        cmocka_unit_test(a_failing_call_is_reported_as_it_is),
        cmocka_unit_test(what_was_taken_outlives_failures_of_who_finds_it),
        cmocka_unit_test(a_death_leaves_a_step_taken_or_not),
        cmocka_unit_test(a_crash_keeps_what_had_returned),
    };

    return cmocka_run_group_tests_name("engine/test_local_step", tests, NULL, NULL);
}
