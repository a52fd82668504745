/* Mappings among processes: whoever runs one may be killed at any instruction, or stopped for so long that it is taken
 * for dead, while shards split beneath it. Every record is handled at least once, and for the first time after all that
 * came before it under its key. */
#include "invariants/processes.h"

#define MAPPING "m"
#define KEYS 12u
#define RECORDS 3000u
#define RUNNERS 3
#define KILLS 25
#define FAILOVER_MS 300
#define LONG_MS 20000

/* What handlers did, in their order, whoever they were: a record's number + 1; 0: its writer was killed. */
typedef struct diary {
    _Atomic uint32_t count;
    _Atomic uint32_t entries[1u << 20];
} diary;

static diary *the_diary;

static ls_handler_answer note(const ls_batch *batch, ls_handler_context *context, void *user)
{
    (void)context;
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *record = ls_batch_at(batch, i);
        uint32_t at = atomic_fetch_add(&the_diary->count, 1);
        char data[16] = "";

        memcpy(data, record->data.data, record->data.size < 15 ? record->data.size : 15);
        if (at < sizeof the_diary->entries / sizeof the_diary->entries[0])
            atomic_store(&the_diary->entries[at], (uint32_t)strtoul(data, NULL, 10) + 1);
    }
    if (user != NULL)
        (void)usleep(1000);
    return LS_HANDLER_DONE;
}

static ls_batch_handler the_handler = note; /* of this process */

static ls_status run_mapping(const char *path, uint32_t flags, uint32_t failover_ms, void *user)
{
    ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping *mapping = NULL;
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    ls_status st = ls_store_open(path, NULL, &store);

    if (st == LS_OK)
        st = ls_stream_open(store, STREAM, &stream);
    if (st == LS_OK)
        st = ls_mapping_open(stream, MAPPING, &mapping);
    if (st != LS_OK)
        return st;
    options.flags = flags;
    options.failover_ms = failover_ms;
    st = ls_mapping_run(mapping, &options, the_handler, user);
    if (ls_mapping_close(mapping) != LS_OK || ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        return LS_ERR_STATE;
    return st;
}

static void run_for_ever(fixture *fx)
{
    child_check(run_mapping(fx->path, 0, FAILOVER_MS, fx) == LS_OK);
}

static void make_store(const fixture *fx, uint32_t lane_count, uint32_t sync_interval_ms, handles *of)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping_options settings = LS_MAPPING_OPTIONS_INIT;
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.durability = LS_DURABILITY_INTERVAL;
    settings.lane_count = lane_count;
    settings.records_max = 20;
    settings.sync_interval_ms = sync_interval_ms;
    assert_int_equal(handles_open(of, fx->path, &options, NULL), LS_OK);
    assert_int_equal(ls_mapping_create(of->stream, MAPPING, &horizon, &settings), LS_OK);
    the_diary = mmap(NULL, sizeof *the_diary, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(the_diary, MAP_FAILED);
}

static void put_numbers(const handles *of, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        char key[16], data[16];

        (void)snprintf(key, sizeof key, "k%u", i % KEYS);
        (void)snprintf(data, sizeof data, "%u", i);
        assert_int_equal(ls_producer_put(of->producer, (ls_bytes){key, strlen(key)}, (ls_bytes){data, strlen(data)},
                                         NULL, NULL), LS_OK);
    }
}

/* Everything was handled, and each for the first time in the order of its key. */
static void check_diary(void)
{
    static bool seen[RECORDS];
    uint32_t next[KEYS], handled = 0, count = atomic_load(&the_diary->count);

    memset(seen, 0, sizeof seen);
    assert_true(count < sizeof the_diary->entries / sizeof the_diary->entries[0]);
    for (uint32_t key = 0; key < KEYS; key++)
        next[key] = key;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = atomic_load(&the_diary->entries[i]) - 1, key = number % KEYS;

        if (number == UINT32_MAX || (number < RECORDS && seen[number]))
            continue;
        if (number != next[key])
            fail_msg("entry %u: %u is handled before %u", i, number, next[key]);
        seen[number] = true;
        next[key] += KEYS;
        handled++;
    }
    assert_int_equal(handled, RECORDS);
    assert_int_equal(munmap(the_diary, sizeof *the_diary), 0);
}

static void kill_and_replace(fixture *fx, uint32_t lane_count)
{
    pid_t runners[RUNNERS];
    uint32_t put = 0, split = 0;
    handles of;

    make_store(fx, lane_count, 20, &of);
    assert_int_equal(handles_close(&of), LS_OK); /* The children's stores are their own. */
    for (int i = 0; i < RUNNERS; i++)
        runners[i] = child_start(run_for_ever, fx);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    for (int i = 0; i < KILLS; i++) {
        int which = rand() % RUNNERS;

        put_numbers(&of, put, put + RECORDS / KILLS);
        put += RECORDS / KILLS;
        if (i == 5 || i == 12)
            assert_int_equal(ls_stream_split(of.stream, split++, NULL, NULL, NULL), LS_OK);
        (void)usleep((useconds_t)(rand() % 100000));
        if (i == 8) { /* One that is stopped for longer than others wait, and then goes on. */
            assert_int_equal(kill(runners[which], SIGSTOP), 0);
            (void)usleep(FAILOVER_MS * 2000);
            assert_int_equal(kill(runners[which], SIGCONT), 0);
            continue;
        }
        assert_int_equal(kill(runners[which], SIGKILL), 0);
        (void)child_end(runners[which]);
        assert_int_equal(handles_close(&of), LS_OK);
        runners[which] = child_start(run_for_ever, fx);
        assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    }
    put_numbers(&of, put, RECORDS);
    for (int i = 0; i < RUNNERS; i++) {
        assert_int_equal(kill(runners[i], SIGKILL), 0);
        (void)child_end(runners[i]);
    }
    assert_int_equal(handles_close(&of), LS_OK);
    /* Nobody is left but those whose rows still look alive: it waits for these to be dead. */
    assert_int_equal(run_mapping(fx->path, LS_RUN_UNTIL_CAUGHT_UP, FAILOVER_MS, NULL), LS_OK);
    check_diary();
}

static void killed_runs_lose_nothing_and_keep_the_order(void **state)
{
    kill_and_replace(*state, 1);
}

static void killed_runs_with_lanes_lose_nothing_and_keep_the_order(void **state)
{
    kill_and_replace(*state, 4);
}

static void run_patiently(fixture *fx)
{
    child_check(run_mapping(fx->path, 0, 10 * LONG_MS, NULL) == LS_OK);
}

static bool is_handled(uint32_t count)
{
    for (int i = 0; i < LONG_MS / 10 && atomic_load(&the_diary->count) < count; i++)
        (void)usleep(10000);
    return atomic_load(&the_diary->count) >= count;
}

/* Two runs that would wait for each other for a long time, and one shard. The first has it; when it is killed the other
 * goes on long before that time is over, and so does one that comes afterwards. */
static void others_go_on_at_once_when_a_run_was_killed(void **state)
{
    fixture *fx = *state;
    pid_t first, second;
    handles of;

    make_store(fx, 1, 20, &of);
    assert_int_equal(handles_close(&of), LS_OK); /* The children's stores are their own. */
    first = child_start(run_patiently, fx);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    put_numbers(&of, 0, 5);
    assert_true(is_handled(5));
    assert_int_equal(handles_close(&of), LS_OK);
    second = child_start(run_patiently, fx);
    (void)usleep(300000); /* It has seen the other one, or will see it dead at its first look. */
    assert_int_equal(kill(first, SIGKILL), 0);
    (void)child_end(first);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    put_numbers(&of, 5, 10);
    assert_true(is_handled(10));
    assert_int_equal(kill(second, SIGKILL), 0);
    (void)child_end(second);
    put_numbers(&of, 10, 15);
    assert_int_equal(handles_close(&of), LS_OK);
    assert_int_equal(run_mapping(fx->path, LS_RUN_UNTIL_CAUGHT_UP, 10 * LONG_MS, NULL), LS_OK);
    assert_true(is_handled(15));
    assert_int_equal(munmap(the_diary, sizeof *the_diary), 0);
}

/* ---- what was finished, and not stored yet ---- */

#define FINISHED 5u

/* Never finishes the records behind the first ones. */
static ls_handler_answer note_and_stay(const ls_batch *batch, ls_handler_context *context, void *user)
{
    const ls_record *first = ls_batch_at(batch, 0);

    (void)note(batch, context, user);
    while (memcmp(first->data.data, "5", 1) >= 0)
        (void)usleep(100000);
    return LS_HANDLER_DONE;
}

static void run_and_stay(fixture *fx)
{
    the_handler = note_and_stay;
    child_check(run_mapping(fx->path, 0, 10 * LONG_MS, NULL) == LS_OK);
}

/* A run is killed that has finished the first records, is at the next ones, and has stored nothing. */
static void kill_one_that_stores_nothing(fixture *fx, uint32_t lane_count)
{
    handles of;
    pid_t run;

    make_store(fx, lane_count, 60000, &of);
    assert_int_equal(handles_close(&of), LS_OK);
    run = child_start(run_and_stay, fx);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    put_numbers(&of, 0, FINISHED);
    assert_true(is_handled(FINISHED));
    if (lane_count > 1)
        (void)usleep(200000); /* With several lanes a handler does not wait for what another has finished. */
    put_numbers(&of, FINISHED, 2 * FINISHED);
    assert_true(is_handled(FINISHED + 1));
    assert_int_equal(handles_close(&of), LS_OK);
    assert_int_equal(kill(run, SIGKILL), 0);
    (void)child_end(run);
    atomic_store(&the_diary->count, 0);
}

/* Which were handled since then: bits. */
static uint32_t run_the_rest(fixture *fx)
{
    uint32_t handled = 0;

    assert_int_equal(run_mapping(fx->path, LS_RUN_UNTIL_CAUGHT_UP, FAILOVER_MS, NULL), LS_OK);
    for (uint32_t i = 0; i < atomic_load(&the_diary->count); i++)
        handled |= UINT32_C(1) << (atomic_load(&the_diary->entries[i]) - 1);
    assert_int_equal(munmap(the_diary, sizeof *the_diary), 0);
    return handled;
}

static void what_a_killed_run_has_finished_is_not_handled_again(void **state)
{
    kill_one_that_stores_nothing(*state, 1);
    assert_int_equal(run_the_rest(*state), 0x3e0);
}

static void nor_is_it_with_several_lanes(void **state)
{
    kill_one_that_stores_nothing(*state, 3);
    assert_int_equal(run_the_rest(*state), 0x3e0);
}

/* Nothing but the control file knows of it, which does not outlive the machine: then it is repeated, and not passed
 * over. */
static void what_a_lost_machine_had_not_stored_is_handled_again(void **state)
{
    fixture *fx = *state;
    char path[4200];

    kill_one_that_stores_nothing(fx, 1);
    (void)snprintf(path, sizeof path, "%s/control", fx->path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(run_the_rest(fx), 0x3ff);
}

/* What a dead run noted is of the place where the mapping was. */
static void a_mapping_that_was_moved_forgets_what_was_finished(void **state)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    fixture *fx = *state;
    handles of;

    kill_one_that_stores_nothing(fx, 1);
    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(ls_mapping_seek(of.stream, MAPPING, &horizon), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
    assert_int_equal(run_the_rest(fx), 0x3ff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(others_go_on_at_once_when_a_run_was_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_killed_run_has_finished_is_not_handled_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nor_is_it_with_several_lanes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_lost_machine_had_not_stored_is_handled_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mapping_that_was_moved_forgets_what_was_finished, set_up, tear_down),
        cmocka_unit_test_setup_teardown(killed_runs_lose_nothing_and_keep_the_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(killed_runs_with_lanes_lose_nothing_and_keep_the_order, set_up, tear_down),
    };
    unsigned seed = (unsigned)time(NULL);

    printf("seed %u\n", seed);
    srand(seed);
    return cmocka_run_group_tests_name("mappings among processes", tests, NULL, NULL);
}
