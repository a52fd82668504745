/* P4 and what waits between processes: a reader that sleeps is woken by a put of any process, whatever happens to other
 * sleepers; the deletion of its stream ends its sleep. */
#include <errno.h>
#include <poll.h>

#include "invariants/processes.h"

#define ROUNDS 500
#define WAIT_MS 20000
#define SOON_MS 1000 /* P1; a wake that was lost would cost half of this on the average, so see `total` below */

static bool the_reader_is_merged;

static ls_status open_reader(const handles *of, ls_iterator **out)
{
    ls_position latest = {.kind = LS_LATEST};

    return the_reader_is_merged ? ls_iterator_open_all(of->stream, &latest, NULL, out)
                                : ls_iterator_open(of->stream, 0, &latest, NULL, out);
}

/* Reads one record after another and says of each that it came. */
static void follow(fixture *fx)
{
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    handles of;

    next.timeout_ms = WAIT_MS;
    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    child_check(open_reader(&of, &iterator) == LS_OK);
    atomic_fetch_add(&fx->share->ready, 1);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        child_check(ls_iterator_next(iterator, &next, &batch) == LS_OK);
        child_check(ls_batch_count(batch) == 1);
        atomic_fetch_add(&fx->share->stage, 1);
    }
    ls_iterator_close(iterator);
    child_check(handles_close(&of) == LS_OK);
}

static void a_sleeping_reader_is_woken_by_each_put(fixture *fx, ls_durability durability, bool merged)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of;
    pid_t pids[2];
    int64_t total = now_ms();

    options.durability = durability;
    the_reader_is_merged = merged;
    assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
    for (int i = 0; i < 2; i++)
        pids[i] = child_start(follow, fx);
    await(&fx->share->ready, 2);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        int64_t from = now_ms();

        if (i % 8 == 0)
            (void)usleep(2000); /* Now they sleep for certain; else they may be on the way to it. */
        assert_int_equal(put_text(&of, "wake", NULL), LS_OK);
        await(&fx->share->stage, 2 * (i + 1));
        assert_in_range(now_ms() - from, 0, SOON_MS);
        /* If one wake in ten were lost, and found by the bound of a sleep only, all would take 25 s. */
        assert_in_range(now_ms() - total, 0, 15000);
    }
    for (int i = 0; i < 2; i++)
        child_ends_well(pids[i]);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void a_reader_of_one_shard_is_woken_in_sync_mode(void **state)
{
    a_sleeping_reader_is_woken_by_each_put(*state, LS_DURABILITY_SYNC, false);
}

static void a_reader_of_one_shard_is_woken_in_kernel_mode(void **state)
{
    a_sleeping_reader_is_woken_by_each_put(*state, LS_DURABILITY_KERNEL, false);
}

static void a_merged_reader_is_woken_in_sync_mode(void **state)
{
    a_sleeping_reader_is_woken_by_each_put(*state, LS_DURABILITY_SYNC, true);
}

static void a_merged_reader_is_woken_in_kernel_mode(void **state)
{
    a_sleeping_reader_is_woken_by_each_put(*state, LS_DURABILITY_KERNEL, true);
}

/* A condition variable in shared memory hangs for ever once a sleeper was killed. Method: kill sleepers, again and
 * again, while others sleep; each put still returns, and still wakes. */
static void sleep_for_ever(fixture *fx)
{
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    handles of;

    next.timeout_ms = -1;
    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    child_check(open_reader(&of, &iterator) == LS_OK);
    atomic_fetch_add(&fx->share->ready, 1);
    for (;;)
        child_check(ls_iterator_next(iterator, &next, &batch) == LS_OK);
}

static void killed_sleepers_hold_up_nobody(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t follower;
    uint32_t puts = 0;

    the_reader_is_merged = false;
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    follower = child_start(follow, fx);
    await(&fx->share->ready, 1);
    for (uint32_t round = 0; round < 20; round++) {
        pid_t pids[3];
        uint32_t ready = atomic_load(&fx->share->ready);

        the_reader_is_merged = round % 2 != 0;
        for (int i = 0; i < 3; i++)
            pids[i] = child_start(sleep_for_ever, fx);
        await(&fx->share->ready, ready + 3);
        (void)usleep(1000);
        for (int i = 0; i < 3; i++) {
            int64_t from;

            assert_int_equal(kill(pids[i], SIGKILL), 0);
            from = now_ms();
            assert_int_equal(put_text(&of, "wake", NULL), LS_OK);
            puts++;
            await(&fx->share->stage, puts);
            assert_in_range(now_ms() - from, 0, SOON_MS);
            (void)child_end(pids[i]);
        }
    }
    while (puts++ < ROUNDS)
        assert_int_equal(put_text(&of, "wake", NULL), LS_OK), await(&fx->share->stage, puts);
    child_ends_well(follower);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void wait_for_deletion(fixture *fx)
{
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    handles of;

    next.timeout_ms = -1;
    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    child_check(open_reader(&of, &iterator) == LS_OK);
    atomic_fetch_add(&fx->share->ready, 1);
    child_check(ls_iterator_next(iterator, &next, &batch) == LS_ERR_NOT_FOUND);
    child_check(put_text(&of, "late", NULL) == LS_ERR_NOT_FOUND);
    ls_iterator_close(iterator);
    child_check(handles_close(&of) == LS_OK);
}

static void deleting_the_stream_ends_every_sleep(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t pids[4];
    int64_t from;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    for (int i = 0; i < 4; i++) {
        the_reader_is_merged = i % 2 != 0;
        pids[i] = child_start(wait_for_deletion, fx);
    }
    await(&fx->share->ready, 4);
    (void)usleep(20000);
    from = now_ms();
    assert_int_equal(ls_stream_delete(of.store, STREAM), LS_OK);
    for (int i = 0; i < 4; i++)
        child_ends_well(pids[i]);
    assert_in_range(now_ms() - from, 0, SOON_MS);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* The descriptor for event loops, with the producer in another process. */
static void put_each_time_it_is_asked(fixture *fx)
{
    handles of;

    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    for (uint32_t i = 0; i < 50; i++) {
        await(&fx->share->stage, i + 1);
        child_check(put_text(&of, "wake", NULL) == LS_OK);
    }
    child_check(handles_close(&of) == LS_OK);
}

static void an_event_descriptor_follows_another_process(void **state)
{
    fixture *fx = *state;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    handles of;
    struct pollfd wanted = {.events = POLLIN};
    pid_t pid;

    the_reader_is_merged = false;
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(open_reader(&of, &iterator), LS_OK);
    pid = child_start(put_each_time_it_is_asked, fx);
    assert_int_equal(ls_iterator_event_fd(iterator, &wanted.fd), LS_OK);
    for (uint32_t i = 0; i < 50; i++) {
        int64_t from = now_ms();

        atomic_store(&fx->share->stage, i + 1);
        assert_int_equal(poll(&wanted, 1, WAIT_MS), 1);
        assert_in_range(now_ms() - from, 0, SOON_MS);
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        assert_int_equal(ls_batch_count(batch), 1);
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        assert_int_equal(ls_batch_count(batch), 0);
        assert_int_equal(poll(&wanted, 1, 0), 0); /* Nothing was left. */
    }
    child_ends_well(pid);
    ls_iterator_close(iterator);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Puts when the other one waits for certain, and says when it had. */
static void put_soon(fixture *fx)
{
    handles of;

    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    (void)usleep(20000);
    child_check(put_text(&of, "soon", NULL) == LS_OK);
    atomic_store(&fx->share->calls, (uint64_t)now_ms());
    child_check(handles_close(&of) == LS_OK);
}

static int (*open_before)(const lsi_root *root, const char *name, unsigned flags, lsi_file *out);

static int control_to_read_only(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    if (strstr(name, "control") != NULL && (flags & LSI_OPEN_WRITE) != 0)
        return -EACCES;
    return open_before(root, name, flags, out);
}

/* Who may not say that he waits is woken by nobody, and looks again every 50 ms (store.h, READ_ONLY). Method: the
 * shortest of some waits, for one that comes back after half a second or more each time. */
static void who_may_only_read_the_control_file_looks_again_soon(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    hooked_files files;
    ls_store *reader = NULL;
    ls_stream *stream = NULL;
    int64_t shortest = INT64_MAX;
    handles of;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(put_text(&of, "first", NULL), LS_OK);
    hooked_files_init(&files, NULL, NULL, NULL);
    open_before = files.table.open;
    files.table.open = control_to_read_only;
    options.flags = LS_STORE_READ_ONLY;
    next.timeout_ms = WAIT_MS;
    assert_int_equal(open_hooked(fx->path, &options, &files, &reader), LS_OK);
    assert_int_equal(ls_stream_open(reader, STREAM, &stream), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, &next, &batch), LS_OK);
    for (int i = 0; i < 8; i++) {
        int64_t from;
        pid_t pid;

        pid = child_start(put_soon, fx);
        assert_int_equal(ls_iterator_next(iterator, &next, &batch), LS_OK);
        from = now_ms();
        assert_int_equal(ls_batch_count(batch), 1);
        from -= (int64_t)atomic_load(&fx->share->calls);
        shortest = from < shortest ? from : shortest;
        child_ends_well(pid);
    }
    assert_true(shortest < 200);
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(reader), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_reader_of_one_shard_is_woken_in_sync_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_of_one_shard_is_woken_in_kernel_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_merged_reader_is_woken_in_sync_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_merged_reader_is_woken_in_kernel_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(killed_sleepers_hold_up_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deleting_the_stream_ends_every_sleep, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_may_only_read_the_control_file_looks_again_soon, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_event_descriptor_follows_another_process, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("sleeping and waking (P4)", tests, NULL, NULL);
}
