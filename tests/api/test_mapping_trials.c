/* Attempts are of a batch, whoever makes them: they go on after a death of the process in a handler, which is one that
 * failed, after an update, a pause, a restart, and in another process; and so does the size that a split has come to.
 * What ends without a failure is none. */
#include "api/mapping_support.h"
#include "api/metrics_support.h"
#include "support/one_window.h"

#include <signal.h>
#include <sys/mman.h>

#define FAILED "failed"
#define CALLS_MAX 256u

/* What handlers were called with, whatever process they were of. */
typedef struct called {
    _Atomic uint32_t count;
    struct {
        uint32_t first, count, attempts;
    } calls[CALLS_MAX];
} called;

typedef enum { DIES, EXITS, FAILS, STOPS, STANDS } way;

/* What a process does that runs the mapping. */
typedef struct process {
    const char *location;
    called *diary;
    uint32_t number; /* at which it does it; NEVER */
    way how;
    uint32_t times;  /* FAILS: and then it dies while none runs; 0: it goes on failing */
    uint32_t failover_ms, flags;
    ls_mapping *mapping;
} process;

static called *diary_new(void)
{
    called *of = mmap(NULL, sizeof *of, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(of, MAP_FAILED);
    return of;
}

static void diary_free(called *of)
{
    assert_int_equal(munmap(of, sizeof *of), 0);
}

/* As "first+count" or "first+count again attempts", in order. */
static const char *diary_text(const called *of)
{
    static char text[CALLS_MAX * 32];
    size_t used = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < atomic_load(&of->count); i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%u+%u", i > 0 ? ", " : "", of->calls[i].first,
                                 of->calls[i].count);
        if (of->calls[i].attempts > 0)
            used += (size_t)snprintf(text + used, sizeof text - used, " again %u", of->calls[i].attempts);
    }
    return text;
}

static void assert_begins(const called *of, const char *expected)
{
    if (strncmp(diary_text(of), expected, strlen(expected)) != 0)
        fail_msg("it was '%s', and not '%s'", diary_text(of), expected);
}

static ls_handler_answer tell(const ls_batch *batch, ls_handler_context *context, void *user)
{
    process *of = user;
    uint32_t at = atomic_fetch_add(&of->diary->count, 1);
    bool is_met = false;

    (void)ls_handler_set_state(context, text("s")); /* It has none without windows. */
    if (at >= CALLS_MAX)
        return LS_HANDLER_STOP;
    of->diary->calls[at].count = (uint32_t)ls_batch_count(batch);
    of->diary->calls[at].first = ls_batch_count(batch) > 0 ? number_of(ls_batch_at(batch, 0)) : NEVER;
    of->diary->calls[at].attempts = ls_handler_attempts(context);
    for (size_t i = 0; i < ls_batch_count(batch); i++)
        is_met = is_met || number_of(ls_batch_at(batch, i)) == of->number;
    if (!is_met)
        return LS_HANDLER_DONE;
    switch (of->how) {
    case DIES:
        (void)raise(SIGKILL);
        break;
    case EXITS:
        _exit(3);
    case FAILS:
        return LS_HANDLER_RETRY;
    case STOPS:
        return LS_HANDLER_STOP;
    case STANDS:
        (void)raise(SIGSTOP);
        break;
    }
    return LS_HANDLER_DONE;
}

/* Kills the process once the handler has failed so often and returned. */
static void *watch(void *user)
{
    const process *of = user;

    while (atomic_load(&of->diary->count) < of->times)
        usleep(1000);
    usleep(20000);
    (void)raise(SIGKILL);
    return NULL;
}

static int body(process *of)
{
    ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    pthread_t thread;

    if (ls_store_open(of->location, NULL, &store) != LS_OK || ls_stream_open(store, STREAM, &stream) != LS_OK ||
        ls_mapping_open(stream, "m", &of->mapping) != LS_OK)
        return 1;
    if (of->times > 0 && pthread_create(&thread, NULL, watch, of) != 0)
        return 1;
    options.flags = of->flags;
    options.failover_ms = of->failover_ms;
    if (ls_mapping_run(of->mapping, &options, tell, of) != LS_OK)
        return 2;
    return ls_mapping_close(of->mapping) == LS_OK && ls_stream_close(stream) == LS_OK && ls_store_close(store) == LS_OK
               ? 0 : 1;
}

static pid_t process_start(process *of)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        alarm(WAIT_S);
        _exit(body(of));
    }
    return child;
}

/* Whether it ended by itself, and well. */
static bool process_end(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
        return false;
    if (WIFEXITED(status))
        assert_int_equal(WEXITSTATUS(status), 0);
    else
        assert_int_equal(WTERMSIG(status), SIGKILL);
    return WIFEXITED(status);
}

/* Processes, one after the other, until one is through. How many were not. */
static uint32_t run_processes(fixture *fx, called *diary, uint32_t number, way how)
{
    process of = {.location = fx->location, .diary = diary, .number = number, .how = how,
                  .flags = LS_RUN_UNTIL_CAUGHT_UP};
    uint32_t deaths = 0;

    while (!process_end(process_start(&of)))
        if (++deaths == 20)
            fail_msg("no process gets through: %s", diary_text(diary));
    return deaths;
}

/* Nobody else has the store open while they run, so that nobody remembers but the store. */
static void close_store(fixture *fx)
{
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    fx->store = NULL;
}

static ls_stream *open_store(fixture *fx)
{
    ls_stream *stream = NULL;

    assert_int_equal(ls_store_open(fx->location, NULL, &fx->store), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, STREAM, &stream), LS_OK);
    return stream;
}

static void prepare(fixture *fx, uint32_t numbers, uint32_t keys, ls_mapping_options *options)
{
    ls_stream *failures = make_stream(fx, FAILED, 1), *stream = make_stream(fx, STREAM, 1);

    put_numbers(stream, 0, numbers, keys);
    options->failure_stream = FAILED;
    make_mapping(stream, options);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_stream_close(failures), LS_OK);
}

/* The reports; each has all of the words. */
static uint32_t count_reports(fixture *fx, const char *const *words, size_t count)
{
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    ls_stream *stream = NULL;
    uint32_t reports;

    assert_int_equal(ls_stream_open(fx->store, FAILED, &stream), LS_OK);
    assert_int_equal(ls_iterator_open_all(stream, &horizon, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    reports = (uint32_t)ls_batch_count(batch);
    for (uint32_t i = 0; i < reports; i++) {
        const ls_record *record = ls_batch_at(batch, i);
        char *document = calloc(1, record->data.size + 1);

        memcpy(document, record->data.data, record->data.size);
        for (size_t k = 0; k < count; k++)
            if (strstr(document, words[k]) == NULL)
                fail_msg("'%s' is not in %s", words[k], document);
        free(document);
    }
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    return reports;
}

/* ---- deaths ---- */

static void what_kills_its_process_is_given_up_when_retries_are_over(void **state)
{
    static const char *const words[] = {"\"RetryAttemptsExhausted\"", "\"approximateInvokeCount\":3",
                                        "\"functionError\":\"Unhandled\"", "\"batchSize\":4"};
    ls_mapping_options options = defaults();
    fixture *fx = *state;

    options.retries_max = 2;
    options.records_max = 4;
    prepare(fx, 12, 1, &options);
    for (way how = DIES; how <= EXITS; how++) {
        ls_stream *stream;
        called *diary = diary_new();

        close_store(fx);
        assert_int_equal(run_processes(fx, diary, 5, how), 3);
        assert_string_equal(diary_text(diary), "0+4, 4+4, 4+4 again 1, 4+4 again 2, 8+4");
        stream = open_store(fx);
        assert_int_equal(count_reports(fx, words, 4), how - DIES + 1);
        assert_int_equal(ls_mapping_seek(stream, "m", &horizon), LS_OK); /* for the other way */
        assert_int_equal(ls_stream_close(stream), LS_OK);
        diary_free(diary);
    }
}

static void without_retries_one_death_is_enough(void **state)
{
    ls_mapping_options options = defaults();
    called *diary = diary_new();
    fixture *fx = *state;

    options.retries_max = LS_MAPPING_NO_RETRIES;
    options.records_max = 1;
    prepare(fx, 3, 1, &options);
    assert_int_equal(run_processes(fx, diary, 0, DIES), 1);
    assert_string_equal(diary_text(diary), "0+1, 1+1, 2+1");
    assert_int_equal(count_reports(fx, NULL, 0), 1);
    diary_free(diary);
}

/* A death is an error of an invocation, though who had it did not live to count it; and the last result. */
static void a_death_is_counted_and_told(void **state)
{
    ls_mapping_description *description = NULL;
    ls_mapping_options options = defaults();
    called *diary = diary_new();
    fixture *fx = *state;
    ls_stream *stream;
    exposition *read;

    options.retries_max = LS_MAPPING_NO_RETRIES;
    prepare(fx, 3, 1, &options);
    assert_int_equal(run_processes(fx, diary, 1, DIES), 1);
    assert_string_equal(diary_text(diary), "0+3");
    assert_int_equal(ls_stream_open(fx->store, STREAM, &stream), LS_OK);
    assert_int_equal(ls_mapping_describe(stream, "m", &description), LS_OK);
    assert_int_equal(ls_mapping_description_last_result(description), LS_MAPPING_RESULT_FAILED);
    ls_mapping_description_free(description);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    read = exposition_of(fx->store);
    assert_true(exposition_value(read, "libstream_mapping_invocations_total",
                                 "mapping=\"m\",result=\"error\",stream=\"" STREAM "\"") == 1);
    assert_true(exposition_value(read, "libstream_mapping_records_total",
                                 "mapping=\"m\",outcome=\"failed\",stream=\"" STREAM "\"") == 3);
    exposition_free(read);
    diary_free(diary);
}

/* The arithmetic of the service, as without deaths: eight records, one of them bad, no retries. */
static void a_batch_that_kills_is_split(void **state)
{
    static const char *const words[] = {"\"approximateInvokeCount\":1", "\"batchSize\":1"};
    ls_mapping_options options = defaults();
    called *diary = diary_new();
    fixture *fx = *state;

    options.retries_max = LS_MAPPING_NO_RETRIES;
    options.flags = LS_MAPPING_BISECT;
    prepare(fx, 8, 1, &options);
    close_store(fx);
    assert_int_equal(run_processes(fx, diary, 5, DIES), 4);
    assert_string_equal(diary_text(diary), "0+8, 0+4, 4+4, 4+2, 4+1, 5+1, 6+2");
    assert_int_equal(ls_stream_close(open_store(fx)), LS_OK);
    assert_int_equal(count_reports(fx, words, 2), 1);
    diary_free(diary);
}

/* Of four lanes one has the bad record. The others' batches, of one record each, are done or die with it. */
static void of_several_lanes_the_one_that_kills_is_counted(void **state)
{
    ls_mapping_options options = defaults();
    called *diary = diary_new();
    fixture *fx = *state;
    uint32_t bad = 0;

    options.retries_max = 3;
    options.records_max = 1;
    options.lane_count = 4;
    prepare(fx, 40, 40, &options);
    assert_int_equal(run_processes(fx, diary, 17, DIES), 4);
    for (uint32_t i = 0; i < atomic_load(&diary->count); i++)
        if (diary->calls[i].first == 17)
            assert_int_equal(diary->calls[i].attempts, bad++);
    assert_int_equal(bad, 4);
    assert_true(count_reports(fx, NULL, 0) >= 1);
    diary_free(diary);
}

/* With windows a shard goes on from where their state was stored: what was done behind that is done again, by itself. */
static void what_kills_in_a_window_is_given_up(void **state)
{
    ls_mapping_options options = defaults();
    called *diary = diary_new();
    fixture *fx = *state;
    uint32_t bad = 0;

    wait_for_one_window();
    options.retries_max = 2;
    options.records_max = 2;
    options.tumbling_window_s = 900;
    options.sync_interval_ms = 60000;
    prepare(fx, 6, 1, &options);
    assert_int_equal(run_processes(fx, diary, 2, DIES), 3);
    for (uint32_t i = 0; i < atomic_load(&diary->count); i++) {
        assert_int_equal(diary->calls[i].count, 2);
        if (diary->calls[i].first == 2)
            assert_int_equal(diary->calls[i].attempts, bad++);
        else
            assert_int_equal(diary->calls[i].attempts, 0);
    }
    assert_int_equal(bad, 3);
    assert_int_equal(diary->calls[atomic_load(&diary->count) - 1].first, 4);
    assert_int_equal(count_reports(fx, NULL, 0), 1);
    diary_free(diary);
}

/* A batch that failed, twice, and then its process is killed while it waits for its turn: what had returned counts. */
static void failures_outlive_a_process_that_is_killed_later(void **state)
{
    ls_mapping_options options = defaults();
    called *diary = diary_new();
    fixture *fx = *state;
    process of = {.location = fx->location, .diary = diary, .number = 0, .how = FAILS, .times = 2,
                  .flags = LS_RUN_UNTIL_CAUGHT_UP};

    options.retries_max = 3;
    prepare(fx, 3, 1, &options);
    close_store(fx);
    assert_false(process_end(process_start(&of)));
    assert_string_equal(diary_text(diary), "0+3, 0+3 again 1");
    of.times = 0;
    assert_true(process_end(process_start(&of)));
    assert_string_equal(diary_text(diary), "0+3, 0+3 again 1, 0+3 again 2, 0+3 again 3");
    assert_int_equal(ls_stream_close(open_store(fx)), LS_OK);
    assert_int_equal(count_reports(fx, NULL, 0), 1);
    diary_free(diary);
}

/* ---- what is no failure ---- */

static void what_is_stopped_has_not_failed(void **state)
{
    ls_mapping_options options = defaults();
    called *diary = diary_new();
    fixture *fx = *state;
    process of = {.location = fx->location, .diary = diary, .number = 0, .how = STOPS,
                  .flags = LS_RUN_UNTIL_CAUGHT_UP};

    options.retries_max = LS_MAPPING_NO_RETRIES;
    prepare(fx, 3, 1, &options);
    for (int i = 0; i < 3; i++)
        assert_true(process_end(process_start(&of)));
    assert_string_equal(diary_text(diary), "0+3, 0+3, 0+3");
    of.number = NEVER;
    assert_true(process_end(process_start(&of)));
    assert_int_equal(count_reports(fx, NULL, 0), 0);
    diary_free(diary);
}

/* A process that is stopped in a handler loses its shard to another one, for which nothing has failed. */
static void who_only_stands_still_has_not_failed(void **state)
{
    ls_mapping_options options = defaults();
    called *diary = diary_new();
    fixture *fx = *state;
    process of = {.location = fx->location, .diary = diary, .number = 0, .how = STANDS, .failover_ms = 200};
    pid_t stopped;
    int status;

    options.retries_max = LS_MAPPING_NO_RETRIES;
    prepare(fx, 3, 1, &options);
    stopped = process_start(&of);
    assert_int_equal(waitpid(stopped, &status, WUNTRACED), stopped);
    assert_true(WIFSTOPPED(status));
    of.number = NEVER;
    of.flags = LS_RUN_UNTIL_CAUGHT_UP;
    assert_true(process_end(process_start(&of)));
    assert_string_equal(diary_text(diary), "0+3, 0+3");
    assert_int_equal(kill(stopped, SIGKILL), 0);
    assert_false(process_end(stopped));
    assert_true(process_end(process_start(&of)));
    assert_string_equal(diary_text(diary), "0+3, 0+3");
    assert_int_equal(count_reports(fx, NULL, 0), 0);
    diary_free(diary);
}

/* What was finished before a death, and what had not begun, begins anew: nothing of it has failed. */
static void only_what_had_begun_has_failed(void **state)
{
    ls_mapping_options options = defaults();
    called *diary = diary_new();
    fixture *fx = *state;

    options.retries_max = 4;
    options.records_max = 2;
    prepare(fx, 8, 1, &options);
    assert_int_equal(run_processes(fx, diary, 2, DIES), 5);
    assert_string_equal(diary_text(diary), "0+2, 2+2, 2+2 again 1, 2+2 again 2, 2+2 again 3, 2+2 again 4, 4+2, 6+2");
    diary_free(diary);
}

/* ---- changes of the mapping ---- */

static void change_nothing(ls_stream *stream, const ls_mapping_options *options)
{
    assert_int_equal(ls_mapping_update(stream, "m", options), LS_OK);
}

static void pause_and_resume(ls_stream *stream, const ls_mapping_options *options)
{
    (void)options;
    assert_int_equal(ls_mapping_pause(stream, "m"), LS_OK);
    await_given_back(stream);
    assert_int_equal(ls_mapping_resume(stream, "m"), LS_OK);
}

static void put_more(ls_stream *stream, const ls_mapping_options *options)
{
    uint32_t records_max = options->records_max;

    put_numbers(stream, 100, 100 + records_max, 1);
    change_nothing(stream, options);
}

static void *run_in_thread(void *user)
{
    const ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;
    process *of = user;

    return ls_mapping_run(of->mapping, &options, tell, of) == LS_OK ? NULL : of;
}

/* The batch of 0 to 2 fails always, with three retries, and something is done after each failure. */
static void expect_four(fixture *fx, void (*change)(ls_stream *stream, const ls_mapping_options *options))
{
    ls_mapping_options options = defaults();
    process of = {.diary = diary_new(), .number = 0, .how = FAILS};
    ls_stream *stream = NULL;
    pthread_t thread;
    void *result;

    options.retries_max = 3;
    prepare(fx, 3, 1, &options);
    assert_int_equal(ls_stream_open(fx->store, STREAM, &stream), LS_OK);
    assert_int_equal(ls_mapping_open(stream, "m", &of.mapping), LS_OK);
    assert_int_equal(pthread_create(&thread, NULL, run_in_thread, &of), 0);
    for (uint32_t i = 1; i <= 4; i++) {
        for (int ms = 0; ms < WAIT_S * 1000 && atomic_load(&of.diary->count) < i; ms++)
            usleep(1000);
        change(stream, &options);
    }
    for (int ms = 0; ms < WAIT_S * 1000 && count_reports(fx, NULL, 0) == 0; ms++)
        usleep(1000);
    ls_mapping_stop(of.mapping);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_null(result);
    assert_begins(of.diary, "0+3, 0+3 again 1, 0+3 again 2, 0+3 again 3");
    for (uint32_t i = 4; i < atomic_load(&of.diary->count); i++)
        assert_true(of.diary->calls[i].first >= 100);
    assert_int_equal(count_reports(fx, NULL, 0), 1);
    assert_int_equal(ls_mapping_close(of.mapping), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    diary_free(of.diary);
}

static void attempts_outlive_updates(void **state)
{
    expect_four(*state, change_nothing);
}

static void attempts_outlive_pauses(void **state)
{
    expect_four(*state, pause_and_resume);
}

/* The batch is what it was, though there are more records by now. */
static void a_batch_that_failed_gets_no_more_records(void **state)
{
    expect_four(*state, put_more);
}

/* One run after the other: `fails` times it fails, then it is stopped. */
static void run_once(fixture *fx, called *diary, uint32_t number, uint32_t until)
{
    process of = {.diary = diary, .number = number, .how = FAILS};
    ls_stream *stream = NULL;
    pthread_t thread;
    void *result;

    assert_int_equal(ls_stream_open(fx->store, STREAM, &stream), LS_OK);
    assert_int_equal(ls_mapping_open(stream, "m", &of.mapping), LS_OK);
    assert_int_equal(pthread_create(&thread, NULL, run_in_thread, &of), 0);
    for (int ms = 0; ms < WAIT_S * 1000 && atomic_load(&diary->count) < until; ms++)
        usleep(1000);
    ls_mapping_stop(of.mapping);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_null(result);
    assert_int_equal(ls_mapping_close(of.mapping), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void attempts_go_on_in_the_next_run(void **state)
{
    ls_mapping_options options = defaults();
    called *diary = diary_new();
    fixture *fx = *state;

    options.retries_max = 10;
    prepare(fx, 3, 1, &options);
    for (uint32_t i = 1; i <= 3; i++)
        run_once(fx, diary, 0, i);
    assert_string_equal(diary_text(diary), "0+3, 0+3 again 1, 0+3 again 2");
    diary_free(diary);
}

/* They are in the store, not only in what processes share. */
static void attempts_outlive_the_machine(void **state)
{
    ls_mapping_options options = defaults();
    char command[TEMP_PATH_BYTES * 4];
    called *diary = diary_new();
    fixture *fx = *state;

    if (in_memory) {
        diary_free(diary);
        return;
    }
    options.retries_max = 10;
    prepare(fx, 3, 1, &options);
    run_once(fx, diary, 0, 2);
    close_store(fx);
    snprintf(command, sizeof command, "%s/control", fx->location);
    assert_int_equal(unlink(command), 0);
    assert_int_equal(ls_stream_close(open_store(fx)), LS_OK);
    run_once(fx, diary, 0, 3);
    assert_string_equal(diary_text(diary), "0+3, 0+3 again 1, 0+3 again 2");
    diary_free(diary);
}

static void the_size_of_a_split_goes_on_in_the_next_run(void **state)
{
    ls_mapping_options options = defaults();
    called *diary = diary_new();
    fixture *fx = *state;

    options.retries_max = 10;
    options.flags = LS_MAPPING_BISECT;
    prepare(fx, 16, 1, &options);
    run_once(fx, diary, 0, 5); /* down to one record, which fails */
    run_once(fx, diary, NEVER, 7);
    assert_begins(diary, "0+16, 0+8, 0+4, 0+2, 0+1, 0+1 again 1, 1+15");
    diary_free(diary);
}

static void who_wants_fewer_retries_has_it_given_up_at_once(void **state)
{
    ls_mapping_options options = defaults();
    called *diary = diary_new();
    ls_stream *stream = NULL;
    fixture *fx = *state;
    run *of;

    prepare(fx, 3, 1, &options);
    run_once(fx, diary, 0, 3);
    options.retries_max = 1;
    assert_int_equal(ls_stream_open(fx->store, STREAM, &stream), LS_OK);
    assert_int_equal(ls_mapping_update(stream, "m", &options), LS_OK);
    of = run_new(stream, "m");
    run_now(of);
    assert_int_equal(of->invocations, 0);
    assert_int_equal(of->discarded, 3);
    assert_int_equal(of->invoke_count, 3);
    run_free(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    diary_free(diary);
}

/* After two failures something is done, behind which the third is the first. */
static void expect_anew(fixture *fx, void (*change)(ls_stream *stream, const ls_mapping_options *options))
{
    ls_mapping_options options = defaults();
    called *diary = diary_new();
    ls_stream *stream = NULL;

    options.retries_max = 10;
    prepare(fx, 3, 1, &options);
    run_once(fx, diary, 0, 2);
    assert_int_equal(ls_stream_open(fx->store, STREAM, &stream), LS_OK);
    change(stream, &options);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    run_once(fx, diary, 0, 3);
    assert_string_equal(diary_text(diary), "0+3, 0+3 again 1, 0+3");
    diary_free(diary);
}

static void move(ls_stream *stream, const ls_mapping_options *options)
{
    (void)options;
    assert_int_equal(ls_mapping_seek(stream, "m", &horizon), LS_OK);
}

static void who_moves_a_mapping_begins_anew(void **state)
{
    expect_anew(*state, move);
}

static void add_a_lane(ls_stream *stream, const ls_mapping_options *options)
{
    ls_mapping_options more = *options;

    more.lane_count = 2;
    assert_int_equal(ls_mapping_update(stream, "m", &more), LS_OK);
}

/* N6: what was tried by other lanes was another batch. */
static void other_lanes_begin_anew(void **state)
{
    expect_anew(*state, add_a_lane);
}

int main(void)
{
    const struct CMUnitTest among_processes[] = {
        TEST(what_kills_its_process_is_given_up_when_retries_are_over),
        TEST(without_retries_one_death_is_enough),
        TEST(a_death_is_counted_and_told),
        TEST(a_batch_that_kills_is_split),
        TEST(of_several_lanes_the_one_that_kills_is_counted),
        TEST(what_kills_in_a_window_is_given_up),
        TEST(failures_outlive_a_process_that_is_killed_later),
        TEST(what_is_stopped_has_not_failed),
        TEST(who_only_stands_still_has_not_failed),
        TEST(only_what_had_begun_has_failed),
    };
    const struct CMUnitTest tests[] = {
        TEST(attempts_outlive_updates),
        TEST(attempts_outlive_pauses),
        TEST(a_batch_that_failed_gets_no_more_records),
        TEST(attempts_go_on_in_the_next_run),
        TEST(attempts_outlive_the_machine),
        TEST(the_size_of_a_split_goes_on_in_the_next_run),
        TEST(who_wants_fewer_retries_has_it_given_up_at_once),
        TEST(who_moves_a_mapping_begins_anew),
        TEST(other_lanes_begin_anew),
    };

    in_memory = false;
    if (cmocka_run_group_tests_name("attempts among processes", among_processes, NULL, NULL) != 0)
        return 1;
    run_everywhere("attempts", tests);
}
