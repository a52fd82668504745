/* Filters: every row of the table of matchers with its traps. Each table is a test by the name of what it shows. */
#include "consume/filter_support.h"

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
    };

    (void)state;
    CHECK(rows);
}

/* As filter.h has it, of each kind one: exponents, zeros and signs, digits, what is too large and too small. */
static void numbers_are_compared_as_the_header_says(void **state)
{
    static const row rows[] = {
        {"{\"n\":[1e3]}", "{\"n\":1000}", true},
        {"{\"n\":[1E+3]}", "{\"n\":100000e-2}", true},
        {"{\"n\":[12.50]}", "{\"n\":1.25e1}", true},
        {"{\"n\":[1e22]}", "{\"n\":10000000000000000000000}", true},
        {"{\"n\":[0]}", "{\"n\":-0}", true},
        {"{\"n\":[-0]}", "{\"n\":0}", true},
        {"{\"n\":[-0.0]}", "{\"n\":0e9}", true},
        {"{\"n\":[{\"anything-but\":0}]}", "{\"n\":-0}", false},
        {"{\"n\":[{\"numeric\":[\">=\",0]}]}", "{\"n\":-0}", true},
        {"{\"n\":[{\"numeric\":[\"<\",0]}]}", "{\"n\":-0}", false},
        {"{\"n\":[123456789012345.6]}", "{\"n\":1234567890123456e-1}", true}, /* 16 digits that a double keeps */
        {"{\"n\":[12345678901234567]}", "{\"n\":12345678901234567}", true}, /* and 17 that it does not */
        {"{\"n\":[12345678901234567]}", "{\"n\":12345678901234568}", false},
        {"{\"n\":[12345678901234567]}", "{\"n\":1.2345678901234567e16}", false},
        {"{\"n\":[{\"anything-but\":12345678901234567}]}", "{\"n\":12345678901234567}", false},
        {"{\"n\":[{\"anything-but\":12345678901234567}]}", "{\"n\":12345678901234568}", true},
        {"{\"n\":[{\"numeric\":[\">\",1]}]}", "{\"n\":12345678901234567}", false},
        {"{\"n\":[{\"numeric\":[\">\",1]}]}", "{\"n\":12345678901234568}", true},
        {"{\"n\":[{\"numeric\":[\"=\",12345678901234567]}]}", "{\"n\":12345678901234568}", true}, /* rounded */
        {"{\"n\":[{\"numeric\":[\">\",1]}]}", "{\"n\":1e400}", false},
        {"{\"n\":[{\"numeric\":[\"<\",1]}]}", "{\"n\":-1e400}", false},
        {"{\"n\":[1.7976931348623157e308]}", "{\"n\":1e400}", false},
        {"{\"n\":[{\"anything-but\":1}]}", "{\"n\":1e400}", true}, /* It is there, and another. */
        {"{\"n\":[{\"exists\":true}]}", "{\"n\":1e400}", true},
        {"{\"n\":[1e-400]}", "{\"n\":1e-400}", true},
        {"{\"n\":[1e-400]}", "{\"n\":0}", false},
        {"{\"n\":[0]}", "{\"n\":1e-400}", false},
        {"{\"n\":[5e-324]}", "{\"n\":0.05e-322}", true}, /* the least there is */
        {"{\"n\":[1.7976931348623157e308]}", "{\"n\":17.976931348623157E307}", true}, /* and the greatest */
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

int main(void)
{
    const struct CMUnitTest filters[] = {
        cmocka_unit_test(a_literal_string_is_the_same_code_points),
        cmocka_unit_test(a_literal_number_is_an_equal_double),
        cmocka_unit_test(numbers_are_compared_as_the_header_says),
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
    };

    return cmocka_run_group_tests(filters, NULL, NULL);
}
