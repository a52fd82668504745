/* What handlers put with LS_MAPPING_EXACTLY_ONCE beneath failures: calls of the file system and allocations that fail,
 * and losses of power after any change of the disk. Whatever happens, when a run has come to an end afterwards, what
 * came of each record that can be read is there once, in order, and each was counted in its window once. */
#include "api/support.h"

#include <errno.h>
#include <inttypes.h>

#include "api/api.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define RECORDS 12u

static const ls_position horizon = {.kind = LS_TRIM_HORIZON};

typedef struct world {
    lsi_env env;
    ls_store *store;
    ls_stream *in, *out;
} world;

static ls_status open_world(world *of, sim_files *sim, sim_memory *memory, ls_durability durability)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_status st;

    memset(of, 0, sizeof *of);
    lsi_env_default(&of->env);
    if (sim != NULL)
        of->env.files = sim_files_table(sim);
    if (memory != NULL)
        of->env.memory = sim_memory_table(memory);
    options.durability = durability;
    st = lsi_store_open_env(sim != NULL ? "/store" : "memory:", &options, &of->env, &of->store);
    if (st == LS_OK)
        st = ls_stream_open(of->store, "in", &of->in);
    return st == LS_OK ? ls_stream_open(of->store, "out", &of->out) : st;
}

/* Streams and mapping, and the first records; durable. With windows, which end with their shard, what is counted is in
 * their state. */
static void make_world(world *of, sim_files *sim, sim_memory *memory, ls_durability durability, bool has_windows)
{
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    ls_producer *producer = NULL;

    assert_int_equal(open_world(of, sim, memory, durability), LS_ERR_NOT_FOUND);
    of->in = make_stream(&(fixture){.store = of->store}, "in", 1);
    of->out = make_stream(&(fixture){.store = of->store}, "out", 1);
    options.flags = LS_MAPPING_EXACTLY_ONCE;
    options.records_max = 4;
    options.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT;
    options.tumbling_window_s = has_windows ? 900 : 0;
    assert_int_equal(ls_mapping_create(of->in, "m", &horizon, &options), LS_OK);
    assert_int_equal(ls_producer_open(of->in, NULL, &producer), LS_OK);
    for (uint32_t i = 0; i < RECORDS; i++)
        assert_int_equal(ls_producer_put(producer, text("k"), (ls_bytes){&i, sizeof i}, NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    if (has_windows)
        assert_int_equal(ls_stream_update_shard_count(of->in, 2, NULL), LS_OK);
    assert_int_equal(ls_store_sync(of->store), LS_OK);
}

static ls_status close_world(world *of)
{
    ls_status st;

    assert_int_equal(ls_stream_close(of->in), LS_OK);
    assert_int_equal(ls_stream_close(of->out), LS_OK);
    st = ls_store_close(of->store); /* After a failed sync it says so. */
    memset(of, 0, sizeof *of);
    return st;
}

/* ---- a run ---- */

/* Each record as it is; of a window in the end how many it had, and what they were together. */
typedef struct sum {
    uint32_t count, of_numbers;
} sum;

static ls_handler_answer handle(const ls_batch *batch, ls_handler_context *context, void *user)
{
    ls_handler_window window = LS_HANDLER_WINDOW_INIT;
    const world *of = user;
    bool is_windowed = ls_handler_get_window(context, &window) == LS_OK;
    sum all = {0, 0};

    if (window.state.size == sizeof all)
        memcpy(&all, window.state.data, sizeof all);
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *record = ls_batch_at(batch, i);
        uint32_t number;

        memcpy(&number, record->data.data, sizeof number);
        all.count++;
        all.of_numbers += number;
        if (ls_handler_put(context, i, of->out, record->partition_key, record->data, NULL) != LS_OK)
            return LS_HANDLER_RETRY;
    }
    if (!is_windowed)
        return LS_HANDLER_DONE;
    if (window.is_final)
        return ls_handler_put(context, 0, of->out, text("sum"), (ls_bytes){&all, sizeof all}, NULL) == LS_OK
                   ? LS_HANDLER_DONE : LS_HANDLER_RETRY;
    return ls_handler_set_state(context, (ls_bytes){&all, sizeof all}) == LS_OK ? LS_HANDLER_DONE : LS_HANDLER_RETRY;
}

static ls_status run_it(world *of)
{
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping *mapping = NULL;
    ls_status st = ls_mapping_open(of->in, "m", &mapping);

    if (st != LS_OK)
        return st;
    how.flags = LS_RUN_UNTIL_CAUGHT_UP;
    how.failover_ms = 100;
    st = ls_mapping_run(mapping, &how, handle, of);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
    return st;
}

/* How many of a stream's records are there, from the first on without a gap; what is not one of these is in `sums`. */
static uint32_t count_of(ls_stream *stream, sum *sums)
{
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    uint32_t count = 0;

    assert_int_equal(ls_iterator_open(stream, 0, &horizon, NULL, &iterator), LS_OK);
    while (ls_iterator_next(iterator, &next, &batch) == LS_OK && ls_batch_count(batch) != 0)
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);
            uint32_t number;
            sum one;

            if (record->data.size == sizeof one) {
                memcpy(&one, record->data.data, sizeof one);
                sums->count += one.count;
                sums->of_numbers += one.of_numbers;
                continue;
            }
            memcpy(&number, record->data.data, sizeof number);
            if (number != count)
                fail_msg("record %u of the stream is %u", count, number);
            count++;
        }
    ls_iterator_close(iterator);
    return count;
}

/* Goes on with what is there. */
static void all_is_there_once(world *of, bool has_windows)
{
    sum none = {0, 0}, sums = {0, 0};
    uint32_t count = count_of(of->in, &none);

    if (run_it(of) != LS_OK)
        fail_msg("the run ends with %s", ls_last_error_message());
    assert_int_equal(count_of(of->out, &sums), count);
    assert_int_equal(sums.count, has_windows ? count : 0);
    assert_int_equal(sums.of_numbers, has_windows ? count * (count - 1) / 2 : 0);
}

/* ---- power ---- */

static void power_may_fail_anywhere(void **state)
{
    static const ls_durability modes[] = {LS_DURABILITY_SYNC, LS_DURABILITY_KERNEL};
    uint32_t cases = 0;

    (void)state;
    for (uint32_t kind = 0; kind < 4; kind++) {
        sim_files *sim = sim_files_new();
        bool has_windows = kind >= 2;
        size_t first, last;
        world of;

        make_world(&of, sim, NULL, modes[kind % 2], has_windows);
        first = sim_log_count(sim);
        assert_int_equal(run_it(&of), LS_OK);
        last = sim_log_count(sim);
        for (size_t prefix = first; prefix <= last; prefix++)
            for (uint64_t seed = prefix % SIM_STRIDE; seed < SIM_SEED_RANDOM + 2; seed += SIM_STRIDE) {
                sim_files *crashed = sim_crash_state(sim, prefix, seed);
                world again;

                if (open_world(&again, crashed, NULL, modes[kind % 2]) != LS_OK)
                    fail_msg("prefix %zu seed %" PRIu64 ": %s", prefix, seed, ls_last_error_message());
                all_is_there_once(&again, has_windows);
                assert_int_equal(close_world(&again), LS_OK);
                sim_files_free(crashed);
                cases++;
            }
        assert_int_equal(close_world(&of), LS_OK);
        sim_files_free(sim);
    }
    assert_true(cases > 100);
}

/* ---- calls that fail ---- */

/* Goal: a run that meets an error tells it or gets over it, and the next one goes on; so does one after a loss of
 * power. Method: the nth call fails, once; each third of these worlds goes on as it is, if no sync has failed in it. */
static void any_call_below_may_fail(void **state)
{
    static const struct {
        sim_call call;
        int err;
    } kinds[] = {{SIM_WRITE, EIO}, {SIM_WRITE, ENOSPC}, {SIM_SYNC, EIO}, {SIM_READ, EIO}, {SIM_ALLOCATE, ENOSPC},
                 {SIM_OPEN, EMFILE}, {SIM_SYNC_DIR, EIO}, {SIM_BULK_END, EIO}};
    uint32_t failures = 0, met = 0;

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        bool has_met = true;

        for (uint64_t nth = 1; has_met; nth++) {
            sim_files *sim = sim_files_new(), *crashed;
            bool has_windows = nth % 2 == 0;
            world of, again;
            ls_status st;

            make_world(&of, sim, NULL, LS_DURABILITY_SYNC, has_windows);
            sim_fault_add(sim, (sim_fault){.call = kinds[k].call, .nth = nth, .err = kinds[k].err});
            st = run_it(&of);
            has_met = sim_faults_met(sim) > 0;
            assert_true(has_met || st == LS_OK);
            assert_true(st == LS_OK || st == LS_ERR_IO || st == LS_ERR_FULL || st == LS_ERR_NO_MEMORY);
            sim_faults_clear(sim);
            met += has_met;
            failures += st != LS_OK;
            crashed = sim_crash_state(sim, sim_log_count(sim), nth % (SIM_SEED_RANDOM + 3));
            if (st != LS_ERR_IO)
                all_is_there_once(&of, has_windows);
            (void)close_world(&of);
            assert_int_equal(open_world(&again, crashed, NULL, LS_DURABILITY_SYNC), LS_OK);
            all_is_there_once(&again, has_windows);
            assert_int_equal(close_world(&again), LS_OK);
            sim_files_free(crashed);
            sim_files_free(sim);
        }
    }
    assert_true(met > 30 && failures > 10);
}

static void any_allocation_may_fail(void **state)
{
    bool has_met = true;

    (void)state;
    for (uint64_t nth = 1; has_met; nth++) {
        sim_memory memory = SIM_MEMORY_INIT;
        bool has_windows = nth % 2 == 0;
        world of;
        ls_status st;

        make_world(&of, NULL, &memory, LS_DURABILITY_SYNC, has_windows);
        sim_memory_fail(&memory, nth, false);
        st = run_it(&of);
        has_met = memory.failed > 0;
        sim_memory_fail(&memory, 0, false);
        assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
        all_is_there_once(&of, has_windows);
        assert_int_equal(close_world(&of), LS_OK);
        assert_int_equal(memory.live, 0);
        assert_true(nth < 3000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(power_may_fail_anywhere),
        TEST(any_call_below_may_fail),
        TEST(any_allocation_may_fail),
    };

    in_memory = true; /* Each makes its own. */
    return cmocka_run_group_tests_name("api/test_mapping_once_failures", tests, NULL, NULL);
}
