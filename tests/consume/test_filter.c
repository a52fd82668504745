/* Filters: every row of the table of matchers with its traps, every text of an error, every vector of the
 * specification, and what a filter does with its memory. Each table is a test by the name of what it shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "consume/consume.h"
#include "stream/stream.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define REASON "Event pattern is not valid. Reason: "

static const lsi_filter_names names = {"arn:aws:kinesis:us-east-2:123456789012:stream/s",
    "arn:aws:iam::123456789012:role/r", "us-east-2"};

static ls_record record_of(const char *data)
{
    return (ls_record){
        .partition_key = {"key-1", 5},
        .data = {data, strlen(data)},
        .seqno = 1,
        .arrival_us = INT64_C(1700000005987654),
        .shard = 17,
    };
}

/* Whether one of the patterns matches; fails the test when it cannot be said. */
static bool any_matches(const char *const *patterns, size_t count, const char *data)
{
    ls_record record = record_of(data);
    lsi_filter *filter;
    bool found = false;

    if (lsi_filter_open(&lsi_memory_libc, patterns, count, &names, &filter) != LS_OK)
        fail_msg("%s: %s", patterns[0], ls_last_error_message());
    if (lsi_filter_matches(filter, &record, INT64_C(1700000000000000), &found) != LS_OK)
        fail_msg("%s against %s: %s", patterns[0], data, ls_last_error_message());
    lsi_filter_close(filter);
    return found;
}

typedef struct row {
    const char *pattern; /* of the data */
    const char *data;
    bool matches;
} row;

static void check(const row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[4096];
        const char *pattern = text;

        snprintf(text, sizeof text, "{\"data\":%s}", rows[i].pattern);
        if (any_matches(&pattern, 1, rows[i].data) != rows[i].matches)
            fail_msg("%s must %smatch %s", rows[i].data, rows[i].matches ? "" : "not ", rows[i].pattern);
    }
}
#define CHECK(rows) check(rows, COUNT(rows))

/* ---- the matchers ---- */

static void a_literal_string_is_the_same_code_points(void **state)
{
    static const row rows[] = {
        {"{\"s\":[\"abc\"]}", "{\"s\":\"abc\"}", true},
        {"{\"s\":[\"abc\"]}", "{\"s\":\"ABC\"}", false},
        {"{\"s\":[\"abc\"]}", "{\"s\":\" abc\"}", false},
        {"{\"s\":[\"abc\"]}", "{\"s\":\"abc \"}", false},
        {"{\"s\":[\"abc\"]}", "{\"s\":\"abcd\"}", false},
        {"{\"s\":[\"abc\"]}", "{\"s\":\"\\u0061\\u0062c\"}", true},
        {"{\"s\":[\"\\u0061bc\"]}", "{\"s\":\"abc\"}", true},
        {"{\"s\":[\"\xc3\xa4\"]}", "{\"s\":\"a\xcc\x88\"}", false},
        {"{\"s\":[\"\xc3\xa4\"]}", "{\"s\":\"\\u00e4\"}", true},
        {"{\"s\":[\"a\\u0000b\"]}", "{\"s\":\"a\\u0000b\"}", true},
        {"{\"s\":[\"a\\u0000b\"]}", "{\"s\":\"a\\u0000c\"}", false},
        {"{\"s\":[\"\"]}", "{\"s\":\"\"}", true},
        {"{\"s\":[\"\"]}", "{\"s\":\"a\"}", false},
        {"{\"s\":[\"\"]}", "{}", false},
        {"{\"s\":[\"\"]}", "{\"s\":null}", false},
        {"{\"s\":[\"b\",\"a\",\"c\"]}", "{\"s\":\"a\"}", true},
        {"{\"s\":[\"{\\\"a\\\":1}\"]}", "{\"s\":{\"a\":1}}", false},
        {"{\"s\":{\"a\":[1]}}", "{\"s\":\"{\\\"a\\\":1}\"}", false}, /* JSON text in a string is not looked into */
    };

    (void)state;
    CHECK(rows);
}

static void a_literal_number_is_an_equal_double(void **state)
{
    static const row rows[] = {
        {"{\"n\":[300]}", "{\"n\":300.0}", true},
        {"{\"n\":[300]}", "{\"n\":3.0e2}", true},
        {"{\"n\":[3.0e2]}", "{\"n\":300}", true},
        {"{\"n\":[300]}", "{\"n\":\"300\"}", false},
        {"{\"n\":[\"300\"]}", "{\"n\":300}", false},
        {"{\"n\":[300]}", "{\"n\":301}", false},
        {"{\"n\":[0]}", "{\"n\":-0.0}", true},
        {"{\"n\":[0.1]}", "{\"n\":0.10}", true},
        {"{\"n\":[-5]}", "{\"n\":-5}", true},
        {"{\"n\":[3,1,2]}", "{\"n\":2}", true},
        {"{\"n\":[9007199254740993]}", "{\"n\":9007199254740993}", true}, /* by its text */
        {"{\"n\":[9007199254740993]}", "{\"n\":9007199254740992}", false},
        {"{\"n\":[9007199254740992]}", "{\"n\":9007199254740993}", false},
        {"{\"n\":[9007199254740993]}", "{\"n\":9007199254740993.0}", false},
        {"{\"n\":[0.1]}", "{\"n\":0.1000000000000000055511151231257827}", false},
        {"{\"n\":[1e400]}", "{\"n\":1e400}", true},
        {"{\"n\":[1e400]}", "{\"n\":1e401}", false},
    };

    (void)state;
    CHECK(rows);
}

static void null_is_the_value_null(void **state)
{
    static const row rows[] = {
        {"{\"x\":[null]}", "{\"x\":null}", true},
        {"{\"x\":[null]}", "{\"x\":\"null\"}", false},
        {"{\"x\":[null]}", "{}", false},
        {"{\"x\":[null]}", "{\"x\":[]}", false},
        {"{\"x\":[null]}", "{\"x\":{}}", false},
        {"{\"x\":[null]}", "{\"x\":[null]}", true},
        {"{\"x\":[\"null\"]}", "{\"x\":null}", false},
    };

    (void)state;
    CHECK(rows);
}

static void booleans_are_not_their_words(void **state)
{
    static const row rows[] = {
        {"{\"x\":[true]}", "{\"x\":true}", true},    {"{\"x\":[true]}", "{\"x\":\"true\"}", false},
        {"{\"x\":[true]}", "{\"x\":false}", false},  {"{\"x\":[false]}", "{\"x\":false}", true},
        {"{\"x\":[false]}", "{\"x\":null}", false},  {"{\"x\":[false]}", "{\"x\":0}", false},
        {"{\"x\":[\"true\"]}", "{\"x\":true}", false}, {"{\"x\":[true,false]}", "{\"x\":false}", true},
    };

    (void)state;
    CHECK(rows);
}

static void exists_works_on_leaves_only(void **state)
{
    static const row rows[] = {
        {"{\"x\":[{\"exists\":true}]}", "{\"x\":1}", true},
        {"{\"x\":[{\"exists\":true}]}", "{\"x\":null}", true},
        {"{\"x\":[{\"exists\":true}]}", "{\"x\":\"\"}", true},
        {"{\"x\":[{\"exists\":true}]}", "{\"x\":[1]}", true},
        {"{\"x\":[{\"exists\":true}]}", "{\"x\":[[],[null]]}", true},
        {"{\"x\":[{\"exists\":true}]}", "{\"x\":[]}", false},
        {"{\"x\":[{\"exists\":true}]}", "{\"x\":[[],[{}]]}", false},
        {"{\"x\":[{\"exists\":true}]}", "{\"x\":{\"y\":1}}", false},
        {"{\"x\":[{\"exists\":true}]}", "{\"x\":{}}", false},
        {"{\"x\":[{\"exists\":true}]}", "{}", false},
        {"{\"x\":[{\"exists\":false}]}", "{}", true},
        {"{\"x\":[{\"exists\":false}]}", "{\"x\":1}", false},
        {"{\"x\":[{\"exists\":false}]}", "{\"x\":null}", false},
        {"{\"x\":[{\"exists\":false}]}", "{\"x\":[]}", true},
        {"{\"x\":[{\"exists\":false}]}", "{\"x\":{}}", true},
        {"{\"x\":[{\"exists\":false}]}", "{\"x\":{\"y\":1}}", true},
        {"{\"x\":{\"y\":[{\"exists\":false}]}}", "{}", true}, /* the parent is missing */
        {"{\"x\":{\"y\":[{\"exists\":false}]}}", "{\"x\":1}", true},
        {"{\"x\":{\"y\":[{\"exists\":false}]}}", "{\"x\":[]}", true},
        {"{\"x\":{\"y\":[{\"exists\":false}]}}", "5", true},
        {"{\"x\":{\"y\":[{\"exists\":false}]}}", "{\"x\":{\"y\":1}}", false},
        {"{\"x\":[{\"exists\":true},{\"exists\":false}]}", "{}", true},
        {"{\"x\":[{\"exists\":true},{\"exists\":false}]}", "{\"x\":1}", true},
    };

    (void)state;
    CHECK(rows);
}

static void prefix_is_how_a_string_starts(void **state)
{
    static const row rows[] = {
        {"{\"s\":[{\"prefix\":\"ab\"}]}", "{\"s\":\"abc\"}", true},
        {"{\"s\":[{\"prefix\":\"ab\"}]}", "{\"s\":\"ab\"}", true},
        {"{\"s\":[{\"prefix\":\"ab\"}]}", "{\"s\":\"a\"}", false},
        {"{\"s\":[{\"prefix\":\"ab\"}]}", "{\"s\":\"Abc\"}", false},
        {"{\"s\":[{\"prefix\":\"\"}]}", "{\"s\":\"\"}", true},
        {"{\"s\":[{\"prefix\":\"\"}]}", "{\"s\":\"anything\"}", true},
        {"{\"s\":[{\"prefix\":\"\"}]}", "{\"s\":1}", false},
        {"{\"s\":[{\"prefix\":\"1\"}]}", "{\"s\":12}", false},
        {"{\"s\":[{\"prefix\":{\"equals-ignore-case\":\"\xc3\xa4" "B\"}}]}", "{\"s\":\"\xc3\x84" "bc\"}", true},
        {"{\"s\":[{\"prefix\":{\"equals-ignore-case\":\"ab\"}}]}", "{\"s\":\"cab\"}", false},
    };

    (void)state;
    CHECK(rows);
}

static void suffix_is_how_a_string_ends(void **state)
{
    static const row rows[] = {
        {"{\"s\":[{\"suffix\":\".png\"}]}", "{\"s\":\"a.png\"}", true},
        {"{\"s\":[{\"suffix\":\".png\"}]}", "{\"s\":\"a.PNG\"}", false},
        {"{\"s\":[{\"suffix\":\".png\"}]}", "{\"s\":\"png\"}", false},
        {"{\"s\":[{\"suffix\":\"\"}]}", "{\"s\":\"\"}", true},
        {"{\"s\":[{\"suffix\":\"\"}]}", "{\"s\":null}", false},
        {"{\"s\":[{\"suffix\":{\"equals-ignore-case\":\".png\"}}]}", "{\"s\":\"a.PNG\"}", true},
        {"{\"s\":[{\"suffix\":{\"equals-ignore-case\":\".png\"}}]}", "{\"s\":\"a.pn\"}", false},
    };

    (void)state;
    CHECK(rows);
}

static void equals_ignore_case_folds_both(void **state)
{
    static const row rows[] = {
        {"{\"s\":[{\"equals-ignore-case\":\"AlPha\"}]}", "{\"s\":\"aLpHA\"}", true},
        {"{\"s\":[{\"equals-ignore-case\":\"AlPha\"}]}", "{\"s\":\"alphas\"}", false},
        {"{\"s\":[{\"equals-ignore-case\":\"\xc3\x9c\"}]}", "{\"s\":\"\xc3\xbc\"}", true},
        {"{\"s\":[{\"equals-ignore-case\":\"\"}]}", "{\"s\":\"\"}", true},
        {"{\"s\":[{\"equals-ignore-case\":\"\"}]}", "{\"s\":\"a\"}", false},
        {"{\"s\":[{\"equals-ignore-case\":\"true\"}]}", "{\"s\":true}", false},
    };

    (void)state;
    CHECK(rows);
}

static void wildcard_stands_for_any_text(void **state)
{
    static const row rows[] = {
        {"{\"s\":[{\"wildcard\":\"a*c\"}]}", "{\"s\":\"ac\"}", true},
        {"{\"s\":[{\"wildcard\":\"a*c\"}]}", "{\"s\":\"abbc\"}", true},
        {"{\"s\":[{\"wildcard\":\"a*c\"}]}", "{\"s\":\"abcd\"}", false},
        {"{\"s\":[{\"wildcard\":\"a*a\"}]}", "{\"s\":\"a\"}", false}, /* no overlap */
        {"{\"s\":[{\"wildcard\":\"a*a\"}]}", "{\"s\":\"aa\"}", true},
        {"{\"s\":[{\"wildcard\":\"*ab*ba*\"}]}", "{\"s\":\"xaba\"}", false},
        {"{\"s\":[{\"wildcard\":\"*ab*ba*\"}]}", "{\"s\":\"xabba\"}", true},
        {"{\"s\":[{\"wildcard\":\"*b\"}]}", "{\"s\":\"abab\"}", true},
        {"{\"s\":[{\"wildcard\":\"b*\"}]}", "{\"s\":\"ab\"}", false},
        {"{\"s\":[{\"wildcard\":\"a*b*c\"}]}", "{\"s\":\"abcbc\"}", true},
        {"{\"s\":[{\"wildcard\":\"a\\\\*c\"}]}", "{\"s\":\"a*c\"}", true},
        {"{\"s\":[{\"wildcard\":\"a\\\\*c\"}]}", "{\"s\":\"abc\"}", false},
        {"{\"s\":[{\"wildcard\":\"a\\\\\\\\*\"}]}", "{\"s\":\"a\\\\bc\"}", true},
        {"{\"s\":[{\"wildcard\":\"\\\\**\"}]}", "{\"s\":\"*x\"}", true},
        {"{\"s\":[{\"wildcard\":\"a?c\"}]}", "{\"s\":\"abc\"}", false}, /* no such sign */
        {"{\"s\":[{\"wildcard\":\"a?c\"}]}", "{\"s\":\"a?c\"}", true},
        {"{\"s\":[{\"wildcard\":\"\"}]}", "{\"s\":\"\"}", true},
        {"{\"s\":[{\"wildcard\":\"\"}]}", "{\"s\":\"a\"}", false},
        {"{\"s\":[{\"wildcard\":\"*\"}]}", "{\"s\":\"\"}", true},
        {"{\"s\":[{\"wildcard\":\"*\"}]}", "{\"s\":\"a\\nb\"}", true},
        {"{\"s\":[{\"wildcard\":\"*\"}]}", "{\"s\":1}", false},
        {"{\"s\":[{\"wildcard\":\"*\"}]}", "{}", false},
    };

    (void)state;
    CHECK(rows);
}

/* Goal: many stars cost no more than few. Method: the text on which trying every place again would never end. */
static void a_wildcard_of_many_stars_is_linear(void **state)
{
    static char pattern[700], data[1100000];
    const char *one = pattern;
    size_t size;

    (void)state;
    size = (size_t)snprintf(pattern, sizeof pattern, "{\"data\":{\"s\":[{\"wildcard\":\"*");
    for (int i = 0; i < 200; i++)
        size += (size_t)snprintf(pattern + size, sizeof pattern - size, "a*");
    snprintf(pattern + size, sizeof pattern - size, "b\"}]}}");
    snprintf(data, sizeof data, "{\"s\":\"%01000000d\"}", 0);
    memset(data + 6, 'a', 1000000);
    assert_false(any_matches(&one, 1, data));
    data[1000005] = 'b';
    assert_true(any_matches(&one, 1, data));
}

static void anything_but_needs_a_field_that_is_there(void **state)
{
    static const row rows[] = {
        {"{\"s\":[{\"anything-but\":\"q\"}]}", "{\"s\":\"p\"}", true},
        {"{\"s\":[{\"anything-but\":\"q\"}]}", "{\"s\":\"q\"}", false},
        {"{\"s\":[{\"anything-but\":\"q\"}]}", "{}", false},
        {"{\"s\":[{\"anything-but\":\"q\"}]}", "{\"s\":null}", true},
        {"{\"s\":[{\"anything-but\":\"q\"}]}", "{\"s\":1}", true},
        {"{\"s\":[{\"anything-but\":\"q\"}]}", "{\"s\":true}", true},
        {"{\"s\":[{\"anything-but\":\"q\"}]}", "{\"s\":[]}", false},
        {"{\"s\":[{\"anything-but\":\"q\"}]}", "{\"s\":{\"q\":1}}", false},
        {"{\"s\":[{\"anything-but\":\"q\"}]}", "{\"s\":[\"q\",\"r\"]}", true}, /* one element does */
        {"{\"s\":[{\"anything-but\":\"q\"}]}", "{\"s\":[\"q\",\"q\"]}", false},
        {"{\"s\":[{\"anything-but\":[\"a\",\"b\"]}]}", "{\"s\":\"b\"}", false},
        {"{\"s\":[{\"anything-but\":[\"a\",\"b\"]}]}", "{\"s\":\"c\"}", true},
        {"{\"s\":[{\"anything-but\":5}]}", "{\"s\":5.0}", false},
        {"{\"s\":[{\"anything-but\":5}]}", "{\"s\":\"5\"}", true},
        {"{\"s\":[{\"anything-but\":[4,5]}]}", "{\"s\":6}", true},
        {"{\"s\":[{\"anything-but\":[4,5]}]}", "{\"s\":4}", false},
        {"{\"s\":[{\"anything-but\":9007199254740993}]}", "{\"s\":9007199254740992}", true},
        {"{\"s\":[{\"anything-but\":9007199254740993}]}", "{\"s\":9007199254740993}", false},
    };

    (void)state;
    CHECK(rows);
}

static void anything_but_takes_operators_on_strings(void **state)
{
    static const row rows[] = {
        {"{\"s\":[{\"anything-but\":{\"prefix\":\"init\"}}]}", "{\"s\":\"done\"}", true},
        {"{\"s\":[{\"anything-but\":{\"prefix\":\"init\"}}]}", "{\"s\":\"initial\"}", false},
        {"{\"s\":[{\"anything-but\":{\"prefix\":\"init\"}}]}", "{\"s\":12}", true},
        {"{\"s\":[{\"anything-but\":{\"prefix\":\"init\"}}]}", "{\"s\":null}", true},
        {"{\"s\":[{\"anything-but\":{\"prefix\":\"init\"}}]}", "{}", false},
        {"{\"s\":[{\"anything-but\":{\"prefix\":[\"a\",\"b\"]}}]}", "{\"s\":\"bc\"}", false},
        {"{\"s\":[{\"anything-but\":{\"prefix\":[\"a\",\"b\"]}}]}", "{\"s\":\"cb\"}", true},
        {"{\"s\":[{\"anything-but\":{\"suffix\":\".png\"}}]}", "{\"s\":\"a.png\"}", false},
        {"{\"s\":[{\"anything-but\":{\"suffix\":[\".png\",\".gif\"]}}]}", "{\"s\":\"a.jpg\"}", true},
        {"{\"s\":[{\"anything-but\":{\"equals-ignore-case\":\"A\"}}]}", "{\"s\":\"a\"}", false},
        {"{\"s\":[{\"anything-but\":{\"equals-ignore-case\":[\"A\",\"B\"]}}]}", "{\"s\":\"c\"}", true},
        {"{\"s\":[{\"anything-but\":{\"wildcard\":\"a*\"}}]}", "{\"s\":\"ab\"}", false},
        {"{\"s\":[{\"anything-but\":{\"wildcard\":[\"a*\",\"*b\"]}}]}", "{\"s\":\"cb\"}", false},
        {"{\"s\":[{\"anything-but\":{\"wildcard\":\"\"}}]}", "{\"s\":\"a\"}", true},
        {"{\"s\":[{\"anything-but\":{\"wildcard\":\"\"}}]}", "{\"s\":\"\"}", false},
        {"{\"s\":[{\"anything-but\":{\"equals-ignore-case\":\"\"}}]}", "{\"s\":\"x\"}", true},
    };

    (void)state;
    CHECK(rows);
}

static void numeric_is_a_range_of_numbers(void **state)
{
    static const row rows[] = {
        {"{\"n\":[{\"numeric\":[\"=\",5]}]}", "{\"n\":5.0}", true},
        {"{\"n\":[{\"numeric\":[\"=\",5]}]}", "{\"n\":5.1}", false},
        {"{\"n\":[{\"numeric\":[\"<\",5]}]}", "{\"n\":5}", false},
        {"{\"n\":[{\"numeric\":[\"<\",5]}]}", "{\"n\":-1e300}", true},
        {"{\"n\":[{\"numeric\":[\"<=\",5]}]}", "{\"n\":5}", true},
        {"{\"n\":[{\"numeric\":[\">\",5]}]}", "{\"n\":5}", false},
        {"{\"n\":[{\"numeric\":[\">=\",5]}]}", "{\"n\":5}", true},
        {"{\"n\":[{\"numeric\":[\">\",1,\"<\",2]}]}", "{\"n\":1.5}", true},
        {"{\"n\":[{\"numeric\":[\">\",1,\"<\",2]}]}", "{\"n\":2}", false},
        {"{\"n\":[{\"numeric\":[\">\",1,\"<=\",2]}]}", "{\"n\":2}", true},
        {"{\"n\":[{\"numeric\":[\">=\",1,\"<\",2]}]}", "{\"n\":1}", true},
        {"{\"n\":[{\"numeric\":[\">\",100]}]}", "{\"n\":\"300\"}", false},
        {"{\"n\":[{\"numeric\":[\">\",100]}]}", "{\"n\":null}", false},
        {"{\"n\":[{\"numeric\":[\">\",100]}]}", "{}", false},
        {"{\"n\":[{\"numeric\":[\">\",100]}]}", "{\"n\":[1,101]}", true},
        {"{\"n\":[{\"numeric\":[\"=\",0]}]}", "{\"n\":-0.0}", true},
        {"{\"n\":[{\"numeric\":[\">\",-1e308]}]}", "{\"n\":-1e-308}", true},
    };

    (void)state;
    CHECK(rows);
}

static void cidr_is_a_block_of_addresses(void **state)
{
    static const row rows[] = {
        {"{\"ip\":[{\"cidr\":\"10.0.0.0/24\"}]}", "{\"ip\":\"10.0.0.255\"}", true},
        {"{\"ip\":[{\"cidr\":\"10.0.0.0/24\"}]}", "{\"ip\":\"10.0.1.0\"}", false},
        {"{\"ip\":[{\"cidr\":\"10.0.0.0/24\"}]}", "{\"ip\":\"10.0.0\"}", false},
        {"{\"ip\":[{\"cidr\":\"10.0.0.0/24\"}]}", "{\"ip\":\"\"}", false},
        {"{\"ip\":[{\"cidr\":\"10.0.0.0/24\"}]}", "{\"ip\":167772160}", false},
        {"{\"ip\":[{\"cidr\":\"2001:db8::/32\"}]}", "{\"ip\":\"2001:0db8:1::2\"}", true},
        {"{\"ip\":[{\"cidr\":\"2001:db8::/32\"}]}", "{\"ip\":\"2001:db9::\"}", false},
    };

    (void)state;
    CHECK(rows);
}

static void or_is_one_of_several_and_its_siblings(void **state)
{
    static const row rows[] = {
        {"{\"$or\":[{\"a\":[1]},{\"b\":[2]}]}", "{\"a\":1}", true},
        {"{\"$or\":[{\"a\":[1]},{\"b\":[2]}]}", "{\"b\":2}", true},
        {"{\"$or\":[{\"a\":[1]},{\"b\":[2]}]}", "{\"a\":2,\"b\":1}", false},
        {"{\"c\":[3],\"$or\":[{\"a\":[1]},{\"b\":[2]}]}", "{\"a\":1,\"c\":3}", true},
        {"{\"c\":[3],\"$or\":[{\"a\":[1]},{\"b\":[2]}]}", "{\"a\":1}", false},
        {"{\"$or\":[{\"a\":[1]},{\"b\":[2]}],\"a\":[2]}", "{\"a\":[1,2]}", true},
        {"{\"x\":{\"$or\":[{\"a\":[1]},{\"b\":{\"c\":[2]}}]}}", "{\"x\":{\"b\":{\"c\":2}}}", true},
        {"{\"$or\":[{\"a\":[1]},{\"$or\":[{\"b\":[2]},{\"c\":[3]}]}]}", "{\"c\":3}", true},
        {"{\"$or\":[{\"a\":[1]},{\"b\":[2],\"$or\":[{\"c\":[3]},{\"d\":[4]}]}]}", "{\"b\":2,\"d\":4}", true},
        {"{\"$or\":[{\"a\":[1]},{\"b\":[2],\"$or\":[{\"c\":[3]},{\"d\":[4]}]}]}", "{\"d\":4}", false},
        {"{\"x\":{\"k\":[1],\"$or\":[{\"a\":[1]},{\"b\":[2]}]}}", "{\"x\":[{\"k\":1},{\"a\":1}]}", false},
        {"{\"x\":{\"k\":[1],\"$or\":[{\"a\":[1]},{\"b\":[2]}]}}",
         "{\"x\":[{\"k\":2,\"a\":1},{\"k\":1,\"b\":2}]}", true},
        {"{\"$or\":[{\"a\":[{\"exists\":false}]},{\"b\":[2]}]}", "{\"b\":1}", true},
        {"{\"prefix\":[\"a\"],\"$or\":[{\"a\":[1]},{\"b\":[2]}]}",
         "{\"prefix\":\"a\",\"a\":1}", true}, /* outside: a name */
    };

    (void)state;
    CHECK(rows);
}

/* F3 across choices: what an alternative wants below an array lies in the element where its siblings' fields lie. */
static void choices_and_their_siblings_share_elements(void **state)
{
    static const row rows[] = {
        {"{\"a\":{\"x\":[1]},\"$or\":[{\"a\":{\"y\":[2]}},{\"z\":[3]}]}", "{\"a\":[{\"x\":1},{\"y\":2}]}", false},
        {"{\"a\":{\"x\":[1]},\"$or\":[{\"a\":{\"y\":[2]}},{\"z\":[3]}]}", "{\"a\":[{\"x\":1,\"y\":2}]}", true},
        {"{\"a\":{\"x\":[1]},\"$or\":[{\"a\":{\"y\":[2]}},{\"z\":[3]}]}",
         "{\"a\":[{\"x\":1},{\"y\":2}],\"z\":3}", true},
        {"{\"$or\":[{\"a.x\":[1]},{\"b\":[1]}],\"c\":{\"$or\":[{\"d\":[1]},{\"e\":[1]}]},\"a\":{\"y\":[2]}}",
         "{\"a\":[{\"x\":1},{\"y\":2}],\"c\":{\"e\":1}}", false},
        {"{\"$or\":[{\"a.x\":[1]},{\"b\":[1]}],\"c\":{\"$or\":[{\"d\":[1]},{\"e\":[1]}]},\"a\":{\"y\":[2]}}",
         "{\"a\":[{\"x\":2},{\"y\":2}],\"b\":1,\"c\":{\"e\":1}}", true},
        {"{\"$or\":[{\"a\":{\"b\":{\"x\":[1]}}},{\"c\":[1]}],\"a\":{\"$or\":[{\"b\":{\"y\":[1]}},{\"d\":[1]}]}}",
         "{\"a\":{\"b\":[{\"x\":1},{\"y\":1}]}}", false},
        {"{\"$or\":[{\"a\":{\"b\":{\"x\":[1]}}},{\"c\":[1]}],\"a\":{\"$or\":[{\"b\":{\"y\":[1]}},{\"d\":[1]}]}}",
         "{\"a\":{\"b\":[{\"x\":1},{\"y\":1}],\"d\":1}}", true},
    };

    (void)state;
    CHECK(rows);
}

/* Goal: alternatives are tried, not multiplied: 60 choices of 2 would be 2^60 patterns. */
static void choices_are_not_multiplied(void **state)
{
    char text[8192], data[2048];
    const char *pattern = text;
    size_t size = 0, data_size = 0;

    (void)state;
    size += (size_t)snprintf(text, sizeof text, "{\"data\":{");
    data_size += (size_t)snprintf(data, sizeof data, "{");
    for (int i = 0; i < 60; i++) {
        size += (size_t)snprintf(text + size, sizeof text - size,
            "%s\"f%d\":{\"$or\":[{\"a\":[1]},{\"b\":[1]}]}", i == 0 ? "" : ",", i);
        data_size += (size_t)snprintf(data + data_size, sizeof data - data_size,
            "%s\"f%d\":{\"b\":1}", i == 0 ? "" : ",", i);
    }
    snprintf(text + size, sizeof text - size, "}}");
    snprintf(data + data_size, sizeof data - data_size, "}");
    assert_true(any_matches(&pattern, 1, data));
    data[data_size - 2] = '2';
    assert_false(any_matches(&pattern, 1, data));
}

/* Goal: choices over one path have to be multiplied, and how many they may become is bounded and told. Method: a choice
 * at each level of a path, one side of it at the path's end: as many combinations as 2^levels. */
static void choices_that_must_be_multiplied_are_bounded(void **state)
{
    (void)state;
    for (int levels = 1; levels <= 20; levels++) {
        char text[16384];
        const char *pattern = text;
        size_t size = (size_t)snprintf(text, sizeof text, "{\"data\":");
        lsi_filter *filter;

        for (int i = 0; i < levels; i++) {
            size += (size_t)snprintf(text + size, sizeof text - size, "{\"$or\":[{\"o\":[1]},{\"");
            for (int k = i; k < levels; k++)
                size += (size_t)snprintf(text + size, sizeof text - size, "l.");
            size += (size_t)snprintf(text + size, sizeof text - size, "x%d\":[1]}],\"l\":", i);
        }
        size += (size_t)snprintf(text + size, sizeof text - size, "{\"k\":[1]}");
        for (int i = 0; i <= levels; i++)
            size += (size_t)snprintf(text + size, sizeof text - size, "}");
        if (levels <= 5) {
            assert_true(any_matches(&pattern, 1,
                "{\"o\":1,\"l\":{\"o\":1,\"k\":1,\"l\":{\"o\":1,\"k\":1,\"l\":{\"o\":1,\"k\":1,"
                                                 "\"l\":{\"o\":1,\"k\":1,\"l\":{\"k\":1}}}}}}"));
            assert_int_equal(any_matches(&pattern, 1,
                "{\"o\":1,\"l\":[{\"o\":1,\"k\":1,\"l\":[{\"x0\":1}]}]}"), levels == 1);
        } else if (levels >= 10) {
            assert_int_equal(lsi_filter_open(&lsi_memory_libc, &pattern, 1, NULL, &filter), LS_ERR_INVALID_ARGUMENT);
            assert_string_equal(ls_last_error_message(),
                REASON "more than 256 combinations of $or over the same fields");
        }
    }
}

/* ---- paths, arrays, keys ---- */

static void fields_under_one_array_match_in_one_element(void **state)
{
    static const row rows[] = {
        {"{\"a\":{\"x\":[1],\"y\":[2]}}", "{\"a\":[{\"x\":1,\"y\":2},{\"x\":3,\"y\":4}]}", true},
        {"{\"a\":{\"x\":[1],\"y\":[4]}}", "{\"a\":[{\"x\":1,\"y\":2},{\"x\":3,\"y\":4}]}", false},
        {"{\"a\":{\"x\":[3],\"y\":[4]}}", "{\"a\":[[{\"x\":1}],[[{\"x\":3,\"y\":4}],5]]}", true},
        {"{\"a\":{\"x\":[1],\"b\":{\"y\":[4]}}}",
         "{\"a\":[{\"x\":1,\"b\":[{\"y\":2}]},{\"x\":3,\"b\":[{\"y\":4}]}]}", false},
        {"{\"a\":{\"x\":[1],\"b\":{\"y\":[4]}}}", "{\"a\":[{\"x\":1,\"b\":[{\"y\":2},{\"y\":4}]}]}", true},
        {"{\"a\":{\"x\":[1]},\"b\":{\"x\":[2]}}", "{\"a\":[{\"x\":2},{\"x\":1}],\"b\":[{\"x\":2}]}", true},
        {"{\"a\":{\"x\":[1]}}", "[{\"a\":{\"x\":2}},{\"a\":{\"x\":1}}]", true}, /* the data itself is an array */
        {"{\"a\":[1],\"b\":[1]}", "[{\"a\":1},{\"b\":1}]", false},
    };

    (void)state;
    CHECK(rows);
}

/* F3: what must not be there is looked for where the other fields are, and everywhere when nothing says where. */
static void absence_under_an_array_is_of_the_element_or_of_all(void **state)
{
    static const row rows[] = {
        {"{\"a\":{\"x\":[1],\"y\":[{\"exists\":false}]}}", "{\"a\":[{\"x\":1},{\"y\":2}]}", true},
        {"{\"a\":{\"x\":[1],\"y\":[{\"exists\":false}]}}", "{\"a\":[{\"x\":1,\"y\":2},{\"x\":2}]}", false},
        {"{\"a\":{\"y\":[{\"exists\":false}]}}", "{\"a\":[{\"x\":1},{\"y\":2}]}", false},
        {"{\"a\":{\"y\":[{\"exists\":false}]}}", "{\"a\":[{\"x\":1},{\"z\":2},3]}", true},
        {"{\"a\":{\"y\":[\"q\",{\"exists\":false}]}}", "{\"a\":[{\"y\":\"p\"},{}]}", false},
        {"{\"a\":{\"y\":[\"q\",{\"exists\":false}]}}", "{\"a\":[{\"y\":\"p\"},{\"y\":\"q\"}]}", true},
        {"{\"a\":{\"b\":{\"y\":[{\"exists\":false}]},\"x\":[1]}}", "{\"a\":[{\"x\":1,\"b\":[{},{\"y\":1}]}]}", false},
        {"{\"a\":{\"$or\":[{\"x\":[{\"exists\":false}]},{\"y\":[{\"exists\":false}]}]}}",
         "{\"a\":[{\"x\":1},{\"y\":1}]}", false},
        {"{\"a\":{\"$or\":[{\"x\":[{\"exists\":false}]},{\"y\":[{\"exists\":false}]}]}}",
         "{\"a\":[{\"x\":1},{\"x\":2}]}", true},
    };

    (void)state;
    CHECK(rows);
}

static void dots_are_nesting_on_both_sides(void **state)
{
    static const row rows[] = {
        {"{\"a.b\":[1]}", "{\"a\":{\"b\":1}}", true},
        {"{\"a\":{\"b\":[1]}}", "{\"a.b\":1}", true},
        {"{\"a.b\":[1]}", "{\"a.b\":1}", true},
        {"{\"a.b.c\":[1]}", "{\"a\":{\"b.c\":1}}", true},
        {"{\"a\":{\"b.c\":[1]}}", "{\"a.b\":{\"c\":1}}", true},
        {"{\"a\":{\"b.c\":[1]}}", "{\"a.b\":[{\"c\":2},{\"c\":1}]}", true},
        {"{\"a\":{\"x\":[1],\"y\":[2]}}", "{\"a\":{\"x\":1},\"a.y\":2}", true},
        {"{\"a\":{\"x\":[1],\"y\":[2]}}", "{\"a.x\":1,\"a.y\":2}", true},
        {"{\"a.b\":[1],\"a\":{\"b\":[2]}}", "{\"a.b\":1}", false}, /* one path: the last is meant */
        {"{\"a.b\":[1],\"a\":{\"b\":[2]}}", "{\"a.b\":2}", true},
        {"{\"a.b\":[1],\"a\":{\"c\":[2]}}", "{\"a\":{\"c\":2}}", false},
        {"{\"a\":[1],\"a.b\":[2]}", "{\"a\":1,\"a.b\":2}", true},
        {"{\"a..b\":[1]}", "{\"a\":{\"\":{\"b\":1}}}", true},
        {"{\".\":[1]}", "{\"\":{\"\":1}}", true},
        {"{\"\":[1]}", "{\"\":1}", true},
        {"{\"a.b\":[{\"exists\":false}]}", "{\"a.b\":1}", false},
        {"{\"a\":[{\"exists\":true}]}", "{\"a.b\":1}", false},
        /* F5: an array and what is spelled beside it are apart */
        {"{\"a\":{\"x\":[1],\"y\":[2]}}", "{\"a\":[{\"x\":1}],\"a.y\":2}", false},
        {"{\"a\":{\"x\":[1],\"y\":[2]}}", "{\"a\":[{\"x\":1},{\"x\":1,\"y\":2}],\"a.y\":3}", true},
        {"{\"a\":{\"x\":[1],\"y\":[2]}}", "{\"a\":[{\"x\":1}],\"a.y\":2,\"a.x\":1}", true},
        {"{\"a\":{\"y\":[{\"exists\":false}]}}", "{\"a\":[{\"x\":1}],\"a.y\":2}", false},
    };

    (void)state;
    CHECK(rows);
}

static void the_last_of_equal_keys_is_meant(void **state)
{
    static const row rows[] = {
        {"{\"a\":[1],\"a\":[2]}", "{\"a\":2}", true},
        {"{\"a\":[1],\"a\":[2]}", "{\"a\":1}", false},
        {"{\"a\":{\"x\":[1]},\"a\":{\"y\":[2]}}", "{\"a\":{\"y\":2}}", true},
        {"{\"a\":[1],\"a\":{\"y\":[2]}}", "{\"a\":{\"y\":2}}", true},
        {"{\"a\":[2]}", "{\"a\":1,\"a\":2}", true},
        {"{\"a\":[1]}", "{\"a\":1,\"a\":2}", false},
        {"{\"a\":[1]}", "{\"a\":1,\"\\u0061\":2}", false},
        {"{\"a\":[1]}", "{\"a\":1,\"a\":{\"x\":1}}", false},
        {"{\"a\":{\"x\":[1]}}", "{\"a\":{\"x\":1},\"a\":5}", false},
        {"{\"a\":{\"x\":[1]}}", "{\"a\":{\"x\":1},\"a\":[{\"x\":2}]}", false},
        {"{\"a\":{\"x\":[{\"exists\":false}]}}", "{\"a\":{\"x\":1},\"a\":{}}", true},
        {"{\"a\":{\"b\":{\"c\":[1]}}}", "{\"a.b.c\":1,\"a\":{\"b.c\":2,\"b\":{\"c\":3}},\"a.b.c\":4}", false},
        {"{\"a\":{\"b\":{\"c\":[4]}}}", "{\"a.b.c\":1,\"a\":{\"b.c\":2,\"b\":{\"c\":3}},\"a.b.c\":4}", true},
        {"{\"a\":{\"b\":{\"c\":[2]}}}", "{\"a.b.c\":1,\"a\":{\"b.c\":2,\"b\":{\"c\":3}},\"a.b.c\":4}", true},
        {"{\"a\":{\"x\":[1]}}", "[{\"a\":{\"x\":1}},{\"a\":{\"x\":2}}]", true}, /* other objects: other keys */
    };

    (void)state;
    CHECK(rows);
}

/* ---- the vectors of the specification, 6.4 and elsewhere ---- */

static void the_vectors_of_the_specification(void **state)
{
    static const row rows[] = {
        {"{\"x\":[2]}", "{\"x\":[1,2]}", true},
        {"{\"x\":[null]}", "{\"x\":[]}", false},
        {"{\"d\":{\"list\":{\"id\":[{\"exists\":true}]}}}", "{\"d\":{\"list\":[{\"a\":1},{\"id\":\"z\"}]}}", true},
        {"{\"a\":{\"x\":[1],\"y\":[4]}}", "{\"a\":[{\"x\":1,\"y\":2},{\"x\":3,\"y\":4}]}", false},
        {"{\"d\":{\"s\":[{\"anything-but\":\"q\"}]}}", "{\"d\":{}}", false},
        {"{\"d\":{\"s\":[{\"anything-but\":\"q\"}]}}", "{\"d\":{\"s\":null}}", true},
        {"{\"s\":[{\"anything-but\":{\"prefix\":\"init\"}}]}", "{\"s\":12}", true},
        {"{\"n\":[{\"numeric\":[\">\",100]}]}", "{\"n\":\"300\"}", false},
        {"{\"n\":[{\"numeric\":[\">\",100]}]}", "{\"n\":101.0}", true},
        {"{\"p\":[{\"anything-but\":{\"wildcard\":\"*/dir/*\"}}]}", "{\"p\":\"dir/init/file\"}", true},
        {"{\"p\":[{\"anything-but\":{\"wildcard\":\"*/init/*\"}}]}", "{\"p\":\"dir/init/file\"}", false},
        {"{\"S\":[{\"anything-but\":[\"roses\"]},{\"exists\":false}]}", "{\"S\":\"ABCD\"}", true},
        {"{\"S\":[{\"anything-but\":[\"roses\"]},{\"exists\":false}]}", "{}", true},
        {"{\"P\":{\"S\":[{\"anything-but\":[\"roses\"]},{\"exists\":false}]}}", "{}", true},
        {"{\"S\":[{\"anything-but\":[\"roses\"]},{\"exists\":false}]}", "{\"S\":\"roses\"}", false},
        {"{\"detail\":{\"state\":{\"status\":[\"running\"]}}}", "{\"detail\":{\"state.status\":\"running\"}}", true},
        {"{\"n\":[300]}", "{\"n\":300.0}", true},
    };

    (void)state;
    CHECK(rows);
}

/* Item 7 of the list of semantics that are easily got wrong, sentence by sentence. */
static void trap_7_filters(void **state)
{
    static const row rows[] = {
        /* A missing field never matches anything-but; null does. */
        {"{\"f\":[{\"anything-but\":\"a\"}]}", "{}", false},
        {"{\"f\":[{\"anything-but\":{\"prefix\":\"a\"}}]}", "{\"g\":1}", false},
        {"{\"f\":[{\"anything-but\":\"a\"}]}", "{\"f\":null}", true},
        {"{\"f\":[{\"anything-but\":[1]}]}", "{\"f\":null}", true},
        /* exists works on leaves only. */
        {"{\"f\":[{\"exists\":true}]}", "{\"f\":{\"g\":1}}", false},
        {"{\"f\":[{\"exists\":false}]}", "{\"f\":{\"g\":1}}", true},
        /* An empty array has no leaf. */
        {"{\"f\":[{\"exists\":true}]}", "{\"f\":[]}", false},
        {"{\"f\":[null]}", "{\"f\":[]}", false},
        {"{\"f\":[{\"anything-but\":\"a\"}]}", "{\"f\":[]}", false},
        /* 300.0 matches 300. */
        {"{\"f\":[300]}", "{\"f\":300.0}", true},
        /* Two fields under one array must match in the same element. */
        {"{\"f\":{\"x\":[1],\"y\":[2]}}", "{\"f\":[{\"x\":1,\"y\":3},{\"x\":3,\"y\":2}]}", false},
        {"{\"f\":{\"x\":[1],\"y\":[2]}}", "{\"f\":[{\"x\":3},{\"x\":1,\"y\":2}]}", true},
    };

    (void)state;
    CHECK(rows);
}

/* ---- which records ---- */

static bool meta_matches(const char *pattern, const char *data)
{
    return any_matches(&pattern, 1, data);
}

static void the_fields_of_an_event_can_be_asked_for(void **state)
{
    (void)state;
    assert_true(meta_matches("{\"partitionKey\":[\"key-1\"]}", ""));
    assert_false(meta_matches("{\"partitionKey\":[\"key-2\"]}", ""));
    assert_true(meta_matches("{\"sequenceNumber\":[\"49646437577130777162115407028968674069677693010553340178\"]}",
        ""));
    assert_false(meta_matches("{\"sequenceNumber\":[\"1\"]}", ""));
    assert_false(meta_matches("{\"sequenceNumber\":[{\"numeric\":[\">\",0]}]}", "")); /* a string */
    assert_true(meta_matches("{"
                             "\"eventID\":[\"shardId-000000000017:49646437577130777162115407028968674069677693010553340178\"]}", ""));
    assert_true(meta_matches("{\"approximateArrivalTimestamp\":[1700000005.987]}", ""));
    assert_true(meta_matches("{\"approximateArrivalTimestamp\":"
                             "[{\"numeric\":[\">=\",1700000005.987,\"<\",1700000005.988]}]}", ""));
    assert_true(meta_matches("{\"kinesisSchemaVersion\":[\"1.0\"]}", ""));
    assert_true(meta_matches("{\"eventSource\":[\"aws:kinesis\"],\"eventVersion\":"
                             "[\"1.0\"],\"eventName\":[\"aws:kinesis:record\"]}", ""));
    assert_true(meta_matches("{\"eventSourceARN\":[{\"suffix\":\"stream/s\"}],\"awsRegion\":[\"us-east-2\"]}", ""));
    assert_true(meta_matches("{\"invokeIdentityArn\":[{\"prefix\":\"arn:aws:iam:\"}]}", ""));
    assert_false(meta_matches("{\"kinesis\":{\"partitionKey\":[\"key-1\"]}}", ""));
    assert_true(meta_matches("{\"kinesis\":[{\"exists\":false}]}", ""));
    assert_true(meta_matches("{\"$or\":[{\"partitionKey\":[\"x\"]},{\"eventName\":[{\"prefix\":\"aws\"}]}]}", ""));
}

static void an_event_has_no_field_that_nobody_named(void **state)
{
    static const char *const pattern = "{\"eventSourceARN\":[{\"exists\":false}],\"awsRegion\":[{\"exists\":false}],"
                                       "\"invokeIdentityArn\":[{\"exists\":false}]}";
    ls_record record = record_of("");
    lsi_filter *filter;
    bool found = false;

    (void)state;
    assert_int_equal(lsi_filter_open(&lsi_memory_libc, &pattern, 1, NULL, &filter), LS_OK);
    assert_int_equal(lsi_filter_matches(filter, &record, 0, &found), LS_OK);
    assert_true(found);
    lsi_filter_close(filter);
}

/* Goal: a key without bytes is "", also where it has no address. */
static void an_empty_key_is_an_empty_string(void **state)
{
    static const char *const patterns[] = {
        "{\"partitionKey\":[\"\"]}", "{\"partitionKey\":[{\"prefix\":\"\"}]}", "{\"partitionKey\":[{\"suffix\":\"\"}]}",
        "{\"partitionKey\":[{\"wildcard\":\"*\"}]}", "{\"partitionKey\":[{\"equals-ignore-case\":\"\"}]}",
        "{\"partitionKey\":[{\"anything-but\":{\"wildcard\":\"a*b*c\"}}]}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(patterns); i++) {
        ls_record record = {.seqno = 1};
        lsi_filter *filter;
        bool found = false;

        assert_int_equal(lsi_filter_open(&lsi_memory_libc, &patterns[i], 1, NULL, &filter), LS_OK);
        assert_int_equal(lsi_filter_matches(filter, &record, 0, &found), LS_OK);
        assert_true(found);
        lsi_filter_close(filter);
    }
}

/* The table of 6.1. */
static void data_that_is_not_json_is_dropped_where_a_pattern_asks_for_it(void **state)
{
    static const char *const not_json[] = {"", "hello", "{\"a\":1", "{\"a\":NaN}", "{\"a\":\"\xff\"}", "{\"a\":01}",
        "{\"a\":1}{", "{\"a\":1} 2",
                                           "{'a':1}", "\xef\xbb\xbf{\"a\":1}", "{\"a\":\"\\ud800\"}", "{\"a\":1,}",
                                           "[1", "nul"};

    (void)state;
    for (size_t i = 0; i < COUNT(not_json); i++) {
        assert_false(meta_matches("{\"data\":{\"a\":[1,{\"exists\":false}]}}", not_json[i]));
        assert_false(meta_matches("{\"partitionKey\":[\"key-1\"],\"data\":{\"b\":[{\"exists\":false}]}}", not_json[i]));
        assert_true(meta_matches("{\"partitionKey\":[\"key-1\"]}", not_json[i]));
    }
    assert_true(meta_matches("{\"data\":{\"a\":[1]}}", " {\"a\":1} "));
    assert_true(meta_matches("{\"partitionKey\":[\"key-1\"],\"data\":{\"a\":[1]}}", "{\"a\":1}"));
    assert_false(meta_matches("{\"partitionKey\":[\"key-2\"],\"data\":{\"a\":[1]}}", "{\"a\":1}"));
    assert_true(meta_matches("{\"data.a\":[1]}", "{\"a\":1}"));
    assert_false(meta_matches("{\"data.a\":[{\"exists\":false}]}", "x"));
    assert_false(meta_matches("{\"$or\":[{\"data\":{\"a\":[1]}},{\"partitionKey\":[\"key-1\"]}]}",
        "x")); /* it asks for data */
    assert_true(meta_matches("{\"data\":{\"a\":[{\"exists\":false}]}}", "\"text\"")); /* JSON without fields */
}

static void one_pattern_of_several_is_enough(void **state)
{
    static const char *const patterns[] = {"{\"data\":{\"a\":[1]}}", "{\"partitionKey\":[\"x\"]}",
        "{\"data\":{\"b\":{\"c\":[2]},\"a\":[3]}}"};

    (void)state;
    assert_true(any_matches(patterns, 3, "{\"a\":1}"));
    assert_true(any_matches(patterns, 3, "{\"a\":3,\"b\":{\"c\":2}}"));
    assert_false(any_matches(patterns, 3, "{\"a\":3}"));
    assert_false(any_matches(patterns, 3, "x"));
    assert_true(any_matches(NULL, 0, "x")); /* no filters: everything passes */
}

static void records_without_json_are_counted(void **state)
{
    static const char *const patterns[] = {"{\"data\":{\"a\":[1]}}", "{\"partitionKey\":[\"k\"]}"};
    ls_record record = record_of("x");
    lsi_filter *filter;
    bool found;

    (void)state;
    assert_int_equal(lsi_filter_open(&lsi_memory_libc, patterns, 2, NULL, &filter), LS_OK);
    assert_int_equal(lsi_filter_matches(filter, &record, 0, &found), LS_OK);
    assert_int_equal(lsi_filter_not_json(filter), 1);
    record.partition_key = (ls_bytes){"k", 1}; /* matches the other one */
    assert_int_equal(lsi_filter_matches(filter, &record, 0, &found), LS_OK);
    assert_int_equal(lsi_filter_not_json(filter), 1);
    record = record_of("{}");
    assert_int_equal(lsi_filter_matches(filter, &record, 0, &found), LS_OK);
    assert_int_equal(lsi_filter_not_json(filter), 1);
    lsi_filter_close(filter);
}

/* Goal: a record says nothing to the last error. */
static void a_match_leaves_the_last_error_alone(void **state)
{
    (void)state;
    (void)lsi_fail(LS_ERR_EXISTS, "as it was");
    assert_false(meta_matches("{\"data\":{\"a\":[1]}}", "no JSON"));
    assert_int_equal(ls_last_error_status(), LS_ERR_EXISTS);
    assert_string_equal(ls_last_error_message(), "as it was");
}

/* ---- errors ---- */

static void check_refusal(const char *pattern, const char *reason)
{
    lsi_filter *filter = NULL;
    char expected[LSI_MESSAGE_BYTES];

    if (lsi_filter_open(&lsi_memory_libc, &pattern, 1, NULL, &filter) != LS_ERR_INVALID_ARGUMENT)
        fail_msg("%s was taken", pattern);
    assert_null(filter);
    snprintf(expected, sizeof expected, REASON "%s", reason);
    if (strcmp(ls_last_error_message(), expected) != 0)
        fail_msg("%s: %s\n   expected: %s", pattern, ls_last_error_message(), expected);
}

static void every_error_has_the_words_of_the_service(void **state)
{
    static const struct {
        const char *pattern, *reason;
    } rows[] = {
        {"[]", "Filter is not an object"},
        {"\"a\"", "Filter is not an object"},
        {"", "Filter is not an object"},
        {"5", "Filter is not an object"},
        {"hello", "Filter is not an object"},
        {"{}", "Empty objects are not allowed"},
        {"{\"a\":{}}", "Empty objects are not allowed"},
        {"{\"a\":{\"b\":{}}}", "Empty objects are not allowed"},
        {"{\"a\":[{}]}", "Empty objects are not allowed"},
        {"{\"a\":[{\"anything-but\":{}}]}", "Empty objects are not allowed"},
        {"{\"a\":[{\"prefix\":{}}]}", "Empty objects are not allowed"},
        {"{\"$or\":[{},{\"a\":[1]}]}", "Empty objects are not allowed"},
        {"{\"a\":\"b\"}", "\"a\" must be an object or an array"},
        {"{\"a\":1}", "\"a\" must be an object or an array"},
        {"{\"a\":null}", "\"a\" must be an object or an array"},
        {"{\"x\":{\"a\":true}}", "\"a\" must be an object or an array"},
        {"{\"a\":[]}", "Empty arrays are not allowed"},
        {"{\"a\":[[1]]}", "Match value must be String, number, true, false, or null"},
        {"{\"a\":[{\"EXISTS\":true}]}", "Unrecognized match type EXISTS"},
        {"{\"a\":[{\"b\":1}]}", "Unrecognized match type b"},
        {"{\"a\":[{\"exactly\":\"b\"}]}", "Unrecognized match type exactly"},
        {"{\"a\":[{\"exists\":true,\"prefix\":\"a\"}]}", "Only one key allowed in match expression"},
        {"{\"a\":[{\"prefix\":\"a\",\"suffix\":\"b\"}]}", "Only one key allowed in match expression"},
        {"{\"a\":[{\"prefix\":{\"equals-ignore-case\":\"a\",\"x\":1}}]}", "Only one key allowed in match expression"},
        {"{\"a\":[{\"anything-but\":{\"prefix\":\"a\",\"suffix\":\"b\"}}]}",
         "Only one key allowed in match expression"},
        {"{\"a\":[{\"cidr\":\"10.0.0.0/8\",\"x\":1}]}", "Only one key allowed in match expression"},
        {"{\"a\":[{\"exists\":\"true\"}]}", "exists match pattern must be either true or false."},
        {"{\"a\":[{\"exists\":1}]}", "exists match pattern must be either true or false."},
        {"{\"a\":[{\"exists\":null}]}", "exists match pattern must be either true or false."},
        {"{\"a\":[{\"prefix\":1}]}", "prefix match pattern must be a string"},
        {"{\"a\":[{\"prefix\":[\"a\"]}]}", "prefix match pattern must be a string"},
        {"{\"a\":[{\"prefix\":{\"x\":\"a\"}}]}", "prefix match pattern must be a string"},
        {"{\"a\":[{\"suffix\":null}]}", "suffix match pattern must be a string"},
        {"{\"a\":[{\"suffix\":[]}]}", "suffix match pattern must be a string"},
        {"{\"a\":[{\"equals-ignore-case\":[\"a\"]}]}", "equals-ignore-case match pattern must be a string"},
        {"{\"a\":[{\"equals-ignore-case\":{\"prefix\":\"a\"}}]}", "equals-ignore-case match pattern must be a string"},
        {"{\"a\":[{\"wildcard\":5}]}", "wildcard match pattern must be a string"},
        {"{\"a\":[{\"wildcard\":\"a**b\"}]}", "Consecutive wildcard characters at pos 2"},
        {"{\"a\":[{\"wildcard\":\"**\"}]}", "Consecutive wildcard characters at pos 1"},
        {"{\"a\":[{\"wildcard\":\"a\\\\b\"}]}", "Invalid escape character at pos 2"},
        {"{\"a\":[{\"wildcard\":\"ab\\\\\"}]}", "Invalid escape character at pos 3"},
        {"{\"a\":[{\"anything-but\":null}]}", "Value of anything-but must be an array or single string/number value."},
        {"{\"a\":[{\"anything-but\":true}]}", "Value of anything-but must be an array or single string/number value."},
        {"{\"a\":[{\"anything-but\":[null]}]}", "Inside anything but list, start|null|boolean is not supported."},
        {"{\"a\":[{\"anything-but\":[\"a\",true]}]}", "Inside anything but list, start|null|boolean is not supported."},
        {"{\"a\":[{\"anything-but\":[{\"prefix\":\"a\"}]}]}",
         "Inside anything but list, start|null|boolean is not supported."},
        {"{\"a\":[{\"anything-but\":[[1]]}]}", "Inside anything but list, start|null|boolean is not supported."},
        {"{\"a\":[{\"anything-but\":[\"a\",1]}]}",
         "Inside anything but list, either all values are number or string, mixed type is not supported"},
        {"{\"a\":[{\"anything-but\":[]}]}",
         "Inside anything but list, either all values are number or string, mixed type is not supported"},
        {"{\"a\":[{\"anything-but\":{\"numeric\":[\"=\",1]}}]}", "Unsupported anything-but pattern: numeric"},
        {"{\"a\":[{\"anything-but\":{\"exists\":true}}]}", "Unsupported anything-but pattern: exists"},
        {"{\"a\":[{\"anything-but\":{\"prefix\":\"\"}}]}", "Null prefix/suffix not allowed"},
        {"{\"a\":[{\"anything-but\":{\"suffix\":\"\"}}]}", "Null prefix/suffix not allowed"},
        {"{\"a\":[{\"anything-but\":{\"prefix\":[\"a\",\"\"]}}]}", "Null prefix/suffix not allowed"},
        {"{\"a\":[{\"anything-but\":{\"prefix\":5}}]}", "Value of prefix must be an array or single string value."},
        {"{\"a\":[{\"anything-but\":{\"prefix\":{\"equals-ignore-case\":\"a\"}}}]}",
         "Value of prefix must be an array or single string value."},
        {"{\"a\":[{\"anything-but\":{\"wildcard\":[1]}}]}",
         "Inside anything-but wildcard list, only strings are supported."},
        {"{\"a\":[{\"anything-but\":{\"suffix\":[]}}]}", "Empty arrays are not allowed"},
        {"{\"a\":[{\"anything-but\":{\"wildcard\":\"a**\"}}]}", "Consecutive wildcard characters at pos 2"},
        {"{\"a\":[{\"numeric\":5}]}", "Value of numeric must be an array."},
        {"{\"a\":[{\"numeric\":\"=\"}]}", "Value of numeric must be an array."},
        {"{\"a\":[{\"numeric\":[]}]}", "Invalid member in numeric match: ]"},
        {"{\"a\":[{\"numeric\":[5]}]}", "Invalid member in numeric match: 5"},
        {"{\"a\":[{\"numeric\":[\"!=\",5]}]}", "Unrecognized numeric range operator: !="},
        {"{\"a\":[{\"numeric\":[\"<\"]}]}", "Value of < must be numeric"},
        {"{\"a\":[{\"numeric\":[\"<\",\"5\"]}]}", "Value of < must be numeric"},
        {"{\"a\":[{\"numeric\":[\">=\"]}]}", "Value of >= must be numeric"},
        {"{\"a\":[{\"numeric\":[\"=\"]}]}", "Value of equals must be numeric"},
        {"{\"a\":[{\"numeric\":[\">\",1,\"<\"]}]}", "Value of < must be numeric"},
        {"{\"a\":[{\"numeric\":[\"<\",1e400]}]}", "Value of < must be numeric"}, /* any finite double */
        {"{\"a\":[{\"numeric\":[\"=\",1,\"<\",2]}]}", "Too many elements in numeric expression"},
        {"{\"a\":[{\"numeric\":[\"<\",5,\">\",1]}]}", "Too many elements in numeric expression"},
        {"{\"a\":[{\"numeric\":[\"<=\",5,5]}]}", "Too many elements in numeric expression"},
        {"{\"a\":[{\"numeric\":[\">\",1,\">\",2]}]}", "Bad numeric range operator: >"},
        {"{\"a\":[{\"numeric\":[\">\",1,\"=\",2]}]}", "Bad numeric range operator: ="},
        {"{\"a\":[{\"numeric\":[\">\",1,2]}]}", "Bad value in numeric range: 2"},
        {"{\"a\":[{\"numeric\":[\">\",5,\"<\",5]}]}", "Bottom must be less than top"},
        {"{\"a\":[{\"numeric\":[\">=\",5,\"<=\",5]}]}", "Bottom must be less than top"},
        {"{\"a\":[{\"numeric\":[\">\",5,\"<\",1]}]}", "Bottom must be less than top"},
        {"{\"a\":[{\"numeric\":[\">\",1,\"<\",5,\"<\"]}]}", "Too many terms in numeric range expression"},
        {"{\"a\":[{\"cidr\":5}]}", "cidr match pattern must be a string"},
        {"{\"a\":[{\"cidr\":\"10.0.0.0\"}]}", "Malformed CIDR: 10.0.0.0"},
        {"{\"a\":[{\"cidr\":\"10.0.0.0/33\"}]}", "Malformed CIDR: 10.0.0.0/33"},
        {"{\"a\":[{\"cidr\":\"10.0.0/8\"}]}", "Malformed CIDR: 10.0.0/8"},
        {"{\"$or\":{\"a\":[1]}}", "It must be an Array followed with $or."},
        {"{\"$or\":5}", "It must be an Array followed with $or."},
        {"{\"$or\":[{\"a\":[1]},5]}", "Only JSON object is allowed in array of $or relationship."},
        {"{\"$or\":[{\"a\":[1]}]}", "There must have at least 2 Objects in $or relationship."},
        {"{\"$or\":[]}", "There must have at least 2 Objects in $or relationship."},
        {"{\"x\":{\"$or\":[{\"a\":[1]}]}}", "There must have at least 2 Objects in $or relationship."},
        {"{\"data\":[\"a\"]}", "\"data\" must be an object"},
        {"{\"data\":\"a\"}", "\"data\" must be an object or an array"},
        {"{\"$or\":[{\"data\":[{\"exists\":true}]},{\"a\":[1]}]}", "\"data\" must be an object"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check_refusal(rows[i].pattern, rows[i].reason);
}

static void reserved_words_are_no_fields_inside_of_or(void **state)
{
    static const char *const words[] = {
        "exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard", "numeric", "cidr",
        "=", "<", "<=", ">",
        ">=", "regex", "not-wildcard", "not-equals-ignore-case", "date-after", "date-on-or-after", "date-before",
        "date-on-or-before",
        "in-date-range", "ip-address-in-range", "ip-address-not-in-range",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(words); i++) {
        char pattern[200], reason[200];
        const char *one = pattern;

        snprintf(reason, sizeof reason, "%s is Ruler reserved fieldName which cannot be used inside $or.", words[i]);
        snprintf(pattern, sizeof pattern, "{\"$or\":[{\"a\":[1]},{\"%s\":[1]}]}", words[i]);
        check_refusal(pattern, reason);
        snprintf(pattern, sizeof pattern, "{\"x\":{\"$or\":[{\"a\":{\"b\":{\"%s\":[1]}}},{\"c\":[1]}]}}", words[i]);
        check_refusal(pattern, reason);
        snprintf(pattern, sizeof pattern, "{\"%s\":[1],\"$or\":[{\"a\":[1]},{\"b\":[1]}]}", words[i]);
        assert_false(any_matches(&one, 1, "{}")); /* outside it is a name as any other */
    }
}

static void what_is_no_json_is_refused(void **state)
{
    static const char *const patterns[] = {"{", "{\"a\":[1]", "{\"a\":[1]} x", "{\"a\":[NaN]}", "{\"a\":[\"\xff\"]}",
        "{'a':[1]}", "{\"a\":[01]}"};

    (void)state;
    for (size_t i = 0; i < COUNT(patterns); i++) {
        lsi_filter *filter;

        assert_int_equal(lsi_filter_open(&lsi_memory_libc, &patterns[i], 1, NULL, &filter), LS_ERR_INVALID_ARGUMENT);
        assert_memory_equal(ls_last_error_message(), REASON "JSON: ", strlen(REASON "JSON: "));
    }
}

/* ---- bounds ---- */

/* `count` times `open`, `middle`, `count` times `close`. */
static char *nested(const char *before, const char *open, size_t count, const char *middle, const char *close,
    const char *after)
{
    char *text = malloc(strlen(before) + count * (strlen(open) + strlen(close)) + strlen(middle) + strlen(after) + 1);
    char *at = stpcpy(text, before);

    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, open);
    at = stpcpy(at, middle);
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, close);
    stpcpy(at, after);
    return text;
}

static ls_status open_text(char *text)
{
    const char *pattern = text;
    lsi_filter *filter = NULL;
    ls_status st = lsi_filter_open(&lsi_memory_libc, &pattern, 1, NULL, &filter);

    lsi_filter_close(filter);
    free(text);
    return st;
}

static void depth_is_bounded_in_patterns(void **state)
{
    (void)state;
    assert_int_equal(open_text(nested("", "{\"a\":", 63, "[1]", "}", "")), LS_OK);
    assert_int_equal(open_text(nested("", "{\"a\":", 64, "[1]", "}", "")), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(open_text(nested("", "{\"a\":", 10000, "[1]", "}", "")), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(open_text(nested("{\"a", ".a", 63, "\":[1]}", "", "")), LS_OK);
    assert_int_equal(open_text(nested("{\"a", ".a", 64, "\":[1]}", "", "")), LS_ERR_INVALID_ARGUMENT);
    assert_string_equal(ls_last_error_message(), REASON "a path has more than 64 levels");
    assert_int_equal(open_text(nested("", "{\"$or\":[{\"b\":[1]},", 31, "{\"a\":[1]}", "]}", "")), LS_OK);
    assert_int_equal(open_text(nested("", "{\"$or\":[{\"b\":[1]},", 32, "{\"a\":[1]}", "]}", "")),
        LS_ERR_INVALID_ARGUMENT);
}

static void depth_is_bounded_in_data(void **state)
{
    char *text;

    (void)state;
    for (int level = 62; level <= 70; level++) { /* `data` has one, as an array 64 */
        text = nested("{\"a\":", "[", (size_t)level, "1", "]", "}");
        assert_int_equal(meta_matches("{\"data\":{\"a\":[1]}}", text), level <= 63);
        free(text);
        text = nested("", "{\"a\":", (size_t)level, "1", "}", "");
        assert_int_equal(meta_matches("{\"data\":{\"a\":{\"b\":[{\"exists\":false}]}}}", text), level <= 64);
        free(text);
    }
    text = nested("", "[", 100000, "", "]", "");
    assert_false(meta_matches("{\"data\":{\"a\":[{\"exists\":false}]}}", text));
    free(text);
    text = nested("{\"", "a.", 100000, "", "", "a\":1}");
    assert_true(meta_matches("{\"data\":{\"a\":{\"b\":[{\"exists\":false}]}}}", text));
    free(text);
}

static void a_pattern_is_at_most_64_kib(void **state)
{
    (void)state;
    assert_int_equal(open_text(nested("{\"a\":[\"", "x", 65536 - 11, "", "", "\"]}")), LS_OK);
    assert_int_equal(open_text(nested("{\"a\":[\"", "x", 65536 - 10, "", "", "\"]}")), LS_OK);
    assert_int_equal(open_text(nested("{\"a\":[\"", "x", 65536 - 9, "", "", "\"]}")), LS_ERR_TOO_LARGE);
}

/* ---- memory ---- */

typedef struct scarce {
    size_t left, blocks, calls;
} scarce;

static void *scarce_resize(void *user, void *old, size_t bytes)
{
    scarce *s = user;

    if (bytes == 0) {
        s->blocks -= old != NULL;
        free(old);
        return NULL;
    }
    s->calls++;
    if (s->left == 0)
        return NULL;
    s->left--;
    s->blocks += old == NULL;
    return realloc(old, bytes);
}

static const char *const rich_pattern =
    "{\"data\":{\"a.b\":[\"x\",1,9007199254740993,null,{\"prefix\":\"p\"},{\"anything-but\":[1,2]},"
    "{\"anything-but\":{\"wildcard\":\"a*\"}}],"
    "\"$or\":[{\"c\":[{\"wildcard\":\"*a*b\"}]},{\"d\":[{\"cidr\":\"10.0.0.0/8\"},"
    "{\"numeric\":[\">\",1]}]}]},\"sequenceNumber\":[{\"prefix\":\"4\"}]}";
static const char *const rich_data =
    "{\"a.b\":[\"y\",{\"z\":[1,2,3]},\"\\u0078\"],\"c\":[\"\\u0061ab\",\"no\"],\"d\":[1,2,3,4,5,6,7,"
    "8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,"
    "23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,"
    "54,55,56,57,58,59,60,61,62,63,64,65,66]}";

/* Goal: every allocation that fails is told, leaves nothing behind, and the filter works afterwards. Method: refuse the
 * first, the second, ... until none is refused. */
static void running_out_of_memory_is_told(void **state)
{
    ls_record record = record_of(rich_data);
    ls_status st = LS_ERR_NO_MEMORY;

    (void)state;
    for (size_t left = 0; st == LS_ERR_NO_MEMORY; left++) {
        scarce s = {.left = left};
        lsi_memory memory = {scarce_resize, &s};
        lsi_filter *filter = NULL;
        bool found = false;

        st = lsi_filter_open(&memory, &rich_pattern, 1, &names, &filter);
        if (st == LS_OK) {
            st = lsi_filter_matches(filter, &record, 0, &found);
            s.left = SIZE_MAX;
            assert_int_equal(lsi_filter_matches(filter, &record, 0, &found), LS_OK);
            assert_true(found);
        } else {
            assert_null(filter);
        }
        lsi_filter_close(filter);
        assert_int_equal(s.blocks, 0);
        assert_true(left < 1000);
    }
    assert_int_equal(st, LS_OK);
}

static void a_record_like_one_before_takes_no_memory(void **state)
{
    ls_record record = record_of(rich_data);
    scarce s = {.left = SIZE_MAX};
    lsi_memory memory = {scarce_resize, &s};
    lsi_filter *filter;
    size_t calls;
    bool found;

    (void)state;
    assert_int_equal(lsi_filter_open(&memory, &rich_pattern, 1, &names, &filter), LS_OK);
    assert_int_equal(lsi_filter_matches(filter, &record, 0, &found), LS_OK);
    calls = s.calls;
    for (int i = 0; i < 100; i++)
        assert_int_equal(lsi_filter_matches(filter, &record, 0, &found), LS_OK);
    assert_int_equal(s.calls, calls);
    lsi_filter_close(filter);
}

/* Goal: one very large record does not leave its memory with the filter. */
static void what_a_large_record_took_is_given_back(void **state)
{
    static const char *const pattern = "{\"data\":{\"a\":[2],\"b\":[\"x\"]}}";
    char *data = nested("{\"a\":[", "1,", 600000, "1],\"b\":\"\\u0079", "y", "\"}");
    ls_record record = record_of(data);
    scarce s = {.left = SIZE_MAX};
    lsi_memory memory = {scarce_resize, &s};
    lsi_filter *filter;
    size_t blocks;
    bool found = true;

    (void)state;
    assert_int_equal(lsi_filter_open(&memory, &pattern, 1, NULL, &filter), LS_OK);
    blocks = s.blocks;
    assert_int_equal(lsi_filter_matches(filter, &record, 0, &found), LS_OK);
    assert_false(found);
    assert_int_equal(s.blocks, blocks);
    record = record_of("{\"a\":2,\"b\":\"x\"}");
    assert_int_equal(lsi_filter_matches(filter, &record, 0, &found), LS_OK);
    assert_true(found);
    lsi_filter_close(filter);
    free(data);
}

int main(void)
{
    const struct CMUnitTest filters[] = {
        cmocka_unit_test(a_literal_string_is_the_same_code_points),
        cmocka_unit_test(a_literal_number_is_an_equal_double),
        cmocka_unit_test(null_is_the_value_null),
        cmocka_unit_test(booleans_are_not_their_words),
        cmocka_unit_test(exists_works_on_leaves_only),
        cmocka_unit_test(prefix_is_how_a_string_starts),
        cmocka_unit_test(suffix_is_how_a_string_ends),
        cmocka_unit_test(equals_ignore_case_folds_both),
        cmocka_unit_test(wildcard_stands_for_any_text),
        cmocka_unit_test(a_wildcard_of_many_stars_is_linear),
        cmocka_unit_test(anything_but_needs_a_field_that_is_there),
        cmocka_unit_test(anything_but_takes_operators_on_strings),
        cmocka_unit_test(numeric_is_a_range_of_numbers),
        cmocka_unit_test(cidr_is_a_block_of_addresses),
        cmocka_unit_test(or_is_one_of_several_and_its_siblings),
        cmocka_unit_test(choices_and_their_siblings_share_elements),
        cmocka_unit_test(choices_are_not_multiplied),
        cmocka_unit_test(choices_that_must_be_multiplied_are_bounded),
        cmocka_unit_test(fields_under_one_array_match_in_one_element),
        cmocka_unit_test(absence_under_an_array_is_of_the_element_or_of_all),
        cmocka_unit_test(dots_are_nesting_on_both_sides),
        cmocka_unit_test(the_last_of_equal_keys_is_meant),
        cmocka_unit_test(the_vectors_of_the_specification),
        cmocka_unit_test(trap_7_filters),
        cmocka_unit_test(the_fields_of_an_event_can_be_asked_for),
        cmocka_unit_test(an_event_has_no_field_that_nobody_named),
        cmocka_unit_test(an_empty_key_is_an_empty_string),
        cmocka_unit_test(data_that_is_not_json_is_dropped_where_a_pattern_asks_for_it),
        cmocka_unit_test(one_pattern_of_several_is_enough),
        cmocka_unit_test(records_without_json_are_counted),
        cmocka_unit_test(a_match_leaves_the_last_error_alone),
        cmocka_unit_test(every_error_has_the_words_of_the_service),
        cmocka_unit_test(reserved_words_are_no_fields_inside_of_or),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(depth_is_bounded_in_patterns),
        cmocka_unit_test(depth_is_bounded_in_data),
        cmocka_unit_test(a_pattern_is_at_most_64_kib),
        cmocka_unit_test(running_out_of_memory_is_told),
        cmocka_unit_test(a_record_like_one_before_takes_no_memory),
        cmocka_unit_test(what_a_large_record_took_is_given_back),
    };

    return cmocka_run_group_tests(filters, NULL, NULL);
}
