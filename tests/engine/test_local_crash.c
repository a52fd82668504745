/* Creating and deleting streams while calls fail, processes die and the power goes: each is there whole or not at all.
 * And E1, L3: a manifest whose sync failed is believed by nobody. Walked, on the simulated disk. */
#include "engine/sim_store.h"

#include <errno.h>

/* A simulated process that is killed while it removes what a listing shows leaves the simulator's copy of the listing,
 * which belongs to nobody. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:memory_list";
}

/* Shards of "new": few, each synced by itself, or many, synced at once. */
enum { FEW = 2, MANY = 33 };
static uint32_t new_shards;

/* Creates "new" and deletes "old", which is there before. */
static void create_and_remove(void *user)
{
    walk *at = user;
    lsi_engine *engine;

    if (open_walk(at, &engine) != LS_OK)
        return;
    at->created = create(engine, "new", new_shards);
    at->created_at = sim_log_count(at->sim);
    at->removed = engine->ops->remove(engine, "old");
    at->removed_at = sim_log_count(at->sim);
    (void)engine->ops->close(engine);
}

/* Goal: L3 on a full disk. Whoever made the manifest heard that its directory could not be synced; a later sync that
 * returns 0 says nothing of it (E1). Method: such a manifest, then no room to write it again, but for what is kept, or
 * not even for that. What is acknowledged outlives a crash, and readers of other streams are not stopped (E3). */
static void a_manifest_whose_sync_failed_is_believed_by_nobody(void **state)
{
    (void)state;
    for (int has_room = 0; has_room < 2; has_room++) {
        sim_files *sim = NULL, *crashed;
        lsi_engine *engine = NULL;
        lsi_engine_stream *kept, *stream;
        bool is_odd = false;
        ls_status st;
        walk at;

        for (uint64_t n = 1; !is_odd; n++) {
            if (engine != NULL) {
                close_store(engine);
                sim_files_free(sim);
            }
            sim = store_with_old();
            begin(&at, sim);
            assert_int_equal(open_walk(&at, &engine), LS_OK);
            sim_fault_add(sim, (sim_fault){.call = SIM_SYNC_DIR, .nth = n, .err = EIO});
            assert_int_not_equal(create(engine, "new", 1), LS_OK);
            sim_faults_clear(sim);
            is_odd = lsi_control_manifest_generation(lsi_local_of(engine)->control) % 2 != 0;
        }
        sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .name = LSI_MANIFEST_NAME, .nth = 1, .err = ENOSPC,
                                       .sticky = has_room == 0});
        st = engine->ops->stream_open(engine, "new", &stream);
        assert_int_equal(st, has_room ? LS_OK : LS_ERR_FULL);
        if (!has_room) {
            assert_int_equal(engine->ops->stream_open(engine, "kept", &kept), LS_ERR_FULL);
            sim_faults_clear(sim);
            assert_int_equal(engine->ops->stream_open(engine, "kept", &kept), LS_OK);
            assert_int_equal(engine->ops->stream_open(engine, "new", &stream), LS_OK);
            engine->ops->stream_close(kept);
        }
        sim_faults_clear(sim);
        assert_int_equal(put_one(engine, stream, 0, "x"), LS_OK);
        crashed = sim_crash_state(sim, sim_log_count(sim), SIM_SEED_NOTHING);
        engine->ops->stream_close(stream);
        close_store(engine);
        sim_files_free(sim);
        begin(&at, crashed);
        assert_int_equal(open_walk(&at, &engine), LS_OK);
        assert_int_equal(engine->ops->stream_open(engine, "new", &stream), LS_OK);
        assert_int_equal(count_records(engine, stream, 0), 1);
        engine->ops->stream_close(stream);
        close_store(engine);
        sim_files_free(crashed);
    }
}

/* The same when the control file went, which alone had the word of it, and the one who opens the store next meets a
 * sync that fails, too. */
static void nor_is_one_of_which_the_word_was_lost(void **state)
{
    bool is_lost = true;

    (void)state;
    for (uint64_t n = 1; is_lost; n++) {
        sim_files *sim = store_with_old(), *crashed;
        lsi_engine_stream *stream;
        lsi_engine *engine;
        lsi_root root;
        walk at;

        begin(&at, sim);
        assert_int_equal(open_walk(&at, &engine), LS_OK);
        sim_fault_add(sim, (sim_fault){.call = SIM_SYNC_DIR, .nth = n, .err = EIO});
        is_lost = create(engine, "new", 1) != LS_OK;
        sim_faults_clear(sim);
        close_store(engine);
        assert_int_equal(sim_files_table(sim)->root_open(sim_files_table(sim), "s", LSI_ROOT_WRITE, &root), 0);
        assert_int_equal(root.files->unlink(&root, LSI_CONTROL_NAME), 0);
        root.files->root_close(&root);
        begin(&at, sim);
        sim_fault_add(sim, (sim_fault){.call = SIM_SYNC_DIR, .nth = 1, .err = EIO});
        if (open_walk(&at, &engine) == LS_OK)
            close_store(engine);
        sim_faults_clear(sim);
        assert_int_equal(open_walk(&at, &engine), LS_OK);
        if (stream_is_there(engine, "new")) {
            assert_int_equal(engine->ops->stream_open(engine, "new", &stream), LS_OK);
            assert_int_equal(put_one(engine, stream, 0, "x"), LS_OK);
            crashed = sim_crash_state(sim, sim_log_count(sim), SIM_SEED_NOTHING);
            engine->ops->stream_close(stream);
            close_store(engine);
            begin(&at, crashed);
            assert_int_equal(open_walk(&at, &engine), LS_OK);
            assert_int_equal(engine->ops->stream_open(engine, "new", &stream), LS_OK);
            assert_int_equal(count_records(engine, stream, 0), 1);
            engine->ops->stream_close(stream);
            close_store(engine);
            sim_files_free(crashed);
        } else {
            close_store(engine);
        }
        sim_files_free(sim);
    }
}

/* The same beside a reader, who had opened his stream before. */
static void a_reader_goes_on_while_no_manifest_can_be_written(void **state)
{
    sim_files *sim = store_with_old();
    lsi_engine_stream *kept;
    lsi_engine *engine;
    walk at;

    (void)state;
    begin(&at, sim);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "kept", &kept), LS_OK);
    lsi_control_manifest_changing(lsi_local_of(engine)->control); /* as one leaves it who dies in the middle */
    sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .name = LSI_MANIFEST_NAME, .nth = 1, .err = ENOSPC,
                                   .sticky = true});
    assert_int_equal(count_records(engine, kept, 0), 1);
    assert_int_equal(put_one(engine, kept, 0, "x"), LS_OK); /* It was opened when its manifest was durable. */
    assert_int_equal(count_records(engine, kept, 0), 2);
    assert_int_equal(lsi_control_manifest_generation(lsi_local_of(engine)->control) % 2, 1);
    sim_faults_clear(sim);
    engine->ops->stream_close(kept);
    close_store(engine);
    sim_files_free(sim);
}

static int note_unfinished(void *user, const char *entry, bool is_dir)
{
    (void)is_dir;
    *(uint32_t *)user += strncmp(entry, LSI_UNFINISHED_PREFIX, strlen(LSI_UNFINISHED_PREFIX)) == 0;
    return 0;
}

/* What must be true of any disk on which create_and_remove() ran, however it ended: each stream is there whole or not
 * at all, and everything can still be done. */
static void check_store(sim_files *sim, bool *new_is_there, bool *old_is_there)
{
    lsi_engine_stream *stream;
    lsi_engine *engine;
    uint32_t unfinished = 0;
    walk at;

    begin(&at, sim);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "kept", &stream), LS_OK);
    assert_int_equal(count_records(engine, stream, 0), 1);
    engine->ops->stream_close(stream);
    *new_is_there = stream_is_there(engine, "new");
    *old_is_there = stream_is_there(engine, "old");
    if (!*new_is_there)
        assert_int_equal(create(engine, "new", new_shards), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "new", &stream), LS_OK);
    for (uint32_t shard = 0; shard < new_shards; shard += new_shards > FEW ? 16 : 1) {
        assert_int_equal(count_records(engine, stream, shard), 0);
        assert_int_equal(put_one(engine, stream, shard, "x"), LS_OK);
        assert_int_equal(count_records(engine, stream, shard), 1);
    }
    engine->ops->stream_close(stream);
    if (!*old_is_there)
        assert_int_equal(create(engine, "old", 1), LS_OK);
    assert_int_equal(engine->ops->remove(engine, "old"), LS_OK);
    assert_int_equal(engine->ops->maintain(engine, -1), LS_OK);
    assert_int_equal(at.env.files->list(&lsi_local_of(engine)->root, "", note_unfinished, &unfinished), 0);
    assert_int_equal(unfinished, 0);
    close_store(engine);
    assert_int_equal(at.memory.live, 0);
}

/* Goal: D7. Method: fail the Nth file call with EIO, with ENOSPC, or the Nth allocation. What answered OK happened,
 * what answered anything but IO did not. */
static void walk_failing_calls(uint32_t shards)
{
    sim_files *start = store_with_old();

    new_shards = shards;
    for (int kind = 0; kind < 3; kind++)
        for (uint64_t n = 1;; n++) {
            sim_files *sim = sim_clone(start);
            bool met, new_is_there, old_is_there;
            walk at;

            begin(&at, sim);
            if (kind < 2)
                sim_fault_add(sim, (sim_fault){.nth = n, .err = kind == 0 ? EIO : ENOSPC});
            else
                sim_memory_fail(&at.memory, n, false);
            create_and_remove(&at);
            met = kind < 2 ? sim_faults_met(sim) > 0 : at.memory.failed > 0;
            assert_int_equal(at.memory.live, 0);
            sim_faults_clear(sim);
            check_store(sim, &new_is_there, &old_is_there);
            if (at.created == LS_OK)
                assert_true(new_is_there);
            else if (at.created != LS_ERR_IO)
                assert_false(new_is_there);
            if (at.removed == LS_OK)
                assert_false(old_is_there);
            else if (at.removed != LS_ERR_IO)
                assert_true(old_is_there);
            sim_files_free(sim);
            if (!met) {
                assert_int_equal(at.created, LS_OK);
                assert_int_equal(at.removed, LS_OK);
                break;
            }
            assert_true(n < 4000);
        }
    sim_files_free(start);
}

/* Goal: P1, L1. Method: kill at the Nth file call; the next one finds each stream whole or not at all. */
static void walk_deaths(uint32_t shards)
{
    sim_files *start = store_with_old();

    new_shards = shards;
    for (uint64_t n = 1;; n++) {
        sim_files *sim = sim_clone(start);
        bool killed, new_is_there, old_is_there;
        walk at;

        begin(&at, sim);
        sim_fault_add(sim, (sim_fault){.nth = n, .kill = true});
        killed = sim_run(sim, create_and_remove, &at);
        sim_memory_bury(&at.memory);
        sim_faults_clear(sim);
        check_store(sim, &new_is_there, &old_is_there);
        if (at.created == LS_OK)
            assert_true(new_is_there);
        if (at.removed == LS_OK)
            assert_false(old_is_there);
        sim_files_free(sim);
        if (!killed)
            break;
        assert_true(n < 4000);
    }
    sim_files_free(start);
}

/* Goal: D6. Method: lose power after every change of the disk, in every corner and some random ways; what had returned
 * by then is so. */
static void walk_crashes(uint32_t shards)
{
    sim_files *sim = store_with_old();
    size_t first = sim_log_count(sim), last;
    walk at;

    new_shards = shards;
    begin(&at, sim);
    create_and_remove(&at);
    assert_int_equal(at.created, LS_OK);
    assert_int_equal(at.removed, LS_OK);
    last = sim_log_count(sim);
    for (size_t prefix = first; prefix <= last; prefix++)
        for (uint64_t seed = prefix % SIM_STRIDE; seed < SIM_SEED_RANDOM + 2; seed += SIM_STRIDE) {
            sim_files *crashed = sim_crash_state(sim, prefix, seed);
            bool new_is_there, old_is_there;

            check_store(crashed, &new_is_there, &old_is_there);
            if (prefix >= at.created_at)
                assert_true(new_is_there);
            if (prefix >= at.removed_at)
                assert_false(old_is_there);
            sim_files_free(crashed);
        }
    sim_files_free(sim);
}

static void a_failing_call_is_reported_as_it_is(void **state)
{
    (void)state;
    walk_failing_calls(FEW);
    walk_failing_calls(MANY);
}

static void a_death_leaves_each_stream_whole_or_not_at_all(void **state)
{
    (void)state;
    walk_deaths(FEW);
    walk_deaths(MANY);
}

static void a_crash_keeps_what_had_returned(void **state)
{
    (void)state;
    walk_crashes(FEW);
    walk_crashes(MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_manifest_whose_sync_failed_is_believed_by_nobody),
        CASE(nor_is_one_of_which_the_word_was_lost),
        CASE(a_reader_goes_on_while_no_manifest_can_be_written),
        CASE(a_failing_call_is_reported_as_it_is),
        CASE(a_death_leaves_each_stream_whole_or_not_at_all),
        CASE(a_crash_keeps_what_had_returned),
    };

    return cmocka_run_group_tests_name("the local engine: failures, deaths, crashes", tests, NULL, NULL);
}
