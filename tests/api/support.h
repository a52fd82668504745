/* What the tests of the public headers share: a store in memory or in a directory of its own, and few words for common
 * calls. Each group runs once for either; main() says so with run_everywhere(). */
#ifndef LST_API_SUPPORT_H
#define LST_API_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <libstream/libstream.h>

#include "support/temp.h"

typedef struct fixture {
    temp_dir temp;
    char location[TEMP_PATH_BYTES * 2];
    ls_store *store;
} fixture;

static bool in_memory;

/* The group's store is open; its streams are the tests' to make. */
static int begin(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);

    temp_make(&fx->temp);
    snprintf(fx->location, sizeof fx->location, "%s", in_memory ? "memory:" : temp_path(&fx->temp, "store"));
    *state = fx;
    return ls_store_open(fx->location, NULL, &fx->store) == LS_OK ? 0 : -1;
}

static int end(void **state)
{
    fixture *fx = *state;
    ls_status st = ls_store_close(fx->store);

    temp_remove(&fx->temp);
    free(fx);
    return st == LS_OK ? 0 : -1;
}

static inline ls_stream *make_stream(fixture *fx, const char *name, uint32_t shard_count)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_stream *stream = NULL;

    options.shard_count = shard_count;
    assert_int_equal(ls_stream_create(fx->store, name, &options), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, name, &stream), LS_OK);
    return stream;
}

static inline ls_bytes text(const char *s)
{
    return (ls_bytes){s, strlen(s)};
}

static inline bool says(const char *word)
{
    return strstr(ls_last_error_message(), word) != NULL;
}

/* Runs `body` in a fork child; it answers whether all was well. */
static inline void in_fork_child(bool (*body)(void *user), void *user)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        alarm(30);
        _exit(body(user) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

/* Both kinds of store, one after the other. */
#define run_everywhere(group, tests)                                                           \
    do {                                                                                       \
        int failed;                                                                            \
                                                                                               \
        in_memory = true;                                                                      \
        failed = cmocka_run_group_tests_name(group " in memory", tests, NULL, NULL);           \
        in_memory = false;                                                                     \
        return failed + cmocka_run_group_tests_name(group " in a directory", tests, NULL, NULL); \
    } while (0)

#endif
