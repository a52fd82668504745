/* Retention between processes: which records are shown, which are gone, who is told (P8), what a clock that jumps does
 * (E8), and that upkeep is done by whoever comes by, waits for nobody and stops nobody. */
#include <dirent.h>
#include <errno.h>

#include "invariants/clocked.h"

#include "storage/segment.h"

static void expect_next(ls_iterator *iterator, uint32_t n)
{
    uint32_t got;

    assert_int_equal(next_one(iterator, &got), LS_OK);
    assert_int_equal(got, n);
}

static ls_iterator *iterator_at(ls_stream *stream, ls_position_kind kind, ls_seqno seqno, int64_t timestamp_us)
{
    ls_position at = {kind, 0, seqno, timestamp_us};
    ls_iterator *iterator;

    assert_int_equal(ls_iterator_open(stream, 0, &at, NULL, &iterator), LS_OK);
    return iterator;
}

/* Shard 0 shows exactly the records `from` to below `to`. */
static void expect_range(ls_stream *stream, uint32_t from, uint32_t to)
{
    ls_iterator *iterator = iterator_at(stream, LS_TRIM_HORIZON, 0, 0);

    for (uint32_t n = from; n < to; n++)
        expect_next(iterator, n);
    expect_next(iterator, UINT32_MAX);
    ls_iterator_close(iterator);
}

typedef struct usage {
    uint32_t segments;
    uint64_t bytes;
} usage;

/* What one shard's directory holds, or with `shard` below 0 those of shards 0 and 1. */
static usage usage_of(const fixture *fx, int shard)
{
    usage found = {0, 0};

    for (int i = shard < 0 ? 0 : shard; i <= (shard < 0 ? 1 : shard); i++) {
        char path[TEMP_PATH_BYTES * 4];
        struct dirent *entry;
        DIR *dir;

        (void)snprintf(path, sizeof path, "%s/1/%d", fx->path, i);
        dir = opendir(path);
        if (dir == NULL)
            continue;
        while ((entry = readdir(dir)) != NULL) {
            char file[TEMP_PATH_BYTES * 6];
            struct stat about;

            (void)snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
            if (stat(file, &about) != 0 || !S_ISREG(about.st_mode))
                continue;
            found.segments += strstr(entry->d_name, ".seg") != NULL;
            found.bytes += (uint64_t)about.st_blocks * 512;
        }
        (void)closedir(dir);
    }
    return found;
}

/* ---- what is shown ---- */

/* To the record, whatever is on the disk, for everybody: by a handle that was open before, by a new one, by one that
 * only reads. */
static void a_record_past_its_age_is_not_shown_to_anybody(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    ls_stream_description *about;
    ls_store *reader;
    ls_stream *its_stream;

    put_minutes(&of, 0, 30); /* The first at BEGIN, the last at BEGIN + 29 min; it is BEGIN + 30 min now. */
    assert_int_equal(open_store(fx->path, LS_STORE_READ_ONLY, NULL, &reader), LS_OK);
    assert_int_equal(ls_stream_open(reader, STREAM, &its_stream), LS_OK);
    expect_range(of.stream, 0, 30);
    pass(30 * 60 * SECOND); /* Record 0 is an hour old: not more. */
    expect_range(of.stream, 0, 30);
    pass(1);
    for (uint32_t gone = 1; gone < 30; gone++) {
        ls_shard_info shard = LS_SHARD_INFO_INIT;
        ls_iterator *iterator;

        expect_range(of.stream, gone, 30);
        expect_range(its_stream, gone, 30);
        assert_int_equal(ls_stream_describe(of.stream, &about), LS_OK);
        assert_int_equal(ls_stream_description_shard(about, 0, &shard), LS_OK);
        ls_stream_description_free(about);
        iterator = iterator_at(of.stream, LS_AT_SEQUENCE_NUMBER, shard.oldest_seqno, 0);
        expect_next(iterator, gone);
        ls_iterator_close(iterator);
        iterator = iterator_at(of.stream, LS_AT_TIMESTAMP, 0, BEGIN - HOUR); /* as TRIM_HORIZON */
        expect_next(iterator, gone);
        ls_iterator_close(iterator);
        pass(60 * SECOND);
    }
    expect_range(of.stream, 30, 30);
    assert_int_equal(ls_stream_describe(of.stream, &about), LS_OK);
    ls_shard_info shard = LS_SHARD_INFO_INIT;
    assert_int_equal(ls_stream_description_shard(about, 0, &shard), LS_OK);
    assert_int_equal(shard.oldest_seqno, LS_SEQNO_NONE);
    assert_int_equal(shard.latest_seqno, LS_SEQNO_NONE);
    assert_int_equal(shard.oldest_arrival_us, 0);
    assert_int_equal(shard.latest_arrival_us, 0);
    ls_stream_description_free(about);
    assert_int_equal(ls_stream_close(its_stream), LS_OK);
    assert_int_equal(ls_store_close(reader), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void a_slow_reader_is_told_once_and_goes_on_at_the_oldest(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    ls_iterator *single, *merged, *resumed, *fresh;
    char place[200];
    uint32_t n;

    put_minutes(&of, 0, 30);
    single = iterator_at(of.stream, LS_TRIM_HORIZON, 0, 0);
    fresh = iterator_at(of.stream, LS_TRIM_HORIZON, 0, 0);
    assert_int_equal(ls_iterator_open_all(of.stream, NULL, NULL, &merged), LS_OK);
    expect_next(single, 0);
    expect_next(merged, 0);
    assert_int_equal(ls_iterator_place(single, place, sizeof place, NULL), LS_OK);
    pass(40 * 60 * SECOND + 1); /* It is 70 min after record 0, and 60 after record 10. */
    for (int trimmed = 0; trimmed < 2; trimmed++) {
        uint32_t oldest = trimmed ? 19 : 11;

        assert_int_equal(next_one(single, &n), LS_ERR_TRIMMED);
        expect_next(single, oldest);
        expect_next(single, oldest + 1);
        assert_int_equal(next_one(merged, &n), LS_ERR_TRIMMED);
        expect_next(merged, oldest);
        assert_int_equal(ls_iterator_open_place(of.stream, place, NULL, &resumed), LS_OK);
        assert_int_equal(next_one(resumed, &n), LS_ERR_TRIMMED);
        expect_next(resumed, oldest);
        ls_iterator_close(resumed);
        if (!trimmed)
            pass(8 * 60 * SECOND);
        /* The second time the segments are gone as well. */
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    }
    expect_next(fresh, 19); /* It was to begin at the oldest, and does. */
    assert_true(usage_of(fx, 0).segments < 7);
    ls_iterator_close(single);
    ls_iterator_close(merged);
    ls_iterator_close(fresh);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void change_retention_elsewhere(fixture *fx)
{
    ls_stream *stream;
    ls_store *store;

    child_check(open_store(fx->path, 0, NULL, &store) == LS_OK);
    child_check(ls_stream_open(store, STREAM, &stream) == LS_OK);
    if (atomic_load(&fx->share->stage) == 0)
        child_check(ls_stream_increase_retention(stream, 2) == LS_OK);
    else
        child_check(ls_stream_decrease_retention(stream, 1) == LS_OK);
    child_check(ls_stream_close(stream) == LS_OK);
    child_check(ls_store_close(store) == LS_OK);
}

/* By another process, under readers that are open here. */
static void an_increase_brings_nothing_back_and_a_decrease_hides_at_once(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    ls_iterator *reader;
    uint32_t n;

    put_minutes(&of, 0, 60);
    pass(15 * 60 * SECOND + 1); /* Records 0 to 15 are past one hour. */
    expect_range(of.stream, 16, 60);
    child_ends_well(child_start(change_retention_elsewhere, fx));
    expect_range(of.stream, 16, 60);
    pass(30 * 60 * SECOND); /* Two hours now: nothing more is past its age. */
    expect_range(of.stream, 16, 60);
    reader = iterator_at(of.stream, LS_TRIM_HORIZON, 0, 0);
    expect_next(reader, 16);
    atomic_store(&fx->share->stage, 1);
    child_ends_well(child_start(change_retention_elsewhere, fx));
    assert_int_equal(next_one(reader, &n), LS_ERR_TRIMMED);
    expect_next(reader, 46);
    expect_range(of.stream, 46, 60);
    atomic_store(&fx->share->stage, 0);
    child_ends_well(child_start(change_retention_elsewhere, fx));
    expect_range(of.stream, 46, 60);
    ls_iterator_close(reader);
    assert_int_equal(handles_close(&of), LS_OK);
    of = open_all(fx, 1); /* nor after everybody was gone */
    expect_range(of.stream, 46, 60);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- what is deleted ---- */

/* E8: the age limit must have stayed passed for a minute. */
static void segments_go_a_minute_after_their_age(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);

    put_minutes(&of, 0, 30); /* three to a segment: records 0 to 2 are in the first */
    assert_int_equal(usage_of(fx, 0).segments, 10);
    pass(32 * 60 * SECOND); /* Record 2 is an hour old. */
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    assert_int_equal(usage_of(fx, 0).segments, 10);
    pass(60 * SECOND);
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    assert_int_equal(usage_of(fx, 0).segments, 10);
    pass(2 * SECOND);
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    assert_int_equal(usage_of(fx, 0).segments, 9);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void look_and_maintain(fixture *fx)
{
    ls_iterator *iterator;
    ls_stream *stream;
    ls_store *store;

    child_check(open_store(fx->path, 0, NULL, &store) == LS_OK);
    child_check(ls_stream_open(store, STREAM, &stream) == LS_OK);
    child_check(ls_iterator_open(stream, 0, NULL, NULL, &iterator) == LS_OK);
    for (uint32_t i = 0; i < 30; i++) {
        uint32_t n;

        child_check(next_one(iterator, &n) == LS_OK && n == i);
    }
    ls_iterator_close(iterator);
    child_check(ls_store_maintain(store, -1) == LS_OK);
    child_check(ls_stream_close(stream) == LS_OK);
    child_check(ls_store_close(store) == LS_OK);
}

/* E8: for those who were there, and for who comes while the clock is wrong. */
static void a_jump_ahead_and_back_hides_and_deletes_nothing(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    ls_iterator *reader;

    put_minutes(&of, 0, 30);
    reader = iterator_at(of.stream, LS_TRIM_HORIZON, 0, 0);
    expect_next(reader, 0);
    for (int round = 0; round < 3; round++) {
        jump(1000 * HOUR);
        for (int s = 0; s < 50; s++) { /* and what really passes */
            expect_range(of.stream, 0, 30);
            assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
            if (s % 20 == 0)
                child_ends_well(child_start(look_and_maintain, fx));
            pass(SECOND);
        }
        jump(-1000 * HOUR);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
        pass(SECOND);
        expect_range(of.stream, 0, 30);
    }
    assert_int_equal(usage_of(fx, 0).segments, 10);
    expect_next(reader, 1);
    ls_iterator_close(reader);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Nobody knows that it jumped: a new boot, or a control file that was lost. Nothing is deleted in the first minute. */
static void a_clock_that_was_wrong_from_the_start_deletes_nothing(void **state)
{
    fixture *fx = *state;
    char control[TEMP_PATH_BYTES * 3];
    handles of = open_all(fx, 1);

    put_minutes(&of, 0, 30);
    assert_int_equal(handles_close(&of), LS_OK);
    (void)snprintf(control, sizeof control, "%s/control", fx->path);
    assert_int_equal(unlink(control), 0);
    jump(1000 * HOUR);
    of = open_all(fx, 1);
    for (int s = 0; s < 50; s++) {
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
        pass(SECOND);
    }
    assert_int_equal(ls_stream_increase_retention(of.stream, 2), LS_OK); /* makes no horizon of it */
    jump(-1000 * HOUR);
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    expect_range(of.stream, 0, 30);
    assert_int_equal(usage_of(fx, 0).segments, 10);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void a_jump_that_lasts_is_believed(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    int s = 0;

    put_minutes(&of, 0, 30);
    jump(1000 * HOUR);
    while (usage_of(fx, 0).segments > 1 && s < 600) {
        pass(SECOND);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
        s++;
    }
    assert_in_range(s, 60, 190);
    expect_range(of.stream, 30, 30);
    put_minutes(&of, 30, 31);
    expect_range(of.stream, 30, 31);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* What was written down then must not be held against what is put when it is right again. */
static void a_clock_that_was_wrong_for_long_leaves_no_horizon(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 2);
    ls_iterator *iterator;

    jump(1000 * HOUR);
    for (int s = 0; s < 200; s++) {
        pass(SECOND);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    }
    assert_int_equal(ls_stream_increase_retention(of.stream, 2), LS_OK);
    jump(-1000 * HOUR);
    assert_int_equal(put_number(of.producer, 7, 1, 20000), LS_OK);
    for (int s = 0; s < 200; s++) {
        pass(SECOND);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    }
    assert_int_equal(ls_iterator_open(of.stream, 1, NULL, NULL, &iterator), LS_OK);
    expect_next(iterator, 7);
    ls_iterator_close(iterator);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void a_shard_that_rests_keeps_kilobytes(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 2);
    ls_iterator *latest, *behind;
    uint32_t n;

    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(put_number(of.producer, i, i % 2, 20000), LS_OK);
    latest = iterator_at(of.stream, LS_LATEST, 0, 0);
    behind = iterator_at(of.stream, LS_TRIM_HORIZON, 0, 0);
    expect_next(behind, 0);
    for (int minutes = 0; minutes < 63; minutes++) {
        pass(60 * SECOND);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    }
    assert_int_equal(usage_of(fx, 0).segments, 1);
    assert_int_equal(usage_of(fx, 1).segments, 1);
    assert_true(usage_of(fx, -1).bytes <= 2 * (16 << 10));
    expect_range(of.stream, 20, 20);
    assert_int_equal(put_number(of.producer, 20, 0, 20000), LS_OK);
    expect_next(latest, 20);
    assert_int_equal(next_one(behind, &n), LS_ERR_TRIMMED);
    expect_next(behind, 20);
    ls_iterator_close(latest);
    ls_iterator_close(behind);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- by bytes ---- */

#define CAP (8 * SEGMENT_BYTES)

/* With a header, an index and a list for each of the last segments, and what the file system rounds up. */
static void expect_under_cap(const fixture *fx, uint32_t shards)
{
    uint64_t most = CAP + shards * (SEGMENT_BYTES + (24u << 10));
    usage found = usage_of(fx, -1);

    if (found.bytes > most)
        fail_msg("%llu bytes in %u segments, the most is %llu", (unsigned long long)found.bytes, found.segments,
                 (unsigned long long)most);
}

static void put_a_few_and_exit(fixture *fx)
{
    uint64_t n = atomic_fetch_add(&fx->share->calls, 1);
    ls_producer *producer;
    ls_stream *stream;
    ls_store *store;

    child_check(open_store(fx->path, 0, NULL, &store) == LS_OK);
    child_check(ls_stream_open(store, STREAM, &stream) == LS_OK);
    child_check(ls_producer_open(stream, NULL, &producer) == LS_OK);
    uint32_t shard = n % 7 == 0 ? 1 : 0;
    for (uint32_t i = 0; i < 3; i++)
        child_check(put_number(producer, (uint32_t)n, shard, 9000 + 300 * (n & 31)) == LS_OK);
    if (n % 5 == 4)
        _exit(0); /* as killed: nothing is closed */
    child_check(ls_producer_close(producer) == LS_OK);
    child_check(ls_stream_close(stream) == LS_OK);
    child_check(ls_store_close(store) == LS_OK);
}

/* Nobody else ever calls; one shard gets most of it. The long setup: 10,000 processes. */
static void many_short_processes_keep_a_stream_under_its_cap(void **state)
{
    const uint32_t count = getenv("LIBSTREAM_TEST_LONG") != NULL ? 10000 : 200;
    fixture *fx = *state;
    handles of = open_all(fx, 2);
    uint64_t oldest = 0;

    assert_int_equal(ls_stream_set_retention_bytes(of.stream, CAP), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
    for (uint32_t i = 0; i < count; i++) {
        child_ends_well(child_start(put_a_few_and_exit, fx));
        expect_under_cap(fx, 2);
        pass(SECOND / 10);
    }
    of = open_all(fx, 2);
    ls_iterator *iterator = iterator_at(of.stream, LS_TRIM_HORIZON, 0, 0);
    uint32_t n;
    assert_int_equal(next_one(iterator, &n), LS_OK);
    oldest = n;
    assert_in_range(oldest, count - 50, count - 2); /* what fits under the cap is there */
    ls_iterator_close(iterator);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void put_for_long(fixture *fx)
{
    ls_producer *producer;
    ls_stream *stream;
    ls_store *store;

    child_check(open_store(fx->path, 0, NULL, &store) == LS_OK);
    child_check(ls_stream_open(store, STREAM, &stream) == LS_OK);
    child_check(ls_producer_open(stream, NULL, &producer) == LS_OK);
    for (uint32_t i = 0; i < 1500; i++)
        child_check(put_number(producer, i, i & 1, 7000) == LS_OK);
    child_check(ls_producer_close(producer) == LS_OK);
    child_check(ls_stream_close(stream) == LS_OK);
    child_check(ls_store_close(store) == LS_OK);
}

/* Time stands still: upkeep comes with the rolls. */
static void producers_side_by_side_keep_a_stream_under_its_cap(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 2);
    pid_t pids[3];

    assert_int_equal(ls_stream_set_retention_bytes(of.stream, CAP), LS_OK);
    for (size_t i = 0; i < 3; i++)
        pids[i] = child_start(put_for_long, fx);
    for (size_t i = 0; i < 3; i++)
        child_ends_well(pids[i]);
    expect_under_cap(fx, 2);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* The oldest goes first, whichever shard it is in; a lower cap is heeded at the next put. */
static void the_oldest_segments_of_all_shards_go_first(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 2);

    for (uint32_t i = 0; i < 12; i++) /* four segments of shard 1, then eight of shard 0 */
        assert_int_equal(put_number(of.producer, i, 1, 20000), LS_OK);
    pass(SECOND);
    for (uint32_t i = 0; i < 24; i++)
        assert_int_equal(put_number(of.producer, i, 0, 20000), LS_OK);
    assert_int_equal(usage_of(fx, 1).segments, 4);
    assert_int_equal(usage_of(fx, 0).segments, 8);
    assert_int_equal(ls_stream_set_retention_bytes(of.stream, 10 * SEGMENT_BYTES), LS_OK);
    assert_int_equal(put_number(of.producer, 24, 0, 100), LS_OK);
    assert_int_equal(usage_of(fx, 1).segments, 2);
    assert_int_equal(usage_of(fx, 0).segments, 8);
    assert_int_equal(ls_stream_set_retention_bytes(of.stream, 4 * SEGMENT_BYTES), LS_OK);
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    assert_int_equal(usage_of(fx, 1).segments, 1);
    assert_int_equal(usage_of(fx, 0).segments, 3);
    assert_int_equal(ls_stream_set_retention_bytes(of.stream, 1), LS_OK); /* the last segments stay */
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    assert_int_equal(usage_of(fx, -1).segments, 2);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- by whom ---- */

/* Whoever opens, puts or reads; who only reads the store changes nothing. */
static void whoever_comes_by_trims(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    ls_iterator *iterator;
    ls_producer *producer;
    ls_store *other;
    uint32_t n;

    put_minutes(&of, 0, 30);
    iterator = iterator_at(of.stream, LS_LATEST, 0, 0);
    assert_int_equal(usage_of(fx, 0).segments, 10);
    pass(34 * 60 * SECOND);
    assert_int_equal(open_store(fx->path, LS_STORE_READ_ONLY, NULL, &other), LS_OK);
    assert_int_equal(ls_store_maintain(other, -1), LS_OK);
    assert_int_equal(ls_store_close(other), LS_OK);
    assert_int_equal(usage_of(fx, 0).segments, 10);

    assert_int_equal(next_one(iterator, &n), LS_OK); /* a reader who finds nothing */
    assert_int_equal(n, UINT32_MAX);
    assert_int_equal(usage_of(fx, 0).segments, 9);
    pass(3 * 60 * SECOND);
    assert_int_equal(ls_producer_open(of.stream, NULL, &producer), LS_OK); /* a producer */
    assert_int_equal(put_number(producer, 30, 0, 10), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(usage_of(fx, 0).segments, 8);
    pass(3 * 60 * SECOND);
    assert_int_equal(open_store(fx->path, 0, NULL, &other), LS_OK); /* who opens the store, and no stream */
    assert_int_equal(usage_of(fx, 0).segments, 7);
    assert_int_equal(ls_store_close(other), LS_OK);
    pass(3 * 60 * SECOND);
    ls_iterator_close(iterator);
    iterator = iterator_at(of.stream, LS_TRIM_HORIZON, 0, 0); /* a reader who finds something */
    expect_next(iterator, 13);
    assert_int_equal(usage_of(fx, 0).segments, 6);
    ls_iterator_close(iterator);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void a_thread_trims_when_the_store_has_one(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    ls_store *store;
    int64_t until = now_ms() + 20000;

    put_minutes(&of, 0, 30);
    assert_int_equal(handles_close(&of), LS_OK);
    assert_int_equal(open_store(fx->path, LS_STORE_MAINTENANCE_THREAD, NULL, &store), LS_OK);
    pass(60 * 60 * SECOND);
    while (usage_of(fx, 0).segments > 1 && now_ms() < until) {
        (void)usleep(10000);
        pass(30 * SECOND);
    }
    assert_int_equal(usage_of(fx, 0).segments, 1);
    assert_int_equal(ls_store_close(store), LS_OK);
}

static void the_time_of_maintain_is_bounded(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);

    put_minutes(&of, 0, 30);
    pass(60 * 60 * SECOND);
    assert_int_equal(ls_store_maintain(of.store, 0), LS_ERR_TIMEOUT); /* no time at all */
    assert_int_equal(usage_of(fx, 0).segments, 10);
    assert_int_equal(ls_store_maintain(of.store, -2), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_store_maintain(of.store, 10000), LS_OK);
    assert_int_equal(usage_of(fx, 0).segments, 1);
    assert_int_equal(ls_store_maintain(of.store, 0), LS_OK); /* and nothing is left */
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- nobody waits ---- */

static fixture *stopping; /* the fixture of a child that stops itself */

/* While the shorter list is written, before it takes the other's place. */
static int stop_in_trim(void *user, const hook_event *event)
{
    (void)user;
    if (event->call == HOOK_SYNC && event->target == HOOK_OTHER && atomic_load(&stopping->share->stage) == 1) {
        atomic_store(&stopping->share->stage, 2);
        (void)raise(SIGSTOP);
    }
    return 0;
}

static void stop_while_trimming(fixture *fx)
{
    hooked_files hooked;
    ls_store *store;

    stopping = fx;
    hooked_files_init(&hooked, stop_in_trim, NULL, NULL);
    atomic_store(&fx->share->stage, 1);
    child_check(open_store(fx->path, 0, &hooked, &store) == LS_OK); /* It trims already. */
    child_check(ls_store_maintain(store, -1) == LS_OK);
    child_check(ls_store_close(store) == LS_OK);
}

/* A trimmer that stopped in the middle: puts, rolls, reads and opens go on as if he were not there. */
static void a_stopped_trimmer_stops_nobody(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 1);
    int64_t from;
    pid_t child;

    put_minutes(&of, 0, 30);
    pass(35 * 60 * SECOND);
    child = child_start(stop_while_trimming, fx);
    child_stops(child);
    from = now_ms();
    put_minutes(&of, 30, 40); /* it rolls */
    assert_int_equal(ls_stream_increase_retention(of.stream, 2), LS_OK);
    expect_range(of.stream, 15, 40);
    assert_int_equal(ls_store_maintain(of.store, 200), LS_ERR_TIMEOUT);
    assert_true(now_ms() - from < 4000);
    (void)kill(child, SIGCONT);
    child_ends_well(child);
    assert_int_equal(ls_store_maintain(of.store, 10000), LS_OK);
    expect_range(of.stream, 15, 40);
    assert_int_equal(handles_close(&of), LS_OK);
}

static int stop_in_put(void *user, const hook_event *event)
{
    (void)user;
    if (event->call == HOOK_WRITE && event->target == HOOK_SEGMENT && atomic_load(&stopping->share->stage) == 1) {
        atomic_store(&stopping->share->stage, 2);
        (void)raise(SIGSTOP);
    }
    return 0;
}

static void stop_while_putting(fixture *fx)
{
    hooked_files hooked;
    ls_producer *producer;
    ls_stream *stream;
    ls_store *store;

    stopping = fx;
    hooked_files_init(&hooked, stop_in_put, NULL, NULL);
    child_check(open_store(fx->path, 0, &hooked, &store) == LS_OK);
    child_check(ls_stream_open(store, STREAM, &stream) == LS_OK);
    child_check(ls_producer_open(stream, NULL, &producer) == LS_OK);
    atomic_store(&fx->share->stage, 1);
    child_check(put_number(producer, 1000, 0, 30000) == LS_OK);
    child_check(ls_producer_close(producer) == LS_OK);
    child_check(ls_stream_close(stream) == LS_OK);
    child_check(ls_store_close(store) == LS_OK);
}

/* A producer that stopped in the middle of a put: his shard is left for later, the others are trimmed. */
static void a_stopped_producer_is_not_waited_for(void **state)
{
    fixture *fx = *state;
    handles of = open_all(fx, 2);
    int64_t from;
    pid_t child;

    for (uint32_t i = 0; i < 24; i++)
        assert_int_equal(put_number(of.producer, i, i % 2, 20000), LS_OK);
    for (int i = 0; i < 3; i++) {
        pass(61 * SECOND);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    }
    child = child_start(stop_while_putting, fx);
    child_stops(child);
    pass(60 * 60 * SECOND);
    from = now_ms();
    assert_int_equal(ls_store_maintain(of.store, 100), LS_ERR_TIMEOUT);
    assert_int_equal(usage_of(fx, 1).segments, 1);
    assert_true(usage_of(fx, 0).segments > 1);
    assert_int_equal(put_number(of.producer, 100, 1, 20000), LS_OK);
    assert_true(now_ms() - from < 2000);
    (void)kill(child, SIGCONT);
    child_ends_well(child);
    assert_int_equal(ls_store_maintain(of.store, 10000), LS_OK);
    assert_int_equal(usage_of(fx, 0).segments, 1); /* with the record that was put meanwhile */
    expect_range(of.stream, 1000, 1001);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- a full disk ---- */

/* Files in memory, of which no more than so many bytes can be there. */
static struct {
    lsi_files table, *inner;
    uint64_t used, most;
} disk;

static uint64_t bytes_of(const lsi_file *file)
{
    uint64_t size = 0;

    (void)disk.inner->size(file, &size); /* Of files in memory it does not fail. */
    return size;
}

static uint64_t bytes_named(const lsi_root *root, const char *name)
{
    lsi_file file = {0};
    uint64_t size;

    if (disk.inner->open(root, name, 0, &file) != 0)
        return 0;
    size = bytes_of(&file);
    (void)disk.inner->close(&file);
    return size;
}

/* Whether the file may have `size` bytes; they are counted then. */
static bool takes(const lsi_file *file, uint64_t size)
{
    uint64_t had = bytes_of(file);

    if (size <= had)
        return true;
    if (disk.used + (size - had) > disk.most)
        return false;
    disk.used += size - had;
    return true;
}

static int disk_write(const lsi_file *file, const lsi_span *spans, int count, uint64_t at)
{
    uint64_t size = at;

    for (int i = 0; i < count; i++)
        size += spans[i].size;
    return takes(file, size) ? disk.inner->write(file, spans, count, at) : -ENOSPC;
}

static int disk_allocate(const lsi_file *file, uint64_t at, uint64_t size)
{
    return takes(file, at + size) ? disk.inner->allocate(file, at, size) : -ENOSPC;
}

static int disk_unlink(const lsi_root *root, const char *name)
{
    disk.used -= bytes_named(root, name);
    return disk.inner->unlink(root, name);
}

static int disk_rename(const lsi_root *root, const char *from, const char *to)
{
    disk.used -= bytes_named(root, to);
    return disk.inner->rename(root, from, to);
}

/* E3: what is due goes, with the space that is kept in reserve, and puts go on. */
static void a_full_disk_does_not_stop_trimming(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of = {NULL, NULL, NULL};
    uint32_t n = 0;
    lsi_env env;

    (void)state;
    disk.inner = lsi_files_memory_new(&lsi_memory_libc);
    assert_non_null(disk.inner);
    disk.table = *disk.inner;
    disk.table.write = disk_write;
    disk.table.allocate = disk_allocate;
    disk.table.unlink = disk_unlink;
    disk.table.rename = disk_rename;
    disk.used = 0;
    disk.most = 4 << 20;
    lsi_env_default(&env);
    env.clock = (lsi_clock){test_wall, test_monotonic, the_clock, NULL};
    env.files = &disk.table;
    options.segment_bytes = SEGMENT_BYTES;
    assert_int_equal(lsi_store_open_env("store", &options, &env, &of.store), LS_OK);
    assert_int_equal(ls_stream_create(of.store, STREAM, NULL), LS_OK);
    assert_int_equal(ls_stream_open(of.store, STREAM, &of.stream), LS_OK);
    assert_int_equal(ls_producer_open(of.stream, NULL, &of.producer), LS_OK);
    for (int minutes = 0; minutes < 3; minutes++) {
        pass(61 * SECOND);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    }
    while (put_number(of.producer, n, 0, 20000) == LS_OK)
        n++;
    assert_int_equal(ls_last_error_status(), LS_ERR_FULL);
    while (put_number(of.producer, n, 0, 10) == LS_OK)
        n++;
    disk.most = disk.used; /* not a byte */
    expect_range(of.stream, 0, n);
    pass(25 * 60 * 60 * SECOND);
    assert_int_equal(ls_store_maintain(of.store, 10000), LS_OK);
    expect_range(of.stream, n, n);
    assert_true(disk.used < 1 << 20);
    assert_int_equal(put_number(of.producer, n, 0, 20000), LS_OK);

    /* And a cap that is set when it is full, by the next put that fails or not. */
    while (put_number(of.producer, n, 0, 20000) == LS_OK)
        continue;
    disk.most = disk.used;
    assert_int_equal(ls_stream_set_retention_bytes(of.stream, 5 * SEGMENT_BYTES), LS_OK);
    assert_int_equal(ls_store_maintain(of.store, 10000), LS_OK);
    assert_true(disk.used < 7 * SEGMENT_BYTES);
    assert_int_equal(put_number(of.producer, n, 0, 20000), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
    lsi_files_memory_free(disk.inner);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(a_record_past_its_age_is_not_shown_to_anybody),
        T(a_slow_reader_is_told_once_and_goes_on_at_the_oldest),
        T(an_increase_brings_nothing_back_and_a_decrease_hides_at_once),
        T(segments_go_a_minute_after_their_age),
        T(a_jump_ahead_and_back_hides_and_deletes_nothing),
        T(a_clock_that_was_wrong_from_the_start_deletes_nothing),
        T(a_jump_that_lasts_is_believed),
        T(a_clock_that_was_wrong_for_long_leaves_no_horizon),
        T(a_shard_that_rests_keeps_kilobytes),
        T(many_short_processes_keep_a_stream_under_its_cap),
        T(producers_side_by_side_keep_a_stream_under_its_cap),
        T(the_oldest_segments_of_all_shards_go_first),
        T(whoever_comes_by_trims),
        T(a_thread_trims_when_the_store_has_one),
        T(the_time_of_maintain_is_bounded),
        T(a_stopped_trimmer_stops_nobody),
        T(a_stopped_producer_is_not_waited_for),
        T(a_full_disk_does_not_stop_trimming),
    };

    return cmocka_run_group_tests_name("retention (E3, E8, P8, D6)", tests, NULL, NULL);
}
