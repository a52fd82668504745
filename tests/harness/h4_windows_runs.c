/* Those who gather windows in the storm, until they are killed: runs of a mapping with tumbling windows, whose state is
 * a list of what was counted, and of a window operator, whose results are known beforehand. */
#include "harness/h4_windows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"

#define SPEED 20

windows_shared *windows;

static int64_t fast_clock(void *user)
{
    (void)user;
    return windows->wall_us + (storm_now_us() - windows->began_us) * SPEED + atomic_load(&windows->skew_us);
}

ls_store *windows_open_store(storm_plan *plan)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;
    lsi_env env;

    options.clock = fast_clock;
    lsi_env_default(&env);
    if (plan != NULL)
        env.files = &plan->files.table;
    if (lsi_store_open_env(storm_set.dir, &options, &env, &store) != LS_OK)
        storm_fail("opening the store", LS_ERR_STATE);
    return store;
}

static uint32_t number_of(const ls_record *record)
{
    return storm_number_of(record, WINDOWS_RECORDS_MAX);
}

/* ---- tumbling windows of a mapping ---- */

/* The window is over: what it had is written down, outside the store. */
static void tell(uint32_t shard, const uint32_t *numbers, uint32_t count)
{
    uint32_t at = atomic_fetch_add(&windows->list_count, 1);
    uint32_t first = atomic_fetch_add(&windows->number_count, count);

    if (at >= WINDOWS_LISTS_MAX || first > WINDOWS_NUMBERS_MAX - count) {
        storm_violation("no room for another window: it is the %uth", at);
        return;
    }
    memcpy(windows->numbers + first, numbers, count * sizeof *numbers);
    windows->lists[at].shard = shard;
    windows->lists[at].first = first;
    windows->lists[at].count = count;
    atomic_store(&windows->lists[at].is_whole, 1);
    for (uint32_t i = 0; i < count; i++)
        if (numbers[i] < WINDOWS_RECORDS_MAX)
            atomic_store(&windows->is_told[numbers[i]], 1);
}

static void check_times(const ls_batch *batch, const ls_handler_window *window)
{
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *record = ls_batch_at(batch, i);

        if (record->arrival_us < window->start_us || record->arrival_us >= window->end_us)
            storm_violation("shard %" PRIu32 " record %" PRIu64 " arrived at %" PRId64 " and is in the window of %"
                            PRId64, record->shard, record->seqno, record->arrival_us, window->start_us);
    }
}

/* Some of a batch fails, from a record on: the state has those before it. When that is the first one there is no
 * progress, and nobody is to see the state that was set. */
static size_t fail_some(ls_handler_context *context, size_t count, uint64_t *random)
{
    size_t from;

    if (count == 0 || storm_random_below(random, 16) != 0)
        return count;
    from = storm_random_below(random, 4) == 0 ? 0 : (size_t)storm_random_below(random, count);
    ls_handler_fail_at(context, from);
    atomic_fetch_add(&windows->failed, 1);
    return from > 0 ? from : count;
}

/* Some fail, with a state of their own, which nobody is to see. */
static ls_handler_answer gather(const ls_batch *batch, ls_handler_context *context, void *user)
{
    ls_handler_window window = LS_HANDLER_WINDOW_INIT;
    uint64_t *random = user;
    size_t before, count = ls_batch_count(batch);
    uint32_t *numbers;

    if (ls_handler_get_window(context, &window) != LS_OK || window.state.size % sizeof *numbers != 0) {
        storm_violation("a handler is given a state of %zu bytes", window.state.size);
        return LS_HANDLER_STOP;
    }
    before = window.state.size / sizeof *numbers;
    numbers = malloc((before + count + 1) * sizeof *numbers);
    if (numbers == NULL)
        abort();
    if (before > 0)
        memcpy(numbers, window.state.data, window.state.size);
    for (size_t i = 0; i < count; i++)
        numbers[before + i] = number_of(ls_batch_at(batch, i));
    check_times(batch, &window);
    count = fail_some(context, count, random);
    if (window.is_final)
        tell(ls_batch_shard(batch), numbers, (uint32_t)before);
    else if (ls_handler_set_state(context, (ls_bytes){numbers, (before + count) * sizeof *numbers}) != LS_OK)
        storm_violation("a state of %zu bytes is not taken: %s", window.state.size, ls_last_error_message());
    free(numbers);
    if (storm_random_below(random, 8) == 0) /* So that some are killed or stopped in here. */
        (void)usleep(300);
    if (storm_random_below(random, 64) != 0)
        return LS_HANDLER_DONE;
    atomic_fetch_add(&windows->failed, 1);
    return LS_HANDLER_RETRY;
}

void windows_run_mapping(uint64_t *random, storm_plan *plan)
{
    ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_store *store = windows_open_store(plan);
    ls_mapping *mapping = NULL;
    ls_stream *stream = NULL;
    ls_status st = ls_stream_open(store, WINDOWS_STREAM, &stream);

    options.failover_ms = WINDOWS_FAILOVER_MS;
    if (st == LS_OK)
        st = ls_mapping_open(stream, WINDOWS_NAME, &mapping);
    if (st == LS_OK)
        st = ls_mapping_run(mapping, &options, gather, random);
    storm_fail("the run of a mapping has ended", st);
}

/* ---- a window operator ---- */

typedef struct sums {
    uint64_t count, mixed;
} sums;

static uint64_t mix(uint32_t number)
{
    uint64_t state = number;

    return storm_random(&state);
}

static void sums_init(void *sum, void *user)
{
    (void)user;
    memset(sum, 0, sizeof(sums));
}

static void sums_add(void *sum, const ls_record *record, void *user)
{
    sums *to = sum;

    (void)user;
    to->count++;
    to->mixed += mix(number_of(record));
}

static int32_t time_of(const ls_record *record, int64_t *time_ms, void *user)
{
    (void)user;
    *time_ms = number_of(record);
    return 1;
}

static int32_t value_of(const ls_record *record, double *value, void *user)
{
    (void)user;
    *value = number_of(record);
    return 1;
}

/* Each number below the window's end was put before those that ended it, and is of one key: so all is known. `user`:
 * whether nothing is put any more, and windows end where the numbers do. */
static ls_window_answer check_result(const ls_window_result *result, void *user)
{
    int64_t last_ms = *(const bool *)user ? (int64_t)atomic_load(&windows->put_count) : INT64_MAX;
    int64_t end_ms = result->end_ms < last_ms ? result->end_ms : last_ms;
    const sums *found = result->fold;
    sums expected = {0, 0};
    char name[8] = "";
    double sum = 0;
    uint32_t key;

    memcpy(name, result->key.data, result->key.size < sizeof name ? result->key.size : 0);
    if (sscanf(name, "key-%2u", &key) != 1 || result->start_ms < 0 ||
        result->end_ms > (int64_t)WINDOWS_RECORDS_MAX) {
        storm_violation("a result of [%" PRId64 ", %" PRId64 ")", result->start_ms, result->end_ms);
        return LS_WINDOW_STOP;
    }
    for (int64_t at = result->start_ms; at < end_ms; at++)
        if ((uint32_t)at % WINDOWS_KEYS == key) {
            expected.count++;
            expected.mixed += mix((uint32_t)at);
            sum += (double)at;
        }
    if (result->count != expected.count || found->count != expected.count || found->mixed != expected.mixed ||
        result->sum < sum || result->sum > sum || result->pane != LS_WINDOW_ON_TIME)
        storm_violation("window [%" PRId64 ", %" PRId64 ") of key-%02u has %" PRIu64 " records, %" PRIu64
                        " in its sum, instead of %" PRIu64, result->start_ms, result->end_ms, key, result->count,
                        found->count, expected.count);
    for (int64_t at = result->start_ms; at < end_ms; at++)
        if ((uint32_t)at % WINDOWS_KEYS == key)
            atomic_store(&windows->is_told[at], 1);
    atomic_fetch_add(&windows->results, 1);
    return LS_WINDOW_GO_ON;
}

static void left_over(const ls_record *record, ls_window_reason reason, int64_t time_ms, void *user)
{
    (void)user;
    storm_violation("record %u of shard %" PRIu32 " is in no window: reason %d, %" PRId64, number_of(record),
                    record->shard, (int)reason, time_ms);
}

static ls_status open_operator(ls_stream *stream, bool takes_over, bool *is_finishing, ls_window **out)
{
    ls_window_fold fold = LS_WINDOW_FOLD_INIT;
    ls_window_options options = LS_WINDOW_OPTIONS_INIT;

    fold.sum_bytes = sizeof(sums);
    fold.init = sums_init;
    fold.add = sums_add;
    options.kind = LS_WINDOW_TUMBLING;
    options.size_ms = WINDOWS_SIZE_MS;
    options.idle_timeout_ms = LS_WINDOW_NEVER_IDLE; /* So that nothing is late. */
    options.store_interval_ms = 5;
    options.flags = takes_over ? LS_WINDOW_TAKE_OVER : 0;
    options.time_of = time_of;
    options.value_of = value_of;
    options.fold = &fold;
    options.result = check_result;
    options.left_over = left_over;
    options.user = is_finishing;
    return ls_window_open(stream, WINDOWS_NAME, &options, out);
}

static ls_stream *open_stream(ls_store *store)
{
    ls_stream *stream = NULL;
    ls_status st = ls_stream_open(store, WINDOWS_STREAM, &stream);

    if (st != LS_OK)
        storm_fail("opening the stream", st);
    return stream;
}

/* Who finds the name taken waits for it, or takes it: then the other one is refused, and comes again. */
void windows_run_operator(uint64_t *random, storm_plan *plan)
{
    ls_stream *stream = open_stream(windows_open_store(plan));
    bool is_finishing = false;

    for (;;) {
        bool takes_over = storm_random_below(random, 16) == 0;
        ls_window *window = NULL;
        ls_status st = open_operator(stream, takes_over, &is_finishing, &window);

        if (st == LS_ERR_BUSY) {
            (void)usleep((useconds_t)storm_random_below(random, 8000));
            continue;
        }
        if (st != LS_OK)
            storm_fail("opening the operator", st);
        atomic_fetch_add(&windows->taken_over, takes_over);
        do
            st = ls_window_run(window, NULL);
        while (st == LS_ERR_BUSY);
        if (st != LS_ERR_LEASE_LOST)
            storm_fail("the run of an operator has ended", st);
        (void)ls_window_close(window); /* The name is another's. */
    }
}

void windows_finish(void)
{
    ls_window_run_options options = LS_WINDOW_RUN_OPTIONS_INIT;
    ls_store *store = windows_open_store(NULL);
    ls_stream *stream = open_stream(store);
    ls_window *window = NULL;
    bool is_finishing = true;
    ls_status st = open_operator(stream, true, &is_finishing, &window);

    options.flags = LS_WINDOW_UNTIL_CAUGHT_UP;
    if (st == LS_OK)
        st = ls_window_run(window, &options);
    if (st == LS_OK)
        st = ls_window_finish(window);
    if (st == LS_OK)
        st = ls_window_close(window);
    if (st == LS_OK)
        st = ls_stream_close(stream);
    if (st == LS_OK)
        st = ls_store_close(store);
    if (st != LS_OK)
        storm_fail("finishing the windows", st);
}
