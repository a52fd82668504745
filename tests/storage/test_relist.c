/* A segment list made anew from the segments' headers (storage/relist.c): it is the list that was there; of a segment
 * that cannot be read it says what those beside it say; numbers and positions of a damaged header are believed where
 * they can be, and no others; headers that contradict each other make none; and what the system does not read makes
 * none either, rather than one that lacks something. On the simulated disk, with headers changed by hand. */
#include "storage/log_store.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "storage/verify.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define RECORD 20000u
#define RECORDS 8u  /* three fill a segment */
#define SEGMENTS 3u
#define NUMBER_AT 52u /* of a header: FORMAT.md, "Segment" */
#define SEQNO_AT 64u
#define LIMIT_AT 72u
#define PREVIOUS_END_AT 136u

typedef struct fixture {
    sim_files *sim;
    lsi_files *files;
    sim_memory memory;
    lsi_memory table;
    log_store store;
    lsi_segment_list *real;
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
    log_store_open(&fx.store, fx.files, true, LS_DURABILITY_SYNC, LSI_SEGMENT_BYTES_MIN);
    for (unsigned n = 0; n < RECORDS; n++) {
        assert_int_equal(log_store_put(&fx.store, n, RECORD, &(ls_seqno){0}), LS_OK);
        fx.store.wall_us += 1000;
    }
    assert_int_equal(lsi_segment_list_load(&fx.store.config, &fx.real), LS_OK);
    assert_int_equal(fx.real->count, SEGMENTS);
    *state = &fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    lsi_segment_list_unref(fx->real);
    (void)log_store_close(&fx->store);
    assert_int_equal(fx->memory.live, 0);
    sim_files_free(fx->sim);
    return 0;
}

static const char *name_of(uint32_t number)
{
    static char name[LSI_SEGMENT_NAME_BYTES];

    lsi_segment_name("1/0", number, "seg", name);
    return name;
}

/* A number of a header: its sum is made right again, or it is `damaged`. */
static void forge(fixture *fx, uint32_t number, size_t at, size_t bytes, uint64_t value, bool damaged)
{
    unsigned char header[LSI_SEGMENT_HEADER_BYTES];
    lsi_file file;

    assert_int_equal(fx->files->open(&fx->store.root, name_of(number), LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(fx->files->read(&file, header, sizeof header, 0), sizeof header);
    for (size_t i = 0; i < bytes; i++)
        header[at + i] = (unsigned char)(value >> 8 * i);
    lsi_write_u64le(header + sizeof header - 8, lsi_sum64(header, sizeof header - 8, 0) ^ damaged);
    assert_int_equal(lsi_file_write_one(&file, header, sizeof header, 0), 0);
    assert_int_equal(fx->files->close(&file), 0);
}

/* The header of one as that of another, which is a file of its own. */
static void copy_header(fixture *fx, uint32_t from, uint32_t to)
{
    unsigned char header[LSI_SEGMENT_HEADER_BYTES];
    lsi_file file;

    assert_int_equal(fx->files->open(&fx->store.root, name_of(from), 0, &file), 0);
    assert_int_equal(fx->files->read(&file, header, sizeof header, 0), sizeof header);
    assert_int_equal(fx->files->close(&file), 0);
    assert_int_equal(fx->files->open(&fx->store.root, name_of(to), LSI_OPEN_WRITE | LSI_OPEN_CREATE, &file), 0);
    assert_int_equal(lsi_file_write_one(&file, header, sizeof header, 0), 0);
    assert_int_equal(fx->files->close(&file), 0);
    forge(fx, to, NUMBER_AT, 4, to, false);
}

static void lose(fixture *fx, uint32_t number)
{
    assert_int_equal(fx->files->unlink(&fx->store.root, name_of(number)), 0);
}

static ls_status recover(fixture *fx, lsi_recovered_list *out)
{
    (void)lsi_fail(LS_ERR_CORRUPT, "the list is damaged");
    return lsi_list_recover(&fx->store.config, NULL, out);
}

/* The list, which is there; `lost` of its segments cannot be read. */
static lsi_segment_list *recovered(fixture *fx, uint32_t lost)
{
    lsi_recovered_list out;

    assert_int_equal(recover(fx, &out), LS_OK);
    assert_non_null(out.list);
    assert_int_equal(out.unreadable, lost);
    return out.list;
}

static void assert_entry(const lsi_segment_entry *got, const lsi_segment_entry *real)
{
    assert_int_equal(got->number, real->number);
    assert_int_equal(got->flags, real->flags);
    assert_int_equal(got->base, real->base);
    assert_int_equal(got->end, real->end);
    assert_int_equal(got->base_seqno, real->base_seqno);
    assert_int_equal(got->seqno_limit, real->seqno_limit);
    assert_int_equal(got->base_arrival_us, real->base_arrival_us);
}

static void assert_real(const fixture *fx, const lsi_segment_list *list)
{
    assert_int_equal(list->count, SEGMENTS);
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        assert_entry(&list->entries[i], &fx->real->entries[i]);
        assert_int_equal(list->entries[i].header_sum, fx->real->entries[i].header_sum);
    }
}

static void it_is_the_list_that_was_there(void **state)
{
    fixture *fx = *state;
    lsi_segment_list *list = recovered(fx, 0);

    assert_int_equal(fx->real->head.generation, SEGMENTS); /* One for each that it was replaced by. */
    assert_real(fx, list);
    assert_int_equal(lsi_segment_list_store(&fx->store.config, list), LS_OK); /* It passes every rule of a list. */
    lsi_segment_list_unref(list);
    assert_int_equal(lsi_segment_list_load(&fx->store.config, &list), LS_OK);
    assert_real(fx, list);
    lsi_segment_list_unref(list);
}

/* ---- segments that are gone ---- */

static void one_in_the_middle_lies_between_its_neighbours(void **state)
{
    fixture *fx = *state;
    lsi_segment_entry expected = fx->real->entries[1];
    lsi_segment_list *list;

    lose(fx, 2);
    list = recovered(fx, 1);
    expected.seqno_limit = fx->real->entries[2].base_seqno;
    expected.base_arrival_us = fx->store.wall_us - (RECORDS - 2) * 1000; /* of the third record: what is before it */
    assert_int_equal(list->count, SEGMENTS);
    assert_entry(&list->entries[0], &fx->real->entries[0]);
    assert_entry(&list->entries[1], &expected);
    assert_entry(&list->entries[2], &fx->real->entries[2]);
    lsi_segment_list_unref(list);
}

static void the_first_one_began_where_the_shard_did(void **state)
{
    fixture *fx = *state;
    lsi_segment_entry expected = fx->real->entries[0];
    lsi_segment_list *list;

    lose(fx, 1);
    list = recovered(fx, 1);
    expected.base = 0;
    expected.seqno_limit = fx->real->entries[1].base_seqno;
    expected.base_arrival_us = 0;
    assert_int_equal(list->count, SEGMENTS);
    assert_entry(&list->entries[0], &expected);
    assert_entry(&list->entries[1], &fx->real->entries[1]);
    lsi_segment_list_unref(list);
}

typedef struct heard {
    unsigned count;
    ls_seqno first, last;
    uint64_t most;
    int repairable;
} heard;

static ls_inspect_act hear(const ls_finding *finding, void *user)
{
    heard *of = user;

    *of = (heard){of->count + 1, finding->first_seqno, finding->last_seqno, finding->records_max, finding->repairable};
    return LS_INSPECT_GO_ON;
}

static heard told(fixture *fx)
{
    heard of = {0};
    lsi_inspection inspection = {.finding = hear, .user = &of, .stream = ""};
    lsi_recovered_list out;

    assert_int_equal(recover(fx, &out), LS_OK);
    lsi_list_tell(&fx->store.config, &out, NULL, &inspection);
    lsi_segment_list_unref(out.list);
    assert_int_equal(of.count, 1);
    return of;
}

/* Several at the beginning: trimmed or lost, nobody knows; their numbers are told as lost at most. */
static void those_before_the_first_are_told_as_lost_at_most(void **state)
{
    fixture *fx = *state;
    heard of = told(fx);
    lsi_segment_list *list;

    assert_int_equal(of.most, 0);
    assert_true(of.first == LS_SEQNO_NONE && of.last == LS_SEQNO_NONE && of.repairable != 0);
    lose(fx, 1);
    lose(fx, 2);
    list = recovered(fx, 0);
    assert_int_equal(list->count, 1);
    assert_entry(&list->entries[0], &fx->real->entries[2]);
    lsi_segment_list_unref(list);
    of = told(fx);
    assert_int_equal(of.first, fx->store.config.first_seqno);
    assert_int_equal(of.last, fx->real->entries[2].base_seqno - 1);
    assert_int_equal(of.most, of.last - of.first + 1);
    fx->store.config.first_seqno = of.last; /* One may be. */
    of = told(fx);
    assert_true(of.most == 1 && of.first == of.last);
    lose(fx, 3);
    of = told(fx);
    assert_true(of.most == LS_RECORDS_UNKNOWN && of.repairable != 0);
}

/* ---- a damaged header of the newest ---- */

static lsi_segment_entry newest(fixture *fx)
{
    lsi_segment_list *list = recovered(fx, 1);
    lsi_segment_entry last = *lsi_segment_list_last(list), before = last;

    assert_int_equal(list->count, SEGMENTS);
    before = list->entries[SEGMENTS - 2];
    assert_int_equal(before.flags, LSI_SEGMENT_SEALED | LSI_SEGMENT_TORN);
    assert_int_equal(before.end, last.base);
    assert_int_equal(last.number, SEGMENTS);
    assert_int_equal(last.flags, 0);
    assert_int_equal(last.seqno_limit, last.base_seqno + LSI_SEGMENT_BYTES_MIN / 16 + 1);
    lsi_segment_list_unref(list);
    return last;
}

/* D4: below its own limit, and above what the segment before it gave. */
static void its_numbers_begin_where_they_can(void **state)
{
    fixture *fx = *state;
    ls_seqno next = fx->real->entries[2].base_seqno, limit = fx->real->entries[1].seqno_limit;
    const ls_seqno said[] = {next, next + 5, limit, limit + 1, next - 1, 1, 0, UINT64_MAX};
    const ls_seqno taken[] = {next, next + 5, limit, next, next, next, next, next};

    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        forge(fx, 3, SEQNO_AT, 8, said[i], true);
        assert_int_equal(newest(fx).base_seqno, taken[i]);
    }
}

/* Its frames follow those of the segment before it, within what that one had room for. */
static void its_frames_begin_where_they_can(void **state)
{
    fixture *fx = *state;
    uint64_t end = fx->real->entries[2].base;
    uint64_t most = fx->real->entries[1].base + LSI_SEGMENT_BYTES_MIN - LSI_SEGMENT_HEADER_BYTES;
    const uint64_t said[] = {end, end + 8, most, most + 8, end + 4, end - 8, 0, UINT64_MAX - 7};
    const uint64_t taken[] = {end, end + 8, most, end, end, end, end, end};

    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        forge(fx, 3, LSI_SEGMENT_BASE_AT, 8, said[i], true);
        assert_int_equal(newest(fx).base, taken[i]);
    }
}

/* No older than the last record before it, or it would be trimmed too soon. When it is gone, and the control file knows
 * of it, the list has it all the same: the records before it are not lost with it. */
static void it_is_as_old_as_what_lies_before_it(void **state)
{
    fixture *fx = *state;
    lsi_recovered_list out;
    lsi_segment_entry last;
    lsi_slot slot;

    forge(fx, 3, SEQNO_AT, 8, 0, true);
    last = newest(fx);
    assert_int_equal(last.base_arrival_us, fx->store.wall_us - 3000); /* Of the sixth of eight. */
    lose(fx, 3);
    memcpy(&slot, lsi_log_slot(fx->store.log), sizeof slot);
    (void)lsi_fail(LS_ERR_CORRUPT, "the list is damaged");
    assert_int_equal(lsi_list_recover(&fx->store.config, &slot, &out), LS_OK);
    assert_non_null(out.list);
    assert_int_equal(out.next_seqno, lsi_load(&slot.next_seqno));
    assert_int_equal(out.unreadable, 1);
    assert_entry(lsi_segment_list_last(out.list), &last);
    lsi_segment_list_unref(out.list);
}

/* ---- one that nobody named ---- */

/* A process makes the next segment, and dies before it is in the list: the one before it goes on. */
static void one_that_its_predecessor_has_passed_is_not_in_it(void **state)
{
    fixture *fx = *state;
    uint64_t end = lsi_load(&lsi_log_slot(fx->store.log)->committed_end);
    lsi_segment_list *list;

    copy_header(fx, 3, 4);
    forge(fx, 4, LSI_SEGMENT_PREVIOUS_AT, 4, 3, false);
    forge(fx, 4, LSI_SEGMENT_BASE_AT, 8, end - 8, false);
    forge(fx, 4, PREVIOUS_END_AT, 8, end - 8, false);
    list = recovered(fx, 0);
    assert_real(fx, list);
    lsi_segment_list_unref(list);
    forge(fx, 4, LSI_SEGMENT_BASE_AT, 8, end, false); /* That one did not: it may have been named. */
    forge(fx, 4, PREVIOUS_END_AT, 8, end, false);
    list = recovered(fx, 0);
    assert_int_equal(list->count, SEGMENTS + 1);
    assert_int_equal(list->entries[SEGMENTS - 1].end, end);
    assert_int_equal(list->entries[SEGMENTS].base, end);
    lsi_segment_list_unref(list);
}

/* The one before it may be the first that is left, and end with what an append left that a crash cut off. */
static void so_it_is_of_the_first_that_is_left(void **state)
{
    fixture *fx = *state;
    uint64_t end = lsi_load(&lsi_log_slot(fx->store.log)->committed_end);
    lsi_segment_list *list;
    lsi_file file;

    copy_header(fx, 3, 4);
    forge(fx, 4, LSI_SEGMENT_PREVIOUS_AT, 4, 3, false);
    forge(fx, 4, LSI_SEGMENT_BASE_AT, 8, end - 8, false);
    forge(fx, 4, PREVIOUS_END_AT, 8, end - 8, false);
    lose(fx, 1);
    lose(fx, 2);
    for (int torn = 0; torn < 2; torn++) {
        list = recovered(fx, 0);
        assert_int_equal(list->count, 1);
        assert_entry(&list->entries[0], &fx->real->entries[2]);
        lsi_segment_list_unref(list);
        assert_int_equal(fx->files->open(&fx->store.root, name_of(3), LSI_OPEN_WRITE, &file), 0);
        assert_int_equal(lsi_file_write_one(&file, "a torn append ..........", 24,
                                            LSI_SEGMENT_HEADER_BYTES + end - fx->real->entries[2].base), 0);
        assert_int_equal(fx->files->close(&file), 0);
    }
}

/* ---- headers that contradict each other ---- */

static void assert_none(fixture *fx, const char *why)
{
    lsi_recovered_list out;

    assert_int_equal(recover(fx, &out), LS_OK);
    assert_null(out.list);
    assert_false(out.is_lost); /* A repair begins nothing again where records are. */
    assert_non_null(strstr(out.why, "the list is damaged"));
    assert_non_null(strstr(out.why, why));
    assert_non_null(out.advice);
}

static void headers_that_contradict_each_other_make_no_list(void **state)
{
    fixture *fx = *state;
    const lsi_segment_entry *real = fx->real->entries;
    const struct { uint32_t number; size_t at; uint64_t value, right; } lies[] = {
        {2, PREVIOUS_END_AT, real[1].base + 8, real[1].base},
        {2, PREVIOUS_END_AT, real[1].base - 8, real[1].base},
        {2, LSI_SEGMENT_BASE_AT, real[1].base + 8, real[1].base},
        {1, LSI_SEGMENT_BASE_AT, real[1].base + 8, real[0].base}, /* It ends before it begins. */
        {1, SEQNO_AT, real[1].base_seqno + 1, real[0].base_seqno},
        {1, SEQNO_AT, real[1].base_seqno + 2, real[0].base_seqno},
    };

    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        forge(fx, lies[i].number, lies[i].at, 8, lies[i].value, false);
        assert_none(fx, "contradict each other");
        forge(fx, lies[i].number, lies[i].at, 8, lies[i].right, false);
    }
}

static ls_inspect_act nobody_minds(const ls_finding *finding, void *user)
{
    *(uint32_t *)user += finding->repaired == 0 && finding->kind == LS_FINDING_SEGMENT_LIST;
    return LS_INSPECT_GO_ON;
}

/* Where a repair can do nothing, it changes nothing: what the control file knows of the shard stays known. */
static void a_repair_that_makes_none_leaves_what_is_known(void **state)
{
    fixture *fx = *state;
    uint32_t told = 0;
    lsi_inspection inspection = {.finding = nobody_minds, .user = &told, .stream = ""};
    lsi_slot *slot = lsi_log_slot(fx->store.log);

    forge(fx, 2, PREVIOUS_END_AT, 8, fx->real->entries[1].base + 8, false);
    assert_int_equal(fx->files->unlink(&fx->store.root, "1/0/" LSI_SEGMENT_LIST_NAME), 0);
    assert_int_equal(lsi_log_repair(&fx->store.config, &inspection), LS_OK);
    assert_int_equal(told, 1);
    assert_int_equal(atomic_load(&slot->health), LSI_SHARD_HEALTHY);
    assert_int_equal(fx->files->open(&fx->store.root, "1/0/" LSI_SEGMENT_LIST_NAME, 0, &(lsi_file){0}), -ENOENT);
}

/* Of a segment without a record the next one begins with the same number. */
static void a_segment_without_records_contradicts_nothing(void **state)
{
    fixture *fx = *state;
    const lsi_segment_entry *real = fx->real->entries;
    lsi_segment_list *list;

    forge(fx, 1, SEQNO_AT, 8, real[1].base_seqno, false);
    list = recovered(fx, 0);
    assert_int_equal(list->entries[0].base_seqno, list->entries[1].base_seqno);
    lsi_segment_list_unref(list);
    forge(fx, 1, LSI_SEGMENT_BASE_AT, 8, real[1].base, false); /* Nor was a byte of it. */
    list = recovered(fx, 0);
    assert_int_equal(list->entries[0].base, list->entries[0].end);
    lsi_segment_list_unref(list);
}

/* A reset and a repair begin the next segment at the limit: what lies between was given up. */
static void the_limit_reached_says_that_the_tail_is_nobodys(void **state)
{
    fixture *fx = *state;
    lsi_segment_list *list;

    forge(fx, 1, LIMIT_AT, 8, fx->real->entries[1].base_seqno, false);
    list = recovered(fx, 0);
    assert_int_equal(list->entries[0].flags, LSI_SEGMENT_SEALED | LSI_SEGMENT_TORN);
    assert_int_equal(list->entries[1].flags, LSI_SEGMENT_SEALED);
    lsi_segment_list_unref(list);
}

/* ---- a directory that cannot be listed ---- */

/* Only where it is gone, or none, is the shard lost; else the system says why, and nothing is given up. */
static void a_directory_that_cannot_be_listed_is_told_as_what_it_is(void **state)
{
    static const struct { int err; bool is_lost; const char *what; } cases[] = {
        {EIO, false, "Input/output error"}, {EACCES, false, "Permission denied"}, {ENOENT, true, "is not there"},
        {ENOTDIR, true, "is not a directory"}, {ELOOP, true, "is not a directory"},
    };
    fixture *fx = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lsi_recovered_list out;

        sim_fault_add(fx->sim, (sim_fault){.call = SIM_LIST, .nth = 1, .err = cases[i].err});
        assert_int_equal(recover(fx, &out), LS_OK);
        sim_faults_clear(fx->sim);
        assert_null(out.list);
        assert_int_equal(out.is_lost, cases[i].is_lost);
        if (strstr(out.why, cases[i].what) == NULL || strstr(out.why, "1/0 ") == NULL)
            fail_msg("%d: %s", cases[i].err, out.why);
        assert_non_null(out.advice);
    }
}

/* ---- failing calls ---- */

/* Whichever call or allocation fails, and for whatever reason: the whole list, or none. Nothing is taken for gone that
 * was not read, and nobody is told to begin the shard again. */
static void what_cannot_be_read_makes_no_shorter_list(void **state)
{
    static const int errors[] = {EIO, EACCES, ENOMEM};
    fixture *fx = *state;
    unsigned none = 0;

    copy_header(fx, 3, 4); /* So that the ends of segments are looked for. */
    forge(fx, 4, LSI_SEGMENT_PREVIOUS_AT, 4, 3, false);
    forge(fx, 4, LSI_SEGMENT_BASE_AT, 8, fx->real->entries[2].base + 8, false);
    forge(fx, 4, PREVIOUS_END_AT, 8, fx->real->entries[2].base + 8, false);
    for (size_t e = 0; e < 3; e++) {
        bool met = true;

        for (uint64_t nth = 1; met; nth++) {
            lsi_recovered_list out;
            ls_status st;

            if (errors[e] == ENOMEM)
                sim_memory_fail(&fx->memory, nth, false);
            else
                sim_fault_add(fx->sim, (sim_fault){.call = SIM_ANY, .nth = nth, .err = errors[e]});
            fx->memory.failed = 0;
            st = recover(fx, &out);
            met = errors[e] == ENOMEM ? fx->memory.failed != 0 : sim_faults_met(fx->sim) != 0;
            sim_memory_fail(&fx->memory, 0, false);
            sim_faults_clear(fx->sim);
            assert_true(st == LS_OK || (st == LS_ERR_NO_MEMORY && errors[e] == ENOMEM));
            if (st == LS_OK && out.list != NULL) {
                assert_real(fx, out.list);
                lsi_segment_list_unref(out.list);
            } else {
                none++;
                assert_true(st != LS_OK || !out.is_lost);
            }
        }
    }
    assert_true(none > 20);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(it_is_the_list_that_was_there),
        T(one_in_the_middle_lies_between_its_neighbours),
        T(the_first_one_began_where_the_shard_did),
        T(those_before_the_first_are_told_as_lost_at_most),
        T(its_numbers_begin_where_they_can),
        T(its_frames_begin_where_they_can),
        T(it_is_as_old_as_what_lies_before_it),
        T(one_that_its_predecessor_has_passed_is_not_in_it),
        T(so_it_is_of_the_first_that_is_left),
        T(headers_that_contradict_each_other_make_no_list),
        T(a_repair_that_makes_none_leaves_what_is_known),
        T(a_segment_without_records_contradicts_nothing),
        T(the_limit_reached_says_that_the_tail_is_nobodys),
        T(a_directory_that_cannot_be_listed_is_told_as_what_it_is),
        T(what_cannot_be_read_makes_no_shorter_list),
    };
    return cmocka_run_group_tests_name("a list made anew", tests, NULL, NULL);
}
