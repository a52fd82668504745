/* What is given up goes to the failure stream of its mapping, as mapping.h promises it: the reports, in one or in parts,
 * what is too large for one, and that nothing is passed over before it is there. */
#include "api/support.h"

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
            snprintf(all.keys[all.count++], sizeof all.keys[0], "%.*s", (int)record->partition_key.size,
                     (const char *)record->partition_key.data);
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
    assert_true(has(all.data[0], "\"streamArn\":\"orders\""));
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
        TEST(nothing_is_passed_over_before_it_is_reported),
        TEST(what_a_callback_holds_back_is_not_reported_yet),
        TEST(a_failure_stream_that_cannot_be_one_is_refused),
    };

    run_everywhere("failures of mappings", tests);
}
