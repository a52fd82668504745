/* Syncs that fail while a log is recovered (E1, R7, R8): who recovers it next does not believe one that returns 0 then,
 * but writes again what the first was about. What he sees and acknowledges outlives a loss of power.
 *
 * On the simulated disk, where a sync that fails leaves what it should have synced in doubt for ever. */
#include <errno.h>

#include "storage/log_store.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define SMALL LSI_SEGMENT_BYTES_MIN
#define BEFORE 3u /* records of 20,000 bytes to a segment */

static void put_here(void *user)
{
    ls_seqno seqno;

    (void)log_store_put(user, BEFORE, 20000, &seqno);
}

/* A log whose maker died at the `nth` call of a kind in the put that begins its second segment; false: it did not. */
static bool make_dead(sim_files **sim, ls_durability durability, sim_call call, uint64_t nth)
{
    sim_memory memory = SIM_MEMORY_INIT;
    lsi_memory table = sim_memory_table(&memory);
    log_store dying = {.memory = &table};

    *sim = sim_files_new();
    log_store_open(&dying, sim_files_table(*sim), true, durability, SMALL);
    for (unsigned n = 0; n < BEFORE; n++) {
        ls_seqno seqno;

        assert_int_equal(log_store_put(&dying, n, 20000, &seqno), LS_OK);
    }
    sim_fault_add(*sim, (sim_fault){.call = call, .nth = nth, .kill = true});
    bool killed = sim_run(*sim, put_here, &dying);
    sim_faults_clear(*sim);
    if (killed)
        sim_memory_bury(&memory);
    else
        assert_int_equal(log_store_close(&dying), LS_OK);
    return killed;
}

static void forget_control(sim_files *sim)
{
    const lsi_files *files = sim_files_table(sim);
    lsi_root root;

    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(files->unlink(&root, LSI_CONTROL_NAME), 0);
    files->root_close(&root);
}

static uint32_t last_segment(const log_store *store)
{
    lsi_segment_list *list;

    assert_int_equal(lsi_segment_list_load(&store->config, &list), LS_OK);
    uint32_t number = lsi_segment_list_last(list)->number;
    lsi_segment_list_unref(list);
    return number;
}

/* What a loss of power leaves now, whatever of the unsynced bytes it keeps: so many records, in segments up to this
 * one. */
static void expect_after_crashes(sim_files *sim, ls_durability durability, unsigned count, uint32_t last)
{
    size_t now = sim_log_count(sim);

    for (uint64_t seed = 0; seed < SIM_SEED_RANDOM + 8; seed++) {
        sim_files *crashed = sim_crash_state(sim, now, seed);
        log_store store = {0};

        log_store_open(&store, sim_files_table(crashed), false, durability, SMALL);
        assert_int_equal(last_segment(&store), last);
        assert_int_equal(log_store_count(&store, 0), count);
        assert_int_equal(log_store_close(&store), LS_OK);
        sim_files_free(crashed);
    }
}

/* Recovered without a fault: what is seen then, and what is put, stays. */
static void expect_to_last(sim_files *sim, ls_durability durability)
{
    log_store store = {0};
    ls_seqno seqno;

    log_store_open(&store, sim_files_table(sim), false, durability, SMALL);
    ls_status st = lsi_log_touch(store.log);
    if (st == LS_ERR_IO || lsi_log_sync(store.log) == LS_ERR_IO) /* It stays failed until it is told to go on. */
        assert_int_equal(lsi_log_reset(store.log), LS_OK);
    unsigned count = log_store_count(&store, 0);
    expect_after_crashes(sim, durability, count, last_segment(&store));
    assert_int_equal(log_store_put(&store, count, 20000, &seqno), LS_OK);
    assert_int_equal(lsi_log_sync(store.log), LS_OK);
    expect_after_crashes(sim, durability, count + 1, last_segment(&store));
    assert_int_equal(log_store_close(&store), LS_OK);
}

/* Of each death in a roll, with the control file, without, and when that is lost in between: the first recovery meets a
 * failed sync, of the directory or of a file, and the next ones none. */
static void a_sync_that_failed_in_recovery_is_not_believed_later(void **state)
{
    static const ls_durability modes[] = {LS_DURABILITY_SYNC, LS_DURABILITY_KERNEL};
    static const sim_call syncs[] = {SIM_SYNC_DIR, SIM_SYNC};
    unsigned met = 0;

    (void)state;
    for (size_t mode = 0; mode < sizeof modes / sizeof modes[0]; mode++)
        for (size_t sync = 0; sync < sizeof syncs / sizeof syncs[0]; sync++)
            for (int forgotten = 0; forgotten <= 2; forgotten++)
                for (uint64_t nth = 1;; nth++) {
                    log_store store = {0};
                    sim_files *sim;

                    if (!make_dead(&sim, modes[mode], SIM_ANY, nth)) {
                        sim_files_free(sim);
                        break;
                    }
                    if (forgotten == 1)
                        forget_control(sim);
                    log_store_open(&store, sim_files_table(sim), false, modes[mode], SMALL);
                    sim_fault_add(sim, (sim_fault){.call = syncs[sync], .name = "1/0", .nth = 1, .err = EIO});
                    ls_status st = lsi_log_touch(store.log);
                    bool was_met = sim_faults_met(sim) != 0;
                    assert_true(st == (was_met ? LS_ERR_IO : LS_OK));
                    met += was_met;
                    sim_faults_clear(sim);
                    (void)log_store_close(&store);
                    if (forgotten == 2)
                        forget_control(sim);
                    if (was_met)
                        expect_to_last(sim, modes[mode]);
                    sim_files_free(sim);
                }
    assert_true(met > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sync_that_failed_in_recovery_is_not_believed_later),
    };

    return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
