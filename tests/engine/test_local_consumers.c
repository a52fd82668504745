/* Registered consumers in a store on disk: registering and deregistering under failures, deaths and losses of power,
 * with and without others who have the store open; and who holds a subscription. */
#include "support/sim_process.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"

#define STEPS 4u /* of changes(): nobody, a, a and b, b and c again */
static const char *const states[STEPS + 1] = {"", "a", "a b", "b", "b c"};

static void begin(process *who, sim_files *sim)
{
    process_begin(who, sim);
    process_hold_clock(who);
}

static sim_files *make_disk(ls_durability durability)
{
    sim_files *sim = sim_files_new();
    process who;

    begin(&who, sim);
    who.durability = durability;
    assert_int_equal(process_open_store(&who), LS_OK);
    assert_int_equal(process_create(&who), LS_OK);
    assert_int_equal(who.engine->ops->stream_open(who.engine, "s", &who.stream), LS_OK);
    process_close(&who);
    return sim;
}

static ls_status register_one(process *who, const char *name, lsi_consumer *out)
{
    return who->engine->ops->register_consumer(who->stream, name, out);
}

static bool join_name(void *user, const lsi_consumer *consumer)
{
    char *text = user;

    strcat(text, *text != '\0' ? " " : "");
    strcat(text, consumer->name);
    return true;
}

/* How far changes() came. */
static uint32_t stage_of(process *who)
{
    char text[1024] = "";

    assert_int_equal(who->engine->ops->consumers(who->stream, join_name, text), LS_OK);
    for (uint32_t i = 0; i <= STEPS; i++)
        if (strcmp(text, states[i]) == 0)
            return i;
    fail_msg("the consumers are '%s'", text);
    return 0;
}

static ls_status step(process *who, uint32_t index)
{
    lsi_consumer made;

    switch (index) {
    case 0:
        return register_one(who, "a", &made);
    case 1:
        return register_one(who, "b", &made);
    case 2:
        return who->engine->ops->deregister_consumer(who->stream, "a");
    default:
        return register_one(who, "c", &made);
    }
}

/* Registers and deregisters, until a call fails. */
static void changes(void *user)
{
    process *who = user;

    if (process_open(who) == LS_OK)
        process_take_steps(who, STEPS, step);
}

/* What is on the disk, looked at by one who comes later and is alone; and that all can still be done. */
static uint32_t check_disk(sim_files *sim)
{
    lsi_consumer made, before = {0};
    uint32_t stage;
    process who;

    begin(&who, sim);
    who.durability = LS_DURABILITY_DEFAULT;
    assert_int_equal(process_open(&who), LS_OK);
    stage = stage_of(&who);
    for (uint32_t i = stage; i < STEPS; i++)
        assert_int_equal(step(&who, i), LS_OK);
    assert_int_equal(stage_of(&who), STEPS);
    for (char name[] = "d"; *name < 'g'; ++*name) { /* Ids rise, whatever had been given. */
        assert_int_equal(register_one(&who, name, &made), LS_OK);
        assert_true(made.id > before.id && made.id >= 3);
        before = made;
    }
    process_close(&who);
    return stage;
}

/* ---- walks ---- */

static void judge(sim_files *sim, const process *who, uint32_t least, uint32_t most)
{
    (void)who;
    assert_in_range(check_disk(sim), least, most);
}

static const process_walk the_walk = {begin, changes, judge, STEPS};

static void a_failing_call_is_reported_as_it_is(void **state)
{
    sim_files *start = make_disk(LS_DURABILITY_SYNC);

    (void)state;
    process_walk_failures(&the_walk, start);
    sim_files_free(start);
}

/* Goal: deregistering goes on when the disk is full. Method: every call that takes space fails for good, until the
 * reserve is given up. */
static void a_full_disk_stops_registering_alone(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    lsi_consumer made;
    process who;

    (void)state;
    begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    assert_int_equal(register_one(&who, "a", &made), LS_OK);
    assert_int_equal(register_one(&who, "b", &made), LS_OK);
    for (int tries = 0; tries < 2; tries++) {
        sim_fault_add(sim, (sim_fault){.name = "manifest.new", .nth = 1, .err = ENOSPC});
        if (tries == 0)
            assert_int_equal(register_one(&who, "c", &made), LS_ERR_FULL);
        else
            assert_int_equal(who.engine->ops->deregister_consumer(who.stream, "a"), LS_OK);
        assert_true(sim_faults_met(sim) > 0);
        sim_faults_clear(sim);
        assert_int_equal(stage_of(&who), tries == 0 ? 2 : 3);
    }
    process_close(&who);
    sim_files_free(sim);
}

static void a_death_leaves_a_step_done_or_not(void **state)
{
    sim_files *start = make_disk(LS_DURABILITY_SYNC);

    (void)state;
    process_walk_deaths(&the_walk, start);
    sim_files_free(start);
}

/* Goal: beside others who have the store open, a death is settled by who comes next: another who registers, or one who
 * subscribes, whose consumer is gone if the deregistering was done. Method: the same kills. */
static void a_death_beside_others_is_settled_by_whoever_comes(void **state)
{
    sim_files *start = make_disk(LS_DURABILITY_SYNC);
    uint32_t stages[STEPS + 1] = {0};
    uint64_t n = 1;

    (void)state;
    for (bool killed = true; killed; n++) {
        sim_files *sim = sim_clone(start);
        process who, beside;
        lsi_consumer made;
        uint32_t stage;

        begin(&beside, sim);
        assert_int_equal(process_open(&beside), LS_OK);
        begin(&who, sim);
        sim_fault_add(sim, (sim_fault){.nth = n, .kill = true});
        killed = sim_run(sim, changes, &who);
        sim_memory_bury(&who.memory);
        sim_faults_clear(sim);
        if (n % 2 == 0) {
            assert_int_equal(register_one(&beside, "z", &made), LS_OK);
            assert_int_equal(beside.engine->ops->deregister_consumer(beside.stream, "z"), LS_OK);
            assert_int_equal(lsi_control_manifest_generation(lsi_local_of(beside.engine)->control) % 2, 0);
        }
        stage = stage_of(&beside);
        assert_true(stage >= process_stage(&who));
        stages[stage]++;
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

/* Goal: D6. Method: lose power after every change of the disk, in every corner and some random ways, in each mode. */
static void a_crash_keeps_what_had_returned(void **state)
{
    (void)state;
    for (ls_durability durability = LS_DURABILITY_KERNEL; durability <= LS_DURABILITY_SYNC; durability += 2) {
        sim_files *sim = make_disk(durability);
        size_t first = sim_log_count(sim), last;
        process who;

        begin(&who, sim);
        who.durability = durability;
        changes(&who);
        assert_int_equal(process_stage(&who), STEPS);
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

/* ---- delays ---- */

static ls_consumer_status status_of(process *who, const char *name)
{
    lsi_catalog *catalog;
    const lsi_catalog_stream *stream;
    ls_consumer_status found = 0;

    assert_int_equal(lsi_local_catalog(lsi_local_of(who->engine), &catalog), LS_OK);
    stream = lsi_catalog_find(catalog, "s");
    for (uint32_t i = 0; i < stream->consumer_count; i++)
        if (strcmp(stream->consumers[i].name, name) == 0)
            found = stream->consumers[i].status;
    lsi_catalog_unref(catalog);
    return found;
}

static bool note_status(void *user, const lsi_consumer *consumer)
{
    *(ls_consumer_status *)user = consumer->status;
    return false;
}

static ls_consumer_status shown(process *who)
{
    ls_consumer_status status = 0;

    assert_int_equal(who->engine->ops->consumers(who->stream, note_status, &status), LS_OK);
    return status;
}

static void with_a_delay_a_consumer_is_created_and_deleted_in_time(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    const lsi_engine_ops *ops;
    lsi_consumer made, more;
    lsi_hold hold = {0};
    process who;

    (void)state;
    begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    ops = who.engine->ops;
    who.engine->transition_ms = 300;
    assert_int_equal(register_one(&who, "a", &made), LS_OK);
    assert_int_equal(made.status, LS_CONSUMER_CREATING);
    who.now_us += 299999;
    assert_int_equal(shown(&who), LS_CONSUMER_CREATING);
    assert_int_equal(ops->hold(who.stream, &made, 0, false, &hold), LS_ERR_STATE);
    who.now_us++;
    assert_int_equal(shown(&who), LS_CONSUMER_ACTIVE);
    assert_int_equal(ops->hold(who.stream, &made, 0, false, &hold), LS_OK);
    assert_int_equal(ops->deregister_consumer(who.stream, "a"), LS_OK);
    assert_int_equal(ops->hold_check(who.stream, &made, 0, &hold), LS_ERR_NOT_FOUND);
    assert_int_equal(shown(&who), LS_CONSUMER_DELETING);
    assert_int_equal(ops->hold(who.stream, &made, 0, false, &hold), LS_ERR_NOT_FOUND);
    assert_int_equal(ops->deregister_consumer(who.stream, "a"), LS_ERR_STATE);
    assert_int_equal(register_one(&who, "a", &more), LS_ERR_EXISTS);
    who.now_us += 300000;
    assert_int_equal(shown(&who), 0);
    assert_int_equal(ops->deregister_consumer(who.stream, "a"), LS_ERR_NOT_FOUND);
    assert_int_equal(status_of(&who, "a"), LS_CONSUMER_DELETING); /* in the manifest, until it is written again */
    assert_int_equal(register_one(&who, "a", &more), LS_OK);
    assert_true(more.id > made.id);
    /* No more than 5 at a time. */
    for (char name[] = "b"; *name < 'f'; ++*name)
        assert_int_equal(register_one(&who, name, &more), LS_OK);
    assert_int_equal(register_one(&who, "f", &more), LS_ERR_STATE);
    who.now_us += 300000;
    assert_int_equal(register_one(&who, "f", &more), LS_OK);
    process_close(&who);
    sim_files_free(sim);
}

/* ---- holds ---- */

/* Two processes with one machine's clock. */
static void both_at(process *a, process *b, int64_t us)
{
    a->now_us = b->now_us = us;
}

static void a_hold_is_one_for_all_processes(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    int64_t now = INT64_C(1700000000000000);
    const lsi_engine_ops *ops;
    lsi_consumer made, other;
    lsi_hold one = {0}, two = {0}, third = {0};
    process a, b;

    (void)state;
    begin(&a, sim);
    begin(&b, sim);
    assert_int_equal(process_open(&a), LS_OK);
    assert_int_equal(process_open(&b), LS_OK);
    ops = a.engine->ops;
    assert_int_equal(register_one(&a, "a", &made), LS_OK);
    assert_int_equal(register_one(&a, "b", &other), LS_OK);
    assert_int_equal(ops->hold(a.stream, &made, 0, false, &one), LS_OK);
    assert_int_equal(ops->hold(b.stream, &made, 0, false, &two), LS_ERR_STATE);
    assert_int_equal(ops->hold(b.stream, &made, 1, false, &two), LS_OK);   /* another shard */
    assert_int_equal(ops->hold(b.stream, &other, 0, false, &third), LS_OK); /* another consumer */
    assert_int_equal(ops->hold_check(a.stream, &made, 0, &one), LS_OK);
    ops->hold_end(b.stream, &two);
    assert_int_equal(ops->hold(a.stream, &made, 1, false, &two), LS_OK); /* it has ended */
    /* Over its time it is taken over, and its end ends nothing of the next one's. */
    both_at(&a, &b, now + LSI_HOLD_MS * 1000 - 1000);
    assert_int_equal(ops->hold(b.stream, &made, 0, false, &two), LS_ERR_STATE);
    both_at(&a, &b, now + LSI_HOLD_MS * 1000);
    assert_int_equal(ops->hold(b.stream, &made, 0, false, &two), LS_OK);
    assert_int_equal(ops->hold_check(a.stream, &made, 0, &one), LS_ERR_LEASE_LOST);
    ops->hold_end(a.stream, &one);
    assert_int_equal(ops->hold_check(b.stream, &made, 0, &two), LS_OK);
    /* 49.7 days later the time is the same in 32 bits: it waits its 5 seconds once. */
    both_at(&a, &b, now + LSI_HOLD_MS * 1000 + (INT64_C(1) << 32) * 1000 + 4999000);
    assert_int_equal(ops->hold(a.stream, &made, 0, false, &one), LS_ERR_STATE);
    both_at(&a, &b, now + LSI_HOLD_MS * 1000 + (INT64_C(1) << 32) * 1000 + 5000000);
    assert_int_equal(ops->hold(a.stream, &made, 0, false, &one), LS_OK);
    /* Deregistering ends those of all processes, and nobody begins one any more. */
    assert_int_equal(ops->deregister_consumer(b.stream, "a"), LS_OK);
    assert_int_equal(ops->hold_check(a.stream, &made, 0, &one), LS_ERR_NOT_FOUND);
    assert_int_equal(ops->hold(a.stream, &made, 0, false, &two), LS_ERR_NOT_FOUND);
    assert_int_equal(ops->hold_check(b.stream, &other, 0, &third), LS_OK);
    process_close(&a);
    process_close(&b);
    sim_files_free(sim);
}

typedef struct holder {
    process of;
    lsi_consumer consumer;
    ls_status st;
} holder;

static void hold_and_die(void *user)
{
    holder *who = user;
    lsi_hold hold;

    if (process_open(&who->of) == LS_OK)
        who->st = who->of.engine->ops->hold(who->of.stream, &who->consumer, 0, false, &hold);
    sim_kill_here();
}

/* Goal: P6. Who died makes room at once, also when his place in the table of processes is another's by now. */
static void a_hold_ends_with_its_process(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    lsi_hold hold = {0};
    holder dead = {.st = -1};
    process beside, late;

    (void)state;
    begin(&beside, sim);
    assert_int_equal(process_open(&beside), LS_OK);
    assert_int_equal(register_one(&beside, "a", &dead.consumer), LS_OK);
    for (int reused = 0; reused < 2; reused++) {
        begin(&dead.of, sim);
        dead.st = -1;
        assert_true(sim_run(sim, hold_and_die, &dead));
        sim_memory_bury(&dead.of.memory);
        assert_int_equal(dead.st, LS_OK);
        if (reused) {
            begin(&late, sim);
            assert_int_equal(process_open(&late), LS_OK);
        }
        assert_int_equal(beside.engine->ops->hold(beside.stream, &dead.consumer, 0, false, &hold), LS_OK);
        beside.engine->ops->hold_end(beside.stream, &hold);
    }
    process_close(&late);
    process_close(&beside);
    sim_files_free(sim);
}

/* Goal: P10. Whatever the word holds, nobody waits for longer than a hold lasts, and nothing else goes wrong. */
static void garbage_in_the_word_delays_no_longer_than_a_hold(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    uint64_t random = 1;
    lsi_consumer made;
    lsi_hold hold = {0};
    process who;

    (void)state;
    begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    assert_int_equal(register_one(&who, "a", &made), LS_OK);
    assert_int_equal(who.engine->ops->hold(who.stream, &made, 0, false, &hold), LS_OK);
    for (int i = 0; i < 20000; i++) {
        ls_status st;

        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        atomic_store(&hold.budget[LSI_BUDGET_HOLDER], random ^ random >> 29);
        st = who.engine->ops->hold(who.stream, &made, 0, false, &hold);
        if (st == LS_ERR_STATE) {
            who.now_us += LSI_HOLD_MS * 1000;
            st = who.engine->ops->hold(who.stream, &made, 0, false, &hold);
        }
        assert_int_equal(st, LS_OK);
        assert_int_equal(who.engine->ops->hold_check(who.stream, &made, 0, &hold), LS_OK);
    }
    process_close(&who);
    sim_files_free(sim);
}

/* Goal: slots of consumers do not pile up. Method: register, hold, deregister, more often than there are slots in a new
 * control file, which stays as large as it was. */
static void slots_of_consumers_that_are_gone_are_free(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    lsi_file file = {0};
    uint64_t bytes = 0;
    process who;

    (void)state;
    for (int round = 0; round < 40; round++) {
        lsi_consumer made;
        lsi_hold hold = {0};

        begin(&who, sim); /* Slots are used again after somebody was alone. */
        assert_int_equal(process_open(&who), LS_OK);
        assert_int_equal(register_one(&who, "a", &made), LS_OK);
        assert_int_equal(who.engine->ops->hold(who.stream, &made, 0, false, &hold), LS_OK);
        assert_int_equal(who.engine->ops->hold(who.stream, &made, 1, false, &hold), LS_OK);
        assert_int_equal(who.engine->ops->deregister_consumer(who.stream, "a"), LS_OK);
        if (round < 39)
            process_close(&who);
    }
    assert_int_equal(sim_files_table(sim)->open(&lsi_local_of(who.engine)->root, LSI_CONTROL_NAME, 0, &file), 0);
    assert_int_equal(sim_files_table(sim)->size(&file, &bytes), 0);
    assert_int_equal(sim_files_table(sim)->close(&file), 0);
    assert_int_equal(bytes, (32 + 16) << 10);
    process_close(&who);
    sim_files_free(sim);
}

/* Goal: a disk that is full when the control file has to grow refuses the first subscription, and no other. */
static void no_room_in_the_control_file_refuses_a_first_hold(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    lsi_consumer made[10];
    lsi_hold hold = {0};
    ls_status st = LS_OK;
    uint32_t held = 0;
    process who;

    (void)state;
    begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    for (uint32_t i = 0; i < 10; i++) {
        char name[] = {(char)('a' + i), '\0'};

        assert_int_equal(register_one(&who, name, &made[i]), LS_OK);
    }
    sim_fault_add(sim, (sim_fault){.name = LSI_CONTROL_NAME, .nth = 1, .err = ENOSPC, .sticky = true});
    while (held < 20) {
        st = who.engine->ops->hold(who.stream, &made[held / 2], held % 2, false, &hold);
        if (st != LS_OK)
            break;
        held++;
    }
    assert_int_equal(st, LS_ERR_FULL);
    assert_in_range(held, 1, 16);
    who.engine->ops->hold_end(who.stream, &hold);
    assert_int_equal(who.engine->ops->hold(who.stream, &made[(held - 1) / 2], (held - 1) % 2, false, &hold), LS_OK);
    sim_faults_clear(sim);
    assert_int_equal(who.engine->ops->hold(who.stream, &made[held / 2], held % 2, false, &hold), LS_OK);
    process_close(&who);
    sim_files_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failing_call_is_reported_as_it_is),
        cmocka_unit_test(a_full_disk_stops_registering_alone),
        cmocka_unit_test(a_death_leaves_a_step_done_or_not),
        cmocka_unit_test(a_death_beside_others_is_settled_by_whoever_comes),
        cmocka_unit_test(a_crash_keeps_what_had_returned),
        cmocka_unit_test(with_a_delay_a_consumer_is_created_and_deleted_in_time),
        cmocka_unit_test(a_hold_is_one_for_all_processes),
        cmocka_unit_test(a_hold_ends_with_its_process),
        cmocka_unit_test(garbage_in_the_word_delays_no_longer_than_a_hold),
        cmocka_unit_test(slots_of_consumers_that_are_gone_are_free),
        cmocka_unit_test(no_room_in_the_control_file_refuses_a_first_hold),
    };

    return cmocka_run_group_tests_name("consumers on disk", tests, NULL, NULL);
}
