/* A mapping that de-aggregates is killed between two user records of one aggregate: whoever goes on does so within it.
 * Nothing is skipped, what was finished does not come again, and each key's records come in order. */
#include "invariants/processes.h"

#define MAPPING "m"
#define KEYS 7u
#define RECORDS 600u
#define TOGETHER 200u
#define BATCH 5u
#define KILLS 15
#define LONG_MS 20000

/* Numbers in the order in which they were handled. */
typedef struct diary {
    _Atomic uint32_t count;
    _Atomic uint32_t entries[8 * RECORDS];
} diary;

static diary *the_diary;

static ls_handler_answer note(const ls_batch *batch, ls_handler_context *context, void *user)
{
    (void)context;
    (void)user;
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *record = ls_batch_at(batch, i);
        char data[16] = "";

        memcpy(data, record->data.data, record->data.size < 15 ? record->data.size : 15);
        atomic_store(&the_diary->entries[atomic_load(&the_diary->count)], (uint32_t)strtoul(data, NULL, 10));
        atomic_fetch_add(&the_diary->count, 1);
    }
    (void)usleep(2000);
    return LS_HANDLER_DONE;
}

static ls_status run_mapping(const char *path, uint32_t flags)
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
    st = ls_mapping_run(mapping, &options, note, NULL);
    if (ls_mapping_close(mapping) != LS_OK || ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        return LS_ERR_STATE;
    return st;
}

static void run_for_ever(fixture *fx)
{
    child_check(run_mapping(fx->path, 0) == LS_OK);
}

static void put_packed(const handles *of)
{
    ls_aggregate *aggregate;

    assert_int_equal(ls_aggregate_open(NULL, &aggregate), LS_OK);
    for (uint32_t i = 0; i < RECORDS; i++) {
        char key[16], data[16];
        ls_put_entry entry, packed;
        int32_t fits;

        (void)snprintf(key, sizeof key, "k%u", i % KEYS);
        (void)snprintf(data, sizeof data, "%u", i);
        entry = (ls_put_entry){{key, strlen(key)}, {data, strlen(data)}, NULL};
        assert_int_equal(ls_aggregate_add(aggregate, &entry, &fits), LS_OK);
        assert_int_equal(fits, 1);
        if (ls_aggregate_count(aggregate) < TOGETHER)
            continue;
        assert_int_equal(ls_aggregate_record(aggregate, &packed), LS_OK);
        assert_int_equal(ls_producer_put(of->producer, packed.partition_key, packed.data, NULL, NULL), LS_OK);
        ls_aggregate_clear(aggregate);
    }
    ls_aggregate_close(aggregate);
}

static void make_store(const fixture *fx)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping_options settings = LS_MAPPING_OPTIONS_INIT;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of;

    options.durability = LS_DURABILITY_INTERVAL;
    settings.flags = LS_MAPPING_DEAGGREGATE;
    settings.records_max = BATCH;
    settings.sync_interval_ms = 60000; /* What a kill leaves is what was noted alone. */
    assert_int_equal(handles_open(&of, fx->path, &options, NULL), LS_OK);
    assert_int_equal(ls_mapping_create(of.stream, MAPPING, &horizon, &settings), LS_OK);
    put_packed(&of);
    assert_int_equal(handles_close(&of), LS_OK);
    the_diary = mmap(NULL, sizeof *the_diary, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(the_diary, MAP_FAILED);
}

static uint32_t entry(uint32_t index)
{
    return atomic_load(&the_diary->entries[index]);
}

/* Goal: who comes after a kill begins with the batch that was under way, or behind it: nothing is skipped, nothing that
 * was finished comes again. Method: handlers take 2 ms and are killed at any time, so mostly within an aggregate; of
 * what they finished nothing is stored, but it is noted (M12). */
static void a_killed_run_is_gone_on_with_within_an_aggregate(void **state)
{
    fixture *fx = *state;
    uint32_t within = 0, next = 0;

    make_store(fx);
    for (int i = 0; i < KILLS && next < RECORDS - 2 * BATCH; i++) {
        uint32_t began = atomic_load(&the_diary->count), first;
        pid_t runner = child_start(run_for_ever, fx);

        for (int k = 0; k < LONG_MS && atomic_load(&the_diary->count) < began + 2 * BATCH; k++)
            (void)usleep(1000);
        (void)usleep((useconds_t)(rand() % 10000));
        assert_int_equal(kill(runner, SIGKILL), 0);
        (void)child_end(runner);
        assert_true(atomic_load(&the_diary->count) > began);
        first = entry(began);
        assert_true(first <= next && first + BATCH >= next);
        within += began > 0 && first % TOGETHER != 0;
        next = entry(atomic_load(&the_diary->count) - 1) + 1;
    }
    assert_true(within >= 3);
    assert_int_equal(run_mapping(fx->path, LS_RUN_UNTIL_CAUGHT_UP), LS_OK);
    next = 0;
    for (uint32_t i = 0; i < atomic_load(&the_diary->count); i++) { /* One shard, one lane: all of them in order. */
        assert_true(entry(i) <= next);
        next += entry(i) == next;
    }
    assert_int_equal(next, RECORDS);
    assert_int_equal(munmap(the_diary, sizeof *the_diary), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_killed_run_is_gone_on_with_within_an_aggregate, set_up, tear_down),
    };

    unsigned seed = (unsigned)time(NULL);

    printf("seed %u\n", seed);
    srand(seed);
    return cmocka_run_group_tests_name("aggregates among processes", tests, NULL, NULL);
}
