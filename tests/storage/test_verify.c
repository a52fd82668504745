/* What verifying tells (storage/verify.c, findings.c, index_check.c, unnamed.c), finding by finding: the file, the
 * place in it, which records are lost and how many at most. Whatever may not be read, and wherever memory ends, nothing
 * is told that is not so, and nothing stays allocated. On the simulated disk. */
#include "storage/log_store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "storage/verify.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define SMALL LSI_SEGMENT_BYTES_MIN
#define LARGE (1u << 20)
#define RECORD 20000u /* three fill a small segment */
#define TOLD_MAX 32u
#define FIRST "1/0/00000001.seg"
#define THIRD "1/0/00000003.seg"
#define NUMBER_AT 52u /* of a header: FORMAT.md, "Segment" */

typedef struct told {
    ls_finding finding;
    char file[200], what[800];
} told;

typedef struct fixture {
    sim_files *sim;
    lsi_files *files;
    sim_memory memory;
    lsi_memory table;
    log_store store;
    unsigned count; /* records put */
    told told[TOLD_MAX];
    uint32_t told_count;
    ls_inspect_summary summary;
} fixture;

static void make(fixture *fx, uint64_t segment_bytes, ls_durability durability)
{
    memset(fx, 0, sizeof *fx);
    fx->sim = sim_files_new();
    fx->files = sim_files_table(fx->sim);
    fx->memory = (sim_memory)SIM_MEMORY_INIT;
    fx->table = sim_memory_table(&fx->memory);
    fx->store.memory = &fx->table;
    log_store_open(&fx->store, fx->files, true, durability, segment_bytes);
}

static int set_up(void **state)
{
    static fixture fx;

    make(&fx, SMALL, LS_DURABILITY_SYNC);
    *state = &fx;
    return 0;
}

static int set_up_large(void **state)
{
    static fixture fx;

    make(&fx, LARGE, LS_DURABILITY_SYNC);
    *state = &fx;
    return 0;
}

static int set_up_kernel(void **state)
{
    static fixture fx;

    make(&fx, SMALL, LS_DURABILITY_KERNEL);
    *state = &fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    (void)log_store_close(&fx->store);
    assert_int_equal(fx->memory.live, 0);
    sim_files_free(fx->sim);
    return 0;
}

static void put(fixture *fx, unsigned count, size_t size)
{
    ls_seqno seqno;

    for (unsigned i = 0; i < count; i++, fx->count++) {
        assert_int_equal(log_store_put(&fx->store, fx->count, size, &seqno), LS_OK);
        assert_int_equal(seqno, fx->count + 1);
    }
}

static ls_inspect_act take(const ls_finding *finding, void *user)
{
    fixture *fx = user;
    told *to = &fx->told[fx->told_count++];

    assert_true(fx->told_count <= TOLD_MAX);
    to->finding = *finding;
    (void)snprintf(to->file, sizeof to->file, "%s", finding->file);
    (void)snprintf(to->what, sizeof to->what, "%s", finding->what);
    return LS_INSPECT_GO_ON;
}

static ls_status verify_with(fixture *fx, lsi_peek *peek)
{
    lsi_inspection inspection = {.finding = take, .user = fx, .stream = ""};
    size_t live = fx->memory.live;
    ls_status st;

    fx->told_count = 0;
    st = lsi_log_verify(&fx->store.config, peek, &inspection);
    fx->summary = inspection.summary;
    if (fx->memory.live > live + 1) /* The peek may have had to read more bytes than before. */
        fail_msg("%zu allocations stay", fx->memory.live - live);
    return st;
}

/* `beside`: others use the store meanwhile. */
static ls_status try_verify(fixture *fx, bool beside)
{
    size_t live = fx->memory.live;
    lsi_peek peek;
    ls_status st = lsi_peek_open(&fx->store.env, &fx->store.root, fx->store.config.store_id, &peek);

    if (st == LS_OK) {
        peek.alive = beside;
        st = verify_with(fx, &peek);
        lsi_peek_close(&peek);
    }
    assert_int_equal(fx->memory.live, live);
    return st;
}

static void verify(fixture *fx)
{
    assert_int_equal(try_verify(fx, false), LS_OK);
}

/* The only finding. */
static const told *the_one(const fixture *fx)
{
    if (fx->told_count != 1)
        fail_msg("%u findings, the first: %s", fx->told_count, fx->told_count > 0 ? fx->told[0].what : "");
    return &fx->told[0];
}

static void assert_lost(const told *of, ls_seqno first, ls_seqno last, uint64_t most)
{
    if (of->finding.first_seqno != first || of->finding.last_seqno != last || of->finding.records_max != most)
        fail_msg("%" PRIu64 "..%" PRIu64 ", %" PRIu64 ": %s", of->finding.first_seqno, of->finding.last_seqno,
                 of->finding.records_max, of->what);
}

static void with_file(fixture *fx, const char *name, void *bytes, size_t size, uint64_t at, bool write)
{
    lsi_file file;

    assert_int_equal(fx->files->open(&fx->store.root, name, write ? LSI_OPEN_WRITE | LSI_OPEN_CREATE : 0, &file), 0);
    if (write)
        assert_int_equal(lsi_file_write_one(&file, bytes, size, at), 0);
    else
        assert_int_equal(fx->files->read(&file, bytes, size, at), size);
    assert_int_equal(fx->files->close(&file), 0);
}

static uint64_t size_of(fixture *fx, const char *name)
{
    lsi_file file;
    uint64_t size;

    assert_int_equal(fx->files->open(&fx->store.root, name, 0, &file), 0);
    assert_int_equal(fx->files->size(&file, &size), 0);
    assert_int_equal(fx->files->close(&file), 0);
    return size;
}

static void turn_byte(fixture *fx, const char *name, uint64_t at)
{
    unsigned char byte;

    with_file(fx, name, &byte, 1, at, false);
    byte ^= 0x20;
    with_file(fx, name, &byte, 1, at, true);
}

/* ---- frames ---- */

static void each_damaged_frame_is_told_with_its_record(void **state)
{
    fixture *fx = *state;
    uint64_t positions[5];

    for (unsigned i = 0; i < 5; i++) {
        const lsi_slot *slot = lsi_log_slot(fx->store.log);

        positions[i] = slot != NULL ? lsi_load(&slot->committed_end) : 0;
        put(fx, 1, 1000);
    }
    verify(fx);
    assert_int_equal(fx->told_count, 0);
    assert_int_equal(fx->summary.records, 5);
    for (unsigned i = 0; i < 5; i++) {
        uint64_t at = LSI_SEGMENT_HEADER_BYTES + positions[i];
        const told *of;

        turn_byte(fx, FIRST, at + 200);
        verify(fx);
        of = the_one(fx);
        assert_int_equal(of->finding.kind, LS_FINDING_FRAMES);
        assert_string_equal(of->file, FIRST);
        assert_int_equal(of->finding.offset, at);
        assert_int_equal(of->finding.bytes, i < 4 ? positions[1] : lsi_load(&lsi_log_slot(fx->store.log)->committed_end)
                         - positions[4]);
        assert_lost(of, i + 1, i + 1, 1);
        assert_true(fx->summary.damages == 1 && fx->summary.hints == 0 && fx->summary.notes == 0);
        assert_int_equal(fx->summary.records_lost_max, 1);
        turn_byte(fx, FIRST, at + 200);
    }
}

/* Whichever read of a sealed segment fails. */
static void what_cannot_be_read_is_told_with_all_its_records(void **state)
{
    fixture *fx = *state;
    bool met = true;
    unsigned count = 0;

    put(fx, 5, RECORD);
    for (uint64_t nth = 1; met; nth++) {
        sim_fault_add(fx->sim, (sim_fault){.call = SIM_READ, .name = "00000001.seg", .nth = nth, .err = EIO});
        verify(fx);
        met = sim_faults_met(fx->sim) != 0;
        sim_faults_clear(fx->sim);
        if (!met)
            break;
        count++;
        assert_int_equal(the_one(fx)->finding.kind, LS_FINDING_FILE_UNREADABLE);
        assert_int_equal(the_one(fx)->finding.severity, LS_FINDING_DAMAGE);
        assert_lost(the_one(fx), 1, 3, 3);
        assert_true(fx->summary.records == 2 || fx->summary.records == 5); /* It may be read when it is asked again. */
    }
    assert_true(count >= 3);
}

/* Where a sealed segment's file ends too soon, that is told, once. */
static void a_file_that_was_cut_is_told_with_what_is_gone(void **state)
{
    fixture *fx = *state;
    lsi_file file;

    put(fx, 5, RECORD);
    assert_int_equal(fx->files->open(&fx->store.root, FIRST, LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(fx->files->truncate(&file, LSI_SEGMENT_HEADER_BYTES + 20064 + 1000), 0);
    assert_int_equal(fx->files->close(&file), 0);
    verify(fx);
    assert_int_equal(the_one(fx)->finding.kind, LS_FINDING_SEGMENT_SHORT);
    assert_int_equal(the_one(fx)->finding.offset, LSI_SEGMENT_HEADER_BYTES + 20064);
    assert_int_equal(the_one(fx)->finding.bytes, 2 * 20064);
    assert_lost(the_one(fx), 2, 3, 2);
    assert_int_equal(fx->summary.records, 3);
}

/* What nobody synced is there as well, as long as the machine runs. */
static void what_was_not_synced_is_counted(void **state)
{
    fixture *fx = *state;
    const lsi_slot *slot;

    put(fx, 5, 1000);
    slot = lsi_log_slot(fx->store.log);
    assert_true(lsi_load(&slot->durable_end) < lsi_load(&slot->committed_end));
    for (int beside = 0; beside < 2; beside++) {
        assert_int_equal(try_verify(fx, beside != 0), LS_OK);
        assert_int_equal(fx->told_count, 0);
        assert_int_equal(fx->summary.records, 5);
    }
}

/* Of an end that is older than the log, nothing behind it is left out. */
static void what_lies_behind_an_older_end_is_looked_at(void **state)
{
    fixture *fx = *state;
    lsi_watermark marks[2];
    lsi_slot *slot;
    uint64_t end;

    put(fx, 2, 100);
    slot = lsi_log_slot(fx->store.log);
    end = lsi_load(&slot->committed_end);
    memcpy(marks, slot->watermark, sizeof marks);
    put(fx, 3, 100);
    uint64_t now[] = {lsi_load(&slot->committed_end), lsi_load(&slot->write_end), lsi_load(&slot->durable_end)};
    atomic_store(&slot->committed_end, end);
    atomic_store(&slot->write_end, end);
    atomic_store(&slot->durable_end, end);
    atomic_store(&slot->next_seqno, 3);
    memcpy(slot->watermark, marks, sizeof marks);
    verify(fx);
    assert_int_equal(fx->summary.records, 5);
    assert_int_equal(the_one(fx)->finding.kind, LS_FINDING_CONTROL);
    assert_int_equal(the_one(fx)->finding.severity, LS_FINDING_HINT);
    assert_true(fx->summary.hints == 1 && fx->summary.damages == 0 && fx->summary.notes == 0);
    atomic_store(&slot->committed_end, now[0]);
    atomic_store(&slot->write_end, now[1]);
    atomic_store(&slot->durable_end, now[2]);
    atomic_store(&slot->next_seqno, 6);
}

/* Beside others: the log rolls after the control file was read. */
static void a_roll_before_the_list_is_read_hides_nothing(void **state)
{
    fixture *fx = *state;
    lsi_peek peek;

    put(fx, 2, RECORD);
    assert_int_equal(lsi_peek_open(&fx->store.env, &fx->store.root, fx->store.config.store_id, &peek), LS_OK);
    peek.alive = true;
    put(fx, 3, RECORD);
    assert_int_equal(verify_with(fx, &peek), LS_OK);
    assert_int_equal(fx->told_count, 0);
    assert_int_equal(fx->summary.records, 5);
    assert_int_equal(fx->summary.segments, 2);
    lsi_peek_close(&peek);
}

static ls_status compressed(void *user, lsi_log_terms *out)
{
    (void)user;
    memset(out, 0, sizeof *out);
    out->codec = LSI_CODEC_ZSTD;
    return LS_OK;
}

static void records_that_are_compressed_are_counted(void **state)
{
    fixture *fx = *state;

    put(fx, 1, 100);
    fx->store.log->config.terms = compressed;
    lsi_log_take_terms(lsi_log_slot(fx->store.log));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(log_store_put(&fx->store, i, RECORD, &(ls_seqno){0}), LS_OK);
    verify(fx);
    assert_int_equal(fx->told_count, 0);
    assert_int_equal(fx->summary.records, 5);
    assert_int_equal(fx->summary.segments, 2);
}

/* A segment in blocks of which nothing says where they lie: named as it is, and nothing of it stays open. */
static void a_segment_whose_blocks_are_lost_is_told_whole(void **state)
{
    fixture *fx = *state;
    lsi_segment *segment;
    unsigned char wrong[64];
    uint64_t saved, size;
    size_t live;
    bool found;

    put(fx, 5, RECORD);
    assert_int_equal(lsi_log_recompress(fx->store.log, false, &found, &saved), LS_OK);
    assert_true(found && saved > RECORD);
    verify(fx);
    assert_int_equal(fx->told_count, 0);
    assert_int_equal(fx->summary.records, 5);
    size = size_of(fx, FIRST);
    memset(wrong, 0xff, sizeof wrong);
    with_file(fx, FIRST, wrong, sizeof wrong, LSI_SEGMENT_HEADER_BYTES, true);
    with_file(fx, FIRST, wrong, sizeof wrong, size - sizeof wrong, true);
    live = fx->memory.live;
    assert_int_equal(lsi_segment_open(&fx->store.config, 1, false, &segment), LS_ERR_CORRUPT);
    assert_non_null(strstr(ls_last_error_message(), "stream 'test' shard 0"));
    assert_non_null(strstr(ls_last_error_message(), FIRST));
    assert_int_equal(fx->memory.live, live);
    verify(fx);
    assert_int_equal(the_one(fx)->finding.kind, LS_FINDING_SEGMENT_HEADER);
    assert_lost(the_one(fx), 1, 3, 3);
}

/* ---- indexes ---- */

static void wrong_entries_of_an_index_are_counted_and_the_first_is_named(void **state)
{
    static const struct { uint64_t at, first, count; } more[] = {{64, 64, 1}, {32, 32, 2}, {96, 32, 3}, {0, 0, 4}};
    fixture *fx = *state;
    unsigned char entry[LSI_INDEX_ENTRY_BYTES];
    char says[80];

    put(fx, 16, RECORD); /* five blocks of it */
    memset(entry, 0x5a, sizeof entry);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        with_file(fx, "1/0/00000001.idx", entry, sizeof entry, more[i].at, true);
        verify(fx);
        assert_int_equal(the_one(fx)->finding.kind, LS_FINDING_INDEX);
        assert_int_equal(the_one(fx)->finding.offset, more[i].first);
        assert_int_equal(the_one(fx)->finding.bytes, LSI_INDEX_ENTRY_BYTES);
        (void)snprintf(says, sizeof says, "has %" PRIu64 " wrong %s, the first at offset 0x%" PRIx64, more[i].count,
                       more[i].count == 1 ? "entry" : "entries", more[i].first);
        assert_non_null(strstr(the_one(fx)->what, says));
    }
}

/* The rest of one that was cut off. */
static void a_piece_of_an_entry_is_wrong(void **state)
{
    fixture *fx = *state;
    uint64_t size;

    put(fx, 1, 100);
    size = size_of(fx, "1/0/00000001.idx");
    with_file(fx, "1/0/00000001.idx", (unsigned char[]){0, 0, 7}, 3, size, true);
    verify(fx);
    assert_int_equal(the_one(fx)->finding.kind, LS_FINDING_INDEX);
    assert_int_equal(the_one(fx)->finding.offset, size);
    assert_non_null(strstr(the_one(fx)->what, "has 1 wrong entry, the first at"));
}

/* ---- a sync that failed ---- */

/* A put whose sync fails; what is not known to be on the disk are `bytes`, in records of 16 at least. */
static void a_failed_sync_is_told_with_what_is_given_up_at_most(void **state)
{
    fixture *fx = *state;
    uint64_t most;
    const lsi_slot *slot;
    char says[80];

    put(fx, 2, 100);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_SYNC, .name = ".seg", .nth = 1, .err = EIO});
    assert_int_equal(log_store_put(&fx->store, 9, 1000, &(ls_seqno){0}), LS_ERR_IO);
    sim_faults_clear(fx->sim);
    slot = lsi_log_slot(fx->store.log);
    most = (lsi_load(&slot->committed_end) - lsi_load(&slot->durable_end)) / 16;
    assert_true(most > 60 && most < 80);
    (void)snprintf(says, sizeof says, "is given up: at most %" PRIu64 " records lost", most);
    verify(fx);
    assert_int_equal(fx->told[0].finding.kind, LS_FINDING_SYNC_FAILED);
    assert_int_equal(fx->told[0].finding.records_max, most);
    assert_non_null(strstr(fx->told[0].what, says));

    lsi_inspection inspection = {.finding = take, .user = fx, .stream = ""};
    fx->told_count = 0;
    (void)lsi_log_close(fx->store.log);
    fx->store.log = NULL;
    assert_int_equal(lsi_log_repair(&fx->store.config, &inspection), LS_OK);
    assert_int_equal(fx->told[0].finding.kind, LS_FINDING_SYNC_FAILED);
    assert_int_equal(fx->told[0].finding.repaired, 1);
    assert_int_equal(fx->told[0].finding.records_max, most);
    assert_non_null(strstr(fx->told[0].what, says));
    assert_int_equal(lsi_log_open(&fx->store.config, &fx->store.log), LS_OK);
    assert_int_equal(log_store_count(&fx->store, 0), 2);
    assert_int_equal(log_store_put(&fx->store, 2, 100, &(ls_seqno){0}), LS_OK); /* It goes on. */
    assert_int_equal(log_store_count(&fx->store, 0), 3);
}

/* Whichever read fails while it is repaired: nothing stays allocated, and nothing is said to be repaired. */
static void a_repair_that_cannot_read_keeps_nothing(void **state)
{
    fixture *fx = *state;
    unsigned failed = 0;

    put(fx, 5, RECORD);
    (void)lsi_log_close(fx->store.log);
    fx->store.log = NULL;
    for (uint64_t nth = 1;; nth++) {
        lsi_inspection inspection = {.finding = take, .user = fx, .stream = ""};
        size_t live = fx->memory.live;
        bool met;

        fx->told_count = 0;
        sim_fault_add(fx->sim, (sim_fault){.call = SIM_READ, .name = ".seg", .nth = nth, .err = EIO});
        ls_status st = lsi_log_repair(&fx->store.config, &inspection);
        met = sim_faults_met(fx->sim) != 0;
        sim_faults_clear(fx->sim);
        assert_int_equal(fx->memory.live, live);
        assert_int_equal(inspection.summary.repaired, 0);
        if (!met)
            break;
        failed += st != LS_OK || fx->told_count > 0;
    }
    assert_true(failed > 2);
    assert_int_equal(lsi_log_open(&fx->store.config, &fx->store.log), LS_OK);
    assert_int_equal(log_store_count(&fx->store, 0), 5);
}

/* ---- files that the list does not name ---- */

/* A list from before the log rolled: what was put behind it is lost, and how much of it is known. So many records of
 * which three fill a segment are put before, and then up to nine. */
static void make_unnamed_behind(fixture *fx, unsigned before)
{
    unsigned char list[4096];
    lsi_file file;
    size_t size;

    put(fx, before, RECORD);
    size = (size_t)size_of(fx, "1/0/" LSI_SEGMENT_LIST_NAME);
    assert_true(size <= sizeof list);
    with_file(fx, "1/0/" LSI_SEGMENT_LIST_NAME, list, size, 0, false);
    if (before > 3) {
        put(fx, 6 - before, RECORD);
        put(fx, 1, 2000); /* No room is left for it in the second one. */
    }
    put(fx, 2, before > 3 ? 100 : RECORD);
    assert_int_equal(fx->files->open(&fx->store.root, "1/0/" LSI_SEGMENT_LIST_NAME, LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(fx->files->truncate(&file, size), 0);
    assert_int_equal(fx->files->close(&file), 0);
    with_file(fx, "1/0/" LSI_SEGMENT_LIST_NAME, list, size, 0, true);
}

static void make_unnamed(fixture *fx)
{
    make_unnamed_behind(fx, 4);
}

static const told *the_damage(const fixture *fx)
{
    const told *found = NULL;

    for (uint32_t i = 0; i < fx->told_count; i++)
        if (fx->told[i].finding.severity == LS_FINDING_DAMAGE) {
            assert_null(found);
            found = &fx->told[i];
        }
    assert_non_null(found);
    return found;
}

static void a_segment_that_the_list_lacks_is_told_with_its_records(void **state)
{
    fixture *fx = *state;

    make_unnamed(fx);
    verify(fx);
    assert_int_equal(the_damage(fx)->finding.kind, LS_FINDING_STRAY_FILE);
    assert_string_equal(the_damage(fx)->file, THIRD);
    assert_lost(the_damage(fx), 7, 9, 3);
}

static void one_behind_the_first_is_told_too(void **state)
{
    fixture *fx = *state;

    make_unnamed_behind(fx, 3);
    verify(fx);
    assert_int_equal(the_damage(fx)->finding.kind, LS_FINDING_STRAY_FILE);
    assert_string_equal(the_damage(fx)->file, "1/0/00000002.seg");
    assert_lost(the_damage(fx), 4, 5, 2);
}

/* Its file may end anywhere. */
static void it_is_told_as_far_as_it_is_whole(void **state)
{
    static unsigned char torn[7] = {1, 2, 3, 4, 5, 6, 7};
    fixture *fx = *state;
    uint64_t ends[4] = {LSI_SEGMENT_HEADER_BYTES};
    lsi_file file;

    make_unnamed(fx);
    for (unsigned i = 0; i < 3; i++) {
        unsigned char head[8];

        with_file(fx, THIRD, head, sizeof head, ends[i], false);
        ends[i + 1] = ends[i] + lsi_read_u32le(head);
    }
    assert_true(ends[2] % 16 != 0); /* Frames end at any multiple of 8. */
    assert_int_equal(fx->files->open(&fx->store.root, THIRD, LSI_OPEN_WRITE, &file), 0);
    for (unsigned whole = 3; whole > 0; whole--)
        for (unsigned rest = 0; rest < 8; rest++) {
            assert_int_equal(fx->files->truncate(&file, ends[whole]), 0);
            if (rest > 0)
                assert_int_equal(lsi_file_write_one(&file, torn, rest, ends[whole]), 0);
            verify(fx);
            assert_lost(the_damage(fx), 7, 6 + whole, whole);
        }
    assert_int_equal(fx->files->close(&file), 0);
}

/* Whichever look at it fails: it is never said to be nothing. */
static void one_that_cannot_be_read_is_no_note(void **state)
{
    static const sim_call calls[] = {SIM_READ, SIM_SIZE, SIM_OPEN};
    fixture *fx = *state;
    unsigned count = 0;

    make_unnamed(fx);
    for (size_t call = 0; call < sizeof calls / sizeof *calls; call++)
        for (uint64_t nth = 1;; nth++) {
            bool met;

            sim_fault_add(fx->sim, (sim_fault){.call = calls[call], .name = "00000003.seg", .nth = nth, .err = EIO});
            verify(fx);
            met = sim_faults_met(fx->sim) != 0;
            sim_faults_clear(fx->sim);
            assert_string_equal(the_damage(fx)->file, THIRD);
            if (!met)
                break;
            assert_int_equal(the_damage(fx)->finding.kind, LS_FINDING_FILE_UNREADABLE);
            count++;
        }
    assert_true(count >= 4);
}

/* Beside others, who may be about to name one, only what a repair kept is told. */
static void what_a_repair_kept_is_told_beside_others_too(void **state)
{
    fixture *fx = *state;

    put(fx, 1, 100);
    with_file(fx, "1/0/segments.damaged-1", (unsigned char[]){1}, 1, 0, true);
    with_file(fx, "1/0/00000007.idx", (unsigned char[]){1}, 1, 0, true);
    assert_int_equal(try_verify(fx, true), LS_OK);
    assert_string_equal(the_one(fx)->file, "1/0/segments.damaged-1");
    assert_int_equal(the_one(fx)->finding.severity, LS_FINDING_NOTE);
    assert_int_equal(try_verify(fx, false), LS_OK);
    assert_int_equal(fx->told_count, 2);
}

/* One whose header quotes none of the listed ones holds nothing that the list should have. */
static void a_segment_that_follows_none_is_a_note(void **state)
{
    fixture *fx = *state;
    unsigned char *bytes = malloc(SMALL);
    size_t size;

    assert_non_null(bytes);
    put(fx, 5, RECORD);
    size = (size_t)size_of(fx, FIRST);
    assert_true(size <= SMALL);
    with_file(fx, FIRST, bytes, size, 0, false);
    lsi_write_u32le(bytes + NUMBER_AT, 9);
    lsi_write_u32le(bytes + LSI_SEGMENT_PREVIOUS_AT, 7);
    lsi_write_u64le(bytes + LSI_SEGMENT_HEADER_BYTES - 8, lsi_sum64(bytes, LSI_SEGMENT_HEADER_BYTES - 8, 0));
    with_file(fx, "1/0/00000009.seg", bytes, size, 0, true);
    free(bytes);
    verify(fx);
    assert_int_equal(the_one(fx)->finding.severity, LS_FINDING_NOTE);
    assert_string_equal(the_one(fx)->file, "1/0/00000009.seg");
    assert_lost(the_one(fx), 0, 0, 0);
}

/* One that was begun and holds nothing is no loss, whatever failed before. */
static void one_without_a_frame_is_a_note(void **state)
{
    fixture *fx = *state;
    lsi_file file;

    make_unnamed(fx);
    assert_int_equal(fx->files->open(&fx->store.root, THIRD, LSI_OPEN_WRITE, &file), 0);
    for (uint64_t more = 0; more <= 4096; more += 2048) {
        assert_int_equal(fx->files->truncate(&file, LSI_SEGMENT_HEADER_BYTES), 0);
        assert_int_equal(fx->files->truncate(&file, LSI_SEGMENT_HEADER_BYTES + more), 0);
        (void)lsi_fail_errno(EIO, "before");
        verify(fx);
        for (uint32_t i = 0; i < fx->told_count; i++)
            assert_int_equal(fx->told[i].finding.severity, LS_FINDING_NOTE);
        assert_string_equal(fx->told[fx->told_count - 1].file, THIRD);
        assert_string_equal(ls_last_error_message(), "before: Input/output error");
    }
    assert_int_equal(fx->files->close(&file), 0);
}

/* ---- the list ---- */

/* Nobody knows then what is in the shard: all of it is told as not to be had, once. */
static void a_list_that_cannot_be_read_is_told(void **state)
{
    fixture *fx = *state;

    put(fx, 1, 100);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_READ, .name = LSI_SEGMENT_LIST_NAME, .nth = 1, .err = EIO,
                                       .sticky = true});
    verify(fx);
    sim_faults_clear(fx->sim);
    assert_int_equal(the_one(fx)->finding.kind, LS_FINDING_FILE_UNREADABLE);
    assert_int_equal(the_one(fx)->finding.severity, LS_FINDING_DAMAGE);
    assert_string_equal(the_one(fx)->file, "1/0/" LSI_SEGMENT_LIST_NAME);
    assert_true(the_one(fx)->finding.records_max == LS_RECORDS_UNKNOWN);
    assert_non_null(strstr(the_one(fx)->what, "the shard can be neither read nor written"));
}

/* ---- memory ---- */

/* Wherever it ends: that is said, and nothing else is. Beside others, too, where the list is read once more. */
static void memory_that_ends_is_said(void **state)
{
    fixture *fx = *state;
    unsigned failed = 0;

    make_unnamed(fx);
    turn_byte(fx, FIRST, LSI_SEGMENT_HEADER_BYTES + 100);
    for (int beside = 0; beside < 2; beside++)
        for (uint64_t nth = 1;; nth++) {
            bool met;
            ls_status st;

            sim_memory_fail(&fx->memory, nth, false);
            fx->memory.failed = 0;
            st = try_verify(fx, beside != 0);
            met = fx->memory.failed != 0;
            sim_memory_fail(&fx->memory, 0, false);
            assert_int_equal(st, met ? LS_ERR_NO_MEMORY : LS_OK);
            failed += st != LS_OK;
            if (st == LS_OK)
                break;
        }
    assert_true(failed > 20);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define L(name) cmocka_unit_test_setup_teardown(name, set_up_large, tear_down)
    const struct CMUnitTest tests[] = {
        T(each_damaged_frame_is_told_with_its_record),
        T(what_cannot_be_read_is_told_with_all_its_records),
        T(a_file_that_was_cut_is_told_with_what_is_gone),
        cmocka_unit_test_setup_teardown(what_was_not_synced_is_counted, set_up_kernel, tear_down),
        T(what_lies_behind_an_older_end_is_looked_at),
        T(a_roll_before_the_list_is_read_hides_nothing),
        T(records_that_are_compressed_are_counted),
        T(a_segment_whose_blocks_are_lost_is_told_whole),
        L(wrong_entries_of_an_index_are_counted_and_the_first_is_named),
        T(a_piece_of_an_entry_is_wrong),
        T(a_failed_sync_is_told_with_what_is_given_up_at_most),
        T(a_repair_that_cannot_read_keeps_nothing),
        T(a_segment_that_the_list_lacks_is_told_with_its_records),
        T(one_behind_the_first_is_told_too),
        T(it_is_told_as_far_as_it_is_whole),
        T(one_that_cannot_be_read_is_no_note),
        T(what_a_repair_kept_is_told_beside_others_too),
        T(a_segment_that_follows_none_is_a_note),
        T(one_without_a_frame_is_a_note),
        T(a_list_that_cannot_be_read_is_told),
        T(memory_that_ends_is_said),
    };
    return cmocka_run_group_tests_name("what verifying tells", tests, NULL, NULL);
}
