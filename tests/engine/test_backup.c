/* Copying a store (lib/engine/local/backup.c, lib/storage/copy.c): what the copy's directory holds when a call on it
 * fails, when the copying process dies, and when the machine does. The source lies on a disk of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "engine/engine.h"
#include "engine/local/local.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define SHARDS 2u

typedef struct fixture {
    lsi_env env;
    lsi_files *here;
    lsi_engine *engine;
    lsi_engine_stream *stream;
    lsi_appender *appender;
    uint32_t put[SHARDS];
} fixture;

static sim_memory memory = SIM_MEMORY_INIT; /* holds what a killed backup had, which nobody frees */

static int set_up(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_stream_spec spec = {"orders", SHARDS, 24, LS_STREAM_ON_DEMAND, 1 << 20};

    lsi_env_default(&fx->env);
    fx->env.memory = sim_memory_table(&memory);
    fx->here = lsi_files_memory_new(&fx->env.memory);
    fx->env.files = fx->here;
    options.segment_bytes = 64 << 10;
    assert_int_equal(lsi_local_open("here", &options, &fx->env, &fx->engine), LS_OK);
    assert_int_equal(fx->engine->ops->create(fx->engine, &spec), LS_OK);
    assert_int_equal(fx->engine->ops->stream_open(fx->engine, "orders", &fx->stream), LS_OK);
    assert_int_equal(fx->engine->ops->appender_open(fx->stream, &fx->appender), LS_OK);
    *state = fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    fx->engine->ops->appender_close(fx->appender);
    fx->engine->ops->stream_close(fx->stream);
    assert_int_equal(fx->engine->ops->close(fx->engine), LS_OK);
    lsi_files_memory_free(fx->here);
    lsi_boot_id_pretend(NULL);
    free(fx);
    return 0;
}

/* `count` records of 6 KiB to each shard: ten fill a segment. */
static void put_some(fixture *fx, uint32_t count)
{
    static char data[6 << 10];

    for (uint32_t shard = 0; shard < SHARDS; shard++)
        for (uint32_t i = 0; i < count; i++) {
            ls_put_entry entry = {{"key", 3}, {data, sizeof data}, NULL};
            lsi_append batch = {&entry, NULL, 1, false};
            lsi_append_result result;

            memcpy(data, &fx->put[shard], sizeof fx->put[shard]);
            assert_int_equal(fx->engine->ops->append(fx->appender, shard, &batch, &result), LS_OK);
            assert_int_equal(fx->engine->ops->commit(fx->appender, shard, result.end, LS_DURABILITY_DEFAULT), LS_OK);
            fx->put[shard]++;
        }
}

static ls_status back_up(fixture *fx, sim_files *there)
{
    return fx->engine->ops->backup(fx->engine, sim_files_table(there), "there", NULL, NULL);
}

/* How many records the shard of the copy has; they are numbered from 0 without a gap. */
static uint32_t records_of(lsi_engine *engine, lsi_engine_stream *stream, uint32_t shard)
{
    ls_position start = {.kind = LS_TRIM_HORIZON};
    lsi_reader *reader;
    uint32_t count = 0;

    assert_int_equal(engine->ops->reader_open(stream, shard, 0, &reader), LS_OK);
    assert_int_equal(engine->ops->seek(reader, &start), LS_OK);
    for (;;) {
        lsi_read page;

        assert_int_equal(engine->ops->read(reader, 100, 1 << 20, &page), LS_OK);
        for (uint32_t i = 0; i < page.count; i++, count++)
            assert_memory_equal(page.records[i].data.data, &count, sizeof count);
        if (page.count == 0)
            break;
    }
    engine->ops->reader_close(reader);
    return count;
}

/* The copy opens and has at least `least` records in each shard, at most what was put. `may_lack`: or it is no
 * store. */
static void assert_copy(const fixture *fx, sim_files *there, uint32_t least, bool may_lack)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_env env = fx->env;
    lsi_engine *engine;
    lsi_engine_stream *stream;
    ls_status st;

    env.files = sim_files_table(there);
    options.flags = LS_STORE_NO_CREATE;
    st = lsi_local_open("there", &options, &env, &engine);
    if (may_lack && (st == LS_ERR_NOT_FOUND || st == LS_ERR_CORRUPT)) /* Directories and no manifest. */
        return;
    assert_int_equal(st, LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "orders", &stream), LS_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        assert_in_range(records_of(engine, stream, shard), least, fx->put[shard]);
    engine->ops->stream_close(stream);
    assert_int_equal(engine->ops->close(engine), LS_OK);
}

/* Goal: a call that fails leaves the earlier copy, or none; the next backup brings everything. Method: every call on
 * the target fails once, with one errno or another, over a first backup and over one that finds an earlier copy. */
static void whatever_fails_the_earlier_copy_stays(void **state)
{
    fixture *fx = *state;

    put_some(fx, 3);
    for (int round = 0; round < 2; round++) {
        sim_files *earlier = sim_files_new();
        uint32_t least = 0;
        uint64_t met = 1;

        if (round == 1) {
            assert_int_equal(back_up(fx, earlier), LS_OK);
            least = fx->put[0];
            put_some(fx, 9);
        }
        for (uint64_t nth = 1; met != 0; nth++) {
            sim_files *there = sim_clone(earlier);
            ls_status st;

            sim_fault_add(there, (sim_fault){.call = SIM_ANY, .nth = nth, .err = nth % 2 == 0 ? EIO : ENOSPC});
            st = back_up(fx, there);
            met = sim_faults_met(there);
            sim_faults_clear(there);
            assert_true(met != 0 || st == LS_OK);
            if (st != LS_OK) {
                sim_files *copy = sim_clone(there);

                assert_copy(fx, copy, least, round == 0);
                sim_files_free(copy);
                assert_int_equal(back_up(fx, there), LS_OK);
            }
            assert_copy(fx, there, fx->put[0], false);
            sim_files_free(there);
        }
        sim_files_free(earlier);
    }
}

/* Goal: B2 and C2: after a crash at any moment the directory holds a copy that is whole, and the earlier one is never
 * lost. Method: every state that a crash may leave, of a first and a second backup; each is opened and read. */
static void a_crash_leaves_a_copy_or_none(void **state)
{
    fixture *fx = *state;
    sim_files *there = sim_files_new();
    uint64_t first_done;
    uint32_t earlier;

    put_some(fx, 11);
    assert_int_equal(back_up(fx, there), LS_OK);
    first_done = sim_log_count(there);
    earlier = fx->put[0];
    put_some(fx, 9);
    assert_int_equal(back_up(fx, there), LS_OK);
    for (uint64_t prefix = sim_log_base(there); prefix <= sim_log_count(there); prefix++)
        for (uint64_t seed = 0; seed < 2; seed++) {
            sim_files *crashed = sim_crash_state(there, prefix, seed);
            uint32_t least = prefix == sim_log_count(there) ? fx->put[0] : prefix >= first_done ? earlier : 0;

            assert_copy(fx, crashed, least, prefix < first_done);
            sim_files_free(crashed);
        }
    sim_files_free(there);
}

static void back_up_there(void *user)
{
    void **both = user;

    (void)back_up(both[0], both[1]);
}

/* Goal: a killed backup is finished by the next one. Method: dies at each call on the target. */
static void a_killed_backup_is_finished_by_the_next(void **state)
{
    fixture *fx = *state;
    bool killed = true;

    put_some(fx, 2);
    for (uint64_t nth = 1; killed; nth++) {
        sim_files *there = sim_files_new();
        void *both[2] = {fx, there};

        sim_fault_add(there, (sim_fault){.call = SIM_ANY, .nth = nth, .kill = true});
        killed = sim_run(there, back_up_there, both);
        sim_faults_clear(there);
        assert_int_equal(back_up(fx, there), LS_OK);
        assert_copy(fx, there, fx->put[0], false);
        sim_files_free(there);
    }
}

/* Goal: sealed segments are copied once. Method: count the bytes of three backups. */
static bool note_bytes(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
    (void)total_bytes;
    *(uint64_t *)user = done_bytes;
    return true;
}

static void what_is_sealed_is_copied_once(void **state)
{
    fixture *fx = *state;
    sim_files *there = sim_files_new();
    uint64_t first = 0, second = 0;

    put_some(fx, 45);
    assert_int_equal(fx->engine->ops->backup(fx->engine, sim_files_table(there), "there", note_bytes, &first), LS_OK);
    assert_true(first > SHARDS * UINT64_C(45) * (6 << 10));
    assert_int_equal(fx->engine->ops->backup(fx->engine, sim_files_table(there), "there", note_bytes, &second), LS_OK);
    assert_true(second <= SHARDS * UINT64_C(64 << 10));
    assert_copy(fx, there, fx->put[0], false);
    sim_files_free(there);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(whatever_fails_the_earlier_copy_stays),
        CASE(a_crash_leaves_a_copy_or_none),
        CASE(a_killed_backup_is_finished_by_the_next),
        CASE(what_is_sealed_is_copied_once),
    };
    return cmocka_run_group_tests_name("a copy of a store", tests, NULL, NULL);
}
