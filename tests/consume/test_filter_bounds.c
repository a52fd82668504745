/* Filters: every text of an error, how deep and long patterns and data may be, and what a filter does with its
 * memory. */
#include "consume/filter_support.h"

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
        {"{\"a\":[1,1e400]}", "Match value must be a finite double, and 1e400 is none"},
        {"{\"a\":[-1e400]}", "Match value must be a finite double, and -1e400 is none"},
        {"{\"a\":[{\"anything-but\":1e309}]}", "Match value must be a finite double, and 1e309 is none"},
        {"{\"a\":[{\"anything-but\":[1,1e400]}]}", "Match value must be a finite double, and 1e400 is none"},
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
