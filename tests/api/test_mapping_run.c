/* Running mappings, as mapping.h promises it: batches, order, retries and what is given up, progress, sharing, windows,
 * and what ends a run. */
#include "api/support.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "api/api.h"
#include "consume/lease/lease.h"

#define STREAM "orders"
#define WAIT_S 30

static const ls_position horizon = {.kind = LS_TRIM_HORIZON};

/* ---- few words for common calls ---- */

static ls_mapping_options defaults(void)
{
    const ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;

    return options;
}

/* Records with their number as data; the key is one of `keys`. */
static void put_numbers(ls_stream *stream, uint32_t from, uint32_t to, uint32_t keys)
{
    ls_producer *producer = NULL;
    char key[16], data[16];

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (uint32_t i = from; i < to; i++) {
        snprintf(key, sizeof key, "k%u", i % keys);
        snprintf(data, sizeof data, "%u", i);
        assert_int_equal(ls_producer_put(producer, text(key), text(data), NULL, NULL), LS_OK);
    }
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

static uint32_t number_of(const ls_record *record)
{
    char data[16] = "";

    memcpy(data, record->data.data, record->data.size < 15 ? record->data.size : 15);
    return (uint32_t)strtoul(data, NULL, 10);
}

static void await(sem_t *what, uint32_t times)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    for (uint32_t i = 0; i < times; i++)
        assert_int_equal(sem_timedwait(what, &until), 0);
}

/* ---- a run, and what its handler saw ---- */

#define SEEN_MAX 20000
#define NEVER UINT32_MAX

typedef struct run {
    ls_mapping *mapping;
    ls_mapping_run_options options;
    pthread_mutex_t mutex;
    uint32_t fails;      /* the number whose batch fails; NEVER */
    uint32_t fail_times; /* so often */
    uint32_t reports;    /* the number that is reported, always; NEVER */
    uint32_t stops_at;   /* the number at which the handler says stop; NEVER */
    uint32_t discard_refusals;
    uint32_t sleep_us;
    int32_t random_sleep;
    bool counts_windows; /* the state is how many records the window had */

    pthread_t thread;
    sem_t handled;       /* posted for each record that was finished */
    uint32_t count;      /* finished, in order of answers */
    uint32_t numbers[SEEN_MAX], shards[SEEN_MAX];
    uint32_t invocations, largest, attempts_max, late;
    uint32_t discarded, discard_calls, discarded_numbers[64], invoke_count;
    ls_discard_reason reason;
    uint32_t finals, final_counts[16], first_states;
    _Atomic uint32_t overlaps;
    _Atomic int32_t busy[64]; /* by shard: handlers that run */
    ls_status st;
    char message[256];
} run;

static ls_handler_answer answer_window(run *of, size_t count, ls_handler_context *context)
{
    ls_handler_window window = LS_HANDLER_WINDOW_INIT;
    char state[16] = "";
    uint32_t sum;

    if (ls_handler_get_window(context, &window) != LS_OK)
        return 77;
    of->first_states += window.state.size == 0;
    memcpy(state, window.state.size > 0 ? window.state.data : "", window.state.size);
    sum = (uint32_t)strtoul(state, NULL, 10) + (uint32_t)count;
    if (window.is_final)
        of->final_counts[of->finals++] = sum;
    snprintf(state, sizeof state, "%u", sum);
    return ls_handler_set_state(context, text(state)) == LS_OK ? LS_HANDLER_DONE : 77;
}

static ls_handler_answer handle(const ls_batch *batch, ls_handler_context *context, void *user)
{
    run *of = user;
    uint32_t shard = ls_batch_shard(batch), good = 0;
    size_t count = ls_batch_count(batch);
    ls_handler_answer answer = LS_HANDLER_DONE;

    if (atomic_fetch_add(&of->busy[shard], 1) != 0)
        of->overlaps++;
    if (of->sleep_us != 0 || of->random_sleep)
        usleep(of->random_sleep ? (useconds_t)(rand() % 500) : of->sleep_us);
    pthread_mutex_lock(&of->mutex);
    of->invocations++;
    of->largest = count > of->largest ? (uint32_t)count : of->largest;
    if (ls_handler_attempts(context) > of->attempts_max)
        of->attempts_max = ls_handler_attempts(context);
    of->late += ls_handler_is_late(context) != 0;
    for (; good < count && answer == LS_HANDLER_DONE; good++) {
        uint32_t number = number_of(ls_batch_at(batch, good));

        if (number == of->stops_at) {
            answer = LS_HANDLER_STOP;
            of->stops_at = NEVER;
        } else if (number == of->fails && of->fail_times > 0) {
            of->fail_times--;
            answer = LS_HANDLER_RETRY;
        } else if (number == of->reports) {
            ls_handler_fail_at(context, good);
            break;
        }
    }
    if (answer == LS_HANDLER_DONE && of->counts_windows)
        answer = answer_window(of, count, context);
    for (uint32_t i = 0; answer == LS_HANDLER_DONE && i < good && of->count < SEEN_MAX; i++) {
        of->numbers[of->count] = number_of(ls_batch_at(batch, i));
        of->shards[of->count++] = shard;
        sem_post(&of->handled);
    }
    pthread_mutex_unlock(&of->mutex);
    atomic_fetch_sub(&of->busy[shard], 1);
    return answer;
}

static int32_t discard(const ls_batch *batch, ls_discard_reason reason, uint32_t invoke_count, void *user)
{
    run *of = user;

    of->discard_calls++;
    if (of->discard_refusals > 0) {
        of->discard_refusals--;
        return 1;
    }
    of->reason = reason;
    of->invoke_count = invoke_count;
    for (size_t i = 0; i < ls_batch_count(batch); i++)
        of->discarded_numbers[of->discarded++] = number_of(ls_batch_at(batch, i));
    return 0;
}

static run *run_new(ls_stream *stream, const char *name)
{
    const ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;
    run *of = calloc(1, sizeof *of);

    of->options = options;
    of->options.flags = LS_RUN_UNTIL_CAUGHT_UP;
    of->options.discard = discard;
    of->fails = of->reports = of->stops_at = NEVER;
    assert_int_equal(pthread_mutex_init(&of->mutex, NULL), 0);
    assert_int_equal(sem_init(&of->handled, 0, 0), 0);
    assert_int_equal(ls_mapping_open(stream, name, &of->mapping), LS_OK);
    return of;
}

static void run_free(run *of)
{
    assert_int_equal(ls_mapping_close(of->mapping), LS_OK);
    sem_destroy(&of->handled);
    pthread_mutex_destroy(&of->mutex);
    free(of);
}

static void *run_body(void *user)
{
    run *of = user;

    of->st = ls_mapping_run(of->mapping, &of->options, handle, of);
    if (of->st != LS_OK)
        snprintf(of->message, sizeof of->message, "%s", ls_last_error_message());
    return NULL;
}

static void run_now(run *of)
{
    run_body(of);
    if (of->st != LS_OK)
        fail_msg("the run ended with %s: %s", ls_status_name(of->st), of->message);
}

static void run_start(run *of)
{
    of->options.flags = 0;
    assert_int_equal(pthread_create(&of->thread, NULL, run_body, of), 0);
}

static void run_stop(run *of)
{
    ls_mapping_stop(of->mapping);
    assert_int_equal(pthread_join(of->thread, NULL), 0);
    if (of->st != LS_OK)
        fail_msg("the run ended with %s: %s", ls_status_name(of->st), of->message);
}

/* Each of [0..count) once, and those of a key in order. */
static void assert_all_once_in_order(const run *of, uint32_t count, uint32_t keys)
{
    uint32_t *last = calloc(keys, sizeof *last);
    bool *seen = calloc(count, sizeof *seen);

    assert_int_equal(of->count, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = of->numbers[i], key = number % keys;

        assert_true(number < count && !seen[number]);
        seen[number] = true;
        assert_true(last[key] == 0 || number > last[key] - 1);
        last[key] = number + 1;
    }
    free(last);
    free(seen);
}

static void make_mapping(ls_stream *stream, const ls_mapping_options *options)
{
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, options), LS_OK);
}

/* ---- batches and progress ---- */

static void every_record_is_handled_once_and_in_order(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 3);
    run *of;

    put_numbers(stream, 0, 1000, 20);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_now(of);
    assert_all_once_in_order(of, 1000, 20);
    assert_int_equal(of->largest, 100);
    assert_int_equal(of->overlaps, 0);
    of->count = 0;
    put_numbers(stream, 1000, 1010, 20);
    run_now(of); /* and goes on where it was */
    assert_int_equal(of->count, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_true(of->numbers[i] >= 1000);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void records_that_come_later_are_handled_as_they_come(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 2);
    run *of;

    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_start(of);
    for (uint32_t i = 0; i < 20; i++) {
        put_numbers(stream, i, i + 1, 5);
        await(&of->handled, 1);
    }
    run_stop(of);
    assert_all_once_in_order(of, 20, 5);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_mapping_from_latest_misses_nothing_that_was_put_after_it(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 2);
    const ls_position latest = {.kind = LS_LATEST};
    run *of;

    put_numbers(stream, 0, 50, 7);
    assert_int_equal(ls_mapping_create(stream, "m", &latest, NULL), LS_OK);
    put_numbers(stream, 50, 60, 7);
    of = run_new(stream, "m");
    run_now(of);
    assert_int_equal(of->count, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_true(of->numbers[i] >= 50);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void lanes_keep_the_order_of_each_key(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.lane_count = 10;
    options.records_max = 5;
    put_numbers(stream, 0, 1000, 37);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->random_sleep = 1;
    run_now(of);
    assert_all_once_in_order(of, 1000, 37);
    assert_true(of->overlaps > 0);
    assert_true(of->largest <= 5);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void only_records_that_match_a_filter_are_handled(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    static const char *const filters[] = {"{\"partitionKey\":[\"k1\"]}", "{\"data\":[\"7\"]}"};
    ls_mapping_options options = defaults();
    run *of;

    options.filters = filters;
    options.filter_count = 1;
    if (strstr(ls_version_features(), "json") == NULL) {
        assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_ERR_UNSUPPORTED);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        return;
    }
    put_numbers(stream, 0, 100, 10);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    run_now(of);
    assert_int_equal(of->count, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(of->numbers[i] % 10, 1);
    assert_int_equal(of->invocations, 1); /* what does not match does not count towards a batch */
    options.filter_count = 0;
    assert_int_equal(ls_mapping_update(stream, "m", &options), LS_OK);
    of->count = 0;
    run_now(of);
    assert_int_equal(of->count, 0); /* the filtered tail was passed */
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- failures ---- */

static void a_batch_that_fails_comes_again_until_it_is_done(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;

    put_numbers(stream, 0, 10, 1);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    of->fails = 5;
    of->fail_times = 3;
    run_now(of);
    assert_int_equal(of->invocations, 4);
    assert_int_equal(of->attempts_max, 3);
    assert_all_once_in_order(of, 10, 1);
    assert_int_equal(of->discard_calls, 0);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_batch_is_given_up_when_retries_are_over(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.retries_max = 2;
    options.records_max = 4;
    put_numbers(stream, 0, 12, 1);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->fails = 5;
    of->fail_times = NEVER;
    of->discard_refusals = 1; /* it is asked again, and the place is not stored before */
    run_now(of);
    assert_int_equal(of->invocations, 2 + 3);
    assert_int_equal(of->count, 8);
    assert_int_equal(of->discard_calls, 2);
    assert_int_equal(of->discarded, 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(of->discarded_numbers[i], 4 + i);
    assert_int_equal(of->reason, LS_DISCARD_RETRIES);
    assert_int_equal(of->invoke_count, 3);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* The arithmetic of the service: eight records, one of them bad, no retries: 4 invocations fail, 3 succeed. */
static ls_mapping_result last_result(ls_stream *stream)
{
    ls_mapping_description *description = NULL;
    ls_mapping_result result;

    assert_int_equal(ls_mapping_describe(stream, "m", &description), LS_OK);
    result = ls_mapping_description_last_result(description);
    ls_mapping_description_free(description);
    return result;
}

static void the_last_result_is_told(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.retries_max = LS_MAPPING_NO_RETRIES;
    options.handler_timeout_ms = 1000;
    assert_int_equal(ls_mapping_description_last_result(NULL), LS_MAPPING_RESULT_NONE);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_NONE);
    put_numbers(stream, 0, 1, 1);
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_OK);
    of->fails = 1;
    of->fail_times = 1;
    put_numbers(stream, 1, 2, 1);
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_FAILED);
    put_numbers(stream, 2, 3, 1);
    of->stops_at = 2; /* That is no result. */
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_FAILED);
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_OK);
    of->sleep_us = 1100000;
    put_numbers(stream, 3, 4, 1);
    run_now(of);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_FAILED);
    assert_int_equal(ls_mapping_seek(stream, "m", &horizon), LS_OK);
    assert_int_equal(last_result(stream), LS_MAPPING_RESULT_NONE);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void bisecting_gives_up_the_bad_record_alone(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.retries_max = LS_MAPPING_NO_RETRIES;
    options.flags = LS_MAPPING_BISECT;
    put_numbers(stream, 0, 8, 1);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->fails = 5;
    of->fail_times = NEVER;
    run_now(of);
    assert_int_equal(of->invocations, 7);
    assert_int_equal(of->count, 7);
    assert_int_equal(of->discarded, 1);
    assert_int_equal(of->discarded_numbers[0], 5);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* The recorded example of the service: 6 records by 3, the last one is reported always, 3 retries. */
static void a_reported_record_is_retried_alone(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.retries_max = 3;
    options.records_max = 3;
    options.flags = LS_MAPPING_REPORT_FAILURES;
    put_numbers(stream, 0, 6, 1);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->reports = 5;
    run_now(of);
    assert_all_once_in_order(of, 5, 1);
    assert_int_equal(of->invocations, 2 + 4);
    assert_int_equal(of->discarded, 1);
    assert_int_equal(of->discarded_numbers[0], 5);
    assert_int_equal(of->invoke_count, 4);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_report_is_ignored_where_it_is_not_asked_for(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;

    put_numbers(stream, 0, 6, 1);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    of->reports = 3;
    run_now(of);
    assert_int_equal(of->invocations, 1);
    assert_int_equal(of->discarded, 0);
    of->count = 0;
    run_now(of);
    assert_int_equal(of->count, 0);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_handler_that_is_late_is_told_and_has_failed(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.handler_timeout_ms = 5;
    options.retries_max = 1;
    put_numbers(stream, 0, 3, 1);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->sleep_us = 20000;
    run_now(of);
    assert_int_equal(of->invocations, 2);
    assert_int_equal(of->late, 2);
    assert_int_equal(of->discarded, 3);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- windows ---- */

/* Windows of a second: three records, a run that stores their state, a pause, and one record in a later window. The
 * first window's last invocation has all three, though it is in another run. */
static void a_windows_state_is_kept_with_the_place(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;
    uint32_t sum = 0;

    options.tumbling_window_s = 1;
    options.records_max = 2;
    put_numbers(stream, 0, 3, 1);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->counts_windows = true;
    run_now(of);
    assert_int_equal(of->count, 3);
    usleep(1200000);
    put_numbers(stream, 3, 4, 1);
    run_now(of);
    assert_int_equal(of->count, 4);
    assert_true(of->finals >= 1); /* more, when the three were put as a second began */
    for (uint32_t i = 0; i < of->finals; i++)
        sum += of->final_counts[i];
    assert_int_equal(sum, 3);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_handler_answer without_state(const ls_batch *batch, ls_handler_context *context, void *user)
{
    ls_handler_window window = LS_HANDLER_WINDOW_INIT;

    (void)user;
    if (ls_handler_get_window(context, &window) == LS_ERR_STATE && ls_handler_set_state(context, text("s")) ==
        LS_ERR_STATE && ls_batch_place(batch, NULL, 0, NULL) == LS_ERR_STATE)
        ((run *)user)->count++;
    window.size = 0;
    if (ls_handler_get_window(context, &window) == LS_ERR_INVALID_ARGUMENT)
        ((run *)user)->late++;
    return LS_HANDLER_DONE;
}

static void without_windows_there_is_no_state(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;

    put_numbers(stream, 0, 1, 1);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    assert_int_equal(ls_mapping_run(of->mapping, &of->options, without_state, of), LS_OK);
    assert_int_equal(of->count, 1);
    assert_int_equal(of->late, 1);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- shards ---- */

/* A shard is split twice, and two are merged, while it is worked on: everything once, each key in its order. */
static void children_follow_their_parents(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;

    put_numbers(stream, 0, 300, 13);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    of->sleep_us = 1000;
    run_start(of);
    await(&of->handled, 1);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    put_numbers(stream, 300, 600, 13);
    assert_int_equal(ls_stream_split(stream, 1, NULL, NULL, NULL), LS_OK);
    put_numbers(stream, 600, 900, 13);
    assert_int_equal(ls_stream_merge(stream, 3, 4, NULL), LS_OK);
    put_numbers(stream, 900, 1200, 13);
    await(&of->handled, 1199);
    run_stop(of);
    assert_all_once_in_order(of, 1200, 13);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_run_that_catches_up_follows_into_children(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;

    put_numbers(stream, 0, 50, 5);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    put_numbers(stream, 50, 100, 5);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    of->options.shards_max = 1;
    run_now(of);
    assert_all_once_in_order(of, 100, 5);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- what ends a run, and what it goes by ---- */

static void a_handler_can_stop_the_run_and_its_batch_comes_again(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    options.records_max = 10;
    put_numbers(stream, 0, 30, 1);
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->options.flags = 0;
    of->stops_at = 15;
    run_now(of);
    assert_int_equal(of->count, 10);
    of->options.flags = LS_RUN_UNTIL_CAUGHT_UP;
    run_now(of);
    assert_all_once_in_order(of, 30, 1);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* The lease of a shard. */
static ls_lease_info look_at_lease(ls_stream *stream, uint32_t shard)
{
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_lease_list *list = NULL;

    assert_int_equal(ls_stream_list_leases(stream, "m", &list), LS_OK);
    assert_int_equal(ls_lease_list_at(list, shard, &info), LS_OK);
    assert_int_equal(info.shard, shard);
    ls_lease_list_free(list);
    return info;
}

/* Until nobody works on the first shard. */
static void await_given_back(ls_stream *stream)
{
    for (int i = 0; i < 3000 && look_at_lease(stream, 0).owner[0] != 0; i++)
        usleep(10000);
    assert_string_equal(look_at_lease(stream, 0).owner, "");
}

static void a_run_waits_while_the_mapping_is_paused(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;
    int value;

    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_start(of);
    put_numbers(stream, 0, 1, 1);
    await(&of->handled, 1);
    assert_int_equal(ls_mapping_pause(stream, "m"), LS_OK);
    await_given_back(stream);
    put_numbers(stream, 1, 10, 1);
    usleep(100000);
    assert_int_equal(sem_getvalue(&of->handled, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(ls_mapping_resume(stream, "m"), LS_OK);
    await(&of->handled, 9);
    run_stop(of);
    assert_all_once_in_order(of, 10, 1);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_run_goes_by_new_settings(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    run *of;

    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_start(of);
    put_numbers(stream, 0, 1, 1);
    await(&of->handled, 1);
    options.records_max = 2;
    assert_int_equal(ls_mapping_pause(stream, "m"), LS_OK);
    await_given_back(stream);
    assert_int_equal(ls_mapping_update(stream, "m", &options), LS_OK);
    put_numbers(stream, 1, 20, 1);
    assert_int_equal(ls_mapping_resume(stream, "m"), LS_OK);
    await(&of->handled, 19);
    run_stop(of);
    assert_all_once_in_order(of, 20, 1);
    assert_int_equal(of->largest, 2);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_mapping_is_moved_also_while_it_is_run(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 2);
    const ls_position latest = {.kind = LS_LATEST}, bad = {.kind = LS_AT_SEQUENCE_NUMBER, .seqno = 1};
    ls_mapping_description *description = NULL;
    ls_mapping_info info = LS_MAPPING_INFO_INIT;
    run *of;

    put_numbers(stream, 0, 20, 7);
    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_now(of);
    assert_int_equal(of->count, 20);
    assert_int_equal(ls_mapping_seek(stream, "m", &horizon), LS_OK); /* back */
    of->count = 0;
    run_now(of);
    assert_all_once_in_order(of, 20, 7);
    put_numbers(stream, 20, 30, 7);
    assert_int_equal(ls_mapping_seek(stream, "m", &latest), LS_OK); /* forwards */
    put_numbers(stream, 30, 33, 7);
    of->count = 0;
    run_now(of);
    assert_int_equal(of->count, 3);
    assert_int_equal(ls_mapping_describe(stream, "m", &description), LS_OK);
    assert_int_equal(ls_mapping_description_info(description, &info), LS_OK);
    assert_int_equal(info.start, LS_LATEST);
    ls_mapping_description_free(description);
    while (sem_trywait(&of->handled) == 0)
        continue;
    of->count = 0;
    run_start(of);
    put_numbers(stream, 33, 34, 7);
    await(&of->handled, 1);
    assert_int_equal(ls_mapping_seek(stream, "m", &horizon), LS_OK);
    await(&of->handled, 34);
    run_stop(of);
    assert_int_equal(of->count, 35);
    assert_int_equal(of->numbers[0], 33);
    assert_int_equal(ls_mapping_seek(stream, "m", &bad), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_mapping_seek(stream, "n", &horizon), LS_ERR_NOT_FOUND);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_run_of_a_deleted_mapping_ends(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    run *of;

    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_start(of);
    put_numbers(stream, 0, 1, 1);
    await(&of->handled, 1);
    assert_int_equal(ls_mapping_delete(stream, "m"), LS_OK);
    assert_int_equal(pthread_join(of->thread, NULL), 0);
    assert_int_equal(of->st, LS_ERR_NOT_FOUND);
    assert_non_null(strstr(of->message, "'m'"));
    make_mapping(stream, NULL); /* one of the same name begins anew, and is not what the handle was opened for */
    run_body(of);
    assert_int_equal(of->st, LS_ERR_NOT_FOUND);
    run_free(of);
    of = run_new(stream, "m");
    run_now(of);
    assert_all_once_in_order(of, 1, 1);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_handle_has_one_run_and_is_not_closed_under_it(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_run_options bad = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping *none = NULL;
    run *of;

    make_mapping(stream, NULL);
    of = run_new(stream, "m");
    run_start(of);
    put_numbers(stream, 0, 1, 1);
    await(&of->handled, 1);
    assert_int_equal(ls_mapping_run(of->mapping, NULL, handle, of), LS_ERR_STATE);
    assert_int_equal(ls_mapping_close(of->mapping), LS_ERR_STATE);
    assert_int_equal(ls_stream_close(stream), LS_ERR_STATE);
    run_stop(of);
    run_now(of); /* stopped for good */
    bad.flags = 2;
    assert_int_equal(ls_mapping_run(of->mapping, &bad, handle, of), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("0x2"));
    bad.flags = 0;
    bad.failover_ms = 99;
    assert_int_equal(ls_mapping_run(of->mapping, &bad, handle, of), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("options.failover_ms is 99: it is 100..600000"));
    assert_int_equal(ls_mapping_run(of->mapping, NULL, NULL, of), LS_ERR_INVALID_ARGUMENT);
    run_free(of);
    assert_int_equal(ls_mapping_open(stream, "none", &none), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_mapping_close(NULL), LS_OK);
    ls_mapping_stop(NULL);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void stopping_is_waited_for_as_long_as_is_asked(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_mapping_options options = defaults();
    struct timespec from, to;
    int64_t waited_ms;
    run *of;

    options.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT;
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    assert_int_equal(ls_mapping_wait(of->mapping, -1), LS_OK); /* There is none yet. */
    of->sleep_us = 500000;
    put_numbers(stream, 0, 1, 1);
    run_start(of);
    while (atomic_load(&of->busy[0]) == 0)
        usleep(1000);
    ls_mapping_stop(of->mapping);
    assert_int_equal(ls_mapping_wait(of->mapping, 0), LS_ERR_BUSY);
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(ls_mapping_wait(of->mapping, 50), LS_ERR_BUSY);
    assert_true(says("has not returned after 50 ms"));
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    waited_ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
    assert_true(waited_ms >= 49);
    assert_int_equal(ls_mapping_wait(of->mapping, -1), LS_OK);
    assert_int_equal(of->count, 1);
    assert_int_equal(ls_mapping_wait(of->mapping, 0), LS_OK);
    assert_int_equal(ls_mapping_wait(of->mapping, -2), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_mapping_wait(NULL, 0), LS_ERR_INVALID_ARGUMENT);
    run_stop(of);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- several runs ---- */

static uint32_t total(run *of)
{
    uint32_t count;

    pthread_mutex_lock(&of->mutex);
    count = of->count;
    pthread_mutex_unlock(&of->mutex);
    return count;
}

/* Whether what was handled last are the numbers below `count`, in order, after others. */
static bool ends_with_all(run *of, uint32_t count)
{
    bool does;

    pthread_mutex_lock(&of->mutex);
    does = of->count > count;
    for (uint32_t i = 0; does && i < count; i++)
        does = of->numbers[of->count - count + i] == i;
    pthread_mutex_unlock(&of->mutex);
    return does;
}

static uint32_t shards_of(run *of, uint32_t from)
{
    bool seen[64] = {false};
    uint32_t count = 0;

    pthread_mutex_lock(&of->mutex);
    for (uint32_t i = from; i < of->count; i++) {
        count += !seen[of->shards[i]];
        seen[of->shards[i]] = true;
    }
    pthread_mutex_unlock(&of->mutex);
    return count;
}

/* Two runs come to have two of four shards each; when one ends the other has all, and nothing came twice. */
static void runs_share_the_shards(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 4);
    uint32_t put = 0, from_a = 0, from_b = 0;
    bool *seen = calloc(SEEN_MAX, sizeof *seen);
    run *a, *b;

    make_mapping(stream, NULL);
    a = run_new(stream, "m");
    b = run_new(stream, "m");
    run_start(a);
    put_numbers(stream, 0, 40, 40);
    put = 40;
    await(&a->handled, 40);
    run_start(b);
    for (int turn = 0; turn < 200 && (shards_of(a, from_a) != 2 || shards_of(b, from_b) != 2); turn++) {
        uint32_t before = put;

        from_a = total(a);
        from_b = total(b);
        put_numbers(stream, put, put + 40, 40);
        put += 40;
        for (int i = 0; i < 3000 && total(a) + total(b) < before + 40; i++)
            usleep(10000);
        assert_int_equal(total(a) + total(b), put);
    }
    assert_int_equal(shards_of(a, from_a), 2);
    assert_int_equal(shards_of(b, from_b), 2);
    run_stop(a);
    from_b = total(b);
    put_numbers(stream, put, put + 40, 40);
    put += 40;
    for (int i = 0; i < 3000 && total(a) + total(b) < put; i++)
        usleep(10000);
    run_stop(b);
    assert_int_equal(shards_of(b, from_b), 4);
    for (uint32_t i = 0; i < a->count + b->count; i++) {
        uint32_t number = i < a->count ? a->numbers[i] : b->numbers[i - a->count];

        assert_false(seen[number]);
        seen[number] = true;
    }
    assert_int_equal(a->count + b->count, put);
    free(seen);
    run_free(a);
    run_free(b);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* What one run may not have the others take. */
static void a_run_with_a_limit_leaves_the_rest_to_others(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 4);
    run *a, *b;

    make_mapping(stream, NULL);
    a = run_new(stream, "m");
    b = run_new(stream, "m");
    a->options.shards_max = 1;
    run_start(a);
    put_numbers(stream, 0, 40, 40);
    await(&a->handled, 1);
    run_start(b);
    for (int i = 0; i < 3000 && total(a) + total(b) < 40; i++)
        usleep(10000);
    run_stop(a);
    run_stop(b);
    assert_int_equal(a->count + b->count, 40);
    assert_int_equal(shards_of(a, 0), 1);
    assert_int_equal(shards_of(b, 0), 3);
    run_free(a);
    run_free(b);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Whoever has a lease, from now on, beneath those who work on it. `ticket` 0: nobody. */
static void set_owner(ls_stream *stream, uint32_t shard, uint64_t ticket, const lsi_lease_row *as)
{
    const lsi_memory memory = stream->stream->engine->env.memory;
    lsi_group_settings settings;
    lsi_lease_row *rows = NULL;
    bool is_done = false;

    while (!is_done) {
        uint32_t count, at = 0;

        assert_int_equal(lsi_group_find(stream->stream, "m", &settings), LS_OK);
        assert_int_equal(lsi_lease_rows(stream->stream, "m", &rows, &count), LS_OK);
        while (at < count && rows[at].place.shard != shard)
            at++;
        assert_true(at < count);
        if (as != NULL) {
            rows[at].place.kind = as->place.kind;
            rows[at].seqno = as->seqno;
        }
        rows[at].owner = ticket;
        rows[at].counter++;
        assert_int_equal(lsi_lease_write(stream->stream, "m", &settings, &rows[at], 1, (lsi_lease_beside){NULL, 0},
                                         &is_done), LS_OK);
        lsi_free(&memory, rows);
    }
}

/* Somebody who lives has the shards, and was never heard of again: after `failover_ms` they are taken. */
static void a_run_that_is_not_heard_of_loses_its_shards(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 2);
    struct timespec from, to;
    run *of;

    put_numbers(stream, 0, 40, 40);
    make_mapping(stream, NULL);
    for (uint32_t shard = 0; shard < 2; shard++)
        set_owner(stream, shard, stream->stream->engine->ops->ticket(stream->stream->engine), NULL);
    of = run_new(stream, "m");
    of->options.failover_ms = 300;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    run_start(of);
    await(&of->handled, 40);
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 >= 290);
    run_stop(of);
    assert_all_once_in_order(of, 40, 40);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A lease that was taken, moved back and given back beneath a run: what it notes afterwards is refused, it stops, and
 * begins anew from there. */
static void who_was_taken_for_dead_stores_nothing(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    const lsi_lease_row horizon_row = {.place = {0, LSI_LEASE_HORIZON}};
    ls_mapping_options options = defaults();
    run *of;

    options.sync_interval_ms = 50;
    make_mapping(stream, &options);
    of = run_new(stream, "m");
    of->options.failover_ms = 300;
    run_start(of);
    put_numbers(stream, 0, 5, 1);
    await(&of->handled, 5);
    set_owner(stream, 0, 0, &horizon_row);
    put_numbers(stream, 5, 6, 1);
    for (int i = 0; i < 3000 && !ends_with_all(of, 6); i++)
        usleep(10000);
    run_stop(of);
    assert_true(of->count >= 6 + 5); /* The sixth comes twice where it was handled before the run knew. */
    assert_true(ends_with_all(of, 6));
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_push_answer refuse_batches(const ls_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    return LS_PUSH_STOP;
}

/* What a mapping is run by shows as the leases of a group of its name; to workers of groups it is none. */
static void a_mapping_is_a_group_of_its_own(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_group *group = NULL;
    run *of;

    assert_int_equal(ls_group_open(stream, "g", NULL, &group), LS_OK);
    assert_int_equal(ls_group_close(group), LS_OK);
    assert_int_equal(ls_mapping_create(stream, "g", &horizon, NULL), LS_ERR_EXISTS);
    assert_true(says("group 'g'"));
    make_mapping(stream, NULL);
    assert_int_equal(ls_group_open(stream, "m", NULL, &group), LS_ERR_STATE);
    assert_true(says("'m' is a mapping"));
    assert_int_equal(ls_group_delete(stream, "m"), LS_ERR_STATE);
    of = run_new(stream, "m");
    run_start(of);
    put_numbers(stream, 0, 3, 1);
    await(&of->handled, 3);
    assert_int_not_equal(look_at_lease(stream, 0).owner[0], 0);
    assert_int_equal(look_at_lease(stream, 0).owner_lives, 1);
    run_stop(of);
    assert_string_equal(look_at_lease(stream, 0).owner, "");
    assert_int_equal(look_at_lease(stream, 0).state, LS_LEASE_BEGUN);
    assert_int_equal(look_at_lease(stream, 0).millis_behind_latest, 0);
    assert_int_equal(ls_mapping_delete(stream, "m"), LS_OK);
    assert_int_equal(ls_group_open(stream, "m", NULL, &group), LS_OK); /* The name is free. */
    assert_int_equal(ls_group_close(group), LS_OK);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A mapping that reads as a registered consumer has the consumer's subscription of each shard, and waits for whoever
 * else has it; without the consumer it ends. */
static void a_mapping_reads_as_a_consumer(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 2);
    ls_mapping_options options = defaults();
    ls_mapping_options is = LS_MAPPING_OPTIONS_INIT;
    ls_mapping_description *description = NULL;
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_consumer *consumer = NULL;
    run *of;

    assert_int_equal(ls_consumer_register(stream, "fast", &info), LS_OK);
    options.consumer = "fast";
    make_mapping(stream, &options);
    assert_int_equal(ls_mapping_describe(stream, "m", &description), LS_OK);
    assert_int_equal(ls_mapping_description_options(description, &is), LS_OK);
    assert_string_equal(is.consumer, "fast");
    ls_mapping_description_free(description);
    put_numbers(stream, 0, 40, 40);
    of = run_new(stream, "m");
    run_start(of);
    await(&of->handled, 40);
    assert_int_equal(ls_consumer_open(stream, "fast", &consumer), LS_OK);
    assert_int_equal(ls_consumer_subscribe(consumer, 0, NULL, NULL, refuse_batches, NULL), LS_ERR_STATE);
    assert_true(says("shard 0")); /* It is the mapping's. */
    while (ls_consumer_subscribe(consumer, 0, NULL, NULL, refuse_batches, NULL) != LS_OK) {
        assert_int_equal(ls_last_error_status(), LS_ERR_STATE);
        usleep(200000); /* After 5 seconds it is taken over, */
    }
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    put_numbers(stream, 40, 80, 40);
    await(&of->handled, 40); /* and had back when the other one has ended. */
    run_stop(of);
    assert_all_once_in_order(of, 80, 40);
    run_free(of);
    of = run_new(stream, "m");
    run_start(of);
    put_numbers(stream, 80, 81, 40);
    await(&of->handled, 1);
    assert_int_equal(ls_consumer_deregister(stream, "fast"), LS_OK);
    assert_int_equal(pthread_join(of->thread, NULL), 0);
    assert_int_equal(of->st, LS_ERR_NOT_FOUND);
    assert_non_null(strstr(of->message, "'fast'"));
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_record_is_handled_once_and_in_order),
        TEST(records_that_come_later_are_handled_as_they_come),
        TEST(a_mapping_from_latest_misses_nothing_that_was_put_after_it),
        TEST(lanes_keep_the_order_of_each_key),
        TEST(only_records_that_match_a_filter_are_handled),
        TEST(a_batch_that_fails_comes_again_until_it_is_done),
        TEST(a_batch_is_given_up_when_retries_are_over),
        TEST(the_last_result_is_told),
        TEST(bisecting_gives_up_the_bad_record_alone),
        TEST(a_reported_record_is_retried_alone),
        TEST(a_report_is_ignored_where_it_is_not_asked_for),
        TEST(a_handler_that_is_late_is_told_and_has_failed),
        TEST(a_windows_state_is_kept_with_the_place),
        TEST(without_windows_there_is_no_state),
        TEST(children_follow_their_parents),
        TEST(a_run_that_catches_up_follows_into_children),
        TEST(a_handler_can_stop_the_run_and_its_batch_comes_again),
        TEST(a_run_waits_while_the_mapping_is_paused),
        TEST(a_run_goes_by_new_settings),
        TEST(a_mapping_is_moved_also_while_it_is_run),
        TEST(a_run_of_a_deleted_mapping_ends),
        TEST(a_handle_has_one_run_and_is_not_closed_under_it),
        TEST(stopping_is_waited_for_as_long_as_is_asked),
        TEST(runs_share_the_shards),
        TEST(a_run_with_a_limit_leaves_the_rest_to_others),
        TEST(a_run_that_is_not_heard_of_loses_its_shards),
        TEST(who_was_taken_for_dead_stores_nothing),
        TEST(a_mapping_is_a_group_of_its_own),
        TEST(a_mapping_reads_as_a_consumer),
    };

    run_everywhere("runs of mappings", tests);
}
