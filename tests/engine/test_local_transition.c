/* Streams that are created and deleted with a delay, under failures, deaths and losses of power, with and without
 * others who have the store open. What the states mean is in tests/api/test_transition.c; here they are looked at as
 * stages, of which each is whole: "s" is there, it is DELETING, it is gone and a new "s" is being made. */
#include "support/sim_process.h"

#include "base/status.h"

/* A killed process leaves what the disk in memory was listing. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:memory_list";
}

#define STEPS 2u /* delete "s"; when the time is over, create "s" anew */
#define DELAY_MS 300u

static void begin(process *who, sim_files *sim)
{
    process_begin(who, sim);
    process_hold_clock(who);
}

/* Without its stream. */
static ls_status open_delayed(process *who)
{
    ls_status st = process_open_store(who);

    if (st == LS_OK)
        who->engine->stream_transition_ms = DELAY_MS;
    return st;
}

static sim_files *make_disk(void)
{
    sim_files *sim = sim_files_new();
    process who;

    begin(&who, sim);
    assert_int_equal(open_delayed(&who), LS_OK);
    who.engine->stream_transition_ms = 0;
    assert_int_equal(process_create(&who), LS_OK);
    process_close(&who);
    return sim;
}

static ls_status step(process *who, uint32_t index)
{
    if (index == 0)
        return who->engine->ops->remove(who->engine, "s");
    who->now_us += DELAY_MS * 1000;
    return process_create(who);
}

static void changes(void *user)
{
    process *who = user;

    if (open_delayed(who) == LS_OK)
        process_take_steps(who, STEPS, step);
}

/* How far changes() came. Between its steps there may be none of that name. */
static uint32_t stage_of(process *who)
{
    lsi_stream_info info = {0};
    lsi_engine_stream *stream;
    uint32_t stage;
    ls_status st = who->engine->ops->stream_open(who->engine, "s", &stream);

    if (st == LS_ERR_NOT_FOUND)
        return 1;
    assert_int_equal(st, LS_OK);
    assert_int_equal(who->engine->ops->info(stream, &info), LS_OK);
    assert_int_equal(info.shard_count, 2);
    stage = info.id > 1 ? 2 : info.status == LS_STREAM_DELETING ? 1 : 0;
    assert_int_equal(info.status, stage == 2   ? LS_STREAM_CREATING
                                  : stage == 1 ? LS_STREAM_DELETING
                                               : LS_STREAM_ACTIVE);
    lsi_stream_info_free(&info);
    who->engine->ops->stream_close(stream);
    return stage;
}

static int count_dirs(void *user, const char *name, bool is_dir)
{
    (void)name;
    *(uint32_t *)user += is_dir;
    return 0;
}

/* What is on the disk, looked at by one who comes later and is alone; and that all can still be done, and leaves
 * nothing behind. `now_us`: the time of who was before. */
static uint32_t check_disk(sim_files *sim, int64_t now_us)
{
    uint32_t stage, dirs = 0;
    process who;

    begin(&who, sim);
    who.now_us = now_us;
    assert_int_equal(open_delayed(&who), LS_OK);
    stage = stage_of(&who);
    for (uint32_t i = stage; i < STEPS; i++)
        assert_int_equal(step(&who, i), LS_OK);
    assert_int_equal(stage_of(&who), STEPS);
    assert_int_equal(who.engine->ops->maintain(who.engine, -1), LS_OK);
    assert_int_equal(lsi_local_of(who.engine)->root.files->list(&lsi_local_of(who.engine)->root, "", count_dirs, &dirs),
                     0);
    assert_int_equal(dirs, 1);
    process_close(&who);
    return stage;
}

/* ---- walks ---- */

static void judge(sim_files *sim, const process *who, uint32_t least, uint32_t most)
{
    assert_in_range(check_disk(sim, who->now_us), least, most);
}

static const process_walk the_walk = {begin, changes, judge, STEPS};

static void a_failing_call_is_reported_as_it_is(void **state)
{
    sim_files *start = make_disk();

    (void)state;
    process_walk_failures(&the_walk, start);
    sim_files_free(start);
}

static void a_death_leaves_a_step_done_or_not(void **state)
{
    sim_files *start = make_disk();

    (void)state;
    process_walk_deaths(&the_walk, start);
    sim_files_free(start);
}

static ls_status put_one(process *who, lsi_appender *appender)
{
    ls_put_entry entry = {.partition_key = {"k", 1}, .data = {"d", 1}};
    lsi_append batch = {.entries = &entry, .count = 1};
    lsi_append_result result;
    ls_status st = who->engine->ops->append(appender, 0, &batch, &result);

    return st != LS_OK ? st : who->engine->ops->commit(appender, 0, result.end, LS_DURABILITY_DEFAULT);
}

/* Goal: beside others who have the store open, a death is settled by who comes next; then who puts into a stream that
 * is DELETING finds none, though his shard was at hand. Method: the same kills. */
static void a_death_beside_others_is_settled_by_whoever_comes(void **state)
{
    sim_files *start = make_disk();
    uint32_t stages[STEPS + 1] = {0};
    uint64_t n = 1;

    (void)state;
    for (bool killed = true; killed; n++) {
        sim_files *sim = sim_clone(start);
        lsi_engine_stream *stream;
        lsi_appender *appender;
        process who, beside;
        uint32_t stage;

        begin(&beside, sim);
        assert_int_equal(open_delayed(&beside), LS_OK);
        assert_int_equal(beside.engine->ops->stream_open(beside.engine, "s", &stream), LS_OK);
        assert_int_equal(beside.engine->ops->appender_open(stream, &appender), LS_OK);
        assert_int_equal(put_one(&beside, appender), LS_OK);
        begin(&who, sim);
        sim_fault_add(sim, (sim_fault){.nth = n, .kill = true});
        killed = sim_run(sim, changes, &who);
        sim_memory_bury(&who.memory);
        sim_faults_clear(sim);
        beside.now_us = who.now_us;
        stage = stage_of(&beside);
        assert_true(stage >= process_stage(&who));
        stages[stage]++;
        assert_int_equal(lsi_control_manifest_generation(lsi_local_of(beside.engine)->control) % 2, 0);
        assert_int_equal(put_one(&beside, appender), stage == 0 ? LS_OK : LS_ERR_NOT_FOUND);
        beside.engine->ops->appender_close(appender);
        beside.engine->ops->stream_close(stream);
        for (uint32_t i = stage; i < STEPS; i++)
            assert_int_equal(step(&beside, i), LS_OK);
        process_close(&beside);
        sim_files_free(sim);
        assert_true(n < 3000);
    }
    for (uint32_t i = 0; i <= STEPS; i++)
        assert_true(stages[i] > 0);
    sim_files_free(start);
}

/* Goal: D6. Method: lose power after every change of the disk, in every corner and some random ways. */
static void a_crash_keeps_what_had_returned(void **state)
{
    sim_files *sim = make_disk();
    size_t first = sim_log_count(sim), last;
    process who;

    (void)state;
    begin(&who, sim);
    changes(&who);
    assert_int_equal(process_stage(&who), STEPS);
    last = sim_log_count(sim);
    for (size_t prefix = first; prefix <= last; prefix++)
        for (uint64_t seed = prefix % SIM_STRIDE; seed < SIM_SEED_RANDOM + 2; seed += SIM_STRIDE) {
            sim_files *crashed = sim_crash_state(sim, prefix, seed);
            uint32_t least = 0;

            while (least < STEPS && prefix >= who.returned_at[least])
                least++;
            assert_true(check_disk(crashed, who.now_us) >= least);
            sim_files_free(crashed);
        }
    sim_files_free(sim);
}

/* Goal: a full disk stops no deleting, with a delay neither. */
static void a_full_disk_stops_no_deleting(void **state)
{
    sim_files *sim = make_disk();
    process who;

    (void)state;
    begin(&who, sim);
    assert_int_equal(open_delayed(&who), LS_OK);
    sim_fault_add(sim, (sim_fault){.name = "manifest.new", .nth = 1, .err = ENOSPC});
    assert_int_equal(who.engine->ops->remove(who.engine, "s"), LS_OK);
    assert_true(sim_faults_met(sim) > 0);
    sim_faults_clear(sim);
    assert_int_equal(stage_of(&who), 1);
    who.now_us += DELAY_MS * 1000;
    sim_fault_add(sim, (sim_fault){.name = "manifest.new", .nth = 1, .err = ENOSPC});
    assert_int_equal(who.engine->ops->maintain(who.engine, -1), LS_OK);
    assert_true(sim_faults_met(sim) > 0);
    sim_faults_clear(sim);
    process_close(&who);
    sim_files_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failing_call_is_reported_as_it_is),
        cmocka_unit_test(a_death_leaves_a_step_done_or_not),
        cmocka_unit_test(a_death_beside_others_is_settled_by_whoever_comes),
        cmocka_unit_test(a_crash_keeps_what_had_returned),
        cmocka_unit_test(a_full_disk_stops_no_deleting),
    };

    return cmocka_run_group_tests_name("states of a stream in the local engine", tests, NULL, NULL);
}
