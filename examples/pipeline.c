/* What the pipelines share. */
#include "pipeline.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

volatile sig_atomic_t pipeline_interrupted;
const char *pipeline_name = "pipeline";

static void note_signal(int number)
{
    pipeline_interrupted = number;
}

void pipeline_begin(const char *name)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;

    pipeline_name = name;
    memset(&action, 0, sizeof(action));
    action.sa_handler = note_signal;
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        (void)sigaction(numbers[i], &action, NULL);  /* Without it a temporary place stays when interrupted, no more. */
    (void)signal(SIGPIPE, SIG_IGN);  /* A closed pipe is reported as a failed write, after cleaning up. */
}

int pipeline_fail_ls(const char *doing)
{
    return pipeline_fail("cannot %s: %s (%s)", doing, ls_last_error_message(),
                         ls_status_name(ls_last_error_status()));
}

int pipeline_fail(const char *format, ...)
{
    va_list arguments;

    (void)fprintf(stderr, "%s: ", pipeline_name);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    return -1;
}

int pipeline_number(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end = NULL;

    errno = 0;
    *out = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    if (end != NULL && *end == 0 && errno == 0 && *out >= least && *out <= most)
        return 0;
    if (most == UINT64_MAX)
        return pipeline_fail("--%s wants a whole number from %" PRIu64 ", not '%s'", option, least, text);
    return pipeline_fail("--%s wants a whole number from %" PRIu64 " to %" PRIu64 ", not '%s'", option, least, most,
                         text);
}

/* ---- the place ---- */

int pipeline_place_make(pipeline_place *place, const char *kept)
{
    char name[64], here[sizeof(place->store)] = "";

    memset(place, 0, sizeof(*place));
    if (kept == NULL) {
        (void)snprintf(name, sizeof(name), "libstream-%s", pipeline_name);
        if (temporary_make(name, place->temporary) != 0)
            return pipeline_fail("cannot make a directory for the store: %s", strerror(errno));
        (void)snprintf(place->store, sizeof(place->store), "%s/store", place->temporary);
        return 0;
    }
    if (*kept != '/' && getcwd(here, sizeof(here)) == NULL)
        return pipeline_fail("--store is relative to a directory that has no name: %s", strerror(errno));
    /* What lies beside it is known to the store by its path: the next run may begin somewhere else. */
    if (*kept == 0 || (size_t)snprintf(place->store, sizeof(place->store), "%s%s%s", here, *kept == '/' ? "" : "/",
                                       kept) >= sizeof(place->store))
        return pipeline_fail("--store wants a path of 1 to %zu bytes", sizeof(place->store) - 1);
    for (size_t end = strlen(place->store); end > 1 && place->store[end - 1] == '/'; end--)
        place->store[end - 1] = 0;  /* What lies beside it has its name with an ending. */
    return 0;
}

/* The lock is free as soon as its holder is gone, however that died. Where there are none, as on some file systems of a
 * network, nobody is kept away. */
int pipeline_place_open(pipeline_place *place, const ls_store_options *options, ls_store **store)
{
    if (ls_store_open(place->store, options, store) != LS_OK)
        return pipeline_fail_ls("open the store");
    place->held = open(place->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place->held < 0 || (flock(place->held, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK))
        return pipeline_fail("cannot use %s: %s", place->store,
                             place->held < 0 ? strerror(errno) : "another pipeline runs on it");
    return 0;
}

int pipeline_place_leave(pipeline_place *place)
{
    if (place->held > 0)
        (void)close(place->held);  /* The lock with it. */
    if (temporary_remove(place->temporary) != 0)
        return pipeline_fail("could not remove %s: %s", place->temporary, strerror(errno));
    return 0;
}

const char *pipeline_path(const pipeline_place *place, const char *ending, char path[PIPELINE_PATH_BYTES])
{
    (void)snprintf(path, PIPELINE_PATH_BYTES, "%s%s", place->store, ending);
    return path;
}

ls_stream *pipeline_stream(ls_store *store, const char *name, const ls_stream_options *options)
{
    ls_stream *stream = NULL;

    if ((ls_stream_create(store, name, options) != LS_OK && ls_last_error_status() != LS_ERR_EXISTS) ||
        ls_stream_open(store, name, &stream) != LS_OK) {
        (void)pipeline_fail_ls("make the stream");
        return NULL;
    }
    return stream;
}

/* ---- pace ---- */

uint64_t pipeline_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void pipeline_sleep_ms(uint64_t ms)
{
    struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    while (!pipeline_interrupted && nanosleep(&left, &left) != 0)
        ;
}

void pipeline_wait(pipeline_pace *pace, uint64_t count)
{
    if (pace->per_second <= 0)
        return;
    if (pace->began_ns == 0)
        pace->began_ns = pipeline_now_ns();
    while (!pipeline_interrupted) {
        double due = (double)pace->began_ns + (double)pace->given / pace->per_second * 1e9;
        double left = due - (double)pipeline_now_ns();

        if (left <= 0)
            break;
        pipeline_sleep_ms(left > 1e8 ? 100 : (uint64_t)(left / 1e6) + 1); /* In slices: a signal just before a sleep. */
    }
    pace->given += count;
}

/* ---- a mapping, or a delivery, that runs meanwhile ---- */

struct pipeline_worker {
    ls_stream *stream;
    char *name;
    ls_batch_handler handler;     /* NULL: it is a delivery */
    void *user;
    ls_delivery_run_options how;  /* of a delivery */
    ls_mapping *mapping;
    ls_delivery *delivery;
    bool until_caught_up;
    bool is_ending;      /* pipeline_work_ending was called, */
    bool is_catching_up; /* and a last run was begun */
    pthread_t thread;
    int result;
    int ended; /* Written by the thread at its end, looked at while waiting for it: atomically. */
};

static void *run(void *user)
{
    pipeline_worker *worker = user;
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_status status;

    if (worker->handler != NULL) {
        how.flags = worker->until_caught_up ? LS_RUN_UNTIL_CAUGHT_UP : 0;
        status = ls_mapping_run(worker->mapping, &how, worker->handler, worker->user);
    } else {
        worker->how.flags = worker->until_caught_up ? LS_DELIVERY_UNTIL_CAUGHT_UP : 0;
        status = ls_delivery_run(worker->delivery, &worker->how);
    }
    if (status != LS_OK)
        worker->result = pipeline_fail_ls(worker->handler != NULL ? "run a mapping" : "run a delivery");
    __atomic_store_n(&worker->ended, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void close_handle(pipeline_worker *worker)
{
    /* Its run is over: there is nothing that could fail. */
    (void)ls_mapping_close(worker->mapping);
    (void)ls_delivery_close(worker->delivery);
    worker->mapping = NULL;
    worker->delivery = NULL;
}

/* A handle is stopped for good, so each run has one of its own. */
static int begin_run(pipeline_worker *worker, bool until_caught_up)
{
    ls_status status;

    worker->until_caught_up = until_caught_up;
    worker->ended = 0;
    status = worker->handler != NULL ? ls_mapping_open(worker->stream, worker->name, &worker->mapping)
                                     : ls_delivery_open(worker->stream, worker->name, &worker->delivery);
    if (status != LS_OK)
        return pipeline_fail_ls("open what is to run");
    errno = pthread_create(&worker->thread, NULL, run, worker);
    if (errno == 0)
        return 0;
    close_handle(worker);
    return pipeline_fail("cannot make a thread: %s", strerror(errno));
}

static void stop_run(pipeline_worker *worker)
{
    ls_mapping_stop(worker->mapping);
    ls_delivery_stop(worker->delivery);
    (void)pthread_join(worker->thread, NULL);
    close_handle(worker);
}

static void release(pipeline_worker *worker)
{
    free(worker->name);
    free(worker);
}

static pipeline_worker *make_worker(ls_stream *stream, const char *name)
{
    pipeline_worker *worker = calloc(1, sizeof(*worker));

    if (worker == NULL || (worker->name = strdup(name)) == NULL) {
        (void)pipeline_fail("no memory");
        free(worker);
        return NULL;
    }
    worker->stream = stream;
    return worker;
}

/* `made`: what came of making it in the store. */
static pipeline_worker *begin_worker(pipeline_worker *worker, ls_status made)
{
    int result = 0;

    if (made != LS_OK && made != LS_ERR_EXISTS)
        result = pipeline_fail_ls(worker->handler != NULL ? "make a mapping" : "make a delivery");
    if (result == 0 && begin_run(worker, false) == 0)
        return worker;
    release(worker);
    return NULL;
}

static const ls_position oldest = {.kind = LS_TRIM_HORIZON};

pipeline_worker *pipeline_work(ls_stream *stream, const char *mapping, const ls_mapping_options *settings,
                               ls_batch_handler handler, void *user)
{
    pipeline_worker *worker = make_worker(stream, mapping);

    if (worker == NULL)
        return NULL;
    worker->handler = handler;
    worker->user = user;
    return begin_worker(worker, ls_mapping_create(stream, mapping, &oldest, settings));
}

pipeline_worker *pipeline_deliver(ls_stream *stream, const char *delivery, const ls_delivery_options *settings,
                                  const ls_delivery_run_options *how)
{
    pipeline_worker *worker = make_worker(stream, delivery);

    if (worker == NULL)
        return NULL;
    worker->how = *how;
    return begin_worker(worker, ls_delivery_create(stream, delivery, &oldest, settings));
}

int pipeline_delivery_change(ls_stream *stream, const char *delivery, uint64_t buffer_bytes, int32_t interval_ms)
{
    ls_delivery_options settings = LS_DELIVERY_OPTIONS_INIT;
    ls_delivery_description *description = NULL;
    ls_status status = ls_delivery_describe(stream, delivery, &description);

    if (status == LS_OK)
        status = ls_delivery_description_options(description, &settings);
    if (status == LS_OK && ((buffer_bytes != 0 && buffer_bytes != settings.buffer_bytes) ||
                            (interval_ms != 0 && interval_ms != settings.interval_ms))) {
        settings.buffer_bytes = buffer_bytes != 0 ? buffer_bytes : settings.buffer_bytes;
        settings.interval_ms = interval_ms != 0 ? interval_ms : settings.interval_ms;
        status = ls_delivery_update(stream, delivery, LS_DELIVERY_ANY_VERSION, &settings);
    }
    ls_delivery_description_free(description);
    return status == LS_OK || status == LS_ERR_NOT_FOUND ? 0 : pipeline_fail_ls("change the delivery");
}

int pipeline_delivery_move(ls_stream *stream, const char *delivery, const char *was, const char *now)
{
    ls_delivery_options settings = LS_DELIVERY_OPTIONS_INIT;
    ls_delivery_description *description = NULL;
    ls_status status = ls_delivery_describe(stream, delivery, &description);

    if (status == LS_OK)
        status = ls_delivery_description_options(description, &settings);
    if (status == LS_OK && settings.directory != NULL && strcmp(settings.directory, was) == 0) {
        settings.directory = now;
        status = ls_delivery_update(stream, delivery, LS_DELIVERY_ANY_VERSION, &settings);
    }
    ls_delivery_description_free(description);
    return status == LS_OK || status == LS_ERR_NOT_FOUND ? 0 : pipeline_fail_ls("change the delivery");
}

void pipeline_work_ending(pipeline_worker *worker)
{
    if (worker == NULL || worker->is_ending)
        return;
    worker->is_ending = true;
    stop_run(worker);
    /* A run that is to end by itself is begun for the rest: what comes while it runs belongs to it as well. */
    if (worker->result == 0 && !pipeline_interrupted) {
        worker->is_catching_up = begin_run(worker, true) == 0;
        worker->result = worker->is_catching_up ? 0 : -1;
    }
}

int pipeline_work_end(pipeline_worker *worker, bool caught_up)
{
    int result;

    if (worker == NULL)
        return 0;
    if (caught_up)
        pipeline_work_ending(worker);
    if (!worker->is_ending) {
        stop_run(worker);
    } else if (worker->is_catching_up) {
        while (caught_up && !__atomic_load_n(&worker->ended, __ATOMIC_ACQUIRE) && !pipeline_interrupted)
            pipeline_sleep_ms(2);
        stop_run(worker);
    }
    result = worker->result;
    release(worker);
    return result;
}
