/* What the tests of running mappings share: records that are numbers, and a run whose handler notes what it saw, and
 * fails, reports or stops where it is told to. */
#ifndef LST_MAPPING_SUPPORT_H
#define LST_MAPPING_SUPPORT_H

#include "api/support.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#define STREAM "orders"
#define WAIT_S 30

static const ls_position horizon = {.kind = LS_TRIM_HORIZON};

/* ---- few words for common calls ---- */

static inline ls_mapping_options defaults(void)
{
    const ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;

    return options;
}

/* Records with their number as data; the key is one of `keys`. */
static inline void put_numbers(ls_stream *stream, uint32_t from, uint32_t to, uint32_t keys)
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

static inline uint32_t number_of(const ls_record *record)
{
    char data[16] = "";

    memcpy(data, record->data.data, record->data.size < 15 ? record->data.size : 15);
    return (uint32_t)strtoul(data, NULL, 10);
}

static inline void await(sem_t *what, uint32_t times)
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
    ls_handler_answer fails_with;
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

static inline ls_handler_answer answer_window(run *of, size_t count, ls_handler_context *context)
{
    ls_handler_window window = LS_HANDLER_WINDOW_INIT;
    char state[16] = "";
    uint32_t sum;

    if (ls_handler_get_window(context, &window) != LS_OK || ls_handler_takes_answer(context) == 0)
        return 77;
    of->first_states += window.state.size == 0;
    memcpy(state, window.state.size > 0 ? window.state.data : "", window.state.size);
    sum = (uint32_t)strtoul(state, NULL, 10) + (uint32_t)count;
    if (window.is_final)
        of->final_counts[of->finals++] = sum;
    snprintf(state, sizeof state, "%u", sum);
    return ls_handler_set_state(context, text(state)) == LS_OK ? LS_HANDLER_DONE : 77;
}

static inline ls_handler_answer handle(const ls_batch *batch, ls_handler_context *context, void *user)
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
            answer = of->fails_with;
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

static inline int32_t discard(const ls_batch *batch, ls_discard_reason reason, uint32_t invoke_count, void *user)
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

static inline run *run_new(ls_stream *stream, const char *name)
{
    const ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;
    run *of = calloc(1, sizeof *of);

    of->options = options;
    of->options.flags = LS_RUN_UNTIL_CAUGHT_UP;
    of->options.discard = discard;
    of->fails = of->reports = of->stops_at = NEVER;
    of->fails_with = LS_HANDLER_RETRY;
    assert_int_equal(pthread_mutex_init(&of->mutex, NULL), 0);
    assert_int_equal(sem_init(&of->handled, 0, 0), 0);
    assert_int_equal(ls_mapping_open(stream, name, &of->mapping), LS_OK);
    return of;
}

static inline void run_free(run *of)
{
    assert_int_equal(ls_mapping_close(of->mapping), LS_OK);
    sem_destroy(&of->handled);
    pthread_mutex_destroy(&of->mutex);
    free(of);
}

static inline void *run_body(void *user)
{
    run *of = user;

    of->st = ls_mapping_run(of->mapping, &of->options, handle, of);
    if (of->st != LS_OK)
        snprintf(of->message, sizeof of->message, "%s", ls_last_error_message());
    return NULL;
}

static inline void run_now(run *of)
{
    run_body(of);
    if (of->st != LS_OK)
        fail_msg("the run ended with %s: %s", ls_status_name(of->st), of->message);
}

static inline void run_start(run *of)
{
    of->options.flags = 0;
    assert_int_equal(pthread_create(&of->thread, NULL, run_body, of), 0);
}

static inline void run_stop(run *of)
{
    ls_mapping_stop(of->mapping);
    assert_int_equal(pthread_join(of->thread, NULL), 0);
    if (of->st != LS_OK)
        fail_msg("the run ended with %s: %s", ls_status_name(of->st), of->message);
}

/* Each of [0..count) once, and those of a key in order. */
static inline void assert_all_once_in_order(const run *of, uint32_t count, uint32_t keys)
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

static inline void make_mapping(ls_stream *stream, const ls_mapping_options *options)
{
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, options), LS_OK);
}

static inline ls_lease_info look_at_lease(ls_stream *stream, uint32_t shard)
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
static inline void await_given_back(ls_stream *stream)
{
    for (int i = 0; i < 3000 && look_at_lease(stream, 0).owner[0] != 0; i++)
        usleep(10000);
    assert_string_equal(look_at_lease(stream, 0).owner, "");
}

#endif
