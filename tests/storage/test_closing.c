/* A log's end (storage/closing.c): what appends and readers find before, while and after it is decided, and what is
 * made of a closed log after a reboot, with junk behind its end and with damage before it (S9). On files in memory. */
#include "storage/log_store.h"

#include "base/file.h"

#define SMALL LSI_SEGMENT_BYTES_MIN
#define SEGMENT "1/0/00000001.seg"

typedef struct fixture {
    lsi_files *files;
    log_store store;
    lsi_log_closing ended;
} fixture;

static int setup(void **state)
{
    static fixture fx;

    memset(&fx, 0, sizeof fx);
    fx.files = lsi_files_memory_new(&lsi_memory_libc);
    assert_non_null(fx.files);
    log_store_open(&fx.store, fx.files, true, LS_DURABILITY_SYNC, SMALL);
    *state = &fx;
    return 0;
}

static int teardown(void **state)
{
    fixture *fx = *state;

    if (fx->store.log != NULL)
        (void)log_store_close(&fx->store);
    lsi_files_memory_free(fx->files);
    return 0;
}

/* Closes it for good; `fx->ended` is what would be written down. */
static void close_for_good(fixture *fx)
{
    assert_int_equal(lsi_log_closing_begin(fx->store.log, &fx->ended), LS_OK);
    lsi_log_closing_end(fx->store.log, true);
    lsi_log_closing_release(fx->store.log);
}

/* Opens it again as something that was closed at `fx->ended`, with or without the control file. */
static void reopen_closed(fixture *fx, bool control)
{
    lsi_log *log;

    assert_int_equal(log_store_close(&fx->store), LS_OK);
    if (!control) {
        lsi_root root;

        assert_int_equal(fx->files->root_open(fx->files, "store", LSI_ROOT_WRITE, &root), 0);
        assert_int_equal(fx->files->unlink(&root, LSI_CONTROL_NAME), 0);
        fx->files->root_close(&root);
    }
    log_store_open(&fx->store, fx->files, false, LS_DURABILITY_SYNC, SMALL);
    fx->store.config.is_closed = true;
    fx->store.config.end = fx->ended.end;
    assert_int_equal(lsi_log_open(&fx->store.config, &log), LS_OK);
    assert_int_equal(lsi_log_close(fx->store.log), LS_OK);
    fx->store.log = log;
}

/* One put through the log: whether it was told that the log is closed. */
static bool put_is_refused(fixture *fx, unsigned n)
{
    ls_put_entry entry = {{"key", 3}, {&n, sizeof n}, NULL};
    uint32_t accepted;
    ls_seqno seqno;
    uint64_t end;
    bool closed;

    assert_int_equal(lsi_log_append(fx->store.log, fx->store.framer, &entry, NULL, 1, false, &accepted, &seqno, &end,
                                    &closed), LS_OK);
    assert_int_equal(accepted, closed ? 0 : 1);
    return closed;
}

/* Reads from the beginning: how many records, and whether they are followed by the end. */
static uint32_t read_all(fixture *fx, bool *end, ls_status *st)
{
    lsi_log_reader *reader;
    const ls_record *records;
    uint32_t count, total = 0;
    bool tip = false;

    *end = false;
    *st = lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader);
    if (*st != LS_OK)
        return 0;
    while (!tip && *st == LS_OK) {
        *st = lsi_log_reader_read(reader, 2, 1 << 20, &records, &count, &tip, end);
        total += *st == LS_OK ? count : 0;
        assert_true(tip || !*end);
    }
    lsi_log_reader_close(reader);
    return total;
}

static void assert_reads(fixture *fx, uint32_t count, bool ends)
{
    ls_status st;
    bool end;

    assert_int_equal(read_all(fx, &end, &st), count);
    assert_int_equal(st, LS_OK);
    assert_int_equal(end, ends);
}

static void write_at(fixture *fx, const char *name, const void *bytes, size_t size, uint64_t at)
{
    lsi_file file = {0};

    assert_int_equal(fx->files->open(&fx->store.root, name, LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(lsi_file_write_one(&file, bytes, size, at), 0);
    assert_int_equal(fx->files->close(&file), 0);
}

/* ---- while it is decided ---- */

static void a_closed_log_takes_nothing_and_ends(void **state)
{
    fixture *fx = *state;
    ls_seqno last;

    for (unsigned n = 0; n < 5; n++)
        assert_int_equal(log_store_put(&fx->store, n, 100, &last), LS_OK);
    assert_reads(fx, 5, false);
    close_for_good(fx);
    assert_true(fx->ended.next_seqno > last);
    assert_int_equal(fx->ended.end, lsi_load(&lsi_log_slot(fx->store.log)->committed_end));
    assert_int_equal(fx->ended.last_arrival_us, fx->store.wall_us);
    assert_true(put_is_refused(fx, 5));
    assert_reads(fx, 5, true);
    assert_int_equal(lsi_log_closing_begin(fx->store.log, &fx->ended), LS_ERR_STATE);
    assert_int_equal(lsi_log_reset(fx->store.log), LS_ERR_STATE);
    assert_int_equal(lsi_log_sync(fx->store.log), LS_OK);
}

static void a_closing_that_came_to_nothing_leaves_the_log_open(void **state)
{
    fixture *fx = *state;
    ls_seqno last;

    assert_int_equal(log_store_put(&fx->store, 0, 100, &last), LS_OK);
    assert_int_equal(lsi_log_closing_begin(fx->store.log, &fx->ended), LS_OK);
    lsi_log_closing_end(fx->store.log, false);
    lsi_log_closing_release(fx->store.log);
    assert_false(put_is_refused(fx, 1));
    assert_int_equal(lsi_log_sync(fx->store.log), LS_OK);
    assert_reads(fx, 2, false);
}

/* Goal: nobody goes on before it is known. Method: release without an outcome, as a closer who died; then either. */
static void an_unknown_outcome_refuses_puts_and_ends_nothing(void **state)
{
    fixture *fx = *state;
    lsi_slot *slot;
    ls_seqno last;

    assert_int_equal(log_store_put(&fx->store, 0, 100, &last), LS_OK);
    assert_int_equal(lsi_log_closing_begin(fx->store.log, &fx->ended), LS_OK);
    lsi_log_closing_release(fx->store.log);
    slot = lsi_log_slot(fx->store.log);
    assert_true(put_is_refused(fx, 1));
    assert_reads(fx, 1, false);
    lsi_slot_closing_ended(slot, false);
    assert_false(put_is_refused(fx, 1));
    assert_int_equal(lsi_log_sync(fx->store.log), LS_OK);
    assert_int_equal(lsi_log_closing_begin(fx->store.log, &fx->ended), LS_OK);
    lsi_log_closing_release(fx->store.log);
    assert_int_equal(lsi_log_closing_begin(fx->store.log, &fx->ended), LS_OK); /* who finishes may begin again */
    lsi_log_closing_release(fx->store.log);
    lsi_slot_closing_ended(slot, true);
    assert_true(put_is_refused(fx, 2));
    assert_reads(fx, 2, true);
}

/* Goal: S9, durable before it is closed. Method: KERNEL mode, where a put leaves its bytes in the kernel. */
static void closing_makes_everything_durable(void **state)
{
    fixture *fx = *state;
    lsi_slot *slot;

    assert_int_equal(log_store_close(&fx->store), LS_OK);
    log_store_open(&fx->store, fx->files, false, LS_DURABILITY_KERNEL, SMALL);
    for (unsigned n = 0; n < 40; n++)
        assert_int_equal(log_store_put(&fx->store, n, 9000, &(ls_seqno){0}), LS_OK); /* several segments */
    slot = lsi_log_slot(fx->store.log);
    assert_true(lsi_load(&slot->durable_end) < lsi_load(&slot->committed_end));
    close_for_good(fx);
    assert_int_equal(lsi_load(&slot->durable_end), fx->ended.end);
    assert_null(fx->store.log->current); /* and its descriptor is given back */
    assert_null(fx->store.log->tail);
    assert_reads(fx, 40, true);
}

static void one_that_refuses_puts_is_not_closed(void **state)
{
    fixture *fx = *state;

    assert_int_equal(log_store_put(&fx->store, 0, 100, &(ls_seqno){0}), LS_OK);
    (void)lsi_log_fail(fx->store.log, lsi_log_slot(fx->store.log), 5);
    assert_int_equal(lsi_log_closing_begin(fx->store.log, &fx->ended), LS_ERR_IO);
    assert_int_equal(lsi_log_closing_begin(fx->store.log, &fx->ended), LS_ERR_IO); /* the lock was given back */
}

/* ---- afterwards ---- */

static void a_closed_log_stays_closed(void **state)
{
    fixture *fx = *state;

    for (unsigned n = 0; n < 20; n++)
        assert_int_equal(log_store_put(&fx->store, n, 8000, &(ls_seqno){0}), LS_OK);
    close_for_good(fx);
    for (int i = 0; i < 4; i++) {
        reopen_closed(fx, i % 2 == 0);
        assert_true(put_is_refused(fx, 20));
        assert_reads(fx, 20, true);
    }
}

/* What a closed, empty log is, too. */
static void an_empty_log_can_be_closed(void **state)
{
    fixture *fx = *state;

    close_for_good(fx);
    assert_int_equal(fx->ended.end, 0);
    assert_int_equal(fx->ended.next_seqno, 1);
    assert_reads(fx, 0, true);
    reopen_closed(fx, false);
    assert_reads(fx, 0, true);
    assert_true(put_is_refused(fx, 0));
}

/* Goal: what a dead process left behind the end is never read, not even a whole frame. Method: append one more frame
 * behind the end that is stated, and junk behind that; reopen with nothing but the files. */
static void what_lies_behind_the_end_is_nobodys(void **state)
{
    fixture *fx = *state;
    lsi_slot *slot = NULL;

    for (unsigned n = 0; n < 3; n++)
        assert_int_equal(log_store_put(&fx->store, n, 100, &(ls_seqno){0}), LS_OK);
    slot = lsi_log_slot(fx->store.log);
    fx->ended.end = lsi_load(&slot->committed_end);
    assert_int_equal(log_store_put(&fx->store, 3, 100, &(ls_seqno){0}), LS_OK);
    write_at(fx, SEGMENT, "junk junk", 9, LSI_SEGMENT_HEADER_BYTES + lsi_load(&slot->committed_end));
    for (int i = 0; i < 3; i++) {
        reopen_closed(fx, i == 0);
        assert_reads(fx, 3, true);
        assert_int_equal(atomic_load(&lsi_log_slot(fx->store.log)->health), LSI_SHARD_HEALTHY);
        assert_true(put_is_refused(fx, 9));
    }
}

/* R5. Its file gives back the space that was made ahead, but what a dead writer left behind the end stays. */
static void closing_takes_nothing_that_a_dead_writer_left(void **state)
{
    fixture *fx = *state;
    static unsigned char piece[200 << 10], found[sizeof piece];
    lsi_file file = {0};
    lsi_slot *slot;

    memset(piece, 'x', sizeof piece);
    assert_int_equal(log_store_put(&fx->store, 0, 100, &(ls_seqno){0}), LS_OK);
    slot = lsi_log_slot(fx->store.log);
    write_at(fx, SEGMENT, piece, sizeof piece, LSI_SEGMENT_HEADER_BYTES + lsi_load(&slot->committed_end));
    atomic_store(&slot->write_end, lsi_load(&slot->committed_end) + sizeof piece);
    close_for_good(fx);
    assert_reads(fx, 1, true);
    assert_int_equal(fx->files->open(&fx->store.root, SEGMENT, 0, &file), 0);
    assert_int_equal(fx->files->read(&file, found, sizeof found, LSI_SEGMENT_HEADER_BYTES + fx->ended.end),
                     (int64_t)sizeof found);
    assert_int_equal(fx->files->close(&file), 0);
    assert_memory_equal(found, piece, sizeof piece);
}

/* Goal: the end that is stated proves what is missing (R3), where a torn tail would be silence. Method: cut the file
 * and break bytes within the last frame, after a reboot that lost the watermarks. */
static void what_is_missing_before_the_end_is_damage(void **state)
{
    fixture *fx = *state;
    uint64_t last = 0;
    bool end;
    ls_status st;

    for (unsigned n = 0; n < 3; n++) {
        last = lsi_log_slot(fx->store.log) == NULL ? 0 : lsi_load(&lsi_log_slot(fx->store.log)->committed_end);
        assert_int_equal(log_store_put(&fx->store, n, 100, &(ls_seqno){0}), LS_OK);
    }
    close_for_good(fx);
    write_at(fx, SEGMENT, "broken", 6, LSI_SEGMENT_HEADER_BYTES + last + 60);
    reopen_closed(fx, false);
    assert_int_equal(read_all(fx, &end, &st), 2);
    assert_int_equal(st, LS_ERR_CORRUPT);
    assert_false(end);
    assert_int_equal(atomic_load(&lsi_log_slot(fx->store.log)->health), LSI_SHARD_DAMAGED);
}

/* An end from a manifest that does not fit the list is damage, and no crash (X1). */
static void an_end_before_the_last_segment_is_damage(void **state)
{
    fixture *fx = *state;
    bool end;
    ls_status st;

    for (unsigned n = 0; n < 20; n++)
        assert_int_equal(log_store_put(&fx->store, n, 8000, &(ls_seqno){0}), LS_OK);
    fx->ended.end = 8;
    reopen_closed(fx, false);
    (void)read_all(fx, &end, &st);
    assert_int_equal(st, LS_ERR_CORRUPT);
    fx->ended.end = UINT64_MAX - 7;
    reopen_closed(fx, false);
    (void)read_all(fx, &end, &st);
    assert_int_equal(st, LS_ERR_CORRUPT);
}

static ls_inspect_act count_damage(const ls_finding *finding, void *user)
{
    *(unsigned *)user += finding->severity == LS_FINDING_DAMAGE;
    return LS_INSPECT_GO_ON;
}

/* Goal: a repair of a closed log steps over what is damaged, wherever it lies, and the log stays closed: nothing is to
 * be reset, for nobody puts. Method: break one frame after another; repair; read with and without the control file. */
static void damage_in_a_closed_log_is_stepped_over(void **state)
{
    uint64_t ends[6];
    fixture *fx = *state;

    for (unsigned n = 0; n < 5; n++) {
        assert_int_equal(log_store_put(&fx->store, n, 100, &(ls_seqno){0}), LS_OK);
        ends[n + 1] = lsi_load(&lsi_log_slot(fx->store.log)->committed_end);
    }
    ends[0] = 0;
    close_for_good(fx);
    static const unsigned broken[] = {2, 4, 0, 3}; /* in the middle, the last, the first, one beside another */
    for (uint32_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        unsigned damages = 0;
        lsi_inspection inspection = {.finding = count_damage, .user = &damages, .stream = "test", .stream_id = 1};
        lsi_segment_list *list;

        write_at(fx, SEGMENT, "broken", 6, LSI_SEGMENT_HEADER_BYTES + ends[broken[i]] + 60);
        reopen_closed(fx, i % 2 == 0);
        assert_int_equal(lsi_log_repair(&fx->store.config, &inspection), LS_OK);
        assert_int_equal(damages, 1);
        assert_int_equal(inspection.damages_left, 0);
        assert_int_equal(lsi_segment_list_load(&fx->store.config, &list), LS_OK);
        assert_int_equal(list->count, 1); /* It began no other segment. */
        assert_true(list->skip_count > 0);
        lsi_segment_list_unref(list);
        for (int k = 0; k < 2; k++) {
            reopen_closed(fx, k == 0);
            assert_reads(fx, 4 - i, true);
            assert_true(put_is_refused(fx, 9));
            assert_int_equal(atomic_load(&lsi_log_slot(fx->store.log)->health), LSI_SHARD_HEALTHY);
        }
    }
}

/* ---- one that never was used ---- */

static void a_log_is_unused_until_its_first_append(void **state)
{
    fixture *fx = *state;
    bool unused = false;

    assert_int_equal(lsi_log_is_unused(&fx->store.root, "1/0", &unused), LS_OK);
    assert_true(unused);
    assert_int_equal(lsi_log_is_unused(&fx->store.root, "1/7", &unused), LS_OK); /* not there */
    assert_true(unused);
    assert_int_equal(log_store_put(&fx->store, 0, 10, &(ls_seqno){0}), LS_OK);
    assert_int_equal(lsi_log_is_unused(&fx->store.root, "1/0", &unused), LS_OK);
    assert_false(unused);
}

static void a_file_of_somebody_elses_is_a_use(void **state)
{
    fixture *fx = *state;
    lsi_file file = {0};
    bool unused = true;

    assert_int_equal(fx->files->open(&fx->store.root, "1/0/notes", LSI_OPEN_WRITE | LSI_OPEN_CREATE, &file), 0);
    assert_int_equal(fx->files->close(&file), 0);
    assert_int_equal(lsi_log_is_unused(&fx->store.root, "1/0", &unused), LS_OK);
    assert_false(unused);
    assert_int_equal(fx->files->unlink(&fx->store.root, "1/0/notes"), 0);
    assert_int_equal(fx->files->make_dir(&fx->store.root, "1/0/" LSI_SEGMENT_LIST_NAME ".d"), 0); /* or a directory */
    assert_int_equal(lsi_log_is_unused(&fx->store.root, "1/0", &unused), LS_OK);
    assert_false(unused);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_closed_log_takes_nothing_and_ends),
        CASE(a_closing_that_came_to_nothing_leaves_the_log_open),
        CASE(an_unknown_outcome_refuses_puts_and_ends_nothing),
        CASE(closing_makes_everything_durable),
        CASE(one_that_refuses_puts_is_not_closed),
        CASE(a_closed_log_stays_closed),
        CASE(an_empty_log_can_be_closed),
        CASE(what_lies_behind_the_end_is_nobodys),
        CASE(closing_takes_nothing_that_a_dead_writer_left),
        CASE(what_is_missing_before_the_end_is_damage),
        CASE(an_end_before_the_last_segment_is_damage),
        CASE(damage_in_a_closed_log_is_stepped_over),
        CASE(a_log_is_unused_until_its_first_append),
        CASE(a_file_of_somebody_elses_is_a_use),
    };

    return cmocka_run_group_tests_name("a log's end", tests, NULL, NULL);
}
