/* P1 to P3: a process that dies in a lock delays nobody for more than a second, at whatever call it dies; one that is
 * stopped in a lock is waited for, and no longer than busy_timeout_ms. */
#include <sched.h>

#include <libstream/unstable/inspect.h>

#include "invariants/dying.h"

#define BUSY_MS 300
#define RECORDS 13
#define DATA_BYTES 6000 /* so that RECORDS of them roll a segment of 64 KiB */

/* What `lstream status` shows of the stream's one shard. */
static void note_shard(const ls_inspect_shard *shard, void *user)
{
    *(ls_inspect_shard *)user = *shard;
}

static ls_inspect_shard shown(const fixture *fx)
{
    ls_inspect_callbacks callbacks = LS_INSPECT_CALLBACKS_INIT;
    ls_inspect_shard shard = {.size = 0};

    callbacks.shard = note_shard;
    assert_int_equal(ls_inspect_status(fx->path, &callbacks, &shard), LS_OK);
    return shard;
}

/* ---- P1 ---- */

static void small_segments(ls_store_options *options, ls_durability durability)
{
    options->segment_bytes = 64u << 10;
    options->durability = durability;
}

static ls_durability the_durability;
static int told_deaths; /* lines of the parent's log */

static void note_death(void *user, int32_t level, const char *line)
{
    (void)user;
    told_deaths += level == LS_LOG_WARNING && strstr(line, "a process died while it wrote") != NULL;
}

/* Makes what is missing, and puts until it is killed. */
static void put_and_die(fixture *fx)
{
    static char data[DATA_BYTES];
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of;

    small_segments(&options, the_durability);
    hooked_files_init(&the_plan.files, die_before, die_behind, &the_plan);
    the_plan.armed = true;
    child_check(handles_open(&of, fx->path, &options, &the_plan.files) == LS_OK);
    memset(data, 'x', sizeof data);
    for (int i = 0; i < RECORDS; i++) {
        child_check(ls_producer_put(of.producer, (ls_bytes){"child", 5}, (ls_bytes){data, sizeof data}, NULL, NULL) ==
                    LS_OK);
        atomic_fetch_add(&fx->share->acknowledged, 1);
    }
    child_check(handles_close(&of) == LS_OK);
}

/* A process dies at its 1st, 2nd, ... Nth call that changes the disk, until one comes through. `beside`: another has
 * the store open all the time and puts after each death; else everybody is gone, and the store is opened anew. */
static void walk(fixture *fx, ls_durability durability, int where, bool beside)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of;
    uint64_t own = 0;
    int64_t calls = 0;
    int status = 1;

    small_segments(&options, durability);
    options.log = note_death;
    told_deaths = 0;
    the_durability = durability;
    atomic_store(&fx->share->acknowledged, 0);
    if (beside)
        assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
    for (; status != 0; calls++) {
        the_plan.countdown = calls;
        the_plan.where = where;
        status = child_end(child_start(put_and_die, fx));
        assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        int64_t from = now_ms();
        if (!beside)
            assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
        assert_int_equal(put_text(&of, "parent", NULL), LS_OK);
        own++;
        assert_in_range(now_ms() - from, 0, 1000);
        if (!beside)
            assert_int_equal(handles_close(&of), LS_OK);
        assert_true(calls < 2000);
    }
    assert_true(calls > 20);
    if (beside && where == 2) /* Who goes on behind half a write says so (store.h, LS_LOG_WARNING). */
        assert_true(told_deaths > 0 && shown(fx).torn_count > 0);
    if (!beside)
        assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
    /* All that was acknowledged is there; of each dead one at most the put it died in besides. */
    size_t have = count_readable(of.stream);
    uint64_t acknowledged = atomic_load(&fx->share->acknowledged) + own;
    assert_in_range(have, acknowledged, acknowledged + (uint64_t)calls);
    assert_int_equal(count_text(of.stream, "parent"), own);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void a_death_at_any_call_delays_nobody_and_loses_nothing(void **state)
{
    for (int where = 0; where < 3; where++) {
        walk(*state, LS_DURABILITY_SYNC, where, true);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

static void a_death_at_any_call_delays_nobody_in_kernel_mode(void **state)
{
    for (int where = 0; where < 3; where++) {
        walk(*state, LS_DURABILITY_KERNEL, where, true);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

/* From making the store on: the first child finds nothing. */
static void a_store_can_be_opened_after_a_death_at_any_call(void **state)
{
    for (int where = 0; where < 3; where++) {
        walk(*state, LS_DURABILITY_SYNC, where, false);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

/* The promise of lock.h: a lock that is not robust would never be free again. Method: die in the middle of a write
 * while others already wait. */
static void several_who_wait_all_go_on_after_a_death(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of;

    small_segments(&options, LS_DURABILITY_SYNC);
    assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
    the_durability = LS_DURABILITY_SYNC;
    int killed = 0;
    for (int round = 0; round < 10; round++) {
        pid_t pids[4];

        for (int i = 0; i < 4; i++) {
            the_plan.countdown = i == 0 ? 8 + round : -1;
            the_plan.where = 2;
            pids[i] = child_start(put_and_die, fx);
        }
        int64_t from = now_ms();
        /* Others may sync for it, so that it has too few calls of its own to die in. */
        int status = child_end(pids[0]);
        assert_true(status == 0 || WIFSIGNALED(status));
        killed += status != 0;
        for (int i = 1; i < 4; i++)
            child_ends_well(pids[i]);
        assert_in_range(now_ms() - from, 0, 5000);
    }
    assert_true(killed >= 5);
}

/* ---- P3 ---- */

/* Runs as process 2 of a PID namespace of its own; ends with 99 when that was killed. */
static void run_in_namespace(fixture *fx, void (*run)(fixture *fx))
{
    int status = 0;
    pid_t pid;

    if (unshare(CLONE_NEWPID) != 0)
        _exit(77);
    pid = fork();
    if (pid == 0) { /* Process 1, which signals from inside do not reach. */
        pid = fork();
        if (pid == 0) {
            (void)alarm(CHILD_ALARM_S);
            run(fx);
            _exit(0);
        }
        (void)waitpid(pid, &status, 0);
        _exit(WIFSIGNALED(status) ? 99 : WEXITSTATUS(status));
    }
    (void)waitpid(pid, &status, 0);
    _exit(WEXITSTATUS(status));
}

static void put_in_a_namespace(fixture *fx)
{
    run_in_namespace(fx, put_and_die);
}

/* Containers that share a directory: the owner in a lock's word is a number that means another process elsewhere.
 * Method: two processes with the same number in two namespaces contend; then one of them dies in the lock, at one call
 * after another. */
static void processes_of_two_pid_namespaces_share_a_store(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of;

    small_segments(&options, LS_DURABILITY_SYNC);
    the_durability = LS_DURABILITY_SYNC;
    assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
    the_plan.where = 2;
    for (int round = 0; round < 12; round++) {
        pid_t pids[2];
        int status;

        for (int i = 0; i < 2; i++) {
            the_plan.countdown = i == 0 && round > 0 ? round : -1; /* Of 13 writes at least. */
            pids[i] = child_start(put_in_a_namespace, fx);
        }
        int64_t from = now_ms();
        status = child_end(pids[0]);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
            (void)child_end(pids[1]);
            assert_int_equal(handles_close(&of), LS_OK);
            skip();
        }
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), round > 0 ? 99 : 0);
        child_ends_well(pids[1]);
        assert_int_equal(put_text(&of, "parent", NULL), LS_OK);
        assert_in_range(now_ms() - from, 0, 4000);
    }
    size_t have = count_readable(of.stream);
    uint64_t acknowledged = atomic_load(&fx->share->acknowledged) + 12;
    assert_in_range(have, acknowledged, acknowledged + 12);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- P2 ---- */

static int stop_before(void *user, const hook_event *event)
{
    plan *of = user;

    if (of->armed && event->call == of->call && event->target == of->target) {
        of->armed = false;
        (void)raise(SIGSTOP);
    }
    return 0;
}

static void put_and_stop(fixture *fx)
{
    handles of;

    hooked_files_init(&the_plan.files, stop_before, NULL, &the_plan);
    the_plan.armed = false;
    child_check(handles_open(&of, fx->path, NULL, &the_plan.files) == LS_OK);
    child_check(put_text(&of, "before", NULL) == LS_OK);
    the_plan.armed = true;
    child_check(put_text(&of, "stopped", NULL) == LS_OK);
    child_check(!the_plan.armed);
    child_check(handles_close(&of) == LS_OK);
}

static void open_busy(handles *of, const fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.busy_timeout_ms = BUSY_MS;
    assert_int_equal(handles_open(of, fx->path, &options, NULL), LS_OK);
}

static void a_stopped_holder_is_waited_for_and_no_longer_than_asked(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t pid;
    int64_t from;

    open_busy(&of, fx);
    assert_int_equal(put_text(&of, "first", NULL), LS_OK);
    the_plan.call = HOOK_WRITE;
    the_plan.target = HOOK_SEGMENT;
    pid = child_start(put_and_stop, fx);
    child_stops(pid);
    assert_int_equal(shown(fx).append_lock_holder, pid);
    for (int i = 0; i < 3; i++) { /* The lock is never stolen, however often one asks. */
        from = now_ms();
        assert_int_equal(put_text(&of, "refused", NULL), LS_ERR_BUSY);
        assert_in_range(now_ms() - from, BUSY_MS - 20, BUSY_MS + 700);
    }
    assert_int_equal(count_readable(of.stream), 2); /* Readers need no lock. */
    assert_int_equal(kill(pid, SIGCONT), 0);
    child_ends_well(pid);
    assert_int_equal(shown(fx).append_lock_holder, 0);
    assert_int_equal(put_text(&of, "last", NULL), LS_OK);
    assert_int_equal(count_readable(of.stream), 4);
    assert_int_equal(count_text(of.stream, "stopped"), 1);
    assert_int_equal(count_text(of.stream, "refused"), 0);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void a_stopped_holder_that_is_killed_then_delays_nobody(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t pid;
    int64_t from;

    open_busy(&of, fx);
    the_plan.call = HOOK_WRITE;
    the_plan.target = HOOK_SEGMENT;
    pid = child_start(put_and_stop, fx);
    child_stops(pid);
    assert_int_equal(put_text(&of, "refused", NULL), LS_ERR_BUSY);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_true(WIFSIGNALED(child_end(pid)));
    from = now_ms();
    assert_int_equal(put_text(&of, "last", NULL), LS_OK);
    assert_in_range(now_ms() - from, 0, 1000);
    assert_int_equal(count_text(of.stream, "before"), 1);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* One who was stopped while it synced holds no lock that a put needs: others sync by themselves. */
static void a_process_stopped_in_a_sync_does_not_stop_others(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t pid;
    int64_t from;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    the_plan.call = HOOK_SYNC;
    the_plan.target = HOOK_SEGMENT;
    pid = child_start(put_and_stop, fx);
    child_stops(pid);
    assert_int_equal(shown(fx).sync_lock_holder, pid);
    from = now_ms();
    assert_int_equal(put_text(&of, "beside", NULL), LS_OK);
    assert_in_range(now_ms() - from, 0, 2500);
    assert_int_equal(count_text(of.stream, "beside"), 1);
    assert_int_equal(kill(pid, SIGCONT), 0);
    child_ends_well(pid);
    assert_int_equal(count_readable(of.stream), 3);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* busy_timeout_ms bounds this wait too, when it is shorter than the second that a follower waits otherwise. */
static void a_process_stopped_in_a_sync_is_waited_for_no_longer_than_asked(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of;
    pid_t pid;
    int64_t from;

    options.busy_timeout_ms = 100;
    assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
    the_plan.call = HOOK_SYNC;
    the_plan.target = HOOK_SEGMENT;
    pid = child_start(put_and_stop, fx);
    child_stops(pid);
    from = now_ms();
    assert_int_equal(put_text(&of, "beside", NULL), LS_OK);
    assert_in_range(now_ms() - from, 0, 700);
    assert_int_equal(kill(pid, SIGCONT), 0);
    child_ends_well(pid);
    assert_int_equal(count_readable(of.stream), 3);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void create_and_stop(fixture *fx)
{
    handles of;

    hooked_files_init(&the_plan.files, stop_before, NULL, &the_plan);
    the_plan.armed = false;
    child_check(handles_open(&of, fx->path, NULL, &the_plan.files) == LS_OK);
    the_plan.armed = true;
    child_check(ls_stream_create(of.store, "another", NULL) == LS_OK);
    child_check(!the_plan.armed);
    child_check(handles_close(&of) == LS_OK);
}

/* The store lock is held when a stream's id is chosen and while the manifest is replaced: creating waits, putting to
 * open streams does not. (In between, where the time goes: test_creating.c.) */
static void a_stopped_creator_stops_creating_and_nothing_else(void **state)
{
    fixture *fx = *state;
    handles of;
    pid_t pid;
    int64_t from;

    open_busy(&of, fx);
    assert_int_equal(put_text(&of, "first", NULL), LS_OK);
    the_plan.call = HOOK_RENAME;
    the_plan.target = HOOK_OTHER;
    pid = child_start(create_and_stop, fx);
    child_stops(pid);
    /* The child is stopped at its first rename, when it looks for what is left under its stream's id. */
    from = now_ms();
    assert_int_equal(ls_stream_create(of.store, "third", NULL), LS_ERR_BUSY);
    assert_in_range(now_ms() - from, BUSY_MS - 20, BUSY_MS + 700);
    assert_int_equal(put_text(&of, "second", NULL), LS_OK);
    assert_int_equal(count_readable(of.stream), 2);
    assert_int_equal(kill(pid, SIGCONT), 0);
    child_ends_well(pid);
    assert_int_equal(ls_stream_create(of.store, "third", NULL), LS_OK);
    assert_int_equal(ls_stream_create(of.store, "another", NULL), LS_ERR_EXISTS);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void make_and_stop(fixture *fx)
{
    handles of;

    hooked_files_init(&the_plan.files, stop_before, NULL, &the_plan);
    the_plan.armed = true;
    child_check(handles_open(&of, fx->path, NULL, &the_plan.files) == LS_OK);
    child_check(!the_plan.armed);
    child_check(handles_close(&of) == LS_OK);
}

/* Who makes a store holds the gate: others cannot open it meanwhile, and are told so in time. */
static void a_stopped_maker_of_a_store_makes_opening_busy(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;
    pid_t pid;
    int64_t from;

    options.busy_timeout_ms = BUSY_MS;
    the_plan.call = HOOK_RENAME;
    the_plan.target = HOOK_OTHER;
    pid = child_start(make_and_stop, fx);
    child_stops(pid);
    from = now_ms();
    assert_int_equal(ls_store_open(fx->path, &options, &store), LS_ERR_BUSY);
    assert_null(store);
    assert_in_range(now_ms() - from, BUSY_MS - 20, BUSY_MS + 700);
    assert_int_equal(kill(pid, SIGCONT), 0);
    child_ends_well(pid);
    assert_int_equal(ls_store_open(fx->path, &options, &store), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_death_at_any_call_delays_nobody_and_loses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_death_at_any_call_delays_nobody_in_kernel_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_store_can_be_opened_after_a_death_at_any_call, set_up, tear_down),
        cmocka_unit_test_setup_teardown(several_who_wait_all_go_on_after_a_death, set_up, tear_down),
        cmocka_unit_test_setup_teardown(processes_of_two_pid_namespaces_share_a_store, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stopped_holder_is_waited_for_and_no_longer_than_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stopped_holder_that_is_killed_then_delays_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_process_stopped_in_a_sync_does_not_stop_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_process_stopped_in_a_sync_is_waited_for_no_longer_than_asked, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_stopped_creator_stops_creating_and_nothing_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stopped_maker_of_a_store_makes_opening_busy, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("holders of locks that die or stop (P1, P2, P3)", tests, NULL, NULL);
}
