/* E8: stamps never decrease, whatever the clock does, and a clock that was once wrong freezes nothing for ever; waits
 * are on the monotonic clock. The clock is the test's own. */
#include "invariants/processes.h"

#define SECOND_US INT64_C(1000000)
#define HOUR_US (3600 * SECOND_US)
#define YEAR_US (8766 * HOUR_US)

typedef struct fake_clock {
    lsi_clock clock;
    int64_t wall_us;
    int64_t monotonic_us;
} fake_clock;

static int64_t fake_wall(void *user)
{
    const fake_clock *of = user;

    return of->wall_us;
}

static int64_t fake_monotonic(void *user)
{
    const fake_clock *of = user;

    return of->monotonic_us;
}

static void fake_init(fake_clock *of, int64_t wall_us)
{
    of->clock = (lsi_clock){fake_wall, fake_monotonic, of};
    of->wall_us = wall_us;
    of->monotonic_us = 1000 * SECOND_US;
}

static void open_at(const fixture *fx, const fake_clock *clock, handles *of)
{
    ls_status st;
    lsi_env env;

    memset(of, 0, sizeof *of);
    lsi_env_default(&env);
    env.clock = clock->clock;
    assert_int_equal(lsi_store_open_env(fx->path, NULL, &env, &of->store), LS_OK);
    st = ls_stream_create(of->store, STREAM, NULL);
    assert_true(st == LS_OK || st == LS_ERR_EXISTS);
    assert_int_equal(ls_stream_open(of->store, STREAM, &of->stream), LS_OK);
    assert_int_equal(ls_producer_open(of->stream, NULL, &of->producer), LS_OK);
}

/* Time passes, and somebody sets the clock meanwhile. */
static void pass(fake_clock *clock, int64_t us, int64_t step_us)
{
    clock->monotonic_us += us;
    clock->wall_us += us + step_us;
}

static uint32_t segments_of(const fixture *fx)
{
    uint32_t count = 0;
    struct stat about;

    for (unsigned number = 1; number < 20; number++) {
        char path[TEMP_PATH_BYTES * 4];

        (void)snprintf(path, sizeof path, "%s/1/0/%08u.seg", fx->path, number);
        count += stat(path, &about) == 0;
    }
    return count;
}

/* The stamp of the record at `index`, after asserting that no stamp is below the one before. */
static int64_t stamp_of(ls_stream *stream, size_t index)
{
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    int64_t last = INT64_MIN, found = -1;

    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_true(ls_batch_count(batch) > index);
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        int64_t stamp = ls_batch_at(batch, i)->arrival_us;

        assert_true(stamp >= last);
        last = stamp;
        if (i == index)
            found = stamp;
    }
    ls_iterator_close(iterator);
    return found;
}

static void a_step_back_holds_the_stamp(void **state)
{
    fixture *fx = *state;
    fake_clock clock;
    handles of;
    int64_t begin = 50 * YEAR_US;

    fake_init(&clock, begin);
    open_at(fx, &clock, &of);
    assert_int_equal(put_text(&of, "0", NULL), LS_OK);
    clock.wall_us -= 10 * SECOND_US;
    assert_int_equal(put_text(&of, "1", NULL), LS_OK);
    assert_int_equal(stamp_of(of.stream, 1), begin);
    clock.wall_us = begin + SECOND_US;
    assert_int_equal(put_text(&of, "2", NULL), LS_OK);
    assert_int_equal(stamp_of(of.stream, 2), begin + SECOND_US);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Also for one who opens the store after everybody was gone, and after the control file was lost. */
static void a_step_back_between_two_opens_holds_the_stamp(void **state)
{
    fixture *fx = *state;
    char control[TEMP_PATH_BYTES * 3];
    fake_clock clock;
    handles of;
    int64_t begin = 50 * YEAR_US;

    (void)snprintf(control, sizeof control, "%s/control", fx->path);
    fake_init(&clock, begin);
    for (size_t i = 0; i < 3; i++) {
        open_at(fx, &clock, &of);
        assert_int_equal(put_text(&of, "record", NULL), LS_OK);
        assert_int_equal(stamp_of(of.stream, i), begin);
        assert_int_equal(handles_close(&of), LS_OK);
        clock.wall_us -= SECOND_US;
        if (i == 1)
            assert_int_equal(unlink(control), 0);
    }
}

/* Two processes whose clocks differ: one order, stamps that do not decrease along it. */
static void put_a_second_behind(fixture *fx)
{
    fake_clock clock;
    handles of;
    lsi_env env;

    fake_init(&clock, 50 * YEAR_US - SECOND_US);
    lsi_env_default(&env);
    env.clock = clock.clock;
    child_check(lsi_store_open_env(fx->path, NULL, &env, &of.store) == LS_OK);
    child_check(ls_stream_open(of.store, STREAM, &of.stream) == LS_OK);
    child_check(ls_producer_open(of.stream, NULL, &of.producer) == LS_OK);
    child_check(put_text(&of, "1", NULL) == LS_OK);
    child_check(handles_close(&of) == LS_OK);
}

static void processes_with_different_clocks_keep_stamps_in_order(void **state)
{
    fixture *fx = *state;
    fake_clock clock;
    handles of;

    fake_init(&clock, 50 * YEAR_US);
    open_at(fx, &clock, &of);
    assert_int_equal(put_text(&of, "0", NULL), LS_OK);
    child_ends_well(child_start(put_a_second_behind, fx));
    assert_int_equal(put_text(&of, "2", NULL), LS_OK);
    assert_int_equal(stamp_of(of.stream, 1), 50 * YEAR_US);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* A store used once in 2099 and then at the right time: stamps go on, at the pace of time, and do not stand still. */
static void a_clock_that_was_once_far_ahead_does_not_freeze_stamps(void **state)
{
    fixture *fx = *state;
    fake_clock clock;
    handles of;
    int64_t ahead = 129 * YEAR_US, first, second;

    fake_init(&clock, ahead);
    open_at(fx, &clock, &of);
    assert_int_equal(put_text(&of, "0", NULL), LS_OK);
    clock.wall_us = 55 * YEAR_US;
    clock.monotonic_us += SECOND_US;
    assert_int_equal(put_text(&of, "1", NULL), LS_OK);
    clock.wall_us += HOUR_US;
    clock.monotonic_us += HOUR_US;
    assert_int_equal(put_text(&of, "2", NULL), LS_OK);
    clock.wall_us += HOUR_US;
    clock.monotonic_us += HOUR_US;
    assert_int_equal(put_text(&of, "3", NULL), LS_OK);
    first = stamp_of(of.stream, 2);
    second = stamp_of(of.stream, 3);
    assert_true(first >= ahead);
    assert_int_equal(second - first, HOUR_US);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* A store used once in 1970: later stamps are the right ones, and the old records are there until their retention has
 * passed since, whatever the believed clock says meanwhile, and then they go. */
static void a_clock_that_was_once_far_behind_leaves_no_trace(void **state)
{
    fixture *fx = *state;
    fake_clock clock;
    int64_t step = 0;
    handles of;

    fake_init(&clock, SECOND_US);
    open_at(fx, &clock, &of);
    assert_int_equal(put_text(&of, "0", NULL), LS_OK);
    clock.wall_us = 55 * YEAR_US;
    assert_int_equal(put_text(&of, "1", NULL), LS_OK);
    for (int64_t passed = 0; passed < 24 * HOUR_US - SECOND_US; passed += step) {
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
        assert_int_equal(stamp_of(of.stream, 0), SECOND_US);
        assert_int_equal(stamp_of(of.stream, 1), 55 * YEAR_US);
        step = passed < HOUR_US ? 60 * SECOND_US : HOUR_US;
        if (passed + step > 24 * HOUR_US - SECOND_US)
            step = 24 * HOUR_US - SECOND_US - passed;
        pass(&clock, step, 0);
    }
    assert_int_equal(stamp_of(of.stream, 0), SECOND_US);
    assert_int_equal(segments_of(fx), 2);
    for (int i = 0; i < 4; i++) {
        pass(&clock, 61 * SECOND_US, 0);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    }
    assert_int_equal(put_text(&of, "2", NULL), LS_OK);
    assert_int_equal(stamp_of(of.stream, 0), 55 * YEAR_US + 24 * HOUR_US + (4 * 61 - 1) * SECOND_US);
    assert_int_equal(segments_of(fx), 1);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* The wall clock jumps back a year in the middle of a wait; the wait ends in time. */
static int64_t jumping_wall(void *user)
{
    _Atomic int64_t *calls = user;

    return 55 * YEAR_US - YEAR_US * (atomic_fetch_add(calls, 1) % 2);
}

static int64_t true_monotonic(void *user)
{
    (void)user;
    return lsi_monotonic_us(&lsi_clock_system);
}

static void a_wait_ends_in_time_while_the_clock_jumps(void **state)
{
    fixture *fx = *state;
    _Atomic int64_t calls = 0;
    fake_clock clock = {.clock = {jumping_wall, true_monotonic, &calls}};
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    handles of;
    int64_t from;

    open_at(fx, &clock, &of);
    assert_int_equal(ls_iterator_open(of.stream, 0, NULL, NULL, &iterator), LS_OK);
    next.timeout_ms = 200;
    from = now_ms();
    assert_int_equal(ls_iterator_next(iterator, &next, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 0);
    assert_in_range(now_ms() - from, 180, 1200);
    ls_iterator_close(iterator);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* stream.h: a shard is closed not before its last record arrived. Method: the clock goes back between the two. */
static void a_step_back_closes_no_shard_before_its_last_record(void **state)
{
    fixture *fx = *state;
    static const ls_hash_key half = {UINT64_C(1) << 63, 0};
    ls_stream_description *description;
    ls_shard_info parent = LS_SHARD_INFO_INIT;
    fake_clock clock;
    handles of;

    fake_init(&clock, 55 * YEAR_US);
    open_at(fx, &clock, &of);
    clock.wall_us += 2 * HOUR_US;
    assert_int_equal(put_text(&of, "last", NULL), LS_OK);
    clock.wall_us -= HOUR_US;
    assert_int_equal(ls_stream_split(of.stream, 0, &half, NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_describe(of.stream, &description), LS_OK);
    assert_int_equal(ls_stream_description_shard(description, 0, &parent), LS_OK);
    assert_false(parent.is_open);
    assert_int_equal(parent.latest_arrival_us, 55 * YEAR_US + 2 * HOUR_US);
    assert_true(parent.closed_us >= parent.latest_arrival_us);
    ls_stream_description_free(description);
    assert_int_equal(handles_close(&of), LS_OK);
}

static unsigned the_lines;
static char the_line[512];

static void note_line(void *user, int32_t level, const char *line)
{
    (void)user;
    if (level != LS_LOG_WARNING)
        return;
    the_lines++;
    (void)snprintf(the_line, sizeof the_line, "%s", line);
}

/* store.h: the log is told of a clock step, once for each, and of nothing when the clock is only slewed. */
static void a_clock_step_is_logged(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    fake_clock clock;
    ls_store *store;
    lsi_env env;

    fake_init(&clock, 55 * YEAR_US);
    the_lines = 0;
    lsi_env_default(&env);
    env.clock = clock.clock;
    options.log = note_line;
    assert_int_equal(lsi_store_open_env(fx->path, &options, &env, &store), LS_OK);
    for (int i = 0; i < 10; i++) {
        pass(&clock, HOUR_US, i % 2 == 0 ? SECOND_US : -SECOND_US);
        assert_int_equal(ls_store_maintain(store, -1), LS_OK);
    }
    assert_int_equal(the_lines, 0);
    pass(&clock, SECOND_US, 2 * HOUR_US);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ls_store_maintain(store, -1), LS_OK);
    assert_int_equal(the_lines, 1);
    assert_string_equal(the_line, "the clock was set ahead by 7200 s");
    pass(&clock, SECOND_US, -3 * SECOND_US);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ls_store_maintain(store, -1), LS_OK);
    assert_int_equal(the_lines, 2);
    assert_string_equal(the_line, "the clock was set back by 3 s");
    assert_int_equal(ls_store_close(store), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_step_back_holds_the_stamp, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_step_back_between_two_opens_holds_the_stamp, set_up, tear_down),
        cmocka_unit_test_setup_teardown(processes_with_different_clocks_keep_stamps_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_clock_that_was_once_far_ahead_does_not_freeze_stamps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_clock_that_was_once_far_behind_leaves_no_trace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wait_ends_in_time_while_the_clock_jumps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_step_back_closes_no_shard_before_its_last_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_clock_step_is_logged, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("clocks (E8)", tests, NULL, NULL);
}
