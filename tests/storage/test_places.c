/* Places in a log by number: how many records lie behind one (storage/backlog.c), where one is sought (seek.c), what
 * the list says of numbers that a reset gave up (roll.c), and how many segments were removed (trim.c). The judge is
 * reading: a count is that of the records which a reader from there is shown. On the simulated disk. */
#include "storage/log_store.h"

#include <errno.h>

#include "support/sim_files.h"

#define SMALL LSI_SEGMENT_BYTES_MIN
#define RECORD 20000u /* three fill a segment */
#define RECORDS_MAX 64u

typedef struct fixture {
    sim_files *sim;
    log_store store;
    ls_seqno seqnos[RECORDS_MAX];
    uint32_t count;
} fixture;

static int set_up(void **state)
{
    static fixture fx;

    memset(&fx, 0, sizeof fx);
    fx.sim = sim_files_new();
    log_store_open(&fx.store, sim_files_table(fx.sim), true, LS_DURABILITY_SYNC, SMALL);
    *state = &fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    (void)log_store_close(&fx->store);
    sim_files_free(fx->sim);
    lsi_boot_id_pretend(NULL);
    return 0;
}

static void put(fixture *fx, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, fx->count++)
        assert_int_equal(log_store_put(&fx->store, fx->count, RECORD, &fx->seqnos[fx->count]), LS_OK);
}

/* The sync of a put fails; nothing of it stays. Its numbers are used up. */
static void put_fails_and_reset(fixture *fx)
{
    ls_seqno seqno;

    sim_fault_add(fx->sim, (sim_fault){.call = SIM_SYNC, .name = ".seg", .nth = 1, .err = EIO});
    assert_int_equal(log_store_put(&fx->store, 99, 300, &seqno), LS_ERR_IO);
    sim_faults_clear(fx->sim);
    assert_int_equal(lsi_log_reset(fx->store.log), LS_OK);
}

/* The machine is started anew, and nobody knows which numbers were given last. */
static void reboot(fixture *fx, unsigned char boot)
{
    unsigned char id[16] = {boot};

    assert_int_equal(log_store_close(&fx->store), LS_OK);
    lsi_boot_id_pretend(id);
    log_store_open(&fx->store, sim_files_table(fx->sim), false, LS_DURABILITY_SYNC, SMALL);
}

/* From each number around those that are there; `gone` of the first ones were trimmed. */
static void check_counts(fixture *fx, uint32_t gone)
{
    for (uint32_t i = gone; i < fx->count; i++) {
        uint64_t count;

        assert_int_equal(lsi_log_count_from(fx->store.log, fx->seqnos[i], &count), LS_OK);
        if (count != fx->count - i)
            fail_msg("from record %u, number %llu: %llu and not %u", i, (unsigned long long)fx->seqnos[i],
                     (unsigned long long)count, fx->count - i);
    }
    if (fx->count > 0) {
        uint64_t count;

        assert_int_equal(lsi_log_count_from(fx->store.log, fx->seqnos[fx->count - 1] + 1, &count), LS_OK);
        assert_int_equal(count, 0);
        assert_int_equal(lsi_log_count_from(fx->store.log, LS_SEQNO_END, &count), LS_OK);
        assert_int_equal(count, 0);
    }
}

static void records_are_counted_over_segments(void **state)
{
    fixture *fx = *state;
    uint64_t count;

    assert_int_equal(lsi_log_count_from(fx->store.log, 1, &count), LS_OK);
    assert_int_equal(count, 0);
    for (int i = 0; i < 9; i++) {
        put(fx, 1);
        check_counts(fx, 0);
    }
}

static void numbers_that_were_never_given_are_not_counted(void **state)
{
    fixture *fx = *state;

    put(fx, 2);
    put_fails_and_reset(fx);
    put(fx, 1);
    assert_true(fx->seqnos[2] > fx->seqnos[1] + 1);
    check_counts(fx, 0);
    put(fx, 6);
    check_counts(fx, 0);
    put_fails_and_reset(fx); /* in a segment that had no record yet, or few */
    put_fails_and_reset(fx);
    put(fx, 4);
    check_counts(fx, 0);
    for (unsigned char boot = 1; boot < 4; boot++) {
        reboot(fx, boot);
        put(fx, boot);
        check_counts(fx, 0);
    }
}

static void what_was_trimmed_is_not_counted(void **state)
{
    fixture *fx = *state;
    uint32_t removed;

    put(fx, 2);
    put_fails_and_reset(fx);
    put(fx, 8);
    assert_int_equal(lsi_log_trim(fx->store.log, 2, INT64_MAX, &removed), LS_OK);
    assert_int_equal(removed, 1);
    check_counts(fx, 2);
    assert_int_equal(lsi_log_trim(fx->store.log, 3, INT64_MAX, &removed), LS_OK);
    check_counts(fx, 5);
}

/* An index is a hint, and may be gone: it is no segment. */
static void removed_are_segments(void **state)
{
    fixture *fx = *state;
    uint32_t removed;

    put(fx, 10);
    assert_int_equal(fx->store.root.files->unlink(&fx->store.root, "1/0/00000001.idx"), 0);
    assert_int_equal(lsi_log_trim(fx->store.log, 3, INT64_MAX, &removed), LS_OK);
    assert_int_equal(removed, 2);
}

/* For messages: from the number behind the last record that is kept to the last one that may have been given. */
static void a_skip_says_which_numbers_were_given_up(void **state)
{
    fixture *fx = *state;
    lsi_segment_list *list;
    uint64_t end;

    put(fx, 2);
    end = lsi_load(&lsi_log_slot(fx->store.log)->committed_end);
    put_fails_and_reset(fx);
    assert_int_equal(lsi_segment_list_load(&fx->store.config, &list), LS_OK);
    assert_int_equal(list->skip_count, 1);
    assert_int_equal(list->skips[0].first_seqno, fx->seqnos[1] + 1);
    assert_int_equal(list->skips[0].last_seqno, fx->seqnos[1] + 1);
    assert_int_equal(list->skips[0].from, end);
    lsi_segment_list_unref(list);

    /* Of a segment that had no record yet: none below those that it may give. */
    reboot(fx, 1);
    put_fails_and_reset(fx);
    assert_int_equal(lsi_segment_list_load(&fx->store.config, &list), LS_OK);
    assert_int_equal(list->skip_count, 2);
    for (uint32_t i = 0; i < list->count; i++)
        if (list->entries[i].base == list->skips[1].from) {
            assert_true(list->entries[i].base_seqno > fx->seqnos[1] + 2);
            assert_int_equal(list->skips[1].first_seqno, list->entries[i].base_seqno);
        }
    assert_int_equal(list->skips[1].last_seqno, list->skips[1].first_seqno);
    lsi_segment_list_unref(list);
}

/* B3: a segment with a skip stays as it is, whichever of the skips it is. */
static void what_has_a_skip_is_not_compressed(void **state)
{
    fixture *fx = *state;
    lsi_segment_list *list;
    unsigned packed = 0, skipped = 0;
    uint64_t saved;
    bool found = true;

    for (unsigned i = 0; i < 3; i++) {
        put(fx, 4);
        put_fails_and_reset(fx);
    }
    put(fx, 1);
    while (found)
        assert_int_equal(lsi_log_recompress(fx->store.log, false, &found, &saved), LS_OK);
    assert_int_equal(lsi_segment_list_load(&fx->store.config, &list), LS_OK);
    assert_int_equal(list->skip_count, 3);
    for (uint32_t i = 0; i + 1 < list->count; i++) {
        const lsi_segment_entry *entry = &list->entries[i];
        bool has_skip = false;
        lsi_segment *segment;

        for (uint32_t k = 0; k < list->skip_count; k++)
            has_skip |= list->skips[k].from >= entry->base && list->skips[k].from < entry->end;
        assert_int_equal(lsi_segment_open(&fx->store.config, entry->number, false, &segment), LS_OK);
        assert_int_equal(segment->header.is_packed, !has_skip);
        packed += segment->header.is_packed;
        skipped += has_skip;
        lsi_segment_unref(segment);
    }
    assert_true(packed == 3 && skipped == 3);
    lsi_segment_list_unref(list);
    check_counts(fx, 0);
}

static ls_status first_from(fixture *fx, lsi_log_reader *reader, ls_seqno *out)
{
    const ls_record *records;
    uint32_t count;
    bool tip, end;
    ls_status st = lsi_log_reader_read(reader, 1, 1 << 20, &records, &count, &tip, &end);

    (void)fx;
    if (st == LS_OK)
        *out = count > 0 ? records[0].seqno : LS_SEQNO_NONE;
    return st;
}

/* Where nothing was put yet, every place is the beginning. */
static void in_an_empty_log_every_place_is_its_beginning(void **state)
{
    static const ls_position places[] = {
        {.kind = LS_TRIM_HORIZON}, {.kind = LS_LATEST}, {.kind = LS_AT_SEQUENCE_NUMBER, .seqno = 1},
        {.kind = LS_AT_TIMESTAMP, .timestamp_us = 1}, {.kind = LS_AT_TIMESTAMP, .timestamp_us = INT64_MAX},
    };
    fixture *fx = *state;
    lsi_log_reader *readers[sizeof places / sizeof *places];
    ls_seqno got;

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &readers[i]), LS_OK);
        assert_int_equal(lsi_log_reader_seek(readers[i], &places[i]), LS_OK);
    }
    put(fx, 1);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        assert_int_equal(first_from(fx, readers[i], &got), LS_OK);
        assert_int_equal(got, fx->seqnos[0]);
        lsi_log_reader_close(readers[i]);
    }
}

/* A number that was trimmed is sought at the horizon, and the reader is told once. */
static void every_number_is_sought(void **state)
{
    fixture *fx = *state;
    lsi_log_reader *reader;
    uint32_t removed;
    ls_seqno got;

    put(fx, 4);
    put_fails_and_reset(fx);
    put(fx, 5);
    assert_int_equal(lsi_log_trim(fx->store.log, 2, INT64_MAX, &removed), LS_OK);
    assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader), LS_OK);
    for (uint32_t i = 0; i < fx->count; i++)
        for (int after = 0; after < 2; after++) {
            ls_position at = {.kind = after ? LS_AFTER_SEQUENCE_NUMBER : LS_AT_SEQUENCE_NUMBER,
                              .seqno = fx->seqnos[i]};
            uint32_t meant = i + (uint32_t)after;
            ls_status st;

            assert_int_equal(lsi_log_reader_seek(reader, &at), LS_OK);
            st = first_from(fx, reader, &got);
            assert_int_equal(st, meant < 3 ? LS_ERR_TRIMMED : LS_OK); /* three were in the first segment */
            if (st == LS_ERR_TRIMMED)
                assert_int_equal(first_from(fx, reader, &got), LS_OK);
            assert_int_equal(got, meant < 3 ? fx->seqnos[3] : meant < fx->count ? fx->seqnos[meant] : LS_SEQNO_NONE);
        }
    assert_int_equal(lsi_log_reader_seek(reader, &(ls_position){.kind = 99}), LS_ERR_INVALID_ARGUMENT);
    lsi_log_reader_close(reader);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(records_are_counted_over_segments),
        T(numbers_that_were_never_given_are_not_counted),
        T(what_was_trimmed_is_not_counted),
        T(removed_are_segments),
        T(a_skip_says_which_numbers_were_given_up),
        T(what_has_a_skip_is_not_compressed),
        T(in_an_empty_log_every_place_is_its_beginning),
        T(every_number_is_sought),
    };
    return cmocka_run_group_tests_name("places in a log", tests, NULL, NULL);
}
