/* Resharding in a store on disk: one durable step under failures, deaths and losses of power, with and without others
 * who have the store open; what is left is removed. What every engine does is in conformance.c. */
#include "support/sim_process.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "base/thread.h"
#include "base/u128.h"

/* A simulated process that is killed while it removes what a listing shows leaves the simulator's copy of the listing,
 * which belongs to nobody. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:memory_list";
}

#define STEPS 2u   /* of reshard() */
#define RECORDS 3u /* in each shard before */
#define DIR_OF_STREAM "1"

/* Appends a record of 20 bytes; `*moved`: the shard is closed. */
static ls_status append(process *who, uint32_t shard, bool *moved)
{
    ls_put_entry entry = {{"key", 3}, {"01234567890123456789", 20}, NULL};
    lsi_append batch = {&entry, NULL, 1, false};
    const lsi_engine_ops *ops = who->engine->ops;
    lsi_append_result result;
    lsi_appender *appender;
    ls_status st = ops->appender_open(who->stream, &appender);

    if (st != LS_OK)
        return st;
    st = ops->append(appender, shard, &batch, &result);
    *moved = st == LS_OK && result.moved;
    if (st == LS_OK && !*moved)
        st = ops->commit(appender, shard, result.end, LS_DURABILITY_DEFAULT);
    ops->appender_close(appender);
    return st;
}

/* How many records the shard has, whether its end comes behind them, and the numbers of the first and the last. */
static uint32_t read_shard(process *who, uint32_t shard, bool *end, ls_seqno *first, ls_seqno *last)
{
    const lsi_engine_ops *ops = who->engine->ops;
    lsi_reader *reader;
    uint32_t count = 0;
    lsi_read page;

    *first = *last = 0;
    assert_int_equal(ops->reader_open(who->stream, shard, false, &reader), LS_OK);
    do {
        assert_int_equal(ops->read(reader, 100, 1 << 20, &page), LS_OK);
        if (page.count > 0) {
            *first = *first != 0 ? *first : page.records[0].seqno;
            *last = page.records[page.count - 1].seqno;
        }
        count += page.count;
    } while (!page.at_tip);
    *end = page.shard_end;
    ops->reader_close(reader);
    return count;
}

/* Two shards with a few records each; the first one has rolled. */
static sim_files *make_disk(ls_durability durability)
{
    sim_files *sim = sim_files_new();
    process who;
    bool moved;

    process_begin(&who, sim);
    who.durability = durability;
    assert_int_equal(process_open_store(&who), LS_OK);
    assert_int_equal(process_create(&who), LS_OK);
    assert_int_equal(who.engine->ops->stream_open(who.engine, "s", &who.stream), LS_OK);
    for (uint32_t i = 0; i < RECORDS; i++) {
        assert_int_equal(append(&who, 0, &moved), LS_OK);
        assert_int_equal(append(&who, 1, &moved), LS_OK);
    }
    process_close(&who);
    return sim;
}

static ls_status split(process *who, uint32_t shard, uint32_t *first)
{
    lsi_stream_info info;
    lsi_reshard_step step = {.shard = shard, .adjacent = LSI_NO_SHARD};
    const lsi_shard *found;
    ls_status st = who->engine->ops->info(who->stream, &info);

    if (st != LS_OK)
        return st;
    found = lsi_shard_find(info.shards, info.shard_count, shard);
    assert_non_null(found);
    step.at = lsi_hash_range_middle(found->range);
    lsi_stream_info_free(&info);
    return who->engine->ops->reshard(who->stream, &step, 1, false, first);
}

static ls_status merge(process *who, uint32_t a, uint32_t b, uint32_t *child)
{
    lsi_reshard_step step = {.shard = a, .adjacent = b};

    return who->engine->ops->reshard(who->stream, &step, 1, false, child);
}

static ls_status step(process *who, uint32_t index)
{
    uint32_t first = 0;
    ls_status st = index == 0 ? split(who, 0, &first) : merge(who, 3, 1, &first);

    assert_true(st != LS_OK || first == (index == 0 ? 2 : 4));
    return st;
}

/* Splits shard 0 and merges its upper child with shard 1, after a put. */
static void reshard(void *user)
{
    process *who = user;
    bool moved;

    if (process_open(who) != LS_OK)
        return;
    who->puts += append(who, 0, &moved) == LS_OK && !moved;
    process_take_steps(who, STEPS, step);
}

/* How far reshard() came, as the store shows it: 0, 1 (split) or 2 (merged too). */
static uint32_t stage_of(process *who)
{
    lsi_stream_info info;
    uint32_t stage;

    assert_int_equal(who->engine->ops->info(who->stream, &info), LS_OK);
    stage = info.shard_count == 2 ? 0 : info.shard_count == 4 ? 1 : 2;
    assert_int_equal(info.shard_count, stage == 0 ? 2 : stage == 1 ? 4 : 5);
    lsi_stream_info_free(&info);
    return stage;
}

/* What must be true of any store on which reshard() ran, however it ended, for one who has it open. Ends with a put
 * into each open shard. `least`, `most`: records in shard 0. */
static uint32_t check_store(process *who, uint32_t least, uint32_t most)
{
    ls_hash_key firsts[8];
    uint32_t indexes[8], open_count, stage = stage_of(who);
    lsi_stream_info info;
    ls_seqno first, last, numbered = 0;
    bool end, moved;

    assert_int_equal(who->engine->ops->info(who->stream, &info), LS_OK);
    assert_int_equal(lsi_route_build(info.shards, info.shard_count, firsts, indexes, &open_count), LS_OK);
    assert_int_equal(open_count, stage == 1 ? 3 : 2);
    for (uint32_t i = 0; i < info.shard_count; i++) {
        const lsi_shard *shard = &info.shards[i];
        uint32_t count = read_shard(who, i, &end, &first, &last);

        assert_int_equal(shard->index, i);
        if (i < 2)
            assert_in_range(count, i == 0 ? least : RECORDS, i == 0 ? most : RECORDS);
        else
            assert_int_equal(count, 0);
        assert_int_equal(end, shard->closed);
        assert_true(!shard->closed || (last <= shard->last_seqno && shard->closed_us >= shard->created_us - 1000000));
        if (shard->parent != LSI_NO_SHARD)
            assert_true(shard->first_seqno > info.shards[shard->parent].last_seqno &&
                        info.shards[shard->parent].closed);
        if (shard->adjacent_parent != LSI_NO_SHARD)
            assert_true(shard->first_seqno > info.shards[shard->adjacent_parent].last_seqno);
    }
    for (uint32_t i = 0; i < info.shard_count; i++) {
        assert_int_equal(append(who, i, &moved), LS_OK);
        assert_int_equal(moved, info.shards[i].closed);
        assert_int_equal(read_shard(who, i, &end, &first, &last) > 0, i < 2 || !moved);
        assert_true(moved || last > numbered || info.shards[i].parent == LSI_NO_SHARD);
        numbered = moved ? last : numbered;
        assert_true(moved || last >= info.shards[i].first_seqno);
    }
    lsi_stream_info_free(&info);
    return stage;
}

static int note_dir(void *user, const char *entry, bool is_dir)
{
    uint32_t *count = user;

    (void)entry;
    *count += is_dir;
    return 0;
}

/* The disk, looked at by one who comes later and is alone: as check_store(), everything can still be done, and upkeep
 * leaves a directory per shard and no other. */
static uint32_t check_disk(sim_files *sim, uint32_t least, uint32_t most)
{
    uint32_t stage, first, dirs = 0;
    process who;

    process_begin(&who, sim);
    who.durability = LS_DURABILITY_DEFAULT;
    assert_int_equal(process_open(&who), LS_OK);
    stage = check_store(&who, least, most);
    assert_int_equal(who.engine->ops->maintain(who.engine, -1), LS_OK);
    assert_int_equal(sim_files_table(sim)->list(&lsi_local_of(who.engine)->root, DIR_OF_STREAM, note_dir, &dirs), 0);
    assert_int_equal(dirs, 2 + stage * 2 - (stage == 2));
    if (stage == 0)
        assert_int_equal(split(&who, 0, &first), LS_OK);
    if (stage <= 1)
        assert_int_equal(merge(&who, 3, 1, &first), LS_OK);
    assert_int_equal(stage_of(&who), 2);
    assert_int_equal(split(&who, 4, &first), LS_OK);
    assert_int_equal(first, 5);
    process_close(&who);
    return stage;
}

/* ---- walks ---- */

static void judge(sim_files *sim, const process *who, uint32_t least, uint32_t most)
{
    /* A failed sync leaves the shard refusing puts (E1): that is not what is asked here. */
    process after;
    lsi_shard_state about;

    process_begin(&after, sim);
    assert_int_equal(process_open(&after), LS_OK);
    for (uint32_t i = 0; i < 5; i++)
        if (after.engine->ops->shard_state(after.stream, i, &about) == LS_OK && about.health != LS_OK)
            assert_int_equal(after.engine->ops->reset_shard(after.stream, i), LS_OK);
    process_close(&after);
    assert_in_range(check_disk(sim, RECORDS + who->puts, RECORDS + 1), least, most);
}

static const process_walk the_walk = {process_begin, reshard, judge, STEPS};

static void a_failing_call_is_reported_as_it_is(void **state)
{
    sim_files *start = make_disk(LS_DURABILITY_SYNC);

    (void)state;
    process_walk_failures(&the_walk, start);
    sim_files_free(start);
}

/* L5 */
static void a_death_leaves_a_step_done_or_not(void **state)
{
    sim_files *start = make_disk(LS_DURABILITY_SYNC);

    (void)state;
    process_walk_deaths(&the_walk, start);
    sim_files_free(start);
}

static int64_t monotonic_ms(void)
{
    return lsi_monotonic_us(&lsi_clock_system) / 1000;
}

/* Goal: the next one finishes or undoes within a second, be it a producer with the old shards in its hands, one who
 * waits for records, or another resharder. Method: the same kills while others have the store open. */
static void a_death_beside_others_is_settled_by_whoever_comes(void **state)
{
    sim_files *start = make_disk(LS_DURABILITY_SYNC);
    uint32_t stages[3] = {0, 0, 0};
    uint64_t n = 1;

    (void)state;
    for (bool killed = true; killed; n++) {
        sim_files *sim = sim_clone(start);
        process who, beside;
        lsi_reader *reader;
        int64_t from;
        bool moved, end = false;
        lsi_read page;
        uint32_t first;

        process_begin(&beside, sim);
        assert_int_equal(process_open(&beside), LS_OK);
        assert_int_equal(append(&beside, 0, &moved), LS_OK); /* it has the shards, and the log open */
        assert_int_equal(append(&beside, 1, &moved), LS_OK);
        assert_int_equal(beside.engine->ops->reader_open(beside.stream, 0, false, &reader), LS_OK);
        process_begin(&who, sim);
        sim_fault_add(sim, (sim_fault){.nth = n, .kill = true});
        killed = sim_run(sim, reshard, &who);
        sim_memory_bury(&who.memory);
        sim_faults_clear(sim);
        from = monotonic_ms();
        switch (n % 3) {
        case 0: /* a producer */
            assert_int_equal(append(&beside, 0, &moved), LS_OK);
            if (moved) /* by now it is known */
                assert_int_equal(append(&beside, 0, &moved), LS_OK);
            assert_int_equal(moved, stage_of(&beside) > 0);
            break;
        case 1: /* a reader, who never asks for the lock */
            for (int i = 0; i < 4 && !end; i++) {
                uint32_t token = beside.engine->ops->arm(beside.stream, 0);

                assert_int_equal(beside.engine->ops->read(reader, 100, 1 << 20, &page), LS_OK);
                end = page.shard_end;
                if (page.count == 0 && !end)
                    (void)beside.engine->ops->sleep(beside.stream, 0, token, 1000);
            }
            assert_int_equal(end, stage_of(&beside) > 0);
            break;
        default: /* a resharder */
            if (stage_of(&beside) == 0)
                assert_int_equal(split(&beside, 0, &first), LS_OK);
            if (stage_of(&beside) == 1)
                assert_int_equal(merge(&beside, 3, 1, &first), LS_OK);
            break;
        }
        assert_in_range(monotonic_ms() - from, 0, 1000);
        assert_int_equal(lsi_control_manifest_generation(lsi_local_of(beside.engine)->control) % 2, 0);
        beside.engine->ops->reader_close(reader);
        stages[stage_of(&beside)]++;
        process_close(&beside);
        sim_files_free(sim);
        assert_true(n < 3000);
    }
    assert_true(stages[0] > 10 && stages[1] > 10 && stages[2] > 3);
    sim_files_free(start);
}

/* Goal: D6, S9. Method: lose power after every change of the disk, in every corner and some random ways, in each mode;
 * what had returned by then is so, and what was in a parent when it was closed is there, in every mode. */
static void a_crash_keeps_what_had_returned(void **state)
{
    (void)state;
    for (ls_durability durability = LS_DURABILITY_KERNEL; durability <= LS_DURABILITY_SYNC; durability += 2) {
        sim_files *sim = make_disk(durability);
        size_t first = sim_log_count(sim), last;
        process who;

        process_begin(&who, sim);
        who.durability = durability;
        reshard(&who);
        assert_int_equal(who.answers[1], LS_OK);
        last = sim_log_count(sim);
        for (size_t prefix = first; prefix <= last; prefix++)
            for (uint64_t seed = prefix % SIM_STRIDE; seed < SIM_SEED_RANDOM + 2; seed += SIM_STRIDE) {
                sim_files *crashed = sim_crash_state(sim, prefix, seed);
                uint32_t stage, closed = prefix >= who.returned_at[0] ? who.puts : 0;

                stage = check_disk(crashed, RECORDS + closed, RECORDS + 1);
                assert_true(stage >= (prefix >= who.returned_at[1] ? 2u : prefix >= who.returned_at[0] ? 1u : 0u));
                sim_files_free(crashed);
            }
        sim_files_free(sim);
    }
}

/* ---- what is left ---- */

static bool is_there(sim_files *sim, const lsi_root *root, const char *name)
{
    lsi_file file = {0};

    if (sim_files_table(sim)->open(root, name, 0, &file) != 0)
        return false;
    (void)sim_files_table(sim)->close(&file);
    return true;
}

static void make_file(sim_files *sim, const lsi_root *root, const char *dir, const char *name, size_t bytes)
{
    const lsi_files *files = sim_files_table(sim);
    lsi_file file = {0};
    char *zeros = calloc(1, bytes + 1);

    (void)files->make_dir(root, dir);
    assert_int_equal(files->open(root, name, LSI_OPEN_WRITE | LSI_OPEN_CREATE, &file), 0);
    assert_int_equal(lsi_file_write_one(&file, zeros, bytes, 0), 0);
    assert_int_equal(files->close(&file), 0);
    free(zeros);
}

static int note_aside(void *user, const char *entry, bool is_dir)
{
    char *found = user;

    if (is_dir && strncmp(entry, "aside-", 6) == 0)
        (void)snprintf(found, 64, "1/%s/00000001.seg", entry);
    return 0;
}

/* Goal: L7. Method: an empty log of a shard that was never named is removed, by upkeep as by the one who needs the
 * index; one with records is of another manifest and is kept aside; other names are left alone. */
static void unnamed_shards_are_removed_or_set_aside(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_SYNC);
    char aside[64] = "";
    const lsi_root *root;
    process who;
    uint32_t first;

    (void)state;
    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    root = &lsi_local_of(who.engine)->root;
    make_file(sim, root, "1/2", "1/2/00000001.seg", 4096);
    make_file(sim, root, "1/5", "1/5/segments.new", 7);
    make_file(sim, root, "1/notes", "1/notes/00000001.seg", 10);
    make_file(sim, root, "1/007", "1/007/00000001.seg", 10);
    make_file(sim, root, "1/3", "1/3/00000001.seg", 5000);
    assert_int_equal(split(&who, 0, &first), LS_OK); /* 2 and 3 */
    assert_int_equal(who.engine->ops->maintain(who.engine, -1), LS_OK);
    assert_false(is_there(sim, root, "1/5/segments.new"));
    assert_true(is_there(sim, root, "1/notes/00000001.seg"));
    assert_true(is_there(sim, root, "1/007/00000001.seg"));
    assert_int_equal(sim_files_table(sim)->list(root, "1", note_aside, aside), 0);
    assert_int_equal(strncmp(aside, "1/aside-3-", 10), 0);
    assert_true(is_there(sim, root, aside));
    assert_int_equal(check_store(&who, RECORDS, RECORDS), 1);
    make_file(sim, root, "1/9", "1/9/00000002.seg", 10); /* another segment: it was used */
    assert_int_equal(who.engine->ops->maintain(who.engine, -1), LS_OK);
    assert_int_equal(sim_files_table(sim)->list(root, "1", note_aside, aside), 0);
    assert_false(is_there(sim, root, "1/9/00000002.seg"));
    process_close(&who);
    sim_files_free(sim);
}

/* ---- while others put ---- */

typedef struct putter {
    process *of;
    _Atomic int stop;
    uint32_t puts;
    ls_status st;
} putter;

/* Puts into the one shard that has the highest keys, wherever that is by now. */
static void put_until_stopped(void *user)
{
    putter *who = user;
    uint32_t shard = 1;

    while (who->st == LS_OK && atomic_load(&who->stop) == 0) {
        bool moved = false;

        who->st = append(who->of, shard, &moved);
        if (moved)
            shard = shard == 1 ? 3 : shard + 2; /* the upper child: indexes are given in order */
        else
            who->puts += who->st == LS_OK;
    }
}

/* Goal: no put fails or is lost for a reshard. Method: two threads put into the upper shard, which is split again and
 * again; everything is there, and no record is in a child before its parent was closed. */
static void puts_go_on_while_shards_are_split(void **state)
{
    sim_files *sim = make_disk(LS_DURABILITY_KERNEL);
    lsi_thread threads[2] = {{0}};
    putter putters[2];
    process who;
    uint32_t total = RECORDS, got = 0, shard = 1;

    (void)state;
    process_begin(&who, sim);
    who.env.memory = lsi_memory_libc; /* sim_memory is for one thread */
    who.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(process_open(&who), LS_OK);
    for (int i = 0; i < 2; i++) {
        putters[i] = (putter){.of = &who, .st = LS_OK};
        assert_int_equal(lsi_thread_start(&threads[i], "putter", put_until_stopped, &putters[i]), 0);
    }
    for (int i = 0; i < 20; i++) {
        uint32_t first;

        assert_int_equal(split(&who, shard, &first), LS_OK);
        shard = first + 1;
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&putters[i].stop, 1);
        lsi_thread_join(&threads[i]);
        assert_int_equal(putters[i].st, LS_OK);
        total += putters[i].puts;
    }
    shard = 1;
    for (ls_seqno before = 0;;) {
        ls_seqno first, last;
        bool end;
        uint32_t count = read_shard(&who, shard, &end, &first, &last);

        assert_true(count == 0 || first > before);
        before = count > 0 ? last : before;
        got += count;
        if (!end)
            break;
        shard = shard == 1 ? 3 : shard + 2;
    }
    assert_int_equal(got, total);
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
        cmocka_unit_test(unnamed_shards_are_removed_or_set_aside),
        cmocka_unit_test(puts_go_on_while_shards_are_split),
    };
    int failed = cmocka_run_group_tests_name("resharding on disk", tests, NULL, NULL);

    lsi_boot_id_pretend(NULL);
    return failed;
}
