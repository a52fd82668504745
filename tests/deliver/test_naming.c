/* Names of objects: every example and every refusal of spec/firehose.md, section 5, and values of keys that would be
 * somewhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <regex.h>

#include <cmocka.h>

#include "base/status.h"
#include "deliver/naming.h"
#include "support/sim_memory.h"

#define OLDEST_US INT64_C(1535365800000000) /* 2018-08-27T10:30:00Z */

static const char *const query_names[] = {"customer_id", "device"};

static lsi_naming_rules rules_of(const char *prefix, const char *error_prefix)
{
    return (lsi_naming_rules){.name = "clicks", .prefix = prefix, .error_prefix = error_prefix, .version = 1,
                              .is_path = true};
}

static lsi_naming_rules dynamic_rules(const char *prefix)
{
    lsi_naming_rules rules = rules_of(prefix, "e/!{firehose:error-output-type}/");

    rules.is_dynamic = true;
    rules.query_keys = query_names;
    rules.query_key_count = 2;
    rules.has_transform = true;
    return rules;
}

static lsi_naming *open_rules(const lsi_naming_rules *rules)
{
    lsi_naming *naming = NULL;

    if (lsi_naming_open(&lsi_memory_libc, rules, &naming) != LS_OK)
        fail_msg("refused: %s", ls_last_error_message());
    return naming;
}

/* Evaluates; "" and the last error when that fails. One result lives until the fourth next. */
static const char *evaluate(const lsi_naming *naming, lsi_prefix_use use, const lsi_naming_values *values)
{
    static char out[4][LSI_PREFIX_BYTES];
    static unsigned turn;

    turn = (turn + 1) % 4;
    return lsi_naming_prefix(naming, use, values, out[turn]) == LS_OK ? out[turn] : "";
}

static const char *prefix_of(const char *prefix, const char *error_prefix, lsi_prefix_use use)
{
    lsi_naming_rules rules = rules_of(prefix, error_prefix);
    lsi_naming_values values = {.oldest_us = OLDEST_US, .seed = 7, .error_type = LSI_ERRORS_PROCESSING};
    lsi_naming *naming = open_rules(&rules);
    const char *out = evaluate(naming, use, &values);

    lsi_naming_close(naming);
    return out;
}

/* ---- the examples ---- */

static void every_example_evaluates_as_documented(void **state)
{
    const char *with_random;

    (void)state;
    assert_string_equal(prefix_of(NULL, "fail/!{firehose:error-output-type}/", LSI_PREFIX_DATA), "2018/08/27/10/");
    assert_string_equal(prefix_of(NULL, "fail/!{firehose:error-output-type}/", LSI_PREFIX_ERRORS),
                        "fail/processing-failed/");
    with_random = prefix_of("f/DeliveredYear=!{timestamp:yyyy}/anyMonth/rand=!{firehose:random-string}",
                            "x/!{firehose:error-output-type}/!{timestamp:yyyy}/anyMonth/!{timestamp:dd}",
                            LSI_PREFIX_DATA);
    assert_int_equal(strlen(with_random), strlen("f/DeliveredYear=2018/anyMonth/rand=5abf82daaa5"));
    assert_memory_equal(with_random, "f/DeliveredYear=2018/anyMonth/rand=", 35);
    assert_string_equal(prefix_of("f/DeliveredYear=!{timestamp:yyyy}/anyMonth/rand=!{firehose:random-string}",
                                  "x/!{firehose:error-output-type}/!{timestamp:yyyy}/anyMonth/!{timestamp:dd}",
                                  LSI_PREFIX_ERRORS), "x/processing-failed/2018/anyMonth/27");
    assert_string_equal(
        prefix_of("p/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/",
                  "p/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/"
                  "!{firehose:error-output-type}", LSI_PREFIX_DATA), "p/year=2018/month=08/day=27/hour=10/");
    assert_string_equal(
        prefix_of("p/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/",
                  "p/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/"
                  "!{firehose:error-output-type}", LSI_PREFIX_ERRORS),
        "p/year=2018/month=08/day=27/hour=10/processing-failed");
    assert_string_equal(prefix_of("myPrefix/", NULL, LSI_PREFIX_DATA), "myPrefix/2018/08/27/10/");
    assert_string_equal(prefix_of("myPrefix/", "", LSI_PREFIX_ERRORS), "myPrefix/processing-failed/2018/08/27/10/");
}

/* Trap 13: no slash comes before it. */
static void the_hour_is_appended_as_it_is(void **state)
{
    (void)state;
    assert_string_equal(prefix_of("logs", NULL, LSI_PREFIX_DATA), "logs2018/08/27/10/");
    assert_string_equal(prefix_of("", NULL, LSI_PREFIX_DATA), "2018/08/27/10/");
    assert_string_equal(prefix_of(NULL, NULL, LSI_PREFIX_ERRORS), "processing-failed/2018/08/27/10/");
    assert_string_equal(prefix_of(NULL, "e/", LSI_PREFIX_ERRORS), "e/processing-failed/2018/08/27/10/");
    /* A random string is no time. */
    assert_int_equal(strlen(prefix_of("!{firehose:random-string}/", "!{firehose:error-output-type}", LSI_PREFIX_DATA)),
                     11 + 1 + strlen("2018/08/27/10/"));
}

/* Pattern, then what the message must have in it. */
static void every_refusal_names_the_expression(void **state)
{
    static const struct {
        const char *prefix, *error_prefix, *said;
    } bad[] = {
        {"!{timestamp:yyyy/MM/dd}", NULL, "error prefix: it may be left out only when the prefix has no expression"},
        {"a/!{firehose:error-output-type}/", "e/!{firehose:error-output-type}",
         "prefix: '!{firehose:error-output-type}' at byte 2: error-output-type is for the error prefix only"},
        {"a!{b", NULL, "prefix: '!{b' at byte 1: !{ begins an expression, and this one has no }"},
        {"!{timestamp:!{timestamp:yyyy}}", "e", "an expression within an expression"},
        {"!{timestamp}", "e", "prefix: '!{timestamp}' at byte 0: an expression is !{NAMESPACE:VALUE}"},
        {"!{}", "e", "an expression is !{NAMESPACE:VALUE}"},
        {"!{Timestamp:yyyy}", "e", "prefix: '!{Timestamp:yyyy}' at byte 0: no such expression"},
        {"!{timestamp :yyyy}", "e", "no such expression"},
        {"!{timestamp:}", "e", "prefix: '!{timestamp:}' at byte 12: the pattern is empty"},
        {"a/!{timestamp:yyyy-QQ}", "e", "prefix: '!{timestamp:yyyy-QQ}' at byte 19: no such pattern letters"},
        {"!{timestamp:'yyyy}", "e", "a quote is not closed"},
        {"!{firehose:random}", "e", "firehose has random-string and error-output-type only"},
        {"!{firehose:}", "e", "firehose has random-string and error-output-type only"},
        {"!{partitionKeyFromQuery:device}", "e", "there are no partition keys without dynamic partitioning"},
        {"a", "!{timestamp:yyyy}/", "error prefix: with expressions it has at least one !{firehose:error-output-"},
        {"a", "!{firehose:error-output-type}/!{timestamp:q}", "error prefix: '!{timestamp:q}' at byte 42: no such"},
        {"a", "!{partitionKeyFromLambda:x}!{firehose:error-output-type}", "keys are not for the error prefix"},
        {"a\nb", NULL, "prefix: a control character at byte 1"},
        {"a\xff", NULL, "prefix: it is not UTF-8"},
        {"../a/", NULL, "prefix: the evaluated prefix has a component '..'"},
        {"a/./", NULL, "prefix: the evaluated prefix has a component '.'"},
        {"a/!{timestamp:'../'yyyy}", "!{firehose:error-output-type}", "the evaluated prefix has a component '..'"},
        {"/a", NULL, "prefix: the evaluated prefix has a component ''"},
        {"a//b", NULL, "prefix: the evaluated prefix has a component ''"},
        {"a/_orders.schema/", NULL, "a component '_orders.schema', which is a schema's name"},
        {"a", "../e", "error prefix: the evaluated prefix has a component '..'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lsi_naming_rules rules = rules_of(bad[i].prefix, bad[i].error_prefix);
        lsi_naming *naming = NULL;

        assert_int_equal(lsi_naming_open(&lsi_memory_libc, &rules, &naming), LS_ERR_INVALID_ARGUMENT);
        assert_null(naming);
        if (strstr(ls_last_error_message(), bad[i].said) == NULL)
            fail_msg("'%s' and '%s': said '%s', not '%s'", bad[i].prefix, bad[i].error_prefix, ls_last_error_message(),
                     bad[i].said);
    }
}

static void dynamic_partitioning_has_its_own_refusals(void **state)
{
    static const struct {
        const char *prefix, *said;
    } bad[] = {
        {"a/!{timestamp:yyyy}/", "prefix: with dynamic partitioning it has a"},
        {"!{partitionKeyFromQuery:other}/", "'!{partitionKeyFromQuery:other}' at byte 0: no query gives this key"},
        {"!{partitionKeyFromQuery:}/", "the key's name is empty"},
        {"!{partitionKeyFromLambda:}/", "the key's name is empty"},
    };
    lsi_naming_rules rules = dynamic_rules("!{partitionKeyFromQuery:device}/");
    lsi_naming *naming = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lsi_naming_rules refused = dynamic_rules(bad[i].prefix);

        assert_int_equal(lsi_naming_open(&lsi_memory_libc, &refused, &naming), LS_ERR_INVALID_ARGUMENT);
        assert_non_null(strstr(ls_last_error_message(), bad[i].said));
    }
    rules.error_prefix = NULL;
    assert_int_equal(lsi_naming_open(&lsi_memory_libc, &rules, &naming), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(ls_last_error_message(), "error prefix: it may be left out only"));
    rules = dynamic_rules("!{partitionKeyFromLambda:any}/");
    rules.has_transform = false;
    assert_int_equal(lsi_naming_open(&lsi_memory_libc, &rules, &naming), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(ls_last_error_message(), "there is no transform that would give this key"));
    rules = dynamic_rules("!{partitionKeyFromQuery:device}/");
    rules.query_key_count = LSI_PARTITION_KEYS_MAX + 1;
    assert_int_equal(lsi_naming_open(&lsi_memory_libc, &rules, &naming), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(ls_last_error_message(), "51 partition keys: at most 50"));
}

/* 512 characters, of the prefix as it is evaluated; 1,024 as it is set. */
static void lengths_are_held_to_the_character(void **state)
{
    char text[2 * LSI_PREFIX_CONFIGURED_MAX + 2];
    lsi_naming_rules rules = rules_of(text, NULL);
    lsi_naming *naming = NULL;

    (void)state;
    memset(text, 'a', sizeof text);
    for (size_t at = 100; at < sizeof text; at += 100)
        text[at] = '/';
    text[LSI_PREFIX_EVALUATED_MAX - strlen("/processing-failed/2018/08/27/10/") - 6] = '\0'; /* format-conversion- */
    naming = open_rules(&rules);
    lsi_naming_close(naming);
    memset(text, 'a', sizeof text);
    rules.is_path = false;
    rules.error_prefix = "e";
    text[LSI_PREFIX_EVALUATED_MAX - strlen("2018/08/27/10/")] = '\0';
    naming = open_rules(&rules);
    lsi_naming_close(naming);
    text[LSI_PREFIX_EVALUATED_MAX - strlen("2018/08/27/10/")] = 'a';
    text[LSI_PREFIX_EVALUATED_MAX - strlen("2018/08/27/10/") + 1] = '\0';
    assert_int_equal(lsi_naming_open(&lsi_memory_libc, &rules, &naming), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(ls_last_error_message(), "prefix: the evaluated prefix has more than 512 characters"));
    memset(text, 'a', sizeof text);
    text[LSI_PREFIX_CONFIGURED_MAX + 1] = '\0';
    assert_int_equal(lsi_naming_open(&lsi_memory_libc, &rules, &naming), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(ls_last_error_message(), "prefix: it has 1025 characters: at most 1024"));
    for (size_t i = 0; i < 490; i++)
        memcpy(text + 2 * i, "\xc3\xbc", 2); /* 490 characters, which the name has no bytes for */
    text[980] = '\0';
    assert_int_equal(lsi_naming_open(&lsi_memory_libc, &rules, &naming), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(ls_last_error_message(), "so that the name has at most 1000"));
}

/* ---- what is evaluated ---- */

/* The folder is that of the oldest record, which is an argument; random strings come from a seed. */
static void equal_values_give_equal_prefixes(void **state)
{
    lsi_naming_rules rules = rules_of("!{firehose:random-string}/!{firehose:random-string}/!{timestamp:HH}-"
                                      "!{timestamp:HH}", "!{firehose:error-output-type}-!{firehose:error-output-type}");
    lsi_naming_values values = {.oldest_us = OLDEST_US, .seed = 1, .error_type = LSI_ERRORS_CONVERSION};
    lsi_naming *naming = open_rules(&rules);
    const char *one = evaluate(naming, LSI_PREFIX_DATA, &values), *again = evaluate(naming, LSI_PREFIX_DATA, &values);

    (void)state;
    assert_string_equal(one, again);
    assert_string_equal(one + 24, "10-10");
    assert_memory_not_equal(one, one + 12, 11); /* each instance its own */
    assert_int_equal(strspn(one, "0123456789abcdefghijklmnopqrstuvwxyz"), 11);
    values.seed = 2;
    assert_memory_not_equal(one, evaluate(naming, LSI_PREFIX_DATA, &values), 11);
    assert_string_equal(evaluate(naming, LSI_PREFIX_ERRORS, &values),
                        "format-conversion-failed-format-conversion-failed");
    lsi_naming_close(naming);
}

static const char *partition_of(const lsi_naming *naming, const lsi_naming_values *values)
{
    static char out[4][LSI_PREFIX_BYTES];
    static unsigned turn;

    turn = (turn + 1) % 4;
    return lsi_naming_partition(naming, values, out[turn]) == LS_OK ? out[turn] : "";
}

static void partition_keys_take_their_places(void **state)
{
    lsi_naming_rules rules = dynamic_rules("customer_id=!{partitionKeyFromQuery:customer_id}/device="
                                           "!{partitionKeyFromQuery:device}/c=!{partitionKeyFromLambda:c}/");
    ls_bytes query_keys[] = {{"1234567890", 10}, {"mobile", 6}};
    lsi_partition_key keys[] = {{{"b", 1}, {"no", 2}}, {{"c", 1}, {"yes", 3}}};
    lsi_naming_values values = {.oldest_us = OLDEST_US, .query_keys = query_keys, .transform_keys = keys,
                                .transform_key_count = 2};
    lsi_naming *naming = open_rules(&rules);

    (void)state;
    assert_string_equal(evaluate(naming, LSI_PREFIX_DATA, &values), "customer_id=1234567890/device=mobile/c=yes/");
    assert_string_equal(partition_of(naming, &values), "1234567890/mobile/yes/");
    values.transform_key_count = 1;
    assert_string_equal(partition_of(naming, &values), "");
    assert_int_equal(ls_last_error_status(), LS_ERR_INVALID_ARGUMENT);
    assert_string_equal(ls_last_error_message(), "partition key 'c' is missing or empty");
    values.transform_key_count = 2;
    query_keys[1].size = 0;
    assert_string_equal(partition_of(naming, &values), "");
    assert_string_equal(ls_last_error_message(), "partition key 'device' is missing or empty");
    lsi_naming_close(naming);
}

/* N2. */
static void hostile_values_stay_where_they_are(void **state)
{
    static const struct {
        const char *value, *path, *name;
    } known[] = {
        {"../x", "%2E.%2Fx", "../x"}, {"..", "%2E.", ".."}, {".", "%2E", "."}, {"/", "%2F", "/"},
        {"a/../../b", "a%2F..%2F..%2Fb", "a/../../b"}, {"line\nbreak", "line%0Abreak", "line%0Abreak"},
        {"100%", "100%25", "100%"}, {"%2F", "%252F", "%2F"}, {"\x7f\xc2\x85", "%7F%C2%85", "%7F%C2%85"},
        {"\xff\xfe", "%FF%FE", "%FF%FE"}, {"\xed\xa0\x80", "%ED%A0%80", "%ED%A0%80"},
        {"z\xc3\xbcrich", "z\xc3\xbcrich", "z\xc3\xbcrich"},
        {"a b?*\\:", "a b?*\\:", "a b?*\\:"}, {"a.b", "a.b", "a.b"},
    };

    (void)state;
    for (int is_path = 0; is_path < 2; is_path++) {
        lsi_naming_rules rules = dynamic_rules("!{partitionKeyFromQuery:device}!{partitionKeyFromQuery:device}/");
        lsi_naming *naming;

        rules.is_path = is_path != 0;
        naming = open_rules(&rules);
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            ls_bytes query_keys[] = {{"", 0}, {known[i].value, strlen(known[i].value)}};
            lsi_naming_values values = {.query_keys = query_keys};
            const char *wanted = is_path ? known[i].path : known[i].name;
            const char *got = evaluate(naming, LSI_PREFIX_DATA, &values);

            assert_int_equal(strlen(got), 2 * strlen(wanted) + 1);
            assert_memory_equal(got, wanted, strlen(wanted));
            assert_memory_equal(got + strlen(wanted), wanted, strlen(wanted));
        }
        lsi_naming_close(naming);
    }
}

/* Partitions of different values never meet, though their prefixes may. */
static void a_partition_is_its_values(void **state)
{
    lsi_naming_rules rules = dynamic_rules("!{partitionKeyFromQuery:customer_id}!{partitionKeyFromQuery:device}/");
    static const char *const pairs[][2] = {{"a", "bc"}, {"ab", "c"}, {"a/", "bc"}, {"a%2F", "bc"}, {"a", "/bc"}};
    char all[5][LSI_PREFIX_BYTES];
    lsi_naming *naming = open_rules(&rules);

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        ls_bytes query_keys[] = {{pairs[i][0], strlen(pairs[i][0])}, {pairs[i][1], strlen(pairs[i][1])}};
        lsi_naming_values values = {.query_keys = query_keys};

        assert_int_equal(lsi_naming_partition(naming, &values, all[i]), LS_OK);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(all[i], all[k]);
    }
    lsi_naming_close(naming);
}

/* 300 bytes fit into no component of a path; without paths 512 characters do. */
static void a_long_value_is_this_records_failure(void **state)
{
    char value[600];
    ls_bytes query_keys[] = {{"", 0}, {value, 300}};
    lsi_naming_values values = {.query_keys = query_keys};
    lsi_naming_rules rules = dynamic_rules("!{partitionKeyFromQuery:device}/");
    lsi_naming *naming = open_rules(&rules);

    (void)state;
    memset(value, 'v', sizeof value);
    assert_string_equal(partition_of(naming, &values), "");
    assert_int_equal(ls_last_error_status(), LS_ERR_TOO_LARGE);
    assert_non_null(strstr(ls_last_error_message(), "has 300 bytes in the name: at most 255"));
    query_keys[1].size = 255;
    assert_int_equal(strlen(partition_of(naming, &values)), 256);
    lsi_naming_close(naming);
    rules.is_path = false;
    naming = open_rules(&rules);
    query_keys[1].size = 511;
    assert_int_equal(strlen(partition_of(naming, &values)), 512);
    query_keys[1].size = 512;
    assert_string_equal(partition_of(naming, &values), "");
    assert_string_equal(ls_last_error_message(), "the evaluated prefix has more than 512 characters");
    query_keys[1] = (ls_bytes){value, 600};
    assert_string_equal(partition_of(naming, &values), "");
    lsi_naming_close(naming);
    /* Without a slash behind it the object's name is in the same component. */
    rules = dynamic_rules("!{partitionKeyFromQuery:device}");
    naming = open_rules(&rules);
    query_keys[1].size = 200;
    assert_string_equal(partition_of(naming, &values), "");
    query_keys[1].size = 255 - strlen("clicks-4294967295-2018-08-27-10-30-00-01234567-0123-0123-0123-0123456789ab");
    assert_string_not_equal(partition_of(naming, &values), "");
    query_keys[1].size++;
    assert_string_equal(partition_of(naming, &values), "");
    lsi_naming_close(naming);
}

/* ---- the name ---- */

static void a_name_has_its_documented_form(void **state)
{
    char out[LSI_OBJECT_NAME_BYTES], again[LSI_OBJECT_NAME_BYTES];
    lsi_object object = {.prefix = "2018/08/27/10/", .name = "clicks", .version = 1, .named_us = OLDEST_US + 61000000,
                         .extension = ".gz", .identity = {"d1", 2}};
    regex_t form;

    (void)state;
    assert_int_equal(regcomp(&form, "^2018/08/27/10/clicks-1-[0-9]{4}(-[0-9][0-9]){5}-[0-9a-f-]{36}\\.gz$",
                             REG_EXTENDED | REG_NOSUB), 0);
    assert_int_equal(lsi_object_name(&object, out), LS_OK);
    assert_int_equal(regexec(&form, out, 0, NULL, 0), 0);
    assert_non_null(strstr(out, "clicks-1-2018-08-27-10-31-01-"));
    regfree(&form);
    assert_int_equal(lsi_object_name(&object, again), LS_OK); /* N1 */
    assert_string_equal(out, again);
    object.identity = (ls_bytes){"d2", 2};
    assert_int_equal(lsi_object_name(&object, again), LS_OK);
    assert_string_not_equal(out, again);
    object.identity = (ls_bytes){"d1", 2};
    object.named_us += 1000000; /* The time is in the name, not in the uuid. */
    assert_int_equal(lsi_object_name(&object, again), LS_OK);
    assert_string_equal(out + strlen(out) - 39, again + strlen(again) - 39);
    assert_int_equal(again[strlen("2018/08/27/10/clicks-1-2018-08-27-10-31-01-") + 14], '3'); /* of version 3 */
}

/* "ab" and "c" are not "a" and "bc". */
static void prefix_and_identity_do_not_run_together(void **state)
{
    char one[LSI_OBJECT_NAME_BYTES], other[LSI_OBJECT_NAME_BYTES];
    lsi_object object = {.prefix = "ab", .name = "n", .version = 1, .identity = {"c", 1}};

    (void)state;
    assert_int_equal(lsi_object_name(&object, one), LS_OK);
    object.prefix = "a";
    object.identity = (ls_bytes){"bc", 2};
    assert_int_equal(lsi_object_name(&object, other), LS_OK);
    assert_string_not_equal(one + strlen(one) - 36, other + strlen(other) - 36);
}

static void too_long_a_name_is_refused(void **state)
{
    char prefix[LSI_OBJECT_NAME_MAX + 2], out[LSI_OBJECT_NAME_BYTES], identity[LSI_OBJECT_IDENTITY_MAX + 1];
    lsi_object object = {.prefix = prefix, .name = "n", .version = 1};

    (void)state;
    memset(prefix, 'p', sizeof prefix);
    memset(identity, 'i', sizeof identity);
    prefix[LSI_OBJECT_NAME_MAX + 1] = '\0';
    assert_int_equal(lsi_object_name(&object, out), LS_ERR_TOO_LARGE);
    prefix[LSI_OBJECT_NAME_MAX - 60] = '\0';
    assert_int_equal(lsi_object_name(&object, out), LS_OK);
    assert_int_equal(strlen(out), LSI_OBJECT_NAME_MAX);
    object.name = "nn";
    assert_int_equal(lsi_object_name(&object, out), LS_ERR_TOO_LARGE);
    object.name = "n";
    object.identity = (ls_bytes){identity, sizeof identity};
    assert_int_equal(lsi_object_name(&object, out), LS_ERR_TOO_LARGE);
}

static void extensions_are_a_point_and_plain_letters(void **state)
{
    static const char *const bad[] = {"gz", ".", ".GZ", "./x", ".a b", ".\xc3\xbc"};
    char long_one[LSI_EXTENSION_MAX + 2];
    lsi_naming_rules rules = rules_of(NULL, NULL);
    lsi_naming *naming = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rules.extension = bad[i];
        assert_int_equal(lsi_naming_open(&lsi_memory_libc, &rules, &naming), LS_ERR_INVALID_ARGUMENT);
        assert_non_null(strstr(ls_last_error_message(), "extension '"));
    }
    memset(long_one, 'a', sizeof long_one);
    long_one[0] = '.';
    long_one[LSI_EXTENSION_MAX + 1] = '\0';
    rules.extension = long_one;
    assert_int_equal(lsi_naming_open(&lsi_memory_libc, &rules, &naming), LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(ls_last_error_message(), "the extension has 129 bytes: at most 128"));
    rules.extension = ".json.gz";
    lsi_naming_close(open_rules(&rules));
}

static void without_memory_nothing_is_left(void **state)
{
    sim_memory memory = SIM_MEMORY_INIT;
    lsi_memory table = sim_memory_table(&memory);
    lsi_naming_rules rules = dynamic_rules("a!{partitionKeyFromQuery:device}b!{timestamp:yyyy}c"
                                           "!{partitionKeyFromLambda:x}");
    lsi_naming *naming = NULL;
    ls_status st = LS_ERR_NO_MEMORY;

    (void)state;
    for (uint64_t nth = 1; st != LS_OK; nth++) {
        sim_memory_fail(&memory, nth, false);
        st = lsi_naming_open(&table, &rules, &naming);
        assert_true(st == LS_OK || (st == LS_ERR_NO_MEMORY && naming == NULL && memory.live == 0));
        assert_true(nth < 100);
    }
    lsi_naming_close(naming);
    lsi_naming_close(NULL);
    assert_int_equal(memory.live, 0);
}

int main(void)
{
    const struct CMUnitTest naming[] = {
        cmocka_unit_test(every_example_evaluates_as_documented),
        cmocka_unit_test(the_hour_is_appended_as_it_is),
        cmocka_unit_test(every_refusal_names_the_expression),
        cmocka_unit_test(dynamic_partitioning_has_its_own_refusals),
        cmocka_unit_test(lengths_are_held_to_the_character),
        cmocka_unit_test(equal_values_give_equal_prefixes),
        cmocka_unit_test(partition_keys_take_their_places),
        cmocka_unit_test(hostile_values_stay_where_they_are),
        cmocka_unit_test(a_partition_is_its_values),
        cmocka_unit_test(a_long_value_is_this_records_failure),
        cmocka_unit_test(a_name_has_its_documented_form),
        cmocka_unit_test(prefix_and_identity_do_not_run_together),
        cmocka_unit_test(too_long_a_name_is_refused),
        cmocka_unit_test(extensions_are_a_point_and_plain_letters),
        cmocka_unit_test(without_memory_nothing_is_left),
    };

    return cmocka_run_group_tests_name("names of objects", naming, NULL, NULL);
}
