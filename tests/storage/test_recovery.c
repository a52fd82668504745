/* Syncs that fail while a log is recovered (E1, R7, R8): who recovers it next does not believe one that returns 0 then,
 * but writes again what the first was about. What he sees and acknowledges outlives a loss of power. Likewise reads
 * that fail, segments that are lost and words that are false take nothing that is there.
 *
 * On the simulated disk, where a sync that fails leaves what it should have synced in doubt for ever. */
#include <errno.h>

#include "storage/log_store.h"
#include "storage/numbered.h"
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
    sim_memory memory = SIM_MEMORY_INIT;
    lsi_memory table = sim_memory_table(&memory);
    log_store store = {.memory = &table};
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
    assert_int_equal(memory.live, 0);
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
                    sim_memory memory = SIM_MEMORY_INIT;
                    lsi_memory table = sim_memory_table(&memory);
                    log_store store = {.memory = &table};
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
                    assert_int_equal(memory.live, 0);
                    if (forgotten == 2)
                        forget_control(sim);
                    if (was_met)
                        expect_to_last(sim, modes[mode]);
                    sim_files_free(sim);
                }
    assert_true(met > 20);
}

/* ---- what is there, and what the system does not read ---- */

#define LARGE (1u << 20)
#define FRAMES 20u /* more than is read at a time */
#define FRAME_BYTES UINT64_C(20064)

static void change(sim_files *sim, const char *name, uint64_t at)
{
    const lsi_files *files = sim_files_table(sim);
    unsigned char byte;
    lsi_root root;
    lsi_file file;

    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(files->open(&root, name, LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(files->read(&file, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(lsi_file_write_one(&file, &byte, 1, at), 0);
    assert_int_equal(files->close(&file), 0);
    files->root_close(&root);
}

static sim_files *make_log(ls_durability durability, uint64_t segment_bytes, unsigned count)
{
    sim_files *sim = sim_files_new();
    log_store store = {0};

    log_store_open(&store, sim_files_table(sim), true, durability, segment_bytes);
    for (unsigned n = 0; n < count; n++)
        assert_int_equal(log_store_put(&store, n, 20000, &(ls_seqno){0}), LS_OK);
    assert_int_equal(log_store_close(&store), LS_OK);
    return sim;
}

/* R3: a frame that is damaged, and durable ones behind it. Whichever read fails while they are looked for: that is no
 * end of the log, and who recovers it next finds the same as if nothing had failed. */
static void a_read_that_fails_ends_no_log(void **state)
{
    unsigned met = 0;

    (void)state;
    for (unsigned damaged = 1; damaged + 1 < FRAMES; damaged++)
        for (uint64_t nth = 1;; nth++) {
            sim_files *sim = make_log(LS_DURABILITY_SYNC, LARGE, FRAMES);
            log_store store = {0};
            lsi_log_facts facts;

            forget_control(sim);
            change(sim, "1/0/00000001.seg", LSI_SEGMENT_HEADER_BYTES + damaged * FRAME_BYTES + 8);
            log_store_open(&store, sim_files_table(sim), false, LS_DURABILITY_SYNC, LARGE);
            sim_fault_add(sim, (sim_fault){.call = SIM_READ, .name = ".seg", .nth = nth, .err = EIO});
            ls_status st = lsi_log_touch(store.log);
            bool was_met = sim_faults_met(sim) != 0;
            sim_faults_clear(sim);
            assert_true(st == LS_OK || (was_met && st == LS_ERR_IO));
            met += st != LS_OK;
            for (int again = 0; again < 2; again++) {
                assert_int_equal(lsi_log_state(store.log, &facts), LS_OK);
                assert_int_equal(facts.health, LS_ERR_CORRUPT);
                assert_int_equal(facts.bytes, FRAMES * FRAME_BYTES);
                assert_int_equal(log_store_close(&store), LS_OK);
                if (again == 0)
                    forget_control(sim);
                log_store_open(&store, sim_files_table(sim), false, LS_DURABILITY_SYNC, LARGE);
            }
            assert_int_equal(log_store_close(&store), LS_OK);
            sim_files_free(sim);
            if (!was_met)
                break;
        }
    assert_true(met > 2 * FRAMES);
}

/* Nobody was alive since, in the same boot: where the last segment is no segment any more, or gone, the shard is
 * damaged, which is told; nothing fails that says less. */
static void a_last_segment_that_is_lost_within_a_boot_is_damage(void **state)
{
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        sim_files *sim = make_log(LS_DURABILITY_SYNC, SMALL, 5);
        const lsi_files *files = sim_files_table(sim);
        lsi_log_reader *reader;
        const ls_record *records;
        log_store store = {0};
        lsi_log_facts facts;
        uint32_t count;
        bool tip, end;

        if (gone) {
            lsi_root root;

            assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
            assert_int_equal(files->unlink(&root, "1/0/00000002.seg"), 0);
            files->root_close(&root);
        } else {
            change(sim, "1/0/00000002.seg", 100);
        }
        log_store_open(&store, files, false, LS_DURABILITY_SYNC, SMALL);
        assert_int_equal(lsi_log_touch(store.log), LS_OK);
        assert_int_equal(atomic_load(&lsi_log_slot(store.log)->health), LSI_SHARD_DAMAGED);
        assert_int_equal(lsi_log_reader_open(store.log, LSI_READ_FAST, &reader), LS_OK);
        assert_int_equal(lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end), LS_OK);
        assert_int_equal(count, BEFORE);
        lsi_log_reader_close(reader);
        assert_int_equal(log_store_put(&store, 5, 100, &(ls_seqno){0}), LS_ERR_CORRUPT);
        (void)lsi_log_state(store.log, &facts);
        assert_int_equal(facts.health, LS_ERR_CORRUPT);
        assert_int_equal(log_store_close(&store), LS_OK);
        sim_files_free(sim);
    }
}

/* Within a boot: how far zeros were written is believed as far as there is a file for them, and no further. */
static void space_that_was_made_is_believed_as_far_as_it_is_there(void **state)
{
    enum { TRUE_ONE, LOW, ABOVE_THE_FILE, ANY, CASES };

    (void)state;
    for (int which = 0; which < CASES; which++) {
        sim_files *sim = make_log(LS_DURABILITY_KERNEL, LARGE, 3);
        log_store store = {0};
        uint64_t end, was, expected;
        lsi_slot *slot;
        lsi_file file;
        uint64_t size;

        log_store_open(&store, sim_files_table(sim), false, LS_DURABILITY_KERNEL, LARGE);
        assert_int_equal(lsi_control_slot(store.control, LSI_SLOT_SHARD, 1, 0, &slot), LS_OK);
        assert_int_equal(sim_files_table(sim)->open(&store.root, "1/0/00000001.seg", 0, &file), 0);
        assert_int_equal(file.files->size(&file, &size), 0);
        assert_int_equal(file.files->close(&file), 0);
        end = lsi_load(&slot->committed_end);
        was = lsi_load(&slot->zeroed_end);
        assert_true(end < was && was <= size - LSI_SEGMENT_HEADER_BYTES);
        if (which == LOW)
            atomic_store(&slot->zeroed_end, end - 8);
        else if (which == ABOVE_THE_FILE)
            atomic_store(&slot->zeroed_end, size - LSI_SEGMENT_HEADER_BYTES + 8);
        else if (which == ANY)
            atomic_store(&slot->zeroed_end, UINT64_MAX - 7);
        expected = which == TRUE_ONE ? was : end;
        assert_int_equal(lsi_log_touch(store.log), LS_OK);
        assert_int_equal(lsi_load(&slot->zeroed_end), expected);
        assert_int_equal(log_store_count(&store, 0), 3);
        assert_int_equal(log_store_close(&store), LS_OK);
        sim_files_free(sim);
    }
}

/* Who died in a roll, or while he wrote: within a boot what is there stays, and the next one goes on behind it. */
static void what_was_under_way_is_taken_over_within_a_boot(void **state)
{
    (void)state;
    for (int which = 0; which < 4; which++) {
        sim_files *sim = make_log(LS_DURABILITY_SYNC, SMALL, 4);
        sim_memory memory = SIM_MEMORY_INIT;
        lsi_memory table = sim_memory_table(&memory);
        log_store store = {.memory = &table};
        lsi_slot *slot;
        uint64_t end;

        log_store_open(&store, sim_files_table(sim), false, LS_DURABILITY_SYNC, SMALL);
        assert_int_equal(lsi_control_slot(store.control, LSI_SLOT_SHARD, 1, 0, &slot), LS_OK);
        end = lsi_load(&slot->committed_end);
        const uint64_t under_way[] = {LSI_ROLLING, end + 168, end - 8, UINT64_MAX - 7};
        atomic_store(&slot->write_end, under_way[which]);
        assert_int_equal(lsi_log_touch(store.log), LS_OK);
        assert_int_equal(lsi_load(&slot->committed_end), end);
        assert_int_equal(lsi_load(&slot->write_end), end);
        assert_int_equal(log_store_count(&store, 0), 4);
        assert_int_equal(log_store_put(&store, 4, 100, &(ls_seqno){0}), LS_OK);
        assert_int_equal(log_store_count(&store, 0), 5);
        assert_int_equal(log_store_close(&store), LS_OK);
        assert_int_equal(memory.live, 0);
        sim_files_free(sim);
    }
}

/* A list whose new version did not get its name is the old one, whatever the reason: nothing failed but this put. */
static void a_list_that_was_not_renamed_fails_no_shard(void **state)
{
    static const int errors[] = {EIO, ENOSPC, EACCES};

    (void)state;
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
        sim_files *sim = make_log(LS_DURABILITY_SYNC, SMALL, BEFORE);
        log_store store = {0};

        log_store_open(&store, sim_files_table(sim), false, LS_DURABILITY_SYNC, SMALL);
        sim_fault_add(sim, (sim_fault){.call = SIM_RENAME, .name = LSI_SEGMENT_LIST_NAME, .nth = 1, .err = errors[e]});
        assert_int_not_equal(log_store_put(&store, BEFORE, 20000, &(ls_seqno){0}), LS_OK);
        assert_int_equal(sim_faults_met(sim), 1);
        sim_faults_clear(sim);
        assert_int_equal(log_store_put(&store, BEFORE, 20000, &(ls_seqno){0}), LS_OK);
        assert_int_equal(log_store_count(&store, 0), BEFORE + 1);
        assert_int_equal(log_store_close(&store), LS_OK);
        sim_files_free(sim);
    }
}

static ls_status put_numbered(log_store *store, uint64_t number)
{
    static const ls_put_entry entry = {{"k", 1}, {"data", 4}, NULL};
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_put_result told;
    lsi_log_numbered numbered = {.options = &options, .told = &told};
    uint64_t end;
    bool closed;

    options.producer = (ls_producer_id){1, 2};
    options.number = number;
    ls_status st = lsi_log_append_numbered(store->log, store->framer, &entry, NULL, 1, &numbered, &end, &closed);
    return st == LS_OK && end != 0 ? lsi_log_commit(store->log, end) : st;
}

/* Before the first number of a log its snapshot and its list are replaced. A call that fails there fails the put; the
 * shard has failed only where a sync did (E1), and else the next put succeeds. */
static void a_snapshot_that_was_not_written_fails_no_shard(void **state)
{
    static const struct { sim_call call; int err; } faults[] = {{SIM_ANY, ENOSPC}, {SIM_SYNC_DIR, EIO}};
    unsigned failed[2] = {0};

    (void)state;
    for (size_t f = 0; f < 2; f++)
        for (uint64_t nth = 1;; nth++) {
            sim_files *sim = make_log(LS_DURABILITY_SYNC, SMALL, 1);
            log_store store = {0};

            log_store_open(&store, sim_files_table(sim), false, LS_DURABILITY_SYNC, SMALL);
            assert_int_equal(lsi_log_touch(store.log), LS_OK);
            assert_int_equal(log_store_count(&store, 0), 1);
            sim_fault_add(sim, (sim_fault){.call = faults[f].call, .name = f == 0 ? LSI_PRODUCERS_NAME : "1/0",
                                           .nth = nth, .err = faults[f].err});
            ls_status st = put_numbered(&store, 1);
            bool met = sim_faults_met(sim) != 0;
            sim_faults_clear(sim);
            failed[f] += met && st != LS_OK;
            bool has_failed = atomic_load(&lsi_log_slot(store.log)->health) == LSI_SHARD_FAILED;
            assert_int_equal(has_failed, f == 1 && met);
            assert_int_equal(log_store_put(&store, 1, 100, &(ls_seqno){0}), has_failed ? LS_ERR_IO : LS_OK);
            (void)log_store_close(&store);
            sim_files_free(sim);
            if (!met)
                break;
        }
    assert_true(failed[0] > 2 && failed[1] >= 2);
}

/* A repeat is acknowledged after a reset, too: its record is durable, and nothing of it was given up. */
static void a_repeat_behind_a_reset_is_acknowledged(void **state)
{
    sim_files *sim = make_log(LS_DURABILITY_SYNC, SMALL, 1);
    log_store store = {0};

    (void)state;
    log_store_open(&store, sim_files_table(sim), false, LS_DURABILITY_SYNC, SMALL);
    assert_int_equal(put_numbered(&store, 1), LS_OK);
    sim_fault_add(sim, (sim_fault){.call = SIM_SYNC, .name = ".seg", .nth = 1, .err = EIO});
    assert_int_equal(log_store_put(&store, 9, 100, &(ls_seqno){0}), LS_ERR_IO);
    sim_faults_clear(sim);
    assert_int_equal(lsi_log_reset(store.log), LS_OK);
    assert_int_equal(put_numbered(&store, 1), LS_OK);
    assert_int_equal(put_numbered(&store, 2), LS_OK);
    assert_int_equal(put_numbered(&store, 1), LS_OK);
    assert_int_equal(log_store_close(&store), LS_OK);
    sim_files_free(sim);
}

/* A write that failed and was taken back costs no segment. */
static void a_full_disk_costs_no_segment(void **state)
{
    sim_files *sim = make_log(LS_DURABILITY_SYNC, LARGE, 1);
    log_store store = {0};

    (void)state;
    log_store_open(&store, sim_files_table(sim), false, LS_DURABILITY_SYNC, LARGE);
    assert_int_equal(log_store_put(&store, 1, 100, &(ls_seqno){0}), LS_OK);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t segment = last_segment(&store);

        for (uint64_t nth = 1; nth <= 2; nth++) /* with the zeros behind it, and without */
            sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .name = ".seg", .nth = nth, .err = ENOSPC});
        assert_int_equal(log_store_put(&store, 9, 5000 * (i + 1), &(ls_seqno){0}), LS_ERR_FULL);
        sim_faults_clear(sim);
        assert_int_equal(log_store_put(&store, 2 + i, 100, &(ls_seqno){0}), LS_OK);
        assert_int_equal(last_segment(&store), segment);
    }
    assert_int_equal(log_store_count(&store, 0), 5);
    assert_int_equal(log_store_close(&store), LS_OK);
    sim_files_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sync_that_failed_in_recovery_is_not_believed_later),
        cmocka_unit_test(a_read_that_fails_ends_no_log),
        cmocka_unit_test(a_last_segment_that_is_lost_within_a_boot_is_damage),
        cmocka_unit_test(space_that_was_made_is_believed_as_far_as_it_is_there),
        cmocka_unit_test(what_was_under_way_is_taken_over_within_a_boot),
        cmocka_unit_test(a_list_that_was_not_renamed_fails_no_shard),
        cmocka_unit_test(a_repeat_behind_a_reset_is_acknowledged),
        cmocka_unit_test(a_full_disk_costs_no_segment),
        cmocka_unit_test(a_snapshot_that_was_not_written_fails_no_shard),
    };

    return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
