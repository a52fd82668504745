/* base/status.h and the exported side of it, status.h: what a failure leaves behind for its thread. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "base/utf8.h"

/* Goal: code and message of a failure are shown. Method: fail, then ask through the exported functions. */
static void a_failure_is_remembered(void **state)
{
    (void)state;
    assert_int_equal(lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' shard %d", "orders", 3), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_last_error_status(), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_last_error_errno(), 0);
    assert_string_equal(ls_last_error_message(), "stream 'orders' shard 3");
}

/* Goal: errno decides the status, either sign of it, and its text is appended. Method: one of each class. */
static void an_errno_picks_the_status(void **state)
{
    static const struct {
        int err;
        ls_status status;
    } cases[] = {
        {ENOSPC, LS_ERR_FULL}, {EDQUOT, LS_ERR_FULL}, {EFBIG, LS_ERR_FULL},
        {ENOMEM, LS_ERR_NO_MEMORY}, {EMFILE, LS_ERR_NO_MEMORY}, {ENFILE, LS_ERR_NO_MEMORY},
        {EROFS, LS_ERR_READ_ONLY}, {EACCES, LS_ERR_READ_ONLY}, {EPERM, LS_ERR_READ_ONLY},
        {EIO, LS_ERR_IO}, {EINVAL, LS_ERR_IO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(lsi_fail_errno(cases[i].err, "write"), cases[i].status);
        assert_int_equal(lsi_fail_errno(-cases[i].err, "write"), cases[i].status);
        assert_int_equal(ls_last_error_errno(), cases[i].err);
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ls_status wanted = cases[i].status == LS_ERR_READ_ONLY ? LS_ERR_IO : cases[i].status;

        assert_int_equal(lsi_fail_reading(-cases[i].err, "read of %d", 7), wanted);
        assert_int_equal(ls_last_error_errno(), cases[i].err);
        assert_int_equal(strncmp(ls_last_error_message(), "read of 7: ", 11), 0);
    }
    (void)lsi_fail_errno(-ENOSPC, "write of %d", 7);
    assert_string_equal(ls_last_error_message(), "write of 7: No space left on device");
}

/* Goal: a later failure without errno does not show the earlier one's. */
static void errno_of_an_older_failure_is_forgotten(void **state)
{
    (void)state;
    (void)lsi_fail_errno(EIO, "read");
    (void)lsi_fail(LS_ERR_BUSY, "busy");
    assert_int_equal(ls_last_error_errno(), 0);
}

/* Goal: no message is longer than 511 bytes or ends inside a character; the reason of an errno survives. Method: a
 * text of two-byte characters, at both alignments. */
static void a_long_message_is_cut_between_characters(void **state)
{
    char text[1001];

    (void)state;
    for (size_t shift = 0; shift < 2; shift++) {
        for (size_t i = 0; i < 1000; i += 2)
            memcpy(text + i, "\xc3\xa4", 2);
        text[1000] = '\0';
        (void)lsi_fail(LS_ERR_IO, "%s%s", shift == 0 ? "" : "x", text);
        assert_int_equal(strlen(ls_last_error_message()), shift == 0 ? 510 : 511);
        assert_true(lsi_utf8_count(ls_last_error_message(), strlen(ls_last_error_message())) != LSI_UTF8_BAD);
        assert_null(strchr(ls_last_error_message(), '?'));
        (void)lsi_fail_errno(ENOSPC, "%s%s", shift == 0 ? "" : "x", text);
        assert_true(strlen(ls_last_error_message()) <= 511);
        assert_non_null(strstr(ls_last_error_message(), ": No space left on device"));
        assert_null(strchr(ls_last_error_message(), '?'));
    }
}

/* Goal: whatever a message quotes, it is one line of UTF-8. */
static void a_message_is_one_line_of_utf8(void **state)
{
    (void)state;
    (void)lsi_fail(LS_ERR_INVALID_ARGUMENT, "name '%s'", "a\nb\tc\xff" "d\xc3\xa4");
    assert_string_equal(ls_last_error_message(), "name 'a?b?c?d\xc3\xa4'");
    (void)lsi_fail(LS_ERR_INVALID_ARGUMENT, "name '%s'", "a\xc2\x85" "b"); /* U+0085 ends a line, too. */
    assert_string_equal(ls_last_error_message(), "name 'a??b'");
}

/* Goal: a message may quote the one before it. */
static void a_message_may_quote_the_one_before(void **state)
{
    (void)state;
    (void)lsi_fail(LS_ERR_IO, "inner");
    (void)lsi_fail(LS_ERR_CORRUPT, "outer: %s", ls_last_error_message());
    assert_string_equal(ls_last_error_message(), "outer: inner");
}

/* Goal: code that recovers leaves no trace. */
static void a_message_is_put_within_a_label(void **state)
{
    char long_label[LSI_MESSAGE_BYTES + 10], message[LSI_MESSAGE_BYTES];

    (void)state;
    (void)lsi_fail_errno(EIO, "reading 1/0/segments");
    assert_int_equal(lsi_fail_within("stream 's' shard 0"), LS_ERR_IO);
    (void)snprintf(message, sizeof message, "stream 's' shard 0: reading 1/0/segments: %s", strerror(EIO));
    assert_string_equal(ls_last_error_message(), message);
    assert_int_equal(ls_last_error_status(), LS_ERR_IO);
    assert_int_equal(ls_last_error_errno(), EIO);
    memset(long_label, 'x', sizeof long_label - 1);
    long_label[sizeof long_label - 1] = '\0';
    assert_int_equal(lsi_fail_within(long_label), LS_ERR_IO);
    assert_int_equal(strlen(ls_last_error_message()), LSI_MESSAGE_BYTES - 1);
}

static void a_saved_error_is_restored(void **state)
{
    lsi_error_state before;

    (void)state;
    (void)lsi_fail_errno(EIO, "first");
    lsi_error_save(&before);
    (void)lsi_fail(LS_ERR_BUSY, "second");
    lsi_error_restore(&before);
    assert_int_equal(ls_last_error_status(), LS_ERR_IO);
    assert_int_equal(ls_last_error_errno(), EIO);
    assert_true(strncmp(ls_last_error_message(), "first: ", 7) == 0);
}

/* Goal: failing does not disturb errno, which callers may still have to read. */
static void errno_is_left_alone(void **state)
{
    (void)state;
    errno = ENOTDIR;
    (void)lsi_fail(LS_ERR_IO, "x");
    (void)lsi_fail_errno(12345, "no such errno");
    assert_int_equal(errno, ENOTDIR);
}

/* Goal: a call that got over its failures leaves the last error as it was when the call began, and one that fails
 * leaves its own. Method: failures, and restored ones, between begin and end. */
static void what_a_call_got_over_is_not_its_error(void **state)
{
    lsi_error_state within;

    (void)state;
    (void)lsi_fail_throttled(7, "of the call before");
    lsi_error_begin();
    assert_int_equal(lsi_error_end(LS_OK), LS_OK);
    assert_string_equal(ls_last_error_message(), "of the call before");

    lsi_error_begin();
    (void)lsi_fail(LS_ERR_NOT_FOUND, "one");
    lsi_error_save(&within);
    (void)lsi_fail_errno(EIO, "two");
    lsi_error_restore(&within);
    assert_int_equal(lsi_error_end(LS_OK), LS_OK);
    assert_int_equal(ls_last_error_status(), LS_ERR_THROTTLED);
    assert_int_equal(ls_last_error_errno(), 0);
    assert_int_equal(ls_last_error_retry_after_ms(), 7);
    assert_string_equal(ls_last_error_message(), "of the call before");

    lsi_error_begin();
    (void)lsi_fail(LS_ERR_NOT_FOUND, "one");
    assert_int_equal(lsi_error_end(LS_ERR_NOT_FOUND), LS_ERR_NOT_FOUND);
    assert_string_equal(ls_last_error_message(), "one");

    lsi_error_begin();
    lsi_error_restore(&(lsi_error_state){0});
    assert_int_equal(lsi_error_end(LS_OK), LS_OK);
    assert_string_equal(ls_last_error_message(), "one");
}

static void *fail_elsewhere(void *user)
{
    *(ls_status *)user = ls_last_error_status();
    (void)lsi_fail(LS_ERR_CORRUPT, "elsewhere");
    return NULL;
}

/* Goal: each thread has its own last error, and a new one has none. */
static void threads_have_their_own_last_error(void **state)
{
    pthread_t thread;
    ls_status seen = -1;

    (void)state;
    (void)lsi_fail(LS_ERR_BUSY, "here");
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, &seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(seen, LS_OK);
    assert_string_equal(ls_last_error_message(), "here");
}

/* Goal: class, name and retryable of codes as status.h has them; unknown codes have answers too. */
static void codes_have_class_name_and_retryability(void **state)
{
    (void)state;
    assert_int_equal(ls_status_class(LS_OK), LS_CLASS_OK);
    assert_int_equal(ls_status_class(LS_ERR_UNSUPPORTED), LS_CLASS_USAGE);
    assert_int_equal(ls_status_class(LS_ERR_KEY), LS_CLASS_STATE);
    assert_int_equal(ls_status_class(LS_ERR_THROTTLED), LS_CLASS_THROTTLING);
    assert_int_equal(ls_status_class(LS_ERR_FULL), LS_CLASS_IO);
    assert_int_equal(ls_status_class(LS_ERR_CORRUPT), LS_CLASS_DAMAGE);
    assert_int_equal(ls_status_class(799), 7);
    assert_string_equal(ls_status_name(LS_OK), "LS_OK");
    assert_string_equal(ls_status_name(LS_ERR_NOT_FOUND), "LS_ERR_NOT_FOUND");
    assert_string_equal(ls_status_name(799), "LS_ERR_?");
    for (ls_status st = 0; st < 600; st++) {
        int wanted = st == LS_ERR_BUSY || st == LS_ERR_TIMEOUT || st == LS_ERR_THROTTLED || st == LS_ERR_FULL ||
                     st == LS_ERR_NO_MEMORY;

        assert_int_equal(ls_status_is_retryable(st), wanted);
    }
}

int main(void)
{
    const struct CMUnitTest what_a_failure_leaves[] = {
        cmocka_unit_test(a_failure_is_remembered),
        cmocka_unit_test(an_errno_picks_the_status),
        cmocka_unit_test(errno_of_an_older_failure_is_forgotten),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
        cmocka_unit_test(a_message_is_one_line_of_utf8),
        cmocka_unit_test(a_message_may_quote_the_one_before),
        cmocka_unit_test(a_message_is_put_within_a_label),
        cmocka_unit_test(a_saved_error_is_restored),
        cmocka_unit_test(what_a_call_got_over_is_not_its_error),
        cmocka_unit_test(errno_is_left_alone),
        cmocka_unit_test(threads_have_their_own_last_error),
        cmocka_unit_test(codes_have_class_name_and_retryability),
    };

    return cmocka_run_group_tests(what_a_failure_leaves, NULL, NULL);
}
