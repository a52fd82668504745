/* What is put in the weaker modes gets to the disk: by the thread of INTERVAL, by a sync, by a change of the mode; also
 * what another process put, and one that was killed. */
#include "engine/sim_store.h"

#include <signal.h>
#include <sys/wait.h>

static ls_status open_as(walk *at, ls_durability durability, lsi_engine **out)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.segment_bytes = 64 << 10;
    options.durability = durability;
    return lsi_local_open("store", &options, &at->env, out);
}

static void put_in_kernel_mode_and_die(void *user)
{
    walk *at = user;
    lsi_engine_stream *stream;
    lsi_engine *engine;

    if (open_as(at, LS_DURABILITY_KERNEL, &engine) == LS_OK &&
        engine->ops->stream_open(engine, "kept", &stream) == LS_OK)
        at->created = put_one(engine, stream, 0, "y");
    sim_kill_here();
}

/* Goal: what the weaker mode left in the kernel is on the disk before the stronger one is acknowledged (D1). Method: a
 * process that puts and is killed, an open in another mode, and a loss of power that keeps nothing unsynced. */
static void a_change_of_durability_syncs_what_was_put_before(void **state)
{
    sim_files *sim = store_with_old(), *crashed;
    lsi_engine_stream *stream;
    lsi_engine *engine;
    walk at;

    (void)state;
    begin(&at, sim);
    assert_true(sim_run(sim, put_in_kernel_mode_and_die, &at));
    sim_memory_bury(&at.memory);
    assert_int_equal(at.created, LS_OK);
    begin(&at, sim);
    assert_int_equal(open_as(&at, LS_DURABILITY_SYNC, &engine), LS_OK);
    crashed = sim_crash_state(sim, sim_log_count(sim), SIM_SEED_NOTHING);
    close_store(engine);
    sim_files_free(sim);
    begin(&at, crashed);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    assert_int_equal(engine->ops->durability(engine), LS_DURABILITY_SYNC);
    assert_int_equal(engine->ops->stream_open(engine, "kept", &stream), LS_OK);
    assert_int_equal(count_records(engine, stream, 0), 2);
    engine->ops->stream_close(stream);
    close_store(engine);
    sim_files_free(crashed);
}

/* ---- syncing in INTERVAL mode ---- */

typedef struct shard_ends {
    uint64_t committed, durable;
    uint32_t shards;
} shard_ends;

static bool note_ends(void *user, lsi_slot *slot)
{
    shard_ends *ends = user;

    if (atomic_load(&slot->kind) == LSI_SLOT_SHARD) {
        ends->committed += atomic_load(&slot->committed_end);
        ends->durable += atomic_load(&slot->durable_end);
        ends->shards++;
    }
    return true;
}

/* Goal: INTERVAL, also for what a killed process wrote. Method: a child puts and dies without a word; the parent, which
 * has the store open and never touched the stream, has it synced soon. */
static void the_sweeper_syncs_what_a_killed_process_put(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *engine;
    shard_ends ends = {0};
    int status;

    options.durability = LS_DURABILITY_INTERVAL;
    options.sync_interval_ms = 40;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    assert_int_equal(create(engine, "a", 1), LS_OK);
    pid_t child = fork();
    if (child == 0) {
        lsi_engine_stream *stream;
        lsi_engine *own;

        if (open_with(fx, options, &own) != LS_OK || own->ops->stream_open(own, "a", &stream) != LS_OK ||
            put_one(own, stream, 0, "x") != LS_OK)
            _exit(1);
        (void)kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    for (int i = 0; i < 400; i++) {
        ends = (shard_ends){0};
        lsi_control_each(lsi_local_of(engine)->control, note_ends, &ends);
        if (ends.durable > 0 && ends.durable == ends.committed)
            break;
        (void)usleep(5000);
    }
    assert_int_equal(ends.shards, 1);
    assert_true(ends.committed > 0);
    assert_int_equal(ends.durable, ends.committed);
    close_store(engine);
}

/* Goal: ls_store_sync is for all shards, whoever wrote. Method: KERNEL mode, put by one, sync by another. */
static void sync_reaches_what_others_put(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *one, *two;
    lsi_engine_stream *stream;
    shard_ends ends = {0};

    options.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(open_with(fx, options, &one), LS_OK);
    assert_int_equal(open_with(fx, options, &two), LS_OK);
    assert_int_equal(create(one, "a", 3), LS_OK);
    assert_int_equal(one->ops->stream_open(one, "a", &stream), LS_OK);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(put_one(one, stream, i, "x"), LS_OK);
    lsi_control_each(lsi_local_of(two)->control, note_ends, &ends);
    assert_true(ends.durable < ends.committed);
    assert_int_equal(two->ops->sync(two), LS_OK);
    ends = (shard_ends){0};
    lsi_control_each(lsi_local_of(two)->control, note_ends, &ends);
    assert_int_equal(ends.durable, ends.committed);
    one->ops->stream_close(stream);
    close_store(one);
    close_store(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_change_of_durability_syncs_what_was_put_before),
        CASE(the_sweeper_syncs_what_a_killed_process_put),
        CASE(sync_reaches_what_others_put),
    };

    return cmocka_run_group_tests_name("the local engine: syncing", tests, NULL, NULL);
}
