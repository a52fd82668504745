/* A stream's state in a store on disk: values and versions, changes that are refused, snapshots; and the same under
 * failures, deaths and losses of power, with and without others who have the store open. */
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
#include "storage/segment.h"
#include "support/image.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define STEPS 5u /* of changes() */
#define SNAPSHOT_STEP 4u /* the one that leaves more dead than alive */
#define LARGE_BYTES (200u << 10)

/* A process of the simulated machine: its store, and what became of its calls. */
typedef struct process {
    sim_files *sim;
    sim_memory memory;
    lsi_env env;
    lsi_engine *engine;
    lsi_engine_stream *stream;
    ls_durability durability;
    ls_status answers[STEPS];  /* of changes(); -1: not returned */
    size_t returned_at[STEPS]; /* places in the log when they had */
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
    who->durability = LS_DURABILITY_DEFAULT;
    for (uint32_t i = 0; i < STEPS; i++)
        who->answers[i] = -1;
}

static ls_status process_open(process *who)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_status st;

    options.durability = who->durability;
    st = lsi_local_open("store", &options, &who->env, &who->engine);
    if (st != LS_OK)
        return st;
    st = who->engine->ops->stream_open(who->engine, "s", &who->stream);
    if (st != LS_OK) {
        (void)who->engine->ops->close(who->engine);
        who->engine = NULL;
    }
    return st;
}

static void process_close(process *who)
{
    who->engine->ops->stream_close(who->stream);
    assert_int_equal(who->engine->ops->close(who->engine), LS_OK);
    assert_int_equal(who->memory.live, 0);
}

static sim_files *make_disk(ls_durability durability)
{
    sim_files *sim = sim_files_new();
    lsi_stream_spec spec = {.name = "s", .shard_count = 2, .retention_hours = 24, .record_bytes_max = 1 << 20};
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    process who;

    process_begin(&who, sim);
    options.durability = durability;
    options.segment_bytes = 1 << 20;
    assert_int_equal(lsi_local_open("store", &options, &who.env, &who.engine), LS_OK);
    assert_int_equal(who.engine->ops->create(who.engine, &spec), LS_OK);
    assert_int_equal(who.engine->ops->stream_open(who.engine, "s", &who.stream), LS_OK);
    process_close(&who);
    return sim;
}

/* ---- saying it short ---- */

static ls_bytes text(const char *of)
{
    return (ls_bytes){of, strlen(of)};
}

static lsi_state_change set(const char *key, uint64_t expected, const char *value)
{
    return (lsi_state_change){.key = text(key), .expected = expected, .value = text(value)};
}

static ls_status write_all(process *who, lsi_state_change *changes, uint32_t count)
{
    uint32_t conflict;
    ls_status st = who->engine->ops->state_write(who->stream, changes, count, &conflict);

    if (st == LS_OK)
        assert_int_equal(conflict, count);
    return st;
}

/* Its version afterwards. */
static uint64_t put(process *who, const char *key, uint64_t expected, const char *value)
{
    lsi_state_change change = set(key, expected, value);

    assert_int_equal(write_all(who, &change, 1), LS_OK);
    return change.version;
}

static uint32_t conflict_of(process *who, lsi_state_change *changes, uint32_t count)
{
    uint32_t conflict = count + 1;

    assert_int_equal(who->engine->ops->state_write(who->stream, changes, count, &conflict), LS_OK);
    return conflict;
}

typedef struct shown {
    char text[512];
    uint64_t versions[16];
    uint32_t count, limit;
} shown;

/* "key=value key=value ..."; of a long value its first letter and its size. */
static bool show(void *user, const lsi_state_entry *entry)
{
    shown *to = user;
    char *end = to->text + strlen(to->text);

    if (entry->value.size < 40)
        (void)snprintf(end, (size_t)(to->text + sizeof to->text - end), "%s%.*s=%.*s", to->count > 0 ? " " : "",
                       (int)entry->key.size, (const char *)entry->key.data, (int)entry->value.size,
                       (const char *)entry->value.data);
    else
        (void)snprintf(end, (size_t)(to->text + sizeof to->text - end), "%s%.*s=%c*%zu", to->count > 0 ? " " : "",
                       (int)entry->key.size, (const char *)entry->key.data, *(const char *)entry->value.data,
                       entry->value.size);
    assert_true(to->count < 16);
    to->versions[to->count++] = entry->version;
    return to->count != to->limit;
}

static shown read_all(process *who, const char *prefix)
{
    shown to = {.limit = 0};

    assert_int_equal(who->engine->ops->state_read(who->stream, text(prefix), show, &to), LS_OK);
    return to;
}

#define assert_state(who, expected) assert_string_equal(read_all(who, "").text, expected)

/* ---- values ---- */

static void values_have_versions_and_are_read_by_prefix_in_order(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    shown to = {.limit = 1};
    uint64_t first, second;
    process who;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    assert_state(&who, "");
    first = put(&who, "lease/b", LSI_STATE_NONE, "1");
    assert_true(first > 0);
    (void)put(&who, "lease/a", LSI_STATE_NONE, "2");
    (void)put(&who, "m", LSI_STATE_ANY, "3");
    (void)put(&who, "lease", LSI_STATE_ANY, "4");
    assert_state(&who, "lease=4 lease/a=2 lease/b=1 m=3");
    assert_string_equal(read_all(&who, "lease/").text, "lease/a=2 lease/b=1");
    assert_string_equal(read_all(&who, "lease/c").text, "");
    assert_int_equal(who.engine->ops->state_read(who.stream, text("lease/"), show, &to), LS_OK);
    assert_string_equal(to.text, "lease/a=2");
    second = put(&who, "lease/b", first, "5");
    assert_true(second > first);
    assert_int_equal(read_all(&who, "lease/b").versions[0], second);
    assert_int_equal(put(&who, "lease/b", second, ""), LSI_STATE_NONE);
    assert_string_equal(read_all(&who, "lease/").text, "lease/a=2");
    assert_true(put(&who, "lease/b", LSI_STATE_NONE, "6") > second); /* no version comes again */
    process_close(&who);
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    assert_state(&who, "lease=4 lease/a=2 lease/b=6 m=3");
    process_close(&who);
    sim_files_free(sim);
}

static void a_version_that_is_not_the_expected_one_changes_nothing(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    lsi_state_change changes[3];
    uint64_t version;
    process who, other;

    (void)state;
    process_begin(&who, sim);
    process_begin(&other, sim);
    assert_int_equal(process_open(&who), LS_OK);
    assert_int_equal(process_open(&other), LS_OK);
    version = put(&who, "a", LSI_STATE_NONE, "1");
    changes[0] = set("b", LSI_STATE_NONE, "2");
    changes[1] = set("a", LSI_STATE_NONE, "3"); /* it is there */
    changes[2] = set("c", 7, "4");              /* it is not */
    assert_int_equal(conflict_of(&other, changes, 3), 1);
    changes[1].expected = version + 1;
    assert_int_equal(conflict_of(&other, changes, 3), 1);
    changes[1].expected = version;
    assert_int_equal(conflict_of(&other, changes, 3), 2);
    assert_state(&other, "a=1");
    changes[2].expected = LSI_STATE_NONE;
    assert_int_equal(conflict_of(&other, changes, 3), 3);
    assert_state(&who, "a=3 b=2 c=4");
    changes[1].value = text("5"); /* The version is the old one still. */
    assert_int_equal(conflict_of(&who, &changes[1], 1), 0);
    assert_state(&who, "a=3 b=2 c=4");
    process_close(&other);
    process_close(&who);
    sim_files_free(sim);
}

/* Goal: one of those who expect the same version wins. Method: two processes take turns in adding one to a number. */
static void who_counts_in_turn_counts_everything(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_KERNEL);
    process both[2];
    shown now;

    (void)state;
    for (int i = 0; i < 2; i++) {
        process_begin(&both[i], sim);
        assert_int_equal(process_open(&both[i]), LS_OK);
    }
    (void)put(&both[0], "n", LSI_STATE_NONE, "0");
    now = read_all(&both[1], "n");
    for (int i = 0, refused = 0; i < 60; i++) {
        char value[16];
        lsi_state_change change;

        (void)snprintf(value, sizeof value, "%d", atoi(now.text + 2) + 1);
        change = set("n", now.versions[0], value);
        if (conflict_of(&both[i % 3 == 0], &change, 1) == 0) {
            refused++;
            assert_true(i % 2 == 1);
        }
        if (i % 2 == 1) /* Else the next one is late. */
            now = read_all(&both[i % 2], "n");
        if (i == 59)
            assert_int_equal(refused, 30);
    }
    assert_int_equal(atoi(read_all(&both[0], "n").text + 2), 30);
    for (int i = 0; i < 2; i++)
        process_close(&both[i]);
    sim_files_free(sim);
}

/* ---- snapshots ---- */

static void put_large(process *who, const char *key, char letter)
{
    char *value = malloc(LARGE_BYTES);
    lsi_state_change change = {.key = text(key), .expected = LSI_STATE_ANY, .value = {value, LARGE_BYTES}};

    assert_non_null(value);
    memset(value, letter, LARGE_BYTES);
    assert_int_equal(write_all(who, &change, 1), LS_OK);
    free(value);
}

static int count_segments(void *user, const char *entry, bool is_dir)
{
    (void)is_dir;
    *(uint32_t *)user += strstr(entry, ".seg") != NULL;
    return 0;
}

static uint32_t segments_of(const process *who)
{
    lsi_root *root = &lsi_local_of(who->engine)->root;
    uint32_t count = 0;

    assert_int_equal(root->files->list(root, "1/state", count_segments, &count), 0);
    return count;
}

/* Goal: T3. Method: one value is written again and again, ten times the size of a segment; others, who follow all
 * along, who come in the middle, and who slept meanwhile, see the same values and versions as he who wrote. */
static void what_was_replaced_does_not_stay_for_ever(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_KERNEL);
    process who, follower, sleeper, late;
    uint64_t small;
    shown all;

    (void)state;
    process_begin(&who, sim);
    process_begin(&follower, sim);
    process_begin(&sleeper, sim);
    assert_int_equal(process_open(&who), LS_OK);
    assert_int_equal(process_open(&follower), LS_OK);
    assert_int_equal(process_open(&sleeper), LS_OK);
    small = put(&who, "a", LSI_STATE_NONE, "small");
    assert_state(&sleeper, "a=small");
    for (int i = 0; i < 50; i++) {
        char expected[64];

        put_large(&who, "large", (char)('a' + i % 26));
        assert_true(segments_of(&who) <= 3);
        (void)snprintf(expected, sizeof expected, "a=small large=%c*%u", 'a' + i % 26, LARGE_BYTES);
        assert_state(&follower, expected);
    }
    all = read_all(&who, "");
    assert_int_equal(all.versions[0], small);
    assert_int_equal(read_all(&sleeper, "").versions[0], small);
    assert_int_equal(read_all(&sleeper, "").versions[1], all.versions[1]);
    assert_string_equal(read_all(&sleeper, "").text, all.text);
    process_begin(&late, sim);
    assert_int_equal(process_open(&late), LS_OK);
    assert_int_equal(read_all(&late, "").versions[0], small);
    assert_int_equal(read_all(&late, "").versions[1], all.versions[1]);
    assert_string_equal(read_all(&late, "").text, all.text);
    (void)put(&late, "a", small, "changed"); /* The version of before the snapshots counts. */
    assert_int_equal(segments_of(&who), segments_of(&late));
    process_close(&late);
    process_close(&sleeper);
    process_close(&follower);
    process_close(&who);
    sim_files_free(sim);
}

/* ---- a life, for the walks ---- */

/* The states that it goes through. */
static const char *const lives[STEPS + 1] = {"", "a=1", "a=2 b=1", "b=1", "b=1 c=x*204800", "b=1 c=z*204800"};

static ls_status large_change(process *who, char letter)
{
    static char value[LARGE_BYTES]; /* A process that is killed in here frees nothing. */
    lsi_state_change change = {.key = text("c"), .expected = LSI_STATE_ANY, .value = {value, LARGE_BYTES}};

    memset(value, letter, LARGE_BYTES);
    return write_all(who, &change, 1);
}

static ls_status step(process *who, uint32_t index)
{
    lsi_state_change changes[2];
    ls_status st;

    switch (index) {
    case 0:
        changes[0] = set("a", LSI_STATE_NONE, "1");
        return write_all(who, changes, 1);
    case 1:
        changes[0] = set("a", LSI_STATE_ANY, "2");
        changes[1] = set("b", LSI_STATE_NONE, "1");
        return write_all(who, changes, 2);
    case 2:
        changes[0] = set("a", LSI_STATE_ANY, "");
        return write_all(who, changes, 1);
    case 3:
        return large_change(who, 'x');
    default:
        st = large_change(who, 'x'); /* As it is: no state of its own. */
        return st == LS_OK ? large_change(who, 'z') : st; /* With it comes a snapshot. */
    }
}

static uint32_t stage_of(process *who)
{
    shown now = read_all(who, "");

    for (uint32_t i = 0; i <= STEPS; i++)
        if (strcmp(now.text, lives[i]) == 0)
            return i;
    fail_msg("the state is '%s'", now.text);
    return 0;
}

static void changes(void *user)
{
    process *who = user;

    if (process_open(who) != LS_OK)
        return;
    for (uint32_t i = 0; i < STEPS && (i == 0 || who->answers[i - 1] == LS_OK); i++) {
        who->answers[i] = step(who, i);
        who->returned_at[i] = sim_log_count(who->sim);
    }
    who->engine->ops->stream_close(who->stream);
    (void)who->engine->ops->close(who->engine);
}

/* What a dead one wrote and nobody synced may show with the next change; what could not be synced takes a reset. */
static void settle(process *who)
{
    lsi_state_change nothing = set("none", LSI_STATE_ANY, "");

    if (write_all(who, &nothing, 1) != LS_ERR_IO)
        return;
    assert_int_equal(who->engine->ops->reset_shard(who->stream, LSI_STATE_SHARD), LS_OK);
    assert_int_equal(write_all(who, &nothing, 1), LS_OK);
}

static uint32_t stage_at_least(const process *who)
{
    uint32_t stage = 0;

    while (stage < STEPS && who->answers[stage] == LS_OK)
        stage++;
    return stage;
}

/* What is on the disk, looked at by one who comes later and is alone; and that all can still be done. */
static uint32_t check_disk(sim_files *sim)
{
    uint32_t stage;
    process who;

    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    settle(&who);
    stage = stage_of(&who);
    for (uint32_t i = stage; i < STEPS; i++) {
        assert_int_equal(step(&who, i), LS_OK);
        assert_int_equal(stage_of(&who), i + 1);
    }
    process_close(&who);
    return stage;
}

/* ---- walks ---- */

/* Goal: D7. Method: fail the Nth file call with EIO, with ENOSPC, or the Nth allocation. What answered OK happened,
 * what answered anything but IO did not. */
static void a_failing_call_is_reported_as_it_is(void **state)
{
    sim_files *start = make_disk(LS_DURABILITY_SYNC);

    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (uint64_t n = 1;; n++) {
            sim_files *sim = sim_clone(start);
            uint32_t least, stage;
            process who;
            bool met;

            process_begin(&who, sim);
            if (kind < 2)
                sim_fault_add(sim, (sim_fault){.nth = n, .err = kind == 0 ? EIO : ENOSPC});
            else
                sim_memory_fail(&who.memory, n, false);
            changes(&who);
            met = kind < 2 ? sim_faults_met(sim) > 0 : who.memory.failed > 0;
            assert_int_equal(who.memory.live, 0);
            sim_faults_clear(sim);
            least = stage_at_least(&who);
            stage = check_disk(sim);
            assert_in_range(stage, least, least + (least < STEPS && who.answers[least] == LS_ERR_IO));
            sim_files_free(sim);
            if (!met) {
                assert_int_equal(least, STEPS);
                break;
            }
            assert_true(n < 3000);
        }
    sim_files_free(start);
}

/* Goal: E3: a full disk does not stop a change while space is kept for it, which is kept anew then; and one that it
 * stops changes nothing. Method: the state's segment is refused a write, once or always, with and without a reserve. */
static void a_full_disk_stops_no_change_while_space_is_kept(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    const lsi_root *root;
    process who;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    root = &lsi_local_of(who.engine)->root;
    assert_int_equal(large_change(&who, 'a'), LS_OK);
    for (int tries = 0; tries < 3; tries++) {
        bool has_reserve = tries != 1, is_sticky = tries == 2;
        shown before = read_all(&who, ""), now;
        lsi_file reserve = {0};

        assert_int_equal(root->files->open(root, LSI_RESERVE_NAME, 0, &reserve), 0); /* It is made anew each time. */
        assert_int_equal(root->files->close(&reserve), 0);
        if (!has_reserve)
            assert_int_equal(root->files->unlink(root, LSI_RESERVE_NAME), 0);
        sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .name = ".seg", .nth = 1, .err = ENOSPC,
                                       .sticky = is_sticky});
        assert_int_equal(large_change(&who, (char)('b' + tries)), has_reserve && !is_sticky ? LS_OK : LS_ERR_FULL);
        assert_true(sim_faults_met(sim) > 0);
        sim_faults_clear(sim);
        now = read_all(&who, "");
        assert_int_equal(now.count, 1);
        assert_true((now.versions[0] == before.versions[0]) == (tries > 0));
        assert_true((strcmp(now.text, before.text) == 0) == (tries > 0));
        lsi_local_reserve_make(lsi_local_of(who.engine));
    }
    assert_int_equal(large_change(&who, 'z'), LS_OK);
    process_close(&who);
    sim_files_free(sim);
}

/* Goal: P1, T2. Method: kill at the Nth file call; whoever comes later, alone, finds a step done or not, and so does
 * one who has had the store open all the time. */
static void a_death_leaves_a_step_done_or_not(void **state)
{
    (void)state;
    for (ls_durability durability = LS_DURABILITY_KERNEL; durability <= LS_DURABILITY_SYNC; durability += 2) {
        sim_files *start = make_disk(durability);
        bool killed = true;

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

                settle(&beside);
                stage = stage_of(&beside);
                assert_in_range(stage, least, least < STEPS ? least + 1 : STEPS);
                for (uint32_t i = stage; i < STEPS; i++) {
                    assert_int_equal(step(&beside, i), LS_OK);
                    assert_int_equal(stage_of(&beside), i + 1);
                }
                process_close(&beside);
                least = STEPS;
            }
            assert_in_range(check_disk(sim), least, least < STEPS ? least + 1 : STEPS);
            sim_files_free(sim);
            assert_true(n < 3000);
        }
        sim_files_free(start);
    }
}

/* Goal: D6. Method: lose power after every change of the disk, in every corner and some random ways, in each mode. */
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
                sim_files *crashed = sim_crash_state(sim, prefix, seed);
                uint32_t least = 0;

                while (least < STEPS && prefix >= who.returned_at[least])
                    least++;
                assert_true(check_disk(crashed) >= least);
                sim_files_free(crashed);
            }
        sim_files_free(sim);
    }
}

/* ---- the stream's life ---- */

static void state_goes_with_its_stream(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    lsi_stream_spec spec = {.name = "s", .shard_count = 1, .retention_hours = 24, .record_bytes_max = 1 << 20};
    const lsi_engine_ops *ops;
    lsi_engine_stream *old;
    lsi_state_change change = set("a", LSI_STATE_ANY, "3");
    uint32_t conflict;
    shown to = {.limit = 0};
    process who;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    ops = who.engine->ops;
    (void)put(&who, "a", LSI_STATE_NONE, "1");
    assert_int_equal(ops->remove(who.engine, "s"), LS_OK);
    assert_int_equal(ops->state_read(who.stream, text(""), show, &to), LS_ERR_NOT_FOUND);
    assert_int_equal(ops->state_write(who.stream, &change, 1, &conflict), LS_ERR_NOT_FOUND);
    assert_int_equal(ops->create(who.engine, &spec), LS_OK);
    old = who.stream;
    assert_int_equal(ops->stream_open(who.engine, "s", &who.stream), LS_OK);
    assert_state(&who, "");
    (void)put(&who, "a", LSI_STATE_NONE, "2");
    assert_state(&who, "a=2");
    ops->stream_close(old);
    process_close(&who);
    sim_files_free(sim);
}

static void a_store_opened_for_reading_shows_state_and_changes_none(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_state_change change = set("a", LSI_STATE_ANY, "3");
    uint32_t conflict;
    process who, reader;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    process_begin(&reader, sim);
    options.flags = LS_STORE_READ_ONLY;
    assert_int_equal(lsi_local_open("store", &options, &reader.env, &reader.engine), LS_OK);
    assert_int_equal(reader.engine->ops->stream_open(reader.engine, "s", &reader.stream), LS_OK);
    assert_state(&reader, "");
    (void)put(&who, "a", LSI_STATE_NONE, "1");
    assert_state(&reader, "a=1");
    assert_int_equal(reader.engine->ops->state_write(reader.stream, &change, 1, &conflict), LS_ERR_READ_ONLY);
    (void)put(&who, "a", LSI_STATE_ANY, "2");
    assert_state(&reader, "a=2");
    process_close(&who);
    process_close(&reader);
    sim_files_free(sim);
}

/* ---- values that fill a frame ---- */

static void put_bytes(process *who, const char *key, size_t bytes, char letter)
{
    char *value = malloc(bytes);
    lsi_state_change change = {.key = text(key), .expected = LSI_STATE_ANY, .value = {value, bytes}};

    assert_non_null(value);
    memset(value, letter, bytes);
    assert_int_equal(write_all(who, &change, 1), LS_OK);
    free(value);
}

/* Goal: T3 for values that no frame takes two of. */
static void values_that_fill_a_frame_are_compacted_too(void **state)
{
    enum { SMALL = 3900u << 10, LARGE = LSI_STATE_CHANGE_BYTES_MAX - 100 };
    sim_files *sim = make_disk(LS_DURABILITY_KERNEL);
    char expected[64];
    process who;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    put_bytes(&who, "a", SMALL, 'a');
    for (int i = 0; i < 4; i++)
        put_bytes(&who, "b", LARGE, (char)('b' + i));
    assert_true(segments_of(&who) <= 4);
    (void)snprintf(expected, sizeof expected, "a=a*%u b=e*%u", (unsigned)SMALL, (unsigned)LARGE);
    assert_state(&who, expected);
    process_close(&who);
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    assert_state(&who, expected);
    process_close(&who);
    sim_files_free(sim);
}

/* ---- keys ---- */

typedef struct keyholder {
    process *who;
    unsigned asked;
    bool is_refused;
} keyholder;

/* Whoever asks holds no lock of the state's: else this would not come back. */
static ls_status give_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    keyholder *holder = user;
    lsi_state_change change = set("asked", LSI_STATE_ANY, "");
    uint32_t conflict;

    holder->asked++;
    if (holder->is_refused)
        return LS_ERR_KEY;
    if (holder->asked == 1 && holder->who != NULL) { /* The inner calls ask once more each. */
        assert_int_equal(lsi_lock_try(&lsi_local_stream_of(holder->who->stream)->slot->sync_lock, LSI_RANK_STATE),
                         LSI_LOCKED);
        lsi_lock_release(&lsi_local_stream_of(holder->who->stream)->slot->sync_lock, LSI_RANK_STATE);
        assert_int_equal(holder->who->engine->ops->state_write(holder->who->stream, &change, 1, &conflict), LS_OK);
    }
    memset(key, key_id[0], LS_KEY_BYTES);
    return LS_OK;
}

static void open_with_keys(process *who, keyholder *holder)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.key_callback = give_key;
    options.key_user = holder;
    assert_int_equal(lsi_local_open("store", &options, &who->env, &who->engine), LS_OK);
    assert_int_equal(who->engine->ops->stream_open(who->engine, "s", &who->stream), LS_OK);
    holder->asked = 0;
}

/* Goal: X4, X5. Method: state of a stream whose key changes; what is on the disk shows no value. */
static void state_is_encrypted_as_its_stream_is(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    keyholder holder = {0};
    shown to = {.limit = 0};
    image disk;
    process who;

    (void)state;
    if (!lsi_crypto_is_built())
        skip();
    process_begin(&who, sim);
    open_with_keys(&who, &holder);
    assert_int_equal(who.engine->ops->start_encryption(who.engine, "s", "A"), LS_OK);
    (void)put(&who, "a", LSI_STATE_NONE, "whispered");
    assert_int_equal(who.engine->ops->start_encryption(who.engine, "s", "B"), LS_OK);
    (void)put(&who, "b", LSI_STATE_NONE, "whispered");
    assert_state(&who, "a=whispered b=whispered");
    process_close(&who);
    disk = image_take(sim_files_table(sim), "store");
    for (size_t i = 0; i < disk.count; i++)
        assert_null(memmem(disk.files[i].bytes, disk.files[i].size, "whispered", 9));
    image_free(&disk);

    process_begin(&who, sim);
    holder.who = &who;
    open_with_keys(&who, &holder);
    assert_state(&who, "a=whispered b=whispered");
    assert_true(holder.asked >= 2);
    process_close(&who);
    process_begin(&who, sim);
    open_with_keys(&who, &holder);
    (void)put(&who, "c", LSI_STATE_NONE, "more");
    assert_true(holder.asked >= 2);
    assert_state(&who, "a=whispered b=whispered c=more");
    process_close(&who);

    process_begin(&who, sim);
    holder = (keyholder){.is_refused = true};
    open_with_keys(&who, &holder);
    assert_int_equal(who.engine->ops->state_read(who.stream, text(""), show, &to), LS_ERR_KEY);
    assert_int_equal(to.count, 0);
    holder.is_refused = false;
    assert_state(&who, "a=whispered b=whispered c=more");
    process_close(&who);
    sim_files_free(sim);
}

/* ---- damage (H9) ---- */

static bool is_of_state(const char *name)
{
    return strncmp(name, "1/state/", 8) == 0;
}

/* The state of the store in `disk`: as it was; or a failure, in whose message is the name of the file. */
static ls_status judge_damage(const image *disk, const char *expected, const char *file, bool is_lost)
{
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    shown to = {.limit = 0};
    process who;
    ls_status st;

    assert_non_null(files);
    assert_int_equal(image_put(disk, files, "store"), 0);
    process_begin(&who, NULL);
    who.env.files = files;
    who.env.memory = lsi_memory_libc;
    assert_int_equal(lsi_local_open("store", &options, &who.env, &who.engine), LS_OK);
    assert_int_equal(who.engine->ops->stream_open(who.engine, "s", &who.stream), LS_OK);
    st = who.engine->ops->state_read(who.stream, text(""), show, &to);
    if (st == LS_OK) {
        assert_string_equal(to.text, expected);
    } else {
        assert_int_equal(to.count, 0);
        assert_true(st == LS_ERR_CORRUPT || st == LS_ERR_VERSION);
        if (strstr(ls_last_error_message(), strrchr(file, '/') + 1) == NULL)
            fail_msg("damage of %s is told as: %s", file, ls_last_error_message());
    }
    assert_false(is_lost && st == LS_OK);
    who.engine->ops->stream_close(who.stream);
    (void)who.engine->ops->close(who.engine); /* What is damaged may say so once more. */
    lsi_files_memory_free(files);
    return st;
}

/* Goal: R4, R6, R9. Method: flip each bit of the log's files where they hold something, cut them at every length,
 * delete them; others may be hints, and nothing is ever lost or changed silently. */
static void damage_is_told_and_never_shown(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    const char *expected = "a=2 b=1 c=three";
    unsigned told = 0;
    image whole;
    process who;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    (void)put(&who, "a", LSI_STATE_NONE, "1");
    (void)put(&who, "b", LSI_STATE_NONE, "1");
    (void)put(&who, "gone", LSI_STATE_NONE, "1");
    (void)put(&who, "a", LSI_STATE_ANY, "2");
    (void)put(&who, "gone", LSI_STATE_ANY, "");
    (void)put(&who, "c", LSI_STATE_NONE, "three");
    process_close(&who);
    whole = image_take(sim_files_table(sim), "store");
    assert_int_equal(judge_damage(&whole, expected, "", false), LS_OK);
    for (size_t i = 0; i < whole.count; i++) {
        image_file *file = &whole.files[i], was = *file;
        size_t used = file->size;
        bool has_frames;

        if (!is_of_state(file->name))
            continue;
        while (used > 0 && file->bytes[used - 1] == 0)
            used--;
        has_frames = strstr(file->name, ".seg") != NULL && used > LSI_SEGMENT_HEADER_BYTES;
        for (size_t at = 0; at < used; at += SIM_STRIDE)
            for (size_t bit = has_frames ? at % 3 : 0; bit < 8; bit += has_frames ? 3 : 1) {
                file->bytes[at] ^= (unsigned char)(1u << bit);
                told += judge_damage(&whole, expected, was.name, false) != LS_OK;
                file->bytes[at] ^= (unsigned char)(1u << bit);
            }
        for (file->size = 0; file->size < used; file->size += SIM_STRIDE)
            told += judge_damage(&whole, expected, was.name, has_frames) != LS_OK;
        *file = whole.files[whole.count - 1];
        whole.count--;
        (void)judge_damage(&whole, expected, was.name, has_frames);
        whole.files[whole.count++] = *file;
        whole.files[i] = was;
    }
    assert_true(told > 1000 / SIM_STRIDE);
    image_free(&whole);
    sim_files_free(sim);
}

typedef struct findings {
    unsigned of_state, others;
} findings;

static ls_inspect_act note_finding(const ls_finding *finding, void *user)
{
    findings *found = user;

    if (finding->severity == LS_FINDING_DAMAGE && finding->shard == LS_STATE_SHARD && finding->stream_id == 1)
        found->of_state++;
    else if (finding->severity == LS_FINDING_DAMAGE)
        found->others++;
    return LS_INSPECT_GO_ON;
}

/* Goal: R4. Method: damage one value; verify names the state, repair keeps what is outside of the damage, and then the
 * state is read and changed again. */
static void damaged_state_is_verified_and_repaired(void **state)
{
    ls_inspect_options options = LS_INSPECT_OPTIONS_INIT;
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    lsi_inspection inspection = {.finding = note_finding};
    findings found = {0};
    shown to = {.limit = 0};
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    image disk;
    process who;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    (void)put(&who, "a", LSI_STATE_NONE, "1");
    (void)put(&who, "b", LSI_STATE_NONE, "damaged soon");
    (void)put(&who, "c", LSI_STATE_NONE, "3");
    process_close(&who);
    disk = image_take(sim_files_table(sim), "store");
    for (size_t i = 0; i < disk.count; i++) {
        unsigned char *at = is_of_state(disk.files[i].name)
                                ? memmem(disk.files[i].bytes, disk.files[i].size, "damaged", 7) : NULL;
        if (at != NULL)
            at[0] ^= 1;
    }
    assert_non_null(files);
    assert_int_equal(image_put(&disk, files, "store"), 0);
    image_free(&disk);
    process_begin(&who, sim);
    who.env.files = files;
    inspection.user = &found;
    assert_int_equal(lsi_local_inspect(&who.env, "store", &options, false, &inspection), LS_OK);
    assert_int_equal(found.of_state, 1);
    assert_int_equal(found.others, 0);
    assert_int_equal(process_open(&who), LS_OK);
    assert_int_equal(who.engine->ops->state_read(who.stream, text(""), show, &to), LS_ERR_CORRUPT);
    assert_int_equal(to.count, 0);
    who.engine->ops->stream_close(who.stream);
    (void)who.engine->ops->close(who.engine); /* It is damaged. */
    inspection = (lsi_inspection){.finding = note_finding, .user = &found};
    assert_int_equal(lsi_local_inspect(&who.env, "store", &options, true, &inspection), LS_OK);
    assert_int_equal(process_open(&who), LS_OK);
    assert_state(&who, "a=1 c=3");
    (void)put(&who, "b", LSI_STATE_NONE, "2");
    assert_state(&who, "a=1 b=2 c=3");
    process_close(&who);
    lsi_files_memory_free(files);
    sim_files_free(sim);
}

/* Goal: R6. Method: bring the manifest of before the state back, as from a backup: what the log held is set aside. */
static void a_log_that_no_manifest_names_is_kept_aside(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    image before = image_take(sim_files_table(sim), "store"), after;
    unsigned kept = 0;
    image_file *manifest;
    process who;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    (void)put(&who, "a", LSI_STATE_NONE, "kept");
    process_close(&who);
    after = image_take(sim_files_table(sim), "store");
    manifest = image_find(&after, "manifest");
    free(manifest->bytes);
    *manifest = *image_find(&before, "manifest");
    image_find(&before, "manifest")->bytes = NULL;
    assert_non_null(files);
    assert_int_equal(image_put(&after, files, "store"), 0);
    image_free(&after);
    image_free(&before);
    process_begin(&who, sim);
    who.env.files = files;
    assert_int_equal(process_open(&who), LS_OK);
    assert_state(&who, "");
    (void)put(&who, "b", LSI_STATE_NONE, "new");
    assert_state(&who, "b=new");
    process_close(&who);
    after = image_take(files, "store");
    for (size_t i = 0; i < after.count; i++)
        kept += strncmp(after.files[i].name, "1/aside-state-", 14) == 0 &&
                memmem(after.files[i].bytes, after.files[i].size, "kept", 4) != NULL;
    assert_int_equal(kept, 1);
    image_free(&after);
    lsi_files_memory_free(files);
    sim_files_free(sim);
}

/* ---- copies ---- */

static void check_copy(lsi_files *files, const char *expected)
{
    process who;

    process_begin(&who, NULL);
    who.env.files = files;
    assert_int_equal(lsi_local_open("copy", NULL, &who.env, &who.engine), LS_OK);
    assert_int_equal(who.engine->ops->stream_open(who.engine, "s", &who.stream), LS_OK);
    assert_state(&who, expected);
    process_close(&who);
}

/* Goal: B1. Method: copies before there is state, with it, and after snapshots. */
static void a_backup_has_the_state(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    char expected[64];
    process who;

    (void)state;
    assert_non_null(files);
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    assert_int_equal(who.engine->ops->backup(who.engine, files, "copy", NULL, NULL), LS_OK);
    check_copy(files, "");
    (void)put(&who, "a", LSI_STATE_NONE, "1");
    assert_int_equal(who.engine->ops->backup(who.engine, files, "copy", NULL, NULL), LS_OK);
    check_copy(files, "a=1");
    for (int i = 0; i < 6; i++)
        put_large(&who, "b", (char)('b' + i));
    assert_int_equal(who.engine->ops->backup(who.engine, files, "copy", NULL, NULL), LS_OK);
    (void)snprintf(expected, sizeof expected, "a=1 b=g*%u", LARGE_BYTES);
    check_copy(files, expected);
    process_close(&who);
    lsi_files_memory_free(files);
    sim_files_free(sim);
}

static void nobody_reads_it_as_records(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    lsi_shard_state shard;
    lsi_reader *reader;
    process who;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    (void)put(&who, "a", LSI_STATE_NONE, "1");
    assert_int_equal(who.engine->ops->reader_open(who.stream, LSI_STATE_SHARD, 0, &reader), LS_ERR_NOT_FOUND);
    assert_int_equal(who.engine->ops->shard_state(who.stream, LSI_STATE_SHARD, &shard), LS_ERR_NOT_FOUND);
    process_close(&who);
    sim_files_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_have_versions_and_are_read_by_prefix_in_order),
        cmocka_unit_test(a_version_that_is_not_the_expected_one_changes_nothing),
        cmocka_unit_test(who_counts_in_turn_counts_everything),
        cmocka_unit_test(what_was_replaced_does_not_stay_for_ever),
        cmocka_unit_test(a_failing_call_is_reported_as_it_is),
        cmocka_unit_test(a_full_disk_stops_no_change_while_space_is_kept),
        cmocka_unit_test(a_death_leaves_a_step_done_or_not),
        cmocka_unit_test(a_crash_keeps_what_had_returned),
        cmocka_unit_test(state_goes_with_its_stream),
        cmocka_unit_test(a_store_opened_for_reading_shows_state_and_changes_none),
        cmocka_unit_test(values_that_fill_a_frame_are_compacted_too),
        cmocka_unit_test(state_is_encrypted_as_its_stream_is),
        cmocka_unit_test(damage_is_told_and_never_shown),
        cmocka_unit_test(damaged_state_is_verified_and_repaired),
        cmocka_unit_test(a_log_that_no_manifest_names_is_kept_aside),
        cmocka_unit_test(a_backup_has_the_state),
        cmocka_unit_test(nobody_reads_it_as_records),
    };

    return cmocka_run_group_tests_name("engine/test_local_state", tests, NULL, NULL);
}
