/* Trimming one log (trim.c) and reading around it: what goes, what stays, who is told, and what a crash, a kill or a
 * failing call leaves. Segments have 64 KiB and records 20 KB: three to a segment, each its own frame. */
#include <stdlib.h>

#include "storage/log_store.h"

#include <errno.h>

#include "base/status.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define SMALL LSI_SEGMENT_BYTES_MIN
#define RECORD 20000u
#define PER_SEGMENT 3u
#define SECOND INT64_C(1000000)
#define BEGIN INT64_C(1700000000000000)

typedef struct fixture {
    sim_files *sim;
    log_store store;
    sim_memory memory;
    lsi_memory table;
    ls_seqno seqnos[64];
    unsigned put_count;
    int64_t expired_us; /* of the log's age limit */
} fixture;

static fixture the_fixture;

static void open_log(fixture *fx, bool make, ls_durability durability)
{
    fx->store.memory = &fx->table;
    log_store_open(&fx->store, sim_files_table(fx->sim), make, durability, SMALL);
}

static int setup(void **state)
{
    static const sim_memory none = SIM_MEMORY_INIT;
    fixture *fx = &the_fixture;

    memset(fx, 0, sizeof *fx);
    fx->sim = sim_files_new();
    fx->memory = none;
    fx->table = sim_memory_table(&fx->memory);
    open_log(fx, true, LS_DURABILITY_SYNC);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    fixture *fx = *state;

    if (fx->store.log != NULL)
        (void)log_store_close(&fx->store);
    sim_files_free(fx->sim);
    return 0;
}

/* `count` more records, a second apart: record n arrives at BEGIN + n seconds. */
static void put_more(fixture *fx, unsigned count)
{
    for (; count > 0; count--, fx->put_count++) {
        fx->store.wall_us = BEGIN + fx->put_count * SECOND;
        assert_int_equal(log_store_put(&fx->store, fx->put_count, RECORD, &fx->seqnos[fx->put_count]), LS_OK);
    }
}

static int64_t expired_before_us(void *user, int64_t arrival_us)
{
    (void)arrival_us;
    return ((fixture *)user)->expired_us;
}

/* Records before number `n` are past their age. */
static void expire_before(fixture *fx, unsigned n)
{
    fx->expired_us = BEGIN + n * SECOND;
    fx->store.log->config.expired_before_us = expired_before_us;
    fx->store.log->config.expired_user = fx;
}

/* ---- what is there ---- */

typedef struct present {
    uint32_t segments, indexes, lowest, others;
} present;

static int note_file(void *user, const char *entry, bool is_dir)
{
    present *of = user;
    unsigned number;
    char suffix[8];

    if (!is_dir && sscanf(entry, "%8u.%3s", &number, suffix) == 2 && (strcmp(suffix, "seg") == 0 ||
                                                                      strcmp(suffix, "idx") == 0)) {
        of->segments += strcmp(suffix, "seg") == 0;
        of->indexes += strcmp(suffix, "idx") == 0;
        if (of->lowest == 0 || number < of->lowest)
            of->lowest = number;
    } else if (strcmp(entry, LSI_SEGMENT_LIST_NAME) != 0) {
        of->others++;
    }
    return 0;
}

static present files_of(fixture *fx)
{
    present found = {0};

    assert_int_equal(fx->store.root.files->list(&fx->store.root, "1/0", note_file, &found), 0);
    return found;
}

static lsi_log_reader *reader_at(fixture *fx, ls_position_kind kind, ls_seqno seqno, int64_t timestamp_us)
{
    ls_position position = {.kind = kind, .seqno = seqno, .timestamp_us = timestamp_us};
    lsi_log_reader *reader;

    assert_int_equal(lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader), LS_OK);
    assert_int_equal(lsi_log_reader_seek(reader, &position), LS_OK);
    return reader;
}

static ls_status read_one(lsi_log_reader *reader, unsigned *n)
{
    const ls_record *records;
    uint32_t count;
    bool tip, end;
    ls_status st = lsi_log_reader_read(reader, 1, UINT64_MAX, &records, &count, &tip, &end);

    *n = UINT32_MAX;
    if (st == LS_OK && count == 1)
        memcpy(n, records[0].data.data, sizeof *n);
    return st;
}

static void expect(lsi_log_reader *reader, unsigned n)
{
    unsigned got;

    assert_int_equal(read_one(reader, &got), LS_OK);
    assert_int_equal(got, n);
}

static void expect_end(lsi_log_reader *reader)
{
    expect(reader, UINT32_MAX);
}

/* P8: told once, with the number of record `n`, where it then stands. */
static void expect_trimmed(fixture *fx, lsi_log_reader *reader, unsigned n)
{
    char number[32];
    unsigned got;

    assert_int_equal(read_one(reader, &got), LS_ERR_TRIMMED);
    (void)snprintf(number, sizeof number, "number %llu ", (unsigned long long)fx->seqnos[n]);
    assert_non_null(strstr(ls_last_error_message(), number));
    assert_int_equal(lsi_log_reader_place(reader), fx->seqnos[n]);
    expect(reader, n);
}

/* What it lost: the records `from` to below `to`, of which it stood behind the one before. */
static void expect_cut(const fixture *fx, const lsi_log_reader *reader, unsigned from, unsigned to)
{
    lsi_log_cut cut = lsi_log_reader_cut(reader);

    assert_int_equal(cut.records, fx->seqnos[to] - fx->seqnos[from]);
    assert_in_range(cut.bytes, (to - from) * RECORD, (to - from) * (RECORD + 200));
    assert_in_range(cut.ms, (to - from - 1) * 1000, (to - from + 1) * 1000);
}

static uint32_t trim(fixture *fx, uint32_t keep)
{
    uint32_t removed;

    assert_int_equal(lsi_log_trim(fx->store.log, keep, INT64_MAX, &removed), LS_OK);
    return removed;
}

/* ---- by segments ---- */

static void old_segments_go_and_the_rest_is_read(void **state)
{
    fixture *fx = *state;
    lsi_log_facts facts;
    present now;

    put_more(fx, 10);
    assert_int_equal(trim(fx, 3), 2);
    now = files_of(fx);
    assert_int_equal(now.lowest, 3);
    assert_int_equal(now.segments, 2);
    assert_int_equal(now.others, 0);
    assert_int_equal(log_store_count(&fx->store, 2 * PER_SEGMENT), 10 - 2 * PER_SEGMENT);
    assert_int_equal(lsi_log_state(fx->store.log, &facts), LS_OK);
    assert_int_equal(facts.oldest, fx->seqnos[6]);
    assert_int_equal(facts.latest, fx->seqnos[9]);

    put_more(fx, 5);
    assert_int_equal(trim(fx, 3), 0);
    assert_int_equal(trim(fx, 1000), 2); /* never the last one */
    now = files_of(fx);
    assert_int_equal(now.segments, 1);
    assert_int_equal(now.lowest, 5);
    assert_int_equal(log_store_count(&fx->store, 12), 3);
    put_more(fx, 4);
    assert_int_equal(log_store_count(&fx->store, 12), 7);

    assert_int_equal(log_store_close(&fx->store), LS_OK);
    open_log(fx, false, LS_DURABILITY_SYNC);
    assert_int_equal(log_store_count(&fx->store, 12), 7);
}

/* R6: the reason is read from the frames, whatever who calls believes. */
static void a_directory_that_is_called_like_a_segment_stays(void **state)
{
    fixture *fx = *state;
    const lsi_files *files = fx->store.root.files;

    put_more(fx, 10);
    assert_int_equal(trim(fx, 3), 2);
    assert_int_equal(files->make_dir(&fx->store.root, "1/0/00000001.seg"), 0);
    put_more(fx, 5);
    assert_int_equal(trim(fx, 1000), 2);
    assert_int_equal(files->make_dir(&fx->store.root, "1/0/00000001.seg"), -EEXIST);
}

static void nothing_goes_that_is_young(void **state)
{
    fixture *fx = *state;
    uint32_t removed;

    put_more(fx, 10);
    for (unsigned n = 0; n <= 5; n++) {
        assert_int_equal(lsi_log_trim(fx->store.log, 3, BEGIN + n * SECOND, &removed), LS_OK);
        assert_int_equal(removed, 0);
    }
    assert_int_equal(log_store_count(&fx->store, 0), 10);
    assert_int_equal(lsi_log_trim(fx->store.log, 3, BEGIN + 5 * SECOND + 1, &removed), LS_OK);
    assert_int_equal(removed, 2);
}

/* R6: how young the records of a segment are that is not there any more, the list knows. */
static void what_is_gone_is_as_young_as_the_list_says(void **state)
{
    fixture *fx = *state;
    lsi_log_reader *reader;
    uint32_t removed;

    put_more(fx, 10);
    assert_int_equal(fx->store.root.files->unlink(&fx->store.root, "1/0/00000002.seg"), 0);
    for (unsigned n = 0; n <= 5; n++) {
        assert_int_equal(lsi_log_trim(fx->store.log, 3, BEGIN + n * SECOND, &removed), LS_OK);
        assert_int_equal(removed, 0);
    }
    assert_int_equal(lsi_log_trim(fx->store.log, 3, BEGIN + 5 * SECOND + 1, &removed), LS_OK);
    assert_int_equal(removed, 1);
    reader = reader_at(fx, LS_TRIM_HORIZON, 0, 0);
    expect(reader, 6);
    lsi_log_reader_close(reader);
}

typedef struct pieces {
    lsi_log_piece of[16];
    uint32_t count;
} pieces;

static bool note_piece(void *user, const lsi_log_piece *piece)
{
    pieces *found = user;

    found->of[found->count++] = *piece;
    return true;
}

static void pieces_say_what_files_take_and_hold(void **state)
{
    fixture *fx = *state;
    uint64_t sealed = 0;
    pieces found = {0};

    put_more(fx, 10);
    assert_int_equal(lsi_log_each_piece(fx->store.log, INT64_MIN, note_piece, &found), LS_OK);
    assert_int_equal(found.count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        char name[LSI_SEGMENT_NAME_BYTES];
        uint64_t size;
        lsi_file file;

        assert_int_equal(found.of[i].number, i + 1);
        assert_int_equal(found.of[i].is_last, i == 3);
        assert_int_equal(found.of[i].newest_us, i == 3 ? INT64_MAX : BEGIN + (3 * i + 2) * SECOND);
        lsi_segment_name("1/0", i + 1, "seg", name);
        assert_int_equal(fx->store.root.files->open(&fx->store.root, name, 0, &file), 0);
        assert_int_equal(file.files->size(&file, &size), 0);
        assert_int_equal(file.files->close(&file), 0);
        assert_int_equal(found.of[i].bytes, size);
        sealed += i == 3 ? 0 : size;
    }
    /* Others see it without reading the list. */
    lsi_slot *slot = lsi_log_slot(fx->store.log);
    assert_int_equal(atomic_load(&slot->sealed_bytes), sealed + 1);
    assert_int_equal(atomic_load(&slot->oldest_us), BEGIN + 2 * SECOND);
    assert_int_equal(trim(fx, 4), 3);
    assert_int_equal(atomic_load(&slot->sealed_bytes), 1);
    assert_int_equal(atomic_load(&slot->oldest_us), INT64_MAX);

    /* Also who comes next, with one look. */
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    open_log(fx, false, LS_DURABILITY_SYNC);
    put_more(fx, 1);
    slot = lsi_log_slot(fx->store.log);
    assert_int_equal(atomic_load(&slot->sealed_bytes), 0);
    found.count = 0;
    assert_int_equal(lsi_log_each_piece(fx->store.log, INT64_MIN, note_piece, &found), LS_OK);
    assert_int_equal(atomic_load(&slot->sealed_bytes), 1);
}

/* An idle shard: its last segment can go when another one was begun. */
static void an_old_last_segment_is_retired(void **state)
{
    fixture *fx = *state;
    uint32_t removed;
    bool rolled;

    assert_int_equal(lsi_log_retire(fx->store.log, INT64_MAX, &rolled), LS_OK);
    assert_false(rolled); /* it is empty */
    put_more(fx, 2);
    assert_int_equal(lsi_log_retire(fx->store.log, BEGIN + SECOND, &rolled), LS_OK);
    assert_false(rolled); /* record 1 arrived then, not before */
    assert_int_equal(lsi_log_retire(fx->store.log, BEGIN + SECOND + 1, &rolled), LS_OK);
    assert_true(rolled);
    assert_int_equal(lsi_log_retire(fx->store.log, INT64_MAX, &rolled), LS_OK);
    assert_false(rolled);
    lsi_log_reader *caught_up = reader_at(fx, LS_AFTER_SEQUENCE_NUMBER, fx->seqnos[1], 0);
    expect_end(caught_up);
    assert_int_equal(lsi_log_trim(fx->store.log, 2, BEGIN + SECOND + 1, &removed), LS_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(log_store_count(&fx->store, 0), 0);

    lsi_log_reader *latest = reader_at(fx, LS_LATEST, 0, 0), *resumed = reader_at(fx, LS_AFTER_SEQUENCE_NUMBER,
                                                                                  fx->seqnos[1], 0);
    ls_seqno place = lsi_log_reader_place(latest);
    assert_int_equal(place, fx->seqnos[1] + 1);
    put_more(fx, 1);
    assert_int_equal(fx->seqnos[2], place);
    /* Who had been given everything has lost nothing, and is told nothing. */
    expect(caught_up, 2);
    expect(latest, 2);
    expect(resumed, 2);
    lsi_log_reader_close(caught_up);
    lsi_log_reader_close(latest);
    lsi_log_reader_close(resumed);
}

/* The same after a boot: the numbers of the next segment jump, and who had everything still lost nothing. */
static void a_caught_up_reader_loses_nothing_where_numbers_jump(void **state)
{
    fixture *fx = *state;
    lsi_log_reader *reader;
    bool rolled;

    put_more(fx, 2);
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    lsi_root root;
    assert_int_equal(sim_files_table(fx->sim)->root_open(sim_files_table(fx->sim), "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(root.files->unlink(&root, LSI_CONTROL_NAME), 0);
    root.files->root_close(&root);
    open_log(fx, false, LS_DURABILITY_SYNC);
    assert_int_equal(lsi_log_touch(fx->store.log), LS_OK);
    assert_int_equal(lsi_log_retire(fx->store.log, INT64_MAX, &rolled), LS_OK);
    assert_true(rolled);
    assert_int_equal(trim(fx, 2), 1);
    reader = reader_at(fx, LS_AFTER_SEQUENCE_NUMBER, fx->seqnos[1], 0);
    expect_end(reader);
    put_more(fx, 1);
    assert_true(fx->seqnos[2] > fx->seqnos[1] + 1);
    expect(reader, 2);
    lsi_log_reader_close(reader);
    reader = reader_at(fx, LS_AT_SEQUENCE_NUMBER, fx->seqnos[1], 0);
    expect_trimmed(fx, reader, 2);
    lsi_log_reader_close(reader);
}

/* ---- readers ---- */

static void a_reader_whose_place_goes_is_told_once(void **state)
{
    fixture *fx = *state;
    lsi_log_reader *within, *before, *horizon, *behind, *by_number, *by_time, *old_time;

    put_more(fx, 10);
    within = reader_at(fx, LS_TRIM_HORIZON, 0, 0);
    expect(within, 0); /* its segment is open */
    before = reader_at(fx, LS_AT_SEQUENCE_NUMBER, fx->seqnos[4], 0);
    horizon = reader_at(fx, LS_TRIM_HORIZON, 0, 0);
    behind = reader_at(fx, LS_AT_SEQUENCE_NUMBER, fx->seqnos[5], 0);
    expect(behind, 5);
    old_time = reader_at(fx, LS_AT_TIMESTAMP, 0, BEGIN - SECOND);
    assert_int_equal(trim(fx, 3), 2);
    expect_trimmed(fx, within, 6);
    expect_cut(fx, within, 1, 6);
    expect(within, 7);
    expect_trimmed(fx, before, 6);
    expect_cut(fx, before, 4, 6);
    expect(horizon, 6); /* It was to begin at the oldest, and does. */
    expect(behind, 6);
    expect(old_time, 6);
    by_number = reader_at(fx, LS_AT_SEQUENCE_NUMBER, 1, 0);
    expect_trimmed(fx, by_number, 6);
    assert_int_equal(lsi_log_reader_cut(by_number).records, fx->seqnos[6] - 1);
    assert_int_equal(lsi_log_reader_cut(by_number).bytes, 0); /* Nobody knows. */
    assert_int_equal(lsi_log_reader_cut(by_number).ms, 0);
    by_time = reader_at(fx, LS_AT_TIMESTAMP, 0, BEGIN + SECOND);
    expect(by_time, 6);
    lsi_log_reader_close(within);
    lsi_log_reader_close(before);
    lsi_log_reader_close(horizon);
    lsi_log_reader_close(behind);
    lsi_log_reader_close(by_number);
    lsi_log_reader_close(by_time);
    lsi_log_reader_close(old_time);
}

/* P8: what was handed out stays, and so does what one call is reading. */
static void an_open_segment_stays_readable(void **state)
{
    fixture *fx = *state;
    lsi_log_reader *reader;
    const ls_record *records;
    uint32_t count;
    bool tip, end;
    unsigned n;

    put_more(fx, 10);
    reader = reader_at(fx, LS_TRIM_HORIZON, 0, 0);
    assert_int_equal(lsi_log_reader_read(reader, 2, UINT64_MAX, &records, &count, &tip, &end), LS_OK);
    assert_int_equal(count, 2);
    assert_int_equal(trim(fx, 4), 3);
    for (uint32_t i = 0; i < 2; i++) {
        memcpy(&n, records[i].data.data, sizeof n);
        assert_int_equal(n, i);
        assert_int_equal(records[i].data.size, RECORD);
    }
    expect_trimmed(fx, reader, 9);
    lsi_log_reader_close(reader);
}

/* A reader that nobody tells: its list is the old one, until it meets that a file is gone. */
static void who_meets_that_a_file_is_gone_reads_the_list_again(void **state)
{
    fixture *fx = *state;
    lsi_log_reader *reader, *late;
    lsi_slot *slot;
    uint32_t generation;

    put_more(fx, 10);
    reader = reader_at(fx, LS_AT_SEQUENCE_NUMBER, fx->seqnos[1], 0);
    late = reader_at(fx, LS_TRIM_HORIZON, 0, 0);
    slot = lsi_log_slot(fx->store.log);
    generation = atomic_load(&slot->list_generation);
    lsi_segment_list *old = lsi_segment_list_ref(fx->store.log->list);
    assert_int_equal(trim(fx, 3), 2);
    atomic_store(&slot->list_generation, generation);
    lsi_segment_list_unref(fx->store.log->list);
    fx->store.log->list = old;
    fx->store.log->list_generation = generation;
    expect_trimmed(fx, reader, 6);
    expect(late, 6);
    lsi_log_reader_close(reader);
    lsi_log_reader_close(late);
}

/* ---- by age ---- */

static void a_record_past_its_age_is_not_shown(void **state)
{
    fixture *fx = *state;

    put_more(fx, 10);
    for (unsigned n = 0; n <= 10; n++) {
        lsi_log_reader *reader;
        lsi_log_facts facts;

        expire_before(fx, n); /* Record n arrived exactly then: it is the oldest that is shown. */
        assert_int_equal(log_store_count(&fx->store, n), 10 - n);
        assert_int_equal(lsi_log_state(fx->store.log, &facts), LS_OK);
        assert_int_equal(facts.oldest, n < 10 ? fx->seqnos[n] : LS_SEQNO_NONE);
        reader = reader_at(fx, LS_AT_TIMESTAMP, 0, BEGIN - SECOND);
        expect(reader, n < 10 ? n : UINT32_MAX);
        lsi_log_reader_close(reader);
        if (n < 10) {
            fx->expired_us++;
            assert_int_equal(log_store_count(&fx->store, n + 1), 9 - n);
        }
    }
    assert_int_equal(files_of(fx).segments, 4); /* nothing was trimmed for it */
    expire_before(fx, 0); /* nor is it remembered here */
    assert_int_equal(log_store_count(&fx->store, 0), 10);
}

static void a_reader_whose_record_expires_is_told_once(void **state)
{
    fixture *fx = *state;
    lsi_log_reader *reader, *horizon, *number;

    put_more(fx, 12);
    reader = reader_at(fx, LS_TRIM_HORIZON, 0, 0);
    horizon = reader_at(fx, LS_TRIM_HORIZON, 0, 0);
    expect(reader, 0);
    expire_before(fx, 1);
    expect(reader, 1); /* the next one is still there: nothing was missed */
    expire_before(fx, 4);
    expect(horizon, 4);
    expect_trimmed(fx, reader, 4);
    expect_cut(fx, reader, 2, 4);
    expect(reader, 5);
    expire_before(fx, 9); /* in another segment */
    expect_trimmed(fx, reader, 9);
    expect_cut(fx, reader, 6, 9);
    expect_trimmed(fx, horizon, 9);
    expect_cut(fx, horizon, 5, 9);
    number = reader_at(fx, LS_AT_SEQUENCE_NUMBER, fx->seqnos[2], 0);
    expect_trimmed(fx, number, 9);
    lsi_log_reader_close(number);
    number = reader_at(fx, LS_AFTER_SEQUENCE_NUMBER, fx->seqnos[8], 0);
    expect(number, 9);
    lsi_log_reader_close(number);

    /* Told once also when it moves on before the reader has looked, and when the segments go as well. */
    unsigned n;
    expire_before(fx, 11);
    assert_int_equal(read_one(reader, &n), LS_ERR_TRIMMED);
    expire_before(fx, 12);
    assert_int_equal(trim(fx, 4), 3);
    expect_end(reader);
    put_more(fx, 1);
    expect(reader, 12);
    lsi_log_reader_close(reader);
    lsi_log_reader_close(horizon);
}

/* The frame is in the buffer, and some of its records were given. */
static void the_rest_of_a_batch_expires_with_it(void **state)
{
    fixture *fx = *state;
    unsigned values[3] = {0, 1, 2}, n;
    ls_put_entry entries[3];
    lsi_log_reader *reader;
    uint32_t accepted;
    ls_seqno first;
    uint64_t end;
    bool closed;

    for (size_t i = 0; i < 3; i++)
        entries[i] = (ls_put_entry){{"key", 3}, {&values[i], sizeof values[i]}, NULL};
    fx->store.wall_us = BEGIN;
    assert_int_equal(lsi_log_append(fx->store.log, fx->store.framer, entries, NULL, 3, false, &accepted, &first, &end,
                                    &closed), LS_OK);
    assert_int_equal(lsi_log_commit(fx->store.log, end), LS_OK);
    fx->put_count = 3;
    put_more(fx, 1);
    reader = reader_at(fx, LS_TRIM_HORIZON, 0, 0);
    expect(reader, 0);
    expire_before(fx, 3);
    assert_int_equal(read_one(reader, &n), LS_ERR_TRIMMED);
    expect(reader, 3);
    lsi_log_reader_close(reader);
}

/* ---- others ---- */

static void who_holds_the_lock_is_not_waited_for(void **state)
{
    fixture *fx = *state;
    lsi_slot *slot;
    uint32_t removed;
    bool rolled;

    put_more(fx, 10);
    slot = lsi_log_slot(fx->store.log);
    assert_int_equal(lsi_lock_take(&slot->append_lock, LSI_RANK_SHARD, 0), LSI_LOCKED);
    assert_int_equal(lsi_log_trim(fx->store.log, 3, INT64_MAX, &removed), LS_ERR_BUSY);
    assert_int_equal(lsi_log_retire(fx->store.log, INT64_MAX, &rolled), LS_ERR_BUSY);
    lsi_lock_release(&slot->append_lock, LSI_RANK_SHARD);
    assert_int_equal(files_of(fx).others, 0);
    assert_int_equal(log_store_count(&fx->store, 0), 10);
    assert_int_equal(trim(fx, 3), 2);
}

/* A roll between the writing of the shorter list and its taking the place: the roll's list counts. */
static void roll_then(void *user, sim_call call, const char *name)
{
    fixture *fx = user;

    if (call != SIM_SYNC || strstr(name, "trimmed.new") == NULL)
        return;
    sim_hook_set(fx->sim, NULL, NULL);
    put_more(fx, PER_SEGMENT);
}

static void a_roll_meanwhile_wins(void **state)
{
    fixture *fx = *state;
    uint32_t removed;

    put_more(fx, 10);
    sim_hook_set(fx->sim, roll_then, fx);
    assert_int_equal(lsi_log_trim(fx->store.log, 3, INT64_MAX, &removed), LS_ERR_BUSY);
    assert_int_equal(fx->put_count, 13);
    assert_int_equal(log_store_count(&fx->store, 0), 13);
    assert_int_equal(files_of(fx).others, 0);
    assert_int_equal(trim(fx, 3), 2);
    assert_int_equal(log_store_count(&fx->store, 6), 7);
}

/* A trimmer's death between the rename and his saying so. */
static int (*real_rename)(const lsi_root *root, const char *from, const char *to);

static int rename_and_die(const lsi_root *root, const char *from, const char *to)
{
    int rc = real_rename(root, from, to);

    if (strstr(from, "trimmed.new") != NULL)
        sim_kill_here();
    return rc;
}

static void trim_two(void *user)
{
    fixture *fx = user;
    uint32_t removed;

    (void)lsi_log_trim(fx->store.log, 3, INT64_MAX, &removed);
}

/* Who has the list from before that rolls, while the next trimmer has the dead one's: were the two lists that follow
 * taken for one, what goes into the new segment would be in none. */
static void a_roll_after_a_dead_trimmer_wins_too(void **state)
{
    fixture *fx = *state, dead = {.sim = fx->sim, .table = lsi_memory_libc}, next = dead;
    lsi_files *files = sim_files_table(fx->sim);
    uint32_t removed;

    put_more(fx, 10);
    dead.memory = (sim_memory)SIM_MEMORY_INIT;
    dead.table = sim_memory_table(&dead.memory);
    open_log(&dead, false, LS_DURABILITY_SYNC);
    real_rename = files->rename;
    files->rename = rename_and_die;
    assert_true(sim_run(fx->sim, trim_two, &dead));
    files->rename = real_rename;
    sim_memory_bury(&dead.memory);
    open_log(&next, false, LS_DURABILITY_SYNC);
    sim_hook_set(fx->sim, roll_then, fx);
    assert_int_equal(lsi_log_trim(next.store.log, 4, INT64_MAX, &removed), LS_ERR_BUSY);
    assert_int_equal(fx->put_count, 13);
    assert_int_equal(log_store_count(&fx->store, 6), 7); /* the dead one's list counts */
    assert_int_equal(trim(&next, 4), 3);
    put_more(fx, 1);
    assert_int_equal(log_store_close(&next.store), LS_OK);
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    open_log(fx, false, LS_DURABILITY_SYNC);
    assert_int_equal(log_store_count(&fx->store, 9), 5);
}

/* Two lists of one number are one only if they end alike. */
static void roll_with_an_older_list_then(void *user, sim_call call, const char *name)
{
    fixture *fx = user;
    lsi_log *log = fx->store.log;

    if (call != SIM_SYNC || strstr(name, "trimmed.new") == NULL)
        return;
    sim_hook_set(fx->sim, NULL, NULL);
    log->list->head.generation--;
    put_more(fx, PER_SEGMENT);
}

static void lists_of_one_number_are_told_apart(void **state)
{
    fixture *fx = *state, other = {.sim = fx->sim, .table = lsi_memory_libc};
    uint32_t removed;

    put_more(fx, 10);
    open_log(&other, false, LS_DURABILITY_SYNC);
    sim_hook_set(fx->sim, roll_with_an_older_list_then, fx);
    assert_int_equal(lsi_log_trim(other.store.log, 3, INT64_MAX, &removed), LS_ERR_BUSY);
    assert_int_equal(fx->put_count, 13);
    assert_int_equal(log_store_count(&other.store, 0), 13);
    assert_int_equal(log_store_close(&other.store), LS_OK);
}

/* Where nothing was trimmed nobody said that files before the first may go: a repair may have left them there. */
static void files_that_were_not_trimmed_stay(void **state)
{
    fixture *fx = *state;
    lsi_segment_list *list;
    lsi_file file;

    put_more(fx, 7);
    assert_int_equal(lsi_segment_list_load(&fx->store.config, &list), LS_OK);
    list->entries++; /* as a list is that was made from the headers that could be read */
    list->count--;
    list->head.generation++;
    assert_int_equal(lsi_segment_list_store(&fx->store.config, list), LS_OK);
    list->entries--;
    lsi_segment_list_unref(list);
    atomic_fetch_add(&lsi_log_slot(fx->store.log)->list_generation, 1);
    assert_int_equal(trim(fx, 1), 0);
    assert_int_equal(fx->store.root.files->open(&fx->store.root, "1/0/00000001.seg", 0, &file), 0);
    assert_int_equal(file.files->close(&file), 0);
    assert_int_equal(log_store_count(&fx->store, 3), 4);
}

/* P11: what a later release says in the list's head, and this one may ignore, is still there when the list was
 * replaced by a roll and by a trim. */
static void what_a_later_release_noted_stays(void **state)
{
    fixture *fx = *state;
    lsi_segment_list *list;

    put_more(fx, 4);
    assert_int_equal(lsi_segment_list_load(&fx->store.config, &list), LS_OK);
    list->head.flags = 1u << 30 | 1;
    list->head.generation++;
    assert_int_equal(lsi_segment_list_store(&fx->store.config, list), LS_OK);
    lsi_segment_list_unref(list);
    atomic_fetch_add(&lsi_log_slot(fx->store.log)->list_generation, 1);
    put_more(fx, 4);
    assert_int_equal(trim(fx, 2), 1);
    assert_int_equal(lsi_segment_list_load(&fx->store.config, &list), LS_OK);
    assert_true(list->head.flags == (1u << 30 | 1));
    lsi_segment_list_unref(list);
}

/* ---- crashes, kills, faults ---- */

/* What one may find: records from 0 or from a segment's first on, to `last`, without damage; and when trimming is done
 * once more, nothing before the list's first. */
static void check_disk(sim_files *disk, unsigned last, unsigned at_least, bool killed)
{
    fixture own = {.sim = disk, .table = lsi_memory_libc};
    lsi_log_reader *reader;
    unsigned n, first;
    present now;

    open_log(&own, false, LS_DURABILITY_SYNC);
    assert_int_equal(lsi_log_reader_open(own.store.log, LSI_READ_FAST, &reader), LS_OK);
    assert_int_equal(read_one(reader, &first), LS_OK);
    assert_int_equal(first % PER_SEGMENT, 0);
    assert_true(first >= at_least);
    for (n = first + 1; n < last; n++)
        expect(reader, n);
    expect_end(reader);
    lsi_log_reader_close(reader);
    if (killed) /* Who puts first must not bring back what was trimmed. */
        assert_int_equal(log_store_put(&own.store, last, RECORD, &own.seqnos[0]), LS_OK);
    (void)trim(&own, 1);
    now = files_of(&own);
    if (first > 0)
        assert_int_equal(now.lowest, first / PER_SEGMENT + 1);
    assert_int_equal(log_store_count(&own.store, first), last - first + (killed ? 1 : 0));
    (void)trim(&own, 3);
    assert_int_equal(files_of(&own).lowest, 3);
    assert_int_equal(files_of(&own).others, 0);
    assert_int_equal(log_store_count(&own.store, 6), last - 6 + (killed ? 1 : 0));
    assert_int_equal(log_store_close(&own.store), LS_OK);
}

static void no_crash_leaves_a_named_file_that_is_gone(void **state)
{
    fixture *fx = *state;
    size_t from, until;

    put_more(fx, 10);
    from = sim_log_count(fx->sim);
    assert_int_equal(trim(fx, 2), 1);
    assert_int_equal(trim(fx, 3), 1);
    until = sim_log_count(fx->sim);
    for (size_t prefix = from; prefix <= until; prefix++)
        for (uint64_t seed = 0; seed < SIM_SEED_RANDOM + 20; seed++) {
            sim_files *crashed = sim_crash_state(fx->sim, prefix, seed);

            check_disk(crashed, 10, prefix == until ? 6 : 0, false); /* D6: durable when it returned */
            sim_files_free(crashed);
        }
}

static void trim_twice(void *user)
{
    fixture *fx = user;
    uint32_t removed;

    (void)lsi_log_trim(fx->store.log, 2, INT64_MAX, &removed);
    (void)lsi_log_trim(fx->store.log, 3, INT64_MAX, &removed);
}

/* Killed at every call; somebody else who has the store open puts, and trims again. */
static void a_dead_trimmer_leaves_nothing_that_is_not_cleared(void **state)
{
    fixture *fx = *state;
    uint64_t nth = 1;
    bool killed;

    put_more(fx, 10);
    do {
        sim_files *disk = sim_clone(fx->sim);
        fixture own = {.sim = disk, .memory = the_fixture.memory}, other = {.sim = disk, .table = lsi_memory_libc};

        own.table = lsi_memory_libc;
        own.memory = (sim_memory)SIM_MEMORY_INIT;
        own.table = sim_memory_table(&own.memory);
        other.put_count = 10;
        open_log(&other, false, LS_DURABILITY_SYNC);
        assert_int_equal(log_store_count(&other.store, 0), 10); /* It has the old list. */
        open_log(&own, false, LS_DURABILITY_SYNC);
        sim_fault_add(disk, (sim_fault){.call = SIM_ANY, .nth = nth++, .kill = true});
        killed = sim_run(disk, trim_twice, &own);
        sim_faults_clear(disk);
        if (killed)
            sim_memory_bury(&own.memory);
        else
            assert_int_equal(log_store_close(&own.store), LS_OK);
        put_more(&other, PER_SEGMENT); /* It rolls, with the list it has. */
        (void)trim(&other, 1);
        assert_int_equal(log_store_close(&other.store), LS_OK);
        check_disk(disk, 13, killed ? 0 : 6, true);
        sim_files_free(disk);
    } while (killed);
    assert_true(nth > 20);
}

/* Every call fails once; nothing is lost, a failed sync stops the shard, and later all is done. */
static void a_failing_call_harms_nothing(void **state)
{
    fixture *fx = *state;
    static const struct { sim_call call; int err; } faults[] = {
        {SIM_OPEN, EIO},   {SIM_OPEN, EMFILE}, {SIM_READ, EIO},       {SIM_WRITE, ENOSPC}, {SIM_WRITE, EIO},
        {SIM_SYNC, EIO},   {SIM_SYNC_DIR, EIO}, {SIM_SYNC_DIR, EMFILE}, {SIM_RENAME, EIO},   {SIM_RENAME, ENOSPC},
        {SIM_UNLINK, EIO}, {SIM_LIST, EIO},     {SIM_CLOSE, EIO}};

    put_more(fx, 10);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        for (uint64_t nth = 1;; nth++) {
            sim_files *disk = sim_clone(fx->sim);
            fixture own = {.sim = disk, .table = lsi_memory_libc, .put_count = 10};
            uint32_t removed;
            uint64_t met;
            ls_status st;

            open_log(&own, false, LS_DURABILITY_SYNC);
            assert_int_equal(lsi_log_touch(own.store.log), LS_OK);
            sim_fault_add(disk, (sim_fault){.call = faults[i].call, .nth = nth, .err = faults[i].err});
            st = lsi_log_trim(own.store.log, 3, INT64_MAX, &removed);
            met = sim_faults_met(disk);
            sim_faults_clear(disk);
            if (st == LS_ERR_IO && faults[i].call == SIM_SYNC_DIR) { /* E1 */
                uint32_t again;

                assert_int_equal(removed, 0);
                assert_int_equal(files_of(&own).segments, 4);
                assert_int_equal(lsi_log_trim(own.store.log, 3, INT64_MAX, &again), LS_OK);
                assert_int_equal(again, 0);
                assert_int_equal(files_of(&own).segments, 4);
                assert_int_equal(log_store_put(&own.store, 10, RECORD, &own.seqnos[0]), LS_ERR_IO);
                assert_int_equal(lsi_log_reset(own.store.log), LS_OK);
            }
            if (met == 0)
                assert_int_equal(st, LS_OK);
            put_more(&own, 1);
            assert_int_equal(log_store_close(&own.store), LS_OK);
            check_disk(disk, 11, st == LS_OK ? 6 : 0, true);
            sim_files_free(disk);
            if (met == 0)
                break;
        }
    }
}

/* A roll beside a trim, whose sync of the directory fails just before the trim's own: that one would answer 0 (E1). */
typedef struct roll_beside {
    fixture *fx;
    lsi_log *log;
} roll_beside;

static void roll_and_fail(void *user, sim_call call, const char *name)
{
    const roll_beside *of = user;
    bool rolled;

    if (call != SIM_SYNC_DIR || strcmp(name, "1/0") != 0)
        return;
    sim_hook_set(of->fx->sim, NULL, NULL);
    sim_fault_add(of->fx->sim, (sim_fault){.call = SIM_SYNC_DIR, .nth = 1, .err = EIO});
    assert_int_equal(lsi_log_retire(of->log, INT64_MAX, &rolled), LS_ERR_IO);
    sim_faults_clear(of->fx->sim);
}

static void no_file_goes_after_a_sync_that_is_not_believed(void **state)
{
    fixture *fx = *state;
    roll_beside beside = {.fx = fx};
    uint32_t removed;

    put_more(fx, 10);
    assert_int_equal(lsi_log_open(&fx->store.config, &beside.log), LS_OK);
    assert_int_equal(lsi_log_touch(beside.log), LS_OK);
    sim_hook_set(fx->sim, roll_and_fail, &beside);
    assert_int_equal(lsi_log_trim(fx->store.log, 3, INT64_MAX, &removed), LS_ERR_IO);
    assert_int_equal(removed, 0);
    assert_int_equal(files_of(fx).lowest, 1);
    for (uint64_t seed = 0; seed < SIM_SEED_RANDOM + 50; seed++) {
        sim_files *crashed = sim_crash_state(fx->sim, sim_log_count(fx->sim), seed);

        check_disk(crashed, 10, 0, false);
        sim_files_free(crashed);
    }
    (void)lsi_log_close(beside.log); /* its shard has failed */
}

static void short_memory_harms_nothing(void **state)
{
    fixture *fx = *state;
    uint64_t nth = 1;
    ls_status st;

    put_more(fx, 10);
    do {
        uint32_t removed;

        sim_memory_fail(&fx->memory, nth++, false);
        st = lsi_log_trim(fx->store.log, 3, INT64_MAX, &removed);
        sim_memory_fail(&fx->memory, 0, false);
        assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
        present now = files_of(fx);
        if (now.lowest == 1) { /* perhaps with a list that begins later: then only the files are left */
            lsi_log_facts facts;

            assert_int_equal(lsi_log_state(fx->store.log, &facts), LS_OK);
            assert_true(facts.oldest == fx->seqnos[0] || facts.oldest == fx->seqnos[6]);
            assert_int_equal(log_store_count(&fx->store, facts.oldest == fx->seqnos[0] ? 0 : 6),
                             facts.oldest == fx->seqnos[0] ? 10 : 4);
        } else {
            assert_int_equal(now.lowest, 3);
            assert_int_equal(log_store_count(&fx->store, 6), 4);
        }
    } while (st != LS_OK);
    assert_int_equal(files_of(fx).lowest, 3);
    assert_true(nth > 5);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(old_segments_go_and_the_rest_is_read),
        T(a_directory_that_is_called_like_a_segment_stays),
        T(nothing_goes_that_is_young),
        T(what_is_gone_is_as_young_as_the_list_says),
        T(pieces_say_what_files_take_and_hold),
        T(an_old_last_segment_is_retired),
        T(a_caught_up_reader_loses_nothing_where_numbers_jump),
        T(a_reader_whose_place_goes_is_told_once),
        T(an_open_segment_stays_readable),
        T(who_meets_that_a_file_is_gone_reads_the_list_again),
        T(a_record_past_its_age_is_not_shown),
        T(a_reader_whose_record_expires_is_told_once),
        T(the_rest_of_a_batch_expires_with_it),
        T(who_holds_the_lock_is_not_waited_for),
        T(a_roll_meanwhile_wins),
        T(a_roll_after_a_dead_trimmer_wins_too),
        T(lists_of_one_number_are_told_apart),
        T(files_that_were_not_trimmed_stay),
        T(what_a_later_release_noted_stays),
        T(no_crash_leaves_a_named_file_that_is_gone),
        T(a_dead_trimmer_leaves_nothing_that_is_not_cleared),
        T(a_failing_call_harms_nothing),
        T(no_file_goes_after_a_sync_that_is_not_believed),
        T(short_memory_harms_nothing),
    };

    return cmocka_run_group_tests_name("trimming a log", tests, NULL, NULL);
}
