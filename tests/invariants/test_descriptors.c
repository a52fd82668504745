/* E4: a process that has no descriptor left is refused, changes nothing, and harms nobody else. Method: of a process's
 * descriptors all but a few are taken; for every number that is left the same calls are made. And of those that a store
 * takes none is a standard stream's, also where these are free (F5 of file.c). */
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "invariants/processes.h"
#include "support/temp.h"

enum { LIMIT = 64, FREE_MAX = 6, DATA_BYTES = 4000 };

static int taken[LIMIT];
static int taken_count;

static void give_back(void)
{
    while (taken_count > 0)
        (void)close(taken[--taken_count]);
}

/* Leaves `free_count` descriptors. */
static void take_all_but(int free_count)
{
    int fd;

    while (taken_count < LIMIT && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        taken[taken_count++] = fd;
    for (; free_count > 0; free_count--)
        (void)close(taken[--taken_count]);
}

static ls_status put_one(ls_producer *producer)
{
    static const char data[DATA_BYTES];

    return ls_producer_put(producer, (ls_bytes){"k", 1}, (ls_bytes){data, sizeof data}, NULL, NULL);
}

static void without_descriptors_nothing_changes(void **state)
{
    temp_dir temp;
    const char *path;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    struct rlimit before, few;
    handles of;
    size_t put = 0;

    (void)state;
    temp_make(&temp);
    path = temp_path(&temp, "store");
    options.segment_bytes = 64 << 10;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = LIMIT;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int free_count = 0; free_count <= FREE_MAX; free_count++) {
        ls_status st = LS_OK;

        assert_int_equal(handles_open(&of, path, &options, NULL), LS_OK);
        put = count_readable(of.stream);
        assert_int_equal(put_one(of.producer), LS_OK);
        put++;
        take_all_but(free_count);
        for (int i = 0; i < 40 && st == LS_OK; i++, put += st == LS_OK) /* two segments and more */
            st = put_one(of.producer);
        assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
        assert_true(free_count > 0 || st == LS_ERR_NO_MEMORY);
        st = ls_stream_create(of.store, "another", NULL);
        assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
        st = st == LS_OK ? ls_stream_delete(of.store, "another") : st;
        assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
        give_back();
        assert_int_equal(put_one(of.producer), LS_OK); /* the shard is well, for everybody */
        put++;
        assert_int_equal(count_readable(of.stream), put);
        assert_int_equal(handles_close(&of), LS_OK);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    temp_remove(&temp);
}

/* And stays so: what another thread opens has the number until its next call of the system has moved it. */
static bool is_any_standard_one_open(void)
{
    for (int looks = 0; looks < 100; looks++) {
        if (fcntl(STDIN_FILENO, F_GETFD) < 0 && fcntl(STDOUT_FILENO, F_GETFD) < 0 && fcntl(STDERR_FILENO, F_GETFD) < 0)
            return false;
        (void)usleep(1000);
    }
    return true;
}

/* A daemon: what it, or any library in it, prints goes to whatever file has the number. */
static void use_without_standard_descriptors(fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    int said = fcntl(STDERR_FILENO, F_DUPFD, STDERR_FILENO + 1);
    ls_iterator *reader = NULL;
    const ls_batch *batch;
    int32_t event_fd = -1;
    bool took_any, is_well = false;
    handles of;

    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        (void)close(fd);
    options.segment_bytes = 64 << 10;
    options.durability = LS_DURABILITY_INTERVAL;
    if (handles_open(&of, fx->path, &options, NULL) == LS_OK) {
        is_well = ls_iterator_open_all(of.stream, NULL, NULL, &reader) == LS_OK &&
                  ls_iterator_event_fd(reader, &event_fd) == LS_OK;
        took_any = is_any_standard_one_open();
        for (int i = 0; i < 40 && is_well && !took_any; i++) { /* two segments and more */
            is_well = put_one(of.producer) == LS_OK && ls_iterator_next(reader, NULL, &batch) == LS_OK;
            took_any = is_any_standard_one_open();
        }
        (void)dup2(said, STDERR_FILENO);
        child_check(is_well);
        child_check(!took_any);
    }
    (void)dup2(said, STDERR_FILENO);
    child_check(is_well);
    ls_iterator_close(reader);
    child_check(handles_close(&of) == LS_OK);
}

static void no_file_of_a_store_is_a_standard_stream(void **state)
{
    fixture *fx = *state;

    child_ends_well(child_start(use_without_standard_descriptors, fx));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_file_of_a_store_is_a_standard_stream, set_up, tear_down),
        cmocka_unit_test(without_descriptors_nothing_changes),
    };

    return cmocka_run_group_tests_name("descriptors (E4)", tests, NULL, NULL);
}
