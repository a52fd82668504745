/* What the tests of this folder share: a directory, memory that children see, children that end by themselves.
 *
 * Children are made by fork and must not use cmocka's assertions, which jump into the parent's stack: they use
 * child_check(), which ends them with 1, and the parent asserts that they ended well. Each has an alarm, so that a lock
 * that hangs is a failure and not a hanging test. */
#ifndef LST_PROCESSES_H
#define LST_PROCESSES_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <libstream/libstream.h>

#include "api/api.h"
#include "support/hooked_files.h"
#include "support/temp.h"

#define STREAM "orders"
#define CHILD_ALARM_S 60

/* Memory that parent and children share; what the fields mean is the test's. */
typedef struct shared {
    _Atomic uint32_t stage;
    _Atomic uint32_t release;
    _Atomic uint32_t ready;
    _Atomic uint64_t syncs;
    _Atomic uint64_t calls;
    _Atomic uint64_t acknowledged;
} shared;

typedef struct fixture {
    temp_dir temp;
    char path[TEMP_PATH_BYTES * 2]; /* of the store */
    shared *share;
} fixture;

static fixture the_fixture;

static inline int set_up(void **state)
{
    fixture *fx = &the_fixture;

    memset(fx, 0, sizeof *fx);
    temp_make(&fx->temp);
    memcpy(fx->path, temp_path(&fx->temp, "store"), sizeof fx->path);
    fx->share = mmap(NULL, sizeof *fx->share, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *state = fx;
    return fx->share == MAP_FAILED;
}

static inline int tear_down(void **state)
{
    fixture *fx = *state;

    temp_remove(&fx->temp);
    return munmap(fx->share, sizeof *fx->share);
}

static inline int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- children ---- */

#define child_check(what)                                                                                  \
    do {                                                                                                   \
        if (!(what)) {                                                                                     \
            fprintf(stderr, "child, line %d: " #what " (%s)\n", __LINE__, ls_last_error_message());        \
            _exit(1);                                                                                      \
        }                                                                                                  \
    } while (0)

static inline pid_t child_start(void (*run)(fixture *fx), fixture *fx)
{
    pid_t pid;

    (void)fflush(NULL); /* What cmocka has not printed yet is the parent's to print. */
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* A test that failed leaves nobody behind, stopped ones included. */
        (void)alarm(CHILD_ALARM_S);
        run(fx);
        _exit(0);
    }
    return pid;
}

static inline int child_end(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static inline void child_ends_well(pid_t pid)
{
    assert_int_equal(child_end(pid), 0);
}

/* Waits until it has stopped itself. */
static inline void child_stops(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
}

static inline void await(const _Atomic uint32_t *word, uint32_t value)
{
    int64_t until = now_ms() + 30000;

    while (atomic_load(word) < value && now_ms() < until)
        (void)usleep(500);
    if (atomic_load(word) < value) {
        fprintf(stderr, "waited 30 s for stage %u\n", value);
        abort();
    }
}

/* ---- stores ---- */

/* On the files of `hooked`, unless that is NULL. */
static inline ls_status open_hooked(const char *path, const ls_store_options *options, hooked_files *hooked,
                                    ls_store **out)
{
    lsi_env env;

    lsi_env_default(&env);
    if (hooked != NULL)
        env.files = &hooked->table;
    return lsi_store_open_env(path, options, &env, out);
}

/* The handles that most tests need, for parent and child. */
typedef struct handles {
    ls_store *store;
    ls_stream *stream;
    ls_producer *producer;
} handles;

static inline ls_status handles_open(handles *of, const char *path, const ls_store_options *options,
                                     hooked_files *hooked)
{
    ls_status st;

    memset(of, 0, sizeof *of);
    st = open_hooked(path, options, hooked, &of->store);
    if (st == LS_OK) {
        st = ls_stream_open(of->store, STREAM, &of->stream);
        if (st == LS_ERR_NOT_FOUND) {
            st = ls_stream_create(of->store, STREAM, NULL);
            if (st == LS_OK || st == LS_ERR_EXISTS)
                st = ls_stream_open(of->store, STREAM, &of->stream);
        }
    }
    return st == LS_OK ? ls_producer_open(of->stream, NULL, &of->producer) : st;
}

static inline ls_status handles_close(handles *of)
{
    ls_status st = ls_producer_close(of->producer);

    if (st == LS_OK)
        st = ls_stream_close(of->stream);
    if (st == LS_OK)
        st = ls_store_close(of->store);
    memset(of, 0, sizeof *of);
    return st;
}

static inline ls_status put_text(const handles *of, const char *text, ls_record_id *out)
{
    return ls_producer_put(of->producer, (ls_bytes){"key", 3}, (ls_bytes){text, strlen(text)}, NULL, out);
}

/* How many records shard 0 shows from its beginning; asserts that all is readable and that numbers rise. */
static inline size_t count_readable(ls_stream *stream)
{
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    size_t count = 0;
    ls_seqno last = 0;

    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    for (;;) {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        if (ls_batch_count(batch) == 0)
            break;
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            assert_true(ls_batch_at(batch, i)->seqno > last);
            last = ls_batch_at(batch, i)->seqno;
        }
        count += ls_batch_count(batch);
    }
    ls_iterator_close(iterator);
    return count;
}

/* Whether a record with this text is there, how often. */
static inline size_t count_text(ls_stream *stream, const char *text)
{
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    size_t count = 0;

    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    for (;;) {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        if (ls_batch_count(batch) == 0)
            break;
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);
            count += record->data.size == strlen(text) && memcmp(record->data.data, text, strlen(text)) == 0;
        }
    }
    ls_iterator_close(iterator);
    return count;
}

#endif
