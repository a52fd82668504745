/* filter.h: every promise of the header that is about the handle; the language has its tests in tests/consume. */
#include "api/support.h"

#include "stream/stream.h"

static int32_t match(ls_filter *filter, const ls_record *record)
{
    int32_t found = -1;

    assert_int_equal(ls_filter_matches(filter, record, &found), LS_OK);
    return found;
}

static ls_record a_record(const char *key, const char *data)
{
    return (ls_record){.partition_key = text(key), .data = text(data), .seqno = 1,
        .arrival_us = INT64_C(1700000000000000)};
}

#ifdef LSI_HAVE_YAJL

static void a_filter_needs_no_store(void **state)
{
    const char *const patterns[] = {"{\"partitionKey\":[\"a\"]}", "{\"data\":{\"x\":[{\"numeric\":[\">\",1]}]}}"};
    ls_record record = a_record("a", "no JSON");
    ls_filter *filter = NULL;

    (void)state;
    assert_int_equal(ls_filter_open(patterns, 2, NULL, &filter), LS_OK);
    assert_int_equal(match(filter, &record), 1);
    record = a_record("b", "{\"x\":2}");
    assert_int_equal(match(filter, &record), 1);
    record = a_record("b", "{\"x\":1}");
    assert_int_equal(match(filter, &record), 0);
    assert_int_equal(ls_filter_not_json(filter), 0);
    record = a_record("b", "no JSON");
    assert_int_equal(match(filter, &record), 0);
    assert_int_equal(ls_filter_not_json(filter), 1);
    ls_filter_close(filter);
    ls_filter_close(NULL);
    assert_int_equal(ls_filter_not_json(NULL), 0);
}

static void no_pattern_lets_everything_pass(void **state)
{
    ls_record record = {.partition_key = {NULL, 0}, .data = {NULL, 0}, .seqno = 1};
    ls_filter *filter = NULL;

    (void)state;
    assert_int_equal(ls_filter_open(NULL, 0, NULL, &filter), LS_OK);
    assert_int_equal(match(filter, &record), 1);
    ls_filter_close(filter);
}

static void five_patterns_are_taken_and_ten_when_asked_for(void **state)
{
    const char *patterns[12];
    ls_filter_options options = LS_FILTER_OPTIONS_INIT;
    ls_filter *filter = NULL;

    (void)state;
    for (int i = 0; i < 12; i++)
        patterns[i] = "{\"partitionKey\":[\"a\"]}";
    assert_int_equal(ls_filter_open(patterns, 5, NULL, &filter), LS_OK);
    ls_filter_close(filter);
    filter = NULL;
    assert_int_equal(ls_filter_open(patterns, 6, NULL, &filter), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("6 patterns: a filter has at most 5 (options.patterns_max)"));
    options.patterns_max = 10;
    assert_int_equal(ls_filter_open(patterns, 10, &options, &filter), LS_OK);
    ls_filter_close(filter);
    filter = NULL;
    assert_int_equal(ls_filter_open(patterns, 11, &options, &filter), LS_ERR_INVALID_ARGUMENT);
    options.patterns_max = 1;
    assert_int_equal(ls_filter_open(patterns, 2, &options, &filter), LS_ERR_INVALID_ARGUMENT);
    options.patterns_max = 11;
    assert_int_equal(ls_filter_open(patterns, 1, &options, &filter), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("options.patterns_max is 11: at most 10"));
    assert_null(filter);
}

static void wrong_arguments_are_refused(void **state)
{
    const char *const patterns[] = {"{\"a\":[1]}", NULL};
    const char *const wrong[] = {"{\"a\":[1]}", "{\"a\":1}"};
    ls_filter_options options = LS_FILTER_OPTIONS_INIT;
    ls_record record = a_record("a", "{}");
    ls_filter *filter = NULL;
    int32_t found = 7;

    (void)state;
    assert_int_equal(ls_filter_open(patterns, 1, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_filter_open(NULL, 1, NULL, &filter), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_filter_open(patterns, 2, NULL, &filter), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("pattern 1 is NULL"));
    assert_int_equal(ls_filter_open(wrong, 2, NULL, &filter), LS_ERR_INVALID_ARGUMENT);
    assert_string_equal(ls_last_error_message(),
        "Event pattern is not valid. Reason: \"a\" must be an object or an array");
    options.size = 0;
    assert_int_equal(ls_filter_open(patterns, 1, &options, &filter), LS_ERR_INVALID_ARGUMENT);
    assert_null(filter);
    assert_int_equal(ls_filter_open(patterns, 1, NULL, &filter), LS_OK);
    assert_int_equal(ls_filter_matches(NULL, &record, &found), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_filter_matches(filter, NULL, &found), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_filter_matches(filter, &record, NULL), LS_ERR_INVALID_ARGUMENT);
    record.data.data = NULL;
    assert_int_equal(ls_filter_matches(filter, &record, &found), LS_ERR_INVALID_ARGUMENT);
    record = a_record("a", "");
    record.partition_key.data = NULL;
    assert_int_equal(ls_filter_matches(filter, &record, &found), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(found, 7);
    ls_filter_close(filter);
}

static void a_pattern_of_more_than_64_kib_is_too_large(void **state)
{
    static char large[70000];
    const char *const pattern = large;
    ls_filter *filter = NULL;

    (void)state;
    memset(large, ' ', sizeof large - 1);
    assert_int_equal(ls_filter_open(&pattern, 1, NULL, &filter), LS_ERR_TOO_LARGE);
    assert_null(filter);
}

#if SIZE_MAX > UINT32_MAX
static void a_key_or_data_of_4_gib_is_too_large(void **state)
{
    const char *const patterns[] = {"{\"partitionKey\":[\"a\"]}", "{\"data\":{\"a\":[1]}}"};
    ls_record records[2] = {a_record("a", ""), a_record("a", "")};
    ls_filter *filter = NULL;
    int32_t found = 7;

    (void)state;
    records[0].partition_key.size = (size_t)UINT32_MAX + 1; /* Sizes alone are looked at. */
    records[1].data.size = (size_t)UINT32_MAX + 1;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ls_filter_open(&patterns[i], 1, NULL, &filter), LS_OK);
        assert_int_equal(ls_filter_matches(filter, &records[i], &found), LS_ERR_TOO_LARGE);
        assert_int_equal(found, 7);
        ls_filter_close(filter);
    }
}
#endif

static void what_the_options_name_is_in_the_event(void **state)
{
    const char *const pattern = "{\"eventSourceARN\":[\"x\"],\"invokeIdentityArn\":[\"y\"],\"awsRegion\":[\"z\"]}";
    ls_filter_options options = LS_FILTER_OPTIONS_INIT;
    ls_record record = a_record("a", "");
    char arn[] = "x";
    ls_filter *filter = NULL;

    (void)state;
    options.event_source_arn = arn;
    options.invoke_identity_arn = "y";
    options.aws_region = "z";
    assert_int_equal(ls_filter_open(&pattern, 1, &options, &filter), LS_OK);
    arn[0] = '?'; /* It was copied. */
    assert_int_equal(match(filter, &record), 1);
    ls_filter_close(filter);
    assert_int_equal(ls_filter_open(&pattern, 1, NULL, &filter), LS_OK);
    assert_int_equal(match(filter, &record), 0);
    ls_filter_close(filter);
}

/* As in events of its mappings, unless the options name something else. */
static void what_the_options_do_not_name_is_the_stream_s(void **state)
{
    const char *const pattern =
        "{\"eventSourceARN\":[\"arn:aws:kinesis:us-east-1:000000000000:stream/named\"],"
        "\"invokeIdentityArn\":[\"arn:aws:iam::000000000000:role/libstream\"],\"awsRegion\":[\"us-east-1\"]}";
    ls_stream *stream = make_stream(*state, "named", 1);
    ls_filter_options options = LS_FILTER_OPTIONS_INIT;
    ls_record record = a_record("a", "");
    ls_filter *filter = NULL;

    options.stream = stream;
    assert_int_equal(ls_filter_open(&pattern, 1, &options, &filter), LS_OK);
    assert_int_equal(match(filter, &record), 1);
    ls_filter_close(filter);
    options.invoke_identity_arn = "y";
    assert_int_equal(ls_filter_open(&pattern, 1, &options, &filter), LS_OK);
    assert_int_equal(match(filter, &record), 0);
    ls_filter_close(filter);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void the_number_needs_the_stream(void **state)
{
    static const char *const fields[] = {"sequenceNumber", "eventID"};
    ls_filter *filter = NULL;

    (void)state;
    for (int i = 0; i < 2; i++) {
        char pattern[100];
        const char *const one = pattern;

        snprintf(pattern, sizeof pattern, "{\"%s\":[{\"exists\":true}]}", fields[i]);
        assert_int_equal(ls_filter_open(&one, 1, NULL, &filter), LS_ERR_INVALID_ARGUMENT);
        assert_true(says("options.stream is needed"));
        assert_null(filter);
    }
}

/* Goal: the 56 digits are of the record's own shard, of one that was born after the filter too. Method: the number's
 * parts as stream/seqno has them. */
static void numbers_hold_when_their_shard_was_created(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "numbers", 1);
    ls_filter_options options = LS_FILTER_OPTIONS_INIT;

    options.stream = stream;
    for (uint32_t shard = 0; shard <= 2; shard += 2) { /* the first, and the second child of its split */
        ls_shard_info info = LS_SHARD_INFO_INIT;
        ls_stream_description *description;
        ls_record record = a_record("a", "");
        char number[LSI_SEQNO56_BYTES], pattern[400];
        const char *const one = pattern;
        ls_filter *filter = NULL;

        if (shard != 0)
            assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
        assert_int_equal(ls_stream_describe(stream, &description), LS_OK);
        assert_int_equal(ls_stream_description_shard(description, shard, &info), LS_OK);
        ls_stream_description_free(description);
        record.seqno = 4711;
        record.shard = shard;
        lsi_seqno56_format(&(lsi_seqno56){.counter = 4711, .shard = shard, .created_seconds = info.created_us / 1000000,
                                          .record_seconds = 1700000000}, number);
        snprintf(pattern, sizeof pattern,
            "{\"sequenceNumber\":[\"%s\"],\"eventID\":[\"shardId-00000000000%u:%s\"]}", number, shard, number);
        assert_int_equal(ls_filter_open(&one, 1, &options, &filter), LS_OK);
        assert_int_equal(match(filter, &record), 1);
        record.seqno = 4712;
        assert_int_equal(match(filter, &record), 0);
        record.shard = 99;
        assert_int_equal(ls_filter_matches(filter, &record, &(int32_t){0}), LS_ERR_NOT_FOUND);
        assert_true(says("stream 'numbers' has no shard 99"));
        assert_int_equal(ls_stream_close(stream), LS_ERR_STATE); /* The filter is open. */
        ls_filter_close(filter);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void records_of_an_iterator_are_filtered(void **state)
{
    fixture *fx = *state;
    const char *const pattern = "{\"data\":{\"price\":[{\"numeric\":[\">=\",100]}]}}";
    ls_stream *stream = make_stream(fx, "bids", 1);
    ls_producer *producer;
    ls_iterator *iterator;
    ls_filter *filter;
    const ls_batch *batch;
    int32_t matched = 0;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (int i = 0; i < 200; i++) {
        char data[100];

        snprintf(data, sizeof data, "{\"price\":%d}", i);
        assert_int_equal(ls_producer_put(producer, text("k"), text(data), NULL, NULL), LS_OK);
    }
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_filter_open(&pattern, 1, NULL, &filter), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    for (size_t i = 0; i < ls_batch_count(batch); i++)
        matched += match(filter, ls_batch_at(batch, i));
    assert_int_equal(matched, 100);
    ls_filter_close(filter);
    ls_iterator_close(iterator);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_filter *the_filter, *free_filter;

static bool match_in_the_child(void *user)
{
    ls_stream *stream = user;
    const char *const pattern = "{\"partitionKey\":[\"a\"]}";
    ls_filter_options options = LS_FILTER_OPTIONS_INIT;
    ls_record record = a_record("a", "");
    ls_filter *filter = NULL;
    int32_t found = 0;

    options.stream = stream;
    return ls_filter_matches(the_filter, &record, &found) == LS_ERR_STATE &&
           ls_filter_open(&pattern, 1, &options, &filter) == LS_ERR_STATE &&
           ls_filter_matches(free_filter, &record, &found) == LS_OK && found == 1;
}

static void a_filter_with_a_stream_does_not_work_in_a_fork_child(void **state)
{
    fixture *fx = *state;
    const char *const pattern = "{\"partitionKey\":[\"a\"]}";
    ls_stream *stream = make_stream(fx, "forked", 1);
    ls_filter_options options = LS_FILTER_OPTIONS_INIT;

    options.stream = stream;
    assert_int_equal(ls_filter_open(&pattern, 1, &options, &the_filter), LS_OK);
    assert_int_equal(ls_filter_open(&pattern, 1, NULL, &free_filter), LS_OK);
    in_fork_child(match_in_the_child, stream);
    ls_filter_close(the_filter);
    ls_filter_close(free_filter);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

#else

static void without_json_there_is_no_filter(void **state)
{
    const char *const pattern = "{\"partitionKey\":[\"a\"]}";
    ls_filter *filter = NULL;

    (void)state;
    (void)match;
    (void)a_record;
    assert_int_equal(ls_filter_open(&pattern, 1, NULL, &filter), LS_ERR_UNSUPPORTED);
    assert_int_equal(ls_filter_open(NULL, 0, NULL, &filter), LS_ERR_UNSUPPORTED);
    assert_null(filter);
    ls_filter_close(filter);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef LSI_HAVE_YAJL
        TEST(a_filter_needs_no_store),
        TEST(no_pattern_lets_everything_pass),
        TEST(five_patterns_are_taken_and_ten_when_asked_for),
        TEST(wrong_arguments_are_refused),
        TEST(a_pattern_of_more_than_64_kib_is_too_large),
#if SIZE_MAX > UINT32_MAX
        TEST(a_key_or_data_of_4_gib_is_too_large),
#endif
        TEST(what_the_options_name_is_in_the_event),
        TEST(what_the_options_do_not_name_is_the_stream_s),
        TEST(the_number_needs_the_stream),
        TEST(numbers_hold_when_their_shard_was_created),
        TEST(records_of_an_iterator_are_filtered),
        TEST(a_filter_with_a_stream_does_not_work_in_a_fork_child),
#else
        TEST(without_json_there_is_no_filter),
#endif
    };

    run_everywhere("filters", tests);
}
