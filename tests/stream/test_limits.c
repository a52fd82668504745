/* stream/limits.c: which keys and records are taken, with which status the others are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "stream/stream.h"

static ls_status check_repeated(const char *character, size_t count)
{
    static char text[5000];
    size_t size = strlen(character);

    for (size_t i = 0; i < count; i++)
        memcpy(text + i * size, character, size);
    return lsi_check_partition_key((ls_bytes){text, count * size});
}

/* Goal: the limit counts characters, whatever their bytes. Method: 256 and 257 of one to four bytes each. */
static void key_of_256_characters_is_taken(void **state)
{
    static const char *const characters[] = {"a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(check_repeated(characters[i], 1), LS_OK);
        assert_int_equal(check_repeated(characters[i], 256), LS_OK);
    }
}

static void key_of_257_characters_is_refused(void **state)
{
    static const char *const characters[] = {"a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(check_repeated(characters[i], 257), LS_ERR_TOO_LARGE);
        assert_non_null(strstr(ls_last_error_message(), "256"));
    }
}

static void an_empty_key_is_refused(void **state)
{
    (void)state;
    assert_int_equal(lsi_check_partition_key((ls_bytes){"", 0}), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_check_partition_key((ls_bytes){NULL, 0}), LS_ERR_INVALID_ARGUMENT);
}

static void a_key_without_an_address_is_refused(void **state)
{
    (void)state;
    assert_int_equal(lsi_check_partition_key((ls_bytes){NULL, 3}), LS_ERR_INVALID_ARGUMENT);
}

static void a_key_that_is_not_utf8_is_refused(void **state)
{
    (void)state;
    assert_int_equal(lsi_check_partition_key((ls_bytes){"a\xff", 2}), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_check_partition_key((ls_bytes){"\xed\xa0\x80", 3}), LS_ERR_INVALID_ARGUMENT);
}

static void a_key_may_hold_u0000(void **state)
{
    (void)state;
    assert_int_equal(lsi_check_partition_key((ls_bytes){"a\0b", 3}), LS_OK);
    assert_int_equal(lsi_check_partition_key((ls_bytes){"\0", 1}), LS_OK);
}

/* Goal: key and data count together, and no size wraps the sum. */
static void key_and_data_share_the_record_limit(void **state)
{
    static const char data[1024];
    ls_bytes key = {"key", 3};

    (void)state;
    assert_int_equal(lsi_check_record(key, (ls_bytes){data, 1021}, 1024), LS_OK);
    assert_int_equal(lsi_check_record(key, (ls_bytes){data, 1022}, 1024), LS_ERR_TOO_LARGE);
    assert_int_equal(lsi_check_record(key, (ls_bytes){data, SIZE_MAX}, 1024), LS_ERR_TOO_LARGE);
    assert_int_equal(lsi_check_record(key, (ls_bytes){data, SIZE_MAX - 2}, 1024), LS_ERR_TOO_LARGE);
    assert_int_equal(lsi_check_record(key, (ls_bytes){data, 0}, 2), LS_ERR_TOO_LARGE);
}

static void empty_data_is_taken(void **state)
{
    (void)state;
    assert_int_equal(lsi_check_record((ls_bytes){"k", 1}, (ls_bytes){NULL, 0}, 1024), LS_OK);
}

static void data_without_an_address_is_refused(void **state)
{
    (void)state;
    assert_int_equal(lsi_check_record((ls_bytes){"k", 1}, (ls_bytes){NULL, 1}, 1024), LS_ERR_INVALID_ARGUMENT);
}

/* Goal: the key's rule comes first: a bad key of a record that is too large is a bad key. */
static void the_key_is_checked_before_the_sum(void **state)
{
    static const char data[1024];

    (void)state;
    assert_int_equal(lsi_check_record((ls_bytes){"", 0}, (ls_bytes){data, 1024}, 10), LS_ERR_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest what_a_record_may_be[] = {
        cmocka_unit_test(key_of_256_characters_is_taken),
        cmocka_unit_test(key_of_257_characters_is_refused),
        cmocka_unit_test(an_empty_key_is_refused),
        cmocka_unit_test(a_key_without_an_address_is_refused),
        cmocka_unit_test(a_key_that_is_not_utf8_is_refused),
        cmocka_unit_test(a_key_may_hold_u0000),
        cmocka_unit_test(key_and_data_share_the_record_limit),
        cmocka_unit_test(empty_data_is_taken),
        cmocka_unit_test(data_without_an_address_is_refused),
        cmocka_unit_test(the_key_is_checked_before_the_sum),
    };

    return cmocka_run_group_tests(what_a_record_may_be, NULL, NULL);
}
