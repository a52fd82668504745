/* What is whole and false: an older control file over a newer log, words of the slot that were true once or never,
 * index entries that name another frame, headers of frames that are none; and what verify says of them. Section 3 of
 * the promises: hints never make a record appear or vanish.
 *
 * Nobody has the log open while its control file is changed, and the machine has not started again: that is when its
 * words are believed at all. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "storage/log_store.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "storage/control_layout.h"
#include "storage/verify.h"
#include "support/sim_files.h"

#define SMALL LSI_SEGMENT_BYTES_MIN
#define BEGIN INT64_C(1700000000000000)
#define CONTROL_BYTES_MAX (64u << 10)

typedef struct fixture {
    sim_files *sim;
    log_store store;
    ls_durability durability;
    unsigned put_count;
    ls_seqno last;
    uint64_t countdown; /* calls of the kind below until the control file is copied */
    sim_call call;
    _Alignas(64) unsigned char control[CONTROL_BYTES_MAX]; /* slots in it are looked at in place */
    size_t control_bytes;
} fixture;

static fixture the_fixture;

static void open_log(fixture *fx, bool make)
{
    log_store_open(&fx->store, sim_files_table(fx->sim), make, fx->durability, SMALL);
}

static void make_log(fixture *fx, ls_durability durability)
{
    memset(fx, 0, sizeof *fx);
    fx->sim = sim_files_new();
    fx->durability = durability;
    open_log(fx, true);
}

static void drop_log(fixture *fx)
{
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    sim_files_free(fx->sim);
}

static void put_more(fixture *fx, unsigned count, size_t size)
{
    for (; count > 0; count--, fx->put_count++) {
        ls_seqno seqno;

        fx->store.wall_us = BEGIN + fx->put_count;
        assert_int_equal(log_store_put(&fx->store, fx->put_count, size, &seqno), LS_OK);
        assert_true(seqno > fx->last); /* D4 */
        fx->last = seqno;
    }
}

static void with_control(fixture *fx, bool write)
{
    const lsi_files *files = sim_files_table(fx->sim);
    lsi_root root;
    lsi_file file;

    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(files->open(&root, LSI_CONTROL_NAME, write ? LSI_OPEN_WRITE : 0, &file), 0);
    if (write) {
        assert_int_equal(lsi_file_write_one(&file, fx->control, fx->control_bytes, 0), 0);
    } else {
        int64_t got = files->read(&file, fx->control, sizeof fx->control, 0);

        assert_true(got > 0 && got < (int64_t)sizeof fx->control);
        fx->control_bytes = (size_t)got;
    }
    assert_int_equal(files->close(&file), 0);
    files->root_close(&root);
}

/* The log's slot in what was copied. */
static lsi_slot *slot_of(fixture *fx)
{
    for (size_t at = CONTROL_SLOTS_AT; at + LSI_SLOT_BYTES <= fx->control_bytes; at += LSI_SLOT_BYTES) {
        lsi_slot *slot = (lsi_slot *)(void *)(fx->control + at);

        if (atomic_load(&slot->kind) == LSI_SLOT_SHARD && atomic_load(&slot->stream) == 1)
            return slot;
    }
    fail();
    return NULL;
}

/* Opened again: everything is there, and what is put gets new numbers and takes nobody's place. */
static void expect_all(fixture *fx)
{
    open_log(fx, false);
    assert_int_equal(log_store_count(&fx->store, 0), fx->put_count);
    put_more(fx, 3, 100);
    assert_int_equal(log_store_count(&fx->store, 0), fx->put_count);
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    open_log(fx, false);
    assert_int_equal(log_store_count(&fx->store, 0), fx->put_count);
}

static const ls_durability modes[] = {LS_DURABILITY_SYNC, LS_DURABILITY_INTERVAL, LS_DURABILITY_KERNEL};

/* ---- older than the log ---- */

static void copy_at_call(void *user, sim_call call, const char *name)
{
    fixture *fx = user;

    if (call != fx->call || strstr(name, ".seg") == NULL || --fx->countdown != 0)
        return;
    sim_hook_set(fx->sim, NULL, NULL);
    with_control(fx, false);
}

/* Copied while nobody is at work on the log, after each of some puts, before others. */
static void an_older_control_file_hides_nothing(void **state)
{
    static const size_t sizes[] = {10, 5000, 20000};
    fixture *fx = &the_fixture;

    (void)state;
    for (size_t mode = 0; mode < sizeof modes / sizeof modes[0]; mode++)
        for (size_t size = 0; size < sizeof sizes / sizeof sizes[0]; size++)
            for (unsigned before = 0; before <= 5; before++)
                for (unsigned after = 1; after <= 5; after++)
                    for (int closed = 0; closed <= 1; closed++) {
                        make_log(fx, modes[mode]);
                        put_more(fx, before, sizes[size]);
                        if (closed)
                            assert_int_equal(log_store_close(&fx->store), LS_OK);
                        with_control(fx, false);
                        if (closed)
                            open_log(fx, false);
                        put_more(fx, after, sizes[size]);
                        assert_int_equal(log_store_close(&fx->store), LS_OK);
                        with_control(fx, true);
                        expect_all(fx);
                        drop_log(fx);
                    }
}

/* The same while a put is at work: before each write, store and sync of some. */
static void one_copied_during_a_put_hides_nothing(void **state)
{
    static const sim_call calls[] = {SIM_WRITE, SIM_STORE, SIM_SYNC, SIM_SYNC_ENDS};
    fixture *fx = &the_fixture;
    unsigned copied = 0;

    (void)state;
    for (size_t mode = 0; mode < sizeof modes / sizeof modes[0]; mode++)
        for (size_t call = 0; call < sizeof calls / sizeof calls[0]; call++)
            for (unsigned more = 0; more <= 3; more++)
                for (uint64_t nth = 1;; nth++) {
                    make_log(fx, modes[mode]);
                    put_more(fx, 2, 100);
                    fx->call = calls[call];
                    fx->countdown = nth;
                    sim_hook_set(fx->sim, copy_at_call, fx);
                    put_more(fx, 6, 15000);
                    put_more(fx, 2, 100);
                    sim_hook_set(fx->sim, NULL, NULL);
                    put_more(fx, more, 100);
                    bool met = fx->control_bytes != 0;
                    assert_int_equal(log_store_close(&fx->store), LS_OK);
                    if (met)
                        with_control(fx, true);
                    expect_all(fx);
                    drop_log(fx);
                    if (!met)
                        break;
                    copied++;
                }
    assert_true(copied > 50);
}

static void a_reader_who_may_not_write_is_shown_all_too(void **state)
{
    fixture *fx = &the_fixture;
    lsi_log_reader *reader;
    const ls_record *records;
    uint32_t count, total = 0;
    bool tip = false, end;
    lsi_log *log;

    (void)state;
    make_log(fx, LS_DURABILITY_SYNC);
    put_more(fx, 3, 100);
    with_control(fx, false);
    put_more(fx, 4, 100);
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    with_control(fx, true);
    open_log(fx, false);
    fx->store.config.read_only = true;
    assert_int_equal(lsi_log_open(&fx->store.config, &log), LS_OK);
    assert_int_equal(lsi_log_reader_open(log, LSI_READ_FAST, &reader), LS_OK);
    while (!tip) {
        assert_int_equal(lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end), LS_OK);
        total += count;
    }
    assert_int_equal(total, 7);
    lsi_log_reader_close(reader);
    assert_int_equal(lsi_log_close(log), LS_OK);
    fx->store.config.read_only = false;
    drop_log(fx);
}

/* ---- words that were never true ---- */

typedef struct word {
    size_t at;
    const char *name;
} word;

static const word words[] = {
    {offsetof(lsi_slot, committed_end), "committed_end"}, {offsetof(lsi_slot, write_end), "write_end"},
    {offsetof(lsi_slot, next_seqno), "next_seqno"},       {offsetof(lsi_slot, segment_base), "segment_base"},
    {offsetof(lsi_slot, seqno_limit), "seqno_limit"},     {offsetof(lsi_slot, allocated_end), "allocated_end"},
    {offsetof(lsi_slot, zeroed_end), "zeroed_end"},       {offsetof(lsi_slot, indexed_end), "indexed_end"},
    {offsetof(lsi_slot, durable_end), "durable_end"},     {offsetof(lsi_slot, last_arrival_us), "last_arrival_us"},
    {offsetof(lsi_slot, given_up_from), "given_up_from"}, {offsetof(lsi_slot, given_up_to), "given_up_to"}};

/* Each word with each of some values, one at a time, and no record is lost, nor does one come from the future. */
static void a_false_word_takes_nothing(void **state)
{
    fixture *fx = &the_fixture;

    (void)state;
    for (size_t mode = 0; mode < sizeof modes / sizeof modes[0]; mode++)
        for (size_t w = 0; w < sizeof words / sizeof words[0]; w++)
            for (unsigned value = 0;; value++) {
                make_log(fx, modes[mode]);
                put_more(fx, 5, 15000); /* a segment that was left, and one with a frame */
                put_more(fx, 10, 100);
                assert_int_equal(log_store_close(&fx->store), LS_OK);
                with_control(fx, false);

                lsi_slot *slot = slot_of(fx);
                uint64_t base = lsi_load(&slot->segment_base), end = lsi_load(&slot->committed_end);
                uint64_t values[] = {0, 1, 8, base - 8, base, base + 8, end - 8, end, end + 1, end + 8, end + 4096,
                                     base + (32u << 10), base + (60u << 10), base + (64u << 10), UINT64_C(1) << 40,
                                     INT64_MAX - 5, INT64_MAX, UINT64_MAX - 7, UINT64_MAX};
                if (value == sizeof values / sizeof values[0]) {
                    open_log(fx, false);
                    drop_log(fx);
                    break;
                }
                memcpy((unsigned char *)slot + words[w].at, &values[value], sizeof values[value]);
                with_control(fx, true);
                fx->store.wall_us = BEGIN + 1000;
                expect_all(fx);

                lsi_log_facts facts;
                assert_int_equal(lsi_log_state(fx->store.log, &facts), LS_OK);
                if (facts.latest_us != BEGIN + fx->put_count - 1)
                    fail_msg("%s of %llu: the last record arrived at %lld", words[w].name,
                             (unsigned long long)values[value], (long long)facts.latest_us);
                drop_log(fx);
            }
}

/* A log of which a sync failed, closed: all that was put is durable but for one more, whose number is in fx->last. */
static void make_failed_log(fixture *fx, ls_durability durability)
{
    ls_seqno seqno = fx->last;

    make_log(fx, durability);
    put_more(fx, 5, 15000);
    put_more(fx, 10, 100);
    assert_int_equal(lsi_log_sync(fx->store.log), LS_OK);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_SYNC, .name = ".seg", .nth = 1, .err = EIO});
    (void)log_store_put(&fx->store, fx->put_count, 100, &seqno);
    assert_int_equal(lsi_log_sync(fx->store.log), LS_ERR_IO);
    sim_faults_clear(fx->sim);
    fx->last++;
    (void)log_store_close(&fx->store);
}

/* Who opens it sees what is durable and no more, and so does a reset, which the shard still waits for. */
static void expect_failed(fixture *fx)
{
    ls_seqno seqno;

    open_log(fx, false);
    assert_int_equal(log_store_count(&fx->store, 0), fx->put_count);
    assert_int_equal(log_store_put(&fx->store, 99, 100, &seqno), LS_ERR_IO); /* S6 */
    assert_int_equal(log_store_count(&fx->store, 0), fx->put_count);
    assert_int_equal(lsi_log_reset(fx->store.log), LS_OK);
    assert_int_equal(log_store_count(&fx->store, 0), fx->put_count);
    put_more(fx, 3, 100);
    assert_int_equal(log_store_count(&fx->store, 0), fx->put_count);
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    open_log(fx, false);
    assert_int_equal(log_store_count(&fx->store, 0), fx->put_count);
}

/* E1, D1: the same for a shard that failed; also when a reset of it had begun, and its process died. */
static void a_false_word_of_a_failed_shard_takes_nothing(void **state)
{
    fixture *fx = &the_fixture;

    (void)state;
    for (size_t mode = 0; mode < sizeof modes / sizeof modes[0]; mode++)
        for (int begun = 0; begun <= 1; begun++)
            for (size_t w = 0; w < sizeof words / sizeof words[0]; w++)
                for (unsigned value = 0; value < 19; value++) {
                    make_failed_log(fx, modes[mode]);
                    with_control(fx, false);

                    lsi_slot *slot = slot_of(fx);
                    uint64_t base = lsi_load(&slot->segment_base), end = lsi_load(&slot->committed_end);
                    uint64_t durable = lsi_load(&slot->durable_end);
                    const uint64_t values[19] = {0, 1, 8, base - 8, base, base + 8, durable - 8, durable, durable + 8,
                                                 end - 8, end, end + 1, end + 8, base + (32u << 10),
                                                 base + (64u << 10), UINT64_C(1) << 40, INT64_MAX, UINT64_MAX - 7,
                                                 UINT64_MAX};
                    assert_int_equal(atomic_load(&slot->health), LSI_SHARD_FAILED);
                    assert_true(base < durable && durable < end);
                    if (begun) {
                        atomic_store(&slot->given_up_from, durable);
                        atomic_store(&slot->given_up_to, end);
                        atomic_store(&slot->durable_end, end);
                    }
                    memcpy((unsigned char *)slot + words[w].at, &values[value], sizeof values[value]);
                    with_control(fx, true);
                    expect_failed(fx);
                    drop_log(fx);
                }
}

/* ---- index entries that name another frame ---- */

#define INDEXED 14u
#define INDEXED_BYTES 20000u

/* An entry with a right sum: the position of one frame, the number of another and the arrival of a third. */
static void plant_entry(fixture *fx, const lsi_segment *segment, uint64_t position, ls_seqno seqno, int64_t arrival_us)
{
    uint64_t block = (position - segment->header.base) / LSI_INDEX_BLOCK_BYTES;
    unsigned char bytes[LSI_INDEX_ENTRY_BYTES];
    lsi_file file;

    lsi_write_u64le(bytes, position);
    lsi_write_u64le(bytes + 8, seqno);
    lsi_write_u64le(bytes + 16, (uint64_t)arrival_us);
    lsi_write_u64le(bytes + 24, lsi_sum64(bytes, 24, segment->seed));
    assert_int_equal(fx->store.root.files->open(&fx->store.root, "1/0/00000001.idx", LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(lsi_file_write_one(&file, bytes, sizeof bytes, block * LSI_INDEX_ENTRY_BYTES), 0);
    assert_int_equal(file.files->close(&file), 0);
}

static void expect_at(fixture *fx, const ls_position *position, unsigned n)
{
    lsi_log_reader *reader;
    const ls_record *records;
    uint32_t count;
    bool tip, end;
    unsigned got;

    assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader), LS_OK);
    assert_int_equal(lsi_log_reader_seek(reader, position), LS_OK);
    assert_int_equal(lsi_log_reader_read(reader, 1, 1 << 20, &records, &count, &tip, &end), LS_OK);
    assert_int_equal(count, 1);
    memcpy(&got, records[0].data.data, sizeof got);
    assert_int_equal(got, n);
    lsi_log_reader_close(reader);
}

static void an_entry_for_another_frame_hides_nothing(void **state)
{
    fixture *fx = &the_fixture;
    uint64_t positions[INDEXED];
    ls_seqno seqnos[INDEXED];
    lsi_segment *segment;
    lsi_slot *slot;

    (void)state;
    memset(fx, 0, sizeof *fx);
    fx->sim = sim_files_new();
    fx->durability = LS_DURABILITY_SYNC;
    log_store_open(&fx->store, sim_files_table(fx->sim), true, fx->durability, 1u << 20);
    for (unsigned i = 0; i < INDEXED; i++) {
        slot = lsi_log_slot(fx->store.log);
        positions[i] = slot == NULL ? 0 : lsi_load(&slot->committed_end);
        put_more(fx, 1, INDEXED_BYTES);
        seqnos[i] = fx->last;
    }
    assert_int_equal(lsi_segment_open(&fx->store.config, 1, false, &segment), LS_OK);
    for (unsigned sought = 0; sought < INDEXED; sought++)
        for (unsigned at = 0; at < INDEXED; at++)
            for (unsigned number = 0; number <= sought; number++)
                for (unsigned stamp = 0; stamp <= sought; stamp++) {
                    ls_position by_number = {.kind = LS_AT_SEQUENCE_NUMBER, .seqno = seqnos[sought]};
                    ls_position by_time = {.kind = LS_AT_TIMESTAMP, .timestamp_us = BEGIN + sought};

                    plant_entry(fx, segment, positions[at], seqnos[number], BEGIN + stamp);
                    expect_at(fx, &by_number, sought);
                    plant_entry(fx, segment, positions[at], seqnos[number], BEGIN + stamp);
                    expect_at(fx, &by_time, sought);
                }
    lsi_segment_unref(segment);
    drop_log(fx);
}

/* ---- what verify says ---- */

typedef struct said {
    ls_finding finding; /* the last one that is no note */
    uint32_t count;
    char what[512];
} said;

static ls_inspect_act note(const ls_finding *finding, void *user)
{
    said *of = user;

    if (finding->severity == LS_FINDING_NOTE)
        return LS_INSPECT_GO_ON;
    of->finding = *finding;
    of->count++;
    (void)snprintf(of->what, sizeof of->what, "%s", finding->what);
    return LS_INSPECT_GO_ON;
}

/* Of a log that is closed here; opened for a repair. */
static said verify(fixture *fx, bool repair)
{
    said of = {.count = 0};
    lsi_inspection inspection = {.finding = note, .user = &of, .stream = ""};
    lsi_peek peek;

    open_log(fx, false); /* for its configuration; nothing of the log is used */
    if (repair) {
        assert_int_equal(lsi_log_repair(&fx->store.config, &inspection), LS_OK);
    } else {
        assert_int_equal(lsi_peek_open(&fx->store.env, &fx->store.root, fx->store.config.store_id, &peek), LS_OK);
        peek.alive = false;
        assert_int_equal(lsi_log_verify(&fx->store.config, &peek, &inspection), LS_OK);
        lsi_peek_close(&peek);
    }
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    return of;
}

static void verify_tells_an_older_control_file(void **state)
{
    fixture *fx = &the_fixture;

    (void)state;
    make_log(fx, LS_DURABILITY_SYNC);
    put_more(fx, 2, 100);
    with_control(fx, false);
    put_more(fx, 3, 100);
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    assert_int_equal(verify(fx, false).count, 0);
    with_control(fx, true);
    for (int repaired = 0; repaired <= 1; repaired++) {
        said of = verify(fx, repaired);

        assert_int_equal(of.count, 1);
        assert_int_equal(of.finding.severity, LS_FINDING_HINT);
        assert_int_equal(of.finding.kind, LS_FINDING_CONTROL);
        assert_int_equal(of.finding.repaired, repaired);
        assert_non_null(strstr(of.what, "00000001.seg"));
    }
    assert_int_equal(verify(fx, false).count, 0);
    expect_all(fx);
    drop_log(fx);
}

static void read_list(fixture *fx, unsigned char *bytes, size_t *size, bool write)
{
    const lsi_files *files = sim_files_table(fx->sim);
    lsi_root root;
    lsi_file file;

    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    if (write && *size == 0) {
        assert_int_equal(files->unlink(&root, "1/0/" LSI_SEGMENT_LIST_NAME), 0);
        files->root_close(&root);
        return;
    }
    assert_int_equal(files->open(&root, "1/0/" LSI_SEGMENT_LIST_NAME, write ? LSI_OPEN_WRITE : 0, &file), 0);
    if (write) {
        assert_int_equal(files->truncate(&file, *size), 0);
        assert_int_equal(lsi_file_write_one(&file, bytes, *size, 0), 0);
    } else {
        int64_t got = files->read(&file, bytes, 4096, 0);

        assert_true(got > 0 && got < 4096);
        *size = (size_t)got;
    }
    assert_int_equal(files->close(&file), 0);
    files->root_close(&root);
}

/* A list that lacks what it once named: as it is, and when the log has gone on from there in another segment. */
static void verify_tells_a_segment_that_the_list_lacks(void **state)
{
    fixture *fx = &the_fixture;
    unsigned char bytes[4096];
    size_t size;
    said of;

    (void)state;
    for (int goes_on = 0; goes_on <= 1; goes_on++) {
        make_log(fx, LS_DURABILITY_SYNC);
        put_more(fx, 4, 20000); /* three to a segment */
        read_list(fx, bytes, &size, false);
        put_more(fx, 4, 20000);
        assert_int_equal(log_store_close(&fx->store), LS_OK);
        assert_int_equal(verify(fx, false).count, 0);
        read_list(fx, bytes, &size, true);
        if (goes_on) {
            ls_seqno seqno;

            open_log(fx, false);
            assert_int_equal(log_store_put(&fx->store, 99, 100, &seqno), LS_OK);
            assert_int_equal(log_store_close(&fx->store), LS_OK);
        }
        for (int repaired = 0; repaired <= 1; repaired++) {
            of = verify(fx, repaired);
            assert_int_equal(of.count, 1);
            assert_int_equal(of.finding.severity, LS_FINDING_DAMAGE);
            assert_int_equal(of.finding.kind, LS_FINDING_STRAY_FILE);
            assert_int_equal(of.finding.records_max, 2);
            assert_int_equal(of.finding.last_seqno, fx->last);
            assert_non_null(strstr(of.what, "1/0/00000003.seg"));
        }
        if (!goes_on) { /* As it advises. */
            size = 0;
            read_list(fx, bytes, &size, true);
            of = verify(fx, true);
            assert_int_equal(of.count, 1);
            assert_int_equal(of.finding.kind, LS_FINDING_SEGMENT_LIST);
            assert_int_equal(of.finding.repaired, 1);
            assert_int_equal(verify(fx, false).count, 0);
            expect_all(fx);
            drop_log(fx);
        } else {
            sim_files_free(fx->sim);
        }
    }
}

/* ---- bytes that look like frames ---- */

/* Not a hint, but as false: headers with right sums every 48 bytes, each of a frame of all the rest, whose body is not
 * what its sum says, or, `low`, whose numbers were given before. Looking at each body took minutes (X1). */
#define FALSE_BYTES (8u << 20)
#define FALSE_CPU_S 10

static void false_frames_are_looked_over_once(void **state)
{
    fixture *fx = &the_fixture;

    (void)state;
    for (int low = 0; low <= 1; low++) {
        unsigned char *bytes = calloc(1, FALSE_BYTES);
        lsi_segment *segment;
        lsi_root root;

        assert_non_null(bytes);
        memset(fx, 0, sizeof *fx);
        fx->sim = sim_files_new();
        log_store_open(&fx->store, sim_files_table(fx->sim), true, LS_DURABILITY_SYNC, 64u << 20);
        put_more(fx, 20, 100);
        uint64_t end = lsi_load(&lsi_log_slot(fx->store.log)->committed_end);
        assert_int_equal(lsi_segment_open(&fx->store.config, 1, true, &segment), LS_OK);
        for (size_t at = 0; at + 64 <= FALSE_BYTES; at += LSI_FRAME_HEADER_BYTES) {
            lsi_frame frame = {.bytes = (uint32_t)(FALSE_BYTES - at), .count = 1,
                               .first_seqno = low ? 1 : fx->last + 1 + at / LSI_FRAME_HEADER_BYTES,
                               .arrival_us = BEGIN, .body_sum = 1, .kind = LSI_FRAME_DATA};

            lsi_frame_write_header(bytes + at, &frame, segment->seed, end + 8 + at);
        }
        assert_int_equal(lsi_file_write_one(&segment->file, bytes, FALSE_BYTES, LSI_SEGMENT_HEADER_BYTES + end + 8), 0);
        lsi_segment_unref(segment);
        free(bytes);
        assert_int_equal(log_store_close(&fx->store), LS_OK);
        assert_int_equal(sim_files_table(fx->sim)->root_open(sim_files_table(fx->sim), "store", LSI_ROOT_WRITE, &root),
                         0);
        assert_int_equal(root.files->unlink(&root, LSI_CONTROL_NAME), 0);
        root.files->root_close(&root);

        clock_t began = clock();
        log_store_open(&fx->store, sim_files_table(fx->sim), false, LS_DURABILITY_SYNC, 64u << 20);
        assert_int_equal(log_store_count(&fx->store, 0), 20);
        assert_true(clock() - began < FALSE_CPU_S * CLOCKS_PER_SEC);
        put_more(fx, 1, 100);
        drop_log(fx);
    }
}

/* A shard of which nothing else is left goes on where shared memory says that it ended, unless no log ends there, or
 * one that does would have no room behind it. */
static void what_a_lost_shard_ended_at_is_believed_where_it_can_be(void **state)
{
    static const struct { uint64_t end, believed; } ends[] = {
        {800, 800}, {0, 8}, {801, 8}, {804, 8}, {LSI_POSITION_MAX / 2, LSI_POSITION_MAX / 2},
        {LSI_POSITION_MAX / 2 + 8, 8}, {LSI_POSITION_MAX, 8}, {UINT64_MAX - 7, 8}, {UINT64_MAX, 8},
    };
    fixture *fx = &the_fixture;
    lsi_slot *slot;

    (void)state;
    make_log(fx, LS_DURABILITY_SYNC);
    put_more(fx, 1, 100);
    slot = lsi_log_slot(fx->store.log);
    uint64_t end = lsi_load(&slot->committed_end);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        lsi_log_config config = fx->store.config;
        lsi_lost_log known;

        atomic_store(&slot->committed_end, ends[i].end);
        lsi_lost_know(&config, slot, &known);
        assert_int_equal(known.end, ends[i].believed);
        config.is_closed = true; /* Then the store knows it. */
        config.end = 1600;
        lsi_lost_know(&config, slot, &known);
        assert_int_equal(known.end, 1600);
    }
    atomic_store(&slot->committed_end, end);
    drop_log(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_lost_shard_ended_at_is_believed_where_it_can_be),
        cmocka_unit_test(an_older_control_file_hides_nothing),
        cmocka_unit_test(one_copied_during_a_put_hides_nothing),
        cmocka_unit_test(a_reader_who_may_not_write_is_shown_all_too),
        cmocka_unit_test(a_false_word_takes_nothing),
        cmocka_unit_test(a_false_word_of_a_failed_shard_takes_nothing),
        cmocka_unit_test(an_entry_for_another_frame_hides_nothing),
        cmocka_unit_test(verify_tells_an_older_control_file),
        cmocka_unit_test(verify_tells_a_segment_that_the_list_lacks),
        cmocka_unit_test(false_frames_are_looked_over_once),
    };

    return cmocka_run_group_tests_name("hints that are false", tests, NULL, NULL);
}
