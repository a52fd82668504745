/* Handlers of documents, as mapping.h promises them: what the event says of a batch, and what an answer comes to. */
#include "api/support.h"

#include <unistd.h>

static const ls_position horizon = {.kind = LS_TRIM_HORIZON};

/* Records with their number as data. */
static void put_numbers(ls_stream *stream, uint32_t from, uint32_t to)
{
    ls_producer *producer = NULL;
    char data[16];

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (uint32_t i = from; i < to; i++) {
        snprintf(data, sizeof data, "%u", i);
        assert_int_equal(ls_producer_put(producer, text("k0"), text(data), NULL, NULL), LS_OK);
    }
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

static void make_mapping(ls_stream *stream, const ls_mapping_options *options)
{
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, options), LS_OK);
}

static void run_with(ls_stream *stream, ls_batch_handler handler, void *user)
{
    ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping *mapping = NULL;

    options.flags = LS_RUN_UNTIL_CAUGHT_UP;
    assert_int_equal(ls_mapping_open(stream, "m", &mapping), LS_OK);
    assert_int_equal(ls_mapping_run(mapping, &options, handler, user), LS_OK);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
}

/* A handler of documents: the k-th invocation answers with the k-th of `answers`, in which each `@n` stands for the
 * sequence number that the document gives the n-th record of its batch. */
typedef struct documents {
    const char *answers[8];
    uint32_t count;
    char events[8][4096];
    ls_handler_answer told[8];
    ls_status st;
} documents;

static void expand(const char *answer, const char *event, char *out)
{
    for (; *answer != 0; answer++)
        if (*answer != '@') {
            *out++ = *answer;
        } else {
            const char *at = event;

            answer++;
            for (int i = '0'; at != NULL && i <= *answer; i++)
                at = strstr(at + 1, "\"sequenceNumber\":\"");
            assert_non_null(at);
            memcpy(out, at + strlen("\"sequenceNumber\":\""), 56);
            out += 56;
        }
    *out = 0;
}

static ls_handler_answer handle_documents(const ls_batch *batch, ls_handler_context *context, void *user)
{
    documents *of = user;
    uint32_t k = of->count++;
    char answer[1024];
    ls_bytes event, again;

    (void)batch;
    assert_true(k < 8);
    of->st = ls_handler_event_json(context, &event);
    if (of->st != LS_OK)
        return LS_HANDLER_STOP;
    assert_int_equal(ls_handler_event_json(context, &again), LS_OK);
    assert_ptr_equal(again.data, event.data);
    assert_true(event.size < sizeof of->events[k]);
    memcpy(of->events[k], event.data, event.size);
    expand(of->answers[k] == NULL ? "" : of->answers[k], of->events[k], answer);
    ls_handler_fail_at(context, 0); /* It is forgotten. */
    of->st = ls_handler_answer_json(context, text(answer), &of->told[k]);
    return of->st == LS_OK ? of->told[k] : LS_HANDLER_STOP;
}

static void a_handler_has_the_event_document(void **state)
{
    ls_stream *stream = make_stream(*state, "orders", 1);
    documents of = {.count = 0};

    put_numbers(stream, 0, 2);
    make_mapping(stream, NULL);
    run_with(stream, handle_documents, &of);
    assert_int_equal(of.count, 1);
    assert_int_equal(of.told[0], LS_HANDLER_DONE);
    assert_int_equal(strncmp(of.events[0], "{\"Records\":[{\"kinesis\":{\"kinesisSchemaVersion\":\"1.0\","
                                           "\"partitionKey\":\"k0\",", 68), 0);
    assert_non_null(strstr(of.events[0], "\"data\":\"MA==\""));
    assert_non_null(strstr(of.events[0], "\"data\":\"MQ==\""));
    assert_non_null(strstr(of.events[0], ",\"invokeIdentityArn\":\"arn:aws:iam::000000000000:role/libstream\","
                                         "\"awsRegion\":\"us-east-1\",\"eventSourceARN\":"
                                         "\"arn:aws:kinesis:us-east-1:000000000000:stream/orders\"}"));
    assert_null(strstr(of.events[0], "window"));
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* What a handler of large records had at once: records, and bytes of the document. */
typedef struct large {
    uint32_t calls, counts[8];
    size_t sizes[8];
} large;

static ls_handler_answer note_sizes(const ls_batch *batch, ls_handler_context *context, void *user)
{
    large *of = user;
    ls_bytes event;

    assert_true(of->calls < 8);
    assert_int_equal(ls_handler_event_json(context, &event), LS_OK);
    of->sizes[of->calls] = event.size;
    of->counts[of->calls++] = (uint32_t)ls_batch_count(batch);
    return LS_HANDLER_DONE;
}

/* Six records of a million bytes are less than 6 MiB, their document is more. It counts where the run says that it is
 * asked for, or the mapping says so for all, whatever more the mapping allows of raw bytes. */
static void the_document_counts_where_it_is_asked_for(void **state)
{
    static const struct {
        uint32_t mapping_flags, run_flags;
        uint64_t bytes_max;
        bool is_of_document;
    } cases[] = {
        {0, 0, 0, false},
        {0, LS_RUN_DOCUMENT_BYTES, 0, true},
        {LS_MAPPING_DOCUMENT_BYTES, 0, 0, true},
        {LS_MAPPING_DOCUMENT_BYTES, LS_RUN_DOCUMENT_BYTES, 0, true},
        {0, LS_RUN_DOCUMENT_BYTES, UINT64_C(1) << 30, true},
    };
    ls_stream *stream = make_stream(*state, "orders", 1);
    ls_producer *producer = NULL;
    char *data = calloc(1, 1000000);

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(ls_producer_put(producer, text("k"), (ls_bytes){data, 1000000}, NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
        ls_mapping_run_options run = LS_MAPPING_RUN_OPTIONS_INIT;
        ls_mapping *mapping = NULL;
        large of = {.calls = 0};

        options.flags = cases[i].mapping_flags;
        options.bytes_max = cases[i].bytes_max;
        make_mapping(stream, &options);
        run.flags = LS_RUN_UNTIL_CAUGHT_UP | cases[i].run_flags;
        assert_int_equal(ls_mapping_open(stream, "m", &mapping), LS_OK);
        assert_int_equal(ls_mapping_run(mapping, &run, note_sizes, &of), LS_OK);
        assert_int_equal(ls_mapping_close(mapping), LS_OK);
        assert_int_equal(ls_mapping_delete(stream, "m"), LS_OK);
        assert_int_equal(of.counts[0], cases[i].is_of_document ? 4 : 6);
        assert_int_equal(of.sizes[0] > 6291456, !cases[i].is_of_document);
        assert_int_equal(of.counts[0] + of.counts[1], 6);
    }
    free(data);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_document_is_of_no_use_to_a_mapping_that_wants_none(void **state)
{
    ls_stream *stream = make_stream(*state, "orders", 1);
    documents of = {.answers = {"{\"batchItemFailures\":[{\"itemIdentifier\":\"12\"}]}"}};

    put_numbers(stream, 0, 4);
    make_mapping(stream, NULL);
    run_with(stream, handle_documents, &of);
    assert_int_equal(of.count, 1);
    assert_int_equal(of.told[0], LS_HANDLER_DONE);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_handler_answer misuse_documents(const ls_batch *batch, ls_handler_context *context, void *user)
{
    ls_handler_answer answer = 77;
    ls_bytes event;

    (void)batch;
    *(bool *)user = ls_handler_event_json(context, NULL) == LS_ERR_INVALID_ARGUMENT &&
                    ls_handler_event_json(NULL, &event) == LS_ERR_INVALID_ARGUMENT &&
                    ls_handler_answer_json(context, text(""), NULL) == LS_ERR_INVALID_ARGUMENT &&
                    ls_handler_answer_json(context, (ls_bytes){NULL, 1}, &answer) == LS_ERR_INVALID_ARGUMENT &&
                    ls_handler_answer_json(NULL, text(""), &answer) == LS_ERR_INVALID_ARGUMENT && answer == 77;
    return LS_HANDLER_DONE;
}

static void arguments_of_documents_are_checked(void **state)
{
    ls_stream *stream = make_stream(*state, "orders", 1);
    bool is_refused = false;

    put_numbers(stream, 0, 1);
    make_mapping(stream, NULL);
    run_with(stream, misuse_documents, &is_refused);
    assert_true(is_refused);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

#ifdef LSI_HAVE_YAJL /* Without no answers are read. */

static ls_mapping_options defaults(void)
{
    const ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;

    return options;
}

static void a_document_says_which_records_failed(void **state)
{
    ls_stream *stream = make_stream(*state, "orders", 1);
    ls_mapping_options options = defaults();
    documents of = {.answers = {"{\"batchItemFailures\":[{\"itemIdentifier\":\"@2\"},{\"itemIdentifier\":\"@1\"}]}",
                                "{\"batchItemFailures\":[{\"itemIdentifier\":\"12\"}]}", "null"}};

    options.flags = LS_MAPPING_REPORT_FAILURES;
    options.retries_max = 1;
    put_numbers(stream, 0, 4);
    make_mapping(stream, &options);
    run_with(stream, handle_documents, &of);
    assert_int_equal(of.count, 3); /* All, then 1..3 twice: a number of no record fails the batch as it is. */
    assert_int_equal(of.told[0], LS_HANDLER_DONE);
    assert_int_equal(of.told[1], LS_HANDLER_RETRY);
    assert_int_equal(of.told[2], LS_HANDLER_DONE);
    assert_null(strstr(of.events[1], "\"data\":\"MA==\""));
    assert_string_equal(of.events[1], of.events[2]);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* The first answer has no state, and fails; then the state goes from one invocation to the next. */
static void a_document_has_the_state_of_the_window(void **state)
{
    ls_stream *stream = make_stream(*state, "orders", 1);
    ls_mapping_options options = defaults();
    documents of = {.answers = {"{}", "{\"state\": {\"n\": 1}}", "{\"state\": {\"n\": 2}}"}};

    options.tumbling_window_s = 900;
    options.records_max = 2;
    put_numbers(stream, 0, 4);
    make_mapping(stream, &options);
    run_with(stream, handle_documents, &of);
    assert_true(of.count >= 3); /* more, when a window began as they were put */
    assert_int_equal(of.told[0], LS_HANDLER_RETRY);
    assert_non_null(strstr(of.events[0], "\"state\":{}"));
    assert_non_null(strstr(of.events[1], "\"state\":{}"));
    assert_non_null(strstr(of.events[2], "\"state\":{\"n\":1}"));
    assert_non_null(strstr(of.events[2], "\"shardId\":\"shardId-000000000000\""));
    assert_non_null(strstr(of.events[2], "\"isFinalInvokeForWindow\":false"));
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A second's window with one record; once it is over, one of the next. */
static void the_last_invocation_of_a_window_needs_no_state(void **state)
{
    ls_stream *stream = make_stream(*state, "orders", 1);
    ls_mapping_options options = defaults();
    documents of = {.answers = {"{\"state\":{\"n\":1}}", "{}", "{\"state\":{}}"}};

    options.tumbling_window_s = 1;
    put_numbers(stream, 0, 1);
    make_mapping(stream, &options);
    run_with(stream, handle_documents, &of);
    usleep(1200000);
    put_numbers(stream, 1, 2);
    run_with(stream, handle_documents, &of);
    assert_int_equal(of.count, 3);
    assert_non_null(strstr(of.events[1], "\"Records\":[],"));
    assert_non_null(strstr(of.events[1], ",\"shardId\":\"shardId-000000000000\",\"eventSourceARN\":"
                                         "\"arn:aws:kinesis:us-east-1:000000000000:stream/orders\","));
    assert_non_null(strstr(of.events[1], "\"state\":{\"n\":1}"));
    assert_non_null(strstr(of.events[1], "\"isFinalInvokeForWindow\":true"));
    assert_int_equal(of.told[1], LS_HANDLER_DONE);
    assert_non_null(strstr(of.events[2], "\"state\":{}"));
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_handler_answer set_no_json(const ls_batch *batch, ls_handler_context *context, void *user)
{
    (void)batch;
    return ls_handler_set_state(context, text(user)) == LS_OK ? LS_HANDLER_DONE : LS_HANDLER_STOP;
}

static void a_state_that_is_no_object_goes_into_no_document(void **state)
{
    static const char *const states[] = {"12", "{", "[1]", "\"{}\""};

    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        char name[8] = {'s', (char)('0' + i), 0}, value[8];
        ls_stream *stream = make_stream(*state, name, 1);
        ls_mapping_options options = defaults();
        documents of = {.count = 0};

        options.tumbling_window_s = 900;
        put_numbers(stream, 0, 1);
        make_mapping(stream, &options);
        snprintf(value, sizeof value, "%s", states[i]);
        run_with(stream, set_no_json, value);
        put_numbers(stream, 1, 2);
        run_with(stream, handle_documents, &of);
        assert_int_equal(of.st, LS_ERR_STATE);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

/* What an event says of its stream can be asked for, by a mapping and by a dry run of its filter. */
static void a_filter_may_ask_for_the_stream(void **state)
{
    static const char *const patterns[] = {
        "{\"eventSourceARN\":[\"arn:aws:kinesis:us-east-1:000000000000:stream/orders\"],\"awsRegion\":[\"us-east-1\"]}",
        "{\"eventSourceARN\":[{\"suffix\":\"/others\"}]}",
    };
    ls_stream *stream = make_stream(*state, "orders", 1);

    put_numbers(stream, 0, 2);
    for (uint32_t i = 0; i < 2; i++) {
        ls_filter_options tried = LS_FILTER_OPTIONS_INIT;
        ls_mapping_options options = defaults();
        ls_record record = {.partition_key = text("k0"), .data = text("0")};
        documents of = {.count = 0};
        ls_filter *filter = NULL;
        int32_t matches = -1;

        options.filter_count = 1;
        options.filters = &patterns[i];
        make_mapping(stream, &options);
        run_with(stream, handle_documents, &of);
        assert_int_equal(of.count, 1 - i);
        assert_int_equal(ls_mapping_delete(stream, "m"), LS_OK);
        tried.stream = stream;
        assert_int_equal(ls_filter_open(&patterns[i], 1, &tried, &filter), LS_OK);
        assert_int_equal(ls_filter_matches(filter, &record, &matches), LS_OK);
        assert_int_equal(matches, 1 - (int32_t)i);
        ls_filter_close(filter);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_handler_has_the_event_document),
        TEST(the_document_counts_where_it_is_asked_for),
        TEST(a_document_is_of_no_use_to_a_mapping_that_wants_none),
        TEST(arguments_of_documents_are_checked),
#ifdef LSI_HAVE_YAJL
        TEST(a_document_says_which_records_failed),
        TEST(a_document_has_the_state_of_the_window),
        TEST(the_last_invocation_of_a_window_needs_no_state),
        TEST(a_state_that_is_no_object_goes_into_no_document),
        TEST(a_filter_may_ask_for_the_stream),
#endif
    };

    run_everywhere("documents of handlers", tests);
}
