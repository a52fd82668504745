/* Filters: where in a record a pattern looks, every vector of the specification, and what becomes of records that are
 * not JSON. */
#include "consume/filter_support.h"

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

/* A key is found among few steps and among many, as they are looked at in two ways. */
#define MANY "\"p\":{\"q\":[{\"exists\":false}]},\"m1\":[{\"exists\":false}],\"m2\":[{\"exists\":false}]," \
    "\"m3\":[{\"exists\":false}],\"m4\":[{\"exists\":false}],\"m5\":[{\"exists\":false}],\"m6\":[{\"exists\":false}]," \
    "\"m7\":[{\"exists\":false}],\"m8\":[{\"exists\":false}],"

static void a_step_is_all_of_a_key_up_to_its_dot(void **state)
{
    static const row rows[] = {
        {"{\"ab\":[1]}", "{\"a\":1}", false},
        {"{\"ab\":[1]}", "{\"abc\":1}", false},
        {"{\"ab\":[1]}", "{\"ac\":1}", false},
        {"{\"a\":{\"b\":[1]}}", "{\"ab.b\":1}", false},
        {"{\"a\":{\"b\":[1]}}", "{\"a.bc\":1}", false},
        {"{\"a\":{\"\":[1]}}", "{\"a.\":1}", true},
        {"{\"\":{\"a\":[1]}}", "{\".a\":1}", true},
        {"{\"a\":{\"b\":[1]},\"ab\":{\"b\":[2]}}", "{\"ab.b\":2,\"a.b\":1}", true},
        {"{" MANY "\"ab\":[1]}", "{\"a\":1}", false},
        {"{" MANY "\"ab\":[1]}", "{\"abc\":1}", false},
        {"{" MANY "\"ab\":[1]}", "{\"ab\":1}", true},
        {"{" MANY "\"a\":{\"b\":[1]}}", "{\"ab.b\":1}", false},
        {"{" MANY "\"a\":{\"b\":[1]}}", "{\"a.b\":1}", true},
        {"{" MANY "\"a\":{\"\":[1]}}", "{\"a.\":1}", true},
        {"{" MANY "\"\":{\"a\":[1]}}", "{\".a\":1}", true},
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
                             "\"eventID\":[\"shardId-000000000017:"
                             "49646437577130777162115407028968674069677693010553340178\"]}", ""));
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

/* Its number is that of the aggregate, which others share; the event's id is its own. */
static void a_user_record_has_an_id_of_its_own(void **state)
{
    static const char *const pattern = "{\"eventID\":[{\"suffix\":\"53340178.7\"}]}";
    ls_record record = record_of("");
    lsi_filter *filter;
    bool found = false;

    (void)state;
    record.flags = LS_RECORD_AGGREGATED;
    assert_int_equal(lsi_filter_open(&lsi_memory_libc, &pattern, 1, NULL, &filter), LS_OK);
    for (record.sub_seqno = 6; record.sub_seqno < 9; record.sub_seqno++) {
        assert_int_equal(lsi_filter_matches(filter, &record, INT64_C(1700000000000000), &found), LS_OK);
        assert_int_equal(found, record.sub_seqno == 7);
    }
    lsi_filter_close(filter);
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

int main(void)
{
    const struct CMUnitTest filters[] = {
        cmocka_unit_test(fields_under_one_array_match_in_one_element),
        cmocka_unit_test(absence_under_an_array_is_of_the_element_or_of_all),
        cmocka_unit_test(dots_are_nesting_on_both_sides),
        cmocka_unit_test(a_step_is_all_of_a_key_up_to_its_dot),
        cmocka_unit_test(the_last_of_equal_keys_is_meant),
        cmocka_unit_test(the_vectors_of_the_specification),
        cmocka_unit_test(trap_7_filters),
        cmocka_unit_test(the_fields_of_an_event_can_be_asked_for),
        cmocka_unit_test(a_user_record_has_an_id_of_its_own),
        cmocka_unit_test(an_event_has_no_field_that_nobody_named),
        cmocka_unit_test(an_empty_key_is_an_empty_string),
        cmocka_unit_test(data_that_is_not_json_is_dropped_where_a_pattern_asks_for_it),
        cmocka_unit_test(one_pattern_of_several_is_enough),
        cmocka_unit_test(records_without_json_are_counted),
        cmocka_unit_test(a_match_leaves_the_last_error_alone),
    };

    return cmocka_run_group_tests(filters, NULL, NULL);
}
