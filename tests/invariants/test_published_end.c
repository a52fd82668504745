/* P7, D3, D5 and O2 between processes: readers never pass the published end, nobody reads in SYNC what a crash can take
 * back, one sync serves many, and what returned before something was called comes before it. */
#include "invariants/processes.h"

typedef struct plan {
    hooked_files files;
    hook_call call;
    fixture *fx;
    bool armed;
} plan;

static plan the_plan;

/* ---- P7, D3 ---- */

/* At the chosen call: writes half of what is to be written, says so and waits. */
static int pause_before(void *user, const hook_event *event)
{
    plan *of = user;

    if (!of->armed || event->call != of->call || event->target != HOOK_SEGMENT)
        return 0;
    of->armed = false;
    if (event->call != HOOK_SYNC)
        hook_write_part(event, event->spans[0].size / 2);
    atomic_store(&of->fx->share->stage, 1);
    await(&of->fx->share->release, 1);
    return 0;
}

static void put_with_a_pause(fixture *fx)
{
    static char data[8000]; /* Larger than what is ever stored into the mapped tail instead of written. */
    ls_bytes bytes = {data, the_plan.call == HOOK_STORE ? 100 : sizeof data};
    handles of;

    memset(data, 'x', sizeof data);
    hooked_files_init(&the_plan.files, pause_before, NULL, &the_plan);
    the_plan.files.kind_set = true; /* Whatever it is here: for a test any will do. */
    the_plan.files.kind = LSI_FS_IN_PLACE;
    the_plan.fx = fx;
    the_plan.armed = false;
    child_check(handles_open(&of, fx->path, NULL, &the_plan.files) == LS_OK);
    the_plan.armed = true;
    child_check(ls_producer_put(of.producer, (ls_bytes){"key", 3}, bytes, NULL, NULL) == LS_OK);
    child_check(!the_plan.armed);
    child_check(handles_close(&of) == LS_OK);
}

static void nothing_is_read_before_it_is_published(fixture *fx, ls_durability durability, hook_call call)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterators[2] = {NULL, NULL};
    const ls_batch *batch;
    handles of;
    pid_t pid;

    options.durability = durability;
    assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
    assert_int_equal(put_text(&of, "first", NULL), LS_OK);
    assert_int_equal(ls_iterator_open(of.stream, 0, NULL, NULL, &iterators[0]), LS_OK);
    assert_int_equal(ls_iterator_open_all(of.stream, NULL, NULL, &iterators[1]), LS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ls_iterator_next(iterators[i], NULL, &batch), LS_OK);
        assert_int_equal(ls_batch_count(batch), 1);
    }
    the_plan.call = call;
    pid = child_start(put_with_a_pause, fx);
    await(&fx->share->stage, 1);
    next.timeout_ms = 100;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ls_iterator_next(iterators[i], &next, &batch), LS_OK);
        assert_int_equal(ls_batch_count(batch), 0);
    }
    assert_int_equal(count_readable(of.stream), 1); /* One opened now sees no more. */
    atomic_store(&fx->share->release, 1);
    next.timeout_ms = 10000;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ls_iterator_next(iterators[i], &next, &batch), LS_OK);
        assert_int_equal(ls_batch_count(batch), 1);
        ls_iterator_close(iterators[i]);
    }
    child_ends_well(pid);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void a_write_under_way_is_not_read(void **state)
{
    nothing_is_read_before_it_is_published(*state, LS_DURABILITY_KERNEL, HOOK_WRITE);
}

/* The same for the second way that bytes go in: stored into the mapped tail of the segment. */
static void a_store_under_way_is_not_read(void **state)
{
    nothing_is_read_before_it_is_published(*state, LS_DURABILITY_KERNEL, HOOK_STORE);
}

static void a_write_under_way_is_not_read_in_sync_mode(void **state)
{
    nothing_is_read_before_it_is_published(*state, LS_DURABILITY_SYNC, HOOK_WRITE);
}

static void what_is_written_and_not_synced_is_not_read_in_sync_mode(void **state)
{
    nothing_is_read_before_it_is_published(*state, LS_DURABILITY_SYNC, HOOK_SYNC);
}

/* ---- D5 ---- */

#define GROUP_PROCESSES 8
#define GROUP_PUTS 40

static void count_sync(void *user, const hook_event *event)
{
    const plan *of = user;

    if (event->call == HOOK_SYNC && event->target == HOOK_SEGMENT)
        atomic_fetch_add(&of->fx->share->syncs, 1);
}

/* As slow as a disk, so that others come meanwhile, however fast this one is. */
static int slow_sync(void *user, const hook_event *event)
{
    (void)user;
    if (event->call == HOOK_SYNC && event->target == HOOK_SEGMENT)
        (void)usleep(3000);
    return 0;
}

static void put_many(fixture *fx)
{
    handles of;

    hooked_files_init(&the_plan.files, slow_sync, count_sync, &the_plan);
    the_plan.fx = fx;
    child_check(handles_open(&of, fx->path, NULL, &the_plan.files) == LS_OK);
    atomic_fetch_add(&fx->share->ready, 1);
    await(&fx->share->release, 1);
    for (int i = 0; i < GROUP_PUTS; i++)
        child_check(put_text(&of, "grouped", NULL) == LS_OK);
    child_check(handles_close(&of) == LS_OK);
}

static void one_sync_acknowledges_the_puts_of_many_processes(void **state)
{
    fixture *fx = *state;
    pid_t pids[GROUP_PROCESSES];
    handles of;
    uint64_t syncs;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    for (int i = 0; i < GROUP_PROCESSES; i++)
        pids[i] = child_start(put_many, fx);
    await(&fx->share->ready, GROUP_PROCESSES);
    atomic_store(&fx->share->syncs, 0);
    atomic_store(&fx->share->release, 1);
    for (int i = 0; i < GROUP_PROCESSES; i++)
        child_ends_well(pids[i]);
    syncs = atomic_load(&fx->share->syncs);
    assert_int_equal(count_text(of.stream, "grouped"), GROUP_PROCESSES * GROUP_PUTS);
    /* At least two a sync; with eight who all wait for the disk it is about eight. */
    assert_in_range(syncs, GROUP_PUTS / 2, GROUP_PROCESSES * GROUP_PUTS / 2);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* ---- O2 ---- */

#define ROUNDS 300

/* Puts when it is its turn: stage counts the puts that returned, and both put in turn. */
static void put_in_turn(fixture *fx)
{
    handles of;

    child_check(handles_open(&of, fx->path, NULL, NULL) == LS_OK);
    for (uint32_t i = 1; i < 2 * ROUNDS; i += 2) {
        char text[32];

        await(&fx->share->stage, i);
        (void)snprintf(text, sizeof text, "%u", i);
        child_check(put_text(&of, text, NULL) == LS_OK);
        atomic_store(&fx->share->stage, i + 1);
    }
    child_check(handles_close(&of) == LS_OK);
}

static void puts_of_two_processes_in_turn_are_read_in_turn(fixture *fx, ls_durability durability)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    handles of;
    pid_t pid;
    uint32_t expected = 0;

    options.durability = durability;
    assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
    pid = child_start(put_in_turn, fx);
    for (uint32_t i = 0; i < 2 * ROUNDS; i += 2) {
        char text[32];

        await(&fx->share->stage, i);
        (void)snprintf(text, sizeof text, "%u", i);
        assert_int_equal(put_text(&of, text, NULL), LS_OK);
        atomic_store(&fx->share->stage, i + 1);
    }
    child_ends_well(pid);
    assert_int_equal(ls_iterator_open(of.stream, 0, NULL, NULL, &iterator), LS_OK);
    while (expected < 2 * ROUNDS) {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        assert_true(ls_batch_count(batch) > 0);
        for (size_t i = 0; i < ls_batch_count(batch); i++, expected++) {
            char text[32];
            int size = snprintf(text, sizeof text, "%u", expected);
            const ls_record *record = ls_batch_at(batch, i);

            assert_int_equal(record->data.size, size);
            assert_memory_equal(record->data.data, text, (size_t)size);
        }
    }
    ls_iterator_close(iterator);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void order_is_that_of_real_time_in_sync_mode(void **state)
{
    puts_of_two_processes_in_turn_are_read_in_turn(*state, LS_DURABILITY_SYNC);
}

static void order_is_that_of_real_time_in_kernel_mode(void **state)
{
    puts_of_two_processes_in_turn_are_read_in_turn(*state, LS_DURABILITY_KERNEL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_write_under_way_is_not_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_store_under_way_is_not_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_write_under_way_is_not_read_in_sync_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_written_and_not_synced_is_not_read_in_sync_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_sync_acknowledges_the_puts_of_many_processes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(order_is_that_of_real_time_in_sync_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(order_is_that_of_real_time_in_kernel_mode, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("the published end (P7, D3, D5, O2)", tests, NULL, NULL);
}
