/* Copying a log (storage/copy.c): what is damaged is not copied (C4), what was lost of an earlier copy is copied again
 * (C3), and what is no copy of this log is told so. On the simulated disk, with files changed by hand. */
#include "storage/log_store.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define SMALL LSI_SEGMENT_BYTES_MIN
#define RECORD 20000u
#define RECORDS 7u /* three fill a segment */
#define FIRST "1/0/00000001.seg"

typedef struct fixture {
    sim_files *sim;
    lsi_files *files;
    sim_memory memory;
    lsi_memory table;
    log_store store;
    lsi_root copy;
} fixture;

static int set_up(void **state)
{
    static fixture fx;

    memset(&fx, 0, sizeof fx);
    fx.sim = sim_files_new();
    fx.files = sim_files_table(fx.sim);
    fx.memory = (sim_memory)SIM_MEMORY_INIT;
    fx.table = sim_memory_table(&fx.memory);
    fx.store.memory = &fx.table;
    log_store_open(&fx.store, fx.files, true, LS_DURABILITY_SYNC, SMALL);
    assert_int_equal(fx.files->root_open(fx.files, "store/copy", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &fx.copy), 0);
    assert_int_equal(fx.files->make_dir(&fx.copy, "1"), 0);
    assert_int_equal(fx.files->make_dir(&fx.copy, "1/0"), 0);
    *state = &fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    fx->files->root_close(&fx->copy);
    (void)log_store_close(&fx->store);
    assert_int_equal(fx->memory.live, 0);
    sim_files_free(fx->sim);
    return 0;
}

static void put(fixture *fx, unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++)
        assert_int_equal(log_store_put(&fx->store, n, RECORD, &(ls_seqno){0}), LS_OK);
}

static ls_status copy_now(fixture *fx, uint64_t *bytes)
{
    lsi_copy copy = {0};
    ls_status st = lsi_log_copy(fx->store.log, &fx->copy, &copy);

    *bytes = copy.done_bytes;
    return st;
}

static ls_status try_copy(fixture *fx)
{
    uint64_t bytes;

    return copy_now(fx, &bytes);
}

/* The copy is a log of its own: what is in it. */
static uint32_t count_copied(fixture *fx, unsigned first)
{
    log_store there = fx->store;
    uint32_t count;

    there.config.root = &fx->copy;
    there.config.stream = 1;
    there.config.read_only = true;
    assert_int_equal(lsi_control_open(&there.env, &fx->copy, there.config.store_id, true, &there.control, &(bool){0}),
                     LS_OK);
    there.config.control = there.control;
    assert_int_equal(lsi_log_open(&there.config, &there.log), LS_OK);
    count = log_store_count(&there, first);
    assert_int_equal(lsi_log_close(there.log), LS_OK);
    lsi_control_close(there.control);
    return count;
}

static void change(fixture *fx, const lsi_root *root, const char *name, uint64_t at, bool fix_header)
{
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    lsi_file file;

    assert_int_equal(fx->files->open(root, name, LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(fx->files->read(&file, bytes, 1, at), 1);
    bytes[0] ^= 0x40;
    assert_int_equal(lsi_file_write_one(&file, bytes, 1, at), 0);
    if (fix_header) {
        assert_int_equal(fx->files->read(&file, bytes, sizeof bytes, 0), sizeof bytes);
        lsi_write_u64le(bytes + sizeof bytes - 8, lsi_sum64(bytes, sizeof bytes - 8, 0));
        assert_int_equal(lsi_file_write_one(&file, bytes, sizeof bytes, 0), 0);
    }
    assert_int_equal(fx->files->close(&file), 0);
}

static void cut(fixture *fx, const lsi_root *root, const char *name, uint64_t size)
{
    lsi_file file;

    assert_int_equal(fx->files->open(root, name, LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(fx->files->truncate(&file, size), 0);
    assert_int_equal(fx->files->close(&file), 0);
}

/* Until so many bytes are copied. */
static bool until(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
    assert_true(done_bytes <= total_bytes);
    return done_bytes < *(const uint64_t *)user;
}

/* Wherever it is cancelled, what is there is no more than a part, and the next call goes on. */
static void who_is_asked_may_cancel(void **state)
{
    fixture *fx = *state;
    ls_status st = LS_ERR_CANCELLED;
    unsigned cancelled = 0;

    put(fx, 0, RECORDS);
    for (uint64_t most = 1; st != LS_OK; cancelled++) {
        lsi_copy copy = {.progress = until, .user = &most, .total_bytes = UINT64_MAX};

        st = lsi_log_copy(fx->store.log, &fx->copy, &copy);
        assert_true(st == LS_OK || st == LS_ERR_CANCELLED);
        most = copy.done_bytes + 1;
    }
    assert_in_range(cancelled, 2, 100);
    assert_int_equal(count_copied(fx, 0), RECORDS);
}

static void only_what_is_new_is_copied(void **state)
{
    fixture *fx = *state;
    uint64_t first, second, expected;

    put(fx, 0, RECORDS);
    assert_int_equal(lsi_log_copy_bytes(fx->store.log, &expected), LS_OK);
    assert_int_equal(copy_now(fx, &first), LS_OK);
    assert_in_range(first, expected - expected / 10, expected + expected / 10);
    assert_int_equal(count_copied(fx, 0), RECORDS);
    put(fx, RECORDS, RECORDS + 1);
    assert_int_equal(copy_now(fx, &second), LS_OK);
    assert_true(first > RECORDS * RECORD && second < 3 * RECORD); /* Two segments were sealed before. */
    assert_int_equal(count_copied(fx, 0), RECORDS + 1);
}

static bool is_copied(fixture *fx, uint32_t number)
{
    char name[LSI_SEGMENT_NAME_BYTES];
    lsi_file file;
    int rc;

    lsi_segment_name("1/0", number, "seg", name);
    rc = fx->files->open(&fx->copy, name, 0, &file);
    if (rc == 0)
        assert_int_equal(fx->files->close(&file), 0);
    return rc == 0;
}

/* A copy that is gone on with takes no more room than its log. */
static void what_was_trimmed_meanwhile_goes_from_the_copy(void **state)
{
    fixture *fx = *state;

    put(fx, 0, RECORDS);
    assert_int_equal(try_copy(fx), LS_OK);
    assert_true(is_copied(fx, 1) && is_copied(fx, 2) && is_copied(fx, 3));
    assert_int_equal(lsi_log_trim(fx->store.log, 3, INT64_MAX, &(uint32_t){0}), LS_OK);
    assert_int_equal(try_copy(fx), LS_OK);
    assert_true(!is_copied(fx, 1) && !is_copied(fx, 2) && is_copied(fx, 3));
    assert_int_equal(count_copied(fx, 6), RECORDS - 6);
}

/* C4: nothing of it takes a place in the copy, which stays what it was. */
static void damage_is_not_copied(void **state)
{
    fixture *fx = *state;

    put(fx, 0, RECORDS);
    assert_int_equal(try_copy(fx), LS_OK);
    put(fx, RECORDS, RECORDS + 3);
    change(fx, &fx->store.root, "1/0/00000003.seg", LSI_SEGMENT_HEADER_BYTES + RECORD + 500, false);
    assert_int_equal(try_copy(fx), LS_ERR_CORRUPT);
    assert_non_null(strstr(ls_last_error_message(), "00000003.seg"));
    const char *at = strstr(ls_last_error_message(), "damage at 0x");
    assert_non_null(at); /* of its second frame, in the file */
    assert_in_range(strtoul(at + strlen("damage at "), NULL, 0), LSI_SEGMENT_HEADER_BYTES + RECORD,
                    LSI_SEGMENT_HEADER_BYTES + RECORD + 100);
    assert_int_equal(count_copied(fx, 0), RECORDS);
}

static void what_is_shorter_than_the_list_says_is_not_copied(void **state)
{
    fixture *fx = *state;

    put(fx, 0, RECORDS);
    cut(fx, &fx->store.root, FIRST, LSI_SEGMENT_HEADER_BYTES + 2 * RECORD);
    assert_int_equal(try_copy(fx), LS_ERR_CORRUPT);
    assert_non_null(strstr(ls_last_error_message(), "should go on to"));
}

static void somebody_elses_segment_is_not_copied(void **state)
{
    fixture *fx = *state;

    put(fx, 0, RECORDS);
    change(fx, &fx->store.root, FIRST, 88, true);
    assert_int_equal(try_copy(fx), LS_ERR_CORRUPT);
    assert_non_null(strstr(ls_last_error_message(), "is not the file that the segment list names"));
}

static void a_segment_that_is_gone_is_not_copied(void **state)
{
    fixture *fx = *state;

    put(fx, 0, RECORDS);
    assert_int_equal(fx->files->unlink(&fx->store.root, FIRST), 0);
    assert_int_equal(try_copy(fx), LS_ERR_CORRUPT); /* after as many tries as trimming could ask for */
    assert_non_null(strstr(ls_last_error_message(), "named by the list and not there"));
}

/* C3: lost, cut short, or another file by that name. */
static void what_the_copy_lost_is_copied_again(void **state)
{
    fixture *fx = *state;

    put(fx, 0, RECORDS);
    assert_int_equal(try_copy(fx), LS_OK);
    for (int how = 0; how < 3; how++) {
        if (how == 0)
            assert_int_equal(fx->files->unlink(&fx->copy, FIRST), 0);
        else if (how == 1)
            cut(fx, &fx->copy, FIRST, LSI_SEGMENT_HEADER_BYTES + 2 * RECORD);
        else
            change(fx, &fx->copy, FIRST, 88, true);
        assert_int_equal(try_copy(fx), LS_OK);
        assert_int_equal(count_copied(fx, 0), RECORDS);
    }
}

/* Somebody wrote to the copy: it goes on in a segment that this log never had, or has by another header. */
static void what_is_no_copy_of_this_log_is_told_so(void **state)
{
    lsi_log_config there;
    fixture *fx = *state;
    lsi_segment_list *list;

    put(fx, 0, RECORDS);
    assert_int_equal(try_copy(fx), LS_OK);
    there = fx->store.config;
    there.root = &fx->copy;
    assert_int_equal(lsi_segment_list_load(&there, &list), LS_OK);
    list->entries[1].header_sum ^= 1;
    assert_int_equal(lsi_segment_list_store(&there, list), LS_OK);
    assert_int_equal(try_copy(fx), LS_ERR_STATE);
    list->entries[1].header_sum ^= 1;
    list->entries[2].number = 9;
    assert_int_equal(lsi_segment_list_store(&there, list), LS_OK);
    assert_int_equal(try_copy(fx), LS_ERR_STATE);
    lsi_segment_list_unref(list);
}

/* What a reset gave up is at the end of a segment, and nobody reads it: the copy need not have it. */
static void what_was_given_up_is_not_copied(void **state)
{
    fixture *fx = *state;
    ls_seqno seqno;

    put(fx, 0, 2);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_SYNC, .name = ".seg", .nth = 1, .err = EIO});
    assert_int_equal(log_store_put(&fx->store, 2, RECORD, &seqno), LS_ERR_IO);
    sim_faults_clear(fx->sim);
    assert_int_equal(lsi_log_reset(fx->store.log), LS_OK);
    put(fx, 2, RECORDS);
    assert_int_equal(try_copy(fx), LS_OK);
    assert_int_equal(count_copied(fx, 0), RECORDS);
    assert_int_equal(try_copy(fx), LS_OK);
    assert_int_equal(count_copied(fx, 0), RECORDS);
}

static uint32_t count_all(lsi_log *log)
{
    const ls_record *records;
    lsi_log_reader *reader;
    uint32_t count, total = 0;
    bool tip = false, end;

    assert_int_equal(lsi_log_reader_open(log, LSI_READ_FAST, &reader), LS_OK);
    while (!tip) {
        assert_int_equal(lsi_log_reader_read(reader, 10, 1 << 20, &records, &count, &tip, &end), LS_OK);
        total += count;
    }
    lsi_log_reader_close(reader);
    return total;
}

/* What a repair made readers step over is copied as it is; where all of a segment is, its file may be gone. */
static void what_a_repair_gave_up_is_not_asked_for(void **state)
{
    lsi_inspection inspection = {.stream = "test", .stream_id = 1};
    lsi_log_config there;
    fixture *fx = *state;
    lsi_log *log;

    put(fx, 0, RECORDS + 3);
    assert_int_equal(lsi_log_close(fx->store.log), LS_OK);
    change(fx, &fx->store.root, FIRST, LSI_SEGMENT_HEADER_BYTES + RECORD + 500, false);
    assert_int_equal(fx->files->unlink(&fx->store.root, "1/0/00000002.seg"), 0);
    assert_int_equal(lsi_log_repair(&fx->store.config, &inspection), LS_OK);
    assert_int_equal(inspection.damages_left, 0);
    assert_int_equal(lsi_log_open(&fx->store.config, &fx->store.log), LS_OK);
    assert_int_equal(count_all(fx->store.log), RECORDS + 3 - 4);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(try_copy(fx), LS_OK);
        there = fx->store.config;
        there.root = &fx->copy;
        there.read_only = true;
        assert_int_equal(lsi_control_open(&fx->store.env, &fx->copy, there.store_id, true, &there.control, &(bool){0}),
                         LS_OK);
        assert_int_equal(lsi_log_open(&there, &log), LS_OK);
        assert_int_equal(count_all(log), RECORDS + 3 - 4);
        assert_int_equal(lsi_log_close(log), LS_OK);
        lsi_control_close(there.control);
    }
}

/* Who remembers no producers any more has lost what they had put: that is damage, unless nobody can put. */
static void producers_that_are_lost_are_not_copied(void **state)
{
    ls_put_entry entry = {{"k", 1}, {"data", 4}, NULL};
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_put_result told;
    lsi_log_numbered numbered = {.options = &options, .told = &told};
    fixture *fx = *state;
    uint64_t end;
    bool closed;

    options.producer = (ls_producer_id){1, 2};
    options.number = 5;
    assert_int_equal(lsi_log_append_numbered(fx->store.log, fx->store.framer, &entry, NULL, 1, &numbered, &end,
                                             &closed), LS_OK);
    assert_int_equal(lsi_log_commit(fx->store.log, end), LS_OK);
    assert_int_equal(try_copy(fx), LS_OK);
    assert_int_equal(try_copy(fx), LS_OK);
    assert_int_equal(fx->files->unlink(&fx->store.root, "1/0/producers"), 0);
    assert_int_equal(try_copy(fx), LS_ERR_CORRUPT);
    assert_non_null(strstr(ls_last_error_message(), "producers is not there"));
    fx->store.config.is_closed = true;
    fx->store.config.end = end;
    assert_int_equal(lsi_log_close(fx->store.log), LS_OK);
    assert_int_equal(lsi_log_open(&fx->store.config, &fx->store.log), LS_OK);
    assert_int_equal(try_copy(fx), LS_OK);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(who_is_asked_may_cancel),
        T(only_what_is_new_is_copied),
        T(what_was_trimmed_meanwhile_goes_from_the_copy),
        T(damage_is_not_copied),
        T(what_is_shorter_than_the_list_says_is_not_copied),
        T(somebody_elses_segment_is_not_copied),
        T(a_segment_that_is_gone_is_not_copied),
        T(what_the_copy_lost_is_copied_again),
        T(what_is_no_copy_of_this_log_is_told_so),
        T(what_was_given_up_is_not_copied),
        T(what_a_repair_gave_up_is_not_asked_for),
        T(producers_that_are_lost_are_not_copied),
    };
    return cmocka_run_group_tests_name("copying a log", tests, NULL, NULL);
}
