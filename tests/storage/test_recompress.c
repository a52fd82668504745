/* Which sealed segments are compressed (storage/recompress.c), and which are left as they are and looked at once: those
 * that it gains nothing for, and those with damage, whatever it is (B3); and that a file which does not read as what
 * was written takes nobody's place (B1). On the simulated disk, with bytes changed by hand. */
#include "storage/log_store.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define SMALL LSI_SEGMENT_BYTES_MIN
#define RECORD 20000u
#define RECORDS 4u /* three fill a segment */
#define FIRST "1/0/00000001.seg"
#define FRESH "1/0/00000001.new"

typedef struct fixture {
    sim_files *sim;
    lsi_files *files;
    sim_memory memory;
    lsi_memory table;
    log_store store;
    bool is_done; /* the hook was there */
} fixture;

static void open_log(fixture *fx, bool make)
{
    fx->store.memory = &fx->table;
    log_store_open(&fx->store, fx->files, make, LS_DURABILITY_SYNC, SMALL);
}

static int set_up(void **state)
{
    static fixture fx;

    memset(&fx, 0, sizeof fx);
    fx.sim = sim_files_new();
    fx.files = sim_files_table(fx.sim);
    fx.memory = (sim_memory)SIM_MEMORY_INIT;
    fx.table = sim_memory_table(&fx.memory);
    open_log(&fx, true);
    *state = &fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    (void)log_store_close(&fx->store);
    assert_int_equal(fx->memory.live, 0);
    sim_files_free(fx->sim);
    lsi_boot_id_pretend(NULL);
    return 0;
}

static void put_text(fixture *fx)
{
    for (unsigned n = 0; n < RECORDS; n++)
        assert_int_equal(log_store_put(&fx->store, n, RECORD, &(ls_seqno){0}), LS_OK);
}

static lsi_segment_list *list_of(fixture *fx)
{
    lsi_segment_list *list;

    assert_int_equal(lsi_segment_list_load(&fx->store.config, &list), LS_OK);
    return list;
}

static bool is_there(fixture *fx, const char *name)
{
    lsi_file file;

    if (fx->files->open(&fx->store.root, name, 0, &file) != 0)
        return false;
    assert_int_equal(fx->files->close(&file), 0);
    return true;
}

static uint64_t size_of(fixture *fx, const char *name)
{
    uint64_t size;
    lsi_file file;

    assert_int_equal(fx->files->open(&fx->store.root, name, 0, &file), 0);
    assert_int_equal(fx->files->size(&file, &size), 0);
    assert_int_equal(fx->files->close(&file), 0);
    return size;
}

static void change_byte(fixture *fx, const char *name, uint64_t at, bool fix_header)
{
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    lsi_file file;

    assert_int_equal(fx->files->open(&fx->store.root, name, LSI_OPEN_WRITE, &file), 0);
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

/* It is looked at once, and stays what it is. */
static void assert_left_alone(fixture *fx)
{
    uint64_t size = size_of(fx, FIRST), saved;
    lsi_segment_list *list;
    bool found;

    assert_int_equal(lsi_log_recompress(fx->store.log, true, &found, &saved), LS_OK);
    assert_true(found);
    assert_int_equal(lsi_log_recompress(fx->store.log, false, &found, &saved), LS_OK);
    assert_true(found);
    assert_int_equal(saved, 0);
    assert_int_equal(size_of(fx, FIRST), size);
    assert_false(is_there(fx, FRESH));
    list = list_of(fx);
    assert_int_equal(list->entries[0].flags & LSI_SEGMENT_LOOKED_AT, LSI_SEGMENT_LOOKED_AT);
    lsi_segment_list_unref(list);
    assert_int_equal(lsi_log_recompress(fx->store.log, false, &found, &saved), LS_OK);
    assert_false(found);
}

static void text_gets_smaller(void **state)
{
    fixture *fx = *state;
    lsi_segment_list *list;
    uint64_t before, saved;
    bool found;

    put_text(fx);
    before = size_of(fx, FIRST);
    assert_int_equal(lsi_log_recompress(fx->store.log, false, &found, &saved), LS_OK);
    assert_true(found);
    list = list_of(fx);
    assert_int_equal(list->entries[0].file_bytes, size_of(fx, FIRST));
    assert_true(list->entries[0].file_bytes < before / 8);
    assert_true(saved > 0);
    lsi_segment_list_unref(list);
    assert_int_equal(log_store_count(&fx->store, 0), RECORDS);
}

/* B3: by less than an eighth is not worth it. */
static void what_does_not_gain_stays_plain(void **state)
{
    static unsigned char data[RECORD];
    fixture *fx = *state;
    uint32_t random = 1, accepted;
    ls_seqno seqno;
    uint64_t end;
    bool closed;

    for (unsigned n = 0; n < RECORDS; n++) {
        ls_put_entry entry = {{"key", 3}, {data, sizeof data}, NULL};

        for (size_t i = 0; i < sizeof data; i++) {
            random = random * 1664525 + 1013904223;
            data[i] = i < sizeof data / 10 ? 'a' : (unsigned char)(random >> 24);
        }
        assert_int_equal(lsi_log_append(fx->store.log, fx->store.framer, &entry, NULL, 1, false, &accepted, &seqno,
                                        &end, &closed), LS_OK);
        assert_int_equal(lsi_log_commit(fx->store.log, end), LS_OK);
    }
    assert_left_alone(fx);
}

static void a_damaged_frame_stays_as_it_is(void **state)
{
    fixture *fx = *state;

    put_text(fx);
    change_byte(fx, FIRST, LSI_SEGMENT_HEADER_BYTES + RECORD + 500, false);
    assert_left_alone(fx);
}

static void a_damaged_header_stays_as_it_is(void **state)
{
    fixture *fx = *state;

    put_text(fx);
    change_byte(fx, FIRST, 60, false);
    assert_left_alone(fx);
}

static void a_header_of_another_release_stays_as_it_is(void **state)
{
    fixture *fx = *state;

    put_text(fx);
    change_byte(fx, FIRST, 8, true);
    assert_left_alone(fx);
}

/* Its header is whole, and not that of the segment which the list names. */
static void somebody_elses_file_stays_as_it_is(void **state)
{
    fixture *fx = *state;

    put_text(fx);
    change_byte(fx, FIRST, 88, true);
    assert_left_alone(fx);
}

/* Bytes behind a torn end are kept for who wants to look. */
static void a_torn_tail_stays_as_it_is(void **state)
{
    unsigned char boot[16] = {9};
    fixture *fx = *state;
    uint64_t end;

    assert_int_equal(log_store_put(&fx->store, 0, RECORD, &(ls_seqno){0}), LS_OK);
    end = LSI_SEGMENT_HEADER_BYTES + lsi_load(&lsi_log_slot(fx->store.log)->committed_end);
    change_byte(fx, FIRST, end + 100, false);
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    lsi_boot_id_pretend(boot);
    open_log(fx, false);
    assert_int_equal(log_store_put(&fx->store, 1, RECORD, &(ls_seqno){0}), LS_OK);
    assert_left_alone(fx);
    assert_int_equal(log_store_count(&fx->store, 0), 2);
}

/* B1: whatever the disk made of it since it was synced. */
static void spoil(void *user, sim_call call, const char *name)
{
    fixture *fx = user;

    if (fx->is_done || call != SIM_SYNC_ENDS || strstr(name, ".new") == NULL || strstr(name, "00000001") == NULL)
        return;
    fx->is_done = true;
    change_byte(fx, name, LSI_SEGMENT_HEADER_BYTES + 100, false);
}

static void what_does_not_read_as_it_was_written_is_not_used(void **state)
{
    fixture *fx = *state;
    uint64_t size, saved;
    bool found;

    put_text(fx);
    size = size_of(fx, FIRST);
    sim_hook_set(fx->sim, spoil, fx);
    assert_int_equal(lsi_log_recompress(fx->store.log, false, &found, &saved), LS_ERR_IO);
    sim_hook_set(fx->sim, NULL, NULL);
    assert_true(fx->is_done);
    assert_non_null(strstr(ls_last_error_message(), "does not read as what was written"));
    assert_int_equal(size_of(fx, FIRST), size);
    assert_false(is_there(fx, FRESH));
    assert_int_equal(log_store_count(&fx->store, 0), RECORDS);
    assert_int_equal(lsi_log_recompress(fx->store.log, false, &found, &saved), LS_OK); /* The next one is right. */
    assert_true(size_of(fx, FIRST) < size);
}

/* B2: the file is in blocks and the list does not say so, for a death came between; its size is found again, whatever
 * fails meanwhile. */
static void a_mark_that_is_missing_is_made(void **state)
{
    fixture *fx = *state;
    lsi_segment_list *list;
    uint64_t saved, met = 1;
    bool found;

    put_text(fx);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_RENAME, .name = "trimmed.new", .nth = 1, .err = EIO});
    assert_int_equal(lsi_log_recompress(fx->store.log, false, &found, &saved), LS_ERR_IO);
    sim_faults_clear(fx->sim);
    for (uint64_t nth = 1; met != 0; nth++) {
        ls_status st;

        sim_fault_add(fx->sim, (sim_fault){.name = "00000001.seg", .nth = nth, .err = EIO});
        st = lsi_log_recompress(fx->store.log, false, &found, &saved);
        met = sim_faults_met(fx->sim);
        sim_faults_clear(fx->sim);
        if (st == LS_OK)
            break;
        assert_int_equal(st, LS_ERR_IO);
    }
    list = list_of(fx);
    assert_int_equal(list->entries[0].flags & LSI_SEGMENT_LOOKED_AT, LSI_SEGMENT_LOOKED_AT);
    assert_int_equal(list->entries[0].file_bytes, size_of(fx, FIRST));
    lsi_segment_list_unref(list);
}

/* B3: a segment with a skip is left alone, and those before and behind it are not. */
static void a_skip_keeps_its_own_segment(void **state)
{
    static const char *const names[] = {FIRST, "1/0/00000002.seg", "1/0/00000003.seg"};
    fixture *fx = *state;
    lsi_segment_list *list, *fresh;
    uint64_t before[3], saved;
    bool found = true;

    for (unsigned n = 0; n < 10; n++) /* three segments, and one more record */
        assert_int_equal(log_store_put(&fx->store, n, RECORD, &(ls_seqno){0}), LS_OK);
    list = list_of(fx);
    assert_int_equal(list->count, 4);
    assert_int_equal(lsi_segment_list_copy(list, &fresh), LS_OK);
    fresh->skips[fresh->skip_count++] = (lsi_skip){list->entries[1].base, list->entries[1].base + 8, 4, 4};
    assert_int_equal(lsi_segment_list_store(&fx->store.config, fresh), LS_OK);
    lsi_segment_list_unref(list);
    lsi_segment_list_unref(fresh);
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    open_log(fx, false);
    for (int i = 0; i < 3; i++)
        before[i] = size_of(fx, names[i]);
    for (int calls = 0; found; calls++) {
        assert_in_range(calls, 0, 10);
        assert_int_equal(lsi_log_recompress(fx->store.log, false, &found, &saved), LS_OK);
    }
    assert_true(size_of(fx, names[0]) < before[0] / 8);
    assert_true(size_of(fx, names[1]) == before[1]);
    assert_true(size_of(fx, names[2]) < before[2] / 8);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(text_gets_smaller),
        T(what_does_not_gain_stays_plain),
        T(a_damaged_frame_stays_as_it_is),
        T(a_damaged_header_stays_as_it_is),
        T(a_header_of_another_release_stays_as_it_is),
        T(somebody_elses_file_stays_as_it_is),
        T(a_torn_tail_stays_as_it_is),
        T(what_does_not_read_as_it_was_written_is_not_used),
        T(a_mark_that_is_missing_is_made),
        T(a_skip_keeps_its_own_segment),
    };
    return cmocka_run_group_tests_name("which segments are compressed", tests, NULL, NULL);
}
