/* status.h: codes, classes, names, and the thread's last error. */
#include "api/support.h"

#include <pthread.h>

static const struct {
    ls_status status;
    const char *name;
    ls_status_class_t class;
    int32_t is_retryable;
} all[] = {
    {LS_OK, "LS_OK", LS_CLASS_OK, 0},
    {LS_ERR_INVALID_ARGUMENT, "LS_ERR_INVALID_ARGUMENT", LS_CLASS_USAGE, 0},
    {LS_ERR_TOO_LARGE, "LS_ERR_TOO_LARGE", LS_CLASS_USAGE, 0},
    {LS_ERR_UNSUPPORTED, "LS_ERR_UNSUPPORTED", LS_CLASS_USAGE, 0},
    {LS_ERR_NOT_FOUND, "LS_ERR_NOT_FOUND", LS_CLASS_STATE, 0},
    {LS_ERR_EXISTS, "LS_ERR_EXISTS", LS_CLASS_STATE, 0},
    {LS_ERR_STATE, "LS_ERR_STATE", LS_CLASS_STATE, 0},
    {LS_ERR_BUSY, "LS_ERR_BUSY", LS_CLASS_STATE, 1},
    {LS_ERR_TIMEOUT, "LS_ERR_TIMEOUT", LS_CLASS_STATE, 1},
    {LS_ERR_CANCELLED, "LS_ERR_CANCELLED", LS_CLASS_STATE, 0},
    {LS_ERR_READ_ONLY, "LS_ERR_READ_ONLY", LS_CLASS_STATE, 0},
    {LS_ERR_VERSION, "LS_ERR_VERSION", LS_CLASS_STATE, 0},
    {LS_ERR_TRIMMED, "LS_ERR_TRIMMED", LS_CLASS_STATE, 0},
    {LS_ERR_EXPIRED, "LS_ERR_EXPIRED", LS_CLASS_STATE, 0},
    {LS_ERR_LEASE_LOST, "LS_ERR_LEASE_LOST", LS_CLASS_STATE, 0},
    {LS_ERR_KEY, "LS_ERR_KEY", LS_CLASS_STATE, 0},
    {LS_ERR_THROTTLED, "LS_ERR_THROTTLED", LS_CLASS_THROTTLING, 1},
    {LS_ERR_IO, "LS_ERR_IO", LS_CLASS_IO, 0},
    {LS_ERR_FULL, "LS_ERR_FULL", LS_CLASS_IO, 1},
    {LS_ERR_NO_MEMORY, "LS_ERR_NO_MEMORY", LS_CLASS_IO, 1},
    {LS_ERR_CORRUPT, "LS_ERR_CORRUPT", LS_CLASS_DAMAGE, 0},
};

/* The numbers are part of the ABI: written here once more, so that a change is noticed. */
static void the_numbers_never_change(void **state)
{
    static const ls_status numbers[] = {0,   101, 102, 103, 201, 202, 203, 204, 205, 206, 207,
                                        208, 209, 210, 211, 212, 301, 401, 402, 403, 501};

    (void)state;
    assert_int_equal(sizeof numbers / sizeof *numbers, sizeof all / sizeof *all);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_int_equal(all[i].status, numbers[i]);
}

static void each_code_has_its_name_class_and_retry(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_string_equal(ls_status_name(all[i].status), all[i].name);
        assert_int_equal(ls_status_class(all[i].status), all[i].class);
        assert_int_equal(ls_status_is_retryable(all[i].status), all[i].is_retryable);
    }
}

static void a_number_that_is_no_code_has_a_name_all_the_same(void **state)
{
    (void)state;
    assert_string_equal(ls_status_name(999), "LS_ERR_?");
    assert_string_equal(ls_status_name(-1), "LS_ERR_?");
    assert_int_equal(ls_status_class(299), LS_CLASS_STATE);
    assert_int_equal(ls_status_is_retryable(999), 0);
}

static void *look_and_fail(void *user)
{
    bool *fresh = user;

    *fresh = ls_last_error_status() == LS_OK && ls_last_error_errno() == 0 && ls_last_error_message()[0] == '\0';
    (void)ls_store_open(NULL, NULL, NULL);
    return NULL;
}

/* A failing call sets code and line; success leaves them; another thread has its own, empty at first. */
static void the_last_error_is_the_threads_own_and_stays(void **state)
{
    ls_store *store = NULL;
    bool fresh = false;
    pthread_t other;

    (void)state;
    assert_int_equal(ls_store_open("kafka://somewhere", NULL, &store), LS_ERR_UNSUPPORTED);
    assert_int_equal(ls_last_error_status(), LS_ERR_UNSUPPORTED);
    assert_int_equal(ls_last_error_errno(), 0);
    assert_true(says("kafka://somewhere"));
    assert_int_equal(ls_store_open("memory:", NULL, &store), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    assert_int_equal(pthread_create(&other, NULL, look_and_fail, &fresh), 0);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_true(fresh);
    assert_int_equal(ls_last_error_status(), LS_ERR_UNSUPPORTED);
    assert_true(says("kafka://somewhere"));
}

/* One line of UTF-8 of at most 511 bytes, whatever it quotes. */
static void a_message_is_one_short_line_of_utf8(void **state)
{
    char location[2000] = "kafka:\n\x01\xff";
    ls_store *store = NULL;

    (void)state;
    for (size_t i = strlen(location); i + 2 < sizeof location; i += 2)
        memcpy(location + i, "\xc3\xa9", 3);
    assert_int_equal(ls_store_open(location, NULL, &store), LS_ERR_UNSUPPORTED);
    assert_in_range(strlen(ls_last_error_message()), 100, 511);
    for (const char *c = ls_last_error_message(); *c != '\0'; c++)
        assert_true((unsigned char)*c >= 0x20 && (unsigned char)*c != 0xff);
}

/* Only throttling knows a time; any other failure takes it away. */
static void the_time_to_come_again_is_of_the_last_failure(void **state)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    ls_status st = LS_OK;

    (void)state;
    options.mode = LS_STREAM_PROVISIONED;
    assert_int_equal(ls_store_open("memory:", NULL, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, "s", &options), LS_OK);
    assert_int_equal(ls_stream_open(store, "s", &stream), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    for (int i = 0; i < 1000 && st == LS_OK; i++)
        st = ls_iterator_next(iterator, NULL, &batch);
    assert_int_equal(st, LS_ERR_THROTTLED);
    assert_in_range(ls_last_error_retry_after_ms(), 1, 200);
    assert_int_equal(ls_store_open(NULL, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_last_error_retry_after_ms(), 0);
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_numbers_never_change),
        cmocka_unit_test(each_code_has_its_name_class_and_retry),
        cmocka_unit_test(a_number_that_is_no_code_has_a_name_all_the_same),
        cmocka_unit_test(the_last_error_is_the_threads_own_and_stays),
        cmocka_unit_test(a_message_is_one_short_line_of_utf8),
        cmocka_unit_test(the_time_to_come_again_is_of_the_last_failure),
    };

    (void)begin; /* These need no store of their own. */
    (void)end;
    (void)in_memory;
    return cmocka_run_group_tests_name("status.h", tests, NULL, NULL);
}
