/* P6 and P9: who is alive is the kernel's word, also with children about; a handle works only in the process that
 * opened it. Whether somebody is thought alive is asked by opening with another durability, which only one who is alone
 * may do. */
#include "invariants/processes.h"

static ls_status open_with(const fixture *fx, ls_durability durability, handles *of)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_status st;

    options.durability = durability;
    st = handles_open(of, fx->path, &options, NULL);
    if (st != LS_OK)
        (void)handles_close(of); /* Half of them. */
    return st;
}

/* ---- P9 ---- */

static handles the_handles;
static ls_iterator *the_iterator;
static char the_place[256];

static void try_every_call(fixture *fx)
{
    const handles *of = &the_handles;
    ls_put_entry entry = {{"key", 3}, {"data", 4}, NULL};
    ls_put_result result;
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    ls_iterator *iterator = NULL;
    ls_stream_list *list = NULL;
    ls_stream_description *description = NULL;
    const ls_batch *batch = NULL;
    ls_position position = {.kind = LS_TRIM_HORIZON};
    size_t failed;
    int32_t fd;

    child_check(ls_store_sync(of->store) == LS_ERR_STATE);
    child_check(ls_store_maintain(of->store, -1) == LS_ERR_STATE);
    child_check(ls_store_list_streams(of->store, NULL, 0, &list) == LS_ERR_STATE && list == NULL);
    child_check(ls_stream_create(of->store, "other", NULL) == LS_ERR_STATE);
    child_check(ls_stream_delete(of->store, STREAM) == LS_ERR_STATE);
    child_check(ls_stream_open(of->store, STREAM, &stream) == LS_ERR_STATE && stream == NULL);
    child_check(ls_stream_describe(of->stream, &description) == LS_ERR_STATE && description == NULL);
    child_check(ls_stream_reset_shard(of->stream, 0) == LS_ERR_STATE);
    child_check(ls_producer_open(of->stream, NULL, &producer) == LS_ERR_STATE && producer == NULL);
    child_check(put_text(of, "child", NULL) == LS_ERR_STATE);
    child_check(ls_producer_put_batch(of->producer, &entry, 1, NULL, &result, &failed) == LS_ERR_STATE);
    child_check(ls_iterator_open(of->stream, 0, NULL, NULL, &iterator) == LS_ERR_STATE && iterator == NULL);
    child_check(ls_iterator_open_all(of->stream, NULL, NULL, &iterator) == LS_ERR_STATE && iterator == NULL);
    child_check(ls_iterator_open_place(of->stream, the_place, NULL, &iterator) == LS_ERR_STATE && iterator == NULL);
    child_check(ls_iterator_next(the_iterator, NULL, &batch) == LS_ERR_STATE);
    child_check(ls_iterator_seek(the_iterator, &position) == LS_ERR_STATE);
    child_check(ls_iterator_event_fd(the_iterator, &fd) == LS_ERR_STATE);
    ls_iterator_cancel(the_iterator); /* Says nothing, and touches nothing of the parent's. */
    (void)fx;
}

static void try_every_call_and_close(fixture *fx)
{
    try_every_call(fx);
    ls_iterator_close(the_iterator);
    child_check(handles_close(&the_handles) == LS_OK);
}

/* Having a store of its own is the child's right, also before it closed what it inherited. */
static void open_anew_and_put(fixture *fx)
{
    handles own;

    child_check(handles_open(&own, fx->path, NULL, NULL) == LS_OK);
    child_check(put_text(&own, "child", NULL) == LS_OK);
    child_check(put_text(&the_handles, "child", NULL) == LS_ERR_STATE);
    child_check(handles_close(&the_handles) == LS_OK);
    child_check(put_text(&own, "child", NULL) == LS_OK);
    child_check(handles_close(&own) == LS_OK);
}

static void change_durability(fixture *fx)
{
    handles of;

    child_check(open_with(fx, LS_DURABILITY_KERNEL, &of) == LS_ERR_STATE);
}

static void a_handle_does_not_work_in_a_fork_child(void **state)
{
    fixture *fx = *state;
    const ls_batch *batch;
    ls_next_options next = LS_NEXT_OPTIONS_INIT;

    assert_int_equal(handles_open(&the_handles, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(put_text(&the_handles, "parent", NULL), LS_OK);
    assert_int_equal(ls_iterator_open(the_handles.stream, 0, NULL, NULL, &the_iterator), LS_OK);
    assert_int_equal(ls_iterator_place(the_iterator, the_place, sizeof the_place, NULL), LS_OK);
    child_ends_well(child_start(try_every_call, fx));
    child_ends_well(child_start(try_every_call_and_close, fx));

    /* The parent goes on as if nothing had been: all handles work, and it still counts as alive. */
    assert_int_equal(put_text(&the_handles, "parent", NULL), LS_OK);
    assert_int_equal(ls_iterator_next(the_iterator, &next, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 2);
    child_ends_well(child_start(change_durability, fx));
    assert_int_equal(ls_store_sync(the_handles.store), LS_OK);
    ls_iterator_close(the_iterator);
    assert_int_equal(handles_close(&the_handles), LS_OK);
}

/* The thread that serves an event descriptor does not exist in the child, where closing must not wait for it. */
static void an_iterator_with_an_event_descriptor_is_closed_in_a_child(void **state)
{
    fixture *fx = *state;
    int32_t fd;

    assert_int_equal(handles_open(&the_handles, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(ls_iterator_open(the_handles.stream, 0, NULL, NULL, &the_iterator), LS_OK);
    assert_int_equal(ls_iterator_place(the_iterator, the_place, sizeof the_place, NULL), LS_OK);
    assert_int_equal(ls_iterator_event_fd(the_iterator, &fd), LS_OK);
    child_ends_well(child_start(try_every_call_and_close, fx));
    ls_iterator_close(the_iterator);
    assert_int_equal(handles_close(&the_handles), LS_OK);
}

static void a_child_opens_the_store_for_itself(void **state)
{
    fixture *fx = *state;

    for (int mode = LS_DURABILITY_KERNEL; mode <= LS_DURABILITY_SYNC; mode++) {
        assert_int_equal(open_with(fx, mode, &the_handles), LS_OK); /* INTERVAL has a thread. */
        assert_int_equal(put_text(&the_handles, "parent", NULL), LS_OK);
        child_ends_well(child_start(open_anew_and_put, fx));
        assert_int_equal(put_text(&the_handles, "parent", NULL), LS_OK);
        assert_int_equal(count_readable(the_handles.stream), 4 * (mode - LS_DURABILITY_KERNEL + 1));
        assert_int_equal(handles_close(&the_handles), LS_OK);
    }
}

static void a_memory_store_does_not_work_in_a_fork_child(void **state)
{
    fixture *fx = *state;

    assert_int_equal(handles_open(&the_handles, "memory:", NULL, NULL), LS_OK);
    assert_int_equal(put_text(&the_handles, "parent", NULL), LS_OK);
    assert_int_equal(ls_iterator_open(the_handles.stream, 0, NULL, NULL, &the_iterator), LS_OK);
    assert_int_equal(ls_iterator_place(the_iterator, the_place, sizeof the_place, NULL), LS_OK);
    child_ends_well(child_start(try_every_call_and_close, fx));
    assert_int_equal(put_text(&the_handles, "parent", NULL), LS_OK);
    assert_int_equal(count_readable(the_handles.stream), 2);
    ls_iterator_close(the_iterator);
    assert_int_equal(handles_close(&the_handles), LS_OK);
}

/* ---- P6 ---- */

static void open_and_sleep(fixture *fx)
{
    handles of;

    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    atomic_store(&fx->share->ready, 1);
    for (;;)
        (void)pause();
}

static void sleep_only(fixture *fx)
{
    atomic_fetch_add(&fx->share->ready, 1);
    for (;;)
        (void)pause();
}

static void run_another_program(fixture *fx)
{
    atomic_fetch_add(&fx->share->ready, 1); /* It has given up what it inherited before fork returned in it. */
    (void)execlp("sleep", "sleep", "60", (char *)NULL);
    _exit(127);
}

static void a_killed_process_is_known_to_be_dead(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t pid = child_start(open_and_sleep, fx);

    await(&fx->share->ready, 1);
    assert_int_equal(open_with(fx, LS_DURABILITY_KERNEL, &of), LS_ERR_STATE);
    assert_int_equal(kill(pid, SIGSTOP), 0); /* Stopped is alive. */
    assert_int_equal(open_with(fx, LS_DURABILITY_KERNEL, &of), LS_ERR_STATE);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_true(WIFSIGNALED(child_end(pid)));
    assert_int_equal(open_with(fx, LS_DURABILITY_KERNEL, &of), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* A child that never touches the library, and a program it becomes, keep nothing alive: neither the store that its
 * parent closed, nor one whose owner is dead. */
static void a_child_does_not_keep_its_parents_store_open(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t pids[2];

    assert_int_equal(open_with(fx, LS_DURABILITY_SYNC, &the_handles), LS_OK);
    pids[0] = child_start(sleep_only, fx);
    pids[1] = child_start(run_another_program, fx);
    await(&fx->share->ready, 2);
    assert_int_equal(handles_close(&the_handles), LS_OK);
    assert_int_equal(open_with(fx, LS_DURABILITY_KERNEL, &of), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kill(pids[i], SIGKILL), 0);
        (void)child_end(pids[i]);
    }
}

/* The program forks a worker just when another of its threads has made so many of what changes the disk; then it is
 * killed. The worker has children of its own, and lives on. */
static hooked_files the_files;
static int the_countdown;

static int fork_and_die(void *user, const hook_event *event)
{
    (void)user;
    if (event->target == HOOK_CONTROL || the_countdown-- != 0)
        return 0;
    if (fork() == 0) {
        int status;
        pid_t grandchild = fork();

        if (grandchild == 0)
            _exit(0);
        child_check(waitpid(grandchild, &status, 0) == grandchild && status == 0);
        atomic_store(&the_fixture.share->ready, (uint32_t)getpid());
        (void)alarm(60); /* When the test has failed nobody ends him. */
        for (;;)
            (void)pause();
    }
    await(&the_fixture.share->ready, 1);
    (void)raise(SIGKILL);
    return 0;
}

static void make_until_killed(fixture *fx)
{
    handles of;

    hooked_files_init(&the_files, fork_and_die, NULL, NULL);
    child_check(handles_open(&of, fx->path, NULL, &the_files) == LS_OK);
    child_check(handles_close(&of) == LS_OK);
}

/* P6, P1: at each step of making a store and a stream, which take locks of their own, the kernel knows that the maker
 * is dead although a child of his lives, and whoever comes next is not stopped. */
static void a_child_does_not_keep_what_its_parent_was_making(void **state)
{
    fixture *fx = *state;
    int count = 0;

    for (bool killed = true; killed; count++) {
        ls_store_options options = LS_STORE_OPTIONS_INIT;
        handles of;
        int64_t from;
        pid_t pid;

        tear_down(state);
        set_up(state);
        fx = *state;
        the_countdown = count;
        atomic_store(&fx->share->ready, 0);
        pid = child_start(make_until_killed, fx);
        killed = WIFSIGNALED(child_end(pid));
        options.busy_timeout_ms = 10000;
        from = now_ms();
        assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
        assert_int_equal(put_text(&of, "next", NULL), LS_OK);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
        assert_true(now_ms() - from < 8000); /* He did not wait for the time to be over. */
        assert_int_equal(handles_close(&of), LS_OK);
        if (killed) {
            pid = (pid_t)atomic_load(&fx->share->ready);
            assert_int_equal(kill(pid, SIGKILL), 0);
        }
        assert_true(count < 200);
    }
    assert_true(count > 10);
}

/* Two opens in one process are two, also for the kernel (POSIX record locks would be one), and closing one of them
 * takes nothing from the other. */
static void two_opens_in_one_process_are_two(void **state)
{
    fixture *fx = *state;
    handles first, second, other;

    assert_int_equal(open_with(fx, LS_DURABILITY_SYNC, &first), LS_OK);
    assert_int_equal(open_with(fx, LS_DURABILITY_SYNC, &second), LS_OK);
    assert_int_equal(open_with(fx, LS_DURABILITY_KERNEL, &other), LS_ERR_STATE);
    assert_int_equal(handles_close(&first), LS_OK);
    assert_int_equal(open_with(fx, LS_DURABILITY_KERNEL, &other), LS_ERR_STATE);
    child_ends_well(child_start(change_durability, fx));
    assert_int_equal(put_text(&second, "second", NULL), LS_OK);
    assert_int_equal(handles_close(&second), LS_OK);
    assert_int_equal(open_with(fx, LS_DURABILITY_KERNEL, &other), LS_OK);
    assert_int_equal(handles_close(&other), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_handle_does_not_work_in_a_fork_child, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_iterator_with_an_event_descriptor_is_closed_in_a_child, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_child_opens_the_store_for_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_memory_store_does_not_work_in_a_fork_child, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_killed_process_is_known_to_be_dead, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_child_does_not_keep_its_parents_store_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_child_does_not_keep_what_its_parent_was_making, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_opens_in_one_process_are_two, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("forks and who is alive (P6, P9)", tests, NULL, NULL);
}
