/* What other processes wrote and nobody synced yet is made durable by who syncs next (E2), and what a put is told whose
 * sync meets trouble (D7).
 *
 * On the simulated disk, with two logs of one shard as two processes have them: `first` wrote, `second` syncs. */
#include <errno.h>
#include <pthread.h>

#include "base/status.h"
#include "storage/log_store.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define SEGMENT_BYTES (1u << 20)

typedef struct fixture {
    sim_files *sim;
    sim_memory memory;
    lsi_memory table;
    log_store store;
    lsi_log *first, *second;
} fixture;

static int setup(void **state)
{
    static fixture fx;

    fx = (fixture){.memory = SIM_MEMORY_INIT};
    fx.sim = sim_files_new();
    fx.table = sim_memory_table(&fx.memory);
    fx.store.memory = &fx.table;
    *state = &fx;
    if (fx.sim == NULL)
        return 1;
    log_store_open(&fx.store, sim_files_table(fx.sim), true, LS_DURABILITY_SYNC, SEGMENT_BYTES);
    fx.first = fx.store.log;
    assert_int_equal(lsi_log_open(&fx.store.config, &fx.second), LS_OK);
    assert_int_equal(lsi_log_touch(fx.first), LS_OK);
    assert_int_equal(lsi_log_touch(fx.second), LS_OK);
    return 0;
}

static int teardown(void **state)
{
    fixture *fx = *state;

    (void)lsi_log_close(fx->second);
    (void)log_store_close(&fx->store);
    sim_files_free(fx->sim);
    return 0;
}

/* Appends and does not wait: returns what to wait for. */
static uint64_t append(fixture *fx, lsi_log *log, const char *text)
{
    ls_put_entry entry = {{"k", 1}, {text, strlen(text)}, NULL};
    ls_seqno seqno;
    uint32_t accepted;
    uint64_t end;
    bool closed;

    assert_int_equal(lsi_log_append(log, fx->store.framer, &entry, NULL, 1, false, &accepted, &seqno, &end, &closed),
                     LS_OK);
    return end;
}

static void check_log(lsi_log *log, const char *expected)
{
    char texts[512] = "";
    size_t used = 0;
    lsi_log_reader *reader;
    const ls_record *records;
    bool tip = false, end;
    uint32_t count;

    assert_int_equal(lsi_log_reader_open(log, LSI_READ_FAST, &reader), LS_OK);
    while (!tip) {
        assert_int_equal(lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end), LS_OK);
        for (uint32_t i = 0; i < count; i++)
            used += (size_t)snprintf(texts + used, sizeof texts - used, "%.*s ", (int)records[i].data.size,
                                     (const char *)records[i].data.data);
    }
    lsi_log_reader_close(reader);
    assert_string_equal(texts, expected);
}

/* The kernel could not write those bytes and has forgotten them since: the file is as the disk has it. */
static void lose(fixture *fx, uint64_t from, uint64_t to)
{
    static const unsigned char zeros[4096];
    const lsi_files *files = sim_files_table(fx->sim);
    lsi_file file = {0};

    assert_true(to - from <= sizeof zeros);
    assert_int_equal(files->open(&fx->store.root, "1/0/00000001.seg", LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(lsi_file_write_one(&file, zeros, (size_t)(to - from), LSI_SEGMENT_HEADER_BYTES + from), 0);
    assert_int_equal(files->close(&file), 0);
}

static void what_another_wrote_is_synced_with_ones_own(void **state)
{
    fixture *fx = *state;
    uint64_t others = append(fx, fx->first, "others"), own = append(fx, fx->second, "own");

    assert_int_equal(lsi_log_commit(fx->second, own), LS_OK);
    assert_int_equal(lsi_log_commit(fx->first, others), LS_OK);
    check_log(fx->first, "others own ");
}

/* Nobody is told that it is durable, of his own neither, for that would lie behind a hole (D2); and it is not
 * silent. */
static void what_is_not_there_any_more_is_not_vouched_for(void **state)
{
    fixture *fx = *state;
    uint64_t others = append(fx, fx->first, "others"), own;

    lose(fx, 0, others);
    own = append(fx, fx->second, "own");
    assert_int_equal(lsi_log_commit(fx->second, own), LS_ERR_IO);
    assert_int_equal(lsi_log_commit(fx->first, others), LS_ERR_IO);
    check_log(fx->first, "");
    assert_int_equal(lsi_log_reset(fx->first), LS_OK);
    assert_int_equal(lsi_log_commit(fx->second, append(fx, fx->second, "after")), LS_OK);
    check_log(fx->first, "after ");
}

/* The place of a write that was noted, and failed, is no frame's: where frames end now is another place. */
static void a_write_that_failed_before_is_not_looked_for(void **state)
{
    fixture *fx = *state;
    lsi_segment *segment;
    char text[600];

    memset(text, 't', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)append(fx, fx->first, "small");
    atomic_store(&lsi_log_slot(fx->first)->write_end, lsi_load(&lsi_log_slot(fx->first)->committed_end) + 64);
    /* It opens the file while that write is under way, */
    assert_int_equal(lsi_log_segment(fx->second, lsi_log_slot(fx->first), 1, &segment), LS_OK);
    lsi_segment_unref(segment);
    atomic_store(&lsi_log_slot(fx->first)->write_end, lsi_load(&lsi_log_slot(fx->first)->committed_end));
    (void)append(fx, fx->first, text); /* and this one ends further on. */
    assert_int_equal(lsi_log_sync(fx->second), LS_OK);
}

/* It is written by then: who is told that nothing was would put it again, and it would be there twice. */
static void short_memory_is_no_reason_to_deny_what_was_written(void **state)
{
    fixture *fx = *state;
    uint64_t own;
    ls_status st;

    (void)append(fx, fx->first, "others");
    own = append(fx, fx->second, "own");
    sim_memory_fail(&fx->memory, 1, true);
    st = lsi_log_commit(fx->second, own);
    assert_true(fx->memory.failed > 0);
    sim_memory_fail(&fx->memory, 0, false);
    assert_int_equal(st, LS_OK);
    check_log(fx->first, "others own ");
}

/* The same where the list must be looked at, to learn what a reset gave up. */
static void what_is_not_known_is_not_nothing(void **state)
{
    fixture *fx = *state;
    uint64_t waits = append(fx, fx->first, "waits");
    ls_status st;

    sim_fault_add(fx->sim, (sim_fault){.call = SIM_SYNC, .name = ".seg", .nth = 1, .err = EIO});
    assert_int_equal(lsi_log_sync(fx->second), LS_ERR_IO);
    sim_faults_clear(fx->sim);
    assert_int_equal(lsi_log_reset(fx->second), LS_OK);
    sim_memory_fail(&fx->memory, 1, true);
    st = lsi_log_commit(fx->first, waits);
    assert_true(fx->memory.failed > 0);
    sim_memory_fail(&fx->memory, 0, false);
    assert_int_equal(st, LS_ERR_IO);
}

/* ---- without descriptors ---- */

/* E4: a sync that could not be begun has not failed. Method: each sync of the directory in a roll, and in what goes on
 * with it, finds no descriptor, once and as long as that put lasts. */
static void no_descriptor_is_no_failed_sync(void **state)
{
    (void)state;
    for (int sticky = 0; sticky < 2; sticky++)
        for (uint64_t nth = 1;; nth++) {
            sim_files *sim = sim_files_new(), *disk;
            log_store store = {0}, crashed = {0};
            ls_seqno seqno;
            uint64_t met;
            ls_status st;

            log_store_open(&store, sim_files_table(sim), true, LS_DURABILITY_SYNC, SEGMENT_BYTES);
            assert_int_equal(log_store_put(&store, 0, 600000, &seqno), LS_OK);
            sim_fault_add(sim, (sim_fault){.call = SIM_SYNC_DIR, .nth = nth, .err = EMFILE, .sticky = sticky != 0});
            st = log_store_put(&store, 1, 600000, &seqno); /* It rolls. */
            met = sim_faults_met(sim);
            assert_int_equal(st, met > 0 ? LS_ERR_NO_MEMORY : LS_OK);
            if (sticky != 0 && met > 0)
                assert_int_equal(log_store_put(&store, 1, 600000, &seqno), LS_ERR_NO_MEMORY);
            sim_faults_clear(sim);
            if (met > 0)
                assert_int_equal(log_store_put(&store, 1, 600000, &seqno), LS_OK);
            assert_int_equal(log_store_put(&store, 2, 100, &seqno), LS_OK);
            assert_int_equal(log_store_count(&store, 0), 3);
            disk = sim_crash_state(sim, sim_log_count(sim), SIM_SEED_NOTHING);
            log_store_open(&crashed, sim_files_table(disk), false, LS_DURABILITY_SYNC, SEGMENT_BYTES);
            assert_int_equal(log_store_count(&crashed, 0), 3);
            assert_int_equal(log_store_close(&crashed), LS_OK);
            sim_files_free(disk);
            assert_int_equal(log_store_close(&store), LS_OK);
            sim_files_free(sim);
            if (met == 0)
                break;
        }
}

/* ---- after a boot (R8) ---- */

static uint32_t count_all(lsi_log *log)
{
    lsi_log_reader *reader;
    const ls_record *records;
    bool tip = false, end;
    uint32_t count, all = 0;

    assert_int_equal(lsi_log_reader_open(log, LSI_READ_FAST, &reader), LS_OK);
    for (ls_status st = LS_OK; !tip && st == LS_OK; all += count) {
        count = 0;
        st = lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end);
        assert_int_equal(st, LS_OK);
    }
    lsi_log_reader_close(reader);
    return all;
}

/* Nothing says any more that no process of this boot wrote. */
static void lose_control(const lsi_files *files)
{
    lsi_root root;

    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(files->unlink(&root, LSI_CONTROL_NAME), 0);
    files->root_close(&root);
}

/* E3: on a file system that asks for space to write over what is there, and has none. Only what the disk gave back is
 * shown so: when nobody knows what of it is in the kernel's cache alone, it must be written again. */
static void a_full_disk_stops_no_reader_after_a_boot(void **state)
{
    static const unsigned char boots[2][16] = {{1}, {2}};

    (void)state;
    for (int i = 0; i < 2; i++) {
        bool is_sure = i == 0;
        log_store before = {0}, after = {0};
        sim_files *sim = sim_files_new(), *disk;
        ls_seqno seqno;

        lsi_boot_id_pretend(boots[0]);
        log_store_open(&before, sim_files_table(sim), true, LS_DURABILITY_KERNEL, SEGMENT_BYTES);
        for (unsigned n = 0; n < 3; n++) {
            assert_int_equal(log_store_put(&before, n, 100, &seqno), LS_OK);
            if (n == 0)
                assert_int_equal(lsi_log_sync(before.log), LS_OK);
        }
        disk = sim_crash_state(sim, sim_log_count(sim), SIM_SEED_EVERYTHING);
        if (!is_sure)
            lose_control(sim_files_table(disk));
        lsi_boot_id_pretend(boots[1]);
        log_store_open(&after, sim_files_table(disk), false, LS_DURABILITY_SYNC, SEGMENT_BYTES);
        sim_fault_add(disk, (sim_fault){.call = SIM_WRITE, .name = ".seg", .nth = 1, .err = ENOSPC, .sticky = true});
        if (is_sure)
            assert_int_equal(count_all(after.log), 3);
        else
            assert_int_equal(lsi_log_touch(after.log), LS_ERR_FULL);
        assert_int_equal(log_store_put(&after, 3, 100, &seqno), LS_ERR_FULL);
        sim_faults_clear(disk);
        assert_int_equal(log_store_put(&after, 3, 100, &seqno), LS_OK);
        assert_int_equal(count_all(after.log), 4);
        assert_int_equal(log_store_close(&after), LS_OK);
        lsi_boot_id_pretend(boots[0]);
        assert_int_equal(log_store_close(&before), LS_OK);
        sim_files_free(disk);
        sim_files_free(sim);
        lsi_boot_id_pretend(NULL);
    }
}

/* ---- large frames ---- */

#define LARGE (5u << 20)
#define LARGE_SEGMENT (16u << 20)
static uint64_t begun_from, begun_to; /* what begins to be written back; nothing: both 0 */

static void note_writeback(const lsi_file *file, uint64_t at, uint64_t size)
{
    (void)file;
    assert_true(begun_to == 0 || at == begun_to);
    begun_from = begun_to == 0 ? at : begun_from;
    begun_to = at + size;
}

/* Goal: the device has most of a large frame before the sync; a small one is one write. */
static void a_large_frame_is_on_its_way_before_its_sync(void **state)
{
    sim_files *sim = sim_files_new();
    log_store store = {0};
    uint64_t end, writes;
    ls_seqno seqno;

    (void)state;
    sim_files_table(sim)->start_writeback = note_writeback;
    log_store_open(&store, sim_files_table(sim), true, LS_DURABILITY_SYNC, LARGE_SEGMENT);
    begun_from = begun_to = 0;
    assert_int_equal(log_store_put(&store, 0, 1u << 20, &seqno), LS_OK);
    assert_int_equal(begun_to, 0);
    end = lsi_load(&lsi_log_slot(store.log)->committed_end);
    writes = sim_calls(sim, SIM_WRITE);
    assert_int_equal(log_store_put(&store, 1, LARGE, &seqno), LS_OK);
    assert_int_equal(begun_to - begun_from, LARGE - (1u << 20));
    assert_true(begun_from >= end); /* It is the frame's beginning, behind the segment's head. */
    assert_in_range(sim_calls(sim, SIM_WRITE) - writes, 5, 6); /* The index may have one, too. */
    assert_int_equal(log_store_count(&store, 0), 2);
    assert_int_equal(log_store_close(&store), LS_OK);
    sim_files_free(sim);
}

/* Whichever of its writes fails, and however much of it was written: it is there whole or not at all, and what is put
 * next is behind it. */
static void a_large_frame_that_fails_anywhere_is_not_there(void **state)
{
    static const size_t shorts[] = {0, 1000};

    (void)state;
    for (size_t i = 0; i < sizeof shorts / sizeof shorts[0]; i++) {
        bool has_met = true;

        for (uint64_t nth = 1; has_met; nth++) {
            sim_files *sim = sim_files_new();
            log_store store = {0};
            ls_seqno seqno;
            ls_status st;

            log_store_open(&store, sim_files_table(sim), true, LS_DURABILITY_SYNC, LARGE_SEGMENT);
            assert_int_equal(log_store_put(&store, 0, 100, &seqno), LS_OK);
            sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .name = ".seg", .nth = nth, .err = ENOSPC,
                                           .short_bytes = shorts[i]});
            st = log_store_put(&store, 1, LARGE, &seqno);
            has_met = sim_faults_met(sim) != 0;
            assert_true(st == LS_OK || (has_met && st == LS_ERR_FULL));
            sim_faults_clear(sim);
            assert_int_equal(log_store_count(&store, 0), st == LS_OK ? 2 : 1);
            assert_int_equal(log_store_put(&store, st == LS_OK ? 2 : 1, LARGE, &seqno), LS_OK);
            assert_int_equal(log_store_count(&store, 0), st == LS_OK ? 3 : 2);
            assert_int_equal(log_store_close(&store), LS_OK);
            sim_files_free(sim);
            assert_in_range(nth, 1, 20);
        }
    }
}

static void a_power_loss_shows_a_large_frame_whole_or_not(void **state)
{
    static const unsigned char boots[2][16] = {{1}, {2}};
    sim_files *sim = sim_files_new();
    log_store store = {0};
    size_t from, to;
    ls_seqno seqno;

    (void)state;
    lsi_boot_id_pretend(boots[0]);
    log_store_open(&store, sim_files_table(sim), true, LS_DURABILITY_SYNC, LARGE_SEGMENT);
    assert_int_equal(log_store_put(&store, 0, 100, &seqno), LS_OK);
    from = sim_log_count(sim);
    assert_int_equal(log_store_put(&store, 1, LARGE, &seqno), LS_OK);
    to = sim_log_count(sim);
    lsi_boot_id_pretend(boots[1]);
    for (size_t prefix = from; prefix <= to; prefix++)
        for (uint64_t seed = 0; seed < SIM_SEED_RANDOM + 3; seed++) {
            sim_files *disk = sim_crash_state(sim, prefix, seed);
            log_store after = {0};
            uint32_t count;

            log_store_open(&after, sim_files_table(disk), false, LS_DURABILITY_SYNC, LARGE_SEGMENT);
            count = log_store_count(&after, 0);
            assert_in_range(count, prefix == to ? 2 : 1, 2);
            assert_int_equal(log_store_put(&after, count, 100, &seqno), LS_OK);
            assert_int_equal(log_store_count(&after, 0), count + 1);
            assert_int_equal(log_store_close(&after), LS_OK);
            sim_files_free(disk);
        }
    assert_int_equal(log_store_close(&store), LS_OK);
    sim_files_free(sim);
    lsi_boot_id_pretend(NULL);
}

/* E3, A1: of a batch that takes several frames those are put that the disk has room for. */
static void a_disk_that_is_full_cuts_a_batch_between_frames(void **state)
{
    enum { SIZE = 300u << 10, COUNT = 8 };
    static char data[SIZE];
    fixture *fx = *state;
    ls_put_entry entries[COUNT];
    uint32_t accepted;
    ls_seqno seqno;
    uint64_t end;
    bool closed;

    for (uint32_t i = 0; i < COUNT; i++)
        entries[i] = (ls_put_entry){{"k", 1}, {data, SIZE}, NULL};
    for (uint64_t nth = 1;; nth++) {
        sim_fault_add(fx->sim, (sim_fault){.call = SIM_WRITE, .nth = nth, .err = ENOSPC});
        ls_status st = lsi_log_append(fx->first, fx->store.framer, entries, NULL, COUNT, false, &accepted, &seqno, &end,
                                      &closed);
        bool is_over = sim_faults_met(fx->sim) == 0;
        sim_faults_clear(fx->sim);
        assert_true(accepted <= COUNT && (accepted == COUNT) == (st == LS_OK) && !closed);
        assert_true(st == LS_OK || st == LS_ERR_FULL);
        if (accepted > 0)
            assert_int_equal(lsi_log_commit(fx->first, end), LS_OK); /* What was accepted is as good as any. */
        if (is_over)
            break;
        assert_in_range(nth, 1, 1000);
    }
}

static void *die_with_the_lock(void *user)
{
    assert_true(lsi_log_try_bare_lock(user));
    return NULL;
}

/* Files are closed where the process has too many open, unless bytes are in them that no sync has vouched for. */
static void files_with_unsynced_bytes_stay_open(void **state)
{
    fixture *fx = *state;
    lsi_slot *slot = lsi_log_slot(fx->first);
    lsi_holder *holder = &fx->first->holder;
    static char large[600u << 10];
    pthread_t dies;

    memset(large, 'x', sizeof large - 1);
    (void)append(fx, fx->first, "one");
    assert_false(lsi_log_give_up_tail(holder, false));
    assert_non_null(fx->first->current);
    assert_true(lsi_log_give_up_tail(holder, true)); /* It syncs first. */
    assert_null(fx->first->current);
    assert_true(lsi_load(&slot->durable_end) == lsi_load(&slot->committed_end));
    (void)append(fx, fx->second, "of another");
    assert_true(lsi_log_give_up_tail(holder, false)); /* Nothing is open. */

    (void)append(fx, fx->first, "two");
    uint64_t committed = lsi_load(&slot->committed_end);
    atomic_store(&slot->write_end, committed + 64); /* Somebody died while he wrote: that is for who appends next. */
    assert_false(lsi_log_give_up_tail(holder, true));
    atomic_store(&slot->write_end, committed);
    assert_non_null(fx->first->current);

    assert_int_equal(pthread_create(&dies, NULL, die_with_the_lock, slot), 0);
    assert_int_equal(pthread_join(dies, NULL), 0);
    assert_true(lsi_log_give_up_tail(holder, true)); /* The lock is whole again. */
    assert_true(lsi_log_try_bare_lock(slot));
    assert_false(lsi_log_give_up_tail(holder, true)); /* G2: it waits for nobody. */
    lsi_log_unlock(slot);

    (void)append(fx, fx->first, "three");
    (void)append(fx, fx->second, large);
    (void)append(fx, fx->second, large); /* The other one rolls: what we have open is sealed, and was synced by that. */
    assert_int_equal(atomic_load(&slot->segment), 2);
    assert_true(lsi_load(&slot->durable_end) < lsi_load(&slot->committed_end));
    assert_true(lsi_log_give_up_tail(holder, false));

    (void)append(fx, fx->first, "four");
    assert_false(lsi_log_give_up_tail(holder, false));
    assert_int_equal(lsi_control_lock(fx->store.control), LS_OK);
    lsi_control_drop_stream(fx->store.control, 1, 1);
    lsi_control_unlock(fx->store.control);
    assert_true(lsi_log_give_up_tail(holder, false)); /* Of a stream that is gone nothing is synced any more. */
}

/* The dead had rolled and not said so: who puts next syncs the directory first, and where that fails for want of a
 * descriptor nothing was synced, and nothing has failed (S3, E4). */
static void a_roll_that_nobody_told_is_taken_over(void **state)
{
    static const int errors[] = {EMFILE, ENFILE, EIO};

    (void)state;
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
        ls_put_entry entry = {{"k", 1}, {"abc", 3}, NULL};
        uint32_t accepted;
        ls_seqno seqno;
        bool closed, rolled;
        uint64_t end;
        void *made;

        assert_int_equal(setup(&made), 0);
        fixture *fx = made;
        lsi_slot *slot = lsi_log_slot(fx->first);
        assert_int_equal(lsi_log_commit(fx->first, append(fx, fx->first, "one")), LS_OK);
        uint64_t base = lsi_load(&slot->segment_base), limit = lsi_load(&slot->seqno_limit);
        uint64_t next = lsi_load(&slot->next_seqno), allocated = lsi_load(&slot->allocated_end);
        assert_int_equal(lsi_log_retire(fx->second, INT64_MAX, &rolled), LS_OK);
        assert_true(rolled);
        atomic_store(&slot->segment, 1);
        atomic_store(&slot->segment_base, base);
        atomic_store(&slot->seqno_limit, limit);
        atomic_store(&slot->next_seqno, next);
        atomic_store(&slot->allocated_end, allocated);
        atomic_store(&slot->write_end, LSI_ROLLING);
        sim_fault_add(fx->sim, (sim_fault){.call = SIM_SYNC_DIR, .nth = 1, .err = errors[e], .sticky = true});
        assert_int_equal(lsi_log_append(fx->first, fx->store.framer, &entry, NULL, 1, false, &accepted, &seqno, &end,
                                        &closed), errors[e] == EIO ? LS_ERR_IO : LS_ERR_NO_MEMORY);
        assert_int_equal(accepted, 0);
        assert_true((atomic_load(&slot->health) == LSI_SHARD_FAILED) == (errors[e] == EIO));
        sim_faults_clear(fx->sim);
        if (errors[e] != EIO) {
            assert_int_equal(lsi_log_commit(fx->first, append(fx, fx->first, "two")), LS_OK);
            assert_int_equal(atomic_load(&slot->segment), 2);
            check_log(fx->second, "one two ");
        }
        (void)teardown(&made);
    }
}

/* D7, E1: a write failed, and the file cannot be read to see what it did: the outcome is unknown, for good. Where only
 * what it left cannot be looked for, nothing was written. */
static void a_write_that_nobody_can_look_at_has_failed(void **state)
{
    ls_put_entry entry = {{"k", 1}, {"abc", 3}, NULL};
    bool failed = false, refused = false;

    (void)state;
    for (uint64_t nth = 1; !refused; nth++) {
        void *made;
        uint32_t accepted;
        ls_seqno seqno;
        uint64_t end;
        bool closed;

        assert_in_range(nth, 1, 10);
        assert_int_equal(setup(&made), 0);
        fixture *fx = made;
        lsi_slot *slot = lsi_log_slot(fx->first);
        assert_int_equal(lsi_log_commit(fx->first, append(fx, fx->first, "one")), LS_OK);
        sim_fault_add(fx->sim, (sim_fault){.call = SIM_WRITE, .nth = 1, .err = ENOSPC, .sticky = true});
        sim_fault_add(fx->sim, (sim_fault){.call = SIM_READ, .nth = nth, .err = EIO, .sticky = true});
        ls_status st = lsi_log_append(fx->first, fx->store.framer, &entry, NULL, 1, false, &accepted, &seqno, &end,
                                      &closed);
        sim_faults_clear(fx->sim);
        assert_int_equal(accepted, 0);
        if (atomic_load(&slot->health) == LSI_SHARD_FAILED) {
            assert_int_equal(st, LS_ERR_IO);
            failed = true;
        } else {
            assert_int_equal(st, LS_ERR_FULL);
            refused = true;
            check_log(fx->second, "one ");
            assert_int_equal(lsi_log_commit(fx->second, append(fx, fx->second, "two")), LS_OK);
            check_log(fx->first, "one two ");
        }
        (void)teardown(&made);
    }
    assert_true(failed);
}

int main(void)
{
#define A_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        A_TEST(what_another_wrote_is_synced_with_ones_own),
        A_TEST(what_is_not_there_any_more_is_not_vouched_for),
        A_TEST(a_write_that_failed_before_is_not_looked_for),
        A_TEST(short_memory_is_no_reason_to_deny_what_was_written),
        A_TEST(what_is_not_known_is_not_nothing),
        A_TEST(a_disk_that_is_full_cuts_a_batch_between_frames),
        A_TEST(files_with_unsynced_bytes_stay_open),
        cmocka_unit_test(a_write_that_nobody_can_look_at_has_failed),
        cmocka_unit_test(a_roll_that_nobody_told_is_taken_over),
        cmocka_unit_test(no_descriptor_is_no_failed_sync),
        cmocka_unit_test(a_full_disk_stops_no_reader_after_a_boot),
        cmocka_unit_test(a_large_frame_is_on_its_way_before_its_sync),
        cmocka_unit_test(a_large_frame_that_fails_anywhere_is_not_there),
        cmocka_unit_test(a_power_loss_shows_a_large_frame_whole_or_not),
    };

    return cmocka_run_group_tests_name("others' bytes (E2), and what a put is told of its sync (D7)", tests, NULL, NULL);
}
