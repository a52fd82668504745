/* The limits of a provisioned stream hold for all processes together, and survive those that are killed.
 *
 * Time is a word in shared memory that the test moves, so what may go in is exact however busy the machine is; one test
 * with real time shows that the real clock is one for all processes. */
#include "invariants/processes.h"

#include <signal.h>

#include "base/env.h"

#define PROCESSES 4
#define STEP_MS 10
#define STEPS 100
#define RATE 1000

static int64_t shared_monotonic_us(void *user)
{
    return (int64_t)atomic_load(&((fixture *)user)->share->calls);
}

static int64_t real_wall_us(void *user)
{
    (void)user;
    return lsi_wall_us(&lsi_clock_system);
}

static void open_limited(fixture *fx, handles *of, bool real_time)
{
    ls_stream_options stream = LS_STREAM_OPTIONS_INIT;
    ls_store_options store = LS_STORE_OPTIONS_INIT;
    ls_status st;
    lsi_env env;

    memset(of, 0, sizeof *of);
    store.durability = LS_DURABILITY_KERNEL;
    stream.mode = LS_STREAM_PROVISIONED;
    lsi_env_default(&env);
    if (!real_time)
        env.clock = (lsi_clock){real_wall_us, shared_monotonic_us, fx, NULL};
    child_check(lsi_store_open_env(fx->path, &store, &env, &of->store) == LS_OK);
    st = ls_stream_create(of->store, STREAM, &stream);
    child_check(st == LS_OK || st == LS_ERR_EXISTS);
    child_check(ls_stream_open(of->store, STREAM, &of->stream) == LS_OK);
    child_check(ls_producer_open(of->stream, NULL, &of->producer) == LS_OK);
}

/* Puts as much as it may at each moment, then says so. */
static void fill_each_moment(fixture *fx)
{
    uint64_t seen = 0;
    handles of;

    open_limited(fx, &of, false);
    while (atomic_load(&fx->share->release) == 0) {
        uint64_t now = atomic_load(&fx->share->calls);
        ls_status st;

        if (now == seen) {
            (void)usleep(100);
            continue;
        }
        seen = now;
        do {
            st = put_text(&of, "x", NULL);
            if (st == LS_OK)
                atomic_fetch_add(&fx->share->acknowledged, 1);
        } while (st == LS_OK);
        child_check(st == LS_ERR_THROTTLED);
        atomic_fetch_add(&fx->share->ready, 1);
    }
    child_check(handles_close(&of) == LS_OK);
}

static void begin_time(fixture *fx)
{
    atomic_store(&fx->share->calls, UINT64_C(5000000000));
}

static void all_processes_together_keep_the_limit_exactly(void **state)
{
    fixture *fx = *state;
    pid_t pids[PROCESSES];
    handles of;

    begin_time(fx);
    open_limited(fx, &of, false);
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = child_start(fill_each_moment, fx);
    for (uint32_t step = 0; step < STEPS; step++) {
        await(&fx->share->ready, PROCESSES * (step + 1));
        assert_int_equal(atomic_load(&fx->share->acknowledged), RATE + step * STEP_MS * RATE / 1000);
        if (step == STEPS - 1)
            atomic_store(&fx->share->release, 1);
        atomic_fetch_add(&fx->share->calls, STEP_MS * 1000);
    }
    for (int i = 0; i < PROCESSES; i++)
        child_ends_well(pids[i]);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Goal: a death costs at most what was under way, and hands out nothing. */
static void a_killed_process_leaves_the_budget_usable(void **state)
{
    uint64_t allowed = RATE, lost = 0;
    fixture *fx = *state;
    handles of;

    begin_time(fx);
    open_limited(fx, &of, false);
    for (uint32_t round = 0; round < 20; round++) {
        pid_t pid = child_start(fill_each_moment, fx);
        size_t stored = 0;

        (void)usleep(200 * (round % 10)); /* somewhere on its way */
        (void)kill(pid, SIGKILL);
        (void)child_end(pid);
        lost++;
        while (put_text(&of, "y", NULL) == LS_OK)
            stored++;
        assert_int_equal(ls_last_error_status(), LS_ERR_THROTTLED);
        assert_in_range(ls_last_error_retry_after_ms(), 1, 1);
        atomic_fetch_add(&fx->share->calls, 500000);
        if (round < 19)
            allowed += RATE / 2;
    }
    assert_in_range(count_readable(of.stream), allowed - lost, allowed);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* Waits as it is told to, for as long as it may. */
static void put_for_a_while(fixture *fx)
{
    int64_t end;
    handles of;

    open_limited(fx, &of, true);
    atomic_fetch_add(&fx->share->ready, 1);
    await(&fx->share->stage, 1);
    end = now_ms() + 1500;
    while (now_ms() < end) {
        ls_status st = put_text(&of, "x", NULL);

        if (st == LS_OK) {
            atomic_fetch_add(&fx->share->acknowledged, 1);
        } else {
            child_check(st == LS_ERR_THROTTLED && ls_last_error_retry_after_ms() > 0);
            (void)usleep(1000 * ls_last_error_retry_after_ms());
        }
    }
    child_check(handles_close(&of) == LS_OK);
}

/* Above, the bound is exact; below, half of it, for the processes must get to run. */
static void real_time_is_the_same_for_all_processes(void **state)
{
    fixture *fx = *state;
    pid_t pids[PROCESSES];
    uint64_t stored, most;
    int64_t from, took;
    handles of;

    open_limited(fx, &of, true);
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = child_start(put_for_a_while, fx);
    await(&fx->share->ready, PROCESSES);
    from = now_ms();
    atomic_store(&fx->share->stage, 1);
    for (int i = 0; i < PROCESSES; i++)
        child_ends_well(pids[i]);
    took = now_ms() - from + 1;
    stored = atomic_load(&fx->share->acknowledged);
    most = RATE + (uint64_t)took * RATE / 1000;
    printf("%d processes stored %llu records in %lld ms, %llu were allowed\n", PROCESSES, (unsigned long long)stored,
           (long long)took, (unsigned long long)most);
    assert_in_range(stored, (RATE + 1500 * RATE / 1000) / 2, most);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* As above, of reads. */
static void read_each_moment(fixture *fx)
{
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    uint64_t seen = 0;
    handles of;

    open_limited(fx, &of, false);
    child_check(ls_iterator_open(of.stream, 0, NULL, NULL, &iterator) == LS_OK);
    while (atomic_load(&fx->share->release) == 0) {
        uint64_t now = atomic_load(&fx->share->calls);
        ls_status st;

        if (now == seen) {
            (void)usleep(100);
            continue;
        }
        seen = now;
        while ((st = ls_iterator_next(iterator, NULL, &batch)) == LS_OK)
            atomic_fetch_add(&fx->share->acknowledged, 1);
        child_check(st == LS_ERR_THROTTLED);
        atomic_fetch_add(&fx->share->ready, 1);
    }
    ls_iterator_close(iterator);
    child_check(handles_close(&of) == LS_OK);
}

static void all_readers_together_keep_the_limit_exactly(void **state)
{
    fixture *fx = *state;
    pid_t pids[PROCESSES];
    handles of;

    begin_time(fx);
    open_limited(fx, &of, false);
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = child_start(read_each_moment, fx);
    for (uint32_t step = 0; step < STEPS; step++) {
        await(&fx->share->ready, PROCESSES * (step + 1));
        assert_int_equal(atomic_load(&fx->share->acknowledged), 5 + step / 2); /* steps of 100 ms, one read in 200 */
        if (step == STEPS - 1)
            atomic_store(&fx->share->release, 1);
        atomic_fetch_add(&fx->share->calls, 100000);
    }
    for (int i = 0; i < PROCESSES; i++)
        child_ends_well(pids[i]);
    assert_int_equal(handles_close(&of), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_processes_together_keep_the_limit_exactly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_killed_process_leaves_the_budget_usable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(real_time_is_the_same_for_all_processes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_readers_together_keep_the_limit_exactly, set_up, tear_down),
    };

    (void)count_text;
    (void)child_stops;
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
