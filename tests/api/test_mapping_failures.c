/* What is given up goes to the failure stream of its mapping, as mapping.h promises it: the reports, in one or in
 * parts, what is too large for one, and that nothing is passed over before it is there. */
#include "api/support.h"

#include <inttypes.h>
#include <unistd.h>

#define MEBI ((size_t)1 << 20)

static const ls_position horizon = {.kind = LS_TRIM_HORIZON};

static void put(ls_stream *stream, const char *key, const void *data, size_t size)
{
    ls_producer *producer = NULL;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text(key), (ls_bytes){data, size}, NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

/* A mapping that gives up what has failed once. */
static ls_status make_mapping(ls_stream *stream, const char *failure_stream, uint32_t flags)
{
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;

    options.flags = flags;
    options.retries_max = LS_MAPPING_NO_RETRIES;
    options.failure_stream = failure_stream;
    return ls_mapping_create(stream, "m", &horizon, &options);
}

static ls_handler_answer fail_all(const ls_batch *batch, ls_handler_context *context, void *user)
{
    (void)batch;
    (void)context;
    ++*(uint32_t *)user;
    return LS_HANDLER_RETRY;
}

/* Until caught up, with a handler that fails; how often it was called. */
static uint32_t run_failing(ls_stream *stream, ls_discard_callback discard)
{
    ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping *mapping = NULL;
    uint32_t calls = 0;

    options.flags = LS_RUN_UNTIL_CAUGHT_UP;
    options.discard = discard;
    assert_int_equal(ls_mapping_open(stream, "m", &mapping), LS_OK);
    assert_int_equal(ls_mapping_run(mapping, &options, fail_all, &calls), LS_OK);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
    return calls;
}

/* All that a stream has, of one shard; what there is of each record is terminated. */
typedef struct found {
    uint32_t count;
    char *data[16];
    size_t sizes[16];
    char keys[16][32];
} found;

static found read_all(fixture *fx, const char *name)
{
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_stream *stream = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    found all = {.count = 0};

    assert_int_equal(ls_stream_open(fx->store, name, &stream), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 0, &horizon, NULL, &iterator), LS_OK);
    while (ls_iterator_next(iterator, &next, &batch) == LS_OK && ls_batch_count(batch) != 0)
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);

            assert_true(all.count < 16);
            all.sizes[all.count] = record->data.size;
            all.data[all.count] = calloc(1, record->data.size + 1);
            memcpy(all.data[all.count], record->data.data, record->data.size);
            assert_true(record->partition_key.size < sizeof all.keys[0]);
            memcpy(all.keys[all.count], record->partition_key.data, record->partition_key.size);
            assert_int_equal(strlen(all.keys[all.count++]), record->partition_key.size); /* all of it is text */
        }
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    return all;
}

static void forget(found *all)
{
    for (uint32_t i = 0; i < all->count; i++)
        free(all->data[i]);
}

static bool has(const char *document, const char *part)
{
    return strstr(document, part) != NULL;
}

static void what_is_given_up_is_reported_with_its_records(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);
    found all;

    assert_int_equal(ls_stream_close(make_stream(fx, "failures", 1)), LS_OK);
    assert_int_equal(make_mapping(stream, "failures", 0), LS_OK);
    put(stream, "a", "one", 3);
    put(stream, "b", "two", 3);
    (void)run_failing(stream, NULL);
    all = read_all(fx, "failures");
    assert_true(all.count >= 1); /* one for each batch, and what comes while one is tried is another */
    assert_string_equal(all.keys[0], "shardId-000000000000");
    assert_int_equal(strncmp(all.data[0], "{\"requestContext\":{\"requestId\":\"", 32), 0);
    assert_true(has(all.data[0], "\"functionArn\":\"m\""));
    assert_true(has(all.data[0], "\"condition\":\"RetryAttemptsExhausted\",\"approximateInvokeCount\":1}"));
    assert_true(has(all.data[0], "\"functionError\":\"Unhandled\""));
    assert_true(has(all.data[0], "\"streamArn\":\"arn:aws:kinesis:us-east-1:000000000000:stream/orders\"}"));
    assert_true(has(all.data[0], "\"payload\":{\"Records\":["));
    assert_true(has(all.data[0], "\"partitionKey\":\"a\""));
    assert_true(has(all.data[0], "\"data\":\"b25l\""));
    assert_true(has(all.data[all.count - 1], "\"data\":\"dHdv\""));
    forget(&all);
    assert_int_equal(run_failing(stream, NULL), 0); /* They are passed over. */
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Three records of 600 KiB: no two of them fit into one report of a stream of 1 MiB. */
static void a_report_that_is_too_large_comes_in_parts(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);
    size_t size = 600 * 1024;
    char *data = malloc(size);
    found all;

    assert_int_equal(ls_stream_close(make_stream(fx, "failures", 1)), LS_OK);
    for (int i = 0; i < 3; i++) {
        memset(data, 'a' + i, size);
        put(stream, "k", data, size);
    }
    assert_int_equal(make_mapping(stream, "failures", 0), LS_OK);
    assert_int_equal(run_failing(stream, NULL), 1);
    all = read_all(fx, "failures");
    assert_int_equal(all.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        static const char *const begins[] = {"\"data\":\"YWFh", "\"data\":\"YmJi", "\"data\":\"Y2Nj"};

        assert_true(has(all.data[i], "\"batchSize\":1,"));
        assert_true(has(all.data[i], begins[i]));
    }
    forget(&all);
    free(data);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_record_too_large_for_a_report_goes_as_it_is(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);
    size_t size = MEBI - 1;
    char *data = malloc(size);
    found all;

    assert_int_equal(ls_stream_close(make_stream(fx, "failures", 1)), LS_OK);
    memset(data, 'z', size);
    put(stream, "k", data, size);
    put(stream, "k", "small", 5);
    assert_int_equal(make_mapping(stream, "failures", 0), LS_OK);
    assert_int_equal(run_failing(stream, NULL), 1);
    all = read_all(fx, "failures");
    assert_int_equal(all.count, 3);
    assert_true(has(all.data[0], "\"batchSize\":1,"));
    assert_false(has(all.data[0], "payload"));
    assert_string_equal(all.keys[1], "k");
    assert_int_equal(all.sizes[1], size);
    assert_memory_equal(all.data[1], data, size);
    assert_true(has(all.data[2], "\"payload\":"));
    forget(&all);
    free(data);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- what a stream's limit, changed since, does not let in ---- */

static struct logged {
    uint32_t omitted, waiting;
    char message[300];
} logged;

static void note_log(void *user, int32_t level, const char *message)
{
    (void)user;
    if (level != LS_LOG_WARNING)
        return;
    logged.waiting += strstr(message, "cannot be put") != NULL;
    if (strstr(message, "is reported without") == NULL)
        return;
    logged.omitted++;
    (void)snprintf(logged.message, sizeof logged.message, "%s", message);
}

static void open_logged(fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    logged = (struct logged){0};
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    options.log = note_log;
    assert_int_equal(ls_store_open(fx->location, &options, &fx->store), LS_OK);
}

/* Goal: a shard never waits for what cannot be. Method: the limit of the mapping's stream is raised, or that of
 * the failure stream is lowered, after the mapping was made; a record of the new size is given up between two
 * others. */
static void check_limit_changed_since(fixture *fx, bool is_raised)
{
    ls_stream *stream, *failures;
    size_t size = is_raised ? 2 * MEBI : MEBI / 2;
    char *data = malloc(size), part[64];
    ls_record_id id;
    ls_producer *producer = NULL;
    found all;

    open_logged(fx);
    stream = make_stream(fx, "orders", 1);
    failures = make_stream(fx, "failures", 1);
    assert_int_equal(make_mapping(stream, "failures", 0), LS_OK);
    if (is_raised)
        assert_int_equal(ls_stream_set_record_bytes_max(stream, 4 << 20), LS_OK);
    else
        assert_int_equal(ls_stream_set_record_bytes_max(failures, 64 << 10), LS_OK);
    assert_int_equal(ls_stream_close(failures), LS_OK);
    memset(data, 'z', size);
    put(stream, "k", "before", 6);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), (ls_bytes){data, size}, NULL, &id), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    put(stream, "k", "behind", 6);
    (void)run_failing(stream, NULL);
    all = read_all(fx, "failures");
    assert_int_equal(all.count, 3);
    assert_true(has(all.data[0], "\"data\":\"YmVmb3Jl\"") && !has(all.data[0], "omittedBytes"));
    (void)snprintf(part, sizeof part, "\"omittedBytes\":%zu}", size);
    assert_true(has(all.data[1], part) && !has(all.data[1], "payload"));
    assert_true(has(all.data[1], "\"startSequenceNumber\":\"49") && has(all.data[1], "\"batchSize\":1,"));
    assert_true(has(all.data[2], "\"data\":\"YmVoaW5k\"") && !has(all.data[2], "omittedBytes"));
    assert_int_equal(logged.waiting, 0);
    assert_int_equal(logged.omitted, 1);
    (void)snprintf(part, sizeof part, "the %zu bytes of record %" PRIu64 ": stream 'failures'", size, id.seqno);
    assert_true(has(logged.message, "mapping 'm' shard 0") && has(logged.message, part));
    assert_int_equal(run_failing(stream, NULL), 0); /* It is passed over. */
    forget(&all);
    free(data);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_record_that_fits_no_more_is_reported_without_its_data(void **state)
{
    check_limit_changed_since(*state, true);
}

static void so_it_is_when_the_failure_stream_takes_less(void **state)
{
    check_limit_changed_since(*state, false);
}

/* The longest names, and the smallest stream there is: a report has its place in it. */
static void a_report_without_records_fits_everywhere(void **state)
{
    fixture *fx = *state;
    ls_stream_options small = LS_STREAM_OPTIONS_INIT;
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    ls_mapping_run_options run = LS_MAPPING_RUN_OPTIONS_INIT;
    char name[129], mapping_name[129], data[1000];
    ls_mapping *mapping = NULL;
    ls_stream *stream = NULL;
    uint32_t calls = 0;
    found all;

    memset(name, 's', 128);
    memset(mapping_name, 'm', 128);
    name[128] = mapping_name[128] = '\0';
    memset(data, 'd', sizeof data);
    small.record_bytes_max = 1024;
    assert_int_equal(ls_stream_create(fx->store, "failures", &small), LS_OK);
    assert_int_equal(ls_stream_create(fx->store, name, &small), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, name, &stream), LS_OK);
    options.retries_max = LS_MAPPING_NO_RETRIES;
    options.failure_stream = "failures";
    assert_int_equal(ls_mapping_create(stream, mapping_name, &horizon, &options), LS_OK);
    put(stream, "k", data, sizeof data);
    run.flags = LS_RUN_UNTIL_CAUGHT_UP;
    assert_int_equal(ls_mapping_open(stream, mapping_name, &mapping), LS_OK);
    assert_int_equal(ls_mapping_run(mapping, &run, fail_all, &calls), LS_OK);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
    all = read_all(fx, "failures");
    assert_int_equal(all.count, 2);
    assert_true(has(all.data[0], "\"batchSize\":1,") && !has(all.data[0], "omittedBytes"));
    assert_int_equal(all.sizes[1], sizeof data);
    forget(&all);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- windows ---- */

typedef struct last {
    ls_bytes state;
    uint32_t refused;
} last;

/* Too much state ends the window; its last invocation fails. */
static ls_handler_answer fail_the_last(const ls_batch *batch, ls_handler_context *context, void *user)
{
    ls_handler_window window = LS_HANDLER_WINDOW_INIT;
    last *of = user;

    (void)batch;
    assert_int_equal(ls_handler_get_window(context, &window), LS_OK);
    of->refused += window.is_final != 0;
    assert_int_equal(ls_handler_set_state(context, of->state), LS_OK);
    return window.is_final ? LS_HANDLER_RETRY : LS_HANDLER_DONE;
}

/* A window of a record, whose state is that, is given up; what the failure stream gets. */
static found give_up_window(fixture *fx, uint32_t number, ls_bytes bytes)
{
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    ls_mapping_run_options run = LS_MAPPING_RUN_OPTIONS_INIT;
    last of = {bytes, 0};
    char names[2][24];
    ls_mapping *mapping = NULL;
    ls_stream *stream;
    found all;

    (void)snprintf(names[0], sizeof names[0], "orders%" PRIu32, number);
    (void)snprintf(names[1], sizeof names[1], "failures%" PRIu32, number);
    stream = make_stream(fx, names[0], 1);
    assert_int_equal(ls_stream_close(make_stream(fx, names[1], 1)), LS_OK);
    options.retries_max = LS_MAPPING_NO_RETRIES;
    options.failure_stream = names[1];
    options.tumbling_window_s = 900;
    options.window_state_bytes_max = 1;
    assert_int_equal(ls_mapping_create(stream, "m", &horizon, &options), LS_OK);
    put(stream, "k", "x", 1);
    run.flags = LS_RUN_UNTIL_CAUGHT_UP;
    assert_int_equal(ls_mapping_open(stream, "m", &mapping), LS_OK);
    assert_int_equal(ls_mapping_run(mapping, &run, fail_the_last, &of), LS_OK);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(of.refused, 1);
    all = read_all(fx, names[1]);
    assert_true(all.count >= 1 && has(all.data[0], "\"batchSize\":0,"));
    return all;
}

/* The state of a window whose last invocation is given up: in the report when it can be, else behind it, and only when
 * no stream of that limit takes it not at all; and the shard goes on. */
static void a_given_up_windows_state_is_kept(void **state)
{
    fixture *fx = *state;
    char *much = malloc(2 * MEBI);
    found all;

    open_logged(fx);
    all = give_up_window(fx, 0, text("{\"sum\":7}"));
    assert_int_equal(all.count, 1);
    assert_true(has(all.data[0], "\"payload\":{") && has(all.data[0], "\"state\":{\"sum\":7}"));
    forget(&all);
    all = give_up_window(fx, 1, text("no JSON"));
    assert_int_equal(all.count, 2);
    assert_false(has(all.data[0], "payload"));
    assert_string_equal(all.data[1], "no JSON");
    assert_string_equal(all.keys[1], "shardId-000000000000");
    forget(&all);
    memset(much, 'w', 2 * MEBI);
    memcpy(much, "{\"w\":\"", 6);
    memcpy(much + MEBI - 102, "\"}", 2);
    all = give_up_window(fx, 2, (ls_bytes){much, MEBI - 100}); /* It fits without the report around it. */
    assert_int_equal(all.count, 2);
    assert_int_equal(all.sizes[1], MEBI - 100);
    assert_memory_equal(all.data[1], much, MEBI - 100);
    forget(&all);
    assert_int_equal(logged.omitted, 0);
    all = give_up_window(fx, 3, (ls_bytes){much, 2 * MEBI});
    assert_int_equal(all.count, 1);
    assert_true(has(all.data[0], "\"omittedBytes\":2097152}"));
    assert_int_equal(logged.omitted, 1);
    forget(&all);
    assert_int_equal(logged.waiting, 0);
    free(much);
}

/* The failure stream is gone when the batch has failed. It is made again by who is told of the discard, the third time:
 * until then nothing was passed over. */
static struct waiting {
    ls_store *store;
    uint32_t calls;
} waiting;

static int32_t make_stream_late(const ls_batch *batch, ls_discard_reason reason, uint32_t invoke_count, void *user)
{
    (void)user;
    assert_int_equal(ls_batch_count(batch), 1);
    assert_int_equal(reason, LS_DISCARD_RETRIES);
    assert_int_equal(invoke_count, 1);
    if (++waiting.calls == 3)
        assert_int_equal(ls_stream_create(waiting.store, "failures", NULL), LS_OK);
    return 0;
}

static void nothing_is_passed_over_before_it_is_reported(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);
    found all;

    assert_int_equal(ls_stream_close(make_stream(fx, "failures", 1)), LS_OK);
    assert_int_equal(make_mapping(stream, "failures", 0), LS_OK);
    assert_int_equal(ls_stream_delete(fx->store, "failures"), LS_OK);
    put(stream, "k", "late", 4);
    waiting = (struct waiting){fx->store, 0};
    assert_int_equal(run_failing(stream, make_stream_late), 1);
    assert_int_equal(waiting.calls, 3);
    all = read_all(fx, "failures");
    assert_int_equal(all.count, 1);
    assert_true(has(all.data[0], "\"data\":\"bGF0ZQ==\""));
    forget(&all);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static int32_t refuse_twice(const ls_batch *batch, ls_discard_reason reason, uint32_t invoke_count, void *user)
{
    (void)batch;
    (void)reason;
    (void)invoke_count;
    (void)user;
    return ++waiting.calls < 3;
}

static void what_a_callback_holds_back_is_not_reported_yet(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);
    found all;

    assert_int_equal(ls_stream_close(make_stream(fx, "failures", 1)), LS_OK);
    assert_int_equal(make_mapping(stream, "failures", 0), LS_OK);
    put(stream, "k", "x", 1);
    waiting.calls = 0;
    (void)run_failing(stream, refuse_twice);
    assert_int_equal(waiting.calls, 3);
    all = read_all(fx, "failures");
    assert_int_equal(all.count, 1);
    forget(&all);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_failure_stream_that_cannot_be_one_is_refused(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);
    ls_stream_options small = LS_STREAM_OPTIONS_INIT;

    small.record_bytes_max = MEBI - 1;
    assert_int_equal(ls_stream_create(fx->store, "small", &small), LS_OK);
    assert_int_equal(make_mapping(stream, "none", 0), LS_ERR_NOT_FOUND);
    assert_int_equal(make_mapping(stream, "orders", 0), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("the mapping's own stream"));
    assert_int_equal(make_mapping(stream, "small", 0), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'small' takes records of 1048575 bytes, and stream 'orders' has some of 1048576"));
    assert_int_equal(make_mapping(stream, NULL, 0), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_given_up_is_reported_with_its_records),
        TEST(a_report_that_is_too_large_comes_in_parts),
        TEST(a_record_too_large_for_a_report_goes_as_it_is),
        TEST(a_record_that_fits_no_more_is_reported_without_its_data),
        TEST(so_it_is_when_the_failure_stream_takes_less),
        TEST(a_report_without_records_fits_everywhere),
        TEST(a_given_up_windows_state_is_kept),
        TEST(nothing_is_passed_over_before_it_is_reported),
        TEST(what_a_callback_holds_back_is_not_reported_yet),
        TEST(a_failure_stream_that_cannot_be_one_is_refused),
    };

    run_everywhere("failures of mappings", tests);
}
