/* G1 to G3 (age.c): a store that was used once in 1970, or in 2099, and then at the right time hides and trims no
 * record before its retention has passed, and each one then: in the same boot, for other processes and readers that
 * only read, after the control file was lost, as with a boot, and in shards that rest or were closed. */
#include <dirent.h>

#include "invariants/clocked.h"

#include <libstream/unstable/inspect.h>

#define MINUTE (60 * SECOND)
#define YEAR (8766 * HOUR)

/* All is asked twice, the second time of segments that upkeep compresses once they are full: the list's entries say
 * both of them. */
static bool presses;
static uint32_t pressed; /* such were met */

static handles open_one(const fixture *fx)
{
    handles of = open_all(fx, 1);

    assert_int_equal(ls_stream_set_recompression(of.stream, presses), LS_OK);
    return of;
}

static int begin_pressing(void **state)
{
    presses = true;
    pressed = 0;
    return begin(state);
}

static int end_pressing(void **state)
{
    presses = false;
    return end(state) != 0 || pressed == 0;
}

/* A clock at its beginning, as of a machine without a battery. */
static void jump_to(int64_t wall_us)
{
    atomic_store(&the_clock->wall_us, wall_us);
}

/* Shard 0 of the stream shows exactly the records `from` to below `to`. */
static void expect_of(ls_store *store, uint32_t from, uint32_t to)
{
    ls_iterator *iterator = NULL;
    ls_stream *stream;
    uint32_t n;

    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    for (; from < to; from++) {
        assert_int_equal(next_one(iterator, &n), LS_OK);
        assert_int_equal(n, from);
    }
    assert_int_equal(next_one(iterator, &n), LS_OK);
    assert_int_equal(n, UINT32_MAX);
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* To one that only reads, to one that comes now, as another process would, and, if there is, to one that was here. */
static void expect(const fixture *fx, const handles *of, uint32_t from, uint32_t to)
{
    static const uint32_t flags[] = {LS_STORE_READ_ONLY, 0};

    for (size_t i = 0; i < 2; i++) {
        ls_store *store;

        assert_int_equal(open_store(fx->path, flags[i], NULL, &store), LS_OK);
        expect_of(store, from, to);
        assert_int_equal(ls_store_close(store), LS_OK);
    }
    if (of != NULL)
        expect_of(of->store, from, to);
}

static uint32_t segments_of(const fixture *fx)
{
    char path[TEMP_PATH_BYTES * 4];
    struct dirent *entry;
    uint32_t count = 0;
    DIR *dir;

    (void)snprintf(path, sizeof path, "%s/1/0", fx->path);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        count += strstr(entry->d_name, ".seg") != NULL;
    (void)closedir(dir);
    return count;
}

/* A full segment of three such records takes 60 KB, or less than a header and a block. */
static void count_pressed(const fixture *fx)
{
    for (unsigned number = 1; number < 30; number++) {
        char path[TEMP_PATH_BYTES * 4];
        struct stat about;

        (void)snprintf(path, sizeof path, "%s/1/0/%08u.seg", fx->path, number);
        pressed += stat(path, &about) == 0 && about.st_size > 4096 && about.st_size < 8192;
    }
}

static void maintain(const handles *of)
{
    assert_int_equal(ls_store_maintain(of->store, -1), LS_OK);
    if (presses)
        count_pressed(&the_fixture);
}

/* Minute by minute, and somebody looks each time (E8). */
static void pass_minutes(const handles *of, int minutes)
{
    for (; minutes > 0; minutes--) {
        pass(MINUTE);
        maintain(of);
    }
}

static void boot(const fixture *fx, handles *of)
{
    char control[TEMP_PATH_BYTES * 3];

    assert_int_equal(handles_close(of), LS_OK);
    (void)snprintf(control, sizeof control, "%s/control", fx->path);
    assert_int_equal(unlink(control), 0);
}

/* ---- 1970 ---- */

/* ---- mappings ---- */

typedef struct seen {
    uint32_t count, given_up;
    uint32_t failing; /* so many invocations fail first */
} seen;

static ls_handler_answer note_batch(const ls_batch *batch, ls_handler_context *context, void *user)
{
    seen *of = user;

    (void)context;
    if (of->failing > 0) {
        of->failing--;
        return LS_HANDLER_RETRY;
    }
    of->count += (uint32_t)ls_batch_count(batch);
    return LS_HANDLER_DONE;
}

static int32_t note_given_up(const ls_batch *batch, ls_discard_reason reason, uint32_t invocations, void *user)
{
    (void)reason;
    (void)invocations;
    ((seen *)user)->given_up += (uint32_t)ls_batch_count(batch);
    return 0;
}

/* A mapping of the defaults handles `count` records, some of them at a second try, and gives up none. */
static void expect_handled(const handles *of, uint32_t count)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping *mapping;
    seen found = {.failing = 2};

    assert_int_equal(ls_mapping_create(of->stream, "m", &horizon, NULL), LS_OK);
    assert_int_equal(ls_mapping_open(of->stream, "m", &mapping), LS_OK);
    options.flags = LS_RUN_UNTIL_CAUGHT_UP;
    options.discard = note_given_up;
    assert_int_equal(ls_mapping_run(mapping, &options, note_batch, &found), LS_OK);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
    assert_int_equal(ls_mapping_delete(of->stream, "m"), LS_OK);
    assert_int_equal(found.given_up, 0);
    assert_int_equal(found.count, count);
}

/* E8: what the store keeps, a mapping hands over, however old it seems. */
static void a_mapping_gives_up_no_record_for_a_wrong_clock(void **state)
{
    fixture *fx = *state;
    handles of;

    jump_to(SECOND);
    of = open_one(fx);
    put_minutes(&of, 0, 6);
    maintain(&of);
    jump_to(BEGIN);
    expect(fx, &of, 0, 6);
    expect_handled(&of, 6);
    assert_int_equal(put_number(of.producer, 6, 0, 20000), LS_OK);
    expect_handled(&of, 7);
    jump(26 * HOUR); /* Somebody sets it wrong. */
    expect(fx, &of, 0, 7);
    expect_handled(&of, 7);
    jump(-26 * HOUR);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Six records in 1970, over two segments and more, then the right time; `is_boot`: by a boot. */
static handles put_in_1970(const fixture *fx, bool is_boot)
{
    handles of;

    jump_to(SECOND);
    of = open_one(fx);
    put_minutes(&of, 0, 6);
    maintain(&of);
    if (is_boot)
        boot(fx, &of);
    jump_to(BEGIN);
    if (is_boot) { /* Whoever comes first only reads. */
        expect(fx, NULL, 0, 6);
        of = open_one(fx);
    }
    return of;
}

static void records_of_1970_stay_for_their_retention(void **state)
{
    fixture *fx = *state;
    handles of = put_in_1970(fx, false);

    expect(fx, &of, 0, 6);
    assert_int_equal(put_number(of.producer, 6, 0, 20000), LS_OK);
    for (int minute = 0; minute < 59; minute++) {
        expect(fx, &of, 0, 7);
        pass_minutes(&of, 1);
    }
    assert_int_equal(put_number(of.producer, 7, 0, 20000), LS_OK);
    pass(MINUTE - SECOND);
    expect(fx, &of, 0, 8);
    assert_int_equal(segments_of(fx), 3);
    pass(3 * SECOND);
    expect(fx, &of, 7, 8);
    pass_minutes(&of, 2);
    expect(fx, &of, 7, 8);
    assert_int_equal(segments_of(fx), 1);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* No put says that the time is right again: upkeep sees it. */
static void records_of_1970_stay_for_their_retention_where_nobody_puts(void **state)
{
    fixture *fx = *state;
    handles of = put_in_1970(fx, false);

    for (int minute = 0; minute < 60; minute++) {
        expect(fx, &of, 0, 6);
        pass_minutes(&of, 1);
    }
    pass_minutes(&of, 5);
    expect(fx, &of, 6, 6);
    assert_int_equal(segments_of(fx), 1);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void records_of_1970_stay_for_their_retention_after_a_boot(void **state)
{
    fixture *fx = *state;
    handles of = put_in_1970(fx, true);

    for (int minute = 0; minute < 59; minute++) {
        pass_minutes(&of, 1);
        expect(fx, &of, 0, 6);
        if (minute == 20) {
            boot(fx, &of);
            of = open_one(fx);
        }
    }
    pass_minutes(&of, 6);
    expect(fx, &of, 6, 6);
    assert_int_equal(segments_of(fx), 1);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* A machine that begins in 1970 at each boot, until it has asked for the time: what it puts until then is as young as
 * it is, and what it put before is no younger for it. */
static void a_clock_that_is_in_1970_at_each_boot_hides_only_what_is_old(void **state)
{
    fixture *fx = *state;
    handles of = open_one(fx);

    put_minutes(&of, 0, 4);
    for (uint32_t n = 4; n < 16; n += 4) {
        int64_t right = atomic_load(&the_clock->wall_us) + 10 * HOUR;

        boot(fx, &of);
        jump_to(SECOND);
        of = open_one(fx);
        put_minutes(&of, n, n + 4);
        jump_to(right);
        pass_minutes(&of, 4); /* It is believed. */
        expect(fx, &of, n, n + 4);
        pass_minutes(&of, 52);
        expect(fx, &of, n, n + 4);
        pass_minutes(&of, 10);
        expect(fx, &of, n + 4, n + 4);
        assert_int_equal(segments_of(fx), 1);
    }
    assert_int_equal(handles_close(&of), LS_OK);
}

/* A machine that begins years ago, when its system was built, at each boot until it has asked for the time. It puts in
 * between, and no more when the time is right. */
static void come_after_a_late_clock(fixture *fx, bool is_boot)
{
    handles of = open_one(fx);
    int64_t right;

    put_minutes(&of, 0, 4);
    right = atomic_load(&the_clock->wall_us) + 5 * MINUTE;
    boot(fx, &of);
    jump_to(BEGIN - 2 * YEAR);
    of = open_one(fx);
    put_minutes(&of, 4, 5);
    pass_minutes(&of, 3); /* The wrong time is believed. */
    if (is_boot)
        boot(fx, &of);
    jump_to(right);
    expect(fx, is_boot ? NULL : &of, 0, 5); /* Whoever comes first only reads. */
    if (is_boot)
        of = open_one(fx);
    pass_minutes(&of, 4); /* The right one, too. */
    expect(fx, &of, 0, 5);
    pass_minutes(&of, 40);
    expect(fx, &of, 0, 5);
    pass_minutes(&of, 70);
    expect(fx, &of, 5, 5);
    assert_int_equal(segments_of(fx), 1);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void records_before_a_late_clock_stay_for_their_retention(void **state)
{
    come_after_a_late_clock(*state, false);
}

static void records_before_a_late_clock_stay_for_their_retention_after_a_boot(void **state)
{
    come_after_a_late_clock(*state, true);
}

static bool is_dir_there(const fixture *fx, unsigned shard)
{
    char path[TEMP_PATH_BYTES * 4];

    (void)snprintf(path, sizeof path, "%s/1/%u", fx->path, shard);
    return access(path, F_OK) == 0;
}

static bool is_shard_there(const fixture *fx)
{
    return is_dir_there(fx, 0);
}

/* Expiry of a closed shard goes by when it was closed, which nobody knows. */
static void a_shard_that_was_closed_in_1970_stays_for_the_retention(void **state)
{
    fixture *fx = *state;
    handles of;

    jump_to(SECOND);
    of = open_one(fx);
    put_minutes(&of, 0, 4);
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    pass(MINUTE);
    boot(fx, &of);
    jump_to(BEGIN);
    of = open_one(fx);
    for (int minute = 0; minute < 60; minute++) {
        pass_minutes(&of, 1);
        expect(fx, &of, 0, 4);
    }
    pass_minutes(&of, 5);
    assert_false(is_shard_there(fx));
    assert_int_equal(handles_close(&of), LS_OK);
}

/* And of its children, which were merged in 1970: no shard goes before its parents. */
static void shards_that_were_merged_in_1970_stay_for_the_retention(void **state)
{
    fixture *fx = *state;
    handles of;

    jump_to(SECOND);
    of = open_one(fx);
    put_minutes(&of, 0, 4);
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    pass(MINUTE);
    assert_int_equal(ls_stream_merge(of.stream, 1, 2, NULL), LS_OK);
    pass(MINUTE);
    boot(fx, &of);
    jump_to(BEGIN);
    of = open_one(fx);
    for (int minute = 0; minute < 60; minute++) {
        pass_minutes(&of, 1);
        for (unsigned shard = 0; shard < 4; shard++)
            assert_true(is_dir_there(fx, shard));
        if (minute % 10 == 0)
            expect(fx, &of, 0, 4);
    }
    pass_minutes(&of, 5);
    for (unsigned shard = 0; shard < 4; shard++)
        assert_int_equal(is_dir_there(fx, shard), shard == 3);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Nor where its children were merged by a clock that was right already, before anybody looked at the parent. */
static void no_shard_goes_before_a_parent_that_was_closed_in_1970(void **state)
{
    fixture *fx = *state;
    handles of;

    jump_to(SECOND);
    of = open_one(fx);
    put_minutes(&of, 0, 4);
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    pass(MINUTE);
    jump_to(BEGIN);
    assert_int_equal(ls_stream_merge(of.stream, 1, 2, NULL), LS_OK);
    pass(MINUTE);
    for (int minute = 0; minute < 70; minute++) {
        pass_minutes(&of, 1);
        for (unsigned shard = 1; shard < 3; shard++)
            assert_true(is_dir_there(fx, shard) || !is_dir_there(fx, 0));
    }
    for (unsigned shard = 0; shard < 4; shard++)
        assert_int_equal(is_dir_there(fx, shard), shard == 3);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* The same of one that was closed when the clock was years late, which has passed its stamps since. */
static void a_shard_that_was_closed_by_a_late_clock_stays_for_the_retention(void **state)
{
    fixture *fx = *state;
    handles of = open_one(fx);
    int64_t right;

    pass_minutes(&of, 180); /* The stream is older than its records may get. */
    put_minutes(&of, 0, 4);
    right = atomic_load(&the_clock->wall_us) + 5 * MINUTE;
    boot(fx, &of);
    jump_to(BEGIN - 2 * YEAR);
    of = open_one(fx);
    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    pass_minutes(&of, 3);
    jump_to(right);
    for (int minute = 0; minute < 60; minute++) {
        pass_minutes(&of, 1);
        assert_true(is_shard_there(fx));
        if (minute < 50)
            expect(fx, &of, 0, 4);
    }
    pass_minutes(&of, 10);
    assert_false(is_shard_there(fx));
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- 2099 ---- */

/* A record a minute from BEGIN on: 4 of the right time, 8 of 2099, of which two segments were begun then, and then 4 of
 * the right time. Who looks at 2099 once, and has no time to believe it. */
static handles put_in_2099(const fixture *fx)
{
    handles of = open_one(fx);

    put_minutes(&of, 0, 4);
    jump(73 * YEAR);
    for (uint32_t n = 4; n < 8; n++)
        assert_int_equal(put_number(of.producer, n, 0, 10000), LS_OK);
    jump(-73 * YEAR);
    pass(4 * MINUTE);
    put_minutes(&of, 8, 12);
    if (presses)
        maintain(&of);
    return of;
}

/* Of each record to the minute; `reopens`: after who was there left, and then also without the control file. */
static void expect_minutes(fixture *fx, handles *of, bool reopens)
{
    expect(fx, of, 0, 12);
    pass_minutes(of, 60 - 12);
    expect(fx, of, 0, 12);
    pass(SECOND);
    for (uint32_t n = 1; n <= 12; n++) {
        /* Those of 2099 were put at once, and count as arrived when the clock was seen to be right again. */
        uint32_t from = n >= 4 && n < 9 ? 4 : n;

        if (reopens && n % 2 == 0) {
            assert_int_equal(handles_close(of), LS_OK);
            *of = open_one(fx);
        } else if (reopens) {
            boot(fx, of);
            *of = open_one(fx);
        }
        expect(fx, of, from, 12);
        pass_minutes(of, 1);
    }
    pass_minutes(of, 3);
    expect(fx, of, 12, 12);
    assert_int_equal(segments_of(fx), 1);
}

static void a_shard_that_was_once_in_2099_keeps_to_its_retention(void **state)
{
    fixture *fx = *state;
    handles of = put_in_2099(fx);

    expect_minutes(fx, &of, false);
    put_minutes(&of, 12, 16);
    expect(fx, &of, 12, 16);
    pass_minutes(&of, 63);
    expect(fx, &of, 16, 16);
    assert_int_equal(segments_of(fx), 1);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void a_shard_that_was_once_in_2099_keeps_to_it_whoever_asks(void **state)
{
    fixture *fx = *state;
    handles of = put_in_2099(fx);

    expect_minutes(fx, &of, true);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* By the time of day that it counts as arrived at, whatever its stamp. */
static void a_place_is_sought_by_the_time_that_counts(void **state)
{
    fixture *fx = *state;
    handles of = put_in_2099(fx);
    ls_position at = {LS_AT_TIMESTAMP, 0, 0, BEGIN + 10 * MINUTE};
    ls_iterator *iterator = NULL;
    uint32_t n;

    assert_int_equal(ls_iterator_open(of.stream, 0, &at, NULL, &iterator), LS_OK);
    assert_int_equal(next_one(iterator, &n), LS_OK);
    assert_int_equal(n, 10);
    ls_iterator_close(iterator);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void a_shard_that_rests_since_2099_keeps_kilobytes(void **state)
{
    fixture *fx = *state;
    handles of = open_one(fx);

    jump(73 * YEAR);
    put_minutes(&of, 0, 1);
    jump(-73 * YEAR);
    pass_minutes(&of, 59);
    expect(fx, &of, 0, 1);
    pass_minutes(&of, 5);
    expect(fx, &of, 1, 1);
    assert_int_equal(segments_of(fx), 1);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void a_shard_that_was_closed_with_stamps_of_2099_leaves(void **state)
{
    fixture *fx = *state;
    handles of = put_in_2099(fx);

    assert_int_equal(ls_stream_split(of.stream, 0, NULL, NULL, NULL), LS_OK);
    assert_int_equal(put_number(of.producer, 12, 0, 100), LS_OK); /* of a child, whose stamps go on from there */
    pass_minutes(&of, 59);
    assert_true(is_shard_there(fx));
    pass_minutes(&of, 4);
    assert_false(is_shard_there(fx));
    assert_int_equal(handles_close(&of), LS_OK);
}

static ls_inspect_act go_on(const ls_finding *finding, void *user)
{
    (void)finding;
    (void)user;
    return LS_INSPECT_GO_ON;
}

static void make_list_anew(const fixture *fx)
{
    ls_inspect_options options = LS_INSPECT_OPTIONS_INIT;
    char list[TEMP_PATH_BYTES * 3];

    (void)snprintf(list, sizeof list, "%s/1/0/segments", fx->path);
    assert_int_equal(unlink(list), 0);
    assert_int_equal(ls_inspect_repair(fx->path, &options, 0, go_on, NULL, NULL), LS_OK);
}

/* ---- ahead, then late, then right ---- */

/* The late clock begins a segment while stamps are ahead, and is the only one to say when: until the clock is set
 * forward. */
static void come_after_a_clock_that_was_ahead_and_late(fixture *fx, bool is_made_anew)
{
    handles of = open_one(fx);

    put_minutes(&of, 0, 4);
    jump(73 * YEAR);
    assert_int_equal(put_number(of.producer, 4, 0, 10000), LS_OK);
    jump(-73 * YEAR - 2 * HOUR);
    assert_int_equal(put_number(of.producer, 5, 0, 10000), LS_OK);
    pass_minutes(&of, 3);
    jump(2 * HOUR);
    expect(fx, &of, 0, 6); /* Whoever comes first only reads. */
    assert_int_equal(handles_close(&of), LS_OK);
    of = open_one(fx);
    pass_minutes(&of, 4);
    expect(fx, &of, 0, 6);
    put_minutes(&of, 6, 8);
    if (is_made_anew) {
        assert_int_equal(handles_close(&of), LS_OK);
        make_list_anew(fx);
        of = open_one(fx);
    }
    pass_minutes(&of, 43);
    expect(fx, &of, 0, 8);
    pass_minutes(&of, 70);
    expect(fx, &of, 8, 8);
    assert_int_equal(segments_of(fx), 1);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void records_before_a_clock_that_was_ahead_and_late_stay(void **state)
{
    come_after_a_clock_that_was_ahead_and_late(*state, false);
}

static void records_before_a_clock_that_was_ahead_and_late_stay_in_a_list_made_anew(void **state)
{
    come_after_a_clock_that_was_ahead_and_late(*state, true);
}

/* That nobody puts for long does not set the clock. */
static void a_shard_that_is_put_to_seldom_keeps_to_its_retention(void **state)
{
    fixture *fx = *state;
    handles of = open_one(fx);

    jump(73 * YEAR);
    assert_int_equal(put_number(of.producer, 0, 0, 10000), LS_OK);
    jump(-73 * YEAR);
    for (uint32_t n = 1; n < 8; n++) {
        assert_int_equal(put_number(of.producer, n, 0, 10000), LS_OK);
        expect(fx, &of, n == 1 ? 0 : n, n + 1);
        pass(90 * MINUTE);
    }
    pass_minutes(&of, 5);
    expect(fx, &of, 8, 8);
    assert_int_equal(segments_of(fx), 1);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* A list that is made anew from the headers knows both again. */
static void a_list_that_is_made_anew_knows_ages_and_blocks(void **state)
{
    fixture *fx = *state;
    handles of = put_in_2099(fx);

    assert_int_equal(handles_close(&of), LS_OK);
    make_list_anew(fx);
    of = open_one(fx);
    expect_minutes(fx, &of, false);
    assert_int_equal(handles_close(&of), LS_OK);
}

#define T(name) cmocka_unit_test_setup_teardown(name, begin, end), \
        cmocka_unit_test_setup_teardown(name, begin_pressing, end_pressing)
#define ONCE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(records_of_1970_stay_for_their_retention),
        T(records_of_1970_stay_for_their_retention_where_nobody_puts),
        T(records_of_1970_stay_for_their_retention_after_a_boot),
        T(a_clock_that_is_in_1970_at_each_boot_hides_only_what_is_old),
        T(records_before_a_late_clock_stay_for_their_retention),
        T(records_before_a_late_clock_stay_for_their_retention_after_a_boot),
        T(a_shard_that_was_closed_in_1970_stays_for_the_retention),
        T(shards_that_were_merged_in_1970_stay_for_the_retention),
        T(no_shard_goes_before_a_parent_that_was_closed_in_1970),
        T(a_shard_that_was_closed_by_a_late_clock_stays_for_the_retention),
        T(a_shard_that_was_once_in_2099_keeps_to_its_retention),
        T(a_shard_that_was_once_in_2099_keeps_to_it_whoever_asks),
        T(a_place_is_sought_by_the_time_that_counts),
        ONCE(a_shard_that_rests_since_2099_keeps_kilobytes), /* It never fills a segment. */
        T(a_shard_that_was_closed_with_stamps_of_2099_leaves),
        ONCE(records_before_a_clock_that_was_ahead_and_late_stay),
        ONCE(records_before_a_clock_that_was_ahead_and_late_stay_in_a_list_made_anew),
        ONCE(a_shard_that_is_put_to_seldom_keeps_to_its_retention),
        T(a_list_that_is_made_anew_knows_ages_and_blocks),
        T(a_mapping_gives_up_no_record_for_a_wrong_clock),
    };

    return cmocka_run_group_tests_name("a clock that was wrong (E8)", tests, NULL, NULL);
}
