/* Queries of partition keys: what each gives, what is refused and where. Values are what jq 1.6 gives with -r, but for
 * those that a query has none for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "deliver/query.h"
#include "deliver/strftime.h"
#include "support/sim_memory.h"

static const char example[] =
    "{\"type\":{\"device\":\"mobile\"},\"customer_id\":\"1234567890\",\"event_timestamp\":1565382027}";

static lsi_queries *open_one(const char *text)
{
    lsi_queries *queries = NULL;
    lsi_query_text one = {"k", text};

    if (lsi_queries_open(&lsi_memory_libc, &one, 1, &queries) != LS_OK)
        fail_msg("'%s' is refused: %s", text, ls_last_error_message());
    return queries;
}

/* What a query gives for data, or in angle brackets why it gives nothing. A view of four. */
static const char *ask(const char *text, const char *data)
{
    static char out[4][2048];
    static unsigned turn;
    lsi_queries *queries = open_one(text);
    const char *reason;
    ls_bytes value;

    turn = (turn + 1) % 4;
    assert_int_equal(lsi_queries_apply(queries, (ls_bytes){data, strlen(data)}, &value, &reason), LS_OK);
    if (reason == NULL)
        snprintf(out[turn], sizeof out[turn], "%.*s", (int)value.size, (const char *)value.data);
    else
        snprintf(out[turn], sizeof out[turn], "<%s>", reason);
    lsi_queries_close(queries);
    return out[turn];
}

static void the_documented_example_gives_its_keys(void **state)
{
    lsi_queries *queries = NULL;
    ls_bytes values[6];
    const char *reason, *const *names;
    uint32_t count;
    static const char *const wanted[] = {"1234567890", "mobile", "2019", "08", "09", "20"};

    (void)state;
    assert_int_equal(lsi_queries_open_object(&lsi_memory_libc,
                                             " { customer_id : .customer_id, \"device\":.type.device,"
                                             "year: .event_timestamp|strftime(\"%Y\"),\n"
                                             "month: .event_timestamp| strftime( \"%m\" ),"
                                             "day: .event_timestamp |strftime(\"%d\"),"
                                             "hour: .event_timestamp | strftime(\"%H\") } ", &queries), LS_OK);
    names = lsi_queries_names(queries, &count);
    assert_int_equal(count, 6);
    assert_string_equal(names[0], "customer_id");
    assert_string_equal(names[1], "device");
    assert_string_equal(names[5], "hour");
    assert_int_equal(lsi_queries_apply(queries, (ls_bytes){example, sizeof example - 1}, values, &reason), LS_OK);
    assert_null(reason);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(values[i].size, strlen(wanted[i]));
        assert_memory_equal(values[i].data, wanted[i], values[i].size);
    }
    lsi_queries_close(queries);
    lsi_queries_close(NULL);
}

static void each_way_leads_to_its_value(void **state)
{
    static const struct {
        const char *query, *data, *value;
    } known[] = {
        {".a", "{\"a\":\"x\"}", "x"},
        {" .a ", "{\"b\":{\"a\":1},\"a\":\"x\"}", "x"},
        {".a.b", "{\"a\":1,\"c\":{\"b\":2},\"a\":{\"d\":{\"b\":3},\"b\":\"y\"}}", "y"},
        {".a[0]", "{\"a\":[\"x\",\"y\"]}", "x"},
        {".a[1].b", "{\"a\":[{\"b\":1},{\"b\":[],\"b\":2},{\"b\":3}]}", "2"},
        {".[2]", "[[7,8,9],{\"a\":[1,2,3]},5]", "5"},
        {".[0][1][2]", "[[0,[1,2,3],[4,5,6]],[7,[8,9,10]]]", "3"},
        {".[\"a b\"]", "{\"a b\":\"x\"}", "x"},
        {".a[\"b\"].c", "{\"a\":{\"b\":{\"c\":true}}}", "true"},
        {".\"a.b\"", "{\"a\":{\"b\":1},\"a.b\":2}", "2"},
        {".[\"\\u00fc\\\"\\\\\"]", "{\"\xc3\xbc\\\"\\\\\":\"x\"}", "x"},
        {".a | .b | .c", "{\"a\":{\"b\":{\"c\":\"x\"}}}", "x"},
        {".", "\"x\"", "x"},
        {". | tostring", "12", "12"},
        {".a|tostring", "{\"a\":false}", "false"},
        {".a", "{\"a\":\"\"}", ""},
        {".a", "{\"a\":\"\\u00fc\\n\"}", "\xc3\xbc\n"},
        {".a", "{\"a\":1,\"a\":\"last\"}", "last"}, /* Q1 */
        {".a.b", "{\"a\":{\"b\":1},\"a\":{\"b\":2}}", "2"},
        {".a", "{\"a\":12345678901234567890123}", "12345678901234567890123"},
        {".a", "{\"a\":1.50}", "1.5"}, {".a", "{\"a\":1e3}", "1000"}, {".a", "{\"a\":-0}", "-0"},
        {".a", "{\"a\":1.0}", "1"}, {".a", "{\"a\":1e-5}", "1e-05"}, {".a", "{\"a\":0.1}", "0.1"},
        {".a | strftime(\"%F %T %j %a %b %u %w %y %e %I%p %s %Z %%\")", "{\"a\":1565382027.9}",
         "2019-08-09 20:20:27 221 Fri Aug 5 5 19  9 08PM 1565382027 UTC %"},
        {".a | strftime(\"%F %T %s\") | tostring", "{\"a\":-0.5}", "1969-12-31 23:59:59 -1"},
        {".a|strftime(\"plain\")", "{\"a\":0}", "plain"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_string_equal(ask(known[i].query, known[i].data), known[i].value);
}

static void what_gives_no_text_says_why(void **state)
{
    static const char null_or_missing[] = "<partition key 'k' is null or missing>";
    static const char composed[] = "<partition key 'k' is an object or array, and not a string, number, true or false>";
    static const char no_seconds[] = "<partition key 'k' is not a number of seconds, which strftime takes>";
    static const char no_time[] = "<partition key 'k' is beyond any time in seconds>";
    static const struct {
        const char *query, *data, *said;
    } known[] = {
        {".a", "{}", null_or_missing}, {".a", "{\"a\":null}", null_or_missing}, {".a", "[1]", null_or_missing},
        {".a", "7", null_or_missing}, {".", "null", null_or_missing}, {".a.b", "{\"a\":\"b\"}", null_or_missing},
        {".a[1]", "{\"a\":[0]}", null_or_missing}, {".[0]", "{\"0\":1}", null_or_missing},
        {".[\"0\"]", "[1]", null_or_missing}, {".a", "{\"A\":1}", null_or_missing},
        {".a.b", "{\"a\":{\"b\":1},\"a\":{}}", null_or_missing}, /* Q1: the last one has none */
        {".a", "{\"a\":1,\"a\":null}", null_or_missing},
        {".a", "{\"a\":{\"a\":1}}", composed}, {".a", "{\"a\":[1]}", composed}, {".", "{}", composed},
        {".a|tostring", "{\"a\":[]}", composed},
        {".a|strftime(\"%Y\")", "{\"a\":\"2019\"}", no_seconds}, {".a|strftime(\"%Y\")", "{\"a\":true}", no_seconds},
        {".a|strftime(\"%Y\")", "{\"a\":1e15}", no_time}, {".a|strftime(\"%Y\")", "{\"a\":-1e400}", no_time},
        {".a", "{\"a\":1e400}", "<partition key 'k' is a number that no double holds>"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_string_equal(ask(known[i].query, known[i].data), known[i].said);
}

static void data_that_is_not_json_says_where(void **state)
{
    static const char *const bad[] = {"", " ", "{", "{\"a\":1}x", "{\"a\":1}{\"a\":2}", "nonsense", "{\"a\":\"\xff\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_memory_equal(ask(".a", bad[i]), "<JSON", 5);
    }
}

/* A record's failure is an answer, and the next record has its own. */
static void a_failure_is_over_with_its_record(void **state)
{
    lsi_queries *queries = open_one(".a");
    ls_status before = ls_last_error_status();
    const char *reason;
    ls_bytes value;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lsi_queries_apply(queries, (ls_bytes){"{", 1}, &value, &reason), LS_OK);
        assert_non_null(reason);
        assert_int_equal(ls_last_error_status(), before);
        assert_int_equal(lsi_queries_apply(queries, (ls_bytes){"{\"a\":5}", 7}, &value, &reason), LS_OK);
        assert_null(reason);
        assert_int_equal(value.size, 1);
        assert_int_equal(lsi_queries_apply(queries, (ls_bytes){"{\"b\":5}", 7}, &value, &reason), LS_OK);
        assert_non_null(reason);
    }
    lsi_queries_close(queries);
}

static void a_value_has_at_most_1024_bytes(void **state)
{
    char data[2 * LSI_QUERY_VALUE_MAX] = "{\"a\":\"";
    size_t start = strlen(data);

    (void)state;
    memset(data + start, 'x', LSI_QUERY_VALUE_MAX);
    strcpy(data + start + LSI_QUERY_VALUE_MAX, "\"}");
    assert_int_equal(strlen(ask(".a", data)), LSI_QUERY_VALUE_MAX);
    strcpy(data + start + LSI_QUERY_VALUE_MAX, "x\"}");
    assert_string_equal(ask(".a", data), "<partition key 'k' is longer than 1024 bytes>");
}

static void a_refusal_has_its_column(void **state)
{
    static const struct {
        const char *text, *said;
    } bad[] = {
        {"", "query 'k': column 1: a query begins with a point"},
        {"a", "column 1: a query begins with a point"},
        {"..", "column 2: the query ends here, and this follows it"},
        {".a.", "column 4: a name is expected behind the point"},
        {".a..b", "column 4: a name is expected behind the point"},
        {".a b", "column 4: the query ends here"},
        {".a?", "column 3: the query ends here"},
        {".0", "column 2: the query ends here"},
        {".a-b", "column 3: the query ends here"},
        {".[", "column 3: an index from 0 on, or a string in double quotes, is expected"},
        {".[-1]", "column 3: an index from 0 on"},
        {".[]", "column 3: an index from 0 on"},
        {".[0", "column 2: this [ has no ] behind its index"},
        {".[\"a\"", "column 2: this [ has no ]"},
        {".[\"a]", "column 3: the string has no end"},
        {".[\"a\\\"]", "column 3: the string has no end"},
        {".[\"\\(1)\"]", "column 3: no string as in JSON"},
        {".[\"\\ud800\"]", "column 3: no string as in JSON"},
        {".[1000000001]", "column 3: an index of at most 1000000000 is expected"},
        {".[99999999999999999999999]", "column 3: an index of at most"},
        {".a |", "column 5: no such function: there are strftime(\"FORMAT\") and tostring"},
        {".a | tonumber", "column 6: no such function"},
        {".a | strftime", "column 14: strftime(\"FORMAT\") is expected"},
        {".a | strftime()", "column 15: a string in double quotes is expected"},
        {".a | strftime(\"%Y\"", "column 19: a ) is expected"},
        {".a | strftime(\"%Q\")", "column 15: strftime has %Y"},
        {".a | strftime(\"%\")", "column 15: strftime has %Y"},
        {".a | tostring | strftime(\"%Y\")", "column 17: strftime takes a number, and this is text"},
        {".a | strftime(\"%Y\") | strftime(\"%Y\")", "column 23: strftime takes a number"},
        {".a | tostring | .b", "column 17: there is no way into text"},
        {".a, .b", "column 3: the query ends here"},
    };
    char deep[3 * 66] = "";

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lsi_query_text one = {"k", bad[i].text};
        lsi_queries *queries = NULL;

        assert_int_equal(lsi_queries_open(&lsi_memory_libc, &one, 1, &queries), LS_ERR_INVALID_ARGUMENT);
        assert_null(queries);
        if (strstr(ls_last_error_message(), bad[i].said) == NULL)
            fail_msg("'%s': said '%s', not '%s'", bad[i].text, ls_last_error_message(), bad[i].said);
    }
    for (int i = 0; i < 65; i++)
        strcat(deep, ".a");
    assert_int_equal(lsi_queries_open(&lsi_memory_libc, &(lsi_query_text){"k", deep}, 1, &(lsi_queries *){NULL}),
                     LS_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(ls_last_error_message(), "more than 64 levels"));
    deep[128] = '\0';
    lsi_queries_close(open_one(deep));
}

static void an_object_of_queries_is_held_to_its_form(void **state)
{
    static const struct {
        const char *text, *said;
    } bad[] = {
        {"", "queries: column 1: an object of queries is expected"},
        {".a", "column 1: an object of queries is expected"},
        {"{}", "column 2: a name is expected"},
        {"{a}", "column 3: a colon and a query are expected"},
        {"{a:}", "column 4: a query begins with a point"},
        {"{a:.a", "column 6: a comma or } is expected"},
        {"{a:.a,}", "column 7: a name is expected"},
        {"{a:.a} x", "column 8: the object ends here"},
        {"{a:.a,a:.b}", "column 7: this key has a query already"},
        {"{\"\":.a}", "column 2: a key's name is empty"},
        {"{\"a\\u0000\":.a}", "column 2: a key's name is empty, or has U+0000 in it"},
        {"{\"a:.a}", "column 2: the string has no end"},
        {"{1:.a}", "column 2: a name is expected"},
    };
    char many[LSI_QUERIES_MAX * 16] = "{";
    lsi_query_text texts[LSI_QUERIES_MAX + 1] = {{"a", ".a"}};
    lsi_queries *queries = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(lsi_queries_open_object(&lsi_memory_libc, bad[i].text, &queries), LS_ERR_INVALID_ARGUMENT);
        if (strstr(ls_last_error_message(), bad[i].said) == NULL)
            fail_msg("'%s': said '%s', not '%s'", bad[i].text, ls_last_error_message(), bad[i].said);
    }
    for (unsigned i = 0; i < LSI_QUERIES_MAX; i++)
        snprintf(many + strlen(many), 16, "%sk%u:.k%u", i == 0 ? "" : ",", i, i);
    strcat(many, "}");
    assert_int_equal(lsi_queries_open_object(&lsi_memory_libc, many, &queries), LS_OK);
    lsi_queries_close(queries);
    strcpy(many + strlen(many) - 1, ",z:.z}");
    assert_int_equal(lsi_queries_open_object(&lsi_memory_libc, many, &queries), LS_ERR_INVALID_ARGUMENT);
    assert_string_equal(ls_last_error_message(), "51 queries: there are 1 to 50");
    assert_int_equal(lsi_queries_open(&lsi_memory_libc, texts, 0, &queries), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_queries_open(&lsi_memory_libc, texts, LSI_QUERIES_MAX + 1, &queries), LS_ERR_INVALID_ARGUMENT);
    texts[1] = texts[0];
    assert_int_equal(lsi_queries_open(&lsi_memory_libc, texts, 2, &queries), LS_ERR_INVALID_ARGUMENT);
    assert_string_equal(ls_last_error_message(), "query 'a': column 1: this key has a query already");
}

static void times_are_the_c_librarys(void **state)
{
    static const char *const formats[] = {"%Y", "%y", "%m", "%d", "%e", "%H", "%I", "%M", "%S", "%p", "%j", "%a", "%b",
                                          "%u", "%w", "%F", "%T", "%%", "a%Yb%mc"};

    (void)state;
    for (int64_t second = -1000000007; second < INT64_C(5000000000); second += 7654321) {
        time_t when = (time_t)second;
        struct tm parts;

        assert_non_null(gmtime_r(&when, &parts));
        for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
            char wanted[64], got[64];
            size_t size = strlen(formats[i]), written = lsi_strftime_write(formats[i], size, second, got, sizeof got);

            assert_null(lsi_strftime_check(formats[i], size));
            assert_int_equal(written, strftime(wanted, sizeof wanted, formats[i], &parts));
            assert_memory_equal(got, wanted, written);
            memset(got, '#', sizeof got);
            assert_int_equal(lsi_strftime_write(formats[i], size, second, got, 1), written);
            assert_int_equal(got[1], '#');
        }
    }
}

static void without_memory_nothing_is_left(void **state)
{
    sim_memory memory = SIM_MEMORY_INIT;
    lsi_memory table = sim_memory_table(&memory);
    const char *text = "{a:.a.b[3][\"x y\"],b:.c|strftime(\"%Y\")}", *reason = NULL;
    char data[256] = "{\"c\":5,\"a\":{\"b\":[1,2,3,{\"x y\":\"";
    lsi_queries *queries = NULL;
    ls_bytes values[2];
    ls_status st = LS_ERR_NO_MEMORY;

    (void)state;
    memset(data + strlen(data), 'v', 100);
    strcat(data, "\"}]}}");
    for (uint64_t nth = 1; st != LS_OK; nth++) {
        sim_memory_fail(&memory, nth, false);
        st = lsi_queries_open_object(&table, text, &queries);
        assert_true(st == LS_OK || (st == LS_ERR_NO_MEMORY && queries == NULL && memory.live == 0));
        assert_true(nth < 100);
    }
    st = LS_ERR_NO_MEMORY;
    for (uint64_t nth = 1; st != LS_OK; nth++) {
        sim_memory_fail(&memory, nth, false);
        st = lsi_queries_apply(queries, (ls_bytes){data, strlen(data)}, values, &reason);
        assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
        assert_true(nth < 100);
    }
    assert_null(reason);
    assert_int_equal(values[0].size, 100);
    lsi_queries_close(queries);
    assert_int_equal(memory.live, 0);
}

int main(void)
{
    const struct CMUnitTest query[] = {
        cmocka_unit_test(the_documented_example_gives_its_keys),
        cmocka_unit_test(each_way_leads_to_its_value),
        cmocka_unit_test(what_gives_no_text_says_why),
        cmocka_unit_test(data_that_is_not_json_says_where),
        cmocka_unit_test(a_failure_is_over_with_its_record),
        cmocka_unit_test(a_value_has_at_most_1024_bytes),
        cmocka_unit_test(a_refusal_has_its_column),
        cmocka_unit_test(an_object_of_queries_is_held_to_its_form),
        cmocka_unit_test(times_are_the_c_librarys),
        cmocka_unit_test(without_memory_nothing_is_left),
    };

    return cmocka_run_group_tests_name("queries", query, NULL, NULL);
}
