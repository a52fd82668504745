/* Compressing sealed segments (storage/recompress.c) under failures, deaths and losses of power. Method: a shard of
 * some segments on the simulated disk; each file call and each allocation of a recompression fails, kills, or is the
 * last one before the power goes. Whatever happened, all records are there as they were, and it can be done again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "engine/engine.h"
#include "engine/local/local.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

/* A killed process leaves what the disk in memory was listing. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:memory_list";
}

#define RECORDS 100u
#define DATA_BYTES 2000u /* 30 to a segment of 64 KiB */

typedef struct process {
    sim_files *sim;
    sim_memory memory;
    lsi_env env;
    lsi_engine *engine;
    lsi_engine_stream *stream;
    ls_status answer;
    uint64_t saved;
} process;

static int64_t now_of(void *user)
{
    (void)user;
    return INT64_C(1700000000000000);
}

static void process_begin(process *who, sim_files *sim)
{
    memset(who, 0, sizeof *who);
    who->sim = sim;
    who->memory = (sim_memory)SIM_MEMORY_INIT;
    who->answer = -1;
    lsi_env_default(&who->env);
    who->env.files = sim_files_table(sim);
    who->env.memory = sim_memory_table(&who->memory);
    who->env.clock = (lsi_clock){.wall_us = now_of, .monotonic_us = now_of};
    who->env.busy_timeout_ms = 3000;
}

static ls_status process_open(process *who)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_status st;

    options.segment_bytes = 64 << 10;
    st = lsi_local_open("store", &options, &who->env, &who->engine);
    if (st != LS_OK)
        return st;
    st = who->engine->ops->stream_open(who->engine, "s", &who->stream);
    if (st == LS_OK)
        return LS_OK;
    (void)who->engine->ops->close(who->engine);
    who->engine = NULL;
    return st;
}

static void process_close(process *who)
{
    who->engine->ops->stream_close(who->stream);
    assert_int_equal(who->engine->ops->close(who->engine), LS_OK);
    assert_int_equal(who->memory.live, 0);
}

/* Record `i`'s data: text that gets smaller. */
static void data_of(uint32_t i, char data[DATA_BYTES])
{
    for (uint32_t at = 0; at < DATA_BYTES; at += 20)
        (void)snprintf(data + at, 20, "{\"field\": %08u}", i + at);
}

static sim_files *make_disk(void)
{
    lsi_stream_spec spec = {.name = "s", .shard_count = 1, .retention_hours = 24, .record_bytes_max = 1 << 20};
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    sim_files *sim = sim_files_new();
    char data[DATA_BYTES] = {0};
    lsi_appender *appender;
    process who;

    process_begin(&who, sim);
    options.segment_bytes = 64 << 10;
    assert_int_equal(lsi_local_open("store", &options, &who.env, &who.engine), LS_OK);
    assert_int_equal(who.engine->ops->create(who.engine, &spec), LS_OK);
    assert_int_equal(who.engine->ops->stream_open(who.engine, "s", &who.stream), LS_OK);
    assert_int_equal(who.engine->ops->appender_open(who.stream, &appender), LS_OK);
    for (uint32_t i = 0; i < RECORDS; i++) {
        ls_put_entry entry = {.partition_key = {"key", 3}, .data = {data, DATA_BYTES}};
        lsi_append batch = {.entries = &entry, .count = 1};
        lsi_append_result result;

        data_of(i, data);
        assert_int_equal(who.engine->ops->append(appender, 0, &batch, &result), LS_OK);
        assert_int_equal(who.engine->ops->commit(appender, 0, result.end, LS_DURABILITY_DEFAULT), LS_OK);
    }
    who.engine->ops->appender_close(appender);
    process_close(&who);
    return sim;
}

static void assert_all_is_there(process *who)
{
    const lsi_engine_ops *ops = who->engine->ops;
    ls_position first = {LS_TRIM_HORIZON, 0, 0, 0};
    char data[DATA_BYTES] = {0};
    lsi_reader *reader;
    uint32_t count = 0;
    lsi_read read;

    assert_int_equal(ops->reader_open(who->stream, 0, 0, &reader), LS_OK);
    assert_int_equal(ops->seek(reader, &first), LS_OK);
    do {
        assert_int_equal(ops->read(reader, 7, 1 << 20, &read), LS_OK);
        for (uint32_t i = 0; i < read.count; i++, count++) {
            data_of(count, data);
            assert_int_equal(read.records[i].data.size, DATA_BYTES);
            assert_memory_equal(read.records[i].data.data, data, DATA_BYTES);
            assert_int_equal(read.records[i].arrival_us, now_of(NULL));
        }
    } while (!read.at_tip);
    assert_int_equal(count, RECORDS);
    ops->reader_close(reader);
}

static void recompress(void *user)
{
    process *who = user;

    if (process_open(who) != LS_OK)
        return;
    who->answer = who->engine->ops->recompress(who->stream, -1, &who->saved);
    who->engine->ops->stream_close(who->stream);
    (void)who->engine->ops->close(who->engine);
}

/* Looked at by one who comes later: everything is there, before and after it is done for good, and takes less. */
static void check_disk(sim_files *sim)
{
    lsi_shard_state state;
    uint64_t saved;
    process who;

    process_begin(&who, sim);
    assert_int_equal(process_open(&who), LS_OK);
    assert_all_is_there(&who);
    assert_int_equal(who.engine->ops->shard_state(who.stream, 0, &state), LS_OK);
    if (state.health == LS_ERR_IO) /* A sync failed, of the directory. */
        assert_int_equal(who.engine->ops->reset_shard(who.stream, 0), LS_OK);
    assert_int_equal(who.engine->ops->recompress(who.stream, -1, &saved), LS_OK);
    assert_all_is_there(&who);
    assert_int_equal(who.engine->ops->recompress(who.stream, -1, &saved), LS_OK);
    assert_int_equal(saved, 0);
    process_close(&who);
}

static void a_failing_call_loses_nothing(void **state)
{
    sim_files *start = make_disk();
    uint32_t refused = 0;

    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (uint64_t n = 1;; n++) {
            sim_files *sim = sim_clone(start);
            process who;
            bool met;

            process_begin(&who, sim);
            if (kind < 2)
                sim_fault_add(sim, (sim_fault){.nth = n, .err = kind == 0 ? EIO : ENOSPC});
            else
                sim_memory_fail(&who.memory, n, false);
            recompress(&who);
            met = kind < 2 ? sim_faults_met(sim) > 0 : who.memory.failed > 0;
            refused += who.answer != LS_OK;
            assert_int_equal(who.memory.live, 0);
            sim_faults_clear(sim);
            check_disk(sim);
            sim_files_free(sim);
            if (!met) {
                assert_int_equal(who.answer, LS_OK);
                assert_true(who.saved > 100000);
                break;
            }
            assert_true(n < 3000);
        }
    assert_true(refused > 20);
    sim_files_free(start);
}

static void a_death_loses_nothing(void **state)
{
    sim_files *start = make_disk();
    bool killed = true;

    (void)state;
    for (uint64_t n = 1; killed; n++) {
        sim_files *sim = sim_clone(start);
        process who;

        process_begin(&who, sim);
        sim_fault_add(sim, (sim_fault){.nth = n, .kill = true});
        killed = sim_run(sim, recompress, &who);
        sim_memory_bury(&who.memory);
        sim_faults_clear(sim);
        check_disk(sim);
        sim_files_free(sim);
        assert_true(n < 3000);
    }
    sim_files_free(start);
}

/* Beside one who is reading: he reads on, in the old file or the new. */
static void a_death_beside_a_reader_is_nothing_to_him(void **state)
{
    sim_files *start = make_disk();
    bool killed = true;

    (void)state;
    for (uint64_t n = 1; killed; n++) {
        sim_files *sim = sim_clone(start);
        process who, beside;
        lsi_reader *reader;
        lsi_read read;
        uint32_t count = 10;

        process_begin(&beside, sim);
        assert_int_equal(process_open(&beside), LS_OK);
        assert_int_equal(beside.engine->ops->reader_open(beside.stream, 0, 0, &reader), LS_OK);
        assert_int_equal(beside.engine->ops->read(reader, 10, 1 << 20, &read), LS_OK);
        assert_int_equal(read.count, 10);
        process_begin(&who, sim);
        sim_fault_add(sim, (sim_fault){.nth = n, .kill = true});
        killed = sim_run(sim, recompress, &who);
        sim_memory_bury(&who.memory);
        sim_faults_clear(sim);
        do {
            assert_int_equal(beside.engine->ops->read(reader, 10, 1 << 20, &read), LS_OK);
            count += read.count;
        } while (!read.at_tip);
        assert_int_equal(count, RECORDS);
        beside.engine->ops->reader_close(reader);
        assert_int_equal(beside.engine->ops->recompress(beside.stream, -1, &who.saved), LS_OK);
        assert_all_is_there(&beside);
        process_close(&beside);
        sim_files_free(sim);
        assert_true(n < 3000);
    }
    sim_files_free(start);
}

static void a_crash_loses_nothing(void **state)
{
    sim_files *sim = make_disk();
    size_t first = sim_log_count(sim), last;
    process who;

    (void)state;
    process_begin(&who, sim);
    recompress(&who);
    assert_int_equal(who.answer, LS_OK);
    last = sim_log_count(sim);
    for (size_t prefix = first; prefix <= last; prefix++)
        for (uint64_t seed = prefix % SIM_STRIDE; seed < SIM_SEED_RANDOM + 2; seed += SIM_STRIDE) {
            sim_files *crashed = sim_crash_state(sim, prefix, seed);

            check_disk(crashed);
            sim_files_free(crashed);
        }
    sim_files_free(sim);
}

/* ---- damage to the header of a file in blocks ---- */

static void flip(sim_files *sim, uint64_t at)
{
    lsi_files *files = sim_files_table(sim);
    lsi_file file = {0};
    unsigned char byte;
    lsi_root root;

    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(files->open(&root, "1/0/00000001.seg", LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(files->read(&file, &byte, 1, at), 1);
    byte ^= 0x11;
    assert_int_equal(lsi_file_write_one(&file, &byte, 1, at), 0);
    assert_int_equal(files->close(&file), 0);
    files->root_close(&root);
}

static ls_inspect_act take_note(const ls_finding *finding, void *user)
{
    *(uint32_t *)user += finding->severity == LS_FINDING_DAMAGE;
    return LS_INSPECT_GO_ON;
}

static ls_status repair(process *who, uint32_t *damage)
{
    ls_inspect_options options = LS_INSPECT_OPTIONS_INIT;
    lsi_inspection inspection = {.finding = take_note, .user = damage};

    *damage = 0;
    return lsi_local_inspect(&who->env, "store", &options, true, &inspection);
}

/* The list knows the header, and that the file is in blocks shows itself: whatever byte of the fields is wrong, but for
 * the salt's, all records are back. A repair that comes to no memory, nor to its end, has made nothing worse. */
static void a_damaged_header_is_written_anew_in_blocks(void **state)
{
    static const uint64_t places[] = {0, 8, 12, 16, 20, 24, 40, 52, 56, 72, 80, 88, 128, 144, 152, 160, 4088};
    sim_files *start = make_disk();
    process who;

    (void)state;
    process_begin(&who, start);
    recompress(&who);
    assert_int_equal(who.answer, LS_OK);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        for (uint64_t nth = 1, failed = 1; failed != 0; nth++) {
            sim_files *sim = sim_clone(start);
            uint32_t damage;
            ls_status st;

            flip(sim, places[i]);
            process_begin(&who, sim);
            sim_memory_fail(&who.memory, nth, false);
            st = repair(&who, &damage);
            failed = who.memory.failed;
            assert_true(st == LS_OK || (st == LS_ERR_NO_MEMORY && failed != 0));
            assert_int_equal(who.memory.live, 0);
            process_begin(&who, sim);
            assert_int_equal(repair(&who, &damage), LS_OK);
            assert_int_equal(repair(&who, &damage), LS_OK);
            assert_int_equal(damage, 0);
            check_disk(sim);
            sim_files_free(sim);
            assert_true(nth < 3000);
        }
    sim_files_free(start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failing_call_loses_nothing),
        cmocka_unit_test(a_death_loses_nothing),
        cmocka_unit_test(a_death_beside_a_reader_is_nothing_to_him),
        cmocka_unit_test(a_crash_loses_nothing),
        cmocka_unit_test(a_damaged_header_is_written_anew_in_blocks),
    };

    return cmocka_run_group_tests_name("compressing sealed segments", tests, NULL, NULL);
}
