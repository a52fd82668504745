/* stream/name.c: names of streams, ids of shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "stream/stream.h"

/* Goal: exactly the 65 characters of the rule are taken. Method: every byte, as the middle of a name. */
static void each_byte_is_taken_or_refused_by_the_rule(void **state)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

    (void)state;
    for (int byte = 1; byte < 256; byte++) {
        char name[] = {'a', (char)byte, 'b', '\0'};

        assert_int_equal(lsi_check_stream_name(name), strchr(allowed, byte) ? LS_OK : LS_ERR_INVALID_ARGUMENT);
    }
}

static void names_have_1_to_128_characters(void **state)
{
    char name[400];

    (void)state;
    memset(name, 'n', sizeof name);
    name[399] = '\0';
    assert_int_equal(lsi_check_stream_name(name), LS_ERR_INVALID_ARGUMENT);
    name[129] = '\0';
    assert_int_equal(lsi_check_stream_name(name), LS_ERR_INVALID_ARGUMENT);
    name[128] = '\0';
    assert_int_equal(lsi_check_stream_name(name), LS_OK);
    name[1] = '\0';
    assert_int_equal(lsi_check_stream_name(name), LS_OK);
    name[0] = '\0';
    assert_int_equal(lsi_check_stream_name(name), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_check_stream_name(NULL), LS_ERR_INVALID_ARGUMENT);
}

/* Goal: a name of dots is a name: directories are named by ids. */
static void dots_are_a_name(void **state)
{
    (void)state;
    assert_int_equal(lsi_check_stream_name("."), LS_OK);
    assert_int_equal(lsi_check_stream_name(".."), LS_OK);
}

static void shard_ids_have_twelve_digits(void **state)
{
    char text[LSI_SHARD_ID_BYTES];

    (void)state;
    lsi_shard_id_format(5, text);
    assert_string_equal(text, "shardId-000000000005");
    lsi_shard_id_format(UINT32_MAX, text);
    assert_string_equal(text, "shardId-004294967295");
}

static void shard_ids_are_read_leniently(void **state)
{
    static const char *const texts[] = {
        "shardId-000000000005", "shardId-5", "x-5", "5", "-5", "shardId-00000000000000005",
    };
    uint32_t shard;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        shard = 99;
        assert_int_equal(lsi_shard_id_parse(texts[i], &shard), LS_OK);
        assert_int_equal(shard, 5);
    }
    assert_int_equal(lsi_shard_id_parse("shardId-002147483647", &shard), LS_OK);
    assert_int_equal(shard, 2147483647);
}

static void other_shard_ids_are_refused(void **state)
{
    static const char *const texts[] = {
        "", "-", "shardId-", "shardId", "a5", "shardId-5x", "shardId-x5", "shardId- 5", "shardId--5", "a-b-5",
        "shardId-2147483648", "shardId-4294967296", "shardId-99999999999999999999", "+5",
    };
    char long_text[140];
    uint32_t shard = 99;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (lsi_shard_id_parse(texts[i], &shard) != LS_ERR_INVALID_ARGUMENT)
            fail_msg("'%s' was taken", texts[i]);
    assert_int_equal(lsi_shard_id_parse(NULL, &shard), LS_ERR_INVALID_ARGUMENT);
    memset(long_text, '0', sizeof long_text);
    long_text[129] = '\0';
    assert_int_equal(lsi_shard_id_parse(long_text, &shard), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(shard, 99);
    long_text[128] = '\0';
    assert_int_equal(lsi_shard_id_parse(long_text, &shard), LS_OK);
}

int main(void)
{
    const struct CMUnitTest names_and_ids[] = {
        cmocka_unit_test(each_byte_is_taken_or_refused_by_the_rule),
        cmocka_unit_test(names_have_1_to_128_characters),
        cmocka_unit_test(dots_are_a_name),
        cmocka_unit_test(shard_ids_have_twelve_digits),
        cmocka_unit_test(shard_ids_are_read_leniently),
        cmocka_unit_test(other_shard_ids_are_refused),
    };

    return cmocka_run_group_tests(names_and_ids, NULL, NULL);
}
